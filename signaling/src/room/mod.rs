//! Rooms: one task owns one room's state; everybody else reaches it through its mailbox.

mod events;

mod journal;

mod layers;

mod member;

mod stage;

mod life;

mod tally;

mod figures;

mod door;

mod acts;

mod expelled;

mod upkeep;

mod rooms;

mod wishes;

mod task;

mod news;

mod pace;

mod numbers;

mod shop;

mod presence;

mod audience;

mod floor;

mod talk;

mod keeping;

mod standings;

mod departed;

mod deeds;

mod post;

mod turns;

mod sessions;

mod playout;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use klieg_sfu::{Format, PeerId, RoomKey};
use klieg_turn::IceServers;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use expelled::{Expelled, watch_expelled};
pub(crate) use layers::VideoLayers;
pub(crate) use life::{Input, Reason};
pub(crate) use member::{NewMember, Person, Progress, Seat, SessionRef, raised};
pub(crate) use rooms::{Rooms, new_report};
pub(crate) use standings::Standings;
pub(crate) use tally::Summary;
pub(crate) use turns::Turns;
pub(crate) use upkeep::{Cleaned, Upkeep, end_revoked, keep_up};

use crate::admission::Place;
use crate::analytics::{Desk, Report, Trouble, ViewerKey};
use crate::auth::Addresses;
use crate::chat::Said;
use crate::error::ApiError;
use crate::id::SocketId;
use crate::media::Media;
use crate::metrics::Metrics;
use crate::shop::{Change, NewOrder, Shelf};
use crate::store::{
    Author, ChatMessage, Deed, Floor, Liked, Liking, Limit, NewReport, PollDeed, QuestionDeed,
    RoomRecord, RoomStatus, Stores,
};
use crate::time::Timestamp;
use crate::ws::protocol::{RtcMute, WantedLayer};

/// What every room uses.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) stores: Stores,
    pub(crate) media: Arc<Media>,
    pub(crate) ice: Arc<IceServers>,
    pub(crate) metrics: Arc<Metrics>,
    /// The way to what writes the figures of audiences.
    pub(crate) figures: Desk,
    /// What the names of viewers are made with.
    pub(crate) viewer_key: ViewerKey,
    /// What marks where people come from.
    pub(crate) addresses: Arc<Addresses>,
    /// Who was put out of which room, and when.
    pub(crate) expelled: Arc<Expelled>,
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
    /// People among them, each counted once.
    pub(crate) unique: u64,
    /// What the publisher sends, sound and video; `None` while nothing comes.
    pub(crate) formats: [Option<Format>; 2],
    /// What there is of its video.
    pub(crate) layers: VideoLayers,
    /// What people are in it beside what their accounts make them.
    pub(crate) standings: Arc<Standings>,
}

/// What a room is told. Its mailbox holds 1024; beyond it the sender is told that the server is busy.
#[derive(Debug)]
pub(crate) enum RoomMessage {
    /// Somebody comes; the reply says whether they are in, and what they were sent.
    Join {
        member: Box<NewMember>,
        last_seq: Option<u64>,
        reply: oneshot::Sender<Result<Entered, ApiError>>,
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
    CloseSession {
        socket: SocketId,
        peer: PeerId,
        why: Departure,
    },
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
        said: Box<Said>,
    },
    /// Somebody reacts.
    React {
        socket: SocketId,
        emoji: &'static str,
    },
    /// Somebody says what their viewing session counted.
    Report { peer: PeerId, report: Report },
    /// Somebody says what keeps them from watching.
    Trouble { socket: SocketId, trouble: Trouble },
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
    /// It is about to be removed: everybody has to go.
    Remove,
}

/// What a room is told by those who are not in it.
#[derive(Debug)]
pub(crate) enum Outside {
    /// Somebody may come until then, and shall find the room in memory; the reply comes once it is there.
    Expect {
        until: Instant,
        reply: oneshot::Sender<()>,
    },
    /// Somebody without a socket says something; the reply comes once it is stored.
    Say {
        from: Author,
        said: Box<Said>,
        client_id: Option<String>,
        reply: oneshot::Sender<Result<Heard, ApiError>>,
    },
    /// Somebody tells the moderators of a message; the reply comes once it is stored.
    Report {
        report: NewReport,
        reply: oneshot::Sender<Result<(), ApiError>>,
    },
    /// Somebody keeps order; the reply comes once it is stored.
    Deed {
        by: Author,
        deed: Deed,
        reply: oneshot::Sender<Result<(), ApiError>>,
    },
    /// Somebody changes what is sold; the reply comes once it is stored.
    Sell {
        change: Change,
        reply: oneshot::Sender<Result<Arc<Shelf>, ApiError>>,
    },
    /// Somebody bought something; the reply comes once it is stored, and says whether that is new.
    Order {
        order: Box<NewOrder>,
        reply: oneshot::Sender<Result<bool, ApiError>>,
    },
    /// Somebody says whether they like the room; the reply comes once it is stored.
    Like {
        identity: String,
        liking: Liking,
        reply: oneshot::Sender<Result<Liked, ApiError>>,
    },
    /// Somebody without a socket reacts; the reply says whether they may so often.
    React {
        identity: String,
        emoji: &'static str,
        reply: oneshot::Sender<Result<(), ApiError>>,
    },
    /// Somebody does something to a poll; the reply comes once it is stored.
    Poll {
        deed: PollDeed,
        reply: oneshot::Sender<Result<Floor, ApiError>>,
    },
    /// Somebody does something to a question; the reply comes once it is stored.
    Question {
        deed: QuestionDeed,
        reply: oneshot::Sender<Result<Floor, ApiError>>,
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
        /// What shuts them out from here on, where another server did it; `None` where they may come back, or the room
        /// knows.
        ban: Option<Box<Limit>>,
    },
    /// Somebody asks who is here, those after one by their ids.
    People {
        after: String,
        limit: usize,
        reply: oneshot::Sender<Vec<Person>>,
    },
}

impl Outside {
    /// Makes the question whether something that keeps order may be done.
    pub(crate) fn deed(
        by: Author,
        deed: Deed,
    ) -> impl Fn(oneshot::Sender<Result<(), ApiError>>) -> Self {
        move |reply| Self::Deed {
            by: by.clone(),
            deed: deed.clone(),
            reply,
        }
    }
}

impl From<Outside> for RoomMessage {
    fn from(message: Outside) -> Self {
        Self::Outside(message)
    }
}

/// What somebody who came was sent: the missed events up to this number, or (`None`) the snapshot.
pub(crate) type Entered = Option<u64>;

/// What became of what somebody said.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Everybody reads it.
    Said(Box<ChatMessage>),
    /// A moderator looks at it first.
    Held,
}

/// Whether somebody may publish.
pub(crate) type Opened = Result<(), ApiError>;

/// How somebody goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// They said so.
    Left,
    /// Their socket is gone, or the server has no room for them.
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
            unique: 0,
            formats: [None; 2],
            layers: VideoLayers::default(),
            standings: Arc::default(),
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

    /// Puts a message that must arrive into the mailbox, as soon as there is room for it; nobody waits for that.
    pub(crate) fn tell_later(&self, message: RoomMessage) {
        if let Err(TrySendError::Full(message)) = self.mailbox.try_send(message) {
            let room = self.clone();
            tokio::spawn(async move { room.tell_surely(message).await });
        }
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
