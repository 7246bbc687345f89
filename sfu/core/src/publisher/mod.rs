//! A peer that sends: from its packets to numbered media, and the feedback it needs.

mod track;

mod layer;

mod stream;

mod ladder;

mod nack;

mod keyframe;

mod wall;

mod capture;

pub(crate) mod cache;

use std::time::{Duration, Instant};

use crate::codec::{self, Picture, Scale};
use crate::command::{Format, Kind, LayerInfo, PeerId, ReceiveTrack};
use crate::congestion::twcc::Arrivals;
use crate::relay::{PacketDescriptor, SourceClock, SourceId};
use crate::rtp::ext::Extensions;
use crate::rtp::packet::Header;
use crate::rtp::rtcp::{self, Compound, Rtcp};
use crate::rtp::seq::SeqNo;

pub(crate) use capture::CaptureTime;
use ladder::Ladder;
pub(crate) use stream::{middle, ntp_units, ticks};
use track::{Incoming, Track};
use wall::WallOffset;
pub use wall::WallTime;

/// Our canonical name in feedback to publishers. Not every client agrees to RTCP of reduced size
/// (RFC 5506), and without that a compound begins with a report and a name (RFC 3550, section 6.1).
const CNAME: &str = "klieg";
/// Bytes of one compound of feedback; what does not fit makes the next.
const MAX_COMPOUND: usize = 1200;

/// What a dependency descriptor takes beside its bytes, at the most: a longer header, and the active decode targets.
const DESCRIBED: usize = 12;
/// Between two receiver reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// One packet of media, numbered in its source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says one thing of a packet"
)]
pub struct Arrived<'a> {
    /// The stream.
    pub source: SourceId,
    /// Which layer of the picture it carries; 0 for sound and without simulcast.
    pub layer: u8,
    /// What it is coded in.
    pub format: Format,
    /// Whether it is the first of its source; of several layers of the same coding, of the first one.
    pub first: bool,
    /// Extended sequence number.
    pub seq: SeqNo,
    /// Extended timestamp.
    pub timestamp: u64,
    /// Last packet of a video frame.
    pub marker: bool,
    /// A decoder can start here.
    pub keyframe: bool,
    /// Whether one with a higher number came before it.
    pub(crate) is_late: bool,
    /// Where it stands among the layers of its stream; `None` where that has none, or does not tell.
    pub scale: Option<Scale>,
    /// Without header, padding, retransmission header and redundancy.
    pub payload: &'a [u8],
    /// What stood right before that in redundant sound; empty mostly.
    pub(crate) redundancy: &'a [u8],
    /// The dependency descriptor that goes with it, what has to be known to send it, and the number of its frame;
    /// `None` where the coding does without.
    pub(crate) descriptor: Option<(&'a [u8], PacketDescriptor, u16)>,
    /// Whether it came with a dependency descriptor that could not be read.
    pub(crate) is_undescribed: bool,
    /// When it was captured, where viewers are told with this packet; `None` mostly.
    pub(crate) captured: Option<CaptureTime>,
}

impl<'a> Arrived<'a> {
    /// Returns the numbers of its picture, which go on for viewers when the stream changes.
    pub(crate) fn picture(&self) -> Option<Picture> {
        let framed = self
            .descriptor
            .as_ref()
            .map(|(.., frame)| Picture::frame(*frame));
        framed.or_else(|| codec::picture(self.format.codec, self.payload))
    }

    /// Returns the bytes of its dependency descriptor, if there are any.
    pub(crate) fn descriptor_bytes(&self) -> &'a [u8] {
        self.descriptor.as_ref().map_or(&[], |(bytes, ..)| bytes)
    }

    /// Returns how many bytes of it go to viewers at the most.
    pub(crate) fn len(&self) -> usize {
        let descriptor = self.descriptor.as_ref();
        let descriptor = descriptor.map_or(0, |(bytes, ..)| bytes.len() + DESCRIBED);
        self.redundancy.len() + self.payload.len() + descriptor
    }
}

/// Why a decrypted packet was not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unforwarded {
    /// It is no RTP.
    Malformed,
    /// No m-line has such a stream or payload type.
    UnknownStream,
    /// Its m-line has layers, and this is of none of them.
    UnknownLayer,
    /// It is redundant sound (RFC 2198) whose headers do not fit it, or of another coding within.
    MalformedRedundancy,
    /// It came before, or far too late.
    Duplicate,
    /// Padding in the stream of retransmissions, sent to probe the path.
    Probe,
}

/// The state of one publishing peer.
#[derive(Debug)]
pub struct Publisher {
    /// One for each m-line, set once.
    tracks: Vec<Track>,
    /// Arrival times to be reported; `None` when transport-wide feedback was not negotiated.
    arrivals: Option<Arrivals>,
    /// The layers of the picture.
    ladder: Ladder,
    /// Its wall clock beside the server's.
    wall_offset: WallOffset,
    /// Numbers the sources.
    next_source: SourceId,
    /// When it was created.
    created: Instant,
    /// When the next receiver report is due; `None` before the first packet.
    next_report: Option<Instant>,
    /// Whether it has taken over.
    turn: Turn,
}

/// Whether a publisher has taken over the room, once.
#[derive(Debug)]
enum Turn {
    /// Not yet. What the newest sender report of each stream tells is kept until then.
    Awaited(Vec<SourceClock>),
    /// It has.
    Taken,
}

impl Publisher {
    /// Prepares to receive what was negotiated.
    pub fn new(now: Instant, peer: PeerId, tracks: Vec<ReceiveTrack>) -> Self {
        let reports_arrivals = |track: &ReceiveTrack| {
            track.extensions.transport_cc.is_some()
                && track
                    .formats
                    .iter()
                    .any(|format| format.feedback.transport_cc)
        };
        Self {
            arrivals: tracks.iter().any(reports_arrivals).then(Arrivals::default),
            tracks: tracks.into_iter().map(Track::new).collect(),
            ladder: Ladder::default(),
            wall_offset: WallOffset::default(),
            next_source: SourceId { peer, number: 0 },
            created: now,
            next_report: None,
            turn: Turn::Awaited(Vec::new()),
        }
    }

    /// Takes a decrypted RTP packet.
    ///
    /// # Errors
    /// Why it is not media to be forwarded.
    pub fn handle_rtp<'a>(
        &mut self,
        now: Instant,
        packet: &'a [u8],
    ) -> Result<Arrived<'a>, Unforwarded> {
        let header = Header::parse(packet).map_err(|_| Unforwarded::Malformed)?;
        let index = self
            .find_track(packet, &header)
            .ok_or(Unforwarded::UnknownStream)?;
        let track = self
            .tracks
            .get_mut(index)
            .ok_or(Unforwarded::UnknownStream)?;
        let extensions = Extensions::read(packet, &header, track.extension_ids());
        if let (Some(arrivals), Some(sequence)) =
            (&mut self.arrivals, extensions.transport_sequence)
        {
            arrivals.record(now, sequence, header.ssrc);
        }
        self.next_report.get_or_insert(now + REPORT_INTERVAL);
        let incoming = Incoming {
            header: &header,
            extensions: &extensions,
            payload: packet.get(header.payload.clone()).unwrap_or_default(),
            redundancy: &[],
        };
        let arrived = track.handle_rtp(now, &incoming, &mut self.next_source)?;
        if track.kind() == Kind::Video {
            let is_simulcast = track.is_simulcast();
            self.ladder
                .note(now, &arrived, (packet.len(), is_simulcast));
        }
        let to_server = self.wall_offset.to_server();
        let captured = arrived.captured.map(|it| it.passed_on(to_server));
        Ok(Arrived {
            captured,
            ..arrived
        })
    }

    /// Takes a decrypted compound of RTCP packets and returns the clocks that it tells, once it has taken over. `wall` is
    /// the server's clock; without it clocks stay the publisher's own.
    pub fn handle_rtcp(
        &mut self,
        now: Instant,
        wall: Option<&WallTime>,
        compound: &[u8],
    ) -> Vec<SourceClock> {
        let mut clocks = Vec::new();
        for item in Compound::read(compound) {
            if let Rtcp::SenderReport(info) = item {
                let told = |track: &mut Track| track.handle_sender_report(now, &info);
                let told = self.tracks.iter_mut().find_map(told);
                clocks.extend(told.map(|clock| SourceClock {
                    to_server: wall.map_or(0, |wall| self.wall_offset.note(now, wall, clock.ntp)),
                    ..clock
                }));
            }
        }
        let Turn::Awaited(kept) = &mut self.turn else {
            return clocks;
        };
        for clock in clocks {
            let place = |known: &SourceClock| (known.kind, known.layer);
            kept.retain(|known| place(known) != place(&clock));
            kept.push(clock);
        }
        Vec::new()
    }

    /// Returns whether it is to take over with a packet: the first keyframe, or, of a publisher that has nothing to
    /// show, the first of all.
    pub(crate) fn has_turn_with(&mut self, arrived: &Arrived<'_>) -> bool {
        if matches!(self.turn, Turn::Taken) {
            return false;
        }
        let shows = arrived.keyframe && arrived.format.codec.kind() == Kind::Video;
        if shows && arrived.is_late {
            // What followed it has gone by already, and nobody was shown it.
            self.request_keyframe(Some(arrived.layer));
            return false;
        }
        let mut tracks = self.tracks.iter();
        shows || tracks.all(|track| track.kind() == Kind::Audio)
    }

    /// Notes that it takes over, and that its layers are to be told again; returns the clocks that were told before.
    pub(crate) fn take_turn(&mut self) -> Vec<SourceClock> {
        self.ladder.retell();
        match std::mem::replace(&mut self.turn, Turn::Taken) {
            Turn::Awaited(kept) => kept,
            Turn::Taken => Vec::new(),
        }
    }

    /// Asks for a keyframe on every video layer, or on one, soon and not too often. One that is
    /// paused is not asked while another one sends.
    pub fn request_keyframe(&mut self, layer: Option<u8>) {
        let is_video = |track: &&mut Track| track.kind() == Kind::Video;
        for track in self.tracks.iter_mut().filter(is_video) {
            match layer {
                None => track.request_keyframes(),
                Some(index) if track.is_simulcast() && self.ladder.is_paused(index) => {}
                Some(index) => {
                    if let Some(layer) = track.layer_mut(index) {
                        layer.request_keyframe();
                    }
                }
            }
        }
    }

    /// Looks after the layers of the picture.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for paused in self.ladder.handle_timeout(now) {
            let simulcast = self.tracks.iter_mut().filter(|track| track.is_simulcast());
            for layer in simulcast.filter_map(|track| track.layer_mut(paused)) {
                // Its viewers are shown another one meanwhile.
                layer.forget_keyframe();
            }
        }
    }

    /// Returns whether [`Self::poll_layers`] or [`Self::poll_news`] has something.
    pub(crate) fn has_layer_news(&self) -> bool {
        self.ladder.has_news()
    }

    /// Returns the layers of the picture, the best first, if something changed that matters to viewers.
    pub(crate) fn poll_layers(&mut self) -> Option<Vec<LayerInfo>> {
        self.ladder.poll_change()
    }

    /// Returns the layers of the picture, in the order of their index, if there is something to be told.
    pub(crate) fn poll_news(&mut self) -> Option<Vec<LayerInfo>> {
        self.ladder.poll_news()
    }

    /// Appends the feedback that is due, as one compound of at most 1200 bytes. Returns
    /// whether there is any, and what it asks for. What does not fit stays due.
    pub fn poll_rtcp(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<FeedbackSent> {
        let start = out.len();
        let sender = self.feedback_ssrc();
        let reports_due = self.next_report.is_some_and(|due| due <= now);
        let mut reports = Vec::new();
        if reports_due {
            reports.extend(self.tracks.iter_mut().flat_map(|track| track.reports(now)));
            self.next_report = Some(now + REPORT_INTERVAL);
        }
        rtcp::write_receiver_report(out, sender, &reports);
        rtcp::write_source_description(out, sender, CNAME);
        let header_only = out.len();
        let end = start + MAX_COMPOUND;
        let mut sent = FeedbackSent::default();
        for track in &mut self.tracks {
            let room = end.saturating_sub(out.len());
            let FeedbackSent { nacked, keyframes } = track.poll_feedback(now, (sender, room), out);
            sent.nacked += nacked;
            sent.keyframes += keyframes;
        }
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.poll_feedback(now, (sender, end), out);
        }
        if out.len() == header_only && reports.is_empty() {
            out.truncate(start);
            return None;
        }
        Some(sent)
    }

    /// Returns when [`Self::poll_rtcp`] has something next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let arrivals = self.arrivals.as_ref().and_then(Arrivals::poll_timeout);
        let past = self.created;
        let tracks = self
            .tracks
            .iter()
            .filter_map(|track| track.poll_timeout(past));
        let ladder = self.ladder.poll_timeout();
        let own = arrivals.into_iter().chain(self.next_report).chain(ladder);
        tracks.chain(own).min()
    }

    /// Returns our SSRC in feedback: one that is none of the publisher's. It sends no media, so that
    /// the same number serves towards all who do not use it.
    fn feedback_ssrc(&self) -> u32 {
        let is_taken = |ssrc: &u32| self.tracks.iter().any(|track| track.has_stream(*ssrc));
        (1..).find(|ssrc| !is_taken(ssrc)).unwrap_or(1)
    }

    /// Finds the m-line of a packet: by stream, by the MID it carries, by payload type (RFC 9143, section 9.2).
    fn find_track(&self, packet: &[u8], header: &Header) -> Option<usize> {
        let by_ssrc = self
            .tracks
            .iter()
            // What is numbered like a stream of another m-line is told by what it carries.
            .position(|track| {
                track.has_stream(header.ssrc) && track.has_payload_type(header.payload_type)
            });
        by_ssrc
            .or_else(|| {
                self.tracks.iter().position(|track| {
                    let extensions = Extensions::read(packet, header, track.extension_ids());
                    extensions.mid.is_some_and(|mid| mid == track.mid())
                })
            })
            .or_else(|| {
                self.tracks
                    .iter()
                    .position(|track| track.has_payload_type(header.payload_type))
            })
    }
}

/// What a compound of feedback asked for, to be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedbackSent {
    /// Packets asked for again.
    pub nacked: u32,
    /// Keyframes asked for.
    pub keyframes: u32,
}

#[cfg(test)]
mod tests;
