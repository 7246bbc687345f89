//! One chatter: somebody with a socket and no picture, who says its share and hears everybody.

use std::sync::Arc;

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
    /// How its socket ended, where it had fallen silent; an open one has no reason.
    pub(crate) silence: Option<Silence>,
    /// What ended it early.
    pub(crate) error: Option<Reason>,
}

/// Of somebody who read no more: why the server closed the socket, once that is read; `None` if it did not.
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
    let (order, silence) = (chatter.order, chatter.silence);
    context.talk.handle_order(&order);
    let was_let_in = order.last.is_some();
    let just_came = !was_let_in && stop.cuts_short(began);
    Attendance {
        was_let_in,
        heard: order
            .last
            .filter(|_| result.is_ok() && !stay.breaks_off && silence.is_none()),
        room: context.room_place(number),
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
                    self.handle(&message?)?;
                    talk.handle_bytes(socket.take_received());
                }
                () = chat.tick() => socket.say(CHAT, talk.message()).await?,
                () = reactions.tick() => socket.say(REACTION, talk.reaction()).await?,
                () = at(silent_at) => {
                    drop(here);
                    over.await;
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
