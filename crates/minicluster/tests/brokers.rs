//! Brokers without a modelled operator: what is put for the pods of a Job decides, and the contract's entrypoint (Flux spec J).

use std::sync::Arc;
use std::time::Duration;

use towtank_flux::overlay::Quorum;
use towtank_minicluster::brokers::{Boot, Brokers, Settings};
use towtank_minicluster::contract;
use towtank_minicluster::spec::{ContainerSpec, MiniClusterSpec};
use towtank_minicluster::workload::Workload;
use towtank_model::cluster::{ProcessFact, Signal};
use towtank_model::job::JobController;
use towtank_model::objects::{ContainerState, Job, ObjectKey, Pod, RestartPolicy, Uid};
use towtank_model::server::Change;
use towtank_model::simulation::{Application, Context, Simulation, SimulationConfig};
use towtank_model::time::Time;
use towtank_model::version::{Features, KubernetesVersion};

const NAME: &str = "flux-sample";

/// Who reads what somebody has written for the pods.
struct Reader {
    brokers: Brokers,
    boot: Boot,
}

impl Application for Reader {
    fn observe(&mut self, change: &Change, ctx: &mut Context<'_>) {
        if let Change::Job(versions) = change
            && let (None, Some(job)) = (&versions.old, &versions.new)
        {
            self.brokers.put(&Arc::from(NAME), self.boot.clone(), ctx);
            self.brokers.serve(&Arc::from(NAME), job.uid);
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

type Tank = Simulation<JobController, Reader>;

/// Three pods, of which each is made anew when it has failed.
fn tank(boot: Boot) -> Tank {
    let config = SimulationConfig::new(Features::of(KubernetesVersion::NEWEST), 1);
    let controller = JobController::new(config.controller.clone(), config.features, false);
    let reader = Reader { brokers: Brokers::new(Settings::default()), boot };
    let mut tank = Tank::with_application(config, controller, None, reader);
    let spec = MiniClusterSpec {
        size: 3,
        restart_policy: RestartPolicy::Never,
        containers: vec![ContainerSpec::default()],
        ..MiniClusterSpec::default()
    };
    tank.create_job(ObjectKey::new("default", NAME), &contract::job(NAME, &spec)).expect("it is new");
    wait(&mut tank, 60);
    tank
}

fn boot(hosts: &str) -> Boot {
    let boot = Boot::new(NAME, hosts.parse().expect("a hostlist"));
    Boot { quorum: Quorum::Size(1), ..boot }
}

fn wait(tank: &mut Tank, seconds: u64) {
    let limit = tank.now() + Duration::from_secs(seconds);
    tank.run_until(limit).expect("it comes to rest");
}

fn online(tank: &Tank) -> String {
    let flux = tank.application().brokers.get(NAME).expect("it was put");
    flux.instance().overlay().online().to_string()
}

fn job(tank: &Tank) -> &Job {
    tank.server().job_by_key(&ObjectKey::new("default", NAME)).expect("it is there")
}

/// The newest pod of this index.
fn pod(tank: &Tank, index: u32) -> &Pod {
    let pods = tank.server().pods().filter(|pod| pod.index.get() == Some(index));
    pods.max_by_key(|pod| pod.uid).expect("it is there")
}

#[test]
fn rank_is_the_position_of_the_host() {
    let tank = tank(boot("other-[0-1],flux-sample-[0-2]"));
    // The lead is where the list begins, which no pod is: nobody is online, nobody is ready, nobody has ended.
    assert_eq!(online(&tank), "");
    assert_eq!((job(&tank).status.ready, job(&tank).status.active), (Some(0), 3));
}

#[test]
fn who_is_not_in_the_list_does_not_join() {
    let mut tank = tank(boot("flux-sample-[0-1]"));
    assert_eq!(online(&tank), "0-1");
    assert_eq!((job(&tank).status.ready, job(&tank).status.failed), (Some(2), 0));
    // Its broker starts again every 15 s, and finds what has been written meanwhile; but it takes a lead that knows of it.
    tank.apply_to(|reader, ctx| reader.brokers.put(&Arc::from(NAME), boot("flux-sample-[0-2]"), ctx));
    wait(&mut tank, 60);
    assert_eq!(online(&tank), "0-1");
    let lead = pod(&tank, 0).uid;
    tank.delete_pod(lead, None).expect("it is there");
    wait(&mut tank, 60);
    assert_eq!(online(&tank), "0-2");
    assert_eq!((job(&tank).status.ready, job(&tank).status.succeeded), (Some(3), 0));
}

#[test]
fn workers_look_for_their_lead_until_they_find_it() {
    let mut tank = tank(Boot { has_dns: false, ..boot("flux-sample-[0-2]") });
    assert_eq!(online(&tank), "0");
    tank.apply_to(|reader, ctx| reader.brokers.put(&Arc::from(NAME), boot("flux-sample-[0-2]"), ctx));
    wait(&mut tank, 10);
    assert_eq!(online(&tank), "0-2");
}

#[test]
fn an_end_means_what_the_entrypoint_makes_of_it() {
    let exit_code = |tank: &Tank, uid: Uid| tank.server().pod(uid).and_then(|pod| code_of(pod));
    // Retired on purpose: its index is completed.
    let mut one = tank(boot("flux-sample-[0-2]"));
    let worker = pod(&one, 2).uid;
    one.apply_to(|reader, ctx| reader.brokers.signal(NAME, 2, false, ctx)).expect("it runs");
    wait(&mut one, 10);
    assert_eq!((exit_code(&one, worker), job(&one).status.succeeded), (Some(0), 1));
    // The pod is told to go, as by a node that shuts down, or by hand: the index comes back.
    let worker = pod(&one, 1).uid;
    one.signal(worker, Signal::Term).expect("it runs");
    wait(&mut one, 2);
    assert_eq!(exit_code(&one, worker), Some(143));
    wait(&mut one, 30);
    assert_eq!((online(&one).as_str(), job(&one).status.failed), ("0-1", 1));
    // The broker of the lead is killed: the script of the lead says so, and the worker waits.
    let lead = pod(&one, 0).uid;
    one.apply_to(|reader, ctx| reader.brokers.signal(NAME, 0, true, ctx)).expect("it runs");
    wait(&mut one, 2);
    assert_eq!(exit_code(&one, lead), Some(137));
    wait(&mut one, 60);
    assert_eq!((online(&one).as_str(), job(&one).status.succeeded), ("0-1", 1));
}

#[test]
fn the_lead_ends_as_its_command_does() {
    for (command, script, succeeded) in [
        ("flux submit -N 3 --quiet --watch sleep 5", None, true),
        ("flux submit -N 3 --quiet --watch false", None, false),
        (
            "flux batch -N 3 --flags waitable ./batch.sh && flux job wait --all",
            Some("flux run -N 3 true"),
            true,
        ),
        ("flux batch -N 3 --flags waitable ./batch.sh && flux job wait --all", Some("flux run false"), false),
    ] {
        let lead = Workload::read(command, script).map(Some);
        let one = tank(Boot { lead, quorum: Quorum::Size(3), ..boot("flux-sample-[0-2]") });
        let status = &job(&one).status;
        let all = if succeeded { 3 } else { 0 };
        assert_eq!((status.succeeded, status.failed > 0), (all, !succeeded), "{command} {script:?}");
    }
}

/// The exit code of its first container.
fn code_of(pod: &Pod) -> Option<i32> {
    pod.status.containers.iter().find_map(|container| match &container.state {
        ContainerState::Terminated(termination) => Some(termination.exit_code),
        _ => None,
    })
}
