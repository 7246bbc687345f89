//! A VP8 stream without an encoder (RFC 6386): every frame is a plain grey picture of any wanted size in bytes.
//!
//! A boolean decoder that reads nothing but zero bytes decodes "false" for every symbol, whatever its
//! probability. Read so, a keyframe's header says "no segments, no filter, default probabilities", every
//! macroblock is predicted from nothing (grey) and has no residue, and what follows is never looked at. The
//! server and the browsers treat it as any other video; only its picture is dull.

/// Wide enough for a player to show, small enough that few bytes make a whole frame.
const WIDTH: u16 = 320;
const HEIGHT: u16 = 180;

/// Returns a frame of `size` bytes, whose width and height are `1 << shift` times less than the whole.
///
/// `size` is raised where it is less than such a picture needs.
pub(crate) fn frame(keyframe: bool, size: usize, shift: u8) -> Vec<u8> {
    let mut frame = Vec::new();
    let size = size.max(min_frame_bytes(shift));
    let first_partition = u32::try_from(size / 2)
        .unwrap_or(MAX_PARTITION)
        .min(MAX_PARTITION);
    // Section 9.1: not-a-keyframe bit, version 0, shown, length of the first partition.
    let tag = u32::from(!keyframe) | 1 << 4 | first_partition << 5;
    frame.extend_from_slice(&tag.to_le_bytes()[..3]);
    if keyframe {
        frame.extend_from_slice(&[0x9d, 0x01, 0x2a]);
        frame.extend_from_slice(&(WIDTH >> shift).to_le_bytes());
        frame.extend_from_slice(&(HEIGHT >> shift).to_le_bytes());
    }
    frame.resize(size, 0);
    frame
}

/// Returns whether a payload is the beginning of a keyframe (RFC 7741, section 4.2; RFC 6386, section 9.1).
pub(crate) fn begins_keyframe(payload: &[u8]) -> bool {
    let Some((&first, rest)) = payload.split_first() else {
        return false;
    };
    let mut skip = 0;
    if first & 0x80 != 0 {
        let flags = rest.first().copied().unwrap_or(0);
        let long_id = rest.get(1).is_some_and(|id| id & 0x80 != 0);
        let id = usize::from(flags >> 7) * (1 + usize::from(long_id));
        let level = usize::from(flags >> 6 & 1);
        skip = 1 + id + level + usize::from(flags & 0x30 != 0);
    }
    // "Start of partition" and partition 0; then: not-a-keyframe bit.
    first & 0x17 == 0x10 && rest.get(skip).is_some_and(|tag| tag & 1 == 0)
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

/// Returns the size below which no frame of such a picture is.
///
/// Both partitions then have more zeros than the decoder wants: 8 bits a macroblock at most.
pub(crate) fn min_frame_bytes(shift: u8) -> usize {
    let blocks = |pixels: u16| usize::from((pixels >> shift).div_ceil(16));
    blocks(WIDTH) * blocks(HEIGHT) * 8 + 128
}

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
        let whole = frame(true, 5000, 0);
        assert_eq!(whole.len(), 5000);
        assert_eq!(whole[0] & 1, 0);
        assert_eq!(whole[3..10], [0x9d, 0x01, 0x2a, 64, 1, 180, 0]);
        assert_eq!(frame(true, 5000, 1)[6..10], [160, 0, 90, 0]);
    }

    #[test]
    fn other_frames_say_that_they_are_none() {
        let frame = frame(false, 1, 0);
        assert_eq!(frame.len(), 2048);
        assert_eq!(frame[0] & 1, 1);
    }

    #[test]
    fn only_the_first_packet_of_a_keyframe_begins_one() {
        let begins = |keyframe| -> Vec<bool> {
            let frame = frame(keyframe, 3000, 0);
            payloads(&frame, 7)
                .map(|payload| begins_keyframe(&payload))
                .collect()
        };
        assert_eq!(begins(true), [true, false, false]);
        assert_eq!(begins(false), [false, false, false]);
        assert!(begins_keyframe(&[0x10, 0]));
        assert!(!begins_keyframe(&[]) && !begins_keyframe(&[0x90, 0x80]));
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
