//! What a room sells, over REST.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::moderation::ItemInPath;
use super::nobody;
use crate::app::App;
use crate::auth::{Action, Identity};
use crate::error::{ApiError, Code};
use crate::http::creation::{IdempotencyKey, creation_key, once};
use crate::http::{Bearer, Body, RoomInPath};
use crate::shop::{Change, MAX_PRODUCTS, NewProduct, Product, ProductPatch, Shelf, Unfit};
use crate::store::RoomRecord;

/// Says what a room sells, in its order, and which product is featured.
#[utoipa::path(get, path = "/rooms/{id}/products", tag = "products", params(RoomInPath),
    responses((status = 200, body = Shelf)), security((), ("bearer" = [])))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<Json<Shelf>, ApiError> {
    let identity = identity.unwrap_or_else(nobody);
    let (record, _, _) = app.enter(&identity, &room).await?;
    let shelf = app.stores.shop.shelf(&record.id).await;
    Ok(Json(shelf.map_err(ApiError::store)?))
}

/// Adds a product behind the others. What is left out of it comes from the shop's catalogue, where the server has one.
#[utoipa::path(post, path = "/rooms/{id}/products", tag = "products", params(RoomInPath, IdempotencyKey),
    request_body = NewProduct,
    responses((status = 201, body = Product)), security(("bearer" = [])))]
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    headers: HeaderMap,
    Body(new): Body<NewProduct>,
) -> Result<Response, ApiError> {
    let (record, identity) = enter(&app, bearer, &room).await?;
    let creation = creation_key(&headers, &identity, &format!("product {room} {new:?}"))?;
    let shop = Arc::clone(&app);
    let add = move |id: String| async move {
        // A repeated key is answered as before, whether the shop answers now or not.
        let product = Product {
            id: id.clone(),
            ..shop.catalogue.complete(new).await?.check()?
        };
        let change = Change::Add(Box::new(product));
        let shelf = shop.rooms.sell(&record.id, change).await?;
        of(&shelf, &id)
    };
    once(&app, creation, add).await
}

/// Changes something about a product.
#[utoipa::path(patch, path = "/rooms/{id}/products/{itemId}", tag = "products", params(ItemInPath),
    request_body = ProductPatch, responses((status = 200, body = Product)), security(("bearer" = [])))]
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    ItemInPath(room, product): ItemInPath,
    Body(patch): Body<ProductPatch>,
) -> Result<Json<Product>, ApiError> {
    let id = product.clone();
    let patch = Box::new(patch.check()?);
    let shelf = sell(&app, bearer, &room, Change::Edit { product, patch }).await?;
    of(&shelf, &id).map(Json)
}

/// Removes a product.
#[utoipa::path(delete, path = "/rooms/{id}/products/{itemId}", tag = "products", params(ItemInPath),
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    ItemInPath(room, product): ItemInPath,
) -> Result<StatusCode, ApiError> {
    sell(&app, bearer, &room, Change::Remove { product }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows a product large, and no other any more.
#[utoipa::path(put, path = "/rooms/{id}/products/{itemId}/feature", tag = "products", params(ItemInPath),
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn feature(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    ItemInPath(room, product): ItemInPath,
) -> Result<StatusCode, ApiError> {
    sell(&app, bearer, &room, Change::Feature { product }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows a product large no more.
#[utoipa::path(delete, path = "/rooms/{id}/products/{itemId}/feature", tag = "products", params(ItemInPath),
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn withdraw(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    ItemInPath(room, product): ItemInPath,
) -> Result<StatusCode, ApiError> {
    let product = Some(product);
    sell(&app, bearer, &room, Change::Withdraw { product }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An order of products.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arrangement {
    /// The id of every product, once.
    #[schema(max_items = 100)]
    ids: Vec<String>,
}

/// Puts the products into another order.
#[utoipa::path(put, path = "/rooms/{id}/products/order", tag = "products", params(RoomInPath),
    request_body = Arrangement, responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn arrange(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Body(Arrangement { ids }): Body<Arrangement>,
) -> Result<StatusCode, ApiError> {
    if ids.len() > MAX_PRODUCTS {
        let text = "There are 100 products at most.";
        return Err(ApiError::new(Code::BadMessage, text));
    }
    sell(&app, bearer, &room, Change::Order { ids }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn sell(
    app: &App,
    bearer: Bearer,
    room: &str,
    change: Change,
) -> Result<Arc<Shelf>, ApiError> {
    let (record, _) = enter(app, bearer, room).await?;
    app.rooms.sell(&record.id, change).await
}

/// Returns the room in which somebody may sell, and who that is.
async fn enter(app: &App, bearer: Bearer, room: &str) -> Result<(RoomRecord, Identity), ApiError> {
    let identity = bearer.required()?;
    let (record, role, _) = app.enter(&identity, room).await?;
    role.check(Action::Sell, &record)?;
    Ok((record, identity))
}

fn of(shelf: &Shelf, id: &str) -> Result<Product, ApiError> {
    let product = shelf.product(id).cloned();
    Ok(product.ok_or(Unfit::Missing)?)
}
