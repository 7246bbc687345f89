//! Media that comes and goes by HTTP alone.

use super::events::{ALL_BUT_LAYERS, Events};
use super::{KEY, SDP, captured, check, request, row};
use crate::harness::TestServer;
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
