//! Who is told outside, and what became of it, on each database.

use super::*;

on_each_database! {
    what_happens_is_written_for_who_wants_to_know_of_it
    a_lane_is_at_one_server_at_a_time_and_goes_when_all_is_told
    the_log_says_what_became_of_each_the_latest_first
    what_failed_is_told_again_on_demand_and_what_waits_is_not
    the_log_is_kept_within_its_bounds
    what_was_told_to_who_is_no_more_is_forgotten
    an_endpoint_is_added_once_under_a_key_and_as_many_as_there_may_be
}

async fn what_happens_is_written_for_who_wants_to_know_of_it(base: Base) {
    base.create(&room(1), "1").await;
    base.create(&room(2), "2").await;
    let hook = |id: &str, change: fn(&mut Webhook)| {
        let mut webhook = webhook(id);
        change(&mut webhook);
        webhook
    };
    for webhook in [
        hook("all", |_| ()),
        hook("chat", |it| it.events = vec!["chat.message".to_owned()]),
        hook("other kind", |it| it.events = vec!["order".to_owned()]),
        hook("room", |it| it.room_id = Some(room(1).id.to_string())),
        hook("other room", |it| it.room_id = Some(room(2).id.to_string())),
        hook("owner", |it| it.owner_id = Some(room(1).owner.id)),
        hook("other owner", |it| it.owner_id = Some("nobody".to_owned())),
        hook("disabled", |it| it.enabled = false),
    ] {
        base.add(&webhook).await;
    }
    base.say(&room(1).id, "1", "hello").await;
    for (id, wanted) in [
        ("all", 1),
        ("chat", 1),
        ("other kind", 0),
        ("room", 1),
        ("other room", 0),
        ("owner", 1),
        ("other owner", 0),
        ("disabled", 0),
    ] {
        let due: Vec<Due> = base
            .claim(id, MINUTE)
            .await
            .into_iter()
            .flat_map(|it| it.due)
            .collect();
        assert_eq!(due.len(), wanted, "{id}");
        for due in due {
            assert_eq!((due.kind.as_str(), due.seq), ("chat.message", Some(1)));
            assert!(due.content.contains("hello"), "{}", due.content);
        }
    }
    // What is no change of anything is written for nobody.
    base.say(&room(1).id, "1", "hello").await;
    assert_eq!(base.stores.deliveries.backlog().await.unwrap().count, 4);
}

async fn a_lane_is_at_one_server_at_a_time_and_goes_when_all_is_told(base: Base) {
    base.create(&room(1), "1").await;
    base.add(&webhook("w")).await;
    base.say(&room(1).id, "1", "1").await;
    let first = base.claim("w", MINUTE).await.remove(0);
    assert_eq!((first.due.len(), first.more), (1, false));
    base.say(&room(1).id, "2", "2").await;
    assert!(base.claim("w", MINUTE).await.is_empty());
    // What was added meanwhile keeps the lane.
    base.release(&first, Next::WhenAdded).await;
    let second = base.claim("w", Duration::ZERO).await.remove(0);
    assert_eq!(second.due.len(), 1);
    // Its lease is over: it is another's by now, and what the one before says does not count.
    let third = base.claim("w", MINUTE).await.remove(0);
    assert_eq!(third.due, second.due);
    base.release(&second, Next::WhenAdded).await;
    base.release(&second, Next::At(Timestamp::now())).await;
    let backlog = base.stores.deliveries.backlog().await.unwrap();
    assert_eq!(backlog.count, 1);
    assert!(base.claim("w", MINUTE).await.is_empty());
    base.release(&third, Next::WhenAdded).await;
    assert!(base.claim("w", MINUTE).await.is_empty());
    assert_eq!(
        base.stores.deliveries.backlog().await.unwrap(),
        Backlog::default()
    );

    // More than is told in one go, in order.
    for number in 0..20 {
        let text = number.to_string();
        base.say(&room(1).id, &format!("more {text}"), &text).await;
    }
    let lane = base.claim("w", MINUTE).await.remove(0);
    assert_eq!((lane.due.len(), lane.more), (16, true));
    assert!(lane.due.is_sorted_by_key(|due| due.number));
    base.release(&lane, Next::At(Timestamp::now())).await;
    let rest = base.claim("w", MINUTE).await.remove(0);
    assert_eq!((rest.due.len(), rest.more), (4, false));
}

async fn the_log_says_what_became_of_each_the_latest_first(base: Base) {
    let lane = base.tell_three().await;
    let log = &base.stores.delivery_log;
    let statuses = async || {
        let query = DeliveryQuery {
            limit: 10,
            ..DeliveryQuery::default()
        };
        let found = log.deliveries("w", &query).await.unwrap();
        found
            .iter()
            .map(|it| (it.status, it.attempts, it.next_at.is_some()))
            .collect::<Vec<_>>()
    };
    let expected = [
        (DeliveryStatus::Pending, 0, true),
        (DeliveryStatus::Failed, 7, false),
        (DeliveryStatus::Delivered, 7, false),
    ];
    assert_eq!(statuses().await, expected);
    let only = async |status, before| {
        let query = DeliveryQuery {
            status,
            before,
            limit: 10,
        };
        let found = log.deliveries("w", &query).await.unwrap();
        found.iter().map(|it| it.number).collect::<Vec<_>>()
    };
    let number = |place: usize| lane.due[place].number;
    assert_eq!(only(Some(DeliveryStatus::Failed), None).await, [number(1)]);
    assert_eq!(only(None, Some(number(1))).await, [number(0)]);
    let (found, due) = log
        .delivery("w", &lane.due[1].event_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.last_status, found.last_error.as_deref()),
        (Some(500), Some("why"))
    );
    assert_eq!(due.content, lane.due[1].content);
    assert!(
        log.delivery("x", &lane.due[1].event_id)
            .await
            .unwrap()
            .is_none()
    );
}

async fn what_failed_is_told_again_on_demand_and_what_waits_is_not(base: Base) {
    base.tell_three().await;
    let log = &base.stores.delivery_log;
    let between = |status| Replay::Between {
        from: Timestamp::from_millis(0),
        until: Timestamp::MAX,
        status,
        at_most: 10,
    };
    assert_eq!(log.replay("x", &between(None)).await.unwrap(), 0);
    let failed = between(Some(DeliveryStatus::Failed));
    assert_eq!(log.replay("w", &failed).await.unwrap(), 1);
    assert_eq!(log.replay("w", &failed).await.unwrap(), 0);
    // Also what waited for its next attempt is tried at once.
    let lane = base.claim("w", MINUTE).await.remove(0);
    assert_eq!(
        lane.due.iter().map(|it| it.attempts).collect::<Vec<_>>(),
        [0, 0]
    );
    base.release(&lane, Next::WhenAdded).await;
    assert_eq!(log.replay("w", &between(None)).await.unwrap(), 3);
    let one = Replay::One(lane.due[0].event_id.clone());
    assert_eq!(log.replay("w", &one).await.unwrap(), 1);
    assert_eq!(log.replay("x", &one).await.unwrap(), 0);
    assert_eq!(base.claim("w", MINUTE).await[0].due.len(), 3);
}

async fn the_log_is_kept_within_its_bounds(base: Base) {
    base.create(&room(1), "1").await;
    base.add(&webhook("w")).await;
    for text in ["1", "2", "3", "4", "5"] {
        base.say(&room(1).id, text, text).await;
    }
    let log = &base.stores.delivery_log;
    let keep = Keep {
        queued_since: Timestamp::from_millis(0),
        since: Timestamp::from_millis(0),
        at_most: 5,
    };
    assert_eq!(log.sweep(keep).await.unwrap(), Swept::default());
    let fewer = Keep { at_most: 3, ..keep };
    let dropped = Swept {
        dropped: 2,
        ..Swept::default()
    };
    assert_eq!(log.sweep(fewer).await.unwrap(), dropped);
    // What still waits is not forgotten, however old it is; what nobody is told of is.
    let old = Keep {
        since: Timestamp::MAX,
        ..keep
    };
    assert_eq!(log.sweep(old).await.unwrap().forgotten, 2);
    let waited = Keep {
        queued_since: Timestamp::MAX,
        ..keep
    };
    assert_eq!(log.sweep(waited).await.unwrap().expired, 3);
    let query = DeliveryQuery {
        status: Some(DeliveryStatus::Failed),
        before: None,
        limit: 10,
    };
    let failed = log.deliveries("w", &query).await.unwrap();
    assert_eq!(failed.len(), 3);
    assert_eq!(
        failed[0].last_error.as_deref(),
        Some("it waited too long for its turn")
    );
    assert_eq!(log.sweep(old).await.unwrap().forgotten, 6);
    assert!(log.deliveries("w", &query).await.unwrap().is_empty());
}

async fn what_was_told_to_who_is_no_more_is_forgotten(base: Base) {
    base.create(&room(1), "1").await;
    for id in ["a", "b", "c"] {
        base.add(&webhook(id)).await;
    }
    base.say(&room(1).id, "1", "1").await;
    for id in ["a", "c"] {
        assert!(base.stores.webhooks.remove(id).await.unwrap());
        assert!(!base.stores.webhooks.remove(id).await.unwrap());
    }
    let keep = Keep {
        queued_since: Timestamp::from_millis(0),
        since: Timestamp::from_millis(0),
        at_most: 5,
    };
    // A delivery and a lane of each.
    assert_eq!(
        base.stores
            .delivery_log
            .sweep(keep)
            .await
            .unwrap()
            .forgotten,
        4
    );
    assert_eq!(
        base.stores.delivery_log.sweep(keep).await.unwrap(),
        Swept::default()
    );
    for (id, lanes) in [("a", 0), ("b", 1), ("c", 0)] {
        assert_eq!(base.claim(id, MINUTE).await.len(), lanes, "{id}");
    }
}

async fn an_endpoint_is_added_once_under_a_key_and_as_many_as_there_may_be(base: Base) {
    let key = |name: &str, request: &str| CreationKey {
        identity: "ann".to_owned(),
        name: name.to_owned(),
        request: request.to_owned(),
    };
    let webhooks = &base.stores.webhooks;
    let add =
        async |id: &str, key: CreationKey| webhooks.add(&webhook(id), 2, Some(&key)).await.unwrap();
    assert_eq!(webhooks.added_before(&key("k", "r")).await.unwrap(), None);
    assert_eq!(add("a", key("k", "r")).await, Added::New);
    let before = |same| Added::Before {
        id: "a".to_owned(),
        same,
    };
    assert_eq!(add("b", key("k", "r")).await, before(true));
    assert_eq!(add("b", key("k", "other")).await, before(false));
    assert_eq!(
        webhooks.added_before(&key("k", "r")).await.unwrap(),
        Some(before(true))
    );
    assert_eq!(
        webhooks.add(&webhook("b"), 2, None).await.unwrap(),
        Added::New
    );
    // What was not added leaves the key free.
    assert_eq!(add("c", key("k2", "r")).await, Added::Full);
    assert!(webhooks.remove("b").await.unwrap());
    assert_eq!(add("c", key("k2", "r")).await, Added::New);
    let there = webhooks.endpoints().await.unwrap();
    assert_eq!(
        there.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(),
        ["a", "c"]
    );
}

impl Base {
    pub(super) async fn add(&self, webhook: &Webhook) {
        let added = self.stores.webhooks.add(webhook, 50, None).await;
        assert_eq!(added.unwrap(), Added::New);
    }

    async fn claim(&self, id: &str, span: Duration) -> Vec<Lane> {
        let now = Timestamp::now();
        let lease = Lease {
            name: crate::id::random(),
            now,
            until: now.plus(span),
        };
        self.stores.deliveries.claim(id, &lease, 8).await.unwrap()
    }

    /// Says three things, of which the first is delivered, the second fails, and the third waits for a minute.
    async fn tell_three(&self) -> Lane {
        self.create(&room(1), "1").await;
        self.add(&webhook("w")).await;
        for text in ["1", "2", "3"] {
            self.say(&room(1).id, text, text).await;
        }
        let lane = self.claim("w", MINUTE).await.remove(0);
        let tried = [
            tried(&lane.due[0], DeliveryStatus::Delivered),
            tried(&lane.due[1], DeliveryStatus::Failed),
        ];
        let later = Next::At(Timestamp::now().plus(MINUTE));
        let deliveries = &self.stores.deliveries;
        deliveries.release(&lane, &tried, later).await.unwrap();
        lane
    }

    /// Gives a lane back with all of it delivered.
    async fn release(&self, lane: &Lane, next: Next) {
        let tried: Vec<Tried> = lane
            .due
            .iter()
            .map(|due| tried(due, DeliveryStatus::Delivered))
            .collect();
        self.stores
            .deliveries
            .release(lane, &tried, next)
            .await
            .unwrap();
    }
}

fn tried(due: &Due, status: DeliveryStatus) -> Tried {
    Tried {
        number: due.number,
        status,
        attempts: 7,
        at: Timestamp::now(),
        answer: Some(500),
        error: Some("why".to_owned()),
        took: Duration::from_millis(5),
    }
}

/// Makes an endpoint that wants to know of everything.
pub(super) fn webhook(id: &str) -> Webhook {
    Webhook {
        id: id.to_owned(),
        url: "https://example.com/".to_owned(),
        description: String::new(),
        events: vec!["*".to_owned()],
        room_id: None,
        owner_id: None,
        enabled: true,
        secret: crate::auth::Secret::new("whsec_AAAA"),
        old_secret: None,
        failing_since: None,
        created_at: Timestamp::now(),
    }
}

const MINUTE: Duration = Duration::from_secs(60);
