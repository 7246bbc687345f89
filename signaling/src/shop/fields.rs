//! What a host may say about a product, and its bounds. What the schema can state is answered with 400, what only reading
//! can tell with 422.

use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Product;
use crate::chat::is_name;
use crate::error::{ApiError, Code};
use crate::text;

/// A product to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewProduct {
    /// Its name for people. With an `externalId` it may be left out where the server has a catalogue, as price and currency
    /// may: the shop's are taken, and its picture, stock and all else that is left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(min_length = 1, max_length = 120, nullable = false)]
    name: Option<String>,
    /// A picture of it.
    #[schema(max_length = 1024, pattern = "^https://[^/]")]
    image_url: Option<String>,
    /// Where it is bought.
    #[schema(max_length = 1024, pattern = "^https://[^/]")]
    buy_url: Option<String>,
    /// What it costs now, in the smallest unit of the currency: cents, whole dong.
    #[serde(default, deserialize_with = "present")]
    #[schema(maximum = 1_000_000_000_000_i64, nullable = false)]
    price: Option<u64>,
    /// What it cost before; not less than `price`.
    #[schema(maximum = 1_000_000_000_000_i64)]
    original_price: Option<u64>,
    /// Three letters (ISO 4217).
    #[serde(default, deserialize_with = "present")]
    #[schema(pattern = "^[A-Z]{3}$", nullable = false)]
    currency: Option<String>,
    /// How many there are; orders lower it. Nobody counts where it is left out.
    #[schema(maximum = 1_000_000_000)]
    stock: Option<u64>,
    /// The most that one order may have of it, for viewers to know.
    #[schema(minimum = 1, maximum = 10_000)]
    quantity_limit: Option<u32>,
    /// What the shop calls it: orders may name it so.
    #[schema(min_length = 1, max_length = 64)]
    external_id: Option<String>,
}

/// What to change in a product. What is left out stays; `null` takes away what may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct ProductPatch {
    /// Its name for people.
    #[serde(deserialize_with = "present")]
    #[schema(min_length = 1, max_length = 120, nullable = false)]
    name: Option<String>,
    /// A picture of it.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<String>, max_length = 1024, pattern = "^https://[^/]")]
    image_url: Option<Option<String>>,
    /// Where it is bought.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<String>, max_length = 1024, pattern = "^https://[^/]")]
    buy_url: Option<Option<String>>,
    /// What it costs now, in the smallest unit of the currency.
    #[serde(deserialize_with = "present")]
    #[schema(maximum = 1_000_000_000_000_i64, nullable = false)]
    price: Option<u64>,
    /// What it cost before.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<u64>, maximum = 1_000_000_000_000_i64)]
    original_price: Option<Option<u64>>,
    /// Three letters (ISO 4217).
    #[serde(deserialize_with = "present")]
    #[schema(pattern = "^[A-Z]{3}$", nullable = false)]
    currency: Option<String>,
    /// How many are left.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<u64>, maximum = 1_000_000_000)]
    stock: Option<Option<u64>>,
    /// The most that one order may have of it.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 10_000)]
    quantity_limit: Option<Option<u32>>,
    /// What the shop calls it.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    external_id: Option<Option<String>>,
}

/// What a shop's catalogue says of a product; other fields mean nothing here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Described {
    name: Option<String>,
    image_url: Option<String>,
    buy_url: Option<String>,
    price: Option<u64>,
    original_price: Option<u64>,
    currency: Option<String>,
    stock: Option<u64>,
    quantity_limit: Option<u32>,
}

impl NewProduct {
    /// Returns by which id a catalogue is asked for what is missing; `None` where nothing is that has to be there.
    pub(crate) fn asks_about(&self) -> Option<&str> {
        let is_whole = self.name.is_some() && self.price.is_some() && self.currency.is_some();
        let id = self.external_id.as_deref();
        id.filter(|id| !is_whole && is_name(id, MAX_ID))
    }

    /// Takes what was left out from a catalogue. All prices are of one currency: what the host says is no rate of exchange.
    ///
    /// # Errors
    /// The price is the catalogue's, and not in the currency that the host says.
    pub(crate) fn filled(self, described: Described) -> Result<Self, ApiError> {
        let other = |said: &String| {
            let shops = described.currency.as_ref();
            shops.is_some_and(|shops| shops != said)
        };
        let (price, original_price) = match self.price {
            // What the shop's cost before says nothing of what the host's did.
            Some(price) => (Some(price), self.original_price),
            None if self.currency.as_ref().is_some_and(other) => {
                let why = "the price is that of the catalogue, which has it in another currency";
                return Err(unusable("currency", why));
            }
            None => (
                described.price,
                self.original_price.or(described.original_price),
            ),
        };
        Ok(Self {
            name: self.name.or(described.name),
            image_url: self.image_url.or(described.image_url),
            buy_url: self.buy_url.or(described.buy_url),
            price,
            original_price,
            currency: self.currency.or(described.currency),
            stock: self.stock.or(described.stock),
            quantity_limit: self.quantity_limit.or(described.quantity_limit),
            external_id: self.external_id,
        })
    }

    /// Makes a product of what was said.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub(crate) fn check(self) -> Result<Product, ApiError> {
        let missing = |field| unusable(field, "it is left out, and no catalogue has it");
        let name = self.name.ok_or_else(|| missing("name"))?;
        let price = self.price.ok_or_else(|| missing("price"))?;
        let currency = self.currency.ok_or_else(|| missing("currency"))?;
        let patch = ProductPatch {
            name: Some(name),
            image_url: Some(self.image_url),
            buy_url: Some(self.buy_url),
            price: Some(price),
            original_price: Some(self.original_price),
            currency: Some(currency),
            stock: Some(self.stock),
            quantity_limit: Some(self.quantity_limit),
            external_id: Some(self.external_id),
        };
        let mut product = Product {
            id: Uuid::now_v7().to_string(),
            name: String::new(),
            image_url: None,
            buy_url: None,
            price: 0,
            original_price: None,
            discount_percent: 0,
            currency: String::new(),
            stock: None,
            quantity_limit: None,
            sold: 0,
            external_id: None,
        };
        patch.check()?.apply(&mut product);
        Ok(product)
    }
}

impl ProductPatch {
    /// Checks the bounds, and cleans the texts.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub(crate) fn check(self) -> Result<Self, ApiError> {
        let name = self.name.map(|name| line("name", &name, MAX_NAME));
        let address = |field, url: Option<Option<String>>| {
            let url = url.map(|url| url.map(|url| web_address(field, &url)).transpose());
            url.transpose()
        };
        let most = |field, value: Option<u64>, most| within(field, value, 0..=most);
        most("price", self.price, MAX_PRICE)?;
        most("originalPrice", self.original_price.flatten(), MAX_PRICE)?;
        most("stock", self.stock.flatten(), MAX_STOCK)?;
        let limit = self.quantity_limit.flatten().map(u64::from);
        within("quantityLimit", limit, 1..=MAX_QUANTITY.into())?;
        if let Some(Some(id)) = &self.external_id {
            name_of("externalId", id, MAX_ID)?;
        }
        if let Some(currency) = &self.currency {
            check_currency(currency)?;
        }
        Ok(Self {
            name: name.transpose()?,
            image_url: address("imageUrl", self.image_url)?,
            buy_url: address("buyUrl", self.buy_url)?,
            ..self
        })
    }

    /// Writes the changes into a product.
    pub(super) fn apply(&self, product: &mut Product) {
        fn set<T: Clone>(slot: &mut T, value: Option<&T>) {
            if let Some(value) = value {
                slot.clone_from(value);
            }
        }
        set(&mut product.name, self.name.as_ref());
        set(&mut product.image_url, self.image_url.as_ref());
        set(&mut product.buy_url, self.buy_url.as_ref());
        set(&mut product.price, self.price.as_ref());
        set(&mut product.original_price, self.original_price.as_ref());
        set(&mut product.currency, self.currency.as_ref());
        set(&mut product.stock, self.stock.as_ref());
        set(&mut product.quantity_limit, self.quantity_limit.as_ref());
        set(&mut product.external_id, self.external_id.as_ref());
        product.reckon();
    }
}

/// Tells `null` from what was left out.
fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Refuses `null` where nothing may be missing.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Cleans a text of one line.
pub(super) fn line(field: &str, text: &str, longest: usize) -> Result<String, ApiError> {
    if !(1..=longest).contains(&text.chars().count()) {
        return Err(bounds(field, longest));
    }
    let text = text::clean(text);
    if text.is_empty() {
        return Err(unusable(field, "nothing of it can be seen"));
    }
    Ok(text)
}

/// Checks what is an id to somebody else.
pub(super) fn name_of(field: &str, text: &str, longest: usize) -> Result<(), ApiError> {
    if is_name(text, longest) {
        return Ok(());
    }
    Err(bounds(field, longest))
}

fn bounds(field: &str, longest: usize) -> ApiError {
    let text = format!("`{field}` has 1 to {longest} characters.");
    ApiError::new(Code::BadMessage, text)
}

pub(super) fn check_currency(text: &str) -> Result<(), ApiError> {
    if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(());
    }
    let text = "`currency` has three capital letters.";
    Err(ApiError::new(Code::BadMessage, text))
}

pub(super) fn within(
    field: &str,
    value: Option<u64>,
    range: std::ops::RangeInclusive<u64>,
) -> Result<(), ApiError> {
    if value.is_none_or(|value| range.contains(&value)) {
        return Ok(());
    }
    let (least, most) = range.into_inner();
    let text = format!("`{field}` is {least} to {most}.");
    Err(ApiError::new(Code::BadMessage, text))
}

/// Checks that browsers open an address over TLS, and that it says nothing of who opens it.
///
/// # Errors
/// `bad_message`; `invalid_value`.
pub(crate) fn web_address(field: &str, text: &str) -> Result<String, ApiError> {
    let host = text.strip_prefix("https://");
    let web = host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'));
    if text.chars().count() > MAX_URL || !web {
        let text = format!("`{field}` begins with https:// and has {MAX_URL} characters at most.");
        return Err(ApiError::new(Code::BadMessage, text));
    }
    let url = url::Url::parse(text).map_err(|_| unusable(field, "it is no URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(unusable(field, "it has a user name or a password"));
    }
    let url = String::from(url);
    if url.len() > MAX_URL {
        return Err(unusable(field, "it is too long when it is written out"));
    }
    Ok(url)
}

fn unusable(field: &str, why: &str) -> ApiError {
    let text = format!("`{field}` cannot be used: {why}.");
    ApiError::new(Code::InvalidValue, text)
}

pub(super) const MAX_NAME: usize = 120;
pub(super) const MAX_ID: usize = 64;
pub(super) const MAX_QUANTITY: u32 = 10_000;
const MAX_URL: usize = 1024;
const MAX_PRICE: u64 = 1_000_000_000_000;
const MAX_STOCK: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn add(json: &str) -> Result<Product, Code> {
        let new: NewProduct = serde_json::from_str(json).map_err(|_| Code::BadJson)?;
        new.check().map_err(|error| error.code)
    }

    #[test]
    fn every_field_has_its_bounds() {
        let product = |more: &str| {
            add(&format!(
                r#"{{"name":"Tea","price":450,"currency":"EUR"{more}}}"#
            ))
        };
        assert_eq!(product("").unwrap().discount_percent, 0);
        let unseen = add(r#"{"name":"T\u0000ea\u202e","price":450,"currency":"EUR"}"#);
        assert_eq!(unseen.unwrap().name, "Tea");
        let half = product(r#","originalPrice":900"#).unwrap();
        assert_eq!(half.discount_percent, 50);
        let long = format!(r#","buyUrl":"https://a/{}""#, "x".repeat(1_024));
        for (more, code) in [
            (r#","imageUrl":"http://a/b""#, Code::BadMessage),
            (r#","imageUrl":"javascript:alert(1)""#, Code::BadMessage),
            (r#","buyUrl":"https://""#, Code::BadMessage),
            (r#","buyUrl":"https://[x""#, Code::InvalidValue),
            (r#","buyUrl":"https://a:b@c/""#, Code::InvalidValue),
            (long.as_str(), Code::BadMessage),
            (r#","originalPrice":1000000000001"#, Code::BadMessage),
            (r#","stock":-1"#, Code::BadJson),
            (r#","stock":1.5"#, Code::BadJson),
            (r#","stock":1000000001"#, Code::BadMessage),
            (r#","quantityLimit":0"#, Code::BadMessage),
            (r#","quantityLimit":10001"#, Code::BadMessage),
            (r#","externalId":"""#, Code::BadMessage),
            (r#","sold":7"#, Code::BadJson),
        ] {
            assert_eq!(product(more), Err(code), "{more}");
        }
        for (json, code) in [
            (
                r#"{"name":"","price":1,"currency":"EUR"}"#,
                Code::BadMessage,
            ),
            (
                r#"{"name":"\u200b","price":1,"currency":"EUR"}"#,
                Code::InvalidValue,
            ),
            (
                r#"{"name":"x","price":1,"currency":"eur"}"#,
                Code::BadMessage,
            ),
        ] {
            assert_eq!(add(json), Err(code), "{json}");
        }
    }

    #[test]
    fn what_the_host_says_goes_before_what_the_catalogue_says() {
        let described = || -> Described {
            let shop = r#"{"name":"Tea","price":450,"originalPrice":900,"currency":"EUR","stock":3,"colour":"green"}"#;
            serde_json::from_str(shop).unwrap()
        };
        for (said, name, price, currency, percent) in [
            (r#"{"externalId":"1"}"#, "Tea", 450, "EUR", 50),
            (
                r#"{"externalId":"1","name":"Mine"}"#,
                "Mine",
                450,
                "EUR",
                50,
            ),
            (
                r#"{"externalId":"1","currency":"EUR"}"#,
                "Tea",
                450,
                "EUR",
                50,
            ),
            (
                r#"{"externalId":"1","originalPrice":600}"#,
                "Tea",
                450,
                "EUR",
                25,
            ),
            (r#"{"externalId":"1","price":400}"#, "Tea", 400, "EUR", 0),
            (
                r#"{"externalId":"1","price":7,"currency":"VND"}"#,
                "Tea",
                7,
                "VND",
                0,
            ),
        ] {
            let new: NewProduct = serde_json::from_str(said).unwrap();
            assert_eq!(new.asks_about(), Some("1"), "{said}");
            let made = new.filled(described()).unwrap().check().unwrap();
            let shown = (made.name.as_str(), made.price, made.currency.as_str());
            assert_eq!(shown, (name, price, currency), "{said}");
            assert_eq!((made.discount_percent, made.stock), (percent, Some(3)));
        }
        for other in [
            r#"{"externalId":"1","currency":"VND"}"#,
            r#"{"externalId":"1","originalPrice":9000,"currency":"VND"}"#,
        ] {
            let new: NewProduct = serde_json::from_str(other).unwrap();
            let refused = new.filled(described()).unwrap_err();
            assert_eq!(refused.code, Code::InvalidValue, "{other}");
        }
        for whole in [
            r#"{"externalId":"1","name":"Tea","price":1,"currency":"EUR"}"#,
            r#"{"name":"Tea"}"#,
            r#"{"externalId":""}"#,
        ] {
            let new: NewProduct = serde_json::from_str(whole).unwrap();
            assert_eq!(new.asks_about(), None, "{whole}");
        }
        assert_eq!(add(r#"{"name":"Tea"}"#), Err(Code::InvalidValue));
    }

    #[test]
    fn what_is_left_out_stays_and_null_takes_away() {
        let mut product =
            add(r#"{"name":"Tea","price":450,"currency":"EUR","stock":3,"buyUrl":"https://a/"}"#)
                .unwrap();
        let patch = |json: &str| serde_json::from_str::<ProductPatch>(json);
        let change = patch(r#"{"stock":null,"price":400}"#).unwrap();
        change.check().unwrap().apply(&mut product);
        assert_eq!((product.stock, product.price), (None, 400));
        assert_eq!(product.buy_url.as_deref(), Some("https://a/"));
        assert!(patch(r#"{"price":null}"#).is_err());
        assert!(patch(r#"{"sold":1}"#).is_err());
    }
}
