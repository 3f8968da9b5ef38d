//! `cargo xtask mutants --reference`.

use std::fmt::Write as _;
use std::path::PathBuf;

use towtank_differential::mutants::{Chase, Chased, chase};
use towtank_differential::{DifferentialError, many};
use towtank_model::version::KubernetesVersion;

/// Of so many mutants one may get away.
const ONE_MAY_ESCAPE_OF: usize = 30;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many stories each mutant is tried on.
    #[arg(long, default_value_t = 500)]
    stories: u64,
    /// Versions of Kubernetes; the next is for the mutants that the one before it has not caught.
    #[arg(long, value_delimiter = ',', default_value = "1.36,1.28")]
    kubernetes: Vec<KubernetesVersion>,
    /// Another seed, other stories.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stories told at the same time, each with a driver of its own.
    #[arg(long)]
    jobs: Option<usize>,
    /// A document to be written.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Whether enough are caught.
pub(crate) fn run(arguments: &Arguments) -> Result<bool, DifferentialError> {
    let threads = arguments.jobs.unwrap_or_else(many::cores);
    let chase = chase(&arguments.kubernetes, arguments.seed, arguments.stories, threads)?;
    for chased in &chase.mutants {
        println!("mutant {:<3} {}: {}", chased.mutant, fate(arguments, chased), chased.mistake);
    }
    let caught = chase.mutants.iter().filter(|chased| chased.catch.is_some()).count();
    let all = chase.mutants.len();
    println!(
        "{caught} of {all} mutants caught within {} stories; {} stories that differ without a mutant not counted",
        arguments.stories, chase.stories_that_differ
    );
    if let Some(path) = &arguments.output {
        towtank_differential::write(path, &document(arguments, &chase, caught))?;
    }
    Ok((all - caught) * ONE_MAY_ESCAPE_OF <= all)
}

fn fate(arguments: &Arguments, chased: &Chased) -> String {
    match chased.catch {
        Some(catch) => {
            format!("caught by story {} of seed {} on {}", catch.story, arguments.seed, catch.version)
        }
        None => format!("NOT caught in {} stories", arguments.stories),
    }
}

fn document(arguments: &Arguments, chase: &Chase, caught: usize) -> String {
    let (all, stories, seed) = (chase.mutants.len(), arguments.stories, arguments.seed);
    let mut text = format!(
        "\
# Mistakes that a comparison with the real controller finds

Written by `cargo xtask mutants --reference`. Each mistake is one line of the model's sync function or of what feeds it, in the code behind the cargo feature `mutants`. Random stories are told on Kubernetes' own
Job controller and on the model with the mistake; a story that the two tell differently catches it. Of the {all} mistakes, {caught} are caught within {stories} stories (seed {seed}).

| mutant | mistake | caught by story | on |
| -: | --- | -: | --- |
"
    );
    for Chased { mutant, mistake, catch } in &chase.mutants {
        let (story, version) = catch.map_or_else(
            || ("none".to_owned(), String::new()),
            |catch| (catch.story.to_string(), catch.version.to_string()),
        );
        let _ = writeln!(text, "| {mutant} | {mistake} | {story} | {version} |");
    }
    if caught < all {
        text.push_str(
            "\nWhat escapes shows only where several seldom things come together, such as two failures of one index \
             under a back-off of its own; the tables of the model's unit tests hold it.\n",
        );
    }
    text
}
