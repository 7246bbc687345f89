//! Rooms over REST and the socket: their life, what is written about them, who is in them. On both databases.

use serde_json::{Value, json};

use crate::harness::{Client, TestServer, masked};
use crate::peer::{Publisher, Viewer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_lives_from_its_announcement_to_its_summary() {
    let mut told_by = Vec::new();
    for server in TestServer::on_each(|_| ()).await {
        let ann = server.token("Ann").await;
        let id = server.room(&ann, json!({ "title": "Show" })).await;
        let path = format!("/api/v1/rooms/{id}");
        let mut told = vec![server.get(&path, None).await.body];
        let (mut bob, _) = server.join("Bob", &id).await;
        let act = async |what: &str, token: &str| {
            let path = format!("{path}/{what}");
            server.post(&path, Some(token), json!({})).await
        };
        assert_eq!(act("end", &ann).await.body["code"], "room_state");
        let eve = server.token("Eve").await;
        assert_eq!(act("start", &eve).await.status, 403);
        assert_eq!(act("start", &ann).await.body["status"], "ready");
        // Asking twice is harmless.
        assert_eq!(act("start", &ann).await.status, 200);
        told.push(status(&mut bob, "ready").await);

        let mut host = in_room(&server, &ann, &id).await;
        let publisher = Publisher::go_live(&mut host).await;
        told.push(status(&mut bob, "live").await);
        let viewer = Viewer::watch(&mut bob).await;
        viewer.sees(5).await;
        let now = server.get(&format!("{path}/status"), None).await.body;
        assert_eq!(now["status"], "live");
        assert_eq!(now["viewerCount"], 1);
        assert!(
            now["durationSec"].is_u64() && now["startedAt"].is_string(),
            "{now}"
        );
        let live = server.get("/api/v1/rooms/live", None).await.body;
        assert_eq!(live["items"][0]["id"], id);
        let delete = server.ask(("DELETE", &path), Some(&ann), &[], None).await;
        assert_eq!(delete.body["code"], "room_state");

        let ended = act("end", &ann).await.body;
        assert_eq!(ended["summary"]["totalViewers"], 1, "{ended}");
        let over = status(&mut bob, "ended").await;
        assert_eq!(over["d"]["summary"]["peakViewers"], 1);
        publisher.end().await;
        viewer.end().await;
        let past = server.get("/api/v1/rooms/past", None).await.body;
        assert_eq!(past["items"][0]["id"], id);
        came_to_one_event(&server, &ann, &id).await;
        // Nothing can be sent there any more.
        let offer = crate::harness::offer();
        assert_eq!(
            host.refused("rtc.offer", json!({ "sdp": offer })).await,
            "room_over"
        );
        assert_eq!(act("start", &ann).await.body["code"], "room_over");

        let delete = server.ask(("DELETE", &path), Some(&ann), &[], None).await;
        assert_eq!(delete.status, 204);
        assert_eq!(server.get(&path, None).await.status, 404);
        told_by.push(masked(Value::Array(told)));
        server.server.stop().await;
    }
    assert_eq!(told_by[0], told_by[1]);
    insta::assert_json_snapshot!(told_by[0]);
}

#[tokio::test]
async fn a_host_starts_and_ends_a_room_over_the_socket() {
    for server in TestServer::on_each(|_| ()).await {
        let ann = server.token("Ann").await;
        let id = server.room(&ann, json!({ "title": "Show" })).await;
        let mut host = in_room(&server, &ann, &id).await;
        let (mut bob, _) = server.join("Bob", &id).await;
        assert_eq!(host.refused("room.end", json!({})).await, "room_state");
        for message in ["room.start", "room.end"] {
            assert_eq!(bob.refused(message, json!({})).await, "forbidden");
        }
        host.ok("room.start", json!({})).await;
        status(&mut bob, "ready").await;
        host.ok("room.end", json!({})).await;
        status(&mut bob, "ended").await;
        assert_eq!(host.refused("room.start", json!({})).await, "room_over");
        server.server.stop().await;
    }
}

/// Looks at a host's only event, which is over and had one viewer.
async fn came_to_one_event(server: &TestServer, host: &str, id: &str) {
    let at_a_glance = server.get("/api/v1/me/dashboard", Some(host)).await.body;
    assert_eq!(at_a_glance["past"][0]["id"], id);
    assert_eq!(at_a_glance["totals"]["events"], 1, "{at_a_glance}");
    assert_eq!(at_a_glance["totals"]["totalViewers"], 1);
}

#[tokio::test]
async fn asking_twice_to_create_a_room_creates_one() {
    for server in TestServer::on_each(|_| ()).await {
        let ann = server.token("Ann").await;
        let create = async |token: &str, key: &str, title: &str| {
            let key = [("idempotency-key", key)];
            let body = json!({ "title": title });
            server
                .ask(("POST", "/api/v1/rooms"), Some(token), &key, Some(body))
                .await
        };
        let first = create(&ann, "k1", "Show").await;
        let again = create(&ann, "k1", "Show").await;
        assert_eq!((first.status, again.status), (201, 201));
        assert_eq!(first.body, again.body);
        assert!(first.body["ingest"]["streamKey"].as_str().unwrap().len() >= 22);
        let other = create(&ann, "k1", "Another").await;
        assert_eq!(
            (other.status, &other.body["code"]),
            (422, &json!("invalid_value"))
        );
        assert_eq!(create(&ann, "a b", "Show").await.status, 400);
        let bob = server.token("Bob").await;
        let his = create(&bob, "k1", "Show").await;
        assert_ne!(his.body["id"], first.body["id"]);
        let path = "/api/v1/rooms?q=show";
        let listed = server.get(path, None).await.body;
        assert_eq!(listed["items"].as_array().unwrap().len(), 2);
        server.server.stop().await;
    }
}

#[tokio::test]
async fn a_creation_that_is_asked_for_again_is_answered_alike_however_late() {
    for server in TestServer::on_each(|_| ()).await {
        let ann = server.token("Ann").await;
        let date = std::process::Command::new("date")
            .args(["-u", "-d", "+2 seconds", "+%FT%TZ"])
            .output()
            .unwrap();
        let soon = String::from_utf8(date.stdout).unwrap();
        let body = json!({ "title": "Soon", "scheduledAt": soon.trim() });
        let create = async |key: &str| {
            let key = [("idempotency-key", key)];
            let rooms = ("POST", "/api/v1/rooms");
            server
                .ask(rooms, Some(&ann), &key, Some(body.clone()))
                .await
        };
        let first = create("first").await;
        assert_eq!(first.status, 201, "{}", first.body);
        // Until its begin has passed.
        let mut number = 0;
        while create(&format!("other-{number}")).await.status == 201 {
            number += 1;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let again = create("first").await;
        assert_eq!((again.status, again.body), (201, first.body.clone()));

        let path = format!("/api/v1/rooms/{}", first.body["id"].as_str().unwrap());
        for _ in 0..2 {
            // Cancelled, then removed.
            let gone = server.ask(("DELETE", &path), Some(&ann), &[], None).await;
            assert_eq!(gone.status, 204, "{}", gone.body);
        }
        let again = create("first").await;
        let said = (again.status, &again.body["code"]);
        assert_eq!(said, (409, &json!("room_over")), "{}", again.body);
        server.server.stop().await;
    }
}

#[tokio::test]
async fn who_is_in_a_room_that_is_removed_is_shown_out() {
    for server in TestServer::on_each(|_| ()).await {
        let ann = server.token("Ann").await;
        let body = json!({ "title": "R" });
        let made = server
            .post("/api/v1/rooms?start=true", Some(&ann), body)
            .await;
        let id = made.body["id"].as_str().unwrap();
        let (mut bob, _) = server.join("Bob", id).await;
        let path = format!("/api/v1/rooms/{id}");
        let ended = server
            .post(&format!("{path}/end"), Some(&ann), json!({}))
            .await;
        assert_eq!(ended.status, 200, "{}", ended.body);
        let removed = server.ask(("DELETE", &path), Some(&ann), &[], None).await;
        assert_eq!(removed.status, 204, "{}", removed.body);
        let kicked = bob.expect("kicked").await;
        assert_eq!(kicked["d"]["reason"], "The room was removed.");
        assert_eq!(bob.closed().await, Some(4403));
        let mut bob = server.sign_in("Bob").await;
        assert_eq!(
            bob.refused("join", json!({ "roomId": id })).await,
            "not_found"
        );
        server.server.stop().await;
    }
}

#[tokio::test]
async fn a_cursor_is_for_the_list_that_it_was_made_in() {
    let server = TestServer::start().await;
    let ann = server.token("Ann").await;
    for title in ["One", "Two", "Three"] {
        server.room(&ann, json!({ "title": title })).await;
    }
    let list = async |query: &str| {
        let path = format!("/api/v1/rooms?limit=1&{query}");
        server.get(&path, None).await
    };
    let page = list("sort=newest").await.body;
    let cursor = page["nextCursor"].as_str().unwrap();
    let next = list(&format!("sort=newest&cursor={cursor}")).await;
    assert_eq!(next.body["items"][0]["title"], "Two");
    let flip = if cursor.starts_with('A') { "B" } else { "A" };
    let forged = format!("{flip}{}", &cursor[1..]);
    let refused = async |path: &str, cursor: &str| {
        let path = format!("/api/v1/rooms{path}cursor={cursor}");
        let reply = server.get(&path, Some(&ann)).await;
        let code = reply.body["code"].as_str().unwrap_or_default().to_owned();
        (reply.status, code)
    };
    for (path, cursor) in [
        ("?limit=1&sort=popular&", cursor),
        ("?limit=1&", cursor),
        ("?limit=1&sort=newest&q=t&", cursor),
        ("?limit=1&sort=newest&status=ready&", cursor),
        ("?limit=1&sort=newest&category=t&", cursor),
        ("?limit=1&sort=newest&owner=t&", cursor),
        ("/live?sort=newest&", cursor),
        ("/past?sort=newest&", cursor),
        // A list that shows its owner's hidden rooms is another.
        ("?limit=1&sort=newest&", cursor),
        ("?limit=1&sort=newest&", &forged),
    ] {
        let said = refused(path, cursor).await;
        assert_eq!(said, (422, "invalid_value".to_owned()), "{path}{cursor}");
    }
    let forged = list(&format!("sort=newest&cursor={forged}")).await;
    assert_eq!(forged.status, 422, "{}", forged.body);
    server.server.stop().await;
}

#[tokio::test]
async fn a_cursor_of_a_room_is_good_for_no_other_room_and_no_other_list_of_it() {
    let server = TestServer::start().await;
    let ann = server.token("Ann").await;
    let [one, two] = [
        server.room(&ann, json!({ "title": "A" })).await,
        server.room(&ann, json!({ "title": "B" })).await,
    ];
    for room in [&one, &two] {
        for identity in ["bob", "cy"] {
            let kicks = format!("/api/v1/rooms/{room}/kicks");
            let kick = json!({ "identity": identity });
            assert_eq!(server.post(&kicks, Some(&ann), kick).await.status, 204);
        }
    }
    let audit = format!("/api/v1/rooms/{one}/audit?limit=1");
    let page = server.get(&audit, Some(&ann)).await.body;
    assert_eq!(page["items"][0]["target"], "cy", "{page}");
    let cursor = page["nextCursor"].as_str().unwrap();
    let next = format!("{audit}&cursor={cursor}");
    let next = server.get(&next, Some(&ann)).await.body;
    assert_eq!(next["items"][0]["target"], "bob", "{next}");
    assert_eq!(next["nextCursor"], json!(null));
    for path in [
        format!("/{two}/audit?"),
        format!("/{one}/reports?"),
        format!("/{one}/viewers?"),
    ] {
        let path = format!("/api/v1/rooms{path}cursor={cursor}");
        let refused = server.get(&path, Some(&ann)).await;
        let said = (refused.status, &refused.body["code"]);
        assert_eq!(said, (422, &json!("invalid_value")), "{path}");
    }
    server.server.stop().await;
}

#[tokio::test]
async fn two_who_change_a_room_at_once_learn_of_each_other() {
    for server in TestServer::on_each(|_| ()).await {
        let ann = server.token("Ann").await;
        let id = server.room(&ann, json!({ "title": "Show" })).await;
        let path = format!("/api/v1/rooms/{id}");
        let tag = server.get(&path, None).await.headers["etag"].clone();
        let (mut bob, _) = server.join("Bob", &id).await;
        let change = async |tag: &str, body: Value| {
            let tag = [("if-match", tag)];
            server
                .ask(("PATCH", &path), Some(&ann), &tag, Some(body))
                .await
        };
        let tag = tag.to_str().unwrap();
        let body = json!({ "title": "Đêm nhạc", "category": "music", "allowGuestChat": true });
        let first = change(tag, body).await;
        assert_eq!(first.status, 200, "{}", first.body);
        assert_ne!(first.headers["etag"], tag);
        let told = bob.expect("room.updated").await;
        assert_eq!(told["d"]["room"]["title"], "Đêm nhạc");
        let late = change(tag, json!({ "title": "Late" })).await;
        assert_eq!(
            (late.status, &late.body["code"]),
            (412, &json!("precondition_failed"))
        );
        assert_eq!(change("*", json!({ "category": null })).await.status, 200);
        // What changes nothing makes no version that others would have missed.
        let tag = server.get(&path, None).await.headers["etag"].clone();
        let tag = tag.to_str().unwrap();
        for nothing in [json!({}), json!({ "title": "Đêm nhạc" })] {
            let reply = change(tag, nothing).await;
            assert_eq!(
                (reply.status, &reply.headers["etag"]),
                (200, &tag.parse().unwrap())
            );
        }
        let found = server.get("/api/v1/rooms?q=dem%20nhac", None).await.body;
        assert_eq!(found["items"][0]["id"], id);
        assert_eq!(found["items"][0].get("category"), None);
        // Guests may speak from now on.
        let mut guest = server.socket().await;
        let token = server.guest_token(&id).await;
        guest.ok("auth", json!({ "token": token })).await;
        guest.ok("join", json!({ "roomId": id })).await;
        guest.ok("chat.send", json!({ "text": "hi" })).await;
        server.server.stop().await;
    }
}

#[tokio::test]
async fn what_is_created_within_a_room_under_a_key_is_created_once() {
    for server in TestServer::on_each(|_| ()).await {
        let ann = server.token("Ann").await;
        let room = server.room(&ann, json!({ "title": "R" })).await;
        let path = format!("/api/v1/rooms/{room}");
        let product = json!({ "name": "Mug", "price": 900, "currency": "EUR" });
        let poll = json!({ "question": "Tea?", "options": ["yes", "no"] });
        let text = |text: &str| json!({ "text": text });
        let other = json!({ "name": "Cup", "price": 900, "currency": "EUR" });
        let another = json!({ "question": "Tea?", "options": ["yes", "no", "maybe"] });
        for (of, body, other) in [
            ("products", product, other),
            ("polls", poll, another),
            ("questions", text("Why?"), text("How?")),
            ("chat", text("hi"), text("ho")),
        ] {
            let path = format!("{path}/{of}");
            let headers = [("idempotency-key", of)];
            let create =
                |body: Value| server.ask(("POST", &path), Some(&ann), &headers, Some(body));
            let first = create(body.clone()).await;
            assert_eq!(first.status, 201, "{of}: {}", first.body);
            let again = create(body.clone()).await;
            assert_eq!((again.status, &again.body), (201, &first.body), "{of}");
            let another = create(other).await;
            assert_eq!(another.status, 422, "{of}: {}", another.body);
        }
        server.server.stop().await;
    }
}

#[tokio::test]
async fn changes_of_whatever_is_there_are_all_made() {
    for server in TestServer::on_each(|_| ()).await {
        let ann = server.token("Ann").await;
        let id = server.room(&ann, json!({ "title": "Show" })).await;
        let path = format!("/api/v1/rooms/{id}");
        let changes = [
            json!({ "title": "Another" }),
            json!({ "category": "music" }),
            json!({ "quality": "720p" }),
            json!({ "allowGuestChat": true }),
        ];
        // As many as would come too late again and again.
        let descriptions = (0..60).map(|number| json!({ "description": format!("{number}") }));
        let changes = changes.into_iter().chain(descriptions);
        let changes = changes.map(|body| server.ask(("PATCH", &path), Some(&ann), &[], Some(body)));
        for changed in futures_util::future::join_all(changes).await {
            assert_eq!(changed.status, 200, "{}", changed.body);
        }
        let room = server.get(&path, None).await.body;
        let said = ["title", "category", "quality", "allowGuestChat"].map(|it| room[it].clone());
        assert_eq!(
            said,
            [json!("Another"), json!("music"), json!("720p"), json!(true)]
        );
        server.server.stop().await;
    }
}

#[tokio::test]
async fn who_changed_a_room_reads_what_they_wrote_while_others_change_it_too() {
    for server in TestServer::on_each(|_| ()).await {
        let ann = server.token("Ann").await;
        let id = server.room(&ann, json!({ "title": "Show" })).await;
        let path = format!("/api/v1/rooms/{id}");
        let settings = format!("{path}/chat-settings");
        let (mut guest, _) = server.join("Bob", &id).await;
        for round in 0..100 {
            let title = json!({ "title": format!("Show {round}") });
            let guests = json!({ "guests": round % 2 == 0 });
            let (titled, told) = tokio::join!(
                server.ask(("PATCH", &path), Some(&ann), &[], Some(title)),
                server.ask(("PATCH", &settings), Some(&ann), &[], Some(guests)),
            );
            assert_eq!(titled.status, 200, "{}", titled.body);
            assert_eq!(told.status, 204, "{}", told.body);
            let room = server.get(&path, None).await.body;
            assert_eq!(room["title"], format!("Show {round}"));
            assert_eq!(room["allowGuestChat"], round % 2 == 0, "{round}");
        }
        // What the room in memory says is what is stored: the next change of its version is made.
        let tag = server.get(&path, None).await.headers["etag"].clone();
        let tag = [("if-match", tag.to_str().unwrap())];
        let last = json!({ "title": "Last" });
        let last = server.ask(("PATCH", &path), Some(&ann), &tag, Some(last));
        assert_eq!(last.await.status, 200);
        guest.ok("ping", json!({})).await;
        server.server.stop().await;
    }
}

#[tokio::test]
async fn a_host_sees_their_own_rooms_at_a_glance() {
    for server in TestServer::on_each(|_| ()).await {
        let ann = server.token("Ann").await;
        let ready = server.room(&ann, json!({ "title": "Ready" })).await;
        let shown = server
            .get(&format!("/api/v1/rooms/{ready}"), None)
            .await
            .body;
        let this_year: u32 = shown["createdAt"].as_str().unwrap()[..4].parse().unwrap();
        let announced = async |day: u32| {
            let at = format!("{}-02-{day:02}T00:00:00Z", this_year + 1);
            let body = json!({ "title": "R", "visibility": "private", "scheduledAt": at });
            server.room(&ann, body).await
        };
        let late = announced(2).await;
        let soon = announced(1).await;
        let start = format!("/api/v1/rooms/{ready}/start");
        server.post(&start, Some(&ann), json!({})).await;
        let path = "/api/v1/me/dashboard";
        let mine = server.get(path, Some(&ann)).await.body;
        let ids = |list: &Value| -> Vec<String> {
            let rooms = list.as_array().unwrap().iter();
            rooms
                .map(|room| room["id"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(ids(&mine["upcoming"]), [soon, late]);
        assert_eq!(ids(&mine["ready"]), [ready]);
        assert_eq!((ids(&mine["live"]), ids(&mine["past"])), (vec![], vec![]));
        assert_eq!(mine["totals"]["events"], 0);
        // Nobody else's rooms are in it.
        let bob = server.token("Bob").await;
        let his = server.get(path, Some(&bob)).await.body;
        assert_eq!(
            (ids(&his["upcoming"]), ids(&his["ready"])),
            (vec![], vec![])
        );
        assert_eq!(server.get(path, None).await.status, 401);
        server.server.stop().await;
    }
}

#[tokio::test]
async fn a_kick_ends_every_token_that_was_minted_before() {
    for server in TestServer::on_each(|_| ()).await {
        let ann = server.token("Ann").await;
        let body = json!({ "title": "Show", "visibility": "private" });
        let id = server.room(&ann, body).await;
        let path = format!("/api/v1/rooms/{id}");
        let bob = crate::harness::api_token(&id, "bob", Default::default());
        let join = format!("{path}/join");
        let token = server.post(&join, Some(&bob), json!({})).await.body["token"].clone();
        let token = token.as_str().unwrap();
        let mut socket = in_room(&server, token, &id).await;
        let listed = server
            .get(&format!("{path}/viewers"), Some(&ann))
            .await
            .body;
        assert_eq!(listed["items"][0]["id"], "devkey:bob", "{listed}");
        let counted = server
            .get(&format!("{path}/viewers"), Some(token))
            .await
            .body;
        assert_eq!(counted.get("items"), None);

        let kicks = format!("{path}/kicks");
        let kick = json!({ "identity": "devkey:bob", "reason": "Enough." });
        assert_eq!(
            server.post(&kicks, Some(token), kick.clone()).await.status,
            403
        );
        assert_eq!(server.post(&kicks, Some(&ann), kick).await.status, 204);
        assert_eq!(socket.expect("kicked").await["d"]["reason"], "Enough.");
        assert_eq!(socket.closed().await, Some(4403));

        let server = server.restart().await;
        for token in [token, bob.as_str()] {
            assert_eq!(
                server.get(&path, Some(token)).await.body["code"],
                "token_invalid"
            );
            assert_eq!(server.post(&join, Some(token), json!({})).await.status, 401);
            let whep = format!("/whep/{id}");
            let sdp = [("content-type", "application/sdp")];
            let watched = server.ask(("POST", &whep), Some(token), &sdp, None).await;
            assert_eq!(watched.status, 401);
            let mut again = server.socket().await;
            again.ok("auth", json!({ "token": token })).await;
            let refused = again.refused("join", json!({ "roomId": id })).await;
            assert_eq!(refused, "token_invalid");
        }
        // The owner of the room is nobody's to put out, and tokens of others still hold.
        let other = crate::harness::api_token(&id, "cy", Default::default());
        assert_eq!(server.get(&path, Some(&other)).await.status, 200);
        server.server.stop().await;
    }
}

#[tokio::test]
async fn a_token_minted_right_after_a_kick_or_a_ban_lets_its_holder_in_again() {
    for server in TestServer::on_each(|_| ()).await {
        let ann = server.token("Ann").await;
        let id = server.room(&ann, json!({ "title": "Show" })).await;
        let path = format!("/api/v1/rooms/{id}");
        let bob = server.token("Bob").await;
        let me = server.get("/api/v1/me", Some(&bob)).await.body;
        let join = async || {
            let path = format!("{path}/join");
            let joined = server.post(&path, Some(&bob), json!({})).await.body;
            joined["token"].as_str().unwrap().to_owned()
        };
        let who = json!({ "identity": me["id"] });
        let mut before = join().await;
        for _ in 0..3 {
            let kicks = format!("{path}/kicks");
            let kicked = server.post(&kicks, Some(&ann), who.clone()).await;
            assert_eq!(kicked.status, 204);
            let after = join().await;
            let refused = server.get(&path, Some(&before)).await.body;
            assert_eq!(refused["code"], "token_invalid");
            let mut socket = in_room(&server, &after, &id).await;
            socket.ok("leave", json!({})).await;
            before = after;
        }
        let bans = format!("{path}/bans");
        let banned = server.post(&bans, Some(&ann), who.clone()).await;
        assert_eq!(banned.status, 200);
        assert_eq!(banned.body, json!({ "addresses": 0 }));
        let listed = server.get(&bans, Some(&ann)).await.body;
        assert_eq!(listed["items"][0]["name"], "Bob", "{listed}");
        let lift = format!("{bans}?identity={}", me["id"].as_str().unwrap());
        let lifted = server.ask(("DELETE", &lift), Some(&ann), &[], None).await;
        assert_eq!(lifted.status, 204);
        let after = join().await;
        let refused = server.get(&path, Some(&before)).await.body;
        assert_eq!(refused["code"], "token_invalid");
        in_room(&server, &after, &id).await;
        server.server.stop().await;
    }
}

#[tokio::test]
async fn what_is_said_over_rest_is_stored_once_and_told() {
    let server = TestServer::start().await;
    let ann = server.token("Ann").await;
    let (mut bob, _) = server.join("Bob", "demo").await;
    let path = "/api/v1/rooms/demo/chat";
    let body = json!({ "text": " hi ", "clientId": "1" });
    let said = server.post(path, Some(&ann), body.clone()).await;
    assert_eq!((said.status, &said.body["text"]), (201, &json!("hi")));
    let told = bob.expect("chat.message").await;
    assert_eq!(told["d"]["messageId"], said.body["messageId"]);
    let again = server.post(path, Some(&ann), body).await;
    assert_eq!(again.body, said.body);
    for (body, code) in [
        (json!({ "text": "other", "clientId": "1" }), "invalid_value"),
        (json!({ "text": "\u{200b}" }), "text_empty"),
        (json!({ "text": "x".repeat(501) }), "text_too_long"),
        (json!({ "text": "x", "clientId": "" }), "bad_message"),
    ] {
        let refused = server.post(path, Some(&ann), body).await;
        assert_eq!(refused.body["code"], code);
    }
    let guest = server.guest_token("demo").await;
    let refused = server
        .post(path, Some(&guest), json!({ "text": "x" }))
        .await;
    assert_eq!(refused.status, 403);
    let refused = server.post(path, None, json!({ "text": "x" })).await;
    assert_eq!(refused.status, 401);
    let listed = server.get(path, None).await.body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    server.server.stop().await;
}

#[tokio::test]
async fn what_nobody_uses_is_cancelled() {
    let change = |config: &mut klieg_signaling::Config| {
        config.cleanup_ms = 100;
        config.scheduled_room_ttl_s = 1;
        config.ready_room_ttl_s = 1;
    };
    for server in TestServer::on_each(change).await {
        let ann = server.token("Ann").await;
        let unused = server.room(&ann, json!({ "title": "Unused" })).await;
        let (mut bob, _) = server.join("Bob", &unused).await;
        let cancelled = status(&mut bob, "cancelled").await;
        assert_eq!(cancelled["d"]["reason"], "clean_up");
        let path = format!("/api/v1/rooms/{unused}/join");
        let refused = server.post(&path, Some(&ann), json!({})).await;
        assert_eq!(refused.body["code"], "room_over");
        // The room of the development server may wait as long as it likes.
        let demo = server.get("/api/v1/rooms/demo", None).await.body;
        assert_eq!(demo["status"], "ready");
        server.server.stop().await;
    }
}

#[tokio::test]
async fn what_to_watch_next_is_of_the_same_kind_first() {
    let server = TestServer::start().await;
    let (ann, bob) = (server.token("Ann").await, server.token("Bob").await);
    let of = |title: &str| json!({ "title": title, "category": "music" });
    let shown = server.room(&ann, of("Shown")).await;
    for (token, body) in [
        (&bob, json!({ "title": "Else" })),
        (&bob, of("Same kind")),
        (&ann, json!({ "title": "Same host", "category": "talk" })),
        (&ann, json!({ "title": "Hidden", "visibility": "private" })),
    ] {
        server.room(token, body).await;
    }
    let path = format!("/api/v1/rooms/{shown}/related");
    let related = server.get(&path, Some(&ann)).await.body;
    let items = related["items"].as_array().unwrap().iter();
    let titles: Vec<&str> = items.map(|room| room["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Same host", "Same kind", "Else", "Demo"]);
    server.server.stop().await;
}

#[tokio::test]
async fn a_backup_is_a_database_to_start_from() {
    for mut server in TestServer::on_each(|_| ()).await {
        let ann = server.token("Ann").await;
        let id = server.room(&ann, json!({ "title": "Kept" })).await;
        let copy = server.config.data.join("copy");
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_klieg"));
        command.arg("backup").arg(&copy).env_remove("KLIEG_CONFIG");
        match &server.config.database_url {
            Some(url) => command.env("KLIEG_DATABASE_URL", url.expose()),
            None => command.env("KLIEG_DATA", &server.config.data),
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let again = command.output().unwrap();
        assert!(
            !again.status.success(),
            "a file that is there is overwritten"
        );
        if server.config.database_url.is_none() {
            let elsewhere = server.config.data.join("elsewhere");
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_klieg"));
            command
                .arg("backup")
                .arg(server.config.data.join("copy of none"));
            let none = command
                .env_remove("KLIEG_CONFIG")
                .env("KLIEG_DATA", elsewhere);
            let said = String::from_utf8(none.output().unwrap().stderr).unwrap();
            assert!(said.contains("there is no such database"), "{said}");
            let url = format!("sqlite:{}", copy.display());
            server.config.database_url = Some(klieg_signaling::Secret::new(url));
            let server = server.restart().await;
            let kept = server.get(&format!("/api/v1/rooms/{id}"), None).await.body;
            assert_eq!(kept["title"], "Kept");
            server.server.stop().await;
        } else {
            let dump = std::fs::read(&copy).unwrap();
            assert!(dump.starts_with(b"PGDMP"));
            server.server.stop().await;
        }
    }
}

async fn in_room(server: &TestServer, token: &str, room: &str) -> Client {
    let mut client = server.socket().await;
    client.ok("auth", json!({ "token": token })).await;
    client.ok("join", json!({ "roomId": room })).await;
    client
}

async fn status(client: &mut Client, status: &str) -> Value {
    client
        .wait(|m| m["t"] == "room.status" && m["d"]["status"] == status)
        .await
}
