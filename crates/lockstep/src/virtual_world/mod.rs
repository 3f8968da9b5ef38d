//! Worlds on virtual time: a scenario played on a simulation, with the model's controller or a real one in it.

mod action;
pub mod embedded;
mod engine;
mod identity;
mod template;
mod upper;
mod view;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use towtank_minicluster::fleet::{Fleet, Settings};
use towtank_model::cluster::{self, ClusterConfig, TimingProfile};
use towtank_model::index_set::IndexSet;
use towtank_model::job::{ControllerConfig, JobController};
use towtank_model::server::TraceEntry;
use towtank_model::simulation::{Simulation, SimulationConfig};
use towtank_model::time::Time;
use towtank_model::version::{Features, GateError, KubernetesVersion};
use towtank_reference::controller::RemoteController;
use towtank_reference::driver::Driver;
use towtank_scenario::ast::{Action, ClusterSpec, FluxSpec, Scenario, Stack, TableCommand, WorkloadRule};
use towtank_scenario::observation::Observation;

use crate::latency::profile::{self, ProfileError};
use crate::world::{PodChanges, Refusal, World, WorldError, WorldKind};
pub use embedded::{Embedded, EmbeddedWorld, OpenWorld};
pub use engine::Engine;
use identity::Identities;
pub use upper::Upper;
use view::Viewer;

/// A simulation, playing one scenario.
pub struct VirtualWorld<E> {
    kind: WorldKind,
    engine: E,
    identities: Identities,
    viewer: Viewer,
    observation: Observation,
    /// There is no kubelet: steps write what it would report.
    manual_pods: bool,
    /// Generation and instant that `observation` shows; `None` before the first.
    observed: Option<(u64, Time)>,
}

/// The world `model`: nothing in it is real.
pub type ModelWorld = VirtualWorld<Simulation<JobController, Fleet>>;

/// The world `reference`: Kubernetes' own controllers of Jobs and its rules for writes, in a driver. Nodes are the
/// model's.
pub type ReferenceWorld = VirtualWorld<Simulation<RemoteController, Fleet>>;

/// A scenario that a world cannot play in a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// A feature gate does not exist there, or cannot be set.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// There is no such timing profile.
    #[error(transparent)]
    Timing(#[from] ProfileError),
    /// The driver of the reference is not there, or cannot begin.
    #[error("{0}")]
    Driver(String),
}

impl ModelWorld {
    /// A fresh world for `scenario`: its cluster without any Job or pod.
    ///
    /// # Errors
    ///
    /// A feature gate of the scenario that `version` does not have, or has locked.
    pub fn new(scenario: &Scenario, stack: Stack, seed: u64) -> Result<Self, SetupError> {
        let config = configuration(scenario, stack.kubernetes, seed)?;
        let controller = JobController::new(config.controller.clone(), config.features, config.explains);
        let fleet = fleet(&scenario.cluster, stack, config.cluster.timing);
        let simulation = Simulation::with_application(config, controller, None, fleet);
        Ok(Self::around(WorldKind::Model, scenario, stack.kubernetes, simulation))
    }
}

impl ReferenceWorld {
    /// A fresh world for `scenario` in a driver, which must carry the stack's Kubernetes.
    ///
    /// # Errors
    ///
    /// As for the model, or the driver cannot begin a run.
    pub fn begin(
        scenario: &Scenario,
        stack: Stack,
        seed: u64,
        driver: &Rc<RefCell<Driver>>,
    ) -> Result<Self, SetupError> {
        let mut config = configuration(scenario, stack.kubernetes, seed)?;
        // Decisions are the real controller's own.
        config.explains = false;
        let gates = scenario.cluster.feature_gates.iter().map(|(name, value)| (name.clone(), *value));
        let (controller, registry) =
            RemoteController::begin(driver, &config.controller, seed, gates.collect())
                .map_err(|error| SetupError::Driver(error.to_string()))?;
        let fleet = fleet(&scenario.cluster, stack, config.cluster.timing);
        let simulation = Simulation::with_application(config, controller, Some(registry), fleet);
        Ok(Self::around(WorldKind::Reference, scenario, stack.kubernetes, simulation))
    }
}

impl<E: Engine> VirtualWorld<E> {
    /// A world around a fresh engine that is set up for `scenario`.
    pub fn around(kind: WorldKind, scenario: &Scenario, version: KubernetesVersion, engine: E) -> Self {
        Self {
            kind,
            engine,
            identities: Identities::default(),
            viewer: Viewer::new(scenario, version),
            observation: Observation::default(),
            manual_pods: scenario.cluster.manual_pods,
            observed: None,
        }
    }

    /// What moves it.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// What moves it. Whoever changes what is simulated through it has it not observed.
    pub fn engine_mut(&mut self) -> &mut E {
        &mut self.engine
    }

    /// The simulated cluster.
    pub fn simulation(&self) -> &Simulation<E::Controller, E::Upper> {
        self.engine.simulation()
    }

    /// Learns which pods have come into being; must be called after everything that can create one.
    fn identify(&mut self) {
        let touched = self.engine.simulation_mut().take_touched();
        self.identities.learn(self.engine.simulation().server(), &touched.pods);
        self.viewer.touch(touched);
    }
}

/// The simulation that a scenario asks for.
///
/// # Errors
///
/// A feature gate of the scenario that `version` does not have, or has locked; a timing profile that is none.
pub fn configuration(
    scenario: &Scenario,
    version: KubernetesVersion,
    seed: u64,
) -> Result<SimulationConfig, SetupError> {
    let mut features = Features::of(version);
    for (name, value) in &scenario.cluster.feature_gates {
        features.set_gate(name, *value)?;
    }
    let mut config = SimulationConfig::new(features, seed);
    config.keeps_trace = true;
    config.notes_touched = true;
    config.explains = true;
    let timing = timing_of(scenario)?;
    config.controller = controller_config(&scenario.cluster, timing);
    config.cluster = cluster_config(scenario, timing);
    Ok(config)
}

/// How long things take in its cluster.
fn timing_of(scenario: &Scenario) -> Result<&'static TimingProfile, SetupError> {
    Ok(profile::find(&scenario.cluster.timing)?)
}

/// No MiniCluster yet.
fn fleet(cluster: &ClusterSpec, stack: Stack, timing: &'static TimingProfile) -> Fleet {
    let FluxSpec { versions, pid1, has_view } = cluster.flux;
    let flux = stack.flux.unwrap_or(versions.first);
    Fleet::new(Settings {
        flux,
        cores: cluster.cores_per_node,
        pid1,
        timing,
        has_view,
        operator: cluster.operator,
        replicas: cluster.operator_replicas,
    })
}

fn controller_config(cluster: &ClusterSpec, timing: &TimingProfile) -> ControllerConfig {
    ControllerConfig {
        qps: cluster.controller_qps,
        burst: cluster.controller_burst,
        faults: cluster.faults.clone(),
        watch_latency: timing.watch_delivery,
        call_latency: timing.api_call,
        ..ControllerConfig::default()
    }
}

fn cluster_config(scenario: &Scenario, timing: &'static TimingProfile) -> ClusterConfig {
    const MILLI_PER_CORE: u32 = 1_000;
    let cluster = &scenario.cluster;
    ClusterConfig {
        nodes: cluster.nodes,
        cpu_milli: cluster.cores_per_node.saturating_mul(MILLI_PER_CORE),
        pods_max: cluster.pods_per_node,
        timing,
        is_one_machine: cluster.is_one_machine,
        workload: scenario.workloads.iter().map(workload_rule).collect(),
        manual_pods: cluster.manual_pods,
        ..ClusterConfig::default()
    }
}

fn workload_rule(rule: &WorkloadRule) -> cluster::WorkloadRule {
    cluster::WorkloadRule {
        job: rule.job.as_deref().map(Arc::from),
        indexes: rule.indexes.as_deref().map(|indexes| IndexSet::parse_below(indexes, u32::MAX)),
        incarnation: rule.incarnation,
        behaviour: rule.behaviour.clone(),
    }
}

impl<E: Engine<Upper: Upper>> World for VirtualWorld<E> {
    fn kind(&self) -> WorldKind {
        self.kind
    }

    fn now(&self) -> Time {
        self.simulation().now()
    }

    fn perform(&mut self, action: &Action) -> Result<(), Refusal> {
        self.engine.prepare().map_err(|error| Refusal::new("ServiceUnavailable", error.to_string()))?;
        let result = match action {
            Action::Operator(change) => self.engine.operate(change),
            _ => action::perform(self.engine.simulation_mut(), &self.identities, self.manual_pods, action),
        };
        self.engine.act();
        self.identify();
        result
    }

    fn next_instant(&mut self, limit: Time) -> Result<Option<Time>, WorldError> {
        let before = self.simulation().generation();
        let instant = self.engine.next_instant(limit)?;
        if self.simulation().generation() != before {
            self.identify();
        }
        Ok(instant)
    }

    fn is_quiescent(&self) -> bool {
        self.engine.is_quiescent()
    }

    fn observe(&mut self) -> &Observation {
        let present = (self.generation(), self.now());
        let simulation = self.engine.simulation();
        let (server, upper) = (simulation.server(), simulation.application());
        match self.observed {
            Some(observed) if observed == present => {}
            // Ages and the clock are shown too, so that an observation is of one instant only.
            Some((generation, _)) if generation == present.0 => {
                self.viewer.pass(&mut self.observation, server, upper, present.1);
            }
            _ => self.viewer.fill(&mut self.observation, server, upper, &self.identities, present.1),
        }
        self.observed = Some(present);
        &self.observation
    }

    fn show(&mut self, commands: Vec<(String, TableCommand)>) {
        if self.viewer.show(commands) {
            self.observed = None;
        }
    }

    fn take_changes(&mut self) -> Option<PodChanges> {
        Some(self.viewer.take_changes())
    }

    fn generation(&self) -> u64 {
        self.simulation().generation() + self.simulation().server().events().len() as u64
    }

    fn take_trace(&mut self) -> Vec<TraceEntry> {
        self.engine.simulation_mut().take_trace()
    }
}

/// Seconds, as an observation counts them.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
