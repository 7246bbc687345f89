//! A join from the cache, or going over to another layer: the last keyframe and all since, paced, until the
//! viewer is live.

use std::time::{Duration, Instant};

use crate::relay::{Burst, MediaPacket, SourceId};
use crate::rtp::seq::SeqNo;
use crate::viewer::pacer::STEP;

/// From the finished handshake to the first packet, unless the viewer is prompt: what follows the last flight too closely,
/// Firefox sometimes drops before its SRTP is set up. libwebrtc sets that up in the turn that reads the flight.
const SETTLING: Duration = Duration::from_millis(15);
/// How long after a join a lost picture is answered from the cache again.
const EARLY: Duration = Duration::from_secs(3);
/// Times that a join is served from the cache.
const MAX_TIMES: u8 = 3;

/// Where a viewer is in the cache. While it is there, packets that arrive are not sent to it: it
/// reaches them in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CatchUp {
    /// The stream.
    pub(crate) source: SourceId,
    /// Which layer of the picture it is.
    pub(crate) layer: u8,
    /// The packet that is next.
    pub(crate) next: SeqNo,
    /// Whether none has been sent.
    pub(crate) begins: bool,
    /// Whether the frame of the next packet was begun before.
    pub(crate) is_inside: bool,
    /// Whether it began so far back that its frames carry the times at which they are sent.
    pub(crate) is_past: bool,
    /// When the next step is due.
    due: Instant,
}

/// Decides whether a viewer may be served from the cache.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Joins {
    /// When it was served first, or shown what is live; `None` before.
    first: Option<Instant>,
    /// How often it was.
    times: u8,
    /// Whether a keyframe had to be asked for instead.
    has_asked: bool,
    /// Whether the viewer drops nothing of what comes right behind the handshake.
    is_prompt: bool,
}

impl Joins {
    /// Returns where to start; `None` when the join is over or was served too often.
    pub(crate) fn begin(&mut self, now: Instant, start: Start) -> Option<CatchUp> {
        let first = *self.first.get_or_insert(now);
        if self.times >= MAX_TIMES || now.saturating_duration_since(first) > EARLY {
            return None;
        }
        self.times += 1;
        Some(CatchUp::new(start, now + self.settling()))
    }

    pub(super) fn be_prompt(&mut self) {
        self.is_prompt = true;
    }

    /// Returns how long the first packet waits.
    pub(super) fn settling(&self) -> Duration {
        if self.is_prompt {
            Duration::ZERO
        } else {
            SETTLING
        }
    }

    /// Notes that a viewer is shown what is live: it needs no join any more.
    pub(super) fn note_live(&mut self, now: Instant) {
        self.first.get_or_insert(now);
    }

    /// Notes that a keyframe has to be asked for instead; returns whether that is news.
    pub(super) fn note_asked(&mut self) -> bool {
        !std::mem::replace(&mut self.has_asked, true)
    }
}

/// A keyframe in the cache of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// The stream.
    pub(crate) source: SourceId,
    /// Which layer of the picture it is.
    pub(crate) layer: u8,
    /// Its first packet.
    pub(crate) keyframe: SeqNo,
}

impl CatchUp {
    /// Starts at a keyframe at a given time.
    pub(crate) fn new(start: Start, due: Instant) -> Self {
        Self {
            source: start.source,
            layer: start.layer,
            next: start.keyframe,
            begins: true,
            is_inside: false,
            is_past: false,
            due,
        }
    }

    /// Goes on in the cache at a packet of the source that is shown. `is_inside` tells whether its frame was begun before.
    pub(crate) fn behind(
        (burst, packet): (&Burst, &MediaPacket),
        is_inside: bool,
        due: Instant,
    ) -> Self {
        Self {
            source: burst.source,
            layer: burst.layer,
            next: packet.seq,
            begins: false,
            is_inside,
            is_past: false,
            due,
        }
    }

    /// Returns when the next step is due.
    pub(crate) fn poll_timeout(&self) -> Instant {
        self.due
    }

    /// Returns the state after this step, or `None` when no step is due.
    pub(crate) fn step(self, now: Instant) -> Option<Self> {
        (self.due <= now).then_some(Self {
            due: now + STEP,
            ..self
        })
    }
}
