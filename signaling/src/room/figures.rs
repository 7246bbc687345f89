//! What a room knows of its audience: what happens goes into the figures with its moment, roll-ups go to what writes them,
//! and those who may see them are told once a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use klieg_sfu::{Limit, PeerId};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::analytics::{
    Audience, Beside, Counts, Earlier, Lines, Origin, Report, Rollup, Trouble, Troubles, ViewerKey,
};
use crate::auth::Action;
use crate::id::{RoomId, SocketId};
use crate::shop::Revenue;
use crate::store::{AnalyticsStore, RoomRecord, RoomRollup};
use crate::time::Timestamp;
use crate::ws::protocol::message;

use super::Context;
use super::life::Change;
use super::task::Room;

/// What a room knows of its audience, and when it says so.
#[derive(Debug)]
pub(super) struct Figures {
    audience: Audience,
    /// What kept viewers of the event from watching; of this run alone, and empty again when the next begins.
    troubles: Troubles,
    room: RoomId,
    names: ViewerKey,
    clock: Clock,
    /// What was watched before this room was brought into memory.
    watched_before_ms: u64,
    /// When roll-ups are handed in next; `None` while no event is on.
    write_due: Option<Instant>,
    /// When those who may see the figures are told next; `None` while nobody is there, or nothing is on.
    tell_due: Option<Instant>,
    /// What the gauge of the server has of this room.
    watching: Gauged,
    /// Looks for what earlier runs wrote down of the event; empty when there is nothing to be looked for.
    search: JoinSet<Earlier>,
}

/// A clock that never goes back, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Clock {
    began: Instant,
    wall_ms: u64,
}

/// A part of a gauge, for as long as it lives.
#[derive(Debug)]
struct Gauged {
    gauge: prometheus::IntGauge,
    part: i64,
}

impl Figures {
    /// Begins with what was written down before, where an event is on. Where that cannot be read soon the room opens
    /// nevertheless: until it is [`found`](Self::found) its host is told of this run alone, and nobody counts as new.
    pub(super) async fn restore(record: &RoomRecord, context: &Context) -> Self {
        let mut figures = Self::new(record, context);
        let started_at = record.started_at.filter(|_| record.status.is_on_air());
        if let Some(started_at) = started_at.and_then(millis) {
            let mut search = JoinSet::new();
            let store = context.stores.analytics.clone();
            search.spawn(look_up(store, record.id.clone(), started_at));
            let earlier = tokio::time::timeout(OPENING, search.join_next()).await;
            let earlier = earlier.ok().flatten().and_then(Result::ok);
            figures.begin(started_at, earlier);
            figures.search = search;
        }
        figures
    }

    /// Waits for what earlier runs wrote down, for ever when it is not looked for. May be dropped and called again.
    pub(super) async fn found(&mut self) -> Earlier {
        match self.search.join_next().await {
            Some(Ok(earlier)) => earlier,
            Some(Err(_)) | None => std::future::pending().await,
        }
    }

    /// Goes on from what earlier runs wrote down of the event that is on.
    pub(super) fn learn(&mut self, earlier: Earlier) {
        self.audience.learn(self.now(), earlier);
        self.tell_soon();
    }

    fn new(record: &RoomRecord, context: &Context) -> Self {
        Self {
            audience: Audience::default(),
            troubles: Troubles::default(),
            room: record.id.clone(),
            names: context.viewer_key.clone(),
            clock: Clock {
                began: Instant::now(),
                wall_ms: millis(Timestamp::now()).unwrap_or_default(),
            },
            watched_before_ms: record.watch_ms,
            write_due: None,
            tell_due: None,
            watching: Gauged {
                gauge: context.metrics.analytics.watching.clone(),
                part: 0,
            },
            search: JoinSet::new(),
        }
    }

    /// Returns when something is due; `None` when nothing is.
    pub(super) fn due(&self) -> Option<Instant> {
        self.write_due.into_iter().chain(self.tell_due).min()
    }

    /// A viewing session was made.
    pub(super) fn open(&mut self, peer: PeerId, identity: &str, origin: Origin) {
        let viewer = self.names.name(&self.room, identity);
        self.audience.open(peer, viewer, origin);
    }

    /// A viewing session is over.
    pub(super) fn close(&mut self, peer: PeerId) {
        self.audience.close(self.now(), peer);
        self.gauge();
    }

    /// The reports of a session say something else than before of whether media arrives.
    pub(super) fn receive(&mut self, peer: PeerId, arrives: bool, ago: Duration) {
        let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        self.audience.receive(self.now(), peer, arrives, ago);
        self.gauge();
    }

    /// Counts something that happens.
    pub(super) fn count(&mut self, add: impl Fn(&mut Counts)) {
        self.audience.count(self.now(), add);
    }

    /// Counts an order, and what it came to.
    pub(super) fn sell(&mut self, paid: &Revenue) {
        self.audience.sell(self.now(), paid);
    }

    /// Somebody does something.
    pub(super) fn engage(&mut self, identity: &str) {
        let viewer = self.names.name(&self.room, identity);
        self.audience.engage(self.now(), viewer);
    }

    /// Returns what was watched in all events of the room, in milliseconds.
    pub(super) fn watch_ms(&mut self) -> u64 {
        self.watched_before_ms + self.audience.watched_ms(self.now())
    }

    /// Looks soon for those who may see the figures.
    pub(super) fn tell_soon(&mut self) {
        if self.audience.started_at().is_some() {
            self.tell_due.get_or_insert_with(Instant::now);
        }
    }

    fn begin(&mut self, started_at: u64, earlier: Option<Earlier>) {
        let run = crate::id::random();
        self.search = JoinSet::new();
        self.troubles = Troubles::default();
        self.audience.begin(self.now(), started_at, run, earlier);
        self.write_due = Some(Instant::now() + WRITE_EVERY);
        self.tell_soon();
        self.gauge();
    }

    fn end(&mut self) {
        self.search = JoinSet::new();
        self.audience.end(self.now());
        self.write_due = Some(Instant::now());
        self.gauge();
    }

    fn now(&self) -> u64 {
        let since = self.clock.began.elapsed().as_millis();
        self.clock.wall_ms + u64::try_from(since).unwrap_or_default()
    }

    fn gauge(&mut self) {
        let watching = self.audience.watching();
        self.watching
            .set(i64::try_from(watching).unwrap_or(i64::MAX));
    }
}

impl Room {
    /// Takes note of what a viewer's client counted.
    pub(super) fn report_of(&mut self, peer: PeerId, report: Report) {
        let at = self.figures.now();
        let heard = self.figures.audience.report(at, peer, report);
        let outcome = if heard { "heard" } else { "ignored" };
        let metrics = &self.context.metrics;
        let reports = &metrics.analytics.reports;
        reports.with_label_values(&[outcome]).inc();
        let told = [
            (report.latency_ms, &metrics.picture_age),
            (report.first_frame_ms, &metrics.first_frame),
        ];
        for (ms, histogram) in told {
            if let Some(ms) = ms.filter(|_| heard) {
                histogram.observe(Duration::from_millis(ms.into()).as_secs_f64());
            }
        }
    }

    /// Takes note of what keeps somebody from watching.
    pub(super) fn trouble_of(&mut self, socket: SocketId, trouble: Trouble) {
        let Some(member) = self.members.get(&socket) else {
            return;
        };
        let reason = trouble.as_str();
        let troubles = &self.context.metrics.analytics.troubles;
        troubles.with_label_values(&[reason]).inc();
        debug!(socket = socket.0, reason, "somebody cannot watch");
        let figures = &mut self.figures;
        if figures.audience.started_at().is_some() {
            let viewer = figures.names.name(&figures.room, &member.identity.id);
            figures.troubles.note(viewer, trouble);
        }
    }

    /// Takes note of what picture a viewer is shown.
    pub(super) fn note_lines(&mut self, socket: SocketId) {
        let layers = self.stage.layers();
        let Some(viewing) = self.viewing(socket) else {
            return;
        };
        let shown = viewing.shown.filter(|_| viewing.limit != Limit::Paused);
        let lines = shown.map_or(Lines::Audio, |index| layers.lines(index));
        let peer = viewing.session.peer;
        let at = self.figures.now();
        self.figures.audience.show(at, peer, lines);
    }

    /// The same for everybody, when the layers are others.
    pub(super) fn note_lines_of_all(&mut self) {
        let sockets: Vec<SocketId> = self.viewers.values().copied().collect();
        for socket in sockets {
            self.note_lines(socket);
        }
    }

    /// Begins and ends the figures of an event with it.
    pub(super) fn follow_event(&mut self, change: Change) {
        let on_air = change.status.is_on_air();
        let started_at = change.started_at.filter(|_| on_air).and_then(millis);
        if started_at == self.figures.audience.started_at() {
            return;
        }
        match started_at {
            Some(started_at) => self.figures.begin(started_at, Some(Earlier::default())),
            None => self.figures.end(),
        }
    }

    /// Hands in what is to be written, and tells those who may see it, when it is time.
    pub(super) fn tell_figures(&mut self, now: Instant) {
        if self.figures.write_due.is_some_and(|due| due <= now) {
            self.figures.write_due = self.hand_in().map(|wait| now + wait);
        }
        if self.figures.tell_due.take_if(|due| *due <= now).is_some() && self.tell_analysts() {
            self.figures.tell_due = Some(now + TELL_EVERY);
        }
    }

    /// Hands in a roll-up; returns when the next is due, `None` when there will be none.
    fn hand_in(&mut self) -> Option<Duration> {
        // Who was given a role since is found with the next.
        self.figures.tell_soon();
        let desk = self.context.figures.clone();
        let Some(slip) = desk.slip() else {
            self.context.metrics.analytics.postponed.inc();
            return Some(SOON);
        };
        let taken = self.take_rollup();
        let uncounted = std::mem::take(&mut self.figures.audience.uncounted);
        self.context.metrics.analytics.uncounted.inc_by(uncounted);
        let more = taken.as_ref().is_some_and(|(_, more)| *more);
        if let Some((rollup, _)) = taken {
            slip.write(rollup);
        }
        if more {
            return Some(SOON);
        }
        let on_air = self.figures.audience.started_at().is_some();
        on_air.then_some(WRITE_EVERY)
    }

    /// Hands in everything before the room leaves memory.
    pub(super) async fn hand_in_the_rest(&mut self) {
        self.figures.end();
        let desk = self.context.figures.clone();
        let all = async {
            while let Some((rollup, more)) = self.take_rollup() {
                desk.write(rollup).await;
                if !more {
                    break;
                }
            }
        };
        if tokio::time::timeout(THE_REST, all).await.is_err() {
            warn!("the last figures of the audience are lost");
        }
    }

    pub(super) fn take_rollup(&mut self) -> Option<(RoomRollup, bool)> {
        let at = self.figures.now();
        let (rollup, more): (Rollup, bool) = self.figures.audience.take(at)?;
        self.note_numbers();
        let rollup = RoomRollup {
            room: self.record.id.clone(),
            rollup,
            row: self.row(),
        };
        Some((rollup, more))
    }

    /// Tells those who may see the figures; returns whether anybody is there.
    fn tell_analysts(&mut self) -> bool {
        let analysts = self.members.values();
        let analysts = analysts.filter(|it| it.seat.role().may_in_any_room(Action::Analyse));
        let mut outboxes = analysts.filter_map(|it| it.outbox.as_ref()).peekable();
        let now = self.figures.now();
        let Some(current) = self.figures.audience.current(now) else {
            return false;
        };
        if outboxes.peek().is_none() {
            return false;
        }
        let beside = Beside {
            at: Timestamp::now(),
            troubles: &self.figures.troubles,
            likes: self.tally.likes,
            orders: self.tally.orders,
            revenue: &self.tally.revenue,
        };
        let text = message("analytics", &current.view(beside));
        for outbox in outboxes {
            outbox.send(text.clone());
        }
        true
    }
}

/// Returns what earlier runs wrote down of an event, once the database tells it.
async fn look_up(store: Arc<dyn AnalyticsStore>, room: RoomId, started_at: u64) -> Earlier {
    let mut is_told = false;
    loop {
        match store.earlier(&room, started_at).await {
            Ok(earlier) => return earlier,
            Err(error) if !std::mem::replace(&mut is_told, true) => {
                warn!(%error, "what is known of an audience is looked for again");
            }
            Err(_) => {}
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

impl Gauged {
    fn set(&mut self, part: i64) {
        self.gauge.add(part - self.part);
        self.part = part;
    }
}

impl Drop for Gauged {
    fn drop(&mut self) {
        self.set(0);
    }
}

fn millis(moment: Timestamp) -> Option<u64> {
    u64::try_from(moment.millis()).ok()
}

/// A crash takes away no more than this.
const WRITE_EVERY: Duration = Duration::from_secs(15);

/// Between two roll-ups of one round, and until another attempt.
const SOON: Duration = Duration::from_secs(1);

/// How long the opening of a room waits for what is known of its audience.
const OPENING: Duration = Duration::from_millis(1_700);

/// How soon that is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

const TELL_EVERY: Duration = Duration::from_secs(1);

/// How long a room that leaves memory waits for a place for what is left.
const THE_REST: Duration = Duration::from_secs(2);
