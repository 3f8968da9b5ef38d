//! The production operator's processes: how they start, and what a scenario does to them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use towtank_apiserver::adapter::faults::{FaultPlan, Moment, RequestFault, WatchFault};
use towtank_apiserver::adapter::pump::{Clock, Latencies, Program, ProgramId, Pump};
use towtank_apiserver::adapter::site::Serves as _;
use towtank_model::simulation::{Controller, Simulation};
use towtank_model::time::Time;
use towtank_operator::{Election, MANAGER, Settings};
use towtank_scenario::ast::{
    self, OperatorChange, OperatorFault, OperatorFaultKind, Replicas, Scenario, Stack,
};

use super::{EPOCH_S, Embedded, deploy, operator_caller};
use crate::virtual_world::engine::Engine;
use crate::virtual_world::{SetupError, VirtualWorld, timing_of};
use crate::world::{Refusal, WorldError, WorldKind};

impl<C: Controller> VirtualWorld<Pump<Simulation<C, Embedded>>> {
    /// The operator's replicas start in a fresh cluster: as many as the scenario has, and one for each plan.
    pub(super) fn with_operators(
        kind: WorldKind,
        scenario: &Scenario,
        stack: Stack,
        seed: u64,
        simulation: Simulation<C, Embedded>,
        mut replicas: Vec<FaultPlan>,
    ) -> Result<Self, SetupError> {
        let timing = timing_of(scenario)?;
        let latencies = Latencies { request: timing.api_call, watch: timing.watch_delivery };
        let mut pump = Pump::new(simulation, latencies, seed)
            .map_err(|error| SetupError::Driver(format!("no runtime for the operator: {error}")))?;
        let wanted = usize::try_from(scenario.cluster.operator_replicas).unwrap_or(1);
        replicas.resize(replicas.len().max(wanted), FaultPlan::default());
        let is_alone = replicas.len() == 1;
        for (replica, faults) in replicas.into_iter().enumerate() {
            pump.add(Program {
                caller: operator_caller(),
                start: Box::new(move |wire, clock| {
                    let client = kube::Client::new(wire, "default");
                    if is_alone {
                        Box::pin(operator(client, clock, seed))
                    } else {
                        Box::pin(candidate(client, clock, seed, replica))
                    }
                }),
                faults,
                restart_delay: Duration::from_secs(1),
            });
        }
        Ok(Self::around(kind, scenario, stack.kubernetes, pump))
    }
}

/// Who a replica is to the others.
fn identity(replica: usize) -> String {
    format!("{MANAGER}-{replica}")
}

/// The replica that holds the Lease.
fn leader<C: Controller>(pump: &Pump<Simulation<C, Embedded>>) -> Result<ProgramId, Refusal> {
    let api = pump.site().application().api();
    let lease = api.object("coordination.k8s.io", "leases", deploy::NAMESPACE, MANAGER);
    let holder = lease.as_ref().and_then(|lease| lease.pointer("/spec/holderIdentity")?.as_str());
    let mut replicas = pump.programs().enumerate();
    let leads =
        |(replica, id): &(usize, ProgramId)| holder == Some(&*identity(*replica)) && pump.is_running(*id);
    let found = replicas.find(leads).map(|(_, id)| id);
    found.ok_or_else(|| Refusal::new("NotFound", "no replica of the operator leads now"))
}

const fn moment(executed: bool) -> Moment {
    if executed { Moment::After } else { Moment::Before }
}

const fn request_fault(fault: ast::RequestFault) -> RequestFault {
    match fault {
        ast::RequestFault::Conflict => RequestFault::Conflict,
        ast::RequestFault::Error { executed } => RequestFault::Error(moment(executed)),
        ast::RequestFault::Timeout { executed } => RequestFault::Timeout(moment(executed)),
        ast::RequestFault::Broken { executed } => RequestFault::Broken(moment(executed)),
        ast::RequestFault::Crash { executed } => RequestFault::Crash(moment(executed)),
        ast::RequestFault::Delay(delay) => RequestFault::Delay(delay),
    }
}

const fn watch_fault(fault: ast::WatchFault) -> WatchFault {
    match fault {
        ast::WatchFault::Broken => WatchFault::Broken,
        ast::WatchFault::Expired => WatchFault::Expired,
        ast::WatchFault::Delay(delay) => WatchFault::Delay(delay),
    }
}

/// The production operator, as its Deployment would run it.
pub fn operator(client: kube::Client, clock: Clock, seed: u64) -> impl Future<Output = ()> + Send {
    towtank_operator::run(client, operator_settings(clock, seed))
}

/// The same as one of several replicas.
async fn candidate(client: kube::Client, clock: Clock, seed: u64, replica: usize) {
    let election = Election::new(deploy::NAMESPACE, identity(replica));
    towtank_operator::run_elected(client, operator_settings(clock, seed), election, std::future::pending())
        .await;
}

fn operator_settings(clock: Clock, seed: u64) -> Settings {
    let now = Arc::new(move || timestamp(&clock));
    let key = seed.to_le_bytes();
    let random = Arc::new(move || std::array::from_fn(|position| key[position % key.len()]));
    Settings::new(now, random)
}

/// The start of a run is 2000-01-01T00:00:00Z, as it is for objects.
fn timestamp(clock: &Clock) -> Timestamp {
    let micros = i64::try_from(clock.now().as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(micros.saturating_add(EPOCH_S * 1_000_000)).unwrap_or(Timestamp::MAX)
}

impl<C: Controller> Engine for Pump<Simulation<C, Embedded>> {
    type Controller = C;
    type Upper = Embedded;

    fn simulation(&self) -> &Simulation<C, Embedded> {
        self.site()
    }

    fn simulation_mut(&mut self) -> &mut Simulation<C, Embedded> {
        self.site_mut()
    }

    fn act(&mut self) {
        self.disturb();
    }

    fn operate(&mut self, change: &OperatorChange) -> Result<(), Refusal> {
        let programs: Vec<ProgramId> = self.programs().collect();
        match change {
            OperatorChange::Restart(who) | OperatorChange::Stop(who) => {
                let concerned = match who {
                    Replicas::All => programs,
                    Replicas::Leader => vec![leader(self)?],
                };
                let is_restart = matches!(change, OperatorChange::Restart(_));
                for id in concerned {
                    self.stop(id);
                    if is_restart {
                        self.start(id);
                    }
                }
            }
            OperatorChange::Start => programs.into_iter().for_each(|id| self.start(id)),
            OperatorChange::Hold => programs.into_iter().for_each(|id| self.hold(id)),
            OperatorChange::Release => programs.into_iter().for_each(|id| self.release(id)),
            OperatorChange::Faults(faults) => {
                for OperatorFault { resource, nth, fault } in faults {
                    match *fault {
                        OperatorFaultKind::Call(verb, fault) => {
                            self.plant_request(verb, resource, *nth, request_fault(fault));
                        }
                        OperatorFaultKind::Watch(fault) => {
                            self.plant_event(resource, *nth, watch_fault(fault))
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn next_instant(&mut self, limit: Time) -> Result<Option<Time>, WorldError> {
        Self::next_instant(self, limit).map_err(WorldError)
    }

    /// The operator may want to look again at any time.
    fn is_quiescent(&self) -> bool {
        false
    }
}
