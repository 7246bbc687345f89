//! Datagrams for one peer each that are ready to leave, besides the bursts.

use std::collections::VecDeque;

use crate::command::Path;
use crate::room::MAX_RUN;

/// What leaves before the bursts, in its order.
#[derive(Debug, Default)]
pub(super) struct Ready {
    runs: VecDeque<ReadyRun>,
}

/// Datagrams of one length that leave together; the last may be shorter.
#[derive(Debug)]
pub(super) struct ReadyRun {
    pub(super) path: Path,
    /// One behind the other.
    pub(super) bytes: Vec<u8>,
    /// Bytes of the first.
    pub(super) segment_size: usize,
}

impl Ready {
    /// Adds a datagram: to the run before, if it goes the same way and its length allows it.
    pub(super) fn push(&mut self, path: Path, datagram: Vec<u8>) {
        match self.runs.back_mut() {
            Some(last) if last.path == path && last.takes(datagram.len()) => {
                last.bytes.extend_from_slice(&datagram);
            }
            Some(_) | None => self.runs.push_back(ReadyRun {
                path,
                segment_size: datagram.len(),
                bytes: datagram,
            }),
        }
    }

    pub(super) fn pop(&mut self) -> Option<ReadyRun> {
        self.runs.pop_front()
    }
}

impl ReadyRun {
    fn takes(&self, len: usize) -> bool {
        let is_whole = self.bytes.len().is_multiple_of(self.segment_size.max(1));
        is_whole && len <= self.segment_size && self.segments() < MAX_RUN
    }

    /// Returns how many datagrams there are.
    pub(super) fn segments(&self) -> usize {
        self.bytes.len().div_ceil(self.segment_size.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> Path {
        Path {
            local: None,
            remote: ([127, 0, 0, 1], port).into(),
        }
    }

    #[test]
    fn what_goes_the_same_way_in_one_length_leaves_together_and_a_shorter_one_ends_it() {
        let mut ready = Ready::default();
        for (port, len) in [(1, 100), (1, 100), (1, 60), (1, 60), (2, 60), (2, 61)] {
            ready.push(path(port), vec![7; len]);
        }
        let runs: Vec<_> = std::iter::from_fn(|| ready.pop()).collect();
        let shapes: Vec<_> = runs
            .iter()
            .map(|run| (run.path.remote.port(), run.segment_size, run.bytes.len()))
            .collect();
        assert_eq!(
            shapes,
            [(1, 100, 260), (1, 60, 60), (2, 60, 60), (2, 61, 61)]
        );
        assert_eq!(runs[0].segments(), 3);
    }

    #[test]
    fn a_run_ends_where_the_kernel_takes_no_more() {
        let mut ready = Ready::default();
        for _ in 0..MAX_RUN + 1 {
            ready.push(path(1), vec![7; 100]);
        }
        let runs = std::iter::from_fn(|| ready.pop());
        let runs: Vec<_> = runs.map(|run| run.segments()).collect();
        assert_eq!(runs, [MAX_RUN, 1]);
    }
}
