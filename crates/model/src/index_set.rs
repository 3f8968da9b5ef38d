//! Sets of completion indexes and their text format (spec section 3.1).
//!
//! The text is ascending and comma separated; a run of exactly two consecutive numbers is written `a,b`, three or more
//! `a-b`. The controller reads it tolerantly ([`IndexSet::parse_below`]), the API server strictly
//! ([`IndexSet::validate`]). Vectors: upstream `indexed_job_utils_test.go`, `TestCalculateSucceededIndexes`.

use std::fmt;

/// A set of completion indexes, kept as ascending runs that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IndexSet {
    /// First and last index of each run.
    runs: Vec<(u32, u32)>,
}

/// A text that the API server refuses as an index set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexSetError {
    /// A token is no number.
    #[error("cannot convert string to integer for index: \"{0}\"")]
    NotANumber(String),
    /// A token has more than one dash.
    #[error(
        "the fragment \"{0}\" violates the requirement that an index interval can have at most two parts separated by '-'"
    )]
    NotAnInterval(String),
    /// A number is too large.
    #[error("too large index: \"{0}\"")]
    TooLarge(String),
    /// Numbers do not ascend.
    #[error("non-increasing order, previous: {previous}, current: {current}")]
    NotIncreasing {
        /// The last index before.
        previous: u32,
        /// The one that should be greater.
        current: u32,
    },
}

impl IndexSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { runs: Vec::new() }
    }

    /// The set of these indexes, which must ascend; equal neighbours count once.
    pub fn from_ascending(indexes: impl IntoIterator<Item = u32>) -> Self {
        let mut set = Self::new();
        for index in indexes {
            set.append_run(index, index);
        }
        set
    }

    /// Reads a text as the controller does: tokens that make no sense are skipped, reading ends at the first token that
    /// starts at or above `completions`, and what reaches beyond is cut off. A range that descends, which nobody but a user
    /// who writes the status himself can bring there, is skipped too; the original counts `5-2` as -2 indexes and prints 5.
    pub fn parse_below(text: &str, completions: u32) -> Self {
        let mut set = Self::new();
        if text.is_empty() || completions == 0 {
            return set;
        }
        for token in text.split(',') {
            let mut parts = token.split('-');
            let Some(first) = parts.next().and_then(tolerant_number) else { continue };
            if first >= completions {
                break;
            }
            let last = match parts.next() {
                None => first,
                Some(last) => match tolerant_number(last) {
                    Some(last) => last.min(completions - 1),
                    None => continue,
                },
            };
            if first <= last {
                set.append_run(first, last);
            }
        }
        set
    }

    /// Reads a text as the API server's validation does: every number below `completions`, strictly ascending, and
    /// `first < last` in every interval.
    pub fn validate(text: &str, completions: u32) -> Result<Self, IndexSetError> {
        let mut set = Self::new();
        if text.is_empty() {
            return Ok(set);
        }
        let number = |token: &str| {
            let value: i64 = token.parse().map_err(|_| IndexSetError::NotANumber(token.to_owned()))?;
            match u32::try_from(value) {
                Ok(value) if value < completions => Ok(value),
                _ => Err(IndexSetError::TooLarge(token.to_owned())),
            }
        };
        let mut previous: Option<u32> = None;
        for token in text.split(',') {
            let parts: Vec<&str> = token.split('-').collect();
            let (first, last) = match *parts.as_slice() {
                [one] => (number(one)?, None),
                [first, last] => (number(first)?, Some(number(last)?)),
                _ => return Err(IndexSetError::NotAnInterval(token.to_owned())),
            };
            if let Some(last) = last
                && last <= first
            {
                return Err(IndexSetError::NotIncreasing { previous: first, current: last });
            }
            if let Some(previous) = previous
                && first <= previous
            {
                return Err(IndexSetError::NotIncreasing { previous, current: first });
            }
            let last = last.unwrap_or(first);
            set.append_run(first, last);
            previous = Some(last);
        }
        Ok(set)
    }

    /// The indexes below `count`, ascending, that are not in the set; at most `max` of them.
    pub fn missing_below(&self, count: u32, max: usize) -> Vec<u32> {
        let mut missing = Vec::new();
        let mut candidate = 0;
        for &(first, last) in &self.runs {
            let room = max.saturating_sub(missing.len());
            missing.extend((candidate..first.min(count)).take(room));
            candidate = candidate.max(last.saturating_add(1));
        }
        missing.extend((candidate..count).take(max.saturating_sub(missing.len())));
        missing
    }

    /// The number of indexes that both sets have.
    pub fn overlap_len(&self, other: &Self) -> usize {
        let (mut left, mut right) = (self.runs.iter().peekable(), other.runs.iter().peekable());
        let mut overlap = 0;
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                overlap += (last - first) as usize + 1;
            }
            if a.1 <= b.1 {
                left.next()
            } else {
                right.next()
            };
        }
        overlap
    }

    /// Whether `text` is what [`fmt::Display`] prints, without printing it to memory.
    pub fn is_text(&self, text: &str) -> bool {
        struct Rest<'a>(&'a str);
        impl fmt::Write for Rest<'_> {
            fn write_str(&mut self, printed: &str) -> fmt::Result {
                self.0 = self.0.strip_prefix(printed).ok_or(fmt::Error)?;
                Ok(())
            }
        }
        let mut rest = Rest(text);
        fmt::write(&mut rest, format_args!("{self}")).is_ok() && rest.0.is_empty()
    }

    /// Adds `first..=last`, which must not begin before the last run does.
    fn append_run(&mut self, first: u32, last: u32) {
        match self.runs.last_mut() {
            Some(run) if first <= run.1.saturating_add(1) => run.1 = run.1.max(last),
            _ => self.runs.push((first, last)),
        }
    }

    /// The number of indexes.
    pub fn len(&self) -> usize {
        self.runs.iter().map(|&(first, last)| (last - first) as usize + 1).sum()
    }

    /// The greatest index.
    pub fn last(&self) -> Option<u32> {
        self.runs.last().map(|&(_, last)| last)
    }

    /// There is no index.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether `index` belongs to the set.
    pub fn contains(&self, index: u32) -> bool {
        let after = self.runs.partition_point(|&(first, _)| first <= index);
        after > 0 && self.runs[after - 1].1 >= index
    }

    /// The indexes from `first` on, ascending.
    pub fn iter_from(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        let begin = self.runs.partition_point(|&(_, last)| last < first);
        self.runs[begin..].iter().flat_map(move |&(start, last)| start.max(first)..=last)
    }

    /// The indexes, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.runs.iter().flat_map(|&(first, last)| first..=last)
    }

    /// Indexes of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut union = Self { runs: Vec::with_capacity(self.runs.len() + other.runs.len()) };
        let (mut left, mut right) = (self.runs.iter().peekable(), other.runs.iter().peekable());
        loop {
            let next = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) if a.0 <= b.0 => left.next(),
                (_, Some(_)) => right.next(),
                (Some(_), None) => left.next(),
                (None, None) => return union,
            };
            if let Some(&(first, last)) = next {
                union.append_run(first, last);
            }
        }
    }
}

/// Reads a number as the controller does; one that is too large for any Job is cut to the greatest.
fn tolerant_number(text: &str) -> Option<u32> {
    text.parse::<u64>().ok().map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

impl fmt::Display for IndexSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, &(first, last)) in self.runs.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_consecutive_numbers_print_with_a_comma() {
        assert_eq!(IndexSet::from_ascending([0, 1, 3, 5, 6, 7]).to_string(), "0,1,3,5-7");
    }

    /// Upstream `TestCalculateSucceededIndexes`: "prev interval out of range", "… partially out of range",
    /// "corrupted interval".
    #[test]
    fn the_tolerant_reader_truncates_and_skips() {
        for (text, completions, expected) in [
            ("0-5,8-10", 8, "0-5"),
            ("0-5,8-10", 10, "0-5,8,9"),
            ("0,1-foo,bar", 3, "0"),
            ("0-5,6-7", 9, "0-7"),
            ("3", 2, ""),
            ("", 2, ""),
        ] {
            assert_eq!(
                IndexSet::parse_below(text, completions).to_string(),
                expected,
                "{text} below {completions}"
            );
        }
    }

    #[test]
    fn the_strict_reader_names_what_is_wrong() {
        assert_eq!(IndexSet::validate("0,2-4", 5).map(|set| set.len()), Ok(4));
        assert_eq!(IndexSet::validate("5", 5), Err(IndexSetError::TooLarge("5".into())));
        assert_eq!(
            IndexSet::validate("1,1", 5),
            Err(IndexSetError::NotIncreasing { previous: 1, current: 1 })
        );
        assert_eq!(IndexSet::validate("1,x", 5), Err(IndexSetError::NotANumber("x".into())));
        for (text, error) in [
            ("4294967296", IndexSetError::TooLarge("4294967296".into())),
            ("9223372036854775808", IndexSetError::NotANumber("9223372036854775808".into())),
            ("-1", IndexSetError::NotANumber(String::new())),
        ] {
            assert_eq!(IndexSet::validate(text, 5), Err(error), "{text}");
        }
        let error = IndexSetError::NotAnInterval("1-2-3".into());
        assert_eq!(
            error.to_string(),
            "the fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts \
             separated by '-'"
        );
        assert_eq!(IndexSet::validate("1-2-3", 5), Err(error));
        assert_eq!(
            IndexSet::validate("4,3-2", 5),
            Err(IndexSetError::NotIncreasing { previous: 3, current: 2 }),
            "an interval is judged before its place"
        );
    }

    #[test]
    fn union_and_membership() {
        let left = IndexSet::parse_below("0-2,7", 10);
        let right = IndexSet::parse_below("3,5,7-9", 10);
        let union = left.union(&right);
        assert_eq!(union.to_string(), "0-3,5,7-9");
        assert!(union.contains(5) && !union.contains(4) && !union.contains(10));
        assert_eq!(union.iter().count(), union.len());
    }
}
