//! A peer that watches: what its numbers are, what it gets again, and what it says.

mod rewrite;

mod resend;

mod track;

use std::time::{Duration, Instant};

use crate::command::{Format, Kind, PeerId, SendTrack};
use crate::relay::{Burst, MediaPacket, SourceClock, SourceId};
use crate::rtp::rtcp::{self, Compound, Rtcp};
use crate::rtp::seq::SeqNo;

pub(crate) use track::Sendable;
use track::Track;

/// Between two sender reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Assumed until the viewer's reports tell.
const DEFAULT_ROUND_TRIP: Duration = Duration::from_millis(100);
/// Packets one compound may ask for again; a NACK names up to 17 in each of its words.
const MAX_NACKED: usize = 256;

/// The state of one watching peer.
#[derive(Debug)]
pub struct Viewer {
    /// One for each m-line, set once.
    tracks: Vec<Track>,
    /// From its reports; `None` before the first that tells.
    round_trip: Option<Duration>,
    /// When the next sender report is due.
    next_report: Instant,
}

/// What a viewer's compound asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Whether its decoder needs a keyframe.
    pub(crate) keyframe: bool,
    /// Packets to send again, by the viewer's own number.
    pub(crate) again: Vec<Again>,
}

/// One packet to send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    /// Audio or video.
    pub(crate) kind: Kind,
    /// The stream it came from.
    pub(crate) source: SourceId,
    /// Its number there.
    pub(crate) seq: SeqNo,
    /// Its number at the viewer.
    pub(crate) sent_as: SeqNo,
}

impl Viewer {
    /// Prepares to send what was negotiated. `peer` decides the first sequence numbers.
    pub fn new(now: Instant, peer: PeerId, tracks: Vec<SendTrack>) -> Self {
        let tracks = tracks
            .into_iter()
            .map(|track| Track::new(peer, track))
            .collect();
        Self {
            tracks,
            round_trip: None,
            next_report: now + REPORT_INTERVAL,
        }
    }

    /// Prepares one packet of a burst; `None` when this viewer does not get it.
    pub(crate) fn prepare(&mut self, burst: &Burst, packet: &MediaPacket) -> Option<Sendable> {
        self.track(burst.kind())?.prepare(burst, packet)
    }

    /// Prepares a packet to be sent again; `None` when it was asked for too often or not negotiated.
    pub(crate) fn prepare_again(
        &mut self,
        now: Instant,
        again: &Again,
        burst: &Burst,
        packet: &MediaPacket,
    ) -> Option<Sendable> {
        let round_trip = self.round_trip.unwrap_or(DEFAULT_ROUND_TRIP);
        self.track(again.kind)?
            .prepare_again(now, round_trip, again, (burst, packet))
    }

    /// Returns whether the viewer negotiated a payload type for `format`, or has no such m-line.
    pub(crate) fn plays(&self, format: &Format) -> bool {
        let kind = format.codec.kind();
        self.tracks
            .iter()
            .filter(|track| track.kind() == kind)
            .all(|track| track.plays(format))
    }

    /// Takes a decrypted compound of RTCP packets.
    pub(crate) fn handle_rtcp(&mut self, now: Instant, compound: &[u8]) -> Asked {
        let mut asked = Asked::default();
        for item in Compound::read(compound) {
            match item {
                Rtcp::Reception(report) => self.measure_round_trip(now, &report),
                Rtcp::Nack { ssrc, pairs } => {
                    let room = MAX_NACKED - asked.again.len();
                    if let Some(track) = self.tracks.iter().find(|track| track.ssrc() == ssrc) {
                        let named = rtcp::missing(pairs).take(room);
                        asked
                            .again
                            .extend(named.filter_map(|seq| track.origin(seq)));
                    }
                }
                Rtcp::Pli { ssrc } | Rtcp::Fir { ssrc, .. } => {
                    asked.keyframe |= self.tracks.iter().any(|track| track.ssrc() == ssrc);
                }
                Rtcp::SenderReport(_) | Rtcp::Goodbye { .. } => {}
            }
        }
        asked
    }

    /// Appends the sender reports that are due, as one compound.
    pub(crate) fn poll_rtcp(
        &mut self,
        now: Instant,
        clocks: &[Option<SourceClock>],
        out: &mut Vec<u8>,
    ) {
        if self.next_report > now {
            return;
        }
        self.next_report = now + REPORT_INTERVAL;
        for track in &mut self.tracks {
            let kind = track.kind();
            for clock in clocks.iter().flatten().filter(|clock| clock.kind == kind) {
                track.write_report(now, clock, out);
            }
        }
    }

    /// Returns when [`Self::poll_rtcp`] has something next.
    pub(crate) fn poll_timeout(&self) -> Instant {
        self.next_report
    }

    fn measure_round_trip(&mut self, now: Instant, report: &rtcp::ReceptionReport) {
        let measured = self
            .tracks
            .iter()
            .find_map(|track| track.round_trip(now, report));
        self.round_trip = measured.or(self.round_trip);
    }

    fn track(&mut self, kind: Kind) -> Option<&mut Track> {
        self.tracks.iter_mut().find(|track| track.kind() == kind)
    }
}
