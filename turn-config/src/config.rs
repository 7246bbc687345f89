//! What an operator says about STUN and TURN, and the limits of it.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use serde::Deserialize;

use crate::ConfigError;
use crate::url::{Scheme, parse};

/// The settings as they stand in the configuration file; all may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `stun:` and `stuns:` URLs (RFC 7064). Clients of Klieg itself need none: the server tells its own address.
    pub stun_urls: Vec<String>,
    /// `turn:` and `turns:` URLs (RFC 7065) of servers that know `turn_secret`.
    pub turn_urls: Vec<String>,
    /// What coturn calls `static-auth-secret`.
    pub turn_secret: Secret,
    /// Servers of some countries; clients there are told these instead of the two lists above.
    pub regions: Vec<RegionServers>,
    /// How long credentials hold, in seconds. An allocation outlives them only until its next refresh.
    pub turn_credential_ttl_s: u64,
}

/// The servers of some countries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegionServers {
    /// Two letters each (ISO 3166-1).
    pub countries: Vec<String>,
    /// As [`Config::stun_urls`].
    pub stun_urls: Vec<String>,
    /// As [`Config::turn_urls`]; they know the same secret.
    pub turn_urls: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stun_urls: Vec::new(),
            turn_urls: Vec::new(),
            turn_secret: Secret::default(),
            regions: Vec::new(),
            turn_credential_ttl_s: 12 * 60 * 60,
        }
    }
}

impl Config {
    /// Checks everything that can be checked without a network.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        validate_list("stun_urls", &self.stun_urls, &[Scheme::Stun, Scheme::Stuns])?;
        validate_list("turn_urls", &self.turn_urls, &[Scheme::Turn, Scheme::Turns])?;
        if !TTL_RANGE_S.contains(&self.turn_credential_ttl_s) {
            return Err(ConfigError::Ttl(self.turn_credential_ttl_s));
        }
        self.validate_regions()?;
        let secret_bytes = self.turn_secret.as_bytes().len();
        let mut turn = self.regions.iter().map(|region| &region.turn_urls);
        let has_turn = !self.turn_urls.is_empty() || turn.any(|urls| !urls.is_empty());
        match secret_bytes {
            0 if !has_turn => Ok(()),
            0 => Err(ConfigError::MissingSecret),
            1..MIN_SECRET_BYTES => Err(ConfigError::ShortSecret(secret_bytes)),
            MIN_SECRET_BYTES.. => Ok(()),
        }
    }
}

impl Config {
    fn validate_regions(&self) -> Result<(), ConfigError> {
        let count = self.regions.len();
        if count > MAX_REGIONS {
            return Err(ConfigError::TooManyRegions(count));
        }
        let mut known = BTreeSet::new();
        for region in &self.regions {
            let (stun, turn) = (&region.stun_urls, &region.turn_urls);
            validate_list("regions.stun_urls", stun, &[Scheme::Stun, Scheme::Stuns])?;
            validate_list("regions.turn_urls", turn, &[Scheme::Turn, Scheme::Turns])?;
            if region.countries.is_empty() || stun.is_empty() && turn.is_empty() {
                return Err(ConfigError::EmptyRegion);
            }
            for country in &region.countries {
                let is_country =
                    country.len() == 2 && country.bytes().all(|it| it.is_ascii_uppercase());
                if !is_country {
                    return Err(ConfigError::Country(country.clone()));
                }
                if !known.insert(country) {
                    return Err(ConfigError::CountryTwice(country.clone()));
                }
            }
        }
        Ok(())
    }
}

fn validate_list(
    list: &'static str,
    urls: &[String],
    schemes: &'static [Scheme],
) -> Result<(), ConfigError> {
    if urls.len() > MAX_URLS {
        return Err(ConfigError::TooManyUrls {
            list,
            count: urls.len(),
            max: MAX_URLS,
        });
    }
    for url in urls {
        parse(url, schemes).map_err(|reason| ConfigError::Url {
            list,
            url: url.clone(),
            reason,
        })?;
    }
    Ok(())
}

/// A shared secret; it is never printed.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text that the TURN server has in its own configuration.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns whether nobody has set it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() {
            "Secret(unset)"
        } else {
            "Secret(…)"
        })
    }
}

/// Firefox warns from five URLs on; browsers gather candidates through every one of them.
const MAX_URLS: usize = 8;

/// As many as there are countries, and no more than a person keeps in order.
pub(crate) const MAX_REGIONS: usize = 64;

/// A password is an HMAC of known text: a short secret can be found by trying.
pub(crate) const MIN_SECRET_BYTES: usize = 16;

/// A minute lets a join finish; a week is longer than any broadcast.
pub(crate) const TTL_RANGE_S: RangeInclusive<u64> = 60..=7 * 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_asks_for_no_server_and_is_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn a_turn_server_needs_a_secret_of_some_length() {
        let mut config = Config {
            turn_urls: vec!["turn:t.example".into()],
            ..Config::default()
        };
        assert_eq!(config.validate(), Err(ConfigError::MissingSecret));

        config.turn_secret = Secret::new("fifteen bytes..");
        assert_eq!(config.validate(), Err(ConfigError::ShortSecret(15)));

        config.turn_secret = Secret::new("sixteen bytes...");
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn an_entry_in_the_wrong_list_is_named_with_its_list() {
        let config = Config {
            stun_urls: vec!["turn:t.example".into()],
            ..Config::default()
        };
        let error = config.validate().unwrap_err().to_string();
        assert_eq!(
            error,
            r#"stun_urls: "turn:t.example": the scheme is turn, expected stun or stuns"#
        );
    }

    #[test]
    fn too_many_urls_are_refused() {
        let config = Config {
            stun_urls: vec!["stun:s.example".into(); 9],
            ..Config::default()
        };
        let error = config.validate().unwrap_err().to_string();
        assert_eq!(error, "stun_urls: 9 entries, at most 8 are allowed");
    }

    #[test]
    fn a_country_is_in_one_region_which_names_servers() {
        let refused = |regions: &[(&[&str], &str)]| {
            let region = |(countries, url): &(&[&str], &str)| RegionServers {
                countries: countries.iter().map(|&it| it.to_owned()).collect(),
                turn_urls: Some(*url)
                    .filter(|it| !it.is_empty())
                    .map(str::to_owned)
                    .into_iter()
                    .collect(),
                ..RegionServers::default()
            };
            let config = Config {
                turn_secret: Secret::new("sixteen bytes..."),
                regions: regions.iter().map(region).collect(),
                ..Config::default()
            };
            config.validate().map_err(|error| error.to_string())
        };
        let (hanoi, paris): (&[&str], &[&str]) = (&["VN", "TH"], &["FR"]);
        let url = "turn:t.example";
        assert_eq!(refused(&[(hanoi, url), (paris, url)]), Ok(()));
        let cases = [
            (vec![(hanoi, url), (&["TH"], url)], "TH stands in two"),
            (vec![(&["vn"][..], url)], "\"vn\" is no country"),
            (vec![(&["VNM"][..], url)], "\"VNM\" is no country"),
            (vec![(&[][..], url)], "names no country"),
            (vec![(hanoi, "")], "no server"),
            (vec![(hanoi, "stun:s.example")], "regions.turn_urls: "),
            (vec![(hanoi, url); 65], "65 entries"),
        ];
        for (regions, said) in cases {
            let text = refused(&regions).unwrap_err();
            assert!(text.contains(said), "{text}");
        }
        let config = Config {
            regions: vec![RegionServers {
                countries: vec!["VN".into()],
                turn_urls: vec![url.into()],
                ..RegionServers::default()
            }],
            ..Config::default()
        };
        assert_eq!(config.validate(), Err(ConfigError::MissingSecret));
    }

    #[test]
    fn credentials_hold_between_a_minute_and_a_week() {
        for (ttl, valid) in [
            (0, false),
            (59, false),
            (60, true),
            (604_800, true),
            (604_801, false),
        ] {
            let config = Config {
                turn_credential_ttl_s: ttl,
                ..Config::default()
            };
            assert_eq!(config.validate().is_ok(), valid, "{ttl}");
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        let config = Config {
            turn_secret: Secret::new("hunter2hunter2hunter2"),
            ..Config::default()
        };
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let read: Result<Config, _> = serde_json::from_str(r#"{"turn_url":"turn:t.example"}"#);
        assert!(
            read.unwrap_err()
                .to_string()
                .contains("unknown field `turn_url`")
        );
    }
}
