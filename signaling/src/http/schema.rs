//! How what is defined elsewhere looks in the description of the API.

use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::auth::{Grants, Role};

impl PartialSchema for Role {
    fn schema() -> RefOr<Schema> {
        let names = [
            Self::Admin,
            Self::Owner,
            Self::Cohost,
            Self::Moderator,
            Self::Viewer,
            Self::Guest,
        ];
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .enum_values(Some(names.map(Self::as_str)))
            .description(Some("What somebody is in a room."))
            .into()
    }
}

impl ToSchema for Role {}

impl PartialSchema for Grants {
    fn schema() -> RefOr<Schema> {
        let mut grants = ObjectBuilder::new().description(Some("What somebody may do in a room."));
        for (name, description) in [
            ("publish", "Send media."),
            ("chat", "Write to the chat."),
            ("react", "Send reactions."),
            ("moderate", "Keep order."),
        ] {
            let grant = ObjectBuilder::new()
                .schema_type(SchemaType::Type(Type::Boolean))
                .description(Some(description));
            grants = grants.property(name, grant).required(name);
        }
        grants.into()
    }
}

impl ToSchema for Grants {}
