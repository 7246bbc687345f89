//! A burst on its way to every viewer of a room, one run of datagrams at a time.

use std::sync::Arc;
use std::time::Instant;

use crate::command::Path;
use crate::node::peers::{PeerIndex, Peers};
use crate::relay::Burst;
use crate::room::Room;
use crate::rtp::packet::FIXED_HEADER_LEN;
use crate::transport::{TAG_ROOM, Transport};
use crate::viewer::Sendable;

/// Segments of one run handed to the kernel: what Chromium and Firefox took in one go without a loss.
pub const MAX_RUN: usize = 16;

/// One burst on its way to every viewer: a cursor, moved on by one run at a time, so that each run is
/// sealed just before it is sent.
#[derive(Debug)]
pub(crate) struct FanOut {
    /// What is sent.
    pub(crate) burst: Arc<Burst>,
    /// The viewer that is next.
    viewer: usize,
    /// The packet that is next for it.
    packet: usize,
}

/// One run of datagrams of equal size to one viewer; the last may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// From where to where.
    pub(crate) path: Path,
    /// Bytes of each datagram but the last.
    pub(crate) segment_size: usize,
    /// Datagrams.
    pub(crate) segments: usize,
    /// The viewer.
    pub(crate) viewer: PeerIndex,
    /// Whether it holds the first packet of its kind for this viewer.
    pub(crate) first: bool,
    /// Whether the viewer goes over to another source with it.
    pub(crate) begins: bool,
}

impl FanOut {
    /// Starts at the first viewer.
    pub(crate) fn new(burst: Arc<Burst>) -> Self {
        Self {
            burst,
            viewer: 0,
            packet: 0,
        }
    }

    /// Seals the next run into `out`, which it clears; `None` when every viewer has the burst.
    pub(crate) fn next_run(
        &mut self,
        now: Instant,
        room: &Room,
        peers: &mut Peers,
        out: &mut Vec<u8>,
    ) -> Option<Run> {
        while let Some(&viewer) = room.viewers.get(self.viewer) {
            out.clear();
            let run = self.seal_run(now, (room, viewer), peers, out);
            if run.is_none() || self.packet >= self.burst.packets.len() {
                self.viewer += 1;
                self.packet = 0;
            }
            if run.is_some() {
                return run;
            }
        }
        None
    }

    /// Seals packets for one viewer while their sizes allow one run.
    fn seal_run(
        &mut self,
        now: Instant,
        (room, index): (&Room, PeerIndex),
        peers: &mut Peers,
        out: &mut Vec<u8>,
    ) -> Option<Run> {
        let (transport, viewer) = peers.viewer(index)?;
        if !viewer.takes(&self.burst) {
            return None;
        }
        let path = transport.media_path(now)?;
        let mut run: Option<Run> = None;
        let mut payload_len = 0;
        while let Some(packet) = self.burst.packets.get(self.packet) {
            let len = packet.payload.len();
            let is_tail = len < payload_len;
            if run.is_some_and(|run| run.segments >= MAX_RUN || len > payload_len) {
                break;
            }
            self.packet += 1;
            let Some(sendable) = viewer.prepare(room, &self.burst, packet) else {
                continue;
            };
            let Some(sealed) = seal(&sendable, self.burst.payload(packet), transport, out) else {
                continue;
            };
            let run = run.get_or_insert_with(|| {
                payload_len = len;
                Run {
                    path,
                    segment_size: sealed,
                    segments: 0,
                    viewer: index,
                    first: false,
                    begins: false,
                }
            });
            run.segments += 1;
            run.first |= sendable.first;
            run.begins |= sendable.begins;
            if is_tail {
                break;
            }
        }
        run
    }
}

/// Appends a packet, sealed; returns its length on the wire.
pub(crate) fn seal(
    sendable: &Sendable,
    payload: &[u8],
    transport: &mut Transport,
    out: &mut Vec<u8>,
) -> Option<usize> {
    let start = out.len();
    out.extend_from_slice(&sendable.header.to_bytes());
    out.extend(sendable.original.into_iter().flat_map(u16::to_be_bytes));
    let payload_at = out.len();
    out.extend_from_slice(payload);
    if let Some((picture, shift)) = sendable.picture {
        shift.apply(&picture, out.get_mut(payload_at..).unwrap_or_default());
    }
    let plaintext_len = out.len() - start;
    out.resize(out.len() + TAG_ROOM, 0);
    let sealed = out.get_mut(start..).and_then(|packet| {
        transport.seal_rtp(packet, FIXED_HEADER_LEN, plaintext_len, sendable.roll_over)
    });
    out.truncate(start + sealed.unwrap_or(0));
    sealed
}
