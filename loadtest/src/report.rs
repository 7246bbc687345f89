//! The result, as programs read it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::chatter::{Attendance, Silence};
use crate::figures::{Figures, JoinCost, Stalled};
use crate::light::Counts;
use crate::light::sent::Sent;
use crate::light::tally::{Histogram, Spread, Tally};
use crate::live::Sample;
use crate::made::Made;
use crate::measure::{Measurement, Shares};
use crate::reason;
use crate::run::{Context, Crowd};
use crate::session::Visit;
use crate::stop::Why;
use crate::talk::Chat;
use crate::verdict::{self, Loss};
use crate::viewer::ViewerReport;

/// What a test left behind.
pub(crate) struct Results<'a> {
    pub(crate) context: &'a Arc<Context>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) crowd: Crowd,
    pub(crate) figures: Figures,
    pub(crate) samples: Vec<Sample>,
    pub(crate) tally: Tally,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// The command line, without what is secret.
    pub(crate) command: String,
    /// Which program on which machine, and when.
    pub(crate) made: Made,
    /// Somebody ended it early.
    interrupted: bool,
    /// Why and when it ended before its time; `None` when it did not.
    pub(crate) ended: Option<Ended>,
    /// Why it is no success; empty when it is one.
    pub(crate) failures: Vec<String>,
    /// After the last viewer was let in.
    duration_s: f64,
    /// From the first viewer to when the last was to be let in.
    pub(crate) ramp_s: f64,
    pub(crate) publishers: usize,
    /// All of them together.
    pub(crate) sent: Sent,
    /// The light viewers, each for the first time.
    pub(crate) joins: Joins,
    /// Those who broke off and came back, all at once; `None` without.
    pub(crate) rejoins: Option<Joins>,
    /// Of all visits, from the first packet of each to its last.
    pub(crate) video: Counts,
    pub(crate) audio: Counts,
    /// Packets that the server left out without leaving a gap.
    pub(crate) left_out: u64,
    /// Thrown away on purpose (`--loss`).
    pub(crate) dropped_on_purpose: u64,
    /// Packets that could not be opened.
    pub(crate) unreadable: u64,
    /// How often the server asked somebody to come later.
    pub(crate) told_to_wait: u64,
    /// While everybody watched.
    pub(crate) steady: Measurement,
    /// Those who fell silent, and what the others noticed; `None` without.
    pub(crate) stalled: Option<Stalled>,
    /// What joins cost the server; `None` where it cannot be told.
    pub(crate) join_cost: Option<JoinCost>,
    pub(crate) chat: Option<Chat>,
    /// Those with a socket and no picture; `None` without.
    pub(crate) chatters: Option<Chatters>,
    pub(crate) samples: Vec<Sample>,
    /// The complete viewers; `None` without.
    pub(crate) conformance: Option<Conformance>,
    /// Lost beyond what was thrown away on purpose.
    pub(crate) unexplained_loss: Loss,
    /// Visits at whose end sound or the picture had stopped.
    pub(crate) stopped: usize,
    /// Visits that ended early, of complete viewers and chatters, too.
    pub(crate) ended_early: usize,
    /// The most frequent reasons for that, and how many each ended.
    pub(crate) errors: Vec<(String, usize)>,
}

/// The end of a test before its time.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ended {
    pub(crate) why: Why,
    /// Since the first viewer came.
    pub(crate) after_s: f64,
    /// Not everybody had been let in.
    pub(crate) in_ramp: bool,
}

/// How viewers came in; times count from a viewer's first request, in microseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Joins {
    pub(crate) visits: usize,
    /// Of these many, a whole picture came.
    pub(crate) watching: usize,
    /// These had none, but had just come when the test was ended.
    pub(crate) cut_short: usize,
    pub(crate) connected_us: Option<Spread>,
    pub(crate) first_packet_us: Option<Spread>,
    pub(crate) first_frame_us: Option<Spread>,
}

/// What became of those with a socket and no picture.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Chatters {
    pub(crate) visits: usize,
    pub(crate) let_in: usize,
    /// These many read no more for a while.
    pub(crate) silent: usize,
    /// How the server ended sockets of those, the most frequent first; the others were open when they read again.
    pub(crate) closed: Vec<(String, usize)>,
    /// What came by one socket a second in the steady part; `None` where nobody was there for all of that.
    pub(crate) bytes_per_second: Option<Shares>,
}

/// What the complete viewers saw.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Conformance {
    pub(crate) joins: Joins,
    /// From when a frame was due at the publisher to its last packet.
    pub(crate) frame_delay_us: Option<Spread>,
    pub(crate) viewers: Vec<ViewerReport>,
}

impl Report {
    /// Sums up.
    pub(crate) fn new(results: Results<'_>) -> Self {
        let Results {
            context,
            sent,
            crowd,
            figures,
            samples,
            tally,
        } = results;
        let mut errors = errors(&crowd);
        let ended_early = errors.iter().map(|(_, count)| count).sum();
        errors.truncate(MAX_ERRORS);
        let Crowd {
            visits,
            complete,
            chatters,
        } = crowd;
        let (first, again): (Vec<_>, Vec<_>) = visits.iter().partition(|visit| !visit.is_return);
        let sum = |counts: fn(&Visit) -> Counts| {
            let counts = visits.iter().map(counts);
            counts.fold(Counts::default(), Counts::plus)
        };
        let ended = Ended::of(context);
        // Before an end that nobody knew of there is no silence: what was under way was not missed.
        let unheard = ended.map_or_else(|| unheard(&visits, &chatters), |_| 0);
        let (base, seen) = (&context.base, visits.iter().map(|visit| &visit.seen));
        let mut report = Self {
            command: command(std::env::args()),
            made: Made::now(),
            interrupted: ended.is_some_and(|ended| ended.why == Why::Interrupted),
            ended,
            failures: Vec::new(),
            duration_s: base.options.duration.as_secs_f64(),
            ramp_s: (context.joins_end - context.began).as_secs_f64(),
            publishers: sent.len(),
            sent: sent.iter().copied().fold(Sent::default(), Sent::plus),
            unexplained_loss: Loss::of(&visits, &complete, &sent),
            stopped: visits.iter().filter(|visit| visit.has_stopped).count(),
            ended_early,
            joins: Joins::of(&first),
            rejoins: (!again.is_empty()).then(|| Joins::of(&again)),
            video: sum(|visit| visit.seen.video),
            audio: sum(|visit| visit.seen.audio),
            left_out: seen.map(|seen| seen.left_out).sum(),
            dropped_on_purpose: tally.dropped,
            unreadable: tally.unreadable,
            told_to_wait: base.http.told_to_wait.load(Ordering::Relaxed),
            steady: figures.steady,
            stalled: figures.stalled,
            // Where others came, too, nobody knows whose joins cost what.
            join_cost: figures.join_cost.filter(|_| chatters.is_empty()),
            chat: context.talk.chat(unheard),
            chatters: Chatters::of(&chatters),
            samples,
            conformance: Conformance::of(complete),
            errors,
        };
        report.failures = verdict::failures(&report);
        report
    }
}

impl Joins {
    fn of(visits: &[&Visit]) -> Self {
        let spread = |moment: fn(&Visit) -> Option<Instant>| {
            let mut histogram = Histogram::default();
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
            cut_short: visits.iter().filter(|visit| visit.cut_short).count(),
            connected_us: spread(|visit| visit.seen.connected_at),
            first_packet_us: spread(|visit| visit.seen.first_packet_at),
            first_frame_us: spread(|visit| visit.seen.first_frame_at),
        }
    }
}

impl Chatters {
    fn of(chatters: &[Attendance]) -> Option<Self> {
        let silent = || chatters.iter().filter_map(|one| one.silence.as_ref());
        let reasons = silent().filter_map(|Silence(reason)| reason.as_ref());
        let rates = chatters.iter().filter_map(|one| one.bytes_per_second);
        (!chatters.is_empty()).then(|| Self {
            visits: chatters.len(),
            let_in: chatters.iter().filter(|one| one.was_let_in).count(),
            silent: silent().count(),
            closed: reason::count(reasons),
            bytes_per_second: Shares::of(rates.collect()),
        })
    }
}

impl Conformance {
    fn of(viewers: Vec<ViewerReport>) -> Option<Self> {
        if viewers.is_empty() {
            return None;
        }
        let spread = |moment: fn(&ViewerReport) -> Option<u64>| {
            let mut histogram = Histogram::default();
            for moment_us in viewers.iter().filter_map(moment) {
                histogram.add(Duration::from_micros(moment_us));
            }
            histogram.spread()
        };
        let mut delays = Histogram::default();
        for viewer in &viewers {
            delays.merge(&viewer.delays);
        }
        let watching = viewers.iter().filter(|viewer| viewer.video.frames > 0);
        Some(Self {
            joins: Joins {
                visits: viewers.len(),
                watching: watching.count(),
                cut_short: viewers.iter().filter(|viewer| viewer.cut_short).count(),
                connected_us: spread(|viewer| viewer.connected_us),
                first_packet_us: spread(|viewer| viewer.first_packet_us),
                first_frame_us: spread(|viewer| viewer.first_frame_us),
            },
            frame_delay_us: delays.spread(),
            viewers,
        })
    }
}

impl Ended {
    fn of(context: &Context) -> Option<Self> {
        let (at, why) = context.base.stop.reason()?;
        Some(Self {
            why,
            after_s: at.saturating_duration_since(context.began).as_secs_f64(),
            in_ramp: at < context.joins_end,
        })
    }
}

/// Returns the command line with stars for what is secret.
fn command(arguments: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = Vec::new();
    for argument in arguments {
        let is_value = words
            .last()
            .is_some_and(|name| SECRETS.contains(&name.as_str()));
        words.push(match argument.split_once('=') {
            _ if is_value => "***".to_owned(),
            Some((name, _)) if SECRETS.contains(&name) => format!("{name}=***"),
            Some(_) | None => argument,
        });
    }
    words.join(" ")
}

/// Counts the last events of rooms that some of those who stayed did not hear of.
fn unheard(visits: &[Visit], chatters: &[Attendance]) -> u64 {
    let mut last = HashMap::<usize, u64>::new();
    let heard = || {
        let viewers = visits.iter().map(|visit| (visit.room, visit.heard));
        let chatters = chatters.iter().map(|one| (one.room, one.heard));
        let all = viewers.chain(chatters);
        all.filter_map(|(room, heard)| Some((room, heard?)))
    };
    for (room, seq) in heard() {
        let last = last.entry(room).or_default();
        *last = seq.max(*last);
    }
    heard()
        .map(|(room, seq)| last.get(&room).map_or(0, |last| last - seq))
        .sum()
}

/// Counts each reason for an early end, the most frequent first.
fn errors(crowd: &Crowd) -> Vec<(String, usize)> {
    let complete = crowd.complete.iter().filter(|viewer| !viewer.cut_short);
    let complete = complete.filter_map(|viewer| viewer.reason.as_ref());
    let visits = crowd.visits.iter();
    let visits = visits.filter_map(|visit| visit.error.as_ref());
    let chatters = crowd.chatters.iter().filter_map(|one| one.error.as_ref());
    reason::count(visits.chain(complete).chain(chatters))
}

/// Different reasons that are listed.
const MAX_ERRORS: usize = 20;
/// Options whose values belong into no report.
const SECRETS: [&str; 3] = ["--key", "--token", "--metrics-token"];

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::light::seen::Seen;
    use crate::reason::Reason;

    pub(crate) fn visit(first_frame: Option<u64>, error: Option<&str>) -> Visit {
        let began = Instant::now();
        let seen = Seen {
            first_frame_at: first_frame.map(|ms| began + Duration::from_millis(ms)),
            ..Seen::default()
        };
        Visit {
            began,
            seen,
            heard: None,
            room: 0,
            publisher: 0,
            is_return: false,
            has_stopped: false,
            cut_short: false,
            error: error.map(Reason::from),
        }
    }

    #[test]
    fn those_who_saw_nothing_are_told_apart() {
        let visits = [visit(Some(40), None), visit(None, Some("no room"))];
        let joins = Joins::of(&visits.each_ref());
        assert_eq!((joins.visits, joins.watching), (2, 1));
        assert_eq!(joins.first_frame_us.map(|spread| spread.max), Some(40_000));
        assert_eq!(joins.connected_us, None);
    }

    #[test]
    fn secrets_are_not_repeated() {
        let line = "klieg-loadtest --key abc --token=def --metrics-token ghi --viewers 5";
        let words = line.split(' ').map(str::to_owned);
        let told = "klieg-loadtest --key *** --token=*** --metrics-token *** --viewers 5";
        assert_eq!(command(words), told);
    }

    #[test]
    fn who_did_not_hear_the_end_missed_it() {
        let heard = |room, heard| Visit {
            heard,
            room,
            ..visit(None, None)
        };
        let visits = [
            heard(0, Some(10)),
            heard(0, Some(7)),
            heard(1, Some(3)),
            heard(0, None),
        ];
        assert_eq!(unheard(&visits, &[]), 3);
        let chatter = Attendance {
            was_let_in: true,
            heard: Some(8),
            room: 0,
            bytes_per_second: None,
            silence: None,
            error: None,
        };
        assert_eq!(unheard(&visits, &[chatter]), 5);
    }

    #[test]
    fn those_who_read_no_more_are_counted_by_what_closed_their_sockets() {
        let chatter = |silence, bytes_per_second| Attendance {
            was_let_in: true,
            heard: None,
            room: 0,
            bytes_per_second,
            silence,
            error: None,
        };
        let slow = || Some(Silence(Some(Reason::from("closed 4408: slow reader"))));
        let all = [
            chatter(slow(), None),
            chatter(None, Some(700)),
            chatter(Some(Silence(None)), None),
            chatter(None, Some(900)),
            chatter(slow(), None),
        ];
        let chatters = Chatters::of(&all).unwrap();
        assert_eq!((chatters.visits, chatters.silent), (5, 3));
        assert_eq!(chatters.closed, [("closed 4408: slow reader".into(), 2)]);
        let bytes = chatters.bytes_per_second.unwrap();
        assert_eq!((bytes.least, bytes.most), (700, 900));
        assert!(Chatters::of(&[]).is_none());
    }

    #[test]
    fn complete_viewers_have_percentiles_of_their_own() {
        assert!(Conformance::of(Vec::new()).is_none());
        let viewer = |first_frame_us: Option<u64>| {
            let mut viewer = ViewerReport {
                connected_us: Some(5000),
                first_frame_us,
                ..ViewerReport::default()
            };
            viewer.video.frames = u64::from(first_frame_us.is_some());
            viewer
        };
        let all = Conformance::of(vec![viewer(Some(9000)), viewer(None)]).unwrap();
        assert_eq!((all.joins.visits, all.joins.watching), (2, 1));
        assert_eq!(all.joins.connected_us.unwrap().count, 2);
        assert_eq!(all.joins.first_frame_us.unwrap().max, 9000);
    }
}
