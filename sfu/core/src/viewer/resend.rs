//! How often a viewer gets a packet again: the limits that a storm of NACKs runs into.

use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use crate::rtp::seq::SeqNo;

/// Between two retransmissions of the same packet, at the least.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// So much sooner one may go, as long as a round trip has passed, and the next one so much later: browsers ask again
/// after 100 ms, and what is asked for may have waited for its turn.
const SLACK: Duration = Duration::from_millis(20);
/// Retransmissions of one packet.
const MAX_TIMES: u8 = 10;
/// Packets whose retransmissions are remembered.
const REMEMBERED: usize = 256;
/// What a viewer may get again before anything was sent, and at most has in store, in bytes.
const MAX_BUDGET: u32 = 64 * 1024;
/// One byte again for so many sent.
const SHARE: u32 = 4;

/// What one track of one viewer was sent again.
#[derive(Debug)]
pub(super) struct Resend {
    /// Slot `seq % REMEMBERED`; empty until the first retransmission.
    sent: Vec<Option<Sent>>,
    /// When that was; `None` before.
    since: Option<Instant>,
    /// What may still be sent again, in bytes.
    budget: u32,
    /// The last number on the stream of retransmissions.
    highest: SeqNo,
    /// The first packet that may go again: those before are of a picture that is over.
    first: SeqNo,
}

/// One packet that was sent again, in few bytes: on a bad path every viewer has a table of them.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// The lower half of its number.
    seq: u32,
    /// When it went, or was to go at the earliest, in milliseconds since the first retransmission, modulo 2^32.
    at_ms: u32,
    times: NonZeroU8,
}

impl Resend {
    pub(super) fn new(first: SeqNo) -> Self {
        Self {
            sent: Vec::new(),
            since: None,
            budget: MAX_BUDGET,
            highest: first,
            first: SeqNo(0),
        }
    }

    /// Sends nothing from before a number again.
    pub(super) fn forsake(&mut self, first: SeqNo) {
        self.first = first;
    }

    /// Notes that media was sent: retransmissions may be a quarter of it.
    pub(super) fn earn(&mut self, bytes: u32) {
        self.budget = MAX_BUDGET.min(self.budget + bytes / SHARE);
    }

    /// Notes that media was sent with which a picture begins: nothing is shown without it, so that all of it may go again.
    pub(super) fn earn_whole(&mut self, bytes: u32) {
        self.budget = MAX_BUDGET.min(self.budget + bytes);
    }

    /// Returns whether the packet may go again now, and takes it as gone.
    pub(super) fn allow(
        &mut self,
        now: Instant,
        round_trip: Duration,
        seq: SeqNo,
        bytes: u32,
    ) -> bool {
        if seq < self.first {
            return false;
        }
        if self.sent.is_empty() {
            self.sent.resize(REMEMBERED, None);
        }
        let Some(slot) = self.sent.get_mut(place(seq)) else {
            return false;
        };
        let since = *self.since.get_or_insert(now);
        let seq = lower(seq.0.into());
        let now_ms = lower(now.saturating_duration_since(since).as_millis());
        let before = slot.filter(|sent| sent.seq == seq);
        if before.is_some_and(|sent| sent.is_too_soon(now_ms, round_trip)) || self.budget < bytes {
            return false;
        }
        self.budget -= bytes;
        let times = before.map_or(NonZeroU8::MIN, |sent| sent.times.saturating_add(1));
        let at_ms = before.map_or(now_ms, |sent| sent.next_ms(now_ms));
        *slot = Some(Sent { seq, at_ms, times });
        true
    }

    /// Returns the next number of the stream of retransmissions.
    pub(super) fn next(&mut self) -> SeqNo {
        self.highest = SeqNo(self.highest.0 + 1);
        self.highest
    }
}

impl Sent {
    /// Returns whether the packet may not go again yet, or never.
    fn is_too_soon(self, now_ms: u32, round_trip: Duration) -> bool {
        let least = round_trip.max(MIN_INTERVAL.saturating_sub(SLACK));
        let passed = i128::from(now_ms.wrapping_sub(self.at_ms).cast_signed());
        self.times.get() >= MAX_TIMES || passed < least.as_millis().cast_signed()
    }

    /// Returns from when on the next interval counts where the packet goes now.
    fn next_ms(self, now_ms: u32) -> u32 {
        let due_ms = self.at_ms.wrapping_add(lower(MIN_INTERVAL.as_millis()));
        let early_ms = due_ms.wrapping_sub(now_ms).cast_signed().max(0);
        now_ms.wrapping_add(early_ms.cast_unsigned())
    }
}

fn lower(number: u128) -> u32 {
    u32::try_from(number & u128::from(u32::MAX)).unwrap_or(0)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the remainder is below the length"
)]
fn place(seq: SeqNo) -> usize {
    (seq.0 % REMEMBERED as u64) as usize
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;

    #[test]
    fn a_packet_goes_again_once_in_a_round_trip_and_ten_times_in_all() {
        let start = Instant::now();
        let mut resend = Resend::new(SeqNo(1));
        let round_trip = Duration::from_millis(300);
        let times = (0..100_000)
            .step_by(10)
            .filter(|&ms| {
                resend.earn(10_000);
                resend.allow(
                    start + Duration::from_millis(ms),
                    round_trip,
                    SeqNo(5),
                    1000,
                )
            })
            .collect::<Vec<_>>();
        assert_eq!(
            times,
            [0, 300, 600, 900, 1200, 1500, 1800, 2100, 2400, 2700]
        );
    }

    #[test]
    fn what_is_asked_for_again_a_little_early_goes_and_is_made_up_for() {
        let start = Instant::now();
        let mut resend = Resend::new(SeqNo(1));
        let mut ask = |ms| {
            let now = start + Duration::from_millis(ms);
            resend.allow(now, Duration::from_millis(30), SeqNo(5), 1000)
        };
        let asked = [0, 79, 85, 170, 180, 279, 280, 500, 580];
        let gone = asked.map(&mut ask);
        let yes_no = [true, false, true, false, true, false, true, true, true];
        assert_eq!(gone, yes_no);
    }

    #[test]
    fn what_is_over_does_not_go_again_and_what_begins_may_whole() {
        let start = Instant::now();
        let mut resend = Resend::new(SeqNo(1));
        resend.forsake(SeqNo(7));
        assert!(!resend.allow(start, MIN_INTERVAL, SeqNo(6), 1000));
        assert!(resend.allow(start, MIN_INTERVAL, SeqNo(7), MAX_BUDGET));
        assert!(!resend.allow(start, MIN_INTERVAL, SeqNo(8), 1000));
        resend.earn_whole(1000);
        assert!(resend.allow(start, MIN_INTERVAL, SeqNo(8), 1000));
    }

    #[test]
    fn what_is_remembered_of_a_viewer_is_small() {
        assert!(size_of::<Option<Sent>>() * REMEMBERED <= 3 * 1024);
    }

    #[test]
    fn a_storm_gets_no_more_than_a_quarter_of_what_was_sent() {
        let start = Instant::now();
        let mut resend = Resend::new(SeqNo(1));
        let (mut sent, mut again) = (0, 0);
        for seq in 0..10_000 {
            resend.earn(1200);
            sent += 1200;
            for _ in 0..10 {
                again += 1200 * u32::from(resend.allow(start, MIN_INTERVAL, SeqNo(seq), 1200));
            }
        }
        assert!(again <= sent / SHARE + MAX_BUDGET, "{again} of {sent}");
        assert!(again >= sent / SHARE / 2, "{again} of {sent}");
    }
}
