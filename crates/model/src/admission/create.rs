//! Rules for a Job as it stands (upstream `ValidateJob`); updates apply them again to the new object.

use super::pod::{is_comparable, validate_finalizers, validate_labels, validate_template};
use super::policies::{validate_failure_policy, validate_success_policy};
use super::text::{domain_prefixed_path_faults, label_faults, subdomain_faults};
use super::{FieldError, non_negative};
use crate::objects::{
    CONTROLLER_UID_LABEL, CompletionMode, JOB_NAME_LABEL, Job, JobSpec, LEGACY_CONTROLLER_UID_LABEL,
    LEGACY_JOB_NAME_LABEL, PodReplacementPolicy, RestartPolicy, selector_matches,
};
use crate::server::JobManifest;

/// Highest `parallelism` of an Indexed Job, and highest `maxFailedIndexes`: they bound the length of the index lists.
const INDEXED_MAX: i32 = 100_000;
/// Above so many completions, per-index limits have limits of their own.
const COMPLETIONS_SOFT_MAX: i32 = 100_000;
/// Highest `parallelism` and `maxFailedIndexes` above [`COMPLETIONS_SOFT_MAX`].
const HIGH_COMPLETIONS_MAX: i32 = 10_000;
const TEMPLATE_LABELS: &str = "spec.template.metadata.labels";
const MISMATCH: &str = "`selector` does not match template `labels`";
/// Longest `managedBy`.
const MANAGED_BY_LEN_MAX: usize = 63;

/// Every rule that a Job breaks.
pub fn validate(job: &Job) -> Vec<FieldError> {
    validate_with(job, true)
}

/// Every rule that a Job breaks after an update. A Job whose template was without the newer two of the generated labels
/// may stay so: it is from a version that had only the older ones, as far as anybody knows.
pub(super) fn validate_again(new: &Job, old: &Job) -> Vec<FieldError> {
    let labels = &old.spec.template.labels;
    validate_with(new, labels.contains_key(CONTROLLER_UID_LABEL) && labels.contains_key(JOB_NAME_LABEL))
}

fn validate_with(job: &Job, wants_newer_labels: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    validate_metadata(&mut errors, job);
    validate_generated_selector(&mut errors, job, wants_newer_labels);
    validate_spec(&mut errors, &job.spec);
    validate_host_name(&mut errors, job);
    errors
}

/// Every rule that a new Job breaks. Only here a selector can be missing, which is not the same as an empty one.
pub fn validate_new(job: &Job, manifest: &JobManifest) -> Vec<FieldError> {
    let mut errors = validate(job);
    if job.spec.is_selector_manual() && manifest.selector.is_none() {
        errors.push(FieldError::required("spec.selector", ""));
        errors.push(FieldError::invalid(TEMPLATE_LABELS, MISMATCH));
    }
    errors
}

fn validate_metadata(errors: &mut Vec<FieldError>, job: &Job) {
    errors.extend(
        subdomain_faults(&job.key.name).into_iter().map(|fault| FieldError::invalid("metadata.name", fault)),
    );
    validate_labels(errors, "metadata.labels", &job.labels);
    validate_finalizers(errors, &job.finalizers);
}

/// A selector that the user did not write must be the generated one, and the template must have the generated labels.
fn validate_generated_selector(errors: &mut Vec<FieldError>, job: &Job, wants_newer_labels: bool) {
    if job.spec.is_selector_manual() {
        return;
    }
    let uid = job.uid.to_string();
    let expected = [
        (LEGACY_CONTROLLER_UID_LABEL, &*uid),
        (LEGACY_JOB_NAME_LABEL, &*job.key.name),
        (CONTROLLER_UID_LABEL, &*uid),
        (JOB_NAME_LABEL, &*job.key.name),
    ];
    let expected = if wants_newer_labels { &expected[..] } else { &expected[..2] };
    for &(label, value) in expected {
        let field = || format!("spec.template.metadata.labels[{label}]");
        let detail = || format!("must be '{value}'");
        match job.spec.template.labels.get(label) {
            None => errors.push(FieldError::required(field(), detail())),
            Some(actual) if **actual != *value => errors.push(FieldError::invalid(field(), detail())),
            Some(_) => {}
        }
    }
    let is_generated = |label: &str, value: &str| expected.contains(&(label, value));
    if is_comparable(&job.spec.selector)
        && !job.spec.selector.iter().all(|(label, value)| is_generated(label, value))
    {
        errors.push(FieldError::invalid("spec.selector", "`selector` not auto-generated"));
    }
}

/// Every rule that a spec breaks (upstream `ValidateJobSpec`).
pub(super) fn validate_spec(errors: &mut Vec<FieldError>, spec: &JobSpec) {
    validate_numbers(errors, spec);
    if let Some(managed_by) = &spec.managed_by {
        validate_managed_by(errors, managed_by);
    }
    match &spec.completion_mode {
        CompletionMode::Indexed => validate_indexed(errors, spec),
        CompletionMode::NonIndexed => validate_non_indexed(errors, spec),
        CompletionMode::Other(_) => {
            errors.push(FieldError::not_supported("spec.completionMode", &["NonIndexed", "Indexed"]));
        }
    }
    validate_failure_policy(errors, spec);
    validate_success_policy(errors, spec);
    validate_replacement_policy(errors, spec);
    validate_template(errors, "spec.template", &spec.template);
    validate_restart_policy(errors, spec);
    validate_selector(errors, spec);
}

fn validate_numbers(errors: &mut Vec<FieldError>, spec: &JobSpec) {
    non_negative(errors, "spec.parallelism", Some(spec.parallelism.into()));
    non_negative(errors, "spec.completions", spec.completions.map(i64::from));
    non_negative(errors, "spec.activeDeadlineSeconds", spec.active_deadline_seconds);
    non_negative(errors, "spec.backoffLimit", Some(spec.backoff_limit.into()));
    non_negative(errors, "spec.ttlSecondsAfterFinished", spec.ttl_seconds_after_finished.map(i64::from));
    non_negative(errors, "spec.backoffLimitPerIndex", spec.backoff_limit_per_index.map(i64::from));
    non_negative(errors, "spec.maxFailedIndexes", spec.max_failed_indexes.map(i64::from));
    if spec.max_failed_indexes.is_some() && spec.backoff_limit_per_index.is_none() {
        errors.push(FieldError::required("spec.backoffLimitPerIndex", "when maxFailedIndexes is specified"));
    }
}

fn validate_managed_by(errors: &mut Vec<FieldError>, managed_by: &str) {
    const FIELD: &str = "spec.managedBy";
    if managed_by.is_empty() {
        errors.push(FieldError::required(FIELD, ""));
        return;
    }
    errors.extend(
        domain_prefixed_path_faults(managed_by).into_iter().map(|fault| FieldError::invalid(FIELD, fault)),
    );
    if managed_by.len() > MANAGED_BY_LEN_MAX {
        errors.push(FieldError::too_long(FIELD, MANAGED_BY_LEN_MAX));
    }
}

fn validate_indexed(errors: &mut Vec<FieldError>, spec: &JobSpec) {
    const PARALLELISM: &str = "spec.parallelism";
    const MAX_FAILED: &str = "spec.maxFailedIndexes";
    if spec.completions.is_none() {
        errors.push(FieldError::required("spec.completions", "when completion mode is Indexed"));
    }
    let at_most = |max: i32| format!("must be less than or equal to {max}");
    if spec.parallelism > INDEXED_MAX {
        let detail = format!("{} when completion mode is Indexed", at_most(INDEXED_MAX));
        errors.push(FieldError::invalid(PARALLELISM, detail));
    }
    let max_failed = spec.max_failed_indexes.unwrap_or(0);
    let completions = spec.completions.unwrap_or(i32::MAX);
    // Completions below zero are no reason to complain of a limit that is not there.
    if spec.max_failed_indexes.is_some_and(|max_failed| max_failed > completions) {
        errors.push(FieldError::invalid(MAX_FAILED, "must be less than or equal to completions"));
    }
    if max_failed > INDEXED_MAX {
        errors.push(FieldError::invalid(MAX_FAILED, at_most(INDEXED_MAX)));
    }
    if spec.completions.is_none_or(|completions| completions <= COMPLETIONS_SOFT_MAX)
        || spec.backoff_limit_per_index.is_none()
    {
        return;
    }
    if spec.max_failed_indexes.is_none() {
        let detail = format!("must be specified when completions is above {COMPLETIONS_SOFT_MAX}");
        errors.push(FieldError::required(MAX_FAILED, detail));
    }
    for (field, value) in [(PARALLELISM, spec.parallelism), (MAX_FAILED, max_failed)] {
        if value > HIGH_COMPLETIONS_MAX {
            let premise =
                format!("completions are above {COMPLETIONS_SOFT_MAX} and used with backoff limit per index");
            errors.push(FieldError::invalid(
                field,
                format!("{} when {premise}", at_most(HIGH_COMPLETIONS_MAX)),
            ));
        }
    }
}

fn validate_non_indexed(errors: &mut Vec<FieldError>, spec: &JobSpec) {
    for (field, value) in [
        ("spec.backoffLimitPerIndex", spec.backoff_limit_per_index),
        ("spec.maxFailedIndexes", spec.max_failed_indexes),
    ] {
        if value.is_some() {
            errors.push(FieldError::invalid(field, "requires indexed completion mode"));
        }
    }
}

/// With a pod failure policy, pods are replaced only when they have failed.
fn validate_replacement_policy(errors: &mut Vec<FieldError>, spec: &JobSpec) {
    let is_allowed = |policy| spec.pod_failure_policy.is_none() || policy == PodReplacementPolicy::Failed;
    if !spec.pod_replacement_policy.is_none_or(is_allowed) {
        errors.push(FieldError::not_supported("spec.podReplacementPolicy", &["Failed"]));
    }
}

fn validate_restart_policy(errors: &mut Vec<FieldError>, spec: &JobSpec) {
    const FIELD: &str = "spec.template.spec.restartPolicy";
    match spec.template.spec.restart_policy {
        RestartPolicy::Always => {
            errors.push(FieldError::required(FIELD, "valid values: \"OnFailure\", \"Never\""));
        }
        RestartPolicy::OnFailure if spec.pod_failure_policy.is_some() => errors.push(FieldError::invalid(
            FIELD,
            "only \"Never\" is supported when podFailurePolicy is specified",
        )),
        RestartPolicy::OnFailure | RestartPolicy::Never => {}
    }
}

fn validate_selector(errors: &mut Vec<FieldError>, spec: &JobSpec) {
    validate_labels(errors, "spec.selector.matchLabels", &spec.selector);
    if is_comparable(&spec.selector) && !selector_matches(&spec.selector, &spec.template.labels) {
        errors.push(FieldError::invalid(TEMPLATE_LABELS, MISMATCH));
    }
}

/// Indexed pods get their Job's name and their index as host name, so the longest of these must be a DNS label.
pub(super) fn validate_host_name(errors: &mut Vec<FieldError>, job: &Job) {
    let Some(completions) = job.spec.completions.filter(|&completions| completions > 0) else { return };
    if !job.spec.is_indexed() {
        return;
    }
    let host_name = format!("{}-{}", job.key.name, completions - 1);
    if !label_faults(&host_name).is_empty() {
        let detail = format!("will not able to create pod with invalid DNS label: {host_name}");
        errors.push(FieldError::invalid("metadata.name", detail));
    }
}
