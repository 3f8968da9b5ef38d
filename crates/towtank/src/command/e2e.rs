//! `towtank e2e`: scenarios on real control planes, explained by the model.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use towtank_cluster::clock;
use towtank_cluster::suite::{self, Outcome, Played, Suite, Task};
use towtank_control_plane::Interrupt;
use towtank_lockstep::explanation::ordering::Broken;
use towtank_lockstep::explanation::{Explanation, Gap, Search, Unexplained};
use towtank_lockstep::observed::Observation;
use towtank_lockstep::sight::Sight;
use towtank_model::time::Time;
use towtank_report::human;

use super::{absolute, cluster};
use crate::args::{E2eArguments, Provider};
use crate::failure::{AGREE, DISAGREE, Failure, NO_WORLD};
use crate::files;

/// Plays every scenario in every version asked for.
pub(crate) fn run(arguments: &E2eArguments) -> Result<ExitCode, Failure> {
    let tasks = tasks(arguments)?;
    let suite = suite(arguments)?;
    let mut tally = Tally::default();
    let mut told = Ok(());
    suite::play(&suite, &tasks, &mut |task, outcome| {
        tally.count(outcome);
        if told.is_ok() && arguments.record {
            told = record(task, outcome, arguments.cluster.provider);
        }
        if told.is_ok() {
            told = super::print(&text(task, outcome, arguments));
        }
    });
    told?;
    super::print(&format!("{tally}\n"))?;
    // Nobody knows what would have come.
    Ok(ExitCode::from(if suite.interrupt.is_raised() { NO_WORLD } else { tally.code() }))
}

fn suite(arguments: &E2eArguments) -> Result<Suite, Failure> {
    let interrupt =
        Interrupt::install().map_err(|error| Failure::Usage(format!("cannot hear signals: {error}")))?;
    let changes_processes = arguments.chaos.is_some() || !arguments.alter_gate.is_empty();
    if arguments.cluster.provider == Provider::Kind && changes_processes {
        return Err(cluster::is_of("--chaos` and `--alter-gate", "process"));
    }
    let dir = absolute(&arguments.cluster.dir)?;
    Ok(Suite {
        provider: cluster::provider(&arguments.cluster)?,
        logs: dir.join("logs"),
        dir,
        sites: arguments.jobs,
        length_max: Duration::from_secs(arguments.length_max_s),
        search: Search { seeds: arguments.seeds, ..Search::default() },
        retries: arguments.retries,
        chaos: arguments.chaos,
        altered_gates: arguments.alter_gate.clone(),
        interrupt,
    })
}

/// What is played: every scenario as every version that it is true of.
fn tasks(arguments: &E2eArguments) -> Result<Vec<Task>, Failure> {
    let scenarios = super::run::selected(files::load(&arguments.paths)?, arguments.scenario.as_deref())?;
    let mut tasks = Vec::new();
    for kubernetes in &arguments.kubernetes {
        for scenario in &scenarios {
            let stacks = scenario.stacks(*kubernetes, arguments.flux);
            tasks.extend(stacks.into_iter().map(|stack| Task { scenario: scenario.clone(), stack }));
        }
    }
    match tasks.is_empty() {
        true => Err(Failure::Usage("no scenario speaks of these versions".to_owned())),
        false => Ok(tasks),
    }
}

/// Keeps what an explained run has shown.
fn record(task: &Task, outcome: &Outcome, provider: Provider) -> Result<(), Failure> {
    let Outcome::Played(played) = outcome else { return Ok(()) };
    if !played.agrees() {
        return Ok(());
    }
    let (date, observed) = (clock::today(), played.observed.clone());
    Observation { provider: provider.to_string(), date, observed }
        .keep(Path::new(&task.scenario.source.path))?;
    Ok(())
}

/// What became of one task.
fn text(task: &Task, outcome: &Outcome, arguments: &E2eArguments) -> String {
    let name = format!("{} (Kubernetes {})", task.scenario.name, task.stack);
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = match outcome {
        Outcome::NotPlayed(why) => writeln!(out, "not played    {name}: {why}"),
        Outcome::Broken(error) => writeln!(out, "no cluster    {name}: {error}"),
        Outcome::Played(played) => {
            let replay = played.run.replay_line();
            let verdict = verdict(task, played, &name);
            writeln!(out, "{}", verdict.replace(&replay, &format!("{replay}{}", options(arguments))))
        }
    };
    if let (true, Outcome::Played(played)) = (arguments.show, outcome) {
        let _ = write!(out, "{}", played.run.observations);
    }
    out
}

/// What else has to be said for the same to be played again.
fn options(arguments: &E2eArguments) -> String {
    let mut options = String::new();
    let provider = arguments.cluster.provider;
    if provider != Provider::default() {
        options.push_str(&format!(" --provider {provider}"));
    }
    if let Some(seed) = arguments.chaos {
        options.push_str(&format!(" --chaos {seed}"));
    }
    for (gate, value) in &arguments.alter_gate {
        options.push_str(&format!(" --alter-gate {gate}={value}"));
    }
    options
}

fn verdict(task: &Task, played: &Played, name: &str) -> String {
    let Played { run, attempt, blows, logs, explained, .. } = played;
    let mut length = length(run.ended);
    let missed = run.missed();
    if missed > 0 {
        let _ = write!(length, ", {missed} expectations passed unseen");
    }
    if *attempt > 1 {
        let _ = write!(length, ", attempt {attempt}");
    }
    let blows: String = blows.iter().map(|(at, victim)| format!("\n  killed at {at}: {victim}")).collect();
    let logs =
        logs.as_ref().map_or_else(String::new, |logs| format!("  logs of the cluster: {}", logs.display()));
    let text = match (&run.failure, explained) {
        (Some(failure), _) => {
            format!("FAILED        {name}, {length}\n{}{logs}", human::failure(&task.scenario, run, failure))
        }
        (None, Some(Ok(explanation))) => format!(
            "explained     {name}, {length}, by the model with seed {} and the timing `{}`{}{}",
            explanation.seed,
            explanation.profile,
            apart(explanation),
            left_out(explanation)
        ),
        (None, Some(Err(unexplained))) => {
            format!("NOT EXPLAINED {name}, {length}\n{}{logs}", gap(unexplained))
        }
        (None, None) => format!("NOT EXPLAINED {name}, {length}: nothing was tried"),
    };
    text + &blows
}

/// Where it explains no more than each object by itself.
fn apart(explanation: &Explanation) -> String {
    let steps = explanation.apart_steps();
    if steps.is_empty() {
        String::new()
    } else {
        format!("; object by object after `{}`", steps.join("`, `"))
    }
}

/// What was not compared.
fn left_out(explanation: &Explanation) -> String {
    let parts = explanation.compared.left_out();
    if parts.is_empty() { String::new() } else { format!("; not compared: {}", parts.join(", ")) }
}

fn length(ended: Time) -> String {
    format!("{:.1} s", (ended - Time::ZERO).as_secs_f64())
}

/// Where the nearest run of the model differs.
fn gap(unexplained: &Unexplained) -> String {
    let Unexplained { tried, seed, profile, gap } = unexplained;
    let mut out = format!(
        "  none of {tried} runs of the model explains it; the nearest has seed {seed} and the timing `{profile}`\n"
    );
    let line = |line: &Option<towtank_lockstep::trace_text::TraceLine>| {
        line.as_ref()
            .map_or_else(|| "nothing more".to_owned(), |line| format!("{} at {}", line.text, line.at))
    };
    let _ = match gap {
        Gap::ModelFails { step } => {
            writeln!(out, "  the model itself does not keep what step `{step}` expects")
        }
        Gap::History { real, model, .. } => {
            writeln!(out, "  the cluster: {}\n  the model:   {}", line(real), line(model))
        }
        Gap::Step { line: real, real: step, model, .. } => {
            let line = line(&Some(real.clone()));
            writeln!(out, "  in step `{step}` of the cluster: {line}\n  the model has it in `{model}`")
        }
        Gap::Order(Broken { rule, line: early }) => {
            let line = line(&Some(early.clone()));
            writeln!(out, "  the cluster: {line}\n  which breaks the rule: {rule}")
        }
        Gap::Sight { step, seen, nearest, .. } => {
            write!(
                out,
                "  when step `{step}` had settled, the cluster (+) showed what the model (-) never shows:\n{}",
                difference(seen, nearest)
            )
        }
    };
    out
}

/// Lines of one side that are shown.
const LINES_MAX: usize = 12;

/// The lines that only one of both has.
fn difference(seen: &Sight, nearest: &Sight) -> String {
    let only = |one: &Sight, other: &Sight, sign: char| -> String {
        let lines = one.without(other);
        let mut text: String =
            lines.iter().take(LINES_MAX).map(|line| format!("    {sign} {line}\n")).collect();
        if lines.len() > LINES_MAX {
            let _ = writeln!(text, "    {sign} … and {} more", lines.len() - LINES_MAX);
        }
        text
    };
    only(nearest, seen, '-') + &only(seen, nearest, '+')
}

#[derive(Debug, Default)]
struct Tally {
    explained: usize,
    unexplained: usize,
    failed: usize,
    broken: usize,
    not_played: usize,
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        let place = match outcome {
            Outcome::Played(played) if played.agrees() => &mut self.explained,
            Outcome::Played(played) if played.run.passed() => &mut self.unexplained,
            Outcome::Played(_) => &mut self.failed,
            Outcome::NotPlayed(_) => &mut self.not_played,
            Outcome::Broken(_) => &mut self.broken,
        };
        *place += 1;
    }

    /// Nothing that was not played counts as agreement.
    const fn code(&self) -> u8 {
        if self.unexplained + self.failed > 0 {
            DISAGREE
        } else if self.broken > 0 || self.explained == 0 {
            NO_WORLD
        } else {
            AGREE
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { explained, unexplained, failed, broken, not_played } = self;
        write!(
            f,
            "{explained} explained, {unexplained} not explained, {failed} failed, {broken} without a cluster, {not_played} not played"
        )
    }
}
