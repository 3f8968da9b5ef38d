//! Hostlists: ordered lists of host names, repeats allowed (RFC 29). The rank of a broker is its position in one.
//!
//! A list is kept as runs: a prefix and a range of numbers, printed with leading zeros up to a width. Runs make
//! `flux-sample-[0-9999]` one entry, and they are what is printed. Peculiarities that recording 08 shows and that are
//! kept: only the first bracket of a word expands; order and repeats survive (`[3,1,0]`, `[1,1]`); hosts with something
//! behind the number do not join (`a0-ib,a1-ib`); blanks in brackets count as width.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::idset::Idset;

mod parse;
mod run;

use run::Run;

/// An ordered list of host names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hostlist {
    runs: Vec<Run>,
}

/// The text is no hostlist: Flux's `Invalid hostlist` (recording 08).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid hostlist: '{text}'")]
pub struct InvalidHostlist {
    /// What was given.
    pub text: String,
}

impl Hostlist {
    /// The most hosts of one range, as in Flux.
    pub const RANGE_MAX: u64 = 1 << 20;
    /// The most hosts of a whole list; a limit of ours, far beyond any instance.
    pub const HOSTS_MAX: usize = 1 << 24;

    /// The list without a host.
    pub const fn new() -> Self {
        Self { runs: Vec::new() }
    }

    /// Whether there is no host.
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many hosts there are, repeats counted.
    pub fn len(&self) -> usize {
        self.runs.iter().map(Run::len).sum()
    }

    /// Appends one host name as it is: brackets in it are part of the name.
    pub fn push(&mut self, host: &str) {
        self.push_run(Run::of(host));
    }

    /// Appends another list.
    pub fn append(&mut self, other: &Self) {
        for run in &other.runs {
            self.push_run(run.clone());
        }
    }

    fn push_run(&mut self, run: Run) {
        match self.runs.last_mut() {
            Some(last) if last.continues_with(&run) => last.extend(&run),
            _ => self.runs.push(run),
        }
    }

    /// The names, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = String> + Clone + '_ {
        self.runs.iter().flat_map(Run::hosts)
    }

    /// The name at a position: the host of a rank.
    pub fn get(&self, position: usize) -> Option<String> {
        let mut before = 0;
        for run in &self.runs {
            if position < before + run.len() {
                return run.host(position - before);
            }
            before += run.len();
        }
        None
    }

    /// The first position of a host: its rank.
    pub fn find(&self, host: &str) -> Option<usize> {
        let mut before = 0;
        for run in &self.runs {
            if let Some(at) = run.position(host) {
                return Some(before + at);
            }
            before += run.len();
        }
        None
    }

    /// Whether the host is in the list.
    pub fn contains(&self, host: &str) -> bool {
        self.find(host).is_some()
    }

    /// The hosts at these positions; positions beyond the end are left out. Works on ranges, so that node lists of large
    /// instances are cheap.
    pub fn select(&self, positions: &Idset) -> Self {
        let mut chosen = Self::new();
        let mut runs = self.runs.iter();
        let Some(mut run) = runs.next() else { return chosen };
        let mut before = 0;
        'ranges: for (first, last) in positions.ranges() {
            let (mut next, last) = (first as usize, last as usize);
            while next <= last {
                while next >= before + run.len() {
                    before += run.len();
                    run = match runs.next() {
                        Some(run) => run,
                        None => break 'ranges,
                    };
                }
                let end = last.min(before + run.len() - 1);
                chosen.push_run(run.slice(next - before, end - before));
                next = end + 1;
            }
        }
        chosen
    }

    /// The positions of all hosts that are in `hosts`, or the first of them that is not here.
    pub fn positions(&self, hosts: &Self) -> Result<Idset, String> {
        hosts
            .iter()
            .map(|host| self.find(&host).and_then(|at| u32::try_from(at).ok()).ok_or(host))
            .collect::<Result<Vec<u32>, String>>()
            .map(Idset::from_iter)
    }

    /// Sorts by prefix, then by the length of the number, then by the number (`flux hostlist -S`).
    pub fn sort(&mut self) {
        let mut singles: Vec<Run> = self.runs.iter().flat_map(Run::singles).collect();
        singles.sort_by(Run::order);
        *self = Self::of_runs(singles);
    }

    /// Sorts and drops repeats (`flux hostlist -u`).
    pub fn unique(&mut self) {
        let mut singles: Vec<Run> = self.runs.iter().flat_map(Run::singles).collect();
        singles.sort_by(Run::order);
        singles.dedup_by(|a, b| a.order(b).is_eq());
        *self = Self::of_runs(singles);
    }

    fn of_runs(runs: Vec<Run>) -> Self {
        let mut list = Self::new();
        for run in runs {
            list.push_run(run);
        }
        list
    }

    /// Hosts of either list, sorted, each once (`flux hostlist -u A B`).
    pub fn union(&self, other: &Self) -> Self {
        let mut union = self.clone();
        union.append(other);
        union.unique();
        union
    }

    /// Hosts of both lists, sorted, each once (`flux hostlist -i A B`).
    pub fn intersection(&self, other: &Self) -> Self {
        let others: BTreeSet<String> = other.iter().collect();
        let mut both: Self = self.iter().filter(|host| others.contains(host)).collect();
        both.unique();
        both
    }

    /// All hosts that are not in `other`, in order and with repeats.
    pub fn difference(&self, other: &Self) -> Self {
        let others: BTreeSet<String> = other.iter().collect();
        self.iter().filter(|host| !others.contains(host)).collect()
    }

    /// Hosts of one list but not of both, sorted, each once (`flux hostlist -X A B`).
    pub fn symmetric_difference(&self, other: &Self) -> Self {
        let mut either = self.difference(other);
        either.append(&other.difference(self));
        either.unique();
        either
    }

    /// Takes each host of `other` away once, where it comes first (`flux hostlist -m A B`).
    pub fn subtract(&mut self, other: &Self) {
        let mut hosts: Vec<Option<String>> = self.iter().map(Some).collect();
        // Positions of equal names, last first, so that the first is at the end.
        let mut places: std::collections::BTreeMap<String, Vec<usize>> = std::collections::BTreeMap::new();
        for (at, host) in hosts.iter().enumerate().rev() {
            places.entry(host.clone().unwrap_or_default()).or_default().push(at);
        }
        for host in other.iter() {
            if let Some(slot) = places.get_mut(&host).and_then(Vec::pop).and_then(|at| hosts.get_mut(at)) {
                *slot = None;
            }
        }
        *self = hosts.into_iter().flatten().collect();
    }
}

impl<S: AsRef<str>> FromIterator<S> for Hostlist {
    fn from_iter<I: IntoIterator<Item = S>>(hosts: I) -> Self {
        let mut list = Self::new();
        for host in hosts {
            list.push(host.as_ref());
        }
        list
    }
}

impl fmt::Display for Hostlist {
    /// Neighbours with one prefix share a bracket; a bracket with a single number is not printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.runs.as_slice();
        let mut separator = "";
        while let Some(first) = rest.first() {
            let together = rest.iter().take_while(|run| run.shares_bracket_with(first)).count().max(1);
            let (group, behind) = rest.split_at(together);
            f.write_str(separator)?;
            run::write_group(f, group)?;
            separator = ",";
            rest = behind;
        }
        Ok(())
    }
}

impl FromStr for Hostlist {
    type Err = InvalidHostlist;

    fn from_str(text: &str) -> Result<Self, InvalidHostlist> {
        parse::parse(text).ok_or_else(|| InvalidHostlist { text: text.to_owned() })
    }
}
