//! `towtank calibrate` and `towtank bench`: what a real cluster took, and what the model makes of it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use towtank_cluster::latency::record::{self, record};
use towtank_cluster::site::SiteConfig;
use towtank_control_plane::Interrupt;
use towtank_lockstep::latency::recording::{Recording, Series};
use towtank_lockstep::latency::{compare, fit, page};
use towtank_model::version::KubernetesVersion;
use towtank_scenario::ast::Scenario;

use super::{absolute, cluster};
use crate::args::{ClusterArguments, LatencyArguments};
use crate::failure::{AGREE, DISAGREE, Failure};
use crate::files;

/// `towtank calibrate`.
pub(crate) fn calibrate(arguments: &LatencyArguments) -> Result<ExitCode, Failure> {
    let recording = recording(arguments, "calibration")?;
    let profile = fit::fit(&recording).map_err(|error| Failure::Usage(error.to_string()))?;
    let file = profile_of(arguments);
    write(&file, &profile.to_string())?;
    super::print(&format!("{profile}{} holds it\n", file.display()))?;
    Ok(ExitCode::from(AGREE))
}

/// `towtank bench latency`.
pub(crate) fn bench(arguments: &LatencyArguments) -> Result<ExitCode, Failure> {
    let recording = recording(arguments, "judged")?;
    let scenarios = scenarios(arguments, "judged")?;
    let profile = profile_of(arguments);
    let rows = compare::judge(&recording, &scenarios, &profile.to_string_lossy())
        .map_err(|error| Failure::Usage(error.to_string()))?;
    super::print(&page::tables(&rows))?;
    let is_near = rows.iter().all(compare::Row::is_near);
    Ok(ExitCode::from(if is_near { AGREE } else { DISAGREE }))
}

fn scenarios(arguments: &LatencyArguments, what: &str) -> Result<Vec<Arc<Scenario>>, Failure> {
    let default = [Path::new("benches/latency").join(what)];
    files::load(if arguments.paths.is_empty() { &default } else { &arguments.paths })
}

/// What was measured of these scenarios; measures it if that is wanted.
fn recording(arguments: &LatencyArguments, what: &str) -> Result<Recording, Failure> {
    let file = dir(arguments).join(format!("{what}.json"));
    if !arguments.measure {
        let text = std::fs::read_to_string(&file).map_err(|error| {
            Failure::Usage(format!("`{}`: {error}; `--measure` makes it", file.display()))
        })?;
        return Recording::parse(&text)
            .map_err(|error| Failure::Usage(format!("`{}` is no recording: {error}", file.display())));
    }
    let config = site(&arguments.cluster, version(arguments))?;
    let mut told = Ok(());
    let mut tell = |Series { scenario, load, operations }: &Series| {
        let line = format!("{scenario}: {} changes measured, load {load:?}\n", operations.len());
        if told.is_ok() {
            told = super::print(&line);
        }
    };
    let recording = record(
        &config,
        &arguments.cluster.provider.to_string(),
        &scenarios(arguments, what)?,
        arguments.rounds,
        &mut tell,
    )
    .map_err(no_cluster)?;
    told?;
    write(&file, &recording.to_string())?;
    Ok(recording)
}

fn no_cluster(error: record::RecordError) -> Failure {
    Failure::NoCluster(error.to_string())
}

/// Where the files of a provider and version are.
fn dir(arguments: &LatencyArguments) -> PathBuf {
    arguments.snapshots.join(format!("{}-{}", arguments.cluster.provider, version(arguments)))
}

fn version(arguments: &LatencyArguments) -> KubernetesVersion {
    arguments.kubernetes.unwrap_or_else(|| cluster::newest(arguments.cluster.provider))
}

/// The fitted profile.
fn profile_of(arguments: &LatencyArguments) -> PathBuf {
    dir(arguments).join("timing.json")
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let made = file.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = made.and_then(|()| std::fs::write(file, text));
    written.map_err(|error| Failure::Output { what: format!("`{}`", file.display()), error })
}

/// A cluster to measure.
fn site(cluster: &ClusterArguments, version: KubernetesVersion) -> Result<SiteConfig, Failure> {
    let interrupt =
        Interrupt::install().map_err(|error| Failure::Usage(format!("cannot hear signals: {error}")))?;
    Ok(SiteConfig {
        provider: cluster::provider(cluster)?,
        version,
        dir: absolute(&cluster.dir)?,
        feature_gates: Vec::new(),
        pods_by_hand: false,
        controller_qps: None,
        interrupt: Some(interrupt),
    })
}
