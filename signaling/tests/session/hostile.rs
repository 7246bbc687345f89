//! Descriptions from those who mean harm: refused with a code, soon, and without a panic.

use std::time::Duration;

use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};

use super::*;

const CAPTURES: [&str; 6] = [
    "chromium-default",
    "chromium-simulcast",
    "firefox-many",
    "ffmpeg8-whip-offer",
    "chromium-view-answer",
    "firefox-view-answer",
];

/// Gives a description to every entry; what is refused has a code and what is answered keeps its shape.
fn offer_everywhere(text: &str) {
    let check = |error: NegotiationError| {
        assert!(["bad_sdp", "no_common_codec"].contains(&error.code()));
        assert!(error.to_string().len() < 400, "{error}");
    };
    let lines = text.lines().filter(|line| line.starts_with("m=")).count();
    let check_answer = |answer: &str| {
        assert_eq!(parts(answer).1.len(), lines, "{text}\n{answer}");
        assert!(answer.lines().all(|line| line.as_bytes()[1] == b'='));
    };
    match publish(text) {
        Ok((_, negotiated)) => check_answer(&negotiated.sdp),
        Err(error) => check(error),
    }
    match Session::watch(&config(), PEER, ROOM, text) {
        Ok((_, negotiated)) => check_answer(&negotiated.sdp),
        Err(error) => check(error),
    }
    let (mut publisher, _) = publish(&captured("chromium-default")).unwrap();
    if let Err(error) = publisher.handle_fragment(&config(), text) {
        check(error);
    }
    match publisher.handle_offer(&config(), text) {
        Ok(negotiated) => check_answer(&negotiated.sdp),
        Err(error) => check(error),
    }
    let (mut viewer, _) = Session::view(&config(), PEER, ROOM);
    if let Err(error) = viewer.handle_answer(text) {
        check(error);
    }
}

/// What the processor did for this thread: others that share the machine do not count.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

/// The best of a few runs of the entry that takes longest.
fn best_time(text: &str) -> Duration {
    let (publisher, _) = publish(&captured("chromium-default")).unwrap();
    let best = |read: &dyn Fn()| {
        let run = |_| {
            let start = cpu_time();
            read();
            cpu_time() - start
        };
        (0..5).map(run).min().unwrap()
    };
    let entries: [&dyn Fn(); 4] = [
        &|| drop(publish(text)),
        &|| drop(Session::watch(&config(), PEER, ROOM, text)),
        &|| drop(publisher.clone().handle_fragment(&config(), text)),
        &|| drop(publisher.clone().handle_offer(&config(), text)),
    ];
    entries.into_iter().map(best).max().unwrap()
}

#[test]
fn oversized_descriptions_are_refused_soon_and_with_the_line() {
    let offer = captured("chromium-default");
    let head = &offer[..offer.find("m=video").unwrap()];
    let numbered = |line: &dyn Fn(u32) -> String, count| (0..count).map(line).collect::<String>();
    for (tail, said) in [
        ("a".repeat(1 << 20), "more than 65536 bytes"),
        ("a=x\r\n".repeat(100_000), "more than 65536 bytes"),
        (
            "m=audio 9 RTP/SAVPF 0\r\n".repeat(10_000),
            "more than 65536 bytes",
        ),
        (
            "m=audio 9 RTP/SAVPF 0\r\n".repeat(2_000),
            "line 54: more than 16 m-lines",
        ),
        ("a=x\r\n".repeat(10_000), "line 2001: more than 2000 lines"),
        ("\n".repeat(50_000), "line 2001: more than 2000 lines"),
        (
            "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n".repeat(65),
            "more than 64 candidates",
        ),
        (
            numbered(&|n| format!("a=ssrc:{n} cname:x\r\n"), 9),
            "more than 8 SSRCs in an m-line",
        ),
        (
            format!("a=ssrc-group:FID {}", numbered(&|n| format!("{n} "), 9)),
            "more than 8 SSRCs in an m-line",
        ),
        (format!("a={}", "x".repeat(5000)), "more than 4096 bytes"),
        ("a=mid:0\ra=x\r\n".to_owned(), "control character"),
        ("a=fmtp:96 x\0y\r\n".to_owned(), "control character"),
    ] {
        let text = format!("{head}{tail}");
        let error = publish(&text).unwrap_err();
        assert_eq!(error.code(), "bad_sdp");
        assert!(error.to_string().contains(said), "{said}: {error}");
        let time = best_time(&text);
        assert!(time < Duration::from_millis(10), "{said}: {time:?}");
    }
}

#[test]
fn the_worst_within_the_limits_takes_no_longer() {
    let offer = captured("chromium-default");
    let fill = |text: &mut String, line: &dyn Fn(usize) -> String| {
        for index in 0..1500 {
            let line = line(index);
            if text.len() + line.len() > 64 * 1024 {
                break;
            }
            text.push_str(&line);
        }
    };
    let numbers = |range: std::ops::Range<u32>| range.map(|n| format!(" {n}")).collect::<String>();
    let many_formats = format!("m=video 9 RTP/SAVPF{}\r\n", numbers(0..1000));
    let long_bundle = format!("a=group:BUNDLE{}\r\n", numbers(1000..1800));
    let long_simulcast = format!("a=simulcast:send a{}\r\n", ";a".repeat(2000));
    let tails: [&dyn Fn(usize) -> String; 10] = [
        &|_| "a=rtcp-fb:* nack\r\n".to_owned(),
        &|index| format!("a=rtpmap:{} VP8/90000\r\n", index % 128),
        &|index| format!("a=fmtp:{} apt={}\r\n", index % 128, index % 127),
        &|index| format!("a=extmap:{index} urn:x\r\n"),
        &|_| "a=ssrc-group:FID 1 2 1 2 1 2 1 2 1 2 1 2 1 2 1 2 1 2\r\n".to_owned(),
        &|_| "a=ssrc:1 cname:x\r\n".to_owned(),
        &|index| {
            if index < 15 {
                many_formats.clone()
            } else {
                "a=x\r\n".to_owned()
            }
        },
        &|index| format!("a=fingerprint:sha-256 {index}\r\n"),
        &|index| format!("a=rid:{index} send\r\n"),
        &|index| {
            if index == 0 {
                long_simulcast.clone()
            } else {
                format!("a=rid:{index} send\r\n")
            }
        },
    ];
    for (number, tail) in tails.into_iter().enumerate() {
        let mut text = offer.clone();
        fill(&mut text, tail);
        offer_everywhere(&text);
        let time = best_time(&text);
        assert!(time < Duration::from_millis(10), "{number}: {time:?}");
    }
    let mut text = offer.replace("a=group:BUNDLE 0 1\r\n", "");
    let groups = long_bundle.repeat(12);
    text = text.replacen(
        "m=audio",
        &format!("{groups}a=group:BUNDLE 0 1\r\nm=audio"),
        1,
    );
    assert!(publish(&text).is_ok());
    assert!(best_time(&text) < Duration::from_millis(10));
}

#[test]
fn a_description_cut_at_any_byte_does_no_harm() {
    for name in [
        "firefox-default",
        "ffmpeg8-whip-offer",
        "firefox-view-answer",
    ] {
        let text = captured(name);
        for end in 0..text.len() {
            offer_everywhere(&text[..end]);
        }
    }
}

#[test]
fn noise_is_refused() {
    for text in [
        "", "\n", "\r", "=", "v", "v=", "v=0", "v=1", "a=b", "m=", "\u{0}", "ü=ü", "v=ü",
    ] {
        assert_eq!(publish(text).unwrap_err().code(), "bad_sdp", "{text:?}");
        offer_everywhere(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_do_no_harm(
        name in prop::sample::select(CAPTURES.to_vec()),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = captured(name).into_bytes();
        for (index, byte) in flips {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        offer_everywhere(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn shuffled_and_repeated_lines_do_no_harm(
        name in prop::sample::select(CAPTURES.to_vec()),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..300),
        kept in 0..20usize,
    ) {
        let text = captured(name);
        let lines: Vec<_> = text.lines().collect();
        let chosen = order.iter().map(|index| *index.get(&lines));
        let mixed: Vec<_> = lines[..kept.min(lines.len())].iter().copied().chain(chosen).collect();
        offer_everywhere(&mixed.join("\r\n"));
    }

    #[test]
    fn text_of_any_kind_does_no_harm(text in "\\PC{0,200}", lines in "([a-z]=\\PC{0,20}\r?\n){0,20}") {
        offer_everywhere(&text);
        offer_everywhere(&format!("v=0\r\no=- 1 1 IN IP4 0\r\ns=-\r\nt=0 0\r\n{lines}"));
    }
}
