//! Networks of IP addresses, as operators write them: an address, or with a length behind it (RFC 4632, RFC 4291).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    /// Any of them.
    address: IpAddr,
    /// How many bits are the same.
    length: u8,
}

/// The text names no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address or a network: 10.0.0.1, 10.0.0.0/8, fd00::/8")]
pub struct NoNetwork;

impl Network {
    /// Returns those of this machine.
    pub(crate) fn loopback() -> Vec<Self> {
        let (v4, v6) = (Ipv4Addr::new(127, 0, 0, 0), Ipv6Addr::LOCALHOST);
        let network = |address, length| Self { address, length };
        vec![network(v4.into(), 8), network(v6.into(), 128)]
    }

    /// Returns whether an address is one of them; those of IPv4 within IPv6 are of IPv4.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        let (own, own_width) = bits(self.address);
        let (other, other_width) = bits(address);
        let rest = own_width - u32::from(self.length);
        // Shifting out all bits is no shift.
        own_width == other_width && (own ^ other).checked_shr(rest).unwrap_or(0) == 0
    }
}

/// Returns the bits of an address, and how many they are.
fn bits(address: IpAddr) -> (u128, u32) {
    match address.to_canonical() {
        IpAddr::V4(it) => (it.to_bits().into(), Ipv4Addr::BITS),
        IpAddr::V6(it) => (it.to_bits(), Ipv6Addr::BITS),
    }
}

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NoNetwork)?;
        let address = address.to_canonical();
        let (_, width) = bits(address);
        let length = length
            .map_or(Ok(width), str::parse)
            .map_err(|_| NoNetwork)?;
        let length = u8::try_from(length).map_err(|_| NoNetwork)?;
        if u32::from(length) > width {
            return Err(NoNetwork);
        }
        Ok(Self { address, length })
    }
}

impl TryFrom<String> for Network {
    type Error = NoNetwork;

    fn try_from(text: String) -> Result<Self, NoNetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, length } = self;
        if u32::from(*length) == bits(*address).1 {
            return write!(f, "{address}");
        }
        write!(f, "{address}/{length}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_address_or_all_that_begin_like_it() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"),
            ("192.0.2.128/25", "192.0.2.255", "192.0.2.127"),
            ("0.0.0.0/0", "203.0.113.7", "::1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::/0", "2001:db8::1", "203.0.113.7"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{network}");
            assert!(!network.contains(outside.parse().unwrap()), "{network}");
            assert_eq!(network.to_string().parse(), Ok(network));
        }
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/-1",
            "10/8",
            "proxy",
            "10.0.0.1/",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NoNetwork), "{text}");
        }
    }
}
