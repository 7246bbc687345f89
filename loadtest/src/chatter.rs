//! One chatter: somebody with a socket and no picture, who says its share and hears everybody.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::clock::at;
use crate::entry::{Entry, GOOD_BYE_TIME, LATE, Stay};
use crate::patience::{Patience, Turn};
use crate::reason::{Reason, Refusal};
use crate::run::Context;
use crate::socket::{CHAT, Message, REACTION, Socket};
use crate::talk::Order;

/// What became of one chatter.
#[derive(Debug)]
pub(crate) struct Attendance {
    pub(crate) was_let_in: bool,
    /// The number of the last room event that it heard of, where it listened until the end.
    pub(crate) heard: Option<u64>,
    pub(crate) room: usize,
    /// Bytes a second that came by its socket in the steady part; `None` where it was not there for all of that.
    pub(crate) bytes_per_second: Option<u64>,
    /// How its socket ended, where it had fallen silent; an open one has no reason.
    pub(crate) silence: Option<Silence>,
    /// What ended it early.
    pub(crate) error: Option<Reason>,
}

/// Of somebody who read no more for a while: why the server closed the socket, once that is read; `None` if it did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Silence(pub(crate) Option<Reason>);

/// Joins, talks until the stay ends, and tells what became of it.
pub(crate) async fn attend(context: &Arc<Context>, number: u32, stay: Stay) -> Attendance {
    let began = Instant::now();
    let mut chatter = Chatter {
        context,
        number,
        stay,
        order: Order::default(),
        patience: Patience::default(),
        silence: None,
        received: 0,
    };
    let stop = &context.base.stop;
    let over = async {
        stop.or_at(stay.ends).await;
        sleep(2 * GOOD_BYE_TIME).await;
    };
    let result = tokio::select! {
        result = chatter.run() => result.map_err(|error| Reason::of(&error)),
        () = over => Err(Reason::from(LATE)),
    };
    let (order, silence, received) = (chatter.order, chatter.silence, chatter.received);
    context.talk.handle_order(&order);
    let was_let_in = order.last.is_some();
    let just_came = !was_let_in && stop.cuts_short(began);
    let stayed = was_let_in && result.is_ok() && !stay.breaks_off && silence.is_none();
    let (from, ends) = (context.steady_at(), stop.end_of(stay.ends));
    let rate = rate(received, ends.saturating_duration_since(from));
    Attendance {
        was_let_in,
        heard: order.last.filter(|_| stayed),
        room: context.room_place(number),
        bytes_per_second: rate.filter(|_| stayed && began <= from),
        silence,
        error: result.err().filter(|_| !just_came),
    }
}

struct Chatter<'a> {
    context: &'a Arc<Context>,
    number: u32,
    stay: Stay,
    order: Order,
    patience: Patience,
    silence: Option<Silence>,
    /// Bytes that came in the steady part.
    received: u64,
}

impl Chatter<'_> {
    /// Comes again while the server is too busy to let it in.
    async fn run(&mut self) -> anyhow::Result<()> {
        while let Err(error) = self.by_socket().await {
            let Some(wait) = self.patience.handle_end(&error) else {
                return Err(error);
            };
            self.context.base.http.wait(wait).await;
        }
        Ok(())
    }

    async fn by_socket(&mut self) -> anyhow::Result<()> {
        let context = self.context;
        let Entry {
            mut socket,
            here,
            mut chat,
            mut reactions,
            silent_at,
        } = Entry::make(context, self.number, self.stay).await?;
        let talk = &context.talk;
        let over = context.base.stop.or_at(self.stay.ends);
        tokio::pin!(over);
        loop {
            tokio::select! {
                message = socket.next_or_refusal() => {
                    self.handle(&*message?)?;
                    self.handle_bytes(socket.take_received());
                }
                () = chat.tick() => socket.say(CHAT, talk.message()).await?,
                () = reactions.tick() => socket.say(REACTION, talk.reaction()).await?,
                () = at(silent_at) => {
                    drop(here);
                    context.base.stop.or_at(context.reads_again_at(self.number)).await;
                    self.silence = Some(Silence(end_of(socket).await));
                    return Ok(());
                }
                () = &mut over => break,
            }
        }
        if !self.stay.breaks_off {
            socket.close().await;
        }
        Ok(())
    }

    fn handle_bytes(&mut self, bytes: u64) {
        self.context.talk.handle_bytes(bytes);
        if Instant::now() >= self.context.steady_at() {
            self.received += bytes;
        }
    }

    fn handle(&mut self, message: &Message) -> anyhow::Result<()> {
        let talk = &self.context.talk;
        self.order.handle(message);
        if message.t != "error" {
            talk.handle(message);
            return Ok(());
        }
        let refusal = Refusal::of(&message.d);
        talk.handle_refusal(&refusal);
        match self.patience.handle_refusal(&refusal) {
            Turn::Go => Ok(()),
            // It asks for nothing that could be asked for again.
            Turn::Subscribe(_) | Turn::Leave => Err(refusal.into()),
        }
    }
}

/// Returns how many of them are those of a second; `None` where there was no time to tell.
fn rate(bytes: u64, time: Duration) -> Option<u64> {
    let ms = u64::try_from(time.as_millis())
        .ok()
        .filter(|ms| *ms >= LEAST_MS)?;
    Some(bytes.saturating_mul(1000) / ms)
}

/// Reads what has waited, and returns why the server ended it; `None` where it is still open.
async fn end_of(mut socket: Socket) -> Option<Reason> {
    let read = async {
        loop {
            if let Err(error) = socket.next_or_refusal().await {
                return Reason::of(&error);
            }
        }
    };
    timeout(GOOD_BYE_TIME, read).await.ok()
}

/// Less of the steady part tells nothing.
const LEAST_MS: u64 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_of_some_time_only() {
        assert_eq!(rate(9_000, Duration::from_secs(3)), Some(3_000));
        assert_eq!(
            rate(u64::MAX, Duration::from_secs(9)),
            Some(u64::MAX / 9_000)
        );
        assert_eq!(rate(9_000, Duration::from_millis(10)), None);
    }
}
