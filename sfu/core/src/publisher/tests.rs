#![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

use super::keyframe::BETWEEN_LAYERS;
use super::*;
use crate::command::{Codec, ExtensionIds, Feedback, PayloadFormat, SsrcPair};
use crate::rtp::packet::OutgoingHeader;
use proptest::prelude::*;

const VP8: Format = Format {
    codec: Codec::Vp8,
    profile: 0,
    packetization_mode: 0,
};
const KEYFRAME: &[u8] = &[0x10, 0x00, 1, 2, 3];
const INTERFRAME: &[u8] = &[0x10, 0x01, 1, 2, 3];

fn video(ssrcs: Vec<SsrcPair>) -> ReceiveTrack {
    let feedback = Feedback {
        nack: true,
        pli: true,
        fir: false,
        transport_cc: false,
        remb: false,
    };
    let vp8 = PayloadFormat {
        payload_type: 96,
        rtx_payload_type: Some(97),
        red_payload_type: None,
        format: VP8,
        feedback,
    };
    let vp9 = PayloadFormat {
        payload_type: 98,
        rtx_payload_type: None,
        red_payload_type: None,
        format: Format {
            codec: Codec::Vp9,
            ..VP8
        },
        feedback,
    };
    ReceiveTrack {
        kind: Kind::Video,
        mid: "1".into(),
        formats: vec![vp8, vp9],
        extensions: ExtensionIds {
            mid: Some(4),
            ..ExtensionIds::default()
        },
        ssrcs,
        rids: Vec::new(),
    }
}

fn publisher(now: Instant) -> Publisher {
    Publisher::new(now, PeerId(9), vec![video(Vec::new())])
}

fn packet(payload_type: u8, sequence_number: u16, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let header = OutgoingHeader {
        marker: true,
        payload_type,
        sequence_number,
        timestamp: 3000,
        ssrc,
    };
    [&header.to_bytes(), payload].concat()
}

fn feedback(publisher: &mut Publisher, now: Instant) -> Vec<String> {
    let mut out = Vec::new();
    publisher.poll_rtcp(now, &mut out);
    Compound::read(&out)
        .map(|item| match item {
            Rtcp::Nack { ssrc, pairs } => {
                format!("nack {ssrc} {:?}", rtcp::missing(pairs).collect::<Vec<_>>())
            }
            Rtcp::Pli { ssrc } => format!("pli {ssrc}"),
            Rtcp::Reception(report) => format!("lost {}", report.cumulative_lost),
            Rtcp::SenderReport(_)
            | Rtcp::Fir { .. }
            | Rtcp::Goodbye { .. }
            | Rtcp::Transport(_)
            | Rtcp::MaximumBitrate(_) => format!("{item:?}"),
        })
        .collect()
}

#[test]
fn a_lost_packet_is_asked_for_and_its_retransmission_takes_its_place() {
    let start = Instant::now();
    let mut publisher = publisher(start);
    assert!(
        publisher
            .handle_rtp(start, &packet(96, 10, 7, KEYFRAME))
            .unwrap()
            .first
    );
    publisher
        .handle_rtp(start, &packet(96, 12, 7, INTERFRAME))
        .unwrap();

    let later = start + Duration::from_millis(20);
    assert_eq!(feedback(&mut publisher, later), ["nack 7 [11]"]);

    let again = packet(97, 500, 8, &[&[0, 11], INTERFRAME].concat());
    let arrived = publisher.handle_rtp(later, &again).unwrap();
    assert_eq!(
        (arrived.seq.wire(), arrived.payload, arrived.first),
        (11, INTERFRAME, false)
    );
    assert_eq!(
        publisher.handle_rtp(later, &again),
        Err(Unforwarded::Duplicate)
    );
    assert_eq!(
        feedback(&mut publisher, start + REPORT_INTERVAL),
        ["lost 0"]
    );
}

#[test]
fn probes_in_the_stream_of_retransmissions_are_not_forwarded() {
    let start = Instant::now();
    let mut publisher = publisher(start);
    publisher
        .handle_rtp(start, &packet(96, 10, 7, KEYFRAME))
        .unwrap();
    assert_eq!(
        publisher.handle_rtp(start, &packet(97, 500, 8, &[])),
        Err(Unforwarded::Probe)
    );
}

#[test]
fn a_new_stream_or_codec_on_the_same_m_line_is_a_new_source_and_the_old_one_is_silenced() {
    let start = Instant::now();
    let mut publisher = publisher(start);
    let first = publisher
        .handle_rtp(start, &packet(96, 10, 7, KEYFRAME))
        .unwrap()
        .source;
    let other_stream = packet(96, 99, 77, KEYFRAME);
    let later = start + Duration::from_secs(1);
    let second = publisher.handle_rtp(later, &other_stream).unwrap();
    assert!(second.first);
    assert_ne!(second.source, first);
    assert_eq!(
        publisher.handle_rtp(later, &packet(96, 11, 7, KEYFRAME)),
        Err(Unforwarded::UnknownStream)
    );

    let other_codec = packet(98, 100, 77, &[0x08, 0]);
    assert_eq!(
        publisher.handle_rtp(later, &other_codec),
        Err(Unforwarded::UnknownStream),
        "sources do not take turns packet by packet"
    );
    let last = later + Duration::from_secs(1);
    let third = publisher.handle_rtp(last, &other_codec).unwrap();
    assert!(third.first);
    assert_eq!(third.format.codec, Codec::Vp9);
}

#[test]
fn unknown_payload_types_are_refused_and_streams_without_end_are_too() {
    let start = Instant::now();
    let mut publisher = publisher(start);
    let unknown = packet(55, 1, 7, KEYFRAME);
    assert_eq!(
        publisher.handle_rtp(start, &unknown),
        Err(Unforwarded::UnknownStream)
    );
    let taken = (0..100)
        .filter(|&ssrc| {
            publisher
                .handle_rtp(start, &packet(96, 1, ssrc, KEYFRAME))
                .is_ok()
        })
        .count();
    assert!(taken <= 9, "{taken} streams taken");
}

#[test]
fn a_long_session_may_change_its_stream_again_and_again() {
    let start = Instant::now();
    let mut publisher = publisher(start);
    for change in 1..50 {
        let now = start + Duration::from_secs(60) * change;
        let fresh = packet(96, 1, change, KEYFRAME);
        assert!(
            publisher.handle_rtp(now, &fresh).unwrap().first,
            "change {change}"
        );
    }
    let end = start + Duration::from_secs(6000);
    let current = packet(96, 2, 49, KEYFRAME);
    publisher.handle_rtp(end, &current).unwrap();
    let replaced = packet(96, 2, 48, KEYFRAME);
    let soon = end + Duration::from_millis(900);
    assert_eq!(
        publisher.handle_rtp(soon, &replaced),
        Err(Unforwarded::UnknownStream)
    );
    let later = end + Duration::from_secs(1);
    assert!(publisher.handle_rtp(later, &replaced).unwrap().first);
}

#[test]
fn keyframes_are_asked_for_once_a_second_until_one_comes() {
    let start = Instant::now();
    let mut publisher = publisher(start);
    publisher
        .handle_rtp(start, &packet(96, 10, 7, INTERFRAME))
        .unwrap();
    let mut asked = 0;
    for ms in 0..2_900 {
        publisher.request_keyframe(None);
        let now = start + Duration::from_millis(ms);
        asked += feedback(&mut publisher, now)
            .iter()
            .filter(|item| item.starts_with("pli"))
            .count();
    }
    assert_eq!(asked, 3);
    let now = start + Duration::from_secs(3);
    publisher
        .handle_rtp(now, &packet(96, 11, 7, KEYFRAME))
        .unwrap();
    assert_eq!(
        feedback(&mut publisher, now + Duration::from_secs(5)),
        ["lost 0"]
    );
}

#[test]
fn what_was_asked_of_a_stream_that_is_over_is_soon_asked_of_its_successor() {
    let start = Instant::now();
    let mut publisher = publisher(start);
    publisher
        .handle_rtp(start, &packet(96, 1, 7, INTERFRAME))
        .unwrap();
    publisher.request_keyframe(None);
    assert_eq!(feedback(&mut publisher, start), ["pli 7"]);
    let soon = start + Duration::from_millis(300);
    publisher
        .handle_rtp(soon, &packet(96, 1, 9, INTERFRAME))
        .unwrap();
    publisher.request_keyframe(None);
    // As soon as Chromium hears it.
    assert!(feedback(&mut publisher, soon).is_empty());
    let now = start + BETWEEN_LAYERS;
    assert_eq!(feedback(&mut publisher, now), ["pli 9"]);
    let soon = now + Duration::from_millis(600);
    publisher.request_keyframe(None);
    assert!(feedback(&mut publisher, soon).is_empty());
}

#[test]
fn sound_and_picture_of_one_ssrc_are_told_apart_by_what_they_carry() {
    let start = Instant::now();
    let opus = PayloadFormat {
        payload_type: 111,
        rtx_payload_type: None,
        red_payload_type: None,
        format: Format {
            codec: Codec::Opus,
            ..VP8
        },
        feedback: Feedback::default(),
    };
    let audio = ReceiveTrack {
        kind: Kind::Audio,
        formats: vec![opus],
        ..video(Vec::new())
    };
    let pair = SsrcPair {
        media: 7,
        rtx: None,
    };
    let tracks = vec![audio, video(vec![pair])];
    let mut publisher = Publisher::new(start, PeerId(9), tracks);
    for seq in 1..5 {
        for (payload_type, codec) in [(111, Codec::Opus), (96, Codec::Vp8)] {
            let packet = packet(payload_type, seq, 7, KEYFRAME);
            let arrived = publisher.handle_rtp(start, &packet).unwrap();
            assert_eq!(arrived.format.codec, codec);
            assert_eq!(arrived.first, seq == 1);
        }
    }
}

/// A publisher of sound that may be redundant, and repairs it by the same packets.
fn redundant(now: Instant) -> Publisher {
    let opus = PayloadFormat {
        payload_type: 111,
        rtx_payload_type: None,
        red_payload_type: Some(63),
        format: Format {
            codec: Codec::Opus,
            ..VP8
        },
        feedback: Feedback {
            nack: true,
            ..Feedback::default()
        },
    };
    let audio = ReceiveTrack {
        kind: Kind::Audio,
        formats: vec![opus],
        ..video(Vec::new())
    };
    Publisher::new(now, PeerId(9), vec![audio, video(Vec::new())])
}

#[test]
fn redundant_sound_is_taken_apart_and_is_one_source_with_sound_that_is_not() {
    let start = Instant::now();
    let mut publisher = redundant(start);
    let red: &[u8] = &[0xef, 0x0f, 0, 3, 111, 1, 2, 3, 4, 5];
    let sent: [(u8, &[u8]); 4] = [(111, &[1, 2, 3]), (63, red), (111, &[6]), (63, &[111, 7])];
    let taken: [(&[u8], &[u8]); 4] = [
        (&[], &[1, 2, 3]),
        (&red[..8], &[4, 5]),
        (&[], &[6]),
        (&[111], &[7]),
    ];
    for (seq, ((payload_type, payload), taken)) in (0..).zip(sent.into_iter().zip(taken)) {
        let packet = packet(payload_type, seq, 7, payload);
        let arrived = publisher.handle_rtp(start, &packet).unwrap();
        assert_eq!((arrived.redundancy, arrived.payload), taken);
        assert_eq!((arrived.source.number, arrived.first), (0, seq == 0));
        assert!(arrived.keyframe && arrived.marker);
    }
}

#[test]
fn redundant_sound_that_was_lost_is_asked_for_and_taken_apart_when_it_comes() {
    let start = Instant::now();
    let mut publisher = redundant(start);
    for seq in [10, 12] {
        let packet = packet(63, seq, 7, &[111, 9]);
        publisher.handle_rtp(start, &packet).unwrap();
    }
    let later = start + Duration::from_millis(20);
    assert_eq!(feedback(&mut publisher, later), ["nack 7 [11]"]);
    let again = packet(63, 11, 7, &[111, 8]);
    let arrived = publisher.handle_rtp(later, &again).unwrap();
    assert_eq!((arrived.seq.wire(), arrived.payload), (11, &[8][..]));
    assert_eq!(
        publisher.handle_rtp(later, &again),
        Err(Unforwarded::Duplicate)
    );
}

#[test]
fn redundant_sound_that_cannot_be_taken_apart_is_dropped_and_begins_nothing() {
    let start = Instant::now();
    let mut publisher = redundant(start);
    let (short, foreign): (&[u8], &[u8]) = (&[0xef, 0, 0, 9, 111, 1], &[13, 1, 2]);
    for payload in [&[], short, foreign] {
        let packet = packet(63, 1, 7, payload);
        let dropped = publisher.handle_rtp(start, &packet);
        assert_eq!(dropped, Err(Unforwarded::MalformedRedundancy));
    }
    let good = packet(63, 2, 7, &[111, 1]);
    assert!(publisher.handle_rtp(start, &good).unwrap().first);
    let mut without = publisher_without_redundancy(start);
    assert_eq!(
        without.handle_rtp(start, &good),
        Err(Unforwarded::UnknownStream)
    );
}

/// A publisher that did not agree to redundant sound.
fn publisher_without_redundancy(now: Instant) -> Publisher {
    let mut audio = video(Vec::new());
    audio.kind = Kind::Audio;
    audio.formats.truncate(1);
    for format in &mut audio.formats {
        (format.payload_type, format.rtx_payload_type) = (111, None);
        format.format.codec = Codec::Opus;
    }
    Publisher::new(now, PeerId(9), vec![audio])
}

#[test]
fn nothing_is_due_before_the_first_packet() {
    let start = Instant::now();
    let mut publisher = publisher(start);
    assert_eq!(publisher.poll_timeout(), None);
    assert_eq!(publisher.poll_rtcp(start, &mut Vec::new()), None);
}

#[test]
fn a_sender_report_tells_where_the_source_stands_on_the_wall_clock() {
    let start = Instant::now();
    let mut publisher = publisher(start);
    let source = publisher
        .handle_rtp(start, &packet(96, 10, 7, KEYFRAME))
        .unwrap()
        .source;
    let mut report = Vec::new();
    let info = rtcp::SenderInfo {
        ssrc: 7,
        ntp: 5 << 32,
        rtp_timestamp: 3090,
    };
    rtcp::write_sender_report(&mut report, &info, 1, 1);

    // Until its turn it is kept, once.
    assert_eq!(publisher.handle_rtcp(start, None, &report), []);
    assert_eq!(publisher.handle_rtcp(start, None, &report), []);
    let kept = publisher.take_turn();
    let clocks = publisher.handle_rtcp(start, None, &report);
    assert_eq!(kept, clocks);

    let timestamp = (1 << 32) + 3090;
    let kind = Kind::Video;
    assert_eq!(
        clocks,
        [SourceClock {
            source,
            kind,
            layer: 0,
            ntp: 5 << 32,
            to_server: 0,
            timestamp,
            received: start
        }]
    );
}

const RID: u8 = 5;
const REPAIRED_RID: u8 = 6;

/// A publisher of layers `q`, `h` and `f`.
fn simulcaster(now: Instant, change: impl FnOnce(&mut ReceiveTrack)) -> Publisher {
    let mut track = video(Vec::new());
    track.extensions.rid = Some(RID);
    track.extensions.repaired_rid = Some(REPAIRED_RID);
    track.rids = ["q", "h", "f"].map(String::from).to_vec();
    change(&mut track);
    Publisher::new(now, PeerId(9), vec![track])
}

/// Puts one extension element of one byte into a packet.
fn with_element(packet: &[u8], (id, value): (u8, u8)) -> Vec<u8> {
    let (header, payload) = packet.split_at(12);
    let mut packet = header.to_vec();
    packet[0] |= 0x10;
    packet.extend_from_slice(&[0xbe, 0xde, 0, 1, id << 4, value, 0, 0]);
    packet.extend_from_slice(payload);
    packet
}

fn layer_of(publisher: &mut Publisher, now: Instant, packet: &[u8]) -> Result<u8, Unforwarded> {
    publisher
        .handle_rtp(now, packet)
        .map(|arrived| arrived.layer)
}

#[test]
fn a_stream_is_bound_to_the_layer_whose_rid_it_carries() {
    let start = Instant::now();
    let mut publisher = simulcaster(start, |_| {});
    let plain = |seq, ssrc| packet(96, seq, ssrc, KEYFRAME);
    let named = |seq, ssrc, rid| with_element(&plain(seq, ssrc), (RID, rid));
    assert_eq!(
        layer_of(&mut publisher, start, &plain(1, 7)),
        Err(Unforwarded::UnknownLayer)
    );
    assert_eq!(layer_of(&mut publisher, start, &named(1, 7, b'h')), Ok(1));
    assert_eq!(layer_of(&mut publisher, start, &plain(2, 7)), Ok(1));
    assert_eq!(layer_of(&mut publisher, start, &named(1, 8, b'f')), Ok(2));
    assert_eq!(
        layer_of(&mut publisher, start, &named(1, 9, b'x')),
        Err(Unforwarded::UnknownLayer)
    );
    // Another stream of the same layer; the one before it is over.
    let later = start + Duration::from_secs(1);
    assert_eq!(layer_of(&mut publisher, later, &named(50, 17, b'h')), Ok(1));
    assert_eq!(
        layer_of(&mut publisher, later, &plain(3, 7)),
        Err(Unforwarded::UnknownStream)
    );
    assert_eq!(layer_of(&mut publisher, later, &plain(2, 8)), Ok(2));
    assert_eq!(
        feedback(&mut publisher, later).len(),
        2,
        "one report for each layer"
    );
}

#[test]
fn announced_streams_and_those_that_cannot_tell_are_taken_in_order() {
    let start = Instant::now();
    let pairs = [7, 8, 9].map(|media| SsrcPair {
        media,
        rtx: Some(media + 10),
    });
    let mut publisher = simulcaster(start, |track| track.ssrcs = pairs.to_vec());
    for (ssrc, layer) in [(9, 2), (7, 0), (8, 1)] {
        let arrived = layer_of(&mut publisher, start, &packet(96, 1, ssrc, KEYFRAME));
        assert_eq!(arrived, Ok(layer));
    }
    let mut publisher = simulcaster(start, |track| track.extensions.rid = None);
    for (ssrc, layer) in [(31, 0), (32, 1), (33, 2), (31, 0)] {
        let sequence_number = u16::try_from(publisher.next_source.number).unwrap() + 1;
        let arrived = layer_of(
            &mut publisher,
            start,
            &packet(96, sequence_number, ssrc, KEYFRAME),
        );
        assert_eq!(arrived, Ok(layer));
    }
    let fourth = layer_of(&mut publisher, start, &packet(96, 1, 34, KEYFRAME));
    assert_eq!(fourth, Err(Unforwarded::UnknownLayer));
}

#[test]
fn retransmissions_find_their_layer_by_name_or_by_the_only_hole_they_fit() {
    let start = Instant::now();
    for is_named in [true, false] {
        let mut publisher = simulcaster(start, |_| {});
        for (ssrc, rid) in [(7, b'q'), (8, b'h'), (9, b'f')] {
            for seq in [10, 12 + u16::try_from(ssrc).unwrap()] {
                let media = with_element(&packet(96, seq, ssrc, KEYFRAME), (RID, rid));
                publisher.handle_rtp(start, &media).unwrap();
            }
        }
        // 20 is missing in the last layer only, 15 in all.
        let again = |original, element: Option<u8>| {
            let packet = packet(
                97,
                original,
                80,
                &[&[0, u8::try_from(original).unwrap()], KEYFRAME].concat(),
            );
            match element {
                Some(rid) => with_element(&packet, (REPAIRED_RID, rid)),
                None => packet,
            }
        };
        let name = is_named.then_some(b'f');
        let ambiguous = layer_of(&mut publisher, start, &again(15, None));
        assert_eq!(ambiguous, Err(Unforwarded::UnknownStream));
        assert_eq!(layer_of(&mut publisher, start, &again(20, name)), Ok(2));
        assert_eq!(
            layer_of(&mut publisher, start, &again(15, None)),
            Ok(2),
            "learnt"
        );
        let stranger = layer_of(&mut publisher, start, &again(16, Some(b'x')));
        assert_eq!(stranger, Err(Unforwarded::UnknownLayer));
    }
}

#[test]
fn each_layer_is_asked_for_keyframes_by_itself() {
    let start = Instant::now();
    let mut publisher = simulcaster(start, |_| {});
    for (ssrc, rid) in [(7, b'q'), (8, b'h')] {
        let media = with_element(&packet(96, 1, ssrc, INTERFRAME), (RID, rid));
        publisher.handle_rtp(start, &media).unwrap();
    }
    publisher.request_keyframe(Some(1));
    assert_eq!(feedback(&mut publisher, start), ["pli 8"]);
    publisher.request_keyframe(Some(0));
    publisher.request_keyframe(Some(1));
    publisher.request_keyframe(Some(3));
    // Chromium would not hear a second request so soon.
    let later = start + BETWEEN_LAYERS;
    let early = later - Duration::from_millis(1);
    assert!(feedback(&mut publisher, early).is_empty());
    assert_eq!(feedback(&mut publisher, later), ["pli 7"]);
}

#[test]
fn layers_that_are_wanted_together_are_asked_for_together() {
    let start = Instant::now();
    let mut publisher = simulcaster(start, |_| {});
    for (ssrc, rid) in [(7, b'q'), (8, b'h')] {
        let media = with_element(&packet(96, 1, ssrc, INTERFRAME), (RID, rid));
        publisher.handle_rtp(start, &media).unwrap();
    }
    publisher.request_keyframe(None);
    assert_eq!(feedback(&mut publisher, start), ["pli 7", "pli 8"]);
}

proptest! {
    #[test]
    fn whatever_a_publisher_of_layers_sends_is_bounded(
        packets in proptest::collection::vec(
            (
                0_u64..400,
                prop::sample::select(vec![96_u8, 97, 98, 5]),
                any::<u16>(),
                0_u32..40,
                prop::sample::select(vec![(0, 0), (RID, b'q'), (RID, b'h'), (RID, b'x'), (REPAIRED_RID, b'f')]),
                proptest::collection::vec(any::<u8>(), 0..20),
            ),
            0..300,
        ),
    ) {
        let mut now = Instant::now();
        let mut publisher = simulcaster(now, |_| {});
        for (ms, payload_type, seq, ssrc, element, payload) in packets {
            now += Duration::from_millis(ms);
            let plain = packet(payload_type, seq, ssrc, &payload);
            let packet = if element.0 == 0 { plain } else { with_element(&plain, element) };
            if let Ok(arrived) = publisher.handle_rtp(now, &packet) {
                prop_assert!(arrived.layer < 3);
            }
            publisher.request_keyframe(Some(payload_type % 5));
            publisher.handle_timeout(now);
            let mut out = Vec::new();
            publisher.poll_rtcp(now, &mut out);
            prop_assert!(out.len() <= MAX_COMPOUND);
            prop_assert!(publisher.poll_layers().is_none_or(|layers| layers.len() <= 3));
        }
    }
}
