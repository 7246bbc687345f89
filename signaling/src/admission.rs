//! How many sessions may be connecting at once: a handshake costs the server a thousand times what a packet
//! does, and one that waits too long is begun anew by its client.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use klieg_sfu::PeerId;
use prometheus::{IntCounter, IntGauge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;
use crate::metrics::Metrics;

/// The places of those that connect.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    /// Who took a place and when, the first one first; some have given it back since. No longer than what
    /// comes within [`EXPECTED`].
    taken: Mutex<VecDeque<(Instant, PeerId)>>,
    connecting: IntGauge,
    refused: IntCounter,
}

/// One place, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    connecting: IntGauge,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connecting.dec();
    }
}

impl Admission {
    pub(crate) fn new(limit: usize, metrics: &Metrics) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limit)),
            taken: Mutex::new(VecDeque::new()),
            connecting: metrics.handshakes.clone(),
            refused: metrics.handshakes_refused.clone(),
        }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// `busy` while all are taken.
    pub(crate) fn take_place(&self) -> Result<Place, ApiError> {
        let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() else {
            self.refused.inc();
            // Not everybody at the same moment.
            let wait = Duration::from_millis(rand::random_range(AGAIN_MS));
            return Err(ApiError::busy().retry_after(wait));
        };
        self.connecting.inc();
        Ok(Place {
            _permit: permit,
            connecting: self.connecting.clone(),
        })
    }

    /// Notes who has a place since now.
    pub(crate) fn note(&self, now: Instant, peer: PeerId) {
        self.taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back((now, peer));
    }

    /// Returns a peer that took its place so long ago that it is to lose it; to be called until `None`.
    pub(crate) fn overdue(&self, now: Instant) -> Option<PeerId> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let is_overdue = |(since, _): &mut (Instant, PeerId)| now.duration_since(*since) > EXPECTED;
        taken.pop_front_if(is_overdue).map(|(_, peer)| peer)
    }
}

/// How long a place is kept for one that does not connect. Whoever only asks would keep others out.
const EXPECTED: Duration = Duration::from_secs(10);

/// When those that were refused are to try again.
const AGAIN_MS: std::ops::Range<u64> = 1000..3000;
