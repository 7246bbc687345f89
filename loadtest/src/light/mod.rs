//! Light peers: thousands in one process, sans-IO parts behind a few sockets.

pub(crate) mod media;

mod socket;

mod peer;

mod link;

mod stun;

mod dtls;

mod srtp;

mod rtp;

mod rtcp;

pub(crate) mod receive;

mod track;

mod feedback;

pub(crate) mod send;

pub(crate) mod pace;

pub(crate) mod sdp;

pub(crate) mod tally;

pub(crate) use dtls::Identity;
pub(crate) use stun::Credentials;
pub(crate) use track::Counts;
