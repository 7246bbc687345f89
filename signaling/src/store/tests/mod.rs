//! What every database does alike: the same tests run on each.

#[path = "../../../tests/support/postgres.rs"]
mod server;

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;
use crate::auth::{AddressMark, Role};
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
    the_same_name_is_the_same_person
    opening_twice_changes_nothing
}

mod rooms;

mod lists;

mod journal;

mod identity;

mod order;

mod shop;

mod webhooks;

mod upkeep;

mod analytics;

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
            captured_at: None,
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
        };
        let journal = &self.stores.journal;
        let entries = [Entry::Row(update)];
        journal.append(&room(number).id, &entries).await.unwrap();
    }

    /// Has somebody watch for a while.
    async fn watch(&self, number: u64, watched_ms: u64) {
        let mut minute = crate::analytics::Minute::default();
        minute.counts.watched_ms = watched_ms;
        let mut rollup = analytics::rollup("one", vec![(0, minute)], Vec::new());
        rollup.room = room(number).id;
        (rollup.row.peak_viewers, rollup.row.total_viewers) = (0, 0);
        self.stores.analytics.write(&[rollup]).await.unwrap();
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
        avatar_url: Some("https://id.example/bob.png".to_owned()),
        role: Role::Viewer,
    }
}

fn number_of(id: &RoomId) -> u64 {
    id.as_str().trim_start_matches("room-").parse().unwrap()
}
