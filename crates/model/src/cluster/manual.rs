//! Pods whose status is set by hand, as upstream's integration tests do it: there is no kubelet to report anything.

use std::sync::Arc;

use super::conditions::{self, Words};
use crate::objects::{
    ConditionStatus, Container, ContainerState, ContainerStatus, PodPhase, PodStatus, READY, Termination,
};
use crate::time::Time;

/// A state of a pod that a user sets by hand.
#[derive(Clone, Debug, PartialEq)]
pub struct ManualStatus {
    /// `status.phase`.
    pub phase: PodPhase,
    /// Exit code of all containers; absent: 0 when Succeeded, 1 when Failed.
    pub exit_code: Option<i32>,
    /// A condition to set with it: type and status.
    pub condition: Option<(Arc<str>, ConditionStatus)>,
    /// The Ready condition; left as it is when absent, except that a pod that has ended is not ready.
    pub ready: Option<bool>,
}

impl ManualStatus {
    /// Writes this into the status of a pod with these containers.
    pub(super) fn write_to(
        &self,
        status: &mut PodStatus,
        containers: &[Container],
        words: &Words,
        now: Time,
    ) {
        status.phase = self.phase;
        if let Some(state) = self.container_state(now) {
            let container = |container: &Container| ContainerStatus {
                name: Arc::clone(&container.name),
                restart_count: 0,
                ready: self.ready.unwrap_or(false),
                state: state.clone(),
            };
            status.containers = containers.iter().map(container).collect();
        }
        let has_ready = status.conditions.iter().any(|condition| &*condition.kind == READY);
        let no_longer = self.phase.is_terminal() && has_ready;
        if let Some(ready) = self.ready.or_else(|| no_longer.then_some(false)) {
            let ready = if ready { ConditionStatus::True } else { ConditionStatus::False };
            conditions::set(&mut status.conditions, &words.ready, ready, &words.none, now);
        }
        if let Some((kind, value)) = &self.condition {
            conditions::set(&mut status.conditions, kind, *value, &words.none, now);
        }
    }

    /// What the phase means for every container; nothing while none has started.
    fn container_state(&self, now: Time) -> Option<ContainerState> {
        let default_code = i32::from(self.phase == PodPhase::Failed);
        match self.phase {
            PodPhase::Succeeded | PodPhase::Failed => Some(ContainerState::Terminated(Termination {
                exit_code: self.exit_code.unwrap_or(default_code),
                finished_at: Some(now.truncated_to_second()),
            })),
            PodPhase::Running => Some(ContainerState::Running),
            PodPhase::Pending | PodPhase::Unknown => None,
        }
    }
}
