//! Sorts datagrams by their first bytes (RFC 7983, section 7; RFC 5761, section 4).

#![warn(clippy::indexing_slicing)]

/// What a datagram on the shared port carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A connectivity check or its answer.
    Stun,
    /// A handshake flight or an alert.
    Dtls,
    /// Media, protected.
    Rtp,
    /// Control of media, protected.
    Rtcp,
}

/// Sorts a datagram, or returns `None` for one to drop: of another protocol, or shorter than its header.
pub fn protocol(datagram: &[u8]) -> Option<Protocol> {
    let (&first, &second) = (datagram.first()?, datagram.get(1)?);
    let (protocol, shortest) = match first {
        0..=3 => (Protocol::Stun, 20),
        20..=63 => (Protocol::Dtls, 13),
        128..=191 if is_rtcp(second) => (Protocol::Rtcp, 8),
        128..=191 => (Protocol::Rtp, 12),
        _ => return None,
    };
    (datagram.len() >= shortest).then_some(protocol)
}

/// RTCP packet types are 192 to 223; RTP payload types 64 to 95 with the marker bit are kept free for them.
fn is_rtcp(second: u8) -> bool {
    (192..=223).contains(&second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(first: u8, second: u8, len: usize) -> Option<Protocol> {
        let mut datagram = vec![0; len];
        for (place, byte) in datagram.iter_mut().zip([first, second]) {
            *place = byte;
        }
        protocol(&datagram)
    }

    #[test]
    fn the_first_byte_decides() {
        assert_eq!(of(0, 1, 20), Some(Protocol::Stun));
        assert_eq!(of(3, 0, 20), Some(Protocol::Stun));
        assert_eq!(of(20, 254, 13), Some(Protocol::Dtls));
        assert_eq!(of(63, 254, 13), Some(Protocol::Dtls));
        assert_eq!(of(128, 96, 12), Some(Protocol::Rtp));
        assert_eq!(of(191, 96, 12), Some(Protocol::Rtp));
    }

    #[test]
    fn ranges_of_turn_quic_and_zrtp_are_nobodys() {
        for first in (4..20).chain(64..128).chain(192..=255) {
            assert_eq!(of(first, 0, 64), None, "first byte {first}");
        }
    }

    #[test]
    fn rtcp_is_told_from_rtp_with_a_marker() {
        assert_eq!(of(0x80, 200, 28), Some(Protocol::Rtcp));
        assert_eq!(of(0x81, 206, 12), Some(Protocol::Rtcp));
        assert_eq!(of(0x80, 0x80 | 96, 28), Some(Protocol::Rtp));
        assert_eq!(of(0x80, 0x80 | 63, 28), Some(Protocol::Rtp));
    }

    #[test]
    fn a_datagram_shorter_than_its_header_is_nobodys() {
        for len in 0..=64 {
            for first in 0..=255 {
                let sorted = of(first, 0, len);
                assert!(
                    sorted.is_none() || len >= 12,
                    "first byte {first}, {len} bytes"
                );
            }
        }
        assert_eq!(of(0, 1, 19), None);
        assert_eq!(of(22, 254, 12), None);
        assert_eq!(of(0x80, 96, 11), None);
        assert_eq!(of(0x80, 200, 7), None);
    }
}
