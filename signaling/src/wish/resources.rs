//! The sessions that were made over HTTP, by the last part of their address.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use axum::extract::{FromRequestParts, Path};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use dashmap::DashMap;
use prometheus::IntGauge;
use serde::Deserialize;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::bearer_token;
use crate::id::SocketId;
use crate::limit::TokenBucket;
use crate::room::{Departure, RoomHandle, RoomMessage, SessionRef};
use crate::session::Session;

use super::Protocol;
use super::events::Streams;

/// All of them.
#[derive(Debug)]
pub(crate) struct Resources {
    open: DashMap<Arc<str>, Arc<Resource>>,
    /// How many there may be.
    limit: usize,
    /// How many there are.
    count: IntGauge,
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
            requests: TokenBucket::new(REQUESTS_PER_SECOND, Instant::now()),
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
            limit,
            count,
        }
    }

    /// Says no while there are as many as there may be.
    ///
    /// # Errors
    /// `busy`.
    pub(super) fn check_room(&self) -> Result<(), ApiError> {
        if self.open.len() < self.limit {
            Ok(())
        } else {
            Err(ApiError::busy())
        }
    }

    /// Adds one, and removes it when its peer is gone.
    pub(super) fn add(self: &Arc<Self>, resource: Resource) -> Arc<Resource> {
        let resource = Arc::new(resource);
        self.open
            .insert(Arc::clone(&resource.known_as.id), Arc::clone(&resource));
        self.count.inc();
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
        place: &Place,
        headers: &HeaderMap,
    ) -> Result<Arc<Resource>, ApiError> {
        let found = self.open.get(place.session.as_str());
        let found = found.map(|found| Arc::clone(&found));
        let found = found
            .filter(|it| it.protocol == protocol && it.room_id == place.room)
            .filter(|it| !it.known_as.is_closed())
            .ok_or_else(|| ApiError::new(Code::NotFound, "There is no such session."))?;
        found.proof.check(headers)?;
        Ok(found)
    }

    /// Removes one and lets its peer go.
    pub(super) async fn remove(&self, resource: &Resource, why: Departure) {
        if self.open.remove(&resource.known_as.id).is_some() {
            self.count.dec();
        }
        let socket = resource.socket;
        resource
            .room
            .tell_surely(RoomMessage::Leave { socket, why })
            .await;
    }
}

/// The session that a request's address names, if the request may touch it.
pub(crate) struct Found(pub(super) Arc<Resource>);

/// The parts of an address that name a session.
#[derive(Deserialize)]
struct Place {
    room: String,
    session: String,
}

impl FromRequestParts<Arc<App>> for Found {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let nowhere = |_| ApiError::new(Code::NotFound, "There is no such session.");
        let place = Path::<Place>::from_request_parts(parts, app).await;
        let Path(place) = place.map_err(nowhere)?;
        let protocol = Protocol::of(&parts.uri);
        app.resources
            .find(protocol, &place, &parts.headers)
            .inspect_err(|error| app.metrics.refused(error))
            .map(Self)
    }
}

const REQUESTS_PER_SECOND: u32 = 10;
