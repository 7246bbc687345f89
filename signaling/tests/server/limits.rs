//! What is too much, too slow or not from here.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::harness::{Client, TestServer, call, request};

#[tokio::test]
async fn a_socket_without_a_token_is_closed_in_time() {
    let server = TestServer::start_with(|config| config.auth_timeout_ms = 200).await;
    let mut silent = server.socket().await;
    let mut talking = server.socket().await;
    talking.ok("ping", json!({})).await;
    let mut known = server.sign_in("Ann").await;
    assert_eq!(silent.closed().await, Some(4401));
    assert_eq!(talking.closed().await, Some(4401));
    known.ok("ping", json!({})).await;
    server.server.stop().await;
}

#[tokio::test]
async fn who_guesses_a_password_keeps_its_owner_out_of_nothing() {
    let server = TestServer::start_with(|config| {
        config.dev = false;
        config.api_keys.clear();
        config.limits.sign_ins_per_minute = 3;
        config.limits.wrong_passwords_per_minute = 5;
    })
    .await;
    let sign_in = async |from: &str, password: &str| {
        let body = json!({ "username": "Ann", "password": password });
        let from = [("x-forwarded-for", from)];
        let login = ("POST", "/api/v1/auth/login");
        server.ask(login, None, &from, Some(body)).await.status
    };
    let body = json!({ "username": "Ann", "password": "correct horse" });
    let made = server.post("/api/v1/auth/register", None, body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    for _ in 0..3 {
        assert_eq!(sign_in("203.0.113.7", "a wrong one").await, 401);
    }
    assert_eq!(sign_in("203.0.113.7", "correct horse").await, 429);
    assert_eq!(sign_in("198.51.100.1", "correct horse").await, 200);
    // From everywhere together there is an end to it, and what was right does not count.
    assert_eq!(sign_in("198.51.100.2", "correct horse").await, 200);
    for from in ["198.51.100.3", "198.51.100.4"] {
        assert_eq!(sign_in(from, "a wrong one").await, 401);
    }
    assert_eq!(sign_in("198.51.100.5", "correct horse").await, 429);
    // Without a password nobody is let in either, in words that are in the description.
    let body = json!({ "username": "Bob" });
    let refused = server.post("/api/v1/auth/login", None, body).await;
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (401, &json!("credentials_wrong"))
    );
    server.server.stop().await;
}

#[tokio::test]
async fn a_message_over_64_kib_is_refused_and_the_socket_closed() {
    let server = TestServer::start().await;
    for size in [64 * 1024 + 1, 300 * 1024] {
        let mut client = server.sign_in("Ann").await;
        client.send_frame(Message::text("x".repeat(size))).await;
        if size < 256 * 1024 {
            assert_eq!(client.expect("error").await["d"]["code"], "too_large");
            assert_eq!(client.closed().await, Some(1009));
        } else {
            // What is not even read may end in a reset before the close frame gets through.
            let code = client.closed().await;
            assert!(matches!(code, Some(1009) | None), "{code:?}");
        }
    }
    let mut client = server.sign_in("Ann").await;
    let full = json!({ "t": "ping", "id": "1", "x": "x".repeat(64 * 1024 - 100) }).to_string();
    client.send_text(&full).await;
    assert_eq!(client.answer("1").await["t"], "ack");
    server.server.stop().await;
}

#[tokio::test]
async fn a_binary_frame_closes_the_socket() {
    let server = TestServer::start().await;
    let mut client = server.sign_in("Ann").await;
    client.send_frame(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(client.closed().await, Some(1003));
    server.server.stop().await;
}

#[tokio::test]
async fn more_than_twenty_messages_a_second_are_refused_and_then_the_socket_is_closed() {
    let server = TestServer::start().await;
    let mut client = server.sign_in("Ann").await;
    for index in 0..30 {
        client
            .send_text(&json!({ "t": "ping", "id": format!("p{index}") }).to_string())
            .await;
    }
    let refused = client.expect("error").await;
    assert_eq!(refused["d"]["code"], "rate_limited");
    assert!(refused["d"]["re"].as_str().unwrap().starts_with('p'));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    client.ok("ping", json!({})).await;
    for _ in 0..40 {
        client.send_text(r#"{"t":"ping"}"#).await;
    }
    assert_eq!(client.closed().await, Some(4429));
    server.server.stop().await;
}

#[tokio::test]
async fn pages_of_other_sites_cannot_open_a_socket() {
    let server = TestServer::start().await;
    let own = format!("http://{}", server.http());
    Client::connect(server.http(), &[("origin", &own)])
        .await
        .unwrap();
    for origin in ["https://evil.example", "null"] {
        match Client::connect(server.http(), &[("origin", origin)]).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 403, "{origin}"),
            other => panic!("{origin}: {:?}", other.map(|_| ())),
        }
    }
    server.server.stop().await;
}

#[tokio::test]
async fn another_subprotocol_and_no_upgrade_are_refused() {
    let server = TestServer::start().await;
    let headers = [("sec-websocket-protocol", "klieg.v9")];
    match Client::connect(server.http(), &headers).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 400),
        other => panic!("{:?}", other.map(|_| ())),
    }
    let reply = server.get("/ws", None).await;
    assert_eq!(
        (reply.status, reply.body["code"].as_str()),
        (400, Some("bad_message"))
    );
    server.server.stop().await;
}

#[tokio::test]
async fn a_slow_reader_is_closed_and_delays_nobody() {
    let server = TestServer::start().await;
    let slow_token = server.token("Slow").await;
    let small = TcpSocket::new_v4().unwrap();
    small.set_recv_buffer_size(4096).unwrap();
    let stream = small.connect(server.http()).await.unwrap();
    let mut slow = Client::over(stream, request(server.http(), &[]))
        .await
        .unwrap();
    slow.ok("auth", json!({ "token": slow_token })).await;
    slow.ok("join", json!({ "roomId": "demo" })).await;
    let (mut quick, _) = server.join("Quick", "demo").await;

    // From here on the slow one does not read. Each message is 2000 bytes of text.
    let mut talkers = Vec::new();
    for index in 0..24 {
        talkers.push(server.join(&format!("T{index}"), "demo").await.0);
    }
    let text = "😀".repeat(500);
    let mut worst = Duration::ZERO;
    let mut sent = 0;
    while sent < 500 {
        for talker in &mut talkers {
            talker.send("chat.send", json!({ "text": text })).await;
            sent += 1;
        }
        let asked = Instant::now();
        quick.ok("stats", json!({})).await;
        worst = worst.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(210)).await;
    }
    assert!(
        worst < Duration::from_secs(1),
        "the others waited {worst:?}"
    );
    let heard = quick
        .collect("chat.message", Duration::from_millis(500))
        .await;
    assert!(heard.len() >= 500, "{}", heard.len());
    assert_eq!(slow.closed().await, Some(4408));
    quick.ok("stats", json!({})).await;
    server.server.stop().await;
}

#[tokio::test]
async fn a_socket_that_answers_no_ping_is_given_up() {
    let server = TestServer::start_with(|config| config.socket_ping_ms = 400).await;
    let (mut watcher, _) = server.join("Ann", "demo").await;
    let (mut deaf, _) = server.join("Bob", "demo").await;
    deaf.ok("rtc.subscribe", json!({})).await;
    assert_eq!(watcher.expect("stats").await["d"]["viewerCount"], 1);
    // Reading is what answers pings, so a client that only waits is given up, and its session with it.
    let gone = watcher
        .wait(|m| m["t"] == "stats" && m["d"]["viewerCount"] == 0)
        .await;
    assert_eq!(gone["d"]["peak"], 1);
    server.server.stop().await;
}

#[tokio::test]
async fn a_header_that_never_ends_ends_the_connection() {
    let server = TestServer::start().await;
    let mut stream = TcpStream::connect(server.http()).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the connection stayed open");
    server.server.stop().await;
}

#[tokio::test]
async fn a_body_over_1_mib_is_refused() {
    let server = TestServer::start().await;
    let body = json!({ "username": "x".repeat(1024 * 1024) }).to_string();
    let reply = call(
        server.http(),
        "POST",
        "/api/v1/auth/login",
        None,
        Some(body),
    )
    .await;
    assert_eq!(reply.status, 413);
    server.server.stop().await;
}
