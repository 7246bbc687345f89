//! What the test itself spent, and whether its own limits are in the figures.

use serde::Serialize;

use crate::light::pace::STEP;
use crate::light::tally::{Histogram, Spread};
use crate::measure::{Moment, float};

/// What this process spent between two moments.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GeneratorCost {
    /// Cores in use, and how many it may use.
    pub(crate) cores: f64,
    pub(crate) allowed_cores: usize,
    /// Share of a core that the busiest media thread took.
    pub(crate) busiest_thread: f64,
    pub(crate) memory_bytes: u64,
    /// Datagrams that its sockets had no room for.
    pub(crate) dropped: u64,
    /// Datagrams that it could not send.
    pub(crate) unsent: u64,
    /// Frames and steps of the pacer, and how many left at least one step of 5 ms late.
    pub(crate) sends: u64,
    pub(crate) late_sends: u64,
    /// How much later than due its threads had their turn.
    pub(crate) turn_delay_us: Option<Spread>,
    /// Share of the machine's time that nobody used; `None` where that is not told.
    pub(crate) machine_idle: Option<f64>,
    /// In words what of its own limits is in the figures; empty when it kept up.
    pub(crate) bottlenecks: Vec<String>,
}

impl GeneratorCost {
    /// Compares two moments.
    pub(crate) fn between(begin: &Moment, end: &Moment, seconds: f64) -> Self {
        let threads = begin.threads.iter().zip(&end.threads);
        let busiest = threads
            .map(|(then, now)| now.saturating_sub(*then).as_secs_f64() / seconds)
            .fold(0.0, f64::max);
        let idle = begin.idle.zip(end.idle).map(|((then, _), (now, cores))| {
            let cores = u32::try_from(cores.max(1)).unwrap_or(1);
            now.saturating_sub(then).as_secs_f64() / seconds / f64::from(cores)
        });
        let since = |of: fn(&Moment) -> &Histogram| of(end).since(of(begin));
        let sends = since(|moment| &moment.tally.sends);
        let allowed = std::thread::available_parallelism();
        let mut cost = Self {
            cores: end.own.cpu.saturating_sub(begin.own.cpu).as_secs_f64() / seconds,
            allowed_cores: allowed.map_or(1, std::num::NonZero::get),
            busiest_thread: busiest,
            memory_bytes: end.own.memory_bytes,
            dropped: end.dropped.saturating_sub(begin.dropped),
            unsent: end.tally.unsent - begin.tally.unsent,
            sends: sends.count(),
            late_sends: sends.at_least(STEP),
            turn_delay_us: since(|moment| &moment.tally.turns).spread(),
            machine_idle: idle,
            bottlenecks: Vec::new(),
        };
        cost.bottlenecks = cost.find_bottlenecks();
        cost
    }

    /// Says whose limits are in the figures.
    pub(crate) fn verdict(&self) -> String {
        let idle = self.machine_idle.filter(|idle| *idle < SPARE);
        let machine = idle.map(|idle| {
            let busy = (1.0 - idle) * 100.0;
            format!("this machine was {busy:.0} % busy, so threads waited for each other")
        });
        if !self.bottlenecks.is_empty() {
            let reasons: Vec<_> = self.bottlenecks.iter().chain(&machine).cloned().collect();
            return format!("the generator was the bottleneck: {}", reasons.join("; "));
        }
        machine.map_or_else(
            || "the generator kept up: it dropped nothing, sent in time and had time left".into(),
            |machine| format!("{machine}: delays are not the server's alone"),
        )
    }

    fn find_bottlenecks(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.dropped > 0 {
            let dropped = self.dropped;
            found.push(format!(
                "its sockets had no room for {dropped} datagrams, which count as lost"
            ));
        }
        if self.unsent > 0 {
            found.push(format!("it could not send {} datagrams", self.unsent));
        }
        if self.busiest_thread > BUSY {
            let share = self.busiest_thread * 100.0;
            found.push(format!("a media thread was {share:.0} % busy (--threads)"));
        }
        let allowed = float(self.allowed_cores as u64);
        if self.cores > allowed * BUSY {
            found.push(format!("it used {:.1} of its {allowed} cores", self.cores));
        }
        if float(self.late_sends) > float(self.sends) * LATE {
            found.push(format!(
                "{} of {} frames and pacing steps left 5 ms late or more",
                self.late_sends, self.sends
            ));
        }
        if let Some(delay) = self
            .turn_delay_us
            .filter(|delay| u128::from(delay.p99) >= STEP.as_micros())
        {
            let late = float(delay.p99) / 1000.0;
            found.push(format!(
                "its threads had their turn {late:.1} ms late (p99), which is in the delays"
            ));
        }
        found
    }
}

/// A thread or a process that takes more of its cores has no time left for what comes in bursts.
const BUSY: f64 = 0.9;
/// More late sends than this share change what the server has to do.
const LATE: f64 = 0.01;
/// Below this share of idle time, threads wait for each other.
const SPARE: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut GeneratorCost);

    /// A generator that kept up.
    fn idle() -> GeneratorCost {
        GeneratorCost {
            cores: 0.1,
            allowed_cores: 2,
            busiest_thread: 0.1,
            memory_bytes: 0,
            dropped: 0,
            unsent: 0,
            sends: 1000,
            late_sends: 10,
            turn_delay_us: Some(Spread {
                p99: 4999,
                ..Spread::default()
            }),
            machine_idle: Some(0.5),
            bottlenecks: Vec::new(),
        }
    }

    #[test]
    fn each_limit_of_its_own_is_named() {
        assert_eq!(idle().find_bottlenecks(), Vec::<String>::new());
        let changes: [(Change, &str); 6] = [
            (|cost| cost.dropped = 5, "no room for 5 datagrams"),
            (|cost| cost.unsent = 3, "could not send 3"),
            (|cost| cost.busiest_thread = 0.95, "95 % busy"),
            (|cost| cost.cores = 1.9, "1.9 of its 2 cores"),
            (|cost| cost.late_sends = 11, "11 of 1000 frames"),
            (
                |cost| {
                    cost.turn_delay_us = Some(Spread {
                        p99: 6000,
                        ..Spread::default()
                    });
                },
                "6.0 ms late",
            ),
        ];
        for (change, named) in changes {
            let mut cost = idle();
            change(&mut cost);
            let found = cost.find_bottlenecks();
            assert!(found.len() == 1 && found[0].contains(named), "{found:?}");
        }
    }

    #[test]
    fn several_limits_make_one_sentence() {
        let mut cost = idle();
        assert!(cost.verdict().contains("kept up"));
        cost.machine_idle = Some(0.05);
        let machine = "this machine was 95 % busy, so threads waited for each other";
        let verdict = cost.verdict();
        assert_eq!(
            verdict,
            format!("{machine}: delays are not the server's alone")
        );
        (cost.dropped, cost.unsent) = (1, 1);
        cost.bottlenecks = cost.find_bottlenecks();
        let verdict = cost.verdict();
        assert!(
            verdict.starts_with("the generator was the bottleneck: ")
                && verdict.contains("; it could")
                && verdict.ends_with(machine)
        );
    }
}
