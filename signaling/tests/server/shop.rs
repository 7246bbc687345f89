//! What a room sells, and what shops tell of.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use klieg_signaling::{Config, Secret};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{Client, Reply, TestServer, send};

#[tokio::test]
async fn what_a_host_changes_is_seen_by_all_and_by_those_who_come_later() {
    for server in TestServer::on_each(|_| ()).await {
        let token = server.token("Host").await;
        let room = server.room(&token, json!({ "title": "R" })).await;
        let (mut bob, joined) = server.join("Bob", &room).await;
        assert_eq!(
            joined["d"]["products"],
            json!({ "list": [], "featuredId": null })
        );
        let before = joined["d"]["seq"].clone();
        let shop = Seller::new(&server, &room, &token);
        let tea = json!({
            "name": "Tea\u{202e}", "price": 450, "originalPrice": 600, "currency": "EUR", "stock": 3,
            "quantityLimit": 2, "imageUrl": "https://shop.example/tea.png",
            "buyUrl": "https://shop.example/tea?a=1&b=2",
        });
        let tea = shop.add(tea).await;
        assert_eq!(
            (&tea["name"], &tea["discountPercent"]),
            (&json!("Tea"), &json!(25))
        );
        let shown = bob.expect("products").await["d"].clone();
        let expected = json!({
            "list": [tea], "featuredId": null, "capturedAt": shown["capturedAt"],
        });
        assert_eq!(shown, expected);
        let coffee = shop
            .add(json!({ "name": "Coffee", "price": 1, "currency": "EUR" }))
            .await;
        let (tea_id, coffee_id) = (tea["id"].as_str().unwrap(), coffee["id"].as_str().unwrap());

        let order = json!({ "ids": [coffee_id, tea_id] });
        assert_eq!(shop.ask("PUT", "/order", order).await.status, 204);
        let feature = format!("/{coffee_id}/feature");
        assert_eq!(shop.ask("PUT", &feature, Value::Null).await.status, 204);
        let (mut host, _) = server.join("Host", &room).await;
        host.ok("product.feature", json!({ "productId": tea_id }))
            .await;
        let featured = |it: &Value| it["d"]["featuredId"] == tea_id;
        let shown = bob.wait(featured).await;
        let names = |list: &Value| [list[0]["name"].clone(), list[1]["name"].clone()];
        assert_eq!(names(&shown["d"]["list"]), ["Coffee", "Tea"]);
        // What somebody else withdraws is not what is featured.
        assert_eq!(shop.ask("DELETE", &feature, Value::Null).await.status, 204);
        let edited = shop
            .ask("PATCH", &format!("/{tea_id}"), json!({ "stock": null }))
            .await;
        assert_eq!((edited.status, &edited.body["stock"]), (200, &Value::Null));

        let server = server.restart().await;
        check_kept(&server, &room, (&token, tea_id), before).await;
        server.server.stop().await;
    }
}

/// Looks at what is kept as one who comes back after a loss, one who comes later, and one who asks; then removes it.
async fn check_kept(server: &TestServer, room: &str, (token, tea_id): (&str, &str), before: Value) {
    let mut late = server.sign_in("Late").await;
    late.ok("resume", json!({ "roomId": room, "lastSeq": before }))
        .await;
    let resumed = late.expect("products").await["d"].clone();
    let (_, joined) = server.join("Cy", room).await;
    assert_eq!(joined["d"]["products"], resumed);
    assert_eq!(resumed["featuredId"], tea_id);
    let listed = server
        .get(&format!("/api/v1/rooms/{room}/products"), None)
        .await;
    assert_eq!(listed.body, resumed);

    let shop = Seller::new(server, room, token);
    let gone = shop.ask("DELETE", &format!("/{tea_id}"), Value::Null).await;
    assert_eq!(gone.status, 204);
    let none = late.wait(|it| it["t"] == "products" && it["d"]["featuredId"].is_null());
    assert_eq!(none.await["d"]["list"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_product_that_cannot_be_so_is_refused_and_says_why() {
    let server = TestServer::start().await;
    let token = server.token("Host").await;
    let room = server.room(&token, json!({ "title": "R" })).await;
    let shop = Seller::new(&server, &room, &token);
    let tea = shop
        .add(json!({ "name": "Tea", "price": 450, "currency": "EUR", "externalId": "sku" }))
        .await;
    let id = tea["id"].as_str().unwrap();
    for (method, path, body, expected) in [
        (
            "POST",
            String::new(),
            json!({ "name": "x", "price": -1, "currency": "EUR" }),
            400,
        ),
        (
            "POST",
            String::new(),
            json!({ "name": "x", "price": 1, "currency": "EUR", "buyUrl": "http://a/" }),
            400,
        ),
        (
            "POST",
            String::new(),
            json!({ "name": "x", "price": 2, "originalPrice": 1, "currency": "EUR" }),
            422,
        ),
        (
            "POST",
            String::new(),
            json!({ "name": "x", "price": 1, "currency": "EUR", "externalId": "sku" }),
            422,
        ),
        ("PATCH", format!("/{id}"), json!({ "sold": 7 }), 400),
        (
            "PATCH",
            format!("/{id}"),
            json!({ "originalPrice": 449 }),
            422,
        ),
        ("PATCH", "/missing".to_owned(), json!({}), 404),
        ("PUT", "/order".to_owned(), json!({ "ids": [id, id] }), 422),
        ("PUT", "/missing/feature".to_owned(), Value::Null, 404),
    ] {
        let reply = shop.ask(method, &path, body).await;
        assert_eq!(reply.status, expected, "{method} {path}: {}", reply.body);
        assert!(reply.body["detail"].as_str().unwrap().len() > 10);
    }
    for number in 1..100 {
        shop.add(json!({ "name": number.to_string(), "price": 1, "currency": "EUR" }))
            .await;
    }
    let one_more = json!({ "name": "x", "price": 1, "currency": "EUR" });
    let full = shop.ask("POST", "", one_more).await;
    assert_eq!(
        (full.status, &full.body["code"]),
        (422, &json!("invalid_value"))
    );
    server.server.stop().await;
}

#[tokio::test]
async fn what_a_host_leaves_out_of_a_product_comes_from_the_shops_catalogue() {
    let (address, asked) = catalogue().await;
    let server = TestServer::start_with(|config| {
        config.catalogue_url = Some(format!("http://{address}/products/{{id}}"));
    })
    .await;
    let token = server.token("Host").await;
    let room = server.room(&token, json!({ "title": "R" })).await;
    let shop = Seller::new(&server, &room, &token);
    assert_eq!(
        server.get("/api/v1/config", None).await.body["catalogue"],
        true
    );

    let tea = shop.add(json!({ "externalId": "tea/1" })).await;
    assert_eq!(
        (&tea["name"], &tea["price"], &tea["currency"], &tea["stock"]),
        (&json!("Tea"), &json!(450), &json!("EUR"), &json!(7))
    );
    assert_eq!(tea["imageUrl"], "https://shop.example/tea.png");
    let path = format!("/{}", tea["id"].as_str().unwrap());
    let gone = shop.ask("DELETE", &path, Value::Null).await;
    assert_eq!(gone.status, 204);
    let mine = shop
        .add(json!({ "externalId": "tea/1", "name": "My tea", "stock": 1 }))
        .await;
    assert_eq!(
        (&mine["name"], &mine["price"], &mine["stock"]),
        (&json!("My tea"), &json!(450), &json!(1))
    );
    // What it said a moment ago is known, and what is whole needs no catalogue.
    shop.add(json!({ "externalId": "away", "name": "x", "price": 1, "currency": "EUR" }))
        .await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);

    for (id, status, code) in [
        ("none", 422, "invalid_value"),
        ("nonsense", 502, "catalogue_away"),
        ("broken", 502, "catalogue_away"),
        ("never", 502, "catalogue_away"),
        // It says nothing of a price.
        ("free", 422, "invalid_value"),
    ] {
        let since = Instant::now();
        let reply = shop.ask("POST", "", json!({ "externalId": id })).await;
        assert_eq!(
            (reply.status, &reply.body["code"]),
            (status, &json!(code)),
            "{id}"
        );
        assert!(since.elapsed() < Duration::from_secs(10), "{id}");
    }
    server.server.stop().await;
}

#[tokio::test]
async fn what_a_host_says_of_a_price_of_the_shops_is_taken_or_refused() {
    let (address, _) = catalogue().await;
    let server = TestServer::start_with(|config| {
        config.catalogue_url = Some(format!("http://{address}/products/{{id}}"));
    })
    .await;
    let token = server.token("Host").await;
    let room = server.room(&token, json!({ "title": "R" })).await;
    let shop = Seller::new(&server, &room, &token);
    for (before, currency) in [(9000, "VND"), (449, "EUR")] {
        let other = json!({ "externalId": "tea/1", "originalPrice": before, "currency": currency });
        let refused = shop.ask("POST", "", other).await;
        assert_eq!(
            (refused.status, &refused.body["code"]),
            (422, &json!("invalid_value"))
        );
    }
    let before = json!({ "externalId": "tea/1", "originalPrice": 900, "currency": "EUR" });
    assert_eq!(shop.add(before).await["discountPercent"], 50);
    server.server.stop().await;
}

#[tokio::test]
async fn a_product_that_the_shop_does_not_tell_of_is_asked_for_once_however_often_it_is_added() {
    let (address, asked) = catalogue().await;
    let server = TestServer::start_with(|config| {
        config.catalogue_url = Some(format!("http://{address}/products/{{id}}"));
    })
    .await;
    let token = server.token("Host").await;
    let room = server.room(&token, json!({ "title": "R" })).await;
    let shop = Seller::new(&server, &room, &token);
    for (times, (id, status)) in (1..).zip([("none", 422), ("broken", 502)]) {
        let since = Instant::now();
        let add = || shop.ask("POST", "", json!({ "externalId": id }));
        let mut replies = futures_util::future::join_all((0..8).map(|_| add())).await;
        replies.push(add().await);
        for reply in replies {
            assert_eq!(reply.status, status, "{id}");
        }
        // It is asked again after five seconds, which a machine with more to do may take.
        if since.elapsed() < Duration::from_secs(5) {
            assert_eq!(asked.load(Ordering::Relaxed), times, "{id}");
        }
    }
    server.server.stop().await;
}

/// The catalogue of a shop, and how often it was asked.
async fn catalogue() -> (SocketAddr, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    let product = async move |Path(id): Path<String>| {
        counted.fetch_add(1, Ordering::Relaxed);
        match id.as_str() {
            "tea/1" => {
                let tea = json!({
                    "name": "Tea", "price": 450, "currency": "EUR", "stock": 7, "imageUrl": "https://shop.example/tea.png", "leaf": "green",
                });
                (StatusCode::OK, tea.to_string())
            }
            "free" => (StatusCode::OK, json!({ "name": "Free" }).to_string()),
            "nonsense" => (StatusCode::OK, "<html>".to_owned()),
            "broken" => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
            "never" => std::future::pending().await,
            _ => (StatusCode::NOT_FOUND, String::new()),
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/products/{id}", get(product));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, asked)
}

#[tokio::test]
async fn an_order_is_a_toast_a_message_and_money_once_whatever_the_retries() {
    for server in TestServer::on_each(takes_orders).await {
        let token = server.token("Host").await;
        let room = server.room(&token, json!({ "title": "R" })).await;
        let shop = Seller::new(&server, &room, &token);
        let tea = shop
            .add(json!({ "name": "Tea", "price": 450, "currency": "EUR", "stock": 2, "externalId": "sku" }))
            .await;
        let (mut bob, _) = server.join("Bob", &room).await;
        let order = json!({
            "orderId": "o-1", "roomId": room, "productId": "sku", "displayName": "Ann", "quantity": 2,
        });
        let first = tell(&server, &order).await;
        assert_eq!((first.status, &first.body), (201, &json!({ "new": true })));
        let said = bob.expect("chat.message").await["d"].clone();
        assert_eq!(
            (&said["kind"], &said["text"]),
            (&json!("order"), &json!("Tea × 2"))
        );
        assert_eq!(said["from"]["name"], "Ann");
        let toast = bob.expect("order").await["d"].clone();
        let expected = json!({
            "messageId": said["messageId"], "displayName": "Ann", "productId": tea["id"], "productName": "Tea",
            "capturedAt": said["capturedAt"],
        });
        assert_eq!(toast, expected);
        let sold = |count: u64| move |it: &Value| it["t"] == "product" && it["d"]["sold"] == count;
        let bought = bob.wait(sold(2)).await["d"].clone();
        assert_eq!((&bought["stock"], &bought["id"]), (&json!(0), &tea["id"]));

        // Told of again: at once, many times together, after a restart; with another content, too.
        let retries = futures_util::future::join_all((0..8).map(|_| tell(&server, &order))).await;
        assert!(
            retries
                .iter()
                .all(|it| it.status == 200 && it.body["new"] == false)
        );
        let server = server.restart().await;
        let mut other = order.clone();
        other["quantity"] = json!(1);
        assert_eq!(tell(&server, &other).await.status, 200);
        // One who buys what is not there any more does not make it less than nothing.
        let (mut bob, _) = server.join("Bob", &room).await;
        other["orderId"] = json!("o-2");
        other["amount"] = json!(400);
        assert_eq!(tell(&server, &other).await.status, 201);
        let shown = bob.wait(sold(3)).await;
        assert_eq!(shown["d"]["stock"], 0);

        check_summary(&server, (&room, &token), &mut bob).await;
        let metrics = server.get("/metrics", None).await.body;
        let metrics = metrics.as_str().unwrap();
        assert!(metrics.contains(r#"klieg_orders_total{outcome="again"} 1"#));
        server.server.stop().await;
    }
}

/// Ends a room's event, and looks at what is said of it.
async fn check_summary(server: &TestServer, (room, token): (&str, &str), bob: &mut Client) {
    server
        .post(
            &format!("/api/v1/rooms/{room}/start"),
            Some(token),
            json!({}),
        )
        .await;
    let over = server
        .post(&format!("/api/v1/rooms/{room}/end"), Some(token), json!({}))
        .await;
    let summary = &over.body["summary"];
    assert_eq!(
        (&summary["orders"], &summary["revenue"]),
        (&json!(2), &json!({ "EUR": 1300 }))
    );
    let told = bob.wait(|it| it["d"]["status"] == "ended").await;
    assert_eq!(told["d"]["summary"]["revenue"], json!({ "EUR": 1300 }));
}

#[tokio::test]
async fn orders_that_come_together_and_again_count_once_each() {
    for server in TestServer::on_each(takes_orders).await {
        let token = server.token("Host").await;
        let room = server.room(&token, json!({ "title": "R" })).await;
        let shop = Seller::new(&server, &room, &token);
        let stock = json!({ "name": "Tea", "price": 450, "currency": "EUR", "stock": 25 });
        let tea = shop.add(stock).await;
        let order = |number: usize| {
            json!({
                "orderId": format!("o-{}", number % 20), "roomId": room, "productId": tea["id"], "displayName": "Ann",
            })
        };
        let orders: Vec<Value> = (0..60).map(order).collect();
        let replies =
            futures_util::future::join_all(orders.iter().map(|it| tell(&server, it))).await;
        let new = replies.iter().filter(|it| it.status == 201).count();
        assert_eq!(
            (new, replies.iter().filter(|it| it.status == 200).count()),
            (20, 40)
        );
        let products = server
            .get(&format!("/api/v1/rooms/{room}/products"), None)
            .await
            .body;
        let kept = &products["list"][0];
        assert_eq!((&kept["sold"], &kept["stock"]), (&json!(20), &json!(5)));
        server.server.stop().await;
    }
}

#[tokio::test]
async fn what_is_not_signed_or_cannot_be_is_refused_and_changes_nothing() {
    let order = json!({
        "orderId": "o", "roomId": "demo", "productName": "x", "amount": 1, "currency": "EUR", "displayName": "Ann",
    });
    let deaf = TestServer::start().await;
    let refused = tell(&deaf, &order).await;
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (501, &json!("not_configured"))
    );
    assert!(
        refused.body["detail"]
            .as_str()
            .unwrap()
            .contains("order_hook_secret")
    );
    deaf.server.stop().await;

    let server = TestServer::start_with(takes_orders).await;
    let body = order.to_string();
    let now = now();
    for (timestamp, secret) in [
        (now, "another secret of a shop that is long"),
        (now - 301, SECRET),
        (now + 302, SECRET),
    ] {
        let headers = signed(secret, timestamp, &body);
        let reply = post(&server, &headers, body.clone()).await;
        assert_eq!(
            (reply.status, &reply.body["code"]),
            (401, &json!("signature_invalid"))
        );
    }
    assert_eq!(post(&server, &[], body.clone()).await.status, 401);
    let headers = signed(SECRET, now, &body);
    assert_eq!(
        post(&server, &headers, body.replace('1', "2")).await.status,
        401
    );
    let large = "x".repeat(64 * 1024 + 1);
    assert_eq!(
        post(&server, &signed(SECRET, now, &large), large)
            .await
            .status,
        413
    );
    check_fields(&server, &order).await;
    let (mut bob, joined) = server.join("Bob", "demo").await;
    assert_eq!(joined["d"]["chatHistory"], json!([]));
    assert_eq!(tell(&server, &order).await.status, 201);
    assert_eq!(bob.expect("order").await["d"]["productName"], "x");
    server.server.stop().await;
}

/// Sends orders of which one field is as it must not be.
async fn check_fields(server: &TestServer, order: &Value) {
    for (field, value, status, code) in [
        ("roomId", json!("missing"), 404, "not_found"),
        ("roomId", json!("no room"), 404, "not_found"),
        ("quantity", json!(0), 400, "bad_message"),
        ("displayName", json!("\u{200b}"), 422, "invalid_value"),
        ("amount", Value::Null, 422, "invalid_value"),
        ("price", json!(1), 400, "bad_message"),
    ] {
        let mut order = order.clone();
        order[field] = value;
        let reply = tell(server, &order).await;
        assert_eq!(
            (reply.status, &reply.body["code"]),
            (status, &json!(code)),
            "{field}"
        );
    }
}

#[tokio::test]
async fn a_message_may_be_about_a_product_of_the_room() {
    let server = TestServer::start().await;
    let token = server.token("Host").await;
    let room = server.room(&token, json!({ "title": "R" })).await;
    let shop = Seller::new(&server, &room, &token);
    let tea = shop
        .add(json!({ "name": "Tea", "price": 450, "currency": "EUR" }))
        .await;
    let (mut bob, _) = server.join("Bob", &room).await;
    let about = async |bob: &mut Client, id: &Value| {
        bob.ok(
            "chat.send",
            json!({ "text": "Is it good?", "productId": id }),
        )
        .await;
        bob.expect("chat.message").await["d"]["product"].clone()
    };
    assert_eq!(
        about(&mut bob, &tea["id"]).await,
        json!({ "id": tea["id"], "name": "Tea" })
    );
    assert_eq!(about(&mut bob, &json!("missing")).await, Value::Null);
    // What waits for a moderator keeps it.
    let (mut host, _) = server.join("Host", &room).await;
    let settings = format!("/api/v1/rooms/{room}/chat-settings");
    let hold = json!({ "links": "hold" }).to_string();
    crate::harness::call(server.http(), "PATCH", &settings, Some(&token), Some(hold)).await;
    bob.ok(
        "chat.send",
        json!({ "text": "see https://a.example", "productId": tea["id"] }),
    )
    .await;
    let held = host.expect("mod.held").await;
    host.ok(
        "mod.review",
        json!({ "heldId": held["d"]["heldId"], "approve": true }),
    )
    .await;
    let said = bob
        .wait(|it| it["d"]["text"] == "see https://a.example")
        .await;
    assert_eq!(said["d"]["product"]["name"], "Tea");
    server.server.stop().await;
}

/// Somebody who sells in a room.
struct Seller<'a> {
    server: &'a TestServer,
    path: String,
    token: &'a str,
}

impl<'a> Seller<'a> {
    fn new(server: &'a TestServer, room: &str, token: &'a str) -> Self {
        let path = format!("/api/v1/rooms/{room}/products");
        Self {
            server,
            path,
            token,
        }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Reply {
        let path = format!("{}{path}", self.path);
        let body = (!body.is_null()).then_some(body);
        self.server
            .ask((method, &path), Some(self.token), &[], body)
            .await
    }

    async fn add(&self, product: Value) -> Value {
        let reply = self.ask("POST", "", product).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.body
    }
}

pub(crate) fn takes_orders(config: &mut Config) {
    config.order_hook_secret = Some(Secret::new(SECRET));
}

/// Tells a server of an order, as a shop does.
pub(crate) async fn tell(server: &TestServer, order: &Value) -> Reply {
    let body = order.to_string();
    post(server, &signed(SECRET, now(), &body), body).await
}

async fn post(server: &TestServer, headers: &[(&str, String)], body: String) -> Reply {
    send(
        server.http(),
        request(&server.http().to_string(), headers, body),
    )
    .await
}

/// Makes the request by which a shop tells of an order.
pub(crate) fn request(
    host: &str,
    headers: &[(&str, String)],
    body: String,
) -> hyper::Request<http_body_util::Full<hyper::body::Bytes>> {
    let mut request = hyper::Request::builder()
        .method("POST")
        .uri("/api/v1/hooks/orders")
        .header("host", host)
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    request.body(body.into()).unwrap()
}

/// Signs a body as a shop does.
pub(crate) fn signed(secret: &str, timestamp: u64, body: &str) -> [(&'static str, String); 2] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{timestamp}.{body}").as_bytes());
    let tag: String = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    [
        ("x-klieg-timestamp", timestamp.to_string()),
        ("x-klieg-signature", format!("v1={tag}")),
    ]
}

pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// What the shop and the server know.
pub(crate) const SECRET: &str = "what the shop and the server both know";
