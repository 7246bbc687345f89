//! Whom the relay sends to: Klieg's own media, what the operator names, and only where that is wished the internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Whom clients may reach through the relay.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// Where Klieg takes media, as clients are told it.
    pub media: Vec<SocketAddr>,
    /// Other peers that the operator names, whatever range they are in.
    pub allowed: Vec<SocketAddr>,
    /// Whether everybody on the internet may be reached.
    pub public: bool,
}

impl Peers {
    /// Returns whether datagrams may go there, and be taken from there.
    pub(crate) fn permits(&self, peer: SocketAddr) -> bool {
        self.is_named(peer) || (peer.port() != 0 && self.permits_stranger(peer.ip()))
    }

    /// Returns whether a permission for the address can be had; its port is looked at with each datagram, since a
    /// permission has none (RFC 8656, section 9).
    pub(crate) fn permits_address(&self, address: IpAddr) -> bool {
        self.names(address) || self.permits_stranger(address)
    }

    /// Returns whether the address is one of Klieg's media, or the operator's.
    pub(crate) fn names(&self, address: IpAddr) -> bool {
        self.named().any(|peer| peer.ip() == address)
    }

    fn is_named(&self, peer: SocketAddr) -> bool {
        // Ports and addresses alone: an address of IPv6 may come with a scope.
        self.named()
            .any(|named| (named.ip(), named.port()) == (peer.ip(), peer.port()))
    }

    fn named(&self) -> impl Iterator<Item = &SocketAddr> {
        self.media.iter().chain(&self.allowed)
    }

    /// An address that is named is reached at the ports that are named alone: what else is there is no business of who
    /// comes through the relay.
    fn permits_stranger(&self, address: IpAddr) -> bool {
        self.public && is_public(address) && !self.names(address)
    }
}

/// Returns whether an address is one of the internet's. What carries an address of IPv4 within (mapped, NAT64, 6to4,
/// Teredo; ISATAP, RFC 5214, section 6.1) is none: it would be another way to write those that are refused.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !in_any(address.to_bits().into(), 32, RESERVED_V4, Ipv4Addr::to_bits)
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            // Everything that was ever given out (RFC 4291, section 2.4).
            let is_isatap = (bits >> 32) & 0xfdff_ffff == 0x5efe;
            bits >> 125 == 0b001 && !is_isatap && !in_any(bits, 128, RESERVED_V6, Ipv6Addr::to_bits)
        }
    }
}

fn in_any<A: Copy, B: Into<u128>>(
    bits: u128,
    width: u32,
    ranges: &[(A, u32)],
    to_bits: fn(A) -> B,
) -> bool {
    ranges.iter().any(|&(network, length)| {
        let network: u128 = to_bits(network).into();
        bits >> (width - length) == network >> (width - length)
    })
}

/// The IANA IPv4 Special-Purpose Address Registry (RFC 6890), and multicast.
const RESERVED_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(192, 175, 48, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    // With the address of broadcast.
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// What the IANA IPv6 Special-Purpose Address Registry has within `2000::/3`.
const RESERVED_V6: &[(Ipv6Addr, u32)] = &[
    // Teredo, benchmarks, ORCHID and other assignments of the IETF.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns one address of each reserved range, its edges, and the same in other notations.
    pub(crate) fn refused() -> impl Iterator<Item = &'static str> {
        let lines = include_str!("../../tests/refused.txt").lines();
        lines.filter(|line| !line.starts_with('#'))
    }

    const PUBLIC: &[&str] = &[
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "198.17.255.255",
        "223.255.255.255",
        "2600::1",
        "2001:4860:4860::8888",
        "2a00:1450::1",
    ];

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn reserved_ranges_are_refused_in_every_notation_and_the_internet_is_where_it_is_wished() {
        let public = Peers {
            public: true,
            ..Peers::default()
        };
        let media_alone = Peers::default();
        for text in refused() {
            assert!(!public.permits_address(address(text)), "{text}");
            assert!(!public.permits(SocketAddr::new(address(text), 9)), "{text}");
        }
        for text in PUBLIC {
            let peer = SocketAddr::new(address(text), 9);
            assert!(
                public.permits(peer) && public.permits_address(peer.ip()),
                "{text}"
            );
            assert!(!media_alone.permits(peer), "{text}");
            assert!(!public.permits(SocketAddr::new(peer.ip(), 0)), "{text}");
        }
    }

    #[test]
    fn media_is_reached_at_its_port_alone_even_where_the_internet_is_open() {
        let media: SocketAddr = "8.8.8.8:7882".parse().unwrap();
        for public in [false, true] {
            let peers = Peers {
                media: vec![media],
                allowed: ["127.0.0.1:3480", "9.9.9.9:53"]
                    .map(|it| it.parse().unwrap())
                    .into(),
                public,
            };
            assert!(peers.permits(media) && peers.permits("9.9.9.9:53".parse().unwrap()));
            assert!(!peers.permits("9.9.9.9:22".parse().unwrap()));
            assert!(peers.permits("127.0.0.1:3480".parse().unwrap()));
            assert!(!peers.permits("8.8.8.8:22".parse().unwrap()));
            assert!(!peers.permits("127.0.0.1:22".parse().unwrap()));
            assert!(!peers.permits("[::ffff:8.8.8.8]:7882".parse().unwrap()));
            assert!(!peers.permits("[64:ff9b::808:808]:7882".parse().unwrap()));
        }
    }
}
