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
    /// Its dependency descriptor.
    pub descriptor: Option<&'a [u8]>,
    /// When it was captured.
    pub capture_time: Option<&'a [u8]>,
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
        } else if id == ids.descriptor {
            self.descriptor = Some(value);
        } else if id == ids.capture_time {
            self.capture_time = Some(value);
        } else if id == ids.mid {
            self.mid = std::str::from_utf8(value).ok();
        } else if id == ids.rid {
            self.rid = std::str::from_utf8(value).ok();
        } else if id == ids.repaired_rid {
            self.repaired_rid = std::str::from_utf8(value).ok();
        }
    }
}

/// The elements of a packet that leaves; at most four, in one-byte form where that is enough.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outgoing<'a> {
    elements: [(u8, &'a [u8]); 4],
    count: usize,
}

impl<'a> Outgoing<'a> {
    /// Adds one; those beyond four are left out, and those of no bytes or more than 255.
    pub(crate) fn push(&mut self, id: u8, value: &'a [u8]) {
        if let Some(place) = self.elements.get_mut(self.count)
            && (1..=255).contains(&value.len())
        {
            *place = (id, value);
            self.count += 1;
        }
    }

    /// Returns how many bytes the block takes, its header included; 0 without elements.
    pub(crate) fn len(&self) -> usize {
        let lens = self.elements().map(|(id, value)| (*id, value.len()));
        block_len(lens)
    }

    /// Appends the block; returns where the value of its last element stands.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> usize {
        let len = self.len();
        let mut at = out.len();
        if len == 0 {
            return at;
        }
        let end = out.len() + len;
        let is_two_byte = self.elements().any(|(id, value)| is_long(*id, value.len()));
        let profile = if is_two_byte { 0x1000 } else { ONE_BYTE };
        out.extend_from_slice(&profile.to_be_bytes());
        let words = u16::try_from(len / 4 - 1).unwrap_or(u16::MAX);
        out.extend_from_slice(&words.to_be_bytes());
        for (id, value) in self.elements() {
            let len = u8::try_from(value.len()).unwrap_or(u8::MAX);
            if is_two_byte {
                out.extend_from_slice(&[*id, len]);
            } else {
                out.push(id << 4 | (len - 1));
            }
            at = out.len();
            out.extend_from_slice(value);
        }
        out.resize(end, 0);
        at
    }

    fn elements(&self) -> impl Iterator<Item = &(u8, &'a [u8])> + Clone {
        self.elements.iter().take(self.count)
    }
}

/// Returns how many bytes a block of elements takes of which identifiers and lengths are given; 0 without any.
pub(crate) fn block_len(elements: impl Iterator<Item = (u8, usize)> + Clone) -> usize {
    let is_two_byte = elements.clone().any(|(id, len)| is_long(id, len));
    let header = if is_two_byte { 2 } else { 1 };
    let bytes: usize = elements.map(|(_, len)| header + len).sum();
    if bytes == 0 {
        return 0;
    }
    4 + bytes.next_multiple_of(4)
}

/// Returns whether an element needs the two-byte form.
fn is_long(id: u8, len: usize) -> bool {
    !(1..=14).contains(&id) || len > 16
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
        descriptor: Some(5),
        playout_delay: None,
        capture_time: Some(6),
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

    #[test]
    fn what_is_written_is_read_in_both_forms() {
        for descriptor in [&[7; 3][..], &[8; 40]] {
            let mut outgoing = Outgoing::default();
            outgoing.push(4, &[0x12, 0x34]);
            outgoing.push(5, descriptor);
            let mut packet = vec![0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
            let at = outgoing.write(&mut packet);
            assert!(packet[at..].starts_with(descriptor));
            assert_eq!(packet.len(), 12 + outgoing.len());
            packet.extend_from_slice(b"abc");
            let header = Header::parse(&packet).unwrap();
            let found = Extensions::read(&packet, &header, &IDS);
            assert_eq!(found.transport_sequence, Some(0x1234));
            assert_eq!(found.descriptor, Some(descriptor));
            assert_eq!(&packet[header.payload], b"abc");
        }
        assert_eq!(Outgoing::default().len(), 0);
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
