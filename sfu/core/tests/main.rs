//! Two ends and more over a simulated network, in virtual time.
//!
//! One program for all of it, so that the simulation is compiled once and nothing in it is unused.

mod sim;

mod transport;

mod node;
