//! What the forwarding unit reads inside a payload: does a keyframe start here, how large is it, which
//! picture is it, and of which layer?

#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod picture;

mod scale;

mod descriptor;

mod active;

mod vp8;

mod vp9;

mod av1;

mod h264;

mod bits;

use crate::command::Codec;

pub(crate) use active::ActivePlace;
pub use descriptor::Descriptors;
pub(crate) use descriptor::Structure;
pub use picture::Picture;
pub(crate) use picture::Shift;
pub(crate) use scale::TIERS;
pub use scale::{Scale, Scaling, Tier, Tiers};

/// How large a picture is, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// From left to right.
    pub width: u16,
    /// From top to bottom.
    pub height: u16,
}

impl Resolution {
    /// Returns the largest size up to this one that can be told.
    fn saturating(width: u32, height: u32) -> Self {
        let side = |pixels| u16::try_from(pixels).unwrap_or(u16::MAX);
        Self {
            width: side(width),
            height: side(height),
        }
    }
}

/// Returns whether a decoder that knows nothing can start with this packet.
///
/// Sound can start anywhere.
pub fn starts_keyframe(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Opus => true,
        Codec::Vp8 => vp8::starts_keyframe(payload),
        Codec::Vp9 => vp9::starts_keyframe(payload),
        Codec::H264 => h264::starts_keyframe(payload),
        Codec::Av1 => av1::starts_keyframe(payload),
    }
}

/// Returns how large the picture is, if this packet says so; only packets that start a keyframe do.
pub fn resolution(codec: Codec, payload: &[u8]) -> Option<Resolution> {
    match codec {
        Codec::Opus => None,
        Codec::Vp8 => vp8::resolution(payload),
        Codec::Vp9 => vp9::resolution(payload),
        Codec::H264 => h264::resolution(payload),
        Codec::Av1 => av1::resolution(payload),
    }
}

/// Returns the whole keyframe that payloads carry, at most `most` bytes, where it is a picture by itself, and how large that
/// is. Of other codings no picture can be made without a decoder.
pub(crate) fn still(
    codec: Codec,
    payloads: &[&[u8]],
    most: usize,
) -> Option<(Resolution, Vec<u8>)> {
    match codec {
        Codec::Vp8 => {
            let size = vp8::resolution(payloads.first()?)?;
            let frame = vp8::whole(payloads, most)?;
            (size.width > 0 && size.height > 0).then_some((size, frame))
        }
        Codec::Opus | Codec::Vp9 | Codec::H264 | Codec::Av1 => None,
    }
}

/// Returns the numbers of the picture, where the coding has them in each packet.
pub fn picture(codec: Codec, payload: &[u8]) -> Option<Picture> {
    match codec {
        Codec::Opus | Codec::H264 | Codec::Av1 => None,
        Codec::Vp8 => vp8::picture(payload),
        Codec::Vp9 => vp9::picture(payload),
    }
}

/// Returns how large each spatial layer is, the smallest first, if this packet says so.
pub fn layer_sizes(codec: Codec, payload: &[u8]) -> impl Iterator<Item = Resolution> {
    let payload = (codec == Codec::Vp9).then_some(payload);
    payload.into_iter().flat_map(vp9::layer_sizes)
}

/// Returns where the packet stands among the layers of its stream, where the coding tells that in each packet.
pub fn scale(codec: Codec, payload: &[u8], scaling: &mut Scaling) -> Option<Scale> {
    match codec {
        Codec::Opus | Codec::H264 | Codec::Av1 => None,
        Codec::Vp8 => vp8::scale(payload, scaling),
        Codec::Vp9 => vp9::scale(payload, scaling),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CODECS: [Codec; 5] = [Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

    fn read_all(payload: &[u8]) {
        for codec in CODECS {
            starts_keyframe(codec, payload);
            resolution(codec, payload);
            still(codec, &[payload, payload], 100);
            still(codec, &[payload], 100);
            let mut scaling = Scaling::default();
            if let Some(scale) = scale(codec, payload, &mut scaling) {
                assert!(scale.needed.contains(scale.tier));
            }
            if let Some(picture) = picture(codec, payload) {
                let mut copy = payload.to_vec();
                let shift = Shift::default();
                shift.apply(&picture, &mut copy);
                assert_eq!(copy, payload, "no shift changes nothing");
            }
        }
    }

    proptest! {
        #[test]
        fn no_payload_makes_a_parser_panic(payload in proptest::collection::vec(any::<u8>(), 0..80)) {
            read_all(&payload);
        }

        #[test]
        fn nothing_behind_the_start_of_a_keyframe_makes_a_parser_panic(
            start in 0_usize..8,
            rest in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let starts: [&[u8]; 8] = [
                &[0x10, 0, 0, 0, 0x9d, 0x01, 0x2a], &[0x90], &[0x08, 0x82, 0x49, 0x83, 0x42], &[0xaa, 0x81],
                &[0x67, 100, 0, 31], &[0x78, 0, 60, 0x67, 100, 0, 31], &[0x18, 0x08], &[0x08, 60, 0x0e],
            ];
            read_all(&[starts[start], &rest].concat());
        }
    }
}
