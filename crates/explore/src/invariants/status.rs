//! Rules about what a Job's status says at any time.

use std::collections::BTreeSet;

use towtank_model::index_set::IndexSet;
use towtank_model::objects::{Job, JobConditionType, Pod, Uid};
use towtank_model::server::Verb;

use super::ledger::{completed, completions, failed, has};
use super::{Check, Holds, Invariant, Write, holds};

pub(super) const RULES: &[Invariant] = &[
    Invariant {
        name: "resource versions rise",
        source: "Kubernetes API concepts",
        check: Check::Version(|version, ledger| {
            holds(version > ledger.resource_version, || format!("{} -> {version}", ledger.resource_version))
        }),
    },
    Invariant {
        name: "generation counts changes of the spec and the deletion",
        source: "registry strategy PrepareForUpdate, rest.BeforeDelete",
        check: Check::Job(|write| {
            let Some(new) = write.new else { return Ok(()) };
            let expected = write.old.map_or(1, |old| {
                let deleted = old.deletion_time != new.deletion_time;
                old.generation + u64::from(old.spec != new.spec) + u64::from(deleted)
            });
            holds(new.generation == expected, || format!("{} instead of {expected}", new.generation))
        }),
    },
    Invariant {
        name: "counters are never negative",
        source: "validation of status updates",
        check: Check::Job(|write| {
            let Some(job) = write.new else { return Ok(()) };
            let status = &job.status;
            let least = [
                status.active,
                status.succeeded,
                status.failed,
                status.ready.unwrap_or(0),
                status.terminating.unwrap_or(0),
            ];
            holds(least.into_iter().all(|counter| counter >= 0), || format!("{least:?}"))
        }),
    },
    Invariant {
        name: "ready pods are active pods",
        source: "validation of status updates (1.32)",
        check: Check::Job(|write| {
            let Some(job) = write.new.filter(|_| write.ledger.features.strict_status_validation) else {
                return Ok(());
            };
            holds(job.status.ready.unwrap_or(0) <= job.status.active, || {
                format!("{:?} of {}", job.status.ready, job.status.active)
            })
        }),
    },
    Invariant {
        name: "active, ready and terminating tell how many pods there are",
        source: "job controller syncJob; #125175 (1.31); #139457 (1.36): active was 0 during back-off",
        check: Check::Job(tells_pods),
    },
    Invariant {
        name: "index sets are ascending, in range and only in Indexed Jobs",
        source: "batch/v1 JobStatus.completedIndexes, failedIndexes",
        check: Check::Job(|write| {
            let Some(job) = write.new.filter(|_| write.verb == Verb::UpdateStatus) else { return Ok(()) };
            let failed = job.status.failed_indexes.as_deref();
            holds(failed.is_some() == job.spec.backoff_limit_per_index.is_some(), || {
                format!("failedIndexes {failed:?}")
            })?;
            for text in [&*job.status.completed_indexes, failed.unwrap_or_default()] {
                holds(job.spec.is_indexed() || text.is_empty(), || format!("{text} without indexes"))?;
                IndexSet::validate(text, completions(job)).map_err(|error| format!("{text}: {error}"))?;
            }
            Ok(())
        }),
    },
    Invariant {
        name: "completed and failed indexes do not overlap",
        source: "validation of status updates (1.32)",
        check: Check::Job(|write| {
            let Some(job) = write.new.filter(|_| write.ledger.features.strict_status_validation) else {
                return Ok(());
            };
            let (completed, failed) = (completed(job), failed(job));
            holds(completed.overlap_len(&failed) == 0, || format!("{completed} and {failed}"))
        }),
    },
    Invariant {
        name: "no pod is uncounted twice",
        source: "KEP-2307; validation of status updates",
        check: Check::Job(|write| {
            let Some(uncounted) = write.new.and_then(|job| job.status.uncounted.as_ref()) else {
                return Ok(());
            };
            let all: Vec<Uid> = uncounted.succeeded.iter().chain(&uncounted.failed).copied().collect();
            let distinct: BTreeSet<Uid> = all.iter().copied().collect();
            holds(all.len() == distinct.len(), || format!("{uncounted:?}"))
        }),
    },
    Invariant {
        name: "a type of condition is there once",
        source: "batch/v1 JobStatus.conditions: patchMergeKey type",
        check: Check::Job(|write| {
            let Some(job) = write.new else { return Ok(()) };
            let kinds: BTreeSet<JobConditionType> =
                job.status.conditions.iter().map(|condition| condition.kind).collect();
            holds(kinds.len() == job.status.conditions.len(), || format!("{:?}", job.status.conditions))
        }),
    },
    Invariant {
        name: "startTime changes only with suspension",
        source: "KEP-2232",
        check: Check::Job(|write| {
            let Some((old, new)) = write.both() else { return Ok(()) };
            let (before, after) = (old.status.start_time, new.status.start_time);
            let condition =
                |job: &Job| job.status.condition(JobConditionType::Suspended).map(|found| found.status);
            holds(before.is_none() || before == after || condition(old) != condition(new), || {
                format!("{before:?} -> {after:?}")
            })
        }),
    },
    Invariant {
        name: "completionTime exists exactly in Complete Jobs and never changes",
        source: "batch/v1 JobStatus.completionTime",
        check: Check::Job(|write| {
            let Some(job) = write.new else { return Ok(()) };
            let time = job.status.completion_time;
            holds(time.is_some() == has(&job.status, JobConditionType::Complete), || format!("{time:?}"))?;
            holds(time.is_none_or(|time| job.status.start_time.is_none_or(|start| start <= time)), || {
                format!("started {:?}, completed {time:?}", job.status.start_time)
            })?;
            let before = write.old.and_then(|old| old.status.completion_time);
            holds(before.is_none() || before == time, || format!("{before:?} -> {time:?}"))
        }),
    },
    Invariant {
        name: "one sync writes the status at most twice",
        source: "job controller trackJobStatusAndRemoveFinalizers: once before and once after the finalizers go",
        check: Check::Job(|write| {
            let Some(job) = write.new.filter(|_| write.is_informed_decision()) else { return Ok(()) };
            let before = write.ledger.sync(job.uid, write.at).status_writes;
            holds(before < 2, || format!("{} writes", before + 1))
        }),
    },
];

/// Pods are compared with the store: a controller that sees the newest state counts what is there.
fn tells_pods(write: &Write<'_, Job>) -> Holds {
    let Some(job) = write.new.filter(|_| write.is_informed_decision() && write.verb == Verb::UpdateStatus)
    else {
        return Ok(());
    };
    let (ledger, status) = (write.ledger, &job.status);
    let count = |is_counted: fn(&Pod) -> bool| ledger.count(job.uid, is_counted);
    let active = count(Pod::is_active);
    let hides = ledger.features.active_zero_in_backoff && status.active == 0;
    // Pods that a namespace on its way out refuses are taken for created (spec section 1.6).
    let hides = hides || (ledger.is_namespace_ending && status.active > active);
    holds(status.active == active || hides, || format!("active {} of {active}", status.active))?;
    if !ledger.features.adjusts_counters_on_delete {
        return Ok(());
    }
    let ready = count(|pod| pod.is_active() && pod.is_ready());
    let terminating = count(Pod::is_terminating) + ledger.sync(job.uid, write.at).gone;
    // Pods that could not be deleted are taken for not ready all the same.
    holds(status.ready == Some(ready) || ledger.has_faults, || {
        format!("ready {:?} of {ready}", status.ready)
    })?;
    holds(status.terminating == Some(terminating), || {
        format!("terminating {:?} of {terminating}", status.terminating)
    })
}
