//! One thread, one socket, one [`Node`]: waits for whatever comes, feeds it in, and sends what comes out.

mod framed;

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use klieg_sfu_core::node::{Node, PeerHandshake, Transmit};
use klieg_sfu_core::relay::ShardMessage;
use klieg_sfu_core::transport::{HandshakeDone, HandshakeJob};
use klieg_sfu_core::{Command, Event, RoomKey, Still, StillWish};
use tokio::sync::mpsc;

use crate::config::Offload;
use crate::events::Events;
use crate::helpers::{Helpers, Work};
use crate::load::{Load, Loads};
use crate::metrics::{Latency, Metrics};
use crate::moment::Moment;
use crate::outbox::Outbox;
use crate::tcp::{Connections, Incoming};
use crate::totals::Totals;
use crate::udp::{ReceiveBuffers, Sent, ShardSocket};

/// Inputs that wait for one shard.
pub(crate) const INBOX: usize = 4096;
/// Batches received before what they caused is sent: more than the kernel's buffer holds, so all that waits. Who has more to
/// do than time reads on, so that packets of a stream meet and leave together, instead of standing behind reports in the
/// socket until that is full.
const MAX_BATCHES: usize = 512;
/// For how long is read at least before anything is sent, if so much waits.
const MIN_READING: Duration = Duration::from_millis(5);
/// How long a full send buffer may hold up what the shard sends in one go, and how long it waits each time.
/// After that what finds no room is dropped.
const MAX_SEND_WAIT: Duration = Duration::from_millis(10);
const SEND_PAUSE: Duration = Duration::from_millis(1);
/// When to try again what another thread had no room for.
const RETRY: Duration = Duration::from_millis(2);
/// Between two updates of the metrics.
const METRICS_INTERVAL: Duration = Duration::from_millis(500);

/// What reaches a shard from other threads.
#[derive(Debug)]
pub(crate) enum Input {
    /// From signaling.
    Command(Command),
    /// From another shard.
    Message(ShardMessage),
    /// From a helper thread.
    Handshake(PeerHandshake<HandshakeDone>),
    /// From the lobby, or from the shard that was given it first.
    Connection(Box<Incoming>),
    /// Somebody wants a room's last keyframe. Who has the room's publisher answers; the others drop the way back.
    Still(RoomKey, StillWish, mpsc::Sender<Still>),
    /// The server stops: every peer is shown out and the thread ends.
    Stop,
}

/// What a shard is given when it starts.
pub(crate) struct Wiring {
    /// From other threads.
    pub(crate) inbox: mpsc::Receiver<Input>,
    /// The inboxes of all shards, this one's too.
    pub(crate) shards: Vec<mpsc::Sender<Input>>,
    /// This shard's place in `shards`.
    pub(crate) index: usize,
    /// To signaling.
    pub(crate) events: mpsc::Sender<Event>,
    /// For handshakes.
    pub(crate) helpers: Helpers,
    /// For `/metrics`.
    pub(crate) metrics: Arc<Metrics>,
    /// How busy the shards are.
    pub(crate) loads: Loads,
    /// Whether packets wait for each other as long as the load asks for.
    pub(crate) holds_by_load: bool,
    /// Whether the kernel gets runs.
    pub(crate) offload: Offload,
}

/// What woke a shard.
enum Cause {
    /// There may be something to receive, unless the socket failed.
    Socket(bool),
    /// A connection that has something to read, or room to write.
    Connection,
    /// Another thread; `None` when all others are gone.
    Inbox(Option<Input>),
    /// Time.
    Timer,
}

/// A running shard.
pub(crate) struct Shard {
    node: Node,
    socket: ShardSocket,
    connections: Connections,
    wiring: Wiring,
    buffers: ReceiveBuffers,
    /// The run being sent; always the same buffer.
    run: Vec<u8>,
    outbox: Outbox,
    /// Handshake steps that found no thread, one of a peer at most.
    jobs: VecDeque<PeerHandshake<HandshakeJob>>,
    /// Events that found no room.
    events: Events,
    /// What was counted since the start, and as much of it as the metrics have.
    totals: Totals,
    shown: Totals,
    load: Load,
    /// How long packets took from a publisher to the last of their viewers.
    latency: Latency,
    next_metrics: Instant,
    /// How long the last sending took.
    sending: Duration,
    stopping: bool,
}

impl Shard {
    pub(crate) fn new(node: Node, socket: ShardSocket, wiring: Wiring) -> Self {
        let now = Instant::now();
        let load = Load::new(now, wiring.loads.clone(), wiring.index);
        let latency = wiring.metrics.latency(wiring.index);
        Self {
            node,
            socket,
            load,
            latency,
            connections: Connections::new(wiring.metrics.tcp()),
            wiring,
            buffers: ReceiveBuffers::new(),
            run: Vec::with_capacity(64 * 1024),
            outbox: Outbox::default(),
            jobs: VecDeque::new(),
            events: Events::new(),
            totals: Totals::default(),
            shown: Totals::default(),
            next_metrics: now,
            sending: Duration::ZERO,
            stopping: false,
        }
    }

    /// Runs until told to stop.
    pub(crate) async fn run(mut self) {
        while !self.stopping {
            let wake = self.wake_at();
            let cause = tokio::select! {
                ready = self.socket.readable() => Cause::Socket(ready.is_ok()),
                input = self.wiring.inbox.recv() => Cause::Inbox(input),
                () = self.connections.ready() => Cause::Connection,
                () = sleep_until(wake) => Cause::Timer,
            };
            let began = Instant::now();
            match cause {
                Cause::Socket(true) => {
                    self.receive(began);
                    self.take_inputs();
                }
                Cause::Connection => {
                    self.receive_frames(began);
                    self.take_inputs();
                }
                Cause::Inbox(Some(input)) => {
                    self.take_input(input);
                    self.take_inputs();
                }
                Cause::Inbox(None) => self.stop(),
                Cause::Socket(false) | Cause::Timer => {}
            }
            self.work().await;
            self.note_work(began);
            if !self.connections.is_empty() {
                // Or one whose input never ends would keep the runtime from looking at the others.
                tokio::task::yield_now().await;
            }
        }
        self.show_totals();
    }

    /// Lets packets wait for each other as far as the load asks for it.
    fn note_work(&mut self, began: Instant) {
        let now = Instant::now();
        let worked = now.saturating_duration_since(began).as_micros();
        self.totals.busy_us += u64::try_from(worked).unwrap_or(u64::MAX);
        if let Some(hold) = self.load.note(began, now)
            && self.wiring.holds_by_load
        {
            self.node.set_hold(hold);
        }
    }

    /// Returns when there is something to do even if nothing comes.
    fn wake_at(&mut self) -> Option<Instant> {
        let retry = !(self.outbox.is_empty() && self.jobs.is_empty() && self.events.is_empty());
        let retry = retry.then(|| Instant::now() + RETRY);
        let timer = self.node.poll_timeout();
        timer
            .into_iter()
            .chain(retry)
            .chain([self.next_metrics])
            .min()
    }

    /// Returns until when reading goes on that began then.
    fn read_until(&self, began: Instant) -> Instant {
        began + self.sending.max(MIN_READING)
    }

    /// Reads what waits. Where more comes than is read, it is sent after as long as the last sending took.
    fn receive(&mut self, began: Instant) {
        let until = self.read_until(began);
        for _ in 0..MAX_BATCHES {
            let now = Instant::now();
            if now > until {
                return;
            }
            let node = &mut self.node;
            let received = self.socket.receive(&mut self.buffers, |path, datagram| {
                node.handle_datagram(now, path, datagram);
            });
            match received {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // ICMP errors of earlier datagrams arrive here; they say nothing about others.
                    tracing::debug!(%error, "receive failed");
                    self.socket.take_errors();
                    return;
                }
            }
        }
    }

    /// Takes what has come from other threads: with a socket that is never empty they would wait for their turn.
    fn take_inputs(&mut self) {
        for _ in 0..INBOX {
            if self.stopping {
                return;
            }
            let Ok(input) = self.wiring.inbox.try_recv() else {
                return;
            };
            self.take_input(input);
        }
    }

    fn take_input(&mut self, input: Input) {
        let now = Instant::now();
        match input {
            Input::Command(command) => self.node.handle_command(now, command),
            Input::Message(message) => self.node.handle_message(now, message),
            Input::Handshake(done) => self.node.handle_handshake(now, done),
            Input::Connection(incoming) => self.take_connection(now, incoming),
            Input::Still(room, wish, reply) => {
                if let Some(still) = self.node.still(now, room, wish) {
                    // Fails only where nobody waits any more.
                    let _ = reply.try_send(still);
                }
            }
            Input::Stop => self.stop(),
        }
    }

    fn stop(&mut self) {
        self.node.handle_stop(Instant::now());
        self.stopping = true;
    }

    /// Takes out of the node what its inputs have caused.
    async fn work(&mut self) {
        let now = Instant::now();
        self.node.handle_timeout(now);
        self.pass_messages();
        self.pass_handshakes();
        self.send_all(now).await;
        let is_due = now >= self.next_metrics;
        if is_due {
            // Not before: a peer that was shown out is owed what has just left. What this causes leaves at once, too.
            self.sweep(now);
            self.send_all(now).await;
        }
        self.sending = Instant::now().saturating_duration_since(now);
        // Sending may have caused messages too: a keyframe wanted, say.
        self.pass_messages();
        self.pass_events();
        if is_due {
            self.next_metrics = now + METRICS_INTERVAL;
            self.show_totals();
        }
    }

    /// Sends what there is, and notes how long the packets of publishers took to all their viewers.
    async fn send_all(&mut self, now: Instant) {
        let (mut patience, mut since) = (MAX_SEND_WAIT, None);
        // A thousand viewers take milliseconds, and the time of departure is what delays are told by.
        let mut moment = Moment::new(now);
        loop {
            let now = moment.next(Instant::now);
            let transmit = self.node.poll_transmit(now, &mut self.run);
            let sending = self.node.sending_since();
            if let Some(arrived) = since.filter(|_| since != sending) {
                self.latency.observe(Instant::now().duration_since(arrived));
            }
            since = sending;
            let Some(transmit) = transmit else {
                return;
            };
            if let Some(connection) = transmit.path.connection {
                self.connections.send(connection, &transmit, &self.run);
                self.take_news(now);
                continue;
            }
            let (socket, run) = (&mut self.socket, &self.run);
            let before = patience;
            if !send(socket, &transmit, run, (&mut patience, &mut self.totals)).await {
                self.node.handle_loss();
            }
            if patience < before {
                moment.pass();
            }
        }
    }

    fn show_totals(&mut self) {
        self.totals.core = *self.node.counters();
        self.totals.socket = self.socket.counts();
        self.totals.tcp = self.connections.counts();
        self.totals.connections = self.connections.census();
        self.totals.population = self.node.population();
        self.totals.waiting = self.jobs.len();
        self.wiring.metrics.add(&self.shown, &self.totals);
        self.shown = self.totals;
    }

    fn pass_messages(&mut self) {
        let polled = std::iter::from_fn(|| self.node.poll_message());
        let polled = polled.map(|(shard, message)| (usize::from(shard.0), message));
        self.totals.dropped_messages += self.outbox.pass(&self.wiring.shards, polled);
    }

    fn pass_handshakes(&mut self) {
        self.jobs
            .extend(std::iter::from_fn(|| self.node.poll_handshake()));
        while let Some(job) = self.jobs.pop_front() {
            let Some(reply) = self.wiring.shards.get(self.wiring.index).cloned() else {
                return;
            };
            if let Err(work) = self.wiring.helpers.submit(Work { job, reply }) {
                self.jobs.push_front(work.job);
                return;
            }
        }
    }

    fn pass_events(&mut self) {
        self.events
            .add(std::iter::from_fn(|| self.node.poll_event()));
        self.events.pass(&self.wiring.events, &self.wiring.metrics);
    }
}

/// Sends one run; while the kernel's buffer is full waits as long as there is patience, then drops the rest
/// of it. Returns whether all of it is the kernel's.
async fn send(
    socket: &mut ShardSocket,
    transmit: &Transmit,
    run: &[u8],
    (patience, totals): (&mut Duration, &mut Totals),
) -> bool {
    let mut rest = run;
    loop {
        match socket.send(transmit, rest) {
            Sent::Whole => return true,
            // That address alone: nobody else's packets are the worse for it.
            Sent::Refused => {
                totals.refused += 1;
                return true;
            }
            Sent::Lost => {
                totals.dropped_queue += 1;
                return false;
            }
            Sent::Full(_) if patience.is_zero() => {
                totals.dropped_full += 1;
                return false;
            }
            Sent::Full(sent) => {
                rest = rest.get(sent..).unwrap_or_default();
                totals.send_waits += 1;
                *patience = patience.saturating_sub(SEND_PAUSE);
                tokio::time::sleep(SEND_PAUSE).await;
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use klieg_sfu_core::Path;

    use super::*;
    use crate::udp::bind;

    #[tokio::test]
    async fn a_buffer_that_stays_full_is_waited_for_ten_milliseconds_in_all() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut socket = ShardSocket::new(bind(loopback).unwrap(), Offload::Auto).unwrap();
        let path = Path {
            local: None,
            remote: loopback,
            connection: None,
        };
        let transmit = Transmit {
            path,
            segment_size: None,
        };
        let full = || std::io::Error::from(std::io::ErrorKind::WouldBlock);
        socket.faults.extend((0..100).map(|_| Some(full())));
        let (mut patience, mut totals) = (MAX_SEND_WAIT, Totals::default());
        for _ in 0..5 {
            let state = (&mut patience, &mut totals);
            assert!(!send(&mut socket, &transmit, &[7; 100], state).await);
        }
        assert_eq!((totals.send_waits, totals.dropped_full), (10, 5));
    }

    #[tokio::test]
    async fn what_found_no_room_in_the_middle_of_a_run_goes_on_where_it_stopped() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut socket = ShardSocket::new(bind(loopback).unwrap(), Offload::Off).unwrap();
        let receiver = tokio::net::UdpSocket::bind(loopback).await.unwrap();
        let path = Path {
            local: None,
            remote: receiver.local_addr().unwrap(),
            connection: None,
        };
        let transmit = Transmit {
            path,
            segment_size: Some(100),
        };
        let full = || Some(std::io::Error::from(std::io::ErrorKind::WouldBlock));
        socket.faults.extend([None, full(), full(), None, full()]);
        let run: Vec<u8> = (0..250).collect();
        let (mut patience, mut totals) = (MAX_SEND_WAIT, Totals::default());
        let state = (&mut patience, &mut totals);
        assert!(send(&mut socket, &transmit, &run, state).await);
        let mut arrived = Vec::new();
        for _ in 0..3 {
            let mut datagram = [0; 200];
            let len = receiver.recv(&mut datagram).await.unwrap();
            arrived.extend_from_slice(&datagram[..len]);
        }
        assert_eq!(arrived, run, "each once");
        assert_eq!((totals.send_waits, totals.dropped_full), (3, 0));
        assert_eq!(patience, MAX_SEND_WAIT - 3 * SEND_PAUSE);
    }
}
