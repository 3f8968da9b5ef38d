//! Writes of an API server above this store that sends objects whole: a PUT, or what a patch makes of an object.
//!
//! Such a server keeps beside a row what the row does not hold. A write that changes only that is a write all the same:
//! with `touches` the row gets a new version, and watches see it, though nothing in it differs.

use std::sync::Arc;

use super::store::Write;
use super::{Actor, ApiError, JobManifest, Server, Verb};
use crate::admission;
use crate::objects::{
    INDEX_FAILURE_COUNT, INDEX_IGNORED_FAILURE_COUNT, Job, Labels, NodeId, OwnerReference, Pod, PodSpec,
    TRACKING_FINALIZER, Uid,
};
use crate::time::Time;

/// What a write of a whole pod may change of its row; the rest of a pod is fixed, or the business of a subresource.
#[derive(Clone, Debug, PartialEq)]
pub struct PodContent {
    /// `metadata.labels`, without the completion index of a pod that has one as an annotation.
    pub labels: Labels,
    /// `metadata.annotations`.
    pub annotations: Labels,
    /// `metadata.finalizers`.
    pub finalizers: Vec<Arc<str>>,
    /// The controlling owner.
    pub owner: Option<OwnerReference>,
    /// `spec`: which of its fields may change is for the caller to see to.
    pub spec: PodSpec,
}

impl Server {
    /// Writes a Job's metadata and spec whole; validation of updates as in [`Server::update_job`]. A Job whose deletion
    /// waits for nothing any more goes; the answer is then its last content.
    pub fn replace_job(
        &mut self,
        now: Time,
        actor: Actor,
        uid: Uid,
        manifest: &JobManifest,
        touches: bool,
    ) -> Result<Arc<Job>, ApiError> {
        let write = Write { now, actor, verb: Verb::Update };
        let old = self.stored_job(write, uid)?;
        let mut new = admission::defaults::replaced_job(&old, manifest, &self.features);
        if new.spec != old.spec {
            new.generation += 1;
        }
        let mut errors = manifest.unreadable.clone();
        errors.extend(admission::update::validate(&new, &old, &self.features));
        self.refuse(write, || old.key.clone(), admission::check(&old.key, errors, &self.features))?;
        if new.deletion_time.is_some() && new.finalizers.is_empty() {
            self.remove_job(write, old);
            return Ok(Arc::new(new));
        }
        if touches { Ok(self.replace(write, old, new)) } else { Ok(self.store_job(write, old, new)) }
    }

    /// Writes a pod's metadata and spec whole. A pod whose deletion is due goes with its last finalizer; the answer is then
    /// its last content.
    pub fn replace_pod(
        &mut self,
        now: Time,
        actor: Actor,
        uid: Uid,
        content: PodContent,
        touches: bool,
    ) -> Result<Arc<Pod>, ApiError> {
        let write = Write { now, actor, verb: Verb::Update };
        let old = self.stored_pod(write, uid)?;
        let new = written_over(&old, content);
        let mut errors = Vec::new();
        let extra: Vec<Arc<str>> = finalizers_added(&new, &old);
        if old.is_deleting() && !extra.is_empty() {
            errors.extend(admission::pod::new_finalizers(&extra));
        }
        errors.extend(admission::pod::validate_metadata_update(&new));
        self.refuse(write, || old.key.clone(), admission::check(&old.key, errors, &self.features))?;
        if new == *old && !touches {
            return Ok(old);
        }
        let is_due = old.deletion.is_some_and(|deletion| deletion.grace_period_s == 0);
        if is_due && !new.has_finalizers() {
            self.remove(write, old);
            return Ok(Arc::new(new));
        }
        Ok(self.replace(write, old, new))
    }

    /// Gives a Job a new version.
    pub fn touch_job(&mut self, now: Time, actor: Actor, verb: Verb, uid: Uid) -> Result<Arc<Job>, ApiError> {
        let write = Write { now, actor, verb };
        let old = self.stored_job(write, uid)?;
        let new = Job::clone(&old);
        Ok(self.replace(write, old, new))
    }

    /// Gives a pod a new version.
    pub fn touch_pod(&mut self, now: Time, actor: Actor, verb: Verb, uid: Uid) -> Result<Arc<Pod>, ApiError> {
        let write = Write { now, actor, verb };
        let old = self.stored_pod(write, uid)?;
        let new = Pod::clone(&old);
        Ok(self.replace(write, old, new))
    }

    /// Gives a node a new version.
    pub fn touch_node(&mut self, now: Time, actor: Actor, id: NodeId) -> Result<(), ApiError> {
        let write = Write { now, actor, verb: Verb::Update };
        let old = self.stored_node(write, id)?;
        let new = old.as_ref().clone();
        self.replace(write, old, new);
        Ok(())
    }
}

/// `old` with what a client has written; what is equal stays shared.
fn written_over(old: &Pod, content: PodContent) -> Pod {
    let mut new = old.clone();
    let count = |name| content.annotations.get(name).and_then(|text: &Arc<str>| text.parse().ok());
    new.index = super::pods::index_of(&content.annotations);
    new.index_failure_count = count(INDEX_FAILURE_COUNT);
    new.index_ignored_failure_count = count(INDEX_IGNORED_FAILURE_COUNT);
    if content.labels != *old.labels {
        new.labels = Arc::new(content.labels);
    }
    if content.spec != *old.spec {
        new.spec = Arc::new(content.spec);
    }
    new.owner = content.owner;
    new.tracked = content.finalizers.iter().any(|one| **one == *TRACKING_FINALIZER);
    let foreign = super::pods::foreign(&content.finalizers.into());
    if foreign != old.foreign_finalizers {
        new.foreign_finalizers = foreign;
    }
    new
}

fn finalizers_added(new: &Pod, old: &Pod) -> Vec<Arc<str>> {
    let tracking = (new.tracked && !old.tracked).then(|| Arc::from(TRACKING_FINALIZER));
    let foreign = new.foreign_finalizers.iter().filter(|one| !old.foreign_finalizers.contains(one));
    tracking.into_iter().chain(foreign.cloned()).collect()
}
