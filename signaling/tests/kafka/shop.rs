//! A room that sells cups, and what is known of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::call;

/// A room, as its host sees it.
pub(crate) struct Room {
    pub(crate) id: String,
    token: String,
}

impl Room {
    /// Opens one that sells `cup`.
    pub(crate) async fn new(server: SocketAddr) -> Self {
        let mut room = Self {
            id: String::new(),
            token: String::new(),
        };
        let login = json!({ "username": "Ann" });
        let login = room.ask(server, "POST", "/auth/login", Some(login)).await;
        room.token = login["accessToken"].as_str().unwrap().to_owned();
        let made = json!({ "title": "R" });
        let made = room.ask(server, "POST", "/rooms", Some(made)).await;
        room.id = made["id"].as_str().unwrap().to_owned();
        let cup = json!({ "name": "Cup", "price": 500, "currency": "EUR", "externalId": "cup" });
        let path = format!("/rooms/{}/products", room.id);
        let cup = room.ask(server, "POST", &path, Some(cup)).await;
        assert_eq!(cup["sold"], 0, "{cup}");
        room
    }

    /// Returns how many cups were sold.
    pub(crate) async fn sold(&self, server: SocketAddr) -> u64 {
        let path = format!("/rooms/{}/products", self.id);
        let shelf = self.ask(server, "GET", &path, None).await;
        shelf["list"][0]["sold"].as_u64().unwrap()
    }

    /// Waits until so many are.
    pub(crate) async fn until_sold(&self, server: SocketAddr, wanted: u64) {
        until(&format!("{wanted} sold"), async || {
            self.sold(server).await >= wanted
        })
        .await;
    }

    /// Ends the room's event, and returns how many orders it had.
    pub(crate) async fn orders(&self, server: SocketAddr) -> u64 {
        let to = |what| format!("/rooms/{}/{what}", self.id);
        let nothing = || Some(json!({}));
        self.ask(server, "POST", &to("start"), nothing()).await;
        let over = self.ask(server, "POST", &to("end"), nothing()).await;
        let orders = over["summary"]["orders"].as_u64().unwrap();
        let revenue = &over["summary"]["revenue"]["EUR"];
        assert_eq!(revenue, &json!(500 * orders), "{over}");
        orders
    }

    /// Returns an order as the shop writes it.
    pub(crate) fn order(&self, number: u64) -> Value {
        json!({
            "roomId": self.id, "userId": number, "username": "Bob", "productId": "cup", "productName": "Cup",
            "amount": 500, "timestamp": 1_763_800_000_000_i64,
        })
    }

    async fn ask(
        &self,
        server: SocketAddr,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Value {
        let (path, body) = (format!("/api/v1{path}"), body.map(|it| it.to_string()));
        let token = (!self.token.is_empty()).then_some(self.token.as_str());
        let reply = call(server, method, &path, token, body).await;
        assert!(reply.status < 300, "{method} {path}: {}", reply.body);
        reply.body
    }
}

/// Returns how many messages of Kafka had this outcome.
pub(crate) async fn outcome(server: SocketAddr, outcome: &str) -> u64 {
    let name = format!("klieg_kafka_messages_total{{outcome=\"{outcome}\"}}");
    figure(server, &name).await
}

/// Returns a figure of `/metrics`; 0 for one that is not there yet.
pub(crate) async fn figure(server: SocketAddr, name: &str) -> u64 {
    let text = call(server, "GET", "/metrics", None, None).await.body;
    let mut lines = text.as_str().unwrap().lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

/// Asks for what nobody is told of until it is so.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let since = Instant::now();
    while !holds().await {
        assert!(since.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A group waits ten seconds for a member that died.
const PATIENCE: Duration = Duration::from_secs(120);
