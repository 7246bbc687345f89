//! One outgoing RTP stream: its numbers, and what may have to be sent again (RFC 3550, section 5.1; RFC 4588).

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::rtp::Header;

/// What counts up from packet to packet.
pub(super) struct Stream {
    pub(super) ssrc: u32,
    seq: u16,
    /// Of the next frame.
    pub(super) timestamp: u32,
    /// Sent so far, as sender reports have them.
    pub(super) packets: u32,
    pub(super) bytes: u32,
}

impl Stream {
    /// Begins at random numbers, away from the wrap (RFC 3550, section 5.1; RFC 3711, section 3.3.1).
    pub(super) fn new(ssrc: u32) -> Self {
        Self {
            ssrc,
            seq: rand::random::<u16>() >> 1,
            timestamp: rand::random(),
            packets: 0,
            bytes: 0,
        }
    }

    /// Returns the header of the next packet.
    pub(super) fn header(
        &mut self,
        payload_type: u8,
        timestamp: u32,
        marker: bool,
        bytes: usize,
    ) -> Header {
        self.packets = self.packets.wrapping_add(1);
        let bytes = u32::try_from(bytes).unwrap_or(0);
        self.bytes = self.bytes.wrapping_add(bytes);
        let seq = self.seq;
        self.seq = seq.wrapping_add(1);
        Header {
            marker,
            payload_type,
            seq,
            timestamp,
            ssrc: self.ssrc,
            has_padding: false,
            len: 0,
        }
    }

    /// Returns the timestamp of a moment, when the next frame is due at `next_at`.
    pub(super) fn timestamp_at(&self, now: Instant, next_at: Instant, clock_hz: u32) -> u32 {
        let ticks = |span: Duration| {
            let ticks = span.as_micros() * u128::from(clock_hz) / 1_000_000;
            u32::try_from(ticks & 0xffff_ffff).unwrap_or(0)
        };
        let ahead = ticks(next_at.saturating_duration_since(now));
        let behind = ticks(now.saturating_duration_since(next_at));
        self.timestamp.wrapping_sub(ahead).wrapping_add(behind)
    }
}

/// The last packets of a stream; at most [`KEPT`].
#[derive(Default)]
pub(super) struct History(VecDeque<Kept>);

struct Kept {
    header: Header,
    payload: Vec<u8>,
    /// `None` when nobody asked.
    sent_again_at: Option<Instant>,
}

/// What is to be done about a packet that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Again<'a> {
    /// Send it.
    Send(Header, &'a [u8]),
    /// It is on its way again already.
    UnderWay,
    /// It is not there any more.
    Gone,
}

impl History {
    /// Keeps a packet, and lets the oldest go.
    pub(super) fn keep(&mut self, header: Header, payload: Vec<u8>) {
        self.0.push_back(Kept {
            header,
            payload,
            sent_again_at: None,
        });
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    /// Looks up a packet that was asked for; within a round trip it is sent once.
    pub(super) fn again(&mut self, seq: u16, round_trip: Duration, now: Instant) -> Again<'_> {
        let mut packets = self.0.iter_mut();
        let Some(kept) = packets.find(|kept| kept.header.seq == seq) else {
            return Again::Gone;
        };
        if kept.sent_again_at.is_some_and(|at| now < at + round_trip) {
            return Again::UnderWay;
        }
        kept.sent_again_at = Some(now);
        Again::Send(kept.header, &kept.payload)
    }
}

/// The wall clock as NTP writes it.
pub(super) fn ntp_now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    (since.as_secs() + 2_208_988_800) << 32 | fraction
}

/// Two seconds at 4 Mb/s.
const KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_sent_again_once_within_a_round_trip() {
        let (mut stream, mut history) = (Stream::new(1), History::default());
        let header = stream.header(96, 0, true, 3);
        history.keep(header, vec![1, 2, 3]);
        let (now, round_trip) = (Instant::now(), Duration::from_millis(50));
        let sent = Again::Send(header, &[1, 2, 3]);
        assert_eq!(history.again(header.seq, round_trip, now), sent);
        assert_eq!(history.again(header.seq, round_trip, now), Again::UnderWay);
        let later = now + round_trip;
        assert_eq!(history.again(header.seq, round_trip, later), sent);
        assert_eq!(history.again(header.seq + 1, round_trip, now), Again::Gone);
        for _ in 0..KEPT {
            history.keep(stream.header(96, 0, true, 3), Vec::new());
        }
        assert_eq!(history.again(header.seq, round_trip, later), Again::Gone);
    }

    #[test]
    fn a_moment_has_its_timestamp_before_and_after_the_next_frame() {
        let (stream, now) = (Stream::new(1), Instant::now());
        let at = |ms| now + Duration::from_millis(ms);
        let since = |moment, next| {
            let timestamp = stream.timestamp_at(moment, next, 90_000);
            timestamp.wrapping_sub(stream.timestamp).cast_signed()
        };
        assert_eq!(since(at(0), at(10)), -900);
        assert_eq!(since(at(15), at(10)), 450);
    }
}
