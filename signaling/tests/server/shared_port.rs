//! One TCP port for HTTPS, WSS, ICE-TCP and TURN, in the clear and by TLS: each as on a port of its own, and what else comes there is dropped and
//! counted.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::hmac;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use klieg_signaling::{Config, MediaTcp};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{TempDir, TestServer, offer};
use crate::process::check;
use crate::reflector::stun;
use crate::tls::{Made, ask, connect, ended, get, is_answered, post, serve, socket, trusting};
use crate::wish::{KEY, SDP, request};

/// What takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(20);

/// Has everything at one port, of an address that no other test has: which port is free there need not be asked.
fn share(config: &mut Config) {
    let [a, b, c, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    let at = SocketAddr::from(([127, a, b, c.clamp(1, 254)], 4430));
    (config.http, config.media) = (at, at);
    config.media_tcp = MediaTcp::Auto;
    config.relay.listen = Some(at);
}

async fn shared_with_tls(folder: &Path) -> TestServer {
    serve(folder, |config| {
        share(config);
        config.relay.host = Some("localhost".to_owned());
    })
    .await
}

/// What somebody begins with who wants an allocation and has shown nothing yet.
fn allocate() -> Vec<u8> {
    stun(0x0003, &[(0x0019, vec![17, 0, 0, 0])])
}

/// Reads the relay's answer to a stranger.
async fn is_asked_who_it_is(stream: &mut (impl AsyncRead + Unpin)) {
    let mut answer = [0; 56];
    let read = tokio::time::timeout(DEADLINE, stream.read_exact(&mut answer)).await;
    read.unwrap().unwrap();
    assert_eq!(answer[..4], [1, 0x13, 0, 36], "an error");
    assert_eq!(answer[20..28], [0, 9, 0, 4, 0, 0, 4, 1], "401");
}

async fn comes_to_the_relay(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    stream.write_all(&allocate()).await.unwrap();
    is_asked_who_it_is(&mut stream).await;
}

/// Returns a line's value in a session description.
fn value_of<'a>(sdp: &'a str, line: &str) -> &'a str {
    sdp.lines().find_map(|it| it.strip_prefix(line)).unwrap()
}

/// Returns a check of the peer that an answer was for, in its frame (RFC 8445, section 7.1; RFC 4571).
fn check_of(answer: &str) -> Vec<u8> {
    let (ours, offer) = (value_of(answer, "a=ice-ufrag:"), offer());
    let name = format!("{ours}:{}", value_of(&offer, "a=ice-ufrag:"));
    let attributes = [
        (0x0006, name.into_bytes()),
        (0x0024, vec![90, 0, 30, 255]),
        (0x802a, vec![1; 8]),
    ];
    let mut check = stun(0x0001, &attributes);
    // One that comes again counts for nothing.
    let number: [u8; 12] = rand::random();
    check[8..20].copy_from_slice(&number);
    let signed_len = |check: &[u8], more: usize| u16::try_from(check.len() - 20 + more).unwrap();
    let length = signed_len(&check, 24).to_be_bytes();
    check[2..4].copy_from_slice(&length);
    let pwd = value_of(answer, "a=ice-pwd:").as_bytes();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, pwd);
    let tag = hmac::sign(&key, &check);
    check.extend([0, 8, 0, 20]);
    check.extend(tag.as_ref());
    let length = signed_len(&check, 8).to_be_bytes();
    check[2..4].copy_from_slice(&length);
    let fingerprint = crc32(&check) ^ 0x5354_554e;
    check.extend([0x80, 0x28, 0, 4]);
    check.extend(fingerprint.to_be_bytes());
    let length = u16::try_from(check.len()).unwrap().to_be_bytes();
    [&length[..], &check].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    let byte = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(u32::MAX, byte)
}

/// Reads an answer to a check that found its peer, in its frame. The server's own checks come between.
async fn check_is_answered(stream: &mut TcpStream) {
    let read = async {
        loop {
            let mut frame = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut frame).await.unwrap();
            if frame[..2] == [1, 1] {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, read).await.unwrap();
}

/// Is announced by WHIP in the clear, and returns the server's answer.
async fn announced(server: &TestServer) -> String {
    let made = request(server, "POST", "/whip/demo", &[KEY, SDP], offer()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.body.as_str().unwrap().to_owned()
}

/// The same by HTTPS.
async fn announced_by_tls(server: &TestServer, made: &Made) -> String {
    let stream = connect(server.http(), trusting(made.der()), "localhost").await;
    let request = Request::post("/whip/demo")
        .header("host", "localhost")
        .header(SDP.0, SDP.1)
        .header(KEY.0, KEY.1);
    let body = Full::new(Bytes::from(offer()));
    let made = ask(stream.unwrap(), request.body(body).unwrap()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.body.as_str().unwrap().to_owned()
}

/// Waits until the server's numbers have a line, over HTTPS.
async fn settles(server: &TestServer, made: &Made, line: &str) {
    let settled = async {
        loop {
            let stream = connect(server.http(), trusting(made.der()), "localhost").await;
            let request = Request::get("/metrics").header("host", "localhost");
            let token = "Bearer for-the-figures-of-a-test-and-nothing-else";
            let request = request.header("authorization", token);
            let text = ask(stream.unwrap(), request.body(Full::default()).unwrap()).await;
            if text.body.as_str().unwrap().lines().any(|it| it == line) {
                return;
            }
        }
    };
    let settled = tokio::time::timeout(DEADLINE, settled).await;
    assert!(settled.is_ok(), "{line} never came");
}

#[tokio::test]
async fn https_wss_ice_tcp_and_turn_are_served_on_one_port_and_clients_are_told_it() {
    let (folder, made) = (TempDir::new(), Made::new("localhost"));
    made.write(folder.path());
    let server = shared_with_tls(folder.path()).await;
    let at = server.http();
    assert_eq!(server.server.media(), [at]);
    assert_eq!(server.server.relay(), Some(at));
    assert_eq!(get(&server, &made, "/healthz").await.status, 200);
    assert!(is_answered(&mut socket(&server, &made).await).await);

    let join = json!({ "name": "Gus" });
    let joined = post(&server, &made, "/api/v1/rooms/demo/join", join).await;
    // UDP is media's there.
    let urls = ["turn", "turns"].map(|it| format!("{it}:localhost:4430?transport=tcp"));
    assert_eq!(joined.body["iceServers"][0]["urls"], json!(urls));

    comes_to_the_relay(TcpStream::connect(at).await.unwrap()).await;
    for said in [&[][..], &["stun.turn"], &["http/1.1"], &["h2", "stun.turn"]] {
        let mut config = trusting(made.der());
        config.alpn_protocols = said.iter().map(|it| it.as_bytes().to_vec()).collect();
        comes_to_the_relay(connect(at, config, "localhost").await.unwrap()).await;
    }

    let answer = announced_by_tls(&server, &made).await;
    let told = format!(" {} {} typ host tcptype passive", at.ip(), at.port());
    assert!(answer.contains(&told), "{answer}");
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(&check_of(&answer)).await.unwrap();
    check_is_answered(&mut stream).await;
    for (protocol, count) in [("ice_tcp", 1), ("turn", 1), ("turns", 4)] {
        let name = "klieg_shared_port_connections_total";
        let line = format!("{name}{{protocol=\"{protocol}\"}} {count}");
        settles(&server, &made, &line).await;
    }
    server.server.stop().await;
}

#[tokio::test]
async fn without_tls_http_ice_tcp_and_turn_share_a_port_too() {
    let server = TestServer::start_with(share).await;
    assert_eq!(server.get("/healthz", None).await.status, 200);
    comes_to_the_relay(TcpStream::connect(server.http()).await.unwrap()).await;
    let mut stream = TcpStream::connect(server.http()).await.unwrap();
    let check = check_of(&announced(&server).await);
    stream.write_all(&check).await.unwrap();
    check_is_answered(&mut stream).await;
    // A handshake of TLS is nothing here.
    let mut stream = TcpStream::connect(server.http()).await.unwrap();
    stream.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
    assert!(ended(&mut stream, DEADLINE).await);
    server
        .settles(r#"klieg_shared_port_refused_total{reason="not_served"} 1"#)
        .await;
}

#[tokio::test]
async fn nothing_is_lost_however_it_is_cut_into_segments() {
    let server = TestServer::start_with(share).await;
    let at = server.http();
    let (answer, allocation) = (announced(&server).await, allocate());
    let get = format!("GET /healthz HTTP/1.1\r\nhost: {at}\r\n");
    let asked = format!("{get}\r\n{get}connection: close\r\n\r\n");
    // All of it at once, twice over; and byte by byte as far as it is told by.
    for first in [usize::MAX, 1, 9, 10, 11] {
        let mut turn = TcpStream::connect(at).await.unwrap();
        send_cut(&mut turn, &allocation.repeat(2), first).await;
        is_asked_who_it_is(&mut turn).await;
        is_asked_who_it_is(&mut turn).await;

        let mut media = TcpStream::connect(at).await.unwrap();
        let checks = [check_of(&answer), check_of(&answer)].concat();
        send_cut(&mut media, &checks, first).await;
        check_is_answered(&mut media).await;
        check_is_answered(&mut media).await;

        let mut web = TcpStream::connect(at).await.unwrap();
        send_cut(&mut web, asked.as_bytes(), first).await;
        let mut answers = String::new();
        web.read_to_string(&mut answers).await.unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    }
}

/// Sends the first bytes alone, each in a segment of its own where it is few of them, and then the rest.
async fn send_cut(stream: &mut TcpStream, bytes: &[u8], first: usize) {
    stream.set_nodelay(true).unwrap();
    let (first, rest) = bytes.split_at(first.min(bytes.len()));
    if first.len() <= 10 {
        for byte in first.chunks(1) {
            stream.write_all(byte).await.unwrap();
            tokio::task::yield_now().await;
        }
    } else {
        stream.write_all(first).await.unwrap();
    }
    stream.write_all(rest).await.unwrap();
}

#[tokio::test]
async fn what_nobody_speaks_is_hung_up_on_without_a_word_and_counted() {
    let (folder, made) = (TempDir::new(), Made::new("localhost"));
    made.write(folder.path());
    let server = shared_with_tls(folder.path()).await;
    let (at, mut counted) = (server.http(), BTreeMap::new());
    for (bytes, reason) in [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".as_slice(), "no_tls"),
        (&[0xff; 64], "unknown"),
        (&[0, 0x6c, 0, 1, 0, 0x58, 1, 2, 3, 4], "unknown"),
        (&[0x40, 1, 0, 4, 1, 2, 3, 4], "unknown"),
        (&[0x16, 2], "unknown"),
        (&[], "gone"),
    ] {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        // It may have hung up already.
        let _ = stream.shutdown().await;
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        assert_eq!(said, b"", "{bytes:?}");
        *counted.entry(reason).or_insert(0) += 1;
    }
    for (reason, count) in counted {
        let name = "klieg_shared_port_refused_total";
        let line = format!("{name}{{reason=\"{reason}\"}} {count}");
        settles(&server, &made, &line).await;
    }
    // Within TLS frames are nothing, and another handshake is none.
    for bytes in [&check_of("a=ice-ufrag:x\na=ice-pwd:y")[..], &[0x16, 3, 1]] {
        let mut stream = connect(at, trusting(made.der()), "localhost")
            .await
            .unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        assert_eq!(said, b"");
    }
    let line = r#"klieg_shared_port_refused_total{reason="not_served"} 2"#;
    settles(&server, &made, line).await;
}

#[tokio::test]
async fn who_says_nothing_gives_way_and_keeps_nobody_out() {
    let (folder, made) = (TempDir::new(), Made::new("localhost"));
    made.write(folder.path());
    let server = shared_with_tls(folder.path()).await;
    let mut silent = Vec::new();
    for number in 0..70_u8 {
        let mut stream = TcpStream::connect(server.http()).await.unwrap();
        // Some have begun to say something.
        let begun = [0_u8, 0x6c, 0, 1];
        let said = begun.get(..usize::from(number) % 5).unwrap_or_default();
        stream.write_all(said).await.unwrap();
        silent.push(stream);
    }
    for oldest in &mut silent[..6] {
        assert!(ended(oldest, DEADLINE).await);
    }
    assert_eq!(get(&server, &made, "/healthz").await.status, 200);
    comes_to_the_relay(TcpStream::connect(server.http()).await.unwrap()).await;
    comes_to_the_relay(
        connect(server.http(), trusting(made.der()), "localhost")
            .await
            .unwrap(),
    )
    .await;
    drop(silent);
}

#[tokio::test]
async fn who_has_a_port_of_its_own_is_not_served_at_that_of_http() {
    let server = TestServer::start_with(|config| {
        share(config);
        config.media.set_port(0);
    })
    .await;
    let at = server.http();
    let answer = announced(&server).await;
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(&check_of(&answer)).await.unwrap();
    assert!(ended(&mut stream, DEADLINE).await);
    server
        .settles(r#"klieg_shared_port_refused_total{reason="not_served"} 1"#)
        .await;
    // The relay has UDP of that port for itself, then.
    let join = json!({ "name": "Gus" });
    let reply = server.post("/api/v1/rooms/demo/join", None, join).await;
    let urls = ["udp", "tcp"].map(|it| format!("turn:{at}?transport={it}"));
    assert_eq!(reply.body["iceServers"][0]["urls"], json!(urls));
    let udp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..2 {
        udp.send_to(&stun(0x0001, &[]), at).await.unwrap();
    }
    tokio::time::timeout(DEADLINE, udp.readable())
        .await
        .unwrap()
        .unwrap();
}

#[test]
fn a_check_says_what_is_answered_at_the_port_and_what_cannot_be_shared() {
    let (data, mut config) = (TempDir::new(), Config::development());
    share(&mut config);
    let at = config.http;
    let write = |relay: &str| {
        let settings =
            format!("http = \"{at}\"\nmedia = \"{at}\"\n[relay]\nlisten = \"{relay}\"\n");
        std::fs::write(data.path().join("klieg.toml"), settings).unwrap();
        check(&data, &|_| ()).1
    };
    let text = write(&at.to_string());
    for said in [
        format!("http: TCP {at} is free, and answers HTTP, WS, ICE-TCP, TURN"),
        format!("media_tcp: TCP {at} is that of http"),
        format!("relay.listen: {at} is that of http for TCP; its UDP is media's"),
    ] {
        assert!(text.contains(&said), "{text}");
    }
    let text = write("0.0.0.0:4430");
    assert!(
        text.contains("relay.listen: 0.0.0.0:4430 and `http`"),
        "{text}"
    );
}
