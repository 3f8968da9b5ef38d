//! How long an Indexed Job of many pods takes that all succeed at once, from its creation to its condition Complete: what limits it is how many requests the Job
//! controller may make.
//!
//! A scenario of this kind creates such a Job and waits until it is Complete; it names the controllers' rate. How long that takes is what its run says
//! ([`completion`]), on a real cluster as in the model.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use towtank_scenario::ast::{Action, Manifest, Scenario};

use super::compare::{self, CompareError};
use super::fit::quantile;
use super::play::MeasureError;
use super::recording::{Recording, Series};
use crate::run::{Run, StepResult};
use crate::session;

/// Runs of the model, each with a seed of its own.
const SEEDS: u64 = 5;
/// How far the model may be off, as a part of what was measured.
pub const MARGIN: f64 = 0.10;

/// What others have measured: indexes, requests per second (and at once), seconds. Kubernetes' own `BenchmarkLargeIndexedJob`, with an API server in the same process, no nodes, and
/// pods that a client sets to Succeeded (kubernetes/kubernetes#113478, 1.26, 56 threads). For 50 requests per second nobody has published any.
const PUBLISHED: [(u32, u32, f64); 2] = [(1_000, 100, 19.3), (10_000, 100, 225.0)];

/// A Job that has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// Seconds from its creation to its condition Complete, to a millisecond.
    pub complete_s: f64,
}

/// One Job: what was measured, and what the model and others say.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its completions, which is its parallelism too.
    pub indexes: u32,
    /// Requests per second of the Job controller.
    pub qps: u32,
    /// How often it was measured.
    pub count: usize,
    /// Seconds; the median.
    pub measured_s: f64,
    /// Seconds; the median.
    pub model_s: f64,
    /// Seconds, where others have measured the same.
    pub published_s: Option<f64>,
}

impl Row {
    /// How far the model is off, as a part of what was measured.
    pub fn error(&self) -> f64 {
        (self.model_s - self.measured_s) / self.measured_s
    }

    /// Whether the model is as near as it has to be.
    pub fn is_near(&self) -> bool {
        self.error().abs() <= MARGIN
    }
}

/// Indexes of a scenario's Job, and requests per second of its controller; `None`: it is about something else.
pub fn subject(scenario: &Scenario) -> Option<(u32, u32)> {
    let [step] = scenario.steps.as_slice() else { return None };
    let Action::Apply(manifests) = &step.action.value else { return None };
    let [Manifest::Job(_, job)] = manifests.as_slice() else { return None };
    let indexes = u32::try_from(job.completions?).ok()?;
    Some((indexes, scenario.cluster.controller_qps?))
}

/// What the run of such a scenario says.
///
/// # Errors
///
/// The Job has not come to its end, or is none.
pub fn completion(run: &Run) -> Result<Completion, MeasureError> {
    if let Some(failure) = &run.failure {
        return Err(MeasureError::NotMet { step: failure.step.clone(), cause: failure.cause.to_string() });
    }
    let latency = run.steps.first().and_then(StepResult::latency);
    let latency = latency.ok_or_else(|| MeasureError::NothingAwaited(run.scenario.clone()))?;
    Ok(Completion { complete_s: (latency.as_secs_f64() * 1_000.0).round() / 1_000.0 })
}

/// What was measured beside what the model says with a timing profile (see [`super::profile::find`]), or with those that the scenarios name.
///
/// # Errors
///
/// See [`CompareError`].
pub fn judge(
    recording: &Recording<Completion>,
    scenarios: &[Arc<Scenario>],
    profile: Option<&str>,
) -> Result<Vec<Row>, CompareError> {
    recording.series.iter().map(|series| row(recording, series, scenarios, profile)).collect()
}

fn row(
    recording: &Recording<Completion>,
    series: &Series<Completion>,
    scenarios: &[Arc<Scenario>],
    profile: Option<&str>,
) -> Result<Row, CompareError> {
    let name = &series.scenario;
    let (scenario, stack) = compare::played(recording, name, scenarios, profile)?;
    let (indexes, qps) = subject(&scenario).ok_or_else(|| CompareError::Scenario(name.clone()))?;
    let failed = |error| CompareError::Model(name.clone(), error);
    let model: Result<Vec<Completion>, MeasureError> =
        (1..=SEEDS).map(|seed| completion(&session::play_model(&scenario, stack, seed)?)).collect();
    let median = |completions: &[Completion]| {
        let seconds: Vec<f64> = completions.iter().map(|it| it.complete_s).collect();
        quantile(&seconds, 0.5).ok_or_else(|| failed(MeasureError::NothingAwaited(name.clone())))
    };
    let published = PUBLISHED.iter().find(|(size, rate, _)| (*size, *rate) == (indexes, qps));
    Ok(Row {
        indexes,
        qps,
        count: series.operations.len(),
        measured_s: median(&series.operations)?,
        model_s: median(&model.map_err(failed)?)?,
        published_s: published.map(|(.., seconds)| *seconds),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use towtank_model::version::KubernetesVersion;

    use super::*;

    fn scenario(file: &str) -> Arc<Scenario> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/large-job");
        Arc::new(towtank_scenario::load(&directory.join(file)).expect("a scenario"))
    }

    /// A recording of one Job that took this long, each time.
    fn recording(scenario: &Scenario, seconds: &[f64]) -> Recording<Completion> {
        let operations = seconds.iter().map(|seconds| Completion { complete_s: *seconds }).collect();
        Recording {
            provider: "process".to_owned(),
            kubernetes: "1.37.0".to_owned(),
            date: "2026-01-31".to_owned(),
            cores: 2,
            series: vec![Series { scenario: scenario.name.clone(), load: Vec::new(), operations }],
        }
    }

    fn row(file: &str, seconds: &[f64]) -> Row {
        let scenario = scenario(file);
        let mut rows = judge(&recording(&scenario, seconds), &[scenario], None).expect("the model plays it");
        rows.pop().expect("a row")
    }

    #[test]
    fn requests_are_what_takes_time() {
        // Two for each pod and a few for the Job and its Events, less those that may be made at once.
        let at_50 = row("qps-050-indexes-01000.yaml", &[38.0, 40.0, 41.0]);
        assert_eq!((at_50.indexes, at_50.qps, at_50.count, at_50.measured_s), (1_000, 50, 3, 40.0));
        assert!((38.0..42.0).contains(&at_50.model_s), "{at_50:?}");
        assert!(at_50.is_near() && at_50.published_s.is_none());
        let at_100 = row("qps-100-indexes-01000.yaml", &[25.0]);
        assert!((at_100.model_s * 2.0 / at_50.model_s - 1.0).abs() < 0.1, "{at_100:?}");
        assert_eq!(at_100.published_s, Some(19.3));
        assert!(!at_100.is_near());
    }

    #[test]
    fn a_job_that_does_not_complete_has_no_time() {
        let mut scenario = Scenario::clone(&scenario("qps-050-indexes-00010.yaml"));
        scenario.cluster.nodes = 0;
        let run = session::play_model(&scenario, KubernetesVersion::NEWEST, 1).expect("the model plays it");
        assert!(matches!(completion(&run), Err(MeasureError::NotMet { .. })));
    }

    #[test]
    fn a_recording_of_another_scenario_is_refused() {
        let ten = scenario("qps-050-indexes-00010.yaml");
        let mut other = recording(&ten, &[1.0]);
        other.series[0].scenario = "lunch".to_owned();
        let error = judge(&other, &[ten], None).unwrap_err();
        assert!(matches!(error, CompareError::Scenario(name) if name == "lunch"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let recording = recording(&scenario("qps-050-indexes-00010.yaml"), &[1.125, 1.25]);
        assert_eq!(Recording::parse(&recording.to_string()).expect("a recording"), recording);
    }
}
