//! A peer that watches: which layer it is shown, what its numbers are, what it gets again, and what it says.

mod select;

mod catch_up;

mod rewrite;

mod resend;

mod track;

mod bandwidth;

use std::time::{Duration, Instant};

use crate::command::{Format, Kind, LayerChoice, LayerInfo, Limit, PeerId, SendTrack};
use crate::congestion::allocate::Rung;
use crate::congestion::rate::Bitrate;
use crate::relay::{Burst, MAX_LAYERS, MediaPacket, SourceId};
use crate::room::Room;
use crate::rtp::rtcp::{self, Compound, Rtcp};
use crate::rtp::seq::SeqNo;

use bandwidth::{Bandwidth, Picked};
pub(crate) use catch_up::Start;
use catch_up::{CatchUp, Joins, SETTLING};
pub(crate) use track::Sendable;
use track::{Track, number_id};

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
    /// What it is shown of its target.
    picture: Shown,
    /// What its path carries, and the pace of what goes there.
    bandwidth: Bandwidth,
    /// What its path makes of its choice, and what was told of that.
    limit: (Limit, Limit),
    /// Whether it fell behind since this was asked last: the rest of a burst comes from the cache.
    has_fallen_behind: bool,
    /// Whose layer was told to be shown, which one, and when; `None` before the first.
    told: Option<(PeerId, u8, Instant)>,
}

/// Whether a viewer's picture goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// It does, if there is one.
    Goes,
    /// What was shown ended; the next keyframe of the target begins it again.
    Ended,
    /// Its path carries none.
    Paused,
}

/// What choosing anew makes of a viewer's picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selected {
    /// The layer that the viewer is to go over to; `None` when it is the one that it was.
    pub(crate) layer: Option<u8>,
    /// What the path should be probed for; `None` when there is nothing to win.
    pub(crate) goal: Option<Bitrate>,
    /// What the path has made of the picture; `None` when nothing.
    pub(crate) moved: Option<Moved>,
}

/// What becomes of a viewer's picture because of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// A lesser layer.
    Lowered,
    /// A better one.
    Raised,
    /// None.
    Paused,
    /// One again.
    Resumed,
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
        let bandwidth = Bandwidth::new(now, &tracks);
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
            picture: Shown::Goes,
            bandwidth,
            limit: (Limit::None, Limit::None),
            has_fallen_behind: false,
            told: None,
        }
    }

    /// Notes what the viewer wants to be shown.
    pub(crate) fn choose(&mut self, choice: LayerChoice) {
        self.choice = choice;
    }

    /// Chooses among the room's layers, the best first, as far as the path carries them.
    pub(crate) fn select(&mut self, now: Instant, room: &Room) -> Selected {
        let Some(best) = select::select(self.choice, room.layers()) else {
            return Selected::default();
        };
        if !self.has(Kind::Video) {
            self.target = Some(best);
            return Selected::default();
        }
        let (rungs, count) = rungs(now, (self.choice, best), room);
        let rungs = rungs.get(..count).unwrap_or_default();
        let sound = room.rate(now, Kind::Audio, 0).unwrap_or_default();
        let shown = self.shown().map(|(_, layer)| layer);
        let chosen = self.bandwidth.choose(now, rungs, shown, sound);
        let selected = Selected {
            layer: None,
            goal: chosen.goal,
            moved: chosen.moved,
        };
        let Picked::Layer(target) = chosen.picked else {
            self.pause();
            return selected;
        };
        self.limit.0 = if target == best {
            Limit::None
        } else {
            Limit::Lower
        };
        if self.picture == Shown::Paused {
            self.picture = Shown::Ended;
        }
        if chosen.is_far_over && shown != Some(target) && self.picture == Shown::Goes {
            // What is left of the old one would only stand in the way of the keyframe.
            self.picture = Shown::Ended;
            self.catch_up = None;
        }
        let layer = self.go_to(target);
        Selected { layer, ..selected }
    }

    fn pause(&mut self) {
        self.limit.0 = Limit::Paused;
        self.picture = Shown::Paused;
        self.catch_up = None;
        self.target = None;
    }

    /// Takes the layer to be shown; returns it if the viewer has to go over to it.
    fn go_to(&mut self, target: u8) -> Option<u8> {
        let before = self.target.replace(target);
        let shown = self.shown().map(|(_, layer)| layer);
        if shown == Some(target) {
            // It was about to go over, and no longer is.
            self.catch_up = self
                .catch_up
                .filter(|catch_up| !catch_up.begins || catch_up.layer == target);
        }
        let waited = self.has_seen_nothing() && before.is_none();
        let goes_over = before != Some(target) && shown != Some(target) && !waited;
        goes_over.then_some(target)
    }

    /// Returns what its path makes of its choice, if there is something to tell.
    pub(crate) fn poll_limit(&mut self) -> Option<Limit> {
        let (limit, told) = self.limit;
        self.limit.1 = limit;
        (limit != told).then_some(limit)
    }

    /// Returns whether its path has told something since this was asked last.
    pub(crate) fn take_news(&mut self) -> bool {
        self.bandwidth.take_news()
    }

    /// Returns whether it is time to count what its path carries.
    pub(crate) fn take_sample(&mut self) -> bool {
        self.bandwidth.take_sample()
    }

    /// Returns whether its path carries no picture.
    pub(crate) fn is_paused(&self) -> bool {
        self.picture == Shown::Paused
    }

    /// Returns what its path carries; `None` while it is not known.
    pub(crate) fn estimate(&self, now: Instant) -> Option<Bitrate> {
        self.bandwidth.estimate(now)
    }

    /// Begins to probe for a rate if it is time; returns whether it does.
    pub(crate) fn probe(&mut self, now: Instant, goal: Bitrate) -> bool {
        self.bandwidth.probe(now, goal)
    }

    /// Returns the layer that it is to be shown.
    pub(crate) fn target(&self) -> Option<u8> {
        self.target
    }

    /// Returns the source and the layer of the picture that is shown; `None` before the first and once it ended.
    pub(crate) fn shown(&self) -> Option<(SourceId, u8)> {
        let video = self.tracks.iter().find(|it| it.kind() == Kind::Video)?;
        let goes = self.picture == Shown::Goes;
        video.source().zip(video.layer()).filter(|_| goes)
    }

    fn has_seen_nothing(&self) -> bool {
        let mut video = self.tracks.iter().filter(|it| it.kind() == Kind::Video);
        video.all(Track::waits)
    }

    /// Returns the layer whose keyframe it has waited for since its last report at least.
    pub(crate) fn overdue(&self, now: Instant, room: &Room) -> Option<u8> {
        let target = self.target.filter(|_| self.next_report <= now)?;
        let shown = self.shown().map(|(source, _)| source);
        let (source, format) = room.source(target)?;
        let waits = shown != Some(source) && self.catch_up.is_none() && !self.has_seen_nothing();
        (waits && self.plays(&format)).then_some(target)
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
            || (track.source() == Some(burst.source) && self.picture == Shown::Goes)
            || self.is_to_be_shown(burst.layer)
    }

    fn is_to_be_shown(&self, layer: u8) -> bool {
        !self.is_paused() && self.target.is_none_or(|target| target == layer)
    }

    /// Prepares one packet of a burst; `None` when this viewer does not get it. It goes over to another
    /// source of sound at once, to another picture at a keyframe of the layer that it is to be shown.
    pub(crate) fn prepare(
        &mut self,
        now: Instant,
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
        let has_ended = is_video && self.picture != Shown::Goes;
        let number = self.bandwidth.next_number();
        let track = track_of(&mut self.tracks, burst.kind())?;
        let begins = track.source() != Some(burst.source) || has_ended;
        if begins {
            if !is_wanted {
                return None;
            }
            track.begin(room, burst, packet)?;
        } else if is_video
            && !self.bandwidth.admit(now, packet.payload.len())
            && track.is_next(burst, packet)
        {
            self.fall_behind(now, burst, packet);
            return None;
        }
        let sendable = track.prepare(burst, packet, number)?;
        if begins && is_video {
            // What is left of the last source is of no use.
            self.catch_up = None;
            self.picture = Shown::Goes;
        }
        Some(Sendable { begins, ..sendable })
    }

    /// Leaves a packet and all behind it to be taken from the cache, at the pace of the path.
    fn fall_behind(&mut self, now: Instant, burst: &Burst, packet: &MediaPacket) {
        self.catch_up = Some(CatchUp::behind(burst, packet, now + bandwidth::STEP));
        self.has_fallen_behind = true;
    }

    /// Returns whether it fell behind since this was asked last.
    pub(crate) fn take_fallen_behind(&mut self) -> bool {
        std::mem::take(&mut self.has_fallen_behind)
    }

    /// Notes that a packet left, so many bytes long.
    pub(crate) fn note_sent(&mut self, now: Instant, sendable: &Sendable, size_bytes: usize) {
        if sendable.transport_sequence.is_some() {
            self.bandwidth.note_sent(now, size_bytes);
        }
    }

    /// Touches what the next packet of a kind needs, so that the processor fetches it meanwhile.
    pub(crate) fn look_ahead(&self, kind: Kind) -> (u16, u64) {
        let track = self.tracks.iter().find(|track| track.kind() == kind);
        let given = track.map_or(0, Track::look_ahead);
        (self.bandwidth.look_ahead(), given)
    }

    /// Returns how much the header extensions of an m-line add to a packet, in bytes.
    pub(crate) fn extension_len(&self, kind: Kind) -> usize {
        let track = self.tracks.iter().find(|track| track.kind() == kind);
        track.map_or(0, Track::extension_len)
    }

    /// Returns whether it has an m-line of a kind.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.tracks.iter().any(|track| track.kind() == kind)
    }

    /// Starts at a keyframe in the cache, of a layer of this rate; returns whether the viewer is in its join and
    /// plays it.
    pub(crate) fn catch_up(&mut self, now: Instant, start: Start, rate: Option<Bitrate>) -> bool {
        let catch_up = self.joins.begin(now, start);
        self.catch_up = catch_up.or(self.catch_up);
        if catch_up.is_some() {
            self.bandwidth.begin_join(now, rate);
        }
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
        let follows = track_of(&mut self.tracks, Kind::Video)
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
        self.bandwidth.begin_step(now);
        Some(step)
    }

    /// Returns whether a packet of so many bytes may leave in this step, and takes it as gone if so.
    pub(crate) fn admit_step(&mut self, now: Instant, size_bytes: usize) -> bool {
        self.bandwidth.admit_step(now, size_bytes)
    }

    /// Notes how far the step has come.
    pub(crate) fn continue_catch_up(&mut self, step: CatchUp) {
        self.catch_up = Some(step);
    }

    /// The viewer is live.
    pub(crate) fn end_catch_up(&mut self, now: Instant) {
        self.catch_up = None;
        self.bandwidth.end_join(now);
    }

    /// Prepares a packet from the cache; the first one begins the picture, again if need be.
    pub(crate) fn prepare_cached(
        &mut self,
        room: &Room,
        (burst, packet): (&Burst, &MediaPacket),
        begins: bool,
    ) -> Option<Sendable> {
        let number = self.bandwidth.next_number();
        let track = track_of(&mut self.tracks, burst.kind())?;
        if begins {
            track.begin(room, burst, packet)?;
        }
        let sendable = track.prepare(burst, packet, number)?;
        if begins {
            self.picture = Shown::Goes;
        }
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
        let number = self.bandwidth.next_number();
        let track = track_of(&mut self.tracks, again.kind)?;
        let sendable = track.prepare_again(now, round_trip, (again, number), (burst, packet))?;
        self.bandwidth.note_repair(now, packet.payload.len());
        Some(sendable)
    }

    /// Returns whether another packet of padding is due now, with which the path is probed.
    pub(crate) fn owes_padding(&self, now: Instant) -> bool {
        self.bandwidth.owes_padding(now)
    }

    /// Returns one of the last packets of the picture, `back` from the very last, to probe the path with.
    pub(crate) fn recent(&self, back: u16) -> Option<Again> {
        let video = self.tracks.iter().find(|it| it.kind() == Kind::Video)?;
        video.recent(back)
    }

    /// Prepares a packet to go once more to probe the path; `None` where there is no stream for it.
    pub(crate) fn prepare_probe(
        &mut self,
        again: &Again,
        burst: &Burst,
        packet: &MediaPacket,
    ) -> Option<Sendable> {
        let number = self.bandwidth.next_number();
        let track = track_of(&mut self.tracks, again.kind)?;
        track.prepare_probe((again, number), (burst, packet))
    }

    /// Prepares a packet of nothing but padding; `None` where there is no stream for it.
    pub(crate) fn prepare_padding(&mut self) -> Option<Sendable> {
        let number = self.bandwidth.next_number();
        track_of(&mut self.tracks, Kind::Video)?.prepare_padding(number)
    }

    /// Ends a step of probing.
    pub(crate) fn end_probe_step(&mut self, now: Instant) {
        self.bandwidth.end_step(now);
    }

    /// Takes the next packet that had to wait to be sent again, if its turn has come.
    pub(crate) fn take_repair(&mut self, now: Instant) -> Option<Again> {
        self.bandwidth.take_repair(now)
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
                Rtcp::Reception(report) => self.take_report(now, &report),
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
                Rtcp::Transport(feedback) => {
                    let catches_up = self.catch_up.is_some();
                    self.bandwidth.handle_feedback(now, &feedback, catches_up);
                }
                Rtcp::MaximumBitrate(bps) => self.bandwidth.handle_estimate(now, bps),
                Rtcp::SenderReport(_) | Rtcp::Goodbye { .. } => {}
            }
        }
        asked.again = self.bandwidth.queue_repairs(now, asked.again);
        asked
    }

    /// Appends the sender reports that are due, as one compound.
    pub(crate) fn poll_rtcp(&mut self, now: Instant, room: Option<&Room>, out: &mut Vec<u8>) {
        if self.next_report > now {
            return;
        }
        self.next_report = now + REPORT_INTERVAL;
        self.bandwidth.handle_timeout(now);
        for track in &mut self.tracks {
            let source = track.source();
            let clock = source.and_then(|source| room?.clock(source));
            if let Some(clock) = clock {
                track.write_report(now, clock, out);
            }
        }
    }

    /// Returns when a report or a step of the catch-up, of repairs or of probing is due.
    pub(crate) fn poll_timeout(&self) -> Instant {
        let step = self.catch_up.map(|catch_up| catch_up.poll_timeout());
        let others = step.into_iter().chain(self.bandwidth.poll_timeout());
        others.fold(self.next_report, Instant::min)
    }

    fn take_report(&mut self, now: Instant, report: &rtcp::ReceptionReport) {
        let tracks = self.tracks.iter();
        let measured = tracks
            .clone()
            .find_map(|track| track.round_trip(now, report));
        self.round_trip = measured.or(self.round_trip);
        let is_picture = |track: &Track| track.kind() == Kind::Video && track.ssrc() == report.ssrc;
        if tracks.clone().any(is_picture) {
            self.bandwidth.handle_loss(report.fraction_lost);
        }
    }
}

fn track_of(tracks: &mut [Track], kind: Kind) -> Option<&mut Track> {
    tracks.iter_mut().find(|track| track.kind() == kind)
}

/// Returns the layers that may be shown, the best first, and how many they are: with a choice of one layer that alone.
fn rungs(
    now: Instant,
    (choice, best): (LayerChoice, u8),
    room: &Room,
) -> ([Rung; MAX_LAYERS], usize) {
    let nothing = Rung {
        layer: best,
        rate: None,
    };
    let (mut rungs, mut count) = ([nothing; MAX_LAYERS], 0);
    let is_fit = |info: &&LayerInfo| match choice {
        LayerChoice::Auto => info.active,
        LayerChoice::Layer(_) => info.index == best,
    };
    for (rung, info) in rungs.iter_mut().zip(room.layers().iter().filter(is_fit)) {
        let rate = room.rate(now, Kind::Video, info.index);
        *rung = Rung {
            layer: info.index,
            rate,
        };
        count += 1;
    }
    (rungs, count)
}
