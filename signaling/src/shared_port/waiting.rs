//! Connections of which it is not told yet what they speak: bounded in all and of one network. Who speaks does so at once; who does not gives
//! way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Refused;

/// Those that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Guests>);

#[derive(Debug, Default)]
struct Guests {
    /// By their age; at most [`MAX_WAITING`].
    inside: BTreeMap<u64, Guest>,
    next: u64,
}

#[derive(Debug)]
struct Guest {
    network: IpAddr,
    /// Tells it that it is shown out.
    end: Arc<Notify>,
}

/// A place among them, free again with its drop.
#[derive(Debug)]
pub(super) struct Turn {
    waiting: Arc<Waiting>,
    number: u64,
    end: Arc<Notify>,
}

impl Turn {
    /// Waits until it has to give way.
    pub(super) async fn shown_out(&self) {
        self.end.notified().await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.waiting.guests().inside.remove(&self.number);
    }
}

impl Waiting {
    /// Takes one more in, and shows another out where there are too many; returns why, too.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> (Turn, Option<Refused>) {
        let network = network(address.to_canonical());
        let end = Arc::new(Notify::new());
        let mut guests = self.guests();
        let gave_way = guests.make_room(network);
        let number = guests.next;
        guests.next += 1;
        let guest = Guest {
            network,
            end: Arc::clone(&end),
        };
        guests.inside.insert(number, guest);
        let waiting = Arc::clone(self);
        let turn = Turn {
            waiting,
            number,
            end,
        };
        (turn, gave_way)
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guests {
    /// Makes room for another one of a network: where there are too many of it, the one of them that waited longest goes; where
    /// there are too many in all, the one of the site that has most, so that who has many networks has nobody else shown out.
    fn make_room(&mut self, network: IpAddr) -> Option<Refused> {
        let theirs = self.inside.iter().filter(|(_, it)| it.network == network);
        let (oldest, reason) = if theirs.clone().count() >= MAX_OF_NETWORK {
            (theirs.map(|(number, _)| *number).next()?, Refused::Crowded)
        } else if self.inside.len() >= MAX_WAITING {
            (self.most_crowded()?, Refused::Full)
        } else {
            return None;
        };
        self.inside.remove(&oldest)?.end.notify_one();
        Some(reason)
    }

    fn most_crowded(&self) -> Option<u64> {
        let mut crowds: HashMap<IpAddr, (usize, Reverse<u64>)> = HashMap::new();
        for (number, guest) in &self.inside {
            let crowd = crowds.entry(site(guest.network));
            crowd.or_insert((0, Reverse(*number))).0 += 1;
        }
        let most = crowds.into_values().max();
        most.map(|(_, Reverse(oldest))| oldest)
    }
}

/// Returns what one customer of a network has: an address, or 2^64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(it) => Ipv6Addr::from_bits(it.to_bits() >> 64 << 64).into(),
    }
}

/// Returns the site that a network is of: an address, or what one is given of IPv6 at most (RFC 6177: 2^80).
fn site(network: IpAddr) -> IpAddr {
    match network {
        IpAddr::V4(_) => network,
        IpAddr::V6(it) => Ipv6Addr::from_bits(it.to_bits() >> 80 << 80).into(),
    }
}

/// Connections that wait.
pub(super) const MAX_WAITING: usize = 512;
/// Of them, those of one network: a company's.
pub(super) const MAX_OF_NETWORK: usize = 64;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn is_shown_out(turn: &Turn) -> bool {
        turn.shown_out().now_or_never().is_some()
    }

    #[test]
    fn of_one_network_the_oldest_gives_way_and_of_all_the_one_whose_site_has_most() {
        let waiting = Arc::new(Waiting::default());
        let come = |address: &str| waiting.enter(address.parse().unwrap());
        let (honest, _) = come("192.0.2.7");
        let (first, _) = come("198.51.100.1");
        for _ in 1..MAX_OF_NETWORK {
            std::mem::forget(come("::ffff:198.51.100.1").0);
        }
        assert!(!is_shown_out(&first));
        assert_eq!(come("198.51.100.1").1, Some(Refused::Crowded));
        assert!(is_shown_out(&first) && !is_shown_out(&honest));
        let mut gave_way = 0;
        for number in 0..2000 {
            let (turn, reason) = come(&format!("2001:db8:1:{number:x}::1"));
            gave_way += usize::from(reason == Some(Refused::Full));
            std::mem::forget(turn);
            assert!(waiting.guests().inside.len() <= MAX_WAITING);
        }
        assert!(gave_way > 1000 && !is_shown_out(&honest));
    }

    #[test]
    fn who_has_gone_leaves_its_place() {
        let waiting = Arc::new(Waiting::default());
        for _ in 0..2 * MAX_OF_NETWORK {
            let (_turn, gave_way) = waiting.enter([192, 0, 2, 7].into());
            assert_eq!(gave_way, None);
        }
        assert!(waiting.guests().inside.is_empty());
    }
}
