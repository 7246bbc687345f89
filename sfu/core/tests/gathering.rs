//! Packets wait for each other under load, and leave together: in one run, of one length, sound behind pictures.

use std::collections::BTreeMap;
use std::time::Duration;

use klieg_sfu_core::command::{Command, Path, PeerId, PlayoutDelay};
use klieg_sfu_core::node::Transmit;
use klieg_sfu_core::rtp::packet::OutgoingHeader;

use crate::sim::run::own_estimate;
use crate::sim::stage::{Role, Stage};
use crate::sim::world::SERVER;
use crate::sim::{Link, address};

const HOLD: Duration = Duration::from_millis(10);
const STEP: Duration = Duration::from_millis(5);
/// A packet with its header and tag is so much longer than its payload.
const OVERHEAD: usize = 12 + 16;

/// One room with one viewer, whose publisher says nothing but what it is told to.
struct Room {
    stage: Stage,
    publisher: usize,
    viewer: usize,
    seq: u16,
    timestamp: u32,
    audio_seq: u16,
}

impl Room {
    fn new(seed: u64) -> Self {
        Self::with_viewers(seed, 1, Stage::watch)
    }

    fn with_viewers(
        seed: u64,
        viewers: u64,
        watch: impl Fn(&mut Stage, u64, Link) -> usize,
    ) -> Self {
        let mut stage = Stage::new(seed, 1);
        let publisher = stage.publish(1, Link::default());
        let viewers: Vec<_> = (2..2 + viewers)
            .map(|id| watch(&mut stage, id, Link::default()))
            .collect();
        let viewer = viewers[0];
        let sees =
            |stage: &Stage| stage.watching(viewer).frames > 2 && stage.watching(viewer).audio > 2;
        assert!(stage.run_until(Duration::from_secs(5), sees));
        let from = stage.publishing(publisher);
        from.is_sending = false;
        let (seq, timestamp) = (from.next_seq, from.timestamp);
        stage.run(Duration::from_millis(500));
        Self {
            stage,
            publisher,
            viewer,
            seq,
            timestamp,
            audio_seq: 1000,
        }
    }

    /// Lets the publisher send a packet of its picture.
    fn picture(&mut self, payload_len: usize, marker: bool) {
        let mut payload = vec![0, 1];
        payload.resize(payload_len, 7);
        let numbers = (96, self.seq, 0, self.timestamp);
        self.seq = self.seq.wrapping_add(1);
        self.send(numbers, &payload, marker);
        if marker {
            self.timestamp = self.timestamp.wrapping_add(3000);
        }
    }

    /// Lets the publisher send a packet of its sound.
    fn sound(&mut self) {
        self.audio_seq += 1;
        let numbers = (111, self.audio_seq, 2, u32::from(self.audio_seq) * 960);
        self.send(numbers, &[9; 80], false);
    }

    fn send(
        &mut self,
        (payload_type, sequence_number, stream, timestamp): (u8, u16, u32, u32),
        payload: &[u8],
        marker: bool,
    ) {
        let actor = &mut self.stage.actors[self.publisher];
        let Role::Publishing(publishing) = &actor.role else {
            panic!("a publisher")
        };
        let header = OutgoingHeader {
            marker,
            payload_type,
            sequence_number,
            timestamp,
            ssrc: publishing.ssrc + stream,
        };
        actor.peer.send_rtp(&[&header.to_bytes(), payload].concat());
        self.take_from(self.publisher);
    }

    /// Lets a viewer say something.
    fn say(&mut self, viewer: usize, compound: &[u8]) {
        self.stage.actors[viewer].peer.send_rtcp(compound);
        self.take_from(viewer);
    }

    /// Gives the server what a client sends.
    fn take_from(&mut self, client: usize) {
        let peer = &mut self.stage.actors[client].peer;
        let path = Path {
            local: None,
            remote: peer.config.address,
            connection: None,
        };
        while let Some(parcel) = peer.poll_transmit() {
            assert_eq!(parcel.to, address(SERVER));
            self.stage.nodes[0].handle_datagram(self.stage.now, path, &parcel.datagram);
        }
    }

    /// Lets time pass; returns the lengths of the datagrams of each run that left for the viewer.
    fn pass(&mut self, span: Duration) -> Vec<Vec<usize>> {
        self.stage.now += span;
        let (now, node) = (self.stage.now, &mut self.stage.nodes[0]);
        node.handle_timeout(now);
        assert!(node.poll_message().is_none());
        let (mut out, mut runs) = (Vec::new(), Vec::new());
        let viewer = self.stage.actors[self.viewer].peer.config.address;
        while let Some(Transmit { path, segment_size }) = node.poll_transmit(now, &mut out) {
            // Reports and checks have a length of their own.
            if path.remote == viewer && out.len() > OVERHEAD + 70 {
                let size = segment_size.unwrap_or(out.len());
                runs.push(out.chunks(size).map(<[u8]>::len).collect());
            }
        }
        runs
    }
}

#[test]
fn a_paced_frame_leaves_in_one_run_as_soon_as_it_is_complete() {
    let mut room = Room::new(200);
    room.stage.nodes[0].set_hold(HOLD);
    for (marker, expected) in [(false, 0), (true, 1)] {
        room.picture(1000, false);
        room.picture(1000, marker);
        let runs = room.pass(Duration::ZERO);
        assert_eq!(runs.len(), expected, "{runs:?}");
        if marker {
            assert_eq!(runs[0], [1000 + OVERHEAD; 4]);
        }
        room.pass(STEP);
    }
}

#[test]
fn nothing_waits_longer_than_it_may() {
    let mut room = Room::new(201);
    // More than is allowed is taken for what is.
    room.stage.nodes[0].set_hold(Duration::from_secs(1));
    room.picture(1000, false);
    room.sound();
    assert!(room.pass(Duration::ZERO).is_empty());
    let due = room.stage.nodes[0].poll_timeout().unwrap();
    assert!(due <= room.stage.now + HOLD);
    assert!(room.pass(STEP).is_empty());
    let runs = room.pass(STEP);
    assert_eq!(runs.concat().len(), 2, "{runs:?}");
}

#[test]
fn without_load_every_packet_leaves_at_once() {
    let mut room = Room::new(202);
    room.picture(1000, false);
    assert_eq!(room.pass(Duration::ZERO), [[1000 + OVERHEAD]]);
    room.sound();
    assert_eq!(room.pass(Duration::ZERO), [[80 + OVERHEAD]]);
}

#[test]
fn what_is_said_of_the_play_out_leaves_frames_in_one_run() {
    let mut room = Room::with_viewers(210, 1, Stage::watch_delayed);
    room.stage.nodes[0].set_hold(HOLD);
    let numbers = 8;
    let delay = PlayoutDelay::new(100, 200);
    let viewer = PeerId(2);
    room.stage.command(&Command::SetPlayoutDelay(viewer, delay));
    for said in (0..31).map(|frame| if frame < 30 { 4 } else { 0 }) {
        room.picture(1000, false);
        room.picture(1000, true);
        let expected = [[1000 + OVERHEAD + numbers + said; 2]];
        assert_eq!(room.pass(Duration::ZERO), expected);
        room.pass(STEP * 6);
    }
}

#[test]
fn sound_that_waits_is_the_tail_of_the_picture_that_leaves() {
    let mut room = Room::new(203);
    room.stage.nodes[0].set_hold(HOLD);
    room.sound();
    assert!(room.pass(STEP).is_empty());
    room.picture(1000, false);
    room.picture(1000, true);
    let expected = [[1000 + OVERHEAD, 1000 + OVERHEAD, 80 + OVERHEAD]];
    assert_eq!(room.pass(Duration::ZERO), expected);
    assert!(room.pass(HOLD).is_empty());
}

#[test]
fn a_frame_waits_for_sound_that_is_expected_in_time_and_not_for_sound_that_stays_away() {
    let mut room = Room::new(209);
    room.stage.nodes[0].set_hold(HOLD);
    let with_sound = [[1000 + OVERHEAD, 80 + OVERHEAD]];
    // Every 20 ms.
    for _ in 0..2 {
        room.sound();
        assert!(room.pass(Duration::ZERO).is_empty());
        assert_eq!(room.pass(HOLD), [[80 + OVERHEAD]]);
        room.pass(STEP);
    }
    room.picture(1000, true);
    assert!(room.pass(STEP).is_empty(), "sound is expected now");
    room.sound();
    assert_eq!(room.pass(Duration::ZERO), with_sound);
    // The next one is expected after 20 ms, later than a frame may wait.
    room.pass(STEP);
    room.picture(1000, true);
    assert_eq!(room.pass(Duration::ZERO), [[1000 + OVERHEAD]]);
    // That one does not come.
    room.pass(STEP);
    room.pass(STEP);
    room.picture(1000, true);
    assert!(room.pass(STEP).is_empty());
    assert_eq!(room.pass(STEP), [[1000 + OVERHEAD]], "after 10 ms");
    room.picture(1000, true);
    assert_eq!(room.pass(Duration::ZERO), [[1000 + OVERHEAD]], "too late");
}

#[test]
fn parts_of_a_frame_that_differ_by_little_leave_in_one_length_and_arrive_as_they_were() {
    let mut room = Room::new(204);
    for (length, marker) in [(1000, false), (1001, false), (990, false), (1001, true)] {
        room.picture(length, marker);
    }
    assert_eq!(room.pass(Duration::ZERO), [[1001 + OVERHEAD; 4]]);
    // What differs by more is no longer of one run, and a shorter last one is its tail as it is.
    for (length, marker) in [(1000, false), (1020, false), (500, true)] {
        room.picture(length, marker);
    }
    let expected = [vec![1000 + OVERHEAD], vec![1020 + OVERHEAD, 500 + OVERHEAD]];
    assert_eq!(room.pass(Duration::ZERO), expected);
    // Where the kernel takes no runs it would be for nothing.
    room.stage.nodes[0].set_leveling(false);
    room.picture(1000, false);
    room.picture(1001, true);
    let expected = [1000, 1001].map(|length| vec![length + OVERHEAD]);
    assert_eq!(room.pass(Duration::ZERO), expected);
}

#[test]
fn a_packet_to_a_viewer_costs_no_allocation() {
    for watch in [Stage::watch, Stage::watch_numbered] {
        let counts = [1, 40].map(|viewers| allocations(viewers, watch));
        assert_eq!(counts[0], counts[1], "with one viewer, and with forty");
        assert!(counts[0] <= 12, "{} for a burst", counts[0]);
    }
}

/// Returns the most allocations that a burst to so many viewers took.
fn allocations(viewers: u64, watch: fn(&mut Stage, u64, Link) -> usize) -> u64 {
    let mut room = Room::with_viewers(208, viewers, watch);
    let mut out = Vec::with_capacity(64 * 1024);
    let mut frames = (0..20).map(|_| {
        for _ in 0..4 {
            room.picture(1000, false);
        }
        room.sound();
        let (now, node) = (room.stage.now, &mut room.stage.nodes[0]);
        let mut runs = 0;
        let info = allocation_counter::measure(|| {
            node.handle_timeout(now);
            while node.poll_transmit(now, &mut out).is_some() {
                runs += 1;
            }
        });
        assert!(runs >= viewers, "{runs} runs");
        info.count_total
    });
    // The first ones may grow what is kept.
    frames.by_ref().take(5).for_each(drop);
    frames.max().unwrap()
}

#[test]
fn a_paced_packet_to_a_viewer_costs_no_allocation() {
    let counts = [4, 40].map(paced_allocations);
    println!("{counts:?}");
    // Sixty packets each, and two allocations at most for what a viewer is told now and then.
    assert!(counts[1] - counts[0] <= 36 * 2, "{counts:?}");
}

/// Returns the most allocations that a frame of sixty packets took that leaves step by step, to so many viewers.
fn paced_allocations(viewers: u64) -> u64 {
    let mut room = Room::with_viewers(211, viewers, Stage::watch);
    let paced: Vec<_> = (1..=usize::try_from(viewers).unwrap()).collect();
    let mut out = Vec::with_capacity(64 * 1024);
    let mut frames = (0..8).map(|_| {
        for viewer in &paced {
            room.say(*viewer, &own_estimate(4000));
        }
        room.pass(Duration::from_millis(300));
        for part in 0..60 {
            room.picture(1000, part == 59);
        }
        let mut sent = 0;
        let (now, node) = (&mut room.stage.now, &mut room.stage.nodes[0]);
        let info = allocation_counter::measure(|| {
            for _ in 0..40 {
                node.handle_timeout(*now);
                while let Some(transmit) = node.poll_transmit(*now, &mut out) {
                    let size = transmit.segment_size.unwrap_or(out.len());
                    sent += u64::from(out.len() > 500) * out.len().div_ceil(size) as u64;
                }
                *now += STEP;
            }
        });
        assert_eq!(sent, 60 * viewers);
        info.count_total
    });
    // The first ones may grow what is kept.
    frames.by_ref().take(3).for_each(drop);
    frames.max().unwrap()
}

#[test]
fn viewers_go_without_in_turn_where_the_kernel_has_no_room() {
    let mut room = Room::with_viewers(209, 20, Stage::watch);
    let (mut out, mut lost) = (Vec::new(), BTreeMap::new());
    for _ in 0..200 {
        room.picture(1000, true);
        let (now, node) = (room.stage.now, &mut room.stage.nodes[0]);
        node.handle_timeout(now);
        let mut taken = 0;
        while let Some(transmit) = node.poll_transmit(now, &mut out) {
            if out.len() < 1000 {
                continue;
            }
            taken += 1;
            if taken > 13 {
                *lost.entry(transmit.path.remote).or_insert(0) += 1;
                node.handle_loss();
            }
        }
    }
    assert_eq!(lost.values().sum::<u32>(), 200 * 7);
    assert_eq!(lost.len(), 20, "{lost:?}");
    assert!(lost.values().all(|lost| lost.abs_diff(70) <= 2), "{lost:?}");
}

#[test]
fn nobody_gives_up_a_place_for_what_another_one_asked_for_alone() {
    let mut room = Room::with_viewers(212, 3, Stage::watch);
    let order = |room: &mut Room, loses: fn(usize) -> bool| {
        let (now, node) = (room.stage.now, &mut room.stage.nodes[0]);
        let (mut out, mut order) = (Vec::new(), Vec::new());
        while let Some(transmit) = node.poll_transmit(now, &mut out) {
            if loses(out.len()) {
                node.handle_loss();
            }
            if out.len() > 1000 {
                order.push(transmit.path.remote);
            }
        }
        order
    };
    room.picture(1100, true);
    let first = order(&mut room, |_| false);
    assert_eq!(first.len(), 3);
    // A report is due, and the kernel has no room for it; then there is room for the packets that leave behind it.
    let before = room.stage.nodes[0].counters().rtcp_sent;
    while room.stage.nodes[0].counters().rtcp_sent == before {
        room.stage.now += STEP;
        let now = room.stage.now;
        room.stage.nodes[0].handle_timeout(now);
    }
    room.picture(1100, true);
    assert_eq!(order(&mut room, |len| len < 1000), first);
    room.picture(1100, true);
    assert_eq!(order(&mut room, |_| false), first);
    // Nor is it the last one who is noted, where the second went without.
    room.picture(1100, true);
    let (mut out, mut runs) = (Vec::new(), 0);
    let (now, node) = (room.stage.now, &mut room.stage.nodes[0]);
    while node.poll_transmit(now, &mut out).is_some() {
        runs += u64::from(out.len() > 1000);
        if runs == 2 {
            node.handle_loss();
            node.handle_loss();
        }
    }
    room.picture(1100, true);
    let expected = [first[1], first[2], first[0]];
    assert_eq!(order(&mut room, |_| false), expected);
}

#[test]
fn packets_are_on_their_way_until_the_last_viewer_has_them() {
    let mut room = Room::with_viewers(210, 3, Stage::watch);
    let mut out = Vec::new();
    let arrived = room.stage.now;
    room.picture(1000, true);
    room.stage.now += Duration::from_millis(4);
    let (now, node) = (room.stage.now, &mut room.stage.nodes[0]);
    let mut runs = 0;
    while node.poll_transmit(now, &mut out).is_some() {
        if out.len() > 1000 {
            runs += 1;
            assert_eq!(node.sending_since(), Some(arrived));
        }
    }
    assert_eq!((runs, node.sending_since()), (3, None));
}

#[test]
fn viewers_of_a_bad_path_see_all_while_packets_wait() {
    for shards in [1, 2, 3] {
        let mut stage = Stage::new(205 + u64::from(shards), shards);
        for node in &mut stage.nodes {
            node.set_hold(HOLD);
        }
        stage.publish(1, Link::bad(2, 40));
        let viewers = [2, 3, 4].map(|id| stage.watch(id, Link::bad(2, 60)));
        stage.run(Duration::from_secs(10));
        for viewer in viewers {
            let watching = stage.watching(viewer);
            assert!(watching.frames > 270, "{} frames", watching.frames);
            assert!(watching.audio > 440, "{} packets", watching.audio);
        }
    }
}
