//! Viewers are told how long to let pictures wait, where they take that.

use std::time::Duration;

use klieg_sfu_core::command::{Command, PeerId, PlayoutDelay};
use klieg_sfu_core::rtp::packet::Header;

use crate::sim::stage::{PLAYOUT_DELAY, Stage};
use crate::sim::{Link, actor};

const VIEWER: u64 = 2;
/// Frames that say it.
const FRAMES: usize = 30;

/// Returns what each frame says that came to a viewer, in order; frames whose packets say different things fail the test.
fn said(stage: &Stage, viewer: usize) -> Vec<Option<[u8; 3]>> {
    let mut frames: Vec<(u32, Option<[u8; 3]>)> = Vec::new();
    for packet in stage.watching(viewer).received.values() {
        let header = Header::parse(packet).unwrap();
        let said = element(packet);
        match frames.last() {
            Some((timestamp, before)) if *timestamp == header.timestamp => {
                assert_eq!(*before, said, "all packets of a frame say the same");
            }
            _ => frames.push((header.timestamp, said)),
        }
    }
    frames.into_iter().map(|(_, said)| said).collect()
}

/// Finds the play-out delay of a packet.
fn element(packet: &[u8]) -> Option<[u8; 3]> {
    let said = actor::element(packet, PLAYOUT_DELAY)?;
    Some(said.try_into().unwrap())
}

fn set(stage: &mut Stage, least_ms: u16, most_ms: u16) {
    let delay = PlayoutDelay::new(least_ms, most_ms);
    stage.command(&Command::SetPlayoutDelay(PeerId(VIEWER), delay));
}

fn watch(stage: &mut Stage, viewer: usize, frames: usize) {
    let until = stage.watching(viewer).frames + u32::try_from(frames).unwrap();
    let seen = |stage: &Stage| stage.watching(viewer).frames >= until;
    assert!(stage.run_until(Duration::from_secs(10), seen));
}

#[test]
fn a_viewer_is_told_for_thirty_frames_from_the_first_and_again_when_it_changes() {
    let mut stage = Stage::new(700, 2);
    stage.publish(1, Link::default());
    let viewer = stage.watch_delayed(VIEWER, Link::default());
    set(&mut stage, 500, 3000);
    watch(&mut stage, viewer, 60);
    let half_a_second = Some([0x03, 0x21, 0x2c]);
    let first = said(&stage, viewer);
    assert_eq!(first[..FRAMES], [half_a_second; FRAMES]);
    assert!(first[FRAMES..].iter().all(Option::is_none), "{first:?}");

    // What it knows is not said again.
    set(&mut stage, 500, 3000);
    watch(&mut stage, viewer, 10);
    let told = said(&stage, viewer);
    assert_eq!(told.iter().flatten().count(), FRAMES);

    set(&mut stage, 0, 500);
    watch(&mut stage, viewer, 60);
    let later = said(&stage, viewer);
    let at_once = later
        .iter()
        .filter(|said| **said == Some([0x00, 0x00, 0x32]));
    assert_eq!(at_once.count(), FRAMES);
    assert_eq!(later.last(), Some(&None));
}

#[test]
fn a_viewer_that_stalls_where_pictures_are_shown_at_once_is_told_to_wait_a_step() {
    let mut stage = Stage::new(704, 1);
    stage.publish(1, Link::default());
    let viewer = stage.watch_delayed_by_time(VIEWER, Link::default());
    let mut told = Vec::new();
    for (least, most) in [(0, 500), (1000, 10_000), (0, 500)] {
        set(&mut stage, least, most);
        watch(&mut stage, viewer, 60);
        told.extend(said(&stage, viewer).into_iter().flatten().last());
    }
    let (a_step, a_second) = ([0x00, 0x10, 0x32], [0x06, 0x43, 0xe8]);
    assert_eq!(told, [a_step, a_second, a_step]);
    assert!(!said(&stage, viewer).contains(&Some([0x00, 0x00, 0x32])));
}

#[test]
fn nothing_is_said_that_viewers_do_by_themselves() {
    let mut stage = Stage::new(701, 1);
    stage.publish(1, Link::default());
    let viewer = stage.watch_delayed(VIEWER, Link::default());
    let automatic = Command::SetPlayoutDelay(PeerId(VIEWER), PlayoutDelay::AUTOMATIC);
    stage.command(&automatic);
    watch(&mut stage, viewer, 10);
    assert!(said(&stage, viewer).iter().all(Option::is_none));

    // But it ends what was said before.
    set(&mut stage, 100, 100);
    watch(&mut stage, viewer, 5);
    stage.command(&automatic);
    watch(&mut stage, viewer, 60);
    let said = said(&stage, viewer);
    assert!(said.contains(&Some([0x00, 0xa0, 0x0a])), "{said:?}");
    assert_eq!(
        said.iter()
            .filter(|it| **it == Some([0, 0x03, 0xe8]))
            .count(),
        FRAMES
    );
}

#[test]
fn a_viewer_without_repairs_apart_or_without_the_extension_is_told_nothing() {
    let mut stage = Stage::new(702, 1);
    stage.publish(1, Link::default());
    let same_stream = stage.watch_delayed_on_one_stream(VIEWER, Link::default());
    let plain = stage.watch_numbered(3, Link::default());
    for peer in [VIEWER, 3] {
        let delay = PlayoutDelay::new(500, 500);
        stage.command(&Command::SetPlayoutDelay(PeerId(peer), delay));
    }
    watch(&mut stage, plain, 40);
    for viewer in [same_stream, plain] {
        let mut packets = stage.watching(viewer).received.values();
        assert!(packets.all(|packet| element(packet).is_none()));
    }
}

#[test]
fn a_viewer_on_a_lossy_path_is_told_too() {
    let mut stage = Stage::new(703, 1);
    stage.publish(1, Link::default());
    let link = Link {
        loss_percent: 10,
        ..Link::default()
    };
    let viewer = stage.watch_delayed(VIEWER, link);
    set(&mut stage, 200, 1000);
    watch(&mut stage, viewer, 90);
    // What is sent again does not say it: the frames of a second are enough.
    let packets = stage.watching(viewer).received.values();
    let said = packets.filter_map(|packet| element(packet));
    assert!(said.filter(|it| *it == [0x01, 0x40, 0x64]).count() >= FRAMES);
}
