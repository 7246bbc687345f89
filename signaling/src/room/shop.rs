//! What a room sells, from the host's wish or the shop's word to what everybody sees.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::ws::Utf8Bytes;
use tokio::sync::oneshot;
use tracing::info;

use crate::error::{ApiError, Code};
use crate::shop::{Change, NewOrder, Shelf, Unfit};
use crate::store::{Entry, Ordered, Outcome, ProductName};
use crate::time::Timestamp;
use crate::ws::protocol::{OrderView, ShelfView, batch, message};

use super::journal::{Author, Draft};
use super::task::Room;

/// Who waits for what is sold after a change.
pub(super) type Seller = oneshot::Sender<Result<Arc<Shelf>, ApiError>>;

/// Who waits until an order is stored, and is told whether it is a new one.
pub(super) type Shop = oneshot::Sender<Result<bool, ApiError>>;

impl From<Unfit> for ApiError {
    fn from(unfit: Unfit) -> Self {
        let code = match unfit {
            Unfit::Missing => Code::NotFound,
            Unfit::Full
            | Unfit::Large
            | Unfit::Called
            | Unfit::Dearer
            | Unfit::NotAll
            | Unfit::Unknown
            | Unfit::Currencies => Code::InvalidValue,
        };
        Self::new(code, unfit.to_string())
    }
}

impl Room {
    /// Takes a wish of somebody who sells here. When the queue is full they find the reply gone, and say that the server
    /// is busy.
    pub(super) fn sell(&mut self, change: Change, seller: Seller) {
        let _ = self.write(Draft::new(Entry::Shop(change), Author::Sold(seller)));
    }

    /// Takes an order, as [`Room::sell`] does.
    pub(super) fn order(&mut self, order: NewOrder, shop: Shop) {
        let _ = self.write(Draft::new(Entry::Order(order), Author::Ordered(shop)));
    }

    /// Shows what came of a change.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "outcomes of other entries do not come here"
    )]
    pub(super) fn handle_shop(
        &mut self,
        author: Author,
        (change, at): (&Change, Timestamp),
        outcome: Outcome,
    ) {
        let answer = match outcome {
            Outcome::Shop(shelf) => {
                let change = change.name();
                info!(change, products = shelf.list.len(), "products changed");
                let changes = &self.context.metrics.shop.changes;
                changes.with_label_values(&[change]).inc();
                self.shelf = Arc::clone(&shelf);
                self.shelf_changed = Some(at);
                self.numbers.shelf_pace.note(Instant::now());
                Ok(shelf)
            }
            Outcome::Unfit(unfit) => Err(unfit.into()),
            _ => Err(ApiError::internal("an outcome of something else")),
        };
        if let Author::Sold(seller) = author {
            let _ = seller.send(answer);
        }
    }

    /// Shows what somebody bought.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "outcomes of other entries do not come here"
    )]
    pub(super) fn handle_order(&mut self, author: Author, outcome: Outcome) {
        let (label, answer) = match outcome {
            Outcome::Ordered(ordered) => {
                self.bought(*ordered);
                ("new", Ok(true))
            }
            Outcome::OrderedBefore => ("again", Ok(false)),
            Outcome::Unfit(unfit) => ("refused", Err(unfit.into())),
            _ => {
                let error = ApiError::internal("an outcome of something else");
                ("refused", Err(error))
            }
        };
        let orders = &self.context.metrics.shop.orders;
        orders.with_label_values(&[label]).inc();
        if let Author::Ordered(shop) = author {
            let _ = shop.send(answer);
        }
    }

    fn bought(&mut self, ordered: Ordered) {
        self.tally.orders = ordered.orders;
        // Not by how much the room earned since: another server may have taken an order, too.
        self.figures.sell(&ordered.paid);
        self.tally.revenue = ordered.revenue;
        let order = OrderView {
            message_id: &ordered.message.message_id,
            display_name: &ordered.message.from.name,
            product_id: ordered.product.as_ref().map(|it| it.id.as_str()),
            product_name: &ordered.product_name,
            captured_at: ordered.message.details.captured_at,
        };
        let order = message("order", &order);
        self.publish_chat(ordered.message);
        self.publish(order);
        if let Some(product) = ordered.product {
            let text = message("product", &product);
            self.numbers.sold.insert(product.id.clone(), text);
            self.numbers.sold_pace.note(Instant::now());
            Arc::make_mut(&mut self.shelf).sold(product);
        }
    }

    /// Tells everybody what is sold.
    pub(super) fn tell_shelf(&mut self) {
        self.numbers.sold.clear();
        self.broadcast(&self.shelf_message());
    }

    /// Writes what is sold.
    pub(super) fn shelf_message(&self) -> Utf8Bytes {
        let view = ShelfView {
            shelf: &self.shelf,
            captured_at: self.shelf_changed.map(Timestamp::millis),
        };
        message("products", &view)
    }

    /// Tells everybody of the products that were bought: a list for each order would be as much again for each that sells.
    pub(super) fn tell_sold(&mut self) {
        let sold = std::mem::take(&mut self.numbers.sold);
        let texts: Vec<Utf8Bytes> = sold.into_values().collect();
        if !texts.is_empty() {
            self.broadcast(&batch(&texts));
        }
    }

    /// Returns the name of a product that somebody speaks of; of others nothing is known.
    pub(super) fn product_name(&self, id: Option<&str>) -> Option<Box<ProductName>> {
        let product = self.shelf.product(id?)?;
        Some(Box::new(ProductName {
            id: product.id.clone(),
            name: product.name.clone(),
        }))
    }
}
