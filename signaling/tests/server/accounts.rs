//! Accounts: made, signed in and out, and what ends with a sign-in.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use klieg_signaling::{AccountRole, Limits};
use serde_json::{Value, json};

use crate::harness::{PATIENCE, Reply, TestServer, call, send};

const PASSWORD: &str = "correct horse";

async fn register(server: &TestServer, name: &str) -> Reply {
    let body = json!({ "username": name, "password": PASSWORD });
    server.post("/api/v1/auth/register", None, body).await
}

async fn login(server: &TestServer, name: &str, password: &str) -> Reply {
    let body = json!({ "username": name, "password": password });
    server.post("/api/v1/auth/login", None, body).await
}

async fn refresh(server: &TestServer, token: &Value) -> Reply {
    let body = json!({ "refreshToken": token });
    server.post("/api/v1/auth/refresh", None, body).await
}

async fn is_signed_in(server: &TestServer, token: &Value) -> bool {
    let reply = server.get("/api/v1/me", token.as_str()).await;
    if reply.status != 200 {
        assert_eq!(
            (reply.status, &reply.body["code"]),
            (401, &json!("token_expired"))
        );
    }
    reply.status == 200
}

fn code(reply: &Reply) -> (u16, &str) {
    (
        reply.status,
        reply.body["code"].as_str().unwrap_or_default(),
    )
}

#[tokio::test]
async fn letters_and_their_accents_are_one_name_however_they_are_written() {
    let server = TestServer::start().await;
    let (composed, decomposed) = ("H\u{1ed3}ng", "Ho\u{302}\u{300}ng");
    assert_eq!(register(&server, decomposed).await.status, 201);
    assert_eq!(
        code(&register(&server, composed).await),
        (409, "name_taken")
    );
    for name in [composed, decomposed] {
        let entered = login(&server, name, PASSWORD).await;
        assert_eq!(
            (entered.status, &entered.body["user"]["name"]),
            (200, &json!(composed))
        );
    }
    server.server.stop().await;
}

#[tokio::test]
async fn an_account_is_made_once_and_opened_by_its_password_alone() {
    let server = TestServer::start().await;
    let made = register(&server, " Ann ").await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.body["user"]["name"], "Ann");
    let me = server
        .get("/api/v1/me", made.body["accessToken"].as_str())
        .await;
    assert_eq!(me.body["id"], made.body["user"]["id"]);
    assert_eq!(me.body["mayHost"], true);
    assert_eq!(code(&register(&server, "ANN").await), (409, "name_taken"));
    for (password, name) in [
        ("short", "Bea"),
        ("aaaaaaaaaa", "Bea"),
        ("Beatrice", "beatrice"),
    ] {
        let body = json!({ "username": name, "password": password });
        let reply = server.post("/api/v1/auth/register", None, body).await;
        assert_eq!(code(&reply), (422, "password_refused"), "{password}");
    }

    assert_eq!(login(&server, "ann", PASSWORD).await.status, 200);
    let (wrong, unknown) = (
        login(&server, "ann", "correct horsf").await,
        login(&server, "nobody", PASSWORD).await,
    );
    assert_eq!(code(&wrong), (401, "credentials_wrong"));
    assert_eq!((wrong.status, wrong.body), (unknown.status, unknown.body));
    // Nor does the sign-in by name of a development server open it.
    let by_name = json!({ "username": "Ann" });
    let by_name = server.post("/api/v1/auth/login", None, by_name).await;
    assert_eq!(code(&by_name), (401, "credentials_wrong"));

    let server = server.restart().await;
    assert_eq!(login(&server, "Ann", PASSWORD).await.status, 200);
    server.server.stop().await;
}

#[tokio::test]
async fn where_registration_is_closed_nobody_makes_an_account() {
    let server = TestServer::start_with(|config| config.registration = false).await;
    assert_eq!(code(&register(&server, "Ann").await), (403, "forbidden"));
    let config = server.get("/api/v1/config", None).await;
    assert_eq!(config.body["registration"], false);
    server.server.stop().await;
}

#[tokio::test]
async fn what_an_account_may_do_is_said_by_its_role() {
    let server =
        TestServer::start_with(|config| config.new_account_role = AccountRole::Viewer).await;
    let ann = register(&server, "Ann").await.body;
    let token = ann["accessToken"].as_str();
    assert_eq!(ann["user"]["role"], "viewer");
    let room = server
        .post("/api/v1/rooms", token, json!({ "title": "R" }))
        .await;
    assert_eq!(code(&room), (403, "forbidden"));
    server.server.stop().await;
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_a_stolen_one_ends_the_sign_in() {
    let server = TestServer::start().await;
    let first = register(&server, "Ann").await.body;
    let second = refresh(&server, &first["refreshToken"]).await;
    assert_eq!(second.status, 200, "{}", second.body);
    assert!(is_signed_in(&server, &second.body["accessToken"]).await);
    // An answer that was lost: the same token again, a moment later, is no theft.
    let again = refresh(&server, &first["refreshToken"]).await;
    assert_eq!(again.status, 200, "{}", again.body);
    let third = refresh(&server, &again.body["refreshToken"]).await;
    assert_eq!(third.status, 200, "{}", third.body);

    let stolen = refresh(&server, &first["refreshToken"]).await;
    assert_eq!(code(&stolen), (401, "token_expired"));
    assert!(!is_signed_in(&server, &third.body["accessToken"]).await);
    let owner = refresh(&server, &third.body["refreshToken"]).await;
    assert_eq!(code(&owner), (401, "token_expired"));

    // No other token renews anything, and a refresh token opens nothing.
    let ann = login(&server, "Ann", PASSWORD).await.body;
    let wrong = refresh(&server, &ann["accessToken"]).await;
    assert_eq!(code(&wrong), (401, "token_invalid"));
    let me = server.get("/api/v1/me", ann["refreshToken"].as_str()).await;
    assert_eq!(code(&me), (401, "token_invalid"));
    server.server.stop().await;
}

#[tokio::test]
async fn signing_out_ends_what_came_of_the_sign_in_and_everywhere_means_everywhere() {
    let server = TestServer::start().await;
    let phone = register(&server, "Ann").await.body;
    let desk = login(&server, "Ann", PASSWORD).await.body;
    let join = server
        .post(
            "/api/v1/rooms/demo/join",
            phone["accessToken"].as_str(),
            json!({}),
        )
        .await;
    let out = server
        .post(
            "/api/v1/auth/logout",
            phone["accessToken"].as_str(),
            json!({}),
        )
        .await;
    assert_eq!(out.status, 204);
    assert!(!is_signed_in(&server, &phone["accessToken"]).await);
    let renewed = refresh(&server, &phone["refreshToken"]).await;
    assert_eq!(code(&renewed), (401, "token_expired"));
    let mut socket = server.socket().await;
    let late = socket
        .refused("auth", json!({ "token": join.body["token"] }))
        .await;
    assert_eq!(late, "token_expired");
    assert!(is_signed_in(&server, &desk["accessToken"]).await);

    let tablet = login(&server, "Ann", PASSWORD).await.body;
    let mut open = server.socket().await;
    open.ok("auth", json!({ "token": desk["accessToken"] }))
        .await;
    let everywhere = json!({ "everywhere": true });
    let token = tablet["accessToken"].as_str();
    let out = server.post("/api/v1/auth/logout", token, everywhere).await;
    assert_eq!(out.status, 204);
    for device in [&desk, &tablet] {
        assert!(!is_signed_in(&server, &device["accessToken"]).await);
    }
    // It says nothing, and is told nevertheless.
    assert_eq!(open.closed().await, Some(4401));

    // Other servers and the next process know it from the database.
    let server = server.restart().await;
    let gone = async || !is_signed_in(&server, &desk["accessToken"]).await;
    until(gone, "the token of before holds").await;
    server.server.stop().await;
}

#[tokio::test]
async fn a_new_password_signs_out_everybody_else() {
    let server = TestServer::start().await;
    let before = register(&server, "Ann").await.body;
    let token = before["accessToken"].as_str();
    let change = |present: &str, new: &str| {
        let body = json!({ "password": present, "newPassword": new }).to_string();
        call(
            server.http(),
            "PUT",
            "/api/v1/me/password",
            token,
            Some(body),
        )
    };
    let wrong = change("correct horsf", "battery staple").await;
    assert_eq!(code(&wrong), (401, "credentials_wrong"));
    assert_eq!(
        code(&change(PASSWORD, "x").await),
        (422, "password_refused")
    );
    let after = change(PASSWORD, "battery staple").await;
    assert_eq!(after.status, 200, "{}", after.body);
    assert!(!is_signed_in(&server, &before["accessToken"]).await);
    assert!(is_signed_in(&server, &after.body["accessToken"]).await);
    assert_eq!(login(&server, "Ann", PASSWORD).await.status, 401);
    assert_eq!(login(&server, "Ann", "battery staple").await.status, 200);
    server.server.stop().await;
}

#[tokio::test]
async fn what_is_done_too_often_is_refused_with_when_to_come_again() {
    let server = TestServer::start_with(|config| {
        config.limits = Limits {
            sign_ins_per_minute: 3,
            accounts_per_hour: 2,
            rooms_per_minute: 1,
            joins_per_minute: 2,
            wrong_keys_per_minute: 2,
            ..Limits::none()
        };
    })
    .await;
    let ann = register(&server, "Ann").await.body;
    let token = ann["accessToken"].as_str();
    let mut answers = vec![
        register(&server, "Bob").await,
        register(&server, "Cy").await,
    ];
    for _ in 0..4 {
        answers.push(login(&server, "Ann", "wrong password").await);
    }
    for _ in 0..2 {
        answers.push(
            server
                .post("/api/v1/rooms", token, json!({ "title": "R" }))
                .await,
        );
    }
    for _ in 0..3 {
        answers.push(
            server
                .post("/api/v1/rooms/demo/join", None, json!({}))
                .await,
        );
    }
    for _ in 0..3 {
        answers.push(call(server.http(), "POST", "/whip/demo", Some("guess"), None).await);
    }
    // The right key has to wait as well: an answer would tell it from the wrong ones.
    answers.push(call(server.http(), "POST", "/whip/demo", Some("demo-key"), None).await);
    let statuses: Vec<u16> = answers.iter().map(|reply| reply.status).collect();
    assert_eq!(
        statuses,
        [
            201, 429, 401, 401, 401, 429, 201, 429, 200, 200, 429, 401, 401, 429, 429
        ]
    );
    for reply in answers.iter().filter(|reply| reply.status == 429) {
        assert_eq!(code(reply), (429, "rate_limited"));
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        let wait: u64 = reply.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=3600).contains(&wait), "{wait}");
    }
    // Who signed in is counted by themselves.
    let join = server
        .post("/api/v1/rooms/demo/join", token, json!({}))
        .await;
    assert_eq!(join.status, 200, "{}", join.body);
    server.server.stop().await;
}

#[tokio::test]
async fn refresh_tokens_that_do_not_hold_are_counted_apart_from_passwords() {
    let server = TestServer::start_with(|config| {
        config.limits = Limits {
            sign_ins_per_minute: 3,
            ..Limits::none()
        };
    })
    .await;
    let ann = register(&server, "Ann").await.body;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(refresh(&server, &json!("x.y.z")).await.status);
    }
    // One that holds has to wait as well: an answer would tell it from the others.
    answers.push(refresh(&server, &ann["refreshToken"]).await.status);
    for _ in 0..3 {
        answers.push(login(&server, "Ann", PASSWORD).await.status);
    }
    answers.push(login(&server, "Ann", PASSWORD).await.status);
    assert_eq!(answers, [401, 401, 401, 429, 429, 200, 200, 200, 429]);
    server.server.stop().await;
}

#[tokio::test]
async fn a_creation_that_was_answered_is_answered_again_when_no_more_may_be_made() {
    let server = TestServer::start_with(|config| {
        config.limits = Limits {
            rooms_per_minute: 1,
            ..Limits::none()
        };
    })
    .await;
    let ann = server.token("Ann").await;
    let create = async |key: &str, title: &str| {
        let (rooms, key) = (("POST", "/api/v1/rooms"), [("idempotency-key", key)]);
        let body = json!({ "title": title });
        server.ask(rooms, Some(&ann), &key, Some(body)).await
    };
    let first = create("first", "R").await;
    assert_eq!(first.status, 201, "{}", first.body);
    for _ in 0..2 {
        assert_eq!(code(&create("second", "R").await), (429, "rate_limited"));
        let again = create("first", "R").await;
        assert_eq!((again.status, &again.body), (201, &first.body));
        // Another request under the same key is told so, and not to wait.
        assert_eq!(code(&create("first", "S").await), (422, "invalid_value"));
    }
    server.server.stop().await;
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let server = TestServer::start().await;
    let named = async |path: &str, id: &str| {
        let request = hyper::Request::builder()
            .uri(path)
            .header("host", "live.example")
            .header("x-request-id", id);
        let reply = send(server.http(), request.body(Default::default()).unwrap()).await;
        reply.headers["x-request-id"].to_str().unwrap().to_owned()
    };
    for path in [
        "/healthz",
        "/api/v1/me",
        "/api/v1/nothing",
        "/",
        "/whip/demo",
    ] {
        assert_eq!(named(path, "proxy-0193abcd").await, "proxy-0193abcd");
        let made = named(path, "not one of ours").await;
        assert_eq!(made.len(), 36, "{made}");
        assert_ne!(made, named(path, "").await);
    }
    server.server.stop().await;
}

#[tokio::test]
async fn a_stream_key_is_changed_and_stops_the_encoder_only_when_asked() {
    let server = TestServer::start().await;
    let owner = register(&server, "Ann").await.body;
    let token = owner["accessToken"].as_str();
    let room = server
        .post("/api/v1/rooms", token, json!({ "title": "R" }))
        .await
        .body;
    let (id, first) = (room["id"].as_str().unwrap(), &room["ingest"]["streamKey"]);
    let whip = format!("/whip/{id}");
    let publish = async |key: &Value| {
        let bearer = format!("Bearer {}", key.as_str().unwrap());
        let headers = [("authorization", bearer.as_str()), crate::wish::SDP];
        let offer = crate::harness::offer();
        crate::wish::request(&server, "POST", &whip, &headers, offer).await
    };
    let rotate = async |body: Value| {
        let path = format!("/api/v1/rooms/{id}/ingest/rotate");
        let reply = server.post(&path, token, body).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    };
    let session = publish(first).await;
    assert_eq!(session.status, 201, "{}", session.body);
    let session = session.headers["location"].to_str().unwrap().to_owned();
    let is_open = async || {
        let reply = call(server.http(), "GET", &session, first.as_str(), None).await;
        reply.status == 204
    };

    let shown = server
        .get(&format!("/api/v1/rooms/{id}/ingest"), token)
        .await
        .body;
    assert!(
        shown["whipUrl"].as_str().unwrap().ends_with(&whip),
        "{shown}"
    );
    assert_eq!(shown.get("streamKey"), None);
    let second = rotate(json!({})).await;
    assert!(is_open().await, "the encoder goes on");
    assert_eq!(code(&publish(first).await), (401, "token_invalid"));
    // The key stands for the owner, so the encoder with the new one takes the place of the other.
    let taken = publish(&second["streamKey"]).await;
    assert_eq!(taken.status, 201, "{}", taken.body);
    let session = taken.headers["location"].to_str().unwrap().to_owned();
    let third = rotate(json!({ "stopEncoder": true })).await;
    assert_ne!(second["streamKey"], third["streamKey"]);
    let key = second["streamKey"].as_str();
    let gone = call(server.http(), "GET", &session, key, None).await;
    assert_eq!(gone.status, 404);
    server.server.stop().await;
}

#[tokio::test]
async fn accounts_are_looked_after_on_the_command_line_while_the_server_runs() {
    let server = TestServer::start().await;
    let user = |arguments: &[&str], input: &str| user(&server, arguments, input);
    let (done, text) = user(&["add", "Ann", "--role", "admin"], "correct horse\n");
    assert!(done, "{text}");
    let (done, text) = user(&["add", "ann"], "correct horse\n");
    assert!(!done && text.contains("somebody has the name"), "{text}");
    let (done, text) = user(&["add", "Bob"], "short\n");
    assert!(!done && text.contains("at least 8 characters"), "{text}");
    let (done, text) = user(&["list"], "");
    assert!(
        done && text.starts_with("admin ") && text.ends_with(" Ann\n"),
        "{text}"
    );

    let sign_in = async |password: &str| login(&server, "Ann", password).await;
    let ann = sign_in(PASSWORD).await.body;
    assert_eq!(ann["user"]["role"], "admin");
    let commands: [(&[&str], &str, &str); 3] = [
        (&["role", "Ann", "viewer"], "", PASSWORD),
        (&["password", "Ann"], "battery staple\n", "battery staple"),
        (&["delete", "Ann"], "", ""),
    ];
    let mut token = ann["accessToken"].clone();
    for (arguments, input, password) in commands {
        let (done, text) = user(arguments, input);
        assert!(done, "{arguments:?}: {text}");
        // The server learns of it from the database.
        until(
            async || !is_signed_in(&server, &token).await,
            "the token holds",
        )
        .await;
        let again = sign_in(password).await;
        assert_eq!(again.status == 200, !password.is_empty(), "{}", again.body);
        token = again.body["accessToken"].clone();
    }
    let (done, text) = user(&["password", "Ann"], "battery staple\n");
    assert!(!done && text.contains("no account Ann"), "{text}");
    server.server.stop().await;
}

/// Runs `klieg user` beside a server; returns whether it was done, and what it said.
pub(crate) fn user(server: &TestServer, arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klieg"));
    command
        .arg("user")
        .args(arguments)
        .arg("--data")
        .arg(&server.config.data)
        .current_dir(&server.config.data)
        .env_remove("KLIEG_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(url) = &server.config.database_url {
        command.env("KLIEG_DATABASE_URL", url.expose());
    }
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    (output.status.success(), said)
}

/// Waits for something that nobody tells.
pub(crate) async fn until(mut done: impl AsyncFnMut() -> bool, otherwise: &str) {
    let since = Instant::now();
    while !done().await {
        assert!(since.elapsed() < PATIENCE, "{otherwise}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
