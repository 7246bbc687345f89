//! Whose request it is, as far as that is known without a token: the network, the country and the class of device.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;

use super::remote::{client, network, network_beyond};
use crate::analytics::{Device, Origin};
use crate::app::App;
use crate::error::ApiError;

/// Whose request it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor {
    /// As [`RemoteNetwork`](super::remote::RemoteNetwork) has it.
    pub(crate) network: IpAddr,
    /// As [`ClientNetwork`](super::remote::ClientNetwork) has it.
    pub(crate) client: Option<IpAddr>,
    /// Where they are, and on what they play.
    pub(crate) origin: Origin,
}

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let connected = ConnectInfo::<SocketAddr>::from_request_parts(parts, app).await;
        let ConnectInfo(remote) = connected.map_err(ApiError::internal)?;
        let (live, headers) = (app.live(), &parts.headers);
        let peer = remote.ip().to_canonical();
        let address = client(peer, headers, &live.trusted_proxies);
        // What comes from elsewhere could say anything.
        let by_proxy = live.trusted_proxies.iter().any(|it| it.contains(peer));
        let said = app.regions.header().filter(|_| by_proxy);
        let said = said.and_then(|name| headers.get(name)?.to_str().ok());
        let agent = headers.get(header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        Ok(Self {
            network: network(address),
            client: network_beyond(address, &live.trusted_proxies),
            origin: Origin {
                device: Device::of(agent.unwrap_or_default()),
                region: app.regions.find(address, said),
            },
        })
    }
}
