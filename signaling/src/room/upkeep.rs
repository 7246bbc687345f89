//! The clean-up worker: ends what nobody uses, takes up what a server left behind, forgets what has had its time.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tracing::{info, warn};
use utoipa::ToSchema;

use crate::auth::API_TTL;
use crate::drain::Phase;
use crate::store::{RoomStatus, StoreError};
use crate::time::Timestamp;

use super::rooms::ON_AIR;
use super::{Input, Reason, Rooms};

/// How long rooms are kept for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upkeep {
    /// How often the worker looks.
    pub(crate) every: Duration,
    /// After how long a scheduled room is cancelled that nobody started.
    pub(crate) scheduled: Duration,
    /// After how long a started room is cancelled that had no media.
    pub(crate) ready: Duration,
}

/// What a clean-up did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Cleaned {
    /// Rooms that were never used.
    pub(crate) cancelled: u64,
    /// Rooms on air that no server had; they are waited for once more.
    pub(crate) resumed: u64,
    /// Keys of creations and names of those put out that were old, and bans that were over and went with addresses.
    pub(crate) forgotten: u64,
}

/// Cleans up again and again, until the server closes.
pub(crate) async fn keep_up(rooms: Arc<Rooms>, upkeep: Upkeep, mut phase: watch::Receiver<Phase>) {
    let mut every = tokio::time::interval(upkeep.every);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    every.reset();
    let closing = async move {
        let _ = phase.wait_for(|phase| *phase == Phase::Closing).await;
    };
    tokio::pin!(closing);
    loop {
        tokio::select! {
            _ = every.tick() => match rooms.clean_up(upkeep, Timestamp::now()).await {
                Ok(cleaned) if cleaned == Cleaned::default() => {}
                Ok(Cleaned { cancelled, resumed, forgotten }) => {
                    info!(cancelled, resumed, forgotten, "cleaned up");
                }
                Err(error) => warn!(%error, "the clean-up has to wait"),
            },
            () = &mut closing => return,
        }
    }
}

/// Ends rooms on air whose owners may host no more, as others and the command line decide it in the database; until
/// the server closes.
pub(crate) async fn end_revoked(rooms: Arc<Rooms>, mut phase: watch::Receiver<Phase>) {
    let mut every = tokio::time::interval(REVOKED_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut away = false;
    loop {
        tokio::select! {
            _ = every.tick() => {}
            _ = phase.wait_for(|phase| *phase == Phase::Closing) => return,
        }
        match rooms.context.stores.identities.revoked_on_air().await {
            Ok(revoked) => {
                away = false;
                for room in revoked {
                    match rooms.act(&room, Input::End(Reason::OwnerGone)).await {
                        Ok(()) => info!(%room, "ended: its owner may host no more"),
                        Err(error) => warn!(%room, %error, "a revoked room goes on"),
                    }
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    warn!(%error, "rooms that are revoked are not known while the database is away");
                }
            }
        }
    }
}

impl Rooms {
    /// Cleans up once.
    ///
    /// # Errors
    /// The store does not answer; what was done is done.
    pub(crate) async fn clean_up(
        self: &Arc<Self>,
        upkeep: Upkeep,
        now: Timestamp,
    ) -> Result<Cleaned, StoreError> {
        let mut cleaned = Cleaned::default();
        let stores = &self.context.stores;
        let lost = now.minus(self.context.grace + SLACK);
        for status in [RoomStatus::Live, RoomStatus::Interrupted] {
            for due in stores.upkeep.due(status, lost, ON_AIR).await? {
                if self.here(&due).is_none() {
                    self.open(&due);
                    cleaned.resumed += 1;
                }
            }
        }
        for (status, kept) in [
            (RoomStatus::Scheduled, upkeep.scheduled),
            (RoomStatus::Ready, upkeep.ready),
        ] {
            let unused = stores.upkeep.due(status, now.minus(kept), AT_ONCE).await?;
            for room in unused {
                let cancel = Input::Cancel(Reason::CleanUp);
                match self.act(&room, cancel).await {
                    Ok(()) => cleaned.cancelled += 1,
                    // It was used in this moment, or is looked at again the next time.
                    Err(error) => warn!(%room, %error, "a room stays"),
                }
            }
        }
        let old = now.minus(KEPT);
        cleaned.forgotten = stores.upkeep.forget(old).await?;
        cleaned.forgotten += stores.upkeep.forget_addresses(now).await?;
        self.context.expelled.forget_until(old);
        Ok(cleaned)
    }
}

/// What a room that is in memory may take to write its row.
const SLACK: Duration = Duration::from_secs(10);

/// As often as ended sign-ins are asked for.
const REVOKED_EVERY: Duration = Duration::from_secs(1);

/// How many rooms are looked at in one go.
const AT_ONCE: u32 = 200;

/// How long keys of creations and the names of those put out are kept: longer than any token that opens a room.
const KEPT: Duration = API_TTL.saturating_add(Duration::from_secs(86_400));
