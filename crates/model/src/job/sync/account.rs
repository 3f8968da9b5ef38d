//! Counting the pods that have ended (steps 15 and 16 of a sync; upstream `trackJobStatusAndRemoveFinalizers`).
//!
//! A pod is counted in three steps, each of which survives a crash: its uid (or its index) is written to the status,
//! its finalizer is removed, and the uid is replaced by an increment of the counter.

use super::census::Census;
use super::contract::Snapshot;
use super::decide::Verdict;
use super::findings::{Notes, Rule, Subject};
use super::indexed::Indexes;
use super::uncounted::{Recorded, count_released, tracked_pods};
use crate::objects::{JobConditionType, JobStatus, Pod, PodPhase};
use crate::time::Time;

/// What is counted, and by which facts.
pub(super) struct Account<'a> {
    /// What the controller knows.
    pub(super) snapshot: &'a Snapshot,
    /// The pods, sorted.
    pub(super) census: &'a Census,
    /// Pods that the status named as uncounted when the sync began.
    pub(super) recorded: &'a Recorded,
    /// The indexes of an Indexed Job.
    pub(super) indexes: Option<&'a Indexes>,
    /// The decision about the Job.
    pub(super) verdict: Option<&'a Verdict>,
}

/// What the accounting came to.
#[derive(Debug, Default)]
pub(super) struct Accounted {
    /// Pods whose finalizer is to be removed.
    pub(super) releases: Vec<usize>,
    /// Not all pods were looked at.
    pub(super) capped: bool,
    /// The status has to be written.
    pub(super) changed: bool,
}

/// What becomes of one pod that loses its finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// A completed index.
    Index,
    /// A success of a NonIndexed Job.
    Succeeded,
    /// A failure.
    Failed,
    /// Nothing is counted.
    Nothing,
}

impl Account<'_> {
    /// Counts what can be counted into `status`.
    pub(super) fn settle(&self, status: &mut JobStatus, notes: &mut Notes) -> Accounted {
        let uncounted = status.uncounted.get_or_insert_default();
        let mut accounted = Accounted::default();
        if !uncounted.is_empty() {
            accounted.changed = count_released(status, &tracked_pods(self.snapshot, self.census));
        }
        self.release_pods(status, &mut accounted, notes);
        accounted.changed |= self.write_indexes(status);
        accounted
    }

    /// Goes through the pods whose finalizer may go, in Indexed Jobs by index, until the cap is reached.
    fn release_pods(&self, status: &mut JobStatus, accounted: &mut Accounted, notes: &mut Notes) {
        let pods = &self.snapshot.pods;
        let mut ended: Vec<usize> =
            (0..pods.len()).filter(|&position| self.may_release(position, notes)).collect();
        if self.indexes.is_some() {
            ended.sort_by_key(|&position| self.census.facts[position].index);
        }
        let Some(uncounted) = &mut status.uncounted else { return };
        let mut new_indexes = 0;
        for (done, &position) in ended.iter().enumerate() {
            let pod = &pods[position];
            let entry = self.entry(position, notes);
            match entry {
                Entry::Index => new_indexes += 1,
                Entry::Succeeded => uncounted.succeeded.push(pod.uid),
                Entry::Failed => uncounted.failed.push(pod.uid),
                Entry::Nothing => {}
            }
            accounted.changed |= entry != Entry::Nothing;
            let entries = new_indexes + uncounted.succeeded.len() + uncounted.failed.len();
            if entries >= self.snapshot.limits.uncounted_pods_max {
                accounted.capped = true;
                let left = ended.len() - done - 1;
                notes.add(|| (Subject::Job, Rule::AccountingCapped, format!("{left} pods left")));
                ended.truncate(done + 1);
                break;
            }
        }
        accounted.releases = ended;
    }

    /// Whether the finalizer of the pod may go (upstream `canRemoveFinalizer`).
    fn may_release(&self, position: usize, notes: &mut Notes) -> bool {
        let facts = self.census.facts[position];
        if !facts.is_tracked {
            return false;
        }
        let is_over =
            mutant!(42, self.snapshot.job.deletion_time.is_some() => false) || self.verdict.is_some();
        if is_over || facts.phase == PodPhase::Succeeded {
            return true;
        }
        if !facts.is_failed {
            return false;
        }
        let held = |indexes: &Indexes| {
            facts.index.and_then(|index| indexes.held.get(&index)).is_some_and(|&held| held == position)
        };
        let is_held = self.indexes.is_some_and(held);
        if is_held {
            notes.add(|| (Subject::Pod(self.snapshot.pods[position].uid), Rule::PodHeld, String::new()));
        }
        mutant!(43, !is_held => true)
    }

    /// What a pod that loses its finalizer counts for.
    fn entry(&self, position: usize, notes: &mut Notes) -> Entry {
        let (pod, facts) = (&self.snapshot.pods[position], self.census.facts[position]);
        let uid = pod.uid;
        let mut note = |rule, entry| {
            notes.add(|| (Subject::Pod(uid), rule, detail_of(pod)));
            entry
        };
        if facts.phase == PodPhase::Succeeded && !self.recorded.failed(uid) {
            return match self.indexes {
                Some(_) if !facts.is_countable => note(Rule::EndedOutOfRange, Entry::Nothing),
                Some(indexes) => {
                    let is_new = facts.index.is_some_and(|index| !indexes.previous.contains(index));
                    note(Rule::PodSucceeded, if is_new { Entry::Index } else { Entry::Nothing })
                }
                None if self.recorded.succeeded(uid) => Entry::Nothing,
                None => note(Rule::PodSucceeded, Entry::Succeeded),
            };
        }
        if !facts.is_failed && !self.fails_unfinished_pods() {
            let rule = if self.verdict.is_some() { Rule::SurvivorNotFailed } else { Rule::PodReleased };
            return note(rule, Entry::Nothing);
        }
        if !facts.is_countable {
            return note(Rule::EndedOutOfRange, Entry::Nothing);
        }
        if self.recorded.failed(uid) {
            return Entry::Nothing;
        }
        if !self.snapshot.is_failure_counted(pod) {
            return note(Rule::PodFailureIgnored, Entry::Nothing);
        }
        note(if facts.is_failed { Rule::PodFailed } else { Rule::UnfinishedPodFails }, Entry::Failed)
    }

    /// The decision makes failures of pods that have not ended. Up to 1.30 any decision does.
    fn fails_unfinished_pods(&self) -> bool {
        self.verdict.is_some_and(|verdict| mutant!(44, !verdict.is_interim_success() => false))
    }

    /// Writes the index sets. The counter of successes follows the set, so it may fall.
    fn write_indexes(&self, status: &mut JobStatus) -> bool {
        let Some(indexes) = self.indexes else { return false };
        let mut changed = false;
        if !indexes.succeeded.is_text(&status.completed_indexes) {
            status.completed_indexes = indexes.succeeded.to_string().into();
            changed = true;
        }
        status.succeeded = i32::try_from(indexes.succeeded.len()).unwrap_or(i32::MAX);
        let is_same = match (&indexes.failed, &status.failed_indexes) {
            (None, None) => true,
            (Some(failed), Some(text)) => failed.is_text(text),
            _ => false,
        };
        if !is_same {
            status.failed_indexes = indexes.failed.as_ref().map(|failed| failed.to_string().into());
        }
        changed || !is_same
    }
}

/// Adds the interim condition of a decision and turns the decision into the final one (step 16). Returns whether the
/// status changed.
pub(super) fn announce(verdict: &mut Verdict, status: &mut JobStatus, now: Time) -> bool {
    let (is_new, last) = match verdict.kind {
        JobConditionType::FailureTarget => (true, JobConditionType::Failed),
        JobConditionType::SuccessCriteriaMet => (
            status.true_condition(JobConditionType::SuccessCriteriaMet).is_none(),
            JobConditionType::Complete,
        ),
        _ => return false,
    };
    if mutant!(45, is_new => false) {
        status.conditions.push(verdict.condition());
    }
    (verdict.kind, verdict.at) = (last, now);
    is_new
}

fn detail_of(pod: &Pod) -> String {
    let phase = pod.status.phase.as_str();
    pod.index.get().map_or_else(|| phase.to_owned(), |index| format!("{phase}, index {index}"))
}
