//! Where certificates come from: files, or an authority that is asked for them.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tracing::warn;

use super::Tls;
use super::acme::Acme;
use super::files::{Files, keep_up};
use super::handshake::Handshakes;
use crate::config::Config;
use crate::drain::Phase;
use crate::metrics;

/// TLS as a server runs it.
#[derive(Debug)]
pub(crate) struct Front {
    tls: Arc<Tls>,
    source: Source,
    handshakes: Arc<Handshakes>,
    /// Has the files read again.
    again: Arc<Notify>,
}

#[derive(Debug)]
enum Source {
    Files(Files),
    Authority(Arc<Acme>),
}

impl Front {
    /// Shows the certificate that there is; `None` where the server does without TLS.
    ///
    /// # Errors
    /// The files cannot be used, or nothing can be asked of the authority, in words.
    pub(crate) fn open(config: &Config, metrics: &metrics::Tls) -> Result<Option<Self>, String> {
        let source = match Files::of(config) {
            Some(files) => Source::Files(files),
            None if config.acme_domains.is_empty() => return Ok(None),
            None => Source::Authority(Arc::new(Acme::new(config)?)),
        };
        let tls = Tls::new(metrics.clone()).map_err(|error| error.to_string())?;
        let held = match &source {
            Source::Files(files) => {
                let held = files.read().map_err(|error| error.to_string())?;
                files.warn_of_names(&held);
                Some(held)
            }
            Source::Authority(acme) => acme.held(),
        };
        if let Some(held) = held {
            tls.show(&held).map_err(|error| error.to_string())?;
        } else {
            warn!("there is no certificate yet: nobody gets in until the authority gives one");
        }
        let tls = Arc::new(tls);
        Ok(Some(Self {
            handshakes: Arc::new(Handshakes::new(Arc::clone(&tls), config.max_tls_handshakes)),
            tls,
            source,
            again: Arc::new(Notify::new()),
        }))
    }

    /// Keeps the certificate as it is to be, until the server closes.
    pub(crate) fn keep_up(&self, phase: watch::Receiver<Phase>) {
        let tls = Arc::clone(&self.tls);
        match &self.source {
            Source::Files(files) => {
                let again = Arc::clone(&self.again);
                tokio::spawn(keep_up(tls, files.clone(), again, phase));
            }
            Source::Authority(acme) => {
                tokio::spawn(Arc::clone(acme).keep_up(tls, phase));
            }
        }
    }

    /// Reads the files again, where there are some.
    pub(crate) fn read_again(&self) {
        self.again.notify_one();
    }

    /// Returns what takes handshakes.
    pub(crate) fn handshakes(&self) -> Arc<Handshakes> {
        Arc::clone(&self.handshakes)
    }
}
