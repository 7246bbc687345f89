//! Tokens of OpenID providers, checked with the keys that the provider publishes (OpenID Connect Discovery 1.0,
//! RFC 7517). Roles are read where Keycloak writes them.

mod keys;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;

use super::token::{MAX_NAME_LENGTH, invalid};
use super::{Access, AccountRole, Identity};
use crate::config::{OidcProvider, SigningAlgorithm};
use crate::error::{ApiError, Code};
use crate::fetch::{FetchError, Fetcher};
use crate::metrics::Metrics;
use crate::text;
use keys::Keys;

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

/// What is read of a provider's token.
#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    #[serde(default)]
    iat: u64,
    /// Keycloak: `Bearer` for access tokens, `ID` and `Refresh` for what is not for servers like this.
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    preferred_username: Option<String>,
    #[serde(default)]
    realm_access: Roles,
    #[serde(default)]
    resource_access: BTreeMap<String, Roles>,
    #[serde(flatten)]
    roles: Roles,
}

#[derive(Debug, Default, Deserialize)]
struct Roles {
    #[serde(default)]
    roles: Vec<String>,
}

impl Provider {
    /// Says whose token it is.
    ///
    /// # Errors
    /// `token_expired` for one that held once, `token_invalid` for any other that does not.
    pub(super) async fn verify(&self, token: &str) -> Result<Identity, ApiError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
        // The list holds no algorithm with a shared secret, so a public key is never taken for one.
        let allowed = self.settings.algorithms.iter();
        if !allowed.copied().any(|it| Algorithm::from(it) == header.alg) {
            return Err(invalid());
        }
        let key = self.keys.find(header.kid.as_deref(), header.alg).await;
        let key = key.ok_or_else(invalid)?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&self.settings.audiences);
        validation.set_required_spec_claims(&["exp", "iss", "sub", "aud"]);
        match jsonwebtoken::decode::<Claims>(token, key.decoding(), &validation) {
            Ok(data) => self.identity(data.claims),
            Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => {
                Err(ApiError::new(Code::TokenExpired, "The token has expired."))
            }
            Err(_) => Err(invalid()),
        }
    }

    fn identity(&self, claims: Claims) -> Result<Identity, ApiError> {
        let for_others = matches!(
            claims.typ.as_deref(),
            Some("ID" | "Refresh" | "Offline" | "Logout")
        );
        // What is added is short: the whole fits where other identities do.
        let fits = claims.sub.chars().count() <= MAX_NAME_LENGTH / 2;
        if for_others || claims.sub.is_empty() || !fits {
            return Err(invalid());
        }
        let role = self.role(&claims);
        let name = claims.name.or(claims.preferred_username);
        let name = text::clean(&name.unwrap_or_default());
        let name: String = name.chars().take(super::NAME_LENGTH).collect();
        Ok(Identity {
            id: format!("{}:{}", self.settings.name, claims.sub),
            name: if name.is_empty() { claims.sub } else { name },
            access: Access::Account(role),
            expires_at: Some(claims.exp),
            minted_at: claims.iat,
            sign_in: None,
        })
    }

    /// Returns the highest role that any of the token's roles is mapped to.
    fn role(&self, claims: &Claims) -> AccountRole {
        let of_client = self
            .settings
            .client
            .as_ref()
            .and_then(|client| claims.resource_access.get(client));
        let all = [Some(&claims.realm_access), of_client, Some(&claims.roles)];
        let has = |wanted: &[String]| {
            let roles = all.iter().flatten().flat_map(|roles| &roles.roles);
            roles.into_iter().any(|role| wanted.contains(role))
        };
        if has(&self.settings.admin_roles) {
            AccountRole::Admin
        } else if has(&self.settings.host_roles) {
            AccountRole::Host
        } else {
            AccountRole::Viewer
        }
    }
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
