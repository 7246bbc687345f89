//! A peer that watches: which layer it is shown, what its numbers are, what it gets again, and what it says.

mod select;

mod catch_up;

mod hold;

mod rewrite;

mod span;

mod thin;

mod stamps;

mod resend;

mod sendable;

mod track;

mod bandwidth;

mod pacer;

mod playout;

mod repairs;

mod show;

mod send;

mod reception;

use std::time::{Duration, Instant};

use crate::codec::Tier;
use crate::command::{Format, Kind, LayerChoice, Limit, PeerId, PlayoutDelay, SendTrack};
use crate::congestion::rate::Bitrate;
use crate::relay::{Burst, SourceId};
use crate::room::Room;
use crate::rtp::rtcp::{self, Compound, Rtcp};
use crate::rtp::seq::SeqNo;

use bandwidth::Bandwidth;
use catch_up::Joins;
pub(crate) use catch_up::{CatchUp, Start};
use hold::Hold;
use reception::Reception;
use sendable::number_id;
pub(crate) use sendable::{DelayElement, Sendable};
pub(crate) use stamps::Past;
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
    /// What its connection leaves of its picture, where that is one.
    hold: Hold,
    /// What it wants to be shown.
    choice: LayerChoice,
    /// The layer that it is to be shown; `None` until the room's layers are known. It is shown another
    /// one until a keyframe of this one comes.
    target: Option<u8>,
    /// The tier that it is to be shown of its target, where that has layers within.
    tier: Tier,
    /// What it is shown of its target.
    picture: Shown,
    /// When what a layer that was too much has left in a queue will have passed; `None` before the first.
    drained: Option<Instant>,
    /// What its path carries, and the pace of what goes there.
    bandwidth: Bandwidth,
    /// What its path makes of its choice.
    limit: Limit,
    /// What was told of that.
    told_limit: Limit,
    /// Whether it fell behind since this was asked last: the rest of a burst comes from the cache.
    has_fallen_behind: bool,
    /// Whose layer was told to be shown, which one, and when; `None` before the first.
    told: Option<(PeerId, u8, Instant)>,
    /// Whether what is sent arrives.
    reception: Reception,
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
    /// The layer of which it needs a keyframe to be shown another tier; `None` when it needs none.
    pub(crate) keyframe: Option<u8>,
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
    /// Packets to send again now, by the viewer's own number; at most [`MAX_NACKED`].
    pub(crate) again: Vec<Again>,
    /// How many packets it names.
    pub(crate) named: usize,
    /// How many of them are too many to wait.
    pub(crate) refused: usize,
    /// How many of them are none that was sent lately.
    pub(crate) unknown: usize,
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
            hold: Hold::default(),
            choice,
            target: None,
            tier: Tier::BEST,
            picture: Shown::Goes,
            drained: None,
            bandwidth,
            limit: Limit::None,
            told_limit: Limit::None,
            has_fallen_behind: false,
            told: None,
            reception: Reception::default(),
        }
    }

    /// Tells the viewer how long to let pictures wait, where that was negotiated.
    pub(crate) fn set_playout_delay(&mut self, delay: PlayoutDelay) {
        if let Some(track) = track_of(&mut self.tracks, Kind::Video) {
            track.set_playout_delay(delay);
        }
    }

    /// Begins joins right behind the handshake: the viewer drops nothing of what comes then.
    pub(crate) fn be_prompt(&mut self) {
        self.joins.be_prompt();
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
            let due = if is_first {
                now + self.joins.settling()
            } else {
                now
            };
            let due = self.drained.map_or(due, |drained| drained.max(due));
            if self.catch_up.is_some_and(|catch_up| !catch_up.begins) {
                // It is behind in what it is shown: what comes of that now would leave a gap, and be too much.
                self.picture = Shown::Ended;
            }
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

    /// Notes that a keyframe has to be asked for because nothing cached can be shown; returns whether the viewer's join
    /// waits for it, once.
    pub(crate) fn joins_by_request(&mut self) -> bool {
        self.waits_for_picture() && self.joins.note_asked()
    }

    /// Returns the step of the catch-up that is due.
    pub(crate) fn take_step(&mut self, now: Instant) -> Option<CatchUp> {
        let catch_up = self.free_catch_up()?;
        let step = catch_up.step(now)?;
        let late = now.saturating_duration_since(catch_up.poll_timeout());
        self.catch_up = Some(step);
        self.bandwidth.begin_step(now, late);
        Some(step)
    }

    /// Returns whether another packet may leave in this step.
    pub(crate) fn has_room(&mut self, now: Instant) -> bool {
        self.bandwidth.has_room(now)
    }

    /// Notes how far the step has come.
    pub(crate) fn continue_catch_up(&mut self, step: CatchUp) {
        self.catch_up = Some(step);
    }

    /// The viewer is live.
    pub(crate) fn end_catch_up(&mut self) {
        self.catch_up = None;
    }

    /// What is shown can not go on; the next keyframe of the target begins it again.
    pub(crate) fn end_picture(&mut self) {
        self.catch_up = None;
        if self.picture == Shown::Goes && !self.has_seen_nothing() {
            self.picture = Shown::Ended;
        }
    }

    /// Takes another path to the viewer. What waited on the one before for longer than can be sent again is lost: a picture that was held up there
    /// ends, and goes on at a keyframe. Returns whether it does.
    pub(crate) fn handle_path_change(&mut self, now: Instant) -> bool {
        let hold = std::mem::take(&mut self.hold);
        self.bandwidth.handle_path_change(now);
        let ends = hold.is_behind() && self.shown().is_some();
        if ends {
            self.end_picture();
        }
        ends
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
                    if let Some(track) = self.tracks.iter().find(|track| track.ssrc() == ssrc) {
                        asked.take_nack(track, pairs);
                    }
                }
                Rtcp::Pli { ssrc } => {
                    asked.keyframe |= self.tracks.iter().any(|track| track.ssrc() == ssrc);
                }
                Rtcp::Fir { ssrc, number } => {
                    let mut tracks = self.tracks.iter_mut();
                    let track = tracks.find(|track| track.ssrc() == ssrc);
                    asked.keyframe |= track.is_some_and(|track| track.is_commanded(number));
                }
                Rtcp::Transport(feedback) => {
                    let catches_up = self.catch_up.is_some();
                    self.bandwidth.handle_feedback(now, &feedback, catches_up);
                }
                Rtcp::MaximumBitrate(bps) => self.bandwidth.handle_estimate(now, bps),
                Rtcp::SenderReport(_) | Rtcp::Goodbye { .. } => {}
            }
        }
        if self.hold.is_held() {
            asked.refused += std::mem::take(&mut asked.again).len();
        }
        asked.refused += self.bandwidth.queue_repairs(now, &mut asked.again);
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
            track.forget_old(now);
            let source = track.source();
            let clock = source.and_then(|source| room?.clock(source));
            if let Some(clock) = clock {
                track.write_report(now, clock, out);
            }
        }
    }

    /// Returns whether media arrives and how long ago the viewer last said so, where that has changed.
    pub(crate) fn poll_reception(&mut self, now: Instant) -> Option<(bool, Duration)> {
        self.reception.poll(now)
    }

    /// Returns when a report is due.
    pub(crate) fn poll_report(&self) -> Instant {
        self.next_report
    }

    /// Returns when a step of the catch-up, of repairs or of probing is due; `None` when there is none.
    pub(crate) fn poll_step(&self) -> Option<Instant> {
        let step = self.free_catch_up().map(|it| it.poll_timeout());
        step.into_iter().chain(self.bandwidth.poll_timeout()).min()
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
        let mut tracks = self.tracks.iter_mut();
        if tracks.any(|track| track.acknowledges(report)) {
            self.reception.note(now);
        }
    }
}

impl Asked {
    /// Takes what a NACK names, as far as that may wait.
    fn take_nack(&mut self, track: &Track, pairs: &[u8]) {
        for seq in rtcp::missing(pairs) {
            self.named += 1;
            if self.again.len() + self.unknown >= MAX_NACKED {
                self.refused += 1;
            } else if let Some(again) = track.origin(seq) {
                self.again.push(again);
            } else {
                self.unknown += 1;
            }
        }
    }
}

fn track_of(tracks: &mut [Track], kind: Kind) -> Option<&mut Track> {
    tracks.iter_mut().find(|track| track.kind() == kind)
}

#[cfg(test)]
mod tests;
