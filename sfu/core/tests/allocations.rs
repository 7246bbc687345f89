//! How often a shard takes memory once everybody is there: not for each packet and viewer.

use std::time::Duration;

use klieg_sfu_core::command::{Codec, Command, LayerChoice, PeerId};
use klieg_sfu_core::node::Counters;

use crate::sim::layered::Layered;
use crate::sim::spent::{Spent, Work};
use crate::sim::stage::Stage;
use crate::sim::{Link, epoch};

/// How long is watched: publishers report once a second, viewers ten times, and consent is asked for every few seconds.
const SPAN: Duration = Duration::from_secs(10);

/// A burst is kept for all viewers: its packets, their bytes, the count of who refers to it, and its place in the fan-out.
const EACH_BURST: u64 = 4;
/// Another shard has a fan-out of its own.
const EACH_RELAYED_BURST: u64 = 1;
/// A check and its answer: the STUN library takes memory for every attribute that it reads and writes. A viewer's
/// comes every few seconds.
const EACH_CHECK: u64 = 40;
/// The list of the clocks that a publisher's report sets.
const EACH_PUBLISHER_REPORT: u64 = 1;
/// What a viewer asks for again is gathered in one list.
const EACH_PACKET_AGAIN: u64 = 1;
/// In a second: ten messages of transport-wide feedback, each a compound that is made and sealed.
const EACH_PUBLISHERS_SECOND: u64 = 60;
/// In a second: what is made for a viewer now and then, its reports and what is told to signaling.
const EACH_VIEWERS_SECOND: u64 = 2;

/// What the shards did in [`SPAN`].
struct Steady {
    viewers: u64,
    shards: u64,
    spent: Spent,
    sent: u64,
    asked_again: u64,
}

impl Steady {
    fn of(viewers: u64, mut stage: Stage) -> Self {
        stage.run(SPAN);
        let total = |stage: &Stage, count: fn(&Counters) -> u64| {
            let each = stage.nodes.iter().map(|node| count(node.counters()));
            each.sum::<u64>()
        };
        let sent = |counters: &Counters| counters.rtp_sent;
        let asked = |counters: &Counters| counters.nacked_by_viewers;
        let before = (total(&stage, sent), total(&stage, asked));
        stage.spent = Spent::default();
        stage.run(SPAN);
        Self {
            viewers,
            shards: stage.nodes.len() as u64,
            sent: total(&stage, sent) - before.0,
            asked_again: total(&stage, asked) - before.1,
            spent: stage.spent,
        }
    }

    /// Returns the work for which memory was taken more often than it may be.
    fn excess(&self) -> Vec<(Work, u64, u64)> {
        let packets = self.spent.on(Work::Media).0;
        let bound = |work: Work, times: u64| match work {
            Work::Media | Work::Run => 0,
            Work::Message => packets * (EACH_BURST + (self.shards - 1) * EACH_RELAYED_BURST),
            Work::PublisherReport => times * EACH_PUBLISHER_REPORT,
            Work::ViewerReport => self.asked_again * EACH_PACKET_AGAIN,
            Work::Check => times * EACH_CHECK,
            Work::Timer => {
                SPAN.as_secs() * (EACH_PUBLISHERS_SECOND + self.viewers * EACH_VIEWERS_SECOND)
            }
            Work::Handshake => 0,
        };
        let all = Work::ALL.map(|work| {
            let (times, taken) = self.spent.on(work);
            (work, taken, bound(work, times))
        });
        let is_excess = |(_, taken, bound): &(Work, u64, u64)| taken > bound;
        all.into_iter().filter(is_excess).collect()
    }
}

/// One room, whose viewers report what arrives and ask for what does not.
fn room(viewers: u64, link: Link, shards: u16) -> Stage {
    let mut stage = Stage::new(501, shards);
    stage.publish(1, Link::round_trip(20));
    for id in 0..viewers {
        let place = stage.watch_numbered(2 + id, link);
        stage.watching_mut(place).reports_transport = true;
    }
    stage
}

/// One room, whose viewers get every other picture: what is left out leaves no hole.
fn thinned(viewers: u64, codec: Codec) -> Stage {
    let mut stage = Stage::new(502, 1);
    let layered = Layered::new(epoch(), codec, (1, 3));
    let format = layered.format();
    stage.layer(1, Link::round_trip(20), layered);
    for id in 0..viewers {
        stage.watch_layers(2 + id, Link::round_trip(30), format);
    }
    stage.run(Duration::from_secs(2));
    for id in 0..viewers {
        let choice = LayerChoice::Reduced(0, 1);
        stage.command(&Command::SelectLayer(PeerId(2 + id), choice));
    }
    stage
}

/// Compares few viewers with many.
fn check(name: &str, stage: impl Fn(u64) -> Stage) {
    let [few, many] = [4, 40].map(|viewers| Steady::of(viewers, stage(viewers)));
    for steady in [&few, &many] {
        assert!(steady.sent > 200 * steady.viewers, "{} sent", steady.sent);
        let excess = steady.excess();
        assert_eq!(excess, [], "what, taken, bound: {name}, {:?}", steady.spent);
    }
    // What is done for the room is done once, however many watch.
    for work in [Work::Media, Work::PublisherReport, Work::Message, Work::Run] {
        let [few, many] = [&few, &many].map(|steady| steady.spent.on(work).1);
        assert_eq!(few, many, "{name}: {work:?}");
    }
}

#[test]
fn no_memory_is_taken_for_each_packet_and_viewer() {
    check("a clean network", |viewers| {
        room(viewers, Link::round_trip(20), 1)
    });
}

#[test]
fn no_memory_is_taken_for_each_packet_and_viewer_while_packets_wait_for_each_other() {
    check("waiting", |viewers| {
        let mut stage = room(viewers, Link::default(), 1);
        for node in &mut stage.nodes {
            node.set_hold(Duration::from_millis(10));
        }
        stage
    });
}

#[test]
fn no_memory_is_taken_for_each_packet_and_viewer_of_several_shards() {
    check("two shards", |viewers| {
        room(viewers, Link::round_trip(20), 2)
    });
}

#[test]
fn no_memory_is_taken_for_each_packet_of_redundant_sound_and_viewer() {
    check("redundant sound", |viewers| {
        let mut stage = Stage::new(503, 1);
        stage.publish_redundant(1, Link::round_trip(20));
        for id in 0..viewers {
            match id % 2 {
                0 => stage.watch_redundant(2 + id, Link::round_trip(30)),
                _ => stage.watch_numbered(2 + id, Link::round_trip(30)),
            };
        }
        stage
    });
}

#[test]
fn where_packets_are_lost_memory_is_taken_for_what_goes_again_alone() {
    let lossy = Link {
        loss_percent: 2,
        ..Link::round_trip(20)
    };
    check("two in a hundred lost", |viewers| room(viewers, lossy, 1));
    let steady = Steady::of(4, room(4, lossy, 1));
    assert!(steady.asked_again > 50, "{} again", steady.asked_again);
}

#[test]
fn no_memory_is_taken_for_each_packet_that_is_left_out_or_renumbered() {
    for codec in [Codec::Av1, Codec::Vp9, Codec::Vp8] {
        check(&format!("{codec:?}"), |viewers| thinned(viewers, codec));
    }
}
