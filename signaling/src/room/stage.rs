//! The place of a room's one publisher, and what its coming and going does to the room's life. No IO, no clock.

use std::time::Instant;

use klieg_sfu::{Format, Kind, LayerInfo, PeerId};

use crate::id::SocketId;
use crate::store::RoomStatus;
use crate::time::Timestamp;
use crate::ws::protocol::{PublisherState, PublisherView, codec_name};

use super::SessionRef;
use super::layers::{News, VideoLayers};
use super::life::{Change, Input, Life, Moment, Reason};
use crate::error::ApiError;

/// Who publishes, and whether media comes.
#[derive(Debug)]
pub(super) struct Stage {
    life: Life,
    /// `None` while nobody publishes.
    publisher: Option<Publisher>,
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
    /// On purpose, by who may end the event with it.
    Closed,
    /// By accident, by somebody invited, or to make room for a new session of the same identity.
    Lost,
}

/// What somebody must be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// The statuses that the room came to, in order.
    pub(super) statuses: Vec<Change>,
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
    pub(super) fn new(life: Life) -> Self {
        Self {
            life,
            publisher: None,
        }
    }

    pub(super) fn life(&self) -> &Life {
        &self.life
    }

    pub(super) fn life_mut(&mut self) -> &mut Life {
        &mut self.life
    }

    pub(super) fn status(&self) -> RoomStatus {
        self.life.status()
    }

    pub(super) fn started_at(&self) -> Option<Timestamp> {
        self.life.started_at()
    }

    pub(super) fn publisher(&self) -> Option<&Publisher> {
        self.publisher.as_ref()
    }

    pub(super) fn grace_ends(&self) -> Option<Instant> {
        self.life.grace_ends()
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
        self.status() == RoomStatus::Live
    }

    /// Returns whether nobody publishes and nobody is waited for.
    pub(super) fn is_empty(&self) -> bool {
        self.publisher.is_none() && self.grace_ends().is_none()
    }

    /// Says what there is to watch.
    pub(super) fn view(&self) -> PublisherView {
        match (&self.publisher, self.status()) {
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
    pub(super) fn handle_media(&mut self, peer: PeerId, format: Format, at: Moment) -> Changes {
        let Some(publisher) = self.publisher.as_mut().filter(|it| it.session.peer == peer) else {
            return Changes::default();
        };
        match format.codec.kind() {
            Kind::Audio => publisher.audio = Some(format),
            Kind::Video => publisher.video = Some(format),
        }
        // Media of what is over changes nothing; its publisher is on its way out.
        let statuses = self.life.handle(Input::Media, at).unwrap_or_default();
        Changes {
            statuses,
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
            statuses: Vec::new(),
            publisher: changed && publisher.is_live(),
        })
    }

    /// Lets the publisher go.
    pub(super) fn leave(&mut self, exit: Exit, at: Moment) -> Changes {
        let Some(publisher) = self.publisher.take() else {
            return Changes::default();
        };
        let on_air = matches!(self.status(), RoomStatus::Live | RoomStatus::Interrupted);
        let input = match exit {
            Exit::Closed if on_air => Input::End(Reason::Publisher),
            Exit::Lost if publisher.is_live() => Input::Lost(Reason::PublisherLost),
            Exit::Closed | Exit::Lost => return Changes::default(),
        };
        self.handle(input, at).unwrap_or_default()
    }

    /// Takes note of what is done to the room.
    ///
    /// # Errors
    /// As [`Life::handle`].
    pub(super) fn handle(&mut self, input: Input, at: Moment) -> Result<Changes, ApiError> {
        let statuses = self.life.handle(input, at)?;
        Ok(Changes {
            publisher: !statuses.is_empty(),
            statuses,
        })
    }

    /// Gives up waiting when it is time.
    pub(super) fn handle_timeout(&mut self, now: Moment) -> Changes {
        let statuses = self.life.handle_timeout(now);
        Changes {
            publisher: !statuses.is_empty(),
            statuses,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use klieg_sfu::Codec;

    use super::*;
    use crate::id::RoomId;
    use crate::store::{RoomRecord, User};

    const GRACE: Duration = Duration::from_secs(30);
    const PEER: PeerId = PeerId(7);

    fn format(codec: Codec) -> Format {
        Format {
            codec,
            profile: 0,
            packetization_mode: 0,
        }
    }

    fn at() -> Moment {
        Moment {
            now: Instant::now(),
            wall: Timestamp::now(),
        }
    }

    fn ready() -> Stage {
        let owner = User {
            id: "ann".to_owned(),
            name: "Ann".to_owned(),
        };
        let id = RoomId::parse("r").unwrap();
        let record = RoomRecord {
            status: RoomStatus::Ready,
            ..RoomRecord::new(id, "R".to_owned(), owner, Timestamp::now())
        };
        Stage::new(Life::restore(&record, GRACE, at()).0)
    }

    fn publisher(socket: u64, peer: PeerId) -> Publisher {
        let session = SessionRef::new(peer);
        Publisher::new(
            SocketId(socket),
            "ann".into(),
            session,
            VideoLayers::default(),
        )
    }

    fn live() -> Stage {
        let mut stage = ready();
        stage.enter(publisher(1, PEER));
        let changes = stage.handle_media(PEER, format(Codec::Vp8), at());
        assert_eq!(statuses(&changes), [RoomStatus::Live]);
        assert!(changes.publisher);
        stage
    }

    fn statuses(changes: &Changes) -> Vec<RoomStatus> {
        changes.statuses.iter().map(|it| it.status).collect()
    }

    #[test]
    fn the_first_media_makes_the_room_live_whoever_waited() {
        let stage = live();
        assert!(stage.started_at().is_some());
        assert_eq!(stage.view().video_codec, Some("vp8"));
    }

    #[test]
    fn a_publisher_that_returns_in_time_goes_on_with_the_same_event() {
        let mut stage = live();
        let started_at = stage.started_at();
        let lost = stage.leave(Exit::Lost, at());
        assert_eq!(statuses(&lost), [RoomStatus::Interrupted]);
        stage.enter(publisher(2, PeerId(8)));
        assert_eq!(stage.view().state, PublisherState::Interrupted);
        let back = stage.handle_media(PeerId(8), format(Codec::Opus), at());
        assert_eq!(statuses(&back), [RoomStatus::Live]);
        assert_eq!((stage.started_at(), stage.grace_ends()), (started_at, None));
    }

    #[test]
    fn a_publisher_that_is_not_waited_for_any_more_ends_the_event() {
        let mut stage = live();
        let began = at();
        stage.leave(Exit::Lost, began);
        assert!(!stage.is_empty());
        let late = Moment {
            now: began.now + GRACE,
            wall: began.wall.plus(GRACE),
        };
        assert_eq!(statuses(&stage.handle_timeout(late)), [RoomStatus::Ended]);
        assert!(stage.is_empty());
    }

    #[test]
    fn a_publisher_that_says_goodbye_ends_the_event() {
        let mut stage = live();
        let changes = stage.leave(Exit::Closed, at());
        assert_eq!(statuses(&changes), [RoomStatus::Ended]);
        assert_eq!(stage.view().state, PublisherState::None);
    }

    #[test]
    fn one_that_never_sent_anything_changes_nothing() {
        for exit in [Exit::Lost, Exit::Closed] {
            let mut stage = ready();
            stage.enter(publisher(1, PEER));
            assert_eq!(stage.leave(exit, at()), Changes::default());
            assert_eq!(stage.status(), RoomStatus::Ready);
            assert!(stage.is_empty());
        }
    }

    #[test]
    fn media_of_a_session_that_was_replaced_counts_for_nothing() {
        let mut stage = live();
        let changes = stage.handle_media(PeerId(1), format(Codec::Av1), at());
        assert_eq!(changes, Changes::default());
    }

    #[test]
    fn only_the_publisher_mutes_and_only_a_change_is_told() {
        let mut stage = live();
        assert_eq!(stage.mute(SocketId(2), Kind::Audio, true), None);
        let told = Changes {
            statuses: Vec::new(),
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
