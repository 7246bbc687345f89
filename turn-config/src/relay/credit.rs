//! Keeps the relay from being a reflector: who has not shown that they are where they say gets no more than they sent.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::network::network;

/// How many bytes of requests strangers sent by UDP and were not answered yet, by network: who forges addresses has all of
/// one, and its other addresses cost them nothing.
///
/// An answer to a bare Allocate (28 bytes from Chromium) has 56: it cannot be shorter, since realm and nonce belong to it.
/// So the first request is not answered, and its first repeat is, a quarter of a second later in Chromium: all that ever
/// comes out is at most what came in. Over TCP, where a handshake has shown the address, nobody waits.
#[derive(Debug)]
pub(crate) struct Credit {
    /// The latest of them; never more than [`MAX_SOURCES`].
    new: HashMap<IpAddr, usize>,
    /// Those before, about to be forgotten: that takes from their credit and adds none.
    old: HashMap<IpAddr, usize>,
    /// When `new` was begun.
    begun: Instant,
}

impl Credit {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            new: HashMap::new(),
            old: HashMap::new(),
            begun: now,
        }
    }

    /// Notes what came.
    pub(crate) fn earn(&mut self, now: Instant, source: IpAddr, bytes: usize) {
        let before = self.balance(now, source);
        let after = before.saturating_add(bytes).min(MAX_CREDIT);
        self.new.insert(network(source), after);
    }

    /// Returns whether an answer of so many bytes may leave, and counts it if it does.
    pub(crate) fn spend(&mut self, now: Instant, source: IpAddr, bytes: usize) -> bool {
        let before = self.balance(now, source);
        let after = before.checked_sub(bytes);
        self.new.insert(network(source), after.unwrap_or(before));
        after.is_some()
    }

    /// Takes what is left to an address, to be written anew.
    fn balance(&mut self, now: Instant, source: IpAddr) -> usize {
        if self.new.len() >= MAX_SOURCES || now.saturating_duration_since(self.begun) >= KEPT {
            self.old = std::mem::take(&mut self.new);
            self.begun = now;
        }
        let source = network(source);
        let new = self.new.remove(&source);
        let old = self.old.remove(&source);
        new.or(old).unwrap_or(0)
    }
}

/// Networks in each half.
const MAX_SOURCES: usize = 16 * 1024;

/// For so long at least it is kept what somebody sent; requests are repeated within half a second.
const KEPT: Duration = Duration::from_secs(10);

/// A few answers, however much somebody sent.
const MAX_CREDIT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_leaves_than_came() {
        let begun = Instant::now();
        let mut credit = Credit::new(begun);
        let source = "192.0.2.1".parse().unwrap();
        let (mut came, mut left) = (0, 0);
        for step in 0..1_000_u64 {
            let now = begun + Duration::from_millis(step * 37);
            let size = 20 + usize::try_from(step % 40).unwrap();
            credit.earn(now, source, size);
            came += size;
            if credit.spend(now, source, 56) {
                left += 56;
            }
            assert!(left <= came);
        }
        assert!(left > came / 2, "and those who go on asking are answered");
    }

    #[test]
    fn a_flood_of_addresses_takes_no_more_memory_and_gives_no_credit() {
        let now = Instant::now();
        let mut credit = Credit::new(now);
        for bits in 0..100_000_u32 {
            let source = IpAddr::V4(bits.into());
            credit.earn(now, source, 28);
            assert!(!credit.spend(now, source, 56));
        }
        assert!(credit.new.len() <= MAX_SOURCES && credit.old.len() <= MAX_SOURCES);
    }

    #[test]
    fn an_address_is_the_same_seen_through_a_socket_of_ipv6() {
        let now = Instant::now();
        let mut credit = Credit::new(now);
        credit.earn(now, "::ffff:192.0.2.1".parse().unwrap(), 28);
        credit.earn(now, "192.0.2.1".parse().unwrap(), 28);
        assert!(credit.spend(now, "::ffff:192.0.2.1".parse().unwrap(), 56));
    }

    #[test]
    fn a_flood_from_one_network_has_no_other_forgotten() {
        let now = Instant::now();
        let mut credit = Credit::new(now);
        credit.earn(now, "192.0.2.1".parse().unwrap(), 28);
        for host in 0..100_000_u128 {
            let source = IpAddr::V6((0x2001_0db8_u128 << 96 | host).into());
            credit.earn(now, source, 20);
        }
        assert_eq!((credit.new.len(), credit.old.len()), (2, 0));
        credit.earn(now, "192.0.2.1".parse().unwrap(), 28);
        assert!(credit.spend(now, "192.0.2.1".parse().unwrap(), 56));
    }
}
