//! The model's rows as objects: what happened to them, told by the model's journal, becomes versions and events.
//!
//! The model's components write rows without knowing of JSON. What lies underneath each row (see [`crate::overlay`]) is kept
//! in its last version; a row that nobody sent as JSON gets a base made of itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use towtank_model::objects::{COMPLETION_INDEX, Job, Node, NodeId, Pod, PodSpec, PodTemplate, Uid};
use towtank_model::server::{Actor, Change, EventRecord, Server, Versions};
use towtank_model::time::Time;
use towtank_wire as wire;

use crate::kinds::{Class, Registry};
use crate::overlay;
use crate::server::ApiServer;
use crate::shape;
use crate::store::{At as _, Content, Version, key};
use crate::strategy;

/// A template's spec, and what it makes of pods.
type TemplateBase = (Arc<PodSpec>, Arc<Value>);

/// What is known of rows besides their versions.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) pods: usize,
    pub(crate) jobs: usize,
    pub(crate) nodes: usize,
    /// Bases of rows that are being written.
    pending: BTreeMap<(usize, u32), Arc<Value>>,
    /// What each Job's templates make of pods.
    templates: BTreeMap<Uid, Vec<TemplateBase>>,
    /// The template that the base of each Job was written with.
    job_templates: BTreeMap<Uid, Arc<PodTemplate>>,
    /// Where each Job is, gone or not: Events tell of both.
    pub(crate) job_keys: BTreeMap<Uid, Arc<str>>,
    /// Names of nodes.
    node_names: BTreeMap<u32, Arc<str>>,
    /// Specs of pods that clients have made lately.
    specs: VecDeque<Arc<PodSpec>>,
}

/// Specs that are remembered.
const SPECS_MAX: usize = 32;

impl Rows {
    pub(crate) fn new(registry: &Registry) -> Self {
        let table = |class: Class| registry.iter().find(|one| one.class == class).map_or(0, |one| one.table);
        Self {
            pods: table(Class::Pod),
            jobs: table(Class::Job),
            nodes: table(Class::Node),
            pending: BTreeMap::new(),
            templates: BTreeMap::new(),
            job_templates: BTreeMap::new(),
            job_keys: BTreeMap::new(),
            node_names: BTreeMap::new(),
            specs: VecDeque::new(),
        }
    }

    /// Pods of one template have one spec, whoever makes them: the scheduler knows them by it.
    pub(crate) fn shared_spec(&mut self, spec: PodSpec) -> Arc<PodSpec> {
        if let Some(known) = self.specs.iter().find(|known| ***known == spec) {
            return Arc::clone(known);
        }
        if self.specs.len() == SPECS_MAX {
            self.specs.pop_front();
        }
        let spec = Arc::new(spec);
        self.specs.push_back(Arc::clone(&spec));
        spec
    }

    /// What lies under the row that is written next.
    pub(crate) fn set_base(&mut self, table: usize, id: u32, base: Value) {
        self.pending.insert((table, id), Arc::new(base));
    }

    /// The write did not take place.
    pub(crate) fn forget_bases(&mut self) {
        self.pending.clear();
    }
}

impl ApiServer {
    /// Takes note of what the model's components, and requests, have written to rows since the last call. To be called
    /// after anybody has written and before watches are polled.
    pub fn follow(&mut self, rows: &mut Server, now: Time) {
        self.now = self.now.max(now);
        for (rv, change) in rows.take_journal() {
            match change {
                Change::Pod(Versions { new: Some(row), .. }) => self.pod_written(rows, row, rv),
                Change::Job(Versions { new: Some(row), .. }) => self.job_written(row, rv),
                Change::Node(Versions { new: Some(row), .. }) => self.node_written(row, rv, now),
                Change::Pod(Versions { old: Some(row), new: None }) => {
                    self.row_gone(self.rows.pods, &key(&row.key.namespace, &row.key.name), rv);
                }
                Change::Job(Versions { old: Some(row), new: None }) => {
                    self.rows.templates.remove(&row.uid);
                    self.rows.job_templates.remove(&row.uid);
                    self.row_gone(self.rows.jobs, &key(&row.key.namespace, &row.key.name), rv);
                }
                Change::Node(Versions { old: Some(row), new: None }) => {
                    self.row_gone(self.rows.nodes, &row.name, rv);
                }
                Change::Pod(_) | Change::Job(_) | Change::Node(_) => {}
            }
        }
        self.rows.forget_bases();
        for record in rows.take_event_journal() {
            self.event_recorded(rows, &record);
        }
    }

    /// An Event that one of the model's components has recorded, or counted once more.
    fn event_recorded(&mut self, rows: &mut Server, record: &EventRecord) {
        let Some(job_key) = self.rows.job_keys.get(&record.draft.job).cloned() else { return };
        let Some(events) = self.registry.get("", "v1", "events").map(|resource| resource.table) else {
            return;
        };
        let (namespace, job) = job_key.split_once('/').unwrap_or(("", &job_key));
        let name = event_name(job, record);
        let key = key(namespace, &name);
        let known = self.tables.get(events).and_then(|table| table.get(&key));
        let uid = known.map(|known| known.uid().into_owned()).unwrap_or_else(|| self.new_uid());
        let component = component_of(record.actor);
        let object = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": uid,
                "creationTimestamp": wire::time_text(record.first_time),
            },
            "involvedObject": {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "namespace": namespace,
                "name": job,
                "uid": wire::Kind::Job.uid_text(record.draft.job),
            },
            "reason": &*record.draft.reason,
            "message": record.draft.message,
            "source": {"component": component},
            "reportingComponent": component,
            "reportingInstance": "",
            "firstTimestamp": wire::time_text(record.first_time),
            "lastTimestamp": wire::time_text(record.last_time),
            "eventTime": null,
            "count": record.count,
            "type": if record.draft.is_warning { "Warning" } else { "Normal" },
        });
        self.store(rows, events, key, object);
    }

    /// Rows that were there before this server.
    pub(crate) fn adopt_rows(&mut self, rows: &mut Server, now: Time) {
        drop(rows.take_journal());
        let nodes: Vec<Arc<Node>> = rows.nodes().cloned().collect();
        for node in nodes {
            let rv = rows.resource_version();
            self.node_written(node, rv, now);
        }
        let jobs: Vec<Arc<Job>> = rows.jobs().cloned().collect();
        for job in jobs {
            let rv = job.resource_version;
            self.job_written(job, rv);
        }
        let pods: Vec<Arc<Pod>> = rows.pods().cloned().collect();
        for pod in pods {
            let rv = pod.resource_version;
            self.pod_written(rows, pod, rv);
        }
    }

    fn row_gone(&mut self, table: usize, key: &str, rv: u64) {
        let Some(last) = self.tables.get(table).and_then(|table| table.get(key)) else { return };
        let gone = Version::new(Arc::clone(&last.key), rv, last.content.clone());
        self.take(table, Arc::new(gone));
    }

    // ---- pods ----

    fn pod_written(&mut self, rows: &Server, row: Arc<Pod>, rv: u64) {
        let table = self.rows.pods;
        let before =
            self.tables.get(table).and_then(|table| table.get(&key(&row.key.namespace, &row.key.name)));
        let (old_key, old_base, old_row, old_node) =
            match before.map(|version| (&version.key, &version.content)) {
                Some((key, Content::Pod { row: old, base, node })) if old.uid == row.uid => {
                    (Some(Arc::clone(key)), Some(Arc::clone(base)), Some(Arc::clone(old)), node.clone())
                }
                _ => (None, None, None, None),
            };
        let pending = self.rows.pending.remove(&(table, row.uid.0));
        let base = match (pending, old_base, old_row) {
            (Some(base), ..) => base,
            (None, Some(base), Some(old)) if Arc::ptr_eq(&old.spec, &row.spec) || old.spec == row.spec => {
                base
            }
            (None, Some(base), _) => {
                let mut base = Value::clone(&base);
                base["spec"] = overlay::rebased_spec(base.get("spec"), &row.spec);
                strategy::next_generation(&mut base);
                Arc::new(base)
            }
            (None, None, _) => self.new_pod_base(&row, rows),
        };
        let node = match row.node {
            Some(id) if old_node.is_none() => self.node_name(rows, id),
            Some(_) => old_node,
            None => None,
        };
        let key = old_key.unwrap_or_else(|| key(&row.key.namespace, &row.key.name));
        self.put(table, Arc::new(Version::new(key, rv, Content::Pod { row, base, node })));
    }

    fn node_name(&self, rows: &Server, id: NodeId) -> Option<Arc<str>> {
        rows.node(id).map(|node| Arc::clone(&node.name)).or_else(|| self.rows.node_names.get(&id.0).cloned())
    }

    /// What lies under a pod that no client has sent: what its Job's template says, as the Job controller writes it.
    fn new_pod_base(&mut self, row: &Pod, rows: &Server) -> Arc<Value> {
        let has_generation = strategy::pods_have_generations(rows.features().version);
        let Some(owner) = row.owner.as_ref().filter(|owner| owner.is_job) else {
            let mut base = json!({"metadata": {}, "spec": wire::pod_spec_object(&row.spec)});
            if has_generation {
                base["metadata"]["generation"] = 1.into();
            }
            return Arc::new(shape::defaulted_pod(base));
        };
        let known = self.rows.templates.entry(owner.uid).or_default();
        if let Some((_, base)) = known.iter().find(|(spec, _)| Arc::ptr_eq(spec, &row.spec)) {
            return Arc::clone(base);
        }
        let job_key = key(&row.key.namespace, &owner.name);
        let job = self.tables.get(self.rows.jobs).and_then(|table| table.get(&job_key));
        let template = job.and_then(|version| match &version.content {
            Content::Job { row: job, base } if job.uid == owner.uid => {
                Some((base.at("/spec/template")?.clone(), Arc::clone(&job.spec.template)))
            }
            _ => None,
        });
        let mut base = pod_base(template, row, rows.features().pod_index_label);
        if has_generation {
            base["metadata"]["generation"] = 1.into();
        }
        let base = Arc::new(shape::defaulted_pod(base));
        /// Templates of one Job that are remembered: one, but for Jobs that are changed while they are suspended.
        const TEMPLATES_MAX: usize = 4;
        let known = self.rows.templates.entry(owner.uid).or_default();
        known.truncate(TEMPLATES_MAX - 1);
        known.insert(0, (Arc::clone(&row.spec), Arc::clone(&base)));
        base
    }

    // ---- Jobs ----

    fn job_written(&mut self, row: Arc<Job>, rv: u64) {
        let table = self.rows.jobs;
        let key = key(&row.key.namespace, &row.key.name);
        let before = self.tables.get(table).and_then(|table| table.get(&key));
        let old = before.and_then(|version| match &version.content {
            Content::Job { row: old, base } if old.uid == row.uid => Some(Arc::clone(base)),
            _ => None,
        });
        let pending = self.rows.pending.remove(&(table, row.uid.0));
        let is_written = pending.is_some();
        let base = pending.or(old).unwrap_or_else(|| Arc::new(json!({})));
        let template = &row.spec.template;
        let known = self.rows.job_templates.get(&row.uid);
        let fits = is_written || known.is_some_and(|known| Arc::ptr_eq(known, template) || known == template);
        let base = if fits {
            base
        } else {
            let mut base = Value::clone(&base);
            let mut spec = overlay::fields_of(base.get("spec"));
            let under = spec.get("template").cloned().unwrap_or_default();
            spec.insert("template".to_owned(), overlay::rebased_template(&under, template));
            base["spec"] = spec.into();
            Arc::new(shape::defaulted_job(base))
        };
        self.rows.job_templates.insert(row.uid, Arc::clone(template));
        self.rows.job_keys.insert(row.uid, Arc::clone(&key));
        self.put(table, Arc::new(Version::new(key, rv, Content::Job { row, base })));
    }

    // ---- nodes ----

    fn node_written(&mut self, row: Arc<Node>, rv: u64, now: Time) {
        let table = self.rows.nodes;
        self.rows.node_names.insert(row.id.0, Arc::clone(&row.name));
        let before = self.tables.get(table).and_then(|table| table.get(&row.name));
        let old = before.and_then(|version| match &version.content {
            Content::Node { row: old, base } if old.id == row.id => Some(Arc::clone(base)),
            _ => None,
        });
        let pending = self.rows.pending.remove(&(table, row.id.0));
        let base = pending.or(old).unwrap_or_else(|| {
            let version = format!("v{}", self.config.version.full());
            Arc::new(json!({
                "metadata": {"creationTimestamp": wire::time_text(now)},
                "status": {
                    "addresses": [{"type": "Hostname", "address": &*row.name}],
                    "nodeInfo": {
                        "kubeletVersion": version,
                        "osImage": "towtank",
                        "kernelVersion": "virtual",
                        "containerRuntimeVersion": "towtank://1",
                        "operatingSystem": "linux",
                        "architecture": "amd64",
                    },
                },
            }))
        });
        let key = Arc::clone(&row.name);
        self.put(table, Arc::new(Version::new(key, rv, Content::Node { row, base })));
    }
}

/// The name of an Event: that of the Job and a number that tells it from the others (client-go takes the time).
fn event_name(job: &str, record: &EventRecord) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let draft = &record.draft;
    let mut hasher = DefaultHasher::new();
    (record.first_time.as_micros(), record.actor, &*draft.reason, draft.is_warning).hash(&mut hasher);
    // Similar Events that are told as one change their words.
    if !draft.message.starts_with("(combined from similar events)") {
        draft.message.hash(&mut hasher);
    }
    format!("{job}.{:016x}", hasher.finish())
}

/// What a component calls itself in Events.
const fn component_of(actor: Actor) -> &'static str {
    match actor {
        Actor::User => "user",
        Actor::JobController => "job-controller",
        Actor::TtlController => "ttl-after-finished-controller",
        Actor::Scheduler => "default-scheduler",
        Actor::Kubelet => "kubelet",
        Actor::NodeLifecycle => "node-controller",
        Actor::PodGc => "pod-garbage-collector",
        Actor::GarbageCollector => "garbage-collector-controller",
        Actor::Operator => "operator",
    }
}

/// A pod as the Job controller makes it of a template (upstream `getPodsAnnotationSet`, `addCompletionIndexEnvVariables`).
/// The parts that differ from pod to pod come from the row.
fn pod_base(template: Option<(Value, Arc<PodTemplate>)>, row: &Pod, has_index_label: bool) -> Value {
    let (mut template, is_same) = match template {
        Some((template, row_template)) => {
            let is_same = Arc::ptr_eq(&row_template.spec, &row.spec) || row_template.spec == row.spec;
            (template, is_same)
        }
        None => (json!({}), false),
    };
    let mut spec = template.get_mut("spec").map(Value::take).unwrap_or_default();
    if !is_same {
        spec = overlay::rebased_spec(Some(&spec), &row.spec);
    }
    let mut metadata = Map::new();
    if let Some(annotations) = template.at("/metadata/annotations") {
        metadata.insert("annotations".to_owned(), annotations.clone());
    }
    if row.index.get().is_some() {
        let source = if has_index_label { "labels" } else { "annotations" };
        for list in ["containers", "initContainers"] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                add_index_variable(container, source);
            }
        }
        if has_index_label {
            metadata.insert("labels".to_owned(), json!({COMPLETION_INDEX: ""}));
        }
    }
    json!({"metadata": metadata, "spec": spec, "status": {"qosClass": shape::qos_class(&spec)}})
}

const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

fn add_index_variable(container: &mut Value, source: &str) {
    let Value::Object(container) = container else { return };
    let list = container.entry("env").or_insert_with(|| json!([]));
    let Value::Array(list) = list else { return };
    if list.iter().any(|variable| variable["name"] == INDEX_VARIABLE) {
        return;
    }
    let path = format!("metadata.{source}['{COMPLETION_INDEX}']");
    list.push(json!({
        "name": INDEX_VARIABLE,
        "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}},
    }));
}
