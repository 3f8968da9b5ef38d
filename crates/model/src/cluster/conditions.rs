//! Conditions of pods.

use crate::objects::{ConditionStatus, DISRUPTION_TARGET, PodCondition};
use crate::time::Time;
use crate::version::Features;

/// Sets a condition in place, or appends it; the transition time changes only with the status.
pub(super) fn set(
    conditions: &mut Vec<PodCondition>,
    kind: &str,
    status: ConditionStatus,
    reason: &str,
    now: Time,
) {
    let found = conditions.iter_mut().find(|condition| &*condition.kind == kind);
    if let Some(condition) = found {
        if condition.status != status {
            condition.status = status;
            condition.last_transition_time = now.truncated_to_second();
        }
        if &*condition.reason != reason {
            condition.reason = reason.into();
        }
        return;
    }
    conditions.push(PodCondition {
        kind: kind.into(),
        status,
        reason: reason.into(),
        last_transition_time: now.truncated_to_second(),
    });
}

/// Marks a pod as ended by the cluster, in versions and with gates that do (KEP-3329).
pub(super) fn set_disruption_target(
    conditions: &mut Vec<PodCondition>,
    features: &Features,
    reason: &str,
    now: Time,
) {
    if features.pod_disruption_conditions {
        set(conditions, DISRUPTION_TARGET, ConditionStatus::True, reason, now);
    }
}
