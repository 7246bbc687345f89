//! The stores in a `PostgreSQL` database.

#![expect(
    clippy::duplicate_mod,
    reason = "what both databases read is written once, and compiled for each"
)]

#[path = "../sql/identity.rs"]
mod identity;

#[path = "../sql/users.rs"]
mod users;

#[path = "../sql/rooms.rs"]
mod rooms;

#[path = "../sql/lists.rs"]
mod lists;

#[path = "../sql/thumbnails.rs"]
mod thumbnails;

#[path = "../sql/journal.rs"]
mod journal;

#[path = "../sql/deeds.rs"]
mod deeds;

#[path = "../sql/order.rs"]
mod order;

#[path = "../sql/limits.rs"]
mod limits;

#[path = "../sql/members.rs"]
mod members;

#[path = "../sql/held.rs"]
mod held;

#[path = "../sql/shop.rs"]
mod shop;

#[path = "../sql/likes.rs"]
mod likes;

#[path = "../sql/polls.rs"]
mod polls;

#[path = "../sql/questions.rs"]
mod questions;

#[path = "../sql/creation.rs"]
mod creation;

#[path = "../sql/outbox.rs"]
mod outbox;

#[path = "../sql/webhooks.rs"]
mod webhooks;

#[path = "../sql/deliveries.rs"]
mod deliveries;

#[path = "../sql/delivery_log.rs"]
mod delivery_log;

#[path = "../sql/analytics.rs"]
mod analytics;

#[path = "../sql/audiences.rs"]
mod audiences;

#[path = "../sql/upkeep.rs"]
mod upkeep;

#[path = "../sql/steps.rs"]
mod steps;

#[path = "../sql/row.rs"]
mod row;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{ConnectOptions, QueryBuilder};
use tokio::sync::Notify;

use super::look::{Standing, compare};
use super::{CONNECT, StoreError, Stores};

type Database = sqlx::Postgres;
type Row = PgRow;
type Connection = sqlx::PgConnection;

/// Reads where the database is.
///
/// # Errors
/// The URL is none.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, &'static str> {
    // The reader's own words would repeat the password.
    url.parse()
        .map_err(|_| "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…")
}

/// Names the database without user and password.
pub(super) fn shown(url: &str) -> String {
    options(url).map_or_else(
        |text| text.to_owned(),
        |options| {
            let (host, port) = (options.get_host(), options.get_port());
            let name = options.get_database().unwrap_or("of the user's name");
            format!("PostgreSQL database {name} at {host}:{port}")
        },
    )
}

/// Opens the database.
pub(super) async fn open(url: &str) -> Result<Stores, StoreError> {
    let store = Arc::new(Store::open(url).await?);
    Ok(Stores {
        users: store.clone(),
        identities: store.clone(),
        rooms: store.clone(),
        creations: store.clone(),
        thumbnails: store.clone(),
        journal: store.clone(),
        order: store.clone(),
        shop: store.clone(),
        likes: store.clone(),
        floor: store.clone(),
        webhooks: store.clone(),
        deliveries: store.clone(),
        delivery_log: store.clone(),
        upkeep: store.clone(),
        analytics: store,
    })
}

/// Has `pg_dump` write a copy of the database.
pub(super) async fn back_up(url: &str, to: &Path) -> Result<(), StoreError> {
    let mut command = tokio::process::Command::new("pg_dump");
    // An argument could be read by everybody on the machine.
    let url = url::Url::parse(url).map_err(|error| StoreError::Backup(error.to_string()))?;
    let password = percent_encoding::percent_decode_str(url.password().unwrap_or_default());
    let mut shown = url.clone();
    let _ = shown.set_password(None);
    command
        .env("PGPASSWORD", password.decode_utf8_lossy().as_ref())
        .args(["--format=custom", "--no-password", "--file"])
        .arg(to)
        .arg(shown.as_str());
    let output = command.output().await.map_err(|error| {
        StoreError::Backup(format!("pg_dump (of PostgreSQL's client tools): {error}"))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().next().unwrap_or("pg_dump failed");
    Err(StoreError::Backup(line.to_owned()))
}

/// Connects to the database and looks at its tables.
pub(super) async fn look(url: &str) -> Result<Standing, StoreError> {
    let work = async {
        let options = options(url).map_err(|text| StoreError::Backup(text.to_owned()))?;
        let mut connection = options.application_name("klieg check").connect().await?;
        let gone = if has_tables(&mut connection).await? {
            steps::steps(&mut connection).await?
        } else {
            BTreeMap::new()
        };
        sqlx::Connection::close(connection).await?;
        Ok(compare(&gone, &MIGRATIONS))
    };
    let looked = tokio::time::timeout(LOOK, work).await;
    looked.unwrap_or(Err(StoreError::Deadline(LOOK)))
}

async fn has_tables(connection: &mut Connection) -> Result<bool, sqlx::Error> {
    let found = sqlx::query("SELECT 1 WHERE to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

/// What brings the tables of older versions to this one.
static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// The database.
pub(super) struct Store {
    pool: PgPool,
    /// Something is to be told outside.
    told: Notify,
}

impl Store {
    /// Whether one server uses it at a time.
    const IS_ALONE: bool = false;

    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        let options = options(url).map_err(|text| StoreError::Backup(text.to_owned()))?;
        let options = options.application_name("klieg");
        let mut connection = options.connect().await?;
        MIGRATIONS.run(&mut connection).await?;
        sqlx::Connection::close(connection).await?;
        let options = options.options([
            // Lists are walked in the order of an index and left after a page. By the costs of discs that turn, the planner
            // believes that reading and sorting all of one is quicker: up to a hundred times slower, as measured.
            ("random_page_cost", "1.1"),
            ("statement_timeout", "10000"),
            ("lock_timeout", "5000"),
            ("idle_in_transaction_session_timeout", "15000"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECT)
            // It was reached a moment ago; who has to wait now is told so with the first question.
            .connect_lazy_with(options);
        Ok(Self {
            pool,
            told: Notify::new(),
        })
    }

    fn writer(&self) -> &PgPool {
        &self.pool
    }

    fn readers(&self) -> &PgPool {
        &self.pool
    }
}

/// Narrows a list to the rooms that have words which begin so.
fn candidates(select: &mut QueryBuilder<Database>, words: &[String]) {
    select.push(" AND id IN (");
    matches(select, words);
    select.push(")");
}

/// Finds listed rooms that have words which begin so.
fn matches(select: &mut QueryBuilder<Database>, words: &[String]) {
    let all: Vec<String> = words.iter().map(|word| format!("'{word}':*")).collect();
    select
        .push("SELECT id FROM rooms WHERE search @@ to_tsquery('simple', ")
        .push_bind(all.join(" & "))
        .push(")");
}

/// Finds some rows of a room, so many at most.
fn push_some(
    query: &mut QueryBuilder<Database>,
    (table, room): (&'static str, &str),
    at_most: i64,
) {
    query
        .push("ctid = ANY(ARRAY(SELECT ctid FROM ")
        .push(table)
        .push(" WHERE room_id = ")
        .push_bind(room.to_owned())
        .push(" LIMIT ")
        .push_bind(at_most)
        .push("))");
}

/// Gathers the statistics that the server gathers by itself after a while.
#[cfg(test)]
async fn settle(pool: &PgPool) -> Result<(), sqlx::Error> {
    // Of a million rooms it takes longer than a statement may.
    let mut connection = pool.acquire().await?;
    for statement in [
        "SET statement_timeout = 0",
        "VACUUM ANALYZE rooms",
        "RESET statement_timeout",
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

#[cfg(test)]
fn plan_line(row: &Row) -> Result<String, sqlx::Error> {
    sqlx::Row::try_get(row, 0)
}

/// How long who looks waits for an answer.
const LOOK: Duration = Duration::from_secs(5);

/// Half of what a small server of `PostgreSQL` takes by itself.
const CONNECTIONS: u32 = 20;

#[cfg(test)]
const EXPLAIN: &str = "EXPLAIN ";
