//! What a kubelet knows about one of its pods.

use std::sync::Arc;

use super::container::{ContainerRun, Role, Run};
use crate::engine::Timer;
use crate::objects::{ConditionStatus, NodeId, Pod, PodSpec};
use crate::time::Time;

/// How far a pod has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The container of this position starts when the stage timer expires; all main containers when it is the first
    /// of them.
    Starting(usize),
    /// The init container of this position runs.
    Initializing(usize),
    /// The main containers have been started.
    Running,
    /// All processes are gone; the stage timer says when the node is done with the rest.
    Ending,
    /// Over: the phase is terminal. The stage timer, if armed, deletes the object.
    Ended,
}

/// Why a pod is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// Its object is being deleted.
    Deletion,
    /// Its node shuts down.
    Shutdown,
    /// Its main containers are done; only sidecars are left.
    Finished,
}

/// A stop in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) reason: StopReason,
    /// Seconds between SIGTERM and SIGKILL.
    pub(super) grace_period_s: u32,
    /// SIGKILL, once SIGTERM was sent; the stop timer expires at this instant.
    pub(super) kill_at: Option<Time>,
    /// The sidecars, which go last, have got their SIGTERM.
    pub(super) sidecars_told: bool,
}

/// A readiness probe.
#[derive(Clone, Debug, Default)]
pub(super) struct Probe {
    /// When it runs first, or ran; nothing before the process starts.
    pub(super) first: Option<Time>,
    /// What it finds out when it runs.
    pub(super) finds_ready: bool,
    /// It runs, and has found this.
    pub(super) finding: Option<bool>,
    /// What it had found out when it had run last.
    pub(super) found_ready: bool,
    /// When it runs next, or answers.
    pub(super) timer: Timer,
}

impl Probe {
    /// The process is another one, or none: what has been found of it is of no use.
    pub(super) fn reset(&mut self, first: Option<Time>) {
        self.timer.cancel();
        (self.first, self.finds_ready, self.finding, self.found_ready) = (first, false, None, false);
    }
}

/// A pod on its node.
#[derive(Clone, Debug)]
pub(super) struct PodWork {
    pub(super) node: NodeId,
    pub(super) spec: Arc<PodSpec>,
    pub(super) start_time: Time,
    pub(super) stage: Stage,
    pub(super) stage_timer: Timer,
    /// Init containers, then main containers, in the order of the spec.
    pub(super) containers: Vec<ContainerRun>,
    /// The main containers have passed readiness since the last of them started.
    pub(super) has_become_ready: bool,
    pub(super) ready_timer: Timer,
    /// The readiness probe of the first main container, if it has one.
    pub(super) probe: Option<Probe>,
    pub(super) stop: Option<Stop>,
    pub(super) stop_timer: Timer,
    pub(super) report_timer: Timer,
    /// A condition that a user asked the kubelet to set with a container's end.
    pub(super) exit_condition: Option<(Arc<str>, ConditionStatus)>,
    /// Ended by graceful node shutdown.
    pub(super) is_shut_down: bool,
}

impl PodWork {
    pub(super) fn new(pod: &Pod, node: NodeId, now: Time) -> Self {
        let role = |is_sidecar| if is_sidecar { Role::Sidecar } else { Role::Init };
        let inits =
            pod.spec.init_containers.iter().map(|container| ContainerRun::new(role(container.is_sidecar)));
        let mains = pod.spec.containers.iter().map(|_| ContainerRun::new(Role::Main));
        Self {
            node,
            spec: Arc::clone(&pod.spec),
            start_time: now,
            stage: Stage::Starting(0),
            stage_timer: Timer::default(),
            containers: inits.chain(mains).collect(),
            has_become_ready: false,
            ready_timer: Timer::default(),
            probe: None,
            stop: None,
            stop_timer: Timer::default(),
            report_timer: Timer::default(),
            exit_condition: None,
            is_shut_down: false,
        }
    }

    /// The probe of the first main container, if it has one, has found it ready.
    pub(super) fn passes_probe(&self) -> bool {
        self.probe.as_ref().is_none_or(|probe| probe.found_ready)
    }

    /// Position of the first main container.
    pub(super) fn first_main(&self) -> usize {
        self.spec.init_containers.len()
    }

    /// The main containers have started, or would have if there had been init containers to wait for.
    pub(super) fn is_initialized(&self) -> bool {
        let inits = self.containers.iter().take(self.first_main());
        inits
            .filter(|container| container.role == Role::Init)
            .all(|container| matches!(container.run, Run::Ended(exit) if exit.code == 0))
    }

    /// Every main container has ended for good.
    pub(super) fn is_finished(&self) -> bool {
        let mut mains = self.containers.iter().filter(|container| container.role == Role::Main);
        mains.all(|container| match container.run {
            Run::Ended(exit) => !container.restarts_after(exit, self.spec.restart_policy),
            _ => false,
        })
    }
}
