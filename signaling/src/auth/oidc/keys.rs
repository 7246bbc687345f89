//! The keys of a provider: fetched, kept, and fetched again when one is unknown or they are old.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use prometheus::IntCounterVec;
use serde::Deserialize;
use tokio::sync::Mutex;
use tracing::{debug, warn};

use crate::config::OidcProvider;
use crate::fetch::{FetchError, Fetcher};
use crate::metrics::Metrics;

/// The keys of one provider.
#[derive(Debug)]
pub(super) struct Keys {
    issuer: String,
    /// Where they are; `None`: the provider says so itself.
    url: Option<String>,
    fetcher: Fetcher,
    /// Those that hold until others come: a provider that is away for a while makes nobody a stranger.
    known: RwLock<Arc<KeySet>>,
    /// When they were last asked for; `None` before the first time. Who holds the lock asks.
    asked: Mutex<Option<Instant>>,
    fetches: IntCounterVec,
    pub(super) pause: Duration,
}

#[derive(Debug, Default)]
struct KeySet {
    keys: Vec<Arc<Key>>,
    /// When they came; `None` while there are none.
    at: Option<Instant>,
}

/// A key that a provider signs with.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    /// The one algorithm that it is for; `None` where it does not say.
    algorithm: Option<KeyAlgorithm>,
    decoding: DecodingKey,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// Each key is read by itself, so that one of a kind that we do not know hides no other.
#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

impl Keys {
    pub(super) fn new(settings: &OidcProvider, fetcher: Fetcher, metrics: &Metrics) -> Self {
        Self {
            issuer: settings.issuer.clone(),
            url: settings.jwks_url.clone(),
            fetcher,
            known: RwLock::default(),
            asked: Mutex::new(None),
            fetches: metrics.key_fetches.clone(),
            pause: PAUSE,
        }
    }

    /// Returns the key of this name, for this algorithm.
    pub(super) async fn find(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Option<Arc<Key>> {
        let known = self.known();
        if let Some(key) = known.find(id, algorithm) {
            if known.at.is_some_and(|at| at.elapsed() > OLD) {
                let keys = Arc::clone(self);
                tokio::spawn(async move { keys.fetch_if_due().await });
            }
            return Some(key);
        }
        self.fetch_if_due().await;
        self.known().find(id, algorithm)
    }

    /// Asks the provider, unless it was asked a moment ago. Who comes while another asks waits for the answer.
    pub(super) async fn fetch_if_due(&self) {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|at| at.elapsed() < self.pause) {
            return;
        }
        let fetched = fetch(&self.issuer, self.url.as_deref(), &self.fetcher).await;
        *asked = Some(Instant::now());
        let outcome = match fetched {
            Ok(keys) => {
                debug!(issuer = %self.issuer, keys = keys.len(), "keys of a provider fetched");
                let at = Some(Instant::now());
                let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
                *known = Arc::new(KeySet { keys, at });
                "done"
            }
            Err(error) => {
                let kept = self.known().keys.len();
                warn!(issuer = %self.issuer, %error, kept, "keys of a provider could not be fetched");
                "failed"
            }
        };
        self.fetches.with_label_values(&[outcome]).inc();
    }

    fn known(&self) -> Arc<KeySet> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeySet {
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Arc<Key>> {
        let fits = |key: &&Arc<Key>| key.is_for(algorithm);
        match id {
            Some(id) => self
                .keys
                .iter()
                .filter(fits)
                .find(|key| key.id.as_deref() == Some(id))
                .cloned(),
            // Without a name there must be no doubt.
            None => {
                let mut all = self.keys.iter().filter(fits);
                all.next().filter(|_| all.next().is_none()).cloned()
            }
        }
    }
}

impl Key {
    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        let said = self.algorithm.map(|said| said.to_string().parse());
        said.is_none_or(|said| said.is_ok_and(|said: Algorithm| said == algorithm))
            && self.decoding.family() == algorithm.family()
    }
}

/// Asks a provider for its keys.
///
/// # Errors
/// It is away, or has other answers.
pub(super) async fn fetch(
    issuer: &str,
    url: Option<&str>,
    fetcher: &Fetcher,
) -> Result<Vec<Arc<Key>>, FetchError> {
    let url = match url {
        Some(url) => url.to_owned(),
        None => {
            let folder = issuer.trim_end_matches('/');
            let url = format!("{folder}/.well-known/openid-configuration");
            let discovery: Discovery = fetcher.json(&url).await?;
            if discovery.issuer != issuer {
                let found = format!("it calls itself {:?}", discovery.issuer);
                return Err(FetchError::Connection(found));
            }
            discovery.jwks_uri
        }
    };
    fetcher.json(&url).await.map(Document::read)
}

impl Document {
    fn read(self) -> Vec<Arc<Key>> {
        let keys = self.keys.into_iter().filter_map(read_key);
        keys.take(MAX_KEYS).map(Arc::new).collect()
    }
}

/// Finds a key in the text of a document, where it is one: the door for fuzzing.
pub(super) fn find_in(document: &str, id: Option<&str>, algorithm: Algorithm) -> Option<Arc<Key>> {
    let document: Document = serde_json::from_str(document).ok()?;
    let keys = document.read();
    KeySet { keys, at: None }.find(id, algorithm)
}

/// Reads a key that signs; secrets are none, whoever publishes them.
fn read_key(value: serde_json::Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let signs = !matches!(
        jwk.common.public_key_use,
        Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_))
    );
    let public = matches!(
        jwk.algorithm,
        AlgorithmParameters::RSA(_)
            | AlgorithmParameters::EllipticCurve(_)
            | AlgorithmParameters::OctetKeyPair(_)
    );
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    (signs && public).then_some(Key {
        id: jwk.common.key_id,
        algorithm: jwk.common.key_algorithm,
        decoding,
    })
}

/// A provider is asked no more often, whatever tokens come.
const PAUSE: Duration = Duration::from_secs(30);

/// From then on keys are asked for again, while those that there are still hold.
const OLD: Duration = Duration::from_secs(600);

/// Providers have two or three.
const MAX_KEYS: usize = 64;
