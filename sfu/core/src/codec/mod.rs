//! What the forwarding unit reads inside a payload: does a keyframe start here?

#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod vp8;

mod vp9;

mod av1;

mod h264;

use crate::command::Codec;

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CODECS: [Codec; 5] = [Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

    proptest! {
        #[test]
        fn no_payload_makes_a_parser_panic(payload in proptest::collection::vec(any::<u8>(), 0..80)) {
            for codec in CODECS {
                starts_keyframe(codec, &payload);
            }
        }
    }
}
