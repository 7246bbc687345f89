//! Which packets of which stream have been seen: replay windows and rollover counting
//! (RFC 3711, sections 3.3.1 and 3.3.2).

/// Streams remembered of one peer and direction; the one used least recently gives way.
pub(super) const MAX_STREAMS: usize = 32;

/// Windows of `WORDS` × 64 packets, one a stream.
#[derive(Debug)]
pub(super) struct Streams<const WORDS: usize> {
    /// At most [`MAX_STREAMS`].
    streams: Vec<Stream<WORDS>>,
    /// Counts accepted packets: the clock of least recent use.
    accepted: u64,
}

#[derive(Debug)]
struct Stream<const WORDS: usize> {
    ssrc: u32,
    /// The highest index accepted.
    highest: u64,
    /// Whether an index was accepted, at its place modulo the window.
    seen: [u64; WORDS],
    /// [`Streams::accepted`] at the last packet.
    used: u64,
}

impl<const WORDS: usize> Streams<WORDS> {
    pub(super) const fn new() -> Self {
        Self {
            streams: Vec::new(),
            accepted: 0,
        }
    }

    /// Extends a sequence number to the nearest index; a stream begins with a rollover count of 0.
    pub(super) fn index(&self, ssrc: u32, seq: u16) -> u64 {
        let Some(stream) = self.find(ssrc) else {
            return u64::from(seq);
        };
        let [.., high, low] = stream.highest.to_be_bytes();
        let distance = seq
            .wrapping_sub(u16::from_be_bytes([high, low]))
            .cast_signed();
        stream
            .highest
            .checked_add_signed(i64::from(distance))
            .unwrap_or_else(|| u64::from(seq))
    }

    /// Returns whether an index was not seen and is not too old to know.
    pub(super) fn is_new(&self, ssrc: u32, index: u64) -> bool {
        self.find(ssrc).is_none_or(|stream| stream.is_new(index))
    }

    /// Marks an index as seen and returns whether it is the highest. Only for packets that proved
    /// themselves.
    pub(super) fn accept(&mut self, ssrc: u32, index: u64) -> bool {
        self.accepted += 1;
        let used = self.accepted;
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc == ssrc) {
            stream.used = used;
            stream.accept(index);
            return stream.highest == index;
        }
        if self.streams.len() >= MAX_STREAMS {
            let stalest = self
                .streams
                .iter()
                .enumerate()
                .min_by_key(|(_, stream)| stream.used);
            if let Some((stalest, _)) = stalest {
                self.streams.swap_remove(stalest);
            }
        }
        let mut stream = Stream {
            ssrc,
            highest: index,
            seen: [0; WORDS],
            used,
        };
        stream.accept(index);
        self.streams.push(stream);
        true
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    fn find(&self, ssrc: u32) -> Option<&Stream<WORDS>> {
        self.streams.iter().find(|stream| stream.ssrc == ssrc)
    }
}

impl<const WORDS: usize> Stream<WORDS> {
    const LEN: u64 = WORDS as u64 * 64;

    fn is_new(&self, index: u64) -> bool {
        if index > self.highest {
            return true;
        }
        self.highest - index < Self::LEN && !self.is_seen(index)
    }

    fn accept(&mut self, index: u64) {
        if index > self.highest {
            // What the window moves over has not been seen.
            let from = (self.highest + 1).max(index.saturating_sub(Self::LEN - 1));
            for passed in from..index {
                self.mark(passed, false);
            }
            self.highest = index;
        }
        self.mark(index, true);
    }

    fn is_seen(&self, index: u64) -> bool {
        let (word, bit) = Self::place(index);
        self.seen.get(word).is_some_and(|word| word & bit != 0)
    }

    fn mark(&mut self, index: u64, is_seen: bool) {
        let (word, bit) = Self::place(index);
        if let Some(word) = self.seen.get_mut(word) {
            if is_seen { *word |= bit } else { *word &= !bit }
        }
    }

    fn place(index: u64) -> (usize, u64) {
        let place = index % Self::LEN;
        (usize::try_from(place / 64).unwrap_or(0), 1 << (place % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_counts_once() {
        let mut streams = Streams::<16>::new();
        assert!(streams.is_new(1, 100));
        streams.accept(1, 100);
        assert!(!streams.is_new(1, 100));
        assert!(streams.is_new(2, 100));
    }

    #[test]
    fn late_packets_count_within_the_window_and_no_further() {
        let mut streams = Streams::<16>::new();
        streams.accept(1, 5000);
        assert!(streams.is_new(1, 5000 - 1023));
        streams.accept(1, 5000 - 1023);
        assert!(!streams.is_new(1, 5000 - 1023));
        assert!(!streams.is_new(1, 5000 - 1024));
    }

    #[test]
    fn a_jump_forgets_what_it_passes_and_remembers_nothing_wrong() {
        let mut streams = Streams::<2>::new();
        for index in 0..200 {
            streams.accept(1, index);
        }
        streams.accept(1, 250);
        assert!((200..250).all(|index| streams.is_new(1, index)));
        assert!((123..200).all(|index| !streams.is_new(1, index)));
        streams.accept(1, 1_000_000);
        assert!((1_000_000 - 127..1_000_000).all(|index| streams.is_new(1, index)));
    }

    #[test]
    fn sequence_numbers_extend_over_the_wrap_both_ways() {
        let mut streams = Streams::<16>::new();
        assert_eq!(streams.index(1, 65_530), 65_530);
        streams.accept(1, 65_530);
        assert_eq!(streams.index(1, 3), 65_536 + 3);
        streams.accept(1, 65_536 + 3);
        assert_eq!(streams.index(1, 65_533), 65_533);
        assert_eq!(streams.index(1, 4), 65_536 + 4);
    }

    #[test]
    fn a_stream_that_begins_low_takes_a_high_number_as_its_own() {
        let mut streams = Streams::<16>::new();
        streams.accept(1, 5);
        assert_eq!(streams.index(1, 65_000), 65_000);
    }

    #[test]
    fn streams_are_bounded_and_the_stalest_gives_way() {
        let mut streams = Streams::<2>::new();
        for ssrc in 0..1000 {
            streams.accept(ssrc, 1);
            streams.accept(0, u64::from(ssrc) + 2);
        }
        assert_eq!(streams.streams.len(), MAX_STREAMS);
        assert!(!streams.is_new(0, 1001));
    }
}
