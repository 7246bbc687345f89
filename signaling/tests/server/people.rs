//! Who may do what.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use klieg_signaling::VideoGrants;
use serde_json::json;

use crate::harness::{Client, TestServer, api_token, offer};

#[tokio::test]
async fn a_guest_watches_and_chats_only_where_the_room_allows_it() {
    let server = TestServer::start().await;
    let token = server.token("Ann").await;
    for (allowed, expected) in [(false, "forbidden"), (true, "")] {
        let room = server
            .room(&token, json!({ "title": "R", "allowGuestChat": allowed }))
            .await;
        let guest = server.guest_token(&room).await;
        let mut client = server.socket().await;
        let ack = client.ok("auth", json!({ "token": guest })).await;
        assert_eq!(ack["identity"]["role"], "guest");
        client.ok("join", json!({ "roomId": room })).await;
        client.ok("rtc.subscribe", json!({})).await;
        assert_eq!(
            client.refused("rtc.offer", json!({ "sdp": offer() })).await,
            "forbidden"
        );
        let said = client.request("chat.send", json!({ "text": "hi" })).await;
        let reacted = client
            .request("reaction.send", json!({ "emoji": "🔥" }))
            .await;
        for answer in [said, reacted] {
            assert_eq!(
                answer["d"]["code"].as_str().unwrap_or_default(),
                expected,
                "{answer}"
            );
        }
    }
    server.server.stop().await;
}

#[tokio::test]
async fn a_join_token_opens_its_room_and_no_other() {
    let server = TestServer::start().await;
    let ann = server.token("Ann").await;
    let other = server.room(&ann, json!({ "title": "Other" })).await;
    let mut client = server.socket().await;
    client
        .ok("auth", json!({ "token": server.guest_token("demo").await }))
        .await;
    for room in [other.as_str(), "missing"] {
        assert_eq!(
            client.refused("join", json!({ "roomId": room })).await,
            "forbidden"
        );
    }
    client.ok("join", json!({ "roomId": "demo" })).await;
    server.server.stop().await;
}

#[tokio::test]
async fn a_private_room_and_a_missing_one_answer_alike() {
    let server = TestServer::start().await;
    let ann = server.token("Ann").await;
    let private = json!({ "title": "Secret", "visibility": "private" });
    let room = server.room(&ann, private).await;
    let bob = server.token("Bob").await;
    for bearer in [None, Some(bob.as_str())] {
        for (hidden, missing) in [
            (
                format!("/api/v1/rooms/{room}"),
                "/api/v1/rooms/missing".to_owned(),
            ),
            (
                format!("/api/v1/rooms/{room}/chat"),
                "/api/v1/rooms/missing/chat".to_owned(),
            ),
        ] {
            let (hidden, missing) = (
                server.get(&hidden, bearer).await,
                server.get(&missing, bearer).await,
            );
            assert_eq!((hidden.status, &hidden.body), (404, &missing.body));
        }
    }
    let (mut client, _) = server.join("Bob", "demo").await;
    client.ok("leave", json!({})).await;
    let hidden = client.request("join", json!({ "roomId": room })).await;
    let missing = client.request("join", json!({ "roomId": "missing" })).await;
    assert_eq!(hidden["d"]["message"], missing["d"]["message"]);
    assert_eq!(hidden["d"]["code"], "not_found");

    let (_, joined) = server.join("Ann", &room).await;
    assert_eq!(joined["d"]["you"]["role"], "owner");
    server.server.stop().await;
}

#[tokio::test]
async fn an_older_token_lets_nobody_in_who_may_not_enter_any_more() {
    for server in TestServer::on_each(|_| ()).await {
        let (ann, bob) = (server.token("Ann").await, server.token("Bob").await);
        let room = server.room(&ann, json!({ "title": "R" })).await;
        let path = format!("/api/v1/rooms/{room}");
        let join = format!("{path}/join");
        let guest = server.guest_token(&room).await;
        let viewer = server.post(&join, Some(&bob), json!({})).await.body["token"].clone();
        let viewer = viewer.as_str().unwrap();
        let chat = format!("{path}/chat");
        for token in [guest.as_str(), viewer] {
            assert_eq!(server.get(&chat, Some(token)).await.status, 200);
        }
        let private = json!({ "visibility": "private" });
        let changed = server.ask(("PATCH", &path), Some(&ann), &[], Some(private));
        assert_eq!(changed.await.status, 200);
        for token in [guest.as_str(), viewer] {
            assert_eq!(server.get(&chat, Some(token)).await.status, 404);
            let mut client = server.socket().await;
            client.ok("auth", json!({ "token": token })).await;
            let refused = client.refused("join", json!({ "roomId": room })).await;
            assert_eq!(refused, "not_found");
        }
        server.server.stop().await;
    }
}

#[tokio::test]
async fn who_is_of_the_owners_audience_may_enter_a_private_room_as_long_as_they_are() {
    for server in TestServer::on_each(|_| ()).await {
        let (ann, bob) = (server.token("Ann").await, server.token("Bob").await);
        let private = json!({ "title": "R", "visibility": "private" });
        let room = server.room(&ann, private).await;
        let me = server.get("/api/v1/me", Some(&bob)).await.body;
        let id = me["id"].as_str().unwrap();
        let path = format!("/api/v1/rooms/{room}");
        let (join, members) = (format!("{path}/join"), format!("{path}/members"));
        assert_eq!(server.post(&join, Some(&bob), json!({})).await.status, 404);
        let invited = json!({ "identity": id });
        let put = server.ask(("PUT", &members), Some(&ann), &[], Some(invited));
        assert_eq!(put.await.status, 204);
        // The room has opened meanwhile: what is in memory knows of no audience.
        let joined = server.post(&join, Some(&bob), json!({})).await;
        assert_eq!(
            (joined.status, &joined.body["role"]),
            (200, &json!("viewer"))
        );
        let token = joined.body["token"].as_str().unwrap();
        let mut client = server.socket().await;
        client.ok("auth", json!({ "token": token })).await;
        client.ok("join", json!({ "roomId": room })).await;

        let members = format!("{members}?identity={id}");
        let taken = server
            .ask(("DELETE", &members), Some(&ann), &[], None)
            .await;
        assert_eq!(taken.status, 204);
        for bearer in [bob.as_str(), token] {
            assert_eq!(
                server.post(&join, Some(bearer), json!({})).await.status,
                404
            );
        }
        server.server.stop().await;
    }
}

/// Compares the times of answers, taken in turns so that whatever else the machine does meets all alike. What cannot be
/// told apart is right half of the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_room_and_a_missing_one_answer_after_the_same_time() {
    for server in TestServer::on_each(|_| ()).await {
        let ann = server.token("Ann").await;
        let private = json!({ "title": "Secret", "visibility": "private" });
        let asleep = server.room(&ann, private.clone()).await;
        let awake = server.room(&ann, private).await;
        // One of them is in memory, as those are where somebody is.
        let (_host, _) = server.join("Ann", &awake).await;
        let bob = server.token("Bob").await;
        let mut took = [vec![], vec![], vec![]];
        let paths =
            [&asleep, &awake, "missing-missing-missin"].map(|id| format!("/api/v1/rooms/{id}"));
        for _ in 0..ROUNDS {
            for (path, took) in paths.iter().zip(&mut took) {
                let asked = Instant::now();
                let reply = server.get(path, Some(&bob)).await;
                took.push(asked.elapsed());
                assert_eq!(reply.status, 404, "{}", reply.body);
            }
        }
        let [asleep, awake, missing] = took;
        for (name, hidden) in [("asleep", asleep), ("awake", awake)] {
            let later = share_later(&hidden, &missing);
            println!("{name}: later than a missing room in {later:.2} of all pairs");
            assert!((0.2..0.8).contains(&later), "{name}: {later}");
        }
        server.server.stop().await;
    }
}

/// Returns in which share of all pairs the first is the later.
fn share_later(one: &[Duration], other: &[Duration]) -> f64 {
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| a > b));
    let later = pairs.filter(|later| *later).count();
    later as f64 / (one.len() * other.len()) as f64
}

const ROUNDS: usize = 200;

#[tokio::test]
async fn an_application_decides_what_its_users_may_do() {
    let server = TestServer::start().await;
    let ann = server.token("Ann").await;
    let private = json!({ "title": "Secret", "visibility": "private" });
    let room = server.room(&ann, private).await;
    let grants = |publish, subscribe, data| VideoGrants {
        can_publish: Some(publish),
        can_subscribe: Some(subscribe),
        can_publish_data: Some(data),
        ..VideoGrants::default()
    };
    let table = [
        (grants(true, true, true), [true, true, true]),
        (grants(true, false, false), [true, false, false]),
        (grants(false, true, false), [false, true, false]),
        (VideoGrants::default(), [false, true, true]),
    ];
    for (index, (video, allowed)) in table.into_iter().enumerate() {
        let token = api_token(&room, &format!("user-{index}"), video);
        let mut client = server.socket().await;
        client.ok("auth", json!({ "token": token })).await;
        client.ok("join", json!({ "roomId": room })).await;
        let answers = [
            client.request("rtc.offer", json!({ "sdp": offer() })).await,
            client.request("rtc.subscribe", json!({})).await,
            client.request("chat.send", json!({ "text": "hi" })).await,
        ];
        assert_eq!(
            answers.map(|answer| answer["t"] == "ack"),
            allowed,
            "case {index}"
        );
        client.ok("leave", json!({})).await;
    }
    server.server.stop().await;
}

#[tokio::test]
async fn a_token_in_the_header_of_the_upgrade_is_enough() {
    let server = TestServer::start().await;
    let bearer = format!("Bearer {}", server.token("Ann").await);
    let headers = [("authorization", bearer.as_str())];
    let mut client = Client::connect(server.http(), &headers).await.unwrap();
    client.ok("join", json!({ "roomId": "demo" })).await;

    let headers = [("authorization", "Bearer x.y.z")];
    let refused = Client::connect(server.http(), &headers).await;
    let Err(tokio_tungstenite::tungstenite::Error::Http(response)) = refused.map(|_| ()) else {
        panic!("the socket opened");
    };
    assert_eq!(response.status(), 401);
    server.server.stop().await;
}

#[tokio::test]
async fn one_cannot_become_somebody_else_within_a_room() {
    let server = TestServer::start().await;
    let (mut client, _) = server.join("Ann", "demo").await;
    let bob = json!({ "token": server.token("Bob").await });
    assert_eq!(client.refused("auth", bob.clone()).await, "already_joined");
    client.ok("leave", json!({})).await;
    client.ok("auth", bob).await;
    server.server.stop().await;
}

#[tokio::test]
async fn a_token_swapped_for_a_join_token_gains_nothing() {
    let server = TestServer::start().await;
    let silent = VideoGrants {
        can_subscribe: Some(false),
        can_publish_data: Some(false),
        ..VideoGrants::default()
    };
    let mut token = api_token("demo", "bob", silent);
    // The token is good for a minute; what comes of it is, too, however often it is swapped.
    let ends = Instant::now() + Duration::from_secs(60);
    for _ in 0..2 {
        let path = "/api/v1/rooms/demo/join";
        let reply = server.post(path, Some(&token), json!({})).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(reply.body["grants"]["chat"], false, "{}", reply.body);
        token = reply.body["token"].as_str().unwrap().to_owned();
        let left = ends.duration_since(Instant::now());
        assert!(expires_in(&token) <= left + Duration::from_secs(1));
    }
    let mut client = server.socket().await;
    client.ok("auth", json!({ "token": token })).await;
    client.ok("join", json!({ "roomId": "demo" })).await;
    let said = json!({ "text": "hi" });
    assert_eq!(client.refused("chat.send", said).await, "forbidden");
    let watching = client.refused("rtc.subscribe", json!({})).await;
    assert_eq!(watching, "forbidden");
    server.server.stop().await;
}

/// Reads from a token how long it holds.
fn expires_in(token: &str) -> Duration {
    let claims = token.split('.').nth(1).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    let end = UNIX_EPOCH + Duration::from_secs(claims["exp"].as_u64().unwrap());
    end.duration_since(SystemTime::now()).unwrap()
}
