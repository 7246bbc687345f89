//! Transport-wide congestion feedback to a publisher
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::rtp::rtcp;
use crate::rtp::seq::{SeqExtender, SeqNo};

/// Format of the feedback message.
const FORMAT: u8 = 15;
/// Between two messages.
const INTERVAL: Duration = Duration::from_millis(50);
/// Sequence numbers one message speaks of, received or not.
const MAX_SPAN: u64 = 256;
/// The longest message: header, statuses of seven in a chunk, two bytes for each delta.
const MAX_MESSAGE: usize = 20 + 37 * 2 + 256 * 2 + 2;
/// Arrivals remembered until they are reported.
const MAX_PENDING: usize = 4096;
/// Unit of a delta, in microseconds.
const DELTA_US: i64 = 250;
/// Unit of the reference time, in deltas: 64 ms.
const REFERENCE_DELTAS: i64 = 256;

/// What arrived since the last message.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// Extends the transport-wide numbers.
    seqs: SeqExtender,
    /// Arrival in deltas since `epoch`, by number; at most [`MAX_PENDING`].
    pending: BTreeMap<SeqNo, i64>,
    /// The number after the last one reported; `None` before the first message.
    next: Option<SeqNo>,
    /// Start of the reference time; `None` before the first arrival.
    epoch: Option<Instant>,
    /// A stream of the publisher, for the header.
    media: u32,
    /// Counts the messages.
    count: u8,
    /// When the next message is due; `None` with nothing to report.
    due: Option<Instant>,
}

impl Arrivals {
    /// Notes that the packet numbered `sequence`, of stream `media`, arrived.
    pub(crate) fn record(&mut self, now: Instant, sequence: u16, media: u32) {
        let epoch = *self.epoch.get_or_insert(now);
        let elapsed = now.saturating_duration_since(epoch).as_micros();
        let arrival = i64::try_from(elapsed).unwrap_or(i64::MAX) / DELTA_US;
        let seq = self.seqs.extend(sequence);
        // What was reported as lost and came late is said in no later message: it would only be
        // read as another change of its fate by the sender's estimator.
        if self.next.is_some_and(|next| seq < next) || self.pending.len() >= MAX_PENDING {
            return;
        }
        self.pending.entry(seq).or_insert(arrival);
        self.media = media;
        self.due.get_or_insert(now + INTERVAL);
    }

    /// Returns when [`Self::poll_feedback`] has something next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Appends the messages that are due, until `out` is `end` bytes long; others stay due.
    pub(crate) fn poll_feedback(
        &mut self,
        now: Instant,
        (sender, end): (u32, usize),
        out: &mut Vec<u8>,
    ) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        while let Some((&first, _)) = self.pending.first_key_value() {
            if out.len() + MAX_MESSAGE > end {
                return;
            }
            let recent = self.next.filter(|next| first.0 - next.0 < MAX_SPAN / 2);
            self.write_message(recent.unwrap_or(first), sender, out);
        }
        self.due = None;
    }

    /// Writes one message from `base` on, and takes what it reports off.
    fn write_message(&mut self, base: SeqNo, sender: u32, out: &mut Vec<u8>) {
        let (statuses, reference) = self.take_statuses(base);
        let start = out.len();
        rtcp::start_transport_feedback(out, FORMAT, sender, self.media);
        let count = u16::try_from(statuses.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&base.wire().to_be_bytes());
        out.extend_from_slice(&count.to_be_bytes());
        let reference_bytes = reference.to_be_bytes();
        out.extend_from_slice(reference_bytes.get(5..).unwrap_or_default());
        out.push(self.count);
        self.count = self.count.wrapping_add(1);
        for chunk in statuses.chunks(7) {
            out.extend_from_slice(&vector_chunk(chunk).to_be_bytes());
        }
        for status in statuses {
            status.write_delta(out);
        }
        rtcp::write_length(out, start);
    }

    /// Takes the statuses of a run of numbers from `base` on, with the reference time in 64 ms.
    fn take_statuses(&mut self, base: SeqNo) -> (Vec<Status>, i64) {
        let first = self
            .pending
            .first_key_value()
            .map_or(0, |(_, &arrival)| arrival);
        let reference = first.div_euclid(REFERENCE_DELTAS);
        let mut before = reference * REFERENCE_DELTAS;
        let mut statuses = Vec::new();
        let mut next = base;
        while let Some(entry) = self.pending.first_entry() {
            let seq = *entry.key();
            if seq.0 - base.0 >= MAX_SPAN {
                break;
            }
            let Ok(delta) = i16::try_from(*entry.get() - before) else {
                break;
            };
            before = entry.remove();
            statuses.extend((next.0..seq.0).map(|_| Status::Missing));
            statuses.push(u8::try_from(delta).map_or(Status::Large(delta), Status::Small));
            next = SeqNo(seq.0 + 1);
        }
        self.next = Some(next);
        (statuses, reference)
    }
}

/// What became of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// It has not arrived.
    Missing,
    /// It arrived 0 to 63.75 ms after the one before.
    Small(u8),
    /// It arrived earlier or later than that.
    Large(i16),
}

impl Status {
    fn symbol(self) -> u16 {
        match self {
            Self::Missing => 0,
            Self::Small(_) => 1,
            Self::Large(_) => 2,
        }
    }

    fn write_delta(self, out: &mut Vec<u8>) {
        match self {
            Self::Missing => {}
            Self::Small(delta) => out.push(delta),
            Self::Large(delta) => out.extend_from_slice(&delta.to_be_bytes()),
        }
    }
}

/// Packs up to seven statuses into a vector chunk of two-bit symbols (section 3.1.4).
fn vector_chunk(statuses: &[Status]) -> u16 {
    let symbols = statuses.iter().zip((0..7).rev());
    symbols.fold(0xc000, |chunk, (status, place)| {
        chunk | status.symbol() << (place * 2)
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;
    use ::rtcp as rtcp_elsewhere;
    use proptest::prelude::*;
    use rtcp_elsewhere::transport_feedbacks::transport_layer_cc::{
        PacketStatusChunk, SymbolTypeTcc, TransportLayerCc,
    };

    /// Our SSRC, and room for everything.
    const FEEDBACK: (u32, usize) = (1, usize::MAX);

    /// Reads our messages with another implementation: what arrived, and when in microseconds.
    fn read_back(mut bytes: &[u8]) -> Vec<(u16, i64)> {
        let mut arrived = Vec::new();
        if bytes.is_empty() {
            return arrived;
        }
        for packet in rtcp_elsewhere::packet::unmarshal(&mut bytes).unwrap() {
            let message = packet.as_any().downcast_ref::<TransportLayerCc>().unwrap();
            let mut time = i64::from(message.reference_time) * 64_000;
            let mut deltas = message.recv_deltas.iter();
            let symbols = message.packet_chunks.iter().flat_map(|chunk| match chunk {
                PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.clone(),
                PacketStatusChunk::RunLengthChunk(_) => panic!("never written"),
            });
            let numbers = (0..message.packet_status_count)
                .map(|offset| message.base_sequence_number.wrapping_add(offset));
            for (number, symbol) in numbers.zip(symbols) {
                if symbol != SymbolTypeTcc::PacketNotReceived {
                    time += deltas.next().unwrap().delta;
                    arrived.push((number, time));
                }
            }
        }
        arrived
    }

    #[test]
    fn losses_and_arrivals_are_read_back_by_another_implementation() {
        let start = Instant::now();
        let mut arrivals = Arrivals::default();
        for (ms, sequence) in [(0, 65_534), (5, 65_535), (6, 1), (100, 3), (90, 2)] {
            arrivals.record(start + Duration::from_millis(ms), sequence, 7);
        }
        let mut out = Vec::new();
        arrivals.poll_feedback(start + Duration::from_millis(100), FEEDBACK, &mut out);

        let expected = [
            (65_534, 0),
            (65_535, 5_000),
            (1, 6_000),
            (2, 90_000),
            (3, 100_000),
        ];
        assert_eq!(read_back(&out), expected);
        assert_eq!(arrivals.poll_timeout(), None);
    }

    #[test]
    fn what_was_lost_between_two_messages_is_in_the_second() {
        let start = Instant::now();
        let mut arrivals = Arrivals::default();
        let mut out = Vec::new();
        arrivals.record(start, 10, 7);
        arrivals.poll_feedback(start + INTERVAL, FEEDBACK, &mut out);
        out.clear();
        arrivals.record(start + INTERVAL, 13, 7);
        arrivals.poll_feedback(start + INTERVAL * 2, FEEDBACK, &mut out);

        let mut bytes = out.as_slice();
        let packets = rtcp_elsewhere::packet::unmarshal(&mut bytes).unwrap();
        let message = packets[0]
            .as_any()
            .downcast_ref::<TransportLayerCc>()
            .unwrap();
        assert_eq!(
            (message.base_sequence_number, message.packet_status_count),
            (11, 3)
        );
    }

    proptest! {
        #[test]
        fn whatever_arrives_every_packet_is_reported_once(
            steps in proptest::collection::vec((1_u16..600, 0_u64..200_000), 1..80),
        ) {
            let start = Instant::now();
            let mut arrivals = Arrivals::default();
            let (mut sequence, mut now) = (65_000_u16, start);
            let mut sent = Vec::new();
            let mut out = Vec::new();
            for (gap, wait) in steps {
                sequence = sequence.wrapping_add(gap);
                now += Duration::from_micros(wait);
                arrivals.record(now, sequence, 1);
                sent.push(sequence);
                arrivals.poll_feedback(now, FEEDBACK, &mut out);
            }
            arrivals.poll_feedback(now + INTERVAL, FEEDBACK, &mut out);
            let read: Vec<u16> = read_back(&out).into_iter().map(|(sequence, _)| sequence).collect();
            prop_assert_eq!(read, sent);
        }
    }
}
