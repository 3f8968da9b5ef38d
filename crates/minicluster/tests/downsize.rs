//! The downsize document, on the fleet alone: what Flux says, and which pods there are.

use std::sync::Arc;
use std::time::Duration;

use towtank_minicluster::fleet::{Fleet, FleetError, Pid1, Settings};
use towtank_minicluster::spec::{ContainerSpec, MiniClusterSpec};
use towtank_model::cluster::TimingProfile;
use towtank_model::job::JobController;
use towtank_model::objects::{ObjectKey, Pod};
use towtank_model::simulation::{Simulation, SimulationConfig};
use towtank_model::version::{Features, KubernetesVersion};

const NAME: &str = "flux-sample";

struct Tank(Simulation<JobController, Fleet>);

impl Tank {
    fn new(pid1: Pid1) -> Self {
        let timing = TimingProfile::by_name("kind").expect("a profile");
        let mut config = SimulationConfig::new(Features::of(KubernetesVersion::NEWEST), 1);
        config.cluster.timing = timing;
        config.controller.watch_latency = timing.watch_delivery;
        config.controller.call_latency = timing.api_call;
        let fleet = Fleet::new(Settings { pid1, timing, ..Settings::default() });
        let controller = JobController::new(config.controller.clone(), config.features, false);
        Self(Simulation::with_application(config, controller, None, fleet))
    }

    fn create(&mut self) {
        let spec = MiniClusterSpec {
            size: 4,
            max_size: Some(10),
            is_interactive: true,
            completes_workers: true,
            containers: vec![ContainerSpec { runs_flux: true, ..ContainerSpec::default() }],
            ..MiniClusterSpec::default()
        };
        let key = ObjectKey::new("default", NAME);
        self.0.apply_to(|fleet, ctx| fleet.apply(&key, spec, ctx)).expect("the spec keeps all rules");
    }

    fn resize(&mut self, size: i32) -> Result<(), FleetError> {
        self.0.apply_to(|fleet, ctx| fleet.edit(NAME, |spec| spec.size = size, ctx))
    }

    fn wait(&mut self, seconds: u64) {
        let limit = self.0.now() + Duration::from_secs(seconds);
        self.0.run_until(limit).expect("it comes to rest");
    }

    fn flux(&mut self, line: &str) {
        self.0.apply_to(|fleet, ctx| fleet.run(NAME, line, ctx)).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Columns of `flux resource list`: state, nodes, cores, nodelist.
    fn resources(&self) -> Vec<String> {
        let text =
            self.0.application().print(NAME, "flux resource list", self.0.now()).expect("a lead answers");
        text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    fn pods(&self) -> Vec<String> {
        let told =
            |pod: &Arc<Pod>| format!("{} {}", pod.index.get().unwrap_or(99), pod.status.phase.as_str());
        let mut pods: Vec<String> = self.0.server().pods().map(told).collect();
        pods.sort();
        pods
    }
}

#[test]
fn every_table_of_the_document() {
    let mut tank = Tank::new(Pid1::Shell);
    tank.create();
    tank.wait(60);
    assert_eq!(tank.pods(), ["0 Running", "1 Running", "2 Running", "3 Running"]);
    let list = |free: &str, down: &str| {
        let row = |state: &str, hosts: &str| {
            let set: towtank_flux::Hostlist = hosts.parse().expect("a hostlist");
            format!("{state} {} {} 0 {hosts}", set.len(), 10 * set.len())
        };
        [row("free", free), "allocated 0 0 0".to_owned(), row("down", down)]
    };
    assert_eq!(tank.resources(), list("flux-sample-[0-3]", "flux-sample-[4-9]"));
    tank.flux("flux resource drain flux-sample-2 \"Goodbye rank 2\"");
    tank.wait(1);
    let drained = list("flux-sample-[0-1,3]", "flux-sample-[2,4-9]");
    assert_eq!(tank.resources(), drained);

    tank.0.apply_to(|fleet, ctx| fleet.signal(NAME, 2, false, ctx)).expect("rank 2 runs");
    tank.wait(10);
    assert_eq!(tank.pods(), ["0 Running", "1 Running", "2 Succeeded", "3 Running"]);
    assert_eq!(tank.resources(), drained);

    tank.resize(3).expect("three of ten");
    tank.wait(60);
    assert_eq!(tank.pods(), ["0 Running", "1 Running", "2 Succeeded"]);
    assert_eq!(tank.resources(), list("flux-sample-[0-1]", "flux-sample-[2-9]"));

    tank.resize(4).expect("four of ten");
    tank.wait(60);
    assert_eq!(tank.resources(), drained);
    tank.resize(6).expect("six of ten");
    tank.wait(60);
    assert_eq!(tank.resources(), list("flux-sample-[0-1,3-5]", "flux-sample-[2,6-9]"));
    assert_eq!(tank.pods().len(), 6);
}

#[test]
fn an_over_ask_changes_nothing_and_the_user_is_told() {
    let mut tank = Tank::new(Pid1::Shell);
    tank.create();
    tank.wait(60);
    let error = tank.resize(11).expect_err("ten is the maximum");
    assert_eq!(
        error.to_string(),
        "minicluster `flux-sample` is invalid: spec.size: 11: must be no more than maxSize, 10"
    );
    assert_eq!(tank.0.application().get(NAME).map(|cluster| cluster.spec().size), Some(4));
    let before = tank.0.generation();
    tank.wait(60);
    assert_eq!(tank.0.generation(), before);
    for (size, why) in [(0, "at least 1"), (-1, "at least 1")] {
        assert!(tank.resize(size).expect_err("no such size").to_string().contains(why));
    }
}

/// J: a broker that gets SIGTERM leaves in order, and the pod is gone in a second; a shell keeps it for the grace period.
#[test]
fn a_shrink_is_as_slow_as_what_gets_sigterm() {
    for (pid1, seconds, is_gone) in
        [(Pid1::Shell, 25, false), (Pid1::Shell, 35, true), (Pid1::Broker, 5, true)]
    {
        let mut tank = Tank::new(pid1);
        tank.create();
        tank.wait(60);
        tank.resize(3).expect("three of ten");
        tank.wait(seconds);
        assert_eq!(tank.pods().len() == 3, is_gone, "{pid1:?} after {seconds} s: {:?}", tank.pods());
    }
}

/// Pods of a MiniCluster that was deleted mean nothing to its successor.
#[test]
fn a_successor_of_the_same_name_begins_anew() {
    let mut tank = Tank::new(Pid1::Shell);
    tank.create();
    tank.wait(60);
    tank.0.apply_to(|fleet, ctx| fleet.delete(NAME, ctx)).expect("it is there");
    tank.create();
    tank.wait(90);
    let online = tank.0.application().get(NAME).map(|cluster| cluster.instance().overlay().online().len());
    assert_eq!((online, tank.pods().len()), (Some(4), 4), "{:?}", tank.pods());
}
