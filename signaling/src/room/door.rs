//! Who comes into a room and goes.

use std::time::Instant;

use axum::extract::ws::Utf8Bytes;

use crate::auth::Action;
use crate::error::ApiError;
use crate::id::SocketId;
use crate::store::SettingsView;
use crate::ws::protocol::{self, Joined, RoomView};

use super::audience::SWEEP_EVERY;
use super::member::{Member, NewMember};
use super::stage::Publisher;
use super::task::Room;
use super::{Departure, Entered};

impl Room {
    /// Lets somebody in.
    ///
    /// # Errors
    /// `busy` for one who was put out since they were let in: who puts out finds those who are here. When they try again
    /// it is looked whether they may.
    pub(super) fn join(
        &mut self,
        member: NewMember,
        last_seq: Option<u64>,
    ) -> Result<Entered, ApiError> {
        let expelled = &self.context.expelled;
        if expelled.at(&self.record.id, &member.identity.id) > member.kicked_at {
            return Err(ApiError::busy());
        }
        // Or who comes would get what waits once more.
        self.flush();
        let missed = last_seq.and_then(|seq| self.log.after(seq));
        let entered = missed.is_some().then(|| self.log.last_seq());
        match (&member.outbox, missed) {
            (Some(outbox), Some(events)) => {
                outbox.replay(events);
                outbox.send(self.shelf_message());
                if let Some(poll) = self.podium.poll_message() {
                    outbox.send(poll);
                }
            }
            (Some(outbox), None) => outbox.send(self.snapshot(&member)),
            (None, _) => {}
        }
        let socket = member.socket;
        if member.seat.role().may_in_any_room(Action::Analyse) {
            self.figures.tell_soon();
        }
        let first = self.presence.enter(socket, &member.identity.id);
        self.members
            .insert(socket, Member::new(member, &self.context.metrics));
        if first {
            self.note_person("participant.joined", socket);
        }
        self.numbers
            .sweep_due
            .get_or_insert_with(|| Instant::now() + SWEEP_EVERY);
        Ok(entered)
    }

    fn snapshot(&self, member: &NewMember) -> Utf8Bytes {
        let mut room = RoomView::from(&self.record);
        // A room that waits for its next event has forgotten when the last one was. Where it is known when the next begins,
        // that is what who comes is told.
        let is_next = |at| self.record.scheduled_at.is_some_and(|next| next > at);
        if let Some(end) = self.log.end().filter(|end| !is_next(end.at)) {
            room.ended_at = Some(end.at);
            room.summary = Some(&end.summary);
        }
        let now = std::time::SystemTime::now();
        let country = member.origin.region.as_str();
        let joined = Joined {
            room,
            publisher: self.stage.view(),
            stats: self.current_stats(),
            seq: self.log.last_seq(),
            chat_history: self.log.chat().collect(),
            pinned: self.keeping.pinned.as_ref(),
            chat_settings: SettingsView {
                public: self.keeping.settings.public,
                guests: self.record.allow_guest_chat,
            },
            products: &self.shelf,
            poll: self.podium.poll.as_ref(),
            ice_servers: self
                .context
                .ice
                .for_client(&member.identity.id, country, now),
            you: self.you(&member.identity.id, &member.identity.name, &member.seat),
        };
        protocol::message("joined", &joined)
    }

    pub(super) fn leave(&mut self, socket: SocketId, why: Departure) {
        let watching = self.presence.watching();
        if self.presence.leave(socket) {
            self.note_person("participant.left", socket);
        }
        if self.presence.watching() != watching {
            self.note_viewers();
        }
        let Some(mut member) = self.members.remove(&socket) else {
            return;
        };
        let addresses = &self.context.addresses;
        let from = addresses.marks(&self.record.id, &member.identity.whence);
        self.keeping.departed.note(&member.identity.id, from);
        if let Some(viewing) = member.viewing.take() {
            self.viewer_gone(&viewing.session);
        }
        let is_meant = |publisher: &Publisher| publisher.socket == socket;
        self.dismiss(is_meant);
        if self.stage.publisher().is_some_and(is_meant) {
            self.publisher_gone(why);
        }
    }
}
