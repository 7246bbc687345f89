//! `klieg backup`: a copy of the database.

use std::path::PathBuf;

use clap::Args;

use super::Settings;
use crate::config::ConfigError;
use crate::store;

/// Where the copy goes, and where the database is.
#[derive(Debug, Args)]
pub struct BackupArguments {
    /// File to write; there must be none by this name
    #[arg(value_name = "FILE")]
    to: PathBuf,
    /// The settings of the server.
    #[command(flatten)]
    settings: Settings,
}

impl BackupArguments {
    /// Writes the copy.
    ///
    /// # Errors
    /// The configuration cannot be used, the file is there already, or the database cannot be read.
    pub async fn write(&self) -> anyhow::Result<()> {
        let location = self.settings.load()?.database()?;
        if self.to.exists() {
            let text = format!("{}: there is such a file already", self.to.display());
            return Err(ConfigError::Unreadable(text).into());
        }
        let done = store::back_up(&location, &self.to).await;
        done.map_err(|error| anyhow::anyhow!("{error}{}", error.hint()))
    }
}
