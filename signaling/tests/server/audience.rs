//! Who is there, who likes it, and what they are asked and ask.

use serde_json::{Value, json};

use crate::harness::TestServer;

#[tokio::test]
async fn a_like_counts_once_for_each_person_and_stays() {
    for server in TestServer::on_each(|_| ()).await {
        let (room, token) = hosted(&server).await;
        let path = format!("/api/v1/rooms/{room}/like");
        let (mut bob, joined) = server.join("Bob", &room).await;
        assert_eq!(joined["d"]["stats"]["likes"], 0);
        let toggled = bob.ok("like.toggle", json!({})).await;
        assert_eq!(
            (&toggled["liked"], &toggled["likes"]),
            (&json!(true), &json!(1))
        );
        assert_eq!(bob.wait(likes(1)).await["d"]["viewerCount"], 0);
        // By another way, from another socket: it is the same person.
        let bob_token = server.token("Bob").await;
        for _ in 0..3 {
            let again = server
                .ask(("PUT", &path), Some(&bob_token), &[], None)
                .await;
            assert_eq!(again.body, json!({ "liked": true, "likes": 1 }));
        }
        let host = server.ask(("PUT", &path), Some(&token), &[], None).await;
        assert_eq!(host.body["likes"], 2);
        bob.wait(likes(2)).await;

        let server = server.restart().await;
        let (mut bob, joined) = server.join("Bob", &room).await;
        assert_eq!(joined["d"]["stats"]["likes"], 2);
        let known = server.get(&path, Some(&bob_token)).await.body;
        assert_eq!(known, json!({ "liked": true, "likes": 2 }));
        assert_eq!(server.get(&path, None).await.body["liked"], false);
        assert_eq!(bob.ok("like.toggle", json!({})).await["liked"], false);
        let gone = server.ask(("DELETE", &path), Some(&token), &[], None).await;
        assert_eq!(gone.body, json!({ "liked": false, "likes": 0 }));
        bob.wait(likes(0)).await;
        bob.ok("like.toggle", json!({})).await;
        let end = format!("/api/v1/rooms/{room}/end");
        server
            .post(
                &format!("/api/v1/rooms/{room}/start"),
                Some(&token),
                json!({}),
            )
            .await;
        let over = server.post(&end, Some(&token), json!({})).await.body;
        assert_eq!(over["summary"]["likes"], 1);
        server.server.stop().await;
    }
}

#[tokio::test]
async fn one_who_likes_and_likes_not_all_the_time_has_to_wait() {
    let server = TestServer::start().await;
    let token = server.token("Bob").await;
    let mut refused = 0;
    for _ in 0..40 {
        let path = "/api/v1/rooms/demo/like";
        let reply = server.ask(("PUT", path), Some(&token), &[], None).await;
        if reply.status == 429 {
            assert_eq!(reply.body["code"], "rate_limited");
            refused += 1;
        }
    }
    assert!(refused > 0);
    server.server.stop().await;
}

#[tokio::test]
async fn each_socket_that_wants_media_counts_and_each_person_once_in_unique() {
    let server = TestServer::start().await;
    let (room, token) = hosted(&server).await;
    let mut watchers = Vec::new();
    for name in ["Bob", "Bob", "Cy"] {
        let (mut client, _) = server.join(name, &room).await;
        client.ok("rtc.subscribe", json!({})).await;
        watchers.push(client);
    }
    let guest = server.guest_token(&room).await;
    let mut client = server.socket().await;
    client.ok("auth", json!({ "token": guest })).await;
    client.ok("join", json!({ "roomId": room })).await;
    client.ok("rtc.subscribe", json!({})).await;
    watchers.push(client);
    // Who does not watch is here, and does not count.
    let (mut idle, _) = server.join("Dan", &room).await;
    // One who asks once more watches once.
    watchers[2].ok("rtc.subscribe", json!({})).await;
    idle.wait(watching(4)).await;
    assert_eq!(counted(&server, &room, &token).await, (4, 3, 4));

    // A wave: all of them are lost, and come back.
    for watcher in watchers.drain(..) {
        watcher.vanish();
    }
    idle.wait(watching(0)).await;
    for _ in 0..3 {
        let mut wave = Vec::new();
        for name in ["Bob", "Bob", "Cy", "Eve"] {
            let (mut client, _) = server.join(name, &room).await;
            client.ok("rtc.subscribe", json!({})).await;
            wave.push(client);
        }
        idle.wait(watching(4)).await;
        assert_eq!(counted(&server, &room, &token).await, (4, 3, 4));
        for client in wave {
            client.vanish();
        }
        idle.wait(watching(0)).await;
    }
    let stats = idle.ok("stats", json!({})).await;
    assert_eq!(
        (&stats["viewerCount"], &stats["peak"]),
        (&json!(0), &json!(4))
    );
    server.server.stop().await;
}

#[tokio::test]
async fn moderators_are_told_who_comes_and_goes_and_others_are_not() {
    let server = TestServer::start().await;
    let (room, _) = hosted(&server).await;
    let (mut host, _) = server.join("Host", &room).await;
    let (mut bob, joined) = server.join("Bob", &room).await;
    let bob_id = &joined["d"]["you"]["id"];
    let came = host
        .wait(|it| it["t"] == "participant.joined" && it["d"]["id"] == *bob_id)
        .await;
    let expected =
        json!({ "id": bob_id, "name": "Bob", "role": "viewer", "watching": false, "present": 2 });
    assert_eq!(came["d"], expected);
    // A second socket of the same person is nobody new, and its end is nobody's going.
    let (second, _) = server.join("Bob", &room).await;
    second.vanish();
    let (cy, joined) = server.join("Cy", &room).await;
    let cy_id = &joined["d"]["you"]["id"];
    host.wait(|it| it["t"] == "participant.joined" && it["d"]["id"] == *cy_id)
        .await;
    cy.vanish();
    let went = host.expect("participant.left").await;
    assert_eq!(
        (&went["d"]["name"], &went["d"]["present"]),
        (&json!("Cy"), &json!(2))
    );
    bob.ok("ping", json!({})).await;
    let told = bob
        .collect("participant.joined", std::time::Duration::ZERO)
        .await;
    assert_eq!(told, Vec::<Value>::new());
    server.server.stop().await;
}

#[tokio::test]
async fn a_poll_takes_one_vote_of_each_person_until_the_host_closes_it() {
    for server in TestServer::on_each(|_| ()).await {
        let (room, token) = hosted(&server).await;
        let (mut host, joined) = server.join("Host", &room).await;
        assert_eq!(joined["d"]["poll"], Value::Null);
        let (mut bob, _) = server.join("Bob", &room).await;
        let poll =
            json!({ "question": "Which\u{202e} tea?", "options": ["Green", "Black", "None"] });
        assert_eq!(bob.refused("poll.open", poll.clone()).await, "forbidden");
        let id = host.ok("poll.open", poll.clone()).await["pollId"].clone();
        let shown = bob.expect("poll").await["d"].clone();
        assert_eq!(
            (&shown["pollId"], &shown["question"]),
            (&id, &json!("Which tea?"))
        );
        assert_eq!(
            (&shown["open"], votes(&shown)),
            (&json!(true), vec![0, 0, 0])
        );
        assert_eq!(host.refused("poll.open", poll).await, "room_state");

        let vote = |option: u8| json!({ "pollId": id, "option": option });
        bob.ok("poll.vote", vote(1)).await;
        bob.ok("poll.vote", vote(1)).await;
        bob.ok("poll.vote", vote(2)).await;
        host.ok("poll.vote", vote(0)).await;
        assert_eq!(bob.refused("poll.vote", vote(3)).await, "invalid_value");
        bob.wait(|it| it["t"] == "poll" && votes(&it["d"]) == [1, 0, 1])
            .await;

        // It outlives the server, with everybody's vote.
        let server = server.restart().await;
        let (mut bob, joined) = server.join("Bob", &room).await;
        assert_eq!(votes(&joined["d"]["poll"]), [1, 0, 1]);
        let bob_token = server.token("Bob").await;
        let path = format!("/api/v1/rooms/{room}/polls");
        let listed = server.get(&path, Some(&bob_token)).await.body;
        assert_eq!(listed["items"][0]["chosen"], 2);
        assert_eq!(
            server.get(&path, None).await.body["items"][0].get("chosen"),
            None
        );
        bob.ok("poll.vote", vote(0)).await;
        let close = format!("{path}/{}/close", id.as_str().unwrap());
        let closed = server.post(&close, Some(&token), json!({})).await.body;
        assert_eq!(
            (&closed["open"], votes(&closed)),
            (&json!(false), vec![2, 0, 0])
        );
        bob.wait(|it| it["t"] == "poll" && it["d"]["open"] == false)
            .await;
        assert_eq!(bob.refused("poll.vote", vote(1)).await, "room_state");
        let missing = json!({ "pollId": "missing", "option": 0 });
        assert_eq!(bob.refused("poll.vote", missing).await, "not_found");
        server.server.stop().await;
    }
}

#[tokio::test]
async fn a_poll_that_cannot_be_is_refused() {
    let server = TestServer::start().await;
    let (room, token) = hosted(&server).await;
    let path = format!("/api/v1/rooms/{room}/polls");
    for (poll, status) in [
        (json!({ "question": "x", "options": ["one"] }), 400),
        (json!({ "question": "x", "options": vec!["y"; 7] }), 400),
        (
            json!({ "question": "x".repeat(201), "options": ["a", "b"] }),
            400,
        ),
        (
            json!({ "question": "x", "options": ["a", "y".repeat(81)] }),
            400,
        ),
        (
            json!({ "question": "\u{200b}", "options": ["a", "b"] }),
            422,
        ),
        (json!({ "question": "x", "options": ["a", " "] }), 422),
        (
            json!({ "question": "x", "options": ["a", "b"], "more": 1 }),
            400,
        ),
    ] {
        let reply = server.post(&path, Some(&token), poll.clone()).await;
        assert_eq!(reply.status, status, "{poll}: {}", reply.body);
    }
    server.server.stop().await;
}

#[tokio::test]
async fn questions_are_voted_up_once_each_and_marked_as_answered() {
    for server in TestServer::on_each(|_| ()).await {
        let (room, token) = hosted(&server).await;
        let (mut host, _) = server.join("Host", &room).await;
        let (mut bob, _) = server.join("Bob", &room).await;
        let ask = json!({ "text": "Is it organic?", "clientId": "q-1" });
        let first = bob.ok("question.ask", ask.clone()).await["questionId"].clone();
        assert_eq!(bob.ok("question.ask", ask).await["questionId"], first);
        let other = json!({ "text": "Is it cheap?", "clientId": "q-1" });
        assert_eq!(bob.refused("question.ask", other).await, "invalid_value");
        let second = bob
            .ok("question.ask", json!({ "text": "Where from?" }))
            .await["questionId"]
            .clone();
        let told = host
            .wait(|it| it["t"] == "question" && it["d"]["questionId"] == second)
            .await;
        assert_eq!(
            (&told["d"]["text"], &told["d"]["from"]["name"]),
            (&json!("Where from?"), &json!("Bob"))
        );
        let vote = |up: bool| json!({ "questionId": second, "up": up });
        for up in [true, true] {
            host.ok("question.vote", vote(up)).await;
        }
        bob.ok("question.vote", vote(true)).await;
        bob.wait(|it| it["t"] == "question" && it["d"]["votes"] == 2)
            .await;
        host.ok("question.vote", vote(false)).await;

        let server = server.restart().await;
        let bob_token = server.token("Bob").await;
        let path = format!("/api/v1/rooms/{room}/questions");
        let asked = server.get(&path, Some(&bob_token)).await.body;
        let seen = |index: usize| {
            let item = &asked["items"][index];
            (
                item["questionId"].clone(),
                item["votes"].clone(),
                item["voted"].clone(),
            )
        };
        assert_eq!(seen(0), (second.clone(), json!(1), json!(true)));
        assert_eq!(seen(1), (first.clone(), json!(0), json!(false)));

        check_answers(&server, (&room, &token), [&first, &second]).await;
        server.server.stop().await;
    }
}

/// Marks a question as answered, and takes another away.
async fn check_answers(
    server: &TestServer,
    (room, token): (&str, &str),
    [first, second]: [&Value; 2],
) {
    let path = format!("/api/v1/rooms/{room}/questions");
    let (mut host, _) = server.join("Host", room).await;
    let (mut bob, _) = server.join("Bob", room).await;
    let answered = json!({ "questionId": second, "answered": true });
    assert_eq!(
        bob.refused("question.answer", answered.clone()).await,
        "forbidden"
    );
    host.ok("question.answer", answered).await;
    bob.wait(|it| it["t"] == "question" && it["d"]["answered"] == true)
        .await;
    let order = server.get(&path, Some(token)).await.body;
    assert_eq!(order["items"][0]["questionId"], *first);
    host.ok("question.remove", json!({ "questionId": first }))
        .await;
    let gone = bob.expect("question.removed").await;
    assert_eq!(gone["d"]["questionId"], *first);
    assert_eq!(
        host.refused("question.remove", json!({ "questionId": first }))
            .await,
        "not_found"
    );
}

#[tokio::test]
async fn one_who_may_not_write_may_not_ask_and_the_words_of_questions_are_looked_at() {
    let server = TestServer::start().await;
    let (room, token) = hosted(&server).await;
    let settings = format!("/api/v1/rooms/{room}/chat-settings");
    let rules = json!({ "words": ["darn"], "links": "hold" });
    let set = server
        .ask(("PATCH", &settings), Some(&token), &[], Some(rules))
        .await;
    assert_eq!(set.status, 204);
    let (mut bob, joined) = server.join("Bob", &room).await;
    let ask = |text: &str| json!({ "text": text });
    assert_eq!(
        bob.refused("question.ask", ask("Darn, why?")).await,
        "word_refused"
    );
    assert_eq!(
        bob.refused("question.ask", ask("see https://a.example"))
            .await,
        "link_refused"
    );
    assert_eq!(
        bob.refused("question.ask", ask(&"x".repeat(301))).await,
        "bad_message"
    );
    let (mut host, _) = server.join("Host", &room).await;
    let mute = json!({ "identity": joined["d"]["you"]["id"], "seconds": 60 });
    host.ok("mod.mute", mute).await;
    assert_eq!(bob.refused("question.ask", ask("Why?")).await, "muted");
    server.server.stop().await;
}

async fn hosted(server: &TestServer) -> (String, String) {
    let token = server.token("Host").await;
    let room = server.room(&token, json!({ "title": "R" })).await;
    (room, token)
}

fn likes(count: u64) -> impl Fn(&Value) -> bool {
    move |message| message["t"] == "stats" && message["d"]["likes"] == count
}

fn watching(count: u64) -> impl Fn(&Value) -> bool {
    move |message| message["t"] == "stats" && message["d"]["viewerCount"] == count
}

fn votes(poll: &Value) -> Vec<u64> {
    let options = poll["options"].as_array().unwrap().iter();
    options.map(|it| it["votes"].as_u64().unwrap()).collect()
}

/// Returns viewers, unique ones, and how many people are listed, who does not watch included.
async fn counted(server: &TestServer, room: &str, token: &str) -> (u64, u64, usize) {
    let path = format!("/api/v1/rooms/{room}/viewers");
    let people = server.get(&path, Some(token)).await.body;
    let count = |name: &str| people[name].as_u64().unwrap();
    let listed = people["items"].as_array().unwrap().len();
    (count("viewerCount"), count("unique"), listed)
}
