//! Sets of cores of one node.

use std::fmt;

use crate::idset::Idset;

const WORDS: usize = 4;

/// The cores of a node, or some of them, by logical number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CoreSet([u64; WORDS]);

impl CoreSet {
    /// The most cores of a node; a limit of ours.
    pub const MAX: u32 = 64 * WORDS as u32;

    /// No core.
    pub const NONE: Self = Self([0; WORDS]);

    /// The cores `0..count`, at most [`CoreSet::MAX`].
    pub fn below(count: u32) -> Self {
        let mut words = [0; WORDS];
        let mut left = count;
        for word in &mut words {
            *word = if left >= 64 { u64::MAX } else { (1 << left) - 1 };
            left = left.saturating_sub(64);
        }
        Self(words)
    }

    /// How many cores there are.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether there is no core.
    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// Whether the core is in the set.
    pub fn contains(&self, core: u32) -> bool {
        self.0.get(core as usize / 64).is_some_and(|word| (word >> (core % 64)) & 1 == 1)
    }

    /// Cores of either set.
    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a | b)
    }

    /// Cores of both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & b)
    }

    /// Cores of this set that are not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & !b)
    }

    fn zip(&self, other: &Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        let mut words = self.0;
        for (word, theirs) in words.iter_mut().zip(other.0) {
            *word = combine(*word, theirs);
        }
        Self(words)
    }

    /// The cores, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        (0..Self::MAX).filter(|core| self.contains(*core))
    }

    /// The `count` lowest cores, or all if there are fewer.
    pub fn lowest(&self, count: u32) -> Self {
        let mut chosen = Self::NONE;
        let mut missing = count;
        for (word, chosen) in self.0.iter().zip(&mut chosen.0) {
            let here = word.count_ones().min(missing);
            missing -= here;
            *chosen = lowest_bits(*word, here);
        }
        chosen
    }

    /// The `count` highest cores, or all if there are fewer.
    pub fn highest(&self, count: u32) -> Self {
        let mut chosen = Self::NONE;
        let mut missing = count;
        for (word, chosen) in self.0.iter().zip(&mut chosen.0).rev() {
            let here = word.count_ones().min(missing);
            missing -= here;
            *chosen = word & !lowest_bits(*word, word.count_ones() - here);
        }
        chosen
    }

    /// As an idset, for texts.
    pub fn ids(&self) -> Idset {
        self.iter().collect()
    }
}

/// The lowest `count` bits of a word that are set. There are so many.
fn lowest_bits(word: u64, count: u32) -> u64 {
    let ones = word.count_ones();
    // Whichever is less work: to clear the others, or to clear these and take what is missing then.
    let mut rest = word;
    if count <= ones / 2 {
        for _ in 0..count {
            rest &= rest.wrapping_sub(1);
        }
        word & !rest
    } else {
        for _ in count..ones {
            rest &= !(1 << (63 - rest.leading_zeros()));
        }
        rest
    }
}

impl fmt::Display for CoreSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.ids().bracketed())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::CoreSet;

    #[test]
    fn below_counts_across_words() {
        for count in [0, 1, 63, 64, 65, 128, 255, 256] {
            assert_eq!(CoreSet::below(count).len(), count);
            assert!(CoreSet::below(count).iter().eq(0..count));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn lowest_and_highest_are_the_ends(count in 0_u32..200, hole in 0_u32..200, take in 0_u32..220) {
            let set = CoreSet::below(count).difference(&CoreSet::below(hole).highest(3));
            let cores: Vec<u32> = set.iter().collect();
            let take_now = cores.len().min(take as usize);
            prop_assert!(set.lowest(take).iter().eq(cores[..take_now].iter().copied()));
            prop_assert!(set.highest(take).iter().eq(cores[cores.len() - take_now..].iter().copied()));
        }
    }
}
