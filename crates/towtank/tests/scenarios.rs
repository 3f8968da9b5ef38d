//! Every file under `scenarios/` as one test of its name, so that `cargo test downsize` plays what has to do with
//! downsizing.
//!
//! A test plays its scenario in every version that it is true of, with several seeds, looks whether it keeps the rules of order that real clusters are held to, and compares the first seed with
//! what is kept under `snapshots/`: its observations, and what Kubernetes' own Job controller wrote in its place. Random
//! stories are played with the seed that they were chosen with, and say all in what the controller wrote.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use towtank_lockstep::explanation::ordering::{self, Broken};
use towtank_lockstep::observation_trace;
use towtank_lockstep::recording::{self, REMAKE, Recording};
use towtank_lockstep::run::Run;
use towtank_lockstep::session;
use towtank_lockstep::trace_text::TraceLine;
use towtank_lockstep::verdict::{self, Judgement, PairVerdict};
use towtank_scenario::ast::{Scenario, VersionRange};

/// Seeds that every scenario must pass with; the first is the one whose observations are kept.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=20;

/// Seeds that it must pass with in the world `embedded`.
const EMBEDDED_SEEDS: std::ops::RangeInclusive<u64> = 1..=3;

/// The directory of the random stories that `cargo xtask stories` has chosen.
const RANDOM: &str = "stories/";

/// Directories below `scenarios` whose stories must all have been recorded from the reference. Those of `operator-faults` have not: beside
/// the real Job controller works the model's operator, for which nothing goes wrong.
const RECORDED: [&str; 13] = [
    "jobs",
    "folklore",
    "stories",
    "track-record",
    "differences",
    "downsize",
    "scaling",
    "flux",
    "quirks",
    "kind",
    "workload",
    "contract",
    "stages",
];

fn main() {
    let arguments = Arguments::from_args();
    let root = root();
    let mut files = Vec::new();
    find(&root.join("scenarios"), &mut files);
    let recordings = files.iter().filter_map(|file| recording::path_of(file)).collect();
    let with_miniclusters: Vec<_> = files
        .iter()
        .filter(|file| is_embedded(file))
        .map(|file| (name_of(&root, file), file.clone()))
        .collect();
    let tests = files.into_iter().map(|file| {
        let name = name_of(&root, &file);
        Trial::test(name.clone(), move || test(&name, &file))
    });
    let embedded = with_miniclusters
        .into_iter()
        .map(|(name, file)| Trial::test(format!("embedded/{name}"), move || test_embedded(&file)));
    let orphans = Trial::test("recordings/have-their-scenarios", move || no_orphans(&recordings));
    libtest_mimic::run(&arguments, tests.chain(embedded).chain([orphans]).collect()).exit();
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
    find_all(directory, files);
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml") && is_scenario(path));
}

fn find_all(directory: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            find_all(&path, files);
        } else {
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
    let recording = Recording::of_scenario(file)?;
    let must_be_recorded = RECORDED.iter().any(|directory| name.starts_with(&format!("{directory}/")));
    if must_be_recorded && recording.is_none() {
        return Err(format!("it has not been recorded from the reference: {REMAKE}").into());
    }
    let is_random = name.starts_with(RANDOM);
    for seed in if is_random { recording::SEED..=recording::SEED } else { SEEDS } {
        play(name, &scenario, recording.as_ref(), seed)?;
    }
    Ok(())
}

/// Whether the production operator has a part in it.
fn is_embedded(file: &Path) -> bool {
    // What cannot be read fails as a test of its own.
    towtank_scenario::load(file)
        .is_ok_and(|scenario| scenario.has_miniclusters() && scenario.is_of_the_production_operator())
}

/// The same story with the production operator, in every version: the model tells the same of every Job and pod.
fn test_embedded(file: &Path) -> Result<(), Failed> {
    let scenario = towtank_scenario::load(file)?;
    for seed in EMBEDDED_SEEDS {
        for stack in scenario.stacks(VersionRange::ALL, VersionRange::ALL) {
            let run = session::play_embedded(&scenario, stack, seed)?;
            if let Some(failure) = &run.failure {
                return Err(towtank_report::human::failure(&scenario, &run, failure).into());
            }
            keeps_order(&scenario, &run)?;
            let model = session::play_model(&scenario, stack, seed)?;
            agrees(&verdict::compare(&model, &run), "")?;
        }
    }
    Ok(())
}

/// A recording whose scenario was renamed or removed would never be compared with again.
fn no_orphans(recordings: &BTreeSet<PathBuf>) -> Result<(), Failed> {
    let mut files = Vec::new();
    find_all(&root().join("snapshots/reference"), &mut files);
    match files.iter().find(|file| !recordings.contains(*file)) {
        Some(orphan) => Err(format!("{} belongs to no scenario: {REMAKE}", orphan.display()).into()),
        None => Ok(()),
    }
}

/// Write by write, in every version.
fn compare(recording: &Recording, scenario: &Scenario, run: &Run) -> Result<(), Failed> {
    let version = run.stack.kubernetes;
    let Some(pair) = recording.judge(scenario, run) else {
        return Err(format!("Kubernetes {version} has not been recorded from the reference: {REMAKE}").into());
    };
    agrees(&pair, &format!("\n(when the scenario has changed: {REMAKE})"))
}

/// Fails with where a pair differs first, and a hint.
fn agrees(pair: &PairVerdict, hint: &str) -> Result<(), Failed> {
    let Judgement::Diverges(divergence) = &pair.judgement else { return Ok(()) };
    let text = |line: &Option<_>| match line {
        Some(line) => TraceLine::to_string(line),
        None => "(nothing more)".to_owned(),
    };
    let message = format!(
        "{} and {} diverge after {} equal writes:\n- {}\n+ {}{hint}",
        pair.left,
        pair.right,
        divergence.writes_before,
        text(&divergence.left),
        text(&divergence.right)
    );
    Err(message.into())
}

/// What real clusters are held to holds in every run.
fn keeps_order(scenario: &Scenario, run: &Run) -> Result<(), Failed> {
    let Some(Broken { rule, line }) = ordering::check(scenario, run) else { return Ok(()) };
    Err(format!("{}: `{line}` breaks the rule: {rule}", run.replay_line()).into())
}

fn play(name: &str, scenario: &Scenario, recording: Option<&Recording>, seed: u64) -> Result<(), Failed> {
    let mut traces = Vec::new();
    let recorded = scenario.recorded_stacks();
    for stack in scenario.stacks(VersionRange::ALL, VersionRange::ALL) {
        let run = session::play_model(scenario, stack, seed)?;
        if let Some(failure) = &run.failure {
            return Err(towtank_report::human::failure(scenario, &run, failure).into());
        }
        keeps_order(scenario, &run)?;
        if let Some(recording) = recording.filter(|_| seed == recording::SEED && recorded.contains(&stack)) {
            compare(recording, scenario, &run)?;
        }
        traces.push((stack, run.observations));
    }
    if seed == *SEEDS.start() && !name.starts_with(RANDOM) {
        let text = observation_trace::by_version(traces.iter().map(|(stack, trace)| (*stack, trace)));
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
