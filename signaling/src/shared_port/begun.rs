//! A stream of which something was read already: that comes first again.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::Refused;
use super::first_bytes::{MOST, Protocol, Verdict, told_by};

/// A stream and what was read of it.
#[derive(Debug)]
pub(super) struct Begun<S> {
    pub(super) stream: S,
    pub(super) first: First,
}

/// What was read of a stream and nobody has taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct First {
    bytes: [u8; MOST],
    taken: usize,
    read: usize,
}

impl First {
    /// Reads until it is told what is spoken: no more than that takes.
    ///
    /// # Errors
    /// Nothing that is served here, or the other side went.
    pub(super) async fn read<S: AsyncRead + Unpin>(
        stream: &mut S,
    ) -> Result<(Protocol, Self), Refused> {
        let mut first = Self::default();
        loop {
            match told_by(first.rest()) {
                Verdict::Is(protocol) => return Ok((protocol, first)),
                Verdict::Unknown => return Err(Refused::Unknown),
                Verdict::More => {}
            }
            let room = first.bytes.get_mut(first.read..).unwrap_or_default();
            let read = stream.read(room).await.map_err(|_| Refused::Gone)?;
            if read == 0 {
                return Err(Refused::Gone);
            }
            first.read += read;
        }
    }

    /// Returns what nobody has taken.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.taken..self.read).unwrap_or_default()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Begun<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = self.first.rest();
        if rest.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = rest.len().min(buffer.remaining());
        buffer.put_slice(rest.get(..length).unwrap_or_default());
        self.first.taken += length;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begun<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_was_read_comes_again_however_it_came_and_is_read() {
        let sent = b"GET /healthz HTTP/1.1\r\n\r\n";
        for cut in 1..sent.len() {
            let (mut ours, mut theirs) = duplex(64);
            let (before, after) = sent.split_at(cut);
            theirs.write_all(before).await.unwrap();
            let (protocol, first) = First::read(&mut ours).await.unwrap();
            assert_eq!(protocol, Protocol::Http);
            theirs.write_all(after).await.unwrap();
            drop(theirs);
            let mut begun = Begun {
                stream: ours,
                first,
            };
            let mut came = [0; 3];
            begun.read_exact(&mut came).await.unwrap();
            let mut all = came.to_vec();
            begun.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, sent);
        }
    }

    #[tokio::test]
    async fn who_goes_before_it_is_told_is_gone() {
        for sent in [&[][..], &[0, 1, 0]] {
            let (mut ours, mut theirs) = duplex(64);
            theirs.write_all(sent).await.unwrap();
            drop(theirs);
            assert_eq!(First::read(&mut ours).await.unwrap_err(), Refused::Gone);
        }
    }
}
