//! A connection whose client has to read what it asked for: a few bytes now and then would hold a place for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// A stream that breaks when its other end takes too little while there is something to take.
pub(super) struct Paced<S> {
    stream: S,
    meter: Meter,
    /// Wakes whoever writes when a window ends; `None` until something had to wait.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// The least that is to be taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// In each of these.
    pub(super) window: Duration,
    /// So much.
    pub(super) bytes: usize,
}

/// Counts what is taken, without a clock of its own.
#[derive(Debug)]
struct Meter {
    pace: Pace,
    /// When the window ends that began when something had to wait, and what was taken in it; `None` while everything
    /// was taken.
    window: Option<(Instant, usize)>,
}

impl Meter {
    fn take(&mut self, bytes: usize) {
        if let Some((_, taken)) = &mut self.window {
            *taken += bytes;
        }
    }

    /// Takes note that something waits; returns when to look again.
    ///
    /// # Errors
    /// A window ended in which too little was taken.
    fn wait(&mut self, now: Instant) -> io::Result<Instant> {
        let end = match self.window {
            Some((end, _)) if now < end => return Ok(end),
            Some((_, taken)) if taken < self.pace.bytes => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Some(_) | None => now + self.pace.window,
        };
        self.window = Some((end, 0));
        Ok(end)
    }
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, pace: Pace) -> Self {
        let window = None;
        Self {
            stream,
            meter: Meter { pace, window },
            alarm: None,
        }
    }

    /// Takes note of what came of a write, and gives up when too little did for too long.
    fn note(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(written) => {
                self.meter.take(*written.as_ref().unwrap_or(&0));
                Poll::Ready(written)
            }
            Poll::Pending => self.wait(context),
        }
    }

    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            let end = self.meter.wait(Instant::now())?;
            let sleep = || Box::pin(tokio::time::sleep_until(end));
            let alarm = self.alarm.get_or_insert_with(sleep);
            if alarm.deadline() != end {
                alarm.as_mut().reset(end);
            }
            ready!(alarm.as_mut().poll(context));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.note(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Whoever flushes has written all there is.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.meter.window = None;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_takes_a_little_now_and_then_is_late_and_who_goes_on_is_not() {
        let pace = Pace {
            window: 60 * SECOND,
            bytes: 600,
        };
        let begun = Instant::now();
        for (every_second, in_time) in [(0, false), (9, false), (10, true), (1000, true)] {
            let window = None;
            let mut meter = Meter { pace, window };
            let said = (0..600).try_for_each(|second| {
                let looked = meter.wait(begun + second * SECOND);
                meter.take(every_second);
                looked.map(|_| ())
            });
            assert_eq!(said.is_ok(), in_time, "{every_second}");
        }
    }

    #[tokio::test]
    async fn who_reads_a_byte_at_a_time_loses_the_connection() {
        let (ours, mut theirs) = duplex(1024);
        let reading = tokio::spawn(async move {
            while theirs.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let pace = Pace {
            window: Duration::from_millis(200),
            bytes: 1024 * 1024,
        };
        let mut paced = Paced::new(ours, pace);
        let late = paced.write_all(&vec![7; 1024 * 1024]).await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        reading.abort();
    }

    #[tokio::test]
    async fn who_has_taken_everything_may_take_its_time() {
        let (ours, mut theirs) = duplex(1024);
        let pace = Pace {
            window: Duration::from_millis(20),
            bytes: 1,
        };
        let mut paced = Paced::new(ours, pace);
        for _ in 0..3 {
            let mut taken = vec![0; 4096];
            let write = async {
                paced.write_all(&[7; 4096]).await?;
                paced.flush().await
            };
            let (written, read) = tokio::join!(write, theirs.read_exact(&mut taken));
            written.unwrap();
            read.unwrap();
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    }
}
