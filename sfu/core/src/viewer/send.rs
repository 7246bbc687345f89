//! What leaves for a viewer: live, from the cache, again, and to probe its path.

use std::time::Instant;

use crate::command::Kind;
use crate::framed::Backlog;
use crate::relay::{Burst, MediaPacket};
use crate::room::Room;
use crate::viewer::catch_up::{CatchUp, Start};
use crate::viewer::hold::is_inside;
use crate::viewer::track::Track;
use crate::viewer::{Again, DEFAULT_ROUND_TRIP, Past, Sendable, Shown, Viewer, pacer, track_of};

impl Viewer {
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
        let before = track.spatial();
        if begins {
            if !is_wanted {
                return None;
            }
            let waits = self.hold.is_held() || self.drained.is_some_and(|drained| drained > now);
            // What follows a keyframe that was lost and came again is in the cache.
            let waits = waits || packet.is_late;
            if is_video && packet.keyframe && waits {
                self.wait_for_queue(now, burst, packet);
                return None;
            }
            track.begin(room, burst, packet, None)?;
        } else if track.leaves_out(burst, packet) {
            return None;
        } else if is_video
            // What is left of a layer goes as it comes while the next one waits for its turn in the cache.
            && (self.catch_up.is_none() && !self.bandwidth.fits(now, packet.payload.len())
                || self.hold.holds(|| is_inside(room, burst, packet)))
            && track.is_next(burst, packet)
        {
            self.fall_behind(now, room, (burst, packet));
            return None;
        }
        let goes_over = begins || track.spatial() != before;
        let sendable = track.prepare((burst, packet), (number, None), goes_over)?;
        if begins && is_video {
            // What is left of the last source is of no use.
            self.catch_up = None;
            self.joins.note_live(now);
            self.picture = Shown::Goes;
        }
        if is_video && self.catch_up.is_none() {
            self.bandwidth.note_live(packet.payload.len());
        }
        Some(sendable)
    }

    /// Leaves a keyframe to be taken from the cache once a queue has passed, where it is played at all.
    fn wait_for_queue(&mut self, now: Instant, burst: &Burst, packet: &MediaPacket) {
        if self.plays(&burst.format) {
            let due = self.drained.map_or(now, |drained| drained.max(now));
            let start = Start {
                source: burst.source,
                layer: burst.layer,
                keyframe: packet.seq,
            };
            self.catch_up = Some(CatchUp::new(start, due));
            self.has_fallen_behind = true;
        }
    }

    /// Leaves a packet and all behind it to be taken from the cache, at the pace of the path. If something else waits
    /// there already, the picture is over until that comes.
    fn fall_behind(&mut self, now: Instant, room: &Room, (burst, packet): (&Burst, &MediaPacket)) {
        if self.catch_up.is_some() {
            self.picture = Shown::Ended;
            return;
        }
        let is_inside = is_inside(room, burst, packet);
        let due = now + pacer::STEP;
        self.catch_up = Some(CatchUp::behind((burst, packet), is_inside, due));
        self.has_fallen_behind = true;
    }

    /// Takes how much waits for its connection to take it; returns whether that holds its picture up, which was not.
    pub(crate) fn handle_backlog(&mut self, now: Instant, backlog: Backlog) -> bool {
        let is_held = self.hold.tell(now, backlog);
        if self.catch_up.is_none() {
            self.hold.forget_late();
        }
        is_held
    }

    /// Returns where it is in the cache, if its connection lets it go on there.
    pub(super) fn free_catch_up(&self) -> Option<CatchUp> {
        self.catch_up.filter(|catch_up| !self.is_held(catch_up))
    }

    /// Returns whether the next packet from the cache has to wait for the connection.
    pub(crate) fn is_held(&self, step: &CatchUp) -> bool {
        self.hold.holds(|| step.is_inside)
    }

    /// Returns, once, whether what waits in the cache was held up for too long to be shown.
    pub(crate) fn take_late(&mut self, step: &CatchUp) -> bool {
        self.hold.take_late(step)
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

    /// Returns whether the dependency descriptor of a packet may become longer for this viewer, so that it does not fit
    /// the others of a run.
    pub(crate) fn goes_alone(&self, burst: &Burst, packet: &MediaPacket) -> bool {
        let mut tracks = self.tracks.iter();
        tracks.any(|track| track.kind() == burst.kind() && track.tells_active(packet))
    }

    /// Returns how much header extensions and redundancy add to a packet, in bytes.
    pub(crate) fn added_len(&self, kind: Kind, packet: &MediaPacket) -> usize {
        let track = self.tracks.iter().find(|track| track.kind() == kind);
        track.map_or(0, |track| track.added_len(packet))
    }

    /// Returns whether it takes redundant sound as that.
    pub(super) fn takes_redundancy(&self) -> bool {
        self.tracks.iter().any(Track::takes_redundancy)
    }

    /// Notes a packet in the cache that comes next; returns whether it is of layers that are not shown.
    pub(crate) fn leaves_out(&mut self, burst: &Burst, packet: &MediaPacket) -> bool {
        let track = track_of(&mut self.tracks, burst.kind());
        track.is_some_and(|track| track.leaves_out(burst, packet))
    }

    /// Prepares a packet from the cache; the first one begins the picture, again if need be. `past` is where its
    /// source is by now if it goes with that time.
    pub(crate) fn prepare_cached(
        &mut self,
        room: &Room,
        (burst, packet): (&Burst, &MediaPacket),
        (begins, past): (bool, Option<Past>),
    ) -> Option<Sendable> {
        let number = self.bandwidth.next_number();
        let track = track_of(&mut self.tracks, burst.kind())?;
        if begins {
            track.begin(room, burst, packet, past)?;
        }
        let sendable = track.prepare((burst, packet), (number, past), begins)?;
        self.bandwidth.note_step(packet.payload.len());
        if begins {
            self.picture = Shown::Goes;
        }
        Some(sendable)
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
        !self.hold.is_held() && self.bandwidth.owes_padding(now)
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

    /// Forgets what had to wait to be sent again.
    pub(crate) fn forget_repairs(&mut self) {
        self.bandwidth.forget_repairs();
    }

    /// Takes the next packet that had to wait to be sent again, if its turn has come.
    pub(crate) fn take_repair(&mut self, now: Instant) -> Option<Again> {
        self.bandwidth.take_repair(now)
    }
}
