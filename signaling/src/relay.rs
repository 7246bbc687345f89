//! Klieg's own TURN relay: started where it is wished, and told to clients.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::Uri;
use klieg_turn::relay::{
    Embedded, Limits, Peers, RelayConfig, StartError, Stream, TlsAcceptor, Ways,
};
use klieg_turn::{IceServers, Secret};
use prometheus::Registry;
use tokio::net::TcpStream;
use tracing::info;

use crate::config::{Config, RelayPeers};
use crate::tls::handshake::Handshakes;

/// Starts the relay where there is to be one, and has clients told of it.
///
/// # Errors
/// Its port cannot be bound.
pub(crate) fn start(
    config: &Config,
    media: &[SocketAddr],
    handshakes: Option<Arc<Handshakes>>,
    ice: &mut IceServers,
    registry: &Registry,
) -> Result<Option<Embedded>, StartError> {
    let Some(listen) = config.relay.listen else {
        return Ok(None);
    };
    // Without other servers nobody else has to know it.
    let random = Secret::new(crate::id::random());
    let tls = handshakes.map(|it| it as Arc<dyn TlsAcceptor>);
    let settings = settings(config, listen, media, ice.shared_secret(&random));
    let own = config.relay_own();
    let relay = Embedded::start_sharing(settings, own, tls, registry)?;
    let media: Vec<IpAddr> = media.iter().map(SocketAddr::ip).collect();
    let urls = urls(config, relay.ways(), listen, &media);
    info!(at = %relay.at(), ?urls, "relay started");
    ice.add_relay(urls, &random);
    Ok(Some(relay))
}

#[async_trait]
impl TlsAcceptor for Handshakes {
    async fn accept(&self, stream: TcpStream) -> Option<Box<dyn Stream>> {
        let stream = Self::accept(self, stream).await?;
        Some(Box::new(stream))
    }
}

fn settings(
    config: &Config,
    listen: SocketAddr,
    media: &[SocketAddr],
    secret: Secret,
) -> RelayConfig {
    let relay = &config.relay;
    RelayConfig {
        listen,
        ports: relay.first_port..=relay.last_port,
        secret,
        peers: Peers {
            media: media.to_vec(),
            allowed: relay.allow_peers.clone(),
            public: relay.peers == RelayPeers::Public,
        },
        media_listen: config.media.ip(),
        limits: Limits {
            allocations: relay.max_allocations,
            allocations_per_identity: relay.allocations_per_identity,
            bytes_per_second: relay.bytes_per_second,
        },
        max_connections: relay.max_connections,
    }
}

/// Has those who come from now on told of the relay at the addresses of the settings.
pub(crate) fn tell(config: &Config, ways: Ways, ice: &IceServers) {
    if let Some(listen) = config.relay.listen {
        let urls = urls(config, ways, listen, &config.media_addresses);
        info!(?urls, "newcomers are told where the relay is now");
        ice.tell_relay(urls);
    }
}

fn urls(config: &Config, ways: Ways, listen: SocketAddr, media: &[IpAddr]) -> Vec<String> {
    let hosts = hosts(config, listen, media);
    ways.urls(&hosts, tls_host(config).as_deref())
}

/// Returns the hosts under which clients are told of the relay: an address of each family, where it is no name.
fn hosts(config: &Config, listen: SocketAddr, media: &[IpAddr]) -> Vec<String> {
    if let Some(host) = &config.relay.host {
        return vec![host.clone()];
    }
    let addresses: Vec<IpAddr> =
        if config.media_addresses.is_empty() && !listen.ip().is_unspecified() {
            vec![listen.ip()]
        } else {
            media.to_vec()
        };
    // A socket of IPv4 hears nothing of IPv6.
    let v6 = addresses.iter().find(|it| it.is_ipv6());
    let v6 = v6.filter(|_| listen.is_ipv6());
    let v4 = addresses.iter().find(|it| it.is_ipv4());
    v4.into_iter().chain(v6).map(shown).collect()
}

/// Returns the name that the certificate is for, as far as the settings say it.
fn tls_host(config: &Config) -> Option<String> {
    let of_url = |url: &String| Some(url.parse::<Uri>().ok()?.host()?.to_owned());
    let told = config.relay.host.clone();
    told.or_else(|| config.acme_domains.first().cloned())
        .or_else(|| config.public_url.as_ref().and_then(of_url))
}

/// Writes an address as URLs have it.
fn shown(address: &IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_a_name_or_an_address_of_each_family_that_is_heard() {
        let media: Vec<IpAddr> = ["10.0.0.7", "127.0.0.1", "2001:db8::7"]
            .iter()
            .map(|it| it.parse().unwrap())
            .collect();
        let mut config = Config::default();
        let told = |config: &Config, listen: &str| {
            hosts(config, listen.parse().unwrap(), &media).join(" ")
        };
        assert_eq!(told(&config, "0.0.0.0:3478"), "10.0.0.7");
        assert_eq!(told(&config, "[::]:3478"), "10.0.0.7 [2001:db8::7]");
        assert_eq!(told(&config, "127.0.0.1:3478"), "127.0.0.1");
        config.media_addresses = vec!["10.0.0.7".parse().unwrap()];
        assert_eq!(told(&config, "192.168.0.1:3478"), "10.0.0.7");
        config.relay.host = Some("live.example".into());
        assert_eq!(told(&config, "0.0.0.0:3478"), "live.example");
        assert_eq!(tls_host(&config).as_deref(), Some("live.example"));
    }

    #[test]
    fn by_tls_they_are_told_the_name_of_the_certificate() {
        let mut config = Config::default();
        assert_eq!(tls_host(&config), None);
        config.public_url = Some("https://www.example:8443".into());
        assert_eq!(tls_host(&config).as_deref(), Some("www.example"));
        config.acme_domains = vec!["live.example".into()];
        assert_eq!(tls_host(&config).as_deref(), Some("live.example"));
    }
}
