//! The observation trace: what was to be seen, change by change, as text that a person can review.
//!
//! ```text
//! --- kill the worker
//! t=61.2s     pod flux-sample/2#1 Running→Completed
//! t=62.3s     job flux-sample active 4→3, succeeded 0→1, completedIndexes ""→"2"
//! ```
//!
//! Pods are known as `JOB/INDEX#INCARNATION` (`JOB/#NUMBER` without indexes); pods that change in the same way at the
//! same instant share a line. Generated names and uids never appear, so that the text differs between two runs only
//! where they really differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use towtank_model::index_set::IndexSet;
use towtank_model::time::Time;
use towtank_scenario::ast::Stack;
use towtank_scenario::observation::{
    EventView, JobConditionView, JobView, MiniClusterView, NodeView, Observation, PodView,
};

use crate::changes::Changes;
use crate::world::PodChanges;

/// What was to be seen in a run, change by change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservationTrace {
    lines: Vec<Line>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A step begins.
    Step(String),
    /// Something changed.
    Change {
        /// When, from the start.
        at: Time,
        /// What.
        text: String,
    },
}

impl ObservationTrace {
    /// The lines, in order.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Nothing was ever to be seen.
    pub fn is_empty(&self) -> bool {
        !self.lines.iter().any(|line| matches!(line, Line::Change { .. }))
    }
}

impl fmt::Display for ObservationTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            match line {
                Line::Step(name) => writeln!(f, "--- {name}")?,
                Line::Change { at, text } => writeln!(f, "{:<11} {text}", format!("t={at}"))?,
            }
        }
        Ok(())
    }
}

/// Writes an [`ObservationTrace`] as the run goes on.
#[derive(Debug, Default)]
pub struct Recorder {
    last: Observation,
    /// The pods of the last observation, where the world says which have changed.
    pods: BTreeMap<u64, PodView>,
    trace: ObservationTrace,
}

impl Recorder {
    /// Nothing has been seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A step begins.
    pub fn note(&mut self, _now: Time, step: &str) {
        self.trace.lines.push(Line::Step(step.to_owned()));
    }

    /// Notes what has changed since the last observation.
    pub fn record(&mut self, now: Time, observation: &Observation, changes: Option<PodChanges>) {
        let mut texts = Vec::new();
        job_lines(&self.last.jobs, &observation.jobs, &mut texts);
        match changes {
            Some(changes) => self.changed_pods(changes, &mut texts),
            None => {
                pod_lines(&self.last.pods, &observation.pods, &mut texts);
                self.last.pods.clone_from(&observation.pods);
            }
        }
        node_lines(&self.last.nodes, &observation.nodes, &mut texts);
        minicluster_lines(&self.last.miniclusters, &observation.miniclusters, &mut texts);
        event_lines(&self.last.events, &observation.events, &mut texts);
        self.trace.lines.extend(texts.into_iter().map(|text| Line::Change { at: now, text }));
        self.last.jobs.clone_from(&observation.jobs);
        if self.last.nodes != observation.nodes {
            self.last.nodes.clone_from(&observation.nodes);
        }
        self.last.miniclusters.clone_from(&observation.miniclusters);
        if self.last.events != observation.events {
            self.last.events.clone_from(&observation.events);
        }
    }

    /// Compares only pods that have changed: what it costs does not depend on the others.
    fn changed_pods(&mut self, changes: PodChanges, texts: &mut Vec<String>) {
        let mut old: Vec<PodView> = Vec::new();
        let mut new: Vec<&PodView> = Vec::new();
        for (uid, pod) in &changes {
            old.extend(self.pods.remove(uid));
            new.extend(pod);
        }
        pod_lines(&old, new.iter().copied(), texts);
        self.pods.extend(changes.into_iter().filter_map(|(uid, pod)| Some((uid, pod?))));
    }

    /// All that was noted.
    pub fn finish(self) -> ObservationTrace {
        self.trace
    }
}

/// What tells one pod from all others.
type PodIdentity<'a> = (&'a str, Option<i64>, i64, &'a str);

fn identity(pod: &PodView) -> PodIdentity<'_> {
    let number = if pod.index.is_some() { pod.incarnation } else { pod.number };
    (&pod.job, pod.index, number, &pod.name)
}

fn pod_lines<'a>(old: &[PodView], new: impl IntoIterator<Item = &'a PodView>, texts: &mut Vec<String>) {
    let before: BTreeMap<PodIdentity<'_>, &PodView> = old.iter().map(|pod| (identity(pod), pod)).collect();
    let after: BTreeMap<PodIdentity<'_>, &PodView> =
        new.into_iter().map(|pod| (identity(pod), pod)).collect();
    // A bare pod that a Job adopts is known as a pod of that Job from then on.
    let bare: BTreeSet<&str> = old.iter().filter(|pod| pod.job.is_empty()).map(|pod| &*pod.name).collect();
    let mut adopted = BTreeSet::new();
    let mut groups = PodGroups::default();
    for (known_as, pod) in &after {
        match before.get(known_as) {
            Some(was) => groups.add(pod, pod_change(was, pod)),
            None if !pod.job.is_empty() && bare.contains(&*pod.name) => {
                adopted.insert(&*pod.name);
                groups.add(pod, format!("adopted, was {}", pod.name));
            }
            None => groups.add(pod, format!("created {}", pod.status)),
        }
    }
    for (known_as, pod) in &before {
        let is_adopted = pod.job.is_empty() && adopted.contains(&*pod.name);
        if !after.contains_key(known_as) && !is_adopted {
            groups.add(pod, format!("{}→gone", pod.status));
        }
    }
    groups.write(texts);
}

/// How a pod changed; empty when it did not.
fn pod_change(old: &PodView, new: &PodView) -> String {
    let mut changes = Changes::default();
    let status =
        if old.status == new.status { String::new() } else { format!("{}→{}", old.status, new.status) };
    if !status.is_empty() {
        changes.add(status);
    }
    let phases_tell = |pod: &PodView| pod.phase != pod.status;
    if old.phase != new.phase && (phases_tell(old) || phases_tell(new)) {
        changes.field("phase", &old.phase, &new.phase);
    }
    match (old.owner.is_empty(), new.owner.is_empty()) {
        (false, true) => changes.add("released".to_owned()),
        (true, false) => changes.add("adopted".to_owned()),
        _ => {}
    }
    changes.field("ready", &old.ready_containers, &new.ready_containers);
    changes.field("restarts", old.restarts, new.restarts);
    if old.deleting != new.deleting && new.status != "Terminating" {
        changes.add("deletion asked for");
    }
    if old.finalizer != new.finalizer {
        changes.add(if new.finalizer { "finalizer on" } else { "finalizer off" });
    }
    for condition in new.conditions.iter().filter(|condition| is_telling(condition)) {
        if !old.conditions.contains(condition) {
            changes.add(condition.as_str());
        }
    }
    if old.labels != new.labels {
        changes.add("labels");
    }
    changes.to_string()
}

/// Conditions that say no more than the columns do are left out.
fn is_telling(condition: &str) -> bool {
    !["Ready", "ContainersReady", "PodScheduled", "Initialized", "PodReadyToStartContainers"]
        .contains(&condition)
}

/// Pods that changed in the same way.
#[derive(Default)]
struct PodGroups {
    /// In order of first appearance: what happened, of which Job, which incarnation, and the indexes.
    groups: Vec<PodGroup>,
}

struct PodGroup {
    change: String,
    job: String,
    /// Of indexed pods: their common incarnation.
    incarnation: Option<i64>,
    /// Indexes, or numbers in a Job without indexes; ascending.
    members: Vec<u32>,
    /// A pod without a Job.
    name: Option<String>,
}

impl PodGroups {
    fn add(&mut self, pod: &PodView, change: String) {
        if change.is_empty() {
            return;
        }
        let incarnation = pod.index.map(|_| pod.incarnation);
        let name = pod.job.is_empty().then(|| pod.name.clone());
        let member = u32::try_from(pod.index.unwrap_or(pod.number)).unwrap_or(u32::MAX);
        let same = |group: &&mut PodGroup| {
            group.change == change
                && group.job == pod.job
                && group.incarnation == incarnation
                && group.name == name
        };
        match self.groups.iter_mut().find(same) {
            Some(group) => group.members.push(member),
            None => {
                let job = pod.job.clone();
                self.groups.push(PodGroup { change, job, incarnation, members: vec![member], name });
            }
        }
    }

    fn write(self, texts: &mut Vec<String>) {
        for PodGroup { change, job, incarnation, members, name } in self.groups {
            let mut members = members;
            members.sort_unstable();
            let noun = if members.len() == 1 { "pod" } else { "pods" };
            let members = IndexSet::from_ascending(members);
            texts.push(match (name, incarnation) {
                (Some(name), _) => format!("pod {name} {change}"),
                (None, Some(incarnation)) => format!("{noun} {job}/{members}#{incarnation} {change}"),
                (None, None) => format!("{noun} {job}/#{members} {change}"),
            });
        }
    }
}

fn job_lines(old: &[JobView], new: &[JobView], texts: &mut Vec<String>) {
    let absent = JobView::default();
    for job in new {
        let was = old.iter().find(|was| was.name == job.name).unwrap_or(&absent);
        let changes = match (was.exists, job.exists) {
            (false, false) => continue,
            (true, false) => "gone".to_owned(),
            (false, true) => {
                let completions = job.completions.map_or_else(|| "-".to_owned(), |n| n.to_string());
                format!("created parallelism {}, completions {completions}", job.parallelism)
            }
            (true, true) => job_change(was, job),
        };
        if !changes.is_empty() {
            texts.push(format!("job {} {changes}", job.name));
        }
    }
    for job in old.iter().filter(|job| job.exists) {
        if !new.iter().any(|now| now.name == job.name) {
            texts.push(format!("job {} gone", job.name));
        }
    }
}

fn job_change(old: &JobView, new: &JobView) -> String {
    let mut changes = Changes::default();
    changes.field("parallelism", old.parallelism, new.parallelism);
    changes.optional("completions", old.completions, new.completions);
    changes.field("suspend", old.suspend, new.suspend);
    changes.field("backoffLimit", old.backoff_limit, new.backoff_limit);
    changes.field("active", old.active, new.active);
    changes.optional("ready", old.ready, new.ready);
    changes.optional("terminating", old.terminating, new.terminating);
    changes.field("succeeded", old.succeeded, new.succeeded);
    changes.field("failed", old.failed, new.failed);
    changes.text("completedIndexes", Some(&old.completed_indexes), Some(&new.completed_indexes));
    changes.text("failedIndexes", old.failed_indexes.as_deref(), new.failed_indexes.as_deref());
    let uncounted = |job: &JobView| job.uncounted_succeeded + job.uncounted_failed;
    changes.field("uncounted", uncounted(old), uncounted(new));
    for condition in &new.conditions {
        let was = old.conditions.iter().find(|was| was.kind == condition.kind);
        if was.is_none_or(|was| was.status != condition.status || was.reason != condition.reason) {
            changes.add(condition_text(condition));
        }
    }
    if old.start_time.is_none() && new.start_time.is_some() {
        changes.add("startTime set");
    } else if old.start_time.is_some() && new.start_time.is_none() {
        changes.add("startTime cleared");
    } else if old.start_time != new.start_time {
        changes.add("startTime changed");
    }
    if !old.deleting && new.deleting {
        changes.add("deletion asked for");
    }
    changes.to_string()
}

fn condition_text(condition: &JobConditionView) -> String {
    let JobConditionView { kind, status, reason, .. } = condition;
    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    if status == "True" { format!("{kind}{reason}") } else { format!("{kind}={status}{reason}") }
}

fn node_lines(old: &[NodeView], new: &[NodeView], texts: &mut Vec<String>) {
    if old == new {
        return;
    }
    let before: BTreeMap<&str, &NodeView> = old.iter().map(|node| (&*node.name, node)).collect();
    let after: BTreeSet<&str> = new.iter().map(|node| &*node.name).collect();
    for node in new {
        // Nodes that are there from the start go without saying.
        let Some(was) = before.get(&*node.name) else {
            if !old.is_empty() {
                texts.push(format!("node {} joined", node.name));
            }
            continue;
        };
        let mut changes = Changes::default();
        changes.field("ready", was.ready, node.ready);
        changes.field("unschedulable", was.unschedulable, node.unschedulable);
        if was.taints != node.taints {
            changes.add(format!("taints [{}]", node.taints.join(", ")));
        }
        if !changes.is_empty() {
            texts.push(format!("node {} {changes}", node.name));
        }
    }
    for node in old {
        if !after.contains(&*node.name) {
            texts.push(format!("node {} gone", node.name));
        }
    }
}

/// What users and the operator say of a MiniCluster, and what its lead says of Flux.
fn minicluster_lines(old: &[MiniClusterView], new: &[MiniClusterView], texts: &mut Vec<String>) {
    let absent = MiniClusterView::default();
    let list = |texts: &[String]| format!("[{}]", texts.join(", "));
    for cluster in new {
        let was = old.iter().find(|was| was.name == cluster.name).unwrap_or(&absent);
        let mut changes = Changes::default();
        changes.field("exists", was.exists, cluster.exists);
        changes.field("size", was.spec.size, cluster.spec.size);
        changes.field("status size", was.status.size, cluster.status.size);
        changes.field("ready", was.status.ready, cluster.status.ready);
        let (before, after) = (&was.status.completed_indexes, &cluster.status.completed_indexes);
        changes.field("completedIndexes", format!("{before:?}"), format!("{after:?}"));
        changes.field("maximumSize", was.status.maximum_size, cluster.status.maximum_size);
        changes.field("conditions", list(&was.status.conditions), list(&cluster.status.conditions));
        changes.field("refusal", format!("{:?}", was.refusal), format!("{:?}", cluster.refusal));
        if !changes.is_empty() {
            texts.push(format!("minicluster {} {changes}", cluster.name));
        }
        let mut changes = Changes::default();
        changes.field("up", was.flux.up, cluster.flux.up);
        changes.field("running", was.flux.running, cluster.flux.running);
        changes.field("online", was.flux.online, cluster.flux.online);
        changes.field("drained", was.flux.drained, cluster.flux.drained);
        changes.field("jobs", was.flux.jobs, cluster.flux.jobs);
        if !changes.is_empty() {
            texts.push(format!("flux {} {changes}", cluster.name));
        }
    }
}

/// New Events, by object and reason: their texts name pods one by one, which the lines of the pods do already.
fn event_lines(old: &[EventView], new: &[EventView], texts: &mut Vec<String>) {
    if old == new {
        return;
    }
    let mut groups: Vec<(&EventView, i64)> = Vec::new();
    for event in new {
        let same = |was: &&EventView| {
            was.object == event.object && was.reason == event.reason && was.message == event.message
        };
        let fresh = event.count - old.iter().filter(same).map(|was| was.count).sum::<i64>();
        if fresh <= 0 {
            continue;
        }
        let alike = |(known, _): &&mut (&EventView, i64)| {
            known.object == event.object && known.reason == event.reason && known.kind == event.kind
        };
        match groups.iter_mut().find(alike) {
            Some((_, count)) => *count += fresh,
            None => groups.push((event, fresh)),
        }
    }
    for (event, count) in groups {
        let times = if count == 1 { String::new() } else { format!(" ×{count}") };
        let warning = if event.kind == "Warning" { " Warning" } else { "" };
        texts.push(format!("event {}{warning} {}{times}", event.object, event.reason));
    }
}

/// Traces of several versions as one text: versions that show the same share a block.
pub fn by_version<'a>(traces: impl IntoIterator<Item = (Stack, &'a ObservationTrace)>) -> String {
    let mut blocks: Vec<(Vec<Stack>, &ObservationTrace)> = Vec::new();
    for (stack, trace) in traces {
        match blocks.iter_mut().find(|(_, known)| *known == trace) {
            Some((stacks, _)) => stacks.push(stack),
            None => blocks.push((vec![stack], trace)),
        }
    }
    let mut text = String::new();
    for (stacks, trace) in blocks {
        let of_one_flux = stacks.chunk_by(|one, other| one.flux == other.flux).map(heading);
        let heading = of_one_flux.collect::<Vec<_>>().join("; ");
        text.push_str(&format!("=== Kubernetes {heading}\n{trace}\n"));
    }
    text
}

/// `1.28, 1.29 with Flux 0.61.2`, of stacks with the same Flux.
fn heading(stacks: &[Stack]) -> String {
    let kubernetes: Vec<String> = stacks.iter().map(|stack| stack.kubernetes.to_string()).collect();
    let flux = stacks.first().and_then(|stack| stack.flux);
    format!("{}{}", kubernetes.join(", "), flux.map_or_else(String::new, |flux| format!(" with Flux {flux}")))
}
