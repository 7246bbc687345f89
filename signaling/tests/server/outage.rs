//! The process that is killed while it writes, and the database that goes away while it is needed.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Client, TempDir, TestServer, call, try_send};
use crate::peer::{Publisher, Viewer};
use crate::postgres::{self, Cluster};
use crate::process::serve_with;
use crate::shop;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_on_sqlite_survives_twenty_kills() {
    let (messages, rooms) = kill_again_and_again(None).await;
    println!("{ROUNDS} kills: {messages} messages and {rooms} rooms acknowledged, all there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_on_postgres_survives_twenty_kills() {
    let url = tokio::task::spawn_blocking(postgres::database).await;
    let (messages, rooms) = kill_again_and_again(Some(url.unwrap())).await;
    println!("{ROUNDS} kills: {messages} messages and {rooms} rooms acknowledged, all there");
}

/// Five senders chat, a shop sells and rooms are created while the server is killed, twenty times. What was acknowledged is
/// there afterwards, once and in order, and every order counts once.
async fn kill_again_and_again(database: Option<String>) -> (usize, usize) {
    let data = TempDir::new();
    let start = |data: &Path| serve_with(data, database.as_deref());
    let (mut child, mut http) = start(data.path());
    let token = sign_in(http).await;
    let mut acknowledged: Vec<(u64, String)> = Vec::new();
    let (mut created, mut orders) = (Vec::new(), Vec::new());
    let product = product(http, &token).await;
    for round in 0..ROUNDS {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| tokio::spawn(chat(http, format!("{round}-{sender}"))))
            .collect();
        let creator = tokio::spawn(create(http, token.clone()));
        let shop = tokio::spawn(sell(http, product.clone(), round));
        // At another moment each time, seldom between two writes.
        tokio::time::sleep(Duration::from_millis(60 + round * 7)).await;
        kill(&mut child);
        for sender in senders {
            acknowledged.extend(sender.await.unwrap());
        }
        created.extend(creator.await.unwrap());
        orders.extend(shop.await.unwrap());
        (child, http) = start(data.path());
    }
    assert!(acknowledged.len() as u64 > ROUNDS, "{}", acknowledged.len());
    assert!(created.len() as u64 > ROUNDS / 2, "{}", created.len());
    acknowledged.sort_unstable();
    check_orders(http, &orders).await;
    let kept = history(http, &token).await;
    let mut missing = acknowledged.clone();
    missing.retain(|message| !kept.contains(message));
    assert!(missing.is_empty(), "lost: {missing:?}");
    let mut ids: Vec<&String> = kept.iter().map(|(_, id)| id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), kept.len(), "stored twice");
    for id in &created {
        let path = format!("/api/v1/rooms/{id}");
        assert_eq!(call(http, "GET", &path, None, None).await.status, 200);
    }
    kill(&mut child);
    (acknowledged.len(), created.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_and_rooms_go_on_while_the_database_is_away() {
    let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let url = cluster.create();
    let server = TestServer::start_with(|config| {
        config.database_url = Some(klieg_signaling::Secret::new(url));
        config.room_idle_ms = 0;
    })
    .await;
    let ann = server.token("Ann").await;
    let (mut host, _) = server.join("Ann", "demo").await;
    let publisher = Publisher::go_live(&mut host).await;
    let (mut bob, _) = server.join("Bob", "demo").await;
    let watching = Viewer::watch(&mut bob).await;
    watching.sees(5).await;
    let guest = server.guest_token("demo").await;
    let private = json!({ "title": "Secret", "visibility": "private" });
    let secret = server.room(&ann, private).await;
    let (_in_secret, _) = server.join("Ann", &secret).await;
    // Nobody is there yet.
    let empty = server.room(&ann, json!({ "title": "Empty" })).await;
    let to_empty = server.guest_token(&empty).await;
    server.settles("klieg_rooms 3").await;
    let eve = server.token("Eve").await;
    let hidden = format!("/api/v1/rooms/{secret}");

    cluster.down();
    let since = Instant::now();
    refuses(&server, &ann, (&eve, &hidden)).await;
    let mut first = enter(&server, &to_empty, &empty).await;
    assert_eq!(first.expect("joined").await["d"]["room"]["id"], empty);
    let said = bob.refused("chat.send", json!({ "text": "lost" })).await;
    assert_eq!(said, "unavailable");
    // Who is in stays in; who has a token comes in, and sees the picture: at first, and at the end.
    watching.sees(30).await;
    let mut slowest = Duration::ZERO;
    while since.elapsed() < OUTAGE {
        let asked = Instant::now();
        let reply = server.get("/api/v1/rooms", None).await;
        slowest = slowest.max(asked.elapsed());
        assert_eq!(reply.status, 503, "{}", reply.body);
        let mut short = enter(&server, &guest, "demo").await;
        short.ok("leave", json!({})).await;
        watching.sees(1).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("refused after {slowest:?} at the latest");
    let mut late = enter(&server, &guest, "demo").await;
    let late_watching = Viewer::watch(&mut late).await;
    late_watching.sees(5).await;
    println!("the database was away for {:?}", since.elapsed());

    cluster.up();
    let back = Instant::now();
    while server.get("/api/v1/rooms", None).await.status != 200 {
        assert!(back.elapsed() < Duration::from_secs(15));
    }
    bob.ok("chat.send", json!({ "text": "again" })).await;
    println!("it was back after {:?}", back.elapsed());
    publisher.end().await;
    watching.end().await;
    late_watching.end().await;
    server.server.stop().await;
    tokio::task::spawn_blocking(move || drop(cluster))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_ended_while_the_database_was_away_is_ended_there_too() {
    let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let url = cluster.create();
    let server = TestServer::start_with(|config| {
        config.database_url = Some(klieg_signaling::Secret::new(url));
    })
    .await;
    let ann = server.token("Ann").await;
    let body = json!({ "title": "Show" });
    let path = "/api/v1/rooms?start=true";
    let room = server.post(path, Some(&ann), body).await.body;
    let id = room["id"].as_str().unwrap();
    let mut host = server.socket().await;
    host.ok("auth", json!({ "token": ann })).await;
    host.ok("join", json!({ "roomId": id })).await;
    cluster.down();
    let last = refuses_together(&server, &ann, id).await;
    println!("24 at once were refused after {last:?} at the latest");
    let end = format!("/api/v1/rooms/{id}/end");
    let refused = server.post(&end, Some(&ann), json!({})).await;
    assert_eq!(refused.body["code"], "unavailable");
    // Those who are there are told all the same.
    host.wait(|m| m["t"] == "room.status" && m["d"]["status"] == "ended")
        .await;
    cluster.up();
    let since = Instant::now();
    let listed = loop {
        let reply = server.get("/api/v1/rooms/past", None).await;
        if reply.status == 200 && reply.body["items"][0]["id"] == id {
            break reply.body;
        }
        assert!(since.elapsed() < Duration::from_secs(15), "{}", reply.body);
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(listed["items"][0]["status"], "ended");
    server.server.stop().await;
    tokio::task::spawn_blocking(move || drop(cluster))
        .await
        .unwrap();
}

/// Asks for all sorts of things that need the database: each is refused, and says when to come back.
async fn refuses(server: &TestServer, ann: &str, (eve, hidden): (&str, &str)) {
    // What needs the database says so within two seconds.
    for (method, path, body) in [
        ("GET", "/api/v1/rooms", None),
        ("GET", "/api/v1/rooms/missing", None),
        // Although it is in memory: nobody shall tell it from one that there is not.
        ("GET", hidden, None),
        ("GET", "/api/v1/rooms/demo/chat", None),
        ("POST", "/api/v1/rooms", Some(json!({ "title": "x" }))),
        (
            "POST",
            "/api/v1/rooms/demo/chat",
            Some(json!({ "text": "x" })),
        ),
    ] {
        let who = if path == hidden { eve } else { ann };
        let reply = server.ask((method, path), Some(who), &[], body).await;
        assert_eq!(reply.status, 503, "{path}: {}", reply.body);
        assert_eq!(reply.body["code"], "unavailable", "{path}");
        assert!(reply.headers.contains_key("retry-after"), "{path}");
    }
}

/// Asks for much of one room at once; returns after how long the last was refused: nobody waits for the time-outs of those before.
async fn refuses_together(server: &TestServer, ann: &str, room: &str) -> Duration {
    let since = Instant::now();
    let [change, chat, like] =
        ["", "/chat", "/like"].map(|end| format!("/api/v1/rooms/{room}{end}"));
    let ask = async |number: usize| {
        let (method, path, body) = match number % 3 {
            0 => ("PATCH", &change, json!({ "title": format!("x{number}") })),
            1 => ("POST", &chat, json!({ "text": format!("x{number}") })),
            _ => ("PUT", &like, json!({})),
        };
        let reply = server.ask((method, path), Some(ann), &[], Some(body)).await;
        (
            reply.body["code"].as_str().unwrap_or_default().to_owned(),
            since.elapsed(),
        )
    };
    let replies = futures_util::future::join_all((0..24).map(ask)).await;
    // Five things a second are said by one identity.
    let is_refused = |code: &str| ["unavailable", "rate_limited"].contains(&code);
    assert!(
        replies.iter().all(|(code, _)| is_refused(code)),
        "{replies:?}"
    );
    let last = replies.into_iter().map(|(_, after)| after).max();
    last.unwrap()
}

async fn enter(server: &TestServer, token: &str, room: &str) -> Client {
    let mut client = server.socket().await;
    client.ok("auth", json!({ "token": token })).await;
    client.ok("join", json!({ "roomId": room })).await;
    client
}

async fn sign_in(http: SocketAddr) -> String {
    let login = Some(json!({ "username": "Ann" }).to_string());
    let reply = call(http, "POST", "/api/v1/auth/login", None, login).await;
    reply.body["accessToken"].as_str().unwrap().to_owned()
}

/// Says one thing after the other until the server is gone; returns what was acknowledged, by number and id.
async fn chat(http: SocketAddr, name: String) -> Vec<(u64, String)> {
    let mut acknowledged = Vec::new();
    let work = async {
        let Some(mut client) = Client::try_connect(http).await else {
            return;
        };
        // One identity for each, as each may say five things a second.
        let guest = crate::harness::api_token("demo", &name, Default::default());
        client.try_request("auth", json!({ "token": guest })).await;
        client
            .try_request("join", json!({ "roomId": "demo" }))
            .await;
        for number in 0.. {
            let text = format!("{name} {number}");
            let Some(answer) = client
                .try_request("chat.send", json!({ "text": text }))
                .await
            else {
                return;
            };
            if answer["t"] == "ack" {
                let id = answer["d"]["messageId"].as_str().unwrap().to_owned();
                acknowledged.push((answer["d"]["seq"].as_u64().unwrap(), id));
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), work).await;
    acknowledged
}

/// Puts something on sale.
async fn product(http: SocketAddr, token: &str) -> String {
    let body = json!({ "name": "Tea", "price": 450, "currency": "EUR" }).to_string();
    let path = "/api/v1/rooms/demo/products";
    let reply = call(http, "POST", path, Some(token), Some(body)).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.body["id"].as_str().unwrap().to_owned()
}

/// Tells of one order after the other until the server is gone; returns all of them, answered or not.
async fn sell(http: SocketAddr, product: String, round: u64) -> Vec<serde_json::Value> {
    let mut orders = Vec::new();
    for number in 0.. {
        let order = json!({
            "orderId": format!("{round}-{number}"), "roomId": "demo", "productId": product, "displayName": "Ann",
        });
        orders.push(order.clone());
        if tell(http, &order).await.is_none() {
            break;
        }
    }
    orders
}

/// Tells of all orders again, as a shop does that knows of no answer: afterwards each counts, and counts once.
async fn check_orders(http: SocketAddr, orders: &[serde_json::Value]) {
    let mut new = 0;
    for order in orders {
        let reply = tell(http, order).await.unwrap();
        assert!(matches!(reply.status, 200 | 201), "{}", reply.body);
        new += u64::from(reply.status == 201);
    }
    assert!(new <= ROUNDS, "{new} orders were answered and lost");
    let products = call(http, "GET", "/api/v1/rooms/demo/products", None, None).await;
    assert_eq!(products.body["list"][0]["sold"], orders.len());
}

async fn tell(http: SocketAddr, order: &serde_json::Value) -> Option<crate::harness::Reply> {
    let body = order.to_string();
    let headers = shop::signed(shop::SECRET, shop::now(), &body);
    try_send(http, shop::request(&http.to_string(), &headers, body)).await
}

/// Creates one room after the other until the server is gone; returns those that were acknowledged.
async fn create(http: SocketAddr, token: String) -> Vec<String> {
    let mut created = Vec::new();
    loop {
        let request = hyper::Request::builder()
            .method("POST")
            .uri("/api/v1/rooms")
            .header("host", http.to_string())
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"));
        let body = json!({ "title": "Kept" }).to_string();
        match try_send(http, request.body(body.into()).unwrap()).await {
            Some(reply) if reply.status == 201 => {
                created.push(reply.body["id"].as_str().unwrap().to_owned());
            }
            Some(_) | None => return created,
        }
    }
}

/// Reads the whole chat.
async fn history(http: SocketAddr, token: &str) -> Vec<(u64, String)> {
    let mut messages = Vec::new();
    let mut path = "/api/v1/rooms/demo/chat?limit=100".to_owned();
    loop {
        let page = call(http, "GET", &path, Some(token), None).await.body;
        for message in page["items"].as_array().unwrap() {
            let id = message["messageId"].as_str().unwrap().to_owned();
            messages.push((message["seq"].as_u64().unwrap(), id));
        }
        let numbers: Vec<u64> = messages.iter().map(|(seq, _)| *seq).collect();
        assert!(numbers.is_sorted_by(|one, next| one > next), "{numbers:?}");
        let Some(before) = page["nextCursor"].as_str() else {
            return messages;
        };
        path = format!("/api/v1/rooms/demo/chat?limit=100&before={before}");
    }
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// How long the database is away.
const OUTAGE: Duration = Duration::from_secs(30);

const ROUNDS: u64 = 20;
const SENDERS: u64 = 5;
