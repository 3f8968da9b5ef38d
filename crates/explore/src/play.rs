//! Telling a story on a simulation.

use std::sync::Arc;
use std::time::Duration;

use towtank_model::cluster::{ActionError, ClusterConfig, ContainerChoice, ManualStatus};
use towtank_model::job::{ControllerConfig, WatchKind};
use towtank_model::objects::{Job, ObjectKey, PodPhase, Uid};
use towtank_model::server::{ApiError, PodPatch, TraceEntry};
use towtank_model::simulation::{Controller, Simulation, SimulationConfig};
use towtank_model::version::Features;

use crate::genes;
use crate::invariants::{Checker, Violation};
use crate::roll::{PodName, Roll};
use crate::story::{Broken, Stage, Story};
use crate::verbs::{PodPick, Verb};

/// From the creation of the Job to the first verb.
pub(crate) const OPENING: Duration = Duration::from_secs(1);
/// From every verb to the next.
pub(crate) const BREATH: Duration = Duration::from_millis(300);
/// From the last verb to the end. Longer than the longest back-off and the expectations' time to live together.
pub(crate) const ENDING: Duration = Duration::from_mins(50);
/// What comes after the end: the time that a run of a scenario goes on by itself while anything happens.
const TAIL: Duration = Duration::from_mins(10);

/// What came of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was done.
    Done,
    /// It was refused, as the API server refuses things in life.
    Refused,
    /// There was nothing to do it to.
    Void,
}

/// One verb as it came out.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    pub(crate) outcome: Outcome,
    /// The pod that was meant.
    pub(crate) pod: Option<PodName>,
}

/// How a story went that was told to its end.
#[derive(Debug)]
pub(crate) struct Told {
    /// Whether the Job was created.
    pub(crate) opening: Outcome,
    /// Of every verb.
    pub(crate) acts: Vec<Act>,
    /// The Jobs that are there at the end.
    pub(crate) jobs: Vec<Arc<Job>>,
    /// How many pods are there at the end.
    pub(crate) pods: usize,
}

/// Tells a story on the model. With `judges`, every write is held against the rules.
pub(crate) fn tell(story: &Story, judges: bool) -> (Vec<TraceEntry>, Result<Told, Broken>) {
    tell_on(story, Simulation::new(configuration(story)), judges)
}

/// Tells a story on a simulation that is set up as [`configuration`] says: what was written up to the end or to where it
/// broke, and how it went.
pub(crate) fn tell_on<C: Controller>(
    story: &Story,
    simulation: Simulation<C>,
    judges: bool,
) -> (Vec<TraceEntry>, Result<Told, Broken>) {
    let mut play = Play::new(story, simulation, judges);
    let told = play.tell();
    // An instant without end has left some unread.
    let unread = play.simulation.take_trace();
    play.trace.extend(unread);
    (play.trace, told)
}

fn first(violations: Vec<Violation>) -> Result<(), Violation> {
    violations.into_iter().next().map_or(Ok(()), Err)
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

/// A simulation on which a story is told.
struct Play<'a, C> {
    simulation: Simulation<C>,
    checker: Option<Checker>,
    story: &'a Story,
    /// The controller learns of the effect of every call, and at once.
    is_flawless: bool,
    roll: Roll,
    /// Bare pods so far.
    bare_pods: u32,
    trace: Vec<TraceEntry>,
}

/// The simulation that a story asks for.
pub(crate) fn configuration(story: &Story) -> SimulationConfig {
    let (features, setting) = (Features::of(story.version), &story.setting);
    SimulationConfig {
        keeps_trace: true,
        controller: ControllerConfig {
            watch_latency: setting.timing.watch_delivery,
            call_latency: setting.timing.api_call,
            faults: setting.faults.clone(),
            ..ControllerConfig::default()
        },
        cluster: ClusterConfig {
            manual_pods: setting.stage == Stage::Manual,
            nodes: setting.stage.nodes(),
            timing: setting.timing,
            workload: setting.workload.clone(),
            ..ClusterConfig::default()
        },
        ..SimulationConfig::new(features, story.seed)
    }
}

impl<'a, C: Controller> Play<'a, C> {
    fn new(story: &'a Story, simulation: Simulation<C>, judges: bool) -> Self {
        let (features, setting) = (Features::of(story.version), &story.setting);
        let is_flawless = !setting.misleads && setting.timing.name == "instant";
        let checker = judges.then(|| {
            let mut checker = Checker::new(features);
            checker.set_informed(is_flawless);
            if !setting.faults.is_empty() {
                checker.expect_faults();
            }
            checker
        });
        let roll = Roll::default();
        Self { simulation, checker, story, is_flawless, roll, bare_pods: 0, trace: Vec::new() }
    }

    /// From the creation of the Job to rest; the trace stays here.
    fn tell(&mut self) -> Result<Told, Broken> {
        let opening = self.create();
        self.run_for(OPENING)?;
        let mut acts = Vec::with_capacity(self.story.verbs.len());
        for verb in &self.story.verbs {
            if let Verb::Wait(duration) = verb {
                self.run_for(*duration)?;
            }
            acts.push(self.act(verb));
            self.run_for(BREATH)?;
        }
        self.act(&Verb::Start);
        self.act(&Verb::Release);
        self.run_for(ENDING)?;
        let server = self.simulation.server();
        let (jobs, pods) = (server.jobs().map(Arc::clone).collect(), server.pods().count());
        self.run_for(TAIL)?;
        let now = self.simulation.now();
        let at_rest = self.checker.as_ref().map_or_else(Vec::new, |checker| checker.rest(now));
        first(at_rest).map_err(|violation| Broken::Violation(now, violation))?;
        Ok(Told { opening, acts, jobs, pods })
    }

    /// Lets time pass and holds every write against the rules.
    fn run_for(&mut self, duration: Duration) -> Result<(), Broken> {
        let limit = self.simulation.now() + duration;
        loop {
            self.read()?;
            let Some(instant) = self.simulation.step_instant(limit).map_err(Broken::Livelock)? else {
                return self.read();
            };
            if instant.has_changed {
                self.roll.learn(self.simulation.server());
            }
        }
    }

    fn read(&mut self) -> Result<(), Broken> {
        let entries = self.simulation.take_trace();
        let now = self.simulation.now();
        let broken = self.checker.as_mut().map_or_else(Vec::new, |checker| checker.read(&entries));
        self.trace.extend(entries);
        first(broken).map_err(|violation| Broken::Violation(now, violation))
    }

    fn create(&mut self) -> Outcome {
        let outcome = done(self.simulation.create_job(key("story"), &self.story.job));
        self.roll.learn(self.simulation.server());
        outcome
    }

    /// Does what the verb says. What the API server refuses has no effect, as in life.
    fn act(&mut self, verb: &Verb) -> Act {
        let Some(pick) = verb.pod() else {
            let outcome = self.act_without_pod(verb);
            self.roll.learn(self.simulation.server());
            return Act { outcome, pod: None };
        };
        let uids: Vec<Uid> = self.simulation.server().pods().map(|pod| pod.uid).collect();
        let PodPick(position) = pick;
        let Some(&uid) = uids.get(position as usize % uids.len().max(1)) else {
            return Act { outcome: Outcome::Void, pod: None };
        };
        let outcome = self.act_on_pod(verb, uid);
        self.roll.learn(self.simulation.server());
        Act { outcome, pod: self.roll.name(uid).cloned() }
    }

    fn act_on_pod(&mut self, verb: &Verb, uid: Uid) -> Outcome {
        let story = self.story;
        let simulation = &mut self.simulation;
        match verb {
            Verb::Phase(_, phase, ready) => {
                let ready = Some(*ready);
                set_phase(
                    simulation,
                    uid,
                    ManualStatus { phase: *phase, exit_code: None, condition: None, ready },
                )
            }
            Verb::Succeed(_) => {
                let phase = PodPhase::Succeeded;
                set_phase(
                    simulation,
                    uid,
                    ManualStatus { phase, exit_code: None, condition: None, ready: None },
                )
            }
            Verb::Fail(_, exit_code, condition) => {
                let condition = condition.as_ref().map(|(kind, status)| (Arc::from(*kind), *status));
                let (phase, exit_code) = (PodPhase::Failed, Some(*exit_code));
                set_phase(simulation, uid, ManualStatus { phase, exit_code, condition, ready: None })
            }
            Verb::Exit(_) => acted(simulation.exit(uid, ContainerChoice::All, 0, None)),
            Verb::Crash(_, container, exit_code, condition) => {
                let choice = container.map_or(ContainerChoice::First, ContainerChoice::Named);
                let condition = condition.as_ref().map(|(kind, status)| (Arc::from(*kind), *status));
                acted(simulation.exit(uid, choice, *exit_code, condition))
            }
            Verb::Kill(_, signal) => acted(simulation.signal(uid, *signal)),
            Verb::DeletePod(_) => done(simulation.delete_pod(uid, None)),
            Verb::ForceDeletePod(_) => done(simulation.delete_pod(uid, Some(0))),
            Verb::Evict(_) => done(simulation.evict_pod(uid)),
            Verb::RemoveFinalizer(_) => {
                let patch = PodPatch { remove_tracking_finalizer: true, ..PodPatch::default() };
                done(simulation.patch_pod(uid, &patch))
            }
            Verb::LetGo(_) => let_go(simulation, uid),
            Verb::Disown(_) => relabel(simulation, uid, story.label(), None),
            Verb::Claim(_) if story.is_selected() => {
                relabel(simulation, uid, story.label(), Some(genes::LABEL_VALUE))
            }
            _ => Outcome::Void,
        }
    }

    fn act_without_pod(&mut self, verb: &Verb) -> Outcome {
        let simulation = &mut self.simulation;
        match verb {
            Verb::Node(number, change) => {
                return acted(simulation.set_node(&format!("node-{number}"), *change));
            }
            Verb::Adopt => return self.create_bare_pod(),
            Verb::Restart => simulation.restart_controller(),
            Verb::Stop => simulation.stop_controller(),
            Verb::Start => simulation.start_controller(),
            Verb::Hold(kind) => simulation.hold_cache(*kind),
            Verb::Release => {
                simulation.release_cache(WatchKind::Jobs);
                simulation.release_cache(WatchKind::Pods);
            }
            Verb::DeleteJob(propagation) => return done(simulation.delete_job(&key("story"), *propagation)),
            Verb::Recreate => {
                let is_there = simulation.server().job_by_key(&key("story")).is_some();
                return if is_there { Outcome::Void } else { self.create() };
            }
            Verb::Other => {
                let is_there = simulation.server().job_by_key(&key("other")).is_some();
                if is_there {
                    return Outcome::Void;
                }
                return done(simulation.create_job(key("other"), &genes::other_job()));
            }
            Verb::EndNamespace => simulation.terminate_namespace("default"),
            change => {
                return change
                    .manifest()
                    .map_or(Outcome::Done, |manifest| done(simulation.update_job(&key("story"), &manifest)));
            }
        };
        self.tell_checker(verb);
        Outcome::Done
    }

    /// What the trace does not tell.
    fn tell_checker(&mut self, verb: &Verb) {
        let Some(checker) = &mut self.checker else { return };
        match verb {
            Verb::Restart | Verb::Stop | Verb::Start => checker.restarted(),
            Verb::Hold(_) => checker.set_informed(false),
            Verb::Release => checker.set_informed(self.is_flawless),
            _ => {}
        }
    }

    /// Creates a pod that the Job's selector selects. Only a user's own selector can be met: the API server generates
    /// the others from uids.
    fn create_bare_pod(&mut self) -> Outcome {
        if !self.story.is_selected() {
            return Outcome::Void;
        }
        self.bare_pods += 1;
        let key = key(&format!("bare-{}", self.bare_pods));
        done(self.simulation.create_pod(key, &genes::bare_pod()))
    }
}

fn done<T>(answer: Result<T, ApiError>) -> Outcome {
    if answer.is_ok() { Outcome::Done } else { Outcome::Refused }
}

fn acted(answer: Result<(), ActionError>) -> Outcome {
    if answer.is_ok() { Outcome::Done } else { Outcome::Refused }
}

/// A pod that has ended stays as it is, as kubelets would have it.
fn set_phase<C: Controller>(simulation: &mut Simulation<C>, uid: Uid, status: ManualStatus) -> Outcome {
    let has_ended = simulation.server().pod(uid).is_some_and(|pod| pod.status.phase.is_terminal());
    if has_ended { Outcome::Void } else { acted(simulation.set_phase(uid, &status)) }
}

fn relabel<C: Controller>(
    simulation: &mut Simulation<C>,
    uid: Uid,
    label: &str,
    value: Option<&str>,
) -> Outcome {
    let labels = vec![(label.into(), value.map(Arc::from))];
    done(simulation.patch_pod(uid, &PodPatch { labels, ..PodPatch::default() }))
}

fn let_go<C: Controller>(simulation: &mut Simulation<C>, uid: Uid) -> Outcome {
    let is_held = simulation.server().pod(uid).is_some_and(|pod| !pod.foreign_finalizers.is_empty());
    let patch = PodPatch { remove_finalizer: Some(genes::HOLD.into()), ..PodPatch::default() };
    if is_held { done(simulation.patch_pod(uid, &patch)) } else { Outcome::Void }
}
