//! One peer's negotiation, without input or output: session descriptions in, session descriptions and
//! commands to the forwarding unit out. The WebSocket, WHIP and WHEP are only envelopes around it.

use std::sync::Arc;

use klieg_sfu::{
    Claim, Command, Format, IceCredentials, Kind, Media, PeerId, PeerSpec, Remote, RoomKey,
};

pub use crate::sdp::{MediaConfig, NegotiationError};

use crate::sdp::offer::{self, Offered};
use crate::sdp::{Agreement, Description, Direction, Fragment, Local, Origin, RemoteTransport};

/// The negotiation of one peer connection: what both ends said so far.
#[derive(Clone, Debug)]
pub struct Session {
    peer: PeerId,
    /// Its version is that of the last description of ours.
    origin: Origin,
    /// Changes when ICE restarts.
    local: IceCredentials,
    side: Side,
}

/// Which end offers.
#[derive(Clone, Debug)]
enum Side {
    /// The peer: a publisher, or a viewer that comes by WHEP. Changes with each of its offers.
    Offers(Agreement),
    /// The server: a viewer on the WebSocket.
    Answers(Viewer),
}

/// A viewer's part of the negotiation.
#[derive(Clone, Debug)]
struct Viewer {
    /// Offers without an answer so far. A viewer that gets two at once may answer one or both.
    waiting: u32,
    /// What is offered; shrinks when an answer refuses an m-line.
    offered: Offered,
    /// `None` until the first answer; changes when ICE restarts.
    remote: Option<RemoteTransport>,
}

/// A description for the peer and the commands that go with it.
#[derive(Debug)]
pub struct Negotiated {
    /// The server's offer or answer.
    pub sdp: String,
    /// To be carried out before the description is sent.
    pub commands: Vec<Command>,
}

impl Session {
    /// Starts the session of a publisher: answers its first offer.
    ///
    /// # Errors
    /// [`NegotiationError`] when the offer cannot be used; nothing has happened then.
    pub fn publish(
        config: &MediaConfig,
        peer: PeerId,
        room: RoomKey,
        offer: &str,
    ) -> Result<(Self, Negotiated), NegotiationError> {
        Self::answer(config, peer, room, offer, Direction::Receive)
    }

    /// Starts the session of a viewer that offers: answers its first offer with the room's media, whether
    /// somebody publishes yet or not.
    ///
    /// # Errors
    /// [`NegotiationError`] when the offer cannot be used; nothing has happened then.
    pub fn watch(
        config: &MediaConfig,
        peer: PeerId,
        room: RoomKey,
        offer: &str,
    ) -> Result<(Self, Negotiated), NegotiationError> {
        Self::answer(config, peer, room, offer, Direction::Send)
    }

    /// Starts the session of a viewer: offers it the room's media.
    pub fn view(config: &MediaConfig, peer: PeerId, room: RoomKey) -> (Self, Negotiated) {
        let viewer = Viewer {
            waiting: 1,
            offered: Offered::ALL,
            remote: None,
        };
        let session = Self::new(peer, Side::Answers(viewer));
        let sdp = offer::write(&session.local(config), Offered::ALL);
        let commands = vec![session.add_peer(room)];
        (session, Negotiated { sdp, commands })
    }

    /// Takes a viewer's answer: completes the peer the first time, and its ICE restart later.
    ///
    /// # Errors
    /// [`NegotiationError`] when the answer does not fit; the session is as before, and waits on.
    pub fn handle_answer(&mut self, answer: &str) -> Result<Vec<Command>, NegotiationError> {
        let peer = self.peer;
        let Side::Answers(viewer) = &mut self.side else {
            return Err(NegotiationError::WrongSide(
                "the peer of this session offers, it is answered",
            ));
        };
        if viewer.waiting == 0 {
            return Err(NegotiationError::NoOffer);
        }
        let answer = offer::read_answer(&Description::parse(answer)?, viewer.offered)?;
        let commands = match &viewer.remote {
            None => vec![set_remote(peer, &answer.remote, Media::View(answer.tracks))],
            Some(before) => {
                answer.remote.check_continues(before)?;
                restart_ice(peer, &self.local, before, &answer.remote)
            }
        };
        viewer.waiting -= 1;
        viewer.offered = answer.offered;
        viewer.remote = Some(answer.remote);
        Ok(commands)
    }

    /// Answers a later offer; a new user name fragment in it restarts ICE.
    ///
    /// # Errors
    /// [`NegotiationError`] when the offer contradicts what was agreed on; the session is as before.
    pub fn handle_offer(
        &mut self,
        config: &MediaConfig,
        offer: &str,
    ) -> Result<Negotiated, NegotiationError> {
        let Side::Offers(before) = &self.side else {
            return Err(NegotiationError::WrongSide(
                "the peer of this session answers, it is offered",
            ));
        };
        let agreement = before.renegotiate(&Description::parse(offer)?)?;
        let restarts = before.remote().ice != agreement.remote().ice;
        let local = if restarts {
            new_credentials()
        } else {
            self.local.clone()
        };
        let commands = restart_ice(self.peer, &local, before.remote(), agreement.remote());
        self.local = local;
        self.origin.version += 1;
        let sdp = agreement.answer(&self.local(config));
        self.side = Side::Offers(agreement);
        Ok(Negotiated { sdp, commands })
    }

    /// Takes a fragment: candidates, which need no answer, or new ICE credentials, which restart ICE and
    /// are answered by a fragment of the server's (RFC 9725, section 4.3).
    ///
    /// # Errors
    /// [`NegotiationError`] when it is no fragment; the session is as before.
    pub fn handle_fragment(
        &mut self,
        config: &MediaConfig,
        fragment: &str,
    ) -> Result<Option<Negotiated>, NegotiationError> {
        let Side::Offers(agreement) = &mut self.side else {
            return Err(NegotiationError::WrongSide(
                "the peer of this session answers, it is offered",
            ));
        };
        let restarted = Fragment::parse(fragment)?
            .ice
            .filter(|ice| *ice != agreement.remote().ice);
        let Some(remote) = restarted else {
            return Ok(None);
        };
        agreement.restart(remote.clone());
        self.local = new_credentials();
        let local = Local {
            config,
            origin: self.origin,
            ice: &self.local,
        };
        let sdp = agreement.fragment(&local);
        let commands = vec![Command::RestartIce {
            peer: self.peer,
            local: self.local.clone(),
            remote: Some(remote),
        }];
        Ok(Some(Negotiated { sdp, commands }))
    }

    /// Offers a viewer the same media again with new ICE credentials.
    ///
    /// # Errors
    /// [`NegotiationError::WrongSide`] for a peer that offers: it restarts ICE by an offer of its own.
    pub fn restart(&mut self, config: &MediaConfig) -> Result<Negotiated, NegotiationError> {
        let Side::Answers(viewer) = &mut self.side else {
            return Err(NegotiationError::WrongSide(
                "the peer of this session restarts by its offer",
            ));
        };
        viewer.waiting = viewer.waiting.saturating_add(1);
        let offered = viewer.offered;
        self.local = new_credentials();
        self.origin.version += 1;
        let sdp = offer::write(&self.local(config), offered);
        let local = self.local.clone();
        let commands = vec![Command::RestartIce {
            peer: self.peer,
            local,
            remote: None,
        }];
        Ok(Negotiated { sdp, commands })
    }

    /// Says no where only a part of what a peer offered was taken.
    ///
    /// # Errors
    /// [`NegotiationError::NoCommonCodec`] or [`NegotiationError::Unusable`], for the first m-line that was refused.
    pub fn check_whole(&self) -> Result<(), NegotiationError> {
        match &self.side {
            Side::Offers(agreement) => agreement.check_whole(),
            Side::Answers(_) => Ok(()),
        }
    }

    /// Returns whose session it is.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// Returns whether it is a publisher's and media of a kind was negotiated and is not paused.
    pub fn sends(&self, kind: Kind) -> bool {
        match &self.side {
            Side::Offers(agreement) => {
                agreement.direction() == Direction::Receive && agreement.flows(kind)
            }
            Side::Answers(_) => false,
        }
    }

    /// Returns the RIDs of a publisher's video, one for each layer, none where it is no simulcast; `None`
    /// without video.
    pub fn rids(&self) -> Option<&[String]> {
        match &self.side {
            Side::Offers(agreement) => agreement.rids(),
            Side::Answers(_) => None,
        }
    }

    /// Returns the place of the video's m-line among those of the peer's offer, from 0.
    pub fn video_index(&self) -> Option<usize> {
        match &self.side {
            Side::Offers(agreement) => agreement.video_index(),
            Side::Answers(_) => None,
        }
    }

    /// Names the server's end of ICE; it changes when ICE restarts (the entity tag of RFC 9725, section 4.3.1).
    pub fn ice_generation(&self) -> &str {
        &self.local.ufrag
    }

    /// Returns whether the peer can play a format, as far as it has said what it plays.
    pub fn plays(&self, format: &Format) -> bool {
        match &self.side {
            Side::Offers(agreement) => agreement.plays(format),
            Side::Answers(_) => true,
        }
    }

    fn answer(
        config: &MediaConfig,
        peer: PeerId,
        room: RoomKey,
        offer: &str,
        direction: Direction,
    ) -> Result<(Self, Negotiated), NegotiationError> {
        let agreement = Agreement::new(&Description::parse(offer)?, direction)?;
        let set_remote = set_remote(peer, agreement.remote(), agreement.media());
        let session = Self::new(peer, Side::Offers(agreement.clone()));
        let sdp = agreement.answer(&session.local(config));
        let commands = vec![session.add_peer(room), set_remote];
        Ok((session, Negotiated { sdp, commands }))
    }

    fn new(peer: PeerId, side: Side) -> Self {
        let origin = Origin {
            session_id: rand::random::<u64>() >> 1,
            version: 1,
        };
        Self {
            peer,
            origin,
            local: new_credentials(),
            side,
        }
    }

    fn local<'a>(&'a self, config: &'a MediaConfig) -> Local<'a> {
        Local {
            config,
            origin: self.origin,
            ice: &self.local,
        }
    }

    fn add_peer(&self, room: RoomKey) -> Command {
        Command::AddPeer(Arc::new(PeerSpec {
            peer: self.peer,
            room,
            local: self.local.clone(),
            claim: Claim::default(),
        }))
    }
}

fn set_remote(peer: PeerId, transport: &RemoteTransport, media: Media) -> Command {
    let RemoteTransport {
        ice,
        fingerprints,
        dtls_role,
        is_prompt,
    } = transport.clone();
    Command::SetRemote(
        peer,
        Arc::new(Remote {
            ice,
            fingerprints,
            dtls_role,
            is_prompt,
            media,
        }),
    )
}

/// Returns the command for a peer whose ICE credentials changed, if they did (RFC 8839, section 4.4.1.1.1).
fn restart_ice(
    peer: PeerId,
    local: &IceCredentials,
    before: &RemoteTransport,
    now: &RemoteTransport,
) -> Vec<Command> {
    if before.ice == now.ice {
        return Vec::new();
    }
    vec![Command::RestartIce {
        peer,
        local: local.clone(),
        remote: Some(now.ice.clone()),
    }]
}

/// Makes ICE credentials: 72 random bits name the peer on the shared port, 144 guard it (RFC 8445, 5.3).
fn new_credentials() -> IceCredentials {
    IceCredentials {
        ufrag: ice_chars::<12>(),
        pwd: ice_chars::<24>(),
    }
}

fn ice_chars<const N: usize>() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let random: [u8; N] = rand::random();
    random
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte & 63)]))
        .collect()
}
