//! Which layer of the picture fits what a path carries. Sound comes first, then repairs, and the picture gets the
//! rest: the best layer that fits, or none when not even the least does.

use std::time::{Duration, Instant};

use super::rate::Bitrate;

/// A better layer must fit with so much room, in hundredths of its rate.
const ROOM: u64 = 120;
/// What a path is probed for, in hundredths of the rate of the best layer.
const GOAL: u64 = 125;
/// A layer that needs more than so many hundredths of what there is goes at once.
const FAR_OVER: u64 = 150;
/// How long another one that does not fit stays while packets wait in a queue.
const GRACE: Duration = Duration::from_millis(300);
/// How long it stays while they do not: the estimate may be wrong.
const LONG_GRACE: Duration = Duration::from_millis(1500);
/// A least layer that needs more than so many hundredths of what there is, for so long, is hopeless.
const HOPELESS: u64 = 130;
const HOPE: Duration = Duration::from_secs(2);
/// Between two changes, the second of which is to a better layer: at first, and at most after some that failed.
const CALM: Duration = Duration::from_secs(2);
const MAX_CALM: Duration = Duration::from_secs(32);
/// A better layer that is left within this has failed.
const TRIAL: Duration = Duration::from_secs(8);
/// Where what is known of a path only follows what is sent, the next better layer is tried after so long; and after at most
/// so long where that has failed.
const LEAP: Duration = Duration::from_secs(10);
const MAX_LEAP: Duration = Duration::from_secs(120);

/// A layer that could be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Its place among the publisher's layers.
    pub layer: u8,
    /// What it takes; `None` while it is not known.
    pub rate: Option<Bitrate>,
    /// Whether somebody chose it by hand. It is shown first, and stays until it is hopeless.
    pub is_chosen: bool,
}

/// What there is for the picture.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// What the path carries beside sound and repairs.
    pub rate: Bitrate,
    /// Whether packets wait in a queue, or are lost to it.
    pub is_congested: bool,
    /// What of it the path has just been shown to carry; `None` when that was long ago.
    pub proved: Option<Bitrate>,
    /// The most that can be shown; `None` where nothing can beforehand.
    pub provable: Option<Bitrate>,
    /// Whether the viewer tells the rate, which follows what arrives: of much more it never tells by itself.
    pub is_blind: bool,
}

/// What a viewer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This layer, by its place among the rungs.
    Show(usize),
    /// No picture.
    Pause,
}

/// Chooses layers for one viewer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocator {
    /// Since when the layer that is shown does not fit; `None` while it does.
    over: Option<Instant>,
    /// Since when the least one, or one that was chosen, is hopeless; `None` while it is not.
    hopeless: Option<Instant>,
    /// When it was first chosen for; `None` before.
    began: Option<Instant>,
    /// The last change of the layer; `None` before.
    changed: Option<Change>,
    /// Better layers that failed one after the other.
    failures: u32,
}

/// A change of the layer.
#[derive(Clone, Copy, Debug)]
struct Change {
    at: Instant,
    is_better: bool,
}

impl Allocator {
    /// Begins anew with what somebody has chosen by hand; what failed before stays known.
    pub fn begin_anew(&mut self) {
        (self.over, self.hopeless) = (None, None);
    }

    /// Chooses among `rungs`, the best first, at least one. `shown` is the place of the present one; `None` before
    /// the first choice and while there is no picture.
    pub fn pick(
        &mut self,
        now: Instant,
        rungs: &[Rung],
        shown: Option<Pick>,
        budget: &Budget,
    ) -> Pick {
        self.began.get_or_insert(now);
        let pick = match shown {
            None if rungs.first().is_some_and(|rung| rung.is_chosen) => Pick::Show(0),
            None => fitting(rungs, budget.rate),
            Some(Pick::Pause) => self.resume(now, rungs, budget),
            Some(Pick::Show(place)) => self.keep(now, rungs, place, budget),
        };
        if let Some(before) = shown.filter(|before| *before != pick) {
            let is_better = rank(pick) < rank(before);
            self.note_change(now, is_better);
        }
        pick
    }

    /// Returns what the path should be probed for, beside sound: there is something to win.
    pub fn goal(rungs: &[Rung], picked: Pick) -> Option<Bitrate> {
        let better = match picked {
            Pick::Show(0) => return None,
            Pick::Show(place) => rungs.get(..place)?,
            Pick::Pause => rungs,
        };
        let best = better.iter().filter_map(|rung| rung.rate).max()?;
        Some(best.percent(GOAL))
    }

    /// Returns whether the layer is too much by far, so that it should end before the next one has begun.
    pub fn is_far_over(rung: &Rung, budget: &Budget) -> bool {
        let bound = budget.rate.percent(FAR_OVER);
        budget.is_congested && rung.rate.is_some_and(|rate| rate > bound)
    }

    fn keep(&mut self, now: Instant, rungs: &[Rung], place: usize, budget: &Budget) -> Pick {
        let shown = Pick::Show(place);
        let Some(rung) = rungs.get(place) else {
            return fitting(rungs, budget.rate);
        };
        if rung.fits(budget.rate) {
            (self.over, self.hopeless) = (None, None);
            return self.raise(now, (rungs, place), budget).unwrap_or(shown);
        }
        let lower = rungs.get(place + 1..).unwrap_or_default();
        let is_over = if rung.is_chosen || lower.is_empty() {
            self.is_hopeless(now, rung, budget)
        } else {
            self.is_over(now, rung, budget)
        };
        if !is_over {
            return shown;
        }
        (self.over, self.hopeless) = (None, None);
        if lower.is_empty() {
            return Pick::Pause;
        }
        match fitting(lower, budget.rate) {
            Pick::Show(below) => Pick::Show(place + 1 + below),
            Pick::Pause => Pick::Pause,
        }
    }

    /// Returns whether a layer that does not fit has had its time.
    fn is_over(&mut self, now: Instant, rung: &Rung, budget: &Budget) -> bool {
        let over = *self.over.get_or_insert(now);
        let grace = if Self::is_far_over(rung, budget) {
            Duration::ZERO
        } else if budget.is_congested {
            GRACE
        } else {
            LONG_GRACE
        };
        now.saturating_duration_since(over) >= grace
    }

    /// Returns a better layer that fits and may be gone over to now.
    fn raise(
        &self,
        now: Instant,
        (rungs, place): (&[Rung], usize),
        budget: &Budget,
    ) -> Option<Pick> {
        let better = rungs.get(..place).filter(|better| !better.is_empty())?;
        if budget.is_congested || !self.is_calm(now) {
            return None;
        }
        let place = better.iter().position(|rung| rung.is_proved(budget));
        let next = || self.may_leap(now, budget).then(|| place_of_last(better));
        place.or_else(next).map(Pick::Show)
    }

    /// Returns whether a layer does not fit by much, and has not for some time.
    fn is_hopeless(&mut self, now: Instant, rung: &Rung, budget: &Budget) -> bool {
        let bound = budget.rate.percent(HOPELESS);
        if rung.rate.is_none_or(|rate| rate <= bound) {
            self.hopeless = None;
            return false;
        }
        // What is only assumed of a path, before anything of the picture was sent, is no reason.
        let is_assumed = !budget.is_congested && budget.provable.is_some();
        if self.hopeless.is_none() && is_assumed {
            return false;
        }
        let since = *self.hopeless.get_or_insert(now);
        now.saturating_duration_since(since) >= HOPE
    }

    fn resume(&self, now: Instant, rungs: &[Rung], budget: &Budget) -> Pick {
        if budget.is_congested || !self.is_calm(now) {
            return Pick::Pause;
        }
        let place = rungs.iter().position(|rung| rung.is_proved(budget));
        let least = || self.may_leap(now, budget).then(|| place_of_last(rungs));
        place.or_else(least).map_or(Pick::Pause, Pick::Show)
    }

    /// Returns whether it is time to try what nothing can show beforehand.
    fn may_leap(&self, now: Instant, budget: &Budget) -> bool {
        let wait = (LEAP * (1 << self.failures.min(4))).min(MAX_LEAP);
        let since = self.changed.map(|change| change.at).or(self.began);
        let waited = since.is_some_and(|since| now.saturating_duration_since(since) >= wait);
        budget.is_blind && waited
    }

    fn is_calm(&self, now: Instant) -> bool {
        let calm = (CALM * (1 << self.failures.min(4))).min(MAX_CALM);
        self.changed.is_none_or(|change| {
            // What has just succeeded may go on: its failures come later.
            let calm = if change.is_better { CALM } else { calm };
            now.saturating_duration_since(change.at) >= calm
        })
    }

    fn note_change(&mut self, now: Instant, is_better: bool) {
        if let Some(before) = self.changed.filter(|before| before.is_better) {
            let lasted = now.saturating_duration_since(before.at);
            if lasted >= TRIAL {
                self.failures = 0;
            } else if !is_better {
                self.failures += 1;
            }
        }
        self.changed = Some(Change { at: now, is_better });
    }
}

impl Rung {
    fn fits(&self, rate: Bitrate) -> bool {
        self.rate.is_none_or(|own| own <= rate)
    }

    /// Returns whether the path is shown to carry this, or as much of it as can be. Where nothing can be shown
    /// beforehand, going over is what shows it.
    fn is_proved(&self, budget: &Budget) -> bool {
        let Some(needed) = self.rate.map(|own| own.percent(ROOM)) else {
            return false;
        };
        match budget.provable {
            Some(most) => {
                let proved = budget.proved.unwrap_or_default().min(budget.rate);
                needed.min(most) <= proved
            }
            None => needed <= budget.rate,
        }
    }
}

/// Returns the best that fits, else the least.
fn fitting(rungs: &[Rung], rate: Bitrate) -> Pick {
    let fits = |rung: &Rung| rung.fits(rate);
    let place = rungs.iter().position(fits);
    Pick::Show(place.unwrap_or_else(|| place_of_last(rungs)))
}

fn place_of_last(rungs: &[Rung]) -> usize {
    rungs.len().saturating_sub(1)
}

fn rank(pick: Pick) -> usize {
    match pick {
        Pick::Show(place) => place,
        Pick::Pause => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rungs(kbps: &[u64]) -> Vec<Rung> {
        let rung = |(layer, kbps): (u8, &u64)| Rung {
            layer,
            rate: Some(Bitrate::kbps(*kbps)),
            is_chosen: false,
        };
        (0..).zip(kbps).map(rung).collect()
    }

    fn budget(kbps: u64, is_congested: bool, is_proved: bool) -> Budget {
        Budget {
            rate: Bitrate::kbps(kbps),
            is_congested,
            proved: is_proved.then_some(Bitrate::kbps(kbps)),
            provable: Some(Bitrate::kbps(11_000)),
            is_blind: false,
        }
    }

    /// Chooses every 100 ms with one budget; returns after how many seconds what is shown changes, and to what.
    fn change(
        allocator: &mut Allocator,
        start: Instant,
        rungs: &[Rung],
        (shown, budget): (Pick, Budget),
    ) -> Option<(f64, Pick)> {
        (0..200_u32).find_map(|step| {
            let now = start + SECOND / 10 * step;
            let pick = allocator.pick(now, rungs, Some(shown), &budget);
            (pick != shown).then_some((f64::from(step) / 10.0, pick))
        })
    }

    #[test]
    fn what_does_not_fit_by_far_goes_at_once_and_what_nearly_fits_only_if_a_queue_stands() {
        let start = Instant::now();
        let rungs = rungs(&[2500, 600, 150]);
        for (kbps, is_congested, expected) in [
            (500, true, (0.0, Pick::Show(2))),
            (2200, true, (0.3, Pick::Show(1))),
            (2200, false, (1.5, Pick::Show(1))),
        ] {
            let state = (Pick::Show(0), budget(kbps, is_congested, false));
            let changed = change(&mut Allocator::default(), start, &rungs, state);
            assert_eq!(changed, Some(expected), "{kbps}");
        }
        let state = (Pick::Show(0), budget(2600, true, false));
        assert_eq!(
            change(&mut Allocator::default(), start, &rungs, state),
            None
        );
    }

    #[test]
    fn a_better_layer_needs_room_and_a_proof() {
        let start = Instant::now();
        let rungs = rungs(&[2500, 600, 150]);
        let mut allocator = Allocator::default();
        for (kbps, is_proved, expected) in [
            (2600, true, Some((0.0, Pick::Show(1)))),
            (3100, false, None),
            (3100, true, Some((0.0, Pick::Show(0)))),
        ] {
            let state = (Pick::Show(2), budget(kbps, false, is_proved));
            let changed = change(&mut Allocator::default(), start, &rungs, state);
            assert_eq!(changed, expected, "{kbps}");
        }
        let goal = Allocator::goal(&rungs, Pick::Show(2));
        assert_eq!(goal, Some(Bitrate::kbps(2500).percent(GOAL)));
        assert_eq!(Allocator::goal(&rungs, Pick::Show(0)), None);
        let state = (Pick::Show(1), budget(3100, true, true));
        assert_eq!(
            change(&mut allocator, start, &rungs, state),
            None,
            "a queue"
        );
    }

    #[test]
    fn a_picture_of_which_nothing_fits_pauses_and_returns() {
        let start = Instant::now();
        for rungs in [rungs(&[900]), rungs(&[2500, 900])] {
            let mut allocator = Allocator::default();
            let last = Pick::Show(rungs.len() - 1);
            let state = (last, budget(750, true, false));
            assert_eq!(change(&mut allocator, start, &rungs, state), None);
            let state = (last, budget(300, true, false));
            let paused = Some((2.0, Pick::Pause));
            assert_eq!(change(&mut allocator, start, &rungs, state), paused);
            let goal = Allocator::goal(&rungs, Pick::Pause);
            assert!(goal >= Some(Bitrate::kbps(900)));
            let later = start + SECOND * 30;
            let state = (Pick::Pause, budget(1100, false, true));
            let shown = Some((0.0, last));
            assert_eq!(change(&mut allocator, later, &rungs, state), shown);
        }
    }

    #[test]
    fn a_picture_that_needs_more_than_is_assumed_of_a_path_is_shown_until_a_queue_stands() {
        let start = Instant::now();
        let rungs = rungs(&[5000]);
        let mut allocator = Allocator::default();
        let state = (Pick::Show(0), budget(3000, false, false));
        assert_eq!(change(&mut allocator, start, &rungs, state), None);
        let state = (Pick::Show(0), budget(3000, true, false));
        let paused = Some((2.0, Pick::Pause));
        assert_eq!(
            change(&mut allocator, start + SECOND * 30, &rungs, state),
            paused
        );
    }

    #[test]
    fn a_layer_chosen_by_hand_is_shown_first_and_left_only_when_it_is_hopeless() {
        let start = Instant::now();
        let mut rungs = rungs(&[2500, 600, 150]);
        rungs[0].is_chosen = true;
        let mut allocator = Allocator::default();
        let narrow = budget(1000, true, false);
        let first = allocator.pick(start, &rungs, None, &narrow);
        assert_eq!(first, Pick::Show(0));
        let state = (Pick::Show(0), budget(2000, true, false));
        assert_eq!(change(&mut allocator, start, &rungs, state), None);
        let later = start + SECOND * 30;
        let left = Some((2.0, Pick::Show(1)));
        let state = (Pick::Show(0), narrow);
        assert_eq!(change(&mut allocator, later, &rungs, state), left);
        let later = start + SECOND * 60;
        let back = Some((0.0, Pick::Show(0)));
        let state = (Pick::Show(1), budget(3100, false, true));
        assert_eq!(change(&mut allocator, later, &rungs, state), back);
    }

    #[test]
    fn a_layer_that_needs_more_than_can_be_shown_is_tried_when_the_most_was() {
        let start = Instant::now();
        let rungs = rungs(&[14_000, 600]);
        for (kbps, expected) in [(11_500, Some((0.0, Pick::Show(0)))), (10_000, None)] {
            for shown in [Pick::Show(1), Pick::Pause] {
                let state = (shown, budget(kbps, false, true));
                let changed = change(&mut Allocator::default(), start, &rungs, state);
                let least = Some((0.0, Pick::Show(1))).filter(|_| shown == Pick::Pause);
                let expected = expected.or(least);
                assert_eq!(changed, expected, "{kbps}");
            }
        }
    }

    #[test]
    fn where_only_what_arrives_tells_the_next_better_layer_is_tried_later_each_time_that_fails() {
        let mut now = Instant::now();
        let rungs = rungs(&[2500, 600, 150]);
        let blind = |kbps, is_congested| Budget {
            provable: None,
            is_blind: true,
            ..budget(kbps, is_congested, false)
        };
        for (shown, kbps, next) in [
            (Pick::Pause, 70, Pick::Show(2)),
            (Pick::Show(2), 160, Pick::Show(1)),
        ] {
            let mut allocator = Allocator::default();
            allocator.pick(now, &rungs, Some(shown), &blind(kbps, false));
            let mut waits = Vec::new();
            for _ in 0..6 {
                let tried = (0..1300_u32).find(|step| {
                    let at = now + SECOND / 10 * *step;
                    allocator.pick(at, &rungs, Some(shown), &blind(kbps, false)) == next
                });
                let wait = SECOND / 10 * tried.unwrap();
                waits.push(wait.as_secs());
                now += wait;
                let state = (next, blind(50, true));
                let (failed, _) = change(&mut allocator, now, &rungs, state).unwrap();
                now += SECOND.mul_f64(failed);
            }
            assert_eq!(waits, [10, 20, 40, 80, 120, 120], "{shown:?}");
        }
    }

    #[test]
    fn a_layer_that_fails_is_tried_again_later_each_time() {
        let mut now = Instant::now();
        let rungs = rungs(&[2500, 600]);
        let mut allocator = Allocator::default();
        let mut waits = Vec::new();
        for _ in 0..4 {
            let state = (Pick::Show(1), budget(3000, false, true));
            let (wait, _) = change(&mut allocator, now, &rungs, state).unwrap();
            waits.push(wait);
            now += SECOND.mul_f64(wait);
            let state = (Pick::Show(0), budget(800, true, false));
            now += SECOND;
            assert!(change(&mut allocator, now, &rungs, state).is_some());
        }
        assert_eq!(waits, [0.0, 4.0, 8.0, 16.0]);
    }
}
