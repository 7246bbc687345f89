//! Payload types: `a=rtpmap`, `a=fmtp` and `a=rtcp-fb` of an m-line (RFC 8866, RFC 4585), and those that
//! the server forwards.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use klieg_sfu::{Codec, Feedback, Format, Kind, PayloadFormat};

use super::parse::Section;

/// A payload type as an m-line describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Payload {
    /// Encoding name in lower case; empty without `a=rtpmap`.
    name: String,
    clock_rate_hz: u32,
    /// 1 where the m-line does not say.
    channels: u32,
    /// All parameters, as written; empty without `a=fmtp`.
    parameters: String,
    pub(super) feedback: Feedback,
}

/// The payload types of an m-line, in its order of preference.
#[derive(Clone, Debug, Default)]
pub(super) struct Payloads(Vec<(u8, Payload)>);

/// A payload type that the server forwards, with the parameters to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forwarded {
    pub(super) payload: PayloadFormat,
    /// Whether redundant sound stands before it: browsers send whichever comes first.
    pub(super) prefers_red: bool,
    /// What `a=fmtp` says; empty for none.
    pub(super) parameters: String,
}

impl Payloads {
    /// Collects what the lines of a section say about each payload type.
    ///
    /// Lines that cannot be read, and payload types that RTCP would be mistaken for on a shared port
    /// (64 to 95, RFC 5761, section 4), are left out: no codec of use is behind them.
    pub(super) fn of(section: &Section<'_>) -> Self {
        let mut described = BTreeMap::<u8, Payload>::new();
        for line in section.values("rtpmap") {
            if let Some((payload_type, payload)) = parse_rtpmap(line) {
                described.entry(payload_type).or_insert(payload);
            }
        }
        for line in section.values("fmtp") {
            let (payload_type, parameters) = line.split_once(' ').unwrap_or((line, ""));
            let payload = payload_type
                .parse()
                .ok()
                .and_then(|pt: u8| described.get_mut(&pt));
            if let Some(payload) = payload.filter(|payload| payload.parameters.is_empty()) {
                parameters.trim().clone_into(&mut payload.parameters);
            }
        }
        for line in section.values("rtcp-fb") {
            let (payload_type, feedback) = line.split_once(' ').unwrap_or((line, ""));
            if payload_type == "*" {
                described
                    .values_mut()
                    .for_each(|payload| payload.add_feedback(feedback));
            } else if let Ok(payload_type) = payload_type.parse::<u8>() {
                described
                    .entry(payload_type)
                    .and_modify(|payload| payload.add_feedback(feedback));
            }
        }
        // Taking each out of the map keeps the first of a payload type that is listed twice.
        let listed = section
            .formats()
            .iter()
            .filter_map(|format| format.parse::<u8>().ok());
        let usable = listed.filter(|payload_type| matches!(payload_type, 0..=63 | 96..=127));
        Self(
            usable
                .filter_map(|pt| Some((pt, described.remove(&pt)?)))
                .collect(),
        )
    }

    /// Returns every payload type with its description, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u8, &Payload)> {
        self.0
            .iter()
            .map(|(payload_type, payload)| (*payload_type, payload))
    }

    /// Returns those of a kind that the server forwards, each with the payload types of its retransmissions and its
    /// redundant form.
    pub(super) fn forwarded(&self, kind: Kind) -> Vec<Forwarded> {
        let formats = self.iter().filter_map(|(payload_type, payload)| {
            let format = payload
                .format()
                .filter(|format| format.codec.kind() == kind)?;
            let rtx = self
                .iter()
                .filter(|(_, other)| other.repairs() == Some(payload_type));
            let red = self.redundant(payload_type);
            let red = red.filter(|_| format.codec == Codec::Opus);
            Some(Forwarded {
                prefers_red: red.is_some_and(|red| self.stands_before(red, payload_type)),
                payload: PayloadFormat {
                    payload_type,
                    // Of several the lowest: preferences may change within a session, numbers not.
                    rtx_payload_type: rtx.map(|(payload_type, _)| payload_type).min(),
                    red_payload_type: red,
                    format,
                    feedback: payload.feedback,
                },
                parameters: payload.answer_parameters(format.codec),
            })
        });
        formats.collect()
    }

    /// Returns the payload type of redundant sound in which all is of this one, of several the lowest.
    pub(super) fn redundant(&self, payload_type: u8) -> Option<u8> {
        let red = self
            .iter()
            .filter(|(_, other)| other.repeats() == Some(payload_type));
        red.map(|(payload_type, _)| payload_type).min()
    }

    fn stands_before(&self, first: u8, second: u8) -> bool {
        let mut types = self.iter().map(|(payload_type, _)| payload_type);
        types.find(|it| *it == first || *it == second) == Some(first)
    }
}

impl Payload {
    /// Returns what is coded how, or `None` for a coding that the server does not forward.
    pub(super) fn format(&self) -> Option<Format> {
        let (codec, clock_rate_hz, channels) = match self.name.as_str() {
            "opus" => (Codec::Opus, 48_000, 2),
            "vp8" => (Codec::Vp8, 90_000, 1),
            "vp9" => (Codec::Vp9, 90_000, 1),
            "h264" => (Codec::H264, 90_000, 1),
            "av1" => (Codec::Av1, 90_000, 1),
            _ => return None,
        };
        if self.clock_rate_hz != clock_rate_hz || self.channels != channels {
            return None;
        }
        let number = |name| self.parameter(name).unwrap_or("0").parse::<u8>().ok();
        let (profile, packetization_mode) = match codec {
            Codec::Opus | Codec::Vp8 => (0, 0),
            Codec::Vp9 => (u16::from(number("profile-id")?), 0),
            Codec::Av1 => (u16::from(number("profile")?), 0),
            // Interleaved mode (2) reorders frames: browsers do not speak it.
            Codec::H264 => (
                self.h264_profile()?,
                number("packetization-mode").filter(|m| *m <= 1)?,
            ),
        };
        Some(Format {
            codec,
            profile,
            packetization_mode,
        })
    }

    /// Returns the payload type whose packets this one repeats (RFC 4588, section 8).
    pub(super) fn repairs(&self) -> Option<u8> {
        (self.name == "rtx").then(|| self.parameter("apt")?.parse().ok())?
    }

    /// Returns whether it is redundant sound at the rate of Opus (RFC 2198).
    pub(super) fn is_redundant(&self) -> bool {
        self.name == "red" && (self.clock_rate_hz, self.channels) == (48_000, 2)
    }

    /// Returns the payload type of which all blocks of redundant sound are (RFC 2198, section 5).
    fn repeats(&self) -> Option<u8> {
        let mut blocks = self.parameters.split('/').map(|it| it.trim().parse::<u8>());
        let first = blocks.next().filter(|_| self.is_redundant())?.ok()?;
        blocks.all(|block| block == Ok(first)).then_some(first)
    }

    /// Returns `profile_idc` and `profile-iop` of `profile-level-id` (RFC 6184, section 8.1).
    fn h264_profile(&self) -> Option<u16> {
        let Some(text) = self.parameter("profile-level-id") else {
            return Some(0x4200);
        };
        let is_hexadecimal = text.len() == 6 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let id = u32::from_str_radix(text, 16)
            .ok()
            .filter(|_| is_hexadecimal)?;
        u16::try_from(id >> 8).ok()
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        let mut parameters = self
            .parameters
            .split(';')
            .filter_map(|pair| pair.split_once('='));
        let found = parameters.find(|(key, _)| key.trim().eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    /// Returns the parameters to agree to: those that say which coding it is, not what one end can do.
    fn answer_parameters(&self, codec: Codec) -> String {
        let names: &[&str] = match codec {
            Codec::Opus => return OPUS_PARAMETERS.to_owned(),
            Codec::Vp8 => &[],
            Codec::Vp9 => &["profile-id"],
            Codec::H264 => &[
                "level-asymmetry-allowed",
                "packetization-mode",
                "profile-level-id",
            ],
            Codec::Av1 => &["level-idx", "profile", "tier"],
        };
        let mut text = String::new();
        for name in names {
            if let Some(value) = self.parameter(name) {
                let separator = if text.is_empty() { "" } else { ";" };
                // Writing to a string cannot fail.
                let _ = write!(text, "{separator}{name}={value}");
            }
        }
        text
    }

    fn add_feedback(&mut self, text: &str) {
        let mut words = text.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("nack"), None) => self.feedback.nack = true,
            (Some("nack"), Some("pli")) => self.feedback.pli = true,
            (Some("ccm"), Some("fir")) => self.feedback.fir = true,
            (Some("transport-cc"), None) => self.feedback.transport_cc = true,
            (Some("goog-remb"), None) => self.feedback.remb = true,
            _ => {}
        }
    }
}

/// What the server says about Opus, whoever offers: 10 ms frames may come, and in-band correction helps.
pub(super) const OPUS_PARAMETERS: &str = "minptime=10;useinbandfec=1";

/// Returns what `a=rtpmap` says after the payload type.
pub(super) fn rtpmap(codec: Codec) -> &'static str {
    match codec {
        Codec::Opus => "opus/48000/2",
        Codec::Vp8 => "VP8/90000",
        Codec::Vp9 => "VP9/90000",
        Codec::H264 => "H264/90000",
        Codec::Av1 => "AV1/90000",
    }
}

fn parse_rtpmap(line: &str) -> Option<(u8, Payload)> {
    let (payload_type, encoding) = line.split_once(' ')?;
    let mut parts = encoding.trim().split('/');
    let name = parts.next()?.to_ascii_lowercase();
    let clock_rate_hz = parts.next()?.parse().ok()?;
    let channels = parts.next().map_or(Ok(1), str::parse).ok()?;
    let payload = Payload {
        name,
        clock_rate_hz,
        channels,
        ..Payload::default()
    };
    Some((payload_type.parse().ok()?, payload))
}
