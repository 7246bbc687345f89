//! What others are told of, seen from where they listen. On both databases.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use klieg_signaling::{Config, Secret};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::admin::admin;
use crate::harness::{Client, PATIENCE, Reply, TempDir, TestServer, call};
use crate::postgres;
use crate::process::serve_with;

/// A request as it came.
#[derive(Clone, Debug)]
struct Got {
    id: String,
    timestamp: String,
    signatures: String,
    raw: String,
    body: Value,
}

type Answer = Box<dyn FnMut(&Got) -> (u16, &'static str) + Send>;

/// Somebody who listens.
struct Receiver {
    address: SocketAddr,
    got: mpsc::UnboundedReceiver<Got>,
    answer: Arc<Mutex<Answer>>,
}

impl Receiver {
    /// Listens, and answers 204.
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, got) = mpsc::unbounded_channel();
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Box::new(|_| (204, ""))));
        let shared = Arc::clone(&answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sender, shared) = (sender.clone(), Arc::clone(&shared));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (sender, shared) = (sender.clone(), Arc::clone(&shared));
                    async move {
                        let got = read(request).await;
                        let (status, location) =
                            shared.lock().unwrap_or_else(PoisonError::into_inner)(&got);
                        sender.send(got).ok();
                        // 0: never.
                        if status == 0 {
                            std::future::pending::<()>().await;
                        }
                        let mut response = Response::builder().status(status);
                        if !location.is_empty() {
                            response = response.header("location", location);
                        }
                        response.body(Full::new(Bytes::new()))
                    }
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self {
            address,
            got,
            answer,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Answers in another way from now on.
    fn answer(&self, answer: impl FnMut(&Got) -> (u16, &'static str) + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    /// Waits for the next request.
    async fn next(&mut self) -> Got {
        let next = tokio::time::timeout(PATIENCE, self.got.recv()).await;
        next.expect("nothing was told").unwrap()
    }

    /// Waits for so many requests of a kind; others are left out.
    async fn of_kind(&mut self, kind: &str, count: usize) -> Vec<Got> {
        let mut found = Vec::new();
        while found.len() < count {
            let got = self.next().await;
            if got.body["type"] == kind {
                found.push(got);
            }
        }
        found
    }
}

async fn read(request: Request<Incoming>) -> Got {
    let (head, body) = request.into_parts();
    let header = |name: &str| {
        let value = head.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap()).to_owned()
    };
    let raw = body.collect().await.unwrap().to_bytes();
    let raw = String::from_utf8(raw.to_vec()).unwrap();
    Got {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signatures: header("webhook-signature"),
        body: serde_json::from_str(&raw).unwrap(),
        raw,
    }
}

/// Checks a signature as the standard says, with nothing of the server's.
fn is_signed(got: &Got, secret: &str) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap());
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key.unwrap());
    let text = format!("{}.{}.{}", got.id, got.timestamp, got.raw);
    got.signatures.split(' ').any(|signature| {
        let tag = signature.strip_prefix("v1,").unwrap();
        let tag = STANDARD.decode(tag).unwrap();
        hmac::verify(&key, text.as_bytes(), &tag).is_ok()
    })
}

/// Quick, so that tests need not wait.
fn quick(config: &mut Config) {
    config.webhooks.retry_first_ms = 50;
    config.webhooks.delivery_timeout_ms = 400;
}

async fn add(server: &TestServer, root: &str, body: Value) -> (String, String) {
    let made = server.post("/api/v1/webhooks", Some(root), body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let text = |name: &str| made.body[name].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

async fn ask(server: &TestServer, root: &str, (method, path): (&str, &str), body: Value) -> Reply {
    let path = format!("/api/v1/webhooks/{path}");
    let body = (!body.is_null()).then(|| body.to_string());
    call(server.http(), method, &path, Some(root), body).await
}

/// Waits until the log is as wanted.
async fn log_when(
    server: &TestServer,
    root: &str,
    path: &str,
    wanted: impl Fn(&[Value]) -> bool,
) -> Vec<Value> {
    let search = async {
        loop {
            let reply = ask(server, root, ("GET", path), Value::Null).await;
            let items = reply.body["items"].as_array().unwrap().clone();
            if wanted(&items) {
                return items;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, search).await;
    found.expect("the log did not become so")
}

fn texts(got: &[Got]) -> Vec<&str> {
    let texts = got.iter().map(|got| got.body["data"]["text"].as_str());
    texts.map(Option::unwrap).collect()
}

#[tokio::test]
async fn what_happens_in_a_room_is_told_signed_and_in_order() {
    for server in TestServer::on_each(quick).await {
        let mut receiver = Receiver::start().await;
        let root = admin(&server).await;
        let body = json!({ "url": receiver.url(), "description": "Shop" });
        let (id, secret) = add(&server, &root, body).await;
        let host = server.token("Host").await;
        let room = server.room(&host, json!({ "title": "R" })).await;
        let start = format!("/api/v1/rooms/{room}/start");
        server.post(&start, Some(&host), json!({})).await;
        let (mut host, _) = server.join("Host", &room).await;
        let mut said = Value::Null;
        for number in 0..12 {
            let text = json!({ "text": number.to_string() });
            said = host.ok("chat.send", text).await;
        }
        let gone = json!({ "messageId": said["messageId"] });
        host.ok("chat.delete", gone).await;
        let mut got: Vec<Got> = Vec::new();
        while got.last().is_none_or(|it| it.body["type"] != "moderation") {
            got.push(receiver.next().await);
        }
        for got in &got {
            assert!(is_signed(got, &secret), "{got:?}");
            assert!(!is_signed(got, "whsec_AAAA"), "{got:?}");
            assert_eq!(got.body["roomId"], room);
        }
        are_in_order(&got, &said["messageId"]);
        are_logged(&server, &root, &id, &got).await;
        let metrics = server.get("/metrics", None).await.body.to_string();
        assert!(metrics.contains("klieg_webhook_deliveries_total{outcome=\\\"delivered\\\"}"));
        server.server.stop().await;
    }
}

/// Checks that a room began, twelve things were said, and the last of them was deleted.
fn are_in_order(got: &[Got], deleted: &Value) {
    let is_chat = |it: &&Got| it.body["type"] == "chat.message";
    let chat: Vec<Got> = got.iter().filter(is_chat).cloned().collect();
    let expected: Vec<String> = (0..12).map(|it| it.to_string()).collect();
    assert_eq!(texts(&chat), expected);
    let kinds = got.iter().map(|it| it.body["type"].as_str());
    let kinds: Vec<&str> = kinds.map(Option::unwrap).collect();
    assert_eq!(kinds.first(), Some(&"room.status"), "{kinds:?}");
    assert_eq!(kinds[kinds.len() - 2..], ["chat.deleted", "moderation"]);
    let deed = &got.last().unwrap().body["data"];
    assert_eq!(
        (&deed["action"], &deed["target"]),
        (&json!("delete"), deleted)
    );
}

/// Checks that the log has what came, and that neither it nor the list has a secret.
async fn are_logged(server: &TestServer, root: &str, id: &str, got: &[Got]) {
    let path = format!("{id}/deliveries?limit=100");
    let all_came = |log: &[Value]| log.iter().all(|it| it["status"] == "delivered");
    let log = log_when(server, root, &path, |log| all_came(log)).await;
    assert_eq!(log.len(), got.len());
    assert_eq!(log[0]["id"], got.last().unwrap().id);
    let first = format!("{id}/deliveries/{}", got[0].id);
    let one = ask(server, root, ("GET", &first), Value::Null).await;
    assert_eq!(one.body["body"], got[0].body);
    assert_eq!(one.body["responseStatus"], 204);
    let listed = server.get("/api/v1/webhooks", Some(root)).await;
    let listed = listed.body.to_string();
    let is_told = listed.contains("Shop") && !listed.contains("whsec_");
    assert!(is_told, "{listed}");
}

#[tokio::test]
async fn a_room_that_fails_holds_back_only_itself_and_keeps_its_order() {
    for server in TestServer::on_each(quick).await {
        let mut receiver = Receiver::start().await;
        let root = admin(&server).await;
        let body = json!({ "url": receiver.url(), "events": ["chat.message"] });
        let (id, secret) = add(&server, &root, body).await;
        let owner = server.token("Host").await;
        let bad = server.room(&owner, json!({ "title": "Bad" })).await;
        let good = server.room(&owner, json!({ "title": "Good" })).await;
        let mut left = 3;
        let failing = bad.clone();
        receiver.answer(move |got| {
            if got.body["roomId"] == failing && left > 0 {
                left -= 1;
                return (500, "");
            }
            (200, "")
        });
        let (mut host, _) = server.join("Host", &bad).await;
        for text in ["1", "2", "3"] {
            host.ok("chat.send", json!({ "text": text })).await;
        }
        host.ok("leave", json!({})).await;
        host.ok("join", json!({ "roomId": good })).await;
        host.ok("chat.send", json!({ "text": "good" })).await;
        let got = receiver.of_kind("chat.message", 7).await;
        let (theirs, others): (Vec<Got>, Vec<Got>) =
            got.into_iter().partition(|it| it.body["roomId"] == bad);
        assert_eq!(texts(&others), ["good"]);
        assert_eq!(texts(&theirs), ["1", "1", "1", "1", "2", "3"]);
        // It is the same event each time, to the byte, signed anew.
        for again in &theirs[1..4] {
            assert_eq!((&again.id, &again.raw), (&theirs[0].id, &theirs[0].raw));
            assert!(is_signed(again, &secret));
        }
        let path = format!("{id}/deliveries?status=delivered");
        let log = log_when(&server, &root, &path, |log| log.len() == 4).await;
        let first = log.iter().find(|it| it["id"] == theirs[0].id).unwrap();
        assert_eq!(first["attempts"], 4);
        let shown = ask(&server, &root, ("GET", &id), Value::Null).await;
        assert_eq!(shown.body["failingSince"], Value::Null);
        server.server.stop().await;
    }
}

#[tokio::test]
async fn events_are_told_again_on_demand() {
    for server in TestServer::on_each(quick).await {
        let mut receiver = Receiver::start().await;
        let root = admin(&server).await;
        let body = json!({ "url": receiver.url(), "events": ["chat.message"] });
        let (id, _) = add(&server, &root, body).await;
        let owner = server.token("Host").await;
        let room = server.room(&owner, json!({ "title": "R" })).await;
        let (mut host, _) = server.join("Host", &room).await;
        for text in ["1", "2", "3"] {
            host.ok("chat.send", json!({ "text": text })).await;
        }
        let before = receiver.of_kind("chat.message", 3).await;
        let path = format!("{id}/deliveries?status=delivered");
        log_when(&server, &root, &path, |log| log.len() == 3).await;
        let replay = format!("{id}/deliveries/{}/replay", before[1].id);
        let reply = ask(&server, &root, ("POST", &replay), Value::Null).await;
        assert_eq!((reply.status, &reply.body["replayed"]), (202, &json!(1)));
        let again = receiver.next().await;
        assert_eq!((&again.id, &again.raw), (&before[1].id, &before[1].raw));
        log_when(&server, &root, &path, |log| log.len() == 3).await;
        let all = json!({ "from": "2020-01-01T00:00:00Z", "status": "delivered" });
        let replay = format!("{id}/replay");
        let reply = ask(&server, &root, ("POST", &replay), all).await;
        assert_eq!((reply.status, &reply.body["replayed"]), (202, &json!(3)));
        let told = receiver.of_kind("chat.message", 3).await;
        assert_eq!(texts(&told), ["1", "2", "3"]);
        let missing = format!("{id}/deliveries/missing/replay");
        let reply = ask(&server, &root, ("POST", &missing), Value::Null).await;
        assert_eq!(reply.status, 404);
        server.server.stop().await;
    }
}

#[tokio::test]
async fn nothing_is_told_to_who_is_disabled_or_gone() {
    for server in TestServer::on_each(quick).await {
        let mut receiver = Receiver::start().await;
        let root = admin(&server).await;
        let body = json!({ "url": receiver.url(), "events": ["chat.message", "test"] });
        let (id, _) = add(&server, &root, body).await;
        let owner = server.token("Host").await;
        let room = server.room(&owner, json!({ "title": "R" })).await;
        let (mut host, _) = server.join("Host", &room).await;
        let off = ask(&server, &root, ("PATCH", &id), json!({ "enabled": false })).await;
        assert_eq!((off.status, &off.body["enabled"]), (200, &json!(false)));
        let (replay, test) = (format!("{id}/replay"), format!("{id}/test"));
        let all = json!({ "from": "2020-01-01T00:00:00Z", "status": "delivered" });
        for (path, body) in [(&replay, all), (&test, Value::Null)] {
            let reply = ask(&server, &root, ("POST", path), body).await;
            assert_eq!(reply.status, 422, "{}", reply.body);
        }
        host.ok("chat.send", json!({ "text": "unheard" })).await;
        ask(&server, &root, ("PATCH", &id), json!({ "enabled": true })).await;
        let told = ask(&server, &root, ("POST", &test), Value::Null).await;
        assert_eq!((told.status, &told.body["type"]), (202, &json!("test")));
        let next = receiver.next().await;
        let of_no_room = (&next.body["type"], next.body.get("roomId"));
        assert_eq!(of_no_room, (&json!("test"), None));

        let gone = ask(&server, &root, ("DELETE", &id), Value::Null).await;
        assert_eq!(gone.status, 204);
        host.ok("chat.send", json!({ "text": "unheard" })).await;
        let gone = ask(&server, &root, ("GET", &id), Value::Null).await;
        assert_eq!(gone.status, 404);
        assert!(receiver.got.try_recv().is_err());
        server.server.stop().await;
    }
}

#[tokio::test]
async fn a_new_secret_signs_beside_the_old_one_for_a_while() {
    for server in TestServer::on_each(quick).await {
        let mut receiver = Receiver::start().await;
        let root = admin(&server).await;
        let body = json!({ "url": receiver.url(), "events": ["test"] });
        let (id, old) = add(&server, &root, body).await;
        let (secret, test) = (format!("{id}/secret"), format!("{id}/test"));
        let new = ask(&server, &root, ("POST", &secret), Value::Null).await;
        assert!(new.body["oldSecretUntil"].is_string(), "{}", new.body);
        ask(&server, &root, ("POST", &test), Value::Null).await;
        let next = receiver.next().await;
        assert!(is_signed(&next, new.body["secret"].as_str().unwrap()));
        assert!(is_signed(&next, &old));
        assert_eq!(next.signatures.split(' ').count(), 2);
        server.server.stop().await;
    }
}

#[tokio::test]
async fn asking_twice_to_add_a_webhook_adds_one() {
    for server in TestServer::on_each(quick).await {
        let root = admin(&server).await;
        let add = async |key: &str, url: &str| {
            let key = [("idempotency-key", key)];
            let (route, body) = (("POST", "/api/v1/webhooks"), json!({ "url": url }));
            server.ask(route, Some(&root), &key, Some(body)).await
        };
        let url = "https://hooks.example.com/";
        let (first, again) = (add("k", url).await, add("k", url).await);
        assert_eq!((first.status, again.status), (201, 201), "{}", again.body);
        assert_eq!(first.body, again.body);
        assert!(first.body["secret"].is_string());
        let other = add("k", "https://other.example.com/").await;
        assert_eq!(
            (other.status, &other.body["code"]),
            (422, &json!("invalid_value"))
        );
        assert_eq!(add("a b", url).await.status, 400);
        let listed = server.get("/api/v1/webhooks", Some(&root)).await.body;
        assert_eq!(listed["items"].as_array().unwrap().len(), 1);
        // A secret that was made later is not told.
        let id = first.body["id"].as_str().unwrap();
        let secret = format!("{id}/secret");
        ask(&server, &root, ("POST", &secret), Value::Null).await;
        let late = add("k", url).await;
        assert_eq!((late.status, late.body.get("secret")), (201, None));
        ask(&server, &root, ("DELETE", id), Value::Null).await;
        assert_eq!(add("k", url).await.status, 404);
        server.server.stop().await;
    }
}

#[tokio::test]
async fn nothing_is_sent_to_addresses_that_are_not_of_the_internet() {
    let mut receiver = Receiver::start().await;
    let port = receiver.address.port();
    let server = TestServer::start_with(|config| {
        quick(config);
        config.webhooks.allowed_targets = Vec::new();
        config.webhooks.retry_for_s = 1;
    })
    .await;
    let root = admin(&server).await;
    for (url, code) in [
        (format!("http://127.0.0.1:{port}/"), "address_refused"),
        (format!("https://127.0.0.1:{port}/"), "address_refused"),
        (format!("https://0x7f.1:{port}/"), "address_refused"),
        (
            format!("https://[::ffff:127.0.0.1]:{port}/"),
            "address_refused",
        ),
        (
            format!("https://[64:ff9b::7f00:1]:{port}/"),
            "address_refused",
        ),
        (
            "https://169.254.169.254/latest/meta-data".to_owned(),
            "address_refused",
        ),
        ("https://a:b@example.com/".to_owned(), "invalid_value"),
        ("file:///etc/passwd".to_owned(), "invalid_value"),
    ] {
        let reply = server
            .post("/api/v1/webhooks", Some(&root), json!({ "url": url }))
            .await;
        assert_eq!(
            (reply.status, &reply.body["code"]),
            (422, &json!(code)),
            "{url}"
        );
    }
    // A name is looked at when it is connected to.
    let body = json!({ "url": format!("https://localhost:{port}/") });
    let (id, _) = add(&server, &root, body).await;
    ask(&server, &root, ("POST", &format!("{id}/test")), Value::Null).await;
    let path = format!("{id}/deliveries?status=failed");
    let log = log_when(&server, &root, &path, |log| log.len() == 1).await;
    assert_eq!(
        log[0]["error"],
        "its name leads to no address of the internet"
    );
    assert!(receiver.got.try_recv().is_err());
    server.server.stop().await;
}

#[tokio::test]
async fn redirections_are_not_followed_and_who_is_gone_is_told_nothing_more() {
    let server = TestServer::start_with(quick).await;
    let (mut receiver, mut elsewhere) = (Receiver::start().await, Receiver::start().await);
    let root = admin(&server).await;
    let (id, _) = add(&server, &root, json!({ "url": receiver.url() })).await;
    let location: &'static str = elsewhere.url().leak();
    let mut first = true;
    receiver.answer(move |_| {
        if std::mem::take(&mut first) {
            (307, location)
        } else {
            (410, "")
        }
    });
    ask(&server, &root, ("POST", &format!("{id}/test")), Value::Null).await;
    let (redirected, gone) = (receiver.next().await, receiver.next().await);
    assert_eq!(redirected.id, gone.id);
    let path = format!("{id}/deliveries?status=failed");
    let log = log_when(&server, &root, &path, |log| log.len() == 1).await;
    assert_eq!(log[0]["responseStatus"], 410);
    let shown = ask(&server, &root, ("GET", &id), Value::Null).await;
    assert_eq!(shown.body["enabled"], false);
    assert!(elsewhere.got.try_recv().is_err());
    server.server.stop().await;
}

#[tokio::test]
async fn receivers_that_never_answer_or_never_end_hold_up_nobody() {
    let server = TestServer::start_with(|config| {
        quick(config);
        config.webhooks.retry_for_s = 1;
    })
    .await;
    let root = admin(&server).await;
    let (silent, mut good) = (Receiver::start().await, Receiver::start().await);
    silent.answer(|_| (0, ""));
    // Says that it took it, and then goes on for ever.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endless = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(b"4\r\nmore\r\n").await.is_ok() {}
            });
        }
    });
    let (silent_id, _) = add(&server, &root, json!({ "url": silent.url() })).await;
    let (endless_id, _) = add(&server, &root, json!({ "url": endless })).await;
    let (good_id, _) = add(&server, &root, json!({ "url": good.url() })).await;
    for id in [&silent_id, &endless_id, &good_id] {
        ask(&server, &root, ("POST", &format!("{id}/test")), Value::Null).await;
    }
    good.next().await;
    let path = format!("{endless_id}/deliveries?status=delivered");
    log_when(&server, &root, &path, |log| log.len() == 1).await;
    let path = format!("{silent_id}/deliveries?status=failed");
    let log = log_when(&server, &root, &path, |log| log.len() == 1).await;
    assert_eq!(log[0]["error"], "no answer within 400 ms");
    let shown = ask(&server, &root, ("GET", &silent_id), Value::Null).await;
    assert!(shown.body["failingSince"].is_string(), "{}", shown.body);
    server.server.stop().await;
}

#[tokio::test]
async fn of_two_servers_on_one_database_one_tells_each_event() {
    let url = tokio::task::spawn_blocking(postgres::database)
        .await
        .unwrap();
    let with = |config: &mut Config| {
        quick(config);
        config.database_url = Some(Secret::new(url.clone()));
    };
    let (one, two) = (
        TestServer::start_with(with).await,
        TestServer::start_with(with).await,
    );
    let mut receiver = Receiver::start().await;
    let root = admin(&one).await;
    let body = json!({ "url": receiver.url(), "events": ["chat.message"] });
    let (id, _) = add(&one, &root, body).await;
    let mut count = 0;
    for (server, name) in [(&one, "Ann"), (&two, "Bob")] {
        let token = server.token(name).await;
        for _ in 0..5 {
            let room = server.room(&token, json!({ "title": "R" })).await;
            let (mut host, _) = server.join(name, &room).await;
            for number in 0..10 {
                host.ok("chat.send", json!({ "text": number.to_string() }))
                    .await;
                count += 1;
            }
            host.vanish();
        }
    }
    let got = receiver.of_kind("chat.message", count).await;
    let path = format!("{id}/deliveries?status=pending");
    log_when(&one, &root, &path, <[Value]>::is_empty).await;
    assert!(receiver.got.try_recv().is_err());
    let mut rooms = std::collections::BTreeMap::<&str, Vec<&str>>::new();
    for got in &got {
        let room = got.body["roomId"].as_str().unwrap();
        rooms
            .entry(room)
            .or_default()
            .push(got.body["data"]["text"].as_str().unwrap());
    }
    assert_eq!(rooms.len(), 10);
    for texts in rooms.values() {
        assert_eq!(texts, &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    }
    one.server.stop().await;
    two.server.stop().await;
}

#[tokio::test]
async fn what_a_killed_server_did_not_tell_the_next_one_tells() {
    let postgres = tokio::task::spawn_blocking(postgres::database)
        .await
        .unwrap();
    for database in [None, Some(postgres.as_str())] {
        let data = TempDir::new();
        let settings = "new_account_role = \"admin\"\n[webhooks]\nretry_first_ms = 50\ndelivery_timeout_ms = 500\n";
        std::fs::write(data.path().join("klieg.toml"), settings).unwrap();
        let mut receiver = Receiver::start().await;
        receiver.answer(|_| (0, ""));
        let (mut child, http) = serve_with(data.path(), database);
        let body = json!({ "username": "Root", "password": "correct horse" }).to_string();
        let made = call(http, "POST", "/api/v1/auth/register", None, Some(body)).await;
        let token = made.body["accessToken"].as_str().unwrap().to_owned();
        let body = json!({ "url": receiver.url(), "events": ["chat.message"] }).to_string();
        let made = call(http, "POST", "/api/v1/webhooks", Some(&token), Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let mut client = Client::connect(http, &[]).await.unwrap();
        client.ok("auth", json!({ "token": token })).await;
        client.ok("join", json!({ "roomId": "demo" })).await;
        for text in ["1", "2", "3"] {
            client.ok("chat.send", json!({ "text": text })).await;
        }
        // It is told of the first, and has no answer when it dies.
        let first = receiver.next().await;
        child.kill().unwrap();
        child.wait().unwrap();
        receiver.answer(|_| (200, ""));
        while receiver.got.try_recv().is_ok() {}
        let (mut child, _) = serve_with(data.path(), database);
        let got = receiver.of_kind("chat.message", 3).await;
        assert_eq!(texts(&got), ["1", "2", "3"]);
        assert_eq!((&got[0].id, &got[0].raw), (&first.id, &first.raw));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
