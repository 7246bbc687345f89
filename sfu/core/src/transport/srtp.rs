//! Protects and opens one peer's RTP and RTCP (RFC 3711; keys by RFC 5764, section 4.2).

use dimpl::SrtpProfile;

use super::cipher::{Cipher, MediaIndex, RTCP_CLEAR_LEN, Refusal};
use super::replay::Streams;
use crate::command::DtlsRole;

/// SRTCP packets under one key (RFC 3711, section 9.2).
const MAX_CONTROL: u32 = 1 << 31;

/// Both directions of one peer.
pub(super) struct Srtp {
    inbound: Direction,
    outbound: Direction,
    /// What was received: a window a stream, made only for packets that proved themselves.
    media: Streams<16>,
    /// The same of RTCP.
    control: Streams<2>,
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
        let client = Direction::new(profile, client_key, client_salt)?;
        let server = Direction::new(profile, server_key, server_salt)?;
        let (inbound, outbound) = match role {
            DtlsRole::Server => (client, server),
            DtlsRole::Client => (server, client),
        };
        Some(Self {
            inbound,
            outbound,
            media: Streams::new(),
            control: Streams::new(),
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
        let len = self.inbound.rtp.open_rtp(plaintext, header.len, nonce)?;
        plaintext.truncate(len);
        self.media.accept(header.ssrc, index);
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
        self.control.accept(ssrc, u64::from(index));
        Ok(())
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
