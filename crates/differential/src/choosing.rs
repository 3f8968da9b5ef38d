//! `cargo xtask stories`.

use std::path::PathBuf;

use towtank_differential::choose::{Pool, choose};
use towtank_differential::{DifferentialError, many};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many stories are kept.
    #[arg(long, default_value_t = 200)]
    stories: usize,
    /// How many stories are looked at.
    #[arg(long, default_value_t = 6_000)]
    pool: u64,
    /// Another seed, other stories.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stories looked at at the same time.
    #[arg(long)]
    jobs: Option<usize>,
    /// Where the scenario files are written. Other stories that are there are removed.
    #[arg(short, long, default_value = "scenarios/stories")]
    output: PathBuf,
}

/// Whether there are as many as wanted.
pub(crate) fn run(arguments: &Arguments) -> Result<bool, DifferentialError> {
    let threads = arguments.jobs.unwrap_or_else(many::cores);
    let pool = Pool { seed: arguments.seed, stories: arguments.pool, threads };
    let choice = choose(pool, arguments.stories)?;
    write(arguments, &choice.stories)
        .map_err(|error| DifferentialError::Output(format!("{}: {error}", arguments.output.display())))?;
    let (all, seen) = choice.sights;
    println!(
        "{} stories chosen out of {} that are true of all versions ({} looked at): they show {seen} of {all} sights",
        choice.stories.len(),
        choice.candidates,
        arguments.pool
    );
    println!("{} left out that differ: {}", choice.differing.len(), choice.differing.join(", "));
    Ok(choice.stories.len() == arguments.stories)
}

fn write(
    arguments: &Arguments,
    stories: &[towtank_differential::choose::Chosen],
) -> Result<(), std::io::Error> {
    std::fs::create_dir_all(&arguments.output)?;
    for entry in std::fs::read_dir(&arguments.output)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("story-") && name.ends_with(".yaml") {
            std::fs::remove_file(path)?;
        }
    }
    for story in stories {
        std::fs::write(arguments.output.join(format!("{}.yaml", story.name)), &story.text)?;
    }
    Ok(())
}
