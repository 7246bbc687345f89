//! What `rtc.*` messages do: negotiation here, in the socket's task; the room knows only who has a session.

use std::time::{Duration, Instant};

use klieg_sfu::Command;

use crate::analytics::Trouble;
use crate::auth::Action;
use crate::error::{ApiError, Code};
use crate::room::{Departure, RoomMessage, SessionRef, VideoLayers};
use crate::sdp::NegotiationError;
use crate::session::{Negotiated, Session};

use super::handlers::{Answer, Conversation};
use super::protocol::{self, Ack, RtcAnswer, RtcCandidate, RtcReport, SessionSdp, WantedLayer};

/// The sessions of one socket, at most one of each kind.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    publishing: Option<Open>,
    viewing: Option<Open>,
}

/// A session that is open, as far as the socket knows.
#[derive(Debug)]
struct Open {
    session: Session,
    known_as: SessionRef,
    /// When the client said last what it received; `None` before the first time.
    reported_at: Option<Instant>,
}

impl Open {
    fn new(session: Session, known_as: SessionRef) -> Self {
        Self {
            session,
            known_as,
            reported_at: None,
        }
    }
}

impl Sessions {
    /// Returns the session of this name, unless the room has closed it.
    fn find(&mut self, id: &str) -> Result<&mut Open, ApiError> {
        [&mut self.publishing, &mut self.viewing]
            .into_iter()
            .flatten()
            .find(|open| &*open.known_as.id == id && !open.known_as.is_closed())
            .ok_or_else(|| ApiError::new(Code::NotFound, "There is no such session."))
    }

    fn viewing(&self) -> Option<&SessionRef> {
        self.viewing
            .as_ref()
            .map(|open| &open.known_as)
            .filter(|session| !session.is_closed())
    }

    fn forget(&mut self, id: &str) {
        for slot in [&mut self.publishing, &mut self.viewing] {
            slot.take_if(|open| &*open.known_as.id == id);
        }
    }
}

impl Conversation {
    pub(super) fn subscribe(
        &mut self,
        re: Option<&str>,
        layer: WantedLayer,
    ) -> Result<Answer, ApiError> {
        let (socket, app) = (self.socket, self.app.clone());
        let place = self.place()?;
        place.grants().check(Action::Watch)?;
        place.room.summary().layers.check(&layer)?;
        if let Some(session) = place.sessions.viewing() {
            let session_id = Some(session.id.clone());
            place
                .room
                .tell(RoomMessage::SelectLayer { socket, layer })?;
            return Ok(Ack {
                session_id,
                ..Ack::default()
            }
            .into());
        }
        let connecting = app.media.take_place()?;
        let known_as = place.room.new_session(&app.media, connecting);
        let told = place.room.tell(RoomMessage::OpenViewer {
            socket,
            session: known_as.clone(),
            layer,
        });
        if let Err(error) = told {
            app.media.remove(known_as.peer);
            return Err(error);
        }
        let (session, negotiated) =
            Session::view(&app.media.config(), known_as.peer, place.room.key);
        self.carry_out(&known_as, negotiated.commands)?;
        let place = self.place()?;
        place.sessions.viewing = Some(Open::new(session, known_as.clone()));
        Ok(self.describe(re, "rtc.offer", &known_as, &negotiated.sdp))
    }

    pub(super) async fn publish(
        &mut self,
        re: Option<&str>,
        offer: &str,
    ) -> Result<Answer, ApiError> {
        let (socket, app) = (self.socket, self.app.clone());
        let place = self.place()?;
        place.grants().check(Action::Publish)?;
        let room = place.room.clone();
        let known_as = room.new_session(&app.media, app.media.take_place()?);
        let negotiated =
            Session::publish(&app.media.config(), known_as.peer, room.key, offer).map_err(bad_sdp);
        let opened = match negotiated {
            Ok((session, negotiated)) => room
                .ask(|reply| RoomMessage::OpenPublisher {
                    socket,
                    session: known_as.clone(),
                    layers: VideoLayers::of(&session),
                    reply,
                })
                .await
                .flatten()
                .map(|()| (session, negotiated)),
            Err(error) => Err(error),
        };
        let (session, negotiated) = opened.inspect_err(|_| app.media.remove(known_as.peer))?;
        self.carry_out(&known_as, negotiated.commands)?;
        let publishing = Open::new(session, known_as.clone());
        self.place()?.sessions.publishing = Some(publishing);
        Ok(self.describe(re, "rtc.answer", &known_as, &negotiated.sdp))
    }

    pub(super) fn answer(&mut self, answer: &RtcAnswer) -> Result<Answer, ApiError> {
        let open = self.place()?.sessions.find(&answer.session_id)?;
        let commands = open.session.handle_answer(&answer.sdp).map_err(bad_sdp)?;
        let known_as = open.known_as.clone();
        self.carry_out(&known_as, commands)?;
        Ok(Ack::default().into())
    }

    pub(super) fn renegotiate(
        &mut self,
        re: Option<&str>,
        id: &str,
        offer: &str,
    ) -> Result<Answer, ApiError> {
        let app = self.app.clone();
        let open = self.place()?.sessions.find(id)?;
        let negotiated = open
            .session
            .handle_offer(&app.media.config(), offer)
            .map_err(bad_sdp)?;
        let known_as = open.known_as.clone();
        self.carry_out(&known_as, negotiated.commands)?;
        Ok(self.describe(re, "rtc.answer", &known_as, &negotiated.sdp))
    }

    pub(super) fn keyframe(&mut self, id: &str) -> Result<Answer, ApiError> {
        let known_as = self.place()?.sessions.find(id)?.known_as.clone();
        let command = Command::RequestKeyframe(known_as.peer);
        self.carry_out(&known_as, vec![command])?;
        Ok(Ack::default().into())
    }

    /// Takes what a client says of what it received.
    pub(super) fn take_report(&mut self, said: &RtcReport) -> Result<Answer, ApiError> {
        let place = self.place()?;
        let open = place.sessions.find(&said.session_id)?;
        pace(&mut open.reported_at)?;
        let (peer, report) = (open.known_as.peer, said.report());
        place.room.tell(RoomMessage::Report { peer, report })?;
        Ok(Ack::default().into())
    }

    /// Takes what a client says of why it cannot watch.
    pub(super) fn take_trouble(&mut self, trouble: Trouble) -> Result<Answer, ApiError> {
        let socket = self.socket;
        let room = self.place()?.room.clone();
        pace(&mut self.troubled_at)?;
        room.tell(RoomMessage::Trouble { socket, trouble })?;
        Ok(Ack::default().into())
    }

    pub(super) fn restart(&mut self, re: Option<&str>, id: &str) -> Result<Answer, ApiError> {
        let app = self.app.clone();
        let open = self.place()?.sessions.find(id)?;
        let Negotiated { sdp, commands } =
            open.session.restart(&app.media.config()).map_err(bad_sdp)?;
        let known_as = open.known_as.clone();
        self.carry_out(&known_as, commands)?;
        Ok(self.describe(re, "rtc.offer", &known_as, &sdp))
    }

    pub(super) fn candidate(&mut self, candidate: &RtcCandidate) -> Result<Answer, ApiError> {
        self.place()?.sessions.find(&candidate.session_id)?;
        if !candidate.candidate.is_well_formed() {
            return Err(ApiError::new(Code::BadMessage, "This is no ICE candidate."));
        }
        Ok(Ack::default().into())
    }

    pub(super) async fn close_session(&mut self, id: &str) -> Result<Answer, ApiError> {
        let socket = self.socket;
        let place = self.place()?;
        let peer = place.sessions.find(id)?.known_as.peer;
        place.sessions.forget(id);
        place
            .room
            .tell_surely(RoomMessage::CloseSession {
                socket,
                peer,
                why: Departure::Left,
            })
            .await;
        Ok(Ack::default().into())
    }

    /// Acknowledges first, so that the client knows the session when its description comes.
    fn describe(&self, re: Option<&str>, t: &str, session: &SessionRef, sdp: &str) -> Answer {
        self.acknowledge(
            re,
            &Ack {
                session_id: Some(session.id.clone()),
                ..Ack::default()
            },
        );
        let description = SessionSdp {
            session_id: &session.id,
            sdp,
        };
        self.outbox.send(protocol::message(t, &description));
        Answer::Given
    }

    /// Has commands carried out. A session that the forwarding unit has no room for is closed: half of a
    /// negotiation is of no use to either end.
    fn carry_out(&mut self, session: &SessionRef, commands: Vec<Command>) -> Result<(), ApiError> {
        let Err(error) = self.app.media.carry_out_for(session, commands) else {
            return Ok(());
        };
        let (socket, peer) = (self.socket, session.peer);
        self.app.media.remove(peer);
        let place = self.place()?;
        place.sessions.forget(&session.id);
        // The room must hear of it: no event will come of a peer that was removed.
        place.room.tell_later(RoomMessage::CloseSession {
            socket,
            peer,
            why: Departure::Lost,
        });
        Err(error)
    }
}

/// Notes that something is said now, unless it was said so lately that it is refused.
fn pace(last: &mut Option<Instant>) -> Result<(), ApiError> {
    let since = last.map(|at| at.elapsed());
    if let Some(wait) = since.and_then(|since| REPORT_EVERY.checked_sub(since)) {
        let text = "Slow down: a report every five seconds.";
        return Err(ApiError::new(Code::RateLimited, text).retry_after(wait));
    }
    *last = Some(Instant::now());
    Ok(())
}

/// Clients need not say more often what they received, or why they do not.
const REPORT_EVERY: Duration = Duration::from_secs(5);

fn bad_sdp(error: NegotiationError) -> ApiError {
    let code = match error {
        NegotiationError::NoCommonCodec => Code::NoCommonCodec,
        NegotiationError::TooLarge(_)
        | NegotiationError::Limit { .. }
        | NegotiationError::Line { .. }
        | NegotiationError::Grammar(_)
        | NegotiationError::Unusable { .. }
        | NegotiationError::NoOffer
        | NegotiationError::WrongSide(_) => Code::BadSdp,
    };
    ApiError::new(code, error.to_string())
}
