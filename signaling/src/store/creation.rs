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
    /// New: whoever claimed it creates now.
    Free,
    /// Taken for something else.
    Other,
    /// Taken for the same, which is under way.
    UnderWay,
    /// What was answered to the same.
    Answered(String),
}

/// Keys of what is created within rooms. A creation that was claimed and never answered, since its server ended in it, is
/// free again after a minute: it may have been made.
pub(crate) trait CreationStore: Send + Sync {
    /// Takes a key.
    fn claim<'a>(&'a self, creation: &'a CreationKey, now: Timestamp) -> Stored<'a, Claim>;

    /// Keeps the answer to what was created.
    fn answer<'a>(&'a self, creation: &'a CreationKey, answer: &'a str) -> Stored<'a, ()>;

    /// Gives a key back under which nothing was created.
    fn release<'a>(&'a self, creation: &'a CreationKey) -> Stored<'a, ()>;
}
