//! When a test ends: when its time is over, when somebody says so, or when there is no server any more.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::info;

/// Since when the end is wanted, and why; `None` while it is not.
pub(crate) struct Stop(watch::Sender<Option<(Instant, Why)>>);

/// Why a test ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Why {
    /// Somebody said so.
    Interrupted,
    /// The server went away.
    ServerGone,
}

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
                shared.end(Why::Interrupted);
            }
        });
        Ok(stop)
    }

    /// Ends the test now; the first reason stays.
    pub(crate) fn end(&self, why: Why) {
        self.0.send_if_modified(|wanted| {
            let is_first = wanted.is_none();
            wanted.get_or_insert((Instant::now(), why));
            is_first
        });
    }

    /// Returns since when the end is wanted, and why.
    pub(crate) fn reason(&self) -> Option<(Instant, Why)> {
        *self.0.borrow()
    }

    /// Returns whether the end is wanted.
    pub(crate) fn is_wanted(&self) -> bool {
        self.reason().is_some()
    }

    /// Returns whether the end came when what began then had hardly begun.
    pub(crate) fn cuts_short(&self, began: Instant) -> bool {
        self.reason().is_some_and(|(at, _)| at < began + HARDLY)
    }

    /// Returns when what was to last until then ends: sooner where the end is wanted.
    pub(crate) fn end_of(&self, time: Instant) -> Instant {
        self.reason().map_or(time, |(wanted, _)| wanted.min(time))
    }

    /// Waits until the end is wanted.
    pub(crate) async fn wanted(&self) {
        // Its other end is here as well, so this cannot fail.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits until then, or until the end is wanted.
    pub(crate) async fn or_at(&self, time: Instant) {
        tokio::select! {
            () = sleep_until(time) => {}
            () = self.wanted() => {}
        }
    }
}

/// Who came so lately need not have a picture.
const HARDLY: Duration = Duration::from_secs(3);
/// As a shell reports Ctrl-C.
const INTERRUPTED: i32 = 130;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_stays_and_cuts_short_only_what_has_just_begun() {
        let (stop, now) = (Stop(watch::Sender::new(None)), Instant::now());
        assert!(!stop.cuts_short(now) && !stop.is_wanted());
        stop.end(Why::ServerGone);
        stop.end(Why::Interrupted);
        stop.wanted().await;
        let (at, why) = stop.reason().unwrap();
        assert_eq!(why, Why::ServerGone);
        assert!(stop.cuts_short(at - HARDLY / 2) && !stop.cuts_short(at - HARDLY * 2));
        assert_eq!(stop.end_of(at + HARDLY), at);
    }
}
