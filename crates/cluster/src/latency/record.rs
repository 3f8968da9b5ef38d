//! Plays scenarios on sites of their own, one after the other, and keeps what they took.

use std::sync::Arc;
use std::time::Duration;

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
    /// A scenario.
    #[error("scenario `{0}`: {1}")]
    Measure(String, MeasureError),
    /// A scenario is not of this version.
    #[error("scenario `{0}` does not speak of this version")]
    Version(String),
    /// The controllers of a cluster with real nodes have Kubernetes' own rate.
    #[error(
        "scenario `{0}` sets the rate of the controllers, which is as it is where nodes are real: `--provider process` or `containers` plays it"
    )]
    Rate(String),
}

/// Plays every scenario of changes of size `rounds` times on a site that is started for it; `progress` hears of each that has ended.
///
/// # Errors
///
/// See [`RecordError`].
pub fn record(
    config: &SiteConfig,
    scenarios: &[Arc<Scenario>],
    rounds: u32,
    progress: &mut dyn FnMut(&Series),
) -> Result<Recording, RecordError> {
    let mut seed = 0;
    let mut measure = |config: SiteConfig, scenario: &Scenario, stack: Stack| {
        seed += 1;
        let mut site = Site::start(config)?;
        let mut measured = Measured::begin(&mut site, scenario, stack)?;
        play::measure(scenario, &mut measured, rounds, seed)
            .map_err(|error| RecordError::Measure(scenario.name.clone(), error))
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
    progress: &mut dyn FnMut(&Series<Completion>),
) -> Result<Recording<Completion>, RecordError> {
    let mut measure = |config: SiteConfig, scenario: &Scenario, stack: Stack| {
        let clock = Clock::start();
        let began = clock.now();
        let mut completions = Vec::new();
        while completions.len() < COMPLETIONS_MAX && clock.now().since(began) < COMPLETIONS_FOR {
            let mut site = Site::start(config.clone())?;
            let limits = Limits { reality: Some(Reality::default()), ..Limits::default() };
            let run = world::play(&mut site, scenario, stack, Chaos::default(), limits)?;
            let failed = |error| RecordError::Measure(scenario.name.clone(), error);
            completions.push(large_job::completion(&run).map_err(failed)?);
        }
        Ok::<_, RecordError>(completions)
    };
    each(config, scenarios, &mut measure, progress)
}

/// What is measured of one scenario.
type Measure<'a, T> = &'a mut dyn FnMut(SiteConfig, &Scenario, Stack) -> Result<Vec<T>, RecordError>;

fn each<T>(
    config: &SiteConfig,
    scenarios: &[Arc<Scenario>],
    measure: Measure<'_, T>,
    progress: &mut dyn FnMut(&Series<T>),
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
        let operations = measure(config, scenario, stack)?;
        let load = [before, load()].into_iter().flatten().collect();
        let one = Series { scenario: scenario.name.clone(), load, operations };
        progress(&one);
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
