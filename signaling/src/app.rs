//! Everything a handler may reach.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use klieg_turn::IceServers;

use crate::analytics::{Recent, Regions};
use crate::auth::{
    Access, AddressMark, Authority, Grants, Identity, Opening, Others, Providers, Role, Secret,
    SignIns,
};
use crate::catalogue::Catalogue;
use crate::config::Config;
use crate::drain::Course;
use crate::error::{ApiError, Code};
use crate::fetch::Fetcher;
use crate::id::{RoomId, SocketId};
use crate::limit::Doors;
use crate::media::Media;
use crate::metrics::Metrics;
use crate::profile::Profiles;
use crate::room::{Rooms, Seat, Turns, raised};
use crate::shop::NewOrder;
use crate::store::{Membership, RoomRecord, Stores};
use crate::thumbnail::LivePictures;
use crate::time::Timestamp;
use crate::wish::Resources;

/// The server's parts, shared by every request and socket.
#[derive(Debug)]
pub(crate) struct App {
    /// As the server started with it.
    pub(crate) config: Config,
    /// The same with what has changed since, where a change needs no new start.
    pub(crate) live: RwLock<Arc<Config>>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) sign_ins: SignIns,
    pub(crate) doors: Doors,
    pub(crate) fetcher: Fetcher,
    pub(crate) catalogue: Catalogue,
    pub(crate) profiles: Profiles,
    /// What stream keys are made of that must be the same when they are asked for again.
    pub(crate) seed: Secret,
    pub(crate) stores: Stores,
    /// Figures of audiences, for who asks.
    pub(crate) figures: Recent,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) media: Arc<Media>,
    /// What rooms on air show, for lists.
    pub(crate) pictures: LivePictures,
    /// Sessions that were made over HTTP.
    pub(crate) resources: Arc<Resources>,
    pub(crate) ice: Arc<IceServers>,
    /// In which countries addresses are.
    pub(crate) regions: Regions,
    pub(crate) metrics: Arc<Metrics>,
    /// Whether the server takes more, or is about to stop.
    pub(crate) course: Course,
    /// Who changes a room: one at a time.
    pub(crate) editors: Turns,
    /// What this server is among others.
    pub(crate) node: Node,
    /// The next socket's id.
    pub(crate) next_socket: AtomicU64,
}

/// Somebody who may enter a room.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    pub(crate) record: RoomRecord,
    /// What their token makes them.
    pub(crate) own: (Role, Grants),
    /// What they are with the role that they were given in the room.
    pub(crate) now: (Role, Grants),
    /// When they were last put out of it, as it was known when they were let in; `None`: never.
    pub(crate) kicked_at: Option<Timestamp>,
    /// Where they come from as the room knows it, the newest first; nothing where bans do not go with that.
    pub(crate) from: Vec<AddressMark>,
}

impl Admitted {
    /// Returns what a token opens that is minted for them.
    pub(crate) fn opening(&self) -> Opening<'_> {
        Opening {
            room: &self.record.id,
            place: self.own,
            kicked_at: self.kicked_at,
            from: self.from.first(),
        }
    }

    /// Returns the seat that is theirs.
    pub(crate) fn seat(&self) -> Seat {
        Seat::new(self.own, self.now)
    }
}

/// What a server is among others, from its start to its end.
#[derive(Debug)]
pub(crate) struct Node {
    /// 128 random bits; another after each start.
    pub(crate) id: String,
    pub(crate) started_at: Timestamp,
}

impl Node {
    /// Names a server that starts now.
    pub(crate) fn new() -> Self {
        Self {
            id: crate::id::random(),
            started_at: Timestamp::now(),
        }
    }
}

impl App {
    /// Returns the settings as they are now: for those that can change while the server runs.
    pub(crate) fn live(&self) -> Arc<Config> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what can change while the server runs, and returns the names of the settings that cannot and differ.
    pub(crate) fn reload(&self, new: &Config) -> Vec<&'static str> {
        let waiting = self.config.changed_for_next_start(new);
        let mut live = self.config.clone();
        live.take_live(new);
        self.doors.set(&live.limits);
        self.rooms.addresses().heed(live.ban_addresses);
        let before = self.authority.others();
        let others = others(&live, &before.providers, &self.fetcher, &self.metrics);
        self.authority.set_others(others);
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
        waiting
    }

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
        let admitted = self.admit(identity, room).await?;
        let (role, grants) = admitted.now;
        Ok((admitted.record, role, grants))
    }

    /// Finds a room, what somebody is in it by their token, and what with the role that they were given there.
    ///
    /// # Errors
    /// As [`App::enter`]; `banned`.
    pub(crate) async fn admit(
        &self,
        identity: &Identity,
        room: &str,
    ) -> Result<Admitted, ApiError> {
        identity.may_ask_for(room)?;
        let id = RoomId::parse(room).ok_or_else(ApiError::no_room)?;
        // Looked up once: who is put out from here on is put out of what is minted below, too.
        let kicked_at = self.rooms.kicked_at(&id, &identity.id);
        if kicked_at.is_some_and(|at| identity.ended_with_kick(at)) {
            let text = "The token was ended: its holder was put out of the room.";
            return Err(ApiError::new(Code::TokenInvalid, text));
        }
        let open_to_all = self.config.dev && id.as_str() == DEMO_ROOM;
        // What is in memory is newer than the database, and there while the database is not.
        let here = self.rooms.record(&id);
        let in_memory = here.is_some();
        let record = match here {
            Some(record) => Some(record),
            None => self.find(&id).await?,
        };
        let from = self.rooms.addresses().marks(&id, &identity.whence);
        let standing = self.standing(identity, &id, &from).await?;
        let record = record.ok_or_else(ApiError::no_room)?;
        let own = match identity.enter(&record, open_to_all) {
            // Who was given a role in a private room, or is of its owner's audience, is invited.
            Err(error)
                if error.code == Code::NotFound
                    && identity.can_be_invited()
                    && (standing.role.is_some() || standing.is_member) =>
            {
                identity.enter_invited(&record)
            }
            // A guest's token knows only how the room was set when it was minted.
            Ok((Role::Guest, _)) if identity.is_guest() => {
                (Role::Guest, Role::Guest.grants(&record))
            }
            Err(error) if error.code == Code::NotFound && in_memory => {
                // A room that there is not is looked for in the database: one that may not be known of takes as long.
                // Who is of the audience is known there alone.
                self.find(&id).await?;
                let stored = self.stored_standing(identity, &id, &from).await?;
                if !(stored.is_member && identity.can_be_invited()) {
                    return Err(error);
                }
                identity.enter_invited(&record)
            }
            entered => entered?,
        };
        let now = raised(own, standing.role, &record);
        standing.check_ban(own.0, now.0)?;
        Ok(Admitted {
            record,
            own,
            now,
            kicked_at,
            from,
        })
    }

    /// Returns what somebody is in a room beside what their account makes them, who comes from some addresses.
    async fn standing(
        &self,
        identity: &Identity,
        room: &RoomId,
        from: &[AddressMark],
    ) -> Result<Membership, ApiError> {
        match self.rooms.standing(room, &identity.id, from) {
            // Another server on the same database may have lifted it; while the database is away it stands.
            Some(standing) if standing.banned || standing.address_banned => {
                let stored = self.stored_standing(identity, room, from).await;
                let role = standing.role;
                Ok(stored.map_or(standing, |stored| Membership { role, ..stored }))
            }
            Some(standing) => Ok(standing),
            None => self.stored_standing(identity, room, from).await,
        }
    }

    async fn stored_standing(
        &self,
        identity: &Identity,
        room: &RoomId,
        from: &[AddressMark],
    ) -> Result<Membership, ApiError> {
        // A guest without a token is nobody yet.
        if identity.access == Access::Guest && from.is_empty() {
            return Ok(Membership::default());
        }
        let order = &self.stores.order;
        let standing = order.standing(room, &identity.id, from).await;
        standing.map_err(ApiError::store)
    }

    pub(crate) async fn find(&self, id: &RoomId) -> Result<Option<RoomRecord>, ApiError> {
        self.stores.rooms.find(id).await.map_err(ApiError::store)
    }

    /// Takes an order that a shop tells of; returns once it is stored, with whether it is a new one.
    ///
    /// # Errors
    /// `not_found` where there is no such room; `invalid_value`; `busy`; `unavailable`.
    pub(crate) async fn order(&self, room: &RoomId, order: NewOrder) -> Result<bool, ApiError> {
        if self.rooms.record(room).is_none() {
            let found = self.find(room).await?;
            found.ok_or_else(ApiError::no_room)?;
        }
        self.rooms.order(room, order).await
    }

    /// Returns how long a join token may be used.
    pub(crate) fn join_ttl(&self) -> Duration {
        Duration::from_secs(self.config.join_token_ttl_s)
    }
}

/// Returns those who sign tokens beside this server, as the settings name them.
pub(crate) fn others(
    config: &Config,
    before: &Providers,
    fetcher: &Fetcher,
    metrics: &Metrics,
) -> Others {
    let providers = Providers::new(&config.oidc, before, fetcher, metrics);
    providers.warm_up();
    Others::new(config.api_keys.clone(), providers)
}

/// The room of `--dev`, where everybody who signed in may publish.
pub(crate) const DEMO_ROOM: &str = "demo";

/// The stream key of that room.
pub(crate) const DEMO_KEY: &str = "demo-key";
