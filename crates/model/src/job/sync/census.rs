//! The pods of a snapshot, sorted into what they mean for the Job (steps 3 and 4 of a sync).

use super::contract::Snapshot;
use super::findings::{Notes, Rule, Subject};
use super::uncounted::Recorded;
use crate::objects::{Pod, PodPhase};

/// What the rules ask about a pod, in a small row of its own: a sync goes through all pods several times, and in a Job
/// of ten thousand the pods themselves do not fit the processor's cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// The completion index, in range or not.
    pub(super) index: Option<u32>,
    /// The phase.
    pub(super) phase: PodPhase,
    /// Neither ended nor being deleted.
    pub(super) is_active: bool,
    /// Being deleted and not ended.
    pub(super) is_terminating: bool,
    /// Counts as failed.
    pub(super) is_failed: bool,
    /// The cache shows the tracking finalizer.
    pub(super) has_finalizer: bool,
    /// It does, and no sync before has patched it away.
    pub(super) is_tracked: bool,
    /// It can be counted: in Indexed Jobs only with an index in range.
    pub(super) is_countable: bool,
}

impl Facts {
    fn of(snapshot: &Snapshot, pod: &Pod, replaces_ended_pods_only: bool, completions: Option<u32>) -> Self {
        let (phase, index) = (pod.status.phase, pod.index.get());
        let is_terminating = pod.is_terminating();
        Self {
            index,
            phase,
            is_active: pod.is_active(),
            is_terminating,
            is_failed: phase == PodPhase::Failed
                || (is_terminating && mutant!(6, !replaces_ended_pods_only => true)),
            has_finalizer: pod.tracked,
            is_tracked: snapshot.is_tracked(pod),
            is_countable: completions
                .is_none_or(|count| index.is_some_and(|index| mutant!(7, index < count => index <= count))),
        }
    }

    /// The pod carries an index in range.
    pub(super) fn index_in_range(&self) -> Option<u32> {
        self.index.filter(|_| self.is_countable)
    }
}

/// The pods by what they mean; positions are those in the snapshot's list.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// Of every pod, in the order of the snapshot.
    pub(super) facts: Vec<Facts>,
    /// Neither ended nor being deleted.
    pub(super) active: Vec<usize>,
    /// How many of those are Ready.
    pub(super) ready: usize,
    /// How many pods are being deleted and have not ended.
    pub(super) terminating: usize,
    /// Succeeded, and neither counted nor recorded as succeeded (upstream `getNewFinishedPods`).
    pub(super) new_succeeded: Vec<usize>,
    /// Failed, and neither counted nor recorded as failed; failures that a policy ignores are among them.
    pub(super) new_failed: Vec<usize>,
}

impl Census {
    /// Sorts the pods of `snapshot`.
    pub(super) fn take(snapshot: &Snapshot, recorded: &Recorded, notes: &mut Notes) -> Self {
        let mut census = Self { facts: Vec::with_capacity(snapshot.pods.len()), ..Self::default() };
        let ended_only = snapshot.replaces_ended_pods_only();
        let completions = snapshot.indexed_completions();
        for (position, pod) in snapshot.pods.iter().enumerate() {
            let facts = Facts::of(snapshot, pod, ended_only, completions);
            census.facts.push(facts);
            if facts.is_active {
                if census.active.is_empty() {
                    census.active.reserve_exact(snapshot.pods.len() - position);
                }
                census.active.push(position);
                census.ready += usize::from(mutant!(8, pod.is_ready() => facts.phase == PodPhase::Running));
                continue;
            }
            census.terminating += usize::from(mutant!(9, facts.is_terminating => false));
            note(pod, facts, notes);
            if !facts.is_tracked || !facts.is_countable {
                continue;
            }
            if facts.phase == PodPhase::Succeeded {
                if !recorded.succeeded(pod.uid) {
                    census.new_succeeded.push(position);
                }
            } else if facts.is_failed && !recorded.failed(pod.uid) {
                census.new_failed.push(position);
            }
        }
        census
    }

    /// Newly failed pods whose failure counts.
    pub(super) fn counted_failures(&self, snapshot: &Snapshot) -> usize {
        self.new_failed
            .iter()
            .filter(|&&position| snapshot.is_failure_counted(&snapshot.pods[position]))
            .count()
    }

    /// The indexes, in range or not, of the pods for which `has_it` holds; they need not be in order.
    pub(super) fn indexes_where(&self, has_it: impl Fn(usize, &Facts) -> bool) -> Vec<u32> {
        let rows = self.facts.iter().enumerate();
        rows.filter_map(|(position, facts)| facts.index.filter(|_| has_it(position, facts))).collect()
    }
}

fn note(pod: &Pod, facts: Facts, notes: &mut Notes) {
    if !facts.is_tracked {
        notes.add(|| (Subject::Pod(pod.uid), Rule::PodWithoutFinalizer, String::new()));
    } else if facts.is_terminating {
        let rule = if facts.is_failed { Rule::DeletedPodFails } else { Rule::TerminatingPodAwaited };
        notes.add(|| (Subject::Pod(pod.uid), rule, String::new()));
    }
}
