//! What rooms on air show, asked for seldom and kept for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use klieg_sfu::{Still, StillWish};

use super::Picture;
use crate::error::{ApiError, Code};
use crate::id::RoomId;

/// What rooms on air show: some hundred of them at most, with two pictures each, and when they were asked for.
#[derive(Debug, Default)]
pub(crate) struct LivePictures(Mutex<HashMap<RoomId, Entry>>);

/// What one room shows.
#[derive(Debug)]
struct Entry {
    /// When its keyframe was asked for. Who asks meanwhile waits for what comes of it.
    asked: Arc<tokio::sync::Mutex<Asked>>,
    /// Its last keyframe; `None` before the first, and where others are looked at more.
    taken: Option<Made>,
    /// What its host took from the studio; the same.
    posted: Option<Made>,
    /// When its host posted a picture last; `None` before.
    posted_at: Option<Instant>,
    /// When its owner gave it a picture last; `None` before.
    given: Option<Instant>,
    /// When somebody asked for it last.
    used: Instant,
}

/// When a room's last keyframe was asked for.
#[derive(Debug, Default)]
struct Asked {
    /// The server's media, by anybody; `None` before.
    shard: Option<Instant>,
    /// The publisher, whatever came of it; `None` before.
    publisher: Option<Instant>,
}

/// A picture, and when it was made.
#[derive(Clone, Debug)]
struct Made(Instant, Picture);

impl LivePictures {
    /// Returns what a room shows, by its last keyframe. That is looked for once in five seconds at most, and the publisher is
    /// asked for one once in thirty.
    pub(crate) async fn taken<A: Future<Output = Option<Still>>>(
        &self,
        room: &RoomId,
        ask: impl Fn(StillWish) -> A,
    ) -> Option<Picture> {
        let asked = self.with(room, |entry| Arc::clone(&entry.asked));
        let mut asked = asked.lock().await;
        if is_past(asked.shard, BETWEEN) {
            // Before it is waited for: who asks and goes away has it asked for no more often.
            asked.shard = Some(Instant::now());
            let made = self.with(room, |entry| entry.taken.as_ref().map(|made| made.0));
            let still = if is_past(made, OLD) && is_past(asked.publisher, OLD) {
                asked.publisher = Some(Instant::now());
                wait_for(&ask).await
            } else {
                ask(StillWish::Cached).await
            };
            if let Some(picture) = still.as_ref().and_then(Picture::of_still) {
                let made = Made(Instant::now(), picture);
                self.with(room, |entry| entry.taken = Some(made));
                self.drop_unseen();
            }
        }
        self.with(room, |entry| entry.taken.as_ref().and_then(Made::current))
    }

    /// Returns what the host took from the studio lately.
    pub(crate) fn posted(&self, room: &RoomId) -> Option<Picture> {
        let mut rooms = self.rooms();
        let entry = rooms.get_mut(room)?;
        entry.used = Instant::now();
        entry.posted.as_ref()?.current()
    }

    /// Keeps what the host took from the studio. For five seconds that stays: a host may go over to another page meanwhile,
    /// which knows nothing of it.
    pub(crate) fn post(&self, room: &RoomId, picture: Picture) {
        self.with(room, |entry| {
            if is_past(entry.posted_at, BETWEEN) {
                let now = Instant::now();
                entry.posted_at = Some(now);
                entry.posted = Some(Made(now, picture));
            }
        });
        self.drop_unseen();
    }

    /// Lets an owner give a room a picture.
    ///
    /// # Errors
    /// `rate_limited` within five seconds after the one before.
    pub(crate) fn pass(&self, room: &RoomId) -> Result<(), ApiError> {
        self.with(room, |entry| {
            check_wait(entry.given)?;
            entry.given = Some(Instant::now());
            Ok(())
        })
    }

    /// Does something with a room's entry. Where there are too many, that goes which nobody asked for the longest.
    fn with<T>(&self, room: &RoomId, work: impl FnOnce(&mut Entry) -> T) -> T {
        let mut rooms = self.rooms();
        if !rooms.contains_key(room) {
            rooms.retain(|_, entry| entry.used.elapsed() < KEPT);
            if rooms.len() >= MAX_ROOMS {
                let oldest = rooms.iter().min_by_key(|(_, entry)| entry.used);
                let oldest = oldest.map(|(id, _)| id.clone());
                oldest.and_then(|id| rooms.remove(&id));
            }
        }
        let entry = rooms.entry(room.clone()).or_insert_with(Entry::new);
        entry.used = Instant::now();
        work(entry)
    }

    /// Drops the pictures that nobody asked for the longest, where there are too many; when they were asked for stays.
    fn drop_unseen(&self) {
        let mut rooms = self.rooms();
        let shown = rooms.values_mut().filter(|entry| entry.has_picture());
        let mut shown = shown.collect::<Vec<_>>();
        let beyond = shown.len().saturating_sub(MAX_SHOWN);
        shown.sort_unstable_by_key(|entry| entry.used);
        for entry in shown.into_iter().take(beyond) {
            (entry.taken, entry.posted) = (None, None);
        }
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<RoomId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn new() -> Self {
        Self {
            asked: Arc::default(),
            taken: None,
            posted: None,
            posted_at: None,
            given: None,
            used: Instant::now(),
        }
    }

    fn has_picture(&self) -> bool {
        self.taken.is_some() || self.posted.is_some()
    }
}

impl Made {
    /// Returns the picture, if it is not too old to be what the room shows.
    fn current(&self) -> Option<Picture> {
        (self.0.elapsed() < KEPT).then(|| self.1.clone())
    }
}

fn check_wait(before: Option<Instant>) -> Result<(), ApiError> {
    let since = before.map(|at| at.elapsed());
    since
        .and_then(|since| BETWEEN.checked_sub(since))
        .map_or(Ok(()), |wait| {
            let text = "The room was given a picture a moment ago; wait a while.";
            Err(ApiError::new(Code::RateLimited, text).retry_after(wait))
        })
}

/// Has the publisher asked for a keyframe where none is cached, once, and waits until it is all there, though not for long.
async fn wait_for<A: Future<Output = Option<Still>>>(
    ask: impl Fn(StillWish) -> A,
) -> Option<Still> {
    let mut still = ask(StillWish::Asked).await;
    for _ in 0..TRIES {
        if still.is_some() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        // Asked again while the keyframe is coming, the publisher would make another, for all viewers.
        still = ask(StillWish::Cached).await;
    }
    still
}

fn is_past(at: Option<Instant>, wait: Duration) -> bool {
    at.is_none_or(|at| at.elapsed() >= wait)
}

/// Between two questions for the keyframe of a room, and between two pictures that it is given.
const BETWEEN: Duration = Duration::from_secs(5);

/// From when on a picture is worth a keyframe, which costs all viewers some bits, and between two that a publisher is asked
/// for: of one that is too large no picture comes. Others' joins bring newer ones before.
const OLD: Duration = Duration::from_secs(30);

/// How long a picture is what the room shows, where no newer one comes.
const KEPT: Duration = Duration::from_secs(120);

/// A publisher's round trip, and some frames: how often is looked whether the keyframe has come, and how long between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// Rooms with pictures: 64 MiB together at most.
const MAX_SHOWN: usize = 128;

/// Rooms of which is known when they were asked for: far more, or one could be asked for often by looking at many others.
const MAX_ROOMS: usize = 4096;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::ready;

    use klieg_sfu::{Codec, Resolution};

    use super::*;

    fn room(number: usize) -> RoomId {
        RoomId::parse(&format!("room-{number}")).unwrap()
    }

    fn still(mark: u8) -> Still {
        Still {
            codec: Codec::Vp8,
            size: Resolution {
                width: 320,
                height: 180,
            },
            frame: vec![mark; 20],
        }
    }

    fn picture(mark: u8) -> Picture {
        Picture::of_still(&still(mark)).unwrap()
    }

    #[tokio::test]
    async fn a_keyframe_is_asked_for_once_in_a_while_however_many_look() {
        let pictures = LivePictures::default();
        let asked = RefCell::new(Vec::new());
        let ask = |wish| {
            asked.borrow_mut().push(wish);
            ready(Some(still(1)))
        };
        for _ in 0..10 {
            assert_eq!(pictures.taken(&room(1), ask).await, Some(picture(1)));
        }
        assert_eq!(*asked.borrow(), [StillWish::Asked]);
        assert_eq!(pictures.taken(&room(2), ask).await, Some(picture(1)));
        assert_eq!(asked.borrow().len(), 2, "another room");
    }

    #[tokio::test]
    async fn a_keyframe_that_is_not_there_is_waited_for() {
        let pictures = LivePictures::default();
        let asked = RefCell::new(Vec::new());
        let ask = |wish| {
            asked.borrow_mut().push(wish);
            ready((asked.borrow().len() == 3).then(|| still(1)))
        };
        assert_eq!(pictures.taken(&room(1), ask).await, Some(picture(1)));
        // It comes in several packets: asked again meanwhile, the publisher would make another.
        let once = [StillWish::Asked, StillWish::Cached, StillWish::Cached];
        assert_eq!(*asked.borrow(), once);
        let nothing = |_| ready(None);
        assert_eq!(pictures.taken(&room(2), nothing).await, None);
        assert_eq!(pictures.taken(&room(1), nothing).await, Some(picture(1)));
    }

    #[tokio::test]
    async fn a_publisher_whose_keyframes_are_no_pictures_is_asked_once_in_thirty_seconds() {
        let pictures = LivePictures::default();
        let asked = RefCell::new(0);
        let ask = |wish| {
            *asked.borrow_mut() += u32::from(wish == StillWish::Asked);
            ready(None)
        };
        let times = pictures.with(&room(1), |entry| Arc::clone(&entry.asked));
        for _ in 0..3 {
            assert_eq!(pictures.taken(&room(1), ask).await, None);
            // As if five seconds were over.
            times.lock().await.shard = None;
        }
        assert_eq!(*asked.borrow(), 1);
        // As if thirty were.
        times.lock().await.publisher = None;
        assert_eq!(pictures.taken(&room(1), ask).await, None);
        assert_eq!(*asked.borrow(), 2);
    }

    #[tokio::test]
    async fn what_a_host_posts_is_its_rooms_alone_and_not_at_any_rate() {
        let pictures = LivePictures::default();
        assert_eq!(pictures.posted(&room(1)), None);
        pictures.post(&room(1), picture(7));
        assert_eq!(pictures.posted(&room(1)), Some(picture(7)));
        assert_eq!(pictures.posted(&room(2)), None);
        pictures.post(&room(1), picture(8));
        assert_eq!(pictures.posted(&room(1)), Some(picture(7)), "it is too new");
        // What an owner gives is counted apart from it.
        pictures.pass(&room(1)).unwrap();
        let refused = pictures.pass(&room(1)).unwrap_err();
        assert_eq!(refused.code, Code::RateLimited);
        assert!(refused.retry_after.is_some_and(|it| it <= BETWEEN));
        pictures.pass(&room(2)).unwrap();
        assert_eq!(pictures.posted(&room(1)), Some(picture(7)));
    }

    #[test]
    fn of_too_many_rooms_those_pictures_are_kept_that_somebody_asks_for() {
        let pictures = LivePictures::default();
        for number in 0..2 * MAX_SHOWN {
            pictures.post(&room(number), picture(1));
            // It is looked at.
            assert_eq!(pictures.posted(&room(0)), Some(picture(1)));
        }
        let has_picture = |entry: &&Entry| entry.has_picture();
        let shown = pictures.rooms().values().filter(has_picture).count();
        assert_eq!(shown, MAX_SHOWN);
        assert_eq!(pictures.posted(&room(1)), None);
        // Its picture is gone, not when it was posted.
        pictures.post(&room(1), picture(2));
        assert_eq!(pictures.posted(&room(1)), None);
        for number in 0..2 * MAX_ROOMS {
            pictures.pass(&room(number)).unwrap();
        }
        assert_eq!(pictures.rooms().len(), MAX_ROOMS);
    }
}
