//! The port that clients come to: of one number by UDP and by TCP.

use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, UdpSocket};

use super::{Own, StartError};

/// What is bound of it.
#[derive(Debug)]
pub(super) struct Port {
    /// `None` where that is another's.
    pub(super) udp: Option<UdpSocket>,
    /// `None` where that is another's.
    pub(super) tcp: Option<TcpListener>,
    pub(super) at: SocketAddr,
}

/// Binds what is the relay's own.
///
/// # Errors
/// Some of it is taken, or not ours to take.
pub(super) fn bind(listen: SocketAddr, own: Own) -> Result<Port, StartError> {
    if own == Own::Nothing {
        return Ok(Port {
            udp: None,
            tcp: None,
            at: listen,
        });
    }
    // A number that the system chose for UDP may be taken for TCP.
    let attempts = if listen.port() == 0 { ATTEMPTS } else { 1 };
    let failed = |protocol, source| StartError::Bind {
        listen,
        protocol,
        source,
    };
    let mut attempt = 1;
    loop {
        let udp = bind_udp(listen).map_err(|source| failed("UDP", source))?;
        let at = udp.local_addr().map_err(|source| failed("UDP", source))?;
        let bound = (own == Own::UdpAndTcp).then(|| bind_tcp(at)).transpose();
        match bound {
            Ok(tcp) => {
                let udp = Some(udp);
                return Ok(Port { udp, tcp, at });
            }
            Err(source) if attempt == attempts => return Err(failed("TCP", source)),
            Err(_) => attempt += 1,
        }
    }
}

fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let udp = std::net::UdpSocket::bind(address)?;
    udp.set_nonblocking(true)?;
    let options = SockRef::from(&udp);
    // As far as the system lets it.
    let _ = options.set_recv_buffer_size(UDP_BUFFER_BYTES);
    let _ = options.set_send_buffer_size(UDP_BUFFER_BYTES);
    UdpSocket::from_std(udp)
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    // Connections inherit it. What a slow reader does not read is to be dropped, not kept for seconds.
    socket.set_send_buffer_size(TCP_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(1024)
}

const ATTEMPTS: usize = 16;
const UDP_BUFFER_BYTES: usize = 2 * 1024 * 1024;
const TCP_BUFFER_BYTES: u32 = 128 * 1024;
