//! A complete WebRTC peer as browsers are, from the `webrtc` crate.

use std::sync::Arc;

use rtc::peer_connection::transport::RTCDtlsRole;
use tokio::sync::watch;
use tokio::time::Instant;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCPeerConnectionState, Registry, SettingEngineBuilder, register_default_interceptors,
};

/// What happens to a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Link {
    /// ICE or DTLS are under way.
    #[default]
    Connecting,
    /// Both are done, since then.
    Connected(Instant),
}

/// Takes the tracks that the server opens.
pub(crate) trait TakeTrack: Send + Sync + 'static {
    /// Is called once for each track.
    fn take(&self, track: Arc<dyn TrackRemote>);
}

/// Makes a peer for a server on this machine or elsewhere; `link` follows its state.
pub(crate) async fn build(
    is_here: bool,
    link: watch::Sender<Link>,
    tracks: impl TakeTrack,
) -> anyhow::Result<Arc<dyn PeerConnection>> {
    let mut engine = MediaEngine::default();
    engine.register_default_codecs()?;
    let interceptors = register_default_interceptors(Registry::new(), &mut engine)?;
    // The library would answer an ICE-lite server with `setup:passive`; browsers answer `active`.
    let settings = SettingEngineBuilder::new()
        .with_answering_dtls_role(RTCDtlsRole::Client)
        .build();
    let peer = PeerConnectionBuilder::new()
        .with_media_engine(engine)
        .with_interceptor_registry(interceptors)
        .with_setting_engine(settings)
        .with_handler(Arc::new(Handler { link, tracks }))
        .with_udp_addrs(vec![local_address(is_here)])
        .build()
        .await?;
    Ok(Arc::new(peer))
}

/// A wildcard stands for every interface but loopback, so a server on this machine needs loopback by name.
fn local_address(is_here: bool) -> &'static str {
    if is_here { "127.0.0.1:0" } else { "0.0.0.0:0" }
}

struct Handler<T> {
    link: watch::Sender<Link>,
    tracks: T,
}

#[async_trait::async_trait]
impl<T: TakeTrack> PeerConnectionEventHandler for Handler<T> {
    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            self.link.send_replace(Link::Connected(Instant::now()));
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        self.tracks.take(track);
    }
}
