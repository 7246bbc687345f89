//! AV1 aggregation header (RTP Payload Format for AV1 1.0, section 4.4) and sequence header (AV1
//! bitstream, section 5.5).

use crate::codec::Resolution;
use crate::codec::bits::Bits;

/// Returns whether the packet is the first of a coded video sequence, which starts with a keyframe.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    let continues = 0x80;
    let new_sequence = 0x08;
    payload.len() > 1
        && payload
            .first()
            .is_some_and(|first| first & (continues | new_sequence) == new_sequence)
}

/// Reads how large the picture is from the first packet of a coded video sequence.
pub(super) fn resolution(payload: &[u8]) -> Option<Resolution> {
    if !starts_keyframe(payload) {
        return None;
    }
    elements(payload)
        .take(MAX_ELEMENTS)
        .find_map(sequence_header)
        .and_then(picture_size)
}

/// Type of a sequence header (section 6.2.2).
const SEQUENCE_HEADER: u8 = 1;
/// Elements of a packet that are looked at; the sequence header is the first that counts.
const MAX_ELEMENTS: usize = 8;

/// Walks the elements of a packet; one that does not fit ends it.
fn elements(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (first, mut rest) = payload.split_first().unwrap_or((&0, &[]));
    // With a count the last element has no length; without one all have.
    let mut left = usize::from(first >> 4 & 0x03);
    let is_counted = left > 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let is_last = is_counted && left == 1;
        left = left.saturating_sub(1);
        let (element, tail) = if is_last {
            (rest, rest.get(rest.len()..)?)
        } else {
            let (len, tail) = leb128(rest)?;
            tail.split_at_checked(len)?
        };
        rest = tail;
        Some(element)
    })
}

/// Takes a number of up to eight bytes off (section 4.10.5).
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0;
    for (place, byte) in bytes.iter().enumerate().take(8) {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(number).ok()?, bytes.get(place + 1..)?));
        }
    }
    None
}

/// Returns the body of an element if it is a sequence header.
fn sequence_header(element: &[u8]) -> Option<&[u8]> {
    let (&header, mut rest) = element.split_first()?;
    if header >> 3 & 0x0f != SEQUENCE_HEADER {
        return None;
    }
    if header & 0x04 != 0 {
        rest = rest.get(1..)?;
    }
    if header & 0x02 != 0 {
        (_, rest) = leb128(rest)?;
    }
    Some(rest)
}

/// Reads the largest size of a sequence.
fn picture_size(header: &[u8]) -> Option<Resolution> {
    let mut bits = Bits::new(header);
    bits.skip(4)?;
    if bits.flag()? {
        // A still picture's header has no more than its level before the size.
        bits.skip(5)?;
    } else {
        skip_operating_points(&mut bits)?;
    }
    let width_bits = bits.number(4)? + 1;
    let height_bits = bits.number(4)? + 1;
    let width = bits.number(width_bits)? + 1;
    let height = bits.number(height_bits)? + 1;
    Some(Resolution::saturating(width, height))
}

/// Passes over timing, the decoder model and the operating points.
fn skip_operating_points(bits: &mut Bits<'_>) -> Option<()> {
    let mut delay_bits = None;
    if bits.flag()? {
        bits.skip(64)?;
        if bits.flag()? {
            bits.golomb()?;
        }
        if bits.flag()? {
            delay_bits = Some(bits.number(5)? + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let tells_display_delay = bits.flag()?;
    for _ in 0..=bits.number(5)? {
        bits.skip(12)?;
        if bits.number(5)? > 7 {
            bits.skip(1)?;
        }
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            bits.skip(usize::try_from(delay_bits).ok()? * 2 + 1)?;
        }
        if tells_display_delay && bits.flag()? {
            bits.skip(4)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyframe_starts_where_the_header_says_new_sequence() {
        assert!(starts_keyframe(&[0x18, 0x0a]));
        assert!(!starts_keyframe(&[0x10, 0x32]));
        assert!(
            !starts_keyframe(&[0x98, 0x0a]),
            "continues an earlier packet"
        );
        assert!(!starts_keyframe(&[0x18]), "empty");
    }

    /// Packs bits, written as text, into bytes.
    fn bytes(bits: &str) -> Vec<u8> {
        let bits: Vec<u8> = bits.bytes().filter(|bit| *bit != b' ').collect();
        let byte = |bits: &[u8]| {
            (0..8).fold(0, |byte, at| {
                byte << 1 | u8::from(bits.get(at) == Some(&b'1'))
            })
        };
        bits.chunks(8).map(byte).collect()
    }

    fn size(width: u16, height: u16) -> Option<Resolution> {
        Some(Resolution { width, height })
    }

    /// Profile 0, no timing, one operating point of level 5 (`seq_level_idx` 8, hence a tier), 1280 by 720.
    fn hd() -> Vec<u8> {
        let size = format!("{:04b} {:04b} {:011b} {:010b}", 10, 9, 1279, 719);
        bytes(&format!(
            "000 0 0 0 0 00000 000000000000 01000 0 {size} 1111"
        ))
    }

    #[test]
    fn the_size_is_read_from_the_sequence_header() {
        let hd = hd();
        // One element without a length; the header of the unit says that it has no size of its own.
        assert_eq!(
            resolution(&[&[0x18, 0x08], &hd[..]].concat()),
            size(1280, 720)
        );
        // Two elements, both with a length, the unit with an extension and its own size.
        let len = u8::try_from(hd.len()).unwrap();
        let element = [&[0x0e, 0x00, len], &hd[..]].concat();
        let packet = [&[0x08, len + 3], &element[..], &[2, 0x32, 0x00]].concat();
        assert_eq!(resolution(&packet), size(1280, 720));
        // A frame before it is passed over.
        let packet = [&[0x28, 2, 0x12, 0x00, 0x08], &hd[..]].concat();
        assert_eq!(resolution(&packet), size(1280, 720));
        assert_eq!(resolution(&[0x18, 0x08, 0x00]), None, "truncated");
        assert_eq!(resolution(&[&[0x10, 0x08], &hd[..]].concat()), None);
    }

    #[test]
    fn timing_and_operating_points_are_passed_over() {
        let timing = format!("1 {:032b} {:032b} 1 1", 1, 30);
        let model = format!("1 00011 {:032b} 00000 00000", 1);
        // Two points, both with a delay of four bits, one with a display delay.
        let points =
            "1 00001 000000000001 00001 1 0000 0000 0 1 0011 000000000010 00001 1 0000 0000 1 0";
        let size_bits = format!("{:04b} {:04b} {:09b} {:08b}", 8, 7, 319, 179);
        let header = bytes(&format!("000 0 0 {timing} {model} {points} {size_bits}"));
        assert_eq!(
            resolution(&[&[0x18, 0x08], &header[..]].concat()),
            size(320, 180)
        );
    }

    #[test]
    fn the_header_of_a_still_picture_is_short() {
        let header = bytes(&format!(
            "000 1 1 00000 {:04b} {:04b} {:08b} {:08b}",
            7, 7, 63, 31
        ));
        assert_eq!(
            resolution(&[&[0x18, 0x08], &header[..]].concat()),
            size(64, 32)
        );
    }
}
