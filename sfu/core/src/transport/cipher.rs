//! The ciphers of SRTP and SRTCP, in place (RFC 3711, section 4; AES-GCM by RFC 7714).

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use dimpl::SrtpProfile;
use rtc_crypto::{
    BlockCipherAlgorithm, HmacAlgorithm, Mac, RTCCryptoProvider, StreamCipher,
    StreamCipherAlgorithm, constant_time_eq,
};

use super::stun::CRYPTO;

/// Bytes to leave free behind a packet that is to be sealed.
pub const TAG_ROOM: usize = GCM_TAG_LEN;
/// The RTCP header up to the sender's SSRC stays readable (RFC 3711, section 3.4).
pub(super) const RTCP_CLEAR_LEN: usize = 8;

/// RFC 7714, section 13: the whole tag.
const GCM_TAG_LEN: usize = 16;
/// RFC 5764, section 4.1.2: 80 bits of HMAC-SHA1.
const SHA1_TAG_LEN: usize = 10;
/// The word with the `E` flag and the index.
const RTCP_INDEX_LEN: usize = 4;
/// Set where an RTCP packet is encrypted, and it always has to be.
const ENCRYPTED: u32 = 1 << 31;

/// Why a protected packet was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too short, or its header does not fit.
    Malformed,
    /// Seen before, or too old to know.
    Replayed,
    /// Not made with the key.
    Forged,
}

/// Which packet of which stream: what makes its nonce.
#[derive(Clone, Copy)]
pub(super) struct MediaIndex {
    pub(super) ssrc: u32,
    /// ROC and sequence number of RTP, 48 bits; the index of SRTCP, 31 bits.
    pub(super) index: u64,
}

impl MediaIndex {
    /// RFC 3711, section 4.1.1: the counter block before the salt is added.
    fn counter(self) -> [u8; 16] {
        let [s0, s1, s2, s3] = self.ssrc.to_be_bytes();
        let [_, _, i0, i1, i2, i3, i4, i5] = self.index.to_be_bytes();
        [0, 0, 0, 0, s0, s1, s2, s3, i0, i1, i2, i3, i4, i5, 0, 0]
    }

    /// RFC 7714, sections 8.1 and 9.1: the same two bytes shorter.
    fn nonce(self, salt: &[u8; 12]) -> Nonce {
        let [s0, s1, s2, s3] = self.ssrc.to_be_bytes();
        let [_, _, i0, i1, i2, i3, i4, i5] = self.index.to_be_bytes();
        let mut nonce = [0, 0, s0, s1, s2, s3, i0, i1, i2, i3, i4, i5];
        for (byte, salt) in nonce.iter_mut().zip(salt) {
            *byte ^= salt;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

/// One session key of one direction, for RTP or for RTCP.
pub(super) enum Cipher {
    Gcm {
        key: LessSafeKey,
        salt: [u8; 12],
    },
    CmSha1 {
        stream: Box<dyn StreamCipher>,
        mac: Box<dyn Mac>,
        salt: [u8; 14],
    },
}

impl Cipher {
    /// `label` is that of the encryption key; authentication and salt follow (RFC 3711, section 4.3.2).
    pub(super) fn new(profile: SrtpProfile, key: &[u8], salt: &[u8], label: u8) -> Option<Self> {
        let mut session_key = vec![0; key.len()];
        derive(key, salt, label, &mut session_key)?;
        let algorithm = match profile {
            SrtpProfile::AEAD_AES_128_GCM => &AES_128_GCM,
            SrtpProfile::AEAD_AES_256_GCM => &AES_256_GCM,
            SrtpProfile::AES128_CM_SHA1_80 => {
                let crypto = CRYPTO.crypto();
                let (mut session_salt, mut auth) = ([0; 14], [0; 20]);
                derive(key, salt, label + 1, &mut auth)?;
                derive(key, salt, label + 2, &mut session_salt)?;
                let algorithm = StreamCipherAlgorithm::Aes128Ctr;
                return Some(Self::CmSha1 {
                    stream: crypto.new_stream_cipher(algorithm, &session_key).ok()?,
                    mac: crypto.new_hmac(HmacAlgorithm::Sha1, &auth).ok()?,
                    salt: session_salt,
                });
            }
            _ => return None,
        };
        let mut session_salt = [0; 12];
        derive(key, salt, label + 2, &mut session_salt)?;
        let key = LessSafeKey::new(UnboundKey::new(algorithm, &session_key).ok()?);
        Some(Self::Gcm {
            key,
            salt: session_salt,
        })
    }

    pub(super) fn seal_rtp(
        &mut self,
        packet: &mut [u8],
        header_len: usize,
        len: usize,
        at: MediaIndex,
    ) -> Option<usize> {
        let (plain, room) = packet.split_at_mut_checked(len)?;
        match self {
            Self::Gcm { key, salt } => {
                let room = room.first_chunk_mut::<GCM_TAG_LEN>()?;
                let (header, payload) = plain.split_at_mut_checked(header_len)?;
                let aad = Aad::from(&*header);
                let nonce = at.nonce(salt);
                key.seal_in_place_scatter(nonce, aad, payload, &[], room)
                    .ok()?;
                Some(len + GCM_TAG_LEN)
            }
            Self::CmSha1 { stream, mac, salt } => {
                let room = room.first_chunk_mut::<SHA1_TAG_LEN>()?;
                let payload = plain.get_mut(header_len..)?;
                stream
                    .apply_keystream(&salted(at.counter(), salt), payload)
                    .ok()?;
                *room = sha1_tag(mac.as_mut(), plain, roc(at))?;
                Some(len + SHA1_TAG_LEN)
            }
        }
    }

    /// Opens `packet` in place and returns the length of the plaintext.
    pub(super) fn open_rtp(
        &mut self,
        packet: &mut [u8],
        header_len: usize,
        at: MediaIndex,
    ) -> Result<usize, Refusal> {
        match self {
            Self::Gcm { key, salt } => {
                let (header, payload) = packet
                    .split_at_mut_checked(header_len)
                    .ok_or(Refusal::Malformed)?;
                let opened = key.open_in_place(at.nonce(salt), Aad::from(&*header), payload);
                opened
                    .map(|plain| header_len + plain.len())
                    .map_err(|_| Refusal::Forged)
            }
            Self::CmSha1 { stream, mac, salt } => {
                let (plain, tag) = packet
                    .split_last_chunk_mut::<SHA1_TAG_LEN>()
                    .ok_or(Refusal::Malformed)?;
                let expected = sha1_tag(mac.as_mut(), plain, roc(at)).ok_or(Refusal::Forged)?;
                if !constant_time_eq(&expected, tag) {
                    return Err(Refusal::Forged);
                }
                let payload = plain.get_mut(header_len..).ok_or(Refusal::Malformed)?;
                let counter = salted(at.counter(), salt);
                stream
                    .apply_keystream(&counter, payload)
                    .map_err(|_| Refusal::Forged)?;
                Ok(plain.len())
            }
        }
    }

    /// Returns the index that an SRTCP packet carries; `None` when it is too short or not encrypted.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Option<u32> {
        let body = packet.get(RTCP_CLEAR_LEN..)?;
        let body = match self {
            Self::Gcm { .. } => body.get(GCM_TAG_LEN..)?,
            Self::CmSha1 { .. } => body.split_last_chunk::<SHA1_TAG_LEN>()?.0,
        };
        let word = u32::from_be_bytes(*body.last_chunk::<RTCP_INDEX_LEN>()?);
        (word & ENCRYPTED != 0).then_some(word & !ENCRYPTED)
    }

    pub(super) fn seal_rtcp(
        &mut self,
        compound: &[u8],
        ssrc: u32,
        index: u32,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let word = (index | ENCRYPTED).to_be_bytes();
        let at = MediaIndex {
            ssrc,
            index: u64::from(index),
        };
        let start = out.len();
        out.extend_from_slice(compound);
        let packet = out.get_mut(start..)?;
        let (header, payload) = packet.split_at_mut_checked(RTCP_CLEAR_LEN)?;
        match self {
            Self::Gcm { key, salt } => {
                let aad = rtcp_aad(header, word)?;
                let nonce = at.nonce(salt);
                let tag = key
                    .seal_in_place_separate_tag(nonce, Aad::from(aad), payload)
                    .ok()?;
                out.extend_from_slice(tag.as_ref());
                out.extend_from_slice(&word);
            }
            Self::CmSha1 { stream, mac, salt } => {
                stream
                    .apply_keystream(&salted(at.counter(), salt), payload)
                    .ok()?;
                let tag = sha1_tag(mac.as_mut(), packet, word)?;
                out.extend_from_slice(&word);
                out.extend_from_slice(&tag);
            }
        }
        Some(())
    }

    /// Opens `packet` in place and returns the length of the plaintext.
    pub(super) fn open_rtcp(
        &mut self,
        packet: &mut [u8],
        ssrc: u32,
        index: u32,
    ) -> Result<usize, Refusal> {
        let word = (index | ENCRYPTED).to_be_bytes();
        let at = MediaIndex {
            ssrc,
            index: u64::from(index),
        };
        match self {
            Self::Gcm { key, salt } => {
                let (sealed, _) = packet
                    .split_last_chunk_mut::<RTCP_INDEX_LEN>()
                    .ok_or(Refusal::Malformed)?;
                let (header, payload) = sealed
                    .split_at_mut_checked(RTCP_CLEAR_LEN)
                    .ok_or(Refusal::Malformed)?;
                let aad = rtcp_aad(header, word).ok_or(Refusal::Malformed)?;
                let opened = key.open_in_place(at.nonce(salt), Aad::from(aad), payload);
                opened
                    .map(|plain| RTCP_CLEAR_LEN + plain.len())
                    .map_err(|_| Refusal::Forged)
            }
            Self::CmSha1 { stream, mac, salt } => {
                let (rest, tag) = packet
                    .split_last_chunk_mut::<SHA1_TAG_LEN>()
                    .ok_or(Refusal::Malformed)?;
                let (sealed, _) = rest
                    .split_last_chunk_mut::<RTCP_INDEX_LEN>()
                    .ok_or(Refusal::Malformed)?;
                let expected = sha1_tag(mac.as_mut(), sealed, word).ok_or(Refusal::Forged)?;
                if !constant_time_eq(&expected, tag) {
                    return Err(Refusal::Forged);
                }
                let payload = sealed.get_mut(RTCP_CLEAR_LEN..).ok_or(Refusal::Malformed)?;
                let counter = salted(at.counter(), salt);
                stream
                    .apply_keystream(&counter, payload)
                    .map_err(|_| Refusal::Forged)?;
                Ok(sealed.len())
            }
        }
    }
}

/// RFC 7714, section 9.2: the clear header and the word with the index.
fn rtcp_aad(header: &[u8], word: [u8; 4]) -> Option<[u8; 12]> {
    let &[a, b, c, d, e, f, g, h] = header.first_chunk()?;
    let [i, j, k, l] = word;
    Some([a, b, c, d, e, f, g, h, i, j, k, l])
}

fn roc(at: MediaIndex) -> [u8; 4] {
    let [_, _, roc @ .., _, _] = at.index.to_be_bytes();
    roc
}

fn salted(mut counter: [u8; 16], salt: &[u8]) -> [u8; 16] {
    for (byte, salt) in counter.iter_mut().zip(salt) {
        *byte ^= salt;
    }
    counter
}

/// RFC 3711, section 4.2: over the packet and, for RTP the ROC, for RTCP the word with the index.
fn sha1_tag(mac: &mut dyn Mac, packet: &[u8], tail: [u8; 4]) -> Option<[u8; SHA1_TAG_LEN]> {
    let mut tag = [0; 20];
    mac.sign(&[packet, &tail], &mut tag).ok()?;
    tag.first_chunk().copied()
}

/// The key derivation of RFC 3711, section 4.3 with rate 0; AES-256 by RFC 6188.
fn derive(key: &[u8], salt: &[u8], label: u8, out: &mut [u8]) -> Option<()> {
    let algorithm = match key.len() {
        16 => BlockCipherAlgorithm::Aes128,
        32 => BlockCipherAlgorithm::Aes256,
        _ => return None,
    };
    let mut input = salted([0; 16], salt);
    input[7] ^= label;
    for (count, chunk) in (0u8..).zip(out.chunks_mut(16)) {
        let mut block = input;
        block[15] = count;
        CRYPTO
            .crypto()
            .block_encrypt(algorithm, key, &mut block)
            .ok()?;
        chunk.copy_from_slice(block.get(..chunk.len())?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = {
        let mut key = [0; 32];
        let mut place = 0;
        while place < 32 {
            key[place as usize] = place;
            place += 1;
        }
        key
    };
    /// The packet of RFC 7714, section 16.1: "Gallia est omnis divisa in partes tres".
    const PLAIN: &str = "8040f17b8041f8d35501a0b2\
        47616c6c696120657374206f6d6e697320646976697361\
        20696e207061727465732074726573";
    const GALLIA: MediaIndex = MediaIndex {
        ssrc: 0x5501_a0b2,
        index: 0xf17b,
    };

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |place: usize| u8::from_str_radix(&hex[place..place + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    fn gcm(algorithm: &'static aws_lc_rs::aead::Algorithm, key: &[u8]) -> Cipher {
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key).unwrap());
        Cipher::Gcm {
            key,
            salt: bytes("517569642070726f2071756f").try_into().unwrap(),
        }
    }

    #[test]
    fn the_packets_of_rfc_7714_come_out() {
        let sealed_128 = "8040f17b8041f8d35501a0b2\
            f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833\
            899d7f27beb16a9152cf765ee4390cce";
        let sealed_256 = "8040f17b8041f8d35501a0b2\
            32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b\
            7aa3db36dfffd6b0f9bb7878d7a76c13";
        let ciphers = [gcm(&AES_128_GCM, &KEY[..16]), gcm(&AES_256_GCM, &KEY)];
        for (mut cipher, sealed) in ciphers.into_iter().zip([sealed_128, sealed_256]) {
            let mut packet = bytes(PLAIN);
            let len = packet.len();
            packet.resize(len + TAG_ROOM, 0);
            assert_eq!(
                cipher.seal_rtp(&mut packet, 12, len, GALLIA),
                Some(len + 16)
            );
            assert_eq!(packet, bytes(sealed));
            assert_eq!(cipher.open_rtp(&mut packet, 12, GALLIA), Ok(len));
            assert_eq!(packet[..len], bytes(PLAIN));
        }
    }

    #[test]
    fn the_keys_of_rfc_3711_come_out() {
        let key = bytes("e1f97a0d3e018be0d64fa32c06de4139");
        let salt = bytes("0ec675ad498afeebb6960b3aabe6");
        let derived = |label, len| {
            let mut out = vec![0; len];
            derive(&key, &salt, label, &mut out).unwrap();
            out
        };
        assert_eq!(derived(0, 16), bytes("c61e7a93744f39ee10734afe3ff7a087"));
        assert_eq!(derived(2, 14), bytes("30cbbc08863d8c85d49db34a9ae1"));
        assert_eq!(
            derived(1, 20),
            bytes("cebe321f6ff7716b6fd4ab49af256a156d38baa4")
        );
    }

    #[test]
    fn a_packet_without_room_for_the_tag_is_not_sealed() {
        let mut cipher = gcm(&AES_128_GCM, &KEY[..16]);
        let mut packet = bytes(PLAIN);
        let len = packet.len();
        assert_eq!(cipher.seal_rtp(&mut packet, 12, len, GALLIA), None);
        assert_eq!(cipher.seal_rtp(&mut packet, 12, len + 1, GALLIA), None);
        assert_eq!(cipher.seal_rtp(&mut packet, len, 12, GALLIA), None);
        assert_eq!(packet, bytes(PLAIN), "untouched");
    }
}
