//! Who is connected, and who of them gives way when there is no room: whoever has an allocation stays.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use tokio::task::AbortHandle;

use crate::relay::Client;
use crate::relay::network::{network, site};

/// Those who are connected, by their age; as many as there may be, at most.
#[derive(Debug)]
pub(super) struct Guests {
    limit: usize,
    inside: VecDeque<Guest>,
}

#[derive(Debug)]
struct Guest {
    client: Client,
    task: AbortHandle,
}

/// Whether there is room for another one.
#[derive(Debug)]
pub(super) enum Room {
    /// There is.
    Free,
    /// There is, once this one has gone.
    InPlaceOf(AbortHandle),
    /// All have allocations.
    None,
}

impl Guest {
    fn network(&self) -> IpAddr {
        network(self.client.remote.ip())
    }
}

impl Guests {
    /// Begins with nobody.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            inside: VecDeque::new(),
        }
    }

    /// Says what another one of a network finds. An allocation comes with the connection's first round trips, so whoever
    /// means it does not wait for long: where there are too many of a network, the oldest of them without one gives way;
    /// where there are too many in all, that of the site that has most, so that who has many networks does not have the
    /// others shown out.
    pub(super) fn room(&mut self, of: IpAddr, has_allocation: impl Fn(Client) -> bool) -> Room {
        self.inside.retain(|guest| !guest.task.is_finished());
        let here = self.inside.iter().filter(|guest| guest.network() == of);
        let is_crowded = here.count() >= MAX_OF_NETWORK;
        if !is_crowded && self.inside.len() < self.limit {
            return Room::Free;
        }
        let place = if is_crowded {
            let is_idle = |guest: &Guest| guest.network() == of && !has_allocation(guest.client);
            self.inside.iter().position(is_idle)
        } else {
            let idle = (0..).zip(&self.inside);
            let idle = idle.filter(|(_, guest)| !has_allocation(guest.client));
            oldest_of_the_most(idle.map(|(place, guest)| (place, site(guest.network()))))
        };
        let shown_out = place.and_then(|place| self.inside.remove(place));
        shown_out.map_or(Room::None, |guest| Room::InPlaceOf(guest.task))
    }

    /// Takes one in.
    pub(super) fn add(&mut self, client: Client, task: AbortHandle) {
        self.inside.push_back(Guest { client, task });
    }
}

/// Returns the first place of the site that has most of them.
fn oldest_of_the_most(places: impl Iterator<Item = (usize, IpAddr)>) -> Option<usize> {
    let mut crowds: HashMap<IpAddr, (usize, Reverse<usize>)> = HashMap::new();
    for (place, site) in places {
        crowds.entry(site).or_insert((0, Reverse(place))).0 += 1;
    }
    let most = crowds.into_values().max();
    most.map(|(_, Reverse(oldest))| oldest)
}

/// Connections of one network: what many people behind one router need.
const MAX_OF_NETWORK: usize = 200;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::SocketAddr;

    use super::*;

    /// Guests, and what was said of whom they gave way to.
    struct Hall {
        guests: Guests,
        allocated: HashSet<u64>,
        came: u64,
    }

    impl Hall {
        fn new(limit: usize) -> Self {
            Self {
                guests: Guests::new(limit),
                allocated: HashSet::new(),
                came: 0,
            }
        }

        /// Lets one in, and returns its number, where there is room.
        fn come(&mut self, ip: &str) -> Option<u64> {
            let ip: IpAddr = ip.parse().unwrap();
            let allocated = &self.allocated;
            let has_allocation =
                |it: Client| it.connection.is_some_and(|it| allocated.contains(&it));
            let room = self.guests.room(network(ip), has_allocation);
            if matches!(room, Room::None) {
                return None;
            }
            self.came += 1;
            let client = Client {
                remote: SocketAddr::new(ip, 5000),
                connection: Some(self.came),
            };
            let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
            self.guests.add(client, task);
            Some(self.came)
        }

        fn has(&self, number: u64) -> bool {
            let mut inside = self.guests.inside.iter();
            inside.any(|it| it.client.connection == Some(number))
        }
    }

    #[tokio::test]
    async fn whoever_holds_every_place_gives_way_to_a_newcomer_and_allocations_stay() {
        let mut hall = Hall::new(1000);
        let friend = hall.come("192.0.2.200").unwrap();
        hall.allocated.insert(friend);
        for network in 1..=5 {
            for _ in 0..200 {
                hall.come(&format!("192.0.2.{network}")).unwrap();
            }
        }
        let newcomer = hall.come("192.0.2.201").unwrap();
        // They go on as fast as they can.
        for round in 0..2000 {
            hall.come(&format!("192.0.2.{}", 1 + round % 5)).unwrap();
        }
        assert!(hall.has(friend) && hall.has(newcomer));
        assert_eq!(hall.guests.inside.len(), 1000);
    }

    #[tokio::test]
    async fn who_has_very_many_networks_shows_nobody_else_out() {
        let mut hall = Hall::new(100);
        let newcomer = hall.come("192.0.2.201").unwrap();
        for network in 0..1000 {
            hall.come(&format!("2001:db8:1:{network:x}::1")).unwrap();
        }
        assert!(hall.has(newcomer));
    }

    #[tokio::test]
    async fn in_a_crowded_network_its_own_oldest_gives_way() {
        let mut hall = Hall::new(1000);
        let other = hall.come("192.0.2.1").unwrap();
        let first = hall.come("192.0.2.2").unwrap();
        hall.allocated.insert(first);
        let second = hall.come("192.0.2.2").unwrap();
        for _ in 0..199 {
            hall.come("192.0.2.2").unwrap();
        }
        assert!(hall.has(other) && hall.has(first) && !hall.has(second));
    }

    #[tokio::test]
    async fn where_all_have_allocations_a_newcomer_is_refused_until_one_goes() {
        let mut hall = Hall::new(2);
        for _ in 0..2 {
            let number = hall.come("192.0.2.1").unwrap();
            hall.allocated.insert(number);
        }
        assert_eq!(hall.come("192.0.2.9"), None);
        hall.guests.inside[0].task.abort();
        tokio::task::yield_now().await;
        assert_eq!(hall.come("192.0.2.9"), Some(3));
    }
}
