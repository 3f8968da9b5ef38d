//! The world `embedded`: the production operator, unmodified, against the in-process API server, on virtual time.
//!
//! The model's Job controller, nodes and kubelets work on the same rows that the API server shows; the brokers of the model run in the pods that the
//! operator has really made, with the configuration that it has really written (`boot`).

mod boot;
mod deploy;
mod open;
mod operators;
mod production;
mod user;

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use towtank_apiserver::adapter::faults::FaultPlan;
use towtank_apiserver::adapter::pump::Pump;
use towtank_apiserver::adapter::site::Serves;
use towtank_apiserver::{Answer, ApiServer, Caller};
use towtank_minicluster::brokers;
use towtank_model::job::JobController;
use towtank_model::server::{Actor, Server};
use towtank_model::simulation::{Context, Controller, Simulation, SimulationConfig};
use towtank_model::version::KubernetesVersion;
use towtank_reference::controller::RemoteController;
use towtank_reference::driver::Driver;
use towtank_scenario::ast::{Scenario, Stack};

pub use self::deploy::{NAMESPACE, OPERATOR, deployment, manifests, operator_caller};
pub use self::operators::operator;
pub use self::production::{Api, Production};
use super::{SetupError, VirtualWorld, configuration};
use crate::world::WorldKind;

/// The API server: a real Job controller is a client of it too.
type SharedApi = Rc<RefCell<ApiServer>>;

/// The API server of this process, with the user as its client.
pub struct InProcess {
    server: SharedApi,
    user: Caller,
}

/// What is above the Job controller in the worlds of this process.
pub type Embedded = Production<InProcess>;

impl InProcess {
    fn new(server: SharedApi) -> Self {
        Self { server, user: Caller::master("user", Actor::User) }
    }
}

impl Api for InProcess {
    fn object(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.server.borrow().object(group, plural, namespace, name)
    }

    fn objects(&self, group: &str, plural: &str) -> Vec<Arc<Value>> {
        self.server.borrow().objects(group, plural)
    }

    fn send(&mut self, request: Request<Bytes>, ctx: &mut Context<'_>) -> Result<Response<Bytes>, String> {
        match self.server.borrow_mut().handle(ctx.server, ctx.now, &self.user, request) {
            Answer::Response(response) => Ok(response),
            Answer::Watch(_) => Err("a watch is no answer".to_owned()),
        }
    }

    fn follow(&mut self, ctx: &mut Context<'_>) {
        self.server.borrow_mut().follow(ctx.server, ctx.now);
    }
}

impl Serves for Embedded {
    fn api(&self) -> impl Deref<Target = ApiServer> {
        self.api.server.borrow()
    }

    fn api_mut(&mut self) -> impl DerefMut<Target = ApiServer> {
        self.api.server.borrow_mut()
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

/// The Flux that a scenario asks for.
pub fn settings(scenario: &Scenario, stack: Stack, config: &SimulationConfig) -> brokers::Settings {
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
    let upper = Embedded::new(InProcess::new(api), settings);
    let mut simulation = Simulation::with_application(config, controller, None, upper);
    simulation.apply_to(|upper, ctx| {
        // The server is made over the rows of the simulation, which is made around the server.
        upper.api.server.replace(ApiServer::new(api_config, ctx.server, ctx.now));
        upper.deploy(ctx)
    })?;
    Ok(simulation)
}

/// Unix time at which the clock of a simulation is 0, in seconds.
pub const EPOCH_S: i64 = 946_684_800;
