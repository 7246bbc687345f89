//! One room on one shard: who watches here, what is being sent, and the fan-out of a burst to every viewer.

mod fan_out;

mod stream;

mod tiers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::codec::Tier;
use crate::command::{Format, Kind, LayerInfo, ShardIndex, Still};
use crate::congestion::rate::Bitrate;
use crate::node::peers::PeerIndex;
use crate::publisher::cache::Cache;
use crate::relay::{Burst, Epoch, Layers, MAX_LAYERS, MediaPacket, SourceClock, SourceId};
use crate::viewer::{Again, Start};

use stream::Stream;

pub use fan_out::MAX_RUN;
pub(crate) use fan_out::{AHEAD, Body, FanOut, seal};

/// Between two looks at what of the caches is too old: a stream that stopped brings nothing that would take its place.
const SWEEP: Duration = Duration::from_millis(900);

/// The state of one room on one shard.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// The connected viewers on this shard, each once, in the order in which they are sent to.
    pub(crate) viewers: Vec<PeerIndex>,
    /// The first for whom the kernel had no room since the viewers' turn began; `None` while there is enough.
    unserved: Option<PeerIndex>,
    /// Whose media counts; `None` until this shard has heard of a publisher.
    epoch: Option<Epoch>,
    /// The publisher, when it is on this shard.
    pub(crate) publisher: Option<PeerIndex>,
    /// The shards that want the publisher's media; at most one entry for each.
    pub(crate) wanted_by: Vec<ShardIndex>,
    /// The layers of the picture, the best first, at most [`MAX_LAYERS`]; empty until the publisher that counts sends one.
    layers: Vec<LayerInfo>,
    /// The sound that is being sent.
    audio: Stream,
    /// When its last packet came and how long after the one before; `None` before the first.
    rhythm: Option<(Instant, Duration)>,
    /// The layers of the picture that is being sent, by their index.
    video: [Stream; MAX_LAYERS],
    /// When the caches were gone through last; `None` before.
    swept: Option<Instant>,
}

/// What a burst begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    /// Nothing: its source goes on.
    Nothing,
    /// Another source of a layer, in a coding that other layers of this publisher have too.
    Layer,
    /// Another source, in a coding that is news.
    Coding,
}

impl Room {
    /// Returns whether nobody of the room is on this shard.
    pub(crate) fn is_empty(&self) -> bool {
        self.viewers.is_empty() && self.publisher.is_none()
    }

    /// Notes that the kernel had no room for a viewer's run.
    pub(crate) fn note_loss(&mut self, viewer: PeerIndex) {
        self.unserved = self.unserved.or(Some(viewer));
    }

    /// Ends the viewers' turn. Who went without begins the next, so that a server that has too much to
    /// send does not always fail the same ones.
    pub(crate) fn turn(&mut self) {
        let Some(first) = self.unserved.take() else {
            return;
        };
        if let Some(place) = self.viewers.iter().position(|viewer| *viewer == first) {
            self.viewers.rotate_left(place);
        }
    }

    /// Takes a publisher as the one that counts; `false` when one that took over later is known.
    pub(crate) fn begin_epoch(&mut self, epoch: Epoch) -> bool {
        let counts = self.epoch.is_none_or(|known| known <= epoch);
        if counts {
            if self.epoch.is_none_or(|known| known.peer != epoch.peer) {
                self.forget_media();
            }
            self.epoch = Some(epoch);
        }
        counts
    }

    /// Takes what the layers of the picture are; returns whether they are those of the publisher that
    /// counts.
    pub(crate) fn set_layers(&mut self, layers: &Layers) -> bool {
        let counts = self
            .epoch
            .is_some_and(|epoch| epoch.peer == layers.publisher);
        if counts {
            self.layers.clone_from(&layers.ranked);
        }
        counts
    }

    /// Returns the layers of the picture, the best first.
    pub(crate) fn layers(&self) -> &[LayerInfo] {
        &self.layers
    }

    /// Returns whose media counts.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// Returns whether a source is of the publisher that counts.
    pub(crate) fn hears(&self, source: SourceId) -> bool {
        self.epoch.is_some_and(|epoch| epoch.peer == source.peer)
    }

    /// Takes a burst as what is being sent now; returns what it begins.
    pub(crate) fn accept(&mut self, burst: &Arc<Burst>) -> Begins {
        let (kind, source) = (burst.kind(), burst.source);
        // Of the layers of one picture the first one is news; another source of it is again.
        let is_beside = |stream: &Stream| {
            let same = |(known, format): (SourceId, Format)| {
                known.peer == source.peer && format == burst.format
            };
            stream.source.is_some_and(same)
        };
        let others = self.streams(kind).iter().enumerate();
        let mut others = others.filter(|(index, _)| *index != usize::from(burst.layer));
        let has_coding = others.any(|(_, stream)| is_beside(stream));
        let Some(stream) = self.stream_mut(kind, burst.layer) else {
            return Begins::Nothing;
        };
        let begins = match (stream.shows(source), has_coding) {
            (true, _) => Begins::Nothing,
            (false, true) => Begins::Layer,
            (false, false) => Begins::Coding,
        };
        if begins != Begins::Nothing {
            stream.source = Some((source, burst.format));
            stream.clock = stream.clock.filter(|clock| clock.source == source);
        }
        stream.note(burst);
        if begins != Begins::Nothing && kind == Kind::Video {
            stream.tiers = None;
        }
        match kind {
            Kind::Video => stream.cache.insert(burst),
            Kind::Audio => {
                let before = self.rhythm.map_or(burst.arrived, |(at, _)| at);
                let span = burst.arrived.saturating_duration_since(before);
                self.rhythm = Some((burst.arrived, span));
            }
        }
        begins
    }

    /// Forgets what the publisher before sent: the next one may have other layers, or no picture at all.
    fn forget_media(&mut self) {
        self.layers.clear();
        self.audio = Stream::default();
        self.video = Default::default();
    }

    /// Notes where a source's timestamps stand. The report may come before the first packet: to a
    /// shard that wants the media late it does.
    pub(crate) fn set_clock(&mut self, clock: SourceClock) {
        let hears = self.hears(clock.source);
        if hears {
            // Sound and picture stay together only if both are moved alike.
            let clocks = std::iter::once(&mut self.audio).chain(&mut self.video);
            for known in clocks.filter_map(|stream| stream.clock.as_mut()) {
                known.to_server = clock.to_server;
            }
        }
        let Some(stream) = self.stream_mut(clock.kind, clock.layer) else {
            return;
        };
        let is_over =
            |shown: SourceId| shown.peer == clock.source.peer && shown.number > clock.source.number;
        if hears && !stream.source.is_some_and(|(shown, _)| is_over(shown)) {
            stream.clock = Some(clock);
        }
    }

    /// Returns the known clocks of what is being sent.
    pub(crate) fn clocks(&self) -> impl Iterator<Item = SourceClock> {
        self.all().filter_map(|stream| stream.clock)
    }

    /// Returns the clock of a source, if it is known.
    pub(crate) fn clock(&self, source: SourceId) -> Option<&SourceClock> {
        self.all()
            .filter_map(|stream| stream.clock.as_ref())
            .find(|clock| clock.source == source)
    }

    /// Returns what is being sent, each coding once.
    pub(crate) fn formats(&self) -> Vec<Format> {
        let mut formats = Vec::new();
        for (_, format) in self.all().filter_map(|stream| stream.source) {
            if !formats.contains(&format) {
                formats.push(format);
            }
        }
        formats
    }

    /// Returns whether anything of this kind has been sent.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        let mut streams = self.streams(kind).iter();
        streams.any(|stream| stream.source.is_some())
    }

    /// Returns whether the publisher that counts has sent a layer.
    pub(crate) fn has_layer(&self, kind: Kind, layer: u8) -> bool {
        let source = self.stream(kind, layer).and_then(|stream| stream.source);
        source.is_some_and(|(source, _)| self.hears(source))
    }

    /// Returns what the sound is carried by.
    pub(crate) fn sound(&self) -> Option<SourceId> {
        self.audio.source.map(|(source, _)| source)
    }

    /// Returns when the next packet of sound is to be expected; `None` while that is not known.
    pub(crate) fn next_sound(&self) -> Option<Instant> {
        let known = self.rhythm.filter(|(_, span)| !span.is_zero());
        known.map(|(at, span)| at + span)
    }

    /// Returns what the layers of the picture are carried by.
    pub(crate) fn pictures(&self) -> impl Iterator<Item = SourceId> {
        let sources = self.video.iter().filter_map(|stream| stream.source);
        sources.map(|(source, _)| source)
    }

    /// Returns what a layer of the picture is carried by.
    pub(crate) fn source(&self, layer: u8) -> Option<(SourceId, Format)> {
        self.stream(Kind::Video, layer)?.source
    }

    /// Returns whether this source is being sent.
    pub(crate) fn sends(&self, source: SourceId) -> bool {
        self.all().any(|stream| stream.shows(source))
    }

    /// Returns what a layer of the picture takes on the way to a viewer; `None` while that is not known.
    pub(crate) fn rate(&self, now: Instant, layer: u8) -> Option<Bitrate> {
        self.stream(Kind::Video, layer)?.meter.rate(now)
    }

    /// Returns what sound takes on the way to a viewer, who gets its redundancy or does not.
    pub(crate) fn sound_rate(&self, now: Instant, is_redundant: bool) -> Bitrate {
        let plain = self.audio.meter.rate(now).unwrap_or_default();
        let redundancy = self.audio.redundancy.rate(now).filter(|_| is_redundant);
        plain + redundancy.unwrap_or_default()
    }

    /// Returns what a tier of a layer takes; `None` while that is not known.
    pub(crate) fn tier_rate(&self, now: Instant, layer: u8, tier: Tier) -> Option<Bitrate> {
        let stream = self.stream(Kind::Video, layer)?;
        match &stream.tiers {
            Some(tiers) => tiers.rate(now, tier),
            None => stream.meter.rate(now),
        }
    }

    /// Returns the highest temporal layer of a layer, 0 where there are none.
    pub(crate) fn top_temporal(&self, layer: u8) -> u8 {
        let stream = self.stream(Kind::Video, layer);
        let tiers = stream.and_then(|stream| stream.tiers.as_ref());
        tiers.map_or(0, |tiers| tiers.top())
    }

    /// Returns whether a viewer needs a keyframe to go over from one spatial layer of a stream to another.
    pub(crate) fn needs_keyframe(&self, layer: u8, (from, to): (Tier, Tier)) -> bool {
        let stream = self.stream(Kind::Video, layer);
        let tiers = stream.and_then(|stream| stream.tiers.as_ref());
        let is_keyed = tiers.is_some_and(|tiers| tiers.is_keyed());
        // The best tier stands for however many there are.
        let highest = self.layers.iter().map(|info| info.spatial).max();
        let [from, to] = [from, to].map(|tier| tier.spatial().min(highest.unwrap_or(0)));
        to > from || (is_keyed && to < from)
    }

    /// Returns which layer of the picture a tier of a stream is.
    pub(crate) fn layer_of(&self, stream: u8, tier: Tier) -> u8 {
        let shown = |info: &&LayerInfo| info.stream == stream && info.spatial <= tier.spatial();
        let shown = self.layers.iter().filter(shown);
        let highest = shown.max_by_key(|info| info.spatial);
        highest.map_or(stream, |info| info.index)
    }

    /// Returns where a viewer can start in the cache of a layer.
    pub(crate) fn joinable(&self, now: Instant, layer: u8) -> Option<Start> {
        let stream = self.stream(Kind::Video, layer)?;
        stream.start(layer, stream.cache.joinable(now)?)
    }

    /// Returns the best layer but one that sends and in whose cache a viewer can start.
    pub(crate) fn joinable_instead(&self, now: Instant, layer: u8) -> Option<Start> {
        let others = self.layers.iter();
        let mut others = others.filter(|info| info.active && info.stream != layer);
        others.find_map(|info| {
            let stream = self.stream(Kind::Video, info.stream)?;
            stream.start(info.stream, stream.cache.stands_in(now)?)
        })
    }

    /// Returns the cache of sound, or of a layer of the picture.
    pub(crate) fn cache(&self, kind: Kind, layer: u8) -> Option<&Cache> {
        Some(&self.stream(kind, layer)?.cache)
    }

    /// Returns the smallest layer of the picture that sends, and a copy of its newest keyframe, if there is one and it is a
    /// picture by itself. Of a publisher that does not count any more there is none.
    pub(crate) fn still(&self) -> (u8, Option<Still>) {
        let smallest = self.layers.iter().rev().find(|info| info.active);
        let layer = smallest.map_or(0, |info| info.stream);
        let stream = self.stream(Kind::Video, layer);
        let stream = stream.filter(|it| it.source.is_some_and(|(source, _)| self.hears(source)));
        (layer, stream.and_then(Stream::still))
    }

    /// Returns what is cached of each layer since its last keyframe.
    pub(crate) fn since_keyframes(&self, now: Instant) -> Vec<Arc<Burst>> {
        let video = self.video.iter();
        video
            .flat_map(|stream| stream.cache.since_keyframe(now))
            .collect()
    }

    /// Forgets what is cached of streams that stopped, once a second at most.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let is_due = |at: Instant| now.saturating_duration_since(at) >= SWEEP;
        if self.swept.is_none_or(is_due) {
            self.swept = Some(now);
            for stream in &mut self.video {
                stream.cache.forget_old(now);
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &Stream> {
        std::iter::once(&self.audio).chain(&self.video)
    }

    fn streams(&self, kind: Kind) -> &[Stream] {
        match kind {
            Kind::Audio => std::slice::from_ref(&self.audio),
            Kind::Video => &self.video,
        }
    }

    fn stream(&self, kind: Kind, layer: u8) -> Option<&Stream> {
        self.streams(kind).get(usize::from(layer))
    }

    fn stream_mut(&mut self, kind: Kind, layer: u8) -> Option<&mut Stream> {
        match kind {
            Kind::Audio => (layer == 0).then_some(&mut self.audio),
            Kind::Video => self.video.get_mut(usize::from(layer)),
        }
    }
}

/// Finds a packet that a viewer asks for again.
pub(crate) fn find_again<'a>(
    room: &'a Room,
    again: &Again,
) -> Option<(&'a Burst, &'a MediaPacket)> {
    room.cache(again.kind, again.layer)?
        .find(again.source, again.seq)
}
