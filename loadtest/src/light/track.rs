//! One received stream: which numbers came, which are missing, and what to ask for (RFC 3550, appendix A;
//! RFC 4585, section 6.2.1).

use std::time::{Duration, Instant};

use serde::Serialize;

/// What is known of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    /// Different packets, also those that came only when asked for again.
    pub(crate) packets: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Packets with the marker bit: for video, ends of frames.
    pub(crate) frames: u64,
    /// Numbers that never came.
    pub(crate) lost: u64,
    /// Numbers that were still being asked for at the end.
    pub(crate) waiting: u64,
    /// Packets that had come before.
    pub(crate) repeated: u64,
    /// Packets that came behind a later one.
    pub(crate) reordered: u64,
    /// Packets that came again because they were asked for.
    pub(crate) recovered: u64,
}

impl Counts {
    /// Adds those of another stream.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
            frames: self.frames + other.frames,
            lost: self.lost + other.lost,
            waiting: self.waiting + other.waiting,
            repeated: self.repeated + other.repeated,
            reordered: self.reordered + other.reordered,
            recovered: self.recovered + other.recovered,
        }
    }
}

/// How a packet fits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is the newest.
    Newest,
    /// It fills a hole.
    Late,
    /// It was there, or is too old to know.
    Repeated,
}

/// Follows one SSRC.
#[derive(Debug)]
pub(crate) struct Track {
    counts: Counts,
    /// Whether what is missing is asked for.
    asks: bool,
    /// The first and the highest number, extended by their wraps; `None` before the first packet.
    range: Option<(i64, i64)>,
    /// How many different numbers came.
    unique: i64,
    /// Bit `n % WINDOW` tells whether number `n` came.
    seen: [u64; WORDS],
    /// What is missing and still wanted, oldest first, at most [`MAX_MISSING`].
    missing: Vec<Missing>,
    /// Interarrival jitter in clock units, and transit time of the last packet (appendix A.8).
    jitter: f64,
    transit: Option<i64>,
    /// Expected and received at the last report.
    reported: (i64, i64),
}

/// A hole.
#[derive(Clone, Copy, Debug)]
struct Missing {
    number: i64,
    since: Instant,
    asked_at: Option<Instant>,
    tries: u8,
}

impl Track {
    /// Starts without a packet.
    pub(crate) fn new(asks: bool) -> Self {
        Self {
            counts: Counts::default(),
            asks,
            range: None,
            unique: 0,
            seen: [0; WORDS],
            missing: Vec::new(),
            jitter: 0.0,
            transit: None,
            reported: (0, 0),
        }
    }

    /// Takes a packet of this size.
    pub(crate) fn handle(&mut self, seq: u16, marker: bool, bytes: usize, now: Instant) -> Place {
        let number = i64::from(seq);
        let (first, highest) = self.range.unwrap_or((number, number - 1));
        let number = extend(highest, seq);
        if number <= highest - WINDOW || (number <= highest && self.has(number)) {
            self.counts.repeated += 1;
            return Place::Repeated;
        }
        for skipped in (highest + 1).max(number - WINDOW + 1)..number {
            self.seen[word(skipped)] &= !bit(skipped);
            if self.asks && self.missing.len() < MAX_MISSING {
                self.missing.push(Missing {
                    number: skipped,
                    since: now,
                    asked_at: None,
                    tries: 0,
                });
            }
        }
        self.range = Some((first.min(number), highest.max(number)));
        self.seen[word(number)] |= bit(number);
        self.unique += 1;
        self.counts.packets += 1;
        self.counts.bytes += bytes as u64;
        self.counts.frames += u64::from(marker);
        if number > highest {
            return Place::Newest;
        }
        self.missing.retain(|hole| hole.number != number);
        self.counts.reordered += 1;
        Place::Late
    }

    /// Takes a packet that came again on the stream of retransmissions.
    pub(crate) fn handle_resent(&mut self, seq: u16, marker: bool, bytes: usize, now: Instant) {
        let behind = self
            .range
            .is_some_and(|(_, highest)| extend(highest, seq) <= highest);
        // What was never missed on the stream itself is probing.
        if behind && self.handle(seq, marker, bytes, now) == Place::Late {
            self.counts.reordered -= 1;
            self.counts.recovered += 1;
        }
    }

    /// Follows the jitter; both in units of the stream's clock.
    pub(crate) fn handle_transit(&mut self, arrival: i64, timestamp: u32) {
        let transit = arrival.wrapping_sub(i64::from(timestamp));
        if let Some(last) = self.transit.replace(transit) {
            let change = i32::try_from((transit - last).unsigned_abs() & 0xffff_ffff).unwrap_or(0);
            self.jitter += (f64::from(change) - self.jitter) / 16.0;
        }
    }

    /// Returns what to ask for now, and whether something was given up, which takes a keyframe to heal.
    pub(crate) fn poll_nack(&mut self, round_trip: Duration, now: Instant) -> (Vec<u16>, bool) {
        let patience = round_trip.max(MIN_RETRY);
        let before = self.missing.len();
        self.missing.retain(|hole| {
            let over =
                hole.tries >= MAX_TRIES && hole.asked_at.is_none_or(|at| now > at + patience);
            !over && now < hole.since + GIVE_UP
        });
        let gave_up = self.missing.len() < before;
        let due = self
            .missing
            .iter_mut()
            .filter(|hole| hole.tries < MAX_TRIES)
            .filter(|hole| hole.asked_at.is_none_or(|at| now >= at + patience));
        let seqs = due.map(|hole| {
            hole.asked_at = Some(now);
            hole.tries += 1;
            low(hole.number)
        });
        (seqs.collect(), gave_up)
    }

    /// Returns the numbers so far.
    pub(crate) fn counts(&self) -> Counts {
        let span = self.range.map_or(0, |(first, highest)| highest - first + 1);
        let waiting = self.missing.len() as u64;
        let absent = u64::try_from(span - self.unique).unwrap_or(0);
        Counts {
            lost: absent.saturating_sub(waiting),
            waiting,
            ..self.counts
        }
    }

    /// Returns the number of a packet that came lately, extended by its wraps.
    pub(crate) fn extended(&self, seq: u16) -> i64 {
        let highest = self.range.map_or(0, |(_, highest)| highest);
        extend(highest, seq)
    }

    /// Returns fraction lost, packets lost, highest number and jitter since the last call.
    pub(crate) fn report(&mut self) -> (u8, u32, u32, u32) {
        let (first, highest) = self.range.unwrap_or((0, -1));
        let expected = highest - first + 1;
        let (span, came) = (expected - self.reported.0, self.unique - self.reported.1);
        self.reported = (expected, self.unique);
        let fraction = ((span - came).max(0) * 256).checked_div(span).unwrap_or(0);
        let [.., h0, h1, h2, h3] = highest.to_be_bytes();
        (
            u8::try_from(fraction).unwrap_or(u8::MAX),
            u32::try_from(expected - self.unique).unwrap_or(0),
            u32::from_be_bytes([h0, h1, h2, h3]),
            whole(self.jitter),
        )
    }

    fn has(&self, number: i64) -> bool {
        self.seen[word(number)] & bit(number) != 0
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float casts saturate, which is wanted"
)]
fn whole(value: f64) -> u32 {
    value as u32
}

fn word(number: i64) -> usize {
    usize::try_from(number.rem_euclid(WINDOW)).unwrap_or(0) / 64
}

fn bit(number: i64) -> u64 {
    1 << number.rem_euclid(64)
}

fn low(number: i64) -> u16 {
    let [.., high, low] = number.to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// Returns the number nearest to `reference` whose lower 16 bits are `seq`.
pub(crate) fn extend(reference: i64, seq: u16) -> i64 {
    // The difference modulo 2^16, read as signed, is the shorter way round.
    reference + i64::from(seq.wrapping_sub(low(reference)).cast_signed())
}

/// Numbers that are remembered: a second at 8 Mb/s.
const WINDOW: i64 = 1024;
const WORDS: usize = 16;
/// Holes that are asked for at a time.
const MAX_MISSING: usize = 256;
/// As libwebrtc does.
const MAX_TRIES: u8 = 10;
/// Shortest time between two requests for the same packet.
const MIN_RETRY: Duration = Duration::from_millis(100);
/// A frame that late is of no use.
const GIVE_UP: Duration = Duration::from_millis(1500);

#[cfg(test)]
mod tests {
    use super::*;

    fn track(seqs: &[u16]) -> Track {
        let (mut track, now) = (Track::new(true), Instant::now());
        for &seq in seqs {
            track.handle(seq, false, 10, now);
        }
        track
    }

    #[test]
    fn numbers_that_wrap_are_in_order() {
        let counts = track(&[65_534, 65_535, 0, 1]).counts();
        assert_eq!(
            (
                counts.packets,
                counts.lost,
                counts.reordered,
                counts.repeated
            ),
            (4, 0, 0, 0)
        );
    }

    #[test]
    fn holes_late_and_repeated_packets_are_told_apart() {
        let counts = track(&[10, 12, 15, 13, 13, 9]).counts();
        assert_eq!(counts.packets, 5);
        assert_eq!((counts.lost, counts.waiting), (0, 2), "11 and 14");
        assert_eq!(counts.reordered, 2, "13 and 9");
        assert_eq!(counts.repeated, 1);
    }

    #[test]
    fn a_long_gap_is_loss_and_nothing_old_is_taken_for_new() {
        let mut track = track(&[0, 5000]);
        let counts = track.counts();
        assert_eq!(counts.lost + counts.waiting, 4999);
        assert_eq!(counts.waiting, 256, "no more are asked for at a time");
        let now = Instant::now();
        assert_eq!(track.handle(1, false, 1, now), Place::Repeated);
        assert_eq!(track.handle(4999, false, 1, now), Place::Late);
        assert_eq!(track.handle(4999, false, 1, now), Place::Repeated);
    }

    #[test]
    fn what_is_missing_is_asked_for_again_until_it_is_given_up() {
        let (mut track, mut now) = (track(&[1, 4]), Instant::now());
        let round_trip = Duration::from_millis(20);
        assert_eq!(track.poll_nack(round_trip, now), (vec![2, 3], false));
        assert_eq!(track.poll_nack(round_trip, now), (vec![], false));
        track.handle_resent(2, false, 10, now);
        now += Duration::from_millis(110);
        assert_eq!(track.poll_nack(round_trip, now), (vec![3], false));
        now += GIVE_UP;
        assert_eq!(track.poll_nack(round_trip, now), (vec![], true));
        let counts = track.counts();
        assert_eq!((counts.recovered, counts.reordered, counts.lost), (1, 0, 1));
    }

    #[test]
    fn a_report_counts_from_the_last_one() {
        let mut track = track(&[1, 2, 4]);
        let (fraction, lost, highest, _) = track.report();
        assert_eq!((fraction, lost, highest), (64, 1, 4));
        let (fraction, lost, ..) = track.report();
        assert_eq!((fraction, lost), (0, 1));
    }
}
