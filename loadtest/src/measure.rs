//! What a test costs the server and the generator, between two moments.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::light::tally::{Spread, Tally};
use crate::run::{Context, PUBLISHER_THREAD, VIEWER_THREAD};
use crate::server::{Usage, dropped_datagrams, idle_time, own_threads};

/// All counters at one time.
#[derive(Debug)]
pub(crate) struct Moment {
    at: Instant,
    tally: Tally,
    connected: u64,
    server: Option<Usage>,
    own: Usage,
    threads: Vec<Duration>,
    dropped: u64,
    idle: Option<(Duration, usize)>,
}

impl Moment {
    /// Reads them.
    pub(crate) fn take(context: &Context) -> Self {
        let (tally, connected) = context.tally();
        let mut threads = own_threads(VIEWER_THREAD);
        threads.extend(own_threads(PUBLISHER_THREAD));
        Self {
            at: Instant::now(),
            tally,
            connected,
            server: context.options.server_pid.and_then(Usage::of),
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
    /// At its end.
    pub(crate) connected: u64,
    pub(crate) packets_per_second: f64,
    pub(crate) megabits_per_second: f64,
    pub(crate) packets: u64,
    /// Numbers that did not come in that time, or came late: the difference of the two ends.
    pub(crate) lost: i64,
    pub(crate) recovered: u64,
    pub(crate) reordered: u64,
    pub(crate) repeated: u64,
    /// Opened, and those that could not be.
    pub(crate) opened: u64,
    pub(crate) unreadable: u64,
    /// From the beginning of a frame's sending, and from its last packet's sending, to the arrival of that.
    pub(crate) frame_delay_us: Option<Spread>,
    pub(crate) packet_delay_us: Option<Spread>,
    pub(crate) server: Option<ServerCost>,
    pub(crate) generator: GeneratorCost,
}

/// What the server spent.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServerCost {
    /// Cores in use.
    pub(crate) cores: f64,
    pub(crate) memory_bytes: u64,
    pub(crate) cpu_ns_per_packet: f64,
    /// By CPU arithmetic; a viewer who got half of the packets counts as half a one.
    pub(crate) viewers_per_core: f64,
    /// More memory than without viewers.
    pub(crate) kib_per_viewer: f64,
}

/// What this process spent.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GeneratorCost {
    pub(crate) cores: f64,
    /// Share of a core that the busiest media thread took.
    pub(crate) busiest_thread: f64,
    pub(crate) memory_bytes: u64,
    /// Datagrams that its sockets had no room for.
    pub(crate) dropped: u64,
    /// Share of the machine's time that nobody used; `None` where that is not told.
    pub(crate) machine_idle: Option<f64>,
    /// Datagrams that it could not send.
    pub(crate) unsent: u64,
    /// Whether its own limits are in the figures.
    pub(crate) is_bottleneck: bool,
}

impl Measurement {
    /// Compares two moments; `empty` is the server without viewers.
    pub(crate) fn between(begin: Moment, end: Moment, empty: Option<Usage>) -> Self {
        let seconds = (end.at - begin.at).as_secs_f64().max(1e-3);
        let (before, after) = (&begin.tally, &end.tally);
        let packets = after.packets - before.packets;
        let bytes = after.bytes - before.bytes;
        let fault = |place: usize| after.faults[place].saturating_sub(before.faults[place]);
        let generator = GeneratorCost::between(&begin, &end, seconds);
        let server = begin.server.zip(end.server).map(|(then, now)| {
            let cpu = now.cpu.saturating_sub(then.cpu).as_secs_f64();
            let (cores, viewers) = (cpu / seconds, float(end.connected));
            let lost = after.faults[0].saturating_sub(before.faults[0]);
            // What a server does not deliver is no merit of its core.
            let served = viewers * ratio(float(packets), float(packets + lost));
            let base = empty.unwrap_or(then).memory_bytes;
            ServerCost {
                cores,
                memory_bytes: now.memory_bytes,
                cpu_ns_per_packet: ratio(cpu * 1e9, float(packets)),
                viewers_per_core: ratio(served, cores),
                kib_per_viewer: ratio(
                    float(now.memory_bytes.saturating_sub(base)) / 1024.0,
                    viewers,
                ),
            }
        });
        Self {
            seconds,
            connected: end.connected,
            packets_per_second: float(packets) / seconds,
            megabits_per_second: float(bytes) * 8e-6 / seconds,
            packets,
            lost: after.faults[0].cast_signed() - before.faults[0].cast_signed(),
            recovered: fault(1),
            reordered: fault(2),
            repeated: fault(3),
            opened: after.opened - before.opened,
            unreadable: after.unreadable - before.unreadable,
            frame_delay_us: after.frame_delay.since(&before.frame_delay).spread(),
            packet_delay_us: after.packet_delay.since(&before.packet_delay).spread(),
            server,
            generator,
        }
    }
}

impl GeneratorCost {
    fn between(begin: &Moment, end: &Moment, seconds: f64) -> Self {
        let threads = begin.threads.iter().zip(&end.threads);
        let busiest = threads
            .map(|(then, now)| now.saturating_sub(*then).as_secs_f64() / seconds)
            .fold(0.0, f64::max);
        let idle = begin.idle.zip(end.idle).map(|((then, _), (now, cores))| {
            let cores = u32::try_from(cores.max(1)).unwrap_or(1);
            now.saturating_sub(then).as_secs_f64() / seconds / f64::from(cores)
        });
        let dropped = end.dropped.saturating_sub(begin.dropped);
        Self {
            cores: end.own.cpu.saturating_sub(begin.own.cpu).as_secs_f64() / seconds,
            busiest_thread: busiest,
            memory_bytes: end.own.memory_bytes,
            dropped,
            unsent: end.tally.unsent - begin.tally.unsent,
            is_bottleneck: dropped > 0 || busiest > BUSY || idle.is_some_and(|idle| idle < SPARE),
            machine_idle: idle,
        }
    }

    /// Says whether the figures are the server's or the generator's.
    pub(crate) fn verdict(&self) -> String {
        if self.dropped > 0 {
            format!(
                "the generator was the bottleneck: its sockets dropped {} datagrams, which count as lost",
                self.dropped
            )
        } else if self.busiest_thread > BUSY {
            "the generator was the bottleneck: a media thread had no time left, so delays are its own (--threads)".into()
        } else if let Some(idle) = self.machine_idle.filter(|idle| *idle < SPARE) {
            format!(
                "this machine had no time left ({:.0} % idle): delays are not the server's alone",
                idle * 100.0
            )
        } else {
            "the generator kept up: its sockets dropped nothing and its threads had time left"
                .into()
        }
    }
}

fn ratio(value: f64, by: f64) -> f64 {
    if by > 0.0 { value / by } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn float(value: u64) -> f64 {
    value as f64
}

/// A thread that takes more of a core has no time left for what comes in bursts.
const BUSY: f64 = 0.9;
/// Below this share of idle time, threads wait for each other.
const SPARE: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(at: Instant, packets: u64, cpu: u64, dropped: u64) -> Moment {
        Moment {
            at,
            tally: Tally {
                packets,
                ..Tally::default()
            },
            connected: 100,
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
    fn a_machine_without_idle_time_is_named() {
        let began = Instant::now();
        let ended = began + Duration::from_secs(10);
        let at = |at, idle| Moment {
            idle: Some((Duration::from_secs(idle), 2)),
            ..moment(at, 0, 0, 0)
        };
        let figures = Measurement::between(at(began, 5), at(ended, 6), None);
        assert!(figures.generator.verdict().contains("5 % idle"));
        let figures = Measurement::between(at(began, 5), at(ended, 15), None);
        assert!(figures.generator.verdict().contains("kept up"));
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
        let figures = Measurement::between(begin, end, Some(empty));
        let server = figures.server.unwrap();
        assert!((server.cpu_ns_per_packet - 1000.0).abs() < 1.0);
        assert!((server.viewers_per_core - 1000.0).abs() < 1.0);
        assert!((server.kib_per_viewer - 20.48).abs() < 0.01);
        assert!(!figures.generator.is_bottleneck);
        assert!(figures.generator.verdict().contains("kept up"));
    }

    #[test]
    fn a_generator_that_drops_or_has_no_time_says_so() {
        let began = Instant::now();
        let ended = began + Duration::from_secs(1);
        let figures = Measurement::between(moment(began, 0, 0, 0), moment(ended, 9, 0, 5), None);
        assert!(figures.generator.verdict().contains("dropped 5"));
        let figures = Measurement::between(moment(began, 0, 0, 0), moment(ended, 9, 2000, 0), None);
        assert!(figures.generator.verdict().contains("no time left"));
    }
}
