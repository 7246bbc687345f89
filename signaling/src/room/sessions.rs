//! Who publishes in a room, who watches, and what the forwarding unit says about them.

use std::time::{Duration, Instant};

use klieg_sfu::{Command, Event, Format, Kind, PeerId};
use tracing::{debug, info};

use crate::error::{ApiError, Code};
use crate::id::SocketId;
use crate::ws::protocol::{RtcMute, SessionStage, SessionState, WantedLayer, message, reason_name};

use super::layers::VideoLayers;
use super::life::Moment;
use super::member::Viewing;
use super::stage::Publisher;
use super::task::Room;
use super::{Departure, Opened, SessionRef};

/// A forwarding thread that was too far behind has caught up by then.
const RETRY_EVERY: Duration = Duration::from_millis(100);

impl Room {
    /// Lets a session publish. Where somebody does already, it takes over once it has something to show.
    pub(super) fn open_publisher(
        &mut self,
        socket: SocketId,
        session: SessionRef,
        layers: VideoLayers,
    ) -> Opened {
        let Some(member) = self.members.get(&socket) else {
            return Err(ApiError::new(Code::NotJoined, "Join a room first."));
        };
        if self.stage.status().is_over() {
            return Err(ApiError::new(Code::RoomOver, "The room's event is over."));
        }
        let beside = self.stage.publisher().map(|it| it.session.peer.0);
        info!(peer = session.peer.0, beside, "publisher came");
        let publisher = Publisher::new(socket, member.identity.id.clone(), session, layers);
        if let Some(waited) = self.stage.enter(publisher) {
            self.show_out(&waited, "replaced");
        }
        if beside.is_none() {
            self.present();
        } else {
            // Who waited until now may just have shown something, and the room does not know.
            self.let_take_over();
        }
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

    pub(super) fn close_session(&mut self, socket: SocketId, peer: PeerId, why: Departure) {
        let publishes = self.stage.publisher();
        let is_meant = |it: &Publisher| it.socket == socket && it.session.peer == peer;
        if publishes.is_some_and(is_meant) {
            self.publisher_gone(why);
        } else if self.dismiss(is_meant) {
            debug!(peer = peer.0, ?why, "publisher went before it took over");
            // A page that published anew and says goodbye is done with what it sent before, too.
            let is_same = self.stage.publisher().is_some_and(|it| it.socket == socket);
            if is_same && why == Departure::Left {
                self.publisher_gone(why);
            }
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
                self.publisher_connected(peer);
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
            Event::TookOver { peer, .. } => self.took_over(peer),
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
                let is_meant = |it: &Publisher| it.session.peer == peer;
                if self.stage.publisher().is_some_and(is_meant) {
                    self.publisher_gone(Departure::Lost);
                } else if self.dismiss(is_meant) {
                    // Nobody was shown anything of it.
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
        if self.stage.is_silent() {
            // Who waits has something, be it sound alone, and who has the place has nothing.
            return self.took_over(peer);
        }
        let is_shown = changes.publisher;
        self.note_live(was_live);
        self.tell(changes);
        let is_video = format.codec.kind() == Kind::Video;
        if is_shown && is_video {
            self.forget_mismatches();
        }
        if is_shown && (is_video || !was_live) {
            self.tell_layers_to_all();
        }
    }

    /// Lets the publisher be heard as soon as it is there, whether it shows a picture or not.
    fn publisher_connected(&mut self, peer: PeerId) {
        let publisher = self.stage.publisher();
        if publisher.is_some_and(|it| it.session.peer == peer) {
            self.let_take_over();
        }
    }

    /// Takes note that the room is shown another publisher than before, who waited for that.
    fn took_over(&mut self, peer: PeerId) {
        let was_live = self.stage.is_live();
        let Some((before, changes)) = self.stage.take_over(peer, Moment::now()) else {
            return;
        };
        info!(
            peer = peer.0,
            before = before.session.peer.0,
            "publisher took over"
        );
        self.note_live(was_live);
        self.show_out(&before, "replaced");
        self.tell(changes);
        self.present();
        self.forget_mismatches();
        self.tell_layers_to_all();
    }

    /// Lets the publisher go, whatever became of its peer. Who waits has its place then.
    pub(super) fn publisher_gone(&mut self, why: Departure) {
        let Some(publisher) = self.stage.publisher() else {
            return;
        };
        let was_live = self.stage.is_live();
        publisher.session.close();
        self.context.media.remove(publisher.session.peer);
        info!(peer = publisher.session.peer.0, ?why, "publisher went");
        // Who was invited does not end the event of the one who invited.
        let may_end = publisher.identity == self.record.owner.id || self.record.reusable;
        let why = if may_end { why } else { Departure::Lost };
        let changes = self.stage.leave(why, Moment::now());
        self.note_live(was_live);
        self.tell(changes);
        if self.stage.publisher().is_some() {
            self.present();
            self.forget_mismatches();
            self.tell_layers_to_all();
        }
    }

    /// Lets a publisher go who waited and showed nothing; returns whether there was one that is meant.
    pub(super) fn dismiss(&mut self, is_meant: impl FnOnce(&Publisher) -> bool) -> bool {
        let dismissed = self.stage.dismiss(is_meant);
        if let Some(publisher) = &dismissed {
            publisher.session.close();
            self.context.media.remove(publisher.session.peer);
            // It may just have shown something, and the room does not know.
            self.let_take_over();
        }
        dismissed.is_some()
    }

    /// Ends the session of a publisher who has no place any more, and says why.
    pub(super) fn show_out(&self, publisher: &Publisher, why: &'static str) {
        let session = &publisher.session;
        self.tell_state(publisher.socket, session, SessionStage::Closed, Some(why));
        session.close();
        self.context.media.remove(session.peer);
    }

    /// Has the room shown who has the publisher's place by now.
    fn present(&mut self) {
        self.let_take_over();
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
    }

    /// Tells the forwarding unit whose media counts. It decides that by itself when somebody has a picture; said again it
    /// changes nothing.
    pub(super) fn let_take_over(&mut self) {
        self.stage_due = None;
        if let Some(publisher) = self.stage.publisher() {
            let command = Command::TakeOver(publisher.session.peer);
            if self.context.media.carry_out(vec![command]).is_err() {
                self.stage_due = Some(Instant::now() + RETRY_EVERY);
            }
        }
    }

    /// Forgets who could not play what the publisher sends, where it sends something else now: what a viewer cannot play
    /// of that may have been told before this, by another shard.
    fn forget_mismatches(&self) {
        let [_, video] = self.stage.formats();
        let viewings = self.members.values().filter_map(|it| it.viewing.as_ref());
        for viewing in viewings {
            let mismatch = viewing.session.mismatch();
            if mismatch.is_some() && mismatch != video {
                viewing.session.set_mismatch(None);
            }
        }
    }

    /// Counts the rooms that are live.
    pub(super) fn note_live(&self, was_live: bool) {
        let live = &self.context.metrics.live_rooms;
        match (was_live, self.stage.is_live()) {
            (false, true) => live.inc(),
            (true, false) => live.dec(),
            (true, true) | (false, false) => {}
        }
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
        if let Some(publisher) = self.stage.find(peer) {
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
