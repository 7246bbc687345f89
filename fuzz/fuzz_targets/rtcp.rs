//! Compound RTCP packets and the lists within them.

#![no_main]

use klieg_sfu_core::rtp::rtcp::{Compound, Rtcp, missing};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|compound: &[u8]| {
    let mut items = 0;
    for item in Compound::read(compound) {
        items += 1;
        if let Rtcp::Nack { pairs, .. } = item {
            // Each pair of four bytes names at most 17 packets.
            assert!(missing(pairs).count() <= pairs.len() / 4 * 17);
        }
    }
    // The smallest item is a goodbye of four bytes behind a header.
    assert!(items <= compound.len());
});
