//! What strangers send first to a port that several share: told in time, the same however it comes, and never two things at once.

#![no_main]

use klieg_signaling::spoken_on;
use libfuzzer_sys::fuzz_target;

/// More are never waited for.
const MOST: usize = 10;

fuzz_target!(|stream: &[u8]| {
    let mut settled = None;
    for length in 0..=stream.len().min(64) {
        let told = spoken_on(&stream[..length]);
        assert!(length < MOST || told.is_some(), "after {length}");
        if settled.is_some() {
            assert_eq!(told, settled, "after {length}");
        }
        settled = told;
    }
    if settled.as_deref() == Some("Is(Framed)") {
        // What the forwarding unit would be given is a frame of its own.
        assert!(klieg_sfu_core::framed::first_frame(stream).is_ok());
    }
});
