//! What rooms sell, and what was bought.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ChatMessage, Stored};
use crate::id::RoomId;
use crate::shop::{Product, Revenue, Shelf};

/// What rooms sell. It changes with the room's events, see [`Entry`](super::Entry).
pub(crate) trait ShopStore: Send + Sync {
    /// Returns what a room sells.
    fn shelf<'a>(&'a self, room: &'a RoomId) -> Stored<'a, Shelf>;
}

/// What an order made of things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ordered {
    /// What the chat says of it.
    pub message: ChatMessage,
    /// What everybody is told was bought.
    pub product_name: String,
    /// The product as it is now; `None` for what is none of the room's.
    pub product: Option<Product>,
    /// What it came to.
    pub paid: Revenue,
    /// The room's orders.
    pub orders: u64,
    /// What the room earned.
    pub revenue: Revenue,
}

/// A product that a message is about, as it was called then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ProductName {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}
