//! One complete viewer: joins by the WebSocket or by WHEP, and counts what comes.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::warn;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{PeerConnection, RTCSessionDescription};

use crate::api::Resource;
use crate::entry::{self, GOOD_BYE_TIME, LATE};
use crate::gate::Gate;
use crate::light::tally::Histogram;
use crate::meter::{Counts, Meter};
use crate::patience::{Patience, Turn};
use crate::peer::{self, Link, TakeTrack};
use crate::reason::{Reason, Refusal};
use crate::run::Context;
use crate::socket::{Message, Socket};
use crate::stamp;

/// What one viewer saw. Times count from its first request; `None` where it did not get that far.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ViewerReport {
    /// Which viewer, from 0.
    pub(crate) number: u16,
    /// The snapshot of the room came; never by WHEP.
    pub(crate) joined_us: Option<u64>,
    /// The server's session description came.
    pub(crate) described_us: Option<u64>,
    /// ICE and DTLS were done.
    pub(crate) connected_us: Option<u64>,
    /// The first packet of any track came.
    pub(crate) first_packet_us: Option<u64>,
    /// The first video frame was complete.
    pub(crate) first_frame_us: Option<u64>,
    /// The audio track.
    pub(crate) audio: Counts,
    /// The video track.
    pub(crate) video: Counts,
    /// The test ended when it had just come.
    pub(crate) cut_short: bool,
    /// What ended it early.
    pub(crate) error: Option<String>,
    /// The same, to be compared with others.
    #[serde(skip)]
    pub(crate) reason: Option<Reason>,
    /// Time from when a frame was due at the publisher to its last packet, of the steady part; only with our own publisher.
    #[serde(skip)]
    pub(crate) delays: Histogram,
}

/// Watches until `ends`.
pub(crate) async fn watch(context: Arc<Context>, number: u16, ends: Instant) -> ViewerReport {
    let mut viewer = Viewer {
        context: &context,
        began: Instant::now(),
        received: Arc::new(Received::new(&context)),
        link: watch::Sender::default(),
        peer: None,
        patience: Patience::default(),
        report: ViewerReport {
            number,
            ..ViewerReport::default()
        },
    };
    let over = async {
        context.base.stop.or_at(ends).await;
        sleep(GOOD_BYE_TIME).await;
    };
    let result = tokio::select! {
        result = viewer.run(ends) => result,
        () = over => Err(anyhow!(LATE)),
    };
    if let Err(error) = result {
        warn!(number, error = format!("{error:#}"), "a viewer was stopped");
        viewer.report.error = Some(format!("{error:#}"));
        viewer.report.reason = Some(Reason::of(&error));
    }
    viewer.finish().await
}

struct Viewer<'a> {
    context: &'a Context,
    began: Instant,
    received: Arc<Received>,
    link: watch::Sender<Link>,
    /// Made when the first offer comes, or for ours.
    peer: Option<Arc<dyn PeerConnection>>,
    patience: Patience,
    report: ViewerReport,
}

impl Viewer<'_> {
    async fn run(&mut self, ends: Instant) -> anyhow::Result<()> {
        match self.context.base.options.whep.clone() {
            Some(url) => self.by_whep(&url, ends).await,
            None => self.by_sockets(ends).await,
        }
    }

    async fn by_whep(&mut self, url: &str, ends: Instant) -> anyhow::Result<()> {
        let base = &self.context.base;
        let peer = self.build().await?;
        for kind in [RtpCodecKind::Audio, RtpCodecKind::Video] {
            let direction = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                ..RTCRtpTransceiverInit::default()
            };
            peer.add_transceiver_from_kind(kind, Some(direction))
                .await?;
        }
        let offer = peer.create_offer(None).await?;
        let sdp = offer.sdp.clone();
        peer.set_local_description(offer).await?;
        let number = self.context.publisher_of(self.report.number.into());
        let url = url.replace("{n}", &number.to_string());
        let token = base.options.token.as_deref();
        let resource = Resource::create(&base.http, &url, token, sdp).await?;
        self.report.described_us = Some(self.elapsed_us(Instant::now()));
        let answer = RTCSessionDescription::answer(resource.answer.clone())?;
        peer.set_remote_description(answer).await?;
        base.stop.or_at(ends).await;
        resource.delete().await
    }

    /// Comes again while the server is too busy to let it in.
    async fn by_sockets(&mut self, ends: Instant) -> anyhow::Result<()> {
        while let Err(error) = self.by_socket(ends).await {
            let Some(wait) = self.patience.handle_end(&error) else {
                return Err(error);
            };
            self.disconnect().await;
            self.context.base.http.wait(wait).await;
        }
        Ok(())
    }

    /// Serves the socket until the time is over.
    async fn by_socket(&mut self, ends: Instant) -> anyhow::Result<()> {
        let context = self.context;
        let base = &context.base;
        let mut socket = entry::socket(context, self.report.number.into()).await?;
        self.subscribe(&mut socket).await?;
        let over = base.stop.or_at(ends);
        tokio::pin!(over);
        loop {
            let message = tokio::select! {
                message = socket.next_or_refusal() => message?,
                () = &mut over => break,
            };
            match message.t.as_str() {
                "joined" => self.report.joined_us = Some(self.elapsed_us(Instant::now())),
                "rtc.offer" => self.handle_offer(&mut socket, &message).await?,
                "error" => {
                    let refusal = Refusal::of(&message.d);
                    match self.patience.handle_refusal(&refusal) {
                        Turn::Go => {}
                        Turn::Subscribe(wait) => {
                            self.disconnect().await;
                            base.http.wait(wait).await;
                            self.subscribe(&mut socket).await?;
                        }
                        Turn::Leave => return Err(refusal.into()),
                    }
                }
                // Chat, reactions and numbers are nothing to a viewer that only measures media.
                _ => {}
            }
        }
        socket.close().await;
        Ok(())
    }

    async fn subscribe(&mut self, socket: &mut Socket) -> anyhow::Result<()> {
        let d = json!({ "layer": "auto" });
        self.patience.subscribed = Some(socket.send("rtc.subscribe", d).await?);
        Ok(())
    }

    /// Forgets a session that the server does not have.
    async fn disconnect(&mut self) {
        let Some(peer) = self.peer.take() else { return };
        if let Err(error) = peer.close().await {
            warn!(number = self.report.number, %error, "a peer did not close");
        }
    }

    async fn handle_offer(&mut self, socket: &mut Socket, offer: &Message) -> anyhow::Result<()> {
        let elapsed_us = self.elapsed_us(Instant::now());
        self.report.described_us.get_or_insert(elapsed_us);
        let peer = match &self.peer {
            Some(peer) => Arc::clone(peer),
            None => self.build().await?,
        };
        let description = RTCSessionDescription::offer(offer.text("sdp")?.to_owned())?;
        peer.set_remote_description(description).await?;
        let answer = peer.create_answer(None).await?;
        let sdp = answer.sdp.clone();
        peer.set_local_description(answer).await?;
        let session = offer.text("sessionId")?;
        let d = json!({ "sessionId": session, "sdp": sdp });
        self.patience.answered = Some(socket.send("rtc.answer", d).await?);
        Ok(())
    }

    async fn build(&mut self) -> anyhow::Result<Arc<dyn PeerConnection>> {
        let tracks = Tracks(Arc::clone(&self.received));
        let is_here = self.context.base.options.watches_here();
        let peer = peer::build(is_here, self.link.clone(), tracks).await?;
        Ok(Arc::clone(self.peer.insert(peer)))
    }

    async fn finish(mut self) -> ViewerReport {
        if let Link::Connected(at) = *self.link.borrow() {
            self.report.connected_us = Some(self.elapsed_us(at));
        }
        self.disconnect().await;
        let state = self.received.lock();
        if state.first_packet.is_some() {
            self.context.gate.handle_end();
        }
        let now = std::time::Instant::now();
        self.report.first_packet_us = state.first_packet.map(|at| self.elapsed_us(at));
        self.report.first_frame_us = state.first_frame.map(|at| self.elapsed_us(at));
        self.report.audio = state.audio.counts(now);
        self.report.video = state.video.counts(now);
        self.report.delays = state.video.delays().clone();
        drop(state);
        let just_came = self.context.base.stop.cuts_short(self.began);
        self.report.cut_short = just_came && self.report.video.frames == 0;
        self.report
    }

    fn elapsed_us(&self, at: Instant) -> u64 {
        let elapsed = at.saturating_duration_since(self.began);
        u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
    }
}

/// Shared between the tracks' readers and the viewer.
struct Received {
    state: Mutex<ReceivedState>,
    gate: Arc<Gate>,
    /// Delays count from then on.
    steady_at: Instant,
}

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
    fn new(context: &Context) -> Self {
        Self {
            state: Mutex::default(),
            gate: Arc::clone(&context.gate),
            steady_at: context.steady_at(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ReceivedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle_packet(&self, kind: RtpCodecKind, packet: &rtc::rtp::Packet) {
        let now = Instant::now();
        let header = &packet.header;
        let mut state = self.lock();
        self.gate.handle_packet(state.first_packet.is_none());
        state.first_packet.get_or_insert(now);
        let meter = if kind == RtpCodecKind::Video {
            &mut state.video
        } else {
            &mut state.audio
        };
        let (seq, bytes) = (header.sequence_number, packet.payload.len());
        let ends = meter.handle_packet(seq, header.marker, bytes, now.into_std());
        if kind == RtpCodecKind::Video && ends {
            // Before, a cache may have shown frames of the past.
            if let Some(stamp) = stamp::read(&packet.payload).filter(|_| now >= self.steady_at) {
                let sent_at = stamp.frame_sent_at.into();
                meter.handle_delay(now.saturating_duration_since(sent_at));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::{STAMP_LEN, Stamp};

    #[test]
    fn delays_before_the_steady_part_do_not_count() {
        let now = Instant::now();
        let delays = |steady_at| {
            let received = Received {
                state: Mutex::default(),
                gate: Arc::default(),
                steady_at,
            };
            let mut payload = vec![0; STAMP_LEN];
            let sent = std::time::Instant::now();
            let stamp = Stamp {
                frame_sent_at: sent,
                packet_sent_at: sent,
                stream: 1,
                count: 1,
            };
            stamp::write(&mut payload, &stamp);
            let mut packet = rtc::rtp::Packet::default();
            packet.header.marker = true;
            packet.payload = payload.into();
            received.handle_packet(RtpCodecKind::Video, &packet);
            assert_eq!(received.gate.crowd().watching, 1);
            received.lock().video.delays().count()
        };
        assert_eq!(delays(now), 1);
        assert_eq!(delays(now + std::time::Duration::from_secs(60)), 0);
    }
}
