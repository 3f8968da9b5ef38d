//! Which pods a Job has: adoption of orphans and release of pods whose labels no longer match (spec section 1.7,
//! upstream `controller_ref_manager.go`).

use std::collections::VecDeque;
use std::sync::Arc;

use super::client::{Call, Payload, Reply};
use super::informer::PodCache;
use crate::objects::{Job, OwnerReference, Pod, Uid, selector_matches};
use crate::server::{ApiError, PodPatch};

/// A call that claiming needs.
#[derive(Debug)]
enum Wanted {
    Release(Uid),
    /// With the pod as the sync will see it once it is adopted.
    Adopt(Arc<Pod>),
}

/// Claiming in progress: calls are made one after the other.
#[derive(Debug)]
pub(super) struct Claim {
    /// The Job's pods so far.
    pods: Vec<Arc<Pod>>,
    wanted: VecDeque<Wanted>,
    /// Whether pods may be adopted: found out by one live read before the first adoption.
    may_adopt: Option<bool>,
    /// A call failed: the sync ends with an error once all calls are made.
    has_failed: bool,
}

impl Claim {
    /// Looks for the pods of `job` in the cache: its own first, then those without owner.
    pub(super) fn new(job: &Job, cache: &PodCache) -> Self {
        let is_deleting = job.deletion_time.is_some();
        let mut claim =
            Self { pods: Vec::new(), wanted: VecDeque::new(), may_adopt: None, has_failed: false };
        // Pods of one template share their labels, so one comparison mostly stands for all.
        let mut last: Option<(&Arc<_>, bool)> = None;
        for pod in cache.owned_by(job.uid) {
            let matches = match last {
                Some((labels, matches)) if Arc::ptr_eq(labels, &pod.labels) => matches,
                _ => selector_matches(&job.spec.selector, &pod.labels),
            };
            last = Some((&pod.labels, matches));
            if matches {
                claim.pods.push(Arc::clone(pod));
            } else if mutant!(61, !is_deleting => false) {
                claim.wanted.push_back(Wanted::Release(pod.uid));
            }
        }
        if !is_deleting {
            for pod in cache.ownerless_matching(&job.key.namespace, &job.spec.selector) {
                if mutant!(60, !pod.is_deleting() => true) {
                    let adopted = Pod { tracked: true, ..Pod::clone(pod) };
                    claim.wanted.push_back(Wanted::Adopt(Arc::new(adopted)));
                }
            }
        }
        claim
    }

    /// The next call to make, if any is left.
    pub(super) fn next_call(&mut self, job: &Job) -> Option<Call> {
        loop {
            match self.wanted.front()? {
                Wanted::Release(uid) => {
                    return Some(Call::PatchPod(*uid, PodPatch { release: true, ..PodPatch::default() }));
                }
                Wanted::Adopt(pod) => match self.may_adopt {
                    None => return Some(Call::GetJob(job.key.clone())),
                    Some(true) => {
                        let owner =
                            OwnerReference { is_job: true, name: Arc::clone(&job.key.name), uid: job.uid };
                        let patch = PodPatch { adopt: Some(owner), ..PodPatch::default() };
                        return Some(Call::PatchPod(pod.uid, patch));
                    }
                    Some(false) => {
                        self.has_failed = true;
                        self.wanted.pop_front();
                    }
                },
            }
        }
    }

    /// Takes the answer to the call that [`Claim::next_call`] returned last.
    pub(super) fn take(&mut self, job: &Job, reply: &Reply) {
        if let (Some(Wanted::Adopt(_)), None) = (self.wanted.front(), self.may_adopt) {
            let is_same = |live: &Job| live.uid == job.uid && live.deletion_time.is_none();
            self.may_adopt = Some(matches!(reply, Ok(Payload::Job(live)) if is_same(live)));
            return;
        }
        match (self.wanted.pop_front(), reply) {
            (Some(Wanted::Adopt(pod)), Ok(_)) => self.pods.push(pod),
            (Some(Wanted::Release(_)), Ok(_) | Err(ApiError::Invalid { .. }))
            | (_, Err(ApiError::NotFound { .. }))
            | (None, _) => {}
            (Some(_), Err(_)) => self.has_failed = true,
        }
    }

    /// The Job's pods, or nothing when a call failed.
    pub(super) fn finish(self) -> Option<Vec<Arc<Pod>>> {
        (!self.has_failed).then_some(self.pods)
    }
}
