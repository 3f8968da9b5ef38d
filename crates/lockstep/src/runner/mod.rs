//! Plays a scenario in a world, step by step, and judges what is to be seen.
//!
//! The order of one instant is always the same: the world lets everything of the instant happen, the observation is
//! recorded, the monitors (`never`, `before`) look at it, and then the expectation whose turn it is. All clauses of an
//! expectation are judged on one observation. Times of an expectation count from its step's action; the action of a
//! `wait` ends when the wait is over. After the last step the world runs on until it comes to rest, at most for
//! [`Limits::tail`], so that a late write cannot escape a monitor.

mod limits;
mod monitor;
mod settle;
mod summary;

use std::time::Duration;

use towtank_model::server::TraceEntry;
use towtank_model::time::Time;
use towtank_scenario::ast::{
    Action, Claim, Clause, Expectation, FluxVersion, Scenario, Stack, Step, VersionRange, When,
};

use crate::claim::Subject;
use crate::observation_trace::Recorder;
use crate::run::{ExpectationResult, FailureCause, Outcome, Run, StepResult};
use crate::sight::{Sight, StepSights};
use crate::world::{Refusal, World};
pub use limits::{Limits, Reality};
use monitor::Monitor;

/// How a scenario is played, besides where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Versions that the world was built for.
    pub stack: Stack,
    /// Seed that it was built with.
    pub seed: u64,
}

/// Plays all of `scenario` in `world`, which must be fresh.
pub fn play(scenario: &Scenario, world: &mut dyn World, setting: Setting, limits: Limits) -> Run {
    let mut player = Player::new(scenario, world, setting.stack, limits);
    let stop = player.play_all().err();
    player.finish(stop, setting)
}

/// Plays the steps before `step_index`, then that step with all its expectations, and leaves the world there. Comes back
/// with the number of entries of the run's trace that were there before the step began.
pub fn play_step(
    scenario: &Scenario,
    world: &mut dyn World,
    setting: Setting,
    limits: Limits,
    step_index: usize,
) -> (Run, usize) {
    let mut player = Player::new(scenario, world, setting.stack, limits);
    let mut stop = (0..step_index).try_for_each(|index| player.play_step(index)).err();
    player.take_trace();
    let before = player.trace.len();
    if stop.is_none() && step_index < scenario.steps.len() {
        stop = player.play_step(step_index).err();
    }
    (player.finish(stop, setting), before)
}

/// Why the play stopped: where, and what went wrong.
struct Stop {
    step_index: usize,
    expectation_index: Option<usize>,
    span: std::ops::Range<usize>,
    cause: FailureCause,
}

type Played<T = ()> = Result<T, Box<Stop>>;

struct Player<'a> {
    scenario: &'a Scenario,
    world: &'a mut dyn World,
    stack: Stack,
    limits: Limits,
    /// What became of each step, in order; filled in as the play goes on.
    steps: Vec<StepResult>,
    /// Expectations that look at every instant until the end.
    monitors: Vec<Monitor<'a>>,
    recorder: Recorder,
    /// Generation of the observation that was recorded last.
    recorded: Option<u64>,
    /// Instants so far.
    instants: u64,
    /// The answer to the present step's action, when it was refused.
    refusal: Option<Refusal>,
    /// From when the present step's times count.
    since: Time,
    /// What was to be seen in each step that has begun.
    sights: Vec<StepSights>,
    /// What the world has written until the present step began.
    trace: Vec<TraceEntry>,
}

impl<'a> Player<'a> {
    fn new(scenario: &'a Scenario, world: &'a mut dyn World, stack: Stack, limits: Limits) -> Self {
        let since = world.now();
        let steps = scenario.steps.iter().map(|step| unplayed(step, stack)).collect();
        Self {
            scenario,
            world,
            stack,
            limits,
            steps,
            monitors: Vec::new(),
            recorder: Recorder::new(),
            recorded: None,
            instants: 0,
            refusal: None,
            since,
            sights: Vec::new(),
            trace: Vec::new(),
        }
    }

    fn play_all(&mut self) -> Played {
        self.refuse_vacuous()?;
        for index in 0..self.scenario.steps.len() {
            self.pause_before(index)?;
            self.play_step(index)?;
        }
        self.recorder.note(self.world.now(), "until all is at rest");
        self.run_on(self.limits.tail)?;
        self.close_monitors()
    }

    /// A scenario that tests nothing fails before it begins.
    fn refuse_vacuous(&self) -> Played {
        let mut speaks = false;
        for (step_index, step) in self.scenario.steps.iter().enumerate() {
            for (expectation_index, expectation) in step.expect.iter().enumerate() {
                speaks |= speaks_of(expectation, self.stack);
                let overlaps =
                    expectation.versions.is_none_or(|versions| versions.overlaps(&self.scenario.versions));
                if !overlaps {
                    return Err(Box::new(Stop {
                        step_index,
                        expectation_index: Some(expectation_index),
                        span: expectation.span.clone(),
                        cause: FailureCause::NeverEvaluated,
                    }));
                }
            }
        }
        if speaks { Ok(()) } else { Err(self.stop_at_start(FailureCause::NothingExpected)) }
    }

    fn stop_at_start(&self, cause: FailureCause) -> Box<Stop> {
        let span = self.scenario.steps.first().map_or(0..0, |step| step.name.span.clone());
        Box::new(Stop { step_index: 0, expectation_index: None, span, cause })
    }

    /// Steps that nobody waits between are done at once, as the scenario has them.
    fn pause_before(&mut self, index: usize) -> Played {
        let pause = self.limits.reality.map_or(Duration::ZERO, |reality| reality.pause);
        let before = index.checked_sub(1).and_then(|before| self.scenario.steps.get(before));
        match before {
            Some(step) if !pause.is_zero() && !step.expect.is_empty() => {
                let until = self.world.now() + pause;
                self.run_until(until)
            }
            _ => Ok(()),
        }
    }

    fn take_trace(&mut self) {
        self.trace.append(&mut self.world.take_trace());
    }

    fn play_step(&mut self, index: usize) -> Played {
        let scenario = self.scenario;
        self.take_trace();
        let step = &scenario.steps[index];
        let now = self.world.now();
        self.steps[index].at = Some(now);
        self.steps[index].trace_before = self.trace.len();
        self.recorder.note(now, &step.name.value);
        if self.limits.keeps_sights {
            self.sights.push(StepSights::default());
        }
        self.refusal = None;
        if let Action::Wait(length) = step.action.value {
            self.arm_monitors(index);
            self.look()?;
            self.run_until(now + length)?;
        } else {
            self.refusal = self.world.perform(&step.action.value).err();
            self.arm_monitors(index);
            self.look()?;
        }
        self.since = self.world.now();
        self.refuse_unexpected_refusal(index, step)?;
        for (position, expectation) in step.expect.iter().enumerate() {
            let monitored = matches!(expectation.when, When::Never | When::Before);
            if !monitored && speaks_of(expectation, self.stack) {
                let outcome = self.settle(index, position, expectation)?;
                self.steps[index].expectations[position].outcome = outcome;
            }
        }
        self.steps[index].settled = Some(self.world.now());
        let missed = self.steps[index].missed();
        if let Some(sights) = self.sights.last_mut() {
            let now = self.world.now();
            let observation = self.world.observe();
            sights.note(observation, now);
            // Nobody knows what a step has come to that was not seen to settle.
            sights.settled = (!missed).then(|| Sight::of(observation));
        }
        Ok(())
    }

    fn refuse_unexpected_refusal(&mut self, step_index: usize, step: &Step) -> Played {
        let Some(refusal) = &self.refusal else { return Ok(()) };
        let expected = step
            .expect
            .iter()
            .filter(|expectation| speaks_of(expectation, self.stack))
            .flat_map(|expectation| &expectation.clauses)
            .any(|clause| matches!(clause.claim, Claim::Refused(_)));
        if expected && !refusal.is_ignorance() {
            return Ok(());
        }
        let cause = FailureCause::Refused(refusal.clone());
        Err(Box::new(Stop { step_index, expectation_index: None, span: step.action.span.clone(), cause }))
    }

    fn arm_monitors(&mut self, step_index: usize) {
        for (expectation_index, expectation) in self.scenario.steps[step_index].expect.iter().enumerate() {
            if speaks_of(expectation, self.stack) {
                self.monitors.extend(Monitor::new(step_index, expectation_index, expectation));
            }
        }
        self.show_tables(None);
    }

    /// Has the world print what somebody is going to look at: monitors, and the expectation whose turn it is.
    fn show_tables(&mut self, turn: Option<&Expectation>) {
        let monitored = self.monitors.iter().flat_map(|monitor| monitor.clauses());
        let clauses = monitored.chain(turn.into_iter().flat_map(|expectation| &expectation.clauses));
        let command = |clause: &Clause| match &clause.claim {
            Claim::Table(table) => Some((table.minicluster.clone()?, table.command)),
            _ => None,
        };
        let mut commands: Vec<_> = clauses.filter_map(command).collect();
        commands.sort_unstable();
        commands.dedup();
        self.world.show(commands);
    }

    /// Lets the next instant pass, or time up to `limit`, and looks.
    fn advance(&mut self, limit: Time) -> Played<Option<Time>> {
        let instant =
            self.world.next_instant(limit).map_err(|error| self.stop_here(FailureCause::Broken(error)))?;
        if instant.is_some() {
            self.instants += 1;
        }
        self.look()?;
        if self.instants > self.limits.instants_max {
            return Err(self.stop_here(FailureCause::TooManyInstants { limit: self.limits.instants_max }));
        }
        Ok(instant)
    }

    /// The stop of a run that cannot go on, at the step that it has come to.
    fn stop_here(&self, cause: FailureCause) -> Box<Stop> {
        let step_index = self.steps.iter().rposition(|step| step.at.is_some()).unwrap_or(0);
        let span = self.scenario.steps[step_index].name.span.clone();
        Box::new(Stop { step_index, expectation_index: None, span, cause })
    }

    /// Lets everything up to and including `target` happen.
    fn run_until(&mut self, target: Time) -> Played {
        while self.advance(target)?.is_some() {}
        Ok(())
    }

    /// Lets the world come to rest, at most for `tail`.
    fn run_on(&mut self, tail: Duration) -> Played {
        let end = self.world.now() + tail;
        while !self.world.is_quiescent() {
            if self.advance(end)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Records what is to be seen and lets the monitors judge it.
    fn look(&mut self) -> Played {
        let generation = self.world.generation();
        let now = self.world.now();
        if self.recorded != Some(generation) {
            self.world.observe();
            let changes = self.world.take_changes();
            self.recorder.record(now, self.world.observe(), changes);
            self.recorded = Some(generation);
            if let Some(sights) = self.sights.last_mut() {
                sights.note(self.world.observe(), now);
            }
        }
        let observation = self.world.observe();
        let subject = Subject { observation, refusal: self.refusal.as_ref(), version: self.stack.kubernetes };
        for monitor in &mut self.monitors {
            if let Err(cause) = monitor.look(now, generation, &subject) {
                let stop = monitor.stop(cause);
                return Err(Box::new(stop));
            }
        }
        Ok(())
    }

    /// The scenario has ended: what never came is a failure now, what never happened has held.
    fn close_monitors(&mut self) -> Played {
        let now = self.world.now();
        for monitor in &mut self.monitors {
            let result = &mut self.steps[monitor.step_index].expectations[monitor.expectation_index];
            result.evaluations += monitor.evaluations();
            match monitor.close(now) {
                Ok(outcome) => result.outcome = outcome,
                Err(cause) => return Err(Box::new(monitor.stop(cause))),
            }
        }
        Ok(())
    }
}

/// Whether `expectation` speaks of these versions.
fn speaks_of(expectation: &Expectation, stack: Stack) -> bool {
    let flux = |range: VersionRange<FluxVersion>| stack.flux.is_some_and(|flux| range.contains(flux));
    expectation.versions.is_none_or(|versions| versions.contains(stack.kubernetes))
        && expectation.flux.is_none_or(flux)
}

fn unplayed(step: &Step, stack: Stack) -> StepResult {
    let outcome =
        |e: &Expectation| if speaks_of(e, stack) { Outcome::Unsettled } else { Outcome::OtherVersions };
    let result = |e: &Expectation| ExpectationResult {
        span: e.span.clone(),
        outcome: outcome(e),
        evaluations: 0,
        tables: Vec::new(),
    };
    StepResult {
        name: step.name.value.clone(),
        at: None,
        trace_before: 0,
        settled: None,
        expectations: step.expect.iter().map(result).collect(),
    }
}
