//! A simulation with one Job, and the steps that tests take.

use std::sync::Arc;
use std::time::Duration;

use towtank_model::objects::*;
use towtank_model::server::{JobManifest, PodPatch};
use towtank_model::simulation::{Simulation, SimulationConfig};
use towtank_model::version::{Features, KubernetesVersion};

/// A simulation about the Job `default/j`.
pub(crate) struct World {
    /// The simulation.
    pub(crate) simulation: Simulation,
}

/// What a version does.
pub(crate) fn features(minor: u16) -> Features {
    Features::of(KubernetesVersion::from_minor(minor).unwrap())
}

/// A simulation with a trace, set up as `edit` says.
pub(crate) fn world(minor: u16, edit: impl FnOnce(&mut SimulationConfig)) -> World {
    let mut config = SimulationConfig::new(features(minor), 1);
    config.keeps_trace = true;
    edit(&mut config);
    World { simulation: Simulation::new(config) }
}

/// A simulation in which pods do only what tests say.
pub(crate) fn manual(minor: u16) -> World {
    world(minor, |config| config.cluster.manual_pods = true)
}

/// The Job's name.
pub(crate) fn key() -> ObjectKey {
    ObjectKey::new("default", "j")
}

/// An Indexed Job with as many pods as completions.
pub(crate) fn indexed(completions: i32) -> JobManifest {
    let spec = PodSpec {
        restart_policy: RestartPolicy::Never,
        containers: vec![Container { name: "c".into(), cpu_request_milli: 100, is_sidecar: false }],
        ..PodSpec::default()
    };
    let template = PodTemplate {
        labels: Arc::default(),
        annotations: Arc::default(),
        finalizers: Arc::new([]),
        spec: Arc::new(spec),
    };
    JobManifest {
        completions: Some(completions),
        parallelism: Some(completions),
        completion_mode: Some(CompletionMode::Indexed),
        template: Some(Arc::new(template)),
        ..JobManifest::default()
    }
}

impl World {
    pub(crate) fn create(&mut self, manifest: &JobManifest) {
        self.simulation.create_job(key(), manifest).unwrap();
    }

    pub(crate) fn update(&mut self, manifest: &JobManifest) {
        self.simulation.update_job(&key(), manifest).unwrap();
    }

    /// Sets completions and parallelism.
    pub(crate) fn scale(&mut self, to: i32) {
        let manifest = JobManifest { completions: Some(to), parallelism: Some(to), ..JobManifest::default() };
        self.update(&manifest);
    }

    /// Lets seconds pass.
    pub(crate) fn run(&mut self, seconds: u64) {
        self.simulation.run_until(self.simulation.now() + Duration::from_secs(seconds)).unwrap();
    }

    pub(crate) fn job(&self) -> &Job {
        self.simulation.server().job_by_key(&key()).unwrap()
    }

    pub(crate) fn status(&self) -> JobStatus {
        self.job().status.clone()
    }

    /// The newest pod of an index.
    pub(crate) fn pod(&self, index: u32) -> Arc<Pod> {
        let pods = self.simulation.server().pods();
        Arc::clone(pods.filter(|pod| pod.index == PodIndex::At(index)).last().unwrap())
    }

    /// Sets the phase of the newest pod of an index.
    pub(crate) fn report(&mut self, index: u32, phase: PodPhase) {
        let pod = self.pod(index).uid;
        self.simulation.update_pod_status(pod, |status| status.phase = phase).unwrap();
    }

    pub(crate) fn set_label(&mut self, pod: Uid, label: &Arc<str>, value: Option<Arc<str>>) {
        let patch = PodPatch { labels: vec![(Arc::clone(label), value)], ..PodPatch::default() };
        self.simulation.patch_pod(pod, &patch).unwrap();
    }
}
