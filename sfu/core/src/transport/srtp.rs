//! Protects and opens one peer's RTP and RTCP (RFC 3711; keys by RFC 5764, section 4.2).

use dimpl::SrtpProfile;

use super::cipher::{Cipher, MediaIndex, RTCP_CLEAR_LEN, Refusal};
use super::replay::Streams;
use crate::command::DtlsRole;

/// SRTCP packets under one key (RFC 3711, section 9.2).
const MAX_CONTROL: u32 = 1 << 31;

/// Both directions of one peer.
pub(super) struct Srtp {
    inbound: Inbound,
    outbound: Direction,
    /// What was received: a window a stream, made only for packets that proved themselves.
    media: Streams<16>,
    /// The same of RTCP.
    control: Streams<2>,
    /// Whether the last packet opened was the newest of its stream.
    is_newest: bool,
    /// Index of the last RTCP packet sent.
    control_index: u32,
}

impl Srtp {
    /// Makes the keys of both directions from what DTLS exported (RFC 5764, section 4.2).
    pub(super) fn new(profile: SrtpProfile, material: &[u8], role: DtlsRole) -> Option<Self> {
        let (key_len, salt_len) = match profile {
            SrtpProfile::AEAD_AES_128_GCM => (16, 12),
            SrtpProfile::AEAD_AES_256_GCM => (32, 12),
            SrtpProfile::AES128_CM_SHA1_80 => (16, 14),
            _ => return None,
        };
        let (client_key, rest) = material.split_at_checked(key_len)?;
        let (server_key, rest) = rest.split_at_checked(key_len)?;
        let (client_salt, rest) = rest.split_at_checked(salt_len)?;
        let server_salt = rest.get(..salt_len)?;
        let (client, server) = ((client_key, client_salt), (server_key, server_salt));
        let (inbound, outbound) = match role {
            DtlsRole::Server => (client, server),
            DtlsRole::Client => (server, client),
        };
        Some(Self {
            inbound: Inbound::new(profile, inbound.0, inbound.1)?,
            outbound: Direction::new(profile, outbound.0, outbound.1)?,
            media: Streams::new(),
            control: Streams::new(),
            is_newest: false,
            control_index: 0,
        })
    }

    /// Opens an SRTP packet into `plaintext`.
    pub(super) fn open_rtp(
        &mut self,
        packet: &[u8],
        plaintext: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let header = RtpHeader::parse(packet).ok_or(Refusal::Malformed)?;
        let index = self.media.index(header.ssrc, header.seq);
        if !self.media.is_new(header.ssrc, index) {
            return Err(Refusal::Replayed);
        }
        plaintext.clear();
        plaintext.extend_from_slice(packet);
        let nonce = MediaIndex {
            ssrc: header.ssrc,
            index,
        };
        let cipher = self.inbound.rtp.cipher().ok_or(Refusal::Forged)?;
        let len = cipher.open_rtp(plaintext, header.len, nonce)?;
        plaintext.truncate(len);
        self.is_newest = self.media.accept(header.ssrc, index);
        Ok(())
    }

    /// Opens an SRTCP packet into `plaintext`.
    pub(super) fn open_rtcp(
        &mut self,
        packet: &[u8],
        plaintext: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let ssrc = rtcp_ssrc(packet).ok_or(Refusal::Malformed)?;
        let index = self
            .inbound
            .rtcp
            .rtcp_index(packet)
            .ok_or(Refusal::Malformed)?;
        if !self.control.is_new(ssrc, u64::from(index)) {
            return Err(Refusal::Replayed);
        }
        plaintext.clear();
        plaintext.extend_from_slice(packet);
        let len = self.inbound.rtcp.open_rtcp(plaintext, ssrc, index)?;
        plaintext.truncate(len);
        self.is_newest = self.control.accept(ssrc, u64::from(index));
        Ok(())
    }

    /// Returns whether the last packet opened was the newest of its stream.
    pub(super) fn is_newest(&self) -> bool {
        self.is_newest
    }

    /// Returns whether nothing was sent under the key of RTCP.
    pub(super) fn is_fresh(&self) -> bool {
        self.control_index == 0
    }

    /// Seals an RTP packet in place and returns its length; `None` when it does not fit.
    pub(super) fn seal_rtp(
        &mut self,
        packet: &mut [u8],
        header_len: usize,
        plaintext_len: usize,
        roc: u32,
    ) -> Option<usize> {
        let &[_, _, s0, s1, _, _, _, _, r0, r1, r2, r3] = packet.first_chunk()?;
        let seq = u64::from(u16::from_be_bytes([s0, s1]));
        let ssrc = u32::from_be_bytes([r0, r1, r2, r3]);
        let index = (u64::from(roc) << 16) | seq;
        let nonce = MediaIndex { ssrc, index };
        self.outbound
            .rtp
            .seal_rtp(packet, header_len, plaintext_len, nonce)
    }

    /// Appends the sealed form of an RTCP compound to `out`; `false` when there is none.
    pub(super) fn seal_rtcp(&mut self, compound: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(ssrc) = rtcp_ssrc(compound) else {
            return false;
        };
        // RFC 3711, section 9.2: the index must not come round under one key.
        let Some(index) = self
            .control_index
            .checked_add(1)
            .filter(|index| *index < MAX_CONTROL)
        else {
            return false;
        };
        self.control_index = index;
        self.outbound
            .rtcp
            .seal_rtcp(compound, ssrc, index, out)
            .is_some()
    }
}

/// Session keys of what the peer sends.
struct Inbound {
    rtp: MediaKey,
    rtcp: Cipher,
}

/// The key of the peer's media, expanded for its first packet: a viewer sends none.
enum MediaKey {
    /// What it is made of.
    Folded {
        profile: SrtpProfile,
        key: Box<[u8]>,
        salt: Box<[u8]>,
    },
    Expanded(Cipher),
}

impl Inbound {
    fn new(profile: SrtpProfile, key: &[u8], salt: &[u8]) -> Option<Self> {
        let rtcp = Cipher::new(profile, key, salt, 3)?;
        let (key, salt) = (key.into(), salt.into());
        let rtp = MediaKey::Folded { profile, key, salt };
        Some(Self { rtp, rtcp })
    }
}

impl MediaKey {
    fn cipher(&mut self) -> Option<&mut Cipher> {
        if let Self::Folded { profile, key, salt } = self {
            *self = Self::Expanded(Cipher::new(*profile, key, salt, 0)?);
        }
        match self {
            Self::Expanded(cipher) => Some(cipher),
            Self::Folded { .. } => None,
        }
    }
}

/// Session keys of one direction.
struct Direction {
    rtp: Cipher,
    rtcp: Cipher,
}

impl Direction {
    fn new(profile: SrtpProfile, key: &[u8], salt: &[u8]) -> Option<Self> {
        Some(Self {
            rtp: Cipher::new(profile, key, salt, 0)?,
            rtcp: Cipher::new(profile, key, salt, 3)?,
        })
    }
}

/// The parts of an RTP header that protection needs.
struct RtpHeader {
    len: usize,
    seq: u16,
    ssrc: u32,
}

impl RtpHeader {
    fn parse(packet: &[u8]) -> Option<Self> {
        let &[first, _, s0, s1, _, _, _, _, r0, r1, r2, r3] = packet.first_chunk()?;
        let mut len = 12 + usize::from(first & 0x0f) * 4;
        if first & 0x10 != 0 {
            let &[_, _, l0, l1] = packet.get(len..)?.first_chunk()?;
            len += 4 + usize::from(u16::from_be_bytes([l0, l1])) * 4;
        }
        let ssrc = u32::from_be_bytes([r0, r1, r2, r3]);
        (len <= packet.len()).then_some(Self {
            len,
            seq: u16::from_be_bytes([s0, s1]),
            ssrc,
        })
    }
}

fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    let &[_, _, _, _, r0, r1, r2, r3] = packet.first_chunk::<RTCP_CLEAR_LEN>()?;
    Some(u32::from_be_bytes([r0, r1, r2, r3]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::TAG_ROOM;
    use crate::transport::stun::CRYPTO;
    use rtc_crypto::RTCCryptoProvider;
    use srtp::context::Context;
    use srtp::protection_profile::ProtectionProfile;

    const PROFILES: [(SrtpProfile, ProtectionProfile, usize, usize); 3] = [
        (
            SrtpProfile::AEAD_AES_128_GCM,
            ProtectionProfile::AeadAes128Gcm,
            16,
            12,
        ),
        (
            SrtpProfile::AEAD_AES_256_GCM,
            ProtectionProfile::AeadAes256Gcm,
            32,
            12,
        ),
        (
            SrtpProfile::AES128_CM_SHA1_80,
            ProtectionProfile::Aes128CmHmacSha1_80,
            16,
            14,
        ),
    ];

    fn rtp(seq: u16, with_extension: bool) -> (Vec<u8>, usize) {
        let first = if with_extension { 0x90 } else { 0x80 };
        let [s0, s1] = seq.to_be_bytes();
        let mut packet = vec![first, 0x60, s0, s1, 0, 0, 0, 9, 0, 0, 0, 7];
        if with_extension {
            // Padded, as browsers do.
            packet.extend_from_slice(&[0xbe, 0xde, 0, 2, 0x51, 1, 2, 0, 0, 0, 0, 0]);
        }
        let header_len = packet.len();
        packet.extend_from_slice(&[0xab; 300]);
        (packet, header_len)
    }

    /// A server, the client's context for what it sends, and the one for what it gets.
    fn ends(number: usize) -> (Srtp, Context, Context) {
        let (profile, theirs, key_len, salt_len) = PROFILES[number];
        let material: Vec<u8> = (0..=255).take(2 * (key_len + salt_len)).collect();
        let (keys, salts) = material.split_at(2 * key_len);
        let context = |key: &[u8], salt: &[u8]| {
            Context::new(key, salt, theirs, None, None, CRYPTO.crypto()).unwrap()
        };
        let client = context(&keys[..key_len], &salts[..salt_len]);
        let server = context(&keys[key_len..], &salts[salt_len..]);
        (
            Srtp::new(profile, &material, DtlsRole::Server).unwrap(),
            client,
            server,
        )
    }

    #[test]
    fn another_implementation_opens_what_is_sealed_over_rollovers() {
        for number in 0..PROFILES.len() {
            let (mut server, _, mut opener) = ends(number);
            for index in (0..200_000u32).step_by(997) {
                let (roc, seq) = (index >> 16, u16::try_from(index & 0xffff).unwrap());
                let (plain, header_len) = rtp(seq, index % 2 == 0);
                let mut packet = plain.clone();
                packet.resize(plain.len() + TAG_ROOM, 0);
                let len = server
                    .seal_rtp(&mut packet, header_len, plain.len(), roc)
                    .unwrap();
                let opened = opener.decrypt_rtp(&packet[..len]).unwrap();
                assert_eq!(opened, plain, "profile {number}, index {index}");
            }
        }
    }

    #[test]
    fn what_another_implementation_seals_is_opened_over_rollovers() {
        for number in 0..PROFILES.len() {
            let (mut server, mut sealer, _) = ends(number);
            let mut opened = Vec::new();
            for index in (0..200_000u32).step_by(997) {
                let (plain, _) = rtp(u16::try_from(index & 0xffff).unwrap(), false);
                let sealed = sealer.encrypt_rtp(&plain).unwrap();
                assert_eq!(server.open_rtp(&sealed, &mut opened), Ok(()));
                assert_eq!(opened, plain, "profile {number}, index {index}");
                assert_eq!(
                    server.open_rtp(&sealed, &mut opened),
                    Err(Refusal::Replayed)
                );
            }
        }
    }

    #[test]
    fn control_goes_both_ways() {
        let report = [
            0x80, 201, 0, 1, 0, 0, 0, 7, 0x81, 202, 0, 2, 0, 0, 0, 7, 1, 1, b'a', 0,
        ];
        for number in 0..PROFILES.len() {
            let (mut server, mut sealer, mut opener) = ends(number);
            for _ in 0..100 {
                let mut sealed = b"before".to_vec();
                assert!(server.seal_rtcp(&report, &mut sealed));
                assert_eq!(
                    opener.decrypt_rtcp(&sealed[6..]).unwrap(),
                    report.as_slice()
                );
                let sealed = sealer.encrypt_rtcp(&report).unwrap();
                let mut opened = Vec::new();
                assert_eq!(server.open_rtcp(&sealed, &mut opened), Ok(()));
                assert_eq!(opened, report);
                assert_eq!(
                    server.open_rtcp(&sealed, &mut opened),
                    Err(Refusal::Replayed)
                );
            }
        }
    }

    #[test]
    fn a_changed_byte_is_refused_and_moves_nothing() {
        for number in 0..PROFILES.len() {
            let (mut server, mut sealer, _) = ends(number);
            let sealed = sealer.encrypt_rtp(&rtp(5, true).0).unwrap();
            let mut opened = Vec::new();
            for place in 0..sealed.len() {
                let mut changed = sealed.to_vec();
                changed[place] ^= 0x01;
                assert!(
                    server.open_rtp(&changed, &mut opened).is_err(),
                    "byte {place}"
                );
                assert!(server.open_rtp(&sealed[..place], &mut opened).is_err());
            }
            assert_eq!(server.open_rtp(&sealed, &mut opened), Ok(()));
        }
    }

    #[test]
    fn a_flood_of_forged_streams_leaves_no_state() {
        let (mut server, mut sealer, _) = ends(1);
        let mut opened = Vec::new();
        for ssrc in 0..5000u32 {
            let mut forged = rtp(1, false).0;
            forged[8..12].copy_from_slice(&ssrc.to_be_bytes());
            assert_eq!(server.open_rtp(&forged, &mut opened), Err(Refusal::Forged));
        }
        assert_eq!(server.media.len(), 0);
        let sealed = sealer.encrypt_rtp(&rtp(1, false).0).unwrap();
        assert_eq!(server.open_rtp(&sealed, &mut opened), Ok(()));
        assert_eq!(server.media.len(), 1);
    }
}
