//! Who shares the port of `http`: those whose settings name its very address. What has one port but not one address, or cannot share
//! it, is refused here in words, and not by the system when it is bound.

use std::net::SocketAddr;

use klieg_turn::relay::Own;

use super::{Config, ConfigError, invalid};

/// Who has the port of `http` (TCP) together with pages and API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shared {
    /// Media by TCP.
    pub(crate) media: bool,
    /// The relay; `None`: it has a port of its own, or there is none.
    pub(crate) relay: Option<SocketAddr>,
}

impl Config {
    /// Returns who shares the port of `http`. Port 0 is nobody's: each takes a free one.
    pub(crate) fn shared(&self) -> Shared {
        let is_shared = |it: &SocketAddr| *it == self.http && it.port() != 0;
        Shared {
            media: self
                .media_tcp
                .beside(self.media)
                .as_ref()
                .is_some_and(is_shared),
            relay: self.relay.listen.filter(is_shared),
        }
    }

    /// Returns what the relay listens to by itself.
    pub(crate) fn relay_own(&self) -> Own {
        match self.shared().relay {
            None => Own::UdpAndTcp,
            Some(relay) if overlap(relay, self.media) => Own::Nothing,
            Some(_) => Own::Udp,
        }
    }

    /// Returns the protocols that are answered at the port of `http`, where it is more than HTTP.
    pub(crate) fn shared_protocols(&self) -> Option<String> {
        let Shared { media, relay } = self.shared();
        let is_shared = media || relay.is_some();
        let (web, turn): (&[&str], &[&str]) = if self.tls() {
            (&["HTTPS", "WSS"], &["TURN", "TURN over TLS"])
        } else {
            (&["HTTP", "WS"], &["TURN"])
        };
        let media: &[&str] = if media { &["ICE-TCP"] } else { &[] };
        let turn = if relay.is_some() { turn } else { &[] };
        is_shared.then(|| [web, media, turn].concat().join(", "))
    }

    /// Checks that no two want one port who cannot have it together.
    pub(super) fn validate_ports(&self) -> Result<(), ConfigError> {
        let (http, tcp) = (self.http, self.media_tcp.beside(self.media));
        for (setting, other) in [("media_tcp", tcp), ("relay.listen", self.relay.listen)] {
            if let Some(it) = other.filter(|&it| it != http && overlap(it, http)) {
                let reason = format!(
                    "{it} and `http` ({http}) are one port with two addresses: write {http} to share it, or take another port"
                );
                return Err(invalid(setting, reason));
            }
        }
        if let (Some(tcp), Some(relay)) = (tcp, self.relay.listen)
            && relay != http
            && overlap(tcp, relay)
        {
            let reason = format!(
                "{relay} is where media comes by TCP (`media_tcp`): they share no port but that of `http`. Write {http}, there and at `media_tcp`, or take another port"
            );
            return Err(invalid("relay.listen", reason));
        }
        let media = self.media;
        if let Some(relay) = self.relay.listen
            && relay != http
            && overlap(relay, media)
        {
            let reason = format!(
                "{relay} is where media comes by UDP (`media`): take another port, or write {http} to have TURN at the port of `http`, by TCP and TLS alone"
            );
            return Err(invalid("relay.listen", reason));
        }
        self.validate_redirect(tcp)
    }

    /// What is sent elsewhere is told apart from nothing.
    fn validate_redirect(&self, tcp: Option<SocketAddr>) -> Result<(), ConfigError> {
        let Some(redirect) = self.http_redirect else {
            return Ok(());
        };
        let others = [
            ("http", Some(self.http)),
            ("media_tcp", tcp),
            ("relay.listen", self.relay.listen),
        ];
        let taken =
            |(_, at): &(&str, Option<SocketAddr>)| at.is_some_and(|at| overlap(at, redirect));
        if let Some((other, _)) = others.into_iter().find(taken) {
            let reason = format!(
                "{redirect} is the port of `{other}`, too: who comes by plain HTTP needs one of its own, mostly 80"
            );
            return Err(invalid("http_redirect", reason));
        }
        Ok(())
    }
}

/// Returns whether two that listen at these addresses would be in each other's way.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip(), other.ip());
    // [::] hears IPv4, too.
    let hears = |it: std::net::IpAddr, other: std::net::IpAddr| {
        it.is_unspecified() && (it.is_ipv6() || other.is_ipv4())
    };
    one.port() == other.port() && one.port() != 0 && (a == b || hears(a, b) || hears(b, a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MediaTcp;

    /// Settings with `http`, `media`, `media_tcp` and `relay.listen` as written.
    fn config([http, media, media_tcp, relay]: [&str; 4]) -> Config {
        let mut config = Config {
            http: http.parse().unwrap(),
            media: media.parse().unwrap(),
            media_tcp: media_tcp.parse().unwrap(),
            ..Config::default()
        };
        config.relay.listen = relay.parse().ok();
        config
    }

    #[test]
    fn who_names_the_address_of_http_shares_its_port() {
        let all = "0.0.0.0:443";
        for (settings, media, own) in [
            ([all, all, "auto", all], true, Own::Nothing),
            ([all, "0.0.0.0:7882", all, all], true, Own::Udp),
            ([all, "0.0.0.0:7882", "auto", all], false, Own::Udp),
            ([all, all, "off", all], false, Own::Nothing),
            ([all, "192.0.2.1:443", "off", all], false, Own::Nothing),
            ([all, all, "auto", "0.0.0.0:3478"], true, Own::UdpAndTcp),
            // Any free ports: each gets one.
            (["0.0.0.0:0"; 4], false, Own::UdpAndTcp),
        ] {
            let config = config(settings);
            config.validate().unwrap();
            assert_eq!(config.shared().media, media, "{settings:?}");
            assert_eq!(config.relay_own(), own, "{settings:?}");
        }
        let built_in = Config::default();
        assert_eq!(built_in.shared_protocols(), None);
    }

    #[test]
    fn what_is_answered_at_the_port_is_said() {
        let mut config = config(["[::]:443", "[::]:443", "auto", "[::]:443"]);
        assert_eq!(
            config.shared_protocols().unwrap(),
            "HTTP, WS, ICE-TCP, TURN"
        );
        config.acme_domains = vec!["live.example".into()];
        let said = config.shared_protocols();
        assert_eq!(said.unwrap(), "HTTPS, WSS, ICE-TCP, TURN, TURN over TLS");
        config.media_tcp = MediaTcp::Off;
        let said = config.shared_protocols();
        assert_eq!(said.unwrap(), "HTTPS, WSS, TURN, TURN over TLS");
    }

    #[test]
    fn what_cannot_be_shared_is_said_with_why() {
        let all = "0.0.0.0:443";
        for (settings, setting, said) in [
            (
                [all, "192.0.2.1:443", "auto", ""],
                "media_tcp",
                "one port with two addresses: write 0.0.0.0:443",
            ),
            (
                [all, "0.0.0.0:7882", "[::]:443", ""],
                "media_tcp",
                "one port with two addresses",
            ),
            (
                [all, "0.0.0.0:7882", "off", "192.0.2.1:443"],
                "relay.listen",
                "one port with two addresses",
            ),
            (
                [all, "0.0.0.0:7882", "0.0.0.0:3478", "0.0.0.0:3478"],
                "relay.listen",
                "share no port but that of `http`",
            ),
            (
                [all, "0.0.0.0:7882", "off", "0.0.0.0:7882"],
                "relay.listen",
                "where media comes by UDP",
            ),
        ] {
            let error = config(settings).validate().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("config: {setting}: ")),
                "{error}"
            );
            assert!(error.contains(said), "{error}");
        }
        let mut config = config(["192.0.2.1:443", "192.0.2.2:443", "auto", "192.0.2.3:443"]);
        config.validate().unwrap();
        config.acme_domains = vec!["live.example".into()];
        for redirect in ["0.0.0.0:443", "192.0.2.1:443"] {
            config.http_redirect = Some(redirect.parse().unwrap());
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains("http_redirect: "), "{error}");
        }
    }
}
