//! Connectivity checks of a controlling agent, written and read (RFC 8489; RFC 8445, section 7).

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::hmac;

/// Ties an answer to its request.
pub(crate) type Transaction = [u8; 12];

/// One end's name and password (RFC 8445, section 5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) ufrag: String,
    pub(crate) pwd: String,
}

impl Credentials {
    /// Makes fresh ones, of the lengths that browsers use.
    pub(crate) fn random() -> Self {
        Self {
            ufrag: format!("{:08x}", rand::random::<u32>()),
            pwd: format!("{:032x}", rand::random::<u128>()),
        }
    }
}

/// A message that proved itself with a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// An answer to a check of ours.
    Success(Transaction),
    /// A check by the server, to be answered.
    Request(Transaction),
    /// The server refused a check.
    Refused(Transaction),
}

/// Writes a check; `nominates` says that this pair is the one to use.
pub(crate) fn request(
    transaction: Transaction,
    local: &Credentials,
    remote: &Credentials,
    tie_breaker: u64,
    nominates: bool,
) -> Vec<u8> {
    let mut message = start(BINDING_REQUEST, transaction);
    let name = format!("{}:{}", remote.ufrag, local.ufrag);
    attribute(&mut message, USERNAME, name.as_bytes());
    attribute(&mut message, ICE_CONTROLLING, &tie_breaker.to_be_bytes());
    attribute(&mut message, PRIORITY, &HOST_PRIORITY.to_be_bytes());
    if nominates {
        attribute(&mut message, USE_CANDIDATE, &[]);
    }
    finish(message, &remote.pwd)
}

/// Writes the answer to a check of the server, which tells it its address.
pub(crate) fn success(transaction: Transaction, local: &Credentials, to: SocketAddr) -> Vec<u8> {
    let mut message = start(BINDING_SUCCESS, transaction);
    let [cookie0, cookie1, ..] = MAGIC_COOKIE;
    let port = to.port() ^ u16::from_be_bytes([cookie0, cookie1]);
    let mask: Vec<u8> = MAGIC_COOKIE.into_iter().chain(transaction).collect();
    let (family, address) = match to.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let mut value = vec![0, family];
    value.extend(port.to_be_bytes());
    value.extend(address.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    attribute(&mut message, XOR_MAPPED_ADDRESS, &value);
    finish(message, &local.pwd)
}

/// Reads a message; `None` when it is none or does not prove itself.
pub(crate) fn parse(datagram: &[u8], local_pwd: &str, remote_pwd: &str) -> Option<Incoming> {
    let (&[t0, t1, l0, l1, c0, c1, c2, c3, transaction @ ..], body) =
        datagram.split_first_chunk::<HEADER_LEN>()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if [c0, c1, c2, c3] != MAGIC_COOKIE || length != body.len() {
        return None;
    }
    let (incoming, pwd) = match u16::from_be_bytes([t0, t1]) {
        BINDING_REQUEST => (Incoming::Request(transaction), local_pwd),
        BINDING_SUCCESS => (Incoming::Success(transaction), remote_pwd),
        BINDING_ERROR => (Incoming::Refused(transaction), remote_pwd),
        _ => return None,
    };
    proves(datagram, pwd).then_some(incoming)
}

/// Returns whether MESSAGE-INTEGRITY fits (RFC 8489, section 14.5).
fn proves(message: &[u8], pwd: &str) -> bool {
    let mut at = HEADER_LEN;
    while let Some(&[t0, t1, l0, l1]) = message.get(at..).and_then(|rest| rest.first_chunk()) {
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if u16::from_be_bytes([t0, t1]) == MESSAGE_INTEGRITY {
            let Some(tag) = message.get(at + 4..at + 4 + length) else {
                return false;
            };
            let Ok(covered) = u16::try_from(at + 4 + length - HEADER_LEN) else {
                return false;
            };
            let mut head = message[..at].to_vec();
            head[2..4].copy_from_slice(&covered.to_be_bytes());
            return hmac::verify(&key(pwd), &head, tag).is_ok();
        }
        at += 4 + length.next_multiple_of(4);
    }
    false
}

fn start(kind: u16, transaction: Transaction) -> Vec<u8> {
    let mut message = kind.to_be_bytes().to_vec();
    message.extend([0, 0]);
    message.extend(MAGIC_COOKIE);
    message.extend(transaction);
    message
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend(u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// Appends MESSAGE-INTEGRITY and FINGERPRINT, each over a length that counts it.
fn finish(mut message: Vec<u8>, pwd: &str) -> Vec<u8> {
    set_length(&mut message, INTEGRITY_LEN);
    let tag = hmac::sign(&key(pwd), &message);
    attribute(&mut message, MESSAGE_INTEGRITY, tag.as_ref());
    set_length(&mut message, FINGERPRINT_LEN);
    let sum = crc32(&message) ^ FINGERPRINT_XOR;
    attribute(&mut message, FINGERPRINT, &sum.to_be_bytes());
    message
}

fn set_length(message: &mut [u8], more: usize) {
    let length = u16::try_from(message.len() - HEADER_LEN + more).unwrap_or(0);
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

fn key(pwd: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, pwd.as_bytes())
}

/// ITU V.42, bit by bit: a check is some hundred bytes.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(sum & 1))
        })
    };
    !bytes.iter().fold(!0, step)
}

const HEADER_LEN: usize = 20;
const INTEGRITY_LEN: usize = 24;
const FINGERPRINT_LEN: usize = 8;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const FINGERPRINT_XOR: u32 = 0x5354_554e;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLING: u16 = 0x802a;
/// That of a peer-reflexive candidate (RFC 8445, section 5.1.2.1).
const HOST_PRIORITY: u32 = 110 << 24 | 0xffff << 8 | 255;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769, section 2.1: a request with a password known.
    const SAMPLE: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\x80\x22\x00\x10STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\x80\x28\x00\x04\xe5\x7a\x3b\xcf";

    #[test]
    fn the_sample_of_the_standard_proves_itself() {
        let pwd = "VOkJxbRl1RmTxUk/WvJxBt";
        let Some(Incoming::Request(transaction)) = parse(SAMPLE, pwd, "") else {
            panic!("not read");
        };
        assert_eq!(transaction[..2], [0xb7, 0xe7]);
        assert_eq!(parse(SAMPLE, "other", pwd), None);
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        let (head, sum) = SAMPLE.split_at(SAMPLE.len() - 8);
        let expected = u32::from_be_bytes(sum[4..].try_into().unwrap());
        assert_eq!(crc32(head) ^ FINGERPRINT_XOR, expected);
    }

    #[test]
    fn a_check_and_its_answer_prove_themselves_to_the_other_end() {
        let (ours, theirs) = (Credentials::random(), Credentials::random());
        let sent = request([7; 12], &ours, &theirs, 1, true);
        assert_eq!(
            parse(&sent, &theirs.pwd, &ours.pwd),
            Some(Incoming::Request([7; 12]))
        );
        let answer = success([7; 12], &theirs, "127.0.0.1:5000".parse().unwrap());
        assert_eq!(
            parse(&answer, &ours.pwd, &theirs.pwd),
            Some(Incoming::Success([7; 12]))
        );
        for cut in 0..answer.len() {
            assert_eq!(parse(&answer[..cut], &ours.pwd, &theirs.pwd), None);
        }
    }
}
