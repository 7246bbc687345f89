//! Rooms as rows, on each database.

use super::*;

on_each_database! {
    a_room_is_found_as_it_was_created
    an_id_and_a_stream_key_belong_to_one_room
    a_change_is_written_once_for_each_version
    a_removed_room_takes_its_words_and_events_with_it
    asking_twice_under_the_same_key_creates_once
    what_is_created_within_a_room_is_answered_once_for_each_key
    what_a_hosts_rooms_came_to_is_added_up
    a_room_keeps_the_last_picture_that_it_was_given
}

async fn a_room_is_found_as_it_was_created(base: Base) {
    let mut room = room(1);
    room.description = "What it is about".to_owned();
    room.category = Some("music".to_owned());
    room.quality = Quality::P720;
    room.playout_delay_ms = Some(4000);
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
    room.playout_delay_ms = Some(0);
    room.scheduled_at = Some(Timestamp::from_millis(9_000));
    let rooms = &base.stores.rooms;
    assert!(rooms.update(&room).await.unwrap());
    assert!(!rooms.update(&room).await.unwrap());
    let found = rooms.find(&room.id).await.unwrap().unwrap();
    assert_eq!((found.title.as_str(), found.version), ("Changed", 2));
    assert_eq!(found.scheduled_at, room.scheduled_at);
    assert_eq!(found.playout_delay_ms, Some(0));
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
    let before = Created::Before {
        room: room(1).id,
        key_hash: Some("a".to_owned()),
    };
    assert_eq!(create(2, "b", "r").await, before);
    assert_eq!(create(3, "c", "other").await, Created::Other);
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

async fn what_is_created_within_a_room_is_answered_once_for_each_key(base: Base) {
    let key = |name: &str, request: &str| CreationKey {
        identity: "ann".to_owned(),
        name: name.to_owned(),
        request: request.to_owned(),
    };
    let creations = &base.stores.creations;
    let now = Timestamp::now();
    // What is created is named after when it is.
    let claim = async |name: &str, request: &str, after_s: u64| {
        let (id, now) = (after_s.to_string(), now.plus(Duration::from_secs(after_s)));
        let key = key(name, request);
        creations.claim(&key, &id, now).await.unwrap()
    };
    let free = |id: &str| Claim::Free(id.to_owned());
    assert_eq!(claim("k", "r", 0).await, free("0"));
    assert_eq!(claim("k", "r", 1).await, Claim::UnderWay);
    assert_eq!(claim("k", "other", 1).await, Claim::Other);
    // Its server ended in it; what it may have made has the same name.
    assert_eq!(claim("k", "r", 61).await, free("0"));
    assert_eq!(claim("k", "r", 62).await, Claim::UnderWay);
    creations.answer(&key("k", "r"), "{}").await.unwrap();
    creations.release(&key("k", "r")).await.unwrap();
    assert_eq!(claim("k", "r", 999).await, Claim::Answered("{}".to_owned()));
    assert_eq!(claim("k", "other", 999).await, Claim::Other);
    // What was not created leaves the key free.
    assert_eq!(claim("k2", "r", 0).await, free("0"));
    creations.release(&key("k2", "r")).await.unwrap();
    assert_eq!(claim("k2", "other", 1).await, free("1"));
    // Rooms have keys from the same ring.
    let made = base
        .stores
        .rooms
        .create(&room(1), "a", Some(&key("k", "room")))
        .await;
    assert_eq!(made.unwrap(), Created::Other);
    let made = base
        .stores
        .rooms
        .create(&room(1), "a", Some(&key("k3", "room")))
        .await;
    assert_eq!(made.unwrap(), Created::New);
    assert_eq!(claim("k3", "r", 999).await, Claim::Other);
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
        });
        let id = room(number).id;
        base.stores.journal.append(&id, &[row]).await.unwrap();
        base.watch(number, 60_600).await;
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

async fn a_room_keeps_the_last_picture_that_it_was_given(base: Base) {
    base.create(&room(1), "key").await;
    let (id, at) = (room(1).id, Timestamp::from_millis(7_000));
    let thumbnails = &base.stores.thumbnails;
    assert_eq!(thumbnails.find(&id).await.unwrap(), None);
    assert!(thumbnails.replace(&id, b"first", at).await.unwrap());
    assert!(thumbnails.replace(&id, b"second", at).await.unwrap());
    let image = thumbnails.find(&id).await.unwrap();
    assert_eq!(image.as_deref(), Some(b"second".as_slice()));
    let found = base.stores.rooms.find(&id).await.unwrap().unwrap();
    assert_eq!((found.thumbnail_at, found.version), (Some(at), 3));
    let missing = room(2).id;
    assert!(!thumbnails.replace(&missing, b"x", at).await.unwrap());
    base.stores.rooms.remove(&id).await.unwrap();
    assert_eq!(thumbnails.find(&id).await.unwrap(), None);
}
