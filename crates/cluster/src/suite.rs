//! Many scenarios on several sites at once: most of the time a real cluster waits.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use towtank_control_plane::Interrupt;
use towtank_lockstep::explanation::{self, ExplainError, Explained, Search};
use towtank_lockstep::observed::Observed;
use towtank_lockstep::run::Run;
use towtank_lockstep::runner::{Limits, Reality};
use towtank_lockstep::session;
use towtank_lockstep::virtual_world::SetupError;
use towtank_scenario::ast::{Scenario, Stack};

use crate::chaos::{self, Blow, Chaos};
use crate::site::{ProviderConfig, Site, SiteConfig, SiteError};
use crate::world;

/// What is played, and how.
#[derive(Clone, Debug)]
pub struct Suite {
    /// What the clusters are made of.
    pub provider: ProviderConfig,
    /// Where the directories of runs are made.
    pub dir: PathBuf,
    /// Where the logs of a site go that did not do what it should.
    pub logs: PathBuf,
    /// Sites at once.
    pub sites: NonZeroUsize,
    /// A scenario that takes longer in the model is not played.
    pub length_max: Duration,
    /// How far an explanation is searched for.
    pub search: Search,
    /// Seed of what is killed in each scenario; `None`: nothing is.
    pub chaos: Option<u64>,
    /// Feature gates of the control plane that the scenarios and the model know nothing of.
    pub altered_gates: Vec<(String, bool)>,
    /// How often a scenario is played again that does not agree: a machine that is too busy is late. The outcome says which time it was.
    pub retries: u32,
    /// Breaks everything off.
    pub interrupt: Interrupt,
}

/// One scenario as one version.
#[derive(Clone, Debug)]
pub struct Task {
    /// What is played.
    pub scenario: Arc<Scenario>,
    /// As which versions.
    pub stack: Stack,
}

/// What became of a task.
#[derive(Debug)]
pub enum Outcome {
    /// It was played.
    Played(Box<Played>),
    /// It was not, for this reason.
    NotPlayed(String),
    /// The cluster did not do what it should.
    Broken(SiteError),
}

/// A run on a real cluster, and what the model says of it.
#[derive(Debug)]
pub struct Played {
    /// The run.
    pub run: Run,
    /// What it has shown.
    pub observed: Observed,
    /// Which time it was played, from 1.
    pub attempt: u32,
    /// What was killed, or has ended while other things were away, and when.
    pub blows: Vec<Blow>,
    /// Where the logs of its cluster are, when it does not agree.
    pub logs: Option<PathBuf>,
    /// The run of the model that explains it; nothing is explained that has failed.
    pub explained: Option<Explained>,
}

impl Played {
    /// Whether the cluster did what the scenario says, and the model knows how.
    pub fn agrees(&self) -> bool {
        self.run.passed() && matches!(self.explained, Some(Ok(_)))
    }
}

/// A task that can be played, and what it needs.
struct Planned {
    position: usize,
    task: Task,
    gates: Vec<(String, bool)>,
    qps: (f32, u32),
    length: Duration,
}

/// Plays all tasks; `progress` hears of each in the order in which they end. Returns what is left of sites that could not be removed.
pub fn play(suite: &Suite, tasks: &[Task], progress: &mut dyn FnMut(&Task, &Outcome)) -> Vec<SiteError> {
    let mut planned = Vec::new();
    let mut left = BTreeSet::new();
    for (position, task) in tasks.iter().enumerate() {
        match plan(suite, position, task) {
            Ok(plan) => {
                planned.push(plan);
                left.insert(position);
            }
            Err(outcome) => progress(task, &outcome),
        }
    }
    // What takes longest begins first, so that nobody waits for it at the end; tasks that can share a site follow one another.
    planned.sort_by(|one, other| {
        let place = |planned: &Planned| {
            let by_hand = planned.task.scenario.cluster.manual_pods;
            (planned.task.stack.kubernetes, by_hand, planned.gates.clone(), planned.qps.1)
        };
        place(one).cmp(&place(other)).then(other.length.cmp(&one.length))
    });
    let queue = Mutex::new(VecDeque::from(planned));
    let (sender, results) = mpsc::channel();
    let remains = std::thread::scope(|scope| {
        let begin = |_| {
            let (queue, sender) = (&queue, sender.clone());
            scope.spawn(move || work(suite, queue, &sender))
        };
        let workers: Vec<_> = (0..suite.sites.get().min(suite.provider.sites_max())).map(begin).collect();
        drop(sender);
        for (position, outcome) in results {
            if let Some(task) = tasks.get(position) {
                progress(task, &outcome);
                left.remove(&position);
            }
        }
        let ended =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.flatten().collect()
    });
    for task in left.into_iter().filter_map(|position| tasks.get(position)) {
        progress(task, &Outcome::NotPlayed(INTERRUPTED.to_owned()));
    }
    remains
}

/// What people who type commands leave to kubelets between two of them.
const PAUSE_ON_REAL_NODES: Duration = Duration::from_secs(12);

const INTERRUPTED: &str = "interrupted";

/// What a task needs, or why it is not played.
fn plan(suite: &Suite, position: usize, task: &Task) -> Result<Planned, Outcome> {
    let Task { scenario, stack } = task;
    let of_nodes = match suite.provider.has_kubelets() {
        true => world::obstacle_on_real_nodes(scenario),
        false => world::obstacle_on_virtual_nodes(scenario),
    };
    if let Some(why) = world::obstacle(scenario).or(of_nodes) {
        return Err(Outcome::NotPlayed(why.to_owned()));
    }
    let setup = |error: SetupError| Outcome::NotPlayed(error.to_string());
    let model = session::play_model(scenario, *stack, 1).map_err(setup)?;
    let length = world::expected_length(scenario, &model, Reality::default());
    if length > suite.length_max {
        let (length, most) = (length.as_secs(), suite.length_max.as_secs());
        return Err(Outcome::NotPlayed(format!("it takes {length} s, and {most} are allowed")));
    }
    Ok(Planned {
        position,
        task: task.clone(),
        gates: scenario
            .cluster
            .feature_gates
            .clone()
            .into_iter()
            .chain(suite.altered_gates.clone())
            .collect(),
        qps: world::controller_rate(scenario),
        length,
    })
}

/// Where one thread plays.
#[derive(Default)]
struct Stage {
    site: Option<Site>,
    /// What could not be removed of sites that have ended.
    remains: Vec<SiteError>,
}

impl Stage {
    /// Ends the site, if there is one.
    fn clear(&mut self) {
        self.remains.extend(self.site.take().and_then(|site| site.end().err()));
    }

    /// Ends the site and keeps its logs under the scenario's name.
    fn keep_logs(&mut self, suite: &Suite, task: &Task) -> Option<PathBuf> {
        let site = self.site.as_ref()?;
        let flux = task.stack.flux.map_or_else(String::new, |flux| format!("-flux-{flux}"));
        let kept = suite.logs.join(format!("{}-{}{flux}", task.scenario.name, task.stack.kubernetes));
        // Those of an earlier run of the same name are of no use any more.
        let _ = std::fs::remove_dir_all(&kept);
        site.keep_logs(kept.clone());
        self.clear();
        Some(kept)
    }
}

/// One site after another, each for as many tasks as can share it. Returns what could not be removed of them.
fn work(
    suite: &Suite,
    queue: &Mutex<VecDeque<Planned>>,
    sender: &mpsc::Sender<(usize, Outcome)>,
) -> Vec<SiteError> {
    let mut stage = Stage::default();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(planned) = next.filter(|_| !suite.interrupt.is_raised()) else { break };
        let mut outcome = play_one(suite, &mut stage, &planned, 1);
        for again in 0..suite.retries {
            if matches!(&outcome, Outcome::Played(played) if !played.agrees()) {
                outcome = play_one(suite, &mut stage, &planned, again + 2);
            }
        }
        if sender.send((planned.position, outcome)).is_err() {
            break;
        }
    }
    stage.clear();
    stage.remains
}

/// Something is killed all this time in a scenario that takes no time in the model.
const CHAOS_LASTS: Duration = Duration::from_secs(10);

fn play_one(suite: &Suite, stage: &mut Stage, planned: &Planned, attempt: u32) -> Outcome {
    let task = &planned.task;
    let wanted = config(suite, planned);
    let fits = |site: &Site| site.config().is_like(&wanted);
    if !stage.site.as_ref().is_some_and(fits) {
        // The old one ends before the new one begins.
        stage.clear();
        match Site::start(wanted) {
            Ok(started) => stage.site = Some(started),
            Err(error) => return Outcome::Broken(error),
        }
    }
    let Some(there) = &mut stage.site else { return Outcome::NotPlayed("there is no site".to_owned()) };
    let (chaos, patience) = match suite.chaos {
        None => (Chaos::default(), Duration::ZERO),
        Some(seed) => {
            (Chaos::random(seed, &task.scenario.name, planned.length.max(CHAOS_LASTS)), chaos::PATIENCE)
        }
    };
    let pause = if suite.provider.has_kubelets() { PAUSE_ON_REAL_NODES } else { Duration::ZERO };
    let reality = Some(Reality { pause, ..Reality::default() });
    let may_miss = suite.chaos.is_some();
    let limits = Limits { keeps_sights: true, reality, patience, may_miss, ..Limits::default() };
    let blows = chaos.log();
    let run = match world::play(there, &task.scenario, task.stack, chaos, limits) {
        Ok(run) => run,
        Err(error) => {
            stage.keep_logs(suite, task);
            return Outcome::Broken(error);
        }
    };
    if suite.interrupt.is_raised() {
        return Outcome::NotPlayed(INTERRUPTED.to_owned());
    }
    let observed = Observed { is_disturbed: suite.chaos.is_some(), ..Observed::of(&run) };
    let explained = match run.passed().then(|| explanation::explain(&task.scenario, &observed, &suite.search))
    {
        Some(Err(ExplainError::Setup(error))) => return Outcome::Broken(error.into()),
        Some(Err(error @ ExplainError::OtherSteps { .. })) => return Outcome::NotPlayed(error.to_string()),
        Some(Ok(explained)) => Some(explained),
        None => None,
    };
    let mut played = Played { run, observed, attempt, blows: blows.take(), logs: None, explained };
    if !played.agrees() {
        played.logs = stage.keep_logs(suite, task);
    }
    Outcome::Played(Box::new(played))
}

fn config(suite: &Suite, planned: &Planned) -> SiteConfig {
    let version = planned.task.stack.kubernetes;
    SiteConfig {
        provider: suite.provider.clone(),
        version,
        dir: suite.dir.clone(),
        feature_gates: planned.gates.clone(),
        pods_by_hand: planned.task.scenario.cluster.manual_pods,
        controller_qps: Some(planned.qps),
        interrupt: Some(suite.interrupt.clone()),
    }
}
