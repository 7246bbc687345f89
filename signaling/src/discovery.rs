//! The addresses at which clients are told to find media, where STUN servers may be asked for them (RFC 8489, section 3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use klieg_turn::relay::Ways;
use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::app::App;
use crate::config::Config;
use crate::drain::Phase;
use crate::server::media_settings;

/// How others see this machine; nothing where nobody is asked.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    /// From where, one address of each family at most.
    seen: Vec<IpAddr>,
    /// What an operator has to look at, for people.
    pub(crate) doubts: Vec<String>,
}

impl Outside {
    /// Asks the STUN servers of the settings, by each family that media has, for [`WITHIN`] at most.
    pub(crate) async fn look(config: &Config) -> Self {
        let mut outside = Self::default();
        if config.stun_discovery.is_empty() {
            return outside;
        }
        let local = local(config);
        let by = async |is_v6: bool| {
            if !local.iter().any(|it| it.is_ipv6() == is_v6) {
                return None;
            }
            let asked = timeout(WITHIN, ask(config, is_v6)).await;
            Some(asked.unwrap_or(Answer::Silent))
        };
        let (v4, v6) = tokio::join!(by(false), by(true));
        for (family, answer) in [("IPv4", v4), ("IPv6", v6)] {
            if let Some(answer) = answer {
                outside.take(family, answer, &local);
            }
        }
        if outside.seen.is_empty() && outside.doubts.is_empty() {
            outside.take("any family that both have", Answer::Silent, &local);
        }
        outside
    }

    fn take(&mut self, family: &str, answer: Answer, local: &[IpAddr]) {
        match answer {
            Answer::Seen { ip, .. } if !local.contains(&ip) && leads_nowhere(ip) => {
                self.doubts.push(format!(
                    "stun_discovery: a server says that it sees this machine at {ip}, where nobody is: name another server, or set media_addresses"
                ));
            }
            Answer::Seen { ip, from, to } => {
                if !local.contains(&ip) && from != to {
                    self.doubts.push(format!(
                        "stun_discovery: on the way to {ip} port {from} became {to}: have the router lead the media ports, UDP and TCP, from there to the same numbers of this machine"
                    ));
                }
                self.seen.push(ip);
            }
            Answer::Silent => self.doubts.push(format!(
                "stun_discovery: no answer by {family}: clients are told what the interfaces say. Have UDP let out and what comes back let in, or set media_addresses"
            )),
            // Where only one family is spoken the other one is not missed.
            Answer::Nobody => {}
        }
    }

    /// Says in the log what was found, and what was not.
    pub(crate) fn log(&self) {
        if !self.seen.is_empty() {
            info!(seen = ?self.seen, "STUN servers see this machine");
        }
        for doubt in &self.doubts {
            warn!(doubt, "clients may be told the wrong address for media");
        }
    }

    /// Returns the settings, with what clients are to be told in the place of `media_addresses` where somebody was asked: what
    /// others see, and behind it what the interfaces have, for those in the same network whose router leads nothing back.
    pub(crate) fn settle(&self, config: &Config) -> Config {
        let mut settled = config.clone();
        if !self.seen.is_empty() {
            settled.media_addresses = self.told(config);
        }
        settled
    }

    fn told(&self, config: &Config) -> Vec<IpAddr> {
        let mut told = self.seen.clone();
        for address in local(config) {
            if !told.contains(&address) {
                told.push(address);
            }
        }
        told
    }

    /// Takes over what is seen now. What a family does not say this time holds as it was.
    fn renew(&mut self, now: Self) {
        for ip in now.seen {
            self.seen.retain(|it| it.is_ipv6() != ip.is_ipv6());
            self.seen.push(ip);
        }
        self.seen.sort();
    }
}

/// Asks again every now and then until the server stops, so that an address that changes needs no new start: newcomers are told
/// the new one.
pub(crate) async fn keep(
    app: Arc<App>,
    mut outside: Outside,
    relay: Option<Ways>,
    mut phase: watch::Receiver<Phase>,
) {
    let config = &app.config;
    if config.stun_discovery.is_empty() {
        return;
    }
    let every = Duration::from_secs(config.stun_discovery_s);
    let mut told = outside.settle(config).media_addresses;
    let over = async move {
        let _ = phase.wait_for(|phase| *phase >= Phase::Stopping).await;
    };
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return,
            () = tokio::time::sleep(every) => {}
        }
        let now = Outside::look(config).await;
        for doubt in &now.doubts {
            debug!(doubt, "asked again");
        }
        outside.renew(now);
        let settled = outside.settle(config);
        if settled.media_addresses != told {
            info!(seen = ?outside.seen, "another address of this machine is seen: newcomers are told it");
            app.media.tell(&settled.media_addresses);
            if let Some(ways) = relay {
                crate::relay::tell(&settled, ways, &app.ice);
            }
            told = settled.media_addresses;
        }
    }
}

/// What came of asking by one family.
enum Answer {
    /// Somebody answered.
    Seen {
        /// From where it sees this machine.
        ip: IpAddr,
        /// The port that was asked from.
        from: u16,
        /// As which it was seen.
        to: u16,
    },
    /// None of those who were asked did.
    Silent,
    /// None has an address of this family, or there is no way there.
    Nobody,
}

/// Asks one server after the other, until one answers.
async fn ask(config: &Config, is_v6: bool) -> Answer {
    let mut answer = Answer::Nobody;
    for server in &config.stun_discovery {
        let mut found = match lookup_host(server).await {
            Ok(found) => found,
            Err(error) => {
                debug!(server, %error, "STUN server not found");
                answer = Answer::Silent;
                continue;
            }
        };
        let Some(at) = found.find(|it| it.is_ipv6() == is_v6) else {
            continue;
        };
        let Ok(socket) = bind(config, at).await else {
            continue;
        };
        let from = socket.local_addr().map_or(0, |it| it.port());
        match klieg_turn::seen_address(&socket, at).await {
            Ok(seen) => {
                let (ip, to) = (seen.ip(), seen.port());
                return Answer::Seen { ip, from, to };
            }
            Err(error) => {
                debug!(server, %error, "STUN server not reached");
                answer = Answer::Silent;
            }
        }
    }
    answer
}

/// Takes the media port for asking a server, or, where a server that runs has it, any other.
///
/// # Errors
/// There is no port to be had.
pub(crate) async fn bind(config: &Config, server: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: IpAddr = if server.is_ipv6() {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    let own = config.media.ip();
    let ip = if own.is_unspecified() || own.is_ipv6() != server.is_ipv6() {
        any
    } else {
        own
    };
    match UdpSocket::bind((ip, config.media.port())).await {
        Ok(socket) => Ok(socket),
        Err(_) => UdpSocket::bind((ip, 0)).await,
    }
}

/// Returns what clients are told where nobody is asked.
fn local(config: &Config) -> Vec<IpAddr> {
    let told = media_settings(config).candidates(config.media);
    told.iter().map(SocketAddr::ip).collect()
}

fn leads_nowhere(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip.is_multicast() || ip.is_loopback()
}

/// How long the start waits for answers.
const WITHIN: Duration = Duration::from_secs(5);
