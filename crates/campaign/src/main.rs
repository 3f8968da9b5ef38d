//! See `towtank-campaign --help`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use towtank_apiserver::adapter::faults::Moment;
use towtank_campaign::{CampaignError, Finding, Plan, calm, play, shrink, sweep, try_out};
use towtank_model::version::KubernetesVersion;
use towtank_scenario::ast::{Scenario, Stack, VersionRange};

/// A third of a run is spent in allocating and freeing.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Plays stories with the production operator while things go wrong.
#[derive(Parser)]
#[command(name = "towtank-campaign", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The operator crashes at each of its requests, before and after the server has carried it out.
    Sweep(Stories),
    /// Random plans of faults.
    Random {
        #[command(flatten)]
        stories: Stories,
        /// How many plans.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
        plans: u64,
        /// Seed of the first plan; the others follow.
        #[arg(long, default_value_t = 1)]
        first: u64,
    },
    /// The first thing that is found, and nothing after it: in all stories without faults, then with random plans, then with a crash
    /// at each request.
    First {
        #[command(flatten)]
        stories: Stories,
        /// How many random plans for each story.
        #[arg(long, default_value_t = 20)]
        plans: u64,
    },
    /// Prints what the operator asks for and what is written.
    Trace {
        #[command(flatten)]
        stories: Stories,
        /// Seed of a random plan; without it nothing goes wrong.
        #[arg(long)]
        plan: Option<u64>,
    },
    /// The same random plans twice: both runs must be equal, byte by byte.
    Twice {
        #[command(flatten)]
        stories: Stories,
        /// How many plans.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
        plans: u64,
    },
}

#[derive(Args)]
struct Stories {
    /// Scenario files.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Version of Kubernetes.
    #[arg(long, default_value = "1.37")]
    kubernetes: KubernetesVersion,
    /// Seed of the cluster.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    match run(Cli::parse().command, &mut io::stdout().lock()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        // Whoever reads has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

type Error = Box<dyn std::error::Error>;

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[expect(clippy::disallowed_types, reason = "how many runs a second is a fact about the machine")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// How many findings there are.
fn run(command: Command, out: &mut impl Write) -> Result<usize, Error> {
    let (Command::Sweep(stories)
    | Command::First { stories, .. }
    | Command::Trace { stories, .. }
    | Command::Random { stories, .. }
    | Command::Twice { stories, .. }) = &command;
    if let Command::First { plans, .. } = &command {
        return first(stories, *plans, out);
    }
    let mut found = 0;
    for path in &stories.paths {
        let (scenario, stack) = load(path, stories.kubernetes)?;
        if let Command::Trace { plan, .. } = &command {
            let calm = calm(&scenario, stack, stories.seed)?;
            let plan = plan.map_or_else(Plan::none, |number| Plan::random(number, calm.extent));
            let outcome = play(&scenario, stack, stories.seed, &plan)?;
            let fault = outcome.fault(&calm).unwrap_or_else(|| "nothing is wrong".to_owned());
            writeln!(out, "{}{plan}\n{fault}", outcome.trace())?;
            continue;
        }
        let start = now();
        let played = match &command {
            Command::Random { plans, first, .. } => random(&scenario, stack, stories.seed, *first, *plans),
            Command::Twice { plans, .. } => twice(&scenario, stack, stories.seed, *plans),
            _ => sweep(&scenario, stack, stories.seed),
        };
        let (runs, findings) = played.map_err(|error| in_file(path, &error))?;
        let seconds = start.elapsed().as_secs_f64();
        let name = &scenario.name;
        let rate = runs as f64 / seconds;
        writeln!(out, "{name}: {runs} runs, {} findings, {rate:.0} runs/s", findings.len())?;
        for finding in &findings {
            writeln!(out, "  {}\n    {}", finding.plan, finding.fault)?;
        }
        found += findings.len();
    }
    Ok(found)
}

fn in_file(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

fn load(path: &Path, kubernetes: KubernetesVersion) -> Result<(Scenario, Stack), Error> {
    let scenario = towtank_scenario::load(path).map_err(|error| {
        let (line, column) = error.position();
        format!("{}:{line}:{column}: {error}", path.display())
    })?;
    let stack = stack(&scenario, kubernetes).map_err(|error| in_file(path, &error))?;
    Ok((scenario, stack))
}

/// The cheapest runs of all stories come first; of a finding one line: story, plan and what is wrong, with tabs between.
fn first(stories: &Stories, plans: u64, out: &mut impl Write) -> Result<usize, Error> {
    let (mut runs, mut begun) = (0, Vec::new());
    for path in &stories.paths {
        let (scenario, stack) = load(path, stories.kubernetes)?;
        let calm = play(&scenario, stack, stories.seed, &Plan::none())?;
        runs += 1;
        if let Some(fault) = calm.fault(&calm) {
            writeln!(out, "{}\t{}\t{fault}", scenario.name, Plan::none())?;
            return Ok(1);
        }
        begun.push((scenario, stack, calm));
    }
    // What random plans find they find early.
    let random = (1..=plans)
        .flat_map(|number| begun.iter().map(move |story| (story, Plan::random(number, story.2.extent))));
    let crashes = begun.iter().flat_map(|story| {
        let requests = 0..story.2.extent.requests;
        let crash = |request| [Moment::Before, Moment::After].map(|moment| Plan::crash(request, moment));
        requests.flat_map(crash).map(move |plan| (story, plan))
    });
    for ((scenario, stack, calm), plan) in random.chain(crashes) {
        runs += 1;
        if let Some(found) = try_out(scenario, *stack, stories.seed, plan, calm)? {
            let found = shrink(scenario, *stack, stories.seed, found, calm)?;
            writeln!(out, "{}\t{}\t{}", scenario.name, found.plan, found.fault)?;
            return Ok(1);
        }
    }
    writeln!(out, "{runs} runs, nothing found")?;
    Ok(0)
}

type Findings = Result<(u64, Vec<Finding>), CampaignError>;

fn random(scenario: &Scenario, stack: Stack, seed: u64, first: u64, plans: u64) -> Findings {
    let calm = calm(scenario, stack, seed)?;
    let mut findings = Vec::new();
    for number in (0..plans).map(|offset| first.wrapping_add(offset)) {
        let plan = Plan::random(number, calm.extent);
        if let Some(found) = try_out(scenario, stack, seed, plan, &calm)? {
            let mut found = shrink(scenario, stack, seed, found, &calm)?;
            found.fault.push_str(&format!(" (plan {number})"));
            findings.push(found);
        }
    }
    Ok((plans, findings))
}

fn twice(scenario: &Scenario, stack: Stack, seed: u64, plans: u64) -> Findings {
    let calm = calm(scenario, stack, seed)?;
    let mut findings = Vec::new();
    for number in 1..=plans {
        let plan = Plan::random(number, calm.extent);
        let trace = || play(scenario, stack, number, &plan).map(|outcome| outcome.trace());
        let (one, other) = (trace()?, trace()?);
        if one != other {
            let fault = format!("two runs of plan {number} are not equal");
            findings.push(Finding { plan, fault });
        }
    }
    Ok((plans * 2, findings))
}

fn stack(scenario: &Scenario, kubernetes: KubernetesVersion) -> Result<Stack, String> {
    if !(scenario.has_miniclusters() && scenario.is_of_the_production_operator()) {
        return Err(
            "it has no MiniCluster of the production operator, so nothing could go wrong for that".to_owned()
        );
    }
    let versions = VersionRange { first: kubernetes, last: kubernetes };
    let stacks = scenario.stacks(versions, VersionRange::ALL);
    stacks.into_iter().next_back().ok_or_else(|| format!("it is not true of Kubernetes {kubernetes}"))
}
