//! Two servers on one database: whom one of them puts out, the other does not let in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::{Client, PATIENCE, TestServer, api_token};
use crate::postgres;

/// Starts two servers on one database, with one secret for their tokens.
async fn two() -> [TestServer; 2] {
    let url = tokio::task::spawn_blocking(postgres::database).await;
    let url = url.unwrap();
    let on = |config: &mut klieg_signaling::Config| {
        config.database_url = Some(klieg_signaling::Secret::new(url.clone()));
        config.ban_addresses = true;
    };
    let first = TestServer::start_with(on).await;
    let secret = first.config.data.join("signing-secret");
    let second = TestServer::start_with(|config| {
        on(config);
        std::fs::copy(secret, config.data.join("signing-secret")).unwrap();
    });
    let second = second.await;
    [first, second]
}

/// Returns whose token it is.
fn sub(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["sub"].clone()
}

/// Waits until a server answers who shows a token with this code.
async fn until(server: &TestServer, path: &str, token: &str, code: &str) {
    let wait = async {
        loop {
            let reply = server.get(path, Some(token)).await;
            if reply.body["code"] == code {
                return;
            }
            assert_eq!(reply.status, 200, "{}", reply.body);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "the token goes on to hold");
}

#[tokio::test]
async fn whom_one_server_puts_out_the_others_on_its_database_do_not_let_in() {
    let [here, there] = two().await;
    let ann = here.token("Ann").await;
    let room = here.room(&ann, json!({ "title": "R" })).await;
    let path = format!("/api/v1/rooms/{room}");
    let bob = api_token(&room, "bob", klieg_signaling::VideoGrants::default());
    let guest = here.guest_token(&room).await;
    for token in [&bob, &guest] {
        let shown = there.get(&path, Some(token)).await;
        assert_eq!(shown.status, 200, "{}", shown.body);
    }

    // A kick ends the tokens of before, and those alone.
    let kick = json!({ "identity": "devkey:bob" });
    let kicked = here.post(&format!("{path}/kicks"), Some(&ann), kick).await;
    assert_eq!(kicked.status, 204, "{}", kicked.body);
    until(&there, &path, &bob, "token_invalid").await;
    let mut socket = there.socket().await;
    socket.ok("auth", json!({ "token": bob })).await;
    let refused = socket.refused("join", json!({ "roomId": room })).await;
    assert_eq!(refused, "token_invalid");
    assert_eq!(there.get(&path, Some(&guest)).await.status, 200);

    // A ban keeps an account out, too, and shows it out of a room that the other server has open.
    let cy = here.token("Cy").await;
    let me = there.get("/api/v1/me", Some(&cy)).await.body;
    let (mut watching, _) = there.join("Cy", &room).await;
    let mut guests = there.socket().await;
    guests.ok("auth", json!({ "token": guest })).await;
    guests.ok("join", json!({ "roomId": room })).await;
    let ban = json!({ "identity": me["id"], "reason": "Enough." });
    let bans = format!("{path}/bans");
    let banned = here.post(&bans, Some(&ann), ban).await;
    assert!(banned.status < 300, "{}", banned.body);
    assert_eq!(watching.expect("kicked").await["d"]["reason"], "Enough.");
    assert_eq!(watching.closed().await, Some(4403));
    until(&there, &path, &cy, "banned").await;
    let listed = there.get(&bans, Some(&ann)).await.body;
    assert_eq!(listed["items"][0]["name"], "Cy", "{listed}");
    let lift = format!("{bans}?identity={}", me["id"].as_str().unwrap());
    let lifted = here.ask(("DELETE", &lift), Some(&ann), &[], None).await;
    assert_eq!(lifted.status, 204);
    there.join("Cy", &room).await;
    // So does a kick, and nobody else is.
    guests.ok("stats", json!({})).await;
    let kick = json!({ "identity": sub(&guest) });
    let kicked = here.post(&format!("{path}/kicks"), Some(&ann), kick).await;
    assert_eq!(kicked.status, 204, "{}", kicked.body);
    assert_eq!(guests.closed().await, Some(4403));

    // Who signs out of one is signed out of all.
    let dee = here.token("Dee").await;
    let out = here
        .post("/api/v1/auth/logout", Some(&dee), json!({}))
        .await;
    assert_eq!(out.status, 204, "{}", out.body);
    until(&there, &path, &dee, "token_expired").await;
    here.server.stop().await;
    there.server.stop().await;
}

#[tokio::test]
async fn an_address_that_one_server_shuts_out_the_others_do_not_let_in() {
    let [here, there] = two().await;
    let ann = here.token("Ann").await;
    let room = here.room(&ann, json!({ "title": "R" })).await;
    let path = format!("/api/v1/rooms/{room}");
    // The other server has the room open.
    let (_dee, _) = there.join("Dee", &room).await;
    let from = [("x-forwarded-for", "203.0.113.7")];
    let enter = format!("{path}/join");
    let line = ("POST", enter.as_str());
    let join = async || there.ask(line, None, &from, Some(json!({}))).await;
    let guest = here.ask(line, None, &from, Some(json!({}))).await.body;
    let guest = guest["token"].as_str().unwrap();
    let mut socket = Client::connect(here.http(), &from).await.unwrap();
    socket.ok("auth", json!({ "token": guest })).await;
    socket.ok("join", json!({ "roomId": room })).await;
    assert_eq!(join().await.status, 200);
    let bans = format!("{path}/bans");
    let ban = json!({ "identity": sub(guest) });
    let banned = here.post(&bans, Some(&ann), ban).await;
    assert_eq!(banned.body["addresses"], 1, "{}", banned.body);
    let wait = async {
        while join().await.body["code"] != "banned" {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
    let identity = sub(guest);
    let lift = format!("{bans}?identity={}", identity.as_str().unwrap());
    let lifted = here.ask(("DELETE", &lift), Some(&ann), &[], None).await;
    assert_eq!(lifted.status, 204);
    assert_eq!(join().await.status, 200, "asked of the database");
    here.server.stop().await;
    there.server.stop().await;
}

#[tokio::test]
async fn a_kick_a_moment_after_another_servers_ban_does_not_hide_it() {
    let [here, there] = two().await;
    let ann = here.token("Ann").await;
    let room = here.room(&ann, json!({ "title": "R" })).await;
    let path = format!("/api/v1/rooms/{room}");
    // The other server has the room open.
    let (_dee, _) = there.join("Dee", &room).await;
    let eve = here.token("Eve").await;
    let me = there.get("/api/v1/me", Some(&eve)).await.body;
    let person = json!({ "identity": me["id"] });
    let bans = format!("{path}/bans");
    let banned = here.post(&bans, Some(&ann), person.clone()).await;
    assert!(banned.status < 300, "{}", banned.body);
    let kicks = format!("{path}/kicks");
    let kicked = there.post(&kicks, Some(&ann), person).await;
    assert_eq!(kicked.status, 204, "{}", kicked.body);
    until(&there, &path, &eve, "banned").await;
    here.server.stop().await;
    there.server.stop().await;
}
