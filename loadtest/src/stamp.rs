//! The end of each frame says when it was sent, to be read by the viewers of the same process.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Bytes of a stamp: a mark of this process, and the microseconds since its epoch when the frame and when
/// its last packet was sent.
pub(crate) const STAMP_LEN: usize = 24;

/// Writes the stamp of a frame over the last bytes of its last packet.
pub(crate) fn stamp(payload: &mut [u8], frame: Instant, packet: Instant) {
    let Some(end) = payload.last_chunk_mut::<STAMP_LEN>() else {
        return;
    };
    end[..8].copy_from_slice(&MARK.bytes);
    for (place, at) in [(8, frame), (16, packet)] {
        let since = at.saturating_duration_since(MARK.epoch).as_micros();
        let since_us = u64::try_from(since).unwrap_or(u64::MAX);
        end[place..place + 8].copy_from_slice(&since_us.to_be_bytes());
    }
}

/// Returns when the frame that ends with this payload was sent and when its last packet was, if a publisher
/// of this process sent it.
pub(crate) fn sent_at(payload: &[u8]) -> Option<(Instant, Instant)> {
    let (mark, times) = payload
        .last_chunk::<STAMP_LEN>()?
        .split_first_chunk::<8>()?;
    let (frame, packet) = times.split_first_chunk::<8>()?;
    let at = |since_us: u64| MARK.epoch.checked_add(Duration::from_micros(since_us));
    if *mark != MARK.bytes {
        return None;
    }
    let packet = u64::from_be_bytes(*packet.first_chunk()?);
    Some((at(u64::from_be_bytes(*frame))?, at(packet)?))
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
    fn both_times_are_read_back_to_the_microsecond() {
        LazyLock::force(&MARK);
        let frame = Instant::now();
        let packet = frame + Duration::from_millis(5);
        let mut payload = vec![0; 100];
        stamp(&mut payload, frame, packet);
        let (read_frame, read_packet) = sent_at(&payload).unwrap();
        assert!(frame - read_frame < Duration::from_micros(1));
        assert!(packet - read_packet < Duration::from_micros(1));
    }

    #[test]
    fn foreign_payloads_have_no_send_time() {
        assert_eq!(sent_at(&[0; 1100]), None);
        assert_eq!(sent_at(&[0; 3]), None);
    }
}
