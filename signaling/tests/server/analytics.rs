//! What a host learns of an audience: from media that really came. On both databases.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Client, PATIENCE, TestServer};
use crate::peer::{Publisher, Viewer};

const PHONE: &str =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_receives_media_is_counted_and_nobody_else() {
    for server in TestServer::on_each(|config| {
        config.analytics.region_header = Some("cf-ipcountry".to_owned());
    })
    .await
    {
        let ann = server.token("Ann").await;
        let id = server.room(&ann, json!({ "title": "Show" })).await;
        let path = format!("/api/v1/rooms/{id}/analytics");
        let nothing = server.get(&path, Some(&ann)).await;
        assert_eq!(nothing.status, 200, "{}", nothing.body);
        assert_eq!(nothing.body["uniqueViewers"], 0);
        assert!(nothing.body.get("startedAt").is_none(), "{}", nothing.body);
        let start = format!("/api/v1/rooms/{id}/start");
        server.post(&start, Some(&ann), json!({})).await;

        let mut host = enter(&server, &ann, &id, &[]).await;
        let publisher = Publisher::go_live(&mut host).await;
        // Carl asks for media and answers nothing; Dora has a page open and no more.
        let (mut carl, _) = server.join("Carl", &id).await;
        let unseen = carl.ok("rtc.subscribe", json!({ "layer": "auto" })).await;
        let (_dora, _) = server.join("Dora", &id).await;
        let bob = server.token("Bob").await;
        let from = [("user-agent", PHONE), ("cf-ipcountry", "VN")];
        let mut bob = enter(&server, &bob, &id, &from).await;
        let (viewer, session) = watch(&mut bob).await;
        viewer.sees(5).await;
        let first = host.wait(|it| figure(it, "watching", 1)).await;
        assert_eq!(first["d"]["uniqueViewers"], 1, "{first}");
        assert_eq!(first["d"]["layers"], json!({ "240p": 1 }), "{first}");

        let report = json!({
            "sessionId": session, "framesDecoded": 1_000_000, "stalls": 1_000_000,
            "stalledMs": 1_000_000, "latencyMs": 250, "firstFrameMs": 180,
        });
        let of_nothing = json!({ "sessionId": unseen["sessionId"], "latencyMs": 9_000 });
        carl.ok("rtc.report", of_nothing).await;
        bob.ok("rtc.report", report.clone()).await;
        assert_eq!(bob.refused("rtc.report", report).await, "rate_limited");
        bob.ok("chat.send", json!({ "text": "hi" })).await;
        carl.ok("chat.send", json!({ "text": "I see nothing" }))
            .await;
        let told = host.wait(|it| figure(it, "messages", 2)).await;
        assert_eq!(told["d"]["engagedViewers"], 1, "{told}");
        assert!(!bob.has("analytics") && !carl.has("analytics"));

        let end = format!("/api/v1/rooms/{id}/end");
        let ended = server.post(&end, Some(&ann), json!({})).await.body;
        let watched = &ended["summary"]["watchTimeSec"];
        let figures = written(&server, &ann, &id, |it| it["watchTimeSec"] == *watched).await;
        check_figures(&figures, &ended["summary"]);
        check_minutes(&server, &ann, &id, &figures).await;
        check_metrics(&server).await;
        for token in [Some(server.token("Bob").await), None] {
            let refused = server.get(&path, token.as_deref()).await;
            assert!([401, 403].contains(&refused.status), "{}", refused.body);
        }
        publisher.end().await;
        viewer.end().await;
        server.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_sees_how_many_cannot_watch_and_why() {
    let server = TestServer::start().await;
    let ann = server.token("Ann").await;
    let id = server.room(&ann, json!({ "title": "Show" })).await;
    let (mut bob, _) = server.join("Bob", &id).await;
    // Before the event it is the server's business alone.
    let early = json!({ "reason": "unreachable" });
    bob.ok("rtc.trouble", early).await;
    let start = format!("/api/v1/rooms/{id}/start");
    server.post(&start, Some(&ann), json!({})).await;
    let mut host = enter(&server, &ann, &id, &[]).await;
    let publisher = Publisher::go_live(&mut host).await;
    let quiet = host.wait(|it| it["t"] == "analytics").await;
    assert_eq!(quiet["d"]["troubles"], json!({}), "{quiet}");

    let (mut carl, _) = server.join("Carl", &id).await;
    let unknown = json!({ "reason": "moon_phase" });
    assert_eq!(carl.refused("rtc.trouble", unknown).await, "bad_message");
    let blocked = json!({ "reason": "blocked" });
    carl.ok("rtc.trouble", blocked.clone()).await;
    let again = carl.refused("rtc.trouble", blocked.clone()).await;
    assert_eq!(again, "rate_limited");
    carl.ok("leave", json!({})).await;
    carl.ok("join", json!({ "roomId": id })).await;
    let rejoined = carl.refused("rtc.trouble", blocked.clone()).await;
    assert_eq!(rejoined, "rate_limited");
    // Who comes back with another socket is counted once.
    let mut carl = carl_again(&server, &id).await;
    carl.ok("rtc.trouble", blocked).await;
    let (mut dora, _) = server.join("Dora", &id).await;
    dora.ok("rtc.trouble", json!({ "reason": "turn_refused" }))
        .await;
    let all = json!({ "blocked": 1, "turn_refused": 1 });
    host.wait(|it| it["t"] == "analytics" && it["d"]["troubles"] == all)
        .await;
    assert!(!dora.has("analytics"));
    let metrics = server.get("/metrics", None).await.body;
    let metrics = metrics.as_str().unwrap();
    for (reason, times) in [("blocked", 2), ("turn_refused", 1), ("unreachable", 1)] {
        let line = format!("klieg_viewer_trouble_total{{reason=\"{reason}\"}} {times}\n");
        assert!(metrics.contains(&line), "{line}");
    }
    publisher.end().await;
    server.server.stop().await;
}

/// Enters as Carl, by another socket.
async fn carl_again(server: &TestServer, id: &str) -> Client {
    let token = server.token("Carl").await;
    enter(server, &token, id, &[]).await
}

/// Finds what one viewer reported in the metrics.
async fn check_metrics(server: &TestServer) {
    let metrics = server.get("/metrics", None).await.body;
    let metrics = metrics.as_str().unwrap();
    for name in ["picture_age", "first_frame"] {
        let one = format!("klieg_{name}_seconds_count 1\n");
        assert!(metrics.contains(&one), "{metrics}");
    }
}

/// Compares the figures of one viewer with what the room itself says of its event.
fn check_figures(figures: &Value, summary: &Value) {
    for (name, expected) in [
        ("watching", json!(0)),
        ("peakWatching", json!(1)),
        ("visits", json!(1)),
        ("uniqueViewers", json!(1)),
        ("regions", json!([{ "region": "VN", "viewers": 1 }])),
        ("devices", json!([{ "device": "phone", "viewers": 1 }])),
        ("engagedViewers", json!(1)),
        ("engagementRate", json!(1.0)),
        ("messages", json!(2)),
        ("retention", json!([1])),
    ] {
        assert_eq!(figures[name], expected, "{name} of {figures}");
    }
    assert_eq!(figures["watchTimeSec"], summary["watchTimeSec"]);
    assert_eq!(figures["medianWatchSec"], figures["watchTimeSec"]);
    assert_eq!(
        figures["latency"][1],
        json!({ "upToMs": 300, "reports": 1 })
    );
    let rate = figures["framesPerSecond"].as_f64();
    assert!(rate.is_none_or(|rate| rate <= 120.0), "{figures}");
}

async fn check_minutes(server: &TestServer, token: &str, id: &str, figures: &Value) {
    let path = format!("/api/v1/rooms/{id}/analytics/timeseries");
    let series = server.get(&path, Some(token)).await.body;
    let minutes = series["items"].as_array().unwrap();
    let sum = |name: &str| -> u64 { minutes.iter().filter_map(|it| it[name].as_u64()).sum() };
    assert_eq!(
        (sum("visits"), sum("newViewers"), sum("messages")),
        (1, 1, 2)
    );
    let watched = figures["watchTimeSec"].as_u64().unwrap();
    assert!(sum("watchTimeSec") <= watched, "{series}");
    let page = format!("{path}?limit=1&from=2020-01-01T00:00:00Z");
    let page = server.get(&page, Some(token)).await.body;
    assert_eq!(page["items"][0], minutes[0]);
    for bad in ["?limit=0", "?limit=1441", "?from=yesterday"] {
        let refused = server.get(&format!("{path}{bad}"), Some(token)).await;
        assert_eq!(refused.status, 400, "{bad}: {}", refused.body);
    }
    let path = format!("/api/v1/rooms/{id}/analytics.csv");
    let sheet = server.get(&path, Some(token)).await;
    assert_eq!(sheet.headers["content-type"], "text/csv; charset=utf-8");
    let sheet = sheet.body.as_str().unwrap().to_owned();
    assert_eq!(sheet.lines().count(), minutes.len() + 1, "{sheet}");
    assert!(sheet.starts_with("minute,peak_watching,"), "{sheet}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_again_goes_on_with_the_event() {
    let mut server = TestServer::start().await;
    let ann = server.token("Ann").await;
    let bob = server.token("Bob").await;
    let id = server.room(&ann, json!({ "title": "Show" })).await;
    let path = format!("/api/v1/rooms/{id}/start");
    server.post(&path, Some(&ann), json!({})).await;
    let mut before = Value::Null;
    for run in 1..=2 {
        let mut host = enter(&server, &ann, &id, &[]).await;
        let publisher = Publisher::go_live(&mut host).await;
        let mut client = enter(&server, &bob, &id, &[]).await;
        let (viewer, _) = watch(&mut client).await;
        let told = host.wait(|it| figure(it, "watching", 1)).await;
        assert_eq!(told["d"]["uniqueViewers"], 1, "{told}");
        assert_eq!(told["d"]["visits"], run, "{told}");
        if run == 2 {
            assert_eq!(told["d"]["startedAt"], before["d"]["startedAt"]);
            let end = format!("/api/v1/rooms/{id}/end");
            server.post(&end, Some(&ann), json!({})).await;
        }
        before = told;
        server = server.restart().await;
        publisher.end().await;
        viewer.end().await;
    }
    let figures = written(&server, &ann, &id, |it| it["visits"] == 2).await;
    assert_eq!(
        (&figures["uniqueViewers"], &figures["visits"]),
        (&json!(1), &json!(2))
    );
    server.server.stop().await;
}

/// Opens a socket with more headers, and joins a room.
async fn enter(
    server: &TestServer,
    token: &str,
    room: &str,
    headers: &[(&'static str, &str)],
) -> Client {
    let mut client = Client::connect(server.http(), headers).await.unwrap();
    client.ok("auth", json!({ "token": token })).await;
    client.ok("join", json!({ "roomId": room })).await;
    client
}

/// Watches; returns the session, too.
async fn watch(client: &mut Client) -> (Viewer, Value) {
    let viewer = Viewer::watch(client).await;
    let connected = client.wait(|it| it["d"]["state"] == "connected").await;
    (viewer, connected["d"]["sessionId"].clone())
}

fn figure(message: &Value, name: &str, value: u64) -> bool {
    message["t"] == "analytics" && message["d"][name] == value
}

/// Waits until the figures of an event that is over are written down.
async fn written(
    server: &TestServer,
    token: &str,
    id: &str,
    whole: impl Fn(&Value) -> bool,
) -> Value {
    let path = format!("/api/v1/rooms/{id}/analytics");
    let look = async {
        loop {
            let figures = server.get(&path, Some(token)).await.body;
            if figures["uniqueViewers"] != 0 && whole(&figures) {
                return figures;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let written = tokio::time::timeout(PATIENCE, look).await;
    written.expect("nothing was written down")
}
