//! Lines that the server's offers and answers share.

use std::fmt::Write as _;
use std::net::SocketAddr;

use klieg_sfu::{DtlsRole, IceCredentials, PayloadFormat, SsrcPair};

use super::offer::CNAME;
use super::{MediaConfig, codecs};

/// Identity of a description (RFC 9429, section 5.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// 63 random bits, the same for all descriptions of a session.
    pub session_id: u64,
    /// Rises by one with each description.
    pub version: u64,
}

/// The server's end of the transport, in one description.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a> {
    /// What all descriptions of the server say.
    pub config: &'a MediaConfig,
    /// Which description of which session it is.
    pub origin: Origin,
    /// The server's side of ICE.
    pub ice: &'a IceCredentials,
}

/// What `a=setup` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LocalSetup {
    /// An offer leaves the choice to the peer (RFC 8842, section 5.2).
    Offer,
    /// An answer tells it.
    Answer(DtlsRole),
}

/// A description that is being written.
#[derive(Debug, Default)]
pub(super) struct Writer(String);

impl Writer {
    /// Starts a description whose accepted m-lines are those of `bundle`.
    pub(super) fn start(origin: Origin, bundle: &[&str]) -> Self {
        let mut writer = Self::default();
        let Origin {
            session_id,
            version,
        } = origin;
        writer.line(format_args!("v=0"));
        writer.line(format_args!("o=- {session_id} {version} IN IP4 127.0.0.1"));
        writer.line(format_args!("s=-"));
        writer.line(format_args!("t=0 0"));
        writer.transport_of_session(bundle);
        writer
    }

    fn transport_of_session(&mut self, bundle: &[&str]) {
        if !bundle.is_empty() {
            self.line(format_args!("a=group:BUNDLE {}", bundle.join(" ")));
        }
        self.line(format_args!("a=ice-lite"));
        self.line(format_args!("a=ice-options:trickle ice2"));
    }

    /// Writes a fragment with the server's end of the transport (RFC 8840, section 9).
    pub(super) fn fragment<'a>(
        local: &Local<'_>,
        m_lines: impl Iterator<Item = (String, Option<&'a str>)>,
        bundle: &[&str],
    ) -> String {
        let mut writer = Self::default();
        writer.transport_of_session(bundle);
        for (m_line, mid) in m_lines {
            writer.line(format_args!("m={m_line}"));
            if let Some(mid) = mid {
                writer.line(format_args!("a=mid:{mid}"));
            }
            writer.ice(local);
            writer.candidates(local);
        }
        writer.finish()
    }

    /// Writes one line and its end.
    pub(super) fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(line);
        self.0.push_str("\r\n");
    }

    pub(super) fn flag(&mut self, name: &str, present: bool) {
        if present {
            self.line(format_args!("a={name}"));
        }
    }

    /// Writes an m-line that carries nothing (RFC 3264, section 6).
    pub(super) fn rejected(&mut self, media: &str, proto: &str, format: &str, mid: Option<&str>) {
        self.line(format_args!("m={media} 0 {proto} {format}"));
        self.line(format_args!("c=IN IP4 0.0.0.0"));
        if let Some(mid) = mid {
            self.line(format_args!("a=mid:{mid}"));
        }
        self.line(format_args!("a=inactive"));
    }

    /// Writes an m-line and its transport.
    ///
    /// ICE and DTLS are said again below each m-line, bundled or not: peers that look only there exist,
    /// and the others compare and find no difference.
    pub(super) fn accepted(
        &mut self,
        m_line: std::fmt::Arguments<'_>,
        local: &Local<'_>,
        setup: LocalSetup,
        with_candidates: bool,
    ) {
        self.line(m_line);
        self.line(format_args!("c=IN IP4 0.0.0.0"));
        if with_candidates {
            self.candidates(local);
        }
        self.ice(local);
        let hash: Vec<_> = local
            .config
            .fingerprint
            .0
            .iter()
            .map(|b| format!("{b:02X}"))
            .collect();
        self.line(format_args!("a=fingerprint:sha-256 {}", hash.join(":")));
        let setup = match setup {
            LocalSetup::Offer => "actpass",
            LocalSetup::Answer(DtlsRole::Server) => "passive",
            LocalSetup::Answer(DtlsRole::Client) => "active",
        };
        self.line(format_args!("a=setup:{setup}"));
    }

    fn ice(&mut self, local: &Local<'_>) {
        self.line(format_args!("a=ice-ufrag:{}", local.ice.ufrag));
        self.line(format_args!("a=ice-pwd:{}", local.ice.pwd));
    }

    fn candidates(&mut self, local: &Local<'_>) {
        let (udp, tcp) = (&local.config.candidates, &local.config.tcp_candidates);
        for (index, address) in udp.iter().enumerate() {
            self.candidate(index, *address);
        }
        for (index, address) in tcp.iter().enumerate() {
            self.tcp_candidate(udp.len() + index + 1, index, *address);
        }
        self.line(format_args!("a=end-of-candidates"));
    }

    /// Writes a host candidate (RFC 8839, section 5.1); earlier ones have priority (RFC 8445, 5.1.2.1).
    fn candidate(&mut self, index: usize, address: SocketAddr) {
        const HOST_PREFERENCE: u32 = 126;
        let local_preference = u32::from(u16::MAX) - u32::try_from(index).unwrap_or(0).min(0xffff);
        let priority = HOST_PREFERENCE << 24 | local_preference << 8 | 255;
        let (foundation, ip, port) = (index + 1, address.ip(), address.port());
        self.line(format_args!(
            "a=candidate:{foundation} 1 udp {priority} {ip} {port} typ host"
        ));
    }

    /// Writes a host candidate to connect to (RFC 6544, section 4.5): whatever works by UDP goes before it, as the table of
    /// section 4.2 has it, and of these those that are listed earlier.
    fn tcp_candidate(&mut self, foundation: usize, index: usize, address: SocketAddr) {
        const TCP_HOST_PREFERENCE: u32 = 90;
        const PASSIVE: u32 = 4;
        let other_preference = 0x1fff - u32::try_from(index).unwrap_or(0).min(0x1fff);
        let local_preference = PASSIVE << 13 | other_preference;
        let priority = TCP_HOST_PREFERENCE << 24 | local_preference << 8 | 255;
        let (ip, port) = (address.ip(), address.port());
        self.line(format_args!(
            "a=candidate:{foundation} 1 tcp {priority} {ip} {port} typ host tcptype passive"
        ));
    }

    /// Writes a payload type, its feedback, its redundant form, before it or behind, and its retransmissions.
    pub(super) fn payload(&mut self, payload: &PayloadFormat, prefers_red: bool, parameters: &str) {
        if prefers_red {
            self.redundant(payload);
        }
        self.format(payload, parameters);
        if !prefers_red {
            self.redundant(payload);
        }
        if let Some(rtx) = payload.rtx_payload_type {
            self.line(format_args!("a=rtpmap:{rtx} rtx/90000"));
            self.line(format_args!("a=fmtp:{rtx} apt={}", payload.payload_type));
        }
    }

    fn redundant(&mut self, payload: &PayloadFormat) {
        if let Some(red) = payload.red_payload_type {
            let block = payload.payload_type;
            self.line(format_args!("a=rtpmap:{red} red/48000/2"));
            self.line(format_args!("a=fmtp:{red} {block}/{block}"));
        }
    }

    fn format(&mut self, payload: &PayloadFormat, parameters: &str) {
        let payload_type = payload.payload_type;
        self.line(format_args!(
            "a=rtpmap:{payload_type} {}",
            codecs::rtpmap(payload.format.codec)
        ));
        for (name, negotiated) in [
            ("transport-cc", payload.feedback.transport_cc),
            ("goog-remb", payload.feedback.remb),
            ("ccm fir", payload.feedback.fir),
            ("nack", payload.feedback.nack),
            ("nack pli", payload.feedback.pli),
        ] {
            if negotiated {
                self.line(format_args!("a=rtcp-fb:{payload_type} {name}"));
            }
        }
        if !parameters.is_empty() {
            self.line(format_args!("a=fmtp:{payload_type} {parameters}"));
        }
    }

    /// Announces the streams that the server sends on an m-line (RFC 5576).
    pub(super) fn ssrcs(&mut self, pair: SsrcPair) {
        if let Some(rtx) = pair.rtx {
            self.line(format_args!("a=ssrc-group:FID {} {rtx}", pair.media));
        }
        for ssrc in [Some(pair.media), pair.rtx].into_iter().flatten() {
            self.line(format_args!("a=ssrc:{ssrc} cname:{CNAME}"));
        }
    }

    /// Returns the description.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// Returns the payload types of an m-line as it lists them: of each format, and whether its redundant form comes first.
pub(super) fn payload_types<'a>(
    payloads: impl Iterator<Item = (&'a PayloadFormat, bool)>,
) -> String {
    let numbers = payloads.flat_map(|(payload, prefers_red)| {
        let mut numbers = [
            Some(payload.payload_type),
            payload.red_payload_type,
            payload.rtx_payload_type,
        ];
        if prefers_red {
            numbers.swap(0, 1);
        }
        numbers.into_iter().flatten()
    });
    numbers
        .map(|number| number.to_string())
        .collect::<Vec<_>>()
        .join(" ")
}
