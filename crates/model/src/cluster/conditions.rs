//! Conditions of pods, and the words that many of them share.

use std::sync::Arc;

use crate::objects::{ConditionStatus, DISRUPTION_TARGET, POD_SCHEDULED, PodCondition, READY};
use crate::time::Time;
use crate::version::Features;

/// Words of statuses, allocated once for all pods.
#[derive(Clone, Debug)]
pub(super) struct Words {
    pub(super) none: Arc<str>,
    pub(super) ready: Arc<str>,
    pub(super) pod_scheduled: Arc<str>,
    pub(super) disruption_target: Arc<str>,
    /// Reason of PodScheduled while no node takes the pod.
    pub(super) unschedulable: Arc<str>,
    /// Reasons of Ready.
    pub(super) containers_not_ready: Arc<str>,
    pub(super) pod_completed: Arc<str>,
    pub(super) pod_failed: Arc<str>,
    /// Reasons of waiting containers, as kubectl shows them.
    pub(super) container_creating: Arc<str>,
    pub(super) pod_initializing: Arc<str>,
    pub(super) crash_loop_back_off: Arc<str>,
    /// Reasons of DisruptionTarget (KEP-3329).
    pub(super) deletion_by_taint_manager: Arc<str>,
    pub(super) deletion_by_pod_gc: Arc<str>,
    pub(super) termination_by_kubelet: Arc<str>,
    /// `status.reason` of pods that the kubelet ended because its node shuts down.
    pub(super) terminated: Arc<str>,
}

impl Default for Words {
    fn default() -> Self {
        Self {
            none: "".into(),
            ready: READY.into(),
            pod_scheduled: POD_SCHEDULED.into(),
            disruption_target: DISRUPTION_TARGET.into(),
            unschedulable: "Unschedulable".into(),
            containers_not_ready: "ContainersNotReady".into(),
            pod_completed: "PodCompleted".into(),
            pod_failed: "PodFailed".into(),
            container_creating: "ContainerCreating".into(),
            pod_initializing: "PodInitializing".into(),
            crash_loop_back_off: "CrashLoopBackOff".into(),
            deletion_by_taint_manager: "DeletionByTaintManager".into(),
            deletion_by_pod_gc: "DeletionByPodGC".into(),
            termination_by_kubelet: "TerminationByKubelet".into(),
            terminated: "Terminated".into(),
        }
    }
}

/// Sets a condition in place, or appends it; the transition time changes only with the status.
pub(super) fn set(
    conditions: &mut Vec<PodCondition>,
    kind: &Arc<str>,
    status: ConditionStatus,
    reason: &Arc<str>,
    now: Time,
) {
    let now = now.truncated_to_second();
    let Some(condition) = conditions.iter_mut().find(|condition| condition.kind == *kind) else {
        let (kind, reason) = (Arc::clone(kind), Arc::clone(reason));
        conditions.push(PodCondition { kind, status, reason, last_transition_time: now });
        return;
    };
    if condition.status != status {
        condition.status = status;
        condition.last_transition_time = now;
    }
    if condition.reason != *reason {
        condition.reason = Arc::clone(reason);
    }
}

impl Words {
    /// Marks a pod as ended by the cluster, in versions and with gates that do (KEP-3329).
    pub(super) fn set_disruption_target(
        &self,
        conditions: &mut Vec<PodCondition>,
        features: &Features,
        reason: &Arc<str>,
        now: Time,
    ) {
        if features.pod_disruption_conditions {
            set(conditions, &self.disruption_target, ConditionStatus::True, reason, now);
        }
    }
}
