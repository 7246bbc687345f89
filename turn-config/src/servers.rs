//! The list of servers that a client gets when it joins.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::{Config, ConfigError, Credential, Secret};

/// One entry of the list, in the form of the browsers' `RTCIceServer`.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct IceServer {
    /// URLs that share the credentials.
    pub urls: Vec<String>,
    /// Only for TURN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Only for TURN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl std::fmt::Debug for IceServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// The configured servers, ready to hand out.
#[derive(Clone, Debug)]
pub struct IceServers {
    config: Config,
    /// The URLs of Klieg's own relay; empty where it does not run.
    relay: Arc<RwLock<Vec<String>>>,
    /// What the relay's credentials are made from, and those of `turn_urls`.
    secret: Secret,
}

impl IceServers {
    /// Takes over a configuration after checking it.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            secret: config.turn_secret.clone(),
            config,
            relay: Arc::default(),
        })
    }

    /// Adds Klieg's own relay under these URLs. It shares the secret of the other servers; where there is none, `random` is it.
    pub fn add_relay(&mut self, urls: Vec<String>, random: &Secret) {
        self.tell_relay(urls);
        self.secret = self.shared_secret(random);
    }

    /// Has those who come from now on told other URLs of Klieg's relay.
    pub fn tell_relay(&self, urls: Vec<String>) {
        *self.relay.write().unwrap_or_else(PoisonError::into_inner) = urls;
    }

    /// Returns the secret of the other servers, or where there is none, `random`.
    pub fn shared_secret(&self, random: &Secret) -> Secret {
        let has_none = self.secret.as_bytes().is_empty();
        if has_none { random } else { &self.secret }.clone()
    }

    /// Returns the list for one client, with TURN credentials that hold from `now` for the configured time. In a country (ISO
    /// 3166-1) that has servers of its own a client is told those instead of the others, and Klieg's relay.
    pub fn for_client(&self, identity: &str, country: &str, now: SystemTime) -> Vec<IceServer> {
        let config = &self.config;
        let mut regions = config.regions.iter();
        let region = regions.find(|region| region.countries.iter().any(|it| it == country));
        let (stun_urls, turn_urls) = region
            .map_or((&config.stun_urls, &config.turn_urls), |region| {
                (&region.stun_urls, &region.turn_urls)
            });
        let mut list = Vec::with_capacity(2);
        if !stun_urls.is_empty() {
            let urls = stun_urls.clone();
            list.push(IceServer {
                urls,
                username: None,
                credential: None,
            });
        }
        let mut urls = turn_urls.clone();
        urls.extend_from_slice(&self.relay.read().unwrap_or_else(PoisonError::into_inner));
        if !urls.is_empty() {
            let Credential { username, password } = Credential::new(
                &self.secret,
                identity,
                expiry_s(now, config.turn_credential_ttl_s),
            );
            list.push(IceServer {
                urls,
                username: Some(username),
                credential: Some(password),
            });
        }
        list
    }

    /// Returns how long the credentials of one list hold.
    pub fn credential_ttl(&self) -> Duration {
        Duration::from_secs(self.config.turn_credential_ttl_s)
    }
}

/// A clock before 1970 gives credentials that have run out, which the TURN server refuses and logs.
fn expiry_s(now: SystemTime, ttl_s: u64) -> u64 {
    now.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs().saturating_add(ttl_s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RegionServers;

    #[test]
    fn nothing_configured_is_an_empty_list() {
        let servers = IceServers::new(Config::default()).unwrap();
        assert_eq!(servers.for_client("ann", "ZZ", UNIX_EPOCH), Vec::new());
    }

    #[test]
    fn the_list_is_what_a_browser_takes() {
        let servers = IceServers::new(config()).unwrap();
        let list = servers.for_client("ann", "ZZ", UNIX_EPOCH + Duration::from_millis(1_000_900));
        assert_eq!(
            serde_json::to_value(&list).unwrap(),
            serde_json::json!([
                { "urls": ["stun:s.example"] },
                {
                    "urls": ["turn:t.example:3478?transport=udp", "turns:t.example:443"],
                    "username": "1600:ann",
                    "credential": "03mzjWAX5FjnqhBs4PibHLgNp20=",
                },
            ])
        );
    }

    #[test]
    fn the_relay_is_beside_the_other_servers_with_the_same_credentials_or_alone_with_its_own() {
        let random = Secret::new("a secret of this start");
        let urls = vec!["turn:r.example:3478?transport=udp".to_owned()];
        let list = |config: Config| {
            let mut servers = IceServers::new(config).unwrap();
            servers.add_relay(urls.clone(), &random);
            servers.for_client("ann", "ZZ", UNIX_EPOCH).pop().unwrap()
        };
        let both = list(config());
        assert_eq!(both.urls.len(), 3);
        let shared = Credential::new(&config().turn_secret, "ann", 600);
        assert_eq!(both.credential, Some(shared.password));

        let alone = list(Config::default());
        assert_eq!(alone.urls, urls);
        let own = Credential::new(&random, "ann", 43_200);
        assert_eq!(alone.credential, Some(own.password));
    }

    #[test]
    fn who_comes_after_the_relay_has_moved_is_told_where_it_is() {
        let mut servers = IceServers::new(Config::default()).unwrap();
        servers.add_relay(vec!["turn:192.0.2.1".to_owned()], &Secret::new("a secret"));
        let told = servers.clone();
        servers.tell_relay(vec!["turn:192.0.2.2".to_owned()]);
        let list = told.for_client("ann", "ZZ", UNIX_EPOCH);
        assert_eq!(list[0].urls, ["turn:192.0.2.2"]);
    }

    #[test]
    fn clients_of_a_country_are_told_its_servers_and_the_relay_and_the_others_all_else() {
        let vietnam = RegionServers {
            countries: vec!["VN".into(), "TH".into()],
            stun_urls: Vec::new(),
            turn_urls: vec!["turn:hanoi.example".into()],
        };
        let config = Config {
            regions: vec![vietnam],
            ..config()
        };
        let mut servers = IceServers::new(config).unwrap();
        let relay = vec!["turn:r.example".to_owned()];
        servers.add_relay(relay, &Secret::new("a secret of this start"));
        let told = |country: &str| {
            let list = servers.for_client("ann", country, UNIX_EPOCH).into_iter();
            let urls: Vec<String> = list.flat_map(|it| it.urls).collect();
            urls.join(" ")
        };
        for country in ["VN", "TH"] {
            assert_eq!(told(country), "turn:hanoi.example turn:r.example");
        }
        for country in ["FR", "ZZ"] {
            assert_eq!(
                told(country),
                "stun:s.example turn:t.example:3478?transport=udp turns:t.example:443 turn:r.example"
            );
        }
    }

    #[test]
    fn a_bad_configuration_is_refused() {
        let config = Config {
            turn_credential_ttl_s: 1,
            ..config()
        };
        assert_eq!(IceServers::new(config).unwrap_err(), ConfigError::Ttl(1));
    }

    #[test]
    fn a_clock_before_1970_does_no_harm() {
        let servers = IceServers::new(config()).unwrap();
        let list = servers.for_client("ann", "ZZ", UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(list[1].username.as_deref(), Some("0:ann"));
    }

    fn config() -> Config {
        Config {
            stun_urls: vec!["stun:s.example".into()],
            turn_urls: vec![
                "turn:t.example:3478?transport=udp".into(),
                "turns:t.example:443".into(),
            ],
            turn_secret: Secret::new("a secret of some length"),
            turn_credential_ttl_s: 600,
            ..Config::default()
        }
    }
}
