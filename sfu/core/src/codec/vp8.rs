//! VP8 payload descriptor and frame header (RFC 7741, section 4).

use crate::codec::{Picture, Resolution};

/// Returns whether the payload holds the first bytes of a keyframe.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    frame(payload).is_some_and(|frame| frame.first().is_some_and(|tag| tag & 0x01 == 0))
}

/// Reads how large the picture is from the packet that starts a keyframe (RFC 6386, section 9.1).
pub(super) fn resolution(payload: &[u8]) -> Option<Resolution> {
    let &[tag, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1] = frame(payload)?.first_chunk()? else {
        return None;
    };
    // The upper two bits of each say how to scale.
    let width = u16::from_le_bytes([w0, w1]) & 0x3fff;
    let height = u16::from_le_bytes([h0, h1]) & 0x3fff;
    (tag & 0x01 == 0).then_some(Resolution { width, height })
}

/// Reads the numbers of the picture.
pub(super) fn picture(payload: &[u8]) -> Option<Picture> {
    let Descriptor {
        picture_id_at,
        tl0_at,
        ..
    } = descriptor(payload)?;
    Picture::read(payload, picture_id_at?, tl0_at)
}

/// Where the parts of a descriptor are.
#[derive(Clone, Copy, Debug)]
struct Descriptor {
    /// The picture id, where there is one.
    picture_id_at: Option<usize>,
    /// TL0PICIDX, where there is one.
    tl0_at: Option<usize>,
    /// Bytes of the descriptor.
    len: usize,
}

fn descriptor(payload: &[u8]) -> Option<Descriptor> {
    let &first = payload.first()?;
    let mut found = Descriptor {
        picture_id_at: None,
        tl0_at: None,
        len: 1,
    };
    if first & 0x80 == 0 {
        return Some(found);
    }
    let &flags = payload.get(1)?;
    found.len += 1;
    if flags & 0x80 != 0 {
        found.picture_id_at = Some(found.len);
        let long = payload.get(found.len)? & 0x80 != 0;
        found.len += if long { 2 } else { 1 };
    }
    if flags & 0x40 != 0 {
        found.tl0_at = Some(found.len);
        found.len += 1;
    }
    found.len += usize::from(flags & 0x30 != 0);
    Some(found)
}

/// Finds the frame, behind the descriptor, in a packet that starts one.
fn frame(payload: &[u8]) -> Option<&[u8]> {
    let &first = payload.first()?;
    let starts_frame = first & 0x10 != 0 && first & 0x0f == 0;
    if !starts_frame {
        return None;
    }
    payload.get(descriptor(payload)?.len..)
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

    #[test]
    fn the_size_of_a_keyframe_is_read_without_its_scale() {
        let frame = [
            0x50, 0x42, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0xd0, 0x82, 0,
        ];
        let at = |descriptor: &[u8]| resolution(&[descriptor, &frame].concat());
        let hd = Resolution {
            width: 640,
            height: 720,
        };
        assert_eq!(at(&[0x10]), Some(hd));
        assert_eq!(at(&[0x90, 0xe0, 0x81, 0x02, 0x03, 0x20]), Some(hd));
        assert_eq!(at(&[0x00]), None, "the middle of a partition");
        assert_eq!(resolution(&[&[0x10, 0x51], &frame[1..]].concat()), None);
        assert_eq!(resolution(&[&[0x10], &frame[..9]].concat()), None);
    }

    #[test]
    fn the_numbers_of_a_picture_are_found() {
        let long = picture(&[0x90, 0xe0, 0x81, 0x02, 0x03, 0x20, 0]).unwrap();
        assert_eq!((long.id(), long.tl0()), (0x102, Some(3)));
        let short = picture(&[0x90, 0x80, 0x7f, 0]).unwrap();
        assert_eq!((short.id(), short.tl0()), (0x7f, None));
        assert_eq!(picture(&[0x90, 0x40, 0x7f, 0]), None, "no picture id");
        assert_eq!(picture(&[0x10, 0]), None);
        assert_eq!(picture(&[0x90, 0x80, 0x81]), None, "truncated");
    }
}
