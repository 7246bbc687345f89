//! What viewers are offered, and what browsers answer.

use klieg_sfu::{Codec, DtlsRole, Kind};

use super::*;

fn view() -> (Session, Negotiated) {
    Session::view(&config(), PEER, ROOM)
}

#[test]
fn the_offer_is_as_reviewed_and_the_same_to_all() {
    let (_, first) = view();
    let (_, second) = view();
    insta::assert_snapshot!("view-offer", masked(&first.sdp));
    assert_eq!(masked(&first.sdp), masked(&second.sdp));
    assert_ne!(first.sdp, second.sdp);
    let [Command::AddPeer(spec)] = &first.commands[..] else {
        panic!("{:?}", first.commands)
    };
    assert_eq!((spec.peer, spec.room), (PEER, ROOM));
    assert_eq!(parts(&first.sdp).1[1].values("ice-pwd"), [&spec.local.pwd]);
}

#[test]
fn browsers_accept_what_they_can_play() {
    use Codec::{Av1, H264, Opus, Vp8, Vp9};
    let chromium = vec![Vp8, H264, H264, H264, H264, Vp9, Av1];
    for (browser, codecs) in [("chromium", chromium), ("firefox", vec![Vp8, Vp9, Av1])] {
        let (mut session, _) = view();
        let answer = captured(&format!("{browser}-view-answer"));
        let commands = session.handle_answer(&answer).unwrap();

        let remote = remote(&commands);
        assert_eq!(remote.dtls_role, DtlsRole::Server);
        assert_eq!(remote.is_prompt, browser == "chromium");
        assert_eq!(parts(&answer).1[0].values("ice-ufrag"), [&remote.ice.ufrag]);
        let [audio, video] = send_tracks(&commands) else {
            panic!("two tracks")
        };
        assert_eq!((audio.kind, video.kind), (Kind::Audio, Kind::Video));
        assert_eq!(
            audio
                .formats
                .iter()
                .map(|f| f.format.codec)
                .collect::<Vec<_>>(),
            [Opus]
        );
        assert_eq!(
            video
                .formats
                .iter()
                .map(|f| f.format.codec)
                .collect::<Vec<_>>(),
            codecs
        );
        assert!(
            video
                .formats
                .iter()
                .all(|f| f.rtx_payload_type.is_some() && f.feedback.nack)
        );
        assert!(video.ssrc.rtx.is_some() && audio.ssrc.rtx.is_none());
        assert_eq!(audio.cname, video.cname);
        assert_eq!(video.stalls_at_once, browser == "firefox");
        assert!(!session.sends(Kind::Video));
    }
}

/// What browsers accept of the lines that the estimate of a viewer's network needs. The answers were captured without
/// them, so each gets them here as browsers write them.
fn with_transport_feedback(answer: &str, id: u8) -> String {
    let uri = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
    let mut text = String::new();
    for line in answer.lines() {
        text.push_str(line);
        text.push_str("\r\n");
        if line.starts_with("a=mid:") {
            text.push_str(&format!("a=extmap:{id} {uri}\r\n"));
        }
        for payload_type in ["111", "96"] {
            if line.starts_with(&format!("a=rtpmap:{payload_type} ")) {
                text.push_str(&format!("a=rtcp-fb:{payload_type} transport-cc\r\n"));
                text.push_str(&format!("a=rtcp-fb:{payload_type} goog-remb\r\n"));
            }
        }
    }
    text
}

#[test]
fn viewers_get_redundant_sound_where_they_accept_it() {
    let plain = captured("chromium-view-answer");
    let rtpmap = "a=rtpmap:111 opus/48000/2\r\n";
    let taking = |blocks: &str| {
        let red = format!("{rtpmap}a=rtpmap:63 red/48000/2\r\n{blocks}");
        let answer = plain.replace("SAVPF 111", "SAVPF 111 63");
        answer.replace(rtpmap, &red)
    };
    let whole = taking("a=fmtp:63 111/111\r\n");
    let other = taking("a=fmtp:63 111/9\r\n");
    for (answer, red) in [(&whole, Some(63)), (&plain, None), (&other, None)] {
        let (mut session, _) = view();
        let commands = session.handle_answer(answer).unwrap();
        let [audio, _] = send_tracks(&commands) else {
            panic!("two tracks")
        };
        let formats = audio.formats.iter();
        let formats = formats.map(|it| (it.payload_type, it.red_payload_type));
        assert_eq!(formats.collect::<Vec<_>>(), [(111, red)]);
    }
    let (mut session, _) = view();
    let foreign = whole.replace("a=rtpmap:63 red/", "a=rtpmap:63 G722/");
    let refused = session.handle_answer(&foreign).unwrap_err();
    assert_eq!(refused.code(), "bad_sdp");
}

#[test]
fn transport_wide_feedback_is_used_where_the_answer_accepts_it() {
    let answer = captured("chromium-view-answer");
    let (mut session, _) = view();
    let commands = session
        .handle_answer(&with_transport_feedback(&answer, 3))
        .unwrap();
    let [audio, video] = send_tracks(&commands) else {
        panic!("two tracks")
    };
    for track in [audio, video] {
        assert_eq!(track.extensions.transport_cc, Some(3));
        let feedback = track.formats[0].feedback;
        assert!(feedback.transport_cc, "{:?}", track.kind);
        assert_eq!(feedback.remb, track.kind == Kind::Video);
    }
    let (mut session, _) = view();
    let commands = session.handle_answer(&answer).unwrap();
    for track in send_tracks(&commands) {
        assert_eq!(track.extensions.transport_cc, None);
        assert!(track.formats.iter().all(|it| !it.feedback.transport_cc));
    }
    let (mut session, _) = view();
    let error = session.handle_answer(&with_transport_feedback(&answer, 4));
    assert_eq!(error.unwrap_err().code(), "bad_sdp");
}

#[test]
fn a_restart_offers_the_same_with_new_credentials() {
    for browser in ["chromium", "firefox"] {
        let (mut session, first) = view();
        session
            .handle_answer(&captured(&format!("{browser}-view-answer")))
            .unwrap();

        let second = session.restart(&config()).unwrap();
        assert_eq!(
            masked(&first.sdp).replace(" 1 IN", " 2 IN"),
            masked(&second.sdp)
        );
        let [
            Command::RestartIce {
                peer: PEER,
                local,
                remote: None,
            },
        ] = &second.commands[..]
        else {
            panic!("{:?}", second.commands)
        };
        assert_eq!(parts(&second.sdp).1[0].values("ice-ufrag"), [&local.ufrag]);
        assert_ne!(parts(&first.sdp).1[0].values("ice-ufrag"), [&local.ufrag]);

        let answer = captured(&format!("{browser}-view-answer-restarted"));
        let commands = session.handle_answer(&answer).unwrap();
        let [
            Command::RestartIce {
                peer: PEER,
                local: again,
                remote: Some(remote),
            },
        ] = &commands[..]
        else {
            panic!("{commands:?}")
        };
        assert_eq!(again, local);
        assert_eq!(parts(&answer).1[0].values("ice-ufrag"), [&remote.ufrag]);
    }
}

#[test]
fn an_answer_that_stops_the_sound_leaves_the_picture() {
    for browser in ["chromium", "firefox"] {
        let (mut session, _) = view();
        let answer = captured(&format!("{browser}-view-answer-audio-stopped"));
        let commands = session.handle_answer(&answer).unwrap();
        let [track] = send_tracks(&commands) else {
            panic!("one track")
        };
        assert_eq!(track.kind, Kind::Video);
    }
}

#[test]
fn an_m_line_that_was_refused_stays_off() {
    let (mut session, _) = view();
    let answer = captured("firefox-view-answer");
    let refused = answer
        .replace("m=audio 9", "m=audio 0")
        .replace("BUNDLE 0 1", "BUNDLE 1");
    let commands = session.handle_answer(&refused).unwrap();
    assert_eq!(send_tracks(&commands).len(), 1);

    let again = session.restart(&config()).unwrap();
    let (head, lines) = parts(&again.sdp);
    assert!(head.has("a=group:BUNDLE 1"));
    assert!(
        lines[0].is_rejected() && lines[0].has("a=mid:0") && lines[1].has("a=end-of-candidates")
    );
    assert!(session.handle_answer(&refused).unwrap().is_empty());
}

#[test]
fn answers_that_do_not_fit_are_refused_and_the_offer_stands() {
    let (mut session, _) = view();
    let answer = captured("firefox-view-answer");
    for (from, to, said) in [
        (
            "a=mid:0",
            "a=mid:x",
            "m-line 1 (audio): the offer has m=audio with a=mid:0 here",
        ),
        (
            "m=audio",
            "m=video",
            "m-line 1 (video): the offer has m=audio with a=mid:0 here",
        ),
        ("a=recvonly", "a=sendrecv", "is a=recvonly or a=inactive"),
        (
            "a=rtpmap:96 VP8",
            "a=rtpmap:96 VP9",
            "payload type 96 was not offered so",
        ),
        (
            "rtpmap:45 AV1",
            "rtpmap:45 VP8",
            "payload type 45 was not offered so",
        ),
        ("apt=96", "apt=98", "payload type 97 was not offered so"),
        (
            "a=setup:active",
            "a=setup:actpass",
            "a=setup:actpass is for offers",
        ),
        (
            "a=group:BUNDLE 0 1",
            "a=group:BUNDLE 0",
            "is not in the a=group:BUNDLE",
        ),
        (
            "s=-",
            "s=-\r\na=x\r\nt=0 0\r\na=ice-lite",
            "not a session description",
        ),
        (
            "a=ice-options",
            "a=ice-lite\r\na=ice-options",
            "one end has to check",
        ),
        ("a=rtcp-mux", "a=x", "a=rtcp-mux is missing"),
        ("sha-256", "sha-512", "sha-256 is needed"),
    ] {
        let changed = answer.replace(from, to);
        assert_ne!(changed, answer, "{from}");
        let error = session.handle_answer(&changed).unwrap_err();
        assert_eq!(error.code(), "bad_sdp");
        assert!(error.to_string().contains(said), "{from} → {to}: {error}");
    }
    assert_eq!(session.handle_answer(&answer).unwrap().len(), 1);
    let error = session.handle_answer(&answer).unwrap_err();
    assert_eq!(error, NegotiationError::NoOffer);
}

#[test]
fn answers_with_fewer_m_lines_or_nothing_to_play_are_refused() {
    let (mut session, _) = view();
    let answer = captured("firefox-view-answer");
    let first_line = &answer[..answer.find("m=video").unwrap()];
    let error = session.handle_answer(first_line).unwrap_err();
    assert_eq!(error.to_string(), "session: the offer has 2 m-lines");
    for nothing in [
        answer
            .replace("m=audio 9", "m=audio 0")
            .replace("m=video 9", "m=video 0"),
        answer.replace("a=recvonly", "a=inactive"),
    ] {
        assert_eq!(
            session.handle_answer(&nothing).unwrap_err().code(),
            "no_common_codec"
        );
    }
}

#[test]
fn a_passive_answer_makes_the_server_the_client() {
    let (mut session, _) = view();
    let answer = captured("chromium-view-answer").replace("a=setup:active", "a=setup:passive");
    let commands = session.handle_answer(&answer).unwrap();
    assert_eq!(remote(&commands).dtls_role, DtlsRole::Client);
}

#[test]
fn answers_may_lack_retransmission_and_feedback() {
    let (mut session, _) = view();
    let answer = captured("firefox-view-answer").replace("SAVPF 96 97 98 99 45 46", "SAVPF 96");
    let without = answer.replace("a=rtcp-fb:96 nack\r\n", "");
    let commands = session.handle_answer(&without).unwrap();
    let [_, video] = send_tracks(&commands) else {
        panic!("two tracks")
    };
    assert_eq!(video.formats.len(), 1);
    let payload = video.formats[0];
    assert_eq!((payload.payload_type, payload.rtx_payload_type), (96, None));
    assert!(!payload.feedback.nack && payload.feedback.pli && payload.feedback.fir);
}

#[test]
fn a_restart_before_the_answer_serves_both_answers() {
    let (mut session, _) = view();
    session.restart(&config()).unwrap();
    let (first, second) = (
        captured("chromium-view-answer"),
        captured("chromium-view-answer-restarted"),
    );
    assert!(matches!(
        session.handle_answer(&first).unwrap()[..],
        [Command::SetRemote(..)]
    ));
    assert!(matches!(
        session.handle_answer(&second).unwrap()[..],
        [Command::RestartIce { .. }]
    ));
}

#[test]
fn sides_are_not_confused() {
    let (mut viewer, _) = view();
    let offer = captured("chromium-default");
    let (mut publisher, _) = publish(&offer).unwrap();
    let wrong = [
        viewer
            .handle_offer(&config(), &offer)
            .map(|_| ())
            .unwrap_err(),
        publisher
            .handle_answer(&captured("chromium-view-answer"))
            .map(|_| ())
            .unwrap_err(),
        publisher.restart(&config()).map(|_| ()).unwrap_err(),
    ];
    for error in wrong {
        assert!(matches!(error, NegotiationError::WrongSide(_)));
        assert_eq!(error.code(), "bad_sdp");
    }
}

#[test]
fn a_player_that_offers_transport_wide_feedback_gets_the_number_it_asked_for() {
    for (browser, id) in [("chromium", 3), ("firefox", 7)] {
        let offer = captured(&format!("{browser}-default")).replace("a=sendrecv", "a=recvonly");
        let offer = offer.replace("a=sendonly", "a=recvonly");
        let (_, negotiated) = Session::watch(&config(), PEER, ROOM, &offer).unwrap();
        let tracks = send_tracks(&negotiated.commands);
        for track in tracks {
            assert_eq!(track.extensions.transport_cc, Some(id), "{browser}");
            let feedback = track.formats[0].feedback;
            assert!(feedback.transport_cc && !feedback.remb, "{browser}");
            assert_eq!(track.stalls_at_once, browser.starts_with("firefox"));
        }
        let line = format!("a=extmap:{id} http://www.ietf.org/id/draft-holmer-rmcat-transport");
        assert_eq!(negotiated.sdp.matches(&line).count(), tracks.len());
        // That of pictures has the play-out delay, too, under the browser's number.
        let delays = tracks.iter().filter_map(|it| it.extensions.playout_delay);
        let delays: Vec<_> = delays.collect();
        assert_eq!(delays.len(), 1, "{browser}");
        let number = format!("a=extmap:{}", delays[0]);
        let mut lines = negotiated.sdp.lines();
        // Firefox offers to receive it alone, and is answered that it is sent alone.
        let is_said = lines.any(|it| it.starts_with(&number) && it.ends_with(PLAYOUT_DELAY));
        assert!(is_said, "{browser}");
        let all = negotiated.sdp.matches("a=extmap:").count();
        assert_eq!(all, tracks.len() + 1);
        assert!(!negotiated.sdp.contains("goog-remb"));
    }
}

#[test]
fn a_player_without_transport_wide_numbers_is_asked_for_its_own_estimate() {
    let offer = captured("chromium-default").replace("a=sendonly", "a=recvonly");
    let offer = offer.replace("a=sendrecv", "a=recvonly");
    let lines = offer.lines().filter(|line| !line.contains("transport"));
    let offer: String = lines.map(|line| format!("{line}\r\n")).collect();
    let (_, negotiated) = Session::watch(&config(), PEER, ROOM, &offer).unwrap();
    let [.., video] = send_tracks(&negotiated.commands) else {
        panic!("a track")
    };
    assert!(video.formats[0].feedback.remb);
    assert!(negotiated.sdp.contains("a=rtcp-fb:96 goog-remb"));
    assert!(!negotiated.sdp.contains("transport-cc"));
    assert_eq!(video.extensions.transport_cc, None);
    assert!(negotiated.sdp.contains(PLAYOUT_DELAY));
}

#[test]
fn how_long_pictures_wait_is_said_to_who_takes_it_and_never_of_sound() {
    let answer = captured("chromium-view-answer");
    let with = |mid: &str, id: u8| {
        let place = format!("a=mid:{mid}\r\n");
        let (before, after) = answer.split_once(&place).unwrap();
        format!("{before}{place}a=extmap:{id} {PLAYOUT_DELAY}\r\n{after}")
    };
    let ids = |answer: &str| {
        let (mut session, _) = view();
        let commands = session.handle_answer(answer)?;
        let tracks = send_tracks(&commands).iter();
        let ids = tracks.map(|it| it.extensions.playout_delay);
        Ok::<Vec<Option<u8>>, NegotiationError>(ids.collect())
    };
    assert_eq!(ids(&with("1", 5)).unwrap(), [None, Some(5)]);
    assert_eq!(ids(&with("0", 5)).unwrap(), [None, None]);
    let error = ids(&with("1", 6)).unwrap_err();
    assert!(error.to_string().contains("a=extmap:6 was not offered so"));

    // What a publisher's device waits is its own affair.
    let offer = captured("chromium-default");
    let (_, negotiated) = publish(&offer).unwrap();
    assert!(offer.contains(PLAYOUT_DELAY) && !negotiated.sdp.contains(PLAYOUT_DELAY));
}

#[test]
fn times_of_capture_are_negotiated_with_all_who_take_them() {
    let answer = captured("chromium-view-answer");
    let line = |id: u8| format!("a=extmap:{id} {CAPTURE_TIME}\r\n");
    let with = |id: u8| answer.replace("a=mid:", &format!("{}a=mid:", line(id)));
    let ids = |answer: &str| {
        let (mut session, _) = view();
        let commands = session.handle_answer(answer)?;
        let tracks = send_tracks(&commands).iter();
        let ids = tracks.map(|it| it.extensions.capture_time);
        Ok::<Vec<Option<u8>>, NegotiationError>(ids.collect())
    };
    assert_eq!(ids(&with(6)).unwrap(), [Some(6); 2]);
    assert_eq!(ids(&answer).unwrap(), [None; 2]);
    let error = ids(&with(7)).unwrap_err();
    assert!(error.to_string().contains("a=extmap:7 was not offered so"));

    // A player and a publisher have it under their own number, where they offer it.
    let offer = captured("chromium-default");
    let offer = offer.replace("a=mid:", &format!("{}a=mid:", line(9)));
    let (_, published) = publish(&offer).unwrap();
    let offer = offer.replace("a=sendrecv", "a=recvonly");
    let offer = offer.replace("a=sendonly", "a=recvonly");
    let (_, watched) = Session::watch(&config(), PEER, ROOM, &offer).unwrap();
    for negotiated in [published, watched] {
        assert_eq!(negotiated.sdp.matches(&line(9)).count(), 2);
    }
}

const CAPTURE_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";

const PLAYOUT_DELAY: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

#[test]
fn dependency_descriptors_go_to_who_takes_them_with_headers_of_both_forms() {
    let uri =
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
    let offer = captured("chromium-simulcast").replace("a=sendonly", "a=recvonly");
    let identifier = |offer: &str| {
        let (_, negotiated) = Session::watch(&config(), PEER, ROOM, offer).unwrap();
        let [audio, video] = send_tracks(&negotiated.commands) else {
            panic!("two tracks")
        };
        assert_eq!(audio.extensions.descriptor, None);
        assert_eq!(
            negotiated.sdp.contains(uri),
            video.extensions.descriptor.is_some()
        );
        video.extensions.descriptor
    };
    assert_eq!(identifier(&offer), Some(12));
    assert_eq!(
        identifier(&offer.replace("a=extmap-allow-mixed\r\n", "")),
        None
    );

    let answer = captured("chromium-view-answer");
    let with = |id: u8| {
        let (before, after) = answer.split_once("a=mid:1\r\n").unwrap();
        let mixed = before.replacen("t=0 0\r\n", "t=0 0\r\na=extmap-allow-mixed\r\n", 1);
        format!("{mixed}a=mid:1\r\na=extmap:{id} {uri}\r\n{after}")
    };
    let (mut session, _) = view();
    let commands = session.handle_answer(&with(4)).unwrap();
    let ids = send_tracks(&commands)
        .iter()
        .map(|it| it.extensions.descriptor);
    assert_eq!(ids.collect::<Vec<_>>(), [None, Some(4)]);
    let (mut session, _) = view();
    let error = session.handle_answer(&with(5)).unwrap_err();
    assert!(
        error.to_string().contains("a=extmap:5 was not offered so"),
        "{error}"
    );
}
