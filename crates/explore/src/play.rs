//! Telling a story on a simulation.

use std::sync::Arc;
use std::time::Duration;

use towtank_model::cluster::{ClusterConfig, ContainerChoice, ManualStatus};
use towtank_model::job::{ControllerConfig, WatchKind};
use towtank_model::objects::{Labels, ObjectKey, PodPhase, Uid};
use towtank_model::server::{PodManifest, PodPatch, TraceEntry};
use towtank_model::simulation::{Simulation, SimulationConfig};
use towtank_model::version::Features;

use crate::genes;
use crate::invariants::{Checker, Violation};
use crate::story::{Broken, Played, Stage, Story};
use crate::verbs::{PodPick, Verb};

/// A simulation on which a story is told.
struct Play<'a> {
    simulation: Simulation,
    checker: Checker,
    story: &'a Story,
    /// The controller learns of the effect of every call, and at once.
    is_flawless: bool,
    /// Bare pods so far.
    bare_pods: u32,
    trace: Vec<TraceEntry>,
}

/// Tells a story and holds every write against the rules.
pub(crate) fn play(story: &Story) -> Result<Played, Broken> {
    let mut play = Play::new(story);
    play.create();
    play.run_for(Duration::from_secs(1))?;
    let mut accepted = Vec::with_capacity(story.verbs.len());
    for verb in &story.verbs {
        if let Verb::Wait(duration) = verb {
            play.run_for(*duration)?;
        }
        accepted.push(play.act(verb));
        play.run_for(Duration::from_millis(300))?;
    }
    play.act(&Verb::Release);
    // Longer than the longest back-off and the expectations' time to live together.
    play.run_for(Duration::from_secs(3_600))?;
    let now = play.simulation.now();
    first(play.checker.rest(now)).map_err(|violation| Broken::Violation(now, violation))?;
    Ok(Played { trace: play.trace, accepted })
}

fn first(violations: Vec<Violation>) -> Result<(), Violation> {
    violations.into_iter().next().map_or(Ok(()), Err)
}

fn key() -> ObjectKey {
    ObjectKey::new("default", "story")
}

impl<'a> Play<'a> {
    fn new(story: &'a Story) -> Self {
        let (features, setting) = (Features::of(story.version), &story.setting);
        let is_manual = setting.stage == Stage::Manual;
        let config = SimulationConfig {
            keeps_trace: true,
            controller: ControllerConfig {
                watch_latency: setting.timing.watch_delivery,
                call_latency: setting.timing.api_call,
                faults: setting.faults.clone(),
                ..ControllerConfig::default()
            },
            cluster: ClusterConfig {
                manual_pods: is_manual,
                nodes: if is_manual { 0 } else { 3 },
                timing: setting.timing,
                workload: setting.workload.clone(),
                ..ClusterConfig::default()
            },
            ..SimulationConfig::new(features, story.seed)
        };
        let is_flawless = !setting.misleads && setting.timing.name == "instant";
        let mut checker = Checker::new(features);
        checker.set_informed(is_flawless);
        if !setting.faults.is_empty() {
            checker.expect_faults();
        }
        let simulation = Simulation::new(config);
        Self { simulation, checker, story, is_flawless, bare_pods: 0, trace: Vec::new() }
    }

    /// Lets time pass and holds every write against the rules.
    fn run_for(&mut self, duration: Duration) -> Result<(), Broken> {
        let limit = self.simulation.now() + duration;
        loop {
            self.read()?;
            if self.simulation.step_instant(limit).map_err(Broken::Livelock)?.is_none() {
                return self.read();
            }
        }
    }

    fn read(&mut self) -> Result<(), Broken> {
        let entries = self.simulation.take_trace();
        let now = self.simulation.now();
        let read = self.checker.read(&entries);
        self.trace.extend(entries);
        first(read).map_err(|violation| Broken::Violation(now, violation))?;
        Ok(())
    }

    fn create(&mut self) -> bool {
        self.simulation.create_job(key(), &self.story.job).is_ok()
    }

    /// Does what the verb says; whether it had an effect. What the API server refuses has none, as in life.
    fn act(&mut self, verb: &Verb) -> bool {
        let simulation = &mut self.simulation;
        match verb {
            // Has passed already.
            Verb::Wait(_) => true,
            Verb::Run(pod) => self.set_phase(*pod, PodPhase::Running, None),
            Verb::Succeed(pod) => self.set_phase(*pod, PodPhase::Succeeded, None),
            Verb::Fail(pod, exit_code) => self.set_phase(*pod, PodPhase::Failed, Some(*exit_code)),
            Verb::Exit(pod, exit_code) => self.with_pod(*pod, |simulation, uid| {
                simulation.exit(uid, ContainerChoice::All, *exit_code, None).is_ok()
            }),
            Verb::Kill(pod, signal) => {
                self.with_pod(*pod, |simulation, uid| simulation.signal(uid, *signal).is_ok())
            }
            Verb::Node(number, change) => simulation.set_node(&format!("node-{number}"), *change).is_ok(),
            Verb::DeletePod(pod) => {
                self.with_pod(*pod, |simulation, uid| simulation.delete_pod(uid, None).is_ok())
            }
            Verb::ForceDeletePod(pod) => {
                self.with_pod(*pod, |simulation, uid| simulation.delete_pod(uid, Some(0)).is_ok())
            }
            Verb::Evict(pod) => self.with_pod(*pod, |simulation, uid| simulation.evict_pod(uid).is_ok()),
            Verb::RemoveFinalizer(pod) => {
                let patch = PodPatch { remove_tracking_finalizer: true, ..PodPatch::default() };
                self.with_pod(*pod, |simulation, uid| simulation.patch_pod(uid, &patch).is_ok())
            }
            Verb::LetGo(pod) => self.with_pod(*pod, let_go),
            Verb::Disown(pod) => self.with_pod(*pod, disown),
            Verb::Adopt => self.create_bare_pod(),
            Verb::Restart => {
                simulation.restart_controller();
                self.checker.restarted();
                true
            }
            Verb::Hold(kind) => {
                simulation.hold_cache(*kind);
                self.checker.set_informed(false);
                true
            }
            Verb::Release => {
                simulation.release_cache(WatchKind::Jobs);
                simulation.release_cache(WatchKind::Pods);
                self.checker.set_informed(self.is_flawless);
                true
            }
            Verb::DeleteJob(propagation) => simulation.delete_job(&key(), *propagation).is_ok(),
            Verb::Recreate => self.create(),
            Verb::EndNamespace => {
                simulation.terminate_namespace("default");
                true
            }
            change => simulation.update_job(&key(), &change.manifest()).is_ok(),
        }
    }

    fn with_pod(&mut self, pick: PodPick, act: impl FnOnce(&mut Simulation, Uid) -> bool) -> bool {
        let uids: Vec<Uid> = self.simulation.server().pods().map(|pod| pod.uid).collect();
        let Some(&uid) = uids.get(pick.0 as usize % uids.len().max(1)) else { return false };
        act(&mut self.simulation, uid)
    }

    fn set_phase(&mut self, pick: PodPick, phase: PodPhase, exit_code: Option<i32>) -> bool {
        let ready = Some(phase == PodPhase::Running);
        self.with_pod(pick, |simulation, uid| {
            let ended = simulation.server().pod(uid).is_some_and(|pod| pod.status.phase.is_terminal());
            let status = ManualStatus { phase, exit_code, condition: None, ready };
            !ended && simulation.set_phase(uid, &status).is_ok()
        })
    }

    /// Creates a pod with the labels that the Job's selector asks for.
    fn create_bare_pod(&mut self) -> bool {
        let Some(job) = self.simulation.server().job_by_key(&key()) else { return false };
        let manifest = PodManifest {
            labels: Labels::clone(&job.spec.selector),
            annotations: Labels::new(),
            finalizers: Vec::new(),
            spec: Arc::new(genes::pod_spec()),
        };
        self.bare_pods += 1;
        let key = ObjectKey::new("default", format!("bare-{}", self.bare_pods));
        self.simulation.create_pod(key, &manifest).is_ok()
    }
}

fn disown(simulation: &mut Simulation, uid: Uid) -> bool {
    let Some(pod) = simulation.server().pod(uid).cloned() else { return false };
    let labels = pod.labels.keys().map(|label| (Arc::clone(label), None)).collect();
    simulation.patch_pod(uid, &PodPatch { labels, ..PodPatch::default() }).is_ok()
}

fn let_go(simulation: &mut Simulation, uid: Uid) -> bool {
    let finalizers = simulation.server().pod(uid).map(|pod| Arc::clone(&pod.foreign_finalizers));
    let Some(finalizer) = finalizers.as_ref().and_then(|names| names.first()) else { return false };
    let patch = PodPatch { remove_finalizer: Some(Arc::clone(finalizer)), ..PodPatch::default() };
    simulation.patch_pod(uid, &patch).is_ok()
}
