//! Datagrams for one peer each that are ready to leave, besides the bursts.

use std::collections::VecDeque;

use crate::command::Path;
use crate::room::MAX_RUN;

/// Bytes at which nothing more is taken: reports of everybody, or 28,000 packets that are sent again.
const MAX_BYTES: usize = 32 << 20;
/// Buffers that are kept: more than one viewer's turn or a batch of reports needs.
const MAX_SPARE: usize = 16;
/// A buffer that grew beyond this is not kept; a run is not larger.
const MAX_CAPACITY: usize = 2 * MAX_RUN * 1500;

/// What leaves before the bursts, in its order.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// At most [`MAX_BYTES`], and one run; who finds no room does without.
    runs: VecDeque<ReadyRun>,
    /// Bytes that wait.
    waiting: usize,
    /// Empty buffers for the next runs, at most [`MAX_SPARE`].
    spare: Vec<Vec<u8>>,
}

/// Datagrams of one length that leave together; the last may be shorter.
#[derive(Debug)]
pub(super) struct ReadyRun {
    pub(super) path: Path,
    /// One behind the other, at most [`MAX_RUN`].
    pub(super) bytes: Vec<u8>,
    /// Bytes of the first.
    pub(super) segment_size: usize,
}

impl Ready {
    /// Returns whether another datagram may be added.
    pub(super) fn has_room(&self) -> bool {
        self.waiting < MAX_BYTES
    }

    /// Adds what `write` appends, a datagram whose length it returns: to the run before, if it goes the same way and its
    /// length allows it. What it does not return a length of is none.
    pub(super) fn append(
        &mut self,
        path: Path,
        write: impl FnOnce(&mut Vec<u8>) -> Option<usize>,
    ) -> Option<usize> {
        let is_open = |last: &&mut ReadyRun| last.path == path && last.is_open();
        if let Some(last) = self.runs.back_mut().filter(is_open) {
            let start = last.bytes.len();
            let len = write(&mut last.bytes)?;
            self.waiting += len;
            if len > last.segment_size {
                let mut bytes = self.spare.pop().unwrap_or_default();
                bytes.extend_from_slice(last.bytes.get(start..).unwrap_or_default());
                last.bytes.truncate(start);
                self.begin(path, bytes);
            }
            return Some(len);
        }
        let mut bytes = self.spare.pop().unwrap_or_default();
        let len = write(&mut bytes);
        match len {
            Some(len) => {
                self.waiting += len;
                self.begin(path, bytes);
            }
            None => self.recycle(bytes),
        }
        len
    }

    /// Adds a datagram.
    pub(super) fn push(&mut self, path: Path, datagram: &[u8]) {
        self.append(path, |out| {
            out.extend_from_slice(datagram);
            Some(datagram.len())
        });
    }

    pub(super) fn pop(&mut self) -> Option<ReadyRun> {
        let run = self.runs.pop_front()?;
        self.waiting = self.waiting.saturating_sub(run.bytes.len());
        Some(run)
    }

    /// Takes back the buffer of a run that left.
    pub(super) fn recycle(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < MAX_SPARE && bytes.capacity() <= MAX_CAPACITY {
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    fn begin(&mut self, path: Path, bytes: Vec<u8>) {
        self.runs.push_back(ReadyRun {
            path,
            segment_size: bytes.len(),
            bytes,
        });
    }
}

impl ReadyRun {
    /// Returns whether another datagram may follow.
    fn is_open(&self) -> bool {
        let is_whole = self.bytes.len().is_multiple_of(self.segment_size.max(1));
        is_whole && self.segments() < MAX_RUN
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
            connection: None,
        }
    }

    #[test]
    fn what_goes_the_same_way_in_one_length_leaves_together_and_a_shorter_one_ends_it() {
        let mut ready = Ready::default();
        for (port, len) in [(1, 100), (1, 100), (1, 60), (1, 60), (2, 60), (2, 61)] {
            ready.push(path(port), &vec![7; len]);
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
    fn what_could_not_be_written_leaves_nothing_behind_and_buffers_are_used_again() {
        let mut ready = Ready::default();
        assert_eq!(ready.append(path(1), |_| None), None);
        assert!(ready.pop().is_none());
        ready.push(path(1), &[7; 100]);
        let refused = ready.append(path(1), |out| {
            out.truncate(100);
            None
        });
        assert_eq!(refused, None);
        let run = ready.pop().unwrap();
        assert_eq!(run.segments(), 1);
        let place = run.bytes.as_ptr();
        ready.recycle(run.bytes);
        ready.push(path(1), &[7; 100]);
        assert_eq!(ready.pop().unwrap().bytes.as_ptr(), place);
    }

    #[test]
    fn what_waits_is_bounded_and_leaves_its_room_to_others() {
        let mut ready = Ready::default();
        let mut datagrams = 0;
        while ready.has_room() {
            ready.push(path(1 + datagrams % 7), &[7; 1200]);
            datagrams += 1;
        }
        assert_eq!(usize::from(datagrams), MAX_BYTES.div_ceil(1200));
        let runs = std::iter::from_fn(|| ready.pop());
        let sent: usize = runs.map(|run| run.bytes.len()).sum();
        assert_eq!(sent, usize::from(datagrams) * 1200);
        assert_eq!(ready.waiting, 0);
        assert!(ready.has_room());
    }

    #[test]
    fn a_run_ends_where_the_kernel_takes_no_more() {
        let mut ready = Ready::default();
        for _ in 0..MAX_RUN + 1 {
            ready.push(path(1), &[7; 100]);
        }
        let runs = std::iter::from_fn(|| ready.pop());
        let runs: Vec<_> = runs.map(|run| run.segments()).collect();
        assert_eq!(runs, [MAX_RUN, 1]);
    }
}
