//! Reads bits, most significant first, as the headers of all video codings have them.

/// The bits of a slice that have not been read.
#[derive(Clone, Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next bit.
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Reads one bit.
    pub(super) fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// Reads a number of at most 32 bits.
    pub(super) fn number(&mut self, bits: u32) -> Option<u32> {
        let mut number = 0;
        for _ in 0..bits.min(32) {
            number = number << 1 | u32::from(self.flag()?);
        }
        Some(number)
    }

    /// Returns how many bits have been read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Reads a number below `range`, where small ones may take a bit less: `ns(n)` of AV1 (section 4.10.7).
    pub(super) fn uniform(&mut self, range: u32) -> Option<u32> {
        let width = u32::BITS - range.leading_zeros();
        if width == 0 {
            return None;
        }
        let short = (1 << width) - range;
        let number = self.number(width - 1)?;
        if number < short {
            return Some(number);
        }
        Some((number << 1) - short + u32::from(self.flag()?))
    }

    /// Passes over bits.
    pub(super) fn skip(&mut self, bits: usize) -> Option<()> {
        self.at = self.at.checked_add(bits)?;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    /// Reads a number of variable length: `ue(v)` of H.264 (section 9.1), `uvlc()` of AV1 (section 4.10.3).
    pub(super) fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.number(zeros)?)
    }

    /// Reads a signed number of variable length: `se(v)` of H.264 (section 9.1.1).
    pub(super) fn signed_golomb(&mut self) -> Option<i64> {
        let code = i64::from(self.golomb()?);
        Some(if code % 2 == 1 {
            (code + 1) / 2
        } else {
            -code / 2
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_most_significant_bit_first() {
        let mut bits = Bits::new(&[0b1010_0110, 0xff]);
        assert_eq!(bits.flag(), Some(true));
        assert_eq!(bits.number(4), Some(0b0100));
        assert_eq!(bits.number(5), Some(0b11011));
        assert_eq!(bits.skip(6), Some(()));
        assert_eq!(bits.flag(), None);
    }

    #[test]
    fn numbers_of_variable_length_are_read_as_the_table_of_h264_has_them() {
        // 1 010 011 00100 00101
        let bytes = [0b1010_0110, 0b0100_0010, 0b1000_0000];
        let mut bits = Bits::new(&bytes);
        let read: Vec<_> = (0..5).map_while(|_| bits.golomb()).collect();
        assert_eq!(read, [0, 1, 2, 3, 4]);
        let mut bits = Bits::new(&bytes);
        let read: Vec<_> = (0..5).map_while(|_| bits.signed_golomb()).collect();
        assert_eq!(read, [0, 1, -1, 2, -2]);
        assert_eq!(Bits::new(&[0; 9]).golomb(), None, "no end in reach");
    }
}
