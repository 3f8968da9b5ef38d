//! The pods of a snapshot, sorted into what they mean for the Job (steps 3 and 4 of a sync).

use super::contract::Snapshot;
use super::findings::{Notes, Rule, Subject};
use super::uncounted::Recorded;
use crate::objects::PodPhase;

/// Positions in the snapshot's list of pods, by what the pods mean.
#[derive(Debug, Default)]
pub(super) struct Census {
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
        let mut census = Self::default();
        for (position, pod) in snapshot.pods.iter().enumerate() {
            if pod.is_active() {
                if census.active.is_empty() {
                    census.active.reserve_exact(snapshot.pods.len() - position);
                }
                census.active.push(position);
                census.ready += usize::from(pod.is_ready());
                continue;
            }
            census.terminating += usize::from(pod.is_terminating());
            if !snapshot.is_tracked(pod) {
                notes.add(|| (Subject::Pod(pod.uid), Rule::PodWithoutFinalizer, String::new()));
                continue;
            }
            if pod.is_terminating() {
                let rule =
                    if snapshot.is_failed(pod) { Rule::DeletedPodFails } else { Rule::TerminatingPodAwaited };
                notes.add(|| (Subject::Pod(pod.uid), rule, String::new()));
            }
            if !snapshot.is_countable(pod) {
                continue;
            }
            if pod.status.phase == PodPhase::Succeeded {
                if !recorded.succeeded(pod.uid) {
                    census.new_succeeded.push(position);
                }
            } else if snapshot.is_failed(pod) && !recorded.failed(pod.uid) {
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
}
