//! Who of a room's audience receives, and what that adds up to. No IO and no clock: what happens goes in with its moment,
//! roll-ups and current figures come out. Times are milliseconds since 1970 of a clock that never goes back.

use std::collections::{HashMap, VecDeque};

use klieg_sfu::PeerId;

use super::event::Event;
use super::figures::Current;
use super::minute::{Counts, Lines};
use super::origin::Origin;
use super::{Earlier, Rollup, Viewer};
use crate::shop::Revenue;

/// The audience of a room: its sessions, and the event that is on.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    /// As many as the room has viewing sessions.
    sessions: HashMap<PeerId, Session>,
    /// `None` while no event is on.
    event: Option<Event>,
    /// Events that are over, and not handed out to the end: at most [`MAX_FORMER`].
    former: VecDeque<Event>,
    /// What was watched in all events that are over.
    watched_ms: u64,
    /// Viewers who found no place among those that are told apart.
    pub(crate) uncounted: u64,
}

/// A viewing session.
#[derive(Debug)]
struct Session {
    viewer: Viewer,
    origin: Origin,
    /// Whether its reports say that media arrives.
    receives: bool,
    /// Since when it counts in the event; `None` while it does not.
    since: Option<u64>,
    lines: Lines,
    /// Since when it is shown that.
    lines_since: u64,
    /// What was reported last, and when; `None` before the first since it counts.
    reported_at: Option<u64>,
    reported: Report,
}

/// What a client counted since its session began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Frames decoded.
    pub(crate) frames: u64,
    /// Freezes.
    pub(crate) stalls: u64,
    /// How long they were.
    pub(crate) stalled_ms: u64,
    /// How old the picture is; `None` where the client does not know.
    pub(crate) latency_ms: Option<u16>,
    /// From its asking to its first frame; `None` but in the first report.
    pub(crate) first_frame_ms: Option<u16>,
}

impl Audience {
    /// A session was made that may receive.
    pub(crate) fn open(&mut self, peer: PeerId, viewer: Viewer, origin: Origin) {
        let session = Session {
            viewer,
            origin,
            receives: false,
            since: None,
            lines: Lines::Audio,
            lines_since: 0,
            reported_at: None,
            reported: Report::default(),
        };
        self.sessions.entry(peer).or_insert(session);
    }

    /// A session is over.
    pub(crate) fn close(&mut self, at: u64, peer: PeerId) {
        self.stop(at, peer, at);
        self.sessions.remove(&peer);
    }

    /// The reports of a session say from now on that media arrives, or last did so some milliseconds ago.
    pub(crate) fn receive(&mut self, at: u64, peer: PeerId, arrives: bool, ago: u64) {
        let Some(session) = self.sessions.get_mut(&peer) else {
            return;
        };
        session.receives = arrives;
        if arrives {
            self.start(at, peer);
        } else {
            self.stop(at, peer, at.saturating_sub(ago.min(LONGEST_SILENCE)));
        }
    }

    /// A session is shown another picture.
    pub(crate) fn show(&mut self, at: u64, peer: PeerId, lines: Lines) {
        self.settle(at);
        let Some(session) = self.sessions.get_mut(&peer) else {
            return;
        };
        let before = std::mem::replace(&mut session.lines, lines);
        if let Some(event) = self.event.as_mut().filter(|_| session.since.is_some()) {
            let at = event.ledger.settled();
            session.lines_since = at;
            event.ledger.end_showing(before, at);
            event.ledger.begin_showing(lines);
        }
    }

    /// A client says what it counted; returns whether it was heard.
    pub(crate) fn report(&mut self, at: u64, peer: PeerId, report: Report) -> bool {
        self.settle(at);
        let session = self.sessions.get_mut(&peer);
        let Some((session, event)) = session.zip(self.event.as_mut()) else {
            return false;
        };
        let Some(since) = session.since else {
            return false;
        };
        let at = event.ledger.settled();
        let gap = at - session.reported_at.unwrap_or(since).max(since).min(at);
        let about = gap.min(LONGEST_REPORT);
        let part = |growth| scaled(growth, about, gap);
        session.reported_at = Some(at);
        let before = std::mem::replace(&mut session.reported, report);
        let frames = part(grown(before.frames, report.frames)).min(about * MOST_FRAMES / 1000);
        let stalls = part(grown(before.stalls, report.stalls)).min(about / 1000);
        let stalled_ms = part(grown(before.stalled_ms, report.stalled_ms)).min(about);
        event.ledger.count(|counts| {
            counts.frames += frames;
            counts.stalls += stalls;
            counts.stalled_ms += stalled_ms;
            counts.reported_ms += about;
            if let Some(ms) = report.latency_ms {
                counts.note_latency(ms);
            }
        });
        true
    }

    /// Counts something that happens in the room.
    pub(crate) fn count(&mut self, at: u64, add: impl Fn(&mut Counts)) {
        self.settle(at);
        if let Some(event) = &mut self.event {
            event.ledger.count(add);
        }
    }

    /// Counts an order, and what it came to.
    pub(crate) fn sell(&mut self, at: u64, paid: &Revenue) {
        self.count(at, |counts| counts.orders += 1);
        if let Some(event) = &mut self.event {
            event.ledger.current().revenue.add_all(paid);
        }
    }

    /// Somebody does something.
    pub(crate) fn engage(&mut self, at: u64, viewer: Viewer) {
        self.settle(at);
        if let Some(event) = &mut self.event {
            event.engage(viewer);
        }
    }

    /// Returns when the event began that is on; `None` while there is none.
    pub(crate) fn started_at(&self) -> Option<u64> {
        self.event.as_ref().map(|event| event.started_at)
    }

    /// An event begins, or goes on from what earlier runs wrote down of it; `None`: that is not known yet.
    pub(crate) fn begin(
        &mut self,
        at: u64,
        started_at: u64,
        run: String,
        earlier: Option<Earlier>,
    ) {
        self.end(at);
        let mut event = Event::new(at, started_at, run);
        if let Some(earlier) = earlier {
            event.learn(earlier);
        }
        self.event = Some(event);
        let receiving = self.sessions.iter().filter(|(_, it)| it.receives);
        let receiving: Vec<PeerId> = receiving.map(|(peer, _)| *peer).collect();
        for peer in receiving {
            self.start(at, peer);
        }
    }

    /// It is known now what earlier runs wrote down of the event.
    pub(crate) fn learn(&mut self, at: u64, earlier: Earlier) {
        self.settle(at);
        if let Some(event) = &mut self.event {
            event.learn(earlier);
        }
    }

    /// The event is over.
    pub(crate) fn end(&mut self, at: u64) {
        let counting = self.sessions.iter().filter(|(_, it)| it.since.is_some());
        let counting: Vec<PeerId> = counting.map(|(peer, _)| *peer).collect();
        for peer in counting {
            self.stop(at, peer, at);
        }
        self.settle(at);
        if let Some(mut event) = self.event.take() {
            event.finish();
            self.watched_ms += event.watched_ms();
            if self.former.len() >= MAX_FORMER {
                self.former.pop_front();
            }
            self.former.push_back(event);
        }
    }

    /// Hands out what is to be written down, and says whether there is more. `None`: there is nothing.
    pub(crate) fn take(&mut self, at: u64) -> Option<(Rollup, bool)> {
        while let Some(event) = self.former.front_mut() {
            let taken = event.take();
            if !taken.as_ref().is_some_and(|(_, more)| *more) {
                self.former.pop_front();
            }
            if let Some((rollup, _)) = taken {
                return Some((rollup, true));
            }
        }
        self.settle(at);
        self.event.as_mut()?.take()
    }

    /// Returns how many viewers watch.
    pub(crate) fn watching(&self) -> u64 {
        let event = self.event.as_ref();
        event.map_or(0, |event| event.ledger.watching())
    }

    /// Returns what viewers watched in all events of this run.
    pub(crate) fn watched_ms(&mut self, at: u64) -> u64 {
        self.settle(at);
        let event = self.event.as_ref();
        self.watched_ms + event.map_or(0, Event::watched_ms)
    }

    /// Returns the figures of this moment; `None` while no event is on.
    pub(crate) fn current(&mut self, at: u64) -> Option<Current> {
        self.settle(at);
        let event = self.event.as_ref()?;
        let ledger = &event.ledger;
        Some(Current {
            started_at: event.started_at,
            watching: ledger.watching(),
            peak: ledger.peak,
            unique: event.unique,
            engaged: event.engaged,
            total: ledger.total,
            shown: ledger.shown(),
            latency: ledger.latency_before().unwrap_or_default(),
        })
    }

    fn settle(&mut self, at: u64) {
        if let Some(event) = &mut self.event {
            event.ledger.settle(at);
        }
    }

    /// Lets a session count from now on.
    fn start(&mut self, at: u64, peer: PeerId) {
        self.settle(at);
        let session = self.sessions.get_mut(&peer);
        let Some((session, event)) = session.zip(self.event.as_mut()) else {
            return;
        };
        if session.since.is_some() {
            return;
        }
        let at = event.ledger.settled();
        session.since = Some(at);
        session.lines_since = at;
        session.reported_at = None;
        event.ledger.begin_showing(session.lines);
        event.ledger.count(|counts| counts.visits += 1);
        if !event.enter(at, session.viewer, session.origin) {
            self.uncounted += 1;
        }
    }

    /// Lets a session count no longer than until some moment.
    fn stop(&mut self, at: u64, peer: PeerId, until: u64) {
        self.settle(at);
        let session = self.sessions.get_mut(&peer);
        let Some((session, event)) = session.zip(self.event.as_mut()) else {
            return;
        };
        let Some(since) = session.since.take() else {
            return;
        };
        let until = until.clamp(since, event.ledger.settled());
        let shown = until.max(session.lines_since);
        event.ledger.end_showing(session.lines, shown);
        event.leave(session.viewer, until);
    }
}

/// Returns how much a counter has grown; one that fell began anew.
fn grown(before: u64, now: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}

/// Returns what part of a growth falls to some of the time in which a counter grew.
fn scaled(growth: u64, about: u64, gap: u64) -> u64 {
    let part = u128::from(growth) * u128::from(about) / u128::from(gap.max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// Nobody is silent for longer before that is noticed; in milliseconds, as all that follows.
const LONGEST_SILENCE: u64 = 60_000;

/// No report is about a longer time.
const LONGEST_REPORT: u64 = 60_000;

/// No picture has more frames a second.
const MOST_FRAMES: u64 = 120;

/// Events of one room that may be over and not handed out.
const MAX_FORMER: usize = 4;
