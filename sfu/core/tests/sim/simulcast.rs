//! A publisher of one picture in several layers, told apart by RID.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use klieg_sfu_core::rtp::packet::{Header, OutgoingHeader};
use klieg_sfu_core::rtp::rtcp::{self, Compound, Rtcp};

use super::peer::Peer;

/// Between two frames, and the same on the clock of video.
const FRAME: Duration = Duration::from_millis(33);
const FRAME_TICKS: u32 = 2970;
const REPORT: Duration = Duration::from_millis(500);
const PAYLOAD_LEN: usize = 700;
/// Where the marks of a payload begin, behind the descriptor and the header of a keyframe.
const MARKS: usize = 16;

/// Identifiers of the header extensions that it writes.
pub(crate) const MID: u8 = 4;
pub(crate) const RID: u8 = 5;
pub(crate) const REPAIRED_RID: u8 = 6;

/// A source of VP8 in layers.
pub(crate) struct Simulcasting {
    pub(crate) layers: Vec<SentLayer>,
    /// Whether it repairs on a stream of its own (RFC 4588) or by the same packets.
    pub(crate) has_rtx: bool,
    /// Whether retransmissions say which layer they repair.
    pub(crate) tells_repaired_rid: bool,
    /// Whether it sends sender reports.
    pub(crate) reports: bool,
    /// Packets of RIDs and streams that nobody knows, before the next frame.
    pub(crate) noise: u32,
    /// The number of the next frame.
    pub(crate) frame: u32,
    next_frame: Instant,
    next_report: Instant,
    seen: usize,
}

/// One layer.
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches of a test, told apart by name"
)]
pub(crate) struct SentLayer {
    pub(crate) rid: &'static str,
    /// Its stream; the next one is that of its retransmissions.
    pub(crate) ssrc: u32,
    pub(crate) size: (u16, u16),
    pub(crate) is_sending: bool,
    /// Whether its packets carry the RID.
    pub(crate) tells_rid: bool,
    /// When keyframes were asked for.
    pub(crate) requests: Vec<Instant>,
    pub(crate) wants_keyframe: bool,
    pub(crate) next_seq: u16,
    /// Packets of a frame, and how many times as many a keyframe has.
    pub(crate) packets: u8,
    pub(crate) keyframe_times: u8,
    pub(crate) has_size: bool,
    time_offset: u32,
    picture_id: u16,
    rtx_seq: u16,
    sent: BTreeMap<u16, Vec<u8>>,
}

impl SentLayer {
    /// Makes a layer; all its numbers begin elsewhere than those of others.
    pub(crate) fn new(rid: &'static str, ssrc: u32, size: (u16, u16)) -> Self {
        Self {
            rid,
            ssrc,
            size,
            is_sending: true,
            tells_rid: true,
            requests: Vec::new(),
            wants_keyframe: true,
            next_seq: (ssrc.wrapping_mul(7919) & 0xffff) as u16,
            packets: 1 + (size.0 / 400) as u8,
            keyframe_times: 3,
            has_size: true,
            time_offset: ssrc.wrapping_mul(0x9e37_79b9),
            picture_id: (ssrc.wrapping_mul(31) & 0x7fff) as u16,
            rtx_seq: 1,
            sent: BTreeMap::new(),
        }
    }

    /// Goes on as another stream with other numbers, as a restarted encoder does.
    pub(crate) fn restart(&mut self, ssrc: u32) {
        let requests = std::mem::take(&mut self.requests);
        *self = Self {
            requests,
            ..Self::new(self.rid, ssrc, self.size)
        };
    }
}

impl Simulcasting {
    pub(crate) fn new(now: Instant, layers: Vec<SentLayer>) -> Self {
        Self {
            layers,
            has_rtx: true,
            tells_repaired_rid: true,
            reports: true,
            noise: 0,
            frame: 0,
            next_frame: now,
            next_report: now,
            seen: 0,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.next_frame.min(self.next_report)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, peer: &mut Peer) {
        if self.next_report <= now {
            self.next_report = now + REPORT;
            self.send_reports(peer);
        }
        if self.next_frame <= now {
            self.next_frame = now + FRAME;
            self.send_noise(peer);
            for index in 0..self.layers.len() {
                self.send_frame(index, peer);
            }
            self.frame += 1;
        }
    }

    /// Acts on what the server asks for.
    pub(crate) fn take_feedback(&mut self, now: Instant, peer: &mut Peer) {
        while let Some(compound) = peer.rtcp.get(self.seen).cloned() {
            self.seen += 1;
            for item in Compound::read(&compound) {
                match item {
                    Rtcp::Pli { ssrc } | Rtcp::Fir { ssrc, .. } => {
                        let layers = self.layers.iter_mut();
                        for layer in layers.filter(|layer| layer.ssrc == ssrc) {
                            layer.requests.push(now);
                            layer.wants_keyframe = true;
                        }
                    }
                    Rtcp::Nack { ssrc, pairs } => self.repair(peer, ssrc, pairs),
                    Rtcp::SenderReport(_)
                    | Rtcp::Reception(_)
                    | Rtcp::Goodbye { .. }
                    | Rtcp::Transport(_)
                    | Rtcp::MaximumBitrate(_) => {}
                }
            }
        }
    }

    fn repair(&mut self, peer: &mut Peer, ssrc: u32, pairs: &[u8]) {
        let (has_rtx, tells) = (self.has_rtx, self.tells_repaired_rid);
        let Some(layer) = self.layers.iter_mut().find(|layer| layer.ssrc == ssrc) else {
            return;
        };
        for seq in rtcp::missing(pairs) {
            let Some(packet) = layer.sent.get(&seq) else {
                continue;
            };
            if !has_rtx {
                peer.send_rtp(packet);
                continue;
            }
            let header = Header::parse(packet).unwrap();
            let payload = [&seq.to_be_bytes(), &packet[header.payload.clone()]].concat();
            layer.rtx_seq = layer.rtx_seq.wrapping_add(1);
            let header = OutgoingHeader {
                marker: header.marker,
                payload_type: 97,
                sequence_number: layer.rtx_seq,
                timestamp: header.timestamp,
                ssrc: ssrc + 1,
            };
            let rid = tells.then_some((REPAIRED_RID, layer.rid));
            peer.send_rtp(&packet_of(header, rid, &payload));
        }
    }

    fn send_frame(&mut self, index: usize, peer: &mut Peer) {
        let frame = self.frame;
        let layer = &mut self.layers[index];
        if !layer.is_sending {
            return;
        }
        let is_keyframe = std::mem::take(&mut layer.wants_keyframe);
        let packets = layer.packets * if is_keyframe { layer.keyframe_times } else { 1 };
        for part in 0..packets {
            let payload = layer.payload(is_keyframe, (index, frame, part));
            let header = OutgoingHeader {
                marker: part + 1 == packets,
                payload_type: 96,
                sequence_number: layer.next_seq,
                timestamp: layer.time_at(frame),
                ssrc: layer.ssrc,
            };
            let rid = layer.tells_rid.then_some((RID, layer.rid));
            let packet = packet_of(header, rid, &payload);
            peer.send_rtp(&packet);
            layer.sent.insert(layer.next_seq, packet);
            layer.next_seq = layer.next_seq.wrapping_add(1);
        }
        layer.picture_id = (layer.picture_id + 1) & 0x7fff;
    }

    /// Sends what belongs to no layer: unknown RIDs on unknown streams, and unknown streams without one.
    fn send_noise(&mut self, peer: &mut Peer) {
        for number in 0..std::mem::take(&mut self.noise) {
            let header = OutgoingHeader {
                marker: true,
                payload_type: if number % 3 == 2 { 97 } else { 96 },
                sequence_number: number as u16,
                timestamp: 0,
                ssrc: 0x7000_0000 + number,
            };
            let name = format!("x{number}");
            let rid = (number % 2 == 0).then_some((RID, name.as_str()));
            peer.send_rtp(&packet_of(
                header,
                rid,
                &[0x90, 0xe0, 0x80, 1, 1, 0x20, 0, 0],
            ));
        }
    }

    fn send_reports(&self, peer: &mut Peer) {
        for layer in self.layers.iter().filter(|_| self.reports) {
            let elapsed_ms = u64::from(self.frame) * 33;
            let info = rtcp::SenderInfo {
                ssrc: layer.ssrc,
                ntp: (77 << 32) + (elapsed_ms << 32) / 1000,
                rtp_timestamp: layer.time_at(self.frame),
            };
            let mut compound = Vec::new();
            rtcp::write_sender_report(&mut compound, &info, 1, 1);
            peer.send_rtcp(&compound);
        }
    }
}

impl SentLayer {
    fn time_at(&self, frame: u32) -> u32 {
        self.time_offset
            .wrapping_add(frame.wrapping_mul(FRAME_TICKS))
    }

    /// A VP8 payload with all numbers, that says what it is and can be checked byte by byte.
    fn payload(&self, is_keyframe: bool, (layer, frame, part): (usize, u32, u8)) -> Vec<u8> {
        let [high, low] = self.picture_id.to_be_bytes();
        let first = if part == 0 { 0x90 } else { 0x80 };
        let mut payload = vec![first, 0xe0, 0x80 | high, low, low, 0x20];
        // RFC 6386, section 9.1: a frame that is shown.
        payload.extend_from_slice(&[u8::from(!is_keyframe) | 1 << 4, 0, 0]);
        if is_keyframe && part == 0 && self.has_size {
            payload.extend_from_slice(&[0x9d, 0x01, 0x2a]);
            payload.extend_from_slice(&self.size.0.to_le_bytes());
            payload.extend_from_slice(&self.size.1.to_le_bytes());
        }
        payload.resize(MARKS, 0);
        payload.push(layer as u8);
        payload.extend_from_slice(&frame.to_be_bytes());
        payload.push(part);
        payload.resize(PAYLOAD_LEN, layer as u8 ^ frame as u8 ^ part);
        payload
    }
}

/// Puts a packet together, with one-byte extension elements (RFC 8285).
fn packet_of(header: OutgoingHeader, rid: Option<(u8, &str)>, payload: &[u8]) -> Vec<u8> {
    let mut packet = header.to_bytes().to_vec();
    packet[0] |= 0x10;
    let mut elements = vec![MID << 4, b'1'];
    if let Some((id, rid)) = rid {
        elements.push(id << 4 | (rid.len() - 1) as u8);
        elements.extend_from_slice(rid.as_bytes());
    }
    elements.resize(elements.len().next_multiple_of(4), 0);
    packet.extend_from_slice(&[0xbe, 0xde, 0, (elements.len() / 4) as u8]);
    packet.extend_from_slice(&elements);
    packet.extend_from_slice(payload);
    packet
}

/// What a viewer has of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) picture_id: u16,
    pub(crate) tl0: u8,
    pub(crate) starts_keyframe: bool,
    pub(crate) layer: u8,
    pub(crate) frame: u32,
    pub(crate) part: u8,
}

impl Seen {
    /// Reads what arrived; nothing but the numbers of the picture may have changed.
    pub(crate) fn read(packet: &[u8]) -> Self {
        let header = Header::parse(packet).unwrap();
        Self::of(&header, &packet[header.payload.clone()])
    }

    /// Reads what arrived on the stream of retransmissions.
    pub(crate) fn read_repair(packet: &[u8]) -> Self {
        let header = Header::parse(packet).unwrap();
        Self::of(&header, &packet[header.payload.clone()][2..])
    }

    fn of(header: &Header, payload: &[u8]) -> Self {
        assert_eq!(payload.len(), PAYLOAD_LEN);
        let [layer, f0, f1, f2, f3, part] = *payload[MARKS..].first_chunk().unwrap();
        let frame = u32::from_be_bytes([f0, f1, f2, f3]);
        let fill = layer ^ frame as u8 ^ part;
        assert!(payload[MARKS + 6..].iter().all(|&byte| byte == fill));
        assert_eq!(payload[0], if part == 0 { 0x90 } else { 0x80 });
        assert_eq!(
            (payload[1], payload[2] & 0x80, payload[5]),
            (0xe0, 0x80, 0x20)
        );
        Self {
            timestamp: header.timestamp,
            marker: header.marker,
            picture_id: u16::from_be_bytes([payload[2] & 0x7f, payload[3]]),
            tl0: payload[4],
            starts_keyframe: part == 0 && payload[6] & 1 == 0,
            layer,
            frame,
            part,
        }
    }
}
