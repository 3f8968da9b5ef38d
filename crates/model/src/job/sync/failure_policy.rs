//! `podFailurePolicy`: what a pod's failure means (KEP-3329; upstream `TestMatchPodFailurePolicy`).

use crate::objects::{
    ContainerState, ContainerStatus, Pod, PodCondition, PodFailureAction, PodFailureMatch, PodFailurePolicy,
};
use crate::version::Features;

/// The first rule that matches a failed pod.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PolicyMatch<'a> {
    /// Position of the rule.
    pub(super) rule: usize,
    /// What the rule says.
    pub(super) action: PodFailureAction,
    /// What matched.
    cause: Cause<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cause<'a> {
    Container { name: &'a str, exit_code: i32 },
    Condition(&'a PodCondition),
}

impl PolicyMatch<'_> {
    /// The failure counts toward `backoffLimit` and `backoffLimitPerIndex`.
    pub(super) fn is_counted(&self) -> bool {
        self.action != PodFailureAction::Ignore
    }

    /// The message of the condition when the rule fails the Job.
    pub(super) fn message(&self, pod: &Pod) -> String {
        let (rule, key) = (mutant!(26, self.rule => self.rule + 1), &pod.key);
        match self.cause {
            Cause::Container { name, exit_code } => format!(
                "Container {name} for pod {key} failed with exit code {exit_code} matching FailJob rule at index {rule}"
            ),
            Cause::Condition(condition) => {
                format!("Pod {key} has condition {} matching FailJob rule at index {rule}", condition.kind)
            }
        }
    }
}

/// Finds the first rule that matches `pod`, which must count as failed. A FailIndex rule is passed over where
/// `backoffLimitPerIndex` does not exist.
pub(super) fn first_match<'a>(
    policy: &PodFailurePolicy,
    pod: &'a Pod,
    features: &Features,
) -> Option<PolicyMatch<'a>> {
    policy.rules.iter().enumerate().find_map(|(rule, candidate)| {
        if candidate.action == PodFailureAction::FailIndex
            && mutant!(23, !features.backoff_limit_per_index => true)
        {
            return None;
        }
        let cause = match &candidate.matches {
            PodFailureMatch::ExitCodes { container_name, is_in, values } => {
                let matches = |status: &&'a ContainerStatus| {
                    let named = container_name.as_ref().is_none_or(|name| *name == status.name);
                    named
                        && exit_code(status).is_some_and(|code| {
                            code != 0 && values.contains(&code) == mutant!(24, *is_in => true)
                        })
                };
                let statuses = pod.status.containers.iter().chain(&pod.status.init_containers);
                let container = statuses.clone().find(matches)?;
                Cause::Container { name: &container.name, exit_code: exit_code(container)? }
            }
            PodFailureMatch::PodConditions(patterns) => {
                Cause::Condition(pod.status.conditions.iter().find(|condition| {
                    patterns.iter().any(|(kind, status)| {
                        *kind == condition.kind && mutant!(25, *status == condition.status => true)
                    })
                })?)
            }
        };
        Some(PolicyMatch { rule, action: candidate.action, cause })
    })
}

/// The exit code of a container that has ended.
fn exit_code(status: &ContainerStatus) -> Option<i32> {
    match &status.state {
        ContainerState::Terminated(end) => Some(end.exit_code),
        ContainerState::Waiting(_) | ContainerState::Running => None,
    }
}
