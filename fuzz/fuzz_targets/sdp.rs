//! Session descriptions: offers of publishers, answers of viewers, and what may follow them.
//!
//! The input is cut at NUL bytes: the first description opens a publishing session and answers a viewing one,
//! the others follow in both.

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

fuzz_target!(|input: &str| {
    let mut descriptions = input.splitn(3, '\0');
    let first = descriptions.next().unwrap_or_default();

    let (mut viewing, _) = Session::view(&CONFIG, PeerId(1), RoomKey(1));
    viewing.handle_answer(first).ok();
    for next in descriptions.clone() {
        viewing.restart(&CONFIG).ok();
        viewing.handle_answer(next).ok();
    }

    if let Ok((mut watching, negotiated)) =
        Session::watch(&CONFIG, PeerId(3), RoomKey(1), first)
    {
        assert!(negotiated.sdp.starts_with("v=0\r\n"), "{}", negotiated.sdp);
        for next in descriptions.clone() {
            watching.handle_offer(&CONFIG, next).ok();
            watching.handle_fragment(&CONFIG, next).ok();
        }
    }

    let Ok((mut publishing, negotiated)) = Session::publish(&CONFIG, PeerId(2), RoomKey(1), first)
    else {
        return;
    };
    // What we write we also read: as an answer it never is an offer that we would refuse to parse.
    assert!(negotiated.sdp.starts_with("v=0\r\n"), "{}", negotiated.sdp);
    for next in descriptions {
        publishing.handle_offer(&CONFIG, next).ok();
    }
});
