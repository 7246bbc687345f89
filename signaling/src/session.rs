//! One peer's negotiation, without input or output: session descriptions in, session descriptions and
//! commands to the forwarding unit out. The WebSocket and, later, WHIP and WHEP are only envelopes around it.

use std::sync::Arc;

use klieg_sfu::{Claim, Command, IceCredentials, Kind, Media, PeerId, PeerSpec, Remote, RoomKey};

pub use crate::sdp::{MediaConfig, NegotiationError};

use crate::sdp::offer::{self, Offered};
use crate::sdp::{Agreement, Description, Local, Origin, RemoteTransport};

/// The negotiation of one peer connection: what both ends said so far.
#[derive(Debug)]
pub struct Session {
    peer: PeerId,
    /// Its version is that of the last description of ours.
    origin: Origin,
    /// Changes when ICE restarts.
    local: IceCredentials,
    side: Side,
}

/// What the peer is here for.
#[derive(Debug)]
enum Side {
    /// It offers. Changes with each of its offers.
    Publisher(Agreement),
    /// It is offered.
    Viewer(Viewer),
}

/// A viewer's part of the negotiation.
#[derive(Debug)]
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
        let agreement = Agreement::new(&Description::parse(offer)?)?;
        let media = Media::Publish(agreement.tracks());
        let set_remote = set_remote(peer, agreement.remote(), media);
        let session = Self::new(peer, Side::Publisher(agreement.clone()));
        let sdp = agreement.answer(&session.local(config));
        let commands = vec![session.add_peer(room), set_remote];
        Ok((session, Negotiated { sdp, commands }))
    }

    /// Starts the session of a viewer: offers it the room's media.
    pub fn view(config: &MediaConfig, peer: PeerId, room: RoomKey) -> (Self, Negotiated) {
        let viewer = Viewer {
            waiting: 1,
            offered: Offered::ALL,
            remote: None,
        };
        let session = Self::new(peer, Side::Viewer(viewer));
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
        let Side::Viewer(viewer) = &mut self.side else {
            return Err(NegotiationError::WrongSide(
                "a publishing session offers, it is answered",
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

    /// Answers a later offer of a publisher; a new user name fragment in it restarts ICE.
    ///
    /// # Errors
    /// [`NegotiationError`] when the offer contradicts what was agreed on; the session is as before.
    pub fn handle_offer(
        &mut self,
        config: &MediaConfig,
        offer: &str,
    ) -> Result<Negotiated, NegotiationError> {
        let Side::Publisher(before) = &self.side else {
            return Err(NegotiationError::WrongSide(
                "a viewing session answers, it is offered",
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
        self.side = Side::Publisher(agreement);
        Ok(Negotiated { sdp, commands })
    }

    /// Offers a viewer the same media again with new ICE credentials.
    ///
    /// # Errors
    /// [`NegotiationError::WrongSide`] for a publisher: it restarts ICE by an offer of its own.
    pub fn restart(&mut self, config: &MediaConfig) -> Result<Negotiated, NegotiationError> {
        let Side::Viewer(viewer) = &mut self.side else {
            return Err(NegotiationError::WrongSide(
                "a publishing session restarts by its offer",
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

    /// Returns whose session it is.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// Returns whether it is a publisher's and media of a kind was negotiated and is not paused.
    pub fn sends(&self, kind: Kind) -> bool {
        match &self.side {
            Side::Publisher(agreement) => agreement.sends(kind),
            Side::Viewer(_) => false,
        }
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
    } = transport.clone();
    Command::SetRemote(
        peer,
        Arc::new(Remote {
            ice,
            fingerprints,
            dtls_role,
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
