//! The way to the forwarding unit and back: commands out, events to the rooms they belong to.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use klieg_sfu::{Command, Event, Handle, PeerId, RoomKey, Still, StillWish};
use prometheus::IntCounter;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::admission::{Admission, Place};
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::room::{RoomMessage, SessionRef};
use crate::session::MediaConfig;

/// The forwarding unit as rooms and sockets see it.
#[derive(Debug)]
pub(crate) struct Media {
    handle: Handle,
    /// What every session description says; another one once the machine's address has changed.
    config: RwLock<Arc<MediaConfig>>,
    /// The next peer's id; they are never reused.
    next_peer: AtomicU64,
    /// The peers that are there.
    routes: DashMap<PeerId, Route>,
    admission: Admission,
    /// Peers whose removal the forwarding unit had no room for; asked again soon.
    leaving: Mutex<Vec<PeerId>>,
    busy: IntCounter,
}

/// What is known of a peer.
#[derive(Debug)]
struct Route {
    /// Its room.
    room: mpsc::Sender<RoomMessage>,
    /// Its place among those that connect; `None` once it has, or took too long.
    place: Option<Place>,
}

impl Media {
    /// Lets at most `max_handshakes` peers connect at once.
    pub(crate) fn new(handle: Handle, max_handshakes: usize, metrics: &Metrics) -> Self {
        let config = MediaConfig {
            fingerprint: handle.fingerprint(),
            candidates: handle.candidates().to_vec(),
            tcp_candidates: handle.tcp_candidates().to_vec(),
        };
        Self {
            handle,
            config: RwLock::new(Arc::new(config)),
            next_peer: AtomicU64::new(1),
            routes: DashMap::new(),
            admission: Admission::new(max_handshakes, metrics),
            leaving: Mutex::new(Vec::new()),
            busy: metrics.media_busy.clone(),
        }
    }

    /// Returns what session descriptions say.
    pub(crate) fn config(&self) -> Arc<MediaConfig> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&config)
    }

    /// Has those who come from now on told other addresses, with the ports as they are.
    pub(crate) fn tell(&self, addresses: &[IpAddr]) {
        let at = |known: &[SocketAddr]| {
            let port = known.first().map(SocketAddr::port);
            let told = port.map(|port| addresses.iter().map(move |&ip| SocketAddr::new(ip, port)));
            told.into_iter().flatten().collect()
        };
        let mut config = self.config.write().unwrap_or_else(PoisonError::into_inner);
        *config = Arc::new(MediaConfig {
            fingerprint: config.fingerprint,
            candidates: at(&config.candidates),
            tcp_candidates: at(&config.tcp_candidates),
        });
    }

    /// Returns how much of its time the busiest forwarding thread worked lately, from 0 to 1.
    pub(crate) fn load(&self) -> f64 {
        f64::from(self.handle.load_permille()) / 1000.0
    }

    /// Takes a place for one more session that connects.
    ///
    /// # Errors
    /// `busy` while there are as many as there may be; `Retry-After` says when it may be better.
    pub(crate) fn take_place(&self) -> Result<Place, ApiError> {
        self.admission.take_place()
    }

    /// Names a new peer; what happens to it goes to its room's mailbox. The place is free again when it has
    /// connected or is gone.
    pub(crate) fn new_peer(&self, room: mpsc::Sender<RoomMessage>, place: Place) -> PeerId {
        let peer = PeerId(self.next_peer.fetch_add(1, Ordering::Relaxed));
        let place = Some(place);
        self.routes.insert(peer, Route { room, place });
        self.admission.note(Instant::now(), peer);
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

    /// Has commands of a session carried out. One that its room has closed meanwhile is removed again: that it was to be
    /// removed may have been said before the forwarding unit had heard of it.
    ///
    /// # Errors
    /// As [`Self::carry_out`].
    pub(crate) fn carry_out_for(
        &self,
        session: &SessionRef,
        commands: Vec<Command>,
    ) -> Result<(), ApiError> {
        self.carry_out(commands)?;
        if session.is_closed() {
            self.remove(session.peer);
        }
        Ok(())
    }

    /// Returns a copy of a room's last keyframe; `None` where there is none, or no answer in time.
    pub(crate) async fn still(&self, room: RoomKey, wish: StillWish) -> Option<Still> {
        let still = self.handle.still(room, wish);
        tokio::time::timeout(ANSWER, still).await.ok().flatten()
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
                _ = again.tick() => {
                    self.remove_again();
                    self.give_up_places();
                }
            }
        }
    }

    async fn deliver(&self, event: Event) {
        let (peer, gone) = match &event {
            Event::Connected { peer, .. } => {
                self.free_place(*peer);
                (*peer, false)
            }
            Event::PublisherMedia { peer, .. }
            | Event::TookOver { peer, .. }
            | Event::PublisherLayers { peer, .. }
            | Event::ViewerLayer { peer, .. }
            | Event::ViewerLimit { peer, .. }
            | Event::ViewerReception { peer, .. }
            | Event::ViewerMedia { peer, .. }
            | Event::CodecMismatch { peer, .. } => (*peer, false),
            Event::Disconnected { peer, .. } => (*peer, true),
        };
        // The peer may have left while the event was on its way.
        let Some(room) = self.routes.get(&peer).map(|route| route.room.clone()) else {
            return;
        };
        if gone {
            self.routes.remove(&peer);
        }
        // A room's task never waits for anything but its mailbox, so this is short.
        let _ = room.send(RoomMessage::Media(event)).await;
    }

    /// Frees the places of peers that were announced so long ago that they are not expected any more.
    fn give_up_places(&self) {
        while let Some(peer) = self.admission.overdue(Instant::now()) {
            self.free_place(peer);
        }
    }

    fn free_place(&self, peer: PeerId) {
        if let Some(mut route) = self.routes.get_mut(&peer) {
            route.place = None;
        }
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

/// A shard that has so much to do has nothing to spare for pictures.
const ANSWER: Duration = Duration::from_millis(500);

/// A shard that was too far behind has caught up by then.
const RETRY_EVERY: Duration = Duration::from_millis(100);
