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

#[path = "../sql/journal.rs"]
mod journal;

#[path = "../sql/upkeep.rs"]
mod upkeep;

#[path = "../sql/row.rs"]
mod row;

use std::path::Path;
use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{ConnectOptions, QueryBuilder};

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

/// Opens the database.
pub(super) async fn open(url: &str) -> Result<Stores, StoreError> {
    let store = Arc::new(Store::open(url).await?);
    Ok(Stores {
        users: store.clone(),
        identities: store.clone(),
        rooms: store.clone(),
        journal: store.clone(),
        upkeep: store,
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

/// The database.
pub(super) struct Store {
    pool: PgPool,
}

impl Store {
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        let options = options(url).map_err(|text| StoreError::Backup(text.to_owned()))?;
        let options = options.application_name("klieg");
        let mut connection = options.connect().await?;
        sqlx::migrate!("migrations/postgres")
            .run(&mut connection)
            .await?;
        sqlx::Connection::close(connection).await?;
        let options = options.options([
            ("statement_timeout", "10000"),
            ("lock_timeout", "5000"),
            ("idle_in_transaction_session_timeout", "15000"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECT)
            .connect_with(options)
            .await?;
        Ok(Self { pool })
    }

    fn writer(&self) -> &PgPool {
        &self.pool
    }

    fn readers(&self) -> &PgPool {
        &self.pool
    }
}

/// Narrows a list to a thousand rooms that have words which begin so.
fn candidates(select: &mut QueryBuilder<Database>, words: &[String]) {
    let all: Vec<String> = words.iter().map(|word| format!("'{word}':*")).collect();
    select
        .push(" AND id IN (SELECT id FROM rooms WHERE search @@ to_tsquery('simple', ")
        .push_bind(all.join(" & "))
        .push(") LIMIT 1000)");
}

/// Gathers the statistics that the server gathers by itself after a while.
#[cfg(test)]
async fn settle(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query("VACUUM ANALYZE rooms").execute(pool).await?;
    Ok(())
}

#[cfg(test)]
fn plan_line(row: &Row) -> Result<String, sqlx::Error> {
    sqlx::Row::try_get(row, 0)
}

/// Half of what a small server of `PostgreSQL` takes by itself.
const CONNECTIONS: u32 = 20;

#[cfg(test)]
const EXPLAIN: &str = "EXPLAIN ";
