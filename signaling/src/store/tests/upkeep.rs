//! What is due, what is old, and who was put out, on each database.

use super::*;

on_each_database! {
    what_is_due_is_found_and_what_is_old_forgotten
    who_was_put_out_stays_out_until_it_is_forgotten
    those_put_out_of_one_hosts_rooms_crowd_out_nobody_elses
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
    let at = Timestamp::from_millis;
    // The third comes of a server whose clock is behind, and is new to the others nevertheless.
    for (now, stored) in [(10, 10), (19, 19), (5, 20)] {
        let expelled = rooms.expel(&room.id, "bob", at(now)).await;
        assert_eq!(expelled.unwrap(), at(stored));
    }
    let missing = RoomId::parse("missing").unwrap();
    let of_nothing = rooms.expel(&missing, "bob", at(20)).await;
    assert_eq!(of_nothing.unwrap(), at(20));
    let since = async |at| {
        let after = rooms.expelled_since(Timestamp::from_millis(at)).await;
        after.unwrap().len()
    };
    assert_eq!((since(19).await, since(20).await), (1, 0));
    let expected = (room.id.clone(), "bob".to_owned(), at(20));
    assert_eq!(rooms.expelled().await.unwrap(), [expected]);
    let upkeep = &base.stores.upkeep;
    assert_eq!(upkeep.forget(at(21)).await.unwrap(), 1);
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
