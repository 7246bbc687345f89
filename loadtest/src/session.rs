//! One light viewer's signaling: by the klieg WebSocket or by WHEP, with its chat and reactions.

use std::sync::Arc;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::api::Resource;
use crate::clock::at;
use crate::entry::{Entry, GOOD_BYE_TIME, LATE, Stay};
use crate::light::Credentials;
use crate::light::media::{Outcome, Part, Setup};
use crate::light::sdp::{self, Local};
use crate::light::seen::Seen;
use crate::patience::{Patience, Turn};
use crate::reason::{Reason, Refusal};
use crate::run::Context;
use crate::socket::{CHAT, Message, REACTION, Socket};
use crate::talk::Order;

/// What one light viewer saw, of its last session.
#[derive(Debug)]
pub(crate) struct Visit {
    /// When its first request left.
    pub(crate) began: std::time::Instant,
    pub(crate) seen: Seen,
    /// The number of the last room event that it heard of, where it stayed until the end.
    pub(crate) heard: Option<u64>,
    pub(crate) room: usize,
    /// Whose stream it was.
    pub(crate) publisher: usize,
    /// It had been there before, and had broken off.
    pub(crate) is_return: bool,
    /// Sound or the picture stopped before its end.
    pub(crate) has_stopped: bool,
    /// The test ended when it had just come, before it had a picture.
    pub(crate) cut_short: bool,
    /// What ended it early, or what it waited for in vain.
    pub(crate) error: Option<Reason>,
}

/// Joins, watches until the stay ends, and tells what was seen.
pub(crate) async fn visit(context: &Arc<Context>, viewer: u32, stay: Stay) -> Visit {
    let peer = context.next_peer();
    let began = std::time::Instant::now();
    let mut session = Session {
        context,
        viewer,
        peer,
        stay,
        local: Credentials::random(),
        began,
        order: Order::default(),
        patience: Patience::default(),
        again_at: None,
    };
    let stop = &context.base.stop;
    let over = async {
        stop.or_at(stay.ends).await;
        sleep(GOOD_BYE_TIME).await;
    };
    let result = tokio::select! {
        result = session.run() => result.map_err(|error| Reason::of(&error)),
        () = over => Err(Reason::from(LATE)),
    };
    // Who has fallen silent says no goodbye either.
    let is_silent = context
        .silent_from(viewer)
        .is_some_and(|at| at <= Instant::now());
    let breaks_off = stay.breaks_off || is_silent;
    let (order, stayed) = (session.order, result.is_ok() && !breaks_off);
    context.talk.handle_order(&order);
    let outcome = context.media(peer).remove(peer, !breaks_off).await;
    let seen = match outcome {
        Some(Outcome::Viewer(seen)) => seen,
        Some(Outcome::Publisher(_)) | None => Seen::default(),
    };
    // Who leaves because of a signal is said goodbye to, which is no early end.
    let ends = stop.end_of(stay.ends).into_std();
    let early = seen.over.filter(|(_, at)| *at < ends);
    let early = early.map(|(reason, _)| reason).or(seen.waits_for);
    let refused = result.err();
    let is_late = refused
        .as_ref()
        .is_none_or(|reason| *reason == Reason::from(LATE));
    let has_picture = seen.first_frame_at.is_some();
    let cut_short = is_late && !has_picture && stop.cuts_short(began.into());
    let error = refused.or_else(|| early.map(Reason::from));
    Visit {
        began,
        has_stopped: !is_silent && error.is_none() && seen.has_stopped(ends),
        seen,
        heard: order.last.filter(|_| stayed),
        room: context.room_place(viewer),
        publisher: usize::try_from(context.publisher_of(viewer)).unwrap_or(0),
        is_return: stay.is_return,
        cut_short,
        error: error.filter(|_| !cut_short),
    }
}

struct Session<'a> {
    context: &'a Arc<Context>,
    viewer: u32,
    peer: u32,
    stay: Stay,
    local: Credentials,
    /// When its first request left.
    began: std::time::Instant,
    order: Order,
    patience: Patience,
    /// When it subscribes again, as the server was busy; `None` while it need not.
    again_at: Option<Instant>,
}

impl Session<'_> {
    async fn run(&mut self) -> anyhow::Result<()> {
        if self.context.base.options.whep.is_some() {
            self.by_whep().await
        } else {
            self.by_sockets().await
        }
    }

    async fn by_whep(&self) -> anyhow::Result<()> {
        let base = &self.context.base;
        let offer = self.description().offer_to_watch();
        let url = base.options.whep.as_deref().unwrap_or_default();
        let number = self.context.publisher_of(self.viewer);
        let url = url.replace("{n}", &number.to_string());
        let token = base.options.token.as_deref();
        let resource = Resource::create(&base.http, &url, token, offer).await?;
        self.connect(&resource.answer).await?;
        base.stop.or_at(self.stay.ends).await;
        let silent_at = self.context.silent_from(self.viewer);
        let is_silent = silent_at.is_some_and(|at| at <= Instant::now());
        if !self.stay.breaks_off && !is_silent {
            resource.delete().await?;
        }
        Ok(())
    }

    /// Comes again while the server is too busy to let it in.
    async fn by_sockets(&mut self) -> anyhow::Result<()> {
        while let Err(error) = self.by_socket().await {
            let Some(wait) = self.patience.handle_end(&error) else {
                return Err(error);
            };
            self.disconnect().await;
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
        } = Entry::make(context, self.viewer, self.stay).await?;
        self.subscribe(&mut socket).await?;
        let talk = &context.talk;
        let over = context.base.stop.or_at(self.stay.ends);
        tokio::pin!(over);
        loop {
            tokio::select! {
                message = socket.next_or_refusal() => {
                    self.handle(&mut socket, &*message?).await?;
                    talk.handle_bytes(socket.take_received());
                }
                () = chat.tick() => socket.say(CHAT, talk.message()).await?,
                () = reactions.tick() => socket.say(REACTION, talk.reaction()).await?,
                () = at(self.again_at) => self.subscribe(&mut socket).await?,
                () = at(silent_at) => {
                    drop(here);
                    over.await;
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

    async fn handle(&mut self, socket: &mut Socket, message: &Message) -> anyhow::Result<()> {
        let talk = &self.context.talk;
        self.order.handle(message);
        match message.t.as_str() {
            "rtc.offer" => {
                let remote = self.connect(message.text("sdp")?).await?;
                let answer = remote.answer(&self.description());
                let session = message.text("sessionId")?;
                let d = json!({ "sessionId": session, "sdp": answer });
                self.patience.answered = Some(socket.send("rtc.answer", d).await?);
            }
            "error" => self.handle_refusal(Refusal::of(&message.d)).await?,
            _ => talk.handle(message),
        }
        Ok(())
    }

    async fn handle_refusal(&mut self, refusal: Refusal) -> anyhow::Result<()> {
        self.context.talk.handle_refusal(&refusal);
        match self.patience.handle_refusal(&refusal) {
            Turn::Go => Ok(()),
            Turn::Subscribe(wait) => {
                self.disconnect().await;
                self.again_at = Some(Instant::now() + self.context.base.http.longer(wait));
                Ok(())
            }
            Turn::Leave => Err(refusal.into()),
        }
    }

    async fn subscribe(&mut self, socket: &mut Socket) -> anyhow::Result<()> {
        self.again_at = None;
        let d = json!({ "layer": "auto" });
        self.patience.subscribed = Some(socket.send("rtc.subscribe", d).await?);
        Ok(())
    }

    /// Forgets a session that the server does not have.
    async fn disconnect(&mut self) {
        self.context.media(self.peer).remove(self.peer, false).await;
        self.local = Credentials::random();
    }

    /// Hands the server's description to the media thread; a later one changes nothing there.
    async fn connect(&self, description: &str) -> anyhow::Result<sdp::Remote> {
        let remote = sdp::parse(description, self.context.base.options.protocol())?;
        let setup = Setup {
            local: self.local.clone(),
            remote: remote.clone(),
            part: Part::Viewer(self.context.base.options.conduct(), self.began),
        };
        self.context.media(self.peer).add(self.peer, setup).await;
        if let Some(at) = self.context.silent_from(self.viewer) {
            self.context.stall_later(self.peer, at);
        }
        Ok(remote)
    }

    fn description(&self) -> Local<'_> {
        Local {
            ice: &self.local,
            fingerprint: &self.context.base.identity.fingerprint,
        }
    }
}
