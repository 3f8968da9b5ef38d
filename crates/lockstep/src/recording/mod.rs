//! Recordings: what Kubernetes' own Job controller wrote in a scenario, version by version, kept as text so that it is
//! compared with on machines that cannot play the reference.
//!
//! The recording of `scenarios/DIR/NAME.yaml` is `snapshots/reference/DIR/NAME.txt` beside the directory `scenarios`;
//! files that lie elsewhere have none. It is made for one seed, and runs with other seeds are not compared with it.

mod abridge;
mod fold;
mod text;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use similar::TextDiff;
use towtank_model::version::KubernetesVersion;
use towtank_scenario::ast::{Scenario, VersionRange};

use crate::run::Run;
use crate::trace_text::TraceLine;
use crate::verdict::{self, Divergence, Judgement, PairVerdict, Party};
use abridge::{Entry, abridged};

/// The seed of all recordings: the one that `towtank run` plays when none is given.
pub const SEED: u64 = 1;

/// What is said beside a difference from a recording.
pub const REMAKE: &str = "cargo xtask reference record";

/// What the reference wrote in one scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// Name of the scenario.
    scenario: String,
    /// Its writes in canonical order; the tail of a very long story as digests.
    versions: BTreeMap<KubernetesVersion, Arc<[Entry]>>,
}

/// A recording that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It cannot be read.
    #[error("cannot read the recording `{}`: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is none.
    #[error("`{}` is no recording: line {line}: {what}; make it again: {REMAKE}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
}

impl Recording {
    /// Nothing recorded yet of this scenario.
    pub fn new(scenario: &str) -> Self {
        Self { scenario: scenario.to_owned(), versions: BTreeMap::new() }
    }

    /// Name of the scenario.
    pub fn scenario(&self) -> &str {
        &self.scenario
    }

    /// Takes up what `run` wrote, in the place of what was recorded of its version.
    pub fn take(&mut self, run: &Run) {
        self.versions.insert(run.stack.kubernetes, abridged(verdict::canonical_lines(run)).into());
    }

    /// Keeps these versions only.
    pub fn keep(&mut self, versions: &VersionRange) {
        self.versions.retain(|version, _| versions.contains(*version));
    }

    /// The versions recorded, oldest first.
    pub fn versions(&self) -> impl Iterator<Item = KubernetesVersion> {
        self.versions.keys().copied()
    }

    /// Reads the recording of the scenario in this file, if there is one.
    ///
    /// # Errors
    ///
    /// There is one, but it cannot be used.
    pub fn of_scenario(path: &Path) -> Result<Option<Self>, RecordingError> {
        match path_of(path) {
            Some(path) if path.exists() => Self::load(&path).map(Some),
            _ => Ok(None),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is no recording.
    pub fn load(path: &Path) -> Result<Self, RecordingError> {
        let text = fs::read_to_string(path)
            .map_err(|error| RecordingError::Unreadable { path: path.to_owned(), error })?;
        Self::parse(&text).map_err(|(line, what)| RecordingError::Malformed {
            path: path.to_owned(),
            line,
            what,
        })
    }

    /// Reads what a recording prints.
    ///
    /// # Errors
    ///
    /// The line (from 1) that is wrong, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        text::parse(text)
    }

    /// Compares a run with what was recorded of its version, write by write; `None` when there is nothing to compare
    /// with: another seed, a version that was not recorded, or a run that failed before anything was different.
    pub fn judge(&self, scenario: &Scenario, run: &Run) -> Option<PairVerdict> {
        let is_recorded = run.seed == SEED && scenario.recorded_stacks().contains(&run.stack);
        let recorded = self.versions.get(&run.stack.kubernetes).filter(|_| is_recorded)?;
        let lines = verdict::canonical_lines(run);
        let judgement = if run.passed() {
            compare(&abridged(lines), recorded)
        } else {
            judge_beginning(lines, recorded)?
        };
        Some(PairVerdict { left: Party::of(run), right: Party::recorded(run.stack), judgement })
    }
}

fn compare(played: &[Entry], recorded: &[Entry]) -> Judgement {
    let same = played.iter().zip(recorded).take_while(|(one, other)| one == other).count();
    let writes = played.iter().take(same).map(Entry::writes).sum();
    if same == played.len() && same == recorded.len() && same > 0 {
        return Judgement::Agrees { writes };
    }
    Judgement::Diverges(Box::new(Divergence {
        writes_before: writes,
        left: played.get(same).map(Entry::as_line),
        right: recorded.get(same).map(Entry::as_line),
    }))
}

/// A run that failed has ended early: that the recording goes on says nothing, that they differ before tells why.
fn judge_beginning(lines: Vec<TraceLine>, recorded: &[Entry]) -> Option<Judgement> {
    let played: Vec<Entry> = lines.into_iter().map(Entry::write).collect();
    match compare(&played, recorded) {
        Judgement::Diverges(divergence)
            if divergence.left.is_some()
                && !matches!(recorded.get(divergence.writes_before), Some(Entry::Digest { .. })) =>
        {
            Some(Judgement::Diverges(divergence))
        }
        _ => None,
    }
}

/// Where the recording of the scenario in this file lies, or would lie.
pub fn path_of(scenario: &Path) -> Option<PathBuf> {
    snapshot_of(scenario, REFERENCE, "txt")
}

/// Where snapshots of a kind lie, or would lie, of the scenario in this file.
pub(crate) fn snapshot_of(scenario: &Path, kind: &str, extension: &str) -> Option<PathBuf> {
    let directory = snapshots_of(scenario.parent()?, kind)?;
    Some(directory.join(scenario.file_stem()?).with_added_extension(extension))
}

/// The directory of recordings.
const REFERENCE: &str = "reference";

/// Where the recordings of the scenarios in this directory lie, or would lie: it must be `scenarios` or below.
pub fn directory_of(directory: &Path) -> Option<PathBuf> {
    snapshots_of(directory, REFERENCE)
}

fn snapshots_of(directory: &Path, kind: &str) -> Option<PathBuf> {
    // `parent` of a bare file name.
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let directory = directory.canonicalize().ok()?;
    let scenarios = directory.ancestors().find(|ancestor| ancestor.ends_with("scenarios"))?;
    let below = directory.strip_prefix(scenarios).ok()?;
    Some(scenarios.parent()?.join("snapshots").join(kind).join(below))
}

/// What has changed in a recording, as a reviewer would see it.
pub fn difference(old: &str, new: &str) -> String {
    const LINES_MAX: usize = 60;
    let diff = TextDiff::from_lines(old, new);
    let text = diff.unified_diff().context_radius(1).to_string();
    let mut lines: Vec<&str> = text.lines().take(LINES_MAX + 1).collect();
    if lines.len() > LINES_MAX {
        lines[LINES_MAX] = "…";
    }
    lines.iter().map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests;
