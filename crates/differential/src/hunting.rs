//! `cargo xtask hunt`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use towtank_differential::defects::{DEFECTS, Defect};
use towtank_differential::hunt::{Found, Truth, hunt};
use towtank_differential::{DifferentialError, many};
use towtank_explore::{Form, scenario_text};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Names of defects; all when none is given.
    #[arg(value_parser = named)]
    defects: Vec<&'static Defect>,
    /// Who tells the stories as they are in truth.
    #[arg(long, value_enum, default_value = "reference")]
    world: Truth,
    /// Minutes after which a defect counts as not found.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Another seed, other stories.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stories told at the same time, each with a driver of its own.
    #[arg(long)]
    jobs: Option<usize>,
    /// Where the shortest form of each story is written as a scenario file.
    #[arg(long)]
    stories: Option<PathBuf>,
    /// A document to be written.
    #[arg(long)]
    output: Option<PathBuf>,
}

fn named(name: &str) -> Result<&'static Defect, String> {
    let names: Vec<&str> = DEFECTS.iter().map(|defect| defect.name).collect();
    DEFECTS
        .iter()
        .find(|defect| defect.name == name)
        .ok_or_else(|| format!("no such defect; known are {}", names.join(", ")))
}

/// Whether all are found.
pub(crate) fn run(arguments: &Arguments) -> Result<bool, DifferentialError> {
    let threads = arguments.jobs.unwrap_or_else(many::cores);
    let limit = Duration::from_secs(60 * arguments.minutes);
    let mut rows = String::new();
    let mut missed = 0;
    let wanted: Vec<&Defect> =
        if arguments.defects.is_empty() { DEFECTS.iter().collect() } else { arguments.defects.clone() };
    for defect in wanted {
        let (told, found) = hunt(defect, arguments.world, arguments.seed, limit, threads)?;
        let (name, what, version) = (defect.name, defect.what, defect.version());
        let (number, steps) = if let Some(found) = &found {
            let Found { number, after, steps, .. } = found;
            println!(
                "{name}: found on {version} by story {number} of seed {} after {:.0} s, shrunk to {steps} steps",
                arguments.seed,
                after.as_secs_f64()
            );
            keep(arguments, defect, found)?;
            (number.to_string(), steps.to_string())
        } else {
            missed += 1;
            println!("{name}: NOT found on {version} in {told} stories");
            (format!("not in {told}"), String::new())
        };
        let _ = writeln!(rows, "| {what} | {version} | `cargo xtask hunt {name}` | {number} | {steps} |");
    }
    if let Some(path) = &arguments.output {
        towtank_differential::write(path, &format!("{HEAD}{rows}"))?;
    }
    Ok(missed == 0)
}

const HEAD: &str = "\
# Defects that random stories find again

Written by `cargo xtask hunt`. Nothing is given but the random stories: each is told on Kubernetes' own Job controller of a version that has the defect, and on a model of the same version that does not know of it.
A story that the two tell differently, in which the defect shows, and which the model that knows of it tells as the original does, has found it. Steps are those of the story's shortest form: the creation of the Job and
all that is then done to it and its pods; waits, and calls that fail by plan, are not counted.

Two defects of the track record are rarer, and not in the table. That a shrink and then less parallelism alone stop all status writes (`status-writes-stop`) shows in story 18681 of `cargo xtask hunt --rehearse`, which tells the
stories on the model; that a pod counts twice (`pod-counts-twice`) takes two particular slow calls and an adoption between them, and is not among 80,000 stories told there.

| defect | searched on | command | found by story | steps |
| --- | --- | --- | -: | -: |
";

/// Writes the story down.
fn keep(arguments: &Arguments, defect: &Defect, found: &Found) -> Result<(), DifferentialError> {
    let Some(directory) = &arguments.stories else { return Ok(()) };
    let name = format!("found-{}", defect.name);
    let Ok(text) = scenario_text(&found.story, &name, defect.what, Form::OfVersion) else {
        return Ok(());
    };
    towtank_differential::write(&directory.join(format!("{name}.yaml")), &text)
}
