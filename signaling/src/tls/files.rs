//! Certificate and key in files, which others renew while the server runs.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tracing::{error, warn};

use super::Tls;
use super::certificate::{Certificate, CertificateError};
use crate::config::Config;
use crate::drain::Phase;
use crate::time::Timestamp;

/// Where a certificate and its key stand.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    /// By which name browsers come, where that is known.
    host: Option<String>,
}

/// Why files cannot be used; one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesError {
    /// One cannot be read.
    #[error("{setting}: {}: {source}", path.display())]
    Unreadable {
        setting: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// What stands in them cannot be shown.
    #[error("{setting}: {}: {source}", path.display())]
    Wrong {
        setting: &'static str,
        path: PathBuf,
        source: CertificateError,
    },
}

/// By what a changed file is known, without reading it: when it was written, how long it is, which it is. `None`:
/// there is none.
type Stamp = Option<(i64, i64, u64, u64)>;

impl Files {
    /// Returns where they stand; `None` where the server is told of none.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let (certificate, key) = (config.tls_cert.clone()?, config.tls_key.clone()?);
        let host = config.public_host();
        Some(Self {
            certificate,
            key,
            host,
        })
    }

    /// Returns where the key stands.
    pub(crate) fn key(&self) -> &Path {
        &self.key
    }

    /// Reads them.
    ///
    /// # Errors
    /// One cannot be read, or they do not belong together.
    pub(crate) fn read(&self) -> Result<Certificate, FilesError> {
        let chain = read(CERTIFICATE, &self.certificate)?;
        let key = read(KEY, &self.key)?;
        Certificate::read(&chain, &key).map_err(|source| {
            let (setting, path) = if source.is_of_key() {
                (KEY, &self.key)
            } else {
                (CERTIFICATE, &self.certificate)
            };
            FilesError::Wrong {
                setting,
                path: path.clone(),
                source,
            }
        })
    }

    /// Says where browsers will refuse it, for it is for other names.
    pub(crate) fn warn_of_names(&self, certificate: &Certificate) {
        if let Some(host) = self.host.as_ref().filter(|host| !certificate.is_for(host)) {
            let names = certificate.names.join(" ");
            warn!(%names, %host, "certificate is for other names than that of public_url: browsers refuse it");
        }
    }

    /// Reads what is to be shown in the place of what is shown now.
    fn read_next(&self, tls: &Tls) -> Result<Certificate, FilesError> {
        let next = self.read()?;
        let now = Timestamp::now();
        if next.valid_until <= now && tls.holds(now) {
            return Err(FilesError::Wrong {
                setting: CERTIFICATE,
                path: self.certificate.clone(),
                source: CertificateError::Expired(next.valid_until),
            });
        }
        self.warn_of_names(&next);
        Ok(next)
    }

    fn stamps(&self) -> [Stamp; 2] {
        let stamp = |it: Metadata| (it.ctime(), it.ctime_nsec(), it.len(), it.ino());
        [&self.certificate, &self.key].map(|path| std::fs::metadata(path).ok().map(stamp))
    }
}

/// Shows what stands in the files whenever they change, or somebody says that they did. What cannot be used changes
/// nothing.
pub(crate) async fn keep_up(
    tls: Arc<Tls>,
    files: Files,
    again: Arc<Notify>,
    mut phase: watch::Receiver<Phase>,
) {
    let mut seen = files.stamps();
    loop {
        let told = tokio::select! {
            () = again.notified() => true,
            () = tokio::time::sleep(LOOK) => false,
            _ = phase.wait_for(|phase| *phase == Phase::Closing) => return,
        };
        tls.warn_of_end();
        // Before they are read: what changes meanwhile is seen next time.
        let stamps = files.stamps();
        if !told && stamps == seen {
            continue;
        }
        let read = files.read_next(&tls);
        // What could not be read, for want of a descriptor, say, is tried again.
        if !matches!(read, Err(FilesError::Unreadable { .. })) {
            seen = stamps;
        }
        let shown = read.map_err(|error| error.to_string());
        let shown = shown.and_then(|it| tls.show(&it).map_err(|error| error.to_string()));
        // Of two files that are written one after the other the first makes no sense for a moment.
        if let Err(error) = shown {
            error!(%error, "certificate stays as it was");
        }
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, FilesError> {
    let mut bytes = Vec::new();
    let read = File::open(path)
        .and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes))
        .and_then(|read| {
            let fits = u64::try_from(read).is_ok_and(|read| read < MAX_BYTES);
            let large = || io::Error::new(io::ErrorKind::FileTooLarge, "is too large");
            fits.then_some(()).ok_or_else(large)
        });
    let path = path.to_owned();
    match read {
        Ok(()) => Ok(bytes),
        Err(source) => Err(FilesError::Unreadable {
            setting,
            path,
            source,
        }),
    }
}

const CERTIFICATE: &str = "tls_cert";
const KEY: &str = "tls_key";

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// More than any chain has.
const MAX_BYTES: u64 = 256 * 1024;
