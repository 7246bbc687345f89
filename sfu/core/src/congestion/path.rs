//! What is known of one path: what its messages said, and how the estimate moves by them.

use std::time::{Duration, Instant};

use super::aimd::{Measured, RateControl};
use super::delay::{DelayDetector, Usage};
use super::delivered::{Arrival, Delivered, Window};
use super::estimate::START;
use super::feedback::TransportFeedback;
use super::loss::LossDetector;
use super::probe::{Outcome, Prober};
use super::rate::Bitrate;

/// What arrives is measured over so many microseconds: when a queue grows, else, and to prove a rate.
const SHORT_US: u64 = 150_000;
const LONG_US: u64 = 500_000;
const PROOF_US: u64 = 100_000;
/// Packets that wait no longer than this do not wait.
const NO_QUEUE_US: u64 = 15_000;
/// Packets that wait this long stand in a queue.
const QUEUE_US: u64 = 50_000;
/// Where all packets of a message wait this long, come slower than they left, and wait longer by [`GROWN_US`] than those of the
/// message before, a queue grows, whatever the slope says. A way that has become longer once does not grow.
const DEEP_US: u64 = 100_000;
const GROWN_US: u64 = 10_000;
/// How long a proof of what the path carries is good.
const FRESH: Duration = Duration::from_secs(2);
/// How long a viewer that has packets to report may be silent.
const SILENCE: Duration = Duration::from_millis(1500);
/// Where nothing left and nothing was heard for so long, no queue of ours stands any more.
const REST: Duration = Duration::from_secs(1);

/// What is known of the path.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) delivered: Delivered,
    delay: DelayDetector,
    pub(super) loss: LossDetector,
    pub(super) rate: RateControl,
    pub(super) prober: Prober,
    /// The number after the last one reported; `None` before the first message.
    pub(super) next: Option<u64>,
    /// The number of the first packet that went this way: those before went another, whose delays were others.
    pub(super) first: u64,
    /// The viewer's time at its last message, in microseconds, without coming round; `None` before.
    clock: Option<i64>,
    /// From departure to the report of it, smoothed.
    pub(super) round_trip: Duration,
    /// When the last message came; `None` before the first.
    pub(super) heard: Option<Instant>,
    /// What the path was last shown to carry, and when; `None` before, and once the estimate has fallen.
    proved: Option<(Bitrate, Instant)>,
    /// Whether a full queue lost packets, as the last message says.
    overflows: bool,
}

/// What one message said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Report {
    pub(super) lost: u64,
    pub(super) arrived: u64,
    /// The latest departure among what arrived, in microseconds; `None` when nothing did.
    pub(super) departed_us: Option<u64>,
}

impl Path {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            delivered: Delivered::new(),
            delay: DelayDetector::default(),
            loss: LossDetector::new(now),
            rate: RateControl::new(now, START),
            prober: Prober::new(now),
            next: None,
            first: 0,
            clock: None,
            round_trip: Duration::from_millis(100),
            heard: None,
            proved: None,
            overflows: false,
        }
    }

    /// Begins with another way at a packet; only the estimate is kept.
    pub(super) fn begin(&mut self, now: Instant, first: u64) {
        self.delivered = Delivered::new();
        self.delay = DelayDetector::default();
        self.loss = LossDetector::new(now);
        self.prober = Prober::new(now);
        (self.overflows, self.proved) = (false, None);
        self.first = first;
    }

    /// Returns whether packets wait in a queue, or are lost to a full one.
    pub(super) fn is_congested(&self) -> bool {
        self.overflows || self.delay.usage() == Usage::Over || self.delivered.queue_us() >= QUEUE_US
    }

    /// Returns how long packets wait on their way.
    pub(super) fn queue(&self) -> Duration {
        Duration::from_micros(self.delivered.queue_us())
    }

    /// Takes what a message said as a whole.
    pub(super) fn take_report(&mut self, now: Instant, now_us: u64, report: &Report) {
        self.heard = Some(now);
        self.delivered.end_message();
        if let Some(departed_us) = report.departed_us {
            let took = now_us.saturating_sub(departed_us);
            self.round_trip = (self.round_trip * 7 + Duration::from_micros(took)) / 8;
        }
        let queue_us = self.delivered.queue_us();
        self.overflows = self.loss.add(now, (report.lost, report.arrived), queue_us);
        self.control(now);
        self.take_outcome(now);
    }

    /// Moves the estimate.
    fn control(&mut self, now: Instant) {
        let short = self.delivered.window(SHORT_US);
        let is_limited = short.arrival_us > short.departure_us + short.departure_us / 10 + 5_000;
        // The slope goes through twenty groups, and a slow path makes few: thirty a second, of the frames of a picture.
        let is_deep = self.delivered.queue_us() >= DEEP_US;
        let grows = is_limited && is_deep && self.delivered.grown_us() >= GROWN_US;
        let usage = if grows {
            Usage::Over
        } else {
            self.delay.usage()
        };
        let is_hindered = usage == Usage::Over || self.overflows;
        let measured = Measured {
            usage,
            overflows: self.overflows,
            delivered: if is_hindered {
                short.rate(SHORT_US / 2)
            } else {
                self.delivered.window(LONG_US).rate(SHORT_US)
            },
            is_limited,
            round_trip: self.round_trip,
        };
        let before = self.rate.estimate();
        self.rate.update(now, &measured);
        if self.rate.estimate() < before {
            self.prober.put_off(now);
            self.proved = None;
        }
        let proof = self.delivered.window(PROOF_US).rate(PROOF_US * 3 / 4);
        if let Some(proof) = proof.filter(|_| !is_hindered && usage == Usage::Normal)
            && self.delivered.queue_us() < NO_QUEUE_US
        {
            self.prove(now, proof);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, departed: Option<Instant>) {
        self.take_outcome(now);
        let Some(heard) = self.heard else {
            return;
        };
        let rests = |since: Instant| now.saturating_duration_since(since) >= REST;
        if rests(heard) && departed.is_none_or(rests) {
            // A paused picture leaves behind what the last message said, and would wait for the next one for ever.
            self.delay = DelayDetector::default();
            self.delivered.forget_queue();
            self.overflows = false;
        }
        let sends = departed.is_some_and(|departed| departed > heard);
        let patience = SILENCE + self.round_trip;
        let waited = |since: Instant| now.saturating_duration_since(since) >= patience;
        if sends && waited(heard) && self.rate.decreased().is_none_or(waited) {
            self.rate.starve(now);
            self.proved = None;
            self.prober.put_off(now);
        }
    }

    pub(super) fn proved(&self, now: Instant) -> Option<Bitrate> {
        let is_fresh = |(_, at): &(Bitrate, Instant)| now.saturating_duration_since(*at) < FRESH;
        self.proved.filter(is_fresh).map(|(rate, _)| rate)
    }

    fn take_outcome(&mut self, now: Instant) {
        let reported = self.next.unwrap_or(0).saturating_sub(1);
        let (rate, reached) = match self.prober.poll_outcome(now, reported) {
            None | Some(Outcome::Nothing) => return,
            Some(Outcome::Reached(rate)) => (rate, true),
            Some(Outcome::Missed(rate)) => (rate, false),
        };
        tracing::debug!(rate_bps = rate.as_bps(), reached, "probed");
        self.prove(now, rate);
    }

    fn prove(&mut self, now: Instant, rate: Bitrate) {
        self.rate.prove(rate);
        if self.proved(now).is_none_or(|proved| proved <= rate) {
            self.proved = Some((rate, now));
        }
    }

    pub(super) fn take_arrival(&mut self, number: u64, packet: Arrival) {
        self.delivered.add(packet);
        if self.prober.contains(number) {
            // What is sent to fill a queue says nothing about one that grows by itself.
            self.prober.add(number, packet);
            self.delay.skip();
        } else {
            self.delay.add(packet);
        }
    }

    /// Returns the viewer's time without coming round.
    pub(super) fn unroll(&mut self, reference_us: i64) -> i64 {
        let period = TransportFeedback::PERIOD_US;
        let clock = self.clock.unwrap_or(period + reference_us);
        let ahead = (reference_us - clock).rem_euclid(period);
        let ahead = if ahead >= period / 2 {
            ahead - period
        } else {
            ahead
        };
        *self.clock.insert(clock + ahead)
    }
}

impl Window {
    /// Returns the rate, if the window is as long as it has to be at least: no more than what left in that time, for
    /// what was held up on its way and let go at once came faster than any path carries.
    fn rate(&self, least_us: u64) -> Option<Bitrate> {
        let span = Duration::from_micros(self.arrival_us.max(self.departure_us));
        Bitrate::of(self.bytes, span).filter(|_| self.arrival_us >= least_us)
    }
}
