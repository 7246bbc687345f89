//! What is too much, or comes too late.

use std::time::{Duration, Instant};

use serde_json::json;

use super::events::Events;
use super::{FRAGMENT, KEY, SDP, captured, check, request, request_at, row, session, watching};
use crate::harness::TestServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_full_says_when_to_come_back() {
    let server = TestServer::start_with(|config| config.max_http_sessions = 2).await;
    let offer = watching(&captured("firefox-default"));
    let (first, _) = session(&server, "/whep/demo", &[SDP], &offer).await;
    session(&server, "/whep/demo", &[SDP], &offer).await;
    let whep = ("POST", "/whep/demo");
    let full = row("one too many", whep, &[SDP], offer.as_str(), (503, "busy"));
    check(&server, vec![full]).await;
    let ended = request(&server, "DELETE", &first, &[], "").await;
    assert_eq!(ended.status, 200);
    session(&server, "/whep/demo", &[SDP], &offer).await;
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_too_many_connect_others_are_told_when_to_come_back() {
    let server = TestServer::start_with(|config| config.max_handshakes = 2).await;
    let offer = watching(&captured("firefox-default"));
    let (first, _) = session(&server, "/whep/demo", &[SDP], &offer).await;
    let (mut ann, _) = server.join("Ann", "demo").await;
    let (mut bob, _) = server.join("Bob", "demo").await;
    let opened = ann.ok("rtc.subscribe", json!({})).await;

    let whep = ("POST", "/whep/demo");
    let whip = ("POST", "/whip/demo");
    let encoder = captured("firefox-default");
    let rows = vec![
        row("a player", whep, &[SDP], offer.as_str(), (503, "busy")),
        row("an encoder", whip, &[KEY, SDP], encoder, (503, "busy")),
    ];
    check(&server, rows).await;
    let refused = bob.request("rtc.subscribe", json!({})).await;
    assert_eq!(refused["d"]["code"], "busy", "{refused}");
    let wait = refused["d"]["retryAfterMs"].as_u64().unwrap();
    assert!((1000..3000).contains(&wait), "{wait} ms");
    assert_eq!(metric(&server, "klieg_handshakes").await, 2.0);
    assert_eq!(metric(&server, "klieg_handshakes_refused_total").await, 3.0);

    // Whoever goes makes room, and a viewer that was refused may ask again.
    ann.ok("rtc.close", json!({ "sessionId": opened["sessionId"] }))
        .await;
    bob.ok("rtc.subscribe", json!({})).await;
    let ended = request(&server, "DELETE", &first, &[], "").await;
    assert_eq!(ended.status, 200);
    session(&server, "/whep/demo", &[SDP], &offer).await;
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_do_not_keep_out_who_has_a_token() {
    let server = TestServer::start_with(|config| config.max_http_sessions = 5).await;
    let offer = watching(&captured("firefox-default"));
    for _ in 0..4 {
        session(&server, "/whep/demo", &[SDP], &offer).await;
    }
    let guest = format!("Bearer {}", server.guest_token("demo").await);
    let guest = ("authorization", guest.as_str());
    let whep = ("POST", "/whep/demo");
    let rows = vec![
        row("a guest", whep, &[SDP], offer.as_str(), (503, "busy")),
        row(
            "its token",
            whep,
            &[guest, SDP],
            offer.as_str(),
            (503, "busy"),
        ),
    ];
    check(&server, rows).await;
    assert_eq!(metric(&server, "klieg_http_sessions").await, 4.0);
    let encoder = captured("firefox-default");
    session(&server, "/whip/demo", &[KEY, SDP], &encoder).await;
    assert_eq!(metric(&server, "klieg_http_sessions").await, 5.0);
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_ask_as_often_as_they_may_and_delay_nobody_else() {
    // Once a second: whatever else the machine does, one more comes sooner.
    let server = TestServer::start_with(|config| config.limits.guest_offers_per_second = 1).await;
    let offer = captured("firefox-default");
    let [mut unknown, mut wrong] = [0; 2];
    for _ in 0..60 {
        let reply = request(&server, "POST", "/whep/nowhere", &[SDP], "v=0").await;
        unknown += u32::from(reply.status == 429);
        let guess = ("authorization", "Bearer guess");
        let reply = request(&server, "POST", "/whip/demo", &[guess, SDP], "v=0").await;
        wrong += u32::from(reply.status == 429);
    }
    assert!(unknown > 0 && wrong > 0, "{unknown} and {wrong} of 60");
    let (whip, whep) = (("POST", "/whip/demo"), ("POST", "/whep/nowhere"));
    let elsewhere = ("x-forwarded-for", "203.0.113.7");
    let too_many = (429, "rate_limited");
    let rows = vec![
        row("a key that holds", whip, &[KEY, SDP], offer, (201, "")),
        row(
            "by a proxy for another",
            whep,
            &[elsewhere, SDP],
            "v=0",
            (404, "not_found"),
        ),
        row("one more", whep, &[SDP], "v=0", too_many),
    ];
    check(&server, rows).await;
    let counted = metric(&server, r#"klieg_errors_total{code="rate_limited"}"#).await;
    assert_eq!(counted, f64::from(unknown + wrong + 1));
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_patched_and_asked_for_layers_ten_times_a_second() {
    let server = TestServer::start().await;
    let offer = watching(&captured("firefox-default"));
    let (location, tag) = session(&server, "/whep/demo", &[SDP], &offer).await;
    let json = ("content-type", "application/json");
    let layer = format!("{location}/layer");
    for (method, path, headers, body, good) in [
        (
            "PATCH",
            &location,
            &[FRAGMENT, ("if-match", tag.as_str())][..],
            "",
            204,
        ),
        ("POST", &layer, &[json], "{}", 200),
    ] {
        let mut statuses = Vec::new();
        for _ in 0..30 {
            statuses.push(request(&server, method, path, headers, body).await.status);
        }
        let count = |status| statuses.iter().filter(|it| **it == status).count();
        assert!(count(429) > 0 && count(good) > 0, "{statuses:?}");
        assert_eq!(count(429) + count(good), 30, "{statuses:?}");
        let more = row(
            "one more",
            (method, path),
            headers,
            body,
            (429, "rate_limited"),
        );
        check(&server, vec![more]).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_gives_players_time_to_go_and_takes_no_more() {
    let server = TestServer::start_with(|config| config.drain_ms = 10_000).await;
    let offer = watching(&captured("firefox-default"));
    let (location, _) = session(&server, "/whep/demo", &[SDP], &offer).await;
    let mut events = Events::open(&server, &location, r#"["reconnect"]"#).await;
    let (address, since) = (server.http(), Instant::now());
    let stopping = tokio::spawn(server.server.stop());
    assert_eq!(events.next().await, ("reconnect".into(), "{}".into()));
    let whep = ("POST", "/whep/demo");
    let refused = request_at(address, whep, &[SDP], offer.as_str()).await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.headers.contains_key("retry-after"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!stopping.is_finished(), "somebody is still there");
    let gone = request_at(address, ("DELETE", &location), &[], "").await;
    assert_eq!(gone.status, 200);
    stopping.await.unwrap();
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_events_does_not_hold_up_the_stop() {
    let server = TestServer::start().await;
    let offer = watching(&captured("firefox-default"));
    let (location, _) = session(&server, "/whep/demo", &[SDP], &offer).await;
    let mut events = Events::open(&server, &location, r#"["reconnect"]"#).await;
    let since = Instant::now();
    let stopping = tokio::spawn(server.server.stop());
    assert_eq!(events.next().await.0, "reconnect");
    assert_eq!(events.end().await, "");
    assert!(
        since.elapsed() < Duration::from_secs(2),
        "{:?}",
        since.elapsed()
    );
    stopping.await.unwrap();
}

/// Returns what a counter or gauge stands at.
async fn metric(server: &TestServer, name: &str) -> f64 {
    let reply = server.get("/metrics", None).await;
    let mut lines = reply.body.as_str().unwrap().lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value
        .unwrap_or_else(|| panic!("no {name}"))
        .parse()
        .unwrap()
}
