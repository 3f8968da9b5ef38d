//! Plays scenarios of changes of size on a site of their own, one after the other, and keeps what they took.

use std::sync::Arc;

use towtank_lockstep::latency::play::{self, MeasureError};
use towtank_lockstep::latency::recording::{Recording, Series};
use towtank_scenario::ast::{FluxVersion, Scenario, Stack, VersionRange};

use super::Measured;
use crate::clock;
use crate::site::{Site, SiteConfig, SiteError};

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
    #[error("scenario `{0}` does not speak of this version, or has no MiniCluster")]
    Version(String),
}

/// Plays every scenario `rounds` times on a site of this provider that is started for it; `progress` hears of each that has ended.
///
/// # Errors
///
/// See [`RecordError`].
pub fn record(
    config: &SiteConfig,
    provider: &str,
    scenarios: &[Arc<Scenario>],
    rounds: u32,
    progress: &mut dyn FnMut(&Series),
) -> Result<Recording, RecordError> {
    let mut series = Vec::new();
    for (scenario, seed) in scenarios.iter().zip(1..) {
        let of_version = |stack: &Stack| stack.kubernetes == config.version;
        let stacks = scenario.stacks(VersionRange::ALL, VersionRange::only(FluxVersion::V0_61));
        let stack = stacks.into_iter().find(of_version).filter(|stack| stack.flux.is_some());
        let stack = stack.ok_or_else(|| RecordError::Version(scenario.name.clone()))?;
        let before = load();
        let mut site = Site::start(SiteConfig { controller_qps: limits(scenario), ..config.clone() })?;
        let mut measured = Measured::begin(&mut site, scenario, stack)?;
        let operations = play::measure(scenario, &mut measured, rounds, seed)
            .map_err(|error| RecordError::Measure(scenario.name.clone(), error))?;
        let load = [before, load()].into_iter().flatten().collect();
        let one = Series { scenario: scenario.name.clone(), load, operations };
        progress(&one);
        series.push(one);
    }
    Ok(Recording {
        provider: provider.to_owned(),
        kubernetes: config.version.full(),
        date: clock::today(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        series,
    })
}

/// How many requests a scenario lets the controllers make.
fn limits(scenario: &Scenario) -> Option<(f32, u32)> {
    let qps = u16::try_from(scenario.cluster.controller_qps?).ok()?;
    Some((qps.into(), scenario.cluster.controller_burst))
}

/// The machine's load over the last minute, where it tells.
fn load() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}
