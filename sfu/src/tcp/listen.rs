//! The listener, and what every connection's socket is told.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::config::{Config, StartError, TcpListen};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;
/// What the kernel keeps of what leaves, in bytes; it counts twice as much, with its own overhead.
const SEND_BUFFER_BYTES: usize = 192 << 10;
/// What of it has not left, in bytes: the rest waits where it can still be decided about.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 32 << 10;
/// What the kernel keeps of what came, in bytes: 20 Mb/s from a publisher at 100 ms.
const RECEIVE_BUFFER_BYTES: usize = 256 << 10;

/// Binds the listener that the configuration asks for, and returns it with its address; `udp` is where datagrams come. There
/// is an address without one where another listens there.
pub(crate) fn bind(
    config: &Config,
    udp: SocketAddr,
) -> Result<Option<(Option<TcpListener>, SocketAddr)>, StartError> {
    let (listen, may_move) = match config.tcp {
        TcpListen::Off => return Ok(None),
        TcpListen::HandedOver(at) => return Ok(Some((None, at))),
        // Any free port was asked for, and what UDP was given may be taken.
        TcpListen::WithUdp => (udp, config.listen.port() == 0),
        TcpListen::At(listen) => (listen, false),
    };
    let anywhere = SocketAddr::new(listen.ip(), 0);
    let bound = match open(listen) {
        Err(error) if may_move && error.kind() == io::ErrorKind::AddrInUse => open(anywhere),
        other => other,
    };
    let at = |listener: TcpListener| {
        let at = listener.local_addr()?;
        Ok((Some(listener), at))
    };
    let bound = bound.and_then(at);
    bound
        .map(Some)
        .map_err(|source| StartError::BindTcp { listen, source })
}

fn open(listen: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(listen);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if listen.is_ipv6() && listen.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // Connections of a server that has just stopped do not keep the next one from its port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    // Before it listens, for the window that a connection begins with goes by it.
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&listen.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Has a connection that another listener took receive as one of ours does.
pub(super) fn adopt(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_recv_buffer_size(RECEIVE_BUFFER_BYTES) {
        tracing::debug!(%error, "a connection keeps the buffer that it has");
    }
}

/// Prepares the socket of a connection.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::tests::config;

    /// A listener on loopback that waits for those who come.
    pub(in crate::tcp) fn listener() -> TcpListener {
        let listener = open(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listener.set_nonblocking(false).unwrap();
        listener
    }

    #[test]
    fn the_port_is_that_of_udp_unless_another_is_named_or_none() {
        let mut config = config(Vec::new());
        // Somebody else on this machine may have one of them for TCP.
        let mut ports = (0..20).map(|_| {
            let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let at = udp.local_addr().unwrap();
            (at, bind(&config, at).unwrap().unwrap())
        });
        let is_the_same =
            |(udp, bound): &(SocketAddr, (Option<TcpListener>, SocketAddr))| *udp == bound.1;
        let (udp, with_udp) = ports.find(is_the_same).unwrap();
        let again = bind(&config, with_udp.1).unwrap().unwrap();
        assert_ne!(again.1, udp, "taken, and any port will do");
        config.listen.set_port(udp.port());
        assert!(matches!(
            bind(&config, udp),
            Err(StartError::BindTcp { listen, .. }) if listen == udp
        ));
        config.tcp = TcpListen::At(SocketAddr::from(([127, 0, 0, 1], 0)));
        assert!(bind(&config, udp).unwrap().is_some());
        config.tcp = TcpListen::HandedOver(udp);
        let (listener, at) = bind(&config, udp).unwrap().unwrap();
        assert!(listener.is_none(), "another listens");
        assert_eq!(at, udp);
        config.tcp = TcpListen::Off;
        assert!(bind(&config, udp).unwrap().is_none());
    }
}
