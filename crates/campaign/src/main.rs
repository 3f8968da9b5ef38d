//! See `towtank-campaign --help`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
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
    match run(Cli::parse().command) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::disallowed_types, reason = "how many runs a second is a fact about the machine")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// How many findings there are.
fn run(command: Command) -> Result<usize, Box<dyn std::error::Error>> {
    let mut found = 0;
    let (Command::Sweep(stories)
    | Command::Trace { stories, .. }
    | Command::Random { stories, .. }
    | Command::Twice { stories, .. }) = &command;
    for path in &stories.paths {
        let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let scenario = towtank_scenario::load(path).map_err(|error| {
            let (line, column) = error.position();
            format!("{}:{line}:{column}: {error}", path.display())
        })?;
        let stack = stack(&scenario, stories.kubernetes).map_err(|error| in_file(&error))?;
        if let Command::Trace { plan, .. } = &command {
            let calm = calm(&scenario, stack, stories.seed)?;
            let plan = plan.map_or_else(Plan::none, |number| Plan::random(number, calm.extent));
            let outcome = play(&scenario, stack, stories.seed, &plan)?;
            let fault = outcome.fault(&calm).unwrap_or_else(|| "nothing is wrong".to_owned());
            print!("{}{plan}\n{fault}\n", outcome.trace());
            continue;
        }
        let start = now();
        let played = match &command {
            Command::Sweep(_) | Command::Trace { .. } => sweep(&scenario, stack, stories.seed),
            Command::Random { plans, first, .. } => random(&scenario, stack, stories.seed, *first, *plans),
            Command::Twice { plans, .. } => twice(&scenario, stack, stories.seed, *plans),
        };
        let (runs, findings) = played.map_err(|error| in_file(&error))?;
        let seconds = start.elapsed().as_secs_f64();
        let name = &scenario.name;
        println!("{name}: {runs} runs, {} findings, {:.0} runs/s", findings.len(), runs as f64 / seconds);
        for finding in &findings {
            println!("  {}\n    {}", finding.plan, finding.fault);
        }
        found += findings.len();
    }
    Ok(found)
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
