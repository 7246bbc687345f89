//! Text frames of clients on the WebSocket, as they come before anybody signed in.

#![no_main]

use klieg_signaling::is_client_message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &str| {
    is_client_message(frame);
});
