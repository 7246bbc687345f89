//! The pace of what would leave all at once.

use std::time::{Duration, Instant};

use crate::congestion::rate::Bitrate;

/// Bytes that may leave at once: a run of the kernel.
pub(super) const BURST: u64 = 16 * 1250;
/// A step of what is paced, at most: what is sent while the pace is not known, some 15 Mb/s.
pub(super) const STEP: Duration = Duration::from_millis(5);
const STEP_BYTES: u64 = 8 * 1250;
/// Bytes of the first step of a join, while nothing is known of the path: as many as a TCP connection begins with (ten segments; RFC 6928,
/// section 2), and many a keyframe.
const HEAD_START: u64 = 10 * 1250;
/// A step that comes late makes up for at most so much: what goes to others took that long.
const MAX_LATE: Duration = Duration::from_millis(200);

/// A bucket that runs out at the pace; what does not fit waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacer {
    /// Bytes in it.
    level: u64,
    /// When some ran out last.
    at: Instant,
    pace: Pace,
    /// Bytes that may leave besides in the step that goes on, because it is late.
    credit: u64,
    /// How large the step is that begins a join; 0 once it has begun.
    head_start: u64,
}

/// How fast it runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Nothing is known: steps are of [`STEP_BYTES`].
    Unknown,
    /// What a join was begun with. Only what comes from the cache keeps to it.
    Guessed(Bitrate),
    /// The path itself has told.
    Told(Bitrate),
}

impl Pace {
    fn rate(self) -> Option<Bitrate> {
        match self {
            Self::Unknown => None,
            Self::Guessed(rate) | Self::Told(rate) => Some(rate),
        }
    }
}

impl Pacer {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            level: 0,
            at: now,
            pace: Pace::Unknown,
            credit: 0,
            head_start: 0,
        }
    }

    /// Takes the pace that the path has told.
    pub(super) fn tell(&mut self, now: Instant, pace: Bitrate) {
        self.run_out(now);
        (self.pace, self.head_start) = (Pace::Told(pace), 0);
    }

    /// Takes a pace to begin with.
    pub(super) fn guess(&mut self, now: Instant, pace: Bitrate) {
        self.run_out(now);
        (self.pace, self.head_start) = (Pace::Guessed(pace), HEAD_START);
    }

    /// Forgets what the path has told, which counts no more.
    pub(super) fn forget(&mut self, now: Instant) {
        if self.is_told() {
            self.run_out(now);
            self.pace = Pace::Unknown;
        }
    }

    /// Returns the pace; `None` while nothing is known.
    pub(super) fn pace(&self) -> Option<Bitrate> {
        self.pace.rate()
    }

    /// Returns whether a packet fits what may leave at once.
    pub(super) fn fits(&mut self, now: Instant, size_bytes: usize) -> bool {
        if !self.is_told() {
            return true;
        }
        self.run_out(now);
        self.level == 0 || self.level + size_bytes as u64 <= BURST
    }

    /// Takes a packet that left live.
    pub(super) fn note_live(&mut self, size_bytes: usize) {
        if self.is_told() {
            self.add(size_bytes);
        }
    }

    /// Returns whether anything may leave in a step: the last packet may go over it, and the next step waits.
    pub(super) fn has_room(&mut self, now: Instant) -> bool {
        self.run_out(now);
        self.level < self.step_bytes().max(1)
    }

    /// Returns how many packets may leave at once.
    pub(super) fn room(&mut self, now: Instant, size_bytes: usize) -> usize {
        if !self.is_told() {
            return usize::MAX;
        }
        self.run_out(now);
        let room = BURST.saturating_sub(self.level) / size_bytes as u64;
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    pub(super) fn add(&mut self, size_bytes: usize) {
        self.head_start = 0;
        let size = size_bytes as u64;
        let lent = size.min(self.credit);
        self.credit -= lent;
        self.level += size - lent;
    }

    /// Begins a step that was due so long ago. Without a pace nothing runs out, and each step stands by itself.
    pub(super) fn begin_step(&mut self, now: Instant, late: Duration) {
        self.run_out(now);
        if self.pace == Pace::Unknown {
            (self.level, self.at) = (0, now);
        }
        // What would have left in steps of their time: to wait for each of them once more would be slower than the pace.
        let late = late.min(MAX_LATE);
        let credit = match self.pace() {
            Some(pace) => pace.bytes_in(late).saturating_sub(self.level),
            None => STEP_BYTES * u64::from(late.subsec_millis() / STEP.subsec_millis()),
        };
        let head_start = self.head_start.saturating_sub(self.step_bytes());
        self.credit = credit.max(head_start);
    }

    fn step_bytes(&self) -> u64 {
        self.pace().map_or(STEP_BYTES, |pace| pace.bytes_in(STEP))
    }

    fn is_told(&self) -> bool {
        matches!(self.pace, Pace::Told(_))
    }

    fn run_out(&mut self, now: Instant) {
        if now > self.at {
            self.credit = 0;
        }
        if let Some(pace) = self.pace().filter(|_| now > self.at) {
            let gone = pace.bytes_in(now.saturating_duration_since(self.at));
            self.level = self.level.saturating_sub(gone);
            self.at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;

    /// Lets as many packets of 1200 bytes leave as fit.
    fn send(pacer: &mut Pacer, now: Instant, packets: usize) -> usize {
        let mut leaves = |_: &usize| {
            let fits = pacer.fits(now, 1200);
            if fits {
                pacer.note_live(1200);
            }
            fits
        };
        (0..packets).filter(&mut leaves).count()
    }

    #[test]
    fn a_bucket_lets_a_run_pass_and_the_rest_at_its_pace() {
        let start = Instant::now();
        let pace = Bitrate::kbps(4800);
        let mut pacer = Pacer::new(start);
        assert_eq!(send(&mut pacer, start, 1000), 1000, "no pace");
        pacer.guess(start, pace);
        assert_eq!(send(&mut pacer, start, 1000), 1000, "a guess");
        pacer.tell(start, pace);
        assert_eq!(send(&mut pacer, start, 100), 16);
        let mut steps = (1..=200_u32).map(|step| {
            let now = start + STEP * step;
            let mut sent = 0;
            while pacer.has_room(now) {
                pacer.add(1200);
                sent += 1;
            }
            sent
        });
        let sent: usize = steps.by_ref().sum();
        // A second at 4.8 Mb/s is 500 packets, sixteen of which have left before.
        assert!((480..=500).contains(&sent), "{sent}");
        let later = start + Duration::from_secs(2);
        pacer.forget(later);
        assert_eq!(send(&mut pacer, later, 1000), 1000);
    }

    #[test]
    fn the_first_step_of_a_join_has_the_head_start_of_a_tcp_connection() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        pacer.guess(start, Bitrate::kbps(4800));
        let mut step = |number: u32| {
            let now = start + STEP * number;
            pacer.begin_step(now, Duration::ZERO);
            let mut sent = 0;
            while pacer.has_room(now) {
                pacer.add(1250);
                sent += 1;
            }
            sent
        };
        let sent = [0, 1, 2, 3].map(&mut step);
        // At 4.8 Mb/s 2.4 packets of 1250 bytes leave in a step.
        assert_eq!(sent, [10, 3, 2, 3]);
    }

    #[test]
    fn a_step_that_comes_late_makes_up_for_those_that_did_not_and_no_more() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        pacer.tell(start, Bitrate::kbps(4800));
        let mut step = |due: Instant, now: Instant| {
            pacer.begin_step(now, now.saturating_duration_since(due));
            let mut sent = 0;
            while pacer.has_room(now) {
                pacer.add(1200);
                sent += 1;
            }
            sent
        };
        // 4.8 Mb/s are 50 packets in 100 ms.
        let late = Duration::from_millis(95);
        let sent: usize = (0..20_u32)
            .map(|turn| {
                let due = start + (late + STEP) * turn;
                step(due, due + late)
            })
            .sum();
        assert!((980..=1020).contains(&sent), "{sent} in two seconds");
        let due = start + Duration::from_secs(3);
        assert_eq!(step(due, due), 3, "one of its time");
        let due = start + Duration::from_secs(4);
        assert_eq!(
            step(due, due + Duration::from_secs(5)),
            103,
            "a fifth of a second at most"
        );
    }
}
