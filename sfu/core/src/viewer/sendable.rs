//! A packet as one viewer gets it, before it is put together and sealed.

use crate::codec::Shift;
use crate::command::{PayloadFormat, SendTrack};
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
    /// The number to stand before the payload of a retransmission (RFC 4588, section 4).
    pub(crate) original: Option<u16>,
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

/// Returns the identifier of the transport-wide number on an m-line, where it is to be written.
///
/// Where packets are repaired without a stream of their own they go again as they were, number and all: another number
/// in them would be other bytes under one nonce. So there it is left out.
pub(super) fn number_id(track: &SendTrack) -> Option<u8> {
    let mut formats = track.formats.iter();
    let is_fit = |format: &PayloadFormat| {
        let repairs_alone = track.ssrc.rtx.is_some() && format.rtx_payload_type.is_some();
        format.feedback.transport_cc && (repairs_alone || !format.feedback.nack)
    };
    track
        .extensions
        .transport_cc
        .filter(|_| formats.all(is_fit))
}
