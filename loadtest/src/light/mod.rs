//! Light peers: thousands in one process, sans-IO parts behind a few sockets.

pub(crate) mod media;

mod engine;

mod socket;

mod connection;

mod peer;

mod link;

mod stun;

mod dtls;

mod srtp;

mod rtp;

mod rtcp;

pub(crate) mod seen;

mod receive;

mod track;

mod opening;

mod ledger;

mod feedback;

pub(crate) mod accepted;

pub(crate) mod send;

pub(crate) mod sent;

mod stream;

pub(crate) mod pace;

pub(crate) mod sdp;

pub(crate) mod tally;

use std::time::Duration;

pub(crate) use dtls::Identity;
pub(crate) use stun::Credentials;
pub(crate) use track::Counts;

/// Between two moments at which threads tell what they have counted.
pub(crate) const BETWEEN_PUBLICATIONS: Duration = Duration::from_millis(250);

/// Layers of a simulcast.
pub(crate) const LAYERS: usize = sdp::RIDS.len();

/// Returns the smallest size of a frame of the largest of so many layers, in bits.
pub(crate) fn light_frame_bits(layers: usize) -> u64 {
    let shifts = 0..u8::try_from(layers).unwrap_or(u8::MAX);
    // Each layer below has a quarter of the rate.
    let sizes = shifts.map(|shift| (crate::vp8::min_frame_bytes(shift) as u64 * 8) << (2 * shift));
    sizes.max().unwrap_or(0)
}
