//! `towtank e2e`: scenarios on real control planes, explained by the model.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use towtank_cluster::chaos::{Blow, Fate};
use towtank_cluster::clock;
use towtank_cluster::site::ProviderConfig;
use towtank_cluster::suite::{self, Outcome, Played, Suite, Task};
use towtank_control_plane::Interrupt;
use towtank_lockstep::explanation::ordering::Broken;
use towtank_lockstep::explanation::{Explanation, Gap, Search, Unexplained};
use towtank_lockstep::observed::Observation;
use towtank_lockstep::run::quoted;
use towtank_lockstep::sight::Sight;
use towtank_lockstep::verdict::ByRun;
use towtank_model::time::Time;
use towtank_report::human;
use towtank_report::real::{self, Nearest, RealReport, Tally, Verdict};
use towtank_scenario::ast::VersionRange;

use super::{absolute, cluster};
use crate::args::{E2eArguments, Format, Provider};
use crate::failure::{AGREE, DISAGREE, Failure, NO_WORLD};
use crate::files;

/// Plays every scenario in every version asked for.
pub(crate) fn run(arguments: &E2eArguments) -> Result<ExitCode, Failure> {
    let suite = suite(arguments)?;
    let tasks = tasks(arguments, &versions(arguments, &suite.provider)?)?;
    let mut reports = Vec::new();
    let mut told = Ok(());
    let remains = suite::play(&suite, &tasks, &mut |task, outcome| {
        let report = report(task, outcome, arguments);
        if told.is_ok() && arguments.record {
            told = record(task, outcome, arguments.cluster.provider);
        }
        if told.is_ok() {
            told = tell(&format!("{}{}", report.text, shown(outcome, arguments)), arguments);
        }
        reports.push(report);
    });
    for error in &remains {
        // Whatever cannot be printed any more, this has to be told.
        eprintln!("left behind: {error}");
    }
    told?;
    let tally = Tally::of(&reports);
    tell(&format!("{tally}\n"), arguments)?;
    write(&reports, arguments)?;
    // Nobody knows what would have come.
    let is_unfinished = suite.interrupt.is_raised() || !remains.is_empty();
    Ok(ExitCode::from(if is_unfinished { NO_WORLD } else { code(&tally) }))
}

/// Tells people how far it is: on stdout, unless a document goes there.
fn tell(text: &str, arguments: &E2eArguments) -> Result<(), Failure> {
    if arguments.format == Format::Human || arguments.output.is_some() {
        return super::print(text);
    }
    anstream::eprint!("{text}");
    Ok(())
}

/// The document, where it is wanted.
fn write(reports: &[RealReport], arguments: &E2eArguments) -> Result<(), Failure> {
    let text = match arguments.format {
        Format::Human => reports.iter().map(|report| report.text.as_str()).collect(),
        Format::Json => real::json(reports),
        Format::Junit => real::junit(reports).map_err(super::run::no_junit)?,
    };
    match (&arguments.output, arguments.format) {
        (Some(directory), format) => super::run::write_report(directory, &text, format),
        // It has been told already.
        (None, Format::Human) => Ok(()),
        (None, Format::Json | Format::Junit) => super::print(&text),
    }
}

const fn code(tally: &Tally) -> u8 {
    if tally.passed() {
        AGREE
    } else if tally.disagrees() {
        DISAGREE
    } else {
        NO_WORLD
    }
}

fn suite(arguments: &E2eArguments) -> Result<Suite, Failure> {
    let interrupt =
        Interrupt::install().map_err(|error| Failure::Usage(format!("cannot hear signals: {error}")))?;
    for (option, is_given) in
        [("--chaos", arguments.chaos.is_some()), ("--alter-gate", !arguments.alter_gate.is_empty())]
    {
        if is_given {
            let providers = [Provider::Process, Provider::Containers];
            cluster::only_with(option, &providers, arguments.cluster.provider)?;
        }
    }
    let dir = absolute(&arguments.cluster.dir)?;
    Ok(Suite {
        provider: cluster::provider(&arguments.cluster)?,
        logs: dir.join("logs"),
        dir,
        sites: arguments.jobs.unwrap_or(cluster::at_once(arguments.cluster.provider)),
        length_max: Duration::from_secs(arguments.length_max_s),
        search: Search { seeds: arguments.seeds, ..Search::default() },
        retries: arguments.retries,
        chaos: arguments.chaos,
        altered_gates: arguments.alter_gate.clone(),
        interrupt,
    })
}

/// The versions that are wanted.
fn versions(arguments: &E2eArguments, provider: &ProviderConfig) -> Result<Vec<VersionRange>, Failure> {
    let wanted = &arguments.kubernetes;
    let ProviderConfig::Foreign(cluster) = provider else {
        let newest = VersionRange::only(cluster::newest(arguments.cluster.provider));
        return Ok(if wanted.is_empty() { vec![newest] } else { wanted.clone() });
    };
    let there = cluster.version().map_err(|error| Failure::NoCluster(error.to_string()))?;
    if wanted.is_empty() || wanted.iter().any(|range| range.contains(there)) {
        return Ok(vec![VersionRange::only(there)]);
    }
    let place = cluster.place().map_err(|error| Failure::Usage(error.to_string()))?;
    let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    let wanted = wanted.join(", ");
    Err(Failure::Usage(format!("{place} has Kubernetes {there}, and `--kubernetes` asks for {wanted}")))
}

/// What is played: every scenario as every version that it is true of.
fn tasks(arguments: &E2eArguments, kubernetes: &[VersionRange]) -> Result<Vec<Task>, Failure> {
    let scenarios = super::run::selected(files::load(&arguments.paths)?, arguments.scenario.as_deref())?;
    let mut tasks = Vec::new();
    for kubernetes in kubernetes {
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
fn report(task: &Task, outcome: &Outcome, arguments: &E2eArguments) -> RealReport {
    let name = format!("{} (Kubernetes {})", task.scenario.name, task.stack);
    let (verdict, played, text) = match outcome {
        Outcome::NotPlayed(why) => {
            (Verdict::NotPlayed(why.clone()), None, format!("not played    {name}: {why}\n"))
        }
        Outcome::Broken(error) => {
            (Verdict::NoCluster(error.to_string()), None, format!("no cluster    {name}: {error}\n"))
        }
        Outcome::Played(played) => {
            let replay = played.run.replay_line();
            let whole = format!("{replay}{}", options(arguments));
            let text = format!("{}\n", text(task, played, &name).replace(&replay, &whole));
            (verdict(played), Some(self::played(played, whole)), text)
        }
    };
    let provider = arguments.cluster.provider.to_string();
    RealReport { scenario: task.scenario.clone(), stack: task.stack, provider, verdict, played, text }
}

/// What was to be seen, if that is wanted.
fn shown(outcome: &Outcome, arguments: &E2eArguments) -> String {
    match outcome {
        Outcome::Played(played) if arguments.show => played.run.observations.to_string(),
        _ => String::new(),
    }
}

fn verdict(played: &Played) -> Verdict {
    match &played.explained {
        _ if !played.run.passed() => Verdict::Failed,
        Some(Ok(explanation)) => Verdict::Explained(Box::new(ByRun::of(explanation))),
        Some(Err(unexplained)) => Verdict::NotExplained(Some(Nearest {
            tried: unexplained.tried,
            seed: unexplained.seed,
            timing: unexplained.profile.clone(),
            difference: gap(unexplained),
        })),
        None => Verdict::NotExplained(None),
    }
}

fn played(played: &Played, replay: String) -> real::Played {
    let blow = |(at, fate, victim): &Blow| real::Blow {
        at: *at,
        is_killed: *fate == Fate::Killed,
        program: victim.to_string(),
    };
    real::Played {
        run: played.run.clone(),
        attempt: played.attempt,
        blows: played.blows.iter().map(blow).collect(),
        logs: played.logs.clone(),
        replay,
    }
}

/// What else has to be said for the same to be played again.
fn options(arguments: &E2eArguments) -> String {
    let cluster = &arguments.cluster;
    let mut options = String::new();
    let mut option = |name: &str, value: &str| options.push_str(&format!(" --{name} {}", quoted(value)));
    if cluster.provider != Provider::default() {
        option("provider", &cluster.provider.to_string());
    }
    for (name, file) in [("kubeconfig", &cluster.kubeconfig), ("operator", &cluster.operator)] {
        if let Some(file) = file {
            option(name, &file.to_string_lossy());
        }
    }
    for (name, value) in [
        ("context", &cluster.context),
        ("images", &cluster.images),
        ("node-image", &cluster.node_image),
        ("operator-image", &cluster.operator_image),
        ("broker-image", &cluster.broker_image),
        ("view-image", &cluster.view_image),
    ] {
        if let Some(value) = value {
            option(name, value);
        }
    }
    if let Some(seed) = arguments.chaos {
        option("chaos", &seed.to_string());
    }
    for (gate, value) in &arguments.alter_gate {
        option("alter-gate", &format!("{gate}={value}"));
    }
    if cluster.kubeconfig.is_some() {
        options.push_str(" --change-this-cluster");
    }
    options
}

/// The same for people.
fn text(task: &Task, played: &Played, name: &str) -> String {
    let Played { run, attempt, blows, logs, explained, .. } = played;
    let mut length = length(run.ended);
    let missed = run.missed();
    if missed > 0 {
        let _ = write!(length, ", {missed} expectations passed unseen");
    }
    if *attempt > 1 {
        let _ = write!(length, ", attempt {attempt}");
    }
    let blow = |(at, fate, victim): &Blow| match fate {
        Fate::Killed => format!("\n  killed at {at}: {victim}"),
        Fate::Ended => format!("\n  ended by itself at {at}, and was started again: {victim}"),
    };
    let blows: String = blows.iter().map(blow).collect();
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Arguments, Command};

    #[test]
    fn what_is_replayed_has_the_options_in_words_of_a_shell() {
        let line = [
            "towtank",
            "e2e",
            "--provider",
            "kubeconfig",
            "--kubeconfig",
            "my files/it's",
            "--change-this-cluster",
            "--chaos",
            "7",
        ];
        let Command::E2e(arguments) = Arguments::parse_from(line).command else { panic!("e2e") };
        assert_eq!(
            options(&arguments),
            r" --provider kubeconfig --kubeconfig 'my files/it'\''s' --chaos 7 --change-this-cluster"
        );
    }
}
