//! The rooms in memory, and the way to each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;
use klieg_sfu::RoomKey;
use tokio::sync::{mpsc, oneshot, watch};

use crate::auth::{AccountRole, AddressMark, Addresses, Role};
use crate::chat::{MAX_MESSAGE_ID, Said, is_name};
use crate::error::{ApiError, Code};
use crate::id::RoomId;
use crate::store::{
    Author, Deed, MAX_REASON, Membership, NewReport, RoomRecord, RoomStatus, StoreError,
};
use crate::time::Timestamp;

use super::deeds::outranked;
use super::{
    Context, Entered, Heard, Input, NewMember, Outside, Person, RoomHandle, RoomMessage,
    RoomSummary, task,
};

/// The rooms in memory.
#[derive(Debug)]
pub(crate) struct Rooms {
    open: DashMap<RoomId, RoomHandle>,
    /// The next room's number for the forwarding unit.
    next_key: AtomicU64,
    pub(super) context: Context,
}

impl Rooms {
    pub(crate) fn new(context: Context) -> Self {
        Self {
            open: DashMap::new(),
            next_key: AtomicU64::new(1),
            context,
        }
    }

    /// Returns a room that is known to exist, bringing it into memory when it is not.
    pub(crate) fn open(self: &Arc<Self>, id: &RoomId) -> RoomHandle {
        match self.open.entry(id.clone()) {
            Slot::Occupied(slot) if !slot.get().is_closed() => slot.get().clone(),
            Slot::Occupied(mut slot) => {
                let handle = self.start(id);
                slot.insert(handle.clone());
                handle
            }
            Slot::Vacant(slot) => slot.insert(self.start(id)).clone(),
        }
    }

    /// Brings somebody into a room that is known to exist.
    ///
    /// # Errors
    /// `busy`, also where they were put out since they were let in.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        id: &RoomId,
        member: impl Fn() -> NewMember,
        last_seq: Option<u64>,
    ) -> Result<(RoomHandle, Entered), ApiError> {
        let enter = async || {
            let room = self.open(id);
            let member = Box::new(member());
            let entered = room
                .ask(|reply| RoomMessage::Join {
                    member,
                    last_seq,
                    reply,
                })
                .await;
            entered.map(|entered| entered.map(|entered| (room, entered)))
        };
        // A room that was just leaving memory gives no reply; the next attempt opens it anew.
        match enter().await {
            Ok(entered) => entered,
            Err(_) => enter().await?,
        }
    }

    /// Has a room that is known to exist in memory while a token can be used that was minted for it, ten minutes at most: who has it
    /// enters also while the database is away. Not where very many rooms are in memory.
    pub(crate) async fn expect(self: &Arc<Self>, id: &RoomId, token_ends: Timestamp) {
        let left = Duration::from_secs(token_ends.seconds());
        let left = left.saturating_sub(Duration::from_secs(Timestamp::now().seconds()));
        let until = Instant::now() + left.min(MAX_EXPECTED);
        if self.open.len() < MAX_EXPECTING {
            // Where it cannot be read just now, who comes may be luckier.
            let _ = self.ask(id, |reply| Outside::Expect { until, reply }).await;
        }
    }

    /// Asks a room that is known to exist.
    pub(super) async fn ask<T>(
        self: &Arc<Self>,
        id: &RoomId,
        question: impl Fn(oneshot::Sender<T>) -> Outside,
    ) -> Result<T, ApiError> {
        let question = |reply| RoomMessage::Outside(question(reply));
        match self.open(id).ask(question).await {
            Ok(reply) => Ok(reply),
            // As above.
            Err(_) => self.open(id).ask(question).await,
        }
    }

    /// Starts, ends or cancels a room; returns once that is stored.
    ///
    /// # Errors
    /// What the room's life does not allow; `busy`; `unavailable` when the change may be stored later.
    pub(crate) async fn act(self: &Arc<Self>, id: &RoomId, input: Input) -> Result<(), ApiError> {
        self.ask(id, |reply| Outside::Act { input, reply }).await?
    }

    /// Says something in a room; returns once it is stored.
    ///
    /// # Errors
    /// What may not be said; `busy`; `unavailable`.
    pub(crate) async fn say(
        self: &Arc<Self>,
        id: &RoomId,
        from: Author,
        said: Box<Said>,
        client_id: Option<String>,
    ) -> Result<Heard, ApiError> {
        let said = self.ask(id, |reply| Outside::Say {
            from: from.clone(),
            said: said.clone(),
            client_id: client_id.clone(),
            reply,
        });
        said.await?
    }

    /// Keeps order in a room; returns once that is stored, with how many addresses a ban goes.
    ///
    /// # Errors
    /// `not_found` when there is nothing to do it to; `forbidden`; `busy`; `unavailable`.
    pub(crate) async fn keep_order(
        self: &Arc<Self>,
        id: &RoomId,
        by: Author,
        deed: Deed,
    ) -> Result<usize, ApiError> {
        let deed = self.looked_up(&by, deed).await?;
        if let Deed::Kick { identity, .. } = &deed
            && self.context.expelled.is_full(id, identity)
        {
            return Err(ApiError::too_many());
        }
        let Some((identity, reason)) = deed.puts_out() else {
            self.ask(id, Outside::deed(by, deed)).await??;
            return Ok(0);
        };
        // The whole of it, even if the request is dropped in the middle: who is banned would stay until they go.
        let (rooms, id) = (Arc::clone(self), id.clone());
        let done = tokio::spawn(async move {
            rooms.ask(&id, Outside::deed(by, deed)).await??;
            let shown = rooms.summary(&id);
            let addresses =
                shown.map(|it| it.standings.addresses_of(&identity, Timestamp::now()).len());
            let expelled = rooms.expel(&id, identity, reason).await;
            expelled.map(|()| addresses.unwrap_or(0))
        });
        done.await.map_err(ApiError::internal)?
    }

    /// Says whom a deed is about, where it does not say so and they have an account. The room knows those who are here.
    ///
    /// # Errors
    /// `forbidden` where they are an admin, and who does it is none.
    async fn looked_up(&self, by: &Author, mut deed: Deed) -> Result<Deed, ApiError> {
        let Some(person) = deed.person() else {
            return Ok(deed);
        };
        // Without a name they are known by their id. Where the database is away, the deed is not done either.
        let found = self.context.stores.identities.find(person).await;
        if let Ok(Some(found)) = found {
            let is_above = found.account.role == AccountRole::Admin && by.role != Role::Admin;
            if is_above && deed.against().is_some() {
                return Err(outranked());
            }
            if let Some(who) = deed.unnamed() {
                who.name = found.account.name;
            }
        }
        Ok(deed)
    }

    /// Tells the moderators of a message; returns once that is stored.
    ///
    /// # Errors
    /// `not_found` when there is no such message; `rate_limited`; `busy`; `unavailable`.
    pub(crate) async fn report(
        self: &Arc<Self>,
        id: &RoomId,
        report: NewReport,
    ) -> Result<(), ApiError> {
        let told = self.ask(id, |reply| Outside::Report {
            report: report.clone(),
            reply,
        });
        told.await?
    }

    /// Returns what somebody is in a room that is in memory, beside what their account makes them.
    pub(crate) fn standing(
        &self,
        id: &RoomId,
        identity: &str,
        from: &[AddressMark],
    ) -> Option<Membership> {
        let summary = self.summary(id)?;
        Some(summary.standings.of(identity, from, Timestamp::now()))
    }

    /// Returns what marks where people come from.
    pub(crate) fn addresses(&self) -> &Addresses {
        &self.context.addresses
    }

    /// Returns who is in a room, those after one by their ids.
    ///
    /// # Errors
    /// `busy`.
    pub(crate) async fn people(
        self: &Arc<Self>,
        id: &RoomId,
        after: String,
        limit: usize,
    ) -> Result<Vec<Person>, ApiError> {
        let Some(room) = self.here(id) else {
            return Ok(Vec::new());
        };
        let question = |reply| Outside::People {
            after,
            limit,
            reply,
        };
        room.ask(|reply| question(reply).into()).await
    }

    /// Tells a room what its owner wrote, and waits until it shows that: who reads it next finds what they wrote.
    pub(crate) async fn changed(&self, record: &RoomRecord) {
        if let Some(mut room) = self.here(&record.id) {
            let change = Outside::Changed(Box::new(record.clone()));
            room.tell_surely(change.into()).await;
            let is_shown = |shown: &RoomSummary| {
                let shown = shown.record.as_ref();
                shown.is_some_and(|shown| shown.version >= record.version)
            };
            // Fails only when the room has left memory, after which the database is read.
            let _ = room.summary.wait_for(is_shown).await;
        }
    }

    /// Removes a room that is over, and shows everybody out of it; returns once nothing is left.
    ///
    /// # Errors
    /// `unavailable`: some of it may be gone.
    pub(crate) async fn remove(self: &Arc<Self>, id: &RoomId) -> Result<(), ApiError> {
        // The whole of it, even if the request is dropped in the middle.
        let (rooms, id) = (Arc::clone(self), id.clone());
        let removed = tokio::spawn(async move { rooms.remove_whole(&id).await });
        let removed = removed.await.map_err(ApiError::internal)?;
        removed.map_err(ApiError::store)
    }

    async fn remove_whole(&self, id: &RoomId) -> Result<(), StoreError> {
        let stores = &self.context.stores;
        // In pieces what it has much of: others who write come between, and no piece takes long.
        for _ in 0..MAX_PIECES {
            if !stores.rooms.empty(id).await? {
                break;
            }
        }
        self.context.expelled.forget(id);
        if let Some(room) = self.here(id) {
            room.tell_surely(RoomMessage::Remove).await;
            let closed = tokio::time::timeout(CLOSE, room.mailbox.closed());
            if closed.await.is_err() {
                tracing::warn!(room = %id, "a room did not end in time");
            }
        }
        stores.rooms.remove(id).await
    }

    /// Returns the way to a room that is in memory.
    pub(crate) fn here(&self, id: &RoomId) -> Option<RoomHandle> {
        let room = self.open.get(id).map(|room| room.clone());
        room.filter(|room| !room.is_closed())
    }

    /// Returns a room as it stands in memory.
    pub(crate) fn record(&self, id: &RoomId) -> Option<RoomRecord> {
        let record = self.summary(id)?.record?;
        Some(RoomRecord::clone(&record))
    }

    /// Returns what a list shows of a room that is in memory.
    pub(crate) fn summary(&self, id: &RoomId) -> Option<RoomSummary> {
        let summary = self.here(id)?.summary();
        summary.record.is_some().then_some(summary)
    }

    fn start(self: &Arc<Self>, id: &RoomId) -> RoomHandle {
        let key = RoomKey(self.next_key.fetch_add(1, Ordering::Relaxed));
        let (mailbox, messages) = mpsc::channel(MAILBOX);
        let (shown, summary) = watch::channel(RoomSummary::empty());
        let rooms = Arc::clone(self);
        let id = id.clone();
        tokio::spawn(async move {
            task::run(&id, rooms.context.clone(), messages, shown).await;
            rooms.open.remove_if(&id, |_, room| room.key == key);
        });
        RoomHandle {
            key,
            mailbox,
            summary,
        }
    }

    /// Ends every room, once what it has to say is stored; waits for that, but not for ever.
    pub(crate) async fn close(&self, at_most: Duration) {
        let rooms: Vec<RoomHandle> = self.open.iter().map(|room| room.clone()).collect();
        let ended = async {
            for room in rooms {
                room.tell_surely(RoomMessage::Stop).await;
                room.mailbox.closed().await;
            }
        };
        if tokio::time::timeout(at_most, ended).await.is_err() {
            tracing::warn!("a room did not end in time");
        }
    }

    /// Takes up what the last process left: rooms that were on air wait for their publishers, and who was put out
    /// stays out.
    ///
    /// # Errors
    /// The store does not answer.
    pub(crate) async fn recover(self: &Arc<Self>) -> Result<(), StoreError> {
        let stores = &self.context.stores;
        for (room, identity, at) in stores.rooms.expelled().await? {
            self.context.expelled.add(&room, &identity, at);
        }
        for status in [RoomStatus::Live, RoomStatus::Interrupted] {
            for due in stores.upkeep.due(status, Timestamp::MAX, ON_AIR).await? {
                self.open(&due);
            }
        }
        Ok(())
    }
}

/// Checks what somebody tells the moderators of a message.
///
/// # Errors
/// `bad_message`.
pub(crate) fn new_report(
    by: Author,
    message: String,
    reason: String,
) -> Result<NewReport, ApiError> {
    let reason = crate::text::clean(&reason);
    if !is_name(&message, MAX_MESSAGE_ID) || reason.chars().nth(MAX_REASON).is_some() {
        let text = "The id of the message, or the reason, is too long.";
        return Err(ApiError::new(Code::BadMessage, text));
    }
    Ok(NewReport {
        by,
        message,
        reason,
    })
}

/// How many rooms on air are taken up at once; the clean-up finds the others.
pub(super) const ON_AIR: u32 = 10_000;

/// Pieces in which a room is removed, of a thousand rows each; what is left then goes in one.
const MAX_PIECES: u32 = 100_000;

/// How long a room may take to end.
const CLOSE: Duration = Duration::from_secs(3);

/// Rooms in memory from which on none stays for those who may come.
const MAX_EXPECTING: usize = 1_000;

/// How long a room stays for them at most: as long as tokens hold that are minted without another setting.
const MAX_EXPECTED: Duration = Duration::from_secs(600);

/// Messages that may wait for a room.
const MAILBOX: usize = 1024;
