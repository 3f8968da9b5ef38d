//! What a delivery to a cache causes: keys on the queues, and expectations that are met (spec section 1.3).

use std::time::Duration;

use super::controller::JobController;
use super::informer::{KeyId, labels_differ};
use crate::objects::{Job, OwnerReference, Pod};
use crate::server::Versions;
use crate::simulation::Context;

/// Delay of syncs that pod events and status updates cause (`SyncJobBatchPeriod`).
const BATCH_PERIOD: Duration = Duration::from_secs(1);

impl JobController {
    /// Handlers of pods: `addPod`, `updatePod`, `deletePod`.
    pub(super) fn handle_pod(&mut self, change: &Versions<Pod>, ctx: &mut Context<'_>) {
        match (&change.old, &change.new) {
            (None, Some(new)) => self.pod_added(new, ctx),
            (Some(old), Some(new)) => self.pod_updated(old, new, ctx),
            (Some(old), None) => self.pod_deleted(old, true, ctx),
            (None, None) => {}
        }
    }

    /// Handlers of Jobs: `addJob`, `updateJob`, `deleteJob`.
    pub(super) fn handle_job(&mut self, key: KeyId, change: &Versions<Job>, ctx: &mut Context<'_>) {
        match (&change.old, &change.new) {
            (None, Some(_)) => self.enqueue_after(key, Duration::ZERO, ctx),
            (Some(old), Some(new)) => self.job_updated(key, old, new, ctx),
            (Some(old), None) => self.job_deleted(key, old, ctx),
            (None, None) => {}
        }
    }

    /// Syncs a Job after a delay.
    pub(super) fn enqueue_after(&mut self, key: KeyId, delay: Duration, ctx: &mut Context<'_>) {
        self.pool.add_after(ctx.now, key.0, delay);
    }

    fn enqueue_batched(&mut self, key: KeyId, ctx: &mut Context<'_>) {
        self.enqueue_after(key, mutant!(62, BATCH_PERIOD => Duration::ZERO), ctx);
    }

    fn pod_added(&mut self, pod: &Pod, ctx: &mut Context<'_>) {
        if pod.is_deleting() {
            // After a restart; such a pod is no creation that anybody waits for.
            self.pod_deleted(pod, false, ctx);
            return;
        }
        if let Some(owner) = &pod.owner {
            if let Some((key, _)) = self.jobs.resolve(owner) {
                mutant!(65, self.memory(key).creation_observed() => ());
                self.enqueue_batched(key, ctx);
            }
            return;
        }
        if pod.tracked {
            self.enqueue_orphan(pod.uid, ctx);
        }
        mutant!(48, self.enqueue_selecting(pod, ctx) => ());
    }

    fn pod_updated(&mut self, old: &Pod, pod: &Pod, ctx: &mut Context<'_>) {
        if old.resource_version == pod.resource_version {
            return;
        }
        if pod.is_deleting() {
            self.pod_deleted(pod, false, ctx);
            return;
        }
        let owner_changed = old.owner != pod.owner;
        if owner_changed && let Some(owner) = &old.owner {
            self.pod_of_owner_updated(owner, pod, ctx);
        }
        if let Some(owner) = &pod.owner {
            self.pod_of_owner_updated(owner, pod, ctx);
            return;
        }
        if pod.tracked {
            self.enqueue_orphan(pod.uid, ctx);
        }
        if owner_changed || labels_differ(old, pod) {
            self.enqueue_selecting(pod, ctx);
        }
    }

    /// Every change of a pod wakes its owner, and one without the finalizer proves that the finalizer is gone.
    fn pod_of_owner_updated(&mut self, owner: &OwnerReference, pod: &Pod, ctx: &mut Context<'_>) {
        if let Some((key, _)) = self.jobs.resolve(owner) {
            if !pod.tracked {
                self.memory(key).finalizers_gone.remove(&pod.uid);
            }
            self.enqueue_batched(key, ctx);
        }
    }

    /// A pod is gone (`is_final`) or is going. Each such event counts as one observed deletion, so that one pod may
    /// lower the expectations more than once.
    fn pod_deleted(&mut self, pod: &Pod, is_final: bool, ctx: &mut Context<'_>) {
        let owner = pod.owner.as_ref().and_then(|owner| self.jobs.resolve(owner));
        let Some(key) = owner.filter(|(_, job)| !job.is_finished()).map(|(key, _)| key) else {
            // No sync will take this finalizer away.
            if pod.tracked {
                self.enqueue_orphan(pod.uid, ctx);
            }
            return;
        };
        let memory = self.memory(key);
        mutant!(64, memory.deletion_observed() => ());
        if is_final || !pod.tracked {
            memory.finalizers_gone.remove(&pod.uid);
        }
        self.enqueue_batched(key, ctx);
    }

    fn enqueue_selecting(&mut self, pod: &Pod, ctx: &mut Context<'_>) {
        for key in self.jobs.selecting(pod) {
            self.enqueue_batched(key, ctx);
        }
    }

    fn job_updated(&mut self, key: KeyId, old: &Job, job: &Job, ctx: &mut Context<'_>) {
        if job.is_finished() {
            if self.features.finished_update_orphans_pods {
                self.enqueue_pods_as_orphans(job, ctx);
            }
            if !self.features.finished_update_enqueues_sync {
                return;
            }
        }
        let delay =
            if mutant!(63, job.generation == old.generation => true) { BATCH_PERIOD } else { Duration::ZERO };
        self.enqueue_after(key, delay, ctx);
        let (new_deadline, old_deadline) =
            (job.spec.active_deadline_seconds, old.spec.active_deadline_seconds);
        if let (Some(start), Some(deadline)) = (job.status.start_time, new_deadline)
            && old_deadline != new_deadline
        {
            let deadline = Duration::from_secs(u64::try_from(deadline).unwrap_or(0));
            self.enqueue_after(key, deadline.saturating_sub(ctx.now - start), ctx);
        }
    }

    fn job_deleted(&mut self, key: KeyId, job: &Job, ctx: &mut Context<'_>) {
        self.enqueue_after(key, Duration::ZERO, ctx);
        self.finished_unseen.remove(&job.uid);
        self.enqueue_pods_as_orphans(job, ctx);
        let features = self.features;
        let memory = self.memory(key);
        memory.forget_writes_of(job.uid);
        if !features.expectations_outlive_job {
            memory.expectations = None;
        }
        if features.job_delete_drops_backoff {
            memory.backoff = Default::default();
        }
    }
}
