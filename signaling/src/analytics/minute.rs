//! One minute of an event in numbers.

use crate::shop::Revenue;

/// One minute of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Minute {
    /// The most viewers who watched at once.
    pub(crate) peak: u64,
    /// What can be added up.
    pub(crate) counts: Counts,
    /// What orders came to.
    pub(crate) revenue: Revenue,
}

/// What is counted of a minute, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// What viewers watched, together.
    pub(crate) watched_ms: u64,
    /// Times that a session began to receive.
    pub(crate) visits: u64,
    /// Viewers who watched for the first time.
    pub(crate) came: u64,
    pub(crate) messages: u64,
    pub(crate) reactions: u64,
    pub(crate) orders: u64,
    /// Frames decoded, by the reports.
    pub(crate) frames: u64,
    /// Freezes, by the reports.
    pub(crate) stalls: u64,
    /// How long they were.
    pub(crate) stalled_ms: u64,
    /// The time that the reports are about.
    pub(crate) reported_ms: u64,
    /// Reports by the age of the picture: up to each of [`LATENCY_UP_TO_MS`], and beyond.
    pub(crate) latency: [u64; 8],
    /// Time of sessions by what they were shown, in the order of [`Lines::ALL`].
    pub(crate) layers: [u64; 8],
}

/// The names of the counts in the database, in the order of [`Counts::columns`].
pub(crate) const COLUMNS: [&str; 26] = [
    "watched_ms",
    "visits",
    "came",
    "messages",
    "reactions",
    "orders",
    "frames",
    "stalls",
    "stalled_ms",
    "reported_ms",
    "latency_0",
    "latency_1",
    "latency_2",
    "latency_3",
    "latency_4",
    "latency_5",
    "latency_6",
    "latency_7",
    "layer_0",
    "layer_1",
    "layer_2",
    "layer_3",
    "layer_4",
    "layer_5",
    "layer_6",
    "layer_7",
];

/// The upper bounds of the classes of latency but the last.
pub(crate) const LATENCY_UP_TO_MS: [u16; 7] = [200, 300, 500, 750, 1_000, 2_000, 5_000];

impl Counts {
    /// Returns the counts in the order of [`COLUMNS`].
    pub(crate) fn columns(&self) -> [u64; COLUMNS.len()] {
        let mut copy = *self;
        copy.each().map(|count| *count)
    }

    /// Puts counts together in the order of [`COLUMNS`].
    pub(crate) fn of_columns(columns: [u64; COLUMNS.len()]) -> Self {
        let mut counts = Self::default();
        for (count, column) in counts.each().into_iter().zip(columns) {
            *count = column;
        }
        counts
    }

    /// Adds what was counted elsewhere.
    pub(super) fn add(&mut self, other: &Self) {
        for (sum, more) in self.each().into_iter().zip(other.columns()) {
            *sum = sum.saturating_add(more);
        }
    }

    /// Counts a report of how old a picture is.
    pub(super) fn note_latency(&mut self, ms: u16) {
        let class = LATENCY_UP_TO_MS.partition_point(|bound| *bound < ms);
        if let Some(reports) = self.latency.get_mut(class) {
            *reports += 1;
        }
    }

    fn each(&mut self) -> [&mut u64; COLUMNS.len()] {
        let [l0, l1, l2, l3, l4, l5, l6, l7] = &mut self.latency;
        let [s0, s1, s2, s3, s4, s5, s6, s7] = &mut self.layers;
        [
            &mut self.watched_ms,
            &mut self.visits,
            &mut self.came,
            &mut self.messages,
            &mut self.reactions,
            &mut self.orders,
            &mut self.frames,
            &mut self.stalls,
            &mut self.stalled_ms,
            &mut self.reported_ms,
            l0,
            l1,
            l2,
            l3,
            l4,
            l5,
            l6,
            l7,
            s0,
            s1,
            s2,
            s3,
            s4,
            s5,
            s6,
            s7,
        ]
    }
}

/// How large a picture is that is shown, by its lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Lines {
    /// There is none.
    #[default]
    Audio,
    UpTo240,
    UpTo360,
    UpTo480,
    UpTo720,
    UpTo1080,
    UpTo1440,
    More,
}

impl Lines {
    /// Every class, the least first.
    pub(crate) const ALL: [Self; 8] = [
        Self::Audio,
        Self::UpTo240,
        Self::UpTo360,
        Self::UpTo480,
        Self::UpTo720,
        Self::UpTo1080,
        Self::UpTo1440,
        Self::More,
    ];

    /// Finds the class of a picture; nothing is known of one without lines but that it is there.
    pub(crate) fn of(width: u16, height: u16) -> Self {
        match width.min(height) {
            0..=240 => Self::UpTo240,
            241..=360 => Self::UpTo360,
            361..=480 => Self::UpTo480,
            481..=720 => Self::UpTo720,
            721..=1080 => Self::UpTo1080,
            1081..=1440 => Self::UpTo1440,
            _ => Self::More,
        }
    }

    /// Returns the name on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::UpTo240 => "240p",
            Self::UpTo360 => "360p",
            Self::UpTo480 => "480p",
            Self::UpTo720 => "720p",
            Self::UpTo1080 => "1080p",
            Self::UpTo1440 => "1440p",
            Self::More => "2160p",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_in_the_database_as_they_are_here() {
        let mut columns = [0; COLUMNS.len()];
        for (column, number) in columns.iter_mut().zip(1..) {
            *column = number;
        }
        let counts = Counts::of_columns(columns);
        assert_eq!(counts.columns(), columns);
        assert_eq!((counts.watched_ms, counts.reported_ms), (1, 10));
        assert_eq!((counts.latency[7], counts.layers[0]), (18, 19));
    }

    #[test]
    fn classes_have_their_bounds_within() {
        let mut counts = Counts::default();
        for ms in [0, 200, 201, 5_000, 5_001, u16::MAX] {
            counts.note_latency(ms);
        }
        assert_eq!(counts.latency, [2, 1, 0, 0, 0, 0, 1, 2]);
        for (lines, (index, class)) in [
            (0, (1, Lines::UpTo240)),
            (240, (1, Lines::UpTo240)),
            (241, (2, Lines::UpTo360)),
            (720, (4, Lines::UpTo720)),
            (2160, (7, Lines::More)),
        ] {
            assert_eq!(Lines::of(4000, lines), class);
            assert_eq!(Lines::ALL[index], class);
            assert_eq!(class as usize, index);
        }
    }
}
