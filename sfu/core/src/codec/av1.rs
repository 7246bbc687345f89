//! AV1 aggregation header (RTP Payload Format for AV1 1.0, section 4.4).

/// Returns whether the packet is the first of a coded video sequence, which starts with a keyframe.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    let continues = 0x80;
    let new_sequence = 0x08;
    payload.len() > 1
        && payload
            .first()
            .is_some_and(|first| first & (continues | new_sequence) == new_sequence)
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
}
