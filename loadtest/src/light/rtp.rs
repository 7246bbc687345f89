//! RTP headers, read and written (RFC 3550, section 5.1; RFC 8285).

/// What a packet says in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
    pub(crate) seq: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) has_padding: bool,
    /// Where the payload begins.
    pub(crate) len: usize,
}

impl Header {
    /// Reads a header; `None` when it is none.
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        let &[first, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3] = packet.first_chunk()?;
        let mut len = 12 + usize::from(first & 0x0f) * 4;
        if first & 0x10 != 0 {
            let &[_, _, l0, l1] = packet.get(len..)?.first_chunk()?;
            len += 4 + usize::from(u16::from_be_bytes([l0, l1])) * 4;
        }
        (first >> 6 == 2 && len <= packet.len()).then_some(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            seq: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([r0, r1, r2, r3]),
            has_padding: first & 0x20 != 0,
            len,
        })
    }

    /// Appends the header with one-byte extensions; `len` and `has_padding` are not looked at.
    pub(crate) fn write(&self, extensions: &[(u8, &[u8])], packet: &mut Vec<u8>) {
        packet.push(0x80 | if extensions.is_empty() { 0 } else { 0x10 });
        packet.push(self.payload_type | if self.marker { 0x80 } else { 0 });
        packet.extend(self.seq.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        if extensions.is_empty() {
            return;
        }
        let mut block = Vec::new();
        for (id, value) in extensions {
            let length = u8::try_from(value.len()).unwrap_or(1).clamp(1, 16);
            block.push(id << 4 | (length - 1));
            block.extend(*value);
        }
        block.resize(block.len().next_multiple_of(4), 0);
        packet.extend([0xbe, 0xde]);
        let words = u16::try_from(block.len() / 4).unwrap_or(0);
        packet.extend(words.to_be_bytes());
        packet.extend(block);
    }
}

/// Returns a one-byte extension of a packet.
pub(crate) fn extension(packet: &[u8], wanted: u8) -> Option<&[u8]> {
    let first = *packet.first()?;
    let start = 12 + usize::from(first & 0x0f) * 4;
    let (&[b0, b1, l0, l1], rest) = packet.get(start..)?.split_first_chunk()?;
    if first & 0x10 == 0 || [b0, b1] != [0xbe, 0xde] {
        return None;
    }
    let mut block = rest.get(..usize::from(u16::from_be_bytes([l0, l1])) * 4)?;
    while let Some((&head, rest)) = block.split_first() {
        if head == 0 {
            block = rest;
            continue;
        }
        let (value, rest) = rest.split_at_checked(usize::from(head & 0x0f) + 1)?;
        if head >> 4 == wanted {
            return Some(value);
        }
        block = rest;
    }
    None
}

/// Returns the payload without its padding.
pub(crate) fn payload<'a>(packet: &'a [u8], header: &Header) -> Option<&'a [u8]> {
    let payload = packet.get(header.len..)?;
    if !header.has_padding {
        return Some(payload);
    }
    let padding = usize::from(*payload.last()?);
    payload.get(..payload.len().checked_sub(padding)?)
}

/// Returns whether a datagram that is RTP or RTCP is RTCP (RFC 5761, section 4).
pub(crate) fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [_, 192..=223, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        marker: true,
        payload_type: 96,
        seq: 0x1234,
        timestamp: 9000,
        ssrc: 7,
        has_padding: false,
        len: 24,
    };

    #[test]
    fn a_header_is_read_back_with_its_extensions() {
        let mut packet = Vec::new();
        HEADER.write(&[(4, b"1"), (3, &[0xab, 0xcd])], &mut packet);
        packet.extend(b"payload");
        assert_eq!(Header::parse(&packet), Some(HEADER));
        assert_eq!(extension(&packet, 3), Some(&[0xab, 0xcd][..]));
        assert_eq!(extension(&packet, 4), Some(&b"1"[..]));
        assert_eq!(extension(&packet, 5), None);
        assert_eq!(payload(&packet, &HEADER), Some(&b"payload"[..]));
    }

    #[test]
    fn padding_is_no_payload() {
        let mut packet = Vec::new();
        HEADER.write(&[], &mut packet);
        packet[0] |= 0x20;
        packet.extend([1, 2, 3, 0, 2]);
        let header = Header::parse(&packet).unwrap();
        assert_eq!(payload(&packet, &header), Some(&[1, 2, 3][..]));
        *packet.last_mut().unwrap() = 6;
        assert_eq!(payload(&packet, &header), None);
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let mut packet = Vec::new();
        HEADER.write(&[(3, &[1, 2])], &mut packet);
        for cut in 0..packet.len() {
            assert_eq!(Header::parse(&packet[..cut]), None, "{cut}");
            assert_eq!(extension(&packet[..cut], 3), None, "{cut}");
        }
    }
}
