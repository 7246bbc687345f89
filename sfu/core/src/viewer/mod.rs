//! A peer that watches: what its numbers are, what it gets again, and what it says.

mod catch_up;

mod rewrite;

mod resend;

mod track;

use std::time::{Duration, Instant};

use crate::command::{Format, Kind, PeerId, SendTrack};
use crate::relay::{Burst, MediaPacket, SourceClock, SourceId};
use crate::rtp::rtcp::{self, Compound, Rtcp};
use crate::rtp::seq::SeqNo;

pub(crate) use catch_up::STEP_PACKETS;
use catch_up::{CatchUp, Joins};
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
    /// Where it is in the cache; `None` before its join and once it is live.
    catch_up: Option<CatchUp>,
    joins: Joins,
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
            catch_up: None,
            joins: Joins::default(),
        }
    }

    /// Prepares one packet of a burst; `None` when this viewer does not get it.
    pub(crate) fn prepare(&mut self, burst: &Burst, packet: &MediaPacket) -> Option<Sendable> {
        if burst.kind() == Kind::Video
            && let Some(catch_up) = self.catch_up
        {
            if catch_up.source == burst.source {
                return None;
            }
            // Another source begins: what is left of the last one is of no use.
            self.catch_up = None;
        }
        self.track(burst.kind())?.prepare(burst, packet)
    }

    /// Returns whether it has an m-line of a kind.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.tracks.iter().any(|track| track.kind() == kind)
    }

    /// Starts at a keyframe in the cache; returns whether the viewer is in its join and plays it.
    pub(crate) fn catch_up(&mut self, now: Instant, source: SourceId, keyframe: SeqNo) -> bool {
        let catch_up = self.joins.begin(now, source, keyframe);
        self.catch_up = catch_up.or(self.catch_up);
        catch_up.is_some()
    }

    /// Returns whether nothing of the room's picture was sent or is about to be.
    pub(crate) fn waits_for_picture(&self) -> bool {
        let mut video = self
            .tracks
            .iter()
            .filter(|track| track.kind() == Kind::Video);
        self.catch_up.is_none() && video.any(Track::waits)
    }

    /// Returns the step of the catch-up that is due.
    pub(crate) fn take_step(&mut self, now: Instant) -> Option<CatchUp> {
        let step = self.catch_up?.step(now)?;
        self.catch_up = Some(step);
        Some(step)
    }

    /// Notes how far the step has come.
    pub(crate) fn continue_catch_up(&mut self, step: CatchUp) {
        self.catch_up = Some(step);
    }

    /// The viewer is live.
    pub(crate) fn end_catch_up(&mut self) {
        self.catch_up = None;
    }

    /// Prepares a packet from the cache; the first one begins the picture, again if need be.
    pub(crate) fn prepare_cached(
        &mut self,
        burst: &Burst,
        packet: &MediaPacket,
        begins: bool,
    ) -> Option<Sendable> {
        let track = self.track(burst.kind())?;
        if begins {
            track.begin(burst, packet)?;
        }
        track.prepare(burst, packet)
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

    /// Returns when a report or a step of the catch-up is due.
    pub(crate) fn poll_timeout(&self) -> Instant {
        let step = self.catch_up.map(|catch_up| catch_up.poll_timeout());
        step.map_or(self.next_report, |step| step.min(self.next_report))
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
