//! An order as a shop writes it to a topic for all who want to know.

use serde::Deserialize;

use crate::error::{ApiError, Code};
use crate::http::body::read;
use crate::id::RoomId;
use crate::shop::{NewOrder, OrderBody};

/// What one message says; fields that mean nothing here are left to those to whom they do.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    order_id: Option<Id>,
    room_id: String,
    user_id: Option<Id>,
    username: String,
    product_id: Option<Id>,
    product_name: Option<String>,
    quantity: Option<u32>,
    amount: Option<u64>,
    currency: Option<String>,
}

/// Shops number things, or name them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Id {
    Name(String),
    Number(u64),
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        match id {
            Id::Name(name) => name,
            Id::Number(number) => number.to_string(),
        }
    }
}

/// Reads an order, and where it was placed. One without an id of its own is called by its `place` in the topic.
///
/// # Errors
/// Why it is none, without what it says: names of buyers are in it.
pub(super) fn order(text: &[u8], place: String) -> Result<(RoomId, NewOrder), ApiError> {
    if text.len() > MAX_BYTES {
        return Err(ApiError::new(Code::TooLarge, "It has more than 64 KiB."));
    }
    let told: Told = read(text, |_| None)?;
    let room = RoomId::parse(&told.room_id).ok_or_else(ApiError::no_room)?;
    let order = OrderBody {
        order_id: told.order_id.map_or(place, String::from),
        room_id: told.room_id,
        product_id: told.product_id.map(String::from),
        product_name: told.product_name,
        display_name: told.username,
        user_id: told.user_id.map(String::from),
        quantity: told.quantity,
        amount: told.amount,
        currency: told.currency,
    };
    Ok((room, order.check_as("username")?))
}

/// As for orders over HTTP.
const MAX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(message: &Value) -> Result<NewOrder, ApiError> {
        let order = order(
            message.to_string().as_bytes(),
            "live-order-topic/0/7@1".into(),
        );
        order.map(|(_, order)| order)
    }

    fn message() -> Value {
        json!({
            "roomId": "room", "userId": 7, "username": "Bob", "productId": "sku-1", "productName": "Cup",
            "amount": 2500, "timestamp": "2026-11-22T10:00:00Z", "warehouse": "not ours",
        })
    }

    #[test]
    fn an_order_is_called_as_the_shop_does_or_else_by_its_place() {
        let order = told(&message()).unwrap();
        assert_eq!(order.order_id, "live-order-topic/0/7@1");
        assert_eq!(order.user_id.as_deref(), Some("7"));
        assert_eq!((order.display_name.as_str(), order.quantity), ("Bob", 1));
        for id in [json!("4711"), json!(4711)] {
            let mut named = message();
            named["orderId"] = id;
            assert_eq!(told(&named).unwrap().order_id, "4711");
        }
    }

    #[test]
    fn a_field_that_has_to_be_there_is_named() {
        for field in ["roomId", "username"] {
            let mut broken = message();
            broken.as_object_mut().unwrap().remove(field);
            let error = told(&broken).unwrap_err();
            assert!(error.message.contains(&format!("`{field}`")), "{error}");
        }
        let mut least = message();
        for field in ["userId", "productId", "productName", "amount", "timestamp"] {
            least.as_object_mut().unwrap().remove(field);
            told(&least).expect(field);
        }
    }

    #[test]
    fn the_longest_place_is_an_id_that_an_order_may_have() {
        let topic = "t".repeat(64);
        let place = format!("{topic}/{}/{}@{}", i32::MAX, i64::MAX, i64::MIN);
        let (_, order) = order(message().to_string().as_bytes(), place.clone()).unwrap();
        assert_eq!(order.order_id, place);
    }

    #[test]
    fn what_is_out_of_its_bounds_is_no_order_and_is_not_repeated() {
        for (field, value) in [
            ("roomId", json!("no room")),
            ("roomId", json!(null)),
            ("username", json!("")),
            ("username", json!("Ann".repeat(40))),
            ("username", json!(["Ann"])),
            ("productId", json!("")),
            ("productName", json!("")),
            ("userId", json!("Ann ".repeat(40))),
            ("orderId", json!("")),
            ("orderId", json!(["Ann"])),
            ("amount", json!(-1)),
            ("amount", json!(19.99)),
            ("amount", json!("Ann")),
            ("quantity", json!(0)),
            ("currency", json!("Ann")),
        ] {
            let mut broken = message();
            broken[field] = value;
            let error = told(&broken).expect_err(field);
            assert!(!error.message.contains("Ann"), "{field}: {error}");
            // As the shop calls it.
            let is_named = error.message.contains(&format!("`{field}`"));
            assert!(is_named || error.code == Code::NotFound, "{field}: {error}");
        }
        for text in [
            "",
            "{",
            "[]",
            "null",
            "[1,\"room\",7,\"Bob\",1,\"Cup\",1,2,\"EUR\"]",
        ] {
            assert!(order(text.as_bytes(), String::new()).is_err(), "{text}");
        }
        let long = message().to_string() + &" ".repeat(MAX_BYTES);
        let error = order(long.as_bytes(), String::new()).unwrap_err();
        assert_eq!(error.code, Code::TooLarge);
    }
}
