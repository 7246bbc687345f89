//! Packets that wait for others of their stream, so that they leave together.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::relay::{Burst, MediaPacket, SourceId};

/// The longest that a packet waits.
const MAX_HOLD: Duration = Duration::from_millis(10);

/// How late sound may be and still be expected.
const LATE: Duration = Duration::from_millis(5);

/// Buffers that are kept: enough for as many rooms as send within [`MAX_HOLD`], at most 20 MB.
const MAX_SPARE: usize = 1024;

/// Room for what an ordinary frame brings, so that a burst seldom has to grow.
const ORDINARY_PACKETS: usize = 8;
const ORDINARY_BYTES: usize = ORDINARY_PACKETS * 1200;

/// The bursts that are open, by their source: one for each.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// One for each source that sent within `hold`: a layer begins another one five times a second at most.
    open: BTreeMap<SourceId, Open>,
    /// How long a burst stays open; nothing: until what came with its first packet is read.
    hold: Duration,
    /// The open bursts by when they are due, the next one first; some were closed before. So at most one for each
    /// packet that came within `hold`.
    held: VecDeque<(Instant, SourceId)>,
    /// Those that are to be closed now: each open one once, and those that were closed for being full.
    ripe: VecDeque<SourceId>,
    /// Empty buffers for the next bursts, at most [`MAX_SPARE`].
    spare: Vec<Buffers>,
}

/// What a burst grows in: its packets, and their payloads one behind the other.
pub(super) type Buffers = (Vec<MediaPacket>, Vec<u8>);

/// A burst that grows.
#[derive(Debug)]
struct Open {
    burst: Burst,
    /// When it closes at the latest.
    due: Instant,
    is_ripe: bool,
    /// Whether its frame is complete, and waits for sound to take along.
    waits_for_sound: bool,
}

impl Gathering {
    pub(super) fn set_hold(&mut self, hold: Duration) {
        self.hold = hold.min(MAX_HOLD);
    }

    /// Returns the open burst of a source, a new one where there is none.
    pub(super) fn burst(
        &mut self,
        now: Instant,
        source: SourceId,
        new: impl FnOnce(Buffers) -> Burst,
    ) -> &mut Burst {
        let due = now + self.hold;
        let (held, ripe, waits) = (&mut self.held, &mut self.ripe, !self.hold.is_zero());
        let spare = &mut self.spare;
        let open = self.open.entry(source).or_insert_with(|| {
            if waits {
                held.push_back((due, source));
            } else {
                ripe.push_back(source);
            }
            Open {
                burst: new(spare.pop().unwrap_or_else(new_buffers)),
                due,
                is_ripe: !waits,
                waits_for_sound: false,
            }
        });
        &mut open.burst
    }

    /// Closes a burst as soon as what has come is read: its frame is complete. If sound is expected while it
    /// may wait, it waits for that: alone the sound would cost as much as a frame.
    pub(super) fn finish_frame(&mut self, now: Instant, source: SourceId, sound: Option<Instant>) {
        if let Some(open) = self.open.get_mut(&source) {
            open.waits_for_sound = sound.is_some_and(|at| at <= open.due && now < at + LATE);
            if !open.waits_for_sound {
                self.finish(source);
            }
        }
    }

    /// Closes a burst that waits for sound: it has come.
    pub(super) fn finish_with_sound(&mut self, source: SourceId) {
        if self.open.get(&source).is_some_and(|it| it.waits_for_sound) {
            self.finish(source);
        }
    }

    fn finish(&mut self, source: SourceId) {
        if let Some(open) = self.open.get_mut(&source).filter(|open| !open.is_ripe) {
            open.is_ripe = true;
            self.ripe.push_back(source);
        }
    }

    /// Takes a burst that can take no more packets.
    pub(super) fn take_full(&mut self, source: SourceId) -> Option<Burst> {
        let open = self.open.get(&source)?;
        let is_full = open.burst.packets.len() >= Burst::MAX_PACKETS;
        is_full.then(|| self.take(source)).flatten()
    }

    pub(super) fn take(&mut self, source: SourceId) -> Option<Burst> {
        self.open.remove(&source).map(|open| open.burst)
    }

    /// Returns a burst in memory of just its size, for the cache may hold it for seconds, and takes back
    /// what it was gathered in.
    pub(super) fn keep(&mut self, mut gathered: Burst) -> Burst {
        let kept = Burst {
            packets: gathered.packets.as_slice().to_vec(),
            bytes: gathered.bytes.as_slice().to_vec(),
            ..gathered
        };
        let is_ordinary = gathered.bytes.capacity() <= 2 * ORDINARY_BYTES;
        if self.spare.len() < MAX_SPARE && is_ordinary {
            gathered.packets.clear();
            gathered.bytes.clear();
            self.spare.push((gathered.packets, gathered.bytes));
        }
        kept
    }

    /// Takes the next burst that is to be closed.
    pub(super) fn take_ripe(&mut self) -> Option<Burst> {
        while let Some(source) = self.ripe.pop_front() {
            if let Some(burst) = self.take(source) {
                return Some(burst);
            }
        }
        None
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.held.front().map(|(due, _)| *due)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some((due, source)) = self.held.pop_front_if(|(due, _)| *due <= now) {
            if self.open.get(&source).is_some_and(|open| open.due == due) {
                self.finish(source);
            }
        }
    }
}

fn new_buffers() -> Buffers {
    let packets = Vec::with_capacity(ORDINARY_PACKETS);
    (packets, Vec::with_capacity(ORDINARY_BYTES))
}
