//! What people are in one room beside what their accounts make them. No IO and no clock.

use std::collections::{BTreeSet, HashMap};

use crate::auth::{AddressMark, Role};
use crate::store::{Limit, Membership};
use crate::time::Timestamp;

/// What people are in a room beside what their accounts make them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standings {
    roles: HashMap<String, Role>,
    /// Who may not enter; what is over may be among it.
    bans: HashMap<String, Ban>,
    /// With whose bans an address goes.
    addresses: BTreeSet<(AddressMark, String)>,
}

/// Somebody may not enter.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ban {
    /// `None`: for good.
    until: Option<Timestamp>,
    /// Nor may others who come from there; the last first.
    addresses: Vec<AddressMark>,
}

impl Standings {
    /// Returns what somebody is who comes from some addresses.
    pub(crate) fn of(&self, identity: &str, from: &[AddressMark], now: Timestamp) -> Membership {
        Membership {
            is_member: false,
            role: self.role(identity),
            banned: self.holding(identity, now).is_some(),
            address_banned: from.iter().any(|address| self.is_shut(address, now)),
        }
    }

    /// Returns the addresses that somebody's ban goes with; none when it is over.
    pub(crate) fn addresses_of(&self, identity: &str, now: Timestamp) -> &[AddressMark] {
        let ban = self.holding(identity, now);
        ban.map_or(&[], |ban| ban.addresses.as_slice())
    }

    fn holding(&self, identity: &str, now: Timestamp) -> Option<&Ban> {
        let ban = self.bans.get(identity);
        ban.filter(|ban| holds(ban.until, now))
    }

    fn is_shut(&self, address: &AddressMark, now: Timestamp) -> bool {
        let from = self.addresses.range((address.clone(), String::new())..);
        let of_it = from.take_while(|(it, _)| it == address);
        of_it
            .map(|(_, who)| self.holding(who, now))
            .any(|ban| ban.is_some())
    }

    /// Returns the role that somebody was given here.
    pub(super) fn role(&self, identity: &str) -> Option<Role> {
        self.roles.get(identity).copied()
    }

    /// Returns how many were given a role.
    pub(super) fn roles(&self) -> usize {
        self.roles.len()
    }

    /// Returns how many may not enter.
    pub(super) fn bans(&self) -> usize {
        self.bans.len()
    }

    pub(super) fn give(&mut self, identity: &str, role: Option<Role>) {
        match role {
            Some(role) => self.roles.insert(identity.to_owned(), role),
            None => self.roles.remove(identity),
        };
    }

    /// Shuts somebody out, in place of what shut them out before.
    pub(super) fn ban(&mut self, limit: &Limit) {
        let who = &limit.who.id;
        self.lift(who);
        let addresses = limit.addresses.iter().cloned();
        self.addresses.extend(addresses.map(|it| (it, who.clone())));
        let ban = Ban {
            until: limit.until,
            addresses: limit.addresses.clone(),
        };
        self.bans.insert(who.clone(), ban);
    }

    pub(super) fn lift(&mut self, identity: &str) {
        let lifted = self.bans.remove(identity);
        for address in lifted.into_iter().flat_map(|ban| ban.addresses) {
            self.addresses.remove(&(address, identity.to_owned()));
        }
    }
}

/// Returns whether what ends then goes on.
pub(super) fn holds(until: Option<Timestamp>, now: Timestamp) -> bool {
    until.is_none_or(|until| until > now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{LimitKind, User};

    fn ban(who: &str, until: Option<i64>, addresses: &[AddressMark]) -> Limit {
        Limit {
            kind: LimitKind::Ban,
            who: User {
                id: who.to_owned(),
                name: String::new(),
            },
            reason: None,
            until: until.map(Timestamp::from_millis),
            addresses: addresses.to_vec(),
        }
    }

    #[test]
    fn an_address_is_shut_while_one_ban_holds_that_goes_with_it() {
        let [here, there] = ["aa", "ab"].map(AddressMark::stored);
        let mut standings = Standings::default();
        standings.ban(&ban("bob", Some(100), &[here.clone(), there.clone()]));
        standings.ban(&ban("cy", Some(200), std::slice::from_ref(&here)));
        let shut = |standings: &Standings, address: &AddressMark, at| {
            let now = Timestamp::from_millis(at);
            let from = std::slice::from_ref(address);
            standings.of("dee", from, now).address_banned
        };
        assert!(shut(&standings, &here, 99) && shut(&standings, &there, 99));
        assert!(shut(&standings, &here, 100) && !shut(&standings, &there, 100));
        assert!(!shut(&standings, &here, 200));
        standings.lift("cy");
        assert!(shut(&standings, &here, 99) && !shut(&standings, &here, 100));
        // Another ban of the same person takes the place of the first, with what it goes with.
        standings.ban(&ban("bob", None, std::slice::from_ref(&there)));
        assert!(!shut(&standings, &here, 99) && shut(&standings, &there, 300));
        let now = Timestamp::from_millis(300);
        assert_eq!(standings.addresses_of("bob", now), [there]);
        standings.lift("bob");
        assert_eq!(standings, Standings::default());
    }

    #[test]
    fn the_addresses_of_a_ban_that_is_over_are_not_known_any_more() {
        let mut standings = Standings::default();
        standings.ban(&ban("bob", Some(100), &[AddressMark::stored("aa")]));
        let at = |millis| Timestamp::from_millis(millis);
        assert_eq!(standings.addresses_of("bob", at(99)).len(), 1);
        assert_eq!(standings.addresses_of("bob", at(100)), []);
    }
}
