//! What the steps of a packet, a report and a join cost, each by itself.
//!
//! `cargo bench -p klieg-sfu-core --bench parts` prints processor time, the least of some turns.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a benchmark prints its figures, and fails as a test does"
)]
#![expect(dead_code, reason = "the simulation has more than is used here")]

#[path = "../tests/sim/mod.rs"]
mod sim;

mod clock;

use std::hint::black_box;
use std::time::{Duration, Instant};

use klieg_sfu_core::command::Path;
use klieg_sfu_core::congestion::estimate::Estimator;
use klieg_sfu_core::congestion::feedback::TransportFeedback;
use klieg_sfu_core::demux;
use klieg_sfu_core::rtp::packet::{Header, OutgoingHeader};
use klieg_sfu_core::rtp::rtcp::{self, Compound};

use crate::clock::{best, spent_ns};
use crate::sim::Link;
use crate::sim::stage::{Role, Stage};

const TURNS: usize = 15;
const REPEATS: usize = 2000;

fn main() {
    println!("| step | ns |");
    println!("| --- | ---: |");
    let mut stand = Stand::new();
    let packets = stand.packets(REPEATS);
    let packet = &packets[0];
    show("tell the protocol of a datagram", || {
        repeat(|_| black_box(demux::protocol(black_box(packet))))
    });
    let plain = [&header(1, 7).to_bytes(), [7; 1172].as_slice()].concat();
    show("read an RTP header", || {
        repeat(|_| black_box(Header::parse(black_box(&plain))))
    });
    let mut report = Vec::new();
    rtcp::write_receiver_report(&mut report, 1, &[]);
    rtcp::write_nack(&mut report, 1, 2002, &[1, 2, 3, 40, 41, 60]);
    show("read a report with a NACK", || {
        repeat(|_| black_box(Compound::read(black_box(&report)).count()))
    });
    show("estimate from a message about ten packets", || {
        estimate(REPEATS)
    });
    show(
        "take a publisher's packet of 1200 bytes: route, open, order, keep",
        || {
            let packets = stand.packets(REPEATS);
            stand.take(&packets)
        },
    );
    show("take the same packet again: route, refuse", || {
        stand.take(&packets)
    });
    show("take a viewer's check of consent and answer it", || {
        let checks = stand.checks(REPEATS / 4);
        stand.take(&checks)
    });
    show("send a packet again: read the NACK, find, seal", || {
        // A new one each time: who was not given what was sent asks for a keyframe, and waits for it.
        let mut watched = Stand::new();
        let viewer = watched.crowd(1)[0];
        let (sent, nacks) = watched.missing(viewer, REPEATS / 5);
        let resent = watched.stage.nodes[0].counters().resent;
        let took = watched.take_from(viewer, &nacks) * nacks.len() as f64;
        let resent = watched.stage.nodes[0].counters().resent - resent;
        assert_eq!(resent, sent, "all are sent again");
        took / resent as f64
    });
    let mut crowd = Stand::new();
    crowd.crowd(100);
    show(
        "pass nine packets to a hundred, a packet and viewer: number, copy, seal",
        || crowd.pass(9, REPEATS / 100),
    );
    show(
        "serve a newcomer from the cache, a packet: find, number, copy, seal",
        || Stand::new().serve(20),
    );
    show("let a viewer in: check, handshake (both ends), keys", join);
}

fn show(step: &str, run: impl FnMut() -> f64) {
    let took = best(std::iter::repeat_with(run).take(TURNS));
    println!("| {step} | {took:.0} |");
}

fn repeat<T>(work: impl Fn(usize) -> T) -> f64 {
    let start = spent_ns();
    for index in 0..REPEATS {
        let _ = work(index);
    }
    (spent_ns() - start) as f64 / REPEATS as f64
}

/// Ten packets leave, and a message says that they came.
fn estimate(repeats: usize) -> f64 {
    let mut now = sim::epoch();
    let mut estimator = Estimator::new(now);
    let mut spent = 0;
    for message in 0..repeats {
        let base = estimator.next_number().to_be_bytes();
        for _ in 0..10 {
            estimator.note_sent(now, 1200);
        }
        now += Duration::from_millis(64);
        let [.., r0, r1, r2] = (message as u32).to_be_bytes();
        let mut bytes = vec![base[0], base[1], 0, 10, r0, r1, r2, 0, 0x20, 10];
        bytes.extend_from_slice(&[20; 10]);
        let start = spent_ns();
        let feedback = TransportFeedback::parse(&bytes).unwrap();
        estimator.handle_feedback(now, &feedback);
        spent += spent_ns() - start;
    }
    assert!(estimator.estimate().is_some());
    spent as f64 / repeats as f64
}

fn header(sequence_number: u16, ssrc: u32) -> OutgoingHeader {
    OutgoingHeader {
        marker: false,
        payload_type: 96,
        sequence_number,
        timestamp: 0,
        ssrc,
    }
}

/// A room with a publisher and nobody who watches.
struct Stand {
    stage: Stage,
    publisher: usize,
    seq: u16,
}

impl Stand {
    fn new() -> Self {
        let mut stage = Stage::new(2, 1);
        let publisher = stage.publish(1, Link::default());
        stage.run(Duration::from_secs(1));
        let publishing = stage.publishing(publisher);
        publishing.is_sending = false;
        let seq = publishing.next_seq;
        stage.run(Duration::from_millis(100));
        Self {
            stage,
            publisher,
            seq,
        }
    }

    /// Returns packets as they come from the network.
    fn packets(&mut self, count: usize) -> Vec<Vec<u8>> {
        let actor = &mut self.stage.actors[self.publisher];
        let Role::Publishing(publishing) = &actor.role else {
            panic!("a publisher")
        };
        for _ in 0..count {
            self.seq = self.seq.wrapping_add(1);
            let mut packet = header(self.seq, publishing.ssrc).to_bytes().to_vec();
            packet.extend_from_slice(&[0, 1]);
            packet.resize(12 + 1172, 7);
            actor.peer.send_rtp(&packet);
        }
        std::iter::from_fn(|| actor.peer.poll_transmit())
            .map(|parcel| parcel.datagram)
            .collect()
    }

    /// Returns checks as they come from the network.
    fn checks(&mut self, count: usize) -> Vec<Vec<u8>> {
        let actor = &mut self.stage.actors[self.publisher];
        for _ in 0..count {
            actor.peer.check(self.stage.now);
        }
        std::iter::from_fn(|| actor.peer.poll_transmit())
            .map(|parcel| parcel.datagram)
            .collect()
    }

    /// Lets many watch, until they see.
    fn crowd(&mut self, viewers: u64) -> Vec<usize> {
        self.stage.publishing(self.publisher).is_sending = true;
        let places: Vec<_> = (2..2 + viewers)
            .map(|id| self.stage.watch(id, Link::default()))
            .collect();
        let all_see = |stage: &Stage| places.iter().all(|it| stage.watching(*it).frames > 2);
        assert!(self.stage.run_until(Duration::from_secs(20), all_see));
        self.rest();
        // Until nobody is served from the cache any more.
        self.stage.run(Duration::from_secs(4));
        places
    }

    /// Has the publisher stop until its next packets are made by hand.
    fn rest(&mut self) {
        let publishing = self.stage.publishing(self.publisher);
        publishing.is_sending = false;
        self.seq = publishing.next_seq;
        self.stage.run(Duration::from_millis(100));
    }

    /// Passes bursts of so many packets to everybody, without a socket; returns what a packet and viewer took.
    fn pass(&mut self, packets: usize, bursts: usize) -> f64 {
        let bursts: Vec<_> = (0..bursts).map(|_| self.packets(packets)).collect();
        let (path, now, node) = (
            self.path(self.publisher),
            self.stage.now,
            &mut self.stage.nodes[0],
        );
        let (mut out, mut spent) = (Vec::new(), 0);
        let before = node.counters().rtp_sent;
        for burst in &bursts {
            for datagram in burst {
                node.handle_datagram(now, path, datagram);
            }
            let start = spent_ns();
            while node.poll_transmit(now, &mut out).is_some() {
                black_box(&out);
            }
            spent += spent_ns() - start;
        }
        spent as f64 / (node.counters().rtp_sent - before) as f64
    }

    /// Lets viewers in one after the other while nothing new comes; returns what a packet from the cache took.
    fn serve(&mut self, viewers: u64) -> f64 {
        let (mut out, mut spent, mut sent) = (Vec::new(), 0, 0);
        for id in 2..2 + viewers {
            self.stage.publishing(self.publisher).is_sending = true;
            self.stage.run(Duration::from_secs(1));
            self.rest();
            let place = self.stage.watch(id, Link::default());
            let connects = |stage: &Stage| stage.actors[place].peer.is_connected();
            assert!(self.stage.run_until(Duration::from_secs(5), connects));
            let (began, node) = (self.stage.now, &mut self.stage.nodes[0]);
            let before = node.counters().rtp_sent;
            let is_soon = |due: &Instant| *due < began + Duration::from_millis(800);
            while let Some(now) = node.poll_timeout().filter(is_soon) {
                let start = spent_ns();
                node.handle_timeout(now);
                while node.poll_transmit(now, &mut out).is_some() {
                    black_box(&out);
                }
                spent += spent_ns() - start;
                self.stage.now = now;
            }
            sent += node.counters().rtp_sent - before;
        }
        assert!(sent > viewers * 20, "{sent} packets from the cache");
        spent as f64 / sent as f64
    }

    /// Passes packets, every tenth of which a viewer misses; returns how many, and the NACKs for them.
    fn missing(&mut self, viewer: usize, count: usize) -> (u64, Vec<Vec<u8>>) {
        let packets = self.packets(count);
        let (now, path) = (self.stage.now, self.path(self.publisher));
        let (mut out, mut missing) = (Vec::new(), Vec::new());
        for packet in &packets {
            let node = &mut self.stage.nodes[0];
            node.handle_datagram(now, path, packet);
            while node.poll_transmit(now, &mut out).is_some() {
                // Sound and reports are small; what extensions a picture's packets have is no matter here.
                let is_video = out.len() > 1000;
                let header = is_video.then(|| Header::parse(&out).unwrap());
                missing.extend(header.map(|header| (header.ssrc, header.sequence_number)));
            }
        }
        let missing: Vec<_> = missing.into_iter().step_by(10).collect();
        assert!(!missing.is_empty(), "pictures leave");
        let peer = &mut self.stage.actors[viewer].peer;
        for some in missing.chunks(16) {
            let mut compound = Vec::new();
            let numbers: Vec<_> = some.iter().map(|(_, number)| *number).collect();
            rtcp::write_receiver_report(&mut compound, 1, &[]);
            rtcp::write_nack(&mut compound, 1, some[0].0, &numbers);
            peer.send_rtcp(&compound);
        }
        let nacks = std::iter::from_fn(|| peer.poll_transmit());
        (missing.len() as u64, nacks.map(|it| it.datagram).collect())
    }

    fn path(&self, actor: usize) -> Path {
        Path {
            local: None,
            remote: self.stage.actors[actor].peer.config.address,
            connection: None,
        }
    }

    fn take(&mut self, datagrams: &[Vec<u8>]) -> f64 {
        self.take_from(self.publisher, datagrams)
    }

    fn take_from(&mut self, actor: usize, datagrams: &[Vec<u8>]) -> f64 {
        let path = self.path(actor);
        let (now, node) = (self.stage.now, &mut self.stage.nodes[0]);
        let mut out = Vec::new();
        let start = spent_ns();
        for batch in datagrams.chunks(16) {
            for datagram in batch {
                node.handle_datagram(now, path, datagram);
            }
            while node.poll_transmit(now, &mut out).is_some() {}
        }
        (spent_ns() - start) as f64 / datagrams.len() as f64
    }
}

/// Connects viewers, one after the other; returns what one took.
fn join() -> f64 {
    const JOINS: u64 = 20;
    let mut stage = Stage::new(3, 1);
    let start = spent_ns();
    for id in 2..2 + JOINS {
        let place = stage.watch(id, Link::default());
        let connects = |stage: &Stage| stage.actors[place].peer.is_connected();
        assert!(stage.run_until(Duration::from_secs(5), connects));
    }
    (spent_ns() - start) as f64 / JOINS as f64
}
