//! What everybody in a test shares from its beginning.

use std::sync::Arc;

use crate::api::Api;
use crate::http::Http;
use crate::light::Identity;
use crate::options::Options;
use crate::stop::Stop;

/// The options and what was made of them.
pub(crate) struct Base {
    pub(crate) options: Options,
    pub(crate) http: Arc<Http>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) stop: Arc<Stop>,
}

impl Base {
    /// Returns the door to a Klieg.
    pub(crate) fn api(&self) -> Api {
        Api::new(&self.http, &self.options.base())
    }
}
