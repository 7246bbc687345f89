//! Offers to viewers (RFC 9429, section 5.2): the same to all, so that they share payload types and SSRCs,
//! and what their answers accept of it.

use klieg_sfu::{Codec, ExtensionIds, Feedback, Format, Kind, PayloadFormat, SendTrack, SsrcPair};

use super::accepted::Direction;
use super::codecs::{OPUS_PARAMETERS, Payloads};
use super::extensions::ExtMap;
use super::parse::Section;
use super::transport::{self, Author};
use super::write::{LocalSetup, Writer, payload_types};
use super::{Description, Local, NegotiationError, Place, RemoteTransport, media_name};

/// RTCP canonical name of everything that a room sends, and the name of the media stream.
pub const CNAME: &str = "klieg";

/// The stream of sound.
pub const AUDIO: SsrcPair = SsrcPair {
    media: 0x6b6c_0001,
    rtx: None,
};

/// The stream of pictures and that of its retransmissions.
pub const VIDEO: SsrcPair = SsrcPair {
    media: 0x6b6c_0002,
    rtx: Some(0x6b6c_0003),
};

/// The m-lines, in order, with their mids.
const SECTIONS: [(Kind, &str); 2] = [(Kind::Audio, "0"), (Kind::Video, "1")];

/// Identifier of the transport-wide number (RFC 8285), the same on all m-lines.
const TRANSPORT_CC_ID: u8 = 3;
/// Identifier of the dependency descriptor, on that of pictures.
const DESCRIPTOR_ID: u8 = 4;
/// Identifier of the play-out delay, on that of pictures.
const PLAYOUT_DELAY_ID: u8 = 5;
/// Identifier of the time of capture, the same on all m-lines.
const CAPTURE_TIME_ID: u8 = 6;

/// Which m-lines an offer carries media on; the others have port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered([bool; SECTIONS.len()]);

impl Offered {
    /// A first offer: sound and pictures.
    pub const ALL: Self = Self([true; SECTIONS.len()]);
}

/// What a viewer answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The viewer's end of the transport.
    pub remote: RemoteTransport,
    /// What it is going to play, at least one track.
    pub tracks: Vec<SendTrack>,
    /// The m-lines to offer from now on: one that was refused stays off (RFC 9429, section 5.2.2).
    pub offered: Offered,
}

/// Writes an offer.
pub fn write(local: &Local<'_>, offered: Offered) -> String {
    let sections = || SECTIONS.into_iter().zip(offered.0);
    let bundle: Vec<_> = sections()
        .filter(|(_, on)| *on)
        .map(|((_, mid), _)| mid)
        .collect();
    let mut writer = Writer::start(local.origin, &bundle);
    writer.flag("extmap-allow-mixed", true);
    writer.line(format_args!("a=msid-semantic: WMS {CNAME}"));
    for ((kind, mid), is_on) in sections() {
        let (media, formats) = (media_name(kind), formats(kind));
        let numbers = payload_types(formats.iter().map(|format| (format, false)));
        if !is_on {
            let format = numbers.split(' ').next().unwrap_or_default();
            writer.rejected(media, PROTO, format, Some(mid));
            continue;
        }
        let m_line = format_args!("m={media} 9 {PROTO} {numbers}");
        // Candidates stand below each m-line, for the viewer may refuse the first.
        writer.accepted(m_line, local, LocalSetup::Offer, true);
        writer.line(format_args!("a=mid:{mid}"));
        for extension in extensions(kind) {
            writer.line(format_args!("a=extmap:{extension}"));
        }
        writer.line(format_args!("a=msid:{CNAME} {media}"));
        writer.line(format_args!("a=sendonly"));
        writer.line(format_args!("a=rtcp-mux"));
        writer.line(format_args!("a=rtcp-rsize"));
        for payload in &formats {
            writer.payload(payload, false, &parameters(payload.format));
        }
        writer.ssrcs(ssrcs(kind));
    }
    writer.finish()
}

/// Reads an answer to an offer of `offered`.
///
/// # Errors
/// [`NegotiationError::Unusable`] when it does not fit the offer or lacks what a session needs,
/// [`NegotiationError::NoCommonCodec`] when it accepts nothing.
pub fn read_answer(answer: &Description, offered: Offered) -> Result<Answer, NegotiationError> {
    let sections: Vec<_> = answer.sections().collect();
    if sections.len() != SECTIONS.len() {
        let problem = format!("the offer has {} m-lines", SECTIONS.len());
        return Err(NegotiationError::unusable(Place::Session, problem));
    }
    let mut accepted = Offered([false; SECTIONS.len()]);
    let mut still_offered = offered;
    let mut tracks = Vec::new();
    for (index, (section, (kind, mid))) in sections.iter().zip(SECTIONS).enumerate() {
        check_section(section, kind, mid)?;
        if section.is_off() || !offered.0[index] {
            still_offered.0[index] = false;
            continue;
        }
        if let Some(track) = send_track(section, kind)? {
            accepted.0[index] = true;
            tracks.push(SendTrack {
                stalls_at_once: answer.is_of_firefox(),
                ..track
            });
        }
    }
    if tracks.is_empty() {
        return Err(NegotiationError::NoCommonCodec);
    }
    let remote = remote_transport(answer, &sections, accepted)?;
    Ok(Answer {
        remote,
        tracks,
        offered: still_offered,
    })
}

const PROTO: &str = "UDP/TLS/RTP/SAVPF";

/// Video payload types with those of their retransmissions, coding, profile and packetization mode.
///
/// VP8 comes first because every browser plays it; what is sent is the publisher's choice.
const VIDEO_FORMATS: [(u8, u8, Codec, u16, u8); 8] = [
    (96, 97, Codec::Vp8, 0, 0),
    (106, 107, Codec::H264, 0x42e0, 1),
    (102, 103, Codec::H264, 0x4200, 1),
    (127, 125, Codec::H264, 0x4d00, 1),
    (112, 113, Codec::H264, 0x6400, 1),
    (108, 109, Codec::H264, 0x42e0, 0),
    (98, 99, Codec::Vp9, 0, 0),
    (45, 46, Codec::Av1, 0, 0),
];

/// Returns the header extensions of an m-line.
fn extensions(kind: Kind) -> Vec<ExtMap> {
    let mut extensions = vec![ExtMap::transport_cc(TRANSPORT_CC_ID)];
    if kind == Kind::Video {
        extensions.push(ExtMap::descriptor(DESCRIPTOR_ID));
        extensions.push(ExtMap::playout_delay(PLAYOUT_DELAY_ID));
    }
    extensions.push(ExtMap::capture_time(CAPTURE_TIME_ID));
    extensions
}

/// Returns the payload types of an m-line, in order of preference.
fn formats(kind: Kind) -> Vec<PayloadFormat> {
    match kind {
        Kind::Audio => vec![PayloadFormat {
            payload_type: 111,
            rtx_payload_type: None,
            red_payload_type: Some(63),
            format: Format {
                codec: Codec::Opus,
                profile: 0,
                packetization_mode: 0,
            },
            feedback: Feedback {
                transport_cc: true,
                ..Feedback::default()
            },
        }],
        Kind::Video => {
            let video = VIDEO_FORMATS.into_iter();
            video
                .map(
                    |(payload_type, rtx, codec, profile, packetization_mode)| PayloadFormat {
                        payload_type,
                        rtx_payload_type: Some(rtx),
                        red_payload_type: None,
                        format: Format {
                            codec,
                            profile,
                            packetization_mode,
                        },
                        feedback: Feedback {
                            nack: true,
                            pli: true,
                            fir: true,
                            transport_cc: true,
                            remb: true,
                        },
                    },
                )
                .collect()
        }
    }
}

/// Returns what `a=fmtp` says of a format. H.264 is offered at level 3.1 and may be sent at any.
fn parameters(format: Format) -> String {
    let Format {
        codec,
        profile,
        packetization_mode: mode,
    } = format;
    match codec {
        Codec::Opus => OPUS_PARAMETERS.to_owned(),
        Codec::Vp8 => String::new(),
        Codec::Vp9 => format!("profile-id={profile}"),
        Codec::H264 => format!(
            "level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile:04x}1f"
        ),
        Codec::Av1 => format!("level-idx=5;profile={profile};tier=0"),
    }
}

/// Returns the streams of a kind: the same for every viewer, whoever offers.
pub(super) fn ssrcs(kind: Kind) -> SsrcPair {
    match kind {
        Kind::Audio => AUDIO,
        Kind::Video => VIDEO,
    }
}

/// Refuses an m-line that does not stand where the offer put it (RFC 3264, section 6).
fn check_section(section: &Section<'_>, kind: Kind, mid: &str) -> Result<(), NegotiationError> {
    let media = media_name(kind);
    let fits = match section.mid() {
        Some(answered) => answered == mid,
        // An m-line that is switched off may have lost its mid.
        None => section.is_off(),
    };
    if section.media() != media || !fits {
        return Err(section.unusable(format!("the offer has m={media} with a=mid:{mid} here")));
    }
    if section.sends() && !section.is_off() {
        return Err(section.unusable("the answer to a=sendonly is a=recvonly or a=inactive"));
    }
    Ok(())
}

/// Returns what the viewer plays of an m-line; `None` when it plays nothing.
fn send_track(section: &Section<'_>, kind: Kind) -> Result<Option<SendTrack>, NegotiationError> {
    if !section.receives() {
        return Ok(None);
    }
    let (offered, answered) = (formats(kind), Payloads::of(section));
    let extensions = accepted_extensions(section)?;
    let mut accepted = Vec::new();
    for (payload_type, payload) in answered.iter() {
        let fits = |offer: &&PayloadFormat| {
            if offer.payload_type == payload_type {
                return payload
                    .format()
                    .is_some_and(|answer| answer.codec == offer.format.codec);
            }
            offer.red_payload_type == Some(payload_type) && payload.is_redundant()
                || offer.rtx_payload_type == Some(payload_type)
                    && payload.repairs() == Some(offer.payload_type)
        };
        let Some(offer) = offered.iter().find(fits) else {
            return Err(section.unusable(format!("payload type {payload_type} was not offered so")));
        };
        if offer.payload_type == payload_type {
            let has_rtx = answered
                .iter()
                .any(|(_, other)| other.repairs() == Some(payload_type));
            let feedback = Feedback {
                nack: offer.feedback.nack && payload.feedback.nack,
                pli: offer.feedback.pli && payload.feedback.pli,
                fir: offer.feedback.fir && payload.feedback.fir,
                transport_cc: payload.feedback.transport_cc && extensions.transport_cc.is_some(),
                remb: offer.feedback.remb && payload.feedback.remb,
            };
            let rtx_payload_type = offer.rtx_payload_type.filter(|_| has_rtx);
            let red = answered.redundant(payload_type);
            accepted.push(PayloadFormat {
                rtx_payload_type,
                red_payload_type: offer.red_payload_type.filter(|it| red == Some(*it)),
                feedback,
                ..*offer
            });
        }
    }
    let track = SendTrack {
        kind,
        formats: accepted,
        extensions,
        ssrc: ssrcs(kind),
        cname: CNAME.to_owned(),
        stalls_at_once: false,
    };
    Ok(Some(track).filter(|track| !track.formats.is_empty()))
}

/// Returns the header extensions that the answer accepts, under the identifiers of the offer (RFC 8285, section 6).
fn accepted_extensions(section: &Section<'_>) -> Result<ExtensionIds, NegotiationError> {
    let answered = ExtMap::ids(&ExtMap::offered(section, Direction::Send)?);
    let wrong = |id: Option<u8>, offered: u8| id.filter(|id| *id != offered);
    let wrong = wrong(answered.transport_cc, TRANSPORT_CC_ID)
        .or_else(|| wrong(answered.descriptor, DESCRIPTOR_ID))
        .or_else(|| wrong(answered.playout_delay, PLAYOUT_DELAY_ID))
        .or_else(|| wrong(answered.capture_time, CAPTURE_TIME_ID));
    match wrong {
        None => Ok(answered),
        Some(id) => Err(section.unusable(format!("a=extmap:{id} was not offered so"))),
    }
}

/// Returns the viewer's end of the transport that all accepted m-lines share.
fn remote_transport(
    answer: &Description,
    sections: &[Section<'_>],
    accepted: Offered,
) -> Result<RemoteTransport, NegotiationError> {
    let accepted = sections.iter().zip(accepted.0).filter(|(_, on)| *on);
    let in_use: Vec<_> = accepted.map(|(section, _)| *section).collect();
    if in_use.is_empty() {
        return Err(NegotiationError::NoCommonCodec);
    }
    transport::of(answer, &in_use, Author::Answerer)
}
