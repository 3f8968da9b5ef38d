//! Rules for `spec.podFailurePolicy` (KEP-3329, KEP-3850) and `spec.successPolicy` (KEP-3998).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::text::qualified_name_faults;
use super::{FieldError, non_negative};
use crate::index_set::IndexSet;
use crate::objects::{JobSpec, PodFailureAction, PodFailureMatch, PodFailureRule, SuccessRule};

/// Most rules of either policy.
const RULES_MAX: usize = 20;
/// Most exit codes of a rule.
const EXIT_CODES_MAX: usize = 255;
/// Most condition patterns of a rule.
const CONDITIONS_MAX: usize = 20;
/// Longest `succeededIndexes`.
const SUCCEEDED_INDEXES_LEN_MAX: usize = 64 * 1024;

/// Every rule that the pod failure policy breaks.
pub(super) fn validate_failure_policy(errors: &mut Vec<FieldError>, spec: &JobSpec) {
    let Some(policy) = &spec.pod_failure_policy else { return };
    let path = "spec.podFailurePolicy.rules";
    if policy.rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(path, policy.rules.len(), RULES_MAX));
    }
    for (position, rule) in policy.rules.iter().enumerate() {
        validate_failure_rule(errors, &format!("{path}[{position}]"), rule, spec);
    }
}

fn validate_failure_rule(errors: &mut Vec<FieldError>, path: &str, rule: &PodFailureRule, spec: &JobSpec) {
    if rule.action == PodFailureAction::FailIndex && spec.backoff_limit_per_index.is_none() {
        let detail = "requires the backoffLimitPerIndex to be set";
        errors.push(FieldError::invalid(format!("{path}.action"), detail));
    }
    match &rule.matches {
        PodFailureMatch::ExitCodes { container_name, is_in, values } => {
            let path = format!("{path}.onExitCodes");
            let pod = &spec.template.spec;
            let has_container = |name: &Arc<str>| {
                pod.containers.iter().chain(&pod.init_containers).any(|container| container.name == *name)
            };
            if !container_name.as_ref().is_none_or(has_container) {
                let detail = "must be one of the container or initContainer names in the pod template";
                errors.push(FieldError::invalid(format!("{path}.containerName"), detail));
            }
            validate_exit_codes(errors, &format!("{path}.values"), *is_in, values);
        }
        PodFailureMatch::PodConditions(patterns) => {
            if patterns.is_empty() {
                let detail = "specifying one of OnExitCodes and OnPodConditions is required";
                errors.push(FieldError::invalid(path, detail));
            }
            let path = format!("{path}.onPodConditions");
            if patterns.len() > CONDITIONS_MAX {
                errors.push(FieldError::too_many(&path, patterns.len(), CONDITIONS_MAX));
            }
            for (position, (kind, _)) in patterns.iter().enumerate() {
                let field = format!("{path}[{position}].type");
                let faults = qualified_name_faults(kind);
                errors.extend(faults.into_iter().map(|fault| FieldError::invalid(&field, fault)));
            }
        }
    }
}

fn validate_exit_codes(errors: &mut Vec<FieldError>, path: &str, is_in: bool, values: &[i32]) {
    if values.is_empty() {
        errors.push(FieldError::invalid(path, "at least one value is required"));
    } else if values.len() > EXIT_CODES_MAX {
        errors.push(FieldError::too_many(path, values.len(), EXIT_CODES_MAX));
    }
    let mut seen = BTreeSet::new();
    for (position, value) in values.iter().enumerate() {
        let field = || format!("{path}[{position}]");
        if is_in && *value == 0 {
            errors.push(FieldError::invalid(field(), "must not be 0 for the In operator"));
        }
        if !seen.insert(value) {
            errors.push(FieldError::duplicate(field()));
        }
    }
    if !values.is_sorted() {
        errors.push(FieldError::invalid(path, "must be ordered"));
    }
}

/// Every rule that the success policy breaks.
pub(super) fn validate_success_policy(errors: &mut Vec<FieldError>, spec: &JobSpec) {
    let Some(policy) = &spec.success_policy else { return };
    if !spec.is_indexed() {
        errors.push(FieldError::invalid("spec.successPolicy", "requires indexed completion mode"));
        return;
    }
    let path = "spec.successPolicy.rules";
    if policy.rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(path, detail));
    }
    if policy.rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(path, policy.rules.len(), RULES_MAX));
    }
    // An Indexed Job without completions is refused for that; the original fails to answer at all here.
    let completions = spec.completions.unwrap_or(0);
    for (position, rule) in policy.rules.iter().enumerate() {
        validate_success_rule(errors, &format!("{path}[{position}]"), rule, completions);
    }
}

fn validate_success_rule(errors: &mut Vec<FieldError>, path: &str, rule: &SuccessRule, completions: i32) {
    if rule.succeeded_count.is_none() && rule.succeeded_indexes.is_none() {
        let detail = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(FieldError::required(path, detail));
    }
    let mut listed = None;
    if let Some(indexes) = &rule.succeeded_indexes {
        let field = format!("{path}.succeededIndexes");
        if indexes.len() > SUCCEEDED_INDEXES_LEN_MAX {
            errors.push(FieldError::too_long(&field, SUCCEEDED_INDEXES_LEN_MAX));
        }
        listed = Some(0);
        match IndexSet::validate(indexes, u32::try_from(completions).unwrap_or(0)) {
            Ok(set) => listed = Some(set.len()),
            Err(error) => {
                errors.push(FieldError::invalid(field, format!("error parsing succeededIndexes: {error}")));
            }
        }
    }
    let Some(count) = rule.succeeded_count else { return };
    let field = format!("{path}.succeededCount");
    non_negative(errors, &field, Some(count.into()));
    if count > completions {
        let what = "the number of specified completions";
        errors.push(FieldError::invalid(
            &field,
            format!("must be less than or equal to {completions} ({what})"),
        ));
    }
    if let Some(listed) = listed.filter(|&listed| usize::try_from(count).is_ok_and(|count| count > listed)) {
        let what = "the number of indexes in the specified succeededIndexes field";
        errors.push(FieldError::invalid(field, format!("must be less than or equal to {listed} ({what})")));
    }
}
