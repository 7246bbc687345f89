//! What was got of an authority, in the data folder: the account, and the last certificate with its key.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The folder.
#[derive(Debug)]
pub(super) struct Cache(PathBuf);

/// A certificate, and what it was asked for with: with other settings it is no use.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) directory: String,
    pub(super) domains: Vec<String>,
    /// As the authority gave it, in PEM.
    pub(super) chain: String,
    /// In PEM.
    pub(super) key: String,
}

/// When an authority refused, and what it was asked for.
#[derive(Serialize, Deserialize)]
pub(super) struct Refusals {
    pub(super) directory: String,
    pub(super) domains: Vec<String>,
    /// In milliseconds since 1970, the last one last.
    pub(super) at: Vec<i64>,
}

#[derive(Deserialize)]
struct KeptAccount {
    directory: String,
    credentials: AccountCredentials,
}

#[derive(Serialize)]
struct NewAccount<'a> {
    directory: &'a str,
    credentials: &'a AccountCredentials,
}

impl Cache {
    /// Stands in the data folder.
    pub(super) fn new(data: &Path) -> Self {
        Self(data.join("acme"))
    }

    /// Looks whether anything can be kept.
    ///
    /// # Errors
    /// Nothing can.
    pub(super) fn check(&self) -> io::Result<()> {
        self.write("probe", &())
    }

    /// Returns the last certificate; `None` where there is none that can be read.
    pub(super) fn certificate(&self) -> Option<Kept> {
        self.read(CERTIFICATE)
    }

    /// # Errors
    /// It cannot be written.
    pub(super) fn keep_certificate(&self, kept: &Kept) -> io::Result<()> {
        self.write(CERTIFICATE, kept)
    }

    /// Returns the account with an authority; `None` where there is none.
    pub(super) fn account(&self, directory: &str) -> Option<AccountCredentials> {
        let kept: KeptAccount = self.read(ACCOUNT)?;
        (kept.directory == directory).then_some(kept.credentials)
    }

    /// # Errors
    /// It cannot be written.
    pub(super) fn keep_account(
        &self,
        directory: &str,
        credentials: &AccountCredentials,
    ) -> io::Result<()> {
        let account = NewAccount {
            directory,
            credentials,
        };
        self.write(ACCOUNT, &account)
    }

    pub(super) fn forget_account(&self) {
        let _ = std::fs::remove_file(self.0.join(ACCOUNT));
    }

    /// Returns when the last orders were refused; `None` where none was, or nothing can be read.
    pub(super) fn refusals(&self) -> Option<Refusals> {
        self.read(REFUSALS)
    }

    /// # Errors
    /// They cannot be written.
    pub(super) fn keep_refusals(&self, refusals: &Refusals) -> io::Result<()> {
        self.write(REFUSALS, refusals)
    }

    pub(super) fn forget_refusals(&self) {
        let _ = std::fs::remove_file(self.0.join(REFUSALS));
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let file = File::open(self.0.join(name)).ok()?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Writes a file as a whole or not at all, for nobody else to read.
    fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let mut folder = DirBuilder::new();
        folder.recursive(true).mode(0o700).create(&self.0)?;
        let new = self.0.join(format!("{name}.new"));
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        file.sync_all()?;
        std::fs::rename(new, self.0.join(name))
    }
}

const ACCOUNT: &str = "account.json";
const CERTIFICATE: &str = "certificate.json";
const REFUSALS: &str = "refusals.json";

/// More than a chain of a hundred names and its key have.
const MAX_BYTES: u64 = 1024 * 1024;
