//! One reader of an event stream: compares how things stand with what it was told, and tells the difference.
//! Nothing queues up behind a slow reader: it is told what is true when it reads.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::Event;
use futures_util::Stream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::Phase;
use crate::room::{PictureLayers, Progress, RoomSummary};
use crate::store::RoomStatus;

use super::events::Wanted;
use super::layer;
use super::resources::Resource;

/// What one reader was told, and where the rest comes from.
pub(super) struct Feed {
    wanted: Wanted,
    room: watch::Receiver<RoomSummary>,
    session: watch::Receiver<Progress>,
    /// Changes when somebody else reads the stream, and closes when it was deleted.
    readers: watch::Receiver<u64>,
    phase: watch::Receiver<Phase>,
    /// The place of the picture's m-line; `None` where only sound was negotiated.
    picture_index: Option<usize>,
    told: Told,
    /// Not yet told; at most one of each kind.
    due: VecDeque<Event>,
}

/// How things stood when the reader was last told.
#[derive(Default)]
struct Told {
    active: bool,
    /// The count and when it was told; `None` before the first time.
    viewers: Option<(u64, Instant)>,
    layers: String,
    mismatch: Option<&'static str>,
    reconnect: bool,
}

impl Feed {
    pub(super) fn new(
        wanted: Wanted,
        resource: &Resource,
        readers: watch::Receiver<u64>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        Self {
            wanted,
            room: resource.room.watch(),
            session: resource.known_as.progress(),
            readers,
            phase,
            picture_index: resource.state().session.picture_index(),
            told: Told::default(),
            due: VecDeque::new(),
        }
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures_util::stream::unfold(self, |mut feed| async move {
            let event = feed.next().await?;
            Some((Ok(event), feed))
        })
    }

    /// Waits for something to tell; `None` when the stream ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.due.pop_front() {
                return Some(event);
            }
            let closed = self.session.borrow_and_update().closed;
            if closed || !matches!(self.readers.has_changed(), Ok(false)) {
                return None;
            }
            let wake = self.compare(Instant::now());
            if !self.due.is_empty() {
                continue;
            }
            let alive = tokio::select! {
                changed = self.room.changed() => changed.is_ok(),
                changed = self.session.changed() => changed.is_ok(),
                changed = self.phase.changed() => changed.is_ok(),
                _ = self.readers.changed() => false,
                () = tokio::time::sleep_until(wake) => true,
            };
            if !alive {
                return None;
            }
        }
    }

    /// Notes what is to be told; returns when to look again at the latest.
    fn compare(&mut self, now: Instant) -> Instant {
        let room = self.room.borrow_and_update().clone();
        let session = *self.session.borrow();
        let stopping = *self.phase.borrow_and_update() != Phase::Serving;
        let active = room.status == RoomStatus::Live;
        if active != self.told.active {
            self.told.active = active;
            self.tell(if active { "active" } else { "inactive" }, "{}".to_owned());
        }
        self.compare_layers(&room.layers);
        if session.mismatch != self.told.mismatch {
            self.told.mismatch = session.mismatch;
            if let Some(codec) = session.mismatch {
                self.tell("codecmismatch", format!(r#"{{"codec":"{codec}"}}"#));
            }
        }
        if stopping && !self.told.reconnect {
            self.told.reconnect = true;
            self.tell("reconnect", "{}".to_owned());
        }
        match self.told.viewers {
            Some((count, _)) if count == room.viewer_count => now + IDLE,
            Some((_, at)) if now < at + COUNT_EVERY => at + COUNT_EVERY,
            Some(_) | None => {
                self.told.viewers = Some((room.viewer_count, now));
                let count = room.viewer_count;
                self.tell("viewercount", format!(r#"{{"viewercount":{count}}}"#));
                now + IDLE
            }
        }
    }

    fn compare_layers(&mut self, layers: &PictureLayers) {
        let Some(index) = self.picture_index else {
            return;
        };
        let is_first = self.told.layers.is_empty();
        let data = layer::event_data(index, layers);
        // Whoever was told nothing yet need not hear that there is nothing.
        if data != self.told.layers && !(is_first && layers.seen().next().is_none()) {
            self.told.layers.clone_from(&data);
            self.tell("layers", data);
        }
    }

    fn tell(&mut self, name: &'static str, data: String) {
        if self.wanted.has(name) {
            self.due.push_back(Event::default().event(name).data(data));
        }
    }
}

/// One count of viewers a second at most.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Nothing is due for so long; changes wake the reader before.
const IDLE: Duration = Duration::from_secs(3600);
