//! One reader of an event stream: compares how things stand with what it was told, and tells the difference.
//! Nothing queues up behind a slow reader: it is told what is true when it reads.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::Event;
use futures_util::Stream;
use klieg_sfu::Format;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::drain::Phase;
use crate::room::{Progress, RoomSummary, VideoLayers};
use crate::store::RoomStatus;
use crate::ws::protocol::codec_name;

use super::events::Reading;
use super::layer;
use super::resources::Resource;

/// What one reader was told, and where the rest comes from.
pub(super) struct Feed {
    reading: Reading,
    room: watch::Receiver<RoomSummary>,
    session: watch::Receiver<Progress>,
    phase: watch::Receiver<Phase>,
    /// The place of the video's m-line; `None` where only sound was negotiated.
    video_index: Option<usize>,
    told: Told,
    /// Not yet told; at most one of each kind.
    due: VecDeque<Event>,
}

/// How things stood when the reader was last told.
struct Told {
    /// `None` while it is not known what the client believes.
    active: Option<bool>,
    /// The count and when it was told; `None` before the first time.
    viewers: Option<(u64, Instant)>,
    /// `None` as for `active`.
    layers: Option<VideoLayers>,
    mismatch: Option<Format>,
    reconnect: bool,
}

impl Told {
    /// Starts with what a client believes. Whoever was told nothing yet need not hear that there is nothing; but a
    /// reader that lost its connection may have been told anything before, by the reader that it was.
    fn before(is_first: bool) -> Self {
        Self {
            active: is_first.then_some(false),
            viewers: None,
            layers: is_first.then(VideoLayers::default),
            mismatch: None,
            reconnect: false,
        }
    }
}

impl Feed {
    pub(super) fn new(
        reading: Reading,
        resource: &Resource,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        Self {
            told: Told::before(reading.is_first()),
            reading,
            room: resource.room.watch(),
            session: resource.known_as.progress(),
            phase,
            video_index: resource.state().session.video_index(),
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
            let stopped = *self.phase.borrow() == Phase::Closing;
            if closed || stopped || !matches!(self.reading.readers.has_changed(), Ok(false)) {
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
                _ = self.reading.readers.changed() => false,
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
        if self.told.active != Some(active) {
            self.told.active = Some(active);
            self.tell(if active { "active" } else { "inactive" }, "{}".to_owned());
        }
        self.compare_layers(&room.layers);
        if session.mismatch != self.told.mismatch {
            self.told.mismatch = session.mismatch;
            if let Some(sent) = session.mismatch {
                let codec = codec_name(sent.codec);
                self.tell("codecmismatch", format!(r#"{{"codec":"{codec}"}}"#));
            }
        }
        if stopping && !self.told.reconnect {
            self.tell("reconnect", "{}".to_owned());
        }
        self.told.reconnect = stopping;
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

    fn compare_layers(&mut self, layers: &VideoLayers) {
        let Some(index) = self.video_index else {
            return;
        };
        let told = self.told.layers.as_ref();
        if told.is_none_or(|told| !told.seen().eq(layers.seen())) {
            self.told.layers = Some(layers.clone());
            self.tell("layers", layer::event_data(index, layers));
        }
    }

    fn tell(&mut self, name: &'static str, data: String) {
        if self.reading.wanted.has(name) {
            self.due.push_back(Event::default().event(name).data(data));
        }
    }
}

/// One count of viewers a second at most.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Nothing is due for so long; changes wake the reader before.
const IDLE: Duration = Duration::from_secs(3600);
