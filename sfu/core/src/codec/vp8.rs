//! VP8 payload descriptor and frame header (RFC 7741, section 4).

/// Returns whether the payload holds the first bytes of a keyframe.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    frame_tag(payload).is_some_and(|tag| tag & 0x01 == 0)
}

/// Finds the first byte of the frame, behind the descriptor, in a packet that starts one.
fn frame_tag(payload: &[u8]) -> Option<u8> {
    let &first = payload.first()?;
    let starts_frame = first & 0x10 != 0 && first & 0x0f == 0;
    if !starts_frame {
        return None;
    }
    let mut len = 1;
    if first & 0x80 != 0 {
        let &flags = payload.get(1)?;
        len += 1;
        if flags & 0x80 != 0 {
            let long = payload.get(len)? & 0x80 != 0;
            len += if long { 2 } else { 1 };
        }
        len += usize::from(flags & 0x40 != 0) + usize::from(flags & 0x30 != 0);
    }
    payload.get(len).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyframe_starts_where_the_first_partition_starts_and_p_is_zero() {
        assert!(starts_keyframe(&[0x10, 0x00]));
        assert!(!starts_keyframe(&[0x10, 0x01]), "an interframe");
        assert!(!starts_keyframe(&[0x00, 0x00]), "the middle of a partition");
        assert!(!starts_keyframe(&[0x11, 0x00]), "the second partition");
    }

    #[test]
    fn the_descriptor_is_passed_over_with_all_its_fields() {
        let all = [0x90, 0xf0, 0x81, 0x02, 0x03, 0x04, 0x00];
        assert!(starts_keyframe(&all));
        let short_picture_id = [0x90, 0x80, 0x01, 0x00];
        assert!(starts_keyframe(&short_picture_id));
        assert!(!starts_keyframe(&all[..6]), "nothing behind the descriptor");
    }
}
