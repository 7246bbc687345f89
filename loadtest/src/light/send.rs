//! A light publisher: synthetic frames on the wire as an encoder or a browser would put them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::accepted::{Accepted, Extensions};
use super::link::Link;
use super::pace::{Pacer, Pacing};
use super::rtcp::{self, Block, Part};
use super::rtp::Header;
use super::sdp::{OPUS, RIDS, RTX, VP8};
use super::sent::Sent;
use super::stream::{Again, History, Stream, ntp_now};
use super::tally::Tally;
use crate::opus::SILENCE;
use crate::stamp::{self, STAMP_LEN, Stamp};
use crate::vp8;

/// What to publish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Of the video, or of its largest layer.
    pub(crate) bits_per_second: u64,
    pub(crate) frames_per_second: u32,
    pub(crate) pacing: Pacing,
    pub(crate) keyframe_interval: Duration,
    /// This share of what should leave is thrown away.
    pub(crate) loss: f64,
}

/// All streams of one publisher.
pub(crate) struct Sender {
    plan: Plan,
    layers: Vec<Layer>,
    audio: Option<Stream>,
    /// By the last receiver report about it.
    audio_reported_lost: u32,
    audio_extensions: Extensions,
    video_extensions: Extensions,
    has_rtx: bool,
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

struct Layer {
    stream: Stream,
    rtx: Stream,
    /// `None` without simulcast.
    rid: Option<&'static str>,
    /// Width and height are `1 << shift` times less than the whole.
    shift: u8,
    wants_keyframe: bool,
    history: History,
    /// Packets so far.
    count: u64,
    /// By the last receiver report.
    reported_lost: u32,
}

struct Waiting {
    layer: usize,
    timestamp: u32,
    marker: bool,
    /// When its frame was due.
    frame: Instant,
    payload: Vec<u8>,
}

/// Which stream a packet belongs to, as its extensions have it.
#[derive(Clone, Copy)]
enum Kind {
    Audio,
    Video(Option<&'static str>),
    Repair(Option<&'static str>),
}

impl Sender {
    /// Prepares to send these streams.
    pub(crate) fn new(plan: Plan, accepted: &Accepted, now: Instant) -> Self {
        let video = &accepted.streams.video;
        let count = video.len();
        let layers = video.iter().enumerate().map(|(index, &(ssrc, rtx))| Layer {
            stream: Stream::new(ssrc),
            rtx: Stream::new(rtx),
            rid: (count > 1).then(|| RIDS[index % RIDS.len()]),
            shift: u8::try_from(count - 1 - index).unwrap_or(0),
            wants_keyframe: true,
            history: History::default(),
            count: 0,
            reported_lost: 0,
        });
        let layers: Vec<_> = layers.collect();
        // A quarter of the rate for half the width and height.
        let rates = layers
            .iter()
            .map(|layer| plan.bits_per_second >> (2 * layer.shift));
        let whole = rates.sum();
        Self {
            plan,
            layers,
            audio: accepted.streams.audio.map(Stream::new),
            audio_reported_lost: 0,
            audio_extensions: accepted.audio.clone(),
            video_extensions: accepted.video.clone(),
            has_rtx: accepted.has_rtx,
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
        let lost = self.layers.iter().map(|layer| layer.reported_lost);
        let lost = lost.chain([self.audio_reported_lost]);
        Sent {
            reported_lost: lost.map(u64::from).sum(),
            ..self.sent
        }
    }

    /// Takes RTCP in the clear.
    pub(crate) fn handle_rtcp(
        &mut self,
        link: &mut Link,
        compound: &[u8],
        now: Instant,
        out: &mut Vec<Vec<u8>>,
    ) {
        for part in rtcp::parse(compound) {
            match part {
                Part::Keyframe { ssrc } => {
                    self.sent.keyframe_requests += 1;
                    let asked = self.layers.iter_mut();
                    for layer in asked.filter(|layer| layer.stream.ssrc == ssrc) {
                        layer.wants_keyframe = true;
                    }
                }
                Part::Nack { ssrc, seqs } => {
                    self.sent.asked_again += seqs.len() as u64;
                    for seq in seqs {
                        self.resend(link, (ssrc, seq), now, out);
                    }
                }
                Part::Report(block) => self.handle_report(&block),
                Part::TransportFeedback { packets, lost } => {
                    self.sent.feedback_packets += u64::from(packets);
                    self.sent.feedback_lost += u64::from(lost);
                }
                Part::SenderReport { .. } => {}
            }
        }
    }

    /// Sends what is due.
    pub(crate) fn handle_timeout(
        &mut self,
        link: &mut Link,
        now: Instant,
        out: &mut Vec<Vec<u8>>,
        tally: &mut Tally,
    ) {
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
        let late = self.pacer.handle_timeout(now);
        // A step without anything to send is late for nobody.
        if let Some(late) = late.filter(|_| !self.queue.is_empty()) {
            tally.sends.add(late);
        }
        while now >= self.next_frame_at {
            let due = self.next_frame_at;
            tally.sends.add(now - due);
            self.next_frame_at += Duration::from_secs(1) / self.plan.frames_per_second;
            self.queue_frames(due, now);
        }
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
        let step = VIDEO_CLOCK_HZ / self.plan.frames_per_second;
        let fps = u64::from(self.plan.frames_per_second);
        let top = self.layers.len() - 1;
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let keyframe = std::mem::take(&mut layer.wants_keyframe) || regular;
            let rate = self.plan.bits_per_second >> (2 * layer.shift);
            let size = usize::try_from(rate / 8 / fps).unwrap_or(0);
            let factor = if keyframe { KEYFRAME_FACTOR } else { 1 };
            let frame = vp8::frame(keyframe, size * factor, layer.shift);
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
        let mut payload = waiting.payload;
        let layer = &mut self.layers[waiting.layer];
        layer.count += 1;
        if waiting.marker && payload.len() > STAMP_LEN {
            let stamp = Stamp {
                frame_sent_at: waiting.frame,
                packet_sent_at: Instant::now(),
                stream: layer.stream.ssrc,
                count: layer.count,
            };
            stamp::write(&mut payload, &stamp);
        }
        let (timestamp, marker) = (waiting.timestamp, waiting.marker);
        let header = layer.stream.header(VP8, timestamp, marker, payload.len());
        let rid = layer.rid;
        self.send(link, (&header, &payload), Kind::Video(rid), out);
        self.sent.packets += 1;
        self.layers[waiting.layer].history.keep(header, payload);
    }

    fn send_audio(&mut self, link: &mut Link, out: &mut Vec<Vec<u8>>) {
        let Some(audio) = &mut self.audio else { return };
        let timestamp = audio.timestamp;
        audio.timestamp = timestamp.wrapping_add(960);
        let header = audio.header(OPUS, timestamp, false, SILENCE.len());
        self.send(link, (&header, &SILENCE), Kind::Audio, out);
        self.sent.audio_packets += 1;
    }

    /// RFC 4588, section 4.
    fn resend(
        &mut self,
        link: &mut Link,
        (ssrc, seq): (u32, u16),
        now: Instant,
        out: &mut Vec<Vec<u8>>,
    ) {
        let mut layers = self.layers.iter_mut();
        let layer = layers.find(|layer| layer.stream.ssrc == ssrc);
        let Some(layer) = layer.filter(|_| self.has_rtx) else {
            return;
        };
        let round_trip = link.round_trip.max(MIN_RESEND);
        let Again::Send(header, payload) = layer.history.again(seq, round_trip, now) else {
            return;
        };
        let body = [&seq.to_be_bytes()[..], payload].concat();
        let (timestamp, marker) = (header.timestamp, header.marker);
        let header = layer.rtx.header(RTX, timestamp, marker, body.len());
        let rid = layer.rid;
        self.send(link, (&header, &body), Kind::Repair(rid), out);
        self.sent.resent += 1;
    }

    /// Writes, seals and queues one packet.
    fn send(
        &mut self,
        link: &mut Link,
        (header, payload): (&Header, &[u8]),
        kind: Kind,
        out: &mut Vec<Vec<u8>>,
    ) {
        let (ids, rid) = match kind {
            Kind::Audio => (&self.audio_extensions, None),
            Kind::Video(rid) => (&self.video_extensions, self.video_extensions.rid.zip(rid)),
            Kind::Repair(rid) => (
                &self.video_extensions,
                self.video_extensions.repaired_rid.zip(rid),
            ),
        };
        let mut extensions: Vec<(u8, &[u8])> = Vec::new();
        let number = self.number.to_be_bytes();
        if let Some(id) = ids.transport_cc {
            extensions.push((id, &number));
            self.number = self.number.wrapping_add(1);
        }
        extensions.extend(ids.mid.map(|id| (id, ids.mid_text.as_bytes())));
        extensions.extend(rid.map(|(id, rid)| (id, rid.as_bytes())));
        let mut packet = Vec::with_capacity(payload.len() + 40);
        header.write(&extensions, &mut packet);
        packet.extend_from_slice(payload);
        if self.plan.loss > 0.0 && rand::random_bool(self.plan.loss) {
            self.sent.dropped += 1;
            self.sent.audio_dropped += u64::from(matches!(kind, Kind::Audio));
            return;
        }
        out.extend(link.keys.as_mut().and_then(|keys| keys.seal_rtp(&packet)));
    }

    fn handle_report(&mut self, block: &Block) {
        let mut layers = self.layers.iter_mut();
        if let Some(layer) = layers.find(|layer| layer.stream.ssrc == block.ssrc) {
            layer.reported_lost = block.lost;
        } else if self
            .audio
            .as_ref()
            .is_some_and(|audio| audio.ssrc == block.ssrc)
        {
            self.audio_reported_lost = block.lost;
        }
        if block.last_report != 0 {
            // RFC 3550, section 6.4.1, in 1/65536 s.
            let [_, _, now @ .., _, _] = ntp_now().to_be_bytes();
            let elapsed = u32::from_be_bytes(now).wrapping_sub(block.last_report);
            let ticks = elapsed.saturating_sub(block.since_report);
            self.sent.round_trip_us = u64::from(ticks) * 1_000_000 / 65_536;
        }
    }

    fn report(&mut self, link: &mut Link, now: Instant, out: &mut Vec<Vec<u8>>) {
        let video = self.layers.iter().map(|layer| &layer.stream);
        let video = video.map(|stream| (stream, self.next_frame_at, VIDEO_CLOCK_HZ));
        let audio = self.audio.iter();
        let audio = audio.map(|stream| (stream, self.next_audio_at, AUDIO_CLOCK_HZ));
        for (stream, next_at, clock_hz) in video.chain(audio) {
            let mut compound = Vec::new();
            let timestamp = stream.timestamp_at(now, next_at, clock_hz);
            let sent = (stream.packets, stream.bytes);
            rtcp::write_sender_report(&mut compound, stream.ssrc, ntp_now(), timestamp, sent);
            rtcp::write_name(&mut compound, stream.ssrc);
            link.send_rtcp(&compound, out);
        }
    }
}

const VIDEO_CLOCK_HZ: u32 = 90_000;
const AUDIO_CLOCK_HZ: u32 = 48_000;
const AUDIO_STEP: Duration = Duration::from_millis(20);
const BETWEEN_REPORTS: Duration = Duration::from_secs(1);
/// The same packet is sent again no sooner, however short the way.
const MIN_RESEND: Duration = Duration::from_millis(10);
/// A keyframe is so many times as large as another frame.
const KEYFRAME_FACTOR: usize = 4;

#[cfg(test)]
mod tests {
    use super::super::sdp::Streams;
    use super::*;

    #[test]
    fn reports_of_every_stream_are_summed_the_last_of_each() {
        let plan = Plan {
            bits_per_second: 1_000_000,
            frames_per_second: 30,
            pacing: Pacing::Burst,
            keyframe_interval: Duration::from_secs(10),
            loss: 0.0,
        };
        let accepted = Accepted {
            streams: Streams {
                audio: Some(1),
                video: vec![(2, 3)],
            },
            audio: Extensions::default(),
            video: Extensions::default(),
            has_rtx: true,
        };
        let mut sender = Sender::new(plan, &accepted, Instant::now());
        for (ssrc, lost) in [(1, 2), (2, 10), (1, 5), (9, 100)] {
            sender.handle_report(&Block {
                ssrc,
                fraction_lost: 0,
                lost,
                highest: 0,
                jitter: 0,
                last_report: 0,
                since_report: 0,
            });
        }
        assert_eq!(sender.sent().reported_lost, 15);
    }
}
