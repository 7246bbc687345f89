//! Somebody in a room: a socket, and the sessions it has open.

use std::sync::{Arc, Mutex, PoisonError};

use klieg_sfu::{Format, PeerId};
use prometheus::IntGauge;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::analytics::Origin;
use crate::auth::{Grants, Identity, Role};
use crate::id::SocketId;
use crate::metrics::Metrics;
use crate::store::{Author, RoomRecord};
use crate::time::Timestamp;
use crate::ws::outbox::Outbox;
use crate::ws::protocol::{Participant, WantedLayer};

/// Somebody who comes.
#[derive(Debug)]
pub(crate) struct NewMember {
    pub(crate) socket: SocketId,
    pub(crate) identity: Identity,
    pub(crate) seat: Seat,
    /// When they were last put out, as it was known when they were let in; `None`: never.
    pub(crate) kicked_at: Option<Timestamp>,
    /// `None` for an encoder or a player that has media alone: it is told nothing.
    pub(crate) outbox: Option<Outbox>,
    /// Where they are, and on what they play.
    pub(crate) origin: Origin,
}

/// What somebody may do in a room. The room changes it, and who speaks to the socket reads it.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    /// What their token makes them.
    own: (Role, Grants),
    now: Arc<Mutex<(Role, Grants)>>,
}

impl Seat {
    /// Makes the seat of one whose token makes them something, and who is something now.
    pub(crate) fn new(own: (Role, Grants), now: (Role, Grants)) -> Self {
        Self {
            own,
            now: Arc::new(Mutex::new(now)),
        }
    }

    pub(crate) fn role(&self) -> Role {
        self.get().0
    }

    pub(crate) fn grants(&self) -> Grants {
        self.get().1
    }

    /// Takes the role that somebody was given in the room, or lost.
    pub(super) fn change(&self, given: Option<Role>, room: &RoomRecord) {
        let mut own = self.own;
        if own.0 == Role::Guest {
            own.1 = Role::Guest.grants(room);
        }
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = raised(own, given, room);
    }

    pub(super) fn participant(&self, id: &str, name: &str) -> Participant {
        Participant {
            id: id.to_owned(),
            name: name.to_owned(),
            role: self.role(),
        }
    }

    fn get(&self) -> (Role, Grants) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what somebody is who was given a role in a room.
pub(crate) fn raised(
    (role, grants): (Role, Grants),
    given: Option<Role>,
    room: &RoomRecord,
) -> (Role, Grants) {
    match given {
        Some(given) if given.outranks(role) => (given, grants.raised(given.grants(room))),
        Some(_) | None => (role, grants),
    }
}

/// Somebody who is there.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) identity: Identity,
    pub(super) seat: Seat,
    /// `None` for one who has media alone.
    pub(super) outbox: Option<Outbox>,
    pub(super) origin: Origin,
    /// `None` while they do not watch.
    pub(super) viewing: Option<Viewing>,
    /// Counts them while they are here; `None` for one who has media alone.
    _counted: Option<Counted>,
}

/// One more in a gauge, for as long as it lives.
#[derive(Debug)]
struct Counted(IntGauge);

impl Counted {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Somebody who is in a room.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Their picture, where the server's profiles have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) avatar_url: Option<String>,
    pub(crate) role: Role,
    /// Whether they have a viewing session.
    pub(crate) watching: bool,
}

/// A viewing session.
#[derive(Debug)]
pub(super) struct Viewing {
    pub(super) session: SessionRef,
    /// What was asked for last.
    pub(super) wanted: WantedLayer,
    /// What the forwarding unit was told of it.
    pub(super) chosen: klieg_sfu::LayerChoice,
    /// What comes; `None` before the first picture.
    pub(super) shown: Option<u8>,
    /// What the viewer's network makes of it.
    pub(super) limit: klieg_sfu::Limit,
    /// What the forwarding unit was told of how long its pictures wait.
    pub(super) delay: klieg_sfu::PlayoutDelay,
}

/// A session as the room knows it; whoever speaks to the peer owns its negotiation.
#[derive(Clone, Debug)]
pub(crate) struct SessionRef {
    /// The name on the wire.
    pub(crate) id: Arc<str>,
    /// The name in the forwarding unit.
    pub(crate) peer: PeerId,
    /// Written by the room, read by whoever speaks to the peer.
    progress: Arc<watch::Sender<Progress>>,
}

/// What became of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The peer is gone.
    pub(crate) closed: bool,
    /// What the publisher sends and this viewer cannot play; `None` when it can, or nothing is known.
    pub(crate) mismatch: Option<Format>,
}

impl Member {
    pub(super) fn new(member: NewMember, metrics: &Metrics) -> Self {
        let speaks = member.outbox.is_some();
        Self {
            _counted: speaks.then(|| Counted::new(&metrics.participants)),
            identity: member.identity,
            seat: member.seat,
            outbox: member.outbox,
            origin: member.origin,
            viewing: None,
        }
    }

    pub(super) fn person(&self) -> Person {
        Person {
            id: self.identity.id.clone(),
            name: self.identity.name.clone(),
            avatar_url: self.identity.avatar_url.clone(),
            role: self.seat.role(),
            watching: self.viewing.is_some(),
        }
    }

    pub(super) fn author(&self) -> Author {
        Author {
            id: self.identity.id.clone(),
            name: self.identity.name.clone(),
            avatar_url: self.identity.avatar_url.clone(),
            role: self.seat.role(),
        }
    }
}

impl Viewing {
    pub(super) fn new(session: SessionRef, wanted: WantedLayer) -> Self {
        Self {
            session,
            wanted,
            chosen: klieg_sfu::LayerChoice::Auto,
            shown: None,
            limit: klieg_sfu::Limit::None,
            delay: klieg_sfu::PlayoutDelay::AUTOMATIC,
        }
    }
}

impl SessionRef {
    pub(crate) fn new(peer: PeerId) -> Self {
        Self {
            id: crate::id::random().into(),
            peer,
            progress: Arc::new(watch::Sender::new(Progress::default())),
        }
    }

    pub(crate) fn close(&self) {
        self.progress.send_modify(|progress| progress.closed = true);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.progress.borrow().closed
    }

    pub(crate) fn set_mismatch(&self, sent: Option<Format>) {
        self.progress
            .send_if_modified(|progress| std::mem::replace(&mut progress.mismatch, sent) != sent);
    }

    pub(crate) fn mismatch(&self) -> Option<Format> {
        self.progress.borrow().mismatch
    }

    /// Returns what becomes of it from now on.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }
}
