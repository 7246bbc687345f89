//! Does a queue grow? The delay-based part of draft-ietf-rmcat-gcc-02: groups of packets (section 5.2), the slope of
//! their delays by a line of least squares in place of the Kalman filter (section 5.3), and the over-use detector
//! with its adaptive threshold (section 5.4).

use std::collections::VecDeque;

use super::delivered::Arrival;

/// Packets that left within so much make one group (section 5.2).
const BURST_US: u64 = 5_000;
/// A group whose packets were held up on their way together is not longer than this.
const MAX_BURST_US: u64 = 100_000;
/// Groups that the slope is drawn through.
const WINDOW: usize = 20;
/// Weight of what was before in the smoothed delay.
const SMOOTHING: f64 = 0.9;
/// Makes the slope comparable with the threshold, together with the groups seen, at most [`MAX_GROUPS`].
const GAIN: f64 = 4.0;
const MAX_GROUPS: u32 = 60;
/// The threshold at the start and its bounds, in milliseconds (section 5.4).
const FIRST_THRESHOLD: f64 = 12.5;
const LEAST_THRESHOLD: f64 = 6.0;
const MOST_THRESHOLD: f64 = 600.0;
/// How fast the threshold follows upwards and downwards (section 5.4).
const FOLLOW_UP: f64 = 0.0087;
const FOLLOW_DOWN: f64 = 0.039;
/// What lies so far beyond the threshold does not move it.
const OUTLIER: f64 = 15.0;
/// How long a slope must be too steep, in milliseconds (`overuse_time_th`).
const PATIENCE_MS: f64 = 10.0;

/// What the delays say about the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Usage {
    /// A queue drains.
    Under,
    /// Nothing changes.
    #[default]
    Normal,
    /// A queue grows.
    Over,
}

/// Watches the delays of groups of packets.
#[derive(Debug, Default)]
pub(super) struct DelayDetector {
    /// The group that grows; `None` before the first packet.
    current: Option<Group>,
    /// The one before.
    previous: Option<Group>,
    trend: Trend,
    detector: Detector,
}

/// Packets that left together.
#[derive(Clone, Copy, Debug)]
struct Group {
    first_departed: u64,
    departed: u64,
    first_arrived: u64,
    arrived: u64,
}

impl DelayDetector {
    /// Takes a packet, in the order of departure.
    pub(super) fn add(&mut self, packet: Arrival) {
        let Some(mut group) = self.current else {
            self.current = Some(Group::new(packet));
            return;
        };
        if packet.departed_us < group.first_departed {
            return;
        }
        if group.takes(packet) {
            group.departed = group.departed.max(packet.departed_us);
            group.arrived = group.arrived.max(packet.arrived_us);
            self.current = Some(group);
            return;
        }
        self.current = Some(Group::new(packet));
        if let Some(previous) = self.previous.replace(group) {
            let departed_ms = milliseconds(group.departed, previous.departed);
            let arrived_ms = milliseconds(group.arrived, previous.arrived);
            if arrived_ms < 0.0 {
                // Groups came in another order than they left: their delays say nothing.
                self.previous = None;
                return;
            }
            self.trend.add(arrived_ms - departed_ms, group.arrived);
            self.detector
                .detect(&self.trend, departed_ms, group.arrived);
        }
    }

    /// Goes on behind packets that do not count.
    pub(super) fn skip(&mut self) {
        (self.current, self.previous) = (None, None);
    }

    /// Returns what the delays said last.
    pub(super) fn usage(&self) -> Usage {
        self.detector.usage
    }
}

impl Group {
    fn new(packet: Arrival) -> Self {
        Self {
            first_departed: packet.departed_us,
            departed: packet.departed_us,
            first_arrived: packet.arrived_us,
            arrived: packet.arrived_us,
        }
    }

    /// Returns whether a packet left with this group, or was held up on its way and came with it.
    fn takes(&self, packet: Arrival) -> bool {
        if packet.departed_us <= self.first_departed + BURST_US {
            return true;
        }
        let apart = packet.arrived_us.saturating_sub(self.arrived);
        let went_apart = packet.departed_us.saturating_sub(self.departed);
        apart < went_apart
            && apart <= BURST_US
            && packet.arrived_us.saturating_sub(self.first_arrived) < MAX_BURST_US
    }
}

/// The slope of the accumulated delay over the last groups.
#[derive(Debug, Default)]
struct Trend {
    /// Arrival and smoothed delay, in milliseconds; at most [`WINDOW`].
    points: VecDeque<(f64, f64)>,
    accumulated: f64,
    smoothed: f64,
    groups: u32,
    first_arrived: Option<u64>,
}

impl Trend {
    fn add(&mut self, delta_ms: f64, arrived: u64) {
        let first = *self.first_arrived.get_or_insert(arrived);
        self.groups = (self.groups + 1).min(MAX_GROUPS);
        self.accumulated += delta_ms;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        if self.points.len() == WINDOW {
            self.points.pop_front();
        }
        self.points
            .push_back((milliseconds(arrived, first), self.smoothed));
    }

    /// Returns the slope, made comparable with the threshold; `None` before there are groups enough.
    fn slope(&self) -> Option<f64> {
        if self.points.len() < WINDOW {
            return None;
        }
        let count = f64::from(u32::try_from(self.points.len()).unwrap_or(u32::MAX));
        let sums = self.points.iter();
        let (x_sum, y_sum) = sums.fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
        let (x_mean, y_mean) = (x_sum / count, y_sum / count);
        let moments = self.points.iter();
        let (products, squares) = moments.fold((0.0, 0.0), |(products, squares), (x, y)| {
            let x = x - x_mean;
            (products + x * (y - y_mean), squares + x * x)
        });
        let is_line = squares > 0.0;
        is_line.then(|| products / squares * f64::from(self.groups) * GAIN)
    }
}

/// Compares the slope with a threshold that follows it.
#[derive(Debug)]
struct Detector {
    usage: Usage,
    threshold: f64,
    /// When the threshold moved last, in microseconds of arrival; `None` before.
    moved: Option<u64>,
    /// How long the slope has been too steep, in milliseconds, and for how many groups; `None` while it is not.
    over: Option<(f64, u32)>,
    before: f64,
}

impl Default for Detector {
    fn default() -> Self {
        Self {
            usage: Usage::Normal,
            threshold: FIRST_THRESHOLD,
            moved: None,
            over: None,
            before: 0.0,
        }
    }
}

impl Detector {
    fn detect(&mut self, trend: &Trend, departed_ms: f64, arrived: u64) {
        let Some(slope) = trend.slope() else {
            return;
        };
        if slope > self.threshold {
            let (time, groups) = self.over.map_or((departed_ms / 2.0, 1), |(time, groups)| {
                (time + departed_ms, groups + 1)
            });
            self.over = Some((time, groups));
            if time > PATIENCE_MS && groups > 1 && slope >= self.before {
                self.over = Some((0.0, 0));
                self.usage = Usage::Over;
            }
        } else {
            self.over = None;
            self.usage = if slope < -self.threshold {
                Usage::Under
            } else {
                Usage::Normal
            };
        }
        self.before = slope;
        self.follow(slope, arrived);
    }

    /// Lets the threshold follow the slope, so that a competing flow does not starve this one (section 5.4).
    fn follow(&mut self, slope: f64, arrived: u64) {
        let moved = self.moved.replace(arrived).unwrap_or(arrived);
        let off = slope.abs() - self.threshold;
        if off > OUTLIER {
            return;
        }
        let follow = if off < 0.0 { FOLLOW_DOWN } else { FOLLOW_UP };
        let passed = milliseconds(arrived, moved).clamp(0.0, 100.0);
        self.threshold += follow * off * passed;
        self.threshold = self.threshold.clamp(LEAST_THRESHOLD, MOST_THRESHOLD);
    }
}

fn milliseconds(later_us: u64, earlier_us: u64) -> f64 {
    let micros = later_us
        .cast_signed()
        .wrapping_sub(earlier_us.cast_signed());
    micros as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a packet each 10 ms, each with a delay; returns what was found after each.
    fn usages(delays_us: impl Iterator<Item = u64>) -> Vec<Usage> {
        let mut detector = DelayDetector::default();
        let step = |(number, delay): (u64, u64)| {
            detector.add(Arrival {
                departed_us: number * 10_000,
                arrived_us: 9_000_000 + number * 10_000 + delay,
                size_bytes: 1000,
            });
            detector.usage()
        };
        (0..).zip(delays_us).map(step).collect()
    }

    #[test]
    fn a_queue_that_grows_is_found_within_a_quarter_of_a_second() {
        let even = std::iter::repeat_n(20_000, 200);
        let growing = (1..100).map(|step| 20_000 + step * 5_000);
        let usages = usages(even.chain(growing));
        assert!(usages[..200].iter().all(|usage| *usage == Usage::Normal));
        let found = usages.iter().position(|usage| *usage == Usage::Over);
        assert!(found.is_some_and(|at| at < 225), "{found:?}");
    }

    #[test]
    fn a_queue_that_drains_is_found() {
        let drained = (0..60).map(|step| 400_000 - step * 5_000);
        let usages = usages(std::iter::repeat_n(400_000, 100).chain(drained));
        assert_eq!(usages.last(), Some(&Usage::Under));
    }

    #[test]
    fn jitter_without_a_trend_is_nothing() {
        let mut state = 1_u64;
        let jitter = std::iter::repeat_with(move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            20_000 + (state >> 33) % 8_000
        });
        let usages = usages(jitter.take(3000));
        let over = usages.iter().filter(|usage| **usage == Usage::Over).count();
        assert!(over < 30, "{over} of 3000");
    }

    #[test]
    fn a_jump_in_delay_is_not_a_queue_that_grows_for_ever() {
        let after = std::iter::repeat_n(80_000, 200);
        let usages = usages(std::iter::repeat_n(20_000, 200).chain(after));
        assert!(usages[260..].iter().all(|usage| *usage != Usage::Over));
    }
}
