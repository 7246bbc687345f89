//! How much a viewer's path carries, from transport-wide feedback: Google congestion control
//! (draft-ietf-rmcat-gcc-02), with losses judged by the queue and the limit found by probing.

use std::time::{Duration, Instant};

use super::aimd::{Measured, RateControl};
use super::delay::{DelayDetector, Usage};
use super::delivered::{Arrival, Delivered, Window};
use super::feedback::TransportFeedback;
use super::loss::LossDetector;
use super::probe::{Outcome, Prober};
use super::rate::Bitrate;
use super::sent::{Fate, Sent};

/// Taken for granted until feedback tells.
pub const START: Bitrate = Bitrate::kbps(3000);

/// What arrives is measured over so many microseconds: when a queue grows, else, and to prove a rate.
const SHORT_US: u64 = 150_000;
const LONG_US: u64 = 500_000;
const PROOF_US: u64 = 100_000;
/// Packets that wait no longer than this do not wait.
const NO_QUEUE_US: u64 = 15_000;
/// Packets that wait this long stand in a queue.
const QUEUE_US: u64 = 50_000;
/// How long a proof of what the path carries is good.
const FRESH: Duration = Duration::from_secs(2);
/// How long a viewer that has packets to report may be silent.
const SILENCE: Duration = Duration::from_millis(1500);

/// The estimate of one viewer's path.
#[derive(Debug)]
pub struct Estimator {
    /// What every packet that leaves needs; the rest is for feedback alone.
    sent: Sent,
    path: Box<Path>,
}

/// What is known of the path.
#[derive(Debug)]
struct Path {
    delivered: Delivered,
    delay: DelayDetector,
    loss: LossDetector,
    rate: RateControl,
    prober: Prober,
    /// The number after the last one reported; `None` before the first message.
    next: Option<u64>,
    /// The viewer's time at its last message, in microseconds, without coming round; `None` before.
    clock: Option<i64>,
    /// From departure to the report of it, smoothed.
    round_trip: Duration,
    /// When the last message came; `None` before the first.
    heard: Option<Instant>,
    /// What the path was last shown to carry, and when; `None` before, and once the estimate has fallen.
    proved: Option<(Bitrate, Instant)>,
    /// Whether a full queue lost packets, as the last message says.
    overflows: bool,
}

/// What one message said.
#[derive(Clone, Copy, Debug, Default)]
struct Report {
    lost: u64,
    arrived: u64,
    /// The latest departure among what arrived, in microseconds; `None` when nothing did.
    departed_us: Option<u64>,
}

impl Estimator {
    /// Starts without knowledge.
    pub fn new(now: Instant) -> Self {
        let path = Path {
            delivered: Delivered::new(),
            delay: DelayDetector::default(),
            loss: LossDetector::new(now),
            rate: RateControl::new(now, START),
            prober: Prober::new(now),
            next: None,
            clock: None,
            round_trip: Duration::from_millis(100),
            heard: None,
            proved: None,
            overflows: false,
        };
        Self {
            sent: Sent::new(now),
            path: Box::new(path),
        }
    }

    /// Returns the transport-wide number of the next packet.
    pub fn next_number(&self) -> u16 {
        let [.., h, l] = self.sent.next().to_be_bytes();
        u16::from_be_bytes([h, l])
    }

    /// Notes that the packet of this number left.
    pub fn note_sent(&mut self, now: Instant, size_bytes: usize) {
        self.sent.note(now, size_bytes);
        if self.sent.probes {
            self.path.prober.note_sent(size_bytes);
        }
    }

    /// Touches what the next packet needs, so that the processor fetches it meanwhile.
    pub(crate) fn look_ahead(&self) -> u16 {
        self.sent.look_ahead()
    }

    /// Takes a message of feedback.
    pub fn handle_feedback(&mut self, now: Instant, feedback: &TransportFeedback<'_>) {
        let report = self.read(now, feedback);
        if report.lost + report.arrived > 0 {
            let now_us = self.sent.time(now);
            self.path.take_report(now, now_us, &report);
            self.sent.probes = self.path.prober.is_sending();
        }
    }

    /// Returns how much the path carries; `None` before it is known.
    pub fn estimate(&self) -> Option<Bitrate> {
        self.path.heard.map(|_| self.path.rate.estimate())
    }

    /// Returns whether packets wait in a queue, or are lost to a full one.
    pub fn is_congested(&self) -> bool {
        self.path.overflows
            || self.path.delay.usage() == Usage::Over
            || self.path.delivered.queue_us() >= QUEUE_US
    }

    /// Returns how long packets wait on their way.
    pub fn queue(&self) -> Duration {
        Duration::from_micros(self.path.delivered.queue_us())
    }

    /// Returns from departure to the report of it.
    pub fn round_trip(&self) -> Duration {
        self.path.round_trip
    }

    /// Returns what is lost, in thousandths.
    pub fn loss(&self) -> u64 {
        self.path.loss.fraction()
    }

    /// Returns what the path has just been shown to carry; `None` when that was long ago.
    pub(crate) fn proved(&self, now: Instant) -> Option<Bitrate> {
        self.path.proved(now)
    }

    /// Takes the silence of a viewer that has packets to report.
    pub fn handle_timeout(&mut self, now: Instant) {
        let last = self.sent.last();
        self.path.handle_timeout(now, last);
        self.sent.probes = self.path.prober.is_sending();
    }

    /// Begins to probe for `goal`, if it is time; returns whether it does.
    pub(crate) fn probe(&mut self, now: Instant, goal: Bitrate) -> bool {
        let known = self.path.rate.estimate();
        let first = self.sent.next();
        let begins = !self.is_congested() && self.path.prober.begin(now, first, (known, goal));
        self.sent.probes |= begins;
        begins
    }

    /// Returns whether another packet of padding is due now.
    pub(crate) fn owes_padding(&self, now: Instant) -> bool {
        self.sent.probes && self.path.prober.owes(now)
    }

    /// Ends a step of probing.
    pub(crate) fn end_step(&mut self, now: Instant) {
        if self.sent.probes {
            self.path.prober.end_step(now, self.sent.next());
            self.sent.probes = self.path.prober.is_sending();
        }
    }

    /// Returns when a step of probing is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.sent
            .probes
            .then(|| self.path.prober.poll_timeout())
            .flatten()
    }

    fn read(&mut self, now: Instant, feedback: &TransportFeedback<'_>) -> Report {
        let reference = self.path.unroll(feedback.reference_us());
        let mut report = Report::default();
        for status in feedback.statuses() {
            let Some(number) = self.sent.find(status.sequence) else {
                continue;
            };
            let arrived = status
                .arrival_us
                .and_then(|at| u64::try_from(reference + at).ok());
            self.take_unreported(now, number);
            let fate = arrived.map_or(Fate::Missing, |_| Fate::Arrived);
            let Some(departure) = self.sent.settle(now, number, fate) else {
                continue;
            };
            self.path.next = Some(self.path.next.unwrap_or(0).max(number + 1));
            match (arrived, departure.before) {
                (_, Fate::Arrived) | (None, Fate::Missing) => {}
                (None, Fate::Unknown) => report.lost += 1,
                (Some(arrived_us), before) => {
                    if before == Fate::Missing {
                        self.path.loss.forgive();
                    }
                    report.arrived += 1;
                    report.departed_us = report.departed_us.max(Some(departure.at_us));
                    let packet = Arrival {
                        departed_us: departure.at_us,
                        arrived_us,
                        size_bytes: departure.size_bytes,
                    };
                    self.path.take_arrival(number, packet);
                }
            }
        }
        report
    }

    /// Takes the packets that no message spoke of, for theirs was lost, as arrived: else a lost message would look
    /// like a slower path.
    fn take_unreported(&mut self, now: Instant, number: u64) {
        let Some(next) = self.path.next.filter(|next| *next < number) else {
            return;
        };
        for number in next.max(number.saturating_sub(256))..number {
            if let Some(departure) = self.sent.settle(now, number, Fate::Unknown)
                && departure.before == Fate::Unknown
            {
                self.path.delivered.credit(departure.size_bytes);
            }
        }
    }
}

impl Path {
    /// Takes what a message said as a whole.
    fn take_report(&mut self, now: Instant, now_us: u64, report: &Report) {
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
        let usage = self.delay.usage();
        let is_hindered = usage == Usage::Over || self.overflows;
        let short = self.delivered.window(SHORT_US);
        let measured = Measured {
            usage,
            overflows: self.overflows,
            delivered: if is_hindered {
                short.rate(SHORT_US / 2)
            } else {
                self.delivered.window(LONG_US).rate(SHORT_US)
            },
            is_limited: short.arrival_us > short.departure_us + short.departure_us / 10 + 5_000,
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

    fn handle_timeout(&mut self, now: Instant, departed: Option<Instant>) {
        self.take_outcome(now);
        let Some(heard) = self.heard else {
            return;
        };
        let sends = departed.is_some_and(|departed| departed > heard);
        let patience = SILENCE + self.round_trip;
        let waited = |since: Instant| now.saturating_duration_since(since) >= patience;
        if sends && waited(heard) && self.rate.decreased().is_none_or(waited) {
            self.rate.starve(now);
            self.proved = None;
            self.prober.put_off(now);
        }
    }

    fn proved(&self, now: Instant) -> Option<Bitrate> {
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

    fn take_arrival(&mut self, number: u64, packet: Arrival) {
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
    fn unroll(&mut self, reference_us: i64) -> i64 {
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
    /// Returns the rate, if the window is as long as it has to be at least.
    fn rate(&self, least_us: u64) -> Option<Bitrate> {
        let span = Duration::from_micros(self.arrival_us);
        Bitrate::of(self.bytes, span).filter(|_| self.arrival_us >= least_us)
    }
}
