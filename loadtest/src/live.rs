//! What is seen while a test runs: a line that is written over, or one a second where no terminal is.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::light::tally::{BEGAN, Tally};
use crate::measure::float;
use crate::run::Context;
use crate::server::Usage;

/// One second of a test.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sample {
    /// Since the process began.
    pub(crate) second: f64,
    pub(crate) connected: u64,
    pub(crate) packets_per_second: f64,
    /// Numbers missing at present, since the beginning.
    pub(crate) lost: u64,
    /// Of the frames of this second.
    pub(crate) delay_p50_us: Option<u64>,
    pub(crate) delay_p99_us: Option<u64>,
    /// Cores that the server used in it.
    pub(crate) server_cores: Option<f64>,
    pub(crate) server_memory_bytes: Option<u64>,
}

/// Shows a test until it is over, and returns what was shown.
pub(crate) async fn show(
    context: Arc<Context>,
    ends: Instant,
    mut over: watch::Receiver<bool>,
) -> Vec<Sample> {
    let mut clock = interval(Duration::from_secs(1));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let is_terminal = stderr().is_terminal();
    let (mut samples, mut last) = (Vec::new(), Reading::take(&context));
    clock.tick().await;
    loop {
        tokio::select! {
            _ = clock.tick() => {}
            _ = over.changed() => break,
        }
        let now = Reading::take(&context);
        let sample = now.sample(&last);
        last = now;
        let left = ends.saturating_duration_since(Instant::now());
        let line = line(&sample, context.options.viewers, left);
        // A terminal that is gone is no reason to stop.
        let _ = if is_terminal {
            write!(stderr(), "\r\x1b[2K{line}")
        } else {
            writeln!(stderr(), "{line}")
        };
        if samples.len() < MAX_SAMPLES {
            samples.push(sample);
        }
    }
    if is_terminal {
        let _ = writeln!(stderr());
    }
    samples
}

struct Reading {
    at: Instant,
    tally: Tally,
    connected: u64,
    server: Option<Usage>,
}

impl Reading {
    fn take(context: &Context) -> Self {
        let (tally, connected) = context.tally();
        Self {
            at: Instant::now(),
            tally,
            connected,
            server: context.options.server_pid.and_then(Usage::of),
        }
    }

    fn sample(&self, before: &Self) -> Sample {
        let seconds = (self.at - before.at).as_secs_f64().max(1e-3);
        let frames = self.tally.frame_delay.since(&before.tally.frame_delay);
        let delays = frames.spread();
        let cores = self
            .server
            .zip(before.server)
            .map(|(now, then)| now.cpu.saturating_sub(then.cpu).as_secs_f64() / seconds);
        Sample {
            second: BEGAN.elapsed().as_secs_f64(),
            connected: self.connected,
            packets_per_second: float(self.tally.packets - before.tally.packets) / seconds,
            lost: self.tally.faults[0],
            delay_p50_us: delays.map(|delays| delays.p50),
            delay_p99_us: delays.map(|delays| delays.p99),
            server_cores: cores,
            server_memory_bytes: self.server.map(|server| server.memory_bytes),
        }
    }
}

fn line(sample: &Sample, viewers: u32, left: Duration) -> String {
    let ms =
        |us: Option<u64>| us.map_or_else(|| "–".into(), |us| format!("{:.1}", float(us) / 1000.0));
    let server = sample.server_cores.map_or_else(String::new, |cores| {
        let memory = float(sample.server_memory_bytes.unwrap_or(0)) / 1048576.0;
        format!(" · server {cores:.2} cores, {memory:.0} MiB")
    });
    format!(
        "{:>4} s left · {} of {viewers} connected · {:.0} packets/s · {} lost · frame delay p50 {} p99 {} ms{server}",
        left.as_secs(),
        sample.connected,
        sample.packets_per_second,
        sample.lost,
        ms(sample.delay_p50_us),
        ms(sample.delay_p99_us),
    )
}

/// Seconds that are kept for the plots: more than the longest test.
const MAX_SAMPLES: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_it_goes() {
        let sample = Sample {
            connected: 7,
            packets_per_second: 1234.4,
            lost: 2,
            delay_p50_us: Some(1500),
            ..Sample::default()
        };
        let line = line(&sample, 10, Duration::from_secs(5));
        assert_eq!(
            line,
            "   5 s left · 7 of 10 connected · 1234 packets/s · 2 lost · frame delay p50 1.5 p99 – ms"
        );
    }
}
