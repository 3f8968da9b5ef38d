//! From the model's stored state to an observation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use towtank_model::objects::{
    COMPLETION_INDEX, CONTROLLER_UID_LABEL, ConditionStatus, ContainerState, JOB_NAME_LABEL, Job,
    JobConditionType, LEGACY_CONTROLLER_UID_LABEL, LEGACY_JOB_NAME_LABEL, Node, Pod, Uid,
};
use towtank_model::server::{EventRecord, Server};
use towtank_model::simulation::Touched;
use towtank_model::time::Time;
use towtank_model::version::KubernetesVersion;
use towtank_scenario::ast::{Action, Claim, Clause, Manifest, Scenario, TableCommand};
use towtank_scenario::observation::{
    EventView, JobConditionView, JobView, MiniClusterView, NodeView, Observation, PodView,
};

use super::identity::Identities;
use super::seconds;
use super::upper::Upper;
use crate::kubectl::{self, PrinterFeatures};
use crate::world::PodChanges;

/// Labels that the API server and the Job controller put on every pod of a Job.
const GENERATED_LABELS: [&str; 5] = [
    JOB_NAME_LABEL,
    LEGACY_JOB_NAME_LABEL,
    CONTROLLER_UID_LABEL,
    LEGACY_CONTROLLER_UID_LABEL,
    COMPLETION_INDEX,
];

/// Fills observations.
pub(super) struct Viewer {
    printers: PrinterFeatures,
    /// Jobs that are shown whether they exist or not.
    jobs: Vec<String>,
    /// What Events are about: names of all Jobs that have ever been stored.
    names: Vec<(Uid, String)>,
    /// MiniClusters that are shown whether they exist or not.
    miniclusters: Vec<String>,
    /// Commands of Flux whose output is wanted, and at the leads of which MiniClusters.
    printed: Vec<(String, TableCommand)>,
    /// Some clause reads the age of a pod, which changes by itself.
    shows_age: bool,
    /// What has to be looked at anew.
    touched: Touched,
    /// Where the pods stand that are shown.
    places: BTreeMap<Uid, Place>,
    /// The pods that have been looked at anew since somebody asked.
    changes: PodChanges,
}

/// Where a pod stands among the others: Job, index or number, incarnation, name.
type Place = (String, i64, i64, String, u64);

fn place(pod: &PodView) -> (&str, i64, i64, &str, u64) {
    (&pod.job, pod.index.unwrap_or(pod.number), pod.incarnation, &pod.name, pod.uid)
}

impl Viewer {
    pub(super) fn new(scenario: &Scenario, version: KubernetesVersion) -> Self {
        Self {
            printers: PrinterFeatures::of(version),
            jobs: named(scenario, |manifest| match manifest {
                Manifest::Job(key, _) | Manifest::MiniCluster(key, _) => Some(&key.name),
                Manifest::Pod(..) => None,
            }),
            names: Vec::new(),
            miniclusters: named(scenario, |manifest| match manifest {
                Manifest::MiniCluster(key, _) => Some(&key.name),
                Manifest::Job(..) | Manifest::Pod(..) => None,
            }),
            printed: Vec::new(),
            shows_age: clauses(scenario).any(reads_age),
            touched: Touched { nodes: true, ..Touched::default() },
            places: BTreeMap::new(),
            changes: PodChanges::new(),
        }
    }

    /// What is wanted of commands from now on; whether that is anything else than before.
    pub(super) fn show(&mut self, commands: Vec<(String, TableCommand)>) -> bool {
        let is_new = self.printed != commands;
        self.printed = commands;
        is_new
    }

    /// These have changed.
    pub(super) fn touch(&mut self, touched: Touched) {
        self.touched.pods.extend(touched.pods);
        self.touched.nodes |= touched.nodes;
    }

    /// The pods that are shown otherwise than when this was last called.
    pub(super) fn take_changes(&mut self) -> PodChanges {
        std::mem::take(&mut self.changes)
    }

    /// Shows the state of `server` at `now`.
    pub(super) fn fill(
        &mut self,
        observation: &mut Observation,
        server: &Server,
        upper: &impl Upper,
        identities: &Identities,
        now: Time,
    ) {
        self.fill_miniclusters(observation, server, upper);
        if std::mem::take(&mut self.touched.nodes) {
            observation.nodes.clear();
            observation.nodes.extend(server.nodes().map(|node| node_view(node)));
            // Pods show the names of their nodes.
            self.touched.pods.extend(server.pods().map(|pod| pod.uid));
        }
        for uid in std::mem::take(&mut self.touched.pods) {
            self.fill_pod(uid, &mut observation.pods, server, identities, now);
        }
        self.pass(observation, server, upper, now);
        // Events are only ever added to, or counted up.
        observation.events.truncate(server.events().len());
        for (view, record) in observation.events.iter_mut().zip(server.events()) {
            view.count = i64::from(record.count);
        }
        for record in &server.events()[observation.events.len()..] {
            observation.events.push(self.event_view(record, identities));
        }
    }

    /// Shows the same state at another time.
    pub(super) fn pass(
        &mut self,
        observation: &mut Observation,
        server: &Server,
        upper: &impl Upper,
        now: Time,
    ) {
        observation.now = seconds(now - Time::ZERO);
        self.fill_jobs(observation, server, now);
        if self.shows_age {
            for pod in &mut observation.pods {
                pod.age = age(now, pod.created);
            }
        }
        observation.printed.clear();
        for (name, command) in &self.printed {
            if let Some(text) = upper.print(name, command.as_str(), now) {
                observation.printed.push((name.clone(), *command, text));
            }
        }
    }

    fn fill_miniclusters(&self, observation: &mut Observation, server: &Server, upper: &impl Upper) {
        observation.miniclusters.clear();
        observation.miniclusters.extend(upper.views(server));
        for name in &self.miniclusters {
            if !observation.miniclusters.iter().any(|known| known.name == *name) {
                let absent = MiniClusterView { name: name.clone(), ..MiniClusterView::default() };
                observation.miniclusters.push(absent);
            }
        }
        observation.miniclusters.sort_by(|one, other| one.name.cmp(&other.name));
    }

    fn fill_jobs(&mut self, observation: &mut Observation, server: &Server, now: Time) {
        observation.jobs.clear();
        for job in server.jobs() {
            if !self.names.iter().any(|(uid, _)| *uid == job.uid) {
                self.names.push((job.uid, job.key.name.to_string()));
            }
            observation.jobs.push(job_view(job, now));
        }
        for name in &self.jobs {
            if !observation.jobs.iter().any(|job| job.name == *name) {
                observation.jobs.push(JobView { name: name.clone(), ..JobView::default() });
            }
        }
        observation.jobs.sort_by(|one, other| one.name.cmp(&other.name));
    }

    /// Shows one pod as it is now, in its place.
    fn fill_pod(
        &mut self,
        uid: Uid,
        pods: &mut Vec<PodView>,
        server: &Server,
        identities: &Identities,
        now: Time,
    ) {
        let view = server.pod(uid).map(|pod| pod_view(pod, server, identities, self.printers, now));
        let before = self.places.remove(&uid).and_then(|(job, number, incarnation, name, uid)| {
            let before = (&*job, number, incarnation, &*name, uid);
            pods.binary_search_by(|pod| place(pod).cmp(&before)).ok()
        });
        if let Some(view) = &view {
            let (job, number, incarnation, name, number_for_life) = place(view);
            let own = (job.to_owned(), number, incarnation, name.to_owned(), number_for_life);
            self.places.insert(uid, own);
        }
        match (before, &view) {
            (Some(at), Some(view)) if pods.get(at).is_some_and(|pod| place(pod) == place(view)) => {
                pods[at] = view.clone();
            }
            (before, view) => {
                if let Some(at) = before {
                    pods.remove(at);
                }
                if let Some(view) = view {
                    let at = pods.partition_point(|pod| place(pod) < place(view));
                    pods.insert(at, view.clone());
                }
            }
        }
        self.changes.insert(uid.0.into(), view);
    }

    fn event_view(&self, record: &EventRecord, identities: &Identities) -> EventView {
        let job = self.names.iter().find(|(uid, _)| *uid == record.draft.job);
        EventView {
            reason: record.draft.reason.to_string(),
            kind: if record.draft.is_warning { "Warning" } else { "Normal" }.to_owned(),
            object: format!("job/{}", job.map_or("", |(_, name)| name)),
            message: identities.mask(&record.draft.message),
            count: i64::from(record.count),
        }
    }
}

/// Objects that the scenario applies: they are shown from the start, as not existing yet.
fn named(scenario: &Scenario, name: impl Fn(&Manifest) -> Option<&Arc<str>>) -> Vec<String> {
    let manifests = scenario.steps.iter().flat_map(|step| match &step.action.value {
        Action::Apply(manifests) => manifests.as_slice(),
        _ => &[],
    });
    let mut names: Vec<String> = manifests.filter_map(name).map(|name| name.to_string()).collect();
    names.sort();
    names.dedup();
    names
}

fn clauses(scenario: &Scenario) -> impl Iterator<Item = &Clause> {
    scenario.steps.iter().flat_map(|step| &step.expect).flat_map(|expect| &expect.clauses)
}

/// Whether a clause can see how old a pod is.
fn reads_age(clause: &Clause) -> bool {
    match &clause.claim {
        Claim::Table(table) => table.minicluster.is_none(),
        Claim::Cel(expression) => expression.text.contains("age"),
        Claim::Job { .. } | Claim::Refused(_) => false,
    }
}

/// Age as kubectl shows it: in whole seconds, because that is what a creation timestamp has.
fn age(now: Time, creation_time: Time) -> f64 {
    Duration::from_secs((now - creation_time).as_secs()).as_secs_f64()
}

fn pod_view(
    pod: &Pod,
    server: &Server,
    identities: &Identities,
    printers: PrinterFeatures,
    now: Time,
) -> PodView {
    let identity = identities.of(pod.uid);
    let columns = kubectl::pod_columns(pod, printers);
    let owner = pod.owner.as_ref().filter(|owner| owner.is_job).map_or("", |owner| &*owner.name);
    let name = identity.map_or(&*pod.key.name, |identity| &identity.masked_name);
    let labels = pod.labels.iter().filter(|(key, _)| !GENERATED_LABELS.contains(&&***key));
    PodView {
        uid: pod.uid.0.into(),
        created: pod.creation_time,
        job: identity.and_then(|identity| identity.job.as_deref()).unwrap_or_default().to_owned(),
        owner: owner.to_owned(),
        index: pod.index.get().map(i64::from),
        incarnation: identity.map_or(0, |identity| i64::from(identity.incarnation)),
        number: identity.map_or(0, |identity| i64::from(identity.number)),
        name: name.strip_suffix("-*").unwrap_or(name).to_owned(),
        phase: pod.status.phase.as_str().to_owned(),
        status: columns.status,
        ready: pod.is_ready(),
        ready_containers: columns.ready,
        restarts: i64::from(columns.restarts),
        node: pod.node.and_then(|id| server.node(id)).map_or_else(String::new, |node| node.name.to_string()),
        deleting: pod.is_deleting(),
        finalizer: pod.tracked,
        reason: pod.status.reason.to_string(),
        conditions: pod
            .status
            .conditions
            .iter()
            .filter(|condition| condition.status == ConditionStatus::True)
            .map(|condition| condition.kind.to_string())
            .collect(),
        exit_code: pod.status.containers.iter().find_map(|container| match &container.state {
            ContainerState::Terminated(termination) => Some(i64::from(termination.exit_code)),
            ContainerState::Waiting(_) | ContainerState::Running => None,
        }),
        failure_count: pod.index_failure_count.map(i64::from),
        ignored_failure_count: pod.index_ignored_failure_count.map(i64::from),
        labels: labels.map(|(key, value)| format!("{key}={value}")).collect(),
        age: age(now, pod.creation_time),
    }
}

fn job_view(job: &Job, now: Time) -> JobView {
    let status = &job.status;
    let holds = |kind| status.true_condition(kind);
    let uncounted = status.uncounted.as_ref();
    let length = |pods: usize| i64::try_from(pods).unwrap_or(i64::MAX);
    JobView {
        name: job.key.name.to_string(),
        exists: true,
        deleting: job.deletion_time.is_some(),
        active: i64::from(status.active),
        ready: status.ready.map(i64::from),
        succeeded: i64::from(status.succeeded),
        failed: i64::from(status.failed),
        terminating: status.terminating.map(i64::from),
        completed_indexes: status.completed_indexes.to_string(),
        failed_indexes: status.failed_indexes.as_deref().map(str::to_owned),
        conditions: status
            .conditions
            .iter()
            .map(|condition| JobConditionView {
                kind: condition.kind.as_str().to_owned(),
                status: condition.status.as_str().to_owned(),
                reason: condition.reason.to_string(),
                message: condition.message.to_string(),
            })
            .collect(),
        complete: holds(JobConditionType::Complete).is_some(),
        failed_condition: holds(JobConditionType::Failed).is_some(),
        failed_reason: holds(JobConditionType::Failed).map_or_else(String::new, |c| c.reason.to_string()),
        suspended: holds(JobConditionType::Suspended).is_some(),
        suspend: job.spec.suspend,
        parallelism: i64::from(job.spec.parallelism),
        completions: job.spec.completions.map(i64::from),
        backoff_limit: i64::from(job.spec.backoff_limit),
        start_time: status.start_time.map(|time| seconds(time - Time::ZERO)),
        completion_time: status.completion_time.map(|time| seconds(time - Time::ZERO)),
        generation: i64::try_from(job.generation).unwrap_or(i64::MAX),
        uncounted_succeeded: uncounted.map_or(0, |pods| length(pods.succeeded.len())),
        uncounted_failed: uncounted.map_or(0, |pods| length(pods.failed.len())),
        age: age(now, job.creation_time),
    }
}

fn node_view(node: &Node) -> NodeView {
    NodeView {
        name: node.name.to_string(),
        ready: node.is_ready,
        unschedulable: node.unschedulable,
        taints: node.taints.iter().map(|taint| taint.key.to_string()).collect(),
    }
}
