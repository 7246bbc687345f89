//! What outlives the process. The only place with SQL: one trait per aggregate, and behind it `SQLite` or
//! `PostgreSQL`. Statements that both read are written once, in `sql/`; each database's folder has its connections
//! and what only it understands.

mod room;

mod creation;

mod thumbnail;

mod list;

mod journal;

mod deed;

mod limit;

mod shop;

mod like;

mod floor;

mod user;

mod webhook;

mod upkeep;

mod analytics;

mod look;

mod words;

mod identity;

mod postgres;

mod sqlite;

#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::future::Future;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::error::ErrorKind;

pub(crate) use analytics::{AnalyticsStore, EventFigures, MAX_REGIONS, Names, RoomRollup};
pub(crate) use creation::{Claim, CreationKey, CreationStore};
pub(crate) use deed::{
    Audit, ChatDeleted, ChatPinned, Deed, Done, Held, MAX_REASON, NewHeld, NewReport, Order,
    OrderStore, Report, SettingsView,
};
pub(crate) use floor::{
    Floor, FloorStore, MAX_POLLS, MAX_QUESTIONS, OwnPoll, OwnQuestion, Poll, PollDeed, PollOpening,
    PollOption, Question, QuestionDeed, Refused,
};
pub(crate) use identity::{IdentityStore, NewSignIn, Renewal, Renewed, StoredAccount};
pub(crate) use journal::{
    Answered, Author, ChatMessage, Details, Entry, Event, JournalStore, MessageKind, NewChat,
    Outcome, RoomUpdate,
};
pub(crate) use like::{LikeStore, Liked, Liking};
pub(crate) use limit::{Limit, LimitKind, MAX_BAN_ADDRESSES, Membership};
pub(crate) use list::{RoomCursor, RoomOrder, RoomQuery, SeenBy};
pub(crate) use look::{Standing, look};
pub(crate) use room::{
    Created, Document, ExternalLink, Quality, RoomRecord, RoomStatus, RoomStore, Totals, Visibility,
};
pub(crate) use shop::{Ordered, ProductName, ShopStore};
pub(crate) use thumbnail::ThumbnailStore;
pub(crate) use upkeep::UpkeepStore;
pub(crate) use user::{User, UserStore};
pub(crate) use webhook::{
    Added, Backlog, Delivery, DeliveryLogStore, DeliveryQuery, DeliveryStatus, DeliveryStore, Due,
    Keep, Lane, Lease, Next, Replay, Swept, Tried, Webhook, WebhookStore,
};
pub(crate) use words::words;

/// The stores, one by one.
#[derive(Clone)]
pub(crate) struct Stores {
    /// People.
    pub users: Arc<dyn UserStore>,
    /// Accounts and sign-ins.
    pub identities: Arc<dyn IdentityStore>,
    /// Rooms.
    pub rooms: Arc<dyn RoomStore>,
    /// What was created within them, and under which keys.
    pub creations: Arc<dyn CreationStore>,
    /// The pictures that their owners gave them.
    pub thumbnails: Arc<dyn ThumbnailStore>,
    /// What happened in rooms, chat included.
    pub journal: Arc<dyn JournalStore>,
    /// What those who keep order left behind.
    pub order: Arc<dyn OrderStore>,
    /// What rooms sell.
    pub shop: Arc<dyn ShopStore>,
    /// Who likes which.
    pub likes: Arc<dyn LikeStore>,
    /// Polls and questions.
    pub floor: Arc<dyn FloorStore>,
    /// Who is told outside.
    pub webhooks: Arc<dyn WebhookStore>,
    /// What is on its way to them.
    pub deliveries: Arc<dyn DeliveryStore>,
    /// What became of it.
    pub delivery_log: Arc<dyn DeliveryLogStore>,
    /// What has had its time.
    pub upkeep: Arc<dyn UpkeepStore>,
    /// What is known of audiences.
    pub analytics: Arc<dyn AnalyticsStore>,
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stores")
    }
}

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// A file, made when missing.
    Sqlite(PathBuf),
    /// A server; the URL may hold a password and is never shown.
    Postgres(crate::auth::Secret),
}

impl Location {
    /// Reads `sqlite:FILE` or `postgres://…`.
    ///
    /// # Errors
    /// What is expected instead.
    pub(crate) fn parse(url: &str) -> Result<Self, &'static str> {
        if let Some(file) = url.strip_prefix("sqlite:") {
            let file = file.strip_prefix("//").unwrap_or(file);
            return if file.is_empty() {
                Err("`sqlite:` is followed by the name of a file")
            } else {
                Ok(Self::Sqlite(PathBuf::from(file)))
            };
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            postgres::options(url)?;
            return Ok(Self::Postgres(crate::auth::Secret::new(url)));
        }
        Err("expected sqlite:FILE or postgres://USER@HOST/DATABASE")
    }

    /// Names it without its secret.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Sqlite(file) => file.display().to_string(),
            Self::Postgres(url) => postgres::shown(url.expose()),
        }
    }
}

/// Opens a database, brings its tables to this version and returns the stores.
///
/// # Errors
/// The database cannot be reached, or its tables are not ours.
pub(crate) async fn open(location: &Location) -> Result<Stores, StoreError> {
    match location {
        Location::Sqlite(file) => sqlite::open(file).await,
        Location::Postgres(url) => postgres::open(url.expose()).await,
    }
}

/// Writes a copy of a database, as it is at one moment, while servers use it.
///
/// # Errors
/// The database cannot be read or the file not be written.
pub(crate) async fn back_up(location: &Location, to: &Path) -> Result<(), StoreError> {
    if let Location::Sqlite(file) = location
        && !file.exists()
    {
        let text = format!("{}: there is no such database", file.display());
        return Err(StoreError::Backup(text));
    }
    // Hashes of passwords are in it: it is the owner's alone before anything is written.
    private(to).map_err(|error| StoreError::Backup(format!("{}: {error}", to.display())))?;
    let done = match location {
        Location::Sqlite(file) => sqlite::back_up(file, to).await,
        Location::Postgres(url) => postgres::back_up(url.expose(), to).await,
    };
    if done.is_err() {
        let _ = std::fs::remove_file(to);
    }
    done
}

/// Makes an empty file that nobody else can read.
///
/// # Errors
/// There is one of this name, or it cannot be made.
fn private(file: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(file).map(|_| ())
}

/// The database did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What the database said.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The tables could not be brought to this version.
    #[error("database migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The database did not answer in time.
    #[error("database: no answer within {} ms", .0.as_millis())]
    Deadline(Duration),
    /// A row holds what this version does not know.
    #[error("database: {0} is not as this version writes it")]
    Unreadable(&'static str),
    /// A copy could not be made.
    #[error("backup: {0}")]
    Backup(String),
}

impl StoreError {
    /// Says in words what is wrong, for who runs the server.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        let Self::Database(error) = self else {
            return match self {
                Self::Deadline(_) => Some(
                    "the server does not answer: is it up, and does a firewall let this machine in?",
                ),
                Self::Database(_) | Self::Migration(_) | Self::Unreadable(_) | Self::Backup(_) => {
                    None
                }
            };
        };
        advice(error)
    }

    /// Returns that as the end of a sentence.
    pub(crate) fn hint(&self) -> String {
        let advice = self.advice();
        advice.map_or_else(String::new, |advice| format!("; {advice}"))
    }

    /// Returns whether the same may be done once the database is back.
    pub(crate) fn is_away(&self) -> bool {
        match self {
            Self::Deadline(_) => true,
            Self::Database(error) => is_away(error),
            Self::Migration(_) | Self::Unreadable(_) | Self::Backup(_) => false,
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "there is advice for some errors only"
)]
fn advice(error: &sqlx::Error) -> Option<&'static str> {
    match error {
        sqlx::Error::Io(_) => {
            Some("no server of PostgreSQL answers there: is it up, and are host and port right?")
        }
        sqlx::Error::Tls(_) => Some("TLS: see sslmode and sslrootcert in the URL"),
        sqlx::Error::PoolTimedOut => {
            Some("the server does not answer: is it up, and does a firewall let this machine in?")
        }
        // SQLSTATE (PostgreSQL, appendix A) and SQLite's result codes.
        sqlx::Error::Database(said) => match said.code()?.as_ref() {
            "28000" | "28P01" => {
                Some("user or password are wrong, or pg_hba.conf does not let them in")
            }
            "3D000" => Some("make the database first: createdb"),
            "42501" => Some("the user must own the database"),
            "53300" => {
                Some("the server takes no more connections: see its max_connections; Klieg uses 20")
            }
            "57P03" => Some("the server is starting or stopping: try again in a moment"),
            "5" | "261" | "517" => Some("another program has it locked"),
            "8" | "14" | "1032" | "776" => {
                Some("is the file readable and writable for this user, and its folder too?")
            }
            "11" | "26" => {
                Some("this is no database of SQLite, or it is damaged: restore a backup")
            }
            "13" => Some("the disk is full"),
            _ => None,
        },
        _ => None,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what sqlx adds to its errors is not away until it is listed here"
)]
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // SQLSTATE classes of a server that starts, stops, is full or gave up (PostgreSQL, appendix A), and
        // SQLite's busy, disk and memory errors by their number.
        sqlx::Error::Database(said) if said.kind() == ErrorKind::Other => {
            said.code().is_some_and(|code| {
                let classes = ["08", "25006", "40", "53", "55", "57", "58"];
                let numbers = ["5", "6", "7", "10", "13", "261", "517"];
                let is_number = !code.is_empty() && code.len() < 5;
                if is_number {
                    numbers.contains(&code.as_ref())
                } else {
                    classes.iter().any(|class| code.starts_with(class))
                }
            })
        }
        _ => false,
    }
}

/// What a store answers.
pub(crate) type Stored<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Does something that a person waits for: who cannot be answered is told so within two seconds.
fn promptly<'a, T>(work: impl Future<Output = Result<T, StoreError>> + Send + 'a) -> Stored<'a, T> {
    Box::pin(async move {
        let done = tokio::time::timeout(PROMPT, work).await;
        done.unwrap_or(Err(StoreError::Deadline(PROMPT)))
    })
}

/// Less than the two seconds within which clients get an answer.
const PROMPT: Duration = Duration::from_millis(1_700);

/// Waiting for a connection is the first part of that.
const CONNECT: Duration = Duration::from_millis(1_500);
