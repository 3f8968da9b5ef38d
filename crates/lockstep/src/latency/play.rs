//! Plays the changes of size of a scenario again and again, and notes how long each took.
//!
//! The first step of such a scenario makes a MiniCluster, every other one changes its size. A round is all of these. Before each change there is a pause of random
//! length, so that changes come at any moment of the second in which the Job controller collects what it has to count.

use std::collections::BTreeMap;
use std::time::Duration;

use towtank_model::engine::{Purpose, RandomStreams};
use towtank_scenario::ast::{Action, Scenario, Stack};
use towtank_scenario::observation::{Observation, PodView};

use super::{Operation, PodSeen, Seen, Sighting, Tracker};
use crate::virtual_world::{ModelWorld, SetupError};
use crate::world::{Refusal, World, WorldError};

/// How long a change may take.
const CHANGE_MAX: Duration = Duration::from_secs(300);
/// How long nothing is asked for before a change: longer than the Job controller needs for what is left to do.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2_500), Duration::from_millis(4_500));

/// A world that tells what is to be seen of its MiniCluster.
pub trait Lookout {
    /// The world.
    fn world(&mut self) -> &mut dyn World;
    /// What was to be seen since the last call, in order.
    fn look(&mut self) -> Vec<Sighting>;
}

/// Why nothing can be measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The scenario is none of changes of size.
    #[error("`{0}` does not begin with a MiniCluster, or does something else then than to change its size")]
    Scenario(String),
    /// The world cannot be made.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A change is refused.
    #[error("step `{step}` is refused: {refusal}")]
    Refused {
        /// The step.
        step: String,
        /// The answer.
        refusal: Refusal,
    },
    /// The world cannot go on.
    #[error(transparent)]
    World(#[from] WorldError),
    /// What the scenario expects is not to be seen.
    #[error("step `{step}`: {cause}")]
    NotMet {
        /// The step.
        step: String,
        /// Why.
        cause: String,
    },
    /// There is no time to be told.
    #[error("`{0}` waits for nothing, or was never played")]
    NothingAwaited(String),
    /// A change does not come to its end.
    #[error("step `{step}` has not come to its end after {} s: {state}", CHANGE_MAX.as_secs())]
    Late {
        /// The step.
        step: String,
        /// What is known of it.
        state: String,
    },
}

/// Plays `rounds` rounds of a scenario; what the first step took is not among the answers.
///
/// # Errors
///
/// See [`MeasureError`].
pub fn measure(
    scenario: &Scenario,
    lookout: &mut dyn Lookout,
    rounds: u32,
    seed: u64,
) -> Result<Vec<Operation>, MeasureError> {
    let is_change = |action: &Action| matches!(action, Action::PatchMiniCluster { .. });
    let Some((first, changes)) = scenario
        .steps
        .split_first()
        .filter(|(_, changes)| changes.iter().all(|step| is_change(&step.action.value)))
        .filter(|(first, _)| matches!(first.action.value, Action::Apply(_)) && scenario.has_miniclusters())
    else {
        return Err(MeasureError::Scenario(scenario.name.clone()));
    };
    let mut random = RandomStreams::new(seed);
    let mut tracker = Tracker::default();
    let mut operations = Vec::new();
    let rounds = (0..rounds).flat_map(|_| changes.iter());
    for (number, step) in std::iter::once(first).chain(rounds).enumerate() {
        if number > 0 {
            let (least, most) = PAUSE;
            let spread = u64::try_from((most - least).as_micros()).unwrap_or(u64::MAX);
            let pause = least + Duration::from_micros(random.below(Purpose::Workload, spread));
            let until = lookout.world().now() + pause;
            while lookout.world().now() < until && lookout.world().next_instant(until)?.is_some() {
                lookout.look().iter().for_each(|sighting| drop(tracker.note(sighting)));
            }
        }
        let action = &step.action.value;
        let name = || step.name.value.clone();
        lookout.world().perform(action).map_err(|refusal| MeasureError::Refused { step: name(), refusal })?;
        let operation = follow(lookout, &mut tracker)?;
        let late = || MeasureError::Late { step: name(), state: format!("{tracker:?}") };
        let operation = operation.ok_or_else(late)?;
        if number > 0 {
            operations.push(operation);
        }
    }
    Ok(operations)
}

/// Lets time pass until the change that was just asked for has come to its end.
fn follow(lookout: &mut dyn Lookout, tracker: &mut Tracker) -> Result<Option<Operation>, WorldError> {
    let limit = lookout.world().now() + CHANGE_MAX;
    loop {
        for sighting in lookout.look() {
            if let Some(operation) = tracker.note(&sighting) {
                return Ok(Some(operation));
            }
        }
        if lookout.world().now() >= limit {
            return Ok(None);
        }
        lookout.world().next_instant(limit)?;
    }
}

/// The model, looked at whenever something has happened.
pub struct Virtual {
    world: ModelWorld,
    /// What was to be seen last.
    minicluster: Option<Seen>,
    job: Option<Seen>,
    online: Option<Seen>,
    pods: BTreeMap<u64, PodSeen>,
}

impl Virtual {
    /// A fresh world of the model.
    ///
    /// # Errors
    ///
    /// The model cannot be set up so.
    pub fn new(scenario: &Scenario, stack: Stack, seed: u64) -> Result<Self, SetupError> {
        let world = ModelWorld::new(scenario, stack, seed)?;
        Ok(Self { world, minicluster: None, job: None, online: None, pods: BTreeMap::new() })
    }
}

impl Lookout for Virtual {
    fn world(&mut self) -> &mut dyn World {
        &mut self.world
    }

    fn look(&mut self) -> Vec<Sighting> {
        let at = self.world.now();
        let observation = self.world.observe();
        let [minicluster, job, online] = objects(observation);
        let mut seen = Vec::new();
        for (last, now) in
            [(&mut self.minicluster, minicluster), (&mut self.job, job), (&mut self.online, online)]
        {
            if *last != now {
                last.clone_from(&now);
                seen.extend(now);
            }
        }
        let pods: BTreeMap<u64, PodSeen> =
            observation.pods.iter().map(|pod| (pod.uid, pod_seen(pod))).collect();
        seen.extend(self.pods.keys().filter(|uid| !pods.contains_key(uid)).map(|uid| Seen::Gone(*uid)));
        let is_other = |(uid, pod): &(&u64, &PodSeen)| self.pods.get(uid) != Some(pod);
        seen.extend(pods.iter().filter(is_other).map(|(uid, pod)| Seen::Pod(*uid, *pod)));
        self.pods = pods;
        seen.into_iter().map(|seen| Sighting { at, seen }).collect()
    }
}

/// The only MiniCluster, its Job and its brokers.
fn objects(observation: &Observation) -> [Option<Seen>; 3] {
    let minicluster = observation.miniclusters.iter().find(|minicluster| minicluster.exists);
    let job = observation.jobs.iter().find(|job| job.exists);
    [
        minicluster.map(|it| Seen::MiniCluster {
            size: it.spec.size,
            told: it.status.size,
            ready: it.status.ready,
        }),
        job.map(|job| Seen::Job {
            parallelism: job.parallelism,
            active: job.active,
            ready: job.ready.unwrap_or(0),
            terminating: job.terminating.unwrap_or(0),
        }),
        minicluster.map(|it| Seen::Online(it.flux.online)),
    ]
}

fn pod_seen(pod: &PodView) -> PodSeen {
    let has_ended = matches!(&*pod.phase, "Succeeded" | "Failed");
    PodSeen {
        is_bound: !pod.node.is_empty(),
        has_run: has_ended || pod.phase == "Running",
        is_ready: pod.ready,
        is_told: pod.deleting,
        has_ended,
    }
}
