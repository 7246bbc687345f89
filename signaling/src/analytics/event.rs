//! One event of a room: who of its people watches, and for how long. No IO and no clock.

use std::collections::HashMap;

use super::ledger::Ledger;
use super::origin::Origin;
use super::{Earlier, MAX_VIEWERS, Rollup, Viewer, ViewerRow};

/// An event, as this run knows it.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) started_at: u64,
    run: String,
    /// Whether it is known what earlier runs wrote down. Until then nobody counts as new: everybody would.
    is_known: bool,
    /// What was watched in earlier runs.
    earlier_ms: u64,
    pub(super) ledger: Ledger,
    /// At most [`MAX_VIEWERS`].
    people: HashMap<Viewer, Person>,
    pub(super) unique: u64,
    pub(super) engaged: u64,
    /// Those among the people who only did something so far, at most [`MAX_BYSTANDERS`].
    bystanders: usize,
    /// The number of the round in which viewers are handed out.
    round: u64,
    /// Whether all were in this round.
    is_round_over: bool,
    /// Who watched when something was handed out last; `None` before the first time.
    told: Option<u64>,
}

/// A viewer, or one who only does something so far.
#[derive(Debug, Default)]
struct Person {
    /// `None` before they watch.
    origin: Option<Origin>,
    /// Sessions that count now.
    sessions: u32,
    /// Since when there are any.
    since: u64,
    /// Until when one of those that are over counted.
    until: u64,
    /// What they watched before that, in this run.
    watched_ms: u64,
    /// Whether they ever watched, in whichever run.
    counted: bool,
    /// Whether they watched in this run, or were engaged in it after they had watched.
    here: bool,
    engaged: bool,
    /// As they were handed out last; `None` before the first time.
    written: Option<ViewerRow>,
    /// In which round that was.
    round: u64,
}

impl Event {
    /// Begins; nothing is known of earlier runs.
    pub(super) fn new(at: u64, started_at: u64, run: String) -> Self {
        Self {
            started_at,
            run,
            is_known: false,
            earlier_ms: 0,
            ledger: Ledger::new(at),
            people: HashMap::new(),
            unique: 0,
            engaged: 0,
            bystanders: 0,
            round: 0,
            is_round_over: true,
            told: None,
        }
    }

    /// Goes on from what earlier runs wrote down.
    pub(super) fn learn(&mut self, earlier: Earlier) {
        if std::mem::replace(&mut self.is_known, true) {
            return;
        }
        self.earlier_ms = earlier.counts.watched_ms;
        self.ledger.learn(&earlier.counts, earlier.peak);
        let mut remembered = 0;
        for row in earlier.viewers {
            remembered += u64::from(self.remember(row));
        }
        // Those who came while it was not known.
        let came = self.unique - remembered;
        if came > 0 {
            self.ledger.count(|counts| counts.came += came);
        }
    }

    /// Somebody does something.
    pub(super) fn engage(&mut self, viewer: Viewer) {
        let is_new = !self.people.contains_key(&viewer);
        if is_new && self.bystanders >= MAX_BYSTANDERS {
            return;
        }
        let Some(person) = self.person(viewer) else {
            return;
        };
        let was_engaged = std::mem::replace(&mut person.engaged, true);
        if person.counted && !was_engaged {
            person.here = true;
            self.engaged += 1;
        }
        self.bystanders += usize::from(is_new);
    }

    /// Returns what was watched in this run.
    pub(super) fn watched_ms(&self) -> u64 {
        let watched = self.ledger.total.watched_ms;
        watched.saturating_sub(self.earlier_ms)
    }

    /// Lets a session of a viewer count; returns whether the viewer is told apart from others.
    pub(super) fn enter(&mut self, at: u64, viewer: Viewer, origin: Origin) -> bool {
        let is_known = self.people.contains_key(&viewer);
        let Some(person) = self.person(viewer) else {
            self.ledger.begin_watching();
            return false;
        };
        person.here = true;
        person.sessions += 1;
        let known = person.origin.unwrap_or(origin);
        person.origin = Some(known.least(origin));
        if person.sessions > 1 {
            return true;
        }
        (person.since, person.until) = (at, at);
        let is_new = !std::mem::replace(&mut person.counted, true);
        let engaged = person.engaged;
        self.ledger.begin_watching();
        if is_new {
            self.unique += 1;
            self.bystanders -= usize::from(is_known);
            self.engaged += u64::from(engaged);
            if self.is_known {
                self.ledger.count(|counts| counts.came += 1);
            }
        }
        true
    }

    /// A session of a viewer counted no longer than until some moment.
    pub(super) fn leave(&mut self, viewer: Viewer, until: u64) {
        let person = self.people.get_mut(&viewer);
        let Some(person) = person.filter(|person| person.sessions > 0) else {
            self.ledger.end_watching(until);
            return;
        };
        person.sessions -= 1;
        person.until = person.until.max(until);
        if person.sessions == 0 {
            person.watched_ms += person.until - person.since;
            self.ledger.end_watching(person.until);
        }
    }

    /// Finds somebody, or makes a place for them; `None` when there is none left.
    fn person(&mut self, viewer: Viewer) -> Option<&mut Person> {
        if self.people.len() >= MAX_VIEWERS && !self.people.contains_key(&viewer) {
            return None;
        }
        Some(self.people.entry(viewer).or_default())
    }

    /// Takes note of a viewer of earlier runs, who may be here already; returns whether there is a place for them.
    fn remember(&mut self, row: ViewerRow) -> bool {
        let known = self.people.get(&row.viewer);
        let is_bystander = known.is_some_and(|person| !person.counted);
        let Some(person) = self.person(row.viewer) else {
            return false;
        };
        let was_counted = std::mem::replace(&mut person.counted, true);
        let counts_as_engaged = was_counted && person.engaged;
        person.here |= person.engaged && !row.engaged;
        person.engaged |= row.engaged;
        let origin = person.origin.unwrap_or(row.origin);
        person.origin = Some(origin.least(row.origin));
        let engaged = person.engaged && !counts_as_engaged;
        self.unique += u64::from(!was_counted);
        self.engaged += u64::from(engaged);
        self.bystanders -= usize::from(is_bystander);
        true
    }

    /// Nothing more happens: a round of everybody begins, whatever became of the one before.
    pub(super) fn finish(&mut self) {
        self.is_round_over = true;
    }

    /// Hands out what is to be written down, and says whether there is more. `None`: nothing is new.
    pub(super) fn take(&mut self) -> Option<(Rollup, bool)> {
        if std::mem::take(&mut self.is_round_over) {
            self.round += 1;
        }
        let (round, at) = (self.round, self.ledger.settled());
        let viewers: Vec<ViewerRow> = self
            .people
            .iter_mut()
            .filter(|(_, person)| person.round < round)
            .filter_map(|(viewer, person)| person.take(*viewer, at, round))
            .take(VIEWERS_AT_ONCE)
            .collect();
        let more = viewers.len() == VIEWERS_AT_ONCE;
        self.is_round_over = !more;
        let (minutes, watching) = (self.ledger.take_changed(), self.ledger.watching());
        let told = self.told.replace(watching);
        if minutes.is_empty() && viewers.is_empty() && told == Some(watching) {
            return None;
        }
        let rollup = Rollup {
            started_at: self.started_at,
            run: self.run.clone(),
            at,
            watching,
            minutes,
            viewers,
        };
        Some((rollup, more))
    }
}

impl Person {
    /// Hands out the row of somebody, where it is another than before.
    fn take(&mut self, viewer: Viewer, at: u64, round: u64) -> Option<ViewerRow> {
        let going_on = if self.sessions > 0 {
            at - self.since
        } else {
            0
        };
        let row = ViewerRow {
            viewer,
            watched_ms: self.watched_ms + going_on,
            origin: self.origin.unwrap_or_default(),
            engaged: self.engaged,
        };
        if !self.here || !self.counted || self.written == Some(row) {
            return None;
        }
        (self.written, self.round) = (Some(row), round);
        Some(row)
    }
}

/// Viewers in one roll-up: to find more holds the room up for long.
const VIEWERS_AT_ONCE: usize = 2_000;

/// People who did something and watch nothing, so that they take no places from those who watch.
const MAX_BYSTANDERS: usize = 10_000;
