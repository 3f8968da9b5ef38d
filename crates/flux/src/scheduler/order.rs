//! Ranks ordered by a small number: buckets of bits, because every job moves its nodes twice.

/// Which rank of a bucket comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Among {
    LowestFirst,
    HighestFirst,
}

/// Ranks with a key each, the highest key first.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// One per key, ascending.
    buckets: Vec<Bucket>,
    /// Words of a bucket that is in use.
    words: usize,
    among: Among,
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    words: Vec<u64>,
    count: usize,
}

impl Order {
    /// For ranks below `ranks`.
    pub(super) const fn new(ranks: usize, among: Among) -> Self {
        Self { buckets: Vec::new(), words: ranks.div_ceil(64), among }
    }

    pub(super) fn insert(&mut self, key: u32, rank: u32) {
        let key = key as usize;
        if self.buckets.len() <= key {
            self.buckets.resize_with(key + 1, Bucket::default);
        }
        let Some(bucket) = self.buckets.get_mut(key) else { return };
        if bucket.words.is_empty() {
            bucket.words.resize(self.words, 0);
        }
        if let Some(word) = bucket.words.get_mut(rank as usize / 64) {
            let bit = 1 << (rank % 64);
            bucket.count += usize::from(*word & bit == 0);
            *word |= bit;
        }
    }

    /// Tells whether the rank was there with this key.
    pub(super) fn remove(&mut self, key: u32, rank: u32) -> bool {
        let Some(bucket) = self.buckets.get_mut(key as usize) else { return false };
        let Some(word) = bucket.words.get_mut(rank as usize / 64) else { return false };
        let bit = 1 << (rank % 64);
        let was = *word & bit != 0;
        *word &= !bit;
        bucket.count -= usize::from(was);
        was
    }

    /// All ranks in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let among = self.among;
        self.buckets.iter().rev().filter(|bucket| bucket.count > 0).flat_map(move |bucket| {
            let last = bucket.words.len() - 1;
            (0..=last).flat_map(move |at| {
                let at = if among == Among::LowestFirst { at } else { last - at };
                let word = bucket.words.get(at).copied().unwrap_or(0);
                Bits { word, base: at as u32 * 64, among }
            })
        })
    }
}

/// The bits of a word.
struct Bits {
    word: u64,
    base: u32,
    among: Among,
}

impl Iterator for Bits {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.word == 0 {
            return None;
        }
        let bit = match self.among {
            Among::LowestFirst => self.word.trailing_zeros(),
            Among::HighestFirst => 63 - self.word.leading_zeros(),
        };
        self.word &= !(1 << bit);
        Some(self.base + bit)
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{Among, Order};

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_a_sorted_set(steps in prop::collection::vec((0_u32..4, 0_u32..200, any::<bool>()), 0..80)) {
            let mut lowest = Order::new(200, Among::LowestFirst);
            let mut highest = Order::new(200, Among::HighestFirst);
            let mut set = BTreeSet::new();
            for (key, rank, add) in steps {
                if add {
                    lowest.insert(key, rank);
                    highest.insert(key, rank);
                    set.insert((key, rank));
                } else {
                    let was = set.remove(&(key, rank));
                    prop_assert_eq!((lowest.remove(key, rank), highest.remove(key, rank)), (was, was));
                }
            }
            let mut expected: Vec<(u32, u32)> = set.into_iter().collect();
            expected.sort_by_key(|(key, rank)| (Reverse(*key), *rank));
            prop_assert!(lowest.iter().eq(expected.iter().map(|entry| entry.1)));
            expected.sort_by_key(|(key, rank)| (Reverse(*key), Reverse(*rank)));
            prop_assert!(highest.iter().eq(expected.iter().map(|entry| entry.1)));
        }
    }
}
