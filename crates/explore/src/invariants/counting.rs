//! Rules about how ends of pods get into the counters of a Job.

use towtank_model::objects::{Pod, PodPhase, Uid};
use towtank_model::server::Verb;

use super::ledger::{
    completed, completions, failed, int, is_decided, newly_failed, uncounted_failed, uncounted_succeeded,
};
use super::{Check, Holds, Invariant, Write, holds};

pub(super) const RULES: &[Invariant] = &[
    Invariant {
        name: "failed rises by the pods that leave uncountedTerminatedPods",
        source: "KEP-2307; batch/v1 JobStatus.failed",
        check: Check::Job(|write| {
            let Some((old, new)) = write.both() else { return Ok(()) };
            let left = gone_from(uncounted_failed(&old.status), uncounted_failed(&new.status));
            holds(new.status.failed == old.status.failed + left, || {
                format!("{} -> {}, {left} left", old.status.failed, new.status.failed)
            })
        }),
    },
    Invariant {
        name: "succeeded of a NonIndexed Job rises by the pods that leave uncountedTerminatedPods",
        source: "KEP-2307; batch/v1 JobStatus.succeeded",
        check: Check::Job(|write| {
            let Some((old, new)) = write.both().filter(|(old, _)| !old.spec.is_indexed()) else {
                return Ok(());
            };
            let left = gone_from(uncounted_succeeded(&old.status), uncounted_succeeded(&new.status));
            holds(new.status.succeeded == old.status.succeeded + left, || {
                format!("{} -> {}, {left} left", old.status.succeeded, new.status.succeeded)
            })
        }),
    },
    Invariant {
        name: "succeeded of an Indexed Job is the size of completedIndexes",
        source: "job controller trackJobStatusAndRemoveFinalizers",
        check: Check::Job(|write| {
            let Some(job) = write.new.filter(|job| write.verb == Verb::UpdateStatus && job.spec.is_indexed())
            else {
                return Ok(());
            };
            holds(job.status.succeeded == int(completed(job).len()), || {
                format!("{} of {}", job.status.succeeded, job.status.completed_indexes)
            })
        }),
    },
    Invariant {
        name: "no index in range is forgotten",
        source: "KEP-3715: only what falls out of range is; KEP-3850",
        check: Check::Job(|write| {
            let Some((old, new)) = write.both() else { return Ok(()) };
            for (before, after) in [(completed(old), completed(new)), (failed(old), failed(new))] {
                let lost = before.iter().find(|&index| index < completions(new) && !after.contains(index));
                holds(lost.is_none(), || format!("{lost:?}: {before} -> {after}"))?;
            }
            Ok(())
        }),
    },
    Invariant {
        name: "an index completes through a pod that succeeded, and fails through one that failed",
        source: "job controller calculateSucceededIndexes, calculateFailedIndexes",
        check: Check::Job(|write| {
            let Some((old, new)) = write.both().filter(|_| write.is_informed_decision()) else {
                return Ok(());
            };
            let has_pod = |index: u32, phase: PodPhase| {
                let is_cause =
                    |pod: &Pod| pod.tracked && pod.index.get() == Some(index) && pod.status.phase == phase;
                let deletion_fails = phase == PodPhase::Failed && !write.ledger.replaces_only_ended(new);
                write.ledger.pods_of(new.uid).any(|pod| {
                    let is_deleted = pod.tracked && pod.index.get() == Some(index) && pod.is_deleting();
                    is_cause(pod) || (deletion_fails && is_deleted)
                })
            };
            let sets = [
                (completed(old), completed(new), PodPhase::Succeeded),
                (failed(old), failed(new), PodPhase::Failed),
            ];
            for (before, after, phase) in sets {
                let unfounded = after.iter().find(|&index| !before.contains(index) && !has_pod(index, phase));
                holds(unfounded.is_none(), || format!("{unfounded:?} without a pod that is {phase:?}"))?;
            }
            Ok(())
        }),
    },
    Invariant {
        name: "a pod is counted for what it is",
        source: "job controller isPodFailed; pods that run when a Job fails count as failed",
        check: Check::Job(|write| {
            let Some((old, new)) = write.both() else { return Ok(()) };
            let phase = |uid: &Uid| write.ledger.pods.get(uid).map(|pod| pod.status.phase);
            let wrong = uncounted_succeeded(&new.status)
                .iter()
                .find(|uid| phase(uid).is_some_and(|phase| phase != PodPhase::Succeeded));
            holds(wrong.is_none(), || format!("{wrong:?} has not succeeded"))?;
            let may_fail = |uid: &Uid| {
                let Some(pod) = write.ledger.pods.get(uid) else { return true };
                // Before 1.31 a decision shows only when the pods have been counted.
                let may_be_decided =
                    is_decided(&new.status) || !write.ledger.features.delays_terminal_condition;
                let counts_deleted = may_be_decided || !write.ledger.replaces_only_ended(new);
                pod.status.phase == PodPhase::Failed || (pod.is_deleting() && counts_deleted)
            };
            let wrong = newly_failed(&old.status, &new.status).into_iter().find(|uid| !may_fail(uid));
            holds(wrong.is_none(), || format!("{wrong:?} has not failed"))
        }),
    },
    Invariant {
        name: "a pod is counted once",
        source: "KEP-2307",
        check: Check::Job(|write| {
            // What the controller has forgotten and cannot see, it may count again. It forgets with an error of a patch
            // (NotFound included), and with an event that comes while a sync waits for an adoption or a release: that sync has
            // listed the pods before, and asks only afterwards whose finalizers are gone.
            let Some((old, new)) = write.both().filter(|_| !write.ledger.has_forgotten) else {
                return Ok(());
            };
            let known = |uid: &&Uid| {
                uncounted_succeeded(&old.status).contains(uid) || uncounted_failed(&old.status).contains(uid)
            };
            let named = uncounted_succeeded(&new.status).iter().chain(uncounted_failed(&new.status));
            let has_claimed = !write.ledger.adopted.is_empty() || !write.ledger.relabelled.is_empty();
            let is_odd = write.ledger.was_blind && (has_claimed || write.ledger.has_faults);
            let is_there = |uid: &&Uid| write.ledger.pods.contains_key(uid) && !is_odd;
            let mut new_ones = named.filter(|uid| !known(uid) && is_there(uid));
            let again = new_ones.find(|uid| write.ledger.counted.contains(&(new.uid, **uid)));
            holds(again.is_none(), || format!("{again:?} again"))
        }),
    },
    Invariant {
        name: "a pod that is not wanted is not counted as failed",
        source: "job controller deleteJobPods: its finalizer goes first",
        check: Check::Job(|write| {
            let Some((old, new)) = write.both().filter(|_| !write.ledger.has_forgotten) else {
                return Ok(());
            };
            // Before 1.31 a Job that completes in the sync that suspends it counts what it has just deleted.
            let quirk = !write.ledger.features.honours_success_criteria;
            let has_deleted = write.ledger.sync(new.uid, write.at).has_deleted || !write.ledger.is_informed;
            if quirk && has_deleted {
                return Ok(());
            }
            let failed = newly_failed(&old.status, &new.status);
            let wrong = failed.into_iter().find(|uid| write.ledger.let_go.contains(uid));
            holds(wrong.is_none(), || format!("{wrong:?}"))
        }),
    },
    Invariant {
        name: "a finalizer goes when the end of its pod is recorded",
        source: "KEP-2307: no end of a pod is lost",
        check: Check::Pod(recorded_before_release),
    },
];

fn gone_from(before: &[Uid], after: &[Uid]) -> i32 {
    int(before.iter().filter(|uid| !after.contains(uid)).count())
}

fn recorded_before_release(write: &Write<'_, Pod>) -> Holds {
    let Some(pod) = write.old.filter(|pod| write.is_informed_decision() && pod.tracked) else {
        return Ok(());
    };
    // A pod that is released belongs to nobody: it is not this Job's to count.
    let is_released = write.ledger.relabelled.contains(&pod.uid);
    let is_stripped = !is_released && write.new.is_none_or(|new| !new.tracked);
    let Some(job) = write.ledger.owner(pod).filter(|job| is_stripped && !job.is_finished()) else {
        return Ok(());
    };
    let in_range = !job.spec.is_indexed() || pod.index.get().is_some_and(|index| index < completions(job));
    let is_ignored = job.spec.pod_failure_policy.is_some();
    let status = &job.status;
    let is_failed = uncounted_failed(status).contains(&pod.uid);
    let is_recorded = match pod.status.phase {
        PodPhase::Succeeded => {
            is_failed
                || uncounted_succeeded(status).contains(&pod.uid)
                || pod.index.get().is_some_and(|index| completed(job).contains(index))
        }
        PodPhase::Failed => is_failed || is_ignored,
        PodPhase::Pending | PodPhase::Running | PodPhase::Unknown => true,
    };
    holds(!in_range || is_recorded, || format!("{} {:?}", pod.key, pod.status.phase))
}
