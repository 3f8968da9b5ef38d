//! Rules for pods and pod templates (upstream `ValidatePodTemplateSpec`, `ValidatePodSpec`), as far as the model has
//! their fields.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::FieldError;
use super::text::{label_faults, label_value_faults, qualified_name_faults, subdomain_faults};
use crate::objects::{
    Container, ContainerState, ContainerStatus, Labels, ObjectKey, OwnerReference, Pod, PodSpec, PodTemplate,
    RestartPolicy, TaintEffect, Toleration,
};
use crate::server::{FOREGROUND_DELETION, ORPHAN_DEPENDENTS, PodManifest};

/// Every rule that a bare pod breaks.
pub fn validate(key: &ObjectKey, manifest: &PodManifest) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for fault in subdomain_faults(&key.name) {
        errors.push(FieldError::invalid("metadata.name", fault));
    }
    validate_labels(&mut errors, "metadata.labels", &manifest.labels);
    validate_annotations(&mut errors, "metadata.annotations", &manifest.annotations);
    validate_finalizers(&mut errors, &manifest.finalizers);
    validate_spec(&mut errors, "spec", &manifest.spec);
    errors
}

/// How often the metadata of a changed pod is judged (`BeforeUpdate` does so twice, `ValidatePodUpdate` too).
const JUDGED: usize = 4;

/// Every rule that the labels and finalizers of a changed pod break.
pub(crate) fn validate_metadata_update(new: &Pod) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for _ in 0..JUDGED {
        validate_labels(&mut errors, "metadata.labels", &new.labels);
    }
    errors
}

/// What is said of finalizers that are added to an object that is being deleted, both times it is judged.
pub(crate) fn new_finalizers(extra: &[Arc<str>]) -> [FieldError; 2] {
    let mut extra: Vec<String> = extra.iter().map(|finalizer| format!("{finalizer:?}")).collect();
    extra.sort();
    extra.dedup();
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        extra.join(", ")
    );
    [FieldError::forbidden(FINALIZERS, detail.clone()), FieldError::forbidden(FINALIZERS, detail)]
}

/// What is said of two controlling owners, every time the pod is judged.
pub(crate) fn two_controllers(first: &OwnerReference, second: &OwnerReference) -> [FieldError; JUDGED] {
    let text = |owner: &OwnerReference| {
        format!("{}/{}", if owner.is_job { "Job" } else { "ReplicaSet" }, owner.name)
    };
    let detail = format!(
        "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
        text(first),
        text(second)
    );
    std::array::from_fn(|_| FieldError::invalid("metadata.ownerReferences", detail.clone()))
}

/// Every rule that the step from one status to the next breaks (`ValidateContainerStateTransition`).
pub(crate) fn validate_status(new: &Pod, old: &Pod) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let sidecars = |name: &Arc<str>| {
        old.spec.init_containers.iter().any(|container| container.is_sidecar && container.name == *name)
    };
    let lists = [
        ("containerStatuses", &new.status.containers, &old.status.containers),
        ("initContainerStatuses", &new.status.init_containers, &old.status.init_containers),
    ];
    for (list, new, before) in lists {
        for (position, ended) in before.iter().enumerate() {
            let ContainerState::Terminated(end) = &ended.state else { continue };
            let may_restart = match old.spec.restart_policy {
                RestartPolicy::Always => true,
                RestartPolicy::OnFailure => end.exit_code != 0,
                RestartPolicy::Never => false,
            };
            let runs_again = |status: &ContainerStatus| {
                status.name == ended.name && !matches!(status.state, ContainerState::Terminated(_))
            };
            if !may_restart && !sidecars(&ended.name) && new.iter().any(runs_again) {
                let field = format!("status.{list}[{position}].state");
                errors.push(FieldError::forbidden(field, "may not be transitioned to non-terminated state"));
            }
        }
    }
    errors
}

/// Every rule that a template at `path` breaks.
pub(super) fn validate_template(errors: &mut Vec<FieldError>, path: &str, template: &PodTemplate) {
    validate_labels(errors, &format!("{path}.labels"), &template.labels);
    validate_annotations(errors, &format!("{path}.annotations"), &template.annotations);
    validate_spec(errors, &format!("{path}.spec"), &template.spec);
}

/// Whether `selector` has no value that keeps it from being compared with anything.
pub(super) fn is_comparable(selector: &Labels) -> bool {
    let mut faults = Vec::new();
    validate_labels(&mut faults, "", selector);
    faults.is_empty()
}

/// Names and values of labels.
pub(super) fn validate_labels(errors: &mut Vec<FieldError>, path: &str, labels: &Labels) {
    for (name, value) in labels {
        for fault in qualified_name_faults(name).into_iter().chain(label_value_faults(value)) {
            errors.push(FieldError::invalid(path, fault));
        }
    }
}

const FINALIZERS: &str = "metadata.finalizers";
/// Finalizers without a domain that Kubernetes itself knows.
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", ORPHAN_DEPENDENTS, FOREGROUND_DELETION];

/// Names of finalizers that nobody owns.
pub(super) fn validate_finalizer_domains(errors: &mut Vec<FieldError>, finalizers: &[Arc<str>]) {
    for (position, finalizer) in finalizers.iter().enumerate() {
        if !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(&&**finalizer) {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(format!("metadata.finalizers[{position}]"), detail));
        }
    }
}

/// Names of finalizers, and who they belong to.
pub(super) fn validate_finalizers(errors: &mut Vec<FieldError>, finalizers: &[Arc<str>]) {
    validate_finalizer_names(errors, finalizers);
    validate_finalizer_domains(errors, finalizers);
}

/// Names of finalizers, and the two of deletion that exclude each other.
pub(super) fn validate_finalizer_names(errors: &mut Vec<FieldError>, finalizers: &[Arc<str>]) {
    for finalizer in finalizers {
        let faults = qualified_name_faults(finalizer);
        errors.extend(faults.into_iter().map(|fault| FieldError::invalid(FINALIZERS, fault)));
    }
    let has = |name: &str| finalizers.iter().any(|finalizer| **finalizer == *name);
    if has(FOREGROUND_DELETION) && has(ORPHAN_DEPENDENTS) {
        let detail = format!("finalizer {ORPHAN_DEPENDENTS} and {FOREGROUND_DELETION} cannot be both set");
        errors.push(FieldError::invalid(FINALIZERS, detail));
    }
}

fn validate_annotations(errors: &mut Vec<FieldError>, path: &str, annotations: &Labels) {
    for name in annotations.keys() {
        for fault in qualified_name_faults(&name.to_ascii_lowercase()) {
            errors.push(FieldError::invalid(path, fault));
        }
    }
}

fn validate_spec(errors: &mut Vec<FieldError>, path: &str, spec: &PodSpec) {
    if spec.containers.is_empty() {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let mut names = BTreeSet::new();
    validate_containers(errors, &format!("{path}.containers"), &spec.containers, &mut names);
    validate_containers(errors, &format!("{path}.initContainers"), &spec.init_containers, &mut names);
    validate_labels(errors, &format!("{path}.nodeSelector"), &spec.node_selector);
    for (position, toleration) in spec.tolerations.iter().enumerate() {
        validate_toleration(errors, &format!("{path}.tolerations[{position}]"), toleration);
    }
    let mut gates = BTreeSet::new();
    for (position, gate) in spec.scheduling_gates.iter().enumerate() {
        let field = format!("{path}.schedulingGates[{position}]");
        errors
            .extend(qualified_name_faults(gate).into_iter().map(|fault| FieldError::invalid(&field, fault)));
        if !gates.insert(gate) {
            errors.push(FieldError::duplicate(field));
        }
    }
}

fn validate_containers<'a>(
    errors: &mut Vec<FieldError>,
    path: &str,
    containers: &'a [Container],
    names: &mut BTreeSet<&'a Arc<str>>,
) {
    for (position, container) in containers.iter().enumerate() {
        let field = format!("{path}[{position}].name");
        if container.name.is_empty() {
            errors.push(FieldError::required(field, ""));
            continue;
        }
        errors.extend(
            label_faults(&container.name).into_iter().map(|fault| FieldError::invalid(&field, fault)),
        );
        if !names.insert(&container.name) {
            errors.push(FieldError::duplicate(field));
        }
    }
}

fn validate_toleration(errors: &mut Vec<FieldError>, path: &str, toleration: &Toleration) {
    match &toleration.key {
        Some(key) => errors.extend(
            qualified_name_faults(key)
                .into_iter()
                .map(|fault| FieldError::invalid(format!("{path}.key"), fault)),
        ),
        None if toleration.value.is_some() => errors.push(FieldError::invalid(
            format!("{path}.operator"),
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
        )),
        None => {}
    }
    if toleration.toleration_seconds.is_some() && toleration.effect != Some(TaintEffect::NoExecute) {
        errors.push(FieldError::invalid(
            format!("{path}.effect"),
            "effect must be 'NoExecute' when `tolerationSeconds` is set",
        ));
    }
    if let Some(value) = &toleration.value {
        for fault in label_value_faults(value) {
            errors.push(FieldError::invalid(format!("{path}.operator"), fault));
        }
    }
}
