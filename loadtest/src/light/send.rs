//! A light publisher: synthetic frames on the wire as an encoder or a browser would put them.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::link::Link;
use super::pace::{Pacer, Pacing};
use super::rtcp::{self, Part};
use super::rtp::Header;
use super::sdp::{MID_ID, OPUS, REPAIRED_RID_ID, RID_ID, RIDS, RTX, Streams, TRANSPORT_CC_ID, VP8};
use crate::stamp::{STAMP_LEN, stamp};
use crate::vp8;

/// What to publish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Of the video, or of its largest layer.
    pub(crate) bits_per_second: u64,
    pub(crate) frames_per_second: u32,
    pub(crate) pacing: Pacing,
    pub(crate) keyframe_interval: Duration,
}

/// What a publisher did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sent {
    /// Video packets of all layers, each once.
    pub(crate) packets: u64,
    /// Audio packets.
    pub(crate) audio_packets: u64,
    /// Video frames of the largest layer.
    pub(crate) frames: u64,
    /// Those of them that were keyframes.
    pub(crate) keyframes: u64,
    /// Requests for keyframes that came.
    pub(crate) keyframe_requests: u64,
    /// Packets sent again because the server asked.
    pub(crate) resent: u64,
}

/// All streams of one publisher.
pub(crate) struct Sender {
    plan: Plan,
    layers: Vec<Layer>,
    audio: Option<Stream>,
    pacer: Pacer,
    /// Video that waits for the pacer.
    queue: VecDeque<Waiting>,
    /// The transport-wide number.
    number: u16,
    /// When the first frame left; `None` before the connection.
    began: Option<Instant>,
    next_frame_at: Instant,
    next_audio_at: Instant,
    next_report_at: Instant,
    next_keyframe_at: Instant,
    sent: Sent,
}

struct Stream {
    ssrc: u32,
    seq: u16,
    timestamp: u32,
    packets: u32,
    bytes: u32,
}

struct Layer {
    stream: Stream,
    rtx: Stream,
    /// `None` without simulcast.
    rid: Option<&'static str>,
    /// Width and height are `1 << shift` times less than the whole.
    shift: u8,
    wants_keyframe: bool,
    /// The last packets, to be sent again; at most [`KEPT`].
    kept: VecDeque<(Header, Vec<u8>)>,
}

struct Waiting {
    layer: usize,
    timestamp: u32,
    marker: bool,
    /// When its frame was due.
    frame: Instant,
    payload: Vec<u8>,
}

impl Sender {
    /// Prepares to send these streams.
    pub(crate) fn new(plan: Plan, streams: &Streams, now: Instant) -> Self {
        let count = streams.video.len();
        let layers = streams
            .video
            .iter()
            .enumerate()
            .map(|(index, &(ssrc, rtx))| Layer {
                stream: Stream::new(ssrc),
                rtx: Stream::new(rtx),
                rid: (count > 1).then(|| RIDS[index % RIDS.len()]),
                shift: u8::try_from(count - 1 - index).unwrap_or(0),
                wants_keyframe: true,
                kept: VecDeque::new(),
            });
        let layers: Vec<_> = layers.collect();
        // A quarter of the rate for half the width and height.
        let whole: u64 = layers
            .iter()
            .map(|layer| plan.bits_per_second >> (2 * layer.shift))
            .sum();
        Self {
            plan,
            layers,
            audio: streams.audio.map(Stream::new),
            pacer: Pacer::new(plan.pacing, whole),
            queue: VecDeque::new(),
            number: 0,
            began: None,
            next_frame_at: now,
            next_audio_at: now,
            next_report_at: now,
            next_keyframe_at: now,
            sent: Sent::default(),
        }
    }

    /// Returns what was sent so far.
    pub(crate) fn sent(&self) -> Sent {
        self.sent
    }

    /// Takes RTCP in the clear.
    pub(crate) fn handle_rtcp(&mut self, link: &mut Link, compound: &[u8], out: &mut Vec<Vec<u8>>) {
        for part in rtcp::parse(compound) {
            match part {
                Part::Keyframe { ssrc } => {
                    self.sent.keyframe_requests += 1;
                    let asked = self.layers.iter_mut();
                    for layer in asked.filter(|layer| layer.stream.ssrc == ssrc) {
                        layer.wants_keyframe = true;
                    }
                }
                Part::Nack { ssrc, seqs } => self.resend(link, ssrc, &seqs, out),
                Part::SenderReport { .. } => {}
            }
        }
    }

    /// Sends what is due.
    pub(crate) fn handle_timeout(&mut self, link: &mut Link, now: Instant, out: &mut Vec<Vec<u8>>) {
        if link.keys.is_none() || link.over.is_some() {
            return;
        }
        if self.began.is_none() {
            self.began = Some(now);
            self.next_frame_at = now;
            self.next_audio_at = now;
            self.next_keyframe_at = now + self.plan.keyframe_interval;
        }
        // Sound never waits behind pictures.
        while self.audio.is_some() && now >= self.next_audio_at {
            self.next_audio_at += AUDIO_STEP;
            self.send_audio(link, out);
        }
        while now >= self.next_frame_at {
            let due = self.next_frame_at;
            self.next_frame_at += Duration::from_secs(1) / self.plan.frames_per_second;
            self.queue_frames(due, now);
        }
        self.pacer.handle_timeout(now);
        while let Some(waiting) = self.queue.front() {
            if !self.pacer.take(waiting.payload.len()) {
                break;
            }
            if let Some(waiting) = self.queue.pop_front() {
                self.send_video(link, waiting, out);
            }
        }
        if now >= self.next_report_at {
            self.next_report_at = now + BETWEEN_REPORTS;
            self.report(link, now, out);
        }
    }

    /// Queues one frame of each layer.
    fn queue_frames(&mut self, due: Instant, now: Instant) {
        let regular = now >= self.next_keyframe_at;
        if regular {
            self.next_keyframe_at = now + self.plan.keyframe_interval;
        }
        let step = VIDEO_CLOCK / self.plan.frames_per_second;
        let fps = u64::from(self.plan.frames_per_second);
        let top = self.layers.len() - 1;
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let keyframe = std::mem::take(&mut layer.wants_keyframe) || regular;
            let rate = self.plan.bits_per_second >> (2 * layer.shift);
            let size = usize::try_from(rate / 8 / fps).unwrap_or(0);
            let size = if keyframe {
                size * KEYFRAME_FACTOR
            } else {
                size
            };
            let frame = vp8::frame(keyframe, size, layer.shift);
            let picture_id = u16::try_from(self.sent.frames & 0x7fff).unwrap_or(0);
            let payloads = vp8::payloads(&frame, picture_id);
            let last = payloads.len() - 1;
            for (place, payload) in payloads.enumerate() {
                self.queue.push_back(Waiting {
                    layer: index,
                    timestamp: layer.stream.timestamp,
                    marker: place == last,
                    frame: due,
                    payload,
                });
            }
            layer.stream.timestamp = layer.stream.timestamp.wrapping_add(step);
            if index == top {
                self.sent.frames += 1;
                self.sent.keyframes += u64::from(keyframe);
            }
        }
    }

    fn send_video(&mut self, link: &mut Link, waiting: Waiting, out: &mut Vec<Vec<u8>>) {
        let Waiting {
            layer,
            timestamp,
            marker,
            frame,
            mut payload,
        } = waiting;
        if marker && payload.len() > STAMP_LEN {
            stamp(&mut payload, frame, Instant::now());
        }
        let layer = &mut self.layers[layer];
        let header = layer.stream.header(VP8, timestamp, marker, payload.len());
        let number = next(&mut self.number);
        seal(
            link,
            &header,
            (number, b"1", layer.rid, RID_ID),
            &payload,
            out,
        );
        self.sent.packets += 1;
        layer.kept.push_back((header, payload));
        if layer.kept.len() > KEPT {
            layer.kept.pop_front();
        }
    }

    fn send_audio(&mut self, link: &mut Link, out: &mut Vec<Vec<u8>>) {
        let Some(audio) = &mut self.audio else { return };
        let timestamp = audio.timestamp;
        audio.timestamp = timestamp.wrapping_add(960);
        let header = audio.header(OPUS, timestamp, false, OPUS_SILENCE.len());
        let number = next(&mut self.number);
        seal(link, &header, (number, b"0", None, 0), &OPUS_SILENCE, out);
        self.sent.audio_packets += 1;
    }

    /// RFC 4588, section 4.
    fn resend(&mut self, link: &mut Link, ssrc: u32, seqs: &[u16], out: &mut Vec<Vec<u8>>) {
        let layer = self
            .layers
            .iter_mut()
            .find(|layer| layer.stream.ssrc == ssrc);
        let Some(layer) = layer else { return };
        for &seq in seqs {
            let Some((header, payload)) = layer.kept.iter().find(|(kept, _)| kept.seq == seq)
            else {
                continue;
            };
            let body = [&seq.to_be_bytes()[..], payload].concat();
            let (timestamp, marker) = (header.timestamp, header.marker);
            let header = layer.rtx.header(RTX, timestamp, marker, body.len());
            let number = next(&mut self.number);
            seal(
                link,
                &header,
                (number, b"1", layer.rid, REPAIRED_RID_ID),
                &body,
                out,
            );
            self.sent.resent += 1;
        }
    }

    fn report(&mut self, link: &mut Link, now: Instant, out: &mut Vec<Vec<u8>>) {
        let since_frame = now.saturating_duration_since(self.next_frame_at);
        let ahead = self.next_frame_at.saturating_duration_since(now);
        for stream in self
            .layers
            .iter()
            .map(|layer| &layer.stream)
            .chain(&self.audio)
        {
            let mut compound = Vec::new();
            let timestamp = if Some(stream.ssrc) == self.audio.as_ref().map(|audio| audio.ssrc) {
                stream.timestamp
            } else {
                let ticks = (ahead.as_micros() * 9 / 100).saturating_sub(since_frame.as_micros());
                stream
                    .timestamp
                    .wrapping_sub(u32::try_from(ticks).unwrap_or(0))
            };
            let sent = (stream.packets, stream.bytes);
            rtcp::write_sender_report(&mut compound, stream.ssrc, ntp_now(), timestamp, sent);
            rtcp::write_name(&mut compound, stream.ssrc);
            link.send_rtcp(&compound, out);
        }
    }
}

impl Stream {
    fn new(ssrc: u32) -> Self {
        Self {
            ssrc,
            seq: rand::random::<u16>() >> 1,
            timestamp: rand::random(),
            packets: 0,
            bytes: 0,
        }
    }

    fn header(&mut self, payload_type: u8, timestamp: u32, marker: bool, bytes: usize) -> Header {
        self.packets = self.packets.wrapping_add(1);
        let bytes = u32::try_from(bytes).unwrap_or(0);
        self.bytes = self.bytes.wrapping_add(bytes);
        Header {
            marker,
            payload_type,
            seq: next(&mut self.seq),
            timestamp,
            ssrc: self.ssrc,
            has_padding: false,
            len: 0,
        }
    }
}

/// Writes, seals and queues one packet; the extensions are the transport-wide number, the mid, and the RID under the identifier given.
fn seal(
    link: &mut Link,
    header: &Header,
    (number, mid, rid, rid_id): (u16, &[u8], Option<&str>, u8),
    payload: &[u8],
    out: &mut Vec<Vec<u8>>,
) {
    let number = number.to_be_bytes();
    let mut extensions: Vec<(u8, &[u8])> = vec![(TRANSPORT_CC_ID, &number), (MID_ID, mid)];
    extensions.extend(rid.map(|rid| (rid_id, rid.as_bytes())));
    let mut packet = Vec::with_capacity(payload.len() + 40);
    header.write(&extensions, &mut packet);
    packet.extend_from_slice(payload);
    out.extend(link.keys.as_mut().and_then(|keys| keys.seal_rtp(&packet)));
}

fn next(number: &mut u16) -> u16 {
    let this = *number;
    *number = this.wrapping_add(1);
    this
}

/// The wall clock as NTP writes it.
fn ntp_now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    (since.as_secs() + 2_208_988_800) << 32 | fraction
}

const VIDEO_CLOCK: u32 = 90_000;
const AUDIO_STEP: Duration = Duration::from_millis(20);
const BETWEEN_REPORTS: Duration = Duration::from_secs(1);
/// A keyframe is so many times as large as another frame.
const KEYFRAME_FACTOR: usize = 4;
/// Two seconds at 4 Mb/s.
const KEPT: usize = 1024;

/// 20 ms of silence, padded to the size of music at 32 kb/s (RFC 6716, section 3.2.5).
const OPUS_SILENCE: [u8; 80] = {
    let mut packet = [0; 80];
    // Code 3; one frame with padding; so much padding; the frame.
    packet[0] = 0xff;
    packet[1] = 0x41;
    packet[2] = 75;
    packet[3] = 0xff;
    packet[4] = 0xfe;
    packet
};
