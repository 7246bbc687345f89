//! From which addresses those came who have left one room: who is shut out may be gone already.

use std::collections::{BTreeMap, HashMap};

use crate::auth::AddressMark;
use crate::store::MAX_BAN_ADDRESSES;

/// Whence the last [`MAX_DEPARTED`] came who left, where bans go with addresses.
#[derive(Debug, Default)]
pub(super) struct Departed {
    people: HashMap<String, Person>,
    /// Who left when: those first who are forgotten first.
    order: BTreeMap<u64, String>,
    /// How many times somebody has left.
    count: u64,
}

/// Somebody who left.
#[derive(Debug)]
struct Person {
    /// As which in number.
    left: u64,
    /// The last first.
    from: Vec<AddressMark>,
}

impl Departed {
    /// Takes note of whence somebody came who leaves, the last first.
    pub(super) fn note(&mut self, identity: &str, from: Vec<AddressMark>) {
        if from.is_empty() {
            return;
        }
        let before = self.people.remove(identity);
        if let Some(before) = &before {
            self.order.remove(&before.left);
        }
        if self.people.len() >= MAX_DEPARTED
            && let Some((_, first)) = self.order.pop_first()
        {
            self.people.remove(&first);
        }
        self.count += 1;
        let left = self.count;
        let before = before.into_iter().flat_map(|before| before.from);
        let from = last(from.into_iter().chain(before));
        self.order.insert(left, identity.to_owned());
        let person = Person { left, from };
        self.people.insert(identity.to_owned(), person);
    }

    /// Returns the addresses that somebody came from, the last first.
    pub(super) fn of(&self, identity: &str) -> &[AddressMark] {
        let person = self.people.get(identity);
        person.map_or(&[], |person| person.from.as_slice())
    }
}

/// Takes so many as one ban goes with of addresses that begin with the last; each once.
pub(super) fn last(addresses: impl Iterator<Item = AddressMark>) -> Vec<AddressMark> {
    let mut last = Vec::new();
    for address in addresses {
        if !last.contains(&address) {
            last.push(address);
        }
        if last.len() == MAX_BAN_ADDRESSES {
            break;
        }
    }
    last
}

/// Some 300 bytes each, and only where bans go with addresses.
const MAX_DEPARTED: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: usize) -> AddressMark {
        AddressMark::stored(&format!("{number:032x}"))
    }

    #[test]
    fn the_last_addresses_of_somebody_are_known_the_last_first() {
        let mut departed = Departed::default();
        for number in [5, 1, 9, 3, 1] {
            departed.note("bob", vec![address(number)]);
            departed.note("cy", vec![address(7)]);
        }
        assert_eq!(departed.of("bob"), [1, 3, 9, 5].map(address));
        departed.note("bob", vec![address(2), address(8)]);
        departed.note("bob", Vec::new());
        assert_eq!(departed.of("bob"), [2, 8, 1, 3].map(address));
        assert_eq!(departed.of("cy"), [address(7)]);
        assert_eq!((departed.people.len(), departed.order.len()), (2, 2));
    }

    #[test]
    fn those_who_left_first_are_forgotten_first_and_who_comes_and_goes_drives_nobody_out() {
        let mut departed = Departed::default();
        for number in 0..MAX_DEPARTED {
            departed.note(&format!("guest-{number}"), vec![address(0)]);
        }
        for _ in 0..10 {
            departed.note("guest-7", vec![address(1)]);
        }
        assert_eq!(departed.of("guest-0"), [address(0)]);
        departed.note("one more", vec![address(0)]);
        assert_eq!(departed.of("guest-0"), []);
        assert_eq!(departed.of("guest-1"), [address(0)]);
        assert_eq!(departed.people.len(), MAX_DEPARTED);
        assert_eq!(departed.order.len(), MAX_DEPARTED);
    }
}
