//! The picture of a room in lists: what it shows while it is on air, or what its owner gave it.

mod image;

mod live;

mod webp;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use klieg_sfu::{Codec, Still};

use crate::error::{ApiError, Code};

pub(crate) use live::LivePictures;

use image::{Kind, Size};

/// A picture that may be shown to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) bytes: Bytes,
    kind: Kind,
}

impl Picture {
    /// Takes what somebody sent as a picture.
    ///
    /// # Errors
    /// `unsupported_media_type` for what is none that browsers show; `too_large`; `invalid_value` for too many pixels.
    pub(crate) fn sent(bytes: Bytes) -> Result<Self, ApiError> {
        if bytes.len() > MAX_BYTES {
            let text = "The picture has more than 256 KiB.";
            return Err(ApiError::new(Code::TooLarge, text));
        }
        let Some(kind) = Kind::of(&bytes) else {
            let text = "The picture must be JPEG, PNG or WebP.";
            return Err(ApiError::new(Code::UnsupportedMediaType, text));
        };
        let size = kind.size(&bytes);
        if !size.is_some_and(|Size { width, height }| fits(width) && fits(height)) {
            let text = "The picture must have from 1 to 1280 pixels on each side.";
            return Err(ApiError::new(Code::InvalidValue, text));
        }
        Ok(Self { bytes, kind })
    }

    /// Takes what was kept of one that was sent; `None` where that is no picture.
    pub(crate) fn kept(bytes: Vec<u8>) -> Option<Self> {
        let kind = Kind::of(&bytes)?;
        let bytes = bytes.into();
        Some(Self { bytes, kind })
    }

    /// Makes one of a keyframe; `None` where that needs a decoder, or its size is none that a camera has.
    fn of_still(still: &Still) -> Option<Self> {
        let sides = [still.size.width, still.size.height];
        let is_plausible = sides.iter().all(|side| STILL_SIDES.contains(side));
        match still.codec {
            Codec::Vp8 if is_plausible => Some(Self {
                bytes: webp::wrap(&still.frame)?.into(),
                kind: Kind::WebP,
            }),
            Codec::Vp8 | Codec::Opus | Codec::Vp9 | Codec::H264 | Codec::Av1 => None,
        }
    }

    /// Returns the media type, as its bytes say.
    pub(crate) fn media_type(&self) -> &'static str {
        self.kind.media_type()
    }

    /// Returns what tells it from every other, as the header `ETag` has it.
    pub(crate) fn tag(&self) -> String {
        let hash = digest(&SHA256, &self.bytes);
        let half = hash.as_ref().get(..16).unwrap_or_default();
        format!("\"{}\"", URL_SAFE_NO_PAD.encode(half))
    }
}

fn fits(side: u32) -> bool {
    (1..=MAX_SIDE).contains(&side)
}

/// Bytes of a picture that is sent.
const MAX_BYTES: usize = 256 * 1024;

/// Pixels on each side of it.
const MAX_SIDE: u32 = 1280;

/// Pixels on each side of what a publisher sends: less is no picture, more is nobody's smallest layer.
const STILL_SIDES: std::ops::RangeInclusive<u16> = 16..=4096;

#[cfg(test)]
mod tests {
    use klieg_sfu::Resolution;

    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend_from_slice(&width.to_be_bytes());
        bytes.extend_from_slice(&height.to_be_bytes());
        bytes
    }

    #[test]
    fn a_picture_that_is_sent_is_one_and_small() {
        let code = |bytes: Vec<u8>| Picture::sent(bytes.into()).unwrap_err().code;
        let picture = Picture::sent(png(1280, 720).into()).unwrap();
        assert_eq!(picture.media_type(), "image/png");
        assert_eq!(Picture::kept(png(1280, 720)), Some(picture.clone()));
        assert_ne!(
            picture.tag(),
            Picture::kept(png(1280, 721)).unwrap().tag(),
            "other bytes"
        );
        assert_eq!(code(png(1281, 720)), Code::InvalidValue);
        assert_eq!(code(png(1280, 0)), Code::InvalidValue);
        assert_eq!(code(png(1, 1)[..20].to_vec()), Code::InvalidValue);
        assert_eq!(
            code(b"<svg onload='alert(1)'>".to_vec()),
            Code::UnsupportedMediaType
        );
        assert_eq!(code(Vec::new()), Code::UnsupportedMediaType);
        let mut long = png(1, 1);
        long.resize(MAX_BYTES + 1, 0);
        assert_eq!(code(long), Code::TooLarge);
        assert_eq!(Picture::kept(b"GIF89a".to_vec()), None);
    }

    #[test]
    fn of_a_keyframe_only_vp8_in_the_size_of_a_picture_is_one() {
        let still = |codec, width, height| {
            Picture::of_still(&Still {
                codec,
                size: Resolution { width, height },
                frame: vec![0; 20],
            })
        };
        assert_eq!(
            still(Codec::Vp8, 320, 180).unwrap().media_type(),
            "image/webp"
        );
        assert_eq!(still(Codec::H264, 320, 180), None);
        assert_eq!(still(Codec::Vp8, 15, 180), None);
        assert_eq!(still(Codec::Vp8, 320, 4097), None);
    }
}
