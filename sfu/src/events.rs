//! What a shard has to tell signaling, in order, and what waits while signaling lags.

use std::collections::{HashSet, VecDeque};
use std::mem::Discriminant;

use klieg_sfu_core::{Event, Kind, PeerId};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::metrics::Metrics;

/// Events that wait before those are looked for that later ones make old.
const MAX_WAITING: usize = 4096;

/// Events that found no room. Of a peer's events of one kind the last one counts, so that there are at most
/// twice as many as peers have kinds of events, and [`MAX_WAITING`].
#[derive(Debug)]
pub(crate) struct Events {
    waiting: VecDeque<Event>,
    /// How many may wait before the old ones are taken out.
    limit: usize,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            limit: MAX_WAITING,
        }
    }

    /// Returns whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds what is new.
    pub(crate) fn add(&mut self, new: impl Iterator<Item = Event>) {
        for event in new {
            self.waiting.push_back(event);
            if self.waiting.len() > self.limit {
                self.forget_old();
                self.limit = MAX_WAITING.max(2 * self.waiting.len());
            }
        }
    }

    /// Passes on as much as there is room for.
    pub(crate) fn pass(&mut self, to: &mpsc::Sender<Event>, metrics: &Metrics) {
        while !self.waiting.is_empty() {
            let room = match to.try_reserve() {
                Ok(room) => room,
                Err(TrySendError::Full(())) => return,
                // Nobody listens any more.
                Err(TrySendError::Closed(())) => {
                    self.waiting.clear();
                    return;
                }
            };
            if let Some(event) = self.waiting.pop_front() {
                metrics.observe(&event);
                room.send(event);
            }
        }
        self.limit = MAX_WAITING;
    }

    /// Takes out events behind which there is another of the same peer and kind.
    fn forget_old(&mut self) {
        let mut later = HashSet::new();
        let mut kept: VecDeque<Event> = VecDeque::new();
        while let Some(event) = self.waiting.pop_back() {
            if later.insert(subject(&event)) {
                kept.push_front(event);
            }
        }
        self.waiting = kept;
    }
}

/// Returns whom an event is about and of which kind it is; sound and picture are told apart.
fn subject(event: &Event) -> (PeerId, Discriminant<Event>, bool) {
    let (peer, is_audio) = match event {
        Event::Connected { peer, .. }
        | Event::TookOver { peer, .. }
        | Event::PublisherLayers { peer, .. }
        | Event::ViewerLayer { peer, .. }
        | Event::ViewerLimit { peer, .. }
        | Event::ViewerReception { peer, .. }
        | Event::ViewerMedia { peer, .. }
        | Event::Disconnected { peer, .. } => (*peer, false),
        Event::PublisherMedia { peer, format, .. }
        | Event::CodecMismatch { peer, sent: format } => {
            (*peer, format.codec.kind() == Kind::Audio)
        }
    };
    (peer, std::mem::discriminant(event), is_audio)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::Registry;

    use super::*;

    #[test]
    fn while_signaling_lags_of_each_peers_events_of_a_kind_the_last_one_waits() {
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let (sender, mut receiver) = mpsc::channel(8);
        let mut events = Events::new();
        let layer = |number: u64| Event::ViewerLayer {
            peer: PeerId(number % 10),
            layer: u8::try_from(number / 10 % 4).unwrap(),
        };
        let connected = (0..10).map(|peer| Event::Connected {
            peer: PeerId(peer),
            took: Duration::ZERO,
        });
        events.add(connected);
        for number in 0..100_000 {
            events.add(std::iter::once(layer(number)));
            events.pass(&sender, &metrics);
            assert!(events.waiting.len() <= MAX_WAITING, "{number}");
        }
        let mut told = Vec::new();
        while !events.is_empty() {
            while let Ok(event) = receiver.try_recv() {
                told.push(event);
            }
            events.pass(&sender, &metrics);
        }
        while let Ok(event) = receiver.try_recv() {
            told.push(event);
        }
        let connected = told
            .iter()
            .filter(|it| matches!(it, Event::Connected { .. }));
        assert_eq!(connected.count(), 10);
        let last: Vec<Event> = (99_990..100_000).map(layer).collect();
        assert_eq!(told[told.len() - 10..], last);
    }

    #[test]
    fn what_waits_goes_when_nobody_listens_any_more() {
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        let mut events = Events::new();
        events.add(std::iter::once(Event::ViewerLayer {
            peer: PeerId(1),
            layer: 0,
        }));
        events.pass(&sender, &metrics);
        assert!(events.is_empty());
    }
}
