//! Connections to the media port as the kernel makes them: who is answered, who is refused, and who is passed on.
#![expect(clippy::unwrap_used, reason = "what does not hold fails the test")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use klieg_sfu::{
    Claim, Command, Config, Handle, IceCredentials, Offload, PeerId, PeerSpec, RoomKey, Sfu,
    TcpListen,
};
use prometheus::{Registry, TextEncoder};
use rtc_crypto::RTCCryptoProvider;
use rtc_crypto::providers::AwsLcRsProvider;
use stun::attributes::{ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USERNAME, RawAttribute};
use stun::fingerprint::FINGERPRINT;
use stun::integrity::MessageIntegrity;
use stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Message, Setter, TransactionId};
use stun::textattrs::Username;

static CRYPTO: AwsLcRsProvider = AwsLcRsProvider::new();
const PATIENCE: Duration = Duration::from_secs(20);

/// A running forwarding unit.
struct Unit {
    handle: Handle,
    registry: Registry,
    _events: tokio::sync::mpsc::Receiver<klieg_sfu::Event>,
}

impl Unit {
    fn start(shards: usize, tcp: TcpListen) -> Self {
        let config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tcp,
            shards,
            addresses: Vec::new(),
            announce_loopback: true,
            pin_threads: false,
            hold: None,
            offload: Offload::Auto,
        };
        let registry = Registry::new();
        let (handle, events) = Sfu::start(config, &registry).unwrap();
        Self {
            handle,
            registry,
            _events: events,
        }
    }

    fn expect(&self, id: u64) -> IceCredentials {
        let local = IceCredentials {
            ufrag: format!("serv{id:06}"),
            pwd: format!("serv{id:030}"),
        };
        let spec = PeerSpec {
            peer: PeerId(id),
            room: RoomKey(1),
            local: local.clone(),
            claim: Claim::default(),
        };
        self.handle.send(Command::AddPeer(Arc::new(spec))).unwrap();
        local
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.handle.tcp_candidates()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Waits until a metric has a value.
    fn shows(&self, line: &str) {
        let patience = Instant::now() + PATIENCE;
        loop {
            let text = TextEncoder::new().encode_to_string(&self.registry.gather());
            let text = text.unwrap();
            if text.lines().any(|it| it == line) {
                return;
            }
            assert!(Instant::now() < patience, "no {line} in\n{text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn stop(self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(self.handle.stop());
    }
}

/// Makes a check of a peer.
fn check(server: &IceCredentials, pwd: &str) -> Vec<u8> {
    let raw = |typ, value: &[u8]| RawAttribute {
        typ,
        length: 0,
        value: value.into(),
    };
    let integrity =
        MessageIntegrity::new_short_term_integrity_with_provider(pwd.to_owned(), CRYPTO.crypto());
    let setters: Vec<Box<dyn Setter>> = vec![
        Box::new(BINDING_REQUEST),
        Box::new(TransactionId::new()),
        Box::new(Username::new(
            ATTR_USERNAME,
            format!("{}:peer", server.ufrag),
        )),
        Box::new(raw(ATTR_PRIORITY, &[90, 0, 30, 255])),
        Box::new(raw(ATTR_ICE_CONTROLLING, &[1; 8])),
        Box::new(integrity),
        Box::new(FINGERPRINT),
    ];
    let mut message = Message::new();
    message.build(&setters).unwrap();
    message.raw
}

fn framed(datagram: &[u8]) -> Vec<u8> {
    let length = u16::try_from(datagram.len()).unwrap();
    [&length.to_be_bytes(), datagram].concat()
}

fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut frame = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut frame).unwrap();
    frame
}

/// Returns whether it is the answer to a check that was taken.
fn is_success(frame: &[u8]) -> bool {
    let mut message = Message::default();
    message.unmarshal_binary(frame).is_ok() && message.typ == BINDING_SUCCESS
}

/// Waits until the server has closed a connection, without a byte.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 100]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn checks_are_answered_in_frames_however_they_come() {
    let unit = Unit::start(2, TcpListen::WithUdp);
    for id in 1..=6 {
        let server = unit.expect(id);
        let mut stream = unit.connect();
        // Two at once, a third one byte by byte.
        let [one, other, third] = [(); 3].map(|()| framed(&check(&server, &server.pwd)));
        stream.write_all(&[one, other].concat()).unwrap();
        assert!(is_success(&read_frame(&mut stream)));
        assert!(is_success(&read_frame(&mut stream)));
        stream.set_nodelay(true).unwrap();
        for byte in third {
            stream.write_all(&[byte]).unwrap();
        }
        assert!(is_success(&read_frame(&mut stream)));
        unit.handle.send(Command::RemovePeer(PeerId(id))).unwrap();
        assert!(is_closed(&mut stream), "who is shown out is hung up on");
    }
    unit.shows("klieg_sfu_tcp_accepted_total 6");
    unit.shows("klieg_sfu_tcp_connections 0");
    unit.shows("klieg_sfu_tcp_closed_total{reason=\"over\"} 6");
    unit.stop();
}

#[test]
fn who_never_ends_sending_keeps_no_datagram_waiting() {
    let unit = Unit::start(1, TcpListen::WithUdp);
    let (server, other) = (unit.expect(1), unit.expect(2));
    let mut stream = unit.connect();
    let first = framed(&check(&server, &server.pwd));
    stream.write_all(&first).unwrap();
    assert!(is_success(&read_frame(&mut stream)));
    let flooding = std::thread::spawn(move || {
        // Frames of nothing, the cheapest to send, until it is hung up on.
        let frames = [0; 64 << 10];
        while stream.write_all(&frames).is_ok() {}
    });
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = unit.handle.candidates()[0];
    let mut answer = [0; 1500];
    for _ in 0..20 {
        udp.send_to(&check(&other, &other.pwd), to).unwrap();
        let read = udp.recv(&mut answer).unwrap();
        assert!(is_success(&answer[..read]));
    }
    unit.handle.send(Command::RemovePeer(PeerId(1))).unwrap();
    flooding.join().unwrap();
    unit.stop();
}

#[test]
fn a_connection_finds_the_shard_that_has_its_peer() {
    let unit = Unit::start(3, TcpListen::WithUdp);
    let server = unit.expect(1);
    // By UDP the kernel chooses the shard, by TCP the lobby: one after the other.
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let to = unit.handle.candidates()[0];
    let mut answer = [0; 1500];
    // A datagram may come before the shard was told of the peer, as on any network.
    let patience = Instant::now() + PATIENCE;
    let read = loop {
        assert!(Instant::now() < patience, "no answer by UDP");
        udp.send_to(&check(&server, &server.pwd), to).unwrap();
        if let Ok(read) = udp.recv(&mut answer) {
            break read;
        }
    };
    assert!(is_success(&answer[..read]));
    for _ in 0..3 {
        let mut stream = unit.connect();
        let first = framed(&check(&server, &server.pwd));
        stream.write_all(&first).unwrap();
        assert!(is_success(&read_frame(&mut stream)));
        drop(stream);
    }
    unit.shows("klieg_sfu_tcp_closed_total{reason=\"remote\"} 3");
    unit.shows("klieg_sfu_peers 1");
    unit.stop();
}

#[test]
fn who_says_no_check_first_is_hung_up_on_without_a_word() {
    let unit = Unit::start(1, TcpListen::WithUdp);
    let server = unit.expect(1);
    let nobody = IceCredentials {
        ufrag: "nobody".to_owned(),
        ..server.clone()
    };
    let wrong = "w".repeat(30);
    let cases: [(&str, Vec<u8>); 7] = [
        ("oversized", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("oversized", [&[22, 3, 1, 2, 0], &[1; 100][..]].concat()),
        ("no_check", framed(&[])),
        ("no_check", framed(&[0x80; 60])),
        ("no_check", framed(&[0; 20])),
        ("unknown_ufrag", framed(&check(&nobody, &server.pwd))),
        ("unauthenticated", framed(&check(&server, &wrong))),
    ];
    for (reason, bytes) in &cases {
        let mut stream = unit.connect();
        stream.write_all(bytes).unwrap();
        assert!(is_closed(&mut stream), "{reason}");
    }
    let mut stream = unit.connect();
    stream.write_all(&[0]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(is_closed(&mut stream));
    for (reason, count) in [
        ("oversized", 2),
        ("no_check", 3),
        ("unknown_ufrag", 1),
        ("unauthenticated", 1),
        ("gone", 1),
    ] {
        let line = format!("klieg_sfu_tcp_refused_total{{reason=\"{reason}\"}} {count}");
        unit.shows(&line);
    }
    unit.shows("klieg_sfu_tcp_bytes_sent_total 0");
    unit.stop();
}

#[test]
fn a_frame_that_is_too_long_ends_a_connection_and_nothing_else() {
    let unit = Unit::start(1, TcpListen::WithUdp);
    let server = unit.expect(1);
    let mut streams = [(); 2].map(|()| unit.connect());
    for stream in &mut streams {
        let first = framed(&check(&server, &server.pwd));
        stream.write_all(&first).unwrap();
        assert!(is_success(&read_frame(stream)));
    }
    let [bad, good] = &mut streams;
    bad.write_all(&[0xff; 100]).unwrap();
    assert!(is_closed(bad));
    let again = framed(&check(&server, &server.pwd));
    good.write_all(&again).unwrap();
    assert!(is_success(&read_frame(good)));
    unit.shows("klieg_sfu_tcp_closed_total{reason=\"oversized\"} 1");
    unit.stop();
}

#[test]
fn a_peer_has_a_few_connections_and_the_newest_ones_stay() {
    let unit = Unit::start(1, TcpListen::WithUdp);
    let server = unit.expect(1);
    let mut streams: Vec<_> = (0..10).map(|_| unit.connect()).collect();
    for stream in &mut streams {
        let first = framed(&check(&server, &server.pwd));
        stream.write_all(&first).unwrap();
        assert!(is_success(&read_frame(stream)));
    }
    unit.shows("klieg_sfu_tcp_closed_total{reason=\"replaced\"} 2");
    unit.shows("klieg_sfu_tcp_connections 8");
    let again = framed(&check(&server, &server.pwd));
    streams[9].write_all(&again).unwrap();
    assert!(is_success(&read_frame(&mut streams[9])));
    unit.stop();
}

#[test]
fn who_sends_the_check_of_another_again_takes_no_connection_from_it() {
    let unit = Unit::start(1, TcpListen::WithUdp);
    let server = unit.expect(1);
    let mut stream = unit.connect();
    let first = framed(&check(&server, &server.pwd));
    stream.write_all(&first).unwrap();
    assert!(is_success(&read_frame(&mut stream)));
    let mut others: Vec<_> = (0..20).map(|_| unit.connect()).collect();
    for other in &mut others {
        other.write_all(&first).unwrap();
    }
    unit.shows("klieg_sfu_tcp_closed_total{reason=\"replaced\"} 13");
    let again = framed(&check(&server, &server.pwd));
    stream.write_all(&again).unwrap();
    assert!(is_success(&read_frame(&mut stream)));
    unit.stop();
}

#[test]
fn tcp_can_be_switched_off() {
    let unit = Unit::start(1, TcpListen::Off);
    assert_eq!(unit.handle.tcp_candidates(), []);
    let udp = unit.handle.candidates()[0];
    assert!(TcpStream::connect(udp).is_err());
    unit.stop();
}
