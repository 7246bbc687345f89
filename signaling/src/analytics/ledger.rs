//! The minutes of an event: what goes on is added up when something changes, and split where a minute ends. No IO and no
//! clock; times are milliseconds since 1970.

use std::collections::BTreeMap;

use super::minute::{Counts, Lines, Minute};

/// The minutes of an event that are not over and written down.
#[derive(Debug)]
pub(super) struct Ledger {
    /// By their beginning, at most [`MAX_OPEN`]: beyond it the oldest are lost.
    minutes: BTreeMap<u64, Open>,
    /// All minutes of the event.
    pub(super) total: Counts,
    /// The most viewers who watched at once.
    pub(super) peak: u64,
    /// Viewers who watch.
    watching: u64,
    /// Sessions that receive, by what they are shown.
    shown: [u64; Lines::ALL.len()],
    /// Until when everything is added up.
    settled: u64,
}

/// A minute that may change.
#[derive(Debug, Default)]
struct Open {
    minute: Minute,
    /// Whether it is not as it was handed out last.
    changed: bool,
}

impl Ledger {
    /// Begins at nothing.
    pub(super) fn new(at: u64) -> Self {
        Self {
            minutes: BTreeMap::new(),
            total: Counts::default(),
            peak: 0,
            watching: 0,
            shown: [0; Lines::ALL.len()],
            settled: at,
        }
    }

    /// Adds what was counted before.
    pub(super) fn learn(&mut self, before: &Counts, peak: u64) {
        self.total.add(before);
        self.peak = self.peak.max(peak);
    }

    /// Returns the moment until which everything is added up.
    pub(super) fn settled(&self) -> u64 {
        self.settled
    }

    /// Returns how many viewers watch.
    pub(super) fn watching(&self) -> u64 {
        self.watching
    }

    /// Returns how many sessions are shown what.
    pub(super) fn shown(&self) -> [u64; Lines::ALL.len()] {
        self.shown
    }

    /// Returns the classes of latency of the minute before the one that goes on.
    pub(super) fn latency_before(&self) -> Option<[u64; 8]> {
        let before = beginning(self.settled).checked_sub(MINUTE)?;
        let open = self.minutes.get(&before)?;
        Some(open.minute.counts.latency)
    }

    /// Adds up what went on until now. A clock that went back changes nothing.
    pub(super) fn settle(&mut self, at: u64) {
        let from = self.settled;
        self.settled = self.settled.max(at);
        let (watching, shown) = (self.watching, self.shown);
        if watching == 0 && shown == [0; Lines::ALL.len()] {
            return;
        }
        self.each_minute((from, at), |minute, ms| {
            minute.peak = minute.peak.max(watching);
            minute.counts.watched_ms += watching * ms;
            for (time, sessions) in minute.counts.layers.iter_mut().zip(shown) {
                *time += sessions * ms;
            }
        });
        let ms = at.saturating_sub(from);
        self.total.watched_ms += watching * ms;
        for (time, sessions) in self.total.layers.iter_mut().zip(shown) {
            *time += sessions * ms;
        }
    }

    /// Another viewer watches from now on.
    pub(super) fn begin_watching(&mut self) {
        self.watching += 1;
        self.peak = self.peak.max(self.watching);
        let watching = self.watching;
        let minute = self.minute(self.settled);
        minute.peak = minute.peak.max(watching);
    }

    /// A viewer has watched no longer than until some moment.
    pub(super) fn end_watching(&mut self, until: u64) {
        self.watching = self.watching.saturating_sub(1);
        let taken = (until, self.settled);
        self.each_minute(taken, |minute, ms| {
            let watched = &mut minute.counts.watched_ms;
            *watched = watched.saturating_sub(ms);
        });
        let watched = &mut self.total.watched_ms;
        *watched = watched.saturating_sub(self.settled.saturating_sub(until));
    }

    /// Another session is shown something from now on.
    pub(super) fn begin_showing(&mut self, lines: Lines) {
        self.shown[lines as usize] += 1;
    }

    /// A session was shown something no longer than until some moment.
    pub(super) fn end_showing(&mut self, lines: Lines, until: u64) {
        let class = lines as usize;
        self.shown[class] = self.shown[class].saturating_sub(1);
        let taken = (until, self.settled);
        self.each_minute(taken, |minute, ms| {
            let shown = &mut minute.counts.layers[class];
            *shown = shown.saturating_sub(ms);
        });
        let shown = &mut self.total.layers[class];
        *shown = shown.saturating_sub(self.settled.saturating_sub(until));
    }

    /// Counts something that happens now.
    pub(super) fn count(&mut self, add: impl Fn(&mut Counts)) {
        add(&mut self.total);
        add(&mut self.minute(self.settled).counts);
    }

    /// Returns the minute that goes on, to be changed.
    pub(super) fn current(&mut self) -> &mut Minute {
        self.minute(self.settled)
    }

    /// Hands out the minutes that changed, and forgets those that change no more.
    pub(super) fn take_changed(&mut self) -> Vec<(u64, Minute)> {
        let changed = self.minutes.iter_mut().filter(|(_, open)| open.changed);
        let changed = changed.map(|(beginning, open)| {
            open.changed = false;
            (*beginning, open.minute.clone())
        });
        let changed = changed.collect();
        let settled = self.settled;
        self.minutes.retain(|begins, _| begins + FINAL > settled);
        changed
    }

    fn minute(&mut self, at: u64) -> &mut Minute {
        let begins = beginning(at);
        while self.minutes.len() >= MAX_OPEN && !self.minutes.contains_key(&begins) {
            self.minutes.pop_first();
        }
        let open = self.minutes.entry(begins).or_default();
        open.changed = true;
        &mut open.minute
    }

    /// Does something to each minute of a span, and the length of its part.
    fn each_minute(&mut self, (from, until): (u64, u64), act: impl Fn(&mut Minute, u64)) {
        // Of a longer span nothing else would be kept.
        let longest = until.saturating_sub(MINUTE * MAX_OPEN as u64);
        let mut from = from.max(longest);
        while from < until {
            let end = (beginning(from) + MINUTE).min(until);
            act(self.minute(from), end - from);
            from = end;
        }
    }
}

fn beginning(at: u64) -> u64 {
    at - at % MINUTE
}

/// In milliseconds.
pub(super) const MINUTE: u64 = 60_000;

/// After so long nothing is taken back of a minute.
const FINAL: u64 = 3 * MINUTE;

/// Minutes that wait to be written down while the database is away.
const MAX_OPEN: usize = 60;
