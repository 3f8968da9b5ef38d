//! Rules that no run may break, whatever goes wrong in it.
//!
//! They are written from the outside: what is stored and who wrote it, instant by instant. None of them asks the operator.
//!
//! | rule | says |
//! | --- | --- |
//! | `one-job` | a MiniCluster has one Job, the same as long as it lives |
//! | `own-objects` | the operator writes no Job and no pod but those of MiniClusters, and deletes none |
//! | `sizes-asked-for` | a Job is told sizes that somebody asked the MiniCluster for, as completions and parallelism together |
//! | `inside-the-target` | the Job controller ends no pod whose index is below every size that was wanted since it is there |
//! | `status-is-true` | `size`, `ready`, `completedIndexes` and `online` of a status were so at some time, and do not go back in time (with one writer, whose requests are carried out in order) |
//! | `generation` | `observedGeneration` grows, and is not ahead |
//! | `conditions` | `Ready` is true when all brokers are online only; `ScalingLimited` when the size is above the maximum or the Job has finished; `Degraded` when a name is taken or the Job has failed |
//! | `maximum-stays` | `maximumSize`, once told, never changes, and no Job is larger |
//! | `key-stays` | the CURVE certificate, once made, never changes |
//! | `others-left-alone` | objects of others are as they were |
//! | `rest` | in the last 90 seconds of a run nothing is written but Leases |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};
use towtank_apiserver::adapter::pump::LoggedRequest;
use towtank_apiserver::adapter::site::Serves as _;
use towtank_apiserver::{Answer, Caller};
use towtank_lockstep::virtual_world::EmbeddedWorld;
use towtank_lockstep::world::World as _;
use towtank_model::index_set::IndexSet;
use towtank_model::objects::{Job, Pod, PodPhase, Uid};
use towtank_model::server::{Actor, Change, Fact, TraceEntry, Verb, Versions};
use towtank_model::time::Time;

const GROUP: &str = "flux-framework.org";
/// How long before the end of a run everything must be at rest. Nothing is under way any more after so long: requests time out after a
/// minute, and the operator waits no more than a minute between two tries.
pub(crate) const REST: Duration = Duration::from_secs(90);
/// Requests that programs may make at rest: reads, and watches that are opened again.
const REQUESTS_AT_REST_MAX: usize = 100;
/// Violations that are kept.
const VIOLATIONS_MAX: usize = 20;

/// A rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// When.
    pub at: Time,
    /// By what.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at t={}: {}", self.rule, self.at, self.detail)
    }
}

/// What is known of a MiniCluster, by its uid.
#[derive(Debug, Default)]
struct Cluster {
    /// As it was last seen.
    object: Bytes,
    /// Sizes that were wanted, and since when.
    sizes: Vec<(Time, i64)>,
    maximum: i64,
    observed_generation: i64,
    /// How far its status has come in the history of its Job, and of its pods.
    told: (usize, usize),
}

/// A Job that a MiniCluster owns.
#[derive(Debug)]
struct JobHistory {
    cluster: String,
    is_finished: bool,
    /// Completions, ready pods and completed indexes, as they have been.
    reports: Vec<(i64, i64, Arc<str>)>,
    /// Indexes whose pods were ready, as they have been.
    ready: Vec<BTreeSet<u32>>,
    /// Sizes that users gave it by hand.
    by_hand: Vec<(Time, i64)>,
}

/// See the module.
pub(crate) struct Audit {
    clusters: BTreeMap<String, Cluster>,
    jobs: BTreeMap<Uid, JobHistory>,
    /// Certificates, by the uid of their Secret, and the Secrets as they were last read.
    keys: (BTreeMap<String, Value>, Vec<Bytes>),
    /// What others have, by path.
    others: Vec<(String, Value)>,
    violations: Vec<Violation>,
    /// What the operator tells never goes back in time.
    is_monotone: bool,
}

impl Audit {
    /// Puts objects of others into a fresh world.
    pub(crate) fn begin(world: &mut EmbeddedWorld, is_monotone: bool) -> Self {
        let mut others = Vec::new();
        for (path, object) in bystanders() {
            let (collection, name) = path.rsplit_once('/').unwrap_or_default();
            ask(world, Method::POST, collection, &object);
            let stored = ask(world, Method::GET, &format!("{collection}/{name}"), &Value::Null);
            others.push((path, stored));
        }
        Self {
            clusters: BTreeMap::new(),
            jobs: BTreeMap::new(),
            keys: Default::default(),
            others,
            violations: Vec::new(),
            is_monotone,
        }
    }

    fn broken(&mut self, rule: &'static str, at: Time, detail: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { rule, at, detail });
        }
    }

    /// Looks at an instant: what was written since the last, and what is stored.
    pub(crate) fn look(&mut self, world: &mut EmbeddedWorld, writes: &[TraceEntry]) {
        // What users want first: what follows from it is of the same instant or later.
        let objects = world.engine().site().application().api().objects(GROUP, "miniclusters");
        let changed: Vec<(String, Value)> = objects.iter().filter_map(|object| self.fresh(object)).collect();
        for (uid, object) in &changed {
            self.wanted(uid, object, world.now());
        }
        for entry in writes {
            if let Fact::Changed(verb, change) = &entry.fact {
                match change {
                    Change::Job(versions) => self.job(world, entry, *verb, versions),
                    Change::Pod(versions) => self.pod(entry, *verb, versions),
                    Change::Node(_) => {}
                }
            }
        }
        for (uid, object) in &changed {
            self.status(uid, object, world.now());
        }
        self.look_at_keys(world);
    }

    /// A MiniCluster that is another than when it was last seen.
    fn fresh(&mut self, object: &Bytes) -> Option<(String, Value)> {
        if self.clusters.values().any(|cluster| cluster.object == *object) {
            return None;
        }
        let value: Value = serde_json::from_slice(object).ok()?;
        let uid = value["metadata"]["uid"].as_str()?.to_owned();
        let cluster = self.clusters.entry(uid.clone()).or_default();
        cluster.object = object.clone();
        Some((uid, value))
    }

    fn wanted(&mut self, uid: &str, object: &Value, now: Time) {
        let Some(cluster) = self.clusters.get_mut(uid) else { return };
        let size = number(&object["spec"]["size"]);
        if cluster.sizes.last().is_none_or(|(_, last)| *last != size) {
            cluster.sizes.push((now, size));
        }
    }

    // ---- Jobs and pods ----

    fn job(&mut self, world: &mut EmbeddedWorld, entry: &TraceEntry, verb: Verb, versions: &Versions<Job>) {
        let Some(job) = versions.new.as_ref().or(versions.old.as_ref()) else { return };
        if versions.old.is_none() {
            self.job_created(world, entry, job);
        }
        if entry.actor == Actor::Operator {
            self.written_by_operator(entry, verb, job);
        }
        let Some(history) = self.jobs.get_mut(&job.uid) else { return };
        history.is_finished = job.is_finished();
        let completions = job.spec.completions.map_or(0, i64::from);
        if entry.actor == Actor::User {
            history.by_hand.push((entry.at, completions));
        }
        let report =
            (completions, job.status.ready.map_or(0, i64::from), Arc::clone(&job.status.completed_indexes));
        if history.reports.last() != Some(&report) {
            history.reports.push(report);
        }
    }

    fn job_created(&mut self, world: &mut EmbeddedWorld, entry: &TraceEntry, job: &Job) {
        let path = format!("/apis/batch/v1/namespaces/{}/jobs/{}", job.key.namespace, job.key.name);
        let object = ask(world, Method::GET, &path, &Value::Null);
        let owners = object["metadata"]["ownerReferences"].as_array();
        let owner = owners.into_iter().flatten().find(|owner| owner["kind"] == "MiniCluster");
        let Some(uid) = owner.and_then(|owner| owner["uid"].as_str()) else { return };
        if self.job_of(uid).is_some() {
            self.broken(
                "one-job",
                entry.at,
                format!("Job {} is not the first of its MiniCluster", job.key.name),
            );
        }
        let history = JobHistory {
            cluster: uid.to_owned(),
            is_finished: false,
            reports: vec![(0, 0, Arc::from(""))],
            ready: vec![BTreeSet::new()],
            by_hand: Vec::new(),
        };
        self.jobs.insert(job.uid, history);
        if let Some(cluster) = self.clusters.get_mut(uid) {
            // What was told of no Job counts no more.
            cluster.told = (0, 0);
        }
    }

    /// The Job of the MiniCluster with this uid; of several, the last.
    fn job_of(&self, cluster: &str) -> Option<&JobHistory> {
        self.jobs.values().rev().find(|job| job.cluster == cluster)
    }

    fn written_by_operator(&mut self, entry: &TraceEntry, verb: Verb, job: &Job) {
        let Some(history) = self.jobs.get(&job.uid) else {
            return self.broken("own-objects", entry.at, format!("{verb:?} of Job {}", job.key.name));
        };
        if !matches!(verb, Verb::Create | Verb::Update) {
            self.broken("own-objects", entry.at, format!("{verb:?} of its Job {}", job.key.name));
            return;
        }
        let completions = job.spec.completions.unwrap_or_default();
        let Some(cluster) = self.clusters.get(&history.cluster) else { return };
        let was_wanted = cluster.sizes.iter().any(|(_, size)| *size == i64::from(completions));
        let is_within = cluster.maximum == 0 || i64::from(completions) <= cluster.maximum;
        if !was_wanted || job.spec.parallelism != completions {
            let size = format!("completions {completions}, parallelism {}", job.spec.parallelism);
            self.broken("sizes-asked-for", entry.at, size);
        }
        if !is_within {
            self.broken("maximum-stays", entry.at, format!("a Job of {completions}"));
        }
    }

    fn pod(&mut self, entry: &TraceEntry, verb: Verb, versions: &Versions<Pod>) {
        let Some(pod) = versions.new.as_ref().or(versions.old.as_ref()) else { return };
        let is_of_services = pod.owner.as_ref().is_none_or(|owner| !owner.is_job);
        if entry.actor == Actor::Operator && !(is_of_services && verb == Verb::Create) {
            self.broken("own-objects", entry.at, format!("{verb:?} of pod {}", pod.key.name));
        }
        let Some(index) = pod.index.get() else { return };
        let owner = pod.owner.as_ref().filter(|owner| owner.is_job).map(|owner| owner.uid);
        let Some(history) = owner.and_then(|uid| self.jobs.get_mut(&uid)) else { return };
        let is_ready = versions.new.as_ref().is_some_and(|pod| {
            pod.deletion.is_none() && pod.status.containers.first().is_some_and(|container| container.ready)
        });
        let mut ready = history.ready.last().cloned().unwrap_or_default();
        if if is_ready { ready.insert(index) } else { ready.remove(&index) } {
            history.ready.push(ready);
        }
        let was_told_to_go = versions.old.as_ref().is_some_and(|old| old.deletion.is_none())
            && versions.new.as_ref().is_none_or(|new| new.deletion.is_some());
        let lives = versions
            .old
            .as_ref()
            .is_some_and(|old| matches!(old.status.phase, PodPhase::Pending | PodPhase::Running));
        if was_told_to_go && lives && entry.actor == Actor::JobController && !history.is_finished {
            let Some(cluster) = self.clusters.get(&history.cluster) else { return };
            let by_hand = history.by_hand.iter().filter(|(at, _)| *at >= pod.creation_time);
            let by_hand = by_hand.map(|(_, size)| *size).min().unwrap_or(i64::MAX);
            let least = cluster.least_since(pod.creation_time).min(by_hand);
            if i64::from(index) < least {
                let detail =
                    format!("pod {} was ended, of {least} that were wanted all the time", pod.key.name);
                self.broken("inside-the-target", entry.at, detail);
            }
        }
    }

    // ---- the status ----

    fn status(&mut self, uid: &str, object: &Value, now: Time) {
        let status = &object["status"];
        if status.is_null() {
            return;
        }
        let Some(cluster) = self.clusters.get(uid) else { return };
        let mut broken = Vec::new();
        let (size, ready, online) =
            (number(&status["size"]), number(&status["ready"]), number(&status["online"]));
        let completed = text(&status["completedIndexes"]);
        let job = self.job_of(uid);
        let mut told = cluster.told;
        let none = (vec![(0, 0, Arc::<str>::from(""))], vec![BTreeSet::new()]);
        let (reports, pods) = job.map_or((&none.0, &none.1), |job| (&job.reports, &job.ready));
        if !reports.iter().any(|report| report.0 == size) {
            broken.push(("status-is-true", format!("size {size}: the Job never had it")));
        }
        // The earliest that it can be, not to take an old value that came again for the new one.
        let from = |told: usize| if self.is_monotone { told } else { 0 };
        let is_it = |report: &(i64, i64, Arc<str>)| report.1 == ready && *report.2 == *completed;
        match reports[from(told.0)..].iter().position(is_it) {
            Some(position) => told.0 = from(told.0) + position,
            None => broken.push((
                "status-is-true",
                format!("ready {ready}, completedIndexes `{completed}`: the Job does not tell so, or did before what was told last"),
            )),
        }
        let is_online =
            |pods: &BTreeSet<u32>| pods.iter().filter(|index| i64::from(**index) < size).count() as i64;
        match pods[from(told.1)..].iter().position(|pods| is_online(pods) == online) {
            Some(position) => told.1 = from(told.1) + position,
            None => broken.push((
                "status-is-true",
                format!("online {online}: there are not, or were before what was told last"),
            )),
        }
        broken.extend(conditions(object, job.is_some_and(|job| job.is_finished)));
        let maximum = number(&status["maximumSize"]);
        if cluster.maximum != 0 && maximum != cluster.maximum {
            broken.push(("maximum-stays", format!("{maximum}, and was {}", cluster.maximum)));
        }
        let (observed, generation) =
            (number(&status["observedGeneration"]), number(&object["metadata"]["generation"]));
        if observed > generation || observed < cluster.observed_generation {
            let was = cluster.observed_generation;
            broken.push((
                "generation",
                format!("observedGeneration {observed} of {generation}, and was {was}"),
            ));
        }
        if let Some(cluster) = self.clusters.get_mut(uid) {
            cluster.told = told;
            cluster.maximum = maximum;
            cluster.observed_generation = observed;
        }
        for (rule, detail) in broken {
            self.broken(rule, now, detail);
        }
    }

    // ---- the end ----

    /// What was broken, in a run that has ended.
    pub(crate) fn finish(
        mut self,
        world: &mut EmbeddedWorld,
        requests: &[LoggedRequest],
        passed: bool,
    ) -> Vec<Violation> {
        let now = world.now();
        for (path, before) in std::mem::take(&mut self.others) {
            let after = ask(world, Method::GET, &path, &Value::Null);
            if before != after || before["kind"] == "Status" {
                self.broken("others-left-alone", now, path);
            }
        }
        // A run that has failed ended where it failed.
        if !passed {
            return self.violations;
        }
        let start = Time::from_micros(now.as_micros().saturating_sub(REST.as_micros() as u64));
        let late: Vec<&LoggedRequest> = requests
            .iter()
            .filter(|request| request.at > start && !request.line.contains("/leases"))
            .collect();
        let write = late.iter().find(|request| !request.line.starts_with("GET "));
        if let Some(write) = write {
            self.broken("rest", write.at, write.line.clone());
        } else if late.len() > REQUESTS_AT_REST_MAX {
            self.broken("rest", now, format!("{} requests", late.len()));
        }
        self.violations
    }

    /// Looks at what is in the Secrets: once they are there, they stay.
    fn look_at_keys(&mut self, world: &EmbeddedWorld) {
        let secrets = world.engine().site().application().api().objects("", "secrets");
        if secrets == self.keys.1 {
            return;
        }
        for secret in &secrets {
            let Ok(secret) = serde_json::from_slice::<Value>(secret) else { continue };
            let uid = text(&secret["metadata"]["uid"]).to_owned();
            let key = &secret["data"];
            if self.keys.0.get(&uid).is_some_and(|known| known != key) {
                self.broken("key-stays", world.now(), text(&secret["metadata"]["name"]).to_owned());
            }
            self.keys.0.insert(uid, key.clone());
        }
        self.keys.1 = secrets;
    }
}

impl Cluster {
    /// The least size that was wanted at `since` or later.
    fn least_since(&self, since: Time) -> i64 {
        let before = self.sizes.iter().rposition(|(at, _)| *at <= since).unwrap_or(0);
        self.sizes[before..].iter().map(|(_, size)| *size).min().unwrap_or(0)
    }
}

/// What conditions claim that is not so.
fn conditions(object: &Value, is_finished: bool) -> Vec<(&'static str, String)> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let conditions = status["conditions"].as_array();
    let is_true = |kind: &str| {
        conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == kind && condition["status"] == "True")
    };
    let mut broken = Vec::new();
    let size = number(&status["size"]);
    let bound = u32::try_from(size).unwrap_or(0);
    let completed = IndexSet::parse_below(text(&status["completedIndexes"]), bound).len() as i64;
    if is_true("Ready") && number(&status["online"]) + completed < size {
        broken.push(("conditions", format!("Ready with {} of {size} online", status["online"])));
    }
    if is_true("ScalingLimited")
        && !is_finished
        && number(&spec["size"]) <= number(&status["maximumSize"])
        && status["observedGeneration"] == object["metadata"]["generation"]
    {
        broken.push(("conditions", format!("ScalingLimited with size {}", spec["size"])));
    }
    let mut seen = BTreeSet::new();
    for condition in conditions.into_iter().flatten() {
        if !seen.insert(text(&condition["type"])) {
            broken.push(("conditions", format!("{} twice", condition["type"])));
        }
    }
    broken
}

/// Objects of others that look much like a MiniCluster's.
fn bystanders() -> Vec<(String, Value)> {
    let labels =
        json!({"app.kubernetes.io/managed-by": "towtank-operator", "app.kubernetes.io/name": "flux-sample"});
    let object = |kind: &str, plural: &str, name: &str, rest: Value| {
        let mut object =
            json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels.clone()}});
        if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
            object.extend(rest);
        }
        (format!("/api/v1/namespaces/default/{plural}/{name}"), object)
    };
    vec![
        object("ConfigMap", "configmaps", "other-entrypoint", json!({"data": {"broker.toml": "# mine"}})),
        object("Secret", "secrets", "other-curve", json!({"stringData": {"curve.cert": "mine"}})),
        object(
            "Service",
            "services",
            "other",
            json!({"spec": {"clusterIP": "None", "selector": {"app": "other"}}}),
        ),
    ]
}

/// A request of somebody who looks on.
fn ask(world: &mut EmbeddedWorld, method: Method, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let Ok(request) = request.body(body) else { return Value::Null };
    let caller = Caller::master("auditor", Actor::User);
    let answer = world
        .engine_mut()
        .site_mut()
        .apply_to(|upper, ctx| upper.api_mut().handle(ctx.server, ctx.now, &caller, request));
    match answer {
        Answer::Response(response) => serde_json::from_slice(response.body()).unwrap_or_default(),
        Answer::Watch(_) => Value::Null,
    }
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
