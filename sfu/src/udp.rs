//! One shard's socket on the shared port: batches in, runs out (quinn-udp keeps the kernel's details).

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use klieg_sfu_core::Path;
use klieg_sfu_core::node::Transmit;
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Kernel buffers of a socket, in bytes. A keyframe to a thousand viewers is larger than the default.
const BUFFER_BYTES: usize = 4 << 20;
/// Largest datagram, in bytes.
const MAX_DATAGRAM: usize = 65_535;

/// A socket that several shards share the port of.
#[derive(Debug)]
pub(crate) struct ShardSocket {
    socket: UdpSocket,
    state: UdpSocketState,
    /// Whether IPv4 destinations must be written as IPv6.
    is_ipv6: bool,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The kernel has it.
    Whole,
    /// The kernel's buffer is full: this many bytes of it were taken.
    Full(usize),
    /// The kernel refused it, for this destination.
    Refused,
}

/// Binds a socket on a port that others of this process may share.
pub(crate) fn bind(listen: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(listen),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if listen.is_ipv6() && listen.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&listen.into())?;
    // The kernel may grant less than asked for; that is not an error but seen as loss.
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    Ok(socket.into())
}

impl ShardSocket {
    /// Takes over a bound socket; to be called on the shard's own runtime.
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let is_ipv6 = socket.local_addr()?.is_ipv6();
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            state,
            is_ipv6,
        })
    }

    /// Waits until there is something to receive.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Waits until the kernel's buffer has room.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// Receives one batch into `buffers` and gives each datagram to `take`. Returns how many there were.
    pub(crate) fn receive(
        &self,
        buffers: &mut ReceiveBuffers,
        mut take: impl FnMut(Path, &[u8]),
    ) -> io::Result<usize> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let received = self.socket.try_io(Interest::READABLE, || {
            let mut slices = buffers.slices();
            self.state
                .recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas)
        })?;
        let mut datagrams = 0;
        for (meta, buffer) in metas.iter().take(received).zip(buffers.chunks()) {
            let remote = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            let path = Path {
                local: meta.dst_ip.map(|ip| ip.to_canonical()),
                remote,
            };
            let bytes = buffer.get(..meta.len).unwrap_or_default();
            if bytes.is_empty() {
                // One without a byte is one all the same, and to be counted.
                take(path, bytes);
                datagrams += 1;
            }
            // Several datagrams of one sender may have been coalesced, all of `stride` but the last.
            for datagram in bytes.chunks(meta.stride.max(1)) {
                take(path, datagram);
                datagrams += 1;
            }
        }
        Ok(datagrams)
    }

    /// Sends a run, as one system call where the kernel can.
    pub(crate) fn send(&self, transmit: &Transmit, contents: &[u8]) -> Sent {
        let Some(segment_size) = transmit.segment_size else {
            return self.send_part(transmit, contents, None, 0);
        };
        // One datagram at a time where the kernel has no segmentation offload, or lost it.
        let part = segment_size * self.state.max_gso_segments().max(1);
        for (index, chunk) in contents.chunks(part).enumerate() {
            let segment = (chunk.len() > segment_size).then_some(segment_size);
            match self.send_part(transmit, chunk, segment, index * part) {
                Sent::Whole => {}
                other @ (Sent::Full(_) | Sent::Refused) => return other,
            }
        }
        Sent::Whole
    }

    fn send_part(
        &self,
        transmit: &Transmit,
        contents: &[u8],
        segment_size: Option<usize>,
        before: usize,
    ) -> Sent {
        let transmit = quinn_udp::Transmit {
            destination: self.destination(transmit.path.remote),
            ecn: None,
            contents,
            segment_size,
            src_ip: transmit.path.local.map(|ip| self.own_family(ip)),
        };
        let result = self.socket.try_io(Interest::WRITABLE, || {
            self.state
                .try_send(UdpSockRef::from(&self.socket), &transmit)
        });
        match result {
            Ok(()) => Sent::Whole,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::Full(before),
            Err(error) => {
                tracing::debug!(%error, remote = %transmit.destination, "datagram refused");
                Sent::Refused
            }
        }
    }

    fn destination(&self, remote: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.own_family(remote.ip()), remote.port())
    }

    fn own_family(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(v4) if self.is_ipv6 => IpAddr::V6(v4.to_ipv6_mapped()),
            IpAddr::V4(_) | IpAddr::V6(_) => ip,
        }
    }
}

/// Where one batch of datagrams is received.
#[derive(Debug)]
pub(crate) struct ReceiveBuffers {
    bytes: Vec<u8>,
}

impl ReceiveBuffers {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; MAX_DATAGRAM * BATCH_SIZE],
        }
    }

    fn slices(&mut self) -> Vec<IoSliceMut<'_>> {
        self.bytes
            .chunks_exact_mut(MAX_DATAGRAM)
            .map(IoSliceMut::new)
            .collect()
    }

    fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(MAX_DATAGRAM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (ShardSocket, ShardSocket) {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let sockets = [(); 2].map(|()| ShardSocket::new(bind(loopback).unwrap()).unwrap());
        sockets.into()
    }

    async fn receive_all(socket: &ShardSocket, wanted: usize) -> Vec<Vec<u8>> {
        let mut buffers = ReceiveBuffers::new();
        let mut datagrams = Vec::new();
        while datagrams.len() < wanted {
            socket.readable().await.unwrap();
            let _ = socket.receive(&mut buffers, |_, datagram| {
                datagrams.push(datagram.to_vec())
            });
        }
        datagrams
    }

    #[tokio::test]
    async fn a_run_arrives_as_its_datagrams_with_a_shorter_last_one() {
        let (sender, receiver) = pair();
        let remote = receiver.socket.local_addr().unwrap();
        let path = Path {
            local: None,
            remote,
        };
        let contents: Vec<u8> = (0..250).collect();
        sender.writable().await.unwrap();

        let sent = sender.send(
            &Transmit {
                path,
                segment_size: Some(100),
            },
            &contents,
        );

        assert_eq!(sent, Sent::Whole);
        let arrived = receive_all(&receiver, 3).await;
        assert_eq!(
            arrived,
            contents.chunks(100).map(<[u8]>::to_vec).collect::<Vec<_>>()
        );
    }

    #[tokio::test]
    async fn a_datagram_without_a_byte_is_received() {
        let (sender, receiver) = pair();
        let remote = receiver.socket.local_addr().unwrap();
        sender.socket.send_to(&[], remote).await.unwrap();
        sender.socket.send_to(b"next", remote).await.unwrap();
        let arrived = receive_all(&receiver, 2).await;
        assert_eq!(arrived, [b"".to_vec(), b"next".to_vec()]);
    }

    #[tokio::test]
    async fn several_sockets_share_a_port() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let second = bind(first.local_addr().unwrap()).unwrap();
        assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
    }

    #[tokio::test]
    async fn a_dual_stack_socket_reaches_ipv4_and_reports_it_as_such() {
        let listen = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0));
        let dual = ShardSocket::new(bind(listen).unwrap()).unwrap();
        let plain = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let plain = ShardSocket::new(plain).unwrap();
        let remote = plain.socket.local_addr().unwrap();
        dual.writable().await.unwrap();

        let path = Path {
            local: None,
            remote,
        };
        assert_eq!(
            dual.send(
                &Transmit {
                    path,
                    segment_size: None
                },
                b"hello"
            ),
            Sent::Whole
        );

        assert_eq!(receive_all(&plain, 1).await, [b"hello".to_vec()]);
    }
}
