//! What those who keep order leave behind, on each database.

use super::*;

on_each_database! {
    a_message_that_was_deleted_leaves_a_tombstone_and_is_pinned_no_more
    an_answer_names_what_it_answers
    every_deed_is_in_the_audit_log
    a_host_has_so_many_members_and_no_more
    an_address_is_shut_out_while_a_ban_holds_that_goes_with_it
    the_addresses_of_a_ban_that_is_over_are_forgotten
}

fn ban(who: &str, until: Option<Timestamp>, addresses: &[&str]) -> Deed {
    Deed::Limit(Limit {
        kind: LimitKind::Ban,
        who: User {
            id: who.to_owned(),
            name: String::new(),
        },
        reason: None,
        until,
        addresses: marks(addresses),
    })
}

fn marks(addresses: &[&str]) -> Vec<AddressMark> {
    addresses.iter().map(|it| AddressMark::stored(it)).collect()
}

async fn an_address_is_shut_out_while_a_ban_holds_that_goes_with_it(base: Base) {
    let id = room(1).id;
    base.create(&room(1), "key").await;
    base.create(&room(2), "other").await;
    let order = &base.stores.order;
    let shut = async |room: &RoomId, from: &[&str]| {
        let standing = order.standing(room, "dee", &marks(from)).await;
        standing.unwrap().address_banned
    };
    let stored = async || {
        let ban = order.ban(&id, "bob").await.unwrap();
        ban.map(|ban| ban.addresses)
    };
    base.deed(&id, ban("bob", None, &["b1", "a0"])).await;
    base.deed(&id, ban("cy", Some(Timestamp::from_millis(5)), &["c2"]))
        .await;
    assert!(shut(&id, &["a0"]).await && shut(&id, &["e4", "b1"]).await);
    assert!(!shut(&id, &["c2", "e4"]).await && !shut(&id, &[]).await);
    assert!(!shut(&room(2).id, &["a0"]).await);
    assert_eq!(stored().await, Some(marks(&["b1", "a0"])));
    // Another ban of the same person takes the place of the first.
    base.deed(&id, ban("bob", None, &["d3"])).await;
    assert!(shut(&id, &["d3"]).await && !shut(&id, &["a0", "b1"]).await);
    assert_eq!(stored().await, Some(marks(&["d3"])));
    let lift = Deed::Lift {
        kind: LimitKind::Ban,
        identity: "bob".to_owned(),
    };
    base.deed(&id, lift).await;
    assert!(!shut(&id, &["d3"]).await);
    base.deed(&id, ban("bob", None, &[])).await;
    assert_eq!(stored().await, Some(Vec::new()));
}

async fn the_addresses_of_a_ban_that_is_over_are_forgotten(base: Base) {
    let id = room(1).id;
    base.create(&room(1), "key").await;
    let at = Timestamp::from_millis;
    for (who, until) in [("bob", Some(at(5))), ("cy", Some(at(9))), ("dee", None)] {
        base.deed(&id, ban(who, until, &["a0"])).await;
    }
    let forget = async |now| base.stores.upkeep.forget_addresses(at(now)).await.unwrap();
    assert_eq!(
        (forget(4).await, forget(5).await, forget(8).await),
        (0, 1, 0)
    );
    let order = base.stores.order.order(&id).await.unwrap();
    let mut kept: Vec<_> = order
        .limits
        .iter()
        .map(|limit| (limit.who.id.as_str(), limit.addresses.len()))
        .collect();
    kept.sort_unstable();
    assert_eq!(kept, [("bob", 0), ("cy", 1), ("dee", 1)]);
    assert_eq!(forget(i64::MAX).await, 1);
}

async fn a_message_that_was_deleted_leaves_a_tombstone_and_is_pinned_no_more(base: Base) {
    let id = room(1).id;
    base.create(&room(1), "key").await;
    let Outcome::Chat(said) = base.say(&id, "1", "a secret").await else {
        panic!("it was not stored")
    };
    let id_of = said.message_id.clone();
    let pin = Deed::Pin {
        message: Some(id_of.clone()),
    };
    let Outcome::Deed(done) = base.deed(&id, pin).await else {
        panic!("it was not pinned")
    };
    let Done { event, message, .. } = *done;
    assert_eq!(message, Some(said.clone()));
    let Some(Event::Other {
        seq, kind, content, ..
    }) = event
    else {
        panic!("nobody is told")
    };
    assert_eq!((seq, kind.as_str()), (2, "chat.pinned"));
    assert!(content.contains("a secret"));
    let order = base.stores.order.order(&id).await.unwrap();
    assert_eq!(order.pinned, Some(said.clone()));

    let delete = Deed::Delete { message: id_of };
    let Outcome::Deed(done) = base.deed(&id, delete.clone()).await else {
        panic!("it was not deleted")
    };
    let mut buried = said;
    buried.bury();
    assert_eq!(done.message, Some(buried.clone()));
    assert_eq!(base.deed(&id, delete).await, Outcome::Missing);
    let order = base.stores.order.order(&id).await.unwrap();
    assert_eq!(order.pinned, None);
    let history = base.stores.journal.chat(&id, u64::MAX, 10).await.unwrap();
    assert_eq!(history, [buried.clone()]);
    // Said again, it is known, and says nothing more.
    assert_eq!(
        base.say(&id, "1", "a secret").await,
        Outcome::Duplicate(buried)
    );
}

async fn an_answer_names_what_it_answers(base: Base) {
    let id = room(1).id;
    base.create(&room(1), "key").await;
    let Outcome::Chat(said) = base.say(&id, "1", "who is there?").await else {
        panic!("it was not stored")
    };
    let meant = User {
        id: "bob".to_owned(),
        name: "Bob".to_owned(),
    };
    let answer = |reply_to: &str| {
        Entry::Chat(NewChat {
            client_id: None,
            kind: MessageKind::System,
            text: "we are".to_owned(),
            from: bob(),
            mentions: vec![meant.clone()],
            reply_to: Some(reply_to.to_owned()),
            product: None,
            audience: None,
            captured_at: Some(7),
        })
    };
    let entries = [answer(&said.message_id), answer("missing")];
    let outcomes = base.stores.journal.append(&id, &entries).await.unwrap();
    let Outcome::Chat(answered) = &outcomes[0] else {
        panic!("it was not stored")
    };
    let reply_to = answered.details.reply_to.as_ref().unwrap();
    assert_eq!(
        (&reply_to.message_id, &reply_to.from),
        (&said.message_id, &meant)
    );
    assert_eq!(answered.details.mentions, [meant]);
    assert_eq!(answered.details.captured_at, Some(7));
    assert_eq!(outcomes[1], Outcome::Missing);
    let history = base.stores.journal.chat(&id, u64::MAX, 1).await.unwrap();
    assert_eq!(history[0], *answered);
}

async fn a_host_has_so_many_members_and_no_more(base: Base) {
    let first = room(1);
    base.create(&first, "key").await;
    base.fill_members(&first.owner.id, 9_999).await;
    let member = |id: &str, member| Deed::Member {
        who: User {
            id: id.to_owned(),
            name: String::new(),
        },
        member,
    };
    let done = Outcome::Deed(Box::default());
    assert_eq!(base.deed(&first.id, member("last", true)).await, done);
    assert_eq!(
        base.deed(&first.id, member("more", true)).await,
        Outcome::Full
    );
    assert_eq!(base.deed(&first.id, member("last", true)).await, done);
    assert_eq!(base.deed(&first.id, member("last", false)).await, done);
    assert_eq!(base.deed(&first.id, member("more", true)).await, done);
}

async fn every_deed_is_in_the_audit_log(base: Base) {
    let id = room(1).id;
    base.create(&room(1), "key").await;
    for number in 0..5 {
        let Outcome::Chat(said) = base.say(&id, &number.to_string(), "x").await else {
            panic!("it was not stored")
        };
        let message = said.message_id;
        base.deed(&id, Deed::Delete { message }).await;
    }
    base.deed(&id, Deed::Pin { message: None }).await;
    base.deed(
        &id,
        Deed::Delete {
            message: "missing".to_owned(),
        },
    )
    .await;
    let order = &base.stores.order;
    let first = order.audit(&id, None, 4).await.unwrap();
    let last = first.last().map(|deed| deed.id.as_str());
    let rest = order.audit(&id, last, 10).await.unwrap();
    let actions =
        |deeds: &[Audit]| -> Vec<String> { deeds.iter().map(|deed| deed.action.clone()).collect() };
    assert_eq!(actions(&first), ["unpin", "delete", "delete", "delete"]);
    assert_eq!(actions(&rest), ["delete", "delete"]);
    let by = Author {
        avatar_url: None,
        ..bob()
    };
    assert_eq!((&rest[0].by, &first[0].target), (&by, &None));
}

impl Base {
    pub(super) async fn deed(&self, room: &RoomId, deed: Deed) -> Outcome {
        let entry = Entry::Deed { deed, by: bob() };
        let outcomes = self.stores.journal.append(room, &[entry]).await;
        outcomes.unwrap().remove(0)
    }
}
