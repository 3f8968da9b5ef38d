//! The worker that takes the tracking finalizer off pods that no sync looks after any more (spec section 1.4).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::QueueId;
use super::client::{Call, Reply, Ticket};
use super::config::ControllerConfig;
use super::controller::JobController;
use super::informer::slot;
use super::outbox::job_of;
use super::pool::Pool;
use crate::objects::{BUILT_IN_CONTROLLER, Job, Labels, Pod, Uid};
use crate::server::{ApiError, PodPatch};
use crate::simulation::Context;
use crate::version::Features;

/// What the orphan queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum OrphanKey {
    /// One pod.
    Pod(Uid),
    /// All pods that the selector of this Job matches (1.32 and later).
    SelectorOf(Uid),
}

/// Pods of one key being seen to, one after the other.
#[derive(Debug)]
struct Rescue {
    key: u32,
    /// As the cache showed them when the key was taken.
    pods: VecDeque<Arc<Pod>>,
    /// Failures are only logged for selectors; a single pod is tried again.
    has_failed: bool,
}

/// The orphan queue and its workers.
#[derive(Debug)]
pub(super) struct Orphans {
    pub(super) pool: Pool,
    /// By number of the key.
    keys: Vec<OrphanKey>,
    numbers: BTreeMap<OrphanKey, u32>,
    /// Namespace and selector of Jobs in the queue.
    selectors: BTreeMap<Uid, (Arc<str>, Arc<Labels>)>,
    /// By worker.
    running: Vec<Option<Rescue>>,
}

impl Orphans {
    pub(super) fn new(config: &ControllerConfig, features: &Features) -> Self {
        let workers = if features.orphan_parallel_workers { config.workers } else { 1 };
        Self {
            pool: Pool::new(QueueId::Orphans, workers),
            keys: Vec::new(),
            numbers: BTreeMap::new(),
            selectors: BTreeMap::new(),
            running: Vec::new(),
        }
    }

    fn add(&mut self, key: OrphanKey, ctx: &mut Context<'_>) {
        let next = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.keys.push(key);
        }
        self.pool.add_after(ctx.now, number, Duration::ZERO);
    }
}

impl JobController {
    /// Has the worker look at one pod.
    pub(super) fn enqueue_orphan(&mut self, pod: Uid, ctx: &mut Context<'_>) {
        self.orphans.add(OrphanKey::Pod(pod), ctx);
    }

    /// Has the worker look at the pods of a Job that is finished or gone: those that its selector matches when the
    /// worker comes to it, or, up to 1.31, those that it owns now.
    pub(super) fn enqueue_pods_as_orphans(&mut self, job: &Job, ctx: &mut Context<'_>) {
        if self.features.orphan_selector_key {
            let selector = (Arc::clone(&job.key.namespace), Arc::clone(&job.spec.selector));
            self.orphans.selectors.insert(job.uid, selector);
            self.orphans.add(OrphanKey::SelectorOf(job.uid), ctx);
            return;
        }
        let selector = &job.spec.selector;
        let is_orphan =
            |pod: &&Arc<Pod>| pod.tracked && crate::objects::selector_matches(selector, &pod.labels);
        let orphans: Vec<_> = self.pods.owned_by(job.uid).filter(is_orphan).map(|pod| pod.uid).collect();
        for pod in orphans {
            self.enqueue_orphan(pod, ctx);
        }
    }

    /// A worker takes the next key, if there are both.
    pub(super) fn work_on_orphans(&mut self, ctx: &mut Context<'_>) -> bool {
        let Some((worker, number)) = self.orphans.pool.next() else { return false };
        let pods = match self.orphans.keys.get(number as usize) {
            Some(OrphanKey::Pod(uid)) => self.pods.get(*uid).map(Arc::clone).into_iter().collect(),
            Some(OrphanKey::SelectorOf(job)) => self.pods_selected_by(*job),
            None => VecDeque::new(),
        };
        let rescue = Rescue { key: number, pods, has_failed: false };
        self.rescue(worker, rescue, ctx);
        true
    }

    /// The answer to a worker's patch.
    pub(super) fn resume_orphans(&mut self, ticket: Ticket, reply: &Reply, ctx: &mut Context<'_>) {
        let place = self.orphans.running.get_mut(ticket.worker as usize);
        let Some(mut rescue) = place.and_then(Option::take) else { return };
        self.note_own_write(reply);
        rescue.has_failed |= is_failure(reply);
        self.rescue(ticket.worker, rescue, ctx);
    }

    /// Goes on with a key until a call is under way or nothing is left to do.
    fn rescue(&mut self, worker: u32, mut rescue: Rescue, ctx: &mut Context<'_>) {
        while let Some(pod) = rescue.pods.pop_front() {
            if !pod.tracked || !self.is_orphaned(&pod) {
                continue;
            }
            let patch = PodPatch { remove_tracking_finalizer: true, ..PodPatch::default() };
            let ticket = Ticket { queue: QueueId::Orphans, worker, slot: 0 };
            self.outbox.push(ticket, job_of(&pod), Call::PatchPod(pod.uid, patch));
            *slot(&mut self.orphans.running, worker as usize) = Some(rescue);
            return;
        }
        let is_single = matches!(self.orphans.keys.get(rescue.key as usize), Some(OrphanKey::Pod(_)));
        self.orphans.pool.finish(ctx.now, worker, rescue.key, rescue.has_failed && is_single);
    }

    /// No sync will take this pod's finalizer away.
    fn is_orphaned(&self, pod: &Pod) -> bool {
        let Some(owner) = &pod.owner else { return true };
        if !owner.is_job {
            return !self.features.orphan_checks_owner_kind;
        }
        self.jobs.resolve(owner).is_none_or(|(_, job)| {
            let is_foreign = self.features.orphan_checks_managed_by && is_managed_elsewhere(job);
            !is_foreign && job.is_finished()
        })
    }

    /// The cached pods that a Job's selector may concern, oldest first: its own and those without owner. Pods of other
    /// Jobs would be left alone anyway.
    fn pods_selected_by(&self, job: Uid) -> VecDeque<Arc<Pod>> {
        let Some((namespace, selector)) = self.orphans.selectors.get(&job) else { return VecDeque::new() };
        let own = self.pods.owned_by(job);
        let mut pods: Vec<_> = own
            .filter(|pod| crate::objects::selector_matches(selector, &pod.labels))
            .chain(self.pods.ownerless_matching(namespace, selector))
            .map(Arc::clone)
            .collect();
        pods.sort_unstable_by_key(|pod| pod.uid);
        pods.into()
    }
}

/// `managedBy` names another controller.
pub(super) fn is_managed_elsewhere(job: &Job) -> bool {
    job.spec.managed_by.as_deref().is_some_and(|manager| manager != BUILT_IN_CONTROLLER)
}

fn is_failure(reply: &Reply) -> bool {
    !matches!(reply, Ok(_) | Err(ApiError::NotFound { .. }))
}
