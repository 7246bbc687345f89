//! VP9 payload descriptor (RFC 9628, section 4.2).

/// Returns whether the payload holds the first bytes of a keyframe's lowest spatial layer.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    let Some(&first) = payload.first() else {
        return false;
    };
    let predicted = first & 0x40 != 0;
    let begins_frame = first & 0x08 != 0;
    !predicted && begins_frame && spatial_layer(first, payload) == Some(0)
}

/// Reads the spatial layer of the packet; `None` when it is truncated.
fn spatial_layer(first: u8, payload: &[u8]) -> Option<u8> {
    let has_picture_id = first & 0x80 != 0;
    let has_layers = first & 0x20 != 0;
    if !has_layers {
        return Some(0);
    }
    let mut at = 1;
    if has_picture_id {
        let long = payload.get(at)? & 0x80 != 0;
        at += if long { 2 } else { 1 };
    }
    payload.get(at).map(|layers| layers >> 1 & 0x07)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyframe_starts_at_an_unpredicted_frame_of_the_lowest_layer() {
        assert!(starts_keyframe(&[0x08]));
        assert!(starts_keyframe(&[0x88, 0x81, 0x02]), "with a picture id");
        assert!(!starts_keyframe(&[0x48]), "predicted");
        assert!(!starts_keyframe(&[0x00]), "not the start of a frame");
        assert!(starts_keyframe(&[0xa8, 0x01, 0x00]), "layer 0");
        assert!(!starts_keyframe(&[0xa8, 0x01, 0x02]), "layer 1");
        assert!(!starts_keyframe(&[0xa8, 0x81]), "truncated");
    }
}
