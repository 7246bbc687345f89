//! What becomes of a client's requests (RFC 8656, sections 7 to 12).

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use stun::attributes::{ATTR_LIFETIME, ATTR_NONCE, ATTR_REALM};
use tracing::debug;

use super::allocation::{Allocation, Unbound};
use super::auth::{Denied, Login};
use super::network::network;
use super::wire::{Incoming, Kind, Outgoing};
use super::{AllocationId, Client, Clock, Output, REALM, Relay, Settings, Wanted};

/// Why a request of somebody who is known is refused; the label of its metric, and the code.
type Refusal = (&'static str, u16);

impl Relay {
    /// Answers a request, or refuses it.
    pub(super) fn handle_request(&mut self, clock: Clock, client: Client, request: &Incoming<'_>) {
        let login = match self.authority.authenticate(clock, client, request) {
            Ok(login) => login,
            Err(denied) => return self.deny(clock.now, client, request, denied),
        };
        let key = login.key.clone();
        let done = if request.unknown.is_empty() {
            match request.kind {
                Kind::Allocate => self.allocate(clock.now, client, login, request),
                Kind::Refresh => self.refresh(clock.now, client, &login, request),
                Kind::CreatePermission => self.permit(clock.now, client, &login, request),
                Kind::ChannelBind => self.bind(clock.now, client, &login, request),
                Kind::Binding | Kind::Send => return,
            }
        } else {
            Err(("unknown_attribute", 420))
        };
        let answer = match done {
            Ok(Some(answer)) => answer,
            // It is answered once there is a socket.
            Ok(None) => return,
            Err((reason, code)) => {
                self.metrics.refused(reason);
                debug!(remote = %client.remote, reason, code, peers = ?request.peers, "request refused");
                match code {
                    420 => request.error(code).unknown(&request.unknown),
                    _ => request.error(code),
                }
            }
        };
        let output = Output::ToClient(client, answer.sealed(&key));
        self.outputs.push_back(output);
    }

    fn allocate(
        &mut self,
        now: Instant,
        client: Client,
        login: Login,
        request: &Incoming<'_>,
    ) -> Result<Option<Outgoing>, Refusal> {
        if let Some((id, allocation)) = self.find(now, client) {
            // It comes again because the answer was lost (RFC 8656, section 7.2).
            let same = allocation.login.username == login.username;
            if same && allocation.made_by == request.transaction {
                self.tell_allocation(now, id);
                return Ok(None);
            }
            return Err(("mismatch", 437));
        }
        // It may have had one that has run out.
        self.handle_closed(client);
        match request.transport {
            Some(UDP) => {}
            Some(_) => return Err(("transport", 442)),
            None => return Err(("bad_request", 400)),
        }
        let v6 = self.family(request.family)?;
        let even = match request.even_port {
            // No port is kept for an allocation that may come.
            Some(true) => return Err(("no_port", 508)),
            Some(false) => true,
            None => false,
        };
        let identity = login.identity.clone();
        let of_identity = self.of_identity.get(&identity).copied().unwrap_or(0);
        let network = network(client.remote.ip());
        let of_network = self.of_network.get(&network).copied().unwrap_or(0);
        let limits = self.settings.limits;
        if of_identity >= limits.allocations_per_identity {
            return Err(("quota", 486));
        }
        if of_network >= limits.of_network() {
            return Err(("network_quota", 486));
        }
        if self.allocations.len() >= limits.allocations {
            return Err(("full", 508));
        }
        let id = AllocationId(self.next);
        self.next += 1;
        let rate = limits.bytes_per_second;
        let allocation = Allocation::new(client, login, request.transaction, now, rate);
        self.allocations.insert(id, allocation);
        self.by_client.insert(client, id);
        self.of_identity.insert(identity, of_identity + 1);
        self.of_network.insert(network, of_network + 1);
        self.metrics.allocations.inc();
        let wanted = Wanted { v6, even };
        self.outputs.push_back(Output::Open(id, wanted));
        Ok(None)
    }

    /// Returns whether a relayed address of IPv6 is meant. Browsers do not say; RFC 8656 then means IPv4, which a server
    /// with IPv6 alone could not give.
    fn family(&self, family: Option<u8>) -> Result<bool, Refusal> {
        let Settings { v4, v6, .. } = self.settings;
        match family {
            None if v4 || v6 => Ok(!v4),
            Some(1) if v4 => Ok(false),
            Some(2) if v6 => Ok(true),
            _ => Err(("family", 440)),
        }
    }

    fn refresh(
        &mut self,
        now: Instant,
        client: Client,
        login: &Login,
        request: &Incoming<'_>,
    ) -> Result<Option<Outgoing>, Refusal> {
        let id = self.own(now, client, login)?;
        let left_s = if request.lifetime_s == Some(0) {
            self.remove(id);
            0
        } else {
            let allocation = self.allocations.get_mut(&id).ok_or(NO_ALLOCATION)?;
            allocation.refresh(now);
            allocation.left_s(now)
        };
        let answer = request.success();
        Ok(Some(answer.attribute(ATTR_LIFETIME, &left_s.to_be_bytes())))
    }

    fn permit(
        &mut self,
        now: Instant,
        client: Client,
        login: &Login,
        request: &Incoming<'_>,
    ) -> Result<Option<Outgoing>, Refusal> {
        let id = self.own(now, client, login)?;
        if request.peers.is_empty() || request.too_many_peers {
            return Err(("bad_request", 400));
        }
        let addresses: Vec<IpAddr> = request.peers.iter().map(SocketAddr::ip).collect();
        if !addresses.iter().all(|it| self.permits_address(*it)) {
            return Err(FORBIDDEN);
        }
        let allocation = self.allocations.get_mut(&id).ok_or(NO_ALLOCATION)?;
        check_family(allocation, &addresses)?;
        allocation.permit(now, &addresses).map_err(unbound)?;
        Ok(Some(request.success()))
    }

    fn bind(
        &mut self,
        now: Instant,
        client: Client,
        login: &Login,
        request: &Incoming<'_>,
    ) -> Result<Option<Outgoing>, Refusal> {
        let id = self.own(now, client, login)?;
        let (Some(number @ 0x4000..=0x7fff), &[peer]) = (request.channel, request.peers.as_slice())
        else {
            return Err(("bad_request", 400));
        };
        if !self.settings.peers.permits(peer) || !self.permits_address(peer.ip()) {
            return Err(FORBIDDEN);
        }
        let allocation = self.allocations.get_mut(&id).ok_or(NO_ALLOCATION)?;
        check_family(allocation, &[peer.ip()])?;
        allocation.bind(now, number, peer).map_err(unbound)?;
        Ok(Some(request.success()))
    }

    /// Returns whether a permission for the address can be had. What else this machine does is no business of who comes
    /// through the relay, whichever of its addresses they find it at; its interfaces may change any time.
    fn permits_address(&self, address: IpAddr) -> bool {
        let Settings { peers, is_ours, .. } = &self.settings;
        peers.permits_address(address) && (peers.names(address) || !is_ours(address))
    }

    /// Returns a client's allocation that is to be changed, as whoever made it may alone.
    fn own(&self, now: Instant, client: Client, login: &Login) -> Result<AllocationId, Refusal> {
        let (id, allocation) = self.find(now, client).ok_or(NO_ALLOCATION)?;
        if allocation.login.username != login.username {
            return Err(("credentials", 441));
        }
        Ok(id)
    }

    fn deny(&mut self, now: Instant, client: Client, request: &Incoming<'_>, denied: Denied) {
        self.metrics.denied(denied.label());
        let (code, with_nonce) = denied.code();
        let mut answer = request.error(code);
        if with_nonce {
            let nonce = self.authority.nonce(now, client);
            answer = answer
                .attribute(ATTR_REALM, REALM.as_bytes())
                .attribute(ATTR_NONCE, nonce.as_bytes());
        }
        self.answer_stranger(now, client, request, answer);
    }
}

fn unbound(why: Unbound) -> Refusal {
    match why {
        Unbound::Taken => ("bad_request", 400),
        Unbound::Full => ("permissions", 508),
    }
}

fn check_family(allocation: &Allocation, addresses: &[IpAddr]) -> Result<(), Refusal> {
    let v6 = allocation.relayed.is_some_and(|it| it.is_ipv6());
    if addresses.iter().any(|it| it.is_ipv6() != v6) {
        return Err(("family", 443));
    }
    Ok(())
}

/// RFC 8656, section 18.8: the number of the protocol UDP.
const UDP: u8 = 17;

const NO_ALLOCATION: Refusal = ("mismatch", 437);
const FORBIDDEN: Refusal = ("peer", 403);
