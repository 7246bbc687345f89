//! Header extension elements, one-byte and two-byte form (RFC 8285, section 4).

use crate::command::ExtensionIds;
use crate::rtp::packet::Header;

/// The `defined by profile` field of the one-byte form.
const ONE_BYTE: u16 = 0xbede;

/// The extensions that the forwarding unit reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions<'a> {
    /// Which m-line the packet belongs to (RFC 9143, section 15).
    pub mid: Option<&'a str>,
    /// Which simulcast layer it carries (RFC 8852).
    pub rid: Option<&'a str>,
    /// Which simulcast layer it repairs (RFC 8852).
    pub repaired_rid: Option<&'a str>,
    /// Its transport-wide sequence number.
    pub transport_sequence: Option<u16>,
}

impl<'a> Extensions<'a> {
    /// Reads the elements of a packet. Malformed elements end the reading; what came before counts.
    pub fn read(packet: &'a [u8], header: &Header, ids: &ExtensionIds) -> Self {
        let mut found = Self::default();
        let Some((profile, range)) = header.extension.clone() else {
            return found;
        };
        let elements = Elements {
            two_byte: profile & 0xfff0 == 0x1000,
            rest: packet.get(range).unwrap_or_default(),
        };
        if !elements.two_byte && profile != ONE_BYTE {
            return found;
        }
        for (id, value) in elements {
            found.set(id, value, ids);
        }
        found
    }

    fn set(&mut self, id: u8, value: &'a [u8], ids: &ExtensionIds) {
        let id = Some(id);
        if id == ids.transport_cc {
            self.transport_sequence = value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
        } else if id == ids.mid {
            self.mid = std::str::from_utf8(value).ok();
        } else if id == ids.rid {
            self.rid = std::str::from_utf8(value).ok();
        } else if id == ids.repaired_rid {
            self.repaired_rid = std::str::from_utf8(value).ok();
        }
    }
}

/// Walks the elements of an extension block.
struct Elements<'a> {
    /// Whether identifier and length take a byte each.
    two_byte: bool,
    /// What has not been read.
    rest: &'a [u8],
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // A zero byte is padding between elements.
        while let Some((0, rest)) = self.rest.split_first() {
            self.rest = rest;
        }
        let (&first, rest) = self.rest.split_first()?;
        let (id, len, rest) = if self.two_byte {
            let (&len, rest) = rest.split_first()?;
            (first, usize::from(len), rest)
        } else if first >> 4 == 15 {
            // Identifier 15 ends the block (RFC 8285, section 4.2).
            return None;
        } else {
            (first >> 4, usize::from(first & 0x0f) + 1, rest)
        };
        let (value, rest) = rest.split_at_checked(len)?;
        self.rest = rest;
        Some((id, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IDS: ExtensionIds = ExtensionIds {
        mid: Some(1),
        rid: Some(2),
        repaired_rid: Some(3),
        transport_cc: Some(4),
    };

    fn packet(profile: [u8; 2], elements: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend_from_slice(&profile);
        packet.extend_from_slice(&u16::try_from(elements.len() / 4).unwrap().to_be_bytes());
        packet.extend_from_slice(elements);
        packet
    }

    #[test]
    fn one_byte_elements_are_found_behind_padding() {
        let packet = packet([0xbe, 0xde], &[0x10, b'0', 0, 0, 0x41, 0x12, 0x34, 0]);
        let header = Header::parse(&packet).unwrap();

        let found = Extensions::read(&packet, &header, &IDS);

        assert_eq!(found.mid, Some("0"));
        assert_eq!(found.transport_sequence, Some(0x1234));
    }

    #[test]
    fn two_byte_elements_are_found() {
        let packet = packet([0x10, 0x00], &[2, 2, b'h', b'i', 4, 2, 0xff, 0xfe]);
        let header = Header::parse(&packet).unwrap();

        let found = Extensions::read(&packet, &header, &IDS);

        assert_eq!(found.rid, Some("hi"));
        assert_eq!(found.transport_sequence, Some(0xfffe));
    }

    #[test]
    fn an_element_longer_than_the_block_ends_the_reading() {
        let packet = packet([0xbe, 0xde], &[0x10, b'0', 0x4f, 0x12]);
        let header = Header::parse(&packet).unwrap();

        let found = Extensions::read(&packet, &header, &IDS);

        assert_eq!(found.mid, Some("0"));
        assert_eq!(found.transport_sequence, None);
    }

    proptest! {
        #[test]
        fn no_block_makes_the_reader_panic(mut elements in proptest::collection::vec(any::<u8>(), 0..64), two in any::<bool>()) {
            elements.resize(elements.len() / 4 * 4, 0);
            let packet = packet(if two { [0x10, 0] } else { [0xbe, 0xde] }, &elements);
            let header = Header::parse(&packet).unwrap();
            Extensions::read(&packet, &header, &IDS);
        }
    }
}
