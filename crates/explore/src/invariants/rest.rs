//! Rules about the state in which a run comes to rest.

use std::sync::Arc;

use towtank_model::objects::{ConditionStatus, Job, JobConditionType, Pod, PodPhase};

use super::ledger::{Ledger, completed, completions, failed, int, is_decided};
use super::{Check, Holds, Invariant, holds};

pub(super) const RULES: &[Invariant] = &[
    Invariant {
        name: "at rest every ended pod is counted and no finalizer is left behind",
        source: "KEP-2307; orphan worker",
        check: Check::Rest(no_finalizer_left),
    },
    Invariant {
        name: "at rest as many pods are active as are wanted",
        source: "job controller manageJob",
        check: Check::Rest(|ledger| ruled(ledger).try_for_each(|job| active_as_wanted(ledger, job))),
    },
    Invariant {
        name: "at rest a suspended Job has no active pods",
        source: "KEP-2232",
        check: Check::Rest(|ledger| {
            ruled(ledger).filter(|job| job.spec.suspend).try_for_each(|job| {
                let active = ledger.count(job.uid, Pod::is_active);
                holds(active == 0, || format!("{} has {active}", job.key))
            })
        }),
    },
    Invariant {
        name: "at rest the condition Suspended tells whether the Job is suspended",
        source: "KEP-2232",
        check: Check::Rest(|ledger| {
            ruled(ledger).try_for_each(|job| {
                let condition = job.status.condition(JobConditionType::Suspended);
                let is_told = condition.is_some_and(|found| found.status == ConditionStatus::True);
                holds(is_told == job.spec.suspend, || format!("{} {condition:?}", job.key))
            })
        }),
    },
    Invariant {
        name: "at rest a Job with enough successes is Complete",
        source: "batch/v1 JobSpec.completions",
        check: Check::Rest(|ledger| {
            ruled(ledger).try_for_each(|job| {
                let is_enough = job.spec.completions.is_some_and(|count| job.status.succeeded >= count);
                holds(!is_enough, || format!("{} {:?}", job.key, job.status))
            })
        }),
    },
];

/// Unfinished Jobs of which the controller is in charge and whose status it can write. (It waits for ever for pods that it
/// believes to have created: in a namespace on its way out, and under a name that another Job had; spec section 1.6.)
fn ruled(ledger: &Ledger) -> impl Iterator<Item = &Job> {
    let is_ruled = |job: &&Job| {
        !is_decided(&job.status)
            && job.deletion_time.is_none()
            && job.spec.managed_by.is_none()
            && !ledger.frozen.contains(&job.key)
            && !ledger.reused.contains(&job.key)
            && !ledger.was_blind
            && !ledger.is_namespace_ending
    };
    ledger.jobs.values().map(Arc::as_ref).filter(is_ruled)
}

fn active_as_wanted(ledger: &Ledger, job: &Job) -> Holds {
    // A work queue that has seen a success gets no more pods.
    let is_ending_queue = job.spec.completions.is_none() && job.status.succeeded > 0;
    if job.spec.suspend || is_ending_queue {
        return Ok(());
    }
    let holds_back = ledger.replaces_only_ended(job);
    let is_terminating = |pod: &Pod| holds_back && pod.is_terminating();
    let in_range = |pod: &Pod| pod.index.get().is_some_and(|index| index < completions(job));
    let missing = job.spec.completions.map_or(i32::MAX, |count| count - job.status.succeeded);
    let wanted = job.spec.parallelism.min(missing).max(0);
    let mut least = (wanted - ledger.count(job.uid, is_terminating)).max(0);
    if job.spec.is_indexed() {
        let done = completed(job).union(&failed(job)).len();
        let blocked = ledger.count(job.uid, |pod| is_terminating(pod) && in_range(pod));
        least = least.min(job.spec.completions.unwrap_or(0) - int(done) - blocked);
    }
    let active = ledger.count(job.uid, Pod::is_active);
    holds((least..=wanted).contains(&active), || format!("{}: {active} of {least} to {wanted}", job.key))
}

fn no_finalizer_left(ledger: &Ledger) -> Holds {
    // A Job can finish before the controller has seen all its pods (stale caches), which then keep their finalizer.
    // The orphan worker does not try again when it knows the pods by their selector (1.32).
    if ledger.was_blind || ledger.has_faults {
        return Ok(());
    }
    // A pod that lost its labels while its Job went is found by nobody: the Job's selector no longer names it, and
    // nothing changes in it that would (upstream `ControllerRefManager`, orphan worker).
    for pod in ledger.pods.values().filter(|pod| pod.tracked && !ledger.relabelled.contains(&pod.uid)) {
        let Some(job) = ledger.owner(pod) else {
            return Err(format!("{} has no Job and keeps its finalizer", pod.key));
        };
        if job.spec.managed_by.is_some() || ledger.frozen.contains(&job.key) {
            continue;
        }
        let is_held = job.spec.backoff_limit_per_index.is_some() && pod.status.phase == PodPhase::Failed;
        holds(!job.is_finished(), || format!("{} of a finished Job", pod.key))?;
        holds(!pod.status.phase.is_terminal() || is_held, || format!("{} is not counted", pod.key))?;
    }
    Ok(())
}
