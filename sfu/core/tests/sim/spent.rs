//! How often the server takes memory, by what it is given to do.

use std::collections::BTreeMap;

use klieg_sfu_core::demux::{self, Protocol};

/// What the server is given to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// A packet of a publisher.
    Media,
    /// A compound of a publisher.
    PublisherReport,
    /// A compound of a viewer: reports, what arrived, what is to be sent again.
    ViewerReport,
    /// A check of anybody's path.
    Check,
    /// Any other datagram.
    Handshake,
    /// To close the bursts that are complete, and to take what another shard says.
    Message,
    /// The time.
    Timer,
    /// To give out a run of datagrams, or to say that there is none left.
    Run,
}

/// How often each was done, and how often memory was taken in all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spent(BTreeMap<Work, (u64, u64)>);

impl Work {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Media,
        Self::PublisherReport,
        Self::ViewerReport,
        Self::Check,
        Self::Handshake,
        Self::Message,
        Self::Timer,
        Self::Run,
    ];

    /// Tells what a datagram is.
    pub(crate) fn of(datagram: &[u8], is_viewer: bool) -> Self {
        match (demux::protocol(datagram), is_viewer) {
            (Some(Protocol::Rtp), _) => Self::Media,
            (Some(Protocol::Rtcp), true) => Self::ViewerReport,
            (Some(Protocol::Rtcp), false) => Self::PublisherReport,
            (Some(Protocol::Stun), _) => Self::Check,
            (Some(Protocol::Dtls) | None, _) => Self::Handshake,
        }
    }
}

impl Spent {
    /// Does something and notes how often it takes memory.
    pub(crate) fn note<T>(&mut self, work: Work, act: impl FnOnce() -> T) -> T {
        let mut done = None;
        let info = allocation_counter::measure(|| done = Some(act()));
        let (times, taken) = self.0.entry(work).or_default();
        *times += 1;
        *taken += info.count_total;
        done.expect("it was done above")
    }

    /// Returns how often it was done, and how often memory was taken.
    pub(crate) fn on(&self, work: Work) -> (u64, u64) {
        self.0.get(&work).copied().unwrap_or_default()
    }
}
