//! Order in the chat: what is answered, pinned and taken away, and who may.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::TestServer;

#[tokio::test]
async fn an_answer_and_those_who_are_meant_are_seen_by_all() {
    for server in TestServer::on_each(|_| ()).await {
        let (mut ann, _) = server.join("Ann", "demo").await;
        let (mut bob, joined) = server.join("Bob", "demo").await;
        let ann_id = ann
            .ok("chat.send", json!({ "text": "who is there?" }))
            .await;
        let said = bob.expect("chat.message").await;
        let (id, from) = (said["d"]["messageId"].clone(), said["d"]["from"].clone());
        assert_eq!(id, ann_id["messageId"]);
        let answer =
            json!({ "text": "@Ann me!", "replyTo": id, "mentions": [from["id"], "nobody"] });
        bob.ok("chat.send", answer).await;
        ann.expect("chat.message").await;
        let heard = ann.expect("chat.message").await["d"].clone();
        let ann_as_meant = json!({ "id": from["id"], "name": "Ann" });
        assert_eq!(heard["mentions"], json!([ann_as_meant]));
        assert_eq!(
            heard["replyTo"],
            json!({ "messageId": id, "from": ann_as_meant })
        );
        let history = server.get("/api/v1/rooms/demo/chat?limit=1", None).await;
        assert_eq!(history.body["items"][0], heard);

        let lost = json!({ "text": "x", "replyTo": "missing" });
        assert_eq!(bob.refused("chat.send", lost).await, "invalid_value");
        let many = json!({ "text": "x", "mentions": vec!["x"; 11] });
        assert_eq!(bob.refused("chat.send", many).await, "bad_message");
        assert_eq!(joined["d"]["pinned"], Value::Null);
        server.server.stop().await;
    }
}

#[tokio::test]
async fn what_was_deleted_is_said_by_nobody_any_more_live_replayed_or_after_a_restart() {
    for server in TestServer::on_each(|_| ()).await {
        let host = server.token("Host").await;
        let room = server.room(&host, json!({ "title": "R" })).await;
        let (mut host, _) = server.join("Host", &room).await;
        let (mut bob, joined) = server.join("Bob", &room).await;
        let before = joined["d"]["seq"].clone();
        let said = bob.ok("chat.send", json!({ "text": "a secret" })).await;
        let id = said["messageId"].clone();
        host.ok("chat.pin", json!({ "messageId": id })).await;
        let pinned = bob.expect("chat.pinned").await;
        assert_eq!(pinned["d"]["message"]["text"], "a secret");
        let (_, joined) = server.join("Cy", &room).await;
        assert_eq!(joined["d"]["pinned"]["messageId"], id);

        let delete = json!({ "messageId": id });
        assert_eq!(
            bob.refused("chat.delete", delete.clone()).await,
            "forbidden"
        );
        host.ok("chat.delete", delete.clone()).await;
        let deleted = bob.expect("chat.deleted").await;
        assert_eq!(deleted["d"], json!({ "messageId": id, "seq": said["seq"] }));
        assert_eq!(host.refused("chat.delete", delete).await, "not_found");

        let mut server = server;
        for restarted in [false, true] {
            if restarted {
                server = server.restart().await;
            }
            let mut late = server.sign_in("Late").await;
            late.ok("resume", json!({ "roomId": room, "lastSeq": before }))
                .await;
            let message = late.expect("chat.message").await;
            assert_eq!(
                (&message["d"]["text"], &message["d"]["deleted"]),
                (&json!(""), &json!(true))
            );
            late.ok("leave", json!({})).await;
            let (late, joined) = server.join("Late", &room).await;
            assert_eq!(joined["d"]["chatHistory"][0]["deleted"], true);
            assert_eq!(
                (&joined["d"]["pinned"], restarted),
                (&Value::Null, restarted)
            );
            late.vanish();
        }
        server.server.stop().await;
    }
}

#[tokio::test]
async fn announcements_are_for_those_who_keep_order_whom_no_limit_holds_up() {
    let server = TestServer::start().await;
    let host = server.token("Host").await;
    let room = server.room(&host, json!({ "title": "R" })).await;
    let (mut host, _) = server.join("Host", &room).await;
    let (mut bob, _) = server.join("Bob", &room).await;
    let announce = json!({ "text": "We begin!", "kind": "system" });
    assert_eq!(
        bob.refused("chat.send", announce.clone()).await,
        "forbidden"
    );
    for _ in 0..10 {
        host.ok("chat.send", announce.clone()).await;
    }
    assert_eq!(bob.expect("chat.message").await["d"]["kind"], "system");
    let order = json!({ "text": "x", "kind": "order" });
    assert_eq!(host.refused("chat.send", order).await, "bad_message");
    server.server.stop().await;
}

#[tokio::test]
async fn many_messages_at_once_come_in_few_frames_each_once_and_in_order() {
    let server = TestServer::start().await;
    let host = server.token("Host").await;
    let room = server.room(&host, json!({ "title": "R" })).await;
    let (mut host, _) = server.join("Host", &room).await;
    let (mut bob, _) = server.join("Bob", &room).await;
    let mut ids = Vec::new();
    for number in 0..18 {
        ids.push(
            host.send("chat.send", json!({ "text": number.to_string() }))
                .await,
        );
    }
    for id in ids {
        host.answer(&id).await;
    }
    // One who comes meanwhile gets each in the snapshot or as an event, and never twice.
    let (mut cy, joined) = server.join("Cy", &room).await;
    let history = joined["d"]["chatHistory"].as_array().unwrap().len();
    let heard = cy.collect("chat.message", Duration::from_millis(300)).await;
    assert_eq!(history + heard.len(), 18);
    let heard = bob
        .collect("chat.message", Duration::from_millis(300))
        .await;
    let texts: Vec<_> = heard
        .iter()
        .map(|it| it["d"]["text"].as_str().unwrap())
        .collect();
    let expected: Vec<_> = (0..18).map(|number| number.to_string()).collect();
    assert_eq!(texts, expected);
    let metrics = server.get("/metrics", None).await.body;
    let frames = metrics.as_str().unwrap().lines();
    let frames = frames.filter_map(|it| it.strip_prefix("klieg_event_frames_total "));
    let frames: u64 = frames.map(|it| it.parse::<u64>().unwrap()).sum();
    assert!((1..18).contains(&frames), "{frames}");
    server.server.stop().await;
}
