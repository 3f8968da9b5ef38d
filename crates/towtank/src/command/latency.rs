//! `towtank calibrate` and `towtank bench`: what a real cluster took, and what the model makes of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use towtank_cluster::latency::record::{RecordError, record, record_large_jobs};
use towtank_cluster::site::SiteConfig;
use towtank_control_plane::Interrupt;
use towtank_lockstep::latency::large_job::{self, Completion};
use towtank_lockstep::latency::recording::{Recording, Series};
use towtank_lockstep::latency::{Operation, compare, page};
use towtank_model::version::KubernetesVersion;
use towtank_scenario::ast::Scenario;

use super::{absolute, cluster};
use crate::args::{LargeJobArguments, LatencyArguments, RecordingArguments};
use crate::failure::{AGREE, DISAGREE, Failure};
use crate::files;

/// `towtank calibrate`.
pub(crate) fn calibrate(arguments: &LatencyArguments) -> Result<ExitCode, Failure> {
    let (recording, scenarios) = changes(arguments, "calibration")?;
    let profile =
        compare::calibrate(&recording, &scenarios).map_err(|error| Failure::Usage(error.to_string()))?;
    let file = profile_of(&arguments.recording);
    write(&file, &profile.to_string())?;
    super::print(&format!("{profile}{} holds it\n", file.display()))?;
    Ok(ExitCode::from(AGREE))
}

/// `towtank bench latency`.
pub(crate) fn bench(arguments: &LatencyArguments) -> Result<ExitCode, Failure> {
    let (recording, scenarios) = changes(arguments, "judged")?;
    let profile = profile_of(&arguments.recording);
    let rows = compare::judge(&recording, &scenarios, &profile.to_string_lossy())
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let at_best = compare::near_at_best(&recording).map_err(|error| Failure::Usage(error.to_string()))?;
    super::print(&format!("{}{}\n", page::tables(&rows), page::summary(&rows, at_best)))?;
    let is_near = rows.iter().all(compare::Row::is_near);
    Ok(ExitCode::from(if is_near { AGREE } else { DISAGREE }))
}

/// `towtank bench large-job`.
pub(crate) fn large_job(arguments: &LargeJobArguments) -> Result<ExitCode, Failure> {
    let scenarios = large_jobs(&arguments.completions)?;
    let mut recording: Recording<Completion> =
        recording(&arguments.recording, "large-job", |config, tell| {
            record_large_jobs(config, &scenarios, &mut |series, logs| tell(told(series, logs)))
        })?;
    recording.series.retain(|series| scenarios.iter().any(|scenario| scenario.name == series.scenario));
    // As long as nothing is fitted, the control plane takes no time beside that for which requests have to wait.
    let profile = profile_of(&arguments.recording);
    let profile = profile.is_file().then(|| profile.to_string_lossy());
    let rows = large_job::judge(&recording, &scenarios, profile.as_deref())
        .map_err(|error| Failure::Usage(error.to_string()))?;
    super::print(&page::large_jobs(&rows))?;
    let is_near = rows.iter().all(large_job::Row::is_near);
    Ok(ExitCode::from(if is_near { AGREE } else { DISAGREE }))
}

/// The scenarios of Jobs of these sizes.
fn large_jobs(completions: &[u32]) -> Result<Vec<Arc<Scenario>>, Failure> {
    let mut scenarios = files::load(&[PathBuf::from("benches/large-job")])?;
    let size = |scenario: &Scenario| large_job::subject(scenario).map(|(indexes, _)| indexes);
    let sizes: BTreeSet<u32> = scenarios.iter().filter_map(|scenario| size(scenario)).collect();
    if let Some(unknown) = completions.iter().find(|wanted| !sizes.contains(wanted)) {
        let sizes: Vec<String> = sizes.iter().map(u32::to_string).collect();
        let message = format!("no Job of benches/large-job has {unknown} indexes, but {}", sizes.join(", "));
        return Err(Failure::Usage(message));
    }
    scenarios.retain(|scenario| size(scenario).is_some_and(|indexes| completions.contains(&indexes)));
    Ok(scenarios)
}

/// What was measured of changes of size, and the scenarios.
fn changes(
    arguments: &LatencyArguments,
    what: &str,
) -> Result<(Recording<Operation>, Vec<Arc<Scenario>>), Failure> {
    let default = [Path::new("benches/latency").join(what)];
    let scenarios = files::load(if arguments.paths.is_empty() { &default } else { &arguments.paths })?;
    let recording = recording(&arguments.recording, what, |config, tell| {
        record(config, &scenarios, arguments.rounds, &mut |series, logs| tell(told(series, logs)))
    })?;
    Ok((recording, scenarios))
}

/// What is told of scenarios while others are still measured.
fn told<T>(Series { scenario, load, operations }: &Series<T>, logs: Option<&Path>) -> String {
    let late = |logs: &Path| format!("; a pod outlasted its grace period, logs: {}", logs.display());
    let logs = logs.map(late).unwrap_or_default();
    format!("{scenario}: measured {} times, load {load:?}{logs}\n", operations.len())
}

/// What was measured; measures it if that is wanted.
fn recording<T: Serialize + DeserializeOwned>(
    arguments: &RecordingArguments,
    what: &str,
    measure: impl FnOnce(&SiteConfig, &mut dyn FnMut(String)) -> Result<Recording<T>, RecordError>,
) -> Result<Recording<T>, Failure> {
    let file = dir(arguments).join(format!("{what}.json"));
    if !arguments.measure {
        let text = std::fs::read_to_string(&file).map_err(|error| {
            Failure::Usage(format!("`{}`: {error}; `--measure` makes it", file.display()))
        })?;
        return Recording::parse(&text)
            .map_err(|error| Failure::Usage(format!("`{}` is no recording: {error}", file.display())));
    }
    let mut told = Ok(());
    let mut tell = |line: String| {
        if told.is_ok() {
            told = super::print(&line);
        }
    };
    let recording =
        measure(&site(arguments)?, &mut tell).map_err(|error| Failure::NoCluster(error.to_string()))?;
    told?;
    write(&file, &recording.to_string())?;
    Ok(recording)
}

/// Where the files of a provider and version are.
fn dir(arguments: &RecordingArguments) -> PathBuf {
    arguments.snapshots.join(format!("{}-{}", arguments.cluster.provider, version(arguments)))
}

fn version(arguments: &RecordingArguments) -> KubernetesVersion {
    arguments.kubernetes.unwrap_or_else(|| cluster::newest(arguments.cluster.provider))
}

/// The fitted profile.
fn profile_of(arguments: &RecordingArguments) -> PathBuf {
    dir(arguments).join("timing.json")
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let made = file.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = made.and_then(|()| std::fs::write(file, text));
    written.map_err(|error| Failure::Output { what: format!("`{}`", file.display()), error })
}

/// The clusters that are measured.
fn site(arguments: &RecordingArguments) -> Result<SiteConfig, Failure> {
    let interrupt =
        Interrupt::install().map_err(|error| Failure::Usage(format!("cannot hear signals: {error}")))?;
    Ok(SiteConfig {
        provider: cluster::provider(&arguments.cluster)?,
        version: version(arguments),
        dir: absolute(&arguments.cluster.dir)?,
        feature_gates: Vec::new(),
        pods_by_hand: false,
        controller_qps: None,
        interrupt: Some(interrupt),
    })
}
