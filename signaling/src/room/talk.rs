//! What is said in a room, from the socket to the store and from there to everybody.

use std::collections::HashMap;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::chat::{Said, SaidKind, Verdict};
use crate::error::{ApiError, Code};
use crate::id::SocketId;
use crate::store::{self, Entry, NewChat, NewHeld, Outcome, User};
use crate::time::Timestamp;
use crate::ws::protocol::{Ack, message};

use super::Heard;
use super::journal::{Author, Draft};
use super::task::Room;

impl Room {
    pub(super) fn say(&mut self, socket: SocketId, re: Option<String>, said: Said) {
        let Some(member) = self.members.get(&socket) else {
            return;
        };
        let from = member.author();
        let written = self
            .check_said(from, said, re.clone())
            .and_then(|entry| self.write(Draft::new(entry, Author::Socket(socket, re.clone()))));
        if let Err(error) = written {
            self.refuse(socket, re.as_deref(), &error);
        }
    }

    /// Says something for somebody who has no socket.
    pub(super) fn say_for(
        &mut self,
        from: store::Author,
        said: Said,
        client_id: Option<String>,
        reply: oneshot::Sender<Result<Heard, ApiError>>,
    ) {
        let entry = match self.check_said(from, said, client_id) {
            Ok(entry) => entry,
            Err(error) => {
                let _ = reply.send(Err(error));
                return;
            }
        };
        // When the queue is full the sender finds its reply gone, and says that the server is busy.
        let _ = self.write(Draft::new(entry, Author::Said(reply)));
    }

    /// Returns what is to be stored, when it may be said now.
    fn check_said(
        &mut self,
        from: store::Author,
        said: Said,
        client_id: Option<String>,
    ) -> Result<Entry, ApiError> {
        let now = (Instant::now(), Timestamp::now());
        let what = (said.text.as_str(), client_id.as_deref());
        let verdict = self.keeping.judge(&from, what, now)?;
        let host = &self.record.owner.id;
        let audience = self.keeping.audience(&from);
        let chat = NewChat {
            client_id,
            kind: said.kind.into(),
            text: said.text,
            from,
            mentions: self.known(&said.mentions),
            reply_to: said.reply_to,
            product: self.product_name(said.product_id.as_deref()),
            audience: audience.map(|it| (it, host.clone())),
            captured_at: (said.kind == SaidKind::System).then(|| now.1.millis()),
        };
        Ok(match verdict {
            Verdict::Show => Entry::Chat(chat),
            Verdict::Hold(reason) => Entry::Held(NewHeld { chat, reason }),
        })
    }

    /// Returns those of some people who are here or said something lately; of others nothing is known.
    pub(super) fn known(&self, wanted: &[String]) -> Vec<User> {
        if wanted.is_empty() {
            return Vec::new();
        }
        let here = self.members.values().map(|it| &it.identity);
        let here = here.map(|it| (it.id.as_str(), it.name.as_str()));
        let lately = self.log.speakers();
        let lately = lately.map(|it| (it.id.as_str(), it.name.as_str()));
        let wanted_here = |(id, _): &(&str, &str)| wanted.iter().any(|it| it == id);
        let names: HashMap<&str, &str> = lately.chain(here).filter(wanted_here).collect();
        names
            .into_iter()
            .map(|(id, name)| User {
                id: id.to_owned(),
                name: name.to_owned(),
            })
            .collect()
    }

    pub(super) fn handle_said(&mut self, author: Author, said: &NewChat, outcome: Outcome) {
        let heard = self.heard(said, outcome);
        match author {
            Author::Socket(socket, re) => self.answer_said(socket, re.as_deref(), &heard),
            Author::Said(reply) => {
                let said = |error: ApiError| {
                    if error.code == Code::BadMessage {
                        ApiError::new(Code::InvalidValue, error.message)
                    } else {
                        error
                    }
                };
                let _ = reply.send(heard.map_err(said));
            }
            Author::Room
            | Author::Acted(_)
            | Author::Sold(_)
            | Author::Ordered(_)
            | Author::Likes(_)
            | Author::Floor(_) => {}
        }
    }

    /// Shows what somebody said, or those who keep order what waits for them.
    fn heard(&mut self, said: &NewChat, outcome: Outcome) -> Result<Heard, ApiError> {
        match outcome {
            Outcome::Chat(message) => {
                self.publish_chat(message.clone());
                Ok(Heard::Said(Box::new(message)))
            }
            // What was taken away meanwhile was said nevertheless.
            Outcome::Duplicate(message) if message.deleted || message.text == said.text => {
                Ok(Heard::Said(Box::new(message)))
            }
            Outcome::Duplicate(_) => {
                let text = "This `id` was used for another message; choose one that is unique.";
                Err(ApiError::new(Code::BadMessage, text))
            }
            Outcome::Held(held) => {
                if let Some(held) = held {
                    self.context.metrics.talk.held.inc();
                    self.tell_moderators(&message("mod.held", &held));
                    self.keeping.hold(held);
                }
                Ok(Heard::Held)
            }
            Outcome::NotInAudience => {
                let text = "The chat is for some at present, and you are not among them.";
                Err(ApiError::new(Code::AudienceOnly, text))
            }
            Outcome::Missing => {
                let text = "The message that it answers is not there.";
                Err(ApiError::new(Code::InvalidValue, text))
            }
            Outcome::Event { .. }
            | Outcome::Row
            | Outcome::Noticed
            | Outcome::Deed(_)
            | Outcome::Report(_)
            | Outcome::Shop(_)
            | Outcome::Ordered(_)
            | Outcome::OrderedBefore
            | Outcome::Liked(_)
            | Outcome::Floor(_)
            | Outcome::Unfit(_)
            | Outcome::Full => Err(ApiError::internal("an outcome of something else")),
        }
    }

    fn answer_said(&self, socket: SocketId, re: Option<&str>, heard: &Result<Heard, ApiError>) {
        let ack = match heard {
            Ok(Heard::Said(message)) => Ack {
                message_id: Some(message.message_id.clone()),
                seq: Some(message.seq),
                ..Ack::default()
            },
            Ok(Heard::Held) => Ack {
                held: Some(true),
                ..Ack::default()
            },
            Err(error) => return self.refuse(socket, re, error),
        };
        self.acknowledge(socket, re, &ack);
    }
}
