//! What an operator can set: in `klieg.toml`, as `KLIEG_…` in the environment, or as a flag, the later
//! winning over the earlier. Everything is checked before the first port is bound.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Uri;
use figment::error::Kind;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::{Figment, Source};
use serde::{Deserialize, Serialize};

use crate::auth::Secret;
use crate::room::Upkeep;
use crate::store::Location;

/// The settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether anybody signs in by name and the room `demo` exists.
    pub dev: bool,
    /// Where the database and the signing secret are.
    pub data: PathBuf,
    /// The database, `sqlite:FILE` or `postgres://…`; `None`: the file `klieg.db` in `data`.
    pub database_url: Option<Secret>,
    /// The file that holds it instead.
    pub database_url_file: Option<PathBuf>,
    /// Where HTTP is served, WebSocket and pages included.
    pub http: SocketAddr,
    /// Where media comes and goes (UDP).
    pub media: SocketAddr,
    /// The addresses that clients are told; empty: found from `media` and the interfaces.
    pub media_addresses: Vec<IpAddr>,
    /// Threads that forward media; 0: one per core.
    pub media_shards: usize,
    /// Whether each of them keeps to a core.
    pub media_pin_threads: bool,
    /// Milliseconds that packets to viewers wait for others to leave with; `None`: by the load.
    pub media_hold_ms: Option<u8>,
    /// Whether the kernel gets several datagrams of a viewer in one call.
    pub media_gso: MediaGso,
    /// How clients reach the server, `https://live.example`, where a proxy stands in front.
    pub public_url: Option<String>,
    /// Other sites whose pages may use the API and the WebSocket, `https://shop.example`.
    pub allowed_origins: Vec<String>,
    /// Applications that sign tokens: the name of the key and its secret.
    pub api_keys: BTreeMap<String, Secret>,
    /// Lets `/metrics` be read from elsewhere than this machine.
    pub metrics_token: Option<Secret>,
    /// How logs are written.
    pub log_format: LogFormat,
    /// Which logs are written, as `RUST_LOG` has it.
    pub log: String,
    /// STUN and TURN servers for clients.
    pub ice: klieg_turn::Config,
    /// How long a room waits for a publisher that was lost.
    pub publisher_grace_ms: u64,
    /// How often unused rooms are cleaned up.
    pub cleanup_ms: u64,
    /// After how long a scheduled room is cancelled that nobody started.
    pub scheduled_room_ttl_s: u64,
    /// After how long a started room is cancelled that had no media.
    pub ready_room_ttl_s: u64,
    /// How long a socket may stay without a token.
    pub auth_timeout_ms: u64,
    /// After how long without anything from a client it is asked whether it lives; after three times as long
    /// it is given up.
    pub socket_ping_ms: u64,
    /// How long a room without anybody stays in memory.
    pub room_idle_ms: u64,
    /// How long clients have to move after the server said that it stops.
    pub drain_ms: u64,
    /// How many sockets there may be at once.
    pub max_sockets: usize,
    /// How many sessions made by WHIP and WHEP there may be at once.
    pub max_http_sessions: usize,
    /// How many sessions may be connecting at once, whichever way they came.
    pub max_handshakes: usize,
    /// How long a sign-in holds.
    pub access_token_ttl_s: u64,
    /// How long a join token may be used to connect.
    pub join_token_ttl_s: u64,
}

/// Whether datagrams to one viewer go to the kernel in one call (`UDP_SEGMENT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaGso {
    /// Where the kernel, the network card and the path take them.
    Auto,
    /// Never.
    Off,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dev: false,
            data: PathBuf::from("data"),
            database_url: None,
            database_url_file: None,
            http: SocketAddr::from((Ipv4Addr::UNSPECIFIED, HTTP_PORT)),
            media: SocketAddr::from((Ipv4Addr::UNSPECIFIED, MEDIA_PORT)),
            media_addresses: Vec::new(),
            media_shards: 0,
            media_pin_threads: false,
            media_hold_ms: None,
            media_gso: MediaGso::Auto,
            public_url: None,
            allowed_origins: Vec::new(),
            api_keys: BTreeMap::new(),
            metrics_token: None,
            log_format: LogFormat::Human,
            log: "info".to_owned(),
            ice: klieg_turn::Config::default(),
            publisher_grace_ms: 30_000,
            cleanup_ms: 30_000,
            scheduled_room_ttl_s: 7 * 24 * 60 * 60,
            ready_room_ttl_s: 24 * 60 * 60,
            auth_timeout_ms: 10_000,
            socket_ping_ms: 20_000,
            room_idle_ms: 60_000,
            drain_ms: 1_000,
            max_sockets: 15_000,
            max_http_sessions: 15_000,
            max_handshakes: 2_000,
            access_token_ttl_s: 12 * 60 * 60,
            join_token_ttl_s: 10 * 60,
        }
    }
}

/// Why the settings cannot be used; one line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or a value cannot be read.
    #[error("config: {0}")]
    Unreadable(String),
    /// A value makes no sense.
    #[error("config: {setting}: {reason}")]
    Invalid {
        /// Which setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Config {
    /// Returns the settings of `klieg --dev`.
    pub fn development() -> Self {
        let built_in = Development::default();
        let secrets = built_in.api_keys.into_iter();
        Self {
            dev: true,
            http: built_in.http,
            media: built_in.media,
            api_keys: secrets
                .map(|(key, text)| (key.to_owned(), Secret::new(text)))
                .collect(),
            ..Self::default()
        }
    }

    /// Puts the settings together: what is built in, the file, the environment, `flags`, and `others` by name.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn load(
        file: Option<&Path>,
        flags: impl Serialize,
        others: &[(&str, &str)],
    ) -> Result<Self, ConfigError> {
        let file = match file {
            Some(path) if path.is_file() => Toml::file_exact(path),
            Some(path) => {
                let path = path.display();
                return Err(ConfigError::Unreadable(format!(
                    "{path}: there is no such file"
                )));
            }
            None => Toml::file("klieg.toml"),
        };
        let said = Figment::new()
            .merge(file)
            .merge(environment())
            .merge(Serialized::globals(flags));
        let said = others.iter().fold(said, |said, (name, value)| {
            // Reads the value as it reads those of the environment.
            let Ok(value) = value.parse::<figment::value::Value>();
            said.merge((*name, value))
        });
        let dev = said.extract_inner("dev").unwrap_or(false);
        let built_in = dev.then(|| Serialized::defaults(Development::default()));
        let figment = built_in.map_or_else(Figment::new, Figment::from);
        let config: Self = figment
            .merge(said)
            .extract()
            .map_err(|error| unreadable(&error))?;
        config.validate()?;
        Ok(config)
    }

    /// Checks what can be checked without a port or a network.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let ice = klieg_turn::IceServers::new(self.ice.clone());
        ice.map_err(|error| invalid("ice", error.to_string()))?;
        self.database()?;
        if let Some(url) = &self.public_url {
            origin_of(url).map_err(|reason| invalid("public_url", reason))?;
        }
        for origin in &self.allowed_origins {
            origin_of(origin).map_err(|reason| invalid("allowed_origins", reason))?;
        }
        for (key, secret) in &self.api_keys {
            self.validate_key(key, secret)
                .map_err(|reason| invalid("api_keys", reason))?;
        }
        if self
            .metrics_token
            .as_ref()
            .is_some_and(|token| token.expose().len() < 16)
        {
            return Err(invalid("metrics_token", "shorter than 16 characters"));
        }
        if self.dev && !self.http.ip().is_loopback() {
            return Err(invalid(
                "http",
                "with `dev` anybody signs in: only loopback is allowed",
            ));
        }
        for (setting, value) in [
            ("cleanup_ms", self.cleanup_ms),
            ("scheduled_room_ttl_s", self.scheduled_room_ttl_s),
            ("ready_room_ttl_s", self.ready_room_ttl_s),
            ("auth_timeout_ms", self.auth_timeout_ms),
            ("socket_ping_ms", self.socket_ping_ms),
            ("access_token_ttl_s", self.access_token_ttl_s),
            ("join_token_ttl_s", self.join_token_ttl_s),
        ] {
            if value == 0 {
                return Err(invalid(setting, "must be more than 0"));
            }
        }
        if self.media_addresses.iter().any(IpAddr::is_unspecified) {
            return Err(invalid(
                "media_addresses",
                "0.0.0.0 and :: are no addresses to send to",
            ));
        }
        self.validate_counts()
    }

    /// Returns where the database is.
    ///
    /// # Errors
    /// The URL is none, or the file that holds it cannot be read.
    pub(crate) fn database(&self) -> Result<Location, ConfigError> {
        let url = match (&self.database_url, &self.database_url_file) {
            (None, None) => return Ok(Location::Sqlite(self.data.join("klieg.db"))),
            (Some(url), None) => url.expose().to_owned(),
            (None, Some(file)) => std::fs::read_to_string(file)
                .map_err(|error| {
                    let reason = format!("{}: {error}", file.display());
                    invalid("database_url_file", reason)
                })?
                .trim()
                .to_owned(),
            (Some(_), Some(_)) => {
                let reason = "is set beside `database_url`: one of them is enough";
                return Err(invalid("database_url_file", reason));
            }
        };
        Location::parse(&url).map_err(|reason| invalid("database_url", reason))
    }

    fn validate_counts(&self) -> Result<(), ConfigError> {
        for (setting, value, range) in [
            ("media_shards", self.media_shards, 0..=klieg_sfu::MAX_SHARDS),
            (
                "media_hold_ms",
                self.media_hold_ms.unwrap_or(0).into(),
                0..=10,
            ),
            ("max_sockets", self.max_sockets, 1..=MAX_CONNECTIONS),
            (
                "max_http_sessions",
                self.max_http_sessions,
                0..=MAX_CONNECTIONS,
            ),
            ("max_handshakes", self.max_handshakes, 1..=MAX_CONNECTIONS),
        ] {
            if !range.contains(&value) {
                let (least, most) = range.into_inner();
                let reason = format!("{value} is out of range: expected {least} to {most}");
                return Err(invalid(setting, reason));
            }
        }
        Ok(())
    }

    fn validate_key(&self, key: &str, secret: &Secret) -> Result<(), String> {
        if key.is_empty() || key == "klieg" {
            return Err(format!("{key:?} cannot be the name of a key"));
        }
        if !self.dev && secret.expose().len() < 32 {
            return Err(format!(
                "the secret of {key:?} is shorter than 32 characters"
            ));
        }
        Ok(())
    }

    /// Returns how long rooms are kept.
    pub(crate) fn upkeep(&self) -> Upkeep {
        Upkeep {
            every: Duration::from_millis(self.cleanup_ms),
            scheduled: Duration::from_secs(self.scheduled_room_ttl_s),
            ready: Duration::from_secs(self.ready_room_ttl_s),
        }
    }

    /// Returns the grace period of a lost publisher.
    pub(crate) fn publisher_grace(&self) -> Duration {
        Duration::from_millis(self.publisher_grace_ms)
    }
}

/// What `dev` changes in what is built in.
#[derive(Serialize)]
struct Development {
    http: SocketAddr,
    media: SocketAddr,
    api_keys: BTreeMap<&'static str, &'static str>,
}

impl Default for Development {
    fn default() -> Self {
        Self {
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP_PORT)),
            // Firefox gathers no loopback candidate for a page that may not use the camera, so a viewer
            // on this machine reaches the server by an interface's address only.
            media: SocketAddr::from((Ipv4Addr::UNSPECIFIED, MEDIA_PORT)),
            api_keys: BTreeMap::from([("devkey", "devsecret")]),
        }
    }
}

fn environment() -> Env {
    Env::prefixed("KLIEG_").only(KEYS).map(|key| {
        let of_ice = key.starts_with("stun_") || key.starts_with("turn_");
        if of_ice {
            format!("ice.{key}").into()
        } else {
            key.into()
        }
    })
}

/// Says in one line which value cannot be used, and where it stands.
fn unreadable(error: &figment::Error) -> ConfigError {
    let setting = error.path.join(".");
    let metadata = error.metadata.as_ref();
    let place = match metadata.and_then(|it| it.source.as_ref()) {
        Some(Source::File(file)) => format!(" (in {})", file.display()),
        Some(_) | None if metadata.is_some_and(|it| it.name.contains("environment")) => {
            " (in the environment)".to_owned()
        }
        Some(_) | None => String::new(),
    };
    let text = if let Kind::UnknownField(..) = &error.kind {
        format!("there is no setting `{setting}`{place}; docs/configuration.md lists them")
    } else if let Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) =
        &error.kind
    {
        let expected = in_words(expected);
        // What was meant as a secret is not for terminals and logs.
        if SECRETS.iter().any(|secret| setting.starts_with(secret)) {
            format!("{setting}{place}: expected {expected}")
        } else {
            format!("{setting}{place}: {found} is not {expected}")
        }
    } else {
        // The parser's messages point at the place with lines of their own.
        let text = error.kind.to_string();
        let lines = text.lines().map(str::trim);
        let words: Vec<&str> = lines
            .filter(|line| !line.is_empty() && !line.contains('|'))
            .collect();
        let name = if setting.is_empty() { "" } else { ": " };
        format!("{setting}{name}{}{place}", words.join(": "))
    };
    ConfigError::Unreadable(text)
}

/// Puts the reader's name of a type into words.
fn in_words(expected: &str) -> &str {
    match expected {
        "usize" | "u64" | "u32" | "u16" => "a whole number",
        "a string" | "path string" => "a text (in quotes where it looks like a number)",
        "a boolean" => "true or false",
        other => other,
    }
}

fn invalid(setting: &'static str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Invalid {
        setting,
        reason: reason.into(),
    }
}

/// Checks that the text is scheme and host of a site, nothing more.
fn origin_of(text: &str) -> Result<(), String> {
    let uri: Uri = text.parse().map_err(|_| format!("{text:?} is no URL"))?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    if !web || uri.authority().is_none() || text.ends_with('/') || uri.path() != "/" {
        return Err(format!(
            "{text:?}: expected http(s)://host[:port] and nothing after it"
        ));
    }
    Ok(())
}

/// What the environment may set; other `KLIEG_…` variables belong to others.
const KEYS: &[&str] = &[
    "dev",
    "data",
    "database_url",
    "database_url_file",
    "http",
    "media",
    "media_addresses",
    "media_shards",
    "media_pin_threads",
    "media_hold_ms",
    "media_gso",
    "public_url",
    "allowed_origins",
    "api_keys",
    "metrics_token",
    "log_format",
    "log",
    "stun_urls",
    "turn_urls",
    "turn_secret",
    "turn_credential_ttl_s",
    "publisher_grace_ms",
    "cleanup_ms",
    "scheduled_room_ttl_s",
    "ready_room_ttl_s",
    "auth_timeout_ms",
    "socket_ping_ms",
    "room_idle_ms",
    "drain_ms",
    "max_sockets",
    "max_http_sessions",
    "max_handshakes",
    "access_token_ttl_s",
    "join_token_ttl_s",
];

/// Settings whose values no message repeats.
const SECRETS: [&str; 4] = [
    "api_keys",
    "database_url",
    "metrics_token",
    "ice.turn_secret",
];

/// More than the ports and the open files of one machine allow.
const MAX_CONNECTIONS: usize = 1_000_000;

const HTTP_PORT: u16 = 8080;
const MEDIA_PORT: u16 = 7882;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_is_valid() {
        Config::default().validate().unwrap();
        Config::development().validate().unwrap();
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_named() {
        type Break = fn(&mut Config);
        let broken = |change: Break| {
            let mut config = Config::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        let cases: [(Break, &str); 10] = [
            (
                |c| c.allowed_origins = vec!["shop.example".into()],
                "allowed_origins",
            ),
            (
                |c| c.public_url = Some("https://live.example/".into()),
                "public_url",
            ),
            (|c| c.dev = true, "http"),
            (|c| c.auth_timeout_ms = 0, "auth_timeout_ms"),
            (|c| c.media_shards = 65, "media_shards"),
            (|c| c.media_hold_ms = Some(11), "media_hold_ms"),
            (|c| c.max_sockets = usize::MAX, "max_sockets"),
            (|c| c.max_http_sessions = usize::MAX, "max_http_sessions"),
            (|c| c.max_handshakes = 0, "max_handshakes"),
            (
                |c| c.api_keys = BTreeMap::from([("k".into(), Secret::new("s"))]),
                "api_keys",
            ),
        ];
        for (change, setting) in cases {
            let text = broken(change);
            assert!(text.starts_with(&format!("config: {setting}: ")), "{text}");
        }
    }

    #[test]
    fn flags_win_and_a_wrong_one_is_one_line() {
        #[derive(Serialize)]
        struct Flags {
            dev: bool,
            http: &'static str,
        }
        let config = Config::load(
            None,
            Flags {
                dev: true,
                http: "127.0.0.1:0",
            },
            &[],
        )
        .unwrap();
        assert_eq!(config.http.port(), 0);
        assert!(config.api_keys.contains_key("devkey"));

        let error = Config::load(
            None,
            Flags {
                dev: true,
                http: "nowhere",
            },
            &[],
        )
        .unwrap_err();
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        assert!(error.to_string().contains("http"), "{error}");
    }
}
