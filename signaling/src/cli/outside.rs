//! How others see this machine, as a STUN server tells it, and whether they reach it, which a TURN server tries.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::SystemTime;

use klieg_turn::{Credential, Outpost, ReachError, reached_from};
use tokio::net::{UdpSocket, lookup_host};

use super::Findings;
use crate::config::Config;
use crate::discovery::{Outside, bind};
use crate::server::media_settings;

/// Has a TURN server send to the media port at each address of IPv4 that clients are told.
pub(super) async fn check_reach(
    config: &Config,
    server: &str,
    login: Option<&Login>,
    found: &mut Findings,
) {
    let at = match lookup_host(server).await.map(|mut it| it.next()) {
        Ok(Some(at)) => at,
        Ok(None) => return found.bad(&format!("--turn {server}: has no address")),
        Err(error) => return found.bad(&format!("--turn {server}: {error}")),
    };
    let Some(Login { username, password }) = login.cloned().or_else(|| of_settings(config)) else {
        let text = "say who you are there by --turn-login USER:PASSWORD, or set ice.turn_secret";
        return found.bad(&format!("--turn {server}: {text}"));
    };
    let outpost = Outpost {
        server: at,
        username: &username,
        password: &password,
    };
    let socket = match UdpSocket::bind(config.media).await {
        Ok(socket) => socket,
        Err(error) => {
            return found.doubtful(&format!(
                "--turn {server}: not tried, for media port {} is taken ({error}): stop the server that runs here first",
                config.media
            ));
        }
    };
    let settled = Outside::look(config).await.settle(config);
    let told = media_settings(&settled).candidates(config.media);
    let told = told.iter().filter(|it| it.is_ipv4());
    for address in told.take(MAX_TRIED) {
        match reached_from(outpost, *address, &socket).await {
            Ok(from) => found.good(&format!(
                "--turn {server}: reaches {address} by UDP, from {from}"
            )),
            Err(ReachError::Lost) => found.bad(&format!(
                "--turn {server}: does not reach {address} by UDP: have the firewall let it in, or the router lead it to this machine"
            )),
            Err(error) => found.bad(&format!("--turn {server}: to {address}: {error}")),
        }
    }
}

/// Who one is at a TURN server.
#[derive(Clone)]
pub(super) struct Login {
    username: String,
    password: String,
}

impl FromStr for Login {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (username, password) = text.split_once(':').ok_or("expected USER:PASSWORD")?;
        Ok(Self {
            username: username.to_owned(),
            password: password.to_owned(),
        })
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

/// Returns what a client would be given for the TURN servers of the settings.
fn of_settings(config: &Config) -> Option<Login> {
    let secret = config.ice.servers().turn_secret;
    if secret.is_empty() {
        return None;
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let expiry = now.unwrap_or_default().as_secs() + 60;
    let Credential { username, password } = Credential::new(&secret, "check", expiry);
    Some(Login { username, password })
}

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

/// Each takes ten seconds at most.
const MAX_TRIED: usize = 4;
