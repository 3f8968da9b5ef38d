//! A row of the model as the object that the API shows: the row laid over what it does not hold.
//!
//! What is underneath (the *base*) is an object as a client wrote it, or what a Job's template makes of its pods, which all
//! pods of one Job share. What a row holds always comes from the row.

use crate::store::At as _;
use serde_json::{Map, Value, json};
use towtank_model::objects::{
    COMPLETION_INDEX, ContainerState, ContainerStatus, INDEX_FAILURE_COUNT, INDEX_IGNORED_FAILURE_COUNT, Job,
    JobSpec, Node, Pod, PodSpec, PodStatus, PodTemplate, TRACKING_FINALIZER, Uid,
};
use towtank_model::time::Time;
use towtank_wire as wire;
use towtank_wire::Kind;

/// The fields of an object; none if it is something else.
pub(crate) fn fields_of(value: Option<&Value>) -> Map<String, Value> {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Sets a field, or takes it away.
fn put(fields: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            fields.insert(name.to_owned(), value);
        }
        None => {
            fields.shift_remove(name);
        }
    }
}

/// Nothing, when it is an empty list or object.
fn filled(value: Value) -> Option<Value> {
    let is_empty = match &value {
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Null => true,
        _ => false,
    };
    (!is_empty).then_some(value)
}

/// What every row has in its metadata.
struct Identity<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: String,
    rv: u64,
    created: Option<Time>,
}

impl Identity<'_> {
    fn write(self, metadata: &mut Map<String, Value>) {
        metadata.insert("name".to_owned(), self.name.into());
        if !self.namespace.is_empty() {
            metadata.insert("namespace".to_owned(), self.namespace.into());
        }
        metadata.insert("uid".to_owned(), self.uid.into());
        // What is only rehearsed has none.
        put(metadata, "resourceVersion", (self.rv > 0).then(|| self.rv.to_string().into()));
        if let Some(created) = self.created {
            metadata.insert("creationTimestamp".to_owned(), wire::time_text(created).into());
        }
    }
}

fn assembled(
    api_version: &str,
    kind: &str,
    metadata: Map<String, Value>,
    spec: Value,
    status: Value,
) -> Value {
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    object.insert("metadata".to_owned(), metadata.into());
    object.insert("spec".to_owned(), spec);
    object.insert("status".to_owned(), status);
    Value::Object(object)
}

// ---- pods ----

/// A pod as the API shows it.
pub(crate) fn pod(row: &Pod, base: &Value, node: Option<&str>, rv: u64) -> Value {
    let mut metadata = fields_of(base.get("metadata"));
    let identity = Identity {
        namespace: &row.key.namespace,
        name: &row.key.name,
        uid: Kind::Pod.uid_text(row.uid),
        rv,
        created: Some(row.creation_time),
    };
    identity.write(&mut metadata);
    if let Some(owner) = row.owner.as_ref().filter(|owner| owner.is_job)
        && !metadata.contains_key("generateName")
        && base.at("/metadata/name").is_none()
    {
        let index = row.index.get().map(|index| format!("{index}-")).unwrap_or_default();
        metadata.insert("generateName".to_owned(), format!("{}-{index}", owner.name).into());
    }
    pod_labels(row, &mut metadata);
    pod_annotations(row, &mut metadata);
    pod_finalizers(row, &mut metadata);
    pod_owners(row, &mut metadata);
    let deletion = row.deletion;
    // A graceful deletion is a generation of its own (`rest.BeforeDelete`), which a later write of a client has in it already.
    if deletion.is_some()
        && !metadata.contains_key("deletionTimestamp")
        && let Some(generation) = metadata.get("generation").and_then(Value::as_i64)
    {
        metadata.insert("generation".to_owned(), (generation + 1).into());
    }
    put(&mut metadata, "deletionTimestamp", deletion.map(|it| wire::time_text(it.timestamp).into()));
    put(&mut metadata, "deletionGracePeriodSeconds", deletion.map(|it| it.grace_period_s.into()));
    let mut spec = fields_of(base.get("spec"));
    if let (Some(owner), Some(index)) = (&row.owner, row.index.get())
        && owner.is_job
        && !spec.contains_key("hostname")
        // A pod that a client has made has the name that it was given, whoever adopts it.
        && base.at("/metadata/name").is_none()
    {
        spec.insert("hostname".to_owned(), format!("{}-{index}", owner.name).into());
    }
    put(&mut spec, "nodeName", node.map(Value::from));
    let status = pod_status(&row.status, base.get("status"), &spec);
    assembled("v1", "Pod", metadata, spec.into(), status)
}

fn pod_labels(row: &Pod, metadata: &mut Map<String, Value>) {
    let has_index = metadata.get("labels").is_some_and(|labels| labels.get(COMPLETION_INDEX).is_some());
    let mut labels = wire::labels_object(&row.labels);
    if let (true, Some(index)) = (has_index, row.index.get()) {
        labels[COMPLETION_INDEX] = index.to_string().into();
    }
    put(metadata, "labels", filled(labels));
}

fn pod_annotations(row: &Pod, metadata: &mut Map<String, Value>) {
    let mut annotations = fields_of(metadata.get("annotations"));
    if let Some(index) = row.index.get() {
        annotations.insert(COMPLETION_INDEX.to_owned(), index.to_string().into());
    }
    for (name, count) in [
        (INDEX_FAILURE_COUNT, row.index_failure_count),
        (INDEX_IGNORED_FAILURE_COUNT, row.index_ignored_failure_count),
    ] {
        if let Some(count) = count {
            annotations.insert(name.to_owned(), count.to_string().into());
        }
    }
    put(metadata, "annotations", filled(annotations.into()));
}

/// Finalizers keep the order in which a client wrote them.
fn pod_finalizers(row: &Pod, metadata: &mut Map<String, Value>) {
    let mut present: Vec<&str> = row.foreign_finalizers.iter().map(|one| &**one).collect();
    if row.tracked {
        present.insert(0, TRACKING_FINALIZER);
    }
    let written = metadata.get("finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
    let place = |one: &str| written.iter().position(|other| other.as_str() == Some(one));
    present.sort_by_key(|one| place(one).unwrap_or(usize::MAX));
    put(metadata, "finalizers", filled(present.into()));
}

/// The controlling owner is the row's; others stand as they were written.
fn pod_owners(row: &Pod, metadata: &mut Map<String, Value>) {
    let mut owners = metadata.get("ownerReferences").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_rows = |written: &Value| {
        row.owner.as_ref().is_some_and(|owner| {
            written["name"] == *owner.name
                && (!owner.is_job || written["uid"] == Kind::Job.uid_text(owner.uid))
        })
    };
    owners.retain(|written| written["controller"] != true || is_rows(written));
    if let Some(owner) = &row.owner
        && !owners.iter().any(|written| written["controller"] == true)
    {
        owners.insert(0, wire::pod::owner_object(owner));
    }
    put(metadata, "ownerReferences", filled(owners.into()));
}

fn pod_status(row: &PodStatus, base: Option<&Value>, spec: &Map<String, Value>) -> Value {
    let mut status = fields_of(base);
    let Value::Object(mut written) = wire::pod_status(row)["status"].take() else { return status.into() };
    if let Some(Value::Array(conditions)) = written.get_mut("conditions") {
        for condition in conditions {
            carry_over(condition, status.get("conditions"), "type", |old, new| {
                old["status"] == new["status"]
            });
            // The row has a time for a condition that has none: that of the beginning.
            let is_timeless = status.get("conditions").and_then(Value::as_array).is_some_and(|written| {
                written.iter().any(|one| {
                    ["type", "status"].iter().all(|field| one[field] == condition[field])
                        && one["lastTransitionTime"].is_null()
                })
            });
            if is_timeless && condition["lastTransitionTime"] == wire::time_text(Time::ZERO) {
                condition["lastTransitionTime"] = Value::Null;
            }
            if let Value::Object(fields) = condition {
                fields.entry("lastProbeTime").or_insert(Value::Null);
            }
        }
    }
    for (list, row, containers) in [
        ("containerStatuses", &row.containers, "containers"),
        ("initContainerStatuses", &row.init_containers, "initContainers"),
    ] {
        let Some(Value::Array(statuses)) = written.get_mut(list) else { continue };
        for (container, row) in statuses.iter_mut().zip(row) {
            let is_written =
                carry_over(container, status.get(list), "name", |old, new| old["state"] == new["state"]);
            if !is_written {
                complete_container(container, row, spec.get(containers));
            }
        }
    }
    for (field, value) in written {
        put(&mut status, &field, filled(value));
    }
    status.into()
}

/// What a kubelet says of a container besides what the row holds.
fn complete_container(status: &mut Value, row: &ContainerStatus, containers: Option<&Value>) {
    let containers = containers.and_then(Value::as_array).into_iter().flatten();
    let container = containers.into_iter().find(|container| container["name"] == *row.name);
    if let Some(image) = container.and_then(|container| container.get("image")) {
        status["image"] = image.clone();
    }
    status["started"] = matches!(row.state, ContainerState::Running).into();
    if let ContainerState::Terminated(end) = &row.state {
        status["state"]["terminated"]["reason"] =
            if end.exit_code == 0 { "Completed" } else { "Error" }.into();
    }
}

/// Fields that the row does not hold stay, of the entry of the same name that says the same.
/// Returns whether there is one.
fn carry_over(
    entry: &mut Value,
    list: Option<&Value>,
    name: &str,
    is_same: impl Fn(&Value, &Value) -> bool,
) -> bool {
    let mut list = list.and_then(Value::as_array).into_iter().flatten();
    let Some(old) = list.find(|old| old[name] == entry[name] && is_same(old, entry)) else { return false };
    if let (Value::Object(fields), Some(old)) = (entry, old.as_object()) {
        for (field, value) in old {
            if !fields.contains_key(field) {
                fields.insert(field.clone(), value.clone());
            }
        }
    }
    true
}

// ---- Jobs ----

/// Fields of a Job's spec that the row holds, but for the template.
const JOB_FIELDS: [&str; 14] = [
    "parallelism",
    "completions",
    "completionMode",
    "backoffLimit",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
    "activeDeadlineSeconds",
    "ttlSecondsAfterFinished",
    "suspend",
    "podReplacementPolicy",
    "podFailurePolicy",
    "successPolicy",
    "managedBy",
    "manualSelector",
];

/// A Job as the API shows it.
pub(crate) fn job(row: &Job, base: &Value, rv: u64) -> Value {
    let mut metadata = fields_of(base.get("metadata"));
    let identity = Identity {
        namespace: &row.key.namespace,
        name: &row.key.name,
        uid: Kind::Job.uid_text(row.uid),
        rv,
        created: Some(row.creation_time),
    };
    identity.write(&mut metadata);
    metadata.insert("generation".to_owned(), row.generation.into());
    put(&mut metadata, "labels", filled(wire::labels_object(&row.labels)));
    let finalizers: Vec<&str> = row.finalizers.iter().map(|one| &**one).collect();
    put(&mut metadata, "finalizers", filled(finalizers.into()));
    let deleted = row.deletion_time.map(|time| wire::time_text(time).into());
    put(&mut metadata, "deletionGracePeriodSeconds", deleted.is_some().then(|| 0.into()));
    put(&mut metadata, "deletionTimestamp", deleted);
    let spec = job_spec(&row.spec, base.get("spec"));
    let mut status = wire::job_status(&row.status);
    if let Some(Value::Array(conditions)) = status.get_mut("conditions") {
        for condition in conditions {
            // What a client has written of the same condition stands; the Job controller writes the same time twice.
            let written = base.at("/status/conditions").and_then(Value::as_array).into_iter().flatten();
            let is_same = |one: &&Value| {
                ["type", "status", "lastTransitionTime"].iter().all(|field| one[field] == condition[field])
            };
            let probed = match written.into_iter().find(is_same) {
                Some(written) => written["lastProbeTime"].clone(),
                None => condition["lastTransitionTime"].clone(),
            };
            condition["lastProbeTime"] = probed;
        }
    }
    assembled("batch/v1", "Job", metadata, spec, status)
}

fn job_spec(row: &JobSpec, base: Option<&Value>) -> Value {
    let mut spec = fields_of(base);
    let mut held = wire::job_spec(row);
    for field in JOB_FIELDS {
        put(&mut spec, field, held.get_mut(field).map(Value::take));
    }
    let mut selector = fields_of(spec.get("selector"));
    put(&mut selector, "matchLabels", filled(wire::labels_object(&row.selector)));
    spec.insert("selector".to_owned(), selector.into());
    let mut template = spec.get_mut("template").map(Value::take).unwrap_or_default();
    if !template.is_object() {
        template = wire::pod_template_object(&row.template);
    }
    if !template["metadata"].is_object() {
        template["metadata"] = json!({});
    }
    if let Some(metadata) = template["metadata"].as_object_mut() {
        put(metadata, "labels", filled(wire::labels_object(&row.template.labels)));
    }
    spec.insert("template".to_owned(), template);
    spec.into()
}

/// A template that says of what the row holds what the row says; the rest stays. For rows that were written without JSON.
pub(crate) fn rebased_template(base: &Value, row: &PodTemplate) -> Value {
    let mut template = if base.is_object() { base.clone() } else { json!({}) };
    let mut held = wire::pod_template_object(row);
    let mut metadata = fields_of(template.get("metadata"));
    for field in ["labels", "annotations", "finalizers"] {
        put(&mut metadata, field, held["metadata"].get_mut(field).map(Value::take));
    }
    template["metadata"] = metadata.into();
    template["spec"] = rebased_spec(template.get("spec"), &row.spec);
    template
}

/// A pod's spec that says of what the row holds what the row says; containers are known by their names.
pub(crate) fn rebased_spec(base: Option<&Value>, row: &PodSpec) -> Value {
    let mut spec = fields_of(base);
    let Value::Object(held) = wire::pod_spec_object(row) else { return spec.into() };
    for list in ["initContainers", "nodeSelector", "tolerations", "schedulingGates"] {
        if !held.contains_key(list) {
            spec.shift_remove(list);
        }
    }
    for (field, mut value) in held {
        if matches!(field.as_str(), "containers" | "initContainers")
            && let Value::Array(containers) = &mut value
        {
            for container in containers {
                keep_container(container, spec.get(&field));
            }
        }
        spec.insert(field, value);
    }
    spec.into()
}

/// What is known of a container from before, but for its requests of CPU.
fn keep_container(container: &mut Value, before: Option<&Value>) {
    let mut before = before.and_then(Value::as_array).into_iter().flatten();
    let Some(old) = before.find(|old| old["name"] == container["name"]) else { return };
    let mut merged = old.clone();
    match container.at("/resources/requests/cpu") {
        Some(cpu) => merged["resources"]["requests"]["cpu"] = cpu.clone(),
        None => {
            if let Some(requests) = merged.pointer_mut("/resources/requests").and_then(Value::as_object_mut) {
                requests.shift_remove("cpu");
            }
        }
    }
    *container = merged;
}

// ---- nodes ----

/// A node as the API shows it.
pub(crate) fn node(row: &Node, base: &Value, rv: u64) -> Value {
    let mut metadata = fields_of(base.get("metadata"));
    let uid = Kind::Node.uid_text(Uid(row.id.0));
    Identity { namespace: "", name: &row.name, uid, rv, created: None }.write(&mut metadata);
    put(&mut metadata, "labels", filled(wire::labels_object(&row.labels)));
    let mut spec = fields_of(base.get("spec"));
    let mut held = wire::node::node_spec(row);
    for field in ["unschedulable", "taints"] {
        put(&mut spec, field, held.get_mut(field).map(Value::take));
    }
    let mut status = fields_of(base.get("status"));
    let capacity = fields_of(Some(&wire::node::node_capacity(row)));
    for field in ["capacity", "allocatable"] {
        let mut resources = fields_of(status.get(field));
        resources.extend(capacity.clone());
        status.insert(field.to_owned(), resources.into());
    }
    let conditions = status.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    status.insert("conditions".to_owned(), node_conditions(row, conditions).into());
    assembled("v1", "Node", metadata, spec.into(), status.into())
}

fn node_conditions(row: &Node, mut conditions: Vec<Value>) -> Vec<Value> {
    let (status, reason, message) = if row.is_ready {
        ("True", "KubeletReady", "kubelet is posting ready status")
    } else {
        ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
    };
    match conditions.iter_mut().find(|condition| condition["type"] == "Ready") {
        Some(ready) if (ready["status"] == "True") == row.is_ready => {}
        Some(ready) => {
            *ready = json!({"type": "Ready", "status": status, "reason": reason, "message": message})
        }
        None => {
            conditions.push(json!({"type": "Ready", "status": status, "reason": reason, "message": message}));
        }
    }
    conditions
}
