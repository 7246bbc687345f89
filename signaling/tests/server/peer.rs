//! A whole WebRTC peer, from the `webrtc` crate: sends a plain VP8 stream, or counts what it gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::transport::RTCDtlsRole;
use rtc::rtp::{Header, Packet};
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCSessionDescription, Registry, SettingEngineBuilder, register_default_interceptors,
};
use webrtc::rtp_transceiver::RtpSender;

use crate::harness::{self, Client, TestServer};

/// A publisher that sends until it is dropped.
pub(crate) struct Publisher {
    pub(crate) session: Value,
    peer: Arc<dyn PeerConnection>,
    sending: JoinHandle<()>,
}

impl Publisher {
    /// Negotiates over a socket that is in a room, and starts to send.
    pub(crate) async fn go_live(client: &mut Client) -> Self {
        let (peer, track, sender, sdp) = Self::offer().await;
        let session = client.ok("rtc.offer", json!({ "sdp": sdp })).await["sessionId"].clone();
        let answer = client.expect("rtc.answer").await;
        assert_eq!(answer["d"]["sessionId"], session);
        let sdp = answer["d"]["sdp"].as_str().unwrap();
        Self::start(peer, track, sender, sdp, session).await
    }

    /// Negotiates by WHIP, and starts to send.
    pub(crate) async fn by_whip(server: &TestServer, path: &str, key: &str) -> ByHttp {
        let (peer, track, sender, offer) = Self::offer().await;
        let (location, answer) = by_http(server, path, Some(key), &offer).await;
        let publisher = Self::start(peer, track, sender, &answer, Value::Null).await;
        ByHttp {
            publisher,
            location,
        }
    }

    async fn offer() -> (Arc<dyn PeerConnection>, Picture, Arc<dyn RtpSender>, String) {
        let peer = build(Frames::default()).await;
        let track = vp8_track();
        let local: Arc<dyn TrackLocal> = track.1.clone();
        let sender = peer.add_track(local).await.unwrap();
        let offer = peer.create_offer(None).await.unwrap();
        let sdp = offer.sdp.clone();
        peer.set_local_description(offer).await.unwrap();
        (peer, track, sender, sdp)
    }

    async fn start(
        peer: Arc<dyn PeerConnection>,
        track: Picture,
        sender: Arc<dyn RtpSender>,
        answer: &str,
        session: Value,
    ) -> Self {
        let answer = RTCSessionDescription::answer(answer.to_owned()).unwrap();
        peer.set_remote_description(answer).await.unwrap();
        let parameters = sender.get_parameters().await.unwrap();
        let payload_type = parameters.rtp_parameters.codecs[0].payload_type;
        let sending = tokio::spawn(send(track.1, track.0, payload_type));
        Self {
            session,
            peer,
            sending,
        }
    }

    /// Ends without telling anybody.
    pub(crate) async fn end(self) {
        self.sending.abort();
        let _ = self.peer.close().await;
    }
}

/// A viewer that counts frames.
pub(crate) struct Viewer {
    peer: Arc<dyn PeerConnection>,
    frames: Frames,
}

impl Viewer {
    /// Subscribes over a socket that is in a room.
    pub(crate) async fn watch(client: &mut Client) -> Self {
        client.ok("rtc.subscribe", json!({ "layer": "auto" })).await;
        let offer = client.expect("rtc.offer").await;
        let frames = Frames::default();
        let peer = build(frames.clone()).await;
        let sdp = offer["d"]["sdp"].as_str().unwrap().to_owned();
        let description = RTCSessionDescription::offer(sdp).unwrap();
        peer.set_remote_description(description).await.unwrap();
        let answer = peer.create_answer(None).await.unwrap();
        let sdp = answer.sdp.clone();
        peer.set_local_description(answer).await.unwrap();
        let session = offer["d"]["sessionId"].clone();
        client
            .ok("rtc.answer", json!({ "sessionId": session, "sdp": sdp }))
            .await;
        Self { peer, frames }
    }

    /// Watches by WHEP.
    pub(crate) async fn by_whep(server: &TestServer, path: &str) -> WatchingByHttp {
        let mut engine = MediaEngine::default();
        engine.register_default_codecs().unwrap();
        Self::with_codecs(engine, server, path).await
    }

    /// Watches by WHEP and plays no picture but H.264.
    pub(crate) async fn of_h264_by_whep(server: &TestServer, path: &str) -> WatchingByHttp {
        let mut engine = MediaEngine::default();
        let rtp_codec = RTCRtpCodec {
            mime_type: "video/H264".to_owned(),
            clock_rate: 90_000,
            sdp_fmtp_line: "packetization-mode=1;profile-level-id=42e01f".to_owned(),
            ..RTCRtpCodec::default()
        };
        let codec = RTCRtpCodecParameters {
            rtp_codec,
            payload_type: 102,
        };
        engine.register_codec(codec, RtpCodecKind::Video).unwrap();
        Self::with_codecs(engine, server, path).await
    }

    async fn with_codecs(engine: MediaEngine, server: &TestServer, path: &str) -> WatchingByHttp {
        let frames = Frames::default();
        let peer = build_with(engine, frames.clone()).await;
        let direction = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Recvonly,
            ..RTCRtpTransceiverInit::default()
        };
        peer.add_transceiver_from_kind(RtpCodecKind::Video, Some(direction))
            .await
            .unwrap();
        let offer = peer.create_offer(None).await.unwrap();
        let sdp = offer.sdp.clone();
        peer.set_local_description(offer).await.unwrap();
        let (location, answer) = by_http(server, path, None, &sdp).await;
        let answer = RTCSessionDescription::answer(answer).unwrap();
        peer.set_remote_description(answer).await.unwrap();
        WatchingByHttp {
            viewer: Self { peer, frames },
            location,
        }
    }

    /// Waits until so many more frames came.
    pub(crate) async fn sees(&self, frames: u64) {
        let wanted = self.frames.0.load(Ordering::Relaxed) + frames;
        for _ in 0..300 {
            if self.frames.0.load(Ordering::Relaxed) >= wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "of {wanted} frames {} came",
            self.frames.0.load(Ordering::Relaxed)
        );
    }

    pub(crate) async fn end(self) {
        let _ = self.peer.close().await;
    }
}

/// A publisher that came by WHIP.
pub(crate) struct ByHttp {
    pub(crate) publisher: Publisher,
    pub(crate) location: String,
}

/// A viewer that came by WHEP.
pub(crate) struct WatchingByHttp {
    pub(crate) viewer: Viewer,
    pub(crate) location: String,
}

/// Posts an offer; returns where the session is, and the answer.
async fn by_http(
    server: &TestServer,
    path: &str,
    token: Option<&str>,
    offer: &str,
) -> (String, String) {
    let mut request = hyper::Request::post(path)
        .header("host", server.http().to_string())
        .header("content-type", "application/sdp");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = Full::new(Bytes::from(offer.to_owned()));
    let reply = harness::send(server.http(), request.body(body).unwrap()).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    let location = reply.headers["location"].to_str().unwrap().to_owned();
    (location, reply.body.as_str().unwrap().to_owned())
}

/// A track and its SSRC.
type Picture = (u32, Arc<TrackLocalStaticRTP>);

/// Frames that came.
#[derive(Clone, Default)]
struct Frames(Arc<AtomicU64>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Frames {
    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let frames = self.clone();
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event
                    && packet.header.marker
                    && packet.payload.ends_with(FRAME_END)
                {
                    frames.0.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
}

async fn build(frames: Frames) -> Arc<dyn PeerConnection> {
    let mut engine = MediaEngine::default();
    engine.register_default_codecs().unwrap();
    build_with(engine, frames).await
}

async fn build_with(mut engine: MediaEngine, frames: Frames) -> Arc<dyn PeerConnection> {
    let interceptors = register_default_interceptors(Registry::new(), &mut engine).unwrap();
    // The library would answer an ICE-lite server with `setup:passive`; browsers answer `active`.
    let settings = SettingEngineBuilder::new()
        .with_answering_dtls_role(RTCDtlsRole::Client)
        .build();
    let peer = PeerConnectionBuilder::new()
        .with_media_engine(engine)
        .with_interceptor_registry(interceptors)
        .with_setting_engine(settings)
        .with_handler(Arc::new(frames))
        .with_udp_addrs(vec!["127.0.0.1:0"])
        .build()
        .await
        .unwrap();
    Arc::new(peer)
}

fn vp8_track() -> (u32, Arc<TrackLocalStaticRTP>) {
    let ssrc = rand::random();
    let codec = RTCRtpCodec {
        mime_type: "video/VP8".to_owned(),
        clock_rate: 90_000,
        ..RTCRtpCodec::default()
    };
    let coding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(ssrc),
            ..RTCRtpCodingParameters::default()
        },
        active: true,
        codec,
        ..RTCRtpEncodingParameters::default()
    };
    let name = "picture".to_owned();
    let stream = "stream".to_owned();
    let track = MediaStreamTrack::new(
        stream,
        name.clone(),
        name,
        RtpCodecKind::Video,
        vec![coding],
    );
    (ssrc, Arc::new(TrackLocalStaticRTP::new(track)))
}

/// Sends thirty frames a second, every fifth a keyframe, so that nobody has to ask for one.
async fn send(track: Arc<TrackLocalStaticRTP>, ssrc: u32, payload_type: u8) {
    let mut header = Header {
        version: 2,
        ssrc,
        payload_type,
        marker: true,
        ..Header::default()
    };
    let mut ticks = tokio::time::interval(Duration::from_millis(33));
    for frame in 0_u64.. {
        ticks.tick().await;
        let keyframe = frame.is_multiple_of(5);
        // RFC 7741, section 4.2: start of a partition, no extensions. RFC 6386, section 9.1: the frame's tag,
        // and a keyframe's start code with 320 × 180.
        let mut payload = vec![0x10, u8::from(!keyframe) | 1 << 4, 0, 0];
        if keyframe {
            payload.extend_from_slice(&[0x9d, 0x01, 0x2a, 64, 1, 180, 0]);
        }
        payload.resize(400, 0);
        payload.extend_from_slice(FRAME_END);
        // Fails until the peers are connected.
        let _ = track
            .write_rtp(Packet {
                header: header.clone(),
                payload: payload.into(),
            })
            .await;
        header.sequence_number = header.sequence_number.wrapping_add(1);
        header.timestamp = header.timestamp.wrapping_add(3000);
    }
}

/// Ends every frame of ours.
const FRAME_END: &[u8] = b"the end";
