//! Table tests after upstream `validation_test.go` and `strategy_test.go`: names and values of its cases, each refused
//! one with a neighbour that is accepted.

mod create;
mod policies;
mod status;
mod update;

use std::sync::Arc;

use super::{FieldError, FieldErrorType};
use crate::objects::ConditionStatus;
use crate::objects::{
    CompletionMode, Container, Job, JobCondition, JobConditionType, JobStatus, Labels, ObjectKey, PodSpec,
    PodTemplate, RestartPolicy, Uid,
};
use crate::server::JobManifest;
use crate::time::Time;
use crate::version::{Features, KubernetesVersion};

fn features(minor: u16) -> Features {
    Features::of(KubernetesVersion::from_minor(minor).unwrap())
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|&(label, value)| (label.into(), value.into())).collect()
}

fn container(name: &str) -> Container {
    Container { name: name.into(), cpu_request_milli: 100, is_sidecar: false }
}

/// A template as upstream's `validPodTemplateSpecForGenerated` before the labels are generated.
fn template() -> PodTemplate {
    PodTemplate {
        labels: Arc::new(labels(&[("foo", "bar")])),
        annotations: Arc::default(),
        finalizers: Arc::default(),
        spec: Arc::new(PodSpec {
            restart_policy: RestartPolicy::Never,
            containers: vec![container("abc")],
            init_containers: vec![container("def")],
            ..PodSpec::default()
        }),
    }
}

/// A manifest of a Job of `completions` indexes.
fn indexed(completions: i32) -> JobManifest {
    JobManifest {
        completions: Some(completions),
        parallelism: Some(2),
        completion_mode: Some(CompletionMode::Indexed),
        template: Some(Arc::new(template())),
        ..JobManifest::default()
    }
}

/// A manifest of a Job that has nothing but a template.
fn plain() -> JobManifest {
    JobManifest { template: Some(Arc::new(template())), ..JobManifest::default() }
}

fn admitted(manifest: &JobManifest, features: &Features) -> Job {
    super::defaults::new_job(Time::ZERO, &ObjectKey::new("default", "myjob"), Uid(7), manifest, features)
}

fn create_errors(manifest: &JobManifest, features: &Features) -> Vec<FieldError> {
    super::create::validate_new(&admitted(manifest, features), manifest)
}

/// Errors as `field|Kind|part of the detail`.
fn assert_errors(case: &str, errors: &[FieldError], expected: &[&str]) {
    let found: Vec<String> =
        errors.iter().map(|error| format!("{}|{:?}|{}", error.field, error.kind, error.detail)).collect();
    assert_eq!(errors.len(), expected.len(), "{case}: {found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{case}: found {found}, expected {expected}");
    }
}

fn condition(kind: JobConditionType, status: ConditionStatus) -> JobCondition {
    JobCondition { kind, status, reason: "".into(), message: "".into(), last_transition_time: Time::ZERO }
}

fn true_conditions(kinds: &[JobConditionType]) -> Vec<JobCondition> {
    kinds.iter().map(|&kind| condition(kind, ConditionStatus::True)).collect()
}

fn with_status(mut job: Job, status: JobStatus) -> Job {
    job.status = status;
    job
}

/// The server's words, without the value.
#[test]
fn errors_print_as_the_server_prints_them() {
    let error = FieldError::invalid("spec.completions", "field is immutable");
    assert_eq!(error.to_string(), "spec.completions: Invalid value: field is immutable");
    assert_eq!(FieldError::required("spec.selector", "").to_string(), "spec.selector: Required value");
    assert_eq!(
        FieldError::not_supported("spec.completionMode", &["NonIndexed", "Indexed"]).to_string(),
        "spec.completionMode: Unsupported value: supported values: \"NonIndexed\", \"Indexed\""
    );
    let kinds = [
        FieldErrorType::Forbidden,
        FieldErrorType::Duplicate,
        FieldErrorType::TooMany,
        FieldErrorType::TooLong,
    ];
    assert_eq!(kinds.map(|kind| kind.to_string()), ["Forbidden", "Duplicate value", "Too many", "Too long"]);
}
