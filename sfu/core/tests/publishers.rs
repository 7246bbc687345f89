//! Rooms that are published to again, twice at once, or by clients with the same numbers.

use std::time::Duration;

use klieg_sfu_core::command::{Command, PeerId};
use klieg_sfu_core::rtp::rtcp::{self, Compound, Rtcp};

use crate::sim::Link;
use crate::sim::stage::Stage;

const SECOND: Duration = Duration::from_secs(1);

/// Returns the `nth` id whose checks land on a shard.
fn on(shard: usize, shards: u16, nth: usize) -> u64 {
    let stage = Stage::new(0, shards);
    let mut ids = (1..).filter(|&id| stage.shard_of(id) == shard);
    ids.nth(nth).unwrap()
}

#[test]
fn of_two_publishers_at_once_every_shard_shows_the_same_one() {
    for apart_ms in [0, 5, 20, 200] {
        for (first, second) in [(0, 1), (1, 0), (0, 0)] {
            let mut stage = Stage::new(50 + apart_ms, 3);
            let viewers = [(0, 2), (1, 2), (2, 0)]
                .map(|(shard, nth)| stage.watch(on(shard, 3, nth), Link::round_trip(30)));
            stage.run(SECOND);
            let (first, second) = (on(first, 3, 0), on(second, 3, 1));
            let earlier = stage.publish(first, Link::round_trip(20));
            stage.run(Duration::from_millis(apart_ms));
            let later = stage.publish(second, Link::round_trip(20));
            stage.publishing(later).ssrc = stage.publishing(earlier).ssrc;
            let late = [(0, 3), (1, 3), (2, 1)].map(|(shard, nth)| {
                stage.run(SECOND / 5);
                stage.watch(on(shard, 3, nth), Link::round_trip(30))
            });
            stage.run(5 * SECOND);
            let viewers = [viewers, late].concat();
            for &viewer in &viewers {
                let frames = stage.watching(viewer).frames;
                assert!(frames > 130, "{frames} frames, {apart_ms} ms apart");
            }
            for publisher in [earlier, later] {
                assert!(stage.publishing(publisher).requests.len() < 6);
            }
            // The first was told to take over when it connected, the other did so with its first keyframe.
            let (silent, heard) = (earlier, later);
            stage.publishing(silent).is_sending = false;
            stage.run(SECOND);
            for &viewer in &viewers {
                let last = stage.watching(viewer).last_frame.expect("a last frame");
                assert!(stage.now - last < SECOND / 5, "{apart_ms} ms apart");
            }
            stage.publishing(silent).is_sending = true;
            stage.publishing(heard).is_sending = false;
            stage.command(&Command::RemovePeer(PeerId(second)));
            stage.run(SECOND);
            for &viewer in &viewers {
                let last = stage.watching(viewer).last_frame.expect("a last frame");
                assert!(stage.now - last > SECOND / 2, "{apart_ms} ms apart");
            }
        }
    }
}

#[test]
fn a_stream_that_begins_with_a_keyframe_is_not_asked_for_another() {
    let mut stage = Stage::new(51, 2);
    let viewers =
        [(0, 1), (1, 0)].map(|(shard, nth)| stage.watch(on(shard, 2, nth), Link::round_trip(30)));
    stage.run(SECOND);
    let publisher = stage.publish(on(0, 2, 0), Link::round_trip(20));
    stage.run(2 * SECOND);
    for viewer in viewers {
        let frames = stage.watching(viewer).frames;
        assert!(frames > 55, "{frames} frames");
    }
    assert_eq!(stage.publishing(publisher).requests.len(), 0);
}

#[test]
fn a_shard_that_wants_media_late_is_told_the_clocks_of_sound_and_picture() {
    let mut stage = Stage::new(52, 2);
    let publisher = stage.publish(on(0, 2, 0), Link::round_trip(20));
    stage.publishing(publisher).report_interval = 60 * SECOND;
    stage.run(2 * SECOND);
    let viewer = stage.watch(on(1, 2, 0), Link::round_trip(30));
    stage.run(3 * SECOND);
    let watching = stage.watching(viewer);
    assert!(!watching.reports.is_empty());
    assert!(watching.audio_reports > 0);
}

#[test]
fn streams_of_the_same_number_are_told_apart() {
    // One publisher after the other with the same SSRC, which is also that of the viewers' video,
    // and its numbers begin where the first one's began.
    let mut stage = Stage::new(53, 2);
    let viewers =
        [(0, 1), (1, 0)].map(|(shard, nth)| stage.watch(on(shard, 2, nth), Link::round_trip(30)));
    for (shard, nth) in [(0, 0), (1, 1), (0, 2)] {
        let before = viewers.map(|viewer| stage.watching(viewer).frames);
        let id = on(shard, 2, nth);
        let publisher = stage.publish(id, Link::bad(2, 20));
        stage.publishing(publisher).ssrc = 2002;
        stage.run(4 * SECOND);
        stage.command(&Command::RemovePeer(PeerId(id)));
        for (viewer, before) in viewers.into_iter().zip(before) {
            let frames = stage.watching(viewer).frames - before;
            assert!(frames > 100, "{frames} frames");
            assert_eq!(stage.actors[viewer].peer.unreadable, 0);
        }
    }
}

#[test]
fn a_publisher_whose_ssrc_is_ours_in_feedback_is_repaired() {
    let mut stage = Stage::new(54, 2);
    let publisher = stage.publish(1, Link::bad(5, 40));
    stage.publishing(publisher).ssrc = 1;
    let viewer = stage.watch(2, Link::round_trip(20));
    stage.run(10 * SECOND);
    let frames = stage.watching(viewer).frames;
    assert!(frames > 250, "{frames} frames");
    let senders = stage.actors[publisher].peer.rtcp.iter();
    let senders = senders.map(|compound| u32::from_be_bytes(compound[4..8].try_into().unwrap()));
    let ours = senders.filter(|sender| (1..4).contains(sender)).count();
    assert!(ours < 30, "{ours} reports in the publisher's own name");
}

#[test]
fn a_publisher_that_changes_its_ssrc_is_followed() {
    let mut stage = Stage::new(55, 2);
    let publisher = stage.publish(1, Link::bad(2, 40));
    let viewers = [2, 3, 4].map(|id| stage.watch(id, Link::round_trip(20)));
    stage.run(3 * SECOND);
    // Forward eight times, then to and fro.
    for change in 1..14 {
        let before = viewers.map(|viewer| stage.watching(viewer).frames);
        let publishing = stage.publishing(publisher);
        if change <= 8 {
            // Each change brings other numbers too, as a restarted encoder has them.
            publishing.ssrc += 10;
            publishing.next_seq = publishing.next_seq.wrapping_mul(31);
            publishing.timestamp = publishing.timestamp.wrapping_mul(17);
        } else if change % 2 == 0 {
            publishing.ssrc -= 10;
        } else {
            publishing.ssrc += 10;
        }
        stage.run(4 * SECOND);
        for (viewer, before) in viewers.into_iter().zip(before) {
            let frames = stage.watching(viewer).frames - before;
            assert!(frames >= 65, "{frames} frames after change {change}");
        }
    }
}

#[test]
fn feedback_on_hundreds_of_scattered_losses_fits_the_path() {
    let mut stage = Stage::new(56, 1);
    let publisher = stage.publish(1, Link::round_trip(20));
    stage.run(SECOND);
    stage.publishing(publisher).gaps = 480;
    stage.run(SECOND);
    let compounds = &stage.actors[publisher].peer.rtcp;
    let longest = compounds.iter().map(Vec::len).max().unwrap();
    assert!(longest <= 1200, "{longest} bytes");
    let named = compounds
        .iter()
        .flat_map(|compound| Compound::read(compound));
    let named = named.flat_map(|item| match item {
        Rtcp::Nack { pairs, .. } => rtcp::missing(pairs).collect::<Vec<_>>(),
        Rtcp::SenderReport(_)
        | Rtcp::Reception(_)
        | Rtcp::Pli { .. }
        | Rtcp::Fir { .. }
        | Rtcp::Goodbye { .. }
        | Rtcp::Transport(_)
        | Rtcp::MaximumBitrate(_) => Vec::new(),
    });
    let named: std::collections::BTreeSet<u16> = named.collect();
    assert_eq!(named.len(), 480);
}

#[test]
fn feedback_begins_with_a_report_and_a_name() {
    let mut stage = Stage::new(57, 1);
    let publisher = stage.publish(1, Link::bad(5, 20));
    let viewer = stage.watch(2, Link::round_trip(20));
    stage.run(3 * SECOND);
    for (place, report) in [(publisher, 201), (viewer, 200)] {
        let compounds = &stage.actors[place].peer.rtcp;
        assert!(compounds.len() > 1);
        for compound in compounds {
            assert_eq!(compound[1], report);
            let len = 4 + 4 * usize::from(u16::from_be_bytes([compound[2], compound[3]]));
            assert_eq!(compound[len + 1], 202, "a source description");
        }
    }
}
