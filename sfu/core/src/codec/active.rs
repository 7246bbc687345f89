//! Names in a dependency descriptor the decode targets that a viewer has (AV1 RTP 1.0, section A.8.2).

use crate::codec::bits::Bits;
use crate::codec::descriptor::MANDATORY_LEN;

/// Where a descriptor says which decode targets are active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ActivePlace {
    /// The first of these bits, counted from the beginning.
    pub(super) at: u16,
    /// Bits that are there already.
    pub(super) present: u8,
    /// Bits that there are to be, one for each decode target.
    pub(super) targets: u8,
    /// Bits of the whole descriptor, without those that fill the last byte.
    pub(super) end: u16,
}

impl ActivePlace {
    /// Writes a descriptor that says that the decode targets `active` are active and no others, and whatever else
    /// `bytes` says; without change where that is not to be read.
    pub(crate) fn write(self, bytes: &[u8], active: u32, out: &mut Vec<u8>) {
        let start = out.len();
        if self.rewrite(bytes, active, out).is_none() {
            out.truncate(start);
            out.extend_from_slice(bytes);
        }
    }

    fn rewrite(self, bytes: &[u8], active: u32, out: &mut Vec<u8>) -> Option<()> {
        let mut bits = Bits::new(bytes);
        let mut to = Writer::new(out);
        to.put(bits.number(24)?, 24);
        if bytes.len() > MANDATORY_LEN {
            let flags = bits.number(5)?;
            to.put(flags | 0x08, 5);
        } else {
            to.put(0x08, 5);
        }
        let before = usize::from(self.at).checked_sub(bits.position().min(usize::from(self.at)))?;
        for _ in 0..before {
            to.put(u32::from(bits.flag()?), 1);
        }
        // The first decode target is the least significant bit.
        for target in (0..self.targets).rev() {
            to.put(active >> target & 1, 1);
        }
        bits.skip(usize::from(self.present))?;
        while bits.position() < usize::from(self.end) {
            to.put(u32::from(bits.flag()?), 1);
        }
        Some(())
    }
}

/// Writes bits, most significant first.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Bits that are free in the last byte.
    free: u32,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, free: 0 }
    }

    fn put(&mut self, number: u32, bits: u32) {
        for place in (0..bits).rev() {
            if self.free == 0 {
                self.out.push(0);
                self.free = 8;
            }
            self.free -= 1;
            let bit = u8::from(number >> place & 1 == 1) << self.free;
            if let Some(last) = self.out.last_mut() {
                *last |= bit;
            }
        }
    }
}
