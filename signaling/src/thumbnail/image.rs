//! What pictures say of themselves: of which kind they are, by their first bytes, and how large, by their headers.

#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

/// A kind of picture that every browser shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// ITU-T T.81.
    Jpeg,
    /// ISO/IEC 15948.
    Png,
    /// RFC 9649.
    WebP,
}

/// Pixels from left to right and from top to bottom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Kind {
    /// Tells the kind by the first bytes, whatever the sender calls it.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"\xff\xd8\xff") {
            Some(Self::Jpeg)
        } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            Some(Self::WebP)
        } else {
            None
        }
    }

    /// Reads the size from the header; `None` where there is none.
    pub(super) fn size(self, bytes: &[u8]) -> Option<Size> {
        match self {
            Self::Jpeg => jpeg(bytes),
            Self::Png => png(bytes),
            Self::WebP => webp(bytes),
        }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
        }
    }
}

/// Finds the header of the frame among the segments before the scan (ITU-T T.81, section B.2).
fn jpeg(bytes: &[u8]) -> Option<Size> {
    let mut rest = bytes.get(2..)?;
    loop {
        let (&first, behind) = rest.split_first()?;
        let (&marker, behind) = behind.split_first()?;
        if first != 0xff {
            return None;
        }
        match marker {
            // A fill byte: the marker is behind it.
            0xff => rest = rest.get(1..)?,
            // TEM and restarts stand alone.
            0x01 | 0xd0..=0xd7 => rest = behind,
            // Of what is in these places no frame is, and the scan begins before it.
            0x00 | 0xd8..=0xda => return None,
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let &[_, _, _, h1, h0, w1, w0] = behind.first_chunk()?;
                return Some(Size {
                    width: u16::from_be_bytes([w1, w0]).into(),
                    height: u16::from_be_bytes([h1, h0]).into(),
                });
            }
            _ => {
                let len = u16::from_be_bytes(*behind.first_chunk()?);
                rest = behind.get(usize::from(len.max(2))..)?;
            }
        }
    }
}

/// Reads the first chunk (ISO/IEC 15948, section 11.2.2).
fn png(bytes: &[u8]) -> Option<Size> {
    let &[
        _,
        _,
        _,
        _,
        b'I',
        b'H',
        b'D',
        b'R',
        w3,
        w2,
        w1,
        w0,
        h3,
        h2,
        h1,
        h0,
    ] = bytes.get(8..)?.first_chunk()?
    else {
        return None;
    };
    Some(Size {
        width: u32::from_be_bytes([w3, w2, w1, w0]),
        height: u32::from_be_bytes([h3, h2, h1, h0]),
    })
}

/// Reads the first chunk, which is one of three (RFC 9649, sections 2.5 to 2.7).
fn webp(bytes: &[u8]) -> Option<Size> {
    let &[a, b, c, d, e, f, g, h, i, j] = bytes.get(20..)?.first_chunk()?;
    match bytes.get(12..16)? {
        b"VP8 " if [d, e, f] == [0x9d, 0x01, 0x2a] => Some(Size {
            width: u32::from(u16::from_le_bytes([g, h]) & 0x3fff),
            height: u32::from(u16::from_le_bytes([i, j]) & 0x3fff),
        }),
        b"VP8L" if a == 0x2f => {
            let sizes = u32::from_le_bytes([b, c, d, e]);
            Some(Size {
                width: (sizes & 0x3fff) + 1,
                height: ((sizes >> 14) & 0x3fff) + 1,
            })
        }
        b"VP8X" => Some(Size {
            width: u32::from_le_bytes([e, f, g, 0]) + 1,
            height: u32::from_le_bytes([h, i, j, 0]) + 1,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Option<(Kind, Option<(u32, u32)>)> {
        let kind = Kind::of(bytes)?;
        let size = kind.size(bytes);
        Some((kind, size.map(|it| (it.width, it.height))))
    }

    #[test]
    fn the_size_of_a_jpeg_is_found_behind_its_other_segments() {
        let jpeg =
            b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc4\0\x02\xff\xc2\0\x0b\x08\x01\x68\x02\x80\x03";
        assert_eq!(read(jpeg), Some((Kind::Jpeg, Some((640, 360)))));
        let scan_first = b"\xff\xd8\xff\xda\0\x02\xff\xc0\0\x0b\x08\x01\x68\x02\x80\x03";
        assert_eq!(read(scan_first), Some((Kind::Jpeg, None)));
        assert_eq!(read(&jpeg[..20]), Some((Kind::Jpeg, None)), "cut");
        let endless = b"\xff\xd8\xff\xe0\0\0\xff\xe0\xff\xff";
        assert_eq!(read(endless), Some((Kind::Jpeg, None)));
    }

    #[test]
    fn the_size_of_a_png_is_in_its_first_chunk() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\x68";
        assert_eq!(read(png), Some((Kind::Png, Some((640, 360)))));
        let other = b"\x89PNG\r\n\x1a\n\0\0\0\rIDAT\0\0\x02\x80\0\0\x01\x68";
        assert_eq!(read(other), Some((Kind::Png, None)));
    }

    #[test]
    fn the_size_of_a_webp_is_in_each_of_its_forms() {
        let webp = |chunk: &[u8; 4], data: &[u8]| {
            let file = [b"RIFF\0\0\0\0WEBP", chunk.as_slice(), &[0; 4], data].concat();
            read(&file).unwrap().1
        };
        let size = Some((640, 360));
        let lossy = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0x68, 0x81];
        assert_eq!(webp(b"VP8 ", &lossy), size);
        let packed: u32 = 639 | (359 << 14);
        let lossless = [&[0x2f], &packed.to_le_bytes()[..], &[0; 5]].concat();
        assert_eq!(webp(b"VP8L", &lossless), size);
        assert_eq!(webp(b"VP8X", &[0, 0, 0, 0, 0x7f, 2, 0, 0x67, 1, 0]), size);
        assert_eq!(webp(b"ALPH", &[0; 10]), None);
        assert_eq!(webp(b"VP8 ", &[0; 10]), None, "no start code");
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(
            start in 0_usize..4,
            rest in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let starts: [&[u8]; 4] = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8X"];
            read(&[starts[start], &rest].concat());
        }
    }
}
