//! Tokens that must not hold, at every door; and those of an OpenID provider, which must.

use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use axum::Router;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use klieg_signaling::{OidcProvider, Secret, SigningAlgorithm, VideoGrants, mint};
use serde_json::{Value, json};

use crate::accounts::until;
use crate::harness::{TestServer, api_token, offer};
use crate::wish::{self, SDP, watching};

/// Shows a token at every door and returns what each said.
pub(crate) async fn show(server: &TestServer, token: &str, room: &str) -> [String; 4] {
    let join = format!("/api/v1/rooms/{room}/join");
    let rest = server.post(&join, Some(token), json!({})).await;
    let mut socket = server.socket().await;
    let auth = socket.request("auth", json!({ "token": token })).await;
    let socket = match auth["d"]["code"].as_str() {
        Some(code) => code.to_owned(),
        None => {
            let joined = socket.request("join", json!({ "roomId": room })).await;
            joined["d"]["code"].as_str().unwrap_or_default().to_owned()
        }
    };
    let bearer = format!("Bearer {token}");
    // Each comes from a network of its own: how often strangers may ask is another test's business.
    let from = format!("2001:db8:{:x}::1", rand::random::<u16>());
    let headers = [
        ("authorization", bearer.as_str()),
        SDP,
        ("x-forwarded-for", &from),
    ];
    let media = async |protocol: &str, offer: String| {
        let path = format!("/{protocol}/{room}");
        let reply = wish::request(server, "POST", &path, &headers, offer).await;
        reply.body["code"].as_str().unwrap_or_default().to_owned()
    };
    let rest = rest.body["code"].as_str().unwrap_or_default().to_owned();
    [
        rest,
        socket,
        media("whip", offer()).await,
        media("whep", watching(&offer())).await,
    ]
}

fn publishing() -> VideoGrants {
    VideoGrants {
        can_publish: Some(true),
        ..VideoGrants::default()
    }
}

fn claims(provider: &str) -> Value {
    json!({ "iss": provider, "sub": "f3a1", "aud": "klieg", "exp": in_seconds(60), "name": "Ann" })
}

fn in_seconds(seconds: i64) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_secs()).unwrap() + seconds
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "most of it is one table")]
async fn tokens_that_do_not_hold_open_no_door() {
    let provider = Provider::start().await;
    let server = TestServer::start_with(|config| config.oidc = vec![provider.settings()]).await;
    let ann = server.token("Ann").await;
    let room = server.room(&ann, json!({ "title": "R" })).await;
    let good = api_token(&room, "bob", publishing());
    assert_eq!(show(&server, &good, &room).await, [""; 4]);

    let video = json!({ "room": room, "roomJoin": true, "canPublish": true });
    let api = |claims: &Value, secret: &str| {
        let key = EncodingKey::from_secret(secret.as_bytes());
        encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
    };
    let bob = |changes: Value| {
        let mut claims = json!({
            "iss": "devkey", "sub": "bob", "iat": in_seconds(0), "exp": in_seconds(60), "video": video,
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    let payload = good.split('.').nth(1).unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let of_provider = claims(&provider.issuer);
    let with = |name: &str, value: Value| {
        let mut claims = of_provider.clone();
        claims[name] = value;
        claims
    };
    let confused = {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("1".to_owned());
        encode(
            &header,
            &of_provider,
            &EncodingKey::from_secret(&provider.public()),
        )
        .unwrap()
    };
    let stranger = Provider::at(provider.issuer.clone());
    for (name, token, code) in [
        (
            "expired",
            api(&bob(json!({ "exp": in_seconds(-60) })), "devsecret"),
            "token_expired",
        ),
        (
            "not yet",
            api(&bob(json!({ "nbf": in_seconds(60) })), "devsecret"),
            "token_invalid",
        ),
        (
            "no beginning",
            api(
                &bob(json!({ "iat": null, "exp": in_seconds(2 * 86_400) })),
                "devsecret",
            ),
            "token_invalid",
        ),
        (
            "no end",
            api(&json!({ "iss": "devkey", "sub": "bob" }), "devsecret"),
            "token_invalid",
        ),
        (
            "wrong secret",
            api(&bob(json!({})), "guess"),
            "token_invalid",
        ),
        (
            "unknown issuer",
            api(&bob(json!({ "iss": "nokey" })), "devsecret"),
            "token_invalid",
        ),
        (
            "our own issuer",
            api(&bob(json!({ "iss": "klieg" })), "devsecret"),
            "token_invalid",
        ),
        ("alg=none", format!("{none}.{payload}."), "token_invalid"),
        (
            "alg=none, signed",
            format!("{none}.{payload}.x"),
            "token_invalid",
        ),
        ("a public key as a secret", confused, "token_invalid"),
        (
            "wrong audience",
            provider.sign(&with("aud", json!("other")), "1"),
            "token_invalid",
        ),
        (
            "expired",
            provider.sign(&with("exp", json!(in_seconds(-60))), "1"),
            "token_expired",
        ),
        (
            "wrong issuer",
            provider.sign(&with("iss", json!("https://x")), "1"),
            "token_invalid",
        ),
        (
            "unknown kid",
            provider.sign(&of_provider, "2"),
            "token_invalid",
        ),
        (
            "another's key",
            stranger.sign(&of_provider, "1"),
            "token_invalid",
        ),
        ("rubbish", "a.b.c".to_owned(), "token_invalid"),
        (
            "too long",
            format!("{}.b.c", "a".repeat(17_000)),
            "token_invalid",
        ),
        (
            "another room",
            api_token("demo", "bob", publishing()),
            "forbidden",
        ),
    ] {
        assert_eq!(show(&server, &token, &room).await, [code; 4], "{name}");
    }
    // None at all: guests watch, and no more.
    let path = format!("/whip/{room}");
    let reply = wish::request(&server, "POST", &path, &[SDP], offer()).await;
    assert_eq!(
        (reply.status, &reply.body["code"]),
        (401, &json!("unauthenticated"))
    );
    server.server.stop().await;
}

#[tokio::test]
async fn people_of_a_provider_are_who_it_says_they_are() {
    let provider = Provider::start().await;
    let server = TestServer::start_with(|config| config.oidc = vec![provider.settings()]).await;
    let mut streamer = claims(&provider.issuer);
    streamer["realm_access"] = json!({ "roles": ["streamer"] });
    let streamer = provider.sign(&streamer, "1");
    let room = server
        .room(&streamer, json!({ "title": "R", "visibility": "private" }))
        .await;
    assert_eq!(show(&server, &streamer, &room).await, [""; 4]);
    let me = server.get("/api/v1/me", Some(&streamer)).await.body;
    assert_eq!(me["id"], "id:f3a1");
    assert_eq!((&me["name"], &me["mayHost"]), (&json!("Ann"), &json!(true)));

    let mut other = claims(&provider.issuer);
    other["sub"] = json!("b2c3");
    let other = provider.sign(&other, "1");
    assert_eq!(show(&server, &other, &room).await, ["not_found"; 4]);
    let refused = server
        .post("/api/v1/rooms", Some(&other), json!({ "title": "R" }))
        .await;
    assert_eq!(refused.status, 403);
    // Signing out here is for those who signed in here.
    let out = server
        .post("/api/v1/auth/logout", Some(&other), json!({}))
        .await;
    assert_eq!(out.status, 403);
    server.server.stop().await;
}

#[tokio::test]
async fn a_key_that_is_taken_away_opens_nothing_from_then_on() {
    // Nothing but the end of the key ends a socket here.
    let server = TestServer::start_with(|config| config.socket_ping_ms = 600_000).await;
    let token = api_token("demo", "bob", publishing());
    assert_eq!(show(&server, &token, "demo").await, [""; 4]);
    // What came of it ends with it: a token for the room, sockets, and what is watched over HTTP.
    let path = "/api/v1/rooms/demo/join";
    let join = server.post(path, Some(&token), json!({})).await.body;
    let join = join["token"].as_str().unwrap();
    let mut sockets = Vec::new();
    for token in [&token, join] {
        let mut socket = server.socket().await;
        socket.ok("auth", json!({ "token": token })).await;
        sockets.push(socket);
    }
    let bearer = format!("Bearer {join}");
    let headers = [("authorization", bearer.as_str()), SDP];
    let offered = wish::request(&server, "POST", "/whep/demo", &headers, watching(&offer()));
    let session = offered.await.headers["location"].clone();
    let session = session.to_str().unwrap();
    let mut guest = server.socket().await;
    let other = server.guest_token("demo").await;
    guest.ok("auth", json!({ "token": other })).await;
    let mut config = server.config.clone();
    config.api_keys.clear();
    config
        .api_keys
        .insert("new".to_owned(), Secret::new("n".repeat(32)));
    config.max_sockets += 1;
    assert_eq!(server.server.reload(&config), ["max_sockets"]);
    assert_eq!(show(&server, &token, "demo").await, ["token_invalid"; 4]);
    assert_eq!(show(&server, join, "demo").await, ["token_expired"; 4]);
    for mut socket in sockets {
        assert_eq!(socket.closed().await, Some(4401));
    }
    let gone = async || {
        let reply = wish::request(&server, "GET", session, &headers, String::new());
        reply.await.status == 404
    };
    until(gone, "the session goes on").await;
    guest.ok("join", json!({ "roomId": "demo" })).await;
    let video = VideoGrants {
        room: Some("demo".to_owned()),
        room_join: true,
        ..publishing()
    };
    let key = ("new", &Secret::new("n".repeat(32)));
    let token = mint(key, ("bob", "Bob"), video, Duration::from_secs(60)).unwrap();
    // What the first bob published ends as well: the bob of another key is another one, and need not wait for long.
    let taken = async || show(&server, &token, "demo").await == [""; 4];
    until(taken, "the first one goes on publishing").await;
    server.server.stop().await;
}

/// A provider on this machine with one key of the curve P-256.
struct Provider {
    issuer: String,
    key: Vec<u8>,
}

impl Provider {
    fn at(issuer: String) -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        let key = key.as_ref().to_vec();
        Self { issuer, key }
    }

    async fn start() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let provider = Self::at(issuer.clone());
        let public = provider.public();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (x, y) = (text(&public[1..33]), text(&public[33..]));
        let keys = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "kid": "1", "alg": "ES256", "use": "sig", "x": x, "y": y,
        }] });
        let discovery = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys") });
        let router = Router::new()
            .route("/keys", get(async move || keys.to_string()))
            .route(
                "/.well-known/openid-configuration",
                get(async move || discovery.to_string()),
            );
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    fn settings(&self) -> OidcProvider {
        OidcProvider {
            name: "id".to_owned(),
            issuer: self.issuer.clone(),
            audiences: vec!["klieg".to_owned()],
            algorithms: vec![SigningAlgorithm::Es256],
            host_roles: vec!["streamer".to_owned()],
            ..OidcProvider::default()
        }
    }

    fn public(&self) -> Vec<u8> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, &self.key).unwrap();
        pair.public_key().as_ref().to_vec()
    }

    fn sign(&self, claims: &Value, kid: &str) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(kid.to_owned());
        encode(&header, claims, &EncodingKey::from_ec_der(&self.key)).unwrap()
    }
}
