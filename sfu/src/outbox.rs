//! What a shard tells the others, in order, and what waits for room there.

use std::collections::{BTreeSet, VecDeque};

use klieg_sfu_core::relay::ShardMessage;
use tokio::sync::mpsc;

use crate::shard::Input;

/// Messages that wait for room in another shard's inbox; beyond it media is dropped and counted.
const MAX_OUTBOX: usize = 4096;

/// Messages on their way to other shards.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Those that found no room, with the shard they are for; media at most [`MAX_OUTBOX`].
    waiting: VecDeque<(usize, ShardMessage)>,
}

impl Outbox {
    /// Returns whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Passes on what waits and then what is new, each shard's in order: of `Wanted` and `Unwanted`
    /// the last one counts. Returns how many found no room even here.
    pub(crate) fn pass(
        &mut self,
        inboxes: &[mpsc::Sender<Input>],
        new: impl Iterator<Item = (usize, ShardMessage)>,
    ) -> u64 {
        let mut dropped = 0;
        let mut full = BTreeSet::new();
        for (index, message) in std::mem::take(&mut self.waiting).into_iter().chain(new) {
            let Some(inbox) = inboxes.get(index) else {
                continue;
            };
            let refused = if full.contains(&index) {
                message
            } else {
                match inbox.try_send(Input::Message(message)) {
                    Err(mpsc::error::TrySendError::Full(Input::Message(message))) => message,
                    Ok(()) | Err(_) => continue,
                }
            };
            full.insert(index);
            if is_media(&refused) && self.waiting.len() >= MAX_OUTBOX {
                dropped += 1;
            } else {
                self.waiting.push_back((index, refused));
            }
        }
        dropped
    }
}

/// Returns whether a message may be lost like a packet.
fn is_media(message: &ShardMessage) -> bool {
    match message {
        ShardMessage::Datagrams(_) | ShardMessage::Burst(_) | ShardMessage::Clock(..) => true,
        ShardMessage::Published(..)
        | ShardMessage::Wanted(..)
        | ShardMessage::Unwanted(..)
        | ShardMessage::Layers(..)
        | ShardMessage::Past(..)
        | ShardMessage::KeyframeWanted(..)
        | ShardMessage::Gone(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use klieg_sfu_core::{RoomKey, ShardIndex};

    use super::*;

    #[test]
    fn no_message_overtakes_one_that_found_no_room() {
        let (inbox, mut received) = mpsc::channel(1);
        let mut outbox = Outbox::default();
        let message = |number| (0, ShardMessage::Wanted(RoomKey(number), ShardIndex(0)));
        let mut arrived = Vec::new();
        let mut take = |received: &mut mpsc::Receiver<Input>| {
            if let Ok(Input::Message(ShardMessage::Wanted(RoomKey(number), _))) =
                received.try_recv()
            {
                arrived.push(number);
            }
        };
        // The other shard takes one when the second has been refused.
        let messages = (0..4).map(message).inspect(|(_, message)| {
            if matches!(message, ShardMessage::Wanted(RoomKey(2), _)) {
                take(&mut received);
            }
        });
        outbox.pass(std::slice::from_ref(&inbox), messages);
        for _ in 0..4 {
            take(&mut received);
            outbox.pass(std::slice::from_ref(&inbox), std::iter::empty());
        }
        assert_eq!(arrived, [0, 1, 2, 3]);
    }
}
