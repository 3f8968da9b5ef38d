//! Fits a timing profile to what was measured: each step's durations are read off the recording as they are, as an empirical distribution.
//!
//! Where a step cannot be seen by itself, it is what is left of one that can:
//!
//! | step | read off |
//! | --- | --- |
//! | `operator` | from the change of the MiniCluster to that of the Job |
//! | `api_call` | half of the time between the first pod and the second: the Job controller waits for the answer to the one and then asks for the other |
//! | `watch_delivery` | from the change of the Job to the first pod, less a call |
//! | `scheduling` | between the bindings of pods that were created together: one decision after the other |
//! | `binding` | from the creation of the first of a few pods to its binding, less a decision |
//! | `start_slot` | between two starts where the second pod was waiting: the nodes of this world are one thread |
//! | `status_report` | from the last broker's coming online to its pod's being ready |
//! | `start` | from the binding of the first pod to its running, less the two above |
//! | `stop_slot` | from the last of a few brokers' going offline to the end of its pod, less a report |
//! | `cleanup` | from the end of one of a few pods to its being gone |
//! | `stop_notice` | what the model, with all of these, lacks until brokers are offline ([`refine`]) |

use std::collections::BTreeMap;

use super::compare::Row;
use super::profile::ProfileFile;
use super::recording::Recording;
use super::{OFFLINE, Operation};

/// Probabilities of the points that are kept.
const POINTS: [f64; 9] = [0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0];
/// Pods that were created within so many milliseconds came together: in one batch of the controller, which waits for the answers of the one before.
const TOGETHER_MS: f64 = 5.0;
/// Where more pods come or go than these, each waits for the others to be written about.
const FEW: usize = 3;

/// The recording does not show a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the recording does not show the step `{0}`: changes of size by two or three pods are needed, up and down"
)]
pub struct Unseen(&'static str);

/// Fits a profile.
///
/// # Errors
///
/// A step was never to be seen.
pub fn fit(recording: &Recording) -> Result<ProfileFile, Unseen> {
    let operations: Vec<&Operation> = recording.series.iter().flat_map(|series| &series.operations).collect();
    let grown: Vec<&Operation> = operations.iter().copied().filter(|operation| operation.grows()).collect();
    let is_few = |operation: &&Operation| operation.pods.len() <= FEW;
    let few_grown: Vec<&Operation> = grown.iter().copied().filter(is_few).collect();
    let few_shrunk: Vec<&Operation> =
        operations.iter().copied().filter(is_few).filter(|operation| !operation.grows()).collect();

    let operator: Vec<f64> = operations.iter().map(|operation| operation.patched).collect();
    let api_call: Vec<f64> = grown
        .iter()
        .filter_map(|operation| Some((operation.at(1, 0)? - operation.at(0, 0)?) / 2.0))
        .collect();
    let call = median(&api_call).ok_or(Unseen("api_call"))?;
    let watch_delivery =
        grown.iter().filter_map(|operation| Some(operation.at(0, 0)? - operation.patched - call)).collect();
    let scheduling: Vec<f64> = grown.iter().flat_map(|operation| decisions(operation)).collect();
    let decision = median(&scheduling).ok_or(Unseen("scheduling"))?;
    let binding = few_grown
        .iter()
        .filter_map(|operation| Some(operation.at(0, 1)? - operation.at(0, 0)? - decision))
        .collect();
    let start_slot: Vec<f64> = grown.iter().flat_map(|operation| starts(operation)).collect();
    let slot = median(&start_slot).ok_or(Unseen("start_slot"))?;
    let status_report: Vec<f64> =
        grown.iter().map(|operation| operation.last(3) - operation.online).collect();
    let report = median(&status_report).ok_or(Unseen("status_report"))?;
    let start = grown
        .iter()
        .filter_map(|operation| Some(operation.at(0, 2)? - operation.at(0, 1)? - slot - report))
        .collect();
    let stop_slot =
        few_shrunk.iter().map(|operation| operation.last(1) - operation.online - report).collect();
    let gone = few_shrunk.iter().flat_map(|operation| &operation.pods);
    let cleanup = gone.filter_map(|pod| Some(pod.get(2)? - pod.get(1)?)).collect();

    let steps: [(&'static str, Vec<f64>); 10] = [
        ("operator", operator),
        ("api_call", api_call),
        ("watch_delivery", watch_delivery),
        ("scheduling", scheduling),
        ("binding", binding),
        ("start_slot", start_slot),
        ("start", start),
        ("status_report", status_report),
        ("stop_slot", stop_slot),
        ("cleanup", cleanup),
    ];
    let mut fitted = BTreeMap::new();
    for (name, samples) in steps {
        fitted.insert(name.to_owned(), quantiles(&samples).ok_or(Unseen(name))?);
    }
    let Recording { provider, kubernetes, date, .. } = recording;
    Ok(ProfileFile {
        name: format!("{provider}-{kubernetes}"),
        source: format!(
            "{} changes of size on {provider}, Kubernetes {kubernetes}, {date}",
            operations.len()
        ),
        shares_starts: true,
        probe_period_ms: 0,
        steps: fitted,
    })
}

/// Adds to a profile what it lacks until brokers are offline, as `rows` tell that were made with it and with what it is fitted to.
///
/// From the deletion of a pod to SIGTERM nothing is to be seen, and what Flux takes then is drawn.
pub fn refine(profile: &mut ProfileFile, rows: &[Row]) {
    let offline = rows.iter().filter(|row| row.phase == OFFLINE);
    let lacks: Vec<f64> = offline.map(|row| row.measured[0] - row.model[0]).collect();
    if let Some(notice) = median(&lacks) {
        profile.steps.insert("stop_notice".to_owned(), vec![(0.5, rounded(notice))]);
    }
}

impl Operation {
    /// When the pod of this number, in order of creation, had come so far.
    fn at(&self, pod: usize, step: usize) -> Option<f64> {
        self.pods.get(pod)?.get(step).copied()
    }
}

/// Times between the bindings of pods that came together.
fn decisions(operation: &Operation) -> Vec<f64> {
    let mut pods: Vec<(f64, f64)> =
        operation.pods.iter().filter_map(|pod| Some((*pod.get(1)?, *pod.first()?))).collect();
    pods.sort_by(|one, other| one.0.total_cmp(&other.0));
    let together = |pair: &&[(f64, f64)]| (pair[0].1 - pair[1].1).abs() < TOGETHER_MS;
    pods.windows(2).filter(together).map(|pair| pair[1].0 - pair[0].0).collect()
}

/// Times between the starts of pods, where the later one had its node when the earlier one ran.
fn starts(operation: &Operation) -> Vec<f64> {
    let mut pods: Vec<(f64, f64)> =
        operation.pods.iter().filter_map(|pod| Some((*pod.get(2)?, *pod.get(1)?))).collect();
    pods.sort_by(|one, other| one.0.total_cmp(&other.0));
    let waits = |pair: &&[(f64, f64)]| pair[1].1 <= pair[0].0;
    pods.windows(2).filter(waits).map(|pair| pair[1].0 - pair[0].0).collect()
}

/// Points of the quantile function of samples, of which negative ones count as zero.
fn quantiles(samples: &[f64]) -> Option<Vec<(f64, f64)>> {
    POINTS.into_iter().map(|p| Some((p, rounded(quantile(samples, p)?)))).collect()
}

/// To a hundredth, and not negative.
fn rounded(ms: f64) -> f64 {
    (ms.max(0.0) * 100.0).round() / 100.0
}

fn median(samples: &[f64]) -> Option<f64> {
    quantile(samples, 0.5)
}

/// The value that a share `p` of the samples does not exceed (definition 7 of Hyndman and Fan); `None` without samples.
pub(super) fn quantile(samples: &[f64], p: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    #[expect(clippy::cast_precision_loss, reason = "samples are few")]
    let place = p.clamp(0.0, 1.0) * last as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the last")]
    let below = place.floor() as usize;
    let (low, high) = (sorted.get(below)?, sorted.get((below + 1).min(last))?);
    Some(low + (high - low) * (place - place.floor()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::recording::Series;

    fn recording(operations: Vec<Operation>) -> Recording {
        Recording {
            provider: "process".to_owned(),
            kubernetes: "1.37.0".to_owned(),
            date: "2026-01-31".to_owned(),
            cores: 2,
            series: vec![Series { scenario: "s".to_owned(), load: Vec::new(), operations }],
        }
    }

    fn grown() -> Operation {
        Operation {
            from: 1,
            to: 4,
            patched: 10.0,
            pods: vec![
                vec![18.0, 30.0, 45.0, 400.0],
                vec![28.0, 40.0, 51.0, 420.0],
                vec![28.0, 43.0, 57.0, 430.0],
            ],
            online: 426.0,
            settled: 1_030.0,
        }
    }

    fn shrunk() -> Operation {
        let pods = vec![vec![30.0, 150.0, 158.0]];
        Operation { from: 4, to: 3, patched: 12.0, pods, online: 140.0, settled: 1_040.0 }
    }

    #[test]
    fn each_step_is_read_off_where_it_is_to_be_seen() {
        let profile = fit(&recording(vec![grown(), shrunk()])).unwrap();
        let median = |step: &str| profile.steps[step][4];
        assert_eq!(median("operator"), (0.5, 11.0));
        assert_eq!(median("api_call"), (0.5, 5.0));
        assert_eq!(median("watch_delivery"), (0.5, 3.0), "8 less a call");
        assert_eq!(median("scheduling"), (0.5, 3.0), "the first came before the others");
        assert_eq!(median("binding"), (0.5, 9.0), "12 less a decision");
        assert_eq!(median("start_slot"), (0.5, 6.0));
        assert_eq!(median("status_report"), (0.5, 4.0));
        assert_eq!(median("start"), (0.5, 5.0), "15 less 6 and 4");
        assert_eq!(median("stop_slot"), (0.5, 6.0), "10 less 4");
        assert_eq!(median("cleanup"), (0.5, 8.0));
        assert_eq!(profile.name, "process-1.37.0");
    }

    #[test]
    fn what_the_model_lacks_until_brokers_are_offline_is_added() {
        let mut profile = fit(&recording(vec![grown(), shrunk()])).unwrap();
        let row = |phase, measured, model| Row {
            operation: "4→3".to_owned(),
            phase,
            count: 1,
            measured: [measured; 3],
            model: [model; 3],
        };
        let rows = [row(OFFLINE, 110.0, 90.0), row("pods gone", 50.0, 1.0), row(OFFLINE, 104.0, 90.5)];
        refine(&mut profile, &rows);
        assert_eq!(profile.steps["stop_notice"], [(0.5, 16.75)]);
        refine(&mut profile, &[row(OFFLINE, 80.0, 90.0)]);
        assert_eq!(profile.steps["stop_notice"], [(0.5, 0.0)], "nothing comes before its time");
    }

    #[test]
    fn what_was_never_seen_is_not_made_up() {
        assert_eq!(fit(&recording(vec![shrunk()])), Err(Unseen("api_call")));
        assert_eq!(fit(&recording(vec![grown()])), Err(Unseen("stop_slot")));
    }

    #[test]
    fn quantiles_lie_between_samples() {
        assert_eq!(quantile(&[3.0, 1.0], 0.25), Some(1.5));
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 1.0), Some(3.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
