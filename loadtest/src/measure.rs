//! What a test costs the server and the generator, between two moments.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::gate::Crowd;
use crate::generator::GeneratorCost;
use crate::light::tally::{Spread, Tally};
use crate::run::{Context, PUBLISHER_THREAD, VIEWER_THREAD};
use crate::server::{Usage, dropped_datagrams, idle_time, own_threads};
use crate::talk::Heard;

/// All counters at one time.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) tally: Tally,
    /// Light viewers, without those that have fallen silent.
    pub(crate) connected: u64,
    /// Complete viewers that are there, and what they all got.
    pub(crate) complete: Crowd,
    pub(crate) heard: Heard,
    /// `None` when it could not be read.
    pub(crate) server: Option<Usage>,
    pub(crate) own: Usage,
    pub(crate) threads: Vec<Duration>,
    pub(crate) dropped: u64,
    pub(crate) idle: Option<(Duration, usize)>,
}

impl Moment {
    /// Reads them.
    pub(crate) async fn take(context: &Context) -> Self {
        let server = context.source.read().await;
        Self::with(context, server)
    }

    /// Reads all but the server's.
    pub(crate) fn with(context: &Context, server: Option<Usage>) -> Self {
        let (tally, connected) = context.tally();
        let mut threads = own_threads(VIEWER_THREAD);
        threads.extend(own_threads(PUBLISHER_THREAD));
        Self {
            at: Instant::now(),
            tally,
            connected,
            complete: context.gate.crowd(),
            heard: context.talk.heard(),
            server,
            own: Usage::of(std::process::id()).unwrap_or_default(),
            threads,
            dropped: dropped_datagrams(&context.ports()),
            idle: idle_time(),
        }
    }
}

/// Figures of the time between, in which everybody watched.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Measurement {
    pub(crate) seconds: f64,
    /// Whether everybody was in; else it is of the ramp, too.
    pub(crate) is_steady: bool,
    /// Light viewers at its end, those that had fallen silent, and complete ones.
    pub(crate) connected: u64,
    pub(crate) stalled: u64,
    pub(crate) complete: u64,
    pub(crate) packets_per_second: f64,
    pub(crate) megabits_per_second: f64,
    pub(crate) packets: u64,
    /// Beside them, what complete viewers got, and what came to those that had fallen silent.
    pub(crate) complete_packets: u64,
    pub(crate) unread_packets: u64,
    /// Numbers that did not come in that time, or came late: the difference of the two ends.
    pub(crate) lost: i64,
    pub(crate) recovered: u64,
    pub(crate) reordered: u64,
    pub(crate) repeated: u64,
    /// Packets that the server left out without leaving a gap.
    pub(crate) left_out: u64,
    /// How evenly viewers were served; `None` where nobody was there all the time.
    pub(crate) packets_per_viewer: Option<Shares>,
    /// Opened, and those that could not be.
    pub(crate) opened: u64,
    pub(crate) unreadable: u64,
    /// From the beginning of a frame's sending, and from its last packet's sending, to the arrival of that.
    pub(crate) frame_delay_us: Option<Spread>,
    pub(crate) packet_delay_us: Option<Spread>,
    pub(crate) server: Option<ServerCost>,
    /// `None` where no message came to anybody.
    pub(crate) talk: Option<Pace>,
    pub(crate) generator: GeneratorCost,
}

/// How fast people heard each other.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pace {
    pub(crate) acknowledged_per_second: f64,
    /// One message to a hundred sockets is a hundred.
    pub(crate) delivered_per_second: f64,
    /// All that the server sends by the WebSocket.
    pub(crate) bytes_per_second_per_socket: f64,
    pub(crate) delivery_us: Option<Spread>,
    /// By CPU arithmetic, with all else that the server did; `None` where its CPU time is not known.
    pub(crate) acknowledged_per_second_per_core: Option<f64>,
    pub(crate) delivered_per_second_per_core: Option<f64>,
}

impl Pace {
    fn between(begin: &Moment, end: &Moment, cores: Option<f64>) -> Option<Self> {
        let seconds = (end.at - begin.at).as_secs_f64().max(1e-3);
        let (before, after) = (&begin.heard, &end.heard);
        let rate = |before: u64, after: u64| float(after.saturating_sub(before)) / seconds;
        let acknowledged = rate(before.acknowledged, after.acknowledged);
        let delivered = rate(before.delivered, after.delivered);
        let sockets = after.sockets.max(1);
        (delivered > 0.0).then(|| Self {
            acknowledged_per_second: acknowledged,
            delivered_per_second: delivered,
            bytes_per_second_per_socket: rate(before.bytes, after.bytes) / float(sockets),
            delivery_us: after.delay.since(&before.delay).spread(),
            acknowledged_per_second_per_core: cores.map(|cores| ratio(acknowledged, cores)),
            delivered_per_second_per_core: cores.map(|cores| ratio(delivered, cores)),
        })
    }
}

/// What one got, of those that were there all the time: different packets of a viewer, or bytes of a chatter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shares {
    pub(crate) least: u64,
    pub(crate) median: u64,
    pub(crate) most: u64,
}

impl Shares {
    /// Compares what each viewer had got at two moments.
    fn between(before: &[(u32, u64)], after: &[(u32, u64)]) -> Option<Self> {
        let before: HashMap<u32, u64> = before.iter().copied().collect();
        let got = after.iter().filter_map(|(id, now)| {
            let then = before.get(id)?;
            Some(now.saturating_sub(*then))
        });
        Self::of(got.collect())
    }

    /// Says how far they are apart; `None` where there are none.
    pub(crate) fn of(mut got: Vec<u64>) -> Option<Self> {
        got.sort_unstable();
        Some(Self {
            least: *got.first()?,
            median: *got.get(got.len() / 2)?,
            most: *got.last()?,
        })
    }
}

/// What the server spent.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServerCost {
    /// Cores in use.
    pub(crate) cores: f64,
    pub(crate) memory_bytes: u64,
    /// By all packets that it delivered, to light and complete viewers.
    pub(crate) cpu_ns_per_packet: f64,
    /// By CPU arithmetic; `None` where more than one in a hundred packets did not come: a server that does not keep up has
    /// no such figure.
    pub(crate) viewers_per_core: Option<f64>,
    /// More memory than without viewers; 0 where there are none.
    pub(crate) kib_per_viewer: f64,
}

impl Measurement {
    /// Compares two moments; `empty` is the server without viewers.
    pub(crate) fn between(begin: &Moment, end: &Moment, empty: Option<Usage>) -> Self {
        let seconds = (end.at - begin.at).as_secs_f64().max(1e-3);
        let (before, after) = (&begin.tally, &end.tally);
        let packets = after.packets - before.packets;
        let bytes = after.bytes - before.bytes;
        let (faults, old) = (after.faults, before.faults);
        let server = ServerCost::between(begin, end, empty);
        Self {
            seconds,
            is_steady: true,
            connected: end.connected,
            stalled: after.stalled,
            complete: end.complete.watching,
            packets_per_second: float(packets) / seconds,
            megabits_per_second: float(bytes) * 8e-6 / seconds,
            packets,
            complete_packets: end.complete.packets - begin.complete.packets,
            unread_packets: after.unread - before.unread,
            lost: faults.lost.cast_signed() - old.lost.cast_signed(),
            recovered: faults.recovered.saturating_sub(old.recovered),
            reordered: faults.reordered.saturating_sub(old.reordered),
            repeated: faults.repeated.saturating_sub(old.repeated),
            left_out: faults.left_out.saturating_sub(old.left_out),
            packets_per_viewer: Shares::between(&before.shares, &after.shares),
            opened: after.opened - before.opened,
            unreadable: after.unreadable - before.unreadable,
            frame_delay_us: after.frame_delay.since(&before.frame_delay).spread(),
            packet_delay_us: after.packet_delay.since(&before.packet_delay).spread(),
            talk: Pace::between(begin, end, server.map(|server| server.cores)),
            server,
            generator: GeneratorCost::between(begin, end, seconds),
        }
    }
}

impl ServerCost {
    fn between(begin: &Moment, end: &Moment, empty: Option<Usage>) -> Option<Self> {
        let (then, now) = begin.server.zip(end.server)?;
        let cpu = now.cpu.saturating_sub(then.cpu).as_secs_f64();
        let seconds = (end.at - begin.at).as_secs_f64().max(1e-3);
        let packets = end.delivered() - begin.delivered();
        let (faults, old) = (end.tally.faults, begin.tally.faults);
        let lost = (faults.lost + faults.left_out).saturating_sub(old.lost + old.left_out);
        let watching = end.connected + end.complete.watching;
        let keeps_up = lost * 100 <= packets;
        // What a server does not deliver is no merit of its core, and who is silent is not served.
        let served = float(watching) * ratio(float(packets), float(packets + lost));
        // What is sent to the silent has its price, too.
        let sent = packets + (end.tally.unread - begin.tally.unread);
        let base = empty.unwrap_or(then).memory_bytes;
        let more = float(now.memory_bytes.saturating_sub(base));
        Some(Self {
            cores: cpu / seconds,
            memory_bytes: now.memory_bytes,
            cpu_ns_per_packet: ratio(cpu * 1e9, float(sent)),
            viewers_per_core: keeps_up.then(|| ratio(served, cpu / seconds)),
            kib_per_viewer: ratio(more / 1024.0, float(watching + end.tally.stalled)),
        })
    }
}

impl Moment {
    /// Returns the packets that viewers of both kinds have got.
    pub(crate) fn delivered(&self) -> u64 {
        self.tally.packets + self.complete.packets
    }
}

pub(crate) fn ratio(value: f64, by: f64) -> f64 {
    if by > 0.0 { value / by } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn moment(at: Instant, packets: u64, cpu: u64, dropped: u64) -> Moment {
        Moment {
            at,
            tally: Tally {
                packets,
                ..Tally::default()
            },
            connected: 100,
            complete: Crowd::default(),
            heard: Heard::default(),
            server: Some(Usage {
                cpu: Duration::from_millis(cpu),
                memory_bytes: 20 << 20,
            }),
            own: Usage::default(),
            threads: vec![Duration::from_millis(cpu / 2)],
            dropped,
            idle: None,
        }
    }

    #[test]
    fn costs_are_told_per_packet_and_viewer() {
        let began = Instant::now();
        let ended = began + Duration::from_secs(10);
        let empty = Usage {
            cpu: Duration::ZERO,
            memory_bytes: 18 << 20,
        };
        let begin = moment(began, 1000, 1000, 3);
        let end = moment(ended, 1_001_000, 2000, 3);
        let figures = Measurement::between(&begin, &end, Some(empty));
        let server = figures.server.unwrap();
        assert!((server.cpu_ns_per_packet - 1000.0).abs() < 1.0);
        assert!((server.viewers_per_core.unwrap() - 1000.0).abs() < 1.0);
        assert!((server.kib_per_viewer - 20.48).abs() < 0.01);
        assert_eq!(figures.generator.bottlenecks, Vec::<String>::new());
    }

    #[test]
    fn complete_viewers_are_served_and_silent_ones_are_not() {
        let began = Instant::now();
        let ended = began + Duration::from_secs(10);
        let begin = moment(began, 0, 1000, 0);
        let mut end = moment(ended, 0, 2000, 0);
        (end.connected, end.tally.stalled) = (0, 10);
        end.complete = Crowd {
            watching: 2,
            packets: 10_000,
        };
        end.tally.unread = 10_000;
        let figures = Measurement::between(&begin, &end, None);
        let server = figures.server.unwrap();
        assert!((server.cpu_ns_per_packet - 50_000.0).abs() < 1.0);
        assert!((server.viewers_per_core.unwrap() - 20.0).abs() < 0.1);
        assert_eq!((figures.complete, figures.stalled), (2, 10));
    }

    #[test]
    fn who_came_or_went_meanwhile_is_not_compared_with_the_others() {
        let before = [(1, 100), (2, 50), (3, 0), (4, 9)];
        let after = [(2, 250), (1, 400), (3, 210), (5, 7)];
        let shares = Shares {
            least: 200,
            median: 210,
            most: 300,
        };
        assert_eq!(Shares::between(&before, &after), Some(shares));
        assert_eq!(Shares::between(&[], &after), None);
    }

    #[test]
    fn the_generators_own_limits_are_those_of_the_time_between() {
        let began = Instant::now();
        let ended = began + Duration::from_secs(1);
        let begin = Moment {
            idle: Some((Duration::from_secs(5), 2)),
            ..moment(began, 0, 0, 2)
        };
        let mut end = Moment {
            idle: Some((Duration::from_secs(6), 2)),
            ..moment(ended, 9, 2000, 7)
        };
        end.tally.sends.add(Duration::from_millis(5));
        end.tally.sends.add(Duration::ZERO);
        let cost = Measurement::between(&begin, &end, None).generator;
        assert_eq!((cost.dropped, cost.sends, cost.late_sends), (5, 2, 1));
        assert!((cost.busiest_thread - 1.0).abs() < 0.01);
        assert_eq!(cost.machine_idle, Some(0.5));
    }
}
