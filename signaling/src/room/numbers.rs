//! What a room tells everybody by and by: reactions, numbers, what is sold.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::ws::protocol::{self, ReactionBatch, Stats};

use super::pace::Pace;
use super::task::Room;

/// What is told by and by.
#[derive(Debug)]
pub(super) struct Numbers {
    /// Reactions since the last batch.
    reactions: BTreeMap<&'static str, u64>,
    reactions_pace: Pace,
    /// As they were sent last.
    stats: Stats,
    stats_pace: Pace,
    /// What is sold has changed.
    pub(super) shelf_pace: Pace,
}

impl Numbers {
    pub(super) fn new(stats: Stats) -> Self {
        Self {
            reactions: BTreeMap::new(),
            reactions_pace: Pace::new(QUARTER),
            stats,
            stats_pace: Pace::new(SECOND),
            shelf_pace: Pace::new(QUARTER),
        }
    }

    /// Returns when something goes next; `None` while there is nothing new.
    pub(super) fn due(&self) -> Option<Instant> {
        let paces = [&self.reactions_pace, &self.stats_pace, &self.shelf_pace];
        paces.into_iter().filter_map(Pace::due).min()
    }
}

impl Room {
    pub(super) fn react(&mut self, emoji: &'static str) {
        *self.numbers.reactions.entry(emoji).or_default() += 1;
        self.context.metrics.reactions.inc();
        self.numbers.reactions_pace.note(Instant::now());
    }

    /// Takes note of viewers that came or went.
    pub(super) fn note_viewers(&mut self) {
        self.summarize();
        self.numbers.stats_pace.note(Instant::now());
    }

    pub(super) fn viewer_count(&self) -> u64 {
        u64::try_from(self.viewers.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn current_stats(&self) -> Stats {
        Stats {
            viewer_count: self.viewer_count(),
            likes: 0,
            peak: self.tally.peak,
        }
    }

    /// Sends what is due.
    pub(super) fn tell_numbers(&mut self, now: Instant) {
        if self.numbers.reactions_pace.take(now) {
            let counts = std::mem::take(&mut self.numbers.reactions);
            let batch = ReactionBatch { counts: &counts };
            self.broadcast(&protocol::message("reaction.batch", &batch));
        }
        if self.numbers.stats_pace.take(now) {
            let stats = self.current_stats();
            if stats != self.numbers.stats {
                self.numbers.stats = stats;
                self.broadcast(&protocol::message("stats", &stats));
            }
        }
        if self.numbers.shelf_pace.take(now) {
            self.tell_shelf();
        }
    }
}

/// Four batches of reactions a second at most, and four lists of what is sold.
const QUARTER: Duration = Duration::from_millis(250);

/// One set of numbers a second at most.
const SECOND: Duration = Duration::from_secs(1);
