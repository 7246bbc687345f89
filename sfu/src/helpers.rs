//! Threads for the handshakes' arithmetic, so that a storm of joins never stalls the packets.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use klieg_sfu_core::node::PeerHandshake;
use klieg_sfu_core::transport::HandshakeJob;
use tokio::sync::mpsc;

use crate::shard::Input;

/// Handshake steps that wait for one thread. What does not fit waits at its shard.
const QUEUE: usize = 256;

/// One step of a handshake, and the shard that waits for it.
pub(crate) struct Work {
    pub(crate) job: PeerHandshake<HandshakeJob>,
    pub(crate) reply: mpsc::Sender<Input>,
}

/// The helper threads; they end when the last clone of this is gone.
#[derive(Clone, Debug)]
pub(crate) struct Helpers {
    queues: Vec<mpsc::Sender<Work>>,
    /// The thread that gets the next step.
    next: usize,
}

impl Helpers {
    /// Starts `threads` threads.
    pub(crate) fn start(threads: usize) -> io::Result<Self> {
        let mut queues = Vec::new();
        for index in 0..threads.max(1) {
            let (queue, work) = mpsc::channel(QUEUE);
            let name = format!("klieg-dtls-{index}");
            std::thread::Builder::new()
                .name(name)
                .spawn(move || run(work))?;
            queues.push(queue);
        }
        Ok(Self { queues, next: 0 })
    }

    /// Hands a step to the next thread with room; gives it back when there is none.
    pub(crate) fn submit(&mut self, mut work: Work) -> Result<(), Work> {
        for _ in 0..self.queues.len() {
            self.next = (self.next + 1) % self.queues.len();
            let Some(queue) = self.queues.get(self.next) else {
                break;
            };
            match queue.try_send(work) {
                Ok(()) => return Ok(()),
                Err(error) => work = error.into_inner(),
            }
        }
        Err(work)
    }
}

fn run(mut queue: mpsc::Receiver<Work>) {
    while let Some(Work { job, reply }) = queue.blocking_recv() {
        // A fault in the handshake of one peer must not end the thread that serves all others; the
        // peer itself gets no further and times out.
        let work = catch_unwind(AssertUnwindSafe(|| job.work.run(Instant::now())));
        match work {
            Ok(work) => {
                let done = PeerHandshake {
                    peer: job.peer,
                    work,
                };
                // The shard has stopped: so has the peer.
                let _ = reply.blocking_send(Input::Handshake(done));
            }
            Err(_) => tracing::error!("a handshake panicked; please report it"),
        }
    }
}
