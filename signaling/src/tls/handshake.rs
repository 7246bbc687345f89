//! Handshakes of TLS (RFC 8446): bounded in time and number, and counted by what became of them.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info};

use super::{Tls, is_challenge};

/// The handshakes that are under way.
#[derive(Debug)]
pub(crate) struct Handshakes {
    tls: Arc<Tls>,
    /// How many there may be. One more ends the oldest: whoever begins handshakes and does not go on keeps nobody
    /// else out, who is done in a moment.
    limit: usize,
    /// How long one may take.
    timeout: Duration,
    under_way: Mutex<UnderWay>,
    complaint: Mutex<Complaint>,
}

#[derive(Debug, Default)]
struct UnderWay {
    /// What ends each, the oldest first; never more than the limit.
    ends: BTreeMap<u64, Arc<Notify>>,
    next: u64,
}

/// One of them, gone with its drop.
struct Turn<'a> {
    handshakes: &'a Handshakes,
    number: u64,
    end: Arc<Notify>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.handshakes.under_way().ends.remove(&self.number);
        self.handshakes.tls.metrics.under_way.dec();
    }
}

/// What is said of those that failed.
#[derive(Debug, Default)]
struct Complaint {
    /// When something was last said; `None`: never.
    last: Option<Instant>,
    /// How many failed since.
    since: u64,
}

/// Why a handshake failed; a label of its metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// It took too long.
    Timeout,
    /// Too many were under way, and it was the oldest.
    Displaced,
    /// The client spoke something else.
    NotTls,
    /// The client does not take our certificate, mostly.
    Refused,
    /// Client and server have no version, cipher or protocol in common.
    Incompatible,
    /// There is no certificate yet, or none for an authority that asks.
    NoCertificate,
    /// The client went.
    Closed,
    /// Anything else that is against the rules.
    Broken,
}

impl Failure {
    fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Displaced => "displaced",
            Self::NotTls => "not_tls",
            Self::Refused => "refused",
            Self::Incompatible => "incompatible",
            Self::NoCertificate => "no_certificate",
            Self::Closed => "closed",
            Self::Broken => "broken",
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let tls = error.get_ref().and_then(|it| it.downcast_ref());
        match tls {
            Some(rustls::Error::InvalidMessage(_)) => Self::NotTls,
            Some(rustls::Error::AlertReceived(_)) => Self::Refused,
            Some(rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol) => {
                Self::Incompatible
            }
            Some(_) => Self::Broken,
            None => Self::Closed,
        }
    }
}

impl Handshakes {
    pub(crate) fn new(tls: Arc<Tls>, limit: usize) -> Self {
        Self {
            tls,
            limit,
            timeout: HANDSHAKE_TIMEOUT,
            under_way: Mutex::default(),
            complaint: Mutex::default(),
        }
    }

    /// Takes a client's handshake; `None` where nothing is left to be served.
    pub(crate) async fn accept<S>(&self, stream: S) -> Option<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let turn = self.enter();
        let shaken = tokio::select! {
            shaken = self.shake(stream) => shaken,
            () = turn.end.notified() => Err(Failure::Displaced),
            () = tokio::time::sleep(self.timeout) => Err(Failure::Timeout),
        };
        drop(turn);
        let (label, stream) = match shaken {
            Ok(Some(stream)) => ("done", Some(stream)),
            Ok(None) => ("challenge", None),
            Err(failure) => {
                self.complain(failure, Instant::now());
                (failure.label(), None)
            }
        };
        self.tls
            .metrics
            .handshakes
            .with_label_values(&[label])
            .inc();
        stream
    }

    /// Returns `None` where an authority has seen what it wanted.
    async fn shake<S>(&self, stream: S) -> Result<Option<TlsStream<S>>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let hello = start.client_hello();
        let for_authority = is_challenge(&hello);
        let config = self.tls.config(&hello).ok_or(Failure::NoCertificate)?;
        let mut stream = start.into_stream(config).await?;
        if for_authority {
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
            return Ok(None);
        }
        Ok(Some(stream))
    }

    fn enter(&self) -> Turn<'_> {
        let end = Arc::new(Notify::new());
        let mut under_way = self.under_way();
        if under_way.ends.len() >= self.limit
            && let Some((_, oldest)) = under_way.ends.pop_first()
        {
            oldest.notify_one();
        }
        let number = under_way.next;
        under_way.next += 1;
        under_way.ends.insert(number, Arc::clone(&end));
        drop(under_way);
        self.tls.metrics.under_way.inc();
        Turn {
            handshakes: self,
            number,
            end,
        }
    }

    fn under_way(&self) -> std::sync::MutexGuard<'_, UnderWay> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Says once a minute that handshakes fail: strangers cause as many as they like.
    fn complain(&self, failure: Failure, now: Instant) {
        debug!(?failure, "TLS handshake failed");
        let complaint = self.complaint.lock();
        let mut complaint = complaint.unwrap_or_else(PoisonError::into_inner);
        if let Some(failures) = complaint.due(now) {
            info!(failures, last = failure.label(), "TLS handshakes failed");
        }
    }
}

impl Complaint {
    /// Counts one more, and returns how many there were where it is time to say so.
    fn due(&mut self, now: Instant) -> Option<u64> {
        self.since += 1;
        let soon = |last| now.saturating_duration_since(last) < COMPLAIN_EVERY;
        if self.last.is_some_and(soon) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

/// What a client on the slowest network needs, and more.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::metrics::Metrics;

    fn handshakes(limit: usize) -> (Arc<Handshakes>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new(Registry::new()).unwrap());
        let tls = Arc::new(Tls::new(metrics.tls.clone()).unwrap());
        (Arc::new(Handshakes::new(tls, limit)), metrics)
    }

    fn count(metrics: &Metrics, outcome: &str) -> u64 {
        metrics.tls.handshakes.with_label_values(&[outcome]).get()
    }

    #[tokio::test]
    async fn one_too_many_ends_the_oldest_and_no_other() {
        let (handshakes, metrics) = handshakes(2);
        let mut silent = Vec::new();
        for _ in 0..3 {
            let (ours, theirs) = duplex(1024);
            let number = handshakes.under_way().next;
            let accepting = tokio::spawn({
                let handshakes = Arc::clone(&handshakes);
                async move { handshakes.accept(ours).await.is_some() }
            });
            while handshakes.under_way().next == number {
                tokio::task::yield_now().await;
            }
            silent.push((accepting, theirs));
        }
        let (oldest, mut theirs) = silent.remove(0);
        assert!(!oldest.await.unwrap());
        assert_eq!(theirs.read(&mut [0; 8]).await.unwrap(), 0, "it is closed");
        assert_eq!(count(&metrics, "displaced"), 1);
        assert_eq!(metrics.tls.under_way.get(), 2);
        for (accepting, theirs) in silent {
            assert!(!accepting.is_finished());
            drop(theirs);
            assert!(!accepting.await.unwrap());
        }
        assert_eq!(count(&metrics, "closed"), 2);
        assert_eq!(metrics.tls.under_way.get(), 0);
    }

    #[tokio::test]
    async fn who_writes_a_byte_now_and_then_is_out_of_time() {
        let (handshakes, metrics) = handshakes(2);
        let mut handshakes = Arc::into_inner(handshakes).unwrap();
        handshakes.timeout = Duration::from_millis(300);
        let (ours, mut theirs) = duplex(1024);
        let since = Instant::now();
        let writing = tokio::spawn(async move {
            // A record of a handshake, 512 bytes long, as far as it comes.
            for byte in [0x16, 3, 1, 2, 0].into_iter().chain(std::iter::repeat(1)) {
                if theirs.write_u8(byte).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(handshakes.accept(ours).await.is_none());
        assert!(since.elapsed() >= handshakes.timeout);
        assert_eq!(count(&metrics, "timeout"), 1);
        writing.await.unwrap();
    }

    #[test]
    fn failures_are_told_of_once_a_minute_with_their_number() {
        let begun = Instant::now();
        let mut complaint = Complaint::default();
        let said: Vec<(u64, u64)> = (0..150)
            .filter_map(|second| {
                let said = complaint.due(begun + Duration::from_secs(second));
                said.map(|failures| (second, failures))
            })
            .collect();
        assert_eq!(said, [(0, 1), (60, 60), (120, 60)]);
    }
}
