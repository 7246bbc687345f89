//! What a viewer does about refusals on its socket: whether it counts them, asks again, or gives up.

use std::time::Duration;

use crate::reason::Refusal;
use crate::socket::Socket;

/// What one viewer asked for, and how often it may still ask again.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    /// The `id` of the last `rtc.subscribe` and of the last `rtc.answer`; `None` before they were sent.
    pub(crate) subscribed: Option<String>,
    pub(crate) answered: Option<String>,
    /// How often it was told to come later.
    waits: u32,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A chat message or a reaction was refused, which ends nothing.
    Go,
    /// After this time it subscribes again, on the same socket.
    Subscribe(Duration),
    /// The visit is over, or begins anew.
    Leave,
}

impl Patience {
    /// Takes an `error` message.
    pub(crate) fn handle_refusal(&mut self, refusal: &Refusal) -> Turn {
        if Socket::is_talk(refusal) {
            let passes = matches!(refusal.code.as_str(), "rate_limited" | "slow_mode" | BUSY);
            return if passes { Turn::Go } else { Turn::Leave };
        }
        let re = refusal.re.as_ref();
        let is_ours =
            [&self.subscribed, &self.answered].map(|id| re.is_some() && re == id.as_ref());
        if !is_ours.contains(&true) {
            return Turn::Leave;
        }
        self.wait(refusal).map_or(Turn::Leave, Turn::Subscribe)
    }

    /// Returns how long to wait before it comes again from the door on; `None` when that is of no use.
    pub(crate) fn handle_end(&mut self, error: &anyhow::Error) -> Option<Duration> {
        self.wait(error.downcast_ref()?)
    }

    fn wait(&mut self, refusal: &Refusal) -> Option<Duration> {
        // What came over HTTP has the status before it.
        let code = refusal.code.rsplit(' ').next().unwrap_or_default();
        let wait = refusal
            .retry_after
            .filter(|_| [BUSY, DRAINING].contains(&code))?;
        self.waits += 1;
        (self.waits <= MAX_WAITS).then_some(wait)
    }
}

const BUSY: &str = "busy";
/// A server that is about to stop: another is there soon.
const DRAINING: &str = "draining";
/// At a second each, longer than people wait.
const MAX_WAITS: u32 = 60;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(code: &str, re: &str) -> Refusal {
        Refusal::of(&json!({ "code": code, "re": re, "retryAfterMs": 700 }))
    }

    fn patience() -> Patience {
        Patience {
            subscribed: Some("3".into()),
            answered: Some("4".into()),
            waits: 0,
        }
    }

    #[test]
    fn a_busy_server_is_asked_again_so_many_times() {
        let mut patience = patience();
        for _ in 0..MAX_WAITS / 2 {
            for re in ["3", "4"] {
                let turn = patience.handle_refusal(&refusal("busy", re));
                assert_eq!(turn, Turn::Subscribe(Duration::from_millis(700)));
            }
        }
        assert_eq!(patience.handle_refusal(&refusal("busy", "3")), Turn::Leave);
    }

    #[test]
    fn at_the_door_only_busy_is_worth_another_try() {
        let end = |code: &str| patience().handle_end(&refusal(code, "2").into());
        assert_eq!(end("busy"), Some(Duration::from_millis(700)));
        assert_eq!(end("503 busy"), Some(Duration::from_millis(700)));
        assert_eq!(end("503 draining"), Some(Duration::from_millis(700)));
        assert_eq!(end("banned"), None);
        assert_eq!(patience().handle_end(&anyhow::anyhow!("busy")), None);
        assert_eq!(
            patience().handle_refusal(&refusal("busy", "2")),
            Turn::Leave
        );
        assert_eq!(
            patience().handle_refusal(&refusal("no_room", "3")),
            Turn::Leave
        );
    }

    #[test]
    fn what_is_said_too_fast_ends_nothing() {
        let refused = |code, re| patience().handle_refusal(&refusal(code, re));
        for code in ["rate_limited", "busy", "slow_mode"] {
            assert_eq!(refused(code, "chat.send.0a"), Turn::Go, "{code}");
        }
        assert_eq!(refused("rate_limited", "reaction.send.0a"), Turn::Go);
        assert_eq!(refused("muted", "chat.send.0a"), Turn::Leave);
    }
}
