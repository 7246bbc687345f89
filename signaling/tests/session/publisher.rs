//! What browsers and ffmpeg offer, and what they get.

use klieg_sfu::{
    Codec, DtlsRole, ExtensionIds, Feedback, Format, Kind, PayloadFormat, ReceiveTrack, SsrcPair,
};

use super::*;

#[test]
fn answers_to_captured_offers_are_as_reviewed() {
    for name in [
        "chromium-default",
        "chromium-many",
        "chromium-simulcast",
        "firefox-default",
        "firefox-many",
        "firefox-max-bundle",
        "firefox-simulcast",
        "ffmpeg8-whip-offer",
    ] {
        let (_, negotiated) = publish(&captured(name)).unwrap();
        insta::assert_snapshot!(name, masked(&negotiated.sdp));
    }
}

#[test]
fn every_captured_offer_is_taken_with_sound_and_picture() {
    for name in [
        "chromium-gathered",
        "chromium-max-bundle",
        "chromium-only-h264",
        "chromium-prefers-av1",
        "firefox-gathered",
        "firefox-prefers-vp9",
    ] {
        let (session, negotiated) = publish(&captured(name)).unwrap();
        let kinds: Vec<_> = receive_tracks(&negotiated.commands)
            .iter()
            .map(|t| t.kind)
            .collect();
        assert_eq!(kinds, [Kind::Audio, Kind::Video], "{name}");
        assert_eq!(session.peer(), PEER);
        assert!(session.sends(Kind::Audio) && session.sends(Kind::Video));
    }
    for name in ["chromium-audio-only", "firefox-audio-only"] {
        let (session, negotiated) = publish(&captured(name)).unwrap();
        assert_eq!(receive_tracks(&negotiated.commands).len(), 1, "{name}");
        assert!(session.sends(Kind::Audio) && !session.sends(Kind::Video));
    }
}

#[test]
fn a_firefox_offer_gives_exactly_its_tracks() {
    let (_, negotiated) = publish(&captured("firefox-default")).unwrap();

    let tracks = receive_tracks(&negotiated.commands);
    assert_eq!(format!("{tracks:#?}"), format!("{:#?}", firefox_tracks()));
}

/// What the default offer of a Firefox page says, in the words of the forwarding unit.
fn firefox_tracks() -> [ReceiveTrack; 2] {
    let (_, offered) = parts(&captured("firefox-default"));
    let ssrc = |part: &Part, index: usize| -> u32 {
        let (ssrc, _) = part.values("ssrc")[index].split_once(' ').unwrap();
        ssrc.parse().unwrap()
    };
    let (audio, video) = (&offered[0], &offered[1]);
    let track = |kind, mid: &str, formats, ssrcs| ReceiveTrack {
        kind,
        mid: mid.to_owned(),
        formats,
        extensions: ExtensionIds {
            mid: Some(3),
            transport_cc: Some(7),
            ..Default::default()
        },
        ssrcs: vec![ssrcs],
        rids: Vec::new(),
    };
    let opus = PayloadFormat {
        feedback: Feedback {
            transport_cc: true,
            remb: false,
            ..Feedback::default()
        },
        ..firefox_payload(109, None, Codec::Opus)
    };
    let pictures = vec![
        firefox_payload(120, Some(124), Codec::Vp8),
        firefox_payload(121, Some(125), Codec::Vp9),
        firefox_payload(99, Some(100), Codec::Av1),
    ];
    let sound_ssrc = SsrcPair {
        media: ssrc(audio, 0),
        rtx: None,
    };
    let picture_ssrcs = SsrcPair {
        media: ssrc(video, 0),
        rtx: Some(ssrc(video, 1)),
    };
    [
        track(Kind::Audio, "0", vec![opus], sound_ssrc),
        track(Kind::Video, "1", pictures, picture_ssrcs),
    ]
}

fn firefox_payload(payload_type: u8, rtx: Option<u8>, codec: Codec) -> PayloadFormat {
    PayloadFormat {
        payload_type,
        rtx_payload_type: rtx,
        red_payload_type: None,
        format: Format {
            codec,
            profile: 0,
            packetization_mode: 0,
        },
        feedback: Feedback {
            nack: true,
            pli: true,
            fir: true,
            transport_cc: true,
            remb: false,
        },
    }
}

#[test]
fn a_chromium_offer_gives_its_formats_by_profile() {
    let (_, negotiated) = publish(&captured("chromium-default")).unwrap();
    let [_, video] = receive_tracks(&negotiated.commands) else {
        panic!("two tracks")
    };
    let formats: Vec<_> = video
        .formats
        .iter()
        .map(|payload| {
            let Format {
                codec,
                profile,
                packetization_mode,
            } = payload.format;
            (
                payload.payload_type,
                payload.rtx_payload_type,
                codec,
                profile,
                packetization_mode,
            )
        })
        .collect();
    let expected = [
        (96, Some(97), Codec::Vp8, 0, 0),
        (102, Some(103), Codec::H264, 0x4200, 1),
        (104, Some(107), Codec::H264, 0x4200, 0),
        (108, Some(109), Codec::H264, 0x42e0, 1),
        (114, Some(115), Codec::H264, 0x42e0, 0),
        (116, Some(117), Codec::H264, 0x4d00, 1),
        (39, Some(40), Codec::H264, 0x4d00, 0),
        (45, Some(46), Codec::Av1, 0, 0),
        (98, Some(99), Codec::Vp9, 0, 0),
        (100, Some(101), Codec::Vp9, 2, 0),
    ];
    assert_eq!(formats, expected);
    assert_eq!(video.extensions.rid, Some(10));
}

#[test]
fn redundant_sound_is_agreed_to_in_the_order_of_the_offer() {
    let offer = captured("chromium-default");
    let preferring = offer.replace("SAVPF 111 63 ", "SAVPF 63 111 ");
    assert_ne!(offer, preferring);
    for (offer, numbers) in [(&offer, "111 63"), (&preferring, "63 111")] {
        let (_, negotiated) = publish(offer).unwrap();
        let [audio, _] = receive_tracks(&negotiated.commands) else {
            panic!("two tracks")
        };
        let [opus] = &audio.formats[..] else {
            panic!("{:?}", audio.formats)
        };
        assert_eq!((opus.payload_type, opus.red_payload_type), (111, Some(63)));
        let (_, answered) = parts(&negotiated.sdp);
        assert!(answered[0].m_line.ends_with(&format!("SAVPF {numbers}")));
        let parameters = answered[0].map("fmtp");
        assert_eq!(parameters["63"], "111/111");
        assert_eq!(parameters["111"], "minptime=10;useinbandfec=1");
    }
}

#[test]
fn redundant_sound_of_other_codings_is_left_out() {
    let offer = captured("chromium-default");
    for blocks in [
        "",
        "a=fmtp:63 111/9",
        "a=fmtp:63 9/9",
        "a=fmtp:63 111/",
        "a=fmtp:63 x",
    ] {
        let other = offer.replace("a=fmtp:63 111/111", blocks);
        assert_ne!(offer, other);
        let (_, negotiated) = publish(&other.replace("\r\n\r\n", "\r\n")).unwrap();
        let [audio, _] = receive_tracks(&negotiated.commands) else {
            panic!("two tracks")
        };
        assert_eq!(audio.formats[0].red_payload_type, None, "{blocks}");
        assert!(!negotiated.sdp.contains(" red/"), "{blocks}");
    }
}

#[test]
fn a_later_offer_may_prefer_redundant_sound_or_drop_it_but_not_bring_it() {
    let offer = captured("chromium-default");
    let without = offer.replace("SAVPF 111 63 ", "SAVPF 111 ");
    let preferring = offer.replace("SAVPF 111 63 ", "SAVPF 63 111 ");
    let (mut session, _) = publish(&offer).unwrap();
    for (offer, numbers) in [
        (&preferring, "63 111"),
        (&offer, "111 63"),
        (&without, "111"),
        (&preferring, "111"),
    ] {
        let answer = session.handle_offer(&config(), offer).unwrap();
        let (_, answered) = parts(&answer.sdp);
        assert!(answered[0].m_line.ends_with(&format!("SAVPF {numbers}")));
    }
    let (mut session, _) = publish(&without).unwrap();
    let answer = session.handle_offer(&config(), &preferring).unwrap();
    assert!(
        !answer.sdp.contains(" red/"),
        "the forwarding unit was told of none"
    );
}

#[test]
fn ffmpeg_is_answered_actively_and_its_silent_retransmission_ssrc_is_found() {
    let (_, negotiated) = publish(&captured("ffmpeg8-whip-offer")).unwrap();
    let remote = remote(&negotiated.commands);
    assert_eq!(remote.dtls_role, DtlsRole::Client);
    assert_eq!(remote.ice.ufrag, "fc72255f");
    let [audio, video] = receive_tracks(&negotiated.commands) else {
        panic!("two tracks")
    };
    assert_eq!(
        audio.ssrcs,
        [SsrcPair {
            media: 3_654_464_498,
            rtx: None
        }]
    );
    assert_eq!(
        video.ssrcs,
        [SsrcPair {
            media: 3_654_464_499,
            rtx: Some(3_654_464_500)
        }]
    );
    assert_eq!(video.formats[0].rtx_payload_type, Some(105));
    assert!(
        parts(&negotiated.sdp)
            .1
            .iter()
            .all(|part| part.has("a=setup:active"))
    );
}

#[test]
fn the_answer_adds_the_peer_before_it_completes_it() {
    let (_, negotiated) = publish(&captured("chromium-default")).unwrap();
    let [Command::AddPeer(spec), Command::SetRemote(PEER, remote)] = &negotiated.commands[..]
    else {
        panic!("{:?}", negotiated.commands)
    };
    assert_eq!((spec.peer, spec.room), (PEER, ROOM));
    assert_eq!(remote.dtls_role, DtlsRole::Server);
    assert_eq!(remote.fingerprints.len(), 1);
    for part in parts(&negotiated.sdp).1 {
        assert_eq!(part.values("ice-ufrag"), [&spec.local.ufrag]);
        assert_eq!(part.values("ice-pwd"), [&spec.local.pwd]);
    }
}

#[test]
fn an_ice_restart_changes_the_credentials_of_both_and_nothing_else() {
    for browser in ["chromium", "firefox"] {
        let (mut session, first) = publish(&captured(&format!("{browser}-default"))).unwrap();
        let restart = captured(&format!("{browser}-default-restarted"));
        let second = session.handle_offer(&config(), &restart).unwrap();

        assert_eq!(
            masked(&first.sdp).replace(" 1 IN", " 2 IN"),
            masked(&second.sdp)
        );
        let [
            Command::RestartIce {
                peer: PEER,
                local,
                remote: Some(remote),
            },
        ] = &second.commands[..]
        else {
            panic!("{:?}", second.commands)
        };
        let (_, answered) = parts(&second.sdp);
        assert_eq!(answered[0].values("ice-ufrag"), [&local.ufrag]);
        assert_ne!(
            answered[0].values("ice-ufrag"),
            parts(&first.sdp).1[0].values("ice-ufrag")
        );
        assert_eq!(parts(&restart).1[0].values("ice-ufrag"), [&remote.ufrag]);
    }
}

#[test]
fn the_same_offer_again_changes_nothing() {
    let offer = captured("chromium-default");
    let (mut session, first) = publish(&offer).unwrap();
    let second = session.handle_offer(&config(), &offer).unwrap();
    assert!(second.commands.is_empty());
    assert_eq!(
        first.sdp.replace(" 1 IN IP4 127", " 2 IN IP4 127"),
        second.sdp
    );
}

#[test]
fn video_is_paused_resumed_and_switched_off_for_good() {
    for browser in ["chromium", "firefox"] {
        let (mut session, _) = publish(&captured(&format!("{browser}-default"))).unwrap();
        let restarted = captured(&format!("{browser}-default-restarted"));
        session.handle_offer(&config(), &restarted).unwrap();

        let paused = restarted.replacen("a=sendonly", "a=inactive", 2);
        let answer = session.handle_offer(&config(), &paused).unwrap();
        assert!(answer.commands.is_empty());
        assert!(!session.sends(Kind::Video));
        assert!(
            parts(&answer.sdp).1[1].has("a=inactive") && !parts(&answer.sdp).1[1].is_rejected()
        );

        let answer = session.handle_offer(&config(), &restarted).unwrap();
        assert!(session.sends(Kind::Video) && parts(&answer.sdp).1[1].has("a=recvonly"));

        let stopped = captured(&format!("{browser}-default-video-stopped"));
        let answer = session.handle_offer(&config(), &stopped).unwrap();
        assert!(answer.commands.is_empty());
        let (head, lines) = parts(&answer.sdp);
        assert!(head.has("a=group:BUNDLE 0") && lines[1].is_rejected());

        let recycled = captured(&format!("{browser}-default-video-recycled"));
        let answer = session.handle_offer(&config(), &recycled).unwrap();
        let (_, lines) = parts(&answer.sdp);
        assert!(
            lines[1].is_rejected() && lines[1].has("a=mid:2"),
            "{lines:?}"
        );
    }
}

#[test]
fn contradictions_are_refused_in_words_and_change_nothing() {
    let offer = captured("chromium-default");
    let (mut session, _) = publish(&offer).unwrap();
    let (video, fingerprint) = ("m-line 2 (video)", "a=fingerprint:sha-256 8");
    for (from, to, said) in [
        ("a=mid:1", "a=mid:other", video),
        (
            "a=rtpmap:96 VP8",
            "a=rtpmap:96 VP9",
            "payload type 96 changed its meaning",
        ),
        ("a=extmap:4 urn", "a=extmap:12 urn", "changed its meaning"),
        ("a=setup:actpass", "a=setup:passive", "DTLS roles"),
        (fingerprint, "a=fingerprint:sha-256 9", "a new certificate"),
    ] {
        let fingerprint_line = offer
            .lines()
            .find(|line| line.starts_with("a=fingerprint"))
            .unwrap();
        let changed = if from == fingerprint {
            let digit = if fingerprint_line.ends_with('0') {
                "1"
            } else {
                "0"
            };
            let other = format!("{}{digit}", &fingerprint_line[..fingerprint_line.len() - 1]);
            offer.replace(fingerprint_line, &other)
        } else {
            offer
                .replace(from, to)
                .replace("BUNDLE 0 1", "BUNDLE 0 1 other")
        };
        assert_ne!(changed, offer, "{from}");
        let error = session.handle_offer(&config(), &changed).unwrap_err();
        assert_eq!(error.code(), "bad_sdp");
        assert!(error.to_string().contains(said), "{from} → {to}: {error}");
    }
    let fewer = offer[..offer.find("m=video").unwrap()].replace("BUNDLE 0 1", "BUNDLE 0");
    let error = session.handle_offer(&config(), &fewer).unwrap_err();
    assert_eq!(error.to_string(), "session: there were 2 m-lines before");
    assert!(
        session
            .handle_offer(&config(), &offer)
            .unwrap()
            .sdp
            .contains(" 2 IN IP4")
    );
}

#[test]
fn what_is_missing_is_named() {
    let offer = captured("firefox-default");
    for (line, said) in [
        ("a=ice-ufrag", "m-line 1 (audio): a=ice-ufrag is missing"),
        ("a=ice-pwd", "m-line 1 (audio): a=ice-pwd is missing"),
        (
            "a=fingerprint",
            "m-line 1 (audio): a=fingerprint is missing",
        ),
        (
            "a=rtcp-mux",
            "m-line 1 (audio): a=rtcp-mux is missing: RTP and RTCP share a port",
        ),
        (
            "a=group",
            "m-line 2 (video): is not in the a=group:BUNDLE of the m-lines before: all \
                     media shares a transport",
        ),
        ("m=", "session: there is no m-line"),
    ] {
        let mut rest: Vec<_> = offer
            .lines()
            .filter(|have| !have.starts_with(line))
            .collect();
        if line == "m=" {
            rest.truncate(4);
        }
        let error = publish(&rest.join("\n")).unwrap_err();
        assert_eq!(
            (error.code(), error.to_string().as_str()),
            ("bad_sdp", said)
        );
    }
    for (from, to, said) in [
        ("sha-256 ", "sha-1 ", "with sha-1 only"),
        ("sha-256 ", "sha-256 0", "32 bytes"),
        ("a=setup:actpass", "a=setup:holdconn", "a=setup:holdconn"),
        ("a=sendonly", "a=recvonly", "no m-line sends"),
        ("a=ssrc:", "a=ssrc:x", "is not an SSRC"),
        ("a=ice-ufrag:", "a=ice-ufrag:\u{e9}", "ice-chars"),
        ("s=-", "s=-\r\nnoise", "line 4"),
        ("t=0 0", "t=0", "not a session description"),
        ("a=mid:1", "a=mid:0", "there twice"),
    ] {
        let error = publish(&offer.replace(from, to)).unwrap_err();
        assert_eq!(error.code(), "bad_sdp");
        assert!(error.to_string().contains(said), "{said}: {error}");
    }
}

/// A simulcast of Chromium, with other words for its layers.
fn simulcast(described: &[&str], list: &str) -> String {
    let offer = captured("chromium-simulcast");
    let is_rid = |line: &&str| line.starts_with("a=rid:") || line.starts_with("a=simulcast:");
    let mut text: String = offer
        .lines()
        .filter(|line| !is_rid(line))
        .map(|line| format!("{line}\r\n"))
        .collect();
    for rid in described {
        text.push_str(&format!("a=rid:{rid}\r\n"));
    }
    format!("{text}a=simulcast:{list}\r\n")
}

#[test]
fn layers_are_taken_in_the_order_of_the_simulcast_as_far_as_they_are_described() {
    let five = ["a send", "b send", "c send", "d send", "e send"];
    for (described, list, expected) in [
        (&["q send", "h send"][..], "send h;q", &["h", "q"][..]),
        (&["1 send"], "send 1", &["1"]),
        (&five, "send a;b;c;d;e", &["a", "b", "c", "d"]),
        // The first of alternatives, and those that are paused at first.
        (&["a send", "b send", "c send"], "send a,b;~c", &["a", "c"]),
        // The first is not described, is no RID, or is taken; of the last stream none is left.
        (
            &["a send", "b send", "c send"],
            "send x,a;b.b,~b;a,c;a,b",
            &["a", "b", "c"],
        ),
        (
            &["a send pt=96;max-width=320", "b send"],
            "recv x send a;b",
            &["a", "b"],
        ),
        // Not described, described as received, named twice, and named as no RID can be.
        (&["a send", "b recv"], "send a;b;c;a;", &["a"]),
        (&["a-1_B send", "a.b send"], "send a.b;a-1_B", &["a-1_B"]),
        (&["a send"], "recv a", &[]),
    ] {
        let (session, negotiated) = publish(&simulcast(described, list)).unwrap();
        let [_, track] = receive_tracks(&negotiated.commands) else {
            panic!("two tracks")
        };
        assert_eq!(track.rids, expected, "{list}");
        assert_eq!(session.rids().unwrap(), expected);
        let (_, lines) = parts(&negotiated.sdp);
        let answered: Vec<_> = expected.iter().map(|rid| format!("{rid} recv")).collect();
        assert_eq!(lines[1].values("rid"), answered);
        let list = (!expected.is_empty()).then(|| format!("recv {}", expected.join(";")));
        assert_eq!(lines[1].values("simulcast"), Vec::from_iter(list));
    }
}

#[test]
fn layers_that_packets_cannot_name_are_no_layers() {
    let offer = captured("chromium-simulcast").replace("sdes:rtp-stream-id", "sdes:other");
    let (session, negotiated) = publish(&offer).unwrap();
    assert!(session.rids().unwrap().is_empty() && !negotiated.sdp.contains("simulcast"));
}

#[test]
fn foreign_codecs_alone_are_no_common_codec_and_beside_others_refused() {
    let offer = captured("firefox-default");
    let foreign = offer
        .replace("opus", "speex")
        .replace("VP8", "H261")
        .replace("VP9", "H263");
    let error = publish(&foreign.replace("AV1", "H265")).unwrap_err();
    assert_eq!(error.code(), "no_common_codec");

    let (session, negotiated) = publish(&offer.replace("opus", "speex")).unwrap();
    assert_eq!(session.check_whole(), Err(NegotiationError::NoCommonCodec));
    let (head, lines) = parts(&negotiated.sdp);
    assert!(head.has("a=group:BUNDLE 1") && lines[0].is_rejected() && !lines[1].is_rejected());
    assert!(lines[1].has("a=end-of-candidates"));
}

#[test]
fn a_second_m_line_of_a_kind_is_refused_and_named() {
    let (session, negotiated) = publish(&captured("chromium-many")).unwrap();
    let (_, lines) = parts(&negotiated.sdp);
    assert!(lines.iter().any(Part::is_rejected));
    let error = session.check_whole().unwrap_err();
    assert!(error.to_string().contains("is a second m="), "{error}");
    for whole in [
        "chromium-default",
        "firefox-simulcast",
        "ffmpeg8-whip-offer",
    ] {
        let (session, _) = publish(&captured(whole)).unwrap();
        assert_eq!(session.check_whole(), Ok(()), "{whole}");
    }
}

#[test]
fn nothing_plays_on_an_m_line_that_was_refused_and_anything_where_nothing_was_wanted() {
    let watching = |name: &str| {
        captured(name)
            .replace("sendonly", "recvonly")
            .replace("sendrecv", "recvonly")
    };
    let vp8 = Format {
        codec: Codec::Vp8,
        profile: 0,
        packetization_mode: 0,
    };
    let foreign = ["VP8", "VP9", "AV1"]
        .iter()
        .fold(watching("firefox-default"), |offer, codec| {
            offer.replace(codec, "H265")
        });
    for (offer, plays) in [
        (watching("firefox-default"), true),
        (foreign, false),
        (watching("firefox-audio-only"), true),
    ] {
        let (session, _) = Session::watch(&config(), PEER, ROOM, &offer).unwrap();
        assert_eq!(session.plays(&vp8), plays);
    }
}

#[test]
fn a_bare_offer_without_mid_or_extensions_is_taken() {
    let offer = "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\na=ice-ufrag:abcd\n\
        a=ice-pwd:0123456789012345678901\na=setup:active\n\
        a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12:13:14:15:16:17:18:19:1a:1b:1c:1d:1e:1f\n\
        m=video 9 RTP/SAVPF 100\na=rtpmap:100 h264/90000\na=rtcp-mux\n";
    let (_, negotiated) = publish(offer).unwrap();
    let (head, lines) = parts(&negotiated.sdp);
    assert!(head.values("group").is_empty() && lines[0].values("mid").is_empty());
    assert_eq!(lines[0].m_line, "m=video 9 RTP/SAVPF 100");
    assert!(lines[0].has("a=setup:passive") && lines[0].has("a=recvonly"));
    let [track] = receive_tracks(&negotiated.commands) else {
        panic!("one track")
    };
    let format = Format {
        codec: Codec::H264,
        profile: 0x4200,
        packetization_mode: 0,
    };
    assert_eq!((track.formats[0].format, track.ssrcs.len()), (format, 0));
    assert_eq!(remote(&negotiated.commands).fingerprints[0].0[31], 31);
}

#[test]
fn numbers_with_two_meanings_on_one_transport_are_refused() {
    let offer = captured("firefox-default");
    let same_payload_type = offer
        .replace("SAVPF 109 ", "SAVPF 120 ")
        .replace(":109 ", ":120 ");
    let error = publish(&same_payload_type).unwrap_err();
    assert_eq!(
        error.to_string(),
        "session: payload type 120 has two meanings"
    );

    let audio_end = offer.find("m=video").unwrap();
    let audio = offer[..audio_end]
        .replace("extmap:3 ", "extmap:7 ")
        .replacen("extmap:7 h", "extmap:3 h", 1);
    let error = publish(&format!("{audio}{}", &offer[audio_end..])).unwrap_err();
    assert_eq!(error.to_string(), "session: a=extmap:3 has two meanings");
}
