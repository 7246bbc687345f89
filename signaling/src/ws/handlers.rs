//! What each message does.

use std::sync::Arc;
use std::time::Instant;

use crate::app::App;
use crate::auth::{Action, Grants, Identity, Issued, Role};
use crate::chat::{Said, SaidKind};
use crate::error::{ApiError, Code};
use crate::http::visitor::Visitor;
use crate::id::{RoomId, SocketId};
use crate::room::{Departure, Input, NewMember, Reason, RoomHandle, RoomMessage, Seat, new_report};
use crate::store::{Deed, LimitKind};
use crate::time::Timestamp;

use super::outbox::Outbox;
use super::protocol::{
    self, Ack, Auth, ChatReport, ClientMessage, Participant, ReactionSend, TokenRefresh,
};
use super::sessions::Sessions;
use super::writer::End;

/// One client's side of the protocol: who it is, where it is, and what it has open.
pub(super) struct Conversation {
    pub(super) app: Arc<App>,
    pub(super) socket: SocketId,
    pub(super) outbox: Outbox,
    /// Where the client is, and on what it plays.
    visitor: Visitor,
    /// `None` until a token held.
    identity: Option<Identity>,
    /// `None` while it is in no room.
    pub(super) place: Option<Place>,
    /// When the client said last that it cannot watch, in whatever room; `None` before the first time.
    pub(super) troubled_at: Option<Instant>,
}

/// Where a client is.
pub(super) struct Place {
    pub(super) id: RoomId,
    pub(super) room: RoomHandle,
    seat: Seat,
    pub(super) sessions: Sessions,
    /// When the newest token ends that the client has for the room, in seconds since 1970; rises with each that it is
    /// sent.
    token_ends: u64,
}

impl Place {
    /// Returns what the client may do now.
    pub(super) fn grants(&self) -> Grants {
        self.seat.grants()
    }

    /// Returns where the client is and as what, if it may do something. What has no grant goes by the role alone.
    pub(super) fn check(&self, action: Action) -> Result<(RoomId, Role), ApiError> {
        let role = self.seat.role();
        if matches!(action, Action::Sell | Action::Poll | Action::Manage) {
            role.check_anywhere(action)?;
        } else {
            self.grants().check(action)?;
        }
        Ok((self.id.clone(), role))
    }
}

/// What a handler says when it has done its work.
pub(super) enum Answer {
    /// Acknowledge it.
    Ack(Box<Ack>),
    /// Nothing: it was acknowledged, or the room will.
    Given,
}

impl From<Ack> for Answer {
    fn from(ack: Ack) -> Self {
        Self::Ack(Box::new(ack))
    }
}

impl Conversation {
    pub(super) fn new(
        app: Arc<App>,
        socket: SocketId,
        (identity, visitor): (Option<Identity>, Visitor),
        outbox: Outbox,
    ) -> Self {
        Self {
            app,
            socket,
            outbox,
            visitor,
            identity,
            place: None,
            troubled_at: None,
        }
    }

    pub(super) fn is_authenticated(&self) -> bool {
        self.identity.is_some()
    }

    /// Returns how what the client came with has ended; `None` while it has not.
    pub(super) fn ended(&self) -> Option<End> {
        let identity = self.identity.as_ref()?;
        let has_ended = self.app.authority.has_ended(identity);
        has_ended.then_some(if identity.signer.is_some() {
            End::Disowned
        } else {
            End::SignedOut
        })
    }

    /// Carries out one message and answers it.
    pub(super) async fn handle(&mut self, text: &str) {
        self.app.metrics.messages.inc();
        let (id, message) = match protocol::read(text) {
            Ok(read) => read,
            Err((id, error)) => return self.refuse(id.as_deref(), &error),
        };
        match self.dispatch(id.as_deref(), message).await {
            Ok(Answer::Ack(ack)) => self.acknowledge(id.as_deref(), &ack),
            Ok(Answer::Given) => {}
            Err(error) => self.refuse(id.as_deref(), &error),
        }
    }

    /// Answers a message that is not carried out, whatever it says.
    pub(super) fn refuse_unread(&self, text: &str, error: &ApiError) {
        self.app.metrics.messages.inc();
        let id = match protocol::read(text) {
            Ok((id, _)) | Err((id, _)) => id,
        };
        self.refuse(id.as_deref(), error);
    }

    pub(super) fn acknowledge(&self, re: Option<&str>, ack: &Ack) {
        if let Some(re) = re {
            self.outbox.send(protocol::ack(re, ack));
        }
    }

    pub(super) fn refuse(&self, re: Option<&str>, error: &ApiError) {
        self.app.metrics.refused(error.code);
        self.outbox.send(protocol::error(re, error));
    }

    /// Ends the conversation without a word: the socket is gone.
    pub(super) async fn close(&mut self) {
        self.depart(Departure::Lost).await;
    }

    async fn dispatch(
        &mut self,
        re: Option<&str>,
        message: ClientMessage,
    ) -> Result<Answer, ApiError> {
        match message {
            ClientMessage::Auth(auth) => self.authenticate(&auth).await,
            ClientMessage::Ping => Ok(Ack::default().into()),
            ClientMessage::Join(join) => self.join(&join.room_id, None).await,
            ClientMessage::Resume(resume) => {
                self.join(&resume.room_id, Some(resume.last_seq)).await
            }
            ClientMessage::Leave => {
                self.place()?;
                self.depart(Departure::Left).await;
                Ok(Ack::default().into())
            }
            ClientMessage::RtcSubscribe(subscribe) => self.subscribe(re, subscribe.layer),
            ClientMessage::RtcAnswer(answer) => self.answer(&answer),
            ClientMessage::RtcOffer(offer) => match &offer.session_id {
                Some(session) => self.renegotiate(re, session, &offer.sdp),
                None => self.publish(re, &offer.sdp).await,
            },
            ClientMessage::RtcCandidate(candidate) => self.candidate(&candidate),
            ClientMessage::RtcKeyframe(session) => self.keyframe(&session.session_id),
            ClientMessage::RtcReport(report) => self.take_report(&report),
            ClientMessage::RtcTrouble(said) => self.take_trouble(said.reason),
            ClientMessage::RtcRestart(session) => self.restart(re, &session.session_id),
            ClientMessage::RtcMute(mute) => {
                let socket = self.socket;
                let room = self.place()?.room.clone();
                room.ask(|reply| RoomMessage::Mute {
                    socket,
                    mute,
                    reply,
                })
                .await??;
                Ok(Ack::default().into())
            }
            ClientMessage::RtcClose(session) => self.close_session(&session.session_id).await,
            ClientMessage::ChatSend(said) => self.say(re, said),
            ClientMessage::ChatReport(report) => self.report(report).await,
            ClientMessage::Deed(deed) => self.keep_order(*deed).await,
            ClientMessage::Sell(change) => self.sell(change).await,
            ClientMessage::Poll(message) => self.poll(message).await,
            ClientMessage::Question(message) => self.question(message).await,
            ClientMessage::LikeToggle => self.like().await,
            ClientMessage::RoomStart => self.act(Input::Start(Reason::Owner)).await,
            ClientMessage::RoomEnd => self.act(Input::End(Reason::Owner)).await,
            ClientMessage::ReactionSend(reaction) => self.react(&reaction),
            ClientMessage::Stats => {
                let re = re.map(str::to_owned);
                let socket = self.socket;
                self.place()?.room.tell(RoomMessage::Stats { socket, re })?;
                Ok(Answer::Given)
            }
        }
    }

    /// Sends another token for the room, before the one that the client has can no longer be used to come back. Only
    /// who could enter with a token at this moment gets one.
    pub(super) async fn refresh_token(&mut self) {
        let (Some(identity), Some(place)) = (&self.identity, &mut self.place) else {
            return;
        };
        let ttl = self.app.join_ttl();
        if place.token_ends > Timestamp::now().plus(ttl / 2).seconds() {
            return;
        }
        let Ok(admitted) = self.app.admit(identity, place.id.as_str()).await else {
            return;
        };
        let authority = &self.app.authority;
        match authority.rejoin(identity, admitted.opening(), ttl) {
            Ok(Issued { token, expires_at }) if expires_at.seconds() > place.token_ends => {
                place.token_ends = expires_at.seconds();
                self.app.rooms.expect(&place.id, expires_at).await;
                let refresh = TokenRefresh { token, expires_at };
                self.outbox
                    .send(protocol::message("token.refresh", &refresh));
            }
            // What was granted ends with the token that the client has.
            Ok(_) => place.token_ends = u64::MAX,
            Err(error) => error.report(),
        }
    }

    /// Returns who it is.
    pub(super) fn identity(&self) -> Result<&Identity, ApiError> {
        self.identity
            .as_ref()
            .ok_or_else(|| ApiError::new(Code::Unauthenticated, "Send `auth` with a token first."))
    }

    /// Returns where it is.
    pub(super) fn place(&mut self) -> Result<&mut Place, ApiError> {
        self.identity()?;
        self.place
            .as_mut()
            .ok_or_else(|| ApiError::new(Code::NotJoined, "Join a room first."))
    }

    async fn authenticate(&mut self, auth: &Auth) -> Result<Answer, ApiError> {
        if self.place.is_some() {
            let text = "Leave the room before you become somebody else.";
            return Err(ApiError::new(Code::AlreadyJoined, text));
        }
        let identity = self.app.authority.verify(&auth.token).await?;
        let identity = self.app.profiles.complete(identity).await;
        let shown = Participant {
            id: identity.id.clone(),
            name: identity.name.clone(),
            role: identity.usual_role(),
        };
        self.identity = Some(identity.coming_from(self.visitor.client));
        Ok(Ack {
            identity: Some(shown),
            ..Ack::default()
        }
        .into())
    }

    async fn join(&mut self, room: &str, last_seq: Option<u64>) -> Result<Answer, ApiError> {
        let identity = self.identity()?;
        if self.place.is_some() {
            let text = "The socket is in a room; leave it first.";
            return Err(ApiError::new(Code::AlreadyJoined, text));
        }
        self.app.course.check_open()?;
        let admitted = self.app.admit(identity, room).await?;
        let seat = admitted.seat();
        let (record, kicked_at) = (admitted.record, admitted.kicked_at);
        let member = || NewMember {
            socket: self.socket,
            identity: identity.clone(),
            seat: seat.clone(),
            kicked_at,
            outbox: Some(self.outbox.clone()),
            origin: self.visitor.origin,
        };
        let (room, entered) = self.app.rooms.enter(&record.id, member, last_seq).await?;
        self.place = Some(Place {
            id: record.id,
            room,
            seat,
            sessions: Sessions::default(),
            token_ends: identity.expires_at.unwrap_or(u64::MAX),
        });
        Ok(Ack {
            seq: entered,
            ..Ack::default()
        }
        .into())
    }

    async fn depart(&mut self, why: Departure) {
        if let Some(place) = self.place.take() {
            place
                .room
                .tell_surely(RoomMessage::Leave {
                    socket: self.socket,
                    why,
                })
                .await;
        }
    }

    fn say(&mut self, re: Option<&str>, said: Said) -> Result<Answer, ApiError> {
        let socket = self.socket;
        let place = self.place()?;
        place.grants().check(Action::Chat)?;
        if said.kind == SaidKind::System {
            place.grants().check(Action::Moderate)?;
        }
        let said = Box::new(said.check()?);
        let re = re.map(str::to_owned);
        place.room.tell(RoomMessage::Chat { socket, re, said })?;
        Ok(Answer::Given)
    }

    /// Lets the client do what is for those who keep order; answered once it is stored.
    async fn keep_order(&mut self, deed: Deed) -> Result<Answer, ApiError> {
        let place = self.place()?;
        let (role, grants) = (place.seat.role(), place.grants());
        let id = place.id.clone();
        grants.check(Action::Moderate)?;
        role.check_deed(&deed)?;
        deed.check()?;
        let by = self.identity()?.author(role);
        let bans = matches!(&deed, Deed::Limit(limit) if limit.kind == LimitKind::Ban);
        let addresses = self.app.rooms.keep_order(&id, by, deed).await?;
        Ok(Ack {
            addresses: bans.then_some(addresses),
            ..Ack::default()
        }
        .into())
    }

    /// Tells the moderators of a message; answered once it is stored.
    async fn report(&mut self, report: ChatReport) -> Result<Answer, ApiError> {
        let place = self.place()?;
        place.grants().check(Action::Chat)?;
        let (id, role) = (place.id.clone(), place.seat.role());
        let by = self.identity()?.author(role);
        let report = new_report(by, report.message_id, report.reason)?;
        self.app.rooms.report(&id, report).await?;
        Ok(Ack::default().into())
    }

    fn react(&mut self, reaction: &ReactionSend) -> Result<Answer, ApiError> {
        let socket = self.socket;
        let place = self.place()?;
        place.grants().check(Action::React)?;
        let emoji = protocol::reaction(&reaction.emoji)?;
        place.room.tell(RoomMessage::React { socket, emoji })?;
        Ok(Ack::default().into())
    }
}
