//! Media that comes and goes by HTTP alone.

use serde_json::{Value, json};

use super::events::{ALL_BUT_LAYERS, Events};
use super::{KEY, SDP, captured, check, request, row};
use crate::accounts::{until, user};
use crate::harness::{Client, TestServer};
use crate::peer::{Publisher, Viewer};

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
    let h264 = super::watching(&captured("chromium-only-h264"));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encoder_that_a_new_key_stops_interrupts_the_event_and_the_host_goes_on_with_the_key() {
    let server = TestServer::start().await;
    let ann = server.token("Ann").await;
    let body = json!({ "title": "R", "reusable": false });
    let room = server.post("/api/v1/rooms", Some(&ann), body).await.body;
    let id = room["id"].as_str().unwrap();
    let (path, first) = (format!("/whip/{id}"), &room["ingest"]["streamKey"]);
    let rotate = async |body: Value| {
        let path = format!("/api/v1/rooms/{id}/ingest/rotate");
        let reply = server.post(&path, Some(&ann), body).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body["streamKey"].as_str().unwrap().to_owned()
    };
    let (mut page, _) = server.join("Bob", id).await;
    let encoder = Publisher::by_whip(&server, &path, first.as_str().unwrap()).await;
    status(&mut page, "live").await;

    // It goes on by a key that is older than the one before this.
    rotate(json!({})).await;
    let key = rotate(json!({ "stopEncoder": true })).await;
    status(&mut page, "interrupted").await;
    let again = Publisher::by_whip(&server, &path, &key).await;
    status(&mut page, "live").await;
    for end in [encoder, again] {
        end.publisher.end().await;
    }
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_host_no_more_is_off_the_air_and_their_key_opens_nothing() {
    for server in TestServer::on_each(|_| ()).await {
        for taken in [&["role", "Ann", "viewer"][..], &["delete", "Ann"]] {
            let (done, text) = user(&server, &["add", "Ann"], "correct horse\n");
            assert!(done, "{text}");
            let body = json!({ "username": "Ann", "password": "correct horse" });
            let ann = server.post("/api/v1/auth/login", None, body.clone()).await;
            let ann = ann.body["accessToken"].as_str().unwrap().to_owned();
            let new = json!({ "title": "R", "visibility": "private", "reusable": true });
            let room = server.post("/api/v1/rooms", Some(&ann), new).await.body;
            let (id, key) = (room["id"].as_str().unwrap(), &room["ingest"]["streamKey"]);
            let key = key.as_str().unwrap();
            let path = format!("/whip/{id}");
            let encoder = Publisher::by_whip(&server, &path, key).await;
            let mut page = server.socket().await;
            page.ok("auth", json!({ "token": ann })).await;

            let (done, text) = user(&server, taken, "");
            assert!(done, "{text}");
            // Their own sign-in ends within the second, so the session tells it.
            let gone = async || {
                let header = format!("Bearer {key}");
                let headers = [("authorization", header.as_str())];
                let shown = request(&server, "GET", &encoder.location, &headers, "").await;
                shown.status == 404
            };
            until(gone, "the encoder is on air").await;
            let bearer = format!("Bearer {key}");
            let headers = [("authorization", bearer.as_str()), SDP];
            let refused = request(&server, "POST", &path, &headers, crate::harness::offer());
            assert_eq!(refused.await.status, 401);

            // A viewer still sees the room that was theirs, and no more than that.
            let again = server.post("/api/v1/auth/login", None, body).await;
            assert_eq!(again.status == 200, taken[0] == "role");
            if let Some(token) = again.body["accessToken"].as_str() {
                let path = format!("/api/v1/rooms/{id}");
                let shown = server.get(&path, Some(token)).await;
                assert_eq!(shown.body["status"], "ready", "{}", shown.body);
                for path in [format!("{path}/start"), format!("{path}/ingest/rotate")] {
                    let refused = server.post(&path, Some(token), json!({})).await;
                    assert_eq!(refused.status, 403, "{path}: {}", refused.body);
                }
                let (done, text) = user(&server, &["delete", "Ann"], "");
                assert!(done, "{text}");
            }
            encoder.publisher.end().await;
        }
        server.server.stop().await;
    }
}

async fn status(client: &mut Client, status: &str) {
    client
        .wait(|m| m["t"] == "room.status" && m["d"]["status"] == status)
        .await;
}
