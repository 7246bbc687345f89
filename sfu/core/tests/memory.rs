//! What a viewer costs in memory: what a shard frees when it goes, by the number of its viewers.

use std::time::Duration;

use klieg_sfu_core::command::{Command, PeerId};

use super::sim::Link;
use super::sim::stage::Stage;

const SECOND: Duration = Duration::from_secs(1);

/// Returns the bytes of the heap that a shard with so many connected viewers owns after a while.
fn heap_of(viewers: u64, after: Duration) -> i64 {
    let mut stage = Stage::new(301, 1);
    let publisher = stage.publish(1, Link::round_trip(20));
    for id in 0..viewers {
        stage.watch(2 + id, Link::round_trip(20));
    }
    stage.run(after);
    for viewer in 1..=usize::try_from(viewers).unwrap() {
        assert!(stage.watching(viewer).frames > 0, "viewer {viewer} sees");
    }
    // What waits to be sent is not the viewers'.
    stage.publishing(publisher).is_sending = false;
    stage.run(SECOND);
    let node = stage.nodes.remove(0);
    -allocation_counter::measure(|| drop(node)).bytes_current
}

#[test]
fn a_viewer_costs_few_kilobytes_once_it_is_connected() {
    // Tables grow by doubling: both counts are as far from the next step.
    let [few, many] = [32, 64].map(|viewers| heap_of(viewers, 3 * SECOND));
    let each = (many - few) / 32;
    println!("{each} bytes a viewer");
    assert!(each <= 8 * 1024, "{each} bytes a viewer");
}

#[test]
fn of_a_publisher_that_left_nothing_is_kept_for_those_who_stay() {
    let mut stage = Stage::new(302, 1);
    stage.publish(1, Link::round_trip(20));
    for id in 2..5 {
        stage.watch(id, Link::round_trip(20));
    }
    stage.run(8 * SECOND);
    stage.command(&Command::RemovePeer(PeerId(1)));
    stage.run(12 * SECOND);
    let node = stage.nodes.remove(0);
    let bytes = -allocation_counter::measure(|| drop(node)).bytes_current;
    println!("{bytes} bytes");
    assert!(bytes < 200 * 1024, "{bytes} bytes");
}
