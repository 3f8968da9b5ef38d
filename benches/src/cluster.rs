//! Simulated clusters for the benches.

use std::sync::Arc;
use std::time::Duration;

use towtank_model::cluster::{Behaviour, ClusterConfig, ManualStatus, OnTerm, TimingProfile, WorkloadRule};
use towtank_model::job::ControllerConfig;
use towtank_model::job::sync::{BackoffRecord, Limits, Snapshot};
use towtank_model::objects::{
    CompletionMode, Container, ObjectKey, PodPhase, PodSpec, PodTemplate, RestartPolicy, Uid,
};
use towtank_model::server::JobManifest;
use towtank_model::simulation::{Simulation, SimulationConfig};
use towtank_model::time::Time;
use towtank_model::version::{Features, KubernetesVersion};

/// An Indexed Job with this many completions, all at once.
pub fn indexed_job(completions: i32) -> JobManifest {
    let spec = PodSpec {
        restart_policy: RestartPolicy::Never,
        containers: vec![Container { name: "main".into(), cpu_request_milli: 100, is_sidecar: false }],
        ..PodSpec::default()
    };
    let template = PodTemplate {
        labels: Arc::default(),
        annotations: Arc::default(),
        finalizers: Arc::default(),
        spec: Arc::new(spec),
    };
    JobManifest {
        parallelism: Some(completions),
        completions: Some(completions),
        completion_mode: Some(CompletionMode::Indexed),
        template: Some(Arc::new(template)),
        ..JobManifest::default()
    }
}

/// The key of the `number`th Job.
pub fn key(number: u32) -> ObjectKey {
    ObjectKey::new("default", format!("job-{number}"))
}

/// A cluster of the newest version without scheduler and kubelets.
pub fn manual(controller: ControllerConfig) -> Simulation {
    let features = Features::of(KubernetesVersion::NEWEST);
    let cluster = ClusterConfig { manual_pods: true, nodes: 0, ..ClusterConfig::default() };
    Simulation::new(SimulationConfig { controller, cluster, ..SimulationConfig::new(features, 1) })
}

/// What the Job controller knows of a Job of `pods` ready pods when nothing is left to do.
pub fn steady_snapshot(pods: i32) -> Snapshot {
    let mut simulation = manual(ControllerConfig::default());
    let _ = simulation.create_job(key(0), &indexed_job(pods));
    let _ = simulation.run_until(Time::from_secs(5));
    set_all(&mut simulation, PodPhase::Running);
    let _ = simulation.run_until(Time::from_secs(10));
    let server = simulation.server();
    Snapshot {
        features: Features::of(KubernetesVersion::NEWEST),
        limits: Limits::default(),
        job: server.jobs().next().expect("the Job was created").clone(),
        pods: server.pods().cloned().collect(),
        expectations_satisfied: true,
        finalizers_expected_gone: Default::default(),
        backoff: BackoffRecord::default(),
    }
}

/// Sets the phase of every pod that has not ended.
pub fn set_all(simulation: &mut Simulation, phase: PodPhase) {
    let status =
        ManualStatus { phase, exit_code: None, condition: None, ready: Some(phase == PodPhase::Running) };
    let open = simulation.server().pods().filter(|pod| !pod.status.phase.is_terminal());
    let uids: Vec<Uid> = open.map(|pod| pod.uid).collect();
    for uid in uids {
        let _ = simulation.set_phase(uid, &status);
    }
}

/// Upstream's `BenchmarkLargeIndexedJob`: a Job is created, a poll (after 0, 1, 2.5, 4.75, … seconds) lets all pods that it
/// finds succeed, until all have. Returns the virtual time at which the Job is Complete.
pub fn large_indexed_job(pods: i32, qps: u32) -> Time {
    let mut simulation =
        manual(ControllerConfig { qps: Some(qps), burst: qps, ..ControllerConfig::default() });
    let _ = simulation.create_job(key(0), &indexed_job(pods));
    let mut pause = Duration::from_secs(1);
    let mut at = Time::ZERO;
    while simulation.server().jobs().any(|job| !job.is_finished()) {
        set_all(&mut simulation, PodPhase::Succeeded);
        at += pause;
        pause = pause.mul_f64(1.5).min(Duration::from_secs(300));
        while simulation.server().jobs().any(|job| !job.is_finished()) {
            if !matches!(simulation.step_instant(at), Ok(Some(_))) {
                break;
            }
        }
    }
    simulation.now()
}

/// `jobs` Jobs of 100 pods on nodes of 110 places with the timing of a kind cluster; every pod runs for 20 minutes.
pub fn busy_hour(jobs: u32) -> Simulation {
    let behaviour = Behaviour {
        runs_for: Some(Duration::from_secs(1_200)),
        exit_code: 0,
        on_term: OnTerm::Exit { exit_code: 143, after: Duration::ZERO },
    };
    let cluster = ClusterConfig {
        nodes: jobs,
        cpu_milli: 110_000,
        timing: TimingProfile::by_name("kind").unwrap_or_else(TimingProfile::instant),
        workload: vec![WorkloadRule { job: None, indexes: None, incarnation: None, behaviour }],
        ..ClusterConfig::default()
    };
    let features = Features::of(KubernetesVersion::NEWEST);
    let mut simulation = Simulation::new(SimulationConfig { cluster, ..SimulationConfig::new(features, 1) });
    for number in 0..jobs {
        let _ = simulation.create_job(key(number), &indexed_job(100));
    }
    simulation
}
