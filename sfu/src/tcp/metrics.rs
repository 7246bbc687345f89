//! What connections show at `/metrics`, besides what a shard counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::connections::Census;
use crate::metrics::signed;

/// Why a connection was refused: it belongs to nobody, or there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Too many of the same address wait: the one of them that waited longest gives way.
    Crowded,
    /// Too many wait: the one that waited longest gives way.
    Full,
    /// Its first frame did not come in time.
    Late,
    /// It ended before.
    Gone,
    /// Its first frame is longer than any.
    Oversized,
    /// Its first frame is no check.
    NoCheck,
    /// Its first check names nobody.
    UnknownUfrag,
    /// Its first check was not made with the password.
    Unauthenticated,
    /// A shard is too far behind, or has as many that it has not looked at as it may.
    Busy,
    /// The kernel refuses to let it be used.
    Failed,
}

impl Refused {
    fn label(self) -> &'static str {
        match self {
            Self::Crowded => "crowded",
            Self::Full => "full",
            Self::Late => "late",
            Self::Gone => "gone",
            Self::Oversized => "oversized",
            Self::NoCheck => "no_check",
            Self::UnknownUfrag => "unknown_ufrag",
            Self::Unauthenticated => "unauthenticated",
            Self::Busy => "busy",
            Self::Failed => "failed",
        }
    }
}

/// Why a connection of a peer was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// By the other side, or the network.
    Remote,
    /// Nothing came for too long.
    Idle,
    /// A frame was too long.
    Oversized,
    /// Nothing that counts came, or others took its place at its peer.
    Unused,
    /// Its peer has opened too many, and this one it can do without.
    Replaced,
    /// It takes nothing, and its peer uses another.
    Stalled,
    /// Its peer is gone.
    Over,
}

impl Closed {
    fn label(self) -> &'static str {
        match self {
            Self::Remote => "remote",
            Self::Idle => "idle",
            Self::Oversized => "oversized",
            Self::Unused => "unused",
            Self::Replaced => "replaced",
            Self::Stalled => "stalled",
            Self::Over => "over",
        }
    }
}

/// The metrics of all connections.
#[derive(Debug)]
pub(crate) struct TcpMetrics {
    accepted: IntCounter,
    failed: IntCounter,
    refused: IntCounterVec,
    closed: IntCounterVec,
    /// Connections of peers.
    open: IntGauge,
    selected: IntGauge,
    stalled: IntGauge,
}

impl TcpMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let by_reason = |name, help| {
            let counter = IntCounterVec::new(Opts::new(name, help), &["reason"])?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let accepted = IntCounter::new(
            "klieg_sfu_tcp_accepted_total",
            "TCP connections to the media port.",
        )?;
        registry.register(Box::new(accepted.clone()))?;
        let failed = IntCounter::new(
            "klieg_sfu_tcp_accept_errors_total",
            "Times that no TCP connection could be accepted: the process has no more descriptors, say.",
        )?;
        registry.register(Box::new(failed.clone()))?;
        Ok(Self {
            accepted,
            failed,
            refused: by_reason(
                "klieg_sfu_tcp_refused_total",
                "TCP connections that became nobody's, by reason.",
            )?,
            closed: by_reason(
                "klieg_sfu_tcp_closed_total",
                "TCP connections of peers that ended, by reason.",
            )?,
            open: crate::metrics::gauge(
                registry,
                "tcp_connections",
                "TCP connections that belong to peers.",
            )?,
            selected: crate::metrics::gauge(
                registry,
                "tcp_selected_connections",
                "TCP connections that media goes by.",
            )?,
            stalled: crate::metrics::gauge(
                registry,
                "tcp_stalled_connections",
                "TCP connections that media goes by and that do not take all of it.",
            )?,
        })
    }

    /// Adds what has changed in a shard.
    pub(crate) fn add(&self, before: Census, now: Census) {
        for (gauge, now, before) in [
            (&self.open, now.open, before.open),
            (&self.selected, now.selected, before.selected),
            (&self.stalled, now.stalled, before.stalled),
        ] {
            gauge.add(signed(now) - signed(before));
        }
    }

    pub(super) fn accept(&self) {
        self.accepted.inc();
    }

    /// Counts one that could not be accepted.
    pub(super) fn fail(&self) {
        self.failed.inc();
    }

    /// Counts one that was refused.
    pub(crate) fn refuse(&self, reason: Refused) {
        self.refused.with_label_values(&[reason.label()]).inc();
    }

    /// Counts one that has ended.
    pub(crate) fn close(&self, reason: Closed) {
        self.closed.with_label_values(&[reason.label()]).inc();
    }

    #[cfg(test)]
    pub(super) fn refusals(&self, reason: Refused) -> u64 {
        self.refused.with_label_values(&[reason.label()]).get()
    }

    #[cfg(test)]
    pub(super) fn closings(&self, reason: Closed) -> u64 {
        self.closed.with_label_values(&[reason.label()]).get()
    }
}
