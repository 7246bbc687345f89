//! `klieg token`: signs a token as an application does.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::{Settings, unusable};
use crate::auth::{API_TTL, Authority, Ended, Others, Providers, VideoGrants, mint};
use crate::config::ConfigError;
use crate::id::RoomId;

/// What a token shall say, and where its key is.
#[derive(Debug, Args)]
pub struct TokenArguments {
    /// Room that the token opens, by its id
    #[arg(long, value_name = "ID")]
    room: String,
    /// Who it is for: your own id of them, the same whenever they come
    #[arg(long, value_name = "ID")]
    identity: String,
    /// Name that others see [default: the identity]
    #[arg(long)]
    name: Option<String>,
    /// Let them publish, not only watch
    #[arg(long)]
    publish: bool,
    /// Let them keep order in the chat
    #[arg(long)]
    moderate: bool,
    /// Seconds in which it can be used to join, 604800 at most; who is in stays in
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=API_TTL.as_secs()))]
    ttl_s: u64,
    /// API key that signs, by its name [default: the first one]
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// Configuration file with the API keys [default: klieg.toml in this folder, where there is one]
    #[arg(long, env = "KLIEG_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// For a server that runs with --dev: sign with the key that it has built in
    #[arg(long)]
    dev: bool,
}

impl TokenArguments {
    /// Makes the token.
    ///
    /// # Errors
    /// The configuration cannot be used or has no such key, or no server would take the token.
    pub fn mint(&self) -> anyhow::Result<String> {
        let settings = Settings {
            config: self.config.clone(),
            dev: self.dev,
            ..Settings::default()
        };
        let keys = settings.load()?.api_keys;
        let key = match &self.key {
            Some(name) => keys.get_key_value(name),
            None => keys.first_key_value(),
        };
        let (key, secret) = key.ok_or_else(|| self.no_key())?;
        let video = VideoGrants {
            room: Some(self.room.clone()),
            room_join: true,
            can_publish: Some(self.publish),
            room_admin: self.moderate,
            ..VideoGrants::default()
        };
        let name = self.name.as_deref().unwrap_or_default();
        let ttl = Duration::from_secs(self.ttl_s);
        let token = mint((key, secret), (&self.identity, name), video, ttl)?;
        if RoomId::parse(&self.room).is_none() {
            return Err(unusable("--room", "is no room's id").into());
        }
        // What the server would refuse is better refused here.
        let others = Others::new(keys.clone(), Providers::default());
        let ended = Arc::new(Ended::new(ttl));
        let authority = Authority::new(secret.clone(), others, ended);
        authority
            .verify_signed(&token)
            .map_err(|_| unusable("--identity", "or --name is empty or too long"))?;
        Ok(token)
    }

    fn no_key(&self) -> ConfigError {
        let reason = match &self.key {
            Some(name) => format!("there is no key {name:?}"),
            None => {
                "there is none to sign with; add one to the configuration, or use --dev".to_owned()
            }
        };
        ConfigError::Invalid {
            setting: "api_keys",
            reason,
        }
    }
}
