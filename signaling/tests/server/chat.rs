//! What is said stays said: once, in order, whatever happens to sockets and servers.

use std::time::Duration;

use klieg_signaling::VideoGrants;
use serde_json::{Value, json};

use crate::harness::{TestServer, api_token};

fn texts(messages: &Value) -> Vec<&str> {
    let messages = messages.as_array().unwrap().iter();
    messages
        .map(|message| message["text"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn chat_survives_a_restart_and_numbers_are_not_used_twice() {
    let server = TestServer::start().await;
    let (mut ann, _) = server.join("Ann", "demo").await;
    let first = ann.ok("chat.send", json!({ "text": "one" })).await;
    let server = server.restart().await;
    let (mut ann, joined) = server.join("Ann", "demo").await;
    assert_eq!(texts(&joined["d"]["chatHistory"]), ["one"]);
    assert_eq!(joined["d"]["seq"], first["seq"]);
    let second = ann.ok("chat.send", json!({ "text": "two" })).await;
    assert!(second["seq"].as_u64() > first["seq"].as_u64());

    let page = server.get("/api/v1/rooms/demo/chat?limit=1", None).await;
    assert_eq!(texts(&page.body["items"]), ["two"]);
    let before = page.body["nextCursor"].as_str().unwrap();
    let page = server
        .get(&format!("/api/v1/rooms/demo/chat?before={before}"), None)
        .await;
    assert_eq!(texts(&page.body["items"]), ["one"]);
    assert_eq!(page.body["nextCursor"], Value::Null);
    server.server.stop().await;
}

#[tokio::test]
async fn the_same_message_sent_again_is_acknowledged_again_and_stored_once() {
    let server = TestServer::start().await;
    let (mut ann, _) = server.join("Ann", "demo").await;
    let text = json!({ "t": "chat.send", "id": "unique", "d": { "text": "once" } }).to_string();
    ann.send_text(&text).await;
    ann.send_text(&text).await;
    let (first, second) = (ann.answer("unique").await, ann.answer("unique").await);
    assert_eq!(first["d"], second["d"]);

    // Another socket of hers, after a server restart.
    let server = server.restart().await;
    let (mut again, _) = server.join("Ann", "demo").await;
    again.send_text(&text).await;
    assert_eq!(again.answer("unique").await["d"], first["d"]);

    // The same id for something else is a mistake that must not go unnoticed.
    let other = json!({ "t": "chat.send", "id": "unique", "d": { "text": "other" } });
    again.send_text(&other.to_string()).await;
    assert_eq!(again.answer("unique").await["d"]["code"], "bad_message");

    // And Bob's is his own.
    let (mut bob, _) = server.join("Bob", "demo").await;
    bob.send_text(&text).await;
    assert_ne!(
        bob.answer("unique").await["d"]["messageId"],
        first["d"]["messageId"]
    );
    let (_, joined) = server.join("Cy", "demo").await;
    assert_eq!(texts(&joined["d"]["chatHistory"]), ["once", "once"]);
    server.server.stop().await;
}

#[tokio::test]
async fn one_who_comes_back_gets_what_was_missed_and_nothing_twice() {
    let server = TestServer::start().await;
    let (mut ann, _) = server.join("Ann", "demo").await;
    let (bob, joined) = server.join("Bob", "demo").await;
    let last_seq = joined["d"]["seq"].as_u64().unwrap();
    bob.vanish();
    for text in ["a", "b", "c"] {
        ann.ok("chat.send", json!({ "text": text })).await;
    }

    let mut bob = server.sign_in("Bob").await;
    let resume = json!({ "roomId": "demo", "lastSeq": last_seq });
    let ack = bob.ok("resume", resume).await;
    assert_eq!(ack["seq"], last_seq + 3);
    ann.ok("chat.send", json!({ "text": "d" })).await;
    let messages = bob
        .collect("chat.message", Duration::from_millis(500))
        .await;
    let seen: Vec<_> = messages
        .iter()
        .map(|m| (m["seq"].as_u64().unwrap(), &m["d"]["text"]))
        .collect();
    let expected: Vec<_> = ["a", "b", "c", "d"].map(|text| json!(text)).to_vec();
    assert_eq!(
        seen.iter()
            .map(|(seq, _)| *seq - last_seq)
            .collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    assert!(seen.iter().map(|(_, text)| *text).eq(&expected));
    assert!(bob.collect("joined", Duration::ZERO).await.is_empty());
    server.server.stop().await;
}

#[tokio::test]
async fn one_who_missed_what_is_not_known_gets_the_snapshot() {
    let server = TestServer::start().await;
    let mut bob = server.sign_in("Bob").await;
    let ack = bob
        .ok("resume", json!({ "roomId": "demo", "lastSeq": 9999 }))
        .await;
    assert_eq!(ack.get("seq"), None);
    bob.expect("joined").await;
    server.server.stop().await;
}

#[tokio::test]
async fn missed_events_are_known_after_a_restart_too() {
    let server = TestServer::start().await;
    let (mut ann, joined) = server.join("Ann", "demo").await;
    ann.ok("chat.send", json!({ "text": "late" })).await;
    let server = server.restart().await;
    let mut ann = server.sign_in("Ann").await;
    let last_seq = joined["d"]["seq"].clone();
    ann.ok("resume", json!({ "roomId": "demo", "lastSeq": last_seq }))
        .await;
    let message = ann.expect("chat.message").await;
    assert_eq!(message["d"]["text"], "late");
    server.server.stop().await;
}

#[tokio::test]
async fn everybody_hears_everybody_in_the_same_order() {
    let server = TestServer::start().await;
    let mut clients = Vec::new();
    for index in 0..8 {
        clients.push(server.join(&format!("P{index}"), "demo").await.0);
    }
    for client in &mut clients {
        for _ in 0..5 {
            client.send("chat.send", json!({ "text": "x" })).await;
        }
    }
    let mut orders = Vec::new();
    for client in &mut clients {
        let messages = client
            .collect("chat.message", Duration::from_millis(700))
            .await;
        let order: Vec<u64> = messages
            .iter()
            .map(|m| m["seq"].as_u64().unwrap())
            .collect();
        orders.push(order);
    }
    let expected: Vec<u64> = (1..=40).collect();
    assert!(orders.iter().all(|order| *order == expected), "{orders:?}");
    server.server.stop().await;
}

#[tokio::test]
async fn five_messages_a_second_are_enough_for_one_identity_on_all_its_sockets() {
    let server = TestServer::start().await;
    let host = server.token("Host").await;
    let room = server.room(&host, json!({ "title": "R" })).await;
    let (mut one, _) = server.join("Ann", &room).await;
    let (mut two, _) = server.join("Ann", &room).await;
    for _ in 0..5 {
        one.ok("chat.send", json!({ "text": "x" })).await;
    }
    let refusal = two.request("chat.send", json!({ "text": "x" })).await;
    assert_eq!(refusal["d"]["code"], "rate_limited");
    let wait = refusal["d"]["retryAfterMs"].as_u64().unwrap();
    assert!((1..=200).contains(&wait), "{wait}");
    tokio::time::sleep(Duration::from_millis(wait)).await;
    two.ok("chat.send", json!({ "text": "x" })).await;
    server.server.stop().await;
}

#[tokio::test]
async fn reactions_over_rest_come_in_the_same_batches() {
    let server = TestServer::start().await;
    let (mut ann, _) = server.join("Ann", "demo").await;
    let path = "/api/v1/rooms/demo/reactions";
    let bob = server.token("Bob").await;
    let react = async |emoji| {
        server
            .post(path, Some(&bob), json!({ "emoji": emoji }))
            .await
    };
    for emoji in ["👏", "👏", "🎉"] {
        assert_eq!(react(emoji).await.status, 204);
        ann.send("reaction.send", json!({ "emoji": "👏" })).await;
    }
    let (mut claps, mut cheers) = (0, 0);
    while claps + cheers < 6 {
        let counts = ann.expect("reaction.batch").await["d"]["counts"].take();
        claps += counts["👏"].as_u64().unwrap_or(0);
        cheers += counts["🎉"].as_u64().unwrap_or(0);
    }
    assert_eq!((claps, cheers), (5, 1));

    let other = react("💩").await;
    assert_eq!(
        (other.status, &other.body["code"]),
        (400, &json!("emoji_unknown"))
    );
    server.server.stop().await;
}

#[tokio::test]
async fn one_who_reacts_over_rest_all_the_time_has_to_wait_and_others_need_not() {
    let server = TestServer::start().await;
    let (bob, cy) = (server.token("Bob").await, server.token("Cy").await);
    let path = "/api/v1/rooms/demo/reactions";
    let fire = json!({ "emoji": "🔥" });
    // As many connections as it takes to be faster than one is allowed to be.
    let asks = (0..60).map(|_| server.post(path, Some(&bob), fire.clone()));
    let replies = futures_util::future::join_all(asks).await;
    let refused: Vec<_> = replies.iter().filter(|it| it.status == 429).collect();
    let taken = replies.iter().filter(|it| it.status == 204).count();
    assert_eq!(taken + refused.len(), 60);
    assert!(taken >= 20 && !refused.is_empty(), "{taken}");
    assert_eq!(refused[0].body["code"], "rate_limited");
    assert_eq!(server.post(path, Some(&cy), fire).await.status, 204);
    server.server.stop().await;
}

#[tokio::test]
async fn reactions_and_numbers_come_in_batches() {
    let server = TestServer::start().await;
    let (mut ann, _) = server.join("Ann", "demo").await;
    let (mut bob, _) = server.join("Bob", "demo").await;
    for _ in 0..6 {
        ann.send("reaction.send", json!({ "emoji": "👏" })).await;
        bob.send("reaction.send", json!({ "emoji": "🎉" })).await;
    }
    ann.ok("rtc.subscribe", json!({})).await;
    bob.ok("rtc.subscribe", json!({})).await;
    let batches = bob
        .collect("reaction.batch", Duration::from_millis(1200))
        .await;
    let count = |emoji: &str| -> u64 {
        batches
            .iter()
            .filter_map(|batch| batch["d"]["counts"][emoji].as_u64())
            .sum()
    };
    assert_eq!((count("👏"), count("🎉")), (6, 6));
    assert!(batches.len() <= 5, "{batches:?}");
    let stats = bob.collect("stats", Duration::ZERO).await;
    assert!((1..=2).contains(&stats.len()), "{stats:?}");
    let last = &stats.last().unwrap()["d"];
    assert_eq!(*last, json!({ "viewerCount": 2, "likes": 0, "peak": 2 }));

    ann.ok("leave", json!({})).await;
    let stats = bob.expect("stats").await;
    assert_eq!(
        stats["d"],
        json!({ "viewerCount": 1, "likes": 0, "peak": 2 })
    );
    server.server.stop().await;
}

#[tokio::test]
async fn a_room_that_nobody_needs_leaves_memory_and_comes_back_as_it_was() {
    let server = TestServer::start_with(|config| config.room_idle_ms = 50).await;
    let (mut ann, _) = server.join("Ann", "demo").await;
    ann.ok("chat.send", json!({ "text": "kept" })).await;
    ann.ok("leave", json!({})).await;
    server.settles("klieg_rooms 0").await;
    ann.ok("join", json!({ "roomId": "demo" })).await;
    let joined = ann.expect("joined").await;
    assert_eq!(texts(&joined["d"]["chatHistory"]), ["kept"]);
    server.server.stop().await;
}

#[tokio::test]
async fn a_history_of_the_longest_messages_and_names_keeps_nobody_out() {
    let server = TestServer::start().await;
    let text = "😀".repeat(500);
    for index in 0..25 {
        // As long as an identity may be that begins with `devkey:`.
        let identity = format!("{}{index:02}", "😀".repeat(119));
        let token = api_token("demo", &identity, VideoGrants::default());
        let mut talker = server.socket().await;
        talker.ok("auth", json!({ "token": token })).await;
        talker.ok("join", json!({ "roomId": "demo" })).await;
        for _ in 0..4 {
            talker.ok("chat.send", json!({ "text": text })).await;
        }
    }
    let (mut late, joined) = server.join("Late", "demo").await;
    let history = joined["d"]["chatHistory"].as_array().unwrap();
    assert!((20..100).contains(&history.len()), "{}", history.len());
    assert_eq!(history.last().unwrap()["seq"], joined["d"]["seq"]);
    late.ok("ping", json!({})).await;
    server.server.stop().await;
}
