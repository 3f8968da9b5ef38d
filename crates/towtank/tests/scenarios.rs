//! Every file under `scenarios/` as one test of its name, so that `cargo test downsize` plays what has to do with
//! downsizing.
//!
//! A test plays its scenario in every version that it is true of, with several seeds, and compares the observation
//! trace of the first seed with the one kept under `snapshots/`.

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use towtank_lockstep::observation_trace;
use towtank_lockstep::session;
use towtank_scenario::ast::Scenario;

/// Seeds that every scenario must pass with; the first is the one whose observations are kept.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=20;

fn main() {
    let arguments = Arguments::from_args();
    let root = root();
    let mut files = Vec::new();
    find(&root.join("scenarios"), &mut files);
    let tests = files.into_iter().map(|file| {
        let name = name_of(&root, &file);
        Trial::test(name.clone(), move || test(&name, &file))
    });
    libtest_mimic::run(&arguments, tests.collect()).exit();
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there")
}

/// `jobs/downsize` for `scenarios/jobs/downsize.yaml`.
fn name_of(root: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(root.join("scenarios")).unwrap_or(file).with_extension("");
    relative.display().to_string()
}

fn find(directory: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "yaml") && is_scenario(&path) {
            files.push(path);
        }
    }
}

/// Beside scenarios lie the manifests that they apply.
fn is_scenario(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.lines().any(|line| line == "kind: Scenario"))
}

fn test(name: &str, file: &Path) -> Result<(), Failed> {
    let scenario = towtank_scenario::load(file).map_err(|error| {
        let (line, column) = error.position();
        format!("{}:{line}:{column}: {error}", file.display())
    })?;
    for seed in SEEDS {
        play(name, &scenario, seed)?;
    }
    Ok(())
}

fn play(name: &str, scenario: &Scenario, seed: u64) -> Result<(), Failed> {
    let mut traces = Vec::new();
    for version in session::versions(scenario, scenario.versions) {
        let run = session::play_model(scenario, version, seed)?;
        if let Some(failure) = &run.failure {
            return Err(towtank_report::human::failure(scenario, &run, failure).into());
        }
        traces.push((version, run.observations));
    }
    if seed == *SEEDS.start() {
        let text = observation_trace::by_version(traces.iter().map(|(version, trace)| (*version, trace)));
        insta::with_settings!({
            snapshot_path => root().join("snapshots/scenarios"),
            prepend_module_to_snapshot => false,
            omit_expression => true,
            description => scenario.about.clone(),
        }, {
            insta::assert_snapshot!(name, text);
        });
    }
    Ok(())
}
