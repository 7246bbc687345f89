//! The place of a room's one publisher, and what the room is because of it. No IO, no clock.

use std::time::{Duration, Instant};

use klieg_sfu::{Format, Kind, LayerInfo, PeerId};

use crate::id::SocketId;
use crate::store::RoomStatus;
use crate::time::Timestamp;
use crate::ws::protocol::{PublisherState, PublisherView, codec_name};

use super::SessionRef;
use super::layers::{News, VideoLayers};

/// Who publishes, and whether media comes.
#[derive(Debug)]
pub(super) struct Stage {
    status: RoomStatus,
    /// When media first came; kept through interruptions, `None` while the room is ready.
    started_at: Option<Timestamp>,
    /// `None` while nobody publishes.
    publisher: Option<Publisher>,
    /// When an interrupted room gives up waiting; `None` unless it is interrupted.
    grace_ends: Option<Instant>,
}

/// The one who publishes.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) socket: SocketId,
    /// Whose session it is: the same identity may replace it.
    pub(super) identity: String,
    pub(super) session: SessionRef,
    /// `None` until sound comes.
    audio: Option<Format>,
    /// `None` until video comes.
    video: Option<Format>,
    layers: VideoLayers,
    audio_muted: bool,
    video_muted: bool,
}

/// How a publisher goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// On purpose.
    Closed,
    /// By accident, or to make room for a new session of the same identity.
    Lost,
}

/// What somebody must be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// The room's status is another.
    pub(super) status: bool,
    /// The publisher is, or sends, something else.
    pub(super) publisher: bool,
}

impl Publisher {
    pub(super) fn new(
        socket: SocketId,
        identity: String,
        session: SessionRef,
        layers: VideoLayers,
    ) -> Self {
        Self {
            socket,
            identity,
            session,
            audio: None,
            video: None,
            layers,
            audio_muted: false,
            video_muted: false,
        }
    }

    fn is_live(&self) -> bool {
        self.audio.is_some() || self.video.is_some()
    }
}

impl PublisherView {
    /// Says that nobody sends.
    pub(super) fn absent(state: PublisherState) -> Self {
        Self {
            state,
            audio: false,
            video: false,
            audio_muted: false,
            video_muted: false,
            video_codec: None,
        }
    }
}

impl Stage {
    pub(super) fn new() -> Self {
        Self {
            status: RoomStatus::Ready,
            started_at: None,
            publisher: None,
            grace_ends: None,
        }
    }

    pub(super) fn status(&self) -> RoomStatus {
        self.status
    }

    pub(super) fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    pub(super) fn publisher(&self) -> Option<&Publisher> {
        self.publisher.as_ref()
    }

    pub(super) fn grace_ends(&self) -> Option<Instant> {
        self.grace_ends
    }

    /// Returns what a viewer gets now: sound and video.
    pub(super) fn formats(&self) -> [Option<Format>; 2] {
        let publisher = self.publisher.as_ref().filter(|_| self.is_live());
        publisher.map_or([None; 2], |publisher| [publisher.audio, publisher.video])
    }

    /// Returns what there is of the publisher's video.
    pub(super) fn layers(&self) -> VideoLayers {
        let publisher = self.publisher.as_ref();
        publisher.map_or_else(VideoLayers::default, |it| it.layers.clone())
    }

    /// Returns whether a viewer gets something now.
    pub(super) fn is_live(&self) -> bool {
        self.status == RoomStatus::Live
    }

    /// Returns whether nobody publishes and nobody is waited for.
    pub(super) fn is_empty(&self) -> bool {
        self.publisher.is_none() && self.grace_ends.is_none()
    }

    /// Says what there is to watch.
    pub(super) fn view(&self) -> PublisherView {
        match (&self.publisher, self.status) {
            (Some(publisher), RoomStatus::Live) => PublisherView {
                state: PublisherState::Live,
                audio: publisher.audio.is_some(),
                video: publisher.video.is_some(),
                audio_muted: publisher.audio_muted,
                video_muted: publisher.video_muted,
                video_codec: publisher.video.map(|format| codec_name(format.codec)),
            },
            (_, RoomStatus::Interrupted) => PublisherView::absent(PublisherState::Interrupted),
            (
                _,
                RoomStatus::Scheduled
                | RoomStatus::Ready
                | RoomStatus::Live
                | RoomStatus::Ended
                | RoomStatus::Processing
                | RoomStatus::Archived
                | RoomStatus::Cancelled,
            ) => PublisherView::absent(PublisherState::None),
        }
    }

    /// Takes a publisher in. The place must be free: see [`Stage::leave`].
    pub(super) fn enter(&mut self, publisher: Publisher) {
        self.publisher = Some(publisher);
    }

    /// Takes note of media from the publisher.
    pub(super) fn handle_media(&mut self, peer: PeerId, format: Format) -> Changes {
        let Some(publisher) = self.publisher.as_mut().filter(|it| it.session.peer == peer) else {
            return Changes::default();
        };
        match format.codec.kind() {
            Kind::Audio => publisher.audio = Some(format),
            Kind::Video => publisher.video = Some(format),
        }
        let status = self.status != RoomStatus::Live;
        self.status = RoomStatus::Live;
        self.started_at = self.started_at.or_else(|| Some(Timestamp::now()));
        self.grace_ends = None;
        Changes {
            status,
            publisher: true,
        }
    }

    /// Takes note of what the layers of the publisher's video are.
    pub(super) fn handle_layers(&mut self, peer: PeerId, report: &[LayerInfo]) -> News {
        let publisher = self.publisher.as_mut();
        let publisher = publisher.filter(|it| it.session.peer == peer);
        publisher.map_or(News::None, |publisher| publisher.layers.update(report))
    }

    /// Takes note of what the publisher does not want to be heard or seen; `None` when it is somebody else.
    pub(super) fn mute(&mut self, socket: SocketId, kind: Kind, muted: bool) -> Option<Changes> {
        let publisher = self.publisher.as_mut().filter(|it| it.socket == socket)?;
        let flag = match kind {
            Kind::Audio => &mut publisher.audio_muted,
            Kind::Video => &mut publisher.video_muted,
        };
        let changed = std::mem::replace(flag, muted) != muted;
        Some(Changes {
            status: false,
            publisher: changed && publisher.is_live(),
        })
    }

    /// Lets the publisher go.
    pub(super) fn leave(&mut self, exit: Exit, now: Instant, grace: Duration) -> Changes {
        let Some(publisher) = self.publisher.take() else {
            return Changes::default();
        };
        match exit {
            Exit::Closed => self.finish(),
            Exit::Lost if publisher.is_live() => {
                self.status = RoomStatus::Interrupted;
                self.grace_ends = Some(now + grace);
                Changes {
                    status: true,
                    publisher: true,
                }
            }
            Exit::Lost => Changes::default(),
        }
    }

    /// Gives up waiting when it is time.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Changes {
        if self.grace_ends.is_some_and(|end| end <= now) {
            self.finish()
        } else {
            Changes::default()
        }
    }

    fn finish(&mut self) -> Changes {
        let changed = self.status != RoomStatus::Ready;
        self.status = RoomStatus::Ready;
        self.started_at = None;
        self.grace_ends = None;
        Changes {
            status: changed,
            publisher: changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use klieg_sfu::Codec;

    use super::*;

    const GRACE: Duration = Duration::from_secs(30);
    const BOTH: Changes = Changes {
        status: true,
        publisher: true,
    };
    const PEER: PeerId = PeerId(7);

    fn format(codec: Codec) -> Format {
        Format {
            codec,
            profile: 0,
            packetization_mode: 0,
        }
    }

    fn live() -> Stage {
        let mut stage = Stage::new();
        stage.enter(Publisher::new(
            SocketId(1),
            "ann".into(),
            SessionRef::new(PEER),
            VideoLayers::default(),
        ));
        assert_eq!(stage.handle_media(PEER, format(Codec::Vp8)), BOTH);
        stage
    }

    #[test]
    fn the_first_media_makes_the_room_live_whoever_waited() {
        let stage = live();
        assert_eq!(stage.status(), RoomStatus::Live);
        assert!(stage.started_at().is_some());
        assert_eq!(stage.view().video_codec, Some("vp8"));
    }

    #[test]
    fn a_lost_publisher_is_waited_for_until_the_grace_ends() {
        let (mut stage, now) = (live(), Instant::now());
        assert_eq!(stage.leave(Exit::Lost, now, GRACE), BOTH);
        assert_eq!(stage.view().state, PublisherState::Interrupted);
        assert_eq!(stage.handle_timeout(now + GRACE / 2), Changes::default());
        assert_eq!(stage.status(), RoomStatus::Interrupted);
        assert_eq!(stage.handle_timeout(now + GRACE), BOTH);
        assert_eq!(
            (stage.status(), stage.started_at()),
            (RoomStatus::Ready, None)
        );
        assert!(stage.is_empty());
    }

    #[test]
    fn a_publisher_that_returns_in_time_goes_on_with_the_same_event() {
        let (mut stage, now) = (live(), Instant::now());
        let started_at = stage.started_at();
        stage.leave(Exit::Lost, now, GRACE);
        stage.enter(Publisher::new(
            SocketId(2),
            "ann".into(),
            SessionRef::new(PeerId(8)),
            VideoLayers::default(),
        ));
        assert_eq!(stage.view().state, PublisherState::Interrupted);
        assert_eq!(stage.handle_media(PeerId(8), format(Codec::Opus)), BOTH);
        assert_eq!((stage.started_at(), stage.grace_ends()), (started_at, None));
    }

    #[test]
    fn a_publisher_that_closes_leaves_a_ready_room() {
        let mut stage = live();
        assert_eq!(stage.leave(Exit::Closed, Instant::now(), GRACE), BOTH);
        assert_eq!(stage.view().state, PublisherState::None);
    }

    #[test]
    fn one_that_never_sent_anything_changes_nothing() {
        let mut stage = Stage::new();
        stage.enter(Publisher::new(
            SocketId(1),
            "ann".into(),
            SessionRef::new(PEER),
            VideoLayers::default(),
        ));
        let gone = stage.leave(Exit::Lost, Instant::now(), GRACE);
        assert_eq!(gone, Changes::default());
        assert!(stage.is_empty());
    }

    #[test]
    fn media_of_a_session_that_was_replaced_counts_for_nothing() {
        let mut stage = live();
        let changes = stage.handle_media(PeerId(1), format(Codec::Av1));
        assert_eq!(changes, Changes::default());
    }

    #[test]
    fn only_the_publisher_mutes_and_only_a_change_is_told() {
        let mut stage = live();
        assert_eq!(stage.mute(SocketId(2), Kind::Audio, true), None);
        let told = Changes {
            status: false,
            publisher: true,
        };
        assert_eq!(stage.mute(SocketId(1), Kind::Audio, true), Some(told));
        assert_eq!(
            stage.mute(SocketId(1), Kind::Audio, true),
            Some(Changes::default())
        );
        assert!(stage.view().audio_muted);
    }
}
