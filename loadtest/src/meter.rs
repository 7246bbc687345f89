//! What one viewer received, counted packet by packet.

use std::time::Duration;

use serde::Serialize;

use crate::light::tally::Histogram;

/// Counts one RTP stream.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    sequence: Sequence,
    counts: Counts,
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
    ) -> bool {
        if !self.sequence.insert(sequence) {
            self.counts.repeated += 1;
            return false;
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
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            lost: self.sequence.missing(),
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
    /// Returns whether the number is new. What is older than the window counts as repeated.
    fn insert(&mut self, sequence: u16) -> bool {
        let number = i64::from(sequence);
        let (first, highest) = self.range.unwrap_or((number, number - 1));
        let number = extend(highest, sequence);
        if number <= highest - WINDOW {
            return false;
        }
        let skipped = (highest + 1..=number).take(usize::from(u16::MAX));
        for fresh in skipped {
            *self.word(fresh) &= !bit(fresh);
        }
        self.range = Some((first.min(number), highest.max(number)));
        let mask = bit(number);
        let word = self.word(number);
        if *word & mask != 0 {
            return false;
        }
        *word |= mask;
        self.unique += 1;
        true
    }

    fn missing(&self) -> u64 {
        let span = self.range.map_or(0, |(first, highest)| highest - first + 1);
        u64::try_from(span - self.unique).unwrap_or(0)
    }

    fn word(&mut self, number: i64) -> &mut u64 {
        let position = usize::try_from(number.rem_euclid(WINDOW)).unwrap_or(0);
        &mut self.seen[position / 64]
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_a_loss_until_it_is_filled() {
        let mut meter = Meter::default();
        for sequence in [10, 11, 13] {
            meter.handle_packet(sequence, false, 1);
        }
        assert_eq!(meter.counts().lost, 1);

        meter.handle_packet(12, false, 1);
        assert_eq!(
            meter.counts(),
            Counts {
                packets: 4,
                payload_bytes: 4,
                ..Counts::default()
            }
        );
    }

    #[test]
    fn a_wrap_is_no_gap() {
        let mut meter = Meter::default();
        for sequence in [65_534, 65_535, 0, 1] {
            meter.handle_packet(sequence, false, 1);
        }
        assert_eq!(meter.counts().lost, 0);
        assert_eq!(meter.counts().packets, 4);
    }

    #[test]
    fn a_repeated_packet_counts_once() {
        let mut meter = Meter::default();
        assert!(meter.handle_packet(1, true, 1));
        assert!(!meter.handle_packet(1, true, 1));
        let counts = meter.counts();
        assert_eq!((counts.packets, counts.frames, counts.repeated), (1, 1, 1));
    }

    #[test]
    fn a_packet_before_the_first_one_is_welcome() {
        let mut meter = Meter::default();
        meter.handle_packet(0, false, 1);
        meter.handle_packet(65_535, false, 1);
        assert_eq!((meter.counts().packets, meter.counts().lost), (2, 0));
    }

    #[test]
    fn padding_is_no_media_and_no_loss() {
        let mut meter = Meter::default();
        meter.handle_packet(1, true, 100);
        meter.handle_packet(2, true, 0);
        meter.handle_packet(3, true, 100);
        assert_eq!(
            meter.counts(),
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
        let mut meter = Meter::default();
        meter.handle_packet(0, false, 1);
        meter.handle_packet(5000, false, 1);
        assert!(!meter.handle_packet(0, false, 1));
        for sequence in 4500..5000 {
            meter.handle_packet(sequence, false, 1);
        }
        assert_eq!((meter.counts().packets, meter.counts().lost), (502, 4499));
    }
}
