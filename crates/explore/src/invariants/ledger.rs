//! What all writes so far add up to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use towtank_model::index_set::IndexSet;
use towtank_model::objects::{
    ConditionStatus, ContainerState, Job, JobConditionType, JobStatus, ObjectKey, Pod, PodReplacementPolicy,
    READY, ResourceVersion, Uid, selector_matches,
};
use towtank_model::server::{Actor, ApiError, Change, TraceEntry, Verb, Versions};
use towtank_model::time::Time;
use towtank_model::version::Features;

/// Longer than anything that a controller waits for after the last write: the longest delay after a failure is ten
/// minutes.
const REST: Duration = Duration::from_secs(11 * 60);

/// What all writes so far add up to.
pub(super) struct Ledger {
    pub(super) features: Features,
    /// The controller knows the newest state: no cache is held and no call goes wrong.
    pub(super) is_informed: bool,
    /// There was a time at which it did not.
    pub(super) was_blind: bool,
    /// The controller lost its memory when it could not see the newest state.
    pub(super) has_forgotten: bool,
    /// Calls of the controller fail without having been refused.
    pub(super) has_faults: bool,
    pub(super) jobs: BTreeMap<Uid, Arc<Job>>,
    pub(super) pods: BTreeMap<Uid, Arc<Pod>>,
    pub(super) gone_pods: BTreeSet<Uid>,
    /// Active pods whose finalizer the Job controller took off: those that it does not want.
    pub(super) let_go: BTreeSet<Uid>,
    /// Pods that had no owner at first.
    pub(super) adopted: BTreeSet<Uid>,
    /// Pods whose labels a user has changed so that their Job no longer selects them.
    pub(super) relabelled: BTreeSet<Uid>,
    /// Jobs with the pods that their `uncountedTerminatedPods` named.
    pub(super) counted: BTreeSet<(Uid, Uid)>,
    /// Failures since the last success or restart, by Job.
    pub(super) failures: BTreeMap<Uid, Failures>,
    /// What the controller has done to a Job at the present instant since somebody else has done something.
    pub(super) syncs: BTreeMap<Uid, Sync>,
    /// Jobs whose last status write was refused.
    pub(super) frozen: BTreeSet<ObjectKey>,
    /// Names that Jobs had.
    names: BTreeSet<ObjectKey>,
    /// Names that belonged to more than one Job: their expectations pass from one to the next.
    pub(super) reused: BTreeSet<ObjectKey>,
    /// Nothing more can be created.
    pub(super) is_namespace_ending: bool,
    pub(super) resource_version: ResourceVersion,
    changed_at: Time,
}

/// Failures in a row.
#[derive(Clone, Copy)]
pub(super) struct Failures {
    pub(super) count: u32,
    /// When the latest pods to be counted ended.
    pub(super) latest: Time,
}

/// What one sync has done to a Job.
#[derive(Clone, Copy, Default)]
pub(super) struct Sync {
    at: Time,
    pub(super) status_writes: u32,
    pub(super) last_index: Option<u32>,
    pub(super) has_created: bool,
    pub(super) has_deleted: bool,
    /// Pods that had not ended and went with this sync's writes: it still counts them as terminating.
    pub(super) gone: i32,
}

impl Ledger {
    pub(super) fn new(features: Features) -> Self {
        Self {
            features,
            is_informed: true,
            was_blind: false,
            has_forgotten: false,
            has_faults: false,
            jobs: BTreeMap::new(),
            pods: BTreeMap::new(),
            gone_pods: BTreeSet::new(),
            let_go: BTreeSet::new(),
            adopted: BTreeSet::new(),
            relabelled: BTreeSet::new(),
            counted: BTreeSet::new(),
            failures: BTreeMap::new(),
            syncs: BTreeMap::new(),
            frozen: BTreeSet::new(),
            names: BTreeSet::new(),
            reused: BTreeSet::new(),
            is_namespace_ending: false,
            resource_version: 0,
            changed_at: Time::ZERO,
        }
    }

    /// The Job that controls a pod.
    pub(super) fn owner(&self, pod: &Pod) -> Option<&Job> {
        let owner = pod.owner.as_ref().filter(|owner| owner.is_job)?;
        self.jobs.get(&owner.uid).map(Arc::as_ref)
    }

    /// The pods that a Job controls and selects.
    pub(super) fn pods_of(&self, job: Uid) -> impl Iterator<Item = &Pod> {
        let selector = self.jobs.get(&job).map(|job| Arc::clone(&job.spec.selector));
        let is_selected = move |pod: &Pod| {
            selector.as_ref().is_some_and(|selector| selector_matches(selector, &pod.labels))
        };
        let pods = self.pods.values().map(Arc::as_ref);
        pods.filter(move |pod| pod.is_owned_by_job(job) && is_selected(pod))
    }

    /// How many of the Job's pods are like this.
    pub(super) fn count(&self, job: Uid, is_counted: impl Fn(&Pod) -> bool) -> i32 {
        int(self.pods_of(job).filter(|pod| is_counted(pod)).count())
    }

    /// What the controller has done to this Job in the present sync.
    pub(super) fn sync(&self, job: Uid, now: Time) -> Sync {
        let fresh = Sync { at: now, ..Sync::default() };
        self.syncs.get(&job).copied().filter(|sync| sync.at == now).unwrap_or(fresh)
    }

    /// Pods of this Job are replaced only when they have ended (KEP-3939, KEP-3329).
    pub(super) fn replaces_only_ended(&self, job: &Job) -> bool {
        let by_policy = job.spec.pod_replacement_policy == Some(PodReplacementPolicy::Failed);
        by_policy || (job.spec.pod_failure_policy.is_some() && !self.features.only_policy_decides_replacement)
    }

    pub(super) fn restarted(&mut self) {
        self.has_forgotten |= !self.is_informed;
        self.failures.clear();
        self.syncs.clear();
    }

    pub(super) fn refused(&mut self, verb: Verb, key: &ObjectKey, error: &ApiError) {
        if verb == Verb::UpdateStatus {
            self.frozen.insert(key.clone());
        }
        self.is_namespace_ending |= matches!(error, ApiError::NamespaceTerminating(_));
    }

    pub(super) fn is_at_rest(&self, now: Time) -> bool {
        now.since(self.changed_at) >= REST
    }

    /// Takes a change that was checked.
    pub(super) fn take(&mut self, entry: &TraceEntry, change: &Change) {
        if entry.actor != Actor::JobController {
            self.syncs.clear();
        }
        self.changed_at = entry.at;
        match change {
            Change::Job(versions) => self.take_job(entry, versions),
            Change::Pod(versions) => self.take_pod(entry, versions),
            Change::Node(_) => {}
        }
    }

    fn take_job(&mut self, entry: &TraceEntry, versions: &Versions<Job>) {
        match (versions.old.as_deref(), versions.new.as_deref()) {
            (Some(old), Some(new)) if entry.actor == Actor::JobController => {
                let mut sync = self.sync(new.uid, entry.at);
                sync.status_writes += 1;
                self.syncs.insert(new.uid, sync);
                self.frozen.remove(&new.key);
                self.note_ends(old, new);
            }
            (None, Some(new)) => {
                let is_first = self.names.insert(new.key.clone());
                self.reused.extend((!is_first).then(|| new.key.clone()));
            }
            _ => {}
        }
        let newest = versions.new.as_ref().map(|job| job.resource_version);
        self.resource_version = newest.unwrap_or(0).max(self.resource_version);
        keep(&mut self.jobs, versions, |job| job.uid);
    }

    /// Notes the ends that a status write tells for the first time.
    fn note_ends(&mut self, old: &Job, new: &Job) {
        let failed = newly_failed(&old.status, &new.status);
        if has_new_success(old, new) {
            self.failures.remove(&new.uid);
        } else if let Some(latest) =
            failed.iter().filter_map(|uid| self.pods.get(uid)).map(|pod| finish_time(pod)).max()
        {
            let before = self.failures.get(&new.uid).map_or(0, |failures| failures.count);
            let count = before + u32::try_from(failed.len()).unwrap_or(u32::MAX);
            self.failures.insert(new.uid, Failures { count, latest });
        }
        if let Some(uncounted) = &new.status.uncounted {
            let named = uncounted.succeeded.iter().chain(&uncounted.failed);
            self.counted.extend(named.map(|pod| (new.uid, *pod)));
        }
    }

    fn take_pod(&mut self, entry: &TraceEntry, versions: &Versions<Pod>) {
        let by_controller = entry.actor == Actor::JobController;
        match (versions.old.as_deref(), versions.new.as_deref()) {
            (Some(old), new) => {
                let is_let_go = old.tracked && new.is_none_or(|new| !new.tracked);
                if by_controller && old.is_active() && is_let_go {
                    self.let_go.insert(old.uid);
                }
                if new.is_some_and(|new| new.tracked) {
                    self.let_go.remove(&old.uid);
                }
                if old.owner.is_none() && new.is_some_and(|new| new.owner.is_some()) {
                    self.adopted.insert(old.uid);
                    // Adoption puts the finalizer on again: a pod that had ended and was counted is counted once more.
                    self.counted.retain(|(_, pod)| *pod != old.uid);
                }
                if let Some(new) = new.filter(|new| entry.actor == Actor::User && old.labels != new.labels) {
                    let owner = self.owner(new);
                    let has_lost = owner.map_or_else(
                        || old.labels.iter().any(|(key, value)| new.labels.get(key) != Some(value)),
                        |job| !selector_matches(&job.spec.selector, &new.labels),
                    );
                    if has_lost {
                        self.relabelled.insert(old.uid)
                    } else {
                        self.relabelled.remove(&old.uid)
                    };
                }
                if new.is_none() {
                    self.gone_pods.insert(old.uid);
                }
                if let Some(owner) = old.owner.as_ref().filter(|_| by_controller) {
                    let mut sync = self.sync(owner.uid, entry.at);
                    let ends_active = old.is_active() && new.is_none_or(Pod::is_deleting);
                    sync.has_deleted |= ends_active;
                    let is_counted = !old.status.phase.is_terminal() && !self.relabelled.contains(&old.uid);
                    sync.gone += i32::from(new.is_none() && is_counted);
                    self.syncs.insert(owner.uid, sync);
                }
            }
            (None, Some(new)) => {
                if let Some(owner) = new.owner.as_ref().filter(|_| by_controller) {
                    let mut sync = self.sync(owner.uid, entry.at);
                    (sync.has_created, sync.last_index) = (true, new.index.get());
                    self.syncs.insert(owner.uid, sync);
                }
            }
            (None, None) => {}
        }
        let newest = versions.new.as_ref().map(|pod| pod.resource_version);
        self.resource_version = newest.unwrap_or(0).max(self.resource_version);
        keep(&mut self.pods, versions, |pod| pod.uid);
    }
}

fn keep<T>(table: &mut BTreeMap<Uid, Arc<T>>, versions: &Versions<T>, uid: impl Fn(&T) -> Uid) {
    match (&versions.old, &versions.new) {
        (_, Some(new)) => drop(table.insert(uid(new), Arc::clone(new))),
        (Some(old), None) => drop(table.remove(&uid(old))),
        (None, None) => {}
    }
}

/// A number of pods as a status tells it.
pub(super) fn int(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// `spec.completions` as a bound of indexes.
pub(super) fn completions(job: &Job) -> u32 {
    u32::try_from(job.spec.completions.unwrap_or(0)).unwrap_or(0)
}

/// Completed indexes in range.
pub(super) fn completed(job: &Job) -> IndexSet {
    IndexSet::parse_below(&job.status.completed_indexes, completions(job))
}

/// Failed indexes in range.
pub(super) fn failed(job: &Job) -> IndexSet {
    let text = job.status.failed_indexes.as_deref().unwrap_or_default();
    IndexSet::parse_below(text, completions(job))
}

/// The condition is True.
pub(super) fn has(status: &JobStatus, kind: JobConditionType) -> bool {
    status.true_condition(kind).is_some()
}

/// The controller has decided how the Job ends.
pub(super) fn is_decided(status: &JobStatus) -> bool {
    [
        JobConditionType::SuccessCriteriaMet,
        JobConditionType::Complete,
        JobConditionType::FailureTarget,
        JobConditionType::Failed,
    ]
    .into_iter()
    .any(|kind| has(status, kind))
}

/// `uncountedTerminatedPods.succeeded`.
pub(super) fn uncounted_succeeded(status: &JobStatus) -> &[Uid] {
    status.uncounted.as_ref().map_or(&[], |uncounted| &uncounted.succeeded)
}

/// `uncountedTerminatedPods.failed`.
pub(super) fn uncounted_failed(status: &JobStatus) -> &[Uid] {
    status.uncounted.as_ref().map_or(&[], |uncounted| &uncounted.failed)
}

/// Pods that a status write calls failed for the first time.
pub(super) fn newly_failed(old: &JobStatus, new: &JobStatus) -> Vec<Uid> {
    let known = uncounted_failed(old);
    uncounted_failed(new).iter().filter(|uid| !known.contains(uid)).copied().collect()
}

fn has_new_success(old: &Job, new: &Job) -> bool {
    let known = uncounted_succeeded(&old.status);
    let (before, after) = (completed(old), completed(new));
    uncounted_succeeded(&new.status).iter().any(|uid| !known.contains(uid))
        || after.iter().any(|index| !before.contains(index))
}

/// When a pod ended, as far as its object tells (spec section 5.2).
pub(super) fn finish_time(pod: &Pod) -> Time {
    let ends: Option<Vec<Time>> = (pod.status.containers.iter())
        .map(|container| match &container.state {
            ContainerState::Terminated(end) => end.finished_at,
            ContainerState::Waiting(_) | ContainerState::Running => None,
        })
        .collect();
    let not_ready = || {
        let ready = pod.condition(READY).filter(|ready| ready.status == ConditionStatus::False);
        ready.map(|ready| ready.last_transition_time)
    };
    let asked = || {
        pod.deletion.map(|deletion| {
            deletion.timestamp.saturating_sub(Duration::from_secs(deletion.grace_period_s.into()))
        })
    };
    ends.and_then(|ends| ends.into_iter().max())
        .or_else(not_ready)
        .or_else(asked)
        .unwrap_or(pod.creation_time)
}
