//! What a viewer gets over paths that change: the layer that fits, within seconds, without a long freeze.
//!
//! `KLIEG_PLOTS=docs/images cargo test -p klieg-sfu-core --test virtual_time bandwidth` draws what each run did.

use std::time::Duration;

use klieg_sfu_core::command::{Command, Event, LayerChoice, Limit, PeerId};
use klieg_sfu_core::rtp::packet::Header;
use klieg_sfu_core::rtp::rtcp::{self, ReceptionReport};

use crate::sim::bottleneck::{Bottleneck, Cross};
use crate::sim::run::{Run, VIEWER, layers, longest_gap, own_estimate};
use crate::sim::simulcast::{Seen, SentLayer};
use crate::sim::stage::{Stage, count};
use crate::sim::{Link, epoch};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_bottleneck_that_narrows_and_widens_costs_half_a_second_and_gives_the_best_layer_back() {
    for (seed, queue_ms) in [(300, 300), (301, 150), (302, 600)] {
        let bottleneck = Bottleneck::new(3000, queue_ms).then(15, 600).then(35, 3000);
        let mut run = Run::simulcast(seed, Link::round_trip(40), bottleneck);
        run.until(60);
        if queue_ms == 300 {
            run.plot("step", "3 → 0.6 → 3 Mb/s, queue 112 kB, round trip 40 ms");
        }
        println!("{:?} {:?}", run.layers(), run.limits());
        println!(
            "freeze {:?}, dropped {}, after {} of {}",
            run.freeze(14, 20),
            run.dropped(15, 18),
            run.dropped(18, 35),
            run.came(18, 35)
        );
        assert_eq!(run.layer_at(15.0), Some(2), "{:?}", run.layers());
        assert!(run.layer_at(17.0) < Some(2), "{:?}", run.layers());
        assert!(run.freeze(14, 20) <= Duration::from_millis(500));
        assert!(run.dropped(18, 35) * 50 <= run.came(18, 35));
        assert_eq!(run.layer_at(50.0), Some(2), "{:?}", run.layers());
    }
}

#[test]
fn what_was_lost_of_a_layer_that_was_too_much_does_not_stand_before_the_keyframe_of_the_next() {
    for (seed, queue_ms) in [(304, 200), (305, 300), (306, 400), (307, 300), (308, 250)] {
        let bottleneck = Bottleneck::new(3000, queue_ms).then(15, 600);
        let mut run = Run::simulcast(seed, Link::round_trip(50), bottleneck);
        run.until(20);
        let lowered = run.layers().iter().find(|(at, _)| *at > 15.0).unwrap().0;
        let lowered = epoch() + Duration::from_secs_f64(lowered);
        let packets = run.stage.actors[run.viewer].peer.rtp.iter();
        let arrivals = run.stage.watching(run.viewer).bytes.iter();
        let mut repaired = 0;
        for (packet, (at, _)) in packets.zip(arrivals) {
            let header = Header::parse(packet).unwrap();
            let is_repair = header.ssrc == 2003 && !header.payload.is_empty();
            if is_repair && *at > lowered + SECOND / 2 {
                repaired += u32::from(Seen::read_repair(packet).layer == 2);
            }
        }
        let dropped = run.dropped(15, 20);
        println!(
            "{repaired} repaired, {dropped} dropped, freeze {:?}",
            run.freeze(14, 20)
        );
        assert_eq!(repaired, 0, "of the layer that is over");
        assert!(run.freeze(14, 20) <= Duration::from_millis(500));
    }
}

#[test]
fn a_path_that_widens_is_found_by_probing() {
    let bottleneck = Bottleneck::new(400, 300).then(20, 5000);
    let mut run = Run::simulcast(303, Link::round_trip(60), bottleneck);
    run.until(40);
    run.plot("up", "0.4 → 5 Mb/s, round trip 60 ms");
    println!("{:?} {:?}", run.layers(), run.limits());
    assert_eq!(run.layer_at(19.0), Some(0));
    assert_eq!(run.layer_at(35.0), Some(2));
    assert_eq!(run.limits().last().map(|it| it.1), Some(Limit::None));
    assert!(run.freeze(8, 40) <= Duration::from_millis(500));
}

#[test]
fn who_has_fallen_behind_gets_all_in_the_turns_of_a_server_that_has_more_to_do_than_time() {
    for (seed, turn_ms) in [(315, 60), (316, 100), (317, 150)] {
        let bottleneck = Bottleneck::new(20_000, 300);
        let mut run = Run::simulcast(seed, Link::round_trip(40), bottleneck);
        run.until(15);
        run.stage.turn = Duration::from_millis(turn_ms);
        run.until(25);
        let frames = run.frames(17, 25);
        println!("{turn_ms} ms: {:?}, {frames} frames", run.layers());
        assert_eq!(run.layer_at(25.0), Some(2));
        assert!(frames >= 8 * 30 - 6, "{frames}");
    }
}

#[test]
fn loss_without_a_queue_does_not_sink_the_picture() {
    for loss_percent in [2, 5, 10] {
        let link = Link {
            loss_percent,
            ..Link::round_trip(40)
        };
        let mut run = Run::simulcast(310 + loss_percent, link, Bottleneck::new(8000, 300));
        run.until(40);
        if loss_percent == 10 {
            run.plot("loss", "8 Mb/s, 10 % of packets lost at random");
        }
        println!(
            "{loss_percent} %: {:?} {:?}",
            run.layers(),
            run.frames(5, 40)
        );
        assert_eq!(run.layer_at(40.0), Some(2));
        assert!(
            run.layers()
                .iter()
                .all(|(at, layer)| *at < 5.0 || *layer == 2)
        );
        assert!(run.frames(5, 40) > 35 * 29);
    }
}

#[test]
fn jitter_does_not_sink_the_picture() {
    let mut bottleneck = Bottleneck::new(6000, 300);
    bottleneck.jitter = Duration::from_millis(25);
    let mut run = Run::simulcast(320, Link::round_trip(40), bottleneck);
    run.until(40);
    run.plot("jitter", "6 Mb/s, each packet up to 25 ms later");
    println!("{:?}", run.layers());
    assert!(
        run.layers()
            .iter()
            .all(|(at, layer)| *at < 5.0 || *layer == 2)
    );
}

#[test]
fn a_way_that_becomes_longer_looks_like_a_queue_for_half_a_minute_at_most() {
    for seed in 322..326 {
        let mut bottleneck = Bottleneck::new(6000, 300);
        bottleneck.jitter = Duration::from_millis(25);
        let mut run = Run::simulcast(seed, Link::round_trip(40), bottleneck);
        run.until(10);
        let viewer = run.viewer;
        run.stage.actors[viewer].link.delay += Duration::from_millis(120);
        run.until(45);
        println!("{:?} {:?}", run.layers(), run.limits());
        assert_eq!(run.layer_at(41.0), Some(2));
        assert!(
            !run.limits()
                .iter()
                .any(|(_, limit)| *limit == Limit::Paused)
        );
        assert!(run.freeze(9, 45) <= Duration::from_millis(500));
    }
}

#[test]
fn a_deep_queue_is_not_left_to_fill() {
    let bottleneck = Bottleneck::new(5000, 400).then(12, 1000);
    let mut bottleneck = bottleneck;
    bottleneck.queue_bytes = 500_000;
    let mut run = Run::simulcast(330, Link::round_trip(40), bottleneck);
    run.until(30);
    run.plot("queue", "5 → 1 Mb/s, queue of 4 s");
    println!("{:?} freeze {:?}", run.layers(), run.freeze(10, 30));
    assert!(run.layer_at(14.0) < Some(2));
    assert_eq!(run.dropped(12, 30), 0);
    assert!(run.freeze(10, 30) <= Duration::from_millis(800));
}

#[test]
fn a_flow_that_comes_and_goes_is_given_way_and_the_picture_returns() {
    let mut bottleneck = Bottleneck::new(4000, 150);
    bottleneck.cross = Some(Cross {
        span: (SECOND * 15, SECOND * 35),
        kbps: 1000.0,
        growth_kbps: 800.0,
    });
    let mut run = Run::simulcast(340, Link::round_trip(40), bottleneck);
    run.until(60);
    run.plot(
        "competing",
        "4 Mb/s, with another flow from 15 s to 35 s that grows until packets are lost",
    );
    println!("{:?} frames {}", run.layers(), run.frames(15, 35));
    assert!(run.frames(15, 35) > 20 * 28, "{}", run.frames(15, 35));
    assert_eq!(run.layer_at(55.0), Some(2));
}

#[test]
fn a_path_that_carries_no_picture_keeps_its_sound_and_says_why() {
    let bottleneck = Bottleneck::new(3000, 300).then(12, 200).then(30, 3000);
    let mut run = Run::single(350, Link::round_trip(40), bottleneck);
    run.until(60);
    run.plot("pause", "One layer of 1 Mb/s and sound: 3 → 0.2 → 3 Mb/s");
    let limits: Vec<_> = run.limits().into_iter().map(|(_, limit)| limit).collect();
    println!("{:?}", run.limits());
    assert_eq!(limits, [Limit::Paused, Limit::None]);
    assert!(run.limits()[0].0 < 17.0 && run.limits()[1].0 < 45.0);
    let heard = &run.stage.watching(run.viewer).heard;
    let silence = longest_gap(heard, (18, 60));
    assert!(silence < Duration::from_millis(400), "{silence:?}");
    assert!(run.frames(46, 60) > 13 * 29);
}

#[test]
fn five_of_a_hundred_lost_at_a_long_round_trip_are_repaired() {
    let link = Link {
        loss_percent: 5,
        ..Link::round_trip(100)
    };
    let mut run = Run::single(360, link, Bottleneck::new(4000, 300));
    run.until(62);
    let frames = run.frames(2, 62);
    println!("{frames} frames in a minute");
    assert!(frames * 1000 >= 60 * 30 * 995, "{frames}");
}

#[test]
fn what_somebody_chooses_is_shown_whatever_the_path_says_and_auto_returns() {
    let mut run = Run::simulcast(370, Link::round_trip(40), Bottleneck::new(1200, 300));
    run.until(10);
    assert!(run.layer_at(10.0) < Some(2));
    run.stage
        .command(&Command::SelectLayer(PeerId(VIEWER), LayerChoice::Layer(0)));
    run.until(14);
    assert_eq!(run.layer_at(14.0), Some(0));
    assert_eq!(run.limits().last().map(|it| it.1), Some(Limit::None));
    run.stage
        .command(&Command::SelectLayer(PeerId(VIEWER), LayerChoice::Auto));
    run.until(25);
    assert_eq!(run.layer_at(25.0), Some(1));
    assert_eq!(run.limits().last().map(|it| it.1), Some(Limit::Lower));
}

#[test]
fn nothing_is_probed_where_there_is_nothing_to_win() {
    let mut run = Run::simulcast(380, Link::round_trip(40), Bottleneck::new(20_000, 300));
    run.until(10);
    let before = run.stage.nodes[0].counters().probes;
    run.until(40);
    assert_eq!(run.layer_at(40.0), Some(2));
    assert_eq!(run.stage.nodes[0].counters().probes, before);
    assert!(
        count(&run.stage, |event| matches!(
            event,
            Event::ViewerLimit { .. }
        )) <= 2
    );
}

#[test]
fn every_packet_has_a_number_and_none_has_two() {
    let link = Link {
        loss_percent: 3,
        ..Link::round_trip(40)
    };
    let mut run = Run::single(390, link, Bottleneck::new(3000, 300));
    run.until(20);
    let watching = run.stage.watching(run.viewer);
    assert_eq!(watching.numbers.len(), watching.bytes.len());
    let mut numbers = watching.numbers.clone();
    numbers.sort_unstable();
    let before = numbers.len();
    numbers.dedup();
    assert_eq!(numbers.len(), before);
    assert!(watching.repaired > 0);
}

#[test]
fn a_viewer_that_reports_nothing_gets_the_best_layer_however_much_that_is() {
    let mut run = Run::simulcast(400, Link::round_trip(40), Bottleneck::new(80_000, 300));
    run.stage.simulcasting(0).layers[2].packets = 40;
    let viewer = run.viewer;
    run.stage.watching_mut(viewer).reports_transport = false;
    run.until(20);
    assert_eq!(run.layer_at(20.0), Some(2));
    assert!(run.frames(4, 20) > 15 * 29);
}

/// Returns a report that so many of 256 packets were lost.
fn report(fraction_lost: u8) -> Vec<u8> {
    let report = ReceptionReport {
        ssrc: 2002,
        fraction_lost,
        ..ReceptionReport::default()
    };
    let mut compound = Vec::new();
    rtcp::write_receiver_report(&mut compound, 1, &[report]);
    compound
}

/// Lets a viewer without transport-wide feedback say the same each second; returns the layer that it is shown then.
fn shown_after(run: &mut Run, secs: u64, message: &[u8]) -> Option<u8> {
    for _ in 0..secs {
        run.stage.actors[run.viewer].peer.send_rtcp(message);
        run.stage.run(SECOND);
    }
    run.layer_at(run.now())
}

fn without_numbers(seed: u64) -> Run {
    let mut stage = Stage::new(seed, 1);
    stage.simulcast(1, Link::round_trip(20), layers());
    stage.run(2 * SECOND);
    let viewer = stage.watch(VIEWER, Link::round_trip(40));
    stage.run(3 * SECOND);
    Run::with(stage, viewer)
}

#[test]
fn a_viewers_own_estimate_counts_where_it_reports_nothing_better() {
    let mut run = without_numbers(410);
    assert_eq!(run.layer_at(5.0), Some(2));
    assert_eq!(shown_after(&mut run, 4, &own_estimate(700)), Some(1));
    assert_eq!(shown_after(&mut run, 4, &own_estimate(300)), Some(0));
    assert_eq!(shown_after(&mut run, 6, &own_estimate(4000)), Some(2));
}

#[test]
fn a_viewer_whose_own_estimate_follows_what_it_gets_is_shown_the_picture_again_and_then_the_best() {
    let mut run = without_numbers(412);
    // About half as much again as comes, as receivers bound it.
    let mut told = |kbps: u32| {
        let changes = |run: &Run| run.layers().len() + run.limits().len();
        let before = changes(&run);
        let shown = (0..20).find_map(|_| {
            let shown = shown_after(&mut run, 1, &own_estimate(kbps));
            (changes(&run) > before).then_some(shown)
        });
        println!("{kbps} kb/s: {:?} {:?}", run.layers(), run.limits());
        (shown.flatten(), run.limits().last().map(|it| it.1))
    };
    assert_eq!(told(300), (Some(0), Some(Limit::Lower)));
    assert_eq!(told(70).1, Some(Limit::Paused));
    assert_eq!(told(70), (Some(0), Some(Limit::Lower)), "it is tried");
    assert_eq!(told(250), (Some(1), Some(Limit::Lower)));
    assert_eq!(told(1000), (Some(2), Some(Limit::None)));
}

#[test]
fn heavy_loss_counts_where_nothing_else_is_known() {
    let mut run = without_numbers(411);
    assert_eq!(shown_after(&mut run, 5, &report(15)), Some(2), "6 % lost");
    assert!(shown_after(&mut run, 8, &report(100)) < Some(2));
    assert_eq!(shown_after(&mut run, 40, &report(0)), Some(2));
}

#[test]
fn a_keyframe_that_comes_at_once_leaves_at_the_pace_of_the_path() {
    // A keyframe of 60 kB each second, over 4 Mb/s with a queue of 75 kB.
    let mut layer = SentLayer::new("f", 3000, (1280, 720));
    (layer.packets, layer.keyframe_times) = (8, 10);
    let mut stage = Stage::new(420, 1);
    let publisher = stage.simulcast(1, Link::round_trip(20), vec![layer]);
    stage.run(2 * SECOND);
    let mut run = Run::of(stage, Link::round_trip(40), Bottleneck::new(4000, 80));
    run.until(4);
    for second in 5..25 {
        run.stage.simulcasting(publisher).layers[0].wants_keyframe = true;
        run.until(second);
    }
    let dropped = run.dropped(4, 25);
    println!("{dropped} dropped of {}", run.came(4, 25));
    assert!(dropped * 200 < run.came(4, 25), "{dropped}");
    assert!(run.frames(4, 24) > 19 * 29, "{}", run.frames(4, 24));
}
