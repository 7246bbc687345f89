//! The end of each frame says when it was sent and how many packets that made, to be read by the viewers of
//! the same process.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// What stands at the end of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// When the frame was due.
    pub(crate) frame_sent_at: Instant,
    /// When its last packet, which carries the stamp, was sent.
    pub(crate) packet_sent_at: Instant,
    /// Names the stream: its SSRC at the publisher.
    pub(crate) stream: u32,
    /// Packets of the stream up to this one, which is counted.
    pub(crate) count: u64,
}

/// Its bytes: a mark of this process, two times in microseconds since its epoch, stream and count.
pub(crate) const STAMP_LEN: usize = 36;

/// Writes a stamp over the last bytes of a frame's last packet.
pub(crate) fn write(payload: &mut [u8], stamp: &Stamp) {
    let Some(end) = payload.last_chunk_mut::<STAMP_LEN>() else {
        return;
    };
    let since_us = |at: Instant| {
        let since = at.saturating_duration_since(MARK.epoch).as_micros();
        u64::try_from(since).unwrap_or(u64::MAX).to_be_bytes()
    };
    end[..8].copy_from_slice(&MARK.bytes);
    end[8..16].copy_from_slice(&since_us(stamp.frame_sent_at));
    end[16..24].copy_from_slice(&since_us(stamp.packet_sent_at));
    end[24..28].copy_from_slice(&stamp.stream.to_be_bytes());
    end[28..].copy_from_slice(&stamp.count.to_be_bytes());
}

/// Returns the stamp of the frame that ends with this payload, if a publisher of this process sent it.
pub(crate) fn read(payload: &[u8]) -> Option<Stamp> {
    let (mark, rest) = payload
        .last_chunk::<STAMP_LEN>()?
        .split_first_chunk::<8>()?;
    if *mark != MARK.bytes {
        return None;
    }
    let (frame, rest) = rest.split_first_chunk::<8>()?;
    let (packet, rest) = rest.split_first_chunk::<8>()?;
    let (stream, rest) = rest.split_first_chunk::<4>()?;
    let at = |since_us: &[u8; 8]| {
        let since = Duration::from_micros(u64::from_be_bytes(*since_us));
        MARK.epoch.checked_add(since)
    };
    Some(Stamp {
        frame_sent_at: at(frame)?,
        packet_sent_at: at(packet)?,
        stream: u32::from_be_bytes(*stream),
        count: u64::from_be_bytes(*rest.first_chunk()?),
    })
}

struct Mark {
    bytes: [u8; 8],
    epoch: Instant,
}

static MARK: LazyLock<Mark> = LazyLock::new(|| Mark {
    bytes: rand::random(),
    epoch: Instant::now(),
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_to_the_microsecond() {
        LazyLock::force(&MARK);
        let frame = Instant::now();
        let stamp = Stamp {
            frame_sent_at: frame,
            packet_sent_at: frame + Duration::from_millis(5),
            stream: 7,
            count: 1 << 40,
        };
        let mut payload = vec![0; 100];
        write(&mut payload, &stamp);
        let found = read(&payload).unwrap();
        assert!(frame - found.frame_sent_at < Duration::from_micros(1));
        assert!(stamp.packet_sent_at - found.packet_sent_at < Duration::from_micros(1));
        assert_eq!((found.stream, found.count), (7, 1 << 40));
    }

    #[test]
    fn foreign_payloads_have_no_stamp() {
        assert_eq!(read(&[0; 1100]), None);
        assert_eq!(read(&[0; 3]), None);
    }
}
