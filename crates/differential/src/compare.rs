//! `cargo xtask differential`: tells random stories on the model and on the real controller.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use towtank_differential::{Difference, DifferentialError, Draw, Judge, Kinds, clock, many};
use towtank_lockstep::recording;
use towtank_model::version::KubernetesVersion;
use towtank_scenario::NoFiles;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many stories.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
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
    /// Where a scenario file is written for each difference; one below `scenarios` gets a recording too.
    #[arg(short, long, default_value = "scenarios/differences")]
    output: PathBuf,
    /// A seeded mistake in the model, by its number (needs the feature `mutants`).
    #[cfg(feature = "mutants")]
    #[arg(long)]
    mutant: Option<u32>,
}

/// Tells all stories; returns how many the two sides told differently.
pub(crate) fn run(arguments: &Arguments) -> Result<usize, DifferentialError> {
    #[cfg(feature = "mutants")]
    towtank_model::mutants::select(arguments.mutant.unwrap_or(0));
    let threads = arguments.jobs.unwrap_or_else(many::cores);
    let numbers = arguments.first..arguments.first + arguments.stories;
    let (version, seed) = (arguments.kubernetes, arguments.seed);
    let draw = |number| Draw { version, seed, number, kinds: Kinds::All };
    let differences = AtomicUsize::new(0);
    let started = clock::now();
    let told = many::visit(threads, numbers, |judge, number| {
        Ok(match judge.judge(&draw(number))? {
            Ok(writes) => ControlFlow::Continue(writes),
            Err(difference) => {
                report(arguments, judge, number, &difference)?;
                let found = 1 + differences.fetch_add(1, Ordering::Relaxed);
                if found >= arguments.differences { ControlFlow::Break(0) } else { ControlFlow::Continue(0) }
            }
        })
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let differences = differences.into_inner();
    println!(
        "Kubernetes {}: {} stories, {} writes compared, {differences} differences, {:.0} stories/s",
        arguments.kubernetes,
        told.len(),
        told.iter().map(|(_, writes)| writes).sum::<usize>(),
        f64::from(u32::try_from(told.len()).unwrap_or(u32::MAX)) / seconds.max(f64::EPSILON),
    );
    Ok(differences)
}

/// Says where the two sides part, and writes the story down.
fn report(
    arguments: &Arguments,
    judge: &mut Judge,
    number: u64,
    difference: &Difference,
) -> Result<(), DifferentialError> {
    let (version, story, divergence) = (arguments.kubernetes, &difference.story, &difference.divergence);
    let before = difference.verbs_before;
    let line =
        |line: &Option<_>| line.as_ref().map_or_else(|| "(nothing more)".to_owned(), ToString::to_string);
    println!(
        "story {number} of seed {} on {version} ({before} verbs, shrunk to {}):\n  - model     {}\n  + reference {}",
        arguments.seed,
        story.verbs.len(),
        line(&divergence.left),
        line(&divergence.right)
    );
    let name = format!("difference-{version}-{}-{number}", arguments.seed);
    let about = "The model and the real controller tell this story differently.";
    let text = match judge.scenario_text(story, &name, about)? {
        Ok(text) => text,
        Err(broken) => {
            println!("  it cannot be written as a scenario: {broken}");
            return Ok(());
        }
    };
    let path = arguments.output.join(format!("{name}.yaml"));
    towtank_differential::write(&path, &text)?;
    let command = format!("towtank run {} --kubernetes {version}", path.display());
    // Recordings are of one seed, and lie beside `scenarios`.
    let kept = recording::path_of(&path).filter(|_| story.seed == recording::SEED);
    match kept {
        Some(kept) => {
            let scenario = towtank_scenario::parse(&path.to_string_lossy(), &text, &NoFiles)
                .map_err(|error| DifferentialError::Play(error.to_string()))?;
            towtank_differential::write(&kept, &judge.record(&scenario, version)?.to_string())?;
            println!("  {command}");
        }
        None => println!("  {command} --world model --world reference --seed {}", story.seed),
    }
    Ok(())
}
