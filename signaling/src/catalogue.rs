//! What a shop knows of its products: asked for where `catalogue_url` says, and remembered for a minute; that it did not say
//! anything is remembered for some seconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use tokio::sync::Semaphore;
use tracing::warn;

use crate::answers::{Answer, Answers};
use crate::error::{ApiError, Code};
use crate::fetch::{FetchError, Fetcher, about};
use crate::shop::{Described, NewProduct};

/// The way to a shop's catalogue.
#[derive(Debug)]
pub(crate) struct Catalogue {
    /// An address with the place of the id in it; `None` where the server has no catalogue.
    url: Option<String>,
    fetcher: Fetcher,
    /// What it said, by the shop's id.
    answers: Answers<Told>,
    /// How many may ask at once; those beyond are told that the server is busy.
    places: Semaphore,
}

impl Catalogue {
    pub(crate) fn new(url: Option<String>, fetcher: Fetcher) -> Self {
        Self {
            url,
            fetcher,
            answers: Answers::new(MAX_KEPT),
            places: Semaphore::new(MAX_ASKING),
        }
    }

    /// Returns whether there is one.
    pub(crate) fn is_there(&self) -> bool {
        self.url.is_some()
    }

    /// Adds to a product what its host left out. What the host said stays.
    ///
    /// # Errors
    /// `invalid_value` where the shop has no such product, or has its price in another currency than the host says;
    /// `catalogue_away`; `busy`.
    pub(crate) async fn complete(&self, new: NewProduct) -> Result<NewProduct, ApiError> {
        let (Some(url), Some(id)) = (&self.url, new.asks_about()) else {
            return Ok(new);
        };
        let place = self.answers.place(id);
        let answer = place.answer.get_or_try_init(|| self.ask(url, id)).await?;
        match &*answer.said {
            Ok(described) => new.filled(described.clone()),
            Err(refusal) => Err(refusal.again()),
        }
    }

    async fn ask(&self, url: &str, id: &str) -> Result<Answer<Told>, ApiError> {
        let asking = self.places.try_acquire();
        let _asking = asking.map_err(|_| ApiError::busy().with_nothing_begun())?;
        let told = self.fetcher.json::<Described>(&about(url, id)).await;
        let told = told.map_err(|error| refusal(&error));
        Ok(answer(told, Instant::now()))
    }
}

type Told = Result<Described, ApiError>;

/// Returns what the shop said, and for how long that holds.
fn answer(told: Told, now: Instant) -> Answer<Told> {
    let kept = if told.is_ok() { KEPT } else { KEPT_REFUSAL };
    Answer {
        said: Arc::new(told),
        until: now + kept,
    }
}

fn refusal(error: &FetchError) -> ApiError {
    if let FetchError::Status(StatusCode::NOT_FOUND) = error {
        let text = "The shop has no product of this `externalId`.";
        return ApiError::new(Code::InvalidValue, text);
    }
    warn!(%error, "the catalogue of the shop cannot be asked");
    let text = format!("The catalogue of the shop cannot be asked: {error}.");
    ApiError::new(Code::CatalogueAway, text).with_nothing_begun()
}

/// So long an answer is taken for true.
const KEPT: Duration = Duration::from_secs(60);

/// So long is not asked again what had no answer, or no product: a host who adds it to the shop meanwhile does not wait long.
const KEPT_REFUSAL: Duration = Duration::from_secs(5);

const MAX_KEPT: usize = 1024;

/// Each waits for five seconds at most.
const MAX_ASKING: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_shop_tells_holds_for_a_minute_and_that_it_does_not_for_seconds() {
        let at = Instant::now();
        for (told, holds) in [
            (Ok(Described::default()), KEPT),
            (Err(refusal(&FetchError::Deadline)), KEPT_REFUSAL),
            (
                Err(refusal(&FetchError::Status(StatusCode::NOT_FOUND))),
                KEPT_REFUSAL,
            ),
        ] {
            assert_eq!(answer(told, at).until, at + holds);
        }
    }

    #[tokio::test]
    async fn one_who_finds_no_place_to_ask_has_begun_nothing_and_may_ask_again() {
        let url = "http://127.0.0.1:9/{id}".to_owned();
        let catalogue = Catalogue::new(Some(url), Fetcher::new().unwrap());
        let add = async || {
            let new = serde_json::from_str(r#"{"externalId":"1"}"#).unwrap();
            catalogue.complete(new).await.unwrap_err()
        };
        let all = u32::try_from(MAX_ASKING).unwrap();
        let taken = catalogue.places.try_acquire_many(all).unwrap();
        let error = add().await;
        assert_eq!(error.code, Code::Busy);
        assert!(!error.is_failure(), "its Idempotency-Key is free again");
        // Where the others are done it is asked, and not told what it was told before.
        drop(taken);
        let error = add().await;
        assert_eq!(error.code, Code::CatalogueAway);
        assert!(!error.is_failure());
        assert!(!add().await.is_failure(), "what is remembered, too");
    }
}
