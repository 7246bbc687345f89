//! What is done to a room from outside: its life, its words, its people.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::info;

use crate::id::SocketId;
use crate::store::RoomRecord;
use crate::ws::protocol::{Kicked, RoomUpdated, RoomView, SessionStage, message};

use super::Departure;
use super::journal::Author;
use super::life::{Input, Moment};
use super::member::Person;
use super::news::Actor;
use super::task::Room;

impl Room {
    /// Lets somebody start, end or cancel the room.
    pub(super) fn act(&mut self, input: Input, actor: Actor) {
        let was_live = self.stage.is_live();
        match self.stage.handle(input, Moment::now()) {
            Ok(changes) => {
                self.note_live(was_live);
                self.tell_to(changes, Some(actor));
                if self.stage.status().is_over() || matches!(input, Input::End(_)) {
                    self.clear_stage();
                }
            }
            Err(error) => {
                let _ = actor.send(Err(error));
            }
        }
    }

    /// Lets the publishers of an event go that is over.
    pub(super) fn clear_stage(&mut self) {
        if let Some(waited) = self.stage.dismiss(|_| true) {
            self.show_out(&waited, "ended");
        }
        if let Some(publisher) = self.stage.publisher() {
            let (socket, session) = (publisher.socket, &publisher.session);
            self.tell_state(socket, session, SessionStage::Closed, Some("ended"));
            self.publisher_gone(Departure::Lost);
        }
    }

    /// Takes what its owner wrote.
    pub(super) fn change(&mut self, new: RoomRecord) {
        if new.version <= self.written {
            return;
        }
        self.written = new.version;
        let guests = self.record.allow_guest_chat;
        // Whether guests may speak is changed by moderators, too: then this may have been overtaken.
        let overtaken = self.record.version > new.version;
        self.record = RoomRecord {
            version: self.record.version.max(new.version),
            allow_guest_chat: if overtaken {
                guests
            } else {
                new.allow_guest_chat
            },
            status: self.record.status,
            started_at: self.record.started_at,
            ended_at: self.record.ended_at,
            changed_at: self.record.changed_at,
            peak_viewers: self.record.peak_viewers,
            total_viewers: self.record.total_viewers,
            watch_ms: self.record.watch_ms,
            message_count: self.record.message_count,
            like_count: self.record.like_count,
            order_count: self.record.order_count,
            revenue: self.record.revenue.clone(),
            ..new
        };
        self.stage.life_mut().set_reusable(self.record.reusable);
        self.apply_playout_delays();
        self.show_record();
        if self.record.allow_guest_chat != guests {
            self.reseat(|member| member.identity.is_guest());
        }
    }

    /// Shows everybody what the room's record says.
    pub(super) fn show_record(&mut self) {
        self.shown = Arc::new(self.record.clone());
        let shown = Arc::clone(&self.shown);
        let view = RoomUpdated {
            room: RoomView::from(&*shown),
        };
        self.event("room.updated", &view, None, Author::Room);
        self.summarize();
    }

    /// Puts somebody out, on every socket and session that they have.
    pub(super) fn expel(&mut self, identity: &str, reason: Option<&str>) {
        self.flush();
        let theirs = self.members.iter();
        let theirs = theirs.filter(|(_, member)| member.identity.id == identity);
        let theirs: Vec<SocketId> = theirs.map(|(socket, _)| *socket).collect();
        info!(sessions = theirs.len(), "somebody was put out");
        self.turn_out(theirs, reason);
    }

    /// Puts everybody out of a room that there will not be any more.
    pub(super) fn close_down(&mut self) {
        self.flush();
        let all: Vec<SocketId> = self.members.keys().copied().collect();
        self.turn_out(all, Some("The room was removed."));
    }

    fn turn_out(&mut self, sockets: Vec<SocketId>, reason: Option<&str>) {
        let text = message("kicked", &Kicked { reason });
        for socket in sockets {
            let outbox = self.members.get(&socket).and_then(|it| it.outbox.clone());
            self.leave(socket, Departure::Lost);
            if let Some(outbox) = outbox {
                outbox.send(text.clone());
                outbox.kick();
            }
        }
    }

    /// Returns who is here, each once, in the order of their ids.
    pub(super) fn people(&self, after: &str, limit: usize) -> Vec<Person> {
        let mut people: BTreeMap<&str, Person> = BTreeMap::new();
        for member in self.members.values() {
            let id = member.identity.id.as_str();
            if id <= after {
                continue;
            }
            let person = people.entry(id).or_insert_with(|| member.person());
            person.watching |= member.viewing.is_some();
            if people.len() > limit {
                people.pop_last();
            }
        }
        people.into_values().collect()
    }
}
