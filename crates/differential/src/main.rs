//! `cargo xtask differential`: tells random stories on the model and on the real controller.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use clap::Parser;
use towtank_differential::{Difference, DifferentialError, Judge};
use towtank_explore::scenario_text;
use towtank_lockstep::verdict::Judgement;
use towtank_model::version::KubernetesVersion;

/// Exit code when the real controller could not be had.
const NO_WORLD: u8 = 3;

#[derive(Parser)]
#[command(about = "Tells random stories on the model and on the real Job controller, and compares")]
struct Arguments {
    /// How many stories.
    #[arg(long, default_value_t = 1_000)]
    stories: u64,
    /// Version of Kubernetes.
    #[arg(long, default_value = "1.37")]
    kubernetes: KubernetesVersion,
    /// Another seed, other stories.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of the first story.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Stories told at the same time, each with a driver of its own.
    #[arg(long)]
    jobs: Option<usize>,
    /// Ends after so many differences.
    #[arg(long, default_value_t = 5)]
    differences: usize,
    /// Where a scenario file is written for each difference.
    #[arg(short, long, default_value = "scenarios/differences")]
    output: PathBuf,
    /// A seeded mistake in the model, by its number (needs the feature `mutants`).
    #[cfg(feature = "mutants")]
    #[arg(long)]
    mutant: Option<u32>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[cfg(feature = "mutants")]
    towtank_model::mutants::select(arguments.mutant.unwrap_or(0));
    match run(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(NO_WORLD)
        }
    }
}

/// Tells all stories; returns how many the two sides told differently.
fn run(arguments: &Arguments) -> Result<usize, DifferentialError> {
    let threads = arguments.jobs.or_else(|| std::thread::available_parallelism().ok().map(Into::into));
    let (next, writes) = (AtomicU64::new(arguments.first), AtomicUsize::new(0));
    let end = arguments.first + arguments.stories;
    let found: Mutex<Vec<(u64, Difference)>> = Mutex::new(Vec::new());
    let count = |found: &Mutex<Vec<_>>| found.lock().map_or(0, |found| found.len());
    let started = clock::now();
    let tell = || -> Result<(), DifferentialError> {
        let mut judge = Judge::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= end || count(&found) >= arguments.differences {
                return Ok(());
            }
            match judge.judge(arguments.kubernetes, arguments.seed, number)? {
                Ok(told) => {
                    writes.fetch_add(told, Ordering::Relaxed);
                }
                Err(difference) => {
                    report(arguments, number, &difference);
                    if let Ok(mut found) = found.lock() {
                        found.push((number, *difference));
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.unwrap_or(1)).map(|_| scope.spawn(tell)).collect();
        let ended = workers.into_iter().map(|worker| worker.join().unwrap_or(Ok(())));
        ended.collect::<Result<(), _>>()
    })?;
    let told = next.load(Ordering::Relaxed).min(end) - arguments.first;
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "Kubernetes {}: {told} stories, {} writes compared, {} differences, {:.0} stories/s",
        arguments.kubernetes,
        writes.load(Ordering::Relaxed),
        count(&found),
        f64::from(u32::try_from(told).unwrap_or(u32::MAX)) / seconds.max(f64::EPSILON),
    );
    Ok(count(&found))
}

/// Says where the two sides part, and writes the story down.
fn report(arguments: &Arguments, number: u64, difference: &Difference) {
    let (version, story) = (arguments.kubernetes, &difference.story);
    let before = difference.verbs_before;
    println!("story {number} of seed {} ({before} verbs, shrunk to {}):", arguments.seed, story.verbs.len());
    if let Judgement::Diverges(divergence) = &difference.judgement {
        let line =
            |line: &Option<_>| line.as_ref().map_or_else(|| "(nothing more)".to_owned(), ToString::to_string);
        println!("  - model     {}", line(&divergence.left));
        println!("  + reference {}", line(&divergence.right));
    }
    let name = format!("difference-{version}-{}-{number}", arguments.seed);
    let about = "The model and the real controller tell this story differently.";
    let path = arguments.output.join(format!("{name}.yaml"));
    match scenario_text(story, &name, about) {
        Ok(text) => {
            let written =
                std::fs::create_dir_all(&arguments.output).and_then(|()| std::fs::write(&path, text));
            match written {
                Ok(()) => println!(
                    "  towtank run {} --world model --world reference --kubernetes {version} --seed {}",
                    path.display(),
                    story.seed
                ),
                Err(error) => eprintln!("cannot write {}: {error}", path.display()),
            }
        }
        Err(broken) => println!("  it cannot be written as a scenario: {broken}"),
    }
}

/// Real time, for the throughput.
mod clock {
    #[expect(clippy::disallowed_types, reason = "how many stories a second is a fact about the machine")]
    pub(crate) fn now() -> std::time::Instant {
        std::time::Instant::now()
    }
}
