//! Tokens that come over the socket: for the same room, with the same grants, and for no longer than was granted.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use klieg_signaling::{Secret, VideoGrants, mint};
use serde_json::{Value, json};

use crate::harness::{Client, TestServer, api_token};
use crate::tokens::show;

/// A server whose join tokens are renewed at the next ping, and those pings come often.
async fn quick() -> TestServer {
    TestServer::start_with(|config| {
        config.join_token_ttl_s = 4;
        // Who answers none of three in a row is cut off: time enough for a client that does something else meanwhile.
        config.socket_ping_ms = 500;
    })
    .await
}

fn claims(token: &Value) -> Value {
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

async fn enter(server: &TestServer, token: &str, room: &str) -> Client {
    let mut client = server.socket().await;
    client.ok("auth", json!({ "token": token })).await;
    client.ok("join", json!({ "roomId": room })).await;
    client
}

#[tokio::test]
async fn before_a_join_token_ends_another_comes_with_the_same_grants() {
    let server = quick().await;
    let first = server.guest_token("demo").await;
    let mut guest = enter(&server, &first, "demo").await;
    let (mut before, mut last) = (claims(&json!(first)), first);
    for _ in 0..3 {
        let refresh = guest.expect("token.refresh").await;
        let token = &refresh["d"]["token"];
        let now = claims(token);
        for same in ["iss", "sub", "name", "use", "role", "video", "until"] {
            assert_eq!(now[same], before[same], "{same}");
        }
        assert!(now["exp"].as_u64() > before["exp"].as_u64(), "{now}");
        assert!(refresh["d"]["expiresAt"].is_string(), "{refresh}");
        last = token.as_str().unwrap().to_owned();
        before = now;
    }
    // It lets its holder come back as who they were, and nowhere else.
    let mut again = server.socket().await;
    let ack = again.ok("auth", json!({ "token": last })).await;
    assert_eq!(ack["identity"]["id"], before["sub"]);
    again.ok("join", json!({ "roomId": "demo" })).await;
    let ann = server.token("Ann").await;
    let other = server.room(&ann, json!({ "title": "Other" })).await;
    assert_eq!(show(&server, &last, &other).await, ["forbidden"; 4]);
    server.server.stop().await;
}

#[tokio::test]
async fn what_an_application_granted_for_a_while_is_not_made_longer() {
    let server = quick().await;
    let video = VideoGrants {
        room: Some("demo".to_owned()),
        room_join: true,
        can_publish_data: Some(false),
        ..VideoGrants::default()
    };
    let key = ("devkey", &Secret::new("devsecret"));
    let granted = mint(key, ("bob", "Bob"), video, Duration::from_secs(6)).unwrap();
    let path = "/api/v1/rooms/demo/join";
    let reply = server.post(path, Some(&granted), json!({})).await;
    let end = claims(&json!(granted))["exp"].clone();
    let join = reply.body["token"].as_str().unwrap();
    let mut bob = enter(&server, join, "demo").await;
    // The last one ends when what was granted does, and none follows it.
    let mut tokens = Vec::new();
    while tokens
        .last()
        .is_none_or(|token| claims(token)["exp"] != end)
    {
        let refresh = bob.expect("token.refresh").await;
        tokens.push(refresh["d"]["token"].clone());
    }
    assert!(tokens.len() <= 6, "{}", tokens.len());
    for token in &tokens {
        let claims = claims(token);
        assert_eq!(claims["until"], end);
        assert!(claims["exp"].as_u64() <= end.as_u64());
        assert_eq!(claims["video"]["canPublishData"], false);
    }
    let more = bob.collect("token.refresh", Duration::from_secs(1)).await;
    assert!(more.is_empty(), "{more:?}");
    bob.ok("ping", json!({})).await;
    server.server.stop().await;
}

#[tokio::test]
async fn a_kick_ends_the_tokens_that_came_over_the_socket() {
    let server = quick().await;
    let ann = server.token("Ann").await;
    let room = server.room(&ann, json!({ "title": "R" })).await;
    // One who was let in by an application, one whom nobody knows.
    let video = VideoGrants::default();
    let path = format!("/api/v1/rooms/{room}/join");
    let known = api_token(&room, "bob", video);
    let known = server.post(&path, Some(&known), json!({})).await.body;
    let stranger = server.guest_token(&room).await;
    for first in [known["token"].as_str().unwrap(), stranger.as_str()] {
        let mut client = enter(&server, first, &room).await;
        let refresh = client.expect("token.refresh").await;
        let token = &refresh["d"]["token"];
        let kick = json!({ "identity": claims(token)["sub"], "reason": "Enough." });
        let kicks = format!("/api/v1/rooms/{room}/kicks");
        assert_eq!(server.post(&kicks, Some(&ann), kick).await.status, 204);
        for dead in [first, token.as_str().unwrap()] {
            let said = show(&server, dead, &room).await;
            assert_eq!(said, ["token_invalid"; 4]);
        }
        assert_eq!(client.expect("kicked").await["d"]["reason"], "Enough.");
        assert_eq!(client.closed().await, Some(4403));
    }
    server.server.stop().await;
}

#[tokio::test]
async fn a_token_that_came_over_the_socket_ends_with_the_sign_in() {
    let server = quick().await;
    let ann = server.token("Ann").await;
    let join = server
        .post("/api/v1/rooms/demo/join", Some(&ann), json!({}))
        .await;
    let mut client = enter(&server, join.body["token"].as_str().unwrap(), "demo").await;
    let refresh = client.expect("token.refresh").await;
    let token = refresh["d"]["token"].as_str().unwrap().to_owned();
    // A room's token tells nothing of its holder's others.
    let dashboard = server.get("/api/v1/me/dashboard", Some(&token)).await;
    assert_eq!(dashboard.status, 403, "{}", dashboard.body);
    let out = server
        .post("/api/v1/auth/logout", Some(&ann), json!({}))
        .await;
    assert_eq!(out.status, 204);
    assert_eq!(show(&server, &token, "demo").await, ["token_expired"; 4]);
    assert_eq!(client.closed().await, Some(4401));
    server.server.stop().await;
}
