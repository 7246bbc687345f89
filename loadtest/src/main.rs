//! Klieg.
fn main() {}
