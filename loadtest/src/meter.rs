//! What one viewer received, counted packet by packet.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::light::tally::Histogram;

/// Counts one RTP stream.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    sequence: Sequence,
    counts: Counts,
    /// The last numbers that were skipped, and when, at most [`MAX_FRESH`]; some may have come since.
    fresh: VecDeque<(i64, Instant)>,
    /// Time from sending to the end of a frame, of frames that carry their send time.
    delays: Histogram,
}

/// What is known of one stream at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    /// Packets, without repeated ones.
    pub(crate) packets: u64,
    /// Their payloads.
    pub(crate) payload_bytes: u64,
    /// Packets with the marker bit: for video, ends of frames.
    pub(crate) frames: u64,
    /// Sequence numbers that were skipped and did not come later either.
    pub(crate) lost: u64,
    /// Numbers that were skipped so lately that they may still come.
    pub(crate) waiting: u64,
    /// Packets that had come before.
    pub(crate) repeated: u64,
}

impl Meter {
    /// Counts a packet, and returns whether it ends a frame.
    pub(crate) fn handle_packet(
        &mut self,
        sequence: u16,
        marker: bool,
        payload_bytes: usize,
        now: Instant,
    ) -> bool {
        let Some(skipped) = self.sequence.insert(sequence) else {
            self.counts.repeated += 1;
            return false;
        };
        for number in skipped {
            if self.fresh.len() == MAX_FRESH {
                self.fresh.pop_front();
            }
            self.fresh.push_back((number, now));
        }
        // Padding that a server sends to probe the way has no payload and is no media.
        if payload_bytes == 0 {
            return false;
        }
        self.counts.packets += 1;
        self.counts.payload_bytes += payload_bytes as u64;
        self.counts.frames += u64::from(marker);
        marker
    }

    /// Counts how long a frame was under way.
    pub(crate) fn handle_delay(&mut self, delay: Duration) {
        self.delays.add(delay);
    }

    /// Returns the numbers so far.
    pub(crate) fn counts(&self, now: Instant) -> Counts {
        let fresh = self.fresh.iter().filter(|(number, since)| {
            now.saturating_duration_since(*since) < PATIENCE && !self.sequence.has(*number)
        });
        let waiting = fresh.count() as u64;
        Counts {
            lost: self.sequence.missing().saturating_sub(waiting),
            waiting,
            ..self.counts
        }
    }

    /// Returns the delays so far.
    pub(crate) fn delays(&self) -> &Histogram {
        &self.delays
    }
}

/// Tells new sequence numbers from repeated ones, and counts those that are missing (RFC 3550, appendix A.1).
#[derive(Debug, Default)]
struct Sequence {
    /// The first and the highest number, extended by their wraps; `None` before the first packet.
    range: Option<(i64, i64)>,
    /// How many different numbers came.
    unique: i64,
    /// Bit `n % WINDOW` tells whether number `n` came, for the last `WINDOW` numbers.
    seen: [u64; WORDS],
}

impl Sequence {
    /// Returns the numbers that it skips; `None` when it is not new, as is what is older than the window.
    fn insert(&mut self, sequence: u16) -> Option<Range<i64>> {
        let number = i64::from(sequence);
        let (first, highest) = self.range.unwrap_or((number, number - 1));
        let number = extend(highest, sequence);
        if number <= highest - WINDOW || (number <= highest && self.has(number)) {
            return None;
        }
        let skipped = (highest + 1).max(number - WINDOW + 1)..number;
        for fresh in skipped.clone() {
            *self.word(fresh) &= !bit(fresh);
        }
        self.range = Some((first.min(number), highest.max(number)));
        *self.word(number) |= bit(number);
        self.unique += 1;
        Some(skipped)
    }

    fn has(&self, number: i64) -> bool {
        let highest = self.range.map_or(i64::MIN, |(_, highest)| highest);
        number <= highest && self.seen[place(number)] & bit(number) != 0
    }

    fn missing(&self) -> u64 {
        let span = self.range.map_or(0, |(first, highest)| highest - first + 1);
        u64::try_from(span - self.unique).unwrap_or(0)
    }

    fn word(&mut self, number: i64) -> &mut u64 {
        &mut self.seen[place(number)]
    }
}

fn place(number: i64) -> usize {
    usize::try_from(number.rem_euclid(WINDOW)).unwrap_or(0) / 64
}

fn bit(number: i64) -> u64 {
    1 << number.rem_euclid(64)
}

/// Returns the number nearest to `reference` whose lower 16 bits are `sequence`.
fn extend(reference: i64, sequence: u16) -> i64 {
    let low = u16::try_from(reference.rem_euclid(1 << 16)).unwrap_or(0);
    // The difference modulo 2^16, read as signed, is the shorter way round.
    reference + i64::from(sequence.wrapping_sub(low).cast_signed())
}

/// Numbers behind the highest one that may still come: two seconds at 500 packets a second.
const WINDOW: i64 = 1024;
const WORDS: usize = 16;
/// Holes whose age is known: more than come in the time below.
const MAX_FRESH: usize = 512;
/// So long a hole may be filled.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_a_loss_until_it_is_filled() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        for sequence in [10, 11, 13] {
            meter.handle_packet(sequence, false, 1, now);
        }
        assert_eq!(meter.counts(now + PATIENCE).lost, 1);

        meter.handle_packet(12, false, 1, now);
        assert_eq!(
            meter.counts(now + PATIENCE),
            Counts {
                packets: 4,
                payload_bytes: 4,
                ..Counts::default()
            }
        );
    }

    #[test]
    fn a_young_gap_may_still_be_filled() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        for sequence in [10, 13, 12] {
            meter.handle_packet(sequence, false, 1, now);
        }
        let told = |at| {
            let counts = meter.counts(at);
            (counts.lost, counts.waiting)
        };
        assert_eq!((told(now), told(now + PATIENCE)), ((0, 1), (1, 0)));
    }

    #[test]
    fn a_wrap_is_no_gap() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        for sequence in [65_534, 65_535, 0, 1] {
            meter.handle_packet(sequence, false, 1, now);
        }
        assert_eq!(meter.counts(now + PATIENCE).lost, 0);
        assert_eq!(meter.counts(now + PATIENCE).packets, 4);
    }

    #[test]
    fn a_repeated_packet_counts_once() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        assert!(meter.handle_packet(1, true, 1, now));
        assert!(!meter.handle_packet(1, true, 1, now));
        let counts = meter.counts(now + PATIENCE);
        assert_eq!((counts.packets, counts.frames, counts.repeated), (1, 1, 1));
    }

    #[test]
    fn a_packet_before_the_first_one_is_welcome() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        meter.handle_packet(0, false, 1, now);
        meter.handle_packet(65_535, false, 1, now);
        assert_eq!(
            (
                meter.counts(now + PATIENCE).packets,
                meter.counts(now + PATIENCE).lost
            ),
            (2, 0)
        );
    }

    #[test]
    fn padding_is_no_media_and_no_loss() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        meter.handle_packet(1, true, 100, now);
        meter.handle_packet(2, true, 0, now);
        meter.handle_packet(3, true, 100, now);
        assert_eq!(
            meter.counts(now + PATIENCE),
            Counts {
                packets: 2,
                payload_bytes: 200,
                frames: 2,
                ..Counts::default()
            }
        );
    }

    #[test]
    fn after_a_long_gap_old_marks_do_not_hide_new_packets() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        meter.handle_packet(0, false, 1, now);
        meter.handle_packet(5000, false, 1, now);
        assert!(!meter.handle_packet(0, false, 1, now));
        for sequence in 4500..5000 {
            meter.handle_packet(sequence, false, 1, now);
        }
        assert_eq!(
            (
                meter.counts(now + PATIENCE).packets,
                meter.counts(now + PATIENCE).lost
            ),
            (502, 4499)
        );
    }
}
