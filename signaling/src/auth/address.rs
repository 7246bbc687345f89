//! Addresses as a room knows them: the same one is known again, and nobody reads from its mark which one it is.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use super::{Secret, hex};
use crate::id::RoomId;

/// An address in a room, as the database and join tokens have it: in lower-case hexadecimal, the first half of an HMAC.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct AddressMark(String);

impl AddressMark {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes one up that was stored.
    pub(crate) fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Where somebody comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Whence {
    /// The network that one client has to itself; `None` where it is not asked, or no more is known than a proxy of ours.
    pub(crate) network: Option<IpAddr>,
    /// Where the join token was asked for that they show; `None` without one, and where bans went with no addresses then.
    pub(crate) token: Option<AddressMark>,
}

/// Marks addresses, while the settings say that bans go with them.
#[derive(Debug)]
pub(crate) struct Addresses {
    key: hmac::Key,
    /// `ban_addresses` as it is now.
    heeded: AtomicBool,
}

impl Addresses {
    /// Takes the secret of this server, and of all on the same database: who has the database alone cannot try out which
    /// addresses the marks are of.
    pub(crate) fn new(secret: &Secret, heeded: bool) -> Self {
        let secret = secret.expose().as_bytes();
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            heeded: AtomicBool::new(heeded),
        }
    }

    /// Says from now on whether bans go with addresses.
    pub(crate) fn heed(&self, heeded: bool) {
        self.heeded.store(heeded, Ordering::Relaxed);
    }

    /// Returns whether bans go with addresses.
    pub(crate) fn are_heeded(&self) -> bool {
        self.heeded.load(Ordering::Relaxed)
    }

    /// Marks where somebody comes from for a room: first whence they come now, then whence they asked for their token. None
    /// where bans do not go with that.
    pub(crate) fn marks(&self, room: &RoomId, whence: &Whence) -> Vec<AddressMark> {
        if !self.are_heeded() {
            return Vec::new();
        }
        let network = whence.network.map(|network| self.mark(room, network));
        let mut marks: Vec<_> = network.into_iter().chain(whence.token.clone()).collect();
        marks.dedup();
        marks
    }

    /// Another room has another mark for the same network.
    fn mark(&self, room: &RoomId, network: IpAddr) -> AddressMark {
        // No id of a room has a line's end in it.
        let text = format!("address\n{room}\n{network}");
        let tag = hmac::sign(&self.key, text.as_bytes());
        AddressMark(hex(&tag.as_ref()[..16]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(network: &str) -> Whence {
        Whence {
            network: network.parse().ok(),
            token: None,
        }
    }

    #[test]
    fn a_mark_is_of_one_address_one_room_and_one_server() {
        let [here, there] =
            ["a secret", "another"].map(|it| Addresses::new(&Secret::new(it), true));
        let [one, other] = ["one", "other"].map(|id| RoomId::parse(id).unwrap());
        let [ann, bob] = ["192.0.2.1", "192.0.2.2"].map(from);
        let mark = here.marks(&one, &ann);
        assert_eq!(here.marks(&one, &ann), mark);
        let others = [
            here.marks(&one, &bob),
            here.marks(&other, &ann),
            there.marks(&one, &ann),
        ];
        for another in others {
            assert_ne!(another, mark);
        }
        assert!(!mark[0].as_str().contains("192"));
        assert_eq!(mark[0].as_str().len(), 32);
    }

    #[test]
    fn where_the_token_was_asked_for_counts_too_and_nothing_where_addresses_are_not_heeded() {
        let addresses = Addresses::new(&Secret::new("secret"), true);
        let room = RoomId::parse("room").unwrap();
        let [ann, bob] = ["192.0.2.1", "192.0.2.2"].map(|it| addresses.marks(&room, &from(it)));
        let with_token = |network, token: &[AddressMark]| Whence {
            token: token.first().cloned(),
            ..from(network)
        };
        let both = addresses.marks(&room, &with_token("192.0.2.1", &bob));
        assert_eq!(both, [ann.clone(), bob].concat());
        let same = addresses.marks(&room, &with_token("192.0.2.1", &ann));
        assert_eq!(same, ann);
        addresses.heed(false);
        assert_eq!(addresses.marks(&room, &with_token("192.0.2.1", &ann)), []);
    }
}
