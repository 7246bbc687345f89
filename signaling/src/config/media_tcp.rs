//! Where media comes and goes by TCP, as operators write it.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use klieg_sfu::TcpListen;
use serde::{Deserialize, Serialize};

/// Where clients come by TCP whose network lets no UDP pass (RFC 6544).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum MediaTcp {
    /// On the address and the port's number of UDP.
    Auto,
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
}

/// The text names no such place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected auto, off, or an address and a port: 0.0.0.0:7882")]
pub struct NoPlace;

impl MediaTcp {
    /// Returns where that is, beside the place of UDP; `None` where it is switched off.
    pub(crate) fn beside(self, udp: SocketAddr) -> Option<SocketAddr> {
        match self {
            Self::Auto => Some(udp),
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }
}

impl From<MediaTcp> for TcpListen {
    fn from(media_tcp: MediaTcp) -> Self {
        match media_tcp {
            MediaTcp::Auto => Self::WithUdp,
            MediaTcp::Off => Self::Off,
            MediaTcp::At(address) => Self::At(address),
        }
    }
}

impl FromStr for MediaTcp {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            address => address.parse().map(Self::At).map_err(|_| NoPlace),
        }
    }
}

impl TryFrom<String> for MediaTcp {
    type Error = NoPlace;

    fn try_from(text: String) -> Result<Self, NoPlace> {
        text.parse()
    }
}

impl From<MediaTcp> for String {
    fn from(media_tcp: MediaTcp) -> Self {
        media_tcp.to_string()
    }
}

impl fmt::Display for MediaTcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_beside_udp_nowhere_or_where_it_is_told_to_be() {
        let udp: SocketAddr = "0.0.0.0:7882".parse().unwrap();
        for (text, place) in [
            ("auto", Some(udp)),
            ("off", None),
            ("[::]:443", Some("[::]:443".parse().unwrap())),
        ] {
            let read: MediaTcp = text.parse().unwrap();
            assert_eq!(read.beside(udp), place);
            assert_eq!(read.to_string(), text);
        }
        for text in ["", "on", "7882", "host:7882", "Auto"] {
            assert_eq!(text.parse::<MediaTcp>(), Err(NoPlace), "{text}");
        }
    }
}
