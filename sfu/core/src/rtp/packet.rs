//! The RTP header (RFC 3550, section 5.1).

use std::ops::Range;

/// Length of the header without contributing sources and extension, in bytes.
pub const FIXED_HEADER_LEN: usize = 12;

/// Why a datagram could not be read as RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Fewer bytes than the header announces.
    #[error("truncated: {0} bytes")]
    Truncated(usize),
    /// The version field is not 2.
    #[error("version {0}, expected 2")]
    Version(u8),
    /// The padding is longer than the payload.
    #[error("padding of {0} bytes exceeds the payload")]
    Padding(u8),
}

/// What the header of a packet says, with the places of the parts behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Set on the last packet of a video frame, and on the first of a talk spurt.
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// As on the wire, not extended.
    pub sequence_number: u16,
    /// As on the wire, in units of the codec's clock.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
    /// The `defined by profile` field and the place of the extension elements, when there are any.
    pub extension: Option<(u16, Range<usize>)>,
    /// The place of the payload, padding taken off.
    pub payload: Range<usize>,
}

impl Header {
    /// Reads the header of a decrypted packet.
    ///
    /// # Errors
    /// When the packet is truncated, of another version, or its padding does not fit.
    pub fn parse(packet: &[u8]) -> Result<Self, ParseError> {
        let truncated = ParseError::Truncated(packet.len());
        let Some(&[first, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3]) = packet.first_chunk()
        else {
            return Err(truncated);
        };
        if first >> 6 != 2 {
            return Err(ParseError::Version(first >> 6));
        }
        let mut start = FIXED_HEADER_LEN + usize::from(first & 0x0f) * 4;
        let mut extension = None;
        if first & 0x10 != 0 {
            let Some(&[p0, p1, l0, l1]) = packet.get(start..).and_then(<[u8]>::first_chunk) else {
                return Err(truncated);
            };
            let len = usize::from(u16::from_be_bytes([l0, l1])) * 4;
            extension = Some((u16::from_be_bytes([p0, p1]), start + 4..start + 4 + len));
            start += 4 + len;
        }
        if start > packet.len() {
            return Err(truncated);
        }
        let mut end = packet.len();
        if first & 0x20 != 0 {
            let padding = packet.last().copied().unwrap_or(0);
            end = end
                .checked_sub(usize::from(padding))
                .filter(|&end| padding != 0 && end >= start)
                .ok_or(ParseError::Padding(padding))?;
        }
        Ok(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence_number: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([r0, r1, r2, r3]),
            extension,
            payload: start..end,
        })
    }
}

/// A transport-wide number and the identifier of its header extension
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportSequence {
    /// 1 to 14 take the one-byte form, others the two-byte form (RFC 8285, section 4).
    pub id: u8,
    /// As it stands on the wire.
    pub number: u16,
}

impl TransportSequence {
    /// Length of the extension with its header, in bytes.
    pub const LEN: usize = 8;

    /// Returns the extension as it stands behind the fixed header, whose first byte has [`HAS_EXTENSION`] set.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let [high, low] = self.number.to_be_bytes();
        match self.id {
            1..=14 => [0xbe, 0xde, 0, 1, self.id << 4 | 1, high, low, 0],
            _ => [0x10, 0, 0, 1, self.id, 2, high, low],
        }
    }
}

/// The flag `X` of the first byte (RFC 3550, section 5.1).
pub const HAS_EXTENSION: u8 = 0x10;

/// The header of a packet that leaves: no contributing sources, no extension, no padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingHeader {
    /// See [`Header::marker`].
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// The lower 16 bits go on the wire.
    pub sequence_number: u16,
    /// In units of the codec's clock.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
}

impl OutgoingHeader {
    /// Returns the header as it stands on the wire.
    pub fn to_bytes(self) -> [u8; FIXED_HEADER_LEN] {
        let [s0, s1] = self.sequence_number.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [r0, r1, r2, r3] = self.ssrc.to_be_bytes();
        let second = (u8::from(self.marker) << 7) | (self.payload_type & 0x7f);
        [0x80, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_written_is_read_back() {
        let header = OutgoingHeader {
            marker: true,
            payload_type: 96,
            sequence_number: 65_535,
            timestamp: 0xdead_beef,
            ssrc: 7,
        };
        let mut packet = header.to_bytes().to_vec();
        packet.extend_from_slice(b"abc");

        let read = Header::parse(&packet).unwrap();

        assert!(read.marker);
        assert_eq!(read.payload_type, 96);
        assert_eq!(read.sequence_number, 65_535);
        assert_eq!(read.timestamp, 0xdead_beef);
        assert_eq!(read.ssrc, 7);
        assert_eq!(&packet[read.payload], b"abc");
    }

    #[test]
    fn a_transport_wide_number_is_read_back_in_both_forms() {
        for id in [3, 14, 16, 200] {
            let sequence = TransportSequence { id, number: 0xabcd };
            let mut packet = vec![0x80 | HAS_EXTENSION, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
            packet.extend_from_slice(&sequence.to_bytes());
            packet.extend_from_slice(b"abc");
            let header = Header::parse(&packet).unwrap();
            let ids = crate::command::ExtensionIds {
                transport_cc: Some(id),
                ..Default::default()
            };
            let read = crate::rtp::ext::Extensions::read(&packet, &header, &ids);
            assert_eq!(read.transport_sequence, Some(0xabcd));
            assert_eq!(&packet[header.payload], b"abc");
        }
    }

    #[test]
    fn contributing_sources_extension_and_padding_are_taken_off() {
        let mut packet = vec![0x80 | 0x20 | 0x10 | 1, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend_from_slice(&[9, 9, 9, 9]);
        packet.extend_from_slice(&[0xbe, 0xde, 0, 1, 0x10, 0x41, 0, 0]);
        packet.extend_from_slice(b"payload");
        packet.extend_from_slice(&[0, 0, 3]);

        let read = Header::parse(&packet).unwrap();

        assert_eq!(read.extension, Some((0xbede, 20..24)));
        assert_eq!(&packet[read.payload], b"payload");
    }

    #[test]
    fn padding_longer_than_the_payload_is_refused() {
        let mut packet = vec![0xa0, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend_from_slice(&[1, 5]);
        assert_eq!(Header::parse(&packet), Err(ParseError::Padding(5)));
    }

    proptest! {
        #[test]
        fn no_datagram_makes_the_parser_panic(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(header) = Header::parse(&packet) {
                prop_assert!(packet.get(header.payload).is_some());
            }
        }
    }
}
