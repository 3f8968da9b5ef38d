//! The garbage collector of owned objects, for pods owned by Jobs: background, foreground and orphaning deletion (Job
//! spec section 7.6).
//!
//! A Job's finalizers say how it is deleted: `foregroundDeletion` makes it wait for its pods, `orphan` makes it let go
//! of them; without either the pods are deleted when the Job is gone.

use std::collections::{BTreeMap, BTreeSet};

use super::ClusterEvent;
use super::timing::TimingProfile;
use crate::engine::Purpose;
use crate::objects::{Job, Pod, Uid};
use crate::server::{Actor, Change, FOREGROUND_DELETION, ORPHAN_DEPENDENTS, PodPatch, Versions};
use crate::simulation::{Context, Event};

/// The garbage collector.
#[derive(Clone, Debug)]
pub struct GarbageCollector {
    timing: &'static TimingProfile,
    /// Stored pods by the Job that owns them, gone or not.
    dependents: BTreeMap<Uid, BTreeSet<Uid>>,
    /// Jobs that will be attended to: one event at a time is enough.
    pending: BTreeSet<Uid>,
}

impl GarbageCollector {
    pub(super) fn new(timing: &'static TimingProfile) -> Self {
        Self { timing, dependents: BTreeMap::new(), pending: BTreeSet::new() }
    }

    /// Follows what happens to Jobs and their pods.
    pub(super) fn observe(&mut self, change: &Change, ctx: &mut Context<'_>) {
        match change {
            Change::Pod(Versions { old, new }) => {
                let owner =
                    |pod: &Pod| pod.owner.as_ref().filter(|owner| owner.is_job).map(|owner| owner.uid);
                let before = old.as_ref().and_then(|pod| owner(pod));
                let after = new.as_ref().and_then(|pod| owner(pod));
                let Some(pod) = new.as_ref().or(old.as_ref()) else { return };
                if before != after {
                    self.move_dependent(pod.uid, before, after, ctx);
                }
            }
            Change::Job(Versions { new: Some(job), .. }) if is_for_collector(job) => {
                self.attend(job.uid, ctx)
            }
            Change::Job(Versions { old: Some(job), new: None }) if self.dependents.contains_key(&job.uid) => {
                self.attend(job.uid, ctx);
            }
            _ => {}
        }
    }

    fn move_dependent(&mut self, pod: Uid, from: Option<Uid>, to: Option<Uid>, ctx: &mut Context<'_>) {
        if let Some(job) = from
            && let Some(pods) = self.dependents.get_mut(&job)
        {
            pods.remove(&pod);
            if pods.is_empty() {
                self.dependents.remove(&job);
                if ctx.server.job(job).is_some_and(|job| is_for_collector(job)) {
                    self.attend(job, ctx);
                }
            }
        }
        if let Some(job) = to {
            self.dependents.entry(job).or_default().insert(pod);
            // A pod whose owner is not there, or no longer, is garbage from the start.
            if ctx.server.job(job).is_none_or(|job| is_for_collector(job)) {
                self.attend(job, ctx);
            }
        }
    }

    fn attend(&mut self, job: Uid, ctx: &mut Context<'_>) {
        if self.pending.insert(job) {
            let at = ctx.now + self.timing.garbage_collection.draw(ctx.random, Purpose::Network);
            ctx.events.schedule(at, Event::Cluster(ClusterEvent::CollectGarbage { job }));
        }
    }

    /// Does what a Job's deletion asks for.
    pub(super) fn collect(&mut self, job: Uid, ctx: &mut Context<'_>) {
        self.pending.remove(&job);
        let pods: Vec<Uid> = self.dependents.get(&job).into_iter().flatten().copied().collect();
        let Some(owner) = ctx.server.job(job).cloned() else {
            return delete(pods, ctx);
        };
        if owner.deletion_time.is_none() {
            return;
        }
        if has_finalizer(&owner, ORPHAN_DEPENDENTS) {
            let orphan = PodPatch { orphan: true, ..PodPatch::default() };
            for pod in pods {
                // A pod that is gone has no owner to lose.
                let _ = ctx.server.patch_pod(ctx.now, Actor::GarbageCollector, pod, &orphan);
            }
            let _ = ctx.server.remove_job_finalizer(ctx.now, Actor::GarbageCollector, job, ORPHAN_DEPENDENTS);
        } else if has_finalizer(&owner, FOREGROUND_DELETION) {
            if pods.is_empty() {
                let _ = ctx.server.remove_job_finalizer(
                    ctx.now,
                    Actor::GarbageCollector,
                    job,
                    FOREGROUND_DELETION,
                );
            } else {
                delete(pods, ctx);
            }
        }
    }
}

/// The Job is being deleted in a way that is the collector's business.
fn is_for_collector(job: &Job) -> bool {
    job.deletion_time.is_some()
        && (has_finalizer(job, ORPHAN_DEPENDENTS) || has_finalizer(job, FOREGROUND_DELETION))
}

fn has_finalizer(job: &Job, finalizer: &str) -> bool {
    job.finalizers.iter().any(|present| **present == *finalizer)
}

/// Deletes pods with their own grace periods, those excepted that are being deleted already.
fn delete(pods: Vec<Uid>, ctx: &mut Context<'_>) {
    for pod in pods {
        if ctx.server.pod(pod).is_some_and(|pod| !pod.is_deleting()) {
            // Refused only when the pod is gone by now.
            let _ = ctx.server.delete_pod(ctx.now, Actor::GarbageCollector, pod, None);
        }
    }
}
