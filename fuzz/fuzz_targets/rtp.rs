//! RTP headers, their extensions, and the look into payloads: the start of a keyframe, its size, its numbers.

#![no_main]

use klieg_sfu_core::codec::{picture, resolution, starts_keyframe};
use klieg_sfu_core::rtp::ext::Extensions;
use klieg_sfu_core::rtp::packet::Header;
use klieg_sfu_core::{Codec, ExtensionIds};
use libfuzzer_sys::fuzz_target;

const IDS: ExtensionIds =
    ExtensionIds { mid: Some(1), rid: Some(2), repaired_rid: Some(3), transport_cc: Some(4), descriptor: Some(5), playout_delay: None, capture_time: Some(6) };

fuzz_target!(|packet: &[u8]| {
    let Ok(header) = Header::parse(packet) else { return };
    Extensions::read(packet, &header, &IDS);
    let payload = &packet[header.payload.clone()];
    for codec in [Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1] {
        starts_keyframe(codec, payload);
        resolution(codec, payload);
        picture(codec, payload);
    }
});
