//! Rules that no run may break, whatever goes wrong in it.
//!
//! They are written from the outside: what is stored and who wrote it, instant by instant. None of them asks the operator.
//!
//! | rule | says |
//! | --- | --- |
//! | `one-job` | a MiniCluster has one Job, the same as long as it lives |
//! | `own-objects` | the operator writes no Job and no pod but those of MiniClusters, and deletes none |
//! | `sizes-asked-for` | a Job is told sizes that somebody asked the MiniCluster for, as completions and parallelism together, and none again that was asked for before the last it was told |
//! | `inside-the-target` | the Job controller ends no pod whose index is below every size that was wanted since it is there |
//! | `status-is-true` | `size`, `ready`, `completedIndexes` and `online` of a status were so at some time, and do not go back in time (with one writer, whose requests are carried out in order) |
//! | `generation` | `observedGeneration` grows, and is not ahead |
//! | `conditions` | `Ready` is true when all brokers are online only; `ScalingLimited` when the size is above the maximum or the Job has finished; `Degraded` when a name is taken or the Job has failed; each is there once |
//! | `maximum-stays` | `maximumSize`, once told, never changes, and no Job is larger |
//! | `key-stays` | the CURVE certificate of a MiniCluster, once made, never changes, whatever becomes of its Secret |
//! | `others-left-alone` | objects of others are as they were |
//! | `one-leader` | of several replicas, one writes only while the Lease names it |
//! | `rest` | in the last 90 seconds of a run nothing is written but Leases |
//! | `settled` | in the end the status is exact, and the Job has the size that is wanted or a condition says why not |

mod others;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use towtank_apiserver::adapter::pump::LoggedRequest;
use towtank_apiserver::adapter::site::Serves as _;
use towtank_lockstep::virtual_world::EmbeddedWorld;
use towtank_lockstep::world::World as _;
use towtank_model::objects::{Job, JobConditionType, Pod, PodPhase, Uid};
use towtank_model::server::{Actor, Change, Fact, TraceEntry, Verb, Versions};
use towtank_model::time::Time;
use towtank_scenario::ast::Scenario;

use self::others::Others;
use crate::plan::Plan;
use crate::world::is_of_election;

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
    object: Arc<Value>,
    /// Sizes that were wanted, and since when.
    sizes: Vec<(Time, i64)>,
    /// Which of them its Job was told last.
    resized: usize,
    maximum: i64,
    observed_generation: i64,
    /// A name that it needs was another's at some time.
    was_taken: bool,
    told: Told,
}

/// How far a status has come in the history of its Job, and of its pods.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    size: usize,
    report: usize,
    ready: usize,
}

/// A Job that a MiniCluster owns.
#[derive(Debug)]
struct JobHistory {
    cluster: String,
    is_finished: bool,
    /// It has failed, or is about to end for another reason: its pods go.
    is_ending: bool,
    has_failed: bool,
    /// Its sizes, as they have been.
    sizes: Vec<i64>,
    /// Ready pods and completed indexes, as they have been.
    reports: Vec<(i64, Arc<str>)>,
    /// Indexes whose pods were ready, as they have been.
    ready: Vec<BTreeSet<u32>>,
    /// Sizes that users gave it by hand.
    by_hand: Vec<(Time, i64)>,
    /// Pods inside the target that the Job controller has ended, until its next write says whether that is the end of the Job.
    ended: Vec<(Time, String)>,
}

impl JobHistory {
    /// Nothing has happened yet: also what can be told of no Job.
    fn new(cluster: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            is_finished: false,
            is_ending: false,
            has_failed: false,
            sizes: vec![0],
            reports: vec![(0, Arc::from(""))],
            ready: vec![BTreeSet::new()],
            by_hand: Vec::new(),
            ended: Vec::new(),
        }
    }
}

/// See the module.
pub(crate) struct Audit {
    clusters: BTreeMap<String, Cluster>,
    jobs: BTreeMap<Uid, JobHistory>,
    /// Certificates, by the uid of the MiniCluster that their Secret belongs to, and the Secrets as they were last read.
    keys: (BTreeMap<String, Value>, Vec<Arc<Value>>),
    others: Others,
    violations: Vec<Violation>,
    /// What the operator tells never goes back in time.
    is_monotone: bool,
}

impl Audit {
    /// Puts objects of others into a fresh world.
    pub(crate) fn begin(world: &mut EmbeddedWorld, scenario: &Scenario, plan: &Plan) -> Self {
        Self {
            clusters: BTreeMap::new(),
            jobs: BTreeMap::new(),
            keys: Default::default(),
            others: Others::begin(world, scenario, plan),
            violations: Vec::new(),
            is_monotone: plan.is_in_order(),
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
        let changed: Vec<_> = objects.iter().filter_map(|object| self.fresh(object)).collect();
        for (uid, object) in &changed {
            self.wanted(uid, object, world.now());
            if let Some(cluster) = self.clusters.get_mut(uid) {
                cluster.was_taken |= others::is_taken(world, object);
            }
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
        self.others.look(world);
    }

    /// A MiniCluster that is another than when it was last seen.
    fn fresh(&mut self, object: &Arc<Value>) -> Option<(String, Arc<Value>)> {
        let uid = text(&object["metadata"]["uid"]);
        if self.clusters.get(uid).is_some_and(|cluster| cluster.object == *object) {
            return None;
        }
        let cluster = self.clusters.entry(uid.to_owned()).or_default();
        cluster.object = Arc::clone(object);
        Some((uid.to_owned(), Arc::clone(object)))
    }

    fn wanted(&mut self, uid: &str, object: &Value, now: Time) {
        let Some(cluster) = self.clusters.get_mut(uid) else { return };
        let size = number(&object["spec"]["size"]);
        if cluster.sizes.last().is_none_or(|(_, last)| *last != size) {
            cluster.sizes.push((now, size));
        }
    }

    // ---- Jobs and pods ----

    fn job(&mut self, world: &EmbeddedWorld, entry: &TraceEntry, verb: Verb, versions: &Versions<Job>) {
        let Some(job) = versions.new.as_ref().or(versions.old.as_ref()) else { return };
        if versions.old.is_none() {
            self.job_created(world, entry, job);
        }
        if entry.actor == Actor::Operator {
            self.written_by_operator(entry, verb, job);
        }
        let Some(history) = self.jobs.get_mut(&job.uid) else { return };
        let is_true = |kind| job.status.true_condition(kind).is_some();
        history.is_finished = job.is_finished();
        history.has_failed |= is_true(JobConditionType::Failed);
        history.is_ending = history.is_finished
            || is_true(JobConditionType::FailureTarget)
            || is_true(JobConditionType::SuccessCriteriaMet);
        if history.is_ending {
            history.ended.clear();
        }
        let is_controller = entry.actor == Actor::JobController;
        let ended = if is_controller { std::mem::take(&mut history.ended) } else { Vec::new() };
        let completions = job.spec.completions.map_or(0, i64::from);
        if entry.actor == Actor::User {
            history.by_hand.push((entry.at, completions));
        }
        if history.sizes.last() != Some(&completions) {
            history.sizes.push(completions);
        }
        let report = (job.status.ready.map_or(0, i64::from), Arc::clone(&job.status.completed_indexes));
        if history.reports.last() != Some(&report) {
            history.reports.push(report);
        }
        for (at, pod) in ended {
            self.broken("inside-the-target", at, pod);
        }
    }

    fn job_created(&mut self, world: &EmbeddedWorld, entry: &TraceEntry, job: &Job) {
        let key = &job.key;
        let stored =
            world.engine().site().application().api().object("batch", "jobs", &key.namespace, &key.name);
        let Some(object) = stored else {
            // Made for a MiniCluster that has just gone, and collected within the instant: whose it was is not to be seen any more.
            self.jobs.insert(job.uid, JobHistory::new(""));
            return;
        };
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
        self.jobs.insert(job.uid, JobHistory::new(uid));
        if let Some(cluster) = self.clusters.get_mut(uid) {
            // What was told of no Job counts no more.
            cluster.told = Told::default();
            cluster.resized = 0;
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
        let completions = job.spec.completions.map_or(0, i64::from);
        let Some(cluster) = self.clusters.get_mut(&history.cluster) else { return };
        // The earliest that it can be: a size that is wanted again is not taken for the new one.
        let from = if self.is_monotone { cluster.resized } else { 0 };
        let wanted = cluster.sizes[from..].iter().position(|(_, size)| *size == completions);
        cluster.resized = wanted.map_or(cluster.resized, |position| from + position);
        let is_within = cluster.maximum == 0 || completions <= cluster.maximum;
        if wanted.is_none() || i64::from(job.spec.parallelism) != completions {
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
        if was_told_to_go && lives && entry.actor == Actor::JobController && !history.is_ending {
            let Some(cluster) = self.clusters.get(&history.cluster) else { return };
            let by_hand = history.by_hand.iter().filter(|(at, _)| *at >= pod.creation_time);
            let by_hand = by_hand.map(|(_, size)| *size).min().unwrap_or(i64::MAX);
            let least = cluster.least_since(pod.creation_time).min(by_hand);
            if i64::from(index) < least {
                let name = &pod.key.name;
                let detail = format!("pod {name} was ended, of {least} that were wanted all the time");
                history.ended.push((entry.at, detail));
            }
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
        for (rule, at, detail) in self.others.finish(world, requests) {
            self.broken(rule, at, detail);
        }
        for (at, pod) in
            self.jobs.values_mut().flat_map(|job| std::mem::take(&mut job.ended)).collect::<Vec<_>>()
        {
            self.broken("inside-the-target", at, pod);
        }
        // A run that has failed ended where it failed.
        if !passed {
            return self.violations;
        }
        let start = Time::from_micros(now.as_micros().saturating_sub(REST.as_micros() as u64));
        let late: Vec<&LoggedRequest> =
            requests.iter().filter(|request| request.at > start && !is_of_election(request)).collect();
        let write = late.iter().find(|request| !request.line.starts_with("GET "));
        if let Some(write) = write {
            self.broken("rest", write.at, write.line.clone());
        } else if late.len() > REQUESTS_AT_REST_MAX {
            self.broken("rest", now, format!("{} requests", late.len()));
        }
        self.settled(world);
        self.violations
    }

    /// Looks at what is in the Secrets: once they are there, they stay.
    fn look_at_keys(&mut self, world: &EmbeddedWorld) {
        let secrets = world.engine().site().application().api().objects("", "secrets");
        if secrets == self.keys.1 {
            return;
        }
        for secret in &secrets {
            let metadata = &secret["metadata"];
            let Some(cluster) = metadata["ownerReferences"][0]["uid"].as_str() else { continue };
            let key = &secret["data"];
            if self.keys.0.get(cluster).is_some_and(|known| known != key) {
                self.broken("key-stays", world.now(), text(&metadata["name"]).to_owned());
            }
            self.keys.0.insert(cluster.to_owned(), key.clone());
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

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
