//! A forwarding unit of one or more shards, seen from its clients, in virtual time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use klieg_sfu_core::command::{Command, DisconnectReason, Event, IceCredentials, Media, PeerId};
use klieg_sfu_core::node::Node;

use crate::sim::Link;
use crate::sim::actor::Watching;
use crate::sim::peer::Nomination;
use crate::sim::stage::{OPUS, ROOM, Role, Stage, VP8, VP9, count, send_tracks};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_viewer_gets_its_first_frame_over_every_link() {
    for (seed, loss) in [0, 2, 5, 10].into_iter().enumerate() {
        for round_trip in [20, 100, 500] {
            let mut stage = Stage::new(seed as u64 * 10 + round_trip, 2);
            stage.publish(1, Link::round_trip(20));
            let viewer = stage.watch(2, Link::bad(loss, round_trip));
            let shown = stage.run_until(20 * SECOND, |stage| stage.watching(viewer).frames > 60);
            let watching = stage.watching(viewer);
            assert!(
                shown,
                "loss {loss} %, round trip {round_trip} ms: {} frames, {:?}",
                watching.frames, stage.events
            );
        }
    }
}

#[test]
fn a_publisher_on_a_bad_link_is_repaired_for_everyone() {
    let mut stage = Stage::new(3, 2);
    let publisher = stage.publish(1, Link::bad(10, 60));
    let viewers = [2, 3].map(|id| stage.watch(id, Link::round_trip(20)));
    stage.run(20 * SECOND);
    let sent = stage.publishing(publisher).next_seq;
    for viewer in viewers {
        let watching = stage.watching(viewer);
        assert!(
            watching.frames > 450,
            "{} frames of {sent} packets",
            watching.frames
        );
        assert!(watching.audio > 700, "{} packets of sound", watching.audio);
    }
    let nacked: u64 = stage
        .nodes
        .iter()
        .map(|node| node.counters().nacked_to_publishers)
        .sum();
    assert!(nacked > 50, "{nacked} packets asked for again");
}

#[test]
fn a_viewer_on_a_bad_link_is_repaired_without_asking_the_publisher() {
    let mut stage = Stage::new(4, 1);
    stage.publish(1, Link::round_trip(20));
    let viewer = stage.watch(2, Link::bad(5, 100));
    stage.run(20 * SECOND);
    let watching = stage.watching(viewer);
    assert!(watching.frames > 550, "{} frames", watching.frames);
    assert!(
        watching.repaired > 50,
        "{} packets repaired",
        watching.repaired
    );
    assert_eq!(stage.nodes[0].counters().nacked_to_publishers, 0);
}

#[test]
fn viewers_on_every_shard_get_the_same_media() {
    let mut stage = Stage::new(5, 4);
    stage.publish(1, Link::round_trip(20));
    let viewers: Vec<_> = (2..40)
        .map(|id| stage.watch(id, Link::round_trip(30)))
        .collect();
    stage.run(5 * SECOND);
    let populated = stage
        .nodes
        .iter()
        .filter(|node| node.population().0 > 0)
        .count();
    assert_eq!(populated, 4, "every shard owns somebody");
    for viewer in viewers {
        let frames = stage.watching(viewer).frames;
        assert!(frames > 110, "{frames} frames");
    }
}

#[test]
fn a_thousand_wishes_for_a_keyframe_are_one_request_a_second() {
    let mut stage = Stage::new(6, 2);
    let publisher = stage.publish(1, Link::round_trip(20));
    let viewers: Vec<_> = (2..60)
        .map(|id| stage.watch(id, Link::round_trip(30)))
        .collect();
    stage.run(2 * SECOND);
    let before = stage.publishing(publisher).requests.len();
    for _ in 0..100 {
        for &viewer in &viewers {
            let mut pli = Vec::new();
            klieg_sfu_core::rtp::rtcp::write_pli(&mut pli, 1, 2002);
            stage.actors[viewer].peer.send_rtcp(&pli);
        }
        stage.run(SECOND / 10);
    }
    let asked = stage.publishing(publisher).requests.len() - before;
    assert!((9..=11).contains(&asked), "{asked} requests in 10 s");
}

#[test]
fn a_full_intra_request_that_is_repeated_is_one_wish() {
    let mut stage = Stage::new(25, 1);
    let publisher = stage.publish(1, Link::round_trip(20));
    let viewer = stage.watch(2, Link::round_trip(30));
    stage.run(8 * SECOND);
    let before = stage.publishing(publisher).requests.len();
    for number in [7, 7, 7, 8] {
        let mut fir = Vec::new();
        klieg_sfu_core::rtp::rtcp::write_fir(&mut fir, 1, 2002, number);
        stage.actors[viewer].peer.send_rtcp(&fir);
        stage.run(2 * SECOND);
    }
    let asked = stage.publishing(publisher).requests.len() - before;
    assert_eq!(asked, 2, "one for each number");
}

#[test]
fn a_viewer_that_signaling_speaks_for_gets_a_keyframe_as_if_it_had_asked() {
    let mut stage = Stage::new(20, 2);
    let publisher = stage.publish(1, Link::round_trip(20));
    stage.watch(2, Link::round_trip(30));
    stage.run(8 * SECOND);
    let asked = stage.publishing(publisher).requests.len();
    for peer in [2, 1, 77].map(PeerId) {
        stage.command(&Command::RequestKeyframe(peer));
    }
    stage.run(SECOND);
    assert_eq!(stage.publishing(publisher).requests.len(), asked + 1);
}

#[test]
fn a_publisher_that_returns_is_seen_again_with_numbers_and_time_going_on() {
    let mut stage = Stage::new(7, 2);
    let first = stage.publish(1, Link::round_trip(20));
    let viewer = stage.watch(2, Link::round_trip(30));
    stage.run(3 * SECOND);
    stage.publishing(first).is_sending = false;
    stage.command(&Command::RemovePeer(PeerId(1)));
    stage.run(2 * SECOND);
    let before = stage.watching(viewer).frames;
    let (&last, packet) = stage.watching(viewer).received.last_key_value().unwrap();
    let last_time = u32::from_be_bytes(packet[4..8].try_into().unwrap());

    stage.publish(3, Link::round_trip(20));
    stage.run(3 * SECOND);

    let watching = stage.watching(viewer);
    assert!(
        watching.frames > before + 70,
        "{} frames, {before} before",
        watching.frames
    );
    let (&next, packet) = watching.received.range(last + 1..).next().unwrap();
    let next_time = u32::from_be_bytes(packet[4..8].try_into().unwrap());
    assert_eq!(next, last + 1, "no sequence number is left out");
    let gap_ms = next_time.wrapping_sub(last_time) / 90;
    assert!(
        (1900..2500).contains(&gap_ms),
        "time goes on by {gap_ms} ms"
    );
    assert_eq!(
        count(&stage, |event| matches!(
            event,
            Event::Disconnected {
                peer: PeerId(2),
                ..
            }
        )),
        0
    );
}

#[test]
fn a_join_is_served_from_the_cache_on_every_shard_without_asking_the_publisher() {
    let mut stage = Stage::new(21, 4);
    let publisher = stage.publish(1, Link::round_trip(20));
    stage.watch(2, Link::round_trip(20));
    stage.run(3 * SECOND);
    let asked = stage.publishing(publisher).requests.len();
    for id in 3..23 {
        let joined = stage.now;
        let viewer = stage.watch(id, Link::round_trip(30));
        stage.run(SECOND);
        let watching = stage.watching(viewer);
        let first = watching.first_frame.expect("a first frame") - joined;
        assert!(
            first < Duration::from_millis(250),
            "viewer {id}: first frame after {first:?}"
        );
        let last = watching.last_frame.expect("a last frame");
        assert!(
            stage.now - last < Duration::from_millis(80),
            "viewer {id} is live"
        );
        if stage.elapsed() > 4 * SECOND {
            break;
        }
    }
    assert_eq!(stage.publishing(publisher).requests.len(), asked);
    let counters = stage.nodes.iter().map(Node::counters);
    assert_eq!(counters.map(|it| it.joins_by_request).sum::<u64>(), 0);
}

#[test]
fn two_who_join_at_once_on_another_shard_ask_the_publisher_for_nothing() {
    let mut stage = Stage::new(25, 2);
    let others = (2..).filter(|id| stage.shard_of(*id) != stage.shard_of(1));
    let others: Vec<u64> = others.take(2).collect();
    stage.underway = Some(VecDeque::new());
    let publisher = stage.publish(1, Link::round_trip(20));
    stage.run(3 * SECOND);
    let asked = stage.publishing(publisher).requests.len();
    let mut join = |id: &u64| stage.watch(*id, Link::round_trip(20));
    let viewers: Vec<_> = others.iter().map(&mut join).collect();
    stage.run(SECOND);
    for viewer in viewers {
        assert!(stage.watching(viewer).first_frame.is_some());
    }
    assert_eq!(stage.publishing(publisher).requests.len(), asked);
}

#[test]
fn only_who_may_drop_what_follows_the_handshake_waits_for_a_join_to_begin() {
    let mut stage = Stage::new(24, 1);
    stage.publish(1, Link::round_trip(20));
    stage.run(3 * SECOND);
    let [waited, prompt] = [(2, false), (3, true)].map(|(id, is_prompt)| {
        stage.are_prompt = is_prompt;
        let joined = stage.now;
        let viewer = stage.watch(id, Link::round_trip(50));
        stage.run(SECOND / 2);
        stage.watching(viewer).first_frame.expect("a first frame") - joined
    });
    let sooner = waited.saturating_sub(prompt).as_millis();
    assert!((14..=16).contains(&sooner), "{waited:?}, {prompt:?}");
}

#[test]
fn no_number_goes_out_twice_where_a_join_from_the_cache_meets_what_comes_from_another_shard() {
    for wait in 0..40 {
        let mut stage = Stage::new(24, 2);
        let mut others = (2..).filter(|id| stage.shard_of(*id) != stage.shard_of(1));
        let viewer = others.next().unwrap();
        stage.underway = Some(VecDeque::new());
        stage.publish(1, Link::default());
        stage.run(SECOND + Duration::from_millis(wait));
        stage.watch(viewer, Link::default());
        stage.run(SECOND);
        assert!(stage.numbers.0.len() > 100);
        assert_eq!(stage.numbers.1, 0, "{wait} ms");
    }
}

#[test]
fn a_keyframe_too_far_back_is_asked_for_instead() {
    let mut stage = Stage::new(22, 1);
    let publisher = stage.publish(1, Link::round_trip(20));
    stage.run(12 * SECOND);
    let asked = stage.publishing(publisher).requests.len();
    let joined = stage.now;
    let viewer = stage.watch(2, Link::round_trip(30));
    stage.run(SECOND);
    assert_eq!(stage.publishing(publisher).requests.len(), asked + 1);
    assert_eq!(stage.nodes[0].counters().joins_by_request, 1);
    let first = stage.watching(viewer).first_frame.expect("a first frame") - joined;
    assert!(
        first < Duration::from_millis(400),
        "first frame after {first:?}"
    );
}

#[test]
fn a_picture_lost_right_after_the_join_comes_from_the_cache_again_and_later() {
    let mut stage = Stage::new(23, 1);
    let publisher = stage.publish(1, Link::round_trip(20));
    stage.run(2 * SECOND);
    let asked = stage.publishing(publisher).requests.len();
    let viewer = stage.watch(2, Link::round_trip(30));
    stage.run_until(SECOND, |stage| !stage.watching(viewer).received.is_empty());
    let mut pli = Vec::new();
    klieg_sfu_core::rtp::rtcp::write_pli(&mut pli, 1, 2002);
    stage.actors[viewer].peer.send_rtcp(&pli);
    stage.run(SECOND);

    let starts = starts(&stage, viewer);
    assert_eq!(
        starts.len(),
        2,
        "the keyframe was sent twice, under other numbers"
    );
    let later = starts[1].wrapping_sub(starts[0]);
    assert!((1..45_000).contains(&later), "{later} ticks later");
    assert!(stage.watching(viewer).frames > 60);
    assert_eq!(stage.publishing(publisher).requests.len(), asked);
}

/// Returns the timestamps of the keyframes that a viewer got, in the order of their numbers.
fn starts(stage: &Stage, viewer: usize) -> Vec<u32> {
    let time = |packet: &Vec<u8>| u32::from_be_bytes(packet[4..8].try_into().unwrap());
    let received = stage.watching(viewer).received.values();
    let starts = received.filter(|packet| packet[12..].starts_with(&[0x10, 0]));
    starts.map(time).collect()
}

#[test]
fn viewers_before_the_publisher_get_its_first_frame() {
    let mut stage = Stage::new(8, 2);
    let viewers = [2, 3, 4].map(|id| stage.watch(id, Link::round_trip(30)));
    stage.run(2 * SECOND);
    stage.publish(1, Link::round_trip(20));
    stage.run(3 * SECOND);
    for viewer in viewers {
        let frames = stage.watching(viewer).frames;
        assert!(frames > 70, "{frames} frames");
    }
}

#[test]
fn sender_reports_tell_the_publishers_clock_in_the_viewers_numbers() {
    let mut stage = Stage::new(9, 2);
    stage.publish(1, Link::round_trip(20));
    let viewer = stage.watch(2, Link::round_trip(30));
    stage.run(6 * SECOND);
    let reports = &stage.watching(viewer).reports;
    assert!(reports.len() >= 3, "{} reports", reports.len());
    for pair in reports.windows(2) {
        let [(ntp, rtp), (later_ntp, later_rtp)] = [pair[0], pair[1]];
        // The simulated publisher's own clock stands still, so only what passed since counts.
        assert!(later_ntp.abs_diff(ntp) < 1 << 32);
        assert!(later_rtp.wrapping_sub(rtp) < 2 * 90_000);
    }
}

#[test]
fn a_viewer_that_cannot_play_the_codec_is_named_and_gets_sound() {
    let mut stage = Stage::new(10, 2);
    let media = Media::View(send_tracks(&[(98, None, VP9)]));
    let watching = Role::Watching(Box::new(Watching::new(stage.now)));
    let viewer = stage.add(2, Link::round_trip(20), media, watching);
    stage.publish(1, Link::round_trip(20));
    stage.run(3 * SECOND);
    let mismatch = Event::CodecMismatch {
        peer: PeerId(2),
        sent: VP8,
    };
    assert_eq!(count(&stage, |event| *event == mismatch), 1);
    assert_eq!(stage.watching(viewer).frames, 0);
    assert!(stage.watching(viewer).audio > 100);
}

#[test]
fn viewers_that_come_later_and_cannot_play_the_codec_are_named_on_every_shard() {
    let mut stage = Stage::new(20, 4);
    stage.publish(1, Link::round_trip(20));
    stage.run(2 * SECOND);
    for id in 2..22 {
        let media = Media::View(send_tracks(&[(98, None, VP9)]));
        let watching = Role::Watching(Box::new(Watching::new(stage.now)));
        stage.add(id, Link::round_trip(20), media, watching);
    }
    stage.run(2 * SECOND);
    for id in 2..22 {
        let mismatch = Event::CodecMismatch {
            peer: PeerId(id),
            sent: VP8,
        };
        assert_eq!(count(&stage, |event| *event == mismatch), 1, "viewer {id}");
    }
}

#[test]
fn a_long_event_goes_on_over_every_wrap() {
    let mut stage = Stage::new(25, 2);
    let publisher = stage.publish(1, Link::bad(1, 40));
    let viewer = stage.watch(2, Link::bad(1, 60));
    stage.run(600 * SECOND);
    // 120 packets a second: the viewer's own sequence numbers pass 2^16, and with them the
    // roll-over counter of SRTP; the publisher's numbers and timestamps wrap at the start.
    let watching = stage.watching(viewer);
    let (&highest, _) = watching.received.last_key_value().unwrap();
    assert!(highest > 2 * 0x1_0000, "{highest} is beyond one roll-over");
    assert!(watching.frames > 17_500, "{} frames", watching.frames);
    assert_eq!(stage.actors[viewer].peer.unreadable, 0);
    assert_eq!(stage.actors[publisher].peer.unreadable, 0);
}

#[test]
fn a_publisher_is_seen_everywhere_on_whatever_shards_it_comes_back() {
    let mut stage = Stage::new(27, 3);
    let viewers: Vec<_> = (2..8)
        .map(|id| stage.watch(id, Link::round_trip(30)))
        .collect();
    for id in 100..112 {
        let before: Vec<_> = viewers
            .iter()
            .map(|&viewer| stage.watching(viewer).frames)
            .collect();
        let publisher = stage.publish(id, Link::round_trip(20));
        // The last one is shown out when its successor is there, and a moment later.
        stage.run(SECOND * u32::try_from(id % 3).unwrap() / 4);
        stage.command(&Command::RemovePeer(PeerId(id - 1)));
        stage.run(3 * SECOND);
        for (&viewer, before) in viewers.iter().zip(before) {
            let frames = stage.watching(viewer).frames - before;
            assert!(frames > 50, "{frames} frames of publisher {id}");
        }
        assert!(stage.publishing(publisher).requests.len() < 6);
    }
}

#[test]
fn a_viewer_that_came_to_the_old_publisher_is_shown_the_new_one() {
    let mut stage = Stage::new(28, 2);
    let on = |shard| (1..).filter(move |&id| Stage::new(0, 2).shard_of(id) == shard);
    let (old, viewer) = (on(0).next().unwrap(), on(0).nth(1).unwrap());
    let new = on(1).next().unwrap();
    stage.publish(old, Link::round_trip(20));
    stage.run(SECOND);
    stage.publish(new, Link::round_trip(20));
    stage.run(SECOND);
    let viewer = stage.watch(viewer, Link::round_trip(30));
    stage.run(SECOND);
    stage.command(&Command::RemovePeer(PeerId(old)));
    stage.run(4 * SECOND);
    let last = stage.watching(viewer).last_frame.expect("a last frame");
    assert!(stage.now - last < SECOND / 5, "{:?} ago", stage.now - last);
}

#[test]
fn a_viewer_whose_address_proves_itself_late_is_shown_the_picture() {
    let mut stage = Stage::new(30, 1);
    stage.publish(1, Link::round_trip(20));
    stage.run(9 * SECOND);
    let viewer = stage.watch(2, Link::round_trip(30));
    let old = stage.actors[viewer].peer.config.address;
    // The server's first flight is on its way when the address changes: the handshake alone does
    // not prove the new one, and checks of ours find no answer.
    stage.actors[viewer].peer.is_answering = false;
    let has_flight = |stage: &Stage| stage.sent_to.get(&old).is_some_and(|&bytes| bytes > 600);
    assert!(stage.run_until(SECOND, has_flight));
    let now = stage.now;
    let peer = &mut stage.actors[viewer].peer;
    peer.config.address = SocketAddr::from(([10, 99, 0, 2], 41_000));
    peer.check(now);
    stage.run(3 * SECOND);
    let connected =
        |event: &Event| matches!(event, Event::Connected { peer, .. } if *peer == PeerId(2));
    assert_eq!(count(&stage, connected), 1);
    assert_eq!(stage.watching(viewer).received.len(), 0);
    stage.actors[viewer].peer.is_answering = true;
    stage.run(5 * SECOND);
    let frames = stage.watching(viewer).frames;
    assert!(frames > 80, "{frames} frames");
}

#[test]
fn a_peer_that_never_came_is_forgotten_on_every_shard() {
    let mut stage = Stage::new(29, 4);
    let silent = Link {
        loss_percent: 100,
        ..Link::default()
    };
    stage.watch(2, silent);
    stage.run(31 * SECOND);
    // Its user name is free again: another peer may have it.
    stage.actors.clear();
    let viewer = stage.watch(2, Link::round_trip(20));
    assert!(stage.run_until(SECOND, |stage| { stage.actors[viewer].peer.is_connected() }));
}

#[test]
fn a_publisher_that_leaves_out_numbers_is_followed() {
    let mut stage = Stage::new(32, 2);
    let publisher = stage.publish(1, Link::round_trip(20));
    let viewer = stage.watch(2, Link::round_trip(30));
    stage.run(2 * SECOND);
    for left_out in [3, 600, 5000, 30_000] {
        let publishing = stage.publishing(publisher);
        publishing.next_seq = publishing.next_seq.wrapping_add(left_out);
        stage.run(5 * SECOND);
        let last = stage.watching(viewer).last_frame.expect("a last frame");
        assert!(stage.now - last < SECOND / 5, "{left_out} left out");
    }
    assert_eq!(stage.actors[viewer].peer.unreadable, 0);
}

#[test]
fn a_viewer_without_a_stream_of_retransmissions_is_repaired_by_the_same_packets() {
    let mut stage = Stage::new(33, 1);
    stage.publish(1, Link::round_trip(20));
    let media = Media::View(send_tracks(&[(96, None, VP8)]));
    let watching = Role::Watching(Box::new(Watching::new(stage.now)));
    let viewer = stage.add(2, Link::bad(5, 100), media, watching);
    stage.run(20 * SECOND);
    let watching = stage.watching(viewer);
    assert!(watching.frames > 550, "{} frames", watching.frames);
    assert_eq!(watching.repaired, 0);
    assert!(stage.nodes[0].counters().resent > 50);
}

#[test]
fn packets_without_payload_go_before_others_unharmed() {
    let mut stage = Stage::new(26, 2);
    let publisher = stage.publish(1, Link::round_trip(20));
    let viewers = [2, 3].map(|id| stage.watch(id, Link::round_trip(30)));
    stage.publishing(publisher).is_probing = true;
    stage.run(3 * SECOND);
    for viewer in viewers {
        let frames = stage.watching(viewer).frames;
        assert!(frames > 75, "{frames} frames");
        let peer = &stage.actors[viewer].peer;
        assert_eq!(peer.unreadable, 0);
        assert_eq!(stage.watching(viewer).repaired, 0);
    }
}

#[test]
fn nobody_is_shown_the_last_seconds_of_a_publisher_that_left() {
    let mut stage = Stage::new(24, 2);
    let publisher = stage.publish(1, Link::round_trip(20));
    stage.watch(2, Link::round_trip(20));
    stage.run(2 * SECOND);
    stage.publishing(publisher).is_sending = false;
    stage.command(&Command::RemovePeer(PeerId(1)));
    stage.run(2 * SECOND);
    let late = stage.watch(3, Link::round_trip(20));
    stage.run(2 * SECOND);
    assert!(stage.watching(late).received.is_empty());
}

#[test]
fn events_tell_the_life_of_a_publisher_and_a_viewer() {
    let mut stage = Stage::new(11, 1);
    stage.publish(1, Link::round_trip(20));
    stage.watch(2, Link::round_trip(20));
    stage.run(3 * SECOND);
    stage.command(&Command::RemovePeer(PeerId(2)));
    stage.run(SECOND);

    for peer in [1, 2].map(PeerId) {
        let connected =
            |event: &Event| matches!(event, Event::Connected { peer: who, .. } if *who == peer);
        assert_eq!(count(&stage, connected), 1);
    }
    for format in [VP8, OPUS] {
        let media = Event::PublisherMedia {
            peer: PeerId(1),
            room: ROOM,
            format,
        };
        assert_eq!(
            count(&stage, |event| *event == media),
            1,
            "{:?}",
            stage.events
        );
    }
    assert_eq!(
        count(&stage, |event| matches!(
            event,
            Event::ViewerMedia {
                peer: PeerId(2),
                ..
            }
        )),
        1
    );
    let removed = Event::Disconnected {
        peer: PeerId(2),
        reason: DisconnectReason::Removed,
    };
    assert_eq!(count(&stage, |event| *event == removed), 1);
    assert!(stage.actors[1].peer.is_closed, "the viewer was told");
}

#[test]
fn media_stops_within_thirty_seconds_of_the_last_check() {
    let mut stage = Stage::new(12, 2);
    stage.publish(1, Link::round_trip(20));
    let viewer = stage.watch(2, Link::round_trip(20));
    stage.run(2 * SECOND);
    stage.actors[viewer].peer.is_checking = false;
    stage.actors[viewer].peer.is_answering = false;
    stage.run(31 * SECOND);
    let lost = Event::Disconnected {
        peer: PeerId(2),
        reason: DisconnectReason::ConsentLost,
    };
    assert_eq!(count(&stage, |event| *event == lost), 1);
    let address = stage.actors[viewer].peer.config.address;
    let before = stage.sent_to[&address];
    stage.run(5 * SECOND);
    assert_eq!(stage.sent_to[&address], before, "nothing more is sent");
}

#[test]
fn a_peer_that_never_comes_is_given_up_once() {
    let mut stage = Stage::new(13, 4);
    let viewer = stage.watch(
        2,
        Link {
            loss_percent: 100,
            ..Link::default()
        },
    );
    stage.run(60 * SECOND);
    let late = Event::Disconnected {
        peer: PeerId(2),
        reason: DisconnectReason::HandshakeTimeout,
    };
    assert_eq!(
        stage
            .events
            .iter()
            .map(|(_, event)| event)
            .collect::<Vec<_>>(),
        [&late]
    );
    let address = stage.actors[viewer].peer.config.address;
    assert_eq!(stage.sent_to.get(&address), None);
}

#[test]
fn a_viewer_whose_address_changes_to_another_shard_goes_on() {
    let mut stage = Stage::new(14, 4);
    stage.publish(1, Link::round_trip(20));
    let viewer = stage.watch(2, Link::round_trip(30));
    stage.run(3 * SECOND);
    for port in 41_000..41_008 {
        let before = stage.watching(viewer).frames;
        let old = stage.actors[viewer].peer.config.address;
        stage.actors[viewer].peer.config.address = SocketAddr::from(([10, 99, 0, 1], port));
        let now = stage.now;
        stage.actors[viewer].peer.check(now);
        stage.run(SECOND);
        let sent_to_old = stage.sent_to[&old];
        stage.run(4 * SECOND);
        let frames = stage.watching(viewer).frames - before;
        assert!(frames > 140, "{frames} frames at port {port}");
        assert_eq!(
            stage.sent_to[&old], sent_to_old,
            "nothing more to the old address"
        );
    }
    assert_eq!(
        count(&stage, |event| matches!(event, Event::Disconnected { .. })),
        0
    );
}

#[test]
fn a_publisher_whose_address_moves_to_another_shard_loses_no_packet_and_keeps_their_order() {
    let mut stage = Stage::new(19, 4);
    let publisher = stage.publish(1, Link::round_trip(20));
    let viewers = [2, 3, 4, 5].map(|id| stage.watch(id, Link::round_trip(30)));
    stage.run(3 * SECOND);
    for port in 42_000..42_012 {
        let (now, peer) = (stage.now, &mut stage.actors[publisher].peer);
        peer.config.address = SocketAddr::from(([10, 99, 0, 2], port));
        peer.check(now);
        stage.run(SECOND);
    }
    for viewer in viewers {
        let packets = stage.actors[viewer].peer.rtp.iter();
        let video = packets.filter(|packet| packet[8..12] == 2002u32.to_be_bytes());
        let seqs: Vec<_> = video
            .map(|packet| u16::from_be_bytes([packet[2], packet[3]]))
            .collect();
        assert!(seqs.len() > 1500, "{} packets", seqs.len());
        let follows = |pair: &[u16]| pair[1] == pair[0].wrapping_add(1);
        assert!(
            seqs.windows(2).all(follows),
            "all, each after the one before"
        );
    }
    let nacked = stage
        .nodes
        .iter()
        .map(|node| node.counters().nacked_to_publishers);
    assert_eq!(nacked.sum::<u64>(), 0);
}

#[test]
fn an_ice_restart_keeps_the_media() {
    let mut stage = Stage::new(15, 2);
    stage.publish(1, Link::round_trip(20));
    let viewer = stage.watch(2, Link::round_trip(30));
    stage.run(3 * SECOND);
    for round in 0..4 {
        let before = stage.watching(viewer).frames;
        let fresh = |side: &str| IceCredentials {
            ufrag: format!("{side}new{round}"),
            pwd: format!("{side}{round:030}"),
        };
        let (local, remote) = (fresh("serv"), fresh("peer"));
        stage.actors[viewer].peer.config.local = remote.clone();
        stage.actors[viewer].peer.config.remote = local.clone();
        let (peer, remote) = (PeerId(2), Some(remote));
        stage.command(&Command::RestartIce {
            peer,
            local,
            remote,
        });
        let now = stage.now;
        stage.actors[viewer].peer.check(now);
        stage.run(5 * SECOND);
        let frames = stage.watching(viewer).frames - before;
        assert!(frames > 130, "{frames} frames after restart {round}");
    }
    assert_eq!(
        count(&stage, |event| matches!(event, Event::Disconnected { .. })),
        0
    );
}

#[test]
fn an_ice_restart_before_the_first_check_connects() {
    let mut stage = Stage::new(31, 2);
    stage.publish(1, Link::round_trip(20));
    let silent = Link {
        loss_percent: 100,
        ..Link::default()
    };
    let viewer = stage.watch(2, silent);
    stage.run(5 * SECOND);
    let fresh = |side: &str| IceCredentials {
        ufrag: format!("{side}again"),
        pwd: format!("{side}{:030}", 1),
    };
    let (local, remote) = (fresh("serv"), fresh("peer"));
    stage.actors[viewer].peer.config.local = remote.clone();
    stage.actors[viewer].peer.config.remote = local.clone();
    // As signaling has it: the offer first, the answer later.
    for remote in [None, Some(remote)] {
        let (peer, local) = (PeerId(2), local.clone());
        stage.command(&Command::RestartIce {
            peer,
            local,
            remote,
        });
    }
    stage.actors[viewer].link = Link::round_trip(30);
    stage.run(3 * SECOND);
    let frames = stage.watching(viewer).frames;
    assert!(frames > 60, "{frames} frames");
}

#[test]
fn when_everybody_has_left_nothing_is_left() {
    let mut stage = Stage::new(16, 4);
    for round in 0..20 {
        let publisher = round * 100 + 1;
        stage.publish(publisher, Link::round_trip(20));
        for id in 2..12 {
            stage.watch(round * 100 + id, Link::round_trip(20));
        }
        stage.run(SECOND);
        for id in 1..12 {
            stage.command(&Command::RemovePeer(PeerId(round * 100 + id)));
        }
        stage.actors.clear();
        stage.run(SECOND);
    }
    stage.run(60 * SECOND);
    for node in &mut stage.nodes {
        assert_eq!(node.population(), (0, 0));
        assert_eq!(node.poll_timeout(), None, "no timer is left");
    }
}

#[test]
fn no_short_datagram_is_answered_or_harms_a_running_room() {
    let mut stage = Stage::new(17, 2);
    stage.publish(1, Link::round_trip(20));
    let viewer = stage.watch(2, Link::round_trip(20));
    stage.run(2 * SECOND);
    let stranger = SocketAddr::from(([10, 200, 0, 1], 9));
    let known = stage.actors[viewer].peer.config.address;
    let before = stage.watching(viewer).frames;
    for first in 0..=255_u8 {
        for len in 0..=64_usize {
            let mut datagram = vec![first; len];
            datagram
                .iter_mut()
                .skip(1)
                .zip(1_u8..)
                .for_each(|(byte, at)| *byte ^= at);
            stage.inject(stranger, &datagram);
            stage.inject(known, &datagram);
        }
    }
    stage.run(2 * SECOND);
    assert_eq!(
        stage.sent_to.get(&stranger),
        None,
        "a stranger got an answer"
    );
    assert!(stage.watching(viewer).frames > before + 50);
}

#[test]
fn datagrams_without_a_byte_are_counted() {
    let mut stage = Stage::new(43, 1);
    let stranger = SocketAddr::from(([10, 200, 0, 1], 9));
    for _ in 0..3 {
        stage.inject(stranger, &[]);
    }
    let counters = stage.nodes[0].counters();
    assert_eq!(
        (counters.dropped_empty, counters.dropped_unknown_protocol),
        (3, 0)
    );
}

#[test]
fn an_address_in_use_is_not_taken_over_by_checks_of_another_peer() {
    // On one shard, on two, and on three: the attacker's, the publisher's and the receiving one.
    for shards in [1, 2, 3, 8] {
        let mut stage = Stage::new(44, shards);
        let publisher = stage.publish(1, Link::round_trip(20));
        let viewer = stage.watch(2, Link::round_trip(20));
        let attacker = stage.watch(3, Link::round_trip(20));
        stage.run(2 * SECOND);
        // Its address has changed, so that its datagrams reach another shard than its own.
        let moved = SocketAddr::from(([10, 99, 0, 1], 41_000));
        stage.actors[publisher].peer.config.address = moved;
        let now = stage.now;
        stage.actors[publisher].peer.check(now);
        stage.run(SECOND);
        let pwd = stage.actors[attacker].peer.config.remote.pwd.clone();
        for _ in 0..100 {
            let check = stage.actors[attacker].peer.binding_request(&pwd, &[]);
            stage.inject(moved, &check);
            stage.run(SECOND / 20);
            for place in [viewer, attacker] {
                let last = stage.watching(place).last_frame.expect("a last frame");
                assert!(stage.now - last < SECOND / 10, "{shards} shards");
            }
        }
    }
}

#[test]
fn an_address_that_its_peer_has_left_is_free_for_another() {
    for shards in [1, 2] {
        for is_removed in [true, false] {
            let mut stage = Stage::new(45, shards);
            stage.publish(1, Link::round_trip(20));
            stage.watch(2, Link::round_trip(20));
            stage.run(2 * SECOND);
            // It is gone without a word.
            let gone = stage.actors.remove(1).peer.config.address;
            if is_removed {
                stage.command(&Command::RemovePeer(PeerId(2)));
            } else {
                stage.run(16 * SECOND);
            }
            let viewer = stage.watch(3, Link::round_trip(20));
            stage.actors[viewer].peer.config.address = gone;
            stage.run(3 * SECOND);
            let frames = stage.watching(viewer).frames;
            assert!(frames > 75, "{frames} frames, {shards} shards");
        }
    }
}

#[test]
fn a_flood_of_addresses_does_not_cut_off_the_one_in_use() {
    for shards in [1, 4] {
        let mut stage = Stage::new(46, shards);
        let publisher = stage.publish(1, Link::round_trip(20));
        let viewer = stage.watch(2, Link::round_trip(20));
        stage.run(2 * SECOND);
        let config = stage.actors[publisher].peer.config.clone();
        stage.actors[publisher].peer.config.nomination = Nomination::Never;
        for port in 1..=1000 {
            let check = stage.actors[publisher]
                .peer
                .binding_request(&config.remote.pwd, &[]);
            stage.inject(SocketAddr::from(([10, 7, 7, 7], port)), &check);
        }
        stage.actors[publisher].peer.config.nomination = config.nomination;
        for _ in 0..20 {
            stage.run(SECOND / 10);
            let last = stage.watching(viewer).last_frame.expect("a last frame");
            assert!(stage.now - last < SECOND / 10, "{shards} shards");
        }
    }
}

#[test]
fn twenty_stalled_viewers_take_nothing_from_the_others() {
    let mut stage = Stage::new(18, 2);
    stage.publish(1, Link::round_trip(20));
    let stalled: Vec<_> = (2..22)
        .map(|id| stage.watch(id, Link::round_trip(20)))
        .collect();
    let well: Vec<_> = (30..50)
        .map(|id| stage.watch(id, Link::round_trip(20)))
        .collect();
    stage.run(2 * SECOND);
    for viewer in stalled {
        stage.actors[viewer].link.loss_percent = 100;
    }
    let before: Vec<_> = well
        .iter()
        .map(|&viewer| stage.watching(viewer).frames)
        .collect();
    stage.run(10 * SECOND);
    for (&viewer, before) in well.iter().zip(before) {
        let frames = stage.watching(viewer).frames - before;
        assert!(frames > 290, "{frames} frames");
    }
}

#[test]
fn a_second_description_for_the_same_peer_changes_nothing() {
    let mut stage = Stage::new(19, 1);
    stage.publish(1, Link::round_trip(20));
    let viewer = stage.watch(2, Link::round_trip(20));
    stage.run(2 * SECOND);
    let before = stage.watching(viewer).frames;
    let remote = klieg_sfu_core::command::Remote {
        ice: IceCredentials {
            ufrag: "evil".into(),
            pwd: "x".repeat(24),
        },
        fingerprints: vec![klieg_sfu_core::command::Fingerprint([0; 32])],
        dtls_role: klieg_sfu_core::command::DtlsRole::Server,
        is_prompt: false,
        media: Media::View(Vec::new()),
    };
    stage.command(&Command::SetRemote(PeerId(2), Arc::new(remote)));
    stage.run(2 * SECOND);
    assert!(stage.watching(viewer).frames > before + 50);
}
