//! Redundant sound: taken apart, and numbered as a viewer knows the coding.
//!
//! The first two bytes are the payload types of publisher and viewer.

#![no_main]

use klieg_sfu_core::rtp::red::{renumber, split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&[before, after], payload)) = input.split_first_chunk() else {
        return;
    };
    let (before, after) = (before & 0x7f, after & 0x7f);
    let mut renumbered = payload.to_vec();
    renumber(&mut renumbered, after);
    assert_eq!(renumbered.len(), payload.len());
    let Some((lead, primary)) = split(payload, before) else {
        return;
    };
    assert_eq!([lead, primary].concat(), payload);
    let read = split(&renumbered, after).expect("only the numbers are others");
    assert_eq!((read.0.len(), read.1), (lead.len(), primary), "blocks stay as they are");
    renumber(&mut renumbered, before);
    assert_eq!(renumbered, payload);
});
