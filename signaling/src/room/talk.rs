//! What is said in a room, from the socket to the store and from there to everybody.

use std::time::Instant;

use crate::chat;
use crate::error::{ApiError, Code};
use crate::id::SocketId;
use crate::store::{Entry, NewChat, Outcome};
use crate::ws::protocol::Ack;

use super::journal::Draft;
use super::task::Room;

impl Room {
    pub(super) fn say(&mut self, socket: SocketId, re: Option<String>, text: String) {
        if let Err(error) = self.try_say(socket, re.clone(), &text) {
            self.refuse(socket, re.as_deref(), &error);
        }
    }

    fn try_say(
        &mut self,
        socket: SocketId,
        re: Option<String>,
        text: &str,
    ) -> Result<(), ApiError> {
        let Some(member) = self.members.get(&socket) else {
            return Ok(());
        };
        let from = member.author();
        let text = chat::clean(text)?;
        self.chat_limiter.take(&from.id, Instant::now())?;
        let chat = NewChat {
            client_id: re.clone(),
            text,
            from,
        };
        self.write(Draft {
            entry: Entry::Chat(chat),
            author: Some((socket, re)),
        })
    }

    pub(super) fn handle_said(
        &mut self,
        author: Option<(SocketId, Option<String>)>,
        said: &NewChat,
        outcome: Outcome,
    ) {
        let Some((socket, re)) = author else { return };
        let (message, is_new) = match outcome {
            Outcome::Chat(message) => (message, true),
            Outcome::Duplicate(message) if message.text == said.text => (message, false),
            Outcome::Duplicate(_) => {
                let text = "This `id` was used for another message; choose one that is unique.";
                let error = ApiError::new(Code::BadMessage, text);
                return self.refuse(socket, re.as_deref(), &error);
            }
            Outcome::Event { .. } | Outcome::Row => return,
        };
        let ack = Ack {
            message_id: Some(message.message_id.clone()),
            seq: Some(message.seq),
            ..Ack::default()
        };
        if is_new {
            self.publish_chat(message);
        }
        self.acknowledge(socket, re.as_deref(), &ack);
    }
}
