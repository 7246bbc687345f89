//! How others see this machine, as a STUN server tells it.

use std::net::{IpAddr, SocketAddr};

use tokio::net::lookup_host;

use super::Findings;
use crate::config::Config;
use crate::discovery::bind;
use crate::server::media_settings;

/// Asks a STUN server, by each family that both have, from where it sees what comes from the media port.
pub(super) async fn check_outside(config: &Config, server: &str, found: &mut Findings) {
    let addresses: Vec<SocketAddr> = match lookup_host(server).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => return found.bad(&format!("--stun {server}: {error}")),
    };
    let told = media_settings(config).candidates(config.media);
    for is_v6 in [false, true] {
        let Some(at) = addresses.iter().find(|it| it.is_ipv6() == is_v6) else {
            continue;
        };
        let told: Vec<IpAddr> = told
            .iter()
            .map(SocketAddr::ip)
            .filter(|it| it.is_ipv6() == is_v6)
            .collect();
        if !told.is_empty() {
            ask(config, *at, &told, found).await;
        }
    }
}

async fn ask(config: &Config, server: SocketAddr, told: &[IpAddr], found: &mut Findings) {
    let socket = match bind(config, server).await {
        Ok(socket) => socket,
        Err(error) => return found.bad(&format!("--stun {server}: {error}")),
    };
    let from = socket.local_addr().map_or(0, |it| it.port());
    let seen = match klieg_turn::seen_address(&socket, server).await {
        Ok(seen) => seen,
        Err(error) => {
            return found.bad(&format!(
                "--stun {server}: {error}: have UDP let out of this network, and what comes back let in"
            ));
        }
    };
    let ip = seen.ip();
    if told.contains(&ip) {
        found.good(&format!(
            "--stun {server}: sees this machine at {ip}, as clients are told"
        ));
    } else {
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        found.bad(&format!(
            "--stun {server}: sees this machine at {ip}, and clients are told {}: set media_addresses = [\"{ip}\"], and have the media ports, UDP and TCP, led from there to this machine",
            told.join(", ")
        ));
    }
    if seen.port() != from {
        found.doubtful(&format!(
            "--stun {server}: on the way port {from} became {}: a router stands between; have it lead the media ports, UDP and TCP, to the same numbers of this machine",
            seen.port()
        ));
    }
}
