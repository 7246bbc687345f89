//! The folder of what outlives the process, which belongs to one server at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::auth::{Secret, signing_secret};

/// The folder, held against other servers for as long as this lives.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    /// Locked; the kernel lets it go with the process, however that ends.
    lock: File,
}

/// Why the folder cannot be used; one line.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It cannot be made, read or written.
    #[error("data folder {}: {source}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Two servers on one database would each think the other's rooms ended, and send its numbers twice.
    #[error(
        "data folder {}: another klieg uses it{}; stop that one, or choose another folder with --data",
        path.display(),
        process.as_ref().map(|id| format!(" (process {id})")).unwrap_or_default()
    )]
    InUse {
        /// Which.
        path: PathBuf,
        /// The other's process id; `None` when it has not said.
        process: Option<String>,
    },
}

impl DataFolder {
    /// Makes the folder when it is missing, and takes it for this server.
    ///
    /// # Errors
    /// It cannot be used, or another server uses it.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let unusable = |source| DataError::Unusable {
            path: path.to_owned(),
            source,
        };
        // Chat and secrets are in it.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(unusable)?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).mode(0o600);
        let mut lock = options.open(path.join("klieg.lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataError::InUse {
                    path: path.to_owned(),
                    process: holder(&mut lock),
                });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        sign(&mut lock).map_err(unusable)?;
        Ok(Self {
            path: path.to_owned(),
            lock,
        })
    }

    /// Reads the secret that signs this server's own tokens; makes one when there is none.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(crate) fn signing_secret(&self) -> Result<Secret, DataError> {
        let file = self.path.join("signing-secret");
        signing_secret(&file).map_err(|source| DataError::Unusable { path: file, source })
    }
}

impl Drop for DataFolder {
    /// Lets the folder go at once: closing alone would leave it locked for as long as a child process, between
    /// its fork and its exec, has the same open file.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(path = %self.path.display(), %error, "data folder stays locked until the process ends");
        }
    }
}

/// Says whose the folder is, for the message that the next one gets.
fn sign(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.seek(SeekFrom::Start(0))?;
    writeln!(lock, "{}", std::process::id())
}

fn holder(lock: &mut File) -> Option<String> {
    let mut text = String::new();
    lock.take(32).read_to_string(&mut text).ok()?;
    let id: u32 = text.trim().parse().ok()?;
    Some(id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_let_go_even_while_a_child_process_has_its_lock_open() {
        let path = std::env::temp_dir().join(format!("klieg-data-{}", crate::id::random()));
        let folder = DataFolder::open(&path).unwrap();
        assert!(matches!(
            DataFolder::open(&path),
            Err(DataError::InUse { .. })
        ));
        // What a fork leaves in the child: another descriptor of the same open file.
        let inherited = folder.lock.try_clone().unwrap();
        drop(folder);
        DataFolder::open(&path).unwrap();
        drop(inherited);
        std::fs::remove_dir_all(&path).unwrap();
    }
}
