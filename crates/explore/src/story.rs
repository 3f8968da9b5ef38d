//! Random stories: what could happen to a Job, one verb after the other.
//!
//! A story is decoded from numbers, its genes: one for the Job and one for every verb. Genes come from a seeded generator
//! ([`Story::random`]) or from proptest, which shrinks a story by dropping genes and lowering them; the lower a gene, the
//! simpler what it says.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use towtank_model::cluster::{ClusterConfig, ManualStatus};
use towtank_model::engine::{Purpose, RandomStreams};
use towtank_model::job::WatchKind;
use towtank_model::objects::{
    CompletionMode, Container, Labels, ObjectKey, PodFailureAction, PodFailureMatch, PodFailurePolicy,
    PodFailureRule, PodPhase, PodReplacementPolicy, PodSpec, PodTemplate, RestartPolicy, Uid,
};
use towtank_model::server::{JobManifest, PodPatch, Propagation, TraceEntry};
use towtank_model::simulation::{Simulation, SimulationConfig, SimulationError};
use towtank_model::time::Time;
use towtank_model::version::{Features, KubernetesVersion};

use crate::invariants::{Checker, Violation};

/// A story.
#[derive(Clone, Debug)]
pub struct Story {
    /// The Kubernetes version in which it happens.
    pub version: KubernetesVersion,
    /// Seed of the simulation.
    pub seed: u64,
    /// The Job at its centre.
    pub job: Box<JobManifest>,
    /// What happens.
    pub verbs: Vec<Verb>,
}

/// A pod, by its position among the stored pods in order of creation, modulo their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodPick(pub u32);

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Verb {
    /// Time passes.
    Wait(Duration),
    /// A pod runs and is ready.
    Run(PodPick),
    /// A pod succeeds.
    Succeed(PodPick),
    /// A pod fails with this exit code.
    Fail(PodPick, i32),
    /// Completions and parallelism are set to the same number.
    Scale(i32),
    /// Parallelism alone is set.
    SetParallelism(i32),
    /// Completions alone are set; refused unless they are equal to parallelism.
    SetCompletions(i32),
    /// The Job is suspended, or resumed.
    SetSuspend(bool),
    /// `backoffLimit` is set.
    SetBackoffLimit(i32),
    /// `activeDeadlineSeconds` is set.
    SetDeadline(i64),
    /// `maxFailedIndexes` is set.
    SetMaxFailedIndexes(i32),
    /// `podReplacementPolicy` is set.
    SetReplacementPolicy(PodReplacementPolicy),
    /// A user deletes a pod.
    DeletePod(PodPick),
    /// A user deletes a pod without grace.
    ForceDeletePod(PodPick),
    /// A pod is evicted.
    Evict(PodPick),
    /// A user takes the tracking finalizer off a pod.
    RemoveFinalizer(PodPick),
    /// A user takes the labels away by which the Job knows its pod.
    Disown(PodPick),
    /// The Job controller's process restarts.
    Restart,
    /// A cache of the controller stands still.
    Hold(WatchKind),
    /// All caches catch up.
    Release,
    /// The Job is deleted.
    DeleteJob(Propagation),
    /// The Job is created again under its name.
    Recreate,
}

/// Number of kinds of verbs.
pub const VERB_KINDS: u64 = 22;

/// How a story went.
#[derive(Clone, Debug)]
pub struct Played {
    /// Every write and fact.
    pub trace: Vec<TraceEntry>,
    /// Verbs that the API server accepted.
    pub accepted: usize,
}

/// Why a story cannot be told to its end.
#[derive(Clone, Debug)]
pub enum Broken {
    /// A rule was broken.
    Violation(Time, Violation),
    /// The simulation did not come to rest.
    Livelock(SimulationError),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violation(at, violation) => {
                write!(f, "at {at}: {}: {}", violation.invariant, violation.detail)
            }
            Self::Livelock(error) => error.fmt(f),
        }
    }
}

/// Numbers drawn from one gene.
struct Gene(u64);

impl Gene {
    /// The next number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        let number = self.0 % bound;
        self.0 /= bound;
        number
    }

    fn small(&mut self, bound: u64) -> i32 {
        i32::try_from(self.below(bound)).unwrap_or(0)
    }

    fn maybe<T>(&mut self, one_in: u64, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(one_in) == one_in - 1).then(|| value(self))
    }
}

impl Story {
    /// The story of these genes.
    pub fn from_genes(version: KubernetesVersion, seed: u64, job: u64, verbs: &[u64]) -> Self {
        let verbs = verbs.iter().map(|&gene| Verb::from_gene(gene)).collect();
        Self { version, seed, job: Box::new(job_from_gene(job)), verbs }
    }

    /// A story of `length` verbs that depends on nothing but `seed` and the version.
    pub fn random(version: KubernetesVersion, seed: u64, length: usize) -> Self {
        let mut random = RandomStreams::new(seed);
        let job = random.next_u64(Purpose::Workload);
        let verbs: Vec<u64> = (0..length).map(|_| random.next_u64(Purpose::Workload)).collect();
        Self::from_genes(version, seed, job, &verbs)
    }

    /// Tells the story and holds every write against the rules.
    ///
    /// # Errors
    ///
    /// The first rule that is broken, or that the simulation does not come to rest.
    pub fn play(&self) -> Result<Played, Broken> {
        let features = Features::of(self.version);
        let config = SimulationConfig {
            keeps_trace: true,
            cluster: ClusterConfig { manual_pods: true, nodes: 0, ..ClusterConfig::default() },
            ..SimulationConfig::new(features, self.seed)
        };
        let mut stage = Stage {
            simulation: Simulation::new(config),
            checker: Checker::new(features),
            played: Played { trace: Vec::new(), accepted: 0 },
        };
        stage.simulation.create_job(key(), &self.job).ok();
        stage.run_for(Duration::from_secs(1))?;
        for verb in &self.verbs {
            stage.act(verb, &self.job);
            stage.run_for(Duration::from_millis(300))?;
        }
        stage.act(&Verb::Release, &self.job);
        // Longer than the longest back-off and the expectations' time to live together.
        stage.run_for(Duration::from_secs(3_600))?;
        stage.checker.rest().map_err(|violation| Broken::Violation(stage.simulation.now(), violation))?;
        Ok(stage.played)
    }
}

impl Verb {
    fn from_gene(gene: u64) -> Self {
        let mut gene = Gene(gene);
        let kind = gene.below(VERB_KINDS);
        let pod = PodPick(u32::try_from(gene.below(16)).unwrap_or(0));
        match kind {
            0 => Self::Wait(Duration::from_millis(100 * (1 + gene.below(300)))),
            1 => Self::Run(pod),
            2 => Self::Succeed(pod),
            3 => Self::Fail(pod, 1 + gene.small(4)),
            4 => Self::Scale(gene.small(7)),
            5 => Self::SetParallelism(gene.small(6)),
            6 => Self::SetCompletions(gene.small(6)),
            7 => Self::DeletePod(pod),
            8 => Self::SetSuspend(gene.below(2) == 0),
            9 => Self::Restart,
            10 => Self::Hold(if gene.below(2) == 0 { WatchKind::Pods } else { WatchKind::Jobs }),
            11 => Self::Release,
            12 => Self::SetBackoffLimit(gene.small(6)),
            13 => Self::SetDeadline(1 + i64::from(gene.small(120))),
            14 => Self::SetMaxFailedIndexes(gene.small(4)),
            15 => Self::SetReplacementPolicy(if gene.below(2) == 0 {
                PodReplacementPolicy::Failed
            } else {
                PodReplacementPolicy::TerminatingOrFailed
            }),
            16 => Self::ForceDeletePod(pod),
            17 => Self::Evict(pod),
            18 => Self::RemoveFinalizer(pod),
            19 => Self::Disown(pod),
            20 => Self::DeleteJob(match gene.below(3) {
                0 => Propagation::Background,
                1 => Propagation::Foreground,
                _ => Propagation::Orphan,
            }),
            _ => Self::Recreate,
        }
    }
}

/// A simulation on which a story is told.
struct Stage {
    simulation: Simulation,
    checker: Checker,
    played: Played,
}

impl Stage {
    /// Lets time pass and holds every write against the rules.
    fn run_for(&mut self, duration: Duration) -> Result<(), Broken> {
        let limit = self.simulation.now() + duration;
        loop {
            self.read()?;
            if self.simulation.step_instant(limit).map_err(Broken::Livelock)?.is_none() {
                return self.read();
            }
        }
    }

    fn read(&mut self) -> Result<(), Broken> {
        let entries = self.simulation.take_trace();
        let now = self.simulation.now();
        self.checker.read(&entries).map_err(|violation| Broken::Violation(now, violation))?;
        self.played.trace.extend(entries);
        Ok(())
    }

    /// Does what the verb says. What the API server refuses has no effect, as in life.
    fn act(&mut self, verb: &Verb, job: &JobManifest) {
        let accepted = match verb {
            Verb::Wait(duration) => {
                // Interrupted by nothing but the rules: a violation is found with the next verb.
                let limit = self.simulation.now() + *duration;
                self.simulation.run_until(limit).is_ok()
            }
            Verb::Run(pod) => self.set_phase(*pod, PodPhase::Running, None),
            Verb::Succeed(pod) => self.set_phase(*pod, PodPhase::Succeeded, None),
            Verb::Fail(pod, exit_code) => self.set_phase(*pod, PodPhase::Failed, Some(*exit_code)),
            Verb::DeletePod(pod) => {
                self.with_pod(*pod, |simulation, uid| simulation.delete_pod(uid, None).is_ok())
            }
            Verb::ForceDeletePod(pod) => {
                self.with_pod(*pod, |simulation, uid| simulation.delete_pod(uid, Some(0)).is_ok())
            }
            Verb::Evict(pod) => self.with_pod(*pod, |simulation, uid| simulation.evict_pod(uid).is_ok()),
            Verb::RemoveFinalizer(pod) => {
                let patch = PodPatch { remove_tracking_finalizer: true, ..PodPatch::default() };
                self.with_pod(*pod, |simulation, uid| simulation.patch_pod(uid, &patch).is_ok())
            }
            Verb::Disown(pod) => self.disown(*pod),
            Verb::Restart => {
                self.simulation.restart_controller();
                true
            }
            Verb::Hold(kind) => {
                self.checker.set_informed(false);
                self.simulation.hold_cache(*kind);
                true
            }
            Verb::Release => {
                self.simulation.release_cache(WatchKind::Jobs);
                self.simulation.release_cache(WatchKind::Pods);
                self.checker.set_informed(true);
                true
            }
            Verb::DeleteJob(propagation) => self.simulation.delete_job(&key(), *propagation).is_ok(),
            Verb::Recreate => self.simulation.create_job(key(), job).is_ok(),
            change => self.simulation.update_job(&key(), &manifest_of(change)).is_ok(),
        };
        self.played.accepted += usize::from(accepted);
    }

    fn with_pod(&mut self, pick: PodPick, act: impl FnOnce(&mut Simulation, Uid) -> bool) -> bool {
        let uids: Vec<Uid> = self.simulation.server().pods().map(|pod| pod.uid).collect();
        let Some(&uid) = uids.get(pick.0 as usize % uids.len().max(1)) else { return false };
        act(&mut self.simulation, uid)
    }

    fn set_phase(&mut self, pick: PodPick, phase: PodPhase, exit_code: Option<i32>) -> bool {
        let ready = Some(phase == PodPhase::Running);
        self.with_pod(pick, |simulation, uid| {
            let ended = simulation.server().pod(uid).is_some_and(|pod| pod.status.phase.is_terminal());
            let status = ManualStatus { phase, exit_code, condition: None, ready };
            !ended && simulation.set_phase(uid, &status).is_ok()
        })
    }

    fn disown(&mut self, pick: PodPick) -> bool {
        self.with_pod(pick, |simulation, uid| {
            let Some(pod) = simulation.server().pod(uid).cloned() else { return false };
            let labels = pod.labels.keys().map(|label| (Arc::clone(label), None)).collect();
            simulation.patch_pod(uid, &PodPatch { labels, ..PodPatch::default() }).is_ok()
        })
    }
}

/// The manifest of an update.
fn manifest_of(verb: &Verb) -> JobManifest {
    let mut manifest = JobManifest::default();
    match *verb {
        Verb::Scale(count) => (manifest.completions, manifest.parallelism) = (Some(count), Some(count)),
        Verb::SetParallelism(count) => manifest.parallelism = Some(count),
        Verb::SetCompletions(count) => manifest.completions = Some(count),
        Verb::SetSuspend(suspend) => manifest.suspend = Some(suspend),
        Verb::SetBackoffLimit(limit) => manifest.backoff_limit = Some(limit),
        Verb::SetDeadline(seconds) => manifest.active_deadline_seconds = Some(seconds),
        Verb::SetMaxFailedIndexes(limit) => manifest.max_failed_indexes = Some(limit),
        Verb::SetReplacementPolicy(policy) => manifest.pod_replacement_policy = Some(policy),
        _ => {}
    }
    manifest
}

fn key() -> ObjectKey {
    ObjectKey::new("default", "story")
}

fn job_from_gene(gene: u64) -> JobManifest {
    let mut gene = Gene(gene);
    let indexed = gene.below(4) < 3;
    let (completions, parallelism) = (1 + gene.small(6), 1 + gene.small(6));
    let elastic = gene.below(3) < 2;
    let per_index = indexed.then(|| gene.maybe(3, |gene| gene.small(3))).flatten();
    let policy = gene.maybe(6, failure_policy);
    JobManifest {
        parallelism: Some(if elastic { completions } else { parallelism }),
        completions: gene.maybe(4, |_| ()).filter(|()| !indexed).map_or(Some(completions), |()| None),
        completion_mode: Some(if indexed { CompletionMode::Indexed } else { CompletionMode::NonIndexed }),
        backoff_limit: gene.maybe(2, |gene| gene.small(7)),
        backoff_limit_per_index: per_index,
        max_failed_indexes: per_index.and_then(|_| gene.maybe(2, |gene| gene.small(2))),
        active_deadline_seconds: gene.maybe(6, |gene| 5 + i64::from(gene.small(100))),
        suspend: gene.maybe(8, |_| true),
        pod_replacement_policy: match policy {
            Some(_) => Some(PodReplacementPolicy::Failed),
            None => gene.maybe(3, |_| PodReplacementPolicy::Failed),
        },
        pod_failure_policy: policy,
        template: Some(template(gene.maybe(4, |_| ()).is_some())),
        ..JobManifest::default()
    }
}

fn failure_policy(gene: &mut Gene) -> Arc<PodFailurePolicy> {
    let action = match gene.below(3) {
        0 => PodFailureAction::Ignore,
        1 => PodFailureAction::Count,
        _ => PodFailureAction::FailJob,
    };
    let matches =
        PodFailureMatch::ExitCodes { container_name: None, is_in: true, values: vec![1 + gene.small(3)] };
    Arc::new(PodFailurePolicy { rules: vec![PodFailureRule { action, matches }] })
}

/// With a foreign finalizer, deleted pods stay and can be seen terminating.
fn template(keeps_deleted: bool) -> Arc<PodTemplate> {
    let finalizers: &[&str] = if keeps_deleted { &["example.com/hold"] } else { &[] };
    Arc::new(PodTemplate {
        labels: Arc::new(Labels::new()),
        annotations: Arc::new(Labels::new()),
        finalizers: finalizers.iter().map(|&name| name.into()).collect(),
        spec: Arc::new(pod_spec()),
    })
}

fn pod_spec() -> PodSpec {
    let main = Container { name: "main".into(), cpu_request_milli: 0, is_sidecar: false };
    PodSpec {
        restart_policy: RestartPolicy::Never,
        containers: vec![main],
        init_containers: Vec::new(),
        termination_grace_period_s: 30,
        node_selector: Labels::new(),
        tolerations: Vec::new(),
        scheduling_gates: Vec::new(),
    }
}
