//! Time-limited TURN credentials (draft-uberti-behave-turn-rest-00, section 2.2).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Secret;

/// A user name and a password for the long-term mechanism of TURN.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// `expiry:identity`, the expiry in seconds since 1970.
    pub username: String,
    /// `base64(HMAC-SHA1(secret, username))`.
    pub password: String,
}

impl Credential {
    /// Makes the credential that holds for `identity` until `expires_at_s`, in seconds since 1970.
    ///
    /// TURN servers have the identity in their logs, and count by it who has how much. What could be misread there is replaced by `_`, and
    /// it is cut to 64 characters, well below the 508 bytes that a user name may have (RFC 8489, section 14.3); the last of
    /// them are then a hash of the whole, so that nobody shares a name with somebody else.
    pub fn new(secret: &Secret, identity: &str, expires_at_s: u64) -> Self {
        let username = format!("{expires_at_s}:{}", label(identity));
        let password = password(secret, &username);
        Self { username, password }
    }
}

/// Returns what stands for an identity in a user name.
fn label(identity: &str) -> String {
    let mut label: String = identity.chars().take(MAX_LABEL).map(label_char).collect();
    if label == identity {
        return label;
    }
    // One byte each by now.
    label.truncate(MAX_LABEL - 2 * HASH_BYTES - 1);
    label.push('.');
    let hash = digest(&SHA256, identity.as_bytes());
    let hash = hash.as_ref().iter().take(HASH_BYTES);
    hash.fold(label, |label, byte| format!("{label}{byte:02x}"))
}

/// Returns the password that goes with a user name.
pub(crate) fn password(secret: &Secret, username: &str) -> String {
    // The scheme fixes SHA-1; as HMAC it has no known weakness.
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, username.as_bytes()))
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// A second colon would end the user name early in coturn; the rest keeps logs readable.
fn label_char(c: char) -> char {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' => c,
        _ => '_',
    }
}

const MAX_LABEL: usize = 64;
const HASH_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_what_other_implementations_compute() {
        // printf 1433895918:filia | openssl dgst -sha1 -hmac my_secret_my_secret -binary | base64
        let credential =
            Credential::new(&Secret::new("my_secret_my_secret"), "filia", 1_433_895_918);
        assert_eq!(credential.username, "1433895918:filia");
        assert_eq!(credential.password, "hzKvwhaPgsuG6QeS+xIo/jvkh1U=");
    }

    #[test]
    fn an_identity_cannot_add_a_field_or_a_line() {
        let credential = Credential::new(&Secret::new("secret"), "a:b\nč", 7);
        // printf 'a:b\nč' | sha256sum
        assert_eq!(credential.username, "7:a_b__.0ac6195be258c13a");
    }

    #[test]
    fn a_long_identity_is_cut_and_is_nobody_elses() {
        let of = |identity: &str| Credential::new(&Secret::new("secret"), identity, 7).username;
        let [one, other] = [10_000, 10_001].map(|length| of(&"x".repeat(length)));
        assert_eq!((one.len(), other.len()), ("7:".len() + 64, "7:".len() + 64));
        assert_ne!(one, other);
        assert_ne!(of("Анна"), of("Иван"));
    }

    #[test]
    fn the_password_is_not_printed() {
        let credential = Credential::new(&Secret::new("secret"), "a", 7);
        assert!(!format!("{credential:?}").contains(&credential.password));
    }
}
