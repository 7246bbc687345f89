//! What clients do: a publisher that repairs and restarts on request, a viewer that asks for what it misses.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use klieg_sfu_core::codec;
use klieg_sfu_core::command::{Codec, ExtensionIds};
use klieg_sfu_core::rtp::ext::Extensions as Elements;
use klieg_sfu_core::rtp::packet::{Header, OutgoingHeader};
use klieg_sfu_core::rtp::rtcp::{self, Compound, Rtcp};
use klieg_sfu_core::rtp::seq::SeqExtender;

use super::feedback::Feedback;
use super::peer::Peer;
use super::simulcast::Seen;
use super::stage::{CAPTURE_TIME, Received, TRANSPORT_CC};

/// Between two frames of video, and of sound.
const VIDEO_FRAME: Duration = Duration::from_millis(33);
const AUDIO_FRAME: Duration = Duration::from_millis(20);
/// Packets of a keyframe and of another frame.
const KEYFRAME_PACKETS: u8 = 12;
const FRAME_PACKETS: u8 = 4;
const PAYLOAD_LEN: usize = 1000;
/// Between two looks of a viewer at what it misses.
const LOOK: Duration = Duration::from_millis(50);
/// How long a viewer waits for a packet before it asks again.
const PATIENCE: Duration = Duration::from_millis(150);
/// How long a viewer stands still before it asks for a keyframe.
const STALL: Duration = Duration::from_millis(700);

/// How a publisher writes header extensions (RFC 8285).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extensions {
    /// Not at all.
    None,
    /// A transport-wide number, identifier 3, one-byte form.
    OneByte,
    /// MID and a transport-wide number, identifiers 20 and 21, two-byte form.
    TwoByte,
}

/// How a publisher sends sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sound {
    /// As Opus.
    Plain,
    /// Each packet with the block before it (RFC 2198), but the first.
    Redundant,
    /// With block headers that say more than there is.
    Malformed,
}

/// A source of VP8 and Opus.
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches of a test, told apart by name"
)]
pub(crate) struct Publishing {
    /// Its video SSRC; the next ones are its retransmissions and its sound.
    pub(crate) ssrc: u32,
    /// When keyframes were asked for.
    pub(crate) requests: Vec<Instant>,
    /// Whether it sends.
    pub(crate) is_sending: bool,
    /// Whether a packet without payload goes before each frame, as padding does that probes the path.
    pub(crate) is_probing: bool,
    /// The wire number of the first packet and the first frame's time may be chosen before it sends.
    pub(crate) next_seq: u16,
    pub(crate) timestamp: u32,
    /// How it writes header extensions.
    pub(crate) extensions: Extensions,
    /// Whether it repairs on a stream of its own (RFC 4588) or by the same packets.
    pub(crate) has_rtx: bool,
    /// Whether it sends sound.
    pub(crate) has_audio: bool,
    /// How it sends sound from the second packet on.
    pub(crate) sound: Sound,
    /// The sound that it sent: header and payload.
    pub(crate) sounds: Vec<(OutgoingHeader, Vec<u8>)>,
    /// Whether it sends a picture.
    pub(crate) has_video: bool,
    /// Whether it sends the keyframes that it is asked for.
    pub(crate) is_answering: bool,
    /// Packets to be left out before the next frame, every other one of twice as many.
    pub(crate) gaps: u16,
    /// Packets of the picture that are lost next, until they are asked for again.
    pub(crate) losses: u16,
    /// Between two sender reports.
    pub(crate) report_interval: Duration,
    /// What its clock said at a moment, as NTP time; `None` for one that stands still.
    pub(crate) wall: Option<(Instant, u64)>,
    /// How long before it is sent each thirtieth frame says that it was captured; `None`: none says so.
    pub(crate) captured_before: Option<Duration>,
    /// What its clock said when each frame was captured.
    pub(crate) captured: Vec<u64>,
    /// What the next packet says of when it was captured.
    captured_next: Option<u64>,
    frame: u32,
    /// Whether the next frame is a keyframe; the first one is.
    pub(crate) wants_keyframe: bool,
    next_video: Instant,
    next_audio: Instant,
    next_report: Instant,
    audio_seq: u16,
    rtx_seq: u16,
    transport_seq: u16,
    sent: BTreeMap<u16, Vec<u8>>,
    seen: usize,
}

impl Publishing {
    pub(crate) fn new(now: Instant, ssrc: u32) -> Self {
        Self {
            ssrc,
            requests: Vec::new(),
            is_sending: true,
            is_probing: false,
            next_seq: 65_000,
            timestamp: 0xffff_0000,
            extensions: Extensions::OneByte,
            has_rtx: true,
            has_audio: true,
            sound: Sound::Plain,
            sounds: Vec::new(),
            has_video: true,
            is_answering: true,
            gaps: 0,
            losses: 0,
            report_interval: Duration::from_millis(500),
            wall: None,
            captured_before: None,
            captured: Vec::new(),
            captured_next: None,
            frame: 0,
            wants_keyframe: true,
            next_video: now,
            next_audio: now,
            next_report: now,
            audio_seq: 1,
            rtx_seq: 1,
            transport_seq: 65_500,
            sent: BTreeMap::new(),
            seen: 0,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.is_sending
            .then(|| self.next_video.min(self.next_audio).min(self.next_report))
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, peer: &mut Peer) {
        if !self.is_sending {
            return;
        }
        if self.next_audio <= now {
            self.next_audio = now + AUDIO_FRAME;
            if self.has_audio {
                self.send_sound(peer);
            }
        }
        if self.next_video <= now {
            self.next_video = now + VIDEO_FRAME;
            if self.has_video {
                self.capture(now);
                self.send_frame(peer);
            }
        }
        if self.next_report <= now {
            self.next_report = now + self.report_interval;
            self.send_report(now, peer);
        }
    }

    /// Acts on what the server asks for.
    pub(crate) fn take_feedback(&mut self, now: Instant, peer: &mut Peer) {
        while let Some(compound) = peer.rtcp.get(self.seen).cloned() {
            self.seen += 1;
            for item in Compound::read(&compound) {
                match item {
                    Rtcp::Pli { .. } | Rtcp::Fir { .. } => {
                        self.requests.push(now);
                        self.wants_keyframe |= self.is_answering;
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

    fn send_sound(&mut self, peer: &mut Peer) {
        self.audio_seq = self.audio_seq.wrapping_add(1);
        let timestamp = u32::from(self.audio_seq) * 960;
        let own = sound_payload(self.audio_seq);
        let (payload_type, payload) = match self.sound {
            Sound::Redundant if self.audio_seq > 2 => {
                let earlier = sound_payload(self.audio_seq - 1);
                let [_, rest @ ..] = (960 << 10 | earlier.len() as u32).to_be_bytes();
                (63, [&[0xef], &rest[..], &[111], &earlier, &own].concat())
            }
            Sound::Malformed => (63, vec![0xef, 0, 0, 200, 111]),
            Sound::Plain | Sound::Redundant => (111, own),
        };
        let numbers = (payload_type, self.audio_seq, self.ssrc + 2, timestamp);
        let marker = self.audio_seq.is_multiple_of(10);
        let packet = self.send(peer, numbers, &payload, marker);
        let header = Header::parse(&packet).unwrap();
        let header = OutgoingHeader {
            marker,
            payload_type,
            sequence_number: header.sequence_number,
            timestamp,
            ssrc: header.ssrc,
        };
        self.sounds.push((header, payload));
    }

    fn repair(&mut self, peer: &mut Peer, pairs: &[u8]) {
        for seq in rtcp::missing(pairs) {
            let Some(packet) = self.sent.get(&seq).cloned() else {
                continue;
            };
            if !self.has_rtx {
                peer.send_rtp(&packet);
                continue;
            }
            let header = Header::parse(&packet).unwrap();
            self.rtx_seq = self.rtx_seq.wrapping_add(1);
            let payload = [&seq.to_be_bytes(), &packet[header.payload.clone()]].concat();
            let numbers = (97, self.rtx_seq, self.ssrc + 1, header.timestamp);
            self.send(peer, numbers, &payload, header.marker);
        }
    }

    fn capture(&mut self, now: Instant) {
        let before = self.captured_before;
        let captured = self.clock(now - before.unwrap_or_default());
        self.captured.push(captured);
        let says = before.is_some() && self.frame.is_multiple_of(30);
        self.captured_next = says.then_some(captured);
    }

    /// Returns what its clock says.
    fn clock(&self, now: Instant) -> u64 {
        let units =
            |span: Duration| u64::try_from((span.as_nanos() << 32) / 1_000_000_000).unwrap();
        self.wall
            .map_or(77 << 32, |(at, ntp)| match now.checked_duration_since(at) {
                Some(passed) => ntp + units(passed),
                None => ntp - units(at - now),
            })
    }

    fn send_frame(&mut self, peer: &mut Peer) {
        let is_keyframe = std::mem::take(&mut self.wants_keyframe);
        let packets = if is_keyframe {
            KEYFRAME_PACKETS
        } else {
            FRAME_PACKETS
        };
        for _ in 0..std::mem::take(&mut self.gaps) {
            self.next_seq = self.next_seq.wrapping_add(1);
            self.send_video(peer, &video_payload(false, self.frame, 1), false);
        }
        if self.is_probing {
            self.send_video(peer, &[], false);
        }
        for index in 0..packets {
            let payload = video_payload(is_keyframe, self.frame, index);
            self.send_video(peer, &payload, index + 1 == packets);
        }
        self.frame += 1;
        self.timestamp = self.timestamp.wrapping_add(3000);
    }

    fn send_video(&mut self, peer: &mut Peer, payload: &[u8], marker: bool) {
        let numbers = (96, self.next_seq, self.ssrc, self.timestamp);
        let packet = self.send(peer, numbers, payload, marker);
        self.sent.insert(self.next_seq, packet);
        self.next_seq = self.next_seq.wrapping_add(1);
    }

    fn send_report(&self, now: Instant, peer: &mut Peer) {
        let audio_time = u32::from(self.audio_seq) * 960;
        for (ssrc, rtp_timestamp) in [(self.ssrc, self.timestamp), (self.ssrc + 2, audio_time)] {
            let mut compound = Vec::new();
            let info = rtcp::SenderInfo {
                ssrc,
                ntp: self.clock(now),
                rtp_timestamp,
            };
            rtcp::write_sender_report(&mut compound, &info, 1, 1);
            peer.send_rtcp(&compound);
        }
    }

    /// Sends a packet with a transport-wide number.
    fn send(
        &mut self,
        peer: &mut Peer,
        (payload_type, sequence_number, ssrc, timestamp): (u8, u16, u32, u32),
        payload: &[u8],
        marker: bool,
    ) -> Vec<u8> {
        let header = OutgoingHeader {
            marker,
            payload_type,
            sequence_number,
            timestamp,
            ssrc,
        };
        let mut packet = header.to_bytes().to_vec();
        let [high, low] = self.transport_seq.to_be_bytes();
        self.transport_seq = self.transport_seq.wrapping_add(1);
        let mid = if matches!(payload_type, 63 | 111) {
            b'0'
        } else {
            b'1'
        };
        match self.extensions {
            Extensions::None => {}
            Extensions::OneByte => {
                packet[0] |= 0x10;
                let mut block = vec![0x31, high, low];
                if let Some(ntp) = self.captured_next.take() {
                    block.push(CAPTURE_TIME << 4 | 7);
                    block.extend_from_slice(&ntp.to_be_bytes());
                }
                block.resize(block.len().next_multiple_of(4), 0);
                packet.extend_from_slice(&[0xbe, 0xde, 0, (block.len() / 4) as u8]);
                packet.extend_from_slice(&block);
            }
            Extensions::TwoByte => {
                packet[0] |= 0x10;
                packet.extend_from_slice(&[0x10, 0, 0, 2, 20, 1, mid, 21, 2, high, low, 0]);
            }
        }
        packet.extend_from_slice(payload);
        if payload_type == 96 && self.losses > 0 {
            self.losses -= 1;
        } else {
            peer.send_rtp(&packet);
        }
        packet
    }
}

/// A block of sound that says which it is, in blocks of several lengths.
pub(crate) fn sound_payload(seq: u16) -> Vec<u8> {
    let [_, number] = seq.to_be_bytes();
    vec![number; 80 + usize::from(seq % 7)]
}

/// A VP8 payload that says which frame and packet it is and can be checked byte by byte.
fn video_payload(is_keyframe: bool, frame: u32, index: u8) -> Vec<u8> {
    let descriptor = if index == 0 { 0x10 } else { 0x00 };
    let mut payload = vec![descriptor, u8::from(!is_keyframe)];
    payload.extend_from_slice(&frame.to_be_bytes());
    payload.push(index);
    payload.resize(PAYLOAD_LEN, frame.to_le_bytes()[0] ^ index);
    payload
}

/// A player that counts what it could decode.
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches of a test, told apart by name"
)]
pub(crate) struct Watching {
    /// Frames decoded without a gap since a keyframe.
    pub(crate) frames: u32,
    /// When the first one was.
    pub(crate) first_frame: Option<Instant>,
    /// When the last one was.
    pub(crate) last_frame: Option<Instant>,
    /// Packets of sound.
    pub(crate) audio: u32,
    /// The sound, in the order of arrival: header and payload.
    pub(crate) sounds: Vec<(Header, Vec<u8>)>,
    /// Video packets, by extended number.
    pub(crate) received: Received,
    /// When each frame was.
    pub(crate) shown: Vec<Instant>,
    /// Bytes that came, and when.
    pub(crate) bytes: Vec<(Instant, usize)>,
    /// When sound came.
    pub(crate) heard: Vec<Instant>,
    /// Whether a whole keyframe is shown before what is missing ahead of it, as browsers do.
    pub(crate) skips_to_keyframes: bool,
    /// Packets of padding that came.
    pub(crate) padding: u32,
    /// Whether it reports what arrives, where packets have transport-wide numbers.
    pub(crate) reports_transport: bool,
    /// The transport-wide numbers that came, in the order of arrival.
    pub(crate) numbers: Vec<u16>,
    transport: Feedback,
    /// Retransmissions that came.
    pub(crate) repaired: u32,
    /// Sender reports that came: NTP and RTP time.
    pub(crate) reports: Vec<(u64, u32)>,
    /// Sender reports of the sound that came.
    pub(crate) audio_reports: u32,
    /// Whether it asks for what it misses.
    pub(crate) asks: bool,
    /// What it plays where that is not what the publishers of these tests send: then no byte is looked at.
    pub(crate) codec: Option<Codec>,
    /// Whether its feedback begins with a report and a name, as without RTCP of reduced size.
    pub(crate) sends_whole_compounds: bool,
    seqs: SeqExtender,
    /// The next packet to decode; `None` before the first keyframe.
    next: Option<u64>,
    /// Whether it goes on at another keyframe rather than wait for what it misses.
    wants_keyframe: bool,
    asked: BTreeMap<u64, Instant>,
    asked_keyframe: Instant,
    next_look: Instant,
    seen: (usize, usize),
}

impl Watching {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            frames: 0,
            first_frame: None,
            last_frame: None,
            audio: 0,
            sounds: Vec::new(),
            received: BTreeMap::new(),
            shown: Vec::new(),
            bytes: Vec::new(),
            heard: Vec::new(),
            skips_to_keyframes: false,
            padding: 0,
            reports_transport: true,
            numbers: Vec::new(),
            transport: Feedback::default(),
            repaired: 0,
            reports: Vec::new(),
            audio_reports: 0,
            asks: true,
            codec: None,
            sends_whole_compounds: false,
            seqs: SeqExtender::default(),
            next: None,
            wants_keyframe: false,
            asked: BTreeMap::new(),
            asked_keyframe: now,
            next_look: now + LOOK,
            seen: (0, 0),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        Some(self.next_look)
    }

    /// Asks for what is missing.
    pub(crate) fn handle_timeout(&mut self, now: Instant, peer: &mut Peer) {
        if self.next_look > now {
            return;
        }
        self.next_look = now + LOOK;
        if let Some(message) = self.transport.take().filter(|_| self.reports_transport) {
            peer.send_rtcp(&message);
        }
        if !self.asks {
            return;
        }
        let mut compound = Vec::new();
        if self.sends_whole_compounds {
            rtcp::write_receiver_report(&mut compound, 1, &[]);
            rtcp::write_source_description(&mut compound, 1, "viewer");
        }
        let missing = self.missing(now);
        rtcp::write_nack(&mut compound, 1, 2002, &missing);
        let stalled = self.last_frame.is_none_or(|last| now - last > STALL);
        if stalled && now - self.asked_keyframe > STALL && !self.received.is_empty() {
            self.asked_keyframe = now;
            self.wants_keyframe = true;
            rtcp::write_pli(&mut compound, 1, 2002);
        }
        if !compound.is_empty() {
            peer.send_rtcp(&compound);
        }
    }

    pub(crate) fn take_media(&mut self, now: Instant, peer: &mut Peer) {
        for packet in &peer.rtp[self.seen.0..] {
            self.seen.0 += 1;
            let header = Header::parse(packet).unwrap();
            let extensions = extensions(packet, &header);
            if let Some(number) = extensions.transport_sequence {
                self.transport.note(now, number);
                self.numbers.push(number);
            }
            self.bytes.push((now, packet.len()));
            match header.ssrc {
                2001 => {
                    self.audio += 1;
                    let payload = packet[header.payload.clone()].to_vec();
                    self.sounds.push((header, payload));
                    self.heard.push(now);
                }
                2002 => {
                    let seq = self.seqs.extend(header.sequence_number);
                    self.received.insert(seq.0, packet.clone());
                }
                2003 => self.take_retransmission(packet, &header),
                other => panic!("a stream that was not announced: {other}"),
            }
        }
        for compound in &peer.rtcp[self.seen.1..] {
            self.seen.1 += 1;
            for item in Compound::read(compound) {
                match item {
                    Rtcp::SenderReport(info) if info.ssrc == 2002 => {
                        self.reports.push((info.ntp, info.rtp_timestamp));
                    }
                    Rtcp::SenderReport(_) => self.audio_reports += 1,
                    Rtcp::Reception(_)
                    | Rtcp::Nack { .. }
                    | Rtcp::Pli { .. }
                    | Rtcp::Fir { .. }
                    | Rtcp::Goodbye { .. }
                    | Rtcp::Transport(_)
                    | Rtcp::MaximumBitrate(_) => {}
                }
            }
        }
        self.decode(now);
    }

    fn take_retransmission(&mut self, packet: &[u8], header: &Header) {
        if header.payload.is_empty() {
            self.padding += 1;
            return;
        }
        self.repaired += 1;
        let (original, payload) = packet[header.payload.clone()]
            .split_first_chunk::<2>()
            .unwrap();
        let seq = self.seqs.peek(u16::from_be_bytes(*original));
        let header = OutgoingHeader {
            marker: header.marker,
            payload_type: 96,
            sequence_number: seq.wire(),
            timestamp: header.timestamp,
            ssrc: 2002,
        };
        self.received
            .entry(seq.0)
            .or_insert_with(|| [&header.to_bytes(), payload].concat());
    }

    fn missing(&mut self, now: Instant) -> Vec<u16> {
        let (Some(&first), Some(highest)) = (
            self.next.as_ref().or_else(|| self.received.keys().next()),
            self.seqs.highest(),
        ) else {
            return Vec::new();
        };
        let mut missing = Vec::new();
        for seq in first..highest.0 {
            let asked = self.asked.get(&seq).is_some_and(|at| now - *at < PATIENCE);
            if !self.received.contains_key(&seq) && !asked && missing.len() < 100 {
                self.asked.insert(seq, now);
                missing.push(seq as u16);
            }
        }
        missing
    }

    /// Returns the first keyframe behind a number of which all packets came.
    fn whole_keyframe(&self, next: u64) -> Option<u64> {
        let mut starts = self
            .received
            .range(next..)
            .filter(|(_, packet)| self.is_keyframe_start(packet));
        let is_whole = |start: u64| {
            let mut packets = (start..).map_while(|seq| self.received.get(&seq));
            packets.any(|packet| Header::parse(packet).unwrap().marker)
        };
        starts.find_map(|(start, _)| is_whole(*start).then_some(*start))
    }

    fn is_keyframe_start(&self, packet: &[u8]) -> bool {
        let payload = || &packet[Header::parse(packet).unwrap().payload];
        match self.codec {
            None => is_keyframe_start(packet),
            Some(codec) => codec::starts_keyframe(codec, payload()),
        }
    }

    /// Counts the frames that are whole, in order, from a keyframe on.
    fn decode(&mut self, now: Instant) {
        if self.skips_to_keyframes
            && let Some(next) = self.next
            && !self.received.contains_key(&next)
        {
            self.next = self.whole_keyframe(next).or(self.next);
        }
        if self.next.is_none() || self.wants_keyframe {
            let mut starts = self
                .received
                .range(self.next.unwrap_or(0)..)
                .filter(|(_, packet)| self.is_keyframe_start(packet));
            // What was decoded is not decoded again.
            let newest = starts.next_back().map(|(seq, _)| *seq);
            if newest > self.next {
                self.next = newest;
                self.wants_keyframe = false;
            }
        }
        while let Some(packet) = self.next.and_then(|next| self.received.get(&next)) {
            if self.codec.is_none() {
                check_payload(packet);
            }
            if Header::parse(packet).unwrap().marker {
                self.frames += 1;
                self.first_frame.get_or_insert(now);
                self.last_frame = Some(now);
                self.shown.push(now);
            }
            self.next = self.next.map(|next| next + 1);
        }
    }
}

fn extensions<'a>(packet: &'a [u8], header: &Header) -> Elements<'a> {
    let ids = ExtensionIds {
        transport_cc: Some(TRANSPORT_CC),
        ..ExtensionIds::default()
    };
    Elements::read(packet, header, &ids)
}

/// Finds an element in a block of the one-byte form (RFC 8285, section 4.2).
pub(crate) fn element(packet: &[u8], id: u8) -> Option<&[u8]> {
    let (profile, range) = Header::parse(packet).unwrap().extension?;
    assert_eq!(profile, 0xbede);
    let mut rest = &packet[range];
    while let [first, behind @ ..] = rest {
        if *first == 0 {
            rest = behind;
            continue;
        }
        let (value, next) = behind.split_at(usize::from(first & 0x0f) + 1);
        if first >> 4 == id {
            return Some(value);
        }
        rest = next;
    }
    None
}

fn is_keyframe_start(packet: &[u8]) -> bool {
    let payload = &packet[Header::parse(packet).unwrap().payload];
    let is_layered = payload.starts_with(&[0x90]) && payload[6] & 1 == 0;
    payload.starts_with(&[0x10, 0x00]) || is_layered
}

fn check_payload(packet: &[u8]) {
    let payload = &packet[Header::parse(packet).unwrap().payload];
    if payload.is_empty() {
        return;
    }
    if payload[0] & 0x80 != 0 {
        Seen::read(packet);
        return;
    }
    let (frame, index) = (payload[5], payload[6]);
    assert_eq!(payload.len(), PAYLOAD_LEN);
    assert!(
        payload[7..].iter().all(|&byte| byte == frame ^ index),
        "a packet was changed"
    );
}
