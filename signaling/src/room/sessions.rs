//! Who publishes in a room, who watches, and what the forwarding unit says about them.

use std::time::Instant;

use klieg_sfu::{Event, Format, Kind, PeerId};
use tracing::{debug, info};

use crate::error::{ApiError, Code};
use crate::id::SocketId;
use crate::ws::protocol::{RtcMute, SessionStage, SessionState, WantedLayer, message, reason_name};

use super::layers::VideoLayers;
use super::life::Moment;
use super::member::Viewing;
use super::stage::{Exit, Publisher};
use super::task::Room;
use super::{Opened, SessionRef};

impl Room {
    /// Gives the publisher's place to a session. A session of the same identity that is still there makes
    /// way: it is what a reloaded page or a lost network leaves behind.
    pub(super) fn open_publisher(
        &mut self,
        socket: SocketId,
        session: SessionRef,
        layers: VideoLayers,
    ) -> Opened {
        let Some(member) = self.members.get(&socket) else {
            return Err(ApiError::new(Code::NotJoined, "Join a room first."));
        };
        let identity = member.identity.id.clone();
        if self.stage.status().is_over() {
            return Err(ApiError::new(Code::RoomOver, "The room's event is over."));
        }
        if let Some(publisher) = self.stage.publisher() {
            if publisher.identity != identity {
                let text = "Somebody else publishes in this room.";
                return Err(ApiError::new(Code::PublisherExists, text));
            }
            let (old_socket, old) = (publisher.socket, publisher.session.clone());
            self.tell_state(old_socket, &old, SessionStage::Closed, Some("replaced"));
            self.publisher_gone(Exit::Lost);
        }
        info!(peer = session.peer.0, "publisher came");
        self.stage
            .enter(Publisher::new(socket, identity, session, layers));
        // The places of layers are those of the publisher before.
        for viewing in self
            .members
            .values_mut()
            .filter_map(|it| it.viewing.as_mut())
        {
            viewing.shown = None;
        }
        self.summarize();
        self.apply_layers();
        Ok(())
    }

    pub(super) fn open_viewer(
        &mut self,
        socket: SocketId,
        session: SessionRef,
        wanted: WantedLayer,
    ) {
        let Some(member) = self.members.get_mut(&socket) else {
            self.context.media.remove(session.peer);
            return;
        };
        debug!(peer = session.peer.0, "viewer came");
        let peer = session.peer;
        let earlier = member.viewing.replace(Viewing::new(session, wanted));
        self.presence.watch(socket);
        // The one before ends first: nobody watches twice at once by one socket.
        if let Some(earlier) = earlier {
            self.viewer_gone(&earlier.session);
        }
        self.viewers.insert(peer, socket);
        self.tally.total += 1;
        if let Some(member) = self.members.get(&socket) {
            self.figures.open(peer, &member.identity.id, member.origin);
        }
        self.context.metrics.viewers.inc();
        self.note_viewers();
        self.tell_layers(socket);
    }

    pub(super) fn close_session(&mut self, socket: SocketId, peer: PeerId) {
        let publishes = self.stage.publisher();
        if publishes.is_some_and(|it| it.socket == socket && it.session.peer == peer) {
            self.publisher_gone(Exit::Closed);
        } else if let Some(session) = self.take_viewing(socket, peer) {
            self.presence.stop(socket);
            self.viewer_gone(&session);
        }
    }

    pub(super) fn mute(&mut self, socket: SocketId, mute: RtcMute) -> Result<(), ApiError> {
        let changes = self
            .stage
            .mute(socket, Kind::from(mute.kind), mute.muted)
            .ok_or_else(|| {
                ApiError::new(
                    Code::Forbidden,
                    "Only the publisher mutes what it publishes.",
                )
            })?;
        self.tell(changes);
        Ok(())
    }

    pub(super) fn handle_media(&mut self, event: Event) {
        match event {
            Event::Connected { peer, took } => {
                debug!(peer = peer.0, took_ms = took.as_millis(), "peer connected");
                self.viewer_connected(peer);
                self.tell_peer(peer, SessionStage::Connected, None);
            }
            Event::ViewerMedia { peer, took } => {
                debug!(
                    peer = peer.0,
                    took_ms = took.as_millis(),
                    "first media to a viewer"
                );
                self.tell_peer(peer, SessionStage::Media, None);
            }
            Event::PublisherMedia { peer, format, .. } => self.publisher_media(peer, format),
            Event::PublisherLayers { peer, layers, .. } => self.publisher_layers(peer, &layers),
            Event::ViewerLayer { peer, layer } => self.viewer_layer(peer, layer),
            Event::ViewerLimit { peer, limit } => self.viewer_limit(peer, limit),
            Event::ViewerReception { peer, arrives, ago } => {
                debug!(peer = peer.0, arrives, "reception changed");
                self.figures.receive(peer, arrives, ago);
            }
            Event::CodecMismatch { peer, sent } => {
                if let Some(socket) = self.viewers.get(&peer).copied()
                    && let Some(viewing) = self.viewing(socket)
                {
                    viewing.session.set_mismatch(Some(sent));
                    self.tell_layers(socket);
                }
            }
            Event::Disconnected { peer, reason } => {
                self.tell_peer(peer, SessionStage::Closed, Some(reason_name(reason)));
                info!(peer = peer.0, reason = reason_name(reason), "peer gone");
                if self
                    .stage
                    .publisher()
                    .is_some_and(|it| it.session.peer == peer)
                {
                    self.publisher_gone(Exit::Lost);
                } else if let Some(socket) = self.viewers.get(&peer).copied()
                    && let Some(session) = self.take_viewing(socket, peer)
                {
                    self.presence.lapse(socket, Instant::now());
                    self.viewer_gone(&session);
                }
            }
        }
    }

    fn publisher_media(&mut self, peer: PeerId, format: Format) {
        let was_live = self.stage.is_live();
        let changes = self.stage.handle_media(peer, format, Moment::now());
        let publisher = changes.publisher;
        if !was_live && self.stage.is_live() {
            self.context.metrics.live_rooms.inc();
        }
        self.tell(changes);
        let is_video = format.codec.kind() == Kind::Video;
        if !publisher || (was_live && !is_video) {
            return;
        }
        // What a viewer cannot play of the new one may have been told before this, by another shard.
        let viewings = self.members.values().filter_map(|it| it.viewing.as_ref());
        for viewing in viewings {
            if is_video
                && viewing
                    .session
                    .mismatch()
                    .is_some_and(|sent| sent != format)
            {
                viewing.session.set_mismatch(None);
            }
        }
        self.tell_layers_to_all();
    }

    /// Lets the publisher go, whatever became of its peer.
    pub(super) fn publisher_gone(&mut self, exit: Exit) {
        let Some(publisher) = self.stage.publisher() else {
            return;
        };
        let was_live = self.stage.is_live();
        publisher.session.close();
        self.context.media.remove(publisher.session.peer);
        info!(peer = publisher.session.peer.0, ?exit, "publisher went");
        // Who was invited does not end the event of the one who invited.
        let may_end = publisher.identity == self.record.owner.id || self.record.reusable;
        let exit = if may_end { exit } else { Exit::Lost };
        let changes = self.stage.leave(exit, Moment::now());
        if was_live {
            self.context.metrics.live_rooms.dec();
        }
        self.tell(changes);
    }

    /// Lets a viewer go that is no member's any more, whatever became of its peer.
    pub(super) fn viewer_gone(&mut self, session: &SessionRef) {
        session.close();
        self.context.media.remove(session.peer);
        self.context.metrics.viewers.dec();
        self.viewers.remove(&session.peer);
        self.figures.close(session.peer);
        self.note_viewers();
    }

    pub(super) fn viewing(&mut self, socket: SocketId) -> Option<&mut Viewing> {
        self.members.get_mut(&socket)?.viewing.as_mut()
    }

    fn take_viewing(&mut self, socket: SocketId, peer: PeerId) -> Option<SessionRef> {
        let viewing = &mut self.members.get_mut(&socket)?.viewing;
        viewing
            .take_if(|viewing| viewing.session.peer == peer)
            .map(|viewing| viewing.session)
    }

    fn tell_peer(&self, peer: PeerId, state: SessionStage, reason: Option<&'static str>) {
        if let Some(publisher) = self.stage.publisher().filter(|it| it.session.peer == peer) {
            self.tell_state(publisher.socket, &publisher.session, state, reason);
        } else if let Some(socket) = self.viewers.get(&peer).copied()
            && let Some(viewing) = self.members.get(&socket).and_then(|it| it.viewing.as_ref())
        {
            self.tell_state(socket, &viewing.session, state, reason);
        }
    }

    pub(super) fn tell_state(
        &self,
        socket: SocketId,
        session: &SessionRef,
        state: SessionStage,
        reason: Option<&'static str>,
    ) {
        let view = SessionState {
            session_id: &session.id,
            state,
            reason,
        };
        self.send(socket, message("rtc.state", &view));
    }
}
