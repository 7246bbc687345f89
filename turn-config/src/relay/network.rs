//! Whom an address belongs to, as far as it shows.

use std::net::{IpAddr, Ipv6Addr};

/// Returns what one customer of a network has: an address, or 2^64 of IPv6.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Returns the site that a network is of: an address, or what one is given of IPv6 at most (RFC 6177: 2^80).
pub(crate) fn site(network: IpAddr) -> IpAddr {
    match network {
        IpAddr::V4(_) => network,
        IpAddr::V6(network) => {
            let [a, b, c, ..] = network.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_address_or_a_customer_of_ipv6() {
        let text = |address: &str| network(address.parse().unwrap()).to_string();
        assert_eq!(text("192.0.2.7"), "192.0.2.7");
        assert_eq!(text("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(text("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        let site = |address: &str| site(address.parse().unwrap()).to_string();
        assert_eq!(site("192.0.2.7"), "192.0.2.7");
        assert_eq!(site("2001:db8:1:2::"), "2001:db8:1::");
    }
}
