//! Writes to pods: creation, binding, status, metadata, and the ways to their end (Job spec section 7.1).

use std::sync::Arc;
use std::time::Duration;

use super::names;
use super::store::{Write, not_found};
use super::{Actor, ApiError, PodDraft, PodManifest, PodPatch, Request, Server, Verb};
use crate::admission::{self, FieldError};
use crate::engine::RandomStreams;
use crate::objects::{
    COMPLETION_INDEX, ConditionStatus, ContainerState, Deletion, INDEX_FAILURE_COUNT,
    INDEX_IGNORED_FAILURE_COUNT, Job, Labels, NodeId, ObjectKey, OwnerReference, Pod, PodCondition, PodIndex,
    PodSpec, PodStatus, TRACKING_FINALIZER, Uid,
};
use crate::time::Time;

const KIND: &str = "pods";
/// Why a pod with scheduling gates is not scheduled.
const SCHEDULING_GATED: &str = "SchedulingGated";
/// The minor version from which on the condition of such a pod says since when.
const GATED_TIME_SINCE: u16 = 31;
/// The minor version from which on a shortened grace period cannot end in the past.
const DELETION_NOT_IN_PAST_SINCE: u16 = 33;

// ---- creation ----

impl Server {
    /// Creates a pod from the template of `job` as the controller holds it (section 3.6): generated name, tracking
    /// finalizer, owner, index. Refused while the namespace terminates. A generated name that is taken is tried again
    /// in versions that do ([`Features::retries_generated_names`](crate::version::Features::retries_generated_names)),
    /// at most eight times in all.
    pub fn create_job_pod(
        &mut self,
        now: Time,
        actor: Actor,
        job: &Job,
        draft: PodDraft,
        random: &mut RandomStreams,
    ) -> Result<Arc<Pod>, ApiError> {
        let write = Write { now, actor, verb: Verb::Create };
        let named = self
            .check_namespace(&job.key.namespace)
            .and_then(|()| self.generate_key(&job.key, draft.index, random));
        let key = self.refuse(write, || job.key.clone(), named)?;
        let template = &job.spec.template;
        let annotation =
            |name| template.annotations.get(name).and_then(|value: &Arc<str>| value.parse().ok());
        let pod = Pod {
            key,
            uid: Uid(self.pods.next_id()),
            resource_version: 0,
            labels: Arc::clone(&template.labels),
            owner: Some(OwnerReference { is_job: true, name: Arc::clone(&job.key.name), uid: job.uid }),
            index: draft.index.map_or_else(|| index_of(&template.annotations), PodIndex::At),
            index_failure_count: draft.index_failure_count.or_else(|| annotation(INDEX_FAILURE_COUNT)),
            index_ignored_failure_count: draft
                .index_ignored_failure_count
                .or_else(|| annotation(INDEX_IGNORED_FAILURE_COUNT)),
            tracked: true,
            foreign_finalizers: foreign(&template.finalizers),
            creation_time: now.truncated_to_second(),
            deletion: None,
            spec: Arc::clone(&template.spec),
            node: None,
            status: self.first_status(&template.spec, now),
        };
        Ok(self.create(write, pod))
    }

    /// A free name for a pod of this Job.
    fn generate_key(
        &self,
        job: &ObjectKey,
        index: Option<u32>,
        random: &mut RandomStreams,
    ) -> Result<ObjectKey, ApiError> {
        let mut name = names::pod_prefix(&job.name, index);
        let prefix_len = name.len();
        let attempts = if self.features.retries_generated_names { names::ATTEMPTS_MAX } else { 1 };
        let mut key = job.clone();
        for _ in 0..attempts {
            names::randomize(&mut name, prefix_len, random);
            key.name = name.as_str().into();
            if !self.pods.has_name(&key) {
                return Ok(key);
            }
        }
        Err(ApiError::AlreadyExists { kind: KIND, key })
    }

    /// Creates a bare pod.
    pub fn create_pod(
        &mut self,
        now: Time,
        actor: Actor,
        key: ObjectKey,
        manifest: &PodManifest,
    ) -> Result<Arc<Pod>, ApiError> {
        self.create_owned_pod(now, actor, key, manifest, None)
    }

    /// Creates a pod that a client sends whole, with the controlling owner that it names.
    pub fn create_owned_pod(
        &mut self,
        now: Time,
        actor: Actor,
        key: ObjectKey,
        manifest: &PodManifest,
        owner: Option<OwnerReference>,
    ) -> Result<Arc<Pod>, ApiError> {
        let write = Write { now, actor, verb: Verb::Create };
        if self.defers() {
            self.relay(write, &key, &Request::CreatePod(&key, manifest))?;
            let created = self.pods.by_name(&key).cloned();
            return created.ok_or(ApiError::NotFound { kind: KIND, key });
        }
        let checked = self.check_new_pod(&key, manifest);
        self.refuse(write, || key.clone(), checked)?;
        let annotation =
            |name| manifest.annotations.get(name).and_then(|value: &Arc<str>| value.parse().ok());
        let is_tracking = |finalizer: &Arc<str>| **finalizer == *TRACKING_FINALIZER;
        let pod = Pod {
            key,
            uid: Uid(self.pods.next_id()),
            resource_version: 0,
            labels: Arc::new(manifest.labels.clone()),
            owner,
            index: index_of(&manifest.annotations),
            index_failure_count: annotation(INDEX_FAILURE_COUNT),
            index_ignored_failure_count: annotation(INDEX_IGNORED_FAILURE_COUNT),
            tracked: manifest.finalizers.iter().any(is_tracking),
            foreign_finalizers: foreign(&manifest.finalizers.clone().into()),
            creation_time: now.truncated_to_second(),
            deletion: None,
            spec: admission::defaults::prepared_spec(&manifest.spec, &self.features),
            node: None,
            status: self.first_status(&manifest.spec, now),
        };
        Ok(self.create(write, pod))
    }

    /// The status of a new pod: it says so when scheduling gates hold it back (`applySchedulingGatedCondition`).
    fn first_status(&self, spec: &PodSpec, now: Time) -> PodStatus {
        if spec.scheduling_gates.is_empty() {
            return PodStatus::default();
        }
        let gated = PodCondition {
            kind: Arc::clone(&self.words.pod_scheduled),
            status: ConditionStatus::False,
            reason: SCHEDULING_GATED.into(),
            last_transition_time: if self.features.version.minor() >= GATED_TIME_SINCE {
                now.truncated_to_second()
            } else {
                Time::ZERO
            },
        };
        PodStatus { conditions: vec![gated], ..PodStatus::default() }
    }

    fn check_new_pod(&self, key: &ObjectKey, manifest: &PodManifest) -> Result<(), ApiError> {
        self.check_namespace(&key.namespace)?;
        if self.pods.has_name(key) {
            return Err(ApiError::AlreadyExists { kind: KIND, key: key.clone() });
        }
        admission::check(key, admission::pod::validate(key, manifest), &self.features)
    }
}

/// The finalizers but for the tracking one, which a pod has on its own account.
pub(super) fn foreign(finalizers: &Arc<[Arc<str>]>) -> Arc<[Arc<str>]> {
    let is_foreign = |finalizer: &&Arc<str>| ***finalizer != *TRACKING_FINALIZER;
    if finalizers.iter().all(|finalizer| is_foreign(&finalizer)) {
        return Arc::clone(finalizers);
    }
    finalizers.iter().filter(is_foreign).cloned().collect()
}

/// The completion index that annotations tell.
pub(super) fn index_of(annotations: &Labels) -> PodIndex {
    match annotations.get(COMPLETION_INDEX) {
        None => PodIndex::Absent,
        Some(text) => text.parse().map_or(PodIndex::Invalid, PodIndex::At),
    }
}

// ---- deletion ----

impl Server {
    /// Deletes a pod (section 7.1). Grace period: as asked, else the pod's own; 0 when it is not bound or has ended.
    /// With a grace period above 0 the pod stays with a deletion timestamp until the kubelet deletes it with 0; with
    /// finalizers it stays until they are gone. Asking again can only shorten the grace period.
    ///
    /// A pod without finalizers that is deleted with a grace period of 0 leaves two changes, as in the original: first
    /// it gets its deletion timestamp, then it goes.
    pub fn delete_pod(
        &mut self,
        now: Time,
        actor: Actor,
        uid: Uid,
        grace_period_s: Option<u32>,
    ) -> Result<(), ApiError> {
        let write = Write { now, actor, verb: Verb::Delete };
        let pod = self.stored_pod(write, uid)?;
        if self.defers() {
            return self.relay(write, &pod.key, &Request::DeletePod(&pod, grace_period_s));
        }
        self.delete_stored_pod(write, pod, grace_period_s);
        Ok(())
    }

    /// The eviction subresource: sets DisruptionTarget (EvictionByEvictionAPI), then deletes. Pods that have ended or
    /// are being deleted get the condition too. There are no disruption budgets in the model.
    pub fn evict_pod(&mut self, now: Time, actor: Actor, uid: Uid) -> Result<(), ApiError> {
        let write = Write { now, actor, verb: Verb::Evict };
        let mut pod = self.stored_pod(write, uid)?;
        if self.defers() {
            return self.relay(write, &pod.key, &Request::EvictPod(&pod));
        }
        // An eviction is a creation, of a subresource.
        let allowed = self.check_namespace(&pod.key.namespace);
        self.refuse(write, || pod.key.clone(), allowed)?;
        if self.features.pod_disruption_conditions {
            let mut new = Pod::clone(&pod);
            set_true(&mut new.status, &self.words.disruption_target, &self.words.evicted, now);
            if new.status != pod.status {
                pod = self.replace(write, pod, new);
            }
        }
        self.delete_stored_pod(write, pod, None);
        Ok(())
    }

    fn delete_stored_pod(&mut self, write: Write, pod: Arc<Pod>, grace_period_s: Option<u32>) {
        let keeps_from_past = self.features.version.minor() >= DELETION_NOT_IN_PAST_SINCE;
        let Some(deletion) = graceful_deletion(&pod, write.now, grace_period_s, keeps_from_past) else {
            return;
        };
        let mut new = Pod::clone(&pod);
        new.deletion = Some(deletion);
        let pod = self.replace(write, pod, new);
        if deletion.grace_period_s == 0 && !pod.has_finalizers() {
            self.remove(write, pod);
        }
    }
}

/// The deletion that a request leads to, or nothing when one that is under way is as short (`rest.BeforeDelete`, and
/// `CheckGracefulDelete` of pods).
fn graceful_deletion(
    pod: &Pod,
    now: Time,
    grace_period_s: Option<u32>,
    keeps_from_past: bool,
) -> Option<Deletion> {
    let seconds = |length: u32| Duration::from_secs(length.into());
    if let Some(pending) = pod.deletion {
        let asked = grace_period_s.filter(|&asked| asked < pending.grace_period_s)?;
        let timestamp = pending.timestamp.saturating_sub(seconds(pending.grace_period_s)) + seconds(asked);
        // A period that is over already ends now; one of a second at least stays the kubelet's business.
        if keeps_from_past && timestamp < now {
            let grace_period_s = asked.min(1);
            return Some(Deletion { timestamp: now.truncated_to_second(), grace_period_s });
        }
        return Some(Deletion { timestamp, grace_period_s: asked });
    }
    let grace_period_s = if pod.node.is_none() || pod.status.phase.is_terminal() {
        0
    } else {
        grace_period_s.unwrap_or(pod.spec.termination_grace_period_s)
    };
    Some(Deletion { timestamp: (now + seconds(grace_period_s)).truncated_to_second(), grace_period_s })
}

// ---- metadata, status, binding ----

impl Server {
    /// Changes a pod's metadata. A pod whose deletion is due goes with its last finalizer; the answer is then its last
    /// content.
    pub fn patch_pod(
        &mut self,
        now: Time,
        actor: Actor,
        uid: Uid,
        patch: &PodPatch,
    ) -> Result<Arc<Pod>, ApiError> {
        let write = Write { now, actor, verb: Verb::Update };
        let old = self.stored_pod(write, uid)?;
        if self.defers() {
            self.relay(write, &old.key, &Request::PatchPod(&old, patch))?;
            return Ok(self.pods.get(uid.0).cloned().unwrap_or(old));
        }
        let mut new = Pod::clone(&old);
        let mut errors = match &patch.adopt {
            Some(owner) => adopt(&mut new, owner),
            None => Vec::new(),
        };
        apply_patch(&mut new, patch);
        errors.extend(admission::pod::validate_metadata_update(&new));
        self.refuse(write, || old.key.clone(), admission::check(&old.key, errors, &self.features))?;
        if new == *old {
            return Ok(old);
        }
        let is_due = old.deletion.is_some_and(|deletion| deletion.grace_period_s == 0);
        if is_due && !new.has_finalizers() {
            self.remove(write, old);
            return Ok(Arc::new(new));
        }
        Ok(self.replace(write, old, new))
    }

    /// Changes a pod's status; times are truncated to seconds; a change of nothing leaves no trace. Every phase can follow
    /// every other: that a terminal one stays is for kubelets to see to. A container that has ended stays ended, unless
    /// the pod's restart policy starts it again.
    pub fn update_pod_status(
        &mut self,
        now: Time,
        actor: Actor,
        uid: Uid,
        change: impl FnOnce(&mut PodStatus),
    ) -> Result<Arc<Pod>, ApiError> {
        let write = Write { now, actor, verb: Verb::UpdateStatus };
        let old = self.stored_pod(write, uid)?;
        let mut new = Pod::clone(&old);
        change(&mut new.status);
        if self.defers() {
            self.relay(write, &old.key, &Request::UpdatePodStatus(&old, &new.status))?;
            return Ok(self.pods.get(uid.0).cloned().unwrap_or(old));
        }
        truncate_times(&mut new.status);
        if new.status == old.status {
            return Ok(old);
        }
        let errors = admission::pod::validate_status(&new, &old);
        self.refuse(write, || old.key.clone(), admission::check(&old.key, errors, &self.features))?;
        Ok(self.replace(write, old, new))
    }

    /// Binds a pod to a node and sets PodScheduled. Refused as a conflict when the pod is bound, or being deleted, or
    /// held back by scheduling gates.
    pub fn bind_pod(&mut self, now: Time, actor: Actor, uid: Uid, node: NodeId) -> Result<(), ApiError> {
        let write = Write { now, actor, verb: Verb::Bind };
        let old = self.stored_pod(write, uid)?;
        if self.defers() {
            return self.relay(write, &old.key, &Request::BindPod(&old, node));
        }
        let allowed = self.check_namespace(&old.key.namespace);
        self.refuse(write, || old.key.clone(), allowed)?;
        if old.node.is_some() || old.is_deleting() || !old.spec.scheduling_gates.is_empty() {
            let conflict = Err(ApiError::Conflict { kind: KIND, key: old.key.clone() });
            return self.refuse(write, || old.key.clone(), conflict);
        }
        let mut new = Pod::clone(&old);
        new.node = Some(node);
        set_true(&mut new.status, &self.words.pod_scheduled, &self.words.none, now);
        self.replace(write, old, new);
        Ok(())
    }

    pub(super) fn stored_pod(&mut self, write: Write, uid: Uid) -> Result<Arc<Pod>, ApiError> {
        match self.pods.get(uid.0) {
            Some(pod) => Ok(Arc::clone(pod)),
            None => self.refuse(write, || ObjectKey::new("", uid.to_string()), Err(not_found(KIND, uid))),
        }
    }
}

/// Makes `owner` the controller of `pod` and puts the tracking finalizer on; answers with the rules that this breaks.
fn adopt(pod: &mut Pod, owner: &OwnerReference) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(present) = pod.owner.as_ref().filter(|present| *present != owner) {
        errors.extend(admission::pod::two_controllers(owner, present));
    }
    if pod.is_deleting() && !pod.tracked {
        errors.extend(admission::pod::new_finalizers(&[TRACKING_FINALIZER.into()]));
    }
    pod.owner = Some(owner.clone());
    pod.tracked = true;
    errors
}

/// Everything of a patch but adoption.
fn apply_patch(pod: &mut Pod, patch: &PodPatch) {
    if patch.release || patch.orphan {
        pod.owner = None;
    }
    if patch.release || patch.remove_tracking_finalizer {
        pod.tracked = false;
    }
    if let Some(finalizer) = &patch.remove_finalizer {
        if **finalizer == *TRACKING_FINALIZER {
            pod.tracked = false;
        } else if pod.foreign_finalizers.contains(finalizer) {
            pod.foreign_finalizers =
                pod.foreign_finalizers.iter().filter(|other| *other != finalizer).cloned().collect();
        }
    }
    for (label, value) in &patch.labels {
        if pod.labels.get(label) != value.as_ref() {
            let labels = Arc::make_mut(&mut pod.labels);
            match value {
                Some(value) => labels.insert(Arc::clone(label), Arc::clone(value)),
                None => labels.remove(label),
            };
        }
    }
}

/// Sets a condition to True; its transition time changes only with its status.
fn set_true(status: &mut PodStatus, kind: &Arc<str>, reason: &Arc<str>, now: Time) {
    let now = now.truncated_to_second();
    if let Some(condition) = status.conditions.iter_mut().find(|condition| condition.kind == *kind) {
        if condition.status != ConditionStatus::True {
            condition.status = ConditionStatus::True;
            condition.last_transition_time = now;
        }
        condition.reason = Arc::clone(reason);
        return;
    }
    // There are many pods and few conditions: no room to spare.
    status.conditions.reserve_exact(1);
    status.conditions.push(PodCondition {
        kind: Arc::clone(kind),
        status: ConditionStatus::True,
        reason: Arc::clone(reason),
        last_transition_time: now,
    });
}

/// Takes every time in a status through `metav1.Time`.
fn truncate_times(status: &mut PodStatus) {
    for condition in &mut status.conditions {
        condition.last_transition_time = condition.last_transition_time.truncated_to_second();
    }
    for container in status.containers.iter_mut().chain(&mut status.init_containers) {
        if let ContainerState::Terminated(termination) = &mut container.state {
            termination.finished_at = termination.finished_at.map(Time::truncated_to_second);
        }
    }
    status.start_time = status.start_time.map(Time::truncated_to_second);
}
