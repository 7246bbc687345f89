//! What a shard tells the others, in order, and what waits for room there.

use std::collections::{BTreeSet, HashSet, VecDeque};

use klieg_sfu_core::relay::ShardMessage;
use klieg_sfu_core::{PeerId, RoomKey};
use tokio::sync::mpsc;

use crate::shard::Input;

/// Messages that wait for room in another shard's inbox. Beyond it media is dropped and counted, and of what may not be
/// lost that is taken out which something later makes old.
const MAX_OUTBOX: usize = 4096;

/// Messages on their way to other shards.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Those that found no room, with the shard they are for. At most [`MAX_OUTBOX`], and twice as many as there are
    /// [subjects](Subject) for each shard: a few of each room, and peers that left, which cannot be more than were
    /// there when the shard stopped to read, since commands are refused while one does not.
    waiting: VecDeque<(usize, ShardMessage)>,
    /// How many may wait beyond [`MAX_OUTBOX`] before the old ones are taken out.
    spare: usize,
}

/// What a message is about: of those about the same thing the last one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Publisher(RoomKey),
    Interest(RoomKey),
    Layers(RoomKey),
    Past(RoomKey),
    Keyframe(RoomKey, Option<u8>),
    Peer(PeerId),
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
        if self.waiting.len() > MAX_OUTBOX + self.spare {
            self.spare = 2 * self.forget_old();
        } else if self.waiting.is_empty() {
            self.spare = 0;
        }
        dropped
    }

    /// Takes out what is followed by a message to the same shard about the same thing; returns of how many things there
    /// is one.
    fn forget_old(&mut self) -> usize {
        let mut later = HashSet::new();
        let mut kept = VecDeque::new();
        while let Some((index, message)) = self.waiting.pop_back() {
            if subject(&message).is_none_or(|subject| later.insert((index, subject))) {
                kept.push_front((index, message));
            }
        }
        self.waiting = kept;
        later.len()
    }
}

/// Returns what a message is about; `None` of media, each of which is news.
fn subject(message: &ShardMessage) -> Option<Subject> {
    Some(match message {
        ShardMessage::Datagrams(_) | ShardMessage::Burst(_) | ShardMessage::Clock(..) => {
            return None;
        }
        ShardMessage::Published(room, ..) => Subject::Publisher(*room),
        ShardMessage::Wanted(room, _) | ShardMessage::Unwanted(room, _) => Subject::Interest(*room),
        ShardMessage::Layers(room, _) => Subject::Layers(*room),
        ShardMessage::Past(room, _) => Subject::Past(*room),
        ShardMessage::KeyframeWanted(room, layer) => Subject::Keyframe(*room, *layer),
        ShardMessage::Gone(peer) => Subject::Peer(*peer),
    })
}

/// Returns whether a message may be lost like a packet.
fn is_media(message: &ShardMessage) -> bool {
    subject(message).is_none()
}

#[cfg(test)]
mod tests {
    use klieg_sfu_core::ShardIndex;

    use super::*;

    #[test]
    fn what_may_not_be_lost_is_bounded_because_the_last_word_counts() {
        let (inbox, mut received) = mpsc::channel(1);
        let inboxes = std::slice::from_ref(&inbox);
        let mut outbox = Outbox::default();
        let here = ShardIndex(0);
        // Media takes the places that it may, and no more.
        let path = klieg_sfu_core::command::Path {
            local: None,
            remote: ([127, 0, 0, 1], 9).into(),
            connection: None,
        };
        let media = || ShardMessage::Datagrams(vec![(path, Vec::new())]);
        let media = std::iter::repeat_with(media).take(2 * MAX_OUTBOX);
        let dropped = outbox.pass(inboxes, media.map(|message| (0, message)));
        assert_eq!(dropped, MAX_OUTBOX as u64 - 1);
        for round in 0..5000 {
            let room = RoomKey(round % 100);
            let new = [
                ShardMessage::Wanted(room, here),
                ShardMessage::KeyframeWanted(room, None),
                ShardMessage::Gone(PeerId(round % 1000)),
                ShardMessage::Unwanted(room, here),
            ];
            outbox.pass(inboxes, new.into_iter().map(|message| (0, message)));
            let subjects = 100 + 100 + 1000;
            assert!(outbox.waiting.len() <= MAX_OUTBOX + 2 * subjects);
        }
        let mut last = std::collections::BTreeMap::new();
        while let Ok(Input::Message(message)) = received.try_recv() {
            if let Some(Subject::Interest(room)) = subject(&message) {
                last.insert(room, matches!(message, ShardMessage::Wanted(..)));
            }
            outbox.pass(inboxes, std::iter::empty());
        }
        assert_eq!(outbox.spare, 0);
        assert!(last.len() == 100 && last.values().all(|is_wanted| !is_wanted));
    }

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
