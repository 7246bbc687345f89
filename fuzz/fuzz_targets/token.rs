//! Tokens as strangers show them, the keys that a provider publishes, and claims as those write them who may sign.
//!
//! The input is cut at NUL bytes: keys, token, claims.

#![no_main]

use klieg_signaling::read_hostile_token;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let mut parts = input.split('\0');
    let mut part = || parts.next().unwrap_or_default();
    let (keys, token, claims) = (part(), part(), part());
    let (holds, names) = read_hostile_token(keys, token, claims);
    // Nobody here knows the secret.
    assert!(!holds, "{token}");
    for name in names.into_iter().flatten() {
        assert!((1..=40).contains(&name.chars().count()), "{name:?}");
        assert!(!name.contains(char::is_control), "{name:?}");
    }
});
