//! The result, as people read it.

use crate::figures::{JoinCost, Others, Stalled};
use crate::light::Counts;
use crate::light::tally::Spread;
use crate::measure::{Pace, ServerCost, Shares, float};
use crate::report::{Chatters, Conformance, Ended, Joins, Report};
use crate::stop::Why;
use crate::talk::Chat;

/// Returns the whole report as lines.
pub(crate) fn lines(report: &Report) -> Vec<String> {
    let mut lines = figures(report);
    lines.push(String::new());
    lines.extend(verdict(report));
    lines
}

/// Returns what was measured.
pub(crate) fn figures(report: &Report) -> Vec<String> {
    let mut lines = vec![report.made.line()];
    ended(report, &mut lines);
    people(report, &mut lines);
    packets(report, &mut lines);
    lines.push(String::new());
    times(report, &mut lines);
    lines.push(String::new());
    costs(report, &mut lines);
    for (error, count) in &report.errors {
        lines.push(format!("{count} visits: {error}"));
    }
    let listed: usize = report.errors.iter().map(|(_, count)| count).sum();
    if listed < report.ended_early {
        lines.push(format!(
            "{} visits: other reasons",
            report.ended_early - listed
        ));
    }
    lines
}

/// Returns whose limit was met, and whether the test passed.
pub(crate) fn verdict(report: &Report) -> Vec<String> {
    let mut lines = vec![report.steady.generator.verdict()];
    if report.failures.is_empty() {
        lines.push("passed".into());
    }
    lines.extend(report.failures.iter().map(|why| format!("FAILED: {why}")));
    lines
}

fn ended(report: &Report, lines: &mut Vec<String>) {
    let Some(ended) = report.ended else { return };
    let why = match ended.why {
        Why::Interrupted => "interrupted",
        Why::ServerGone => "ended because the server went away",
    };
    let place = if ended.in_ramp {
        ", before everybody was let in"
    } else {
        ""
    };
    lines.push(format!("{why} after {:.1} s{place}", ended.after_s));
}

fn people(report: &Report, lines: &mut Vec<String>) {
    let complete = report.conformance.as_ref();
    for (name, joins) in [
        ("", Some(&report.joins)),
        (" of those who came back", report.rejoins.as_ref()),
        (" of complete viewers", complete.map(|all| &all.joins)),
    ] {
        if let Some(joins) = joins.filter(|joins| joins.visits > 0) {
            let cut_short = match joins.cut_short {
                0 => String::new(),
                count => format!("; {count} had just come"),
            };
            lines.push(format!(
                "{} of {} visits{name} got a whole picture{cut_short}",
                joins.watching, joins.visits
            ));
        }
    }
    lines.extend(report.chatters.as_ref().map(chatters));
    if report.told_to_wait > 0 {
        lines.push(format!(
            "{} times the server asked to come later",
            report.told_to_wait
        ));
    }
}

fn packets(report: &Report, lines: &mut Vec<String>) {
    if report.publishers > 0 {
        let sent = report.sent;
        lines.push(format!(
            "sent: {} video packets, {} audio packets, {} frames, {} of them keyframes ({} asked for)",
            sent.packets, sent.audio_packets, sent.frames, sent.keyframes, sent.keyframe_requests
        ));
        lines.push(format!(
            "uplink: {} dropped on purpose, {} asked for again, {} sent again, {} reported lost; feedback on {}, {} of them missing",
            sent.dropped, sent.asked_again, sent.resent, sent.reported_lost,
            sent.feedback_packets, sent.feedback_lost
        ));
    }
    for (name, counts) in [("video", report.video), ("audio", report.audio)] {
        let Counts {
            packets,
            lost,
            waiting,
            recovered,
            repeated,
            reordered,
            ..
        } = counts;
        lines.push(format!(
            "{name}: {packets} packets, {lost} lost, {recovered} recovered, {waiting} still asked for, {repeated} repeated, {reordered} reordered"
        ));
    }
    if report.left_out > 0 {
        lines.push(format!(
            "left out by the server without a gap: {}",
            report.left_out
        ));
    }
    if report.dropped_on_purpose > 0 {
        lines.push(format!(
            "thrown away on purpose: {}",
            report.dropped_on_purpose
        ));
    }
}

fn times(report: &Report, lines: &mut Vec<String>) {
    lines.push(format!(
        "{:<34}{:>9}{:>9}{:>9}{:>9}",
        "ms", "p50", "p95", "p99", "max"
    ));
    let complete = report.conformance.as_ref();
    let of_complete =
        |joins: fn(&Joins) -> Option<Spread>| complete.and_then(|complete| joins(&complete.joins));
    let chat = report.chat.as_ref();
    let again = |joins: fn(&Joins) -> Option<Spread>| report.rejoins.as_ref().and_then(joins);
    let others = report.stalled;
    let before = |delays: fn(&Others) -> Option<Spread>| delays(&others.as_ref()?.before);
    let after = |delays: fn(&Others) -> Option<Spread>| delays(&others.as_ref()?.after);
    let rows = [
        ("connected", report.joins.connected_us),
        ("first packet", report.joins.first_packet_us),
        ("first whole picture", report.joins.first_frame_us),
        ("back: connected", again(|all| all.connected_us)),
        ("back: first packet", again(|all| all.first_packet_us)),
        ("back: first whole picture", again(|all| all.first_frame_us)),
        (
            "frame sent → last packet there",
            report.steady.frame_delay_us,
        ),
        (
            "frame, before the silence",
            before(|all| all.frame_delay_us),
        ),
        (
            "frame, after it, of the others",
            after(|all| all.frame_delay_us),
        ),
        ("last packet sent → there", report.steady.packet_delay_us),
        ("complete: connected", of_complete(|all| all.connected_us)),
        (
            "complete: first packet",
            of_complete(|all| all.first_packet_us),
        ),
        (
            "complete: first whole picture",
            of_complete(|all| all.first_frame_us),
        ),
        (
            "complete: frame sent → there",
            complete.and_then(|complete| complete.frame_delay_us),
        ),
        (
            "chat sent → delivered",
            chat.and_then(|chat| chat.delivery_us),
        ),
        ("chat, before the silence", before(|all| all.delivery_us)),
        (
            "chat, after it, of the others",
            after(|all| all.delivery_us),
        ),
    ];
    let rows = rows.into_iter();
    lines.extend(rows.filter_map(|(name, spread)| Some(row(name, spread?))));
}

fn row(name: &str, spread: Spread) -> String {
    let Spread {
        p50, p95, p99, max, ..
    } = spread;
    let [p50, p95, p99, max] = [p50, p95, p99, max].map(|us| format!("{:.1}", float(us) / 1000.0));
    format!("{name:<34}{p50:>9}{p95:>9}{p99:>9}{max:>9}")
}

fn costs(report: &Report, lines: &mut Vec<String>) {
    let steady = &report.steady;
    lines.push(format!(
        "{} {:.0} s: {} connected, {:.0} packets/s, {:.0} Mb/s, {} lost, {} opened, {} unreadable",
        if steady.is_steady {
            "steady"
        } else {
            "with joins, not steady:"
        },
        steady.seconds,
        steady.connected,
        steady.packets_per_second,
        steady.megabits_per_second,
        steady.lost,
        steady.opened,
        steady.unreadable
    ));
    lines.extend(steady.packets_per_viewer.map(|shares| {
        let Shares {
            least,
            median,
            most,
        } = shares;
        format!(
            "packets of one viewer there: {least} at least, {median} in the middle, {most} at most"
        )
    }));
    lines.push(steady.server.as_ref().map_or_else(
        || unknown(report.ended),
        |cost| server(cost, steady.connected, report.chatters.is_none()),
    ));
    lines.extend(report.join_cost.as_ref().map(joining));
    lines.extend(report.stalled.as_ref().map(stalled));
    lines.extend(report.chat.as_ref().map(chat));
    lines.extend(steady.talk.as_ref().map(talk));
    let own = &steady.generator;
    lines.push(format!(
        "generator: {:.2} of {} cores, busiest media thread {:.0} %, {} of {} sends late, {:.0} MiB",
        own.cores,
        own.allowed_cores,
        own.busiest_thread * 100.0,
        own.late_sends,
        own.sends,
        float(own.memory_bytes) / MIB
    ));
    lines.extend(report.conformance.iter().flat_map(complete));
}

fn unknown(ended: Option<Ended>) -> String {
    let is_gone = ended.is_some_and(|ended| ended.why == Why::ServerGone);
    let why = if is_gone {
        "it went away too soon"
    } else {
        "--server-pid, --metrics"
    };
    format!("server: its CPU time and memory are not known ({why})")
}

fn server(cost: &ServerCost, viewers: u64, is_theirs: bool) -> String {
    let of_viewers = if is_theirs && viewers >= ENOUGH_VIEWERS {
        let per_core = cost.viewers_per_core.map_or_else(
            || "no number of viewers a core, for it did not keep up".to_owned(),
            |viewers| format!("{viewers:.0} viewers a core"),
        );
        format!(
            ", {per_core}, {:.1} KiB a viewer more than before",
            cost.kib_per_viewer
        )
    } else {
        String::new()
    };
    format!(
        "server: {:.2} cores, {:.0} ns per packet × viewer{of_viewers}, {:.0} MiB",
        cost.cores,
        cost.cpu_ns_per_packet,
        float(cost.memory_bytes) / MIB
    )
}

fn joining(cost: &JoinCost) -> String {
    format!(
        "joins: {} of the ramp, {:.2} ms of the server's CPU each, {:.0} joins a second a core",
        cost.joins,
        cost.cpu_us_per_join / 1000.0,
        cost.joins_per_second_per_core
    )
}

fn stalled(stalled: &Stalled) -> String {
    let Stalled {
        viewers,
        before,
        after,
    } = stalled;
    format!(
        "stalled: {viewers} fell silent; of the others {} remained; lost {} before and {} after, left out {} and {}, {:.0} and {:.0} packets/s",
        after.connected,
        before.lost,
        after.lost,
        before.left_out,
        after.left_out,
        before.packets_per_second,
        after.packets_per_second
    )
}

fn chat(chat: &Chat) -> String {
    format!(
        "chat: {} sent, {} acknowledged, {} unanswered, {} delivered, {} missed, {} repeated; {} reactions sent, {} delivered; {} refused",
        chat.sent,
        chat.acknowledged,
        chat.unanswered,
        chat.delivered,
        chat.missed,
        chat.repeated,
        chat.reactions_sent,
        chat.reactions_delivered,
        chat.refused
    )
}

fn talk(pace: &Pace) -> String {
    let per_core = |figure: Option<f64>| {
        figure.map_or_else(String::new, |each| format!(" ({each:.0} a second a core)"))
    };
    format!(
        "chat, then: {:.0} messages/s acknowledged{}, {:.0} deliveries/s{}, {:.1} KiB/s a socket",
        pace.acknowledged_per_second,
        per_core(pace.acknowledged_per_second_per_core),
        pace.delivered_per_second,
        per_core(pace.delivered_per_second_per_core),
        pace.bytes_per_second_per_socket / 1024.0
    )
}

fn chatters(all: &Chatters) -> String {
    let mut line = format!(
        "{} of {} visits of chatters were let in",
        all.let_in, all.visits
    );
    if all.silent > 0 {
        line += &format!("; {} of them read no more for a while", all.silent);
        for (reason, count) in &all.closed {
            line += &format!(", {count}: {reason}");
        }
    }
    if let Some(Shares {
        least,
        median,
        most,
    }) = all.bytes_per_second
    {
        line += &format!("; to each came {least} to {most} bytes/s, {median} in the middle");
    }
    line
}

/// Returns a line for each complete viewer, up to some.
fn complete(all: &Conformance) -> Vec<String> {
    let viewers = all.viewers.iter().take(MAX_LISTED);
    let lines = viewers.map(|viewer| {
        let first_us = viewer.first_frame_us;
        let first = first_us.map_or_else(
            || "never".into(),
            |us| format!("{:.1} ms", float(us) / 1000.0),
        );
        format!(
            "complete viewer {}: first picture {first}, {} packets, {} frames, {} lost, {}",
            viewer.number,
            viewer.video.packets + viewer.audio.packets,
            viewer.video.frames,
            viewer.video.lost + viewer.audio.lost,
            viewer.error.as_deref().unwrap_or("no error")
        )
    });
    lines.collect()
}

const MIB: f64 = 1_048_576.0;
/// Complete viewers that have a line of their own; the rest is in the JSON.
const MAX_LISTED: usize = 10;
/// With fewer viewers most of what a server takes is not theirs.
const ENOUGH_VIEWERS: u64 = 20;
