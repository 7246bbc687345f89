//! What a WHEP player is told while it watches: the server-sent events extension of WHEP.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, State as AppState};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::watch;

use crate::app::App;
use crate::error::{ApiError, Code};

use super::endpoint::{Body, text};
use super::feed::Feed;
use super::headers::check_content_type;
use super::resources::Found;

/// The relation of the `Link` that announces it.
pub(super) const RELATION: &str = "urn:ietf:params:whep:ext:core:server-sent-events";

/// The events there are. `codecmismatch` is our own: the publisher sends what this player cannot play.
pub(super) const NAMES: [&str; 6] = [
    "active",
    "inactive",
    "layers",
    "viewercount",
    "reconnect",
    "codecmismatch",
];

/// The event streams of one session.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<Vec<EventStream>>);

/// What a player asked to be told.
#[derive(Debug)]
struct EventStream {
    id: String,
    wanted: Wanted,
    /// Counts those who came to read it: the last one does, and nobody once it is dropped.
    readers: watch::Sender<u64>,
}

/// The right to read a stream.
pub(super) struct Reading {
    pub(super) wanted: Wanted,
    /// Changes when somebody else reads the stream, and closes when it was deleted.
    pub(super) readers: watch::Receiver<u64>,
}

impl Reading {
    /// Returns whether nobody read the stream before.
    pub(super) fn is_first(&self) -> bool {
        *self.readers.borrow() == 1
    }
}

/// Which of [`NAMES`] are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted([bool; NAMES.len()]);

impl Wanted {
    /// Reads the list of a request; an empty body wants everything.
    fn parse(body: &str) -> Result<Self, ApiError> {
        if body.trim().is_empty() {
            return Ok(Self([true; NAMES.len()]));
        }
        let names: Vec<&str> = serde_json::from_str(body)
            .map_err(|_| ApiError::new(Code::BadJson, "The body is no array of names in JSON."))?;
        let mut wanted = Self([false; NAMES.len()]);
        for name in names {
            let known = NAMES.iter().position(|known| *known == name);
            match known.and_then(|index| wanted.0.get_mut(index)) {
                Some(flag) => *flag = true,
                None => {
                    let text = format!("The events are {}.", NAMES.join(", "));
                    return Err(ApiError::new(Code::BadMessage, text));
                }
            }
        }
        Ok(wanted)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        NAMES
            .iter()
            .zip(self.0)
            .any(|(known, on)| on && *known == name)
    }
}

impl Streams {
    fn list(&self) -> MutexGuard<'_, Vec<EventStream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one; the oldest makes way where there are as many as there may be.
    fn add(&self, wanted: Wanted) -> String {
        let mut list = self.list();
        if list.len() >= MAX_STREAMS {
            list.remove(0);
        }
        let id = crate::id::random();
        list.push(EventStream {
            id: id.clone(),
            wanted,
            readers: watch::Sender::new(0),
        });
        id
    }

    fn read(&self, id: &str) -> Option<Reading> {
        let list = self.list();
        let stream = list.iter().find(|stream| stream.id == id)?;
        stream.readers.send_modify(|readers| *readers += 1);
        Some(Reading {
            wanted: stream.wanted,
            readers: stream.readers.subscribe(),
        })
    }

    fn remove(&self, id: &str) -> bool {
        let mut list = self.list();
        let before = list.len();
        list.retain(|stream| stream.id != id);
        list.len() < before
    }
}

/// `POST /whep/{room}/{session}/sse`: makes an event stream.
pub(crate) async fn create(
    Found(resource): Found,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let make = || {
        let body = text(body)?;
        if !body.is_empty() {
            check_content_type(&headers, "application/json")?;
        }
        let stream = resource.streams.add(Wanted::parse(&body)?);
        let location = format!("{}/sse/{stream}", resource.path());
        Ok((StatusCode::CREATED, [(header::LOCATION, location)]).into_response())
    };
    std::future::ready(make()).await
}

/// The last part of a stream's address.
#[derive(Deserialize)]
pub(crate) struct StreamId {
    stream: String,
}

/// `GET /whep/{room}/{session}/sse/{stream}`: the events, from how things stand now on.
pub(crate) async fn read(
    AppState(app): AppState<Arc<App>>,
    Found(resource): Found,
    Path(id): Path<StreamId>,
) -> Result<Response, ApiError> {
    let reading = resource.streams.read(&id.stream).ok_or_else(no_stream)?;
    let feed = Feed::new(reading, &resource, app.course.watch());
    let sse = Sse::new(feed.into_stream()).keep_alive(KeepAlive::default());
    std::future::ready(Ok(sse.into_response())).await
}

/// `DELETE /whep/{room}/{session}/sse/{stream}`.
pub(crate) async fn delete(
    Found(resource): Found,
    Path(id): Path<StreamId>,
) -> Result<StatusCode, ApiError> {
    let removed = resource.streams.remove(&id.stream);
    std::future::ready(removed.then_some(StatusCode::OK).ok_or_else(no_stream)).await
}

fn no_stream() -> ApiError {
    ApiError::new(Code::NotFound, "There is no such event stream.")
}

/// Event streams of one session.
const MAX_STREAMS: usize = 4;
