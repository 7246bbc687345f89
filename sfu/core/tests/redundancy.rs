//! Redundant sound (RFC 2198): as it came for viewers that take it, and its newest block alone for the others.

use std::time::Duration;

use klieg_sfu_core::node::{Counters, Node};
use klieg_sfu_core::rtp::packet::{Header, OutgoingHeader};
use klieg_sfu_core::rtp::red;

use crate::sim::Link;
use crate::sim::actor::Sound;
use crate::sim::stage::Stage;

const SECOND: Duration = Duration::from_secs(1);

/// Payload types of the viewer that takes it: of Opus, and of that with redundancy.
const REDUNDANT: (u8, Option<u8>) = (109, Some(62));
/// Payload types of the viewer that does not.
const PLAIN: (u8, Option<u8>) = (111, None);

/// What a publisher sent: header and payload of each packet.
type Sent = [(OutgoingHeader, Vec<u8>)];

/// One publisher of redundant sound, a viewer that takes it, and one that does not.
struct Scene {
    stage: Stage,
    publisher: usize,
    redundant: usize,
    plain: usize,
}

impl Scene {
    fn new(seed: u64, shards: u16) -> Self {
        let mut stage = Stage::new(seed, shards);
        let redundant = stage.watch_redundant(2, Link::round_trip(30));
        let plain = stage.watch(3, Link::round_trip(30));
        stage.run(SECOND);
        let publisher = stage.publish_redundant(1, Link::round_trip(20));
        Self {
            stage,
            publisher,
            redundant,
            plain,
        }
    }

    fn send(&mut self, sound: Sound, span: Duration) {
        self.stage.publishing(self.publisher).sound = sound;
        self.stage.run(span);
    }

    /// Lets what is on its way arrive; returns what the publisher sent.
    fn end(&mut self) -> Vec<(OutgoingHeader, Vec<u8>)> {
        let publishing = self.stage.publishing(self.publisher);
        publishing.is_sending = false;
        let sent = publishing.sounds.clone();
        self.stage.run(SECOND);
        sent
    }

    /// Compares all that both viewers got with what was sent.
    fn check(&self, sent: &Sent) {
        for (place, types) in [(self.redundant, REDUNDANT), (self.plain, PLAIN)] {
            check(&self.stage.watching(place).sounds, sent, types);
        }
    }

    fn count(&self, count: fn(&Counters) -> u64) -> u64 {
        self.stage.nodes.iter().map(Node::counters).map(count).sum()
    }
}

/// Compares what a viewer got with what was sent: every packet, and its numbers.
fn check(got: &[(Header, Vec<u8>)], sent: &Sent, types: (u8, Option<u8>)) {
    assert_eq!(got.len(), sent.len());
    let moved = |header: &Header, sent: &OutgoingHeader| {
        (
            header.sequence_number.wrapping_sub(sent.sequence_number),
            header.timestamp.wrapping_sub(sent.timestamp),
        )
    };
    let first = moved(&got[0].0, &sent[0].0);
    for ((header, payload), sent) in got.iter().zip(sent) {
        let number = sent.0.sequence_number;
        let (payload_type, whole) = expected(sent, types);
        assert_eq!(header.payload_type, payload_type, "of {number}");
        assert_eq!(*payload, whole, "of {number}");
        assert_eq!(header.marker, sent.0.marker, "of {number}");
        assert_eq!(moved(header, &sent.0), first, "of {number}");
    }
}

/// Returns what a viewer is to get of a packet: payload type and payload.
fn expected((header, sent): &(OutgoingHeader, Vec<u8>), types: (u8, Option<u8>)) -> (u8, Vec<u8>) {
    let opus = types.0;
    match (header.payload_type, types.1) {
        (63, Some(red)) => {
            let mut payload = sent.clone();
            // Both headers name the coding as the viewer does.
            (payload[0], payload[4]) = (0x80 | opus, opus);
            (red, payload)
        }
        (63, None) => (opus, red::split(sent, 111).unwrap().1.to_vec()),
        _ => (opus, sent.clone()),
    }
}

#[test]
fn redundant_sound_goes_as_it_came_to_who_takes_it_and_without_redundancy_to_others() {
    for (seed, shards) in [(601, 1), (602, 2)] {
        let mut scene = Scene::new(seed, shards);
        scene.send(Sound::Redundant, 3 * SECOND);
        let sent = scene.end();
        assert!(sent.len() > 140, "{} packets", sent.len());
        let types = sent.iter().map(|(header, _)| header.payload_type);
        assert_eq!(types.clone().take(2).collect::<Vec<_>>(), [111, 63]);
        assert_eq!(types.filter(|it| *it == 63).count(), sent.len() - 1);
        scene.check(&sent);
        assert_eq!(scene.count(|it| it.dropped_malformed_redundancy), 0);
    }
}

#[test]
fn sound_goes_on_where_its_publisher_begins_or_ceases_to_add_redundancy() {
    let mut scene = Scene::new(603, 1);
    for sound in [Sound::Redundant, Sound::Plain, Sound::Redundant] {
        scene.send(sound, SECOND);
    }
    let sent = scene.end();
    let changes = sent.windows(2);
    let changes = changes.filter(|two| two[0].0.payload_type != two[1].0.payload_type);
    assert_eq!(changes.count(), 3);
    scene.check(&sent);
}

#[test]
fn redundant_sound_that_does_not_fit_its_headers_is_dropped_and_counted() {
    let mut scene = Scene::new(604, 1);
    scene.send(Sound::Redundant, SECOND);
    scene.send(Sound::Malformed, SECOND / 10);
    scene.send(Sound::Redundant, SECOND);
    let sent = scene.end();
    let (malformed, good): (Vec<_>, Vec<_>) = sent
        .into_iter()
        .partition(|(_, payload)| payload.len() == 5);
    assert!((4..=6).contains(&malformed.len()));
    // Each keeps its number, as if it had been lost.
    scene.check(&good);
    let dropped = scene.count(|it| it.dropped_malformed_redundancy);
    assert_eq!(dropped, malformed.len() as u64);
}

#[test]
fn sender_reports_count_the_bytes_that_each_viewer_was_sent() {
    let mut scene = Scene::new(605, 1);
    scene.send(Sound::Redundant, 5 * SECOND);
    scene.end();
    for place in [scene.redundant, scene.plain] {
        let reports = &scene.stage.actors[place].peer.rtcp;
        let (packets, bytes) = reports.iter().rev().find_map(|it| sent_count(it)).unwrap();
        let sounds = &scene.stage.watching(place).sounds;
        let so_far = sounds.iter().take(packets as usize);
        let len = so_far.map(|(_, payload)| payload.len() as u32).sum::<u32>();
        assert!(packets > 200, "{packets} packets");
        assert_eq!(bytes, len, "bytes of {packets} packets");
    }
}

/// Reads packets and bytes of the sound from a compound that begins with its sender report (RFC 3550, section 6.4.1).
fn sent_count(compound: &[u8]) -> Option<(u32, u32)> {
    let word = |at: usize| {
        let bytes = compound.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    };
    let is_of_sound = compound.get(1) == Some(&200) && word(4) == Some(2001);
    Some((word(20)?, word(24)?)).filter(|_| is_of_sound)
}
