//! Rules for the step from one Job to the next (upstream `ValidateJobUpdate`).

use std::sync::Arc;

use super::FieldError;
use super::create;
use super::pod::{new_finalizers, validate_finalizer_domains, validate_finalizer_names, validate_labels};
use crate::objects::{Container, Job, JobConditionType, PodSpec, PodTemplate};
use crate::version::Features;

/// How often the labels are judged in an update: as those of any new object, of any changed one, and of a changed Job.
const JUDGED_LABELS: usize = 3;
const IMMUTABLE: &str = "field is immutable";

/// Every rule that an update breaks. Where the version judges the new object twice, so does this.
pub fn validate(new: &Job, old: &Job, features: &Features) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if features.update_reports_spec_errors_twice {
        errors = create::validate_again(new, old);
    }
    validate_metadata(&mut errors, new, old);
    create::validate_spec(&mut errors, &new.spec);
    validate_completions(&mut errors, new, old, features);
    let mut immutable = |field: &str, is_same: bool| {
        if !is_same {
            errors.push(FieldError::invalid(field, IMMUTABLE));
        }
    };
    immutable("spec.selector", new.spec.selector == old.spec.selector);
    if let Some(field) = broken_template_field(new, old, features) {
        immutable(field, false);
    }
    immutable("spec.completionMode", new.spec.completion_mode == old.spec.completion_mode);
    immutable("spec.podFailurePolicy", new.spec.pod_failure_policy == old.spec.pod_failure_policy);
    immutable(
        "spec.backoffLimitPerIndex",
        new.spec.backoff_limit_per_index == old.spec.backoff_limit_per_index,
    );
    immutable("spec.managedBy", new.spec.managed_by == old.spec.managed_by);
    immutable("spec.successPolicy", new.spec.success_policy == old.spec.success_policy);
    if !features.update_reports_spec_errors_twice {
        create::validate_host_name(&mut errors, new);
    }
    errors
}

/// What is asked of every object's metadata (`BeforeUpdate`) and, once more, of a Job's.
fn validate_metadata(errors: &mut Vec<FieldError>, new: &Job, old: &Job) {
    let has_not = |finalizer: &&Arc<str>| !old.finalizers.contains(finalizer);
    let extra: Vec<Arc<str>> = new.finalizers.iter().filter(has_not).cloned().collect();
    if old.deletion_time.is_some() && !extra.is_empty() {
        errors.extend(new_finalizers(&extra));
    }
    validate_finalizer_names(errors, &new.finalizers);
    validate_finalizer_domains(errors, &new.finalizers);
    for _ in 0..JUDGED_LABELS {
        validate_labels(errors, "metadata.labels", &new.labels);
    }
}

/// `completions` of an Indexed Job may change when it is then equal to `parallelism`: that is the elastic rule of
/// KEP-3715, which looks at the new pair only.
fn validate_completions(errors: &mut Vec<FieldError>, new: &Job, old: &Job, features: &Features) {
    const FIELD: &str = "spec.completions";
    if new.spec.completions == old.spec.completions {
        return;
    }
    if !new.spec.is_indexed() || !features.elastic_indexed_job {
        errors.push(FieldError::invalid(FIELD, IMMUTABLE));
        return;
    }
    // Indexed Jobs without completions are refused by the rules for the spec.
    if new.spec.completions.is_some_and(|completions| completions != new.spec.parallelism) {
        errors.push(FieldError::invalid(FIELD, "can only be modified in tandem with spec.parallelism"));
    }
}

/// The field at which a change of the template is refused, if it is.
fn broken_template_field(new: &Job, old: &Job, features: &Features) -> Option<&'static str> {
    let (new_template, old_template) = (&new.spec.template, &old.spec.template);
    if Arc::ptr_eq(new_template, old_template) || new_template == old_template {
        return None;
    }
    let never_started = old.status.start_time.is_none();
    let is_at_rest = old.spec.suspend
        && (never_started || old.true_condition(JobConditionType::Suspended).is_some())
        && old.status.active == 0;
    let may_reschedule =
        if features.clears_start_time_on_suspend { is_at_rest } else { old.spec.suspend && never_started };
    let expected = if may_reschedule {
        with_scheduling_of(old_template, new_template)
    } else {
        PodTemplate::clone(old_template)
    };
    if features.mutable_resources_while_suspended && is_at_rest {
        let expected = with_resources_of(&expected.spec, &new_template.spec);
        return (expected != *new_template.spec).then_some("spec.template.spec");
    }
    (expected != **new_template).then_some("spec.template")
}

/// `old` with what the scheduler goes by taken from `new`, and its labels and annotations.
fn with_scheduling_of(old: &PodTemplate, new: &PodTemplate) -> PodTemplate {
    let spec = PodSpec {
        node_selector: new.spec.node_selector.clone(),
        tolerations: new.spec.tolerations.clone(),
        scheduling_gates: new.spec.scheduling_gates.clone(),
        ..PodSpec::clone(&old.spec)
    };
    PodTemplate {
        labels: Arc::clone(&new.labels),
        annotations: Arc::clone(&new.annotations),
        finalizers: Arc::clone(&old.finalizers),
        spec: Arc::new(spec),
    }
}

/// `old` with the resources of those containers of `new` that have the same name at the same place.
fn with_resources_of(old: &PodSpec, new: &PodSpec) -> PodSpec {
    let merged = |old: &[Container], new: &[Container]| -> Vec<Container> {
        let mut containers = old.to_vec();
        if old.len() == new.len() {
            for (container, other) in containers.iter_mut().zip(new) {
                if container.name == other.name {
                    container.cpu_request_milli = other.cpu_request_milli;
                }
            }
        }
        containers
    };
    PodSpec {
        containers: merged(&old.containers, &new.containers),
        init_containers: merged(&old.init_containers, &new.init_containers),
        ..old.clone()
    }
}
