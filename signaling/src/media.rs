//! The way to the forwarding unit and back: commands out, events to the rooms they belong to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use klieg_sfu::{Command, Event, Handle, PeerId};
use prometheus::IntCounter;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::error::ApiError;
use crate::room::RoomMessage;
use crate::session::MediaConfig;

/// The forwarding unit as rooms and sockets see it.
#[derive(Debug)]
pub(crate) struct Media {
    handle: Handle,
    /// What every session description says.
    pub(crate) config: MediaConfig,
    /// The next peer's id; they are never reused.
    next_peer: AtomicU64,
    /// The rooms of the peers that are there.
    routes: DashMap<PeerId, mpsc::Sender<RoomMessage>>,
    /// Peers whose removal the forwarding unit had no room for; asked again soon.
    leaving: Mutex<Vec<PeerId>>,
    busy: IntCounter,
}

impl Media {
    pub(crate) fn new(handle: Handle, busy: IntCounter) -> Self {
        let config = MediaConfig {
            fingerprint: handle.fingerprint(),
            candidates: handle.candidates().to_vec(),
        };
        Self {
            handle,
            config,
            next_peer: AtomicU64::new(1),
            routes: DashMap::new(),
            leaving: Mutex::new(Vec::new()),
            busy,
        }
    }

    /// Names a new peer; what happens to it goes to its room's mailbox.
    pub(crate) fn new_peer(&self, room: mpsc::Sender<RoomMessage>) -> PeerId {
        let peer = PeerId(self.next_peer.fetch_add(1, Ordering::Relaxed));
        self.routes.insert(peer, room);
        peer
    }

    /// Has commands carried out.
    ///
    /// # Errors
    /// `busy` when one was refused; those after it were not tried, and the peer is best removed.
    pub(crate) fn carry_out(&self, commands: Vec<Command>) -> Result<(), ApiError> {
        for command in commands {
            self.handle.send(command).map_err(|_| {
                self.busy.inc();
                ApiError::busy()
            })?;
        }
        Ok(())
    }

    /// Shows a peer out, whether it was ever let in or not.
    pub(crate) fn remove(&self, peer: PeerId) {
        self.routes.remove(&peer);
        if self.handle.send(Command::RemovePeer(peer)).is_err() {
            self.busy.inc();
            self.leaving
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(peer);
        }
    }

    /// Brings events to the rooms until the forwarding unit has stopped.
    pub(crate) async fn route(self: Arc<Self>, mut events: mpsc::Receiver<Event>) {
        let mut again = tokio::time::interval(RETRY_EVERY);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.deliver(event).await,
                    None => return,
                },
                _ = again.tick() => self.remove_again(),
            }
        }
    }

    async fn deliver(&self, event: Event) {
        let (peer, gone) = match &event {
            Event::Connected { peer, .. }
            | Event::PublisherMedia { peer, .. }
            | Event::PublisherLayers { peer, .. }
            | Event::ViewerLayer { peer, .. }
            | Event::ViewerLimit { peer, .. }
            | Event::ViewerMedia { peer, .. }
            | Event::CodecMismatch { peer, .. } => (*peer, false),
            Event::Disconnected { peer, .. } => (*peer, true),
        };
        // The peer may have left while the event was on its way.
        let Some(room) = self.routes.get(&peer).map(|room| room.clone()) else {
            return;
        };
        if gone {
            self.routes.remove(&peer);
        }
        // A room's task never waits for anything but its mailbox, so this is short.
        let _ = room.send(RoomMessage::Media(event)).await;
    }

    fn remove_again(&self) {
        let leaving = {
            let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *leaving)
        };
        for peer in leaving {
            self.remove(peer);
        }
    }
}

/// A shard that was too far behind has caught up by then.
const RETRY_EVERY: Duration = Duration::from_millis(100);
