//! When a test ends: when its time is over, or when somebody says so.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::info;

/// Whether somebody wants the end now.
pub(crate) struct Stop(watch::Sender<bool>);

impl Stop {
    /// Ends with the first Ctrl-C or termination signal; the second ends the process at once.
    pub(crate) fn on_signals() -> anyhow::Result<Arc<Self>> {
        let stop = Arc::new(Self(watch::Sender::new(false)));
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
                shared.0.send_replace(true);
            }
        });
        Ok(stop)
    }

    /// Returns whether somebody said so.
    pub(crate) fn is_wanted(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until somebody says so.
    pub(crate) async fn wanted(&self) {
        // Its other end is here as well, so this cannot fail.
        let _ = self.0.subscribe().wait_for(|wanted| *wanted).await;
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
