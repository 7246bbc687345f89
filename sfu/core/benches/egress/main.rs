//! What a packet to a viewer costs, beside the floor: a bare loop that copies, seals and sends the same runs.
//!
//! `cargo bench -p klieg-sfu-core --bench egress [-- VIEWERS [PACKETS]] [packets] [seconds] [rooms]` prints, of
//! the parts named or of all: processor time per packet and viewer of both, in turns, so that a noisy machine is
//! noisy for both; what a second of media costs, as browsers and as encoders send it; and the same viewers in
//! fewer and in more rooms. With `bare` the packets have no transport-wide numbers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_types,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a benchmark sends, prints its figures, and fails as a test does"
)]
#![expect(dead_code, reason = "the simulation has more than is used here")]

#[path = "../../tests/sim/mod.rs"]
mod sim;

#[path = "../clock/mod.rs"]
mod clock;

mod sockets;

mod floor;

mod stand;

use std::time::Duration;

use crate::clock::best;
use crate::floor::Floor;
use crate::sim::stage::Stage;
use crate::stand::{Stand, Watch};

/// Bytes of a payload: with its header and tag a datagram of 1200.
const PAYLOAD_LEN: usize = 1172;
/// Datagrams that one receive brings at most.
const BATCH: usize = 32;
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
/// Between two packets of a steady stream: 2.4 Mb/s.
const SPACING: Duration = Duration::from_millis(4);
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

const SHAPES: [Shape; 13] = [
    shape("sound alone", 0, 0, 0),
    shape("1.4 Mb/s, paced, idle", 1400, 3, 0),
    shape("1.4 Mb/s, paced, busy", 1400, 3, 10),
    shape("1.4 Mb/s, frames, idle", 1400, 1, 0),
    shape("1.4 Mb/s, frames, busy", 1400, 1, 10),
    shape("2.5 Mb/s, paced, idle", 2500, 3, 0),
    shape("2.5 Mb/s, paced, busy", 2500, 3, 10),
    shape("2.5 Mb/s, frames, idle", 2500, 1, 0),
    shape("2.5 Mb/s, frames, busy", 2500, 1, 10),
    shape("4 Mb/s, paced, idle", 4000, 3, 0),
    shape("4 Mb/s, paced, busy", 4000, 3, 10),
    shape("4 Mb/s, frames, idle", 4000, 1, 0),
    shape("4 Mb/s, frames, busy", 4000, 1, 10),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let parts = ["packets", "seconds", "rooms"].map(|part| words.iter().any(|it| it == part));
    let [packets, seconds, rooms] = parts.map(|named| named || !parts.contains(&true));
    let mut numbers = words.iter().filter_map(|it| it.parse().ok());
    let viewers = numbers.next().unwrap_or(1000);
    let is_bare = words.iter().any(|it| it == "bare");
    let watch: Watch = if is_bare {
        Stage::watch
    } else {
        Stage::watch_numbered
    };
    let lengths = numbers.next().map(|it| vec![it]);
    if packets {
        compare(
            viewers,
            &lengths.unwrap_or_else(|| vec![1, 2, 4, 9, 16]),
            watch,
            !is_bare,
        );
        println!();
    }
    if seconds {
        spend(viewers, watch);
        println!();
    }
    if rooms {
        divide(viewers, watch);
    }
}

/// Prints what packets cost beside the floor.
fn compare(viewers: usize, lengths: &[usize], watch: Watch, is_numbered: bool) {
    println!(
        "| viewers | packets a burst | floor, ns | klieg, ns | ratio | floor without sending, ns | klieg without sending, ns |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let (mut stand, mut floor) = (
        Stand::new(1, viewers, 1, watch),
        Floor::new(viewers, is_numbered),
    );
    for &packets in lengths {
        let mut turns: [Vec<f64>; 4] = Default::default();
        for _ in 0..TURNS {
            for (turns, sends) in turns.chunks_mut(2).zip([true, false]) {
                stand.sockets.are_open = sends;
                turns[0].push(floor.pass(packets, &stand.sockets));
                turns[1].push(stand.pass(packets));
            }
        }
        let [floor, klieg, own_floor, own] = turns.map(best);
        let ratio = klieg / floor;
        println!(
            "| {viewers} | {packets} | {floor:.0} | {klieg:.0} | {ratio:.2} | {own_floor:.0} | {own:.0} |"
        );
    }
}

/// Prints what a second of media costs.
fn spend(viewers: usize, watch: Watch) {
    println!(
        "| stream, with Opus | packets a second | packets a run | ns a packet | µs a viewer and second | viewers a core |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    let mut stand = Stand::new(1, viewers, 1, watch);
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

/// Prints what the same viewers cost in fewer and in more rooms, and on more shards.
fn divide(viewers: usize, watch: Watch) {
    const PACKETS: usize = 5;
    println!("| rooms | viewers of each | shards | ns a packet and viewer | to one room |");
    println!("| ---: | ---: | ---: | ---: | ---: |");
    let mut one = None;
    for (rooms, shards) in [(1, 1), (10, 1), (100, 1), (1000, 1), (1, 2), (100, 2)] {
        let mut stand = Stand::new(rooms, viewers, shards, watch);
        let took = best((0..TURNS).map(|_| stand.pass(PACKETS)));
        let ratio = took / *one.get_or_insert(took);
        let each = viewers / rooms;
        println!("| {rooms} | {each} | {shards} | {took:.0} | {ratio:.2} |");
    }
}
