//! Orders that were read and are not on disk yet, and how far each partition may be said to be read. No IO and no clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::error::{ApiError, Code};
use crate::id::RoomId;
use crate::shop::NewOrder;

use super::rooms::Rooms;

/// An order, and where in the topic it stands.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) room: RoomId,
    pub(super) order: NewOrder,
}

/// Why an order is to be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The database is away: the next one would fare no better.
    Away,
    /// The room has no time, which is no fault of the order, and nothing that other rooms should wait for.
    Busy,
    /// The server failed at it, and may do so at this one alone.
    Fault,
}

impl Trouble {
    /// Returns `None` for an order that is refused, which no time makes a good one.
    pub(super) fn of(error: &ApiError) -> Option<Self> {
        if error.code == Code::Unavailable {
            return Some(Self::Away);
        }
        if error.code == Code::Busy {
            return Some(Self::Busy);
        }
        (error.code == Code::Internal).then_some(Self::Fault)
    }
}

/// An order that was tried, or is to be for the first time.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) placed: Placed,
    /// When it is tried again.
    at: Instant,
    /// How long it waited for that.
    pause: Duration,
    /// The last time it failed because of what is no matter of its own.
    is_away: bool,
    /// How often the server failed at it, although it had written another one since the time before.
    faults: u32,
    /// How many the server had written when it failed last; `None` before that.
    written: Option<u64>,
}

impl Waiting {
    pub(super) fn new(placed: Placed, now: Instant) -> Self {
        Self {
            placed,
            at: now,
            pause: Duration::ZERO,
            is_away: false,
            faults: 0,
            written: None,
        }
    }
}

/// What waits, at most [`MAX_WAITING`] orders and one batch that finds the database away. What finds no room there is
/// put off: nothing is kept of it but that Kafka is not to be told that it was read, so that it comes again.
#[derive(Debug)]
pub(super) struct Backlog {
    /// By partition and offset.
    waiting: BTreeMap<(i32, i64), Waiting>,
    rooms: Rooms,
    /// The first order of each partition that was put off.
    put_off: BTreeMap<i32, i64>,
    /// When the topic was read from where Kafka was told.
    since: Instant,
    /// The offset behind the last message that was read, by partition.
    read: BTreeMap<i32, i64>,
    /// What Kafka was told of that.
    told: BTreeMap<i32, i64>,
    /// New orders on disk: each shows that the server can write one.
    written: u64,
    /// New orders that failed and found no room since one was written.
    without_room: usize,
    /// When the last of these shows the least; before, no more is read once there are [`MAX_WITHOUT_ROOM`] of them.
    resumes_at: Instant,
    /// How often the server had failed at what waited when all was forgotten, since that comes again. At most
    /// [`MAX_WAITING`]: others begin anew. They go once Kafka is told of more than them.
    known: BTreeMap<(i32, i64), u32>,
}

impl Backlog {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            waiting: BTreeMap::new(),
            rooms: Rooms::default(),
            put_off: BTreeMap::new(),
            since: now,
            read: BTreeMap::new(),
            told: BTreeMap::new(),
            written: 0,
            without_room: 0,
            resumes_at: now,
            known: BTreeMap::new(),
        }
    }

    /// Takes note of a message that was read, whatever it says.
    pub(super) fn handle_message(&mut self, partition: i32, offset: i64) {
        self.read.insert(partition, offset + 1);
    }

    /// Returns whether an order is put off without being tried: of its room enough wait.
    pub(super) fn puts_off(&mut self, order: &Placed) -> bool {
        let very_many_wait = self.waiting.len() >= VERY_MANY;
        let is_put_off = self.rooms.puts_off(&order.room, very_many_wait);
        if is_put_off {
            self.put_off(order);
        }
        is_put_off
    }

    /// Returns whether an order that failed for the first time is put off: as many wait as may. So others are read on, which
    /// may be written, and then show of those that wait that it is them.
    pub(super) fn has_no_room(&mut self, order: &Waiting, trouble: Trouble, now: Instant) -> bool {
        let is_new = order.written.is_none();
        // Where the database is away one has to wait for it, and nothing is read on.
        if !is_new || trouble == Trouble::Away || self.waiting.len() < MAX_WAITING {
            return false;
        }
        self.without_room += 1;
        self.resumes_at = now + LAST_PAUSE;
        self.rooms.handle_put_off(&order.placed.room);
        self.put_off(&order.placed);
        true
    }

    fn put_off(&mut self, order: &Placed) {
        let first = self.put_off.entry(order.partition).or_insert(order.offset);
        *first = order.offset.min(*first);
    }

    /// Takes note of a new order that is on disk.
    pub(super) fn handle_written(&mut self, room: &RoomId) {
        self.written += 1;
        self.without_room = 0;
        self.rooms.handle_written(room);
    }

    /// Lets an order wait that could not be written; returns `false` where it is to be left behind. That is so when the server
    /// goes on to write others and fails at this one again and again: then it is the order. While it writes none, it is the
    /// server, and nothing is left behind.
    pub(super) fn handle_trouble(
        &mut self,
        mut order: Waiting,
        trouble: Trouble,
        now: Instant,
    ) -> bool {
        let place = (order.placed.partition, order.placed.offset);
        if order.written.is_none() {
            order.faults = self.known.remove(&place).unwrap_or(0);
        }
        let others_go = order.written.is_some_and(|then| then < self.written);
        order.is_away = trouble == Trouble::Away;
        if trouble == Trouble::Fault && others_go {
            order.faults += 1;
        }
        let room = &order.placed.room;
        let is_given_up = self.rooms.is_given_up(room);
        if order.faults >= if is_given_up { 1 } else { MAX_FAULTS } {
            self.rooms.handle_left_behind(room);
            return false;
        }
        order.written = Some(self.written);
        order.pause = (order.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
        order.at = now + order.pause;
        if order.is_away {
            // To try the others before would only take time.
            for other in self.waiting.values_mut() {
                other.at = other.at.max(order.at);
            }
        }
        self.rooms.handle_waiting(&order.placed.room);
        if let Some(before) = self.waiting.insert(place, order) {
            self.rooms.handle_tried(&before.placed.room);
        }
        true
    }

    /// Takes out the first order whose time has come.
    pub(super) fn poll_due(&mut self, now: Instant) -> Option<Waiting> {
        let mut waiting = self.waiting.iter();
        let (place, _) = waiting.find(|(_, order)| order.at <= now)?;
        let place = *place;
        let order = self.waiting.remove(&place)?;
        self.rooms.handle_tried(&order.placed.room);
        Some(order)
    }

    /// Returns when the next one is due; `None` where nothing waits.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.waiting.values().map(|order| order.at).min()
    }

    /// Returns whether messages that follow may be read: they tell a fault of the server from one of an order. Where as many
    /// wait as may and a whole batch went the same way, it is likely the server, and a batch now and then shows when it is not.
    pub(super) fn takes_more(&self, now: Instant) -> bool {
        let has_room = self.waiting.len() < MAX_WAITING || self.without_room < MAX_WITHOUT_ROOM;
        (has_room || self.resumes_at <= now) && !self.is_away()
    }

    /// Returns from when on the topic is to be read again, for what was put off; `None` while there is nothing of that, or no
    /// room for it.
    pub(super) fn again_at(&self) -> Option<Instant> {
        let has_room = self.rooms.may_come_again() && self.waiting.len() < VERY_MANY;
        (has_room && !self.is_away()).then(|| self.since + BETWEEN_READINGS)
    }

    fn is_away(&self) -> bool {
        self.waiting.values().any(|order| order.is_away)
    }

    /// Returns up to which offset each partition is read of which Kafka is not told yet: never beyond an order that waits or
    /// was put off.
    pub(super) fn poll_offsets(&mut self) -> Vec<(i32, i64)> {
        let mut offsets = Vec::new();
        for (&partition, &read) in &self.read {
            let first = self.waiting.range((partition, i64::MIN)..).next();
            let first = first.filter(|((of, _), _)| *of == partition);
            let first = first.map(|((_, offset), _)| *offset);
            let put_off = self.put_off.get(&partition).copied();
            let offset = [first, put_off].into_iter().flatten().fold(read, i64::min);
            if self.told.insert(partition, offset) != Some(offset) {
                offsets.push((partition, offset));
                let is_past = |place: &(i32, i64)| place.0 == partition && place.1 < offset;
                self.known.retain(|place, _| !is_past(place));
            }
        }
        offsets
    }

    /// Forgets all but which rooms were given up, and how often the server failed at which order: after partitions changed
    /// hands, or to take what was put off, each is read again from where Kafka was told.
    pub(super) fn clear(&mut self, now: Instant) {
        let mut rooms = std::mem::take(&mut self.rooms);
        rooms.clear();
        // Those of partitions that are another server's now are never told of, and give way.
        let failed = self.waiting.iter().filter(|(_, order)| order.faults > 0);
        let mut known: BTreeMap<_, _> = failed
            .map(|(place, order)| (*place, order.faults))
            .collect();
        for (place, faults) in std::mem::take(&mut self.known) {
            if known.len() < MAX_WAITING {
                known.entry(place).or_insert(faults);
            }
        }
        *self = Self {
            rooms,
            known,
            ..Self::new(now)
        };
    }
}

/// Orders that wait while others are read.
const MAX_WAITING: usize = 2048;

/// From so many on one of each room waits.
const VERY_MANY: usize = 1024;

/// Orders beyond these that may fail, and none be written, before that shows that the server fails: one batch.
const MAX_WITHOUT_ROOM: usize = 64;

/// How often the server fails at an order while others go: half a minute at least.
const MAX_FAULTS: u32 = 8;

/// What is read again is known for the most part, but has to be looked for.
const BETWEEN_READINGS: Duration = Duration::from_secs(30);

const FIRST_PAUSE: Duration = Duration::from_millis(200);

const LAST_PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::super::rooms::SHARE;
    use super::*;
    use crate::shop::OrderBody;

    fn room(name: &str) -> RoomId {
        RoomId::parse(name).unwrap()
    }

    fn placed(partition: i32, offset: i64) -> Placed {
        placed_in("room", partition, offset)
    }

    fn placed_in(name: &str, partition: i32, offset: i64) -> Placed {
        let order = serde_json::json!({ "orderId": "1", "roomId": "room", "displayName": "Bob" });
        let order: OrderBody = serde_json::from_value(order).unwrap();
        Placed {
            partition,
            offset,
            room: room(name),
            order: order.check().unwrap(),
        }
    }

    /// Reads an order that fails at first.
    fn fail(backlog: &mut Backlog, place: (i32, i64), trouble: Trouble, now: Instant) {
        backlog.handle_message(place.0, place.1);
        let order = Waiting::new(placed(place.0, place.1), now);
        assert!(backlog.handle_trouble(order, trouble, now));
    }

    /// Reads an order of a room of its own that fails, as the reader does.
    fn read_and_fail(backlog: &mut Backlog, place: (i32, i64), now: Instant) {
        backlog.handle_message(place.0, place.1);
        let order = placed_in(&format!("room-{}", place.1), place.0, place.1);
        assert!(!backlog.puts_off(&order));
        settle(backlog, Waiting::new(order, now), now);
    }

    fn settle(backlog: &mut Backlog, order: Waiting, now: Instant) {
        if !backlog.has_no_room(&order, Trouble::Fault, now) {
            backlog.handle_trouble(order, Trouble::Fault, now);
        }
    }

    /// Tries what waits until it is left behind; returns how often, and how long that took.
    fn tries(backlog: &mut Backlog, mut between: impl FnMut(&mut Backlog)) -> (u32, Duration) {
        let begin = backlog.next_at().unwrap() - FIRST_PAUSE;
        let mut now = begin;
        for tries in 1..1_000 {
            between(backlog);
            now = backlog.next_at().unwrap();
            let order = backlog.poll_due(now).unwrap();
            if !backlog.handle_trouble(order, Trouble::Fault, now) {
                return (tries, now - begin);
            }
        }
        (1_000, now - begin)
    }

    #[test]
    fn an_order_is_left_behind_when_others_go_and_never_when_none_does() {
        let mut backlog = Backlog::new(Instant::now());
        fail(&mut backlog, (0, 7), Trouble::Fault, Instant::now());
        let (without, _) = tries(&mut backlog, |_| {});
        assert_eq!(without, 1_000, "none was written");

        let (with, took) = tries(&mut backlog, |backlog| {
            backlog.handle_written(&room("other"))
        });
        assert_eq!(with, MAX_FAULTS);
        assert!(took > Duration::from_secs(30), "{took:?}");
        assert_eq!(backlog.poll_offsets(), [(0, 8)]);
    }

    #[test]
    fn one_order_that_was_written_speaks_once_against_those_that_fail() {
        let mut backlog = Backlog::new(Instant::now());
        fail(&mut backlog, (0, 7), Trouble::Fault, Instant::now());
        let mut tried = 0;
        let (tries, _) = tries(&mut backlog, |backlog| {
            tried += 1;
            if tried % 10 == 0 {
                backlog.handle_written(&room("other"));
            }
        });
        assert_eq!(tries, MAX_FAULTS * 10);
    }

    #[test]
    fn an_order_that_failed_with_its_whole_transaction_is_tried_alone_and_goes() {
        let (mut backlog, now) = (Backlog::new(Instant::now()), Instant::now());
        for offset in 0..64 {
            fail(&mut backlog, (0, offset), Trouble::Fault, now);
        }
        assert!(backlog.poll_due(now).is_none());
        assert!(backlog.poll_offsets() == [(0, 0)] && backlog.takes_more(now));
        let now = now + FIRST_PAUSE;
        for offset in 0..64 {
            let order = backlog.poll_due(now).unwrap();
            assert_eq!(order.placed.offset, offset, "in their order");
            if offset == 20 {
                assert!(backlog.handle_trouble(order, Trouble::Fault, now));
            } else {
                backlog.handle_written(&room("other"));
            }
        }
        assert!(backlog.poll_due(now).is_none());
        assert_eq!(backlog.poll_offsets(), [(0, 20)]);
        assert_eq!(backlog.poll_offsets(), [], "it knows");
    }

    #[test]
    fn nothing_more_is_read_while_the_database_is_away_or_too_many_wait() {
        let (mut backlog, now) = (Backlog::new(Instant::now()), Instant::now());
        fail(&mut backlog, (0, 1), Trouble::Fault, now);
        assert!(backlog.takes_more(now));
        fail(&mut backlog, (1, 1), Trouble::Away, now + LAST_PAUSE);
        assert!(!backlog.takes_more(now));
        // To ask for each of them whether the database is back would take long.
        let again = now + LAST_PAUSE + FIRST_PAUSE;
        assert_eq!(backlog.next_at(), Some(again));
        for _ in 0..2 {
            backlog.poll_due(again).unwrap();
        }
        assert!(backlog.takes_more(now) && backlog.next_at().is_none());

        let mut last = 0;
        for offset in 0.. {
            if !backlog.takes_more(now) {
                last = offset;
                break;
            }
            read_and_fail(&mut backlog, (0, offset), now);
        }
        let most = MAX_WAITING + MAX_WITHOUT_ROOM;
        assert_eq!(
            (last, backlog.waiting.len()),
            (most.try_into().unwrap(), MAX_WAITING)
        );
        // Now and then some are read, and as soon as one is written they all are.
        let now = now + LAST_PAUSE;
        assert!(backlog.takes_more(now));
        read_and_fail(&mut backlog, (0, last), now);
        assert!(!backlog.takes_more(now));
        backlog.handle_written(&room("other"));
        assert!(backlog.takes_more(now));
    }

    #[test]
    fn where_more_rooms_fail_than_may_wait_the_others_go_on_and_none_is_lost() {
        let (mut backlog, begin) = (Backlog::new(Instant::now()), Instant::now());
        // Each room has an order that never goes; every tenth of what comes is another's, and goes.
        let (mut now, mut written) = (begin, 0);
        for offset in 0..10_000 {
            assert!(backlog.takes_more(now), "{offset}");
            backlog.handle_message(0, offset);
            if offset % 10 == 9 {
                backlog.handle_written(&room("other"));
                written += 1;
                continue;
            }
            let order = placed_in(&format!("room-{offset}"), 0, offset);
            if !backlog.puts_off(&order) {
                settle(&mut backlog, Waiting::new(order, now), now);
            }
        }
        assert_eq!((written, backlog.waiting.len()), (1_000, MAX_WAITING));
        assert_eq!(backlog.poll_offsets(), [(0, 0)], "Kafka is told of none");
        // Those that wait are left behind as others go, and there is room for what was put off.
        while let Some(next) = backlog.next_at() {
            now = next;
            backlog.handle_written(&room("other"));
            while let Some(order) = backlog.poll_due(now) {
                settle(&mut backlog, order, now);
            }
        }
        assert!(now - begin > Duration::from_secs(30));
        assert!(backlog.again_at().is_some_and(|at| at <= now));
        let [(0, offset)] = backlog.poll_offsets()[..] else {
            panic!("one partition has news");
        };
        assert!(offset < 10_000, "what was put off comes again: {offset}");
    }

    #[test]
    fn an_order_is_left_behind_though_the_topic_is_read_again_meanwhile() {
        let (mut backlog, mut now) = (Backlog::new(Instant::now()), Instant::now());
        let mut failures = 0;
        'read: for reading in 0..100 {
            backlog.handle_message(0, 7);
            let mut order = Waiting::new(placed(0, 7), now);
            // Two failures of its own in each reading, in the first of which no other was written since.
            for _ in 0..2 {
                failures += 1;
                if !backlog.handle_trouble(order, Trouble::Fault, now) {
                    assert_eq!(reading, MAX_FAULTS - 1);
                    break 'read;
                }
                backlog.handle_written(&room("other"));
                now = backlog.next_at().unwrap();
                order = backlog.poll_due(now).unwrap();
            }
            assert!(backlog.handle_trouble(order, Trouble::Away, now));
            backlog.clear(now);
        }
        assert_eq!(failures, 2 * MAX_FAULTS);
        assert_eq!(backlog.poll_offsets(), [(0, 8)]);
        backlog.handle_message(0, 8);
        let _ = backlog.poll_offsets();
        assert!(backlog.known.is_empty());
    }

    #[test]
    fn failures_of_what_others_read_now_leave_room_for_those_of_what_is_read_here() {
        let (mut backlog, now) = (Backlog::new(Instant::now()), Instant::now());
        // Of one partition after the other, which then goes to another server.
        for partition in 0..3 {
            for offset in 0..1_500 {
                backlog.handle_message(partition, offset);
                let order = placed_in(&format!("room-{offset}"), partition, offset);
                let mut order = Waiting::new(order, now);
                order.faults = 1;
                order.written = Some(0);
                assert!(backlog.handle_trouble(order, Trouble::Fault, now));
            }
            backlog.clear(now);
            assert!(backlog.known.len() <= MAX_WAITING);
            let here = backlog.known.keys().filter(|place| place.0 == partition);
            assert_eq!(here.count(), 1_500, "of partition {partition}");
        }
    }

    #[test]
    fn one_room_has_a_share_of_what_waits_and_others_go_on() {
        let begin = Instant::now();
        let mut backlog = Backlog::new(begin);
        for offset in 0..1_000_000 {
            backlog.handle_message(0, offset);
            let order = placed(0, offset);
            if !backlog.puts_off(&order) {
                let order = Waiting::new(order, begin);
                assert!(backlog.handle_trouble(order, Trouble::Fault, begin));
            }
        }
        assert_eq!(backlog.waiting.len(), SHARE);
        assert!(backlog.takes_more(begin) && !backlog.puts_off(&placed_in("other", 0, 1)));
        assert!(backlog.again_at().is_none(), "none of it finds room");

        // The room is well again. What waited is written, and Kafka is told of that alone.
        let now = begin + LAST_PAUSE;
        while let Some(order) = backlog.poll_due(now) {
            backlog.handle_written(&order.placed.room);
        }
        assert_eq!(backlog.poll_offsets(), [(0, i64::try_from(SHARE).unwrap())]);
        let again = backlog.again_at().unwrap();
        assert!(again >= begin + BETWEEN_READINGS);
        backlog.clear(again);
        assert!(backlog.again_at().is_none() && !backlog.puts_off(&placed(0, 0)));
    }

    #[test]
    fn where_very_many_rooms_fail_one_order_of_each_waits() {
        let (mut backlog, now) = (Backlog::new(Instant::now()), Instant::now());
        for offset in 0.. {
            let order = placed_in(&format!("room-{}", offset % 1_500), 0, offset);
            if offset > 10_000 || !backlog.takes_more(now) {
                break;
            }
            if !backlog.puts_off(&order) {
                let order = Waiting::new(order, now);
                assert!(backlog.handle_trouble(order, Trouble::Fault, now));
            }
        }
        assert_eq!(backlog.waiting.len(), 1_500);
        assert!(backlog.takes_more(now));
    }

    #[test]
    fn a_room_that_was_given_up_is_tried_less_often_until_one_of_its_orders_is_written() {
        let (mut backlog, begin) = (Backlog::new(Instant::now()), Instant::now());
        let others_go = |backlog: &mut Backlog| backlog.handle_written(&room("other"));
        fail(&mut backlog, (0, 7), Trouble::Fault, begin);
        assert_eq!(tries(&mut backlog, others_go).0, MAX_FAULTS);
        backlog.clear(begin);
        fail(&mut backlog, (0, 8), Trouble::Fault, begin);
        assert_eq!(tries(&mut backlog, |_| {}).0, 1_000, "none was written");
        backlog.clear(begin);
        fail(&mut backlog, (0, 8), Trouble::Fault, begin);
        assert_eq!(tries(&mut backlog, others_go).0, 1);
        backlog.handle_written(&room("room"));
        fail(&mut backlog, (0, 9), Trouble::Fault, begin);
        assert_eq!(tries(&mut backlog, others_go).0, MAX_FAULTS);
    }

    #[test]
    fn a_room_without_time_holds_up_no_other_and_loses_nothing() {
        let (mut backlog, begin) = (Backlog::new(Instant::now()), Instant::now());
        fail(&mut backlog, (0, 7), Trouble::Busy, begin);
        for _ in 0..100 {
            assert!(backlog.takes_more(begin));
            backlog.handle_written(&room("other"));
            let now = backlog.next_at().unwrap();
            let order = backlog.poll_due(now).unwrap();
            assert!(backlog.handle_trouble(order, Trouble::Busy, now));
        }
        assert_eq!(backlog.poll_offsets(), [(0, 7)]);
    }

    #[test]
    fn each_partition_is_read_up_to_its_first_order_that_waits() {
        let (mut backlog, now) = (Backlog::new(Instant::now()), Instant::now());
        for partition in 0..3 {
            for offset in 10..20 {
                backlog.handle_message(partition, offset);
            }
        }
        fail(&mut backlog, (1, 15), Trouble::Fault, now);
        backlog.handle_message(1, 19);
        assert_eq!(backlog.poll_offsets(), [(0, 20), (1, 15), (2, 20)]);
        backlog.poll_due(now + FIRST_PAUSE).unwrap();
        assert_eq!(backlog.poll_offsets(), [(1, 20)]);
        backlog.clear(now);
        assert_eq!(backlog.poll_offsets(), []);
    }

    #[test]
    fn what_is_refused_is_not_tried_again() {
        let code = |code| Trouble::of(&ApiError::new(code, ""));
        assert_eq!(code(Code::Unavailable), Some(Trouble::Away));
        assert_eq!(code(Code::Busy), Some(Trouble::Busy));
        assert_eq!(code(Code::Internal), Some(Trouble::Fault));
        assert_eq!(code(Code::NotFound), None);
        assert_eq!(code(Code::InvalidValue), None);
    }
}
