//! VP9 payload descriptor (RFC 9628, section 4.2) and uncompressed header (VP9 bitstream, section 6.2).

use crate::codec::bits::Bits;
use crate::codec::{Picture, Resolution, Scale, Scaling, Tier, Tiers};

/// Returns whether the payload holds the first bytes of a keyframe's lowest spatial layer.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    let Some(&first) = payload.first() else {
        return false;
    };
    let predicted = first & PREDICTED != 0;
    let begins_frame = first & BEGINS_FRAME != 0;
    !predicted && begins_frame && spatial_layer(first, payload) == Some(0)
}

/// Reads how large the picture is from the packet that starts a keyframe: the largest of its spatial
/// layers where the descriptor tells them, else what the frame says.
pub(super) fn resolution(payload: &[u8]) -> Option<Resolution> {
    if !starts_keyframe(payload) {
        return None;
    }
    let &first = payload.first()?;
    let at = structure_at(first, payload)?;
    if first & HAS_STRUCTURE == 0 {
        return frame_size(payload.get(at..)?);
    }
    let &structure = payload.get(at)?;
    if structure & 0x10 != 0 {
        let layers = usize::from(structure >> 5) + 1;
        let sizes = payload.get(at + 1..)?.get(..layers * 4)?;
        let &[w0, w1, h0, h1] = sizes.last_chunk()?;
        return Some(Resolution {
            width: u16::from_be_bytes([w0, w1]),
            height: u16::from_be_bytes([h0, h1]),
        });
    }
    frame_size(payload.get(structure_end(at, structure, payload)?..)?)
}

/// Reads the numbers of the picture.
pub(super) fn picture(payload: &[u8]) -> Option<Picture> {
    let &first = payload.first()?;
    if first & HAS_PICTURE_ID == 0 {
        return None;
    }
    let has_tl0 = first & HAS_LAYERS != 0 && first & FLEXIBLE == 0;
    let layers_at = 1 + picture_id_len(first, payload)?;
    Picture::read(payload, 1, has_tl0.then_some(layers_at + 1))
}

/// Reads how large each spatial layer is, the smallest first, where the packet has a scalability structure that says so.
pub(super) fn layer_sizes(payload: &[u8]) -> impl Iterator<Item = Resolution> {
    let has_sizes = |structure: &&[u8]| structure.first().is_some_and(|it| it & 0x10 != 0);
    let structure = structure(payload).filter(has_sizes).unwrap_or_default();
    let layers = usize::from(structure.first().map_or(0, |first| first >> 5)) + 1;
    let sizes = structure.get(1..).unwrap_or_default().chunks_exact(4);
    sizes.take(layers).map_while(|size| {
        let &[w0, w1, h0, h1] = size.first_chunk()?;
        Some(Resolution {
            width: u16::from_be_bytes([w0, w1]),
            height: u16::from_be_bytes([h0, h1]),
        })
    })
}

/// Reads the layers of the packet's frame; `None` where there are none.
pub(super) fn scale(payload: &[u8], scaling: &mut Scaling) -> Option<Scale> {
    let &first = payload.first()?;
    if first & HAS_LAYERS == 0 {
        return None;
    }
    if let Some(&[structure, ..]) = structure(payload) {
        scaling.spatial = structure >> 5;
    }
    let &layers = payload.get(1 + picture_id_len(first, payload)?)?;
    let (temporal, spatial) = (layers >> 5, layers >> 1 & 0x07);
    scaling.note(spatial, temporal);
    let scaling = *scaling;
    let is_for_higher = first & NOT_FOR_HIGHER == 0 || spatial == scaling.spatial;
    let own = Tier::new(spatial, temporal);
    let needed = Tiers::of(|tier| {
        let fits =
            tier.spatial() == own.spatial() || (is_for_higher && tier.spatial() > own.spatial());
        fits && tier.temporal() >= own.temporal()
    });
    let may_rise = layers & 0x10 != 0;
    let entry = Tiers::of(|tier| {
        let rises = may_rise && tier.temporal() > own.temporal();
        scaling.at_spatial(spatial, tier) && (rises || scaling.at_temporal(temporal, tier))
    });
    Some(Scale {
        tier: own,
        needed,
        entry,
        from: needed,
        begins: first & BEGINS_FRAME != 0,
        ends: first & ENDS_FRAME != 0,
    })
}

const HAS_PICTURE_ID: u8 = 0x80;
const PREDICTED: u8 = 0x40;
const HAS_LAYERS: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const BEGINS_FRAME: u8 = 0x08;
const ENDS_FRAME: u8 = 0x04;
const HAS_STRUCTURE: u8 = 0x02;
/// No frame of a higher spatial layer needs this one, of this picture and those behind it.
const NOT_FOR_HIGHER: u8 = 0x01;

/// Reads the spatial layer of the packet; `None` when it is truncated.
fn spatial_layer(first: u8, payload: &[u8]) -> Option<u8> {
    if first & HAS_LAYERS == 0 {
        return Some(0);
    }
    let at = 1 + picture_id_len(first, payload)?;
    payload.get(at).map(|layers| layers >> 1 & 0x07)
}

fn picture_id_len(first: u8, payload: &[u8]) -> Option<usize> {
    if first & HAS_PICTURE_ID == 0 {
        return Some(0);
    }
    let long = payload.get(1)? & 0x80 != 0;
    Some(if long { 2 } else { 1 })
}

/// Finds the scalability structure, or what follows in its place.
fn structure_at(first: u8, payload: &[u8]) -> Option<usize> {
    let mut at = 1 + picture_id_len(first, payload)?;
    if first & HAS_LAYERS != 0 {
        // In flexible mode there is no TL0PICIDX.
        at += if first & FLEXIBLE == 0 { 2 } else { 1 };
    }
    if first & (FLEXIBLE | PREDICTED) == FLEXIBLE | PREDICTED {
        // Up to three references, each of which says whether another follows.
        for _ in 0..3 {
            at += 1;
            if payload.get(at - 1)? & 0x01 == 0 {
                break;
            }
        }
    }
    Some(at)
}

/// Finds the scalability structure; `None` where there is none.
fn structure(payload: &[u8]) -> Option<&[u8]> {
    let &first = payload.first()?;
    if first & HAS_STRUCTURE == 0 {
        return None;
    }
    payload
        .get(structure_at(first, payload)?..)
        .filter(|structure| !structure.is_empty())
}

/// Finds the end of a scalability structure without sizes.
fn structure_end(at: usize, structure: u8, payload: &[u8]) -> Option<usize> {
    let mut at = at + 1;
    if structure & 0x08 != 0 {
        let pictures = *payload.get(at)?;
        at += 1;
        for _ in 0..pictures {
            let references = payload.get(at)? >> 2 & 0x03;
            at += 1 + usize::from(references);
        }
    }
    Some(at)
}

/// Reads the size from the uncompressed header of a keyframe.
fn frame_size(frame: &[u8]) -> Option<Resolution> {
    let mut bits = Bits::new(frame);
    let marker = bits.number(2)?;
    let profile = u32::from(bits.flag()?) | u32::from(bits.flag()?) << 1;
    if profile == 3 {
        bits.skip(1)?;
    }
    let shows_existing = bits.flag()?;
    let is_inter = bits.flag()?;
    bits.skip(2)?;
    let sync = bits.number(24)?;
    if marker != 2 || shows_existing || is_inter || sync != 0x49_83_42 {
        return None;
    }
    if profile >= 2 {
        bits.skip(1)?;
    }
    let is_rgb = bits.number(3)? == 7;
    let tells_subsampling = profile % 2 == 1;
    let color_bits = match (is_rgb, tells_subsampling) {
        (false, false) | (true, true) => 1,
        (false, true) => 4,
        (true, false) => 0,
    };
    bits.skip(color_bits)?;
    let width = bits.number(16)? + 1;
    let height = bits.number(16)? + 1;
    Some(Resolution::saturating(width, height))
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

    fn size(width: u16, height: u16) -> Option<Resolution> {
        Some(Resolution { width, height })
    }

    /// A keyframe of profile 0: marker, profile, flags, sync code, color, 1280 by 720.
    const FRAME: [u8; 9] = [0x82, 0x49, 0x83, 0x42, 0x20, 0x4f, 0xf0, 0x2c, 0xf0];

    #[test]
    fn the_size_of_a_keyframe_is_read_from_its_frame() {
        assert_eq!(resolution(&[&[0x08], &FRAME[..]].concat()), size(1280, 720));
        let with_picture_id = [&[0x88, 0x81, 0x02], &FRAME[..]].concat();
        assert_eq!(resolution(&with_picture_id), size(1280, 720));
        let layered = [&[0xa8, 0x81, 0x02, 0x00, 0x07], &FRAME[..]].concat();
        assert_eq!(resolution(&layered), size(1280, 720));
        let inter = [&[0x48], &FRAME[..]].concat();
        assert_eq!(resolution(&inter), None);
        assert_eq!(resolution(&[&[0x08], &FRAME[..8]].concat()), None);
    }

    #[test]
    fn the_size_of_a_keyframe_is_that_of_its_largest_spatial_layer() {
        // Two layers with sizes, no group of pictures.
        let structure = [0x30, 1, 64, 0, 180, 2, 128, 1, 104];
        let packet = [&[0xaa, 0x81, 0x02, 0x00, 0x07], &structure[..], &FRAME[..]].concat();
        assert_eq!(resolution(&packet), size(640, 360));
        // A group of two pictures, one of them with a reference, and no sizes.
        let structure = [0x08, 2, 0x00, 0x04, 1];
        let packet = [&[0x8a, 0x01], &structure[..], &FRAME[..]].concat();
        assert_eq!(resolution(&packet), size(1280, 720));
    }

    #[test]
    fn the_numbers_of_a_picture_are_found() {
        let with_layers = picture(&[0xa8, 0x81, 0x02, 0x00, 0x07, 0]).unwrap();
        assert_eq!((with_layers.id(), with_layers.tl0()), (0x102, Some(7)));
        let flexible = picture(&[0xb8, 0x05, 0x00, 0x07, 0]).unwrap();
        assert_eq!((flexible.id(), flexible.tl0()), (5, None));
        assert_eq!(picture(&[0x28, 0x00, 0x07]), None);
    }

    fn read(payload: &[u8]) -> Scale {
        let mut scaling = Scaling {
            spatial: 2,
            temporal: 2,
        };
        scale(payload, &mut scaling).unwrap()
    }

    #[test]
    fn a_lower_layer_is_for_the_higher_ones_unless_it_says_that_it_is_not() {
        let tiers = [0, 1, 2].map(|spatial| Tier::new(spatial, 0));
        let needs = |payload: &[u8]| tiers.map(|tier| read(payload).needed.contains(tier));
        assert_eq!(needs(&[0xec, 0x05, 0x00, 0x07]), [true, true, true]);
        assert_eq!(needs(&[0xed, 0x05, 0x00, 0x07]), [true, false, false]);
        assert_eq!(needs(&[0xec, 0x05, 0x02, 0x07]), [false, true, true]);
        assert_eq!(needs(&[0xed, 0x05, 0x04, 0x07]), [false, false, true]);
        let best = read(&[0xed, 0x05, 0x04, 0x07]);
        assert!(best.needed.contains(Tier::BEST), "the best is the highest");
        let layers = read(&[0xec, 0x05, 0x52, 0x07]);
        assert_eq!(layers.tier, Tier::new(1, 2));
        assert!(layers.begins && layers.ends);
        assert_eq!(scale(&[0x8c, 0x05], &mut Scaling::default()), None);
    }

    #[test]
    fn a_frame_rate_rises_at_a_point_for_switching_up() {
        let [low, high] = [0, 2].map(|temporal| Tier::new(0, temporal));
        assert_eq!(read(&[0xec, 0x05, 0x00, 0x07]).step(low, high), low);
        assert_eq!(read(&[0xec, 0x05, 0x10, 0x07]).step(low, high), high);
        let from_above = read(&[0xec, 0x05, 0x00, 0x07]);
        assert_eq!(from_above.step(Tier::new(2, 0), low), low);
        let keyed = read(&[0xed, 0x05, 0x00, 0x07]);
        assert_eq!(keyed.step(Tier::new(2, 0), low), Tier::new(2, 0));
    }

    #[test]
    fn the_structure_of_a_flexible_stream_stands_behind_the_references() {
        let sizes = [1, 64, 0, 180, 2, 128, 1, 104];
        let payload = [&[0xfa, 0x05, 0x00, 0x03, 0x04, 0x30], &sizes[..]].concat();
        let mut scaling = Scaling::default();
        scale(&payload, &mut scaling).unwrap();
        assert_eq!(scaling.spatial, 1);
        let widths: Vec<_> = layer_sizes(&payload).map(|size| size.width).collect();
        assert_eq!(widths, [320, 640]);
        let structure = [0x30, 1, 64, 0, 180, 2, 128, 1, 104];
        let nonflexible = [&[0xaa, 0x81, 0x02, 0x00, 0x07], &structure[..]].concat();
        assert_eq!(layer_sizes(&nonflexible).count(), 2);
        assert_eq!(layer_sizes(&[0xa8, 0x81, 0x02, 0x00, 0x07]).count(), 0);
    }
}
