//! ICE server lists for clients, with time-limited TURN credentials (draft-uberti-behave-turn-rest-00), and a relay of
//! Klieg's own.
//!
//! Klieg shares one secret with its TURN servers. Each client gets a user name that says until when it
//! holds and a password that only the secret's owners can compute, so a TURN server needs no account data.
//! The template for coturn is `coturn.conf.template` beside this crate's manifest.

mod config;

mod url;

mod credential;

mod servers;

pub mod relay;

mod discover;

mod reach;

pub use config::{Config, RegionServers, Secret};
pub use credential::Credential;
pub use discover::{DiscoverError, seen_address};
pub use reach::{Outpost, ReachError, reached_from};
pub(crate) use relay::REALM;
pub use servers::{IceServer, IceServers};
pub use url::UrlError;

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// An entry of `stun_urls` or `turn_urls` is not what the list is for.
    #[error("{list}: {url:?}: {reason}")]
    Url {
        /// The name of the setting.
        list: &'static str,
        /// The entry as it was written.
        url: String,
        /// What is wrong with it.
        reason: UrlError,
    },
    /// More URLs than a client should be asked to try.
    #[error("{list}: {count} entries, at most {max} are allowed")]
    TooManyUrls {
        /// The name of the setting.
        list: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// More regions than anybody keeps in order.
    #[error("regions: {0} entries, at most {max} are allowed", max = config::MAX_REGIONS)]
    TooManyRegions(usize),
    /// A region for nobody, or without servers.
    #[error("regions: one of them names no country, or no server")]
    EmptyRegion,
    /// What no country has as its letters.
    #[error("regions: {0:?} is no country: two capital letters are expected, as in VN")]
    Country(String),
    /// A country whose clients would be told either.
    #[error("regions: {0} stands in two of them")]
    CountryTwice(String),
    /// TURN servers without the secret that their credentials are made from.
    #[error("turn_urls is set, but turn_secret is empty: no credentials can be made")]
    MissingSecret,
    /// A secret so short that a captured password gives it away.
    #[error("turn_secret: {0} bytes, at least {min} are needed", min = config::MIN_SECRET_BYTES)]
    ShortSecret(usize),
    /// Credentials that end before they are used, or live longer than anyone watches.
    #[error(
        "turn_credential_ttl_s: {0}, expected {min} to {max}",
        min = config::TTL_RANGE_S.start(),
        max = config::TTL_RANGE_S.end()
    )]
    Ttl(u64),
}
