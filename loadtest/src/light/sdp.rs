//! Session descriptions of light peers: an answer to a server's offer, and offers of our own (RFC 8866,
//! RFC 9429).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, ensure};

use super::stun::Credentials;

/// The server's end, as its description has it.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    pub(crate) ice: Credentials,
    /// SHA-256, as text.
    pub(crate) fingerprint: String,
    /// Where it may be reached by the protocol wanted, the likeliest first: one to [`MAX_CANDIDATES`].
    pub(crate) candidates: Vec<SocketAddr>,
    pub(crate) protocol: Protocol,
    /// Whether it takes the DTLS client's part, so that we are the server.
    pub(crate) is_active: bool,
    pub(crate) media: Vec<Media>,
}

/// How media goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Udp,
    /// On a connection that the peer makes (RFC 6544).
    Tcp,
}

/// One m-line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Media {
    pub(crate) is_video: bool,
    /// Its port is 0.
    pub(crate) is_off: bool,
    pub(crate) mid: String,
    /// Payload types as the m-line has them.
    formats: String,
    /// Payload types of VP8.
    pub(crate) vp8: Vec<u8>,
    /// Payload types of retransmissions.
    pub(crate) rtx: Vec<u8>,
    /// Identifiers of header extensions, by their URI.
    extensions: Vec<(u8, String)>,
    /// Whether some payload type has `transport-cc` as feedback.
    has_transport_feedback: bool,
    /// RIDs that the server takes.
    pub(crate) rids: Vec<String>,
    /// What an answer says again.
    echo: Vec<String>,
}

/// Reads a description, for media to go by this protocol.
pub(crate) fn parse(sdp: &str, protocol: Protocol) -> anyhow::Result<Remote> {
    let mut media: Vec<Media> = Vec::new();
    let first = |name: &str| attribute(sdp, name).next();
    for line in sdp.lines().map(str::trim_end) {
        if let Some(line) = line.strip_prefix("m=") {
            media.push(Media::of(line));
        } else if let (Some(line), Some(media)) = (line.strip_prefix("a="), media.last_mut()) {
            media.handle(line);
        }
    }
    ensure!(!media.is_empty(), "the description has no m-line");
    let fingerprint = attribute(sdp, "fingerprint")
        .find_map(|value| value.strip_prefix("sha-256 "))
        .context("no SHA-256 fingerprint")?;
    let candidates = candidates(sdp, protocol);
    ensure!(
        !candidates.is_empty(),
        "the description has no {} candidate with an address",
        protocol.name().to_uppercase()
    );
    Ok(Remote {
        ice: Credentials {
            ufrag: first("ice-ufrag").context("no ice-ufrag")?.to_owned(),
            pwd: first("ice-pwd").context("no ice-pwd")?.to_owned(),
        },
        fingerprint: fingerprint.trim().to_owned(),
        candidates,
        protocol,
        is_active: first("setup") == Some("active"),
        media,
    })
}

impl Protocol {
    /// Returns it as candidates have it, in either case.
    fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

impl Remote {
    /// Writes the answer of a viewer that takes everything.
    pub(crate) fn answer(&self, local: &Local<'_>) -> String {
        let mut sdp = String::new();
        let mids: Vec<_> = self.media.iter().filter(|media| !media.is_off).collect();
        let mids: Vec<_> = mids.iter().map(|media| media.mid.as_str()).collect();
        start(&mut sdp, &mids.join(" "));
        for media in &self.media {
            let kind = if media.is_video { "video" } else { "audio" };
            let port = if media.is_off { 0 } else { 9 };
            line(
                &mut sdp,
                &format!("m={kind} {port} {PROTO} {}", media.formats),
            );
            line(&mut sdp, "c=IN IP4 0.0.0.0");
            line(&mut sdp, &format!("a=mid:{}", media.mid));
            line(
                &mut sdp,
                if media.is_off {
                    "a=inactive"
                } else {
                    "a=recvonly"
                },
            );
            local.write(&mut sdp, if self.is_active { "passive" } else { "active" });
            for echo in &media.echo {
                line(&mut sdp, &format!("a={echo}"));
            }
        }
        sdp
    }
}

impl Media {
    fn of(line: &str) -> Self {
        let mut words = line.splitn(4, ' ');
        let is_video = words.next() == Some("video");
        Self {
            is_video,
            is_off: words.next() == Some("0"),
            formats: words.nth(1).unwrap_or_default().to_owned(),
            ..Self::default()
        }
    }

    /// Returns all payload types.
    pub(crate) fn payload_types(&self) -> Vec<u8> {
        let words = self.formats.split_ascii_whitespace();
        words.filter_map(|word| word.parse().ok()).collect()
    }

    fn handle(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        match name {
            "mid" => value.clone_into(&mut self.mid),
            "rtpmap" => self.handle_format(value),
            "extmap" => self.handle_extension(value),
            "rtcp-fb" if value.ends_with(" transport-cc") => self.has_transport_feedback = true,
            "rid" => self.rids.extend(value.split(' ').next().map(str::to_owned)),
            _ => {}
        }
        let wanted = ["rtpmap", "fmtp", "rtcp-fb", "rtcp-mux", "rtcp-rsize"];
        if wanted.contains(&name) || (name == "extmap" && value.contains(TRANSPORT_CC)) {
            self.echo.push(line.to_owned());
        }
    }

    /// Returns the identifier of the transport-wide number; `None` where it or the feedback on it was not agreed on.
    pub(crate) fn transport_cc(&self) -> Option<u8> {
        let id = self.extension(TRANSPORT_CC);
        id.filter(|_| self.has_transport_feedback)
    }

    /// Returns the identifier of a header extension that the description has.
    pub(crate) fn extension(&self, uri: &str) -> Option<u8> {
        let found = self.extensions.iter().find(|(_, known)| known == uri);
        found.map(|(id, _)| *id)
    }

    fn handle_extension(&mut self, value: &str) {
        let mut words = value.split(' ');
        let id = words
            .next()
            .and_then(|id| id.split('/').next()?.parse().ok());
        // Those above take headers of another form (RFC 8285, section 4.3), which nobody needs here.
        if let (Some(id @ 1..=14), Some(uri)) = (id, words.next()) {
            self.extensions.push((id, uri.to_owned()));
        }
    }

    fn handle_format(&mut self, value: &str) {
        let Some((number, coding)) = value.split_once(' ') else {
            return;
        };
        let (Ok(number), coding) = (number.parse(), coding.to_ascii_lowercase()) else {
            return;
        };
        if coding.starts_with("vp8/") {
            self.vp8.push(number);
        } else if coding.starts_with("rtx/") {
            self.rtx.push(number);
        }
    }
}

/// Our end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local<'a> {
    pub(crate) ice: &'a Credentials,
    pub(crate) fingerprint: &'a str,
}

impl Local<'_> {
    fn write(&self, sdp: &mut String, setup: &str) {
        line(sdp, &format!("a=ice-ufrag:{}", self.ice.ufrag));
        line(sdp, &format!("a=ice-pwd:{}", self.ice.pwd));
        line(sdp, &format!("a=fingerprint:sha-256 {}", self.fingerprint));
        line(sdp, &format!("a=setup:{setup}"));
    }

    /// Writes the offer of a WHEP viewer.
    pub(crate) fn offer_to_watch(&self) -> String {
        let mut sdp = String::new();
        start(&mut sdp, "0 1");
        for is_video in [false, true] {
            self.write_section(&mut sdp, is_video, "recvonly");
        }
        sdp
    }

    /// Writes the offer of a publisher of these streams; with several `rids` they are layers.
    pub(crate) fn offer_to_send(&self, streams: &Streams) -> String {
        let mut sdp = String::new();
        start(&mut sdp, if streams.audio.is_some() { "0 1" } else { "1" });
        if let Some(ssrc) = streams.audio {
            self.write_section(&mut sdp, false, "sendonly");
            line(&mut sdp, &format!("a=ssrc:{ssrc} cname:klieg-loadtest"));
        }
        self.write_section(&mut sdp, true, "sendonly");
        if let [(ssrc, rtx)] = streams.video[..] {
            line(&mut sdp, &format!("a=ssrc-group:FID {ssrc} {rtx}"));
            for ssrc in [ssrc, rtx] {
                line(&mut sdp, &format!("a=ssrc:{ssrc} cname:klieg-loadtest"));
            }
        } else {
            for rid in RIDS {
                line(&mut sdp, &format!("a=rid:{rid} send"));
            }
            line(&mut sdp, &format!("a=simulcast:send {}", RIDS.join(";")));
        }
        sdp
    }

    fn write_section(&self, sdp: &mut String, is_video: bool, direction: &str) {
        let (kind, formats) = if is_video {
            ("video", "96 97")
        } else {
            ("audio", "111")
        };
        line(sdp, &format!("m={kind} 9 {PROTO} {formats}"));
        line(sdp, "c=IN IP4 0.0.0.0");
        line(sdp, &format!("a=mid:{}", u8::from(is_video)));
        line(sdp, &format!("a={direction}"));
        line(sdp, "a=msid:klieg-loadtest klieg-loadtest");
        line(sdp, "a=rtcp-mux");
        line(sdp, "a=rtcp-rsize");
        self.write(sdp, "actpass");
        line(sdp, &format!("a=extmap:{TRANSPORT_CC_ID} {TRANSPORT_CC}"));
        line(sdp, &format!("a=extmap:{MID_ID} {MID}"));
        if !is_video {
            line(sdp, "a=rtpmap:111 opus/48000/2");
            line(sdp, "a=fmtp:111 minptime=10;useinbandfec=1");
            line(sdp, "a=rtcp-fb:111 transport-cc");
            return;
        }
        line(sdp, &format!("a=extmap:{RID_ID} {RID}"));
        line(sdp, &format!("a=extmap:{REPAIRED_RID_ID} {REPAIRED_RID}"));
        line(sdp, "a=rtpmap:96 VP8/90000");
        for feedback in ["nack", "nack pli", "ccm fir", "transport-cc"] {
            line(sdp, &format!("a=rtcp-fb:96 {feedback}"));
        }
        line(sdp, "a=rtpmap:97 rtx/90000");
        line(sdp, "a=fmtp:97 apt=96");
    }
}

/// SSRCs of a publisher.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    pub(crate) audio: Option<u32>,
    /// Each with that of its retransmissions, the smallest layer first.
    pub(crate) video: Vec<(u32, u32)>,
}

fn start(sdp: &mut String, mids: &str) {
    let session = rand::random::<u64>() >> 1;
    line(sdp, "v=0");
    line(sdp, &format!("o=- {session} 2 IN IP4 127.0.0.1"));
    line(sdp, "s=-");
    line(sdp, "t=0 0");
    line(sdp, &format!("a=group:BUNDLE {mids}"));
    line(sdp, "a=msid-semantic: WMS klieg-loadtest");
}

fn line(sdp: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = write!(sdp, "{text}\r\n");
}

fn attribute<'a>(sdp: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    sdp.lines().filter_map(move |line| {
        let value = line.strip_prefix("a=")?.strip_prefix(name)?;
        Some(value.strip_prefix(':')?.trim_end())
    })
}

/// On this machine first, for there many viewers can share a socket; then as the server has them, without those that lead nowhere.
fn candidates(sdp: &str, protocol: Protocol) -> Vec<SocketAddr> {
    let mut list: Vec<SocketAddr> = Vec::new();
    for found in attribute(sdp, "candidate").filter_map(|it| candidate(it, protocol)) {
        let leads_nowhere = match found.ip() {
            IpAddr::V4(ip) => ip.is_unspecified(),
            // Of a link-local address nobody knows the link.
            IpAddr::V6(ip) => ip.is_unspecified() || ip.is_unicast_link_local(),
        };
        if !leads_nowhere && found.port() != 0 && !list.contains(&found) {
            list.push(found);
        }
    }
    list.sort_by_key(|found| !(found.is_ipv4() && found.ip().is_loopback()));
    list.truncate(MAX_CANDIDATES);
    list
}

fn candidate(value: &str, protocol: Protocol) -> Option<SocketAddr> {
    let words: Vec<_> = value.split_ascii_whitespace().collect();
    let &[_, component, transport, _, address, port, ..] = &words[..] else {
        return None;
    };
    let fits = component == "1" && transport.eq_ignore_ascii_case(protocol.name());
    fits.then_some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
}

/// Names of the layers, the smallest first, as the client library has them.
pub(crate) const RIDS: [&str; 3] = ["q", "h", "f"];
pub(crate) const OPUS: u8 = 111;
pub(crate) const VP8: u8 = 96;
pub(crate) const RTX: u8 = 97;
/// Header extensions.
pub(crate) const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
pub(crate) const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
pub(crate) const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
pub(crate) const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
/// Their identifiers in offers of ours.
const TRANSPORT_CC_ID: u8 = 3;
const MID_ID: u8 = 4;
const RID_ID: u8 = 10;
const REPAIRED_RID_ID: u8 = 11;
/// Of more than so many a server is not serious.
const MAX_CANDIDATES: usize = 16;
const PROTO: &str = "UDP/TLS/RTP/SAVPF";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(sdp: &str) -> anyhow::Result<Remote> {
        super::parse(sdp, Protocol::Udp)
    }

    fn local(ice: &Credentials) -> Local<'_> {
        Local {
            ice,
            fingerprint: "AB:CD",
        }
    }

    #[test]
    fn an_offer_is_read_and_answered_line_by_line() {
        let ice = Credentials::random();
        let offer = local(&ice).offer_to_watch();
        let offer = offer.replacen(
            "a=mid:0",
            "a=candidate:1 1 TCP 9 127.0.0.9 9 typ host\r\na=candidate:1 1 udp 9 127.0.0.1 5000 typ host\r\na=mid:0",
            1,
        );
        let remote = parse(&offer).unwrap();
        assert_eq!(remote.ice, ice);
        assert_eq!(remote.fingerprint, "AB:CD");
        assert_eq!(
            remote.candidates,
            [SocketAddr::from(([127, 0, 0, 1], 5000))]
        );
        let by_tcp = super::parse(&offer, Protocol::Tcp).unwrap().candidates;
        assert_eq!(by_tcp, [SocketAddr::from(([127, 0, 0, 9], 9))]);
        assert_eq!(remote.media[1].vp8, [96]);
        assert_eq!(remote.media[1].rtx, [97]);
        assert_eq!(remote.media[1].transport_cc(), Some(3));
        assert_eq!(remote.media[1].extension(RID), Some(10));
        assert_eq!(remote.media[0].extension(RID), None);

        let answer = remote.answer(&local(&ice));
        assert!(answer.contains("a=setup:active"));
        let kinds: Vec<_> = answer
            .lines()
            .filter(|line| line.starts_with("m="))
            .collect();
        assert_eq!(
            kinds,
            [
                "m=audio 9 UDP/TLS/RTP/SAVPF 111",
                "m=video 9 UDP/TLS/RTP/SAVPF 96 97"
            ]
        );
    }

    #[test]
    fn candidates_of_this_machine_come_first_and_useless_ones_not_at_all() {
        let ice = Credentials::random();
        let offer = local(&ice).offer_to_watch();
        let candidate = |host: &str| format!("a=candidate:1 1 UDP 9 {host} typ host\r\n");
        let hosts = [
            "192.0.2.7 5000",
            "::1 5000",
            "fe80::1 5000",
            "0.0.0.0 5000",
            "a.local 5000",
            "192.0.2.7 0",
        ];
        let lines: String = hosts
            .into_iter()
            .chain(["127.0.0.1 5000", "192.0.2.7 5000"])
            .map(candidate)
            .collect();
        let remote = parse(&offer.replacen("a=mid:0", &format!("{lines}a=mid:0"), 1)).unwrap();
        let found: Vec<_> = remote.candidates.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["127.0.0.1:5000", "192.0.2.7:5000", "[::1]:5000"]);
    }

    #[test]
    fn feedback_is_sent_where_both_the_number_and_the_feedback_were_agreed_on() {
        let ice = Credentials::random();
        let offer =
            local(&ice).offer_to_watch() + "a=candidate:1 1 udp 9 127.0.0.1 5000 typ host\r\n";
        let agreed = |sdp: &str| parse(sdp).unwrap().media[1].transport_cc();
        assert_eq!(agreed(&offer), Some(3));
        assert_eq!(
            agreed(&offer.replace("a=rtcp-fb:96 transport-cc\r\n", "")),
            None
        );
        assert_eq!(
            agreed(&offer.replace("extmap:3 ", "extmap:3/recvonly ")),
            Some(3)
        );
        assert_eq!(agreed(&offer.replace("extmap:3 ", "extmap:20 ")), None);
        // What the server offered is said again in the answer, and so agreed on.
        let answer = parse(&offer).unwrap().answer(&local(&ice));
        assert!(answer.contains("a=rtcp-fb:96 transport-cc") && answer.contains("a=extmap:3 http"));
    }

    #[test]
    fn layers_are_named_and_a_single_stream_is_not() {
        let ice = Credentials::random();
        let offer = |count: u32| {
            let video = (0..count).map(|n| (n, n + 100)).collect();
            local(&ice).offer_to_send(&Streams { audio: None, video })
        };
        assert!(offer(3).contains("a=simulcast:send q;h;f"));
        assert!(offer(1).contains("a=ssrc-group:FID 0 100"));
        assert!(!offer(1).contains("simulcast"));
    }

    #[test]
    fn descriptions_without_what_is_needed_are_refused() {
        for sdp in ["", "v=0\r\n", "m=audio 9 X 1\r\na=ice-ufrag:x\r\n"] {
            assert!(parse(sdp).is_err());
        }
    }
}
