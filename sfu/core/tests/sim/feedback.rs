//! Transport-wide feedback as a viewer writes it, put into bytes by another implementation.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, RecvDelta, StatusChunkTypeTcc, StatusVectorChunk, SymbolSizeTypeTcc,
    SymbolTypeTcc, TransportLayerCc,
};

use super::epoch;

/// What arrived since the last message.
#[derive(Debug, Default)]
pub(crate) struct Feedback {
    arrived: BTreeMap<u64, Instant>,
    highest: u64,
    /// The number after the last one reported; 0 before the first.
    next: u64,
    messages: u8,
}

impl Feedback {
    /// Notes a packet by its transport-wide number.
    pub(crate) fn note(&mut self, now: Instant, wire: u16) {
        if self.highest == 0 {
            self.highest = 1 << 16;
        }
        let ahead = wire.wrapping_sub(self.highest as u16).cast_signed();
        let number = self.highest.wrapping_add_signed(i64::from(ahead));
        self.highest = self.highest.max(number);
        self.arrived.entry(number).or_insert(now);
    }

    /// Returns the message about what arrived; `None` when nothing did.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        let arrived = std::mem::take(&mut self.arrived);
        let (&first, &begin) = arrived.first_key_value()?;
        let base = if self.next > 0 && first > self.next {
            self.next.max(first.saturating_sub(500))
        } else {
            first
        };
        let end = *arrived.last_key_value()?.0;
        let reference_ms = (begin - epoch()).as_millis() as u32 / 64;
        let mut last = epoch() + Duration::from_millis(64) * reference_ms;
        let (mut symbols, mut recv_deltas) = (Vec::new(), Vec::new());
        for number in base..=end {
            let Some(&at) = arrived.get(&number) else {
                symbols.push(SymbolTypeTcc::PacketNotReceived);
                continue;
            };
            let ticks = at.saturating_duration_since(last).as_micros() as i64 / 250
                - last.saturating_duration_since(at).as_micros().div_ceil(250) as i64;
            let symbol = if (0..256).contains(&ticks) {
                SymbolTypeTcc::PacketReceivedSmallDelta
            } else {
                SymbolTypeTcc::PacketReceivedLargeDelta
            };
            last = if ticks >= 0 {
                last + Duration::from_micros(ticks.unsigned_abs() * 250)
            } else {
                last - Duration::from_micros(ticks.unsigned_abs() * 250)
            };
            symbols.push(symbol);
            recv_deltas.push(RecvDelta {
                type_tcc_packet: symbol,
                delta: ticks * 250,
            });
        }
        self.next = self.next.max(end + 1);
        self.messages = self.messages.wrapping_add(1);
        let packet_chunks = symbols.chunks(7).map(|symbols| {
            let mut symbol_list = symbols.to_vec();
            symbol_list.resize(7, SymbolTypeTcc::PacketNotReceived);
            PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
                type_tcc: StatusChunkTypeTcc::StatusVectorChunk,
                symbol_size: SymbolSizeTypeTcc::TwoBit,
                symbol_list,
            })
        });
        let message = TransportLayerCc {
            sender_ssrc: 1,
            media_ssrc: 2002,
            base_sequence_number: base as u16,
            packet_status_count: (end - base + 1) as u16,
            reference_time: reference_ms,
            fb_pkt_count: self.messages,
            packet_chunks: packet_chunks.collect(),
            recv_deltas,
        };
        let bytes = rtcp::packet::marshal(&[Box::new(message)]).unwrap();
        Some(bytes.to_vec())
    }
}
