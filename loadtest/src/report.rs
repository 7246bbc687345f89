//! The result as a table for people and as JSON for programs.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use serde::Serialize;

use crate::light::Counts;
use crate::light::send::Sent;
use crate::light::tally::{Spread, Tally};
use crate::live::Sample;
use crate::measure::{Measurement, float};
use crate::run::{self, Context};
use crate::session::Visit;
use crate::viewer::ViewerReport;

/// What a test left behind.
pub(crate) struct Results<'a> {
    pub(crate) context: &'a Arc<Context>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) visits: Vec<Visit>,
    pub(crate) complete: Vec<ViewerReport>,
    pub(crate) measurement: Measurement,
    pub(crate) samples: Vec<Sample>,
    pub(crate) tally: Tally,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// The command line.
    pub(crate) command: String,
    /// After the last viewer was let in.
    duration_s: f64,
    publishers: usize,
    /// All of them together.
    sent: Sent,
    pub(crate) joins: Joins,
    /// Of all visits, from the first packet of each to its last.
    video: Counts,
    audio: Counts,
    /// Thrown away on purpose (`--loss`).
    dropped_on_purpose: u64,
    /// While everybody watched.
    pub(crate) steady: Measurement,
    chat: Option<Chat>,
    pub(crate) samples: Vec<Sample>,
    /// The complete viewers.
    conformance: Vec<ViewerReport>,
    /// Reasons why viewers stopped early, and how many each stopped.
    errors: Vec<(String, usize)>,
}

/// How viewers came in; times count from a viewer's first request, in microseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Joins {
    visits: usize,
    /// Of these many, a whole picture came.
    watching: usize,
    pub(crate) connected_us: Option<Spread>,
    pub(crate) first_packet_us: Option<Spread>,
    pub(crate) first_frame_us: Option<Spread>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Chat {
    sent: u64,
    acknowledged: u64,
    /// To all sockets together.
    delivered: u64,
    reactions_sent: u64,
    /// Messages and reactions that the server refused.
    refused: u64,
    delivery_us: Option<Spread>,
}

impl Report {
    /// Sums up.
    pub(crate) fn new(results: Results<'_>) -> Self {
        let Results {
            context,
            sent,
            visits,
            complete,
            measurement,
            samples,
            tally,
        } = results;
        let sum = |counts: fn(&Visit) -> Counts| {
            visits
                .iter()
                .map(counts)
                .fold(Counts::default(), Counts::plus)
        };
        Self {
            command: std::env::args().collect::<Vec<_>>().join(" "),
            duration_s: context.options.duration.as_secs_f64(),
            publishers: sent.len(),
            sent: run::sum(&sent),
            joins: Joins::of(&visits),
            video: sum(|visit| visit.seen.video),
            audio: sum(|visit| visit.seen.audio),
            dropped_on_purpose: tally.dropped,
            steady: measurement,
            chat: Chat::of(context),
            samples,
            conformance: complete,
            errors: errors(&visits),
        }
    }

    /// Returns whether every viewer got a picture.
    pub(crate) fn everyone_saw_media(&self) -> bool {
        let complete = self
            .conformance
            .iter()
            .all(|viewer| viewer.video.frames > 0);
        complete && self.joins.watching == self.joins.visits
    }

    /// Writes the summary as lines for people.
    pub(crate) fn write_table(&self, out: &mut impl Write) -> io::Result<()> {
        for line in self.lines() {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    /// Returns the summary as lines for people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let (joins, sent) = (&self.joins, self.sent);
        let mut lines = vec![format!(
            "{} of {} visits got a whole picture",
            joins.watching, joins.visits
        )];
        if self.publishers > 0 {
            lines.push(format!(
                "sent: {} video packets, {} audio packets, {} frames, {} of them keyframes ({} asked for), {} sent again",
                sent.packets, sent.audio_packets, sent.frames, sent.keyframes, sent.keyframe_requests, sent.resent
            ));
        }
        for (name, counts) in [("video", self.video), ("audio", self.audio)] {
            lines.push(format!(
                "{name}: {} packets, {} lost, {} recovered, {} repeated, {} reordered",
                counts.packets, counts.lost, counts.recovered, counts.repeated, counts.reordered
            ));
        }
        if self.dropped_on_purpose > 0 {
            lines.push(format!(
                "thrown away on purpose: {}",
                self.dropped_on_purpose
            ));
        }
        lines.push(String::new());
        lines.push(format!(
            "{:<34}{:>9}{:>9}{:>9}{:>9}",
            "ms", "p50", "p95", "p99", "max"
        ));
        let rows = [
            ("connected", joins.connected_us),
            ("first packet", joins.first_packet_us),
            ("first whole picture", joins.first_frame_us),
            ("frame sent → last packet there", self.steady.frame_delay_us),
            ("last packet sent → there", self.steady.packet_delay_us),
            (
                "chat sent → delivered",
                self.chat.as_ref().and_then(|chat| chat.delivery_us),
            ),
        ];
        lines.extend(rows.into_iter().filter_map(|(name, spread)| {
            let Spread {
                p50, p95, p99, max, ..
            } = spread?;
            let [p50, p95, p99, max] =
                [p50, p95, p99, max].map(|us| format!("{:.1}", float(us) / 1000.0));
            Some(format!("{name:<34}{p50:>9}{p95:>9}{p99:>9}{max:>9}"))
        }));
        lines.push(String::new());
        self.write_cost(&mut lines);
        lines
    }

    fn write_cost(&self, lines: &mut Vec<String>) {
        let steady = &self.steady;
        lines.push(format!(
            "steady {:.0} s: {} connected, {:.0} packets/s, {:.0} Mb/s, {} lost, {} opened, {} unreadable",
            steady.seconds, steady.connected, steady.packets_per_second, steady.megabits_per_second,
            steady.lost, steady.opened, steady.unreadable
        ));
        if let Some(server) = &steady.server {
            lines.push(format!(
                "server: {:.2} cores, {:.0} ns per packet × viewer, {:.0} viewers a core, {:.1} KiB a viewer, {:.0} MiB",
                server.cores, server.cpu_ns_per_packet, server.viewers_per_core, server.kib_per_viewer,
                float(server.memory_bytes) / 1048576.0
            ));
        }
        if let Some(chat) = &self.chat {
            lines.push(format!(
                "chat: {} sent, {} acknowledged, {} delivered; {} reactions; {} refused",
                chat.sent, chat.acknowledged, chat.delivered, chat.reactions_sent, chat.refused
            ));
        }
        let own = &steady.generator;
        lines.push(format!(
            "generator: {:.2} cores, busiest media thread {:.0} %, {:.0} MiB",
            own.cores,
            own.busiest_thread * 100.0,
            float(own.memory_bytes) / 1048576.0
        ));
        lines.push(own.verdict());
        for viewer in &self.conformance {
            let error = viewer.error.as_deref().unwrap_or("no error");
            let first = viewer.first_frame_ms.unwrap_or(0);
            lines.push(format!(
                "complete viewer {}: first frame after {first} ms, {} packets, {} frames, {} lost, {error}",
                viewer.number,
                viewer.video.packets + viewer.audio.packets,
                viewer.video.frames,
                viewer.video.lost + viewer.audio.lost
            ));
        }
        for (error, count) in &self.errors {
            lines.push(format!("{count} visits: {error}"));
        }
    }
}

impl Joins {
    fn of(visits: &[Visit]) -> Self {
        let spread = |moment: fn(&Visit) -> Option<Instant>| {
            let mut histogram = crate::light::tally::Histogram::default();
            for visit in visits {
                if let Some(at) = moment(visit) {
                    histogram.add(at.saturating_duration_since(visit.began));
                }
            }
            histogram.spread()
        };
        let watching = visits
            .iter()
            .filter(|visit| visit.seen.first_frame_at.is_some());
        Self {
            visits: visits.len(),
            watching: watching.count(),
            connected_us: spread(|visit| visit.seen.connected_at),
            first_packet_us: spread(|visit| visit.seen.first_packet_at),
            first_frame_us: spread(|visit| visit.seen.first_frame_at),
        }
    }
}

impl Chat {
    fn of(context: &Context) -> Option<Self> {
        let talk = &context.talk;
        let delays = talk
            .chat_delay
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let chat = Self {
            sent: talk.chat_sent.load(Ordering::Relaxed),
            acknowledged: talk.chat_acknowledged.load(Ordering::Relaxed),
            delivered: talk.chat_delivered.load(Ordering::Relaxed),
            reactions_sent: talk.reactions_sent.load(Ordering::Relaxed),
            refused: talk.refused.load(Ordering::Relaxed),
            delivery_us: delays.spread(),
        };
        (chat.sent + chat.reactions_sent > 0).then_some(chat)
    }
}

/// Counts each reason, the most frequent first.
fn errors(visits: &[Visit]) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for error in visits.iter().filter_map(|visit| visit.error.as_deref()) {
        *counts.entry(error).or_default() += 1;
    }
    let mut list: Vec<_> = counts
        .into_iter()
        .map(|(error, count)| (error.to_owned(), count))
        .collect();
    list.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    list.truncate(MAX_ERRORS);
    list
}

/// Different reasons that are listed.
const MAX_ERRORS: usize = 20;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::light::receive::Seen;

    fn visit(first_frame: Option<u64>, error: Option<&str>) -> Visit {
        let began = Instant::now();
        let seen = Seen {
            first_frame_at: first_frame.map(|ms| began + Duration::from_millis(ms)),
            ..Seen::default()
        };
        Visit {
            began,
            seen,
            error: error.map(str::to_owned),
        }
    }

    #[test]
    fn those_who_saw_nothing_are_told_apart() {
        let visits = [visit(Some(40), None), visit(None, Some("no room"))];
        let joins = Joins::of(&visits);
        assert_eq!((joins.visits, joins.watching), (2, 1));
        assert_eq!(joins.first_frame_us.map(|spread| spread.max), Some(40_000));
        assert_eq!(joins.connected_us, None);
    }

    #[test]
    fn reasons_are_counted_the_most_frequent_first() {
        let visits = [
            visit(None, Some("a")),
            visit(None, Some("b")),
            visit(None, Some("b")),
        ];
        assert_eq!(errors(&visits), [("b".to_owned(), 2), ("a".to_owned(), 1)]);
    }
}
