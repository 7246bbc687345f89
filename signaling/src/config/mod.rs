//! What an operator can set: in `klieg.toml`, as `KLIEG_…` in the environment, or as a flag, the later
//! winning over the earlier. Everything is checked before the first port is bound.

mod settings;

mod media_tcp;

mod shared;

mod network;

mod names;

mod report;

mod validation;

#[cfg(test)]
mod documentation;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use axum::http::{HeaderName, Uri};
use figment::error::Kind;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::{Figment, Source};
use klieg_turn::IceServers;
use serde::Serialize;

use crate::analytics::Regions;
use crate::auth::{AccountRole, Secret};
use crate::room::Upkeep;
use crate::store::Location;
use crate::webhook::target::Allowed;
pub use media_tcp::MediaTcp;
pub(crate) use names::unknown_variables;
pub(crate) use network::Network;
pub use settings::{
    Config, Ice, IceRegion, Limits, LogFormat, MediaGso, OidcProvider, Relay, RelayPeers,
    SigningAlgorithm, Webhooks,
};

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

/// Settings and where they stand.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// What was said of them, for those who ask where.
    said: Figment,
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
            new_account_role: built_in.new_account_role,
            api_keys: secrets
                .map(|(key, text)| (key.to_owned(), Secret::new(text)))
                .collect(),
            limits: built_in.limits,
            webhooks: built_in.webhooks,
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
        Loaded::read(file, flags, others).map(|loaded| loaded.config)
    }

    /// Returns the STUN and TURN servers for clients.
    ///
    /// # Errors
    /// They make no sense.
    pub(crate) fn ice_servers(&self) -> Result<IceServers, ConfigError> {
        let servers = IceServers::new(self.ice.servers());
        servers.map_err(|error| invalid("ice", error.to_string()))
    }

    /// Returns where the database is.
    ///
    /// # Errors
    /// The URL is none.
    pub(crate) fn database(&self) -> Result<Location, ConfigError> {
        let Some(url) = &self.database_url else {
            return Ok(Location::Sqlite(self.data.join("klieg.db")));
        };
        Location::parse(url.expose()).map_err(|reason| invalid("database_url", reason))
    }

    /// Returns where it stands in which country an address is.
    ///
    /// # Errors
    /// The file cannot be read, or the header has no name.
    pub(crate) fn regions(&self) -> Result<Regions, ConfigError> {
        let settings = &self.analytics;
        let header = settings.region_header.as_deref().map(str::parse);
        let header: Option<HeaderName> = header.transpose().map_err(|_| {
            let reason = "expected the name of a header";
            invalid("analytics.region_header", reason)
        })?;
        let file = settings.geoip_file.as_deref();
        Regions::open(header, file).map_err(|error| {
            let file = file.unwrap_or_else(|| Path::new("")).display();
            invalid("analytics.geoip_file", format!("{file}: {error}"))
        })
    }

    /// Returns whether HTTPS is spoken.
    pub(crate) fn tls(&self) -> bool {
        self.tls_cert.is_some() || !self.acme_domains.is_empty()
    }

    /// Returns the host of `public_url` as certificates name it.
    pub(crate) fn public_host(&self) -> Option<String> {
        let uri: Uri = self.public_url.as_deref()?.parse().ok()?;
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        Some(host.to_lowercase())
    }

    /// Returns what tells browsers to come by HTTPS alone (RFC 6797). A server for development does not: it would bind
    /// every other one on this machine.
    pub(crate) fn hsts(&self) -> Option<String> {
        // `max-age=0` takes it back (section 6.1.1).
        let said = self.tls() && !self.dev;
        said.then(|| format!("max-age={}", self.hsts_max_age_s))
    }

    /// Returns how HTTP is spoken, as URLs begin.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls() { "https" } else { "http" }
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

    /// Reads the secrets that stand in files of their own.
    fn read_secret_files(&mut self) -> Result<(), ConfigError> {
        let ice = &mut self.ice;
        for (setting, secret, file) in [
            (
                "database_url_file",
                &mut self.database_url,
                &self.database_url_file,
            ),
            (
                "metrics_token_file",
                &mut self.metrics_token,
                &self.metrics_token_file,
            ),
            (
                "order_hook_secret_file",
                &mut self.order_hook_secret,
                &self.order_hook_secret_file,
            ),
            (
                "ice.turn_secret_file",
                &mut ice.turn_secret,
                &ice.turn_secret_file,
            ),
        ] {
            let Some(file) = file else { continue };
            if secret.replace(read_secret(setting, file)?).is_some() {
                let other = setting.trim_end_matches("_file");
                let reason = format!("`{other}` is set, too: one of them is enough");
                return Err(invalid(setting, reason));
            }
        }
        for (key, file) in &self.api_key_files {
            let secret = read_secret("api_key_files", file)?;
            if self.api_keys.insert(key.clone(), secret).is_some() {
                let reason = format!("{key:?} stands in `api_keys`, too: one of them is enough");
                return Err(invalid("api_key_files", reason));
            }
        }
        Ok(())
    }
}

impl Loaded {
    /// Reads the settings, and the secrets that stand in files of their own.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub(crate) fn read(
        file: Option<&Path>,
        flags: impl Serialize,
        others: &[(&str, &str)],
    ) -> Result<Self, ConfigError> {
        let file = match file {
            Some(path) if path.is_file() => Toml::file_exact(path),
            Some(path) => {
                let path = path.display();
                return Err(ConfigError::Unreadable(format!(
                    "{path}: there is no such file, or it is none"
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
        let built_in = built_in.map_or_else(Figment::new, Figment::from);
        let all = built_in.merge(said.clone());
        let mut config: Config = all.extract().map_err(|error| unreadable(&error))?;
        config.read_secret_files()?;
        config.validate()?;
        Ok(Self { config, said })
    }
}

/// Reads a secret from its file; space around it is none of it.
fn read_secret(setting: &'static str, file: &Path) -> Result<Secret, ConfigError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        let reason = format!("{}: {error}", file.display());
        invalid(setting, reason)
    };
    let mut text = String::new();
    let read = File::open(file)
        .and_then(|file| file.take(MAX_SECRET_BYTES).read_to_string(&mut text))
        .map_err(|error| unreadable(&error))?;
    let text = text.trim();
    if text.is_empty() || u64::try_from(read).is_ok_and(|read| read == MAX_SECRET_BYTES) {
        return Err(unreadable(&"is empty or no secret"));
    }
    Ok(Secret::new(text))
}

/// What `dev` changes in what is built in.
#[derive(Serialize)]
struct Development {
    http: SocketAddr,
    media: SocketAddr,
    api_keys: BTreeMap<&'static str, &'static str>,
    new_account_role: AccountRole,
    limits: Limits,
    webhooks: Webhooks,
}

impl Default for Development {
    fn default() -> Self {
        Self {
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP_PORT)),
            // Firefox gathers no loopback candidate for a page that may not use the camera, so a viewer
            // on this machine reaches the server by an interface's address only.
            media: SocketAddr::from((Ipv4Addr::UNSPECIFIED, MEDIA_PORT)),
            api_keys: BTreeMap::from([("devkey", "devsecret")]),
            new_account_role: AccountRole::Host,
            // Load tests come from this machine, and show tokens.
            limits: Limits {
                guest_offers_per_second: Limits::default().guest_offers_per_second,
                ..Limits::none()
            },
            webhooks: Webhooks {
                allowed_targets: Allowed::this_machine(),
                ..Webhooks::default()
            },
        }
    }
}

fn environment() -> Env {
    Env::prefixed(names::PREFIX)
        .filter(|key| names::of_variable(key.as_str()).is_some())
        .map(|key| {
            let name = names::of_variable(key.as_str());
            name.unwrap_or_else(|| key.to_string()).into()
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
    let text = if error.kind.to_string().contains("invalid socket address") {
        format!("{setting}{place}: expected an address and a port, as in 0.0.0.0:7882 or [::]:7882")
    } else if let Kind::UnknownField(..) = &error.kind {
        let meant = names::nearest(&setting);
        let meant = meant.map_or_else(String::new, |name| format!("did you mean `{name}`? "));
        format!("there is no setting `{setting}`{place}; {meant}docs/configuration.md lists them")
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

/// Settings whose values no message repeats.
const SECRETS: [&str; 5] = [
    "api_keys",
    "database_url",
    "metrics_token",
    "order_hook_secret",
    "ice.turn_secret",
];

/// No secret is as long.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

const HTTP_PORT: u16 = 8080;
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const MEDIA_PORT: u16 = 7882;

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_secret_in_a_file_is_as_good_and_two_are_one_too_many() {
        let folder = std::env::temp_dir().join(format!("klieg-config-{}", crate::id::random()));
        std::fs::create_dir(&folder).unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let token = write("token", "a token of some length\n");
        let empty = write("empty", " \n");
        let read = |others: &[(&str, &str)]| {
            let loaded = Config::load(None, BTreeMap::<&str, &str>::new(), others);
            loaded.map_err(|error| error.to_string())
        };
        let key = format!("{{shop=\"{}\"}}", write("key", &"k".repeat(32)));
        let config = read(&[
            ("metrics_token_file", token.as_str()),
            ("api_key_files", &key),
            ("ice.turn_secret_file", &token),
        ]);
        let config = config.unwrap();
        assert!(config.metrics_token.unwrap().is("a token of some length"));
        assert!(config.api_keys["shop"].is(&"k".repeat(32)));
        assert!(config.ice.turn_secret.unwrap().is("a token of some length"));

        let both = [
            ("metrics_token", "\"another token of some length\""),
            ("metrics_token_file", &token),
        ];
        assert!(
            read(&both)
                .unwrap_err()
                .contains("metrics_token_file: `metrics_token` is set")
        );
        let missing = folder.join("missing").display().to_string();
        for file in [missing.as_str(), &empty] {
            let text = read(&[("metrics_token_file", file)]).unwrap_err();
            assert!(text.starts_with("config: metrics_token_file: "), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_unknown_setting_is_an_error_that_names_the_nearest() {
        for (name, meant) in [
            ("max_socket", Some("max_sockets")),
            ("turn_secret", Some("ice.turn_secret")),
            ("limits.join_per_minute", Some("limits.joins_per_minute")),
            ("nonsense", None),
        ] {
            let flags = BTreeMap::<&str, &str>::new();
            let text = Config::load(None, flags, &[(name, "1")])
                .unwrap_err()
                .to_string();
            let said = meant.map(|meant| format!("did you mean `{meant}`?"));
            assert!(text.contains(&format!("no setting `{name}`")), "{text}");
            assert!(said.is_none_or(|said| text.contains(&said)), "{text}");
            assert_eq!(text.contains("did you mean"), meant.is_some(), "{text}");
        }
    }
}
