//! A certificate and its key: read, found to belong together, and judged (RFC 5280).

use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_cert::Certificate as X509;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::time::Timestamp;

/// A certificate with its chain and key, as clients are shown it.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) key: Arc<CertifiedKey>,
    /// The names and addresses that it is for, as they are written.
    pub(crate) names: Vec<String>,
    pub(crate) valid_from: Timestamp,
    pub(crate) valid_until: Timestamp,
    /// Whether it comes without those between it and an authority that clients know, and needs them.
    pub(crate) is_alone: bool,
}

/// Why a certificate cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateError {
    /// There is none in the text.
    #[error("there is no certificate in it: expected PEM, -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// It is none.
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    /// There is no key in the text.
    #[error(
        "there is no private key in it: expected PEM, -----BEGIN PRIVATE KEY-----, without a password"
    )]
    NoKey,
    /// It is none that can sign.
    #[error("the key cannot be used: {0}")]
    BadKey(String),
    /// The key is another's.
    #[error("the key does not belong to the certificate")]
    Mismatch,
    /// It is over, and the one that is shown is not.
    #[error("it expired at {0}, and the one before still holds")]
    Expired(Timestamp),
}

impl CertificateError {
    /// Returns whether the key is at fault.
    pub(crate) fn is_of_key(&self) -> bool {
        matches!(self, Self::NoKey | Self::BadKey(_) | Self::Mismatch)
    }
}

impl Certificate {
    /// Reads a certificate, those between it and its authority, and its key, all in PEM (RFC 7468).
    ///
    /// # Errors
    /// Something is missing or does not belong to the rest.
    pub(crate) fn read(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|error| CertificateError::Unreadable(in_words(&error)))?;
        let first = chain.first().ok_or(CertificateError::NoCertificate)?;
        let unreadable = |error: x509_cert::der::Error| {
            let text = error.to_string();
            CertificateError::Unreadable(text)
        };
        let leaf = X509::from_der(first).map_err(unreadable)?;
        let leaf = leaf.tbs_certificate();
        let validity = leaf.validity();
        let moment = |time: x509_cert::time::Time| {
            let millis = time.to_unix_duration().as_millis();
            Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
        };
        Ok(Self {
            names: names(leaf.get_extension().map_err(unreadable)?),
            valid_from: moment(validity.not_before),
            valid_until: moment(validity.not_after),
            is_alone: chain.len() == 1 && leaf.issuer() != leaf.subject(),
            key: Arc::new(certified(chain, key)?),
        })
    }

    /// Returns whether clients that ask for a name take it.
    pub(crate) fn is_for(&self, name: &str) -> bool {
        let (Some(first), Ok(name)) = (self.key.cert.first(), ServerName::try_from(name)) else {
            return false;
        };
        let parsed = ParsedCertificate::try_from(first);
        parsed.is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
    }

    /// Returns how long it still holds.
    pub(crate) fn remaining(&self, now: Timestamp) -> Duration {
        self.valid_until.since(now)
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: &[u8],
) -> Result<CertifiedKey, CertificateError> {
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        if matches!(error, pem::Error::NoItemsFound) {
            CertificateError::NoKey
        } else {
            CertificateError::BadKey(in_words(&error))
        }
    })?;
    CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| {
        if error == Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
            CertificateError::Mismatch
        } else {
            CertificateError::BadKey(error.to_string())
        }
    })
}

/// Says what is wrong with a text; the library shows bytes as numbers.
fn in_words(error: &pem::Error) -> String {
    let pem::Error::MissingSectionEnd { end_marker } = error else {
        return error.to_string();
    };
    let marker = String::from_utf8_lossy(end_marker);
    format!("it ends before -----END {marker}-----")
}

fn names(extension: Option<(bool, SubjectAltName)>) -> Vec<String> {
    let names = extension.map(|(_, names)| names.0).unwrap_or_default();
    let names = names.into_iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => address(bytes.as_bytes()),
        GeneralName::OtherName(_)
        | GeneralName::Rfc822Name(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::UniformResourceIdentifier(_)
        | GeneralName::RegisteredId(_) => None,
    });
    names.collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from);
    v4.or_else(|_| v6()).ok().map(|address| address.to_string())
}

/// An operator is told so long before it expires.
pub(crate) const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn made(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn it_is_read_with_its_names_and_is_for_these_alone() {
        let (chain, key) = made(&["live.example", "*.cdn.example", "192.0.2.7", "2001:db8::7"]);
        let read = Certificate::read(chain.as_bytes(), key.as_bytes()).unwrap();
        let names = ["live.example", "*.cdn.example", "192.0.2.7", "2001:db8::7"];
        assert_eq!(read.names, names);
        assert!(!read.is_alone, "nobody stands above it");
        assert!(read.valid_from < Timestamp::now() && Timestamp::now() < read.valid_until);
        for name in ["live.example", "a.cdn.example", "192.0.2.7", "2001:db8::7"] {
            assert!(read.is_for(name), "{name}");
        }
        for name in ["example", "a.live.example", "cdn.example", "192.0.2.8", ""] {
            assert!(!read.is_for(name), "{name}");
        }
    }

    #[test]
    fn what_was_written_by_half_is_said_in_words() {
        let (chain, key) = made(&["live.example"]);
        let half = &chain.as_bytes()[..chain.len() / 2];
        let said = Certificate::read(half, key.as_bytes()).unwrap_err();
        assert!(
            said.to_string()
                .ends_with("it ends before -----END CERTIFICATE-----")
        );
        let half = &key.as_bytes()[..key.len() / 2];
        let said = Certificate::read(chain.as_bytes(), half).unwrap_err();
        assert!(
            said.to_string()
                .ends_with("it ends before -----END PRIVATE KEY-----")
        );
    }

    #[test]
    fn what_is_missing_or_does_not_belong_is_said() {
        let (chain, key) = made(&["live.example"]);
        let (_, other) = made(&["live.example"]);
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let locked =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for (chain, key, said, is_of_key) in [
            ("", key.as_str(), "there is no certificate", false),
            (&key, &key, "there is no certificate", false),
            (broken, &key, "cannot be read", false),
            (&chain, &chain, "there is no private key", true),
            (&chain, locked, "without a password", true),
            (&chain, no_key, "cannot be used", true),
            (&chain, &other, "does not belong", true),
        ] {
            let error = Certificate::read(chain.as_bytes(), key.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            assert_eq!(error.is_of_key(), is_of_key, "{error}");
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
        }
    }
}
