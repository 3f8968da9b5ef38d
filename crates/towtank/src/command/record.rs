//! `towtank record`: keeps what the reference writes in scenarios as recordings, or checks that they are what it writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use towtank_lockstep::recording::{self, Recording};
use towtank_lockstep::run::Run;
use towtank_lockstep::session::{self, Task};
use towtank_lockstep::world::WorldKind;
use towtank_scenario::ast::{Action, Scenario, Stack, VersionRange};

use crate::args::RecordArguments;
use crate::failure::{AGREE, DISAGREE, Failure, plural};
use crate::files;

/// Plays all scenarios in the reference and writes, or compares, their recordings.
pub(crate) fn run(arguments: &RecordArguments) -> Result<ExitCode, Failure> {
    let scenarios = files::load(&arguments.paths)?;
    let tasks = tasks(&scenarios, &arguments.kubernetes);
    if tasks.is_empty() {
        return Err(Failure::Usage("no scenario speaks of these versions".to_owned()));
    }
    let threads = arguments.jobs.or_else(|| std::thread::available_parallelism().ok());
    let runs = session::play_tasks(&tasks, threads.unwrap_or(NonZeroUsize::MIN), |_| {})?;
    let mut outcome = Outcome::default();
    let mut expected = BTreeSet::new();
    let mut of_path: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in &runs {
        of_path.entry(&run.path).or_default().push(run);
    }
    for scenario in &scenarios {
        let path = recording_path(scenario)?;
        let runs = of_path.remove(&*scenario.source.path).unwrap_or_default();
        if !runs.is_empty() {
            keep(scenario, &runs, &path, arguments.check, &mut outcome)?;
        }
        expected.insert(path);
    }
    for orphan in orphans(&arguments.paths, &expected)? {
        outcome.differs(&orphan, "no scenario goes with it\n");
        if !arguments.check {
            fs::remove_file(&orphan).map_err(|error| cannot_write(&orphan, error))?;
        }
    }
    outcome.tell(arguments.check, runs.len())
}

/// What has come out.
#[derive(Default)]
struct Outcome {
    /// What there is to say about files that were, or would have to be, changed.
    changes: Vec<String>,
    /// Recordings that are as they were.
    same: usize,
    /// Runs that failed, so that nothing can be recorded.
    failures: Vec<String>,
}

impl Outcome {
    fn differs(&mut self, path: &Path, how: &str) {
        self.changes.push(format!("{}: {how}", path.display()));
    }

    fn tell(&self, is_check: bool, runs: usize) -> Result<ExitCode, Failure> {
        let mut text = String::new();
        for failure in &self.failures {
            text.push_str(&format!("not recorded: {failure}\n"));
        }
        for change in &self.changes {
            // The file itself is what one reads after it was written.
            text.push_str(if is_check { change } else { change.lines().next().unwrap_or_default() });
            if !is_check {
                text.push('\n');
            }
        }
        let verb = if is_check { "would be changed" } else { "changed" };
        text.push_str(&format!(
            "{} {verb}, {} as before ({})\n",
            plural(self.changes.len(), "recording"),
            self.same,
            plural(runs, "run")
        ));
        super::print(&text)?;
        let is_good = self.failures.is_empty() && (!is_check || self.changes.is_empty());
        Ok(ExitCode::from(if is_good { AGREE } else { DISAGREE }))
    }
}

fn tasks(scenarios: &[Arc<Scenario>], ranges: &[VersionRange]) -> Vec<Task> {
    let is_wanted = |stack: &Stack| ranges.iter().any(|range| range.contains(stack.kubernetes));
    let of_scenario = |scenario: &Arc<Scenario>| -> Vec<Task> {
        scenario
            .recorded_stacks()
            .into_iter()
            .filter(is_wanted)
            .map(|stack| Task {
                scenario: scenario.clone(),
                world: WorldKind::Reference,
                stack,
                seed: recording::SEED,
            })
            .collect()
    };
    scenarios.iter().filter(|scenario| is_recorded(scenario)).flat_map(of_scenario).collect()
}

/// Beside the real Job controller works the model's operator, for which nothing goes wrong: of a story in which something does, a recording would tell nothing.
fn is_recorded(scenario: &Scenario) -> bool {
    !scenario.steps.iter().any(|step| matches!(step.action.value, Action::Operator(_)))
}

fn recording_path(scenario: &Scenario) -> Result<PathBuf, Failure> {
    let path = Path::new(&scenario.source.path);
    recording::path_of(path).ok_or_else(|| {
        let message =
            format!("`{}` does not lie in a directory `scenarios`, so it has no recording", path.display());
        Failure::Usage(message)
    })
}

/// Writes, or compares, one recording; versions that were not played stay as they are.
fn keep(
    scenario: &Scenario,
    runs: &[&Run],
    path: &Path,
    is_check: bool,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    // Of another scenario, or of none: all is made anew, and shown as a difference.
    let known = Recording::load(path).ok().filter(|known| known.scenario() == scenario.name);
    let mut made = known.unwrap_or_else(|| Recording::new(&scenario.name));
    made.keep(&scenario.versions);
    for run in runs {
        match &run.failure {
            None => made.take(run),
            Some(failure) => {
                let failure = format!("{}: step `{}`: {}", run.replay_line(), failure.step, failure.cause);
                outcome.failures.push(failure);
                return Ok(());
            }
        }
    }
    let old = fs::read_to_string(path).unwrap_or_default();
    let new = made.to_string();
    if !Recording::parse(&new).is_ok_and(|read| read == made) {
        return Err(Failure::Usage(format!("the recording of `{}` cannot be read back", scenario.name)));
    }
    if old == new {
        outcome.same += 1;
        return Ok(());
    }
    outcome.differs(path, &format!("differs\n{}", recording::difference(&old, &new)));
    if !is_check {
        let directory = path.parent().unwrap_or(path);
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(path, new))
            .map_err(|error| cannot_write(path, error))?;
    }
    Ok(())
}

/// Recordings of scenarios that are gone, in the directories that were recorded.
fn orphans(paths: &[PathBuf], expected: &BTreeSet<PathBuf>) -> Result<Vec<PathBuf>, Failure> {
    let mut found = BTreeSet::new();
    for directory in paths.iter().filter(|path| path.is_dir()) {
        let Some(recordings) = recording::directory_of(directory) else { continue };
        if recordings.is_dir() {
            found.extend(files::all(&recordings, "txt")?);
        }
    }
    Ok(found.into_iter().filter(|path| !expected.contains(path)).collect())
}

fn cannot_write(path: &Path, error: std::io::Error) -> Failure {
    Failure::Output { what: format!("`{}`", path.display()), error }
}
