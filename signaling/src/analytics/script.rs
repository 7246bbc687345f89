//! A database of which the tests say what it answers.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::{Earlier, Minute};
use crate::id::RoomId;
use crate::store::{AnalyticsStore, EventFigures, Names, RoomRollup, StoreError, Stored};
use crate::time::Timestamp;

/// A database that answers as it is told, and then takes everything.
pub(crate) struct Script {
    /// What it answers who writes.
    pub(super) answers: Mutex<VecDeque<Result<(), StoreError>>>,
    /// The rooms of each transaction that it took, and how many viewers.
    pub(super) taken: Mutex<Vec<Vec<Taken>>>,
    /// What it answers first who asks what was written down before.
    pub(crate) earlier: Mutex<VecDeque<Result<Earlier, StoreError>>>,
    /// How often it was asked for an event.
    pub(super) asked: AtomicUsize,
    /// A permit for each who is answered that.
    pub(super) let_in: Semaphore,
    /// What it answers them first.
    pub(super) away: Mutex<VecDeque<StoreError>>,
}

pub(super) type Taken = (String, usize);

impl Default for Script {
    fn default() -> Self {
        Self {
            answers: Mutex::default(),
            taken: Mutex::default(),
            earlier: Mutex::default(),
            asked: AtomicUsize::new(0),
            let_in: Semaphore::new(0),
            away: Mutex::default(),
        }
    }
}

impl AnalyticsStore for Script {
    fn write<'a>(&'a self, rollups: &'a [RoomRollup]) -> Stored<'a, ()> {
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Ok(()));
        if answer.is_ok() {
            let taken = rollups.iter();
            let taken = taken.map(|it| (it.room.to_string(), it.rollup.viewers.len()));
            self.taken.lock().unwrap().push(taken.collect());
        }
        Box::pin(std::future::ready(answer))
    }

    fn earlier<'a>(&'a self, _: &'a RoomId, _: u64) -> Stored<'a, Earlier> {
        let answer = self.earlier.lock().unwrap().pop_front();
        Box::pin(std::future::ready(
            answer.unwrap_or_else(|| Ok(Earlier::default())),
        ))
    }

    /// Answers with as many viewers as it was asked times.
    fn event<'a>(&'a self, _: &'a RoomId) -> Stored<'a, Option<EventFigures>> {
        Box::pin(async {
            let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
            self.let_in.acquire().await.unwrap().forget();
            if let Some(error) = self.away.lock().unwrap().pop_front() {
                return Err(error);
            }
            Ok(Some(EventFigures {
                unique: asked as u64,
                ..EventFigures::default()
            }))
        })
    }

    fn minutes<'a>(
        &'a self,
        _: &'a RoomId,
        _: Timestamp,
        _: u32,
    ) -> Stored<'a, Vec<(Timestamp, Minute)>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn last_minute<'a>(&'a self, _: &'a RoomId) -> Stored<'a, Option<Timestamp>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn aged(&self, _: Timestamp, _: u32) -> Stored<'_, Vec<(RoomId, u64)>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn anonymise<'a>(&'a self, _: &'a RoomId, _: u64, _: Timestamp) -> Stored<'a, Names> {
        Box::pin(std::future::ready(Ok(Names::Kept)))
    }
}
