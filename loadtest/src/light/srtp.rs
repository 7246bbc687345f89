//! Keys of one peer and what is sealed and opened with them (RFC 3711; keys by RFC 5764, section 4.2).

use dimpl::SrtpProfile;
use rtc_crypto::RTCCryptoProvider as _;
use rtc_crypto::providers::AwsLcRsProvider;
use srtp::context::Context;
use srtp::protection_profile::ProtectionProfile;

/// The cryptography of the contexts; it holds no state.
static CRYPTO: AwsLcRsProvider = AwsLcRsProvider::new();

/// Both directions.
pub(crate) struct Keys {
    inbound: Context,
    outbound: Context,
}

impl Keys {
    /// Splits what DTLS exported; `None` when the profile is unknown or the material too short.
    pub(crate) fn new(profile: SrtpProfile, material: &[u8], is_client: bool) -> Option<Self> {
        let (profile, key_len, salt_len) = match profile {
            SrtpProfile::AEAD_AES_128_GCM => (ProtectionProfile::AeadAes128Gcm, 16, 12),
            SrtpProfile::AEAD_AES_256_GCM => (ProtectionProfile::AeadAes256Gcm, 32, 12),
            SrtpProfile::AES128_CM_SHA1_80 => (ProtectionProfile::Aes128CmHmacSha1_80, 16, 14),
            _ => return None,
        };
        let (client_key, rest) = material.split_at_checked(key_len)?;
        let (server_key, rest) = rest.split_at_checked(key_len)?;
        let (client_salt, rest) = rest.split_at_checked(salt_len)?;
        let server_salt = rest.get(..salt_len)?;
        let context = |key, salt| Context::new(key, salt, profile, None, None, CRYPTO.crypto());
        let client = context(client_key, client_salt).ok()?;
        let server = context(server_key, server_salt).ok()?;
        let (inbound, outbound) = if is_client {
            (server, client)
        } else {
            (client, server)
        };
        Some(Self { inbound, outbound })
    }

    /// Returns the whole packet in the clear; `None` when it was not made with the key.
    pub(crate) fn open_rtp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.inbound.decrypt_rtp(packet).ok().map(Into::into)
    }

    /// The same of RTCP.
    pub(crate) fn open_rtcp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.inbound.decrypt_rtcp(packet).ok().map(Into::into)
    }

    /// Returns the sealed packet.
    pub(crate) fn seal_rtp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.outbound.encrypt_rtp(packet).ok().map(Into::into)
    }

    /// The same of RTCP.
    pub(crate) fn seal_rtcp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.outbound.encrypt_rtcp(packet).ok().map(Into::into)
    }
}
