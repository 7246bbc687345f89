//! The list of servers that a client gets when it joins.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::{Config, ConfigError, Credential};

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
}

impl IceServers {
    /// Takes over a configuration after checking it.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config })
    }

    /// Returns the list for one client, with TURN credentials that hold from `now` for the configured time.
    pub fn for_identity(&self, identity: &str, now: SystemTime) -> Vec<IceServer> {
        let mut list = Vec::with_capacity(2);
        if !self.config.stun_urls.is_empty() {
            let urls = self.config.stun_urls.clone();
            list.push(IceServer {
                urls,
                username: None,
                credential: None,
            });
        }
        if !self.config.turn_urls.is_empty() {
            let Credential { username, password } = Credential::new(
                &self.config.turn_secret,
                identity,
                expiry_s(now, self.config.turn_credential_ttl_s),
            );
            list.push(IceServer {
                urls: self.config.turn_urls.clone(),
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
    use crate::Secret;

    #[test]
    fn nothing_configured_is_an_empty_list() {
        let servers = IceServers::new(Config::default()).unwrap();
        assert_eq!(servers.for_identity("ann", UNIX_EPOCH), Vec::new());
    }

    #[test]
    fn the_list_is_what_a_browser_takes() {
        let servers = IceServers::new(config()).unwrap();
        let list = servers.for_identity("ann", UNIX_EPOCH + Duration::from_millis(1_000_900));
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
        let list = servers.for_identity("ann", UNIX_EPOCH - Duration::from_secs(1));
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
        }
    }
}
