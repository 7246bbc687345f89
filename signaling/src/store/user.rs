//! People, as rooms and tokens name them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Stored;

/// People who signed in.
pub(crate) trait UserStore: Send + Sync {
    /// Returns the person of this name, whatever its case; a new one when there is none.
    fn sign_in<'a>(&'a self, name: &'a str) -> Stored<'a, User>;
}

/// One who signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct User {
    /// A UUID that rises with time.
    pub id: String,
    /// As it was written at the first sign-in.
    pub name: String,
}
