//! What rooms tell by and by: reactions, who comes and goes, what is sold and asked, what became of what moderators look at.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::room::Person;
use crate::shop::Shelf;
use crate::store::Poll;

/// `reaction.batch`.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReactionBatch<'a> {
    /// How often each was sent since the last time.
    pub(crate) counts: &'a BTreeMap<&'static str, u64>,
}

/// `participant.joined` and `participant.left`.
#[derive(Serialize, ToSchema)]
pub(crate) struct Attendance {
    #[serde(flatten)]
    pub(crate) person: Person,
    /// How many people are here now.
    pub(crate) present: usize,
}

/// `products`: what the room sells.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShelfView<'a> {
    #[serde(flatten)]
    pub(crate) shelf: &'a Shelf,
    /// When the host changed it last, in milliseconds since 1970; missing: not since the room was opened here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) captured_at: Option<i64>,
}

/// `order`: somebody bought something.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderView<'a> {
    /// What the chat says of it.
    pub(crate) message_id: &'a str,
    pub(crate) display_name: &'a str,
    /// Missing for what the room does not list.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) product_id: Option<&'a str>,
    pub(crate) product_name: &'a str,
    /// Milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) captured_at: Option<i64>,
}

/// `poll`: how the last poll stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PollView<'a> {
    #[serde(flatten)]
    pub(crate) poll: &'a Poll,
    /// When the host opened or closed it, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) captured_at: Option<i64>,
}

/// `question.removed`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QuestionRemoved<'a> {
    pub(crate) question_id: &'a str,
}

/// `mod.reviewed`: a held message is said now, or never.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeldReviewed<'a> {
    pub(crate) held_id: &'a str,
    pub(crate) approved: bool,
}

/// `mod.resolved`: a moderator has done with a report.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportResolved<'a> {
    pub(crate) report_id: &'a str,
}
