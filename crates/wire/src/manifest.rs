//! Whole objects as a client sends them, before any default: what they say of the fields that the model holds.

use std::sync::Arc;

use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::api::core::v1 as core;
use serde::Deserialize as _;
use serde_json::Value;
use towtank_model::admission::FieldError;
use towtank_model::objects::{
    COMPLETION_INDEX, CompletionMode, JobStatus, Labels, PodReplacementPolicy, PodSpec, PodStatus,
    PodTemplate,
};
use towtank_model::server::{JobManifest, PodContent};

use super::template::{spec_row, template_row};
use super::{WireError, labels_row, texts_row};

/// A Job of `batch/v1`. Values that have no place in the model's types are noted, for admission to refuse.
pub fn job_manifest(object: &Value) -> Result<JobManifest, WireError> {
    let job = batch::Job::deserialize(object).map_err(|error| WireError::new("Job", error.to_string()))?;
    let spec = job.spec.unwrap_or_default();
    let mut unreadable = Vec::new();
    let pod_replacement_policy = match spec.pod_replacement_policy.as_deref() {
        None | Some("") => None,
        Some("TerminatingOrFailed") => Some(PodReplacementPolicy::TerminatingOrFailed),
        Some("Failed") => Some(PodReplacementPolicy::Failed),
        Some(_) => {
            const SUPPORTED: [&str; 2] = ["Failed", "TerminatingOrFailed"];
            unreadable.push(FieldError::not_supported("spec.podReplacementPolicy", &SUPPORTED));
            None
        }
    };
    let failure_policy = spec.pod_failure_policy.map(super::job::failure_policy_row).transpose();
    let pod_failure_policy = failure_policy.unwrap_or_else(|error| {
        unreadable.push(FieldError::invalid(error.field, error.what));
        None
    });
    Ok(JobManifest {
        labels: labels_row(job.metadata.labels.as_ref()),
        finalizers: texts_row(job.metadata.finalizers),
        parallelism: spec.parallelism,
        completions: spec.completions,
        completion_mode: spec.completion_mode.map(|mode| match mode.as_str() {
            "NonIndexed" => CompletionMode::NonIndexed,
            "Indexed" => CompletionMode::Indexed,
            other => CompletionMode::Other(other.into()),
        }),
        backoff_limit: spec.backoff_limit,
        backoff_limit_per_index: spec.backoff_limit_per_index,
        max_failed_indexes: spec.max_failed_indexes,
        active_deadline_seconds: spec.active_deadline_seconds,
        ttl_seconds_after_finished: spec.ttl_seconds_after_finished,
        suspend: spec.suspend,
        pod_replacement_policy,
        pod_failure_policy,
        success_policy: spec.success_policy.map(super::job::success_policy_row),
        managed_by: spec.managed_by.map(Arc::from),
        manual_selector: spec.manual_selector,
        selector: spec.selector.map(|selector| labels_row(selector.match_labels.as_ref())),
        template: Some(Arc::new(template_row(spec.template)?)),
        cleared: Vec::new(),
        unreadable,
    })
}

/// The status of a Job.
pub fn job_status_row(object: &Value) -> Result<JobStatus, WireError> {
    let status = object.get("status").cloned().unwrap_or_default();
    let status: Option<batch::JobStatus> =
        serde_json::from_value(status).map_err(|error| WireError::new("status", error.to_string()))?;
    super::job::status_of(status.unwrap_or_default())
}

/// What a pod says of its metadata and spec.
pub fn pod_content(object: &Value) -> Result<PodContent, WireError> {
    let pod = core::Pod::deserialize(object).map_err(|error| WireError::new("Pod", error.to_string()))?;
    let metadata = pod.metadata;
    let annotations: Labels = labels_row(metadata.annotations.as_ref());
    let mut labels = labels_row(metadata.labels.as_ref());
    if annotations.contains_key(COMPLETION_INDEX) {
        labels.remove(COMPLETION_INDEX);
    }
    Ok(PodContent {
        labels,
        annotations,
        finalizers: texts_row(metadata.finalizers),
        owner: super::pod::owner_row(metadata.owner_references)?,
        spec: spec_row("spec", pod.spec.unwrap_or_default())?,
    })
}

/// The status of a pod.
pub fn pod_status_row(object: &Value) -> Result<PodStatus, WireError> {
    let status = object.get("status").cloned().unwrap_or_default();
    let status: Option<core::PodStatus> =
        serde_json::from_value(status).map_err(|error| WireError::new("status", error.to_string()))?;
    super::pod::status_of(status.unwrap_or_default())
}

/// `spec` of a pod as far as the model holds it.
pub fn pod_spec_object(spec: &PodSpec) -> Value {
    super::template::spec_object(spec)
}

/// `template` of a Job as far as the model holds it.
pub fn pod_template_object(template: &PodTemplate) -> Value {
    super::template::template_object(template)
}
