//! One published stream: its numbers, its losses, its clock, and the feedback it gets.

use std::time::{Duration, Instant};

use crate::command::{Feedback, Format, Kind, PayloadFormat};
use crate::publisher::CaptureTime;
use crate::publisher::capture::Captures;
use crate::publisher::nack::{Arrival, Missing};
use crate::relay::{SourceClock, SourceId};
use crate::rtp::packet::Header;
use crate::rtp::rtcp::{self, ReceptionReport, SenderInfo};
use crate::rtp::seq::{SeqExtender, SeqNo, TimestampExtender};

/// The state of one media stream and the stream that repairs it.
#[derive(Debug)]
pub(super) struct Stream {
    /// How the room names it; set once.
    pub(super) source: SourceId,
    /// Its SSRC; set once.
    ssrc: u32,
    /// Who repairs it; learnt from the first retransmission when it was not announced.
    rtx: Option<u32>,
    /// Its payload type and format; set once.
    format: PayloadFormat,
    /// Extends its sequence numbers.
    seqs: SeqExtender,
    /// Extends its timestamps.
    times: TimestampExtender,
    /// What is missing.
    missing: Missing,
    /// When its frames were captured.
    captures: Captures,
    /// For receiver reports.
    reception: Reception,
    /// When its last packet came; `None` before the first.
    last_packet: Option<Instant>,
}

impl Stream {
    pub(super) fn new(
        source: SourceId,
        ssrc: u32,
        rtx: Option<u32>,
        format: PayloadFormat,
    ) -> Self {
        Self {
            source,
            ssrc,
            rtx,
            format,
            seqs: SeqExtender::default(),
            times: TimestampExtender::default(),
            missing: Missing::default(),
            captures: Captures::default(),
            reception: Reception::default(),
            last_packet: None,
        }
    }

    pub(super) fn has_ssrc(&self, ssrc: u32) -> bool {
        self.ssrc == ssrc || self.rtx == Some(ssrc)
    }

    /// Returns whether a packet of `ssrc` and `format` belongs to this source.
    pub(super) fn goes_on(&self, ssrc: u32, format: &PayloadFormat) -> bool {
        self.ssrc == ssrc && self.has_format(format)
    }

    pub(super) fn has_format(&self, format: &PayloadFormat) -> bool {
        self.format.format == format.format
    }

    pub(super) fn format(&self) -> Format {
        self.format.format
    }

    /// Returns whether nothing of it has come for so long.
    pub(super) fn is_silent(&self, now: Instant, span: Duration) -> bool {
        self.last_packet
            .is_none_or(|last| now.saturating_duration_since(last) >= span)
    }

    pub(super) fn rtx(&self) -> Option<u32> {
        self.rtx
    }

    /// Notes who repairs it, as the packet itself says.
    pub(super) fn set_rtx(&mut self, ssrc: u32) {
        self.rtx = Some(ssrc);
    }

    /// Returns whether the packet of this number is missed.
    pub(super) fn misses(&self, original: u16) -> bool {
        self.missing.contains(self.seqs.peek(original))
    }

    /// Returns whether `ssrc` repairs this stream, and learns it when none was announced.
    pub(super) fn repaired_by(&mut self, ssrc: u32) -> bool {
        *self.rtx.get_or_insert(ssrc) == ssrc
    }

    /// Numbers a media packet; `None` when it was here before.
    pub(super) fn receive(&mut self, now: Instant, header: &Header) -> Option<(SeqNo, u64)> {
        self.last_packet = Some(now);
        let seq = self.seqs.extend(header.sequence_number);
        let timestamp = self.times.extend(header.timestamp);
        if self.missing.receive(now, seq) == Arrival::Duplicate {
            return None;
        }
        self.reception
            .receive(now, seq, timestamp, self.clock_rate_hz());
        Some((seq, timestamp))
    }

    /// Numbers a packet that was sent again; `None` when it is not missed.
    pub(super) fn recover(&mut self, original: u16, timestamp: u32) -> Option<(SeqNo, u64)> {
        let seq = self.seqs.peek(original);
        let now = self.last_packet?;
        if self.seqs.highest().is_none_or(|highest| seq > highest)
            || self.missing.receive(now, seq) != Arrival::Filled
        {
            return None;
        }
        self.reception.received += 1;
        Some((seq, self.times.peek(timestamp)))
    }

    /// Returns whether one with a higher number has come.
    pub(super) fn is_late(&self, seq: SeqNo) -> bool {
        self.seqs.highest().is_some_and(|highest| seq < highest)
    }

    /// Takes when a packet was captured, as it says itself; returns what viewers are told with it.
    pub(super) fn captured(
        &mut self,
        (timestamp, keyframe): (u64, bool),
        told: Option<&[u8]>,
    ) -> Option<CaptureTime> {
        let codec = self.format().codec;
        let how = (codec.kind(), codec.clock_rate_hz());
        self.captures.note_packet((timestamp, keyframe), told, how)
    }

    pub(super) fn handle_sender_report(
        &mut self,
        now: Instant,
        info: &SenderInfo,
        kind: Kind,
    ) -> Option<SourceClock> {
        if info.ssrc != self.ssrc {
            return None;
        }
        self.reception.last_sender_report = Some((middle(info.ntp), now));
        let timestamp = self.times.peek(info.rtp_timestamp);
        self.captures.note_report(timestamp, info.ntp);
        Some(SourceClock {
            source: self.source,
            kind,
            layer: 0,
            ntp: info.ntp,
            to_server: 0,
            timestamp,
            received: now,
        })
    }

    pub(super) fn report(&mut self, now: Instant) -> ReceptionReport {
        self.reception.report(now, self.ssrc)
    }

    /// Appends the NACK that is due, of at most `room` bytes, and returns how many packets it names.
    pub(super) fn poll_nack(
        &mut self,
        now: Instant,
        (sender, room): (u32, usize),
        out: &mut Vec<u8>,
    ) -> u32 {
        if !self.format.feedback.nack {
            return 0;
        }
        let mut wire = Vec::new();
        self.missing.poll(now, rtcp::nack_capacity(room), &mut wire);
        rtcp::write_nack(out, sender, self.ssrc, &wire);
        u32::try_from(wire.len()).unwrap_or(u32::MAX)
    }

    /// Returns when [`Self::poll_nack`] has something next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.missing
            .poll_timeout()
            .filter(|_| self.format.feedback.nack)
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(super) fn feedback(&self) -> Feedback {
        self.format.feedback
    }

    fn clock_rate_hz(&self) -> u32 {
        self.format().codec.clock_rate_hz()
    }
}

/// Reception statistics of one stream (RFC 3550, appendices A.3 and A.8).
#[derive(Debug, Default)]
struct Reception {
    /// First and highest extended number; `None` before the first packet.
    range: Option<(u64, u64)>,
    /// Packets received, retransmissions included.
    received: u64,
    /// Expected and received at the last report.
    at_last_report: (u64, u64),
    /// Jitter in timestamp units, times 16.
    jitter: u64,
    /// Transit time of the last packet, in timestamp units; `None` before the first.
    transit: Option<(Instant, u64)>,
    /// Middle of the NTP time of the last sender report, and when it came.
    last_sender_report: Option<(u32, Instant)>,
}

impl Reception {
    fn receive(&mut self, now: Instant, seq: SeqNo, timestamp: u64, clock_rate_hz: u32) {
        let (first, highest) = self.range.unwrap_or((seq.0, seq.0));
        self.range = Some((first, highest.max(seq.0)));
        self.received += 1;
        if let Some((then, before)) = self.transit.replace((now, timestamp)) {
            let elapsed = ticks(now.saturating_duration_since(then), clock_rate_hz);
            let difference = elapsed.abs_diff(timestamp.saturating_sub(before));
            self.jitter = self.jitter + difference - (self.jitter + 8) / 16;
        }
    }

    fn report(&mut self, now: Instant, ssrc: u32) -> ReceptionReport {
        let (first, highest) = self.range.unwrap_or_default();
        let expected = highest + 1 - first;
        let (expected_before, received_before) = self.at_last_report;
        self.at_last_report = (expected, self.received);
        let expected_now = expected.saturating_sub(expected_before);
        let lost_now = expected_now.saturating_sub(self.received - received_before);
        let fraction = (lost_now * 256)
            .checked_div(expected_now)
            .unwrap_or(0)
            .min(255);
        let (last_sender_report, delay) = self.last_sender_report.map_or((0, 0), |(ntp, at)| {
            (ntp, ticks(now.saturating_duration_since(at), 65_536))
        });
        ReceptionReport {
            ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            cumulative_lost: saturate(expected.saturating_sub(self.received)).min(0x7f_ffff),
            // Our first number is one cycle up (see `SeqNo`).
            highest_sequence: saturate(highest.saturating_sub(0x1_0000) & 0xffff_ffff),
            jitter: saturate(self.jitter / 16),
            last_sender_report,
            delay_since_last: saturate(delay),
        }
    }
}

/// Returns the middle 32 bits of an NTP time (RFC 3550, section 4).
pub(crate) fn middle(ntp: u64) -> u32 {
    u32::try_from(ntp >> 16 & 0xffff_ffff).unwrap_or(0)
}

/// Returns a duration in units of a clock.
pub(crate) fn ticks(duration: Duration, clock_rate_hz: u32) -> u64 {
    let ticks = duration.as_nanos() * u128::from(clock_rate_hz) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// Returns a duration in units of 2^-32 s.
pub(crate) fn ntp_units(duration: Duration) -> u64 {
    let units = (duration.as_nanos() << 32) / 1_000_000_000;
    u64::try_from(units).unwrap_or(u64::MAX)
}

fn saturate(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
