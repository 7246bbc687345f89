//! Who may write and enter, and who says so.

use serde_json::{Value, json};

use crate::admin::admin;
use crate::harness::{Client, TestServer};

#[tokio::test]
async fn one_who_is_muted_is_told_until_when_and_stays_so_over_a_restart() {
    for server in TestServer::on_each(|_| ()).await {
        let (room, mut host) = hosted(&server).await;
        let (mut bob, joined) = server.join("Bob", &room).await;
        assert_eq!(joined["d"]["you"]["muted"], false);
        let bob_id = joined["d"]["you"]["id"].clone();
        host.ok(
            "mod.mute",
            json!({ "identity": bob_id, "name": "Bob", "seconds": 600 }),
        )
        .await;
        let you = bob.expect("you").await;
        assert_eq!(
            (&you["d"]["muted"], you["d"]["mutedUntil"].is_string()),
            (&json!(true), true)
        );
        let refused = bob.request("chat.send", json!({ "text": "x" })).await;
        assert_eq!(refused["d"]["code"], "muted");
        let wait = refused["d"]["retryAfterMs"].as_u64().unwrap();
        assert!((500_000..=600_000).contains(&wait), "{wait}");

        let server = server.restart().await;
        let (mut bob, joined) = server.join("Bob", &room).await;
        assert_eq!(joined["d"]["you"]["muted"], true);
        assert_eq!(
            bob.refused("chat.send", json!({ "text": "x" })).await,
            "muted"
        );
        let token = server.token("Host").await;
        let path = format!("/api/v1/rooms/{room}/mutes");
        let list = server.get(&path, Some(&token)).await.body;
        assert_eq!(
            (&list["items"][0]["id"], &list["items"][0]["name"]),
            (&bob_id, &json!("Bob"))
        );
        let (mut host, _) = server.join("Host", &room).await;
        host.ok("mod.mute", json!({ "identity": bob_id, "seconds": 0 }))
            .await;
        assert_eq!(bob.expect("you").await["d"]["muted"], false);
        bob.ok("chat.send", json!({ "text": "x" })).await;
        server.server.stop().await;
    }
}

#[tokio::test]
async fn one_who_is_banned_goes_and_comes_back_by_no_way_until_the_ban_is_lifted() {
    for server in TestServer::on_each(|config| config.room_idle_ms = 50).await {
        let (room, mut host) = hosted(&server).await;
        let (mut bob, joined) = server.join("Bob", &room).await;
        let id = joined["d"]["you"]["id"].clone();
        let bob_token = server.token("Bob").await;
        let ban = json!({ "identity": id, "name": "Bob", "reason": "enough" });
        host.ok("mod.ban", ban).await;
        assert_eq!(bob.expect("kicked").await["d"]["reason"], "enough");
        assert_eq!(bob.closed().await, Some(4403));
        // In memory and, once nobody is there, from the database.
        for _ in 0..2 {
            let mut again = server.sign_in("Bob").await;
            assert_eq!(
                again.refused("join", json!({ "roomId": room })).await,
                "banned"
            );
            let path = format!("/api/v1/rooms/{room}/join");
            let reply = server.post(&path, Some(&bob_token), json!({})).await;
            assert_eq!((reply.status, &reply.body["code"]), (403, &json!("banned")));
            host.ok("leave", json!({})).await;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            host.ok("join", json!({ "roomId": room })).await;
        }
        host.ok("mod.ban", json!({ "identity": id, "seconds": 0 }))
            .await;
        server.join("Bob", &room).await;
        let audit = format!("/api/v1/rooms/{room}/audit");
        let token = server.token("Host").await;
        let audit = server.get(&audit, Some(&token)).await.body;
        let actions: Vec<_> = audit["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["action"])
            .collect();
        assert_eq!(actions, ["unban", "ban"]);
        assert_eq!(audit["items"][1]["details"]["reason"], "enough");
        server.server.stop().await;
    }
}

#[tokio::test]
async fn roles_are_given_and_taken_while_people_are_there() {
    for server in TestServer::on_each(|_| ()).await {
        let (room, mut host) = hosted(&server).await;
        let (mut bob, joined) = server.join("Bob", &room).await;
        let (mut cy, joined_cy) = server.join("Cy", &room).await;
        let (bob_id, cy_id) = (&joined["d"]["you"]["id"], &joined_cy["d"]["you"]["id"]);
        let said = cy.ok("chat.send", json!({ "text": "x" })).await;
        let delete = json!({ "messageId": said["messageId"] });
        assert_eq!(
            bob.refused("chat.delete", delete.clone()).await,
            "forbidden"
        );

        let role = |id: &Value, role: Value| json!({ "identity": id, "name": "x", "role": role });
        host.ok("mod.role", role(bob_id, json!("moderator"))).await;
        let you = bob.expect("you").await["d"].clone();
        assert_eq!(
            (&you["role"], &you["grants"]["moderate"]),
            (&json!("moderator"), &json!(true))
        );
        bob.ok("chat.delete", delete).await;
        // Moderators do nothing to their like or to the owner, and make nobody one.
        assert_eq!(
            bob.refused("mod.role", role(cy_id, json!("moderator")))
                .await,
            "forbidden"
        );
        let host_id = server
            .get(&format!("/api/v1/rooms/{room}"), None)
            .await
            .body["owner"]["id"]
            .clone();
        assert_eq!(
            bob.refused("mod.ban", json!({ "identity": host_id })).await,
            "forbidden"
        );
        host.ok("mod.role", role(cy_id, json!("moderator"))).await;
        assert_eq!(
            bob.refused("mod.mute", json!({ "identity": cy_id })).await,
            "forbidden"
        );
        assert_eq!(
            host.refused("mod.role", role(cy_id, json!("owner"))).await,
            "bad_message"
        );

        // A token that was minted meanwhile is worth no more than the role.
        let path = format!("/api/v1/rooms/{room}/join");
        let bearer = server.token("Bob").await;
        let ticket = server.post(&path, Some(&bearer), json!({})).await.body;
        assert_eq!(ticket["role"], "moderator");
        host.ok("mod.role", role(bob_id, Value::Null)).await;
        assert_eq!(bob.expect("you").await["d"]["role"], "viewer");
        assert_eq!(bob.refused("chat.pin", json!({})).await, "forbidden");
        let mut again = server.socket().await;
        again.ok("auth", json!({ "token": ticket["token"] })).await;
        again.ok("join", json!({ "roomId": room })).await;
        assert_eq!(again.expect("joined").await["d"]["you"]["role"], "viewer");

        let server = server.restart().await;
        let (_, joined) = server.join("Cy", &room).await;
        assert_eq!(joined["d"]["you"]["role"], "moderator");
        server.server.stop().await;
    }
}

#[tokio::test]
async fn who_was_given_a_role_in_a_private_room_may_enter_it() {
    let server = TestServer::start().await;
    let host = server.token("Host").await;
    let room = server
        .room(&host, json!({ "title": "R", "visibility": "private" }))
        .await;
    let (mut bob, joined) = server.join("Bob", "demo").await;
    bob.ok("leave", json!({})).await;
    assert_eq!(
        bob.refused("join", json!({ "roomId": room })).await,
        "not_found"
    );
    let (mut host, _) = server.join("Host", &room).await;
    let id = &joined["d"]["you"]["id"];
    host.ok("mod.role", json!({ "identity": id, "role": "cohost" }))
        .await;
    bob.ok("join", json!({ "roomId": room })).await;
    let you = bob.expect("joined").await["d"]["you"].clone();
    assert_eq!(
        (&you["role"], &you["grants"]["publish"]),
        (&json!("cohost"), &json!(true))
    );
    server.server.stop().await;
}

#[tokio::test]
async fn what_is_held_is_said_when_a_moderator_lets_it() {
    for server in TestServer::on_each(|_| ()).await {
        let (room, mut host) = hosted(&server).await;
        let (mut bob, _) = server.join("Bob", &room).await;
        let (mut cy, _) = server.join("Cy", &room).await;
        let patch = json!({ "links": "hold", "words": ["darn"], "builtInWords": true });
        set(&server, &room, patch).await;
        let told = cy.expect("chat.settings").await["d"].clone();
        assert_eq!((&told["links"], told.get("words")), (&json!("hold"), None));
        for rude in ["D A R N it", "địt mẹ"] {
            assert_eq!(
                bob.refused("chat.send", json!({ "text": rude })).await,
                "word_refused"
            );
        }
        let text =
            json!({ "t": "chat.send", "id": "h1", "d": { "text": "see shop.vn" } }).to_string();
        for _ in 0..2 {
            bob.send_text(&text).await;
            assert_eq!(bob.answer("h1").await["d"]["held"], true);
        }
        let held = host.expect("mod.held").await["d"].clone();
        assert_eq!(
            (&held["text"], &held["reason"]),
            (&json!("see shop.vn"), &json!("link"))
        );
        let token = server.token("Host").await;
        let path = format!("/api/v1/rooms/{room}/held");
        let list = server.get(&path, Some(&token)).await.body;
        assert_eq!(list["items"], json!([held]));

        let review = |approve: bool| json!({ "heldId": held["heldId"], "approve": approve });
        host.ok("mod.review", review(true)).await;
        let message = cy.expect("chat.message").await["d"].clone();
        assert_eq!(
            (&message["text"], &message["from"]["name"]),
            (&json!("see shop.vn"), &json!("Bob"))
        );
        assert_eq!(host.refused("mod.review", review(false)).await, "not_found");
        bob.send_text(&text).await;
        assert_eq!(
            bob.answer("h1").await["d"]["messageId"],
            message["messageId"]
        );

        bob.ok("chat.send", json!({ "text": "www.example.com" }))
            .await;
        let held = host.expect("mod.held").await["d"]["heldId"].clone();
        host.ok("mod.review", json!({ "heldId": held, "approve": false }))
            .await;
        assert_eq!(host.expect("mod.reviewed").await["d"]["approved"], true);
        let list = server.get(&path, Some(&token)).await.body;
        assert_eq!(list["items"], json!([]));
        assert!(
            cy.collect("mod.held", std::time::Duration::from_millis(50))
                .await
                .is_empty()
        );
        server.server.stop().await;
    }
}

#[tokio::test]
async fn the_chat_is_slow_or_for_some_when_a_moderator_says_so() {
    for server in TestServer::on_each(|_| ()).await {
        let (room, mut host) = hosted(&server).await;
        let (mut bob, joined) = server.join("Bob", &room).await;
        let bob_id = joined["d"]["you"]["id"].clone();
        host.ok("mod.slow", json!({ "seconds": 60 })).await;
        bob.expect("chat.settings").await;
        bob.ok("chat.send", json!({ "text": "1" })).await;
        let refused = bob.request("chat.send", json!({ "text": "2" })).await;
        assert_eq!(refused["d"]["code"], "slow_mode");
        assert!(refused["d"]["retryAfterMs"].as_u64().unwrap() > 50_000);
        host.ok("mod.slow", json!({ "seconds": 0 })).await;

        set(&server, &room, json!({ "audience": "followers" })).await;
        assert_eq!(
            bob.refused("chat.send", json!({ "text": "3" })).await,
            "audience_only"
        );
        let token = server.token("Bob").await;
        let follow = format!("/api/v1/rooms/{room}/follow");
        let reply = server.ask(("PUT", &follow), Some(&token), &[], None).await;
        assert_eq!(reply.status, 204, "{}", reply.body);
        bob.ok("chat.send", json!({ "text": "4" })).await;
        let (_, joined) = server.join("Late", &room).await;
        assert_eq!(joined["d"]["chatSettings"]["audience"], "followers");

        set(&server, &room, json!({ "audience": "members" })).await;
        assert_eq!(
            bob.refused("chat.send", json!({ "text": "5" })).await,
            "audience_only"
        );
        let host_token = server.token("Host").await;
        let members = format!("/api/v1/rooms/{room}/members");
        let body = Some(json!({ "identity": bob_id }));
        let reply = server
            .ask(("PUT", &members), Some(&host_token), &[], body)
            .await;
        assert_eq!(reply.status, 204, "{}", reply.body);
        bob.ok("chat.send", json!({ "text": "6" })).await;
        host.ok("chat.send", json!({ "text": "the host always may" }))
            .await;
        server.server.stop().await;
    }
}

#[tokio::test]
async fn guests_find_their_voice_and_lose_it_while_they_are_there() {
    let server = TestServer::start().await;
    let (room, _host) = hosted(&server).await;
    let token = server.guest_token(&room).await;
    let mut guest = server.socket().await;
    guest.ok("auth", json!({ "token": token })).await;
    guest.ok("join", json!({ "roomId": room })).await;
    for guests in [false, true, false] {
        set(&server, &room, json!({ "guests": guests })).await;
        assert_eq!(guest.expect("you").await["d"]["grants"]["chat"], guests);
        let answer = guest.request("chat.send", json!({ "text": "x" })).await;
        assert_eq!(answer["t"] == "ack", guests, "{answer}");
        let shown = server
            .get(&format!("/api/v1/rooms/{room}"), None)
            .await
            .body;
        assert_eq!(shown["allowGuestChat"], guests);
    }
    server.server.stop().await;
}

#[tokio::test]
async fn what_is_reported_reaches_the_moderators_once() {
    for server in TestServer::on_each(|_| ()).await {
        let (room, mut host) = hosted(&server).await;
        let (mut bob, _) = server.join("Bob", &room).await;
        let (mut cy, _) = server.join("Cy", &room).await;
        let said = cy.ok("chat.send", json!({ "text": "buy now" })).await;
        let report = json!({ "messageId": said["messageId"], "reason": "spam" });
        for _ in 0..2 {
            bob.ok("chat.report", report.clone()).await;
        }
        let told = host.expect("mod.report").await["d"].clone();
        assert_eq!(
            (&told["reason"], &told["message"]["text"]),
            (&json!("spam"), &json!("buy now"))
        );
        let missing = json!({ "messageId": "missing" });
        assert_eq!(bob.refused("chat.report", missing).await, "not_found");
        let token = server.token("Host").await;
        let path = format!("/api/v1/rooms/{room}/reports");
        let list = server.get(&path, Some(&token)).await.body;
        assert_eq!(list["items"], json!([told]));
        let done = format!("{path}/{}", told["reportId"].as_str().unwrap());
        let reply = server.ask(("DELETE", &done), Some(&token), &[], None).await;
        assert_eq!(reply.status, 204);
        assert_eq!(
            server.get(&path, Some(&token)).await.body["items"],
            json!([])
        );
        server.server.stop().await;
    }
}

#[tokio::test]
async fn people_are_put_out_one_by_one_and_not_by_the_thousand() {
    let server = TestServer::start().await;
    let (room, _) = hosted(&server).await;
    let token = server.token("Host").await;
    let path = format!("/api/v1/rooms/{room}/kicks");
    let mut statuses = Vec::new();
    for nobody in 0..125 {
        let body = json!({ "identity": format!("nobody {nobody}") });
        statuses.push(server.post(&path, Some(&token), body).await.status);
    }
    assert_eq!(statuses[..120], [204; 120]);
    assert_eq!(statuses[124], 429);
    server.server.stop().await;
}

#[tokio::test]
async fn nobody_but_an_admin_does_anything_to_an_admin_who_is_not_there() {
    let server = TestServer::start().await;
    let (room, mut host) = hosted(&server).await;
    let (mut bob, joined) = server.join("Bob", &room).await;
    let role = json!({ "identity": joined["d"]["you"]["id"], "role": "moderator" });
    host.ok("mod.role", role).await;
    bob.expect("you").await;
    let root = admin(&server).await;
    let root = server.get("/api/v1/me", Some(&root)).await.body["id"].clone();
    for who in [&mut bob, &mut host] {
        for (what, more) in [
            ("mod.kick", json!({})),
            ("mod.ban", json!({})),
            ("mod.mute", json!({ "seconds": 60 })),
        ] {
            let mut deed = more;
            deed["identity"] = root.clone();
            assert_eq!(who.refused(what, deed).await, "forbidden", "{what}");
        }
    }
    server.server.stop().await;
}

/// Makes a room and brings its host there.
async fn hosted(server: &TestServer) -> (String, Client) {
    let token = server.token("Host").await;
    let room = server.room(&token, json!({ "title": "R" })).await;
    let (host, _) = server.join("Host", &room).await;
    (room, host)
}

/// Sets a room's chat.
async fn set(server: &TestServer, room: &str, patch: Value) {
    let token = server.token("Host").await;
    let path = format!("/api/v1/rooms/{room}/chat-settings");
    let reply = server
        .ask(("PATCH", &path), Some(&token), &[], Some(patch))
        .await;
    assert_eq!(reply.status, 204, "{}", reply.body);
}
