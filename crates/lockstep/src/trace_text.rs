//! A trace as lines that can be read, and compared between worlds: generated names and uids are replaced by what a pod
//! is known as, `JOB/INDEX#INCARNATION`.

use std::collections::BTreeMap;
use std::sync::Arc;

use towtank_model::objects::{Job, Node, ObjectKey, Pod, Uid};
use towtank_model::server::{Actor, ApiError, Change, EventDraft, Fact, TraceEntry, Verb, Versions};
use towtank_model::time::Time;

use crate::changes::{job_changes, node_changes, pod_changes};

/// One line of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// When.
    pub at: Time,
    /// Who.
    pub actor: &'static str,
    /// What was written, and how it changed.
    pub text: String,
    /// The Job concerned, where there is one.
    pub job: Option<Arc<str>>,
    /// The write was refused.
    pub is_refused: bool,
    /// It is an Event that was recorded.
    pub is_event: bool,
}

impl TraceLine {
    /// Something of which only this is known.
    pub(crate) const fn of_history(at: Time, text: String) -> Self {
        Self { at, actor: "", text, job: None, is_refused: false, is_event: false }
    }
}

impl std::fmt::Display for TraceLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = format!("t={}", self.at);
        write!(f, "{at:<13} {:<16} {}", self.actor, self.text)
    }
}

/// The name of a component, as kubectl's field managers and Events spell it.
pub const fn actor_name(actor: Actor) -> &'static str {
    match actor {
        Actor::User => "user",
        Actor::JobController => "job-controller",
        Actor::TtlController => "ttl-controller",
        Actor::Operator => "operator",
        Actor::Scheduler => "scheduler",
        Actor::Kubelet => "kubelet",
        Actor::NodeLifecycle => "node-lifecycle",
        Actor::PodGc => "pod-gc",
        Actor::GarbageCollector => "gc",
    }
}

/// The name of a component that is spelt like this.
pub(crate) fn actor_named(name: &str) -> Option<&'static str> {
    const ACTORS: [Actor; 9] = [
        Actor::User,
        Actor::JobController,
        Actor::TtlController,
        Actor::Operator,
        Actor::Scheduler,
        Actor::Kubelet,
        Actor::NodeLifecycle,
        Actor::PodGc,
        Actor::GarbageCollector,
    ];
    ACTORS.into_iter().map(actor_name).find(|known| *known == name)
}

const fn verb_name(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "create",
        Verb::Update => "update",
        Verb::UpdateStatus => "status",
        Verb::Delete => "delete",
        Verb::Evict => "evict",
        Verb::Bind => "bind",
    }
}

/// What objects are known as: learnt from the trace itself, in order.
#[derive(Debug, Default)]
pub struct Names {
    pods: BTreeMap<Uid, String>,
    pod_keys: BTreeMap<ObjectKey, String>,
    /// Pods so far of a Job (by uid) and index; `None` for pods without an index.
    incarnations: BTreeMap<(Uid, Option<u32>), u32>,
}

impl Names {
    /// What `pod` is known as. The first call for a pod decides its number, so pods must come in order of creation.
    pub fn pod(&mut self, pod: &Pod) -> &str {
        let incarnations = &mut self.incarnations;
        let keys = &mut self.pod_keys;
        self.pods.entry(pod.uid).or_insert_with(|| {
            let name = match (&pod.owner, pod.index.get()) {
                (Some(owner), index) => {
                    let incarnation = incarnations.entry((owner.uid, index)).or_insert(0);
                    *incarnation += 1;
                    match index {
                        Some(index) => format!("{}/{index}#{incarnation}", owner.name),
                        None => format!("{}/#{incarnation}", owner.name),
                    }
                }
                (None, _) => pod.key.name.to_string(),
            };
            keys.insert(pod.key.clone(), name.clone());
            name
        })
    }

    /// What the pod with this uid is known as.
    pub fn pod_by_uid(&self, uid: Uid) -> Option<&str> {
        self.pods.get(&uid).map(String::as_str)
    }

    /// What the object of this key is known as; a pod that is gone may go by its uid there.
    fn object(&self, key: &ObjectKey) -> String {
        let uid = || key.name.strip_prefix("uid-")?.parse().ok().map(Uid);
        let gone = || self.pods.get(&uid()?);
        let known = self.pod_keys.get(key).or_else(|| gone().filter(|_| key.namespace.is_empty()));
        known.cloned().unwrap_or_else(|| key.name.to_string())
    }

    /// `text` with the generated names of pods replaced by what they are known as.
    pub fn mask(&self, text: &str) -> String {
        replace_names(text, |word| {
            self.pod_keys.iter().find(|(key, _)| &*key.name == word).map(|(_, name)| name.as_str())
        })
    }
}

/// `text` with every name that is known replaced by what it is known as. A name is a longest run of letters, digits,
/// dashes and dots.
pub(crate) fn replace_names<'a>(text: &str, known_as: impl Fn(&str) -> Option<&'a str>) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_name) {
        let length = rest[start..].find(|c| !is_name(c)).unwrap_or(rest.len() - start);
        let name = &rest[start..start + length];
        replaced.push_str(&rest[..start]);
        replaced.push_str(known_as(name).unwrap_or(name));
        rest = &rest[start + length..];
    }
    replaced.push_str(rest);
    replaced
}

/// The writes and Events of a trace, line by line; decisions are left to [`crate::explain`].
pub fn lines(trace: &[TraceEntry]) -> Vec<TraceLine> {
    let mut names = Names::default();
    trace.iter().filter_map(|entry| line(entry, &mut names)).collect()
}

/// One entry as a line; `None` for decisions.
pub fn line(entry: &TraceEntry, names: &mut Names) -> Option<TraceLine> {
    let is_event = matches!(entry.fact, Fact::Recorded(_));
    if let Fact::Changed(_, change) = &entry.fact
        && shows_nothing(change)
    {
        return None;
    }
    let (text, job, is_refused) = match &entry.fact {
        Fact::Changed(verb, change) => {
            let (object, job) = change_text(change, names);
            (format!("{} {object}", verb_name(*verb)), job, false)
        }
        Fact::Refused(verb, key, error) => {
            let object = names.object(key);
            let error = match error {
                // The key of an object that is gone says nothing more.
                ApiError::NotFound { kind, .. } => format!("{kind} not found"),
                error => names.mask(&error.to_string()),
            };
            let job = object.split('/').next().map(Arc::from);
            (format!("{} {object} refused: {error}", verb_name(*verb)), job, true)
        }
        Fact::Recorded(EventDraft { reason, message, .. }) => {
            (format!("event {reason}: {}", names.mask(message)), None, false)
        }
        Fact::Decided(..) => return None,
    };
    Some(TraceLine { at: entry.at, actor: actor_name(entry.actor), text, job, is_refused, is_event })
}

/// A new version of an object that differs in nothing that the model has.
fn shows_nothing(change: &Change) -> bool {
    match change {
        Change::Pod(Versions { old: Some(old), new: Some(new) }) => {
            **new == Pod { resource_version: new.resource_version, ..Pod::clone(old) }
        }
        Change::Job(Versions { old: Some(old), new: Some(new) }) => {
            **new == Job { resource_version: new.resource_version, ..Job::clone(old) }
        }
        _ => false,
    }
}

fn change_text(change: &Change, names: &mut Names) -> (String, Option<Arc<str>>) {
    match change {
        Change::Pod(versions) => {
            let Some(pod) = versions.new.as_ref().or(versions.old.as_ref()) else {
                return (String::new(), None);
            };
            let job = pod.owner.as_ref().map(|owner| owner.name.clone());
            (format!("pod {}{}", names.pod(pod), pod_text(versions)), job)
        }
        Change::Job(versions) => {
            let Some(job) = versions.new.as_ref().or(versions.old.as_ref()) else {
                return (String::new(), None);
            };
            (format!("job {}{}", job.key.name, job_text(versions)), Some(job.key.name.clone()))
        }
        Change::Node(versions) => {
            let name = versions.new.as_ref().or(versions.old.as_ref()).map_or("", |node| &node.name);
            (format!("node {name}{}", node_text(versions)), None)
        }
    }
}

fn pod_text(versions: &Versions<Pod>) -> String {
    match (&versions.old, &versions.new) {
        (Some(old), Some(new)) => prefixed(&pod_changes(old, new).to_string()),
        (Some(_), None) => ": gone".to_owned(),
        _ => String::new(),
    }
}

fn job_text(versions: &Versions<Job>) -> String {
    match (&versions.old, &versions.new) {
        (Some(old), Some(new)) => prefixed(&job_changes(old, new).to_string()),
        (Some(_), None) => ": gone".to_owned(),
        (None, Some(new)) => format!(": {}", job_size(new)),
        (None, None) => String::new(),
    }
}

/// How large a Job is to be.
pub(crate) fn job_size(job: &Job) -> String {
    let completions = job.spec.completions.map_or_else(|| "-".to_owned(), |number| number.to_string());
    format!("parallelism {}, completions {completions}", job.spec.parallelism)
}

fn node_text(versions: &Versions<Node>) -> String {
    match (&versions.old, &versions.new) {
        (Some(old), Some(new)) => prefixed(&node_changes(old, new).to_string()),
        (Some(_), None) => ": gone".to_owned(),
        _ => String::new(),
    }
}

fn prefixed(changes: &str) -> String {
    if changes.is_empty() { String::new() } else { format!(": {changes}") }
}

/// The last `count` writes about these Jobs and their pods (all Jobs when none is named), oldest first.
pub fn last_writes(trace: &[TraceEntry], jobs: &[String], count: usize) -> Vec<String> {
    let concerns = |line: &TraceLine| {
        jobs.is_empty() || line.job.as_ref().is_none_or(|job| jobs.iter().any(|name| **name == **job))
    };
    let lines: Vec<TraceLine> = lines(trace).into_iter().filter(concerns).collect();
    lines[lines.len().saturating_sub(count)..].iter().map(ToString::to_string).collect()
}
