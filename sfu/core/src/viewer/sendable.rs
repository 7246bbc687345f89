//! A packet as one viewer gets it, before it is put together and sealed.

use std::num::{NonZeroU8, NonZeroU32};

use crate::codec::Shift;
use crate::command::{PayloadFormat, PlayoutDelay, SendTrack};
use crate::rtp::packet::{OutgoingHeader, TransportSequence};

/// A packet ready to be put together and sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sendable {
    /// Its header.
    pub(crate) header: OutgoingHeader,
    /// Roll-over counter of its sequence number.
    pub(crate) roll_over: u32,
    /// Its transport-wide number; `None` where it was not negotiated.
    pub(crate) transport_sequence: Option<TransportSequence>,
    /// The identifier of its dependency descriptor, and the decode targets that this is to name as active where it
    /// does not stay as it is; `None` without one.
    pub(crate) descriptor: Option<(u8, Option<u32>)>,
    /// How long its picture is to wait at the viewer; `None` mostly.
    pub(crate) delay: Option<DelayElement>,
    /// The identifier under which it says when it was captured; `None` mostly.
    pub(crate) captured: Option<NonZeroU8>,
    /// The number to stand before the payload of a retransmission (RFC 4588, section 4).
    pub(crate) original: Option<u16>,
    /// The payload type of the blocks of redundant sound, for it goes as that; `None` mostly.
    pub(crate) block_type: Option<u8>,
    /// What is added to the numbers of its picture.
    pub(crate) shift: Shift,
    /// Bytes of padding behind the payload.
    pub(crate) padding: u8,
    /// Whether it goes without its payload: it came too late to be left out.
    pub(crate) is_blank: bool,
    /// Whether it is the first of what the viewer gets on this m-line.
    pub(crate) first: bool,
    /// Whether the viewer goes over to another source with it.
    pub(crate) begins: bool,
}

/// A play-out delay as a header extension: identifier and value, in four bytes, since every packet has room for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DelayElement(NonZeroU32);

impl DelayElement {
    /// Length of its value, in bytes.
    pub(crate) const LEN: usize = 3;

    pub(super) fn new(id: u8, delay: PlayoutDelay) -> Option<Self> {
        let [first, second, third] = delay.to_bytes();
        NonZeroU32::new(u32::from_be_bytes([id, first, second, third])).map(Self)
    }

    /// Returns identifier and value.
    pub(crate) fn parts(self) -> (u8, [u8; Self::LEN]) {
        let [id, first, second, third] = self.0.get().to_be_bytes();
        (id, [first, second, third])
    }
}

/// Returns the identifier of the transport-wide number on an m-line, where it is to be written.
///
/// Where packets are repaired without a stream of their own they go again as they were, number and all: another number
/// in them would be other bytes under one nonce. So there it is left out.
pub(super) fn number_id(track: &SendTrack) -> Option<u8> {
    let numbers = |format: &PayloadFormat| format.feedback.transport_cc;
    let fits = track.formats.iter().all(numbers) && repairs_apart(track);
    track.extensions.transport_cc.filter(|_| fits)
}

/// Returns the identifier of the play-out delay on an m-line, where it is to be written: it comes and goes, too.
pub(super) fn delay_id(track: &SendTrack) -> Option<u8> {
    track
        .extensions
        .playout_delay
        .filter(|_| repairs_apart(track))
}

/// Returns whether no packet goes again as it was.
fn repairs_apart(track: &SendTrack) -> bool {
    track.formats.iter().all(|format| {
        let has_stream = track.ssrc.rtx.is_some() && format.rtx_payload_type.is_some();
        has_stream || !format.feedback.nack
    })
}
