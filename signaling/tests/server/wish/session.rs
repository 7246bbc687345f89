//! A session's own address: candidates, ICE restarts, the end.

use serde_json::json;

use super::{FRAGMENT, KEY, SDP, captured, check, request, row, session, watching};
use crate::harness::{PATIENCE, TestServer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_end_with_the_sign_in_that_made_them_and_with_a_ban() {
    let server = TestServer::start().await;
    let ann = server.token("Ann").await;
    let room = server.room(&ann, json!({ "title": "R" })).await;
    let [whip, whep] = ["whip", "whep"].map(|protocol| format!("/{protocol}/{room}"));
    let offer = captured("firefox-default");
    let watching = watching(&offer);
    let role = json!({ "identity": id(&server, "Bob").await, "role": "cohost" });
    let roles = format!("/api/v1/rooms/{room}/roles");
    let given = server
        .ask(("PUT", &roles), Some(&ann), &[], Some(role))
        .await;
    assert!(given.status < 300, "{}", given.body);
    let join = format!("/api/v1/rooms/{room}/join");

    // Bob publishes with the token of his sign-in, and watches with one that came of it.
    let bob = server.token("Bob").await;
    let joined = server.post(&join, Some(&bob), json!({})).await.body;
    let joined = joined["token"].as_str().unwrap().to_owned();
    let [with_bob, with_joined] = [&bob, &joined].map(|token| format!("Bearer {token}"));
    let publishes = [("authorization", with_bob.as_str()), SDP];
    let watches = [("authorization", with_joined.as_str()), SDP];
    let (publishing, _) = session(&server, &whip, &publishes, &offer).await;
    let (viewing, _) = session(&server, &whep, &watches, &watching).await;
    // Cy's and a guest's go on.
    let cy = format!("Bearer {}", server.token("Cy").await);
    let cys = [("authorization", cy.as_str()), SDP];
    let (other, _) = session(&server, &whep, &cys, &watching).await;
    let (guests, _) = session(&server, &whep, &[SDP], &watching).await;

    let everywhere = json!({ "everywhere": true });
    let out = server
        .post("/api/v1/auth/logout", Some(&bob), everywhere)
        .await;
    assert_eq!(out.status, 204, "{}", out.body);
    gone(&server, &publishing, &publishes).await;
    gone(&server, &viewing, &watches).await;
    for (path, headers) in [(&other, &cys[..]), (&guests, &[])] {
        assert_eq!(request(&server, "GET", path, headers, "").await.status, 204);
    }

    let ban = json!({ "identity": id(&server, "Cy").await });
    let bans = format!("/api/v1/rooms/{room}/bans");
    let banned = server.post(&bans, Some(&ann), ban).await;
    assert!(banned.status < 300, "{}", banned.body);
    gone(&server, &other, &cys).await;
    assert_eq!(request(&server, "GET", &guests, &[], "").await.status, 204);
    server.server.stop().await;
}

/// Returns the identity of somebody of this name.
async fn id(server: &TestServer, name: &str) -> String {
    let token = server.token(name).await;
    let me = server.get("/api/v1/me", Some(&token)).await.body;
    me["id"].as_str().unwrap().to_owned()
}

/// Waits until a session is no more.
async fn gone(server: &TestServer, path: &str, headers: &[(&str, &str)]) {
    let wait = async {
        while request(server, "GET", path, headers, "").await.status != 404 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{path}");
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

/// What a peer says when it restarts ICE, and after that.
const RESTART: &str = "a=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:ysXw\r\n\
    a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n\
    a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host\r\n";
const TRICKLE: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
    a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\n\
    a=candidate:2 1 udp 2122260222 3f0e9a34-7f5d-4f0c-8c8f-cf3fd1d5ef17.local 40123 typ host\r\n\
    a=end-of-candidates\r\n";
