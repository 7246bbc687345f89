//! One complete viewer: joins as a guest, answers the server's offer, counts what comes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::warn;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{PeerConnection, RTCSessionDescription};

use crate::api::Api;
use crate::meter::{Counts, Meter};
use crate::options::Options;
use crate::peer::{self, Link, TakeTrack};
use crate::socket::{Message, Socket};
use crate::stamp::sent_at;

/// What one viewer saw. Times count from its first request; `None` where it did not get that far.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ViewerReport {
    /// Which viewer, from 0.
    pub(crate) number: u16,
    /// The snapshot of the room came.
    pub(crate) joined_ms: Option<u64>,
    /// The server's session description came.
    pub(crate) offered_ms: Option<u64>,
    /// ICE and DTLS were done.
    pub(crate) connected_ms: Option<u64>,
    /// The first packet of any track came.
    pub(crate) first_packet_ms: Option<u64>,
    /// The first video frame was complete.
    pub(crate) first_frame_ms: Option<u64>,
    /// The audio track.
    pub(crate) audio: Counts,
    /// The video track.
    pub(crate) video: Counts,
    /// What ended it early.
    pub(crate) error: Option<String>,
    /// Time from the publisher's send call to the last packet of each frame; only with our own publisher.
    #[serde(skip)]
    pub(crate) delays_us: Vec<u32>,
}

/// Watches until `ends`.
pub(crate) async fn watch(
    options: Arc<Options>,
    room: String,
    number: u16,
    ends: Instant,
) -> ViewerReport {
    let mut viewer = Viewer {
        options: &options,
        room: &room,
        began: Instant::now(),
        received: Arc::default(),
        link: watch::Sender::default(),
        peer: None,
        report: ViewerReport {
            number,
            ..ViewerReport::default()
        },
    };
    let result = timeout_at(ends + GOOD_BYE_TIME, viewer.run(ends)).await;
    if let Err(error) = result
        .context("the server did not answer in time")
        .flatten()
    {
        warn!(number, error = format!("{error:#}"), "a viewer was stopped");
        viewer.report.error = Some(format!("{error:#}"));
    }
    viewer.finish().await
}

/// For what is under way when the time is over.
const GOOD_BYE_TIME: Duration = Duration::from_secs(2);

struct Viewer<'a> {
    options: &'a Options,
    room: &'a str,
    began: Instant,
    received: Arc<Received>,
    link: watch::Sender<Link>,
    /// Made when the first offer comes.
    peer: Option<Arc<dyn PeerConnection>>,
    report: ViewerReport,
}

impl Viewer<'_> {
    /// Serves the socket until the time is over.
    async fn run(&mut self, ends: Instant) -> anyhow::Result<()> {
        let join = Api::parse(&self.options.http)?
            .join(self.room, None)
            .await?;
        let mut socket = Socket::enter(self.options, &join, self.room).await?;
        socket
            .send("rtc.subscribe", json!({ "layer": "auto" }))
            .await?;
        while let Ok(message) = timeout_at(ends, socket.next()).await {
            let message = message?;
            match message.t.as_str() {
                "joined" => self.report.joined_ms = Some(self.elapsed_ms(Instant::now())),
                "rtc.offer" => self.handle_offer(&mut socket, &message).await?,
                // Chat, reactions and numbers are nothing to a viewer that only measures media.
                _ => {}
            }
        }
        socket.close().await;
        Ok(())
    }

    async fn handle_offer(&mut self, socket: &mut Socket, offer: &Message) -> anyhow::Result<()> {
        let now = Instant::now();
        self.report
            .offered_ms
            .get_or_insert_with(|| u64_ms(now - self.began));
        let peer = match &self.peer {
            Some(peer) => Arc::clone(peer),
            None => {
                let tracks = Tracks(Arc::clone(&self.received));
                let peer = peer::build(self.options, self.link.clone(), tracks).await?;
                Arc::clone(self.peer.insert(peer))
            }
        };
        let description = RTCSessionDescription::offer(offer.text("sdp")?.to_owned())?;
        peer.set_remote_description(description).await?;
        let answer = peer.create_answer(None).await?;
        let sdp = answer.sdp.clone();
        peer.set_local_description(answer).await?;
        let session = offer.text("sessionId")?;
        socket
            .send("rtc.answer", json!({ "sessionId": session, "sdp": sdp }))
            .await
    }

    async fn finish(mut self) -> ViewerReport {
        if let Link::Connected(at) = *self.link.borrow() {
            self.report.connected_ms = Some(self.elapsed_ms(at));
        }
        if let Some(peer) = self.peer.take()
            && let Err(error) = peer.close().await.context("close")
        {
            warn!(
                number = self.report.number,
                error = format!("{error:#}"),
                "a peer did not close"
            );
        }
        let state = self.received.lock();
        self.report.first_packet_ms = state.first_packet.map(|at| self.elapsed_ms(at));
        self.report.first_frame_ms = state.first_frame.map(|at| self.elapsed_ms(at));
        self.report.audio = state.audio.counts();
        self.report.video = state.video.counts();
        self.report.delays_us = state.video.delays_us().to_vec();
        drop(state);
        self.report
    }

    fn elapsed_ms(&self, at: Instant) -> u64 {
        u64_ms(at - self.began)
    }
}

fn u64_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Shared between the tracks' readers and the viewer.
#[derive(Default)]
struct Received(Mutex<ReceivedState>);

#[derive(Default)]
struct ReceivedState {
    /// `None` until a packet of any track came.
    first_packet: Option<Instant>,
    /// `None` until a video packet with the marker bit came.
    first_frame: Option<Instant>,
    audio: Meter,
    video: Meter,
}

impl Received {
    fn lock(&self) -> std::sync::MutexGuard<'_, ReceivedState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle_packet(&self, kind: RtpCodecKind, packet: &rtc::rtp::Packet) {
        let now = Instant::now();
        let header = &packet.header;
        let mut state = self.lock();
        state.first_packet.get_or_insert(now);
        let meter = if kind == RtpCodecKind::Video {
            &mut state.video
        } else {
            &mut state.audio
        };
        let ends = meter.handle_packet(header.sequence_number, header.marker, packet.payload.len());
        if kind == RtpCodecKind::Video && ends {
            if let Some((frame, _)) = sent_at(&packet.payload) {
                meter.handle_delay(now.saturating_duration_since(frame.into()));
            }
            state.first_frame.get_or_insert(now);
        }
    }
}

/// Reads each track in a task of its own, which ends with the track.
struct Tracks(Arc<Received>);

impl TakeTrack for Tracks {
    fn take(&self, track: Arc<dyn TrackRemote>) {
        let received = Arc::clone(&self.0);
        tokio::spawn(async move {
            let kind = track.kind().await;
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    received.handle_packet(kind, &packet);
                }
            }
        });
    }
}
