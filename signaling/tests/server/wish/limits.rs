//! What is too much, or comes too late.

use super::{SDP, captured, check, request, row, session, watching};
use crate::harness::TestServer;

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
