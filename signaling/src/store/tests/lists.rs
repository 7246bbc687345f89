//! Lists of rooms and searches, on each database, and how long they take.

use std::time::{Duration, Instant};

use super::*;

on_each_database! {
    lists_are_in_order_and_pages_fit_together
    every_order_has_pages_that_fit_together
    a_list_shows_hidden_rooms_to_their_owner_alone
    rooms_are_found_by_words_without_accents
    a_search_tells_nothing_of_rooms_that_were_hidden
    each_list_is_read_by_an_index
    what_is_asked_for_beside_the_words_is_found_among_any_number_of_rooms
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

/// With less, `PostgreSQL` finds that reading all is quicker.
const ENOUGH_FOR_AN_INDEX: u64 = 20_000;

const BENCH_RUNS: usize = 200;
