//! A second publisher beside the first: whoever watches goes over to it at its first keyframe, and not before.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use klieg_sfu_core::command::{Command, Event, Kind, Media, PeerId, ShardIndex};
use klieg_sfu_core::relay::{Epoch, ShardMessage};

use crate::sim::Link;
use crate::sim::actor::Publishing;
use crate::sim::simulcast::{Seen, SentLayer};
use crate::sim::stage::{ROOM, Role, Stage, count, receive_tracks};

const SECOND: Duration = Duration::from_secs(1);

/// A room on two shards with its first publisher, a viewer on each, and a second publisher that was just announced.
struct Scene {
    stage: Stage,
    first: usize,
    second: usize,
    /// Who they are.
    ids: [PeerId; 2],
    viewers: [usize; 2],
}

impl Scene {
    /// The publishers are on the first shard and the second, or as `shards` says.
    fn new(seed: u64, shards: [usize; 2], change: impl FnOnce(&mut Publishing)) -> Self {
        let mut stage = Stage::new(seed, 2);
        let on = |shard: usize, from: u64| {
            let mut ids = from..;
            let stage = Stage::new(0, 2);
            ids.find(|&id| stage.shard_of(id) == shard).unwrap()
        };
        let ids = [on(shards[0], 1), on(shards[1], 40)];
        let first = stage.publish(ids[0], Link::round_trip(20));
        let viewers = [0, 1].map(|shard| stage.watch(on(shard, 80), Link::round_trip(30)));
        stage.run(3 * SECOND);
        let mut publishing = Publishing::new(stage.now, 700);
        change(&mut publishing);
        let mut tracks = receive_tracks();
        tracks.retain(|track| track.kind == Kind::Audio || publishing.has_video);
        let role = Role::Publishing(Box::new(publishing));
        let media = Media::Publish(tracks);
        let second = stage.add(ids[1], Link::round_trip(20), media, role);
        Self {
            stage,
            first,
            second,
            ids: ids.map(PeerId),
            viewers,
        }
    }

    /// Returns how long a viewer was without a new picture at most since a moment.
    fn longest_gap(&self, since: Instant) -> Duration {
        let gaps = self.viewers.iter().map(|&viewer| {
            let shown = &self.stage.watching(viewer).shown;
            let later = shown.iter().copied().filter(|&at| at > since);
            let moments: Vec<_> = [since]
                .into_iter()
                .chain(later)
                .chain([self.stage.now])
                .collect();
            let gaps = moments.windows(2).map(|pair| pair[1] - pair[0]);
            gaps.max().unwrap()
        });
        gaps.max().unwrap()
    }

    /// Returns how often one of the two publishers took over.
    fn took_over(&self, which: usize) -> usize {
        let event = Event::TookOver {
            peer: self.ids[which],
            room: ROOM,
        };
        count(&self.stage, |it| *it == event)
    }

    /// Silences the first publisher, so that whoever goes on watches the second.
    fn silence_first(&mut self) {
        let first = self.first;
        self.stage.publishing(first).is_sending = false;
    }
}

#[test]
fn who_watches_goes_over_at_the_first_keyframe_of_the_second_wherever_they_are() {
    for seed in 700..732 {
        let shards = [[0, 1], [1, 0], [0, 0], [1, 1]][seed as usize % 4];
        let mut scene = Scene::new(seed, shards, |_| {});
        // In the later ones the keyframe is on its way before another shard knows whose it is.
        scene.stage.underway = (seed >= 716).then(VecDeque::new);
        let began = scene.stage.now;
        scene.stage.run(2 * SECOND);
        assert_eq!(scene.took_over(1), 1);
        scene.silence_first();
        scene.stage.run(2 * SECOND);
        let gap = scene.longest_gap(began);
        assert!(
            gap < Duration::from_millis(150),
            "{gap:?} without a picture"
        );
        let asked = scene.stage.publishing(scene.second).requests.len();
        assert_eq!(asked, 0, "keyframes asked for");
    }
}

#[test]
fn one_that_shows_nothing_takes_nobody_away_from_the_first() {
    let mut scene = Scene::new(733, [0, 1], |second| {
        second.wants_keyframe = false;
        second.is_answering = false;
    });
    let (began, sounds) = (
        scene.stage.now,
        scene.stage.watching(scene.viewers[0]).audio,
    );
    scene.stage.run(4 * SECOND);
    assert_eq!(scene.took_over(1), 0);
    let gap = scene.longest_gap(began);
    assert!(
        gap < Duration::from_millis(100),
        "{gap:?} without a picture"
    );
    // Fifty a second, of the first alone.
    let sounds = scene.stage.watching(scene.viewers[0]).audio - sounds;
    assert!((190..210).contains(&sounds), "{sounds} packets of sound");
    let asked = scene.stage.publishing(scene.second).requests.len();
    assert!((2..6).contains(&asked), "{asked} keyframes asked for");

    scene.stage.command(&Command::RemovePeer(scene.ids[1]));
    scene.stage.run(2 * SECOND);
    let gap = scene.longest_gap(began);
    assert!(
        gap < Duration::from_millis(100),
        "{gap:?} without a picture"
    );
}

#[test]
fn one_that_showed_nothing_until_late_takes_over_when_it_does() {
    let mut scene = Scene::new(734, [0, 1], |second| {
        second.wants_keyframe = false;
        second.is_answering = false;
    });
    let began = scene.stage.now;
    scene.stage.run(10 * SECOND);
    let second = scene.second;
    scene.stage.publishing(second).is_answering = true;
    scene.stage.publishing(second).wants_keyframe = true;
    scene.stage.run(SECOND);
    assert_eq!(scene.took_over(1), 1);
    scene.silence_first();
    scene.stage.run(2 * SECOND);
    let gap = scene.longest_gap(began);
    assert!(
        gap < Duration::from_millis(150),
        "{gap:?} without a picture"
    );
    for viewer in scene.viewers {
        let reports = scene.stage.watching(viewer).reports.len();
        assert!(reports > 10, "{reports} reports of the picture's clock");
    }
}

#[test]
fn one_of_sound_alone_takes_over_with_its_first_packet() {
    let mut scene = Scene::new(735, [0, 1], |second| second.has_video = false);
    scene.stage.run(SECOND);
    assert_eq!(scene.took_over(1), 1);
    scene.silence_first();
    let before = scene
        .viewers
        .map(|viewer| scene.stage.watching(viewer).audio);
    scene.stage.run(2 * SECOND);
    for (viewer, before) in scene.viewers.into_iter().zip(before) {
        let sounds = scene.stage.watching(viewer).audio - before;
        assert!(sounds > 90, "{sounds} packets of sound");
    }
}

#[test]
fn one_that_is_told_to_take_over_does_so_without_a_picture_and_the_first_may_be_told_again() {
    let mut scene = Scene::new(736, [0, 1], |second| {
        second.wants_keyframe = false;
        second.is_answering = false;
    });
    // Too early: it has not connected, and nothing is remembered of it.
    scene.stage.command(&Command::TakeOver(scene.ids[1]));
    scene.stage.run(2 * SECOND);
    assert_eq!(scene.took_over(1), 0);
    scene.stage.command(&Command::TakeOver(scene.ids[1]));
    scene.stage.command(&Command::TakeOver(scene.ids[1]));
    assert_eq!(scene.took_over(1), 1);
    scene.stage.run(SECOND);
    let silent = scene.stage.now;
    scene.stage.run(SECOND);
    assert!(scene.longest_gap(silent) > Duration::from_millis(900));

    scene.stage.command(&Command::TakeOver(scene.ids[0]));
    assert_eq!(scene.took_over(0), 2);
    scene.stage.run(SECOND);
    let again = scene.stage.now;
    scene.stage.run(SECOND);
    let gap = scene.longest_gap(again);
    assert!(
        gap < Duration::from_millis(100),
        "{gap:?} without a picture"
    );
}

#[test]
fn a_keyframe_whose_beginning_comes_last_takes_nobody_away_from_the_first() {
    let mut scene = Scene::new(740, [0, 1], |second| {
        second.wants_keyframe = false;
        second.is_answering = false;
    });
    let began = scene.stage.now;
    scene.stage.run(2 * SECOND);
    let second = scene.stage.publishing(scene.second);
    (second.is_answering, second.wants_keyframe) = (true, true);
    second.losses = 1;
    let asked = second.requests.len();
    scene.stage.run(Duration::from_millis(100));
    assert_eq!(scene.stage.publishing(scene.second).losses, 0);
    assert_eq!(scene.took_over(1), 0);

    scene.stage.run(2 * SECOND);
    assert_eq!(scene.took_over(1), 1);
    let asked = scene.stage.publishing(scene.second).requests.len() - asked;
    assert_eq!(asked, 1, "keyframes asked for");
    scene.silence_first();
    scene.stage.run(SECOND);
    let gap = scene.longest_gap(began);
    assert!(
        gap < Duration::from_millis(150),
        "{gap:?} without a picture"
    );
}

#[test]
fn where_the_next_one_is_only_heard_nobody_who_comes_then_sees_the_one_before() {
    let mut scene = Scene::new(741, [0, 1], |second| second.has_video = false);
    scene.stage.run(Duration::from_millis(200));
    assert_eq!(scene.took_over(1), 1);
    let late = [90, 91].map(|id| scene.stage.watch(id, Link::round_trip(30)));
    scene.stage.run(2 * SECOND);
    for viewer in late {
        let watching = scene.stage.watching(viewer);
        assert!(watching.audio > 80, "{} packets of sound", watching.audio);
        assert_eq!(watching.received.len(), 0, "packets of a picture");
    }
}

#[test]
fn what_is_told_of_a_publisher_that_was_removed_silences_nobody() {
    let mut stage = Stage::new(742, 3);
    let shard_of = |id| Stage::new(0, 3).shard_of(id);
    let on = |shard: usize, from: u64| (from..).find(|&id| shard_of(id) == shard).unwrap();
    let publisher = PeerId(on(0, 1));
    stage.publish(publisher.0, Link::round_trip(20));
    let viewers = [0, 1, 2].map(|shard| stage.watch(on(shard, 80), Link::round_trip(30)));
    stage.run(2 * SECOND);
    // It showed something in the moment before, and its shard tells of that after the others heard of the removal.
    let epoch = Epoch {
        since: stage.now,
        peer: PeerId(60),
    };
    for node in [0, 2] {
        let late = ShardMessage::Published(ROOM, ShardIndex(1), epoch);
        stage.nodes[node].handle_message(stage.now, late);
    }
    let before = viewers.map(|viewer| stage.watching(viewer).frames);
    stage.run(2 * SECOND);
    let took_over = |it: &Event| matches!(it, Event::TookOver { peer, .. } if *peer == publisher);
    assert_eq!(count(&stage, took_over), 2);
    for (viewer, before) in viewers.into_iter().zip(before) {
        let frames = stage.watching(viewer).frames - before;
        assert!(frames > 55, "{frames} frames");
    }
}

#[test]
fn one_that_takes_over_again_is_shown_in_its_best_layer() {
    let mut stage = Stage::new(743, 2);
    let layers = [("q", 1000, (320, 180)), ("f", 3000, (1280, 720))];
    let layers = layers.map(|(rid, ssrc, size)| SentLayer::new(rid, ssrc, size));
    let first = stage.simulcast(1, Link::round_trip(20), layers.into());
    let viewers = [80, 81].map(|id| stage.watch(id, Link::round_trip(30)));
    stage.run(3 * SECOND);
    let second = stage.publish(2, Link::round_trip(20));
    stage.run(2 * SECOND);
    assert_eq!(stage.publishing(second).requests.len(), 0);

    stage.command(&Command::TakeOver(PeerId(1)));
    stage.run(2 * SECOND);
    let before = viewers.map(|viewer| stage.watching(viewer).received.len());
    let layers = &mut stage.simulcasting(first).layers;
    layers.iter_mut().for_each(|layer| layer.requests.clear());
    stage.run(2 * SECOND);
    for (viewer, before) in viewers.into_iter().zip(before) {
        let received = &stage.watching(viewer).received;
        let seen = received.values().skip(before);
        let best = seen.filter(|packet| Seen::read(packet).layer == 1).count();
        assert!(best > 100, "{best} packets of the best layer");
    }
}

#[test]
fn of_two_that_take_over_at_one_moment_every_shard_shows_the_same_one() {
    let shard_of = |id| Stage::new(0, 3).shard_of(id);
    for shards in [(0, 1), (1, 0), (2, 2)] {
        let mut stage = Stage::new(737, 3);
        let on = |shard: usize, from: u64| (from..).find(|&id| shard_of(id) == shard).unwrap();
        let ids = [on(shards.0, 1), on(shards.1, 40)];
        let publishers = ids.map(|id| stage.publish(id, Link::round_trip(20)));
        for publisher in publishers {
            stage.publishing(publisher).wants_keyframe = false;
            stage.publishing(publisher).is_answering = false;
        }
        let viewers = [0, 1, 2].map(|shard| stage.watch(on(shard, 80), Link::round_trip(30)));
        stage.run(SECOND);
        for id in ids {
            stage.command(&Command::TakeOver(PeerId(id)));
        }
        for publisher in publishers {
            stage.publishing(publisher).is_answering = true;
        }
        stage.run(3 * SECOND);
        // The higher number counts.
        stage.publishing(publishers[0]).is_sending = false;
        let before = viewers.map(|viewer| stage.watching(viewer).frames);
        stage.run(2 * SECOND);
        for (viewer, before) in viewers.into_iter().zip(before) {
            let frames = stage.watching(viewer).frames - before;
            assert!(frames > 50, "{frames} frames");
        }
    }
}
