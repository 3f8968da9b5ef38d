//! The rules that no story may break, each with a name and the place that it comes from.
//!
//! They are written from the outside: a rule sees one write at a time (the object before and after it) and the state that
//! all writes so far add up to. None of them asks the Job controller.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use towtank_model::index_set::IndexSet;
use towtank_model::objects::{CompletionMode, Job, JobConditionType, JobStatus, Pod, PodPhase, Uid};
use towtank_model::server::{Actor, Change, Fact, TraceEntry, Verb, Versions};
use towtank_model::version::Features;

/// A rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the [`Invariant`].
    pub invariant: &'static str,
    /// By what.
    pub detail: String,
}

/// A rule.
pub struct Invariant {
    /// Its name.
    pub name: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    check: Check,
}

type Holds = Result<(), String>;

enum Check {
    /// Of every write to a Job.
    Job(fn(&Write<'_, Job>) -> Holds),
    /// Of every write to a pod.
    Pod(fn(&Write<'_, Pod>) -> Holds),
    /// Of the state in which a run comes to rest.
    Rest(fn(&Ledger) -> Holds),
}

/// One write.
struct Write<'a, T> {
    actor: Actor,
    verb: Verb,
    old: Option<&'a T>,
    new: Option<&'a T>,
    /// What was stored before it.
    ledger: &'a Ledger,
}

impl<T> Write<'_, T> {
    /// The controller knew the newest state: no cache was held and no call went wrong.
    fn is_informed(&self) -> bool {
        self.ledger.is_informed
    }

    fn both(&self) -> Option<(&T, &T)> {
        self.old.zip(self.new)
    }
}

/// What all writes so far add up to.
#[derive(Default)]
struct Ledger {
    features: Option<Features>,
    is_informed: bool,
    /// There was a time at which the controller was not informed.
    was_blind: bool,
    jobs: BTreeMap<Uid, Arc<Job>>,
    pods: BTreeMap<Uid, Arc<Pod>>,
    gone_pods: BTreeSet<Uid>,
    /// Active pods whose finalizer the Job controller took off: those that it does not want.
    let_go: BTreeSet<Uid>,
    /// Pods whose labels a user has changed.
    relabelled: BTreeSet<Uid>,
    resource_version: u64,
}

impl Ledger {
    fn owner(&self, pod: &Pod) -> Option<&Job> {
        let owner = pod.owner.as_ref().filter(|owner| owner.is_job)?;
        self.jobs.get(&owner.uid).map(Arc::as_ref)
    }

    fn pods_of(&self, job: Uid) -> impl Iterator<Item = &Pod> {
        self.pods.values().map(Arc::as_ref).filter(move |pod| pod.is_owned_by_job(job))
    }

    fn delays_terminal_condition(&self) -> bool {
        self.features.is_some_and(|features| features.delays_terminal_condition)
    }

    fn validates_status(&self) -> bool {
        self.features.is_some_and(|features| features.strict_status_validation)
    }
}

/// Reads a trace and holds it against every rule.
pub struct Checker {
    ledger: Ledger,
}

impl Checker {
    /// A checker for a run with these features, from its first write on.
    pub fn new(features: Features) -> Self {
        Self { ledger: Ledger { features: Some(features), is_informed: true, ..Ledger::default() } }
    }

    /// Says whether the controller sees the newest state from now on. Some rules hold only then.
    pub fn set_informed(&mut self, is_informed: bool) {
        self.ledger.is_informed = is_informed;
        self.ledger.was_blind |= !is_informed;
    }

    /// Takes the next lines of the trace.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn read(&mut self, entries: &[TraceEntry]) -> Result<(), Violation> {
        entries.iter().try_for_each(|entry| self.read_one(entry))
    }

    fn read_one(&mut self, entry: &TraceEntry) -> Result<(), Violation> {
        let Fact::Changed(verb, change) = &entry.fact else { return Ok(()) };
        match change {
            Change::Job(versions) => {
                let write = self.write(entry.actor, *verb, versions);
                run(|check| if let Check::Job(rule) = check { Some(rule(&write)) } else { None })?;
                keep(&mut self.ledger.jobs, versions, |job| job.uid);
            }
            Change::Pod(versions) => {
                let write = self.write(entry.actor, *verb, versions);
                run(|check| if let Check::Pod(rule) = check { Some(rule(&write)) } else { None })?;
                keep(&mut self.ledger.pods, versions, |pod| pod.uid);
                if let (Some(old), Some(new)) = (&versions.old, &versions.new)
                    && entry.actor == Actor::User
                    && old.labels != new.labels
                {
                    self.ledger.relabelled.insert(new.uid);
                }
                if let (Some(old), Some(new)) = (&versions.old, &versions.new)
                    && entry.actor == Actor::JobController
                    && old.is_active()
                    && old.tracked
                    && !new.tracked
                {
                    self.ledger.let_go.insert(new.uid);
                }
                if let (Some(old), None) = (&versions.old, &versions.new) {
                    self.ledger.gone_pods.insert(old.uid);
                }
            }
            Change::Node(_) => {}
        }
        let newest = match change {
            Change::Job(versions) => versions.new.as_ref().map(|job| job.resource_version),
            Change::Pod(versions) => versions.new.as_ref().map(|pod| pod.resource_version),
            Change::Node(_) => None,
        };
        self.ledger.resource_version = newest.unwrap_or(0).max(self.ledger.resource_version);
        Ok(())
    }

    fn write<'a, T>(&'a self, actor: Actor, verb: Verb, versions: &'a Versions<T>) -> Write<'a, T> {
        Write {
            actor,
            verb,
            old: versions.old.as_deref(),
            new: versions.new.as_deref(),
            ledger: &self.ledger,
        }
    }

    /// Checks the rules of a run that has come to rest.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn rest(&self) -> Result<(), Violation> {
        run(|check| if let Check::Rest(rule) = check { Some(rule(&self.ledger)) } else { None })
    }
}

fn run(mut check: impl FnMut(&Check) -> Option<Holds>) -> Result<(), Violation> {
    for invariant in &ALL {
        if let Some(Err(detail)) = check(&invariant.check) {
            return Err(Violation { invariant: invariant.name, detail });
        }
    }
    Ok(())
}

fn keep<T>(table: &mut BTreeMap<Uid, Arc<T>>, versions: &Versions<T>, uid: impl Fn(&T) -> Uid) {
    match (&versions.old, &versions.new) {
        (_, Some(new)) => drop(table.insert(uid(new), Arc::clone(new))),
        (Some(old), None) => drop(table.remove(&uid(old))),
        (None, None) => {}
    }
}

fn holds(is_true: bool, detail: impl FnOnce() -> String) -> Holds {
    if is_true { Ok(()) } else { Err(detail()) }
}

fn completions(job: &Job) -> u32 {
    u32::try_from(job.spec.completions.unwrap_or(0)).unwrap_or(0)
}

fn has(status: &JobStatus, kind: JobConditionType) -> bool {
    status.true_condition(kind).is_some()
}

/// Every rule.
pub static ALL: [Invariant; 28] = [
    Invariant {
        name: "failed never falls",
        source: "batch/v1 JobStatus.failed; validation of status updates",
        check: Check::Job(|write| {
            let Some((old, new)) = write.both() else { return Ok(()) };
            holds(new.status.failed >= old.status.failed, || {
                format!("{} -> {}", old.status.failed, new.status.failed)
            })
        }),
    },
    Invariant {
        name: "succeeded falls only in Indexed Jobs",
        source: "KEP-3715; batch/v1 JobStatus.succeeded",
        check: Check::Job(|write| {
            let Some((old, new)) = write.both() else { return Ok(()) };
            holds(new.spec.is_indexed() || new.status.succeeded >= old.status.succeeded, || {
                format!("{} -> {}", old.status.succeeded, new.status.succeeded)
            })
        }),
    },
    Invariant {
        name: "no index is counted twice",
        source: "batch/v1 JobStatus.completedIndexes: ascending, each below completions",
        check: Check::Job(|write| {
            let Some(job) = write.new.filter(|_| write.verb == Verb::UpdateStatus) else { return Ok(()) };
            if !job.spec.is_indexed() {
                return holds(job.status.completed_indexes.is_empty(), || {
                    "indexes of a NonIndexed Job".to_owned()
                });
            }
            for text in [Some(&job.status.completed_indexes), job.status.failed_indexes.as_ref()]
                .into_iter()
                .flatten()
            {
                IndexSet::validate(text, completions(job)).map_err(|error| format!("{text}: {error}"))?;
            }
            Ok(())
        }),
    },
    Invariant {
        name: "succeeded is the size of completedIndexes",
        source: "job controller trackJobStatusAndRemoveFinalizers",
        check: Check::Job(|write| {
            let Some(job) = write.new.filter(|job| write.verb == Verb::UpdateStatus && job.spec.is_indexed())
            else {
                return Ok(());
            };
            let set = IndexSet::parse_below(&job.status.completed_indexes, completions(job));
            holds(usize::try_from(job.status.succeeded) == Ok(set.len()), || {
                format!("{} of {}", job.status.succeeded, job.status.completed_indexes)
            })
        }),
    },
    Invariant {
        name: "completed and failed indexes do not overlap",
        source: "validation of status updates (1.32)",
        check: Check::Job(|write| {
            let Some(job) = write.new.filter(|_| write.ledger.validates_status()) else { return Ok(()) };
            let Some(failed) = &job.status.failed_indexes else { return Ok(()) };
            let completed = IndexSet::parse_below(&job.status.completed_indexes, u32::MAX);
            let failed = IndexSet::parse_below(failed, u32::MAX);
            holds(failed.iter().all(|index| !completed.contains(index)), || {
                format!("{completed} and {failed}")
            })
        }),
    },
    Invariant {
        name: "a finished Job stays finished",
        source: "batch/v1: Complete and Failed are terminal",
        check: Check::Job(|write| {
            let Some((old, new)) = write.both() else { return Ok(()) };
            let stays = |kind| !has(&old.status, kind) || has(&new.status, kind);
            let kinds = [JobConditionType::Complete, JobConditionType::Failed];
            holds(kinds.into_iter().all(stays), || format!("{:?}", new.status.conditions))
        }),
    },
    Invariant {
        name: "interim decisions stand",
        source: "KEP-3329 and KEP-3998: FailureTarget and SuccessCriteriaMet are never withdrawn",
        check: Check::Job(|write| {
            let Some((old, new)) = write.both() else { return Ok(()) };
            let stays = |kind| !has(&old.status, kind) || has(&new.status, kind);
            let kinds = [JobConditionType::FailureTarget, JobConditionType::SuccessCriteriaMet];
            holds(kinds.into_iter().all(stays), || format!("{:?}", new.status.conditions))
        }),
    },
    Invariant {
        name: "a Job does not both complete and fail",
        source: "validation of status updates",
        check: Check::Job(|write| {
            let Some(job) = write.new else { return Ok(()) };
            let met = |kind| has(&job.status, kind);
            let success = met(JobConditionType::Complete) || met(JobConditionType::SuccessCriteriaMet);
            let failure = met(JobConditionType::Failed) || met(JobConditionType::FailureTarget);
            holds(!(success && failure), || format!("{:?}", job.status.conditions))
        }),
    },
    Invariant {
        name: "the interim decision comes before the final one",
        source: "KEP-3939, KEP-4368 (1.31)",
        check: Check::Job(|write| {
            let Some(job) = write.new.filter(|_| write.ledger.delays_terminal_condition()) else {
                return Ok(());
            };
            let follows = |last, interim| !has(&job.status, last) || has(&job.status, interim);
            holds(
                follows(JobConditionType::Complete, JobConditionType::SuccessCriteriaMet)
                    && follows(JobConditionType::Failed, JobConditionType::FailureTarget),
                || format!("{:?}", job.status.conditions),
            )
        }),
    },
    Invariant {
        name: "a finished Job has nothing active or uncounted",
        source: "job controller: the terminal condition is written last",
        check: Check::Job(|write| {
            let Some(job) = write.new.filter(|job| job.is_finished() && write.verb == Verb::UpdateStatus)
            else {
                return Ok(());
            };
            let uncounted = job.status.uncounted.as_ref().is_some_and(|uncounted| !uncounted.is_empty());
            holds(job.status.active == 0 && !uncounted, || format!("{:?}", job.status))
        }),
    },
    Invariant {
        name: "a finished Job waits for terminating pods",
        source: "#125510 (1.31)",
        check: Check::Job(|write| {
            let Some(job) = write.new.filter(|_| write.ledger.delays_terminal_condition()) else {
                return Ok(());
            };
            let becomes = job.is_finished() && write.old.is_some_and(|old| !old.is_finished());
            holds(!becomes || job.status.terminating.unwrap_or(0) == 0, || {
                format!("{:?}", job.status.terminating)
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
        name: "ready pods are active pods",
        source: "validation of status updates (1.32)",
        check: Check::Job(|write| {
            let Some(job) = write.new.filter(|_| write.ledger.validates_status()) else { return Ok(()) };
            holds(job.status.ready.unwrap_or(0) <= job.status.active, || {
                format!("{:?} of {}", job.status.ready, job.status.active)
            })
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
        name: "generation counts changes of the spec and the deletion",
        source: "registry strategy PrepareForUpdate, rest.BeforeDelete",
        check: Check::Job(|write| {
            let Some((old, new)) = write.both() else { return Ok(()) };
            let changed = u64::from(old.spec != new.spec) + u64::from(old.deletion_time != new.deletion_time);
            holds(new.generation == old.generation + changed, || {
                format!("{} -> {}", old.generation, new.generation)
            })
        }),
    },
    Invariant {
        name: "resource versions rise",
        source: "Kubernetes API concepts",
        check: Check::Pod(|write| {
            let Some(pod) = write.new else { return Ok(()) };
            holds(pod.resource_version > write.ledger.resource_version, || pod.resource_version.to_string())
        }),
    },
    Invariant {
        name: "a finished Job gets no pods",
        source: "job controller syncJob: a finished Job is not synced",
        check: Check::Pod(|write| {
            let Some(job) = created(write).filter(|_| write.is_informed()) else { return Ok(()) };
            holds(!job.is_finished(), || format!("{}", job.key))
        }),
    },
    Invariant {
        name: "a suspended Job gets no pods",
        source: "KEP-2232",
        check: Check::Pod(|write| {
            let Some(job) = created(write).filter(|_| write.is_informed()) else { return Ok(()) };
            holds(!job.spec.suspend, || format!("{}", job.key))
        }),
    },
    Invariant {
        name: "a completed index in range never gets a new pod",
        source: "job controller firstPendingIndexes",
        check: Check::Pod(|write| {
            let (Some(job), Some(pod)) = (created(write).filter(|_| write.is_informed()), write.new) else {
                return Ok(());
            };
            let done = IndexSet::parse_below(&job.status.completed_indexes, completions(job));
            holds(pod.index.get().is_none_or(|index| !done.contains(index)), || {
                format!("{:?} of {done}", pod.index)
            })
        }),
    },
    Invariant {
        name: "a failed index in range never gets a new pod",
        source: "KEP-3850",
        check: Check::Pod(|write| {
            let (Some(job), Some(pod)) = (created(write).filter(|_| write.is_informed()), write.new) else {
                return Ok(());
            };
            let Some(failed) = &job.status.failed_indexes else { return Ok(()) };
            let failed = IndexSet::parse_below(failed, completions(job));
            holds(pod.index.get().is_none_or(|index| !failed.contains(index)), || {
                format!("{:?} of {failed}", pod.index)
            })
        }),
    },
    Invariant {
        name: "new pods of an Indexed Job have an index in range, and only they have one",
        source: "job controller firstPendingIndexes",
        check: Check::Pod(|write| {
            let (Some(job), Some(pod)) = (created(write).filter(|_| write.is_informed()), write.new) else {
                return Ok(());
            };
            let fits = match pod.index.get() {
                Some(index) => job.spec.is_indexed() && index < completions(job),
                None => job.spec.completion_mode == CompletionMode::NonIndexed,
            };
            holds(fits, || format!("{:?} of {}", pod.index, completions(job)))
        }),
    },
    Invariant {
        name: "a new pod never makes more active pods than parallelism",
        source: "job controller manageJob",
        check: Check::Pod(|write| {
            let Some(job) = created(write).filter(|_| write.is_informed()) else { return Ok(()) };
            let active = write.ledger.pods_of(job.uid).filter(|pod| pod.is_active()).count() + 1;
            holds(i32::try_from(active).is_ok_and(|active| active <= job.spec.parallelism), || {
                format!("{active} of {}", job.spec.parallelism)
            })
        }),
    },
    Invariant {
        name: "a new pod never doubles an active index",
        source: "job controller firstPendingIndexes",
        check: Check::Pod(|write| {
            let (Some(job), Some(pod)) = (created(write).filter(|_| write.is_informed()), write.new) else {
                return Ok(());
            };
            let Some(index) = pod.index.get() else { return Ok(()) };
            let twin =
                write.ledger.pods_of(job.uid).find(|pod| pod.is_active() && pod.index.get() == Some(index));
            holds(twin.is_none(), || format!("index {index}"))
        }),
    },
    Invariant {
        name: "an elastic shrink removes exactly the pods out of range",
        source: "KEP-3715; job controller getPodsToDelete",
        check: Check::Pod(|write| {
            let Some(pod) = write.old.filter(|_| write.is_informed() && is_removal(write)) else {
                return Ok(());
            };
            let Some(job) = write.ledger.owner(pod) else { return Ok(()) };
            let is_elastic = job.spec.is_indexed() && job.spec.completions == Some(job.spec.parallelism);
            if !is_elastic || job.spec.suspend {
                return Ok(());
            }
            let twin = |other: &Pod| other.uid != pod.uid && other.is_active() && other.index == pod.index;
            // An active pod of a completed index (stale caches can make one) is a surplus that any pod may pay for.
            let done = IndexSet::parse_below(&job.status.completed_indexes, completions(job));
            let active = |other: &Pod| {
                other.is_active() && other.index.get().is_some_and(|index| done.contains(index))
            };
            if write.ledger.pods_of(job.uid).any(active) {
                return Ok(());
            }
            let may_go = match pod.index.get() {
                Some(index) => index >= completions(job) || write.ledger.pods_of(job.uid).any(twin),
                None => true,
            };
            holds(may_go, || format!("index {:?} of {}", pod.index.get(), completions(job)))
        }),
    },
    Invariant {
        name: "a pod goes when its finalizers have gone, and only once",
        source: "Kubernetes API concepts: finalizers; a phase Succeeded or Failed is never left",
        check: Check::Pod(|write| {
            if let (Some(old), None) = (write.old, write.new) {
                return holds(!write.ledger.gone_pods.contains(&old.uid), || format!("{} twice", old.key));
            }
            let Some((old, new)) = write.both() else { return Ok(()) };
            holds(!old.status.phase.is_terminal() || old.status.phase == new.status.phase, || {
                format!("{:?} -> {:?}", old.status.phase, new.status.phase)
            })?;
            holds(old.deletion.is_none() || new.deletion.is_some(), || "a deletion was taken back".to_owned())
        }),
    },
    Invariant {
        name: "at rest every ended pod is counted and no finalizer is left behind",
        source: "KEP-2307; orphan worker",
        check: Check::Rest(|ledger| {
            // A Job can finish before the controller has seen all its pods (stale caches), which then keep their finalizer.
            if ledger.was_blind {
                return Ok(());
            }
            // A pod that lost its labels while its Job went is found by nobody: the Job's selector no longer names it, and
            // nothing changes in it that would (upstream `ControllerRefManager`, orphan worker).
            for pod in ledger.pods.values().filter(|pod| pod.tracked && !ledger.relabelled.contains(&pod.uid))
            {
                let Some(job) = ledger.owner(pod) else {
                    return Err(format!("{} has no Job and keeps its finalizer", pod.key));
                };
                let is_held =
                    job.spec.backoff_limit_per_index.is_some() && pod.status.phase == PodPhase::Failed;
                holds(job.spec.managed_by.is_some() || !job.is_finished(), || {
                    format!("{} of a finished Job", pod.key)
                })?;
                holds(!pod.status.phase.is_terminal() || is_held || job.spec.managed_by.is_some(), || {
                    format!("{} is not counted", pod.key)
                })?;
            }
            Ok(())
        }),
    },
];

/// The Job for which its controller has just created a pod.
fn created<'a>(write: &'a Write<'_, Pod>) -> Option<&'a Job> {
    let is_new = write.old.is_none() && write.actor == Actor::JobController;
    write.new.filter(|_| is_new).and_then(|pod| write.ledger.owner(pod))
}

/// The Job controller deletes an active pod that it has let go of before: one that is not wanted. (The pods of a Job that
/// is decided keep their finalizer until they are counted.)
fn is_removal(write: &Write<'_, Pod>) -> bool {
    write.actor == Actor::JobController
        && write.verb == Verb::Delete
        && write.old.is_some_and(|pod| pod.is_active() && write.ledger.let_go.contains(&pod.uid))
}
