//! Rooms full of viewers, connected in virtual time.

use std::time::Duration;

use klieg_sfu_core::command::{Path, RoomKey};
use klieg_sfu_core::rtp::packet::OutgoingHeader;

use crate::clock::spent_ns;
use crate::sim::stage::{Role, Stage};
use crate::sim::world::SERVER;
use crate::sim::{Link, address};
use crate::sockets::{Sockets, drain};
use crate::{BATCH, BURSTS, FRAMES, PAYLOAD_LEN, SOUND_EVERY, SPACING, STEP, Shape};

/// A publisher and the first number and time of its next burst.
#[derive(Clone, Copy)]
struct Source {
    place: usize,
    seq: u16,
    timestamp: u32,
}

/// How a viewer comes: with transport-wide numbers or without.
pub(crate) type Watch = fn(&mut Stage, u64, Link) -> usize;

/// Rooms full of viewers, and where their datagrams go.
pub(crate) struct Stand {
    stage: Stage,
    /// One for each room.
    publishers: Vec<Source>,
    viewers: usize,
    pub(crate) sockets: Sockets,
    audio_seq: u16,
    run: Vec<u8>,
}

impl Stand {
    /// Connects publishers and viewers in virtual time.
    pub(crate) fn new(rooms: usize, viewers: usize, shards: u16, watch: Watch) -> Self {
        let mut stage = Stage::new(1, shards);
        let (mut publishers, mut places) = (Vec::new(), Vec::new());
        for room in 0..rooms as u64 {
            stage.room = RoomKey(1 + room);
            let publisher = stage.publish(30_000 + room, Link::default());
            stage.publishing(publisher).has_audio = false;
            publishers.push(publisher);
            for _ in 0..viewers / rooms {
                places.push(watch(&mut stage, 2 + places.len() as u64, Link::default()));
            }
        }
        let all_see = |stage: &Stage| places.iter().all(|it| stage.watching(*it).frames > 2);
        assert!(stage.run_until(Duration::from_secs(20), all_see));
        let sources = publishers.into_iter().map(|place| {
            let from = stage.publishing(place);
            from.is_sending = false;
            Source {
                place,
                seq: from.next_seq,
                timestamp: from.timestamp,
            }
        });
        let publishers = sources.collect();
        // Until nobody is served from the cache any more.
        stage.run(Duration::from_secs(4));
        Self {
            stage,
            publishers,
            viewers: places.len(),
            sockets: Sockets::new(),
            audio_seq: 2000,
            run: Vec::with_capacity(64 * 1024),
        }
    }

    /// Passes bursts of every publisher to every viewer; returns nanoseconds a packet and viewer, the
    /// publishers' packets included and of all shards together.
    pub(crate) fn pass(&mut self, packets: usize) -> f64 {
        // Time for checks: without them the viewers' consent would end.
        self.stage.run(Duration::from_millis(10));
        let bursts: Vec<_> = (0..BURSTS).map(|_| self.bursts_of_all(packets)).collect();
        let (mut sent, start) = (0, spent_ns());
        for burst in &bursts {
            self.stage.now += SPACING * packets as u32;
            for batch in burst.chunks(BATCH) {
                sent += self.take(batch);
            }
        }
        let spent = spent_ns() - start;
        let expected = BURSTS * packets * self.viewers;
        assert!(sent >= expected, "{sent} of {expected} packets were sent");
        spent as f64 / expected as f64
    }

    /// Gives the shards what one receive brought, and sends what comes of it.
    fn take(&mut self, batch: &[(usize, Path, Vec<u8>)]) -> usize {
        let (now, nodes) = (self.stage.now, &mut self.stage.nodes);
        for (shard, path, datagram) in batch {
            nodes[*shard].handle_datagram(now, *path, datagram);
        }
        for shard in 0..nodes.len() {
            nodes[shard].handle_timeout(now);
            while let Some((to, message)) = nodes[shard].poll_message() {
                nodes[usize::from(to.0)].handle_message(now, message);
            }
        }
        let sent = nodes
            .iter_mut()
            .map(|node| drain(node, now, &mut self.run, &self.sockets));
        sent.sum()
    }

    /// Passes a second of media, without feedback of viewers. Returns nanoseconds, packets and runs of one
    /// viewer.
    pub(crate) fn second(&mut self, shape: Shape) -> (f64, f64, f64) {
        // Time for checks: without them the viewers' consent would end.
        self.stage.run(Duration::from_millis(10));
        let schedule = self.schedule(shape);
        let path = self.path(0);
        let (began, node) = (self.stage.now, &mut self.stage.nodes[0]);
        node.set_hold(shape.hold);
        let before = *node.counters();
        let start = spent_ns();
        for (at, datagrams) in schedule {
            let arrival = began + at;
            while let Some(due) = node.poll_timeout().filter(|due| *due < arrival) {
                node.handle_timeout(due);
                drain(node, due, &mut self.run, &self.sockets);
            }
            for datagram in &datagrams {
                node.handle_datagram(arrival, path, datagram);
            }
            node.handle_timeout(arrival);
            drain(node, arrival, &mut self.run, &self.sockets);
        }
        self.stage.now = began + Duration::from_secs(1);
        node.handle_timeout(self.stage.now);
        drain(node, self.stage.now, &mut self.run, &self.sockets);
        let spent = spent_ns() - start;
        let after = self.stage.nodes[0].counters();
        let each = |count: u64| count as f64 / self.viewers as f64;
        let packets = each(after.rtp_sent - before.rtp_sent);
        let runs = each(after.runs_sent - before.runs_sent);
        (each(spent), packets, runs)
    }

    /// Returns what a publisher sends within a second, and when.
    fn schedule(&mut self, shape: Shape) -> Vec<(Duration, Vec<Vec<u8>>)> {
        let mut schedule = Vec::new();
        for sound in 0..50 {
            schedule.push((SOUND_EVERY * sound, self.sound()));
        }
        let packets = (shape.kbps * 1000 / 8 / FRAMES).div_ceil(PAYLOAD_LEN);
        for frame in 0..FRAMES {
            let mut left = self.burst(0, packets);
            for step in 0..shape.steps {
                let take = left.len().div_ceil(shape.steps - step);
                let at = Duration::from_secs(1) * frame as u32 / FRAMES as u32 + STEP * step as u32;
                schedule.push((at, left.drain(..take).collect()));
            }
        }
        schedule.sort_by_key(|(at, _)| *at);
        schedule
    }

    /// Returns the publisher's next packet of sound.
    fn sound(&mut self) -> Vec<Vec<u8>> {
        self.audio_seq = self.audio_seq.wrapping_add(1);
        let header = OutgoingHeader {
            marker: false,
            payload_type: 111,
            sequence_number: self.audio_seq,
            timestamp: u32::from(self.audio_seq) * 960,
            ssrc: 0,
        };
        let actor = &mut self.stage.actors[self.publishers[0].place];
        let Role::Publishing(publishing) = &actor.role else {
            panic!("a publisher")
        };
        let header = OutgoingHeader {
            ssrc: publishing.ssrc + 2,
            ..header
        };
        let packet = [&header.to_bytes(), [9; 120].as_slice()].concat();
        actor.peer.send_rtp(&packet);
        std::iter::from_fn(|| actor.peer.poll_transmit())
            .map(|parcel| parcel.datagram)
            .collect()
    }

    /// Returns the next packets of all publishers, and on which shard they come from the network.
    fn bursts_of_all(&mut self, packets: usize) -> Vec<(usize, Path, Vec<u8>)> {
        let mut all = Vec::new();
        for room in 0..self.publishers.len() {
            let path = self.path(room);
            let shard = self.stage.shard_at(path.remote);
            let burst = self.burst(room, packets).into_iter();
            all.extend(burst.map(|datagram| (shard, path, datagram)));
        }
        all
    }

    fn path(&self, room: usize) -> Path {
        let publisher = self.publishers[room].place;
        Path {
            local: None,
            remote: self.stage.actors[publisher].peer.config.address,
            connection: None,
        }
    }

    /// Returns a publisher's next packets as they come from the network.
    fn burst(&mut self, room: usize, packets: usize) -> Vec<Vec<u8>> {
        let source = &mut self.publishers[room];
        let actor = &mut self.stage.actors[source.place];
        let Role::Publishing(publishing) = &actor.role else {
            panic!("a publisher")
        };
        for index in 0..packets {
            let header = OutgoingHeader {
                marker: index + 1 == packets,
                payload_type: 96,
                sequence_number: source.seq,
                timestamp: source.timestamp,
                ssrc: publishing.ssrc,
            };
            let mut packet = header.to_bytes().to_vec();
            // A VP8 frame that is no keyframe.
            packet.extend_from_slice(&[if index == 0 { 0x10 } else { 0 }, 1]);
            packet.resize(12 + PAYLOAD_LEN, 7);
            actor.peer.send_rtp(&packet);
            source.seq = source.seq.wrapping_add(1);
        }
        source.timestamp = source.timestamp.wrapping_add(3000);
        std::iter::from_fn(|| actor.peer.poll_transmit())
            .filter(|parcel| parcel.to == address(SERVER))
            .map(|parcel| parcel.datagram)
            .collect()
    }
}
