//! The messages as they stand on the wire. A change here is a change for every client.

use serde_json::{Value, json};

use crate::harness::{TestServer, masked, offer};

#[tokio::test]
async fn a_viewers_conversation_is_as_documented() {
    let server = TestServer::start().await;
    let token = server.token("Cy").await;
    let mut client = server.socket().await;
    let mut lines = Vec::new();
    for (t, d) in [
        ("ping", json!({})),
        ("auth", json!({ "token": token })),
        ("join", json!({ "roomId": "demo" })),
        ("stats", json!({})),
        ("chat.send", json!({ "text": " hello\n" })),
        ("reaction.send", json!({ "emoji": "❤" })),
        ("rtc.subscribe", json!({ "layer": "auto" })),
    ] {
        lines.push(client.request(t, d).await);
    }
    for t in [
        "joined",
        "chat.message",
        "reaction.batch",
        "rtc.offer",
        "stats",
    ] {
        lines.push(client.expect(t).await);
    }
    let session = lines[6]["d"]["sessionId"].clone();
    let candidate = "candidate:1 1 udp 2130706431 127.0.0.1 50000 typ host";
    for (t, d) in [
        ("rtc.subscribe", json!({ "layer": "full" })),
        (
            "rtc.candidate",
            json!({ "sessionId": session, "candidate": candidate }),
        ),
        ("rtc.keyframe", json!({ "sessionId": session })),
        (
            "rtc.report",
            json!({ "sessionId": session, "framesDecoded": 30, "stalls": 0, "stalledMs": 0, "latencyMs": 250 }),
        ),
        ("rtc.trouble", json!({ "reason": "blocked" })),
        ("rtc.restart", json!({ "sessionId": session })),
        ("rtc.close", json!({ "sessionId": session })),
        ("leave", json!({})),
    ] {
        lines.push(client.request(t, d).await);
    }
    lines.push(client.expect("rtc.offer").await);
    insta::assert_json_snapshot!(masked(Value::Array(lines)));
    server.server.stop().await;
}

#[tokio::test]
async fn a_publishers_conversation_is_as_documented() {
    let server = TestServer::start().await;
    let (mut client, _) = server.join("Ann", "demo").await;
    let mut lines = vec![client.request("rtc.offer", json!({ "sdp": offer() })).await];
    lines.push(client.expect("rtc.answer").await);
    let session = lines[0]["d"]["sessionId"].clone();
    for (t, d) in [
        ("rtc.mute", json!({ "kind": "audio", "muted": true })),
        ("rtc.offer", json!({ "sessionId": session, "sdp": offer() })),
        ("rtc.close", json!({ "sessionId": session })),
    ] {
        lines.push(client.request(t, d).await);
    }
    lines.push(client.expect("rtc.answer").await);
    insta::assert_json_snapshot!(masked(Value::Array(lines)));
    server.server.stop().await;
}

#[tokio::test]
async fn every_refusal_is_as_documented() {
    let server = TestServer::start().await;
    let mut lines: Vec<Value> = Vec::new();
    let mut client = server.socket().await;
    lines.push(client.request("join", json!({ "roomId": "demo" })).await);
    lines.push(client.request("auth", json!({ "token": "x.y.z" })).await);
    lines.push(client.request("auth", json!({ "token": expired() })).await);
    client
        .ok("auth", json!({ "token": server.token("Cy").await }))
        .await;
    lines.push(
        client
            .request("chat.send", json!({ "text": "hello" }))
            .await,
    );
    lines.push(client.request("join", json!({ "roomId": "nowhere" })).await);
    client.ok("join", json!({ "roomId": "demo" })).await;
    for (t, d) in [
        ("join", json!({ "roomId": "demo" })),
        ("sing", json!({})),
        ("chat.send", json!({})),
        ("chat.send", json!({ "text": " \n " })),
        ("chat.send", json!({ "text": "x".repeat(501) })),
        ("reaction.send", json!({ "emoji": "💩" })),
        ("rtc.offer", json!({ "sdp": "v=1" })),
        (
            "rtc.offer",
            json!({ "sdp": offer().replace("opus", "speex").replace("VP8", "VP7") }),
        ),
        ("rtc.answer", json!({ "sessionId": "none", "sdp": "" })),
        ("rtc.mute", json!({ "kind": "video", "muted": true })),
    ] {
        lines.push(client.request(t, d).await);
    }
    for text in ["{", "[]", r#"{"t":"ping","id":""}"#] {
        client.send_text(text).await;
        lines.push(client.expect("error").await);
    }
    insta::assert_json_snapshot!(masked(Value::Array(lines)));
    server.server.stop().await;
}

#[tokio::test]
async fn who_waits_to_publish_makes_way_for_the_next_and_has_the_place_when_the_first_goes() {
    let server = TestServer::start().await;
    let (mut ann, _) = server.join("Ann", "demo").await;
    let (mut bob, _) = server.join("Bob", "demo").await;
    let first = ann.ok("rtc.offer", json!({ "sdp": offer() })).await;
    let waits = bob.ok("rtc.offer", json!({ "sdp": offer() })).await;

    // Ann's page was loaded again; its old socket hangs.
    let (mut again, _) = server.join("Ann", "demo").await;
    again.ok("rtc.offer", json!({ "sdp": offer() })).await;
    let state = bob.expect("rtc.state").await;
    insta::assert_json_snapshot!(masked(state.clone()));
    assert_eq!(state["d"]["sessionId"], waits["sessionId"]);
    let old = json!({ "sessionId": waits["sessionId"] });
    assert_eq!(bob.refused("rtc.close", old).await, "not_found");

    // Nothing was shown yet, so that nothing ends; the place is free for the next each time.
    let own = json!({ "sessionId": first["sessionId"] });
    ann.ok("rtc.close", own).await;
    again.ok("leave", json!({})).await;
    bob.ok("rtc.offer", json!({ "sdp": offer() })).await;
    server.server.stop().await;
}

#[tokio::test]
async fn clients_are_told_when_the_server_stops() {
    let server = TestServer::start_with(|config| config.drain_ms = 1000).await;
    let (mut client, _) = server.join("Cy", "demo").await;
    let stop = tokio::spawn(server.server.stop());
    insta::assert_json_snapshot!(masked(client.expect("server.draining").await));
    assert_eq!(client.closed().await, Some(1001));
    stop.await.unwrap();
}

/// A token of the API key that ended long ago.
fn expired() -> String {
    let key = ("devkey", &klieg_signaling::Secret::new("devsecret"));
    let claims = serde_json::json!({ "iss": "devkey", "sub": "old", "exp": 1 });
    let secret = jsonwebtoken::EncodingKey::from_secret(key.1.expose().as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &secret).unwrap()
}
