//! A picture that is held up because the viewer's connection does not take what was sent before: whole frames wait in
//! the room's cache, sound goes on.

use std::time::{Duration, Instant};

use crate::framed::Backlog;
use crate::relay::{Burst, MediaPacket};
use crate::room::Room;
use crate::rtp::seq::SeqNo;
use crate::viewer::CatchUp;

/// Who was held up for longer is not shown what was missed: the picture goes on at a keyframe.
const MAX_HELD: Duration = Duration::from_millis(750);

/// What a viewer's connection leaves of its picture. By UDP nothing is ever held up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hold {
    backlog: Backlog,
    /// Since when it is; `None` while it is not.
    since: Option<Instant>,
    /// Whether what waits in the cache was held up for longer than [`MAX_HELD`].
    is_late: bool,
}

impl Hold {
    /// Takes how much waits for the connection; returns whether the picture is held up that was not.
    pub(super) fn tell(&mut self, now: Instant, backlog: Backlog) -> bool {
        let begins = self.backlog == Backlog::Low && backlog != Backlog::Low;
        if begins {
            self.since = Some(now);
        } else if backlog == Backlog::Low {
            let is_long = |since| now.saturating_duration_since(since) > MAX_HELD;
            self.is_late |= self.since.take().is_some_and(is_long);
        }
        self.backlog = backlog;
        begins
    }

    /// Returns whether a packet has to wait; `is_inside` tells whether its frame was begun before.
    pub(super) fn holds(self, is_inside: impl FnOnce() -> bool) -> bool {
        match self.backlog {
            Backlog::Low => false,
            Backlog::High => !is_inside(),
            Backlog::Full => true,
        }
    }

    /// Returns whether anything waits.
    pub(super) fn is_held(self) -> bool {
        self.backlog != Backlog::Low
    }

    /// Returns whether anything waits, or what did is still to be sent.
    pub(super) fn is_behind(self) -> bool {
        self.is_held() || self.is_late
    }

    /// Takes note that nothing waits in the cache.
    pub(super) fn forget_late(&mut self) {
        self.is_late = false;
    }

    /// Returns, once, whether a picture that goes on between two frames comes too late for that.
    pub(super) fn take_late(&mut self, step: &CatchUp) -> bool {
        if step.begins {
            self.is_late = false;
        }
        !step.is_inside && std::mem::take(&mut self.is_late)
    }
}

/// Returns whether the packet before is of the same frame.
pub(super) fn is_inside(room: &Room, burst: &Burst, packet: &MediaPacket) -> bool {
    let before = packet.seq.0.checked_sub(1).map(SeqNo);
    let cache = room.cache(burst.kind(), burst.layer);
    let before = before.zip(cache);
    let before = before.and_then(|(seq, cache)| cache.find(burst.source, seq));
    before.is_some_and(|(_, before)| before.timestamp == packet.timestamp)
}
