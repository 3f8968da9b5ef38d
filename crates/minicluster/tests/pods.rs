//! What real Flux did in pods (Flux spec, part J; recordings/kind), on the fleet with the profile `kind`.

use std::time::Duration;

use towtank_flux::FluxVersion;
use towtank_minicluster::fleet::{Fleet, Pid1, Settings};
use towtank_minicluster::spec::{ContainerSpec, MiniClusterSpec};
use towtank_model::cluster::TimingProfile;
use towtank_model::job::JobController;
use towtank_model::objects::{JobConditionType, ObjectKey, Uid};
use towtank_model::server::Propagation;
use towtank_model::simulation::{Simulation, SimulationConfig};
use towtank_model::version::{Features, KubernetesVersion};

const NAME: &str = "flux-sample";

struct Tank(Simulation<JobController, Fleet>);

impl Tank {
    fn new(pid1: Pid1, size: i32, completes_workers: bool, seed: u64) -> Self {
        let timing = TimingProfile::by_name("kind").expect("a profile");
        let version: KubernetesVersion = "1.36".parse().expect("a version");
        let mut config = SimulationConfig::new(Features::of(version), seed);
        config.cluster.nodes = 2;
        config.cluster.timing = timing;
        config.controller.watch_latency = timing.watch_delivery;
        config.controller.call_latency = timing.api_call;
        let flux = FluxVersion::V0_88;
        let fleet =
            Fleet::new(Settings { pid1, timing, flux, cores: 4, has_view: false, ..Settings::default() });
        let controller = JobController::new(config.controller.clone(), config.features, false);
        let mut tank = Self(Simulation::with_application(config, controller, None, fleet));
        let spec = MiniClusterSpec {
            size,
            max_size: Some(size + 1),
            is_interactive: true,
            completes_workers,
            is_scheduler_simple: true,
            containers: vec![ContainerSpec { runs_flux: true, ..ContainerSpec::default() }],
            ..MiniClusterSpec::default()
        };
        tank.0.apply_to(|fleet, ctx| fleet.apply(&key(), spec, ctx)).expect("the spec keeps all rules");
        tank.wait(10.0);
        tank
    }

    fn wait(&mut self, seconds: f64) {
        let limit = self.0.now() + Duration::from_secs_f64(seconds);
        self.0.run_until(limit).expect("it comes to rest");
    }

    fn flux(&mut self, line: &str) {
        self.0.apply_to(|fleet, ctx| fleet.run(NAME, line, ctx)).expect("the lead answers");
    }

    /// How many jobs the lead that answers knows.
    fn jobs(&self) -> usize {
        let text = self.0.application().print(NAME, "flux jobs -a", self.0.now()).expect("a lead answers");
        text.lines().count() - 1
    }

    /// The pod of an index that is not being deleted.
    fn pod(&self, index: u32) -> Uid {
        let mut pods = self.0.server().pods().filter(|pod| pod.deletion.is_none());
        pods.find(|pod| pod.index.get() == Some(index)).expect("it is there").uid
    }

    fn delete(&mut self, index: u32) {
        let pod = self.pod(index);
        self.0.delete_pod(pod, None).expect("it is there");
    }

    /// `index phase`, with a cross for those that are being deleted, in order.
    fn pods(&self) -> Vec<String> {
        let pods = self.0.server().pods();
        let mut pods: Vec<String> = pods
            .map(|pod| {
                let cross = if pod.deletion.is_some() { " x" } else { "" };
                format!("{} {}{cross}", pod.index.get().unwrap_or(99), pod.status.phase.as_str())
            })
            .collect();
        pods.sort();
        pods
    }

    /// Ranks that are online, as the lead sees it that answers.
    fn online(&self) -> String {
        let cluster = self.0.application().get(NAME).expect("it is there");
        cluster.instance().overlay().online().to_string()
    }

    /// Failed, and completed indexes, in the Job's status.
    fn counted(&self) -> (i32, String) {
        let job = self.0.server().job_by_key(&key()).expect("it is there");
        (job.status.failed, job.status.completed_indexes.to_string())
    }
}

fn key() -> ObjectKey {
    ObjectKey::new("default", NAME)
}

/// J 6, U: two leads for some 20 s; the workers stay with the old one until SIGKILL, then disconnect, exit with 1, wait 15 s and are
/// with the new one. All jobs are lost.
#[test]
fn two_leads_while_the_old_one_has_its_grace_period() {
    for completes_workers in [false, true] {
        let mut tank = Tank::new(Pid1::Shell, 3, completes_workers, 1);
        tank.flux("flux submit -N1 sleep 300");
        tank.wait(2.0);
        assert_eq!((tank.online(), tank.jobs()), ("0-2".into(), 1));
        tank.delete(0);
        tank.wait(8.0);
        assert_eq!(tank.online(), "0-2", "the only lead there is");
        tank.wait(6.0);
        assert_eq!(tank.pods(), ["0 Running", "0 Running x", "1 Running", "2 Running"]);
        assert_eq!(tank.online(), "0", "the new lead is alone");
        assert_eq!(tank.jobs(), 0, "the jobs are lost");
        tank.wait(18.0);
        assert_eq!(tank.pods(), ["0 Running", "1 Running", "2 Running"], "before the workers notice");
        tank.wait(5.0);
        if completes_workers {
            assert_eq!(tank.pods(), ["0 Running", "1 Succeeded", "2 Succeeded"]);
            tank.wait(60.0);
            assert_eq!((tank.online(), tank.counted()), ("0".into(), (1, "1,2".into())));
        } else {
            assert_eq!((tank.pods().len(), tank.online()), (3, "0".into()), "they wait");
            tank.wait(17.0);
            assert_eq!((tank.online(), tank.counted()), ("0-2".into(), (1, String::new())));
        }
    }
}

/// J 6, E: every worker gets the orderly shutdown and is Completed for good, completeWorkers or not; the lead is back (after 4.2 s in the
/// one recording, two to three here: one round of the Job controller less), and is alone.
#[test]
fn a_lead_that_obeys_sigterm_comes_back_alone() {
    for completes_workers in [false, true] {
        let mut tank = Tank::new(Pid1::Broker, 3, completes_workers, 1);
        tank.flux("flux submit -N1 sleep 300");
        tank.wait(2.0);
        tank.delete(0);
        tank.wait(1.0);
        assert_eq!(tank.pods(), ["0 Running x", "1 Running", "2 Running"]);
        tank.wait(5.0);
        assert_eq!(tank.pods(), ["0 Running", "1 Succeeded", "2 Succeeded"], "clear of the Job's back-off");
        tank.wait(60.0);
        assert_eq!((tank.online(), tank.counted()), ("0".into(), (1, "1,2".into())));
    }
}

/// J 1: a deleted pod that exits with 0 within the Job controller's second is counted as succeeded, and its index never comes back. J 2: a
/// pod whose shell keeps SIGTERM to itself is counted as failed, and has a successor that takes its rank over while it still runs.
#[test]
fn what_becomes_of_a_deleted_worker() {
    let mut tank = Tank::new(Pid1::Broker, 4, false, 1);
    tank.delete(2);
    tank.wait(30.0);
    assert_eq!(tank.pods(), ["0 Running", "1 Running", "3 Running"]);
    assert_eq!((tank.online(), tank.counted()), ("0-1,3".into(), (0, "2".into())));

    let mut tank = Tank::new(Pid1::Shell, 4, true, 1);
    tank.delete(2);
    tank.wait(9.0);
    assert_eq!(tank.pods(), ["0 Running", "1 Running", "2 Running x", "3 Running"]);
    tank.wait(3.0);
    assert_eq!(tank.pods(), ["0 Running", "1 Running", "2 Running", "2 Running x", "3 Running"]);
    tank.wait(8.0);
    // 18 s after its deletion on kind: its broker had lost its rank, and the script was done.
    assert_eq!(tank.pods(), ["0 Running", "1 Running", "2 Running", "3 Running"]);
    assert_eq!((tank.online(), tank.counted()), ("0-3".into(), (1, String::new())));
}

/// J 7: the script of a lead whose broker was killed ends with 0; without workers the Job is Complete.
#[test]
fn a_killed_lead_looks_like_success() {
    let mut tank = Tank::new(Pid1::Shell, 2, false, 1);
    tank.0.apply_to(|fleet, ctx| fleet.edit(NAME, |spec| spec.size = 1, ctx)).expect("one of three");
    tank.wait(40.0);
    tank.0.apply_to(|fleet, ctx| fleet.signal(NAME, 0, true, ctx)).expect("the lead runs");
    tank.wait(5.0);
    assert_eq!((tank.pods(), tank.counted()), (vec!["0 Succeeded".to_owned()], (0, "0".into())));
    let job = tank.0.server().job_by_key(&key()).expect("it is there");
    assert!(job.status.true_condition(JobConditionType::Complete).is_some());
}

/// Brokers that get SIGTERM leave in order, the lead last, also when the Job or the MiniCluster is deleted; what is made in their place
/// has nothing to do with them.
#[test]
fn brokers_of_a_deleted_job_leave_in_order() {
    for deletes_job in [true, false] {
        let mut tank = Tank::new(Pid1::Broker, 3, false, 1);
        if deletes_job {
            tank.0.delete_job(&key(), Propagation::Background).expect("it is there");
        } else {
            tank.0.apply_to(|fleet, ctx| fleet.delete(NAME, ctx)).expect("it is there");
        }
        let is_deleted = |pod: &String| pod.ends_with('x');
        tank.wait(0.2);
        assert_eq!(tank.pods().iter().filter(|pod| is_deleted(pod)).count(), 3, "rc3 takes a while");
        tank.wait(4.0);
        assert_eq!(tank.pods().iter().filter(|pod| is_deleted(pod)).count(), 0, "{:?}", tank.pods());
        tank.wait(10.0);
        let expected = if deletes_job { vec!["0 Running", "1 Running", "2 Running"] } else { vec![] };
        assert_eq!(tank.pods(), expected);
        if deletes_job {
            assert_eq!(tank.online(), "0-2");
        }
    }
}
