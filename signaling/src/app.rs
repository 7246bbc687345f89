//! Everything a handler may reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use klieg_turn::IceServers;
use tokio::sync::watch;

use crate::auth::{Access, Authority, Grants, Identity, Role, Secret};
use crate::config::Config;
use crate::error::{ApiError, Code};
use crate::id::{RoomId, SocketId};
use crate::media::Media;
use crate::metrics::Metrics;
use crate::room::Rooms;
use crate::store::{RoomRecord, Stores};
use crate::wish::Resources;

/// The server's parts, shared by every request and socket.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) authority: Authority,
    /// What stream keys are made of that must be the same when they are asked for again.
    pub(crate) seed: Secret,
    pub(crate) stores: Stores,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) media: Arc<Media>,
    /// Sessions that were made over HTTP.
    pub(crate) resources: Arc<Resources>,
    pub(crate) ice: Arc<IceServers>,
    pub(crate) metrics: Arc<Metrics>,
    /// Whether the server is about to stop, and how far it is.
    pub(crate) phase: watch::Receiver<Phase>,
    /// The next socket's id.
    pub(crate) next_socket: AtomicU64,
}

/// How far the server is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It serves.
    Serving,
    /// It serves those who are there and asks them to go.
    Draining,
    /// It closes what is open.
    Closing,
}

impl App {
    /// Names a new socket.
    pub(crate) fn next_socket(&self) -> SocketId {
        SocketId(self.next_socket.fetch_add(1, Ordering::Relaxed))
    }

    /// Finds a room and what somebody is in it.
    ///
    /// # Errors
    /// `not_found` in the same words for missing rooms and for those that may not be known.
    pub(crate) async fn enter(
        &self,
        identity: &Identity,
        room: &str,
    ) -> Result<(RoomRecord, Role, Grants), ApiError> {
        identity.may_ask_for(room)?;
        let id = RoomId::parse(room).ok_or_else(ApiError::no_room)?;
        if self
            .rooms
            .is_expelled(&id, &identity.id, identity.minted_at)
            && identity.access != Access::Account
        {
            let text = "The token was ended: its holder was put out of the room.";
            return Err(ApiError::new(Code::TokenInvalid, text));
        }
        // What is in memory is newer than the database, and there while the database is not.
        let record = match self.rooms.record(&id) {
            Some(record) => Some(record),
            None => self.stores.rooms.find(&id).await.map_err(ApiError::store)?,
        };
        let record = record.ok_or_else(ApiError::no_room)?;
        let open_to_all = self.config.dev && id.as_str() == DEMO_ROOM;
        let (role, grants) = identity.enter(&record, open_to_all)?;
        Ok((record, role, grants))
    }

    /// Returns how long a join token may be used.
    pub(crate) fn join_ttl(&self) -> Duration {
        Duration::from_secs(self.config.join_token_ttl_s)
    }

    /// Returns how long a sign-in holds.
    pub(crate) fn access_ttl(&self) -> Duration {
        Duration::from_secs(self.config.access_token_ttl_s)
    }
}

/// The room of `--dev`, where everybody who signed in may publish.
pub(crate) const DEMO_ROOM: &str = "demo";

/// The stream key of that room.
pub(crate) const DEMO_KEY: &str = "demo-key";
