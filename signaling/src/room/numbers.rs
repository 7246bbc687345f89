//! What a room tells everybody by and by: reactions, numbers, what is sold.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;
use serde_json::json;

use crate::error::{ApiError, Code};
use crate::id::SocketId;
use crate::store::Entry;
use crate::ws::protocol::{self, ReactionBatch, Stats};

use super::journal::{Author, Draft};
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
    /// Products that were bought since the last time, by their ids, as they are to be told.
    pub(super) sold: BTreeMap<String, Utf8Bytes>,
    pub(super) sold_pace: Pace,
    /// A poll or a question has changed.
    pub(super) floor_pace: Pace,
    /// Who came and went, for those who keep order: at most a hundred of them at a time.
    pub(super) people: Vec<Utf8Bytes>,
    pub(super) people_pace: Pace,
    /// The last number of viewers that others were told of; 0 while no event is on.
    milestone: u64,
    /// When those are looked for whose sockets are gone; `None` while nobody is here.
    pub(super) sweep_due: Option<Instant>,
}

impl Numbers {
    pub(super) fn new(stats: Stats, on_air: bool) -> Self {
        Self {
            milestone: if on_air { milestone(stats.peak) } else { 0 },
            reactions: BTreeMap::new(),
            reactions_pace: Pace::new(QUARTER),
            stats,
            stats_pace: Pace::new(SECOND),
            shelf_pace: Pace::new(QUARTER),
            sold: BTreeMap::new(),
            sold_pace: Pace::new(QUARTER),
            floor_pace: Pace::new(QUARTER),
            people: Vec::new(),
            people_pace: Pace::new(QUARTER),
            sweep_due: None,
        }
    }

    /// Returns when something goes next; `None` while there is nothing new.
    pub(super) fn due(&self) -> Option<Instant> {
        let paces = [
            &self.reactions_pace,
            &self.stats_pace,
            &self.shelf_pace,
            &self.sold_pace,
            &self.people_pace,
            &self.floor_pace,
        ];
        let paces = paces.into_iter().filter_map(Pace::due);
        paces.chain(self.sweep_due).min()
    }
}

impl Room {
    /// Takes the reaction of somebody who is here.
    pub(super) fn react(&mut self, socket: SocketId, emoji: &'static str) {
        if let Some(member) = self.members.get(&socket) {
            self.figures.engage(&member.identity.id);
        }
        self.count_reaction(emoji);
    }

    /// Takes the reaction of somebody without a socket, whose messages nothing else counts.
    ///
    /// # Errors
    /// `rate_limited`.
    pub(super) fn react_for(
        &mut self,
        identity: &str,
        emoji: &'static str,
    ) -> Result<(), ApiError> {
        if let Err(wait) = self.reactors.take(identity, Instant::now()) {
            let text = "Slow down: twenty reactions a second.";
            return Err(ApiError::new(Code::RateLimited, text).retry_after(wait));
        }
        self.figures.engage(identity);
        self.count_reaction(emoji);
        Ok(())
    }

    fn count_reaction(&mut self, emoji: &'static str) {
        *self.numbers.reactions.entry(emoji).or_default() += 1;
        self.context.metrics.reactions.inc();
        self.numbers.reactions_pace.note(Instant::now());
        self.figures.count(|counts| counts.reactions += 1);
    }

    /// Takes note of viewers that came or went.
    pub(super) fn note_viewers(&mut self) {
        self.tally.peak = self.tally.peak.max(self.presence.watching());
        self.summarize();
        self.numbers.stats_pace.note(Instant::now());
        self.tell_milestone();
    }

    /// Tells those outside when more watch an event than ever did, in steps.
    pub(super) fn tell_milestone(&mut self) {
        if !self.stage.status().is_on_air() {
            self.numbers.milestone = 0;
            return;
        }
        let viewers = self.viewer_count();
        let reached = milestone(viewers);
        if reached <= self.numbers.milestone {
            return;
        }
        self.numbers.milestone = reached;
        let view = json!({ "milestone": reached, "viewerCount": viewers });
        let entry = Entry::Notice {
            kind: "viewers.milestone",
            content: view.to_string().into(),
        };
        // Where the queue is full the next that is reached is told of.
        let _ = self.write(Draft::new(entry, Author::Room));
    }

    pub(super) fn viewer_count(&self) -> u64 {
        self.presence.watching()
    }

    pub(super) fn current_stats(&self) -> Stats {
        Stats {
            viewer_count: self.viewer_count(),
            likes: self.tally.likes,
            peak: self.tally.peak,
        }
    }

    /// Takes note of likes that came or went.
    pub(super) fn note_likes(&mut self) {
        self.numbers.stats_pace.note(Instant::now());
    }

    /// Sends what is due.
    pub(super) fn tell_numbers(&mut self, now: Instant) {
        self.check_presence(now);
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
        if self.numbers.people_pace.take(now) {
            self.tell_people();
        }
        if self.numbers.floor_pace.take(now) {
            self.tell_floor();
        }
        if self.numbers.shelf_pace.take(now) {
            self.tell_shelf();
        }
        if self.numbers.sold_pace.take(now) {
            self.tell_sold();
        }
    }
}

/// Returns the last step that a number of viewers has reached: 1, 5, 10, 50, 100 and so on.
fn milestone(viewers: u64) -> u64 {
    let powers = (0..19).map(|power| 10_u64.pow(power));
    let steps = powers.flat_map(|power| [power, power.saturating_mul(5)]);
    steps
        .take_while(|step| *step <= viewers)
        .last()
        .unwrap_or(0)
}

/// As many as a socket may send messages.
pub(super) const REACTIONS_PER_SECOND: u32 = 20;

/// Four batches of reactions a second at most, and four lists of what is sold.
const QUARTER: Duration = Duration::from_millis(250);

/// One set of numbers a second at most.
const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::protocol::{REACTIONS, message};

    #[test]
    fn milestones_are_ones_and_fives() {
        for (viewers, reached) in [
            (0, 0),
            (1, 1),
            (4, 1),
            (5, 5),
            (12, 10),
            (99, 50),
            (5_000, 5_000),
            (u64::MAX, 5_000_000_000_000_000_000),
        ] {
            assert_eq!(milestone(viewers), reached, "{viewers}");
        }
    }

    #[test]
    fn a_thousand_who_react_five_times_a_second_cost_a_viewer_four_kib_a_second_at_most() {
        let each = 1_000 * 5 / 4;
        let counts = REACTIONS.iter().map(|emoji| (*emoji, each)).collect();
        let batch = message("reaction.batch", &ReactionBatch { counts: &counts });
        let batches = SECOND.as_millis() / QUARTER.as_millis();
        // A frame of a server has four bytes before its text (RFC 6455, section 5.2).
        let bytes = (batch.len() + 4) * usize::try_from(batches).unwrap();
        println!("{bytes} bytes a second");
        assert!(bytes <= 4 * 1024, "{bytes}");
    }
}
