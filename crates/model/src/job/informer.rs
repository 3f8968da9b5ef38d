//! The controller's view of the cluster: a watch per kind that lags and can be held, and the cache that it feeds.
//!
//! A change of the store is first *offered* to the watch of its kind and *delivered* to the cache later: after the watch
//! latency, or when a held watch is released. Changes of one kind are delivered in the order of the store; the two
//! kinds know nothing of each other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::objects::{
    Job, Labels, ObjectKey, OwnerReference, Pod, PodIndex, ResourceVersion, Uid, selector_matches,
};
use crate::server::Versions;
use crate::time::Time;

/// A watch of the Job controller's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchKind {
    /// Pods.
    Pods,
    /// Jobs.
    Jobs,
}

/// A watch of one kind: changes on their way to a cache. A change is whatever the controller knows it by.
#[derive(Debug)]
pub struct Watch<T> {
    /// Changes with the instants at which they are due, both in the order of the store.
    pending: VecDeque<(Time, T)>,
    /// Nothing is delivered for now.
    is_held: bool,
}

impl<T> Default for Watch<T> {
    fn default() -> Self {
        Self { pending: VecDeque::new(), is_held: false }
    }
}

impl<T> Watch<T> {
    /// Takes in a change that is due at `due`, or later if an earlier change is. Returns when to deliver it, unless
    /// others are delivered then anyway or the watch is held.
    pub fn offer(&mut self, due: Time, change: T) -> Option<Time> {
        let last = self.pending.back().map(|(due, _)| *due);
        let due = last.map_or(due, |last| due.max(last));
        self.pending.push_back((due, change));
        (last != Some(due) && !self.is_held).then_some(due)
    }

    /// The next change to deliver at `now`.
    pub fn next_due(&mut self, now: Time) -> Option<T> {
        if self.is_held || self.pending.front()?.0 > now {
            return None;
        }
        self.pending.pop_front().map(|(_, change)| change)
    }

    /// Stops deliveries.
    pub fn hold(&mut self) {
        self.is_held = true;
    }

    /// Resumes deliveries; what was held back is due now. Returns whether the watch was held.
    pub fn release(&mut self, now: Time) -> bool {
        for (due, _) in &mut self.pending {
            *due = now;
        }
        std::mem::take(&mut self.is_held)
    }

    /// Whether deliveries are stopped.
    pub const fn is_held(&self) -> bool {
        self.is_held
    }

    /// Forgets what has not been delivered: the process will list everything anew.
    pub fn reset(&mut self) {
        self.pending.clear();
    }
}

/// Number of a Job's namespace and name: the key of queue and memory. An object recreated under the same name has the
/// same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyId(pub(super) u32);

impl KeyId {
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The cache of Jobs.
#[derive(Debug, Default)]
pub(super) struct JobCache {
    keys: BTreeMap<ObjectKey, KeyId>,
    /// By key.
    jobs: Vec<Option<Arc<Job>>>,
    /// By uid, of every Job seen so far.
    keys_by_uid: Vec<Option<KeyId>>,
    /// The newest version of the store that is reflected here.
    pub(super) reached: ResourceVersion,
}

impl JobCache {
    /// The key of a Job of this name; a new one for a new name.
    fn intern(&mut self, name: &ObjectKey, uid: Uid) -> KeyId {
        let key = if let Some(key) = self.keys.get(name) {
            *key
        } else {
            let key = KeyId(u32::try_from(self.jobs.len()).unwrap_or(u32::MAX));
            self.keys.insert(name.clone(), key);
            self.jobs.push(None);
            key
        };
        *slot(&mut self.keys_by_uid, uid.index()) = Some(key);
        key
    }

    /// The key of the Job that owns a pod of this namespace, whether it was ever seen or not.
    pub(super) fn key_of_owner(&mut self, namespace: &str, owner: &OwnerReference) -> KeyId {
        let known = self.key_of(owner.uid);
        known.unwrap_or_else(|| self.intern(&ObjectKey::new(namespace, &*owner.name), owner.uid))
    }

    /// Takes over a change; returns the key.
    pub(super) fn apply(&mut self, change: &Versions<Job>) -> Option<KeyId> {
        let job = change.new.as_ref().or(change.old.as_ref())?;
        self.reached = self.reached.max(job.resource_version);
        let key = self.keys_by_uid.get(job.uid.index()).copied().flatten();
        let key = key.unwrap_or_else(|| self.intern(&job.key, job.uid));
        self.jobs[key.index()].clone_from(&change.new);
        Some(key)
    }

    /// The Job of this key.
    pub(super) fn get(&self, key: KeyId) -> Option<&Arc<Job>> {
        self.jobs.get(key.index())?.as_ref()
    }

    /// All Jobs with their keys, in the order in which their names were first seen.
    pub(super) fn iter(&self) -> impl Iterator<Item = (KeyId, &Arc<Job>)> {
        (0..).map(KeyId).zip(&self.jobs).filter_map(|(key, job)| Some((key, job.as_ref()?)))
    }

    /// The key of the Job with this uid, once it has been heard of.
    pub(super) fn key_of(&self, uid: Uid) -> Option<KeyId> {
        self.keys_by_uid.get(uid.index()).copied().flatten()
    }

    /// The Job that a pod's controlling owner reference means: its name must be in the cache with the same uid.
    pub(super) fn resolve(&self, owner: &OwnerReference) -> Option<(KeyId, &Arc<Job>)> {
        let key = self.key_of(owner.uid).filter(|_| owner.is_job)?;
        self.get(key).filter(|job| job.uid == owner.uid).map(|job| (key, job))
    }

    /// Keys of the Jobs whose selector matches a pod.
    pub(super) fn selecting(&self, pod: &Pod) -> Vec<KeyId> {
        self.iter()
            .filter(|(_, job)| {
                job.key.namespace == pod.key.namespace && selector_matches(&job.spec.selector, &pod.labels)
            })
            .map(|(key, _)| key)
            .collect()
    }
}

/// The cache of pods, with an index by owner so that no sync looks at the pods of other Jobs.
#[derive(Debug, Default)]
pub(super) struct PodCache {
    /// By uid.
    pods: Vec<Option<Arc<Pod>>>,
    /// Pods by the uid of their Job, in order of creation.
    owned: Vec<BTreeSet<Uid>>,
    /// Pods without a controlling owner, in order of creation.
    ownerless: BTreeSet<Uid>,
    /// The newest version of the store that is reflected here.
    pub(super) reached: ResourceVersion,
}

impl PodCache {
    /// Takes over a change.
    pub(super) fn apply(&mut self, change: &Versions<Pod>) {
        let Some(pod) = change.new.as_ref().or(change.old.as_ref()) else { return };
        self.reached = self.reached.max(pod.resource_version);
        let place = slot(&mut self.pods, pod.uid.index());
        let old = std::mem::replace(place, change.new.clone());
        let (old_owner, new_owner) = (old.as_ref().map(owner_of), change.new.as_ref().map(owner_of));
        if old_owner != new_owner {
            if let Some(set) = old_owner.and_then(|owner| self.set_of(owner)) {
                set.remove(&pod.uid);
            }
            if let Some(set) = new_owner.and_then(|owner| self.set_of(owner)) {
                set.insert(pod.uid);
            }
        }
    }

    /// The pod with this uid.
    pub(super) fn get(&self, uid: Uid) -> Option<&Arc<Pod>> {
        self.pods.get(uid.index())?.as_ref()
    }

    /// The pods of a Job.
    pub(super) fn owned_by(&self, job: Uid) -> impl Iterator<Item = &Arc<Pod>> {
        self.owned.get(job.index()).into_iter().flatten().filter_map(|uid| self.get(*uid))
    }

    /// Pods without owner that a selector matches.
    pub(super) fn ownerless_matching(
        &self,
        namespace: &str,
        selector: &Labels,
    ) -> impl Iterator<Item = &Arc<Pod>> {
        self.ownerless
            .iter()
            .filter_map(|uid| self.get(*uid))
            .filter(move |pod| &*pod.key.namespace == namespace && selector_matches(selector, &pod.labels))
    }

    fn set_of(&mut self, owner: Owner) -> Option<&mut BTreeSet<Uid>> {
        match owner {
            Owner::Job(uid) => Some(slot(&mut self.owned, uid.index())),
            Owner::None => Some(&mut self.ownerless),
            Owner::Foreign => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Job(Uid),
    None,
    Foreign,
}

fn owner_of(pod: &Arc<Pod>) -> Owner {
    match &pod.owner {
        Some(owner) if owner.is_job => Owner::Job(owner.uid),
        Some(_) => Owner::Foreign,
        None => Owner::None,
    }
}

/// Whether the labels of two versions of a pod differ, the completion index included.
pub(super) fn labels_differ(old: &Pod, new: &Pod) -> bool {
    let index = |pod: &Pod| if let PodIndex::At(index) = pod.index { Some(index) } else { None };
    index(old) != index(new) || (!Arc::ptr_eq(&old.labels, &new.labels) && old.labels != new.labels)
}

/// The place at `index`, made if need be.
pub(super) fn slot<T: Default>(table: &mut Vec<T>, index: usize) -> &mut T {
    if index >= table.len() {
        table.resize_with(index + 1, T::default);
    }
    &mut table[index]
}
