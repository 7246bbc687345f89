//! H.264 payload structures (RFC 6184, section 5.2) and sequence parameter sets (H.264, section 7.3.2.1).

use crate::codec::Resolution;
use crate::codec::bits::Bits;

/// Coded slice of an instantaneous decoding refresh picture.
const IDR: u8 = 5;
/// Sequence parameter set.
const SPS: u8 = 7;
/// Single-time aggregation packet.
const STAP_A: u8 = 24;
/// Fragmentation unit.
const FU_A: u8 = 28;

/// Returns whether the payload holds a sequence parameter set or the start of an IDR picture.
///
/// Encoders send the parameter sets right before the IDR, in packets of their own or in one
/// aggregate; a decoder that starts at the picture alone stays black, so both count and the first
/// of them that arrives is where a viewer starts.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    let Some((&first, rest)) = payload.split_first() else {
        return false;
    };
    match first & 0x1f {
        IDR | SPS => true,
        STAP_A => aggregated(rest).any(|kind| kind == IDR || kind == SPS),
        FU_A => rest
            .first()
            .is_some_and(|fu| fu & 0x80 != 0 && matches!(fu & 0x1f, IDR | SPS)),
        _ => false,
    }
}

/// Reads how large the picture is from the sequence parameter set, if the payload holds one whole.
pub(super) fn resolution(payload: &[u8]) -> Option<Resolution> {
    let (&first, rest) = payload.split_first()?;
    match first & 0x1f {
        SPS => picture_size(rest),
        STAP_A => units(rest)
            .filter_map(<[u8]>::split_first)
            .find(|(first, _)| *first & 0x1f == SPS)
            .and_then(|(_, set)| picture_size(set)),
        _ => None,
    }
}

/// Walks the types of the units in an aggregate, whose header has been taken off.
fn aggregated(rest: &[u8]) -> impl Iterator<Item = u8> {
    units(rest).filter_map(|unit| unit.first().map(|first| first & 0x1f))
}

/// Walks the units in an aggregate, whose header has been taken off.
fn units(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (size, tail) = rest.split_first_chunk::<2>()?;
        let (unit, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*size)))?;
        rest = tail;
        Some(unit)
    })
}

/// Bytes of a parameter set that are looked at: the size stands before what can be long.
const MAX_SET: usize = 512;
/// Profiles whose sets tell the format of chroma (section 7.3.2.1.1).
const PROFILES_WITH_CHROMA: [u32; 13] =
    [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Reads the size of the picture from a sequence parameter set behind its header.
fn picture_size(set: &[u8]) -> Option<Resolution> {
    let set = without_escapes(set);
    let mut bits = Bits::new(&set);
    let profile = bits.number(8)?;
    bits.skip(16)?;
    bits.golomb()?;
    let mut chroma = 1;
    if PROFILES_WITH_CHROMA.contains(&profile) {
        chroma = read_chroma(&mut bits)?;
    }
    bits.golomb()?;
    skip_picture_order(&mut bits)?;
    bits.golomb()?;
    bits.skip(1)?;
    let width = bits.golomb()?.checked_add(1)?.checked_mul(16)?;
    let map_units = bits.golomb()?.checked_add(1)?;
    let is_progressive = bits.flag()?;
    let fields = if is_progressive { 1 } else { 2 };
    let height = map_units.checked_mul(16 * fields)?;
    if !is_progressive {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let mut cropped = (0, 0);
    if bits.flag()? {
        let [left, right, top, bottom] = [(); 4].map(|()| bits.golomb());
        // Units of chroma samples (section 7.4.2.1.1).
        let across = if matches!(chroma, 1 | 2) { 2 } else { 1 };
        let down = if chroma == 1 { 2 * fields } else { fields };
        cropped.0 = left?.checked_add(right?)?.checked_mul(across)?;
        cropped.1 = top?.checked_add(bottom?)?.checked_mul(down)?;
    }
    let (width, height) = (
        width.checked_sub(cropped.0)?,
        height.checked_sub(cropped.1)?,
    );
    Some(Resolution::saturating(width, height))
}

/// Reads the format of chroma and passes over what follows, up to the scaling lists.
fn read_chroma(bits: &mut Bits<'_>) -> Option<u32> {
    let format = bits.golomb()?;
    let mut is_separate = false;
    if format == 3 {
        is_separate = bits.flag()?;
    }
    bits.golomb()?;
    bits.golomb()?;
    bits.skip(1)?;
    if bits.flag()? {
        for list in 0..if format == 3 { 12 } else { 8 } {
            if bits.flag()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(if is_separate { 0 } else { format })
}

/// Passes over a scaling list (section 7.3.2.1.1.1).
fn skip_scaling_list(bits: &mut Bits<'_>, len: usize) -> Option<()> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..len {
        if next != 0 {
            next = (last + bits.signed_golomb()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// Passes over how pictures are put in order.
fn skip_picture_order(bits: &mut Bits<'_>) -> Option<()> {
    match bits.golomb()? {
        0 => bits.golomb().map(|_| ()),
        1 => {
            bits.skip(1)?;
            bits.golomb()?;
            bits.golomb()?;
            for _ in 0..bits.golomb()?.min(255) {
                bits.golomb()?;
            }
            Some(())
        }
        _ => Some(()),
    }
}

/// Takes the bytes out that keep start codes from appearing (section 7.4.1).
fn without_escapes(set: &[u8]) -> Vec<u8> {
    let mut zeros = 0;
    let is_content = |byte: &u8| {
        let is_escape = zeros >= 2 && *byte == 3;
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        !is_escape
    };
    set.iter()
        .take(MAX_SET)
        .copied()
        .filter(is_content)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyframe_starts_at_parameter_sets_or_at_an_idr() {
        assert!(starts_keyframe(&[0x67, 0x42]), "sequence parameter set");
        assert!(starts_keyframe(&[0x65, 0x88]), "a whole IDR");
        assert!(
            starts_keyframe(&[0x7c, 0x85, 0x88]),
            "first fragment of an IDR"
        );
        assert!(
            !starts_keyframe(&[0x7c, 0x05, 0x88]),
            "later fragment of an IDR"
        );
        assert!(
            !starts_keyframe(&[0x7c, 0x81, 0x88]),
            "first fragment of another slice"
        );
        assert!(!starts_keyframe(&[0x41, 0x9a]), "another slice");
        assert!(
            !starts_keyframe(&[0x68, 0xce]),
            "picture parameter set alone"
        );
    }

    #[test]
    fn an_aggregate_is_searched_and_its_sizes_are_checked() {
        assert!(starts_keyframe(&[0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce]));
        assert!(starts_keyframe(&[0x78, 0, 2, 0x09, 0x10, 0, 1, 0x65]));
        assert!(!starts_keyframe(&[0x78, 0, 1, 0x68]));
        assert!(
            !starts_keyframe(&[0x78, 0xff, 0xff, 0x67]),
            "size beyond the packet"
        );
    }

    /// Baseline, level 3.1, 1280 by 720 of 80 by 45 macroblocks.
    const HD: [u8; 10] = [0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xe8, 0x40];

    /// Writes a parameter set bit by bit.
    struct Writer(String);

    impl Writer {
        fn new(profile: u8) -> Self {
            Self(format!("{profile:08b}{:08b}{:08b}", 0, 31)).golomb(0)
        }

        fn bits(mut self, bits: &str) -> Self {
            self.0.push_str(bits);
            self
        }

        fn golomb(self, number: u32) -> Self {
            let code = format!("{:b}", number + 1);
            let zeros = "0".repeat(code.len() - 1);
            self.bits(&zeros).bits(&code)
        }

        /// Returns the unit with its header and escapes.
        fn unit(mut self) -> Vec<u8> {
            self.0.push('1');
            while !self.0.len().is_multiple_of(8) {
                self.0.push('0');
            }
            let mut unit = vec![0x67];
            for byte in self.0.as_bytes().chunks(8) {
                let byte = u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap();
                if byte <= 3 && unit.ends_with(&[0, 0]) {
                    unit.push(3);
                }
                unit.push(byte);
            }
            unit
        }
    }

    fn size(width: u16, height: u16) -> Option<Resolution> {
        Some(Resolution { width, height })
    }

    #[test]
    fn the_size_is_read_from_a_parameter_set_alone_or_in_an_aggregate() {
        assert_eq!(resolution(&HD), size(1280, 720));
        let aggregate = [&[0x78, 0, 2, 9, 0x10, 0, 10], &HD[..], &[0, 2, 0x68, 0xce]].concat();
        assert_eq!(resolution(&aggregate), size(1280, 720));
        assert_eq!(resolution(&HD[..6]), None, "truncated");
        assert_eq!(resolution(&[0x65, 0x88]), None);
    }

    #[test]
    fn what_is_cropped_is_taken_off() {
        // 1080 lines are 68 rows of macroblocks less 8 lines.
        let baseline = Writer::new(66).golomb(0).golomb(0).golomb(4).golomb(1);
        let set = baseline.bits("0").golomb(119).golomb(67).bits("11");
        let set = set.bits("1").golomb(0).golomb(0).golomb(0).golomb(4);
        assert_eq!(resolution(&set.unit()), size(1920, 1080));
    }

    #[test]
    fn sets_of_the_high_profile_are_read_behind_their_scaling_lists() {
        let high = Writer::new(100).golomb(1).golomb(0).golomb(0).bits("0");
        // Scaling lists: the first ends at once (a step of -8), the others are absent.
        let high = high.bits("1").bits("1").golomb(16).bits("0000000");
        // Picture order of the second kind with two offsets, interlaced, no cropping.
        let high = high.golomb(0).golomb(1).bits("0").golomb(3).golomb(4);
        let high = high.golomb(2).golomb(5).golomb(6).golomb(1).bits("0");
        let set = high
            .golomb(44)
            .golomb(17)
            .bits("0")
            .bits("0")
            .bits("1")
            .bits("0");
        assert_eq!(resolution(&set.unit()), size(720, 576));
    }

    #[test]
    fn a_set_that_crops_more_than_there_is_has_no_size() {
        let set = Writer::new(66).golomb(0).golomb(2).golomb(1).bits("0");
        let set = set.golomb(1).golomb(1).bits("11").bits("1");
        let set = set.golomb(100_000).golomb(0).golomb(0).golomb(0);
        assert_eq!(resolution(&set.unit()), None);
    }
}
