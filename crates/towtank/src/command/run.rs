//! `towtank run`: plays scenarios and judges what is to be seen.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use towtank_lockstep::observed::Observation;
use towtank_lockstep::recording::Recording;
use towtank_lockstep::run::Run;
use towtank_lockstep::session::{self, Task};
use towtank_lockstep::world::WorldKind;
use towtank_lockstep::{trace_text, verdict};
use towtank_report::{ScenarioReport, Summary, human, json, junit};
use towtank_scenario::ast::{Scenario, Stack, VersionRange};

use crate::args::{Format, RunArguments};
use crate::failure::{AGREE, DISAGREE, Failure};
use crate::files;

/// Plays every scenario in every world and version asked for.
pub(crate) fn run(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    if let Some(real) = arguments.world.iter().find(|world| !world.is_virtual()) {
        return Err(Failure::NoWorld(*real));
    }
    let scenarios = selected(files::load(&arguments.paths)?, arguments.scenario.as_deref())?;
    refuse_twins(&scenarios)?;
    let tasks = tasks(&scenarios, arguments)?;
    tell_left_out(&scenarios, arguments);
    let threads = arguments.jobs.or_else(|| std::thread::available_parallelism().ok());
    let progress = progress(tasks.len(), arguments);
    let runs = session::play_tasks(&tasks, threads.unwrap_or(NonZeroUsize::MIN), |task| {
        progress.set_message(task.scenario.name.clone());
        progress.inc(1);
    })?;
    progress.finish_and_clear();
    let mut reports = reports(&tasks, runs);
    compare_with_recordings(&mut reports)?;
    compare_with_clusters(&mut reports)?;
    let text = rendered(&reports, arguments.format)?;
    match &arguments.output {
        Some(directory) => {
            write_all(directory, &text, &reports, arguments.format)?;
            super::print(&human::summary(Summary::of(&reports)))?;
        }
        None => super::print(&text)?,
    }
    Ok(ExitCode::from(if Summary::of(&reports).passed() { AGREE } else { DISAGREE }))
}

/// The scenarios whose name contains `wanted`.
pub(super) fn selected(
    scenarios: Vec<Arc<Scenario>>,
    wanted: Option<&str>,
) -> Result<Vec<Arc<Scenario>>, Failure> {
    let Some(wanted) = wanted else { return Ok(scenarios) };
    let (chosen, others): (Vec<_>, Vec<_>) =
        scenarios.into_iter().partition(|scenario| scenario.name.contains(wanted));
    if chosen.is_empty() {
        const NAMED_MAX: usize = 20;
        let names: Vec<&str> = others.iter().take(NAMED_MAX).map(|scenario| &*scenario.name).collect();
        let more = if others.len() > NAMED_MAX { ", …" } else { "" };
        let message = format!("no scenario named like `{wanted}`; there are {}{more}", names.join(", "));
        return Err(Failure::Usage(message));
    }
    Ok(chosen)
}

/// Reports, traces and snapshots go by the name: it must be one scenario's alone.
fn refuse_twins(scenarios: &[Arc<Scenario>]) -> Result<(), Failure> {
    let mut paths: BTreeMap<&str, &str> = BTreeMap::new();
    for scenario in scenarios {
        if let Some(other) = paths.insert(&scenario.name, &scenario.source.path) {
            let (name, path) = (&scenario.name, &scenario.source.path);
            return Err(Failure::Usage(format!("two scenarios are called `{name}`: {other} and {path}")));
        }
    }
    Ok(())
}

/// Nothing is left out silently: names the scenarios that are true of none of the versions asked for.
fn tell_left_out(scenarios: &[Arc<Scenario>], arguments: &RunArguments) {
    let is_left_out =
        |scenario: &&Arc<Scenario>| scenario.stacks(arguments.kubernetes, arguments.flux).is_empty();
    let names: Vec<&str> = scenarios.iter().filter(is_left_out).map(|scenario| &*scenario.name).collect();
    if !names.is_empty() {
        eprintln!("not played, for they are not true of the versions asked for: {}", names.join(", "));
    }
}

fn tasks(scenarios: &[Arc<Scenario>], arguments: &RunArguments) -> Result<Vec<Task>, Failure> {
    let mut worlds = arguments.world.clone();
    worlds.sort_unstable();
    worlds.dedup();
    let mut tasks = Vec::new();
    let mut others = Vec::new();
    for scenario in scenarios {
        for &world in &worlds {
            let has_operator = matches!(world, WorldKind::Embedded | WorldKind::ReferenceOpen);
            if has_operator && !scenario.is_of_the_production_operator() {
                others.push(&*scenario.name);
                continue;
            }
            for stack in scenario.stacks(arguments.kubernetes, arguments.flux) {
                tasks.push(Task { scenario: scenario.clone(), world, stack, seed: arguments.seed });
            }
        }
    }
    if !others.is_empty() {
        let why = "for they are about another operator or entrypoint than the production one";
        others.dedup();
        eprintln!("not played with the production operator, {why}: {}", others.join(", "));
    }
    if tasks.is_empty() {
        let (kubernetes, flux) = (arguments.kubernetes, arguments.flux);
        let flux = if flux == VersionRange::ALL { String::new() } else { format!(" with Flux {flux}") };
        return Err(Failure::Usage(format!("no scenario speaks of Kubernetes {kubernetes}{flux}")));
    }
    Ok(tasks)
}

/// A bar where somebody sees it, and nothing elsewhere.
fn progress(length: usize, arguments: &RunArguments) -> ProgressBar {
    if arguments.no_progress || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX));
    match ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Groups the runs by scenario, in the order of the tasks, and compares worlds version by version.
fn reports(tasks: &[Task], runs: Vec<Run>) -> Vec<ScenarioReport> {
    let mut reports: Vec<ScenarioReport> = Vec::new();
    for (task, run) in tasks.iter().zip(runs) {
        match reports.last_mut() {
            Some(report) if Arc::ptr_eq(&report.scenario, &task.scenario) => report.runs.push(run),
            _ => {
                let scenario = task.scenario.clone();
                reports.push(ScenarioReport { scenario, runs: vec![run], pairs: Vec::new() });
            }
        }
    }
    for report in &mut reports {
        let mut first: BTreeMap<_, &Run> = BTreeMap::new();
        for run in &report.runs {
            match first.get(&run.stack) {
                Some(other) => report.pairs.push(verdict::compare(other, run)),
                None => {
                    first.insert(run.stack, run);
                }
            }
        }
    }
    reports
}

/// Compares what was played now with what was recorded of the reference, where anything was.
fn compare_with_recordings(reports: &mut [ScenarioReport]) -> Result<(), Failure> {
    for report in reports {
        let Some(recording) = Recording::of_scenario(Path::new(&report.scenario.source.path))? else {
            continue;
        };
        // What the production operator does takes its own time.
        let played = report.runs.iter().filter(|run| is_models(run));
        report.pairs.extend(played.filter_map(|run| recording.judge(&report.scenario, run)));
    }
    Ok(())
}

fn is_models(run: &Run) -> bool {
    run.world == WorldKind::Model
}

/// Looks whether the model explains what real clusters have shown, where anything was kept; names what was not compared.
fn compare_with_clusters(reports: &mut [ScenarioReport]) -> Result<(), Failure> {
    let mut left_out = Vec::new();
    for report in reports.iter_mut().filter(|report| report.runs.iter().any(is_models)) {
        for observation in Observation::of_scenario(Path::new(&report.scenario.source.path))? {
            let before = report.pairs.len();
            for run in report.runs.iter().filter(|run| is_models(run)) {
                report.pairs.extend(observation.judge(&report.scenario, run)?);
            }
            if report.pairs.len() == before {
                let (provider, stack) = (&observation.provider, observation.observed.stack);
                left_out.push(format!("{} ({provider}, Kubernetes {stack})", report.scenario.name));
            }
        }
    }
    if !left_out.is_empty() {
        let why = "for the model has not played these versions, or not passed";
        eprintln!("not compared with what real clusters have shown, {why}: {}", left_out.join(", "));
    }
    Ok(())
}

fn rendered(reports: &[ScenarioReport], format: Format) -> Result<String, Failure> {
    match format {
        Format::Human => Ok(human::render(reports)),
        Format::Json => Ok(json::render(reports)),
        Format::Junit => junit::render(reports).map_err(no_junit),
    }
}

/// The JUnit report cannot be written.
pub(super) fn no_junit(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Output { what: "the JUnit report".to_owned(), error: std::io::Error::other(error) }
}

/// Writes a report into a directory, which is made.
pub(super) fn write_report(directory: &Path, text: &str, format: Format) -> Result<(), Failure> {
    fs::create_dir_all(directory)
        .map_err(|error| Failure::Output { what: format!("into `{}`", directory.display()), error })?;
    match format {
        Format::Human => write(directory, "report.txt", &anstream::adapter::strip_str(text).to_string()),
        Format::Json => write(directory, "report.json", text),
        Format::Junit => write(directory, "junit.xml", text),
    }
}

fn write(directory: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let path = directory.join(name);
    fs::write(&path, text).map_err(|error| Failure::Output { what: format!("`{}`", path.display()), error })
}

/// Writes the report, and the trace of every run that failed or that another one contradicts.
fn write_all(
    directory: &Path,
    text: &str,
    reports: &[ScenarioReport],
    format: Format,
) -> Result<(), Failure> {
    write_report(directory, text, format)?;
    let deserves_a_trace = |report: &ScenarioReport, run: &Run| !run.passed() || report.diverges(run.stack);
    for run in
        reports.iter().flat_map(|report| report.runs.iter().filter(|run| deserves_a_trace(report, run)))
    {
        let Stack { kubernetes, flux } = run.stack;
        let flux = flux.map_or_else(String::new, |flux| format!(".flux-{flux}"));
        let scenario = file_name(&run.scenario);
        let name = format!("{scenario}.{}.{kubernetes}{flux}.{}.trace.txt", run.world, run.seed);
        let mut lines = String::new();
        for line in trace_text::lines(&run.trace) {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{line}");
        }
        write(directory, &name, &lines)?;
    }
    Ok(())
}

/// A scenario's name as part of a file name.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}
