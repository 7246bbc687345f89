//! Under which address others see this machine: what a STUN server answers (RFC 8489, section 3).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Why nothing is known of how others see this machine.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The socket does not send or receive.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Nothing came back.
    #[error("no answer")]
    Silent,
}

/// Asks a STUN server from where it sees what comes from a socket. It is asked four times, for up to two seconds in all.
///
/// # Errors
/// There is no way there, or no answer.
pub async fn seen_address(
    socket: &UdpSocket,
    server: SocketAddr,
) -> Result<SocketAddr, DiscoverError> {
    let transaction: [u8; TRANSACTION_LEN] = rand::random();
    let mut request = [0; HEADER_LEN];
    let parts = BINDING.into_iter().chain(MAGIC_COOKIE).chain(transaction);
    for (place, byte) in request.iter_mut().zip(parts) {
        *place = byte;
    }
    for _ in 0..ATTEMPTS {
        socket.send_to(&request, server).await?;
        let answered = timeout(PATIENCE, answer(socket, (server, transaction))).await;
        if let Ok(seen) = answered {
            return Ok(seen?);
        }
    }
    Err(DiscoverError::Silent)
}

/// Waits for the answer to a request; whatever else comes is none.
async fn answer(
    socket: &UdpSocket,
    (server, transaction): (SocketAddr, [u8; TRANSACTION_LEN]),
) -> io::Result<SocketAddr> {
    let mut buffer = [0; MAX_ANSWER];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        let seen = parse(buffer.get(..length).unwrap_or_default(), transaction);
        if let Some(seen) = seen.filter(|_| from == server) {
            return Ok(seen);
        }
    }
}

/// Reads the address of a success response (RFC 8489, section 14.2).
fn parse(datagram: &[u8], transaction: [u8; TRANSACTION_LEN]) -> Option<SocketAddr> {
    let (header, mut rest) = datagram.split_first_chunk::<HEADER_LEN>()?;
    let (kind, tail) = header.split_first_chunk()?;
    let (_, tail) = tail.split_first_chunk::<2>()?;
    let is_ours =
        *kind == SUCCESS && tail.starts_with(&MAGIC_COOKIE) && tail.ends_with(&transaction);
    is_ours.then_some(())?;
    loop {
        let (&[t0, t1, l0, l1], after) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let value = after.get(..length)?;
        if [t0, t1] == XOR_MAPPED_ADDRESS {
            return address(value, transaction);
        }
        rest = after.get(length.next_multiple_of(4)..)?;
    }
}

fn address(value: &[u8], transaction: [u8; TRANSACTION_LEN]) -> Option<SocketAddr> {
    let (&[_, family, p0, p1], address) = value.split_first_chunk()?;
    let [c0, c1, ..] = MAGIC_COOKIE;
    let port = u16::from_be_bytes([p0 ^ c0, p1 ^ c1]);
    let cookie = u32::from_be_bytes(MAGIC_COOKIE);
    let ip: IpAddr = match family {
        1 => Ipv4Addr::from(u32::from_be_bytes(*address.first_chunk()?) ^ cookie).into(),
        2 => {
            let mut mask = [0; 16];
            let parts = MAGIC_COOKIE.into_iter().chain(transaction);
            for (place, byte) in mask.iter_mut().zip(parts) {
                *place = byte;
            }
            let address = u128::from_be_bytes(*address.first_chunk()?);
            Ipv6Addr::from(address ^ u128::from_be_bytes(mask)).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

const HEADER_LEN: usize = 20;
const TRANSACTION_LEN: usize = 12;
/// A request of this type, without attributes.
const BINDING: [u8; 4] = [0, 1, 0, 0];
const SUCCESS: [u8; 2] = [1, 1];
const XOR_MAPPED_ADDRESS: [u8; 2] = [0, 0x20];
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const MAX_ANSWER: usize = 1500;
const ATTEMPTS: usize = 4;
const PATIENCE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;
    use crate::Secret;
    use crate::relay::{Embedded, Limits, Peers, RelayConfig};

    #[test]
    fn an_address_is_read_of_either_family_and_nothing_else_is() {
        // RFC 5769, sections 2.2 and 2.3, without what follows the address.
        let transaction = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";
        let answer = |address: &[u8]| {
            let length = [0, u8::try_from(address.len() + 4 + 16).unwrap()];
            let software = b"\x80\x22\x00\x0btest vector ";
            let head = [&SUCCESS[..], &length, &MAGIC_COOKIE, &transaction, software].concat();
            [
                &head[..],
                &XOR_MAPPED_ADDRESS,
                &[0, u8::try_from(address.len()).unwrap()],
                address,
            ]
            .concat()
        };
        let v4 = answer(b"\x00\x01\xa1\x47\xe1\x12\xa6\x43");
        let v6 = answer(
            b"\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9",
        );
        assert_eq!(
            parse(&v4, transaction),
            Some("192.0.2.1:32853".parse().unwrap())
        );
        let expected = "[2001:db8:1234:5678:11:2233:4455:6677]:32853"
            .parse()
            .unwrap();
        assert_eq!(parse(&v6, transaction), Some(expected));
        assert_eq!(parse(&v4, [0; 12]), None, "another request's");
        for length in 0..v6.len() {
            assert_eq!(parse(&v6[..length], transaction), None, "{length}");
        }
    }

    #[tokio::test]
    async fn a_relay_says_from_where_it_sees_who_asks_and_who_asks_nobody_hears_nothing() {
        let config = RelayConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            ports: 49_160..=49_959,
            secret: Secret::new("a secret of some length"),
            peers: Peers::default(),
            media_listen: Ipv4Addr::LOCALHOST.into(),
            limits: Limits {
                allocations: 1,
                allocations_per_identity: 1,
                bytes_per_second: 10_000,
            },
            max_connections: 1,
        };
        let relay = Embedded::start(config, None, &Registry::new()).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let seen = seen_address(&socket, relay.at()).await.unwrap();
        assert_eq!(seen, socket.local_addr().unwrap());
        let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let heard = seen_address(&socket, nobody.local_addr().unwrap()).await;
        assert!(matches!(heard, Err(DiscoverError::Silent)));
    }
}
