//! How many pods there should be, and which are created or deleted for it (spec sections 3.4 and 6; upstream
//! `manageJob`).

use std::collections::BTreeSet;
use std::time::Duration;

use super::backoff::{counted_failures, ignored_failures, remaining_for_index, requeue_delay};
use super::census::Census;
use super::contract::{BackoffRecord, Effect, Snapshot};
use super::findings::{Notes, Rule, Subject};
use super::indexed::{Indexes, Misfit, split_misfits};
use super::ranking;
use crate::server::PodDraft;
use crate::time::Time;

/// What is to be done about the pods.
#[derive(Debug, PartialEq)]
pub(super) enum Plan {
    /// Nothing.
    Keep,
    /// Creation has to wait for a back-off delay.
    Wait(Duration),
    /// Release and delete these pods.
    Delete(Vec<usize>),
    /// Create these pods, in this order.
    Create(Vec<PodDraft>),
}

impl Plan {
    /// The changes of the controller's memory that come before the plan is carried out.
    pub(super) fn effects(&self) -> Option<Effect> {
        let count = |pods: usize| u32::try_from(pods).unwrap_or(u32::MAX);
        match self {
            Self::Keep => None,
            Self::Wait(remaining) => {
                mutant!(5, Some(Effect::RequeueAfter(requeue_delay(*remaining))) => None)
            }
            Self::Delete(pods) => Some(Effect::ExpectDeletions(count(pods.len()))),
            Self::Create(drafts) => Some(Effect::ExpectCreations(count(drafts.len()))),
        }
    }
}

/// What the plan is made from.
pub(super) struct Stock<'a> {
    /// What the controller knows.
    pub(super) snapshot: &'a Snapshot,
    /// The pods, sorted.
    pub(super) census: &'a Census,
    /// The indexes of an Indexed Job.
    pub(super) indexes: Option<&'a Indexes>,
    /// Successes, those of this sync included.
    pub(super) succeeded: i32,
    /// The back-off record that this sync came to.
    pub(super) backoff: BackoffRecord,
    /// The present instant.
    pub(super) now: Time,
}

impl Stock<'_> {
    /// Decides what is to be done. Deletion comes first: no sync both deletes and creates.
    pub(super) fn plan(&self, notes: &mut Notes) -> Plan {
        let active = self.census.active.len();
        if self.snapshot.job.spec.suspend {
            let victims = self.victims(active);
            note_pods(
                self.snapshot,
                victims.iter().map(|&(position, _)| (position, Rule::DeletedSuspended)),
                notes,
            );
            return Plan::Delete(victims.into_iter().map(|(position, _)| position).collect());
        }
        let want = self.want(notes);
        let mut victims = self.victims(active.saturating_sub(want));
        victims.truncate(self.snapshot.limits.create_delete_max);
        if !victims.is_empty() {
            note_pods(self.snapshot, victims.iter().copied(), notes);
            self.note_survivors(&victims, notes);
            let terminating = self.blocking_terminating();
            if want > active + terminating - victims.len().min(active) {
                notes.add(|| (Subject::Job, Rule::DeletionFirst, format!("{} to delete", victims.len())));
            }
            return Plan::Delete(victims.into_iter().map(|(position, _)| position).collect());
        }
        self.creations(want, notes)
    }

    /// Tells which pods stay when others go.
    fn note_survivors(&self, victims: &[(usize, Rule)], notes: &mut Notes) {
        let survivors = notes.when_on(|| {
            let gone: BTreeSet<usize> = victims.iter().map(|&(position, _)| position).collect();
            self.census.active.iter().copied().filter(|position| !gone.contains(position)).collect()
        });
        note_pods(self.snapshot, survivors.into_iter().map(|position| (position, Rule::PodKept)), notes);
    }

    /// How many pods should be active.
    fn want(&self, notes: &mut Notes) -> usize {
        let spec = &self.snapshot.job.spec;
        let active = self.census.active.len();
        let Some(completions) = spec.completions else {
            if mutant!(31, self.succeeded > 0 => false) {
                notes.add(|| (Subject::Job, Rule::SuccessKeepsPods, format!("{active} active")));
                return active;
            }
            return usize::try_from(spec.parallelism).unwrap_or(0);
        };
        let missing = completions.saturating_sub(self.succeeded);
        let want =
            usize::try_from(mutant!(30, missing.min(spec.parallelism) => spec.parallelism)).unwrap_or(0);
        notes.add(|| {
            let detail = format!(
                "{want} wanted (parallelism {}, completions {completions}, succeeded {}), {active} active",
                spec.parallelism, self.succeeded
            );
            (Subject::Job, Rule::PodsWanted, detail)
        });
        want
    }

    /// At least `surplus` active pods that have to go, each with the reason, in upstream's order.
    fn victims(&self, surplus: usize) -> Vec<(usize, Rule)> {
        if surplus == 0 && self.indexes.is_none_or(|indexes| indexes.fits(self.snapshot, self.census)) {
            return Vec::new();
        }
        let (mut victims, mut rest) = if self.indexes.is_some() {
            let (misfits, rest) = split_misfits(self.snapshot, self.census);
            (misfits.into_iter().map(|(position, misfit)| (position, rule_of(misfit))).collect(), rest)
        } else {
            (Vec::new(), self.census.active.clone())
        };
        if victims.len() < surplus {
            ranking::sort(&mut rest, &self.snapshot.pods, &self.snapshot.features);
            let missing = surplus - victims.len();
            victims.extend(rest.into_iter().take(missing).map(|position| (position, Rule::DeletedSurplus)));
        }
        victims
    }

    /// Pods being deleted that occupy the places of new ones.
    fn blocking_terminating(&self) -> usize {
        if self.snapshot.replaces_ended_pods_only() { self.census.terminating } else { 0 }
    }

    fn creations(&self, want: usize, notes: &mut Notes) -> Plan {
        let (active, terminating) = (self.census.active.len(), self.blocking_terminating());
        if terminating > 0 && want > active {
            notes.add(|| (Subject::Job, Rule::SlotsHeld, format!("{terminating} terminating")));
        }
        let missing = want.saturating_sub(mutant!(32, terminating => 0)).saturating_sub(active);
        if missing == 0 {
            return Plan::Keep;
        }
        let per_index = self.snapshot.backoff_limit_per_index().is_some() && self.indexes.is_some();
        let remaining =
            if mutant!(35, per_index => false) { Duration::ZERO } else { self.backoff.remaining(self.now) };
        if !remaining.is_zero() {
            let (failures, left) = (self.backoff.failures_after_last_success, remaining.as_secs_f64());
            notes
                .add(|| (Subject::Job, Rule::CreationDelayed, format!("{failures} failures, {left} s left")));
            return Plan::Wait(remaining);
        }
        let capped = missing.min(self.snapshot.limits.create_delete_max);
        if capped < missing {
            notes.add(|| (Subject::Job, Rule::CreationCapped, format!("{capped} of {missing}")));
        }
        match self.indexes {
            None => Plan::Create(vec![
                PodDraft {
                    index: None,
                    index_failure_count: None,
                    index_ignored_failure_count: None
                };
                capped
            ]),
            Some(indexes) => self.creations_of_indexes(indexes, capped, per_index, notes),
        }
    }

    /// The candidates are chosen before those that have to wait are dropped, so a low index that waits can keep a
    /// higher one from being started.
    fn creations_of_indexes(
        &self,
        indexes: &Indexes,
        count: usize,
        per_index: bool,
        notes: &mut Notes,
    ) -> Plan {
        let candidates = indexes.first_pending(self.snapshot, self.census, count);
        let mut drafts = Vec::with_capacity(candidates.len());
        let mut shortest: Option<Duration> = None;
        for index in candidates {
            let held = indexes.held.get(&index).copied();
            let remaining = held.map_or(Duration::ZERO, |position| {
                remaining_for_index(&self.snapshot.pods[position], &self.snapshot.features, self.now)
            });
            if remaining.is_zero() {
                notes.add(|| (Subject::Index(index), Rule::IndexStarted, String::new()));
                drafts.push(if per_index { self.draft(index, held) } else { plain_draft(index) });
            } else {
                let left = remaining.as_secs_f64();
                notes.add(|| (Subject::Index(index), Rule::IndexDelayed, format!("{left} s left")));
                shortest = Some(shortest.map_or(remaining, |shortest| shortest.min(remaining)));
            }
        }
        match shortest {
            Some(shortest) if drafts.is_empty() => Plan::Wait(shortest),
            _ => Plan::Create(drafts),
        }
    }

    /// A pod with the failure count of its index: one more than the held pod's (upstream
    /// `TestGetNewIndexFailureCountValue`).
    fn draft(&self, index: u32, held: Option<usize>) -> PodDraft {
        let (mut counted, mut ignored) = (0, 0);
        if let Some(position) = held {
            let pod = &self.snapshot.pods[position];
            (counted, ignored) = (counted_failures(pod), ignored_failures(pod));
            let count = if self.snapshot.is_failure_counted(pod) { &mut counted } else { &mut ignored };
            *count = count.saturating_add(mutant!(34, 1 => 0));
        }
        PodDraft {
            index: Some(index),
            index_failure_count: Some(counted),
            index_ignored_failure_count: (ignored > 0).then_some(ignored),
        }
    }
}

const fn plain_draft(index: u32) -> PodDraft {
    PodDraft { index: Some(index), index_failure_count: None, index_ignored_failure_count: None }
}

const fn rule_of(misfit: Misfit) -> Rule {
    match misfit {
        Misfit::NoIndex => Rule::DeletedNoIndex,
        Misfit::Duplicate => Rule::DeletedDuplicate,
        Misfit::OutOfRange => Rule::DeletedOutOfRange,
    }
}

fn note_pods(snapshot: &Snapshot, pods: impl Iterator<Item = (usize, Rule)>, notes: &mut Notes) {
    for (position, rule) in pods {
        notes.add(|| {
            let pod = &snapshot.pods[position];
            let detail = pod.index.get().map_or_else(String::new, |index| format!("index {index}"));
            (Subject::Pod(pod.uid), rule, detail)
        });
    }
}

/// The progress of creating pods in batches that double while all goes well (slow start).
#[derive(Debug)]
pub(super) struct SlowStart {
    drafts: Vec<PodDraft>,
    done: usize,
    batch: usize,
}

impl SlowStart {
    /// Starts with a batch of one.
    pub(super) const fn new(drafts: Vec<PodDraft>) -> Self {
        Self { drafts, done: 0, batch: 1 }
    }

    /// The pods of the present batch; empty when all are done.
    pub(super) fn batch(&self) -> &[PodDraft] {
        let left = self.drafts.len() - self.done;
        &self.drafts[self.done..self.done + self.batch.min(left)]
    }

    /// Goes on to the next batch, twice as large.
    pub(super) fn advance(&mut self) {
        self.done += self.batch().len();
        self.batch = self.batch.saturating_mul(mutant!(33, 2 => 4));
    }

    /// Pods after the present batch.
    pub(super) fn left_after_batch(&self) -> usize {
        self.drafts.len() - self.done - self.batch().len()
    }

    /// Pods in all.
    pub(super) fn len(&self) -> usize {
        self.drafts.len()
    }
}
