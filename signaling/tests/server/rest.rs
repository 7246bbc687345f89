//! REST: the answers, their errors and who gets them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{TestServer, call, masked, send};
use crate::wish::{check, row};

#[tokio::test]
async fn the_answers_are_as_documented() {
    let server = TestServer::start().await;
    let mut answers = Vec::new();
    answers.push(server.get("/api/v1/config", None).await.body);
    let login = json!({ "username": " Ann " });
    let login = server.post("/api/v1/auth/login", None, login).await.body;
    let token = login["accessToken"].as_str().unwrap().to_owned();
    answers.push(login);
    answers.push(server.get("/api/v1/me", Some(&token)).await.body);
    let room = json!({ "title": "Mine", "visibility": "unlisted", "allowGuestChat": true });
    let room = server.post("/api/v1/rooms", Some(&token), room).await.body;
    let id = room["id"].as_str().unwrap().to_owned();
    answers.push(room);
    answers.push(server.get("/api/v1/rooms", None).await.body);
    answers.push(server.get(&format!("/api/v1/rooms/{id}"), None).await.body);
    let path = format!("/api/v1/rooms/{id}/join");
    answers.push(
        server
            .post(&path, None, json!({ "name": "Gus" }))
            .await
            .body,
    );
    answers.push(server.post(&path, Some(&token), json!({})).await.body);
    insta::assert_json_snapshot!(masked(Value::Array(answers)));
    server.server.stop().await;
}

#[tokio::test]
async fn every_error_is_a_problem_with_a_code() {
    let server = TestServer::start().await;
    let token = server.token("Ann").await;
    let http = server.http();
    let body = |text: &str| Some(text.to_owned());
    let mut problems = Vec::new();
    for (method, path, token, body) in [
        ("GET", "/api/v1/me", None, None),
        ("GET", "/api/v1/me", Some("x.y.z"), None),
        ("GET", "/api/v1/nothing", None, None),
        ("GET", "/api/v2/rooms", None, None),
        ("DELETE", "/api/v1/rooms", None, None),
        ("GET", "/api/v1/rooms/missing", None, None),
        ("GET", "/api/v1/rooms?limit=0", None, None),
        ("GET", "/api/v1/rooms?limit=x", None, None),
        ("GET", "/api/v1/rooms?cursor=x", None, None),
        ("POST", "/api/v1/rooms", None, body(r#"{"title":"x"}"#)),
        ("POST", "/api/v1/rooms", Some(token.as_str()), body("{")),
        ("POST", "/api/v1/rooms", Some(token.as_str()), body("{}")),
        (
            "POST",
            "/api/v1/rooms",
            Some(token.as_str()),
            body(r#"{"title":" "}"#),
        ),
        (
            "POST",
            "/api/v1/auth/login",
            None,
            body(r#"{"username":""}"#),
        ),
        ("POST", "/api/v1/rooms/missing/join", None, body("{}")),
    ] {
        let reply = call(http, method, path, token, body).await;
        assert_eq!(
            reply.headers["content-type"], "application/problem+json",
            "{path}"
        );
        assert_eq!(reply.body["status"], reply.status, "{path}");
        problems.push(json!([method, path, reply.body]));
    }
    insta::assert_json_snapshot!(Value::Array(problems));
    server.server.stop().await;
}

#[tokio::test]
async fn a_body_of_another_kind_is_refused_before_it_is_read() {
    let server = TestServer::start().await;
    let (path, refused) = ("/api/v1/auth/login", (415, "unsupported_media_type"));
    let body = r#"{"username":"Ann"}"#;
    let says = |kind, status| {
        row(
            kind,
            ("POST", path),
            &[("content-type", kind)],
            body,
            status,
        )
    };
    let rows = vec![
        row("of no kind", ("POST", path), &[], body, refused),
        says("text/plain", refused),
        says("application/x-www-form-urlencoded", refused),
        says("application/json; charset=utf-8", (200, "")),
    ];
    check(&server, rows).await;
    server.server.stop().await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "most of it is one table")]
async fn what_is_wrong_with_a_query_is_named() {
    let server = TestServer::start().await;
    let ann = server.token("Ann").await;
    let room = server.room(&ann, json!({ "title": "R" })).await;
    let rooms = "/api/v1/rooms".to_owned();
    let of_room = |rest: &str| format!("/api/v1/rooms/{room}{rest}");
    let number = "expected a whole number from 1 to 100.";
    for (method, path, said) in [
        (
            "GET",
            format!("{rooms}?limit=0"),
            format!("`limit`: {number}"),
        ),
        (
            "GET",
            format!("{rooms}?limit=x"),
            format!("`limit`: {number}"),
        ),
        (
            "GET",
            format!("{rooms}?limit=-1"),
            format!("`limit`: {number}"),
        ),
        (
            "GET",
            of_room("/viewers?limit=99999999999"),
            format!("`limit`: {number}"),
        ),
        (
            "GET",
            of_room("/chat?before=-1"),
            format!("`before`: expected a whole number from 0 to {}.", i64::MAX),
        ),
        (
            "GET",
            of_room(&format!("/chat?before={}", u64::MAX)),
            format!("`before`: expected a whole number from 0 to {}.", i64::MAX),
        ),
        (
            "GET",
            format!("{rooms}?sort=no"),
            "`sort`: expected one of ".into(),
        ),
        (
            "GET",
            format!("{rooms}?status=no"),
            "`status`: expected one of ".into(),
        ),
        (
            "GET",
            format!("{rooms}?owner="),
            "`owner`: expected ".into(),
        ),
        (
            "GET",
            format!("{rooms}?category=A"),
            "`category`: expected ".into(),
        ),
        (
            "GET",
            format!("{rooms}?cursor=%20"),
            "`cursor`: expected ".into(),
        ),
        (
            "GET",
            format!("{rooms}?limit=1&limt=2"),
            "`limt` is no parameter of this address.".into(),
        ),
        (
            "GET",
            of_room("?fields=title"),
            "`fields` is no parameter of this address.".into(),
        ),
        (
            "DELETE",
            of_room("/bans?identity=a&x"),
            "`x` is no parameter of this address.".into(),
        ),
        (
            "DELETE",
            of_room("/bans"),
            "The query has wrong or missing fields: missing field `identity`.".into(),
        ),
        (
            "POST",
            format!("{rooms}?start=maybe"),
            "`start`: expected true or false.".into(),
        ),
    ] {
        let body = (method == "POST").then(|| json!({ "title": "R" }));
        let reply = server.ask((method, &path), Some(&ann), &[], body).await;
        let detail = reply.body["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with(&said), "{path}: {}", reply.body);
        assert_eq!(
            (reply.status, &reply.body["code"]),
            (400, &json!("bad_message"))
        );
    }
    server.server.stop().await;
}

#[tokio::test]
async fn a_list_is_no_object_anywhere_in_a_body() {
    let server = TestServer::start().await;
    let ann = server.token("Ann").await;
    let rooms = "/api/v1/rooms";
    let room = server.room(&ann, json!({ "title": "R" })).await;
    for (body, said) in [
        (
            json!({ "title": "R", "documents": [["d", "https://docs.example/"]] }),
            "`documents[0]`: expected an object.",
        ),
        (
            json!({ "title": "R", "externalLink": ["d", "https://docs.example/"] }),
            "`externalLink`: expected an object.",
        ),
        (json!(["R"]), "The body: expected an object."),
    ] {
        let reply = server.post(rooms, Some(&ann), body).await;
        assert_eq!((reply.status, &reply.body["detail"]), (400, &json!(said)));
    }
    let patch = json!({ "documents": [["d", "https://docs.example/"]] });
    let path = format!("{rooms}/{room}");
    let reply = server.ask(("PATCH", &path), Some(&ann), &[], Some(patch));
    assert_eq!(reply.await.status, 400);
    server.server.stop().await;
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_address() {
    let server = TestServer::start().await;
    let room = "/api/v1/rooms/demo";
    for path in [
        room,
        "/api/v1/rooms/missing",
        "/api/v1/nowhere",
        "/",
        "/nowhere",
    ] {
        server.get(path, None).await;
    }
    server.ask(("BREW", room), None, &[], None).await;
    let metrics = server.get("/metrics", None).await.body;
    let metrics = metrics.as_str().unwrap();
    for (method, route, status, count) in [
        ("GET", "/api/v1/rooms/{id}", 200, "1\n"),
        ("GET", "/api/v1/rooms/{id}", 404, "1\n"),
        ("GET", "other", 404, ""),
        ("other", "/api/v1/rooms/{id}", 405, "1\n"),
    ] {
        let line = format!(
            "klieg_http_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}} {count}"
        );
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    let took = "klieg_http_request_seconds_count{method=\"GET\",route=\"/api/v1/rooms/{id}\"} 2\n";
    assert!(metrics.contains(took), "{metrics}");
    assert!(!metrics.contains("rooms/missing") && !metrics.contains("/nowhere"));
    server.server.stop().await;
}

#[tokio::test]
async fn rooms_are_listed_page_by_page_and_only_to_whom_they_are_open() {
    let server = TestServer::start().await;
    let ann = server.token("Ann").await;
    for (title, visibility) in [
        ("One", "public"),
        ("Two 100%", "public"),
        ("Hidden", "unlisted"),
        ("Own", "private"),
    ] {
        server
            .room(&ann, json!({ "title": title, "visibility": visibility }))
            .await;
        // Rooms of the same millisecond are listed in no order of interest.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let titles = async |path: &str, token: Option<&str>| -> Vec<String> {
        let page = server.get(path, token).await.body;
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|room| room["title"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        titles("/api/v1/rooms", None).await,
        ["Two 100%", "One", "Demo"]
    );
    let own = titles("/api/v1/rooms", Some(&ann)).await;
    assert_eq!(own, ["Own", "Hidden", "Two 100%", "One", "Demo"]);
    assert_eq!(titles("/api/v1/rooms?q=100", None).await, ["Two 100%"]);
    assert!(titles("/api/v1/rooms?q=%25", None).await.is_empty());
    assert_eq!(titles("/api/v1/rooms?q=one", None).await, ["One"]);
    assert!(titles("/api/v1/rooms?status=live", None).await.is_empty());

    let mut path = "/api/v1/rooms?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = server.get(&path, None).await.body;
        seen.push(page["items"].as_array().unwrap().len());
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/rooms?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, [2, 1]);
    server.server.stop().await;
}

#[tokio::test]
async fn the_same_name_is_the_same_person() {
    let server = TestServer::start().await;
    let id = async |name: &str| {
        let reply = server
            .post("/api/v1/auth/login", None, json!({ "username": name }))
            .await;
        reply.body["user"]["id"].clone()
    };
    assert_eq!(id("Ann").await, id("ann ").await);
    assert_ne!(id("Ann").await, id("Bob").await);
    server.server.stop().await;
}

#[tokio::test]
async fn metrics_are_for_this_machine_and_for_who_has_the_token() {
    let secret = "a long and secret token";
    let server = TestServer::start_with(|config| {
        config.metrics_token = Some(klieg_signaling::Secret::new(secret));
    })
    .await;
    server.socket().await.ok("ping", json!({})).await;
    let reply = server.get("/metrics", None).await;
    assert_eq!(reply.status, 200);
    let text = reply.body.as_str().unwrap();
    for name in [
        "klieg_sockets_total 1",
        "klieg_messages_total 1",
        "klieg_commit_seconds_count",
        "\nprocess_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_max_fds ",
        "process_start_time_seconds ",
    ] {
        assert!(text.contains(name), "{name} in {text}");
    }
    // Where a proxy stands in front, this machine may be the proxy, whatever it says of itself.
    let behind = TestServer::start_with(|config| {
        config.public_url = Some("https://live.example".to_owned());
        config.metrics_token = Some(klieg_signaling::Secret::new(secret));
    })
    .await;
    assert_eq!(behind.get("/metrics", None).await.status, 403);
    assert_eq!(behind.get("/metrics", Some(secret)).await.status, 200);
    behind.server.stop().await;
    // A proxy on this machine hands on what comes from elsewhere.
    for (token, expected) in [("", 403), ("guess", 403), (secret, 200)] {
        let request = hyper::Request::builder()
            .uri("/metrics")
            .header("host", "live.example")
            .header("x-forwarded-for", "203.0.113.7")
            .header("authorization", format!("Bearer {token}"));
        let reply = send(server.http(), request.body(Default::default()).unwrap()).await;
        assert_eq!(reply.status, expected, "{token}");
    }
    server.server.stop().await;
}

#[tokio::test]
async fn probes_pages_and_security_headers_are_there() {
    let server = TestServer::start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path, None).await.status, 200);
    }
    let page = server.get("/watch/demo", None).await;
    assert!(page.status == 200 || page.status == 503);
    assert!(
        page.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    assert!(
        page.headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("'self'")
    );
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    assert_eq!(server.get("/assets/missing.js", None).await.status, 404);
    server.server.stop().await;
}

#[tokio::test]
async fn only_configured_sites_may_read_answers() {
    let server = TestServer::start_with(|config| {
        config.allowed_origins = vec!["https://shop.example".to_owned()];
    })
    .await;
    for (origin, allowed) in [
        ("https://shop.example", true),
        ("https://evil.example", false),
    ] {
        let request = hyper::Request::builder()
            .uri("/api/v1/config")
            .header("host", "live.example")
            .header("origin", origin);
        let reply = send(server.http(), request.body(Default::default()).unwrap()).await;
        let header = reply.headers.get("access-control-allow-origin");
        assert_eq!(header.is_some_and(|value| value == origin), allowed);
    }
    server.server.stop().await;
}

#[tokio::test]
async fn a_search_for_more_than_a_title_is_refused() {
    let server = TestServer::start().await;
    for (length, status) in [(120, 200), (121, 400), (60_000, 400)] {
        let path = format!("/api/v1/rooms?q={}", "x".repeat(length));
        let reply = server.get(&path, None).await;
        assert_eq!(reply.status, status, "{length}: {}", reply.body);
    }
    server.server.stop().await;
}

#[tokio::test]
async fn an_address_that_is_no_text_is_a_problem_with_a_code_too() {
    let server = TestServer::start().await;
    for (method, path) in [
        ("GET", "/api/v1/rooms/%ff"),
        ("GET", "/api/v1/rooms/%ff/chat"),
        ("POST", "/api/v1/rooms/%ff/join"),
        ("POST", "/whep/%ff"),
        ("DELETE", "/whep/%ff/%ff"),
    ] {
        let body = (method == "POST").then(|| "{}".to_owned());
        let reply = call(server.http(), method, path, None, body).await;
        assert_eq!(reply.status, 404, "{path}: {}", reply.body);
        assert_eq!(reply.body["code"], "not_found", "{path}: {}", reply.body);
    }
    server.server.stop().await;
}

#[tokio::test]
async fn who_has_nothing_to_say_needs_no_body() {
    let server = TestServer::start().await;
    let token = server.token("Ann").await;
    let room = server.room(&token, json!({ "title": "Mine" })).await;
    for (path, status) in [
        (format!("/api/v1/rooms/{room}/join"), 200),
        (format!("/api/v1/rooms/{room}/ingest/rotate"), 200),
        ("/api/v1/rooms".to_owned(), 415),
        ("/api/v1/auth/logout".to_owned(), 204),
    ] {
        let reply = call(server.http(), "POST", &path, Some(&token), None).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
    }
    server.server.stop().await;
}

#[tokio::test]
async fn a_request_that_names_no_host_or_two_is_refused() {
    let server = TestServer::start().await;
    for (head, status) in [
        (
            "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n",
            "HTTP/1.1 400",
        ),
        (
            "GET /healthz HTTP/1.1\r\nConnection: close\r\n",
            "HTTP/1.1 400",
        ),
        (
            "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
            "HTTP/1.1 200",
        ),
        // Which came before there were hosts.
        ("GET /healthz HTTP/1.0\r\n", "HTTP/1.0 200"),
    ] {
        let mut stream = TcpStream::connect(server.http()).await.unwrap();
        let request = format!("{head}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(status), "{head}: {answer}");
    }
    server.server.stop().await;
}
