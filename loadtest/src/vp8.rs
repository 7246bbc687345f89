//! A VP8 stream without an encoder (RFC 6386): every frame is a plain grey picture of any wanted size in bytes.
//!
//! A boolean decoder that reads nothing but zero bytes decodes "false" for every symbol, whatever its
//! probability. Read so, a keyframe's header says "no segments, no filter, default probabilities", every
//! macroblock is predicted from nothing (grey) and has no residue, and what follows is never looked at. The
//! server and the browsers treat it as any other video; only its picture is dull.

/// Wide enough for a player to show, small enough that few bytes make a whole frame.
pub(crate) const WIDTH: u16 = 320;
pub(crate) const HEIGHT: u16 = 180;

/// Appends a frame of `size` bytes that ends with `trailer`.
///
/// `size` is raised to `MIN_FRAME_BYTES` where it is less.
pub(crate) fn write_frame(frame: &mut Vec<u8>, keyframe: bool, size: usize, trailer: &[u8]) {
    let start = frame.len();
    let size = size.max(MIN_FRAME_BYTES);
    let first_partition = u32::try_from(size / 2)
        .unwrap_or(MAX_PARTITION)
        .min(MAX_PARTITION);
    // Section 9.1: not-a-keyframe bit, version 0, shown, length of the first partition.
    let tag = u32::from(!keyframe) | 1 << 4 | first_partition << 5;
    frame.extend_from_slice(&tag.to_le_bytes()[..3]);
    if keyframe {
        frame.extend_from_slice(&[0x9d, 0x01, 0x2a]);
        frame.extend_from_slice(&WIDTH.to_le_bytes());
        frame.extend_from_slice(&HEIGHT.to_le_bytes());
    }
    frame.resize(start + size - trailer.len(), 0);
    frame.extend_from_slice(trailer);
}

/// Splits a frame into RTP payloads of equal size (RFC 7741, section 4.2), each with the picture's number.
pub(crate) fn payloads(frame: &[u8], picture_id: u16) -> impl ExactSizeIterator<Item = Vec<u8>> {
    let count = frame.len().div_ceil(MAX_CHUNK).max(1);
    let id = (0x8000 | picture_id).to_be_bytes();
    frame
        .chunks(frame.len().div_ceil(count))
        .enumerate()
        .map(move |(index, chunk)| {
            // Extended control bits, and on the first packet "start of partition 0"; then: a picture id follows.
            let start = if index == 0 { 0x90 } else { 0x80 };
            let mut payload = Vec::with_capacity(DESCRIPTOR + chunk.len());
            payload.extend_from_slice(&[start, 0x80, id[0], id[1]]);
            payload.extend_from_slice(chunk);
            payload
        })
}

/// Both partitions then have more zeros than the decoder wants: 240 macroblocks, 8 bits each at most.
const MIN_FRAME_BYTES: usize = 2048;

/// The length has 19 bits.
const MAX_PARTITION: u32 = (1 << 19) - 1;

const DESCRIPTOR: usize = 4;

/// Leaves room for RTP, SRTP and UDP headers within 1200 bytes.
const MAX_CHUNK: usize = 1100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyframe_tells_its_size() {
        let mut frame = Vec::new();
        write_frame(&mut frame, true, 5000, b"end");
        assert_eq!(frame.len(), 5000);
        assert_eq!(frame[0] & 1, 0);
        assert_eq!(frame[3..10], [0x9d, 0x01, 0x2a, 64, 1, 180, 0]);
        assert!(frame.ends_with(b"\0end"));
    }

    #[test]
    fn other_frames_say_that_they_are_none() {
        let mut frame = Vec::new();
        write_frame(&mut frame, false, 1, b"");
        assert_eq!(frame.len(), MIN_FRAME_BYTES);
        assert_eq!(frame[0] & 1, 1);
    }

    #[test]
    fn payloads_are_of_one_size_and_only_the_first_starts_the_frame() {
        let frame: Vec<u8> = (0..2500_u16)
            .map(|n| u8::try_from(n % 251).unwrap())
            .collect();
        let payloads: Vec<_> = payloads(&frame, 0x1234).collect();
        let lengths: Vec<_> = payloads.iter().map(Vec::len).collect();
        assert_eq!(lengths, [838, 838, 836]);
        assert_eq!(payloads[0][..4], [0x90, 0x80, 0x92, 0x34]);
        assert_eq!(payloads[1][..4], [0x80, 0x80, 0x92, 0x34]);
        let joined: Vec<u8> = payloads
            .iter()
            .flat_map(|payload| payload[4..].to_vec())
            .collect();
        assert_eq!(joined, frame);
    }
}
