//! The place of a room's one publisher, who may come to take it over, and what their coming and going does to the room's
//! life. No IO, no clock.

use std::time::Instant;

use klieg_sfu::{Format, Kind, LayerInfo, PeerId};

use crate::id::SocketId;
use crate::store::RoomStatus;
use crate::time::Timestamp;
use crate::ws::protocol::{PublisherState, PublisherView, codec_name};

use super::layers::{News, VideoLayers};
use super::life::{Change, Input, Life, Moment, Reason};
use super::{Departure, SessionRef};
use crate::error::ApiError;

/// Who publishes, and whether media comes.
#[derive(Debug)]
pub(super) struct Stage {
    life: Life,
    /// Whose media the room is shown; `None` while nobody publishes.
    publisher: Option<Publisher>,
    /// Who takes over once they have something to show; `None` while nobody publishes at all.
    incoming: Option<Publisher>,
    /// Whether who was shown last said goodbye, and nobody has come since.
    said_goodbye: bool,
}

/// One who publishes.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) socket: SocketId,
    /// Whose session it is.
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
            incoming: None,
            said_goodbye: false,
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

    /// Returns a publisher, whether the room is shown it or it is about to take over.
    pub(super) fn find(&self, peer: PeerId) -> Option<&Publisher> {
        let mut publishers = self.publisher.iter().chain(&self.incoming);
        publishers.find(|it| it.session.peer == peer)
    }

    fn find_mut(&mut self, peer: PeerId) -> Option<&mut Publisher> {
        let mut publishers = self.publisher.iter_mut().chain(&mut self.incoming);
        publishers.find(|it| it.session.peer == peer)
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

    /// Takes a publisher in: where nobody publishes it has the place, else it waits beside who has it. Returns who waited
    /// before and does not any more.
    pub(super) fn enter(&mut self, publisher: Publisher) -> Option<Publisher> {
        self.said_goodbye = false;
        if self.publisher.is_none() {
            self.publisher = Some(publisher);
            return None;
        }
        self.incoming.replace(publisher)
    }

    /// Lets who waited have the place: their media is what the room is shown from now on. Returns who had it before;
    /// `None` where nobody waits who is this peer.
    pub(super) fn take_over(&mut self, peer: PeerId, at: Moment) -> Option<(Publisher, Changes)> {
        let next = self.incoming.take_if(|it| it.session.peer == peer)?;
        let before = self.publisher.replace(next)?;
        Some((before, self.show_next(at)))
    }

    /// Returns who waits and is met by a condition; they wait no more.
    pub(super) fn dismiss(
        &mut self,
        is_meant: impl FnOnce(&Publisher) -> bool,
    ) -> Option<Publisher> {
        self.incoming.take_if(|it| is_meant(it))
    }

    /// Takes note of media from a publisher. That of one who waits is shown to nobody yet.
    pub(super) fn handle_media(&mut self, peer: PeerId, format: Format, at: Moment) -> Changes {
        let Some(publisher) = self.find_mut(peer) else {
            return Changes::default();
        };
        match format.codec.kind() {
            Kind::Audio => publisher.audio = Some(format),
            Kind::Video => publisher.video = Some(format),
        }
        let is_shown = self
            .publisher
            .as_ref()
            .is_some_and(|it| it.session.peer == peer);
        if is_shown {
            self.show_next(at)
        } else {
            Changes::default()
        }
    }

    /// Takes note that what there is to be shown is something else.
    fn show_next(&mut self, at: Moment) -> Changes {
        let is_live = self.publisher.as_ref().is_some_and(Publisher::is_live);
        // Media of what is over changes nothing; its publisher is on its way out.
        let statuses = is_live.then(|| self.life.handle(Input::Media, at));
        Changes {
            statuses: statuses.and_then(Result::ok).unwrap_or_default(),
            publisher: true,
        }
    }

    /// Takes note of what the layers of a publisher's video are.
    pub(super) fn handle_layers(&mut self, peer: PeerId, report: &[LayerInfo]) -> News {
        let publisher = self.publisher.as_mut();
        let publisher = publisher.filter(|it| it.session.peer == peer);
        publisher.map_or(News::None, |publisher| publisher.layers.update(report))
    }

    /// Takes note of what a publisher does not want to be heard or seen; `None` when it is none.
    pub(super) fn mute(&mut self, socket: SocketId, kind: Kind, muted: bool) -> Option<Changes> {
        let (mut is_publisher, mut publisher) = (false, false);
        let shown = self.publisher.as_mut().map(|it| (it, true));
        let waits = self.incoming.as_mut().map(|it| (it, false));
        for (it, is_shown) in shown.into_iter().chain(waits) {
            if it.socket == socket {
                let flag = match kind {
                    Kind::Audio => &mut it.audio_muted,
                    Kind::Video => &mut it.video_muted,
                };
                let changed = std::mem::replace(flag, muted) != muted;
                is_publisher = true;
                publisher |= changed && is_shown && it.is_live();
            }
        }
        is_publisher.then(|| Changes {
            statuses: Vec::new(),
            publisher,
        })
    }

    /// Returns whether the publisher has sent nothing yet.
    pub(super) fn is_silent(&self) -> bool {
        let publisher = self.publisher.as_ref();
        publisher.is_some_and(|publisher| !publisher.is_live())
    }

    /// Lets the publisher go; who waits has the place then. A goodbye to an event that goes on for who waits ends it when
    /// that one goes, has shown nothing, and nobody came meanwhile. The goodbye of who has shown nothing ends nothing:
    /// encoders say it when a start has failed, too.
    pub(super) fn leave(&mut self, why: Departure, at: Moment) -> Changes {
        let Some(publisher) = self.publisher.take() else {
            return Changes::default();
        };
        let on_air = matches!(self.status(), RoomStatus::Live | RoomStatus::Interrupted);
        self.publisher = self.incoming.take();
        let said_goodbye = if publisher.is_live() {
            why == Departure::Left
        } else {
            self.said_goodbye
        };
        let input = match &self.publisher {
            Some(next) if next.is_live() => return self.show_next(at),
            None if on_air && said_goodbye => Input::End(Reason::Publisher),
            Some(_) | None if publisher.is_live() => Input::Lost(Reason::PublisherLost),
            Some(_) | None => return Changes::default(),
        };
        self.said_goodbye = said_goodbye;
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
        let lost = stage.leave(Departure::Lost, at());
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
        stage.leave(Departure::Lost, began);
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
        let changes = stage.leave(Departure::Left, at());
        assert_eq!(statuses(&changes), [RoomStatus::Ended]);
        assert_eq!(stage.view().state, PublisherState::None);
    }

    #[test]
    fn one_that_never_sent_anything_changes_nothing() {
        for why in [Departure::Lost, Departure::Left] {
            let mut stage = ready();
            stage.enter(publisher(1, PEER));
            assert_eq!(stage.leave(why, at()), Changes::default());
            assert_eq!(stage.status(), RoomStatus::Ready);
            assert!(stage.is_empty());
        }
    }

    const NEXT: PeerId = PeerId(8);

    /// A live stage beside whose publisher another one waits.
    fn handed_over() -> Stage {
        let mut stage = live();
        assert!(stage.enter(publisher(2, NEXT)).is_none());
        stage
    }

    fn shown(stage: &Stage) -> PeerId {
        stage.publisher().unwrap().session.peer
    }

    #[test]
    fn who_comes_second_waits_until_they_have_something_to_show() {
        let mut stage = handed_over();
        let media = stage.handle_media(NEXT, format(Codec::Vp9), at());
        assert_eq!(media, Changes::default());
        assert_eq!(
            (shown(&stage), stage.view().video_codec),
            (PEER, Some("vp8"))
        );
        assert!(stage.take_over(PEER, at()).is_none());

        let (before, changes) = stage.take_over(NEXT, at()).unwrap();
        assert_eq!(before.session.peer, PEER);
        assert!(changes.publisher && changes.statuses.is_empty());
        assert_eq!(
            (shown(&stage), stage.view().video_codec),
            (NEXT, Some("vp9"))
        );
        assert!(stage.take_over(NEXT, at()).is_none());
    }

    #[test]
    fn who_waits_and_goes_or_makes_way_for_a_third_changes_nothing() {
        let mut stage = handed_over();
        assert!(stage.dismiss(|it| it.session.peer == PEER).is_none());
        let third = stage.enter(publisher(3, PeerId(9))).unwrap();
        assert_eq!(third.session.peer, NEXT);
        assert!(stage.dismiss(|_| true).is_some());
        assert_eq!((shown(&stage), stage.status()), (PEER, RoomStatus::Live));
        assert_eq!(
            statuses(&stage.leave(Departure::Left, at())),
            [RoomStatus::Ended]
        );
    }

    #[test]
    fn who_waits_has_the_place_when_the_first_goes_and_the_event_goes_on() {
        for why in [Departure::Lost, Departure::Left] {
            let mut stage = handed_over();
            let left = stage.leave(why, at());
            assert_eq!(
                (statuses(&left), shown(&stage)),
                (vec![RoomStatus::Interrupted], NEXT)
            );
            let back = stage.handle_media(NEXT, format(Codec::Vp8), at());
            assert_eq!(statuses(&back), [RoomStatus::Live]);

            // What is heard already goes on without a break.
            let mut stage = handed_over();
            stage.handle_media(NEXT, format(Codec::Opus), at());
            let left = stage.leave(why, at());
            assert!(left.publisher && left.statuses.is_empty());
            assert!(stage.view().audio && !stage.view().video);
        }
    }

    #[test]
    fn a_goodbye_holds_when_who_waited_goes_and_has_shown_nothing() {
        let mut stage = handed_over();
        stage.leave(Departure::Left, at());
        assert_eq!(
            statuses(&stage.leave(Departure::Lost, at())),
            [RoomStatus::Ended]
        );

        // Who comes after it is waited for like anybody, and a start that failed ends nothing.
        let mut stage = handed_over();
        stage.leave(Departure::Left, at());
        assert!(stage.enter(publisher(1, PeerId(9))).is_none());
        for _ in 0..2 {
            assert_eq!(stage.leave(Departure::Left, at()), Changes::default());
        }
        assert_eq!(stage.status(), RoomStatus::Interrupted);
        stage.enter(publisher(1, PeerId(10)));
        assert_eq!(stage.leave(Departure::Lost, at()), Changes::default());
        assert_eq!(stage.status(), RoomStatus::Interrupted);

        let mut stage = handed_over();
        stage.leave(Departure::Left, at());
        stage.handle_media(NEXT, format(Codec::Vp8), at());
        assert_eq!(
            statuses(&stage.leave(Departure::Lost, at())),
            [RoomStatus::Interrupted]
        );
    }

    #[test]
    fn a_publisher_mutes_before_it_takes_over_too() {
        let mut stage = handed_over();
        assert_eq!(
            stage.mute(SocketId(2), Kind::Video, true),
            Some(Changes::default())
        );
        assert!(!stage.view().video_muted);
        stage.take_over(NEXT, at());
        stage.handle_media(NEXT, format(Codec::Vp8), at());
        assert!(stage.view().video_muted);
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
