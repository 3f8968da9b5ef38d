//! `v1` Pod.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use serde::Deserialize as _;
use serde_json::{Value, json};
use towtank_model::objects::{
    COMPLETION_INDEX, ContainerState, ContainerStatus, Deletion, INDEX_FAILURE_COUNT,
    INDEX_IGNORED_FAILURE_COUNT, NodeId, ObjectKey, OwnerReference, Pod, PodCondition, PodIndex, PodPhase,
    PodStatus, ResourceVersion, TRACKING_FINALIZER, Termination, Uid,
};
use towtank_model::server::{PodManifest, PodPatch, Propagation};
use towtank_model::time::Time;

use super::template::{spec_object, spec_row};
use super::{
    Fields, Kind, WireError, key_row, label_text, labels_row, optional_time, resource_version_row,
    status_row, texts, texts_row, time_at, time_text, uid_at,
};

// ---- from the model ----

/// A new bare pod.
pub fn pod_object(key: &ObjectKey, manifest: &PodManifest) -> Value {
    let mut metadata = Fields::default();
    metadata.set("name", &*key.name);
    metadata.set("namespace", &*key.namespace);
    metadata.set_labels("labels", &manifest.labels);
    metadata.set_labels("annotations", &manifest.annotations);
    metadata.set_list("finalizers", texts(&manifest.finalizers));
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": Value::from(metadata),
        "spec": spec_object(&manifest.spec),
    })
}

/// A merge patch of the metadata of `pod`. Lists are replaced as a whole: those of `pod` are what is known of them.
pub fn pod_patch(pod: &Pod, patch: &PodPatch) -> Value {
    let mut metadata = Fields::default();
    let takes_tracking = patch.remove_tracking_finalizer
        || patch.release
        || patch.remove_finalizer.as_deref() == Some(TRACKING_FINALIZER);
    let is_tracked = (pod.tracked || patch.adopt.is_some()) && !takes_tracking;
    let stays = |finalizer: &&Arc<str>| Some(*finalizer) != patch.remove_finalizer.as_ref();
    let foreign: Vec<&Arc<str>> = pod.foreign_finalizers.iter().filter(stays).collect();
    if is_tracked != pod.tracked || foreign.len() != pod.foreign_finalizers.len() {
        let tracking = is_tracked.then_some(TRACKING_FINALIZER).into_iter();
        let all = tracking.chain(foreign.into_iter().map(|finalizer| &**finalizer));
        metadata.set("finalizers", all.collect::<Vec<_>>());
    }
    if let Some(owner) = &patch.adopt {
        metadata.set("uid", Kind::Pod.uid_text(pod.uid));
        let mut owners = vec![owner_object(owner)];
        owners.extend(pod.owner.as_ref().filter(|present| *present != owner).map(owner_object));
        metadata.set("ownerReferences", owners);
    } else if pod.owner.is_some() && (patch.release || patch.orphan) {
        metadata.set("ownerReferences", Value::Null);
    }
    if !patch.labels.is_empty() {
        let mut labels = Fields::default();
        for (label, value) in &patch.labels {
            labels.set(label, value.as_deref().map(|value| label_text(label, value)));
        }
        metadata.set("labels", labels);
    }
    json!({"metadata": Value::from(metadata)})
}

/// A controlling owner. One that is no Job is known by its name only, and written as the ReplicaSet that it might be.
pub fn owner_object(owner: &OwnerReference) -> Value {
    let (version, kind) = if owner.is_job { ("batch/v1", "Job") } else { ("apps/v1", "ReplicaSet") };
    json!({
        "apiVersion": version,
        "kind": kind,
        "name": &*owner.name,
        "uid": Kind::Job.uid_text(owner.uid),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// A merge patch of the status subresource: afterwards the status is `new`, and what `new` does not have is gone.
pub fn pod_status(new: &PodStatus) -> Value {
    let conditions: Vec<Value> = new.conditions.iter().map(condition_object).collect();
    let containers = |list: &[ContainerStatus]| list.iter().map(container_object).collect::<Vec<_>>();
    json!({"status": {
        "phase": new.phase.as_str(),
        "reason": (!new.reason.is_empty()).then_some(&*new.reason),
        "conditions": conditions,
        "containerStatuses": containers(&new.containers),
        "initContainerStatuses": containers(&new.init_containers),
        "startTime": new.start_time.map(time_text),
    }})
}

/// Reason and message of the condition that the eviction API sets.
const EVICTED: (&str, &str) = ("EvictionByEvictionAPI", "Eviction API: evicting");

fn condition_object(condition: &PodCondition) -> Value {
    let mut fields = Fields::default();
    fields.set("type", &*condition.kind);
    fields.set("status", condition.status.as_str());
    fields.set_text("reason", &condition.reason);
    // Messages are not held, and a kubelet that rewrites the conditions must not lose the one that the next eviction
    // would write again.
    if &*condition.reason == EVICTED.0 {
        fields.set("message", EVICTED.1);
    }
    fields.set("lastTransitionTime", time_text(condition.last_transition_time));
    fields.into()
}

fn container_object(container: &ContainerStatus) -> Value {
    let state = match &container.state {
        ContainerState::Waiting(reason) => json!({"waiting": {"reason": &**reason}}),
        ContainerState::Running => json!({"running": {}}),
        ContainerState::Terminated(termination) => json!({"terminated": {
            "exitCode": termination.exit_code,
            "finishedAt": termination.finished_at.map(time_text),
        }}),
    };
    json!({
        "name": &*container.name,
        "image": "",
        "imageID": "",
        "ready": container.ready,
        "restartCount": container.restart_count,
        "state": state,
    })
}

/// The body of a POST to the binding subresource.
pub fn binding(pod: &ObjectKey, node: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": &*pod.name, "namespace": &*pod.namespace},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    })
}

/// The body of a POST to the eviction subresource.
pub fn eviction(pod: &ObjectKey) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": &*pod.name, "namespace": &*pod.namespace},
    })
}

/// What must still be true of an object for a delete to touch it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// It is still this one.
    pub uid: Option<(Kind, Uid)>,
    /// Nobody has written it since.
    pub resource_version: Option<ResourceVersion>,
}

/// The body of a DELETE.
pub fn delete_options(
    grace_period_s: Option<u32>,
    propagation: Option<Propagation>,
    preconditions: Preconditions,
) -> Value {
    let mut fields = Fields::default();
    fields.set("apiVersion", "v1");
    fields.set("kind", "DeleteOptions");
    fields.set_some("gracePeriodSeconds", grace_period_s);
    let policy = propagation.map(|propagation| match propagation {
        Propagation::Background => "Background",
        Propagation::Foreground => "Foreground",
        Propagation::Orphan => "Orphan",
    });
    fields.set_some("propagationPolicy", policy);
    if preconditions != Preconditions::default() {
        let mut wanted = Fields::default();
        wanted.set_some("uid", preconditions.uid.map(|(kind, uid)| kind.uid_text(uid)));
        wanted.set_some("resourceVersion", preconditions.resource_version.map(|version| version.to_string()));
        fields.set("preconditions", wanted);
    }
    fields.into()
}

// ---- to the model ----

/// A pod as the driver has it. `node_id` knows the nodes by name.
pub fn pod_row(object: &Value, node_id: impl Fn(&str) -> Option<NodeId>) -> Result<Pod, WireError> {
    let pod = core::Pod::deserialize(object).map_err(|error| WireError::new("Pod", error.to_string()))?;
    let metadata = pod.metadata;
    let spec = pod.spec.ok_or_else(|| WireError::missing("spec"))?;
    let node = match spec.node_name.as_deref() {
        None | Some("") => None,
        Some(name) => Some(node_id(name).ok_or_else(|| WireError::unknown("spec.nodeName", name))?),
    };
    let annotation = |name: &str| metadata.annotations.as_ref().and_then(|annotations| annotations.get(name));
    let created = optional_time("metadata.creationTimestamp", metadata.creation_timestamp.as_ref())?;
    let mut labels = labels_row(metadata.labels.as_ref());
    labels.remove(COMPLETION_INDEX);
    let index = match annotation(COMPLETION_INDEX) {
        None => PodIndex::Absent,
        Some(text) => text.parse().map_or(PodIndex::Invalid, PodIndex::At),
    };
    let failures = |name| annotation(name).and_then(|text| text.parse().ok());
    let (index_failure_count, index_ignored_failure_count) =
        (failures(INDEX_FAILURE_COUNT), failures(INDEX_IGNORED_FAILURE_COUNT));
    let (key, resource_version, deletion) =
        (key_row(&metadata)?, resource_version_row(&metadata)?, deletion_row(&metadata)?);
    let mut finalizers = texts_row(metadata.finalizers);
    let all = finalizers.len();
    finalizers.retain(|finalizer| **finalizer != *TRACKING_FINALIZER);
    Ok(Pod {
        key,
        uid: uid_at("metadata.uid", Kind::Pod, metadata.uid.as_deref().unwrap_or_default())?,
        resource_version,
        labels: Arc::new(labels),
        owner: owner_row(metadata.owner_references)?,
        index,
        index_failure_count,
        index_ignored_failure_count,
        tracked: finalizers.len() < all,
        foreign_finalizers: finalizers.into(),
        creation_time: created.unwrap_or_default(),
        deletion,
        spec: Arc::new(spec_row("spec", spec)?),
        node,
        status: status_of(pod.status.unwrap_or_default())?,
    })
}

pub(super) fn owner_row(
    owners: Option<Vec<meta::OwnerReference>>,
) -> Result<Option<OwnerReference>, WireError> {
    let Some(owner) = owners.into_iter().flatten().find(|owner| owner.controller == Some(true)) else {
        return Ok(None);
    };
    let uid = Kind::Job.uid(&owner.uid);
    Ok(Some(OwnerReference {
        is_job: owner.kind == "Job" && owner.api_version == "batch/v1" && uid.is_some(),
        uid: uid.unwrap_or_else(|| foreign_uid(&owner.uid)),
        name: owner.name.into(),
    }))
}

/// The row's uid of an owner that is no row: it only has to be the same for the same owner (FNV-1a of the text).
fn foreign_uid(text: &str) -> Uid {
    Uid(text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)))
}

fn deletion_row(metadata: &meta::ObjectMeta) -> Result<Option<Deletion>, WireError> {
    let Some(timestamp) = &metadata.deletion_timestamp else { return Ok(None) };
    let grace = metadata.deletion_grace_period_seconds.unwrap_or(0);
    Ok(Some(Deletion {
        timestamp: time_at("metadata.deletionTimestamp", timestamp)?,
        grace_period_s: u32::try_from(grace).unwrap_or(0),
    }))
}

pub(super) fn status_of(status: core::PodStatus) -> Result<PodStatus, WireError> {
    let containers = |list: Option<Vec<core::ContainerStatus>>| -> Result<Vec<ContainerStatus>, WireError> {
        list.into_iter().flatten().map(container_row).collect()
    };
    let phase = match status.phase.as_deref() {
        None | Some("" | "Pending") => PodPhase::Pending,
        Some("Running") => PodPhase::Running,
        Some("Succeeded") => PodPhase::Succeeded,
        Some("Failed") => PodPhase::Failed,
        Some("Unknown") => PodPhase::Unknown,
        Some(other) => return Err(WireError::unknown("status.phase", other)),
    };
    let conditions = status.conditions.into_iter().flatten().map(condition_row);
    Ok(PodStatus {
        phase,
        reason: status.reason.unwrap_or_default().into(),
        conditions: conditions.collect::<Result<_, _>>()?,
        containers: containers(status.container_statuses)?,
        init_containers: containers(status.init_container_statuses)?,
        start_time: optional_time("status.startTime", status.start_time.as_ref())?,
    })
}

fn condition_row(condition: core::PodCondition) -> Result<PodCondition, WireError> {
    const PATH: &str = "status.conditions";
    let changed: Option<Time> = optional_time(PATH, condition.last_transition_time.as_ref())?;
    Ok(PodCondition {
        kind: condition.type_.into(),
        status: status_row(PATH, &condition.status)?,
        reason: condition.reason.unwrap_or_default().into(),
        last_transition_time: changed.unwrap_or_default(),
    })
}

fn container_row(container: core::ContainerStatus) -> Result<ContainerStatus, WireError> {
    let state = container.state.unwrap_or_default();
    let state = match (state.terminated, state.running) {
        (Some(terminated), _) => ContainerState::Terminated(Termination {
            exit_code: terminated.exit_code,
            finished_at: optional_time("status.containerStatuses", terminated.finished_at.as_ref())?,
        }),
        (None, Some(_)) => ContainerState::Running,
        (None, None) => {
            ContainerState::Waiting(state.waiting.and_then(|it| it.reason).unwrap_or_default().into())
        }
    };
    Ok(ContainerStatus {
        name: container.name.into(),
        restart_count: container.restart_count,
        ready: container.ready,
        state,
    })
}
