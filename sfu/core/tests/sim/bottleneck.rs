//! A bottleneck: a rate that changes with time, a queue of so many bytes that drops what comes when it is full, and
//! somebody else's traffic.

use std::time::{Duration, Instant};

use super::{Rng, epoch};

/// What goes around each datagram: IPv4 and UDP.
const HEADERS: usize = 28;

/// The way that the datagrams of one viewer share.
#[derive(Clone, Debug)]
pub(crate) struct Bottleneck {
    /// From when on, since the epoch, it carries how many kb/s; the first from the beginning.
    pub(crate) trace: Vec<(Duration, u64)>,
    /// Bytes that may wait.
    pub(crate) queue_bytes: u64,
    /// Added to the time of each datagram at random, below this, without changing their order.
    pub(crate) jitter: Duration,
    /// How often nothing passes for how long, as on a radio that others use; what waited passes at once then.
    pub(crate) stall: Option<(Duration, Duration)>,
    /// What else goes through.
    pub(crate) cross: Option<Cross>,
    /// Datagrams that came, and those that found the queue full: when.
    pub(crate) came: u64,
    pub(crate) dropped: Vec<Instant>,
    /// Bytes that wait, and when that was so.
    waiting: f64,
    at: Instant,
    last: Instant,
    rng: Rng,
}

/// A flow that shares the bottleneck, as a stream of bytes without packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cross {
    /// From when until when, since the epoch.
    pub(crate) span: (Duration, Duration),
    /// Its rate now, in kb/s.
    pub(crate) kbps: f64,
    /// How much faster it becomes in a second, in kb/s, until the queue is full, when it becomes half as fast; a flow
    /// without feedback has 0.
    pub(crate) growth_kbps: f64,
}

impl Bottleneck {
    /// Makes one that carries so many kb/s, with a queue of so many milliseconds.
    pub(crate) fn new(kbps: u64, queue_ms: u64) -> Self {
        Self {
            trace: vec![(Duration::ZERO, kbps)],
            queue_bytes: kbps * queue_ms / 8,
            jitter: Duration::ZERO,
            stall: None,
            cross: None,
            came: 0,
            dropped: Vec::new(),
            waiting: 0.0,
            at: epoch(),
            last: epoch(),
            rng: Rng::new(kbps + queue_ms),
        }
    }

    /// Lets it carry so many kb/s from a moment on.
    pub(crate) fn then(mut self, from_secs: u64, kbps: u64) -> Self {
        self.trace.push((Duration::from_secs(from_secs), kbps));
        self
    }

    /// Returns how many kb/s it carries at a moment.
    pub(crate) fn kbps(&self, at: Duration) -> u64 {
        let mut steps = self.trace.iter().rev();
        steps.find(|(from, _)| *from <= at).map_or(0, |step| step.1)
    }

    /// Takes a datagram; returns when it is through, or `None` when the queue was full.
    pub(crate) fn pass(&mut self, now: Instant, len: usize) -> Option<Instant> {
        self.drain(now);
        self.came += 1;
        let size = (len + HEADERS) as f64;
        if self.waiting + size > self.queue_bytes as f64 {
            self.dropped.push(now);
            return None;
        }
        self.waiting += size;
        let through = now + self.time_for(now, self.waiting) + self.rng.below(self.jitter);
        self.last = self.last.max(self.held_until(through));
        Some(self.last)
    }

    /// Returns when what would be through at a moment is, with a stall in between.
    fn held_until(&self, through: Instant) -> Instant {
        let Some((every, length)) = self.stall else {
            return through;
        };
        let elapsed = (through - epoch()).as_micros();
        let into = Duration::from_micros((elapsed % every.as_micros()) as u64);
        through + length.saturating_sub(into)
    }

    /// Returns how long so many bytes take from now on, with the rates that come.
    fn time_for(&self, now: Instant, mut bytes: f64) -> Duration {
        const STEP: Duration = Duration::from_millis(5);
        let mut took = Duration::ZERO;
        loop {
            let rate = self.kbps(now + took - epoch()) as f64 * 125.0;
            let step = rate * STEP.as_secs_f64();
            if bytes <= step || took > Duration::from_secs(60) {
                return took + Duration::from_secs_f64(bytes / rate.max(1.0));
            }
            bytes -= step;
            took += STEP;
        }
    }

    /// Lets time pass for what waits.
    fn drain(&mut self, now: Instant) {
        const STEP: Duration = Duration::from_millis(1);
        while self.at < now {
            let step = STEP.min(now - self.at);
            let elapsed = self.at - epoch();
            let bytes = |kbps: f64| kbps * 125.0 * step.as_secs_f64();
            if let Some(cross) = self.cross.as_mut().filter(|it| it.runs(elapsed)) {
                self.waiting += bytes(cross.kbps);
                cross.kbps += cross.growth_kbps * step.as_secs_f64();
                if self.waiting > self.queue_bytes as f64 {
                    self.waiting = self.queue_bytes as f64;
                    if cross.growth_kbps > 0.0 {
                        cross.kbps /= 2.0;
                    }
                }
            }
            self.waiting = (self.waiting - bytes(self.kbps(elapsed) as f64)).max(0.0);
            self.at += step;
        }
    }
}

impl Cross {
    fn runs(&self, elapsed: Duration) -> bool {
        (self.span.0..self.span.1).contains(&elapsed)
    }
}
