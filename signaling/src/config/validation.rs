//! What the types of settings do not say.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;

use axum::http::Uri;

use super::{Config, ConfigError, OidcProvider, invalid};
use crate::auth::{API_TTL, Secret};
use crate::fetch::{check_place, check_url};

impl Config {
    /// Checks everything that can be checked without a network.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.ice_servers()?;
        self.database()?;
        self.regions()?;
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
        self.validate_providers()
            .map_err(|reason| invalid("oidc", reason))?;
        for (name, url) in [
            ("catalogue_url", &self.catalogue_url),
            ("profile_url", &self.profile_url),
        ] {
            let checked = url.as_deref().map_or(Ok(()), check_place);
            checked.map_err(|reason| invalid(name, reason))?;
        }
        self.validate_kafka()?;
        self.validate_tls()?;
        self.validate_relay()?;
        self.validate_ports()?;
        let token = self.metrics_token.as_ref();
        if token.is_some_and(|token| token.expose().len() < 16) {
            return Err(invalid("metrics_token", "shorter than 16 characters"));
        }
        let secret = self.order_hook_secret.as_ref();
        if secret.is_some_and(|secret| secret.expose().len() < 32) {
            return Err(invalid("order_hook_secret", "shorter than 32 characters"));
        }
        if self.dev && !self.http.ip().is_loopback() {
            return Err(invalid(
                "http",
                "with `dev` anybody signs in: only loopback is allowed",
            ));
        }
        self.validate_media_addresses()?;
        self.validate_discovery()?;
        let analytics = &self.analytics;
        let knows_countries = analytics.geoip_file.is_some() || analytics.region_header.is_some();
        if !self.ice.regions.is_empty() && !knows_countries {
            let reason = "nothing says in which country clients are: set `analytics.geoip_file` or `analytics.region_header`";
            return Err(invalid("ice.regions", reason));
        }
        self.validate_counts()
    }

    fn validate_media_addresses(&self) -> Result<(), ConfigError> {
        let addresses = &self.media_addresses;
        if addresses.iter().any(IpAddr::is_unspecified) {
            let reason = "0.0.0.0 and :: are no addresses to send to";
            return Err(invalid("media_addresses", reason));
        }
        let is_nobodys = |it: &&IpAddr| match it {
            // Multicast, what was never given out, and broadcast (RFC 1112, section 4).
            IpAddr::V4(it) => it.octets()[0] >= 224,
            IpAddr::V6(it) => it.is_multicast(),
        };
        addresses.iter().find(is_nobodys).map_or(Ok(()), |address| {
            let reason = format!("{address} is no machine's address");
            Err(invalid("media_addresses", reason))
        })
    }

    fn validate_discovery(&self) -> Result<(), ConfigError> {
        let servers = &self.stun_discovery;
        let refuse = |reason: String| Err(invalid("stun_discovery", reason));
        if !servers.is_empty() && !self.media_addresses.is_empty() {
            return refuse("`media_addresses` is set, too: one of them is enough".to_owned());
        }
        if servers.len() > MAX_STUN_SERVERS {
            return refuse(format!("has more than {MAX_STUN_SERVERS} servers"));
        }
        match servers.iter().find(|it| !is_host_and_port(it)) {
            Some(server) => refuse(format!(
                "{server:?}: expected host:port, as in stun.example:3478"
            )),
            None => Ok(()),
        }
    }

    fn validate_kafka(&self) -> Result<(), ConfigError> {
        let (brokers, built_in) = (&self.kafka_brokers, Self::default());
        let names = [
            ("kafka_topic", &self.kafka_topic, built_in.kafka_topic),
            ("kafka_group", &self.kafka_group, built_in.kafka_group),
        ];
        for (setting, name, built_in) in names {
            if *name != built_in {
                needs_kafka(setting)?;
            }
            let allowed = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
            // An order that has no id is called by its topic, and an id has a bound.
            if !(1..=64).contains(&name.len()) || !name.chars().all(allowed) {
                let reason = format!("{name:?}: expected 1 to 64 letters, digits, ., _ and -");
                return Err(invalid(setting, reason));
            }
        }
        for broker in brokers {
            needs_kafka("kafka_brokers")?;
            if !is_host_and_port(broker) {
                let reason = format!("{broker:?}: expected host:port, as in kafka.example:9092");
                return Err(invalid("kafka_brokers", reason));
            }
        }
        Ok(())
    }

    fn validate_relay(&self) -> Result<(), ConfigError> {
        let relay = &self.relay;
        if let Some(host) = &relay.host {
            klieg_turn::relay::check_host(host)
                .map_err(|error| invalid("relay.host", error.to_string()))?;
        }
        let (first, last) = (relay.first_port, relay.last_port);
        if first < 1024 || last < first {
            let reason =
                format!("{first} to {last}: expected 1024 or more, and `first_port` first");
            return Err(invalid("relay.last_port", reason));
        }
        if let Some(peer) = relay.allow_peers.iter().find(|peer| peer.port() == 0) {
            let reason = format!("{peer}: nobody is reached at port 0");
            return Err(invalid("relay.allow_peers", reason));
        }
        check_range(
            "relay.bytes_per_second",
            relay.bytes_per_second,
            BYTES_PER_SECOND,
        )
    }

    fn validate_tls(&self) -> Result<(), ConfigError> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => return Err(invalid("tls_key", "is missing: `tls_cert` needs it")),
            (None, Some(_)) => return Err(invalid("tls_cert", "is missing: `tls_key` needs it")),
            (Some(_), Some(_)) | (None, None) => {}
        }
        if self.tls_cert.is_some() && !self.acme_domains.is_empty() {
            let reason = "`tls_cert` is set, too: one of them is enough";
            return Err(invalid("acme_domains", reason));
        }
        if self.http_redirect.is_some() && !self.tls() {
            let reason =
                "there is no HTTPS to send anybody to without `tls_cert` or `acme_domains`";
            return Err(invalid("http_redirect", reason));
        }
        let url = self.public_url.as_deref().unwrap_or("https://");
        if self.tls() && !url.starts_with("https://") {
            let reason = "is no https:// address, and nothing else is spoken with TLS";
            return Err(invalid("public_url", reason));
        }
        self.validate_authority()
    }

    fn validate_authority(&self) -> Result<(), ConfigError> {
        let domains = &self.acme_domains;
        if domains.len() > MAX_DOMAINS {
            let reason = format!("has more than {MAX_DOMAINS} names");
            return Err(invalid("acme_domains", reason));
        }
        for domain in domains {
            if !is_domain(domain) {
                let reason = format!("{domain:?}: expected a name like live.example, without *");
                return Err(invalid("acme_domains", reason));
            }
        }
        for contact in &self.acme_contacts {
            let mail = contact.strip_prefix("mailto:");
            if !mail.is_some_and(|mail| mail.contains('@') && !mail.contains([',', '?', ' '])) {
                let reason = format!("{contact:?}: expected mailto:ann@live.example");
                return Err(invalid("acme_contacts", reason));
            }
        }
        let directory = check_url(&self.acme_directory);
        directory.map_err(|error| invalid("acme_directory", error.to_string()))?;
        Ok(())
    }

    fn validate_counts(&self) -> Result<(), ConfigError> {
        self.validate_times()?;
        if self.refresh_token_ttl_s < self.access_token_ttl_s {
            let reason = "is less than `access_token_ttl_s`: there would be nothing to refresh";
            return Err(invalid("refresh_token_ttl_s", reason));
        }
        let hooks = &self.webhooks;
        if hooks.deliveries_kept_s < hooks.retry_for_s {
            let reason = "is less than `webhooks.retry_for_s`: what waits would be forgotten";
            return Err(invalid("webhooks.deliveries_kept_s", reason));
        }
        let hold = self.media_hold_ms.unwrap_or(0).into();
        for (setting, value, range) in [
            ("media_shards", self.media_shards, 0..=klieg_sfu::MAX_SHARDS),
            ("media_hold_ms", hold, 0..=10),
            (
                "webhooks.deliveries_at_once",
                hooks.deliveries_at_once,
                1..=64,
            ),
            (
                "relay.max_allocations",
                self.relay.max_allocations,
                1..=10_000,
            ),
            (
                "relay.allocations_per_identity",
                self.relay.allocations_per_identity,
                1..=1_000,
            ),
            (
                "relay.max_connections",
                self.relay.max_connections,
                1..=MAX_CONNECTIONS,
            ),
            ("max_sockets", self.max_sockets, 1..=MAX_CONNECTIONS),
            ("max_handshakes", self.max_handshakes, 1..=MAX_CONNECTIONS),
            (
                "max_tls_handshakes",
                self.max_tls_handshakes,
                1..=MAX_CONNECTIONS,
            ),
            (
                "max_http_sessions",
                self.max_http_sessions,
                0..=MAX_CONNECTIONS,
            ),
        ] {
            check_range(setting, value, range)?;
        }
        Ok(())
    }

    fn validate_times(&self) -> Result<(), ConfigError> {
        let hooks = &self.webhooks;
        let times = [
            (
                "webhooks.delivery_timeout_ms",
                hooks.delivery_timeout_ms,
                100..=60_000,
            ),
            (
                "webhooks.retry_first_ms",
                hooks.retry_first_ms,
                10..=HOUR_MS,
            ),
            ("webhooks.retry_for_s", hooks.retry_for_s, 1..=30 * 86_400),
            (
                "webhooks.deliveries_kept_s",
                hooks.deliveries_kept_s,
                1..=YEAR_S,
            ),
        ];
        for (setting, value, range) in [
            ("auth_timeout_ms", self.auth_timeout_ms, 1..=HOUR_MS),
            ("socket_ping_ms", self.socket_ping_ms, 1..=HOUR_MS),
            ("drain_ms", self.drain_ms, 0..=HOUR_MS),
            (
                "publisher_grace_ms",
                self.publisher_grace_ms,
                0..=24 * HOUR_MS,
            ),
            ("room_idle_ms", self.room_idle_ms, 0..=24 * HOUR_MS),
            ("cleanup_ms", self.cleanup_ms, 1..=24 * HOUR_MS),
            ("access_token_ttl_s", self.access_token_ttl_s, 1..=YEAR_S),
            ("refresh_token_ttl_s", self.refresh_token_ttl_s, 1..=YEAR_S),
            // It is remembered for so long who was put out.
            (
                "join_token_ttl_s",
                self.join_token_ttl_s,
                1..=API_TTL.as_secs(),
            ),
            (
                "scheduled_room_ttl_s",
                self.scheduled_room_ttl_s,
                1..=YEAR_S,
            ),
            ("ready_room_ttl_s", self.ready_room_ttl_s, 1..=YEAR_S),
            ("stun_discovery_s", self.stun_discovery_s, 1..=86_400),
            ("hsts_max_age_s", self.hsts_max_age_s, 0..=2 * YEAR_S),
            (
                "analytics.viewers_kept_s",
                self.analytics.viewers_kept_s,
                3_600..=10 * YEAR_S,
            ),
        ]
        .into_iter()
        .chain(times)
        {
            check_range(setting, value, range)?;
        }
        Ok(())
    }

    fn validate_key(&self, key: &str, secret: &Secret) -> Result<(), String> {
        // An issuer of OpenID is a URL; no key shall be taken for one, nor its people for those of a provider.
        if !is_prefix(key, 40) || key == "klieg" {
            return Err(format!(
                "{key:?}: the name of a key has 1 to 40 letters, digits, - and _, and is not klieg"
            ));
        }
        if self.oidc.iter().any(|provider| provider.name == key) {
            return Err(format!("{key:?} is the name of a provider, too"));
        }
        if !self.dev && secret.expose().len() < 32 {
            return Err(format!(
                "the secret of {key:?} is shorter than 32 characters"
            ));
        }
        Ok(())
    }

    fn validate_providers(&self) -> Result<(), String> {
        let (mut names, mut issuers) = (BTreeSet::new(), BTreeSet::new());
        for provider in &self.oidc {
            validate_provider(provider)?;
            let name = &provider.name;
            if !names.insert(name) || !issuers.insert(&provider.issuer) {
                return Err(format!("{name:?}: two providers of one name or issuer"));
            }
        }
        Ok(())
    }
}

/// Returns whether it is a host, of which an address of IPv6 stands in brackets, and a port.
fn check_range<T>(
    setting: &'static str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), ConfigError>
where
    T: PartialOrd + Display,
{
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = range.into_inner();
    let reason = format!("{value} is out of range: expected {least} to {most}");
    Err(invalid(setting, reason))
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_host = address.map_or_else(
        || !host.is_empty() && !host.contains([',', '/', ' ', ':', '[', ']', '@']),
        |address| address.parse::<Ipv6Addr>().is_ok(),
    );
    is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Refuses a setting that nobody would heed.
fn needs_kafka(setting: &'static str) -> Result<(), ConfigError> {
    if cfg!(feature = "kafka") {
        return Ok(());
    }
    let reason = "this server is built without the feature `kafka` (docs/kafka.md)";
    Err(invalid(setting, reason))
}

fn validate_provider(provider: &OidcProvider) -> Result<(), String> {
    let name = &provider.name;
    if !is_prefix(name, 32) {
        return Err(format!(
            "{name:?}: `name` has 1 to 32 letters, digits, - and _"
        ));
    }
    check_url(&provider.issuer).map_err(|error| format!("{name}: issuer: {error}"))?;
    if let Some(url) = &provider.jwks_url {
        check_url(url).map_err(|error| format!("{name}: jwks_url: {error}"))?;
    }
    if provider.audiences.is_empty() {
        // Tokens that the provider makes for others would let people in here.
        return Err(format!("{name}: `audiences` is empty"));
    }
    if provider.algorithms.is_empty() {
        return Err(format!("{name}: `algorithms` is empty"));
    }
    Ok(())
}

/// Returns whether identities may begin with this, and a colon after it.
fn is_prefix(name: &str, length: usize) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=length).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with("guest")
}

/// Returns whether the text is a name that an authority gives a certificate for by a look at a server: of at least two
/// labels (RFC 1123), and no address.
fn is_domain(text: &str) -> bool {
    let allowed = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253
        && text.contains('.')
        && text.split('.').all(label)
        && !last.bytes().all(|it| it.is_ascii_digit())
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

const HOUR_MS: u64 = 60 * 60 * 1000;

const YEAR_S: u64 = 366 * 24 * 60 * 60;

/// They are asked one after the other, while the start waits.
const MAX_STUN_SERVERS: usize = 3;

/// As many as the best-known authority puts into one certificate.
const MAX_DOMAINS: usize = 100;

/// From what sound needs to what no browser sends.
const BYTES_PER_SECOND: RangeInclusive<u64> = 10_000..=1_000_000_000;

/// More than the ports and the open files of one machine allow.
const MAX_CONNECTIONS: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_built_in_is_valid() {
        Config::default().validate().unwrap();
        Config::development().validate().unwrap();
    }

    type Break = fn(&mut Config);

    #[test]
    fn a_setting_that_makes_no_sense_is_named() {
        let broken = |change: Break| {
            let mut config = Config::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        let cases: [(Break, &str); 28] = [
            (|c| c.tls_cert = Some("/c".into()), "tls_key"),
            (|c| c.tls_key = Some("/k".into()), "tls_cert"),
            (
                |c| c.http_redirect = Some(([0, 0, 0, 0], 80).into()),
                "http_redirect",
            ),
            (
                |c| c.acme_domains = vec!["*.a.example".into()],
                "acme_domains",
            ),
            (
                |c| c.acme_domains = vec!["192.0.2.7".into()],
                "acme_domains",
            ),
            (|c| c.acme_contacts = vec!["ann".into()], "acme_contacts"),
            (|c| c.acme_directory = "acme".into(), "acme_directory"),
            (|c| c.max_tls_handshakes = 0, "max_tls_handshakes"),
            (
                |c| c.allowed_origins = vec!["shop.example".into()],
                "allowed_origins",
            ),
            (
                |c| c.public_url = Some("https://live.example/".into()),
                "public_url",
            ),
            (|c| c.kafka_topic = "a topic".into(), "kafka_topic"),
            (|c| c.kafka_group = String::new(), "kafka_group"),
            (|c| c.kafka_brokers = vec![":9092".into()], "kafka_brokers"),
            (|c| c.dev = true, "http"),
            (|c| c.auth_timeout_ms = 0, "auth_timeout_ms"),
            (|c| c.refresh_token_ttl_s = 0, "refresh_token_ttl_s"),
            (|c| c.drain_ms = 9_000_000_000_000_000_000, "drain_ms"),
            (|c| c.publisher_grace_ms = u64::MAX, "publisher_grace_ms"),
            (|c| c.join_token_ttl_s = 604_801, "join_token_ttl_s"),
            (|c| c.media_shards = 65, "media_shards"),
            (|c| c.media_hold_ms = Some(11), "media_hold_ms"),
            (|c| c.max_sockets = usize::MAX, "max_sockets"),
            (|c| c.max_handshakes = 0, "max_handshakes"),
            (
                |c| c.database_url = Some(Secret::new("mysql://x")),
                "database_url",
            ),
            (|c| c.max_http_sessions = usize::MAX, "max_http_sessions"),
            (
                |c| c.api_keys = BTreeMap::from([("k".into(), Secret::new("s"))]),
                "api_keys",
            ),
            (|c| c.oidc = vec![OidcProvider::default()], "oidc"),
            (|c| c.ice.turn_urls = vec!["turn:t.example".into()], "ice"),
        ];
        for (change, setting) in cases {
            let text = broken(change);
            assert!(text.starts_with(&format!("config: {setting}: ")), "{text}");
        }
    }

    #[test]
    fn a_broker_has_a_host_and_a_port() {
        for good in [
            "kafka.example:9092",
            "10.0.0.7:1",
            "[::1]:9092",
            "kafka_1:65535",
        ] {
            assert!(is_host_and_port(good), "{good}");
        }
        for bad in [
            "",
            ":9092",
            "kafka.example",
            "kafka.example:",
            "kafka.example:0",
            "kafka.example:65536",
            "kafka.example:x",
            "::1:9092",
            "[::1]",
            "[]:9092",
            "[kafka]:9092",
            "kafka://kafka.example:9092",
            "a:9092,b:9092",
            "kafka example:9092",
        ] {
            assert!(!is_host_and_port(bad), "{bad}");
        }
    }

    #[test]
    #[cfg(feature = "kafka")]
    fn a_broker_that_is_none_is_named() {
        let mut config = Config {
            kafka_brokers: vec!["kafka.example:9092".into(), ":9092".into()],
            ..Config::default()
        };
        let text = config.validate().unwrap_err().to_string();
        let said = "kafka_brokers: \":9092\": expected host:port, as in kafka.example:9092";
        assert!(text.contains(said), "{text}");
        config.kafka_brokers.pop();
        config.validate().unwrap();
    }

    #[test]
    fn what_contradicts_tls_is_refused() {
        let with = |change: Break| {
            let mut config = Config {
                acme_domains: vec!["live.example".into()],
                ..Config::default()
            };
            change(&mut config);
            config.validate().map_err(|error| error.to_string())
        };
        with(|c| c.public_url = Some("https://live.example".into())).unwrap();
        with(|c| c.http_redirect = Some(([0, 0, 0, 0], 80).into())).unwrap();
        let changes: [(Break, &str); 3] = [
            (
                |c| c.public_url = Some("http://live.example".into()),
                "public_url",
            ),
            (
                |c| {
                    c.tls_cert = Some("/c".into());
                    c.tls_key = Some("/k".into());
                },
                "acme_domains",
            ),
            (|c| c.hsts_max_age_s = u64::MAX, "hsts_max_age_s"),
        ];
        for (change, setting) in changes {
            let text = with(change).unwrap_err();
            assert!(text.starts_with(&format!("config: {setting}: ")), "{text}");
        }
    }

    #[test]
    #[cfg(not(feature = "kafka"))]
    fn settings_of_kafka_are_refused_where_it_is_not_built_in() {
        let changes: [Break; 3] = [
            |c| c.kafka_brokers = vec!["kafka.example:9092".into()],
            |c| c.kafka_topic = "orders".into(),
            |c| c.kafka_group = "shop".into(),
        ];
        for change in changes {
            let mut config = Config::default();
            change(&mut config);
            let text = config.validate().unwrap_err().to_string();
            assert!(text.starts_with("config: kafka_"), "{text}");
            assert!(text.contains("without the feature `kafka`"), "{text}");
        }
    }

    #[test]
    fn a_provider_says_for_whom_its_tokens_are_and_speaks_tls() {
        let good = OidcProvider {
            name: "id".into(),
            issuer: "https://id.example/realms/live".into(),
            audiences: vec!["klieg".into()],
            ..OidcProvider::default()
        };
        let check = |providers: &[&OidcProvider]| {
            let oidc = providers.iter().map(|&it| it.clone()).collect();
            let config = Config {
                oidc,
                ..Config::default()
            };
            config.validate().map_err(|error| error.to_string())
        };
        check(&[&good]).unwrap();
        let broken: [(OidcProvider, &str); 4] = [
            (
                OidcProvider {
                    audiences: vec![],
                    ..good.clone()
                },
                "audiences",
            ),
            (
                OidcProvider {
                    algorithms: vec![],
                    ..good.clone()
                },
                "algorithms",
            ),
            (
                OidcProvider {
                    issuer: "http://id.example".into(),
                    ..good.clone()
                },
                "issuer",
            ),
            (
                OidcProvider {
                    name: "a:b".into(),
                    ..good.clone()
                },
                "name",
            ),
        ];
        for (provider, named) in &broken {
            let text = check(&[provider]).unwrap_err();
            assert!(text.contains(named), "{text}");
        }
        assert!(
            check(&[&good, &good])
                .unwrap_err()
                .contains("two providers")
        );
    }
}
