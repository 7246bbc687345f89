//! Whose turn it is to change a room.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, Semaphore};
use tokio::time::timeout;

use crate::id::RoomId;

/// Lets one after the other change a room, so that none of many changes at once comes too late again and again. Some rooms
/// share a turn, so that no list of them grows.
#[derive(Debug)]
pub(crate) struct Turns {
    queues: [Mutex<()>; QUEUES],
    hasher: RandomState,
    /// Places for those who wait.
    places: Semaphore,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            queues: std::array::from_fn(|_| Mutex::new(())),
            hasher: RandomState::new(),
            places: Semaphore::new(WAITING),
        }
    }
}

impl Turns {
    /// Waits for the turn, which ends with the answer; `None` where it has not come within 5 s, or too many wait.
    pub(crate) async fn take(&self, room: &RoomId) -> Option<MutexGuard<'_, ()>> {
        let hash = usize::try_from(self.hasher.hash_one(room.as_str()) >> 32).ok()?;
        let queue = self.queues.get(hash % QUEUES)?;
        let _place = self.places.try_acquire().ok()?;
        timeout(PATIENCE, queue.lock()).await.ok()
    }
}

const QUEUES: usize = 64;
const WAITING: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(5);
