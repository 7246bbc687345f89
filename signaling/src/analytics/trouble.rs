//! What keeps viewers from watching, as their clients say, and how many of an event each reason kept.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use utoipa::ToSchema;

use super::Viewer;

/// Why somebody cannot watch, as their client found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Trouble {
    /// Nothing answered by UDP, and there was no other way to try.
    NoUdp,
    /// Nothing answered, neither by UDP nor by TCP.
    Blocked,
    /// The relay refused, and nothing else answered.
    TurnRefused,
    /// The server answered, and yet no connection held.
    IceFailed,
    /// The path was there, and encryption could not be agreed on.
    DtlsFailed,
    /// The browser has no decoder for what is sent.
    Codec,
    /// The token was refused.
    Token,
    /// The server took nobody more.
    Full,
    /// The WebSocket did not open; said once it does.
    Unreachable,
}

impl Trouble {
    /// Returns its name on the wire and in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NoUdp => "no_udp",
            Self::Blocked => "blocked",
            Self::TurnRefused => "turn_refused",
            Self::IceFailed => "ice_failed",
            Self::DtlsFailed => "dtls_failed",
            Self::Codec => "codec",
            Self::Token => "token",
            Self::Full => "full",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Who of an event was in trouble, each once for each reason.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    /// At most [`MAX_TROUBLES`]; whoever comes then is not counted.
    seen: HashSet<(Viewer, Trouble)>,
    counts: BTreeMap<&'static str, u64>,
}

impl Troubles {
    /// Counts a viewer's trouble, unless it was before.
    pub(crate) fn note(&mut self, viewer: Viewer, trouble: Trouble) {
        if self.seen.len() < MAX_TROUBLES && self.seen.insert((viewer, trouble)) {
            *self.counts.entry(trouble.as_str()).or_default() += 1;
        }
    }

    /// Returns viewers by reason; a reason that nobody had is left out.
    pub(crate) fn by_reason(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }
}

/// Viewers with a reason that one event remembers: some 50 bytes each.
const MAX_TROUBLES: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_counts_once_for_each_reason_and_no_more_than_can_be_remembered() {
        let mut troubles = Troubles::default();
        let viewer = |number: usize| Viewer((number as u128).to_be_bytes());
        for trouble in [Trouble::Blocked, Trouble::Blocked, Trouble::Token] {
            troubles.note(viewer(0), trouble);
        }
        let counts: Vec<_> = troubles.by_reason().clone().into_iter().collect();
        assert_eq!(counts, [("blocked", 1), ("token", 1)]);
        for number in 0..2 * MAX_TROUBLES {
            troubles.note(viewer(number), Trouble::Full);
        }
        let all: u64 = troubles.by_reason().values().sum();
        assert_eq!(all, MAX_TROUBLES as u64);
    }

    #[test]
    fn a_reason_has_one_name_on_the_wire_and_in_metrics() {
        for name in [
            "no_udp",
            "blocked",
            "turn_refused",
            "ice_failed",
            "dtls_failed",
            "codec",
            "token",
            "full",
            "unreachable",
        ] {
            let text = format!("\"{name}\"");
            let trouble: Trouble = serde_json::from_str(&text).unwrap();
            assert_eq!(trouble.as_str(), name);
        }
        assert!(serde_json::from_str::<Trouble>("\"moon_phase\"").is_err());
    }
}
