//! One publisher's signaling: by the klieg WebSocket or by WHIP.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::api::Resource;
use crate::base::Base;
use crate::light::Credentials;
use crate::light::accepted::Accepted;
use crate::light::media::{Media, Outcome, Part, Setup};
use crate::light::sdp::{self, Local, Protocol, Streams};
use crate::light::sent::Sent;
use crate::socket::Socket;

/// A stream on the air.
pub(crate) struct Publisher {
    /// Where it is to be watched; empty when it came by WHIP and nobody said so.
    pub(crate) room: String,
    peer: u32,
    media: Media,
    stop: watch::Sender<bool>,
    /// Keeps the signaling open, and ends it.
    signaling: JoinHandle<()>,
}

impl Publisher {
    /// Negotiates, connects, and starts to send.
    pub(crate) async fn go_live(
        base: &Base,
        number: u32,
        peer: u32,
        media: &Media,
    ) -> anyhow::Result<Self> {
        let ice = Credentials::random();
        let local = Local {
            ice: &ice,
            fingerprint: &base.identity.fingerprint,
        };
        let options = &base.options;
        let streams = Streams {
            audio: options.audio.then(rand::random),
            video: (0..options.layers())
                .map(|_| (rand::random(), rand::random()))
                .collect(),
        };
        let offer = local.offer_to_send(&streams);
        let stop = watch::Sender::default();
        let (room, answer, signaling) = match &options.whip {
            Some(url) => by_whip(base, url, number, offer, stop.subscribe()).await?,
            None => by_socket(base, number, offer, stop.subscribe()).await?,
        };
        let connected = watch::Sender::default();
        let mut is_connected = connected.subscribe();
        let remote = sdp::parse(&answer, Protocol::Udp)?;
        let accepted = Box::new(Accepted::of(&remote, streams)?);
        let setup = Setup {
            local: ice.clone(),
            remote,
            part: Part::Publisher(options.plan(), accepted, connected),
        };
        media.add(peer, setup).await;
        let wait = timeout(CONNECT_TIME, is_connected.wait_for(|connected| *connected));
        wait.await.context("no connection")??;
        info!(room, "a publisher is connected");
        Ok(Self {
            room,
            peer,
            media: media.clone(),
            stop,
            signaling,
        })
    }

    /// Stops sending and returns what was sent; waits at most `patience` for the signaling to end.
    pub(crate) async fn stop(self, patience: Duration) -> Sent {
        // The session goes first: with the goodbye the server would have forgotten it.
        self.stop.send_replace(true);
        if timeout(patience, self.signaling).await.is_err() {
            warn!("a publisher's signaling did not end in time");
        }
        let outcome = self.media.remove(self.peer, true).await;
        match outcome {
            Some(Outcome::Publisher(sent)) => sent,
            Some(Outcome::Viewer(_)) | None => Sent::default(),
        }
    }
}

async fn by_whip(
    base: &Base,
    url: &str,
    number: u32,
    offer: String,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<(String, String, JoinHandle<()>)> {
    let url = url.replace("{n}", &number.to_string());
    let options = &base.options;
    let create = Resource::create(&base.http, &url, options.key.as_deref(), offer);
    let resource = timeout(CONNECT_TIME, create).await.context("no answer")??;
    let answer = resource.answer.clone();
    let signaling = tokio::spawn(async move {
        let _ = stop.changed().await;
        if let Err(error) = resource.delete().await {
            warn!(error = format!("{error:#}"), "a WHIP session did not end");
        }
    });
    let room = options.room.clone().unwrap_or_default();
    Ok((room, answer, signaling))
}

async fn by_socket(
    base: &Base,
    number: u32,
    offer: String,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<(String, String, JoinHandle<()>)> {
    let (api, options) = (base.api(), &base.options);
    let bearer = match &options.key {
        Some(key) => key.clone(),
        None if number == 0 => api.login(&options.publisher_name).await?,
        None => {
            let name = format!("{}-{number}", options.publisher_name);
            api.login(&name).await?
        }
    };
    let room = match &options.room {
        Some(room) => room.clone(),
        None => api.create_room(&bearer, "Load test").await?,
    };
    let join = api.join(&room, Some(&bearer)).await?;
    let url = options.ws.as_ref().unwrap_or(&join.socket);
    let mut socket = Socket::enter(&base.http.net, url, &join.token, &room).await?;
    socket.send("rtc.offer", json!({ "sdp": offer })).await?;
    let answer = timeout(CONNECT_TIME, answer(&mut socket)).await;
    let answer = answer.context("no answer from the server")??;
    Ok((room, answer, tokio::spawn(listen(socket, stop))))
}

async fn answer(socket: &mut Socket) -> anyhow::Result<String> {
    loop {
        let message = socket.next().await?;
        if message.t == "rtc.answer" {
            return Ok(message.text("sdp")?.to_owned());
        }
    }
}

/// Reads the socket, so that the server is never kept waiting.
async fn listen(mut socket: Socket, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            message = socket.next() => if let Err(error) = message {
                warn!(error = format!("{error:#}"), "a publisher's socket ended");
                return;
            },
            _ = stop.changed() => return socket.close().await,
        }
    }
}

const CONNECT_TIME: Duration = Duration::from_secs(10);
