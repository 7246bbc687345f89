//! What waits until a connection takes it: bounded in bytes, and whole datagrams only.

use std::collections::VecDeque;

use super::{Backlog, PREFIX};

/// Bytes that wait for one connection, at most; a datagram that finds no room is not sent. With what the kernel keeps
/// of it a connection that takes nothing costs less than a mebibyte.
pub const MAX_WAITING: usize = 384 << 10;
/// Bytes at which no other frame begins: half a second at 1 Mb/s.
const HIGH: usize = 64 << 10;
/// Bytes at which nothing of a picture goes any more; what is left of the queue is for sound and reports. A frame that
/// begins below [`HIGH`] and is shorter than the difference goes whole.
const FULL: usize = 256 << 10;
/// Bytes below which all goes again.
const LOW: usize = 16 << 10;
/// Memory that stays when nothing waits: one run of datagrams.
const MAX_SPARE: usize = 32 << 10;

/// The bytes that a connection has not taken, framed.
#[derive(Debug, Default)]
pub struct SendQueue {
    /// At most [`MAX_WAITING`], its capacity too.
    bytes: VecDeque<u8>,
    backlog: Backlog,
}

impl SendQueue {
    /// Adds a datagram behind its length; returns whether there was room for it.
    pub fn push(&mut self, datagram: &[u8]) -> bool {
        let Ok(length) = u16::try_from(datagram.len()) else {
            return false;
        };
        let waiting = self.bytes.len() + PREFIX + datagram.len();
        if waiting > MAX_WAITING {
            return false;
        }
        self.hold(waiting);
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(datagram);
        true
    }

    /// Makes room for so many bytes in all: for twice as many each time, but never for more than may wait.
    fn hold(&mut self, waiting: usize) {
        let capacity = self.bytes.capacity();
        if capacity < waiting {
            let wanted = (capacity * 2).min(MAX_WAITING).max(waiting);
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
    }

    /// Returns what is to be written next; empty when nothing waits.
    pub fn front(&self) -> &[u8] {
        self.bytes.as_slices().0
    }

    /// Forgets what the connection took.
    pub fn consume(&mut self, taken: usize) {
        self.bytes.drain(..taken.min(self.bytes.len()));
        if self.bytes.is_empty() {
            if self.bytes.capacity() > MAX_SPARE {
                self.bytes = VecDeque::new();
            }
            // From the beginning, so that the next run is one piece.
            self.bytes.clear();
        }
    }

    /// Returns whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns how many bytes wait.
    pub fn waiting(&self) -> usize {
        self.bytes.len()
    }

    /// Judges how much waits, now that some was added and some taken: a queue that was long has to become short again,
    /// so that it does not change with every packet.
    pub fn backlog(&mut self) -> Backlog {
        let waiting = self.bytes.len();
        self.backlog = match self.backlog {
            _ if waiting >= FULL => Backlog::Full,
            _ if waiting < LOW => Backlog::Low,
            Backlog::Full if waiting >= HIGH => Backlog::Full,
            Backlog::Full | Backlog::High => Backlog::High,
            Backlog::Low if waiting >= HIGH => Backlog::High,
            Backlog::Low => Backlog::Low,
        };
        self.backlog
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framed::Deframer;

    /// Lets the connection take so many bytes, into what the other side reads.
    fn flow(queue: &mut SendQueue, mut room: usize, read: &mut impl FnMut(&[u8])) {
        while room > 0 && !queue.is_empty() {
            let front = queue.front();
            let taken = front.len().min(room);
            read(&front[..taken]);
            queue.consume(taken);
            room -= taken;
        }
    }

    #[test]
    fn a_queue_takes_whole_datagrams_until_it_is_full_and_gives_them_in_order() {
        let mut queue = SendQueue::default();
        let datagram = |number: u32| {
            let mut datagram = vec![7; 1000 + (number % 300) as usize];
            datagram[..4].copy_from_slice(&number.to_be_bytes());
            datagram
        };
        let (mut deframer, mut came, mut taken) = (Deframer::default(), Vec::new(), Vec::new());
        for number in 0..3000 {
            if queue.push(&datagram(number)) {
                taken.push(datagram(number));
            }
            assert!(queue.waiting() <= MAX_WAITING);
            assert!(queue.bytes.capacity() <= MAX_WAITING);
            flow(&mut queue, 517, &mut |bytes| {
                deframer
                    .take(bytes, |frame| came.push(frame.to_vec()))
                    .unwrap();
            });
        }
        assert!(taken.len() < 2500, "some found no room");
        flow(&mut queue, usize::MAX, &mut |bytes| {
            deframer
                .take(bytes, |frame| came.push(frame.to_vec()))
                .unwrap();
        });
        assert_eq!(came, taken);
        assert!(queue.bytes.capacity() <= MAX_SPARE);
    }

    #[test]
    fn a_long_queue_is_long_until_it_is_short() {
        let mut queue = SendQueue::default();
        let mut told = vec![queue.backlog()];
        let mut tell = |queue: &mut SendQueue| {
            let backlog = queue.backlog();
            if told.last() != Some(&backlog) {
                told.push(backlog);
            }
        };
        while queue.push(&[7; 1000]) {
            tell(&mut queue);
        }
        while !queue.is_empty() {
            queue.consume(1002);
            tell(&mut queue);
        }
        let high = Backlog::High;
        assert_eq!(
            told,
            [Backlog::Low, high, Backlog::Full, high, Backlog::Low]
        );
    }

    #[test]
    fn a_frame_that_begins_goes_whole() {
        let mut queue = SendQueue::default();
        while queue.backlog() == Backlog::Low {
            queue.push(&[7; 1000]);
        }
        // A keyframe of 190 kB.
        for _ in 0..190 {
            assert!(queue.backlog() < Backlog::Full);
            assert!(queue.push(&[7; 1000]));
        }
    }

    #[test]
    fn what_has_no_length_of_two_bytes_is_no_frame() {
        assert!(!SendQueue::default().push(&[0; 65_536]));
    }
}
