//! What a description costs: `cargo bench -p klieg-signaling --bench sdp` prints processor time of each step,
//! with descriptions captured from browsers.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints its figures, and fails as a test does"
)]

#[path = "../../sfu/core/benches/clock/mod.rs"]
mod clock;

use std::hint::black_box;

use klieg_sfu::{Fingerprint, PeerId, RoomKey};
use klieg_signaling::session::{MediaConfig, Session};

use crate::clock::{best, spent_ns};

const PEER: PeerId = PeerId(7);
const ROOM: RoomKey = RoomKey(9);
/// Repetitions of one turn, and turns of each.
const REPEATS: usize = 200;
const TURNS: usize = 15;

fn main() {
    let config = MediaConfig {
        fingerprint: Fingerprint([0xab; 32]),
        candidates: vec![
            "192.0.2.7:7000".parse().unwrap(),
            "[2001:db8::7]:7000".parse().unwrap(),
        ],
        tcp_candidates: vec!["192.0.2.7:7000".parse().unwrap()],
    };
    println!("| step | bytes | ns |");
    println!("| --- | ---: | ---: |");
    for name in [
        "chromium-default",
        "chromium-simulcast",
        "firefox-default",
        "ffmpeg8-whip-offer",
    ] {
        let offer = captured(name);
        show(&format!("answer {name}"), &offer, || {
            black_box(Session::publish(&config, PEER, ROOM, &offer).unwrap());
        });
    }
    let (_, offered) = Session::view(&config, PEER, ROOM);
    show("offer to a viewer", &offered.sdp, || {
        black_box(Session::view(&config, PEER, ROOM));
    });
    for name in ["chromium-view-answer", "firefox-view-answer"] {
        let answer = captured(name);
        show(&format!("offer, and take {name}"), &answer, || {
            let (mut session, _) = Session::view(&config, PEER, ROOM);
            black_box(session.handle_answer(&answer).unwrap());
        });
    }
}

fn captured(name: &str) -> String {
    let path = format!("{}/tests/offers/{name}.sdp", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

fn show(step: &str, sdp: &str, work: impl Fn()) {
    let took = best((0..TURNS).map(|_| {
        let start = spent_ns();
        (0..REPEATS).for_each(|_| work());
        (spent_ns() - start) as f64 / REPEATS as f64
    }));
    println!("| {step} | {} | {took:.0} |", sdp.len());
}
