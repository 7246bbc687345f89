//! The fallback for viewers without transport-wide feedback: what they say themselves (`goog-remb`), or at the least
//! how much they lose (draft-ietf-rmcat-gcc-02, section 6).

use std::time::{Duration, Instant};

use super::rate::Bitrate;

/// Loss above which the rate falls, and below which it rises, in 1/256 (10 % and 2 %).
const HIGH: u8 = 26;
const LOW: u8 = 5;
/// Growth where little is lost, in hundredths of the rate a report, that come once a second or so.
const INCREASE: u64 = 108;
/// A bound that was not touched for so long is forgotten.
const FORGET: Duration = Duration::from_secs(60);
/// An estimate of the viewer counts for so long.
const REMEMBERED: Duration = Duration::from_secs(10);

/// What a viewer's reports say about its path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reports {
    /// Its own estimate, and when it came; `None` when it sends none.
    told: Option<(Bitrate, Instant)>,
    /// The bound that losses have drawn, and when; `None` while little is lost.
    bound: Option<(Bitrate, Instant)>,
}

impl Reports {
    /// Takes a viewer's own estimate.
    pub(crate) fn tell(&mut self, now: Instant, estimate: Bitrate) {
        self.told = Some((estimate, now));
    }

    /// Takes how much a report says is lost of what is sent at a rate, in 1/256.
    pub(crate) fn note_loss(&mut self, now: Instant, lost: u8, sent: Bitrate) {
        if lost > HIGH {
            let bound = self.bound.map_or(sent, |(bound, _)| bound.min(sent));
            let cut = bound.percent(u64::from(lost) * 50 / 256);
            self.bound = Some((bound.without(cut), now));
        } else if lost < LOW
            && let Some((bound, at)) = self.bound
        {
            let is_old = now.saturating_duration_since(at) > FORGET;
            self.bound = (!is_old).then_some((bound.percent(INCREASE), at));
        }
    }

    /// Returns whether the viewer tells an estimate of its own.
    pub(crate) fn is_told(&self, now: Instant) -> bool {
        self.told(now).is_some()
    }

    fn told(&self, now: Instant) -> Option<Bitrate> {
        let is_recent =
            |(_, at): &(Bitrate, Instant)| now.saturating_duration_since(*at) < REMEMBERED;
        self.told.filter(is_recent).map(|(estimate, _)| estimate)
    }

    /// Returns what the path carries; `None` while nothing bounds it.
    pub(crate) fn estimate(&self, now: Instant) -> Option<Bitrate> {
        let told = self.told(now);
        // While a picture is paused, or some loss stays, no report says that it is over.
        let bound = self
            .bound
            .filter(|(_, at)| now.saturating_duration_since(*at) < FORGET);
        told.or_else(|| bound.map(|(bound, _)| bound))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;

    #[test]
    fn a_viewers_own_estimate_counts_while_it_is_fresh() {
        let start = Instant::now();
        let mut reports = Reports::default();
        assert_eq!(reports.estimate(start), None);
        reports.tell(start, Bitrate::kbps(700));
        assert_eq!(reports.estimate(start), Some(Bitrate::kbps(700)));
        assert_eq!(reports.estimate(start + REMEMBERED), None);
    }

    #[test]
    fn without_one_heavy_loss_draws_a_bound_that_rises_again() {
        let start = Instant::now();
        let mut reports = Reports::default();
        let sent = Bitrate::kbps(2000);
        reports.note_loss(start, 13, sent);
        assert_eq!(reports.estimate(start), None, "five of a hundred");
        reports.note_loss(start, 128, sent);
        let bound = reports.estimate(start).unwrap();
        assert_eq!(bound, sent.percent(75));
        reports.note_loss(start, 0, sent);
        assert_eq!(reports.estimate(start), Some(bound.percent(108)));
        let soon = start + FORGET - Duration::from_millis(1);
        reports.note_loss(soon, 13, sent);
        assert!(reports.estimate(soon).is_some());
        assert_eq!(reports.estimate(start + FORGET), None, "whatever is said");
        reports.note_loss(start + FORGET * 2, 0, sent);
        assert_eq!(reports.estimate(start + FORGET * 2), None);
    }
}
