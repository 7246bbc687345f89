//! What a room tells: one, everybody, and those who come back later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use tokio::sync::oneshot;
use tracing::info;

use crate::error::ApiError;
use crate::id::SocketId;
use crate::store::{ChatMessage, Entry, Event, Outcome, RoomStatus, RoomUpdate};
use crate::time::Timestamp;
use crate::ws::outbox::Outbox;
use crate::ws::protocol::{self, Ack, RoomStatusView};

use super::events::json;
use super::journal::{Author, Committed, Draft};
use super::life::Change;
use super::stage::Changes;
use super::tally::Summary;
use super::task::Room;

/// Who waits until a change is stored.
pub(super) type Actor = oneshot::Sender<Result<(), ApiError>>;

impl Room {
    /// Sends something to one.
    pub(super) fn send(&self, socket: SocketId, text: Utf8Bytes) {
        let member = self.members.get(&socket);
        if let Some(outbox) = member.and_then(|member| member.outbox.as_ref()) {
            outbox.send(text);
        }
    }

    /// Sends something to everybody, written once, after the events before it.
    pub(super) fn broadcast(&mut self, text: &Utf8Bytes) {
        self.flush();
        self.deliver(text);
    }

    /// Puts a frame into everybody's queue.
    pub(super) fn deliver(&self, text: &Utf8Bytes) {
        for outbox in self.outboxes() {
            outbox.send(text.clone());
        }
    }

    /// Returns how many sockets a frame goes to; who watches by WHEP has none.
    pub(super) fn sockets(&self) -> usize {
        self.outboxes().count()
    }

    fn outboxes(&self) -> impl Iterator<Item = &Outbox> {
        let members = self.members.values();
        members.filter_map(|member| member.outbox.as_ref())
    }

    pub(super) fn acknowledge(&self, socket: SocketId, re: Option<&str>, ack: &Ack) {
        if let Some(re) = re {
            self.send(socket, protocol::ack(re, ack));
        }
    }

    pub(super) fn refuse(&self, socket: SocketId, re: Option<&str>, error: &ApiError) {
        self.context.metrics.refused(error.code);
        self.send(socket, protocol::error(re, error));
    }

    /// Tells everybody, and those who come back later, what changed.
    pub(super) fn tell(&mut self, changes: Changes) {
        self.tell_to(changes, None);
    }

    /// Tells as [`Room::tell`] does, and also who did it, once it is stored.
    pub(super) fn tell_to(&mut self, changes: Changes, actor: Option<Actor>) {
        let mut actor = actor;
        let count = changes.statuses.len();
        for (index, change) in changes.statuses.into_iter().enumerate() {
            let last = index + 1 == count;
            let actor = if last { actor.take() } else { None };
            self.tell_status(change, actor);
        }
        // Where nothing changed there is nothing to wait for.
        if let Some(actor) = actor {
            let _ = actor.send(Ok(()));
        }
        if changes.publisher {
            let view = self.stage.view();
            self.event("rtc.publisher", &view, None, Author::Room);
        }
        self.summarize();
    }

    fn tell_status(&mut self, change: Change, actor: Option<Actor>) {
        let Change { status, reason, .. } = change;
        info!(?status, ?reason, "room status changed");
        let metrics = &self.context.metrics;
        let changes = metrics.room_changes.with_label_values(&[status.as_str()]);
        changes.inc();
        self.follow_event(change);
        self.take_note(change);
        let over = status.is_over() && status != RoomStatus::Cancelled;
        let view = RoomStatusView {
            status,
            reason,
            started_at: change.started_at,
            ended_at: change.ended_at,
            summary: over.then(|| Summary::of(&self.record, None)),
        };
        let update = Some(self.row());
        let author = actor.map_or(Author::Room, Author::Acted);
        self.event("room.status", &view, update, author);
    }

    /// Writes into the record what its life and its numbers are now.
    pub(super) fn take_note(&mut self, change: Change) {
        let record = &mut self.record;
        record.status = change.status;
        record.started_at = change.started_at;
        record.ended_at = change.ended_at;
        record.changed_at = change.at;
        self.note_numbers();
    }

    pub(super) fn note_numbers(&mut self) {
        self.record.peak_viewers = self.tally.peak;
        self.record.total_viewers = self.tally.total;
        self.record.watch_ms = self.figures.watch_ms();
        self.record.message_count = self.tally.messages;
        self.record.like_count = self.tally.likes;
        self.record.order_count = self.tally.orders;
        self.record.revenue = self.tally.revenue.clone();
        self.shown = Arc::new(self.record.clone());
    }

    /// Returns what of the room's row its life changes.
    pub(super) fn row(&self) -> RoomUpdate {
        RoomUpdate {
            status: self.record.status,
            started_at: self.record.started_at,
            ended_at: self.record.ended_at,
            changed_at: self.record.changed_at,
            peak_viewers: self.record.peak_viewers,
            total_viewers: self.record.total_viewers,
        }
    }

    /// Writes the row once more, after the store did not.
    pub(super) fn write_row(&mut self) {
        self.row_due = None;
        self.note_numbers();
        let draft = Draft::new(Entry::Row(self.row()), Author::Room);
        if self.journal.push(draft).is_err() {
            self.row_due = Some(Instant::now() + ROW_EVERY);
        }
    }

    pub(super) fn event(
        &mut self,
        kind: &'static str,
        view: &impl Serialize,
        update: Option<RoomUpdate>,
        author: Author,
    ) {
        let entry = Entry::Event {
            kind,
            content: json(view),
            update,
        };
        if let Err(draft) = self.journal.push(Draft::new(entry, author)) {
            self.give_up(*draft, &ApiError::busy());
        }
    }

    /// Queues what somebody said.
    pub(super) fn write(&mut self, draft: Draft) -> Result<(), ApiError> {
        self.journal.push(draft).map_err(|_| ApiError::busy())
    }

    pub(super) fn handle_committed(&mut self, committed: Committed) {
        self.context
            .metrics
            .commit_seconds
            .observe(committed.took.as_secs_f64());
        match committed.outcomes {
            Ok(outcomes) => {
                for (draft, outcome) in committed.drafts.into_iter().zip(outcomes) {
                    self.handle_outcome(draft, outcome);
                }
            }
            Err(error) => {
                self.context.metrics.commit_failures.inc();
                let error = ApiError::from(error);
                error.report();
                for draft in committed.drafts {
                    self.give_up(draft, &error.again());
                }
            }
        }
    }

    /// Tells what could not be stored, and that it could not. Media goes on without the store, and so does what is
    /// said about it.
    fn give_up(&mut self, draft: Draft, error: &ApiError) {
        if draft.entry.changes_row() {
            self.row_due = Some(Instant::now() + ROW_EVERY);
        }
        self.tell_unnumbered(&draft.entry);
        match draft.author {
            Author::Room => {}
            Author::Socket(socket, re) => self.refuse(socket, re.as_deref(), error),
            Author::Said(reply) => {
                let _ = reply.send(Err(error.again()));
            }
            Author::Acted(actor) => {
                let _ = actor.send(Err(error.again()));
            }
            Author::Sold(seller) => {
                let _ = seller.send(Err(error.again()));
            }
            Author::Ordered(shop) => {
                let _ = shop.send(Err(error.again()));
            }
            Author::Likes(liker) => {
                let _ = liker.send(Err(error.again()));
            }
            Author::Floor(asker) => {
                let _ = asker.send(Err(error.again()));
            }
        }
    }

    fn handle_outcome(&mut self, draft: Draft, outcome: Outcome) {
        match (draft.entry, outcome) {
            (Entry::Event { kind, content, .. }, Outcome::Event { seq, ts }) => {
                let (kind, content) = (kind.to_owned(), content.as_ref().to_owned());
                let text = self.log.push(Event::Other {
                    seq,
                    ts,
                    kind,
                    content,
                });
                self.publish(text);
                if let Author::Acted(actor) = draft.author {
                    let _ = actor.send(Ok(()));
                }
            }
            (Entry::Chat(chat), outcome) => self.handle_said(draft.author, &chat, outcome),
            (Entry::Held(held), outcome) => self.handle_said(draft.author, &held.chat, outcome),
            (Entry::Report(_), outcome) => self.handle_report(draft.author, outcome),
            (Entry::Deed { deed, by }, outcome) => {
                self.handle_deed(draft.author, (deed, &by), outcome);
            }
            (Entry::Shop(change), outcome) => {
                self.handle_shop(draft.author, (&change, draft.at), outcome);
            }
            (Entry::Poll(deed), outcome) => {
                let what = (deed.name(), deed.by(), draft.at);
                self.handle_floor(draft.author, what, outcome);
            }
            (Entry::Question(deed), outcome) => {
                let what = (deed.name(), deed.by(), draft.at);
                self.handle_floor(draft.author, what, outcome);
            }
            (Entry::Like { identity, .. }, outcome) => {
                self.handle_like(draft.author, &identity, outcome);
            }
            (Entry::Order(_), outcome) => self.handle_order(draft.author, outcome),
            (Entry::Event { .. } | Entry::Notice { .. } | Entry::Row(_), _) => {}
        }
    }

    /// Puts a stored message into the log and sends it to everybody.
    pub(super) fn publish_chat(&mut self, message: ChatMessage) {
        self.context.metrics.chat_messages.inc();
        self.tally.messages += 1;
        self.figures.count(|counts| counts.messages += 1);
        self.figures.engage(&message.from.id);
        let text = self.log.push(Event::Chat(message));
        self.publish(text);
    }

    /// Tells those who are there what could not be stored; who comes back later learns it from the snapshot.
    fn tell_unnumbered(&mut self, entry: &Entry) {
        if let Entry::Event { kind, content, .. } = entry {
            self.log.note(kind, content);
            self.broadcast(&protocol::event_of_json(
                kind,
                None,
                Timestamp::now(),
                content,
            ));
        }
    }
}

/// How soon the row is written again that could not be.
const ROW_EVERY: Duration = Duration::from_secs(2);
