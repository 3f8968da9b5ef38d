//! Completion indexes: which are done, failed, held or pending (steps 9 and 10; upstream `indexed_job_utils.go`).

use std::collections::BTreeMap;

use super::backoff::{failure_count, finish_time};
use super::census::{Census, Facts};
use super::contract::Snapshot;
use super::findings::{Notes, Rule, Subject};
use super::ranking;
use crate::index_set::IndexSet;
use crate::objects::PodPhase;

/// Indexes that are explained at most, so that the text of a status cannot ask for millions of findings.
const NOTED_MAX: usize = 100_000;

/// What is known about the indexes of an Indexed Job.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    /// Succeeded according to the status, as far as below `completions`.
    pub(super) previous: IndexSet,
    /// Succeeded, this sync's pods included.
    pub(super) succeeded: IndexSet,
    /// Failed for good; only with `backoffLimitPerIndex`.
    pub(super) failed: Option<IndexSet>,
    /// Of active pods, in range or not.
    pub(super) active: IndexSet,
    /// Failed pods whose finalizer stays until their replacement carries their failure count on, by index.
    pub(super) held: BTreeMap<u32, usize>,
}

impl Indexes {
    /// Reads them from the snapshot; `None` in NonIndexed Jobs.
    pub(super) fn of(snapshot: &Snapshot, census: &Census, notes: &mut Notes) -> Option<Self> {
        let completions = snapshot.indexed_completions()?;
        let status = &snapshot.job.status;
        let previous = IndexSet::parse_below(&status.completed_indexes, mutant!(38, completions => u32::MAX));
        let succeeded = with_pods(&previous, census, |_, facts| facts.phase == PodPhase::Succeeded);
        note_forgotten(snapshot, completions, notes);
        let failed = snapshot.backoff_limit_per_index().map(|_| {
            let text = status.failed_indexes.as_deref().unwrap_or("");
            let previous = IndexSet::parse_below(text, completions);
            with_pods(&previous, census, |position, facts| {
                facts.is_failed && snapshot.is_index_failed_by(&snapshot.pods[position])
            })
        });
        let active = set_of(census.indexes_where(|_, facts| facts.is_active));
        let mut indexes = Self { previous, succeeded, failed, active, held: BTreeMap::new() };
        if indexes.failed.is_some() {
            indexes.held = indexes.held_pods(snapshot, census);
        }
        indexes.note(notes);
        Some(indexes)
    }

    /// How many indexes have failed.
    pub(super) fn failed_len(&self) -> usize {
        self.failed.as_ref().map_or(0, IndexSet::len)
    }

    /// Per index that is neither active nor decided, the failed pod that the replacement takes over from: the one with
    /// the most failures before it and the latest end (upstream `TestGetPodsWithDelayedDeletionPerIndex`).
    fn held_pods(&self, snapshot: &Snapshot, census: &Census) -> BTreeMap<u32, usize> {
        let features = &snapshot.features;
        let mut held: BTreeMap<u32, usize> = BTreeMap::new();
        for (position, facts) in census.facts.iter().enumerate() {
            let Some(index) = facts.index_in_range().filter(|_| facts.is_tracked && facts.is_failed) else {
                continue;
            };
            let is_decided = self.succeeded.contains(index)
                || self.failed.as_ref().is_some_and(|failed| failed.contains(index));
            if is_decided || self.active.contains(index) {
                continue;
            }
            let slot = held.entry(index).or_insert(position);
            let (current, pod) = (&snapshot.pods[*slot], &snapshot.pods[position]);
            if failure_count(current) <= failure_count(pod)
                && finish_time(current, features) <= finish_time(pod, features)
            {
                *slot = position;
            }
        }
        held
    }

    /// Whether every active pod has an index in range to itself.
    pub(super) fn fits(&self, snapshot: &Snapshot, census: &Census) -> bool {
        let completions = snapshot.indexed_completions().unwrap_or(0);
        self.active.len() == census.active.len()
            && self.active.last().is_none_or(|last| mutant!(41, last < completions => true))
    }

    /// The lowest indexes, at most `max`, that are neither active, succeeded nor failed, nor (when only ended pods are
    /// replaced) terminating (upstream `TestFirstPendingIndexes`).
    pub(super) fn first_pending(&self, snapshot: &Snapshot, census: &Census, max: usize) -> Vec<u32> {
        let mut taken = self.succeeded.union(&self.active);
        if snapshot.replaces_ended_pods_only() && census.terminating > 0 {
            taken = taken.union(&set_of(census.indexes_where(|_, facts| facts.is_terminating)));
        }
        if let Some(failed) = mutant!(39, &self.failed => &None) {
            taken = taken.union(failed);
        }
        taken.missing_below(snapshot.indexed_completions().unwrap_or(0), max)
    }

    fn note(&self, notes: &mut Notes) {
        for index in notes.when_on(|| self.succeeded.iter().take(NOTED_MAX).collect()) {
            let origin = if self.previous.contains(index) {
                "recorded in the status"
            } else {
                "by a pod of this sync"
            };
            notes.add(|| (Subject::Index(index), Rule::IndexCompleted, origin.to_owned()));
        }
        for index in notes.when_on(|| self.failed.iter().flat_map(IndexSet::iter).take(NOTED_MAX).collect()) {
            notes.add(|| (Subject::Index(index), Rule::IndexFailed, String::new()));
        }
    }
}

/// Tells which indexes the status names though they are out of range.
fn note_forgotten(snapshot: &Snapshot, completions: u32, notes: &mut Notes) {
    let beyond = notes.when_on(|| {
        let all = IndexSet::parse_below(&snapshot.job.status.completed_indexes, u32::MAX);
        all.iter_from(completions).take(NOTED_MAX).collect()
    });
    for index in beyond {
        notes.add(|| (Subject::Index(index), Rule::IndexForgotten, format!("completions is {completions}")));
    }
}

/// `previous` and the in-range indexes of the pods with the finalizer for which `has_it` holds. That a sync before has
/// patched the finalizer away does not matter here: only what the cache shows.
fn with_pods(previous: &IndexSet, census: &Census, has_it: impl Fn(usize, &Facts) -> bool) -> IndexSet {
    let found = census.indexes_where(|position, facts| {
        mutant!(40, facts.has_finalizer => true) && facts.is_countable && has_it(position, facts)
    });
    if found.is_empty() { previous.clone() } else { previous.union(&set_of(found)) }
}

/// The set of these indexes, in any order.
fn set_of(mut indexes: Vec<u32>) -> IndexSet {
    if !indexes.is_sorted() {
        indexes.sort_unstable();
    }
    IndexSet::from_ascending(indexes)
}

/// Why an active pod has to go whatever the number of pods wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// Its index is unknown.
    NoIndex,
    /// Another active pod has the same index.
    Duplicate,
    /// Its index is not below `completions`.
    OutOfRange,
}

/// Active pods split in those that have to go and the rest, in the order in which upstream considers them
/// (`TestAppendDuplicatedIndexPodsForRemoval`): a group of one index is judged when the next index begins, so the last
/// group comes after the pods out of range.
pub(super) fn split_misfits(snapshot: &Snapshot, census: &Census) -> (Vec<(usize, Misfit)>, Vec<usize>) {
    let completions = snapshot.indexed_completions().unwrap_or(0);
    let index_of = |position: usize| census.facts[position].index;
    let mut positions = census.active.clone();
    if !positions.is_sorted_by_key(|&position| index_of(position)) {
        positions.sort_by_key(|&position| index_of(position));
    }
    let in_range =
        positions.partition_point(|&position| index_of(position).is_none_or(|index| index < completions));
    let (mut misfits, mut rest) = (Vec::new(), Vec::with_capacity(in_range));
    let mut groups = positions[..in_range].chunk_by(|&a, &b| index_of(a) == index_of(b)).peekable();
    let mut last_group: &[usize] = &[];
    while let Some(group) = groups.next() {
        if groups.peek().is_none() {
            last_group = group;
        } else {
            judge_group(snapshot, group, &mut misfits, &mut rest);
        }
    }
    misfits.extend(positions[in_range..].iter().map(|&position| (position, Misfit::OutOfRange)));
    judge_group(snapshot, last_group, &mut misfits, &mut rest);
    (misfits, rest)
}

/// Of the pods of one index only the one that ranks highest stays; none stays without an index.
fn judge_group(
    snapshot: &Snapshot,
    group: &[usize],
    misfits: &mut Vec<(usize, Misfit)>,
    rest: &mut Vec<usize>,
) {
    match *group {
        [] => {}
        [first, ..] if snapshot.pods[first].index.get().is_none() => {
            misfits.extend(group.iter().map(|&position| (position, Misfit::NoIndex)));
        }
        [only] => rest.push(only),
        _ => {
            let mut ranked = group.to_vec();
            ranking::sort(&mut ranked, &snapshot.pods, &snapshot.features);
            rest.extend(ranked.pop());
            misfits.extend(ranked.into_iter().map(|position| (position, Misfit::Duplicate)));
        }
    }
}
