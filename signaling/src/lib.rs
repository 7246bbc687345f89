//! Klieg's control plane: rooms, signaling, chat and the store.

pub mod session;

pub mod sdp;
