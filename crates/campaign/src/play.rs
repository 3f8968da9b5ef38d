//! Playing a story while things go wrong, and judging what came of it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use towtank_apiserver::adapter::faults::Moment;
use towtank_apiserver::adapter::pump::LoggedRequest;
use towtank_lockstep::run::Run;
use towtank_lockstep::runner::{self, Limits, Setting};
use towtank_lockstep::virtual_world::{EmbeddedWorld, SetupError};
use towtank_lockstep::world::World as _;
use towtank_model::time::Time;
use towtank_scenario::ast::{Scenario, Stack};
use towtank_scenario::observation::Observation;

use crate::audit::Violation;
use crate::plan::{Extent, Plan};
use crate::world::Audited;

/// How much longer than without faults anything may take: long enough for requests that time out one after another, and for the
/// longest pauses between tries.
const PATIENCE: Duration = Duration::from_mins(10);

/// What came of one run.
#[derive(Debug)]
pub struct Outcome {
    /// The story, as it was played.
    pub run: Run,
    /// Rules that were broken.
    pub violations: Vec<Violation>,
    /// What is to be seen in the end, without times and generated names.
    pub end: String,
    /// Requests that the operator has made.
    pub requests: Vec<LoggedRequest>,
    /// How much there was that could go wrong.
    pub extent: Extent,
}

/// Plays a story once, and lets the world run on after it.
///
/// # Errors
///
/// The world cannot be set up.
pub fn play(scenario: &Scenario, stack: Stack, seed: u64, plan: &Plan) -> Result<Outcome, SetupError> {
    play_until(scenario, stack, seed, plan, None)
}

/// The same; what is at rest, and as it is when nothing goes wrong, need not run on.
fn play_until(
    scenario: &Scenario,
    stack: Stack,
    seed: u64,
    plan: &Plan,
    goal: Option<&str>,
) -> Result<Outcome, SetupError> {
    let world = EmbeddedWorld::with_replicas(scenario, stack, seed, plan.replicas.clone())?;
    let mut world = Audited::new(world, scenario, plan, goal);
    let limits = Limits { patience: PATIENCE, ..Limits::default() };
    let run = runner::play(scenario, &mut world, Setting { stack, seed }, limits);
    let end = end(world.observe());
    let (requests, events) = world.traffic();
    let extent = Extent { requests, events, end: last_step(&run) };
    let (violations, requests) = world.finish(run.passed());
    Ok(Outcome { run, violations, end, requests, extent })
}

fn last_step(run: &Run) -> Time {
    run.steps.iter().filter_map(|step| step.settled).max().unwrap_or(run.ended)
}

impl Outcome {
    /// Requests that the operator has made, a line each, and what was written.
    pub fn trace(&self) -> String {
        let mut trace = String::new();
        for LoggedRequest { at, program, number, line, status } in &self.requests {
            let _ = writeln!(trace, "{at} {program:?} {number} {line} {status}");
        }
        for entry in &self.run.trace {
            let _ = writeln!(trace, "{entry:?}");
        }
        trace
    }

    /// What is wrong with it, compared with how the story ends when nothing goes wrong.
    pub fn fault(&self, calm: &Self) -> Option<String> {
        if let Some(violation) = self.violations.first() {
            let rules: BTreeSet<&str> = self.violations.iter().map(|violation| violation.rule).collect();
            let others: Vec<&str> = rules.into_iter().filter(|rule| *rule != violation.rule).collect();
            let others =
                if others.is_empty() { String::new() } else { format!("; also {}", others.join(", ")) };
            return Some(format!("{violation}{others}"));
        }
        if let Some(failure) = &self.run.failure {
            return Some(format!("step `{}` at t={}: {}", failure.step, failure.at, failure.cause));
        }
        (self.end != calm.end).then(|| {
            let differs = |(left, right): &(&str, &str)| left != right;
            let first = self.end.lines().zip(calm.end.lines()).find(differs);
            let (is, was) = first.unwrap_or(("(another number of lines)", ""));
            format!("it does not end as without faults: {is} instead of {was}")
        })
    }
}

/// What is to be seen, a line for each thing, without what depends on how long things took.
pub(crate) fn end(observation: &Observation) -> String {
    let mut lines = String::new();
    for pod in &observation.pods {
        let _ = writeln!(
            lines,
            "pod {} {} {} ready={} restarts={}",
            pod.name, pod.phase, pod.status, pod.ready, pod.restarts
        );
    }
    for job in &observation.jobs {
        let mut value = serde_json::to_value(job).unwrap_or_default();
        if let Value::Object(fields) = &mut value {
            for time in ["age", "startTime", "completionTime"] {
                fields.remove(time);
            }
        }
        let _ = writeln!(lines, "job {value}");
    }
    for cluster in &observation.miniclusters {
        let _ = writeln!(lines, "minicluster {}", serde_json::to_value(cluster).unwrap_or_default());
    }
    lines
}

/// A plan under which the story does not end as it should.
#[derive(Debug)]
pub struct Finding {
    /// The plan.
    pub plan: Plan,
    /// What is wrong.
    pub fault: String,
}

/// Crashes at every request, before and after the server has carried it out; how many runs there were, and what was found.
///
/// # Errors
///
/// The world cannot be set up, or the story fails without faults too.
pub fn sweep(scenario: &Scenario, stack: Stack, seed: u64) -> Result<(u64, Vec<Finding>), CampaignError> {
    let calm = calm(scenario, stack, seed)?;
    let mut findings = Vec::new();
    let moments = [Moment::Before, Moment::After];
    for (request, moment) in
        (0..calm.extent.requests).flat_map(|request| moments.map(|moment| (request, moment)))
    {
        let plan = Plan::crash(request, moment);
        findings.extend(try_out(scenario, stack, seed, plan, &calm)?);
    }
    Ok((calm.extent.requests * 2, findings))
}

/// Why a campaign cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    /// The world cannot be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The story fails without faults.
    #[error("without faults: {0}")]
    Calm(String),
}

/// The story when nothing goes wrong.
///
/// # Errors
///
/// The world cannot be set up, or the story fails.
pub fn calm(scenario: &Scenario, stack: Stack, seed: u64) -> Result<Outcome, CampaignError> {
    let calm = play(scenario, stack, seed, &Plan::none())?;
    match calm.fault(&calm) {
        Some(fault) => Err(CampaignError::Calm(fault)),
        None => Ok(calm),
    }
}

/// Plays the story under a plan.
///
/// # Errors
///
/// The world cannot be set up.
pub fn try_out(
    scenario: &Scenario,
    stack: Stack,
    seed: u64,
    plan: Plan,
    calm: &Outcome,
) -> Result<Option<Finding>, SetupError> {
    let fault = play_until(scenario, stack, seed, &plan, Some(&calm.end))?.fault(calm);
    Ok(fault.map(|fault| Finding { plan, fault }))
}

/// The smallest plan that is found by leaving out faults of this one, one after another.
///
/// # Errors
///
/// The world cannot be set up.
pub fn shrink(
    scenario: &Scenario,
    stack: Stack,
    seed: u64,
    mut finding: Finding,
    calm: &Outcome,
) -> Result<Finding, SetupError> {
    'smaller: loop {
        let smaller: Vec<Plan> = finding.plan.without_one().collect();
        for plan in smaller {
            if let Some(found) = try_out(scenario, stack, seed, plan, calm)? {
                finding = found;
                continue 'smaller;
            }
        }
        return Ok(finding);
    }
}
