//! One story of the model: four pods, then 4→3, 3→4, 4→6 and 6→4, with the pauses of the rig in between.
//!
//! The rig patched the Job by hand and had no operator. Here the operator writes the Job, and time counts from that write, less what a
//! PATCH took on the rig.

use std::collections::BTreeMap;
use std::time::Duration;

use towtank_flux::FluxVersion;
use towtank_flux::overlay::Status;
use towtank_minicluster::fleet::{Fleet, Pid1, Settings};
use towtank_minicluster::spec::{ContainerSpec, MiniClusterSpec};
use towtank_model::cluster::TimingProfile;
use towtank_model::job::JobController;
use towtank_model::objects::{Job, ObjectKey, Pod, PodPhase};
use towtank_model::server::{Change, Fact, Versions};
use towtank_model::simulation::{Simulation, SimulationConfig};
use towtank_model::time::Time;
use towtank_model::version::{Features, KubernetesVersion};

pub(crate) const OPERATIONS: [&str; 4] = ["3->4", "4->3", "4->6", "6->4"];

const NAME: &str = "flux-sample";

/// Figures of many runs.
#[derive(Default)]
pub(crate) struct Model(BTreeMap<(&'static str, String), Vec<f64>>);

impl Model {
    fn add(&mut self, operation: &'static str, name: impl Into<String>, ms: f64) {
        self.0.entry((operation, name.into())).or_default().push(ms);
    }

    pub(crate) fn median(&mut self, operation: &'static str, name: &str) -> Option<f64> {
        let all = self.0.get_mut(&(operation, name.to_owned()))?;
        all.sort_by(f64::total_cmp);
        let half = all.len() / 2;
        let upper = all.get(half)?;
        Some(if all.len() % 2 == 1 { *upper } else { (all.get(half - 1)? + upper) / 2.0 })
    }
}

/// What is seen of one pod.
type Marks = BTreeMap<&'static str, Time>;

struct Tank {
    simulation: Simulation<JobController, Fleet>,
    lots: u64,
}

pub(crate) fn many(pid1: Pid1, flux: FluxVersion, has_view: bool, patch_ms: f64, runs: u64) -> Model {
    let mut model = Model::default();
    for seed in 1..=runs {
        let mut tank = Tank::new(pid1, flux, has_view, seed);
        for (operation, from, to) in [("4->3", 4, 3), ("3->4", 3, 4), ("4->6", 4, 6), ("6->4", 6, 4)] {
            tank.pause();
            tank.measure(operation, from, to, patch_ms, &mut model);
        }
    }
    model
}

impl Tank {
    fn new(pid1: Pid1, flux: FluxVersion, has_view: bool, seed: u64) -> Self {
        let timing = TimingProfile::by_name("kind").expect("a profile");
        let version: KubernetesVersion = "1.36".parse().expect("a version");
        let mut config = SimulationConfig::new(Features::of(version), seed);
        config.keeps_trace = true;
        config.cluster.nodes = 2;
        config.cluster.timing = timing;
        config.cluster.is_one_machine = true;
        config.controller.watch_latency = timing.watch_delivery;
        config.controller.call_latency = timing.api_call;
        let fleet = Fleet::new(Settings { pid1, timing, flux, has_view, ..Settings::default() });
        let controller = JobController::new(config.controller.clone(), config.features, false);
        let simulation = Simulation::with_application(config, controller, None, fleet);
        let mut tank = Self { simulation, lots: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 };
        let spec = MiniClusterSpec {
            size: 4,
            max_size: Some(10),
            is_interactive: true,
            is_scheduler_simple: true,
            containers: vec![ContainerSpec { runs_flux: true, ..ContainerSpec::default() }],
            ..MiniClusterSpec::default()
        };
        let key = ObjectKey::new("default", NAME);
        tank.simulation
            .apply_to(|fleet, ctx| fleet.apply(&key, spec, ctx))
            .expect("the spec keeps all rules");
        tank.wait(Duration::from_secs(20));
        tank
    }

    fn wait(&mut self, duration: Duration) {
        let limit = self.simulation.now() + duration;
        self.simulation.run_until(limit).expect("it comes to rest");
    }

    /// The rig paused for up to two seconds, a period of the heartbeat, so that its phase was any.
    fn pause(&mut self) {
        self.lots ^= self.lots << 13;
        self.lots ^= self.lots >> 7;
        self.lots ^= self.lots << 17;
        self.wait(Duration::from_secs(5) + Duration::from_micros(self.lots % 2_000_000));
    }

    fn measure(&mut self, operation: &'static str, from: i32, to: i32, patch_ms: f64, model: &mut Model) {
        self.simulation.take_trace();
        self.simulation
            .apply_to(|fleet, ctx| fleet.edit(NAME, |spec| spec.size = to, ctx))
            .expect("below ten");
        let ranks = from.min(to)..from.max(to);
        let mut pods: BTreeMap<u32, Marks> = ranks.map(|rank| (rank.unsigned_abs(), Marks::new())).collect();
        let (mut start, mut job_seen) = (None, None);
        let limit = self.simulation.now() + Duration::from_secs(60);
        loop {
            for entry in self.simulation.take_trace() {
                let Fact::Changed(_, change) = entry.fact else { continue };
                match change {
                    Change::Job(Versions { new: Some(job), .. }) => {
                        if start.is_none() && job.spec.parallelism == to {
                            start = Some(entry.at);
                        }
                        if start.is_some() && is_settled(&job, to) {
                            job_seen.get_or_insert(entry.at);
                        } else {
                            job_seen = None;
                        }
                    }
                    Change::Pod(versions) => mark_pod(&mut pods, &versions, entry.at),
                    _ => {}
                }
            }
            let now = self.simulation.now();
            let instance = self.simulation.application().get(NAME).expect("it is there").instance();
            for (rank, marks) in &mut pods {
                let mut see = |name, is_so: bool| {
                    if is_so && start.is_some() {
                        marks.entry(name).or_insert(now);
                    }
                };
                let status = instance.overlay().status(*rank).0;
                if from < to {
                    see("entry_script", instance.overlay().started(*rank).is_some());
                    see("overlay_full", status == Status::Full);
                    see("sched_up", instance.up().contains(*rank));
                } else {
                    see("overlay_down", matches!(status, Status::Lost | Status::Offline));
                    see("sched_down", !instance.up().contains(*rank));
                }
            }
            let last = if from < to { ["running", "sched_up"] } else { ["gone", "sched_down"] };
            let all = pods.values().all(|marks| last.iter().all(|name| marks.contains_key(name)));
            if all && job_seen.is_some() {
                break;
            }
            let next = self.simulation.step_instant(limit).expect("it comes to rest");
            assert!(next.is_some(), "{operation} does not settle: {pods:?}, Job {job_seen:?}");
        }
        let (start, job_seen) = (start.expect("the operator writes"), job_seen.expect("it has settled"));
        let since = |at: Time| (at - start).as_secs_f64() * 1_000.0 + patch_ms;
        let names: Vec<&'static str> = pods.values().flat_map(|marks| marks.keys().copied()).collect();
        let mut settled = since(job_seen);
        for name in names.iter().copied().collect::<std::collections::BTreeSet<_>>() {
            let last = pods.values().filter_map(|marks| marks.get(name)).max().copied().expect("a mark");
            model.add(operation, name, since(last));
            if matches!(name, "sched_up" | "gone" | "sched_down") {
                settled = settled.max(since(last));
            }
        }
        model.add(
            operation,
            if from < to { "job_status_ready" } else { "job_status_settled" },
            since(job_seen),
        );
        model.add(operation, "settled", settled);
        for marks in pods.values() {
            for (first, first_at) in marks {
                for (second, second_at) in marks {
                    let ms = since(*second_at) - since(*first_at);
                    model.add(operation, format!("{first}..{second}"), ms);
                }
            }
        }
    }
}

/// What the rig waited for in the Job's status.
fn is_settled(job: &Job, size: i32) -> bool {
    let status = &job.status;
    status.ready == Some(size) && status.active == size && status.terminating.unwrap_or(0) == 0
}

fn mark_pod(pods: &mut BTreeMap<u32, Marks>, versions: &Versions<Pod>, at: Time) {
    let Some(pod) = versions.new.as_deref().or(versions.old.as_deref()) else { return };
    let Some(marks) = pod.index.get().and_then(|index| pods.get_mut(&index)) else { return };
    let mut see = |name, is_so: bool| {
        if is_so {
            marks.entry(name).or_insert(at);
        }
    };
    let is_gone = versions.new.is_none();
    let is_deleted = pod.deletion.is_some();
    see("gone", is_gone);
    see("deletionTimestamp", is_deleted);
    // The rig saw the finalizer's end with the deletion.
    see("finalizer_dropped", is_deleted && !pod.tracked);
    if is_deleted {
        // A kubelet tells of the container's end with the phase; the model's tells of it a moment before, too.
        see("container_terminated_seen", pod.status.phase.is_terminal());
        return;
    }
    see("pod_created", true);
    see("scheduled", pod.node.is_some());
    see("running", pod.status.phase == PodPhase::Running);
}
