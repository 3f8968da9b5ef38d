//! What is particular to a kind when it is written (`pkg/registry/*/strategy.go`, and the admission plugins that are on by
//! default).

use std::sync::Arc;

use serde_json::{Value, json};
use towtank_model::version::{Features, KubernetesVersion};

use crate::call::Call;
use crate::error::{ApiError, FieldError, Result};
use crate::kinds::{Class, Resource};
use crate::metadata::{self, NameRule};
use crate::server::ApiServer;
use crate::store::{At as _, Version, text};
use crate::write::metadata as metadata_of;

/// Completes a new object.
pub(crate) fn prepare_create(server: &mut ApiServer, call: &mut Call<'_>, object: &mut Value) -> Result<()> {
    match (&*call.resource.group, &*call.resource.kind) {
        ("", "Namespace") => {
            object["spec"] = json!({"finalizers": ["kubernetes"]});
            object["status"] = json!({"phase": "Active"});
            let name = object["metadata"]["name"].clone();
            let labels = metadata_of(object).entry("labels").or_insert_with(|| json!({}));
            if let Some(labels) = labels.as_object_mut() {
                labels.insert("kubernetes.io/metadata.name".to_owned(), name);
            }
        }
        ("", "Secret") => decode_string_data(object),
        ("", "Service") => allocate_cluster_ip(server, object),
        ("", "Pod") => {
            drop_disabled_of_pods(call.rows.features(), &mut object["spec"]);
            prepare_pod(call, object)?;
        }
        ("batch", "Job") => drop_disabled(call.rows.features(), object),
        ("", "Node") => drop_false(object),
        ("apiextensions.k8s.io", _) => crate::crd::prepare(object),
        _ => {}
    }
    Ok(())
}

/// Completes the next version of an object.
pub(crate) fn prepare_update(
    server: &mut ApiServer,
    call: &mut Call<'_>,
    object: &mut Value,
    before: &Value,
    subresource: &str,
) -> Result<()> {
    match (&*call.resource.group, &*call.resource.kind) {
        ("", "Namespace") if subresource != "finalize" => object["spec"] = before["spec"].clone(),
        ("", "Secret") => decode_string_data(object),
        ("", "Node") => drop_false(object),
        ("", "Pod") => {
            drop_disabled_of_pods(call.rows.features(), &mut object["spec"]);
            if object.get("spec") != before.get("spec") {
                next_generation(object);
            }
        }
        ("batch", "Job") => drop_disabled(call.rows.features(), object),
        ("", "Service") => {
            for field in ["clusterIP", "clusterIPs"] {
                if object["spec"].get(field).is_none_or(|value| *value == "")
                    && let Some(value) = before["spec"].get(field)
                {
                    object["spec"][field] = value.clone();
                }
            }
            allocate_cluster_ip(server, object);
        }
        ("apiextensions.k8s.io", _) if subresource.is_empty() => crate::crd::prepare_update(object, before),
        _ => {}
    }
    Ok(())
}

/// Rules that no schema tells.
pub(crate) fn validate(
    version: KubernetesVersion,
    resource: &Resource,
    object: &Value,
    before: Option<&Value>,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    validate_metadata(version, resource, object, before, &mut errors);
    let mut immutable = |field: &str| {
        let pointer = format!("/{}", field.replace('.', "/"));
        if let Some(before) = before
            && before.at(&pointer) != object.at(&pointer)
        {
            let value = object.at(&pointer).cloned().unwrap_or_default();
            errors.push(FieldError::invalid(field, value, "field is immutable"));
        }
    };
    match (&*resource.group, &*resource.kind) {
        ("", "Secret") => immutable("type"),
        ("apps", "Deployment") => immutable("spec.selector"),
        _ => {}
    }
    match (&*resource.group, &*resource.kind) {
        ("", "ConfigMap" | "Secret") => validate_immutable_data(object, before, &mut errors),
        ("", "Pod") => validate_pod_update(object, before, &mut errors),
        ("batch", "Job") => validate_job_update(version, object, before, &mut errors),
        ("apiextensions.k8s.io", _) => errors.extend(crate::crd::validate(object, before)),
        _ => {}
    }
    errors.extend(crate::validation::validate(version, (&resource.group, &resource.kind), object, before));
    errors
}

/// Of pods and Jobs the model judges names, labels and finalizers, in its own place in the order.
fn validate_metadata(
    version: KubernetesVersion,
    resource: &Resource,
    object: &Value,
    before: Option<&Value>,
    errors: &mut Vec<FieldError>,
) {
    let found = match before {
        Some(before) => metadata::validate_update(&object["metadata"], &before["metadata"]),
        None => {
            let rule = NameRule::of(&resource.group, &resource.kind, version);
            metadata::validate(&object["metadata"], resource.is_namespaced, rule)
        }
    };
    let is_row = matches!(resource.class, Class::Pod | Class::Job);
    let is_models = |field: &str| {
        ["metadata.name", "metadata.labels", "metadata.finalizers"].iter().any(|one| field.starts_with(one))
    };
    errors.extend(found.into_iter().filter(|error| !(is_row && is_models(&error.field))));
}

fn validate_immutable_data(object: &Value, before: Option<&Value>, errors: &mut Vec<FieldError>) {
    let Some(before) = before.filter(|before| before.get("immutable") == Some(&Value::Bool(true))) else {
        return;
    };
    const WHY: &str = "field is immutable when `immutable` is set";
    if object.get("immutable") != Some(&Value::Bool(true)) {
        errors.push(FieldError::forbidden("immutable", WHY));
    }
    for field in ["data", "binaryData"] {
        if object.get(field) != before.get(field) {
            errors.push(FieldError::forbidden(field, WHY));
        }
    }
}

/// `ValidatePodUpdate`: few fields of a pod's spec can change.
fn validate_pod_update(object: &Value, before: Option<&Value>, errors: &mut Vec<FieldError>) {
    let Some(before) = before else { return };
    let (Some(old), Some(new)) = (before.get("spec"), object.get("spec")) else { return };
    if old == new {
        return;
    }
    let mut munged = new.clone();
    for list in ["containers", "initContainers"] {
        let olds = old.get(list).and_then(Value::as_array);
        let news = munged.get_mut(list).and_then(Value::as_array_mut);
        for (new, old) in news.into_iter().flatten().zip(olds.into_iter().flatten()) {
            if let (Some(fields), Some(image)) = (new.as_object_mut(), old.get("image")) {
                fields.insert("image".to_owned(), image.clone());
            }
        }
    }
    let Some(fields) = munged.as_object_mut() else { return };
    let had_gates = old.get("schedulingGates").is_some();
    let mut movable = vec!["activeDeadlineSeconds", "tolerations", "schedulingGates", "hostname"];
    if had_gates {
        movable.extend(["nodeSelector", "affinity"]);
    }
    for field in movable {
        match old.get(field) {
            Some(value) => fields.insert(field.to_owned(), value.clone()),
            None => fields.shift_remove(field),
        };
    }
    let list =
        |spec: &Value, field: &str| spec.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let kept = list(new, "tolerations");
    if list(old, "tolerations").iter().any(|toleration| !kept.contains(toleration)) {
        errors.push(FieldError::forbidden(
            "spec.tolerations",
            "existing toleration can not be modified except its tolerationSeconds",
        ));
    }
    let gates = list(old, "schedulingGates");
    if list(new, "schedulingGates").iter().any(|gate| !gates.contains(gate)) {
        errors.push(FieldError::forbidden(
            "spec.schedulingGates",
            "only deletion is allowed, but found new scheduling gates",
        ));
    }
    if munged != *old {
        errors.push(FieldError::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
             `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
             `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        ));
    }
}

/// `validatePodTemplateUpdate`: of what only the document has of a Job's template, nothing changes, but for affinity and resources while the Job is
/// suspended. The model judges what the row has.
fn validate_job_update(
    version: KubernetesVersion,
    object: &Value,
    before: Option<&Value>,
    errors: &mut Vec<FieldError>,
) {
    let Some(before) = before else { return };
    if before.at("/spec/template/spec") == object.at("/spec/template/spec") {
        return;
    }
    let is_suspended = before.at("/spec/suspend") == Some(&Value::Bool(true));
    let has_resources = is_suspended && Features::of(version).mutable_resources_while_suspended;
    let frozen = |job: &Value| {
        let mut spec = job.at("/spec/template/spec").cloned().unwrap_or_default();
        let Some(fields) = spec.as_object_mut() else { return spec };
        for field in ["nodeSelector", "tolerations", "schedulingGates"] {
            fields.shift_remove(field);
        }
        if is_suspended {
            fields.shift_remove("affinity");
        }
        for list in ["containers", "initContainers"] {
            for container in fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                let Some(container) = container.as_object_mut() else { continue };
                if has_resources {
                    container.shift_remove("resources");
                }
                // The row has it, as a number.
                let resources = container.get_mut("resources").and_then(Value::as_object_mut);
                let Some(resources) = resources else { continue };
                if let Some(requests) = resources.get_mut("requests").and_then(Value::as_object_mut) {
                    requests.shift_remove("cpu");
                    if requests.is_empty() {
                        resources.shift_remove("requests");
                    }
                }
            }
        }
        spec
    };
    if frozen(before) != frozen(object) {
        let template = object.at("/spec/template").cloned().unwrap_or_default();
        let field = if has_resources { "spec.template.spec" } else { "spec.template" };
        errors.push(FieldError::invalid(field, template, "field is immutable"));
    }
}

/// Fields of Jobs that a version does not have are dropped (`dropDisabledFields`).
fn drop_disabled(features: &Features, job: &mut Value) {
    let Some(spec) = job.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for (field, is_known) in [
        ("podFailurePolicy", features.pod_failure_policy),
        ("successPolicy", features.success_policy),
        ("backoffLimitPerIndex", features.backoff_limit_per_index),
        ("maxFailedIndexes", features.backoff_limit_per_index),
        ("podReplacementPolicy", features.pod_replacement_policy),
        ("managedBy", features.managed_by),
    ] {
        if !is_known {
            spec.shift_remove(field);
        }
    }
    if let Some(spec) = spec.get_mut("template").and_then(|template| template.get_mut("spec")) {
        drop_disabled_of_pods(features, spec);
    }
}

/// The same of a pod's spec.
fn drop_disabled_of_pods(features: &Features, spec: &mut Value) {
    if features.sidecar_containers {
        return;
    }
    let containers = spec.get_mut("initContainers").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
        container.shift_remove("restartPolicy");
    }
}

/// Up to 1.28 nothing is said of the selector of a Job that says nothing of it.
pub(crate) fn drop_default_of_selectors(features: &Features, given: &Value, job: &mut Value) {
    const DEFAULT_SINCE: u16 = 29;
    if features.version.minor() < DEFAULT_SINCE
        && given.at("/spec/manualSelector").is_none()
        && let Some(spec) = job.get_mut("spec").and_then(Value::as_object_mut)
    {
        spec.shift_remove("manualSelector");
    }
}

/// Whether `metadata.generation` of pods counts (KEP-5067).
pub(crate) fn pods_have_generations(version: KubernetesVersion) -> bool {
    version.minor() >= 33
}

/// Another spec is another generation (`updatePodGeneration`), of a pod that has one.
pub(crate) fn next_generation(pod: &mut Value) {
    if let Some(generation) = pod.at("/metadata/generation").and_then(Value::as_i64) {
        metadata_of(pod).insert("generation".to_owned(), (generation + 1).into());
    }
}

fn prepare_pod(call: &Call<'_>, object: &mut Value) -> Result<()> {
    let class = crate::shape::qos_class(&object["spec"]);
    object["status"] = json!({"phase": "Pending", "qosClass": class});
    if object["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
        // `applySchedulingGatedCondition`; the row has no messages.
        let mut condition = json!({
            "type": "PodScheduled",
            "status": "False",
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        });
        // Up to 1.30 it had no time.
        if call.rows.features().version.minor() > 30 {
            condition["lastTransitionTime"] = towtank_wire::time_text(call.now).into();
        }
        object["status"]["conditions"] = json!([condition]);
    }
    if pods_have_generations(call.rows.features().version) {
        metadata_of(object).insert("generation".to_owned(), 1.into());
    }
    Ok(())
}

/// Go's types leave out that a node is not cordoned.
fn drop_false(object: &mut Value) {
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
        && spec.get("unschedulable") == Some(&Value::Bool(false))
    {
        spec.shift_remove("unschedulable");
    }
}

/// `stringData` of a Secret becomes `data`.
fn decode_string_data(object: &mut Value) {
    let Some(Value::Object(texts)) =
        object.as_object_mut().and_then(|fields| fields.shift_remove("stringData"))
    else {
        return;
    };
    if !object["data"].is_object() {
        object["data"] = json!({});
    }
    for (name, value) in texts {
        object["data"][name] = base64(value.as_str().unwrap_or_default().as_bytes()).into();
    }
}

/// Base 64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .enumerate()
            .fold(0_u32, |bits, (place, &byte)| bits | u32::from(byte) << (16 - 8 * place));
        for place in 0..4 {
            if place <= chunk.len() {
                text.push(char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// A Service gets an address of its own, unless it is headless or only a name.
fn allocate_cluster_ip(server: &mut ApiServer, object: &mut Value) {
    let kind = text(object, "/spec/type").to_owned();
    let given = text(object, "/spec/clusterIP").to_owned();
    if kind == "ExternalName" || !object["spec"].is_object() {
        return;
    }
    let address = if given.is_empty() {
        server.created += 1;
        format!("10.96.{}.{}", (server.created >> 8) & 0xff, server.created & 0xff)
    } else {
        given
    };
    object["spec"]["clusterIPs"] = json!([address]);
    object["spec"]["clusterIP"] = address.into();
}

/// An object that waits for nothing any more is let go.
pub(crate) fn is_ready_to_go(resource: &Resource, object: &Value) -> bool {
    let is_empty = |pointer: &str| object.at(pointer).and_then(Value::as_array).is_none_or(Vec::is_empty);
    object.at("/metadata/deletionTimestamp").is_some()
        && is_empty("/metadata/finalizers")
        && (&*resource.kind != "Namespace" || !resource.group.is_empty() || is_empty("/spec/finalizers"))
}

/// What follows when an object has been stored.
pub(crate) fn created(server: &mut ApiServer, call: &mut Call<'_>, version: &Arc<Version>) -> Result<()> {
    if &*call.resource.group == "apiextensions.k8s.io" {
        crate::crd::established(server, call.rows, call.now, version).map_err(ApiError::internal)?;
    }
    Ok(())
}

/// What follows when the next version of an object has been stored.
pub(crate) fn updated(server: &mut ApiServer, call: &mut Call<'_>, version: &Arc<Version>) -> Result<()> {
    created(server, call, version)
}
