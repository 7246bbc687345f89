//! What arrived over the last second: how fast, and how long it waited on its way.

/// One bucket of arrivals, in microseconds.
const BUCKET_US: u64 = 25_000;
/// Buckets kept: a second.
const BUCKETS: usize = 40;
/// How long the shortest way counts, at least; at most twice as long. Clocks that drift apart by 100 ppm are 3 ms
/// apart then.
const BASE_US: u64 = 15_000_000;

/// Arrivals of one viewer, by its own clock.
#[derive(Debug)]
pub(super) struct Delivered {
    /// Bytes by bucket `(arrival / BUCKET_US) % BUCKETS`.
    bytes: [u32; BUCKETS],
    /// The earliest departure in each bucket, in microseconds.
    departed: [u64; BUCKETS],
    /// The bucket of the latest arrival, and the time of that; `None` before the first.
    latest: Option<(u64, u64)>,
    /// The first arrival since the last silence.
    first_us: u64,
    /// The latest departure of what arrived.
    departed_us: u64,
    /// The shortest way in this span and in the one before, and when this one began.
    base: [i64; 2],
    base_since: u64,
    /// How much longer than the shortest the way of the last message's packets was, at the least.
    queue_us: u64,
    /// How much more that was than in the message before.
    grown_us: u64,
    /// The shortest way in this message; `None` before its first packet.
    least: Option<i64>,
}

/// One packet that arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// When it left, by our clock, in microseconds.
    pub(super) departed_us: u64,
    /// When it came, by the viewer's clock, in microseconds.
    pub(super) arrived_us: u64,
    pub(super) size_bytes: u16,
}

/// What was delivered in a window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    pub(super) bytes: u64,
    /// From its beginning to the last arrival.
    pub(super) arrival_us: u64,
    /// From the first departure to the last.
    pub(super) departure_us: u64,
}

impl Delivered {
    pub(super) fn new() -> Self {
        Self {
            bytes: [0; BUCKETS],
            departed: [0; BUCKETS],
            latest: None,
            first_us: 0,
            departed_us: 0,
            base: [i64::MAX; 2],
            base_since: 0,
            queue_us: 0,
            grown_us: 0,
            least: None,
        }
    }

    /// Takes a packet.
    pub(super) fn add(&mut self, packet: Arrival) {
        self.measure_way(packet);
        let bucket = packet.arrived_us / BUCKET_US;
        let latest = self.latest.map_or(bucket, |(latest, _)| latest);
        if latest >= bucket + BUCKETS as u64 {
            return;
        }
        if self.latest.is_none() || bucket > latest {
            let silent = self.latest.is_none() || bucket - latest >= BUCKETS as u64 / 2;
            if silent {
                self.first_us = packet.arrived_us;
            }
            for between in (latest + 1..=bucket).rev().take(BUCKETS) {
                self.clear(between);
            }
            self.clear(bucket);
        }
        let at = self.latest.map_or(0, |(_, at)| at).max(packet.arrived_us);
        self.latest = Some((latest.max(bucket), at));
        self.departed_us = self.departed_us.max(packet.departed_us);
        let place = place(bucket);
        if let (Some(bytes), Some(departed)) =
            (self.bytes.get_mut(place), self.departed.get_mut(place))
        {
            *bytes = bytes.saturating_add(u32::from(packet.size_bytes));
            *departed = (*departed).min(packet.departed_us);
        }
    }

    /// Adds bytes to what arrived last, of a packet whose own time is not known.
    pub(super) fn credit(&mut self, size_bytes: u16) {
        if let Some((latest, _)) = self.latest
            && let Some(bytes) = self.bytes.get_mut(place(latest))
        {
            *bytes = bytes.saturating_add(u32::from(size_bytes));
        }
    }

    /// Ends a message.
    pub(super) fn end_message(&mut self) {
        if let Some(least) = self.least.take() {
            let base = self.base.into_iter().min().unwrap_or(least);
            let before = self.queue_us;
            self.queue_us = u64::try_from(least.saturating_sub(base)).unwrap_or(0);
            self.grown_us = self.queue_us.saturating_sub(before);
        }
    }

    /// Returns how long packets wait on their way, in microseconds.
    pub(super) fn queue_us(&self) -> u64 {
        self.queue_us
    }

    /// Returns how much longer they wait than those of the message before, in microseconds; 0 where they wait no longer.
    pub(super) fn grown_us(&self) -> u64 {
        self.grown_us
    }

    /// Takes the queue as gone: nothing has left for so long that nothing can wait.
    pub(super) fn forget_queue(&mut self) {
        self.queue_us = 0;
    }

    /// Returns what came in the last so many microseconds, at most a second.
    pub(super) fn window(&self, span_us: u64) -> Window {
        let Some((latest, at)) = self.latest else {
            return Window::default();
        };
        let first = at.saturating_sub(span_us).max(self.first_us) / BUCKET_US;
        let first = first.max((latest + 1).saturating_sub(BUCKETS as u64));
        let (mut bytes, mut departed) = (0, self.departed_us);
        for place in (first..=latest).map(place) {
            bytes += u64::from(self.bytes.get(place).copied().unwrap_or(0));
            departed = departed.min(self.departed.get(place).copied().unwrap_or(u64::MAX));
        }
        Window {
            bytes,
            arrival_us: at.saturating_sub((first * BUCKET_US).max(self.first_us)),
            departure_us: self.departed_us - departed,
        }
    }

    fn clear(&mut self, bucket: u64) {
        let place = place(bucket);
        if let (Some(bytes), Some(departed)) =
            (self.bytes.get_mut(place), self.departed.get_mut(place))
        {
            (*bytes, *departed) = (0, u64::MAX);
        }
    }

    fn measure_way(&mut self, packet: Arrival) {
        let way = packet
            .arrived_us
            .cast_signed()
            .wrapping_sub(packet.departed_us.cast_signed());
        if packet.arrived_us.saturating_sub(self.base_since) > BASE_US {
            self.base_since = packet.arrived_us;
            self.base = [i64::MAX, self.base[0]];
        }
        self.base[0] = self.base[0].min(way);
        self.least = Some(self.least.map_or(way, |least| least.min(way)));
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the remainder is below the length"
)]
fn place(bucket: u64) -> usize {
    (bucket % BUCKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(departed_ms: u64, arrived_ms: u64) -> Arrival {
        Arrival {
            departed_us: departed_ms * 1000,
            arrived_us: 50_000_000 + arrived_ms * 1000,
            size_bytes: 1000,
        }
    }

    #[test]
    fn a_bottleneck_shows_in_the_rate_and_in_the_queue() {
        let mut delivered = Delivered::new();
        for number in 0..100 {
            delivered.add(packet(number * 5, 20 + number * 5));
        }
        delivered.end_message();
        assert_eq!(delivered.queue_us(), 0);
        // From now on they come half as fast as they go.
        for number in 100..140 {
            delivered.add(packet(number * 5, 20 + 500 + (number - 100) * 10));
            delivered.end_message();
        }
        assert_eq!(delivered.queue_us(), 195_000);
        let window = delivered.window(200_000);
        let rate = window.bytes * 8_000_000 / window.arrival_us;
        assert!((760_000..900_000).contains(&rate), "{rate}");
        assert!(window.arrival_us > window.departure_us * 18 / 10);
    }

    #[test]
    fn what_came_before_a_silence_does_not_count() {
        let mut delivered = Delivered::new();
        delivered.add(packet(0, 0));
        for number in 0..20 {
            delivered.add(packet(5000 + number * 10, 5000 + number * 10));
        }
        let window = delivered.window(1_000_000);
        assert_eq!((window.bytes, window.arrival_us), (20_000, 190_000));
    }
}
