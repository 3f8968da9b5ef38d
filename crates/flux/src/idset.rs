//! Idsets: unique, ascending sets of non-negative integers (RFC 22), such as the ranks of an instance.
//!
//! The text form is stricter than that of a hostlist (recording 08): ids ascend and never repeat, a range has two
//! different ends, there are no leading zeros and no blanks. One pair of brackets around the whole is allowed, empty
//! members between commas are skipped.

use std::fmt;
use std::str::FromStr;

/// A set of ids, kept as ranges that ascend and neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Idset {
    ranges: Vec<(u32, u32)>,
}

/// The text is no idset: Flux's `Invalid argument` (recording 08).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("IDset(): Invalid argument: {text}")]
pub struct InvalidIdset {
    /// What was given.
    pub text: String,
}

impl Idset {
    /// The largest id that an idset holds. Recording 08 shows Flux refusing ids just below 2^32; where exactly it starts
    /// to refuse was not recorded, ranks of that size do not exist.
    pub const MAX: u32 = (1 << 31) - 1;

    /// The set without a member.
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// `first..=last`; empty if `last` is below `first`.
    pub fn range(first: u32, last: u32) -> Self {
        let mut set = Self::new();
        if first <= last && last <= Self::MAX {
            set.ranges.push((first, last));
        }
        set
    }

    /// The ids `0..size`, all ranks of an instance.
    pub fn below(size: u32) -> Self {
        size.checked_sub(1).map_or_else(Self::new, |last| Self::range(0, last))
    }

    /// Whether there is no member.
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.ranges.iter().map(|(first, last)| (last - first) as usize + 1).sum()
    }

    /// The ranges, ascending, both ends included.
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = (u32, u32)> + Clone + '_ {
        self.ranges.iter().copied()
    }

    /// The members, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u32> + Clone + '_ {
        self.ranges.iter().flat_map(|&(first, last)| first..=last)
    }

    /// The smallest member.
    pub fn first(&self) -> Option<u32> {
        self.ranges.first().map(|range| range.0)
    }

    /// The largest member.
    pub fn last(&self) -> Option<u32> {
        self.ranges.last().map(|range| range.1)
    }

    /// Whether `id` is a member.
    pub fn contains(&self, id: u32) -> bool {
        let at = self.ranges.partition_point(|range| range.1 < id);
        self.ranges.get(at).is_some_and(|range| range.0 <= id)
    }

    /// Whether every member is also in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.difference(other).is_empty()
    }

    /// Adds `id`. `false` if it was there already or is above [`Idset::MAX`].
    pub fn insert(&mut self, id: u32) -> bool {
        if id > Self::MAX || self.contains(id) {
            return false;
        }
        // The usual case is a set that is built in order.
        match self.ranges.last_mut() {
            Some(last) if last.1 + 1 == id => last.1 = id,
            Some(last) if last.1 > id => *self = self.union(&Self { ranges: vec![(id, id)] }),
            _ => self.ranges.push((id, id)),
        }
        true
    }

    /// Takes `id` away. `false` if it was not there.
    pub fn remove(&mut self, id: u32) -> bool {
        let at = self.ranges.partition_point(|range| range.1 < id);
        let Some(&(first, last)) = self.ranges.get(at).filter(|range| range.0 <= id) else { return false };
        let mut left = Vec::new();
        if first < id {
            left.push((first, id - 1));
        }
        if id < last {
            left.push((id + 1, last));
        }
        self.ranges.splice(at..=at, left);
        true
    }

    /// Members of either set.
    pub fn union(&self, other: &Self) -> Self {
        let mut ranges: Vec<(u32, u32)> = self.ranges.iter().chain(&other.ranges).copied().collect();
        ranges.sort_unstable();
        let mut union: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match union.last_mut() {
                Some(open) if first <= open.1 + 1 => open.1 = open.1.max(last),
                _ => union.push((first, last)),
            }
        }
        Self { ranges: union }
    }

    /// Members of both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut a, mut b) = (self.ranges.iter().peekable(), other.ranges.iter().peekable());
        let mut ranges = Vec::new();
        while let (Some(left), Some(right)) = (a.peek(), b.peek()) {
            let (first, last) = (left.0.max(right.0), left.1.min(right.1));
            if first <= last {
                ranges.push((first, last));
            }
            if left.1 < right.1 {
                a.next()
            } else {
                b.next()
            };
        }
        Self { ranges }
    }

    /// Members of this set that are not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        let mut ranges = Vec::new();
        let mut holes = other.ranges.iter().peekable();
        for &(mut first, last) in &self.ranges {
            while holes.next_if(|hole| hole.1 < first).is_some() {}
            // A hole that reaches beyond this range may also cut the next one, so it is only peeked at.
            while let Some(&&(hole_first, hole_last)) = holes.peek() {
                if hole_first > last {
                    break;
                }
                if first < hole_first {
                    ranges.push((first, hole_first - 1));
                }
                first = hole_last + 1;
                if hole_last >= last {
                    break;
                }
                holes.next();
            }
            if first <= last {
                ranges.push((first, last));
            }
        }
        Self { ranges }
    }

    /// The text without brackets: `0-1,3`.
    pub fn bare(&self) -> String {
        let mut text = String::new();
        for (first, last) in self.ranges() {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(&first.to_string());
            if first < last {
                text.push('-');
                text.push_str(&last.to_string());
            }
        }
        text
    }

    /// The text with brackets where there is more than one member: `[0-1,3]`, `3`.
    pub fn bracketed(&self) -> String {
        let bare = self.bare();
        if self.len() > 1 { format!("[{bare}]") } else { bare }
    }
}

impl fmt::Display for Idset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.bare())
    }
}

impl FromIterator<u32> for Idset {
    /// Ids in any order, with repeats. Ids above [`Idset::MAX`] are left out.
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        let mut ids: Vec<u32> = ids.into_iter().filter(|id| *id <= Self::MAX).collect();
        ids.sort_unstable();
        let mut set = Self::new();
        for id in ids {
            set.insert(id);
        }
        set
    }
}

impl FromStr for Idset {
    type Err = InvalidIdset;

    fn from_str(text: &str) -> Result<Self, InvalidIdset> {
        parse(text).ok_or_else(|| InvalidIdset { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<Idset> {
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None => text,
    };
    let mut set = Idset::new();
    for member in bare.split(',').filter(|member| !member.is_empty()) {
        let (first, last) = match member.split_once('-') {
            Some((first, last)) => (id(first)?, id(last)?),
            None => (id(member)?, id(member)?),
        };
        let is_range = member.contains('-');
        if first > last || (is_range && first == last) || set.last().is_some_and(|highest| highest >= first) {
            return None;
        }
        match set.ranges.last_mut() {
            Some(open) if open.1 + 1 == first => open.1 = last,
            _ => set.ranges.push((first, last)),
        }
    }
    Some(set)
}

/// One id: digits only, no leading zero.
fn id(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|id| plain && *id <= Idset::MAX)
}
