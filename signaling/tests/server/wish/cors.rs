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

#[tokio::test]
async fn pages_of_allowed_sites_may_use_the_api() {
    let server = TestServer::start_with(|config| {
        config.allowed_origins = vec!["https://shop.example".into()];
    })
    .await;
    let origin = ("origin", "https://shop.example");
    for (path, method) in [
        ("/api/v1/rooms", "POST"),
        ("/api/v1/rooms/demo", "PATCH"),
        ("/api/v1/rooms/demo/roles", "PUT"),
        ("/api/v1/rooms/demo/products/1", "DELETE"),
        ("/api/v1/hooks/orders", "POST"),
    ] {
        let headers = [
            origin,
            ("access-control-request-method", method),
            (
                "access-control-request-headers",
                "authorization,content-type,if-match,idempotency-key,x-request-id",
            ),
        ];
        let allowed = request(&server, "OPTIONS", path, &headers, "").await;
        assert_eq!(allowed.status, 200, "{path}");
        let said = |name: &str| allowed.headers[name].to_str().unwrap().to_lowercase();
        assert_eq!(said("access-control-allow-origin"), "https://shop.example");
        assert!(said("access-control-allow-methods").contains(&method.to_lowercase()));
        let names = said("access-control-allow-headers");
        for name in [
            "authorization",
            "if-match",
            "idempotency-key",
            "x-request-id",
        ] {
            assert!(names.contains(name), "{name}: {names}");
        }
    }
    let shown = request(&server, "GET", "/api/v1/rooms/demo", &[origin], "").await;
    let exposed = shown.headers["access-control-expose-headers"]
        .to_str()
        .unwrap();
    for name in ["etag", "retry-after", "x-request-id"] {
        assert!(exposed.contains(name), "{name}");
    }
    // A page must be able to read what is refused, too.
    let unknown = request(&server, "PUT", "/api/v1/rooms", &[origin], "").await;
    assert_eq!(unknown.status, 405);
    assert!(unknown.headers.contains_key("access-control-allow-origin"));
    server.server.stop().await;
}
