//! What waits in a shard is bounded, and what finds no room is counted.

use std::time::Duration;

use klieg_sfu_core::relay::ShardMessage;

use crate::sim::Link;
use crate::sim::stage::Stage;

/// Returns two shards, a burst of the publisher on one, and the other, which has a viewer.
fn relayed() -> (Stage, ShardMessage, usize) {
    let mut stage = Stage::new(401, 2);
    stage.publish(1, Link::default());
    let publisher = stage.shard_of(1);
    let elsewhere = (2..).find(|id| stage.shard_of(*id) != publisher).unwrap();
    let viewer = stage.watch(elsewhere, Link::default());
    let sees = |stage: &Stage| stage.watching(viewer).frames > 2;
    assert!(stage.run_until(Duration::from_secs(5), sees));
    stage.underway = Some(Default::default());
    let crosses = |stage: &Stage| {
        let messages = stage.underway.iter().flatten();
        messages.into_iter().any(|(_, _, it)| is_burst(it))
    };
    assert!(stage.run_until(Duration::from_secs(1), crosses));
    let messages = stage.underway.take().unwrap().into_iter();
    let mut bursts = messages.filter(|(_, _, it)| is_burst(it));
    let (_, to, burst) = bursts.next().unwrap();
    (stage, burst, to)
}

fn is_burst(message: &ShardMessage) -> bool {
    matches!(message, ShardMessage::Burst(_))
}

fn packets(message: &ShardMessage) -> u64 {
    let ShardMessage::Burst(burst) = message else {
        return 0;
    };
    burst.packets.len() as u64
}

#[test]
fn bursts_from_other_shards_wait_in_a_bounded_queue() {
    let (mut stage, burst, to) = relayed();
    let now = stage.now;
    let node = &mut stage.nodes[to];
    for _ in 0..4096 + 10 {
        node.handle_message(now, burst.clone());
    }
    assert_eq!(node.counters().dropped_backlog, 10 * packets(&burst));
}

#[test]
fn what_is_on_its_way_to_viewers_is_bounded_and_all_of_it_leaves() {
    let (mut stage, burst, to) = relayed();
    let now = stage.now;
    let node = &mut stage.nodes[to];
    // Eight of a room leave together.
    for _ in 0..16_384 * 8 + 10 {
        node.handle_message(now, burst.clone());
        assert!(node.poll_message().is_none());
    }
    assert_eq!(node.counters().dropped_backlog, 10 * packets(&burst));
    let mut out = Vec::new();
    while node.poll_transmit(now, &mut out).is_some() {}
    assert_eq!(node.sending_since(), None);
    node.handle_message(now, burst.clone());
    assert!(node.poll_message().is_none());
    assert_eq!(node.counters().dropped_backlog, 10 * packets(&burst));
}
