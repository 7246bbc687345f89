//! Wire numbers made continuous: sequence numbers and timestamps that never wrap.

/// A sequence number extended by its roll-overs, so that order is plain order.
///
/// The first one of a stream is at least 2^16, so that earlier packets that arrive late still have a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeqNo(pub u64);

impl SeqNo {
    /// Returns the number as it stands on the wire.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the wire carries the lower 16 bits"
    )]
    pub fn wire(self) -> u16 {
        self.0 as u16
    }

    /// Returns the roll-over counter (RFC 3711, section 3.3.1).
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a stream of 2^48 packets does not exist"
    )]
    pub fn roll_over(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// Extends 16-bit sequence numbers (RFC 3550, appendix A.1).
#[derive(Clone, Copy, Debug, Default)]
pub struct SeqExtender {
    /// The highest so far; `None` before the first.
    highest: Option<u64>,
}

impl SeqExtender {
    /// Returns the highest number seen.
    pub fn highest(&self) -> Option<SeqNo> {
        self.highest.map(SeqNo)
    }

    /// Returns the number nearest to the highest so far, which it raises.
    pub fn extend(&mut self, wire: u16) -> SeqNo {
        let seq = self.peek(wire);
        if self.highest.is_none_or(|highest| seq.0 > highest) {
            self.highest = Some(seq.0);
        }
        seq
    }

    /// Returns the number nearest to the highest so far and leaves that as it is.
    pub fn peek(&self, wire: u16) -> SeqNo {
        let Some(highest) = self.highest else {
            return SeqNo(0x1_0000 + u64::from(wire));
        };
        let ahead = wire.wrapping_sub(SeqNo(highest).wire());
        if ahead < 0x8000 {
            return SeqNo(highest + u64::from(ahead));
        }
        SeqNo(highest.saturating_sub(u64::from(ahead.wrapping_neg())))
    }
}

/// Extends 32-bit timestamps.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimestampExtender {
    /// The latest so far; `None` before the first.
    latest: Option<u64>,
}

impl TimestampExtender {
    /// Returns the timestamp nearest to the latest so far, which it raises.
    pub fn extend(&mut self, wire: u32) -> u64 {
        let time = self.peek(wire);
        if self.latest.is_none_or(|latest| time > latest) {
            self.latest = Some(time);
        }
        time
    }

    /// Returns the timestamp nearest to the latest so far and leaves that as it is.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the wire carries the lower 32 bits"
    )]
    pub fn peek(&self, wire: u32) -> u64 {
        let Some(latest) = self.latest else {
            return (1 << 32) + u64::from(wire);
        };
        let ahead = wire.wrapping_sub(latest as u32);
        if ahead < 0x8000_0000 {
            return latest + u64::from(ahead);
        }
        latest.saturating_sub(u64::from(ahead.wrapping_neg()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_over_the_wrap() {
        let mut extender = SeqExtender::default();
        assert_eq!(extender.extend(65_534), SeqNo(0x1_fffe));
        assert_eq!(extender.extend(1), SeqNo(0x2_0001));
        assert_eq!(extender.extend(0), SeqNo(0x2_0000));
    }

    #[test]
    fn a_late_packet_stays_behind() {
        let mut extender = SeqExtender::default();
        extender.extend(3);
        assert_eq!(extender.extend(65_530), SeqNo(0xfffa));
        assert_eq!(extender.highest(), Some(SeqNo(0x1_0003)));
    }

    #[test]
    fn timestamps_go_on_over_the_wrap() {
        let mut extender = TimestampExtender::default();
        let first = extender.extend(0xffff_fff0);
        assert_eq!(extender.extend(0x10), first + 0x20);
        assert_eq!(extender.extend(0xffff_fff8), first + 8);
    }
}
