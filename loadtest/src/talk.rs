//! Chat and reactions: what was said, and whether everybody heard it exactly once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use crate::light::tally::{BEGAN, Histogram, Spread};
use crate::reason::Refusal;
use crate::socket::{Message, Socket};

/// Counts of all viewers.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    chat_sent: AtomicU64,
    chat_acknowledged: AtomicU64,
    chat_delivered: AtomicU64,
    reactions_sent: AtomicU64,
    reactions_delivered: AtomicU64,
    /// What the server refused of both, and of the messages alone.
    refused: AtomicU64,
    chat_refused: AtomicU64,
    /// Room events that came twice, and numbers of some that did not come.
    repeated: AtomicU64,
    missed: AtomicU64,
    /// From sending to each delivery.
    delay: Mutex<Histogram>,
    /// Sockets that are read, and what came by them.
    sockets: AtomicU64,
    bytes: AtomicU64,
}

/// What all had heard at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) acknowledged: u64,
    pub(crate) delivered: u64,
    pub(crate) bytes: u64,
    pub(crate) sockets: u64,
    pub(crate) delay: Histogram,
}

/// One socket that is read.
pub(crate) struct Here<'a>(&'a Talk);

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the report says of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Chat {
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    /// Neither acknowledged nor refused.
    pub(crate) unanswered: u64,
    /// To all sockets together.
    pub(crate) delivered: u64,
    pub(crate) reactions_sent: u64,
    /// The sum of the numbers that all sockets were told.
    pub(crate) reactions_delivered: u64,
    /// Messages and reactions that the server refused.
    pub(crate) refused: u64,
    /// Room events, chat messages among them, that did not come to a socket, or came twice.
    pub(crate) missed: u64,
    pub(crate) repeated: u64,
    pub(crate) delivery_us: Option<Spread>,
}

impl Talk {
    /// Counts a socket as long as the answer lives.
    pub(crate) fn enter(&self) -> Here<'_> {
        self.sockets.fetch_add(1, Ordering::Relaxed);
        Here(self)
    }

    /// Takes what came by a socket, in bytes of text.
    pub(crate) fn handle_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes a message that is no refusal; numbers and news of the room are nothing to somebody who only measures.
    pub(crate) fn handle(&self, message: &Message) {
        match message.t.as_str() {
            "ack" => self.handle_ack(message),
            "chat.message" => self.handle_chat(message),
            "reaction.batch" => self.handle_reactions(message),
            _ => {}
        }
    }

    /// Returns what was heard until now.
    pub(crate) fn heard(&self) -> Heard {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let delay = self.delay.lock().unwrap_or_else(PoisonError::into_inner);
        Heard {
            acknowledged: count(&self.chat_acknowledged),
            delivered: count(&self.chat_delivered),
            bytes: count(&self.bytes),
            sockets: count(&self.sockets),
            delay: delay.clone(),
        }
    }

    /// Returns the content of a chat message that says when it was sent.
    pub(crate) fn message(&self) -> Value {
        self.chat_sent.fetch_add(1, Ordering::Relaxed);
        json!({ "text": format!("{CHAT}{}", BEGAN.elapsed().as_micros()) })
    }

    /// Returns the content of a reaction.
    pub(crate) fn reaction(&self) -> Value {
        self.reactions_sent.fetch_add(1, Ordering::Relaxed);
        json!({ "emoji": "❤" })
    }

    /// Takes an acknowledgement.
    fn handle_ack(&self, message: &Message) {
        if message.d.get("messageId").is_some() {
            self.chat_acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes note of a refusal.
    pub(crate) fn handle_refusal(&self, refusal: &Refusal) {
        if Socket::is_talk(refusal) {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        if Socket::is_chat(refusal) {
            self.chat_refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes a chat message of somebody.
    fn handle_chat(&self, message: &Message) {
        self.chat_delivered.fetch_add(1, Ordering::Relaxed);
        let text = message.d["text"].as_str();
        let sent_us = text.and_then(|text| text.strip_prefix(CHAT)?.parse().ok());
        if let Some(sent_us) = sent_us {
            let sent_at = Duration::from_micros(sent_us);
            let delay = (Instant::now() - *BEGAN).saturating_sub(sent_at);
            let delays = self.delay.lock();
            delays.unwrap_or_else(PoisonError::into_inner).add(delay);
        }
    }

    /// Takes reactions of some.
    fn handle_reactions(&self, message: &Message) {
        let counts = message.d["counts"].as_object();
        let counts = counts.into_iter().flat_map(serde_json::Map::values);
        let sum: u64 = counts.filter_map(Value::as_u64).sum();
        self.reactions_delivered.fetch_add(sum, Ordering::Relaxed);
    }

    /// Adds what a viewer found out about the order of events.
    pub(crate) fn handle_order(&self, order: &Order) {
        self.missed.fetch_add(order.missed, Ordering::Relaxed);
        self.repeated.fetch_add(order.repeated, Ordering::Relaxed);
    }

    /// Returns the figures, if there was talk; `unheard` are events of the end that some did not get.
    pub(crate) fn chat(&self, unheard: u64) -> Option<Chat> {
        let delays = self.delay.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (sent, acknowledged) = (count(&self.chat_sent), count(&self.chat_acknowledged));
        let answered = acknowledged + count(&self.chat_refused);
        let chat = Chat {
            sent,
            acknowledged,
            unanswered: sent.saturating_sub(answered),
            delivered: count(&self.chat_delivered),
            reactions_sent: count(&self.reactions_sent),
            reactions_delivered: count(&self.reactions_delivered),
            refused: count(&self.refused),
            missed: count(&self.missed) + unheard,
            repeated: count(&self.repeated),
            delivery_us: delays.spread(),
        };
        (chat.sent + chat.reactions_sent > 0).then_some(chat)
    }
}

/// Follows the numbers of a room's events, which rise by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    /// The last number; `None` before the snapshot.
    pub(crate) last: Option<u64>,
    missed: u64,
    repeated: u64,
}

impl Order {
    /// Takes any message.
    pub(crate) fn handle(&mut self, message: &Message) {
        if message.t == "joined" {
            self.last = message.d["seq"].as_u64();
            return;
        }
        let Some((seq, last)) = message.seq.zip(self.last) else {
            return;
        };
        if seq <= last {
            self.repeated += 1;
        } else {
            self.missed += seq - last - 1;
            self.last = Some(seq);
        }
    }
}

/// In front of the send time of a chat message.
const CHAT: &str = "load test ";

#[cfg(test)]
mod tests {
    use super::*;

    fn message(t: &str, seq: Option<u64>, d: Value) -> Message {
        Message {
            t: t.to_owned(),
            d,
            seq,
        }
    }

    #[test]
    fn gaps_and_repetitions_of_events_are_counted() {
        let mut order = Order::default();
        let event = |seq| message("chat.message", Some(seq), Value::Null);
        order.handle(&event(3));
        assert_eq!(
            order,
            Order::default(),
            "nothing is known before the snapshot"
        );
        order.handle(&message("joined", None, json!({ "seq": 41 })));
        for seq in [42, 43, 43, 46] {
            order.handle(&event(seq));
        }
        order.handle(&message("stats", None, Value::Null));
        assert_eq!((order.last, order.missed, order.repeated), (Some(46), 2, 1));
    }

    #[test]
    fn what_is_neither_acknowledged_nor_refused_is_unanswered() {
        let talk = Talk::default();
        std::sync::LazyLock::force(&BEGAN);
        for _ in 0..5 {
            talk.message();
        }
        talk.handle_ack(&message("ack", None, json!({ "messageId": "1" })));
        for re in ["chat.send.1", "reaction.send.2", "3"] {
            talk.handle_refusal(&Refusal::of(&json!({ "code": "busy", "re": re })));
        }
        let chat = talk.chat(0).unwrap();
        assert_eq!((chat.refused, chat.unanswered), (2, 3));
    }

    #[test]
    fn what_was_said_is_counted_where_it_arrives() {
        let talk = Talk::default();
        std::sync::LazyLock::force(&BEGAN);
        let said = talk.message();
        talk.reaction();
        talk.handle_ack(&message("ack", None, json!({ "messageId": "1" })));
        talk.handle_ack(&message("ack", None, json!({ "re": "2" })));
        for _ in 0..3 {
            talk.handle_chat(&message("chat.message", Some(1), said.clone()));
        }
        let counts = json!({ "counts": { "❤": 12, "👏": 3 } });
        talk.handle_reactions(&message("reaction.batch", None, counts));
        let chat = talk.chat(2).unwrap();
        assert_eq!((chat.sent, chat.acknowledged, chat.delivered), (1, 1, 3));
        assert_eq!(chat.unanswered, 0);
        assert_eq!((chat.reactions_sent, chat.reactions_delivered), (1, 15));
        assert_eq!((chat.missed, chat.delivery_us.unwrap().count), (2, 3));
        assert!(Talk::default().chat(0).is_none());
    }
}
