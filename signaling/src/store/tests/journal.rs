//! What was said and what happened in rooms, on each database.

use super::*;

on_each_database! {
    events_are_numbered_without_gaps_by_many_at_once
    a_message_that_was_sent_twice_is_stored_once
    a_poll_is_opened_once_whoever_opens_it_again
    a_change_of_status_is_in_row_journal_and_outbox
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

async fn a_poll_is_opened_once_whoever_opens_it_again(base: Base) {
    let id = room(1).id;
    base.create(&room(1), "key").await;
    let open = async |poll: &str| {
        let opening = PollOpening {
            id: poll.to_owned(),
            question: "Which?".to_owned(),
            options: vec!["This".to_owned(), "That".to_owned()],
        };
        base.poll(&id, PollDeed::Open(opening)).await
    };
    let first = open("b").await;
    // Its server ended before it could say so.
    assert_eq!(open("b").await, first);
    let close = PollDeed::Close {
        poll: "b".to_owned(),
    };
    let closed = base.poll(&id, close).await;
    assert_eq!((closed.open, open("b").await), (false, closed.clone()));
    // One that failed, and is opened under its old name after another one, is the last.
    while Timestamp::now().millis() <= first.opened_at {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let last = open("a").await;
    assert!(last.is_after(&closed));
    let found = base.stores.floor.last_poll(&id).await.unwrap();
    assert_eq!(found, Some(last));
}

async fn a_change_of_status_is_in_row_journal_and_outbox(base: Base) {
    let room = room(1);
    base.create(&room, "key").await;
    base.add(&webhooks::webhook("w")).await;
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
    // What was written once more others did not hear of before.
    let query = DeliveryQuery {
        limit: 10,
        ..DeliveryQuery::default()
    };
    let told = base.stores.delivery_log.deliveries("w", &query).await;
    let told: Vec<String> = told.unwrap().into_iter().map(|it| it.kind).collect();
    assert_eq!(told, ["room.status", "room.status"]);
}

impl Base {
    async fn poll(&self, room: &RoomId, deed: PollDeed) -> Poll {
        let entries = [Entry::Poll(deed)];
        let outcomes = self.stores.journal.append(room, &entries).await;
        let Outcome::Floor(floor) = outcomes.unwrap().remove(0) else {
            panic!("an outcome of something else")
        };
        let Floor::Poll(poll) = *floor else {
            panic!("{floor:?}")
        };
        poll
    }
}
