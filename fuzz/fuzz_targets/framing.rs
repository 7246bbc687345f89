//! Bytes of a connection, cut anywhere: they come out as the same frames however they are cut, and what waits is bounded.
//!
//! The first byte says how the rest is cut.

#![no_main]

use klieg_sfu_core::framed::{Deframer, MAX_FRAME, first_frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((cut, stream)) = input.split_first() else {
        return;
    };
    let mut whole = Vec::new();
    let at_once = Deframer::default().take(stream, |frame| whole.push(frame.to_vec()));
    let (mut deframer, mut parts) = (Deframer::default(), Vec::new());
    let mut in_parts = Ok(());
    for part in stream.chunks(usize::from(*cut).max(1)) {
        in_parts = in_parts.and_then(|()| deframer.take(part, |frame| parts.push(frame.to_vec())));
    }
    assert_eq!(parts, whole);
    assert_eq!(in_parts, at_once);
    assert!(whole.iter().all(|frame| frame.len() <= MAX_FRAME));
    let first = first_frame(stream).map(|frame| frame.map(<[u8]>::to_vec));
    match whole.first() {
        Some(frame) => assert_eq!(first, Ok(Some(frame.clone()))),
        None => assert_eq!(first.map(|_| ()), at_once),
    }
});
