//! Where the server's CPU time and memory are read: from the kernel, or from the server's own `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hyper::Method;
use tokio::time::timeout;
use tracing::{info, warn};
use url::Url;

use crate::http::{Call, Http};
use crate::options::Options;
use crate::server::Usage;

/// One of the two, or none.
pub(crate) enum Source {
    Process(u32),
    Metrics {
        http: Arc<Http>,
        url: Url,
        token: Option<String>,
    },
    /// The server says nothing of itself.
    None,
}

impl Source {
    /// Finds out what there is: what the options name has to be there, what is only likely need not.
    pub(crate) async fn find(options: &Options, http: &Arc<Http>) -> anyhow::Result<Self> {
        if let Some(pid) = options.server_pid {
            let named = Self::Process(pid);
            let found = named.read().await;
            found.with_context(|| format!("--server-pid {pid}: no such process"))?;
            return Ok(named);
        }
        let (url, is_named) = match &options.metrics {
            Some(url) => (url.clone(), true),
            None if options.speaks_klieg() => (options.base().join("/metrics")?, false),
            None => return Ok(Self::None),
        };
        let named = Self::Metrics {
            http: Arc::clone(http),
            token: options.metrics_token.clone(),
            url: url.clone(),
        };
        match named.try_read().await {
            Ok(_) => Ok(named),
            Err(error) if is_named => Err(error.context(format!("--metrics {url}"))),
            Err(error) => {
                let error = format!("{error:#}");
                info!(error, "the server's CPU time and memory cannot be read");
                Ok(Self::None)
            }
        }
    }

    /// Returns the present figures; `None` when they cannot be read.
    pub(crate) async fn read(&self) -> Option<Usage> {
        match self.try_read().await {
            Ok(usage) => usage,
            Err(error) => {
                let error = format!("{error:#}");
                warn!(error, "the server's CPU time and memory cannot be read");
                None
            }
        }
    }

    /// Returns whether its process is gone; `None` where that cannot be seen.
    pub(crate) fn is_gone(&self) -> Option<bool> {
        match self {
            Self::Process(pid) => Some(Usage::of(*pid).is_none()),
            Self::Metrics { .. } | Self::None => None,
        }
    }

    /// Returns whether figures are to be had at all.
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self, Self::None)
    }

    async fn try_read(&self) -> anyhow::Result<Option<Usage>> {
        let (http, url, token) = match self {
            Self::None => return Ok(None),
            Self::Process(pid) => return Ok(Usage::of(*pid)),
            Self::Metrics { http, url, token } => (http, url, token),
        };
        let call = Call {
            method: Method::GET,
            url: url.clone(),
            bearer: token.as_deref(),
            content_type: "text/plain",
            body: String::new(),
        };
        let reply = timeout(PATIENCE, http.call(call)).await;
        let reply = reply.context("no answer")??;
        let usage = usage(&String::from_utf8_lossy(&reply.body));
        ensure!(usage.is_some(), "it has no {CPU} and {MEMORY}");
        Ok(usage)
    }
}

/// Reads the figures out of Prometheus's text.
fn usage(text: &str) -> Option<Usage> {
    let value = |name: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(name));
        let mut values = lines.filter_map(|rest| rest.strip_prefix(' '));
        let value: f64 = values.next()?.split(' ').next()?.parse().ok()?;
        (value.is_finite() && value >= 0.0).then_some(value)
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is not negative, and more would saturate"
    )]
    let memory_bytes = value(MEMORY)? as u64;
    Some(Usage {
        cpu: Duration::try_from_secs_f64(value(CPU)?).ok()?,
        memory_bytes,
    })
}

/// What Prometheus's client libraries call them.
const CPU: &str = "process_cpu_seconds_total";
const MEMORY: &str = "process_resident_memory_bytes";
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_memory_are_read_from_metrics() {
        let text = "# HELP process_cpu_seconds_total CPU time\n# TYPE process_cpu_seconds_total counter\n\
            process_cpu_seconds_total 12.5\nprocess_resident_memory_bytes 1.5e6\n";
        let expected = Usage {
            cpu: Duration::from_millis(12_500),
            memory_bytes: 1_500_000,
        };
        assert_eq!(usage(text), Some(expected));
    }

    #[test]
    fn metrics_without_them_are_no_source() {
        for text in [
            "",
            "process_cpu_seconds_total 1\n",
            "process_cpu_seconds_total NaN\nprocess_resident_memory_bytes 5\n",
            "process_cpu_seconds_total -1\nprocess_resident_memory_bytes 5\n",
            "process_cpu_seconds_total_x 1\nprocess_resident_memory_bytes 5\n",
        ] {
            assert_eq!(usage(text), None, "{text}");
        }
    }
}
