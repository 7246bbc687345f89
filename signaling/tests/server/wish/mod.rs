//! WHIP (RFC 9725) and WHEP as their clients meet them: each row is a request and what must come of it.

mod endpoint;

mod session;

mod events;

mod cors;

mod limits;

mod media;

use std::net::SocketAddr;

use http_body_util::Full;
use hyper::body::Bytes;

use crate::harness::{Reply, TestServer, send};

pub(crate) const SDP: (&str, &str) = ("content-type", "application/sdp");
const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");
pub(crate) const KEY: (&str, &str) = ("authorization", "Bearer demo-key");

/// One request and what must come of it.
pub(crate) struct Row<'a> {
    name: &'a str,
    method: &'a str,
    path: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: Vec<u8>,
    status: u16,
    /// The code of the problem; empty where there is none.
    code: &'a str,
}

pub(crate) fn row<'a>(
    name: &'a str,
    (method, path): (&'a str, &'a str),
    headers: &[(&'a str, &'a str)],
    body: impl Into<Vec<u8>>,
    (status, code): (u16, &'a str),
) -> Row<'a> {
    Row {
        name,
        method,
        path,
        headers: headers.to_vec(),
        body: body.into(),
        status,
        code,
    }
}

/// Makes the requests one after the other; returns how many there were.
pub(crate) async fn check(server: &TestServer, rows: Vec<Row<'_>>) -> usize {
    let count = rows.len();
    for row in rows {
        let reply = request(server, row.method, row.path, &row.headers, row.body).await;
        let (name, body) = (row.name, &reply.body);
        assert_eq!(reply.status, row.status, "{name}: {body}");
        let code = body["code"].as_str().unwrap_or_default();
        assert_eq!(code, row.code, "{name}: {body}");
        if !row.code.is_empty() {
            let media_type = &reply.headers["content-type"];
            assert_eq!(media_type, "application/problem+json", "{name}");
            assert!(body["detail"].as_str().is_some_and(|it| !it.is_empty()));
        }
        match row.status {
            401 => assert_eq!(reply.headers["www-authenticate"], "Bearer", "{name}"),
            405 => assert!(reply.headers.contains_key("allow"), "{name}"),
            429 | 503 => assert!(reply.headers.contains_key("retry-after"), "{name}"),
            204 => assert!(!reply.headers.contains_key("etag"), "{name}"),
            _ => {}
        }
    }
    count
}

pub(crate) async fn request(
    server: &TestServer,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> Reply {
    request_at(server.http(), (method, path), headers, body).await
}

async fn request_at(
    server: SocketAddr,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> Reply {
    let mut request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("host", server.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Full::new(Bytes::from(body.into()));
    send(server, request.body(body).unwrap()).await
}

/// Makes a session and returns its address and entity tag.
pub(crate) async fn session(
    server: &TestServer,
    path: &str,
    headers: &[(&str, &str)],
    offer: &str,
) -> (String, String) {
    let reply = request(server, "POST", path, headers, offer).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    let header = |name: &str| reply.headers[name].to_str().unwrap().to_owned();
    (header("location"), header("etag"))
}

pub(crate) fn captured(name: &str) -> String {
    let path = format!("{}/tests/offers/{name}.sdp", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| format!("{line}\r\n")).collect()
}

/// A publisher's offer as a viewer would make it.
pub(crate) fn watching(offer: &str) -> String {
    let lines = offer.lines().filter(|line| !line.starts_with("a=ssrc"));
    let text: String = lines.map(|line| format!("{line}\r\n")).collect();
    text.replace("a=sendonly", "a=recvonly")
        .replace("a=sendrecv", "a=recvonly")
}
