use std::io::{Read, Write};
use std::sync::Arc;

use klieg_sfu_core::framed::{Deframer, MAX_WAITING};
use klieg_sfu_core::node::{Belongs, Node, NodeConfig};
use klieg_sfu_core::transport::Identity;
use klieg_sfu_core::{Claim, Command, IceCredentials, PeerId, PeerSpec, RoomKey, ShardIndex};
use prometheus::Registry;
use rtc_crypto::RTCCryptoProvider;
use rtc_crypto::providers::AwsLcRsProvider;
use stun::attributes::{ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USERNAME, RawAttribute};
use stun::fingerprint::FINGERPRINT;
use stun::integrity::MessageIntegrity;
use stun::message::{BINDING_REQUEST, Message, Setter, TransactionId};
use stun::textattrs::Username;

use super::*;

static CRYPTO: AwsLcRsProvider = AwsLcRsProvider::new();
/// What takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections to peers of a node, and the other ends.
struct Stand {
    node: Node,
    connections: Connections,
    metrics: Arc<TcpMetrics>,
    listener: std::net::TcpListener,
}

impl Stand {
    fn new() -> Self {
        let metrics = Arc::new(TcpMetrics::register(&Registry::new()).unwrap());
        Self {
            node: Node::new(NodeConfig {
                shard: ShardIndex(0),
                shards: 1,
                identity: Arc::new(Identity::generate().unwrap()),
            }),
            connections: Connections::new(Arc::clone(&metrics)),
            metrics,
            listener: super::super::listen::tests::listener(),
        }
    }

    /// Connects a peer; returns its number and the other end, which blocks.
    fn connect(&mut self, id: u64) -> (ConnectionId, std::net::TcpStream) {
        let now = Instant::now();
        let local = IceCredentials {
            ufrag: format!("serv{id:06}"),
            pwd: format!("serv{id:030}"),
        };
        let first = check(&local);
        let spec = PeerSpec {
            peer: PeerId(id),
            room: RoomKey(1),
            local,
            claim: Claim::default(),
        };
        self.node
            .handle_command(now, Command::AddPeer(Arc::new(spec)));
        let Ok(Belongs::Here(peer)) = self.node.place_connection(now, &first) else {
            panic!("the peer is expected");
        };
        let client = std::net::TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let (stream, remote) = self.listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let length = u16::try_from(first.len()).unwrap().to_be_bytes();
        let incoming = Incoming {
            stream,
            path: Path {
                local: None,
                remote,
                connection: None,
            },
            received: [&length[..], &first].concat(),
            place: None,
        };
        let node = &mut self.node;
        let mut id = None;
        let take = |peer, path: Path, frame: &[u8]| {
            id = path.connection;
            node.handle_frame(now, peer, path, frame);
        };
        self.connections.add(now, incoming, peer, take).unwrap();
        (id.unwrap(), client)
    }

    /// Serves all that rang.
    fn receive(&mut self) {
        self.connections.receive(far(), |_, _, _| {});
    }

    /// Sends, and returns what that caused.
    fn send(&mut self, id: ConnectionId, datagram: &[u8]) -> Vec<News> {
        let path = Path {
            local: None,
            remote: self.listener.local_addr().unwrap(),
            connection: Some(id),
        };
        let transmit = Transmit {
            path,
            segment_size: None,
        };
        self.connections.send(id, &transmit, datagram);
        self.news()
    }

    fn news(&mut self) -> Vec<News> {
        std::iter::from_fn(|| self.connections.poll_news()).collect()
    }
}

fn far() -> Instant {
    Instant::now() + PATIENCE
}

pub(in crate::tcp) fn check(server: &IceCredentials) -> Vec<u8> {
    let raw = |typ, value: &[u8]| RawAttribute {
        typ,
        length: 0,
        value: value.into(),
    };
    let pwd = server.pwd.clone();
    let integrity = MessageIntegrity::new_short_term_integrity_with_provider(pwd, CRYPTO.crypto());
    let name = format!("{}:peer", server.ufrag);
    let setters: Vec<Box<dyn Setter>> = vec![
        Box::new(BINDING_REQUEST),
        Box::new(TransactionId::new()),
        Box::new(Username::new(ATTR_USERNAME, name)),
        Box::new(raw(ATTR_PRIORITY, &[90, 0, 30, 255])),
        Box::new(raw(ATTR_ICE_CONTROLLING, &[1; 8])),
        Box::new(integrity),
        Box::new(FINGERPRINT),
    ];
    let mut message = Message::new();
    message.build(&setters).unwrap();
    message.raw
}

fn backlogs(news: &[News]) -> Vec<Backlog> {
    let backlog = |news: &News| match news {
        News::Backlog(_, (_, backlog)) => Some(*backlog),
        News::Closed(..) => None,
    };
    news.iter().filter_map(backlog).collect()
}

fn datagram(number: u32) -> Vec<u8> {
    let mut datagram = vec![7; 1200];
    datagram[..4].copy_from_slice(&number.to_be_bytes());
    datagram
}

/// Reads whole datagrams until there are so many.
fn read_frames(stream: &mut std::net::TcpStream, wanted: usize) -> Vec<Vec<u8>> {
    let (mut deframer, mut frames) = (Deframer::default(), Vec::new());
    let mut buffer = [0; 4096];
    while frames.len() < wanted {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "closed after {} frames", frames.len());
        let take = |frame: &[u8]| frames.push(frame.to_vec());
        deframer.take(&buffer[..read], take).unwrap();
    }
    frames
}

#[tokio::test]
async fn who_takes_nothing_costs_less_than_a_mebibyte_and_holds_up_nobody() {
    let mut stand = Stand::new();
    let (stalled, silent) = stand.connect(1);
    let (flowing, mut reader) = stand.connect(2);
    let (mut most, mut refused, deadline) = (Backlog::Low, 0, far());
    let reading = std::thread::spawn(move || read_frames(&mut reader, 3000));
    for number in 0..3000 {
        let before = stand.connections.counts().dropped_full;
        let told = backlogs(&stand.send(stalled, &datagram(number)));
        most = told.into_iter().fold(most, Backlog::max);
        refused += stand.connections.counts().dropped_full - before;
        let before = stand.connections.counts().dropped_full;
        stand.send(flowing, &datagram(number));
        assert_eq!(stand.connections.counts().dropped_full, before);
        // Its reader may be slow for a moment, on a busy machine.
        while !stand.connections.open[&flowing].is_flushed() {
            assert!(Instant::now() < deadline, "it is not taken");
            tokio::time::sleep(Duration::from_millis(1)).await;
            stand.receive();
        }
    }
    let frames = reading.join().unwrap();
    assert!(
        (0..)
            .zip(&frames)
            .all(|(number, frame)| *frame == datagram(number))
    );
    assert_eq!(most, Backlog::Full);
    assert!(refused > 1000, "{refused} of 3000 found no room");
    let kernel = stand.connections.open[&stalled].send_buffer();
    assert!(
        kernel + MAX_WAITING < 1 << 20,
        "{kernel} bytes in the kernel"
    );
    drop(silent);
}

#[tokio::test]
async fn what_waited_leaves_whole_and_in_order_once_it_is_taken() {
    let mut stand = Stand::new();
    let (id, mut client) = stand.connect(1);
    let mut told = Vec::new();
    let mut taken = Vec::new();
    for number in 0..3000 {
        let before = stand.connections.counts().dropped_full;
        told.extend(backlogs(&stand.send(id, &datagram(number))));
        if stand.connections.counts().dropped_full == before {
            taken.push(datagram(number));
        }
    }
    assert!(taken.len() < 2000, "{}", taken.len());
    let wanted = taken.len();
    let reading = std::thread::spawn(move || read_frames(&mut client, wanted));
    let deadline = far();
    while !reading.is_finished() {
        assert!(Instant::now() < deadline, "not all has come");
        let ready = stand.connections.ready();
        let _ = tokio::time::timeout(Duration::from_millis(50), ready).await;
        stand.receive();
        told.extend(backlogs(&stand.news()));
    }
    assert_eq!(reading.join().unwrap(), taken);
    told.dedup();
    let told: Vec<_> = told
        .into_iter()
        .skip_while(|it| *it == Backlog::Low)
        .collect();
    // On its way down it may be short before anybody has looked.
    assert_eq!(told[..2], [Backlog::High, Backlog::Full]);
    assert_eq!(told.last(), Some(&Backlog::Low));
}

#[tokio::test]
async fn what_is_of_no_use_any_more_is_closed() {
    let mut stand = Stand::new();
    let ends: Vec<_> = (1..=3).map(|id| stand.connect(id)).collect();
    let now = Instant::now();
    let sweep = |stand: &mut Stand, at, standing: Standing| {
        stand.connections.sweep(at, |_, _| standing);
        let news = stand.news().into_iter();
        news.filter(|news| matches!(news, News::Closed(..))).count()
    };
    assert_eq!(sweep(&mut stand, now + UNUSED, Standing::Used), 0);
    stand.connections.open.get_mut(&ends[0].0).unwrap().heard_at += IDLE;
    let later = now + IDLE + Duration::from_secs(1);
    assert_eq!(sweep(&mut stand, later, Standing::Used), 2);
    assert_eq!(stand.metrics.closings(Closed::Idle), 2);
    assert_eq!(sweep(&mut stand, later, Standing::Over), 1);
    assert_eq!(stand.metrics.closings(Closed::Over), 1);
    assert_eq!(stand.connections.open.len(), 0);

    let (_, _end) = stand.connect(4);
    let soon = Instant::now() + UNUSED / 2;
    assert_eq!(sweep(&mut stand, soon, Standing::Unused), 0);
    assert_eq!(sweep(&mut stand, soon + UNUSED, Standing::Unused), 1);
    assert_eq!(stand.metrics.closings(Closed::Unused), 1);
}

#[tokio::test]
async fn what_waits_for_nobody_is_forgotten_by_the_kernel_too() {
    let mut stand = Stand::new();
    let (stalled, mut end) = stand.connect(1);
    let (selected, _other) = stand.connect(2);
    for number in 0..3000 {
        stand.send(stalled, &datagram(number));
        stand.send(selected, &datagram(number));
    }
    stand.connections.sweep(Instant::now(), |_, path| {
        let is_selected = path.connection == Some(selected);
        if is_selected {
            Standing::Selected
        } else {
            Standing::Used
        }
    });
    assert_eq!(stand.metrics.closings(Closed::Stalled), 1);
    let census = stand.connections.census();
    assert_eq!((census.open, census.selected, census.stalled), (1, 1, 1));
    // Else all that the kernel had would come before the end.
    let read = end.read_to_end(&mut Vec::new());
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn who_sends_much_gives_others_their_turn_and_reading_ends_in_time() {
    let mut stand = Stand::new();
    let mut ends: Vec<_> = (1..=3).map(|id| stand.connect(id)).collect();
    let length = 1200_u16.to_be_bytes();
    let frames = [&length[..], &datagram(7)].concat().repeat(100);
    for (_, end) in &mut ends {
        end.write_all(&frames).unwrap();
    }
    let deadline = far();
    while stand.connections.ready.len() < ends.len() {
        assert!(Instant::now() < deadline, "not all have rung");
        tokio::task::yield_now().await;
    }
    let past = Instant::now();
    let mut turns: Vec<ConnectionId> = Vec::new();
    for _ in 0..6 {
        let before = stand.connections.counts().bytes_received;
        stand
            .connections
            .receive(past, |_, path, _| turns.extend(path.connection));
        let read = stand.connections.counts().bytes_received - before;
        assert!(
            read > 0 && read <= 2 * READ_BYTES as u64,
            "{read} bytes in one turn"
        );
        assert_eq!(stand.connections.ready.len(), 3, "nobody is forgotten");
    }
    turns.dedup();
    assert_eq!(turns.len(), 6);
    assert_eq!(turns[..3], turns[3..], "one after the other");
}

#[tokio::test]
async fn an_end_that_is_found_while_writing_is_news_at_once() {
    let mut stand = Stand::new();
    let (id, client) = stand.connect(1);
    // It goes with a reset.
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
    let deadline = far();
    loop {
        let news = stand.send(id, &datagram(1));
        if news.iter().any(|news| matches!(news, News::Closed(..))) {
            break;
        }
        assert!(Instant::now() < deadline, "it never ended");
        tokio::task::yield_now().await;
    }
    assert_eq!(stand.metrics.closings(Closed::Remote), 1);
    assert_eq!(stand.connections.open.len(), 0);
    assert_eq!(stand.send(id, &datagram(2)), []);
    assert_eq!(stand.connections.counts().dropped_gone, 1);
}

#[tokio::test]
async fn the_connection_that_a_peer_can_do_without_gives_way() {
    let mut stand = Stand::new();
    let ends: Vec<_> = (0..MAX_OF_PEER).map(|_| stand.connect(1)).collect();
    let ids: Vec<_> = ends.iter().map(|(id, _)| *id).collect();
    let peer = stand.connections.open[&ids[0]].peer;
    let trim = |stand: &mut Stand, unused: &[ConnectionId]| {
        let (_, _end) = stand.connect(1);
        stand
            .connections
            .trim(peer, |_, path| match path.connection {
                Some(id) if id == ids[0] => Standing::Selected,
                Some(id) if unused.contains(&id) => Standing::Unused,
                Some(_) | None => Standing::Used,
            });
        let mut gone = ids.clone();
        gone.retain(|id| !stand.connections.open.contains_key(id));
        gone
    };
    assert_eq!(trim(&mut stand, &[ids[3], ids[5]]), [ids[3]]);
    assert_eq!(trim(&mut stand, &[ids[5]]), [ids[3], ids[5]]);
    assert_eq!(trim(&mut stand, &[]), [ids[1], ids[3], ids[5]]);
    assert_eq!(stand.connections.open.len(), MAX_OF_PEER);
    // The newest itself, if it alone is of no use.
    let newest = ConnectionId(stand.connections.next_id().0.checked_add(1).unwrap());
    assert_eq!(trim(&mut stand, &[newest]), [ids[1], ids[3], ids[5]]);
    assert!(!stand.connections.open.contains_key(&newest));
    assert_eq!(stand.metrics.closings(Closed::Replaced), 4);
}
