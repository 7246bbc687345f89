//! The way from the relay to Klieg's own media socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// One of the addresses at which clients are told to find media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// As clients are told it.
    pub(super) told: SocketAddr,
    /// Where it is reached from this machine: a public address that a router forwards is none of it.
    pub(super) via: SocketAddr,
}

impl Path {
    /// Finds the ways to a media socket that is bound to an address.
    pub(super) fn all(told: &[SocketAddr], bound: IpAddr) -> Vec<Self> {
        let paths = told.iter().map(|&told| Self {
            told,
            via: SocketAddr::new(via(told.ip(), bound, has_interface), told.port()),
        });
        paths.collect()
    }
}

fn via(told: IpAddr, bound: IpAddr, is_ours: fn(IpAddr) -> bool) -> IpAddr {
    if is_ours(told) {
        return told;
    }
    if !bound.is_unspecified() && bound.is_ipv4() == told.is_ipv4() {
        return bound;
    }
    match told {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

fn has_interface(address: IpAddr) -> bool {
    is_ours(address).unwrap_or(false)
}

/// Returns whether an interface of this machine has the address. Connecting a UDP socket sends nothing: the kernel chooses
/// from where it would, and what goes to an address of its own goes from that. (To bind it is no proof: a system may let
/// any address be bound.)
///
/// # Errors
/// There is no way there, or no socket to be had.
pub(super) fn is_ours(address: IpAddr) -> io::Result<bool> {
    if address.is_loopback() {
        return Ok(true);
    }
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((address, DISCARD))?;
    Ok(socket.local_addr()?.ip() == address)
}

/// Any port would do.
const DISCARD: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_a_router_forwards_is_reached_without_the_router() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let is_ours = |address: IpAddr| address.is_loopback() || address.to_string() == "10.0.0.7";
        for (told, bound, expected) in [
            ("10.0.0.7", "0.0.0.0", "10.0.0.7"),
            ("203.0.113.7", "0.0.0.0", "127.0.0.1"),
            ("203.0.113.7", "::", "127.0.0.1"),
            ("203.0.113.7", "10.0.0.7", "10.0.0.7"),
            ("2001:db8::7", "10.0.0.7", "::1"),
            ("127.0.0.1", "0.0.0.0", "127.0.0.1"),
        ] {
            assert_eq!(via(ip(told), ip(bound), is_ours), ip(expected), "{told}");
        }
    }

    #[test]
    fn addresses_of_this_machine_are_known_and_others_are_none() {
        for text in ["127.0.0.1", "127.0.0.2", "::1"] {
            assert!(is_ours(text.parse().unwrap()).unwrap(), "{text}");
        }
        // There may be no way there at all.
        for text in ["192.0.2.1", "2001:db8::1"] {
            assert!(!has_interface(text.parse().unwrap()), "{text}");
        }
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        if socket.connect("192.0.2.1:9").is_ok() {
            let own = socket.local_addr().unwrap().ip();
            assert!(is_ours(own).unwrap(), "{own}");
        }
    }
}
