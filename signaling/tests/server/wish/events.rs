//! What players are told while they watch.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::{KEY, SDP, captured, check, request, row, session, watching};
use crate::harness::TestServer;
use crate::peer::{Publisher, Viewer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_four_event_streams_and_the_oldest_makes_way() {
    let server = TestServer::start().await;
    let offer = watching(&captured("chromium-default"));
    let (location, _) = session(&server, "/whep/demo", &[SDP], &offer).await;
    let sse = format!("{location}/sse");
    let json = ("content-type", "application/json");
    let first = Events::make(&server, &location, "[]").await;
    let post = |name, headers: &[_], body: &str, status| {
        row(name, ("POST", sse.as_str()), headers, body, status)
    };
    let rows = vec![
        post(
            "unknown events",
            &[json],
            r#"["active","weather"]"#,
            (400, "bad_message"),
        ),
        post("no JSON", &[json], "[", (400, "bad_json")),
        post(
            "no media type",
            &[],
            r#"["active"]"#,
            (415, "unsupported_media_type"),
        ),
        post("some events", &[json], r#"["active"]"#, (201, "")),
        post("all events", &[], "", (201, "")),
        post("a fourth stream", &[], "", (201, "")),
    ];
    check(&server, rows).await;
    let mut reader = Events::read_from(&server, &first).await;
    let rows = vec![
        post("a fifth stream: the first makes way", &[], "", (201, "")),
        row("the first", ("GET", &first), &[], "", (404, "not_found")),
    ];
    check(&server, rows).await;
    assert!(!reader.read().await, "its reader is let go");
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_has_one_reader_and_ends_when_it_is_deleted() {
    let server = TestServer::start().await;
    let offer = watching(&captured("chromium-default"));
    let (location, _) = session(&server, "/whep/demo", &[SDP], &offer).await;
    let stream = Events::make(&server, &location, r#"["viewercount"]"#).await;
    let mut first = Events::read_from(&server, &stream).await;
    assert_eq!(first.next().await.0, "viewercount");
    let mut second = Events::read_from(&server, &stream).await;
    assert_eq!(second.next().await.0, "viewercount");
    assert_eq!(first.end().await, "");
    let delete = |name, status| row(name, ("DELETE", stream.as_str()), &[], "", status);
    let rows = vec![
        delete("DELETE", (200, "")),
        delete("DELETE again", (404, "not_found")),
    ];
    check(&server, rows).await;
    assert_eq!(second.end().await, "");
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_for_who_made_the_session() {
    let server = TestServer::start().await;
    let [ann, bob] = [server.token("Ann").await, server.token("Bob").await];
    let [ann, bob] = [ann, bob].map(|token| format!("Bearer {token}"));
    let [ann, bob] = [
        ("authorization", ann.as_str()),
        ("authorization", bob.as_str()),
    ];
    let offer = watching(&captured("chromium-default"));
    let (location, _) = session(&server, "/whep/demo", &[ann, SDP], &offer).await;
    let sse = format!("{location}/sse");
    let made = request(&server, "POST", &sse, &[ann], "").await;
    let stream = made.headers["location"].to_str().unwrap();
    let mut rows = Vec::new();
    for (method, path) in [("POST", sse.as_str()), ("GET", stream), ("DELETE", stream)] {
        let wanted = (method, path);
        rows.push(row("no token", wanted, &[], "", (401, "unauthenticated")));
        rows.push(row("another token", wanted, &[bob], "", (403, "forbidden")));
    }
    rows.push(row("its own", ("DELETE", stream), &[ann], "", (200, "")));
    check(&server, rows).await;
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_comes_back_is_told_what_became_of_what_it_was_told() {
    let server = TestServer::start().await;
    let offer = watching(&captured("chromium-default"));
    let (location, _) = session(&server, "/whep/demo", &[SDP], &offer).await;
    let wanted = r#"["active","inactive","layers"]"#;
    let stream = Events::make(&server, &location, wanted).await;
    let mut events = Events::read_from(&server, &stream).await;
    let publisher = Publisher::by_whip(&server, "/whip/demo", "demo-key").await;
    assert_eq!(events.next().await, ("active".into(), "{}".into()));
    let (name, layers) = events.next().await;
    assert_eq!(name, "layers");
    let layers: Value = serde_json::from_str(&layers).unwrap();
    assert_eq!(layers["1"][0]["rid"], "full", "{layers}");
    drop(events);

    request(&server, "DELETE", &publisher.location, &[KEY], "").await;
    while server.get("/api/v1/rooms/demo", None).await.body["status"] != "ready" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut again = Events::read_from(&server, &stream).await;
    assert_eq!(again.next().await, ("inactive".into(), "{}".into()));
    assert_eq!(again.next().await, ("layers".into(), r#"{"1":[]}"#.into()));
    publisher.publisher.end().await;
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_without_the_codec_of_who_comes_later_is_told() {
    let server = TestServer::start().await;
    let player = Viewer::of_h264_by_whep(&server, "/whep/demo").await;
    let mut events = Events::open(&server, &player.location, r#"["codecmismatch"]"#).await;
    let publisher = Publisher::by_whip(&server, "/whip/demo", "demo-key").await;
    let told = ("codecmismatch".into(), r#"{"codec":"vp8"}"#.into());
    assert_eq!(events.next().await, told);
    player.viewer.end().await;
    publisher.publisher.end().await;
    server.server.stop().await;
}

/// Rates of layers change at any time.
pub(super) const ALL_BUT_LAYERS: &str = r#"["active","inactive","viewercount"]"#;

/// A reader of server-sent events.
pub(super) struct Events {
    body: hyper::body::Incoming,
    text: String,
}

impl Events {
    /// Makes a stream and reads it.
    pub(super) async fn open(server: &TestServer, session: &str, wanted: &'static str) -> Self {
        let stream = Self::make(server, session, wanted).await;
        Self::read_from(server, &stream).await
    }

    /// Makes a stream and returns its address.
    async fn make(server: &TestServer, session: &str, wanted: &'static str) -> String {
        let (path, json) = (
            format!("{session}/sse"),
            ("content-type", "application/json"),
        );
        let made = request(server, "POST", &path, &[json], wanted).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.headers["location"].to_str().unwrap().to_owned()
    }

    async fn read_from(server: &TestServer, address: &str) -> Self {
        let stream = TcpStream::connect(server.http()).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = hyper::Request::builder()
            .uri(address)
            .header("host", server.http().to_string())
            .body(Full::new(Bytes::new()))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// Waits for the next event: its name and its data.
    pub(super) async fn next(&mut self) -> (String, String) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = event.lines();
                    lines
                        .find_map(|line| line.strip_prefix(name))
                        .map(str::to_owned)
                };
                let found = field("event: ").zip(field("data: "));
                self.text = rest.to_owned();
                match found {
                    Some(event) => return event,
                    None => continue,
                }
            }
            assert!(self.read().await, "the stream ended");
        }
    }

    /// Waits for the end and returns what came before it.
    pub(super) async fn end(mut self) -> String {
        while self.read().await {}
        self.text
    }

    async fn read(&mut self) -> bool {
        let wait = Duration::from_secs(20);
        let frame = tokio::time::timeout(wait, self.body.frame()).await.unwrap();
        let Some(Ok(frame)) = frame else { return false };
        let bytes = frame.into_data().unwrap_or_default();
        self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        true
    }
}
