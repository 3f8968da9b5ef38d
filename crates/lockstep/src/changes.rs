//! Short texts of what changed between two versions of an object: `phase Running→Succeeded, Ready True→False`.

use std::fmt::{self, Display};

use towtank_model::objects::{
    ConditionStatus, ContainerState, Job, JobCondition, JobStatus, Node, Pod, PodPhase,
};

/// Fields that changed, in the order in which they were compared.
#[derive(Default)]
pub(crate) struct Changes {
    parts: Vec<String>,
}

impl Changes {
    /// Notes `name` when the values differ.
    pub(crate) fn field<T: PartialEq + Display>(&mut self, name: &str, old: T, new: T) {
        if old != new {
            self.parts.push(format!("{name} {old}→{new}"));
        }
    }

    /// Notes `name` when the values differ; an absent one is shown as `-`.
    pub(crate) fn optional<T: PartialEq + Display>(&mut self, name: &str, old: Option<T>, new: Option<T>) {
        if old != new {
            self.parts.push(format!("{name} {}→{}", OrDash(old), OrDash(new)));
        }
    }

    /// Notes `name` when the texts differ; they are shown in quotes.
    pub(crate) fn text(&mut self, name: &str, old: Option<&str>, new: Option<&str>) {
        if old != new {
            let quoted = |text: Option<&str>| text.map(|text| format!("\"{text}\""));
            self.parts.push(format!("{name} {}→{}", OrDash(quoted(old)), OrDash(quoted(new))));
        }
    }

    /// Notes a change that is no field.
    pub(crate) fn add(&mut self, text: impl Into<String>) {
        self.parts.push(text.into());
    }

    /// Nothing changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

impl Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts.join(", "))
    }
}

struct OrDash<T>(Option<T>);

impl<T: Display> Display for OrDash<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// What changed in a pod.
pub(crate) fn pod_changes(old: &Pod, new: &Pod) -> Changes {
    let mut changes = Changes::default();
    changes.field("phase", phase(old.status.phase), phase(new.status.phase));
    changes.optional(
        "node",
        old.node.map(|node| format!("node-{}", node.0)),
        new.node.map(|node| format!("node-{}", node.0)),
    );
    if old.deletion.is_none()
        && let Some(deletion) = new.deletion
    {
        changes.add(format!("deletion asked for, grace {} s", deletion.grace_period_s));
    } else {
        let grace = |pod: &Pod| pod.deletion.map(|deletion| deletion.grace_period_s);
        changes.optional("grace", grace(old), grace(new));
    }
    if old.tracked != new.tracked {
        changes.add(if new.tracked { "tracking finalizer put on" } else { "tracking finalizer taken off" });
    }
    if old.owner != new.owner {
        changes.add(if new.owner.is_some() { "adopted" } else { "released" });
    }
    if old.foreign_finalizers != new.foreign_finalizers {
        changes.add("finalizers");
    }
    if old.labels != new.labels {
        changes.add("labels");
    }
    pod_condition_changes(old, new, &mut changes);
    container_changes(old, new, &mut changes);
    changes.text("reason", Some(&old.status.reason), Some(&new.status.reason));
    changes
}

fn phase(phase: PodPhase) -> &'static str {
    phase.as_str()
}

fn pod_condition_changes(old: &Pod, new: &Pod, changes: &mut Changes) {
    for condition in &new.status.conditions {
        let before = old.condition(&condition.kind).map(|before| before.status);
        if before != Some(condition.status) {
            changes.optional(
                &condition.kind,
                before.map(ConditionStatus::as_str),
                Some(condition.status.as_str()),
            );
        }
    }
}

fn container_changes(old: &Pod, new: &Pod, changes: &mut Changes) {
    let of = |pod: &Pod| {
        let all = pod.status.init_containers.iter().chain(&pod.status.containers);
        all.map(|status| (status.name.clone(), container_state(&status.state))).collect::<Vec<_>>()
    };
    let before = of(old);
    for (name, state) in of(new) {
        let was = before.iter().find(|(known, _)| *known == name).map(|(_, state)| state.clone());
        changes.optional(&format!("container {name}"), was, Some(state));
    }
}

fn container_state(state: &ContainerState) -> String {
    match state {
        ContainerState::Waiting(reason) => format!("waiting ({reason})"),
        ContainerState::Running => "running".to_owned(),
        ContainerState::Terminated(termination) => format!("exit {}", termination.exit_code),
    }
}

/// What changed in a Job.
pub(crate) fn job_changes(old: &Job, new: &Job) -> Changes {
    let mut changes = Changes::default();
    changes.field("parallelism", old.spec.parallelism, new.spec.parallelism);
    changes.optional("completions", old.spec.completions, new.spec.completions);
    changes.field("suspend", old.spec.suspend, new.spec.suspend);
    changes.field("backoffLimit", old.spec.backoff_limit, new.spec.backoff_limit);
    changes.optional(
        "activeDeadlineSeconds",
        old.spec.active_deadline_seconds,
        new.spec.active_deadline_seconds,
    );
    if changes.is_empty() && old.generation != new.generation {
        changes.add("spec");
    }
    status_changes(&old.status, &new.status, &mut changes);
    if old.deletion_time.is_none() && new.deletion_time.is_some() {
        changes.add("deletion asked for");
    }
    if old.finalizers != new.finalizers {
        changes.add("finalizers");
    }
    changes
}

fn status_changes(old: &JobStatus, new: &JobStatus, changes: &mut Changes) {
    changes.field("active", old.active, new.active);
    changes.optional("ready", old.ready, new.ready);
    changes.optional("terminating", old.terminating, new.terminating);
    changes.field("succeeded", old.succeeded, new.succeeded);
    changes.field("failed", old.failed, new.failed);
    changes.text("completedIndexes", Some(&old.completed_indexes), Some(&new.completed_indexes));
    changes.text("failedIndexes", old.failed_indexes.as_deref(), new.failed_indexes.as_deref());
    let uncounted = |status: &JobStatus| {
        status.uncounted.as_ref().map_or(0, |pods| pods.succeeded.len() + pods.failed.len())
    };
    changes.field("uncounted", uncounted(old), uncounted(new));
    for condition in &new.conditions {
        if !old.conditions.iter().any(|known| same(known, condition)) {
            changes.add(condition_text(condition));
        }
    }
    changes.optional("startTime", old.start_time, new.start_time);
    changes.optional("completionTime", old.completion_time, new.completion_time);
}

fn same(one: &JobCondition, other: &JobCondition) -> bool {
    one.kind == other.kind && one.status == other.status && one.reason == other.reason
}

fn condition_text(condition: &JobCondition) -> String {
    let JobCondition { kind, status, reason, .. } = condition;
    match (kind.as_str(), status.as_str(), &**reason) {
        (kind, status, "") => format!("{kind}={status}"),
        (kind, status, reason) => format!("{kind}={status} ({reason})"),
    }
}

/// What changed in a node.
pub(crate) fn node_changes(old: &Node, new: &Node) -> Changes {
    let mut changes = Changes::default();
    changes.field("Ready", old.is_ready, new.is_ready);
    changes.field("unschedulable", old.unschedulable, new.unschedulable);
    for taint in new.taints.iter().filter(|taint| !old.taints.contains(taint)) {
        changes.add(format!("taint {}", taint.key));
    }
    for taint in old.taints.iter().filter(|taint| !new.taints.contains(taint)) {
        changes.add(format!("no taint {}", taint.key));
    }
    changes
}
