//! What a world shows at one instant, in comparable form: names masked, pods known as (Job, index, incarnation).
//!
//! A world fills an [`Observation`]; pasted tables and CEL conditions are both read from it, so that they cannot
//! disagree. In CEL the variables are its fields (`pods`, `jobs`, `nodes`, `events`, `now`) and `job`, the only Job of
//! the scenario (a scenario with several says `jobs.exists(j, j.name == "…" && …)`). [`Observation::sample`] is what
//! conditions are checked against before anything runs: a field that it does not have does not exist.

use serde::Serialize;
use towtank_model::time::Time;

use crate::ast::TableCommand;

/// Everything that can be seen at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// Time since the scenario began, in seconds.
    pub now: f64,
    /// Pods, in order of Job, then index or number, then incarnation.
    pub pods: Vec<PodView>,
    /// Jobs, by name.
    pub jobs: Vec<JobView>,
    /// Nodes, in order of creation.
    pub nodes: Vec<NodeView>,
    /// Events, in order of their first occurrence.
    pub events: Vec<EventView>,
    /// MiniClusters, by name.
    pub miniclusters: Vec<MiniClusterView>,
    /// What the commands of Flux print that the scenario pastes tables of, and at the lead of which MiniCluster.
    #[serde(skip)]
    pub printed: Vec<(String, TableCommand, String)>,
}

/// A MiniCluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MiniClusterView {
    /// Its name.
    pub name: String,
    /// It exists. A MiniCluster that the scenario names and that does not exist (not yet, or no longer) has false here and nothing
    /// else.
    pub exists: bool,
    /// What is wanted.
    pub spec: MiniClusterSpecView,
    /// What there is.
    pub status: MiniClusterStatusView,
    /// What the operator or the lead cannot do, and why; empty when all can be done.
    pub refusal: String,
    /// Its Flux, as the lead tells it.
    pub flux: FluxView,
}

/// `spec` of a MiniCluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MiniClusterSpecView {
    /// Pods that are wanted.
    pub size: i64,
}

/// `status` of a MiniCluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MiniClusterStatusView {
    /// Pods that the Job was told to have; with `compat: upstream`, what the operator has written last.
    pub size: i64,
    /// Pods that are ready.
    pub ready: i64,
    /// Brokers of these pods that are online.
    pub online: i64,
    /// Indexes whose pods have succeeded.
    pub completed_indexes: String,
    /// Ranks that Flux was told about.
    pub maximum_size: i64,
    /// Types of the conditions that are True.
    pub conditions: Vec<String>,
}

/// A Flux instance; zeros when no lead answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FluxView {
    /// The lead answers.
    pub up: bool,
    /// The lead has reached its quorum.
    pub running: bool,
    /// Ranks that are online.
    pub online: i64,
    /// Ranks that are drained, busy ones included.
    pub drained: i64,
    /// Jobs that have not ended.
    pub jobs: i64,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodView {
    /// A number that it keeps for life; nobody sees it.
    #[serde(skip)]
    pub uid: u64,
    /// When it was created: its age follows from that.
    #[serde(skip)]
    pub created: Time,
    /// Name of the Job that it is known by: the first that controlled it; empty without one.
    pub job: String,
    /// Name of the Job that controls it now; empty before adoption and after release.
    pub owner: String,
    /// Completion index; null without one.
    pub index: Option<i64>,
    /// Which pod of its index this is, in order of creation, from 1; of a NonIndexed Job, the same as `number`.
    pub incarnation: i64,
    /// Which pod of its Job this is, in order of creation, from 1; 0 without a Job.
    pub number: i64,
    /// Name without the generated suffix: `work-3` for index 3 of Job `work`, `work` for a pod of a NonIndexed Job.
    pub name: String,
    /// `status.phase`: `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub phase: String,
    /// The STATUS column of kubectl: `Running`, `Completed`, `Terminating`, `Init:0/1`, ….
    pub status: String,
    /// The Ready condition is True.
    pub ready: bool,
    /// Containers that are ready, of those that there are: the READY column.
    pub ready_containers: String,
    /// Restarts of all containers.
    pub restarts: i64,
    /// Node that it is bound to; empty before.
    pub node: String,
    /// It has a deletion timestamp.
    pub deleting: bool,
    /// It carries the finalizer `batch.kubernetes.io/job-tracking`.
    pub finalizer: bool,
    /// `status.reason`; may be empty.
    pub reason: String,
    /// Types of its conditions that are True.
    pub conditions: Vec<String>,
    /// Exit code of the first container that has ended; null before.
    pub exit_code: Option<i64>,
    /// Annotation `batch.kubernetes.io/job-index-failure-count`; null without it.
    pub failure_count: Option<i64>,
    /// Annotation `batch.kubernetes.io/job-index-ignored-failure-count`; null without it.
    pub ignored_failure_count: Option<i64>,
    /// Labels as `key=value`, sorted, without those that the API server adds for the Job.
    pub labels: Vec<String>,
    /// Seconds since it was created.
    pub age: f64,
}

/// A Job.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "one flag per fact that a condition can ask for")]
pub struct JobView {
    /// Its name.
    pub name: String,
    /// It exists. A Job that the scenario names and that does not exist (not yet, or no longer) has false here and
    /// nothing else.
    pub exists: bool,
    /// It has a deletion timestamp.
    pub deleting: bool,
    /// `status.active`.
    pub active: i64,
    /// `status.ready`; null when it is not reported.
    pub ready: Option<i64>,
    /// `status.succeeded`.
    pub succeeded: i64,
    /// `status.failed`.
    pub failed: i64,
    /// `status.terminating`; null when it is not reported.
    pub terminating: Option<i64>,
    /// `status.completedIndexes`; may be empty.
    pub completed_indexes: String,
    /// `status.failedIndexes`; null when it is not reported.
    pub failed_indexes: Option<String>,
    /// `status.conditions`, in order.
    pub conditions: Vec<JobConditionView>,
    /// The condition Complete is True.
    pub complete: bool,
    /// The condition Failed is True.
    pub failed_condition: bool,
    /// Reason of the condition Failed, when it is True; else empty.
    pub failed_reason: String,
    /// The condition Suspended is True.
    pub suspended: bool,
    /// `spec.suspend`.
    pub suspend: bool,
    /// `spec.parallelism`.
    pub parallelism: i64,
    /// `spec.completions`; null in work-queue Jobs.
    pub completions: Option<i64>,
    /// `spec.backoffLimit`.
    pub backoff_limit: i64,
    /// `status.startTime`, in seconds since the scenario began; null before.
    pub start_time: Option<f64>,
    /// `status.completionTime`, in seconds since the scenario began; null before.
    pub completion_time: Option<f64>,
    /// `metadata.generation`.
    pub generation: i64,
    /// Names in `status.uncountedTerminatedPods.succeeded`: how many.
    pub uncounted_succeeded: i64,
    /// Names in `status.uncountedTerminatedPods.failed`: how many.
    pub uncounted_failed: i64,
    /// Seconds since it was created.
    pub age: f64,
}

/// One entry of a Job's `status.conditions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobConditionView {
    /// `Complete`, `Failed`, `Suspended`, `FailureTarget` or `SuccessCriteriaMet`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Machine-readable cause; may be empty.
    pub reason: String,
    /// Human-readable cause; may be empty.
    pub message: String,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// The Ready condition is True.
    pub ready: bool,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// Keys of its taints.
    pub taints: Vec<String>,
}

/// A `v1` Event.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// `SuccessfulCreate`, ….
    pub reason: String,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about: `job/NAME`.
    pub object: String,
    /// Human-readable text, generated suffixes of pod names masked.
    pub message: String,
    /// How often.
    pub count: i64,
}

impl Observation {
    /// An observation in which every list has an element and every optional value is there: the type of all others.
    pub fn sample() -> Self {
        Self {
            pods: vec![PodView {
                index: Some(0),
                exit_code: Some(0),
                failure_count: Some(0),
                ignored_failure_count: Some(0),
                conditions: vec![String::new()],
                labels: vec![String::new()],
                ..PodView::default()
            }],
            jobs: vec![JobView {
                exists: true,
                ready: Some(0),
                terminating: Some(0),
                failed_indexes: Some(String::new()),
                conditions: vec![JobConditionView::default()],
                completions: Some(0),
                start_time: Some(0.0),
                completion_time: Some(0.0),
                ..JobView::default()
            }],
            nodes: vec![NodeView { taints: vec![String::new()], ..NodeView::default() }],
            events: vec![EventView::default()],
            miniclusters: vec![MiniClusterView {
                exists: true,
                status: MiniClusterStatusView {
                    conditions: vec![String::new()],
                    ..MiniClusterStatusView::default()
                },
                ..MiniClusterView::default()
            }],
            printed: Vec::new(),
            now: 0.0,
        }
    }

    /// The values of the CEL variables. `jobs` are those that exist; `job` is there when the scenario knows one Job, which
    /// says itself whether it exists.
    pub fn variables(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut variables = match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(fields)) => fields,
            // Serialising these structs cannot fail: no maps with odd keys, no foreign types.
            Ok(_) | Err(_) => serde_json::Map::new(),
        };
        if let Some(serde_json::Value::Array(jobs)) = variables.get_mut("jobs") {
            jobs.retain(|job| job["exists"] == true);
        }
        if let Some(serde_json::Value::Array(miniclusters)) = variables.get_mut("miniclusters") {
            miniclusters.retain(|minicluster| minicluster["exists"] == true);
        }
        if let [minicluster] = self.miniclusters.as_slice()
            && let (Ok(view), Ok(flux)) =
                (serde_json::to_value(minicluster), serde_json::to_value(&minicluster.flux))
        {
            variables.insert("minicluster".to_owned(), view);
            variables.insert("flux".to_owned(), flux);
        }
        if let [job] = self.jobs.as_slice()
            && let Ok(job) = serde_json::to_value(job)
        {
            variables.insert("job".to_owned(), job);
        }
        variables
    }
}
