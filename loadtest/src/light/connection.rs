//! A connection of one light peer's own (RFC 6544, active), with datagrams in frames on it (RFC 4571).

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::net::TcpStream;

/// One connection; it may still be on its way.
pub(crate) struct Connection {
    stream: TcpStream,
    remote: SocketAddr,
    /// What came of a frame that is not whole; at most one.
    came: RefCell<Vec<u8>>,
    /// What the kernel has not taken; at most [`MAX_WAITING`].
    waiting: RefCell<Vec<u8>>,
}

impl Connection {
    /// Begins to connect, from an address of this machine or whichever it takes; within a runtime.
    pub(crate) fn open(from: Option<IpAddr>, remote: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(remote);
        let socket = RawSocket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(from) = from {
            socket.bind(&SocketAddr::new(from, 0).into())?;
        }
        match socket.connect(&remote.into()) {
            Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        Ok(Self {
            stream: TcpStream::from_std(socket.into())?,
            remote,
            came: RefCell::default(),
            waiting: RefCell::default(),
        })
    }

    /// Returns where it leads.
    pub(crate) fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Waits until it is there.
    pub(crate) async fn connected(&self) -> io::Result<()> {
        self.stream.writable().await?;
        self.flush()
    }

    /// Waits until there is something to receive.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// Receives what there is, and gives each datagram to `take`.
    ///
    /// # Errors
    /// There is nothing more now, or for ever: then it is no [`io::ErrorKind::WouldBlock`].
    pub(crate) fn receive(&self, buffer: &mut [u8], mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let length = self.stream.try_read(buffer)?;
        let read = buffer.get(..length).filter(|read| !read.is_empty());
        let read = read.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut came = self.came.borrow_mut();
        came.extend_from_slice(read);
        let mut rest = came.as_slice();
        while let Some((datagram, after)) = frame(rest) {
            take(datagram);
            rest = after;
        }
        let used = came.len() - rest.len();
        came.drain(..used);
        drop(came);
        self.flush()
    }

    /// Sends a datagram; what finds no room is lost.
    pub(crate) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        let length = u16::try_from(datagram.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() + datagram.len() > MAX_WAITING {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        waiting.extend_from_slice(&length.to_be_bytes());
        waiting.extend_from_slice(datagram);
        drop(waiting);
        self.flush()
    }

    /// Writes what waits, as far as there is room.
    fn flush(&self) -> io::Result<()> {
        let mut waiting = self.waiting.borrow_mut();
        while !waiting.is_empty() {
            match self.stream.try_write(&waiting) {
                Ok(length) => drop(waiting.drain(..length)),
                Err(error) if is_later(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Returns whether there may be room later: while it is full, and before it is connected.
fn is_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
    )
}

/// Takes the first frame apart from what follows it; `None` where it is not whole.
fn frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(length)))
}

/// A viewer says little: a check, a report.
const MAX_WAITING: usize = 64 * 1024;

/// `EINPROGRESS`, as Linux numbers it.
const IN_PROGRESS: i32 = 115;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn datagrams_go_in_frames_however_they_are_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let from = "127.64.0.9".parse().unwrap();
        let ours = Connection::open(Some(from), listener.local_addr().unwrap()).unwrap();
        // Before it is connected, too.
        ours.send(b"check").unwrap();
        ours.connected().await.unwrap();
        let (mut server, remote) = listener.accept().await.unwrap();
        assert_eq!(remote.ip(), from);
        let mut bytes = [0; 7];
        server.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"\0\x05check");

        let (mut buffer, mut came) = ([0; 3], Vec::new());
        server.write_all(b"\0\x03one\0\0\0\x05three").await.unwrap();
        while came.len() < 3 {
            ours.readable().await.unwrap();
            let received = ours.receive(&mut buffer, |it| came.push(it.to_vec()));
            assert!(received.is_ok() || is_later(&received.unwrap_err()));
        }
        assert_eq!(came, [&b"one"[..], b"", b"three"]);
        drop(server);
        let ended = loop {
            ours.readable().await.unwrap();
            match ours.receive(&mut buffer, |_| ()) {
                Err(error) if is_later(&error) => {}
                ended => break ended,
            }
        };
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
