//! One viewer in a room with two layers, packet by packet.

#![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

use std::sync::Arc;

use super::*;
use crate::command::{Codec, ExtensionIds, Feedback, LayerInfo, PayloadFormat, RoomKey, SsrcPair};
use crate::relay::{Epoch, Layers, MediaPacket};

const VP8: Format = Format {
    codec: Codec::Vp8,
    profile: 0,
    packetization_mode: 0,
};
const LEN: usize = 1000;

/// The room, and a viewer without transport-wide feedback.
struct Scene {
    now: Instant,
    room: Room,
    viewer: Viewer,
    /// The number and the time of the next packet of each layer.
    next: [(u64, u64); 2],
}

impl Scene {
    fn new() -> Self {
        let now = Instant::now();
        let mut room = Room::default();
        let peer = PeerId(1);
        room.begin_epoch(Epoch { since: now, peer });
        let layer = |index| LayerInfo {
            index,
            stream: index,
            spatial: 0,
            active: true,
            width: 1280 >> index,
            height: 720 >> index,
            bitrate_bps: 0,
        };
        room.set_layers(&Layers {
            publisher: peer,
            ranked: vec![layer(0), layer(1)],
            begins: None,
        });
        let viewer = Viewer::new(now, PeerId(2), vec![track()], LayerChoice::Auto);
        Self {
            now,
            room,
            viewer,
            next: [(70_000, 0), (90_000, 0)],
        }
    }

    /// Brings a frame of so many packets of a layer.
    fn frame(&mut self, layer: u8, packets: u64, keyframe: bool) -> Arc<Burst> {
        let (seq, timestamp) = &mut self.next[usize::from(layer)];
        let packet = |number: u64| MediaPacket {
            seq: SeqNo(*seq + number),
            timestamp: *timestamp,
            marker: number + 1 == packets,
            keyframe: keyframe && number == 0,
            is_late: false,
            picture: None,
            scale: None,
            descriptor: None,
            captured_len: 0,
            padding: 0,
            payload: 0..LEN,
            redundancy: 0,
        };
        let burst = Arc::new(Burst {
            room: RoomKey(1),
            source: SourceId {
                peer: PeerId(1),
                number: layer.into(),
            },
            layer,
            format: VP8,
            arrived: self.now,
            packets: (0..packets).map(packet).collect(),
            bytes: vec![0; LEN],
        });
        (*seq, *timestamp) = (*seq + packets, *timestamp + 3000);
        self.room.accept(&burst);
        burst
    }

    /// Gives the viewer a burst live; returns how many packets leave.
    fn send(&mut self, burst: &Burst) -> usize {
        let (now, room, viewer) = (self.now, &self.room, &mut self.viewer);
        let packets = burst.packets.iter();
        packets
            .filter_map(|packet| viewer.prepare(now, room, burst, packet))
            .count()
    }

    /// Lets the viewer say what its path carries, in kb/s.
    fn tell(&mut self, kbps: u64) {
        self.viewer.bandwidth.handle_estimate(self.now, kbps * 1000);
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }
}

fn track() -> SendTrack {
    SendTrack {
        kind: Kind::Video,
        formats: vec![PayloadFormat {
            payload_type: 96,
            rtx_payload_type: None,
            red_payload_type: None,
            format: VP8,
            feedback: Feedback::default(),
        }],
        extensions: ExtensionIds::default(),
        ssrc: SsrcPair {
            media: 1,
            rtx: None,
        },
        cname: "klieg".into(),
        stalls_at_once: false,
    }
}

#[test]
fn a_keyframe_that_came_late_is_begun_with_from_the_cache_with_all_that_came_before_it() {
    let mut scene = Scene::new();
    scene.viewer.select(scene.now, &scene.room);
    let whole = scene.frame(0, 4, true);
    let first = MediaPacket {
        is_late: true,
        ..whole.packets[0].clone()
    };
    let late = Burst {
        packets: vec![first],
        bytes: whole.bytes.clone(),
        ..*whole
    };
    assert_eq!(scene.send(&late), 0, "what follows it has gone by");
    let step = scene.viewer.free_catch_up().unwrap();
    assert_eq!((step.source, step.next), (late.source, late.packets[0].seq));
}

#[test]
fn a_switch_that_waits_for_its_turn_in_the_cache_is_not_forgotten_by_one_that_falls_behind() {
    let mut scene = Scene::new();
    scene.viewer.select(scene.now, &scene.room);
    let burst = scene.frame(0, 4, true);
    assert_eq!(scene.send(&burst), 4);
    scene.tell(1000);
    scene.pass(100);
    // More than leaves at once: the rest comes from the cache.
    let burst = scene.frame(0, 60, false);
    assert_eq!(scene.send(&burst), 20);
    assert!(scene.viewer.take_fallen_behind());
    scene.pass(5);
    scene.frame(1, 3, true);
    scene.viewer.choose(LayerChoice::Layer(1));
    let selected = scene.viewer.select(scene.now, &scene.room);
    assert_eq!(selected.layer, Some(1));
    let start = scene.room.joinable(scene.now, 1).unwrap();
    assert!(scene.viewer.go_over(scene.now, &scene.room, start));
    // What is in the bucket runs out at 1.5 Mb/s.
    for _ in 0..20 {
        scene.pass(5);
        let burst = scene.frame(0, 4, false);
        assert_eq!(scene.send(&burst), 0, "nothing with a gap before it");
    }
    let step = scene.viewer.take_step(scene.now).unwrap();
    assert_eq!((step.layer, step.begins), (1, true));
    assert!(scene.viewer.has_room(scene.now), "its turn has come");
    let (room, viewer) = (&scene.room, &mut scene.viewer);
    let found = room.cache(Kind::Video, 1).unwrap();
    let found = found.find(step.source, step.next).unwrap();
    assert!(viewer.prepare_cached(room, found, (true, None)).is_some());
    assert_eq!(viewer.shown().map(|(_, layer)| layer), Some(1));
}

#[test]
fn a_switch_from_a_layer_that_is_live_waits_no_longer_for_what_still_comes_of_that() {
    let mut scene = Scene::new();
    scene.viewer.select(scene.now, &scene.room);
    let burst = scene.frame(0, 4, true);
    assert_eq!(scene.send(&burst), 4);
    scene.tell(1000);
    scene.pass(100);
    scene.frame(1, 3, true);
    scene.viewer.choose(LayerChoice::Layer(1));
    scene.viewer.select(scene.now, &scene.room);
    let start = scene.room.joinable(scene.now, 1).unwrap();
    assert!(scene.viewer.go_over(scene.now, &scene.room, start));
    for _ in 0..10 {
        let burst = scene.frame(0, 10, false);
        assert_eq!(scene.send(&burst), 10);
    }
    assert!(!scene.viewer.take_fallen_behind());
    assert!(
        scene
            .viewer
            .take_step(scene.now)
            .is_some_and(|it| it.begins)
    );
    assert!(scene.viewer.has_room(scene.now));
}

#[test]
fn what_is_not_sent_takes_no_room_from_what_is() {
    let mut scene = Scene::new();
    scene.viewer.select(scene.now, &scene.room);
    let burst = scene.frame(0, 1, true);
    assert_eq!(scene.send(&burst), 1);
    scene.tell(1000);
    scene.pass(100);
    let burst = scene.frame(0, 10, false);
    assert_eq!(scene.send(&burst), 10);
    // As live copies are of what has come from the cache.
    for _ in 0..3 {
        assert_eq!(scene.send(&burst), 0);
    }
    let burst = scene.frame(0, 5, false);
    assert_eq!(scene.send(&burst), 5);
    assert!(!scene.viewer.take_fallen_behind());
}

#[test]
fn a_keyframe_that_begins_takes_room_as_others_do() {
    let mut scene = Scene::new();
    scene.tell(1000);
    scene.viewer.select(scene.now, &scene.room);
    let burst = scene.frame(0, 30, true);
    assert_eq!(scene.send(&burst), 20);
    assert!(scene.viewer.take_fallen_behind());
}

#[test]
fn only_what_was_sent_and_not_acknowledged_before_counts_as_arrived() {
    let mut scene = Scene::new();
    let report = |ssrc, highest_sequence: u32| {
        let mut compound = Vec::new();
        let report = rtcp::ReceptionReport {
            ssrc,
            highest_sequence,
            ..rtcp::ReceptionReport::default()
        };
        rtcp::write_receiver_report(&mut compound, 7, &[report]);
        compound
    };
    let arrives = |scene: &mut Scene, compound: &[u8]| {
        scene.viewer.handle_rtcp(scene.now, compound);
        let told = scene.viewer.poll_reception(scene.now);
        told.is_some_and(|(arrives, _)| arrives)
    };
    // Nothing was sent: nothing can have come, whatever the viewer says.
    for said in 0..=u32::from(u16::MAX) {
        assert!(!arrives(&mut scene, &report(1, said)), "{said}");
    }
    let burst = scene.frame(0, 3, true);
    let (now, room, viewer) = (scene.now, &scene.room, &mut scene.viewer);
    let packets = burst.packets.iter();
    let sent = packets.filter_map(|packet| viewer.prepare(now, room, &burst, packet));
    let sent: Vec<u32> = sent.map(|it| it.header.sequence_number.into()).collect();
    assert!(
        !arrives(&mut scene, &report(1, sent[2] + 1)),
        "ahead of all"
    );
    assert!(!arrives(&mut scene, &report(2, sent[2])), "of another");
    assert!(arrives(&mut scene, &report(1, 0x5_0000 + sent[1])));
    // The same again is no news.
    scene.pass(10_000);
    scene.viewer.handle_rtcp(scene.now, &report(1, sent[1]));
    let lapsed = Some((false, Duration::from_secs(10)));
    assert_eq!(scene.viewer.poll_reception(scene.now), lapsed);
    assert!(arrives(&mut scene, &report(1, sent[2])));
}
