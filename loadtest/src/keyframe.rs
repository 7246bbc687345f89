//! Hears keyframe requests (RFC 4585, section 6.3.1; RFC 5104, section 4.3.1): the library keeps inbound RTCP
//! to itself, but lets an interceptor look at it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use rtc::interceptor::{Interceptor, Packet, Slot, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use webrtc::peer_connection::Registry;

/// How many requests came so far, of either kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyframeRequests(Arc<AtomicU32>);

impl KeyframeRequests {
    /// Returns the number.
    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Makes a connection's RTCP count here.
    pub(crate) fn listen_to(&self, registry: Registry) -> Registry {
        let ear = Ear {
            requests: self.clone(),
            inbound: VecDeque::new(),
            outbound: VecDeque::new(),
        };
        // Behind all of the library's own.
        registry.with(Slot::from(14_000), ear)
    }
}

/// Passes everything on unchanged.
struct Ear {
    requests: KeyframeRequests,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Ear {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(parts) = &packet.message.packet {
            let asked = parts
                .iter()
                .map(|part| part.as_any())
                .filter(|part| part.is::<PictureLossIndication>() || part.is::<FullIntraRequest>());
            let asked = u32::try_from(asked.count()).unwrap_or(u32::MAX);
            self.requests.0.fetch_add(asked, Ordering::Relaxed);
        }
        self.inbound.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.outbound.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front()
    }
}

impl Interceptor for Ear {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
