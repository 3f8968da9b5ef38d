//! `batch/v1` Job.

use std::sync::Arc;

use k8s_openapi::api::batch::v1 as batch;
use serde::Deserialize as _;
use serde_json::{Value, json};
use towtank_model::objects::{
    CONTROLLER_UID_LABEL, CompletionMode, JOB_NAME_LABEL, Job, JobCondition, JobConditionType, JobSpec,
    JobStatus, LEGACY_CONTROLLER_UID_LABEL, LEGACY_JOB_NAME_LABEL, Labels, ObjectKey, PodFailureAction,
    PodFailureMatch, PodFailurePolicy, PodFailureRule, PodReplacementPolicy, SuccessPolicy, SuccessRule, Uid,
    UncountedPods,
};
use towtank_model::server::{ClearedField, JobManifest};

use super::template::{template_object, template_patch, template_row};
use super::{
    Fields, Kind, WireError, key_row, labels_object, labels_patch, labels_row, optional_time,
    resource_version_row, status_row, texts, texts_row, time_at, time_text, uid_at,
};

/// Labels that the API server generates: a new template keeps those that it does not give.
const GENERATED_LABELS: [&str; 4] =
    [CONTROLLER_UID_LABEL, JOB_NAME_LABEL, LEGACY_CONTROLLER_UID_LABEL, LEGACY_JOB_NAME_LABEL];

// ---- from the model ----

/// A new Job: the fields that the manifest gives.
pub fn job_object(key: &ObjectKey, manifest: &JobManifest) -> Value {
    let mut metadata = Fields::default();
    metadata.set("name", &*key.name);
    metadata.set("namespace", &*key.namespace);
    metadata.set_labels("labels", &manifest.labels);
    metadata.set_list("finalizers", texts(&manifest.finalizers));
    let mut spec = given_fields(manifest);
    if let Some(template) = &manifest.template {
        spec.set("template", template_object(template));
    }
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": Value::from(metadata), "spec": Value::from(spec)})
}

/// A merge patch that does to `stored` what the manifest says: a field that is given replaces the stored one, mappings
/// included (a merge patch alone would add to them).
pub fn job_patch(stored: &Job, manifest: &JobManifest) -> Value {
    let mut metadata = Fields::default();
    if !manifest.labels.is_empty() {
        metadata.set("labels", labels_patch(&stored.labels, &manifest.labels));
    }
    let mut finalizers = stored.finalizers.clone();
    for finalizer in &manifest.finalizers {
        if !finalizers.contains(finalizer) {
            finalizers.push(Arc::clone(finalizer));
        }
    }
    if finalizers != stored.finalizers {
        metadata.set_list("finalizers", texts(&finalizers));
    }
    let mut spec = Fields::default();
    for field in &manifest.cleared {
        spec.set(cleared_name(*field), Value::Null);
    }
    spec.0.extend(given_fields(manifest).0);
    if let Some(template) = &manifest.template {
        spec.set("template", template_patch(&stored.spec.template, template, &GENERATED_LABELS));
    }
    let mut patch = Fields::default();
    for (field, fields) in [("metadata", metadata), ("spec", spec)] {
        if !fields.0.is_empty() {
            patch.set(field, fields);
        }
    }
    patch.into()
}

/// All of `spec` that a manifest gives, but for the template.
fn given_fields(manifest: &JobManifest) -> Fields {
    let mut spec = Fields::default();
    spec.set_some("parallelism", manifest.parallelism);
    spec.set_some("completions", manifest.completions);
    spec.set_some("completionMode", manifest.completion_mode.as_ref().map(mode_text));
    spec.set_some("backoffLimit", manifest.backoff_limit);
    spec.set_some("backoffLimitPerIndex", manifest.backoff_limit_per_index);
    spec.set_some("maxFailedIndexes", manifest.max_failed_indexes);
    spec.set_some("activeDeadlineSeconds", manifest.active_deadline_seconds);
    spec.set_some("ttlSecondsAfterFinished", manifest.ttl_seconds_after_finished);
    spec.set_some("suspend", manifest.suspend);
    spec.set_some("podReplacementPolicy", manifest.pod_replacement_policy.map(replacement_text));
    spec.set_some("podFailurePolicy", manifest.pod_failure_policy.as_deref().map(failure_policy_object));
    spec.set_some("successPolicy", manifest.success_policy.as_deref().map(success_policy_object));
    spec.set_some("managedBy", manifest.managed_by.as_deref());
    spec.set_some("manualSelector", manifest.manual_selector);
    let selector = |labels| json!({"matchLabels": labels_object(labels)});
    spec.set_some("selector", manifest.selector.as_ref().map(selector));
    spec
}

const fn cleared_name(field: ClearedField) -> &'static str {
    match field {
        ClearedField::Parallelism => "parallelism",
        ClearedField::Completions => "completions",
        ClearedField::CompletionMode => "completionMode",
        ClearedField::BackoffLimit => "backoffLimit",
        ClearedField::BackoffLimitPerIndex => "backoffLimitPerIndex",
        ClearedField::MaxFailedIndexes => "maxFailedIndexes",
        ClearedField::ActiveDeadlineSeconds => "activeDeadlineSeconds",
        ClearedField::TtlSecondsAfterFinished => "ttlSecondsAfterFinished",
        ClearedField::Suspend => "suspend",
        ClearedField::PodReplacementPolicy => "podReplacementPolicy",
        ClearedField::PodFailurePolicy => "podFailurePolicy",
        ClearedField::SuccessPolicy => "successPolicy",
        ClearedField::ManagedBy => "managedBy",
    }
}

fn mode_text(mode: &CompletionMode) -> &str {
    match mode {
        CompletionMode::NonIndexed => "NonIndexed",
        CompletionMode::Indexed => "Indexed",
        CompletionMode::Other(other) => other,
    }
}

const fn replacement_text(policy: PodReplacementPolicy) -> &'static str {
    match policy {
        PodReplacementPolicy::TerminatingOrFailed => "TerminatingOrFailed",
        PodReplacementPolicy::Failed => "Failed",
    }
}

fn failure_policy_object(policy: &PodFailurePolicy) -> Value {
    let rules = policy.rules.iter().map(|rule| {
        let mut fields = Fields::default();
        fields.set("action", action_text(rule.action));
        match &rule.matches {
            PodFailureMatch::ExitCodes { container_name, is_in, values } => {
                let mut codes = Fields::default();
                codes.set_some("containerName", container_name.as_deref());
                codes.set("operator", if *is_in { "In" } else { "NotIn" });
                codes.set("values", values.clone());
                fields.set("onExitCodes", codes);
            }
            PodFailureMatch::PodConditions(patterns) => {
                let pattern = |(kind, status): &(Arc<str>, towtank_model::objects::ConditionStatus)| {
                    json!({"type": &**kind, "status": status.as_str()})
                };
                fields.set("onPodConditions", patterns.iter().map(pattern).collect::<Vec<_>>());
            }
        }
        Value::from(fields)
    });
    json!({"rules": rules.collect::<Vec<_>>()})
}

const fn action_text(action: PodFailureAction) -> &'static str {
    match action {
        PodFailureAction::FailJob => "FailJob",
        PodFailureAction::FailIndex => "FailIndex",
        PodFailureAction::Ignore => "Ignore",
        PodFailureAction::Count => "Count",
    }
}

fn success_policy_object(policy: &SuccessPolicy) -> Value {
    let rules = policy.rules.iter().map(|rule| {
        let mut fields = Fields::default();
        fields.set_some("succeededIndexes", rule.succeeded_indexes.as_deref());
        fields.set_some("succeededCount", rule.succeeded_count);
        Value::from(fields)
    });
    json!({"rules": rules.collect::<Vec<_>>()})
}

/// `spec` of a stored Job, but for the template.
pub fn job_spec(spec: &JobSpec) -> Value {
    let fields = given_fields(&JobManifest {
        parallelism: Some(spec.parallelism),
        completions: spec.completions,
        completion_mode: Some(spec.completion_mode.clone()),
        backoff_limit: Some(spec.backoff_limit),
        backoff_limit_per_index: spec.backoff_limit_per_index,
        max_failed_indexes: spec.max_failed_indexes,
        active_deadline_seconds: spec.active_deadline_seconds,
        ttl_seconds_after_finished: spec.ttl_seconds_after_finished,
        suspend: Some(spec.suspend),
        pod_replacement_policy: spec.pod_replacement_policy,
        pod_failure_policy: spec.pod_failure_policy.clone(),
        success_policy: spec.success_policy.clone(),
        managed_by: spec.managed_by.clone(),
        manual_selector: spec.manual_selector,
        selector: Some(Labels::clone(&spec.selector)),
        ..JobManifest::default()
    });
    fields.into()
}

/// `status` of a Job, whole.
pub fn job_status(status: &JobStatus) -> Value {
    let mut fields = Fields::default();
    fields.set_list(
        "conditions",
        status.conditions.iter().map(|condition| {
            let mut fields = Fields::default();
            fields.set("type", condition.kind.as_str());
            fields.set("status", condition.status.as_str());
            fields.set_text("reason", &condition.reason);
            fields.set_text("message", &condition.message);
            fields.set("lastTransitionTime", time_text(condition.last_transition_time));
            fields.into()
        }),
    );
    fields.set_some("startTime", status.start_time.map(time_text));
    fields.set_some("completionTime", status.completion_time.map(time_text));
    for (field, count) in
        [("active", status.active), ("succeeded", status.succeeded), ("failed", status.failed)]
    {
        if count != 0 {
            fields.set(field, count);
        }
    }
    fields.set_some("ready", status.ready);
    fields.set_some("terminating", status.terminating);
    fields.set_text("completedIndexes", &status.completed_indexes);
    fields.set_some("failedIndexes", status.failed_indexes.as_deref());
    if let Some(uncounted) = &status.uncounted {
        let mut lists = Fields::default();
        let text = |uid: &Uid| Value::from(Kind::Pod.uid_text(*uid));
        lists.set_list("succeeded", uncounted.succeeded.iter().map(text));
        lists.set_list("failed", uncounted.failed.iter().map(text));
        fields.set("uncountedTerminatedPods", lists);
    }
    fields.into()
}

// ---- to the model ----

/// A Job as the driver has it.
pub fn job_row(object: &Value) -> Result<Job, WireError> {
    let job = batch::Job::deserialize(object).map_err(|error| WireError::new("Job", error.to_string()))?;
    let metadata = job.metadata;
    let created = optional_time("metadata.creationTimestamp", metadata.creation_timestamp.as_ref())?;
    Ok(Job {
        key: key_row(&metadata)?,
        uid: uid_at("metadata.uid", Kind::Job, metadata.uid.as_deref().unwrap_or_default())?,
        resource_version: resource_version_row(&metadata)?,
        generation: u64::try_from(metadata.generation.unwrap_or(0)).unwrap_or(0),
        labels: Arc::new(labels_row(metadata.labels.as_ref())),
        creation_time: created.unwrap_or_default(),
        deletion_time: optional_time("metadata.deletionTimestamp", metadata.deletion_timestamp.as_ref())?,
        finalizers: texts_row(metadata.finalizers),
        spec: spec_row(job.spec.ok_or_else(|| WireError::missing("spec"))?)?,
        status: status_of(job.status.unwrap_or_default())?,
    })
}

fn spec_row(spec: batch::JobSpec) -> Result<JobSpec, WireError> {
    Ok(JobSpec {
        parallelism: spec.parallelism.ok_or_else(|| WireError::missing("spec.parallelism"))?,
        completions: spec.completions,
        completion_mode: match spec.completion_mode.as_deref() {
            None => return Err(WireError::missing("spec.completionMode")),
            Some("NonIndexed") => CompletionMode::NonIndexed,
            Some("Indexed") => CompletionMode::Indexed,
            Some(other) => CompletionMode::Other(other.into()),
        },
        backoff_limit: spec.backoff_limit.ok_or_else(|| WireError::missing("spec.backoffLimit"))?,
        backoff_limit_per_index: spec.backoff_limit_per_index,
        max_failed_indexes: spec.max_failed_indexes,
        active_deadline_seconds: spec.active_deadline_seconds,
        ttl_seconds_after_finished: spec.ttl_seconds_after_finished,
        suspend: spec.suspend.unwrap_or(false),
        pod_replacement_policy: match spec.pod_replacement_policy.as_deref() {
            None => None,
            Some("TerminatingOrFailed") => Some(PodReplacementPolicy::TerminatingOrFailed),
            Some("Failed") => Some(PodReplacementPolicy::Failed),
            Some(other) => return Err(WireError::unknown("spec.podReplacementPolicy", other)),
        },
        pod_failure_policy: spec.pod_failure_policy.map(failure_policy_row).transpose()?,
        success_policy: spec.success_policy.map(success_policy_row),
        managed_by: spec.managed_by.map(Arc::from),
        manual_selector: spec.manual_selector,
        selector: Arc::new(labels_row(spec.selector.and_then(|selector| selector.match_labels).as_ref())),
        template: Arc::new(template_row(spec.template)?),
    })
}

pub(super) fn failure_policy_row(
    policy: batch::PodFailurePolicy,
) -> Result<Arc<PodFailurePolicy>, WireError> {
    let rules = policy.rules.into_iter().map(failure_rule_row);
    Ok(Arc::new(PodFailurePolicy { rules: rules.collect::<Result<_, _>>()? }))
}

fn failure_rule_row(rule: batch::PodFailurePolicyRule) -> Result<PodFailureRule, WireError> {
    const PATH: &str = "spec.podFailurePolicy.rules";
    let action = match rule.action.as_str() {
        "FailJob" => PodFailureAction::FailJob,
        "FailIndex" => PodFailureAction::FailIndex,
        "Ignore" => PodFailureAction::Ignore,
        "Count" => PodFailureAction::Count,
        other => return Err(WireError::unknown(PATH, other)),
    };
    let matches = match rule.on_exit_codes {
        Some(codes) => PodFailureMatch::ExitCodes {
            container_name: codes.container_name.map(Arc::from),
            is_in: match codes.operator.as_str() {
                "In" => true,
                "NotIn" => false,
                other => return Err(WireError::unknown(PATH, other)),
            },
            values: codes.values,
        },
        None => {
            let patterns = rule.on_pod_conditions.into_iter().flatten().map(|pattern| {
                Ok((pattern.type_.into(), status_row(PATH, pattern.status.as_deref().unwrap_or("True"))?))
            });
            PodFailureMatch::PodConditions(patterns.collect::<Result<_, WireError>>()?)
        }
    };
    Ok(PodFailureRule { action, matches })
}

pub(super) fn success_policy_row(policy: batch::SuccessPolicy) -> Arc<SuccessPolicy> {
    let rules = policy.rules.into_iter().map(|rule| SuccessRule {
        succeeded_indexes: rule.succeeded_indexes.map(Arc::from),
        succeeded_count: rule.succeeded_count,
    });
    Arc::new(SuccessPolicy { rules: rules.collect() })
}

pub(super) fn status_of(status: batch::JobStatus) -> Result<JobStatus, WireError> {
    let conditions = status.conditions.into_iter().flatten().filter_map(|condition| {
        // Conditions of other types decide nothing.
        let kind = condition_type(&condition.type_)?;
        Some(condition_row(kind, condition))
    });
    Ok(JobStatus {
        conditions: conditions.collect::<Result<_, _>>()?,
        start_time: optional_time("status.startTime", status.start_time.as_ref())?,
        completion_time: optional_time("status.completionTime", status.completion_time.as_ref())?,
        active: status.active.unwrap_or(0),
        ready: status.ready,
        terminating: status.terminating,
        succeeded: status.succeeded.unwrap_or(0),
        failed: status.failed.unwrap_or(0),
        completed_indexes: status.completed_indexes.unwrap_or_default().into(),
        failed_indexes: status.failed_indexes.map(Arc::from),
        uncounted: status.uncounted_terminated_pods.map(uncounted_row).transpose()?,
    })
}

fn condition_type(text: &str) -> Option<JobConditionType> {
    use JobConditionType::{Complete, Failed, FailureTarget, SuccessCriteriaMet, Suspended};
    [Suspended, Complete, Failed, FailureTarget, SuccessCriteriaMet]
        .into_iter()
        .find(|kind| kind.as_str() == text)
}

fn condition_row(kind: JobConditionType, condition: batch::JobCondition) -> Result<JobCondition, WireError> {
    const PATH: &str = "status.conditions";
    let changed = condition.last_transition_time.as_ref().map(|time| time_at(PATH, time)).transpose()?;
    Ok(JobCondition {
        kind,
        status: status_row(PATH, &condition.status)?,
        reason: condition.reason.unwrap_or_default().into(),
        message: condition.message.unwrap_or_default().into(),
        last_transition_time: changed.unwrap_or_default(),
    })
}

fn uncounted_row(uncounted: batch::UncountedTerminatedPods) -> Result<UncountedPods, WireError> {
    let uids = |list: Option<Vec<String>>| -> Result<Vec<Uid>, WireError> {
        let list = list.into_iter().flatten();
        list.map(|text| uid_at("status.uncountedTerminatedPods", Kind::Pod, &text)).collect()
    };
    Ok(UncountedPods { succeeded: uids(uncounted.succeeded)?, failed: uids(uncounted.failed)? })
}
