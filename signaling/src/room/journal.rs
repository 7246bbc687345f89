//! The room's events on their way to the store: what came while one transaction ran goes into the next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::error::ApiError;
use crate::id::{RoomId, SocketId};
use crate::store::{Entry, JournalStore, Outcome, StoreError};
use crate::time::Timestamp;

use super::Heard;
use super::audience::Liker;
use super::floor::Asker;
use super::shop::{Seller, Shop};

/// One room's queue to the store.
pub(super) struct Journal {
    room: RoomId,
    store: Arc<dyn JournalStore>,
    /// At most 1024, see [`Journal::push`].
    waiting: VecDeque<Draft>,
    /// `None` while nothing is being written.
    running: Option<Transaction>,
}

/// An entry and who is told what became of it.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) entry: Entry,
    pub(super) author: Author,
    /// When it came. What is told with the time of a frame has this one, however long the store takes.
    pub(super) at: Timestamp,
}

impl Draft {
    /// Dates an entry.
    pub(super) fn new(entry: Entry, author: Author) -> Self {
        Self {
            entry,
            author,
            at: Timestamp::now(),
        }
    }
}

/// Who wants to know what became of an entry.
#[derive(Debug)]
pub(super) enum Author {
    /// Nobody: it is what the room itself has to say.
    Room,
    /// A socket, by the id of its message.
    Socket(SocketId, Option<String>),
    /// Who said it over REST.
    Said(oneshot::Sender<Result<Heard, ApiError>>),
    /// Who changed the room's life.
    Acted(oneshot::Sender<Result<(), ApiError>>),
    /// Who changed what is sold.
    Sold(Seller),
    /// The shop in which something was bought.
    Ordered(Shop),
    /// Who says whether they like the room.
    Likes(Liker),
    /// Who does something to a poll or a question.
    Floor(Asker),
}

/// What became of a transaction.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) drafts: Vec<Draft>,
    /// In the order of the drafts.
    pub(super) outcomes: Result<Vec<Outcome>, CommitError>,
    pub(super) took: Duration,
}

/// Why nothing of a transaction is stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not answer.
    #[error("the store took longer than 10 s")]
    Deadline,
    /// Its task ended early.
    #[error("the transaction's task ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl CommitError {
    fn is_away(&self) -> bool {
        match self {
            Self::Store(error) => error.is_away(),
            Self::Deadline => true,
            Self::Task(_) => false,
        }
    }
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => Self::store(error),
            CommitError::Deadline => Self::away(),
            CommitError::Task(error) => Self::internal(error),
        }
    }
}

struct Transaction {
    drafts: Vec<Draft>,
    since: Instant,
    work: JoinHandle<Result<Vec<Outcome>, CommitError>>,
}

impl Journal {
    pub(super) fn new(room: RoomId, store: Arc<dyn JournalStore>) -> Self {
        Self {
            room,
            store,
            waiting: VecDeque::new(),
            running: None,
        }
    }

    /// Queues an entry; it is written as soon as the transaction before it is.
    ///
    /// # Errors
    /// The entry, when 1024 are waiting.
    pub(super) fn push(&mut self, draft: Draft) -> Result<(), Box<Draft>> {
        if self.waiting.len() >= CAPACITY {
            return Err(Box::new(draft));
        }
        self.waiting.push_back(draft);
        self.start();
        Ok(())
    }

    /// Returns whether everything is written.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none()
    }

    /// Waits for the running transaction; for ever when there is none. May be dropped and called again.
    pub(super) async fn committed(&mut self) -> Committed {
        let Some(transaction) = &mut self.running else {
            return std::future::pending().await;
        };
        let outcomes = (&mut transaction.work)
            .await
            .unwrap_or_else(|error| Err(error.into()));
        let took = transaction.since.elapsed();
        let mut drafts = std::mem::take(&mut transaction.drafts);
        if outcomes.as_ref().is_err_and(CommitError::is_away) {
            // Or who came second would be told of it only after twice the time-out.
            drafts.extend(self.waiting.drain(..));
        }
        self.running = None;
        self.start();
        Committed {
            drafts,
            outcomes,
            took,
        }
    }

    fn start(&mut self) {
        if self.running.is_some() || self.waiting.is_empty() {
            return;
        }
        let count = self.waiting.len().min(BATCH);
        let drafts: Vec<Draft> = self.waiting.drain(..count).collect();
        let entries: Vec<Entry> = drafts.iter().map(|draft| draft.entry.clone()).collect();
        let (room, store) = (self.room.clone(), Arc::clone(&self.store));
        let work = tokio::spawn(async move {
            match tokio::time::timeout(DEADLINE, store.append(&room, &entries)).await {
                Ok(outcomes) => Ok(outcomes?),
                Err(_) => Err(CommitError::Deadline),
            }
        });
        self.running = Some(Transaction {
            drafts,
            since: Instant::now(),
            work,
        });
    }
}

const CAPACITY: usize = 1024;

/// Beyond it a larger transaction gains nothing more.
const BATCH: usize = 256;

const DEADLINE: Duration = Duration::from_secs(10);
