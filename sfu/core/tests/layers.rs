//! Layers within one stream: what is left out leaves no trace in the numbers, and what is shown can be decoded.

use std::collections::BTreeMap;
use std::time::Duration;

use klieg_sfu_core::codec;
use klieg_sfu_core::command::{Codec, Command, Event, LayerChoice, PeerId};
use klieg_sfu_core::rtp::packet::Header;

use crate::sim::Link;
use crate::sim::bottleneck::Bottleneck;
use crate::sim::layered::{Layered, Mark, descriptor};
use crate::sim::stage::{Stage, count};

const SECOND: Duration = Duration::from_secs(1);
/// Codings with spatial layers: whether larger pictures need the smaller ones of keyframes alone.
const SPATIAL: [(Codec, bool); 4] = [
    (Codec::Vp9, false),
    (Codec::Vp9, true),
    (Codec::Av1, false),
    (Codec::Av1, true),
];

/// A publisher and a viewer on other shards.
fn stage(seed: u64, layered: Layered) -> (Stage, usize, usize) {
    let mut stage = Stage::new(seed, 2);
    let format = layered.format();
    let publisher = stage.layer(1, Link::round_trip(20), layered);
    let viewer = stage.watch_layers(2, Link::round_trip(30), format);
    (stage, publisher, viewer)
}

fn layered(codec: Codec, layers: (u8, u8), is_keyed: bool) -> Layered {
    let mut layered = Layered::new(crate::sim::epoch(), codec, layers);
    layered.is_keyed = is_keyed;
    layered
}

/// A packet that a viewer got.
#[derive(Clone, Copy, Debug)]
struct Got {
    mark: Mark,
    marker: bool,
    timestamp: u32,
    /// Picture id and TL0PICIDX, where the coding has them.
    numbers: Option<(u16, Option<u8>)>,
}

/// Returns what a viewer has, after the rules that hold for every stream: no number is left out, frames are whole, a
/// picture ends with its highest layer that is shown, and every frame has what it needs.
fn stream(stage: &Stage, viewer: usize, (codec, is_keyed): (Codec, bool)) -> Vec<Got> {
    let received = &stage.watching(viewer).received;
    let numbers: Vec<_> = received.keys().copied().collect();
    let is_next = |pair: &[u64]| pair[1] == pair[0] + 1;
    assert!(numbers.windows(2).all(is_next), "a number is left out");
    let got: Vec<_> = received
        .values()
        .filter_map(|packet| {
            let header = Header::parse(packet).unwrap();
            let payload = &packet[header.payload.clone()];
            Some(Got {
                mark: Mark::find(packet)?,
                marker: header.marker,
                timestamp: header.timestamp,
                numbers: codec::picture(codec, payload).map(|it| (it.id(), it.tl0())),
            })
        })
        .collect();
    check_frames(&got, is_keyed);
    got
}

fn check_frames(got: &[Got], is_keyed: bool) {
    let mut frames: BTreeMap<(u32, u8), u8> = BTreeMap::new();
    for pair in got.windows(2) {
        let [before, next] = [pair[0], pair[1]];
        let is_same = before.mark.picture == next.mark.picture;
        assert_eq!(before.marker, !is_same, "{before:?} {next:?}");
        assert_eq!(before.timestamp == next.timestamp, is_same);
        let is_frame = is_same && before.mark.spatial == next.mark.spatial;
        let part = if is_frame { before.mark.part + 1 } else { 0 };
        assert_eq!(next.mark.part, part, "{before:?} {next:?}");
        assert_eq!(before.mark.is_end, !is_frame, "{before:?} {next:?}");
        frames.insert(
            (before.mark.picture, before.mark.spatial),
            before.mark.temporal,
        );
    }
    let mut last: BTreeMap<(u8, u8), u32> = BTreeMap::new();
    for packet in got.iter().filter(|packet| packet.mark.is_end) {
        let Mark {
            spatial,
            temporal,
            picture,
            key,
            ..
        } = packet.mark;
        let has = |picture: u32, spatial: u8| {
            let is_missing = !frames.contains_key(&(picture, spatial));
            assert!(!is_missing, "{:?} needs {picture} {spatial}", packet.mark);
        };
        if spatial > 0 && (picture == key || !is_keyed) {
            has(picture, spatial - 1);
        }
        let before = last.insert((spatial, temporal), picture);
        // What it follows: in a row of 0 2 1 2, or 0 1.
        match (temporal, (picture - key) % 4) {
            _ if picture == key => {}
            (0, _) => assert!(
                before.is_some_and(|it| picture - it <= 4),
                "{:?}",
                packet.mark
            ),
            (1, 2) => has(picture - 2, spatial),
            (_, _) => has(picture - 1, spatial),
        }
    }
}

/// Returns the spatial layers shown, with their pictures, in order.
fn runs(got: &[Got]) -> Vec<(u8, usize)> {
    let mut runs: Vec<(u8, usize)> = Vec::new();
    for packet in got.iter().filter(|packet| packet.marker) {
        match runs.last_mut() {
            Some((layer, pictures)) if *layer == packet.mark.spatial => *pictures += 1,
            _ => runs.push((packet.mark.spatial, 1)),
        }
    }
    runs
}

fn select(stage: &mut Stage, choice: LayerChoice) {
    stage.command(&Command::SelectLayer(PeerId(2), choice));
}

fn shown(stage: &Stage) -> Vec<u8> {
    let shown = |(_, event): &(Duration, Event)| {
        let Event::ViewerLayer { layer, .. } = event else {
            return None;
        };
        Some(*layer)
    };
    stage.events.iter().filter_map(shown).collect()
}

#[test]
fn spatial_layers_are_told_and_shown_as_those_of_a_simulcast_are() {
    for (codec, is_keyed) in SPATIAL {
        let (mut stage, publisher, viewer) = stage(201, layered(codec, (3, 1), is_keyed));
        stage.run(3 * SECOND);
        let told = stage.events.iter().rev().find_map(|(_, event)| {
            let Event::PublisherLayers { layers, .. } = event else {
                return None;
            };
            Some(layers.clone())
        });
        let told = told.unwrap();
        let places: Vec<_> = told
            .iter()
            .map(|it| (it.index, it.stream, it.active))
            .collect();
        assert_eq!(
            places,
            [(0, 0, true), (1, 0, true), (2, 0, true)],
            "{codec:?}"
        );
        if codec == Codec::Vp9 {
            assert_eq!(
                told.iter().map(|it| it.width).collect::<Vec<_>>(),
                [320, 640, 1280]
            );
        }
        assert_eq!(shown(&stage).last(), Some(&2), "{codec:?} {is_keyed}");
        let before = stage.layering(publisher).requests.len();
        for layer in [0, 2, 1, 2, 0, 1] {
            select(&mut stage, LayerChoice::Layer(layer));
            stage.run(SECOND);
            assert_eq!(shown(&stage).last(), Some(&layer), "{codec:?} {is_keyed}");
        }
        let got = stream(&stage, viewer, (codec, is_keyed));
        let layers: Vec<_> = runs(&got).iter().map(|(layer, _)| *layer).collect();
        assert_eq!(layers, [2, 0, 2, 1, 2, 0, 1], "{codec:?} {is_keyed}");
        // A smaller picture is there at once, unless the larger ones did without it.
        let asked = stage.layering(publisher).requests.len() - before;
        assert_eq!(asked, if is_keyed { 6 } else { 3 }, "{codec:?}");
        let missed = count(&stage, |event| matches!(event, Event::Disconnected { .. }));
        assert_eq!(missed, 0);
    }
}

#[test]
fn a_path_that_does_not_carry_the_least_layer_gets_fewer_pictures_before_none() {
    for (codec, layers) in [
        (Codec::Vp8, (1, 3)),
        (Codec::H264, (1, 3)),
        (Codec::Vp9, (1, 3)),
        (Codec::Av1, (1, 3)),
        (Codec::Vp8, (1, 2)),
    ] {
        let mut from = layered(codec, layers, false);
        // 0.9 Mb/s.
        from.packets = [6, 6, 6];
        let (mut stage, _, viewer) = stage(202, from);
        stage.run(4 * SECOND);
        let rates = |stage: &mut Stage, kbps: u64| {
            let bottleneck = Bottleneck::new(kbps, 4000);
            stage.actors[viewer].bottleneck = Some(bottleneck);
            stage.run(15 * SECOND);
            let before = stage.watching(viewer).received.len();
            stage.run(4 * SECOND);
            let received = stage.watching(viewer).received.values().skip(before);
            let pictures = received
                .filter(|it| Header::parse(it).unwrap().marker)
                .count();
            pictures / 4
        };
        let whole = rates(&mut stage, 3000);
        assert!((29..=31).contains(&whole), "{codec:?}: {whole} of 30");
        let half = rates(&mut stage, 620);
        assert!(half.abs_diff(15) <= 1, "{codec:?}: {half} of 15");
        if layers.1 == 3 {
            let quarter = rates(&mut stage, 330);
            assert!((6..=8).contains(&quarter), "{codec:?}: {quarter} of 7");
        }
        let again = rates(&mut stage, 3000);
        assert!((29..=31).contains(&again), "{codec:?}: {again} of 30 again");
        stream(&stage, viewer, (codec, false));
    }
}

#[test]
fn pictures_of_vp8_are_counted_without_a_hole_when_some_are_left_out() {
    let mut from = layered(Codec::Vp8, (1, 3), false);
    from.packets = [6, 6, 6];
    let (mut stage, _, viewer) = stage(203, from);
    stage.run(3 * SECOND);
    stage.actors[viewer].bottleneck = Some(Bottleneck::new(330, 4000));
    stage.run(12 * SECOND);
    stage.actors[viewer].bottleneck = None;
    stage.run(10 * SECOND);
    let got = stream(&stage, viewer, (Codec::Vp8, false));
    let ends: Vec<_> = got.iter().filter(|packet| packet.marker).collect();
    for pair in ends.windows(2) {
        let [(before, tl0), (next, next_tl0)] = [pair[0], pair[1]].map(|it| it.numbers.unwrap());
        assert_eq!(next.wrapping_sub(before) & 0x7fff, 1, "{pair:?}");
        let step = next_tl0.unwrap().wrapping_sub(tl0.unwrap());
        assert_eq!(step, u8::from(pair[1].mark.temporal == 0), "{pair:?}");
    }
    let steps = ends
        .windows(2)
        .map(|pair| pair[1].mark.picture - pair[0].mark.picture);
    assert!(
        steps.filter(|step| *step == 4).count() > 20,
        "some were left out"
    );
}

#[test]
fn what_the_publisher_loses_is_repaired_or_padded_also_where_layers_are_left_out() {
    for (codec, is_keyed) in SPATIAL {
        let mut from = layered(codec, (3, 3), is_keyed);
        from.loses_every = 23;
        let (mut stage, _, viewer) = stage(204, from);
        stage.run(3 * SECOND);
        for layer in [1, 0, 2, 0] {
            select(&mut stage, LayerChoice::Layer(layer));
            stage.run(3 * SECOND);
        }
        // Until the last loss is repaired.
        stage.run(SECOND / 2);
        let received = &stage.watching(viewer).received;
        let numbers: Vec<_> = received.keys().copied().collect();
        let holes = numbers.windows(2).filter(|it| it[1] != it[0] + 1).count();
        assert!(
            holes <= 1,
            "{codec:?} {is_keyed}: {holes} numbers are missing"
        );
        let layers = runs(&marks(&stage, viewer));
        assert_eq!(layers.last().map(|(layer, _)| *layer), Some(0), "{codec:?}");
        let padding = received
            .values()
            .filter(|it| Mark::find(it).is_none())
            .count();
        assert!(padding > 10, "{codec:?} {is_keyed}: {padding} of padding");
    }
}

fn marks(stage: &Stage, viewer: usize) -> Vec<Got> {
    let received = stage.watching(viewer).received.values();
    let got = |packet: &Vec<u8>| {
        let header = Header::parse(packet).unwrap();
        Some(Got {
            mark: Mark::find(packet)?,
            marker: header.marker,
            timestamp: header.timestamp,
            numbers: None,
        })
    };
    received.filter_map(got).collect()
}

#[test]
fn dependency_descriptors_go_on_over_publishers_and_name_what_is_left_out() {
    let from = layered(Codec::Av1, (2, 2), false);
    let (mut stage, first, viewer) = stage(205, from);
    stage.run(2 * SECOND);
    select(&mut stage, LayerChoice::Layer(0));
    stage.run(2 * SECOND);
    let received = &stage.watching(viewer).received;
    let lens: Vec<_> = received
        .values()
        .filter_map(|it| descriptor(it))
        .map(<[u8]>::len)
        .collect();
    assert_eq!(lens.len(), received.len(), "each packet has one");
    assert!(lens[0] > 10, "the first brings the structure");
    // A flag behind the three bytes that each has, and four decode targets of which the first two are active.
    let told = received
        .values()
        .filter_map(|it| descriptor(it))
        .find(|it| it.len() == 5);
    let told = told.unwrap();
    assert_eq!(
        (told[3] >> 3, (told[3] & 0x07) << 1 | told[4] >> 7),
        (0b01000, 0b0011)
    );
    stage.command(&Command::RemovePeer(PeerId(1)));
    stage.run(SECOND);
    let next = Layered::new(stage.now, Codec::Av1, (2, 2));
    stage.layer(9, Link::round_trip(20), next);
    stage.run(2 * SECOND);
    let received = stage.watching(viewer).received.values();
    let frames: Vec<_> = received
        .filter_map(|it| descriptor(it))
        .map(|it| u16::from_be_bytes([it[1], it[2]]))
        .collect();
    for pair in frames.windows(2) {
        let step = pair[1].wrapping_sub(pair[0]);
        assert!(step <= 2, "{pair:?}");
    }
    let _ = first;
}
