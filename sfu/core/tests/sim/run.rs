//! One viewer behind a bottleneck, and what it saw.

use std::time::{Duration, Instant};

use klieg_sfu_core::command::{Event, Limit, PeerId};
use klieg_sfu_core::node::Node;

use super::bottleneck::Bottleneck;
use super::plot::{self, Curve};
use super::simulcast::SentLayer;
use super::stage::Stage;
use super::{Link, epoch};

const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);
/// The viewer's name.
pub(crate) const VIEWER: u64 = 9;

/// Layers of some 0.18, 0.54 and 2.1 Mb/s.
pub(crate) fn layers() -> Vec<SentLayer> {
    let layer = |rid, ssrc, size, packets| {
        let mut layer = SentLayer::new(rid, ssrc, size);
        (layer.packets, layer.keyframe_times) = (packets, 6);
        layer
    };
    vec![
        layer("q", 1000, (320, 180), 1),
        layer("h", 2000, (640, 360), 3),
        layer("f", 3000, (1280, 720), 12),
    ]
}

/// One viewer behind a bottleneck, and what it saw.
pub(crate) struct Run {
    pub(crate) stage: Stage,
    pub(crate) viewer: usize,
    pub(crate) estimates: Vec<(f64, f64)>,
}

impl Run {
    /// A picture in three layers.
    pub(crate) fn simulcast(seed: u64, link: Link, bottleneck: Bottleneck) -> Self {
        let mut stage = Stage::new(seed, 1);
        stage.simulcast(1, Link::round_trip(20), layers());
        stage.run(2 * SECOND);
        Self::of(stage, link, bottleneck)
    }

    /// A picture of some 1 Mb/s in one layer, and sound.
    pub(crate) fn single(seed: u64, link: Link, bottleneck: Bottleneck) -> Self {
        let mut stage = Stage::new(seed, 1);
        stage.publish(1, Link::round_trip(20));
        stage.run(2 * SECOND);
        Self::of(stage, link, bottleneck)
    }

    /// What there is, and a viewer behind a bottleneck.
    pub(crate) fn of(mut stage: Stage, link: Link, bottleneck: Bottleneck) -> Self {
        let viewer = stage.watch_behind(VIEWER, link, bottleneck);
        Self::with(stage, viewer)
    }

    /// A viewer that is there already.
    pub(crate) fn with(stage: Stage, viewer: usize) -> Self {
        Self {
            stage,
            viewer,
            estimates: Vec::new(),
        }
    }

    /// Lets time pass until so many seconds since the beginning.
    pub(crate) fn until(&mut self, secs: u64) -> &mut Self {
        while self.stage.elapsed() < SECOND * secs as u32 {
            self.stage.run(TICK);
            if let Some(kbps) = self.estimate() {
                self.estimates.push((self.now(), kbps));
            }
        }
        self
    }

    pub(crate) fn now(&self) -> f64 {
        self.stage.elapsed().as_secs_f64()
    }

    pub(crate) fn estimate(&self) -> Option<f64> {
        let now = self.stage.now;
        let mut nodes = self.stage.nodes.iter();
        let rate = nodes.find_map(|node: &Node| node.estimate(now, PeerId(VIEWER)))?;
        Some(rate.as_bps() as f64 / 1000.0)
    }

    /// Returns which layer was shown from when on.
    pub(crate) fn layers(&self) -> Vec<(f64, u8)> {
        let mut shown = Vec::new();
        for (at, event) in &self.stage.events {
            if let Event::ViewerLayer { peer, layer } = event
                && *peer == PeerId(VIEWER)
            {
                shown.push((at.as_secs_f64(), *layer));
            }
        }
        shown
    }

    pub(crate) fn layer_at(&self, secs: f64) -> Option<u8> {
        let shown = self.layers();
        let mut before = shown.iter().rev().filter(|(at, _)| *at <= secs);
        before.next().map(|(_, layer)| *layer)
    }

    pub(crate) fn limits(&self) -> Vec<(f64, Limit)> {
        let mut limits = Vec::new();
        for (at, event) in &self.stage.events {
            if let Event::ViewerLimit { peer, limit } = event
                && *peer == PeerId(VIEWER)
            {
                limits.push((at.as_secs_f64(), *limit));
            }
        }
        limits
    }

    /// Returns the longest time without another frame, within some seconds.
    pub(crate) fn freeze(&self, from: u64, to: u64) -> Duration {
        longest_gap(&self.stage.watching(self.viewer).shown, (from, to))
    }

    /// Returns what part of what came to the bottleneck it dropped, within some seconds.
    pub(crate) fn dropped(&mut self, from: u64, to: u64) -> usize {
        let bottleneck = self.bottleneck();
        let span = epoch() + SECOND * from as u32..epoch() + SECOND * to as u32;
        let dropped = bottleneck.dropped.iter();
        dropped.filter(|at| span.contains(*at)).count()
    }

    pub(crate) fn bottleneck(&mut self) -> &mut Bottleneck {
        let actor = &mut self.stage.actors[self.viewer];
        actor.bottleneck.as_mut().unwrap()
    }

    /// Returns how many packets came within some seconds.
    pub(crate) fn came(&self, from: u64, to: u64) -> usize {
        let span = epoch() + SECOND * from as u32..epoch() + SECOND * to as u32;
        let bytes = self.stage.watching(self.viewer).bytes.iter();
        bytes.filter(|(at, _)| span.contains(at)).count()
    }

    pub(crate) fn frames(&self, from: u64, to: u64) -> usize {
        let span = epoch() + SECOND * from as u32..epoch() + SECOND * to as u32;
        let shown = self.stage.watching(self.viewer).shown.iter();
        shown.filter(|at| span.contains(*at)).count()
    }

    /// Draws the run.
    pub(crate) fn plot(&mut self, name: &str, title: &str) {
        let end = self.now();
        let ticks = || (0..(end * 10.0) as u32).map(|tick| f64::from(tick) / 10.0);
        let bottleneck = self.bottleneck().clone();
        let kbps = |at: f64| bottleneck.kbps(Duration::from_secs_f64(at)) as f64;
        let most = self.estimates.iter().map(|(_, kbps)| *kbps);
        let most = most.fold(0.0, f64::max).max(1000.0);
        let capacity = ticks().map(|at| (at, kbps(at).min(most * 1.2))).collect();
        let mut received = vec![0.0; (end * 10.0) as usize + 1];
        for (at, bytes) in &self.stage.watching(self.viewer).bytes {
            received[((*at - epoch()).as_secs_f64() * 10.0) as usize] += *bytes as f64 * 0.08;
        }
        let smooth = |place: usize| {
            let window = &received[place.saturating_sub(4)..=place];
            window.iter().sum::<f64>() / window.len() as f64
        };
        let received = (0..received.len()).map(|at| (at as f64 / 10.0, smooth(at)));
        let curves = [
            Curve {
                name: "path, kb/s",
                colour: "#999",
                points: capacity,
            },
            Curve {
                name: "estimate",
                colour: "#d33",
                points: self.estimates.clone(),
            },
            Curve {
                name: "received",
                colour: "#27c",
                points: received.collect(),
            },
        ];
        plot::write(name, title, &curves);
    }
}

pub(crate) fn longest_gap(moments: &[Instant], (from, to): (u64, u64)) -> Duration {
    let (from, to) = (epoch() + SECOND * from as u32, epoch() + SECOND * to as u32);
    let within = moments.iter().copied().filter(|at| (from..to).contains(at));
    let moments: Vec<_> = std::iter::once(from).chain(within).chain([to]).collect();
    moments
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap()
}

/// What a viewer believes that its path carries, as `goog-remb` (draft-alvestrand-rmcat-remb-03, section 2.2).
pub(crate) fn own_estimate(kbps: u32) -> Vec<u8> {
    let mut message = vec![0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0];
    message.extend_from_slice(b"REMB");
    // An exponent of 6: units of 64 bit/s.
    let mantissa = kbps * 1000 / 64;
    let [_, high, middle, low] = mantissa.to_be_bytes();
    message.extend_from_slice(&[1, 6 << 2 | high, middle, low]);
    message.extend_from_slice(&2002_u32.to_be_bytes());
    message
}
