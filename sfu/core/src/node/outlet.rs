//! What leaves for one viewer alone, besides the bursts: from the cache, again, and to probe its path.

use std::time::{Duration, Instant};

use crate::command::{Kind, Path};
use crate::node::Node;
use crate::node::counters::Counters;
use crate::node::peers::{PeerIndex, Role};
use crate::node::ready::Ready;
use crate::publisher::cache::Cache;
use crate::room::{self, Body, Room};
use crate::transport::Transport;
use crate::viewer::{Again, CatchUp, Past, Sendable, Start, Viewer};

/// Packets of one step of a catch-up, at the most: a late one makes up for several.
const MAX_STEP: usize = 64;
/// Packets of one step of probing, at the most.
const MAX_PADDING: u16 = 32;
/// A viewer that is further behind goes on at a later keyframe, if there is one.
const MAX_BEHIND: Duration = Duration::from_millis(750);

/// One viewer, and the way to it.
pub(super) struct Outlet<'a> {
    viewer: &'a mut Viewer,
    room: &'a Room,
    transport: &'a mut Transport,
    path: Path,
    ready: &'a mut Ready,
    counters: &'a mut Counters,
}

/// What a step of a catch-up has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stepped {
    /// Whether it sent the first of what the viewer gets.
    pub(super) is_shown: bool,
    /// The layer of which a keyframe is needed to go on; `None` while the cache has what comes next.
    pub(super) misses: Option<u8>,
}

impl Node {
    /// Returns the way to a viewer; `None` while there is none, or it is not to be used.
    pub(super) fn outlet(&mut self, now: Instant, index: PeerIndex) -> Option<Outlet<'_>> {
        let peer = self.peers.get_mut(index)?;
        let Role::Viewer(viewer) = &mut peer.role else {
            return None;
        };
        Some(Outlet {
            viewer,
            room: self.rooms.get(&peer.room)?,
            path: peer.transport.media_path(now)?,
            transport: &mut peer.transport,
            ready: &mut self.ready,
            counters: &mut self.counters,
        })
    }
}

impl Outlet<'_> {
    /// Sends a step from the cache.
    pub(super) fn send_step(&mut self, now: Instant, step: CatchUp) -> Stepped {
        let mut done = Stepped::default();
        let room = self.room;
        let Some(cache) = room.cache(Kind::Video, step.layer) else {
            return done;
        };
        let (from, is_shown) = (step.next, !step.begins);
        let is_framed = self.path.connection.is_some();
        let Some(mut step) = go_on(now, cache, (step, is_framed)) else {
            // It went out of the cache while the viewer waited.
            self.viewer.end_picture();
            done.misses = Some(step.layer);
            return done;
        };
        if is_shown {
            self.counters.skipped += step.next.0.saturating_sub(from.0);
        }
        if self.viewer.take_late(&step) {
            self.viewer.end_picture();
            done.misses = Some(step.layer);
            return done;
        }
        for _ in 0..MAX_STEP {
            if !cache.reaches(step.source, step.next) {
                self.viewer.end_catch_up();
                done.misses = step.begins.then_some(step.layer);
                return done;
            }
            // A hole is filled by a retransmission that comes later, or asked for by the viewer.
            let found = cache.find(step.source, step.next);
            let ends_frame = found.is_some_and(|(_, packet)| packet.marker);
            let found = found
                .filter(|(burst, packet)| step.begins || !self.viewer.leaves_out(burst, packet));
            if let Some(found) = found {
                if !self.viewer.has_room(now) || self.viewer.is_held(&step) {
                    break;
                }
                if step.begins {
                    step.is_past = cache.is_past(found.0);
                }
                let past = cache.newest().filter(|_| step.is_past);
                let past = past.map(|newest| Past { newest, now });
                let how = (step.begins, past);
                if let Some(sendable) = self.viewer.prepare_cached(room, found, how) {
                    let (burst, packet) = found;
                    (step.begins, step.is_inside) = (false, true);
                    if self.send(now, &sendable, Body::of(&sendable, burst, packet)) {
                        self.counters.rtp_sent += 1;
                        done.is_shown |= sendable.first;
                    }
                }
            }
            step.is_inside &= !ends_frame;
            step.next.0 += 1;
        }
        self.viewer.continue_catch_up(step);
        done
    }

    /// Sends packets again.
    pub(super) fn send_again(&mut self, now: Instant, asked: impl IntoIterator<Item = Again>) {
        for again in asked {
            let Some((burst, packet)) = room::find_again(self.room, &again) else {
                self.counters.resend_missing += 1;
                continue;
            };
            let Some(sendable) = self.viewer.prepare_again(now, &again, burst, packet) else {
                self.counters.resend_refused += 1;
                continue;
            };
            let is_sent = self.send(now, &sendable, Body::of(&sendable, burst, packet));
            self.counters.resent += u64::from(is_sent);
        }
    }

    /// Sends what had to wait for its turn: packets again, and those with which the path is probed.
    pub(super) fn send_paced(&mut self, now: Instant) {
        while let Some(again) = self.viewer.take_repair(now) {
            self.send_again(now, [again]);
        }
        for back in 0..MAX_PADDING {
            if !self.viewer.owes_padding(now) || !self.send_padding(now, back) {
                break;
            }
        }
    }

    /// Sends one of the last packets of the picture once more, `back` from the very last, or padding where there is
    /// none; returns whether it does.
    fn send_padding(&mut self, now: Instant, back: u16) -> bool {
        let again = self.viewer.recent(back);
        let found = again.and_then(|again| Some((again, room::find_again(self.room, &again)?)));
        let repeated = found.and_then(|(again, (burst, packet))| {
            let sendable = self.viewer.prepare_probe(&again, burst, packet)?;
            let body = Body::of(&sendable, burst, packet);
            Some((sendable, body))
        });
        let padded = || Some((self.viewer.prepare_padding()?, Body::default()));
        let Some((sendable, body)) = repeated.or_else(padded) else {
            return false;
        };
        let is_sent = self.send(now, &sendable, body);
        self.counters.probe_packets += u64::from(is_sent);
        is_sent
    }

    /// Seals a packet behind what is ready to leave; returns whether it goes.
    fn send(&mut self, now: Instant, sendable: &Sendable, body: Body<'_>) -> bool {
        if !self.ready.has_room() {
            self.counters.dropped_backlog += 1;
            return false;
        }
        let transport = &mut *self.transport;
        let seal = |out: &mut Vec<u8>| room::seal(sendable, body, transport, out);
        let sealed = self.ready.append(self.path, seal);
        if let Some(sealed) = sealed {
            self.viewer.note_sent(now, sendable, sealed);
        }
        sealed.is_some()
    }
}

/// Returns where a viewer goes on in the cache: where it is, or at a later keyframe when that is far back or gone; `None`
/// when it is gone and there is no such keyframe. Of what goes by a connection, where nothing is lost, no frame is left
/// half sent while its end is there.
fn go_on(now: Instant, cache: &Cache, (step, is_framed): (CatchUp, bool)) -> Option<CatchUp> {
    let is_gone = cache.has_forgotten(step.source, step.next);
    let next = cache.find(step.source, step.next);
    let is_far_back =
        next.is_some_and(|(burst, _)| now.saturating_duration_since(burst.arrived) > MAX_BEHIND);
    if !is_gone && (!is_far_back || is_framed && step.is_inside) {
        return Some(step);
    }
    let later = cache.joinable(now);
    let later = later.filter(|(source, keyframe)| *source == step.source && *keyframe > step.next);
    match later {
        Some((source, keyframe)) => {
            let start = Start {
                source,
                layer: step.layer,
                keyframe,
            };
            Some(CatchUp::new(start, step.poll_timeout()))
        }
        None => Some(step).filter(|_| !is_gone),
    }
}
