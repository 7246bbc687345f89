//! What rooms sell, and what was bought.

use serde_json::json;
use sqlx::Row as _;
use uuid::Uuid;

use super::journal::Batch;
use super::row::{column, json_value, number};
use super::{Connection, Row, Store};
use crate::auth::Role;
use crate::id::RoomId;
use crate::shop::{Change, NewOrder, Product, Revenue, Sale, Shelf};
use crate::store::{
    Author, ChatMessage, Details, MessageKind, Ordered, Outcome, ShopStore, StoreError, Stored,
    promptly,
};

impl ShopStore for Store {
    fn shelf<'a>(&'a self, room: &'a RoomId) -> Stored<'a, Shelf> {
        promptly(async move {
            let mut connection = self.readers().acquire().await?;
            shelf(&mut connection, room.as_str()).await
        })
    }
}

impl Batch<'_> {
    /// Changes what the room sells, where that can be.
    pub(super) async fn sell(
        &self,
        connection: &mut Connection,
        change: &Change,
    ) -> Result<Outcome, StoreError> {
        let before = shelf(connection, self.room).await?;
        let mut shelf = before.clone();
        if let Err(unfit) = shelf.apply(change) {
            return Ok(Outcome::Unfit(unfit));
        }
        if shelf == before {
            return Ok(Outcome::Shop(shelf.into()));
        }
        match change {
            Change::Add(product) => self.add(connection, &shelf, &product.id).await?,
            Change::Edit { product, .. } => self.edit(connection, &shelf, product).await?,
            Change::Remove { product } => self.remove(connection, product).await?,
            Change::Order { .. } => self.arrange(connection, &shelf).await?,
            Change::Feature { .. } | Change::Withdraw { .. } => {}
        }
        self.feature(connection, &shelf).await?;
        Ok(Outcome::Shop(shelf.into()))
    }

    async fn add(
        &self,
        connection: &mut Connection,
        shelf: &Shelf,
        id: &str,
    ) -> Result<(), StoreError> {
        let Some(product) = shelf.product(id) else {
            return Ok(());
        };
        sqlx::query(
            "INSERT INTO products (room_id, id, position, name, image_url, buy_url, price, original_price,
                                   currency, stock, quantity_limit, external_id)
             SELECT $1, $2, COALESCE(MAX(position), 0) + 1, $3, $4, $5, $6, $7, $8, $9, $10, $11
             FROM products WHERE room_id = $1",
        )
        .bind(self.room)
        .bind(&product.id)
        .bind(&product.name)
        .bind(&product.image_url)
        .bind(&product.buy_url)
        .bind(column(product.price))
        .bind(product.original_price.map(column))
        .bind(&product.currency)
        .bind(product.stock.map(column))
        .bind(product.quantity_limit.map(i64::from))
        .bind(&product.external_id)
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn edit(
        &self,
        connection: &mut Connection,
        shelf: &Shelf,
        id: &str,
    ) -> Result<(), StoreError> {
        let Some(product) = shelf.product(id) else {
            return Ok(());
        };
        sqlx::query(
            "UPDATE products SET name = $3, image_url = $4, buy_url = $5, price = $6, original_price = $7,
                    currency = $8, stock = $9, quantity_limit = $10, external_id = $11
             WHERE room_id = $1 AND id = $2",
        )
        .bind(self.room)
        .bind(&product.id)
        .bind(&product.name)
        .bind(&product.image_url)
        .bind(&product.buy_url)
        .bind(column(product.price))
        .bind(product.original_price.map(column))
        .bind(&product.currency)
        .bind(product.stock.map(column))
        .bind(product.quantity_limit.map(i64::from))
        .bind(&product.external_id)
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn remove(&self, connection: &mut Connection, id: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM products WHERE room_id = $1 AND id = $2")
            .bind(self.room)
            .bind(id)
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn arrange(&self, connection: &mut Connection, shelf: &Shelf) -> Result<(), StoreError> {
        for (position, product) in (1_i64..).zip(&shelf.list) {
            sqlx::query("UPDATE products SET position = $3 WHERE room_id = $1 AND id = $2")
                .bind(self.room)
                .bind(&product.id)
                .bind(position)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }

    async fn feature(&self, connection: &mut Connection, shelf: &Shelf) -> Result<(), StoreError> {
        let change = match &shelf.featured_id {
            Some(id) => sqlx::query(
                "INSERT INTO featured_products (room_id, product_id) VALUES ($1, $2)
                 ON CONFLICT (room_id) DO UPDATE SET product_id = excluded.product_id",
            )
            .bind(self.room)
            .bind(id),
            None => sqlx::query("DELETE FROM featured_products WHERE room_id = $1").bind(self.room),
        };
        change.execute(connection).await?;
        Ok(())
    }

    /// Writes down what somebody bought, once for each id of an order: the order, what is left of the product, what the
    /// room earned, and what the chat says of it.
    pub(super) async fn order(
        &mut self,
        connection: &mut Connection,
        order: &NewOrder,
    ) -> Result<Outcome, StoreError> {
        let before = sqlx::query("SELECT 1 FROM orders WHERE room_id = $1 AND id = $2")
            .bind(self.room)
            .bind(&order.order_id)
            .fetch_optional(&mut *connection)
            .await?;
        if before.is_some() {
            return Ok(Outcome::OrderedBefore);
        }
        let mut product = self.wanted(connection, order).await?;
        let (orders, mut revenue) = self.earned(connection).await?;
        let sale = match order.sale(product.as_ref()) {
            Ok(sale) => sale,
            Err(unfit) => return Ok(Outcome::Unfit(unfit)),
        };
        if let Err(unfit) = revenue.add(&sale) {
            return Ok(Outcome::Unfit(unfit));
        }
        if let Some(product) = &mut product {
            product.sell(order.quantity);
            self.sold(connection, product).await?;
        }
        let bought = product.as_ref().map(|it| it.id.as_str());
        self.insert_order(connection, order, (&sale, bought))
            .await?;
        let orders = orders + 1;
        self.earn(connection, orders, &revenue).await?;
        let message = self.tell_order(connection, order, &sale).await?;
        Ok(Outcome::Ordered(Box::new(Ordered {
            message,
            paid: Revenue::of(&sale),
            product_name: sale.product_name,
            product,
            orders,
            revenue,
        })))
    }

    async fn wanted(
        &self,
        connection: &mut Connection,
        order: &NewOrder,
    ) -> Result<Option<Product>, StoreError> {
        let Some(id) = &order.product_id else {
            return Ok(None);
        };
        // An id of ours goes before what another product is called elsewhere.
        let row = sqlx::query(
            "SELECT * FROM products WHERE room_id = $1 AND (id = $2 OR external_id = $2)
             ORDER BY CASE WHEN id = $2 THEN 0 ELSE 1 END LIMIT 1",
        )
        .bind(self.room)
        .bind(id)
        .fetch_optional(connection)
        .await?;
        row.as_ref().map(product).transpose()
    }

    async fn sold(&self, connection: &mut Connection, product: &Product) -> Result<(), StoreError> {
        sqlx::query("UPDATE products SET sold = $3, stock = $4 WHERE room_id = $1 AND id = $2")
            .bind(self.room)
            .bind(&product.id)
            .bind(column(product.sold))
            .bind(product.stock.map(column))
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn insert_order(
        &self,
        connection: &mut Connection,
        order: &NewOrder,
        (sale, product): (&Sale, Option<&str>),
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO orders (room_id, id, ts, product_id, product_name, buyer_id, buyer_name, quantity,
                                 amount, currency)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(self.room)
        .bind(&order.order_id)
        .bind(self.ts.millis())
        .bind(product)
        .bind(&sale.product_name)
        .bind(&order.user_id)
        .bind(&order.display_name)
        .bind(i64::from(order.quantity))
        .bind(column(sale.amount))
        .bind(&sale.currency)
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn earned(&self, connection: &mut Connection) -> Result<(u64, Revenue), StoreError> {
        let row = sqlx::query("SELECT order_count, revenue FROM rooms WHERE id = $1")
            .bind(self.room)
            .fetch_one(connection)
            .await?;
        let revenue = json_value("rooms.revenue", row.try_get("revenue")?)?;
        Ok((number(row.try_get("order_count")?), revenue))
    }

    async fn earn(
        &self,
        connection: &mut Connection,
        orders: u64,
        revenue: &Revenue,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE rooms SET order_count = $2, revenue = $3 WHERE id = $1")
            .bind(self.room)
            .bind(column(orders))
            .bind(serde_json::to_string(revenue).unwrap_or_default())
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Writes what the chat says of an order, and what others are told.
    async fn tell_order(
        &mut self,
        connection: &mut Connection,
        order: &NewOrder,
        sale: &Sale,
    ) -> Result<ChatMessage, StoreError> {
        let text = match order.quantity {
            1 => sale.product_name.clone(),
            several => format!("{} × {several}", sale.product_name),
        };
        let buyer = order.user_id.as_deref().unwrap_or(SHOP);
        let message = ChatMessage {
            message_id: Uuid::now_v7().to_string(),
            seq: self.next_seq(),
            ts: self.ts.millis(),
            kind: MessageKind::Order,
            text,
            from: Author {
                id: buyer.to_owned(),
                name: order.display_name.clone(),
                avatar_url: None,
                role: Role::Viewer,
            },
            details: Details {
                captured_at: Some(self.ts.millis()),
                ..Details::default()
            },
            deleted: false,
        };
        self.insert(&mut *connection, &message, None).await?;
        let content = json!({
            "orderId": order.order_id, "productId": order.product_id, "quantity": order.quantity,
            "productName": sale.product_name, "displayName": order.display_name,
            "amount": sale.amount, "currency": sale.currency,
        });
        let (seq, content) = (Some(column(message.seq)), content.to_string());
        self.tell_others(connection, "order", (seq, &content))
            .await?;
        Ok(message)
    }
}

async fn shelf(connection: &mut Connection, room: &str) -> Result<Shelf, StoreError> {
    let rows = sqlx::query("SELECT * FROM products WHERE room_id = $1 ORDER BY position")
        .bind(room)
        .fetch_all(&mut *connection)
        .await?;
    let featured = sqlx::query("SELECT product_id FROM featured_products WHERE room_id = $1")
        .bind(room)
        .fetch_optional(connection)
        .await?;
    let featured = featured.map(|row| row.try_get("product_id")).transpose()?;
    let mut shelf = Shelf {
        list: rows.iter().map(product).collect::<Result<_, _>>()?,
        featured_id: featured,
    };
    let featured = shelf.featured_id.take();
    shelf.featured_id = featured.filter(|id| shelf.product(id).is_some());
    Ok(shelf)
}

fn product(row: &Row) -> Result<Product, StoreError> {
    let optional = |name| -> Result<Option<u64>, StoreError> {
        let value: Option<i64> = row.try_get(name)?;
        Ok(value.map(number))
    };
    let limit = optional("quantity_limit")?;
    let mut product = Product {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        image_url: row.try_get("image_url")?,
        buy_url: row.try_get("buy_url")?,
        price: number(row.try_get("price")?),
        original_price: optional("original_price")?,
        discount_percent: 0,
        currency: row.try_get("currency")?,
        stock: optional("stock")?,
        quantity_limit: limit.and_then(|it| u32::try_from(it).ok()),
        sold: number(row.try_get("sold")?),
        external_id: row.try_get("external_id")?,
    };
    product.reckon();
    Ok(product)
}

/// Who bought something, where the shop does not say. No identity is called so.
const SHOP: &str = "shop";
