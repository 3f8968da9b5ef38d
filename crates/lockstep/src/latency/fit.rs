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
//! | `start_slot` | between two starts where the second pod was waiting: virtual nodes are one thread |
//! | | with kubelets, which start what they have all at once: how long some of many pods had their node and did not run, for each pod |
//! | `start` | from the binding of the first pod to its running, less a slot and a report; with kubelets that of each of a few pods, less the slots of those before |
//! | `status_report` | from the last broker's coming online to its pod's being ready; with kubelets that of the profile `kind` |
//! | `probe` | with kubelets: from the binding of one of a few pods to its being ready, less whole periods of its probe |
//! | `stop_slot` | with kubelets: how long some of many pods were told to go and had not ended after the time that one of a few takes, for each pod |
//! | `stop` | from the last of a few brokers' going offline to the end of its pod, less a slot for each of them and a report |
//! | `cleanup` | from the end of one of a few pods to its being gone |
//! | `stop_notice` | what the model, with all of these, lacks until brokers are offline ([`refine`]) |

use std::collections::{BTreeMap, BTreeSet};

use towtank_model::cluster::TimingProfile;

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
/// Where as many come or go, nodes are busy with them all the time.
const MANY: usize = 20;
/// The step that is not read off, but left.
const STOP_NOTICE: &str = "stop_notice";
/// How often kubelets probe brokers: the `periodSeconds` that the operator asks for.
const PROBE_PERIOD_MS: u64 = 5_000;

/// The recording does not show a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the recording does not show the step `{0}`: changes of size by two or three pods are needed, up and down, and where nodes are real by twenty"
)]
pub struct Unseen(&'static str);

/// Fits a profile.
///
/// # Errors
///
/// A step was never to be seen.
pub fn fit(recording: &Recording) -> Result<ProfileFile, Unseen> {
    let has_kubelets = matches!(&*recording.provider, "kind" | "kubeconfig");
    let operations: Vec<&Operation> = recording.series.iter().flat_map(|series| &series.operations).collect();
    let such = |grows: bool, least: usize, most: usize| -> Vec<&Operation> {
        let is_such = |it: &&Operation| it.grows() == grows && (least..=most).contains(&it.pods.len());
        operations.iter().copied().filter(is_such).collect()
    };
    let (grown, few_grown, few_shrunk) = (such(true, 1, usize::MAX), such(true, 1, FEW), such(false, 1, FEW));

    let mut steps: Vec<(&'static str, Vec<f64>)> = Vec::new();
    steps.push(("operator", operations.iter().map(|operation| operation.patched).collect()));
    let first_two = grown.iter().filter_map(|it| Some((it.at(1, 0)? - it.at(0, 0)?) / 2.0));
    let call = add(&mut steps, "api_call", first_two)?;
    let first = grown.iter().filter_map(|it| Some(it.at(0, 0)? - it.patched - call));
    add(&mut steps, "watch_delivery", first)?;
    let decision = add(&mut steps, "scheduling", grown.iter().flat_map(|it| decisions(it)))?;
    let bound = few_grown.iter().filter_map(|it| Some(it.at(0, 1)? - it.at(0, 0)? - decision));
    add(&mut steps, "binding", bound)?;
    let (slot, report, stop_slot) = match has_kubelets {
        true => {
            let kind = TimingProfile::by_name("kind").unwrap_or_else(TimingProfile::instant);
            let waits = such(true, MANY, usize::MAX).into_iter().filter_map(|it| busy(it, 1, 2, 0.0));
            let slot = add(&mut steps, "start_slot", waits)?;
            let period = f64::from(u32::try_from(PROBE_PERIOD_MS).unwrap_or(u32::MAX));
            let pods = few_grown.iter().flat_map(|it| &it.pods);
            add(&mut steps, "probe", pods.filter_map(|pod| Some((pod.get(3)? - pod.get(1)?) % period)))?;
            let pods = few_shrunk.iter().flat_map(|it| &it.pods);
            let ends: Vec<f64> = pods.filter_map(|pod| Some(pod.get(1)? - pod.first()?)).collect();
            let end = median(&ends).ok_or(Unseen("stop_slot"))?;
            let waits = such(false, MANY, usize::MAX).into_iter().filter_map(|it| busy(it, 0, 1, end));
            let stop_slot = add(&mut steps, "stop_slot", waits)?;
            (slot, kind.status_report.median().as_secs_f64() * 1_000.0, stop_slot)
        }
        false => {
            let slot = add(&mut steps, "start_slot", grown.iter().flat_map(|it| starts(it)))?;
            let reports = grown.iter().map(|operation| operation.last(3) - operation.online);
            (slot, add(&mut steps, "status_report", reports)?, 0.0)
        }
    };
    // Kubelets share their time among few pods: on an average, each waits as though they went one by one.
    let all = if has_kubelets { FEW } else { 1 };
    let started = if has_kubelets { &few_grown } else { &grown };
    let runs = started.iter().flat_map(|it| rests(it, slot + report, slot).take(all).collect::<Vec<_>>());
    add(&mut steps, "start", runs)?;
    add(
        &mut steps,
        "stop",
        few_shrunk.iter().filter_map(|it| Some(it.last(1) - it.online - stop_slot * it.count()? - report)),
    )?;
    let gone = few_shrunk.iter().flat_map(|it| &it.pods);
    add(&mut steps, "cleanup", gone.filter_map(|pod| Some(pod.get(2)? - pod.get(1)?)))?;

    // Whatever the profile has that says the rest: `refine` tells all of it.
    let mut fitted = BTreeMap::from([(STOP_NOTICE.to_owned(), vec![(0.5, 0.0)])]);
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
        base: if has_kubelets { "kind" } else { "virtual" }.to_owned(),
        // What nodes somebody's cluster has is not known.
        shares_slots: provider != "kubeconfig",
        probe_period_ms: if has_kubelets { PROBE_PERIOD_MS } else { 0 },
        steps: fitted,
    })
}

/// Notes the samples of a step; their median.
fn add(
    steps: &mut Vec<(&'static str, Vec<f64>)>,
    name: &'static str,
    samples: impl Iterator<Item = f64>,
) -> Result<f64, Unseen> {
    let samples: Vec<f64> = samples.collect();
    let middle = median(&samples).ok_or(Unseen(name))?;
    steps.push((name, samples));
    Ok(middle)
}

/// From the binding of each pod to its running, in this order, less `first` for the first, and one `slot` more for each that runs before.
fn rests(operation: &Operation, first: f64, slot: f64) -> impl Iterator<Item = f64> {
    let mut pods: Vec<(f64, f64)> =
        operation.pods.iter().filter_map(|pod| Some((*pod.get(2)?, *pod.get(1)?))).collect();
    pods.sort_by(|one, other| one.0.total_cmp(&other.0));
    let waits = std::iter::successors(Some(first), move |wait| Some(wait + slot));
    pods.into_iter().zip(waits).map(|((runs, bound), wait)| runs - bound - wait)
}

/// How long some pod had come so far, `delay` ago at least, and not yet farther; for each pod.
fn busy(operation: &Operation, from: usize, to: usize, delay: f64) -> Option<f64> {
    let waits = operation.pods.iter().filter_map(|pod| Some((pod.get(from)? + delay, *pod.get(to)?)));
    let mut waits: Vec<(f64, f64)> = waits.filter(|(from, to)| from < to).collect();
    waits.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut sum, mut until) = (0.0, f64::NEG_INFINITY);
    for (from, to) in waits {
        sum += (to - from.max(until)).max(0.0);
        until = until.max(to);
    }
    let pods = operation.count()?;
    (pods > 0.0).then_some(sum / pods)
}

/// Adds to a profile what it lacks until a few brokers are offline, as `rows` tell that were made with it and with the recording that it is fitted to.
///
/// From the deletion of a pod to SIGTERM nothing is to be seen, and what Flux takes then is drawn.
pub fn refine(profile: &mut ProfileFile, recording: &Recording, rows: &[Row]) {
    let operations = recording.series.iter().flat_map(|series| &series.operations);
    let few: BTreeSet<String> = operations.filter(|it| it.pods.len() <= FEW).map(Operation::name).collect();
    let offline = rows.iter().filter(|row| row.phase == OFFLINE && few.contains(&row.operation));
    let lacks: Vec<f64> = offline.map(|row| row.measured[0] - row.model[0]).collect();
    if let Some(notice) = median(&lacks) {
        profile.steps.insert(STOP_NOTICE.to_owned(), vec![(0.5, rounded(notice))]);
    }
}

impl Operation {
    /// How many pods come or go.
    fn count(&self) -> Option<f64> {
        u32::try_from(self.pods.len()).ok().map(f64::from)
    }

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
        assert_eq!(median("stop"), (0.5, 6.0), "10 less 4");
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
        let recording = recording(vec![grown(), shrunk()]);
        assert_eq!(profile.steps["stop_notice"], [(0.5, 0.0)]);
        let many = Row { operation: "64→2".to_owned(), ..row(OFFLINE, 900.0, 90.0) };
        let rows = [row(OFFLINE, 110.0, 90.0), row("pods gone", 50.0, 1.0), row(OFFLINE, 104.0, 90.5), many];
        refine(&mut profile, &recording, &rows);
        assert_eq!(profile.steps["stop_notice"], [(0.5, 16.75)]);
        refine(&mut profile, &recording, &[row(OFFLINE, 80.0, 90.0)]);
        assert_eq!(profile.steps["stop_notice"], [(0.5, 0.0)], "nothing comes before its time");
    }

    /// Of kubelets: two pods come and go, and twenty of them.
    fn on_kind() -> Recording {
        let two = Operation {
            from: 1,
            to: 3,
            patched: 10.0,
            pods: vec![vec![18.0, 30.0, 630.0, 6_000.0], vec![28.0, 40.0, 840.0, 1_640.0]],
            online: 1_000.0,
            settled: 7_000.0,
        };
        let gone = Operation {
            from: 3,
            to: 1,
            patched: 12.0,
            pods: vec![vec![30.0, 430.0, 900.0], vec![40.0, 540.0, 800.0]],
            online: 140.0,
            settled: 1_040.0,
        };
        let at_once = |pod: [f64; 4]| vec![pod.to_vec(); 20];
        let twenty =
            Operation { from: 1, to: 21, pods: at_once([20.0, 30.0, 4_030.0, 9_000.0]), ..two.clone() };
        let twenty_gone = Operation {
            from: 21,
            to: 1,
            pods: at_once([30.0, 2_480.0, 2_500.0, 0.0])
                .into_iter()
                .map(|mut pod| {
                    pod.truncate(3);
                    pod
                })
                .collect(),
            ..gone.clone()
        };
        Recording { provider: "kind".to_owned(), ..recording(vec![two, gone, twenty, twenty_gone]) }
    }

    #[test]
    fn kubelets_share_their_time() {
        let profile = fit(&on_kind()).unwrap();
        let median = |step: &str| profile.steps[step][4].1;
        let report = TimingProfile::by_name("kind").unwrap().status_report.median().as_secs_f64() * 1_000.0;
        let near =
            |step: &str, ms: f64| assert!((median(step) - ms).abs() < 0.01, "{step}: {}", median(step));
        near("start_slot", 200.0);
        // 600 less a slot, and 800 less two of them.
        near("start", 400.0 - report);
        // 5,970 and 1,600 less whole periods.
        near("probe", 1_285.0);
        // One of a few takes 450: so 2,000 of 2,450, for twenty.
        near("stop_slot", 100.0);
        // From 140 to 540, less two slots.
        near("stop", 200.0 - report);
        assert_eq!((&*profile.base, profile.probe_period_ms, profile.shares_slots), ("kind", 5_000, true));
        assert!(!profile.steps.contains_key("status_report"), "the profile `kind` has it");
    }

    #[test]
    fn what_was_never_seen_is_not_made_up() {
        assert_eq!(fit(&recording(vec![shrunk()])), Err(Unseen("api_call")));
        assert_eq!(fit(&recording(vec![grown()])), Err(Unseen("stop")));
    }

    #[test]
    fn quantiles_lie_between_samples() {
        assert_eq!(quantile(&[3.0, 1.0], 0.25), Some(1.5));
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 1.0), Some(3.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
