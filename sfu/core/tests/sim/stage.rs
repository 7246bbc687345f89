//! A whole forwarding unit of several shards, with publishers and viewers around it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use klieg_sfu_core::command::{
    Claim, Codec, Command, DtlsRole, Event, ExtensionIds, Feedback, Format, IceCredentials, Kind,
    Media, Path, PayloadFormat, PeerId, PeerSpec, ReceiveTrack, Remote, RoomKey, SendTrack,
    ShardIndex, SsrcPair,
};
use klieg_sfu_core::demux::{self, Protocol};
use klieg_sfu_core::node::{Node, NodeConfig, PeerHandshake};
use klieg_sfu_core::relay::ShardMessage;
use klieg_sfu_core::rtp::packet::Header;

use super::actor::{Publishing, Sound, Watching};
use super::bottleneck::Bottleneck;
use super::layered::{DESCRIPTOR, Layered};
use super::peer::{Nomination, Peer, PeerConfig};
use super::simulcast::{self, SentLayer, Simulcasting};
use super::spent::{Spent, Work};
use super::stream::Stream;
use super::world::{SERVER, identity};
use super::{Link, Network, Parcel, Seed, address, epoch};

/// Identifier of the transport-wide number towards viewers.
pub(crate) const TRANSPORT_CC: u8 = 3;
/// Identifier of the play-out delay towards viewers.
pub(crate) const PLAYOUT_DELAY: u8 = 6;
/// Identifier of the time of capture, in both directions.
pub(crate) const CAPTURE_TIME: u8 = 7;

/// The room that everybody is in who is not sent elsewhere.
pub(crate) const ROOM: RoomKey = RoomKey(5);

pub(crate) const VP8: Format = Format {
    codec: Codec::Vp8,
    profile: 0,
    packetization_mode: 0,
};
pub(crate) const VP9: Format = Format {
    codec: Codec::Vp9,
    profile: 0,
    packetization_mode: 0,
};
pub(crate) const OPUS: Format = Format {
    codec: Codec::Opus,
    profile: 0,
    packetization_mode: 0,
};

/// How long what one shard told another may wait.
const LATE: Duration = Duration::from_millis(5);

/// One client and what it does.
pub(crate) struct Actor {
    pub(crate) peer: Peer,
    pub(crate) link: Link,
    /// What the server's datagrams to it squeeze through; `None` for a path without a limit.
    pub(crate) bottleneck: Option<Bottleneck>,
    /// The TCP connection by which it comes; `None`: it comes by UDP.
    pub(crate) stream: Option<Stream>,
    pub(crate) role: Role,
}

/// What a client does with its media.
pub(crate) enum Role {
    Publishing(Box<Publishing>),
    Simulcasting(Box<Simulcasting>),
    Layering(Box<Layered>),
    Watching(Box<Watching>),
}

/// The server and everybody around it.
pub(crate) struct Stage {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    pub(crate) actors: Vec<Actor>,
    /// Events of all shards, with their moments.
    pub(crate) events: Vec<(Duration, Event)>,
    /// Bytes that the server sent, by destination.
    pub(crate) sent_to: HashMap<SocketAddr, usize>,
    /// Where clients that are added go.
    pub(crate) room: RoomKey,
    /// What one shard told another and when; `None` where it arrives at once. A thread takes it when something
    /// is due, or after [`LATE`], and does what is due before it sends.
    pub(crate) underway: Option<VecDeque<(Instant, usize, ShardMessage)>>,
    /// Packets of media on the wire, by destination, stream and number, and how many had the number of
    /// another; looked at while messages are under way.
    pub(crate) numbers: (HashSet<(SocketAddr, u32, u16)>, usize),
    /// Whether clients that are added send the `ClientHello`.
    pub(crate) are_active: bool,
    /// Whether clients that are added decrypt what follows the handshake at once.
    pub(crate) are_prompt: bool,
    /// What each run of datagrams takes to leave.
    pub(crate) send_time: Duration,
    /// How often the shards have their turn: what comes meanwhile waits. Nothing: at once.
    pub(crate) turn: Duration,
    next_turn: Instant,
    /// Who publishes as far as signaling knows, in each room: the first that came until another took over.
    on_stage: HashMap<RoomKey, PeerId>,
    /// How often the shards took memory.
    pub(crate) spent: Spent,
    network: Network,
    _seed: Seed,
}

impl Stage {
    pub(crate) fn new(seed: u64, shards: u16) -> Self {
        let node = |shard| {
            Node::new(NodeConfig {
                shard: ShardIndex(shard),
                shards,
                identity: identity(),
            })
        };
        Self {
            now: epoch(),
            nodes: (0..shards).map(node).collect(),
            actors: Vec::new(),
            events: Vec::new(),
            sent_to: HashMap::new(),
            room: ROOM,
            underway: None,
            numbers: Default::default(),
            are_active: true,
            are_prompt: false,
            send_time: Duration::ZERO,
            turn: Duration::ZERO,
            next_turn: epoch(),
            on_stage: HashMap::new(),
            spent: Spent::default(),
            network: Network::new(seed),
            _seed: Seed(seed),
        }
    }

    /// Adds a publisher of VP8 and Opus; returns its place.
    pub(crate) fn publish(&mut self, id: u64, link: Link) -> usize {
        let publishing = Publishing::new(self.now, u32::try_from(id).unwrap_or(0) * 100);
        let media = Media::Publish(receive_tracks());
        self.add(id, link, media, Role::Publishing(Box::new(publishing)))
    }

    /// Adds a publisher of VP8 and redundant Opus; returns its place.
    pub(crate) fn publish_redundant(&mut self, id: u64, link: Link) -> usize {
        let mut publishing = Publishing::new(self.now, u32::try_from(id).unwrap_or(0) * 100);
        publishing.sound = Sound::Redundant;
        let mut tracks = receive_tracks();
        tracks[0].formats[0].red_payload_type = Some(63);
        let role = Role::Publishing(Box::new(publishing));
        self.add(id, link, Media::Publish(tracks), role)
    }

    /// Adds a viewer that takes redundant Opus, under payload types of its own; returns its place.
    pub(crate) fn watch_redundant(&mut self, id: u64, link: Link) -> usize {
        let mut tracks = send_tracks(&[(96, Some(97), VP8)]);
        for track in &mut tracks {
            track.extensions.transport_cc = Some(TRANSPORT_CC);
        }
        tracks[0].formats[0].payload_type = 109;
        tracks[0].formats[0].red_payload_type = Some(62);
        let watching = Watching::new(self.now);
        let role = Role::Watching(Box::new(watching));
        self.add(id, link, Media::View(tracks), role)
    }

    /// Adds a publisher of VP8 in layers; returns its place.
    pub(crate) fn simulcast(&mut self, id: u64, link: Link, layers: Vec<SentLayer>) -> usize {
        let mut tracks = receive_tracks();
        tracks.retain(|track| track.kind == Kind::Video);
        for track in &mut tracks {
            track.extensions.mid = Some(simulcast::MID);
            track.extensions.rid = Some(simulcast::RID);
            track.extensions.repaired_rid = Some(simulcast::REPAIRED_RID);
            track.rids = layers.iter().map(|layer| layer.rid.into()).collect();
        }
        let simulcasting = Simulcasting::new(self.now, layers);
        let role = Role::Simulcasting(Box::new(simulcasting));
        self.add(id, link, Media::Publish(tracks), role)
    }

    /// Adds a publisher of one stream with layers within; returns its place.
    pub(crate) fn layer(&mut self, id: u64, link: Link, layered: Layered) -> usize {
        let mut tracks = receive_tracks();
        tracks.retain(|track| track.kind == Kind::Video);
        for track in &mut tracks {
            track.extensions = ExtensionIds {
                descriptor: Some(DESCRIPTOR),
                ..ExtensionIds::default()
            };
            track.formats = vec![format(96, Some(97), layered.format())];
        }
        let role = Role::Layering(Box::new(layered));
        self.add(id, link, Media::Publish(tracks), role)
    }

    /// Adds a viewer of a coding, which reports what arrives and takes dependency descriptors; returns its place.
    pub(crate) fn watch_layers(&mut self, id: u64, link: Link, sent: Format) -> usize {
        let mut tracks = send_tracks(&[(96, Some(97), sent)]);
        for track in &mut tracks {
            track.extensions.transport_cc = Some(TRANSPORT_CC);
            track.extensions.descriptor = Some(DESCRIPTOR);
        }
        let mut watching = Watching::new(self.now);
        watching.codec = Some(sent.codec);
        let role = Role::Watching(Box::new(watching));
        self.add(id, link, Media::View(tracks), role)
    }

    /// Adds a viewer; returns its place.
    pub(crate) fn watch(&mut self, id: u64, link: Link) -> usize {
        let media = Media::View(send_tracks(&[(96, Some(97), VP8), (98, None, VP9)]));
        self.add(
            id,
            link,
            media,
            Role::Watching(Box::new(Watching::new(self.now))),
        )
    }

    /// Adds a viewer whose packets have transport-wide numbers, on which it reports nothing; returns its place.
    pub(crate) fn watch_numbered(&mut self, id: u64, link: Link) -> usize {
        let mut tracks = send_tracks(&[(96, Some(97), VP8)]);
        for track in &mut tracks {
            track.extensions.transport_cc = Some(TRANSPORT_CC);
        }
        let mut watching = Watching::new(self.now);
        watching.reports_transport = false;
        let role = Role::Watching(Box::new(watching));
        self.add(id, link, Media::View(tracks), role)
    }

    /// Adds a viewer that takes play-out delays, too; returns its place.
    pub(crate) fn watch_delayed(&mut self, id: u64, link: Link) -> usize {
        self.watch_told(id, link, (Some(97), false))
    }

    /// The same, which repairs by the same packets; returns its place.
    pub(crate) fn watch_delayed_on_one_stream(&mut self, id: u64, link: Link) -> usize {
        self.watch_told(id, link, (None, false))
    }

    /// The same of one that stalls where pictures are to be shown at once; returns its place.
    pub(crate) fn watch_delayed_by_time(&mut self, id: u64, link: Link) -> usize {
        self.watch_told(id, link, (Some(97), true))
    }

    fn watch_told(
        &mut self,
        id: u64,
        link: Link,
        (rtx, stalls_at_once): (Option<u8>, bool),
    ) -> usize {
        let mut tracks = send_tracks(&[(96, rtx, VP8)]);
        for track in &mut tracks {
            track.extensions.transport_cc = Some(TRANSPORT_CC);
            track.extensions.playout_delay = Some(PLAYOUT_DELAY);
            track.stalls_at_once = stalls_at_once;
        }
        let mut watching = Watching::new(self.now);
        watching.reports_transport = false;
        let role = Role::Watching(Box::new(watching));
        self.add(id, link, Media::View(tracks), role)
    }

    /// Adds a viewer that takes times of capture; returns its place. `rtx` is what its repairs go by, where they have a
    /// stream of their own.
    pub(crate) fn watch_captures(&mut self, id: u64, link: Link, rtx: Option<u8>) -> usize {
        let mut tracks = send_tracks(&[(96, rtx, VP8)]);
        for track in &mut tracks {
            track.extensions.transport_cc = Some(TRANSPORT_CC);
            track.extensions.capture_time = Some(CAPTURE_TIME);
        }
        let mut watching = Watching::new(self.now);
        watching.reports_transport = false;
        let role = Role::Watching(Box::new(watching));
        self.add(id, link, Media::View(tracks), role)
    }

    /// Adds a viewer that reports what arrives, behind a bottleneck; returns its place.
    pub(crate) fn watch_behind(&mut self, id: u64, link: Link, bottleneck: Bottleneck) -> usize {
        let place = self.watch_numbered(id, link);
        let watching = self.watching_mut(place);
        watching.reports_transport = true;
        watching.skips_to_keyframes = true;
        self.actors[place].bottleneck = Some(bottleneck);
        place
    }

    /// Adds a viewer behind a bottleneck whose sound has no transport-wide numbers; returns its place.
    pub(crate) fn watch_unnumbered_sound(
        &mut self,
        id: u64,
        link: Link,
        bottleneck: Bottleneck,
    ) -> usize {
        let mut tracks = send_tracks(&[(96, Some(97), VP8)]);
        for track in tracks.iter_mut().filter(|it| it.kind == Kind::Video) {
            track.extensions.transport_cc = Some(TRANSPORT_CC);
        }
        let mut watching = Watching::new(self.now);
        watching.skips_to_keyframes = true;
        let role = Role::Watching(Box::new(watching));
        let place = self.add(id, link, Media::View(tracks), role);
        self.actors[place].bottleneck = Some(bottleneck);
        place
    }

    /// Adds a client whose server side is already negotiated.
    pub(crate) fn add(&mut self, id: u64, link: Link, media: Media, role: Role) -> usize {
        let credentials = |side: &str| IceCredentials {
            ufrag: format!("{side}{id:06}"),
            pwd: format!("{side}{id:030}"),
        };
        let (local, remote) = (credentials("serv"), credentials("peer"));
        let config = PeerConfig {
            address: client_address(id),
            server: address(SERVER),
            local: remote.clone(),
            remote: local.clone(),
            fingerprint: identity().fingerprint(),
            is_active: self.are_active,
            nomination: Nomination::Regular,
            has_priority: true,
            is_controlled: false,
            is_stubborn: false,
        };
        let peer = Peer::new(self.now, config);
        let id = PeerId(id);
        let spec = PeerSpec {
            peer: id,
            room: self.room,
            local,
            claim: Claim::default(),
        };
        self.command(&Command::AddPeer(Arc::new(spec)));
        if matches!(media, Media::Publish(_)) {
            self.on_stage.entry(self.room).or_insert(id);
        }
        let remote = Remote {
            ice: remote,
            fingerprints: vec![peer.fingerprint()],
            dtls_role: if self.are_active {
                DtlsRole::Server
            } else {
                DtlsRole::Client
            },
            is_prompt: self.are_prompt,
            media,
        };
        self.command(&Command::SetRemote(id, Arc::new(remote)));
        let bottleneck = None;
        self.actors.push(Actor {
            peer,
            link,
            bottleneck,
            stream: None,
            role,
        });
        self.actors.len() - 1
    }

    /// Gives a command to every shard.
    pub(crate) fn command(&mut self, command: &Command) {
        for node in &mut self.nodes {
            node.handle_command(self.now, command.clone());
        }
        self.settle();
    }

    pub(crate) fn watching(&self, place: usize) -> &Watching {
        match &self.actors[place].role {
            Role::Watching(watching) => watching,
            Role::Publishing(_) | Role::Simulcasting(_) | Role::Layering(_) => {
                panic!("a publisher")
            }
        }
    }

    pub(crate) fn watching_mut(&mut self, place: usize) -> &mut Watching {
        match &mut self.actors[place].role {
            Role::Watching(watching) => watching,
            Role::Publishing(_) | Role::Simulcasting(_) | Role::Layering(_) => {
                panic!("a publisher")
            }
        }
    }

    pub(crate) fn publishing(&mut self, place: usize) -> &mut Publishing {
        match &mut self.actors[place].role {
            Role::Publishing(publishing) => publishing,
            Role::Watching(_) | Role::Simulcasting(_) | Role::Layering(_) => {
                panic!("no such publisher")
            }
        }
    }

    pub(crate) fn simulcasting(&mut self, place: usize) -> &mut Simulcasting {
        match &mut self.actors[place].role {
            Role::Simulcasting(simulcasting) => simulcasting,
            Role::Watching(_) | Role::Publishing(_) | Role::Layering(_) => {
                panic!("no such publisher")
            }
        }
    }

    pub(crate) fn layering(&mut self, place: usize) -> &mut Layered {
        match &mut self.actors[place].role {
            Role::Layering(layered) => layered,
            Role::Watching(_) | Role::Publishing(_) | Role::Simulcasting(_) => {
                panic!("no such publisher")
            }
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - epoch()
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, span: Duration) {
        self.run_until(span, |_| false);
    }

    /// Lets time pass until a condition holds or the span is over; returns whether it holds.
    pub(crate) fn run_until(&mut self, span: Duration, is_met: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + span;
        loop {
            self.settle();
            if is_met(self) {
                return true;
            }
            let waits_for_turn = !self.is_turn();
            let nodes = self.nodes.iter_mut().filter_map(Node::poll_timeout);
            let actors = self.actors.iter().filter_map(Actor::poll_timeout);
            let waiting = self.underway.iter().flatten();
            let nodes = nodes.chain(waiting.map(|(at, ..)| *at + LATE));
            let nodes = nodes.map(|at| at.max(self.next_turn));
            let nodes = nodes.chain(waits_for_turn.then_some(self.next_turn));
            let next = nodes.chain(actors).chain(self.network.poll_timeout()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return is_met(self);
            };
            self.now = self.now.max(next);
            self.take_messages();
            if self.is_turn() {
                for node in &mut self.nodes {
                    let now = self.now;
                    self.spent.note(Work::Timer, || node.handle_timeout(now));
                }
            }
            for actor in &mut self.actors {
                actor.handle_timeout(self.now);
            }
            while let Some(parcel) = self.network.poll_arrival(self.now) {
                self.deliver(&parcel);
            }
        }
    }

    fn is_turn(&self) -> bool {
        self.now >= self.next_turn
    }

    fn take_messages(&mut self) {
        for (at, to, message) in self
            .underway
            .iter_mut()
            .flat_map(std::mem::take)
            .collect::<Vec<_>>()
        {
            let is_due = self.nodes[to]
                .poll_timeout()
                .is_some_and(|due| due <= self.now);
            if is_due || at + LATE <= self.now {
                self.nodes[to].handle_message(self.now, message);
            } else {
                self.underway
                    .get_or_insert_default()
                    .push_back((at, to, message));
            }
        }
    }

    /// Returns the shard on which the checks of a client with this id land.
    pub(crate) fn shard_of(&self, id: u64) -> usize {
        self.shard_at(client_address(id))
    }

    /// Hands a datagram to the shard that the kernel would choose.
    pub(crate) fn inject(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.receive(from, datagram);
        self.settle();
    }

    /// The same without sending what it causes: what arrives at one moment makes one burst.
    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        let shard = self.shard_at(from);
        let path = Path {
            local: None,
            remote: from,
            connection: None,
        };
        let mut actors = self.actors.iter_mut();
        let sender = actors.find(|actor| actor.peer.config.address == from);
        if let Some(stream) = sender.and_then(|actor| actor.stream.as_mut()) {
            stream.receive((self.now, path), (&mut self.nodes, shard), datagram);
            return;
        }
        let mut actors = self.actors.iter();
        let sender = actors.find(|actor| actor.peer.config.address == from);
        let is_viewer = sender.is_some_and(|it| matches!(it.role, Role::Watching(_)));
        let (now, node) = (self.now, &mut self.nodes[shard]);
        let act = || node.handle_datagram(now, path, datagram);
        self.spent.note(Work::of(datagram, is_viewer), act);
    }

    pub(crate) fn shard_at(&self, from: SocketAddr) -> usize {
        let mut hasher = DefaultHasher::new();
        from.hash(&mut hasher);
        usize::try_from(hasher.finish() % self.nodes.len() as u64).unwrap()
    }

    fn deliver(&mut self, parcel: &Parcel) {
        if parcel.to == address(SERVER) {
            self.receive(parcel.from, &parcel.datagram);
        } else if let Some(actor) = self
            .actors
            .iter_mut()
            .find(|actor| actor.peer.config.address == parcel.to)
        {
            actor.peer.handle_datagram(self.now, parcel);
            actor.take_media(self.now);
        }
    }

    /// Moves messages, handshakes, datagrams and events until nothing moves.
    fn settle(&mut self) {
        let mut moved = self.is_turn();
        if moved {
            self.next_turn = self.now + self.turn;
        }
        while moved {
            moved = false;
            for shard in 0..self.nodes.len() {
                moved |= self.settle_node(shard);
            }
        }
        for actor in &mut self.actors {
            while let Some(parcel) = actor.peer.poll_transmit() {
                self.network.send(self.now, &actor.link, parcel);
            }
        }
    }

    fn settle_node(&mut self, shard: usize) -> bool {
        let mut moved = false;
        while let Some((to, message)) = {
            let (spent, node) = (&mut self.spent, &mut self.nodes[shard]);
            spent.note(Work::Message, || node.poll_message())
        } {
            match &mut self.underway {
                Some(underway) => underway.push_back((self.now, usize::from(to.0), message)),
                None => {
                    let (now, node) = (self.now, &mut self.nodes[usize::from(to.0)]);
                    let act = || node.handle_message(now, message);
                    self.spent.note(Work::Message, act);
                }
            }
            moved = true;
        }
        while let Some(job) = self.nodes[shard].poll_handshake() {
            let work = job.work.run(self.now);
            self.nodes[shard].handle_handshake(
                self.now,
                PeerHandshake {
                    peer: job.peer,
                    work,
                },
            );
            moved = true;
        }
        let (mut out, mut now) = (Vec::with_capacity(64 * 1024), self.now);
        while let Some(transmit) = {
            let (spent, node) = (&mut self.spent, &mut self.nodes[shard]);
            spent.note(Work::Run, || node.poll_transmit(now, &mut out))
        } {
            for datagram in out.chunks(transmit.segment_size.unwrap_or(usize::MAX)) {
                self.leave(now, transmit.path, datagram);
            }
            now += self.send_time;
            moved = true;
        }
        while let Some(event) = self.nodes[shard].poll_event() {
            moved |= self.take_note(&event);
            self.events.push((self.elapsed(), event));
        }
        moved
    }

    /// Does what signaling does when it hears of an event: whoever is to be heard at once is told to take over. Returns
    /// whether it did something.
    fn take_note(&mut self, event: &Event) -> bool {
        if let Event::TookOver { peer, room } = *event {
            self.on_stage.insert(room, peer);
        } else if let Event::Disconnected { peer, .. } = *event {
            self.on_stage.retain(|_, it| *it != peer);
        } else if let Event::Connected { peer, .. } = *event
            && self.on_stage.values().any(|&it| it == peer)
        {
            for node in &mut self.nodes {
                node.handle_command(self.now, Command::TakeOver(peer));
            }
            return true;
        }
        false
    }

    /// Lets a datagram leave by UDP, or by the connection of its path if that is still there.
    fn leave(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        if path.connection.is_none() {
            self.transmit(now, path.remote, datagram);
            return;
        }
        let mut actors = self.actors.iter_mut();
        let actor = actors.find(|actor| actor.peer.config.address == path.remote);
        if let Some(stream) = actor.and_then(|actor| actor.stream.as_mut()) {
            for datagram in stream.send(now, &mut self.nodes, datagram) {
                self.transmit(now, path.remote, &datagram);
            }
        }
    }

    /// Lets a client take nothing of its connection, or all again.
    pub(crate) fn stall(&mut self, place: usize, is_stalled: bool) {
        let actor = &mut self.actors[place];
        let to = actor.peer.config.address;
        let stream = actor.stream.as_mut().unwrap();
        stream.is_stalled = is_stalled;
        for datagram in stream.flow(self.now, &mut self.nodes) {
            self.transmit(self.now, to, &datagram);
        }
    }

    fn transmit(&mut self, now: Instant, to: SocketAddr, datagram: &[u8]) {
        *self.sent_to.entry(to).or_default() += datagram.len();
        if self.underway.is_some() && demux::protocol(datagram) == Some(Protocol::Rtp) {
            let header = Header::parse(datagram).unwrap();
            let number = (to, header.ssrc, header.sequence_number);
            self.numbers.1 += usize::from(!self.numbers.0.insert(number));
        }
        let actor = self.actors.iter_mut();
        let actor = actor
            .into_iter()
            .find(|actor| actor.peer.config.address == to);
        let mut at = now;
        let mut link = Link::default();
        if let Some(actor) = actor {
            link = actor.link;
            if let Some(bottleneck) = &mut actor.bottleneck {
                let Some(through) = bottleneck.pass(now, datagram.len()) else {
                    return;
                };
                at = through;
            }
        }
        let parcel = Parcel {
            from: address(SERVER),
            to,
            datagram: datagram.to_vec(),
        };
        self.network.send(at, &link, parcel);
    }
}

impl Actor {
    fn poll_timeout(&self) -> Option<Instant> {
        let media = match &self.role {
            Role::Publishing(publishing) => publishing.poll_timeout(),
            Role::Simulcasting(simulcasting) => Some(simulcasting.poll_timeout()),
            Role::Layering(layered) => Some(layered.poll_timeout()),
            Role::Watching(watching) => watching.poll_timeout(),
        };
        let media = media.filter(|_| self.peer.is_connected());
        self.peer.poll_timeout().into_iter().chain(media).min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.peer.handle_timeout(now);
        if self.peer.is_connected() {
            match &mut self.role {
                Role::Publishing(publishing) => publishing.handle_timeout(now, &mut self.peer),
                Role::Simulcasting(simulcasting) => {
                    simulcasting.handle_timeout(now, &mut self.peer);
                }
                Role::Layering(layered) => layered.handle_timeout(now, &mut self.peer),
                Role::Watching(watching) => watching.handle_timeout(now, &mut self.peer),
            }
        }
    }

    fn take_media(&mut self, now: Instant) {
        match &mut self.role {
            Role::Publishing(publishing) => publishing.take_feedback(now, &mut self.peer),
            Role::Simulcasting(simulcasting) => simulcasting.take_feedback(now, &mut self.peer),
            Role::Layering(layered) => layered.take_feedback(now, &mut self.peer),
            Role::Watching(watching) => watching.take_media(now, &mut self.peer),
        }
    }
}

fn client_address(id: u64) -> SocketAddr {
    let host = u16::try_from(id).unwrap_or(0);
    SocketAddr::from(([10, 9, (host >> 8) as u8, host as u8], 40_000 + host))
}

fn format(payload_type: u8, rtx_payload_type: Option<u8>, format: Format) -> PayloadFormat {
    let video = format.codec.kind() == Kind::Video;
    let feedback = Feedback {
        nack: video,
        pli: video,
        fir: false,
        transport_cc: true,
        remb: false,
    };
    PayloadFormat {
        payload_type,
        rtx_payload_type,
        red_payload_type: None,
        format,
        feedback,
    }
}

pub(crate) fn receive_tracks() -> Vec<ReceiveTrack> {
    let extensions = ExtensionIds {
        transport_cc: Some(3),
        capture_time: Some(CAPTURE_TIME),
        ..ExtensionIds::default()
    };
    let track = |kind, mid: &str, formats| ReceiveTrack {
        kind,
        mid: mid.into(),
        formats,
        extensions,
        ssrcs: Vec::new(),
        rids: Vec::new(),
    };
    vec![
        track(Kind::Audio, "0", vec![format(111, None, OPUS)]),
        track(Kind::Video, "1", vec![format(96, Some(97), VP8)]),
    ]
}

pub(crate) fn send_tracks(video: &[(u8, Option<u8>, Format)]) -> Vec<SendTrack> {
    let track = |kind, formats, ssrc| SendTrack {
        kind,
        formats,
        extensions: ExtensionIds::default(),
        ssrc,
        cname: "klieg".into(),
        stalls_at_once: false,
    };
    let video = video
        .iter()
        .map(|&(pt, rtx, sent)| format(pt, rtx, sent))
        .collect();
    vec![
        track(
            Kind::Audio,
            vec![format(111, None, OPUS)],
            SsrcPair {
                media: 2001,
                rtx: None,
            },
        ),
        track(
            Kind::Video,
            video,
            SsrcPair {
                media: 2002,
                rtx: Some(2003),
            },
        ),
    ]
}

/// Counts events by what they are.
pub(crate) fn count(stage: &Stage, is_meant: impl Fn(&Event) -> bool) -> usize {
    stage
        .events
        .iter()
        .filter(|(_, event)| is_meant(event))
        .count()
}

/// Keeps what a viewer has of a stream, by extended sequence number.
pub(crate) type Received = BTreeMap<u64, Vec<u8>>;
