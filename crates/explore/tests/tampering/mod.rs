//! Traces of real runs with writes at their end that nobody made.

mod endings;
mod pods;
mod status;

use std::sync::Arc;
use std::time::Duration;

use towtank_explore::invariants::{Checker, Violation};
use towtank_model::cluster::{ClusterConfig, ManualStatus};
use towtank_model::objects::{
    CompletionMode, ConditionStatus, Container, Deletion, Job, JobCondition, JobConditionType, JobStatus,
    Labels, ObjectKey, Pod, PodIndex, PodPhase, PodSpec, PodTemplate, RestartPolicy, Uid,
};
use towtank_model::server::{Actor, Change, Fact, JobManifest, TraceEntry, Verb, Versions};
use towtank_model::simulation::{Simulation, SimulationConfig};
use towtank_model::time::Time;
use towtank_model::version::{Features, KubernetesVersion};

/// A run and what is done to its trace.
pub(crate) struct Tampering {
    /// The rule that it breaks.
    pub(crate) breaks: &'static str,
    job: fn(&mut JobManifest),
    run: fn(&mut Simulation),
    tamper: fn(&mut Tape),
}

/// All tamperings.
pub(crate) fn all() -> impl Iterator<Item = Tampering> {
    status::all().into_iter().chain(endings::all()).chain(pods::all())
}

/// The trace of three pods of an Indexed Job, with writes of nobody.
fn against(breaks: &'static str, tamper: fn(&mut Tape)) -> Tampering {
    Tampering { breaks, job: |_| {}, run: |_| {}, tamper }
}

impl Tampering {
    /// Changes the Job of the run.
    fn job(self, job: fn(&mut JobManifest)) -> Self {
        Self { job, ..self }
    }

    /// What happens in the run before the tampering.
    fn after(self, run: fn(&mut Simulation)) -> Self {
        Self { run, ..self }
    }

    fn start(&self) -> (Tape, Checker) {
        let features = Features::of(KubernetesVersion::from_minor(36).unwrap());
        let mut simulation = Simulation::new(SimulationConfig {
            keeps_trace: true,
            cluster: ClusterConfig { manual_pods: true, nodes: 0, ..ClusterConfig::default() },
            ..SimulationConfig::new(features, 1)
        });
        let mut manifest = manifest();
        (self.job)(&mut manifest);
        simulation.create_job(key(), &manifest).unwrap();
        pass(&mut simulation, 2);
        (self.run)(&mut simulation);
        (Tape::of(&mut simulation), Checker::new(features))
    }

    /// What the trace breaks before it is tampered with.
    pub(crate) fn untouched(&self) -> Vec<Violation> {
        let (tape, mut checker) = self.start();
        checker.read(&tape.entries)
    }

    /// What the trace breaks afterwards, its end included.
    pub(crate) fn play(&self) -> Vec<Violation> {
        let (mut tape, mut checker) = self.start();
        (self.tamper)(&mut tape);
        let mut violations = checker.read(&tape.entries);
        if tape.rests {
            violations.extend(checker.rest(tape.now + Duration::from_secs(3_600)));
        }
        violations
    }
}

/// The end of a trace, with the objects as they are then.
pub(crate) struct Tape {
    entries: Vec<TraceEntry>,
    job: Arc<Job>,
    pods: Vec<Arc<Pod>>,
    now: Time,
    version: u64,
    /// Nothing happens for an hour.
    rests: bool,
}

impl Tape {
    fn of(simulation: &mut Simulation) -> Self {
        Self {
            entries: simulation.take_trace(),
            job: Arc::clone(simulation.server().job_by_key(&key()).unwrap()),
            pods: simulation.server().pods().cloned().collect(),
            now: simulation.now() + Duration::from_secs(1),
            version: simulation.server().resource_version(),
            rests: false,
        }
    }

    fn rest(&mut self) {
        self.rests = true;
    }

    fn note(&mut self, actor: Actor, verb: Verb, change: Change) {
        self.entries.push(TraceEntry { at: self.now, actor, fact: Fact::Changed(verb, change) });
    }

    fn write_job(&mut self, actor: Actor, verb: Verb, change: impl FnOnce(&mut Job)) {
        self.version += 1;
        let mut new = Job { resource_version: self.version, ..Job::clone(&self.job) };
        change(&mut new);
        let old = std::mem::replace(&mut self.job, Arc::new(new));
        let versions = Versions { old: Some(old), new: Some(Arc::clone(&self.job)) };
        self.note(actor, verb, Change::Job(versions));
    }

    /// A user changes the Job.
    fn edit(&mut self, change: impl FnOnce(&mut Job)) {
        self.write_job(Actor::User, Verb::Update, |job| {
            change(job);
            job.generation += 1;
        });
    }

    /// Room for one more pod.
    fn make_room(&mut self) {
        self.edit(|job| job.spec.parallelism += 1);
    }

    /// Somebody else than the controller writes the status.
    fn set_status(&mut self, change: impl FnOnce(&mut JobStatus)) {
        self.write_job(Actor::User, Verb::UpdateStatus, |job| change(&mut job.status));
    }

    /// The controller writes the status.
    fn report(&mut self, change: impl FnOnce(&mut JobStatus)) {
        self.write_job(Actor::JobController, Verb::UpdateStatus, |job| change(&mut job.status));
    }

    /// The Job goes.
    fn remove_job(&mut self) {
        let versions = Versions { old: Some(Arc::clone(&self.job)), new: None };
        self.note(Actor::User, Verb::Delete, Change::Job(versions));
    }

    fn write_pod(&mut self, pod: usize, actor: Actor, verb: Verb, change: impl FnOnce(&mut Pod)) {
        self.version += 1;
        let mut new = Pod { resource_version: self.version, ..Pod::clone(&self.pods[pod]) };
        change(&mut new);
        let old = std::mem::replace(&mut self.pods[pod], Arc::new(new));
        let versions = Versions { old: Some(old), new: Some(Arc::clone(&self.pods[pod])) };
        self.note(actor, verb, Change::Pod(versions));
    }

    /// The controller deletes a pod.
    fn delete_pod(&mut self, pod: usize) {
        let deletion = Some(Deletion { timestamp: self.now, grace_period_s: 0 });
        self.write_pod(pod, Actor::JobController, Verb::Delete, |pod| pod.deletion = deletion);
    }

    /// The controller creates a pod like the first one.
    fn create_pod(&mut self, index: u32) {
        self.version += 1;
        let uid = Uid(1_000 + u32::try_from(self.pods.len()).unwrap());
        let new = Arc::new(Pod {
            uid,
            key: ObjectKey::new("default", format!("tampered-{uid}")),
            resource_version: self.version,
            index: PodIndex::At(index),
            tracked: true,
            deletion: None,
            status: Default::default(),
            ..Pod::clone(&self.pods[0])
        });
        self.pods.push(Arc::clone(&new));
        let versions = Versions { old: None, new: Some(new) };
        self.note(Actor::JobController, Verb::Create, Change::Pod(versions));
    }
}

fn condition(kind: JobConditionType, reason: &str) -> JobCondition {
    JobCondition {
        kind,
        status: ConditionStatus::True,
        reason: reason.into(),
        message: "".into(),
        last_transition_time: Time::from_secs(2),
    }
}

fn key() -> ObjectKey {
    ObjectKey::new("default", "job")
}

fn manifest() -> JobManifest {
    JobManifest {
        completions: Some(3),
        parallelism: Some(3),
        completion_mode: Some(CompletionMode::Indexed),
        template: Some(template(&[])),
        ..JobManifest::default()
    }
}

fn template(finalizers: &[&str]) -> Arc<PodTemplate> {
    let main = Container { name: "main".into(), cpu_request_milli: 0, is_sidecar: false };
    Arc::new(PodTemplate {
        labels: Arc::new(Labels::new()),
        annotations: Arc::new(Labels::new()),
        finalizers: finalizers.iter().map(|&name| name.into()).collect(),
        spec: Arc::new(PodSpec {
            restart_policy: RestartPolicy::Never,
            containers: vec![main],
            ..PodSpec::default()
        }),
    })
}

/// Lets this many seconds pass.
fn pass(simulation: &mut Simulation, seconds: u64) {
    let limit = simulation.now() + Duration::from_secs(seconds);
    simulation.run_until(limit).unwrap();
}

/// The pod of this index ends, and the controller does not know it yet.
fn end(simulation: &mut Simulation, index: u32, phase: PodPhase) {
    let pod = simulation.server().pods().find(|pod| pod.index.get() == Some(index)).map(|pod| pod.uid);
    let status = ManualStatus { phase, exit_code: None, condition: None, ready: None };
    simulation.set_phase(pod.unwrap(), &status).unwrap();
}

/// The same, and the controller has counted it.
fn end_counted(simulation: &mut Simulation, index: u32, phase: PodPhase) {
    end(simulation, index, phase);
    pass(simulation, 2);
}
