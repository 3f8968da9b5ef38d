//! When kubelets probe brokers.
//!
//! What the first run of a probe finds depends on when it comes, and what it misses the next one finds, a period later. So from a pod's running to its being ready it takes
//! the time to the first run, the run, and perhaps a period.

use super::{Changes, Steps, Unseen, median, quantile};

/// How often kubelets probe brokers: the `periodSeconds` that the operator asks for.
pub(super) const PERIOD_MS: u64 = 5_000;

/// Reads off the steps `first_probe` and `probe`. How long a run takes is what it must take so that runs find brokers that are online when they begin, and no others: as much
/// longer than brokers need to come online was the time after which runs found them.
pub(super) fn read(steps: &mut Steps, changes: &Changes<'_>) -> Result<(), Unseen> {
    let period = f64::from(u32::try_from(PERIOD_MS).unwrap_or(u32::MAX));
    let pods = changes.few_grown.iter().flat_map(|it| &it.pods);
    let seen: Vec<f64> = pods.filter_map(|pod| Some(pod.get(3)? - pod.get(2)?)).collect();
    let runs = |is_first: bool| -> Vec<f64> {
        let of_run = seen.iter().filter(|ms| (**ms < period / 2.0) == is_first);
        // What tells of a pod's running may be late: then a run seems to have come before.
        of_run.map(|ms| if is_first { *ms } else { ms - period }).collect()
    };
    let (found, missed) = (runs(true), runs(false));
    let bounds: Vec<f64> = [quantile(&missed, 0.9), quantile(&found, 0.1)].into_iter().flatten().collect();
    let online: Vec<f64> = changes.few_grown.iter().map(|it| it.online - it.last(2)).collect();
    let unseen = Unseen("probe");
    let run = median(&bounds).ok_or(unseen.clone())? - median(&online).ok_or(unseen)?;
    let run = run.max(0.0);
    steps.read("first_probe", found.iter().chain(&missed).map(|ms| ms - run))?;
    steps.read("probe", std::iter::once(run))
}

#[cfg(test)]
mod tests {
    use super::PERIOD_MS;
    use serde_json::{from_value, json};
    use towtank_operator::objects::{Created, job};

    /// Nobody else would notice: what the operator asks of kubelets is no business of the model's.
    #[test]
    fn the_operator_asks_for_probes_this_often() {
        let cluster: towtank_api::MiniCluster = from_value(json!({
            "apiVersion": "flux-framework.org/v1alpha2",
            "kind": "MiniCluster",
            "metadata": {"name": "sample", "namespace": "default", "uid": "1"},
            "spec": {"size": 2, "containers": [{"image": "rockylinux:9"}]},
        }))
        .unwrap();
        let job = job(&cluster, Created::of(&cluster.spec), 2);
        let pods = job.spec.and_then(|spec| spec.template.spec).unwrap();
        let probes: Vec<_> = pods.containers.iter().filter_map(|it| it.readiness_probe.as_ref()).collect();
        assert_eq!(probes.len(), 1);
        let period_s = probes[0].period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        assert_eq!(period_s.map(|seconds| seconds * 1_000), Some(PERIOD_MS));
    }
}
