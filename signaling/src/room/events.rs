//! What happened in a room lately: for those who come, and for those who come back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::store::{Author, ChatMessage, Event, RoomStatus};
use crate::time::Timestamp;
use crate::ws::protocol;

/// The last events, as they were sent, and the last chat messages.
#[derive(Debug)]
pub(super) struct EventLog {
    /// The number of the last event, whether it is still here or not.
    last_seq: u64,
    /// At most 1000, in order; older ones make room.
    events: VecDeque<(u64, Utf8Bytes)>,
    /// At most 100, oldest first; older ones make room.
    chat: VecDeque<ChatMessage>,
    /// How the last show ended; `None` before, and while the next is on air.
    end: Option<End>,
}

/// How a show ended, as everybody was told.
#[derive(Debug)]
pub(super) struct End {
    pub(super) at: Timestamp,
    /// What it came to, JSON.
    pub(super) summary: Box<RawValue>,
}

impl EventLog {
    /// Starts with what was stored.
    pub(super) fn new(last_seq: u64, stored: Vec<Event>, chat: Vec<ChatMessage>) -> Self {
        let mut log = Self {
            last_seq,
            events: VecDeque::with_capacity(stored.len()),
            chat: chat.into(),
            end: None,
        };
        for event in stored {
            log.note_end(&event);
            log.events.push_back((event.seq(), written(&event)));
        }
        log
    }

    /// Adds an event and returns what everybody is to be sent.
    pub(super) fn push(&mut self, event: Event) -> Utf8Bytes {
        let text = written(&event);
        self.note_end(&event);
        self.last_seq = event.seq();
        self.events.push_back((event.seq(), text.clone()));
        if self.events.len() > KEPT_EVENTS as usize {
            self.events.pop_front();
        }
        if let Event::Chat(message) = event {
            self.chat.push_back(message);
            if self.chat.len() > KEPT_CHAT as usize {
                self.chat.pop_front();
            }
        }
        text
    }

    fn note_end(&mut self, event: &Event) {
        if let Event::Other { kind, content, .. } = event {
            self.note(kind, content);
        }
    }

    /// Takes note of what everybody is told, be it stored or not.
    pub(super) fn note(&mut self, kind: &str, content: &str) {
        if kind != "room.status" {
            return;
        }
        match serde_json::from_str(content) {
            Ok(Status { status, .. }) if status.is_on_air() => self.end = None,
            Ok(Status {
                ended_at: Some(at),
                summary: Some(summary),
                ..
            }) => self.end = Some(End { at, summary }),
            Ok(_) | Err(_) => {}
        }
    }

    /// Returns how the last show ended, where nobody was on air since and that was within the last hour: who comes
    /// then, or loads the page anew, may be told; later it is the next one that is waited for.
    pub(super) fn end(&self) -> Option<&End> {
        let lately = |end: &&End| Timestamp::now().since(end.at) < END_TOLD_FOR;
        self.end.as_ref().filter(lately)
    }

    /// Takes away what a message said, here and from what is replayed.
    pub(super) fn bury(&mut self, tomb: ChatMessage) {
        let kept = self.chat.iter_mut();
        let mut same = kept.filter(|message| message.message_id == tomb.message_id);
        if let Some(message) = same.next() {
            message.bury();
        }
        if let Ok(index) = self.events.binary_search_by_key(&tomb.seq, |(seq, _)| *seq) {
            let (seq, text) = (tomb.seq, written(&Event::Chat(tomb)));
            self.events[index] = (seq, text);
        }
    }

    /// Returns the people who said something lately.
    pub(super) fn speakers(&self) -> impl Iterator<Item = &Author> {
        self.chat.iter().map(|message| &message.from)
    }

    /// Returns the number of the last event.
    pub(super) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Returns the last chat messages, oldest first, as many as one message can carry.
    pub(super) fn chat(&self) -> impl Iterator<Item = &ChatMessage> {
        let mut left = MAX_HISTORY_BYTES;
        let latest = self.chat.iter().rev();
        let fitting = latest.take_while(|message| {
            let rest = left.checked_sub(size_bytes(message));
            left = rest.unwrap_or_default();
            rest.is_some()
        });
        let fitting = fitting.count();
        self.chat.range(self.chat.len() - fitting..)
    }

    /// Returns what came after an event; `None` when that is more than is kept, or never was.
    pub(super) fn after(&self, seq: u64) -> Option<Vec<Utf8Bytes>> {
        // The numbers of the kept events are not always one after the other: a failed transaction may
        // leave a gap. What counts is that nothing after `seq` was dropped.
        let first = self
            .events
            .front()
            .map_or(self.last_seq + 1, |(first, _)| *first);
        let complete = seq.saturating_add(1) >= first && seq <= self.last_seq;
        complete.then(|| {
            let from = self.events.partition_point(|(number, _)| *number <= seq);
            self.events
                .range(from..)
                .map(|(_, text)| text.clone())
                .collect()
        })
    }
}

/// What is read of a `room.status` that was sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    status: RoomStatus,
    ended_at: Option<Timestamp>,
    summary: Option<Box<RawValue>>,
}

/// Returns about what a chat message takes on the wire.
fn size_bytes(message: &ChatMessage) -> usize {
    let from = &message.from;
    let meant = message.details.mentions.iter();
    let meant = meant.chain(message.details.reply_to.iter().map(|it| &it.from));
    let meant: usize = meant.map(|it| 24 + it.id.len() + it.name.len()).sum();
    MAX_ENVELOPE_BYTES + message.text.len() + from.id.len() + from.name.len() + meant
}

fn written(event: &Event) -> Utf8Bytes {
    match event {
        Event::Chat(message) => {
            let ts = Timestamp::from_millis(message.ts);
            protocol::event("chat.message", Some(message.seq), ts, message)
        }
        Event::Other {
            seq,
            ts,
            kind,
            content,
        } => protocol::event_of_json(kind, Some(*seq), *ts, content),
    }
}

/// Writes the content of an event for the store.
pub(super) fn json(content: &impl Serialize) -> Arc<str> {
    serde_json::to_string(content).unwrap_or_default().into()
}

/// Events kept for those who come back.
pub(super) const KEPT_EVENTS: u32 = 1000;

/// Chat messages shown to those who come.
pub(super) const KEPT_CHAT: u32 = 100;

/// For how long those who come are told how the last show ended.
const END_TOLD_FOR: Duration = Duration::from_secs(60 * 60);

/// Half of what may wait for one socket, so that even a history of the longest messages and names gets through.
const MAX_HISTORY_BYTES: usize = 128 * 1024;

/// What a chat message on the wire has beside its texts.
const MAX_ENVELOPE_BYTES: usize = 280;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(seq: u64) -> Event {
        let ts = Timestamp::from_millis(0);
        Event::Other {
            seq,
            ts,
            kind: "x".into(),
            content: "{}".into(),
        }
    }

    #[test]
    fn how_a_show_ended_is_told_for_an_hour_and_until_the_next_begins() {
        let status = |seq, status: &str, ended_at: Option<Timestamp>| Event::Other {
            seq,
            ts: Timestamp::now(),
            kind: "room.status".to_owned(),
            content: match ended_at {
                Some(at) => json!({ "status": status, "endedAt": at, "summary": { "likes": seq } }),
                None => json!({ "status": status }),
            }
            .to_string(),
        };
        let ago = |seconds| Some(Timestamp::now().minus(Duration::from_secs(seconds)));
        let stored = vec![
            status(1, "live", None),
            status(2, "ended", ago(3500)),
            status(3, "ready", None),
        ];
        let mut log = EventLog::new(3, stored, Vec::new());
        let summary = |log: &EventLog| log.end().map(|end| end.summary.get().to_owned());
        assert_eq!(summary(&log).as_deref(), Some(r#"{"likes":2}"#));
        log.push(status(4, "live", None));
        assert_eq!(summary(&log), None);
        log.push(status(5, "ended", ago(3700)));
        assert_eq!(summary(&log), None);
        log.push(status(6, "cancelled", None));
        log.push(status(7, "ended", ago(1)));
        assert_eq!(summary(&log).as_deref(), Some(r#"{"likes":7}"#));
    }

    #[test]
    fn what_came_after_a_number_is_complete_or_nothing() {
        let mut log = EventLog::new(0, Vec::new(), Vec::new());
        assert_eq!(log.after(0).unwrap().len(), 0);
        assert!(log.after(1).is_none());
        for seq in 1..=1003 {
            log.push(event(seq));
        }
        assert_eq!(log.after(1003).unwrap().len(), 0);
        assert_eq!(log.after(1001).unwrap().len(), 2);
        assert_eq!(log.after(3).unwrap().len(), 1000);
        assert!(log.after(2).is_none());
        assert!(log.after(u64::MAX).is_none());
    }
}
