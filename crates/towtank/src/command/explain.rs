//! `towtank explain`: what a step does, rule by rule.

use std::process::ExitCode;

use towtank_lockstep::explain;
use towtank_lockstep::runner::{self, Limits, Setting};
use towtank_lockstep::virtual_world::ModelWorld;
use towtank_report::human;
use towtank_scenario::ast::{Release, Scenario, Stack, VersionRange};

use crate::args::ExplainArguments;
use crate::failure::{AGREE, DISAGREE, Failure};
use crate::files;

/// Plays up to the end of the step and shows what the step brought about.
pub(crate) fn run(arguments: &ExplainArguments) -> Result<ExitCode, Failure> {
    let scenario = files::read(&arguments.path).map_err(|error| Failure::Scenarios(vec![error]))?;
    let step_index = find_step(&scenario, &arguments.step)?;
    let stack = find_stack(&scenario, arguments)?;
    let mut world = ModelWorld::new(&scenario, stack, arguments.seed)?;
    let setting = Setting { stack, seed: arguments.seed };
    let (run, before) = runner::play_step(&scenario, &mut world, setting, Limits::default(), step_index);
    let step = &run.steps[step_index];
    if let Some(failure) = &run.failure
        && step.at.is_none()
    {
        // The story ends before the step begins: there is nothing to explain but that.
        super::print(&human::failure(&scenario, &run, failure))?;
        return Ok(ExitCode::from(DISAGREE));
    }
    let at = step.at.map_or_else(String::new, |at| format!(", t={at} to t={}", run.ended));
    let mut text = format!(
        "{}, step {} `{}` (Kubernetes {stack}, seed {}){at}\n",
        scenario.name,
        step_index + 1,
        step.name,
        arguments.seed
    );
    text.push_str(&explain::explain(&run.trace, before).to_string());
    if let Some(failure) = &run.failure {
        text.push('\n');
        text.push_str(&human::failure(&scenario, &run, failure));
    }
    super::print(&text)?;
    Ok(ExitCode::from(if run.passed() { AGREE } else { DISAGREE }))
}

fn find_step(scenario: &Scenario, wanted: &str) -> Result<usize, Failure> {
    let by_name = scenario.steps.iter().position(|step| step.name.value == wanted);
    let by_number = || {
        let number: usize = wanted.parse().ok()?;
        number.checked_sub(1).filter(|index| *index < scenario.steps.len())
    };
    by_name.or_else(by_number).ok_or_else(|| {
        let steps: Vec<String> = (1..)
            .zip(&scenario.steps)
            .map(|(number, step)| format!("{number} `{}`", step.name.value))
            .collect();
        Failure::Usage(format!("no step `{wanted}` in {}; its steps are {}", scenario.name, steps.join(", ")))
    })
}

fn find_stack(scenario: &Scenario, arguments: &ExplainArguments) -> Result<Stack, Failure> {
    let kubernetes = told(scenario, "Kubernetes", scenario.versions, arguments.kubernetes)?;
    let flux = told(scenario, "Flux", scenario.cluster.flux.versions, arguments.flux)?;
    // The newest Kubernetes, and the oldest Flux: with that one the reference was recorded.
    let stacks = scenario.stacks(kubernetes, flux);
    let oldest = stacks.first().and_then(|stack| stack.flux);
    let stack = stacks.into_iter().rfind(|stack| stack.flux == oldest);
    stack.ok_or_else(|| Failure::Usage(format!("{} speaks of no version", scenario.name)))
}

/// The version that is wanted, or all of the scenario's.
fn told<V: Release>(
    scenario: &Scenario,
    of: &str,
    range: VersionRange<V>,
    wanted: Option<V>,
) -> Result<VersionRange<V>, Failure> {
    match wanted {
        None => Ok(range),
        Some(version) if range.contains(version) => Ok(VersionRange::only(version)),
        Some(version) => Err(Failure::Usage(format!(
            "{} does not speak of {of} {version}: it is true of {range}",
            scenario.name
        ))),
    }
}
