//! Viewers are told when what they see and hear was captured, where they take that.

use std::collections::BTreeMap;
use std::time::Duration;

use klieg_sfu_core::publisher::WallTime;
use klieg_sfu_core::rtp::packet::Header;
use klieg_sfu_core::rtp::rtcp;

use crate::sim::actor::element;
use crate::sim::stage::{CAPTURE_TIME, Stage};
use crate::sim::{Link, epoch};

const SECOND: Duration = Duration::from_secs(1);
const VIEWER: u64 = 2;
/// What the server's clock says at the beginning, and the publisher's.
const SERVER: u64 = 4_000_000_000 << 32;
const PUBLISHER: u64 = 5 << 32;

/// What a packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    /// The publisher's clock.
    ntp: u64,
    /// What has to be added to the server's clock to have that one; `None` before that is known.
    offset: Option<u64>,
}

impl Said {
    fn read(packet: &[u8]) -> Option<Self> {
        let said = element(packet, CAPTURE_TIME)?;
        let (ntp, offset) = said.split_first_chunk()?;
        Some(Self {
            ntp: u64::from_be_bytes(*ntp),
            offset: offset.first_chunk().map(|it| u64::from_be_bytes(*it)),
        })
    }

    /// Returns when that is on the server's clock, in seconds since the beginning.
    fn at(self) -> f64 {
        let at = self.ntp.wrapping_sub(self.offset.unwrap());
        seconds(at.wrapping_sub(SERVER))
    }
}

fn seconds(units: u64) -> f64 {
    units.cast_signed() as f64 / (1_u64 << 32) as f64
}

/// A publisher whose clock began to count lately, on a server that knows the time.
fn stage(seed: u64, captured_before: Option<Duration>) -> (Stage, usize) {
    let mut stage = Stage::new(seed, 2);
    for node in &mut stage.nodes {
        node.set_wall(WallTime {
            at: epoch(),
            ntp: SERVER,
        });
    }
    let publisher = stage.publish(1, Link::round_trip(20));
    let publishing = stage.publishing(publisher);
    publishing.wall = Some((epoch(), PUBLISHER));
    publishing.captured_before = captured_before;
    (stage, publisher)
}

/// Returns what each frame says that came to a viewer; frames whose packets say different things fail the test.
fn frames(stage: &Stage, viewer: usize) -> BTreeMap<u32, Option<Said>> {
    let mut frames = BTreeMap::new();
    for packet in stage.watching(viewer).received.values() {
        let payload = &packet[Header::parse(packet).unwrap().payload];
        let frame = u32::from_be_bytes(payload[2..6].try_into().unwrap());
        let said = Said::read(packet);
        let before = *frames.entry(frame).or_insert(said);
        assert_eq!(before, said, "all packets of frame {frame} say the same");
    }
    frames
}

/// Returns the frames that say something.
fn saying(frames: &BTreeMap<u32, Option<Said>>) -> Vec<(u32, Said)> {
    let said = frames.iter();
    said.filter_map(|(frame, said)| Some((*frame, (*said)?)))
        .collect()
}

#[test]
fn what_the_publisher_says_reaches_viewers_of_every_shard_with_its_clock_beside_the_servers() {
    let (mut stage, publisher) = stage(710, Some(Duration::from_millis(40)));
    stage.run(SECOND / 2);
    let viewers = [2, 3, 4, 5].map(|id| stage.watch_captures(id, Link::round_trip(20), Some(97)));
    stage.run(5 * SECOND);
    let captured = stage.publishing(publisher).captured.clone();
    for viewer in viewers {
        let said = saying(&frames(&stage, viewer));
        assert!((5..=7).contains(&said.len()), "{said:?}");
        // Its first frame came before its first report.
        assert_eq!((said[0].0, said[0].1.offset), (0, None));
        // What the publisher says itself is passed on as it is.
        for (frame, said) in said.iter().filter(|(frame, _)| frame.is_multiple_of(30)) {
            assert_eq!(said.ntp, captured[*frame as usize], "frame {frame}");
        }
        for &(frame, said) in &said[1..] {
            // The way to the server, which takes 10 ms, is taken for none.
            let off = said.at() - seconds(said.ntp - PUBLISHER);
            assert!((0.0..0.02).contains(&off), "frame {frame}: {off} s");
        }
    }
}

#[test]
fn where_the_publisher_says_nothing_its_reports_tell() {
    let (mut stage, publisher) = stage(711, None);
    stage.run(2 * SECOND);
    let viewer = stage.watch_captures(VIEWER, Link::round_trip(20), Some(97));
    stage.run(4 * SECOND);
    let frames = frames(&stage, viewer);
    let said = saying(&frames);
    assert!((4..=8).contains(&said.len()), "{said:?}");
    let captured = stage.publishing(publisher).captured.clone();
    for (frame, said) in said {
        let off = said.at() - seconds(captured[frame as usize] - PUBLISHER);
        assert!(off.abs() < 0.06, "frame {frame}: {off} s");
    }
    // Sound tells, too: of some two hundred packets few.
    let packets = stage.actors[viewer].peer.rtp.iter();
    let sound = packets.filter(|packet| Header::parse(packet).unwrap().ssrc == 2001);
    let told = sound.filter_map(|packet| Said::read(packet)).count();
    assert!((3..=5).contains(&told), "{told} packets of sound");
}

#[test]
fn who_joins_from_the_cache_is_told_of_the_keyframe() {
    let (mut stage, publisher) = stage(712, None);
    stage.run(3 * SECOND);
    // One that came when the clocks were known.
    let other = stage.watch_captures(3, Link::round_trip(20), Some(97));
    stage.run(4 * SECOND);
    let mut pli = Vec::new();
    rtcp::write_pli(&mut pli, 1, 2002);
    stage.actors[other].peer.send_rtcp(&pli);
    stage.run(SECOND + SECOND / 2);
    let asked = stage.publishing(publisher).requests.len();
    let viewer = stage.watch_captures(VIEWER, Link::round_trip(20), Some(97));
    stage.run(SECOND);
    assert_eq!(stage.publishing(publisher).requests.len(), asked);
    let frames = frames(&stage, viewer);
    let (frame, said) = frames.first_key_value().unwrap();
    let captured = stage.publishing(publisher).captured[*frame as usize];
    let off = said.unwrap().at() - seconds(captured - PUBLISHER);
    assert!(off.abs() < 0.06, "frame {frame}: {off} s");
}

#[test]
fn a_viewer_that_does_not_take_it_is_told_nothing() {
    let (mut stage, _) = stage(713, Some(Duration::ZERO));
    let viewer = stage.watch_numbered(VIEWER, Link::default());
    stage.run(3 * SECOND);
    assert!(stage.watching(viewer).frames > 60);
    assert_eq!(saying(&frames(&stage, viewer)), []);
}

#[test]
fn a_packet_that_goes_again_as_it_was_says_the_same() {
    let (mut stage, _) = stage(714, Some(Duration::ZERO));
    let viewer = stage.watch_captures(VIEWER, Link::round_trip(20), None);
    stage.run(2 * SECOND);
    let received = stage.watching(viewer).received.clone();
    let saying = received.iter().filter(|it| Said::read(it.1).is_some());
    let saying: Vec<u16> = saying.map(|(seq, _)| *seq as u16).collect();
    let recent = &saying[saying.len() - 4..];
    let mut nack = Vec::new();
    rtcp::write_nack(&mut nack, 1, 2002, recent);
    let from = stage.actors[viewer].peer.rtp.len();
    stage.actors[viewer].peer.send_rtcp(&nack);
    stage.run(SECOND / 5);
    let again = stage.actors[viewer].peer.rtp[from..].iter();
    let again = again.filter(|packet| {
        let header = Header::parse(packet).unwrap();
        header.ssrc == 2002 && recent.contains(&header.sequence_number)
    });
    let again: Vec<_> = again.collect();
    assert_eq!(again.len(), recent.len());
    for packet in again {
        let mut before = received.values();
        assert!(
            before.any(|it| it == packet),
            "the same number, other bytes"
        );
    }
}

#[test]
fn on_a_lossy_path_pictures_go_on_and_tell() {
    let (mut stage, _) = stage(715, Some(Duration::ZERO));
    stage.run(2 * SECOND);
    let viewer = stage.watch_captures(VIEWER, Link::bad(5, 60), Some(97));
    stage.run(6 * SECOND);
    assert!(stage.watching(viewer).frames > 200);
    let received = stage.watching(viewer).received.values();
    assert!(received.filter_map(|it| Said::read(it)).count() > 12);
}
