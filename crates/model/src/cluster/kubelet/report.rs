//! What a kubelet reports about a pod: status from state.

use std::sync::Arc;

use super::container::{ContainerRun, KILLED, Role, Run};
use super::work::{PodWork, Stage};
use crate::cluster::conditions::{self, Words};
use crate::objects::ConditionStatus;
use crate::objects::{Container, ContainerState, ContainerStatus, PodPhase, PodStatus, Termination};
use crate::time::Time;
use crate::version::Features;

impl PodWork {
    /// `status.phase` (`getPhase` of the kubelet, and its rule that a pod that has ended is Succeeded or Failed).
    pub(super) fn phase(&self) -> PodPhase {
        let mut mains = self.containers.iter().filter(|container| container.role == Role::Main);
        if self.stage == Stage::Ended {
            let succeeded = mains.all(|container| container.last_exit().is_some_and(|exit| exit.code == 0));
            return if succeeded { PodPhase::Succeeded } else { PodPhase::Failed };
        }
        if mains.all(|container| container.run != Run::Waiting) {
            PodPhase::Running
        } else {
            PodPhase::Pending
        }
    }

    /// All containers run and are ready.
    pub(super) fn is_ready(&self) -> bool {
        self.has_become_ready && self.passes_probe() && self.stage == Stage::Running && self.mains_run()
    }

    /// No main container is known to have ended.
    pub(super) fn mains_run(&self) -> bool {
        let mut mains = self.containers.iter().filter(|container| container.role == Role::Main);
        mains.all(|container| matches!(container.run, Run::Running { .. } | Run::Exited(_)))
    }

    /// Writes what the kubelet knows into a status; conditions of others stay.
    pub(super) fn write_to(&self, status: &mut PodStatus, words: &Words, features: &Features, now: Time) {
        status.phase = self.phase();
        status.start_time = status.start_time.or(Some(self.start_time.truncated_to_second()));
        let inits = self.spec.init_containers.len();
        let (init, main) = self.containers.split_at(inits.min(self.containers.len()));
        status.init_containers = self.statuses(&self.spec.init_containers, init, words);
        status.containers = self.statuses(&self.spec.containers, main, words);
        let (ready, reason) = self.ready_condition(words);
        conditions::set(&mut status.conditions, &words.ready, ready, reason, now);
        if let Some((kind, value)) = &self.exit_condition {
            conditions::set(&mut status.conditions, kind, *value, &words.none, now);
        }
        if self.stage == Stage::Ended && self.is_shut_down {
            status.reason = Arc::clone(&words.terminated);
            let reason = &words.termination_by_kubelet;
            words.set_disruption_target(&mut status.conditions, features, reason, now);
        }
    }

    fn ready_condition<'a>(&self, words: &'a Words) -> (ConditionStatus, &'a Arc<str>) {
        match self.phase() {
            PodPhase::Succeeded => (ConditionStatus::False, &words.pod_completed),
            PodPhase::Failed => (ConditionStatus::False, &words.pod_failed),
            _ if self.is_ready() => (ConditionStatus::True, &words.none),
            _ => (ConditionStatus::False, &words.containers_not_ready),
        }
    }

    fn statuses(&self, specs: &[Container], runs: &[ContainerRun], words: &Words) -> Vec<ContainerStatus> {
        let status = |(position, (spec, run)): (usize, (&Container, &ContainerRun))| ContainerStatus {
            name: Arc::clone(&spec.name),
            restart_count: run.restarts,
            ready: self.is_container_ready(run)
                && (run.role != Role::Main || position > 0 || self.passes_probe()),
            state: self.state_of(run, words),
        };
        specs.iter().zip(runs).enumerate().map(status).collect()
    }

    fn is_container_ready(&self, container: &ContainerRun) -> bool {
        match (container.role, container.run) {
            (Role::Init, Run::Ended(exit)) => exit.code == 0,
            (Role::Init, _) => false,
            (Role::Sidecar, run) => matches!(run, Run::Running { .. }) && self.stage != Stage::Ended,
            (Role::Main, run) => {
                self.has_become_ready
                    && self.stage == Stage::Running
                    && matches!(run, Run::Running { .. } | Run::Exited(_))
            }
        }
    }

    fn state_of(&self, container: &ContainerRun, words: &Words) -> ContainerState {
        let is_over = self.stage == Stage::Ended;
        match container.run {
            Run::Running { .. } | Run::Exited(_) if !is_over => ContainerState::Running,
            Run::Ended(exit) | Run::Exited(exit) => terminated(exit.code, Some(exit.at)),
            Run::BackingOff(exit) if is_over => terminated(exit.code, Some(exit.at)),
            Run::BackingOff(_) => waiting(&words.crash_loop_back_off),
            // A container of which nothing is known when the pod has ended counts as lost.
            Run::Waiting | Run::Running { .. } if is_over && self.is_initialized() => {
                terminated(KILLED, None)
            }
            Run::Waiting | Run::Running { .. } if self.spec.init_containers.is_empty() => {
                waiting(&words.container_creating)
            }
            Run::Waiting | Run::Running { .. } => waiting(&words.pod_initializing),
        }
    }
}

fn waiting(reason: &Arc<str>) -> ContainerState {
    ContainerState::Waiting(Arc::clone(reason))
}

fn terminated(exit_code: i32, at: Option<Time>) -> ContainerState {
    ContainerState::Terminated(Termination { exit_code, finished_at: at.map(Time::truncated_to_second) })
}
