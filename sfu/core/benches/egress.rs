//! What a packet to a viewer costs, beside the floor: a bare loop that copies, seals and sends the same runs.
//!
//! `cargo bench -p klieg-sfu-core --bench egress [-- VIEWERS [PACKETS]]` prints processor time per packet and
//! viewer of both, in turns, so that a noisy machine is noisy for both; and then what a second of media costs,
//! as browsers and as encoders send it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_types,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a benchmark sends, prints its figures, and fails as a test does"
)]
#![expect(dead_code, reason = "the simulation has more than is used here")]

#[path = "../tests/sim/mod.rs"]
mod sim;

mod clock;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use klieg_sfu_core::command::{Path, RoomKey};
use klieg_sfu_core::node::Node;
use klieg_sfu_core::rtp::packet::OutgoingHeader;
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};

use crate::clock::{best, spent_ns};
use crate::sim::Link;
use crate::sim::stage::{Role, Stage};
use crate::sim::world::SERVER;

/// Bytes of a payload: with its header and tag a datagram of 1200.
const PAYLOAD_LEN: usize = 1172;
/// Bursts of one turn, and turns of each.
const BURSTS: usize = 20;
const TURNS: usize = 15;

/// A stream, as it is sent.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    kbps: usize,
    /// Steps of a frame, 5 ms apart; one for a frame at once.
    steps: usize,
    /// How long packets may wait for each other.
    hold: Duration,
}

const FRAMES: usize = 30;
const SOUND_EVERY: Duration = Duration::from_millis(20);
const STEP: Duration = Duration::from_millis(5);

const fn shape(name: &'static str, kbps: usize, steps: usize, hold_ms: u64) -> Shape {
    Shape {
        name,
        kbps,
        steps,
        hold: Duration::from_millis(hold_ms),
    }
}

const SHAPES: [Shape; 10] = [
    shape("sound alone", 0, 0, 0),
    shape("1.4 Mb/s, paced, idle", 1400, 3, 0),
    shape("1.4 Mb/s, paced, busy", 1400, 3, 10),
    shape("1.4 Mb/s, frames, idle", 1400, 1, 0),
    shape("1.4 Mb/s, frames, busy", 1400, 1, 10),
    shape("2.5 Mb/s, paced, idle", 2500, 3, 0),
    shape("2.5 Mb/s, paced, busy", 2500, 3, 10),
    shape("2.5 Mb/s, frames, busy", 2500, 1, 10),
    shape("4 Mb/s, paced, idle", 4000, 3, 0),
    shape("4 Mb/s, paced, busy", 4000, 3, 10),
];

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|it| it.parse().ok());
    let viewers = numbers.next().unwrap_or(1000);
    let mut stands = [false, true].map(|has_numbers| Stand::new(1, viewers, has_numbers));
    let packets = numbers.next().map(|it| vec![it]);
    compare(
        &mut stands,
        &packets.unwrap_or_else(|| vec![1, 2, 4, 9, 16]),
    );
    println!();
    spend(&mut stands[1]);
    println!();
    divide(viewers);
}

/// Prints what the same viewers cost in fewer and in more rooms.
fn divide(viewers: usize) {
    const PACKETS: usize = 5;
    println!("| rooms | viewers of each | ns a packet and viewer | to one room |");
    println!("| ---: | ---: | ---: | ---: |");
    let mut one = None;
    for rooms in [1, 10, 100, 1000] {
        let mut stand = Stand::new(rooms, viewers, true);
        let took = best((0..TURNS).map(|_| stand.klieg(PACKETS)));
        let ratio = took / *one.get_or_insert(took);
        println!("| {rooms} | {} | {took:.0} | {ratio:.2} |", viewers / rooms);
    }
}

/// Prints what packets cost beside the floor: without and with the transport-wide numbers that viewers report on.
fn compare(stands: &mut [Stand; 2], lengths: &[usize]) {
    println!(
        "| viewers | packets a burst | floor, ns | klieg, ns | ratio | without numbers, ns | floor without sending, ns | klieg without sending, ns | without numbers, ns |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let viewers = stands[0].viewers;
    for &packets in lengths {
        let mut turns: [Vec<f64>; 6] = Default::default();
        for _ in 0..TURNS {
            for (turns, sends) in turns.chunks_mut(3).zip([true, false]) {
                for stand in stands.iter_mut() {
                    stand.sockets.are_open = sends;
                }
                turns[0].push(stands[0].floor(packets));
                turns[1].push(stands[1].klieg(packets));
                turns[2].push(stands[0].klieg(packets));
            }
        }
        let [floor, klieg, plain, own_floor, own, own_plain] = turns.map(best);
        let ratio = klieg / floor;
        println!(
            "| {viewers} | {packets} | {floor:.0} | {klieg:.0} | {ratio:.2} | {plain:.0} | {own_floor:.0} | {own:.0} | {own_plain:.0} |"
        );
    }
}

/// Prints what a second of media costs.
fn spend(stand: &mut Stand) {
    println!(
        "| stream, with Opus | packets a second | packets a run | ns a packet | µs a viewer and second | viewers a core |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    stand.sockets.are_open = true;
    for shape in SHAPES {
        let seconds: Vec<_> = (0..5).map(|_| stand.second(shape)).collect();
        let (_, packets, runs) = seconds[0];
        let spent = best(seconds.into_iter().map(|(spent, ..)| spent));
        let (a_packet, a_run) = (spent / packets, packets / runs);
        let (name, micros) = (shape.name, spent / 1000.0);
        let viewers = 1e6 / micros;
        println!(
            "| {name} | {packets:.0} | {a_run:.1} | {a_packet:.0} | {micros:.0} | {viewers:.0} |"
        );
    }
}

/// A publisher and the first number and time of its next burst.
#[derive(Clone, Copy)]
struct Source {
    place: usize,
    seq: u16,
    timestamp: u32,
}

/// Rooms full of viewers, and where their datagrams go.
struct Stand {
    stage: Stage,
    /// One for each room.
    publishers: Vec<Source>,
    viewers: usize,
    sockets: Sockets,
    keys: Vec<LessSafeKey>,
    audio_seq: u16,
    run: Vec<u8>,
}

impl Stand {
    /// Connects publishers and viewers in virtual time.
    fn new(rooms: usize, viewers: usize, has_numbers: bool) -> Self {
        let mut stage = Stage::new(1, 1);
        let (mut publishers, mut places) = (Vec::new(), Vec::new());
        for room in 0..rooms as u64 {
            stage.room = RoomKey(1 + room);
            let publisher = stage.publish(30_000 + room, Link::default());
            stage.publishing(publisher).has_audio = false;
            publishers.push(publisher);
            for _ in 0..viewers / rooms {
                let id = 2 + places.len() as u64;
                places.push(if has_numbers {
                    stage.watch_numbered(id, Link::default())
                } else {
                    stage.watch(id, Link::default())
                });
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
        stage.run(Duration::from_millis(500));
        Self {
            stage,
            publishers,
            viewers: places.len(),
            sockets: Sockets::new(),
            keys: places.iter().map(|_| key()).collect(),
            audio_seq: 2000,
            run: Vec::with_capacity(64 * 1024),
        }
    }

    /// What it costs to copy, seal and send, and nothing else.
    fn floor(&mut self, packets: usize) -> f64 {
        let payload = vec![7; PAYLOAD_LEN];
        let header = OutgoingHeader {
            marker: false,
            payload_type: 96,
            sequence_number: 0,
            timestamp: 0,
            ssrc: 1,
        };
        let mut counter = 0u64;
        let start = spent_ns();
        for _ in 0..BURSTS {
            for (viewer, key) in self.keys.iter().enumerate() {
                self.run.clear();
                for _ in 0..packets {
                    counter += 1;
                    let at = self.run.len();
                    self.run.extend_from_slice(&header.to_bytes());
                    self.run.extend_from_slice(&payload);
                    let (header, payload) = self.run[at..].split_at_mut(12);
                    let tag = key
                        .seal_in_place_separate_tag(nonce(counter), Aad::from(&*header), payload)
                        .unwrap();
                    self.run.extend_from_slice(tag.as_ref());
                }
                let size = self.run.len() / packets;
                self.sockets.send(viewer, &self.run, size);
            }
        }
        self.per_packet(spent_ns() - start, packets)
    }

    /// What the forwarding unit takes for the same, the publisher's packets included.
    fn klieg(&mut self, packets: usize) -> f64 {
        let bursts: Vec<_> = (0..BURSTS).map(|_| self.bursts_of_all(packets)).collect();
        let (mut sent, start) = (0, spent_ns());
        for burst in bursts {
            self.stage.now += Duration::from_millis(1);
            let (now, node) = (self.stage.now, &mut self.stage.nodes[0]);
            for (path, datagram) in &burst {
                node.handle_datagram(now, *path, datagram);
            }
            node.handle_timeout(now);
            sent += drain(node, now, &mut self.run, &self.sockets);
        }
        let spent = spent_ns() - start;
        let expected = BURSTS * packets * self.viewers;
        assert!(sent >= expected, "{sent} of {expected} packets were sent");
        self.per_packet(spent, packets)
    }

    /// Passes a second of media, without feedback of viewers. Returns nanoseconds, packets and runs of one
    /// viewer.
    fn second(&mut self, shape: Shape) -> (f64, f64, f64) {
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

    /// Returns the next packets of all publishers, as they come from the network.
    fn bursts_of_all(&mut self, packets: usize) -> Vec<(Path, Vec<u8>)> {
        let mut all = Vec::new();
        for room in 0..self.publishers.len() {
            let path = self.path(room);
            let burst = self.burst(room, packets).into_iter();
            all.extend(burst.map(|datagram| (path, datagram)));
        }
        all
    }

    fn path(&self, room: usize) -> Path {
        let publisher = self.publishers[room].place;
        Path {
            local: None,
            remote: self.stage.actors[publisher].peer.config.address,
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
            .filter(|parcel| parcel.to == sim::address(SERVER))
            .map(|parcel| parcel.datagram)
            .collect()
    }

    fn per_packet(&self, spent: u64, packets: usize) -> f64 {
        spent as f64 / (BURSTS * packets * self.viewers) as f64
    }
}

/// Sends all that a node has to send; returns how many datagrams there were.
fn drain(node: &mut Node, now: Instant, run: &mut Vec<u8>, to: &Sockets) -> usize {
    let mut sent = 0;
    while let Some(transmit) = node.poll_transmit(now, run) {
        let IpAddr::V4(remote) = transmit.path.remote.ip() else {
            continue;
        };
        let [_, _, high, low] = remote.octets();
        let viewer = usize::from(u16::from_be_bytes([high, low]));
        let size = transmit.segment_size.unwrap_or(run.len());
        sent += run.len() / size;
        to.send(viewer, run, size);
    }
    sent
}

/// One that sends, and one that receives for everybody and is never read: what it cannot hold the
/// kernel drops, for the floor and for Klieg alike.
struct Sockets {
    sender: UdpSocket,
    state: UdpSocketState,
    _receiver: UdpSocket,
    port: u16,
    /// Whether anything is sent at all.
    are_open: bool,
}

impl Sockets {
    fn new() -> Self {
        let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        // Takes whole runs, as a network card would.
        UdpSocketState::new(UdpSockRef::from(&receiver)).unwrap();
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let state = UdpSocketState::new(UdpSockRef::from(&sender)).unwrap();
        let port = receiver.local_addr().unwrap().port();
        Self {
            sender,
            state,
            _receiver: receiver,
            port,
            are_open: true,
        }
    }

    fn send(&self, viewer: usize, run: &[u8], size: usize) {
        if !self.are_open {
            return;
        }
        let [high, low] = u16::try_from(viewer).unwrap().to_be_bytes();
        let destination = SocketAddr::from((Ipv4Addr::new(127, 1, high, low), self.port));
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: run,
            segment_size: (run.len() > size).then_some(size),
            src_ip: None,
        };
        let _ = self
            .state
            .try_send(UdpSockRef::from(&self.sender), &transmit);
    }
}

fn key() -> LessSafeKey {
    // What the simulation's peers agree on, as the browsers do.
    let algorithm = &AES_256_GCM;
    let bytes: [u8; 32] = rand::random();
    LessSafeKey::new(UnboundKey::new(algorithm, &bytes[..algorithm.key_len()]).unwrap())
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}
