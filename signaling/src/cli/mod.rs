//! The command line.

#![expect(
    clippy::doc_markdown,
    reason = "what stands here is printed by --help as it is"
)]

mod token;

mod user;

mod check;

mod outside;

mod backup;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;

pub use backup::BackupArguments;
pub use check::{CheckArguments, Findings};
pub use token::TokenArguments;
pub use user::UserArguments;

use crate::config::{Config, ConfigError, Loaded, LogFormat, unknown_variables};

/// A self-hosted live-streaming server: one publisher to a room, and everybody else watches and chats.
///
/// To try it: `klieg --dev`, then open http://localhost:8080/ in a browser. To run it for others, give it a
/// folder (`--data`), the address of the machine as the internet sees it (`--media-address`), and a certificate
/// (`--tls-cert`, `--tls-key`) or its name (`--acme-domain`), with which it speaks HTTPS; or, behind a proxy that ends
/// HTTPS, `--public-url`. Media goes by UDP, past the proxy.
///
/// Every setting can also stand in a file (`klieg.toml`) or in the environment (`KLIEG_HTTP=…`); flags win.
/// Those without a flag are set with `--set`. docs/configuration.md lists them all.
#[derive(Debug, Parser)]
#[command(name = "klieg", version, args_conflicts_with_subcommands = true)]
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
    /// Run the server, as `klieg` without a command does.
    Serve(Settings),
    /// Print a token with which somebody joins a room.
    ///
    /// The token is signed with an API key, one of `[api_keys]` in the configuration of the server it is for;
    /// `--dev` has one built in. Example:
    ///
    /// klieg token --dev --room demo --identity ann --publish
    Token(TokenArguments),
    /// Write a copy of the database while the server runs.
    ///
    /// Of SQLite it is a database like the first one; of PostgreSQL what pg_restore reads. The secret that signs
    /// tokens stands beside it in the data folder. Example:
    ///
    /// klieg backup --data /var/lib/klieg /backup/klieg.db
    Backup(BackupArguments),
    /// Make, list, change and delete accounts.
    ///
    /// Works while the server runs; what a change takes away is gone within two seconds. Example:
    ///
    /// klieg user add ann --role host
    User(UserArguments),
    /// Read the configuration as the server would, say what is set and where, and try the ports and this machine.
    ///
    /// Asked of a STUN server, such as the relay of another Klieg, it also says how others see this machine. Example:
    ///
    /// klieg check --stun stun.example:3478
    Check(CheckArguments),
    /// Print the description of the REST API (OpenAPI 3.1).
    Openapi,
    /// Print the schema of the messages on the WebSocket (JSON Schema 2020-12).
    Protocol,
}

/// Settings as flags. What is not given is left to the environment, the file and what is built in.
#[derive(Debug, Default, Args, Serialize)]
pub struct Settings {
    /// Configuration file [default: klieg.toml in this folder, where there is one]
    #[arg(long, env = "KLIEG_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Try it on this machine: anybody signs in by name, there is a room `demo`, HTTP is on loopback alone
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dev: bool,
    /// Folder of the database and of the secret that signs tokens; made when missing [default: data]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// Where pages, REST and WebSockets are served, TCP [default: 0.0.0.0:8080; with --dev 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Certificate with its chain, PEM: HTTPS is spoken; read again when it changes
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate, PEM
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// Name for which certificates are got by themselves (ACME); may be repeated; agrees to the authority's terms
    #[arg(long = "acme-domain", value_name = "NAME")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub acme_domains: Vec<String>,
    /// Where sound and pictures come and go, UDP; must be reachable from outside [default: 0.0.0.0:7882]
    #[arg(long, value_name = "ADDRESS:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<String>,
    /// Address that browsers send media to: behind NAT the public one; may be repeated [default: this machine's]
    #[arg(long = "media-address", visible_alias = "public-ip", value_name = "IP")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media_addresses: Vec<IpAddr>,
    /// Threads that forward media, 64 at most [default: one per core]
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_shards: Option<usize>,
    /// How browsers reach this server where a proxy stands in front, such as https://live.example
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Another site whose pages may use this server, such as https://shop.example; may be repeated
    #[arg(long = "allowed-origin", value_name = "ORIGIN")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<String>,
    /// How logs are written: for people, or one JSON object a line [default: human]
    #[arg(long, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,
    /// Which logs are written, such as info,klieg_sfu=debug [default: info]
    #[arg(long, value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// How long a room waits for a publisher that was lost, in milliseconds [default: 30000]
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publisher_grace_ms: Option<u64>,
    /// Any other setting by its name in the file, such as max_sockets=500; may be repeated
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
        let loaded = self.read()?;
        if let Some((variable, meant)) = unknown_variables().into_iter().next() {
            let meant = meant.map_or_else(String::new, |it| format!("did you mean {it}? "));
            let text = format!("{variable} is no setting; {meant}docs/configuration.md lists them");
            return Err(ConfigError::Unreadable(text));
        }
        Ok(loaded.config)
    }

    fn read(&self) -> Result<Loaded, ConfigError> {
        let others = self.others.iter().map(|setting| {
            setting.split_once('=').ok_or_else(|| {
                ConfigError::Unreadable(format!("--set {setting}: expected NAME=VALUE"))
            })
        });
        let others: Vec<(&str, &str)> = others.collect::<Result<_, _>>()?;
        Loaded::read(self.config.as_deref(), self, &others)
    }
}

fn unusable(flag: &str, reason: &str) -> ConfigError {
    ConfigError::Unreadable(format!("{flag} {reason}"))
}
