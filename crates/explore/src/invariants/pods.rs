//! Rules about the pods of a Job: which are created, which go.

use std::time::Duration;

use towtank_model::objects::{CompletionMode, Job, Pod, PodIndex, PodPhase};
use towtank_model::server::Verb;

use super::ledger::{completed, completions, failed, finish_time, int, is_decided};
use super::{Check, Holds, Invariant, Write, holds};

pub(super) const RULES: &[Invariant] = &[
    Invariant {
        name: "a decided Job gets no pods",
        source: "job controller syncJob: the pods of a decided Job are deleted, and a finished one is not synced",
        check: Check::Pod(|write| {
            for_created(write, |job, _| {
                holds(!is_decided(&job.status), || format!("{:?}", job.status.conditions))
            })
        }),
    },
    Invariant {
        name: "a suspended Job gets no pods",
        source: "KEP-2232",
        check: Check::Pod(|write| {
            for_created(write, |job, _| holds(!job.spec.suspend, || job.key.to_string()))
        }),
    },
    Invariant {
        name: "a Job that is being deleted gets no pods",
        source: "job controller syncJob: pods are managed while deletionTimestamp is unset",
        check: Check::Pod(|write| {
            for_created(write, |job, _| holds(job.deletion_time.is_none(), || job.key.to_string()))
        }),
    },
    Invariant {
        name: "a completed index in range never gets a new pod",
        source: "job controller firstPendingIndexes",
        check: Check::Pod(|write| {
            for_created(write, |job, pod| {
                let done = completed(job);
                holds(pod.index.get().is_none_or(|index| !done.contains(index)), || {
                    format!("{:?} of {done}", pod.index)
                })
            })
        }),
    },
    Invariant {
        name: "a failed index in range never gets a new pod",
        source: "KEP-3850",
        check: Check::Pod(|write| {
            for_created(write, |job, pod| {
                let failed = failed(job);
                holds(pod.index.get().is_none_or(|index| !failed.contains(index)), || {
                    format!("{:?} of {failed}", pod.index)
                })
            })
        }),
    },
    Invariant {
        name: "new pods of an Indexed Job have an index in range, and only they have one",
        source: "job controller firstPendingIndexes",
        check: Check::Pod(|write| {
            for_created(write, |job, pod| {
                let fits = match pod.index.get() {
                    Some(index) => job.spec.is_indexed() && index < completions(job),
                    None => job.spec.completion_mode == CompletionMode::NonIndexed,
                };
                holds(fits, || format!("{:?} of {}", pod.index, completions(job)))
            })
        }),
    },
    Invariant {
        name: "a new pod never doubles an active index",
        source: "job controller firstPendingIndexes",
        check: Check::Pod(|write| {
            for_created(write, |job, pod| {
                let same = |other: &Pod| pod.index.get().is_some() && other.index == pod.index;
                let twins = write.ledger.count(job.uid, |other| other.is_active() && same(other));
                holds(twins == 0, || format!("{:?}", pod.index))
            })
        }),
    },
    Invariant {
        name: "a pod that must have ended first is not replaced before",
        source: "KEP-3939: podReplacementPolicy Failed",
        check: Check::Pod(|write| {
            for_created(write, |job, pod| {
                let same = |other: &Pod| pod.index.get().is_some() && other.index == pod.index;
                let twins = write.ledger.count(job.uid, |other| other.is_terminating() && same(other));
                holds(twins == 0 || !write.ledger.replaces_only_ended(job), || format!("{:?}", pod.index))
            })
        }),
    },
    Invariant {
        name: "a new pod never makes more pods than are wanted",
        source: "job controller manageJob: the lesser of parallelism and the completions that are missing",
        check: Check::Pod(|write| {
            for_created(write, |job, _| {
                let counts_terminating = write.ledger.replaces_only_ended(job);
                let pods = 1 + write
                    .ledger
                    .count(job.uid, |pod| pod.is_active() || (counts_terminating && pod.is_terminating()));
                let is_indexed = job.spec.is_indexed();
                let succeeded = if is_indexed { int(completed(job).len()) } else { job.status.succeeded };
                let missing = job.spec.completions.map_or(i32::MAX, |count| count - succeeded);
                let wanted = job.spec.parallelism.min(missing);
                holds(pods <= wanted, || format!("{pods} of {wanted}"))
            })
        }),
    },
    Invariant {
        name: "indexes are created in ascending order",
        source: "job controller manageJob: slow start over the pending indexes",
        check: Check::Pod(|write| {
            for_created(write, |job, pod| {
                let last = write.ledger.sync(job.uid, write.at).last_index;
                holds(last.is_none() || last < pod.index.get(), || format!("{:?} after {last:?}", pod.index))
            })
        }),
    },
    Invariant {
        name: "one sync does not both delete and create",
        source: "job controller manageJob",
        check: Check::Pod(|write| {
            for_created(write, |job, _| {
                let sync = write.ledger.sync(job.uid, write.at);
                holds(!sync.has_deleted, || "created after deleting".to_owned())
            })?;
            let ends = write.old.is_some_and(Pod::is_active) && write.new.is_none_or(Pod::is_deleting);
            let job = write.old.and_then(|pod| write.ledger.owner(pod));
            let Some(job) = job.filter(|_| ends && write.is_informed_decision()) else { return Ok(()) };
            holds(!write.ledger.sync(job.uid, write.at).has_created, || "deleted after creating".to_owned())
        }),
    },
    Invariant {
        name: "failures delay new pods",
        source: "KEP-2879 and #114516: 10 s after a failure, doubled with each one up to 10 min",
        check: Check::Pod(|write| {
            // When a call fails, a record of back-off may be lost, as may the success that ends it.
            if write.ledger.was_blind || write.ledger.has_faults {
                return Ok(());
            }
            for_created(write, |job, _| {
                // Ignored failures count for the delay but are not told; failures of an index delay that index alone.
                if job.spec.backoff_limit_per_index.is_some() || job.spec.pod_failure_policy.is_some() {
                    return Ok(());
                }
                let Some(failures) = write.ledger.failures.get(&job.uid) else { return Ok(()) };
                // A success that this sync sees is told only after the pods are created, and so is a failure that was none
                // under another replacement policy: it counts with the time at which it happened.
                let forgives = |pod: &Pod| {
                    let is_older = pod.is_terminating() && finish_time(pod) < failures.latest;
                    pod.tracked && (pod.status.phase == PodPhase::Succeeded || is_older)
                };
                if write.ledger.pods_of(job.uid).any(forgives) {
                    return Ok(());
                }
                let doublings = failures.count.saturating_sub(1).min(6);
                let delay = (Duration::from_secs(10) * 2_u32.pow(doublings)).min(Duration::from_secs(600));
                holds(write.at >= failures.latest + delay, || {
                    format!("{} failures, the latest at {}", failures.count, failures.latest)
                })
            })
        }),
    },
    Invariant {
        name: "an elastic shrink removes exactly the pods out of range",
        source: "KEP-3715; job controller getPodsToDelete",
        check: Check::Pod(elastic_shrink),
    },
    Invariant {
        name: "a pod that has ended stays ended",
        source: "Kubernetes API concepts: a phase Succeeded or Failed is never left",
        check: Check::Pod(|write| {
            let Some((old, new)) = write.both() else { return Ok(()) };
            holds(!old.status.phase.is_terminal() || old.status.phase == new.status.phase, || {
                format!("{:?} -> {:?}", old.status.phase, new.status.phase)
            })
        }),
    },
    Invariant {
        name: "a deletion is not taken back, and a pod goes once and without finalizers",
        source: "Kubernetes API concepts: finalizers",
        check: Check::Pod(|write| {
            let Some(old) = write.old else { return Ok(()) };
            let Some(new) = write.new else {
                holds(!write.ledger.gone_pods.contains(&old.uid), || format!("{} twice", old.key))?;
                // The write that takes the last finalizer off is the one with which the object goes.
                let finalizers = usize::from(old.tracked) + old.foreign_finalizers.len();
                let allowed = usize::from(write.verb == Verb::Update);
                return holds(finalizers <= allowed, || format!("{} with finalizers", old.key));
            };
            holds(old.deletion.is_none() || new.deletion.is_some(), || format!("{}", old.key))
        }),
    },
];

/// Asks about a pod that the Job controller has just created, knowing the newest state.
fn for_created(write: &Write<'_, Pod>, rule: impl FnOnce(&Job, &Pod) -> Holds) -> Holds {
    let Some(pod) = write.new.filter(|_| write.old.is_none() && write.is_informed_decision()) else {
        return Ok(());
    };
    write.ledger.owner(pod).map_or(Ok(()), |job| rule(job, pod))
}

fn elastic_shrink(write: &Write<'_, Pod>) -> Holds {
    // An active pod that was let go of before is one that is not wanted, if it goes at once. (The pods of a Job that is
    // decided keep their finalizer until they are counted.)
    if write.ledger.has_faults {
        return Ok(());
    }
    let Some(pod) = write.old.filter(|pod| {
        write.is_informed_decision()
            && write.verb == Verb::Delete
            && pod.is_active()
            && write.ledger.let_go.contains(&pod.uid)
    }) else {
        return Ok(());
    };
    let Some(job) = write.ledger.owner(pod) else { return Ok(()) };
    let is_elastic = job.spec.is_indexed() && job.spec.completions == Some(job.spec.parallelism);
    if !is_elastic || job.spec.suspend {
        return Ok(());
    }
    // An active pod of an index that is done (stale caches and adoption can make one) is a surplus that any pod may pay
    // for.
    let done = completed(job);
    let has_succeeded = |index: PodIndex| {
        let mut pods = write.ledger.pods_of(job.uid);
        pods.any(|pod| pod.index == index && pod.status.phase == PodPhase::Succeeded)
    };
    let is_done =
        |index: PodIndex| index.get().is_some_and(|index| done.contains(index)) || has_succeeded(index);
    if write.ledger.pods_of(job.uid).any(|other| other.is_active() && is_done(other.index)) {
        return Ok(());
    }
    let is_twin = |other: &Pod| other.uid != pod.uid && other.is_active() && other.index == pod.index;
    let may_go = match pod.index.get() {
        Some(index) => index >= completions(job) || write.ledger.pods_of(job.uid).any(is_twin),
        None => true,
    };
    holds(may_go, || format!("index {:?} of {}", pod.index.get(), completions(job)))
}
