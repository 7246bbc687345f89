//! The relay on sockets of this machine, with a client on a connection.

use std::net::{Ipv4Addr, SocketAddr};

use prometheus::Registry;
use stun::attributes::{
    ATTR_DATA, ATTR_NONCE, ATTR_REALM, ATTR_REQUESTED_TRANSPORT, ATTR_USERNAME,
    ATTR_XOR_PEER_ADDRESS,
};
use stun::message::Message;
use stun::xoraddr::XorMappedAddress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::{Embedded, Own, RelayConfig};
use crate::relay::wire::{self, Kind, Outgoing};
use crate::relay::{Frames, Limits, Peers, REALM};
use crate::{Credential, Secret};

const SECRET: &str = "a secret of some length";

/// A client on a connection.
struct Guest {
    stream: TcpStream,
    frames: Frames,
    nonce: Vec<u8>,
}

impl Guest {
    async fn come(to: SocketAddr) -> Self {
        Self::on(TcpStream::connect(to).await.unwrap()).await
    }

    async fn on(stream: TcpStream) -> Self {
        let mut guest = Self {
            stream,
            frames: Frames::default(),
            nonce: Vec::new(),
        };
        let allocate = || {
            let request = wire::request(Kind::Allocate, rand::random());
            request.attribute(ATTR_REQUESTED_TRANSPORT, &[17, 0, 0, 0])
        };
        let refused = guest.ask(allocate().open()).await;
        guest.nonce = refused.get(ATTR_NONCE).unwrap();
        let granted = guest.ask(guest.signed(allocate())).await;
        assert_eq!(granted.typ.value(), 0x0103);
        guest
    }

    fn signed(&self, request: Outgoing) -> Vec<u8> {
        let Credential { username, password } =
            Credential::new(&Secret::new(SECRET), "ann", 9_999_999_999);
        let key = wire::key(&username, REALM, password).unwrap();
        request
            .attribute(ATTR_USERNAME, username.as_bytes())
            .attribute(ATTR_REALM, REALM.as_bytes())
            .attribute(ATTR_NONCE, &self.nonce)
            .sealed(&key)
    }

    async fn ask(&mut self, bytes: Vec<u8>) -> Message {
        self.stream.write_all(&bytes).await.unwrap();
        let frame = loop {
            if let Some(frame) = self.frames.next_frame().unwrap() {
                break frame;
            }
            let mut buffer = [0; 2048];
            let length = self.stream.read(&mut buffer).await.unwrap();
            assert_ne!(length, 0, "the relay hung up");
            self.frames.extend(&buffer[..length]);
        };
        let mut message = Message::default();
        message.unmarshal_binary(&frame).unwrap();
        message
    }

    /// Sends something to a peer that sends it back, and returns who is said to have.
    async fn echo(&mut self, peer: SocketAddr) -> SocketAddr {
        let permit = wire::request(Kind::CreatePermission, rand::random());
        let permit = self.signed(permit.address(ATTR_XOR_PEER_ADDRESS, peer));
        assert_eq!(self.ask(permit).await.typ.value(), 0x0108);
        let send = wire::request(Kind::Send, rand::random())
            .attribute(ATTR_DATA, b"ping")
            .address(ATTR_XOR_PEER_ADDRESS, peer);
        let came = self.ask(send.open()).await;
        assert_eq!(came.get(ATTR_DATA).unwrap(), b"ping");
        let mut from = XorMappedAddress::default();
        from.get_from_as(&came, ATTR_XOR_PEER_ADDRESS).unwrap();
        SocketAddr::new(from.ip, from.port)
    }
}

fn start(media: Vec<SocketAddr>, max_connections: usize) -> Embedded {
    start_with(Own::UdpAndTcp, media, max_connections)
}

fn start_with(own: Own, media: Vec<SocketAddr>, max_connections: usize) -> Embedded {
    let config = RelayConfig {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        ports: 49_160..=49_959,
        secret: Secret::new(SECRET),
        peers: Peers {
            media,
            ..Peers::default()
        },
        media_listen: Ipv4Addr::LOCALHOST.into(),
        limits: Limits {
            allocations: 800,
            allocations_per_identity: 12,
            bytes_per_second: 1_000_000,
        },
        max_connections,
    };
    Embedded::start_sharing(config, own, None, &Registry::new()).unwrap()
}

#[tokio::test]
async fn media_behind_a_router_with_two_addresses_answers_at_the_one_that_was_meant() {
    let media = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = media.local_addr().unwrap().port();
    let told = [1, 2].map(|host| SocketAddr::from(([203, 0, 113, host], port)));
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = media.recv_from(&mut buffer).await {
            let _ = media.send_to(&buffer[..length], from).await;
        }
    });
    let relay = start(told.to_vec(), 10);
    let mut guest = Guest::come(relay.at()).await;
    for peer in [told[1], told[0], told[1]] {
        assert_eq!(guest.echo(peer).await, peer);
    }
}

#[tokio::test]
async fn whoever_holds_every_connection_and_says_nothing_is_hung_up_on_for_a_newcomer() {
    let relay = start(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 9))], 20);
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(relay.at()).await.unwrap());
    }
    Guest::come(relay.at()).await;
    let mut byte = [0];
    let said = silent[0].read(&mut byte).await;
    assert!(matches!(said, Ok(0) | Err(_)), "the oldest of them");
    assert!(silent[1].try_read(&mut byte).is_err(), "and no other");
}

#[tokio::test]
async fn who_comes_to_another_port_is_served_as_those_who_come_here() {
    let media = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let told = media.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = media.recv_from(&mut buffer).await {
            let _ = media.send_to(&buffer[..length], from).await;
        }
    });
    let other = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let other = other.await.unwrap();
    let at = other.local_addr().unwrap();
    for own in [Own::Nothing, Own::Udp, Own::UdpAndTcp] {
        let relay = start_with(own, vec![told], 10);
        let coming = TcpStream::connect(at).await.unwrap();
        let (stream, remote) = other.accept().await.unwrap();
        relay.door().take(Box::new(stream), remote);
        assert_eq!(Guest::on(coming).await.echo(told).await, told);
        let urls = relay.ways().urls(&["a".to_owned()], Some("b")).join(" ");
        assert_eq!(urls.contains("udp"), own != Own::Nothing, "{urls}");
    }
}
