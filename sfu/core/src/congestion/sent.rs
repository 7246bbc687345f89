//! The packets that were sent last, by their transport-wide numbers: when, and how large.

use std::time::{Duration, Instant};

/// Packets remembered: half a second at 10 Mb/s, two at what most viewers get.
const REMEMBERED: usize = 512;

/// A ring of what was sent. Eight bytes a packet.
#[derive(Debug)]
pub(super) struct Sent {
    /// Slot `number % REMEMBERED`; empty until the first packet.
    slots: Box<[Slot]>,
    /// The number of the next packet.
    next: u64,
    /// Where time begins.
    epoch: Instant,
    /// When the last packet left, and the same in microseconds since the epoch.
    last: (Instant, u64),
    /// Whether packets that leave are of a cluster that probes the path.
    pub(super) probes: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Microseconds since the epoch, modulo 2^32.
    departed: u32,
    size_bytes: u16,
    fate: Fate,
}

/// What is known of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    /// No message spoke of it.
    #[default]
    Unknown,
    /// It had not arrived when a message spoke of it.
    Missing,
    /// It arrived.
    Arrived,
}

/// One packet that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Departure {
    /// Microseconds since the epoch.
    pub(super) at_us: u64,
    pub(super) size_bytes: u16,
    /// What was known of it before.
    pub(super) before: Fate,
}

impl Sent {
    pub(super) fn new(epoch: Instant) -> Self {
        Self {
            slots: Box::default(),
            // A number below the first is still a number.
            next: 1 << 16,
            epoch,
            last: (epoch, 0),
            probes: false,
        }
    }

    /// Returns the number of the next packet.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Returns the time since the epoch, in microseconds.
    pub(super) fn time(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.epoch))
    }

    /// Returns when the last packet left; `None` before the first.
    pub(super) fn last(&self) -> Option<Instant> {
        (!self.slots.is_empty()).then_some(self.last.0)
    }

    /// Touches what the next packet needs.
    pub(super) fn look_ahead(&self) -> u16 {
        let slot = self.slots.get(place(self.next));
        slot.map_or(0, |slot| slot.size_bytes)
    }

    /// Notes that the next packet left.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a departure is remembered for seconds, its time comes round after an hour"
    )]
    pub(super) fn note(&mut self, now: Instant, size_bytes: usize) {
        if self.slots.is_empty() {
            self.slots = vec![Slot::default(); REMEMBERED].into();
        }
        if self.last.0 != now {
            self.last = (now, self.time(now));
        }
        let departed = self.last.1 as u32;
        if let Some(slot) = self.slots.get_mut(place(self.next)) {
            *slot = Slot {
                departed,
                size_bytes: u16::try_from(size_bytes).unwrap_or(u16::MAX),
                fate: Fate::Unknown,
            };
        }
        self.next += 1;
    }

    /// Returns the number that a wire number stands for; `None` when it is not remembered.
    pub(super) fn find(&self, wire: u16) -> Option<u64> {
        let [.., h, l] = self.next.to_be_bytes();
        let behind = u64::from(u16::from_be_bytes([h, l]).wrapping_sub(wire));
        let number = self.next.checked_sub(behind)?;
        self.remembers(number).then_some(number)
    }

    /// Notes what became of a packet and returns its departure.
    pub(super) fn settle(&mut self, now: Instant, number: u64, fate: Fate) -> Option<Departure> {
        if !self.remembers(number) {
            return None;
        }
        let now = self.time(now);
        let slot = self.slots.get_mut(place(number))?;
        let before = slot.fate;
        if before != Fate::Arrived {
            slot.fate = fate;
        }
        let [.., a, b, c, d] = now.to_be_bytes();
        let ago = u32::from_be_bytes([a, b, c, d]).wrapping_sub(slot.departed);
        Some(Departure {
            at_us: now.saturating_sub(u64::from(ago)),
            size_bytes: slot.size_bytes,
            before,
        })
    }

    fn remembers(&self, number: u64) -> bool {
        number < self.next && self.next - number <= REMEMBERED as u64 && number >= 1 << 16
    }
}

/// Returns a duration in microseconds, without the division of 128 bits that `as_micros` takes.
pub(super) fn micros(duration: Duration) -> u64 {
    duration.as_secs() * 1_000_000 + u64::from(duration.subsec_micros())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the remainder is below the length"
)]
fn place(number: u64) -> usize {
    (number % REMEMBERED as u64) as usize
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;

    #[test]
    fn departures_are_found_by_wire_number_until_others_take_their_place() {
        let start = Instant::now();
        let mut sent = Sent::new(start);
        // Longer than the times of the ring take to come round.
        let step = Duration::from_secs(30);
        for number in 0..70_000_u32 {
            sent.note(start + step * number, 1000);
        }
        let now = start + step * 69_999;
        let last = sent.find(4463).unwrap();
        let found = sent.settle(now, last, Fate::Missing).unwrap();
        assert_eq!(found.at_us, micros(step * 69_999));
        let again = sent.settle(now, last, Fate::Arrived).unwrap();
        assert_eq!(again.before, Fate::Missing);
        let again = sent.settle(now, last, Fate::Missing).unwrap();
        assert_eq!(again.before, Fate::Arrived);
        let before = sent.find(4462).unwrap();
        let found = sent.settle(now, before, Fate::Arrived).unwrap();
        assert_eq!(found.at_us, micros(step * 69_998));
        assert_eq!(sent.find(4464 - 513), None);
        assert_eq!(sent.find(4464), None, "not sent");
    }

    #[test]
    fn a_packet_takes_eight_bytes() {
        assert_eq!(size_of::<Slot>(), 8);
    }
}
