//! What follows for the rate: additive or multiplicative increase, multiplicative decrease (draft-ietf-rmcat-gcc-02,
//! section 5.5).

use std::time::{Duration, Instant};

use super::delay::Usage;
use super::rate::Bitrate;

/// No estimate is lower or higher.
pub(super) const MIN_RATE: Bitrate = Bitrate::kbps(50);
pub(super) const MAX_RATE: Bitrate = Bitrate::kbps(50_000);

/// What is left of the rate that arrives when a queue grows, in hundredths (`beta`).
const DECREASE: u64 = 85;
/// Growth in a second while the limit is not known, in hundredths (`eta`).
const INCREASE: u64 = 8;
/// Least growth in a second near the limit.
const MIN_STEP: Bitrate = Bitrate::kbps(4);
/// A rate is not raised beyond so many hundredths of what arrives.
const AHEAD: u64 = 150;
/// What of the estimate must arrive for it to be raised, in hundredths: a sender that has less to send learns nothing.
const USED: u64 = 75;
/// Rates that close to the last limit, in hundredths of it, are near it.
const NEAR: u64 = 15;
/// Between two decreases.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// The estimate, and how it moves.
#[derive(Debug)]
pub(super) struct RateControl {
    estimate: Bitrate,
    state: State,
    /// What arrived when a queue last grew, smoothed; `None` while no limit is known.
    limit: Option<Bitrate>,
    /// When the estimate last rose or was looked at.
    looked: Instant,
    /// When it last fell; `None` before.
    decreased: Option<Instant>,
}

/// Section 5.5, figure 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Increase,
    Decrease,
    Hold,
}

/// What moves the estimate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) usage: Usage,
    /// Whether a full queue loses packets.
    pub(super) overflows: bool,
    /// What arrives; `None` while too little is known.
    pub(super) delivered: Option<Bitrate>,
    /// Whether more leaves than arrives, so that what arrives is all that the path carries.
    pub(super) is_limited: bool,
    pub(super) round_trip: Duration,
}

impl RateControl {
    pub(super) fn new(now: Instant, start: Bitrate) -> Self {
        Self {
            estimate: start,
            state: State::Increase,
            limit: None,
            looked: now,
            decreased: None,
        }
    }

    pub(super) fn estimate(&self) -> Bitrate {
        self.estimate
    }

    /// Returns when the estimate fell last; `None` when it never did.
    pub(super) fn decreased(&self) -> Option<Instant> {
        self.decreased
    }

    /// Takes what a message said.
    pub(super) fn update(&mut self, now: Instant, measured: &Measured) {
        self.state = match (measured.usage, self.state) {
            (Usage::Over, _) => State::Decrease,
            (Usage::Under, _) => State::Hold,
            (Usage::Normal, State::Decrease) => State::Hold,
            (Usage::Normal, State::Hold | State::Increase) => State::Increase,
        };
        if measured.overflows || self.state == State::Decrease {
            self.decrease(now, measured);
        } else if self.state == State::Increase {
            self.increase(now, measured);
        }
        self.looked = now;
    }

    /// Takes a rate at which packets have arrived without waiting.
    pub(super) fn prove(&mut self, rate: Bitrate) {
        if rate > self.estimate {
            self.set(rate);
            // What carries more than the limit has another one.
            self.limit = self.limit.filter(|limit| rate <= limit.percent(100 + NEAR));
        }
    }

    /// Takes the silence of a viewer that should report: what is under way may be lost.
    pub(super) fn starve(&mut self, now: Instant) {
        self.set(self.estimate.percent(50));
        self.decreased = Some(now);
    }

    fn decrease(&mut self, now: Instant, measured: &Measured) {
        let wait = measured.round_trip.clamp(MIN_INTERVAL, MIN_INTERVAL * 2);
        let is_early = self
            .decreased
            .is_some_and(|at| now.saturating_duration_since(at) < wait);
        if is_early {
            return;
        }
        let Some(delivered) = measured.delivered else {
            return;
        };
        let target = if measured.is_limited || measured.overflows {
            self.learn(delivered);
            delivered.percent(DECREASE)
        } else {
            // Somebody else fills the queue, or little was sent: what arrives is no measure of the path.
            self.estimate
                .percent(DECREASE)
                .max(delivered.percent(DECREASE))
        };
        if target < self.estimate {
            self.set(target);
        }
        self.decreased = Some(now);
    }

    fn increase(&mut self, now: Instant, measured: &Measured) {
        let Some(delivered) = measured.delivered else {
            return;
        };
        if delivered < self.estimate.percent(USED) {
            return;
        }
        let passed = now
            .saturating_duration_since(self.looked)
            .min(Duration::from_secs(1));
        let is_near = self.limit.is_some_and(|limit| {
            limit.percent(100 - NEAR) < delivered && delivered < limit.percent(100 + NEAR)
        });
        let step = if is_near {
            // About one packet in a response time (section 5.5).
            let response = measured.round_trip + Duration::from_millis(100);
            Bitrate::of(1200, response)
                .unwrap_or(MIN_STEP)
                .max(MIN_STEP)
        } else {
            self.estimate.percent(INCREASE)
        };
        let raised = self.estimate + Bitrate::bps(step.bytes_in(passed) * 8);
        let bound = delivered.percent(AHEAD) + Bitrate::kbps(10);
        if raised <= bound {
            self.set(raised);
        }
    }

    fn learn(&mut self, delivered: Bitrate) {
        let is_known = |limit: &Bitrate| {
            (limit.percent(100 - 3 * NEAR)..limit.percent(100 + 3 * NEAR)).contains(&delivered)
        };
        let smoothed = self.limit.filter(is_known);
        let smoothed = smoothed.map(|limit| limit.percent(80) + delivered.percent(20));
        self.limit = Some(smoothed.unwrap_or(delivered));
    }

    fn set(&mut self, rate: Bitrate) {
        self.estimate = rate.clamp(MIN_RATE, MAX_RATE);
    }
}
