//! The wire formats of RTP and RTCP, read and written without allocation (RFC 3550, RFC 8285).

#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

pub mod packet;

pub mod ext;

pub mod red;

pub mod seq;

pub mod rtcp;
