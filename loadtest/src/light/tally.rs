//! What all peers of a thread saw together, and how values spread.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde::Serialize;

/// When the process began to measure.
pub(crate) static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Counts of one media thread; they only grow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// RTP packets that came, repeated ones too.
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Those of them that were opened.
    pub(crate) opened: u64,
    /// What was no packet or did not open.
    pub(crate) unreadable: u64,
    /// Thrown away on purpose.
    pub(crate) dropped: u64,
    /// Came to viewers that had fallen silent.
    pub(crate) unread: u64,
    /// Datagrams for nobody.
    pub(crate) stray: u64,
    /// Datagrams of ours that the kernel refused.
    pub(crate) unsent: u64,
    /// Of present and past viewers.
    pub(crate) faults: Faults,
    /// From a viewer's first request to its first whole picture.
    pub(crate) joins: Histogram,
    /// From the beginning of a frame's sending to the arrival of its last packet.
    pub(crate) frame_delay: Histogram,
    /// From the sending of a frame's last packet to its arrival.
    pub(crate) packet_delay: Histogram,
    /// How much later than due the thread had its turn, and a frame or a step of the pacer was sent.
    pub(crate) turns: Histogram,
    pub(crate) sends: Histogram,
    /// The number of each viewer that is there and not silent, and the different packets that it has got.
    pub(crate) shares: Vec<(u32, u64)>,
    /// How many viewers are silent now.
    pub(crate) stalled: u64,
}

/// What was wrong with the packets of streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Numbers that never came.
    pub(crate) lost: u64,
    pub(crate) recovered: u64,
    pub(crate) reordered: u64,
    pub(crate) repeated: u64,
    /// Packets that the server left out without leaving a gap.
    pub(crate) left_out: u64,
}

impl Faults {
    /// Adds those of other streams.
    pub(crate) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.recovered += other.recovered;
        self.reordered += other.reordered;
        self.repeated += other.repeated;
        self.left_out += other.left_out;
    }
}

impl Tally {
    /// Counts a packet that came.
    pub(crate) fn handle_packet(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }

    /// Adds the counts of another thread.
    pub(crate) fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.opened += other.opened;
        self.unreadable += other.unreadable;
        self.dropped += other.dropped;
        self.unread += other.unread;
        self.stray += other.stray;
        self.unsent += other.unsent;
        self.faults.add(other.faults);
        self.joins.merge(&other.joins);
        self.frame_delay.merge(&other.frame_delay);
        self.packet_delay.merge(&other.packet_delay);
        self.turns.merge(&other.turns);
        self.sends.merge(&other.sends);
        self.shares.extend(&other.shares);
        self.stalled += other.stalled;
    }
}

/// Counts values in buckets of a 32nd of a power of two or less: 3 % exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Spread {
    pub(crate) p50: u64,
    pub(crate) p95: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
    pub(crate) count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            count: 0,
            max: 0,
        }
    }
}

impl Histogram {
    /// Counts a duration.
    pub(crate) fn add(&mut self, value: Duration) {
        let value_us = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(value_us)] += 1;
        self.count += 1;
        self.max = self.max.max(value_us);
    }

    /// Adds the counts of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (sum, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum += more;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// Returns what was added since `before`, of which this is a later state; its maximum is that of all.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let pairs = self.buckets.iter().zip(&before.buckets);
        let buckets: Vec<_> = pairs.map(|(now, then)| now.saturating_sub(*then)).collect();
        let last = buckets.iter().rposition(|count| *count > 0);
        Self {
            max: last.map_or(0, |last| upper(last).min(self.max)),
            count: self.count.saturating_sub(before.count),
            buckets,
        }
    }

    /// Returns percentiles; `None` when it is empty.
    pub(crate) fn spread(&self) -> Option<Spread> {
        (self.count > 0).then(|| Spread {
            p50: self.percentile(50),
            p95: self.percentile(95),
            p99: self.percentile(99),
            max: self.max,
            count: self.count,
        })
    }

    /// Returns how many values are about this large or larger.
    pub(crate) fn at_least(&self, value: Duration) -> u64 {
        let value_us = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(value_us)..].iter().sum()
    }

    /// Returns how many values there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    fn percentile(&self, percent: u64) -> u64 {
        let wanted = (self.count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let place = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        place.map_or(self.max, |place| upper(place).min(self.max))
    }
}

/// The first 32 values have a bucket each; from there on a power of two has 32.
fn bucket(value: u64) -> usize {
    let power = value.max(32).ilog2() - 5;
    let place = (u64::from(power) * 32) + (value >> power);
    usize::try_from(place).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// Returns the largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let power = (bucket / 32).saturating_sub(1);
    let mantissa = bucket - power * 32;
    ((mantissa + 1) << power) - 1
}

/// Up to 2^36 µs, which is 19 hours.
const BUCKETS: usize = 32 * 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_three_percent_exact() {
        let mut histogram = Histogram::default();
        for value in 1..=100_000 {
            histogram.add(Duration::from_micros(value));
        }
        let spread = histogram.spread().unwrap();
        for (percentile, exact) in [
            (spread.p50, 50_000),
            (spread.p95, 95_000),
            (spread.p99, 99_000),
        ] {
            assert!(
                percentile >= exact && percentile <= exact * 103 / 100,
                "{percentile}"
            );
        }
        assert_eq!((spread.max, spread.count), (100_000, 100_000));
    }

    #[test]
    fn every_value_is_in_its_bucket() {
        for value in (0..5000).chain([1 << 20, (1 << 20) - 1, 123_456_789]) {
            let place = bucket(value);
            assert!(upper(place) >= value, "{value}");
            assert!(place == 0 || upper(place - 1) < value, "{value}");
        }
    }

    #[test]
    fn those_that_are_too_late_can_be_counted() {
        let mut histogram = Histogram::default();
        for ms in [1, 4, 5, 6, 100] {
            histogram.add(Duration::from_millis(ms));
        }
        assert_eq!(histogram.at_least(Duration::from_millis(5)), 3);
        assert_eq!(
            (histogram.at_least(Duration::ZERO), histogram.count()),
            (5, 5)
        );
    }

    #[test]
    fn a_difference_has_what_came_since() {
        let mut before = Histogram::default();
        before.add(Duration::from_secs(1));
        let mut after = before.clone();
        after.add(Duration::from_micros(10));
        let spread = after.since(&before).spread().unwrap();
        assert_eq!((spread.p50, spread.max, spread.count), (10, 10, 1));
    }
}
