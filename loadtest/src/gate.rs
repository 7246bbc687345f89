//! Who of the complete viewers is there, and how much they got.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of all complete viewers.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    watching: AtomicU64,
    packets: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Crowd {
    /// Those whose first packet came and who are still there.
    pub(crate) watching: u64,
    /// Ever.
    pub(crate) packets: u64,
}

impl Gate {
    /// Counts a packet of one of them.
    pub(crate) fn handle_packet(&self, is_first: bool) {
        self.packets.fetch_add(1, Ordering::Relaxed);
        self.watching
            .fetch_add(u64::from(is_first), Ordering::Relaxed);
    }

    /// Counts one less, who had got a packet.
    pub(crate) fn handle_end(&self) {
        self.watching.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the counts.
    pub(crate) fn crowd(&self) -> Crowd {
        Crowd {
            watching: self.watching.load(Ordering::Relaxed),
            packets: self.packets.load(Ordering::Relaxed),
        }
    }
}
