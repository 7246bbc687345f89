//! The stores in one `SQLite` file.

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
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, QueryBuilder};
use tokio::sync::Notify;

use super::look::{Standing, compare};
use super::{CONNECT, StoreError, Stores, private};

type Database = sqlx::Sqlite;
type Row = SqliteRow;
type Connection = sqlx::SqliteConnection;

/// Opens or creates the database.
pub(super) async fn open(file: &Path) -> Result<Stores, StoreError> {
    let store = Arc::new(Store::open(file).await?);
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

/// Writes a copy of the database.
pub(super) async fn back_up(file: &Path, to: &Path) -> Result<(), StoreError> {
    let to = to
        .to_str()
        .ok_or_else(|| StoreError::Backup("the name of the file to write is no text".to_owned()))?;
    let mut connection = SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(BUSY)
        .read_only(true)
        .connect()
        .await?;
    sqlx::query("VACUUM INTO $1")
        .bind(to)
        .execute(&mut connection)
        .await?;
    Ok(())
}

/// Opens the database for reading, where there is one.
pub(super) async fn look(file: &Path) -> Result<Standing, StoreError> {
    if !file.exists() {
        return Ok(Standing::Empty);
    }
    let options = SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(BUSY);
    let mut connection = options.read_only(true).connect().await?;
    let gone = if has_tables(&mut connection).await? {
        steps::steps(&mut connection).await?
    } else {
        BTreeMap::new()
    };
    sqlx::Connection::close(connection).await?;
    Ok(compare(&gone, &MIGRATIONS))
}

async fn has_tables(connection: &mut Connection) -> Result<bool, sqlx::Error> {
    let found = sqlx::query("SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations'")
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

/// What brings the tables of older versions to this one.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// The database.
pub(super) struct Store {
    /// One connection, for everything that changes something.
    writer: SqlitePool,
    /// The others.
    readers: SqlitePool,
    /// Something is to be told outside.
    told: Notify,
}

impl Store {
    /// Whether one server uses it at a time.
    const IS_ALONE: bool = true;

    pub(super) async fn open(file: &Path) -> Result<Self, StoreError> {
        // The other files that SQLite makes are as the first is. What cannot be made is told when it is opened.
        if !file.exists() {
            let _ = private(file);
        }
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .journal_mode(SqliteJournalMode::Wal)
            // An acknowledged message survives the loss of power, not only that of the process.
            .synchronous(SqliteSynchronous::Full);
        // A table that is made anew is dropped first, which would take with it what refers to its rows.
        let mut connection = options.clone().foreign_keys(false).connect().await?;
        MIGRATIONS.run(&mut connection).await?;
        sqlx::Connection::close(connection).await?;
        // SQLite has one writer: waiting in our queue is fair, waiting for its lock is not.
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(WRITE)
            .connect_with(options.clone())
            .await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(CONNECT)
            .connect_with(options.read_only(true))
            .await?;
        Ok(Self {
            writer,
            readers,
            told: Notify::new(),
        })
    }

    fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    fn readers(&self) -> &SqlitePool {
        &self.readers
    }
}

/// Narrows a list to the rooms that have words which begin so.
fn candidates(select: &mut QueryBuilder<Database>, words: &[String]) {
    select.push(" AND number IN (");
    matches(select, words);
    select.push(")");
}

/// Finds listed rooms that have words which begin so.
fn matches(select: &mut QueryBuilder<Database>, words: &[String]) {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"*")).collect();
    select
        .push("SELECT rowid FROM rooms_search WHERE words MATCH ")
        .push_bind(quoted.join(" "));
}

/// Finds some rows of a room, so many at most.
fn push_some(
    query: &mut QueryBuilder<Database>,
    (table, room): (&'static str, &str),
    at_most: i64,
) {
    query
        .push("rowid IN (SELECT rowid FROM ")
        .push(table)
        .push(" WHERE room_id = ")
        .push_bind(room.to_owned())
        .push(" LIMIT ")
        .push_bind(at_most)
        .push(")");
}

/// Does nothing: lists must be read by an index without statistics, too.
#[cfg(test)]
async fn settle(_: &SqlitePool) -> Result<(), sqlx::Error> {
    std::future::ready(Ok(())).await
}

#[cfg(test)]
fn plan_line(row: &Row) -> Result<String, sqlx::Error> {
    sqlx::Row::try_get(row, "detail")
}

/// How long a connection waits for the lock of another process, such as a backup.
const BUSY: Duration = Duration::from_secs(5);

/// How long who writes waits for the one connection.
const WRITE: Duration = Duration::from_secs(10);

/// Reading is quick; more connections than this only cost memory.
const READERS: u32 = 4;

#[cfg(test)]
const EXPLAIN: &str = "EXPLAIN QUERY PLAN ";
