//! What another server said of one thing or another, remembered for as long as it holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::OnceCell;

/// Answers by what was asked about.
#[derive(Debug)]
pub(crate) struct Answers<T> {
    /// At most `most`: beyond, all is asked for anew.
    kept: Mutex<HashMap<String, Arc<Place<T>>>>,
    most: usize,
}

/// Where an answer is, or is going to be.
#[derive(Debug)]
pub(crate) struct Place<T> {
    /// Those who ask for the same meanwhile wait for one.
    pub(crate) answer: OnceCell<Answer<T>>,
    /// What was said before, and holds no more.
    pub(crate) before: Option<Arc<T>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    pub(crate) said: Arc<T>,
    /// When it holds no more.
    pub(crate) until: Instant,
}

impl<T> Answers<T> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            kept: Mutex::default(),
            most,
        }
    }

    /// Returns the place of the answer about something: an empty one where none holds.
    pub(crate) fn place(&self, about: &str) -> Arc<Place<T>> {
        self.place_at(about, Instant::now())
    }

    fn place_at(&self, about: &str, now: Instant) -> Arc<Place<T>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let last = kept.get(about);
        if let Some(place) = last
            && place.answer.get().is_none_or(|answer| now < answer.until)
        {
            return Arc::clone(place);
        }
        let before = last.and_then(|place| place.answer.get());
        let before = before.map(|answer| Arc::clone(&answer.said));
        if kept.len() >= self.most {
            kept.clear();
        }
        let place = Arc::new(Place {
            answer: OnceCell::new(),
            before,
        });
        kept.insert(about.to_owned(), Arc::clone(&place));
        place
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_answer_holds_until_its_time_and_no_more_are_kept_than_may() {
        let (answers, now) = (Answers::new(2), Instant::now());
        let until = now + Duration::from_secs(1);
        let first = answers.place_at("1", now);
        let same = answers.place_at("1", now + Duration::from_secs(60));
        assert!(Arc::ptr_eq(&first, &same), "who asks waits for it");
        let said = Arc::new("yes");
        first.answer.set(Answer { said, until }).unwrap();
        let just = answers.place_at("1", until - Duration::from_millis(1));
        assert_eq!(just.answer.get().map(|it| *it.said), Some("yes"));
        let next = answers.place_at("1", until);
        assert!(next.answer.get().is_none());
        assert_eq!(next.before.as_deref(), Some(&"yes"));
        for about in ["1", "2", "3", "4", "5"] {
            answers.place_at(about, until);
            assert!(answers.kept.lock().unwrap().len() <= 2);
        }
    }
}
