//! When a test ends: when its time is over, or when somebody says so.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::info;

/// Since when somebody wants the end; `None` while nobody does.
pub(crate) struct Stop(watch::Sender<Option<Instant>>);

impl Stop {
    /// Ends with the first Ctrl-C or termination signal; the second ends the process at once.
    pub(crate) fn on_signals() -> anyhow::Result<Arc<Self>> {
        let stop = Arc::new(Self(watch::Sender::new(None)));
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let shared = Arc::clone(&stop);
        tokio::spawn(async move {
            for is_second in [false, true] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if is_second {
                    std::process::exit(INTERRUPTED);
                }
                info!("ending; once more ends without a report");
                shared.0.send_replace(Some(Instant::now()));
            }
        });
        Ok(stop)
    }

    /// Returns whether somebody said so.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Returns when what was to last until then ends: sooner where somebody said so.
    pub(crate) fn end_of(&self, time: Instant) -> Instant {
        self.0.borrow().map_or(time, |wanted| wanted.min(time))
    }

    /// Waits until somebody says so.
    pub(crate) async fn wanted(&self) {
        // Its other end is here as well, so this cannot fail.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits until then, or until somebody says so.
    pub(crate) async fn or_at(&self, time: Instant) {
        tokio::select! {
            () = sleep_until(time) => {}
            () = self.wanted() => {}
        }
    }
}

/// As a shell reports Ctrl-C.
const INTERRUPTED: i32 = 130;
