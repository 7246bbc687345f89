//! The task of one room: its mailbox, its clock and what follows from them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use klieg_sfu::PeerId;
use tokio::sync::{mpsc, watch};
use tracing::{Instrument, info, info_span, warn};

use crate::id::{RoomId, SocketId};
use crate::limit::{Rate, TokenBuckets};
use crate::shop::Shelf;
use crate::store::{RoomRecord, StoreError};
use crate::time::Timestamp;
use crate::ws::protocol::{Ack, Stats};

use super::audience::LIKES_PER_MINUTE;
use super::events::{EventLog, KEPT_CHAT, KEPT_EVENTS};
use super::figures::Figures;
use super::floor::Podium;
use super::journal::Journal;
use super::keeping::Keeping;
use super::life::{Life, Moment};
use super::member::Member;
use super::numbers::{Numbers, REACTIONS_PER_SECOND};
use super::post::Post;
use super::presence::Presence;
use super::stage::{Changes, Stage};
use super::standings::Standings;
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
    /// The version of the record that its owner wrote last.
    pub(super) written: u64,
    pub(super) members: HashMap<SocketId, Member>,
    pub(super) stage: Stage,
    pub(super) log: EventLog,
    pub(super) journal: Journal,
    pub(super) keeping: Keeping,
    /// What of that others see; another with each change.
    standings: Arc<Standings>,
    /// Events that wait for others.
    pub(super) post: Post,
    /// What is told by and by.
    pub(super) numbers: Numbers,
    /// What is sold here.
    pub(super) shelf: Arc<Shelf>,
    /// When the host changed it; `None`: not since the room was opened here.
    pub(super) shelf_changed: Option<Timestamp>,
    /// What the host asked, and was asked.
    pub(super) podium: Podium,
    /// Who is here, and who watches.
    pub(super) presence: Presence,
    /// How often somebody may say whether they like the room.
    pub(super) likers: TokenBuckets<String>,
    /// How often somebody without a socket may react.
    pub(super) reactors: TokenBuckets<String>,
    pub(super) tally: Tally,
    /// Who receives, and what that adds up to.
    pub(super) figures: Figures,
    /// The record as others see it; another with each change of what it says.
    pub(super) shown: Arc<RoomRecord>,
    /// When the row is written that could not be; `None` while it is as it should be.
    pub(super) row_due: Option<Instant>,
    /// When the forwarding unit is told again whose media counts, which it had no room to hear; `None` while it knows.
    pub(super) stage_due: Option<Instant>,
    /// Whose peer is whose, of those who watch.
    pub(super) viewers: HashMap<PeerId, SocketId>,
    /// Since when nobody needs the room; `None` while somebody does.
    idle_since: Option<Instant>,
    /// Until when somebody may come whose token was minted here.
    expected_until: Instant,
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
        let shelf = context.stores.shop.shelf(id).await?;
        let poll = context.stores.floor.last_poll(id).await?;
        let keeping = Keeping::restore(context.stores.order.order(id).await?);
        let journal = Journal::new(id.clone(), context.stores.journal.clone());
        let tally = Tally::restore(&record);
        let (life, lost) = Life::restore(&record, context.grace, Moment::now());
        let stats = Stats {
            likes: tally.likes,
            peak: tally.peak,
            ..Stats::default()
        };
        let on_air = record.status.is_on_air();
        let figures = Figures::restore(&record, &context).await;
        let now = Instant::now();
        context.metrics.rooms.inc();
        let mut room = Self {
            context,
            shown: Arc::new(record.clone()),
            written: record.version,
            record,
            members: HashMap::new(),
            stage: Stage::new(life),
            log: EventLog::new(last_seq, events, chat),
            journal,
            standings: Arc::new(keeping.standings()),
            keeping,
            post: Post::default(),
            numbers: Numbers::new(stats, on_air),
            shelf: Arc::new(shelf),
            shelf_changed: None,
            podium: Podium::new(poll),
            presence: Presence::default(),
            likers: TokenBuckets::new(Rate::per_minute(LIKES_PER_MINUTE)),
            reactors: TokenBuckets::new(Rate::per_second(REACTIONS_PER_SECOND)),
            tally,
            figures,
            row_due: None,
            stage_due: None,
            viewers: HashMap::new(),
            idle_since: Some(now),
            expected_until: now,
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
                earlier = self.figures.found() => self.figures.learn(earlier),
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
        // A server that stops ends what writes figures once its rooms are closed.
        self.hand_in_the_rest().await;
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
            RoomMessage::CloseSession { socket, peer, why } => {
                self.close_session(socket, peer, why);
            }
            RoomMessage::Mute {
                socket,
                mute,
                reply,
            } => {
                let _ = reply.send(self.mute(socket, mute));
            }
            RoomMessage::Chat { socket, re, said } => self.say(socket, re, *said),
            RoomMessage::React { socket, emoji } => self.react(socket, emoji),
            RoomMessage::Report { peer, report } => self.report_of(peer, report),
            RoomMessage::Trouble { socket, trouble } => self.trouble_of(socket, trouble),
            RoomMessage::Stats { socket, re } => {
                let ack = Ack::from(self.current_stats());
                self.acknowledge(socket, re.as_deref(), &ack);
            }
            RoomMessage::Media(event) => self.handle_media(event),
            RoomMessage::Outside(outside) => self.handle_outside(outside),
            RoomMessage::Stop => self.stopping = true,
            RoomMessage::Remove => {
                self.close_down();
                self.stopping = true;
            }
        }
    }

    fn handle_outside(&mut self, message: Outside) {
        match message {
            Outside::Expect { until, reply } => {
                self.expected_until = self.expected_until.max(until);
                let _ = reply.send(());
            }
            Outside::Say {
                from,
                said,
                client_id,
                reply,
            } => self.say_for(from, *said, client_id, reply),
            Outside::Report { report, reply } => self.report(report, reply),
            Outside::Deed { by, deed, reply } => self.keep_order(by, deed, reply),
            Outside::Sell { change, reply } => self.sell(change, reply),
            Outside::Order { order, reply } => self.order(*order, reply),
            Outside::Like {
                identity,
                liking,
                reply,
            } => self.like(identity, liking, reply),
            Outside::React {
                identity,
                emoji,
                reply,
            } => {
                let _ = reply.send(self.react_for(&identity, emoji));
            }
            Outside::Poll { deed, reply } => self.poll(deed, reply),
            Outside::Question { deed, reply } => self.question(deed, reply),
            Outside::Act { input, reply } => self.act(input, reply),
            Outside::Changed(record) => self.change(*record),
            Outside::Expel {
                identity,
                reason,
                ban,
            } => {
                if let Some(ban) = ban {
                    self.keeping.limit(&ban);
                    self.share_standings();
                }
                self.expel(&identity, reason.as_deref());
            }
            Outside::People {
                after,
                limit,
                reply,
            } => {
                let _ = reply.send(self.people(&after, limit));
            }
        }
    }

    pub(super) fn summarize(&self) {
        let now = RoomSummary {
            status: self.stage.status(),
            started_at: self.stage.started_at(),
            ended_at: self.stage.life().ended_at(),
            record: Some(Arc::clone(&self.shown)),
            viewer_count: self.viewer_count(),
            unique: self.presence.unique(),
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

    pub(super) fn next_wake(&self) -> Option<Instant> {
        [
            self.stage.grace_ends(),
            self.post.due(),
            self.numbers.due(),
            self.presence.due(),
            self.row_due,
            self.stage_due,
            self.figures.due(),
            self.idle_ends(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.post.due().is_some_and(|due| due <= now) {
            self.flush();
        }
        self.tell_numbers(now);
        self.tell_figures(now);
        if self.row_due.is_some_and(|due| due <= now) {
            self.write_row();
        }
        let changes = self.stage.handle_timeout(Moment::now());
        if changes != Changes::default() {
            self.tell(changes);
            if self.stage.status().is_over() {
                self.clear_stage();
            }
        }
        if self.stage_due.is_some_and(|due| due <= now) {
            self.let_take_over();
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

    /// Returns until when the room stays in memory; `None` while somebody needs it.
    fn idle_ends(&self) -> Option<Instant> {
        let ends = self.idle_since? + self.context.idle;
        Some(ends.max(self.expected_until))
    }

    fn is_over(&self, now: Instant) -> bool {
        self.idle_ends().is_some_and(|ends| ends <= now)
    }
}

/// Waits for a moment; for ever when there is none.
async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
