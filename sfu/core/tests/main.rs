//! Two ends and more over a simulated network, in virtual time.
//!
//! One program for all of it, so that the simulation is compiled once and nothing in it is unused.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what does not hold fails the test"
)]

mod sim;

mod takeover;

mod transport;

mod node;

mod publishers;

mod interop;

mod joins;

mod stills;

mod simulcast;

mod layers;

mod gathering;

mod playout;

mod captures;

mod redundancy;

mod memory;

mod bounds;

mod allocations;

mod bandwidth;

mod paths;

mod framed;

mod estimator;
