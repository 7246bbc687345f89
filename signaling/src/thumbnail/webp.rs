//! A VP8 keyframe as a picture: the simple, lossy form of WebP (RFC 9649, section 2.5).

/// Wraps a keyframe, as an encoder hands it out; `None` where it is longer than such a file may be.
pub(super) fn wrap(frame: &[u8]) -> Option<Vec<u8>> {
    let len = u32::try_from(frame.len()).ok()?;
    // Chunks begin at even places; the byte that is added counts for the file alone.
    let padding = len % 2;
    let file = len.checked_add(padding)?.checked_add(FORM_AND_CHUNK)?;
    let mut bytes = Vec::with_capacity(frame.len() + HEADERS);
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&file.to_le_bytes());
    bytes.extend_from_slice(b"WEBPVP8 ");
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(frame);
    bytes.extend((0..padding).map(|_| 0));
    Some(bytes)
}

/// What the length of the file counts beside the frame: the name of the form, and the chunk's name and length.
const FORM_AND_CHUNK: u32 = 12;

/// Bytes before the frame, and the one that may follow it.
const HEADERS: usize = 21;

#[cfg(test)]
mod tests {
    use super::super::image::{Kind, Size};
    use super::*;

    /// A keyframe of 320 by 180 (RFC 6386, section 9.1).
    const FRAME: [u8; 11] = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 1, 180, 0, 7];

    #[test]
    fn a_keyframe_is_a_webp_of_its_size() {
        let file = wrap(&FRAME).unwrap();
        assert_eq!(
            file,
            [b"RIFF\x18\0\0\0WEBPVP8 \x0b\0\0\0".as_slice(), &FRAME, &[0]].concat()
        );
        let kind = Kind::of(&file).unwrap();
        let size = Size {
            width: 320,
            height: 180,
        };
        assert_eq!((kind, kind.size(&file)), (Kind::WebP, Some(size)));
    }

    #[test]
    fn a_frame_of_even_length_is_not_padded() {
        let file = wrap(&FRAME[..10]).unwrap();
        assert_eq!(file.len(), 30);
        assert_eq!(file[4..8], 22_u32.to_le_bytes());
    }
}
