//! A publisher of one picture with spatial and temporal layers within its stream.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use klieg_sfu_core::command::{Codec, ExtensionIds, Format};
use klieg_sfu_core::rtp::ext::Extensions;
use klieg_sfu_core::rtp::packet::{Header, OutgoingHeader};
use klieg_sfu_core::rtp::rtcp::{self, Compound, Rtcp};

use super::peer::Peer;

/// Between two pictures, and the same on the clock of video.
const PICTURE: Duration = Duration::from_millis(33);
const PICTURE_TICKS: u32 = 2970;
/// Identifier of the dependency descriptor.
pub(crate) const DESCRIPTOR: u8 = 9;
/// What stands before the marks of a frame.
const MARK: [u8; 4] = [0xfa, 0xce, 0x0f, 0xf0];

/// A source of layers.
pub(crate) struct Layered {
    pub(crate) codec: Codec,
    /// Spatial and temporal layers.
    pub(crate) layers: (u8, u8),
    /// Whether a larger picture needs the smaller one of keyframes alone.
    pub(crate) is_keyed: bool,
    /// When keyframes were asked for.
    pub(crate) requests: Vec<Instant>,
    /// Every so many packets one is not sent at first; 0 for none.
    pub(crate) loses_every: u32,
    /// Packets of each frame of a spatial layer.
    pub(crate) packets: [u8; 3],
    ssrc: u32,
    picture: u32,
    /// The place of a picture behind the last keyframe.
    place: u32,
    tl0: u8,
    frame: u16,
    seq: u16,
    rtx_seq: u16,
    count: u32,
    wants_keyframe: bool,
    next: Instant,
    seen: usize,
    sent: BTreeMap<u16, Vec<u8>>,
}

/// One frame: a spatial layer of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    pub(crate) picture: u32,
    /// The last keyframe.
    pub(crate) key: u32,
    pub(crate) part: u8,
    /// Whether it is the last packet of its frame.
    pub(crate) is_end: bool,
}

impl Mark {
    /// Finds the marks in a packet.
    pub(crate) fn find(packet: &[u8]) -> Option<Self> {
        let at = packet.windows(MARK.len()).position(|it| it == MARK)? + MARK.len();
        let [spatial, temporal, p0, p1, p2, p3, k0, k1, k2, k3, part, end] =
            *packet.get(at..)?.first_chunk()?;
        Some(Self {
            spatial,
            temporal,
            picture: u32::from_be_bytes([p0, p1, p2, p3]),
            key: u32::from_be_bytes([k0, k1, k2, k3]),
            part,
            is_end: end == 1,
        })
    }
}

impl Layered {
    pub(crate) fn new(now: Instant, codec: Codec, layers: (u8, u8)) -> Self {
        Self {
            codec,
            layers,
            is_keyed: false,
            requests: Vec::new(),
            loses_every: 0,
            packets: [2, 3, 5],
            ssrc: 7000,
            picture: 0,
            place: 0,
            tl0: 250,
            frame: 65_500,
            seq: 65_000,
            rtx_seq: 1,
            count: 0,
            wants_keyframe: true,
            next: now,
            seen: 0,
            sent: BTreeMap::new(),
        }
    }

    pub(crate) fn format(&self) -> Format {
        Format {
            codec: self.codec,
            profile: 0,
            packetization_mode: 0,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.next
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, peer: &mut Peer) {
        if self.next > now {
            return;
        }
        self.next = now + PICTURE;
        if std::mem::take(&mut self.wants_keyframe) {
            self.place = 0;
        }
        let temporal = self.temporal();
        if temporal == 0 {
            self.tl0 = self.tl0.wrapping_add(1);
        }
        for spatial in 0..self.layers.0 {
            self.send_frame(peer, spatial, temporal);
            self.frame = self.frame.wrapping_add(1);
        }
        self.picture += 1;
        self.place += 1;
    }

    /// Acts on what the server asks for.
    pub(crate) fn take_feedback(&mut self, now: Instant, peer: &mut Peer) {
        while let Some(compound) = peer.rtcp.get(self.seen).cloned() {
            self.seen += 1;
            for item in Compound::read(&compound) {
                match item {
                    Rtcp::Pli { .. } | Rtcp::Fir { .. } => {
                        self.requests.push(now);
                        self.wants_keyframe = true;
                    }
                    Rtcp::Nack { pairs, .. } => self.repair(peer, pairs),
                    Rtcp::SenderReport(_)
                    | Rtcp::Reception(_)
                    | Rtcp::Goodbye { .. }
                    | Rtcp::Transport(_)
                    | Rtcp::MaximumBitrate(_) => {}
                }
            }
        }
    }

    /// The temporal layer of the picture: 0 2 1 2, 0 1, or 0.
    fn temporal(&self) -> u8 {
        match (self.layers.1, self.place % 4) {
            (3, 1 | 3) => 2,
            (3, 2) | (2, 1 | 3) => 1,
            _ => 0,
        }
    }

    fn send_frame(&mut self, peer: &mut Peer, spatial: u8, temporal: u8) {
        let packets = self.packets[usize::from(spatial)];
        for part in 0..packets {
            let (begins, ends) = (part == 0, part + 1 == packets);
            let mut payload = self.head((spatial, temporal), (begins, ends));
            payload.extend_from_slice(&MARK);
            payload.extend_from_slice(&[spatial, temporal]);
            payload.extend_from_slice(&self.picture.to_be_bytes());
            payload.extend_from_slice(&(self.picture - self.place).to_be_bytes());
            payload.extend_from_slice(&[part, u8::from(ends)]);
            payload.resize(600, 1);
            let header = OutgoingHeader {
                marker: ends && spatial + 1 == self.layers.0,
                payload_type: 96,
                sequence_number: self.seq,
                timestamp: self.picture.wrapping_mul(PICTURE_TICKS),
                ssrc: self.ssrc,
            };
            let mut packet = header.to_bytes().to_vec();
            self.describe(&mut packet, (spatial, temporal), (begins, ends));
            packet.extend_from_slice(&payload);
            self.count += 1;
            let is_lost = self.loses_every > 0 && self.count.is_multiple_of(self.loses_every);
            if !is_lost {
                peer.send_rtp(&packet);
            }
            self.sent.insert(self.seq, packet);
            self.seq = self.seq.wrapping_add(1);
        }
    }

    /// What the coding has before the picture.
    fn head(&self, (spatial, temporal): (u8, u8), (begins, ends): (bool, bool)) -> Vec<u8> {
        let is_key = self.place == 0;
        let [high, low] = ((self.picture & 0x7fff) as u16).to_be_bytes();
        match self.codec {
            Codec::Vp8 => {
                // Each frame of a higher layer needs the lowest one alone, but the second of the highest.
                let is_sync = temporal > 0 && self.place % 4 != 3;
                let layer = temporal << 6 | u8::from(is_sync) << 5;
                let mut head = vec![0x80 | u8::from(begins) << 4, 0xe0, 0x80 | high, low];
                head.extend_from_slice(&[self.tl0, layer, u8::from(!is_key), 0, 0]);
                if is_key && begins {
                    head.extend_from_slice(&[0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01]);
                }
                head
            }
            Codec::Vp9 => {
                let is_top = spatial + 1 == self.layers.0;
                let unused = is_top || (self.is_keyed && !is_key);
                let has_structure = is_key && begins && spatial == 0;
                let flags = [
                    (0x40, !is_key),
                    (0x08, begins),
                    (0x04, ends),
                    (0x02, has_structure),
                ];
                let flags = flags.iter().filter(|(_, on)| *on).map(|(flag, _)| flag);
                let first = flags.fold(0xa0 | u8::from(unused), |first, flag| first | flag);
                let layers = temporal << 5 | 0x10 | spatial << 1 | u8::from(spatial > 0);
                let mut head = vec![first, 0x80 | high, low, layers, self.tl0];
                if has_structure {
                    head.push((self.layers.0 - 1) << 5 | 0x10);
                    for spatial in 0..self.layers.0 {
                        let scale = 1 << (self.layers.0 - 1 - spatial);
                        head.extend_from_slice(&(1280_u16 / scale).to_be_bytes());
                        head.extend_from_slice(&(720_u16 / scale).to_be_bytes());
                    }
                }
                head
            }
            Codec::Av1 => vec![
                if is_key && begins && spatial == 0 {
                    0x18
                } else {
                    0x10
                },
                0x32,
            ],
            Codec::H264 => vec![if is_key { 0x65 } else { 0x41 }, 0x88],
            Codec::Opus => Vec::new(),
        }
    }

    /// Adds a dependency descriptor, where the coding needs one.
    fn describe(
        &self,
        packet: &mut Vec<u8>,
        (spatial, temporal): (u8, u8),
        (begins, ends): (bool, bool),
    ) {
        if !matches!(self.codec, Codec::Av1 | Codec::H264) {
            return;
        }
        let brings = self.place == 0 && begins && spatial == 0;
        let is_key = self.place == 0;
        let mut templates = self.templates().into_iter();
        let template = templates.position(|it| it == (spatial, temporal, is_key));
        let template = template.unwrap();
        let mut bits = format!(
            "{}{}{template:06b}{:016b}",
            u8::from(begins),
            u8::from(ends),
            self.frame
        );
        if brings {
            bits += "10000";
            bits += &self.structure();
        }
        let bits: Vec<u8> = bits.into_bytes();
        let byte = |bits: &[u8]| {
            (0..8).fold(0, |byte: u8, at| {
                byte << 1 | u8::from(bits.get(at) == Some(&b'1'))
            })
        };
        let descriptor: Vec<u8> = bits.chunks(8).map(byte).collect();
        let mut elements = vec![DESCRIPTOR, descriptor.len() as u8];
        elements.extend_from_slice(&descriptor);
        elements.resize(elements.len().next_multiple_of(4), 0);
        packet[0] |= 0x10;
        packet.extend_from_slice(&[0x10, 0, 0, (elements.len() / 4) as u8]);
        packet.extend_from_slice(&elements);
    }

    /// The templates: spatial and temporal layer, and whether it is for keyframes.
    fn templates(&self) -> Vec<(u8, u8, bool)> {
        let mut templates = Vec::new();
        for spatial in 0..self.layers.0 {
            templates.push((spatial, 0, true));
            templates.extend((0..self.layers.1).map(|temporal| (spatial, temporal, false)));
        }
        templates
    }

    /// A decode target for each layer, no chains, no sizes.
    fn structure(&self) -> String {
        let (spatial, temporal) = self.layers;
        let targets = || (0..spatial).flat_map(|it| (0..temporal).map(move |other| (it, other)));
        let mut bits = format!("000000{:05b}", spatial * temporal - 1);
        let templates = self.templates();
        for pair in templates.windows(2) {
            let [before, next] = [pair[0], pair[1]];
            bits += match (before.0 == next.0, before.1 == next.1) {
                (true, true) => "00",
                (true, false) => "01",
                (false, _) => "10",
            };
        }
        bits += "11";
        for (own, rate, is_key) in &templates {
            for (target, target_rate) in targets() {
                let is_below = target < *own || target_rate < *rate;
                let is_unused = self.is_keyed && !is_key && target > *own;
                bits += match (is_below || is_unused, *is_key || target == *own) {
                    (true, _) => "00",
                    (false, true) => "10",
                    (false, false) => "11",
                };
            }
        }
        bits += &"0".repeat(templates.len());
        let range = u32::from(spatial * temporal) + 1;
        let width = u32::BITS - range.leading_zeros();
        bits + &"0".repeat(width as usize)
    }

    fn repair(&mut self, peer: &mut Peer, pairs: &[u8]) {
        for seq in rtcp::missing(pairs) {
            let Some(packet) = self.sent.get(&seq) else {
                continue;
            };
            let parsed = Header::parse(packet).unwrap();
            self.rtx_seq = self.rtx_seq.wrapping_add(1);
            let header = OutgoingHeader {
                marker: parsed.marker,
                payload_type: 97,
                sequence_number: self.rtx_seq,
                timestamp: parsed.timestamp,
                ssrc: self.ssrc + 1,
            };
            let mut again = header.to_bytes().to_vec();
            again[0] |= packet[0] & 0x10;
            again.extend_from_slice(&packet[12..parsed.payload.start]);
            again.extend_from_slice(&seq.to_be_bytes());
            again.extend_from_slice(&packet[parsed.payload]);
            peer.send_rtp(&again);
        }
    }
}

/// Returns the dependency descriptor of a packet that a viewer got.
pub(crate) fn descriptor(packet: &[u8]) -> Option<&[u8]> {
    let ids = ExtensionIds {
        descriptor: Some(DESCRIPTOR),
        ..ExtensionIds::default()
    };
    Extensions::read(packet, &Header::parse(packet).ok()?, &ids).descriptor
}
