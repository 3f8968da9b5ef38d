//! One run of a hostlist: hosts that share a prefix and whose numbers follow each other.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// A prefix with a range of numbers, or a name without a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Run {
    prefix: Arc<str>,
    numbers: Option<Numbers>,
}

/// The numbers `first..=last`, printed with at least `width` digits. `width` is 1 where no leading zero is printed, so
/// that equal hosts are equal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Numbers {
    first: u64,
    last: u64,
    width: usize,
}

impl Run {
    /// One host: the digits at the end of its name are its number. Digits that do not fit 64 bits stay in the prefix.
    pub(super) fn of(host: &str) -> Self {
        let prefix = host.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = &host[prefix.len()..];
        match digits.parse() {
            Ok(number) => Self::range(prefix, number, number, digits.len()),
            Err(_) => Self::plain(host),
        }
    }

    /// A name without a number, or one whose number is not at its end.
    pub(super) fn plain(host: &str) -> Self {
        Self { prefix: host.into(), numbers: None }
    }

    /// The caller has made sure that `first <= last`.
    pub(super) fn range(prefix: &str, first: u64, last: u64, width: usize) -> Self {
        let width = if digits(first) < width { width } else { 1 };
        Self { prefix: prefix.into(), numbers: Some(Numbers { first, last, width }) }
    }

    pub(super) fn len(&self) -> usize {
        // A range has at most `Hostlist::RANGE_MAX` hosts.
        self.numbers.map_or(1, |numbers| (numbers.last - numbers.first) as usize + 1)
    }

    fn text(&self, number: u64, width: usize) -> String {
        format!("{}{number:0width$}", self.prefix)
    }

    pub(super) fn host(&self, position: usize) -> Option<String> {
        match self.numbers {
            Some(numbers) => {
                let number =
                    numbers.first.checked_add(position as u64).filter(|number| *number <= numbers.last)?;
                Some(self.text(number, numbers.width))
            }
            None => (position == 0).then(|| self.prefix.to_string()),
        }
    }

    pub(super) fn hosts(&self) -> impl DoubleEndedIterator<Item = String> + Clone + '_ {
        (0..self.len()).filter_map(|position| self.host(position))
    }

    /// The hosts, each as a run of its own.
    pub(super) fn singles(&self) -> impl Iterator<Item = Self> + '_ {
        (0..self.len()).map(|position| self.slice(position, position))
    }

    /// The hosts at positions `first..=last`, which must be within the run.
    pub(super) fn slice(&self, first: usize, last: usize) -> Self {
        let numbers = self.numbers.map(|numbers| {
            let from = numbers.first + first as u64;
            // What needs no zeros any more must not keep the width: `a[098-101]` from 100 is `a[100-101]`.
            let width = if digits(from) < numbers.width { numbers.width } else { 1 };
            Numbers { first: from, last: numbers.first + last as u64, width }
        });
        Self { prefix: Arc::clone(&self.prefix), numbers }
    }

    /// Where in the run the host is. Names are compared as texts, so `a01` is found in `a0[1-2]`.
    pub(super) fn position(&self, host: &str) -> Option<usize> {
        let Some(numbers) = self.numbers else { return (host == &*self.prefix).then_some(0) };
        let written = host.strip_prefix(&*self.prefix)?;
        if !written.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number: u64 = written.parse().ok()?;
        let within = numbers.first <= number && number <= numbers.last;
        (within && written.len() == digits(number).max(numbers.width))
            .then(|| (number - numbers.first) as usize)
    }

    /// Whether `next` follows this run so closely that both are one range. Leading zeros must agree: `099` goes on with
    /// `100`, `a9` with `a10`, but `a01` not with `a2`.
    pub(super) fn continues_with(&self, next: &Self) -> bool {
        let (Some(mine), Some(theirs)) = (self.numbers, next.numbers) else { return false };
        let follows = mine.last.checked_add(1) == Some(theirs.first) && self.prefix == next.prefix;
        let same_zeros =
            if theirs.width > 1 { mine.width == theirs.width } else { digits(theirs.first) >= mine.width };
        follows && same_zeros
    }

    /// Takes in a run that [`Run::continues_with`] accepts.
    pub(super) fn extend(&mut self, next: &Self) {
        if let (Some(mine), Some(theirs)) = (&mut self.numbers, next.numbers) {
            mine.last = theirs.last;
        }
    }

    /// Whether both are printed within one bracket.
    pub(super) fn shares_bracket_with(&self, other: &Self) -> bool {
        self.numbers.is_some() && other.numbers.is_some() && self.prefix == other.prefix
    }

    /// The order of `flux hostlist -S` for single hosts: by prefix, names without number first, then by the number of
    /// digits, then by value (recording 08: `a[11,009-010]`).
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let key = |run: &Self| {
            run.numbers.map_or((false, 0, 0), |numbers| {
                (true, digits(numbers.first).max(numbers.width), numbers.first)
            })
        };
        self.prefix.cmp(&other.prefix).then_with(|| key(self).cmp(&key(other)))
    }
}

/// How many digits a number has.
fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Writes runs that share a prefix: `a[0-1,3]`, or `a3` if it is a single host.
pub(super) fn write_group(f: &mut fmt::Formatter<'_>, group: &[Run]) -> fmt::Result {
    let Some(first) = group.first() else { return Ok(()) };
    f.write_str(&first.prefix)?;
    let single = group.len() == 1 && first.len() == 1;
    if first.numbers.is_some() && !single {
        f.write_str("[")?;
    }
    for (at, numbers) in group.iter().filter_map(|run| run.numbers).enumerate() {
        if at > 0 {
            f.write_str(",")?;
        }
        write!(f, "{:0width$}", numbers.first, width = numbers.width)?;
        if numbers.first < numbers.last {
            write!(f, "-{:0width$}", numbers.last, width = numbers.width)?;
        }
    }
    if first.numbers.is_some() && !single { f.write_str("]") } else { Ok(()) }
}
