//! A server that is to take no more, and goes on for those who are there.

use serde_json::{Value, json};

use crate::admin::admin;
use crate::harness::{Client, TestServer};
use crate::wish::{KEY, SDP, captured, check, row, session, watching};

const DRAIN: &str = "/api/v1/admin/drain";

/// Returns what the only server of the list says of itself.
async fn node(server: &TestServer, root: &str) -> Value {
    let reply = server.get("/api/v1/admin/nodes", Some(root)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.body["nextCursor"], Value::Null);
    let items = reply.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{items:?}");
    items[0].clone()
}

async fn gauge(server: &TestServer) -> bool {
    let metrics = server.get("/metrics", None).await.body;
    let metrics = metrics.as_str().unwrap();
    metrics.lines().any(|line| line == "klieg_draining 1")
}

/// Waits until one of the server's figures is this.
async fn until(server: &TestServer, root: &str, figure: &str, count: u64) {
    while node(server, root).await[figure] != count {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_says_what_it_has_to_do() {
    let server = TestServer::start().await;
    let root = admin(&server).await;
    let idle = node(&server, &root).await;
    for (figure, expected) in [
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("draining", json!(false)),
        ("rooms", json!(0)),
        ("liveRooms", json!(0)),
        ("participants", json!(0)),
        ("viewers", json!(0)),
        ("mediaAddresses", json!(server.server.media())),
    ] {
        assert_eq!(idle[figure], expected, "{figure}");
    }
    let load = idle["load"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&load), "{load}");
    assert!(idle["startedAt"].as_str().unwrap().ends_with('Z'));

    let (ann, _) = server.join("Ann", "demo").await;
    let (_bob, _) = server.join("Bob", "demo").await;
    let offer = watching(&captured("firefox-default"));
    session(&server, "/whep/demo", &[SDP], &offer).await;
    until(&server, &root, "viewers", 1).await;
    let busy = node(&server, &root).await;
    assert_eq!(
        (&busy["rooms"], &busy["participants"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(
        (&busy["id"], &busy["startedAt"]),
        (&idle["id"], &idle["startedAt"])
    );
    ann.vanish();
    until(&server, &root, "participants", 1).await;
    server.server.stop().await;
}

/// Drains a server, or takes that back; returns whether it says that it drains.
async fn ask(server: &TestServer, method: &str, root: &str) -> bool {
    let reply = server.ask((method, DRAIN), Some(root), &[], None).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body["draining"].as_bool().unwrap()
}

#[tokio::test]
async fn nobody_new_comes_while_a_server_drains() {
    let server = TestServer::start().await;
    let (root, token) = (admin(&server).await, server.token("Ann").await);
    let mut outside = server.sign_in("Bob").await;
    let keyed = async || {
        let (rooms, key) = (("POST", "/api/v1/rooms"), [("idempotency-key", "1")]);
        let room = json!({ "title": "R" });
        server.ask(rooms, Some(&token), &key, Some(room)).await
    };
    let before = keyed().await;
    assert_eq!(before.status, 201, "{}", before.body);
    assert!(ask(&server, "POST", &root).await);
    assert!(gauge(&server).await);
    let encoder = captured("firefox-default");
    let player = watching(&encoder);
    let (whep, whip) = (("POST", "/whep/demo"), ("POST", "/whip/demo"));
    let join = ("POST", "/api/v1/rooms/demo/join");
    let refused = (503, "draining");
    let rows = vec![
        row("ready", ("GET", "/readyz"), &[], "", refused),
        row("a socket", ("GET", "/ws"), &UPGRADE, "", refused),
        row("a player", whep, &[SDP], player.as_str(), refused),
        row("an encoder", whip, &[KEY, SDP], encoder.as_str(), refused),
        row("a guest", join, &JSON, "{}", refused),
        row("alive", ("GET", "/healthz"), &[], "", (200, "")),
        row("rooms", ("GET", "/api/v1/rooms"), &[], "", (200, "")),
    ];
    check(&server, rows).await;
    assert!(Client::connect(server.http(), &[]).await.is_err());
    let create = async || {
        let room = json!({ "title": "R" });
        server.post("/api/v1/rooms", Some(&token), room).await
    };
    let reply = create().await;
    assert_eq!(
        (reply.status, &reply.body["code"]),
        (503, &json!("draining"))
    );
    // What was made before it began is answered once more.
    let again = keyed().await;
    assert_eq!((again.status, again.body), (201, before.body));
    let demo = json!({ "roomId": "demo" });
    assert_eq!(outside.refused("join", demo.clone()).await, "draining");

    for _ in 0..2 {
        assert!(!ask(&server, "DELETE", &root).await);
    }
    assert!(!gauge(&server).await);
    assert_eq!(server.get("/readyz", None).await.status, 200);
    assert_eq!(create().await.status, 201);
    outside.ok("join", demo).await;
    server.server.stop().await;
}

#[tokio::test]
async fn who_is_there_when_a_server_drains_is_told_once_and_goes_on() {
    let server = TestServer::start().await;
    let root = admin(&server).await;
    let (mut ann, _) = server.join("Ann", "demo").await;
    let offer = watching(&captured("firefox-default"));
    let (player, _) = session(&server, "/whep/demo", &[SDP], &offer).await;
    assert!(ask(&server, "POST", &root).await);
    let told = ann.expect("server.draining").await;
    assert!(told["d"]["reconnectAfterMs"].as_u64().unwrap() > 0);
    assert_eq!(node(&server, &root).await["draining"], true);
    // Once more changes nothing, and tells nobody.
    assert!(ask(&server, "POST", &root).await);
    ann.ok("chat.send", json!({ "text": "still here" })).await;
    ann.ok("rtc.subscribe", json!({})).await;
    ann.expect("rtc.offer").await;
    let there = row("the player", ("GET", &player), &[], "", (204, ""));
    check(&server, vec![there]).await;
    assert!(!ask(&server, "DELETE", &root).await);
    ann.ok("ping", json!({})).await;
    assert!(!ann.has("server.draining"), "it was told twice");
    server.server.stop().await;
}

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

const UPGRADE: [(&str, &str); 5] = [
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-protocol", "klieg.v1"),
];

#[tokio::test]
async fn a_drained_server_stops_like_any_other() {
    let server = TestServer::start().await;
    let root = admin(&server).await;
    let (mut ann, _) = server.join("Ann", "demo").await;
    server.post(DRAIN, Some(&root), json!({})).await;
    ann.expect("server.draining").await;
    let stop = tokio::spawn(server.server.stop());
    ann.expect("server.draining").await;
    assert_eq!(ann.closed().await, Some(1001));
    stop.await.unwrap();
}
