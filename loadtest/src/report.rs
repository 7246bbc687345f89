//! The result as a table for people and as JSON for programs.

use std::io::{self, Write};

use serde::Serialize;

use crate::options::Options;
use crate::publisher::Sent;
use crate::viewer::ViewerReport;

/// Everything that was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    room: String,
    /// After the last viewer was let in.
    duration_s: f64,
    /// `None` without a publisher of our own.
    publisher: Option<Sent>,
    summary: Summary,
    viewers: Vec<ViewerReport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    viewers: usize,
    /// Of these many, video came.
    watching: usize,
    connect_ms: Option<Spread>,
    first_packet_ms: Option<Spread>,
    first_frame_ms: Option<Spread>,
    /// Frames of each viewer that got any.
    frames: Option<Spread>,
    /// From the publisher's send call to the last packet of a frame; only with a publisher of our own.
    frame_delay_us: Option<Spread>,
    packets: u64,
    lost: u64,
    repeated: u64,
}

/// How values spread; percentiles are values that occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Spread {
    min: u64,
    p50: u64,
    p95: u64,
    max: u64,
}

impl Spread {
    fn of(values: impl Iterator<Item = u64>) -> Option<Self> {
        let mut sorted: Vec<u64> = values.collect();
        sorted.sort_unstable();
        let at = |percent: usize| sorted[(sorted.len() - 1) * percent / 100];
        (!sorted.is_empty()).then(|| Self {
            min: at(0),
            p50: at(50),
            p95: at(95),
            max: at(100),
        })
    }
}

impl Report {
    /// Sums up what the viewers saw.
    pub(crate) fn new(
        options: &Options,
        room: String,
        publisher: Option<Sent>,
        viewers: Vec<ViewerReport>,
    ) -> Self {
        let summary = Summary::of(&viewers);
        Self {
            room,
            duration_s: options.duration.as_secs_f64(),
            publisher,
            summary,
            viewers,
        }
    }

    /// Returns whether every viewer got a video frame.
    pub(crate) fn everyone_saw_media(&self) -> bool {
        self.summary.watching == self.summary.viewers
    }

    /// Writes the summary as lines for people.
    pub(crate) fn write_table(&self, out: &mut impl Write) -> io::Result<()> {
        let Summary {
            viewers,
            watching,
            packets,
            lost,
            repeated,
            ..
        } = self.summary;
        writeln!(
            out,
            "room {}: {watching} of {viewers} viewers got video",
            self.room
        )?;
        if let Some(Sent {
            packets,
            frames,
            keyframes,
        }) = self.publisher
        {
            writeln!(
                out,
                "sent: {packets} video packets, {frames} frames, {keyframes} of them keyframes"
            )?;
        }
        writeln!(
            out,
            "got:  {packets} packets, {lost} lost, {repeated} repeated\n"
        )?;
        writeln!(
            out,
            "{:<26}{:>9}{:>9}{:>9}{:>9}",
            "", "min", "p50", "p95", "max"
        )?;
        let rows = [
            ("connected, ms", self.summary.connect_ms),
            ("first packet, ms", self.summary.first_packet_ms),
            ("first video frame, ms", self.summary.first_frame_ms),
            ("frames a viewer", self.summary.frames),
            ("frame delay, µs", self.summary.frame_delay_us),
        ];
        for (name, spread) in rows {
            if let Some(Spread { min, p50, p95, max }) = spread {
                writeln!(out, "{name:<26}{min:>9}{p50:>9}{p95:>9}{max:>9}")?;
            }
        }
        for viewer in &self.viewers {
            if let Some(error) = &viewer.error {
                writeln!(out, "viewer {}: {error}", viewer.number)?;
            }
        }
        Ok(())
    }
}

impl Summary {
    fn of(viewers: &[ViewerReport]) -> Self {
        let spread =
            |field: fn(&ViewerReport) -> Option<u64>| Spread::of(viewers.iter().filter_map(field));
        let both = || {
            viewers
                .iter()
                .flat_map(|viewer| [&viewer.audio, &viewer.video])
        };
        let delays = viewers
            .iter()
            .flat_map(|viewer| &viewer.delays_us)
            .map(|us| u64::from(*us));
        Self {
            viewers: viewers.len(),
            watching: viewers
                .iter()
                .filter(|viewer| viewer.video.frames > 0)
                .count(),
            connect_ms: spread(|viewer| viewer.connected_ms),
            first_packet_ms: spread(|viewer| viewer.first_packet_ms),
            first_frame_ms: spread(|viewer| viewer.first_frame_ms),
            frames: spread(|viewer| Some(viewer.video.frames).filter(|frames| *frames > 0)),
            frame_delay_us: Spread::of(delays),
            packets: both().map(|counts| counts.packets).sum(),
            lost: both().map(|counts| counts.lost).sum(),
            repeated: both().map(|counts| counts.repeated).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let spread = Spread::of((1..=100).rev());
        assert_eq!(
            spread,
            Some(Spread {
                min: 1,
                p50: 50,
                p95: 95,
                max: 100
            })
        );
        assert_eq!(
            Spread::of([7].into_iter()),
            Some(Spread {
                min: 7,
                p50: 7,
                p95: 7,
                max: 7
            })
        );
        assert_eq!(Spread::of(std::iter::empty()), None);
    }

    #[test]
    fn the_table_names_those_who_saw_nothing() {
        let mut lucky = ViewerReport {
            first_frame_ms: Some(40),
            ..ViewerReport::default()
        };
        lucky.video.frames = 300;
        let unlucky = ViewerReport {
            number: 1,
            error: Some("no room".into()),
            ..ViewerReport::default()
        };
        let options = clap::Parser::parse_from(["klieg-loadtest"]);
        let report = Report::new(&options, "demo".into(), None, vec![lucky, unlucky]);

        let mut table = Vec::new();
        report.write_table(&mut table).unwrap();
        let table = String::from_utf8(table).unwrap();

        assert!(!report.everyone_saw_media());
        assert!(
            table.starts_with("room demo: 1 of 2 viewers got video\n"),
            "{table}"
        );
        assert!(table.contains("viewer 1: no room\n"), "{table}");
        assert!(
            table.contains("first video frame, ms            40"),
            "{table}"
        );
    }
}
