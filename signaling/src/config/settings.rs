//! Every setting: its name, its type, what is built in, and what it means. docs/configuration.md is made from it.

#![expect(
    clippy::doc_markdown,
    reason = "what stands at a setting is printed for operators as it is"
)]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::auth::{AccountRole, Secret};
use crate::webhook::target::Allowed;

use super::media_tcp::MediaTcp;
use super::network::Network;
use super::{HTTP_PORT, LETS_ENCRYPT, MEDIA_PORT};

/// What is said of a setting, beside its type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// As it stands in the file.
    pub(crate) name: &'static str,
    /// For operators, in Markdown.
    pub(crate) meaning: &'static str,
    /// Its flag and what follows that; `None`: `--set` alone. Read by the documentation.
    #[cfg(test)]
    pub(crate) flag: Option<&'static str>,
    /// Whether SIGHUP reads it again.
    pub(crate) live: bool,
}

/// Makes a table of settings: the struct, what is built in, and what is said of each.
macro_rules! settings {
    (
        $(#[$about:meta])*
        pub struct $table:ident {
            $(
                #[doc = $meaning:literal]
                $(#[doc = $more:literal])*
                $([$($mark:tt)+])?
                pub $name:ident: $type:ty = $built_in:expr,
            )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $table {
            $(
                #[doc = $meaning]
                $(#[doc = $more])*
                pub $name: $type,
            )+
        }

        impl Default for $table {
            fn default() -> Self {
                Self { $($name: $built_in,)+ }
            }
        }

        impl $table {
            /// What is said of each.
            pub(crate) const SETTINGS: &[Setting] = &[$(
                Setting {
                    name: stringify!($name),
                    meaning: concat!($meaning $(, $more)*),
                    #[cfg(test)]
                    flag: mark!(flag $($($mark)+)?),
                    live: mark!(live $($($mark)+)?),
                },
            )+];
        }
    };
}

/// Reads what stands in brackets before a setting.
macro_rules! mark {
    (flag live) => {
        None
    };
    (flag live $flag:literal) => {
        Some($flag)
    };
    (flag $flag:literal) => {
        Some($flag)
    };
    (flag) => {
        None
    };
    (live live $($rest:tt)*) => {
        true
    };
    (live $($rest:tt)*) => {
        false
    };
}

settings! {
    /// The settings.
    pub struct Config {
        /// for development, see [below](#development)
        ["--dev"]
        pub dev: bool = false,
        /// folder of the database and of the secret that signs tokens; made when missing. One server uses it at a
        /// time
        ["--data DIR"]
        pub data: PathBuf = PathBuf::from("data"),
        /// the database, where it is not the file `klieg.db` in `data`: `sqlite:FILE`, or
        /// `postgres://USER:PASSWORD@HOST/DATABASE`. Over TLS with `?sslmode=verify-full&sslrootcert=FILE`
        pub database_url: Option<Secret> = None,
        /// the file that holds it
        pub database_url_file: Option<PathBuf> = None,
        /// where pages, REST and WebSockets are served (TCP). Media by TCP (`media_tcp`) and the relay (`relay.listen`) share the port
        /// where they have the same address: `0.0.0.0:443`
        ["--http ADDRESS:PORT"]
        pub http: SocketAddr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, HTTP_PORT)),
        /// the certificate that clients are shown, and after it those that lead to an authority they know (PEM). With it HTTPS is
        /// spoken at `http`. Read again when the file changes, and at SIGHUP
        ["--tls-cert FILE"]
        pub tls_cert: Option<PathBuf> = None,
        /// the private key of the certificate (PEM, without a password); read again with it
        ["--tls-key FILE"]
        pub tls_key: Option<PathBuf> = None,
        /// the names for which certificates are got from an authority by themselves (ACME), and renewed: `live.example`. With
        /// them HTTPS is spoken at `http`, which the authority must reach as port 443 of each. Empty: none. Setting it agrees to
        /// the terms of the authority
        ["--acme-domain NAME"]
        pub acme_domains: Vec<String> = Vec::new(),
        /// where the authority writes to when something is wrong: `mailto:ann@live.example`
        pub acme_contacts: Vec<String> = Vec::new(),
        /// the directory of the authority
        pub acme_directory: String = LETS_ENCRYPT.to_owned(),
        /// certificates by which the authority's own server is known, where the system does not know it (PEM)
        pub acme_ca_file: Option<PathBuf> = None,
        /// where those are sent to HTTPS who come by plain HTTP: `0.0.0.0:80`; with TLS alone
        pub http_redirect: Option<SocketAddr> = None,
        /// for how long browsers that were here come by HTTPS alone (`Strict-Transport-Security`), where TLS is on; 0: no
        /// longer; two years at most
        pub hsts_max_age_s: u64 = 180 * 24 * 60 * 60,
        /// handshakes of TLS at once; one more ends the oldest. 1 to 1000000
        pub max_tls_handshakes: usize = 1_000,
        /// where media comes and goes (UDP); `[::]:7882` for IPv6 as well
        ["--media ADDRESS:PORT"]
        pub media: SocketAddr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, MEDIA_PORT)),
        /// where media comes and goes by TCP (ICE-TCP), for clients whose network lets no UDP pass: `auto`, on the address and
        /// the port's number of `media`; `off`; or `ADDRESS:PORT`, which may be that of `http`. A port forwarded by a router has to
        /// be the same outside
        pub media_tcp: MediaTcp = MediaTcp::Auto,
        /// addresses that clients are told for media. Empty: those from which the machine reaches others. Behind
        /// NAT: the public address
        ["--media-address IP"]
        pub media_addresses: Vec<IpAddr> = Vec::new(),
        /// STUN servers that may be asked under which address others see this machine, where that changes or is not known:
        /// `stun.example:3478`; three at most, instead of `media_addresses`. What they say is told clients before the addresses of
        /// the interfaces. Empty: nobody is asked
        pub stun_discovery: Vec<String> = Vec::new(),
        /// after how long they are asked again, so that newcomers are told an address that has changed; 1 to 86400
        pub stun_discovery_s: u64 = 300,
        /// threads that forward media, 64 at most; 0: one per core
        ["--media-shards COUNT"]
        pub media_shards: usize = 0,
        /// keeps each of them on a core of its own, where there are as many; for machines that do nothing else: whatever else
        /// runs on that core (signaling, handshakes, a database) holds the thread up, though another one may be idle
        pub media_pin_threads: bool = false,
        /// milliseconds, 0 to 10, that packets to viewers wait for others to leave with. More makes viewers cheaper
        /// and pictures later. A complete frame waits only where sound is expected to leave with it. Left out: by
        /// the load, 0 up to 50 %, 10 from 70 % on
        pub media_hold_ms: Option<u8> = None,
        /// whether the kernel gets several datagrams of a viewer in one call (`UDP_SEGMENT`): `auto`, where kernel,
        /// network card and path take them, or `off`
        pub media_gso: MediaGso = MediaGso::Auto,
        /// how clients reach the server where that is not what they ask for, as behind a proxy: `https://live.example`, without
        /// a path
        ["--public-url URL"]
        pub public_url: Option<String> = None,
        /// proxies in front of this server, as addresses or networks: `10.0.0.0/8`. Only they are believed when they say
        /// with `X-Forwarded-For` for whom they ask; limits go by that
        [live]
        pub trusted_proxies: Vec<Network> = Network::loopback(),
        /// whether a ban from a room goes with the addresses that the person came from (of IPv6 with the first 64 bits): while it
        /// holds, nobody enters from there but those who keep order. Of an address only a keyed hash is kept. Behind a proxy
        /// `trusted_proxies` must name it first
        [live]
        pub ban_addresses: bool = false,
        /// other sites whose pages may use the API and the WebSocket: `https://shop.example`. The server's own pages
        /// always may
        [live "--allowed-origin ORIGIN"]
        pub allowed_origins: Vec<String> = Vec::new(),
        /// whether people may make accounts themselves; otherwise `klieg user add` does
        [live]
        pub registration: bool = true,
        /// what those may do who make accounts themselves: `viewer` watches and chats, `host` creates rooms, `admin`
        /// looks after the server
        [live]
        pub new_account_role: AccountRole = AccountRole::Viewer,
        /// applications that sign tokens: name of the key and its secret, at least 32 characters. Their tokens hold for 7
        /// days at most
        [live]
        pub api_keys: BTreeMap<String, Secret> = BTreeMap::new(),
        /// the same with the files that hold the secrets
        [live]
        pub api_key_files: BTreeMap<String, PathBuf> = BTreeMap::new(),
        /// OpenID providers whose tokens are taken, see [below](#openid-providers)
        [live]
        pub oidc: Vec<OidcProvider> = Vec::new(),
        /// what a shop signs its orders with (`POST /api/v1/hooks/orders`); at least 32 characters. Without it no orders
        /// are taken
        [live]
        pub order_hook_secret: Option<Secret> = None,
        /// the file that holds it
        [live]
        pub order_hook_secret_file: Option<PathBuf> = None,
        /// where a shop tells of a product by its own id, with `{id}` for that, as JSON: what a host leaves out of a product
        /// comes from there ([protocol.md](protocol.md#products-and-orders)). `https://`, or `http://` on this machine
        pub catalogue_url: Option<String> = None,
        /// where a service of yours tells how somebody appears to others, with `{id}` for who that is, as JSON: their name
        /// and picture ([protocol.md](protocol.md#names-and-pictures)). `https://`, or `http://` on this machine
        pub profile_url: Option<String> = None,
        /// brokers of Apache Kafka from which a shop's orders are read, each `host:port`, for servers that are built with
        /// the feature `kafka` ([kafka.md](kafka.md)); they are spoken to in plain text. Empty: none
        pub kafka_brokers: Vec<String> = Vec::new(),
        /// the topic of the orders; 64 characters at most
        pub kafka_topic: String = "live-order-topic".to_owned(),
        /// the consumer group under which Kafka keeps how far they were read; 64 characters at most
        pub kafka_group: String = "klieg".to_owned(),
        /// bearer token that lets `/metrics` be read from elsewhere than this machine, and behind a proxy (`public_url`)
        /// at all; at least 16 characters
        pub metrics_token: Option<Secret> = None,
        /// the file that holds it
        pub metrics_token_file: Option<PathBuf> = None,
        /// `human`, or `json`: one object a line
        ["--log-format FORMAT"]
        pub log_format: LogFormat = LogFormat::Human,
        /// which logs are written, as `RUST_LOG` has it: `info,klieg_sfu=debug`
        [live "--log FILTER"]
        pub log: String = "info".to_owned(),
        /// STUN and TURN servers for clients
        pub ice: Ice = Ice::default(),
        /// the server's own TURN relay
        pub relay: Relay = Relay::default(),
        /// others who are told of what happens in rooms
        pub webhooks: Webhooks = Webhooks::default(),
        /// figures of audiences
        pub analytics: Analytics = Analytics::default(),
        /// how often things may be done; 0: as often as one likes
        [live]
        pub limits: Limits = Limits::default(),
        /// how long a room waits for a publisher that was lost, before its event is over; 86400000 at most
        ["--publisher-grace-ms MS"]
        pub publisher_grace_ms: u64 = 30_000,
        /// how often the clean-up worker looks for rooms that nobody uses; 1 to 86400000
        pub cleanup_ms: u64 = 30_000,
        /// after how long a scheduled room is cancelled that nobody started, counted from when it was to begin; a year
        /// at most
        pub scheduled_room_ttl_s: u64 = 7 * 24 * 60 * 60,
        /// after how long a started room is cancelled that had no media; reusable rooms may wait for ever. A
        /// year at most
        pub ready_room_ttl_s: u64 = 24 * 60 * 60,
        /// how long a socket may stay without a token; 1 to 3600000
        pub auth_timeout_ms: u64 = 10_000,
        /// after how long without anything from a client it is asked whether it lives; after three times as long it
        /// is given up. 1 to 3600000
        pub socket_ping_ms: u64 = 20_000,
        /// how long a room without anybody stays in memory; 86400000 at most. While a join token can be used that was
        /// minted here, ten minutes at most, it stays as well, so that it can be entered while the database is away; not
        /// where a thousand rooms are in memory
        pub room_idle_ms: u64 = 60_000,
        /// how long clients have to move after the server said that it stops; 3600000 at most
        pub drain_ms: u64 = 1_000,
        /// WebSockets at once; 1 to 1000000; keep it below the limit of open files
        pub max_sockets: usize = 15_000,
        /// sessions made by WHIP and WHEP at once; guests have four fifths of them at most
        pub max_http_sessions: usize = 15_000,
        /// sessions that may be connecting at once, whichever way they came
        pub max_handshakes: usize = 2_000,
        /// how long an access token holds, until it has to be refreshed; a year at most
        pub access_token_ttl_s: u64 = 12 * 60 * 60,
        /// how long one stays signed in without coming back; a year at most
        pub refresh_token_ttl_s: u64 = 30 * 24 * 60 * 60,
        /// how long a join token may be used to connect; 604800 at most
        pub join_token_ttl_s: u64 = 10 * 60,
    }
}

settings! {
    /// STUN and TURN servers for clients.
    pub struct Ice {
        /// STUN servers for clients: `stun:host:port`. Clients of Klieg itself need none
        pub stun_urls: Vec<String> = Vec::new(),
        /// TURN servers for clients: `turn:host:port?transport=udp`, `turns:host:port`
        pub turn_urls: Vec<String> = Vec::new(),
        /// what the TURN servers have as shared secret (coturn: `static-auth-secret`); at least 16 bytes
        pub turn_secret: Option<Secret> = None,
        /// the file that holds it
        pub turn_secret_file: Option<PathBuf> = None,
        /// how long TURN credentials hold, 60 to 604800
        pub turn_credential_ttl_s: u64 = 12 * 60 * 60,
        /// STUN and TURN servers for clients in some countries, see [below](#servers-by-country)
        pub regions: Vec<IceRegion> = Vec::new(),
    }
}

settings! {
    /// STUN and TURN servers for clients in some countries.
    pub struct IceRegion {
        /// which, two letters each (ISO 3166-1): `VN`. A country stands in one region alone
        pub countries: Vec<String> = Vec::new(),
        /// STUN servers for clients there, instead of `ice.stun_urls`
        pub stun_urls: Vec<String> = Vec::new(),
        /// TURN servers for clients there, instead of `ice.turn_urls`; they know the same `ice.turn_secret`
        pub turn_urls: Vec<String> = Vec::new(),
    }
}

settings! {
    /// The server's own TURN relay.
    pub struct Relay {
        /// where clients come to the relay, by UDP and by TCP, and where the server has a certificate by TLS on the same port:
        /// `0.0.0.0:3478`. It may be the address of `http`; where `media` has that port, too, UDP there is media's, and nobody comes to
        /// the relay by it. With it the relay runs, and clients are told of it. Left out: there is none
        pub listen: Option<SocketAddr> = None,
        /// the name or the address by which clients reach it. Left out: `media_addresses`, otherwise the address of `listen`,
        /// otherwise those that clients are told for media; by TLS the first of `acme_domains`, otherwise the host of `public_url`
        pub host: Option<String> = None,
        /// whom clients may reach through it: `media`, this server's own media alone; or `public`, everybody on the internet as
        /// well, but no reserved range
        pub peers: RelayPeers = RelayPeers::Media,
        /// peers that they may reach beside these, whatever range they are in: `10.0.0.9:7882`
        pub allow_peers: Vec<SocketAddr> = Vec::new(),
        /// the first of the ports (UDP) from which the relay sends to peers. They need not be reachable from outside, unless peers
        /// outside are
        pub first_port: u16 = 49_160,
        /// the last of them
        pub last_port: u16 = 49_959,
        /// allocations at once, each with a port of its own; 1 to 10000
        pub max_allocations: usize = 800,
        /// of them, those of one identity; 1 to 1000
        pub allocations_per_identity: usize = 12,
        /// bytes a second that pass through one allocation, in each direction; 10000 to 1000000000
        pub bytes_per_second: u64 = 1_500_000,
        /// connections by TCP and TLS at once; 1 to 1000000
        pub max_connections: usize = 1_000,
    }
}

settings! {
    /// How often things may be done; 0: as often as one likes.
    pub struct Limits {
        /// passwords tried a minute from one network (an address of IPv4, 64 bits of IPv6), and counted apart from them as many
        /// refresh tokens that do not hold; 0: no limit
        pub sign_ins_per_minute: u32 = 10,
        /// wrong passwords a minute for one name, from whatever network, before all who want to be it have to wait; 0: no
        /// limit
        pub wrong_passwords_per_minute: u32 = 200,
        /// accounts made an hour from one network; 0: no limit
        pub accounts_per_hour: u32 = 10,
        /// rooms created a minute by one identity; 0: no limit
        pub rooms_per_minute: u32 = 10,
        /// join tokens a minute by one identity, and for guests from one network; 0: no limit
        pub joins_per_minute: u32 = 600,
        /// wrong stream keys a minute from one network, before it has to wait; 0: no limit
        pub wrong_keys_per_minute: u32 = 60,
        /// offers a second by WHIP and WHEP from one network without a token that holds, and by guests. One that never
        /// connects holds a place for thirty seconds. 0: no limit
        pub guest_offers_per_second: u32 = 20,
    }
}

settings! {
    /// Others who are told of what happens in rooms.
    pub struct Webhooks {
        /// where webhooks may go beyond the internet: hosts (`hooks.internal`, whatever they resolve to), addresses and
        /// networks (`10.0.0.0/8`). Only there `http://` is taken
        pub allowed_targets: Vec<Allowed> = Vec::new(),
        /// how long a receiver may take to answer; 100 to 60000
        pub delivery_timeout_ms: u64 = 10_000,
        /// rooms of which one receiver is told at once, of each in order; 1 to 64
        pub deliveries_at_once: usize = 8,
        /// how long after the first attempt the second is; the pauses double up to an hour. 10 to 3600000
        pub retry_first_ms: u64 = 5_000,
        /// how long a receiver is tried to be told of an event; 1 to 2592000
        pub retry_for_s: u64 = 24 * 60 * 60,
        /// how long the log of deliveries goes back; not less than `retry_for_s`, a year at most
        pub deliveries_kept_s: u64 = 7 * 24 * 60 * 60,
    }
}

settings! {
    /// Figures of audiences.
    pub struct Analytics {
        /// a file of the format MaxMind DB that says in which country (`country.iso_code`) an address is; read at the start
        pub geoip_file: Option<PathBuf> = None,
        /// the header in which `trusted_proxies` say in which country a client is: `CF-IPCountry`. They must set it themselves
        pub region_header: Option<String> = None,
        /// how long viewers are kept by name after the last that is known of their event; 3600 to ten years
        pub viewers_kept_s: u64 = 90 * 24 * 60 * 60,
    }
}

settings! {
    /// An OpenID provider.
    pub struct OidcProvider {
        /// short name of the provider; its people's identities begin with it
        pub name: String = String::new(),
        /// as the provider writes it in its tokens: `https://id.example/realms/live`
        pub issuer: String = String::new(),
        /// one of these must be in `aud`: mostly the client id, or a name that the provider adds for servers
        pub audiences: Vec<String> = Vec::new(),
        /// how tokens may be signed: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA
        pub algorithms: Vec<SigningAlgorithm> = vec![SigningAlgorithm::Rs256],
        /// where the keys are; left out: `/.well-known/openid-configuration` of the issuer says so
        pub jwks_url: Option<String> = None,
        /// roles that make an admin. They are looked for in `realm_access.roles`, in `resource_access.CLIENT.roles`
        /// and in `roles`
        pub admin_roles: Vec<String> = Vec::new(),
        /// roles that let one create rooms; who has none of either watches and chats
        pub host_roles: Vec<String> = Vec::new(),
        /// the CLIENT above
        pub client: Option<String> = None,
    }
}

impl Config {
    /// Takes what can change while the server runs.
    pub(crate) fn take_live(&mut self, from: &Self) {
        self.trusted_proxies.clone_from(&from.trusted_proxies);
        self.allowed_origins.clone_from(&from.allowed_origins);
        self.ban_addresses = from.ban_addresses;
        self.registration = from.registration;
        self.new_account_role = from.new_account_role;
        self.api_keys.clone_from(&from.api_keys);
        self.api_key_files.clone_from(&from.api_key_files);
        self.oidc.clone_from(&from.oidc);
        self.order_hook_secret.clone_from(&from.order_hook_secret);
        self.order_hook_secret_file
            .clone_from(&from.order_hook_secret_file);
        self.log.clone_from(&from.log);
        self.limits.clone_from(&from.limits);
    }
}

impl Limits {
    /// Sets none.
    pub fn none() -> Self {
        Self {
            sign_ins_per_minute: 0,
            wrong_passwords_per_minute: 0,
            accounts_per_hour: 0,
            rooms_per_minute: 0,
            joins_per_minute: 0,
            wrong_keys_per_minute: 0,
            guest_offers_per_second: 0,
        }
    }
}

impl Ice {
    /// Returns the settings as the lists of servers are made from them.
    pub(crate) fn servers(&self) -> klieg_turn::Config {
        let secret = self.turn_secret.as_ref().map_or("", Secret::expose);
        klieg_turn::Config {
            stun_urls: self.stun_urls.clone(),
            turn_urls: self.turn_urls.clone(),
            turn_secret: klieg_turn::Secret::new(secret),
            regions: self.regions.iter().map(IceRegion::servers).collect(),
            turn_credential_ttl_s: self.turn_credential_ttl_s,
        }
    }
}

impl IceRegion {
    fn servers(&self) -> klieg_turn::RegionServers {
        klieg_turn::RegionServers {
            countries: self.countries.clone(),
            stun_urls: self.stun_urls.clone(),
            turn_urls: self.turn_urls.clone(),
        }
    }
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

/// Whom clients reach through the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelayPeers {
    /// The server's own media.
    Media,
    /// Everybody on the internet as well.
    Public,
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

/// How a provider may sign. None of these has a secret that both sides know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are those of RFC 7518, section 3.1")]
pub enum SigningAlgorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    #[serde(rename = "EdDSA")]
    EdDsa,
}
