//! What is seen while a test runs: a few lines that are written over, or one line a second where no terminal is.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::light::tally::{BEGAN, Spread, Tally};
use crate::measure::float;
use crate::run::Context;
use crate::screen::Screen;
use crate::server::Usage;

/// One second of a test.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sample {
    /// Since the process began.
    pub(crate) second: f64,
    pub(crate) connected: u64,
    /// Who had a whole picture, ever.
    pub(crate) watching: u64,
    pub(crate) packets_per_second: f64,
    pub(crate) megabits_per_second: f64,
    /// Packets lost since the beginning.
    pub(crate) lost: u64,
    /// From the first request to the first whole picture, of those who got it in this second.
    pub(crate) join_p50_us: Option<u64>,
    pub(crate) join_p99_us: Option<u64>,
    /// Of the frames of this second.
    pub(crate) delay_p50_us: Option<u64>,
    pub(crate) delay_p99_us: Option<u64>,
    /// Cores that the server used in it.
    pub(crate) server_cores: Option<f64>,
    pub(crate) server_memory_bytes: Option<u64>,
    /// Cores that the test used.
    pub(crate) generator_cores: f64,
}

/// Shows a test until it is over, and returns what was shown.
pub(crate) async fn show(context: Arc<Context>, mut over: watch::Receiver<bool>) -> Vec<Sample> {
    let mut clock = interval(Duration::from_secs(1));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut samples, mut last) = (Vec::new(), Reading::take(&context).await);
    let (began, screen) = (Instant::now(), Screen::get());
    clock.tick().await;
    loop {
        tokio::select! {
            _ = clock.tick() => {}
            _ = over.changed() => break,
        }
        let now = Reading::take(&context).await;
        let sample = now.sample(&last);
        let time = Time {
            passed: began.elapsed(),
            whole: context.ends - began,
        };
        let viewers = context.base.options.viewers;
        if screen.is_terminal() {
            screen.draw(&block(&sample, now.tally.joins.spread(), viewers, time));
        } else {
            screen.print(&line(&sample, viewers, time));
        }
        last = now;
        if samples.len() < MAX_SAMPLES {
            samples.push(sample);
        }
    }
    screen.release();
    samples
}

struct Reading {
    at: Instant,
    tally: Tally,
    connected: u64,
    server: Option<Usage>,
    own: Usage,
}

impl Reading {
    async fn take(context: &Context) -> Self {
        let server = context.source.read().await;
        let (tally, connected) = context.tally();
        Self {
            at: Instant::now(),
            tally,
            connected,
            server,
            own: Usage::of(std::process::id()).unwrap_or_default(),
        }
    }

    fn sample(&self, before: &Self) -> Sample {
        let seconds = (self.at - before.at).as_secs_f64().max(1e-3);
        let (now, then) = (&self.tally, &before.tally);
        let delays = now.frame_delay.since(&then.frame_delay).spread();
        let joins = now.joins.since(&then.joins).spread();
        let cores =
            |now: Usage, then: Usage| now.cpu.saturating_sub(then.cpu).as_secs_f64() / seconds;
        let server = self.server.zip(before.server);
        Sample {
            second: BEGAN.elapsed().as_secs_f64(),
            connected: self.connected,
            watching: now.joins.count(),
            packets_per_second: float(now.packets - then.packets) / seconds,
            megabits_per_second: float(now.bytes - then.bytes) * 8e-6 / seconds,
            lost: now.faults.lost,
            join_p50_us: joins.map(|joins| joins.p50),
            join_p99_us: joins.map(|joins| joins.p99),
            delay_p50_us: delays.map(|delays| delays.p50),
            delay_p99_us: delays.map(|delays| delays.p99),
            server_cores: server.map(|(now, then)| cores(now, then)),
            server_memory_bytes: self.server.map(|server| server.memory_bytes),
            generator_cores: cores(self.own, before.own),
        }
    }
}

/// How far the test is.
#[derive(Clone, Copy, Debug)]
struct Time {
    passed: Duration,
    whole: Duration,
}

impl Time {
    fn left(self) -> Duration {
        self.whole.saturating_sub(self.passed)
    }

    /// Draws a bar of this many places.
    fn bar(self, places: usize) -> String {
        let share = self.passed.as_secs_f64() / self.whole.as_secs_f64().max(1e-3);
        (0..places)
            .map(|place| float(place as u64) < share * float(places as u64))
            .map(|is_past| if is_past { '█' } else { '░' })
            .collect()
    }
}

/// Returns the lines for a terminal, none longer than 80 places; `joins` are those of all so far.
fn block(sample: &Sample, joins: Option<Spread>, viewers: u32, time: Time) -> Vec<String> {
    let (p50, p99) = (joins.map(|joins| joins.p50), joins.map(|joins| joins.p99));
    let mut lines = vec![
        format!(
            "{}  {} s of {} s",
            time.bar(40),
            time.passed.as_secs().min(time.whole.as_secs()),
            time.whole.as_secs()
        ),
        format!(
            "viewers     {:>9} of {viewers} connected, {} pictures",
            sample.connected, sample.watching
        ),
        format!(
            "packets/s   {:>9.0}  {:>9.0} Mb/s  {:>9} lost",
            sample.packets_per_second, sample.megabits_per_second, sample.lost
        ),
        format!("join ms     {:>9} p50 {:>9} p99", ms(p50), ms(p99)),
        format!(
            "delay ms    {:>9} p50 {:>9} p99",
            ms(sample.delay_p50_us),
            ms(sample.delay_p99_us)
        ),
    ];
    if let Some(cores) = sample.server_cores {
        let memory = float(sample.server_memory_bytes.unwrap_or(0)) / 1_048_576.0;
        lines.push(format!("server      {cores:>9.2} cores  {memory:>7.0} MiB"));
    }
    lines.push(format!("generator   {:>9.2} cores", sample.generator_cores));
    lines
}

/// Returns the line for a pipe.
fn line(sample: &Sample, viewers: u32, time: Time) -> String {
    let server = sample.server_cores.map_or_else(String::new, |cores| {
        let memory = float(sample.server_memory_bytes.unwrap_or(0)) / 1_048_576.0;
        format!(" · server {cores:.2} cores, {memory:.0} MiB")
    });
    format!(
        "{:>4} s left · {} of {viewers} connected · {:.0} packets/s · {} lost · join p50 {} p99 {} ms · frame delay p50 {} p99 {} ms{server}",
        time.left().as_secs(),
        sample.connected,
        sample.packets_per_second,
        sample.lost,
        ms(sample.join_p50_us),
        ms(sample.join_p99_us),
        ms(sample.delay_p50_us),
        ms(sample.delay_p99_us),
    )
}

fn ms(us: Option<u64>) -> String {
    us.map_or_else(|| "–".into(), |us| format!("{:.1}", float(us) / 1000.0))
}

/// Seconds that are kept for the plots: more than the longest test.
const MAX_SAMPLES: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Time = Time {
        passed: Duration::from_secs(5),
        whole: Duration::from_secs(10),
    };

    fn sample() -> Sample {
        Sample {
            connected: 7,
            packets_per_second: 1234.4,
            lost: 2,
            delay_p50_us: Some(1500),
            ..Sample::default()
        }
    }

    #[test]
    fn a_line_says_how_it_goes() {
        assert_eq!(
            line(&sample(), 10, TIME),
            "   5 s left · 7 of 10 connected · 1234 packets/s · 2 lost · join p50 – p99 – ms · frame delay p50 1.5 p99 – ms"
        );
    }

    #[test]
    fn a_block_fits_into_a_terminal_however_large_the_figures() {
        let large = Sample {
            connected: 100_000,
            watching: 200_000,
            packets_per_second: 1e8,
            megabits_per_second: 1e6,
            lost: 1_000_000_000,
            delay_p50_us: Some(3_600_000_000),
            server_cores: Some(100.0),
            server_memory_bytes: Some(1 << 40),
            ..Sample::default()
        };
        for sample in [sample(), large] {
            let lines = block(&sample, None, 100_000, TIME);
            for line in &lines {
                assert!(line.chars().count() < 80, "{line}");
            }
            assert!(lines[0].starts_with(&"█".repeat(20)) && lines[0].contains("░"));
        }
    }
}
