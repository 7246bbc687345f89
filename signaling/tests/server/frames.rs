//! Which frame was captured as something happened, so that each viewer sees both together.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::{Client, TestServer};
use crate::shop::{takes_orders, tell};

#[tokio::test]
async fn what_the_host_shows_and_asks_has_the_time_at_which_it_came() {
    let server = TestServer::start().await;
    let token = server.token("Host").await;
    let room = server.room(&token, json!({ "title": "R" })).await;
    let (mut host, _) = server.join("Host", &room).await;
    let (mut bob, joined) = server.join("Bob", &room).await;

    let before = millis();
    let path = format!("/api/v1/rooms/{room}/products");
    let tea = json!({ "name": "Tea", "price": 450, "currency": "EUR" });
    let tea = server.post(&path, Some(&token), tea).await.body["id"].clone();
    let added = captured(&bob.expect("products").await);
    assert!((before..=millis()).contains(&added));
    host.ok("product.feature", json!({ "productId": tea }))
        .await;
    let shown = bob.wait(|it| it["d"]["featuredId"] == tea).await;
    assert!((added..=millis()).contains(&captured(&shown)));

    let poll = json!({ "question": "Which tea?", "options": ["Green", "Black"] });
    let poll = host.ok("poll.open", poll).await["pollId"].clone();
    let opened = captured(&bob.expect("poll").await);
    assert!((added..=millis()).contains(&opened));
    // A vote is not the host's doing: it leaves the poll at the frame at which it was opened.
    bob.ok("poll.vote", json!({ "pollId": poll, "option": 1 }))
        .await;
    let voted = |it: &Value| it["t"] == "poll" && it["d"]["options"][1]["votes"] == 1;
    assert_eq!(captured(&bob.wait(voted).await), opened);
    host.ok("poll.close", json!({ "pollId": poll })).await;
    let closed = captured(&bob.wait(|it| it["d"]["open"] == false).await);
    assert!((opened..=millis()).contains(&closed));

    // Who comes back gets both with their times, who comes later has no picture to wait for.
    let mut back = server.sign_in("Back").await;
    let seq = joined["d"]["seq"].clone();
    back.ok("resume", json!({ "roomId": room, "lastSeq": seq }))
        .await;
    assert_eq!(back.expect("products").await["d"], shown["d"]);
    assert_eq!(captured(&back.expect("poll").await), closed);
    let (_, late) = server.join("Late", &room).await;
    for part in ["products", "poll"] {
        assert!(late["d"][part].get("capturedAt").is_none(), "{part}");
    }
    server.server.stop().await;
}

#[tokio::test]
async fn announcements_and_orders_keep_the_time_at_which_they_came() {
    for server in TestServer::on_each(takes_orders).await {
        let token = server.token("Host").await;
        let room = server.room(&token, json!({ "title": "R" })).await;
        let (mut host, _) = server.join("Host", &room).await;
        let (mut bob, joined) = server.join("Bob", &room).await;
        let before = millis();
        let announce = json!({ "text": "We begin!", "kind": "system" });
        host.ok("chat.send", announce).await;
        let announced = bob.expect("chat.message").await["d"].clone();
        let ts = announced["ts"].as_i64().unwrap();
        assert!((before..=ts).contains(&announced["capturedAt"].as_i64().unwrap()));
        let order = json!({
            "orderId": "o", "roomId": room, "productName": "x", "amount": 1, "currency": "EUR", "displayName": "Ann",
        });
        assert_eq!(tell(&server, &order).await.status, 201);
        let bought = bob.expect("chat.message").await["d"].clone();
        assert_eq!(bought["capturedAt"], bought["ts"]);
        assert_eq!(bob.expect("order").await["d"]["capturedAt"], bought["ts"]);
        // A conversation is about no frame.
        host.ok("chat.send", json!({ "text": "hello" })).await;
        let said = bob.expect("chat.message").await["d"].clone();
        assert!(said.get("capturedAt").is_none());

        let server = server.restart().await;
        let mut back = server.sign_in("Back").await;
        let seq = joined["d"]["seq"].clone();
        back.ok("resume", json!({ "roomId": room, "lastSeq": seq }))
            .await;
        for expected in [&announced, &bought, &said] {
            assert_eq!(next_said(&mut back).await, *expected);
        }
        server.server.stop().await;
    }
}

async fn next_said(client: &mut Client) -> Value {
    client.expect("chat.message").await["d"].clone()
}

fn captured(message: &Value) -> i64 {
    message["d"]["capturedAt"].as_i64().unwrap()
}

fn millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}
