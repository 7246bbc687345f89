//! What rooms on air show, asked for seldom and kept for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use klieg_sfu::{Still, StillWish};

use super::Picture;
use crate::error::{ApiError, Code};
use crate::id::RoomId;

/// What rooms on air show: some hundred of them at most, with two pictures each.
#[derive(Debug, Default)]
pub(crate) struct LivePictures(Mutex<HashMap<RoomId, Entry>>);

/// What one room shows.
#[derive(Debug)]
struct Entry {
    /// What came of asking for its last keyframe. Who asks meanwhile waits for that.
    taken: Arc<tokio::sync::Mutex<Taken>>,
    /// What its host took from the studio, and when; `None` before the first.
    posted: Option<Made>,
    /// When its owner gave it a picture last; `None` before.
    given: Option<Instant>,
    /// When somebody asked for it last.
    used: Instant,
}

/// What came of asking for a room's last keyframe.
#[derive(Debug, Default)]
struct Taken {
    /// When it was asked for last; `None` before.
    asked: Option<Instant>,
    /// The last one that came; `None` before.
    picture: Option<Made>,
}

/// A picture, and when it was made.
#[derive(Clone, Debug)]
struct Made(Instant, Picture);

impl LivePictures {
    /// Returns what a room shows, by its last keyframe, which is asked for once in five seconds at most.
    pub(crate) async fn taken<A: Future<Output = Option<Still>>>(
        &self,
        room: &RoomId,
        ask: impl Fn(StillWish) -> A,
    ) -> Option<Picture> {
        let taken = self.with(room, |entry| Arc::clone(&entry.taken));
        let mut taken = taken.lock().await;
        if taken.asked.is_none_or(|at| at.elapsed() >= BETWEEN) {
            // Before it is waited for: who asks and goes away has it asked for no more often.
            taken.asked = Some(Instant::now());
            let is_old = |made: &Made| made.0.elapsed() >= OLD;
            let needs_one = taken.picture.as_ref().is_none_or(is_old);
            let still = if needs_one {
                wait_for(&ask).await
            } else {
                ask(StillWish::Cached).await
            };
            if let Some(picture) = still.as_ref().and_then(Picture::of_still) {
                taken.picture = Some(Made(Instant::now(), picture));
            }
        }
        taken.picture.as_ref().and_then(Made::current)
    }

    /// Returns what the host took from the studio lately.
    pub(crate) fn posted(&self, room: &RoomId) -> Option<Picture> {
        let rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.get(room)?.posted.as_ref()?.current()
    }

    /// Keeps what the host took from the studio.
    ///
    /// # Errors
    /// `rate_limited` within five seconds after the one before.
    pub(crate) fn post(&self, room: &RoomId, picture: Picture) -> Result<(), ApiError> {
        self.with(room, |entry| {
            check_wait(entry.posted.as_ref().map(|made| made.0))?;
            entry.posted = Some(Made(Instant::now(), picture));
            Ok(())
        })
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
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
}

impl Entry {
    fn new() -> Self {
        Self {
            taken: Arc::default(),
            posted: None,
            given: None,
            used: Instant::now(),
        }
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

/// Has the publisher asked for a keyframe where none is cached, and waits for it, though not for long.
async fn wait_for<A: Future<Output = Option<Still>>>(
    ask: impl Fn(StillWish) -> A,
) -> Option<Still> {
    for _ in 0..TRIES {
        let still = ask(StillWish::Asked).await;
        if still.is_some() {
            return still;
        }
        tokio::time::sleep(PAUSE).await;
    }
    ask(StillWish::Cached).await
}

/// Between two questions for the keyframe of a room, and between two pictures that it is given.
const BETWEEN: Duration = Duration::from_secs(5);

/// From when on a picture is worth a keyframe, which costs all viewers some bits. Others' joins bring newer ones before.
const OLD: Duration = Duration::from_secs(30);

/// How long a picture is what the room shows, where no newer one comes.
const KEPT: Duration = Duration::from_secs(120);

/// A publisher's round trip, and some frames: how often is looked whether the keyframe has come, and how long between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// Rooms with pictures: 64 MiB together at most.
const MAX_ROOMS: usize = 128;

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
        let asked = RefCell::new(0);
        let ask = |_| {
            *asked.borrow_mut() += 1;
            ready((*asked.borrow() == 3).then(|| still(1)))
        };
        assert_eq!(pictures.taken(&room(1), ask).await, Some(picture(1)));
        let nothing = |_| ready(None);
        assert_eq!(pictures.taken(&room(2), nothing).await, None);
        assert_eq!(pictures.taken(&room(1), nothing).await, Some(picture(1)));
    }

    #[tokio::test]
    async fn what_a_host_posts_is_its_rooms_alone_and_not_at_any_rate() {
        let pictures = LivePictures::default();
        assert_eq!(pictures.posted(&room(1)), None);
        pictures.post(&room(1), picture(7)).unwrap();
        assert_eq!(pictures.posted(&room(1)), Some(picture(7)));
        assert_eq!(pictures.posted(&room(2)), None);
        let refused = pictures.post(&room(1), picture(8)).unwrap_err();
        assert_eq!(refused.code, Code::RateLimited);
        assert!(refused.retry_after.is_some_and(|it| it <= BETWEEN));
        // What an owner gives is counted apart from it.
        pictures.pass(&room(1)).unwrap();
        let refused = pictures.pass(&room(1)).unwrap_err();
        assert_eq!(refused.code, Code::RateLimited);
        pictures.pass(&room(2)).unwrap();
        assert_eq!(pictures.posted(&room(1)), Some(picture(7)));
    }

    #[test]
    fn of_too_many_rooms_those_are_kept_that_somebody_asks_for() {
        let pictures = LivePictures::default();
        for number in 0..2 * MAX_ROOMS {
            pictures.post(&room(number), picture(1)).unwrap();
            // It is looked at.
            let _ = pictures.post(&room(0), picture(2));
        }
        assert_eq!(pictures.0.lock().unwrap().len(), MAX_ROOMS);
        assert_eq!(pictures.posted(&room(0)), Some(picture(1)));
        assert_eq!(pictures.posted(&room(1)), None);
    }
}
