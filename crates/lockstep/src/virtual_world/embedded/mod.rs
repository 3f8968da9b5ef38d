//! The world `embedded`: the production operator, unmodified, against the in-process API server, on virtual time.
//!
//! The model's Job controller, nodes and kubelets work on the same rows that the API server shows; the brokers of the model run in the pods that the
//! operator has really made, with the configuration that it has really written (`boot`).

mod boot;
mod deploy;
mod open;
mod operators;
mod user;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use towtank_apiserver::adapter::faults::FaultPlan;
use towtank_apiserver::adapter::pump::Pump;
use towtank_apiserver::adapter::site::Serves;
use towtank_apiserver::{ApiServer, Caller};
use towtank_minicluster::brokers::{self, Brokers};
use towtank_model::cluster::{ProcessFact, ProcessStep};
use towtank_model::job::JobController;
use towtank_model::objects::{Job, ObjectKey, Pod, Uid};
use towtank_model::server::{Actor, Change, Server, Versions};
use towtank_model::simulation::{Application, Context, Controller, Simulation, SimulationConfig};
use towtank_model::time::Time;
use towtank_model::version::KubernetesVersion;
use towtank_reference::controller::RemoteController;
use towtank_reference::driver::Driver;
use towtank_scenario::ast::{Scenario, Stack};

use self::boot::Sources;
pub use self::deploy::operator_caller;
pub use self::operators::operator;
use super::{SetupError, VirtualWorld, configuration};
use crate::world::WorldKind;

/// The API server: a real Job controller is a client of it too.
type SharedApi = Rc<RefCell<ApiServer>>;

/// An API server, and the brokers in the pods.
pub struct Embedded {
    api: SharedApi,
    brokers: Brokers,
    user: Caller,
    /// The Jobs whose pods run Flux.
    jobs: BTreeMap<Uid, Served>,
    /// What the pods of a MiniCluster found that was wrong.
    faults: BTreeMap<Arc<str>, String>,
}

/// A Job that a MiniCluster owns.
struct Served {
    key: ObjectKey,
    minicluster: Arc<str>,
    sources: Sources,
    /// The ConfigMap that was read last, and whether there were names of hosts.
    read: Option<(Arc<Value>, bool)>,
}

/// Group, version and plural of the resource.
const MINICLUSTERS: &str = "/apis/flux-framework.org/v1alpha2";

impl Embedded {
    fn new(api: SharedApi, settings: brokers::Settings) -> Self {
        Self {
            api,
            brokers: Brokers::new(settings),
            user: Caller::master("user", Actor::User),
            jobs: BTreeMap::new(),
            faults: BTreeMap::new(),
        }
    }

    /// A Job has been made: its pods run Flux if a MiniCluster owns it.
    fn job_created(&mut self, job: &Job, ctx: &mut Context<'_>) {
        let object = self.api.borrow().object("batch", "jobs", &job.key.namespace, &job.key.name);
        let Some(object) = object else { return };
        let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let owner = owners.into_iter().flatten().find(|owner| owner["kind"] == "MiniCluster");
        let name = owner.and_then(|owner| owner["name"].as_str()).map(Arc::<str>::from);
        let (Some(minicluster), Some(sources)) = (name, Sources::of(&object)) else { return };
        let served =
            Served { key: job.key.clone(), minicluster: Arc::clone(&minicluster), sources, read: None };
        self.jobs.insert(job.uid, served);
        self.look_into(job.uid, ctx);
        self.brokers.serve(&minicluster, job.uid);
    }

    /// Reads what the pods of a Job have mounted, as it is now.
    fn look_into(&mut self, job: Uid, ctx: &mut Context<'_>) {
        let Some(served) = self.jobs.get(&job) else { return };
        let stored =
            |plural: &str, name: &str| self.api.borrow().object("", plural, &served.key.namespace, name);
        let service = stored("services", &served.sources.service);
        let config_map = stored("configmaps", &served.sources.config_map);
        let Some(served) = self.jobs.get_mut(&job) else { return };
        let has_dns = service.is_some_and(|service| served.sources.are_found_by(&service));
        // A pod that mounts a ConfigMap which is not there does not start.
        let Some(config_map) = config_map else { return };
        let found = Some((Arc::clone(&config_map), has_dns));
        if std::mem::replace(&mut served.read, found.clone()) == found {
            return;
        }
        let name = Arc::clone(&served.minicluster);
        let runs_entrypoint = served.sources.runs_entrypoint;
        match boot::read(&served.key.name, &config_map, runs_entrypoint, has_dns) {
            Ok(boot) => {
                self.faults.remove(&name);
                self.brokers.put(&name, boot, ctx);
            }
            Err(fault) => drop(self.faults.insert(name, fault)),
        }
    }

    /// The Job of a pod, if its pods run Flux.
    fn job_of(pod: &Pod) -> Option<Uid> {
        pod.owner.as_ref().filter(|owner| owner.is_job).map(|owner| owner.uid)
    }
}

impl Serves for Embedded {
    fn api(&self) -> impl Deref<Target = ApiServer> {
        self.api.borrow()
    }

    fn api_mut(&mut self) -> impl DerefMut<Target = ApiServer> {
        self.api.borrow_mut()
    }
}

impl Application for Embedded {
    fn observe(&mut self, change: &Change, ctx: &mut Context<'_>) {
        self.api.borrow_mut().follow(ctx.server, ctx.now);
        match change {
            Change::Job(Versions { old: None, new: Some(job) }) => self.job_created(job, ctx),
            Change::Job(Versions { old: Some(job), new: None }) => {
                if let Some(gone) = self.jobs.remove(&job.uid) {
                    let is_served = |served: &Served| served.minicluster == gone.minicluster;
                    if !self.jobs.values().any(is_served) {
                        self.brokers.remove(&gone.minicluster);
                    }
                }
            }
            _ => {}
        }
        self.brokers.observe(change, ctx);
    }

    fn drives(&self, pod: &Pod) -> bool {
        self.brokers.drives(pod)
    }

    fn probes(&self, pod: &Pod) -> bool {
        self.brokers.probes(pod)
    }

    fn process(&mut self, fact: ProcessFact, ctx: &mut Context<'_>) {
        if fact.step == ProcessStep::Started
            && let Some(job) = ctx.server.pod(fact.pod).and_then(|pod| Self::job_of(pod))
        {
            self.look_into(job, ctx);
        }
        self.brokers.process(fact, ctx);
    }

    fn next_time(&self) -> Option<Time> {
        self.brokers.next_time()
    }

    fn fire(&mut self, ctx: &mut Context<'_>) {
        self.brokers.fire(ctx);
    }

    fn take_exits(&mut self) -> Vec<(Uid, i32)> {
        self.brokers.take_exits()
    }

    fn take_readiness(&mut self) -> Vec<(Uid, bool)> {
        self.brokers.take_readiness()
    }
}

/// The world `embedded`.
pub type EmbeddedWorld = VirtualWorld<Pump<Simulation<JobController, Embedded>>>;

/// The world `reference-open`: the same with Kubernetes' own controllers of Jobs, which are clients of the API server.
pub type OpenWorld = VirtualWorld<Pump<Simulation<RemoteController, Embedded>>>;

impl EmbeddedWorld {
    /// A fresh world for `scenario`: the operator has just started.
    ///
    /// # Errors
    ///
    /// As for the model.
    pub fn new(scenario: &Scenario, stack: Stack, seed: u64) -> Result<Self, SetupError> {
        Self::with_replicas(scenario, stack, seed, Vec::new())
    }

    /// The same, with at least as many replicas of the operator as there are plans of what goes wrong for them. Several elect a leader.
    ///
    /// # Errors
    ///
    /// As for the model.
    pub fn with_replicas(
        scenario: &Scenario,
        stack: Stack,
        seed: u64,
        replicas: Vec<FaultPlan>,
    ) -> Result<Self, SetupError> {
        let config = configuration(scenario, stack.kubernetes, seed)?;
        let settings = settings(scenario, stack, &config);
        let simulation = simulation(config, stack.kubernetes, settings)?;
        Self::with_operators(WorldKind::Embedded, scenario, stack, seed, simulation, replicas)
    }
}

impl OpenWorld {
    /// A fresh world for `scenario` with the controllers of a driver, which must carry the stack's Kubernetes.
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
        let settings = settings(scenario, stack, &config);
        let gates = scenario.cluster.feature_gates.iter().map(|(name, value)| (name.clone(), *value));
        let api = api(&config, stack.kubernetes);
        let upstream = Box::new(open::Client::new(Rc::clone(&api)));
        let controller =
            RemoteController::begin_open(driver, &config.controller, seed, gates.collect(), upstream)
                .map_err(|error| SetupError::Driver(error.to_string()))?;
        let simulation = with_controller(config, stack.kubernetes, settings, controller, api)?;
        Self::with_operators(WorldKind::ReferenceOpen, scenario, stack, seed, simulation, Vec::new())
    }
}

fn settings(scenario: &Scenario, stack: Stack, config: &SimulationConfig) -> brokers::Settings {
    let flux = stack.flux.unwrap_or(scenario.cluster.flux.versions.first);
    brokers::Settings { flux, cores: scenario.cluster.cores_per_node, timing: config.cluster.timing }
}

/// A cluster with an API server, the definition of MiniClusters in it, and the roles of their operator.
///
/// # Errors
///
/// A manifest of `deploy/` is refused.
pub fn simulation(
    config: SimulationConfig,
    version: KubernetesVersion,
    settings: brokers::Settings,
) -> Result<Simulation<JobController, Embedded>, SetupError> {
    let controller = JobController::new(config.controller.clone(), config.features, config.explains);
    let api = api(&config, version);
    with_controller(config, version, settings, controller, api)
}

/// An API server over no rows.
fn api(config: &SimulationConfig, version: KubernetesVersion) -> SharedApi {
    let mut none = Server::new(config.features, false);
    Rc::new(RefCell::new(ApiServer::new(api_config(config, version), &mut none, config.start)))
}

fn api_config(config: &SimulationConfig, version: KubernetesVersion) -> towtank_apiserver::Config {
    towtank_apiserver::Config {
        version,
        seed: config.seed,
        collection_delay: Duration::ZERO,
        ..towtank_apiserver::Config::default()
    }
}

/// The same with another controller of Jobs, which may know this API server already.
fn with_controller<C: Controller>(
    config: SimulationConfig,
    version: KubernetesVersion,
    settings: brokers::Settings,
    controller: C,
    api: SharedApi,
) -> Result<Simulation<C, Embedded>, SetupError> {
    let api_config = api_config(&config, version);
    let upper = Embedded::new(api, settings);
    let mut simulation = Simulation::with_application(config, controller, None, upper);
    simulation.apply_to(|upper, ctx| {
        // The server is made over the rows of the simulation, which is made around the server.
        upper.api.replace(ApiServer::new(api_config, ctx.server, ctx.now));
        upper.deploy(ctx)
    })?;
    Ok(simulation)
}

/// Unix time at which the clock of a simulation is 0, in seconds.
pub const EPOCH_S: i64 = 946_684_800;
