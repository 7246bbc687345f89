//! What is seen while a test runs: a few lines that are written over, or one line a second where no terminal is.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::warn;

use crate::light::tally::Spread;
use crate::measure::{Moment, float};
use crate::run::Context;
use crate::screen::Screen;
use crate::server::Usage;
use crate::stop::Why;

/// One second of a test.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sample {
    /// Since the first viewer came.
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
    /// Chat messages to all sockets together.
    pub(crate) deliveries_per_second: f64,
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
    let (mut samples, mut last) = (vec![Sample::default()], Reading::first(&context).await);
    let (began, screen) = (context.began, Screen::get());
    clock.tick().await;
    loop {
        tokio::select! {
            _ = clock.tick() => {}
            _ = over.changed() => break,
        }
        let now = last.next(&context).await;
        let sample = now.sample(&last, began);
        let time = Time {
            passed: began.elapsed(),
            whole: context.ends - began,
        };
        let viewers = context.base.options.viewers;
        if screen.is_terminal() {
            screen.draw(&block(
                &sample,
                now.counters.tally.joins.spread(),
                viewers,
                time,
            ));
        } else {
            screen.print(&line(&sample, viewers, time));
        }
        now.keep(&last, &context).await;
        last = now;
        if samples.len() < MAX_SAMPLES {
            samples.push(sample);
        }
    }
    screen.release();
    samples
}

struct Reading {
    counters: Moment,
    /// The server's last figures, and when they were read; older than the counters where it kept us waiting.
    server: Option<(Usage, std::time::Instant)>,
}

impl Reading {
    async fn first(context: &Context) -> Self {
        let counters = Moment::take(context).await;
        let server = counters.server.map(|usage| (usage, counters.at));
        Self { counters, server }
    }

    /// Reads everything again; a server that does not answer soon is not waited for.
    async fn next(&self, context: &Context) -> Self {
        let read = timeout(PATIENCE, context.source.read()).await;
        let counters = Moment::with(context, read.ok().flatten());
        let server = counters.server.map(|usage| (usage, counters.at));
        Self {
            counters,
            server: server.or(self.server),
        }
    }

    /// Keeps the counters while the server is there, and ends the test when it is not.
    async fn keep(&self, before: &Self, context: &Context) {
        let (now, then) = (&self.counters, &before.counters);
        let is_silent = now.delivered() == then.delivered();
        if now.server.is_some() || !context.source.is_known() && !is_silent {
            let last = context.last_good.lock();
            *last.unwrap_or_else(PoisonError::into_inner) = Some(now.clone());
            return;
        }
        let is_gone = match context.source.is_gone() {
            Some(is_gone) => is_gone,
            None if !is_silent => false,
            None => match context.base.options.door() {
                Some(door) => context.base.http.net.is_refused(&door).await,
                None => false,
            },
        };
        if is_gone {
            warn!("the server is gone");
            context.base.stop.end(Why::ServerGone);
        }
    }

    fn sample(&self, before: &Self, began: Instant) -> Sample {
        let (at, was) = (self.counters.at, before.counters.at);
        let seconds = (at - was).as_secs_f64().max(1e-3);
        let (now, then) = (&self.counters.tally, &before.counters.tally);
        let delays = now.frame_delay.since(&then.frame_delay).spread();
        let joins = now.joins.since(&then.joins).spread();
        let heard = self.counters.heard.delivered - before.counters.heard.delivered;
        let cores = |now: Usage, then: Usage| now.cpu.saturating_sub(then.cpu).as_secs_f64();
        let server = self.server.zip(before.server);
        let server = server.filter(|((_, now), (_, then))| now > then);
        Sample {
            second: at.saturating_duration_since(began.into_std()).as_secs_f64(),
            connected: self.counters.connected,
            watching: now.joins.count(),
            packets_per_second: float(now.packets - then.packets) / seconds,
            megabits_per_second: float(now.bytes - then.bytes) * 8e-6 / seconds,
            lost: now.faults.lost,
            join_p50_us: joins.map(|joins| joins.p50),
            join_p99_us: joins.map(|joins| joins.p99),
            delay_p50_us: delays.map(|delays| delays.p50),
            delay_p99_us: delays.map(|delays| delays.p99),
            deliveries_per_second: float(heard) / seconds,
            server_cores: server.map(|((now, at), (then, was))| {
                cores(now, then) / (at - was).as_secs_f64().max(1e-3)
            }),
            server_memory_bytes: server.map(|((now, _), _)| now.memory_bytes),
            generator_cores: cores(self.counters.own, before.counters.own) / seconds,
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
    if sample.deliveries_per_second > 0.0 {
        let deliveries = sample.deliveries_per_second;
        lines.push(format!("chat        {deliveries:>9.0} deliveries/s"));
    }
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
    let chat = match sample.deliveries_per_second {
        0.0 => String::new(),
        deliveries => format!(" · {deliveries:.0} chat deliveries/s"),
    };
    format!(
        "{:>4} s left · {} of {viewers} connected · {:.0} packets/s · {} lost · join p50 {} p99 {} ms · frame delay p50 {} p99 {} ms{chat}{server}",
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

/// A second's line does not wait longer for the server's figures.
const PATIENCE: Duration = Duration::from_millis(400);
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
