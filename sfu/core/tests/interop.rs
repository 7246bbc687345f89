//! Clients that are no browsers: what they leave out, and what they do otherwise, in virtual time.

use std::net::SocketAddr;
use std::time::Duration;

use klieg_sfu_core::command::{
    DisconnectReason, Event, ExtensionIds, Kind, Media, PeerId, ReceiveTrack,
};
use klieg_sfu_core::transport::TransportEvent;

use crate::sim::Link;
use crate::sim::actor::{Extensions, Publishing, Watching};
use crate::sim::address;
use crate::sim::peer::Nomination;
use crate::sim::stage::{OPUS, Role, Stage, VP8, count, receive_tracks, send_tracks};
use crate::sim::world::{World, rtp_packet};

const SECOND: Duration = Duration::from_secs(1);

/// Adds publisher 1 with m-lines and habits of its own.
fn publish(
    stage: &mut Stage,
    link: Link,
    change_tracks: impl Fn(&mut ReceiveTrack),
    change: impl FnOnce(&mut Publishing),
) -> usize {
    let mut tracks = receive_tracks();
    tracks.iter_mut().for_each(change_tracks);
    let mut publishing = Publishing::new(stage.now, 100);
    change(&mut publishing);
    tracks.retain(|track| match track.kind {
        Kind::Audio => publishing.has_audio,
        Kind::Video => publishing.has_video,
    });
    let role = Role::Publishing(Box::new(publishing));
    stage.add(1, link, Media::Publish(tracks), role)
}

/// Adds a viewer of one kind only.
fn watch_only(stage: &mut Stage, id: u64, kind: Kind) -> usize {
    let mut tracks = send_tracks(&[(96, Some(97), VP8)]);
    tracks.retain(|track| track.kind == kind);
    let role = Role::Watching(Box::new(Watching::new(stage.now)));
    stage.add(id, Link::round_trip(30), Media::View(tracks), role)
}

fn has_shown(stage: &Stage, id: u64) -> bool {
    let is_shown =
        |event: &Event| matches!(event, Event::ViewerMedia { peer, .. } if *peer == PeerId(id));
    count(stage, is_shown) == 1
}

/// Returns how many messages of transport-wide feedback a client got.
fn arrivals_told(stage: &Stage, place: usize) -> usize {
    let compounds = stage.actors[place].peer.rtcp.iter();
    let message = |compound: &&Vec<u8>| compound.windows(2).any(|pair| pair == [0x8f, 205]);
    compounds.filter(message).count()
}

#[test]
fn a_publisher_without_header_extensions_is_forwarded_and_repaired() {
    let mut stage = Stage::new(60, 2);
    let bare = |track: &mut ReceiveTrack| track.extensions = ExtensionIds::default();
    let publisher = publish(&mut stage, Link::bad(5, 60), bare, |publishing| {
        publishing.extensions = Extensions::None;
    });
    let viewers = [2, 3].map(|id| stage.watch(id, Link::round_trip(20)));
    stage.run(10 * SECOND);
    for viewer in viewers {
        let watching = stage.watching(viewer);
        assert!(watching.frames > 250, "{} frames", watching.frames);
        assert!(watching.audio > 400);
    }
    assert_eq!(arrivals_told(&stage, publisher), 0);
}

#[test]
fn extensions_negotiated_but_not_sent_are_not_waited_for() {
    let mut stage = Stage::new(61, 2);
    let all = |track: &mut ReceiveTrack| {
        track.extensions.mid = Some(4);
        track.extensions.rid = Some(5);
    };
    publish(&mut stage, Link::round_trip(20), all, |publishing| {
        publishing.extensions = Extensions::None;
    });
    let viewer = stage.watch(2, Link::round_trip(20));
    stage.run(5 * SECOND);
    let watching = stage.watching(viewer);
    assert!(watching.frames > 140, "{} frames", watching.frames);
    assert!(watching.audio > 230);
}

#[test]
fn two_byte_extension_headers_are_read() {
    let mut stage = Stage::new(62, 2);
    let two_byte = |track: &mut ReceiveTrack| {
        track.extensions = ExtensionIds {
            mid: Some(20),
            transport_cc: Some(21),
            ..ExtensionIds::default()
        };
        if track.kind == Kind::Video {
            return;
        }
        // Both m-lines take every payload type: only the MID tells them apart.
        let video = receive_tracks().remove(1).formats;
        track.formats.extend(video);
    };
    let publisher = publish(&mut stage, Link::bad(2, 40), two_byte, |publishing| {
        publishing.extensions = Extensions::TwoByte;
    });
    let viewer = stage.watch(2, Link::round_trip(20));
    stage.run(5 * SECOND);
    let watching = stage.watching(viewer);
    assert!(watching.frames > 120, "{} frames", watching.frames);
    assert!(watching.audio > 200);
    assert!(arrivals_told(&stage, publisher) > 50);
}

#[test]
fn a_publisher_without_a_stream_of_retransmissions_repairs_by_the_same_packets() {
    for negotiated in [false, true] {
        let mut stage = Stage::new(63, 2);
        let change = |track: &mut ReceiveTrack| {
            for format in &mut track.formats {
                format.rtx_payload_type = format.rtx_payload_type.filter(|_| negotiated);
            }
        };
        publish(&mut stage, Link::bad(10, 60), change, |publishing| {
            publishing.has_rtx = false;
        });
        let viewers = [2, 3].map(|id| stage.watch(id, Link::round_trip(20)));
        let media = Media::View(send_tracks(&[(96, None, VP8)]));
        let watching = Role::Watching(Box::new(Watching::new(stage.now)));
        let bad = stage.add(4, Link::bad(5, 60), media, watching);
        stage.run(20 * SECOND);
        for viewer in viewers.into_iter().chain([bad]) {
            let watching = stage.watching(viewer);
            assert!(watching.frames > 450, "{} frames", watching.frames);
        }
        assert_eq!(stage.watching(bad).repaired, 0);
        let duplicates: u64 = stage
            .nodes
            .iter()
            .map(|node| node.counters().dropped_duplicate)
            .sum();
        assert!(duplicates < 200, "{duplicates} repairs of what was there");
    }
}

#[test]
fn a_publisher_of_sound_alone_is_heard() {
    let mut stage = Stage::new(64, 2);
    let publisher = publish(
        &mut stage,
        Link::round_trip(20),
        |_| {},
        |publishing| {
            publishing.has_video = false;
        },
    );
    let viewers = [2, 3].map(|id| stage.watch(id, Link::round_trip(30)));
    stage.run(3 * SECOND);
    let late = stage.watch(4, Link::round_trip(30));
    stage.run(3 * SECOND);
    for (viewer, id) in viewers.into_iter().chain([late]).zip(2..) {
        assert!(stage.watching(viewer).audio > 130);
        assert!(stage.watching(viewer).audio_reports > 0);
        assert!(has_shown(&stage, id), "{:?}", stage.events);
    }
    assert_eq!(stage.publishing(publisher).requests.len(), 0);
}

#[test]
fn a_publisher_of_picture_alone_is_seen() {
    let mut stage = Stage::new(65, 2);
    publish(
        &mut stage,
        Link::bad(2, 20),
        |_| {},
        |publishing| {
            publishing.has_audio = false;
        },
    );
    let viewer = stage.watch(2, Link::round_trip(30));
    stage.run(5 * SECOND);
    let watching = stage.watching(viewer);
    assert!(watching.frames > 130, "{} frames", watching.frames);
    assert_eq!(watching.audio, 0);
    assert!(has_shown(&stage, 2));
}

#[test]
fn a_viewer_of_sound_alone_costs_no_keyframe_and_is_known_to_hear() {
    let mut stage = Stage::new(66, 2);
    let publisher = stage.publish(1, Link::round_trip(20));
    stage.run(9 * SECOND);
    let asked = stage.publishing(publisher).requests.len();
    let viewers = [2, 3, 4].map(|id| watch_only(&mut stage, id, Kind::Audio));
    stage.run(3 * SECOND);
    for (viewer, id) in viewers.into_iter().zip(2..) {
        assert!(stage.watching(viewer).audio > 130);
        assert!(has_shown(&stage, id), "viewer {id}");
    }
    assert_eq!(stage.publishing(publisher).requests.len(), asked);
}

#[test]
fn a_viewer_of_picture_alone_sees() {
    let mut stage = Stage::new(67, 2);
    stage.publish(1, Link::round_trip(20));
    let viewers = [2, 3].map(|id| watch_only(&mut stage, id, Kind::Video));
    stage.run(3 * SECOND);
    for (viewer, id) in viewers.into_iter().zip(2..) {
        assert!(stage.watching(viewer).frames > 75);
        assert_eq!(stage.watching(viewer).audio, 0);
        assert!(has_shown(&stage, id));
    }
}

#[test]
fn clients_that_wait_for_the_client_hello_publish_and_watch() {
    for loss in [0, 5] {
        let mut stage = Stage::new(68, 2);
        stage.are_active = false;
        stage.publish(1, Link::bad(loss, 40));
        let viewers = [2, 3].map(|id| stage.watch(id, Link::bad(loss, 40)));
        stage.run(10 * SECOND);
        for viewer in viewers {
            let frames = stage.watching(viewer).frames;
            assert!(frames > 200, "{frames} frames");
        }
    }
}

#[test]
fn a_viewer_that_sends_whole_compounds_is_repaired() {
    let mut stage = Stage::new(69, 1);
    stage.publish(1, Link::round_trip(20));
    let viewer = stage.watch(2, Link::bad(5, 60));
    if let Role::Watching(watching) = &mut stage.actors[viewer].role {
        watching.sends_whole_compounds = true;
    }
    stage.run(10 * SECOND);
    let watching = stage.watching(viewer);
    assert!(watching.frames > 280, "{} frames", watching.frames);
    assert!(watching.repaired > 20);
}

#[test]
fn clients_over_ipv6_publish_and_watch() {
    let mut stage = Stage::new(70, 3);
    stage.publish(1, Link::round_trip(20));
    let viewers = [2, 3].map(|id| stage.watch(id, Link::bad(2, 30)));
    for (actor, host) in stage.actors.iter_mut().zip(1..) {
        let ip = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host);
        actor.peer.config.address = SocketAddr::from((ip, 40_000));
    }
    stage.run(5 * SECOND);
    for viewer in viewers {
        let frames = stage.watching(viewer).frames;
        assert!(frames > 130, "{frames} frames");
        let peer = &stage.actors[viewer].peer;
        assert_eq!(peer.mapped, Some(peer.config.address));
    }
}

#[test]
fn a_client_that_nominates_late_is_served_from_its_first_valid_pair() {
    let mut stage = Stage::new(71, 2);
    let publisher = stage.publish(1, Link::round_trip(20));
    let viewer = stage.watch(2, Link::round_trip(30));
    for place in [publisher, viewer] {
        stage.actors[place].peer.config.nomination = Nomination::Never;
    }
    stage.run(6 * SECOND);
    assert!(stage.watching(viewer).frames > 160);
    // The nominated pair is another than the one that was valid first.
    for (place, host) in [(publisher, 1), (viewer, 2)] {
        let now = stage.now;
        let peer = &mut stage.actors[place].peer;
        peer.config.nomination = Nomination::Regular;
        peer.config.address = SocketAddr::from(([10, 98, 0, host], 41_000));
        peer.check(now);
    }
    stage.run(3 * SECOND);
    for _ in 0..10 {
        let last = stage.watching(viewer).last_frame.expect("a last frame");
        assert!(stage.now - last < SECOND / 5);
        stage.run(SECOND);
    }
}

#[test]
fn clients_that_only_answer_checks_keep_their_media() {
    let mut stage = Stage::new(75, 2);
    let publisher = stage.publish(1, Link::bad(2, 20));
    let viewer = stage.watch(2, Link::bad(2, 30));
    stage.run(3 * SECOND);
    for place in [publisher, viewer] {
        stage.actors[place].peer.is_checking = false;
    }
    for _ in 0..100 {
        stage.run(SECOND);
        let last = stage.watching(viewer).last_frame.expect("a last frame");
        assert!(stage.now - last < SECOND / 2);
    }
    // A goodbye without proof is taken back by an answer.
    stage.run(SECOND);
    let from = stage.actors[viewer].peer.config.address;
    stage.inject(from, &[21, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0]);
    stage.run(40 * SECOND);
    let is_gone = |event: &Event| matches!(event, Event::Disconnected { .. });
    assert_eq!(count(&stage, is_gone), 0);
}

#[test]
fn a_publisher_that_stops_checking_is_heard_as_long_as_its_media_comes_but_told_nothing() {
    let mut stage = Stage::new(76, 2);
    let publisher = stage.publish(1, Link::round_trip(20));
    let viewer = stage.watch(2, Link::round_trip(30));
    stage.run(3 * SECOND);
    stage.actors[publisher].peer.is_checking = false;
    stage.actors[publisher].peer.is_answering = false;
    stage.run(31 * SECOND);
    let config = stage.actors[publisher].peer.config.clone();
    let told = stage.actors[publisher].peer.rtcp.len();
    for _ in 0..60 {
        stage.run(SECOND);
        let last = stage.watching(viewer).last_frame.expect("a last frame");
        assert!(stage.now - last < SECOND / 10);
    }
    assert_eq!(stage.actors[publisher].peer.rtcp.len(), told);
    let sent = stage.sent_to[&config.address];
    stage.publishing(publisher).is_sending = false;
    stage.run(31 * SECOND);
    let lost = Event::Disconnected {
        peer: PeerId(1),
        reason: DisconnectReason::ConsentLost,
    };
    assert_eq!(count(&stage, |event| *event == lost), 1);
    // Checks of ours are all that it got.
    assert!(stage.sent_to[&config.address] - sent < 20 * 120);
}

#[test]
fn checks_without_priority_connect() {
    for nomination in [
        Nomination::Aggressive,
        Nomination::Regular,
        Nomination::Never,
    ] {
        let mut world = World::with(72, Link::bad(5, 40), |peer| {
            peer.has_priority = false;
            peer.nomination = nomination;
        });
        world.introduce();
        let end = world.now + 30 * SECOND;
        assert!(world.run_until(end, World::is_connected), "{nomination:?}");
        world.peer.config.address = address("10.9.0.3:50001");
        world.peer.check(world.now);
        world.run(5 * SECOND);
        let remote = world.server.media_path(world.now).map(|path| path.remote);
        assert_eq!(remote, Some(address("10.9.0.3:50001")), "{nomination:?}");
    }
}

#[test]
fn a_client_that_begins_in_the_controlled_role_changes_it_and_connects() {
    for is_active in [true, false] {
        let mut world = World::with(73, Link::bad(5, 40), |peer| {
            peer.is_controlled = true;
            peer.is_active = is_active;
        });
        world.introduce();
        let end = world.now + 30 * SECOND;
        assert!(world.run_until(end, World::is_connected));
        assert!(world.peer.errors.contains(&487));
        assert!(world.reported(TransportEvent::Connected));
        assert!(world.send_rtp(&rtp_packet(7, 1, b"down"), 0));
    }
}

#[test]
fn a_client_that_stays_in_the_controlled_role_connects_by_its_first_valid_pair() {
    let mut world = World::with(75, Link::bad(5, 40), |peer| {
        peer.is_controlled = true;
        peer.is_stubborn = true;
        peer.nomination = Nomination::Never;
    });
    world.introduce();
    let end = world.now + 30 * SECOND;
    assert!(world.run_until(end, World::is_connected));
    assert!(world.peer.errors.contains(&487));
    world.run(60 * SECOND);
    assert!(world.is_connected(), "its checks renew consent");
}

#[test]
fn a_viewer_of_picture_alone_is_no_mismatch_in_a_room_of_sound() {
    let mut stage = Stage::new(74, 1);
    publish(
        &mut stage,
        Link::round_trip(20),
        |_| {},
        |publishing| {
            publishing.has_video = false;
        },
    );
    watch_only(&mut stage, 2, Kind::Video);
    stage.run(3 * SECOND);
    let mismatch = |event: &Event| matches!(event, Event::CodecMismatch { .. });
    assert_eq!(count(&stage, mismatch), 0, "sound was not asked for");
    let is_sound =
        |event: &Event| matches!(event, Event::PublisherMedia { format, .. } if *format == OPUS);
    assert_eq!(count(&stage, is_sound), 1);
}

#[test]
fn a_client_that_checks_once_connects_without_waiting() {
    let mut stage = Stage::new(320, 1);
    let place = stage.watch(2, Link::round_trip(20));
    let is_answered = |stage: &Stage| stage.actors[place].peer.answered > 0;
    assert!(stage.run_until(Duration::from_secs(1), is_answered));
    stage.actors[place].peer.is_checking = false;
    let is_connected = |stage: &Stage| stage.actors[place].peer.is_connected();
    assert!(stage.run_until(Duration::from_secs(5), is_connected));
    // A check of ours and its answer, and four flights: three round trips and a half at the most.
    assert!(
        stage.elapsed() < Duration::from_millis(120),
        "{:?}",
        stage.elapsed()
    );
}
