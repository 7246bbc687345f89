//! What was bought elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::fields::{MAX_ID, MAX_NAME, MAX_QUANTITY, check_currency, line, name_of, within};
use super::{Product, Unfit};
use crate::chat::MAX_IDENTITY;
use crate::error::ApiError;

/// An order as a shop tells of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OrderBody {
    /// The shop's own id of it: telling of it again changes nothing.
    #[schema(min_length = 1, max_length = 128)]
    pub(crate) order_id: String,
    /// The room in which it was bought.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub(crate) room_id: String,
    /// The product's `id` or its `externalId`.
    #[schema(min_length = 1, max_length = 64)]
    pub(crate) product_id: Option<String>,
    /// What it is called; that of the product where it is left out.
    #[schema(min_length = 1, max_length = 120)]
    pub(crate) product_name: Option<String>,
    /// What the buyer is called in the chat.
    #[schema(min_length = 1, max_length = 64)]
    pub(crate) display_name: String,
    /// The buyer's identity, as the application's tokens have it.
    #[schema(min_length = 1, max_length = 128)]
    pub(crate) user_id: Option<String>,
    /// How many; 1 where it is left out.
    #[schema(minimum = 1, maximum = 10_000)]
    pub(crate) quantity: Option<u32>,
    /// What was paid for all of them, in the smallest unit of the currency; the product's price where it is left out.
    #[schema(maximum = 1_000_000_000_000_000_i64)]
    pub(crate) amount: Option<u64>,
    /// Three letters (ISO 4217); that of the product where it is left out.
    #[schema(pattern = "^[A-Z]{3}$")]
    pub(crate) currency: Option<String>,
}

/// An order whose fields are in their bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewOrder {
    /// The shop's own id of it.
    pub(crate) order_id: String,
    /// By which of its names the product is called.
    pub(crate) product_id: Option<String>,
    /// What was bought; `None`: as the product is called.
    product_name: Option<String>,
    /// What the buyer is called.
    pub(crate) display_name: String,
    /// Who bought it.
    pub(crate) user_id: Option<String>,
    /// How many.
    pub(crate) quantity: u32,
    /// What was paid; `None`: what the product costs.
    amount: Option<u64>,
    /// In which currency; `None`: in that of the product.
    currency: Option<String>,
}

impl OrderBody {
    /// Checks the bounds, and cleans the texts.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub(crate) fn check(self) -> Result<NewOrder, ApiError> {
        self.check_as("displayName")
    }

    /// As [`Self::check`], where the sender has another word for the name of the buyer.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub(crate) fn check_as(self, display_name: &str) -> Result<NewOrder, ApiError> {
        name_of("orderId", &self.order_id, MAX_ORDER_ID)?;
        if let Some(id) = &self.product_id {
            name_of("productId", id, MAX_ID)?;
        }
        if let Some(id) = &self.user_id {
            name_of("userId", id, MAX_IDENTITY)?;
        }
        let quantity = self.quantity.unwrap_or(1);
        within("quantity", Some(quantity.into()), 1..=MAX_QUANTITY.into())?;
        within("amount", self.amount, 0..=MAX_AMOUNT)?;
        if let Some(currency) = &self.currency {
            check_currency(currency)?;
        }
        let name = self.product_name;
        let name = name.map(|name| line("productName", &name, MAX_NAME));
        Ok(NewOrder {
            product_name: name.transpose()?,
            display_name: line(display_name, &self.display_name, MAX_DISPLAY_NAME)?,
            order_id: self.order_id,
            product_id: self.product_id,
            user_id: self.user_id,
            quantity,
            amount: self.amount,
            currency: self.currency,
        })
    }
}

/// What was bought for how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sale {
    /// What the chat says was bought.
    pub(crate) product_name: String,
    /// In the smallest unit of the currency.
    pub(crate) amount: u64,
    /// Three letters.
    pub(crate) currency: String,
}

impl NewOrder {
    /// Puts together what an order says itself and what is known of its product.
    ///
    /// # Errors
    /// [`Unfit::Unknown`] when that is not enough.
    pub(crate) fn sale(&self, product: Option<&Product>) -> Result<Sale, Unfit> {
        let name = self.product_name.as_ref();
        let name = name.or_else(|| product.map(|it| &it.name));
        let currency = self.currency.as_ref();
        let currency = currency.or_else(|| product.map(|it| &it.currency));
        let price = product.map(|it| it.price.saturating_mul(self.quantity.into()));
        let amount = self.amount.or_else(|| price.map(|it| it.min(MAX_AMOUNT)));
        let sale = name.zip(currency).zip(amount);
        let ((name, currency), amount) = sale.ok_or(Unfit::Unknown)?;
        Ok(Sale {
            product_name: name.clone(),
            amount,
            currency: currency.clone(),
        })
    }
}

/// What a room earned, by currency, in the smallest unit of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub(crate) struct Revenue(BTreeMap<String, u64>);

impl Revenue {
    /// Adds what was paid.
    ///
    /// # Errors
    /// [`Unfit::Currencies`].
    pub(crate) fn add(&mut self, sale: &Sale) -> Result<(), Unfit> {
        if !self.0.contains_key(&sale.currency) && self.0.len() >= MAX_CURRENCIES {
            return Err(Unfit::Currencies);
        }
        let sum = self.0.entry(sale.currency.clone()).or_default();
        *sum = sum.saturating_add(sale.amount);
        Ok(())
    }

    /// Adds what was earned elsewhere; a currency for which there is no place is left out.
    pub(crate) fn add_all(&mut self, other: &Self) {
        for (currency, amount) in &other.0 {
            if self.0.contains_key(currency) || self.0.len() < MAX_CURRENCIES {
                let sum = self.0.entry(currency.clone()).or_default();
                *sum = sum.saturating_add(*amount);
            }
        }
    }

    /// Returns what one order came to.
    pub(crate) fn of(sale: &Sale) -> Self {
        let paid = (sale.amount > 0).then(|| (sale.currency.clone(), sale.amount));
        Self(paid.into_iter().collect())
    }

    /// Returns each currency and the sum in it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0
            .iter()
            .map(|(currency, sum)| (currency.as_str(), *sum))
    }
}

/// Currencies in which one room sells.
pub(super) const MAX_CURRENCIES: usize = 16;

const MAX_ORDER_ID: usize = 128;
const MAX_DISPLAY_NAME: usize = 64;
const MAX_AMOUNT: u64 = 1_000_000_000_000_000;
