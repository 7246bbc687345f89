//! Transport-wide feedback from a viewer, read (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).

#![warn(clippy::indexing_slicing)]

/// Packets that one message may speak of. What a browser reports at once is some hundred; a message of a few bytes
/// could name 65 535.
const MAX_STATUSES: u16 = 8192;

/// One message: which packets came, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportFeedback<'a> {
    /// The transport-wide number of the first packet.
    base: u16,
    /// Packets that it speaks of, at most [`MAX_STATUSES`].
    count: u16,
    /// When the deltas begin, in 64 ms of the receiver's clock, modulo 2^24.
    reference: u32,
    /// Counts the messages, modulo 2^8.
    message: u8,
    /// Status chunks, two bytes each.
    chunks: &'a [u8],
    /// Receive deltas, one or two bytes each.
    deltas: &'a [u8],
}

/// What a message says of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its transport-wide number.
    pub sequence: u16,
    /// When it came, in microseconds since [`TransportFeedback::reference_us`]; `None` when it has not.
    pub arrival_us: Option<i64>,
}

impl<'a> TransportFeedback<'a> {
    /// The reference time comes round after so many microseconds: twelve days.
    pub const PERIOD_US: i64 = (1 << 24) * REFERENCE_US;

    /// Reads what stands behind the two SSRCs; `None` when it is malformed or speaks of too many packets.
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        let (&[b0, b1, c0, c1, r0, r1, r2, number], rest) = message.split_first_chunk()?;
        let count = u16::from_be_bytes([c0, c1]);
        if count > MAX_STATUSES {
            return None;
        }
        let mut left = usize::from(count);
        let mut len = 0;
        while left > 0 {
            let chunk = Chunk::read(rest.get(len..)?)?;
            left = left.saturating_sub(chunk.len());
            len += 2;
        }
        let (chunks, deltas) = rest.split_at_checked(len)?;
        Some(Self {
            base: u16::from_be_bytes([b0, b1]),
            count,
            reference: u32::from_be_bytes([0, r0, r1, r2]),
            message: number,
            chunks,
            deltas,
        })
    }

    /// Returns the transport-wide number of the first packet.
    pub fn base(&self) -> u16 {
        self.base
    }

    /// Returns how many packets it speaks of.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Returns the number of the message, modulo 2^8.
    pub fn message(&self) -> u8 {
        self.message
    }

    /// Returns the receiver's time at which the deltas begin, modulo [`Self::PERIOD_US`].
    pub fn reference_us(&self) -> i64 {
        i64::from(self.reference) * REFERENCE_US
    }

    /// Walks the packets, in the order of their numbers. A message that lacks deltas ends early.
    pub fn statuses(&self) -> Statuses<'a> {
        Statuses {
            next: self.base,
            left: self.count,
            known: self.base,
            chunks: self.chunks,
            chunk: None,
            deltas: self.deltas,
            arrival_us: 0,
        }
    }

    /// Walks the packets before `end`, without runs of missing ones before `known`: of those nothing is new. What is left
    /// is as long as what was sent, or as the message, and not as what a few bytes can name.
    pub fn news(&self, known: u16, end: u16) -> Statuses<'a> {
        let ahead = |number: u16| Some(number.wrapping_sub(self.base)).filter(|it| *it <= 1 << 15);
        Statuses {
            left: self.count.min(ahead(end).unwrap_or(0)),
            known: ahead(known).map_or(self.base, |_| known),
            ..self.statuses()
        }
    }
}

/// Unit of the reference time, in microseconds.
const REFERENCE_US: i64 = 64_000;
/// Unit of a delta, in microseconds.
const DELTA_US: i64 = 250;

/// Walks the packets of a message.
#[derive(Clone, Debug)]
pub struct Statuses<'a> {
    /// The number of the next packet.
    next: u16,
    /// Packets left.
    left: u16,
    /// Runs of missing packets before this one are passed over.
    known: u16,
    /// Chunks not yet begun.
    chunks: &'a [u8],
    /// The chunk being read, and how many of its symbols were; `None` at its end.
    chunk: Option<(Chunk, usize)>,
    /// Deltas not yet read.
    deltas: &'a [u8],
    /// When the last packet came.
    arrival_us: i64,
}

impl Statuses<'_> {
    /// Passes over what is left of a run of missing packets, as far as they are known.
    fn pass_over(&mut self) {
        while self.left > 0 {
            let known = self.known.wrapping_sub(self.next);
            let known = if known <= 1 << 15 { known } else { 0 };
            let Some((Chunk::Run { symbol, len }, read)) = self.chunk() else {
                return;
            };
            let passed = u16::try_from(len - read).map_or(known, |left| left.min(known));
            let passed = passed.min(self.left);
            if symbol != Symbol::Missing || passed == 0 {
                return;
            }
            (self.next, self.left) = (self.next.wrapping_add(passed), self.left - passed);
            let read = read + usize::from(passed);
            self.chunk = Some((Chunk::Run { symbol, len }, read)).filter(|_| read < len);
        }
    }

    /// Returns the chunk that is next and how many of its symbols were read, and begins it if need be.
    fn chunk(&mut self) -> Option<(Chunk, usize)> {
        if self.chunk.is_none() {
            let chunk = Chunk::read(self.chunks)?;
            self.chunks = self.chunks.get(2..)?;
            self.chunk = Some((chunk, 0));
        }
        self.chunk
    }

    fn symbol(&mut self) -> Option<Symbol> {
        self.chunk()?;
        let (chunk, read) = self.chunk.as_mut()?;
        let symbol = chunk.symbol(*read);
        *read += 1;
        if *read >= chunk.len() {
            self.chunk = None;
        }
        Some(symbol)
    }

    fn delta(&mut self, symbol: Symbol) -> Option<Option<i64>> {
        match symbol {
            Symbol::Missing => Some(None),
            Symbol::Small => {
                let (&delta, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                Some(Some(i64::from(delta)))
            }
            Symbol::Large => {
                let (&delta, rest) = self.deltas.split_first_chunk()?;
                self.deltas = rest;
                Some(Some(i64::from(i16::from_be_bytes(delta))))
            }
        }
    }
}

impl Iterator for Statuses<'_> {
    type Item = Status;

    fn next(&mut self) -> Option<Status> {
        self.pass_over();
        self.left = self.left.checked_sub(1)?;
        let symbol = self.symbol()?;
        let delta = self.delta(symbol)?;
        let sequence = self.next;
        self.next = self.next.wrapping_add(1);
        let arrival_us = delta.map(|delta| {
            self.arrival_us += delta * DELTA_US;
            self.arrival_us
        });
        Some(Status {
            sequence,
            arrival_us,
        })
    }
}

/// What became of one packet (section 3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symbol {
    Missing,
    /// It came, and its delta takes one byte.
    Small,
    /// It came, and its delta takes two bytes.
    Large,
}

impl Symbol {
    /// The fourth one is reserved and has no delta.
    fn of(bits: u16) -> Self {
        match bits & 3 {
            1 => Self::Small,
            2 => Self::Large,
            _ => Self::Missing,
        }
    }
}

/// A run of statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// The same for all (section 3.1.3).
    Run { symbol: Symbol, len: usize },
    /// Fourteen symbols of one bit (section 3.1.4).
    OneBit(u16),
    /// Seven symbols of two bits (section 3.1.4).
    TwoBit(u16),
}

impl Chunk {
    fn read(bytes: &[u8]) -> Option<Self> {
        let bits = u16::from_be_bytes(*bytes.first_chunk()?);
        Some(match bits >> 14 {
            0 | 1 => Self::Run {
                symbol: Symbol::of(bits >> 13),
                // A run of nothing would never end.
                len: usize::from(bits & 0x1fff).max(1),
            },
            2 => Self::OneBit(bits),
            _ => Self::TwoBit(bits),
        })
    }

    fn len(self) -> usize {
        match self {
            Self::Run { len, .. } => len,
            Self::OneBit(_) => 14,
            Self::TwoBit(_) => 7,
        }
    }

    fn symbol(self, place: usize) -> Symbol {
        match self {
            Self::Run { symbol, .. } => symbol,
            Self::OneBit(bits) => Symbol::of(bits >> 13_usize.saturating_sub(place) & 1),
            Self::TwoBit(bits) => Symbol::of(bits >> (6_usize.saturating_sub(place) * 2)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::rtcp::{Compound, Rtcp};
    use ::rtcp as rtcp_elsewhere;
    use proptest::prelude::*;
    use rtcp_elsewhere::transport_feedbacks::transport_layer_cc::{
        PacketStatusChunk, RecvDelta, RunLengthChunk, StatusChunkTypeTcc, StatusVectorChunk,
        SymbolSizeTypeTcc, SymbolTypeTcc, TransportLayerCc,
    };

    fn read(message: &[u8]) -> Vec<(u16, Option<i64>)> {
        let feedback = TransportFeedback::parse(message).unwrap();
        let statuses = feedback.statuses();
        statuses.map(|it| (it.sequence, it.arrival_us)).collect()
    }

    const MISSING: SymbolTypeTcc = SymbolTypeTcc::PacketNotReceived;
    const SMALL: SymbolTypeTcc = SymbolTypeTcc::PacketReceivedSmallDelta;
    const LARGE: SymbolTypeTcc = SymbolTypeTcc::PacketReceivedLargeDelta;

    fn run(packet_status_symbol: SymbolTypeTcc, run_length: u16) -> PacketStatusChunk {
        PacketStatusChunk::RunLengthChunk(RunLengthChunk {
            type_tcc: StatusChunkTypeTcc::RunLengthChunk,
            packet_status_symbol,
            run_length,
        })
    }

    fn vector(
        symbol_size: SymbolSizeTypeTcc,
        symbol_list: Vec<SymbolTypeTcc>,
    ) -> PacketStatusChunk {
        PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
            type_tcc: StatusChunkTypeTcc::StatusVectorChunk,
            symbol_size,
            symbol_list,
        })
    }

    /// A message with every kind of chunk, as another implementation writes it.
    fn written_elsewhere() -> Vec<u8> {
        let one_bit = (0..14).map(|place| if place % 12 == 1 { SMALL } else { MISSING });
        let two_bit = vec![LARGE, MISSING, SMALL, MISSING, MISSING, MISSING, MISSING];
        let deltas = [
            (SMALL, 0),
            (SMALL, 250),
            (SMALL, 63_750),
            (SMALL, 1000),
            (SMALL, 1000),
            (LARGE, -8000),
            (SMALL, 500),
        ];
        let delta = |(type_tcc_packet, delta)| RecvDelta {
            type_tcc_packet,
            delta,
        };
        let message = TransportLayerCc {
            sender_ssrc: 1,
            media_ssrc: 2,
            base_sequence_number: 65_530,
            packet_status_count: 3 + 300 + 14 + 7,
            reference_time: 5,
            fb_pkt_count: 9,
            packet_chunks: vec![
                run(SMALL, 3),
                run(MISSING, 300),
                vector(SymbolSizeTypeTcc::OneBit, one_bit.collect()),
                vector(SymbolSizeTypeTcc::TwoBit, two_bit),
            ],
            recv_deltas: deltas.into_iter().map(delta).collect(),
        };
        let bytes = rtcp_elsewhere::packet::marshal(&[Box::new(message)]).unwrap();
        bytes.to_vec()
    }

    #[test]
    fn every_kind_of_chunk_is_read_as_another_implementation_wrote_it() {
        let bytes = written_elsewhere();
        let Some(Rtcp::Transport(feedback)) = Compound::read(&bytes).next() else {
            panic!("not read");
        };
        assert_eq!((feedback.base(), feedback.message()), (65_530, 9));
        assert_eq!(feedback.reference_us(), 5 * 64_000);
        let arrived: Vec<_> = feedback
            .statuses()
            .filter_map(|it| Some((it.sequence, it.arrival_us?)))
            .collect();
        assert_eq!(
            arrived,
            [
                (65_530, 0),
                (65_531, 250),
                (65_532, 64_000),
                (298, 65_000),
                (310, 66_000),
                (311, 58_000),
                (313, 58_500),
            ]
        );
        assert_eq!(feedback.statuses().count(), 324);
    }

    #[test]
    fn a_message_that_lacks_deltas_ends_early_and_one_that_lacks_chunks_is_refused() {
        let head = [0, 1, 0, 4, 0, 0, 0, 0];
        assert_eq!(
            read(&[head.as_slice(), &[0x20, 4, 8, 8]].concat()),
            [(1, Some(2000)), (2, Some(4000))]
        );
        assert_eq!(TransportFeedback::parse(&head), None);
        assert_eq!(TransportFeedback::parse(&head[..7]), None);
        let many = [0, 1, 0xff, 0xff, 0, 0, 0, 0, 0x1f, 0xff];
        assert_eq!(TransportFeedback::parse(&many.repeat(30)), None);
    }

    #[test]
    fn of_thousands_of_missing_packets_only_those_are_walked_that_are_news() {
        // 24 bytes on the wire, with the header and the two SSRCs.
        let all = [0, 100, 0x1f, 0xff, 0, 0, 0, 0, 0x1f, 0xff, 0, 0];
        let feedback = TransportFeedback::parse(&all).unwrap();
        assert_eq!(feedback.statuses().count(), 8191);
        for (known, end, walked) in [
            (100, 130, 100..130),
            (120, 130, 120..130),
            (90, 130, 100..130),
            (130, 130, 0..0),
            (100, 100, 0..0),
            (5000, 5010, 5000..5010),
            (50, 90, 0..0),
        ] {
            let walked: Vec<u16> = walked.collect();
            let news = feedback.news(known, end).map(|it| it.sequence);
            assert_eq!(news.collect::<Vec<_>>(), walked, "{known} to {end}");
        }
    }

    proptest! {
        #[test]
        fn what_arrived_is_walked_also_where_it_is_known(
            message in proptest::collection::vec(any::<u8>(), 0..400),
            known in any::<u16>(),
        ) {
            if let Some(feedback) = TransportFeedback::parse(&message) {
                let end = feedback.base().wrapping_add(feedback.count());
                let arrived = |statuses: Statuses<'_>| -> Vec<_> {
                    statuses.filter(|it| it.arrival_us.is_some()).collect()
                };
                let all = arrived(feedback.statuses());
                prop_assert_eq!(arrived(feedback.news(known, end)), all);
            }
        }

        #[test]
        fn no_message_makes_the_reader_panic_or_spin(
            message in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            if let Some(feedback) = TransportFeedback::parse(&message) {
                prop_assert!(feedback.statuses().count() <= usize::from(MAX_STATUSES));
            }
        }
    }
}
