//! Orders from a real broker of Apache Kafka: `make test-kafka`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests are tests, too"
)]

mod broker;

mod faults;

#[path = "../server/harness.rs"]
#[expect(dead_code, reason = "the tests of the server use the rest")]
mod harness;

#[path = "../support/postgres.rs"]
mod postgres;

#[path = "../server/schema.rs"]
mod schema;

mod shop;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use klieg_signaling::{Config, Secret};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use broker::{Broker, Topic, ended};
use harness::{Client, Reply, TempDir, TestServer, call};
use postgres::Cluster;
use shop::{Room, figure, outcome, until};

#[tokio::test]
async fn an_order_of_the_topic_is_shown_as_one_that_the_shop_tells_of() {
    let broker = Broker::shared();
    let topic = Topic::new(broker, 1).await;
    let reads = |config: &mut Config| {
        reads(config, broker, &topic);
        // Of two databases each is a group of its own.
        let folder = config.data.file_name().unwrap();
        config.kafka_group = folder.to_str().unwrap().to_owned();
        config.order_hook_secret = Some(Secret::new(SECRET));
    };
    for server in TestServer::on_each(reads).await {
        let http = server.http();
        let room = Room::new(http).await;
        let (mut bob, _) = server.join("Bob", &room.id).await;
        let hook = json!({
            "orderId": "A-1", "roomId": room.id, "userId": "7", "displayName": "Bob", "productId": "cup",
            "productName": "Cup", "amount": 500,
        });
        assert_eq!(tell(&server, &hook).await.status, 201);
        let told = shown(&mut bob).await;
        topic.write(0, Some(&room.order(7).to_string())).await;
        assert_eq!(shown(&mut bob).await, told);

        // By its own id it is known, whichever way it comes again.
        for id in ["A-1", "A-2", "A-2"] {
            let mut order = room.order(7);
            order["orderId"] = json!(id);
            topic.write(0, Some(&order.to_string())).await;
        }
        until("two are known", async || outcome(http, "again").await == 2).await;
        assert_eq!(tell(&server, &renamed(hook, "A-2")).await.status, 200);
        assert_eq!((room.sold(http).await, room.orders(http).await), (3, 3));
        server.server.stop().await;
    }
}

#[tokio::test]
async fn what_is_no_order_is_counted_and_stops_nothing() {
    let broker = Broker::shared();
    let topic = Topic::new(broker, 1).await;
    let server = TestServer::start_with(|config| reads(config, broker, &topic)).await;
    let http = server.http();
    let room = Room::new(http).await;
    let poison = poison(&room);
    for text in &poison {
        topic.write(0, text.as_deref()).await;
        topic.write(0, Some(&room.order(1).to_string())).await;
    }
    let count = u64::try_from(poison.len()).unwrap();
    for label in ["new", "skipped"] {
        until(label, async || outcome(http, label).await >= count).await;
        assert_eq!(outcome(http, label).await, count);
    }
    until("nothing waits", async || nothing_waits(http).await).await;
    assert_eq!(room.sold(http).await, count);

    // They were left behind for good.
    let server = server.restart().await;
    let http = server.http();
    topic.write(0, Some(&room.order(1).to_string())).await;
    room.until_sold(http, count + 1).await;
    assert_eq!(outcome(http, "skipped").await, 0);
    assert_eq!(outcome(http, "again").await, 0);
    assert_eq!(room.orders(http).await, count + 1);
    server.server.stop().await;
}

#[tokio::test]
async fn a_topic_that_is_read_again_from_its_beginning_counts_once() {
    let broker = Broker::shared();
    let topic = Topic::new(broker, 3).await;
    let server = TestServer::start_with(|config| reads(config, broker, &topic)).await;
    let room = Room::new(server.http()).await;
    for number in 0..30 {
        let order = room.order(u64::from(number % 2 == 0)).to_string();
        topic.write(number % 3, Some(&order)).await;
    }
    room.until_sold(server.http(), 30).await;
    let mut server = server;
    server.config.kafka_group = "another".to_owned();
    let server = server.restart().await;
    let http = server.http();
    until("all again", async || outcome(http, "again").await == 30).await;
    assert_eq!((room.sold(http).await, room.orders(http).await), (30, 30));
    server.server.stop().await;
}

#[tokio::test]
async fn a_server_that_is_killed_in_between_loses_no_order_and_doubles_none() {
    let seed = rand::random::<u64>();
    println!("seed {seed:#x}");
    let mut dice = StdRng::seed_from_u64(seed);
    let broker = Broker::shared();
    let topic = Topic::new(broker, 3).await;
    let mut klieg = Process::start(broker, &topic);
    let room = Room::new(klieg.http).await;
    let mut written = 0;
    for _ in 0..3 {
        let enough = written + dice.random_range(1..ROUND);
        let shop = async {
            for number in written..written + ROUND {
                let partition = i32::try_from(number % 3).unwrap();
                let order = room.order(number).to_string();
                topic.write(partition, Some(&order)).await;
            }
        };
        let killer = async {
            room.until_sold(klieg.http, enough).await;
            klieg.kill();
            klieg.serve(broker, &topic);
        };
        tokio::join!(shop, killer);
        written += ROUND;
    }
    room.until_sold(klieg.http, written).await;
    until("nothing waits", async || nothing_waits(klieg.http).await).await;
    assert_eq!(room.sold(klieg.http).await, written);
    assert_eq!(room.orders(klieg.http).await, written);
    assert_eq!(klieg.terminate().await, Some(0));
}

#[tokio::test]
async fn a_broker_that_was_away_is_read_on_where_it_was() {
    let broker = Broker::start();
    let topic = Topic::new(&broker, 1).await;
    let klieg = Process::start(&broker, &topic);
    let http = klieg.http;
    let room = Room::new(http).await;
    let order = room.order(1).to_string();
    topic.write(0, Some(&order)).await;
    room.until_sold(http, 1).await;
    let connected = async || figure(http, "klieg_kafka_connected").await == 1;
    until("it answers", &connected).await;
    broker.go_away();
    until("nobody answers", async || !connected().await).await;
    let ready = call(http, "GET", "/readyz", None, None).await;
    assert_eq!((ready.status, &ready.body), (200, &json!("ready\n")));
    broker.come_back();
    topic.write(0, Some(&order)).await;
    room.until_sold(http, 2).await;
    assert_eq!(outcome(http, "skipped").await, 0);

    // Nobody has to answer for a server to stop.
    broker.go_away();
    until("nobody answers", async || !connected().await).await;
    assert_eq!(klieg.terminate().await, Some(0));
}

#[tokio::test]
async fn orders_wait_for_a_database_that_is_away() {
    let broker = Broker::shared();
    let topic = Topic::new(broker, 1).await;
    let cluster = Cluster::start();
    let url = cluster.create();
    let server = TestServer::start_with(|config| {
        reads(config, broker, &topic);
        config.database_url = Some(Secret::new(url));
    })
    .await;
    let http = server.http();
    let room = Room::new(http).await;
    let order = room.order(1).to_string();
    topic.write(0, Some(&order)).await;
    room.until_sold(http, 1).await;
    cluster.down();
    for _ in 0..100 {
        topic.write(0, Some(&order)).await;
    }
    until("they are tried", async || {
        outcome(http, "retried").await > 2
    })
    .await;
    // What comes now is not read, and yet known of.
    for _ in 0..50 {
        topic.write(0, Some(&order)).await;
    }
    let lag = async || figure(http, "klieg_kafka_lag_messages").await;
    until("the figures go on", async || lag().await == 150).await;
    assert_eq!(figure(http, "klieg_kafka_connected").await, 1);
    cluster.up();
    room.until_sold(http, 151).await;
    assert_eq!(outcome(http, "skipped").await, 0);
    assert_eq!(room.orders(http).await, 151);
    server.server.stop().await;
}

#[tokio::test]
async fn servers_of_one_group_share_the_topic_and_take_over_from_each_other() {
    let broker = Broker::shared();
    let topic = Topic::new(broker, 4).await;
    let url = tokio::task::spawn_blocking(postgres::database).await;
    let url = url.unwrap();
    let on = |config: &mut Config| {
        reads(config, broker, &topic);
        config.database_url = Some(Secret::new(url.clone()));
    };
    let here = TestServer::start_with(on).await;
    let secret = here.config.data.join("signing-secret");
    let there = TestServer::start_with(|config| {
        on(config);
        std::fs::copy(secret, config.data.join("signing-secret")).unwrap();
    })
    .await;
    let room = Room::new(here.http()).await;
    let order = room.order(1).to_string();
    let mut written = 0;
    let of_both = async || {
        [
            outcome(here.http(), "new").await,
            outcome(there.http(), "new").await,
        ]
    };
    // Until both have some of the partitions, and then some more.
    while of_both().await.contains(&0) || written < 100 {
        for partition in 0..4 {
            topic.write(partition, Some(&order)).await;
        }
        written += 4;
        assert!(written < 100_000, "one of them gets nothing");
    }
    room.until_sold(here.http(), written).await;
    until("each counts", async || {
        of_both().await.iter().sum::<u64>() >= written
    })
    .await;
    assert_eq!(of_both().await.iter().sum::<u64>(), written);

    // The other one has all that is written from now on.
    let before = outcome(there.http(), "new").await;
    here.server.stop().await;
    for partition in 0..4 {
        topic.write(partition, Some(&order)).await;
    }
    until("the rest", async || {
        outcome(there.http(), "new").await >= before + 4
    })
    .await;
    assert_eq!(room.sold(there.http()).await, written + 4);
    there.server.stop().await;
}

fn reads(config: &mut Config, broker: &Broker, topic: &Topic) {
    config.kafka_brokers = vec![broker.address.clone()];
    config.kafka_topic.clone_from(&topic.name);
    config.kafka_group.clone_from(&topic.name);
}

/// Returns what is shown of an order, but for what differs from one to the next.
async fn shown(viewer: &mut Client) -> [Value; 3] {
    let mut shown = [
        viewer.expect("chat.message").await["d"].take(),
        viewer.expect("order").await["d"].take(),
        viewer.expect("product").await["d"].take(),
    ];
    for content in &mut shown {
        let content = content.as_object_mut().unwrap();
        for field in ["capturedAt", "messageId", "seq", "sold", "ts"] {
            content.remove(field);
        }
    }
    shown
}

/// Tells a server of an order, as a shop does that signs it.
async fn tell(server: &TestServer, order: &Value) -> Reply {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_secs().to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, format!("{now}.{order}").as_bytes());
    let tag: String = tag.as_ref().iter().map(|it| format!("{it:02x}")).collect();
    let signature = format!("v1={tag}");
    let headers = [
        ("x-klieg-timestamp", now.as_str()),
        ("x-klieg-signature", signature.as_str()),
    ];
    let to = ("POST", "/api/v1/hooks/orders");
    server.ask(to, None, &headers, Some(order.clone())).await
}

/// Returns whether all was read that a broker has, and it says so.
async fn nothing_waits(server: SocketAddr) -> bool {
    figure(server, "klieg_kafka_connected").await == 1
        && figure(server, "klieg_kafka_lag_messages").await == 0
}

fn renamed(mut order: Value, id: &str) -> Value {
    order["orderId"] = json!(id);
    order
}

/// Returns what is no order; `None`: no message at all.
fn poison(room: &Room) -> Vec<Option<String>> {
    let broken = |field: &str, value: Value| {
        let mut order = room.order(0);
        order[field] = value;
        Some(order.to_string())
    };
    vec![
        None,
        Some(String::new()),
        Some("{".to_owned()),
        Some("[]".to_owned()),
        Some("\u{0}".to_owned()),
        broken("roomId", json!("nowhere")),
        broken("roomId", json!("no room")),
        broken("username", json!("")),
        broken("amount", json!("500")),
        broken("currency", json!("?")),
        broken("productName", json!("x".repeat(70_000))),
        // Of what the room does not sell the currency is not known.
        broken("productId", json!("plate")),
    ]
}

/// The binary, which can be killed.
struct Process {
    data: TempDir,
    /// `None` once it is gone.
    child: Option<Child>,
    http: SocketAddr,
}

impl Process {
    fn start(broker: &Broker, topic: &Topic) -> Self {
        let data = TempDir::new();
        let (child, http) = spawn(&data, broker, topic);
        let child = Some(child);
        Self { data, child, http }
    }

    /// Ends it in the middle of whatever it does.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again on the same data.
    fn serve(&mut self, broker: &Broker, topic: &Topic) {
        let (child, http) = spawn(&self.data, broker, topic);
        (self.child, self.http) = (Some(child), http);
    }

    /// Asks it to end, and returns its exit code; one that goes on is killed.
    async fn terminate(mut self) -> Option<i32> {
        let child = self.child.as_ref().unwrap();
        let id = child.id().to_string();
        let mut kill = Command::new("kill");
        assert!(kill.args(["-TERM", &id]).status().unwrap().success());
        let ending = tokio::task::spawn_blocking(move || {
            let child = self.child.as_mut().unwrap();
            ended(child, TO_END).expect("it goes on").code()
        });
        ending.await.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(data: &TempDir, broker: &Broker, topic: &Topic) -> (Child, SocketAddr) {
    let brokers = format!("kafka_brokers=[\"{}\"]", broker.address);
    let mut command = Command::new(env!("CARGO_BIN_EXE_klieg"));
    command
        .current_dir(data.path())
        .args(["--dev", "--http", "127.0.0.1:0", "--media", "127.0.0.1:0"])
        .args(["--media-shards", "1", "--log", "warn", "--set", &brokers])
        .args(["--set", &format!("kafka_topic={}", topic.name)])
        .arg("--data")
        .arg(data.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (told, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        told.send((line, out.into_inner()))
    });
    let Ok((line, out)) = lines.recv_timeout(TO_START) else {
        child.kill().unwrap();
        panic!("the server does not start");
    };
    // It writes there until it ends.
    child.stdout = Some(out);
    let http = line.split("http=http://").nth(1).unwrap();
    let http = http.split(' ').next().unwrap().parse().unwrap();
    (child, http)
}

const SECRET: &str = "a secret of the shop that is long enough";

const TO_START: Duration = Duration::from_secs(90);

/// Some seconds after the last broker is gone.
const TO_END: Duration = Duration::from_secs(15);

/// Orders between one kill and the next: more than are on their way at once.
const ROUND: u64 = 400;
