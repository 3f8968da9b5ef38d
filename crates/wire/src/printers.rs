//! What the API server's table printers make of rows (`pkg/printers/internalversion`).
//!
//! The tables that `kubectl get` prints are made by the server, so what a column shows is a matter of the server's version,
//! not kubectl's. What changed between 1.28 and 1.37 is in [`PrinterFeatures`].

use std::time::Duration;

use towtank_model::objects::{ConditionStatus, Container, ContainerState, ContainerStatus, Pod, Termination};
use towtank_model::version::KubernetesVersion;

/// Reason of PodScheduled while scheduling gates hold a pod back; kubectl shows it as the pod's status.
const SCHEDULING_GATED: &str = "SchedulingGated";
/// `status.reason` of a pod whose node is out of reach.
const NODE_LOST: &str = "NodeLost";

/// What a version's table printers do differently from another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrinterFeatures {
    /// `kubectl get jobs` has a column STATUS (from 1.30).
    pub job_status_column: bool,
    /// That column can show `SuccessCriteriaMet` (from 1.34).
    pub job_status_success_criteria: bool,
    /// A pod that has ended and is being deleted keeps showing how it ended; before 1.31 it shows `Terminating`.
    pub ended_pod_keeps_status: bool,
    /// A pod of several containers shows the failed one rather than `Completed` (from 1.35).
    pub failed_container_shows: bool,
}

impl PrinterFeatures {
    /// What the printers of `version` do.
    pub const fn of(version: KubernetesVersion) -> Self {
        let minor = version.minor();
        Self {
            job_status_column: minor >= 30,
            job_status_success_criteria: minor >= 34,
            ended_pod_keeps_status: minor >= 31,
            failed_container_shows: minor >= 35,
        }
    }
}

/// READY, STATUS and RESTARTS of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodColumns {
    /// Containers that are ready, of how many: `1/1`.
    pub ready: String,
    /// What kubectl makes of phase, reasons and containers.
    pub status: String,
    /// Restarts of all containers that count.
    pub restarts: i32,
}

/// What the containers of a pod come to.
struct Summary {
    reason: String,
    ready: usize,
    restarts: i32,
}

/// READY, STATUS and RESTARTS of `pod`.
pub fn pod_columns(pod: &Pod, printers: PrinterFeatures) -> PodColumns {
    let total = pod.spec.containers.len() + pod.spec.init_containers.iter().filter(|c| c.is_sidecar).count();
    let mut summary = Summary { reason: base_reason(pod), ready: 0, restarts: 0 };
    let sidecar_restarts = match summarize_init_containers(pod, &mut summary) {
        InitState::Pending => None,
        InitState::Done { sidecar_restarts } => Some(sidecar_restarts),
    };
    if let Some(sidecar_restarts) = sidecar_restarts {
        summary.restarts = sidecar_restarts;
        summarize_containers(pod, printers, &mut summary);
    }
    if pod.is_deleting() && &*pod.status.reason == NODE_LOST {
        summary.reason = "Unknown".to_owned();
    } else if pod.is_deleting() && !(printers.ended_pod_keeps_status && pod.status.phase.is_terminal()) {
        summary.reason = "Terminating".to_owned();
    }
    PodColumns {
        ready: format!("{}/{total}", summary.ready),
        status: summary.reason,
        restarts: summary.restarts,
    }
}

/// The status before containers are looked at.
fn base_reason(pod: &Pod) -> String {
    let gated = pod
        .status
        .conditions
        .iter()
        .any(|condition| &*condition.kind == "PodScheduled" && &*condition.reason == SCHEDULING_GATED);
    if gated {
        SCHEDULING_GATED.to_owned()
    } else if pod.status.reason.is_empty() {
        pod.status.phase.as_str().to_owned()
    } else {
        (*pod.status.reason).to_owned()
    }
}

/// Where a pod is in running its init containers.
enum InitState {
    /// One of them has yet to end, so the normal containers are not looked at.
    Pending,
    /// All are through.
    Done {
        /// Restarts of sidecars, which count on; those of other init containers are forgotten.
        sidecar_restarts: i32,
    },
}

fn summarize_init_containers(pod: &Pod, summary: &mut Summary) -> InitState {
    let mut sidecar_restarts = 0;
    for (position, status) in pod.status.init_containers.iter().enumerate() {
        let is_sidecar =
            pod.spec.init_containers.iter().any(|c: &Container| c.name == status.name && c.is_sidecar);
        summary.restarts += status.restart_count;
        if is_sidecar {
            sidecar_restarts += status.restart_count;
        }
        summary.reason = match &status.state {
            ContainerState::Terminated(Termination { exit_code: 0, .. }) => continue,
            ContainerState::Running if is_sidecar => {
                summary.ready += usize::from(status.ready);
                continue;
            }
            ContainerState::Terminated(_) => "Init:Error".to_owned(),
            ContainerState::Waiting(reason) if !reason.is_empty() && &**reason != "PodInitializing" => {
                format!("Init:{reason}")
            }
            ContainerState::Waiting(_) | ContainerState::Running => {
                format!("Init:{position}/{}", pod.spec.init_containers.len())
            }
        };
        let initialized = pod.condition("Initialized").is_some_and(|c| c.status == ConditionStatus::True);
        return if initialized { InitState::Done { sidecar_restarts } } else { InitState::Pending };
    }
    InitState::Done { sidecar_restarts }
}

/// Looks at the normal containers from the last to the first: the first of the pod decides in the end.
fn summarize_containers(pod: &Pod, printers: PrinterFeatures, summary: &mut Summary) {
    let mut any_runs = false;
    let mut failure = None;
    for status in pod.status.containers.iter().rev() {
        let ContainerStatus { restart_count, ready, state, .. } = status;
        summary.restarts += restart_count;
        match state {
            ContainerState::Waiting(reason) if !reason.is_empty() => summary.reason = (**reason).to_owned(),
            ContainerState::Terminated(termination) => {
                let succeeded = termination.exit_code == 0;
                summary.reason = if succeeded { "Completed" } else { "Error" }.to_owned();
                if !succeeded {
                    failure = Some(summary.reason.clone());
                }
            }
            ContainerState::Running if *ready => {
                any_runs = true;
                summary.ready += 1;
            }
            ContainerState::Running | ContainerState::Waiting(_) => {}
        }
    }
    if summary.reason != "Completed" {
        return;
    }
    let failure = failure.filter(|_| printers.failed_container_shows);
    if any_runs && pod.is_ready() {
        summary.reason = "Running".to_owned();
    } else if let Some(failure) = failure {
        summary.reason = failure;
    } else if any_runs {
        summary.reason = "NotReady".to_owned();
    }
}

/// A length of time as AGE and DURATION show it (`k8s.io/apimachinery/pkg/util/duration.HumanDuration`): `40s`,
/// `5m12s`, `3h5m`, `2d4h`, `3y`.
pub fn human_duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    let (minutes, hours, days) = (secs / 60, secs / 3_600, secs / 86_400);
    let pair = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large}{large_unit}"),
        small => format!("{large}{large_unit}{small}{small_unit}"),
    };
    match secs {
        0..120 => format!("{secs}s"),
        120..600 => pair(minutes, "m", secs % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}
