//! Explaining what happened in real time by a run of the model.
//!
//! Nothing in a real cluster takes the same time twice, so its run is not compared time by time with anything. It is *explained* when no rule of order between
//! objects is broken (module [`ordering`]) and there is a run that the model allows in which
//!
//! * every Job and every pod has the same history (module `history`), but for who told a pod to go, which watches do not tell, and for which is which of equal pods,
//! * each line of it happens in the same step, or in the step before (module [`placement`]),
//! * what was to be seen whenever a step had settled is to be seen at some instant of the same step, and
//! * what was to be seen at the end, with all that takes its time, lasts in the model too, after the last step.
//!
//! A step may settle while many pods are on their way at once, and in which state each is found at this very moment is chance. Where no run shows all of them
//! together, it is enough that each object by itself is to be seen so in the step, or not to be seen, in this or another run that does not differ otherwise (module
//! `shown`); the explanation names such steps. What nobody has noted cannot be compared, and the explanation says so ([`Compared`]).
//!
//! The runs that are tried differ in their seeds, so in the latencies and in the order of what happens at the same time, and in their timing
//! profiles. The search ends after [`Search::seeds`] seeds of each.

mod compared;
pub mod ordering;
pub mod placement;
mod shown;
mod waits;

use std::collections::BTreeSet;

use towtank_model::cluster::TimingProfile;
use towtank_model::time::Time;
use towtank_scenario::ast::Scenario;

use self::ordering::{Broken, Hands, WATCHES_APART};
use self::placement::{Misplaced, Places};
use self::shown::Shown;
use self::waits::Waits;
use crate::history;
use crate::observed::{Observed, REMAKE};
use crate::run::Run;
use crate::runner::{self, Limits, Reality, Setting};
use crate::sight::{Sight, StepSights};
use crate::trace_text::TraceLine;
use crate::verdict::Divergence;
use crate::virtual_world::{ModelWorld, SetupError};

pub use self::compared::Compared;

/// How far is searched.
#[derive(Clone, Debug)]
pub struct Search {
    /// Seeds of each profile, from 1.
    pub seeds: u64,
    /// Timing profiles besides the scenario's own.
    pub profiles: Vec<String>,
}

impl Default for Search {
    /// 64 seeds of the scenario's own profile, then of that of kind.
    fn default() -> Self {
        Self { seeds: 64, profiles: vec!["kind".to_owned()] }
    }
}

/// A run of the model that explains another run.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Its seed.
    pub seed: u64,
    /// Its timing profile.
    pub profile: String,
    /// The run.
    pub run: Run,
    /// Numbers of the steps in which only each object by itself was explained.
    pub apart: Vec<usize>,
    /// What was compared, and what was not.
    pub compared: Compared,
}

impl Explanation {
    /// The names of the steps in which only each object by itself was explained.
    pub fn apart_steps(&self) -> Vec<&str> {
        self.apart.iter().filter_map(|step| self.run.steps.get(*step)).map(|step| &*step.name).collect()
    }
}

/// Where the nearest run of the model differs.
#[derive(Clone, Debug)]
pub struct Unexplained {
    /// Runs tried.
    pub tried: u64,
    /// Of the nearest run.
    pub seed: u64,
    /// Of the nearest run.
    pub profile: String,
    /// What it cannot explain.
    pub gap: Gap,
}

/// What a run of the model does not explain.
#[derive(Clone, Debug)]
pub enum Gap {
    /// The model does not keep the scenario's expectations itself.
    ModelFails {
        /// The step at which it fails.
        step: String,
    },
    /// What was to be seen when a step had settled is never to be seen in the model's.
    Sight {
        /// Number of the step.
        step_index: usize,
        /// Its name.
        step: String,
        /// What was to be seen.
        seen: Sight,
        /// The nearest that the model shows in this step.
        nearest: Sight,
    },
    /// An object had another history.
    History {
        /// Lines before, the same in both.
        lines_before: usize,
        /// What happened really; `None`: no more.
        real: Option<TraceLine>,
        /// What happens in the model; `None`: no more.
        model: Option<TraceLine>,
    },
    /// Something happened in another step than in the model.
    Step {
        /// What, and when.
        line: TraceLine,
        /// Name of the step in which it happened.
        real: String,
        /// Name of the step in which it happens in the model.
        model: String,
        /// Number of the step in which it happened.
        step_index: usize,
    },
    /// An order that no cluster allows.
    Order(Broken),
}

impl Gap {
    /// How much is explained before it.
    fn rank(&self) -> (u8, usize, usize) {
        match self {
            Self::ModelFails { .. } => (0, 0, 0),
            Self::History { lines_before, .. } => (1, *lines_before, 0),
            Self::Sight { step_index, seen, nearest, .. } => {
                (2, *step_index, usize::MAX - seen.distance(nearest))
            }
            Self::Step { step_index, .. } => (2, *step_index, usize::MAX),
            Self::Order(_) => (3, 0, 0),
        }
    }
}

impl Gap {
    /// The first thing in which the model, on the left, and what was observed differ.
    pub(crate) fn divergence(&self) -> Divergence {
        let line = |text: String| Some(TraceLine::of_history(Time::ZERO, text));
        match self {
            Self::ModelFails { step } => Divergence {
                writes_before: 0,
                left: line(format!("step `{step}` does not come to what it expects")),
                right: None,
            },
            Self::History { lines_before, real, model } => {
                Divergence { writes_before: *lines_before, left: model.clone(), right: real.clone() }
            }
            Self::Sight { step, seen, nearest, .. } => {
                let only = |one: &Sight, other: &Sight| {
                    let shown = one.without(other).first().map(|shown| (*shown).to_owned());
                    shown.and_then(|shown| line(format!("when `{step}` had settled: {shown}")))
                };
                Divergence { writes_before: 0, left: only(nearest, seen), right: only(seen, nearest) }
            }
            Self::Step { line, real, model, .. } => {
                let in_step = |step: &str| {
                    Some(TraceLine { text: format!("in `{step}`: {}", line.text), ..line.clone() })
                };
                Divergence { writes_before: 0, left: in_step(model), right: in_step(real) }
            }
            Self::Order(Broken { rule, line: too_early }) => Divergence {
                writes_before: 0,
                left: line(format!("the rule: {rule}")),
                right: Some(too_early.clone()),
            },
        }
    }
}

/// What the search came to.
pub type Explained = Result<Explanation, Box<Unexplained>>;

/// Why nothing can be said of what was observed.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The model cannot be set up as the scenario wants it.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// It was another story.
    #[error(
        "what a real cluster has shown of `{scenario}` is of another story: {how}; make it again: {REMAKE}"
    )]
    OtherSteps {
        /// Name of the scenario.
        scenario: String,
        /// The first difference.
        how: String,
    },
}

/// Whether the steps that were observed are those of the scenario.
fn check_steps(scenario: &Scenario, real: &Observed) -> Result<(), ExplainError> {
    let other = |how| Err(ExplainError::OtherSteps { scenario: scenario.name.clone(), how });
    let (seen, told) = (real.steps.len(), scenario.steps.len());
    if seen > 0 && seen != told {
        return other(format!("it has {seen} steps, and the scenario has {told}"));
    }
    for (number, (seen, told)) in (1..).zip(real.steps.iter().zip(&scenario.steps)) {
        if seen.name != told.name.value {
            let (seen, told) = (&seen.name, &told.name.value);
            return other(format!("its step {number} is `{seen}`, and the scenario's is `{told}`"));
        }
    }
    Ok(())
}

/// Looks for a run of the model that explains what was observed.
///
/// # Errors
///
/// See [`ExplainError`].
pub fn explain(scenario: &Scenario, real: &Observed, search: &Search) -> Result<Explained, ExplainError> {
    check_steps(scenario, real)?;
    let own = scenario.cluster.timing.clone();
    let others =
        search.profiles.iter().filter(|name| **name != own && TimingProfile::by_name(name).is_some());
    let profiles: Vec<String> = std::iter::once(&own).chain(others).cloned().collect();
    // Expectations are meant as they were meant there: another profile takes other times too.
    let limits = Limits { keeps_sights: true, reality: Some(Reality::default()), ..Limits::default() };
    let mut nearest: Option<Unexplained> = None;
    let waits = Waits::of(scenario, real);
    let mut shown = Shown::new(waits.clone());
    let mut shown_places = Places::new();
    let mut candidate: Option<Explanation> = None;
    let mut tried = 0;
    for profile in profiles {
        let mut scenario = scenario.clone();
        scenario.cluster.timing.clone_from(&profile);
        for seed in 1..=search.seeds {
            tried += 1;
            let mut world = ModelWorld::new(&scenario, real.stack, seed)?;
            let run = runner::play(&scenario, &mut world, Setting { stack: real.stack, seed }, limits);
            // The policies of Jobs are the same in all runs, and no run makes up for a rule that is broken.
            if tried == 1
                && let Some(broken) = broken(&scenario, real, &run)
            {
                return Ok(Err(Box::new(Unexplained { tried, seed, profile, gap: Gap::Order(broken) })));
            }
            if let Some(gap) = compare(real, &run) {
                if nearest.as_ref().is_none_or(|nearest| gap.rank() > nearest.gap.rank()) {
                    nearest = Some(Unexplained { tried, seed, profile: profile.clone(), gap });
                }
                continue;
            }
            let places = placement::of_model(&run);
            let apart = apart(real, &run, &waits, &places);
            let compared = Compared::of(&scenario, real);
            let explanation = Explanation { seed, profile: profile.clone(), run, apart, compared };
            if explanation.apart.is_empty() {
                return Ok(Ok(explanation));
            }
            shown.add(&explanation.run);
            placement::merge(&mut shown_places, places);
            if candidate.as_ref().is_none_or(|known| explanation.apart.len() < known.apart.len()) {
                candidate = Some(explanation);
            }
        }
    }
    if let Some(explanation) = candidate {
        let gap = sight_gap(real, &shown, &shown_places, &explanation)
            .or_else(|| step_gap(real, &waits, &shown_places));
        let Some(gap) = gap else { return Ok(Ok(explanation)) };
        let Explanation { seed, profile, .. } = explanation;
        return Ok(Err(Box::new(Unexplained { tried, seed, profile, gap })));
    }
    let nearest = nearest.unwrap_or(Unexplained {
        tried,
        seed: 0,
        profile: own,
        gap: Gap::ModelFails { step: "no run was tried".to_owned() },
    });
    Ok(Err(Box::new(Unexplained { tried, ..nearest })))
}

/// The first rule of order that was broken; nobody can tell where watches began again.
fn broken(scenario: &Scenario, real: &Observed, model: &Run) -> Option<Broken> {
    if real.is_disturbed {
        return None;
    }
    let hands = Hands::of(scenario, real.begun().as_deref());
    let replaced_when_ended = ordering::replaced_when_ended(&model.trace);
    ordering::broken(&real.history, hands, &replaced_when_ended, WATCHES_APART)
}

/// What `model` does not explain of what became of each object, and of the end.
fn compare(real: &Observed, model: &Run) -> Option<Gap> {
    if let Some(failure) = &model.failure {
        return Some(Gap::ModelFails { step: failure.step.clone() });
    }
    let history = &real.history;
    let told: Vec<TraceLine> =
        history::lines_by_chance(&model.trace).into_iter().map(|(line, _)| line).collect();
    let same = history.iter().zip(&told).take_while(|(one, other)| one.text == other.text).count();
    if same < history.len() || same < told.len() {
        let (real, model) = (history.get(same).cloned(), told.into_iter().nth(same));
        return Some(Gap::History { lines_before: same, real, model });
    }
    let last = model.sights.last().map(|step| &step.lasting);
    if let (Some(rest), Some(last)) = (&real.rest, last)
        && !last.contains(rest)
    {
        let step = "until all is at rest".to_owned();
        let nearest = nearest_of(rest, last);
        return Some(Gap::Sight { step_index: real.steps.len(), step, seen: rest.clone(), nearest });
    }
    None
}

/// The steps whose end `model` never shows as one, or in which something happened that happens elsewhere in the model.
fn apart(real: &Observed, model: &Run, waits: &Waits, places: &Places) -> Vec<usize> {
    let steps = real.steps.iter().map(|step| &step.settled).zip(&model.sights).enumerate();
    let differs = |(_, (settled, model)): &(usize, (&Option<Sight>, &StepSights))| {
        settled.as_ref().is_some_and(|seen| !model.all.contains(seen))
    };
    let unseen = steps.filter(differs).map(|(step_index, _)| step_index);
    let misplaced = placement::misplaced(real, waits, places).into_iter().map(|misplaced| misplaced.real);
    let apart: BTreeSet<usize> = unseen.chain(misplaced).collect();
    apart.into_iter().collect()
}

/// The first step whose end is not even explained object by object.
fn sight_gap(real: &Observed, shown: &Shown, places: &Places, explanation: &Explanation) -> Option<Gap> {
    explanation.apart.iter().find_map(|&step_index| {
        let observed = real.steps.get(step_index)?;
        let seen = observed.settled.as_ref().filter(|seen| !shown.explains(step_index, seen, places))?;
        let nearest = nearest_of(seen, &explanation.run.sights.get(step_index)?.all);
        Some(Gap::Sight { step_index, step: observed.name.clone(), seen: seen.clone(), nearest })
    })
}

/// The first line that happens in no run in the step in which it happened.
fn step_gap(real: &Observed, waits: &Waits, places: &Places) -> Option<Gap> {
    let misplaced = placement::misplaced(real, waits, places);
    let Misplaced { line, real: step_index, model } = misplaced.into_iter().min_by_key(|it| it.line.at)?;
    let name = |step: usize| real.steps.get(step).map_or_else(String::new, |step| step.name.clone());
    Some(Gap::Step { line, real: name(step_index), model: name(model), step_index })
}

fn nearest_of(seen: &Sight, shown: &BTreeSet<Sight>) -> Sight {
    shown.iter().min_by_key(|sight| sight.distance(seen)).cloned().unwrap_or_default()
}
