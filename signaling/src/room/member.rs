//! Somebody in a room: a socket, and the sessions it has open.

use crate::auth::{Grants, Identity, Role};
use crate::id::SocketId;
use crate::store::Author;
use crate::ws::outbox::Outbox;
use crate::ws::protocol::{LayerChoice, Participant};

use super::SessionRef;

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

/// A viewing session.
#[derive(Debug)]
pub(super) struct Viewing {
    pub(super) session: SessionRef,
    /// What was asked for last.
    pub(super) wanted: LayerChoice,
    /// What the forwarding unit was told of it.
    pub(super) chosen: klieg_sfu::LayerChoice,
    /// What comes; `None` before the first picture.
    pub(super) shown: Option<u8>,
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

    pub(super) fn author(&self) -> Author {
        Author {
            id: self.identity.id.clone(),
            name: self.identity.name.clone(),
            role: self.role,
        }
    }
}

impl Viewing {
    pub(super) fn new(session: SessionRef, wanted: LayerChoice) -> Self {
        Self {
            session,
            wanted,
            chosen: klieg_sfu::LayerChoice::Auto,
            shown: None,
        }
    }
}
