//! Rules about the end of a Job.

use std::time::Duration;

use towtank_model::index_set::IndexSet;
use towtank_model::objects::{
    Job, JobConditionType, JobStatus, Pod, PodFailureAction, RestartPolicy, SuccessRule,
};

use super::ledger::{completed, failed, has, int, uncounted_failed, uncounted_succeeded};
use super::{Check, Holds, Invariant, Write, holds};

use JobConditionType::{Complete, Failed, FailureTarget, SuccessCriteriaMet};

pub(super) const RULES: &[Invariant] = &[
    Invariant {
        name: "decisions stand",
        source: "batch/v1: Complete and Failed are terminal; KEP-3329, KEP-3998: so are the interim ones",
        check: Check::Job(|write| {
            let Some((old, new)) = write.both() else { return Ok(()) };
            let stays = |kind| !has(&old.status, kind) || has(&new.status, kind);
            let kinds = [Complete, Failed, FailureTarget, SuccessCriteriaMet];
            holds(kinds.into_iter().all(stays), || format!("{:?}", new.status.conditions))
        }),
    },
    Invariant {
        name: "a Job does not both succeed and fail",
        source: "validation of status updates",
        check: Check::Job(|write| {
            let Some(job) = write.new else { return Ok(()) };
            let met = |kind| has(&job.status, kind);
            let (success, failure) =
                (met(Complete) || met(SuccessCriteriaMet), met(Failed) || met(FailureTarget));
            holds(!(success && failure), || format!("{:?}", job.status.conditions))
        }),
    },
    Invariant {
        name: "the interim decision comes before the final one",
        source: "KEP-3939, KEP-4368 (1.31)",
        check: Check::Job(|write| {
            let Some(job) = write.new.filter(|_| write.ledger.features.delays_terminal_condition) else {
                return Ok(());
            };
            let follows = |last, interim| !has(&job.status, last) || has(&job.status, interim);
            holds(follows(Complete, SuccessCriteriaMet) && follows(Failed, FailureTarget), || {
                format!("{:?}", job.status.conditions)
            })
        }),
    },
    Invariant {
        name: "success needs enough completions",
        source: "batch/v1 JobSpec.completions; KEP-3998",
        check: Check::Job(|write| {
            let Some(job) = newly(write, [SuccessCriteriaMet, Complete]) else { return Ok(()) };
            // A pod that is told as failed, keeps its finalizer because a call fails and succeeds after all, completes the
            // Job without being told as a success.
            if write.ledger.has_faults {
                return Ok(());
            }
            let succeeded = job.status.succeeded + int(uncounted_succeeded(&job.status).len());
            let is_enough = succeeded >= job.spec.completions.unwrap_or(1);
            let rules = job.spec.success_policy.as_deref().map_or(&[][..], |policy| &policy.rules);
            holds(is_enough || rules.iter().any(|rule| is_met(rule, job)), || {
                format!("{succeeded} of {:?}", job.spec.completions)
            })
        }),
    },
    Invariant {
        name: "failure has the reason that it names",
        source: "batch/v1 JobSpec: backoffLimit, activeDeadlineSeconds, maxFailedIndexes, podFailurePolicy",
        check: Check::Job(has_its_reason),
    },
    Invariant {
        name: "a finished Job has no pods and nothing uncounted",
        source: "job controller: the terminal condition is written last",
        check: Check::Job(|write| {
            let Some(job) = write.new.filter(|job| job.is_finished()) else { return Ok(()) };
            let uncounted = job.status.uncounted.as_ref().is_some_and(|uncounted| !uncounted.is_empty());
            holds(job.status.active == 0 && !uncounted, || format!("{:?}", job.status))?;
            let becomes = write.is_informed_decision() && write.old.is_some_and(|old| !old.is_finished());
            let active = write.ledger.count(job.uid, Pod::is_active);
            holds(!becomes || active == 0, || format!("{active} are active"))
        }),
    },
    Invariant {
        name: "a finished Job waits for terminating pods",
        source: "#125510 (1.31)",
        check: Check::Job(|write| {
            let Some(job) = write.new.filter(|_| write.ledger.features.delays_terminal_condition) else {
                return Ok(());
            };
            let becomes = job.is_finished() && write.old.is_some_and(|old| !old.is_finished());
            let terminating = write.ledger.count(job.uid, Pod::is_terminating);
            let has_some = write.is_informed_decision() && terminating > 0;
            holds(!becomes || (job.status.terminating.unwrap_or(0) == 0 && !has_some), || {
                format!("{:?} of {terminating}", job.status.terminating)
            })
        }),
    },
    Invariant {
        name: "the status of a finished Job is final",
        source: "job controller syncJob: a finished Job is not synced",
        check: Check::Job(|write| {
            let Some((old, new)) = write.both().filter(|(old, _)| old.is_finished()) else { return Ok(()) };
            holds(old.status == new.status, || format!("{:?} -> {:?}", old.status, new.status))
        }),
    },
];

/// The Job, when this write says for the first time that it will end like this.
fn newly<'a>(write: &Write<'a, Job>, kinds: [JobConditionType; 2]) -> Option<&'a Job> {
    let is_so = |status: &JobStatus| kinds.into_iter().any(|kind| has(status, kind));
    let (old, new) = write.both()?;
    (is_so(&new.status) && !is_so(&old.status)).then_some(new)
}

/// A rule of a success policy holds (KEP-3998).
fn is_met(rule: &SuccessRule, job: &Job) -> bool {
    let done = completed(job);
    let listed = rule.succeeded_indexes.as_deref().map(|text| IndexSet::parse_below(text, u32::MAX));
    let (found, wanted) = match &listed {
        Some(listed) => (listed.overlap_len(&done), listed.len()),
        None => (done.len(), usize::MAX),
    };
    found >= wanted || rule.succeeded_count.is_some_and(|count| int(found) >= count)
}

fn has_its_reason(write: &Write<'_, Job>) -> Holds {
    let Some(job) = newly(write, [FailureTarget, Failed]) else { return Ok(()) };
    let (spec, status) = (&job.spec, &job.status);
    let condition = status.true_condition(FailureTarget).or_else(|| status.true_condition(Failed));
    let reason = condition.map(|condition| &*condition.reason).unwrap_or_default();
    let (failed_indexes, done) = (int(failed(job).len()), int(completed(job).len()));
    let is_true = match reason {
        "BackoffLimitExceeded" => {
            let failed = status.failed + int(uncounted_failed(status).len());
            failed > spec.backoff_limit || spec.template.spec.restart_policy == RestartPolicy::OnFailure
        }
        "DeadlineExceeded" => spec
            .active_deadline_seconds
            .zip(status.start_time)
            .is_some_and(|(limit, start)| write.at >= start + Duration::from_secs(limit.unsigned_abs())),
        "MaxFailedIndexesExceeded" => spec.max_failed_indexes.is_some_and(|limit| failed_indexes > limit),
        "FailedIndexes" => failed_indexes > 0 && failed_indexes + done >= spec.completions.unwrap_or(0),
        "PodFailurePolicy" => spec
            .pod_failure_policy
            .as_deref()
            .is_some_and(|policy| policy.rules.iter().any(|rule| rule.action == PodFailureAction::FailJob)),
        _ => false,
    };
    holds(is_true, || format!("{reason:?} of {status:?}"))
}
