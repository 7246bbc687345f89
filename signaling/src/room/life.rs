//! The life of a room as one state machine: docs/rooms.md has its table. No IO, no clock.

use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ApiError, Code};
use crate::store::{RoomRecord, RoomStatus};
use crate::time::Timestamp;

/// Where a room is in its life, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Life {
    status: RoomStatus,
    /// When media first came; `None` before, and again when a reusable room waits for its next event.
    started_at: Option<Timestamp>,
    /// When it was over; `None` before, and again when a reusable room waits for its next event.
    ended_at: Option<Timestamp>,
    /// When the status changed last.
    changed_at: Timestamp,
    /// When an interrupted room gives up waiting; `None` unless it is interrupted.
    grace_ends: Option<Instant>,
    /// How long it waits.
    grace: Duration,
    /// Whether it waits for another event when one has ended. Changes with what the owner writes.
    reusable: bool,
}

/// What happens to a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "who records tells a room how far its recordings are"
    )
)]
pub(crate) enum Input {
    /// Somebody lets it begin.
    Start(Reason),
    /// Somebody ends it.
    End(Reason),
    /// Somebody calls it off.
    Cancel(Reason),
    /// Media comes.
    Media,
    /// No media will come from the publisher that there was.
    Lost(Reason),
    /// Its recordings are being finished.
    Process,
    /// Its recordings are ready to play.
    Archive,
}

/// Why a status changed, on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = StatusReason)]
pub(crate) enum Reason {
    /// Its owner, or an administrator, said so.
    Owner,
    /// The publisher ended what it sent.
    Publisher,
    /// Media came.
    Media,
    /// The publisher was lost.
    PublisherLost,
    /// The publisher did not come back in time.
    GraceOver,
    /// Its owner's account was deleted, or may host no more.
    OwnerGone,
    /// Nobody used it.
    CleanUp,
    /// The server was started again.
    Restart,
    /// Its recordings are further.
    Recording,
    /// It waits for its next event.
    Reuse,
}

/// The moment at which something happens, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Instant,
    pub(super) wall: Timestamp,
}

/// A status that a room came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) status: RoomStatus,
    pub(super) reason: Reason,
    /// Since when media comes.
    pub(super) started_at: Option<Timestamp>,
    /// Since when it is over.
    pub(super) ended_at: Option<Timestamp>,
    /// When it came to it.
    pub(super) at: Timestamp,
}

/// What becomes of a status.
enum Next {
    /// It stays, and that is what was wanted.
    Stay,
    /// Another follows.
    To(RoomStatus, Reason),
    /// What was wanted cannot be.
    Refuse,
}

impl Moment {
    /// Reads both clocks.
    pub(super) fn now() -> Self {
        Self {
            now: Instant::now(),
            wall: Timestamp::now(),
        }
    }
}

impl Life {
    /// Goes on from what is stored. What was live is interrupted: its publisher is not known here.
    pub(super) fn restore(
        room: &RoomRecord,
        grace: Duration,
        at: Moment,
    ) -> (Self, Option<Change>) {
        let mut life = Self {
            status: room.status,
            started_at: room.started_at,
            ended_at: room.ended_at,
            changed_at: room.changed_at,
            grace_ends: None,
            grace,
            reusable: room.reusable,
        };
        if life.status == RoomStatus::Interrupted {
            let left = room.changed_at.plus(grace).since(at.wall);
            life.grace_ends = Some(at.now + left.min(grace));
        }
        let lost = (life.status == RoomStatus::Live)
            .then(|| life.go(RoomStatus::Interrupted, Reason::Restart, at));
        (life, lost)
    }

    pub(super) fn status(&self) -> RoomStatus {
        self.status
    }

    pub(super) fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    pub(super) fn ended_at(&self) -> Option<Timestamp> {
        self.ended_at
    }

    pub(super) fn grace_ends(&self) -> Option<Instant> {
        self.grace_ends
    }

    pub(super) fn set_reusable(&mut self, reusable: bool) {
        self.reusable = reusable;
    }

    /// Takes note of what happens; returns the statuses that the room came to, in order: none where nothing
    /// changes, two where a reusable room has ended.
    ///
    /// # Errors
    /// `room_over` or `room_state`: it cannot be, and nothing changed.
    pub(super) fn handle(&mut self, input: Input, at: Moment) -> Result<Vec<Change>, ApiError> {
        match next(self.status, input) {
            Next::Stay => Ok(Vec::new()),
            Next::Refuse => Err(refusal(self.status)),
            // Nothing was sent since it waits: there is nothing to end.
            Next::To(RoomStatus::Ended, _) if self.waits_again() => Ok(Vec::new()),
            Next::To(status, reason) => {
                let mut changes = vec![self.go(status, reason, at)];
                if status == RoomStatus::Ended && self.reusable {
                    changes.push(self.go(RoomStatus::Ready, Reason::Reuse, at));
                }
                Ok(changes)
            }
        }
    }

    /// Gives up waiting when it is time.
    pub(super) fn handle_timeout(&mut self, at: Moment) -> Vec<Change> {
        if self.grace_ends.is_none_or(|end| end > at.now) {
            return Vec::new();
        }
        self.handle(Input::End(Reason::GraceOver), at)
            .unwrap_or_default()
    }

    fn waits_again(&self) -> bool {
        self.reusable && self.status == RoomStatus::Ready
    }

    fn go(&mut self, status: RoomStatus, reason: Reason, at: Moment) -> Change {
        match status {
            RoomStatus::Live => {
                self.started_at = self.started_at.or(Some(at.wall));
            }
            RoomStatus::Ended | RoomStatus::Cancelled => self.ended_at = Some(at.wall),
            RoomStatus::Ready => (self.started_at, self.ended_at) = (None, None),
            RoomStatus::Scheduled
            | RoomStatus::Interrupted
            | RoomStatus::Processing
            | RoomStatus::Archived => {}
        }
        let waits = status == RoomStatus::Interrupted;
        self.grace_ends = waits.then(|| at.now + self.grace);
        (self.status, self.changed_at) = (status, at.wall);
        Change {
            status,
            reason,
            started_at: self.started_at,
            ended_at: self.ended_at,
            at: at.wall,
        }
    }
}

/// The table.
fn next(status: RoomStatus, input: Input) -> Next {
    use RoomStatus::{Archived, Cancelled, Ended, Interrupted, Live, Processing, Ready, Scheduled};
    match (input, status) {
        (Input::Start(reason), Scheduled) => Next::To(Ready, reason),
        (Input::Start(_), Ready | Live | Interrupted) => Next::Stay,
        (Input::Start(_), Ended | Processing | Archived | Cancelled) => Next::Refuse,

        (Input::Media, Scheduled | Ready | Interrupted) => Next::To(Live, Reason::Media),
        (Input::Media, Live) => Next::Stay,
        (Input::Media, Ended | Processing | Archived | Cancelled) => Next::Refuse,

        (Input::Lost(reason), Live) => Next::To(Interrupted, reason),
        (
            Input::Lost(_),
            Scheduled | Ready | Interrupted | Ended | Processing | Archived | Cancelled,
        ) => Next::Stay,

        (Input::End(reason), Ready | Live | Interrupted) => Next::To(Ended, reason),
        (Input::End(_), Ended | Processing | Archived) => Next::Stay,
        (Input::End(_), Scheduled | Cancelled) => Next::Refuse,

        (Input::Cancel(reason), Scheduled | Ready) => Next::To(Cancelled, reason),
        (Input::Cancel(_), Cancelled) => Next::Stay,
        (Input::Cancel(_), Live | Interrupted | Ended | Processing | Archived) => Next::Refuse,

        (Input::Process, Ended) => Next::To(Processing, Reason::Recording),
        (Input::Archive, Ended | Processing) => Next::To(Archived, Reason::Recording),
        (Input::Process, Processing | Archived) | (Input::Archive, Archived) => Next::Stay,
        (Input::Process, Scheduled | Ready | Live | Interrupted | Cancelled)
        | (Input::Archive, Scheduled | Ready | Live | Interrupted | Cancelled) => Next::Refuse,
    }
}

/// Says why not.
fn refusal(status: RoomStatus) -> ApiError {
    let (code, text) = match status {
        RoomStatus::Scheduled => (
            Code::RoomState,
            "The room has not begun; start it, or cancel it.",
        ),
        RoomStatus::Ready => (Code::RoomState, "The room waits for media."),
        RoomStatus::Live | RoomStatus::Interrupted => {
            (Code::RoomState, "The room is on air; end it first.")
        }
        RoomStatus::Ended | RoomStatus::Processing | RoomStatus::Archived => {
            (Code::RoomOver, "The room's event is over.")
        }
        RoomStatus::Cancelled => (Code::RoomOver, "The room was cancelled."),
    };
    ApiError::new(code, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RoomId;
    use crate::store::User;

    const GRACE: Duration = Duration::from_secs(30);

    /// The table of docs/rooms.md is that of the code: a row for each input, a column for each status.
    #[test]
    fn the_table_in_the_docs_is_what_happens() {
        let docs = include_str!("../../../docs/rooms.md");
        for (name, input) in [
            ("start", Input::Start(Reason::Owner)),
            ("media", Input::Media),
            ("lost", Input::Lost(Reason::PublisherLost)),
            ("end", Input::End(Reason::Owner)),
            ("cancel", Input::Cancel(Reason::Owner)),
            ("process", Input::Process),
            ("archive", Input::Archive),
        ] {
            let cells = RoomStatus::ALL.map(|status| match next(status, input) {
                Next::Stay => "·".to_owned(),
                Next::Refuse => "–".to_owned(),
                Next::To(next, _) => format!("`{}`", next.as_str()),
            });
            let row = format!("| {name} | {} |", cells.join(" | "));
            assert!(docs.contains(&row), "docs/rooms.md lacks: {row}");
        }
    }

    #[test]
    fn an_event_begins_with_media_and_ends_with_a_word() {
        let mut life = Scene::new(RoomStatus::Scheduled, false);
        assert_eq!(life.is(Input::Start(Reason::Owner)), [RoomStatus::Ready]);
        life.wait(5);
        assert_eq!(life.is(Input::Media), [RoomStatus::Live]);
        assert_eq!(life.life.started_at(), Some(Timestamp::from_millis(5_000)));
        life.wait(60);
        assert_eq!(life.is(Input::End(Reason::Owner)), [RoomStatus::Ended]);
        assert_eq!(life.life.ended_at(), Some(Timestamp::from_millis(65_000)));
        assert!(life.is(Input::End(Reason::Owner)).is_empty());
        let refused = life.life.handle(Input::Media, life.at).unwrap_err();
        assert_eq!(refused.code, Code::RoomOver);
    }

    #[test]
    fn a_lost_publisher_is_waited_for_until_the_grace_ends() {
        let mut life = Scene::new(RoomStatus::Ready, false);
        life.is(Input::Media);
        let lost = Input::Lost(Reason::PublisherLost);
        assert_eq!(life.is(lost), [RoomStatus::Interrupted]);
        life.wait(29);
        assert!(life.life.handle_timeout(life.at).is_empty());
        assert_eq!(life.is(Input::Media), [RoomStatus::Live]);
        assert_eq!(life.life.started_at(), Some(Timestamp::from_millis(0)));
        life.wait(60);
        assert!(life.life.handle_timeout(life.at).is_empty());
        assert_eq!(life.is(lost), [RoomStatus::Interrupted]);
        life.wait(30);
        let changes = life.life.handle_timeout(life.at);
        assert_eq!(changes[0].status, RoomStatus::Ended);
        assert_eq!(changes[0].reason, Reason::GraceOver);
        assert!(life.life.handle_timeout(life.at).is_empty());
    }

    #[test]
    fn a_reusable_room_waits_for_its_next_event() {
        let mut life = Scene::new(RoomStatus::Ready, true);
        assert!(life.is(Input::End(Reason::Owner)).is_empty());
        life.is(Input::Media);
        let ended = life.is(Input::End(Reason::Publisher));
        assert_eq!(ended, [RoomStatus::Ended, RoomStatus::Ready]);
        assert_eq!(life.life.started_at(), None);
        assert_eq!(life.is(Input::Media), [RoomStatus::Live]);
    }

    #[test]
    fn what_was_live_when_the_server_stopped_is_waited_for_once() {
        let mut record = record(RoomStatus::Live);
        let at = Moment {
            now: Instant::now(),
            wall: Timestamp::from_millis(100_000),
        };
        let (life, change) = Life::restore(&record, GRACE, at);
        assert_eq!(change.unwrap().reason, Reason::Restart);
        assert_eq!(life.grace_ends(), Some(at.now + GRACE));

        record.status = RoomStatus::Interrupted;
        for (changed_at, left) in [(90_000, 20), (10_000, 0), (200_000, 30)] {
            record.changed_at = Timestamp::from_millis(changed_at);
            let (life, change) = Life::restore(&record, GRACE, at);
            assert_eq!(change, None);
            let ends = at.now + Duration::from_secs(left);
            assert_eq!(life.grace_ends(), Some(ends), "{changed_at}");
        }
    }

    #[test]
    fn no_sequence_of_inputs_revives_what_is_over() {
        let inputs = [
            Input::Start(Reason::Owner),
            Input::End(Reason::Owner),
            Input::Cancel(Reason::Owner),
            Input::Media,
            Input::Lost(Reason::PublisherLost),
            Input::Process,
            Input::Archive,
        ];
        // Every sequence of five.
        for sequence in 0..inputs.len().pow(5) {
            let mut life = Scene::new(RoomStatus::Scheduled, false);
            let mut over = false;
            for step in 0..5u32 {
                let input = inputs[sequence / inputs.len().pow(step) % inputs.len()];
                life.wait(1);
                let _ = life.life.handle(input, life.at);
                let status = life.life.status();
                assert!(!over || status.is_over(), "{sequence}: {status:?}");
                over = status.is_over();
                assert_eq!(over, life.life.ended_at().is_some());
                let waits = status == RoomStatus::Interrupted;
                assert_eq!(waits, life.life.grace_ends().is_some());
            }
        }
    }

    struct Scene {
        life: Life,
        at: Moment,
    }

    impl Scene {
        fn new(status: RoomStatus, reusable: bool) -> Self {
            let at = Moment {
                now: Instant::now(),
                wall: Timestamp::from_millis(0),
            };
            let mut record = record(status);
            record.reusable = reusable;
            let (life, _) = Life::restore(&record, GRACE, at);
            Self { life, at }
        }

        fn wait(&mut self, seconds: u64) {
            let span = Duration::from_secs(seconds);
            self.at = Moment {
                now: self.at.now + span,
                wall: self.at.wall.plus(span),
            };
        }

        fn is(&mut self, input: Input) -> Vec<RoomStatus> {
            let changes = self.life.handle(input, self.at).unwrap();
            changes.into_iter().map(|change| change.status).collect()
        }
    }

    fn record(status: RoomStatus) -> RoomRecord {
        let owner = User {
            id: "ann".to_owned(),
            name: "Ann".to_owned(),
        };
        let id = RoomId::parse("r").unwrap();
        RoomRecord {
            status,
            ..RoomRecord::new(id, "R".to_owned(), owner, Timestamp::from_millis(0))
        }
    }
}
