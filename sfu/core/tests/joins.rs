//! What a join from the cache looks like to a player: the past, sent at a higher speed, with the times of its sending.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use klieg_sfu_core::publisher::WallTime;
use klieg_sfu_core::rtp::packet::Header;

use crate::sim::run::layers;
use crate::sim::stage::Stage;
use crate::sim::{Link, epoch};

const SECOND: Duration = Duration::from_secs(1);
/// The time of the first frame of the simulated publisher, and how far its frames are apart.
const FIRST_TIME: u32 = 0xffff_0000;
const FRAME_TICKS: u32 = 3000;

/// A packet of the picture as it came.
struct Came {
    at: Instant,
    is_repair: bool,
    frame: u32,
    time: u32,
}

/// Returns the packets of the picture that came to a viewer, in the order of arrival.
fn picture(stage: &Stage, viewer: usize) -> Vec<Came> {
    let packets = stage.actors[viewer].peer.rtp.iter();
    let arrivals = stage.watching(viewer).bytes.iter();
    let came = packets.zip(arrivals).filter_map(|(packet, (at, _))| {
        let header = Header::parse(packet).unwrap();
        let payload = &packet[header.payload.clone()];
        let is_repair = header.ssrc == 2003;
        let payload = match header.ssrc {
            2002 => payload,
            2003 => payload.get(2..)?,
            _ => return None,
        };
        Some(Came {
            at: *at,
            is_repair,
            frame: u32::from_be_bytes(payload[2..6].try_into().unwrap()),
            time: header.timestamp,
        })
    });
    came.collect()
}

fn own_time(frame: u32) -> u32 {
    FIRST_TIME.wrapping_add(frame * FRAME_TICKS)
}

/// Returns how many milliseconds one time is behind another.
fn millis(time: u32, since: u32) -> f64 {
    f64::from(time.wrapping_sub(since).cast_signed()) / 90.0
}

#[test]
fn what_is_shown_from_the_past_carries_the_time_of_its_sending_also_when_it_is_sent_again() {
    let mut repaired = 0;
    for (seed, loss, age) in [(70, 0, 1), (71, 0, 4), (72, 5, 2), (73, 10, 4), (74, 5, 3)] {
        let mut stage = Stage::new(seed, 2);
        stage.publish(1, Link::round_trip(20));
        stage.run(SECOND * age);
        let viewer = stage.watch(2, Link::bad(loss, 100));
        stage.run(4 * SECOND);
        let came = picture(&stage, viewer);
        let mut times: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for packet in &came {
            times.entry(packet.frame).or_default().insert(packet.time);
        }
        assert!(times.values().all(|its| its.len() == 1), "one for a frame");
        let times: Vec<(u32, u32)> = times
            .into_iter()
            .map(|(frame, its)| (frame, *its.first().unwrap()))
            .collect();
        for pair in times.windows(2) {
            assert!(millis(pair[1].1, pair[0].1) > 0.0, "{pair:?}, seed {seed}");
        }
        let past = times
            .iter()
            .filter(|(frame, time)| *time != own_time(*frame));
        let last_past = past.map(|(frame, _)| *frame).max().unwrap();
        assert!(last_past >= age * 25, "{last_past}, seed {seed}");
        assert!(last_past < age * 60 + 30, "{last_past}, seed {seed}");
        let repairs = came
            .iter()
            .filter(|it| it.is_repair && it.frame < last_past);
        repaired += repairs.count();
        // The clock of arrivals is right from the first frame on.
        let first = came.iter().find(|it| !it.is_repair).unwrap();
        for packet in came.iter().filter(|it| !it.is_repair) {
            // The publisher sends a frame each 33 ms, and calls that a thirtieth of a second.
            let passed = (packet.at - first.at).as_secs_f64() * 1e5 / 99.0;
            let told = millis(packet.time, first.time);
            assert!((passed - told).abs() < 80.0, "{passed} {told}, seed {seed}");
        }
        // The last ones may be under way in part, and wait for what was lost before them.
        let shows_all = stage.run_until(SECOND, |stage| {
            stage.watching(viewer).frames as usize + 6 > times.len()
        });
        assert!(shows_all, "{} came, seed {seed}", times.len());
    }
    assert!(repaired > 10, "{repaired}");
}

#[test]
fn sender_reports_tell_where_the_live_picture_is_while_the_past_is_shown() {
    let mut stage = Stage::new(75, 1);
    stage.publish(1, Link::round_trip(20));
    stage.run(5 * SECOND);
    let viewer = stage.watch(2, Link::round_trip(20));
    stage.run_until(2 * SECOND, |stage| {
        !stage.watching(viewer).reports.is_empty()
    });
    let (_, told) = stage.watching(viewer).reports[0];
    let frames = u32::try_from(stage.elapsed().as_millis() / 33).unwrap();
    let off = millis(told, own_time(frames));
    assert!(off.abs() < 150.0, "{off} ms");
}

#[test]
fn sender_reports_tell_the_time_on_the_servers_clock() {
    let mut stage = Stage::new(76, 2);
    let ntp = 4_000_000_000 << 32;
    for node in &mut stage.nodes {
        node.set_wall(WallTime { at: epoch(), ntp });
    }
    // The publisher's own clock began to count a minute ago.
    stage.simulcast(1, Link::round_trip(20), layers());
    stage.run(3 * SECOND);
    let viewer = stage.watch(2, Link::round_trip(20));
    for _ in 0..4 {
        let before = stage.watching(viewer).reports.len();
        stage.run_until(2 * SECOND, |stage| {
            stage.watching(viewer).reports.len() > before
        });
        let (told, _) = *stage.watching(viewer).reports.last().unwrap();
        let told = (told - ntp) as f64 / f64::from(u32::MAX);
        let off = stage.elapsed().as_secs_f64() - told;
        // What is on its way takes 10 ms, twice.
        assert!((-0.01..0.1).contains(&off), "{off} s");
    }
}
