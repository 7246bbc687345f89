//! What a shop knows of its products: asked for where `catalogue_url` says, and remembered for a minute.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use tokio::sync::Semaphore;
use tracing::warn;

use crate::error::{ApiError, Code};
use crate::fetch::{FetchError, Fetcher, check_url};
use crate::shop::{Described, NewProduct};

/// The way to a shop's catalogue.
#[derive(Debug)]
pub(crate) struct Catalogue {
    /// An address with [`PLACE`] in it; `None` where the server has no catalogue.
    url: Option<String>,
    fetcher: Fetcher,
    /// What it said within [`KEPT`], by the shop's id. At most [`MAX_KEPT`]: beyond, all of it is asked for anew.
    kept: Mutex<HashMap<String, (Instant, Described)>>,
    /// How many may ask at once; those beyond are told that the server is busy.
    places: Semaphore,
}

impl Catalogue {
    pub(crate) fn new(url: Option<String>, fetcher: Fetcher) -> Self {
        Self {
            url,
            fetcher,
            kept: Mutex::default(),
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
    /// `invalid_value` where the shop has no such product; `catalogue_away`; `busy`.
    pub(crate) async fn complete(&self, new: NewProduct) -> Result<NewProduct, ApiError> {
        let (Some(url), Some(id)) = (&self.url, new.asks_about()) else {
            return Ok(new);
        };
        if let Some(described) = self.known(id) {
            return Ok(new.filled(described));
        }
        let asking = self.places.try_acquire().map_err(|_| ApiError::busy())?;
        let told = self.fetcher.json::<Described>(&address(url, id)).await;
        drop(asking);
        let described = told.map_err(|error| refusal(&error))?;
        let mut kept = self.kept();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(id.to_owned(), (Instant::now(), described.clone()));
        drop(kept);
        Ok(new.filled(described))
    }

    fn known(&self, id: &str) -> Option<Described> {
        let kept = self.kept();
        let (at, described) = kept.get(id)?;
        (at.elapsed() < KEPT).then(|| described.clone())
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, (Instant, Described)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks where a catalogue is asked.
///
/// # Errors
/// What is wrong with the address.
pub(crate) fn check_catalogue(url: &str) -> Result<(), String> {
    let host = url.split('/').nth(2).unwrap_or_default();
    if !url.contains(PLACE) || host.contains(PLACE) {
        return Err(format!("has no {PLACE} in its path or query"));
    }
    let checked = check_url(&address(url, "1"));
    checked.map(|_| ()).map_err(|error| error.to_string())
}

/// Writes the shop's id into the address, whatever it says as one part of a path (RFC 3986, section 2.1).
fn address(url: &str, id: &str) -> String {
    let mut escaped = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Dots, too: `..` is no product.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    url.replace(PLACE, &escaped)
}

fn refusal(error: &FetchError) -> ApiError {
    if let FetchError::Status(StatusCode::NOT_FOUND) = error {
        let text = "The shop has no product of this `externalId`.";
        return ApiError::new(Code::InvalidValue, text);
    }
    warn!(%error, "the catalogue of the shop cannot be asked");
    let text = format!("The catalogue of the shop cannot be asked: {error}.");
    ApiError::new(Code::CatalogueAway, text)
}

/// Where the shop's id of a product goes.
const PLACE: &str = "{id}";

/// So long an answer is taken for true.
const KEPT: Duration = Duration::from_secs(60);

const MAX_KEPT: usize = 1024;

/// Each waits for five seconds at most.
const MAX_ASKING: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_part_of_the_address_whatever_it_says() {
        let url = "https://shop.example/p/{id}?full";
        for (id, expected) in [
            ("sku-1", "sku-1"),
            ("a b", "a%20b"),
            ("../x?y#z", "%2E%2E%2Fx%3Fy%23z"),
            ("đ", "%C4%91"),
            ("{id}", "%7Bid%7D"),
        ] {
            let expected = format!("https://shop.example/p/{expected}?full");
            assert_eq!(address(url, id), expected);
        }
    }

    #[test]
    fn a_catalogue_is_asked_by_https_and_has_a_place_for_the_id() {
        for (url, fits) in [
            ("https://shop.example/p/{id}", true),
            ("https://shop.example/p?id={id}", true),
            ("http://127.0.0.1:8081/{id}", true),
            ("http://shop.example/p/{id}", false),
            ("https://shop.example/p", false),
            ("https://{id}.example/p", false),
            ("{id}", false),
        ] {
            assert_eq!(check_catalogue(url).is_ok(), fits, "{url}");
        }
    }
}
