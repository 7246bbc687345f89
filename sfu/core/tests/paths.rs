//! What a viewer gets over paths that are unkind, and from a server that has much to do.

use std::net::SocketAddr;
use std::time::Duration;

use klieg_sfu_core::command::{Command, Event, LayerChoice, Limit, PeerId};
use klieg_sfu_core::rtp::rtcp;

use crate::sim::Link;
use crate::sim::bottleneck::Bottleneck;
use crate::sim::run::{Run, VIEWER, layers, longest_gap, own_estimate};
use crate::sim::simulcast::{Seen, SentLayer};
use crate::sim::stage::{Stage, count};

const SECOND: Duration = Duration::from_secs(1);

/// A path that carries no picture from 12 s to 30 s, and fills a queue of 0.6 s before that shows.
fn too_narrow_for_a_while() -> Bottleneck {
    Bottleneck::new(3000, 600).then(12, 200).then(30, 3000)
}

#[test]
fn a_paused_picture_returns_where_there_is_no_sound() {
    let mut stage = Stage::new(500, 1);
    let publisher = stage.publish(1, Link::round_trip(20));
    stage.publishing(publisher).has_audio = false;
    stage.run(2 * SECOND);
    let mut run = Run::of(stage, Link::round_trip(40), too_narrow_for_a_while());
    run.until(60);
    println!("{:?}", run.limits());
    assert_eq!(run.limits().len() % 2, 0, "{:?}", run.limits());
    assert!(run.limits()[0].0 < 17.0);
    assert_eq!(run.limits().last().map(|it| it.1), Some(Limit::None));
    assert!(run.frames(50, 60) > 9 * 29, "{}", run.frames(50, 60));
}

#[test]
fn a_paused_picture_returns_where_sound_is_not_reported() {
    let mut stage = Stage::new(501, 1);
    stage.publish(1, Link::round_trip(20));
    stage.run(2 * SECOND);
    let bottleneck = too_narrow_for_a_while();
    let viewer = stage.watch_unnumbered_sound(VIEWER, Link::round_trip(40), bottleneck);
    let mut run = Run::with(stage, viewer);
    run.until(60);
    println!("{:?}", run.limits());
    assert_eq!(run.limits()[0].1, Limit::Paused);
    assert_eq!(run.limits().last().map(|it| it.1), Some(Limit::None));
    assert!(run.frames(50, 60) > 9 * 29, "{}", run.frames(50, 60));
    let silence = longest_gap(&run.stage.watching(run.viewer).heard, (18, 60));
    assert!(silence < Duration::from_millis(700), "{silence:?}");
}

#[test]
fn a_picture_that_was_paused_before_it_was_seen_is_asked_for_when_it_may_come() {
    let mut stage = Stage::new(502, 1);
    let publisher = stage.publish(1, Link::round_trip(20));
    // The keyframe is too far back to join from.
    stage.run(12 * SECOND);
    stage.publishing(publisher).is_answering = false;
    // After the handshake not even sound fits.
    let bottleneck = Bottleneck::new(3000, 300).then(10, 45).then(20, 3000);
    let mut run = Run::of(stage, Link::round_trip(40), bottleneck);
    run.until(20);
    let limits: Vec<_> = run.limits().into_iter().map(|(_, limit)| limit).collect();
    assert_eq!((limits, run.frames(9, 20)), (vec![Limit::Paused], 0));
    run.stage.publishing(publisher).is_answering = true;
    let before = run.stage.publishing(publisher).requests.len();
    run.until(40);
    println!("{:?}", run.limits());
    assert_eq!(run.limits().last().map(|it| it.1), Some(Limit::None));
    assert!(run.stage.publishing(publisher).requests.len() > before);
    assert!(run.frames(35, 40) > 4 * 29, "{}", run.frames(35, 40));
}

#[test]
fn times_of_departure_are_those_of_the_runs_and_not_of_the_batch() {
    // The last of forty viewers gets its packets 40 ms after the batch came, each second time.
    let mut stage = Stage::new(503, 1);
    stage.simulcast(1, Link::round_trip(20), layers());
    stage.run(2 * SECOND);
    for id in 100..140 {
        stage.watch_numbered(id, Link::round_trip(20));
    }
    let mut run = Run::of(stage, Link::round_trip(40), Bottleneck::new(6000, 300));
    run.until(8);
    for tick in 0..300 {
        run.stage.send_time = Duration::from_millis(u64::from(tick % 2 == 0));
        run.stage.run(SECOND / 10);
    }
    println!("{:?} {:?}", run.layers(), run.limits());
    assert!(
        run.layers()
            .iter()
            .all(|(at, layer)| *at < 5.0 || *layer == 2)
    );
    assert_eq!(run.stage.nodes[0].counters().layers_lowered, 0);
}

/// Layers of some 0.54 and 14.6 Mb/s.
fn large_layers() -> Vec<SentLayer> {
    let mut layers = vec![
        SentLayer::new("h", 2000, (640, 360)),
        SentLayer::new("f", 3000, (3840, 2160)),
    ];
    (layers[0].packets, layers[1].packets) = (3, 85);
    layers[1].keyframe_times = 2;
    layers
}

#[test]
fn a_layer_larger_than_any_probe_is_shown_again_and_not_probed_for_without_end() {
    let mut stage = Stage::new(504, 1);
    stage.simulcast(1, Link::round_trip(20), large_layers());
    stage.run(2 * SECOND);
    let bottleneck = Bottleneck::new(40_000, 100).then(12, 5000).then(20, 40_000);
    let mut run = Run::of(stage, Link::round_trip(40), bottleneck);
    run.until(12);
    println!("{:?} {:?}", run.layers(), run.limits());
    assert_eq!(run.layer_at(12.0), Some(1));
    run.until(19);
    assert_eq!(run.layer_at(19.0), Some(0));
    run.until(40);
    let probes = run.stage.nodes[0].counters().probes;
    println!("{:?} {probes} probes", run.layers());
    assert_eq!(run.layer_at(40.0), Some(1));
    assert!(probes < 40, "{probes}");
}

#[test]
fn a_single_layer_larger_than_any_probe_returns_after_a_pause() {
    let mut stage = Stage::new(505, 1);
    stage.simulcast(1, Link::round_trip(20), large_layers().split_off(1));
    stage.run(2 * SECOND);
    let bottleneck = Bottleneck::new(40_000, 100).then(6, 2000).then(12, 40_000);
    let mut run = Run::of(stage, Link::round_trip(40), bottleneck);
    run.until(30);
    println!("{:?}", run.limits());
    assert_eq!(run.limits()[0].1, Limit::Paused);
    assert_eq!(run.limits().last().map(|it| it.1), Some(Limit::None));
    assert!(run.frames(26, 30) > 3 * 29, "{}", run.frames(26, 30));
}

#[test]
fn many_packets_over_a_long_way_are_not_taken_for_silence() {
    // More are under way than are remembered at first.
    let mut layer = SentLayer::new("f", 3000, (1280, 720));
    (layer.packets, layer.keyframe_times) = (40, 2);
    let mut stage = Stage::new(506, 1);
    stage.simulcast(1, Link::round_trip(20), vec![layer]);
    stage.run(2 * SECOND);
    let mut run = Run::of(stage, Link::round_trip(600), Bottleneck::new(20_000, 300));
    run.until(30);
    let least = run.estimates.iter().filter(|(at, _)| *at > 8.0);
    let least = least.map(|(_, kbps)| *kbps).fold(f64::MAX, f64::min);
    println!("{:?} at least {least} kb/s", run.limits());
    assert!(least < 1e9, "nothing was heard");
    assert!(least > 6000.0, "{least}");
}

#[test]
fn a_viewer_that_moves_to_a_longer_way_is_not_taken_for_one_behind_a_queue() {
    let bottleneck = Bottleneck::new(1200, 300).then(20, 8000);
    let mut run = Run::simulcast(507, Link::round_trip(40), bottleneck);
    run.until(20);
    assert_eq!(run.layer_at(20.0), Some(1));
    let (now, actor) = (run.stage.now, &mut run.stage.actors[run.viewer]);
    actor.link = Link::round_trip(200);
    actor.peer.config.address = SocketAddr::from(([10, 99, 0, 9], 41_000));
    actor.peer.check(now);
    run.until(40);
    println!("{:?}", run.layers());
    assert_eq!(run.stage.nodes[0].counters().path_changes, 1);
    assert_eq!(run.layer_at(28.0), Some(2), "{:?}", run.layers());
}

/// One layer of so many packets a frame, and a viewer without transport-wide feedback.
fn unnumbered(seed: u64, packets: u8) -> (Stage, usize, usize) {
    let mut layer = SentLayer::new("f", 3000, (1280, 720));
    (layer.packets, layer.keyframe_times) = (packets, 2);
    let mut stage = Stage::new(seed, 1);
    let publisher = stage.simulcast(1, Link::round_trip(20), vec![layer]);
    stage.run(2 * SECOND);
    let viewer = stage.watch(VIEWER, Link::round_trip(20));
    stage.watching_mut(viewer).asks = false;
    stage.run(3 * SECOND);
    (stage, publisher, viewer)
}

/// Returns the number of the last frame that a viewer has something of.
fn last_frame(stage: &Stage, viewer: usize) -> u32 {
    let packets = stage.watching(viewer).received.values();
    let frames = packets.map(|packet| Seen::read(packet).frame);
    frames.max().unwrap_or(0)
}

#[test]
fn a_viewer_that_fell_far_behind_goes_on_at_the_next_keyframe() {
    let (mut stage, publisher, viewer) = unnumbered(508, 6);
    stage.actors[viewer].peer.send_rtcp(&own_estimate(100));
    stage.run(SECOND * 3 / 2);
    let behind = |stage: &mut Stage| {
        let last = last_frame(stage, viewer);
        stage.simulcasting(publisher).frame - last
    };
    assert!(behind(&mut stage) > 30, "{}", behind(&mut stage));
    stage.simulcasting(publisher).layers[0].wants_keyframe = true;
    stage.run(SECOND / 5);
    assert!(behind(&mut stage) < 8, "{}", behind(&mut stage));
    stage.actors[viewer].peer.send_rtcp(&own_estimate(4000));
    stage.run(SECOND / 2);
    assert!(behind(&mut stage) < 3, "{}", behind(&mut stage));
}

#[test]
fn a_viewer_whose_place_went_out_of_the_cache_is_given_a_keyframe() {
    let (mut stage, publisher, viewer) = unnumbered(509, 60);
    let before = stage.simulcasting(publisher).layers[0].requests.len();
    stage.actors[viewer].peer.send_rtcp(&own_estimate(100));
    stage.run(SECOND * 3 / 2);
    let requests = &stage.simulcasting(publisher).layers[0].requests;
    assert!(requests.len() > before, "it is asked for");
    stage.actors[viewer].peer.send_rtcp(&own_estimate(9000));
    stage.run(SECOND);
    let shown = stage.simulcasting(publisher).frame - last_frame(&stage, viewer);
    assert!(shown < 4, "{shown} frames behind");
}

#[test]
fn a_join_is_paced_also_without_transport_wide_feedback() {
    let mut stage = Stage::new(510, 1);
    stage.publish(1, Link::round_trip(20));
    stage.run(4 * SECOND);
    let viewer = stage.watch(VIEWER, Link::round_trip(20));
    let sees = |stage: &Stage| !stage.watching(viewer).received.is_empty();
    assert!(stage.run_until(SECOND, sees));
    let began = stage.now;
    stage.run(SECOND / 10);
    let bytes = stage.watching(viewer).bytes.iter();
    let bytes = bytes.filter(|(at, _)| *at >= began).map(|(_, bytes)| bytes);
    let bytes: usize = bytes.sum();
    // 5 Mb/s are 62 kB in this time, and what is live comes beside that.
    assert!((30_000..90_000).contains(&bytes), "{bytes}");
    stage.run(SECOND);
    assert!(stage.watching(viewer).frames > 100);
}

#[test]
fn repairs_keep_to_what_a_viewer_says_that_its_path_carries() {
    let (mut stage, _, viewer) = unnumbered(511, 6);
    stage.actors[viewer].peer.send_rtcp(&own_estimate(900));
    stage.run(SECOND / 5);
    let highest = *stage.watching(viewer).received.keys().next_back().unwrap();
    let missing: Vec<_> = (highest - 60..highest).map(|seq| seq as u16).collect();
    let mut nack = Vec::new();
    rtcp::write_nack(&mut nack, 1, 2002, &missing);
    let before = *stage.nodes[0].counters();
    stage.actors[viewer].peer.send_rtcp(&nack);
    stage.run(SECOND / 20);
    let after = *stage.nodes[0].counters();
    assert_eq!(after.nacked_by_viewers - before.nacked_by_viewers, 60);
    let resent = after.resent - before.resent;
    assert!((5..30).contains(&resent), "{resent}");
    stage.run(SECOND);
    let after = *stage.nodes[0].counters();
    assert_eq!(after.resent - before.resent, 60);
}

#[test]
fn what_is_asked_for_again_is_counted_whole_also_where_it_is_too_much() {
    let (mut stage, _, viewer) = unnumbered(512, 12);
    stage.actors[viewer].peer.send_rtcp(&own_estimate(1800));
    stage.run(SECOND / 5);
    let highest = *stage.watching(viewer).received.keys().next_back().unwrap();
    let before = *stage.nodes[0].counters();
    for _ in 0..3 {
        let missing: Vec<_> = (highest - 300..highest).map(|seq| seq as u16).collect();
        let mut nack = Vec::new();
        rtcp::write_nack(&mut nack, 1, 2002, &missing);
        stage.actors[viewer].peer.send_rtcp(&nack);
    }
    stage.run(5 * SECOND);
    let after = *stage.nodes[0].counters();
    assert_eq!(after.nacked_by_viewers - before.nacked_by_viewers, 900);
    let resent = after.resent - before.resent;
    let refused = after.resend_refused - before.resend_refused;
    let missing = after.resend_missing - before.resend_missing;
    println!("{resent} resent, {refused} refused, {missing} missing");
    assert_eq!(resent + refused + missing, 900);
}

#[test]
fn a_layer_chosen_by_hand_that_does_not_fit_gives_way_to_a_lower_one_and_returns() {
    let bottleneck = Bottleneck::new(1200, 300).then(25, 4000);
    let mut run = Run::simulcast(513, Link::round_trip(40), bottleneck);
    run.until(10);
    assert!(run.layer_at(10.0) < Some(2));
    run.stage
        .command(&Command::SelectLayer(PeerId(VIEWER), LayerChoice::Layer(2)));
    run.until(24);
    println!("{:?} {:?}", run.layers(), run.limits());
    assert!(
        run.layers()
            .iter()
            .any(|(at, layer)| *at > 10.0 && *layer == 2),
        "it was tried"
    );
    assert!(run.layer_at(24.0) < Some(2));
    assert_eq!(run.limits().last().map(|it| it.1), Some(Limit::Lower));
    assert!(
        run.limits()
            .iter()
            .all(|(_, limit)| *limit != Limit::Paused)
    );
    run.until(60);
    println!("{:?} {:?}", run.layers(), run.limits());
    assert_eq!(run.layer_at(60.0), Some(2));
    assert_eq!(run.limits().last().map(|it| it.1), Some(Limit::None));
    run.stage
        .command(&Command::SelectLayer(PeerId(VIEWER), LayerChoice::Layer(0)));
    run.until(63);
    assert_eq!(run.layer_at(63.0), Some(0));
    assert_eq!(run.limits().last().map(|it| it.1), Some(Limit::None));
    run.stage
        .command(&Command::SelectLayer(PeerId(VIEWER), LayerChoice::Layer(2)));
    run.until(65);
    assert_eq!(run.layer_at(65.0), Some(2), "at once");
    let limited = |event: &Event| matches!(event, Event::ViewerLimit { .. });
    println!("{}", count(&run.stage, limited));
}
