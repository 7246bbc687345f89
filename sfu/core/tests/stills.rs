//! The last keyframe of a room's picture, for who shows it as one that stands still.

use std::time::Duration;

use klieg_sfu_core::command::{Codec, Event, RoomKey, Still, StillWish};

use crate::sim::Link;
use crate::sim::layered::Layered;
use crate::sim::simulcast::SentLayer;
use crate::sim::stage::{ROOM, Stage, count};

const SECOND: Duration = Duration::from_secs(1);

/// Asks every shard, and returns what those answered that have one.
fn stills(stage: &mut Stage, room: RoomKey, wish: StillWish) -> Vec<Still> {
    let now = stage.now;
    let nodes = stage.nodes.iter_mut();
    nodes
        .filter_map(|node| node.still(now, room, wish))
        .collect()
}

fn layers() -> Vec<SentLayer> {
    vec![
        SentLayer::new("q", 1000, (320, 180)),
        SentLayer::new("h", 2000, (640, 360)),
    ]
}

#[test]
fn the_smallest_layers_keyframe_is_had_whole_from_the_publishers_shard_alone() {
    let mut stage = Stage::new(300, 2);
    let publisher = stage.simulcast(1, Link::round_trip(20), layers());
    stage.watch(2, Link::round_trip(20));
    stage.run(2 * SECOND);
    let found = stills(&mut stage, ROOM, StillWish::Cached);
    let [still] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(
        (still.codec, still.size.width, still.size.height),
        (Codec::Vp8, 320, 180)
    );
    // A keyframe that is shown, of this size, in the three packets of one that the simulation sends.
    assert_eq!(
        still.frame[..10],
        [0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 1, 180, 0]
    );
    assert!(still.frame.len() > 2000, "{still:?}");
    assert!(stills(&mut stage, RoomKey(6), StillWish::Asked).is_empty());

    // While the smallest layer pauses, it is the next one's.
    stage.simulcasting(publisher).layers[0].is_sending = false;
    stage.run(3 * SECOND);
    stills(&mut stage, ROOM, StillWish::Asked);
    stage.run(SECOND);
    let found = stills(&mut stage, ROOM, StillWish::Cached);
    assert_eq!(found.first().map(|it| it.size.width), Some(640));
}

#[test]
fn where_none_is_cached_the_publisher_is_asked_if_that_is_wished() {
    let mut stage = Stage::new(301, 2);
    let publisher = stage.simulcast(1, Link::round_trip(20), layers());
    stage.run(30 * SECOND);
    let before = stage.simulcasting(publisher).layers[0].requests.len();
    assert!(stills(&mut stage, ROOM, StillWish::Cached).is_empty());
    stage.run(SECOND);
    let asked = |stage: &mut Stage| stage.simulcasting(publisher).layers[0].requests.len();
    assert_eq!(asked(&mut stage), before, "nobody was to ask");
    for _ in 0..5 {
        assert!(stills(&mut stage, ROOM, StillWish::Asked).is_empty());
    }
    stage.run(SECOND);
    assert_eq!(stills(&mut stage, ROOM, StillWish::Cached).len(), 1);
    assert_eq!(asked(&mut stage), before + 1);
}

#[test]
fn there_is_none_of_a_coding_that_needs_a_decoder() {
    let mut stage = Stage::new(302, 1);
    stage.layer(
        1,
        Link::round_trip(20),
        Layered::new(stage.now, Codec::Vp9, (1, 1)),
    );
    stage.run(2 * SECOND);
    assert_eq!(
        count(&stage, |event| matches!(
            event,
            Event::PublisherMedia { .. }
        )),
        1
    );
    assert!(stills(&mut stage, ROOM, StillWish::Asked).is_empty());
}
