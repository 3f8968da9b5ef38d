//! Finds scenario files and reads them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use towtank_scenario::ScenarioError;
use towtank_scenario::ast::Scenario;

use crate::failure::Failure;

/// Directories within directories that are searched.
const DEPTH_MAX: usize = 16;

/// All scenarios under `paths`, in the order given, directories in order of their names.
///
/// # Errors
///
/// A path that is not there, a directory without scenarios, or the files that are no scenarios, all of them.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Vec<Arc<Scenario>>, Failure> {
    let mut scenarios = Vec::new();
    let mut errors = Vec::new();
    for file in find(paths)? {
        match read(&file) {
            Ok(scenario) => scenarios.push(Arc::new(scenario)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(scenarios) } else { Err(Failure::Scenarios(errors)) }
}

/// Reads one file.
pub(crate) fn read(file: &Path) -> Result<Scenario, ScenarioError> {
    towtank_scenario::load(file)
}

/// The scenario files under `paths`.
pub(crate) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        let before = files.len();
        if path.is_dir() {
            search(path, 0, &is_scenario, &mut files)?;
            if files.len() == before {
                return Err(Failure::Usage(format!("no scenario files in `{}`", path.display())));
            }
        } else {
            // A file that is not there is the reader's to complain about.
            files.push(path.clone());
        }
    }
    files.dedup();
    Ok(files)
}

/// All files with this extension in a directory.
pub(crate) fn all(directory: &Path, extension: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    search(directory, 0, &|path| path.extension().is_some_and(|known| known == extension), &mut files)?;
    Ok(files)
}

fn search(
    directory: &Path,
    depth: usize,
    is_wanted: &dyn Fn(&Path) -> bool,
    files: &mut Vec<PathBuf>,
) -> Result<(), Failure> {
    let unreadable =
        |error| Failure::Usage(format!("cannot read the directory `{}`: {error}", directory.display()));
    if depth > DEPTH_MAX {
        let message = format!("`{}` is more than {DEPTH_MAX} directories deep", directory.display());
        return Err(Failure::Usage(message));
    }
    let entries = fs::read_dir(directory).map_err(unreadable)?;
    let mut entries =
        entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            search(&path, depth + 1, is_wanted, files)?;
        } else if is_wanted(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_scenario(path: &Path) -> bool {
    is_yaml(path) && !is_manifest(path)
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// A file of objects that a scenario beside it applies: its first `kind` is another than Scenario. A file that cannot
/// be read, or says nothing of its kind, is taken for a scenario, so that the mistake is shown.
fn is_manifest(path: &Path) -> bool {
    let Ok(text) = fs::read_to_string(path) else { return false };
    let kind = text.lines().find_map(|line| line.strip_prefix("kind:"));
    kind.is_some_and(|kind| kind.trim().trim_matches(['"', '\'']) != "Scenario")
}
