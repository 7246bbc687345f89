//! Whose turn it is to change a room.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, Semaphore};
use tokio::time::timeout;

use crate::error::ApiError;
use crate::id::RoomId;
use crate::store::StoreError;

/// Lets one after the other change a room, so that none of many changes at once comes too late again and again. Some rooms
/// share a turn, so that no list of them grows.
#[derive(Debug)]
pub(crate) struct Turns {
    queues: [Mutex<()>; QUEUES],
    hasher: RandomState,
    /// Places for those who wait.
    places: Semaphore,
    /// How often the database was away in somebody's turn.
    failures: AtomicU64,
}

/// Somebody's turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    _guard: MutexGuard<'a, ()>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            queues: std::array::from_fn(|_| Mutex::new(())),
            hasher: RandomState::new(),
            places: Semaphore::new(WAITING),
            failures: AtomicU64::new(0),
        }
    }
}

impl Turns {
    /// Waits for the turn.
    ///
    /// # Errors
    /// `busy` where it has not come within 5 s, or too many wait; `unavailable` where the database was away in a turn before: who
    /// waits behind many would else be told of it only after as many times its time-out.
    pub(crate) async fn take(&self, room: &RoomId) -> Result<Turn<'_>, ApiError> {
        let hash = self.hasher.hash_one(room.as_str()) >> 32;
        let queue = usize::try_from(hash).ok().map(|hash| hash % QUEUES);
        let queue = queue.and_then(|number| self.queues.get(number));
        let place = self.places.try_acquire().ok();
        let (Some(queue), Some(_place)) = (queue, place) else {
            return Err(ApiError::busy());
        };
        let failures = self.failures.load(Ordering::Relaxed);
        let guard = timeout(PATIENCE, queue.lock()).await;
        let guard = guard.map_err(|_| ApiError::busy())?;
        if self.failures.load(Ordering::Relaxed) != failures {
            return Err(ApiError::away());
        }
        Ok(Turn {
            turns: self,
            _guard: guard,
        })
    }
}

impl Turn<'_> {
    /// Makes an error of what the store did not do in this turn.
    pub(crate) fn fail(&self, error: StoreError) -> ApiError {
        if error.is_away() {
            self.turns.failures.fetch_add(1, Ordering::Relaxed);
        }
        ApiError::store(error)
    }
}

const QUEUES: usize = 64;
const WAITING: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::iter::repeat_with;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::error::Code;

    #[tokio::test]
    async fn who_comes_when_very_many_wait_is_told_at_once() {
        let (turns, room) = (Turns::default(), RoomId::parse("demo").unwrap());
        let first = turns.take(&room).await.unwrap();
        let mut waiting: Vec<_> = repeat_with(|| Box::pin(turns.take(&room)))
            .take(WAITING)
            .collect();
        for take in &mut waiting {
            assert!(take.now_or_never().is_none());
        }
        let late = turns.take(&room).now_or_never().unwrap();
        assert_eq!(late.unwrap_err().code, Code::Busy);
        drop(first);
        assert!(waiting.remove(0).await.is_ok());
    }

    #[tokio::test]
    async fn who_waits_while_the_database_is_away_is_told_with_the_first() {
        let (turns, room) = (Turns::default(), RoomId::parse("demo").unwrap());
        let first = turns.take(&room).await.unwrap();
        let mut second = Box::pin(turns.take(&room));
        assert!((&mut second).now_or_never().is_none());
        first.fail(StoreError::Deadline(Duration::from_secs(1)));
        drop(first);
        assert_eq!(second.await.unwrap_err().code, Code::Unavailable);
        // Who comes later finds out anew.
        assert!(turns.take(&room).await.is_ok());
    }
}
