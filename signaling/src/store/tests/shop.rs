//! What rooms sell, on each database.

use super::*;
use serde_json::json;

use crate::shop::{Change, NewOrder, NewProduct, OrderBody, Product, Shelf, Unfit};

on_each_database! {
    products_are_kept_in_their_order_with_one_featured
    a_product_is_added_once_whoever_adds_it_again
    an_order_counts_once_whatever_comes_twice_and_in_which_order
    an_order_says_what_its_product_does_not
}

async fn products_are_kept_in_their_order_with_one_featured(base: Base) {
    let id = room(1).id;
    base.create(&room(1), "key").await;
    let mut ids = Vec::new();
    for number in 0..3 {
        let product = product(&json!({ "externalId": format!("sku-{number}"), "stock": number }));
        ids.push(product.id.clone());
        base.sell(&id, Change::Add(product.into())).await.unwrap();
    }
    let order = vec![ids[2].clone(), ids[0].clone(), ids[1].clone()];
    let arrange = Change::Order { ids: order.clone() };
    base.sell(&id, arrange).await.unwrap();
    let feature = |product: &String| Change::Feature {
        product: product.clone(),
    };
    base.sell(&id, feature(&ids[0])).await.unwrap();
    base.sell(&id, feature(&ids[1])).await.unwrap();
    let patch = serde_json::from_value(json!({ "price": 400, "originalPrice": 500 })).unwrap();
    let edit = Change::Edit {
        product: ids[1].clone(),
        patch: Box::new(patch),
    };
    let told = base.sell(&id, edit).await.unwrap();
    let kept = base.stores.shop.shelf(&id).await.unwrap();
    assert_eq!(kept, *told);
    let listed: Vec<_> = kept.list.iter().map(|it| it.id.clone()).collect();
    assert_eq!(listed, order);
    assert_eq!(kept.featured_id.as_ref(), Some(&ids[1]));
    assert_eq!(kept.product(&ids[1]).unwrap().discount_percent, 20);

    let remove = Change::Remove {
        product: ids[1].clone(),
    };
    base.sell(&id, remove.clone()).await.unwrap();
    assert_eq!(base.sell(&id, remove).await, Err(Unfit::Missing));
    let twice = product(&json!({ "externalId": "sku-0" }));
    let twice = base.sell(&id, Change::Add(twice.into())).await;
    assert_eq!(twice, Err(Unfit::Called));
    // The number of its place is not used twice.
    let last = product(&json!({}));
    let told = base.sell(&id, Change::Add(last.clone().into())).await;
    let kept = base.stores.shop.shelf(&id).await.unwrap();
    assert_eq!(kept, *told.unwrap());
    assert_eq!((kept.list.last(), &kept.featured_id), (Some(&last), &None));
    base.stores.rooms.remove(&id).await.unwrap();
    assert_eq!(base.stores.shop.shelf(&id).await.unwrap(), Shelf::default());
}

async fn a_product_is_added_once_whoever_adds_it_again(base: Base) {
    let id = room(1).id;
    base.create(&room(1), "key").await;
    let tea = product(&json!({ "externalId": "tea" }));
    let add = Change::Add(tea.clone().into());
    let told = base.sell(&id, add.clone()).await.unwrap();
    assert_eq!(told.list, std::slice::from_ref(&tea));
    // Its server ended before it could say so, and the host changed something since.
    let patch = serde_json::from_value(json!({ "name": "Green tea" })).unwrap();
    let edit = Change::Edit {
        product: tea.id,
        patch: Box::new(patch),
    };
    let edited = base.sell(&id, edit).await.unwrap();
    assert_eq!(base.sell(&id, add).await.unwrap(), edited);
    assert_eq!(base.stores.shop.shelf(&id).await.unwrap(), *edited);
}

async fn an_order_counts_once_whatever_comes_twice_and_in_which_order(base: Base) {
    for number in 0..20 {
        let seed: u64 = rand::random();
        println!("seed {seed:#x}");
        check_orders(&base, number, &mut Dice(seed)).await;
    }
}

/// Tells of some orders, each several times, in any order and in batches of any size.
async fn check_orders(base: &Base, number: u64, dice: &mut Dice) {
    let id = room(number).id;
    base.create(&room(number), &format!("key-{number}")).await;
    let stock = dice.below(30);
    let tea = product(&json!({ "externalId": "tea", "stock": stock, "price": 450 }));
    let coffee = product(&json!({ "price": 1_000, "currency": "VND" }));
    for product in [&tea, &coffee] {
        let add = Change::Add(product.clone().into());
        base.sell(&id, add).await.unwrap();
    }
    let orders: Vec<NewOrder> = (0..1 + dice.below(12))
        .map(|order| {
            let product = ["tea", tea.id.as_str(), coffee.id.as_str()][dice.index(3)];
            let quantity = 1 + dice.below(4);
            order_of(
                json!({ "orderId": order.to_string(), "productId": product, "quantity": quantity }),
            )
        })
        .collect();
    let mut told = [orders.clone(), orders.clone(), orders.clone()].concat();
    for index in (1..told.len()).rev() {
        told.swap(index, dice.index(index + 1));
    }
    let new = base.tell(&id, told, dice).await;
    assert_eq!(new, orders.len());

    let bought = |product: &Product| -> u64 {
        let theirs = orders.iter().filter(|order| {
            let called = order.product_id.as_deref().unwrap();
            product.is_called(called)
        });
        theirs.map(|order| u64::from(order.quantity)).sum()
    };
    let shelf = base.stores.shop.shelf(&id).await.unwrap();
    let kept = shelf.product(&tea.id).unwrap();
    assert_eq!(kept.sold, bought(&tea));
    assert_eq!(kept.stock, Some(stock.saturating_sub(bought(&tea))));
    let record = base.stores.rooms.find(&id).await.unwrap().unwrap();
    assert_eq!(record.order_count, orders.len() as u64);
    let mut revenue = serde_json::Map::new();
    for (currency, amount) in [
        ("EUR", 450 * bought(&tea)),
        ("VND", 1_000 * bought(&coffee)),
    ] {
        if amount > 0 {
            revenue.insert(currency.to_owned(), json!(amount));
        }
    }
    assert_eq!(json!(record.revenue), json!(revenue));
    // One message for each, and as many are counted.
    let chat = base.stores.journal.chat(&id, u64::MAX, 100).await.unwrap();
    assert_eq!(chat.len(), orders.len());
    assert_eq!(record.message_count, orders.len() as u64);
    assert!(chat.iter().all(|it| it.kind == MessageKind::Order));
}

async fn an_order_says_what_its_product_does_not(base: Base) {
    let id = room(1).id;
    base.create(&room(1), "key").await;
    let mut others = webhooks::webhook("w");
    others.events = vec!["order".to_owned()];
    base.add(&others).await;
    let order = async |more: serde_json::Value| base.order(&id, order_of(more)).await;
    let unknown = json!({ "orderId": "1", "productId": "lost" });
    assert_eq!(order(unknown).await, Outcome::Unfit(Unfit::Unknown));
    // What was refused may be told of again.
    let said = json!({
        "orderId": "1", "productName": "A ticket", "amount": 1_500, "currency": "EUR", "quantity": 3,
        "userId": "ann",
    });
    let Outcome::Ordered(ordered) = order(said.clone()).await else {
        panic!("it was not taken")
    };
    assert_eq!(ordered.message.text, "A ticket × 3");
    assert_eq!(ordered.message.from.id, "ann");
    assert_eq!((ordered.product, ordered.orders), (None, 1));
    let paid: Vec<_> = ordered.paid.iter().collect();
    assert_eq!(paid, [("EUR", 1_500)]);
    assert_eq!(order(said).await, Outcome::OrderedBefore);
    for (number, letter) in ('A'..='P').enumerate() {
        let sold = json!({
            "orderId": format!("c{number}"), "productName": "x", "amount": 1, "currency": format!("X{letter}X"),
        });
        let outcome = order(sold).await;
        let full = number == 15;
        assert_eq!(
            outcome == Outcome::Unfit(Unfit::Currencies),
            full,
            "{number}"
        );
    }
    // Others are told of each.
    assert_eq!(base.stores.deliveries.backlog().await.unwrap().count, 16);
}

fn product(more: &serde_json::Value) -> Product {
    let mut json = json!({ "name": "Tea", "price": 450, "currency": "EUR" });
    merge(&mut json, more);
    let new: NewProduct = serde_json::from_value(json).unwrap();
    new.check().unwrap()
}

fn order_of(more: serde_json::Value) -> NewOrder {
    let mut json = json!({ "roomId": "r", "displayName": "Ann" });
    merge(&mut json, &more);
    let body: OrderBody = serde_json::from_value(json).unwrap();
    body.check().unwrap()
}

fn merge(json: &mut serde_json::Value, more: &serde_json::Value) {
    for (name, value) in more.as_object().unwrap() {
        json[name] = value.clone();
    }
}

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }
}

impl Base {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a change has two outcomes")]
    async fn sell(&self, room: &RoomId, change: Change) -> Result<Arc<Shelf>, Unfit> {
        let entries = [Entry::Shop(change)];
        let outcomes = self.stores.journal.append(room, &entries).await;
        match outcomes.unwrap().remove(0) {
            Outcome::Shop(shelf) => Ok(shelf),
            Outcome::Unfit(unfit) => Err(unfit),
            _ => panic!("an outcome of something else"),
        }
    }

    /// Tells of orders in batches of any size; returns how many were new.
    async fn tell(&self, room: &RoomId, mut orders: Vec<NewOrder>, dice: &mut Dice) -> usize {
        let mut new = 0;
        while !orders.is_empty() {
            let rest = orders.split_off((1 + dice.index(7)).min(orders.len()));
            let batch: Vec<Entry> = orders.into_iter().map(Entry::Order).collect();
            let outcomes = self.stores.journal.append(room, &batch).await.unwrap();
            let is_new = |it: &&Outcome| matches!(it, Outcome::Ordered(_));
            new += outcomes.iter().filter(is_new).count();
            orders = rest;
        }
        new
    }

    async fn order(&self, room: &RoomId, order: NewOrder) -> Outcome {
        let entries = [Entry::Order(order)];
        let outcomes = self.stores.journal.append(room, &entries).await;
        outcomes.unwrap().remove(0)
    }
}
