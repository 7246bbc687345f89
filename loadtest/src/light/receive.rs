//! A light viewer: counts what comes, and answers it as a browser would.

use std::time::{Duration, Instant};

use tracing::trace;

use super::feedback::Feedback;
use super::ledger::Ledger;
use super::link::Link;
use super::opening::Opening;
use super::rtcp::{self, Block, Part};
use super::rtp::{self, Header};
use super::sdp::Media;
use super::seen::{Conduct, Seen};
use super::tally::{Faults, Tally};
use super::track::{Place, Track};
use crate::stamp::{self, Stamp};

/// Both tracks of one viewer.
pub(crate) struct Viewer {
    conduct: Conduct,
    /// Sets of payload types, a bit each.
    video: u128,
    rtx: u128,
    tracks: [Stream; 2],
    feedback: Option<Feedback>,
    ssrc: u32,
    /// When its first request left.
    began: Instant,
    ledger: Ledger,
    audio_thrown_away: u64,
    first_packet_at: Option<Instant>,
    first_frame_at: Option<Instant>,
    first: Opening,
    /// Counts packets, to take every so many-th; starts differently for each viewer.
    turn: u32,
    next_report_at: Instant,
    next_pli_at: Instant,
    /// A keyframe has to heal what was given up.
    wants_keyframe: bool,
    /// It neither reads nor answers.
    pub(crate) is_stalled: bool,
}

struct Stream {
    track: Track,
    ssrc: u32,
    /// The middle of the last sender report's time, and when it came.
    sender_report: Option<(u32, Instant)>,
    /// When a packet came last that had not come before.
    came_at: Option<Instant>,
    /// In units of its clock, when the viewer began.
    clock_rate: f64,
}

const AUDIO: usize = 0;
const VIDEO: usize = 1;

impl Viewer {
    /// Prepares for what the description says will come.
    pub(crate) fn new(media: &[Media], conduct: Conduct, (began, now): (Instant, Instant)) -> Self {
        let set = |types: &[u8]| types.iter().fold(0, |set, pt| set | 1_u128 << (pt & 0x7f));
        let video = || media.iter().filter(|media| media.is_video);
        let rtx = video().fold(0, |all, media| all | set(&media.rtx));
        let formats = |media: &Media| set(&media.payload_types());
        let transport_cc = media.iter().find_map(Media::transport_cc);
        let stream = |clock_rate, asks| Stream {
            track: Track::new(asks),
            ssrc: 0,
            sender_report: None,
            came_at: None,
            clock_rate,
        };
        let turn: u32 = rand::random();
        let apart = Duration::from_millis(u64::from(turn % 1000));
        Self {
            conduct,
            video: video().fold(0, |all, media| all | formats(media)) & !rtx,
            rtx,
            // Sound is over by the time that it came again: browsers do not ask.
            tracks: [stream(48_000.0, false), stream(90_000.0, true)],
            feedback: transport_cc.map(|id| Feedback::new(id, now)),
            ssrc: rand::random(),
            began,
            ledger: Ledger::default(),
            audio_thrown_away: 0,
            first_packet_at: None,
            first_frame_at: None,
            first: Opening::new(video().fold(0, |all, media| all | set(&media.vp8))),
            turn,
            next_report_at: now + apart,
            next_pli_at: now,
            wants_keyframe: false,
            is_stalled: false,
        }
    }

    /// Takes a sealed packet.
    pub(crate) fn handle_rtp(
        &mut self,
        link: &mut Link,
        packet: &[u8],
        now: Instant,
        tally: &mut Tally,
    ) {
        let Some(header) = Header::parse(packet) else {
            tally.unreadable += 1;
            return;
        };
        let format = 1_u128 << header.payload_type;
        if self.conduct.loss > 0.0 && rand::random_bool(self.conduct.loss) {
            tally.dropped += 1;
            self.audio_thrown_away += u64::from((self.video | self.rtx) & format == 0);
            return;
        }
        if let Some(feedback) = &mut self.feedback {
            feedback.handle(packet, header.ssrc, now);
        }
        if self.rtx & format != 0 {
            self.handle_resent(link, packet, now, tally);
            return;
        }
        let kind = if self.video & format != 0 {
            VIDEO
        } else {
            AUDIO
        };
        let stream = &mut self.tracks[kind];
        stream.ssrc = header.ssrc;
        let place = stream
            .track
            .handle(header.seq, header.marker, packet.len(), now);
        tally.handle_packet(packet.len());
        if place == Place::Repeated {
            let since_ms = self.first_packet_at.map(|at| (now - at).as_millis());
            trace!(
                ssrc = header.ssrc,
                seq = header.seq,
                since_ms,
                "a packet came twice"
            );
            return;
        }
        stream.came_at = Some(now);
        if place == Place::Newest {
            stream.handle_arrival(header.timestamp, now);
        }
        self.first_packet_at.get_or_insert(now);
        self.turn = self.turn.wrapping_add(1);
        let is_video = kind == VIDEO;
        if self.conduct.opens_all
            || self.turn.is_multiple_of(SAMPLE)
            || is_video
                && (self.first_frame_at.is_none()
                    || header.marker && self.frames().is_multiple_of(FRAME_SAMPLE))
        {
            self.open(link, packet, now, tally);
        }
    }

    /// Takes RTCP in the clear.
    pub(crate) fn handle_rtcp(&mut self, compound: &[u8], now: Instant) {
        for part in rtcp::parse(compound) {
            if let Part::SenderReport { ssrc, middle } = part {
                let stream = self.tracks.iter_mut().find(|stream| stream.ssrc == ssrc);
                if let Some(stream) = stream {
                    stream.sender_report = Some((middle, now));
                }
            }
        }
    }

    /// Writes the reports and requests that are due.
    pub(crate) fn handle_timeout(&mut self, link: &mut Link, now: Instant, out: &mut Vec<Vec<u8>>) {
        if link.keys.is_none() || self.is_stalled {
            return;
        }
        let video = &mut self.tracks[VIDEO];
        let (seqs, gave_up) = video.track.poll_nack(link.round_trip, now);
        if !seqs.is_empty() {
            let mut compound = Vec::new();
            rtcp::write_nack(&mut compound, self.ssrc, video.ssrc, &seqs);
            link.send_rtcp(&compound, out);
        }
        self.wants_keyframe |= gave_up;
        let waits = self.first_frame_at.is_none() && self.first_packet_at.is_some();
        let patience = self.first_packet_at.map(|at| at + PICTURE_TIME);
        if waits && patience.is_some_and(|at| now >= at) && now >= self.next_pli_at {
            // What comes in answer has the same timestamps, but other numbers.
            self.first.begin_again();
            self.wants_keyframe = true;
            self.next_pli_at = now;
        }
        if self.wants_keyframe && now >= self.next_pli_at {
            self.wants_keyframe = false;
            self.next_pli_at = now
                + if waits {
                    PICTURE_TIME
                } else {
                    BETWEEN_REQUESTS
                };
            let mut compound = Vec::new();
            rtcp::write_pli(&mut compound, self.ssrc, video.ssrc);
            self.ledger.ask(now);
            link.send_rtcp(&compound, out);
        }
        if let Some(compound) = self
            .feedback
            .as_mut()
            .and_then(|all| all.poll(self.ssrc, now))
        {
            link.send_rtcp(&compound, out);
        }
        if now >= self.next_report_at {
            self.next_report_at = now + BETWEEN_REPORTS;
            let compound = self.report(now);
            link.send_rtcp(&compound, out);
        }
    }

    /// Returns what it saw.
    pub(crate) fn seen(&self, link: &Link) -> Seen {
        Seen {
            connected_at: link.connected_at,
            first_packet_at: self.first_packet_at,
            first_frame_at: self.first_frame_at,
            video: self.tracks[VIDEO].track.counts(),
            audio: self.tracks[AUDIO].track.counts(),
            last_at: self.tracks.each_ref().map(|stream| stream.came_at),
            audio_thrown_away: self.audio_thrown_away,
            left_out: self.ledger.left_out,
            over: link.over,
            waits_for: self.waits_for(link),
        }
    }

    /// Returns how many different packets of both tracks came.
    pub(crate) fn packets(&self) -> u64 {
        let packets = self.tracks.iter().map(|it| it.track.counts().packets);
        packets.sum()
    }

    /// Returns what was wrong on both tracks together.
    pub(crate) fn faults(&self) -> Faults {
        let [audio, video] = self.tracks.each_ref().map(|stream| stream.track.counts());
        let both = audio.plus(video);
        Faults {
            lost: both.lost,
            recovered: both.recovered,
            reordered: both.reordered,
            repeated: both.repeated,
            left_out: self.ledger.left_out,
        }
    }

    fn waits_for(&self, link: &Link) -> Option<&'static str> {
        if self.first_frame_at.is_some() {
            return None;
        }
        Some(if link.keys.is_none() {
            link.stage()
        } else if self.first_packet_at.is_none() {
            "connected, but no packet came"
        } else {
            "packets came, but no whole picture"
        })
    }

    fn handle_first_frame(&mut self, now: Instant, tally: &mut Tally) {
        self.first_frame_at = Some(now);
        tally.joins.add(now.saturating_duration_since(self.began));
    }

    fn frames(&self) -> u64 {
        u64::from(self.ssrc) + self.tracks[VIDEO].track.counts().frames
    }

    /// RFC 4588, section 4: the original number stands in front of the payload.
    fn handle_resent(&mut self, link: &mut Link, packet: &[u8], now: Instant, tally: &mut Tally) {
        let Some(plain) = link.keys.as_mut().and_then(|keys| keys.open_rtp(packet)) else {
            tally.unreadable += 1;
            return;
        };
        tally.opened += 1;
        let payload = Header::parse(&plain)
            .and_then(|header| Some((header, *rtp::payload(&plain, &header)?.first_chunk()?)));
        if let Some((header, original)) = payload {
            let seq = u16::from_be_bytes(original);
            let track = &mut self.tracks[VIDEO].track;
            track.handle_resent(seq, header.marker, packet.len(), now);
            let original = Header { seq, ..header };
            let payload = rtp::payload(&plain, &header).and_then(|payload| payload.get(2..));
            if self.first_frame_at.is_none()
                && payload.is_some_and(|payload| self.first.completes(&original, payload, true))
            {
                self.handle_first_frame(now, tally);
            }
        }
    }

    fn open(&mut self, link: &mut Link, packet: &[u8], now: Instant, tally: &mut Tally) {
        let Some(plain) = link.keys.as_mut().and_then(|keys| keys.open_rtp(packet)) else {
            tally.unreadable += 1;
            return;
        };
        tally.opened += 1;
        let Some(header) = Header::parse(&plain) else {
            return;
        };
        let Some(payload) = rtp::payload(&plain, &header).filter(|payload| !payload.is_empty())
        else {
            return;
        };
        if self.video >> header.payload_type & 1 == 0 {
            return;
        }
        if self.first_frame_at.is_none() && self.first.completes(&header, payload, false) {
            self.handle_first_frame(now, tally);
        } else if header.marker
            && let Some(stamp) = stamp::read(payload)
        {
            self.handle_stamp(&stamp, header.seq, now, tally);
        }
    }

    fn handle_stamp(&mut self, stamp: &Stamp, seq: u16, now: Instant, tally: &mut Tally) {
        let (frame, packet) = (stamp.frame_sent_at, stamp.packet_sent_at);
        tally.frame_delay.add(now.saturating_duration_since(frame));
        tally
            .packet_delay
            .add(now.saturating_duration_since(packet));
        let number = self.tracks[VIDEO].track.extended(seq);
        self.ledger.handle(now, stamp, number);
    }

    fn report(&mut self, now: Instant) -> Vec<u8> {
        let known = self.tracks.iter_mut().filter(|stream| stream.ssrc != 0);
        let blocks: Vec<_> = known.map(|stream| stream.block(now)).collect();
        let mut compound = Vec::new();
        rtcp::write_report(&mut compound, self.ssrc, &blocks);
        rtcp::write_name(&mut compound, self.ssrc);
        compound
    }
}

impl Stream {
    fn block(&mut self, now: Instant) -> Block {
        let (fraction_lost, lost, highest, jitter) = self.track.report();
        let (last_report, since) = self.sender_report.map_or((0, 0), |(middle, at)| {
            let since_ms = now.saturating_duration_since(at).as_millis().min(60_000);
            (middle, u32::try_from(since_ms * 65_536 / 1000).unwrap_or(0))
        });
        Block {
            ssrc: self.ssrc,
            fraction_lost,
            lost,
            highest,
            jitter,
            last_report,
            since_report: since,
        }
    }

    fn handle_arrival(&mut self, timestamp: u32, now: Instant) {
        let since = now.saturating_duration_since(*super::tally::BEGAN);
        let ticks = since.as_secs_f64() * self.clock_rate;
        #[expect(clippy::cast_possible_truncation, reason = "years of ticks fit")]
        self.track.handle_transit(ticks as i64, timestamp);
    }
}

/// Every so many-th packet is opened.
const SAMPLE: u32 = 64;
/// And the end of every so many-th frame.
const FRAME_SAMPLE: u64 = 4;
const BETWEEN_REPORTS: Duration = Duration::from_secs(1);
/// A viewer without a picture asks for a keyframe so often.
const PICTURE_TIME: Duration = Duration::from_secs(1);
const BETWEEN_REQUESTS: Duration = Duration::from_millis(500);
