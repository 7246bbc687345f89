//! H.264 payload structures (RFC 6184, section 5.2).

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

/// Walks the types of the units in an aggregate, whose header has been taken off.
fn aggregated(mut rest: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (size, tail) = rest.split_first_chunk::<2>()?;
        let (unit, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*size)))?;
        rest = tail;
        unit.first().map(|first| first & 0x1f)
    })
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
}
