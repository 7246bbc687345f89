//! A simulated network in virtual time: seeded loss, delay, jitter, reordering and duplication.

pub(crate) mod actor;

pub(crate) mod bottleneck;

pub(crate) mod feedback;

pub(crate) mod simulcast;

pub(crate) mod layered;

pub(crate) mod peer;

pub(crate) mod plot;

pub(crate) mod run;

pub(crate) mod spent;

pub(crate) mod stage;

pub(crate) mod stream;

pub(crate) mod world;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Returns the moment at which virtual time begins: one for all tests of a process.
#[expect(
    clippy::disallowed_methods,
    reason = "virtual time begins at one epoch"
)]
pub(crate) fn epoch() -> Instant {
    static EPOCH: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// Returns an address of the simulated network from its short form.
pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("a literal address")
}

/// A small deterministic generator (xorshift64*).
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// Makes a generator; equal seeds give equal numbers.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns the next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Returns `true` with a chance of `percent` in 100.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        (self.next() >> 32) % 100 < percent
    }

    /// Returns a duration below `limit`.
    pub(crate) fn below(&mut self, limit: Duration) -> Duration {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros((self.next() >> 16) % micros)
    }
}

/// What a datagram meets on its way, each direction alike.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Link {
    /// Lost datagrams in 100.
    pub(crate) loss_percent: u64,
    /// Datagrams in 100 that arrive twice.
    pub(crate) duplicate_percent: u64,
    /// Datagrams in 100 held back by another [`Self::delay`], so that later ones overtake.
    pub(crate) reorder_percent: u64,
    /// One way.
    pub(crate) delay: Duration,
    /// Added to the delay at random, below this.
    pub(crate) jitter: Duration,
}

impl Link {
    /// Makes a clean link of a round-trip time, in milliseconds.
    pub(crate) fn round_trip(millis: u64) -> Self {
        Self {
            delay: Duration::from_micros(millis * 500),
            ..Self::default()
        }
    }

    /// Makes a bad link: loss as given, some jitter, reordering and duplication.
    pub(crate) fn bad(loss_percent: u64, round_trip_millis: u64) -> Self {
        let clean = Self::round_trip(round_trip_millis);
        Self {
            loss_percent,
            duplicate_percent: 2,
            reorder_percent: 2,
            jitter: clean.delay / 4,
            ..clean
        }
    }
}

/// A datagram under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parcel {
    /// Its source address.
    pub(crate) from: SocketAddr,
    /// Its destination address.
    pub(crate) to: SocketAddr,
    /// Its bytes.
    pub(crate) datagram: Vec<u8>,
}

/// Everything under way, in the order of arrival.
#[derive(Debug)]
pub(crate) struct Network {
    rng: Rng,
    under_way: BTreeMap<(Instant, u64), Parcel>,
    sent: u64,
}

impl Network {
    /// Makes an empty network; equal seeds make equal fates.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            under_way: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Sends a datagram over a link.
    pub(crate) fn send(&mut self, now: Instant, link: &Link, parcel: Parcel) {
        if self.rng.chance(link.loss_percent) {
            return;
        }
        if self.rng.chance(link.duplicate_percent) {
            self.schedule(now, link, parcel.clone());
        }
        self.schedule(now, link, parcel);
    }

    /// Returns when the next datagram arrives.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.under_way.keys().next().map(|(at, _)| *at)
    }

    /// Returns a datagram that has arrived.
    pub(crate) fn poll_arrival(&mut self, now: Instant) -> Option<Parcel> {
        let first = self.under_way.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    fn schedule(&mut self, now: Instant, link: &Link, parcel: Parcel) {
        let held = if self.rng.chance(link.reorder_percent) {
            link.delay
        } else {
            Duration::ZERO
        };
        let at = now + link.delay + held + self.rng.below(link.jitter);
        self.sent += 1;
        self.under_way.insert((at, self.sent), parcel);
    }
}

/// Names the seed of a run in the output of a test that fails.
#[derive(Debug)]
pub(crate) struct Seed(pub(crate) u64);

impl Drop for Seed {
    #[expect(
        clippy::print_stdout,
        reason = "the output of a failed test names its seed"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("seed {}", self.0);
        }
    }
}

#[test]
fn equal_seeds_make_equal_fates() {
    let fates = |seed| {
        let _seed = Seed(seed);
        let mut network = Network::new(seed);
        let now = epoch();
        for number in 0..200u8 {
            let (from, to) = (address("10.0.0.1:1"), address("10.0.0.2:2"));
            network.send(
                now,
                &Link::bad(10, 100),
                Parcel {
                    from,
                    to,
                    datagram: vec![number],
                },
            );
        }
        let mut arrived = Vec::new();
        while let Some(at) = network.poll_timeout() {
            arrived.extend(network.poll_arrival(at).map(|parcel| (at, parcel.datagram)));
        }
        arrived
    };
    assert_eq!(fates(7), fates(7));
    assert_ne!(fates(7), fates(8));
    assert!((150..200).contains(&fates(7).len()));
}
