//! Manifests of a story's objects as YAML.

use std::fmt::{self, Write as _};

use towtank_model::objects::{
    CompletionMode, Container, Labels, PodFailureAction, PodFailureMatch, PodFailureRule,
    PodReplacementPolicy, PodSpec, RestartPolicy, SuccessRule,
};
use towtank_model::server::{JobManifest, PodManifest};

/// Lines of a text, each so far to the right.
pub(crate) struct Lines {
    pub(crate) text: String,
    indent: usize,
}

impl Lines {
    pub(crate) const fn new() -> Self {
        Self { text: String::new(), indent: 0 }
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, line: impl fmt::Display) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.text, "{:1$}{line}", "", self.indent);
    }

    /// Adds lines that belong under the last one.
    pub(crate) fn under(&mut self, lines: impl FnOnce(&mut Self)) {
        self.indent += 2;
        lines(self);
        self.indent -= 2;
    }

    fn field(&mut self, name: &str, value: Option<impl fmt::Display>) {
        if let Some(value) = value {
            self.line(format_args!("{name}: {value}"));
        }
    }
}

/// A Job.
pub(crate) fn job(lines: &mut Lines, name: &str, job: &JobManifest) {
    lines.line("apiVersion: batch/v1");
    lines.line("kind: Job");
    lines.line(format_args!("metadata: {{name: {name}}}"));
    lines.line("spec:");
    lines.under(|lines| {
        for (field, value) in spec_fields(job) {
            lines.field(field, Some(value));
        }
        if let Some(policy) = &job.pod_failure_policy {
            lines.line("podFailurePolicy:");
            lines.under(|lines| list(lines, "rules", policy.rules.iter().map(failure_rule)));
        }
        if let Some(policy) = &job.success_policy {
            lines.line("successPolicy:");
            lines.under(|lines| list(lines, "rules", policy.rules.iter().map(success_rule)));
        }
        if let Some(template) = &job.template {
            lines.line("template:");
            lines.under(|lines| {
                if !template.labels.is_empty() || !template.finalizers.is_empty() {
                    let (labels, finalizers) = (labels(&template.labels), template.finalizers.join(", "));
                    lines.line(format_args!("metadata: {{labels: {labels}, finalizers: [{finalizers}]}}"));
                }
                pod_spec(lines, &template.spec);
            });
        }
    });
}

/// A pod without Job.
pub(crate) fn pod(lines: &mut Lines, name: &str, pod: &PodManifest) {
    lines.line("apiVersion: v1");
    lines.line("kind: Pod");
    lines.line(format_args!("metadata: {{name: {name}, labels: {}}}", labels(&pod.labels)));
    pod_spec(lines, &pod.spec);
}

/// The plain fields of a Job's spec, those that are given.
pub(crate) fn spec_fields(job: &JobManifest) -> Vec<(&'static str, String)> {
    let mode = job.completion_mode.as_ref().map(|mode| match mode {
        CompletionMode::NonIndexed => "NonIndexed".to_owned(),
        CompletionMode::Indexed => "Indexed".to_owned(),
        CompletionMode::Other(other) => other.to_string(),
    });
    let replacement = job.pod_replacement_policy.map(|policy| match policy {
        PodReplacementPolicy::Failed => "Failed".to_owned(),
        PodReplacementPolicy::TerminatingOrFailed => "TerminatingOrFailed".to_owned(),
    });
    let selector = job.selector.as_ref().map(|selector| format!("{{matchLabels: {}}}", labels(selector)));
    let fields = [
        ("parallelism", text(job.parallelism)),
        ("completions", text(job.completions)),
        ("completionMode", mode),
        ("backoffLimit", text(job.backoff_limit)),
        ("backoffLimitPerIndex", text(job.backoff_limit_per_index)),
        ("maxFailedIndexes", text(job.max_failed_indexes)),
        ("activeDeadlineSeconds", text(job.active_deadline_seconds)),
        ("ttlSecondsAfterFinished", text(job.ttl_seconds_after_finished)),
        ("suspend", text(job.suspend)),
        ("podReplacementPolicy", replacement),
        ("managedBy", job.managed_by.as_ref().map(ToString::to_string)),
        ("manualSelector", text(job.manual_selector)),
        ("selector", selector),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn list(lines: &mut Lines, name: &str, items: impl Iterator<Item = String>) {
    lines.line(format_args!("{name}:"));
    lines.under(|lines| items.for_each(|item| lines.line(format_args!("- {item}"))));
}

fn labels(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

fn failure_rule(rule: &PodFailureRule) -> String {
    let action = match rule.action {
        PodFailureAction::FailJob => "FailJob",
        PodFailureAction::FailIndex => "FailIndex",
        PodFailureAction::Ignore => "Ignore",
        PodFailureAction::Count => "Count",
    };
    match &rule.matches {
        PodFailureMatch::ExitCodes { container_name, is_in, values } => {
            let operator = if *is_in { "In" } else { "NotIn" };
            let container = container_name.as_ref().map(|name| format!(", containerName: {name}"));
            let container = container.unwrap_or_default();
            format!(
                "{{action: {action}, onExitCodes: {{operator: {operator}, values: {values:?}{container}}}}}"
            )
        }
        PodFailureMatch::PodConditions(patterns) => {
            let patterns: Vec<String> = patterns
                .iter()
                .map(|(kind, status)| format!("{{type: {kind}, status: \"{}\"}}", status.as_str()))
                .collect();
            format!("{{action: {action}, onPodConditions: [{}]}}", patterns.join(", "))
        }
    }
}

fn success_rule(rule: &SuccessRule) -> String {
    let indexes = rule.succeeded_indexes.as_ref().map(|text| format!("succeededIndexes: \"{text}\""));
    let count = rule.succeeded_count.map(|count| format!("succeededCount: {count}"));
    let fields: Vec<String> = indexes.into_iter().chain(count).collect();
    format!("{{{}}}", fields.join(", "))
}

fn pod_spec(lines: &mut Lines, spec: &PodSpec) {
    lines.line("spec:");
    lines.under(|lines| {
        let policy = match spec.restart_policy {
            RestartPolicy::Always => "Always",
            RestartPolicy::OnFailure => "OnFailure",
            RestartPolicy::Never => "Never",
        };
        lines.field("restartPolicy", Some(policy));
        if !spec.init_containers.is_empty() {
            lines.field("initContainers", Some(containers(&spec.init_containers)));
        }
        lines.field("containers", Some(containers(&spec.containers)));
    });
}

fn containers(containers: &[Container]) -> String {
    let container = |container: &Container| {
        let restarts = if container.is_sidecar { ", restartPolicy: Always" } else { "" };
        format!("{{name: {}, image: story{restarts}}}", container.name)
    };
    let all: Vec<String> = containers.iter().map(container).collect();
    format!("[{}]", all.join(", "))
}
