//! The task of one room: its mailbox, its clock and what follows from them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use klieg_sfu::PeerId;
use tokio::sync::{mpsc, watch};
use tracing::{Instrument, info, info_span, warn};

use crate::id::{RoomId, SocketId};
use crate::store::{RoomRecord, StoreError};
use crate::ws::protocol::{self, Ack, ReactionBatch, Stats};

use super::events::{EventLog, KEPT_CHAT, KEPT_EVENTS};
use super::journal::Journal;
use super::keeping::{Keeping, Standings};
use super::life::{Life, Moment};
use super::member::Member;
use super::post::Post;
use super::stage::{Changes, Stage};
use super::tally::Tally;
use super::{Context, Outside, RoomMessage, RoomSummary};

/// Runs a room until nobody has needed it for a while.
pub(super) async fn run(
    id: &RoomId,
    context: Context,
    messages: mpsc::Receiver<RoomMessage>,
    summary: watch::Sender<RoomSummary>,
) {
    let span = info_span!("room", room = %id);
    let work = async {
        match Room::load(id, context, summary).await {
            Ok(Some(room)) => room.run(messages).await,
            // Those who wait for a reply are told that the server is busy, and try again.
            Ok(None) => warn!("a room was removed while it was opened"),
            Err(error) => tracing::error!(%error, "a room could not be loaded"),
        }
    };
    work.instrument(span).await;
}

/// One room.
pub(super) struct Room {
    pub(super) context: Context,
    /// As stored; status and times as of now.
    pub(super) record: RoomRecord,
    pub(super) members: HashMap<SocketId, Member>,
    pub(super) stage: Stage,
    pub(super) log: EventLog,
    pub(super) journal: Journal,
    pub(super) keeping: Keeping,
    /// What of that others see; another with each change.
    standings: Arc<Standings>,
    /// Events that wait for others.
    pub(super) post: Post,
    /// Reactions since the last batch.
    reactions: BTreeMap<&'static str, u64>,
    /// When the next batch goes; `None` while there are no reactions.
    reactions_due: Option<Instant>,
    /// `None` until the first batch went.
    reactions_sent: Option<Instant>,
    /// The numbers as they were sent last.
    stats: Stats,
    /// When the numbers are compared and sent; `None` while nothing changed.
    stats_due: Option<Instant>,
    /// `None` until they went first.
    stats_sent: Option<Instant>,
    pub(super) tally: Tally,
    /// The record as others see it; another with each change of what it says.
    pub(super) shown: Arc<RoomRecord>,
    /// When the row is written that could not be; `None` while it is as it should be.
    pub(super) row_due: Option<Instant>,
    /// Whose peer is whose, of those who watch.
    pub(super) viewers: HashMap<PeerId, SocketId>,
    /// Since when nobody needs the room; `None` while somebody does.
    idle_since: Option<Instant>,
    summary: watch::Sender<RoomSummary>,
    /// Whether the server stops, and with it the room.
    stopping: bool,
}

impl Room {
    pub(super) async fn load(
        id: &RoomId,
        context: Context,
        summary: watch::Sender<RoomSummary>,
    ) -> Result<Option<Self>, StoreError> {
        let Some(record) = context.stores.rooms.find(id).await? else {
            return Ok(None);
        };
        let (last_seq, events) = context.stores.journal.tail(id, KEPT_EVENTS).await?;
        let mut chat = context.stores.journal.chat(id, u64::MAX, KEPT_CHAT).await?;
        chat.reverse();
        let keeping = Keeping::restore(context.stores.order.order(id).await?);
        let journal = Journal::new(id.clone(), context.stores.journal.clone());
        let tally = Tally::restore(&record);
        let (life, lost) = Life::restore(&record, context.grace, Moment::now());
        let stats = Stats {
            peak: tally.peak,
            ..Stats::default()
        };
        let now = Instant::now();
        context.metrics.rooms.inc();
        let mut room = Self {
            context,
            shown: Arc::new(record.clone()),
            record,
            members: HashMap::new(),
            stage: Stage::new(life),
            log: EventLog::new(last_seq, events, chat),
            journal,
            standings: Arc::new(keeping.standings()),
            keeping,
            post: Post::default(),
            reactions: BTreeMap::new(),
            reactions_due: None,
            reactions_sent: None,
            stats,
            stats_due: None,
            stats_sent: None,
            tally,
            row_due: None,
            viewers: HashMap::new(),
            idle_since: Some(now),
            summary,
            stopping: false,
        };
        // Also says that the room is here.
        room.tell(Changes {
            publisher: lost.is_some(),
            statuses: lost.into_iter().collect(),
        });
        Ok(Some(room))
    }

    async fn run(mut self, mut messages: mpsc::Receiver<RoomMessage>) {
        info!("room opened");
        loop {
            let wake = self.next_wake();
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.handle(message),
                    None => break,
                },
                committed = self.journal.committed() => self.handle_committed(committed),
                () = sleep_until(wake) => {
                    self.handle_timeout(Instant::now());
                    if self.is_over(Instant::now()) && messages.is_empty() {
                        break;
                    }
                }
            }
            self.note_idle();
            if self.stopping && self.journal.is_idle() {
                self.flush();
                break;
            }
        }
        // Who sends from here on finds the mailbox closed, or gets no reply, and opens the room anew.
        messages.close();
        self.context.metrics.rooms.dec();
        info!("room closed");
    }

    fn handle(&mut self, message: RoomMessage) {
        match message {
            RoomMessage::Join {
                member,
                last_seq,
                reply,
            } => {
                let _ = reply.send(self.join(*member, last_seq));
            }
            RoomMessage::Leave { socket, why } => self.leave(socket, why),
            RoomMessage::OpenPublisher {
                socket,
                session,
                layers,
                reply,
            } => {
                let _ = reply.send(self.open_publisher(socket, session, layers));
            }
            RoomMessage::OpenViewer {
                socket,
                session,
                layer,
            } => {
                self.open_viewer(socket, session, layer);
            }
            RoomMessage::SelectLayer { socket, layer } => self.select_layer(socket, layer),
            RoomMessage::CloseSession { socket, peer } => self.close_session(socket, peer),
            RoomMessage::Mute {
                socket,
                mute,
                reply,
            } => {
                let _ = reply.send(self.mute(socket, mute));
            }
            RoomMessage::Chat { socket, re, said } => self.say(socket, re, *said),
            RoomMessage::React { emoji } => self.react(emoji),
            RoomMessage::Stats { socket, re } => {
                let ack = Ack {
                    stats: Some(self.current_stats()),
                    ..Ack::default()
                };
                self.acknowledge(socket, re.as_deref(), &ack);
            }
            RoomMessage::Media(event) => self.handle_media(event),
            RoomMessage::Outside(outside) => self.handle_outside(outside),
            RoomMessage::Stop => self.stopping = true,
        }
    }

    fn handle_outside(&mut self, message: Outside) {
        match message {
            Outside::Say {
                from,
                said,
                client_id,
                reply,
            } => self.say_for(from, *said, client_id, reply),
            Outside::Report { report, reply } => self.report(report, reply),
            Outside::Deed { by, deed, reply } => self.keep_order(by, deed, reply),
            Outside::Act { input, reply } => self.act(input, reply),
            Outside::Changed(record) => self.change(*record),
            Outside::Expel { identity, reason } => self.expel(&identity, reason.as_deref()),
            Outside::People {
                after,
                limit,
                reply,
            } => {
                let _ = reply.send(self.people(&after, limit));
            }
        }
    }

    fn react(&mut self, emoji: &'static str) {
        *self.reactions.entry(emoji).or_default() += 1;
        self.context.metrics.reactions.inc();
        if self.reactions_due.is_none() {
            self.reactions_due = Some(after(self.reactions_sent, REACTIONS_EVERY));
        }
    }

    /// Takes note of viewers that came or went.
    pub(super) fn note_viewers(&mut self) {
        self.summarize();
        if self.stats_due.is_none() {
            self.stats_due = Some(after(self.stats_sent, STATS_EVERY));
        }
    }

    fn viewer_count(&self) -> u64 {
        u64::try_from(self.viewers.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn current_stats(&self) -> Stats {
        Stats {
            viewer_count: self.viewer_count(),
            likes: 0,
            peak: self.tally.peak,
        }
    }

    pub(super) fn summarize(&self) {
        let now = RoomSummary {
            status: self.stage.status(),
            started_at: self.stage.started_at(),
            ended_at: self.stage.life().ended_at(),
            record: Some(Arc::clone(&self.shown)),
            viewer_count: self.viewer_count(),
            formats: self.stage.formats(),
            layers: self.stage.layers(),
            standings: Arc::clone(&self.standings),
        };
        // Every change wakes every reader of events.
        self.summary.send_if_modified(|shown| {
            let changed = *shown != now;
            *shown = now;
            changed
        });
    }

    /// Shows others what people are here now.
    pub(super) fn share_standings(&mut self) {
        self.standings = Arc::new(self.keeping.standings());
        self.summarize();
    }

    fn next_wake(&self) -> Option<Instant> {
        let idle_ends = self.idle_since.map(|since| since + self.context.idle);
        [
            self.stage.grace_ends(),
            self.post.due(),
            self.reactions_due,
            self.stats_due,
            self.row_due,
            idle_ends,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.post.due().is_some_and(|due| due <= now) {
            self.flush();
        }
        if self.reactions_due.is_some_and(|due| due <= now) {
            self.reactions_due = None;
            self.reactions_sent = Some(now);
            let batch = ReactionBatch {
                counts: &self.reactions,
            };
            self.broadcast(&protocol::message("reaction.batch", &batch));
            self.reactions.clear();
        }
        if self.stats_due.is_some_and(|due| due <= now) {
            self.stats_due = None;
            let stats = self.current_stats();
            if stats != self.stats {
                self.stats = stats;
                self.stats_sent = Some(now);
                self.broadcast(&protocol::message("stats", &stats));
            }
        }
        if self.row_due.is_some_and(|due| due <= now) {
            self.write_row();
        }
        let changes = self.stage.handle_timeout(Moment::now());
        if changes != Changes::default() {
            self.tell(changes);
        }
    }

    fn note_idle(&mut self) {
        let needed = !self.members.is_empty()
            || !self.stage.is_empty()
            || !self.journal.is_idle()
            || self.post.due().is_some()
            || self.row_due.is_some();
        self.idle_since = match (needed, self.idle_since) {
            (true, _) => None,
            (false, None) => Some(Instant::now()),
            (false, since) => since,
        };
    }

    fn is_over(&self, now: Instant) -> bool {
        self.idle_since
            .is_some_and(|since| since + self.context.idle <= now)
    }
}

/// Returns when something may be done again that was done last at a time, if ever.
fn after(last: Option<Instant>, every: Duration) -> Instant {
    let now = Instant::now();
    last.map_or(now, |last| now.max(last + every))
}

/// Waits for a moment; for ever when there is none.
async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// Four batches of reactions a second at most.
const REACTIONS_EVERY: Duration = Duration::from_millis(250);

/// One set of numbers a second at most.
const STATS_EVERY: Duration = Duration::from_secs(1);
