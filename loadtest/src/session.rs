//! One light viewer's signaling: by the klieg WebSocket or by WHEP, with its chat and reactions.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use serde_json::json;
use tokio::time::{Instant, interval_at, sleep};

use crate::api::Resource;
use crate::light::Credentials;
use crate::light::media::{Outcome, Part, Setup};
use crate::light::receive::Seen;
use crate::light::sdp::{self, Local};
use crate::run::Context;
use crate::socket::{Message, Socket};
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
    /// What ended it early, or what it waited for in vain.
    pub(crate) error: Option<String>,
}

/// When a visit ends, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stay {
    pub(crate) ends: Instant,
    /// Whether it breaks off without a goodbye.
    pub(crate) breaks_off: bool,
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
    };
    let stop = &context.base.stop;
    let over = async {
        stop.or_at(stay.ends).await;
        sleep(GOOD_BYE_TIME).await;
    };
    let result = tokio::select! {
        result = session.run() => result,
        () = over => Err(anyhow!("the server did not answer in time")),
    };
    let (order, stayed) = (session.order, result.is_ok() && !stay.breaks_off);
    context.talk.handle_order(&order);
    let outcome = context.media(peer).remove(peer, !stay.breaks_off).await;
    let seen = match outcome {
        Some(Outcome::Viewer(seen)) => seen,
        Some(Outcome::Publisher(_)) | None => Seen::default(),
    };
    // Who leaves because of a signal is said goodbye to, which is no early end.
    let ends = stop.end_of(stay.ends).into_std();
    let early = seen.over.filter(|(_, at)| *at < ends);
    let early = early.map(|(reason, _)| reason).or(seen.waits_for);
    let refused = result.err().map(|error| format!("{error:#}"));
    Visit {
        began,
        seen,
        heard: order.last.filter(|_| stayed),
        room: context.room_place(viewer),
        error: refused.or_else(|| early.map(str::to_owned)),
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
}

impl Session<'_> {
    async fn run(&mut self) -> anyhow::Result<()> {
        if self.context.base.options.whep.is_some() {
            self.by_whep().await
        } else {
            self.by_socket().await
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
        self.connect(&resource.answer)?;
        base.stop.or_at(self.stay.ends).await;
        if !self.stay.breaks_off {
            resource.delete().await?;
        }
        Ok(())
    }

    async fn by_socket(&mut self) -> anyhow::Result<()> {
        let (base, room) = (&self.context.base, self.context.room_of(self.viewer));
        let (options, talk) = (&base.options, &self.context.talk);
        let join = base.api().join(room, options.token.as_deref()).await?;
        let url = options.ws.as_ref().unwrap_or(&join.socket);
        let mut socket = Socket::enter(&base.http.net, url, &join.token, room).await?;
        socket
            .send("rtc.subscribe", json!({ "layer": "auto" }))
            .await?;
        let mut chat = self.every(options.chat_per_second());
        let mut reactions = self.every(options.reactions_per_second());
        let over = base.stop.or_at(self.stay.ends);
        tokio::pin!(over);
        loop {
            tokio::select! {
                message = socket.next_or_refusal() => self.handle(&mut socket, &message?).await?,
                () = chat.tick() => socket.send_unique("chat.send", talk.message()).await?,
                () = reactions.tick() => socket.send("reaction.send", talk.reaction()).await?,
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
                let remote = self.connect(message.text("sdp")?)?;
                let answer = remote.answer(&self.description());
                let session = message.text("sessionId")?;
                let d = json!({ "sessionId": session, "sdp": answer });
                socket.send("rtc.answer", d).await?;
            }
            "ack" => talk.handle_ack(message),
            "chat.message" => talk.handle_chat(message),
            "reaction.batch" => talk.handle_reactions(message),
            "error" => {
                talk.handle_refusal();
                if message.d["code"] != "rate_limited" {
                    bail!("the server says: {}", message.d);
                }
            }
            // Numbers and news of the room are nothing to a viewer that only measures.
            _ => {}
        }
        Ok(())
    }

    /// Hands the server's description to the media thread; a later one changes nothing there.
    fn connect(&self, description: &str) -> anyhow::Result<sdp::Remote> {
        let remote = sdp::parse(description)?;
        let setup = Setup {
            local: self.local.clone(),
            remote: remote.clone(),
            part: Part::Viewer(self.context.base.options.conduct(), self.began),
        };
        self.context.media(self.peer).add(self.peer, setup);
        if self.context.is_to_stall(self.viewer) {
            self.context.stall_later(self.peer);
        }
        Ok(remote)
    }

    fn description(&self) -> Local<'_> {
        Local {
            ice: &self.local,
            fingerprint: &self.context.base.identity.fingerprint,
        }
    }

    /// Returns a clock on which this viewer does its share of so many a second.
    fn every(&self, per_second: f64) -> Clock {
        if per_second <= 0.0 {
            return Clock {
                interval: None,
                ends: self.stay.ends,
            };
        }
        let share = per_second / f64::from(self.context.base.options.viewers.max(1));
        let period = Duration::from_secs_f64((1.0 / share).min(1e6));
        let (now, ends) = (Instant::now(), self.stay.ends);
        let first = now + period.mul_f64(rand::random_range(0.0..1.0));
        // What is said last has to be heard before everybody goes.
        let quiet = QUIET_TIME.min(ends.saturating_duration_since(now) / 4);
        Clock {
            interval: Some(interval_at(first, period)),
            ends: ends - quiet,
        }
    }
}

/// Ticks until it ends, or never does.
struct Clock {
    interval: Option<tokio::time::Interval>,
    ends: Instant,
}

impl Clock {
    async fn tick(&mut self) {
        if let Some(interval) = &mut self.interval
            && interval.tick().await < self.ends
        {
            return;
        }
        self.interval = None;
        std::future::pending().await
    }
}

/// For what is under way when the time is over.
const GOOD_BYE_TIME: Duration = Duration::from_secs(2);
/// Before everybody goes, nobody says anything.
const QUIET_TIME: Duration = Duration::from_secs(1);
