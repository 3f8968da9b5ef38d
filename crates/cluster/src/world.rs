//! The world `cluster`: a scenario on a real control plane.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use towtank_lockstep::run::Run;
use towtank_lockstep::runner::{self, Limits, Reality, Setting};
use towtank_lockstep::virtual_world::embedded::{self, Production};
use towtank_lockstep::virtual_world::{VirtualWorld, configuration};
use towtank_lockstep::world::WorldKind;
use towtank_model::simulation::Simulation;
use towtank_model::time::Time;
use towtank_scenario::ast::{Action, Manifest, Operator, Pid1, Scenario, Stack, When};

use crate::chaos::Chaos;
use crate::clock::Clock;
use crate::engine::RealTime;
use crate::mirror::{Copy, Mirror, RealApi, Writer};
use crate::nodes::Machine;
use crate::site::{Site, SiteError};
use crate::watch::Watches;
use crate::workloads::{RealPods, Workloads};

/// The world `cluster`.
pub(crate) type ClusterWorld = VirtualWorld<RealTime>;

/// Why a scenario is not played on a real cluster; `None`: it is.
pub fn obstacle(scenario: &Scenario) -> Option<&'static str> {
    let does = |is_such: fn(&Action) -> bool| scenario.steps.iter().any(|step| is_such(&step.action.value));
    if does(|action| matches!(action, Action::Cache { .. })) {
        Some("nobody can hold the caches of a real controller")
    } else if does(|action| matches!(action, Action::Node { .. })) {
        Some("virtual nodes on a real control plane do not fail yet")
    } else if does(|action| matches!(action, Action::TerminateNamespace(_))) {
        Some("the namespace is needed afterwards")
    } else if !scenario.cluster.faults.is_empty() {
        Some("the calls of a real controller do not fail when they are told to")
    } else if does(|action| {
        use towtank_scenario::ast::OperatorChange as Change;
        matches!(action, Action::Operator(Change::Hold | Change::Release | Change::Faults(_)))
    }) {
        Some("the requests and watches of a process of its own do not fail when they are told to")
    } else if scenario.cluster.operator_replicas > 1 {
        Some("there is one replica of the operator")
    } else if is_hasty(scenario) {
        Some(
            "a MiniCluster is changed at the instant at which it is made, and which of both its operator sees first is chance in real time",
        )
    } else if scenario.cluster.operator != Operator::Contract
        || scenario.cluster.flux.pid1 == Pid1::Broker
        || !scenario.cluster.flux.has_view
    {
        Some("it is about another operator or entrypoint than the production one")
    } else {
        None
    }
}

/// Why a scenario is not played where nodes are virtual; `None`: it is, unless [`obstacle`] says otherwise.
pub fn obstacle_on_virtual_nodes(scenario: &Scenario) -> Option<&'static str> {
    let is_shell = scenario.cluster.flux.pid1 == Pid1::Shell;
    is_shell.then_some("nothing swallows signals in the pods of virtual nodes")
}

/// Why a scenario is not played where nodes are real; `None`: it is, unless [`obstacle`] says otherwise.
pub fn obstacle_on_real_nodes(scenario: &Scenario) -> Option<&'static str> {
    let is_set_up = scenario.cluster.feature_gates.is_empty()
        && !scenario.cluster.manual_pods
        && scenario.cluster.controller_qps.is_none();
    if !is_set_up {
        return Some("the control plane of a real cluster is as it is");
    }
    scenario.steps.iter().find_map(|step| match &step.action.value {
        Action::Apply(manifests) => manifests.iter().find_map(on_real_nodes),
        Action::Flux { command, .. } if !is_answered(command) => {
            Some("the stand-in for a broker answers `flux resource drain`, `undrain` and `flux overlay disconnect` alone")
        }
        Action::PatchMiniCluster { .. }
        | Action::DeleteMiniCluster { .. }
        | Action::Flux { .. }
        | Action::FluxExec { .. }
        | Action::DeletePods { .. }
        | Action::Operator(_)
        | Action::Wait(_)
        | Action::Observe => None,
        Action::Controller(_) => Some("the controllers of a real cluster are not stopped"),
        _ => Some("what containers do on real nodes is up to their programs"),
    })
}

fn on_real_nodes(manifest: &Manifest) -> Option<&'static str> {
    let Manifest::MiniCluster(_, manifest) = manifest else {
        return Some("on real nodes there is a program for the pods of MiniClusters alone");
    };
    let containers = manifest.object.pointer("/spec/containers").and_then(Value::as_array);
    let has_command = containers
        .into_iter()
        .flatten()
        .any(|container| container["command"].as_str().is_some_and(|it| !it.is_empty()));
    let is_interactive = manifest.object.pointer("/spec/interactive") == Some(&Value::Bool(true));
    (has_command || !is_interactive).then_some("the stand-in for a broker runs no jobs")
}

/// Whether the stand-in for a broker knows a command.
fn is_answered(command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().filter(|word| *word != "flux").take(2).collect();
    matches!(words[..], ["resource", "drain" | "undrain"] | ["overlay", "disconnect"])
}

/// Whether a MiniCluster is changed before anything can have been seen of it.
fn is_hasty(scenario: &Scenario) -> bool {
    let makes = |action: &Action| match action {
        Action::Apply(manifests) => {
            manifests.iter().any(|manifest| matches!(manifest, Manifest::MiniCluster(..)))
        }
        _ => false,
    };
    let changes = |action: &Action| matches!(action, Action::PatchMiniCluster { .. });
    scenario.steps.windows(2).any(|steps| {
        let [one, next] = steps else { return false };
        makes(&one.action.value) && one.expect.is_empty() && changes(&next.action.value)
    })
}

/// Kubernetes' own limits of a controller's requests: `--kube-api-qps` and `--kube-api-burst` of kube-controller-manager.
pub(crate) const KUBERNETES_RATE: (f32, u32) = (20.0, 30);
/// No limit to speak of.
const UNLIMITED: (f32, u32) = (5_000.0, 10_000);

/// Requests per second, and at once, of each controller where a scenario is played. One that names no limit is not about one: Kubernetes' own would slow it down.
pub(crate) fn controller_rate(scenario: &Scenario) -> (f32, u32) {
    let qps = scenario.cluster.controller_qps.and_then(|qps| u16::try_from(qps).ok());
    qps.map_or(UNLIMITED, |qps| (qps.into(), scenario.cluster.controller_burst))
}

/// Plays a scenario on a site, which must be of the stack's Kubernetes.
///
/// # Errors
///
/// The cluster cannot be made ready for it. Whatever goes wrong later is a failure of the run.
pub fn play(
    site: &mut Site,
    scenario: &Scenario,
    stack: Stack,
    chaos: Chaos,
    limits: Limits,
) -> Result<Run, SiteError> {
    let mut world = begin(site, scenario, stack, chaos)?;
    Ok(runner::play(scenario, &mut world, Setting { stack, seed: SEED }, limits))
}

/// What is drawn in a real cluster is drawn by the model's kubelets alone, and comes out otherwise each time.
const SEED: u64 = 1;

pub(crate) fn begin(
    site: &mut Site,
    scenario: &Scenario,
    stack: Stack,
    chaos: Chaos,
) -> Result<ClusterWorld, SiteError> {
    let mut config = configuration(scenario, stack.kubernetes, SEED)?;
    config.explains = false;
    config.cluster.nodes_only = true;
    let machine = Machine { cpu_milli: config.cluster.cpu_milli, pods_max: config.cluster.pods_max };
    if config.cluster.manual_pods {
        // Nobody moves pods but the user: without nodes the scheduler does nothing.
        config.cluster.nodes = 0;
    }
    let namespaces = namespaces(scenario);
    let nodes = site.prepare(config.cluster.nodes, machine, &namespaces)?;
    let machines = site.machines();
    if machines.is_some() {
        // Kubelets are there, and nobody else moves pods.
        config.cluster.manual_pods = true;
        config.cluster.nodes = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    }

    let copy = Rc::new(RefCell::new(Copy::new(Clock::start(), nodes)));
    let connection = site.story().clone();
    let (sender, inbox) = mpsc::channel();
    let watches = Watches::begin(&connection, &namespaces, &sender).map_err(SiteError::Client)?;
    let interrupt = site.config().interrupt.clone();
    let provider = site.provider();
    let switched = Rc::clone(&provider);
    let switch =
        move |on: bool| switched.borrow_mut().turn_job_controllers(on).map_err(|error| error.to_string());
    let mirror = Mirror::new(Rc::clone(&copy), Box::new(switch));
    let settings = embedded::settings(scenario, stack, &config);
    let pods = machines.map(|it| RealPods { images: it.images, pid1: scenario.cluster.flux.pid1 });
    let is_real = pods.is_some();
    let api = RealApi { connection: connection.clone(), copy: Rc::clone(&copy), pods };
    let flux = Production::new(api, settings);
    let upper = match is_real {
        true => Workloads::real_nodes(flux, connection.clone()),
        false => Workloads::virtual_nodes(flux),
    };
    let writer = Writer { connection, copy: Rc::clone(&copy) };
    let simulation = Simulation::with_application(config, mirror, Some(Box::new(writer)), upper);
    let engine = RealTime::new(simulation, copy, inbox, watches, provider, chaos, interrupt)
        .map_err(|error| SiteError::Client(error.0))?;
    Ok(VirtualWorld::around(WorldKind::Cluster, scenario, stack.kubernetes, engine))
}

/// Namespaces that a scenario's objects are in: `default` in any case.
fn namespaces(scenario: &Scenario) -> Vec<String> {
    let manifests = scenario.steps.iter().filter_map(|step| match &step.action.value {
        Action::Apply(manifests) => Some(manifests),
        _ => None,
    });
    let key = |manifest: &Manifest| match manifest {
        Manifest::Job(key, _) | Manifest::Pod(key, _) | Manifest::MiniCluster(key, _) => {
            key.namespace.to_string()
        }
    };
    let mut names: Vec<String> = manifests.flatten().map(key).collect();
    names.push("default".to_owned());
    names.sort();
    names.dedup();
    names
}

/// About how long a scenario takes in real time: what its run on the model took up to the last step, but for what has to last.
pub fn expected_length(scenario: &Scenario, model: &Run, reality: Reality) -> Duration {
    let last = model.steps.iter().filter_map(|step| step.settled).max().unwrap_or(model.ended);
    let holds =
        scenario.steps.iter().flat_map(|step| &step.expect).filter_map(|expectation| {
            match expectation.when {
                When::Holds(length) => Some(length.saturating_sub(reality.holds_max)),
                _ => None,
            }
        });
    last.since(Time::ZERO).saturating_sub(holds.sum())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_scenario_that_names_no_rate_is_not_limited() {
        let rate = |file: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
            controller_rate(&towtank_scenario::load(&path).expect("a scenario"))
        };
        assert_eq!(rate("benches/large-job/qps-050-indexes-00010.yaml"), (50.0, 100));
        assert_eq!(rate("benches/latency/judged/resize-3-4.yaml"), KUBERNETES_RATE);
        assert_eq!(rate("scenarios/jobs/e2e-job-lifecycle.yaml"), UNLIMITED);
    }
}
