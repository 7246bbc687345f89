//! Tells by the first bytes of a stream what is spoken on it. No socket, no clock: bytes go in, a verdict comes out.
//!
//! A record of TLS (RFC 8446, section 5.1), a check in its frame (RFC 4571, section 2; RFC 8445), a message of STUN or TURN (RFC 8489,
//! section 5), a request of HTTP (RFC 9112, section 3). No two of them begin alike, and each is known by what the one who begins
//! with it cannot leave out.

#![warn(clippy::indexing_slicing)]

use klieg_sfu::MAX_FRAME;

/// What is spoken on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// A handshake of TLS.
    Tls,
    /// A request of HTTP.
    Http,
    /// A request of STUN or TURN.
    Turn,
    /// Media's checks by TCP, each in a frame.
    Framed,
}

/// What the bytes so far say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing yet: more are needed, [`MOST`] at most.
    More,
    /// This.
    Is(Protocol),
    /// Nothing that is served here.
    Unknown,
}

/// Bytes after which there is always a verdict.
pub(crate) const MOST: usize = PREFIX + COOKIE_AT + COOKIE.len();

/// Tells what a stream is that begins so.
pub(crate) fn told_by(bytes: &[u8]) -> Verdict {
    match bytes {
        [] | [TLS_HANDSHAKE] => Verdict::More,
        [TLS_HANDSHAKE, TLS_MAJOR, ..] => Verdict::Is(Protocol::Tls),
        // Every method begins so (RFC 9110, section 9), and no frame and no message does that anybody begins with.
        [b'A'..=b'Z', ..] => Verdict::Is(Protocol::Http),
        // A frame of one byte, or of three, holds no check.
        [0, BINDING | ALLOCATE, rest @ ..] => is_message(rest, &[], Protocol::Turn),
        [high, ..] if usize::from(*high) > MAX_FRAME >> 8 => Verdict::Unknown,
        [_] => Verdict::More,
        [high, low, rest @ ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if !(HEADER_LEN..=MAX_FRAME).contains(&length) {
                return Verdict::Unknown;
            }
            is_message(rest, &[0, BINDING], Protocol::Framed)
        }
    }
}

/// Tells whether bytes are those of a message as far as they go: its type, what is left of it; the length, which is whatever it is
/// but a multiple of four; and the cookie.
fn is_message(bytes: &[u8], typ: &[u8], protocol: Protocol) -> Verdict {
    let known = bytes.len().min(typ.len());
    if bytes.get(..known) != typ.get(..known) {
        return Verdict::Unknown;
    }
    let Some(bytes) = bytes.get(typ.len()..) else {
        return Verdict::More;
    };
    if bytes.get(1).is_some_and(|low| low % 4 != 0) {
        return Verdict::Unknown;
    }
    let cookie = bytes.get(2..).unwrap_or_default();
    let known = cookie.len().min(COOKIE.len());
    if cookie.get(..known) != COOKIE.get(..known) {
        return Verdict::Unknown;
    }
    if known < COOKIE.len() {
        return Verdict::More;
    }
    Verdict::Is(protocol)
}

/// The content type of a record that holds a handshake, and the version that every record has since.
const TLS_HANDSHAKE: u8 = 0x16;
const TLS_MAJOR: u8 = 3;

/// The types of the requests that strangers begin with, without their first byte.
const BINDING: u8 = 1;
const ALLOCATE: u8 = 3;

const PREFIX: usize = 2;
const COOKIE_AT: usize = 4;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER_LEN: usize = 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHECK: [u8; 8] = [0, 1, 0, 0x58, 0x21, 0x12, 0xa4, 0x42];
    const ALLOCATION: [u8; 8] = [0, 3, 0, 8, 0x21, 0x12, 0xa4, 0x42];

    fn framed(length: u16) -> Vec<u8> {
        [&length.to_be_bytes()[..], &CHECK].concat()
    }

    #[test]
    fn each_is_known_by_its_first_bytes() {
        for (bytes, protocol) in [
            (vec![0x16, 3, 1, 2, 0], Protocol::Tls),
            (vec![0x16, 3, 3], Protocol::Tls),
            (b"GET / HTTP/1.1\r\n".to_vec(), Protocol::Http),
            (b"OPTIONS".to_vec(), Protocol::Http),
            (b"P".to_vec(), Protocol::Http),
            (ALLOCATION.to_vec(), Protocol::Turn),
            (CHECK.to_vec(), Protocol::Turn),
            (framed(20), Protocol::Framed),
            (framed(0x6c), Protocol::Framed),
            (framed(0x103), Protocol::Framed),
            (framed(2048), Protocol::Framed),
        ] {
            assert_eq!(told_by(&bytes), Verdict::Is(protocol), "{bytes:?}");
        }
    }

    #[test]
    fn what_nobody_begins_with_is_refused_at_the_byte_that_says_so() {
        for bytes in [
            b"g".as_slice(),
            &[0x16, 2],
            &[0x80],
            // Of ChannelData, of other requests, of frames that hold no check.
            &[0x40],
            &[0, 4],
            &[0, 19],
            &[8, 1],
            &[0, 1, 0, 3],
            &[0, 1, 0, 8, 0x20],
            &[0, 0x6c, 0x80],
            &[0, 0x6c, 0, 3],
            &[0, 0x6c, 0, 1, 0, 0x58, 0x21, 0x12, 0xa4, 0x43],
        ] {
            let (_, before) = bytes.split_last().unwrap();
            assert_eq!(told_by(bytes), Verdict::Unknown, "{bytes:?}");
            assert_eq!(told_by(before), Verdict::More, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn a_verdict_comes_in_time_and_stays(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(3), Just(0x16), Just(0x21), Just(0x12), Just(0xa4), Just(0x42)], 0..40),
            ],
        ) {
            let mut settled = None;
            for length in 0..=bytes.len() {
                let (begun, _) = bytes.split_at(length);
                let verdict = told_by(begun);
                prop_assert!(length < MOST || verdict != Verdict::More);
                prop_assert_eq!(settled.unwrap_or(verdict), verdict);
                settled = (verdict != Verdict::More).then_some(verdict);
            }
        }
    }
}
