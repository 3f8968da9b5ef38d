//! Explaining what happened in real time by a run of the model.
//!
//! Nothing in a real cluster takes the same time twice, so its run is not compared time by time with anything. It is *explained* when there is a run that
//! the model allows in which
//!
//! * every Job and every pod has the same history (module `history`), but for who told a pod to go, which watches do not tell, and for which is which of equal pods,
//! * what was to be seen whenever a step had settled is to be seen at some instant of the same step, and
//! * what was to be seen at the end, with all that takes its time, lasts in the model too, after the last step.
//!
//! A step may settle while many pods are on their way at once, and in which state each is found at this very moment is chance. Where no run shows all of them
//! together, it is enough that each object by itself is to be seen so in the step, in this or another run that does not differ otherwise; the explanation names
//! such steps.
//!
//! The runs that are tried differ in their seeds, so in the latencies and in the order of what happens at the same time, and in their timing
//! profiles. The search ends after [`Search::seeds`] seeds of each.

use std::collections::BTreeSet;

use towtank_model::cluster::TimingProfile;
use towtank_model::time::Time;
use towtank_scenario::ast::Scenario;

use crate::history;
use crate::observed::Observed;
use crate::run::Run;
use crate::runner::{self, Limits, Reality, Setting};
use crate::sight::{GOES, Sight, StepSights};
use crate::trace_text::TraceLine;
use crate::verdict::Divergence;
use crate::virtual_world::{ModelWorld, SetupError};

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
                    one.lines().iter().find(|line| !other.lines().contains(line)).cloned()
                };
                let settled = |shown: Option<String>| {
                    shown.and_then(|shown| line(format!("when `{step}` had settled: {shown}")))
                };
                Divergence {
                    writes_before: 0,
                    left: settled(only(nearest, seen)),
                    right: settled(only(seen, nearest)),
                }
            }
        }
    }
}

/// What the search came to.
pub type Explained = Result<Explanation, Box<Unexplained>>;

/// Looks for a run of the model that explains what was observed.
///
/// # Errors
///
/// The model cannot be set up as the scenario wants it.
pub fn explain(scenario: &Scenario, real: &Observed, search: &Search) -> Result<Explained, SetupError> {
    let own = scenario.cluster.timing.clone();
    let others =
        search.profiles.iter().filter(|name| **name != own && TimingProfile::by_name(name).is_some());
    let profiles: Vec<String> = std::iter::once(&own).chain(others).cloned().collect();
    // Expectations are meant as they were meant there: another profile takes other times too.
    let limits = Limits { keeps_sights: true, reality: Some(Reality::default()), ..Limits::default() };
    let mut nearest: Option<Unexplained> = None;
    let mut shown = Shown::default();
    let mut candidate: Option<Explanation> = None;
    let mut tried = 0;
    for profile in profiles {
        let mut scenario = scenario.clone();
        scenario.cluster.timing.clone_from(&profile);
        for seed in 1..=search.seeds {
            tried += 1;
            let mut world = ModelWorld::new(&scenario, real.stack, seed)?;
            let run = runner::play(&scenario, &mut world, Setting { stack: real.stack, seed }, limits);
            if let Some(gap) = compare(real, &run) {
                if nearest.as_ref().is_none_or(|nearest| gap.rank() > nearest.gap.rank()) {
                    nearest = Some(Unexplained { tried, seed, profile: profile.clone(), gap });
                }
                continue;
            }
            let apart = apart(real, &run);
            let explanation = Explanation { seed, profile: profile.clone(), run, apart };
            if explanation.apart.is_empty() {
                return Ok(Ok(explanation));
            }
            shown.add(&explanation.run);
            if candidate.as_ref().is_none_or(|known| explanation.apart.len() < known.apart.len()) {
                candidate = Some(explanation);
            }
        }
    }
    if let Some(explanation) = candidate {
        match shown.gap(real, &explanation) {
            None => return Ok(Ok(explanation)),
            Some(gap) => {
                let Explanation { seed, profile, .. } = explanation;
                return Ok(Err(Box::new(Unexplained { tried, seed, profile, gap })));
            }
        }
    }
    let nearest = nearest.unwrap_or(Unexplained {
        tried,
        seed: 0,
        profile: own,
        gap: Gap::ModelFails { step: "no run was tried".to_owned() },
    });
    Ok(Err(Box::new(Unexplained { tried, ..nearest })))
}

/// What `model` does not explain of what became of each object, and of the end.
fn compare(real: &Observed, model: &Run) -> Option<Gap> {
    if let Some(failure) = &model.failure {
        return Some(Gap::ModelFails { step: failure.step.clone() });
    }
    let history = &real.history;
    let told = history::lines_by_chance(&model.trace);
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

/// The steps whose end `model` never shows as one.
fn apart(real: &Observed, model: &Run) -> Vec<usize> {
    let steps = real.steps.iter().map(|step| &step.settled).zip(&model.sights).enumerate();
    let differs = |(_, (settled, model)): &(usize, (&Option<Sight>, &StepSights))| {
        settled.as_ref().is_some_and(|seen| !model.all.contains(seen))
    };
    steps.filter(differs).map(|(step_index, _)| step_index).collect()
}

fn nearest_of(seen: &Sight, shown: &BTreeSet<Sight>) -> Sight {
    shown.iter().min_by_key(|sight| sight.distance(seen)).cloned().unwrap_or_default()
}

/// All that runs of the model have shown of single objects, step by step.
#[derive(Default)]
struct Shown(Vec<BTreeSet<String>>);

impl Shown {
    fn add(&mut self, model: &Run) {
        self.0.resize_with(self.0.len().max(model.sights.len()), BTreeSet::new);
        // What a step settles with at once may be what was there before its action had any effect.
        let mut before = None;
        for (lines, step) in self.0.iter_mut().zip(&model.sights) {
            lines.extend(step.all.iter().chain(before).flat_map(Sight::lines).cloned());
            before = step.settled.as_ref();
        }
    }

    /// The first step that is not even explained object by object.
    fn gap(&self, real: &Observed, explanation: &Explanation) -> Option<Gap> {
        explanation.apart.iter().find_map(|&step_index| {
            let observed = real.steps.get(step_index)?;
            let (step, seen) = (observed.name.clone(), observed.settled.as_ref()?);
            let lines = self.0.get(step_index)?;
            // A pod that nothing holds back goes in two writes, which the model makes at one instant.
            let goes = |line: &str| {
                line.starts_with("pod ") && line.strip_suffix(GOES).is_some_and(|line| lines.contains(line))
            };
            if seen.lines().iter().all(|line| lines.contains(line) || goes(line)) {
                return None;
            }
            let nearest = nearest_of(seen, &explanation.run.sights.get(step_index)?.all);
            Some(Gap::Sight { step_index, step, seen: seen.clone(), nearest })
        })
    }
}
