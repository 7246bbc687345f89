//! STUN Binding messages of connectivity checks: read, proved and written (RFC 8489; RFC 8445, section 7).

#![warn(clippy::indexing_slicing)]

use std::net::SocketAddr;

use rtc_crypto::RTCCryptoProvider;
use rtc_crypto::providers::AwsLcRsProvider;
use stun::attributes::{
    ATTR_FINGERPRINT, ATTR_ICE_CONTROLLED, ATTR_MESSAGE_INTEGRITY, ATTR_MESSAGE_INTEGRITY_SHA256,
    ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME, AttrType, RawAttribute,
};
use stun::error_code::{CODE_ROLE_CONFLICT, CODE_UNKNOWN_ATTRIBUTE, ErrorCode};
use stun::fingerprint::{FINGERPRINT, fingerprint_value};
use stun::integrity::MessageIntegrity;
use stun::message::{
    BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, MAGIC_COOKIE, Message, MessageType, Setter,
    TransactionId,
};
use stun::textattrs::Username;
use stun::uattrs::UnknownAttributes;
use stun::xoraddr::XorMappedAddress;

use crate::command::IceCredentials;

/// The cryptography under integrity and key derivation; it holds no state.
pub(super) static CRYPTO: AwsLcRsProvider = AwsLcRsProvider::new();

/// Bytes of a message before its first attribute.
const HEADER_LEN: usize = 20;
/// RFC 8489, section 14.3: at most 508 bytes of user name.
const MAX_USERNAME_LEN: usize = 508;
/// Unknown attributes reported back; the rest of a longer list is cut.
const MAX_UNKNOWN: usize = 4;
/// The length of a FINGERPRINT attribute.
const FINGERPRINT_LEN: usize = 8;

/// A Binding message whose form is right; whether it is authentic is another question.
#[derive(Clone, Copy, Debug)]
pub(super) enum Binding<'a> {
    /// A check by the peer.
    Request(Request<'a>),
    /// An answer to a check of ours.
    Success([u8; 12]),
}

/// What a Binding request asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// Ties the answer to the request.
    pub(super) transaction: [u8; 12],
    /// The first half of USERNAME: ours.
    pub(super) local_ufrag: &'a str,
    /// The second half of USERNAME: the peer's.
    pub(super) remote_ufrag: &'a str,
    /// PRIORITY; 0 without one.
    pub(super) priority: u32,
    /// Whether the pair is nominated.
    pub(super) use_candidate: bool,
    /// Whether the peer takes the role that a lite agent cannot give away.
    pub(super) controlled: bool,
    /// Attributes that have to be understood and are not; 0 where the list ends.
    unknown: [u16; MAX_UNKNOWN],
}

impl Request<'_> {
    /// Returns whether there is an attribute that has to be understood and is not.
    pub(super) fn is_beyond_us(&self) -> bool {
        self.unknown != [0; MAX_UNKNOWN]
    }

    /// Returns the success response, which tells the peer its address.
    pub(super) fn accept(&self, pwd: &str, remote: SocketAddr) -> Option<Vec<u8>> {
        let mapped = XorMappedAddress {
            ip: remote.ip().to_canonical(),
            port: remote.port(),
        };
        self.answer(BINDING_SUCCESS, pwd, vec![Box::new(mapped)])
    }

    /// Returns 487, on which the peer takes the controlling role (RFC 8445, section 7.3.1.1).
    pub(super) fn refuse_role(&self, pwd: &str) -> Option<Vec<u8>> {
        self.refuse(pwd, CODE_ROLE_CONFLICT, vec![])
    }

    /// Returns 420 with the attributes not understood (RFC 8489, section 6.3.1).
    pub(super) fn refuse_unknown(&self, pwd: &str) -> Option<Vec<u8>> {
        let unknown = self
            .unknown
            .iter()
            .filter(|&&typ| typ != 0)
            .map(|&typ| AttrType(typ));
        let list = UnknownAttributes(unknown.collect());
        self.refuse(pwd, CODE_UNKNOWN_ATTRIBUTE, vec![Box::new(list)])
    }

    fn refuse(&self, pwd: &str, code: ErrorCode, more: Vec<Box<dyn Setter>>) -> Option<Vec<u8>> {
        let mut setters: Vec<Box<dyn Setter>> = vec![Box::new(code)];
        setters.extend(more);
        self.answer(BINDING_ERROR, pwd, setters)
    }

    fn answer(&self, typ: MessageType, pwd: &str, body: Vec<Box<dyn Setter>>) -> Option<Vec<u8>> {
        write(typ, self.transaction, pwd, body)
    }
}

/// Reads a Binding request or success response; `None` for everything else and for broken ones.
///
/// Allocates nothing: it also stands in front of forged floods.
pub(super) fn parse(datagram: &[u8]) -> Option<Binding<'_>> {
    let &header = datagram.first_chunk::<HEADER_LEN>()?;
    let [t0, t1, l0, l1, c0, c1, c2, c3, transaction @ ..] = header;
    let body = datagram.get(HEADER_LEN..)?;
    if u32::from_be_bytes([c0, c1, c2, c3]) != MAGIC_COOKIE
        || usize::from(u16::from_be_bytes([l0, l1])) != body.len()
    {
        return None;
    }
    match u16::from_be_bytes([t0, t1]) {
        0x0001 => parse_request(transaction, body).map(Binding::Request),
        0x0101 => is_sealed(body).then_some(Binding::Success(transaction)),
        _ => None,
    }
}

/// Returns whether a message that [`parse`] accepted was written by somebody who knows the password.
pub(super) fn is_authentic(datagram: &[u8], pwd: &str) -> bool {
    // The checksum is cheap: noise does not reach the hash.
    let Some((covered, fingerprint)) = datagram.split_last_chunk::<FINGERPRINT_LEN>() else {
        return false;
    };
    let &[_, _, _, _, f0, f1, f2, f3] = fingerprint;
    if fingerprint_value(covered) != u32::from_be_bytes([f0, f1, f2, f3]) {
        return false;
    }
    let mut message = Message::default();
    message.unmarshal_binary(datagram).is_ok()
        && MessageIntegrity::check(&mut message, pwd.as_bytes(), CRYPTO.crypto()).is_ok()
}

/// Returns a check of ours towards the peer, and the transaction that its answer will carry.
pub(super) fn check(
    local: &IceCredentials,
    remote: &IceCredentials,
) -> Option<([u8; 12], Vec<u8>)> {
    let TransactionId(transaction) = TransactionId::new();
    let username = format!("{}:{}", remote.ufrag, local.ufrag);
    let body: Vec<Box<dyn Setter>> = vec![
        Box::new(Username::new(ATTR_USERNAME, username)),
        Box::new(raw(
            ATTR_PRIORITY,
            PEER_REFLEXIVE_PRIORITY.to_be_bytes().to_vec(),
        )),
        Box::new(raw(ATTR_ICE_CONTROLLED, TIE_BREAKER.to_be_bytes().to_vec())),
    ];
    let datagram = write(BINDING_REQUEST, transaction, &remote.pwd, body)?;
    Some((transaction, datagram))
}

/// Low, so that in a conflict the peer keeps the controlling role; not 0, which libjuice takes for no attribute at
/// all and refuses.
const TIE_BREAKER: u64 = 1;

/// RFC 8445, section 5.1.2.1: type preference 110, one component.
const PEER_REFLEXIVE_PRIORITY: u32 = (110 << 24) | (0xffff << 8) | 255;

fn raw(typ: AttrType, value: Vec<u8>) -> RawAttribute {
    RawAttribute {
        typ,
        length: 0,
        value,
    }
}

fn write(
    typ: MessageType,
    transaction: [u8; 12],
    pwd: &str,
    body: Vec<Box<dyn Setter>>,
) -> Option<Vec<u8>> {
    let mut setters: Vec<Box<dyn Setter>> =
        vec![Box::new(typ), Box::new(TransactionId(transaction))];
    setters.extend(body);
    let integrity =
        MessageIntegrity::new_short_term_integrity_with_provider(pwd.to_owned(), CRYPTO.crypto());
    setters.push(Box::new(integrity));
    setters.push(Box::new(FINGERPRINT));
    let mut message = Message::new();
    message.build(&setters).ok()?;
    Some(message.raw)
}

fn parse_request(transaction: [u8; 12], body: &[u8]) -> Option<Request<'_>> {
    if !is_sealed(body) {
        return None;
    }
    let mut username = None;
    let mut request = Request {
        transaction,
        local_ufrag: "",
        remote_ufrag: "",
        priority: 0,
        use_candidate: false,
        controlled: false,
        unknown: [0; MAX_UNKNOWN],
    };
    let mut unknown = request.unknown.iter_mut();
    for (typ, value) in Attributes(body) {
        match AttrType(typ) {
            // What follows the integrity is not covered by it (RFC 8489, section 14.5).
            ATTR_MESSAGE_INTEGRITY => break,
            ATTR_USERNAME if username.is_none() => username = Some(value),
            ATTR_PRIORITY => {
                request.priority = u32::from_be_bytes(*value.first_chunk()?);
            }
            ATTR_USE_CANDIDATE => request.use_candidate = true,
            ATTR_ICE_CONTROLLED => request.controlled = true,
            typ if typ.required() && !is_known(typ) => {
                if let Some(slot) = unknown.next() {
                    *slot = typ.value();
                }
            }
            _ => {}
        }
    }
    let username = username.filter(|name| name.len() <= MAX_USERNAME_LEN)?;
    let (local, remote) = std::str::from_utf8(username).ok()?.split_once(':')?;
    request.local_ufrag = local;
    request.remote_ufrag = remote;
    Some(request)
}

/// Returns whether the attributes fill the body, hold an integrity, and end with a FINGERPRINT.
fn is_sealed(body: &[u8]) -> bool {
    let mut attributes = Attributes(body);
    let mut has_integrity = false;
    let mut last = 0;
    for (typ, value) in attributes.by_ref() {
        has_integrity |= AttrType(typ) == ATTR_MESSAGE_INTEGRITY && value.len() == 20;
        last = typ;
        if AttrType(typ) == ATTR_FINGERPRINT && value.len() != FINGERPRINT_LEN - 4 {
            return false;
        }
    }
    attributes.0.is_empty() && has_integrity && AttrType(last) == ATTR_FINGERPRINT
}

/// Attributes that have to be understood: those we use, and those of RFC 8489 that mean nothing in a request.
fn is_known(typ: AttrType) -> bool {
    matches!(
        typ.value(),
        0x0001 | 0x0009 | 0x000a | 0x0014 | 0x0015 | 0x0020
    ) || [
        ATTR_USERNAME,
        ATTR_PRIORITY,
        ATTR_USE_CANDIDATE,
        ATTR_MESSAGE_INTEGRITY_SHA256,
    ]
    .contains(&typ)
}

/// Walks over type and value; stops where an attribute does not fit, leaving the rest in place.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[t0, t1, l0, l1], rest) = self.0.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let value = rest.get(..len)?;
        self.0 = rest.get(len.next_multiple_of(4)..)?;
        Some((u16::from_be_bytes([t0, t1]), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn credentials(letter: &str) -> IceCredentials {
        IceCredentials {
            ufrag: letter.repeat(4),
            pwd: letter.repeat(22),
        }
    }

    fn own_check() -> Vec<u8> {
        check(&credentials("a"), &credentials("b")).unwrap().1
    }

    #[test]
    fn a_check_is_read_back() {
        let datagram = own_check();
        let Some(Binding::Request(request)) = parse(&datagram) else {
            panic!("a Binding request");
        };
        assert_eq!(
            (request.local_ufrag, request.remote_ufrag),
            ("bbbb", "aaaa")
        );
        assert_eq!(request.priority, PEER_REFLEXIVE_PRIORITY);
        assert!(request.controlled && !request.use_candidate && !request.is_beyond_us());
        let tie_breaker = [&[0x80, 0x29, 0, 8][..], &[0, 0, 0, 0, 0, 0, 0, 1]].concat();
        assert!(datagram.windows(12).any(|part| part == tie_breaker));
        assert!(is_authentic(&datagram, &credentials("b").pwd));
        assert!(!is_authentic(&datagram, &credentials("a").pwd));
    }

    #[test]
    fn every_changed_byte_breaks_a_check() {
        let datagram = own_check();
        let pwd = credentials("b").pwd;
        for place in 0..datagram.len() {
            let mut changed = datagram.clone();
            if let Some(byte) = changed.get_mut(place) {
                *byte ^= 0x04;
            }
            assert!(
                parse(&changed).is_none() || !is_authentic(&changed, &pwd),
                "byte {place}"
            );
        }
    }

    #[test]
    fn answers_are_never_longer_than_three_times_the_shortest_check() {
        let datagram = own_check();
        let Some(Binding::Request(mut request)) = parse(&datagram) else {
            panic!("a Binding request");
        };
        request.unknown = [1; MAX_UNKNOWN];
        let pwd = credentials("b").pwd;
        let remote = "[2001:db8::1]:5000".parse().unwrap();
        let answers = [request.accept(&pwd, remote), request.refuse_role(&pwd)];
        for answer in answers.into_iter().chain([request.refuse_unknown(&pwd)]) {
            // Header, the shortest user name, integrity and fingerprint.
            assert!(answer.unwrap().len() <= 3 * (20 + 12 + 24 + 8));
        }
    }

    #[test]
    fn an_ipv4_address_seen_through_an_ipv6_socket_is_told_as_ipv4() {
        let datagram = own_check();
        let Some(Binding::Request(request)) = parse(&datagram) else {
            panic!("a Binding request");
        };
        let mapped = "[::ffff:192.0.2.1]:5000".parse().unwrap();
        let plain = "192.0.2.1:5000".parse().unwrap();
        assert_eq!(request.accept("x", mapped), request.accept("x", plain));
    }

    proptest! {
        #[test]
        fn nothing_panics(datagram in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&datagram);
            let _ = is_authentic(&datagram, "password");
        }

        #[test]
        fn nothing_panics_behind_a_right_header(
            typ in prop::sample::select(vec![0x0001_u16, 0x0101]),
            body in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut datagram = typ.to_be_bytes().to_vec();
            datagram.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
            datagram.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
            datagram.extend_from_slice(&[7; 12]);
            datagram.extend_from_slice(&body);
            let _ = parse(&datagram);
            let end = datagram.len().saturating_sub(FINGERPRINT_LEN);
            if let Some((covered, tail)) = datagram.split_at_mut_checked(end) {
                // With a right checksum, so that the integrity is looked at as well.
                let sum = fingerprint_value(covered).to_be_bytes();
                for (place, byte) in tail.iter_mut().skip(4).zip(sum) {
                    *place = byte;
                }
            }
            let _ = is_authentic(&datagram, "password");
        }
    }
}
