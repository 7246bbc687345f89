//! Whether this machine is reached from outside: a TURN server there sends something here (RFC 8656), to an address that never
//! sent anything there.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rtc_shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use rtc_turn::client::{Client, ClientConfig, Event, RelayedAddr};
use sansio::Protocol;
use tokio::net::UdpSocket;
use tokio::time::{sleep_until, timeout};

/// Why it is not known whether this machine is reached, or that it is not.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// The socket does not send or receive.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The TURN server does not answer.
    #[error("no answer")]
    Silent,
    /// The TURN server refuses to let us in, or to send there.
    #[error("refused: {0}")]
    Refused(String),
    /// What it sent did not come.
    #[error("what it sent did not come")]
    Lost,
}

/// A TURN server, and how one is let in there.
#[derive(Clone, Copy, Debug)]
pub struct Outpost<'a> {
    /// Where it listens by UDP.
    pub server: SocketAddr,
    /// The user name.
    pub username: &'a str,
    /// The password.
    pub password: &'a str,
}

/// Has a TURN server send to an address, and returns from where that came at the socket, which is to be what is behind the address.
/// It takes ten seconds at most. The relayed address is one of IPv4, and so is `address` to be.
///
/// # Errors
/// The server cannot be used, or nothing came.
pub async fn reached_from(
    outpost: Outpost<'_>,
    address: SocketAddr,
    socket: &UdpSocket,
) -> Result<SocketAddr, ReachError> {
    reached_within(WITHIN, outpost, address, socket).await
}

async fn reached_within(
    within: Duration,
    outpost: Outpost<'_>,
    address: SocketAddr,
    socket: &UdpSocket,
) -> Result<SocketAddr, ReachError> {
    let mut asking = Asking::new(outpost, address).await?;
    let mut buffer = [0; MAX_DATAGRAM];
    let mut answer = [0; MAX_DATAGRAM];
    let whole = async {
        loop {
            asking.flush().await?;
            let due = asking.due();
            tokio::select! {
                came = socket.recv_from(&mut buffer) => {
                    let (length, from) = came?;
                    if buffer.get(..length) == Some(&asking.token[..]) {
                        return Ok(from);
                    }
                }
                came = asking.socket.recv_from(&mut answer) => {
                    let (length, from) = came?;
                    asking.take(answer.get(..length).unwrap_or_default(), from)?;
                }
                () = sleep_until(due.into()) => asking.handle_timeout()?,
            }
        }
    };
    let reached = timeout(within, whole).await;
    asking.end().await;
    match reached {
        Ok(reached) => reached,
        Err(_) if asking.is_permitted => Err(ReachError::Lost),
        Err(_) => Err(ReachError::Silent),
    }
}

/// A client of a TURN server that has it send something.
struct Asking {
    client: Client,
    socket: UdpSocket,
    address: SocketAddr,
    relayed: Option<RelayedAddr>,
    is_permitted: bool,
    /// What is sent: nobody else knows it.
    token: [u8; 32],
    /// When it is sent again.
    again: Instant,
}

impl Asking {
    async fn new(outpost: Outpost<'_>, address: SocketAddr) -> Result<Self, ReachError> {
        let any = if outpost.server.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = UdpSocket::bind(any).await?;
        let config = ClientConfig {
            stun_serv_addr: String::new(),
            turn_serv_addr: outpost.server.to_string(),
            local_addr: socket.local_addr()?,
            transport_protocol: TransportProtocol::UDP,
            username: outpost.username.to_owned(),
            password: outpost.password.to_owned(),
            realm: String::new(),
            software: String::new(),
            rto_in_ms: 0,
            allocation_refresh_interval_cap: None,
        };
        let provider = rtc_crypto::default_provider().map_err(refused)?;
        let mut client = Client::new(config, provider).map_err(refused)?;
        let now = Instant::now();
        client.allocate(now).map_err(refused)?;
        Ok(Self {
            client,
            socket,
            address,
            relayed: None,
            is_permitted: false,
            token: rand::random(),
            again: now + WITHIN,
        })
    }

    async fn flush(&mut self) -> io::Result<()> {
        while let Some(out) = self.client.poll_write() {
            let to = out.transport.peer_addr;
            self.socket.send_to(&out.message, to).await?;
        }
        Ok(())
    }

    /// Takes what came from the server; what comes from others is not for us.
    fn take(&mut self, datagram: &[u8], from: SocketAddr) -> Result<(), ReachError> {
        let message = TaggedBytesMut {
            now: Instant::now(),
            transport: TransportContext {
                local_addr: from,
                peer_addr: from,
                transport_protocol: TransportProtocol::UDP,
                ecn: None,
            },
            message: datagram.into(),
        };
        // What cannot be read is as if it had not come.
        let _ = self.client.handle_read(message);
        self.handle_events()
    }

    fn due(&mut self) -> Instant {
        let due = self.client.poll_timeout();
        due.map_or(self.again, |due| due.min(self.again))
    }

    fn handle_timeout(&mut self) -> Result<(), ReachError> {
        let now = Instant::now();
        self.client.handle_timeout(now).map_err(refused)?;
        if self.again <= now {
            self.send(now)?;
        }
        self.handle_events()
    }

    fn handle_events(&mut self) -> Result<(), ReachError> {
        let now = Instant::now();
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::TransactionTimeout(_) => return Err(ReachError::Silent),
                Event::AllocateError(_, error) | Event::CreatePermissionError(_, error) => {
                    return Err(refused(error));
                }
                Event::AllocateResponse(_, relayed) => {
                    self.relayed = Some(relayed);
                    let relay = self.client.relay(relayed).map_err(refused);
                    relay?
                        .create_permission(now, self.address)
                        .map_err(refused)?;
                }
                Event::CreatePermissionResponse(..) => {
                    self.is_permitted = true;
                    self.send(now)?;
                }
                Event::BindingResponse(..)
                | Event::BindingError(..)
                | Event::DataIndicationOrChannelData(..)
                | _ => {}
            }
        }
        Ok(())
    }

    fn send(&mut self, now: Instant) -> Result<(), ReachError> {
        self.again = now + AGAIN;
        let Some(relayed) = self.relayed else {
            return Ok(());
        };
        let mut relay = self.client.relay(relayed).map_err(refused)?;
        relay
            .send_to(now, &self.token, self.address)
            .map_err(refused)
    }

    /// Gives the place at the server back.
    async fn end(&mut self) {
        if let Some(relayed) = self.relayed
            && let Ok(mut relay) = self.client.relay(relayed)
            && relay.close(Instant::now()).is_ok()
        {
            let _ = self.flush().await;
        }
    }
}

fn refused(error: impl ToString) -> ReachError {
    ReachError::Refused(error.to_string())
}

const WITHIN: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(500);
const MAX_DATAGRAM: usize = 1500;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::SystemTime;

    use prometheus::Registry;

    use super::*;
    use crate::relay::{Embedded, Limits, Peers, RelayConfig};
    use crate::{Credential, Secret};

    fn relay_to(address: SocketAddr) -> (Embedded, Secret) {
        let secret = Secret::new("a secret of some length");
        let config = RelayConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            ports: 49_160..=49_959,
            secret: secret.clone(),
            peers: Peers {
                media: vec![address],
                ..Peers::default()
            },
            media_listen: Ipv4Addr::LOCALHOST.into(),
            limits: Limits {
                allocations: 1,
                allocations_per_identity: 1,
                bytes_per_second: 10_000,
            },
            max_connections: 1,
        };
        (
            Embedded::start(config, None, &Registry::new()).unwrap(),
            secret,
        )
    }

    fn credential(secret: &Secret) -> Credential {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Credential::new(secret, "check", now.unwrap().as_secs() + 60)
    }

    #[tokio::test]
    async fn what_a_turn_server_sends_comes_here_or_it_is_said_why_not() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (relay, secret) = relay_to(address);
        let Credential { username, password } = credential(&secret);
        let outpost = Outpost {
            server: relay.at(),
            username: &username,
            password: &password,
        };
        // The second time: the place of the first was given back.
        for _ in 0..2 {
            let from = reached_from(outpost, address, &socket).await.unwrap();
            assert_eq!(from.ip(), relay.at().ip());
            assert!((49_160..=49_959).contains(&from.port()), "{from}");
        }
        let moment = Duration::from_secs(1);
        let elsewhere = reached_within(moment, outpost, address, &other).await;
        assert!(matches!(elsewhere, Err(ReachError::Lost)), "{elsewhere:?}");
        let stranger = "192.0.2.1:7".parse().unwrap();
        let refused = reached_from(outpost, stranger, &socket).await;
        assert!(
            matches!(refused, Err(ReachError::Refused(_))),
            "{refused:?}"
        );
        let wrong = Outpost {
            password: "wrong",
            ..outpost
        };
        let refused = reached_from(wrong, address, &socket).await;
        assert!(
            matches!(refused, Err(ReachError::Refused(_))),
            "{refused:?}"
        );
        let nobody = Outpost {
            server: other.local_addr().unwrap(),
            ..outpost
        };
        let silent = reached_within(moment, nobody, address, &socket).await;
        assert!(matches!(silent, Err(ReachError::Silent)), "{silent:?}");
    }
}
