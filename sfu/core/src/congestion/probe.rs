//! Clusters of packets sent faster than the media alone, to learn whether the path carries a better layer: padding and
//! repetitions on the stream of retransmissions, that cost a viewer nothing when they are lost.
//!
//! A cluster is bounded in rate, bytes and packets, and the next one waits longer after each that came to nothing.

use std::time::{Duration, Instant};

use super::delivered::Arrival;
use super::rate::Bitrate;

/// Between two steps of a cluster.
const STEP: Duration = Duration::from_millis(5);
/// How long a cluster lasts, unless it is too few packets then.
const LENGTH: Duration = Duration::from_millis(40);
/// Packets and bytes of a cluster, at the least; and bytes at most.
const MIN_PACKETS: u32 = 6;
const MIN_BYTES: u64 = 6 * 1200;
const MAX_BYTES: u64 = 60_000;
/// No cluster is faster.
const MAX_RATE: Bitrate = Bitrate::kbps(12_000);
/// So much a cluster of the most has shown for certain; what needs more is tried without another proof.
pub(crate) const PROVABLE: Bitrate = MAX_RATE.percent(95);
/// A cluster is not faster than so many hundredths of what is known.
const MAX_STEP: u64 = 220;
/// How long after a cluster its packets are waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two clusters: after one that reached its rate, and after one that did not, at first and at most.
const WAIT_REACHED: Duration = Duration::from_millis(50);
const WAIT_MISSED: Duration = Duration::from_secs(2);
const MAX_WAIT: Duration = Duration::from_secs(8);
/// A path that carries so many hundredths of what was known has become wider.
const WIDER: u64 = 130;
/// What must have arrived of a cluster, in hundredths, to say anything.
const ARRIVED: u64 = 80;
/// A cluster that arrives at so many hundredths of its rate has not met the limit of the path.
const UNHINDERED: u64 = 90;

/// Decides when to probe, and measures what comes of it.
#[derive(Debug)]
pub(crate) struct Prober {
    /// The cluster under way; `None` between two.
    cluster: Option<Cluster>,
    /// When the next one may begin.
    earliest: Instant,
    /// How long the next one waits if this one comes to nothing.
    wait: Duration,
}

/// What came of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The path carries at least this.
    Reached(Bitrate),
    /// The path carries this and no more.
    Missed(Bitrate),
    /// Too little of it arrived.
    Nothing,
}

/// One cluster.
#[derive(Debug)]
struct Cluster {
    rate: Bitrate,
    /// What the path was known to carry before.
    known: Bitrate,
    began: Instant,
    /// The transport-wide numbers of its packets; the end is `None` while it is being sent.
    first: u64,
    end: Option<u64>,
    /// When the next step is due; after the last one, when waiting for it ends.
    due: Instant,
    /// What went.
    sent_bytes: u64,
    sent_packets: u32,
    /// What arrived; `None` before the first.
    arrived: Option<Span>,
}

/// What arrived of a cluster.
#[derive(Clone, Copy, Debug)]
struct Span {
    packets: u32,
    bytes: u64,
    first: Arrival,
    last: Arrival,
    first_departed_us: u64,
    last_departed_us: u64,
}

impl Prober {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            cluster: None,
            earliest: now,
            wait: WAIT_MISSED,
        }
    }

    /// Begins a cluster if it is time; returns whether it does. `known` is what the path is known to carry, `goal`
    /// what it has to, `first` the number of the next packet.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        first: u64,
        (known, goal): (Bitrate, Bitrate),
    ) -> bool {
        if self.cluster.is_some() || now < self.earliest {
            return false;
        }
        let rate = goal.min(known.percent(MAX_STEP)).min(MAX_RATE);
        self.cluster = Some(Cluster {
            rate,
            known,
            began: now,
            first,
            end: None,
            due: now,
            sent_bytes: 0,
            sent_packets: 0,
            arrived: None,
        });
        true
    }

    /// Puts the next cluster off: the rate has just fallen.
    pub(crate) fn put_off(&mut self, now: Instant) {
        self.cluster = None;
        self.earliest = self.earliest.max(now + self.wait);
    }

    /// Returns when a step is due, or a cluster is given up.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.cluster.as_ref().map(|cluster| cluster.due)
    }

    /// Returns whether another packet of padding is due now.
    pub(crate) fn owes(&self, now: Instant) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| {
            let passed = now.saturating_duration_since(cluster.began) + STEP;
            let owed = cluster.rate.bytes_in(passed).min(cluster.target());
            cluster.end.is_none() && cluster.due <= now && cluster.sent_bytes < owed
        })
    }

    /// Notes any packet that leaves.
    pub(crate) fn note_sent(&mut self, size_bytes: usize) {
        if let Some(cluster) = self.cluster.as_mut().filter(|it| it.end.is_none()) {
            cluster.sent_bytes += size_bytes as u64;
            cluster.sent_packets += 1;
        }
    }

    /// Ends a step. `next` is the number of the packet that is sent next.
    pub(crate) fn end_step(&mut self, now: Instant, next: u64) {
        let Some(cluster) = self.cluster.as_mut().filter(|it| it.due <= now) else {
            return;
        };
        if cluster.end.is_some() {
            return;
        }
        cluster.due = now + STEP;
        let has_packets = cluster.sent_packets >= MIN_PACKETS;
        let is_whole = has_packets && cluster.sent_bytes >= cluster.target();
        let is_overdue = now.saturating_duration_since(cluster.began) >= LENGTH * 8;
        if is_whole || is_overdue {
            cluster.end = Some(next);
            cluster.due = now + PATIENCE;
        }
    }

    /// Returns whether a cluster is being sent.
    pub(crate) fn is_sending(&self) -> bool {
        self.cluster.as_ref().is_some_and(|it| it.end.is_none())
    }

    /// Returns whether a packet is of the cluster under way.
    pub(crate) fn contains(&self, number: u64) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| {
            number >= cluster.first && cluster.end.is_none_or(|end| number < end)
        })
    }

    /// Takes a packet that arrived.
    pub(super) fn add(&mut self, number: u64, packet: Arrival) {
        if !self.contains(number) {
            return;
        }
        let Some(cluster) = self.cluster.as_mut() else {
            return;
        };
        let span = cluster.arrived.get_or_insert(Span {
            packets: 0,
            bytes: 0,
            first: packet,
            last: packet,
            first_departed_us: packet.departed_us,
            last_departed_us: packet.departed_us,
        });
        span.packets += 1;
        span.bytes += u64::from(packet.size_bytes);
        if packet.arrived_us < span.first.arrived_us {
            span.first = packet;
        }
        if packet.arrived_us >= span.last.arrived_us {
            span.last = packet;
        }
        span.first_departed_us = span.first_departed_us.min(packet.departed_us);
        span.last_departed_us = span.last_departed_us.max(packet.departed_us);
    }

    /// Returns what came of the cluster, once all of it is reported (`reported` is the highest number that is) or
    /// has been waited for.
    pub(crate) fn poll_outcome(&mut self, now: Instant, reported: u64) -> Option<Outcome> {
        let is_over = |cluster: &mut Cluster| {
            cluster
                .end
                .is_some_and(|end| reported + 1 >= end || cluster.due <= now)
        };
        let cluster = self.cluster.take_if(is_over)?;
        let outcome = cluster.outcome();
        let (wait, next) = match outcome {
            Outcome::Reached(_) => (WAIT_REACHED, WAIT_MISSED),
            // It met a limit, but not the one before.
            Outcome::Missed(rate) if rate > cluster.known.percent(WIDER) => {
                (WAIT_MISSED, WAIT_MISSED)
            }
            Outcome::Missed(_) | Outcome::Nothing => (self.wait, (self.wait * 2).min(MAX_WAIT)),
        };
        self.earliest = now + wait;
        self.wait = next;
        Some(outcome)
    }
}

impl Cluster {
    fn target(&self) -> u64 {
        self.rate.bytes_in(LENGTH).clamp(MIN_BYTES, MAX_BYTES)
    }

    fn outcome(&self) -> Outcome {
        let Some(span) = self.arrived.filter(|span| {
            let has_packets =
                u64::from(self.sent_packets) * ARRIVED <= u64::from(span.packets) * 100;
            let has_bytes = self.sent_bytes * ARRIVED <= span.bytes * 100;
            has_packets && has_bytes && span.packets > 2
        }) else {
            return Outcome::Nothing;
        };
        // The last packet of a rate that leaves, and the first of one that arrives, take no time in it.
        let left = span.bytes - u64::from(span.last.size_bytes);
        let came = span.bytes - u64::from(span.first.size_bytes);
        let took = span.last.arrived_us - span.first.arrived_us;
        let leaving = Duration::from_micros(span.last_departed_us - span.first_departed_us);
        let sending = Bitrate::of(left, leaving);
        let receiving = Bitrate::of(came, Duration::from_micros(took));
        match (sending, receiving) {
            (None, _) => Outcome::Nothing,
            (Some(sending), None) => Outcome::Reached(sending.min(self.rate)),
            (Some(sending), Some(receiving)) => {
                if receiving >= sending.percent(UNHINDERED) {
                    Outcome::Reached(sending.min(receiving))
                } else {
                    Outcome::Missed(receiving.percent(95))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;
    use crate::congestion::sent::micros;

    /// Sends a cluster over a bottleneck; returns what went, in bytes, and what came of it.
    fn probe(goal: Bitrate, bottleneck: Bitrate) -> (u64, Outcome) {
        let start = Instant::now();
        send(&mut Prober::new(start), start, (goal, goal), bottleneck)
    }

    fn send(
        prober: &mut Prober,
        start: Instant,
        rates: (Bitrate, Bitrate),
        bottleneck: Bitrate,
    ) -> (u64, Outcome) {
        assert!(prober.begin(start, 100, rates));
        let (mut now, mut next, mut free_at) = (start, 100, 0);
        let mut bytes = 0;
        while prober.cluster.as_ref().is_some_and(|it| it.end.is_none()) {
            while prober.owes(now) {
                let departed_us = micros(now - start);
                free_at = departed_us.max(free_at) + micros(bottleneck.time_for(1200));
                let packet = Arrival {
                    departed_us,
                    arrived_us: free_at + 20_000,
                    size_bytes: 1200,
                };
                prober.note_sent(1200);
                prober.add(next, packet);
                next += 1;
                bytes += 1200;
            }
            prober.end_step(now, next);
            now = prober.poll_timeout().unwrap();
        }
        (bytes, prober.poll_outcome(now, next - 1).unwrap())
    }

    #[test]
    fn a_path_that_has_become_wider_is_probed_again_soon() {
        let start = Instant::now();
        let mut prober = Prober::new(start);
        prober.wait = MAX_WAIT;
        let [known, goal, wider] = [600, 1300, 900].map(Bitrate::kbps);
        let (_, outcome) = send(&mut prober, start, (known, goal), wider);
        assert!(matches!(outcome, Outcome::Missed(_)), "{outcome:?}");
        assert!(prober.earliest <= start + WAIT_MISSED * 2);
        assert_eq!(prober.wait, WAIT_MISSED);
        let later = start + MAX_WAIT;
        let (_, outcome) = send(&mut prober, later, (known, goal), known);
        assert!(matches!(outcome, Outcome::Missed(_)), "{outcome:?}");
        assert_eq!(prober.wait, WAIT_MISSED * 2);
    }

    #[test]
    fn a_cluster_finds_the_limit_of_the_path() {
        for (goal, bottleneck) in [(1000, 600), (3000, 1800), (10_000, 3000)] {
            let (bytes, outcome) = probe(Bitrate::kbps(goal), Bitrate::kbps(bottleneck));
            let Outcome::Missed(found) = outcome else {
                panic!("{outcome:?} of {goal} over {bottleneck}");
            };
            let limit = Bitrate::kbps(bottleneck);
            assert!(found <= limit && found > limit.percent(85), "{found:?}");
            assert!(bytes <= MAX_BYTES + 1200);
        }
    }

    #[test]
    fn a_cluster_that_fits_reaches_its_rate() {
        for goal in [300, 1000, 3000, 8000] {
            let goal = Bitrate::kbps(goal);
            let (_, outcome) = probe(goal, goal.percent(300));
            let Outcome::Reached(found) = outcome else {
                panic!("{outcome:?} of {goal:?}");
            };
            assert!(found > goal.percent(80), "{found:?} of {goal:?}");
        }
    }

    #[test]
    fn clusters_that_come_to_nothing_wait_longer_each_time() {
        let start = Instant::now();
        let mut prober = Prober::new(start);
        let rates = (Bitrate::kbps(500), Bitrate::kbps(900));
        let mut begun = Vec::new();
        for ms in (0..40_000).step_by(5) {
            let now = start + Duration::from_millis(ms);
            if prober.begin(now, 0, rates) {
                begun.push(ms / 1000);
            }
            while prober.owes(now) {
                prober.note_sent(1200);
            }
            prober.end_step(now, 1_000_000);
            prober.poll_outcome(now, 0);
        }
        assert_eq!(begun, [0, 3, 8, 17, 26, 35]);
    }
}
