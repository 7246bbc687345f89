//! Rules of JSEP that hold for every offer, on ten thousand generated ones, from those who publish and from
//! those who watch.

use std::fmt::Write as _;

use klieg_sfu::{Kind, ReceiveTrack};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) })]

    #[test]
    fn answers_keep_order_mids_payload_types_and_identifiers(offer in offer()) {
        let text = offer.text("abcdefgh");
        match publish(&text) {
            Ok((mut session, first)) => {
                check_answer(&text, &first.sdp, Side::Publishes)?;
                let tracks = receive_tracks(&first.commands);
                check_tracks(tracks, &first.sdp)?;

                let again = offer.reordered().text("hgfedcba");
                let second = session.handle_offer(&config(), &again).unwrap();
                check_answer(&again, &second.sdp, Side::Publishes)?;
                check_same_numbers(&first.sdp, &second.sdp)?;
                let restarts =
                    matches!(second.commands[..], [Command::RestartIce { peer: PEER, .. }]);
                prop_assert!(restarts, "{:?}", second.commands);
            }
            Err(error) => {
                prop_assert!(!offer.has_usable_media(Side::Publishes), "{error}\n{text}");
                prop_assert!(["bad_sdp", "no_common_codec"].contains(&error.code()));
            }
        }
    }

    #[test]
    fn viewers_that_offer_are_answered_by_the_same_rules(offer in offer()) {
        let text = offer.text("abcdefgh");
        match Session::watch(&config(), PEER, ROOM, &text) {
            Ok((mut session, first)) => {
                check_answer(&text, &first.sdp, Side::Watches)?;
                let accepted = parts(&first.sdp).1.into_iter().filter(|it| !it.is_rejected()).count();
                prop_assert_eq!(send_tracks(&first.commands).len(), accepted);

                let again = offer.reordered().text("hgfedcba");
                let second = session.handle_offer(&config(), &again).unwrap();
                check_answer(&again, &second.sdp, Side::Watches)?;
                check_same_numbers(&first.sdp, &second.sdp)?;
            }
            Err(error) => {
                prop_assert!(!offer.has_usable_media(Side::Watches), "{error}\n{text}");
                prop_assert!(["bad_sdp", "no_common_codec"].contains(&error.code()));
            }
        }
    }
}

/// Who offers.
#[derive(Clone, Copy)]
enum Side {
    Publishes,
    Watches,
}

impl Side {
    /// Returns the directions that an offer may have, and that of the answer.
    fn directions(self) -> ([&'static str; 2], &'static str) {
        match self {
            Self::Publishes => (["sendonly", "sendrecv"], "recvonly"),
            Self::Watches => (["recvonly", "sendrecv"], "sendonly"),
        }
    }
}

/// The answer has the offer's m-lines, and of each nothing that the offer does not say.
fn check_answer(offer: &str, answer: &str, side: Side) -> Result<(), TestCaseError> {
    let (asked, given) = side.directions();
    let ((_, offered), (head, answered)) = (parts(offer), parts(answer));
    prop_assert_eq!(offered.len(), answered.len());
    let mut bundled = Vec::new();
    let mut taken = Vec::new();
    for (offer, answer) in offered.iter().zip(&answered) {
        let word = |part: &Part, index| part.m_line.split(' ').nth(index).unwrap().to_owned();
        prop_assert_eq!(
            (word(offer, 0), word(offer, 2)),
            (word(answer, 0), word(answer, 2))
        );
        prop_assert_eq!(offer.values("mid"), answer.values("mid"));
        // The first usable m-line of each kind is taken, and no other.
        let media = word(offer, 0);
        let is_first = is_usable(offer, asked) && !taken.contains(&media);
        prop_assert_eq!(!answer.is_rejected(), is_first, "{}", &offer.m_line);
        if answer.is_rejected() {
            continue;
        }
        taken.push(media);
        bundled.extend(answer.values("mid"));
        let direction = |name: &str| ["a=", name].concat();
        prop_assert!(asked.iter().any(|it| offer.has(&direction(it))));
        prop_assert!(answer.has(&direction(given)) && answer.has("a=rtcp-mux"));
        for key in ["rtpmap", "extmap"] {
            let known = offer.map(key);
            for (number, meaning) in answer.map(key) {
                prop_assert_eq!(known.get(&number), Some(&meaning), "a={}:{}", key, number);
            }
        }
        for feedback in answer.values("rtcp-fb") {
            prop_assert!(offer.values("rtcp-fb").contains(&feedback));
        }
        check_layers(offer, answer, side)?;
        let numbers: Vec<_> = answer.m_line.split(' ').skip(3).collect();
        let listed: Vec<_> = offer.m_line.split(' ').skip(3).collect();
        let described: Vec<_> = answer
            .values("rtpmap")
            .iter()
            .filter_map(|v| v.split(' ').next())
            .collect();
        prop_assert_eq!(&numbers, &described);
        prop_assert!(numbers.iter().all(|number| listed.contains(number)));
        check_redundancy(offer, answer)?;
    }
    if bundled.is_empty() {
        prop_assert!(head.values("group").is_empty());
    } else {
        prop_assert_eq!(
            head.values("group"),
            [format!("BUNDLE {}", bundled.join(" "))]
        );
    }
    Ok(())
}

/// Redundant sound is taken where all its blocks are Opus, and stands on the same side of that.
fn check_redundancy(offer: &Part, answer: &Part) -> Result<(), TestCaseError> {
    let number = |part: &Part, encoding: &str| {
        let rtpmap = part.map("rtpmap").into_iter();
        let mut found = rtpmap.filter(|(_, meaning)| meaning == encoding);
        found.next().map(|(number, _)| number)
    };
    let (opus, red) = (number(offer, "opus/48000/2"), number(offer, "red/48000/2"));
    let Some((opus, red)) = opus.zip(red) else {
        prop_assert_eq!(number(answer, "red/48000/2"), None);
        return Ok(());
    };
    let blocks = offer.map("fmtp").remove(&red);
    let is_whole = blocks == Some(format!("{opus}/{opus}"));
    prop_assert_eq!(number(answer, "red/48000/2").is_some(), is_whole);
    let order = |part: &Part| {
        let numbers = part.m_line.split(' ').skip(3).map(str::to_owned);
        let both = numbers.filter(|it| *it == opus || *it == red);
        both.collect::<Vec<_>>()
    };
    if is_whole {
        prop_assert_eq!(order(offer), order(answer));
        prop_assert_eq!(answer.map("fmtp").remove(&red), blocks);
    }
    Ok(())
}

/// Media may flow on it, and some of its formats are forwarded.
fn is_usable(offer: &Part, asked: [&str; 2]) -> bool {
    let flows = asked.iter().any(|it| offer.has(&["a=", it].concat()));
    let forwards = |encoding: &String| FORWARDED.contains(&encoding.as_str());
    flows && !offer.is_rejected() && offer.map("rtpmap").values().any(forwards)
}

/// The first four layers of a publisher are taken where packets can name them, and no others.
fn check_layers(offer: &Part, answer: &Part, side: Side) -> Result<(), TestCaseError> {
    let can_name = answer
        .values("extmap")
        .iter()
        .any(|it| it.ends_with(URIS[1]));
    let takes = matches!(side, Side::Publishes) && can_name;
    let offered = offer.values("rid");
    let taken = offered.iter().take(if takes { 4 } else { 0 });
    let expected: Vec<_> = taken.map(|rid| rid.replace("send", "recv")).collect();
    prop_assert_eq!(answer.values("rid"), expected);
    Ok(())
}

/// The forwarding unit is told what the answer says.
fn check_tracks(tracks: &[ReceiveTrack], answer: &str) -> Result<(), TestCaseError> {
    let accepted: Vec<_> = parts(answer)
        .1
        .into_iter()
        .filter(|p| !p.is_rejected())
        .collect();
    prop_assert_eq!(accepted.len(), tracks.len());
    for (part, track) in accepted.iter().zip(tracks) {
        let media = if track.kind == Kind::Audio {
            "m=audio "
        } else {
            "m=video "
        };
        prop_assert!(part.m_line.starts_with(media));
        prop_assert!(part.values("mid").is_empty() || part.values("mid") == [&track.mid]);
        let listed: Vec<_> = part.m_line.split(' ').skip(3).collect();
        let place = |number: u8| listed.iter().position(|it| *it == number.to_string());
        let numbers = track.formats.iter().flat_map(|f| {
            let mut sound = [Some(f.payload_type), f.red_payload_type];
            // What is redundant stands where the offer has it.
            sound.sort_by_key(|number| number.and_then(place));
            let numbers = sound.into_iter().chain([f.rtx_payload_type]);
            numbers.flatten()
        });
        let numbers: Vec<_> = numbers.map(|number| number.to_string()).collect();
        prop_assert_eq!(&listed, &numbers);
        let ids = track.extensions;
        let ids = [
            ids.mid,
            ids.rid,
            ids.repaired_rid,
            ids.transport_cc,
            ids.descriptor,
            ids.playout_delay,
            ids.capture_time,
        ];
        prop_assert_eq!(
            part.values("extmap").len(),
            ids.into_iter().flatten().count()
        );
    }
    Ok(())
}

/// Two answers of a session agree on every number, whatever the order.
fn check_same_numbers(first: &str, second: &str) -> Result<(), TestCaseError> {
    for (before, now) in parts(first).1.iter().zip(&parts(second).1) {
        prop_assert_eq!(before.is_rejected(), now.is_rejected());
        for key in ["rtpmap", "extmap", "fmtp"] {
            prop_assert_eq!(before.map(key), now.map(key));
        }
    }
    Ok(())
}

#[derive(Clone, Debug)]
struct Offer {
    sections: Vec<Section>,
    /// Identifier by extension, the same in all sections.
    extensions: Vec<(u8, &'static str)>,
    line_end: &'static str,
    setup: &'static str,
    transport_in_session: bool,
}

#[derive(Clone, Debug)]
struct Section {
    media: &'static str,
    mid: Option<String>,
    direction: &'static str,
    /// Payload type, encoding, and what follows in `a=fmtp`.
    payloads: Vec<(u8, &'static str, String)>,
    extensions: Vec<usize>,
    /// How many layers are sent.
    layers: u8,
    is_off: bool,
}

impl Offer {
    fn has_usable_media(&self, side: Side) -> bool {
        self.sections.iter().any(|section| {
            let forwards = |(_, encoding, _): &(u8, &str, String)| FORWARDED.contains(encoding);
            side.directions().0.contains(&section.direction)
                && !section.is_off
                && section.payloads.iter().any(forwards)
        })
    }

    /// The same with the preferences the other way round, as a page may set them at any time.
    fn reordered(&self) -> Self {
        let mut offer = self.clone();
        offer
            .sections
            .iter_mut()
            .for_each(|section| section.payloads.reverse());
        offer
    }

    fn text(&self, ufrag: &str) -> String {
        let mut text = "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n".to_owned();
        let mids: Vec<_> = self
            .sections
            .iter()
            .filter_map(|s| s.mid.as_deref())
            .collect();
        let transport = format!(
            "a=ice-ufrag:{ufrag}\na=ice-pwd:0123456789012345678901\na=setup:{}\n\
             a=fingerprint:sha-256 {}\n",
            self.setup,
            ["5A"; 32].join(":")
        );
        writeln!(text, "a=group:BUNDLE {}", mids.join(" ")).unwrap();
        if self.transport_in_session {
            text.push_str(&transport);
        }
        for section in &self.sections {
            section.write(&mut text, self);
            if !self.transport_in_session {
                text.push_str(&transport);
            }
        }
        text.replace('\n', self.line_end)
    }
}

impl Section {
    fn write(&self, text: &mut String, offer: &Offer) {
        let port = if self.is_off { 0 } else { 9 };
        if self.media == "application" {
            writeln!(
                text,
                "m=application {port} UDP/DTLS/SCTP webrtc-datachannel"
            )
            .unwrap();
        } else {
            let numbers: Vec<_> = self
                .payloads
                .iter()
                .map(|(pt, ..)| pt.to_string())
                .collect();
            let numbers = if numbers.is_empty() {
                "0".to_owned()
            } else {
                numbers.join(" ")
            };
            writeln!(text, "m={} {port} UDP/TLS/RTP/SAVPF {numbers}", self.media).unwrap();
        }
        if let Some(mid) = &self.mid {
            writeln!(text, "a=mid:{mid}").unwrap();
        }
        writeln!(text, "a={}\na=rtcp-mux", self.direction).unwrap();
        for (payload_type, encoding, parameters) in &self.payloads {
            writeln!(text, "a=rtpmap:{payload_type} {encoding}").unwrap();
            for feedback in ["nack", "nack pli", "goog-remb", "transport-cc"] {
                writeln!(text, "a=rtcp-fb:{payload_type} {feedback}").unwrap();
            }
            if !parameters.is_empty() {
                writeln!(text, "a=fmtp:{payload_type} {parameters}").unwrap();
            }
        }
        for index in &self.extensions {
            let (id, uri) = offer.extensions[*index];
            writeln!(text, "a=extmap:{id} {uri}").unwrap();
        }
        let rids: Vec<_> = (0..self.layers).map(|layer| format!("r{layer}")).collect();
        for rid in &rids {
            writeln!(text, "a=rid:{rid} send").unwrap();
        }
        if !rids.is_empty() {
            writeln!(text, "a=simulcast:send {}", rids.join(";")).unwrap();
        }
    }
}

const FORWARDED: [&str; 5] = [
    "opus/48000/2",
    "VP8/90000",
    "VP9/90000",
    "AV1/90000",
    "H264/90000",
];

const URIS: [&str; 6] = [
    "urn:ietf:params:rtp-hdrext:sdes:mid",
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "urn:3gpp:video-orientation",
];

fn offer() -> impl Strategy<Value = Offer> {
    let all_payload_types: Vec<u8> = (35..=63).chain(96..=127).collect();
    let ids: Vec<u8> = (1..=14).chain(16..=255).collect();
    let sections = prop::collection::vec(section(), 1..=8);
    (
        sections,
        Just(all_payload_types).prop_shuffle(),
        Just(ids).prop_shuffle(),
        select(vec!["\n", "\r\n"]),
        select(vec!["actpass", "active", "passive"]),
        any::<bool>(),
    )
        .prop_map(
            |(mut sections, payload_types, ids, line_end, setup, transport_in_session)| {
                let is_alone = sections.len() == 1;
                let mut free = payload_types.into_iter();
                for (index, section) in sections.iter_mut().enumerate() {
                    section.number(&mut free);
                    section.mid = match section.mid.take() {
                        None if is_alone => None,
                        name => Some(format!("{}{index}", name.unwrap_or_default())),
                    };
                }
                let extensions = ids.into_iter().zip(URIS).collect();
                Offer {
                    sections,
                    extensions,
                    line_end,
                    setup,
                    transport_in_session,
                }
            },
        )
}

impl Section {
    /// Gives each payload type a number of its own, each `rtx` that of one before it, and what is redundant that of its
    /// blocks. Payload types for
    /// which an offer has no number left (RFC 5761 §4 leaves 61) are not offered.
    fn number(&mut self, free: &mut impl ExactSizeIterator<Item = u8>) {
        self.payloads.truncate(free.len());
        let mut before = Vec::new();
        for (payload_type, encoding, parameters) in &mut self.payloads {
            *payload_type = free.next().unwrap();
            if *encoding == "rtx/90000" {
                let position: usize = parameters.parse().unwrap();
                let apt = if before.is_empty() {
                    0
                } else {
                    before[position % before.len()]
                };
                *parameters = format!("apt={apt}");
            } else {
                before.push(*payload_type);
            }
        }
        let mut opus = self.payloads.iter().filter(|it| it.1 == "opus/48000/2");
        let opus = opus.next().map_or(0, |(payload_type, ..)| *payload_type);
        for (_, _, blocks) in self.payloads.iter_mut().filter(|it| it.1 == "red/48000/2") {
            *blocks = match blocks.as_str() {
                "all" => format!("{opus}/{opus}"),
                "some" => format!("{opus}/9"),
                _ => String::new(),
            };
        }
    }
}

fn section() -> impl Strategy<Value = Section> {
    (
        select(vec!["audio", "video", "video", "application"]),
        prop::option::of("[a-z]{0,8}"),
        select(vec!["sendonly", "sendrecv", "recvonly", "inactive"]),
        any::<(u8, u8)>(),
        subsequence((0..URIS.len()).collect::<Vec<_>>(), 0..=URIS.len()),
        (0..=6_u8, prop::bool::weighted(0.1)),
    )
        .prop_flat_map(
            |(media, mid, direction, rtx, extensions, (layers, is_off))| {
                payloads(media, rtx).prop_map(move |payloads| Section {
                    media,
                    mid: mid.clone(),
                    direction,
                    payloads,
                    extensions: extensions.clone(),
                    layers: if media == "video" { layers } else { 0 },
                    is_off,
                })
            },
        )
}

fn payloads(
    media: &str,
    rtx: (u8, u8),
) -> impl Strategy<Value = Vec<(u8, &'static str, String)>> + use<> {
    let all: Vec<(u8, &'static str, String)> = match media {
        "audio" => vec![
            (0, "opus/48000/2", "minptime=10;useinbandfec=1".to_owned()),
            (
                0,
                "red/48000/2",
                ["", "all", "some"][usize::from(rtx.0 % 3)].to_owned(),
            ),
            (0, "G722/8000", String::new()),
        ],
        "video" => vec![
            (0, "VP8/90000", String::new()),
            (0, "VP9/90000", "profile-id=2".to_owned()),
            (
                0,
                "H264/90000",
                "packetization-mode=1;profile-level-id=42e01f".to_owned(),
            ),
            (0, "H264/90000", "profile-level-id=640028".to_owned()),
            (0, "AV1/90000", "profile=0".to_owned()),
            (0, "H265/90000", String::new()),
            (0, "rtx/90000", rtx.0.to_string()),
            (0, "rtx/90000", rtx.1.to_string()),
            (0, "flexfec-03/90000", String::new()),
        ],
        _ => Vec::new(),
    };
    let most = all.len();
    subsequence(all, 0..=most).prop_shuffle()
}
