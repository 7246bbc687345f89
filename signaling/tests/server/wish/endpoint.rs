//! Where sessions are made: who may, what is taken, and what the answer says.

use serde_json::json;

use super::{FRAGMENT, KEY, SDP, captured, check, request, row, watching};
use crate::harness::TestServer;

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
            "no codec of ours for the picture",
            &offer.replace("/90000", "/1"),
            (422, "no_common_codec"),
        ),
        body(
            "no codec of ours for the sound",
            &offer.replace("opus/48000/2", "x/8000"),
            (422, "no_common_codec"),
        ),
        body(
            "two pictures",
            &captured("chromium-many"),
            (422, "sdp_unusable"),
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
        key("somebody else while one publishes", ann, (201, "")),
    ];
    assert!(check(&server, rows).await >= 42);
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_says_where_the_session_is_and_which_servers_help() {
    let server = TestServer::start_with(|config| {
        config.ice.stun_urls = vec!["stun:s.example".into()];
        config.ice.turn_urls = vec!["turn:t.example:3478?transport=udp".into()];
        config.ice.turn_secret = Some(klieg_signaling::Secret::new("a secret of some length"));
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
async fn who_may_come_learns_the_ice_servers_before_there_is_an_offer() {
    let server = TestServer::start_with(|config| {
        config.ice.turn_urls = vec!["turn:t.example:3478?transport=tcp".into()];
        config.ice.turn_secret = Some(klieg_signaling::Secret::new("a secret of some length"));
    })
    .await;
    let ann = server.token("Ann").await;
    let room = json!({ "title": "Ours", "visibility": "private" });
    let private = format!("/whep/{}", server.room(&ann, room).await);
    let ann = format!("Bearer {ann}");
    let ann = ("authorization", ann.as_str());
    let wrong = ("authorization", "Bearer wrong-key");
    let preflight = ("access-control-request-method", "POST");
    let rows: [(&str, &[_], u16, usize); 8] = [
        ("/whip/demo", &[KEY], 200, 1),
        ("/whip/demo", &[wrong], 401, 0),
        ("/whip/demo", &[], 200, 0),
        ("/whep/demo", &[], 200, 1),
        ("/whep/demo", &[preflight], 200, 0),
        ("/whep/demo", &[wrong], 401, 0),
        (&private, &[], 200, 0),
        (&private, &[ann], 200, 1),
    ];
    for (path, headers, status, links) in rows {
        let reply = request(&server, "OPTIONS", path, headers, "").await;
        assert_eq!(reply.status, status, "{path} {headers:?}");
        let told: Vec<_> = reply.headers.get_all("link").iter().collect();
        assert_eq!(told.len(), links, "{path} {headers:?}");
        for link in told {
            let link = link.to_str().unwrap();
            let turn = r#"<turn:t.example:3478?transport=tcp>; rel="ice-server"; username=""#;
            assert!(link.starts_with(turn), "{link}");
        }
    }
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
        row(
            "no codec of ours for the picture",
            whep,
            &[SDP],
            offer.replace("/90000", "/1"),
            (422, "no_common_codec"),
        ),
        row(
            "two pictures",
            whep,
            &[SDP],
            watching(&captured("chromium-many")),
            (422, "sdp_unusable"),
        ),
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
    let links: Vec<_> = reply.headers.get_all("link").iter().collect();
    let layers = format!("<{location}/layer>; rel=\"urn:ietf:params:whep:ext:core:layer\"");
    assert_eq!(links, [&link, &layers]);
    let answer = reply.body.as_str().unwrap();
    for line in [
        "a=sendonly",
        "a=msid:klieg video",
        "a=ssrc-group:FID 1802240002 1802240003",
    ] {
        assert!(answer.lines().any(|it| it == line), "{line}\n{answer}");
    }
    server.server.stop().await;
}
