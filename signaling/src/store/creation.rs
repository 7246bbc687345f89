//! What is created within rooms, once for each key that a client chose.

use super::Stored;
use crate::time::Timestamp;

/// What makes asking twice create once.
#[derive(Clone, Debug)]
pub(crate) struct CreationKey {
    /// Whose key it is.
    pub identity: String,
    /// As the client chose it.
    pub name: String,
    /// SHA-256 of the request, in lower-case hexadecimal.
    pub request: String,
}

/// What a key is found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// New, or its server ended in it: whoever claimed it creates now what is called so, unless that is there.
    Free(String),
    /// Taken for something else.
    Other,
    /// Taken for the same, which is under way.
    UnderWay,
    /// What was answered to the same.
    Answered(String),
}

/// Keys of what is created within rooms. A creation that was claimed and never answered, since its server ended in it, can
/// be claimed again after a minute. It may have been made: so its name stays.
pub(crate) trait CreationStore: Send + Sync {
    /// Takes a key; where it is new, what is created will have the name `id`.
    fn claim<'a>(
        &'a self,
        creation: &'a CreationKey,
        id: &'a str,
        now: Timestamp,
    ) -> Stored<'a, Claim>;

    /// Keeps the answer to what was created.
    fn answer<'a>(&'a self, creation: &'a CreationKey, answer: &'a str) -> Stored<'a, ()>;

    /// Gives a key back under which nothing was created.
    fn release<'a>(&'a self, creation: &'a CreationKey) -> Stored<'a, ()>;
}
