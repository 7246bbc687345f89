//! One light viewer's signaling: by the klieg WebSocket or by WHEP, with its chat and reactions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::json;
use tokio::time::{Instant, interval_at, sleep_until, timeout_at};

use crate::api::{Api, Resource};
use crate::light::Credentials;
use crate::light::media::{Outcome, Part, Setup};
use crate::light::receive::Seen;
use crate::light::sdp::{self, Local};
use crate::run::Context;
use crate::socket::{Message, Socket};

/// What one light viewer saw, of its last session.
#[derive(Debug)]
pub(crate) struct Visit {
    /// When its first request left.
    pub(crate) began: std::time::Instant,
    pub(crate) seen: Seen,
    /// What ended it early.
    pub(crate) error: Option<String>,
}

/// Chat and reactions of all viewers.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    pub(crate) chat_sent: AtomicU64,
    pub(crate) chat_acknowledged: AtomicU64,
    pub(crate) chat_delivered: AtomicU64,
    pub(crate) reactions_sent: AtomicU64,
    /// Requests that the server refused.
    pub(crate) refused: AtomicU64,
    /// From sending to each delivery.
    pub(crate) chat_delay: std::sync::Mutex<crate::light::tally::Histogram>,
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
    let session = Session {
        context,
        viewer,
        peer,
        ends: stay.ends,
        local: Credentials::random(),
    };
    let patience = stay.ends + GOOD_BYE_TIME;
    let result = if context.options.whep.is_some() {
        timeout_at(patience, session.by_whep(stay.breaks_off)).await
    } else {
        timeout_at(patience, session.by_socket(stay.breaks_off)).await
    };
    let result = result
        .context("the server did not answer in time")
        .flatten();
    let outcome = context.media(peer).remove(peer, !stay.breaks_off).await;
    let seen = match outcome {
        Some(Outcome::Viewer(seen)) => seen,
        Some(Outcome::Publisher(_)) | None => Seen::default(),
    };
    let early = seen.over.filter(|(_, at)| *at < stay.ends.into_std());
    let early = early.map(|(reason, _)| reason.to_owned());
    Visit {
        began,
        seen,
        error: result.err().map(|error| format!("{error:#}")).or(early),
    }
}

struct Session<'a> {
    context: &'a Arc<Context>,
    viewer: u32,
    peer: u32,
    ends: Instant,
    local: Credentials,
}

impl Session<'_> {
    async fn by_whep(&self, breaks_off: bool) -> anyhow::Result<()> {
        let offer = self.description().offer_to_watch();
        let url = self.context.options.whep.as_deref().unwrap_or_default();
        let url = url.replace("{n}", &self.context.publisher_of(self.viewer).to_string());
        let resource = Resource::create(&url, self.context.options.token.as_deref(), offer).await?;
        self.connect(&resource.answer)?;
        sleep_until(self.ends).await;
        if !breaks_off {
            resource.delete().await?;
        }
        Ok(())
    }

    async fn by_socket(&self, breaks_off: bool) -> anyhow::Result<()> {
        let (options, room) = (&self.context.options, self.context.room_of(self.viewer));
        let api = Api::parse(&options.http)?;
        let join = api.join(room, None).await?;
        let mut socket = Socket::enter(options, &join, room).await?;
        socket
            .send("rtc.subscribe", json!({ "layer": "auto" }))
            .await?;
        let mut chat = self.every(options.chat_per_second());
        let mut reactions = self.every(options.reactions_per_second());
        loop {
            tokio::select! {
                message = socket.next_or_refusal() => self.handle(&mut socket, &message?).await?,
                () = chat.tick() => self.say(&mut socket).await?,
                () = reactions.tick() => {
                    self.context.talk.reactions_sent.fetch_add(1, Ordering::Relaxed);
                    socket.send("reaction.send", json!({ "emoji": "❤" })).await?;
                }
                () = sleep_until(self.ends) => break,
            }
        }
        if !breaks_off {
            socket.close().await;
        }
        Ok(())
    }

    async fn handle(&self, socket: &mut Socket, message: &Message) -> anyhow::Result<()> {
        let talk = &self.context.talk;
        match message.t.as_str() {
            "rtc.offer" => {
                let remote = self.connect(message.text("sdp")?)?;
                let answer = remote.answer(&self.description());
                let session = message.text("sessionId")?;
                let d = json!({ "sessionId": session, "sdp": answer });
                socket.send("rtc.answer", d).await?;
            }
            "ack" if message.d.get("messageId").is_some() => {
                talk.chat_acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            "chat.message" => {
                talk.chat_delivered.fetch_add(1, Ordering::Relaxed);
                let text = message.d["text"]
                    .as_str()
                    .and_then(|text| text.strip_prefix(CHAT));
                if let Some(sent_us) = text.and_then(|text| text.parse().ok()) {
                    let delay = since_began().saturating_sub(Duration::from_micros(sent_us));
                    let mut delays = talk
                        .chat_delay
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    delays.add(delay);
                }
            }
            "error" => {
                talk.refused.fetch_add(1, Ordering::Relaxed);
                if message.d["code"] != "rate_limited" {
                    bail!("the server says: {}", message.d);
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn say(&self, socket: &mut Socket) -> anyhow::Result<()> {
        self.context.talk.chat_sent.fetch_add(1, Ordering::Relaxed);
        let text = format!("{CHAT}{}", since_began().as_micros());
        socket
            .send_unique("chat.send", json!({ "text": text }))
            .await
    }

    /// Hands the server's description to the media thread; a later one changes nothing there.
    fn connect(&self, description: &str) -> anyhow::Result<sdp::Remote> {
        let remote = sdp::parse(description)?;
        let setup = Setup {
            local: self.local.clone(),
            remote: remote.clone(),
            part: Part::Viewer(self.context.options.conduct()),
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
            fingerprint: &self.context.identity.fingerprint,
        }
    }

    /// Returns a clock on which this viewer does its share of so many a second.
    fn every(&self, per_second: f64) -> Clock {
        if per_second <= 0.0 {
            return Clock(None);
        }
        let share = per_second / f64::from(self.context.options.viewers.max(1));
        let period = Duration::from_secs_f64((1.0 / share).min(1e6));
        let first = Instant::now() + period.mul_f64(rand::random_range(0.0..1.0));
        Clock(Some(interval_at(first, period)))
    }
}

/// Ticks, or never does.
struct Clock(Option<tokio::time::Interval>);

impl Clock {
    async fn tick(&mut self) {
        match &mut self.0 {
            Some(interval) => drop(interval.tick().await),
            None => std::future::pending().await,
        }
    }
}

fn since_began() -> Duration {
    crate::light::tally::BEGAN.elapsed()
}

/// In front of the send time of a chat message.
const CHAT: &str = "load test ";
/// For what is under way when the time is over.
const GOOD_BYE_TIME: Duration = Duration::from_secs(2);
