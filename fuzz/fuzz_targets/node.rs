//! A whole shard: datagrams, commands and time in any order.
//!
//! Besides not to panic it must keep two promises, whatever comes: an address that passed no connectivity
//! check gets no answer, and time that is due is not due for ever.

#![no_main]

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use klieg_sfu_core::framed::Backlog;
use klieg_sfu_core::node::{Belongs, Node, NodeConfig, PeerHandshake, PeerIndex};
use klieg_sfu_core::transport::Identity;
use klieg_sfu_core::{
    Claim, Codec, Command, ConnectionId, DtlsRole, ExtensionIds, Feedback, Fingerprint, Format, IceCredentials,
    Kind, LayerChoice, Media, Path, PayloadFormat, PeerId, PeerSpec, ReceiveTrack, Remote, RoomKey, SendTrack,
    ShardIndex, SsrcPair,
};
use libfuzzer_sys::fuzz_target;
use rtc_crypto::RTCCryptoProvider;
use rtc_crypto::providers::AwsLcRsProvider;
use stun::attributes::{ATTR_ICE_CONTROLLED, ATTR_USE_CANDIDATE, ATTR_USERNAME, RawAttribute};
use stun::fingerprint::FINGERPRINT;
use stun::integrity::MessageIntegrity;
use stun::message::{BINDING_REQUEST, Message, Setter, TransactionId};
use stun::textattrs::Username;

/// What may happen next. Peers and addresses are few, so that steps meet.
#[derive(Arbitrary, Debug)]
enum Step {
    /// Signaling lets a peer in.
    Announce { peer: Peer },
    /// Its description came.
    Describe { peer: Peer, publishes: bool, passive: bool },
    /// It restarts ICE.
    Restart { peer: Peer, answered: bool },
    /// A viewer chooses a layer.
    Select { peer: Peer, layer: Option<u8> },
    /// Somebody sees nothing new.
    ShowAgain { peer: Peer },
    /// It is shown out.
    Remove { peer: Peer },
    /// A connectivity check that is right.
    Check { peer: Peer, from: Address, nominates: bool, controlled: bool },
    /// Any bytes.
    Datagram { from: Address, bytes: Vec<u8> },
    /// Bytes that look like a DTLS record.
    Record { from: Address, kind: u8, body: Vec<u8> },
    /// A connection whose first frame is a check that is right.
    Connect { peer: Peer, from: Address, nominates: bool },
    /// Any bytes in a frame of one.
    Frame { connection: u8, bytes: Vec<u8> },
    /// It takes nothing, or all again.
    Backlog { connection: u8, level: u8 },
    /// It ends.
    Close { connection: u8 },
    /// Time passes.
    Wait { ms: u16 },
}

/// One of four.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Peer(u8);

impl Peer {
    fn id(self) -> PeerId {
        PeerId(u64::from(self.0 % 4))
    }

    fn credentials(self, side: &str, generation: u32) -> IceCredentials {
        let ufrag = format!("{side}{}x{generation}", self.0 % 4);
        IceCredentials { pwd: format!("{ufrag}-a-password-of-some-length"), ufrag }
    }
}

/// One of four.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Address(u8);

impl Address {
    fn path(self) -> Path {
        let remote = SocketAddr::from((Ipv4Addr::new(192, 0, 2, self.0 % 4), 5000));
        Path { local: None, remote, connection: None }
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let mut world = World::new();
    for step in steps.into_iter().take(64) {
        world.handle(step);
        world.drain();
    }
    // Everybody who is left fails to show consent and is gone within the time of the protocols.
    for _ in 0..40 {
        world.now += Duration::from_secs(5);
        world.drain();
    }
    assert_eq!(world.node.population().0, 0, "a silent peer stayed");
});

struct World {
    node: Node,
    now: Instant,
    /// How often each peer restarted ICE.
    generations: [u32; 4],
    /// Where checks came from that may have been right.
    checked: HashSet<SocketAddr>,
    /// Connections that were opened; some are closed by now, or their peer is gone.
    connections: Vec<(PeerIndex, Path)>,
}

impl World {
    fn new() -> Self {
        let config =
            NodeConfig { shard: ShardIndex(0), shards: 1, identity: Arc::clone(&IDENTITY) };
        Self {
            node: Node::new(config),
            now: Instant::now(),
            generations: [0; 4],
            checked: HashSet::new(),
            connections: Vec::new(),
        }
    }

    fn handle(&mut self, step: Step) {
        match step {
            Step::Announce { peer } => {
                let local = peer.credentials("local", self.generation(peer));
                let spec =
                    PeerSpec { peer: peer.id(), room: RoomKey(1), local, claim: Claim::default() };
                self.command(Command::AddPeer(Arc::new(spec)));
            }
            Step::Describe { peer, publishes, passive } => {
                let remote = Remote {
                    ice: peer.credentials("remote", 0),
                    fingerprints: vec![Fingerprint([1; 32])],
                    dtls_role: if passive { DtlsRole::Client } else { DtlsRole::Server },
                    is_prompt: publishes != passive,
                    media: if publishes { Media::Publish(receive()) } else { Media::View(send()) },
                };
                self.command(Command::SetRemote(peer.id(), Arc::new(remote)));
            }
            Step::Restart { peer, answered } => {
                self.generations[usize::from(peer.0 % 4)] += 1;
                let generation = self.generation(peer);
                let local = peer.credentials("local", generation);
                let remote = answered.then(|| peer.credentials("remote", generation));
                self.command(Command::RestartIce { peer: peer.id(), local, remote });
            }
            Step::Select { peer, layer } => {
                let choice = layer.map_or(LayerChoice::Auto, LayerChoice::Layer);
                self.command(Command::SelectLayer(peer.id(), choice));
            }
            Step::ShowAgain { peer } => self.command(Command::RequestKeyframe(peer.id())),
            Step::Remove { peer } => self.command(Command::RemovePeer(peer.id())),
            Step::Check { peer, from, nominates, controlled } => {
                let path = from.path();
                self.checked.insert(path.remote);
                let local = peer.credentials("local", self.generation(peer));
                let check = check(&local, nominates, controlled);
                self.node.handle_datagram(self.now, path, &check);
            }
            Step::Datagram { from, bytes } => {
                self.node.handle_datagram(self.now, from.path(), &bytes);
            }
            Step::Record { from, kind, body } => {
                let mut record = vec![20 + kind % 4, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0];
                record.extend_from_slice(&u16::try_from(body.len()).unwrap_or(0).to_be_bytes());
                record.extend_from_slice(&body);
                self.node.handle_datagram(self.now, from.path(), &record);
            }
            Step::Connect { peer, from, nominates } => {
                let local = peer.credentials("local", self.generation(peer));
                let first = check(&local, nominates, false);
                self.connect(from.path(), &first);
            }
            Step::Frame { connection, bytes } => {
                if let Some((index, path)) = self.connection(connection) {
                    self.node.handle_frame(self.now, index, path, &bytes);
                }
            }
            Step::Backlog { connection, level } => {
                let backlog = [Backlog::Low, Backlog::High, Backlog::Full][usize::from(level % 3)];
                if let Some((index, path)) = self.connection(connection) {
                    let told = (path.connection.expect("it has a number"), backlog);
                    self.node.handle_backlog(self.now, index, told);
                }
            }
            Step::Close { connection } => {
                if let Some((index, path)) = self.connection(connection) {
                    self.node.handle_closed(self.now, index, path);
                }
            }
            Step::Wait { ms } => self.now += Duration::from_millis(ms.into()),
        }
    }

    /// Opens a connection whose first frame is this.
    fn connect(&mut self, path: Path, first: &[u8]) {
        if let Ok(Belongs::Here(index)) = self.node.place_connection(self.now, first) {
            let number = u32::try_from(self.connections.len()).unwrap_or(0) + 1;
            let connection = NonZeroU32::new(number).map(ConnectionId);
            let path = Path { connection, ..path };
            self.checked.insert(path.remote);
            self.connections.push((index, path));
            self.node.handle_frame(self.now, index, path, first);
        }
    }

    fn connection(&self, place: u8) -> Option<(PeerIndex, Path)> {
        let place = usize::from(place).checked_rem(self.connections.len())?;
        self.connections.get(place).copied()
    }

    fn command(&mut self, command: Command) {
        self.node.handle_command(self.now, command);
    }

    fn generation(&self, peer: Peer) -> u32 {
        self.generations[usize::from(peer.0 % 4)]
    }

    /// Takes everything out, as a shard's thread does after each batch.
    fn drain(&mut self) {
        for round in 0.. {
            assert!(round < 1000, "time that is due stays due");
            if self.node.poll_timeout().is_none_or(|due| due > self.now) {
                break;
            }
            self.node.handle_timeout(self.now);
            self.take_out();
        }
        self.take_out();
    }

    fn take_out(&mut self) {
        while let Some(PeerHandshake { peer, work }) = self.node.poll_handshake() {
            let work = work.run(self.now);
            self.node.handle_handshake(self.now, PeerHandshake { peer, work });
        }
        while self.node.poll_message().is_some() {}
        let mut out = Vec::new();
        while let Some(transmit) = self.node.poll_transmit(self.now, &mut out) {
            assert!(self.checked.contains(&transmit.path.remote), "an answer to a stranger");
            assert!(!out.is_empty(), "an empty datagram");
        }
        while self.node.poll_event().is_some() {}
    }
}

static IDENTITY: LazyLock<Arc<Identity>> =
    LazyLock::new(|| Arc::new(Identity::generate().expect("a certificate")));

fn check(local: &IceCredentials, nominates: bool, controlled: bool) -> Vec<u8> {
    let attribute = |typ, value| RawAttribute { typ, length: 0, value };
    let crypto = AwsLcRsProvider::new();
    let integrity = MessageIntegrity::new_short_term_integrity_with_provider(
        local.pwd.clone(),
        crypto.crypto(),
    );
    let mut setters: Vec<Box<dyn Setter>> = vec![
        Box::new(BINDING_REQUEST),
        Box::new(TransactionId([9; 12])),
        Box::new(Username::new(ATTR_USERNAME, format!("{}:remote", local.ufrag))),
    ];
    if nominates {
        setters.push(Box::new(attribute(ATTR_USE_CANDIDATE, Vec::new())));
    }
    if controlled {
        setters.push(Box::new(attribute(ATTR_ICE_CONTROLLED, vec![0; 8])));
    }
    setters.push(Box::new(integrity));
    setters.push(Box::new(FINGERPRINT));
    let mut message = Message::new();
    message.build(&setters).expect("a message in order");
    message.raw
}

fn formats(codec: Codec, payload_type: u8) -> Vec<PayloadFormat> {
    let format = Format { codec, profile: 0, packetization_mode: 0 };
    let feedback = Feedback { nack: true, pli: true, fir: true, transport_cc: true, remb: true };
    let rtx_payload_type = Some(payload_type + 1);
    let red_payload_type = (codec == Codec::Opus).then_some(63);
    vec![PayloadFormat { payload_type, rtx_payload_type, red_payload_type, format, feedback }]
}

fn receive() -> Vec<ReceiveTrack> {
    let track = |kind, mid: &str, codec, payload_type| ReceiveTrack {
        kind,
        mid: mid.to_owned(),
        formats: formats(codec, payload_type),
        extensions: ExtensionIds { transport_cc: Some(1), mid: Some(2), ..Default::default() },
        ssrcs: Vec::new(),
        rids: Vec::new(),
    };
    vec![track(Kind::Audio, "0", Codec::Opus, 111), track(Kind::Video, "1", Codec::Vp8, 96)]
}

fn send() -> Vec<SendTrack> {
    let track = |kind, codec, payload_type, media| SendTrack {
        kind,
        formats: formats(codec, payload_type),
        extensions: ExtensionIds { transport_cc: Some(3), ..Default::default() },
        ssrc: SsrcPair { media, rtx: Some(media + 1) },
        cname: "room".to_owned(),
        stalls_at_once: false,
    };
    vec![track(Kind::Audio, Codec::Opus, 111, 10), track(Kind::Video, Codec::Vp8, 96, 20)]
}
