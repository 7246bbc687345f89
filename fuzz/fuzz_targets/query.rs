//! What stands behind the question mark of a list's address.

#![no_main]

use klieg_signaling::takes_cursor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    // Nobody here knows the secret that seals cursors.
    assert!(!takes_cursor(input), "{input}");
});
