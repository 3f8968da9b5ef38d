//! `towtank e2e`: scenarios on real control planes, explained by the model.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use towtank_cluster::clock;
use towtank_cluster::deployed::Images;
use towtank_cluster::kind::KindConfig;
use towtank_cluster::kubeconfig::ForeignConfig;
use towtank_cluster::site::{Containers, ProviderConfig};
use towtank_cluster::suite::{self, Outcome, Played, Suite, Task};
use towtank_control_plane::Interrupt;
use towtank_lockstep::explanation::{Explanation, Gap, Search, Unexplained};
use towtank_lockstep::observed::{Observation, Observed};
use towtank_lockstep::sight::Sight;
use towtank_model::time::Time;
use towtank_model::version::KubernetesVersion;
use towtank_report::human;
use towtank_scenario::ast::VersionRange;

use super::{absolute, local};
use crate::args::{E2eArguments, Provider};
use crate::failure::{AGREE, DISAGREE, Failure, NO_WORLD};
use crate::files;

/// Plays every scenario in every version asked for.
pub(crate) fn run(arguments: &E2eArguments) -> Result<ExitCode, Failure> {
    let suite = suite(arguments)?;
    let tasks = tasks(arguments, &versions(arguments, &suite.provider)?)?;
    let mut tally = Tally::default();
    let mut told = Ok(());
    let remains = suite::play(&suite, &tasks, &mut |task, outcome| {
        tally.count(outcome);
        if told.is_ok() && arguments.record {
            told = record(task, outcome, arguments.provider);
        }
        if told.is_ok() {
            told = super::print(&text(task, outcome, arguments));
        }
    });
    for error in &remains {
        // Whatever cannot be printed any more, this has to be told.
        eprintln!("left behind: {error}");
    }
    told?;
    super::print(&format!("{tally}\n"))?;
    // Nobody knows what would have come.
    let is_unfinished = suite.interrupt.is_raised() || !remains.is_empty();
    Ok(ExitCode::from(if is_unfinished { NO_WORLD } else { tally.code() }))
}

fn suite(arguments: &E2eArguments) -> Result<Suite, Failure> {
    let interrupt =
        Interrupt::install().map_err(|error| Failure::Usage(format!("cannot hear signals: {error}")))?;
    let dir = absolute(&arguments.dir)?;
    Ok(Suite {
        provider: provider(arguments)?,
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

/// What the clusters are made of.
fn provider(arguments: &E2eArguments) -> Result<ProviderConfig, Failure> {
    let is_of = |option: &str, provider: &str| {
        Err(Failure::Usage(format!("`{option}` is for `--provider {provider}`")))
    };
    if arguments.images.is_some() && arguments.provider != Provider::Containers {
        return is_of("--images", "containers");
    }
    if arguments.node_image.is_some() && arguments.provider != Provider::Kind {
        return is_of("--node-image", "kind");
    }
    let names_cluster =
        arguments.kubeconfig.is_some() || arguments.context.is_some() || arguments.change_this_cluster;
    if names_cluster && arguments.provider != Provider::Kubeconfig {
        return is_of("--kubeconfig`, `--context` and `--change-this-cluster", "kubeconfig");
    }
    if matches!(arguments.provider, Provider::Kind | Provider::Kubeconfig) {
        if arguments.chaos.is_some() || !arguments.alter_gate.is_empty() {
            return is_of("--chaos` and `--alter-gate", "process");
        }
        let (operator, broker) = (arguments.operator_image.clone(), arguments.broker_image.clone());
        let images = Images { operator, broker };
        if arguments.provider == Provider::Kubeconfig {
            return foreign(arguments, images).map(ProviderConfig::Foreign);
        }
        return Ok(ProviderConfig::Kind(KindConfig {
            target_dir: absolute(&arguments.programs)?.parent().map_or_else(PathBuf::new, Path::to_path_buf),
            node_image: arguments.node_image.clone(),
            images,
        }));
    }
    let containers = (arguments.provider == Provider::Containers)
        .then(|| arguments.images.clone().map_or(Containers::Built, Containers::Named));
    Ok(ProviderConfig::Local(local(&arguments.programs, &arguments.operator, containers)?))
}

/// A cluster that is there already, if its user says that it may be changed.
fn foreign(arguments: &E2eArguments, images: Images) -> Result<ForeignConfig, Failure> {
    let Some(kubeconfig) = &arguments.kubeconfig else {
        return Err(Failure::Usage("`--provider kubeconfig` needs `--kubeconfig FILE`".to_owned()));
    };
    let cluster =
        ForeignConfig { kubeconfig: absolute(kubeconfig)?, context: arguments.context.clone(), images };
    let place = cluster.place().map_err(|error| Failure::Usage(error.to_string()))?;
    if arguments.change_this_cluster {
        return Ok(cluster);
    }
    Err(Failure::Usage(format!(
        "this would change {place}: it would get the definition of MiniClusters, the namespace `towtank-system` with an operator of them, cluster roles for it, and \
         namespaces with what the scenarios make; all of it is removed again. `--change-this-cluster` says that it may be done"
    )))
}

/// The versions that are wanted.
fn versions(arguments: &E2eArguments, provider: &ProviderConfig) -> Result<Vec<VersionRange>, Failure> {
    let wanted = &arguments.kubernetes;
    let ProviderConfig::Foreign(cluster) = provider else {
        let newest = VersionRange::only(KubernetesVersion::NEWEST);
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
    let (date, observed) = (clock::today(), Observed::of(&played.run));
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
    if arguments.provider != Provider::default() {
        options.push_str(&format!(" --provider {}", arguments.provider));
    }
    if let Some(file) = &arguments.kubeconfig {
        options.push_str(&format!(" --kubeconfig {} --change-this-cluster", file.display()));
    }
    if let Some(context) = &arguments.context {
        options.push_str(&format!(" --context {context}"));
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
            "explained     {name}, {length}, by the model with seed {} and the timing `{}`{}",
            explanation.seed,
            explanation.profile,
            apart(explanation)
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
    let name = |step: &usize| {
        explanation.run.steps.get(*step).map_or_else(String::new, |step| format!("`{}`", step.name))
    };
    let steps: Vec<String> = explanation.apart.iter().map(name).collect();
    if steps.is_empty() { String::new() } else { format!("; object by object after {}", steps.join(", ")) }
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
        let lines: Vec<&String> = one.lines().iter().filter(|line| !other.lines().contains(line)).collect();
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
