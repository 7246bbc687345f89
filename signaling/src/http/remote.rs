//! Where a request comes from, seen through the proxies of this server.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::app::App;
use crate::config::Network;
use crate::error::ApiError;

/// The network that one client has to itself: an address of IPv4, or the first 64 bits of one of IPv6.
pub(crate) struct RemoteNetwork(pub(crate) IpAddr);

impl FromRequestParts<Arc<App>> for RemoteNetwork {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let connected = ConnectInfo::<SocketAddr>::from_request_parts(parts, app).await;
        let ConnectInfo(remote) = connected.map_err(ApiError::internal)?;
        let proxies = &app.live().trusted_proxies;
        Ok(Self(network(client(remote.ip(), &parts.headers, proxies))))
    }
}

/// As [`RemoteNetwork`]; `None` where no more is known than a proxy of ours, behind which everybody may be.
pub(crate) struct ClientNetwork(pub(crate) Option<IpAddr>);

impl FromRequestParts<Arc<App>> for ClientNetwork {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let connected = ConnectInfo::<SocketAddr>::from_request_parts(parts, app).await;
        let ConnectInfo(remote) = connected.map_err(ApiError::internal)?;
        let proxies = &app.live().trusted_proxies;
        let address = client(remote.ip(), &parts.headers, proxies);
        Ok(Self(network_beyond(address, proxies)))
    }
}

/// Returns the network of an address that is none of our proxies'.
pub(super) fn network_beyond(address: IpAddr, proxies: &[Network]) -> Option<IpAddr> {
    let is_ours = proxies.iter().any(|it| it.contains(address));
    (!is_ours).then(|| network(address))
}

/// Returns the client's address. Of a proxy of ours `X-Forwarded-For` says for whom it asks; what comes from elsewhere
/// could say anything, and is not heeded.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let is_ours = |address: IpAddr| proxies.iter().any(|it| it.contains(address));
    let peer = peer.to_canonical();
    if !is_ours(peer) {
        return peer;
    }
    // Each proxy adds at the end: the last address that is no proxy of ours is the client's.
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let said = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    let mut nearest = None;
    for address in said.map_while(address) {
        if !is_ours(address) {
            return address;
        }
        nearest = nearest.or(Some(address));
    }
    nearest.unwrap_or(peer)
}

/// Reads an address; some proxies add the port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    let address = text.parse().ok().or_else(with_port)?;
    Some(address.to_canonical())
}

/// Returns the network that a client has to itself.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(it) => Ipv6Addr::from_bits(it.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn from(peer: &str, said: &[&'static str]) -> String {
        let lines = said.iter().map(|line| HeaderValue::from_static(line));
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line);
        }
        let proxies = ["127.0.0.0/8", "::1", "10.0.0.0/24"].map(|it| it.parse().unwrap());
        network(client(peer.parse().unwrap(), &headers, &proxies)).to_string()
    }

    #[test]
    fn who_comes_straight_is_not_asked_for_whom() {
        assert_eq!(from("203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
        assert_eq!(from("::ffff:203.0.113.7", &[]), "203.0.113.7");
        // A network of one's own is no reason to be believed.
        assert_eq!(from("192.168.1.8", &["198.51.100.1"]), "192.168.1.8");
        assert_eq!(from("10.0.1.2", &["198.51.100.1"]), "10.0.1.2");
        assert_eq!(from("127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn proxies_say_for_whom_they_ask_and_what_clients_say_before_them_counts_for_nothing() {
        assert_eq!(from("127.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            from("10.0.0.2", &["1.1.1.1, 198.51.100.1, 10.0.0.9"]),
            "198.51.100.1"
        );
        assert_eq!(
            from("::1", &["1.1.1.1", "198.51.100.1:4711"]),
            "198.51.100.1"
        );
        assert_eq!(from("127.0.0.1", &["1.1.1.1, what"]), "127.0.0.1");
        assert_eq!(from("127.0.0.1", &["192.168.1.8"]), "192.168.1.8");
        assert_eq!(from("127.0.0.1", &["127.0.0.9"]), "127.0.0.9");
    }

    #[test]
    fn a_proxy_of_ours_is_no_client() {
        let proxies = ["127.0.0.0/8", "::1", "2001:db8:0:1::/64"].map(|it| it.parse().unwrap());
        let beyond = |address: &str| {
            let network = network_beyond(address.parse().unwrap(), &proxies);
            network.map(|network| network.to_string())
        };
        for ours in ["127.0.0.1", "::1", "2001:db8:0:1::7"] {
            assert_eq!(beyond(ours), None, "{ours}");
        }
        assert_eq!(beyond("203.0.113.7").as_deref(), Some("203.0.113.7"));
        assert_eq!(beyond("2001:db8:0:2::7").as_deref(), Some("2001:db8:0:2::"));
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        assert_eq!(from("2001:db8:1:2:3:4:5:6", &[]), "2001:db8:1:2::");
    }
}
