//! UDP sockets that many light peers share: on loopback each has an address of its own (`127.0.0.0/8`).

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Datagrams of one length that came together; the last may be shorter.
pub(crate) struct Run<'a> {
    /// Our address; `None` where the kernel does not tell.
    pub(crate) local: Option<IpAddr>,
    pub(crate) remote: SocketAddr,
    pub(crate) bytes: &'a [u8],
    /// The length of each.
    pub(crate) stride: usize,
}

/// One socket.
pub(crate) struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Socket {
    /// Binds a socket that reaches `peer`, on a free port; within a runtime.
    pub(crate) fn bind(peer: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(peer);
        let socket = RawSocket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        let any: IpAddr = match peer {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        socket.bind(&SocketAddr::new(any, 0).into())?;
        // The kernel may grant less; what it drops then is seen and reported.
        socket.set_recv_buffer_size(BUFFER_BYTES)?;
        socket.set_send_buffer_size(BUFFER_BYTES)?;
        let socket: std::net::UdpSocket = socket.into();
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            state,
        })
    }

    /// Returns its port.
    pub(crate) fn port(&self) -> u16 {
        self.socket.local_addr().map_or(0, |local| local.port())
    }

    /// Waits until there is something to receive.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Receives a batch and gives each run of datagrams to `take`.
    pub(crate) fn receive(
        &self,
        buffers: &mut [u8],
        mut take: impl FnMut(Run<'_>),
    ) -> io::Result<()> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let received = self.socket.try_io(Interest::READABLE, || {
            let chunks = buffers.chunks_exact_mut(MAX_RUN);
            let mut slices: Vec<_> = chunks.map(IoSliceMut::new).collect();
            self.state
                .recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas)
        })?;
        let runs = metas.iter().zip(buffers.chunks_exact(MAX_RUN));
        for (meta, buffer) in runs.take(received) {
            take(Run {
                local: meta.dst_ip,
                remote: meta.addr,
                bytes: buffer.get(..meta.len).unwrap_or_default(),
                stride: meta.stride.max(1),
            });
        }
        Ok(())
    }

    /// Sends a datagram; what the kernel has no room for is lost.
    pub(crate) fn send(
        &self,
        from: Option<IpAddr>,
        to: SocketAddr,
        contents: &[u8],
    ) -> io::Result<()> {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents,
            segment_size: None,
            src_ip: from,
        };
        let reference = UdpSockRef::from(&self.socket);
        self.state.try_send(reference, &transmit)
    }
}

/// Makes what [`Socket::receive`] receives into.
pub(crate) fn buffers() -> Vec<u8> {
    vec![0; MAX_RUN * BATCH_SIZE]
}

/// Returns the loopback address of a peer.
pub(crate) fn address(peer: u32) -> Ipv4Addr {
    Ipv4Addr::from(FIRST_ADDRESS + (peer & 0x003f_ffff))
}

/// Returns whose loopback address it is.
pub(crate) fn peer_at(address: IpAddr) -> Option<u32> {
    match address.to_canonical() {
        IpAddr::V4(ip) => u32::from(ip).checked_sub(FIRST_ADDRESS),
        IpAddr::V6(_) => None,
    }
}

/// 127.64.0.1: apart from what else is on loopback.
const FIRST_ADDRESS: u32 = 0x7f40_0001;
/// The largest datagram, and the longest run that the kernel puts together.
const MAX_RUN: usize = 65_535;
const BUFFER_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_a_loopback_address() {
        for peer in [0, 1, 254, 255, 256, 70_000] {
            let address = address(peer);
            assert!(address.is_loopback());
            assert_eq!(peer_at(address.into()), Some(peer));
        }
        assert_eq!(peer_at(Ipv4Addr::LOCALHOST.into()), None);
    }

    #[tokio::test]
    async fn one_socket_has_many_addresses() {
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (ours, server) = (
            Socket::bind(to).unwrap(),
            UdpSocket::bind(to).await.unwrap(),
        );
        let to = server.local_addr().unwrap();
        let mut bytes = [0; 10];
        for peer in [5, 300] {
            ours.send(Some(address(peer).into()), to, b"hello").unwrap();
            let (_, from) = server.recv_from(&mut bytes).await.unwrap();
            assert_eq!(from.ip(), IpAddr::from(address(peer)));
            server.send_to(b"answer", from).await.unwrap();
            let (mut buffers, mut hit) = (buffers(), None);
            while hit.is_none() {
                ours.readable().await.unwrap();
                let _ = ours.receive(&mut buffers, |run| hit = run.local);
            }
            assert_eq!(hit.and_then(peer_at), Some(peer));
        }
    }
}
