//! A peer that watches: which layer it is shown, what its numbers are, what it gets again, and what it says.

mod select;

mod catch_up;

mod rewrite;

mod resend;

mod track;

use std::time::{Duration, Instant};

use crate::command::{Format, Kind, LayerChoice, LayerInfo, PeerId, SendTrack};
use crate::relay::{Burst, MediaPacket, SourceId};
use crate::room::Room;
use crate::rtp::rtcp::{self, Compound, Rtcp};
use crate::rtp::seq::SeqNo;

use catch_up::{CatchUp, Joins, SETTLING};
pub(crate) use catch_up::{STEP_PACKETS, Start};
pub(crate) use track::Sendable;
use track::Track;

/// Between two sender reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Assumed until the viewer's reports tell.
const DEFAULT_ROUND_TRIP: Duration = Duration::from_millis(100);
/// Between two tellings of the layer that is shown.
const TELL_LAYER: Duration = Duration::from_millis(200);
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
    /// What it wants to be shown.
    choice: LayerChoice,
    /// The layer that it is to be shown; `None` until the room's layers are known. It is shown another
    /// one until a keyframe of this one comes.
    target: Option<u8>,
    /// Whose layer was told to be shown, which one, and when; `None` before the first.
    told: Option<(PeerId, u8, Instant)>,
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
    /// Which layer of the picture that is.
    pub(crate) layer: u8,
    /// Its number there.
    pub(crate) seq: SeqNo,
    /// Its number at the viewer.
    pub(crate) sent_as: SeqNo,
}

impl Viewer {
    /// Prepares to send what was negotiated. `peer` decides the first sequence numbers.
    pub fn new(now: Instant, peer: PeerId, tracks: Vec<SendTrack>, choice: LayerChoice) -> Self {
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
            choice,
            target: None,
            told: None,
        }
    }

    /// Notes what the viewer wants to be shown.
    pub(crate) fn choose(&mut self, choice: LayerChoice) {
        self.choice = choice;
    }

    /// Chooses among the room's layers, the best first. Returns the layer if the viewer is to go over to
    /// another one than before.
    pub(crate) fn select(&mut self, layers: &[LayerInfo]) -> Option<u8> {
        let target = select::select(self.choice, layers)?;
        let before = self.target.replace(target);
        let shown = self.shown().map(|(_, layer)| layer);
        if shown == Some(target) {
            // It was about to go over, and no longer is.
            self.catch_up = self
                .catch_up
                .filter(|catch_up| !catch_up.begins || catch_up.layer == target);
        }
        let waited = shown.is_none() && before.is_none();
        let goes_over = before != Some(target) && shown != Some(target) && !waited;
        (goes_over && self.has(Kind::Video)).then_some(target)
    }

    /// Returns the layer that it is to be shown.
    pub(crate) fn target(&self) -> Option<u8> {
        self.target
    }

    /// Returns the source and the layer of the picture that is shown.
    pub(crate) fn shown(&self) -> Option<(SourceId, u8)> {
        let video = self.tracks.iter().find(|it| it.kind() == Kind::Video)?;
        video.source().zip(video.layer())
    }

    /// Returns the layer whose keyframe it has waited for since its last report at least.
    pub(crate) fn overdue(&self, now: Instant, room: &Room) -> Option<u8> {
        let target = self.target.filter(|_| self.next_report <= now)?;
        let (shown, _) = self.shown()?;
        let (source, format) = room.source(target)?;
        (source != shown && self.catch_up.is_none() && self.plays(&format)).then_some(target)
    }

    /// Returns the layer that is shown and the one that was told before, if there is something to tell.
    pub(crate) fn poll_layer(&mut self, now: Instant) -> Option<(u8, Option<u8>)> {
        let (source, shown) = self.shown()?;
        let before = self.told;
        // The layers of another publisher are others, whatever their index.
        let is_due = before.is_none_or(|(publisher, layer, at)| {
            publisher != source.peer
                || (layer != shown && now.saturating_duration_since(at) >= TELL_LAYER)
        });
        if !is_due {
            return None;
        }
        self.told = Some((source.peer, shown, now));
        let before = before.filter(|(publisher, ..)| *publisher == source.peer);
        Some((shown, before.map(|(_, layer, _)| layer)))
    }

    /// Returns whether any packet of a burst may be for this viewer.
    pub(crate) fn takes(&self, burst: &Burst) -> bool {
        let kind = burst.kind();
        let Some(track) = self.tracks.iter().find(|track| track.kind() == kind) else {
            return false;
        };
        kind == Kind::Audio
            || track.source() == Some(burst.source)
            || self.is_to_be_shown(burst.layer)
    }

    fn is_to_be_shown(&self, layer: u8) -> bool {
        self.target.is_none_or(|target| target == layer)
    }

    /// Prepares one packet of a burst; `None` when this viewer does not get it. It goes over to another
    /// source of sound at once, to another picture at a keyframe of the layer that it is to be shown.
    pub(crate) fn prepare(
        &mut self,
        room: &Room,
        burst: &Burst,
        packet: &MediaPacket,
    ) -> Option<Sendable> {
        let is_video = burst.kind() == Kind::Video;
        let is_shown_later = |catch_up: CatchUp| catch_up.source == burst.source;
        if is_video && self.catch_up.is_some_and(is_shown_later) {
            return None;
        }
        let is_wanted = !is_video || self.is_to_be_shown(burst.layer);
        let track = self.track(burst.kind())?;
        let begins = track.source() != Some(burst.source);
        if begins {
            if !is_wanted {
                return None;
            }
            track.begin(room, burst, packet)?;
        }
        let sendable = track.prepare(burst, packet)?;
        if begins && is_video {
            // What is left of the last source is of no use.
            self.catch_up = None;
        }
        Some(Sendable { begins, ..sendable })
    }

    /// Returns whether it has an m-line of a kind.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.tracks.iter().any(|track| track.kind() == kind)
    }

    /// Starts at a keyframe in the cache; returns whether the viewer is in its join and plays it.
    pub(crate) fn catch_up(&mut self, now: Instant, start: Start) -> bool {
        let catch_up = self.joins.begin(now, start);
        self.catch_up = catch_up.or(self.catch_up);
        catch_up.is_some()
    }

    /// Goes over to another layer from a keyframe in the cache, where that is later than what was sent;
    /// returns whether it is.
    pub(crate) fn go_over(&mut self, now: Instant, room: &Room, start: Start) -> bool {
        let cached = room.cache(Kind::Video, start.layer);
        let Some((burst, packet)) = cached.and_then(|it| it.find(start.source, start.keyframe))
        else {
            return false;
        };
        let follows = self
            .track(Kind::Video)
            .is_some_and(|track| track.follows(room, burst, packet));
        if follows {
            let is_first = self.shown().is_none();
            let due = if is_first { now + SETTLING } else { now };
            self.catch_up = Some(CatchUp::new(start, due));
        }
        follows
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
        room: &Room,
        (burst, packet): (&Burst, &MediaPacket),
        begins: bool,
    ) -> Option<Sendable> {
        let track = self.track(burst.kind())?;
        if begins {
            track.begin(room, burst, packet)?;
        }
        let sendable = track.prepare(burst, packet)?;
        Some(Sendable { begins, ..sendable })
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
    pub(crate) fn poll_rtcp(&mut self, now: Instant, room: Option<&Room>, out: &mut Vec<u8>) {
        if self.next_report > now {
            return;
        }
        self.next_report = now + REPORT_INTERVAL;
        for track in &mut self.tracks {
            let source = track.source();
            let clock = source.and_then(|source| room?.clock(source));
            if let Some(clock) = clock {
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
