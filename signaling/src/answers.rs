//! What another server said of one thing or another, remembered for as long as it holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::OnceCell;

/// Answers by what was asked about.
#[derive(Debug)]
pub(crate) struct Answers<T> {
    /// At most `most`: beyond, all is asked for anew.
    kept: Mutex<HashMap<String, Place<T>>>,
    most: usize,
}

/// Where an answer is, or is going to be: those who ask for the same meanwhile wait for one.
pub(crate) type Place<T> = Arc<OnceCell<Answer<T>>>;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    pub(crate) said: T,
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
    pub(crate) fn place(&self, about: &str) -> Place<T> {
        self.place_at(about, Instant::now())
    }

    fn place_at(&self, about: &str, now: Instant) -> Place<T> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = kept.get(about)
            && place.get().is_none_or(|answer| now < answer.until)
        {
            return Arc::clone(place);
        }
        if kept.len() >= self.most {
            kept.clear();
        }
        let place = Arc::default();
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
        first.set(Answer { said: "yes", until }).unwrap();
        let just = answers.place_at("1", until - Duration::from_millis(1));
        assert_eq!(just.get().map(|it| it.said), Some("yes"));
        assert!(answers.place_at("1", until).get().is_none());
        for about in ["1", "2", "3", "4", "5"] {
            answers.place_at(about, until);
            assert!(answers.kept.lock().unwrap().len() <= 2);
        }
    }
}
