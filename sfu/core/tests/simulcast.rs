//! A picture in several layers: who is shown which one, and that going over leaves no trace in the numbers.

use std::time::Duration;

use klieg_sfu_core::command::{Command, Event, LayerChoice, LayerInfo, Media, PeerId};

use crate::sim::Link;
use crate::sim::actor::Watching;
use crate::sim::simulcast::{Seen, SentLayer};
use crate::sim::stage::{Role, Stage, VP8, VP9, count, send_tracks};

const SECOND: Duration = Duration::from_secs(1);
/// One frame on the clock of video.
const FRAME_TICKS: u32 = 2970;

/// Layers as a browser has them: the smallest first.
fn browser_layers() -> Vec<SentLayer> {
    vec![
        SentLayer::new("q", 1000, (320, 180)),
        SentLayer::new("h", 2000, (640, 360)),
        SentLayer::new("f", 3000, (1280, 720)),
    ]
}

fn select(stage: &mut Stage, id: u64, choice: LayerChoice) {
    stage.command(&Command::SelectLayer(PeerId(id), choice));
}

/// Returns what a viewer has, after the rules that hold for every stream: no number is left out, time
/// does not go back, numbers of pictures go on, and another layer begins with a keyframe.
fn stream(stage: &Stage, viewer: usize) -> Vec<Seen> {
    let received = &stage.watching(viewer).received;
    let numbers: Vec<_> = received.keys().copied().collect();
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "a number is left out"
    );
    let seen: Vec<_> = received.values().map(|packet| Seen::read(packet)).collect();
    assert!(seen.first().is_none_or(|first| first.starts_keyframe));
    for pair in seen.windows(2) {
        let [before, next] = [pair[0], pair[1]];
        let step = next.timestamp.wrapping_sub(before.timestamp).cast_signed();
        let pictures = next.picture_id.wrapping_sub(before.picture_id) & 0x7fff;
        let tl0 = next.tl0.wrapping_sub(before.tl0);
        if (before.layer, before.frame) == (next.layer, next.frame) {
            assert_eq!((step, pictures, tl0), (0, 0, 0), "{before:?} {next:?}");
            assert_eq!(next.part, before.part + 1, "{before:?} {next:?}");
            continue;
        }
        assert!(step > 0, "time goes back: {before:?} {next:?}");
        assert_eq!((pictures, tl0), (1, 1), "{before:?} {next:?}");
        assert!(before.marker && next.part == 0, "{before:?} {next:?}");
        assert!(
            before.layer == next.layer || next.starts_keyframe,
            "{before:?} {next:?}"
        );
    }
    seen
}

/// Returns the layers of a stream, each with its frames, in the order in which they were shown.
fn runs(seen: &[Seen]) -> Vec<(u8, usize)> {
    let mut runs: Vec<(u8, usize)> = Vec::new();
    for packet in seen.iter().filter(|packet| packet.marker) {
        match runs.last_mut() {
            Some((layer, frames)) if *layer == packet.layer => *frames += 1,
            _ => runs.push((packet.layer, 1)),
        }
    }
    runs
}

fn shown(stage: &Stage, id: u64) -> Vec<u8> {
    let mut shown = Vec::new();
    for (_, event) in &stage.events {
        if let Event::ViewerLayer { peer, layer } = event
            && *peer == PeerId(id)
        {
            shown.push(*layer);
        }
    }
    shown
}

fn told(stage: &Stage) -> Vec<(Duration, Vec<LayerInfo>)> {
    let mut told = Vec::new();
    for (at, event) in &stage.events {
        if let Event::PublisherLayers { layers, .. } = event {
            told.push((*at, layers.clone()));
        }
    }
    told
}

fn asked(stage: &mut Stage, publisher: usize) -> Vec<usize> {
    let layers = stage.simulcasting(publisher).layers.iter();
    layers.map(|layer| layer.requests.len()).collect()
}

#[test]
fn everybody_is_shown_the_largest_layer_whatever_it_is_called() {
    let obs = vec![
        SentLayer::new("0", 1000, (1920, 1080)),
        SentLayer::new("1", 2000, (1280, 720)),
        SentLayer::new("2", 3000, (640, 360)),
        SentLayer::new("3", 4000, (320, 180)),
    ];
    for (layers, best) in [(browser_layers(), 2), (obs, 0)] {
        let mut stage = Stage::new(80, 2);
        let before = [2, 3, 4].map(|id| stage.watch(id, Link::round_trip(30)));
        stage.run(SECOND);
        let publisher = stage.simulcast(1, Link::round_trip(20), layers);
        stage.run(2 * SECOND);
        let late = [5, 6, 7].map(|id| stage.watch(id, Link::round_trip(30)));
        stage.run(2 * SECOND);
        for viewer in before {
            let seen = stream(&stage, viewer);
            assert_eq!(runs(&seen).last().map(|(layer, _)| *layer), Some(best));
            assert!(stage.watching(viewer).frames > 110);
        }
        for viewer in late {
            assert_eq!(runs(&stream(&stage, viewer)).len(), 1);
            assert!(stage.watching(viewer).frames > 110, "from the cache");
        }
        assert!(asked(&mut stage, publisher).iter().all(|&asked| asked == 0));
        let media = |event: &Event| matches!(event, Event::PublisherMedia { .. });
        assert_eq!(count(&stage, media), 1);
        assert_eq!(shown(&stage, 2).last(), Some(&best));
        assert_eq!(shown(&stage, 7), [best]);
    }
}

#[test]
fn a_viewer_that_changes_its_mind_every_second_gets_one_stream() {
    for (seed, shards, reports) in [(81, 1, true), (82, 2, true), (83, 2, false)] {
        let mut stage = Stage::new(seed, shards);
        let publisher = stage.simulcast(1, Link::round_trip(20), browser_layers());
        stage.simulcasting(publisher).reports = reports;
        let viewers = [2, 3, 4].map(|id| stage.watch(id, Link::round_trip(30)));
        stage.run(2 * SECOND);
        let wanted = [0, 2, 1, 0, 1, 2, 0, 1, 2, 1, 0, 2, 1, 2, 0, 2, 1, 0, 2, 0];
        for layer in wanted {
            select(&mut stage, 2, LayerChoice::Layer(layer));
            stage.run(SECOND);
        }
        let seen = stream(&stage, viewers[0]);
        let runs = runs(&seen);
        let order: Vec<_> = runs.iter().map(|(layer, _)| *layer).collect();
        assert!(order.ends_with(&wanted), "{order:?}");
        let short = runs[1..runs.len() - 1]
            .iter()
            .filter(|(_, frames)| *frames < 22);
        assert_eq!(short.count(), 0, "{runs:?}");
        assert_eq!(
            stage.watching(viewers[0]).frames as usize,
            runs.iter().map(|(_, frames)| frames).sum::<usize>()
        );
        if reports {
            // What was captured at one moment has one time, whichever layer it came in.
            let time = |packet: &Seen| packet.timestamp.wrapping_sub(packet.frame * FRAME_TICKS);
            let late = seen.iter().filter(|packet| packet.frame > 90);
            let times: Vec<_> = late.map(time).collect();
            let spread = times.iter().max().unwrap() - times.iter().min().unwrap();
            assert!(spread < 200, "{spread} ticks");
        }
        assert!(asked(&mut stage, publisher).iter().all(|&asked| asked <= 9));
        for &viewer in &viewers[1..] {
            assert_eq!(self::runs(&stream(&stage, viewer)).last().unwrap().0, 2);
        }
        let switches: u64 = stage
            .nodes
            .iter()
            .map(|node| node.counters().layer_switches)
            .sum();
        assert!((20..30).contains(&switches), "{switches}");
    }
}

#[test]
fn going_over_on_a_bad_path_loses_no_more_than_the_path_does() {
    for (seed, shards) in [(100, 1), (101, 2), (102, 3)] {
        let mut stage = Stage::new(seed, shards);
        stage.simulcast(1, Link::bad(2, 60), browser_layers());
        let viewers = [2, 3, 4].map(|id| stage.watch(id, Link::bad(2, 60)));
        let steady = stage.watch(5, Link::bad(2, 60));
        stage.run(2 * SECOND);
        for round in 0..20 {
            for id in 2..5 {
                let layer = (round + id) % 3;
                select(&mut stage, id, LayerChoice::Layer(layer as u8));
            }
            stage.run(SECOND);
        }
        for viewer in viewers {
            let watching = stage.watching(viewer);
            // Each time, a frame of one layer may be shown neither in the one nor in the other.
            let expected = stage.watching(steady).frames - 2 * 20;
            assert!(
                watching.frames >= expected,
                "{} of {expected} frames",
                watching.frames
            );
            assert_eq!(stage.actors[viewer].peer.unreadable, 0);
            let seen: Vec<_> = watching
                .received
                .values()
                .map(|it| Seen::read(it))
                .collect();
            for pair in seen.windows(2) {
                let step = pair[1]
                    .timestamp
                    .wrapping_sub(pair[0].timestamp)
                    .cast_signed();
                assert!((0..90_000).contains(&step), "{pair:?}");
            }
        }
    }
}

#[test]
fn another_publishers_layer_is_told_though_it_has_the_place_of_the_last_one() {
    let mut stage = Stage::new(103, 1);
    let first = stage.simulcast(1, Link::default(), browser_layers());
    stage.watch(2, Link::default());
    stage.run(2 * SECOND);
    for layer in &mut stage.simulcasting(first).layers {
        layer.is_sending = false;
    }
    stage.simulcast(3, Link::default(), browser_layers());
    stage.run(3 * SECOND);
    let mut events = stage.events.iter().filter(|(at, _)| *at >= 2 * SECOND);
    let is_told = events.any(|(_, event)| matches!(event, Event::ViewerLayer { .. }));
    assert!(is_told, "nothing was told after the change");
}

#[test]
fn when_the_best_layer_pauses_the_next_one_is_shown_until_it_returns() {
    for shards in [1, 2] {
        let mut stage = Stage::new(84, shards);
        let publisher = stage.simulcast(1, Link::round_trip(20), browser_layers());
        let viewers = [2, 3].map(|id| stage.watch(id, Link::round_trip(30)));
        stage.run(3 * SECOND);
        stage.simulcasting(publisher).layers[2].is_sending = false;
        stage.run(SECOND * 3 / 2);
        for viewer in viewers {
            let last = stage.watching(viewer).last_frame.unwrap();
            assert!(stage.now - last < SECOND / 10, "shown again within 1.5 s");
            assert_eq!(stream(&stage, viewer).last().unwrap().layer, 1);
        }
        stage.run(3 * SECOND);
        let layers = told(&stage).pop().unwrap().1;
        let active: Vec<_> = layers.iter().map(|layer| layer.active).collect();
        assert_eq!(active, [true, true, false]);
        let resumed = &mut stage.simulcasting(publisher).layers[2];
        (resumed.is_sending, resumed.wants_keyframe) = (true, shards == 1);
        stage.run(SECOND);
        for viewer in viewers {
            assert_eq!(stream(&stage, viewer).last().unwrap().layer, 2);
        }
        assert_eq!(&shown(&stage, 2)[shown(&stage, 2).len() - 3..], [2, 1, 2]);
        let asked = asked(&mut stage, publisher);
        // The viewers that stood still asked for the paused one before it was known to be.
        assert!(asked[0] == 0 && asked[1] <= 2 && asked[2] <= 2, "{asked:?}");
    }
}

#[test]
fn a_keyframe_that_came_since_the_best_layer_paused_is_taken_from_the_cache() {
    for shards in [1, 2] {
        let mut stage = Stage::new(98, shards);
        let publisher = stage.simulcast(1, Link::round_trip(20), browser_layers());
        let viewers = [2, 3].map(|id| stage.watch(id, Link::round_trip(30)));
        for &viewer in &viewers {
            stage.watching_mut(viewer).asks = false;
        }
        stage.run(3 * SECOND);
        stage.simulcasting(publisher).layers[2].is_sending = false;
        stage.run(SECOND / 2);
        stage.simulcasting(publisher).layers[1].wants_keyframe = true;
        stage.run(2 * SECOND);
        for viewer in viewers {
            let seen = stream(&stage, viewer);
            let (before, next) = (runs(&seen), seen.iter().find(|it| it.layer == 1).unwrap());
            assert_eq!(before.iter().filter(|(layer, _)| *layer == 1).count(), 1);
            assert!(
                next.frame < 110,
                "the first frame was sent before: {next:?}"
            );
            assert_eq!(seen.last().unwrap().layer, 1);
            let (first, last) = (
                seen.iter().find(|it| it.frame > 60).unwrap(),
                seen.last().unwrap(),
            );
            let frames = last.frame - first.frame;
            let ticks = last.timestamp.wrapping_sub(first.timestamp);
            assert!(ticks.abs_diff(frames * FRAME_TICKS) < 200, "true times");
        }
        assert_eq!(asked(&mut stage, publisher), [0, 0, 0]);
    }
}

#[test]
fn a_viewer_that_plays_no_layer_is_named_once() {
    let mut stage = Stage::new(99, 2);
    let media = Media::View(send_tracks(&[(98, None, VP9)]));
    let watching = Role::Watching(Box::new(Watching::new(stage.now)));
    let viewer = stage.add(2, Link::round_trip(30), media, watching);
    stage.watch(3, Link::round_trip(30));
    let publisher = stage.simulcast(1, Link::round_trip(20), browser_layers());
    stage.run(5 * SECOND);
    let mismatch = |event: &Event| matches!(event, Event::CodecMismatch { .. });
    assert_eq!(count(&stage, mismatch), 1);
    assert!(stage.watching(viewer).received.is_empty());
    assert_eq!(asked(&mut stage, publisher), [0, 0, 0]);
}

#[test]
fn a_choice_holds_before_the_handshake_and_over_publishers() {
    let mut stage = Stage::new(85, 2);
    let viewers = [2, 3].map(|id| stage.watch(id, Link::round_trip(30)));
    for id in [2, 3] {
        select(&mut stage, id, LayerChoice::Layer(1));
    }
    // Whom nobody knows, or who does not watch, is passed over.
    select(&mut stage, 999, LayerChoice::Layer(1));
    stage.simulcast(1, Link::round_trip(20), browser_layers());
    select(&mut stage, 1, LayerChoice::Layer(1));
    stage.run(3 * SECOND);
    for viewer in viewers {
        assert_eq!(stream(&stage, viewer).last().unwrap().layer, 1);
    }
    stage.command(&Command::RemovePeer(PeerId(1)));
    // Another one with a single layer, and one with four.
    stage.simulcast(
        10,
        Link::round_trip(20),
        vec![SentLayer::new("a", 500, (640, 360))],
    );
    stage.run(3 * SECOND);
    for viewer in viewers {
        assert_eq!(stream(&stage, viewer).last().unwrap().layer, 0);
    }
    stage.command(&Command::RemovePeer(PeerId(10)));
    let mut layers = browser_layers();
    layers.insert(0, SentLayer::new("x", 700, (160, 90)));
    stage.simulcast(11, Link::round_trip(20), layers);
    stage.run(3 * SECOND);
    for viewer in viewers {
        assert_eq!(stream(&stage, viewer).last().unwrap().layer, 1);
    }
    select(&mut stage, 2, LayerChoice::Auto);
    stage.run(SECOND);
    assert_eq!(stream(&stage, viewers[0]).last().unwrap().layer, 3);
    assert_eq!(stream(&stage, viewers[1]).last().unwrap().layer, 1);
}

#[test]
fn a_layer_that_restarts_as_another_stream_is_followed() {
    let mut stage = Stage::new(86, 2);
    let publisher = stage.simulcast(1, Link::round_trip(20), browser_layers());
    let viewers = [2, 3].map(|id| stage.watch(id, Link::round_trip(30)));
    stage.run(2 * SECOND);
    for round in 1..6 {
        for (layer, ssrc) in [(2, 3000), (0, 1000)] {
            stage.simulcasting(publisher).layers[layer].restart(ssrc + 10 * round);
            stage.run(SECOND);
        }
    }
    for viewer in viewers {
        let seen = stream(&stage, viewer);
        assert_eq!(runs(&seen).last().unwrap().0, 2);
        let frames = stage.watching(viewer).frames;
        assert!(frames > 345, "{frames} frames");
    }
}

#[test]
fn a_join_starts_in_the_cache_of_its_layer_or_of_another_one_until_a_keyframe_comes() {
    let mut stage = Stage::new(87, 2);
    let publisher = stage.simulcast(1, Link::round_trip(20), browser_layers());
    stage.watch(2, Link::round_trip(30));
    stage.run(2 * SECOND);
    let viewer = stage.watch(3, Link::round_trip(30));
    select(&mut stage, 3, LayerChoice::Layer(0));
    stage.run(SECOND);
    assert_eq!(runs(&stream(&stage, viewer)).len(), 1);
    assert!(stage.watching(viewer).frames > 80);
    assert_eq!(asked(&mut stage, publisher), [0, 0, 0]);
    // Later the best layer's keyframe is too far back, the smallest one's is not.
    stage.run(8 * SECOND);
    stage.simulcasting(publisher).layers[0].wants_keyframe = true;
    stage.run(SECOND);
    let joined = stage.now;
    let late = stage.watch(4, Link::round_trip(30));
    stage.run(SECOND);
    let seen = stream(&stage, late);
    let order: Vec<_> = runs(&seen).iter().map(|(layer, _)| *layer).collect();
    assert_eq!(order, [0, 2]);
    let first = stage.watching(late).first_frame.unwrap() - joined;
    assert!(first < Duration::from_millis(250), "{first:?}");
    assert_eq!(asked(&mut stage, publisher), [0, 0, 1]);
}

#[test]
fn losses_are_repaired_on_every_layer_with_and_without_streams_for_it() {
    for (seed, has_rtx, tells) in [(88, true, true), (89, true, false), (90, false, false)] {
        let mut stage = Stage::new(seed, 2);
        let publisher = stage.simulcast(1, Link::bad(5, 40), browser_layers());
        stage.simulcasting(publisher).has_rtx = has_rtx;
        stage.simulcasting(publisher).tells_repaired_rid = tells;
        let viewers = [2, 3, 4].map(|id| stage.watch(id, Link::round_trip(20)));
        let media = Media::View(send_tracks(&[(96, None, VP8)]));
        let watching = Role::Watching(Box::new(Watching::new(stage.now)));
        let plain = stage.add(5, Link::bad(4, 60), media, watching);
        let bad = stage.watch(6, Link::bad(4, 60));
        for (id, layer) in [(2, 0), (3, 1), (4, 2), (5, 1), (6, 1)] {
            select(&mut stage, id, LayerChoice::Layer(layer));
        }
        stage.run(10 * SECOND);
        for viewer in viewers.into_iter().chain([plain, bad]) {
            let frames = stage.watching(viewer).frames;
            assert!(frames > 240, "{frames} frames, seed {seed}");
            assert_eq!(stage.actors[viewer].peer.unreadable, 0);
        }
        assert!(stage.watching(bad).repaired > 10);
    }
}

#[test]
fn packets_again_without_a_stream_for_it_are_the_same_over_switches() {
    let mut stage = Stage::new(91, 1);
    stage.simulcast(1, Link::round_trip(20), browser_layers());
    let media = Media::View(send_tracks(&[(96, None, VP8)]));
    let watching = Role::Watching(Box::new(Watching::new(stage.now)));
    let viewer = stage.add(2, Link::round_trip(30), media, watching);
    stage.run(2 * SECOND);
    let mut checked = 0;
    for round in 0..12 {
        select(&mut stage, 2, LayerChoice::Layer(round % 3));
        stage.run(Duration::from_millis(400));
        // Ask for everything of the last moments again, from before the switch too.
        let received = stage.watching(viewer).received.clone();
        let recent: Vec<u16> = received
            .keys()
            .rev()
            .take(100)
            .map(|seq| *seq as u16)
            .collect();
        let mut nack = Vec::new();
        let ascending: Vec<u16> = recent.into_iter().rev().collect();
        klieg_sfu_core::rtp::rtcp::write_nack(&mut nack, 1, 2002, &ascending);
        let from = stage.actors[viewer].peer.rtp.len();
        stage.actors[viewer].peer.send_rtcp(&nack);
        stage.run(Duration::from_millis(200));
        for packet in &stage.actors[viewer].peer.rtp[from..] {
            let seq = u16::from_be_bytes([packet[2], packet[3]]);
            let before = received
                .iter()
                .rev()
                .find(|(known, _)| **known as u16 == seq);
            if let Some((_, before)) = before {
                assert_eq!(before, packet, "the same number, other bytes");
                checked += 1;
            }
        }
    }
    assert!(checked > 150, "{checked} packets");
}

#[test]
fn packets_that_do_not_say_which_layer_they_are_wait_until_one_does() {
    let mut stage = Stage::new(92, 1);
    let publisher = stage.simulcast(1, Link::round_trip(20), browser_layers());
    let viewer = stage.watch(2, Link::round_trip(30));
    for layer in &mut stage.simulcasting(publisher).layers {
        layer.tells_rid = false;
    }
    stage.run(SECOND);
    assert!(stage.watching(viewer).received.is_empty());
    let unknown = stage.nodes[0].counters().dropped_unknown_layer;
    assert!(unknown > 100, "{unknown}");
    for layer in &mut stage.simulcasting(publisher).layers {
        layer.tells_rid = true;
    }
    stage.run(SECOND);
    // As in browsers, it is left out once the stream is known.
    for layer in &mut stage.simulcasting(publisher).layers {
        layer.tells_rid = false;
    }
    stage.run(3 * SECOND);
    assert_eq!(stream(&stage, viewer).last().unwrap().layer, 2);
    let frames = stage.watching(viewer).frames;
    assert!(frames > 105, "{frames} frames");
}

#[test]
fn layers_without_known_sizes_are_ranked_by_their_rate() {
    let mut stage = Stage::new(93, 2);
    let mut layers = browser_layers();
    layers.rotate_left(1);
    for layer in &mut layers {
        layer.has_size = false;
    }
    stage.simulcast(1, Link::round_trip(20), layers);
    let viewers = [2, 3].map(|id| stage.watch(id, Link::round_trip(30)));
    stage.run(4 * SECOND);
    for viewer in viewers {
        assert_eq!(stream(&stage, viewer).last().unwrap().layer, 1);
    }
}

#[test]
fn strange_names_and_streams_are_counted_and_leave_nothing_behind() {
    let mut stage = Stage::new(94, 2);
    let publisher = stage.simulcast(1, Link::round_trip(20), browser_layers());
    let viewer = stage.watch(2, Link::round_trip(30));
    for _ in 0..30 {
        stage.simulcasting(publisher).noise = 100;
        stage.run(SECOND / 10);
    }
    let unknown: u64 = stage
        .nodes
        .iter()
        .map(|node| node.counters().dropped_unknown_layer)
        .sum();
    assert!(unknown > 1500, "{unknown}");
    stream(&stage, viewer);
    assert!(stage.watching(viewer).frames > 85);
    let layers = told(&stage).pop().unwrap().1;
    assert_eq!(layers.len(), 3);
    // Nothing is asked for or reported in the name of what is not known.
    let compounds = stage.actors[publisher].peer.rtcp.iter();
    assert!(compounds.map(Vec::len).max().unwrap() < 200);
}

#[test]
fn the_publisher_s_layers_are_told_at_once_and_not_too_often() {
    let mut stage = Stage::new(95, 2);
    let publisher = stage.simulcast(1, Link::round_trip(20), browser_layers());
    stage.watch(2, Link::round_trip(30));
    stage.run(10 * SECOND);
    let first = &told(&stage)[0];
    assert!(first.0 < SECOND, "{first:?}");
    let sizes: Vec<_> = first
        .1
        .iter()
        .map(|it| (it.index, it.active, it.width, it.height))
        .collect();
    assert_eq!(
        sizes,
        [
            (0, true, 320, 180),
            (1, true, 640, 360),
            (2, true, 1280, 720)
        ]
    );
    for _ in 0..50 {
        let layer = &mut stage.simulcasting(publisher).layers[0];
        layer.size.0 += 2;
        layer.wants_keyframe = true;
        stage.run(SECOND / 10);
    }
    let told = told(&stage);
    assert!(told.len() < 10, "{}", told.len());
    assert!(told.windows(2).all(|pair| pair[1].0 - pair[0].0 >= SECOND));
    let rate = told.last().unwrap().1[2].bitrate_bps;
    // Four packets of about 730 bytes, thirty times a second.
    assert!((600_000..800_000).contains(&rate), "{rate} b/s");
}

#[test]
fn a_picture_without_layers_is_told_as_one() {
    let mut stage = Stage::new(96, 2);
    stage.publish(1, Link::round_trip(20));
    stage.watch(2, Link::round_trip(30));
    stage.run(2 * SECOND);
    select(&mut stage, 2, LayerChoice::Layer(3));
    stage.run(3 * SECOND);
    let told = told(&stage);
    let last = told.last().unwrap();
    assert!(last.1.len() == 1 && last.1[0].index == 0 && last.1[0].active);
    assert_eq!(shown(&stage, 2), [0]);
    let mismatch = |event: &Event| matches!(event, Event::CodecMismatch { .. });
    assert_eq!(count(&stage, mismatch), 0);
}

#[test]
fn a_wish_for_a_keyframe_goes_to_the_layer_that_is_shown() {
    let mut stage = Stage::new(97, 2);
    let publisher = stage.simulcast(1, Link::round_trip(20), browser_layers());
    let viewer = stage.watch(2, Link::round_trip(30));
    select(&mut stage, 2, LayerChoice::Layer(1));
    stage.run(8 * SECOND);
    assert_eq!(asked(&mut stage, publisher), [0, 0, 0]);
    for _ in 0..50 {
        let mut pli = Vec::new();
        klieg_sfu_core::rtp::rtcp::write_pli(&mut pli, 1, 2002);
        stage.actors[viewer].peer.send_rtcp(&pli);
        stage.run(SECOND / 10);
    }
    let asked = asked(&mut stage, publisher);
    assert!(asked[0] == 0 && asked[2] == 0, "{asked:?}");
    assert!((4..=6).contains(&asked[1]), "{asked:?}");
}
