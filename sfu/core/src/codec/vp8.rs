//! VP8 payload descriptor and frame header (RFC 7741, section 4).

use crate::codec::{Picture, Resolution, Scale, Scaling, Tier, Tiers};

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
    Picture::read(payload, picture_id_at?, tl0_at).map(Picture::counted)
}

/// Reads the temporal layer; `None` where there is none.
pub(super) fn scale(payload: &[u8], scaling: &mut Scaling) -> Option<Scale> {
    let &first = payload.first()?;
    let &layer = payload.get(descriptor(payload)?.layer_at?)?;
    let (temporal, is_sync) = (layer >> 6, layer & 0x20 != 0);
    scaling.note(0, temporal);
    let scaling = *scaling;
    // A frame that needs the lowest layer alone can be shown to everybody, and what follows it in its layer to who
    // has the one below.
    let from = if is_sync {
        temporal.saturating_sub(1)
    } else {
        temporal
    };
    Some(Scale {
        tier: Tier::new(0, temporal),
        needed: Tiers::of(|tier| tier.temporal() >= temporal),
        entry: Tiers::of(|tier| scaling.at_temporal(temporal, tier)),
        from: Tiers::of(|tier| tier.temporal() >= from),
        begins: starts_frame(first),
        ends: false,
    })
}

/// Puts a keyframe together from the payloads that carry it, in their order; `None` where that is no whole frame that a
/// decoder would show, or more than `most` bytes.
pub(super) fn whole(payloads: &[&[u8]], most: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for (index, payload) in payloads.iter().enumerate() {
        let starts = starts_frame(*payload.first()?);
        let part = payload.get(descriptor(payload)?.len..)?;
        if starts != (index == 0) || bytes.len() + part.len() > most {
            return None;
        }
        bytes.extend_from_slice(part);
    }
    is_shown(&bytes).then_some(bytes)
}

/// Returns whether these are the bytes of a keyframe of a known version that is meant to be shown, as far as its header
/// and its first partition (RFC 6386, section 9.1).
fn is_shown(frame: &[u8]) -> bool {
    let Some(&[tag, second, third, 0x9d, 0x01, 0x2a, ..]) = frame.first_chunk::<10>() else {
        return false;
    };
    let tag = u32::from_le_bytes([tag, second, third, 0]);
    let (is_inter, version, is_shown) = (tag & 1 != 0, (tag >> 1) & 7, (tag >> 4) & 1 != 0);
    let first_partition = usize::try_from(tag >> 5).unwrap_or(usize::MAX);
    let rest = frame.len() - HEADER_LEN;
    !is_inter && version <= 3 && is_shown && first_partition <= rest
}

/// Bytes of a keyframe before its first partition.
const HEADER_LEN: usize = 10;

/// Where the parts of a descriptor are.
#[derive(Clone, Copy, Debug)]
struct Descriptor {
    /// The picture id, where there is one.
    picture_id_at: Option<usize>,
    /// TL0PICIDX, where there is one.
    tl0_at: Option<usize>,
    /// The temporal layer, where there is one.
    layer_at: Option<usize>,
    /// Bytes of the descriptor.
    len: usize,
}

fn descriptor(payload: &[u8]) -> Option<Descriptor> {
    let &first = payload.first()?;
    let mut found = Descriptor {
        picture_id_at: None,
        tl0_at: None,
        layer_at: None,
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
    found.layer_at = (flags & 0x20 != 0).then_some(found.len);
    found.len += usize::from(flags & 0x30 != 0);
    Some(found)
}

/// Finds the frame, behind the descriptor, in a packet that starts one.
fn frame(payload: &[u8]) -> Option<&[u8]> {
    let &first = payload.first()?;
    if !starts_frame(first) {
        return None;
    }
    payload.get(descriptor(payload)?.len..)
}

fn starts_frame(first: u8) -> bool {
    first & 0x10 != 0 && first & 0x0f == 0
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

    /// A keyframe of 640 by 360 that is shown, with a first partition of three bytes and one byte behind it.
    const KEYFRAME: [u8; 14] = [
        0x70, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01, 1, 2, 3, 4,
    ];

    #[test]
    fn a_keyframe_is_put_together_from_its_packets() {
        let first = [&[0x90, 0x80, 0x01][..], &KEYFRAME[..11]].concat();
        let second = [&[0x80, 0x80, 0x01][..], &KEYFRAME[11..]].concat();
        assert_eq!(whole(&[&first, &second], 14).unwrap(), KEYFRAME);
        assert_eq!(whole(&[&first, &second], 13), None, "too large");
        assert_eq!(whole(&[&first], 14), None, "its first partition is cut");
        assert_eq!(whole(&[&second, &first], 14), None, "in another order");
        assert_eq!(whole(&[&first, &first], 28), None, "two frames");
        assert_eq!(whole(&[&first, &[]], 14), None);
        assert_eq!(whole(&[], 14), None);
    }

    #[test]
    fn what_is_no_keyframe_to_be_shown_is_none() {
        for (at, value, why) in [
            (0, 0x71, "an interframe"),
            (0, 0x60, "not shown"),
            (0, 0x78, "an unknown version"),
            (0, 0xb0, "a first partition that is longer than the frame"),
            (2, 0xff, "the same by far"),
            (3, 0x9c, "no start code"),
        ] {
            let mut frame = KEYFRAME;
            frame[at] = value;
            assert_eq!(whole(&[&[&[0x10], &frame[..]].concat()], 99), None, "{why}");
        }
        for len in 0..KEYFRAME.len() - 1 {
            let cut = [&[0x10], &KEYFRAME[..len]].concat();
            assert_eq!(whole(&[&cut], 99), None, "{len} bytes");
        }
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

    #[test]
    fn the_temporal_layer_and_where_a_higher_one_may_begin_are_read() {
        let mut scaling = Scaling::default();
        scaling.note(0, 2);
        let mut read = |layer: u8| {
            let payload = [0x90, 0xe0, 0x81, 0x02, 0x07, layer, 0x01];
            scale(&payload, &mut scaling).unwrap()
        };
        let [low, middle, high] = [0, 1, 2].map(|temporal| Tier::new(0, temporal));
        let base = read(0x00);
        assert!(base.begins && base.needed.contains(low) && base.needed.contains(high));
        assert_eq!(base.step(high, low), low);
        assert_eq!(base.step(low, high), low);
        let sync = read(0x60);
        assert!(!sync.needed.contains(low) && sync.needed.contains(middle));
        assert_eq!(sync.step(low, high), middle);
        let top = read(0xa0);
        assert_eq!(top.step(low, high), low, "the layer between is missing");
        assert_eq!(top.step(middle, high), high);
        assert_eq!(read(0x80).step(middle, high), middle, "no sync");
        assert_eq!(
            top.step(middle, Tier::BEST),
            Tier::BEST,
            "there is none above"
        );
        let plain = [0x90, 0xc0, 0x01, 0x07, 0x01];
        assert_eq!(scale(&plain, &mut Scaling::default()), None);
    }
}
