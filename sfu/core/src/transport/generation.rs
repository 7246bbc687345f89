//! The credentials of an ICE session, from one restart to the next (RFC 8445, section 9).

use super::stun::Request;
use crate::command::IceCredentials;

/// Both sides' credentials; a restart begins another generation.
#[derive(Debug)]
pub(super) struct Generation {
    /// Counts restarts.
    pub(super) number: u32,
    pub(super) local: IceCredentials,
    /// `None` until the peer's description came.
    pub(super) remote: Option<IceCredentials>,
}

impl Generation {
    /// Returns whether a check carries these names. The peer's half counts once it is known.
    pub(super) fn names(&self, request: &Request<'_>) -> bool {
        request.local_ufrag == self.local.ufrag
            && self
                .remote
                .as_ref()
                .is_none_or(|remote| request.remote_ufrag == remote.ufrag)
    }
}
