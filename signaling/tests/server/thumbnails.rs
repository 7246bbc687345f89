//! The picture of a room in lists: who gives it, who is shown it, and what a room on air shows.

use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::harness::{self, Reply, TestServer};
use crate::peer::Publisher;

/// The header of a PNG of 640 by 360.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\x68";

/// Gives a room a picture, as its owner.
pub(crate) async fn give(server: &TestServer, room: &str, token: &str) {
    let reply = send(server, (room, ""), Some(token), PNG).await;
    assert_eq!(reply.status, 204, "{}", reply.body);
}

async fn send(
    server: &TestServer,
    (room, query): (&str, &str),
    token: Option<&str>,
    picture: &[u8],
) -> Reply {
    let mut request = hyper::Request::post(format!("{}{query}", path(room)))
        .header("host", server.http().to_string())
        .header("content-type", "image/jpeg");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = Full::new(Bytes::copy_from_slice(picture));
    harness::send(server.http(), request.body(body).unwrap()).await
}

fn path(room: &str) -> String {
    format!("/api/v1/rooms/{room}/thumbnail")
}

fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    let value = reply.headers.get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_room_shows_the_picture_that_its_owner_gave_it() {
    for server in TestServer::on_each(|_| ()).await {
        let token = server.token("Host").await;
        let room = server.room(&token, json!({ "title": "R" })).await;
        let missing = server.get(&path(&room), None).await;
        assert_eq!((missing.status, missing.bytes.len()), (204, 0));
        assert_eq!(header(&missing, "cache-control"), "no-store");
        give(&server, &room, &token).await;
        let shown = server.get(&format!("{}?v=7", path(&room)), None).await;
        assert_eq!((shown.status, &*shown.bytes), (200, PNG));
        // By its bytes, whatever the sender called it.
        assert_eq!(header(&shown, "content-type"), "image/png");
        assert_eq!(header(&shown, "x-content-type-options"), "nosniff");
        assert_eq!(header(&shown, "cache-control"), "public, max-age=5");
        assert!(header(&shown, "content-security-policy").contains("default-src 'self'"));
        let tag = header(&shown, "etag");
        for known in [tag.to_owned(), format!("\"other\", W/{tag}")] {
            let known = [("if-none-match", known.as_str())];
            let path = path(&room);
            let same = server.ask(("GET", &path), None, &known, None).await;
            assert_eq!((same.status, same.bytes.len()), (304, 0));
            assert_eq!(header(&same, "etag"), tag);
        }
        let listed = server.get("/api/v1/rooms?q=R", None).await.body;
        let address = listed["items"][0]["thumbnailUrl"].as_str().unwrap();
        assert!(address.starts_with(&format!("{}?v=", path(&room))));
        assert_eq!(server.get(address, None).await.status, 200);
        assert_eq!(
            server.get(&format!("{address}&x=1"), None).await.status,
            400
        );
        server.server.stop().await;
    }
}

#[tokio::test]
async fn the_picture_of_a_room_is_there_after_a_restart_and_goes_with_the_room() {
    let server = TestServer::start().await;
    let token = server.token("Host").await;
    let room = server.room(&token, json!({ "title": "R" })).await;
    give(&server, &room, &token).await;
    let server = server.restart().await;
    let shown = server.get(&path(&room), None).await;
    assert_eq!((shown.status, &*shown.bytes), (200, PNG));
    let token = server.token("Host").await;
    for act in ["start", "end"] {
        let act = format!("/api/v1/rooms/{room}/{act}");
        let done = server.post(&act, Some(&token), json!({})).await;
        assert_eq!(done.status, 200, "{}", done.body);
    }
    assert_eq!(server.get(&path(&room), None).await.status, 200, "over");
    let room_path = format!("/api/v1/rooms/{room}");
    let removed = server
        .ask(("DELETE", &room_path), Some(&token), &[], None)
        .await;
    assert_eq!(removed.status, 204);
    assert_eq!(server.get(&path(&room), None).await.status, 404);
    server.server.stop().await;
}

#[tokio::test]
async fn what_is_no_small_picture_of_the_owners_is_refused() {
    let server = TestServer::start().await;
    let token = server.token("Host").await;
    let other = server.token("Other").await;
    let room = server.room(&token, json!({ "title": "R" })).await;
    let mut wide = PNG.to_vec();
    wide[18] = 5;
    wide[19] = 1;
    let long = [PNG, &[0; 256 * 1024]].concat();
    let (own, theirs) = (Some(token.as_str()), Some(other.as_str()));
    for (token, query, picture, status, code) in [
        (None, "", PNG, 401, "unauthenticated"),
        (theirs, "", PNG, 403, "forbidden"),
        (own, "", b"".as_slice(), 415, "unsupported_media_type"),
        (own, "", b"<svg/>", 415, "unsupported_media_type"),
        (own, "", &wide, 422, "invalid_value"),
        (own, "", &long, 413, "too_large"),
        (own, "?live=true", PNG, 409, "room_state"),
        (own, "?live=maybe", PNG, 400, "bad_message"),
        (own, "", PNG, 204, ""),
        (own, "", PNG, 429, "rate_limited"),
    ] {
        let reply = send(&server, (&room, query), token, picture).await;
        let said = reply.body["code"].as_str().unwrap_or_default();
        assert_eq!(
            (reply.status, said),
            (status, code),
            "{query} {picture:.20?}"
        );
    }
    server.server.stop().await;
}

#[tokio::test]
async fn the_picture_of_a_private_room_is_for_those_who_may_watch_it() {
    let server = TestServer::start().await;
    let token = server.token("Host").await;
    let other = server.token("Other").await;
    let hidden = json!({ "title": "R", "visibility": "private" });
    let room = server.room(&token, hidden).await;
    give(&server, &room, &token).await;
    let missing = server.get(&path("missing"), None).await;
    for nobody in [None, Some(other.as_str())] {
        let reply = server.get(&path(&room), nobody).await;
        assert_eq!((reply.status, &reply.body), (404, &missing.body));
    }
    let shown = server.get(&path(&room), Some(&token)).await;
    assert_eq!((shown.status, &*shown.bytes), (200, PNG));
    assert_eq!(header(&shown, "cache-control"), "private, no-cache");
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_on_air_shows_its_last_keyframe_to_those_who_may_watch_it() {
    let server = TestServer::start_with(|config| config.media_shards = 2).await;
    let token = server.token("Ann").await;
    let hidden = json!({ "title": "R", "visibility": "private" });
    let room = server.room(&token, hidden).await;
    let (mut ann, _) = server.join("Ann", &room).await;
    let live = |m: &Value| m["t"] == "room.status" && m["d"]["status"] == "live";
    let publisher = Publisher::go_live(&mut ann).await;
    ann.wait(live).await;
    let shown = server.get(&path(&room), Some(&token)).await;
    assert_eq!(shown.status, 200, "{}", shown.body);
    assert_eq!(header(&shown, "content-type"), "image/webp");
    assert_eq!(header(&shown, "cache-control"), "private, no-cache");
    assert_eq!(shown.bytes[..4], *b"RIFF");
    assert_eq!(shown.bytes[8..16], *b"WEBPVP8 ");
    let len = u32::from_le_bytes(shown.bytes[16..20].try_into().unwrap());
    assert_eq!(shown.bytes.len(), 20 + len.next_multiple_of(2) as usize);
    // RFC 6386, section 9.1: 320 by 180.
    assert_eq!(
        shown.bytes[20..30],
        [0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 1, 180, 0]
    );
    assert_eq!(server.get(&path(&room), None).await.status, 404);
    let shown = server
        .get(&format!("/api/v1/rooms/{room}"), Some(&token))
        .await;
    assert_eq!(shown.body["thumbnailUrl"], json!(path(&room)));

    // What a host posts is for codings of which the server makes no picture.
    let posted = send(&server, (&room, "?live=true"), Some(&token), PNG).await;
    assert_eq!(posted.status, 204, "{}", posted.body);
    let shown = server.get(&path(&room), Some(&token)).await;
    assert_eq!(header(&shown, "content-type"), "image/webp");
    ann.ok("rtc.close", json!({ "sessionId": publisher.session }))
        .await;
    publisher.end().await;
    ann.wait(|m| m["t"] == "room.status" && m["d"]["status"] == "ended")
        .await;
    // Who had its address a moment ago did nothing wrong.
    assert_eq!(server.get(&path(&room), Some(&token)).await.status, 204);
    server.server.stop().await;
}
