//! The names and pictures that the operator's own service has of people.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use klieg_signaling::VideoGrants;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{TestServer, api_token};

#[tokio::test]
async fn people_appear_by_the_name_and_the_picture_that_the_operators_service_has_of_them() {
    let (address, asked) = service().await;
    let profiles = format!("http://{address}/people/{{id}}");
    for server in TestServer::on_each(|config| config.profile_url = Some(profiles.clone())).await {
        let token = server.token("Ann").await;
        let me = server.get("/api/v1/me", Some(&token)).await;
        let id = me.body["id"].as_str().unwrap();
        let (name, picture) = (format!("P {id}"), format!("https://id.example/{id}.png"));
        assert_eq!(me.body["name"], name);
        let room = server.room(&token, json!({ "title": "R" })).await;
        let shown = server.get(&format!("/api/v1/rooms/{room}"), None).await;
        assert_eq!(shown.body["owner"]["name"], name);
        assert_eq!(shown.body["hostAvatarUrl"], picture);
        let own = json!({ "title": "R", "hostAvatarUrl": "https://own.example/" });
        let own = server.room(&token, own).await;
        let own = server.get(&format!("/api/v1/rooms/{own}"), None).await;
        assert_eq!(own.body["hostAvatarUrl"], "https://own.example/");

        let (mut ann, _) = server.join("Ann", &room).await;
        ann.ok("chat.send", json!({ "text": "Hello" })).await;
        let said = ann.expect("chat.message").await["d"]["from"].clone();
        let expected = json!({ "id": id, "name": name, "avatarUrl": picture, "role": "owner" });
        assert_eq!(said, expected);
        let people = format!("/api/v1/rooms/{room}/viewers");
        let people = server.get(&people, Some(&token)).await.body;
        assert_eq!(
            people["items"][0]["avatarUrl"], said["avatarUrl"],
            "{people}"
        );
        ann.ok("question.ask", json!({ "text": "Why?" })).await;

        // What it said stays with what was said.
        let server = server.restart().await;
        for list in ["chat", "questions"] {
            let path = format!("/api/v1/rooms/{room}/{list}");
            let body = server.get(&path, Some(&token)).await.body;
            assert_eq!(body["items"][0]["from"], expected, "{list}: {body}");
        }
        server.server.stop().await;
    }
    // Twice on each database: a server asks once, and another one when it is started anew.
    assert!(asked.load(Ordering::Relaxed) <= 4);
}

#[tokio::test]
async fn whoever_the_service_does_not_know_or_tell_of_in_time_appears_as_their_token_says() {
    let (address, asked) = service().await;
    let server = TestServer::start_with(|config| {
        config.profile_url = Some(format!("http://{address}/people/{{id}}"));
    })
    .await;
    let token = server.token("Ann").await;
    let room = server.room(&token, json!({ "title": "R" })).await;
    server.guest_token(&room).await;
    assert_eq!(
        asked.load(Ordering::Relaxed),
        1,
        "of guests nothing is asked"
    );
    for name in ["Nobody", "Broken", "Never", "Nonsense", "Empty"] {
        let (begin, before) = (Instant::now(), asked.load(Ordering::Relaxed));
        let token = api_token(&room, name, VideoGrants::default());
        let mut client = server.socket().await;
        client.ok("auth", json!({ "token": token })).await;
        client.ok("join", json!({ "roomId": room })).await;
        let replies = (0..8).map(|_| server.get("/api/v1/me", Some(&token)));
        for reply in futures_util::future::join_all(replies).await {
            assert_eq!(reply.body["name"], name);
        }
        client.ok("chat.send", json!({ "text": "Hello" })).await;
        let from = client.expect("chat.message").await["d"]["from"].clone();
        assert_eq!(
            (&from["name"], &from["avatarUrl"]),
            (&json!(name), &Value::Null)
        );
        // What failed is asked for again after five seconds, which a machine with more to do may take.
        if begin.elapsed() < Duration::from_secs(5) {
            assert_eq!(asked.load(Ordering::Relaxed), before + 1, "{name}");
        }
    }
    server
        .settles(r#"klieg_profiles_total{outcome="told"} 2"#)
        .await;
    server
        .settles(r#"klieg_profiles_total{outcome="unknown"} 1"#)
        .await;
    server.server.stop().await;
}

#[tokio::test]
async fn an_application_names_its_people_and_the_service_knows_them_by_the_same_ids() {
    let (address, _) = service().await;
    let server = TestServer::start_with(|config| {
        config.profile_url = Some(format!("http://{address}/people/{{id}}"));
    })
    .await;
    let token = server.token("Host").await;
    let room = server.room(&token, json!({ "title": "R" })).await;
    let token = api_token(&room, "Bob", VideoGrants::default());
    let mut bob = server.socket().await;
    let shown = bob.ok("auth", json!({ "token": token })).await["identity"].clone();
    assert_eq!(
        (&shown["id"], &shown["name"]),
        (&json!("devkey:Bob"), &json!("P Bob"))
    );
    server.server.stop().await;
}

/// The operator's service, and how often it was asked.
async fn service() -> (SocketAddr, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    let person = async move |Path(id): Path<String>| {
        counted.fetch_add(1, Ordering::Relaxed);
        let name = id.rsplit(':').next().unwrap_or_default();
        match name {
            "Nobody" => (StatusCode::NOT_FOUND, String::new()),
            "Broken" => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
            "Nonsense" => (StatusCode::OK, "<html>".to_owned()),
            "Empty" => (StatusCode::OK, json!({ "name": "" }).to_string()),
            "Never" => std::future::pending().await,
            _ => {
                let profile = json!({
                    "name": format!("P {name}"), "avatarUrl": format!("https://id.example/{name}.png"), "mail": "a@id.example",
                });
                (StatusCode::OK, profile.to_string())
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/people/{id}", get(person));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, asked)
}
