//! Somebody in a room: a socket, and the sessions it has open.

use std::sync::Arc;

use klieg_sfu::{Format, PeerId};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::auth::{Grants, Identity, Role};
use crate::id::SocketId;
use crate::store::Author;
use crate::ws::outbox::Outbox;
use crate::ws::protocol::{Participant, WantedLayer};

/// Somebody who comes.
#[derive(Debug)]
pub(crate) struct NewMember {
    pub(crate) socket: SocketId,
    pub(crate) identity: Identity,
    pub(crate) role: Role,
    pub(crate) grants: Grants,
    /// `None` for an encoder or a player that has media alone: it is told nothing.
    pub(crate) outbox: Option<Outbox>,
}

/// Somebody who is there.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) identity: Identity,
    pub(super) role: Role,
    /// `None` for one who has media alone.
    pub(super) outbox: Option<Outbox>,
    /// `None` while they do not watch.
    pub(super) viewing: Option<Viewing>,
}

/// Somebody who is in a room.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) name: String,
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

impl NewMember {
    pub(super) fn participant(&self) -> Participant {
        Participant {
            id: self.identity.id.clone(),
            name: self.identity.name.clone(),
            role: self.role,
        }
    }
}

impl Member {
    pub(super) fn new(member: NewMember) -> Self {
        Self {
            identity: member.identity,
            role: member.role,
            outbox: member.outbox,
            viewing: None,
        }
    }

    pub(super) fn person(&self) -> Person {
        Person {
            id: self.identity.id.clone(),
            name: self.identity.name.clone(),
            role: self.role,
            watching: self.viewing.is_some(),
        }
    }

    pub(super) fn author(&self) -> Author {
        Author {
            id: self.identity.id.clone(),
            name: self.identity.name.clone(),
            role: self.role,
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
