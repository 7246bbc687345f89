//! What players are told while they watch.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::request;
use crate::harness::TestServer;

/// Rates of layers change at any time.
pub(super) const ALL_BUT_LAYERS: &str = r#"["active","inactive","viewercount"]"#;

/// A reader of server-sent events.
pub(super) struct Events {
    body: hyper::body::Incoming,
    text: String,
}

impl Events {
    pub(super) async fn open(server: &TestServer, session: &str, wanted: &'static str) -> Self {
        let (path, json) = (
            format!("{session}/sse"),
            ("content-type", "application/json"),
        );
        let made = request(server, "POST", &path, &[json], wanted).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let stream = TcpStream::connect(server.http()).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = hyper::Request::builder()
            .uri(made.headers["location"].to_str().unwrap())
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
        let wait = std::time::Duration::from_secs(20);
        let frame = tokio::time::timeout(wait, self.body.frame()).await.unwrap();
        let Some(Ok(frame)) = frame else { return false };
        let bytes = frame.into_data().unwrap_or_default();
        self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        true
    }
}
