//! The last packets of a layer of a room's picture, kept once for all viewers that ask for one again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::relay::{Burst, MediaPacket, SourceId};
use crate::rtp::seq::SeqNo;

/// Packets kept of one layer at most: with 1200 bytes each, 3 MB.
const CAPACITY: usize = 2560;
/// How long a packet is kept for those who miss it: a lost one is asked for again within this even far away.
const KEPT: Duration = Duration::from_secs(3);

/// What a viewer is given at once when it joins, at the most: packets, and age of the keyframe. Encoders that have
/// keyframes of their own accord have one every ten seconds mostly, or more often; 1700 packets are two seconds of
/// 8 Mbit/s.
const MAX_REPLAY: u64 = 1700;
const MAX_REPLAY_AGE: Duration = Duration::from_secs(11);
/// The same of a layer that stands in for another one: it is to be live before a keyframe of that comes.
const MAX_STAND_IN: u64 = 600;
const MAX_STAND_IN_AGE: Duration = Duration::from_secs(6);
/// What came so much before the newest packet goes with the time at which it is sent.
const MIN_PAST: Duration = Duration::from_millis(100);
/// How long after nobody can begin at a keyframe any more those who did may take to catch up from there.
const CATCHING_UP: Duration = Duration::from_secs(4);
/// A stream silent for longer has ended: nobody is shown its last seconds.
const MAX_SILENCE: Duration = Duration::from_secs(1);

/// The last packets of one source, each held through the burst it came in.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// Whose they are; `None` before the first.
    source: Option<SourceId>,
    /// By number from `first` on, without those that are missing; at most [`CAPACITY`].
    packets: VecDeque<Option<(Arc<Burst>, u16)>>,
    /// The number of the first place.
    first: SeqNo,
    /// The first packet of the newest keyframe; `None` until one came.
    keyframe: Option<Mark>,
    /// The one before, from which a viewer may still be catching up, and when it was followed.
    followed: Option<Mark>,
    /// The newest packet; `None` until one came.
    newest: Option<Mark>,
}

/// One packet of note.
#[derive(Clone, Copy, Debug)]
struct Mark {
    seq: SeqNo,
    timestamp: u64,
    at: Instant,
}

impl Cache {
    /// Keeps the packets of a burst. Those of another source replace what was kept.
    pub(crate) fn insert(&mut self, burst: &Arc<Burst>) {
        if self.source != Some(burst.source) {
            *self = Self {
                source: Some(burst.source),
                ..Self::default()
            };
        }
        for (index, packet) in (0_u16..).zip(&burst.packets) {
            if let Some(place) = self.place_for(packet.seq) {
                *place = Some((Arc::clone(burst), index));
            }
            self.note(burst.arrived, packet);
        }
        self.forget_old(burst.arrived);
    }

    /// Returns where a viewer can start now: at the newest keyframe, if that is not too far back and
    /// the stream still goes on.
    pub(crate) fn joinable(&self, now: Instant) -> Option<(SourceId, SeqNo)> {
        self.within(now, MAX_REPLAY, MAX_REPLAY_AGE)
    }

    /// Returns the same where this layer stands in for another one.
    pub(crate) fn stands_in(&self, now: Instant) -> Option<(SourceId, SeqNo)> {
        self.within(now, MAX_STAND_IN, MAX_STAND_IN_AGE)
    }

    fn within(&self, now: Instant, most: u64, age: Duration) -> Option<(SourceId, SeqNo)> {
        let (keyframe, newest) = self.keyframe.zip(self.newest)?;
        let fits = newest.seq.0.checked_sub(keyframe.seq.0)? < most
            && keyframe.is_within(age, now)
            && newest.is_within(MAX_SILENCE, now);
        self.source.filter(|_| fits).zip(Some(keyframe.seq))
    }

    /// Returns the timestamp of the newest packet, and when that came; `None` before the first.
    pub(crate) fn newest(&self) -> Option<(u64, Instant)> {
        self.newest.map(|newest| (newest.timestamp, newest.at))
    }

    /// Returns whether who begins with a burst begins in the past.
    pub(crate) fn is_past(&self, burst: &Burst) -> bool {
        let newest = self.newest.map_or(burst.arrived, |newest| newest.at);
        newest.saturating_duration_since(burst.arrived) >= MIN_PAST
    }

    /// Returns whether the source has come as far as `seq`.
    pub(crate) fn reaches(&self, source: SourceId, seq: SeqNo) -> bool {
        self.source == Some(source) && self.newest.is_some_and(|newest| newest.seq >= seq)
    }

    /// Returns whether a packet of a source was kept, or came before those that were, and is no longer.
    pub(crate) fn has_forgotten(&self, source: SourceId, seq: SeqNo) -> bool {
        self.source == Some(source) && seq < self.first
    }

    /// Returns the bursts since the newest keyframe, in the order of their numbers.
    pub(crate) fn since_keyframe(&self, now: Instant) -> Vec<Arc<Burst>> {
        let Some(((_, first), newest)) = self.joinable(now).zip(self.newest) else {
            return Vec::new();
        };
        let mut bursts: Vec<Arc<Burst>> = Vec::new();
        for seq in (first.0..=newest.seq.0).map(SeqNo) {
            let burst = self.get(seq).map(|(burst, _)| burst);
            bursts.extend(
                burst
                    .filter(|it| bursts.last().is_none_or(|last| !Arc::ptr_eq(last, it)))
                    .cloned(),
            );
        }
        bursts
    }

    /// Returns the payloads of a source's newest keyframe, in their order; `None` while one of its packets is missing.
    pub(crate) fn keyframe(&self, source: SourceId) -> Option<Vec<&[u8]>> {
        let first = self.keyframe?;
        let mut payloads = Vec::new();
        // Ends where the cache does: beyond it nothing is found.
        for seq in (first.seq.0..).map(SeqNo) {
            let (burst, packet) = self.find(source, seq)?;
            if packet.timestamp != first.timestamp {
                return None;
            }
            payloads.push(burst.payload(packet));
            if packet.marker {
                return Some(payloads);
            }
        }
        None
    }

    /// Finds a packet of a source, unless it is missing or too old.
    pub(crate) fn find(&self, source: SourceId, seq: SeqNo) -> Option<(&Burst, &MediaPacket)> {
        let (burst, index) = self.get(seq).filter(|_| self.source == Some(source))?;
        Some((burst, burst.packets.get(usize::from(index))?))
    }

    fn get(&self, seq: SeqNo) -> Option<(&Arc<Burst>, u16)> {
        let offset = usize::try_from(seq.0.checked_sub(self.first.0)?).ok()?;
        let (burst, index) = self.packets.get(offset)?.as_ref()?;
        Some((burst, *index))
    }

    /// Returns the place of a packet, a new one at the end if it is ahead; `None` if it is too old.
    fn place_for(&mut self, seq: SeqNo) -> Option<&mut Option<(Arc<Burst>, u16)>> {
        if self.packets.is_empty() {
            self.first = seq;
        }
        let mut offset = usize::try_from(seq.0.checked_sub(self.first.0)?).ok()?;
        if offset >= self.packets.len() + CAPACITY {
            // So many are not lost: the numbers have jumped.
            self.packets.clear();
            (self.first, offset) = (seq, 0);
        }
        while offset >= CAPACITY {
            self.forget_first();
            offset -= 1;
        }
        if offset >= self.packets.len() {
            self.packets.resize(offset + 1, None);
        }
        self.packets.get_mut(offset)
    }

    fn note(&mut self, at: Instant, packet: &MediaPacket) {
        let mark = Mark {
            seq: packet.seq,
            timestamp: packet.timestamp,
            at,
        };
        if self.newest.is_none_or(|newest| newest.seq <= packet.seq) {
            self.newest = Some(mark);
        }
        if !packet.keyframe {
            return;
        }
        // An H.264 keyframe has several packets in which a decoder could start: the first counts, which may come last.
        match &mut self.keyframe {
            Some(known) if known.timestamp > packet.timestamp => {}
            Some(known) if known.timestamp == packet.timestamp => {
                known.seq = known.seq.min(packet.seq);
            }
            known => {
                self.followed = known.map(|before| Mark { at, ..before });
                *known = Some(mark);
            }
        }
    }

    /// Forgets what nobody will ask for.
    pub(crate) fn forget_old(&mut self, now: Instant) {
        let followed = self.followed.filter(|it| it.is_within(CATCHING_UP, now));
        let keyframe = self.keyframe;
        let keyframe = keyframe.filter(|it| it.is_within(MAX_REPLAY_AGE + CATCHING_UP, now));
        let needed = followed.or(keyframe).map(|mark| mark.seq);
        while let Some(packet) = self.packets.front() {
            let is_needed = needed.is_some_and(|needed| self.first >= needed);
            let arrived = packet.as_ref().map(|(burst, _)| burst.arrived);
            let age = arrived.map(|at| now.saturating_duration_since(at));
            if is_needed || age.is_some_and(|age| age < KEPT) {
                break;
            }
            self.forget_first();
        }
        if self.packets.is_empty() {
            self.packets = VecDeque::new();
        }
    }

    fn forget_first(&mut self) {
        self.packets.pop_front();
        self.first.0 += 1;
    }
}

impl Mark {
    fn is_within(&self, span: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < span
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;
    use crate::command::{Codec, Format, PeerId, RoomKey};
    use proptest::prelude::*;

    fn source(number: u32) -> SourceId {
        SourceId {
            peer: PeerId(1),
            number,
        }
    }

    /// Keeps a burst of one packet that came `ms` after the start.
    fn keep(cache: &mut Cache, (start, ms): (Instant, u64), seq: u64, keyframe: bool) {
        let arrived = start + Duration::from_millis(ms);
        cache.insert(&burst(arrived, packet(seq, keyframe)));
    }

    fn packet(seq: u64, keyframe: bool) -> MediaPacket {
        MediaPacket {
            seq: SeqNo(seq),
            timestamp: seq * 3000,
            marker: true,
            keyframe,
            is_late: false,
            picture: None,
            scale: None,
            padding: 0,
            payload: 0..4,
            redundancy: 0,
            descriptor: None,
            captured_len: 0,
        }
    }

    fn burst(arrived: Instant, packet: MediaPacket) -> Arc<Burst> {
        Arc::new(Burst {
            room: RoomKey(1),
            source: source(1),
            layer: 0,
            format: Format {
                codec: Codec::Vp8,
                profile: 0,
                packetization_mode: 0,
            },
            arrived,
            packets: vec![packet],
            bytes: vec![0; 4],
        })
    }

    fn kept(cache: &Cache) -> usize {
        cache.packets.iter().flatten().count()
    }

    #[test]
    fn without_a_keyframe_to_begin_at_three_seconds_are_kept() {
        let start = Instant::now();
        let mut cache = Cache::default();
        for frame in 0..1500 {
            keep(&mut cache, (start, frame * 10), 70_000 + frame, frame == 0);
        }
        assert_eq!(kept(&cache), 1500, "a viewer may be catching up");
        keep(&mut cache, (start, 15_001), 71_500, false);
        assert_eq!(kept(&cache), 300);
        assert!(cache.find(source(1), SeqNo(71_202)).is_some());
        assert!(cache.find(source(1), SeqNo(71_200)).is_none());
    }

    #[test]
    fn a_viewer_begins_at_a_keyframe_of_ten_seconds_ago_unless_it_would_be_given_too_much() {
        let start = Instant::now();
        let mut cache = Cache::default();
        for frame in 0..1700 {
            keep(&mut cache, (start, frame * 6), 70_000 + frame, frame == 0);
        }
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(cache.joinable(at(10_194)), Some((source(1), SeqNo(70_000))));
        assert_eq!(cache.since_keyframe(at(10_194)).len(), 1700);
        keep(&mut cache, (start, 10_200), 71_700, false);
        assert_eq!(cache.joinable(at(10_200)), None, "too many packets");

        let mut cache = Cache::default();
        for frame in 0..111 {
            keep(&mut cache, (start, frame * 100), 70_000 + frame, frame == 0);
        }
        assert!(cache.joinable(at(10_999)).is_some());
        assert!(cache.joinable(at(11_000)).is_none(), "too long ago");
    }

    #[test]
    fn a_keyframe_that_was_followed_stays_while_viewers_catch_up() {
        let start = Instant::now();
        let mut cache = Cache::default();
        for frame in 0..500 {
            keep(
                &mut cache,
                (start, frame * 10),
                70_000 + frame,
                frame % 400 == 0,
            );
        }
        assert!(cache.find(source(1), SeqNo(70_000)).is_some());
        for frame in 500..801 {
            keep(&mut cache, (start, frame * 10), 70_000 + frame, false);
        }
        assert!(cache.find(source(1), SeqNo(70_000)).is_none());
        assert!(cache.find(source(1), SeqNo(70_400)).is_some());
        let now = start + Duration::from_millis(8010);
        assert_eq!(cache.joinable(now), Some((source(1), SeqNo(70_400))));
    }

    #[test]
    fn a_keyframe_is_found_once_all_its_packets_are_there() {
        let start = Instant::now();
        let mut cache = Cache::default();
        assert_eq!(cache.keyframe(source(1)), None);
        let part = |seq: u64, marker: bool| MediaPacket {
            marker,
            timestamp: 3000,
            ..packet(seq, seq == 70_000)
        };
        cache.insert(&burst(start, part(70_000, false)));
        cache.insert(&burst(start, part(70_002, true)));
        assert_eq!(cache.keyframe(source(1)), None, "one is missing");
        cache.insert(&burst(start, part(70_001, false)));
        keep(&mut cache, (start, 10), 70_003, false);
        assert_eq!(cache.keyframe(source(1)).unwrap(), [&[0; 4][..]; 3]);
        assert_eq!(cache.keyframe(source(2)), None, "of somebody else");
        // The next one begins, and its second packet is of another frame.
        cache.insert(&burst(
            start,
            MediaPacket {
                marker: false,
                ..packet(70_004, true)
            },
        ));
        keep(&mut cache, (start, 20), 70_005, false);
        assert_eq!(cache.keyframe(source(1)), None, "its end is missing");
    }

    #[test]
    fn a_keyframe_begins_with_the_first_packet_that_can_be_begun_with_also_where_that_comes_late() {
        let start = Instant::now();
        let mut cache = Cache::default();
        let part = |seq: u64| MediaPacket {
            timestamp: 3000,
            ..packet(seq, true)
        };
        cache.insert(&burst(start, part(70_002)));
        cache.insert(&burst(start, part(70_000)));
        cache.insert(&burst(start, part(70_004)));
        assert_eq!(cache.keyframe.map(|mark| mark.seq), Some(SeqNo(70_000)));
        assert_eq!(
            cache.followed.map(|mark| mark.seq),
            None,
            "it is one keyframe"
        );
    }

    #[test]
    fn of_a_stream_that_stopped_nothing_is_kept_in_the_end() {
        let start = Instant::now();
        let mut cache = Cache::default();
        for frame in 0..300 {
            keep(&mut cache, (start, frame * 10), 70_000 + frame, frame == 0);
        }
        let at = |secs: u64| start + Duration::from_secs(3 + secs);
        cache.forget_old(at(2));
        assert_eq!(kept(&cache), 300, "a viewer may be catching up");
        cache.forget_old(at(12));
        assert_eq!((kept(&cache), cache.packets.capacity()), (0, 0));
        assert!(cache.has_forgotten(source(1), SeqNo(70_299)));
        assert!(!cache.has_forgotten(source(1), SeqNo(70_300)));
        keep(&mut cache, (start, 20_000), 70_300, true);
        assert!(cache.find(source(1), SeqNo(70_300)).is_some());
    }

    proptest! {
        #[test]
        fn the_places_stay_bounded_and_hold_what_was_put_there(
            packets in proptest::collection::vec((0_u64..4000, 0_u64..50, any::<bool>()), 1..300),
        ) {
            let start = Instant::now();
            let mut cache = Cache::default();
            let mut at = 0;
            for (seq, wait, keyframe) in packets {
                at += wait;
                keep(&mut cache, (start, at), 70_000 + seq, keyframe);
                prop_assert!(cache.packets.len() <= CAPACITY);
                for (offset, place) in (cache.first.0..).zip(&cache.packets) {
                    if let Some((burst, index)) = place {
                        prop_assert_eq!(burst.packets[usize::from(*index)].seq, SeqNo(offset));
                    }
                }
            }
        }
    }
}
