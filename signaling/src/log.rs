//! Logs: to standard error, so that standard output has only what was asked for.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::config::{Config, ConfigError, LogFormat};

/// The log of this process.
#[derive(Debug)]
pub struct Log(reload::Handle<EnvFilter, Registry>);

impl Log {
    /// Begins to write it.
    ///
    /// # Errors
    /// The filter is none.
    pub fn start(config: &Config) -> Result<Self, ConfigError> {
        let (filter, handle) = reload::Layer::new(filter(config)?);
        let log = tracing_subscriber::fmt::layer()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        let registry = tracing_subscriber::registry().with(filter);
        match config.log_format {
            LogFormat::Human => registry.with(log).init(),
            LogFormat::Json => registry.with(log.json().flatten_event(true)).init(),
        }
        Ok(Self(handle))
    }

    /// Changes which lines are written.
    ///
    /// # Errors
    /// The filter is none.
    pub fn change(&self, config: &Config) -> Result<(), ConfigError> {
        self.0
            .reload(filter(config)?)
            .map_err(|error| invalid(&error))
    }
}

fn filter(config: &Config) -> Result<EnvFilter, ConfigError> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| invalid(&error))?;
    // These write whole messages into the log at their lowest levels, tokens and all.
    let quiet = [
        "tungstenite=info",
        "tokio_tungstenite=info",
        "hyper=info",
        "hyper_util=info",
        "rustls=info",
    ];
    let quiet = quiet
        .into_iter()
        .filter_map(|directive| directive.parse().ok());
    Ok(quiet.fold(filter, EnvFilter::add_directive))
}

fn invalid(error: &dyn std::error::Error) -> ConfigError {
    ConfigError::Invalid {
        setting: "log",
        reason: error.to_string(),
    }
}
