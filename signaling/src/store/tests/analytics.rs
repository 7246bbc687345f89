//! What is written of audiences, on each database.

use super::*;
use crate::analytics::{Counts, Device, Minute, Origin, Region, Rollup, ViewerKey, ViewerRow};
use crate::auth::Secret;

on_each_database! {
    what_is_written_twice_counts_once_and_runs_are_added_up
    viewers_lose_their_names_and_nothing_else
    many_viewers_lose_their_names_by_and_by_and_are_as_many_all_the_time
    what_comes_late_of_an_event_takes_nothing_back
    viewers_of_an_event_that_is_on_air_keep_their_names_however_old_it_is
    what_one_event_is_refused_keeps_no_other_from_losing_its_names
    what_an_event_before_was_is_not_what_this_one_is
    a_room_that_is_gone_takes_its_figures_with_it
    a_room_with_much_in_it_is_emptied_in_pieces
    who_removes_a_room_and_who_writes_of_it_do_not_wait_for_each_other
}

const MINUTE: u64 = 60_000;

fn at(minute: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(minute * MINUTE).unwrap())
}

fn viewer(name: &str, watched_ms: u64, engaged: bool) -> ViewerRow {
    ViewerRow {
        viewer: ViewerKey::new(&Secret::new("secret")).name(&room(1).id, name),
        watched_ms,
        origin: Origin {
            device: Device::Phone,
            region: Region::parse(if engaged { "VN" } else { "DE" }).unwrap(),
        },
        engaged,
    }
}

fn minute(number: u64, peak: u64, watched_ms: u64) -> (u64, Minute) {
    let mut counts = Counts::default();
    (counts.watched_ms, counts.visits, counts.messages) = (watched_ms, peak, 3);
    counts.latency[1] = 5;
    counts.layers[7] = watched_ms;
    let revenue = serde_json::from_str(r#"{"EUR":7}"#).unwrap();
    let minute = Minute {
        peak,
        counts,
        revenue,
    };
    (number * MINUTE, minute)
}

pub(super) fn rollup(
    run: &str,
    minutes: Vec<(u64, Minute)>,
    viewers: Vec<ViewerRow>,
) -> RoomRollup {
    RoomRollup {
        room: room(1).id,
        rollup: Rollup {
            started_at: 10 * MINUTE,
            run: run.to_owned(),
            at: 12 * MINUTE,
            watching: 2,
            minutes,
            viewers,
        },
        row: RoomUpdate {
            status: RoomStatus::Live,
            started_at: None,
            ended_at: None,
            changed_at: at(0),
            peak_viewers: 4,
            total_viewers: 9,
        },
    }
}

/// Writes an event of two runs: three viewers, one of them in both.
async fn two_runs(base: &Base) {
    base.create(&room(1), "key").await;
    let one = rollup(
        "one",
        vec![minute(10, 2, 50_000), minute(11, 3, 120_000)],
        vec![viewer("a", 100_000, false), viewer("b", 60_000, true)],
    );
    let old = rollup("one", vec![minute(10, 1, 2)], vec![viewer("a", 5, false)]);
    let other = rollup(
        "two",
        vec![minute(11, 2, 30_000), minute(14, 1, 10_000)],
        vec![viewer("a", 30_500, false), viewer("c", 1_500, false)],
    );
    let analytics = &base.stores.analytics;
    for rollups in [
        vec![old],
        vec![one.clone(), other.clone()],
        vec![other, one],
    ] {
        analytics.write(&rollups).await.unwrap();
    }
}

async fn what_is_written_twice_counts_once_and_runs_are_added_up(base: Base) {
    two_runs(&base).await;
    let analytics = &base.stores.analytics;
    let event = analytics.event(&room(1).id).await.unwrap().unwrap();
    assert_eq!((event.started_at, event.updated_at), (at(10), at(12)));
    assert_eq!((event.watching, event.peak, event.minutes), (2, 3, 5));
    assert_eq!((event.unique, event.engaged), (3, 1));
    assert_eq!(event.watched_ms, 130_500 + 60_000 + 1_500);
    assert_eq!(event.median_ms, 60_000);
    assert_eq!(event.by_minutes, [(0, 1), (1, 1), (2, 1)]);
    let regions = event.regions.iter();
    let regions: Vec<_> = regions.map(|(it, count)| (it.as_str(), *count)).collect();
    assert_eq!(regions, [("DE", 2), ("VN", 1)]);
    assert_eq!(event.devices, [(Device::Phone, 3)]);
    assert_eq!(event.counts.watched_ms, 50_000 + 120_000 + 40_000);
    assert_eq!((event.counts.messages, event.counts.latency[1]), (12, 20));

    let minutes = analytics.minutes(&room(1).id, at(11), 2).await.unwrap();
    let shown: Vec<_> = minutes
        .iter()
        .map(|(at, minute)| (*at, minute.peak, minute.counts.watched_ms))
        .collect();
    assert_eq!(shown, [(at(11), 3, 150_000), (at(14), 1, 10_000)]);
    let last = analytics.last_minute(&room(1).id).await.unwrap();
    assert_eq!(last, Some(at(14)));
    assert_eq!(analytics.last_minute(&room(2).id).await.unwrap(), None);
    let earned: Vec<_> = minutes[0].1.revenue.iter().collect();
    assert_eq!(earned, [("EUR", 14)]);

    let earlier = analytics.earlier(&room(1).id, 10 * MINUTE).await.unwrap();
    assert_eq!((earlier.peak, earlier.counts), (3, event.counts));
    let mut watched: Vec<u64> = earlier.viewers.iter().map(|row| row.watched_ms).collect();
    watched.sort_unstable();
    assert_eq!(watched, [1_500, 60_000, 130_500]);

    let record = base.stores.rooms.find(&room(1).id).await.unwrap().unwrap();
    assert_eq!(record.watch_ms, event.counts.watched_ms, "each run once");
    assert_eq!(record.peak_viewers, 4);
    assert_eq!((record.total_viewers, record.status), (9, room(1).status));
}

/// Takes the names from the viewers of an event of a room; returns whether that was to be done.
async fn anonymise(base: &Base, number: u64, before: Timestamp) -> Result<bool, StoreError> {
    let analytics = &base.stores.analytics;
    let mut steps = 0;
    loop {
        let id = room(number).id;
        match analytics.anonymise(&id, 10 * MINUTE, before).await? {
            Names::More => steps += 1,
            Names::Gone => return Ok(true),
            Names::Kept => return Ok(false),
        }
        assert!(steps < 10, "it comes to an end");
    }
}

async fn viewers_lose_their_names_and_nothing_else(base: Base) {
    two_runs(&base).await;
    let analytics = &base.stores.analytics;
    let before = analytics.event(&room(1).id).await.unwrap().unwrap();
    assert_eq!(analytics.aged(at(12), 10).await.unwrap(), []);
    assert!(!anonymise(&base, 1, at(12)).await.unwrap());
    let aged = analytics.aged(at(13), 10).await.unwrap();
    assert_eq!(aged, [(room(1).id, 10 * MINUTE)]);
    assert!(anonymise(&base, 1, at(13)).await.unwrap());
    assert_eq!(analytics.aged(at(13), 10).await.unwrap(), []);
    assert!(!anonymise(&base, 1, at(13)).await.unwrap());
    let after = analytics.event(&room(1).id).await.unwrap().unwrap();
    // To the second.
    let whole = EventFigures {
        watched_ms: 130_000 + 60_000 + 1_000,
        ..before
    };
    assert_eq!(after, whole);
    let earlier = analytics.earlier(&room(1).id, 10 * MINUTE).await.unwrap();
    assert!(earlier.viewers.is_empty(), "{:?}", earlier.viewers);
    // Where the event goes on nevertheless, nothing collides.
    let late = rollup("three", Vec::new(), vec![viewer("a", 1_000, false)]);
    analytics.write(&[late]).await.unwrap();
    assert!(anonymise(&base, 1, at(13)).await.unwrap());
    let event = analytics.event(&room(1).id).await.unwrap().unwrap();
    assert_eq!(event.unique, 4);
}

async fn many_viewers_lose_their_names_by_and_by_and_are_as_many_all_the_time(base: Base) {
    base.create(&room(1), "key").await;
    let many = (0..600).map(|number| viewer(&number.to_string(), number * 1_000, false));
    let many = rollup("one", Vec::new(), many.collect());
    let analytics = &base.stores.analytics;
    analytics.write(&[many]).await.unwrap();
    let before = analytics.event(&room(1).id).await.unwrap();
    let mut left = vec![600];
    while analytics
        .anonymise(&room(1).id, 10 * MINUTE, at(13))
        .await
        .unwrap()
        == Names::More
    {
        assert_eq!(analytics.event(&room(1).id).await.unwrap(), before);
        let earlier = analytics.earlier(&room(1).id, 10 * MINUTE).await.unwrap();
        left.push(earlier.viewers.len());
    }
    assert!(left.is_sorted_by(|more, less| more > less), "{left:?}");
    assert!(left.len() > 2 && left.last() == Some(&0), "{left:?}");
}

async fn viewers_of_an_event_that_is_on_air_keep_their_names_however_old_it_is(base: Base) {
    two_runs(&base).await;
    let analytics = &base.stores.analytics;
    let is = async |status: RoomStatus, started_at: u64| {
        let row = Entry::Row(RoomUpdate {
            status,
            started_at: Some(at(started_at)),
            ended_at: None,
            ..rollup("one", Vec::new(), Vec::new()).row
        });
        let journal = &base.stores.journal;
        journal.append(&room(1).id, &[row]).await.unwrap();
    };
    for status in [RoomStatus::Live, RoomStatus::Interrupted] {
        is(status, 10).await;
        assert!(!anonymise(&base, 1, at(13)).await.unwrap());
        assert_eq!(analytics.aged(at(13), 10).await.unwrap(), []);
    }
    let earlier = analytics.earlier(&room(1).id, 10 * MINUTE).await.unwrap();
    assert_eq!(earlier.viewers.len(), 3);
    // Another event of the room keeps nobody's name.
    is(RoomStatus::Live, 20).await;
    assert!(anonymise(&base, 1, at(13)).await.unwrap());
}

async fn what_one_event_is_refused_keeps_no_other_from_losing_its_names(base: Base) {
    two_runs(&base).await;
    // More than the database can add up.
    base.create(&room(2), "another").await;
    let endless = ["one", "two"].map(|run| {
        let mut endless = rollup(run, Vec::new(), vec![viewer("a", u64::MAX, false)]);
        (endless.room, endless.rollup.at) = (room(2).id, 11 * MINUTE);
        endless
    });
    let analytics = &base.stores.analytics;
    analytics.write(&endless).await.unwrap();
    let refused = anonymise(&base, 2, at(13)).await.unwrap_err();
    assert!(!refused.is_away(), "{refused}");
    assert_eq!(crate::analytics::take_names(&**analytics, at(13)).await, 1);
    let earlier = analytics.earlier(&room(1).id, 10 * MINUTE).await.unwrap();
    assert!(earlier.viewers.is_empty(), "{:?}", earlier.viewers);
    assert_eq!(crate::analytics::take_names(&**analytics, at(13)).await, 0);
}

/// Viewers of one roll-up may be written after the event of the next, since they are written in parts.
async fn what_comes_late_of_an_event_takes_nothing_back(base: Base) {
    base.create(&room(1), "key").await;
    let mut now = rollup("one", vec![minute(10, 2, 50_000)], Vec::new());
    (now.rollup.at, now.rollup.watching) = (13 * MINUTE, 1);
    let late = rollup("one", Vec::new(), vec![viewer("a", 100, false)]);
    let analytics = &base.stores.analytics;
    analytics.write(&[now, late]).await.unwrap();
    let event = analytics.event(&room(1).id).await.unwrap().unwrap();
    assert_eq!((event.updated_at, event.watching), (at(13), 1));
    assert_eq!((event.unique, event.watched_ms), (1, 100));
}

async fn what_an_event_before_was_is_not_what_this_one_is(base: Base) {
    two_runs(&base).await;
    let mut next = rollup("one", vec![minute(30, 1, 7)], vec![viewer("a", 7, true)]);
    next.rollup.started_at = 30 * MINUTE;
    let analytics = &base.stores.analytics;
    analytics.write(&[next]).await.unwrap();
    let event = analytics.event(&room(1).id).await.unwrap().unwrap();
    assert_eq!((event.started_at, event.unique), (at(30), 1));
    assert_eq!((event.counts.watched_ms, event.minutes), (7, 1));
    let minutes = analytics.minutes(&room(1).id, at(0), 10).await.unwrap();
    assert_eq!(minutes.len(), 1);
}

async fn a_room_with_much_in_it_is_emptied_in_pieces(base: Base) {
    for (number, key) in [(1, "one"), (2, "another")] {
        base.create(&room(number), key).await;
        let many = (0..1_500).map(|number| viewer(&number.to_string(), 1_000, false));
        let mut many = rollup("one", vec![minute(10, 1, 1)], many.collect());
        many.room = room(number).id;
        base.stores.analytics.write(&[many]).await.unwrap();
        base.say(&room(number).id, "1", "hello").await;
    }
    let (rooms, id) = (&base.stores.rooms, room(1).id);
    let mut pieces = 0;
    while rooms.empty(&id).await.unwrap() {
        pieces += 1;
    }
    assert_eq!(pieces, 2 + 1 + 1, "viewers, minutes and messages");
    let event = base.stores.analytics.event(&id).await.unwrap().unwrap();
    assert_eq!((event.unique, event.minutes), (0, 0));
    assert!(rooms.find(&id).await.unwrap().is_some());
    rooms.remove(&id).await.unwrap();
    assert!(rooms.find(&id).await.unwrap().is_none());
    let other = base.stores.analytics.event(&room(2).id).await.unwrap();
    assert_eq!(other.unwrap().unique, 1_500);
    let chat = base.stores.journal.chat(&room(2).id, u64::MAX, 9).await;
    assert_eq!(chat.unwrap().len(), 1);
}

async fn a_room_that_is_gone_takes_its_figures_with_it(base: Base) {
    two_runs(&base).await;
    let (analytics, id) = (&base.stores.analytics, room(1).id);
    base.stores.rooms.remove(&id).await.unwrap();
    assert_eq!(analytics.event(&id).await.unwrap(), None);
    // What was still on its way is left out, and what came with it is not.
    base.create(&room(2), "another").await;
    let late = rollup("one", vec![minute(10, 1, 1)], vec![viewer("a", 1, true)]);
    let mut other = late.clone();
    other.room = room(2).id;
    analytics.write(&[late, other]).await.unwrap();
    assert_eq!(analytics.event(&id).await.unwrap(), None);
    assert!(analytics.event(&room(2).id).await.unwrap().is_some());
    let minutes = analytics.minutes(&id, at(0), 10).await.unwrap();
    assert!(minutes.is_empty());
}

async fn who_removes_a_room_and_who_writes_of_it_do_not_wait_for_each_other(base: Base) {
    let (analytics, rooms) = (&base.stores.analytics, &base.stores.rooms);
    for number in 1..=20 {
        base.create(&room(number), &format!("key {number}")).await;
        let mut all = rollup("one", vec![minute(10, 1, 1)], vec![viewer("a", 1, true)]);
        all.room = room(number).id;
        analytics.write(std::slice::from_ref(&all)).await.unwrap();
        let (id, write) = (room(number).id, async {
            for _ in 0..10 {
                analytics.write(std::slice::from_ref(&all)).await?;
            }
            Ok::<_, StoreError>(())
        });
        let (written, removed) = tokio::join!(write, rooms.remove(&id));
        // What is written of a room in the moment in which it goes may be refused, but not for a lock.
        assert!(!written.is_err_and(|error| error.is_away()));
        removed.unwrap();
        assert_eq!(analytics.event(&id).await.unwrap(), None);
    }
}
