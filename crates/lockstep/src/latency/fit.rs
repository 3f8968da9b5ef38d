//! Fits a timing profile to what was measured: each step's durations are read off the recording as they are, as an empirical distribution.
//!
//! Where a step cannot be seen by itself, it is what is left of one that can:
//!
//! | step | read off |
//! | --- | --- |
//! | `operator` | from the change of the MiniCluster to that of the Job |
//! | `api_call` | half of the time between the first pod and the second: the Job controller waits for the answer to the one and then asks for the other |
//! | `watch_delivery` | from the change of the Job to the first pod, less a call |
//! | `scheduling` | between the bindings of pods, not too many, that were created together: one decision after the other |
//! | `binding` | from the creation of the first of a few pods to its binding, less a decision |
//! | `status_report` | from the last of a few brokers' coming online to its pod's being ready; with kubelets that of the profile `kind` |
//! | `start_slot`, `start` | with kubelets: from the bindings of pods to their running (module `machine`) |
//! | `start` | with virtual nodes, which are one thread: from the binding of the first of a few pods to its running, less a report of each and one more |
//! | `first_probe`, `probe` | with kubelets: from the running of one of a few pods to its being ready (module `probes`) |
//! | `stop_slot` | with kubelets: how long some of many pods were told to go and had not ended after the time that one of a few takes, for each pod |
//! | `stop` | from the last of a few brokers' going offline to the end of its pod, less a slot and a report, or for virtual nodes two reports |
//! | `cleanup` | from the end of one of a few pods to its being gone |
//! | `stop_notice` | what the model, with all of these, lacks until brokers are offline ([`refine`]) |
//!
//! What is left of a step that is seen with others is left of each quantile, so that what those vary does not count twice.

mod machine;
mod probes;

use std::collections::{BTreeMap, BTreeSet};

use towtank_model::cluster::TimingProfile;
use towtank_model::engine::Distribution;

use super::compare::Row;
use super::profile::ProfileFile;
use super::recording::Recording;
use super::{GROWS, OFFLINE, Operation, SHRINKS};

/// Probabilities of the points that are kept, the median in the middle. Between the last two lie the rare ones: one slow request of a hundred makes no others slow.
const POINTS: [f64; 11] = [0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0];
/// Pods that were created within so many milliseconds came together: in one batch of the controller, which waits for the answers of the one before.
const TOGETHER_MS: f64 = 5.0;
/// Where no more pods come or go than these, hardly any waits for another.
const FEW: usize = 3;
/// Where as many come or go, nodes are busy with them all the time.
const MANY: usize = 20;
/// Cores that are tried.
const CORES_MAX: u32 = 8;
/// What a node's report takes.
const REPORT: &str = "status_report";
/// The step that is not read off, but left.
const STOP_NOTICE: &str = "stop_notice";

/// The recording does not show a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the recording does not show the step `{0}`: changes of size by two or three pods are needed, up and down, and where nodes are real by twenty"
)]
pub struct Unseen(&'static str);

/// How many thousandths of a core nodes may share: a pod alone gets one, and there are no more than the machine has; control planes take some of them. Virtual nodes are
/// one thread instead: 0. Somebody's cluster (`kubeconfig`) is taken for a machine like the one that measures: what it really is nobody has told.
pub fn cores_milli(recording: &Recording) -> impl Iterator<Item = u32> {
    let quarters = u32::try_from(recording.cores).unwrap_or(u32::MAX).clamp(1, CORES_MAX) * 4;
    let quarters = if has_kubelets(recording) { 4..=quarters } else { 0..=0 };
    quarters.map(|quarter| quarter * 250)
}

/// Whether pods of a recording ran on real nodes.
fn has_kubelets(recording: &Recording) -> bool {
    matches!(&*recording.provider, "kind" | "kubeconfig")
}

/// How far the model is off in what nodes take, as these rows tell.
pub fn strain(rows: &[Row]) -> f64 {
    let of_nodes = rows.iter().filter(|row| [GROWS[2], SHRINKS[1]].contains(&row.phase));
    of_nodes.map(|row| row.error(0).abs()).sum()
}

/// Fits a profile, for nodes that share so many thousandths of a core.
///
/// # Errors
///
/// A step was never to be seen.
pub fn fit(recording: &Recording, cores_milli: u32) -> Result<ProfileFile, Unseen> {
    let Recording { provider, kubernetes, date, .. } = recording;
    let has_kubelets = has_kubelets(recording);
    let changes = Changes::of(recording);
    let mut steps = Steps::default();
    steps.read("operator", changes.all.iter().map(|operation| operation.patched))?;
    let first_two = changes.grown.iter().filter_map(|it| Some((it.at(1, 0)? - it.at(0, 0)?) / 2.0));
    steps.read("api_call", first_two)?;
    let first = changes.grown.iter().filter_map(|it| Some(it.at(0, 0)? - it.patched));
    steps.read_rest("watch_delivery", first, &["api_call"])?;
    steps.read("scheduling", changes.some_grown.iter().flat_map(|it| decisions(it)))?;
    let bound = changes.few_grown.iter().filter_map(|it| Some(it.at(0, 1)? - it.at(0, 0)?));
    steps.read_rest("binding", bound, &["scheduling"])?;
    let gone = changes.few_shrunk.iter().flat_map(|it| &it.pods);
    steps.read("cleanup", gone.filter_map(|pod| Some(pod.get(2)? - pod.get(1)?)))?;
    if has_kubelets {
        let kind = TimingProfile::by_name("kind").unwrap_or_else(TimingProfile::instant);
        steps.take_over(REPORT, &kind.status_report);
        probes::read(&mut steps, &changes)?;
        machine::read(&mut steps, &changes, f64::from(cores_milli) / 1_000.0)?;
    } else {
        steps.read(REPORT, changes.few_grown.iter().map(|it| it.last(3) - it.online))?;
        // The thread reports of each pod that it has been taken on, before the first one runs, and then that it runs; of each that went that its container has ended, and then
        // that the pod has.
        let report = steps.median(REPORT);
        let first = changes.few_grown.iter().filter_map(|it| {
            let runs = it.pods.iter().filter_map(|pod| pod.get(2)).copied().fold(f64::INFINITY, f64::min);
            Some(runs - it.at(0, 1)? - report * (it.count()? - 1.0))
        });
        steps.read_rest("start", first, &[REPORT, REPORT])?;
        let stops = changes.few_shrunk.iter().map(|it| it.last(1) - it.online);
        steps.read_rest("stop", stops, &[REPORT, REPORT])?;
    }
    // Whatever the profile has that says the rest: `refine` tells all of it.
    steps.0.insert(STOP_NOTICE, vec![(0.5, 0.0)]);
    Ok(ProfileFile {
        name: format!("{provider}-{kubernetes}"),
        source: format!(
            "{} changes of size on {provider}, Kubernetes {kubernetes}, {date}",
            changes.all.len()
        ),
        base: if has_kubelets { "kind" } else { "virtual" }.to_owned(),
        is_one_thread: !has_kubelets,
        cores_milli,
        probe_period_ms: if has_kubelets { probes::PERIOD_MS } else { 0 },
        steps: steps.0.into_iter().map(|(name, points)| (name.to_owned(), points)).collect(),
    })
}

/// Points of the quantile function of each step that has been read off.
#[derive(Default)]
struct Steps(BTreeMap<&'static str, Points>);

/// Probability and milliseconds.
type Points = Vec<(f64, f64)>;

impl Steps {
    /// Reads off a step.
    fn read(&mut self, name: &'static str, samples: impl Iterator<Item = f64>) -> Result<(), Unseen> {
        let samples: Vec<f64> = samples.collect();
        self.0.insert(name, quantiles(&samples).ok_or(Unseen(name))?);
        Ok(())
    }

    /// A step that can be seen only together with others, which have been read off: what each quantile is more than theirs. It grows from the median to both sides.
    fn read_rest(
        &mut self,
        name: &'static str,
        samples: impl Iterator<Item = f64>,
        others: &[&str],
    ) -> Result<(), Unseen> {
        let samples: Vec<f64> = samples.collect();
        let mut points = Points::new();
        for p in POINTS {
            let whole = quantile(&samples, p).ok_or(Unseen(name))?;
            points.push((p, rounded(whole - others.iter().map(|other| self.at(other, p)).sum::<f64>())));
        }
        let middle = points.len() / 2;
        for place in middle + 1..points.len() {
            points[place].1 = points[place].1.max(points[place - 1].1);
        }
        for place in (0..middle).rev() {
            points[place].1 = points[place].1.min(points[place + 1].1);
        }
        self.0.insert(name, points);
        Ok(())
    }

    /// A step that is as in another profile.
    fn take_over(&mut self, name: &'static str, step: &Distribution) {
        let ms = |p| rounded(step.quantile(p).as_secs_f64() * 1_000.0);
        self.0.insert(name, POINTS.map(|p| (p, ms(p))).into());
    }

    /// A quantile of a step, of those that are kept.
    fn at(&self, name: &str, p: f64) -> f64 {
        let points = self.0.get(name).map(Vec::as_slice).unwrap_or_default();
        points.iter().find(|(at, _)| *at >= p).map_or(0.0, |(_, ms)| *ms)
    }

    fn median(&self, name: &str) -> f64 {
        self.at(name, 0.5)
    }
}

/// The changes of size of a recording, by what they show.
struct Changes<'r> {
    all: Vec<&'r Operation>,
    grown: Vec<&'r Operation>,
    few_grown: Vec<&'r Operation>,
    /// Not by many.
    some_grown: Vec<&'r Operation>,
    many_grown: Vec<&'r Operation>,
    few_shrunk: Vec<&'r Operation>,
    many_shrunk: Vec<&'r Operation>,
}

impl<'r> Changes<'r> {
    fn of(recording: &'r Recording) -> Self {
        let all: Vec<&Operation> = recording.series.iter().flat_map(|series| &series.operations).collect();
        let such = |grows: bool, least: usize, most: usize| -> Vec<&Operation> {
            let is_such = |it: &&Operation| it.grows() == grows && (least..=most).contains(&it.pods.len());
            all.iter().copied().filter(is_such).collect()
        };
        Self {
            grown: such(true, 1, usize::MAX),
            few_grown: such(true, 1, FEW),
            some_grown: such(true, 1, MANY - 1),
            many_grown: such(true, MANY, usize::MAX),
            few_shrunk: such(false, 1, FEW),
            many_shrunk: such(false, MANY, usize::MAX),
            all,
        }
    }
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
                vec![18.0, 30.0, 65.0, 400.0],
                vec![28.0, 40.0, 71.0, 420.0],
                vec![28.0, 43.0, 77.0, 430.0],
            ],
            online: 426.0,
            settled: 1_030.0,
        }
    }

    fn shrunk() -> Operation {
        let pods = vec![vec![30.0, 150.0, 158.0]];
        Operation { from: 4, to: 3, patched: 12.0, pods, online: 140.0, settled: 1_040.0 }
    }

    /// Twenty pods that run so long after their bindings.
    fn many(ms: f64) -> Operation {
        Operation { from: 1, to: 21, pods: vec![vec![20.0, 30.0, 30.0 + ms, 9_000.0]; 20], ..grown() }
    }

    /// Twenty pods that end so long after they are told to go.
    fn many_gone(ms: f64) -> Operation {
        Operation { from: 21, to: 1, pods: vec![vec![30.0, 30.0 + ms, 50.0 + ms]; 20], ..shrunk() }
    }

    #[test]
    fn each_step_is_read_off_where_it_is_to_be_seen() {
        let profile = fit(&recording(vec![grown(), shrunk()]), 0).unwrap();
        let median = |step: &str| profile.steps[step][POINTS.len() / 2].1;
        assert_eq!(median("operator"), 11.0);
        assert_eq!(median("api_call"), 5.0);
        assert_eq!(median("watch_delivery"), 3.0, "8 less a call");
        assert_eq!(median("scheduling"), 3.0, "the first came before the others");
        assert_eq!(median("binding"), 9.0, "12 less a decision");
        assert_eq!(median("status_report"), 4.0);
        assert_eq!(median("start"), 19.0, "35 less a report of each of three pods and one more");
        assert_eq!(median("stop"), 2.0, "10 less two reports");
        assert_eq!(median("cleanup"), 8.0);
        assert!(!profile.steps.contains_key("start_slot"), "a thread has no slots");
        assert_eq!(
            (&*profile.name, &*profile.base, profile.is_one_thread, profile.probe_period_ms),
            ("process-1.37.0", "virtual", true, 0)
        );
    }

    #[test]
    fn what_is_left_of_each_quantile_grows_to_both_sides() {
        let mut steps = Steps::default();
        steps.read("slot", (0..=100).map(f64::from)).unwrap();
        // Half as wide: what the slot varies is more than all that is to be seen.
        steps.read_rest("rest", (0..=100).map(|ms| 200.0 + f64::from(ms) / 2.0), &["slot"]).unwrap();
        assert!(steps.0["rest"].iter().all(|(_, ms)| *ms == 175.0), "{:?}", steps.0["rest"]);
        // Twice as wide.
        steps.read_rest("rest", (0..=100).map(|ms| 200.0 + f64::from(ms) * 2.0), &["slot"]).unwrap();
        let rest: Vec<f64> = steps.0["rest"].iter().map(|(_, ms)| *ms).collect();
        assert_eq!(rest, POINTS.map(|p| 200.0 + 100.0 * p));
    }

    #[test]
    fn what_the_model_lacks_until_brokers_are_offline_is_added() {
        let recording = recording(vec![grown(), shrunk()]);
        let mut profile = fit(&recording, 0).unwrap();
        let row = |phase, measured, model| Row {
            operation: "4→3".to_owned(),
            phase,
            count: 1,
            measured: [measured; 3],
            model: [model; 3],
        };
        assert_eq!(profile.steps["stop_notice"], [(0.5, 0.0)]);
        let many = Row { operation: "64→2".to_owned(), ..row(OFFLINE, 900.0, 90.0) };
        let rows = [row(OFFLINE, 110.0, 90.0), row("pods gone", 50.0, 1.0), row(OFFLINE, 104.0, 90.5), many];
        refine(&mut profile, &recording, &rows);
        assert_eq!(profile.steps["stop_notice"], [(0.5, 16.75)]);
        refine(&mut profile, &recording, &[row(OFFLINE, 80.0, 90.0)]);
        assert_eq!(profile.steps["stop_notice"], [(0.5, 0.0)], "nothing comes before its time");
    }

    #[test]
    fn kubelets_probe_when_they_find_a_container() {
        let two = Operation {
            pods: vec![vec![26.0, 30.0, 630.0, 6_000.0], vec![28.0, 40.0, 840.0, 1_640.0]],
            online: 1_200.0,
            ..grown()
        };
        let operations = vec![two, shrunk(), many(4_000.0), many_gone(160.0)];
        let recording = Recording { provider: "kind".to_owned(), ..recording(operations) };
        let profile = fit(&recording, 2_000).unwrap();
        let median = |step: &str| profile.steps[step][POINTS.len() / 2].1;
        // A run 370 after the start missed the broker, and one after 800 did not: 585 in between, of which it took 360 to come online.
        assert_eq!(median("probe"), 225.0);
        // 370 and 800 less that.
        assert_eq!(median("first_probe"), 360.0);
        assert_eq!(median("status_report"), 8.3, "that of the profile `kind`");
        assert_eq!(median("start_slot"), 400.0, "two cores for 4,000, for twenty pods");
        assert_eq!(median("start"), 291.7, "700 less 400 and a report: each had a core");
        assert_eq!(median("stop_slot"), 4.0, "one takes 120: two cores for the other 40, for twenty pods");
        assert_eq!(median("stop"), 0.0, "10 less 4 and a report");
        assert_eq!((&*profile.base, profile.probe_period_ms, profile.cores_milli), ("kind", 5_000, 2_000));
    }

    #[test]
    fn cores_that_nodes_may_have() {
        let kind = |cores| Recording { provider: "kind".to_owned(), cores, ..recording(Vec::new()) };
        let cores = |cores| cores_milli(&kind(cores)).collect::<Vec<_>>();
        assert_eq!(cores(2), [1_000, 1_250, 1_500, 1_750, 2_000]);
        assert_eq!(cores(0), [1_000]);
        assert_eq!(cores_milli(&recording(Vec::new())).collect::<Vec<_>>(), [0], "virtual nodes");
        let row = |phase, model| Row {
            operation: "4→3".to_owned(),
            phase,
            count: 1,
            measured: [100.0; 3],
            model: [model, 900.0, 900.0],
        };
        let rows = [row("pods running", 75.0), row("pods ready", 900.0), row("pods ended", 150.0)];
        assert_eq!(strain(&rows), 0.75);
    }

    #[test]
    fn what_was_never_seen_is_not_made_up() {
        let fit = |provider: &str, operations| {
            let recording = Recording { provider: provider.to_owned(), ..recording(operations) };
            fit(&recording, 2_000).unwrap_err()
        };
        assert_eq!(fit("process", vec![shrunk()]), Unseen("api_call"));
        assert_eq!(fit("process", vec![grown()]), Unseen("cleanup"));
        assert_eq!(fit("kind", vec![grown(), shrunk()]), Unseen("start_slot"));
        assert_eq!(fit("kind", vec![grown(), shrunk(), many(20.0)]), Unseen("stop_slot"));
    }

    #[test]
    fn quantiles_lie_between_samples() {
        assert_eq!(quantile(&[3.0, 1.0], 0.25), Some(1.5));
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 1.0), Some(3.0));
        assert_eq!(quantile(&[], 0.5), None);
        let mut samples = [2.0; 160];
        samples[7] = 50.0;
        let points = quantiles(&samples).unwrap();
        assert!(points.iter().all(|(p, ms)| *ms == if *p < 1.0 { 2.0 } else { 50.0 }), "{points:?}");
    }
}
