//! Whether a test passed, and in words why not.

use serde::Serialize;

use crate::light::sent::Sent;
use crate::report::{Joins, Report};
use crate::session::Visit;
use crate::stop::Why;
use crate::viewer::ViewerReport;

/// Packets that were lost beyond those that were thrown away on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Loss {
    /// Of light viewers, who ask for what is missing: it was never recovered.
    pub(crate) video: u64,
    /// Of light viewers, who do not ask for audio.
    pub(crate) audio: u64,
    /// Of complete viewers, who throw nothing away.
    pub(crate) complete: u64,
}

impl Loss {
    /// Takes from what each viewer lost the audio that it, or its publisher, threw away.
    pub(crate) fn of(visits: &[Visit], complete: &[ViewerReport], sent: &[Sent]) -> Self {
        let of_publisher = |place: usize| sent.get(place).map_or(0, |sent| sent.audio_dropped);
        let audio = visits.iter().map(|visit| {
            let thrown_away = visit.seen.audio_thrown_away + of_publisher(visit.publisher);
            visit.seen.audio.lost.saturating_sub(thrown_away)
        });
        let complete = complete.iter().map(|viewer| {
            let place = usize::from(viewer.number) % sent.len().max(1);
            let audio = viewer.audio.lost.saturating_sub(of_publisher(place));
            viewer.video.lost + audio
        });
        Self {
            video: visits.iter().map(|visit| visit.seen.video.lost).sum(),
            audio: audio.sum(),
            complete: complete.sum(),
        }
    }
}

/// Returns every reason why the test is no success.
pub(crate) fn failures(report: &Report) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(ended) = report.ended.filter(|ended| ended.why == Why::ServerGone) {
        found.push(format!("the server went away after {:.0} s", ended.after_s));
    }
    people(report, &mut found);
    losses(report, &mut found);
    talk(report, &mut found);
    found
}

fn people(report: &Report, found: &mut Vec<String>) {
    let complete = report.conformance.as_ref().map(|complete| &complete.joins);
    let all = [
        ("visits", Some(&report.joins)),
        ("visits of those who came back", report.rejoins.as_ref()),
        ("visits of complete viewers", complete),
    ];
    for (name, joins) in all {
        let Some(Joins {
            visits,
            watching,
            cut_short,
            ..
        }) = joins
        else {
            continue;
        };
        let without = visits.saturating_sub(watching + cut_short);
        if without > 0 {
            found.push(format!("{without} of {visits} {name} got no whole picture"));
        }
    }
    if let Some(chatters) = &report.chatters {
        let without = chatters.visits - chatters.let_in;
        if without > 0 && report.ended.is_none() {
            found.push(format!(
                "{without} of {} visits of chatters were not let in",
                chatters.visits
            ));
        }
    }
    if report.ended_early > 0 {
        found.push(format!("{} visits ended early", report.ended_early));
    }
    if report.stopped > 0 {
        found.push(format!(
            "to {} visits no more sound or no more picture came for the last 3 s and longer",
            report.stopped
        ));
    }
    let complete = complete.into_iter();
    let all = || complete.clone().chain([&report.joins]);
    let saw = all().map(|joins| joins.watching).sum::<usize>();
    let came = all().map(|joins| joins.visits).sum::<usize>();
    if report.ended.is_some() && came > 0 && saw == 0 {
        found.push("it was ended before anybody had a whole picture".to_owned());
    }
}

fn losses(report: &Report, found: &mut Vec<String>) {
    let Loss {
        video,
        audio,
        complete,
    } = report.unexplained_loss;
    let mut tell = |count: u64, what: &str| {
        if count > 0 {
            found.push(format!("{count} {what}"));
        }
    };
    tell(video, "video packets were lost and never recovered");
    tell(
        audio,
        "audio packets were lost that nobody threw away on purpose",
    );
    tell(
        complete,
        "packets were lost at complete viewers, who throw nothing away",
    );
    tell(
        report.left_out,
        "packets were left out by the server without a gap",
    );
    tell(report.unreadable, "packets could not be opened");
}

fn talk(report: &Report, found: &mut Vec<String>) {
    let Some(chat) = &report.chat else { return };
    if chat.missed + chat.repeated > 0 {
        found.push(format!(
            "{} chat messages or other events were missed, {} came twice",
            chat.missed, chat.repeated
        ));
    }
    // Who is interrupted does not wait for answers.
    if chat.unanswered > 0 && report.ended.is_none() {
        found.push(format!(
            "{} chat messages were neither acknowledged nor refused",
            chat.unanswered
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::light::seen::Seen;
    use crate::report::tests::visit;

    fn lost(video: u64, audio: u64, thrown_away: u64) -> Visit {
        let mut visit = visit(Some(1), None);
        visit.seen = Seen {
            audio_thrown_away: thrown_away,
            ..visit.seen
        };
        (visit.seen.video.lost, visit.seen.audio.lost) = (video, audio);
        visit
    }

    #[test]
    fn only_audio_that_was_thrown_away_may_be_lost() {
        let of = |visits: &[Visit]| Loss::of(visits, &[], &[]);
        assert_eq!(of(&[lost(0, 7, 7), lost(0, 3, 9)]), Loss::default());
        let loss = of(&[lost(2, 9, 7), lost(1, 0, 50)]);
        assert_eq!((loss.video, loss.audio), (3, 2));
    }

    #[test]
    fn what_a_publisher_leaves_out_its_own_viewers_may_miss() {
        let sent = [5, 0].map(|audio_dropped| Sent {
            audio_dropped,
            ..Sent::default()
        });
        let mut visits = [lost(0, 5, 0), lost(0, 5, 0)];
        visits[1].publisher = 1;
        let complete = [0, 1].map(|number| {
            let mut viewer = ViewerReport {
                number,
                ..ViewerReport::default()
            };
            (viewer.audio.lost, viewer.video.lost) = (4, 1);
            viewer
        });
        let loss = Loss::of(&visits, &complete, &sent);
        let expected = Loss {
            video: 0,
            audio: 5,
            complete: 1 + 1 + 4,
        };
        assert_eq!(loss, expected);
    }
}
