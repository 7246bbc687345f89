//! Which of many connections have something to read or room to write: each rings a bell of its own, and the shard takes
//! the list.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Wake, Waker};

use klieg_sfu_core::ConnectionId;

/// The connections whose bells rang.
#[derive(Debug, Default)]
pub(super) struct Ready(Mutex<Rung>);

#[derive(Debug, Default)]
struct Rung {
    /// Each once ([`Bell::is_listed`]), so at most as many as there are.
    bells: VecDeque<Arc<Bell>>,
    /// Wakes the shard; `None` while it does not wait.
    shard: Option<Waker>,
}

/// What the runtime rings for one connection.
#[derive(Debug)]
pub(super) struct Bell {
    id: ConnectionId,
    ready: Arc<Ready>,
    is_listed: AtomicBool,
}

impl Ready {
    /// Waits until a bell rings.
    pub(super) async fn rung(&self) {
        poll_fn(|context| {
            let mut rung = self.lock();
            if !rung.bells.is_empty() {
                return Poll::Ready(());
            }
            match &mut rung.shard {
                Some(shard) => shard.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await;
    }

    /// Returns how many have rung and were not taken.
    pub(super) fn len(&self) -> usize {
        self.lock().bells.len()
    }

    /// Takes the one that has waited longest since it rang.
    pub(super) fn take(&self) -> Option<ConnectionId> {
        let bell = self.lock().bells.pop_front()?;
        bell.is_listed.store(false, Ordering::Release);
        Some(bell.id)
    }

    fn lock(&self) -> MutexGuard<'_, Rung> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bell {
    pub(super) fn new(id: ConnectionId, ready: Arc<Ready>) -> Arc<Self> {
        Arc::new(Self {
            id,
            ready,
            is_listed: AtomicBool::new(false),
        })
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        if self.is_listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let shard = {
            let ready = Arc::clone(&self.ready);
            let mut rung = ready.lock();
            rung.bells.push_back(self);
            rung.shard.take()
        };
        if let Some(shard) = shard {
            shard.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[tokio::test]
    async fn each_that_rang_is_told_once_and_who_waits_is_woken() {
        let ready = Arc::new(Ready::default());
        let id = |number| ConnectionId(NonZeroU32::new(number).unwrap());
        let bells = [1, 2].map(|number| Bell::new(id(number), Arc::clone(&ready)));
        let ringing = [0, 1, 0, 0].map(|bell| Arc::clone(&bells[bell]));
        tokio::spawn(async move {
            for bell in ringing {
                bell.wake();
            }
        });
        ready.rung().await;
        assert_eq!(ready.len(), 2);
        assert_eq!(ready.take(), Some(id(1)));
        Arc::clone(&bells[0]).wake();
        let rest = [ready.take(), ready.take(), ready.take()];
        assert_eq!(rest, [Some(id(2)), Some(id(1)), None]);
        Arc::clone(&bells[1]).wake();
        ready.rung().await;
        assert_eq!(ready.take(), Some(id(2)));
    }
}
