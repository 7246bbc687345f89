//! What of a publisher's offer a server takes (RFC 9429, section 5.3).

use anyhow::{Context as _, ensure};

use super::sdp::{MID, Media, OPUS, REPAIRED_RID, RID, RTX, Remote, Streams, TRANSPORT_CC, VP8};

/// What the server takes of what was offered.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(super) streams: Streams,
    pub(super) audio: Extensions,
    pub(super) video: Extensions,
    /// Whether retransmissions may be sent.
    pub(super) has_rtx: bool,
}

/// Identifiers of header extensions; `None` where the server does not take one.
#[derive(Clone, Debug, Default)]
pub(super) struct Extensions {
    pub(super) mid_text: String,
    pub(super) transport_cc: Option<u8>,
    pub(super) mid: Option<u8>,
    pub(super) rid: Option<u8>,
    pub(super) repaired_rid: Option<u8>,
}

impl Accepted {
    /// Reads it from the answer.
    pub(crate) fn of(answer: &Remote, mut streams: Streams) -> anyhow::Result<Self> {
        let taken = |is_video: bool| {
            let mut media = answer.media.iter();
            media.find(|media| media.is_video == is_video && !media.is_off)
        };
        let video = taken(true).filter(|media| media.payload_types().contains(&VP8));
        let video = video.context("the server does not take VP8")?;
        ensure!(
            streams.video.len() == 1 || video.rids.len() == streams.video.len(),
            "the server takes {} of {} layers",
            video.rids.len(),
            streams.video.len()
        );
        let audio = taken(false).filter(|media| media.payload_types().contains(&OPUS));
        ensure!(
            streams.audio.is_none() || audio.is_some(),
            "the server does not take Opus: leave --audio out"
        );
        streams.audio = streams.audio.filter(|_| audio.is_some());
        Ok(Self {
            streams,
            audio: audio.map(Extensions::of).unwrap_or_default(),
            has_rtx: video.payload_types().contains(&RTX),
            video: Extensions::of(video),
        })
    }
}

impl Extensions {
    fn of(media: &Media) -> Self {
        Self {
            mid_text: media.mid.clone(),
            transport_cc: media.extension(TRANSPORT_CC),
            mid: media.extension(MID),
            rid: media.extension(RID),
            repaired_rid: media.extension(REPAIRED_RID),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::light::Credentials;
    use crate::light::sdp::{Local, Protocol, parse};

    /// What is made of an answer that takes everything, once `change` was done to it.
    fn accepted(layers: u32, change: impl Fn(String) -> String) -> Result<Accepted, String> {
        let ice = Credentials::random();
        let local = Local {
            ice: &ice,
            fingerprint: "AB:CD",
        };
        let streams = Streams {
            audio: Some(1),
            video: (0..layers).map(|n| (n + 10, n + 20)).collect(),
        };
        let candidate = "a=candidate:1 1 udp 9 192.0.2.1 5000 typ host\r\n";
        let answer = change(local.offer_to_send(&streams) + candidate);
        let answer = parse(&answer, Protocol::Udp).map_err(|error| error.to_string())?;
        Accepted::of(&answer, streams).map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_server_takes_is_sent_and_nothing_else() {
        let all = accepted(1, |answer| answer).unwrap();
        assert_eq!((all.video.transport_cc, all.video.mid), (Some(3), Some(4)));
        assert_eq!((all.video.mid_text.as_str(), all.has_rtx), ("1", true));
        let less = |answer: String| {
            let answer = answer.replace("96 97", "96").replace("a=extmap:3", "a=x");
            answer.replace("a=extmap:4", "a=x")
        };
        let less = accepted(1, less).unwrap();
        assert_eq!((less.video.transport_cc, less.video.mid), (None, None));
        assert!(!less.has_rtx);
    }

    #[test]
    fn what_cannot_be_done_without_is_named() {
        let refused = |from: &'static str, to: &'static str| {
            accepted(3, move |answer| answer.replace(from, to)).unwrap_err()
        };
        assert_eq!(
            refused("m=video 9", "m=video 0"),
            "the server does not take VP8"
        );
        assert_eq!(refused("96 97", "102"), "the server does not take VP8");
        assert_eq!(
            refused("a=rid:h", "a=x:h"),
            "the server takes 2 of 3 layers"
        );
        assert!(refused("m=audio 9", "m=audio 0").contains("--audio"));
    }
}
