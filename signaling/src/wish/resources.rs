//! The sessions that were made over HTTP, by the last part of their address.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use axum::extract::{FromRequestParts, Path};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use dashmap::DashMap;
use futures_util::future::join_all;
use prometheus::IntGauge;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tracing::info;

use crate::app::App;
use crate::auth::{Identity, Role};
use crate::drain::Phase;
use crate::error::{ApiError, Code};
use crate::http::bearer_token;
use crate::id::{RoomId, SocketId};
use crate::limit::{Rate, TokenBucket};
use crate::room::{Departure, RoomHandle, RoomMessage, SessionRef};
use crate::session::Session;

use super::Protocol;
use super::events::Streams;

/// All of them.
#[derive(Debug)]
pub(crate) struct Resources {
    open: DashMap<Arc<str>, Entry>,
    /// A permit for each that there may be.
    places: Arc<Semaphore>,
    /// A permit for each that guests may have of these.
    guest_places: Arc<Semaphore>,
    /// How many there are.
    count: IntGauge,
}

/// What there is of a session until it is removed.
#[derive(Debug)]
struct Entry {
    resource: Arc<Resource>,
    _place: Place,
}

/// The place of one session, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    /// `None` for those who are no guests.
    _guest_permit: Option<OwnedSemaphorePermit>,
    count: IntGauge,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.count.dec();
    }
}

/// One session that was made over HTTP.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(super) protocol: Protocol,
    /// The room as the address names it.
    pub(super) room_id: String,
    pub(super) room: RoomHandle,
    /// Names the client in the room.
    pub(super) socket: SocketId,
    pub(super) known_as: SessionRef,
    /// The token that made it.
    pub(super) proof: Proof,
    /// The stream key that made it; `None` for those who showed another token, or none.
    pub(super) key: Option<StreamKey>,
    /// Who showed it.
    pub(super) identity: Identity,
    pub(super) state: Mutex<State>,
    pub(super) streams: Streams,
}

/// What requests change.
#[derive(Debug)]
pub(super) struct State {
    pub(super) session: Session,
    /// How often it may be patched, or asked for another layer.
    requests: TokenBucket,
}

/// Remembers a token without keeping it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof(Option<Digest>);

impl Proof {
    /// Remembers the token of a request, or that it had none.
    ///
    /// # Errors
    /// `token_invalid` when the header is no bearer token.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let token = bearer_token(headers)?;
        Ok(Self(token.map(|token| digest(&SHA256, token.as_bytes()))))
    }

    /// Lets those pass who show the same token; whoever came without one is known by the address alone.
    fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        match (self.0, Self::of(headers)?.0) {
            (None, _) => Ok(()),
            (Some(made), Some(shown))
                if verify_slices_are_equal(made.as_ref(), shown.as_ref()).is_ok() =>
            {
                Ok(())
            }
            (Some(_), Some(_)) => Err(ApiError::new(
                Code::Forbidden,
                "The session was made with another token.",
            )),
            (Some(_), None) => Err(ApiError::new(
                Code::Unauthenticated,
                "The token that made the session is needed.",
            )),
        }
    }
}

/// A stream key, by the hash of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamKey(pub(super) String);

impl Resource {
    /// Returns its address, without that of the server.
    pub(super) fn path(&self) -> String {
        let (protocol, room, id) = (self.protocol.path(), &self.room_id, &self.known_as.id);
        format!("/{protocol}/{room}/{id}")
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            requests: TokenBucket::new(Rate::per_second(REQUESTS_PER_SECOND), Instant::now()),
        }
    }

    /// Says no to whoever asks too often.
    ///
    /// # Errors
    /// `rate_limited`.
    pub(super) fn take_request(&mut self, now: Instant) -> Result<(), ApiError> {
        self.requests.take(now).map_err(|wait| {
            let text = format!("Slow down: {REQUESTS_PER_SECOND} requests a second.");
            ApiError::new(Code::RateLimited, text).retry_after(wait)
        })
    }
}

impl Resources {
    pub(crate) fn new(limit: usize, count: IntGauge) -> Self {
        Self {
            open: DashMap::new(),
            places: Arc::new(Semaphore::new(limit)),
            guest_places: Arc::new(Semaphore::new(limit - limit / KEPT_FROM_GUESTS)),
            count,
        }
    }

    /// Takes a place for a session that is to be made.
    ///
    /// # Errors
    /// `busy` while there are as many as there may be. Guests are told so earlier: anybody can be many guests, and
    /// must not keep out who has a token of their own.
    pub(super) fn take_place(&self, role: Role) -> Result<Place, ApiError> {
        let take = |places: &Arc<Semaphore>| {
            let permit = Arc::clone(places).try_acquire_owned();
            permit.map_err(|_| ApiError::busy())
        };
        let is_guest = role == Role::Guest;
        let place = Place {
            _guest_permit: is_guest.then(|| take(&self.guest_places)).transpose()?,
            _permit: take(&self.places)?,
            count: self.count.clone(),
        };
        self.count.inc();
        Ok(place)
    }

    /// Adds one, and removes it when its peer is gone.
    pub(super) fn add(self: &Arc<Self>, resource: Resource, place: Place) -> Arc<Resource> {
        let resource = Arc::new(resource);
        let entry = Entry {
            resource: Arc::clone(&resource),
            _place: place,
        };
        self.open.insert(Arc::clone(&resource.known_as.id), entry);
        let (resources, waiting) = (Arc::clone(self), Arc::clone(&resource));
        tokio::spawn(async move {
            let mut progress = waiting.known_as.progress();
            // The sender lives in the resource itself, so this ends with the session and not before.
            let _ = progress.wait_for(|progress| progress.closed).await;
            resources.remove(&waiting, Departure::Lost).await;
        });
        resource
    }

    /// Finds one for a request that may touch it.
    ///
    /// # Errors
    /// `not_found`; `unauthenticated` or `forbidden` without the token that made it.
    fn find(
        &self,
        protocol: Protocol,
        address: &Address,
        headers: &HeaderMap,
    ) -> Result<Arc<Resource>, ApiError> {
        let found = self.open.get(address.session.as_str());
        let found = found.map(|found| Arc::clone(&found.resource));
        let found = found
            .filter(|it| it.protocol == protocol && it.room_id == address.room)
            .filter(|it| !it.known_as.is_closed())
            .ok_or_else(|| ApiError::new(Code::NotFound, "There is no such session."))?;
        found.proof.check(headers)?;
        Ok(found)
    }

    /// Ends the sessions of a room that were made with a stream key other than this one, by its hash, and returns how
    /// many they were. The room waits for its publisher, as for one that was lost.
    pub(crate) async fn end_other_keys(self: &Arc<Self>, room: &RoomId, key_hash: &str) -> usize {
        let made_otherwise = |Resource { room_id, key, .. }: &Resource| {
            let other = key.as_ref().is_some_and(|key| key.0 != key_hash);
            room_id == room.as_str() && other
        };
        join_all(self.end_those(made_otherwise)).await.len()
    }

    /// Begins to end some, as for those that were lost, and returns what does it, for each: a room that is slow to hear of
    /// its own keeps nobody waiting but who wants to.
    fn end_those(self: &Arc<Self>, which: impl Fn(&Resource) -> bool) -> Vec<JoinHandle<()>> {
        let found = self.open.iter().filter(|entry| which(&entry.resource));
        let found: Vec<Arc<Resource>> = found.map(|it| Arc::clone(&it.resource)).collect();
        let ending = found.into_iter();
        ending
            .map(|resource| self.begin_to_end(resource, Departure::Lost))
            .collect()
    }

    /// Ends one, even if the request that asks for it is dropped in the middle: what is no more in the list is known
    /// to nobody who could ask again.
    pub(super) async fn end(self: &Arc<Self>, resource: Arc<Resource>, why: Departure) {
        // Fails only while the runtime stops, and everything with it.
        let _ = self.begin_to_end(resource, why).await;
    }

    fn begin_to_end(self: &Arc<Self>, resource: Arc<Resource>, why: Departure) -> JoinHandle<()> {
        // At once, so that who looks next does not find it again.
        self.open.remove(&resource.known_as.id);
        let resources = Arc::clone(self);
        tokio::spawn(async move { resources.remove(&resource, why).await })
    }

    /// Removes one and lets its peer go.
    async fn remove(&self, resource: &Resource, why: Departure) {
        self.open.remove(&resource.known_as.id);
        let socket = resource.socket;
        resource
            .room
            .tell_surely(RoomMessage::Leave { socket, why })
            .await;
    }
}

/// Ends the sessions of those whose sign-in ends, and tells the sockets, until the server closes.
pub(crate) async fn end_signed_out(app: Arc<App>, mut phase: watch::Receiver<Phase>) {
    let mut news = app.authority.ended_news();
    loop {
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return },
            _ = phase.wait_for(|phase| *phase == Phase::Closing) => return,
        }
        app.authority.tell_ended_lately();
        let signed_out = |it: &Resource| app.authority.has_ended(&it.identity);
        let count = app.resources.end_those(signed_out).len();
        if count > 0 {
            info!(count, "sessions over HTTP ended with their sign-ins");
        }
        // Each time every socket looks whether it is meant.
        tokio::time::sleep(PAUSE).await;
    }
}

/// The session that a request's address names, if the request may touch it.
pub(crate) struct Found(pub(super) Arc<Resource>);

/// The parts of an address that name a session.
#[derive(Deserialize)]
struct Address {
    room: String,
    session: String,
}

impl FromRequestParts<Arc<App>> for Found {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let nowhere = |_| ApiError::new(Code::NotFound, "There is no such session.");
        let address = Path::<Address>::from_request_parts(parts, app).await;
        let Path(address) = address.map_err(nowhere)?;
        let protocol = Protocol::of(&parts.uri);
        app.resources
            .find(protocol, &address, &parts.headers)
            .map(Self)
    }
}

/// One place in so many is not for guests.
const KEPT_FROM_GUESTS: usize = 5;

const REQUESTS_PER_SECOND: u32 = 10;

/// Between two looks at what has ended.
const PAUSE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use klieg_sfu::{Fingerprint, PeerId, RoomKey};
    use tokio::sync::mpsc;

    use super::*;
    use crate::session::MediaConfig;

    fn resources(limit: usize) -> Arc<Resources> {
        let count = IntGauge::new("sessions", "Sessions").unwrap();
        Arc::new(Resources::new(limit, count))
    }

    fn resource(room: RoomHandle) -> Resource {
        let config = MediaConfig {
            fingerprint: Fingerprint([1; 32]),
            candidates: Vec::new(),
            tcp_candidates: Vec::new(),
        };
        let offer = include_str!("../../tests/offers/firefox-default.sdp");
        let peer = PeerId(1);
        let (session, _) = Session::publish(&config, peer, RoomKey(1), offer).unwrap();
        Resource {
            protocol: Protocol::Whip,
            room_id: "demo".to_owned(),
            room,
            socket: SocketId(1),
            known_as: SessionRef::new(peer),
            proof: Proof(None),
            key: None,
            identity: Identity::guest("Guest".to_owned()),
            state: Mutex::new(State::new(session)),
            streams: Streams::default(),
        }
    }

    #[test]
    fn guests_leave_a_fifth_of_the_places_to_others() {
        let resources = resources(5);
        let guests: Vec<_> = (0..4).map(|_| resources.take_place(Role::Guest)).collect();
        assert!(guests.iter().all(Result::is_ok));
        assert!(resources.take_place(Role::Guest).is_err());
        let owner = resources.take_place(Role::Owner);
        assert!(owner.is_ok() && resources.take_place(Role::Owner).is_err());
        assert_eq!(resources.count.get(), 5);
        drop(guests);
        assert_eq!(resources.count.get(), 1);
        assert!(resources.take_place(Role::Guest).is_ok());
    }

    #[tokio::test]
    async fn a_room_that_is_slow_to_hear_of_many_ends_delays_no_other() {
        const SLOW: usize = 70;
        let resources = resources(SLOW + 1);
        let (stuck, mut waiting) = mpsc::channel(1);
        stuck
            .try_send(RoomMessage::React {
                socket: SocketId(1),
                emoji: "👏",
            })
            .unwrap();
        let (other, mut messages) = mpsc::channel(1);
        let slow = std::iter::repeat_n(stuck, SLOW);
        for mailbox in slow.chain([other]) {
            let place = resources.take_place(Role::Owner).unwrap();
            resources.add(resource(RoomHandle::to(mailbox)), place);
        }
        let ending = resources.end_those(|_| true);
        assert!(resources.end_those(|_| true).is_empty(), "each ends once");
        let is_leave = |message| matches!(message, Some(RoomMessage::Leave { .. }));
        assert!(is_leave(messages.recv().await));
        assert!(!is_leave(waiting.recv().await));
        for _ in 0..SLOW {
            assert!(is_leave(waiting.recv().await));
        }
        let ended = join_all(ending).await.len();
        assert_eq!((ended, resources.count.get()), (SLOW + 1, 0));
    }

    #[tokio::test]
    async fn a_session_ends_even_if_the_request_for_it_is_dropped_in_the_middle() {
        let (mailbox, mut messages) = mpsc::channel(1);
        let full = RoomMessage::React {
            socket: SocketId(1),
            emoji: "👏",
        };
        mailbox.try_send(full).unwrap();
        let resources = resources(1);
        let place = resources.take_place(Role::Owner).unwrap();
        let resource = resources.add(resource(RoomHandle::to(mailbox)), place);
        let ending = resources.end(resource, Departure::Left);
        let waited = tokio::time::timeout(Duration::from_millis(50), ending).await;
        assert!(waited.is_err(), "the mailbox is full");
        let first = messages.recv().await;
        assert!(matches!(first, Some(RoomMessage::React { .. })));
        let second = tokio::time::timeout(Duration::from_secs(5), messages.recv()).await;
        let left = RoomMessage::Leave {
            socket: SocketId(1),
            why: Departure::Left,
        };
        assert_eq!(
            format!("{second:?}"),
            format!("{:?}", Ok::<_, ()>(Some(left)))
        );
        assert_eq!(resources.count.get(), 0);
    }
}
