//! Questions that a sync asks its snapshot again and again.

use super::contract::Snapshot;
use super::failure_policy::{self, PolicyMatch};
use crate::objects::{Pod, PodFailureAction, PodPhase, PodReplacementPolicy, SuccessPolicy};

impl Snapshot {
    /// `spec.completions` of an Indexed Job; `None` in other modes.
    pub(super) fn indexed_completions(&self) -> Option<u32> {
        let spec = &self.job.spec;
        spec.is_indexed().then(|| spec.completions.and_then(|count| u32::try_from(count).ok()).unwrap_or(0))
    }

    /// Pods are replaced when they have ended, not when they are being deleted (KEP-3939).
    pub(super) fn replaces_ended_pods_only(&self) -> bool {
        let (features, spec) = (&self.features, &self.job.spec);
        let by_policy = features.pod_replacement_policy
            && spec.pod_replacement_policy == Some(PodReplacementPolicy::Failed);
        let by_failure_policy = features.pod_failure_policy
            && spec.pod_failure_policy.is_some()
            && !features.only_policy_decides_replacement;
        mutant!(27, by_policy => false) || by_failure_policy
    }

    /// `backoffLimitPerIndex`, where the feature exists and the Job uses it.
    pub(super) fn backoff_limit_per_index(&self) -> Option<i32> {
        if self.features.backoff_limit_per_index { self.job.spec.backoff_limit_per_index } else { None }
    }

    /// `successPolicy`, where the feature exists and the Job uses it.
    pub(super) fn success_policy(&self) -> Option<&SuccessPolicy> {
        if self.features.success_policy { self.job.spec.success_policy.as_deref() } else { None }
    }

    /// The rule of the pod failure policy that matches a failed pod.
    pub(super) fn policy_match<'a>(&self, pod: &'a Pod) -> Option<PolicyMatch<'a>> {
        if !self.features.pod_failure_policy {
            return None;
        }
        let policy = self.job.spec.pod_failure_policy.as_deref()?;
        failure_policy::first_match(policy, pod, &self.features)
    }

    /// The failure of this pod counts: no rule says Ignore.
    pub(super) fn is_failure_counted(&self, pod: &Pod) -> bool {
        self.policy_match(pod).is_none_or(|rule| mutant!(29, rule.is_counted() => true))
    }

    /// The pod counts as failed: it ended so, or (unless only ended pods are replaced) it is being deleted.
    pub(super) fn is_failed(&self, pod: &Pod) -> bool {
        match pod.status.phase {
            PodPhase::Failed => true,
            PodPhase::Succeeded => false,
            PodPhase::Pending | PodPhase::Unknown | PodPhase::Running => {
                pod.is_deleting() && !self.replaces_ended_pods_only()
            }
        }
    }

    /// The pod has the tracking finalizer and was not relieved of it by a sync before.
    pub(super) fn is_tracked(&self, pod: &Pod) -> bool {
        pod.tracked
            && (self.finalizers_expected_gone.is_empty() || !self.finalizers_expected_gone.contains(&pod.uid))
    }

    /// The pod's failure fails its index for good (upstream `TestIsIndexFailed`).
    pub(super) fn is_index_failed_by(&self, pod: &Pod) -> bool {
        let Some(limit) = self.backoff_limit_per_index() else { return false };
        if !self.is_failed(pod) {
            return false;
        }
        let rule = self.policy_match(pod);
        if rule.is_some_and(|rule| rule.action == PodFailureAction::FailIndex) {
            return true;
        }
        rule.is_none_or(|rule| rule.is_counted())
            && mutant!(28, super::backoff::counted_failures(pod) >= limit => super::backoff::counted_failures(pod) > limit)
    }
}
