//! How often somebody may ask for a session who shows nothing that holds (RFC 9725, section 5, asks for a limit).

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::error::{ApiError, Code};
use crate::limit::{Rate, TokenBuckets};

/// Those who asked lately, by the network that they ask from.
#[derive(Debug)]
pub(super) struct Strangers(Mutex<TokenBuckets<IpAddr>>);

impl Default for Strangers {
    fn default() -> Self {
        Self(Mutex::new(TokenBuckets::new(Rate::per_second(
            OFFERS_PER_SECOND,
        ))))
    }
}

impl Strangers {
    /// Says no to whoever asks too often.
    ///
    /// # Errors
    /// `rate_limited`.
    pub(super) fn take(&self, from: IpAddr, now: Instant) -> Result<(), ApiError> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.take(&from, now).map_err(|wait| {
            let text = format!("Slow down: {OFFERS_PER_SECOND} offers a second without a token.");
            ApiError::new(Code::RateLimited, text).retry_after(wait)
        })
    }
}

/// An offer that never connects holds a place for thirty seconds: one network holds 600 at most.
const OFFERS_PER_SECOND: u32 = 20;
