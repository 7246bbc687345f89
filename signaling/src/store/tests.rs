//! What every database does alike: the same tests run on each.

#[path = "../../tests/support/postgres.rs"]
mod server;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::auth::Role;
use crate::id::RoomId;
use crate::time::Timestamp;

/// Runs each test on each database.
macro_rules! on_each_database {
    ($($name:ident)*) => {
        mod on_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(super::Base::sqlite().await).await; })*
        }
        mod on_postgres {
            $(#[tokio::test] async fn $name() { super::$name(super::Base::postgres().await).await; })*
        }
    };
}

on_each_database! {
    a_room_is_found_as_it_was_created
    an_id_and_a_stream_key_belong_to_one_room
    a_change_is_written_once_for_each_version
    a_removed_room_takes_its_words_and_events_with_it
    asking_twice_under_the_same_key_creates_once
    lists_are_in_order_and_pages_fit_together
    every_order_has_pages_that_fit_together
    a_list_shows_hidden_rooms_to_their_owner_alone
    rooms_are_found_by_words_without_accents
    a_search_tells_nothing_of_rooms_that_were_hidden
    events_are_numbered_without_gaps_by_many_at_once
    a_message_that_was_sent_twice_is_stored_once
    a_change_of_status_is_in_row_journal_and_outbox
    what_a_hosts_rooms_came_to_is_added_up
    what_is_due_is_found_and_what_is_old_forgotten
    who_was_put_out_stays_out_until_it_is_forgotten
    the_same_name_is_the_same_person
    opening_twice_changes_nothing
    each_list_is_read_by_an_index
    what_is_asked_for_beside_the_words_is_found_among_any_number_of_rooms
    those_put_out_of_one_hosts_rooms_crowd_out_nobody_elses
}

#[path = "identity_tests.rs"]
mod identity;

#[path = "order_tests.rs"]
mod order;

#[path = "shop_tests.rs"]
mod shop;

#[tokio::test]
async fn a_database_that_is_away_is_told_from_one_that_fails() {
    let cluster = tokio::task::spawn_blocking(server::Cluster::start).await;
    let cluster = cluster.unwrap();
    let location = Location::parse(&cluster.create()).unwrap();
    let stores = open(&location).await.unwrap();
    let id = room(1).id;
    assert_eq!(stores.rooms.find(&id).await.unwrap(), None);
    cluster.down();
    for _ in 0..3 {
        let error = stores.rooms.find(&id).await.unwrap_err();
        assert!(error.is_away(), "{error:?}");
    }
    cluster.up();
    assert_eq!(stores.rooms.find(&id).await.unwrap(), None);
    let missing = sqlx::Error::RowNotFound;
    assert!(!StoreError::from(missing).is_away());
}

async fn a_room_is_found_as_it_was_created(base: Base) {
    let mut room = room(1);
    room.description = "What it is about".to_owned();
    room.category = Some("music".to_owned());
    room.quality = Quality::P720;
    room.documents = vec![Document {
        title: "Lời bài hát".to_owned(),
        url: "https://example.com/a".to_owned(),
    }];
    room.external_link = Some(ExternalLink {
        platform: "Elsewhere".to_owned(),
        url: "https://example.com/b".to_owned(),
    });
    room.scheduled_at = Some(Timestamp::from_millis(5_000));
    room.reusable = true;
    assert_eq!(base.create(&room, "key").await, Created::New);
    let rooms = &base.stores.rooms;
    assert_eq!(rooms.find(&room.id).await.unwrap(), Some(room.clone()));
    let found = rooms.find_by_key(&room.id, "key").await.unwrap();
    assert_eq!(found, Some(room.clone()));
    assert_eq!(rooms.find_by_key(&room.id, "other").await.unwrap(), None);
    let other = RoomId::parse("other").unwrap();
    assert_eq!(rooms.find_by_key(&other, "key").await.unwrap(), None);
}

async fn an_id_and_a_stream_key_belong_to_one_room(base: Base) {
    assert_eq!(base.create(&room(1), "key").await, Created::New);
    assert_eq!(base.create(&room(1), "other").await, Created::Taken);
    assert_eq!(base.create(&room(2), "key").await, Created::Taken);
}

async fn a_change_is_written_once_for_each_version(base: Base) {
    let mut room = room(1);
    base.create(&room, "key").await;
    room.title = "Changed".to_owned();
    room.scheduled_at = Some(Timestamp::from_millis(9_000));
    let rooms = &base.stores.rooms;
    assert!(rooms.update(&room).await.unwrap());
    assert!(!rooms.update(&room).await.unwrap());
    let found = rooms.find(&room.id).await.unwrap().unwrap();
    assert_eq!((found.title.as_str(), found.version), ("Changed", 2));
    assert_eq!(found.scheduled_at, room.scheduled_at);
}

async fn a_removed_room_takes_its_words_and_events_with_it(base: Base) {
    let room = room(1);
    base.create(&room, "key").await;
    base.say(&room.id, "1", "hello").await;
    base.stores.rooms.remove(&room.id).await.unwrap();
    assert_eq!(base.stores.rooms.find(&room.id).await.unwrap(), None);
    assert!(base.search("one").await.is_empty());
    let chat = base.stores.journal.chat(&room.id, u64::MAX, 10).await;
    assert!(chat.unwrap().is_empty());
}

async fn asking_twice_under_the_same_key_creates_once(base: Base) {
    let key = |request: &str| CreationKey {
        identity: "ann".to_owned(),
        name: "k".to_owned(),
        request: request.to_owned(),
    };
    let create = async |number, hash, request| {
        let rooms = &base.stores.rooms;
        let key = key(request);
        rooms.create(&room(number), hash, Some(&key)).await.unwrap()
    };
    assert_eq!(create(1, "a", "r").await, Created::New);
    let before = |same| Created::Before {
        room: room(1).id,
        same,
        key_hash: Some("a".to_owned()),
    };
    assert_eq!(create(2, "b", "r").await, before(true));
    assert_eq!(create(3, "c", "other").await, before(false));
    assert_eq!(base.list(&RoomQuery::default()).await.len(), 1);
    // What was not created leaves the key free.
    let other = CreationKey {
        name: "k2".to_owned(),
        ..key("r")
    };
    let rooms = &base.stores.rooms;
    let taken = rooms.create(&room(4), "a", Some(&other)).await.unwrap();
    assert_eq!(taken, Created::Taken);
    let again = rooms.create(&room(4), "d", Some(&other)).await.unwrap();
    assert_eq!(again, Created::New);
}

async fn lists_are_in_order_and_pages_fit_together(base: Base) {
    for number in 1..=9 {
        base.create(&room(number), &format!("key {number}")).await;
    }
    base.becomes(3, RoomStatus::Live, 100).await;
    base.becomes(5, RoomStatus::Interrupted, 200).await;
    base.becomes(7, RoomStatus::Ended, 300).await;
    base.becomes(8, RoomStatus::Cancelled, 400).await;
    let mut query = RoomQuery::default();
    assert_eq!(base.list(&query).await, [5, 3, 9, 6, 4, 2, 1, 7]);
    assert_eq!(base.pages(&mut query, 3).await, [5, 3, 9, 6, 4, 2, 1, 7]);
    query.rank = Some(2);
    assert_eq!(base.list(&query).await, [5, 3]);
    query.rank = None;
    for (status, expected) in [
        (RoomStatus::Live, vec![3]),
        (RoomStatus::Ended, vec![7]),
        (RoomStatus::Cancelled, vec![8]),
        (RoomStatus::Archived, vec![]),
    ] {
        query.status = Some(status);
        assert_eq!(base.list(&query).await, expected, "{status:?}");
    }
}

async fn every_order_has_pages_that_fit_together(base: Base) {
    for number in 1..=9 {
        let mut room = room(number);
        room.category = (number % 2 == 0).then(|| "even".to_owned());
        let begins = 100 - i64::try_from(number).unwrap();
        room.scheduled_at = (number < 5).then(|| Timestamp::from_millis(begins));
        base.create(&room, &format!("key {number}")).await;
        base.peak(number, number * 7 % 4).await;
    }
    for (order, expected) in [
        (RoomOrder::Newest, vec![9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (RoomOrder::Popular, vec![9, 5, 1, 6, 2, 7, 3, 8, 4]),
        (RoomOrder::Soonest, vec![4, 3, 2, 1]),
    ] {
        let mut query = RoomQuery {
            order,
            ..RoomQuery::default()
        };
        // Popular ones with the same number are in the order of their ids, as all others are.
        assert_eq!(base.pages(&mut query, 2).await, expected, "{order:?}");
        query.category = Some("even".to_owned());
        let even: Vec<u64> = expected.into_iter().filter(|it| it % 2 == 0).collect();
        assert_eq!(base.pages(&mut query, 2).await, even, "{order:?}");
    }
}

async fn a_list_shows_hidden_rooms_to_their_owner_alone(base: Base) {
    for (number, visibility) in [
        (1, Visibility::Public),
        (2, Visibility::Unlisted),
        (3, Visibility::Private),
        (4, Visibility::Public),
    ] {
        let mut room = room(number);
        room.visibility = visibility;
        base.create(&room, &format!("key {number}")).await;
    }
    let mut query = RoomQuery {
        seen_by: SeenBy::Host("somebody".to_owned()),
        ..RoomQuery::default()
    };
    assert_eq!(base.list(&query).await, [4, 1]);
    query.seen_by = SeenBy::Host("owner".to_owned());
    assert_eq!(base.pages(&mut query, 1).await, [4, 3, 2, 1]);
    query.words = Some(words("three"));
    assert_eq!(base.list(&query).await, [3]);
    query.words = None;
    query.owner = Some("somebody".to_owned());
    assert!(base.list(&query).await.is_empty());
    query.owner = Some("owner".to_owned());
    query.seen_by = SeenBy::Everybody;
    assert_eq!(base.list(&query).await, [4, 1]);
    query.seen_by = SeenBy::Admin(None);
    assert_eq!(base.pages(&mut query, 1).await, [4, 3, 2, 1]);
    query.owner = None;
    query.words = Some(words("t"));
    assert_eq!(base.list(&query).await, [3, 2]);
    query.seen_by = SeenBy::Admin(Some(Visibility::Private));
    assert_eq!(base.list(&query).await, [3]);
}

async fn rooms_are_found_by_words_without_accents(base: Base) {
    for (number, title) in [
        (1, "Đà Nẵng về đêm"),
        (2, "Da Nang by night"),
        (3, "100% \"live\" OR nothing*"),
        (4, "Hà Nội"),
    ] {
        let mut room = room(number);
        room.title = title.to_owned();
        base.create(&room, &format!("key {number}")).await;
    }
    for (text, expected) in [
        ("da nang", vec![2, 1]),
        ("Đà Nẵng", vec![2, 1]),
        ("nan", vec![2, 1]),
        ("đêm", vec![1]),
        ("NIGHT nang", vec![2]),
        ("100", vec![3]),
        ("or \"nothing", vec![3]),
        ("night -nang", vec![2]),
        ("host", vec![4, 3, 2, 1]),
        ("ang", vec![]),
        ("%", vec![]),
        ("' & | ! : * ( )", vec![]),
    ] {
        assert_eq!(base.search(text).await, expected, "{text}");
    }
}

async fn a_search_tells_nothing_of_rooms_that_were_hidden(base: Base) {
    let mut room = room(1);
    base.create(&room, "key").await;
    assert_eq!(base.search("one").await, [1]);
    room.visibility = Visibility::Private;
    assert!(base.stores.rooms.update(&room).await.unwrap());
    assert!(base.search("one").await.is_empty());
    room.version += 1;
    room.visibility = Visibility::Public;
    room.title = "Renamed".to_owned();
    assert!(base.stores.rooms.update(&room).await.unwrap());
    assert!(base.search("one").await.is_empty());
    assert_eq!(base.search("renamed").await, [1]);
}

async fn events_are_numbered_without_gaps_by_many_at_once(base: Base) {
    let room = room(1);
    base.create(&room, "key").await;
    let base = Arc::new(base);
    let writers = (0..8).map(|writer| {
        let (base, id) = (Arc::clone(&base), room.id.clone());
        tokio::spawn(async move {
            for message in 0..5 {
                base.say(&id, &format!("{writer}-{message}"), "hello").await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let chat = base.stores.journal.chat(&room.id, u64::MAX, 100).await;
    let numbers: Vec<u64> = chat.unwrap().iter().map(|message| message.seq).collect();
    assert_eq!(numbers, (1..=40).rev().collect::<Vec<_>>());
    let found = base.stores.rooms.find(&room.id).await.unwrap().unwrap();
    assert_eq!(found.message_count, 40);
    let (last, events) = base.stores.journal.tail(&room.id, 10).await.unwrap();
    let numbers: Vec<u64> = events.iter().map(Event::seq).collect();
    assert_eq!((last, numbers), (40, (31..=40).collect()));
}

async fn a_message_that_was_sent_twice_is_stored_once(base: Base) {
    let room = room(1);
    base.create(&room, "key").await;
    let first = base.say(&room.id, "1", "hello").await;
    let again = base.say(&room.id, "1", "hello").await;
    let Outcome::Chat(message) = first else {
        panic!("{first:?}")
    };
    assert_eq!(again, Outcome::Duplicate(message));
    let found = base.stores.rooms.find(&room.id).await.unwrap().unwrap();
    assert_eq!(found.message_count, 1);
}

async fn a_change_of_status_is_in_row_journal_and_outbox(base: Base) {
    let room = room(1);
    base.create(&room, "key").await;
    let update = base.becomes(1, RoomStatus::Live, 700).await;
    let found = base.stores.rooms.find(&room.id).await.unwrap().unwrap();
    assert_eq!(found.status, RoomStatus::Live);
    assert_eq!(found.started_at, Some(Timestamp::from_millis(700)));
    assert_eq!(found.changed_at, update.changed_at);
    let (last, events) = base.stores.journal.tail(&room.id, 10).await.unwrap();
    assert_eq!((last, events.len()), (1, 1));
    // Writing the row once more is no event.
    let journal = &base.stores.journal;
    let outcomes = journal.append(&room.id, &[Entry::Row(update)]).await;
    assert_eq!(outcomes.unwrap(), [Outcome::Row]);
    assert_eq!(journal.tail(&room.id, 10).await.unwrap().0, 1);
    // The status, and nothing else, was to be told.
    let forgotten = base.stores.upkeep.forget(Timestamp::MAX).await.unwrap();
    assert_eq!(forgotten, 1);
}

async fn what_a_hosts_rooms_came_to_is_added_up(base: Base) {
    let rooms = &base.stores.rooms;
    assert_eq!(rooms.totals("owner").await.unwrap(), Totals::default());
    let mut others = room(4);
    others.owner.id = "other".to_owned();
    for room in [&room(1), &room(2), &room(3), &others] {
        base.create(room, room.id.as_str()).await;
    }
    // One over, one on air, one still to come, and one of somebody else.
    for (number, ended_at, viewers) in [(1, Some(91_500), 3), (2, None, 5), (4, Some(2_000), 9)] {
        let row = Entry::Row(RoomUpdate {
            status: ended_at.map_or(RoomStatus::Live, |_| RoomStatus::Ended),
            started_at: Some(Timestamp::from_millis(1_000)),
            ended_at: ended_at.map(Timestamp::from_millis),
            changed_at: Timestamp::from_millis(2_000),
            peak_viewers: viewers,
            total_viewers: 10 * viewers,
            watch_ms: 60_600,
        });
        let id = room(number).id;
        base.stores.journal.append(&id, &[row]).await.unwrap();
        base.say(&id, "hello", "1").await;
    }
    let totals = Totals {
        events: 2,
        duration_sec: 90,
        peak_viewers: 5,
        total_viewers: 80,
        watch_time_sec: 121,
        messages: 2,
    };
    assert_eq!(rooms.totals("owner").await.unwrap(), totals);
}

async fn what_is_due_is_found_and_what_is_old_forgotten(base: Base) {
    let now = Timestamp::from_millis(1_000_000);
    for number in 1..=3 {
        let mut room = room(number);
        room.scheduled_at = (number == 2).then_some(now);
        base.create(&room, &format!("key {number}")).await;
    }
    let due = async |status, before| {
        let due = base.stores.upkeep.due(status, before, 10).await.unwrap();
        due.iter().map(number_of).collect::<Vec<_>>()
    };
    assert_eq!(due(RoomStatus::Scheduled, now).await, [1, 3]);
    assert_eq!(due(RoomStatus::Scheduled, Timestamp::MAX).await, [1, 2, 3]);
    base.becomes(3, RoomStatus::Interrupted, 50).await;
    assert_eq!(due(RoomStatus::Interrupted, Timestamp::MAX).await, [3]);
    let before = Timestamp::from_millis(0);
    assert!(due(RoomStatus::Interrupted, before).await.is_empty());
    assert_eq!(base.stores.upkeep.forget(before).await.unwrap(), 0);
}

async fn who_was_put_out_stays_out_until_it_is_forgotten(base: Base) {
    let room = room(1);
    base.create(&room, "key").await;
    let rooms = &base.stores.rooms;
    for at in [10, 20] {
        let at = Timestamp::from_millis(at);
        rooms.expel(&room.id, "bob", at).await.unwrap();
    }
    let missing = RoomId::parse("missing").unwrap();
    let at = Timestamp::from_millis(20);
    rooms.expel(&missing, "bob", at).await.unwrap();
    let since = async |at| {
        let after = rooms.expelled_since(Timestamp::from_millis(at)).await;
        after.unwrap().len()
    };
    assert_eq!((since(19).await, since(20).await), (1, 0));
    let expected = (room.id.clone(), "bob".to_owned(), at);
    assert_eq!(rooms.expelled().await.unwrap(), [expected]);
    let upkeep = &base.stores.upkeep;
    assert_eq!(upkeep.forget(Timestamp::from_millis(21)).await.unwrap(), 1);
    assert!(rooms.expelled().await.unwrap().is_empty());
}

async fn those_put_out_of_one_hosts_rooms_crowd_out_nobody_elses(base: Base) {
    let (mut ann, mut many) = (room(1), room(2));
    ann.owner.id = "ann".to_owned();
    many.owner.id = "many".to_owned();
    base.create(&ann, "1").await;
    base.create(&many, "2").await;
    let rooms = &base.stores.rooms;
    let expel = async |room: &RoomRecord, who: &str, at| {
        let at = Timestamp::from_millis(at);
        rooms.expel(&room.id, who, at).await.unwrap();
    };
    expel(&ann, "bob", 1).await;
    for at in 2..9 {
        expel(&many, &format!("nobody {at}"), at).await;
    }
    let latest: Vec<String> = rooms
        .expelled()
        .await
        .unwrap()
        .into_iter()
        .map(|it| it.1)
        .collect();
    assert_eq!(latest.len(), 8);
    assert_eq!(&latest[..3], ["nobody 8", "bob", "nobody 7"]);
}

async fn the_same_name_is_the_same_person(base: Base) {
    let users = &base.stores.users;
    let ann = users.sign_in("Ann").await.unwrap();
    assert_eq!(users.sign_in("ANN").await.unwrap(), ann);
    assert_ne!(users.sign_in("Bob").await.unwrap().id, ann.id);
}

async fn opening_twice_changes_nothing(base: Base) {
    base.create(&room(1), "key").await;
    let again = open(&base.location).await.unwrap();
    assert!(again.rooms.find(&room(1).id).await.unwrap().is_some());
}

/// A smaller one of what [`every_kind_of_list_answers_and_says_how_long_it_took`] shows on a million rooms: no list reads, or sorts, all of them.
async fn each_list_is_read_by_an_index(base: Base) {
    base.fill(ENOUGH_FOR_AN_INDEX).await;
    for query in queries() {
        let plan = base.plan(&query).await;
        let whole = ["Seq Scan", "SCAN rooms\n", "TEMP B-TREE"];
        // A search looks at a thousand rooms, and sorts them; one person has few.
        let sorts = query.words.is_some() || query.owner.is_some();
        for step in whole {
            let bad = plan.contains(step) && !(sorts && step == "TEMP B-TREE");
            assert!(!bad, "{query:?}:\n{plan}");
        }
        let sorted = plan.contains("Sort") && !plan.contains("Incremental Sort");
        assert!(!sorted || sorts, "{query:?}:\n{plan}");
    }
}

async fn what_is_asked_for_beside_the_words_is_found_among_any_number_of_rooms(base: Base) {
    base.fill(ENOUGH_FOR_AN_INDEX).await;
    let mut new = room(1);
    new.title = "Room brand new".to_owned();
    new.category = Some("fresh".to_owned());
    new.status = RoomStatus::Ready;
    new.created_at = Timestamp::now();
    base.create(&new, "key").await;
    let plain = || RoomQuery {
        words: Some(words("room")),
        limit: 20,
        ..RoomQuery::default()
    };
    let newest = RoomQuery {
        order: RoomOrder::Newest,
        ..plain()
    };
    for query in [
        RoomQuery {
            category: Some("fresh".to_owned()),
            ..plain()
        },
        RoomQuery {
            status: Some(RoomStatus::Ready),
            ..plain()
        },
        RoomQuery {
            owner: Some(new.owner.id.clone()),
            ..plain()
        },
        newest.clone(),
        RoomQuery {
            words: Some(words("room bran")),
            ..newest.clone()
        },
    ] {
        let found = base.stores.rooms.list(&query).await.unwrap();
        assert_eq!(found.first().map(|it| &it.id), Some(&new.id), "{query:?}");
    }
    // Page by page each comes once, in the order of the list.
    let (mut ids, mut after) = (Vec::new(), None);
    for _ in 0..5 {
        let query = RoomQuery {
            after: after.take(),
            ..newest.clone()
        };
        let page = base.stores.rooms.list(&query).await.unwrap();
        assert_eq!(page.len(), 20);
        after = page.last().map(|it| RoomCursor::of(it, RoomOrder::Newest));
        ids.extend(page.into_iter().map(|it| it.id));
    }
    let expected = RoomQuery {
        words: None,
        limit: 100,
        ..newest
    };
    let expected = base.stores.rooms.list(&expected).await.unwrap();
    let expected: Vec<RoomId> = expected.into_iter().map(|it| it.id).collect();
    assert_eq!(ids, expected);
}

/// Fills each database with rooms, a hundred or `KLIEG_BENCH_ROOMS` (`scripts/store-bench.sh`), and prints how long every
/// kind of list takes, and by which plan.
#[tokio::test]
async fn every_kind_of_list_answers_and_says_how_long_it_took() {
    let asked = std::env::var("KLIEG_BENCH_ROOMS").ok();
    let rooms: u64 = asked.as_ref().map_or(100, |text| text.parse().unwrap());
    let runs = if asked.is_some() { BENCH_RUNS } else { 2 };
    for base in [Base::sqlite().await, Base::postgres().await] {
        base.fill(rooms).await;
        println!("{rooms} rooms, {}", base.name());
        let mut all = Vec::new();
        for query in queries() {
            let mut took = Vec::new();
            for _ in 0..runs {
                let since = Instant::now();
                base.stores.rooms.list(&query).await.unwrap();
                took.push(since.elapsed());
            }
            let plan = base.plan(&query).await.replace('\n', " / ");
            println!("  {} | {} | {plan}", spread(&mut took), name_of(&query));
            all.extend(took);
        }
        println!("  {} | all of them", spread(&mut all));
    }
}

fn spread(took: &mut [Duration]) -> String {
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    format!("p50 {:7.3} ms  p99 {:7.3} ms", at(50), at(99))
}

fn name_of(query: &RoomQuery) -> String {
    let RoomQuery {
        status,
        rank,
        words,
        category,
        owner,
        order,
        after,
        ..
    } = query;
    let page = if after.is_some() {
        "next page"
    } else {
        "first page"
    };
    format!("{order:?} {page} {status:?} {rank:?} {words:?} {category:?} {owner:?}")
}

/// Every kind of list that the API has.
fn queries() -> Vec<RoomQuery> {
    let plain = || RoomQuery {
        limit: 21,
        ..RoomQuery::default()
    };
    let after = |order| RoomCursor::of(&room(500), order);
    let mut queries = Vec::new();
    for order in [
        RoomOrder::Active,
        RoomOrder::Newest,
        RoomOrder::Popular,
        RoomOrder::Soonest,
    ] {
        let first = RoomQuery { order, ..plain() };
        queries.push(RoomQuery {
            after: Some(after(order)),
            ..first.clone()
        });
        if order != RoomOrder::Soonest {
            queries.push(RoomQuery {
                category: Some("c1".to_owned()),
                ..first.clone()
            });
            queries.push(RoomQuery {
                status: Some(RoomStatus::Ended),
                ..first.clone()
            });
        }
        queries.push(first);
    }
    queries.push(RoomQuery {
        status: Some(RoomStatus::Live),
        ..plain()
    });
    queries.push(RoomQuery {
        rank: Some(0),
        ..plain()
    });
    queries.push(RoomQuery {
        owner: Some("owner 7".to_owned()),
        ..plain()
    });
    queries.push(RoomQuery {
        words: Some(words("room 77")),
        ..plain()
    });
    queries.extend(frequent(&plain()));
    queries.push(RoomQuery {
        seen_by: SeenBy::Admin(None),
        ..plain()
    });
    queries.push(RoomQuery {
        seen_by: SeenBy::Admin(None),
        words: Some(words("room 77")),
        ..plain()
    });
    queries
}

/// Searches for words that many rooms have.
fn frequent(plain: &RoomQuery) -> Vec<RoomQuery> {
    let plain = RoomQuery {
        words: Some(words("room")),
        ..plain.clone()
    };
    let in_category = |order| RoomQuery {
        category: Some("c1".to_owned()),
        order,
        ..plain.clone()
    };
    let orders = [RoomOrder::Active, RoomOrder::Newest, RoomOrder::Popular];
    let mut queries: Vec<RoomQuery> = orders.into_iter().map(in_category).collect();
    queries.push(RoomQuery {
        owner: Some("owner 7".to_owned()),
        ..plain
    });
    queries
}

/// A database.
struct Base {
    stores: Stores,
    location: Location,
    /// The same, to ask how it goes about a list.
    store: Concrete,
    /// `None` where it is no file.
    folder: Option<PathBuf>,
}

enum Concrete {
    Sqlite(sqlite::Store),
    Postgres(postgres::Store),
}

impl Base {
    async fn sqlite() -> Self {
        let name = format!("klieg-store-{:016x}", rand::random::<u64>());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("klieg.db");
        let location = Location::Sqlite(file.clone());
        Self {
            stores: open(&location).await.unwrap(),
            location,
            store: Concrete::Sqlite(sqlite::Store::open(&file).await.unwrap()),
            folder: Some(folder),
        }
    }

    async fn postgres() -> Self {
        let url = tokio::task::spawn_blocking(server::database).await.unwrap();
        let location = Location::parse(&url).unwrap();
        Self {
            stores: open(&location).await.unwrap(),
            location,
            store: Concrete::Postgres(postgres::Store::open(&url).await.unwrap()),
            folder: None,
        }
    }

    fn name(&self) -> &'static str {
        match &self.store {
            Concrete::Sqlite(_) => "SQLite",
            Concrete::Postgres(_) => "PostgreSQL",
        }
    }

    async fn create(&self, room: &RoomRecord, key_hash: &str) -> Created {
        let created = self.stores.rooms.create(room, key_hash, None).await;
        created.unwrap()
    }

    async fn say(&self, room: &RoomId, client_id: &str, text: &str) -> Outcome {
        let entry = Entry::Chat(NewChat {
            client_id: Some(client_id.to_owned()),
            kind: MessageKind::Chat,
            text: text.to_owned(),
            from: bob(),
            mentions: Vec::new(),
            reply_to: None,
            product: None,
            audience: None,
        });
        let outcomes = self.stores.journal.append(room, &[entry]).await;
        outcomes.unwrap().remove(0)
    }

    async fn becomes(&self, number: u64, status: RoomStatus, at: i64) -> RoomUpdate {
        let at = Timestamp::from_millis(at);
        let update = RoomUpdate {
            status,
            started_at: (status != RoomStatus::Cancelled).then_some(at),
            ended_at: status.is_over().then_some(at),
            changed_at: at,
            peak_viewers: 0,
            total_viewers: 0,
            watch_ms: 0,
        };
        let entry = Entry::Event {
            kind: "room.status",
            content: "{}".into(),
            update: Some(update),
        };
        let journal = &self.stores.journal;
        journal.append(&room(number).id, &[entry]).await.unwrap();
        update
    }

    async fn peak(&self, number: u64, peak_viewers: u64) {
        let update = RoomUpdate {
            status: RoomStatus::Scheduled,
            started_at: None,
            ended_at: None,
            changed_at: Timestamp::from_millis(0),
            peak_viewers,
            total_viewers: 0,
            watch_ms: 0,
        };
        let journal = &self.stores.journal;
        let entries = [Entry::Row(update)];
        journal.append(&room(number).id, &entries).await.unwrap();
    }

    async fn list(&self, query: &RoomQuery) -> Vec<u64> {
        let query = RoomQuery {
            limit: 100,
            ..query.clone()
        };
        let rooms = self.stores.rooms.list(&query).await.unwrap();
        rooms.iter().map(|room| number_of(&room.id)).collect()
    }

    /// Reads a list page by page.
    async fn pages(&self, query: &mut RoomQuery, limit: u32) -> Vec<u64> {
        (query.limit, query.after) = (limit, None);
        let mut seen = Vec::new();
        loop {
            let rooms = self.stores.rooms.list(query).await.unwrap();
            let Some(last) = rooms.last() else {
                let unique: BTreeSet<u64> = seen.iter().copied().collect();
                assert_eq!(unique.len(), seen.len(), "{seen:?}");
                query.after = None;
                return seen;
            };
            query.after = Some(RoomCursor::of(last, query.order));
            seen.extend(rooms.iter().map(|room| number_of(&room.id)));
        }
    }

    async fn search(&self, text: &str) -> Vec<u64> {
        let query = RoomQuery {
            words: Some(words(text)),
            ..RoomQuery::default()
        };
        self.list(&query).await
    }

    async fn fill(&self, count: u64) {
        match &self.store {
            Concrete::Sqlite(store) => store.fill(count).await,
            Concrete::Postgres(store) => store.fill(count).await,
        }
        .unwrap();
    }

    async fn fill_members(&self, host: &str, count: i64) {
        match &self.store {
            Concrete::Sqlite(store) => store.fill_members(host, count).await,
            Concrete::Postgres(store) => store.fill_members(host, count).await,
        }
        .unwrap();
    }

    async fn plan(&self, query: &RoomQuery) -> String {
        let plan = match &self.store {
            Concrete::Sqlite(store) => store.plan(query).await,
            Concrete::Postgres(store) => store.plan(query).await,
        };
        plan.unwrap()
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Makes the room of a number; a higher one was created later.
fn room(number: u64) -> RoomRecord {
    let names = [
        "Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine",
    ];
    let at = i64::try_from(number).unwrap();
    let owner = User {
        id: "owner".to_owned(),
        name: "Host".to_owned(),
    };
    let name = usize::try_from(number).ok().and_then(|it| names.get(it));
    let title = (*name.unwrap_or(&"Many")).to_owned();
    let id = RoomId::parse(&format!("room-{number}")).unwrap();
    RoomRecord::new(id, title, owner, Timestamp::from_millis(at))
}

fn bob() -> Author {
    Author {
        id: "bob".to_owned(),
        name: "Bob".to_owned(),
        role: Role::Viewer,
    }
}

fn number_of(id: &RoomId) -> u64 {
    id.as_str().trim_start_matches("room-").parse().unwrap()
}

/// With less, `PostgreSQL` finds that reading all is quicker.
const ENOUGH_FOR_AN_INDEX: u64 = 20_000;

const BENCH_RUNS: usize = 200;
