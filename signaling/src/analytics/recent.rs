//! Figures of events for who asks: added up once for all who ask within some seconds, and few at once, so that who asks
//! again and again takes the database from nobody.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;

use super::Minute;
use crate::error::ApiError;
use crate::id::RoomId;
use crate::store::{AnalyticsStore, EventFigures, StoreError};
use crate::time::Timestamp;

/// What who asks is answered from.
pub(crate) struct Recent {
    store: Arc<dyn AnalyticsStore>,
    /// Answers, also such as are on their way: at most [`MAX_KEPT`], beyond which the oldest goes.
    kept: Mutex<HashMap<RoomId, Kept>>,
    /// A permit for each that the database is asked at once.
    places: Arc<Semaphore>,
}

struct Kept {
    since: Instant,
    answer: Answer,
}

/// The figures of an event; `None`: there was none.
pub(crate) type KnownEvent = Option<Arc<EventFigures>>;

type Answer = Shared<BoxFuture<'static, Result<KnownEvent, Arc<ApiError>>>>;

impl Recent {
    pub(crate) fn new(store: Arc<dyn AnalyticsStore>) -> Self {
        Self {
            store,
            kept: Mutex::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Returns what there is of a room's last event, as it was some seconds ago at most.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn event(&self, room: &RoomId) -> Result<KnownEvent, ApiError> {
        let answer = self.answer(room, Instant::now());
        let answered = answer.clone().await;
        if answered.is_err() {
            self.forget(room, &answer);
        }
        answered.map_err(|error| error.again())
    }

    /// Returns the minutes of a room's last event, from one on.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn minutes(
        &self,
        room: &RoomId,
        from: Timestamp,
        limit: u32,
    ) -> Result<Vec<(Timestamp, Minute)>, ApiError> {
        let (store, room) = (Arc::clone(&self.store), room.clone());
        self.ask(async move { store.minutes(&room, from, limit).await })
            .await
    }

    /// Returns the answer that is kept, or asks for another one.
    fn answer(&self, room: &RoomId, now: Instant) -> Answer {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, it| now.saturating_duration_since(it.since) < KEPT);
        if let Some(known) = kept.get(room) {
            return known.answer.clone();
        }
        if kept.len() >= MAX_KEPT {
            let oldest = kept.iter().min_by_key(|(_, it)| it.since);
            if let Some(oldest) = oldest.map(|(room, _)| room.clone()) {
                kept.remove(&oldest);
            }
        }
        let (store, asked) = (Arc::clone(&self.store), room.clone());
        let event = self.ask(async move { store.event(&asked).await });
        let answer = event.map(|event| {
            let event = event.map(|it| it.map(Arc::new));
            event.map_err(|error| {
                error.report();
                Arc::new(error)
            })
        });
        let answer = answer.boxed().shared();
        let since = now;
        let known = Kept {
            since,
            answer: answer.clone(),
        };
        kept.insert(room.clone(), known);
        answer
    }

    /// Lets the next who asks try again.
    fn forget(&self, room: &RoomId, failed: &Answer) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.get(room).is_some_and(|it| it.answer.ptr_eq(failed)) {
            kept.remove(room);
        }
    }

    /// Asks the database when it is its turn. That goes on when who asked goes: one who asks and goes, again and again,
    /// would have it begun as often.
    fn ask<T, Q>(&self, question: Q) -> impl Future<Output = Result<T, ApiError>> + Send + use<T, Q>
    where
        T: Send + 'static,
        Q: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let places = Arc::clone(&self.places);
        let asked = tokio::spawn(tokio::time::timeout(DEADLINE, async move {
            // Never closed.
            let _place = places.acquire().await;
            question.await
        }));
        asked.map(|answered| {
            let answered = answered.map_err(ApiError::internal)?;
            let answered = answered.unwrap_or(Err(StoreError::Deadline(DEADLINE)));
            answered.map_err(ApiError::store)
        })
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recent")
    }
}

/// How old an answer may be.
const KEPT: Duration = Duration::from_secs(5);

/// Answers that are kept: some 30 KiB each at most.
const MAX_KEPT: usize = 500;

/// Half of the connections with which `SQLite` is read.
const AT_ONCE: usize = 2;

/// Less than the two seconds within which clients get an answer.
const DEADLINE: Duration = Duration::from_millis(1_700);

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::Script;
    use super::*;

    fn recent() -> (Arc<Script>, Recent) {
        let script = Arc::new(Script::default());
        (script.clone(), Recent::new(script))
    }

    fn room(number: usize) -> RoomId {
        RoomId::parse(&format!("room-{number}")).unwrap()
    }

    async fn asked(script: &Script, times: usize) {
        while script.asked.load(Ordering::Relaxed) < times {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_asks_at_the_same_time_or_soon_after_is_answered_by_one_look() {
        let (script, recent) = recent();
        let room = room(1);
        // Who goes before there is an answer has it begun, and not again.
        assert!(recent.event(&room).now_or_never().is_none());
        let all = (0..5).map(|_| recent.event(&room));
        script.let_in.add_permits(1);
        for answer in futures_util::future::join_all(all).await {
            assert_eq!(answer.unwrap().unwrap().unique, 1);
        }
        assert_eq!(recent.event(&room).await.unwrap().unwrap().unique, 1);
        assert_eq!(script.asked.load(Ordering::Relaxed), 1);
        // After a while it is another answer.
        let later = Instant::now() + KEPT;
        let answer = recent.answer(&room, later);
        script.let_in.add_permits(1);
        assert_eq!(answer.await.unwrap().unwrap().unique, 2);
    }

    #[tokio::test]
    async fn an_answer_that_failed_is_not_kept() {
        let (script, recent) = recent();
        script.let_in.add_permits(2);
        let away = StoreError::Deadline(Duration::ZERO);
        script.away.lock().unwrap().push_back(away);
        let room = room(1);
        let failed = recent.event(&room).await.unwrap_err();
        assert_eq!(failed.code, crate::error::Code::Unavailable);
        assert!(recent.event(&room).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn few_look_at_once_and_few_answers_are_kept() {
        let (script, recent) = recent();
        let rooms: Vec<RoomId> = (0..MAX_KEPT + 20).map(room).collect();
        let all = rooms.iter().map(|room| recent.answer(room, Instant::now()));
        let all: Vec<Answer> = all.collect();
        assert_eq!(recent.kept.lock().unwrap().len(), MAX_KEPT);
        asked(&script, AT_ONCE).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(script.asked.load(Ordering::Relaxed), AT_ONCE);
        script.let_in.add_permits(all.len());
        for answer in all {
            answer.await.unwrap();
        }
    }
}
