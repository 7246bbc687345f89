//! Numbers of a stream of which a viewer does not get all: what it gets follows without a hole.

/// Words of 64 numbers that are remembered, as many as the cache has packets.
const WORDS: u64 = 16;
const LEN: usize = 16;

/// Which of the last numbers were left out, a bit each, and what that makes of the others. A number that has not come
/// counts as one that will.
#[derive(Clone, Debug)]
pub(super) struct Thin {
    left_out: [u64; LEN],
    /// The highest number so far.
    top: u64,
    /// What the viewer has for it, or for the last before it that was not left out.
    sent_as: u64,
}

impl Thin {
    /// Begins behind `top`, which the viewer has as `sent_as`; nothing before was left out.
    pub(super) fn new(top: u64, sent_as: u64) -> Self {
        Self {
            left_out: [0; LEN],
            top,
            sent_as,
        }
    }

    /// Returns the highest number so far.
    pub(super) fn top(&self) -> u64 {
        self.top
    }

    /// Goes on to a number that is ahead of all, and leaves it out or not.
    pub(super) fn advance(&mut self, number: u64, is_left_out: bool) {
        let Some(ahead) = number.checked_sub(self.top).filter(|ahead| *ahead > 0) else {
            return;
        };
        for word in (self.top / 64 + 1..=number / 64).rev().take(LEN) {
            self.left_out[place(word)] = 0;
        }
        self.left_out[place(number / 64)] |= u64::from(is_left_out) << (number % 64);
        self.sent_as += ahead - u64::from(is_left_out);
        self.top = number;
    }

    /// Returns what the viewer has for a number; `None` for one left out, ahead, or too far back to tell.
    pub(super) fn number_of(&self, number: u64) -> Option<u64> {
        let behind = self.top.checked_sub(number)?;
        if self.top / 64 - number / 64 >= WORDS {
            return None;
        }
        let word = self.left_out[place(number / 64)];
        if word >> (number % 64) & 1 == 1 {
            return None;
        }
        // Those of the same word behind it, and those of the words behind that.
        let same = (word >> (number % 64)).count_ones();
        let others = number / 64 + 1..=self.top / 64;
        let others: u32 = others.map(|it| self.left_out[place(it)].count_ones()).sum();
        self.sent_as.checked_sub(behind - u64::from(same + others))
    }

    /// Returns which number the viewer has as `sent_as`; `None` for one that is ahead, or too far back to tell.
    pub(super) fn source_of(&self, sent_as: u64) -> Option<u64> {
        let mut above = self.sent_as.checked_sub(sent_as)?;
        for back in 0..WORDS {
            let word = (self.top / 64).checked_sub(back)?;
            let highest = if back == 0 { self.top % 64 } else { 63 };
            let mask = u64::MAX >> (63 - highest);
            let mut kept = !self.left_out[place(word)] & mask;
            let count = u64::from(kept.count_ones());
            if above >= count {
                above -= count;
                continue;
            }
            for _ in 0..above {
                kept &= !(1 << (63 - kept.leading_zeros()));
            }
            return Some(word * 64 + u64::from(63 - kept.leading_zeros()));
        }
        None
    }
}

fn place(word: u64) -> usize {
    (word % WORDS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_kept_follows_without_a_hole_and_what_is_missing_keeps_its_place() {
        let mut thin = Thin::new(100, 5);
        thin.advance(101, true);
        thin.advance(102, false);
        thin.advance(105, true);
        thin.advance(106, false);
        let numbers: Vec<_> = (100..107).map(|number| thin.number_of(number)).collect();
        assert_eq!(
            numbers,
            [Some(5), None, Some(6), Some(7), Some(8), None, Some(9)]
        );
        assert_eq!(thin.number_of(107), None);
        assert_eq!(thin.source_of(9), Some(106));
        assert_eq!(thin.source_of(6), Some(102));
        assert_eq!(thin.source_of(10), None);
    }

    proptest! {
        #[test]
        fn both_ways_agree_with_counting(steps in proptest::collection::vec((1_u64..90, any::<bool>()), 1..400)) {
            let mut thin = Thin::new(1000, 400);
            let mut left_out = std::collections::BTreeSet::new();
            let mut top = 1000;
            for (step, is_left_out) in steps {
                top += step;
                thin.advance(top, is_left_out);
                if is_left_out {
                    left_out.insert(top);
                }
            }
            let mut expected = 400;
            for number in 1001..=top {
                let is_known = top / 64 - number / 64 < WORDS;
                if left_out.contains(&number) {
                    prop_assert_eq!(thin.number_of(number), None);
                    continue;
                }
                expected += 1;
                prop_assert_eq!(thin.number_of(number), is_known.then_some(expected));
                if is_known {
                    prop_assert_eq!(thin.source_of(expected), Some(number));
                }
            }
        }
    }
}
