//! What TURN clients send and are answered: STUN messages (RFC 8489, section 5) and `ChannelData` (RFC 8656, section 12.4).

#![warn(clippy::indexing_slicing)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rtc_crypto::RTCCryptoProvider;
use rtc_crypto::providers::AwsLcRsProvider;
use stun::attributes::{
    ATTR_CHANNEL_NUMBER, ATTR_DATA, ATTR_ERROR_CODE, ATTR_EVEN_PORT, ATTR_LIFETIME,
    ATTR_MESSAGE_INTEGRITY, ATTR_NONCE, ATTR_REALM, ATTR_REQUESTED_ADDRESS_FAMILY,
    ATTR_REQUESTED_TRANSPORT, ATTR_UNKNOWN_ATTRIBUTES, ATTR_USERNAME, ATTR_XOR_PEER_ADDRESS,
    AttrType,
};
use stun::integrity::MessageIntegrity;
use stun::message::{MAGIC_COOKIE, Message, Setter, TransactionId};
use stun::xoraddr::XorMappedAddress;

/// The cryptography under integrity; it holds no state.
static CRYPTO: AwsLcRsProvider = AwsLcRsProvider::new();

/// Bytes of a STUN message before its first attribute.
pub(crate) const HEADER_LEN: usize = 20;
/// Bytes of `ChannelData` before what it carries.
pub(crate) const CHANNEL_HEADER_LEN: usize = 4;
/// RFC 8489, section 14.3: at most 508 bytes of user name.
const MAX_USERNAME_LEN: usize = 508;
/// Unknown attributes reported back; the rest of a longer list is cut.
const MAX_UNKNOWN: usize = 4;
/// Peers that one request may name.
const MAX_PEERS: usize = 32;

/// What a client sends.
#[derive(Debug)]
pub(crate) enum FromClient<'a> {
    /// A STUN message whose form is right; whether it is authentic is another question.
    Stun(Box<Incoming<'a>>),
    /// Data for the peer that a channel is bound to.
    Channel(u16, &'a [u8]),
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Binding,
    Allocate,
    Refresh,
    CreatePermission,
    ChannelBind,
    /// The one indication that clients send.
    Send,
}

impl Kind {
    /// Reads the type of a request, or of the indication.
    fn parse(typ: u16) -> Option<Self> {
        Some(match typ {
            0x0001 => Self::Binding,
            0x0003 => Self::Allocate,
            0x0004 => Self::Refresh,
            0x0008 => Self::CreatePermission,
            0x0009 => Self::ChannelBind,
            0x0016 => Self::Send,
            _ => return None,
        })
    }

    fn typ(self) -> u16 {
        match self {
            Self::Binding => 0x0001,
            Self::Allocate => 0x0003,
            Self::Refresh => 0x0004,
            Self::CreatePermission => 0x0008,
            Self::ChannelBind => 0x0009,
            Self::Send => 0x0016,
        }
    }
}

/// A message of a client. Of each attribute the first counts (RFC 8489, section 14), and none after the integrity.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) kind: Kind,
    /// Ties the answer to the request.
    pub(crate) transaction: [u8; 12],
    /// The whole of it.
    datagram: &'a [u8],
    pub(crate) username: Option<&'a str>,
    pub(crate) has_realm: bool,
    pub(crate) nonce: Option<&'a [u8]>,
    pub(crate) has_integrity: bool,
    /// LIFETIME, in seconds.
    pub(crate) lifetime_s: Option<u32>,
    /// REQUESTED-TRANSPORT: a protocol's number.
    pub(crate) transport: Option<u8>,
    /// REQUESTED-ADDRESS-FAMILY: 1 is IPv4, 2 is IPv6.
    pub(crate) family: Option<u8>,
    /// EVEN-PORT: whether the port above is to be reserved as well.
    pub(crate) even_port: Option<bool>,
    /// CHANNEL-NUMBER.
    pub(crate) channel: Option<u16>,
    /// Every XOR-PEER-ADDRESS.
    pub(crate) peers: Vec<SocketAddr>,
    /// Whether there were more of them than are read.
    pub(crate) too_many_peers: bool,
    pub(crate) data: Option<&'a [u8]>,
    /// Attributes that have to be understood and are not.
    pub(crate) unknown: Vec<u16>,
}

/// Reads what a client sent; `None` for what is neither, or broken.
pub(crate) fn parse(datagram: &[u8]) -> Option<FromClient<'_>> {
    match datagram.first()? {
        // RFC 8656, section 12; RFC 5766 had more numbers, and its clients use them.
        0x40..=0x7f => parse_channel(datagram),
        0x00..=0x3f => parse_message(datagram).map(|it| FromClient::Stun(Box::new(it))),
        _ => None,
    }
}

fn parse_channel(datagram: &[u8]) -> Option<FromClient<'_>> {
    let (&[n0, n1, l0, l1], rest) = datagram.split_first_chunk()?;
    // Over UDP there may be padding behind it, or none.
    let data = rest.get(..usize::from(u16::from_be_bytes([l0, l1])))?;
    Some(FromClient::Channel(u16::from_be_bytes([n0, n1]), data))
}

fn parse_message(datagram: &[u8]) -> Option<Incoming<'_>> {
    let (&[t0, t1, l0, l1, c0, c1, c2, c3, transaction @ ..], body) =
        datagram.split_first_chunk::<HEADER_LEN>()?;
    if u32::from_be_bytes([c0, c1, c2, c3]) != MAGIC_COOKIE
        || usize::from(u16::from_be_bytes([l0, l1])) != body.len()
    {
        return None;
    }
    let mut message = Incoming {
        kind: Kind::parse(u16::from_be_bytes([t0, t1]))?,
        transaction,
        datagram,
        username: None,
        has_realm: false,
        nonce: None,
        has_integrity: false,
        lifetime_s: None,
        transport: None,
        family: None,
        even_port: None,
        channel: None,
        peers: Vec::new(),
        too_many_peers: false,
        data: None,
        unknown: Vec::new(),
    };
    let mut attributes = Attributes(body);
    for (typ, value) in attributes.by_ref() {
        // What follows the integrity is not covered by it (RFC 8489, section 14.5).
        if !message.has_integrity {
            message.take(AttrType(typ), value)?;
        }
    }
    attributes.0.is_empty().then_some(message)
}

impl<'a> Incoming<'a> {
    /// Returns how long it is.
    pub(crate) fn size_bytes(&self) -> usize {
        self.datagram.len()
    }

    /// Takes one attribute; `None` where its form is wrong.
    fn take(&mut self, typ: AttrType, value: &'a [u8]) -> Option<()> {
        match typ {
            ATTR_USERNAME => {
                let name = std::str::from_utf8(value).ok()?;
                let name = (name.len() <= MAX_USERNAME_LEN).then_some(name)?;
                self.username.get_or_insert(name);
            }
            ATTR_REALM => self.has_realm = true,
            ATTR_NONCE => {
                self.nonce.get_or_insert(value);
            }
            ATTR_MESSAGE_INTEGRITY => {
                (value.len() == 20).then_some(())?;
                self.has_integrity = true;
            }
            ATTR_LIFETIME => {
                let lifetime_s = u32::from_be_bytes(*value.first_chunk()?);
                self.lifetime_s.get_or_insert(lifetime_s);
            }
            ATTR_REQUESTED_TRANSPORT => {
                self.transport.get_or_insert(*value.first()?);
            }
            ATTR_REQUESTED_ADDRESS_FAMILY => {
                self.family.get_or_insert(*value.first()?);
            }
            ATTR_EVEN_PORT => {
                let reserve = value.first()? & 0x80 != 0;
                self.even_port.get_or_insert(reserve);
            }
            ATTR_CHANNEL_NUMBER => {
                let number = u16::from_be_bytes(*value.first_chunk()?);
                self.channel.get_or_insert(number);
            }
            ATTR_XOR_PEER_ADDRESS if self.peers.len() == MAX_PEERS => self.too_many_peers = true,
            ATTR_XOR_PEER_ADDRESS => self.peers.push(self.address(value)?),
            ATTR_DATA => {
                self.data.get_or_insert(value);
            }
            other => {
                if other.required() && !is_known(other) && self.unknown.len() < MAX_UNKNOWN {
                    self.unknown.push(other.value());
                }
            }
        }
        Some(())
    }

    /// Reads an address as it is written in XOR-PEER-ADDRESS (RFC 8489, section 14.2).
    fn address(&self, value: &[u8]) -> Option<SocketAddr> {
        let (&[_, family, p0, p1], rest) = value.split_first_chunk()?;
        let port = u16::from_be_bytes([p0, p1]) ^ (MAGIC_COOKIE >> 16) as u16;
        let ip = match (family, rest.len()) {
            (0x01, 4) => {
                let bits = u32::from_be_bytes(*rest.first_chunk()?);
                IpAddr::V4(Ipv4Addr::from_bits(bits ^ MAGIC_COOKIE))
            }
            (0x02, 16) => {
                let mut mask = [0; 16];
                let (cookie, transaction) = mask.split_at_mut(4);
                cookie.copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
                transaction.copy_from_slice(&self.transaction);
                let bits = u128::from_be_bytes(*rest.first_chunk()?);
                IpAddr::V6(Ipv6Addr::from_bits(bits ^ u128::from_be_bytes(mask)))
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }

    /// Returns whether the message was written by somebody who has the key.
    pub(crate) fn is_authentic(&self, key: &[u8]) -> bool {
        let mut message = Message::default();
        message.unmarshal_binary(self.datagram).is_ok()
            && MessageIntegrity::check(&mut message, key, CRYPTO.crypto()).is_ok()
    }

    /// Begins the answer that grants the request.
    pub(crate) fn success(&self) -> Outgoing {
        granted(self.kind, self.transaction)
    }

    /// Begins the answer that refuses it.
    pub(crate) fn error(&self, code: u16) -> Outgoing {
        refused(self.kind, self.transaction, code)
    }
}

/// Begins a request or an indication as clients send it.
#[cfg(test)]
pub(crate) fn request(kind: Kind, transaction: [u8; 12]) -> Outgoing {
    Outgoing::new(kind.typ(), transaction)
}

/// Begins the answer that grants a request.
pub(crate) fn granted(kind: Kind, transaction: [u8; 12]) -> Outgoing {
    Outgoing::new(kind.typ() | SUCCESS, transaction)
}

/// Begins the answer that refuses one. There are no words with the code: the answer to who has not shown who they are
/// must be short.
pub(crate) fn refused(kind: Kind, transaction: [u8; 12], code: u16) -> Outgoing {
    let [class, number] = [code / 100, code % 100].map(|it| u8::try_from(it).unwrap_or(0));
    let answer = Outgoing::new(kind.typ() | ERROR, transaction);
    answer.attribute(ATTR_ERROR_CODE, &[0, 0, class, number])
}

const SUCCESS: u16 = 0x0100;
const ERROR: u16 = 0x0110;
const DATA_INDICATION: u16 = 0x0017;

/// Attributes that have to be understood: those of RFC 8489 that we use or that mean nothing in a request.
fn is_known(typ: AttrType) -> bool {
    matches!(typ.value(), 0x0001 | 0x0009 | 0x000a | 0x0016 | 0x0020)
}

/// Returns the key of the long-term mechanism (RFC 8489, section 9.2.2); `None` where there is no MD5.
pub(crate) fn key(username: &str, realm: &str, password: String) -> Option<Vec<u8>> {
    let (username, realm) = (username.to_owned(), realm.to_owned());
    MessageIntegrity::long_term_integrity_key(username, realm, password, CRYPTO.crypto()).ok()
}

/// A message that is being written.
#[derive(Debug)]
pub(crate) struct Outgoing(Message);

impl Outgoing {
    fn new(typ: u16, transaction: [u8; 12]) -> Self {
        let mut message = Message::new();
        message.typ.read_value(typ);
        message.transaction_id = TransactionId(transaction);
        message.write_header();
        Self(message)
    }

    pub(crate) fn attribute(mut self, typ: AttrType, value: &[u8]) -> Self {
        self.0.add(typ, value);
        self
    }

    pub(crate) fn address(mut self, typ: AttrType, address: SocketAddr) -> Self {
        let (ip, port) = (address.ip(), address.port());
        // It fails for no address: there are two lengths of them.
        let _ = XorMappedAddress { ip, port }.add_to_as(&mut self.0, typ);
        self
    }

    pub(crate) fn unknown(self, unknown: &[u16]) -> Self {
        let list: Vec<u8> = unknown.iter().flat_map(|typ| typ.to_be_bytes()).collect();
        self.attribute(ATTR_UNKNOWN_ATTRIBUTES, &list)
    }

    /// Ends it with an integrity.
    pub(crate) fn sealed(mut self, key: &[u8]) -> Vec<u8> {
        let integrity = MessageIntegrity::new_raw_integrity_with_provider(key, CRYPTO.crypto());
        // It fails where there is a FINGERPRINT, and none was added.
        let _ = integrity.add_to(&mut self.0);
        self.0.raw
    }

    /// Ends it for somebody who has shown no key.
    pub(crate) fn open(self) -> Vec<u8> {
        self.0.raw
    }
}

/// Returns the indication that carries what a peer sent.
pub(crate) fn data_indication(transaction: [u8; 12], peer: SocketAddr, data: &[u8]) -> Vec<u8> {
    Outgoing::new(DATA_INDICATION, transaction)
        .address(ATTR_XOR_PEER_ADDRESS, peer)
        .attribute(ATTR_DATA, data)
        .open()
}

/// Returns what carries it where a channel is bound to the peer; `padded` to four bytes, as streams have it.
pub(crate) fn channel_data(number: u16, data: &[u8], padded: bool) -> Option<Vec<u8>> {
    let length = u16::try_from(data.len()).ok()?;
    let mut bytes = Vec::with_capacity(CHANNEL_HEADER_LEN + data.len() + 3);
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(data);
    if padded {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    Some(bytes)
}

/// Walks over type and value; stops where an attribute does not fit, leaving the rest in place.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[t0, t1, l0, l1], rest) = self.0.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let value = rest.get(..len)?;
        self.0 = rest.get(len.next_multiple_of(4)..)?;
        Some((u16::from_be_bytes([t0, t1]), value))
    }
}
