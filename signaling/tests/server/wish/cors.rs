//! Which pages may use it.

use super::{SDP, captured, request, watching};
use crate::harness::TestServer;

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
