//! One shard's socket on the shared port: batches in, runs out (quinn-udp keeps the kernel's details).

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use klieg_sfu_core::Path;
use klieg_sfu_core::node::Transmit;
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::config::Offload;
use crate::runs::{Runs, Trouble, trouble};

/// Kernel buffers that each media thread asks for, in bytes, of either direction. A keyframe to a thousand viewers is
/// larger than the default.
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Largest datagram, in bytes.
const MAX_DATAGRAM: usize = 65_535;

/// Errors of earlier datagrams that are read at once, and times that a datagram is tried again because one
/// of them stood in its way.
const MAX_ERRORS: usize = 64;
const MAX_TRIES: usize = 4;

/// A socket that several shards share the port of.
#[derive(Debug)]
pub(crate) struct ShardSocket {
    socket: UdpSocket,
    state: UdpSocketState,
    /// Whether IPv4 destinations must be written as IPv6.
    is_ipv6: bool,
    /// Which destinations get runs.
    runs: Runs,
    /// What happened since the start.
    counts: Counts,
    /// Errors with which the next calls end; `None`: that one reaches the kernel.
    #[cfg(test)]
    pub(crate) faults: std::collections::VecDeque<Option<io::Error>>,
}

/// What a socket asks of its kernel once, to know whether it can.
struct Kernel {
    /// To say what the network reports of earlier datagrams (`IP_RECVERR`).
    hear_errors: fn(&UdpSocketState, UdpSockRef<'_>) -> io::Result<()>,
    /// To receive several datagrams in one call (`recvmmsg`).
    receive: fn(&UdpSocketState, UdpSockRef<'_>) -> io::Result<usize>,
}

/// What a socket has counted since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Runs that left as single datagrams.
    pub(crate) plain_runs: u64,
    /// Errors that the network reported of earlier datagrams (ICMP).
    pub(crate) network_errors: u64,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The kernel has it.
    Whole,
    /// The socket's buffer is full: this many bytes of it were taken.
    Full(usize),
    /// A queue behind the socket was full (`ENOBUFS`): what was left of it is lost.
    Lost,
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
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&listen.into())?;
    // The kernel may grant less than asked for; that is not an error but seen as loss.
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    Ok(socket.into())
}

impl ShardSocket {
    /// Takes over a bound socket; to be called within the shard's own runtime.
    ///
    /// # Errors
    /// The kernel does not let a socket be used so at all. What it merely lacks is done without.
    pub(crate) fn new(socket: std::net::UdpSocket, offload: Offload) -> io::Result<Self> {
        let kernel = Kernel {
            hear_errors: UdpSocketState::enable_transport_errors,
            receive: receive_one,
        };
        Self::with(socket, offload, &kernel)
    }

    fn with(socket: std::net::UdpSocket, offload: Offload, kernel: &Kernel) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        // Without them the kernel keeps to itself what the queues behind the socket dropped.
        if let Err(error) = (kernel.hear_errors)(&state, UdpSockRef::from(&socket)) {
            tracing::warn!(%error, "packets that this machine's own queues drop will not be counted");
        }
        // Some sandboxes know the call and refuse it: better no server than a deaf one.
        if let Err(error) = (kernel.receive)(&state, UdpSockRef::from(&socket))
            && matches!(error.raw_os_error(), Some(NO_SUCH_CALL | NOT_ALLOWED))
        {
            let text = "this system does not receive datagrams in batches (recvmmsg)";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let is_ipv6 = socket.local_addr()?.is_ipv6();
        let runs = Runs::new(offload, state.max_gso_segments());
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            state,
            is_ipv6,
            runs,
            counts: Counts::default(),
            #[cfg(test)]
            faults: std::collections::VecDeque::new(),
        })
    }

    /// Waits until there is something to receive.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Returns what happened since the start.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Receives one batch into `buffers` and gives each datagram to `take`. Returns how many there were.
    pub(crate) fn receive(
        &self,
        buffers: &mut ReceiveBuffers,
        mut take: impl FnMut(Path, &[u8]),
    ) -> io::Result<usize> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let received = self.socket.try_io(Interest::READABLE, || {
            let reads = buffers.reads();
            let mut slices = buffers.slices();
            let slices = slices.get_mut(..reads).unwrap_or_default();
            self.state
                .recv(UdpSockRef::from(&self.socket), slices, &mut metas)
        })?;
        let mut datagrams = 0;
        for (meta, buffer) in metas.iter().take(received).zip(buffers.chunks()) {
            let remote = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            let path = Path {
                local: meta.dst_ip.map(|ip| ip.to_canonical()),
                remote,
                connection: None,
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
    pub(crate) fn send(&mut self, transmit: &Transmit, contents: &[u8]) -> Sent {
        let remote = transmit.path.remote;
        let Some(segment_size) = transmit.segment_size else {
            return self.send_datagram(transmit, contents, 0);
        };
        let part = segment_size * self.runs.segments(remote);
        if part <= segment_size {
            self.counts.plain_runs += 1;
            return self.send_plain(transmit, (contents, segment_size), 0);
        }
        for (index, chunk) in contents.chunks(part).enumerate() {
            let before = index * part;
            match self.try_send(transmit, chunk, Some(segment_size)) {
                Ok(()) => self.runs.worked(),
                Err(error) if Runs::may_refuse(&error) => {
                    let rest = contents.get(before..).unwrap_or_default();
                    return self.send_refused(transmit, (rest, segment_size), before);
                }
                Err(error) => return sent(&error, transmit, before),
            }
        }
        Sent::Whole
    }

    /// Reads the errors that the network reported of earlier datagrams; returns how many there were. Each
    /// of them would end a call for another destination.
    pub(crate) fn take_errors(&mut self) -> usize {
        let mut taken = 0;
        while taken < MAX_ERRORS
            && let Ok(Some(error)) = self
                .state
                .recv_transport_error(UdpSockRef::from(&self.socket))
        {
            tracing::trace!(?error, "the network refused an earlier datagram");
            taken += 1;
        }
        self.counts.network_errors += taken as u64;
        taken
    }

    /// Sends a run that was refused as single datagrams: what then leaves, was refused for being a run.
    fn send_refused(
        &mut self,
        transmit: &Transmit,
        (contents, segment_size): (&[u8], usize),
        before: usize,
    ) -> Sent {
        self.counts.plain_runs += 1;
        let sent = self.send_plain(transmit, (contents, segment_size), before);
        if sent == Sent::Whole {
            self.runs.refused(transmit.path.remote);
        }
        sent
    }

    fn send_plain(
        &mut self,
        transmit: &Transmit,
        (contents, segment_size): (&[u8], usize),
        before: usize,
    ) -> Sent {
        for (index, datagram) in contents.chunks(segment_size.max(1)).enumerate() {
            match self.send_datagram(transmit, datagram, before + index * segment_size) {
                Sent::Whole => {}
                other @ (Sent::Full(_) | Sent::Lost | Sent::Refused) => return other,
            }
        }
        Sent::Whole
    }

    fn send_datagram(&mut self, transmit: &Transmit, datagram: &[u8], before: usize) -> Sent {
        match self.try_send(transmit, datagram, None) {
            Ok(()) => Sent::Whole,
            Err(error) => sent(&error, transmit, before),
        }
    }

    /// Calls the kernel; again where the error of an earlier datagram stood in the way of this one.
    fn try_send(
        &mut self,
        transmit: &Transmit,
        contents: &[u8],
        segment_size: Option<usize>,
    ) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: self.destination(transmit.path.remote),
            ecn: None,
            contents,
            segment_size,
            src_ip: transmit.path.local.map(|ip| self.own_family(ip)),
        };
        for _ in 1..MAX_TRIES {
            match self.call(&transmit) {
                Err(error) if trouble(&error) == Trouble::Other && self.take_errors() > 0 => {}
                result => return result,
            }
        }
        self.call(&transmit)
    }

    fn call(&mut self, transmit: &quinn_udp::Transmit<'_>) -> io::Result<()> {
        #[cfg(test)]
        if let Some(Some(fault)) = self.faults.pop_front() {
            return Err(fault);
        }
        // Not by way of the runtime: an error that the network reports would end its idea of when the
        // socket is writable for good.
        self.state
            .try_send(UdpSockRef::from(&self.socket), transmit)
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
        Self::with(BATCH_SIZE)
    }

    /// Makes room for so many reads in one call, at most [`BATCH_SIZE`].
    fn with(reads: usize) -> Self {
        Self {
            bytes: vec![0; MAX_DATAGRAM * reads],
        }
    }

    fn reads(&self) -> usize {
        self.bytes.len() / MAX_DATAGRAM
    }

    fn slices(&mut self) -> [IoSliceMut<'_>; BATCH_SIZE] {
        let mut chunks = self.bytes.chunks_exact_mut(MAX_DATAGRAM);
        std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()))
    }

    fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(MAX_DATAGRAM)
    }
}

/// `ENOSYS`: the kernel, or what stands for it, has no such call.
const NO_SUCH_CALL: i32 = 38;
/// `EPERM`: what confines this process lets it have no such call.
const NOT_ALLOWED: i32 = 1;

/// Receives a datagram, if there is one: nobody has been told the port yet.
fn receive_one(state: &UdpSocketState, socket: UdpSockRef<'_>) -> io::Result<usize> {
    let mut byte = [0];
    let mut metas = [RecvMeta::default()];
    state.recv(socket, &mut [IoSliceMut::new(&mut byte)], &mut metas)
}

fn sent(error: &io::Error, transmit: &Transmit, before: usize) -> Sent {
    match trouble(error) {
        Trouble::Full => Sent::Full(before),
        Trouble::Lost => Sent::Lost,
        Trouble::Other => {
            tracing::debug!(%error, remote = %transmit.path.remote, "datagram refused");
            Sent::Refused
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(listen: SocketAddr, offload: Offload) -> ShardSocket {
        ShardSocket::new(bind(listen).unwrap(), offload).unwrap()
    }

    /// Makes what leaves for a socket: `segment_size` bytes each.
    fn to(receiver: &ShardSocket, segment_size: Option<usize>) -> Transmit {
        let remote = receiver.socket.local_addr().unwrap();
        let path = Path {
            local: None,
            remote,
            connection: None,
        };
        Transmit { path, segment_size }
    }

    fn error(code: i32) -> io::Error {
        io::Error::from_raw_os_error(code)
    }

    /// Splits as the receiver should see it.
    fn parts(contents: &[u8], size: usize) -> Vec<Vec<u8>> {
        contents.chunks(size).map(<[u8]>::to_vec).collect()
    }

    fn pair() -> (ShardSocket, ShardSocket) {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let sockets = [(); 2].map(|()| socket(loopback, Offload::Auto));
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
        let (mut sender, receiver) = pair();
        let contents: Vec<u8> = (0..250).collect();

        let sent = sender.send(&to(&receiver, Some(100)), &contents);

        assert_eq!(sent, Sent::Whole);
        assert_eq!(receive_all(&receiver, 3).await, parts(&contents, 100));
        assert_eq!(sender.counts().plain_runs, 0);
    }

    #[tokio::test]
    async fn a_refused_run_arrives_as_its_datagrams_and_harms_nobody_else() {
        // What kernels and cards answer that take no runs, or not to there.
        for code in [5, 22, 90, 95] {
            let (mut sender, refused) = pair();
            let other = socket(SocketAddr::from(([127, 0, 0, 1], 0)), Offload::Auto);
            let contents: Vec<u8> = (0..250).collect();
            assert_eq!(sender.send(&to(&other, Some(100)), &contents), Sent::Whole);
            sender.faults.push_back(Some(error(code)));

            for _ in 0..2 {
                let sent = sender.send(&to(&refused, Some(100)), &contents);
                assert_eq!(sent, Sent::Whole);
                assert_eq!(receive_all(&refused, 3).await, parts(&contents, 100));
            }
            assert_eq!(sender.counts().plain_runs, 2, "the second is not tried");
            sender.send(&to(&other, Some(100)), &contents);
            assert_eq!(sender.counts().plain_runs, 2, "the other one gets runs");
            assert_eq!(receive_all(&other, 6).await.len(), 6);
        }
    }

    #[tokio::test]
    async fn a_run_that_this_kernel_refuses_arrives_as_its_datagrams() {
        let (mut sender, receiver) = pair();
        // More segments than any kernel takes in one call.
        sender.runs = Runs::new(Offload::Auto, 1000);
        let contents: Vec<u8> = (0..=250).cycle().take(2000).collect();
        let sent = sender.send(&to(&receiver, Some(10)), &contents);
        assert_eq!(sent, Sent::Whole);
        assert_eq!(receive_all(&receiver, 200).await, parts(&contents, 10));
        assert_eq!(sender.counts().plain_runs, 1);
    }

    #[tokio::test]
    async fn without_offload_each_datagram_is_a_call() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let (mut sender, receiver) = (socket(loopback, Offload::Off), pair().1);
        let contents: Vec<u8> = (0..250).collect();
        assert_eq!(
            sender.send(&to(&receiver, Some(100)), &contents),
            Sent::Whole
        );
        assert_eq!(receive_all(&receiver, 3).await, parts(&contents, 100));
        assert_eq!(sender.counts().plain_runs, 1);
    }

    #[tokio::test]
    async fn a_full_buffer_says_what_is_left_and_a_full_queue_that_it_is_lost() {
        let (mut sender, receiver) = pair();
        sender.runs = Runs::new(Offload::Off, 64);
        let contents = [7; 250];
        let transmit = to(&receiver, Some(100));
        sender.faults.push_back(Some(error(11)));
        assert_eq!(sender.send(&transmit, &contents), Sent::Full(0));
        sender.faults.push_back(Some(error(105)));
        assert_eq!(sender.send(&transmit, &contents), Sent::Lost);
        // The first datagram of a run has left when the second finds no room.
        sender.faults.extend([None, Some(error(11))]);
        assert_eq!(sender.send(&transmit, &contents), Sent::Full(100));
        assert_eq!(receive_all(&receiver, 1).await, [contents[..100].to_vec()]);
        sender.faults.extend([None, None, Some(error(105))]);
        assert_eq!(sender.send(&transmit, &contents), Sent::Lost);
        assert_eq!(sender.send(&transmit, &contents), Sent::Whole);
    }

    #[tokio::test]
    async fn one_who_is_gone_takes_no_packet_from_others() {
        let (mut sender, receiver) = pair();
        let gone = {
            let gone = socket(SocketAddr::from(([127, 0, 0, 1], 0)), Offload::Auto);
            to(&gone, None)
        };
        let live = to(&receiver, None);
        for number in 0..100 {
            // The answer that nobody listens is there before the next call.
            assert_eq!(sender.send(&gone, &[1; 100]), Sent::Whole);
            assert_eq!(sender.send(&live, &[number; 100]), Sent::Whole);
        }
        let arrived = receive_all(&receiver, 100).await;
        assert!(arrived.iter().map(|datagram| datagram[0]).eq(0..100));
        assert!(sender.counts().network_errors >= 100);

        // Nor does it close the socket for what others send.
        sender.send(&gone, &[1; 100]);
        let mut answering = receiver;
        assert_eq!(answering.send(&to(&sender, None), b"hello"), Sent::Whole);
        assert_eq!(receive_all(&sender, 1).await, [b"hello".to_vec()]);
    }

    #[tokio::test]
    async fn where_the_network_tells_no_errors_all_else_goes_on() {
        let kernel = Kernel {
            hear_errors: |_, _| Err(error(92)),
            receive: receive_one,
        };
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut sender =
            ShardSocket::with(bind(loopback).unwrap(), Offload::Auto, &kernel).unwrap();
        let receiver = pair().1;
        let gone = to(&pair().0, None);
        for number in 0..100 {
            assert_eq!(sender.send(&gone, &[1; 100]), Sent::Whole);
            assert_eq!(
                sender.send(&to(&receiver, None), &[number; 100]),
                Sent::Whole
            );
        }
        let arrived = receive_all(&receiver, 100).await;
        assert!(arrived.iter().map(|datagram| datagram[0]).eq(0..100));
        assert_eq!(sender.counts(), Counts::default());
    }

    #[tokio::test]
    async fn a_system_that_receives_no_batches_is_named_before_anybody_comes() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let with = |receive| {
            let kernel = Kernel {
                hear_errors: UdpSocketState::enable_transport_errors,
                receive,
            };
            ShardSocket::with(bind(loopback).unwrap(), Offload::Auto, &kernel)
        };
        let refused = with(|_, _| Err(error(NO_SUCH_CALL))).unwrap_err();
        assert!(refused.to_string().contains("recvmmsg"), "{refused}");
        // Nothing there, or the error of an earlier datagram, is no reason.
        for code in [11, 111] {
            let received: fn(&_, UdpSockRef<'_>) -> _ = match code {
                11 => |_, _| Err(error(11)),
                _ => |_, _| Err(error(111)),
            };
            assert!(with(received).is_ok());
        }
    }

    #[tokio::test]
    async fn datagrams_that_come_one_a_read_are_the_same_as_those_that_come_together() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let contents: Vec<u8> = (0..250).collect();
        let mut came = Vec::new();
        for (offload, slots) in [(Offload::Auto, BATCH_SIZE), (Offload::Off, 1)] {
            let (mut sender, receiver) = (socket(loopback, offload), pair().1);
            assert_eq!(
                sender.send(&to(&receiver, Some(100)), &contents),
                Sent::Whole
            );
            let mut buffers = ReceiveBuffers::with(slots);
            let (mut datagrams, mut reads) = (Vec::new(), 0);
            while datagrams.len() < 3 {
                receiver.readable().await.unwrap();
                let read = receiver.receive(&mut buffers, |path, datagram| {
                    assert_eq!(path.remote, sender.socket.local_addr().unwrap());
                    assert_eq!(path.local, Some(IpAddr::from([127, 0, 0, 1])));
                    datagrams.push(datagram.to_vec());
                });
                reads += usize::from(read.is_ok());
            }
            assert_eq!(datagrams, parts(&contents, 100));
            came.push(reads);
        }
        // The run came as one, each datagram by itself with a read of its own.
        assert_eq!(came, [1, 3]);
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
        let mut dual = socket(listen, Offload::Auto);
        let plain = socket(SocketAddr::from(([127, 0, 0, 1], 0)), Offload::Auto);

        assert_eq!(dual.send(&to(&plain, None), b"hello"), Sent::Whole);

        assert_eq!(receive_all(&plain, 1).await, [b"hello".to_vec()]);
    }
}
