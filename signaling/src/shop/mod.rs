//! What a room sells: its products in their order, one of them featured, and what was bought. No IO and no clock.

mod fields;

mod order;

use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use fields::{Described, NewProduct, ProductPatch, web_address};
pub(crate) use order::{NewOrder, OrderBody, Revenue, Sale};

/// A product, in the database and on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Product {
    /// A UUID.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// A picture of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub image_url: Option<String>,
    /// Where it is bought.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub buy_url: Option<String>,
    /// What it costs now, in the smallest unit of the currency: cents, whole dong.
    pub price: u64,
    /// What it cost before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub original_price: Option<u64>,
    /// How much less that is, in whole per cent, rounded down.
    pub discount_percent: u8,
    /// Three letters (ISO 4217).
    pub currency: String,
    /// What is left; missing where nobody counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub stock: Option<u64>,
    /// The most that one order may have of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub quantity_limit: Option<u32>,
    /// How many were bought.
    pub sold: u64,
    /// What the shop calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub external_id: Option<String>,
}

impl Product {
    /// Works out what follows from the prices.
    pub(crate) fn reckon(&mut self) {
        let before = self.original_price.unwrap_or(self.price);
        let percent = before.saturating_sub(self.price).saturating_mul(100);
        let percent = percent.checked_div(before).unwrap_or(0);
        self.discount_percent = u8::try_from(percent).unwrap_or(100);
    }

    /// Takes note of some that were bought. Less than nothing is never left.
    pub(crate) fn sell(&mut self, quantity: u32) {
        self.sold = self.sold.saturating_add(quantity.into());
        self.stock = self
            .stock
            .map(|stock| stock.saturating_sub(quantity.into()));
    }

    /// Returns whether the shop or this server calls it so.
    pub(crate) fn is_called(&self, id: &str) -> bool {
        self.id == id || self.external_id.as_deref() == Some(id)
    }
}

/// What a room sells: `products` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shelf {
    /// In their order.
    pub list: Vec<Product>,
    /// The one that is shown large; `null`: none.
    #[schema(required = true)]
    pub featured_id: Option<String>,
}

/// What is to change in what a room sells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// One more, behind the others; none where one of its id is there.
    Add(Box<Product>),
    /// Something about one.
    Edit {
        /// Its id.
        product: String,
        /// What.
        patch: Box<ProductPatch>,
    },
    /// One less.
    Remove {
        /// Its id.
        product: String,
    },
    /// All of them, in another order.
    Order {
        /// Their ids.
        ids: Vec<String>,
    },
    /// One is shown large, and no other any more.
    Feature {
        /// Its id.
        product: String,
    },
    /// One is not shown large any more, or (`None`) none is.
    Withdraw {
        /// Its id.
        product: Option<String>,
    },
}

impl Change {
    /// Returns its name in metrics and logs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "add",
            Self::Edit { .. } => "edit",
            Self::Remove { .. } => "remove",
            Self::Order { .. } => "order",
            Self::Feature { .. } => "feature",
            Self::Withdraw { .. } => "withdraw",
        }
    }
}

/// Why something cannot change so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// No product has this id.
    #[error("There is nothing that this could be done to.")]
    Missing,
    /// There are as many as a room may have.
    #[error("A room has {MAX_PRODUCTS} products at most.")]
    Full,
    /// They take too much room in every snapshot.
    #[error("All products together take more than 64 KiB; use shorter names and addresses.")]
    Large,
    /// Another product is called so.
    #[error("Another product has this `externalId`.")]
    Called,
    /// The price is higher than the one before.
    #[error("`originalPrice` is less than `price`.")]
    Dearer,
    /// An order does not name each product once.
    #[error("`ids` must name every product once.")]
    NotAll,
    /// An order names no product that there is, and does not say what was bought.
    #[error("There is no such product; send `productName`, `amount` and `currency` with it.")]
    Unknown,
    /// A room has sold in too many currencies.
    #[error("A room sells in {} currencies at most.", order::MAX_CURRENCIES)]
    Currencies,
}

impl Shelf {
    /// Changes what is sold; where that cannot be, nothing changes.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) fn apply(&mut self, change: &Change) -> Result<(), Unfit> {
        let mut new = self.clone();
        match change {
            Change::Add(product) if self.product(&product.id).is_some() => {}
            Change::Add(product) => new.add(product)?,
            Change::Edit { product, patch } => new.edit(product, patch)?,
            Change::Remove { product } => {
                let index = new.index(product)?;
                new.list.remove(index);
                new.featured_id.take_if(|id| id == product);
            }
            Change::Order { ids } => new.reorder(ids)?,
            Change::Feature { product } => {
                new.index(product)?;
                new.featured_id = Some(product.clone());
            }
            Change::Withdraw { product } => {
                if let Some(product) = product {
                    new.index(product)?;
                }
                let which = product.as_ref();
                new.featured_id
                    .take_if(|id| which.is_none_or(|which| id == which));
            }
        }
        *self = new;
        Ok(())
    }

    /// Returns the product of an id, if there is one.
    pub(crate) fn product(&self, id: &str) -> Option<&Product> {
        self.list.iter().find(|product| product.id == id)
    }

    /// Takes note of a product that was bought, as it is now.
    pub(crate) fn sold(&mut self, product: Product) {
        if let Ok(index) = self.index(&product.id) {
            self.list[index] = product;
        }
    }

    fn add(&mut self, product: &Product) -> Result<(), Unfit> {
        if self.list.len() >= MAX_PRODUCTS {
            return Err(Unfit::Full);
        }
        self.list.push(product.clone());
        self.check(self.list.len() - 1)
    }

    fn edit(&mut self, product: &str, patch: &ProductPatch) -> Result<(), Unfit> {
        let index = self.index(product)?;
        patch.apply(&mut self.list[index]);
        self.check(index)
    }

    /// Checks a product that is new or another, among the others.
    fn check(&mut self, index: usize) -> Result<(), Unfit> {
        let product = &mut self.list[index];
        product.reckon();
        if product.original_price.is_some_and(|it| it < product.price) {
            return Err(Unfit::Dearer);
        }
        let product = &self.list[index];
        let called = product.external_id.as_deref();
        let others = self.list.iter().enumerate();
        let mut others = others.filter(|(other, _)| *other != index);
        if called.is_some_and(|name| others.any(|(_, other)| other.is_called(name))) {
            return Err(Unfit::Called);
        }
        let bytes = serde_json::to_vec(&self).map_or(usize::MAX, |json| json.len());
        if bytes > MAX_BYTES {
            return Err(Unfit::Large);
        }
        Ok(())
    }

    fn reorder(&mut self, ids: &[String]) -> Result<(), Unfit> {
        if ids.len() != self.list.len() {
            return Err(Unfit::NotAll);
        }
        let mut list = Vec::with_capacity(ids.len());
        for id in ids {
            let index = self.index(id).map_err(|_| Unfit::NotAll)?;
            list.push(self.list.remove(index));
        }
        self.list = list;
        Ok(())
    }

    fn index(&self, id: &str) -> Result<usize, Unfit> {
        let mut products = self.list.iter();
        products
            .position(|product| product.id == id)
            .ok_or(Unfit::Missing)
    }
}

/// Products of one room.
pub(crate) const MAX_PRODUCTS: usize = 100;

/// A quarter of what may wait for a socket: they are in the snapshot, with half of it for the chat.
const MAX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn product(id: &str) -> Product {
        Product {
            id: id.to_owned(),
            name: format!("Product {id}"),
            image_url: None,
            buy_url: None,
            price: 750,
            original_price: Some(1_000),
            discount_percent: 0,
            currency: "EUR".to_owned(),
            stock: Some(5),
            quantity_limit: None,
            sold: 0,
            external_id: None,
        }
    }

    fn shelf(ids: &[&str]) -> Shelf {
        let mut shelf = Shelf::default();
        for id in ids {
            shelf.apply(&Change::Add(product(id).into())).unwrap();
        }
        shelf
    }

    fn ids(shelf: &Shelf) -> Vec<&str> {
        shelf.list.iter().map(|it| it.id.as_str()).collect()
    }

    #[test]
    fn a_discount_is_rounded_down_and_needs_a_price_before() {
        for (price, before, percent) in [
            (750, Some(1_000), 25),
            (1, Some(1_000), 99),
            (0, Some(1_000), 100),
            (999, Some(1_000), 0),
            (0, Some(0), 0),
            (5, None, 0),
            (u64::MAX - 1, Some(u64::MAX), 0),
        ] {
            let mut product = product("a");
            (product.price, product.original_price) = (price, before);
            product.reckon();
            assert_eq!(product.discount_percent, percent, "{price} {before:?}");
        }
    }

    #[test]
    fn at_most_one_is_featured_and_one_that_goes_is_so_no_more() {
        let mut shelf = shelf(&["a", "b"]);
        let feature = |product: &str| Change::Feature {
            product: product.to_owned(),
        };
        shelf.apply(&feature("a")).unwrap();
        shelf.apply(&feature("b")).unwrap();
        assert_eq!(shelf.featured_id.as_deref(), Some("b"));
        assert_eq!(shelf.apply(&feature("c")), Err(Unfit::Missing));
        let withdraw = |product: Option<&str>| Change::Withdraw {
            product: product.map(str::to_owned),
        };
        shelf.apply(&withdraw(Some("a"))).unwrap();
        assert_eq!(shelf.featured_id.as_deref(), Some("b"));
        let remove = Change::Remove {
            product: "b".to_owned(),
        };
        shelf.apply(&remove).unwrap();
        assert_eq!((ids(&shelf), &shelf.featured_id), (vec!["a"], &None));
        shelf.apply(&feature("a")).unwrap();
        shelf.apply(&withdraw(None)).unwrap();
        assert_eq!(shelf.featured_id, None);
    }

    #[test]
    fn an_order_names_each_once_and_otherwise_changes_nothing() {
        let mut shelf = shelf(&["a", "b", "c"]);
        let order = |ids: &[&str]| Change::Order {
            ids: ids.iter().map(|it| (*it).to_owned()).collect(),
        };
        shelf.apply(&order(&["c", "a", "b"])).unwrap();
        for wrong in [
            &["c", "a"][..],
            &["c", "a", "a"],
            &["c", "a", "x"],
            &["a", "b", "c", "c"],
        ] {
            assert_eq!(shelf.apply(&order(wrong)), Err(Unfit::NotAll));
        }
        assert_eq!(ids(&shelf), ["c", "a", "b"]);
    }

    #[test]
    fn a_room_has_so_many_products_and_their_bytes_are_bounded() {
        let mut full = Shelf::default();
        for number in 0..MAX_PRODUCTS {
            let product = product(&number.to_string());
            full.apply(&Change::Add(product.into())).unwrap();
        }
        let one_more = Change::Add(product("x").into());
        assert_eq!(full.apply(&one_more), Err(Unfit::Full));
        let mut large = Shelf::default();
        let mut product = product("a");
        product.name = "\u{10ffff}".repeat(120);
        product.image_url = Some("x".repeat(1_024));
        let added = (0..MAX_PRODUCTS).take_while(|number| {
            product.id = number.to_string();
            large.apply(&Change::Add(product.clone().into())).is_ok()
        });
        assert!((30..60).contains(&added.count()));
        assert!(serde_json::to_vec(&large).unwrap().len() <= MAX_BYTES);
    }

    #[test]
    fn two_products_are_never_called_alike_and_none_is_dearer_than_before() {
        let mut shelf = shelf(&["a"]);
        let mut other = product("b");
        other.external_id = Some("a".to_owned());
        let add = |product: &Product| Change::Add(product.clone().into());
        assert_eq!(shelf.apply(&add(&other)), Err(Unfit::Called));
        other.external_id = Some("sku".to_owned());
        shelf.apply(&add(&other)).unwrap();
        other.id = "c".to_owned();
        assert_eq!(shelf.apply(&add(&other)), Err(Unfit::Called));
        let mut dear = product("d");
        dear.price = 1_001;
        assert_eq!(shelf.apply(&add(&dear)), Err(Unfit::Dearer));
    }

    #[test]
    fn what_is_left_is_never_less_than_nothing() {
        let mut product = product("a");
        product.sell(3);
        product.sell(3);
        assert_eq!((product.sold, product.stock), (6, Some(0)));
    }
}
