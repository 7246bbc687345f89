//! Whoever forges the address of another has no port of the server send them more than was sent.

use std::net::SocketAddr;

use tokio::net::UdpSocket;

use crate::harness::{TestServer, offer};
use crate::wish::{KEY, SDP, request};

#[tokio::test]
async fn no_port_sends_a_stranger_more_bytes_than_it_got() {
    let server = TestServer::start_with(|config| {
        config.relay.listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    // Somebody is expected, whose user name is known: it stands in what a proxy may have seen.
    let made = request(&server, "POST", "/whip/demo", &[KEY, SDP], offer()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let answer = made.body.as_str().unwrap();
    let ufrag = answer
        .lines()
        .find_map(|it| it.strip_prefix("a=ice-ufrag:"));
    let datagrams = datagrams(ufrag.unwrap());
    let media = server.server.media()[0];
    let relay = server.server.relay().unwrap();

    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let came = send_all(&stranger, media, &datagrams).await;
    let count = datagrams.len() * ROUNDS;
    server
        .settles(&format!("klieg_sfu_datagrams_received_total {count}"))
        .await;
    let left = received(&stranger);
    assert_eq!(left, 0, "the media port is silent; {came} bytes came");

    let came = send_all(&stranger, relay, &datagrams).await;
    // Datagrams are dealt with in their order.
    let last = UdpSocket::bind("127.0.0.3:0").await.unwrap();
    for _ in 0..2 {
        last.send_to(&stun(0x0001, &[]), relay).await.unwrap();
    }
    last.readable().await.unwrap();
    let left = received(&stranger);
    assert!(0 < left && left <= came, "{came} bytes came, {left} left");
}

/// Sends them all, several times, and returns how many bytes that were.
async fn send_all(from: &UdpSocket, to: SocketAddr, datagrams: &[Vec<u8>]) -> usize {
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        for datagram in datagrams {
            bytes += from.send_to(datagram, to).await.unwrap();
        }
    }
    bytes
}

/// Returns how many bytes have come.
fn received(socket: &UdpSocket) -> usize {
    let mut buffer = [0; 2048];
    let mut bytes = 0;
    while let Ok((length, _)) = socket.try_recv_from(&mut buffer) {
        bytes += length;
    }
    bytes
}

/// What somebody may send who knows no secret: each kind of message that there is on these ports, long and short.
fn datagrams(ufrag: &str) -> Vec<Vec<u8>> {
    let integrity = (0x0008, vec![7; 20]);
    let names = [
        "nobody:abcd".to_owned(),
        format!("{ufrag}:abcd"),
        "9999999999:ann".to_owned(),
    ];
    let named = names.map(|name| (0x0006, name.into_bytes()));
    let udp = (0x0019, vec![17, 0, 0, 0]);
    let mut all = Vec::new();
    // Requests, indications and answers of STUN and TURN, and one that there is not.
    for typ in [
        0x0001, 0x0003, 0x0004, 0x0008, 0x0009, 0x0011, 0x0016, 0x0101, 0x0111, 0x0fff,
    ] {
        all.push(stun(typ, &[]));
        all.push(stun(typ, std::slice::from_ref(&udp)));
        for name in &named {
            all.push(stun(typ, &[name.clone(), integrity.clone()]));
            let shown = [
                (0x0014, b"klieg".to_vec()),
                (0x0015, b"AAAAAAAAAAAA".to_vec()),
            ];
            let [realm, nonce] = shown;
            all.push(stun(
                typ,
                &[udp.clone(), name.clone(), realm, nonce, integrity.clone()],
            ));
        }
    }
    // DTLS, SRTP, SRTCP, ChannelData, QUIC, and noise.
    for first in [22, 23, 128, 0x40, 0x4f, 0xc0, 5] {
        all.push([&[first, 0xfe, 0xfd, 0][..], &[0; 60]].concat());
        all.push(vec![first; 1200]);
    }
    all.push([&[128, 200, 0, 6][..], &[0; 38]].concat());
    all
}

/// Writes a message of STUN.
pub(crate) fn stun(typ: u16, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (typ, value) in attributes {
        body.extend(typ.to_be_bytes());
        body.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        body.extend(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let length = u16::try_from(body.len()).unwrap();
    let head = [
        typ.to_be_bytes(),
        length.to_be_bytes(),
        [0x21, 0x12],
        [0xa4, 0x42],
    ]
    .concat();
    [head, vec![9; 12], body].concat()
}

/// What is earned with one round may be spent in the next.
const ROUNDS: usize = 5;
