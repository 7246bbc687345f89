//! One publisher: a synthetic stream whose frames carry the time they were sent.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp::{Header, Packet};
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters,
    RtpCodecKind,
};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, timeout};
use tracing::{info, warn};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{PeerConnection, RTCSessionDescription};
use webrtc::rtp_transceiver::RtpSender;

use crate::api::Api;
use crate::keyframe::KeyframeRequests;
use crate::options::Options;
use crate::peer::{self, Link, TakeTrack};
use crate::socket::Socket;
use crate::vp8;

/// What the publisher did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sent {
    /// Video packets.
    pub(crate) packets: u64,
    /// Video frames.
    pub(crate) frames: u64,
    /// Those of them that were keyframes: the first, and one for each request.
    pub(crate) keyframes: u64,
}

/// A stream on the air.
pub(crate) struct Publisher {
    room: String,
    stop: watch::Sender<bool>,
    sending: JoinHandle<anyhow::Result<Sent>>,
    /// Reads the socket, so that the server is never kept waiting.
    listening: JoinHandle<()>,
    peer: Arc<dyn PeerConnection>,
}

impl Publisher {
    /// Signs in, makes a room where none is named, negotiates, and starts to send.
    pub(crate) async fn go_live(options: &Options) -> anyhow::Result<Self> {
        let api = Api::parse(&options.http)?;
        let bearer = api.login(&options.publisher_name).await?;
        let room = match &options.room {
            Some(room) => room.clone(),
            None => api.create_room(&bearer, "Load test").await?,
        };
        let join = api.join(&room, Some(&bearer)).await?;
        let mut socket = Socket::enter(options, &join, &room).await?;

        let link = watch::Sender::default();
        let mut state = link.subscribe();
        let requests = KeyframeRequests::default();
        let peer = peer::build(options, link, NoTracks, &requests).await?;
        let video = Stream::add(peer.as_ref(), RtpCodecKind::Video).await?;
        let audio = Stream::add(peer.as_ref(), RtpCodecKind::Audio).await?;
        timeout(CONNECT_TIME, negotiate(&mut socket, peer.as_ref()))
            .await
            .context("no answer from the server")??;
        let connected = timeout(
            CONNECT_TIME,
            state.wait_for(|link| *link != Link::Connecting),
        );
        let lost = *connected.await.context("no connection")?? == Link::Lost;
        ensure!(!lost, "the connection failed");
        info!(room, "the publisher is connected");

        let stop = watch::Sender::default();
        let listening = tokio::spawn(listen(socket, stop.subscribe()));
        let frame_bytes = options.video_kbps as usize * 1000 / 8 / FRAMES_PER_SECOND as usize;
        let sender = Sender {
            video,
            audio,
            requests,
            frame_bytes,
            sent: Sent::default(),
        };
        let sending = tokio::spawn(sender.run(stop.subscribe()));
        Ok(Self {
            room,
            stop,
            sending,
            listening,
            peer,
        })
    }

    /// Returns the room that it publishes into.
    pub(crate) fn room(&self) -> &str {
        &self.room
    }

    /// Stops sending and returns what was sent; waits at most `patience` for each part to end.
    pub(crate) async fn stop(self, patience: Duration) -> Sent {
        self.stop.send_replace(true);
        let sent = match timeout(patience, self.sending).await {
            Ok(Ok(Ok(sent))) => sent,
            Ok(Ok(Err(error))) => {
                warn!(error = format!("{error:#}"), "the publisher stopped early");
                Sent::default()
            }
            Ok(Err(_)) | Err(_) => {
                warn!("the publisher did not stop in time");
                Sent::default()
            }
        };
        if let Err(error) = self.peer.close().await {
            warn!(%error, "the publisher's peer did not close");
        }
        if timeout(patience, self.listening).await.is_err() {
            warn!("the publisher's socket did not close in time");
        }
        sent
    }
}

const CONNECT_TIME: Duration = Duration::from_secs(10);

async fn negotiate(socket: &mut Socket, peer: &dyn PeerConnection) -> anyhow::Result<()> {
    let offer = peer.create_offer(None).await?;
    let sdp = offer.sdp.clone();
    peer.set_local_description(offer).await?;
    socket.send("rtc.offer", json!({ "sdp": sdp })).await?;
    loop {
        let message = socket.next().await?;
        if message.t == "rtc.answer" {
            let answer = RTCSessionDescription::answer(message.text("sdp")?.to_owned())?;
            peer.set_remote_description(answer).await?;
            return Ok(());
        }
    }
}

async fn listen(mut socket: Socket, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            message = socket.next() => if let Err(error) = message {
                warn!(error = format!("{error:#}"), "the publisher's socket ended");
                return;
            },
            _ = stop.changed() => return socket.close().await,
        }
    }
}

/// Paces and fills both streams.
struct Sender {
    video: Stream,
    audio: Stream,
    requests: KeyframeRequests,
    /// The size of every frame, so that the rate is constant.
    frame_bytes: usize,
    sent: Sent,
}

impl Sender {
    async fn run(mut self, mut stop: watch::Receiver<bool>) -> anyhow::Result<Sent> {
        self.video.negotiated().await?;
        self.audio.negotiated().await?;
        let mut frames = interval(Duration::from_secs(1) / FRAMES_PER_SECOND);
        let mut sounds = interval(Duration::from_millis(20));
        let mut answered = None;
        loop {
            tokio::select! {
                _ = frames.tick() => {
                    let asked = self.requests.count();
                    let keyframe = answered != Some(asked);
                    answered = Some(asked);
                    self.send_frame(keyframe).await?;
                }
                _ = sounds.tick() => self.audio.send(OPUS_SILENCE.to_vec(), 960, true).await?,
                _ = stop.changed() => return Ok(self.sent),
            }
        }
    }

    async fn send_frame(&mut self, keyframe: bool) -> anyhow::Result<()> {
        let mut frame = Vec::with_capacity(self.frame_bytes);
        vp8::write_frame(&mut frame, keyframe, self.frame_bytes, &send_time());
        let picture_id = u16::try_from(self.sent.frames & 0x7fff)?;
        let payloads = vp8::payloads(&frame, picture_id);
        let last = payloads.len() - 1;
        for (index, payload) in payloads.enumerate() {
            let ends = index == last;
            let step = if ends {
                CLOCK_RATE_HZ / FRAMES_PER_SECOND
            } else {
                0
            };
            self.video.send(payload, step, ends).await?;
            self.sent.packets += 1;
        }
        self.sent.frames += 1;
        self.sent.keyframes += u64::from(keyframe);
        Ok(())
    }
}

const FRAMES_PER_SECOND: u32 = 30;
const CLOCK_RATE_HZ: u32 = 90_000;

/// 20 ms of silence in stereo.
const OPUS_SILENCE: [u8; 3] = [0xfc, 0xff, 0xfe];

/// One outgoing RTP stream.
struct Stream {
    track: Arc<TrackLocalStaticRTP>,
    sender: Arc<dyn RtpSender>,
    /// Its next packet's header.
    next: Header,
}

impl Stream {
    async fn add(peer: &dyn PeerConnection, kind: RtpCodecKind) -> anyhow::Result<Self> {
        let ssrc = rand::random();
        let video = kind == RtpCodecKind::Video;
        let codec = RTCRtpCodec {
            mime_type: if video { "video/VP8" } else { "audio/opus" }.to_owned(),
            clock_rate: if video { CLOCK_RATE_HZ } else { 48_000 },
            channels: if video { 0 } else { 2 },
            ..RTCRtpCodec::default()
        };
        let coding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                ssrc: Some(ssrc),
                rtx: video.then(|| RTCRtpRtxParameters {
                    ssrc: rand::random(),
                }),
                ..RTCRtpCodingParameters::default()
            },
            active: true,
            codec,
            ..RTCRtpEncodingParameters::default()
        };
        let name = format!("klieg-loadtest-{kind}");
        let stream = "klieg-loadtest".to_owned();
        let track = MediaStreamTrack::new(stream, name.clone(), name, kind, vec![coding]);
        let track = Arc::new(TrackLocalStaticRTP::new(track));
        let sender = peer
            .add_track(Arc::clone(&track) as Arc<dyn TrackLocal>)
            .await?;
        let next = Header {
            version: 2,
            ssrc,
            sequence_number: rand::random(),
            timestamp: rand::random(),
            ..Header::default()
        };
        Ok(Self {
            track,
            sender,
            next,
        })
    }

    /// Takes over the payload type, once there is one.
    async fn negotiated(&mut self) -> anyhow::Result<()> {
        let parameters = self.sender.get_parameters().await?;
        let Some(codec) = parameters.rtp_parameters.codecs.first() else {
            bail!("the server took none of our codecs");
        };
        self.next.payload_type = codec.payload_type;
        Ok(())
    }

    /// Sends a packet, and moves the clock by `step` for the next one.
    async fn send(&mut self, payload: Vec<u8>, step: u32, marker: bool) -> anyhow::Result<()> {
        let header = Header {
            marker,
            ..self.next.clone()
        };
        self.track
            .write_rtp(Packet {
                header,
                payload: payload.into(),
            })
            .await?;
        self.next.sequence_number = self.next.sequence_number.wrapping_add(1);
        self.next.timestamp = self.next.timestamp.wrapping_add(step);
        Ok(())
    }
}

/// A publisher only sends.
struct NoTracks;

impl TakeTrack for NoTracks {
    fn take(&self, _: Arc<dyn TrackRemote>) {}
}

/// The end of each frame: a mark of this process, and the microseconds since its epoch.
fn send_time() -> [u8; 16] {
    let mut trailer = MARK.bytes;
    let since = Instant::now().duration_since(MARK.epoch);
    let since_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
    trailer[8..].copy_from_slice(&since_us.to_be_bytes());
    trailer
}

/// Returns when the frame that ends with this payload was sent, if a publisher of this process sent it.
pub(crate) fn sent_at(payload: &[u8]) -> Option<Instant> {
    let (mark, since_us) = payload.last_chunk::<16>()?.split_at(8);
    if mark != &MARK.bytes[..8] {
        return None;
    }
    let since_us = u64::from_be_bytes(since_us.try_into().ok()?);
    MARK.epoch.checked_add(Duration::from_micros(since_us))
}

struct Mark {
    bytes: [u8; 16],
    epoch: Instant,
}

static MARK: LazyLock<Mark> = LazyLock::new(|| {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&rand::random::<[u8; 8]>());
    Mark {
        bytes,
        epoch: Instant::now(),
    }
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_send_time_is_read_back_to_the_microsecond() {
        let before = Instant::now();
        let mut payload = vec![0; 100];
        payload.extend_from_slice(&send_time());
        let sent = sent_at(&payload).unwrap();
        assert!(sent + Duration::from_micros(1) >= before && sent <= Instant::now());
    }

    #[test]
    fn foreign_payloads_have_no_send_time() {
        assert_eq!(sent_at(&[0; 1100]), None);
        assert_eq!(sent_at(&[0; 3]), None);
    }
}
