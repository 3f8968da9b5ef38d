//! `spec` of a Job.

use std::sync::Arc;

use k8s_openapi::api::batch::v1 as batch;
use towtank_model::objects::{
    CompletionMode, ConditionStatus, PodFailureAction, PodFailureMatch, PodFailurePolicy, PodFailureRule,
    PodReplacementPolicy, SuccessPolicy, SuccessRule,
};
use towtank_model::server::JobManifest;

use super::{Place, labels, pod};
use crate::ast::SourceFile;
use crate::error::{Problem, ScenarioError};
use crate::yaml::Node;

const STATUSES: &[(&str, ConditionStatus)] = &[
    ("True", ConditionStatus::True),
    ("False", ConditionStatus::False),
    ("Unknown", ConditionStatus::Unknown),
];

/// Pods that a Job of a scenario may ask for at the same time.
pub(crate) const PARALLELISM_MAX: i32 = 10_000;

/// A run would take minutes, and nobody would read its tables.
pub(crate) fn too_many_pods(source: &Arc<SourceFile>, at: std::ops::Range<usize>) -> ScenarioError {
    let limit = format!("a Job of a scenario may ask for {PARALLELISM_MAX} pods at a time");
    ScenarioError::new(source, at, Problem::Limit(limit), "too many").with_help("write a smaller parallelism")
}

/// Takes over what the model knows of `spec`. `node` tells whether the template was written at all, which the typed
/// value does not; with `is_patch`, the template may be a part of one.
pub(super) fn convert(
    at: &Place<'_>,
    spec: &batch::JobSpec,
    node: Option<&Node>,
    is_patch: bool,
) -> Result<JobManifest, ScenarioError> {
    if spec.parallelism.is_some_and(|parallelism| parallelism > PARALLELISM_MAX) {
        return Err(too_many_pods(at.source, at.span("parallelism")));
    }
    let has_template = node.is_some_and(|node| node.get("template").is_some());
    let template = if has_template { Some(pod::template(at, &spec.template, is_patch)?) } else { None };
    Ok(JobManifest {
        parallelism: spec.parallelism,
        completions: spec.completions,
        completion_mode: spec.completion_mode.as_deref().map(completion_mode),
        backoff_limit: spec.backoff_limit,
        backoff_limit_per_index: spec.backoff_limit_per_index,
        max_failed_indexes: spec.max_failed_indexes,
        active_deadline_seconds: spec.active_deadline_seconds,
        ttl_seconds_after_finished: spec.ttl_seconds_after_finished,
        suspend: spec.suspend,
        pod_replacement_policy: replacement_policy(at, spec)?,
        pod_failure_policy: spec
            .pod_failure_policy
            .as_ref()
            .map(|policy| failure_policy(at, policy))
            .transpose()?,
        success_policy: spec.success_policy.as_ref().map(success_policy),
        managed_by: spec.managed_by.as_deref().map(Arc::from),
        manual_selector: spec.manual_selector,
        selector: selector(at, spec)?,
        template: template.map(Arc::new),
        ..JobManifest::default()
    })
}

fn completion_mode(text: &str) -> CompletionMode {
    match text {
        "NonIndexed" => CompletionMode::NonIndexed,
        "Indexed" => CompletionMode::Indexed,
        other => CompletionMode::Other(other.into()),
    }
}

fn replacement_policy(
    at: &Place<'_>,
    spec: &batch::JobSpec,
) -> Result<Option<PodReplacementPolicy>, ScenarioError> {
    const WORDS: &[(&str, PodReplacementPolicy)] = &[
        ("TerminatingOrFailed", PodReplacementPolicy::TerminatingOrFailed),
        ("Failed", PodReplacementPolicy::Failed),
    ];
    let Some(text) = spec.pod_replacement_policy.as_deref() else { return Ok(None) };
    at.word("podReplacementPolicy", "pod replacement policy", text, WORDS).map(Some)
}

fn selector(
    at: &Place<'_>,
    spec: &batch::JobSpec,
) -> Result<Option<towtank_model::objects::Labels>, ScenarioError> {
    let Some(selector) = &spec.selector else { return Ok(None) };
    if selector.match_expressions.as_ref().is_some_and(|expressions| !expressions.is_empty()) {
        let problem = Problem::Invalid("selectors by expression are not modelled".to_owned());
        return Err(at
            .error("selector.matchExpressions", problem, "not supported")
            .with_help("write the same as `matchLabels`, or leave the selector out"));
    }
    Ok(Some(labels(selector.match_labels.clone())))
}

fn success_policy(policy: &batch::SuccessPolicy) -> Arc<SuccessPolicy> {
    let rules = policy.rules.iter().map(|rule| SuccessRule {
        succeeded_indexes: rule.succeeded_indexes.as_deref().map(Arc::from),
        succeeded_count: rule.succeeded_count,
    });
    Arc::new(SuccessPolicy { rules: rules.collect() })
}

fn failure_policy(
    at: &Place<'_>,
    policy: &batch::PodFailurePolicy,
) -> Result<Arc<PodFailurePolicy>, ScenarioError> {
    let rules = policy.rules.iter().enumerate();
    let rules = rules
        .map(|(position, rule)| failure_rule(&at.inner(&format!("podFailurePolicy.rules.{position}")), rule));
    Ok(Arc::new(PodFailurePolicy { rules: rules.collect::<Result<_, _>>()? }))
}

fn failure_rule(at: &Place<'_>, rule: &batch::PodFailurePolicyRule) -> Result<PodFailureRule, ScenarioError> {
    const ACTIONS: &[(&str, PodFailureAction)] = &[
        ("FailJob", PodFailureAction::FailJob),
        ("FailIndex", PodFailureAction::FailIndex),
        ("Ignore", PodFailureAction::Ignore),
        ("Count", PodFailureAction::Count),
    ];
    let action = at.word("action", "action", &rule.action, ACTIONS)?;
    let conditions = rule.on_pod_conditions.as_deref().filter(|patterns| !patterns.is_empty());
    let matches = match (&rule.on_exit_codes, conditions) {
        (Some(codes), None) => PodFailureMatch::ExitCodes {
            container_name: codes.container_name.as_deref().map(Arc::from),
            is_in: at.word(
                "onExitCodes.operator",
                "operator",
                &codes.operator,
                &[("In", true), ("NotIn", false)],
            )?,
            values: codes.values.clone(),
        },
        (None, Some(patterns)) => {
            let patterns = patterns.iter().enumerate().map(|(position, pattern)| {
                let path = format!("onPodConditions.{position}.status");
                let status = pattern.status.as_deref().unwrap_or("True");
                Ok((Arc::from(pattern.type_.as_str()), at.word(&path, "condition status", status, STATUSES)?))
            });
            PodFailureMatch::PodConditions(patterns.collect::<Result<_, ScenarioError>>()?)
        }
        _ => {
            let problem =
                Problem::Invalid("a rule needs one of `onExitCodes` and `onPodConditions`".to_owned());
            return Err(at.error("", problem, "this rule").with_help("write two rules to match on both"));
        }
    };
    Ok(PodFailureRule { action, matches })
}
