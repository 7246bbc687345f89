//! Which layer a viewer is to be shown, which one it is shown, and what there is to tell of both.

use std::time::{Duration, Instant};

use crate::codec::Tier;
use crate::command::{Kind, LayerChoice, LayerInfo, Limit};
use crate::congestion::allocate::Rung;
use crate::congestion::rate::Bitrate;
use crate::relay::{MAX_LAYERS, SourceId};
use crate::room::Room;
use crate::viewer::bandwidth::Picked;
use crate::viewer::track::Track;
use crate::viewer::{Selected, Shown, TELL_LAYER, Viewer, select, track_of};

/// How long the keyframe of a lower layer waits at most until a queue is empty: what does not fit into it is lost.
const MAX_DRAIN: Duration = Duration::from_millis(300);
/// Layers, and frame rates of the least of them.
const MAX_RUNGS: usize = MAX_LAYERS + 3;

impl Viewer {
    /// Notes what the viewer wants to be shown.
    pub(crate) fn choose(&mut self, choice: LayerChoice) {
        if choice != LayerChoice::Auto {
            self.bandwidth.begin_anew();
        }
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
        let sound = room.sound_rate(now, self.takes_redundancy());
        let shown = self.shown_tier().map(|(layer, tier)| key(layer, tier));
        let chosen = self.bandwidth.choose(now, rungs, shown, sound);
        let mut selected = Selected {
            layer: None,
            keyframe: None,
            goal: chosen.goal,
            moved: chosen.moved,
        };
        let Picked::Layer(picked) = chosen.picked else {
            self.pause();
            return selected;
        };
        let (target, tier) = unpack(picked);
        self.limit = if rungs.first().is_none_or(|rung| rung.layer == picked) {
            Limit::None
        } else {
            Limit::Lower
        };
        let shown = shown.map(|shown| unpack(shown).0);
        selected.keyframe = self.go_to_tier(room, target, tier);
        let resumes = self.picture == Shown::Paused;
        if resumes {
            self.picture = Shown::Ended;
        }
        if chosen.is_far_over && shown != Some(target) && self.picture == Shown::Goes {
            // What is left of the old one would only stand in the way of the keyframe.
            self.end_too_much(now, chosen.queue);
        }
        let layer = self.go_to(target).or_else(|| resumes.then_some(target));
        Selected { layer, ..selected }
    }

    /// Ends a picture that is too much by far: nothing of it goes any more, and what it left in a queue passes first.
    fn end_too_much(&mut self, now: Instant, queue: Duration) {
        self.picture = Shown::Ended;
        self.catch_up = None;
        self.drained = Some(now + queue.min(MAX_DRAIN));
        if let Some(track) = track_of(&mut self.tracks, Kind::Video) {
            track.forsake();
        }
    }

    /// Takes the tier to be shown; returns the layer if a keyframe of it is needed to begin that.
    fn go_to_tier(&mut self, room: &Room, target: u8, tier: Tier) -> Option<u8> {
        let before = std::mem::replace(&mut self.tier, tier);
        if let Some(track) = track_of(&mut self.tracks, Kind::Video) {
            track.want(tier);
        }
        let (layer, shown) = self.shown_tier()?;
        let needs = layer == target && room.needs_keyframe(layer, (shown, tier));
        (needs && before != tier).then_some(layer)
    }

    /// Returns the layer that is shown and which tier of it; `None` before the first and once it ended.
    fn shown_tier(&self) -> Option<(u8, Tier)> {
        let (_, layer) = self.shown()?;
        let video = self.tracks.iter().find(|it| it.kind() == Kind::Video)?;
        Some((layer, video.tier()?))
    }

    fn pause(&mut self) {
        self.limit = Limit::Paused;
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
        let told = std::mem::replace(&mut self.told_limit, self.limit);
        Some(self.limit).filter(|limit| *limit != told)
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

    pub(super) fn has_seen_nothing(&self) -> bool {
        let mut video = self.tracks.iter().filter(|it| it.kind() == Kind::Video);
        video.all(Track::waits)
    }

    /// Returns the layer whose keyframe it has waited for since its last report at least.
    pub(crate) fn overdue(&self, now: Instant, room: &Room) -> Option<u8> {
        let target = self.target.filter(|_| self.next_report <= now)?;
        let shown = self.shown().map(|(source, _)| source);
        let (source, format) = room.source(target)?;
        let is_other_tier = |(layer, shown)| room.needs_keyframe(layer, (shown, self.tier));
        let waits = shown != Some(source) || self.shown_tier().is_some_and(is_other_tier);
        let waits = waits && self.catch_up.is_none() && !self.has_seen_nothing();
        (waits && self.plays(&format)).then_some(target)
    }

    /// Returns the layer that is shown and the one that was told before, if there is something to tell.
    pub(crate) fn poll_layer(&mut self, now: Instant, room: &Room) -> Option<(u8, Option<u8>)> {
        let (source, _) = self.shown()?;
        let (stream, tier) = self.shown_tier()?;
        let shown = room.layer_of(stream, tier);
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

    pub(super) fn is_to_be_shown(&self, layer: u8) -> bool {
        !self.is_paused() && self.target.is_none_or(|target| target == layer)
    }
}

/// Returns what may be shown, the best first, and how many these are: with a choice of one layer that and what is below
/// it; and of the least one lower frame rates, too.
fn rungs(
    now: Instant,
    (choice, best): (LayerChoice, u8),
    room: &Room,
) -> ([Rung; MAX_RUNGS], usize) {
    let highest = match choice {
        LayerChoice::Auto | LayerChoice::Layer(_) => Tier::BEST.temporal(),
        LayerChoice::Reduced(_, temporal) => temporal,
    };
    let nothing = Rung {
        layer: best,
        rate: None,
        is_chosen: false,
    };
    let (mut rungs, mut count) = ([nothing; MAX_RUNGS], 0);
    let mut least = None;
    let layers = room.layers().iter();
    let layers = layers.skip_while(|info| info.index != best);
    let is_chosen = |info: &LayerInfo| choice != LayerChoice::Auto && info.index == best;
    for (rung, info) in rungs.iter_mut().zip(layers.filter(|info| info.active)) {
        let tier = Tier::new(info.spatial, highest);
        let rate = room.tier_rate(now, info.stream, tier);
        *rung = Rung {
            layer: key(info.stream, tier),
            rate,
            is_chosen: is_chosen(info),
        };
        least = Some((info.stream, tier, rate));
        count += 1;
    }
    let Some((stream, tier, mut above)) = least else {
        return (rungs, count);
    };
    let lower = (0..room.top_temporal(stream).min(highest)).rev();
    let lower = lower.map(|temporal| Tier::new(tier.spatial(), temporal));
    for (rung, tier) in rungs.iter_mut().skip(count).zip(lower) {
        let rate = room.tier_rate(now, stream, tier);
        // A frame rate that saves nothing is none.
        if rate.zip(above).is_none_or(|(rate, above)| rate >= above) {
            break;
        }
        *rung = Rung {
            layer: key(stream, tier),
            rate,
            is_chosen: false,
        };
        above = rate;
        count += 1;
    }
    (rungs, count)
}

/// Returns what the allocator knows a tier of a layer by.
fn key(layer: u8, tier: Tier) -> u8 {
    layer << 4 | tier.place()
}

fn unpack(key: u8) -> (u8, Tier) {
    (key >> 4, Tier::at(key & 0x0f))
}
