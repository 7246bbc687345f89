//! STUN and TURN URLs (RFC 7064, section 3.1, and RFC 7065, section 3.1).

use std::fmt;
use std::net::Ipv6Addr;

/// The four schemes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// STUN over UDP.
    Stun,
    /// STUN over TLS.
    Stuns,
    /// TURN over UDP or TCP.
    Turn,
    /// TURN over TLS.
    Turns,
}

impl Scheme {
    fn parse(text: &str) -> Option<Self> {
        [Self::Stun, Self::Stuns, Self::Turn, Self::Turns]
            .into_iter()
            .find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Stun => "stun",
            Self::Stuns => "stuns",
            Self::Turn => "turn",
            Self::Turns => "turns",
        }
    }

    fn takes_transport(self) -> bool {
        matches!(self, Self::Turn | Self::Turns)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No colon, or none of the four schemes before it.
    #[error("it does not start with stun:, stuns:, turn: or turns:")]
    Scheme,
    /// A scheme that belongs into another list.
    #[error("the scheme is {0}, expected {1}")]
    WrongScheme(&'static str, &'static str),
    /// These URLs have no authority part.
    #[error("there is no // after the scheme: write {0}:host:port")]
    Slashes(&'static str),
    /// Neither a DNS name, an IPv4 address nor an IPv6 address in brackets.
    #[error("{0:?} is not a host name or address (IPv6 goes in brackets)")]
    Host(String),
    /// The port is not a number from 1 to 65535.
    #[error("port {0:?} is not a number from 1 to 65535")]
    Port(String),
    /// A query other than a transport of TURN.
    #[error("{0:?} is not understood: only turn and turns take ?transport=udp or ?transport=tcp")]
    Query(String),
}

/// Checks `text` against the grammar and the schemes that its list is for.
pub(crate) fn parse(text: &str, expected: &'static [Scheme]) -> Result<Scheme, UrlError> {
    let (scheme, rest) = text.split_once(':').ok_or(UrlError::Scheme)?;
    let scheme = Scheme::parse(scheme).ok_or(UrlError::Scheme)?;
    if !expected.contains(&scheme) {
        let wanted = if scheme.takes_transport() {
            "stun or stuns"
        } else {
            "turn or turns"
        };
        return Err(UrlError::WrongScheme(scheme.as_str(), wanted));
    }
    if rest.starts_with("//") {
        return Err(UrlError::Slashes(scheme.as_str()));
    }
    let (authority, query) = match rest.split_once('?') {
        Some((authority, query)) => (authority, Some(query)),
        None => (rest, None),
    };
    check_authority(authority)?;
    match query {
        None => Ok(scheme),
        Some("transport=udp" | "transport=tcp") if scheme.takes_transport() => Ok(scheme),
        Some(other) => Err(UrlError::Query(format!("?{other}"))),
    }
}

fn check_authority(authority: &str) -> Result<(), UrlError> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let bad_host = || UrlError::Host(authority.into());
        let (address, port) = bracketed.split_once(']').ok_or_else(bad_host)?;
        address.parse::<Ipv6Addr>().map_err(|_| bad_host())?;
        return match port.strip_prefix(':') {
            Some(port) => check_port(port),
            None if port.is_empty() => Ok(()),
            None => Err(bad_host()),
        };
    }
    let (host, port) = match authority.split_once(':') {
        // A second colon can only be an IPv6 address without its brackets.
        Some((_, port)) if port.contains(':') => return Err(UrlError::Host(authority.into())),
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let valid = !host.is_empty() && host.len() <= 253 && host.split('.').all(is_label);
    if !valid {
        return Err(UrlError::Host(host.into()));
    }
    port.map_or(Ok(()), check_port)
}

/// One part of a DNS name (RFC 1123, section 2.1); IPv4 addresses consist of such parts too.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn check_port(text: &str) -> Result<(), UrlError> {
    // `u16::from_str` would take a sign.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(1..) if digits => Ok(()),
        _ => Err(UrlError::Port(text.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[Scheme] = &[Scheme::Stun, Scheme::Stuns, Scheme::Turn, Scheme::Turns];

    #[test]
    fn urls_of_every_form_are_read() {
        for url in [
            "stun:stun.example.org",
            "STUN:stun.example.org:3478",
            "stuns:192.0.2.1:5349",
            "turn:turn.example.org?transport=udp",
            "turn:[2001:db8::1]:3478?transport=tcp",
            "turns:[2001:db8::1]",
            "turns:turn-1.example.org:443?transport=tcp",
        ] {
            assert!(parse(url, ALL).is_ok(), "{url}");
        }
    }

    #[test]
    fn each_mistake_is_named() {
        for (url, expected) in [
            ("", UrlError::Scheme),
            ("turn.example.org", UrlError::Scheme),
            ("https:turn.example.org", UrlError::Scheme),
            ("turn://turn.example.org", UrlError::Slashes("turn")),
            ("turn:", UrlError::Host(String::new())),
            ("turn:a..b", UrlError::Host("a..b".into())),
            ("turn:user@host", UrlError::Host("user@host".into())),
            ("turn:-a.example", UrlError::Host("-a.example".into())),
            ("turn:2001:db8::1", UrlError::Host("2001:db8::1".into())),
            ("turn:[2001:db8::1", UrlError::Host("[2001:db8::1".into())),
            ("turn:[::1]3478", UrlError::Host("[::1]3478".into())),
            ("turn:host:0", UrlError::Port("0".into())),
            ("turn:host:+80", UrlError::Port("+80".into())),
            ("turn:host:65536", UrlError::Port("65536".into())),
            ("turn:host:", UrlError::Port(String::new())),
            (
                "turn:host?transport=sctp",
                UrlError::Query("?transport=sctp".into()),
            ),
            (
                "stun:host?transport=udp",
                UrlError::Query("?transport=udp".into()),
            ),
        ] {
            assert_eq!(parse(url, ALL), Err(expected), "{url}");
        }
    }
}
