//! How much a viewer's path carries, from transport-wide feedback: Google congestion control
//! (draft-ietf-rmcat-gcc-02), with losses judged by the queue and the limit found by probing.

use std::time::{Duration, Instant};

use super::delivered::Arrival;
use super::feedback::TransportFeedback;
use super::path::{Path, Report};
use super::probe::PROVABLE;
use super::rate::Bitrate;
use super::sent::{Fate, Sent};

/// Taken for granted until feedback tells.
pub const START: Bitrate = Bitrate::kbps(3000);

/// The estimate of one viewer's path.
#[derive(Debug)]
pub struct Estimator {
    /// What every packet that leaves needs; the rest is for feedback alone.
    sent: Sent,
    path: Box<Path>,
}

impl Estimator {
    /// Starts without knowledge.
    pub fn new(now: Instant) -> Self {
        Self {
            sent: Sent::new(now),
            path: Box::new(Path::new(now)),
        }
    }

    /// Returns the transport-wide number of the next packet.
    pub fn next_number(&self) -> u16 {
        wire(self.sent.next())
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
        if self.sent.reach(feedback.base()) {
            // Of what is forgotten nothing is learnt, but the viewer is not silent.
            self.path.heard = self.path.heard.map(|_| now);
        }
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
        self.path.is_congested()
    }

    /// Returns how long packets wait on their way.
    pub fn queue(&self) -> Duration {
        self.path.queue()
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

    /// Takes the silence of a viewer that has packets to report; returns whether the estimate falls by it.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let before = self.path.rate.estimate();
        let last = self.sent.last();
        self.path.handle_timeout(now, last);
        self.sent.probes = self.path.prober.is_sending();
        self.path.rate.estimate() < before
    }

    /// Takes another path to the viewer: what was measured on the one before says nothing about it, and its estimate
    /// is what there is to begin with.
    pub fn handle_path_change(&mut self, now: Instant) {
        self.path.begin(now, self.sent.next());
        self.sent.probes = false;
    }

    /// Begins to probe for `goal`, or as much of it as can be shown, if that is not proved and it is time; returns
    /// whether it does.
    pub(crate) fn probe(&mut self, now: Instant, goal: Bitrate) -> bool {
        let wanted = goal.min(PROVABLE);
        let is_proved = self.proved(now).is_some_and(|proved| proved >= wanted);
        if is_proved || self.is_congested() {
            return false;
        }
        let known = self.path.rate.estimate();
        let first = self.sent.next();
        let begins = self.path.prober.begin(now, first, (known, goal));
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
        let known = self.path.next.unwrap_or(0).max(self.sent.oldest());
        for status in feedback.news(wire(known), self.next_number()) {
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
            if number < self.path.first {
                continue;
            }
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
        let first = self.path.first.max(number.saturating_sub(256));
        for number in next.max(first)..number {
            if let Some(departure) = self.sent.settle(now, number, Fate::Unknown)
                && departure.before == Fate::Unknown
            {
                self.path.delivered.credit(departure.size_bytes);
            }
        }
    }
}

/// Returns a number as it is on the wire.
fn wire(number: u64) -> u16 {
    let [.., h, l] = number.to_be_bytes();
    u16::from_be_bytes([h, l])
}
