//! Rooms: one task owns one room's state; everybody else reaches it through its mailbox.

mod events;

mod journal;

mod layers;

mod member;

mod stage;

mod life;

mod tally;

mod acts;

mod upkeep;

mod task;

mod news;

mod talk;

mod sessions;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;
use klieg_sfu::{Format, PeerId, RoomKey};
use klieg_turn::IceServers;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use layers::VideoLayers;
pub(crate) use life::{Input, Reason};
pub(crate) use member::{NewMember, Person, Progress, SessionRef};
pub(crate) use tally::Summary;
pub(crate) use upkeep::{Cleaned, Upkeep, keep_up};

use crate::admission::Place;
use crate::error::ApiError;
use crate::id::{RoomId, SocketId};
use crate::media::Media;
use crate::metrics::Metrics;
use crate::store::{Author, ChatMessage, RoomRecord, RoomStatus, StoreError, Stores};
use crate::time::Timestamp;
use crate::ws::protocol::{RtcMute, WantedLayer};

/// The rooms in memory.
#[derive(Debug)]
pub(crate) struct Rooms {
    open: DashMap<RoomId, RoomHandle>,
    /// When somebody was put out of a room. As many as kicks within [`EXPELLED_FOR`], which the clean-up forgets.
    expelled: DashMap<(RoomId, String), Timestamp>,
    /// The next room's number for the forwarding unit.
    next_key: AtomicU64,
    context: Context,
}

/// What every room uses.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) stores: Stores,
    pub(crate) media: Arc<Media>,
    pub(crate) ice: Arc<IceServers>,
    pub(crate) metrics: Arc<Metrics>,
    /// How long a room waits for a publisher that was lost.
    pub(crate) grace: Duration,
    /// How long a room without anybody stays in memory.
    pub(crate) idle: Duration,
}

/// The way to one room.
#[derive(Clone, Debug)]
pub(crate) struct RoomHandle {
    /// The room's number for the forwarding unit.
    pub(crate) key: RoomKey,
    mailbox: mpsc::Sender<RoomMessage>,
    summary: watch::Receiver<RoomSummary>,
}

/// What lists of rooms show.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RoomSummary {
    pub(crate) status: RoomStatus,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    /// The room itself; `None` until it has been read.
    pub(crate) record: Option<Arc<RoomRecord>>,
    pub(crate) viewer_count: u64,
    /// What the publisher sends, sound and video; `None` while nothing comes.
    pub(crate) formats: [Option<Format>; 2],
    /// What there is of its video.
    pub(crate) layers: VideoLayers,
}

/// What a room is told. Its mailbox holds 1024; beyond it the sender is told that the server is busy.
#[derive(Debug)]
pub(crate) enum RoomMessage {
    /// Somebody comes; the reply says that they are in, and what they were sent.
    Join {
        member: Box<NewMember>,
        last_seq: Option<u64>,
        reply: oneshot::Sender<Entered>,
    },
    /// Somebody goes.
    Leave { socket: SocketId, why: Departure },
    /// Somebody is about to publish; the reply says whether they may.
    OpenPublisher {
        socket: SocketId,
        session: SessionRef,
        layers: VideoLayers,
        reply: oneshot::Sender<Opened>,
    },
    /// Somebody is about to watch.
    OpenViewer {
        socket: SocketId,
        session: SessionRef,
        layer: WantedLayer,
    },
    /// Somebody who watches wants something else.
    SelectLayer {
        socket: SocketId,
        layer: WantedLayer,
    },
    /// Somebody closes one of their sessions.
    CloseSession { socket: SocketId, peer: PeerId },
    /// The publisher mutes or unmutes; the reply says whether it was the publisher.
    Mute {
        socket: SocketId,
        mute: RtcMute,
        reply: oneshot::Sender<Result<(), ApiError>>,
    },
    /// Somebody says something; the room answers once it is stored.
    Chat {
        socket: SocketId,
        re: Option<String>,
        text: String,
    },
    /// Somebody reacts.
    React { emoji: &'static str },
    /// Somebody asks for the numbers; the room answers.
    Stats {
        socket: SocketId,
        re: Option<String>,
    },
    /// Something comes by REST, or from the clean-up.
    Outside(Outside),
    /// Something happened to a peer.
    Media(klieg_sfu::Event),
    /// The server stops: write what is to be written and end.
    Stop,
}

/// What a room is told by those who are not in it.
#[derive(Debug)]
pub(crate) enum Outside {
    /// Somebody without a socket says something; the reply comes once it is stored.
    Say {
        from: Author,
        text: String,
        client_id: Option<String>,
        reply: oneshot::Sender<Result<ChatMessage, ApiError>>,
    },
    /// Somebody starts, ends or cancels the room; the reply comes once it is stored.
    Act {
        input: Input,
        reply: oneshot::Sender<Result<(), ApiError>>,
    },
    /// The owner wrote something else.
    Changed(Box<RoomRecord>),
    /// Somebody is put out, and told why.
    Expel {
        identity: String,
        reason: Option<String>,
    },
    /// Somebody asks who is here, those after one by their ids.
    People {
        after: String,
        limit: usize,
        reply: oneshot::Sender<Vec<Person>>,
    },
}

impl From<Outside> for RoomMessage {
    fn from(message: Outside) -> Self {
        Self::Outside(message)
    }
}

/// What somebody who came was sent: the missed events up to this number, or (`None`) the snapshot.
pub(crate) type Entered = Option<u64>;

/// Whether somebody may publish.
pub(crate) type Opened = Result<(), ApiError>;

/// How somebody goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// They said so.
    Left,
    /// Their socket is gone.
    Lost,
}

impl RoomSummary {
    /// Returns the lines of the best picture that comes, such as `720p`; `None` while none does.
    pub(crate) fn quality(&self) -> Option<String> {
        let layers = self.layers.seen().filter(|(_, info)| info.active);
        let lines = layers.map(|(_, info)| info.width.min(info.height)).max();
        let lines = lines.filter(|lines| *lines > 0 && self.status == RoomStatus::Live);
        lines.map(|lines| format!("{lines}p"))
    }

    /// Says that nobody is there.
    fn empty() -> Self {
        Self {
            status: RoomStatus::Ready,
            started_at: None,
            ended_at: None,
            record: None,
            viewer_count: 0,
            formats: [None; 2],
            layers: VideoLayers::default(),
        }
    }
}

#[cfg(test)]
impl RoomHandle {
    /// Makes the way to a room that nobody runs.
    pub(crate) fn to(mailbox: mpsc::Sender<RoomMessage>) -> Self {
        let (_, summary) = watch::channel(RoomSummary::empty());
        let key = RoomKey(1);
        Self {
            key,
            mailbox,
            summary,
        }
    }
}

impl RoomHandle {
    /// Puts a message into the mailbox.
    ///
    /// # Errors
    /// `busy` when it is full.
    pub(crate) fn tell(&self, message: RoomMessage) -> Result<(), ApiError> {
        self.mailbox.try_send(message).map_err(|_| ApiError::busy())
    }

    /// Puts a message that must arrive into the mailbox, waiting for its turn.
    pub(crate) async fn tell_surely(&self, message: RoomMessage) {
        // Fails only when the room's task has ended, and its state with it.
        let _ = self.mailbox.send(message).await;
    }

    /// Asks something and waits for the reply.
    ///
    /// # Errors
    /// `busy` when the mailbox is full or the room was just leaving memory.
    pub(crate) async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> RoomMessage,
    ) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.tell(question(reply))?;
        answer.await.map_err(|_| ApiError::busy())
    }

    /// Names a new peer whose events go to this room.
    pub(crate) fn new_session(&self, media: &Media, place: Place) -> SessionRef {
        SessionRef::new(media.new_peer(self.mailbox.clone(), place))
    }

    /// Returns how the room stands.
    pub(crate) fn summary(&self) -> RoomSummary {
        self.summary.borrow().clone()
    }

    /// Returns how the room stands from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<RoomSummary> {
        self.summary.clone()
    }

    fn is_closed(&self) -> bool {
        self.mailbox.is_closed()
    }
}

impl Rooms {
    pub(crate) fn new(context: Context) -> Self {
        Self {
            open: DashMap::new(),
            expelled: DashMap::new(),
            next_key: AtomicU64::new(1),
            context,
        }
    }

    /// Returns a room that is known to exist, bringing it into memory when it is not.
    pub(crate) fn open(self: &Arc<Self>, id: &RoomId) -> RoomHandle {
        match self.open.entry(id.clone()) {
            Slot::Occupied(slot) if !slot.get().is_closed() => slot.get().clone(),
            Slot::Occupied(mut slot) => {
                let handle = self.start(id);
                slot.insert(handle.clone());
                handle
            }
            Slot::Vacant(slot) => slot.insert(self.start(id)).clone(),
        }
    }

    /// Brings somebody into a room that is known to exist.
    ///
    /// # Errors
    /// `busy`.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        id: &RoomId,
        member: impl Fn() -> NewMember,
        last_seq: Option<u64>,
    ) -> Result<(RoomHandle, Entered), ApiError> {
        let enter = async || {
            let room = self.open(id);
            let member = Box::new(member());
            let entered = room
                .ask(|reply| RoomMessage::Join {
                    member,
                    last_seq,
                    reply,
                })
                .await;
            entered.map(|entered| (room, entered))
        };
        // A room that was just leaving memory gives no reply; the next attempt opens it anew.
        match enter().await {
            Ok(entered) => Ok(entered),
            Err(_) => enter().await,
        }
    }

    /// Asks a room that is known to exist.
    async fn ask<T>(
        self: &Arc<Self>,
        id: &RoomId,
        question: impl Fn(oneshot::Sender<T>) -> Outside,
    ) -> Result<T, ApiError> {
        let question = |reply| RoomMessage::Outside(question(reply));
        match self.open(id).ask(question).await {
            Ok(reply) => Ok(reply),
            // As above.
            Err(_) => self.open(id).ask(question).await,
        }
    }

    /// Starts, ends or cancels a room; returns once that is stored.
    ///
    /// # Errors
    /// What the room's life does not allow; `busy`; `unavailable` when the change may be stored later.
    pub(crate) async fn act(self: &Arc<Self>, id: &RoomId, input: Input) -> Result<(), ApiError> {
        self.ask(id, |reply| Outside::Act { input, reply }).await?
    }

    /// Says something in a room; returns once it is stored.
    ///
    /// # Errors
    /// What may not be said; `busy`; `unavailable`.
    pub(crate) async fn say(
        self: &Arc<Self>,
        id: &RoomId,
        from: Author,
        text: String,
        client_id: Option<String>,
    ) -> Result<ChatMessage, ApiError> {
        let said = self.ask(id, |reply| Outside::Say {
            from: from.clone(),
            text: text.clone(),
            client_id: client_id.clone(),
            reply,
        });
        said.await?
    }

    /// Returns who is in a room, those after one by their ids.
    ///
    /// # Errors
    /// `busy`.
    pub(crate) async fn people(
        self: &Arc<Self>,
        id: &RoomId,
        after: String,
        limit: usize,
    ) -> Result<Vec<Person>, ApiError> {
        let Some(room) = self.here(id) else {
            return Ok(Vec::new());
        };
        let question = |reply| Outside::People {
            after,
            limit,
            reply,
        };
        room.ask(|reply| question(reply).into()).await
    }

    /// Tells a room what its owner wrote.
    pub(crate) async fn changed(&self, record: &RoomRecord) {
        if let Some(room) = self.here(&record.id) {
            let record = Box::new(record.clone());
            room.tell_surely(Outside::Changed(record).into()).await;
        }
    }

    /// Puts somebody out of a room, and ends the tokens that they have for it.
    ///
    /// # Errors
    /// `unavailable`: the tokens end nevertheless, but would hold again after a restart.
    pub(crate) async fn expel(
        &self,
        id: &RoomId,
        identity: String,
        reason: Option<String>,
    ) -> Result<(), ApiError> {
        let now = Timestamp::now();
        self.expelled.insert((id.clone(), identity.clone()), now);
        if let Some(room) = self.here(id) {
            let identity = identity.clone();
            room.tell_surely(Outside::Expel { identity, reason }.into())
                .await;
        }
        let rooms = &self.context.stores.rooms;
        let stored = rooms.expel(id, &identity, now).await;
        stored.map_err(ApiError::store)
    }

    /// Returns whether somebody was put out of a room since their token was minted, in seconds since 1970.
    pub(crate) fn is_expelled(&self, id: &RoomId, identity: &str, minted_at: u64) -> bool {
        let key = (id.clone(), identity.to_owned());
        let at = self.expelled.get(&key);
        at.is_some_and(|at| minted_at <= at.seconds())
    }

    /// Closes a room that is about to be removed.
    pub(crate) async fn remove(&self, id: &RoomId) {
        if let Some(room) = self.here(id) {
            room.tell_surely(RoomMessage::Stop).await;
            let closed = tokio::time::timeout(CLOSE, room.mailbox.closed());
            if closed.await.is_err() {
                tracing::warn!(room = %id, "a room did not end in time");
            }
        }
    }

    /// Returns the way to a room that is in memory.
    fn here(&self, id: &RoomId) -> Option<RoomHandle> {
        let room = self.open.get(id).map(|room| room.clone());
        room.filter(|room| !room.is_closed())
    }

    /// Returns a room as it stands in memory.
    pub(crate) fn record(&self, id: &RoomId) -> Option<RoomRecord> {
        let record = self.summary(id)?.record?;
        Some(RoomRecord::clone(&record))
    }

    /// Returns what a list shows of a room that is in memory.
    pub(crate) fn summary(&self, id: &RoomId) -> Option<RoomSummary> {
        let summary = self.here(id)?.summary();
        summary.record.is_some().then_some(summary)
    }

    fn start(self: &Arc<Self>, id: &RoomId) -> RoomHandle {
        let key = RoomKey(self.next_key.fetch_add(1, Ordering::Relaxed));
        let (mailbox, messages) = mpsc::channel(MAILBOX);
        let (shown, summary) = watch::channel(RoomSummary::empty());
        let rooms = Arc::clone(self);
        let id = id.clone();
        tokio::spawn(async move {
            task::run(&id, rooms.context.clone(), messages, shown).await;
            rooms.open.remove_if(&id, |_, room| room.key == key);
        });
        RoomHandle {
            key,
            mailbox,
            summary,
        }
    }

    /// Ends every room, once what it has to say is stored; waits for that, but not for ever.
    pub(crate) async fn close(&self, at_most: Duration) {
        let rooms: Vec<RoomHandle> = self.open.iter().map(|room| room.clone()).collect();
        let ended = async {
            for room in rooms {
                room.tell_surely(RoomMessage::Stop).await;
                room.mailbox.closed().await;
            }
        };
        if tokio::time::timeout(at_most, ended).await.is_err() {
            tracing::warn!("a room did not end in time");
        }
    }

    /// Takes up what the last process left: rooms that were on air wait for their publishers, and who was put out
    /// stays out.
    ///
    /// # Errors
    /// The store does not answer.
    pub(crate) async fn recover(self: &Arc<Self>) -> Result<(), StoreError> {
        let stores = &self.context.stores;
        for (room, identity, at) in stores.rooms.expelled().await? {
            self.expelled.insert((room, identity), at);
        }
        for status in [RoomStatus::Live, RoomStatus::Interrupted] {
            for due in stores.upkeep.due(status, Timestamp::MAX, ON_AIR).await? {
                self.open(&due);
            }
        }
        Ok(())
    }
}

/// How many rooms on air are taken up at once; the clean-up finds the others.
const ON_AIR: u32 = 10_000;

/// How long a room may take to end.
const CLOSE: Duration = Duration::from_secs(3);

/// Messages that may wait for a room.
const MAILBOX: usize = 1024;
