//! What the layers of a published picture are just now: who sends, how large, how much, and which is best.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::codec::{self, Resolution};
use crate::command::LayerInfo;
use crate::publisher::Arrived;
use crate::relay::MAX_LAYERS;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Looks that a rate is measured over.
const LOOKS: usize = 5;
/// A layer that was silent for so long while others went on is paused.
const PAUSE: Duration = Duration::from_secs(1);
/// So much longer than the paused one the others must have gone on.
const OTHERS: Duration = Duration::from_millis(500);
/// A layer that was silent for so long is paused, whatever the others do. An encoder repeats a
/// picture that does not change once a second.
const LONG_PAUSE: Duration = Duration::from_secs(2);
/// Between two tellings.
const TELL: Duration = Duration::from_secs(1);
/// Between two tellings of nothing but other rates.
const TELL_RATES: Duration = Duration::from_secs(5);

/// The layers of one publisher, at most [`MAX_LAYERS`].
#[derive(Debug, Default)]
pub(super) struct Ladder {
    /// The best first, at most [`MAX_LAYERS`]. A layer is here from its first packet on.
    rungs: Vec<Rung>,
    /// How large spatial layers are, as the last scalability structure says, also before they come.
    sizes: [Option<Resolution>; MAX_LAYERS],
    /// When the next look is due; `None` while nothing moves.
    next_look: Option<Instant>,
    /// Whether order or activity changed since [`Self::poll_change`].
    has_changed: bool,
    /// What was told last, and when; `None` before the first time.
    told: Option<(Instant, Vec<LayerInfo>)>,
    /// What is to be told; `None` when nothing is.
    news: Option<Vec<LayerInfo>>,
}

#[derive(Debug)]
struct Rung {
    info: LayerInfo,
    /// When its last packet came.
    last: Instant,
    /// Bytes since its beginning.
    bytes: u64,
    /// Bytes at the last looks, at most [`LOOKS`]; empty while it is paused.
    looks: VecDeque<(Instant, u64)>,
    /// Its rate over a whole second in which it sent, for its rank; 0 before.
    weight_bps: u32,
}

impl Ladder {
    /// Notes a packet, so many bytes long, and the sizes that it tells. In a simulcast each stream is a layer, else
    /// each spatial layer of the stream, with all that it needs.
    pub(super) fn note(
        &mut self,
        now: Instant,
        arrived: &Arrived<'_>,
        (bytes, is_simulcast): (usize, bool),
    ) {
        let (codec, payload) = (arrived.format.codec, arrived.payload);
        let scale = arrived.scale.filter(|_| !is_simulcast);
        let own = scale.map_or(arrived.layer, |scale| scale.tier.spatial());
        let Some(scale) = scale else {
            let size = arrived.keyframe.then(|| codec::resolution(codec, payload));
            return self.note_packet(now, (own, bytes), size.flatten());
        };
        if scale.begins {
            let described = arrived.descriptor.iter();
            let described = described.flat_map(|(_, it, _)| it.structure.sizes());
            let told = codec::layer_sizes(codec, payload).chain(described);
            for (known, told) in self.sizes.iter_mut().zip(told) {
                *known = Some(told);
            }
        }
        let known = self.sizes.get(usize::from(own)).copied().flatten();
        let read = || codec::resolution(codec, payload).filter(|_| arrived.keyframe);
        if let Some(rung) = self.rung(now, own) {
            (rung.info.stream, rung.info.spatial) = (0, own);
        }
        self.note_packet(now, (own, bytes), known.or_else(read));
        for rung in &mut self.rungs {
            let index = rung.info.index;
            if index != own && scale.needed.has_spatial(index) {
                rung.bytes += bytes as u64;
            }
        }
    }

    /// Notes a packet of a layer, and the size that it tells.
    fn note_packet(
        &mut self,
        now: Instant,
        (index, bytes): (u8, usize),
        resolution: Option<Resolution>,
    ) {
        let Some(rung) = self.rung(now, index) else {
            return;
        };
        rung.last = now;
        rung.bytes += bytes as u64;
        let returns = !rung.info.active;
        if returns {
            rung.info.active = true;
            rung.looks.clear();
            rung.looks.push_back((now, rung.bytes));
        }
        let mut resized = false;
        if let Some(Resolution { width, height }) = resolution {
            resized = (rung.info.width, rung.info.height) != (width, height);
            (rung.info.width, rung.info.height) = (width, height);
        }
        self.has_changed |= returns;
        if returns || resized {
            self.sort();
        }
        self.next_look.get_or_insert(now + LOOK);
    }

    /// Looks at all layers when it is time; returns those that are paused from now on.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<u8> {
        if self.next_look.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let newest = self.rungs.iter().map(|rung| rung.last).max();
        let newest = newest.unwrap_or(now);
        let mut paused = Vec::new();
        for rung in &mut self.rungs {
            rung.measure(now);
            if rung.info.active && rung.is_paused(now, newest) {
                rung.info.active = false;
                rung.info.bitrate_bps = 0;
                rung.looks.clear();
                paused.push(rung.info.index);
            }
        }
        self.has_changed |= !paused.is_empty();
        self.sort();
        let waits = self.tell(now);
        let moves = self.rungs.iter().any(|rung| rung.info.active);
        self.next_look = (moves || waits).then_some(now + LOOK);
        paused
    }

    /// Returns when the next look is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next_look
    }

    /// Returns the layers, the best first, if their order or activity has changed.
    pub(super) fn poll_change(&mut self) -> Option<Vec<LayerInfo>> {
        std::mem::take(&mut self.has_changed).then(|| self.infos().collect())
    }

    /// Has the layers told again, to who knows those of another publisher. Where none has come there are none to tell.
    pub(super) fn retell(&mut self) {
        self.has_changed |= !self.rungs.is_empty();
    }

    /// Returns whether there is a change or something to be told.
    pub(super) fn has_news(&self) -> bool {
        self.has_changed || self.news.is_some()
    }

    /// Returns the layers, in the order of their index, if there is something to be told.
    pub(super) fn poll_news(&mut self) -> Option<Vec<LayerInfo>> {
        self.news.take()
    }

    /// Returns whether a layer is paused while another one sends.
    pub(super) fn is_paused(&self, index: u8) -> bool {
        let is_active = |info: LayerInfo| info.active;
        let own = self.infos().find(|info| info.index == index);
        own.is_some_and(|info| !info.active) && self.infos().any(is_active)
    }

    fn infos(&self) -> impl Iterator<Item = LayerInfo> {
        self.rungs.iter().map(|rung| rung.info)
    }

    fn rung(&mut self, now: Instant, index: u8) -> Option<&mut Rung> {
        let known = self.rungs.iter().position(|rung| rung.info.index == index);
        if let Some(known) = known {
            return self.rungs.get_mut(known);
        }
        if self.rungs.len() >= MAX_LAYERS {
            return None;
        }
        self.rungs.push(Rung {
            info: LayerInfo {
                index,
                stream: index,
                spatial: 0,
                active: false,
                width: 0,
                height: 0,
                bitrate_bps: 0,
            },
            last: now,
            bytes: 0,
            looks: VecDeque::new(),
            weight_bps: 0,
        });
        self.rungs.last_mut()
    }

    /// Puts the best first: the largest picture; where a size is not known or equal, the highest rate.
    fn sort(&mut self) {
        let by_area = self.rungs.iter().all(|rung| rung.area() > 0);
        for place in 1..self.rungs.len() {
            for place in (1..=place).rev() {
                let (upper, lower) = (&self.rungs[place - 1], &self.rungs[place]);
                if !lower.outranks(upper, by_area) {
                    break;
                }
                self.rungs.swap(place - 1, place);
                self.has_changed = true;
            }
        }
    }

    /// Decides what is to be told; returns whether something has to wait for its time.
    fn tell(&mut self, now: Instant) -> bool {
        let mut infos: Vec<_> = self.infos().collect();
        infos.sort_unstable_by_key(|info| info.index);
        let due = match &self.told {
            None => !infos.is_empty(),
            Some((at, told)) => {
                let since = now.saturating_duration_since(*at);
                let differs = infos.len() != told.len()
                    || infos.iter().zip(told).any(|(info, told)| {
                        LayerInfo {
                            bitrate_bps: told.bitrate_bps,
                            ..*info
                        } != *told
                    });
                if differs && since < TELL {
                    return true;
                }
                let moved = infos.iter().zip(told).any(|(info, told)| {
                    let moved = u64::from(info.bitrate_bps.abs_diff(told.bitrate_bps));
                    moved * 10 > u64::from(told.bitrate_bps)
                });
                differs || (moved && since >= TELL_RATES)
            }
        };
        if due {
            self.told = Some((now, infos.clone()));
            self.news = Some(infos);
        }
        false
    }
}

impl Rung {
    fn area(&self) -> u32 {
        u32::from(self.info.width) * u32::from(self.info.height)
    }

    /// Returns whether it is better. Rates go up and down: a little more is no better.
    fn outranks(&self, other: &Self, by_area: bool) -> bool {
        if self.info.stream == other.info.stream {
            // One of them has all that the other has.
            return self.info.spatial > other.info.spatial;
        }
        if by_area && self.area() != other.area() {
            return self.area() > other.area();
        }
        u64::from(self.weight_bps) * 4 > u64::from(other.weight_bps) * 5
    }

    fn measure(&mut self, now: Instant) {
        if !self.info.active {
            return;
        }
        let sends = self.looks.back().is_none_or(|(_, then)| *then < self.bytes);
        if let Some((at, then)) = self.looks.front() {
            let span_ms = now.saturating_duration_since(*at).as_millis().max(1);
            let bits = u128::from(self.bytes - then) * 8;
            self.info.bitrate_bps = u32::try_from(bits * 1000 / span_ms).unwrap_or(u32::MAX);
            if sends && self.looks.len() >= LOOKS {
                self.weight_bps = self.info.bitrate_bps;
            }
        }
        self.looks.push_back((now, self.bytes));
        while self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
    }

    fn is_paused(&self, now: Instant, newest: Instant) -> bool {
        let silence = now.saturating_duration_since(self.last);
        let others = newest.saturating_duration_since(self.last);
        silence >= LONG_PAUSE || (silence >= PAUSE && others >= OTHERS)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn size(width: u16, height: u16) -> Option<Resolution> {
        Some(Resolution { width, height })
    }

    fn order(ladder: &Ladder) -> Vec<u8> {
        ladder.infos().map(|info| info.index).collect()
    }

    /// Sends packets of some layers every 10 ms and returns what was told, with its moments.
    fn run(
        ladder: &mut Ladder,
        (start, from_ms, to_ms): (Instant, u32, u32),
        layers: &[(u8, usize)],
    ) -> Vec<(u32, Vec<LayerInfo>)> {
        let mut told = Vec::new();
        for ms in from_ms..to_ms {
            let now = start + MS * ms;
            for &(index, bytes) in layers.iter().filter(|_| ms % 10 == 0) {
                ladder.note_packet(now, (index, bytes), None);
            }
            ladder.handle_timeout(now);
            told.extend(ladder.poll_news().map(|news| (ms, news)));
        }
        told
    }

    #[test]
    fn the_largest_is_the_best_whatever_the_order() {
        let start = Instant::now();
        let mut ladder = Ladder::default();
        ladder.note_packet(start, (1, 100), size(640, 360));
        ladder.note_packet(start, (0, 100), size(1280, 720));
        ladder.note_packet(start, (3, 100), size(160, 90));
        ladder.note_packet(start, (2, 100), size(320, 180));
        assert_eq!(order(&ladder), [0, 1, 2, 3]);
        ladder.note_packet(start, (3, 100), size(1920, 1080));
        assert_eq!(order(&ladder), [3, 0, 1, 2]);
        assert!(ladder.poll_change().is_some());
        assert!(ladder.poll_change().is_none());
    }

    #[test]
    fn without_sizes_the_rate_decides_and_near_rates_do_not_take_turns() {
        let start = Instant::now();
        let mut ladder = Ladder::default();
        run(
            &mut ladder,
            (start, 0, 2000),
            &[(0, 100), (1, 1000), (2, 300)],
        );
        assert_eq!(order(&ladder), [1, 2, 0]);
        ladder.poll_change();
        for round in 1..10 {
            let rates = [(0, 100), (1, 1000), (2, 950 + 100 * (round as usize % 2))];
            run(
                &mut ladder,
                (start, round * 2000, (round + 1) * 2000),
                &rates,
            );
            assert_eq!(order(&ladder), [1, 2, 0]);
        }
        assert!(ladder.poll_change().is_none());
    }

    #[test]
    fn a_layer_that_pauses_keeps_its_rank_and_is_told_within_a_second_and_a_half() {
        let start = Instant::now();
        let mut ladder = Ladder::default();
        run(&mut ladder, (start, 0, 3000), &[(0, 100), (1, 1000)]);
        let told = run(&mut ladder, (start, 3000, 6000), &[(0, 100)]);
        let (at, infos) = &told[0];
        assert!((4000..4300).contains(at), "told at {at} ms");
        assert!(infos[0].active && !infos[1].active);
        assert!(ladder.is_paused(1) && !ladder.is_paused(0));
        assert_eq!(order(&ladder), [1, 0]);
        let told = run(&mut ladder, (start, 6000, 9000), &[(0, 100), (1, 1000)]);
        assert!(told[0].1[1].active);
        assert_eq!(order(&ladder), [1, 0]);
    }

    #[test]
    fn a_picture_that_is_repeated_once_a_second_is_not_paused() {
        let start = Instant::now();
        let mut ladder = Ladder::default();
        for ms in 0..20_000 {
            let now = start + MS * ms;
            if ms % 1050 == 0 {
                ladder.note_packet(now, (0, 100), size(640, 360));
                ladder.note_packet(now, (1, 100), size(1280, 720));
            }
            assert_eq!(ladder.handle_timeout(now), [0_u8; 0], "at {ms} ms");
        }
    }

    #[test]
    fn rates_are_told_every_five_seconds_while_they_move_and_nothing_when_all_is_over() {
        let start = Instant::now();
        let mut ladder = Ladder::default();
        let told = run(&mut ladder, (start, 0, 4000), &[(0, 1000)]);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].0, 200);
        let rate = told[0].1[0].bitrate_bps;
        assert!((720_000..820_000).contains(&rate), "{rate} b/s");
        let told = run(&mut ladder, (start, 4000, 20_000), &[(0, 1000)]);
        assert!(told.len() <= 1, "{told:?}");
        let told = run(&mut ladder, (start, 20_000, 40_000), &[(0, 2000)]);
        assert!((1..=2).contains(&told.len()), "{told:?}");
        let told = run(&mut ladder, (start, 40_000, 60_000), &[]);
        assert!(told.len() <= 2, "{told:?}");
        assert!(told.last().is_some_and(|(_, infos)| !infos[0].active));
        assert_eq!(ladder.poll_timeout(), None);
    }
}
