//! Where webhooks may go: to addresses of the internet, and to what the operator allows beyond. Whoever may name an
//! endpoint could otherwise have the server ask what only the server reaches (OWASP: server-side request forgery).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use axum::http::Uri;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::config::Network;

/// What an operator allows beyond the internet: a name, whatever it resolves to, or a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Allowed {
    /// A host's name, in lower case.
    Host(String),
    /// Addresses.
    Network(Network),
}

/// The text names neither a host nor a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a host, an address or a network: hooks.internal, 10.0.0.1, fd00::/8")]
pub struct NotAllowed;

/// Why nothing is sent to a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTarget {
    /// It is none, or of another kind.
    #[error("`url` is no URL of a web server.")]
    NoUrl,
    /// It has more characters than allowed.
    #[error("`url` has 2048 characters at most.")]
    TooLong,
    /// It holds what would be written down where it should not be.
    #[error("`url` has no user, no password and no fragment.")]
    Extras,
    /// What is told would be read on the way.
    #[error("`url` begins with https://; the operator can allow others by their names.")]
    Clear,
    /// The address is none of the internet.
    #[error("`url` leads to an address that is not of the internet; the operator can allow it.")]
    Private,
}

impl Allowed {
    /// Returns what leads to this machine.
    pub(crate) fn this_machine() -> Vec<Self> {
        let networks = Network::loopback().into_iter().map(Self::Network);
        [Self::Host("localhost".to_owned())]
            .into_iter()
            .chain(networks)
            .collect()
    }
}

/// Reads a URL in whatever notation (WHATWG), and returns it in the one in which it is connected to.
///
/// # Errors
/// Nothing is sent there. A name may still resolve to what [`may_reach`] refuses.
pub(crate) fn read(text: &str, allowed: &[Allowed]) -> Result<Uri, BadTarget> {
    if text.chars().count() > MAX_URL {
        return Err(BadTarget::TooLong);
    }
    let url = Url::parse(text).map_err(|_| BadTarget::NoUrl)?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(BadTarget::Extras);
    }
    let (named, address) = match url.host().ok_or(BadTarget::NoUrl)? {
        Host::Domain(name) => (has_name(allowed, name), None),
        Host::Ipv4(it) => (has(allowed, it.into()), Some(IpAddr::V4(it))),
        Host::Ipv6(it) => (has(allowed, it.into()), Some(IpAddr::V6(it))),
    };
    match url.scheme() {
        "https" => {}
        "http" if named => {}
        "http" => return Err(BadTarget::Clear),
        _ => return Err(BadTarget::NoUrl),
    }
    if !named && address.is_some_and(|it| !is_public(it)) {
        return Err(BadTarget::Private);
    }
    url.as_str().parse().map_err(|_| BadTarget::NoUrl)
}

/// Returns whether a connection may be made to an address that a name resolved to.
pub(crate) fn may_reach(name: &str, address: IpAddr, allowed: &[Allowed]) -> bool {
    is_public(address) || has(allowed, address) || has_name(allowed, name)
}

fn has_name(allowed: &[Allowed], name: &str) -> bool {
    let name = name.trim_end_matches('.');
    allowed.iter().any(|it| match it {
        Allowed::Host(host) => host.eq_ignore_ascii_case(name),
        Allowed::Network(_) => false,
    })
}

fn has(allowed: &[Allowed], address: IpAddr) -> bool {
    allowed.iter().any(|it| match it {
        Allowed::Host(_) => false,
        Allowed::Network(network) => network.contains(address),
    })
}

/// Returns whether an address is one of the internet: global unicast, and nothing that the registries of special
/// purposes set apart (RFC 6890 and what came after it).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => is_public_v4(it),
        IpAddr::V6(it) => is_public_v6(it),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !SPECIAL_V4.iter().any(|(network, length)| {
        let rest = Ipv4Addr::BITS - length;
        address.to_bits() >> rest == network.to_bits() >> rest
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // The kernel connects to these as to IPv4, and a translator (RFC 6052) does so for these.
    if let Some(inner) = address.to_ipv4_mapped().or_else(|| translated(address)) {
        return is_public_v4(inner);
    }
    let begins = |(network, length): &(Ipv6Addr, u32)| {
        let rest = Ipv6Addr::BITS - length;
        address.to_bits() >> rest == network.to_bits() >> rest
    };
    begins(&(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3)) && !SPECIAL_V6.iter().any(begins)
}

/// Returns the address of IPv4 within one of the well-known prefix of translators.
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    let prefix = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0).to_bits();
    let last = u32::try_from(bits & u128::from(u32::MAX)).unwrap_or_default();
    (bits >> 32 == prefix >> 32).then(|| Ipv4Addr::from_bits(last))
}

impl FromStr for Allowed {
    type Err = NotAllowed;

    fn from_str(text: &str) -> Result<Self, NotAllowed> {
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        match Host::parse(text) {
            Ok(Host::Domain(name)) if !name.contains('*') => {
                Ok(Self::Host(name.trim_end_matches('.').to_owned()))
            }
            Ok(_) | Err(_) => Err(NotAllowed),
        }
    }
}

impl TryFrom<String> for Allowed {
    type Error = NotAllowed;

    fn try_from(text: String) -> Result<Self, NotAllowed> {
        text.parse()
    }
}

impl From<Allowed> for String {
    fn from(allowed: Allowed) -> Self {
        allowed.to_string()
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Network(network) => network.fmt(f),
        }
    }
}

const MAX_URL: usize = 2048;

/// IANA's registry of special-purpose addresses of IPv4, multicast and what is reserved.
const SPECIAL_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// What of the global unicast addresses is not the internet, or leads through a tunnel to what may not be (Teredo, 6to4).
const SPECIAL_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> Option<BadTarget> {
        read(text, &[]).err()
    }

    #[test]
    fn what_is_not_of_the_internet_is_refused_in_every_notation() {
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f.0.0.1",
            "0x7f000001",
            "2130706433",
            "017700000001",
            "0177.0.0.01",
            "127.0.0.1.",
            "１２７.０.０.１",
            "%31%32%37.0.0.1",
            "0",
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.19.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::127.0.0.1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::ffff:10.0.0.1]",
            "[::ffff:0:10.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[64:ff9b::a9fe:a9fe]",
            "[64:ff9b:1::1]",
            "[100::1]",
            "[2001::1]",
            "[2001:db8::1]",
            "[2002:a00:1::1]",
            "[3fff::1]",
            "[5f00::1]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
        ] {
            let url = format!("https://{host}/hook");
            assert_eq!(refused(&url), Some(BadTarget::Private), "{url}");
        }
    }

    #[test]
    fn what_is_of_the_internet_is_taken() {
        for (url, taken) in [
            ("https://Example.COM", "https://example.com/"),
            ("https://1.1.1.1:8443/x?y=z", "https://1.1.1.1:8443/x?y=z"),
            ("https://16843009/", "https://1.1.1.1/"),
            (
                "https://[2606:4700:4700::1111]/",
                "https://[2606:4700:4700::1111]/",
            ),
            ("https://[::ffff:1.1.1.1]/", "https://[::ffff:101:101]/"),
            ("https://[64:ff9b::1.1.1.1]/", "https://[64:ff9b::101:101]/"),
            (
                "https://bücher.example/a b",
                "https://xn--bcher-kva.example/a%20b",
            ),
        ] {
            assert_eq!(read(url, &[]).unwrap().to_string(), taken);
        }
    }

    #[test]
    fn what_is_no_url_for_us_is_refused() {
        let long = format!("https://example.com/{}", "x".repeat(MAX_URL));
        for (url, why) in [
            ("", BadTarget::NoUrl),
            ("example.com/hook", BadTarget::NoUrl),
            ("file:///etc/passwd", BadTarget::NoUrl),
            ("ftp://example.com/", BadTarget::NoUrl),
            ("gopher://example.com/", BadTarget::NoUrl),
            ("https://", BadTarget::NoUrl),
            ("http://example.com/", BadTarget::Clear),
            ("http://127.0.0.1/", BadTarget::Clear),
            ("https://a:b@example.com/", BadTarget::Extras),
            ("https://127.0.0.1@example.com/", BadTarget::Extras),
            ("https://example.com/#x", BadTarget::Extras),
            (&long, BadTarget::TooLong),
        ] {
            assert_eq!(refused(url), Some(why), "{url}");
        }
    }

    #[test]
    fn what_the_operator_allows_is_reached_also_in_the_clear() {
        let allowed = ["hooks.internal", "10.1.0.0/16", "::1"];
        let allowed = allowed.map(|text| text.parse().unwrap());
        for (url, good) in [
            ("http://hooks.internal:9000/", true),
            ("http://HOOKS.internal./", true),
            ("http://10.1.2.3/", true),
            ("http://[::1]/", true),
            ("http://[::ffff:10.1.2.3]/", true),
            ("https://10.2.0.1/", false),
            ("http://other.internal/", false),
        ] {
            assert_eq!(read(url, &allowed).is_ok(), good, "{url}");
        }
        for (name, address, good) in [
            ("hooks.internal", "192.168.0.1", true),
            ("hooks.internal.", "192.168.0.1", true),
            ("evil.example", "192.168.0.1", false),
            ("evil.example", "10.1.0.1", true),
            ("good.example", "1.1.1.1", true),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(may_reach(name, address, &allowed), good, "{name}");
        }
        for text in ["", "*.internal", "a b", "10.0.0.0/33", "http://x"] {
            assert_eq!(text.parse::<Allowed>(), Err(NotAllowed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_nothing_private_is_taken(
            scheme in "(?i)https?", host in "[0-9a-fxA-FX.:%\\[\\]]{1,24}", rest in ".{0,8}",
        ) {
            if let Ok(uri) = read(&format!("{scheme}://{host}{rest}"), &[]) {
                let host = uri.host().unwrap().trim_matches(['[', ']']);
                if let Ok(address) = host.parse() {
                    prop_assert!(is_public(address), "{}", uri);
                }
            }
        }

        #[test]
        fn an_address_within_another_is_judged_like_itself(bits: u32) {
            let inner = Ipv4Addr::from_bits(bits);
            let mapped = inner.to_ipv6_mapped();
            let prefix = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0).to_bits();
            let translated = Ipv6Addr::from_bits(prefix | u128::from(bits));
            for outer in [mapped, translated] {
                prop_assert_eq!(is_public_v4(inner), is_public_v6(outer));
            }
        }
    }
}
