//! The layers within a stream: what payloads and dependency descriptors say of them, and descriptors as viewers get them.

#![no_main]

use klieg_sfu_core::Codec;
use klieg_sfu_core::codec::{Descriptors, Scaling, Tier, layer_sizes, scale};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|packets: (u8, Vec<Vec<u8>>)| {
    let (place, packets) = packets;
    let tier = Tier::new(place >> 2, place & 3);
    let (mut scaling, mut descriptors) = (Scaling::default(), Descriptors::default());
    for bytes in &packets {
        for codec in [Codec::Vp8, Codec::Vp9] {
            layer_sizes(codec, bytes).for_each(drop);
            if let Some(scale) = scale(codec, bytes, &mut scaling) {
                assert!(scale.needed.contains(scale.tier));
            }
        }
        let Some((scale, rewritten)) = descriptors.rewrite(bytes, tier) else { continue };
        let again = descriptors.rewrite(&rewritten, tier);
        assert_eq!(again, Some((scale, rewritten)), "what was written says the same");
    }
});
