//! How somebody comes into a room: one way for viewers of both kinds and for chatters.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::run::Context;
use crate::socket::Socket;
use crate::talk::Here;

/// When a visit ends, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stay {
    pub(crate) ends: Instant,
    /// Whether it breaks off without a goodbye.
    pub(crate) breaks_off: bool,
    /// Whether it comes back after that.
    pub(crate) is_return: bool,
}

/// Somebody who has asked to be let in, and when there is something to say.
pub(crate) struct Entry<'a> {
    pub(crate) socket: Socket,
    /// Lives as long as the socket is read.
    pub(crate) here: Here<'a>,
    pub(crate) chat: Clock,
    pub(crate) reactions: Clock,
    /// When it falls silent; `None`: never.
    pub(crate) silent_at: Option<Instant>,
}

impl<'a> Entry<'a> {
    /// Asks to be let in, to talk until the stay ends.
    pub(crate) async fn make(
        context: &'a Context,
        number: u32,
        stay: Stay,
    ) -> anyhow::Result<Self> {
        let socket = socket(context, number).await?;
        let (options, silent_at) = (&context.base.options, context.silent_from(number));
        let ends = silent_at.map_or(stay.ends, |at| at.min(stay.ends));
        let clock = |per_second| Clock::until(ends, options.share_of(per_second));
        Ok(Self {
            socket,
            here: context.talk.enter(),
            chat: clock(options.chat_per_second()),
            reactions: clock(options.reactions_per_second()),
            silent_at,
        })
    }
}

/// Gets a token for the room of this number, connects, and asks to be let in.
pub(crate) async fn socket(context: &Context, number: u32) -> anyhow::Result<Socket> {
    let (base, room) = (&context.base, context.room_of(number));
    let token = base.options.token.as_deref();
    let join = base.api().join(room, token).await?;
    let url = base.options.ws.as_ref().unwrap_or(&join.socket);
    Socket::enter(&base.http.net, url, &join.token, room).await
}

/// What became of somebody who is still there long after the end.
pub(crate) const LATE: &str = "the server did not answer in time";

/// For what is under way when the time is over.
pub(crate) const GOOD_BYE_TIME: Duration = Duration::from_secs(2);
