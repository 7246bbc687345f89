//! What is said in a room, from the socket to the store and from there to everybody.

use std::time::Instant;

use tokio::sync::oneshot;

use crate::chat;
use crate::error::{ApiError, Code};
use crate::id::SocketId;
use crate::store::{self, ChatMessage, Entry, NewChat, Outcome};
use crate::ws::protocol::Ack;

use super::journal::{Author, Draft};
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
            author: Author::Socket(socket, re),
        })
    }

    /// Says something for somebody who has no socket.
    pub(super) fn say_for(
        &mut self,
        from: store::Author,
        text: &str,
        client_id: Option<String>,
        reply: oneshot::Sender<Result<ChatMessage, ApiError>>,
    ) {
        let checked = chat::clean(text).and_then(|text| {
            self.chat_limiter.take(&from.id, Instant::now())?;
            Ok(text)
        });
        let text = match checked {
            Ok(text) => text,
            Err(error) => {
                let _ = reply.send(Err(error));
                return;
            }
        };
        let chat = NewChat {
            client_id,
            text,
            from,
        };
        // When the queue is full the sender finds its reply gone, and says that the server is busy.
        let _ = self.write(Draft {
            entry: Entry::Chat(chat),
            author: Author::Said(reply),
        });
    }

    pub(super) fn handle_said(&mut self, author: Author, said: &NewChat, outcome: Outcome) {
        let message = match outcome {
            Outcome::Chat(message) => {
                self.publish_chat(message.clone());
                Ok(message)
            }
            Outcome::Duplicate(message) if message.text == said.text => Ok(message),
            Outcome::Duplicate(_) => {
                let text = "This `id` was used for another message; choose one that is unique.";
                Err(ApiError::new(Code::BadMessage, text))
            }
            Outcome::Event { .. } | Outcome::Row => return,
        };
        match author {
            Author::Socket(socket, re) => self.answer_said(socket, re.as_deref(), &message),
            Author::Said(reply) => {
                let said = |error: ApiError| ApiError::new(Code::InvalidValue, error.message);
                let _ = reply.send(message.map_err(said));
            }
            Author::Room | Author::Acted(_) => {}
        }
    }

    fn answer_said(
        &self,
        socket: SocketId,
        re: Option<&str>,
        message: &Result<ChatMessage, ApiError>,
    ) {
        match message {
            Ok(message) => {
                let ack = Ack {
                    message_id: Some(message.message_id.clone()),
                    seq: Some(message.seq),
                    ..Ack::default()
                };
                self.acknowledge(socket, re, &ack);
            }
            Err(error) => self.refuse(socket, re, error),
        }
    }
}
