//! Fragments of descriptions, as WHIP and WHEP clients send them to trickle candidates and to restart ICE.
//!
//! The input is cut at NUL bytes into fragments for one session.

#![no_main]

use std::sync::LazyLock;

use klieg_sfu::{Fingerprint, PeerId, RoomKey};
use klieg_signaling::session::{MediaConfig, Session};
use libfuzzer_sys::fuzz_target;

static CONFIG: LazyLock<MediaConfig> = LazyLock::new(|| MediaConfig {
    fingerprint: Fingerprint([7; 32]),
    candidates: vec!["192.0.2.1:7882".parse().unwrap(), "[2001:db8::1]:7882".parse().unwrap()],
    tcp_candidates: vec!["192.0.2.1:7882".parse().unwrap()],
});

static SESSION: LazyLock<Session> = LazyLock::new(|| {
    let offer = include_str!("../../signaling/tests/offers/ffmpeg8-whip-offer.sdp");
    Session::publish(&CONFIG, PeerId(1), RoomKey(1), offer).unwrap().0
});

fuzz_target!(|input: &str| {
    let mut session = SESSION.clone();
    for fragment in input.split('\0').take(4) {
        let before = session.ice_generation().to_owned();
        match session.handle_fragment(&CONFIG, fragment) {
            Ok(Some(restarted)) => {
                assert_ne!(session.ice_generation(), before);
                // What we write we also read, and it restarts nothing: its credentials are ours.
                assert!(restarted.sdp.contains(session.ice_generation()));
            }
            Ok(None) | Err(_) => assert_eq!(session.ice_generation(), before),
        }
    }
});
