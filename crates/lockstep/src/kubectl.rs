//! The columns that `kubectl get` prints, worked out as the API server's table printers do.
//!
//! The tables are made by the server (`pkg/printers/internalversion`), so what a column shows is a matter of the
//! server's version, not kubectl's. What changed between 1.28 and 1.37 is in [`PrinterFeatures`]; the columns of pods are
//! made where the wire forms are.

use std::time::Duration;

use towtank_model::version::KubernetesVersion;
use towtank_scenario::ast::{Table, TableCommand};
use towtank_scenario::observation::{EventView, JobView, NodeView, Observation, PodView};

pub use towtank_wire::printers::{PodColumns, PrinterFeatures, human_duration, pod_columns};

use crate::table::Grid;

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
