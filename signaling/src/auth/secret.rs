//! Secrets: how they are kept, hashed and not printed.

use std::fmt;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize, Serializer};

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares without telling by its duration how much was right.
    pub(crate) fn is(&self, text: &str) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), text.as_bytes()).is_ok()
    }

    /// Returns SHA-256 in hexadecimal. For keys of 128 random bits or more; a password needs more than this.
    pub(crate) fn hash(&self) -> String {
        hex(digest(&SHA256, self.0.as_bytes()).as_ref())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Writes bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Writes that there is one: what is written is for people.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("…")
    }
}

/// Reads the secret that signs this server's own tokens; makes one, readable by its owner alone, when there
/// is none.
///
/// # Errors
/// The file cannot be read or made, or what it holds is too short.
pub(crate) fn signing_secret(file: &Path) -> std::io::Result<Secret> {
    let mut options = std::fs::OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(file) {
        Ok(mut new) => {
            let secret = Secret::new(format!("{}{}", crate::id::random(), crate::id::random()));
            new.write_all(secret.expose().as_bytes())?;
            new.sync_all()?;
            Ok(secret)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let mut text = String::new();
            std::fs::File::open(file)?
                .take(4096)
                .read_to_string(&mut text)?;
            let text = text.trim();
            if text.len() < MIN_SIGNING_SECRET_BYTES {
                return Err(std::io::Error::new(
                    ErrorKind::InvalidData,
                    "shorter than 32 bytes",
                ));
            }
            Ok(Secret::new(text))
        }
        Err(error) => Err(error),
    }
}

/// HS256 wants a key as long as its hash (RFC 7518, section 3.2).
const MIN_SIGNING_SECRET_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hush")), "Secret(…)");
    }

    #[test]
    fn a_hash_is_that_of_the_standard() {
        let hash = Secret::new("abc").hash();
        assert_eq!(
            hash,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
