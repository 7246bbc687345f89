//! When is measured what: the steady part, its halves where some fall silent, and what joins cost.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::light::tally::Spread;
use crate::measure::{Measurement, Moment, float, ratio};
use crate::run::Context;
use crate::server::Usage;

/// What was measured while the test ran.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) steady: Measurement,
    /// `None` unless some fell silent.
    pub(crate) stalled: Option<Stalled>,
    /// `None` where it cannot be told.
    pub(crate) join_cost: Option<JoinCost>,
}

/// What the others noticed of those that fell silent.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stalled {
    /// How many were silent at the end.
    pub(crate) viewers: u64,
    pub(crate) before: Others,
    pub(crate) after: Others,
}

/// How those fared who were not silent.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Others {
    pub(crate) connected: u64,
    pub(crate) packets_per_second: f64,
    pub(crate) lost: i64,
    pub(crate) left_out: u64,
    pub(crate) frame_delay_us: Option<Spread>,
    /// From when something was said to each who heard it.
    pub(crate) delivery_us: Option<Spread>,
}

/// What it cost the server to let viewers in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JoinCost {
    /// Who got a whole picture in that time.
    pub(crate) joins: u64,
    pub(crate) cpu_us_per_join: f64,
    pub(crate) joins_per_second_per_core: f64,
}

impl Figures {
    /// Measures between the time when everybody is in and the first goodbye; when that time does not come, from the
    /// beginning.
    pub(crate) async fn measure(context: Arc<Context>, empty: Option<Usage>) -> Self {
        let stop = &context.base.stop;
        let first = Moment::take(&context).await;
        let begin = later(&context, context.steady_at()).await;
        let stall = match context.stall_at() {
            Some(at) => later(&context, at).await,
            None => None,
        };
        let ends = context.ends - MARGIN;
        stop.or_at(ends).await;
        let last = context.last_good.lock();
        let last = last.unwrap_or_else(PoisonError::into_inner).clone();
        // Whoever ends early leaves at once, and a server that is gone tells nothing.
        let end = match last.filter(|_| stop.is_wanted()) {
            Some(last) => last,
            None => Moment::take(&context).await,
        };
        let begin = begin.filter(|begin| begin.at + LEAST <= end.at);
        let stall = stall.filter(|stall| stall.at + LEAST <= end.at);
        let steady = Measurement {
            is_steady: begin.is_some(),
            ..Measurement::between(begin.as_ref().unwrap_or(&first), &end, empty)
        };
        let halves = begin.as_ref().zip(stall.as_ref());
        Self {
            stalled: halves.map(|(begin, stall)| Stalled::between(begin, stall, &end)),
            join_cost: begin.and_then(|begin| JoinCost::of(&first, &begin, &steady)),
            steady,
        }
    }
}

/// Reads the counters then; `None` when the test ends before.
async fn later(context: &Context, at: Instant) -> Option<Moment> {
    let stop = &context.base.stop;
    stop.or_at(at).await;
    if stop.is_wanted() {
        return None;
    }
    Some(Moment::take(context).await)
}

impl Stalled {
    fn between(begin: &Moment, stall: &Moment, end: &Moment) -> Self {
        let others = |from, to| {
            let part = Measurement::between(from, to, None);
            Others {
                connected: part.connected,
                packets_per_second: part.packets_per_second,
                lost: part.lost,
                left_out: part.left_out,
                frame_delay_us: part.frame_delay_us,
                delivery_us: part.talk.and_then(|talk| talk.delivery_us),
            }
        };
        Self {
            viewers: end.tally.stalled,
            before: others(begin, stall),
            after: others(stall, end),
        }
    }
}

impl JoinCost {
    /// Takes from the CPU time of the ramp what its packets cost when nobody joins; `None` where too little is left.
    fn of(first: &Moment, begin: &Moment, steady: &Measurement) -> Option<Self> {
        let (then, now) = first.server.zip(begin.server)?;
        let cost = steady.server.filter(|cost| cost.cpu_ns_per_packet > 0.0)?;
        let cpu = now.cpu.saturating_sub(then.cpu).as_secs_f64();
        let packets = float(begin.delivered() - first.delivered());
        let of_packets = packets * cost.cpu_ns_per_packet / 1e9;
        let joins = begin.tally.joins.count() - first.tally.joins.count();
        let joins = joins + begin.complete.watching;
        let of_joins = cpu - of_packets;
        let is_clear = of_joins >= LEAST_CPU.as_secs_f64() && of_joins >= cpu * LEAST_SHARE;
        (is_clear && joins >= LEAST_JOINS).then(|| Self {
            joins,
            cpu_us_per_join: of_joins * 1e6 / float(joins),
            joins_per_second_per_core: ratio(float(joins), of_joins),
        })
    }
}

/// The measurement ends so long before the goodbyes.
const MARGIN: Duration = Duration::from_millis(100);
/// A part that is shorter is none.
const LEAST: Duration = Duration::from_millis(500);
/// The kernel tells CPU time in steps of 10 ms.
const LEAST_CPU: Duration = Duration::from_millis(100);
/// With less, the error of what packets cost would be most of it: many leave together in a storm, and fewer later.
const LEAST_SHARE: f64 = 0.5;
const LEAST_JOINS: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::tests::moment;

    type Parts = (Moment, Moment, Moment);

    /// The beginning, when all are in after 2 s, and the end 10 s later; a packet costs 1 µs.
    fn parts(joins: u64, cpu_ms: u64) -> Parts {
        let began = std::time::Instant::now();
        let all_in = began + Duration::from_secs(2);
        let first = moment(began, 0, 1000, 0);
        let mut begin = moment(all_in, 100_000, 1000 + cpu_ms, 0);
        for _ in 0..joins {
            begin.tally.joins.add(Duration::from_millis(50));
        }
        let ended = all_in + Duration::from_secs(10);
        (first, begin, moment(ended, 1_100_000, 2000 + cpu_ms, 0))
    }

    fn cost((first, begin, end): &Parts) -> Option<JoinCost> {
        JoinCost::of(first, begin, &Measurement::between(begin, end, None))
    }

    #[test]
    fn a_join_costs_what_the_packets_of_its_time_did_not() {
        let cost = cost(&parts(100, 300)).unwrap();
        assert_eq!(cost.joins, 100);
        assert!((cost.cpu_us_per_join - 2000.0).abs() < 1.0, "{cost:?}");
        assert!((cost.joins_per_second_per_core - 500.0).abs() < 1.0);
    }

    #[test]
    fn where_little_is_left_nothing_is_said() {
        for few in [parts(100, 190), parts(5, 300), parts(100, 0)] {
            assert_eq!(cost(&few), None);
        }
        let (first, begin, end) = parts(100, 300);
        let unknown = Moment {
            server: None,
            ..first
        };
        assert_eq!(cost(&(unknown, begin, end)), None);
    }

    #[test]
    fn before_and_after_the_silence_are_compared() {
        let (begin, mut stall, mut end) = parts(0, 300);
        stall.tally.faults.lost = 2;
        end.tally.faults.lost = 9;
        end.tally.stalled = 10;
        end.connected = 90;
        let stalled = Stalled::between(&begin, &stall, &end);
        assert_eq!((stalled.before.lost, stalled.after.lost), (2, 7));
        assert_eq!((stalled.viewers, stalled.after.connected), (10, 90));
    }
}
