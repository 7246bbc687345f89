//! Orders at which the server itself fails: at one of them, or at all.

use std::time::Duration;

use klieg_signaling::{Config, Secret};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use tokio::task::spawn_blocking;

use crate::broker::{Broker, Topic};
use crate::harness::TestServer;
use crate::postgres;
use crate::shop::{Room, figure, outcome, until};
use crate::{nothing_waits, reads};

#[tokio::test]
async fn an_order_at_which_alone_the_server_fails_is_left_behind_and_takes_no_other_with_it() {
    let broker = Broker::shared();
    let topic = Topic::new(broker, 1).await;
    let server = TestServer::start_with(|config| reads(config, broker, &topic)).await;
    let http = server.http();
    let room = Room::new(http).await;
    let database = server.config.data.join("klieg.db");
    let url = format!("sqlite:{}", database.display());
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON orders WHEN NEW.buyer_name = 'Eve'
                  BEGIN SELECT RAISE(ABORT, 'no'); END";
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    database.execute(refuse).await.unwrap();

    // They are written in one transaction, which fails.
    let good = room.order(1).to_string();
    let mut bad = room.order(2);
    bad["username"] = "Eve".into();
    for number in 0..30 {
        let order = if number == 9 { &bad.to_string() } else { &good };
        topic.write(0, Some(order)).await;
    }
    room.until_sold(http, 29).await;
    until("it waits", async || outcome(http, "retried").await > 2).await;
    assert_eq!(outcome(http, "failed").await, 0);
    let lag = async || figure(http, "klieg_kafka_lag_messages").await;
    until("it is behind", async || lag().await == 21).await;

    let mut written = 29;
    while outcome(http, "failed").await == 0 {
        assert!(written < 1_000, "it is never left behind");
        topic.write(0, Some(&good)).await;
        written += 1;
        room.until_sold(http, written).await;
        tokio::time::sleep(SOME_TIME).await;
    }
    until("nothing waits", async || nothing_waits(http).await).await;
    assert_eq!(outcome(http, "skipped").await, 0);

    // It was left behind for good, and nothing is read again.
    let server = server.restart().await;
    let http = server.http();
    topic.write(0, Some(&good)).await;
    room.until_sold(http, written + 1).await;
    for label in ["again", "retried", "failed"] {
        assert_eq!(outcome(http, label).await, 0, "{label}");
    }
    assert_eq!(room.orders(http).await, written + 1);
    server.server.stop().await;
}

#[tokio::test]
async fn one_room_at_whose_orders_the_server_fails_holds_up_no_other_and_loses_none() {
    let broker = Broker::shared();
    let topic = Topic::new(broker, 1).await;
    let server = TestServer::start_with(|config| reads(config, broker, &topic)).await;
    let http = server.http();
    let (ill, well) = (Room::new(http).await, Room::new(http).await);
    let database = server.config.data.join("klieg.db");
    let url = format!("sqlite:{}", database.display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    let refuse = format!(
        "CREATE TRIGGER refuse BEFORE INSERT ON orders WHEN NEW.room_id = '{}'
         BEGIN SELECT RAISE(ABORT, 'no'); END",
        ill.id
    );
    database.execute(sqlx::AssertSqlSafe(refuse)).await.unwrap();

    // More than wait of all rooms together, and nothing between them.
    let good = well.order(1).to_string();
    topic.write(0, Some(&good)).await;
    well.until_sold(http, 1).await;
    let order = ill.order(1).to_string();
    for _ in 0..MANY {
        topic.write(0, Some(&order)).await;
    }
    topic.write(0, Some(&good)).await;
    well.until_sold(http, 2).await;
    assert!(outcome(http, "put_off").await > MANY / 2);
    let lag = async || figure(http, "klieg_kafka_lag_messages").await;
    until("none is told to be read", async || lag().await == MANY + 1).await;

    database.execute("DROP TRIGGER refuse").await.unwrap();
    ill.until_sold(http, MANY).await;
    until("nothing waits", async || nothing_waits(http).await).await;
    for label in ["failed", "skipped"] {
        assert_eq!(outcome(http, label).await, 0, "{label}");
    }
    assert_eq!((ill.orders(http).await, well.orders(http).await), (MANY, 2));
    server.server.stop().await;
}

#[tokio::test]
async fn while_the_server_fails_at_every_order_none_is_left_behind() {
    let broker = Broker::shared();
    let topic = Topic::new(broker, 2).await;
    let url = spawn_blocking(postgres::database).await.unwrap();
    let server = TestServer::start_with(|config: &mut Config| {
        reads(config, broker, &topic);
        config.database_url = Some(Secret::new(url.clone()));
    })
    .await;
    let http = server.http();
    let room = Room::new(http).await;
    let mut database = PgConnection::connect(&url).await.unwrap();
    let refuse = "ALTER TABLE orders ADD CONSTRAINT refuse CHECK (false) NOT VALID";
    database.execute(refuse).await.unwrap();
    let order = room.order(1).to_string();
    for number in 0..100 {
        topic.write(number % 2, Some(&order)).await;
    }
    // Each of them some times: with others beside that go, one of them would soon be given up.
    until("they are tried", async || {
        outcome(http, "retried").await > 700
    })
    .await;
    assert_eq!(outcome(http, "failed").await, 0);
    let take = "ALTER TABLE orders DROP CONSTRAINT refuse";
    database.execute(take).await.unwrap();
    room.until_sold(http, 100).await;
    until("nothing waits", async || nothing_waits(http).await).await;
    for label in ["failed", "skipped"] {
        assert_eq!(outcome(http, label).await, 0, "{label}");
    }
    assert_eq!(room.orders(http).await, 100);
    server.server.stop().await;
}

/// More than wait at once.
const MANY: u64 = 2_500;

/// Between one order and the next.
const SOME_TIME: Duration = Duration::from_millis(300);
