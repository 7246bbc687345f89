//! Clients that come by TCP: the rules of a connection that backs up, and of paths that come and go.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use klieg_sfu_core::command::{Command, Event, Path, PeerId};
use klieg_sfu_core::framed::MAX_WAITING;
use klieg_sfu_core::node::{Standing, Stranger};
use klieg_sfu_core::rtp::packet::Header;
use klieg_sfu_core::rtp::rtcp;

use crate::sim::Link;
use crate::sim::stage::{Stage, count};
use crate::sim::stream::Stream;

const SECOND: Duration = Duration::from_secs(1);

/// A publisher, a viewer by UDP and one by TCP, who see something.
struct Framed {
    stage: Stage,
    neighbour: usize,
    viewer: usize,
}

impl Framed {
    fn new(seed: u64, shards: u16) -> Self {
        let mut stage = Stage::new(seed, shards);
        stage.publish(1, Link::round_trip(10));
        let neighbour = stage.watch(2, Link::round_trip(10));
        let viewer = stage.watch(3, Link::round_trip(10));
        stage.actors[viewer].stream = Some(Stream::new(7));
        let sees = |stage: &Stage| {
            [neighbour, viewer]
                .iter()
                .all(|&place| stage.watching(place).frames > 30)
        };
        assert!(stage.run_until(5 * SECOND, sees), "nobody sees anything");
        Self {
            stage,
            neighbour,
            viewer,
        }
    }

    fn stream(&mut self) -> &mut Stream {
        self.stage.actors[self.viewer].stream.as_mut().unwrap()
    }

    fn path(&self) -> Path {
        Path {
            local: None,
            remote: self.stage.actors[self.viewer].peer.config.address,
            connection: None,
        }
    }

    /// Returns of how many frames the viewer has some packets and not all.
    fn halves(&self) -> usize {
        let mut packets: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        for packet in self.stage.watching(self.viewer).received.values() {
            let payload = &packet[Header::parse(packet).unwrap().payload];
            let frame = payload[2..6].try_into().unwrap();
            packets
                .entry(u32::from_be_bytes(frame))
                .or_default()
                .push(payload[6]);
        }
        let last = packets.keys().next_back().copied();
        // A viewer that asks for a keyframe soon after its join gets what is cached once more.
        let is_whole = |indices: &[u8]| {
            let whole = if indices.contains(&4) { 12 } else { 4 };
            let is_there = |index| indices.iter().filter(|it| **it == index).count();
            (0..whole).all(|index| is_there(index) == is_there(0) && is_there(0) > 0)
        };
        let halves = packets
            .iter()
            .filter(|(frame, it)| Some(**frame) != last && !is_whole(it));
        halves.count()
    }
}

#[test]
fn who_comes_by_tcp_publishes_and_watches_on_whichever_shard() {
    for shards in [1, 3] {
        let mut stage = Stage::new(11, shards);
        let publisher = stage.publish(1, Link::round_trip(10));
        stage.actors[publisher].stream = Some(Stream::new(1));
        let viewers = [2, 3, 4].map(|id| stage.watch(id, Link::round_trip(10)));
        for (id, viewer) in (2..).zip(viewers) {
            stage.actors[viewer].stream = Some(Stream::new(id));
        }
        let sees = |stage: &Stage| viewers.iter().all(|&it| stage.watching(it).frames > 60);
        assert!(stage.run_until(5 * SECOND, sees), "{shards} shards");
        assert_eq!(count(&stage, |it| matches!(it, Event::Connected { .. })), 4);
    }
}

#[test]
fn who_takes_nothing_is_held_up_alone_keeps_sound_and_comes_back_with_a_keyframe() {
    let mut framed = Framed::new(12, 2);
    let (viewer, neighbour) = (framed.viewer, framed.neighbour);
    framed.stage.stall(viewer, true);
    let before = framed.stage.watching(neighbour).frames;
    framed.stage.run(5 * SECOND);
    let shown = framed.stage.watching(neighbour).frames - before;
    assert!(shown >= 150, "the other one lost something: {shown}");
    let counters = framed.stage.nodes.iter().map(|node| node.counters());
    assert_eq!(counters.map(|it| it.pictures_held).sum::<u64>(), 1);

    let (frames, audio) = {
        let watching = framed.stage.watching(viewer);
        (watching.frames, watching.audio)
    };
    framed.stage.stall(viewer, false);
    framed.stage.run(2 * SECOND);
    let watching = framed.stage.watching(viewer);
    // Fifty packets a second of five seconds waited, and those of two more came.
    assert!(watching.audio - audio >= 340, "{}", watching.audio - audio);
    assert!(
        watching.frames - frames >= 45,
        "{}",
        watching.frames - frames
    );
    assert_eq!(framed.halves(), 0);
    let stream = framed.stream();
    assert_eq!(stream.refused, 0);
    assert!(stream.most < 192 << 10, "{}", stream.most);
}

#[test]
fn of_five_hundred_by_tcp_fifty_that_take_nothing_cost_the_others_nothing() {
    let mut stage = Stage::new(19, 2);
    stage.publish(1, Link::round_trip(10));
    let viewers: Vec<usize> = (2..502)
        .map(|id| {
            let viewer = stage.watch(id, Link::round_trip(10));
            let stream = Stream::new(u32::try_from(id).unwrap());
            stage.actors[viewer].stream = Some(stream);
            viewer
        })
        .collect();
    let sees = |stage: &Stage| viewers.iter().all(|&it| stage.watching(it).frames > 5);
    assert!(stage.run_until(5 * SECOND, sees), "not all see something");
    let (stalled, others) = viewers.split_at(50);
    for &viewer in stalled {
        stage.stall(viewer, true);
    }
    let before: Vec<u32> = others.iter().map(|&it| stage.watching(it).frames).collect();
    stage.run(2 * SECOND);
    for (&viewer, before) in others.iter().zip(before) {
        let watching = stage.watching(viewer);
        assert!(
            watching.frames - before >= 60,
            "{}",
            watching.frames - before
        );
        let numbers: Vec<u64> = watching.received.keys().copied().collect();
        assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "a gap");
    }
    for &viewer in stalled {
        let stream = stage.actors[viewer].stream.as_ref().unwrap();
        assert!(stream.most <= MAX_WAITING && stream.refused == 0);
    }
}

#[test]
fn a_short_stop_costs_no_frame() {
    let mut framed = Framed::new(13, 1);
    let viewer = framed.viewer;
    let before = framed.stage.watching(viewer).frames;
    framed.stage.stall(viewer, true);
    framed.stage.run(Duration::from_millis(900));
    framed.stage.stall(viewer, false);
    framed.stage.run(2 * SECOND);
    let shown = framed.stage.watching(viewer).frames - before;
    assert!(shown >= 85, "{shown}");
    assert_eq!(framed.halves(), 0);
}

#[test]
fn stops_of_any_length_leave_no_frame_half_sent() {
    let mut framed = Framed::new(14, 1);
    let viewer = framed.viewer;
    for millis in [100, 600, 700, 1100, 1500, 2100, 3700, 300, 6000, 650] {
        framed.stage.stall(viewer, true);
        framed.stage.run(Duration::from_millis(millis));
        framed.stage.stall(viewer, false);
        framed.stage.run(Duration::from_millis(millis / 2));
    }
    let before = framed.stage.watching(viewer).frames;
    framed.stage.run(3 * SECOND);
    assert!(framed.stage.watching(viewer).frames - before >= 80);
    assert_eq!(framed.halves(), 0);
}

#[test]
fn who_never_takes_anything_again_costs_a_bounded_queue_and_is_shown_out() {
    let mut framed = Framed::new(15, 1);
    let viewer = framed.viewer;
    framed.stage.stall(viewer, true);
    framed.stage.actors[viewer].peer.is_checking = false;
    framed.stage.run(45 * SECOND);
    let (_, index) = framed.stream().place.unwrap();
    assert!(framed.stream().most <= MAX_WAITING);
    let path = framed.path();
    assert_eq!(framed.stage.nodes[0].standing(index, path), Standing::Over);
}

#[test]
fn who_comes_back_on_another_connection_goes_on_there() {
    let mut framed = Framed::new(16, 2);
    let viewer = framed.viewer;
    let at = (framed.stage.now, framed.path());
    let mut old = framed.stage.actors[viewer].stream.take().unwrap();
    old.close(at, &mut framed.stage.nodes);
    framed.stage.run(SECOND);
    let before = framed.stage.watching(viewer).frames;
    framed.stage.actors[viewer].stream = Some(Stream::new(8));
    framed.stage.actors[viewer].peer.config.address = address("10.9.77.1:51000");
    let now = framed.stage.now;
    framed.stage.actors[viewer].peer.check(now);
    framed.stage.run(2 * SECOND);
    let shown = framed.stage.watching(viewer).frames - before;
    assert!(shown > 40, "{shown}");
    let goes = |event: &Event| matches!(event, Event::Disconnected { .. });
    assert_eq!(count(&framed.stage, goes), 0);
}

#[test]
fn who_was_held_up_on_a_connection_that_ended_gets_a_keyframe_on_the_next() {
    let mut framed = Framed::new(20, 1);
    let viewer = framed.viewer;
    framed.stage.stall(viewer, true);
    framed.stage.run(2 * SECOND);
    let at = (framed.stage.now, framed.path());
    let mut old = framed.stage.actors[viewer].stream.take().unwrap();
    old.close(at, &mut framed.stage.nodes);
    let keyframes = |stage: &Stage| stage.nodes[0].counters().keyframes_requested;
    let before = (
        keyframes(&framed.stage),
        framed.stage.watching(viewer).frames,
    );
    framed.stage.actors[viewer].stream = Some(Stream::new(8));
    framed.stage.actors[viewer].peer.config.address = address("10.9.77.1:51000");
    let now = framed.stage.now;
    framed.stage.actors[viewer].peer.check(now);
    framed.stage.run(SECOND / 2);
    assert_eq!(
        keyframes(&framed.stage),
        before.0 + 1,
        "its decoder does not have to ask"
    );
    let shown = framed.stage.watching(viewer).frames - before.1;
    assert!(shown > 5, "{shown}");
}

#[test]
fn what_was_asked_for_again_on_a_connection_that_ended_keeps_no_shard_awake() {
    let mut framed = Framed::new(18, 1);
    framed.stage.run(2 * SECOND);
    let (viewer, now, path) = (framed.viewer, framed.stage.now, framed.path());
    let received = framed.stage.watching(viewer).received.keys();
    let last: Vec<u16> = received.rev().take(250).map(|seq| *seq as u16).collect();
    let mut nack = Vec::new();
    rtcp::write_nack(&mut nack, 1, 2002, &last);
    let mut stream = framed.stage.actors[viewer].stream.take().unwrap();
    let peer = &mut framed.stage.actors[viewer].peer;
    peer.send_rtcp(&nack);
    while let Some(parcel) = peer.poll_transmit() {
        stream.receive((now, path), (&mut framed.stage.nodes, 0), &parcel.datagram);
    }
    let node = &framed.stage.nodes[0];
    let (named, resent) = (node.counters().nacked_by_viewers, node.counters().resent);
    assert!(named > resent, "some wait: {named} {resent}");
    stream.close((now, path), &mut framed.stage.nodes);
    framed.stage.publishing(0).is_sending = false;
    // Its turn comes once more; from then on there is nothing to do for it.
    let (mut woken, mut out, end) = (0, Vec::new(), now + SECOND);
    while let Some(due) = framed.stage.nodes[0]
        .poll_timeout()
        .filter(|due| *due <= end)
    {
        let (node, now) = (&mut framed.stage.nodes[0], due.max(now));
        node.handle_timeout(now);
        while node.poll_transmit(now, &mut out).is_some() {}
        woken += 1;
        assert!(woken < 500, "it is woken again and again");
    }
}

#[test]
fn a_picture_that_goes_on_at_a_keyframe_after_a_long_stop_is_not_ended_again() {
    let mut framed = Framed::new(19, 1);
    let viewer = framed.viewer;
    framed.stage.stall(viewer, true);
    framed.stage.run(SECOND);
    // Somebody else's decoder asked for it, and it is in the cache when the stop ends.
    framed.stage.command(&Command::RequestKeyframe(PeerId(2)));
    framed.stage.run(SECOND);
    let keyframes = |stage: &Stage| stage.nodes[0].counters().keyframes_requested;
    let before = keyframes(&framed.stage);
    framed.stage.stall(viewer, false);
    framed.stage.run(2 * SECOND);
    assert_eq!(keyframes(&framed.stage), before, "the cached one is enough");
    let shown = &framed.stage.watching(viewer).shown;
    let since = framed.stage.now - 3 * SECOND / 2;
    let frames = shown.iter().filter(|at| **at > since).count();
    assert!(frames >= 44, "{frames} in the last one and a half seconds");
    assert_eq!(framed.halves(), 0);
}

#[test]
fn who_nominates_udp_later_gets_its_media_there() {
    let mut framed = Framed::new(17, 2);
    let viewer = framed.viewer;
    let mut old = framed.stage.actors[viewer].stream.take().unwrap();
    let now = framed.stage.now;
    framed.stage.actors[viewer].peer.check(now);
    framed.stage.run(SECOND);
    let before = framed.stage.watching(viewer).frames;
    framed.stage.run(SECOND);
    assert!(framed.stage.watching(viewer).frames - before >= 28);
    let at = (framed.stage.now, framed.path());
    old.close(at, &mut framed.stage.nodes);
    framed.stage.run(SECOND);
    assert!(framed.stage.watching(viewer).frames - before >= 56);
    assert_eq!(framed.halves(), 0);
}

#[test]
fn strangers_are_known_by_their_first_frame() {
    let mut framed = Framed::new(18, 1);
    let (now, viewer) = (framed.stage.now, framed.viewer);
    let peer = &mut framed.stage.actors[viewer].peer;
    let wrong = peer.binding_request("not the password, not at all", &[]);
    let unknown = {
        let mut other = peer.config.remote.clone();
        std::mem::swap(&mut other, &mut peer.config.remote);
        peer.config.remote.ufrag = "nobody00".into();
        let unknown = peer.binding_request(&other.pwd, &[]);
        peer.config.remote = other;
        unknown
    };
    let node = &mut framed.stage.nodes[0];
    let mut place = |frame: &[u8]| node.place_connection(now, frame).unwrap_err();
    assert_eq!(place(b""), Stranger::NoCheck);
    assert_eq!(place(b"GET / HTTP/1.1\r\n"), Stranger::NoCheck);
    assert_eq!(place(&[0x80; 100]), Stranger::NoCheck);
    assert_eq!(place(&[22; 100]), Stranger::NoCheck);
    assert_eq!(place(&unknown), Stranger::UnknownUfrag);
    assert_eq!(place(&wrong), Stranger::Unauthenticated);
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
