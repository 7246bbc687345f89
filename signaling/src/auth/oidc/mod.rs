//! Tokens of OpenID providers, checked with the keys that the provider publishes (OpenID Connect Discovery 1.0,
//! RFC 7517). Roles are read where Keycloak writes them.

mod claims;

mod keys;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation};
use tracing::debug;

use super::Identity;
use super::claims::invalid;
use crate::config::{OidcProvider, SigningAlgorithm};
use crate::error::{ApiError, Code};
use crate::fetch::{FetchError, Fetcher};
use crate::metrics::Metrics;
use claims::Claims;
use keys::{Key, Keys};

/// The providers, by their issuer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Providers(BTreeMap<String, Arc<Provider>>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Provider {
    settings: OidcProvider,
    keys: Arc<Keys>,
}

impl Providers {
    /// Takes these. Of those that were there before under the same settings the keys are kept.
    pub(crate) fn new(
        settings: &[OidcProvider],
        before: &Self,
        fetcher: &Fetcher,
        metrics: &Metrics,
    ) -> Self {
        let providers = settings.iter().map(|settings| {
            let same = before.find(&settings.issuer);
            let provider = match same.filter(|provider| provider.settings == *settings) {
                Some(provider) => Arc::clone(provider),
                None => Arc::new(Provider {
                    settings: settings.clone(),
                    keys: Arc::new(Keys::new(settings, fetcher.clone(), metrics)),
                }),
            };
            (settings.issuer.clone(), provider)
        });
        Self(providers.collect())
    }

    /// Returns the provider that issues tokens under this name.
    pub(super) fn find(&self, issuer: &str) -> Option<&Arc<Provider>> {
        self.0.get(issuer)
    }

    /// Returns the names under which they issue tokens.
    pub(super) fn issuers(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Gets the keys of all, so that the first who signs in need not wait. Without them tokens are refused until a
    /// later try succeeds.
    pub(crate) fn warm_up(&self) {
        for provider in self.0.values() {
            let keys = Arc::clone(&provider.keys);
            tokio::spawn(async move { keys.fetch_if_due().await });
        }
    }
}

/// Returns how many keys a provider publishes that sign, for those who look whether it can be reached.
///
/// # Errors
/// It cannot.
pub(crate) async fn signing_keys(
    settings: &OidcProvider,
    fetcher: &Fetcher,
) -> Result<usize, FetchError> {
    let url = settings.jwks_url.as_deref();
    let keys = keys::fetch(&settings.issuer, url, fetcher).await?;
    Ok(keys.len())
}

impl Provider {
    /// Says whose token it is.
    ///
    /// # Errors
    /// `token_expired` for one that held once, `token_invalid` for any other that does not.
    pub(super) async fn verify(&self, token: &str) -> Result<Identity, ApiError> {
        let header = header(&self.settings, token)?;
        let key = self.keys.find(header.kid.as_deref(), header.alg).await;
        let key = key.ok_or_else(|| refused(&self.settings, "its key is not known"))?;
        let claims = claims(&self.settings, token, (header.alg, &*key))?;
        let identity = claims.identity(&self.settings);
        identity.map_err(|reason| refused(&self.settings, reason))
    }
}

/// Tells who runs the server why a token does not hold; who shows it is told nothing but that.
fn refused(settings: &OidcProvider, reason: &str) -> ApiError {
    debug!(provider = %settings.name, reason, "token refused");
    invalid()
}

/// Says in words what is wrong with a token. What it says itself is not repeated.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the others are faults of the token's form, and further ones may be added"
)]
fn reason(error: &jsonwebtoken::errors::Error) -> String {
    match error.kind() {
        ErrorKind::InvalidSignature => "the signature is wrong".to_owned(),
        ErrorKind::InvalidIssuer => "`iss` is not `issuer`".to_owned(),
        ErrorKind::InvalidAudience => "`aud` has none of `audiences`".to_owned(),
        ErrorKind::ImmatureSignature => "`nbf` is in the future".to_owned(),
        ErrorKind::MissingRequiredClaim(claim) => format!("`{claim}` is missing"),
        ErrorKind::Json(_) => "the claims are not as expected: `sub`, `exp`".to_owned(),
        _ => "it is no token that can be read".to_owned(),
    }
}

/// Reads what a token shall be checked with.
fn header(settings: &OidcProvider, token: &str) -> Result<Header, ApiError> {
    let header = jsonwebtoken::decode_header(token);
    let header = header.map_err(|error| refused(settings, &reason(&error)))?;
    // No extension is known here, and one that is critical is to be known (RFC 7515, section 4.1.11).
    if header.crit.is_some() {
        return Err(refused(settings, "`crit` names what is not known here"));
    }
    // The list holds no algorithm with a shared secret, so a public key is never taken for one.
    let mut allowed = settings.algorithms.iter().copied();
    if allowed.any(|it| Algorithm::from(it) == header.alg) {
        Ok(header)
    } else {
        let reason = format!(
            "`alg` is {:?}, which `algorithms` does not have",
            header.alg
        );
        Err(refused(settings, &reason))
    }
}

/// Reads what a token says, once its signature holds.
fn claims(
    settings: &OidcProvider,
    token: &str,
    (algorithm, key): (Algorithm, &Key),
) -> Result<Claims, ApiError> {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY_S;
    validation.validate_nbf = true;
    validation.set_issuer(&[&settings.issuer]);
    validation.set_audience(&settings.audiences);
    validation.set_required_spec_claims(&["exp", "iss", "sub", "aud"]);
    match jsonwebtoken::decode(token, key.decoding(), &validation) {
        Ok(data) => Ok(data.claims),
        Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => {
            debug!(provider = %settings.name, reason = "`exp` is over", "token refused");
            Err(ApiError::new(Code::TokenExpired, "The token has expired."))
        }
        Err(error) => Err(refused(settings, &reason(&error))),
    }
}

/// Reads keys, a token for them, and claims, as strangers may send them: the door for fuzzing. Returns whose name the
/// claims show, be it those of the token or those beside it.
pub(crate) fn read_hostile(keys: &str, token: &str, said: &str) -> Option<String> {
    let settings = OidcProvider {
        name: "id".to_owned(),
        issuer: "https://id.example".to_owned(),
        audiences: vec!["klieg".to_owned()],
        algorithms: vec![
            SigningAlgorithm::Rs256,
            SigningAlgorithm::Es256,
            SigningAlgorithm::EdDsa,
        ],
        ..OidcProvider::default()
    };
    let signed = header(&settings, token).and_then(|header| {
        let key = keys::find_in(keys, header.kid.as_deref(), header.alg).ok_or_else(invalid)?;
        claims(&settings, token, (header.alg, &*key))
    });
    let claims = signed.ok().or_else(|| serde_json::from_str(said).ok());
    let identity = claims?.identity(&settings).ok()?;
    Some(identity.name)
}

impl From<SigningAlgorithm> for Algorithm {
    fn from(algorithm: SigningAlgorithm) -> Self {
        match algorithm {
            SigningAlgorithm::Rs256 => Self::RS256,
            SigningAlgorithm::Rs384 => Self::RS384,
            SigningAlgorithm::Rs512 => Self::RS512,
            SigningAlgorithm::Ps256 => Self::PS256,
            SigningAlgorithm::Ps384 => Self::PS384,
            SigningAlgorithm::Ps512 => Self::PS512,
            SigningAlgorithm::Es256 => Self::ES256,
            SigningAlgorithm::Es384 => Self::ES384,
            SigningAlgorithm::EdDsa => Self::EdDSA,
        }
    }
}

/// What the provider's clock may differ by.
const LEEWAY_S: u64 = 30;
