//! The packets that were sent last, by their transport-wide numbers: when, and how large.

use std::time::{Duration, Instant};

/// Packets remembered at first: more than a second of what most viewers get. Where that is too little, see [`Sent::reach`].
const REMEMBERED: usize = 256;
/// Packets remembered at most: where the way is long, or a deep queue stands, reports speak of earlier ones.
const MOST: usize = 2048;

/// The first number: one below it is still a number.
const FIRST: u64 = 1 << 16;

/// A ring of what was sent. Eight bytes a packet.
#[derive(Debug)]
pub(super) struct Sent {
    /// Slot `number % slots.len()`, a power of two; empty until the first packet.
    slots: Box<[Slot]>,
    /// The number of the next packet.
    next: u64,
    /// Nothing before this number is remembered, however large the ring has become since.
    since: u64,
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
            next: FIRST,
            since: FIRST,
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
        let slot = self.slots.get(self.place(self.next));
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
        let place = self.place(self.next);
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Slot {
                departed,
                size_bytes: u16::try_from(size_bytes).unwrap_or(u16::MAX),
                fate: Fate::Unknown,
            };
        }
        self.next += 1;
    }

    /// Makes room for what is forgotten too soon, if `wire` is the number of such a packet; returns whether it is.
    pub(super) fn reach(&mut self, wire: u16) -> bool {
        let behind = self.behind(wire);
        let was_sent = self.next >= behind + FIRST && behind <= 1 << 15;
        let is_forgotten = was_sent && self.next - behind < self.oldest();
        let wanted = usize::try_from(behind).map_or(MOST, |behind| {
            (behind + behind / 4).next_power_of_two().min(MOST)
        });
        if is_forgotten && wanted > self.slots.len() {
            self.since = self.oldest();
            let mut larger: Box<[Slot]> = vec![Slot::default(); wanted].into();
            for number in self.since..self.next {
                let slot = self.slots.get(self.place(number)).copied();
                if let Some((place, slot)) = larger.get_mut(place(number, wanted)).zip(slot) {
                    *place = slot;
                }
            }
            self.slots = larger;
        }
        is_forgotten
    }

    /// Returns the number of the first packet that is remembered.
    pub(super) fn oldest(&self) -> u64 {
        let oldest = self.next.saturating_sub(self.slots.len() as u64);
        oldest.max(self.since)
    }

    /// Returns the number that a wire number stands for; `None` when it is not remembered.
    pub(super) fn find(&self, wire: u16) -> Option<u64> {
        let number = self.next.checked_sub(self.behind(wire))?;
        self.remembers(number).then_some(number)
    }

    /// Notes what became of a packet and returns its departure.
    pub(super) fn settle(&mut self, now: Instant, number: u64, fate: Fate) -> Option<Departure> {
        if !self.remembers(number) {
            return None;
        }
        let now = self.time(now);
        let place = self.place(number);
        let slot = self.slots.get_mut(place)?;
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
        number < self.next && number >= self.oldest()
    }

    /// Returns how many packets ago the one of a wire number left, modulo 2^16.
    fn behind(&self, wire: u16) -> u64 {
        let [.., h, l] = self.next.to_be_bytes();
        u64::from(u16::from_be_bytes([h, l]).wrapping_sub(wire))
    }

    fn place(&self, number: u64) -> usize {
        place(number, self.slots.len())
    }
}

/// Returns a duration in microseconds, without the division of 128 bits that `as_micros` takes.
pub(super) fn micros(duration: Duration) -> u64 {
    duration.as_secs() * 1_000_000 + u64::from(duration.subsec_micros())
}

/// Returns the place of a number in a ring of so many, a power of two.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is left is below the length"
)]
fn place(number: u64, len: usize) -> usize {
    (number & (len as u64).wrapping_sub(1)) as usize
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
        assert_eq!(sent.find(4464 - 257), None);
        assert_eq!(sent.find(4464), None, "not sent");
    }

    #[test]
    fn what_is_asked_for_too_late_is_remembered_for_longer_from_then_on() {
        let start = Instant::now();
        let mut sent = Sent::new(start);
        let step = Duration::from_millis(1);
        let wire = |number: u32| u16::try_from(number % 65_536).unwrap();
        for number in 0..3000_u32 {
            sent.note(start + step * number, 1000);
        }
        assert!(!sent.reach(wire(2999 - 255)), "remembered");
        assert!(sent.reach(wire(2999 - 700)));
        assert!(sent.find(wire(2999 - 255)).is_some(), "still");
        assert_eq!(sent.find(wire(2999 - 700)), None, "gone");
        for number in 3000..6000_u32 {
            sent.note(start + step * number, 1000);
        }
        let now = start + step * 6000;
        let number = sent.find(wire(5999 - 700)).unwrap();
        let found = sent.settle(now, number, Fate::Arrived).unwrap();
        assert_eq!(found.at_us, micros(step * 5299));
        assert_eq!(sent.slots.len(), 1024);
        assert!(sent.reach(wire(5999 - 1700)));
        assert_eq!(sent.slots.len(), MOST);
        assert!(!sent.reach(wire(6100)), "not sent");
    }

    #[test]
    fn a_packet_takes_eight_bytes() {
        assert_eq!(size_of::<Slot>(), 8);
    }
}
