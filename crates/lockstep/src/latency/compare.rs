//! The model beside what was measured: quantiles of each phase, and how far the model is off.

use std::collections::BTreeMap;
use std::sync::Arc;

use towtank_model::engine::{Purpose, RandomStreams};
use towtank_model::version::KubernetesVersion;
use towtank_scenario::ast::{Scenario, Stack, VersionRange};

use super::Operation;
use super::fit::{self, Unseen, quantile};
use super::play::{self, MeasureError, Virtual};
use super::profile::ProfileFile;
use super::recording::{Recording, Series};

/// So often a measurement is drawn from itself.
const RESAMPLES: u32 = 200;
/// Runs of the model, each with a seed of its own and as many rounds as were measured.
const SEEDS: u64 = 10;
/// How far the model may be off at p50 and at p90, as a part of what was measured.
pub const MARGINS: [f64; 2] = [0.10, 0.25];
/// Milliseconds that nobody can tell apart: what a watch needs to tell of something is uncertain by that.
pub const RESOLUTION_MS: f64 = 1.0;

/// p50, p90 and p99, in milliseconds.
pub type Quantiles = [f64; 3];

/// One phase of one change of size.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The change, as `3→4`.
    pub operation: String,
    /// The phase.
    pub phase: &'static str,
    /// How often it was measured.
    pub count: usize,
    /// What was measured.
    pub measured: Quantiles,
    /// What the model says.
    pub model: Quantiles,
}

impl Row {
    /// How far the model is off, as a part of what was measured, which is no less than can be told; zero where the difference cannot be told.
    pub fn error(&self, quantile: usize) -> f64 {
        let (Some(measured), Some(model)) = (self.measured.get(quantile), self.model.get(quantile)) else {
            return 0.0;
        };
        let off = model - measured;
        if off.abs() <= RESOLUTION_MS { 0.0 } else { off / measured.max(RESOLUTION_MS) }
    }

    /// Whether p50 and p90 are as near as they have to be.
    pub fn is_near(&self) -> bool {
        MARGINS.iter().enumerate().all(|(quantile, margin)| self.error(quantile).abs() <= *margin)
    }
}

/// Why nothing can be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// There is a series of a scenario that is not there, or not of the version.
    #[error("the recording is of a scenario `{0}`, which is not there, or not of this version")]
    Scenario(String),
    /// The version is none.
    #[error("the recording is of Kubernetes {0}, which nobody knows")]
    Version(String),
    /// The model cannot play a scenario.
    #[error("scenario `{0}` on the model: {1}")]
    Model(String, MeasureError),
    /// A scenario was not measured.
    #[error("the recording has no series of the scenario `{0}`: measure it again")]
    NotMeasured(String),
    /// The recording does not show what a profile consists of.
    #[error(transparent)]
    Unseen(#[from] Unseen),
    /// What is fitted is no profile.
    #[error("the fitted profile: {0}")]
    Profile(String),
    /// There is nothing in the recording.
    #[error("the recording has no change of size")]
    Nothing,
    /// The model never comes to a change of size.
    #[error("the change {0} was measured, and the model never makes it")]
    NoChange(String),
}

/// Fits a profile to what was measured: what can be read off first, with as many cores as tell best how long nodes take, and then what the model lacks with that.
///
/// # Errors
///
/// See [`CompareError`].
pub fn calibrate(recording: &Recording, scenarios: &[Arc<Scenario>]) -> Result<ProfileFile, CompareError> {
    let tried = fit::cores_milli(recording).map(|cores_milli| {
        let profile = fit::fit(recording, cores_milli)?;
        let name = profile.publish().map_err(CompareError::Profile)?;
        let rows = judge(recording, scenarios, &name)?;
        Ok((fit::strain(&rows), profile, rows))
    });
    let tried = tried.collect::<Result<Vec<_>, CompareError>>()?;
    let best = tried.into_iter().min_by(|(one, ..), (other, ..)| one.total_cmp(other));
    let (_, mut profile, rows) = best.ok_or(CompareError::Nothing)?;
    fit::refine(&mut profile, recording, &rows);
    Ok(profile)
}

/// What was measured beside what the model says with a timing profile (see [`super::profile::find`]).
///
/// # Errors
///
/// See [`CompareError`].
pub fn judge(
    recording: &Recording,
    scenarios: &[Arc<Scenario>],
    profile: &str,
) -> Result<Vec<Row>, CompareError> {
    let is_measured = |name: &str| recording.series.iter().any(|series| series.scenario == name);
    if let Some(scenario) = scenarios.iter().find(|scenario| !is_measured(&scenario.name)) {
        return Err(CompareError::NotMeasured(scenario.name.clone()));
    }
    let mut all = Vec::new();
    for Series { scenario: name, operations, .. } in &recording.series {
        let (scenario, stack) = played(recording, name, scenarios, Some(profile))?;
        let changes = scenario.steps.len().saturating_sub(1).max(1);
        let rounds = u32::try_from(operations.len() / changes).unwrap_or(u32::MAX);
        let model =
            model(&scenario, stack, rounds).map_err(|error| CompareError::Model(name.clone(), error))?;
        all.extend(rows(operations, &model)?);
    }
    if all.is_empty() { Err(CompareError::Nothing) } else { Ok(all) }
}

/// The scenario of this name, with this timing profile if not with its own, and what it was recorded as.
pub(super) fn played<T>(
    recording: &Recording<T>,
    name: &str,
    scenarios: &[Arc<Scenario>],
    profile: Option<&str>,
) -> Result<(Scenario, Stack), CompareError> {
    let version = KubernetesVersion::of_release(&recording.kubernetes)
        .map_err(|_| CompareError::Version(recording.kubernetes.clone()))?;
    let found = scenarios.iter().find(|scenario| scenario.name == name);
    let stacks = found.map(|it| it.stacks(VersionRange::only(version), VersionRange::ALL));
    let (Some(scenario), Some([stack, ..])) = (found, stacks.as_deref()) else {
        return Err(CompareError::Scenario(name.to_owned()));
    };
    let mut scenario = Scenario::clone(scenario);
    if let Some(profile) = profile {
        profile.clone_into(&mut scenario.cluster.timing);
    }
    Ok((scenario, *stack))
}

/// What the model says of a scenario.
fn model(scenario: &Scenario, stack: Stack, rounds: u32) -> Result<Vec<Operation>, MeasureError> {
    let mut operations = Vec::new();
    for seed in 1..=SEEDS {
        let mut world = Virtual::new(scenario, stack, seed)?;
        operations.extend(play::measure(scenario, &mut world, rounds, seed)?);
    }
    Ok(operations)
}

/// Phase by phase, change by change, in the order in which they were measured.
///
/// # Errors
///
/// The model never makes such a change.
pub fn rows(measured: &[Operation], model: &[Operation]) -> Result<Vec<Row>, CompareError> {
    let mut names: Vec<String> = Vec::new();
    for name in measured.iter().map(Operation::name) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let rows: Result<Vec<_>, _> = names.iter().map(|name| rows_of(name, measured, model)).collect();
    Ok(rows?.concat())
}

/// How many rows would be near, in the mean, with a model that says exactly what was measured, if as many rounds were measured again: each time they are drawn, with
/// replacement, from those that were (bootstrap). Of few rounds it tells nothing. Whether a row beyond these is near is chance; up to these, it is the model's doing, or that
/// the machine was another when the profile was measured.
///
/// # Errors
///
/// See [`rows`].
pub fn near_at_best(recording: &Recording) -> Result<f64, CompareError> {
    let by_change = recording.series.iter().map(|Series { operations, .. }| {
        let mut changes: BTreeMap<String, Vec<&Operation>> = BTreeMap::new();
        operations.iter().for_each(|it| changes.entry(it.name()).or_default().push(it));
        (operations, changes)
    });
    let by_change: Vec<_> = by_change.collect();
    let mut random = RandomStreams::new(1);
    let mut near = 0;
    for _ in 0..RESAMPLES {
        for (operations, changes) in &by_change {
            let drawn = changes.values().flat_map(|alike| std::iter::repeat_n(alike, alike.len()));
            let drawn: Vec<Operation> = drawn
                .filter_map(|alike| {
                    let place = random.below(Purpose::Workload, alike.len() as u64);
                    alike.get(usize::try_from(place).ok()?).copied().cloned()
                })
                .collect();
            near += rows(&drawn, operations)?.iter().filter(|row| row.is_near()).count();
        }
    }
    let near = u32::try_from(near).unwrap_or(u32::MAX);
    Ok(f64::from(near) / f64::from(RESAMPLES))
}

/// Which phases there are depends on the change alone.
fn rows_of(name: &str, measured: &[Operation], model: &[Operation]) -> Result<Vec<Row>, CompareError> {
    let phases = |operations: &[Operation]| -> Vec<Vec<(&'static str, f64)>> {
        operations.iter().filter(|it| it.name() == name).map(Operation::phases).collect()
    };
    let (measured, model) = (phases(measured), phases(model));
    let row = |(place, (phase, _)): (usize, &(&'static str, f64))| {
        let quantiles = |operations: &[Vec<(&'static str, f64)>]| -> Option<Quantiles> {
            let samples: Vec<f64> =
                operations.iter().filter_map(|phases| phases.get(place).map(|(_, ms)| *ms)).collect();
            Some([quantile(&samples, 0.5)?, quantile(&samples, 0.9)?, quantile(&samples, 0.99)?])
        };
        let (count, operation) = (measured.len(), name.to_owned());
        let (Some(measured), Some(model)) = (quantiles(&measured), quantiles(&model)) else {
            return Err(CompareError::NoChange(operation));
        };
        Ok(Row { operation, phase, count, measured, model })
    };
    measured.first().into_iter().flatten().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(to: i64, patched: f64) -> Operation {
        let pods = vec![vec![patched + 10.0, patched + 20.0, patched + 30.0, patched + 50.0]];
        Operation { from: 3, to, patched, pods, online: patched + 45.0, settled: 1_000.0 }
    }

    #[test]
    fn phases_are_compared_change_by_change() {
        let measured = [operation(4, 10.0), operation(6, 5.0), operation(4, 12.0)];
        let rows = rows(&measured, &[operation(4, 12.0), operation(6, 5.5)]).expect("rows");
        let [patched, ..] = rows.as_slice() else { panic!("no rows") };
        assert_eq!((&*patched.operation, patched.phase, patched.count), ("3→4", "Job patched", 2));
        assert_eq!((patched.measured[0], patched.model[0]), (11.0, 12.0));
        assert_eq!(rows.iter().filter(|row| row.operation == "3→6").count(), 8);
    }

    #[test]
    fn nothing_is_left_out() {
        let grows = operation(4, 10.0);
        let error =
            rows(&[grows.clone(), operation(6, 5.0)], std::slice::from_ref(&grows)).expect_err("no 3→6");
        assert_eq!(error.to_string(), "the change 3→6 was measured, and the model never makes it");
        let recording = |series| recording("process", "1.37.0", series);
        let error = judge(&recording(Vec::new()), &[], "kind").expect_err("nothing was measured");
        assert!(matches!(error, CompareError::Nothing), "{error}");
        let text = "apiVersion: towtank.dev/v1alpha1\nkind: Scenario\nmetadata: {name: sizes}\nspec:\n  about: Sizes.\n  steps:\n    \
                    - name: look\n      expect: [{that: pods.size() == 0}]\n";
        let scenario =
            towtank_scenario::parse("sizes.yaml", text, &towtank_scenario::NoFiles).expect("a scenario");
        let error =
            judge(&recording(Vec::new()), &[scenario.into()], "kind").expect_err("it was not measured");
        assert_eq!(
            error.to_string(),
            "the recording has no series of the scenario `sizes`: measure it again"
        );
    }

    #[test]
    fn the_margins_are_those_of_p50_and_p90() {
        let row = |model| Row {
            operation: "3→4".to_owned(),
            phase: "pods created",
            count: 20,
            measured: [100.0, 200.0, 300.0],
            model,
        };
        assert!(row([110.0, 250.0, 900.0]).is_near());
        assert!(!row([111.0, 200.0, 300.0]).is_near());
        assert!(!row([100.0, 149.0, 300.0]).is_near());
        assert_eq!(row([101.0, 200.0, 300.0]).error(0), 0.0, "nobody can tell");
        let nothing = Row { measured: [0.0; 3], ..row([8.0, 0.5, 0.0]) };
        assert_eq!((nothing.error(0), nothing.error(1)), (8.0, 0.0), "eight times what can be told");
    }

    #[test]
    fn what_varies_is_near_by_chance_only() {
        let near = |second: f64| {
            let operations = vec![operation(4, 10.0), operation(4, second)];
            let series = vec![Series { scenario: "s".to_owned(), load: Vec::new(), operations }];
            near_at_best(&recording("kind", "1.36.3", series)).expect("a figure")
        };
        assert_eq!(near(10.0), 8.0, "all rows, every time");
        // "Job patched" alone varies, and is near when both rounds are drawn: half of the time.
        let some = near(30.0);
        assert!((7.3..7.7).contains(&some), "{some}");
    }

    fn recording(provider: &str, kubernetes: &str, series: Vec<Series>) -> Recording {
        let (provider, kubernetes) = (provider.to_owned(), kubernetes.to_owned());
        Recording { provider, kubernetes, date: String::new(), cores: 2, series }
    }

    /// Scenarios that profiles are fitted to.
    fn calibration(names: &[&str]) -> Vec<Arc<Scenario>> {
        let directory =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/latency/calibration");
        let scenario = |name: &&str| {
            let text = std::fs::read_to_string(directory.join(format!("{name}.yaml"))).expect("a scenario");
            let scenario = towtank_scenario::parse(name, &text, &towtank_scenario::NoFiles);
            Arc::new(scenario.expect("a scenario"))
        };
        names.iter().map(scenario).collect()
    }

    /// What the model itself says with a profile, as though it had been measured.
    fn told_by_the_model(
        profile: &ProfileFile,
        nothing: Recording,
        scenarios: &[Arc<Scenario>],
        rounds: u32,
    ) -> Recording {
        let name = profile.publish().expect("a profile");
        let series = scenarios.iter().map(|scenario| {
            let played = played(&nothing, &scenario.name, scenarios, Some(&name));
            let (played, stack) = played.expect("a scenario of this version");
            let operations = model(&played, stack, rounds).expect("changes of size");
            Series { scenario: scenario.name.clone(), load: Vec::new(), operations }
        });
        Recording { series: series.collect(), ..nothing }
    }

    /// What the model itself says with another machine than the one that was measured is told apart.
    #[test]
    fn the_cores_of_a_machine_are_found_again() {
        let timing = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../snapshots/cluster/kind-1.36/timing.json");
        let timing = std::fs::read_to_string(timing).expect("a profile");
        let mut machine: ProfileFile = serde_json::from_str(&timing).expect("a profile of kind");
        let scenarios = calibration(&["resize-2-32", "resize-3-8", "resize-5-7"]);
        for cores_milli in [1_250, 2_000] {
            machine.cores_milli = cores_milli;
            let nothing = recording("kind", "1.36.3", Vec::new());
            let recording = told_by_the_model(&machine, nothing, &scenarios, 2);
            let profile = calibrate(&recording, &scenarios).expect("a profile");
            assert_eq!(profile.cores_milli, cores_milli);
        }
    }

    /// What nodes that are one thread take is read off as it is, where the model itself says it.
    #[test]
    fn a_thread_is_found_again() {
        let scenarios = calibration(&["resize-5-7"]);
        let wanted =
            [("start", 4.0), ("status_report", 6.0), ("cleanup", 8.0), ("operator", 7.0), ("api_call", 2.0)];
        let steps = wanted.iter().map(|(step, ms)| ((*step).to_owned(), vec![(0.5, *ms)])).collect();
        let thread = ProfileFile {
            name: "thread".to_owned(),
            source: "a test".to_owned(),
            base: "virtual".to_owned(),
            is_one_thread: true,
            cores_milli: 0,
            probe_period_ms: 0,
            steps,
        };
        let recording = told_by_the_model(&thread, recording("process", "1.37.0", Vec::new()), &scenarios, 4);
        let fitted = calibrate(&recording, &scenarios).expect("a profile");
        for (step, ms) in wanted {
            let points = &fitted.steps[step];
            let median = points[points.len() / 2].1;
            assert!((median - ms).abs() <= 1.0, "{step}: {median} is not {ms}");
        }
    }
}
