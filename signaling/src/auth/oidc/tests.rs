//! A provider on a port of this machine, its tokens and those of others.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use prometheus::Registry;
use serde_json::{Value, json};
use std::sync::Mutex;
use tokio::net::TcpListener;

use super::*;
use crate::auth::{Access, AccountRole};
use crate::time::Timestamp;

#[tokio::test]
async fn a_token_of_the_provider_is_an_account_with_the_role_that_its_claims_are_mapped_to() {
    let keycloak = Keycloak::start().await;
    let provider = keycloak.provider(|_| ());
    let later = f64::from(u32::try_from(Timestamp::now().seconds()).unwrap()) + 600.0;
    for (extra, role) in [
        (json!({}), AccountRole::Viewer),
        (
            json!({ "realm_access": { "roles": ["x", "streamer"] } }),
            AccountRole::Host,
        ),
        (
            json!({ "resource_access": { "klieg": { "roles": ["boss"] } } }),
            AccountRole::Admin,
        ),
        (
            json!({ "resource_access": { "other": { "roles": ["boss"] } } }),
            AccountRole::Viewer,
        ),
        (json!({ "roles": ["streamer", "boss"] }), AccountRole::Admin),
        // What is written otherwise than Keycloak does.
        (json!({ "roles": "boss" }), AccountRole::Admin),
        (
            json!({ "roles": null, "realm_access": null }),
            AccountRole::Viewer,
        ),
        (
            json!({ "roles": [7, "streamer"], "resource_access": null }),
            AccountRole::Host,
        ),
        (
            json!({ "resource_access": { "other": 1, "klieg": { "roles": "boss" } } }),
            AccountRole::Admin,
        ),
        (
            json!({ "exp": later + 0.5, "iat": later - 700.25, "typ": 1 }),
            AccountRole::Viewer,
        ),
        (json!({ "exp": 1e18, "iat": "now" }), AccountRole::Viewer),
    ] {
        let identity = provider.verify(&keycloak.token(&extra)).await.unwrap();
        assert_eq!(identity.access, Access::Account(role), "{extra}");
        assert_eq!(identity.id, "kc:f3a1");
        assert_eq!(identity.name, "Ann");
        assert!(identity.expires_at.is_some() && !identity.is_guest());
    }
    assert_eq!(keycloak.fetches(), 1, "keys are kept");
}

#[tokio::test]
async fn what_is_not_for_us_or_not_from_the_provider_does_not_hold() {
    let keycloak = Keycloak::start().await;
    let provider = keycloak.provider(|_| ());
    let now = Timestamp::now().seconds();
    for (extra, code) in [
        (json!({ "aud": "another" }), Code::TokenInvalid),
        (json!({ "aud": ["another", "klieg"] }), Code::NotFound),
        (json!({ "aud": null }), Code::TokenInvalid),
        (json!({ "iss": "https://evil.example" }), Code::TokenInvalid),
        (json!({ "exp": now - 60 }), Code::TokenExpired),
        (json!({ "exp": null }), Code::TokenInvalid),
        (json!({ "nbf": now + 60 }), Code::TokenInvalid),
        (json!({ "sub": "" }), Code::TokenInvalid),
        (json!({ "sub": "x".repeat(126) }), Code::TokenInvalid),
        (json!({ "typ": "ID" }), Code::TokenInvalid),
        (json!({ "typ": "Refresh" }), Code::TokenInvalid),
        (json!({ "typ": "Bearer" }), Code::NotFound),
    ] {
        let verified = provider.verify(&keycloak.token(&extra)).await;
        // `NotFound` stands for nothing wrong.
        let said = verified.map_or_else(|error| error.code, |_| Code::NotFound);
        assert_eq!(said, code, "{extra}");
    }
}

#[tokio::test]
async fn forged_tokens_do_not_hold() {
    let keycloak = Keycloak::start().await;
    let provider = keycloak.provider(|_| ());
    let good = keycloak.token(&json!({}));
    provider.verify(&good).await.unwrap();
    let payload = good.split('.').nth(1).unwrap();
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    // Without a signature, and with an algorithm that says there is none.
    let none = encode(r#"{"alg":"none","typ":"JWT","kid":"1"}"#);
    let mut forged = vec![format!("{none}.{payload}."), format!("{none}.{payload}.x")];
    // Signed with the public key as if it were a secret.
    let claims = keycloak.claims(&json!({}));
    let public = keycloak.public_key();
    for secret in [public.as_slice(), encode("x").as_bytes()] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let header = header(algorithm, Some("1"));
            let key = EncodingKey::from_secret(secret);
            forged.push(jsonwebtoken::encode(&header, &claims, &key).unwrap());
        }
    }
    // Signed with another's key under the name of the provider's.
    let other = Signer::new();
    forged.push(other.sign(&header(Algorithm::ES256, Some("1")), &claims));
    // Another's key in the header.
    let mut with_key = header(Algorithm::ES256, Some("1"));
    with_key.jwk = serde_json::from_value(other.jwk("1")).ok();
    assert!(with_key.jwk.is_some());
    forged.push(other.sign(&with_key, &claims));
    // Changed after it was signed.
    let changed = encode(&claims.to_string().replace("f3a1", "root"));
    forged.push(good.replace(payload, &changed));
    for token in forged {
        let refused = provider.verify(&token).await.unwrap_err();
        assert_eq!(refused.code, Code::TokenInvalid, "{token}");
    }
    let rsa_alone = keycloak.provider(|it| it.algorithms = vec![SigningAlgorithm::Rs256]);
    assert!(
        rsa_alone.verify(&good).await.is_err(),
        "ES256 is not on the list"
    );
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_once_in_a_while_however_many_tokens_name_it() {
    let keycloak = Keycloak::start().await;
    let provider = keycloak.provider(|_| ());
    provider.verify(&keycloak.token(&json!({}))).await.unwrap();
    for index in 0..20 {
        let stranger = Signer::new();
        let header = header(Algorithm::ES256, Some(&format!("unknown-{index}")));
        let token = stranger.sign(&header, &keycloak.claims(&json!({})));
        assert!(provider.verify(&token).await.is_err());
    }
    assert_eq!(keycloak.fetches(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_when_the_pause_is_over_and_the_old_one_is_then_none() {
    let keycloak = Keycloak::start().await;
    let provider = keycloak.impatient();
    let old = keycloak.token(&json!({}));
    provider.verify(&old).await.unwrap();
    keycloak.rotate("2");
    let new = keycloak.token(&json!({}));
    provider.verify(&new).await.unwrap();
    assert_eq!(keycloak.fetches(), 2);
    assert!(provider.verify(&old).await.is_err());
}

#[tokio::test]
async fn keys_hold_while_the_provider_is_away() {
    let keycloak = Keycloak::start().await;
    let provider = keycloak.impatient();
    let token = keycloak.token(&json!({}));
    keycloak.away.store(true, Ordering::Relaxed);
    assert!(
        provider.verify(&token).await.is_err(),
        "there is no key yet"
    );
    keycloak.away.store(false, Ordering::Relaxed);
    provider.verify(&token).await.unwrap();
    keycloak.away.store(true, Ordering::Relaxed);
    let stranger = Signer::new().sign(&header(Algorithm::ES256, Some("9")), &json!({}));
    assert!(provider.verify(&stranger).await.is_err());
    provider.verify(&token).await.unwrap();
}

#[tokio::test]
async fn a_token_that_names_no_key_needs_a_provider_with_one() {
    let keycloak = Keycloak::start().await;
    let provider = keycloak.impatient();
    let signer = keycloak.signer.lock().unwrap().0.clone();
    let token = signer.sign(
        &header(Algorithm::ES256, None),
        &keycloak.claims(&json!({})),
    );
    provider.verify(&token).await.unwrap();
    keycloak.second.store(true, Ordering::Relaxed);
    let fresh = keycloak.provider(|_| ());
    assert!(fresh.verify(&token).await.is_err());
}

#[tokio::test]
async fn settings_that_stay_keep_their_keys() {
    let keycloak = Keycloak::start().await;
    let settings = [keycloak.settings()];
    let metrics = Metrics::new(Registry::new()).unwrap();
    let fetcher = Fetcher::new().unwrap();
    let first = Providers::new(&settings, &Providers::default(), &fetcher, &metrics);
    let token = keycloak.token(&json!({}));
    first
        .find(&keycloak.issuer)
        .unwrap()
        .verify(&token)
        .await
        .unwrap();
    let second = Providers::new(&settings, &first, &fetcher, &metrics);
    second
        .find(&keycloak.issuer)
        .unwrap()
        .verify(&token)
        .await
        .unwrap();
    assert_eq!(keycloak.fetches(), 1);
    assert!(
        Providers::new(&[], &second, &fetcher, &metrics)
            .find(&keycloak.issuer)
            .is_none()
    );
}

/// A provider that serves what Keycloak serves.
struct Keycloak {
    issuer: String,
    signer: Arc<Mutex<(Signer, String)>>,
    /// Whether it answers with errors.
    away: Arc<AtomicBool>,
    /// Whether it publishes another key beside its own.
    second: Arc<AtomicBool>,
    fetched: Arc<AtomicUsize>,
}

impl Keycloak {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let keycloak = Arc::new(Self {
            issuer: format!("http://{}/realms/live", listener.local_addr().unwrap()),
            signer: Arc::new(Mutex::new((Signer::new(), "1".to_owned()))),
            away: Arc::default(),
            second: Arc::default(),
            fetched: Arc::default(),
        });
        let router = Router::new()
            .route(
                "/realms/live/.well-known/openid-configuration",
                get(discovery),
            )
            .route("/realms/live/certs", get(certs))
            .with_state(Arc::clone(&keycloak));
        tokio::spawn(async move { axum::serve(listener, router).await });
        keycloak
    }

    fn settings(&self) -> OidcProvider {
        OidcProvider {
            name: "kc".to_owned(),
            issuer: self.issuer.clone(),
            audiences: vec!["klieg".to_owned()],
            algorithms: vec![SigningAlgorithm::Rs256, SigningAlgorithm::Es256],
            admin_roles: vec!["boss".to_owned()],
            host_roles: vec!["streamer".to_owned()],
            client: Some("klieg".to_owned()),
            ..OidcProvider::default()
        }
    }

    fn provider(&self, change: impl FnOnce(&mut OidcProvider)) -> Provider {
        let mut settings = self.settings();
        change(&mut settings);
        let metrics = Metrics::new(Registry::new()).unwrap();
        let keys = Keys::new(&settings, Fetcher::new().unwrap(), &metrics);
        Provider {
            settings,
            keys: Arc::new(keys),
        }
    }

    /// Makes one that asks again whenever it may.
    fn impatient(&self) -> Provider {
        let Provider { settings, keys } = self.provider(|_| ());
        let mut keys = Arc::into_inner(keys).unwrap();
        keys.pause = Duration::ZERO;
        Provider {
            settings,
            keys: Arc::new(keys),
        }
    }

    fn rotate(&self, id: &str) {
        *self.signer.lock().unwrap() = (Signer::new(), id.to_owned());
    }

    fn fetches(&self) -> usize {
        self.fetched.load(Ordering::Relaxed)
    }

    fn public_key(&self) -> Vec<u8> {
        self.signer.lock().unwrap().0.public()
    }

    /// Returns what it says of Ann; `null` takes a claim out.
    fn claims(&self, extra: &Value) -> Value {
        let now = Timestamp::now().seconds();
        let mut claims = json!({
            "iss": self.issuer, "sub": "f3a1", "aud": "klieg", "exp": now + 60, "iat": now,
            "azp": "pages", "preferred_username": "ann", "name": "Ann", "typ": "Bearer",
        });
        for (name, value) in extra.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    fn token(&self, extra: &Value) -> String {
        let (signer, id) = self.signer.lock().unwrap().clone();
        signer.sign(&header(Algorithm::ES256, Some(&id)), &self.claims(extra))
    }
}

async fn discovery(State(keycloak): State<Arc<Keycloak>>) -> String {
    let issuer = &keycloak.issuer;
    std::future::ready(json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/certs") }))
        .await
        .to_string()
}

async fn certs(State(keycloak): State<Arc<Keycloak>>) -> Response {
    keycloak.fetched.fetch_add(1, Ordering::Relaxed);
    if keycloak.away.load(Ordering::Relaxed) {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let (signer, id) = keycloak.signer.lock().unwrap().clone();
    let mut keys = vec![
        json!({ "kty": "new", "kid": "of a kind that nobody knows", "alg": "X1" }),
        json!({ "kty": "oct", "kid": "secret", "alg": "HS256", "k": "c2VjcmV0" }),
        signer.jwk(&id),
    ];
    if keycloak.second.load(Ordering::Relaxed) {
        keys.push(Signer::new().jwk("another"));
    }
    std::future::ready(json!({ "keys": keys }).to_string().into_response()).await
}

fn header(algorithm: Algorithm, id: Option<&str>) -> Header {
    let mut header = Header::new(algorithm);
    header.kid = id.map(str::to_owned);
    header
}

/// A key of the curve P-256.
#[derive(Clone)]
struct Signer(Vec<u8>);

impl Signer {
    fn new() -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        Self(document.as_ref().to_vec())
    }

    fn public(&self) -> Vec<u8> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.0).unwrap();
        pair.public_key().as_ref().to_vec()
    }

    fn sign(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_ec_der(&self.0)).unwrap()
    }

    fn jwk(&self, id: &str) -> Value {
        let public = self.public();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (x, y) = (text(&public[1..33]), text(&public[33..]));
        json!({ "kty": "EC", "crv": "P-256", "kid": id, "alg": "ES256", "use": "sig", "x": x, "y": y })
    }
}
