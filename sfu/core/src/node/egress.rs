//! What leaves: single datagrams first, then the bursts, one viewer's run at a time.

use std::time::Instant;

use crate::command::{Event, Kind, Path};
use crate::node::Node;
use crate::node::peers::{PeerIndex, Role};
use crate::room::{AHEAD, FanOut};

/// Datagrams for one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// From where to where.
    pub path: Path,
    /// When there are several: bytes of each but the last, which may be shorter.
    pub segment_size: Option<usize>,
}

impl Node {
    /// Writes the next datagrams into `out`, which it clears; `None` when there are none.
    ///
    /// `out` is meant to be the same buffer each time, so that it stays in the processor's cache.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.close_bursts();
        self.leaving = None;
        out.clear();
        if let Some(transmit) = self.next_ready(out) {
            return Some(transmit);
        }
        while let Some(&index) = self.dirty.front() {
            if let Some(peer) = self.peers.get_mut(index) {
                if let Some(path) = peer.transport.poll_transmit(out) {
                    return Some(self.count_transmit(path, (1, out.len())));
                }
                peer.queued.is_dirty = false;
            }
            self.dirty.pop_front();
            // What is left may have to wait for an address to prove itself, by a check that is due now.
            self.set_timer(index);
        }
        while self.take_turn(now) {
            if let Some(transmit) = self.next_ready(out) {
                return Some(transmit);
            }
        }
        self.next_run(now, out)
    }

    /// Copies what is ready into `out`.
    fn next_ready(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        let run = self.ready.pop()?;
        out.extend_from_slice(&run.bytes);
        let segments = run.segments();
        let transmit = self.count_transmit(run.path, (segments, out.len()));
        self.ready.recycle(run.bytes);
        Some(Transmit {
            segment_size: (segments > 1).then_some(run.segment_size),
            ..transmit
        })
    }

    /// Returns when the oldest packet of what is on its way to viewers arrived; `None` when all has left.
    pub fn sending_since(&self) -> Option<Instant> {
        self.fan_out.front().and_then(FanOut::arrived)
    }

    /// Takes note that the kernel had no room for the last datagrams: if they were of a burst, whoever went without
    /// comes first when the room's next packets leave. What leaves for a viewer alone has its turn before them.
    pub fn handle_loss(&mut self) {
        if let Some((key, viewer)) = self.leaving.take()
            && let Some(room) = self.rooms.get_mut(&key)
        {
            room.note_loss(viewer);
        }
    }

    fn next_run(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        loop {
            if self.fan_out_seen == 0 {
                self.look_ahead(now);
            }
            let fan_out = self.fan_out.front_mut()?;
            let key = fan_out.room();
            let room = key.and_then(|key| self.rooms.get_mut(&key));
            let run = room
                .as_deref()
                .and_then(|room| fan_out.next_run(now, room, &mut self.peers, out));
            fan_out.swap_behind(&mut self.behind);
            if run.is_none()
                && let Some(room) = room
            {
                room.turn();
            }
            while let Some(index) = self.behind.pop() {
                self.set_timer(index);
            }
            if let Some(run) = run {
                self.leaving = key.map(|key| (key, run.viewer));
                self.counters.rtp_sent += run.segments as u64;
                self.counters.runs_sent += 1;
                self.counters.bytes_sent += out.len() as u64;
                if let Some(kind) = run.first {
                    self.note_shown(now, run.viewer, kind);
                }
                if run.begins {
                    self.note_layer(now, run.viewer);
                }
                let segment_size = (run.segments > 1).then_some(run.segment_size);
                return Some(Transmit {
                    path: run.path,
                    segment_size,
                });
            }
            self.fan_out.pop_front();
            self.fan_out_seen = self.fan_out_seen.saturating_sub(1);
        }
    }

    /// Touches what the next bursts will need, as [`FanOut::look_ahead`] does for the next viewers: in rooms
    /// of few viewers it is there that the processor would wait.
    fn look_ahead(&mut self, now: Instant) {
        for fan_out in self.fan_out.iter().take(AHEAD) {
            let room = fan_out.room().and_then(|key| self.rooms.get(&key));
            if let Some(room) = room {
                fan_out.look_ahead(now, room, &mut self.peers);
            }
            self.fan_out_seen += 1;
        }
    }

    /// Reports the first picture that a viewer is sent, or the first sound where there is no picture
    /// for it.
    pub(super) fn note_shown(&mut self, now: Instant, index: PeerIndex, kind: Kind) {
        let Some(peer) = self.peers.get_mut(index).filter(|peer| !peer.shown) else {
            return;
        };
        let room = self.rooms.get(&peer.room);
        let has_picture = room.is_some_and(|room| room.has(Kind::Video));
        let sees =
            matches!(&peer.role, Role::Viewer(viewer) if viewer.has(Kind::Video)) && has_picture;
        if kind == Kind::Video || !sees {
            peer.shown = true;
            let connected = peer.connected.unwrap_or(now);
            let took = now.saturating_duration_since(connected);
            self.events.push_back(Event::ViewerMedia {
                peer: peer.id,
                took,
            });
        }
    }

    fn count_transmit(&mut self, path: Path, (datagrams, bytes): (usize, usize)) -> Transmit {
        self.counters.datagrams_sent += datagrams as u64;
        self.counters.bytes_sent += bytes as u64;
        Transmit {
            path,
            segment_size: None,
        }
    }
}
