//! Random stories: what could happen to a Job, one verb after the other.
//!
//! A story is decoded from numbers, its genes: one for the place and its mishaps, one for the Job and one for every verb.
//! Genes come from a seeded generator ([`Story::random`]) or from proptest, which shrinks a story by dropping genes and
//! lowering them; the lower a gene, the simpler what it says.

use std::fmt;

use towtank_model::cluster::{TimingProfile, WorkloadRule};
use towtank_model::engine::{Purpose, RandomStreams};
use towtank_model::job::FaultPlan;
use towtank_model::objects::CONTROLLER_UID_LABEL;
use towtank_model::server::{JobManifest, TraceEntry};
use towtank_model::simulation::{Controller, Simulation, SimulationConfig, SimulationError};
use towtank_model::time::Time;
use towtank_model::version::KubernetesVersion;

use crate::genes;
use crate::invariants::Violation;
use crate::play;
use crate::verbs::Verb;

/// A story.
#[derive(Clone, Debug)]
pub struct Story {
    /// The Kubernetes version in which it happens.
    pub version: KubernetesVersion,
    /// Seed of the simulation.
    pub seed: u64,
    /// Where it happens.
    pub setting: Setting,
    /// The Job at its centre.
    pub job: Box<JobManifest>,
    /// What happens.
    pub verbs: Vec<Verb>,
}

/// Where a story happens, and what goes wrong there by itself.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Who looks after pods.
    pub stage: Stage,
    /// How long things take; on [`Stage::Nodes`] only.
    pub timing: &'static TimingProfile,
    /// What processes do; on [`Stage::Nodes`] only.
    pub workload: Vec<WorkloadRule>,
    /// Calls of the Job controller that go wrong.
    pub faults: FaultPlan,
    /// Among them are calls whose effect the controller does not learn of, or learns of late.
    pub misleads: bool,
}

/// Who looks after pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nobody: their status is set by hand, as in upstream's integration tests.
    Manual,
    /// Scheduler and kubelets of three nodes, and the controllers of nodes and pods.
    Nodes,
}

/// How a story went.
#[derive(Clone, Debug)]
pub struct Played {
    /// Every write and fact.
    pub trace: Vec<TraceEntry>,
    /// Of every verb, whether it had an effect.
    pub accepted: Vec<bool>,
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

impl Stage {
    /// How many nodes there are.
    pub const fn nodes(self) -> u32 {
        match self {
            Self::Manual => 0,
            Self::Nodes => 3,
        }
    }
}

impl Story {
    /// The story of these genes.
    pub fn from_genes(version: KubernetesVersion, seed: u64, setting: u64, job: u128, verbs: &[u64]) -> Self {
        let setting = genes::setting(setting);
        let verbs = verbs.iter().map(|&gene| Verb::from_gene(setting.stage, gene)).collect();
        let job = Box::new(genes::job(setting.stage, job));
        Self { version, seed, setting, job, verbs }
    }

    /// A story of `length` verbs that depends on nothing but `seed` and the version.
    pub fn random(version: KubernetesVersion, seed: u64, length: usize) -> Self {
        let mut random = RandomStreams::new(seed);
        let mut gene = || random.next_u64(Purpose::Workload);
        let (setting, job) = (gene(), u128::from(gene()) << 64 | u128::from(gene()));
        let verbs: Vec<u64> = (0..length).map(|_| gene()).collect();
        Self::from_genes(version, seed, setting, job, &verbs)
    }

    /// Tells the story and holds every write against the rules.
    ///
    /// # Errors
    ///
    /// The first rule that is broken, or that the simulation does not come to rest.
    pub fn play(&self) -> Result<Played, Broken> {
        let (trace, told) = play::tell(self, true);
        let accepted = told?.acts.iter().map(|act| act.outcome == play::Outcome::Done).collect();
        Ok(Played { trace, accepted })
    }

    /// How many of its verbs do anything, or are refused; waiting is none of them.
    pub fn actions(&self) -> usize {
        let acts = play::tell(self, false).1.map_or_else(|_| Vec::new(), |told| told.acts);
        let is_action = |(verb, act): &(&Verb, &play::Act)| {
            !matches!(verb, Verb::Wait(_)) && act.outcome != play::Outcome::Void
        };
        self.verbs.iter().zip(&acts).filter(is_action).count()
    }

    /// The simulation that the story asks for.
    pub fn configuration(&self) -> SimulationConfig {
        play::configuration(self)
    }

    /// Tells the story on another simulation than the model's own, set up as [`Story::configuration`] says: every write
    /// up to the end, or to where the simulation does not come to rest, or a part of it fails.
    pub fn trace_on<C: Controller>(
        &self,
        simulation: Simulation<C>,
    ) -> (Vec<TraceEntry>, Result<(), Broken>) {
        let (trace, told) = play::tell_on(self, simulation, false);
        (trace, told.map(drop))
    }

    /// Tells the story without holding it against the rules.
    ///
    /// # Errors
    ///
    /// The simulation does not come to rest.
    pub fn trace(&self) -> Result<Vec<TraceEntry>, Broken> {
        let (trace, told) = play::tell(self, false);
        told.map(|_| trace)
    }

    /// The Job has a selector of the user's.
    pub(crate) fn is_selected(&self) -> bool {
        self.job.selector.is_some()
    }

    /// The label by which the Job knows its pods.
    pub(crate) fn label(&self) -> &'static str {
        if self.is_selected() { genes::LABEL } else { CONTROLLER_UID_LABEL }
    }
}
