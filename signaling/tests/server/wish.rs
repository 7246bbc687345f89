//! WHIP (RFC 9725) and WHEP as their clients meet them: each row is a request and what must come of it.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;

use crate::harness::{Reply, TestServer, send};
use crate::peer::{Publisher, Viewer};

pub(crate) const SDP: (&str, &str) = ("content-type", "application/sdp");
const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");
pub(crate) const KEY: (&str, &str) = ("authorization", "Bearer demo-key");

/// What a peer says when it restarts ICE, and after that.
const RESTART: &str = "a=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:ysXw\r\n\
    a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n\
    a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host\r\n";
const TRICKLE: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
    a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\n\
    a=candidate:2 1 udp 2122260222 3f0e9a34-7f5d-4f0c-8c8f-cf3fd1d5ef17.local 40123 typ host\r\n\
    a=end-of-candidates\r\n";

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

async fn request(
    server: &TestServer,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> Reply {
    let mut request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("host", server.http().to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Full::new(Bytes::from(body.into()));
    send(server.http(), request.body(body).unwrap()).await
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn whip_endpoints_answer_as_rfc_9725_has_it() {
    let server = TestServer::start().await;
    let (ann, guest) = (server.token("Ann").await, server.guest_token("demo").await);
    let private = server
        .room(&ann, json!({ "title": "Ours", "visibility": "private" }))
        .await;
    let bob = format!("Bearer {}", server.token("Bob").await);
    let (ann, guest) = (format!("Bearer {ann}"), format!("Bearer {guest}"));
    let (ann, guest, bob) = (
        ("authorization", ann.as_str()),
        ("authorization", guest.as_str()),
        ("authorization", bob.as_str()),
    );
    let offer = captured("chromium-default");
    let (whip, private) = (("POST", "/whip/demo"), format!("/whip/{private}"));
    let private = ("POST", private.as_str());
    let auth = |value| ("authorization", value);
    let key = |name, header, status| row(name, whip, &[header, SDP], offer.as_str(), status);
    let body = |name, body: &str, status| row(name, whip, &[KEY, SDP], body, status);
    let typed = |name, value, status| {
        row(
            name,
            whip,
            &[KEY, ("content-type", value)],
            offer.as_str(),
            status,
        )
    };
    let accept = |name, value, status| {
        row(
            name,
            whip,
            &[KEY, SDP, ("accept", value)],
            offer.as_str(),
            status,
        )
    };
    let plain = |name, method, status| row(name, (method, "/whip/demo"), &[], "", status);
    let rows = vec![
        row(
            "no token",
            whip,
            &[SDP],
            offer.as_str(),
            (401, "unauthenticated"),
        ),
        key("wrong key", auth("Bearer demo-kex"), (401, "token_invalid")),
        key(
            "no bearer token",
            auth("Basic ZGVtbzprZXk="),
            (401, "token_invalid"),
        ),
        key("forged token", auth("Bearer a.b.c"), (401, "token_invalid")),
        key("a guest's token", guest, (403, "forbidden")),
        row(
            "a key and no such room",
            ("POST", "/whip/nowhere"),
            &[KEY, SDP],
            offer.as_str(),
            (401, "token_invalid"),
        ),
        row(
            "a key and no room id",
            ("POST", "/whip/a%2Fb"),
            &[KEY, SDP],
            offer.as_str(),
            (401, "token_invalid"),
        ),
        row(
            "a token and no such room",
            ("POST", "/whip/nowhere"),
            &[ann, SDP],
            offer.as_str(),
            (404, "not_found"),
        ),
        row(
            "somebody else's private room",
            private,
            &[bob, SDP],
            offer.as_str(),
            (404, "not_found"),
        ),
        row(
            "the key of another room",
            private,
            &[KEY, SDP],
            offer.as_str(),
            (401, "token_invalid"),
        ),
        row(
            "no media type",
            whip,
            &[KEY],
            offer.as_str(),
            (415, "unsupported_media_type"),
        ),
        typed(
            "another media type",
            "text/plain",
            (415, "unsupported_media_type"),
        ),
        typed(
            "a fragment's media type",
            FRAGMENT.1,
            (415, "unsupported_media_type"),
        ),
        accept("html alone accepted", "text/html", (406, "not_acceptable")),
        accept(
            "sdp refused",
            "application/sdp;q=0",
            (406, "not_acceptable"),
        ),
        body("empty body", "", (400, "bad_sdp")),
        body("no description", "hello", (400, "bad_sdp")),
        body(
            "a line that is none",
            "v=0\r\no=- 1 1 IN IP4 0\r\nxx\r\n",
            (400, "bad_sdp"),
        ),
        row(
            "not UTF-8",
            whip,
            &[KEY, SDP],
            vec![0xff, 0xfe],
            (400, "bad_sdp"),
        ),
        body("more than 64 KiB", &"v".repeat(70_000), (413, "too_large")),
        body(
            "10 000 m-lines",
            &format!("v=0\r\n{}", "m=x\r\n".repeat(10_000)),
            (400, "bad_sdp"),
        ),
        row(
            "more than 1 MiB",
            whip,
            &[KEY, SDP],
            vec![b'v'; 2 << 20],
            (413, "too_large"),
        ),
        body("nothing sent", &watching(&offer), (422, "sdp_unusable")),
        body(
            "no codec of ours",
            &offer
                .replace("opus/48000/2", "x/8000")
                .replace("/90000", "/1"),
            (422, "no_common_codec"),
        ),
        body(
            "no rtcp-mux",
            &offer.replace("a=rtcp-mux\r\n", ""),
            (422, "sdp_unusable"),
        ),
        body(
            "no bundle",
            &offer.replace("a=group:BUNDLE 0 1\r\n", ""),
            (422, "sdp_unusable"),
        ),
        body(
            "no fingerprint",
            &offer.replace("a=fingerprint", "a=nothing"),
            (422, "sdp_unusable"),
        ),
        body(
            "sha-1 alone",
            &offer.replace("fingerprint:sha-256", "fingerprint:sha-1"),
            (422, "sdp_unusable"),
        ),
        body(
            "lite on both ends",
            &offer.replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n"),
            (422, "sdp_unusable"),
        ),
        plain("GET", "GET", (200, "")),
        plain("HEAD", "HEAD", (200, "")),
        plain("OPTIONS", "OPTIONS", (200, "")),
        plain("PUT", "PUT", (405, "method_not_allowed")),
        plain("PATCH", "PATCH", (405, "method_not_allowed")),
        plain("DELETE", "DELETE", (405, "method_not_allowed")),
        // Each of these makes way for the next: they are the same identity's, or the owner's.
        key("the stream key", KEY, (201, "")),
        key(
            "the stream key again: the encoder was restarted",
            KEY,
            (201, ""),
        ),
        typed(
            "a media type with parameters",
            "application/sdp; charset=utf-8",
            (201, ""),
        ),
        accept("anything accepted", "*/*", (201, "")),
        key(
            "somebody else while one publishes",
            ann,
            (409, "publisher_exists"),
        ),
    ];
    assert!(check(&server, rows).await >= 39);
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_says_where_the_session_is_and_which_servers_help() {
    let server = TestServer::start_with(|config| {
        config.ice.stun_urls = vec!["stun:s.example".into()];
        config.ice.turn_urls = vec!["turn:t.example:3478?transport=udp".into()];
        config.ice.turn_secret = klieg_turn::Secret::new("a secret of some length");
    })
    .await;
    let offer = captured("ffmpeg8-whip-offer");
    let reply = request(&server, "POST", "/whip/demo", &[KEY, SDP], offer).await;
    assert_eq!(reply.status, 201);
    assert_eq!(reply.headers["content-type"], "application/sdp");
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert_eq!(reply.headers["accept-post"], "application/sdp");
    let location = reply.headers["location"].to_str().unwrap();
    let id = location.strip_prefix("/whip/demo/").unwrap();
    assert_eq!(id.len(), 22, "128 bits");
    let tag = reply.headers["etag"].to_str().unwrap();
    assert!(tag.starts_with('"') && tag.ends_with('"'));
    let links: Vec<_> = reply
        .headers
        .get_all("link")
        .iter()
        .map(|it| it.to_str().unwrap())
        .collect();
    assert_eq!(links[0], r#"<stun:s.example>; rel="ice-server""#);
    let turn = r#"<turn:t.example:3478?transport=udp>; rel="ice-server"; username=""#;
    assert!(links[1].starts_with(turn), "{}", links[1]);
    assert!(links[1].ends_with(r#"; credential-type="password""#));
    let answer = reply.body.as_str().unwrap();
    let port = server.server.media()[0].port();
    assert!(answer.contains(&format!("udp 2130706431 127.0.0.1 {port} typ host")));
    assert!(answer.contains("a=setup:active") && answer.contains("a=end-of-candidates"));
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn a_session_is_patched_and_ended_by_who_made_it() {
    let server = TestServer::start().await;
    let offer = captured("chromium-default");
    let (path, first) = session(&server, "/whip/demo", &[KEY, SDP], &offer).await;
    let id = path.rsplit('/').next().unwrap().to_owned();
    let other = format!("Bearer {}", server.token("Ann").await);
    let other = ("authorization", other.as_str());
    let weak = format!("W/{first}");
    let list = format!("\"x\", {first}");
    let current = ("if-match", first.as_str());
    let star = ("if-match", "*");
    let (elsewhere, as_whep, missing) = (
        format!("/whip/other/{id}"),
        format!("/whep/demo/{id}"),
        "/whip/demo/AAAAAAAAAAAAAAAAAAAAAA",
    );
    let patch = |name, headers: &[_], body: &str, status| {
        row(name, ("PATCH", path.as_str()), headers, body, status)
    };
    let rows = vec![
        row("GET", ("GET", &path), &[KEY], "", (204, "")),
        row("OPTIONS", ("OPTIONS", &path), &[], "", (200, "")),
        patch("candidates", &[KEY, FRAGMENT, current], TRICKLE, (204, "")),
        patch(
            "candidates, several tags",
            &[KEY, FRAGMENT, ("if-match", &list)],
            TRICKLE,
            (204, ""),
        ),
        patch("nothing new", &[KEY, FRAGMENT, current], "", (204, "")),
        patch(
            "no If-Match",
            &[KEY, FRAGMENT],
            TRICKLE,
            (428, "precondition_required"),
        ),
        patch(
            "another tag",
            &[KEY, FRAGMENT, ("if-match", "\"x\"")],
            TRICKLE,
            (412, "precondition_failed"),
        ),
        patch(
            "a weak tag",
            &[KEY, FRAGMENT, ("if-match", &weak)],
            TRICKLE,
            (412, "precondition_failed"),
        ),
        patch(
            "a description",
            &[KEY, SDP, current],
            offer.as_str(),
            (415, "unsupported_media_type"),
        ),
        patch(
            "no fragment",
            &[KEY, FRAGMENT, current],
            "hello",
            (400, "bad_sdp"),
        ),
        patch(
            "no candidate",
            &[KEY, FRAGMENT, current],
            "a=candidate:x",
            (400, "bad_sdp"),
        ),
    ];
    let mut count = check(&server, rows).await;
    // Patches are metered: ten a second.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let rows = vec![
        patch(
            "half of the credentials",
            &[KEY, FRAGMENT, star],
            "a=ice-ufrag:ysXw",
            (422, "sdp_unusable"),
        ),
        row(
            "no token",
            ("PATCH", &path),
            &[FRAGMENT, current],
            TRICKLE,
            (401, "unauthenticated"),
        ),
        row(
            "another token",
            ("PATCH", &path),
            &[other, FRAGMENT, current],
            TRICKLE,
            (403, "forbidden"),
        ),
        row(
            "another token to end it",
            ("DELETE", &path),
            &[other],
            "",
            (403, "forbidden"),
        ),
        row(
            "no token to end it",
            ("DELETE", &path),
            &[],
            "",
            (401, "unauthenticated"),
        ),
        row(
            "by another room",
            ("DELETE", &elsewhere),
            &[KEY],
            "",
            (404, "not_found"),
        ),
        row(
            "by the other protocol",
            ("DELETE", &as_whep),
            &[KEY],
            "",
            (404, "not_found"),
        ),
        row(
            "a guessed name",
            ("PATCH", missing),
            &[KEY, FRAGMENT, star],
            TRICKLE,
            (404, "not_found"),
        ),
        row(
            "POST",
            ("POST", &path),
            &[KEY, SDP],
            "",
            (405, "method_not_allowed"),
        ),
        row(
            "PUT",
            ("PUT", &path),
            &[KEY, SDP],
            "",
            (405, "method_not_allowed"),
        ),
    ];
    count += check(&server, rows).await;

    let restart = |tag: String| {
        let (server, path) = (&server, &path);
        async move {
            let headers = [KEY, FRAGMENT, ("if-match", tag.as_str())];
            request(server, "PATCH", path, &headers, RESTART).await
        }
    };
    let restarted = restart("*".into()).await;
    assert_eq!(restarted.status, 200, "{}", restarted.body);
    assert_eq!(restarted.headers["content-type"], FRAGMENT.1);
    let second = restarted.headers["etag"].to_str().unwrap().to_owned();
    assert_ne!(second, first);
    let ours = restarted.body.as_str().unwrap();
    let ufrag = second.trim_matches('"');
    for line in [
        "a=ice-lite",
        "a=group:BUNDLE 0 1",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "a=mid:0",
    ] {
        assert!(ours.lines().any(|it| it == line), "{line}\n{ours}");
    }
    assert!(ours.contains(&format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:")));
    assert!(ours.contains("typ host") && ours.ends_with("a=end-of-candidates\r\n"));
    // The same credentials again are no restart, whatever is matched.
    assert_eq!(restart("*".into()).await.status, 204);
    assert_eq!(restart(second.clone()).await.status, 204);
    assert_eq!(restart(first.clone()).await.status, 412);

    let rows = vec![
        row(
            "DELETE with an old tag",
            ("DELETE", &path),
            &[KEY, current],
            "",
            (200, ""),
        ),
        row(
            "DELETE again",
            ("DELETE", &path),
            &[KEY],
            "",
            (404, "not_found"),
        ),
        row(
            "PATCH after the end",
            ("PATCH", &path),
            &[KEY, FRAGMENT, star],
            TRICKLE,
            (404, "not_found"),
        ),
        row(
            "GET after the end",
            ("GET", &path),
            &[KEY],
            "",
            (404, "not_found"),
        ),
    ];
    count += check(&server, rows).await;
    assert!(count >= 25);
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn whep_endpoints_take_viewers_before_anybody_publishes() {
    let server = TestServer::start().await;
    let ann = server.token("Ann").await;
    let private = server
        .room(&ann, json!({ "title": "Ours", "visibility": "private" }))
        .await;
    let private = format!("/whep/{private}");
    let ann = format!("Bearer {ann}");
    let offer = watching(&captured("chromium-default"));
    let whep = ("POST", "/whep/demo");
    let rows = vec![
        row("a guest", whep, &[SDP], offer.as_str(), (201, "")),
        row(
            "a guest of a private room",
            ("POST", &private),
            &[SDP],
            offer.as_str(),
            (404, "not_found"),
        ),
        row(
            "the owner of it",
            ("POST", &private),
            &[("authorization", &ann), SDP],
            offer.as_str(),
            (201, ""),
        ),
        row(
            "no such room",
            ("POST", "/whep/nowhere"),
            &[SDP],
            offer.as_str(),
            (404, "not_found"),
        ),
        row(
            "a forged token",
            whep,
            &[("authorization", "Bearer a.b.c"), SDP],
            offer.as_str(),
            (401, "token_invalid"),
        ),
        row(
            "a stream key is for publishing",
            whep,
            &[KEY, SDP],
            offer.as_str(),
            (401, "token_invalid"),
        ),
        row(
            "no media type",
            whep,
            &[],
            offer.as_str(),
            (415, "unsupported_media_type"),
        ),
        row(
            "sends and does not receive",
            whep,
            &[SDP],
            captured("chromium-default").replace("sendrecv", "sendonly"),
            (422, "sdp_unusable"),
        ),
        row("no description", whep, &[SDP], "hello", (400, "bad_sdp")),
        row("HEAD", ("HEAD", "/whep/demo"), &[], "", (200, "")),
    ];
    check(&server, rows).await;
    let head = request(&server, "HEAD", "/whep/demo", &[], "").await;
    assert_eq!(head.headers["content-type"], "application/sdp");

    let reply = request(&server, "POST", "/whep/demo", &[SDP], offer).await;
    let location = reply.headers["location"].to_str().unwrap().to_owned();
    let link = format!(
        "<{location}/sse>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"; \
         events=\"active,inactive,layers,viewercount,reconnect,codecmismatch\""
    );
    assert_eq!(reply.headers["link"], link);
    let answer = reply.body.as_str().unwrap();
    for line in [
        "a=sendonly",
        "a=msid:klieg video",
        "a=ssrc-group:FID 1802240002 1802240003",
    ] {
        assert!(answer.lines().any(|it| it == line), "{line}\n{answer}");
    }

    let sse = format!("{location}/sse");
    let json = ("content-type", "application/json");
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
        post("a third stream", &[json], "[]", (201, "")),
        post("a fourth stream", &[], "", (201, "")),
        post("a fifth stream: the first makes way", &[], "", (201, "")),
    ];
    check(&server, rows).await;
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_allowed_sites_may_use_whip_and_whep_and_others_may_not() {
    let server = TestServer::start_with(|config| {
        config.allowed_origins = vec!["https://shop.example".into()];
    })
    .await;
    let preflight = |origin: &'static str| {
        let server = &server;
        async move {
            let headers = [
                ("origin", origin),
                ("access-control-request-method", "PATCH"),
                (
                    "access-control-request-headers",
                    "authorization,content-type,if-match",
                ),
            ];
            request(server, "OPTIONS", "/whip/demo/x", &headers, "").await
        }
    };
    let allowed = preflight("https://shop.example").await;
    assert_eq!(allowed.status, 200);
    assert_eq!(
        allowed.headers["access-control-allow-origin"],
        "https://shop.example"
    );
    let methods = allowed.headers["access-control-allow-methods"]
        .to_str()
        .unwrap();
    assert!(
        ["GET", "POST", "PATCH", "DELETE"]
            .iter()
            .all(|it| methods.contains(it))
    );
    let names = allowed.headers["access-control-allow-headers"]
        .to_str()
        .unwrap();
    assert!(
        ["authorization", "content-type", "if-match"]
            .iter()
            .all(|it| names.contains(it))
    );
    let refused = preflight("https://evil.example").await;
    assert!(!refused.headers.contains_key("access-control-allow-origin"));

    let headers = [SDP, ("origin", "https://shop.example")];
    let offer = watching(&captured("firefox-default"));
    let reply = request(&server, "POST", "/whep/demo", &headers, offer).await;
    assert_eq!(reply.status, 201);
    let exposed = reply.headers["access-control-expose-headers"]
        .to_str()
        .unwrap();
    for name in ["location", "etag", "link", "retry-after", "accept-patch"] {
        assert!(exposed.contains(name), "{name}: {exposed}");
    }
    let options = request(&server, "OPTIONS", "/whep/demo", &[], "").await;
    assert_eq!(options.headers["accept-post"], "application/sdp");
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_full_or_stops_says_when_to_come_back() {
    let server = TestServer::start_with(|config| {
        config.max_http_sessions = 2;
        config.drain_ms = 2_000;
    })
    .await;
    let offer = watching(&captured("firefox-default"));
    let (first, _) = session(&server, "/whep/demo", &[SDP], &offer).await;
    session(&server, "/whep/demo", &[SDP], &offer).await;
    let whep = ("POST", "/whep/demo");
    let full = || row("one too many", whep, &[SDP], offer.as_str(), (503, "busy"));
    check(&server, vec![full()]).await;
    let ended = request(&server, "DELETE", &first, &[], "").await;
    assert_eq!(ended.status, 200);
    session(&server, "/whep/demo", &[SDP], &offer).await;
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_goes_from_whip_to_whep_and_to_the_page_and_ends_when_it_is_deleted() {
    let server = TestServer::start().await;
    let early = Viewer::by_whep(&server, "/whep/demo").await;
    let (mut page, _) = server.join("Bob", "demo").await;
    let watching = Viewer::watch(&mut page).await;
    let mut events = Events::open(&server, &early.location, ALL_BUT_LAYERS).await;
    assert_eq!(
        events.next().await,
        ("viewercount".into(), r#"{"viewercount":2}"#.into())
    );

    let publisher = Publisher::by_whip(&server, "/whip/demo", "demo-key").await;
    early.viewer.sees(30).await;
    watching.sees(30).await;
    assert_eq!(events.next().await, ("active".into(), "{}".into()));
    let late = Viewer::by_whep(&server, "/whep/demo").await;
    late.viewer.sees(10).await;
    assert_eq!(
        events.next().await,
        ("viewercount".into(), r#"{"viewercount":3}"#.into())
    );

    // A player that has none of the publisher's codecs is told so in words, not shown black.
    let h264 = self::watching(&captured("chromium-only-h264"));
    let rows = vec![row(
        "another codec",
        ("POST", "/whep/demo"),
        &[SDP],
        h264,
        (422, "codec_mismatch"),
    )];
    check(&server, rows).await;

    assert_eq!(
        request(&server, "DELETE", &late.location, &[], "")
            .await
            .status,
        200
    );
    assert_eq!(
        events.next().await,
        ("viewercount".into(), r#"{"viewercount":2}"#.into())
    );
    let ended = request(&server, "DELETE", &publisher.location, &[KEY], "").await;
    assert_eq!(ended.status, 200);
    assert_eq!(events.next().await, ("inactive".into(), "{}".into()));
    page.wait(|m| m["t"] == "room.status" && m["d"]["status"] == "ready")
        .await;

    assert_eq!(
        request(&server, "DELETE", &early.location, &[], "")
            .await
            .status,
        200
    );
    assert_eq!(events.end().await, "");
    for end in [early.viewer, late.viewer, watching] {
        end.end().await;
    }
    publisher.publisher.end().await;
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_encoder_takes_its_own_place_and_viewers_stay() {
    let server = TestServer::start().await;
    let viewer = Viewer::by_whep(&server, "/whep/demo").await;
    let first = Publisher::by_whip(&server, "/whip/demo", "demo-key").await;
    viewer.viewer.sees(20).await;
    let second = Publisher::by_whip(&server, "/whip/demo", "demo-key").await;
    viewer.viewer.sees(60).await;
    let gone = request(&server, "GET", &first.location, &[KEY], "").await;
    assert_eq!(gone.status, 404, "the first session is over");
    let here = request(&server, "GET", &second.location, &[KEY], "").await;
    assert_eq!(here.status, 204);
    first.publisher.end().await;
    second.publisher.end().await;
    viewer.viewer.end().await;
    server.server.stop().await;
}

/// Rates of layers change at any time.
const ALL_BUT_LAYERS: &str = r#"["active","inactive","viewercount"]"#;

/// A reader of server-sent events.
struct Events {
    body: hyper::body::Incoming,
    text: String,
}

impl Events {
    async fn open(server: &TestServer, session: &str, wanted: &'static str) -> Self {
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
    async fn next(&mut self) -> (String, String) {
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
    async fn end(mut self) -> String {
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
