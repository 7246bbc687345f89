//! Media through the real server, between real peers, and what everybody is told about it.

use std::time::Duration;

use klieg_signaling::MediaGso;
use serde_json::{Value, json};

use crate::harness::{Client, TestServer, masked};
use crate::peer::{Publisher, Viewer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_see_the_publisher_and_see_it_again_when_it_returns() {
    let server = TestServer::start().await;
    let (mut ann, _) = server.join("Ann", "demo").await;
    let mut early = guest(&server).await;
    let watching_early = Viewer::watch(&mut early).await;
    early
        .wait(|m| m["t"] == "rtc.state" && m["d"]["state"] == "connected")
        .await;
    let publisher = Publisher::go_live(&mut ann).await;
    watching_early.sees(30).await;

    let mut told = Vec::new();
    for t in ["room.status", "rtc.publisher", "rtc.layers"] {
        told.push(early.expect(t).await);
    }
    told.push(
        early
            .wait(|m| m["t"] == "rtc.state" && m["d"]["state"] == "media")
            .await,
    );
    insta::assert_json_snapshot!(masked(Value::Array(told)));

    let (mut late, joined) = server.join("Late", "demo").await;
    assert_eq!(joined["d"]["publisher"]["state"], "live");
    assert_eq!(joined["d"]["publisher"]["videoCodec"], "vp8");
    assert!(joined["d"]["room"]["startedAt"].is_string());
    let watching_late = Viewer::watch(&mut late).await;
    watching_late.sees(10).await;
    let listed = server.get("/api/v1/rooms?status=live", None).await.body;
    assert_eq!(listed["items"][0]["viewerCount"], 2);

    ann.ok("rtc.mute", json!({ "kind": "video", "muted": true }))
        .await;
    early
        .wait(|m| m["t"] == "rtc.publisher" && m["d"]["videoMuted"] == true)
        .await;

    // Ann's page is loaded again: the socket breaks, and so does the peer.
    ann.vanish();
    publisher.end().await;
    status(&mut early, "interrupted").await;
    let (mut ann, _) = server.join("Ann", "demo").await;
    let publisher = Publisher::go_live(&mut ann).await;
    status(&mut early, "live").await;
    watching_early.sees(30).await;
    watching_late.sees(1).await;

    ann.ok("rtc.close", json!({ "sessionId": publisher.session }))
        .await;
    status(&mut early, "ready").await;
    early
        .wait(|m| m["t"] == "rtc.publisher" && m["d"]["state"] == "none")
        .await;
    publisher.end().await;
    watching_early.end().await;
    watching_late.end().await;
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_after_the_other_all_see_over_two_pinned_threads_and_without_runs() {
    let server = TestServer::start_with(|config| {
        config.media_shards = 2;
        config.media_pin_threads = true;
        config.media_gso = MediaGso::Off;
        // Each one that has connected makes room for the next.
        config.max_handshakes = 1;
    })
    .await;
    let (mut ann, _) = server.join("Ann", "demo").await;
    let is_connected = |m: &Value| m["t"] == "rtc.state" && m["d"]["state"] == "connected";
    let publisher = Publisher::go_live(&mut ann).await;
    ann.wait(is_connected).await;
    let mut viewers = Vec::new();
    for _ in 0..4 {
        let mut guest = guest(&server).await;
        let viewer = Viewer::watch(&mut guest).await;
        guest.wait(is_connected).await;
        viewers.push((guest, viewer));
    }
    for (_, viewer) in &viewers {
        viewer.sees(30).await;
    }
    let metrics = server.get("/metrics", None).await.body;
    let metrics = metrics.as_str().unwrap();
    assert!(metrics.contains("klieg_handshakes 0\n"), "{metrics}");
    let told = r#"klieg_sfu_added_latency_seconds_count{shard="1"}"#;
    assert!(metrics.contains(told), "{metrics}");
    publisher.end().await;
    for (_, viewer) in viewers {
        viewer.end().await;
    }
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_waits_for_a_lost_publisher_as_long_as_it_is_told() {
    let server = TestServer::start_with(|config| config.publisher_grace_ms = 500).await;
    let (mut ann, _) = server.join("Ann", "demo").await;
    let (mut bob, _) = server.join("Bob", "demo").await;
    let publisher = Publisher::go_live(&mut ann).await;
    status(&mut bob, "live").await;
    ann.vanish();
    status(&mut bob, "interrupted").await;
    let since = std::time::Instant::now();
    status(&mut bob, "ready").await;
    assert!(since.elapsed() >= Duration::from_millis(400));
    publisher.end().await;
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stopped_while_live_waits_for_the_publisher_once_more() {
    let server = TestServer::start_with(|config| config.publisher_grace_ms = 3_000).await;
    let (mut ann, _) = server.join("Ann", "demo").await;
    let publisher = Publisher::go_live(&mut ann).await;
    let live = status(&mut ann, "live").await;
    let server = server.restart().await;
    publisher.end().await;
    // Who comes back is told what happened meanwhile.
    let mut bob = server.sign_in("Bob").await;
    bob.ok(
        "resume",
        json!({ "roomId": "demo", "lastSeq": live["seq"] }),
    )
    .await;
    status(&mut bob, "interrupted").await;
    let room = server.get("/api/v1/rooms/demo", None).await.body;
    assert_eq!(room["startedAt"], live["d"]["startedAt"]);
    let ended = status(&mut bob, "ended").await;
    assert_eq!(ended["d"]["reason"], "grace_over");
    status(&mut bob, "ready").await;
    server.server.stop().await;
}

async fn guest(server: &TestServer) -> Client {
    let mut client = server.socket().await;
    client
        .ok("auth", json!({ "token": server.guest_token("demo").await }))
        .await;
    client.ok("join", json!({ "roomId": "demo" })).await;
    client
}

async fn status(client: &mut Client, status: &str) -> Value {
    client
        .wait(|m| m["t"] == "room.status" && m["d"]["status"] == status)
        .await
}
