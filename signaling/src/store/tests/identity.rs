//! Accounts, sign-ins and stream keys, on each database.

use super::*;
use crate::auth::{Account, AccountRole};

on_each_database! {
    a_name_belongs_to_one_account_whatever_its_case
    accounts_are_listed_by_name_page_by_page
    a_sign_in_is_renewed_by_each_token_once
    a_token_that_was_just_used_is_forgiven_and_an_older_one_ends_the_sign_in
    of_two_that_renew_at_once_one_gives_the_number
    what_takes_something_away_ends_every_sign_in_and_others_learn_of_it
    an_account_has_so_many_sign_ins_and_no_more
    old_sign_ins_are_forgotten
    a_stream_key_is_changed_and_the_one_before_opens_nothing
    rooms_of_who_may_host_no_more_are_revoked_until_they_may_again
}

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn later(ms: i64) -> Timestamp {
    Timestamp::from_millis(NOW.millis() + ms)
}

fn account(id: &str, name: &str) -> Account {
    Account {
        id: id.to_owned(),
        name: name.to_owned(),
        role: AccountRole::Viewer,
        created_at: NOW,
    }
}

fn sign_in(id: &str, user: &str, at: Timestamp) -> NewSignIn {
    NewSignIn {
        id: id.to_owned(),
        user: user.to_owned(),
        begins_at: at,
        expires_at: Timestamp::from_millis(at.millis() + 100_000),
    }
}

fn renewal(id: &str, generation: u64, now: Timestamp) -> Renewal {
    Renewal {
        id: id.to_owned(),
        generation,
        expires_at: Timestamp::from_millis(now.millis() + 100_000),
        now,
        patience_ms: 10_000,
    }
}

/// Returns a database with Ann in it, signed in once.
async fn with_ann(base: &Base) -> Arc<dyn IdentityStore> {
    let store = Arc::clone(&base.stores.identities);
    assert!(store.create(&account("1", "Ann"), "hash").await.unwrap());
    let ended = store.begin(&sign_in("s", "1", NOW)).await.unwrap();
    assert!(ended.is_empty());
    store
}

fn generation(renewed: &Renewed) -> Option<u64> {
    match renewed {
        Renewed::Done { generation, .. } => Some(*generation),
        Renewed::Reused | Renewed::Gone => None,
    }
}

async fn a_name_belongs_to_one_account_whatever_its_case(base: Base) {
    let store = with_ann(&base).await;
    assert!(!store.create(&account("2", "ANN"), "hash").await.unwrap());
    let found = store.find_by_name("aNN").await.unwrap().unwrap();
    assert_eq!(found.account, account("1", "Ann"));
    assert_eq!(found.password_hash.as_deref(), Some("hash"));
    assert_eq!(store.find("1").await.unwrap(), Some(found));
    assert_eq!(store.find("2").await.unwrap(), None);
    // Who came by name alone has no password.
    let bob = base.stores.users.sign_in("Bob").await.unwrap();
    let bob = store.find(&bob.id).await.unwrap().unwrap();
    assert_eq!(
        (bob.password_hash, bob.account.role),
        (None, AccountRole::Host)
    );
}

async fn accounts_are_listed_by_name_page_by_page(base: Base) {
    let store = &base.stores.identities;
    for (id, name) in [("1", "cy"), ("2", "Ann"), ("3", "bob")] {
        assert!(store.create(&account(id, name), "hash").await.unwrap());
    }
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let page = store.list(&after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after.clone_from(&last.account.name);
        names.extend(page.into_iter().map(|it| it.account.name));
    }
    assert_eq!(names, ["Ann", "bob", "cy"]);
}

async fn a_sign_in_is_renewed_by_each_token_once(base: Base) {
    let store = with_ann(&base).await;
    let first = store.renew(&renewal("s", 0, later(1))).await.unwrap();
    let account = account("1", "Ann");
    let done = Renewed::Done {
        account,
        generation: 1,
    };
    assert_eq!(first, done);
    // Renewing has moved its end.
    let second = store.renew(&renewal("s", 1, later(100_000))).await.unwrap();
    assert_eq!(generation(&second), Some(2));
    for gone in [
        renewal("s", 2, later(200_001)),
        renewal("s", 9, later(100_001)),
        renewal("t", 0, NOW),
    ] {
        assert_eq!(store.renew(&gone).await.unwrap(), Renewed::Gone, "{gone:?}");
    }
}

async fn a_token_that_was_just_used_is_forgiven_and_an_older_one_ends_the_sign_in(base: Base) {
    let store = with_ann(&base).await;
    store.renew(&renewal("s", 0, later(1))).await.unwrap();
    let again = store.renew(&renewal("s", 0, later(10_001))).await.unwrap();
    assert_eq!(generation(&again), Some(1), "the same number as before");
    let late = store.renew(&renewal("s", 0, later(10_002))).await.unwrap();
    assert_eq!(late, Renewed::Reused);
    let owner = store.renew(&renewal("s", 1, later(10_003))).await.unwrap();
    assert_eq!(owner, Renewed::Gone);
    let ended = store.ended_since(later(10_002)).await.unwrap();
    assert_eq!(ended, [("s".to_owned(), later(10_002))]);
}

async fn of_two_that_renew_at_once_one_gives_the_number(base: Base) {
    let store = with_ann(&base).await;
    let renewals = (0..8).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.renew(&renewal("s", 0, later(1))).await.unwrap() })
    });
    for renewed in renewals.collect::<Vec<_>>() {
        assert_eq!(generation(&renewed.await.unwrap()), Some(1));
    }
}

async fn what_takes_something_away_ends_every_sign_in_and_others_learn_of_it(base: Base) {
    let store = with_ann(&base).await;
    store.begin(&sign_in("t", "1", NOW)).await.unwrap();
    let mut ended = store
        .set_password("1", "new", later(1))
        .await
        .unwrap()
        .unwrap();
    ended.sort();
    assert_eq!(ended, ["s", "t"]);
    store.begin(&sign_in("u", "1", later(2))).await.unwrap();
    let ended = store
        .set_role("1", AccountRole::Admin, later(3))
        .await
        .unwrap();
    assert_eq!(ended.unwrap(), ["u"]);
    let found = store.find("1").await.unwrap().unwrap();
    assert_eq!(found.password_hash.as_deref(), Some("new"));
    // The same password, hashed otherwise: nobody is signed out, and a change meanwhile is not undone.
    store.rehash("1", "hash", "late").await.unwrap();
    store.rehash("1", "new", "newer").await.unwrap();
    let found = store.find("1").await.unwrap().unwrap();
    assert_eq!(found.password_hash.as_deref(), Some("newer"));
    assert_eq!(found.account.role, AccountRole::Admin);
    store.begin(&sign_in("v", "1", later(4))).await.unwrap();
    store.end("v", later(5)).await.unwrap();
    store.end("v", later(6)).await.unwrap();
    store.begin(&sign_in("w", "1", later(7))).await.unwrap();
    assert_eq!(store.end_all("1", later(8)).await.unwrap(), ["w"]);
    store.begin(&sign_in("x", "1", later(9))).await.unwrap();
    assert_eq!(store.delete("1", later(10)).await.unwrap().unwrap(), ["x"]);
    assert_eq!(store.find("1").await.unwrap(), None);
    for nobody in [
        store.delete("1", later(11)).await,
        store.set_password("1", "x", later(11)).await,
        store.set_role("1", AccountRole::Host, later(11)).await,
    ] {
        assert_eq!(nobody.unwrap(), None);
    }
    let ended = store.ended_since(later(3)).await.unwrap();
    let ended: Vec<(&str, i64)> = ended
        .iter()
        .map(|(id, at)| (id.as_str(), at.millis() - NOW.millis()))
        .collect();
    assert_eq!(ended, [("u", 3), ("v", 5), ("w", 8), ("x", 10)]);
}

async fn an_account_has_so_many_sign_ins_and_no_more(base: Base) {
    let store = with_ann(&base).await;
    for index in 1..super::super::identity::MAX_SIGN_INS {
        let new = sign_in(&format!("s{index:02}"), "1", later(index));
        assert!(store.begin(&new).await.unwrap().is_empty());
    }
    // The first was renewed lately: the one after it is the oldest now.
    store.renew(&renewal("s", 0, later(50))).await.unwrap();
    let ended = store
        .begin(&sign_in("one more", "1", later(60)))
        .await
        .unwrap();
    assert_eq!(ended, ["s01"]);
}

async fn old_sign_ins_are_forgotten(base: Base) {
    let store = with_ann(&base).await;
    assert_eq!(store.forget_sign_ins(later(99_999)).await.unwrap(), 0);
    assert_eq!(store.forget_sign_ins(later(100_000)).await.unwrap(), 1);
}

async fn a_stream_key_is_changed_and_the_one_before_opens_nothing(base: Base) {
    let store = &base.stores.identities;
    let room = room(1);
    base.create(&room, "first").await;
    assert!(store.set_stream_key(&room.id, "second").await.unwrap());
    assert!(!opens(&base, &room, "first").await);
    assert!(opens(&base, &room, "second").await);
    let nowhere = RoomId::parse("nowhere").unwrap();
    assert!(!store.set_stream_key(&nowhere, "x").await.unwrap());
}

async fn rooms_of_who_may_host_no_more_are_revoked_until_they_may_again(base: Base) {
    let store = with_ann(&base).await;
    let (mut live, mut over, mut others) = (room(1), room(2), room(3));
    for (room, status) in [
        (&mut live, RoomStatus::Live),
        (&mut over, RoomStatus::Ended),
        (&mut others, RoomStatus::Live),
    ] {
        room.status = status;
        room.owner.id = "1".to_owned();
    }
    others.owner.id = "2".to_owned();
    base.create(&live, "live").await;
    base.create(&over, "over").await;
    base.create(&others, "others").await;
    assert_eq!(store.revoked_on_air().await.unwrap(), []);

    let role = async |role, at| store.set_role("1", role, later(at)).await.unwrap();
    role(AccountRole::Viewer, 1).await;
    assert!(!opens(&base, &live, "live").await);
    assert!(opens(&base, &over, "over").await, "it lets nobody in");
    assert!(opens(&base, &others, "others").await);
    assert_eq!(store.revoked_on_air().await.unwrap(), [live.id.clone()]);
    assert!(!store.set_stream_key(&live.id, "next").await.unwrap());

    role(AccountRole::Host, 2).await;
    assert_eq!(store.revoked_on_air().await.unwrap(), []);
    assert!(!opens(&base, &live, "live").await);
    assert!(store.set_stream_key(&live.id, "next").await.unwrap());
    assert!(opens(&base, &live, "next").await);

    store.delete("1", later(3)).await.unwrap();
    assert!(!opens(&base, &live, "next").await);
    assert_eq!(store.revoked_on_air().await.unwrap(), [live.id]);
}

async fn opens(base: &Base, room: &RoomRecord, key: &str) -> bool {
    let found = base.stores.rooms.find_by_key(&room.id, key).await;
    found.unwrap().is_some()
}
