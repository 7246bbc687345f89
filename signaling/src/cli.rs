//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::auth::{VideoGrants, mint};
use crate::config::{Config, ConfigError, LogFormat};

/// A self-hosted live-streaming server.
#[derive(Debug, Parser)]
#[command(name = "klieg", version, about, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; without it: serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The settings, where no command is given.
    #[command(flatten)]
    pub settings: Settings,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the server (also what `klieg` does on its own).
    Serve(Settings),
    /// Prints a token that lets somebody into a room, signed with an API key of the configuration.
    Token(TokenArguments),
}

/// Settings as flags. What is not given is left to the environment, the file and what is built in.
#[derive(Debug, Default, Args, Serialize)]
pub struct Settings {
    /// The configuration file; without it `klieg.toml` here, where there is one.
    #[arg(long, env = "KLIEG_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// For development: loopback alone, sign-in by name, room `demo` (stream key `demo-key`).
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dev: bool,
    /// Where the database and the secrets are.
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// Where HTTP and the pages are served [default: 0.0.0.0:8080].
    #[arg(long, value_name = "ADDRESS:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Where media comes and goes, UDP [default: 0.0.0.0:7882].
    #[arg(long, value_name = "ADDRESS:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<String>,
    /// An address that clients are told for media; may be repeated [default: found from the interfaces].
    #[arg(long = "media-address", value_name = "IP")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media_addresses: Vec<IpAddr>,
    /// Threads that forward media [default: one per core].
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_shards: Option<usize>,
    /// How clients reach the server, where a proxy stands in front.
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Another site whose pages may use this server; may be repeated.
    #[arg(long = "allowed-origin", value_name = "ORIGIN")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<String>,
    /// How logs are written.
    #[arg(long, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,
    /// Which logs are written, as `RUST_LOG` has it.
    #[arg(long, value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// How long a room waits for a publisher that was lost.
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publisher_grace_ms: Option<u64>,
    /// Any other setting by its name in the file; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    #[serde(skip)]
    pub others: Vec<String>,
}

impl Settings {
    /// Puts the settings together with those of file and environment.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let others = self.others.iter().map(|setting| {
            setting.split_once('=').ok_or_else(|| {
                ConfigError::Unreadable(format!("--set {setting}: expected NAME=VALUE"))
            })
        });
        let others: Vec<(&str, &str)> = others.collect::<Result<_, _>>()?;
        Config::load(self.config.as_deref(), self, &others)
    }
}

/// What a token shall say.
#[derive(Debug, Args)]
pub struct TokenArguments {
    #[command(flatten)]
    settings: Settings,
    /// The room.
    #[arg(long)]
    room: String,
    /// Who it is for.
    #[arg(long)]
    identity: String,
    /// The name that others see [default: the identity].
    #[arg(long, default_value = "")]
    name: String,
    /// Lets them publish.
    #[arg(long)]
    publish: bool,
    /// Lets them keep order.
    #[arg(long)]
    moderate: bool,
    /// How long it holds, in seconds.
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    ttl_s: u64,
    /// Which API key signs [default: the first].
    #[arg(long)]
    key: Option<String>,
}

impl TokenArguments {
    /// Makes the token.
    ///
    /// # Errors
    /// The configuration cannot be used or has no such key.
    pub fn mint(&self) -> anyhow::Result<String> {
        let keys = self.settings.load()?.api_keys;
        let key = match &self.key {
            Some(name) => keys.get_key_value(name),
            None => keys.first_key_value(),
        };
        let Some((key, secret)) = key else {
            let reason = "there is no such key".to_owned();
            return Err(ConfigError::Invalid {
                setting: "api_keys",
                reason,
            }
            .into());
        };
        let video = VideoGrants {
            room: Some(self.room.clone()),
            room_join: true,
            can_publish: Some(self.publish),
            room_admin: self.moderate,
            ..VideoGrants::default()
        };
        let ttl = Duration::from_secs(self.ttl_s);
        Ok(mint(
            (key, secret),
            (&self.identity, &self.name),
            video,
            ttl,
        )?)
    }
}
