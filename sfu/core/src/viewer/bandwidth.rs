//! What a viewer's path carries, what of it the picture gets, and the pace of what would come all at once.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use crate::command::{Kind, SendTrack};
use crate::congestion::allocate::{Allocator, Budget, Pick, Rung};
use crate::congestion::estimate::{Estimator, START};
use crate::congestion::feedback::TransportFeedback;
use crate::congestion::probe::PROVABLE;
use crate::congestion::rate::Bitrate;
use crate::congestion::reports::Reports;
use crate::viewer::pacer::Pacer;
use crate::viewer::repairs::Repairs;
use crate::viewer::{Again, Moved};

/// Pace of what comes all at once, in hundredths of the estimate.
const PACE: u64 = 150;
/// Pace of a join, in hundredths of the layer's rate; what it is at least; and how it grows with each message that
/// says that nothing waits.
const JOIN_PACE: u64 = 300;
const MIN_JOIN_PACE: Bitrate = Bitrate::kbps(5000);
const JOIN_GROWTH: u64 = 150;
const MAX_PACE: Bitrate = Bitrate::kbps(15_000);
/// Repairs are kept free room for: at most this of the estimate, in hundredths.
const MAX_REPAIRS: u64 = 25;
/// How long the first report is waited for.
const SILENCE: Duration = Duration::from_secs(3);

/// The bandwidth of one viewer.
#[derive(Debug)]
pub(super) struct Bandwidth {
    /// `None` without transport-wide feedback.
    estimator: Option<Estimator>,
    /// What is known without an estimator.
    reports: Reports,
    /// Loss that the viewer's last report told, in 1/256; `None` when none came since.
    reported_loss: Option<u8>,
    allocator: Allocator,
    /// When it was chosen for first; `None` before.
    began: Option<Instant>,
    /// What it is to get of the picture, by layer; `None` before the first choice.
    picked: Option<Picked>,
    pacer: Pacer,
    /// Whether the path has told something since this was asked last.
    has_news: bool,
    /// Whether it is time to count what it carries.
    is_to_be_counted: bool,
    repairs: Repairs,
}

/// What a viewer is to get of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Picked {
    Layer(u8),
    Nothing,
}

/// What came of choosing anew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) picked: Picked,
    /// Whether what is shown now takes so much more than there is that it should end at once.
    pub(super) is_far_over: bool,
    /// How long what was sent stands in a queue.
    pub(super) queue: Duration,
    /// What the path should be probed for; `None` when there is nothing to win.
    pub(super) goal: Option<Bitrate>,
    /// What became of the picture; `None` when nothing did.
    pub(super) moved: Option<Moved>,
}

impl Bandwidth {
    pub(super) fn new(now: Instant, tracks: &[SendTrack]) -> Self {
        let has_number = |track: &SendTrack| super::number_id(track).is_some();
        let mut pictures = tracks.iter().filter(|track| track.kind == Kind::Video);
        // What sound alone tells of a path says nothing of what that carries.
        let has_numbers = match pictures.next() {
            Some(picture) => has_number(picture),
            None => tracks.iter().any(has_number),
        };
        Self {
            estimator: has_numbers.then(|| Estimator::new(now)),
            reports: Reports::default(),
            reported_loss: None,
            allocator: Allocator::default(),
            began: None,
            picked: None,
            pacer: Pacer::new(now),
            has_news: false,
            is_to_be_counted: false,
            repairs: Repairs::default(),
        }
    }

    /// Returns the estimate; `None` while it is not known.
    pub(super) fn estimate(&self, now: Instant) -> Option<Bitrate> {
        match &self.estimator {
            Some(estimator) => estimator.estimate(),
            None => self.reports.estimate(now),
        }
    }

    /// Returns the transport-wide number of the next packet.
    pub(super) fn next_number(&self) -> u16 {
        let estimator = self.estimator.as_ref();
        estimator.map_or(0, |estimator| estimator.next_number())
    }

    /// Touches what the next packet needs.
    pub(super) fn look_ahead(&self) -> u16 {
        let estimator = self.estimator.as_ref();
        estimator.map_or(0, Estimator::look_ahead)
    }

    /// Notes that the packet of this number left.
    pub(super) fn note_sent(&mut self, now: Instant, size_bytes: usize) {
        if let Some(estimator) = &mut self.estimator {
            estimator.note_sent(now, size_bytes);
        }
    }

    /// Takes transport-wide feedback. `catches_up` tells whether the viewer is being shown the past.
    pub(super) fn handle_feedback(
        &mut self,
        now: Instant,
        feedback: &TransportFeedback<'_>,
        catches_up: bool,
    ) {
        let Some(estimator) = &mut self.estimator else {
            return;
        };
        estimator.handle_feedback(now, feedback);
        self.has_news = true;
        let Some(estimate) = estimator.estimate() else {
            return;
        };
        let is_congested = estimator.is_congested();
        let pace = estimate.percent(PACE);
        let grown = self.pacer.pace().unwrap_or(pace).percent(JOIN_GROWTH);
        let pace = if catches_up && !is_congested {
            pace.max(grown.min(MAX_PACE))
        } else {
            pace
        };
        self.pacer.tell(now, pace);
    }

    /// Takes the viewer's own estimate.
    pub(super) fn handle_estimate(&mut self, now: Instant, bps: u64) {
        self.reports.tell(now, Bitrate::bps(bps));
        self.has_news = true;
        self.follow_reports(now);
    }

    /// Takes how much a report says is lost, in 1/256.
    pub(super) fn handle_loss(&mut self, lost: u8) {
        self.reported_loss = Some(self.reported_loss.map_or(lost, |known| known.max(lost)));
    }

    /// Returns whether the path has told something since this was asked last.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// Returns whether it is time to count the estimate.
    pub(super) fn take_sample(&mut self) -> bool {
        std::mem::take(&mut self.is_to_be_counted)
    }

    /// Does what is due once a second.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        (self.has_news, self.is_to_be_counted) = (true, true);
        if let Some(estimator) = &mut self.estimator
            && estimator.handle_timeout(now)
            && let Some(estimate) = estimator.estimate()
        {
            self.pacer.tell(now, estimate.percent(PACE));
        }
        self.follow_reports(now);
    }

    /// Sets the pace of a viewer without transport-wide feedback by what it has told, while that counts.
    fn follow_reports(&mut self, now: Instant) {
        if self.estimator.is_some() {
            return;
        }
        match self.reports.estimate(now) {
            Some(estimate) => self.pacer.tell(now, estimate.percent(PACE)),
            None => self.pacer.forget(now),
        }
    }

    /// Takes another path to the viewer.
    pub(super) fn handle_path_change(&mut self, now: Instant) {
        if let Some(estimator) = &mut self.estimator {
            estimator.handle_path_change(now);
        }
    }

    /// Takes another choice of the viewer's own: what is shown next is that, and not what was picked before. While its
    /// path carries nothing it still does not.
    pub(super) fn begin_anew(&mut self) {
        self.picked = self.picked.filter(|picked| *picked == Picked::Nothing);
        self.allocator.begin_anew();
    }

    /// Chooses among layers, the best first; `sound` is what leaves beside the picture.
    pub(super) fn choose(
        &mut self,
        now: Instant,
        rungs: &[Rung],
        shown: Option<u8>,
        sound: Bitrate,
    ) -> Choice {
        self.judge_reports(now, rungs, shown, sound);
        let place = |layer: u8| rungs.iter().position(|rung| rung.layer == layer);
        let before = match self.picked {
            Some(Picked::Layer(layer)) => place(layer).map(Pick::Show),
            Some(Picked::Nothing) => Some(Pick::Pause),
            None => None,
        };
        let began = *self.began.get_or_insert(now);
        let budget = self.budget(now, sound);
        let pick = match (&budget, before) {
            (Some(budget), before) if self.is_known() || before.is_none() => {
                self.allocator.pick(now, rungs, before, budget)
            }
            // Of what a viewer does not report nothing can be made: after a while it gets the best, as others do.
            (Some(_), Some(before)) if now.saturating_duration_since(began) < SILENCE => before,
            (Some(_) | None, _) => Pick::Show(0),
        };
        let picked = match pick {
            Pick::Show(place) => rungs
                .get(place)
                .map_or(Picked::Nothing, |rung| Picked::Layer(rung.layer)),
            Pick::Pause => Picked::Nothing,
        };
        self.picked = Some(picked);
        let shown = shown.and_then(place).and_then(|place| rungs.get(place));
        let is_far_over = shown
            .zip(budget)
            .is_some_and(|(rung, budget)| Allocator::is_far_over(rung, &budget));
        Choice {
            picked,
            is_far_over,
            queue: self
                .estimator
                .as_ref()
                .map_or(Duration::ZERO, Estimator::queue),
            goal: Allocator::goal(rungs, pick).map(|goal| goal + sound),
            moved: before.and_then(|before| moved(before, pick)),
        }
    }

    /// Returns whether the path has told anything.
    fn is_known(&self) -> bool {
        let estimator = self.estimator.as_ref();
        estimator.is_none_or(|estimator| estimator.estimate().is_some())
    }

    fn budget(&self, now: Instant, sound: Bitrate) -> Option<Budget> {
        let estimate = match &self.estimator {
            Some(estimator) => estimator.estimate().unwrap_or(START),
            None => self.reports.estimate(now)?,
        };
        let repairs = self.repairs.rate(now).unwrap_or_default();
        let repairs = repairs.min(estimate.percent(MAX_REPAIRS));
        let estimator = self.estimator.as_ref();
        let others = sound + repairs;
        let proved = estimator.and_then(|estimator| estimator.proved(now));
        Some(Budget {
            rate: estimate.without(others),
            is_congested: estimator.is_some_and(Estimator::is_congested),
            proved: proved.map(|proved| proved.without(others)),
            provable: estimator.map(|_| PROVABLE.without(others)),
            is_blind: estimator.is_none() && self.reports.is_told(now),
        })
    }

    /// Takes what reports told of losses as a bound, where nothing better is known.
    fn judge_reports(&mut self, now: Instant, rungs: &[Rung], shown: Option<u8>, sound: Bitrate) {
        let Some(lost) = self
            .reported_loss
            .take()
            .filter(|_| self.estimator.is_none())
        else {
            return;
        };
        let shown = rungs.iter().find(|rung| Some(rung.layer) == shown);
        let picture = shown.and_then(|rung| rung.rate).unwrap_or_default();
        self.reports.note_loss(now, lost, picture + sound);
    }

    /// Begins to probe for a rate if it is time; returns whether it does.
    pub(super) fn probe(&mut self, now: Instant, goal: Bitrate) -> bool {
        let estimator = self.estimator.as_mut();
        let known = estimator.filter(|estimator| estimator.estimate().is_some());
        known.is_some_and(|estimator| estimator.probe(now, goal))
    }

    /// Returns whether another packet of padding is due now.
    pub(super) fn owes_padding(&self, now: Instant) -> bool {
        let estimator = self.estimator.as_ref();
        estimator.is_some_and(|estimator| estimator.owes_padding(now))
    }

    /// Ends a step of probing.
    pub(super) fn end_step(&mut self, now: Instant) {
        if let Some(estimator) = &mut self.estimator {
            estimator.end_step(now);
        }
    }

    /// Returns when a step of probing or of repairs is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let probe = self.estimator.as_ref();
        let probe = probe.and_then(|estimator| estimator.poll_timeout());
        probe.into_iter().chain(self.repairs.poll_timeout()).min()
    }

    /// Sets the pace of a join to a layer of this rate, while the path has told none.
    pub(super) fn begin_join(&mut self, now: Instant, rate: Option<Bitrate>) {
        if self.estimate(now).is_none() {
            let pace = rate.map_or(MAX_PACE, |rate| rate.percent(JOIN_PACE));
            self.pacer.guess(now, pace.max(MIN_JOIN_PACE).min(MAX_PACE));
        }
    }

    /// Returns whether a packet may leave with what left just before.
    pub(super) fn fits(&mut self, now: Instant, size_bytes: usize) -> bool {
        self.pacer.fits(now, size_bytes)
    }

    /// Takes a packet that left live.
    pub(super) fn note_live(&mut self, size_bytes: usize) {
        self.pacer.note_live(size_bytes);
    }

    /// Returns whether a packet may leave in this step.
    pub(super) fn has_room(&mut self, now: Instant) -> bool {
        self.pacer.has_room(now)
    }

    /// Takes a packet that left in this step.
    pub(super) fn note_step(&mut self, size_bytes: usize) {
        self.pacer.add(size_bytes);
    }

    /// Begins a step that was due so long ago.
    pub(super) fn begin_step(&mut self, now: Instant, late: Duration) {
        self.pacer.begin_step(now, late);
    }

    /// Takes packets to be sent again; keeps those in `asked` that may leave now, and returns how many are too many.
    pub(super) fn queue_repairs(&mut self, now: Instant, asked: &mut Vec<Again>) -> usize {
        self.repairs.queue(now, &mut self.pacer, asked)
    }

    /// Takes the next packet that is to be sent again in the step that is due.
    pub(super) fn take_repair(&mut self, now: Instant) -> Option<Again> {
        self.repairs.take(now, &mut self.pacer)
    }

    /// Forgets what is to be sent again.
    pub(super) fn forget_repairs(&mut self) {
        self.repairs.forget();
    }

    /// Notes what was sent again.
    pub(super) fn note_repair(&mut self, now: Instant, size_bytes: usize) {
        self.repairs.note_sent(now, size_bytes);
        self.pacer.add(size_bytes);
    }
}

fn moved(before: Pick, pick: Pick) -> Option<Moved> {
    match (before, pick) {
        (Pick::Pause, Pick::Pause) => None,
        (Pick::Pause, Pick::Show(_)) => Some(Moved::Resumed),
        (Pick::Show(_), Pick::Pause) => Some(Moved::Paused),
        (Pick::Show(before), Pick::Show(place)) => match place.cmp(&before) {
            Ordering::Less => Some(Moved::Raised),
            Ordering::Equal => None,
            Ordering::Greater => Some(Moved::Lowered),
        },
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;
    use crate::command::{Codec, ExtensionIds, Feedback, Format, Kind, PayloadFormat, SsrcPair};

    fn tracks() -> Vec<SendTrack> {
        let format = Format {
            codec: Codec::Vp8,
            profile: 0,
            packetization_mode: 0,
        };
        vec![SendTrack {
            kind: Kind::Video,
            formats: vec![PayloadFormat {
                payload_type: 96,
                rtx_payload_type: Some(97),
                red_payload_type: None,
                format,
                feedback: Feedback {
                    transport_cc: true,
                    ..Feedback::default()
                },
            }],
            extensions: ExtensionIds {
                transport_cc: Some(3),
                ..ExtensionIds::default()
            },
            ssrc: SsrcPair {
                media: 1,
                rtx: Some(2),
            },
            cname: "klieg".into(),
            stalls_at_once: false,
        }]
    }

    #[test]
    fn a_viewer_that_falls_silent_is_sent_less_at_once() {
        let start = Instant::now();
        let mut bandwidth = Bandwidth::new(start, &tracks());
        let first = bandwidth.next_number();
        for _ in 0..10 {
            bandwidth.note_sent(start, 1200);
        }
        let [high, low] = first.to_be_bytes();
        // Ten packets came, each a quarter of a millisecond after the one before.
        let message = [
            high, low, 0, 10, 0, 0, 1, 0, 0x20, 10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        ];
        let feedback = TransportFeedback::parse(&message).unwrap();
        let now = start + Duration::from_millis(50);
        bandwidth.handle_feedback(now, &feedback, false);
        let before = bandwidth.pacer.pace().unwrap();
        assert_eq!(before, START.percent(PACE));
        let later = now + Duration::from_secs(4);
        bandwidth.note_sent(later, 1200);
        bandwidth.handle_timeout(later);
        assert_eq!(bandwidth.estimate(later), Some(START.percent(50)));
        assert_eq!(bandwidth.pacer.pace(), Some(before.percent(50)));
    }

    #[test]
    fn what_a_viewer_says_itself_is_its_pace_while_it_counts() {
        let start = Instant::now();
        let mut bandwidth = Bandwidth::new(start, &[]);
        bandwidth.begin_join(start, Some(Bitrate::kbps(1000)));
        assert_eq!(bandwidth.pacer.pace(), Some(MIN_JOIN_PACE));
        bandwidth.handle_timeout(start + Duration::from_secs(1));
        assert_eq!(bandwidth.pacer.pace(), Some(MIN_JOIN_PACE), "still");
        bandwidth.handle_estimate(start, 500_000);
        assert_eq!(bandwidth.pacer.pace(), Some(Bitrate::kbps(750)));
        assert!(bandwidth.fits(start, 1200));
        bandwidth.note_live(30_000);
        assert!(!bandwidth.fits(start, 1200));
        let later = start + Duration::from_secs(20);
        bandwidth.handle_timeout(later);
        assert_eq!(bandwidth.pacer.pace(), None);
        assert!(bandwidth.fits(later, 1_000_000));
    }
}
