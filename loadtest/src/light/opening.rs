//! When a viewer has its first whole picture: once every packet of a keyframe is there.

use super::rtp::Header;
use crate::vp8;

/// Follows the packets of the first keyframe.
#[derive(Debug)]
pub(super) struct Opening {
    /// Payload types of VP8, a bit each.
    vp8: u128,
    /// `None` before the first video packet.
    first: Option<First>,
}

/// What came of the first keyframe.
#[derive(Debug)]
struct First {
    timestamp: u32,
    /// Packets.
    came: u16,
    /// The numbers of its first and its last packet, when these came.
    begin: Option<u16>,
    end: Option<u16>,
}

impl Opening {
    pub(super) fn new(vp8: u128) -> Self {
        Self { vp8, first: None }
    }

    /// Forgets what came so far.
    pub(super) fn begin_again(&mut self) {
        self.first = None;
    }

    /// Returns whether the first keyframe is whole with this packet.
    pub(super) fn completes(&mut self, header: &Header, payload: &[u8], is_resent: bool) -> bool {
        if self.vp8 >> header.payload_type & 1 == 0 && !(is_resent && self.vp8 != 0) {
            // Of other codings the end of a frame has to do.
            return header.marker;
        }
        let begins = vp8::begins_keyframe(payload);
        // Servers begin with a keyframe; should one not, the next keyframe counts.
        let is_other = |first: &First| first.timestamp != header.timestamp;
        if self
            .first
            .as_ref()
            .is_none_or(|first| begins && is_other(first))
        {
            self.first = Some(First {
                timestamp: header.timestamp,
                came: 0,
                begin: None,
                end: None,
            });
        }
        let Some(first) = self.first.as_mut().filter(|first| !is_other(first)) else {
            return false;
        };
        first.came += 1;
        first.begin = first.begin.or_else(|| begins.then_some(header.seq));
        first.end = first.end.or_else(|| header.marker.then_some(header.seq));
        let ends = first.begin.zip(first.end);
        ends.is_some_and(|(begin, end)| end.wrapping_sub(begin).wrapping_add(1) == first.came)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(seq: u16, timestamp: u32, marker: bool) -> Header {
        Header {
            marker,
            payload_type: 96,
            seq,
            timestamp,
            ssrc: 7,
            has_padding: false,
            len: 12,
        }
    }

    /// The packets of a keyframe, or of another frame, from this number on.
    fn frame(keyframe: bool, seq: u16, timestamp: u32) -> Vec<(Header, Vec<u8>)> {
        let frame = vp8::frame(keyframe, 3000, 0);
        let payloads = vp8::payloads(&frame, 0);
        let last = payloads.len() - 1;
        let packets = payloads.enumerate().map(|(place, payload)| {
            let number = seq.wrapping_add(u16::try_from(place).unwrap());
            (header(number, timestamp, place == last), payload)
        });
        packets.collect()
    }

    #[test]
    fn a_keyframe_is_whole_with_its_last_packet_in_any_order() {
        let packets = frame(true, 65_535, 9);
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut opening = Opening::new(1 << 96);
            let whole = order.map(|place| {
                let (header, payload) = &packets[place];
                opening.completes(header, payload, false)
            });
            assert_eq!(whole, [false, false, true], "{order:?}");
        }
    }

    #[test]
    fn other_frames_are_no_beginning() {
        let mut opening = Opening::new(1 << 96);
        for (header, payload) in frame(false, 10, 9) {
            assert!(!opening.completes(&header, &payload, false));
        }
        let whole = frame(true, 13, 12).into_iter();
        let whole: Vec<_> = whole
            .map(|(header, payload)| opening.completes(&header, &payload, false))
            .collect();
        assert_eq!(whole, [false, false, true]);
    }
}
