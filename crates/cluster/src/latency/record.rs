//! Plays scenarios on sites of their own, one after the other, and keeps what they took.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use towtank_lockstep::latency::Operation;
use towtank_lockstep::latency::large_job::{self, Completion};
use towtank_lockstep::latency::play::{self, MeasureError};
use towtank_lockstep::latency::recording::{Recording, Series};
use towtank_lockstep::runner::{Limits, Reality};
use towtank_scenario::ast::{FluxVersion, Scenario, Stack, VersionRange};

use super::Measured;
use crate::chaos::Chaos;
use crate::clock::{self, Clock};
use crate::site::{Site, SiteConfig, SiteError};
use crate::world;

/// A large Job is measured so often,
const COMPLETIONS_MAX: usize = 5;
/// and not again when it has taken so long in all.
const COMPLETIONS_FOR: Duration = Duration::from_mins(1);

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The cluster.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// A scenario, and where the logs of its cluster are.
    #[error("scenario `{scenario}`: {error}{}", logs.as_ref().map(|logs| format!("\nlogs: {}", logs.display())).unwrap_or_default())]
    Measure {
        /// The scenario's name.
        scenario: String,
        /// What is wrong.
        error: Box<MeasureError>,
        /// The directory of the logs, if they were kept.
        logs: Option<PathBuf>,
    },
    /// A scenario is not of this version.
    #[error("scenario `{0}` does not speak of this version")]
    Version(String),
    /// The controllers of a cluster with real nodes have Kubernetes' own rate.
    #[error(
        "scenario `{0}` sets the rate of the controllers, which is as it is where nodes are real: `--provider process` or `containers` plays it"
    )]
    Rate(String),
}

/// Plays every scenario of changes of size `rounds` times on a site that is started for it; `progress` hears of each that has ended, and where the logs of its cluster are:
/// they are kept when a pod outlasted its grace period.
///
/// # Errors
///
/// See [`RecordError`].
pub fn record(
    config: &SiteConfig,
    scenarios: &[Arc<Scenario>],
    rounds: u32,
    progress: &mut dyn FnMut(&Series, Option<&Path>),
) -> Result<Recording, RecordError> {
    let mut seed = 0;
    let mut measure = |config: SiteConfig, scenario: &Scenario, stack: Stack| {
        seed += 1;
        let of = format!("latency-{}-{}-{}", config.provider.name(), scenario.name, stack.kubernetes);
        let (kept, interrupt) = (config.dir.join("logs").join(of), config.interrupt.clone());
        let mut site = Site::start(config)?;
        let mut measured = Measured::begin(&mut site, scenario, stack)?;
        let operations = play::measure(scenario, &mut measured, rounds, seed);
        // It plays on the site.
        drop(measured);
        let tells = match &operations {
            Ok(operations) => operations.iter().any(Operation::outlasts_grace_period),
            Err(_) => interrupt.is_none_or(|interrupt| !interrupt.is_raised()),
        };
        let logs = tells.then_some(kept);
        if let Some(logs) = &logs {
            // Those of an earlier run of the same name are of no use any more.
            let _ = std::fs::remove_dir_all(logs);
            site.keep_logs(logs.clone());
        }
        match operations {
            Ok(operations) => Ok((operations, logs)),
            Err(error) => {
                Err(RecordError::Measure { scenario: scenario.name.clone(), error: error.into(), logs })
            }
        }
    };
    each(config, scenarios, &mut measure, progress)
}

/// Plays every scenario of a large Job (see [`large_job`]), each time on a site that is started for it; `progress` hears of each that has ended.
///
/// # Errors
///
/// See [`RecordError`].
pub fn record_large_jobs(
    config: &SiteConfig,
    scenarios: &[Arc<Scenario>],
    progress: &mut dyn FnMut(&Series<Completion>, Option<&Path>),
) -> Result<Recording<Completion>, RecordError> {
    let mut measure = |config: SiteConfig, scenario: &Scenario, stack: Stack| {
        let clock = Clock::start();
        let began = clock.now();
        let mut completions = Vec::new();
        while completions.len() < COMPLETIONS_MAX && clock.now().since(began) < COMPLETIONS_FOR {
            let mut site = Site::start(config.clone())?;
            let limits = Limits { reality: Some(Reality::default()), ..Limits::default() };
            let run = world::play(&mut site, scenario, stack, Chaos::default(), limits)?;
            let failed = |error| RecordError::Measure {
                scenario: scenario.name.clone(),
                error: Box::new(error),
                logs: None,
            };
            completions.push(large_job::completion(&run).map_err(failed)?);
        }
        Ok((completions, None))
    };
    each(config, scenarios, &mut measure, progress)
}

/// What is measured of one scenario, and where logs were kept.
type Measure<'a, T> =
    &'a mut dyn FnMut(SiteConfig, &Scenario, Stack) -> Result<(Vec<T>, Option<PathBuf>), RecordError>;

fn each<T>(
    config: &SiteConfig,
    scenarios: &[Arc<Scenario>],
    measure: Measure<'_, T>,
    progress: &mut dyn FnMut(&Series<T>, Option<&Path>),
) -> Result<Recording<T>, RecordError> {
    let mut series = Vec::new();
    for scenario in scenarios {
        let stacks =
            scenario.stacks(VersionRange::only(config.version), VersionRange::only(FluxVersion::V0_61));
        let stack = stacks.into_iter().next().ok_or_else(|| RecordError::Version(scenario.name.clone()))?;
        let rate = world::controller_rate(scenario);
        if config.provider.has_kubelets() && rate != world::KUBERNETES_RATE {
            return Err(RecordError::Rate(scenario.name.clone()));
        }
        let before = load();
        let config = SiteConfig { controller_qps: Some(rate), ..config.clone() };
        let (operations, logs) = measure(config, scenario, stack)?;
        let load = [before, load()].into_iter().flatten().collect();
        let one = Series { scenario: scenario.name.clone(), load, operations };
        progress(&one, logs.as_deref());
        series.push(one);
    }
    Ok(Recording {
        provider: config.provider.name().to_owned(),
        kubernetes: config.version.full(),
        date: clock::today(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        series,
    })
}

/// The machine's load over the last minute, where it tells.
fn load() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}
