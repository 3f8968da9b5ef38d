//! The columns that `kubectl get` prints, worked out as the API server's table printers do.
//!
//! The tables are made by the server (`pkg/printers/internalversion`), so what a column shows is a matter of the
//! server's version, not kubectl's. What changed between 1.28 and 1.37 is in [`PrinterFeatures`].

use std::time::Duration;

use towtank_model::objects::{ConditionStatus, Container, ContainerState, ContainerStatus, Pod, Termination};
use towtank_model::version::KubernetesVersion;
use towtank_scenario::ast::{Table, TableCommand};
use towtank_scenario::observation::{EventView, JobView, NodeView, Observation, PodView};

use crate::table::Grid;

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

/// STATUS of `kubectl get jobs`; absent in versions without the column.
pub fn job_status(job: &JobView, printers: PrinterFeatures) -> Option<&'static str> {
    let holds = |kind: &str| {
        let condition = job.conditions.iter().find(|condition| condition.kind == kind);
        condition.is_some_and(|condition| condition.status == "True")
    };
    if !printers.job_status_column {
        return None;
    }
    Some(if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if job.deleting {
        "Terminating"
    } else if holds("Suspended") {
        "Suspended"
    } else if holds("FailureTarget") {
        "FailureTarget"
    } else if printers.job_status_success_criteria && holds("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    })
}

/// COMPLETIONS of `kubectl get jobs`: `2/4`, or `1/1 of 5` for a work queue of five pods.
pub fn job_completions(job: &JobView) -> String {
    let succeeded = job.succeeded;
    match job.completions {
        Some(completions) => format!("{succeeded}/{completions}"),
        None if job.parallelism > 1 => format!("{succeeded}/1 of {}", job.parallelism),
        None => format!("{succeeded}/1"),
    }
}

/// STATUS of `kubectl get nodes`.
pub fn node_status(node: &NodeView) -> String {
    let ready = if node.ready { "Ready" } else { "NotReady" };
    if node.unschedulable { format!("{ready},SchedulingDisabled") } else { ready.to_owned() }
}

/// What is to be seen in the place of a pasted table.
pub fn grid_of(table: &Table, observation: &Observation, version: KubernetesVersion) -> Grid {
    let Some(minicluster) = &table.minicluster else { return grid(table.command, observation, version) };
    let is_meant = |(name, command, _): &&(String, TableCommand, String)| {
        name == minicluster && *command == table.command
    };
    let printed = observation.printed.iter().find(is_meant);
    crate::table::of_flux(table.command, printed.map_or("", |(.., text)| text))
}

/// The table that a `command` of kubectl prints of an observation in this version, generated suffixes of names masked.
fn grid(command: TableCommand, observation: &Observation, version: KubernetesVersion) -> Grid {
    let printers = PrinterFeatures::of(version);
    let owned = |cells: &[&str]| cells.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>();
    let (columns, rows): (Vec<String>, Vec<Vec<String>>) = match command {
        TableCommand::Pods => (
            owned(&["NAME", "READY", "STATUS", "RESTARTS", "AGE", "INDEX", "NODE"]),
            observation.pods.iter().map(pod_row).collect(),
        ),
        TableCommand::Jobs if printers.job_status_column => (
            owned(&["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"]),
            existing_jobs(observation).map(|job| job_row(job, observation.now, printers)).collect(),
        ),
        TableCommand::Jobs => (
            owned(&["NAME", "COMPLETIONS", "DURATION", "AGE"]),
            existing_jobs(observation).map(|job| job_row(job, observation.now, printers)).collect(),
        ),
        TableCommand::Nodes => (
            owned(&["NAME", "STATUS", "ROLES", "AGE", "VERSION"]),
            observation.nodes.iter().map(|node| node_row(node, observation.now, version)).collect(),
        ),
        _ => (
            owned(&["REASON", "TYPE", "OBJECT", "MESSAGE", "COUNT"]),
            observation.events.iter().map(event_row).collect(),
        ),
    };
    Grid { columns, rows }
}

fn existing_jobs(observation: &Observation) -> impl Iterator<Item = &JobView> {
    observation.jobs.iter().filter(|job| job.exists)
}

fn pod_row(pod: &PodView) -> Vec<String> {
    let or_none = |text: &str| if text.is_empty() { "<none>".to_owned() } else { text.to_owned() };
    vec![
        pod_name(pod),
        pod.ready_containers.clone(),
        pod.status.clone(),
        pod.restarts.to_string(),
        age(pod.age),
        pod.index.map_or_else(|| "<none>".to_owned(), |index| index.to_string()),
        or_none(&pod.node),
    ]
}

/// The name of a pod with its generated suffix masked: `work-3-*`, `work-*`, or a name of its own.
pub fn pod_name(pod: &PodView) -> String {
    // A pod that its Job has let go of keeps the name that was generated for it.
    let is_released = pod.job.is_empty() && pod.number > 0;
    let generated = match pod.index {
        _ if is_released => true,
        Some(index) => pod.name == format!("{}-{index}", pod.job),
        None => pod.name == pod.job,
    };
    if generated { format!("{}-*", pod.name) } else { pod.name.clone() }
}

fn job_row(job: &JobView, now: f64, printers: PrinterFeatures) -> Vec<String> {
    let duration =
        job.start_time.map_or_else(String::new, |start| age(job.completion_time.unwrap_or(now) - start));
    let mut row = vec![job.name.clone()];
    row.extend(job_status(job, printers).map(str::to_owned));
    row.extend([job_completions(job), duration, age(job.age)]);
    row
}

fn node_row(node: &NodeView, now: f64, version: KubernetesVersion) -> Vec<String> {
    let kubelet = format!("v{}", version.full());
    vec![node.name.clone(), node_status(node), "<none>".to_owned(), age(now), kubelet]
}

fn event_row(event: &EventView) -> Vec<String> {
    vec![
        event.reason.clone(),
        event.kind.clone(),
        event.object.clone(),
        event.message.clone(),
        event.count.to_string(),
    ]
}

fn age(seconds: f64) -> String {
    human_duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// A length of time as AGE and DURATION show it (`k8s.io/apimachinery/pkg/util/duration.HumanDuration`): `40s`,
/// `5m12s`, `3h5m`, `2d4h`.
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
        _ => format!("{days}d"),
    }
}
