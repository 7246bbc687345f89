//! What a room tells: one, everybody, and those who come back later.

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use tracing::info;

use crate::error::ApiError;
use crate::id::SocketId;
use crate::store::{ChatMessage, Entry, Event, Outcome, RoomUpdate};
use crate::time::Timestamp;
use crate::ws::protocol::{self, Ack, RoomStatusView};

use super::events::json;
use super::journal::{Committed, Draft};
use super::stage::Changes;
use super::task::Room;

impl Room {
    /// Sends something to one.
    pub(super) fn send(&self, socket: SocketId, text: Utf8Bytes) {
        let member = self.members.get(&socket);
        if let Some(outbox) = member.and_then(|member| member.outbox.as_ref()) {
            outbox.send(text);
        }
    }

    /// Sends something to everybody, written once.
    pub(super) fn broadcast(&self, text: &Utf8Bytes) {
        let outboxes = self
            .members
            .values()
            .filter_map(|member| member.outbox.as_ref());
        for outbox in outboxes {
            outbox.send(text.clone());
        }
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
        if changes.status {
            let (status, started_at) = (self.stage.status(), self.stage.started_at());
            info!(?status, "room status changed");
            let view = RoomStatusView {
                status,
                started_at,
                message: None,
            };
            let peak_viewers = self.peak;
            self.event(
                "room.status",
                &view,
                Some(RoomUpdate {
                    status,
                    started_at,
                    ended_at: None,
                    changed_at: Timestamp::now(),
                    peak_viewers,
                    total_viewers: self.record.total_viewers,
                    watch_ms: self.record.watch_ms,
                }),
            );
        }
        if changes.publisher {
            let view = self.stage.view();
            self.event("rtc.publisher", &view, None);
        }
        self.summarize();
    }

    fn event(&mut self, kind: &'static str, view: &impl Serialize, update: Option<RoomUpdate>) {
        let entry = Entry::Event {
            kind,
            content: json(view),
            update,
        };
        if let Err(draft) = self.journal.push(Draft {
            entry,
            author: None,
        }) {
            self.tell_unnumbered(&draft.entry);
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
                let error = ApiError::internal(error);
                for draft in committed.drafts {
                    match draft.author {
                        Some((socket, re)) => self.refuse(socket, re.as_deref(), &error),
                        // Media goes on without the store, and so does what is said about it.
                        None => self.tell_unnumbered(&draft.entry),
                    }
                }
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
                self.broadcast(&text);
            }
            (Entry::Chat(chat), outcome) => self.handle_said(draft.author, &chat, outcome),
            (
                Entry::Event { .. } | Entry::Row(_),
                Outcome::Chat(_) | Outcome::Duplicate(_) | Outcome::Row | Outcome::Event { .. },
            ) => {}
        }
    }

    /// Puts a stored message into the log and sends it to everybody.
    pub(super) fn publish_chat(&mut self, message: ChatMessage) {
        self.context.metrics.chat_messages.inc();
        let text = self.log.push(Event::Chat(message));
        self.broadcast(&text);
    }

    /// Tells those who are there what could not be stored; who comes back later learns it from the snapshot.
    fn tell_unnumbered(&self, entry: &Entry) {
        if let Entry::Event { kind, content, .. } = entry {
            self.broadcast(&protocol::event_of_json(
                kind,
                None,
                Timestamp::now(),
                content,
            ));
        }
    }
}
