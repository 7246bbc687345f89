//! Where connections wait until their first frame has come: on a thread of its own, so that who says nothing, or says it
//! slowly, costs no shard anything. What is no check, or comes from nobody, is closed without a word.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use klieg_sfu_core::Path;
use klieg_sfu_core::framed::{MAX_FRAME, first_frame};
use klieg_sfu_core::transport::local_ufrag;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::AbortHandle;

use super::listen;
use super::metrics::{Refused, TcpMetrics};
use crate::shard::Input;

/// How long the first frame may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections that wait; when another comes, the one that has waited longest gives way: a check comes with the
/// handshake, so whoever means it does not wait for long.
const MAX_WAITING: usize = 512;
/// Connections that wait of one address, or of one network of IPv6: a company's. Among them, too, the one that has
/// waited longest gives way, so that who holds many open shuts none of its neighbours out.
const MAX_OF_ADDRESS: usize = 64;
/// Connections that one shard was given and has not looked at: what is more finds it busy, so that they never take the
/// room of commands and media between shards.
const MAX_HANDED: usize = 64;
/// Connections that were handed over and are not in the lobby yet; one more is refused.
const MAX_ARRIVING: usize = 64;
/// Until it is tried again to accept, when the process has no more descriptors, say.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection that another listener took.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) remote: SocketAddr,
    /// What has been read of it.
    pub(crate) received: Vec<u8>,
}

/// The way to a lobby that runs; it ends with the last of them.
#[derive(Debug)]
pub(crate) struct Reception {
    pub(crate) arrivals: mpsc::Sender<Arrival>,
    /// Ends the lobby when it sends.
    pub(crate) stop: watch::Sender<()>,
}

/// A connection whose first frame has come.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) stream: std::net::TcpStream,
    /// Between which addresses; it has no number yet.
    pub(crate) path: Path,
    /// What has come, a whole frame at the beginning.
    pub(crate) received: Vec<u8>,
    /// Its place among those that wait for the shard that was given it first; `None` before it was given to any.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// A shard, and how many more connections it may be given.
#[derive(Debug)]
struct Door {
    inbox: mpsc::Sender<Input>,
    places: Arc<Semaphore>,
}

/// Where connections wait.
#[derive(Debug)]
pub(crate) struct Lobby {
    shards: Vec<Door>,
    metrics: Arc<TcpMetrics>,
    patience: Duration,
    /// The shard that is given the next one.
    next: AtomicUsize,
}

/// Those that wait, by their age.
#[derive(Debug, Default)]
struct Waiting(VecDeque<Guest>);

#[derive(Debug)]
struct Guest {
    network: IpAddr,
    task: AbortHandle,
}

impl Lobby {
    pub(crate) fn new(shards: Vec<mpsc::Sender<Input>>, metrics: Arc<TcpMetrics>) -> Self {
        let door = |inbox| Door {
            inbox,
            places: Arc::new(Semaphore::new(MAX_HANDED)),
        };
        Self {
            shards: shards.into_iter().map(door).collect(),
            metrics,
            patience: PATIENCE,
            next: AtomicUsize::new(0),
        }
    }

    /// Starts the thread; it takes the connections that are handed over, and those of a listener where it has one.
    ///
    /// # Errors
    /// A thread cannot be had.
    pub(crate) fn start(self, listener: Option<std::net::TcpListener>) -> io::Result<Reception> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _within = runtime.enter();
            listener.map(TcpListener::from_std).transpose()?
        };
        let (stop, stopped) = watch::channel(());
        let (arrivals, arriving) = mpsc::channel(MAX_ARRIVING);
        let thread = std::thread::Builder::new().name("klieg-lobby".to_owned());
        thread.spawn(move || {
            let run = || runtime.block_on(Arc::new(self).welcome((listener, arriving), stopped));
            if catch_unwind(AssertUnwindSafe(run)).is_err() {
                // As for a shard: nobody would be let in by TCP, and nobody be told.
                tracing::error!("the thread of new connections panicked; the process ends");
                std::process::abort();
            }
        })?;
        Ok(Reception { arrivals, stop })
    }

    async fn welcome(
        self: Arc<Self>,
        (listener, mut arriving): (Option<TcpListener>, mpsc::Receiver<Arrival>),
        mut stopped: watch::Receiver<()>,
    ) {
        let mut waiting = Waiting::default();
        let mut fails = false;
        loop {
            let accepted = tokio::select! {
                accepted = accept(listener.as_ref()) => accepted,
                Some(arrival) = arriving.recv() => {
                    self.adopt(&mut waiting, arrival);
                    continue;
                }
                _ = stopped.changed() => return,
            };
            match accepted {
                Ok((stream, remote)) => {
                    fails = false;
                    self.admit(&mut waiting, stream, (remote, Vec::new()));
                }
                Err(error) => {
                    self.metrics.fail();
                    if !std::mem::replace(&mut fails, true) {
                        tracing::warn!(%error, "no TCP connection for media is accepted");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes over a connection of another listener.
    fn adopt(self: &Arc<Self>, waiting: &mut Waiting, arrival: Arrival) {
        let Arrival {
            stream,
            remote,
            received,
        } = arrival;
        listen::adopt(&stream);
        match TcpStream::from_std(stream) {
            Ok(stream) => self.admit(waiting, stream, (remote, received)),
            Err(_) => self.metrics.refuse(Refused::Failed),
        }
    }

    /// Lets a connection wait, of which something may have come.
    fn admit(
        self: &Arc<Self>,
        waiting: &mut Waiting,
        stream: TcpStream,
        (remote, received): (SocketAddr, Vec<u8>),
    ) {
        self.metrics.accept();
        let network = network(remote.ip().to_canonical());
        if let Some(reason) = waiting.make_room(network) {
            self.metrics.refuse(reason);
        }
        let lobby = Arc::clone(self);
        let task = tokio::spawn(async move {
            let received = receive(stream, remote, &received);
            let received = tokio::time::timeout(lobby.patience, received).await;
            let incoming = received.unwrap_or(Err(Refused::Late));
            if let Err(reason) = incoming.and_then(|incoming| lobby.hand_over(incoming)) {
                tracing::debug!(%remote, ?reason, "connection refused");
                lobby.metrics.refuse(reason);
            }
        });
        waiting.0.push_back(Guest {
            network,
            task: task.abort_handle(),
        });
    }

    /// Gives a connection to a shard; that passes it on if its peer is elsewhere.
    fn hand_over(&self, incoming: Incoming) -> Result<(), Refused> {
        let mut incoming = Box::new(incoming);
        for _ in &self.shards {
            let next = self.next.fetch_add(1, Ordering::Relaxed) % self.shards.len();
            let shard = self.shards.get(next).ok_or(Refused::Busy)?;
            let Ok(place) = Arc::clone(&shard.places).try_acquire_owned() else {
                continue;
            };
            incoming.place = Some(place);
            let handed = shard.inbox.try_send(Input::Connection(incoming));
            let Err(TrySendError::Full(back) | TrySendError::Closed(back)) = handed else {
                return Ok(());
            };
            let Input::Connection(back) = back else {
                break;
            };
            incoming = back;
        }
        Err(Refused::Busy)
    }
}

impl Waiting {
    /// Makes room for another one of a network: where there are too many of it, the one of them that waited longest is shown
    /// out; where there are too many in all, the one of the site that has most. Returns why one was.
    fn make_room(&mut self, network: IpAddr) -> Option<Refused> {
        self.0.retain(|guest| !guest.task.is_finished());
        let mut theirs = (0..).zip(&self.0).filter(|(_, it)| it.network == network);
        let first = theirs.next().map_or(0, |(place, _)| place);
        let (oldest, reason) = if theirs.count() + 1 >= MAX_OF_ADDRESS {
            (first, Refused::Crowded)
        } else if self.0.len() >= MAX_WAITING {
            (self.most_crowded(), Refused::Full)
        } else {
            return None;
        };
        self.0.remove(oldest)?.task.abort();
        Some(reason)
    }

    /// Returns the place of the one that has waited longest of the site that has most that wait: who has very many networks cannot
    /// have the others shown out.
    fn most_crowded(&self) -> usize {
        let mut crowds: HashMap<IpAddr, (usize, Reverse<usize>)> = HashMap::new();
        for (place, guest) in self.0.iter().enumerate() {
            let crowd = crowds.entry(site(guest.network));
            crowd.or_insert((0, Reverse(place))).0 += 1;
        }
        let most = crowds.into_values().max();
        most.map_or(0, |(_, Reverse(oldest))| oldest)
    }
}

/// Accepts the next one; without a listener there is none.
async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// Reads until the first frame has come, of which `begun` has.
async fn receive(stream: TcpStream, remote: SocketAddr, begun: &[u8]) -> Result<Incoming, Refused> {
    let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
    let local = stream.local_addr().map_err(|_| Refused::Gone)?;
    // A frame is complete, or too long, before this is full.
    let (mut buffer, mut len) = ([0; 2 + MAX_FRAME], begun.len());
    let first = buffer.get_mut(..len).ok_or(Refused::Oversized)?;
    first.copy_from_slice(begun);
    let received = loop {
        let received = buffer.get(..len).unwrap_or_default();
        if let Some(first) = first_frame(received).map_err(|_| Refused::Oversized)? {
            local_ufrag(first).ok_or(Refused::NoCheck)?;
            break received.to_vec();
        }
        stream.readable().await.map_err(|_| Refused::Gone)?;
        match stream.try_read(buffer.get_mut(len..).unwrap_or_default()) {
            Ok(0) => return Err(Refused::Gone),
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(Refused::Gone),
        }
    };
    let path = Path {
        local: Some(local.ip().to_canonical()),
        remote,
        connection: None,
    };
    Ok(Incoming {
        stream: stream.into_std().map_err(|_| Refused::Gone)?,
        path,
        received,
        place: None,
    })
}

/// Returns what one customer of a network has: an address, or 2^64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// Returns the site that a network is of: an address, or what one is given of IPv6 at most (RFC 6177: 2^80).
fn site(network: IpAddr) -> IpAddr {
    match network {
        IpAddr::V4(_) => network,
        IpAddr::V6(network) => {
            let [a, b, c, ..] = network.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::super::connections::tests::check;
    use super::*;

    /// What takes longer has failed.
    const DEADLINE: Duration = Duration::from_secs(60);

    /// A lobby and where it is reached; what it hands over comes out of the receiver.
    fn lobby(patience: Duration) -> (SocketAddr, Arc<TcpMetrics>, mpsc::Receiver<Input>) {
        let metrics = Arc::new(TcpMetrics::register(&Registry::new()).unwrap());
        let (shard, inbox) = mpsc::channel(2 * MAX_HANDED);
        let mut lobby = Lobby::new(vec![shard], Arc::clone(&metrics));
        lobby.patience = patience;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let at = listener.local_addr().unwrap();
        // Goes on until the test ends.
        std::mem::forget(lobby.start(Some(listener)).unwrap());
        (at, metrics, inbox)
    }

    #[tokio::test]
    async fn who_is_handed_over_goes_on_where_its_first_bytes_were_read() {
        let metrics = Arc::new(TcpMetrics::register(&Registry::new()).unwrap());
        let (shard, mut inbox) = mpsc::channel(1);
        let lobby = Lobby::new(vec![shard], Arc::clone(&metrics));
        let reception = lobby.start(None).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let (word, mut arrived) = (first_word(), Vec::new());
        // All of it was read by the other, some, or nothing.
        for read in [word.len(), 10, 0] {
            let mut stream = std::net::TcpStream::connect(at).unwrap();
            let (ours, remote) = listener.accept().unwrap();
            ours.set_nonblocking(true).unwrap();
            let (received, rest) = word.split_at(read);
            let arrival = Arrival {
                stream: ours,
                remote,
                received: received.to_vec(),
            };
            reception.arrivals.send(arrival).await.unwrap();
            io::Write::write_all(&mut stream, rest).unwrap();
            let handed = tokio::time::timeout(DEADLINE, inbox.recv()).await.unwrap();
            let Some(Input::Connection(incoming)) = handed else {
                panic!("something else was handed over");
            };
            assert_eq!(incoming.received, word);
            assert_eq!(incoming.path.remote, stream.local_addr().unwrap());
            arrived.push(stream);
        }
        let _client = std::net::TcpStream::connect(at).unwrap();
        let (stream, remote) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let too_much = Arrival {
            stream,
            remote,
            received: vec![0xff; 3],
        };
        reception.arrivals.send(too_much).await.unwrap();
        refused(&metrics, Refused::Oversized, 1).await;
    }

    async fn refused(metrics: &TcpMetrics, reason: Refused, count: u64) {
        let counted = async {
            while metrics.refusals(reason) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let counted = tokio::time::timeout(DEADLINE, counted).await;
        assert!(counted.is_ok(), "{} of {count}", metrics.refusals(reason));
    }

    /// Waits until the other side has closed a connection, without a byte.
    async fn is_closed(stream: &TcpStream) -> bool {
        let read = async {
            loop {
                stream.readable().await?;
                match stream.try_read(&mut [0; 10]) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    other => return other,
                }
            }
        };
        let read = tokio::time::timeout(DEADLINE, read).await.unwrap();
        read.map_or_else(
            |error| error.kind() == io::ErrorKind::ConnectionReset,
            |read| read == 0,
        )
    }

    #[tokio::test]
    async fn who_says_its_first_word_too_slowly_is_hung_up_on() {
        let (at, metrics, mut inbox) = lobby(Duration::from_millis(50));
        let silent = TcpStream::connect(at).await.unwrap();
        let slow = TcpStream::connect(at).await.unwrap();
        slow.writable().await.unwrap();
        slow.try_write(&[0, 200, 0, 1]).unwrap();
        refused(&metrics, Refused::Late, 2).await;
        for stream in [silent, slow] {
            assert!(is_closed(&stream).await);
        }
        assert!(inbox.try_recv().is_err());
    }

    #[tokio::test]
    async fn those_of_one_address_that_wait_are_bounded() {
        let (at, metrics, _inbox) = lobby(PATIENCE);
        let mut waiting = Vec::new();
        for _ in 0..MAX_OF_ADDRESS + 10 {
            waiting.push(TcpStream::connect(at).await.unwrap());
        }
        refused(&metrics, Refused::Crowded, 10).await;
        for oldest in waiting.drain(..10) {
            assert!(is_closed(&oldest).await);
        }
        drop(waiting);
        refused(&metrics, Refused::Gone, MAX_OF_ADDRESS as u64).await;
        assert_eq!(metrics.refusals(Refused::Crowded), 10);
    }

    /// Returns what a connection begins with: a check of somebody, in its frame.
    fn first_word() -> Vec<u8> {
        let check = check(&klieg_sfu_core::IceCredentials {
            ufrag: "server".to_owned(),
            pwd: "p".repeat(30),
        });
        let length = u16::try_from(check.len()).unwrap().to_be_bytes();
        [&length[..], &check].concat()
    }

    #[tokio::test]
    async fn who_finds_a_shard_that_looks_at_nobody_is_refused() {
        let (at, metrics, mut inbox) = lobby(PATIENCE);
        let come = async || {
            let stream = TcpStream::connect(at).await.unwrap();
            stream.writable().await.unwrap();
            stream.try_write(&first_word()).unwrap();
            stream
        };
        let mut streams = Vec::new();
        for number in 1..=MAX_HANDED + 5 {
            streams.push(come().await);
            // One after the other, so that none gives way in the lobby.
            let judged = async {
                while inbox.len() < number.min(MAX_HANDED) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::time::timeout(DEADLINE, judged).await.unwrap();
        }
        refused(&metrics, Refused::Busy, 5).await;
        assert_eq!(inbox.len(), MAX_HANDED);
        drop(inbox.recv().await);
        streams.push(come().await);
        let mut handed = 0;
        while handed < MAX_HANDED {
            let next = tokio::time::timeout(DEADLINE, inbox.recv()).await;
            assert!(matches!(next, Ok(Some(Input::Connection(_)))));
            handed += 1;
        }
        assert_eq!(metrics.refusals(Refused::Busy), 5);
    }

    #[tokio::test]
    async fn of_all_that_wait_the_oldest_gives_way() {
        let mut waiting = Waiting::default();
        let guest = |number: u32| Guest {
            network: IpAddr::from(number.to_be_bytes()),
            task: tokio::spawn(std::future::pending::<()>()).abort_handle(),
        };
        for number in 0..2000 {
            let guest = guest(number);
            let gave_way = waiting.make_room(guest.network);
            assert_eq!(gave_way, (number >= 512).then_some(Refused::Full));
            waiting.0.push_back(guest);
            assert!(waiting.0.len() <= MAX_WAITING);
        }
        let oldest = waiting.0.front().map(|guest| guest.network);
        assert_eq!(oldest, Some(guest(2000 - 512).network));
    }

    #[tokio::test]
    async fn who_has_very_many_networks_has_nobody_else_shown_out() {
        let mut waiting = Waiting::default();
        let come = |waiting: &mut Waiting, network: IpAddr| {
            let gave_way = waiting.make_room(network);
            let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
            waiting.0.push_back(Guest { network, task });
            gave_way
        };
        let honest: Vec<IpAddr> = (1..=9).map(|it| IpAddr::from([192, 0, 2, it])).collect();
        for &network in &honest {
            assert_eq!(come(&mut waiting, network), None);
        }
        for number in 0..5000 {
            let theirs = Ipv6Addr::new(0x2001, 0xdb8, 1, number, 0, 0, 0, 0);
            come(&mut waiting, theirs.into());
        }
        let are_there = honest.iter().map(|it| {
            waiting
                .0
                .iter()
                .filter(|guest| guest.network == *it)
                .count()
        });
        assert_eq!(are_there.collect::<Vec<_>>(), [1; 9]);
        assert_eq!(waiting.0.len(), MAX_WAITING);
    }

    #[test]
    fn a_network_is_an_address_or_a_customer_of_ipv6() {
        let text = |address: &str| network(address.parse().unwrap()).to_string();
        assert_eq!(text("192.0.2.7"), "192.0.2.7");
        assert_eq!(text("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
