//! What starts and stops of pods take of the machine that all nodes are.

use super::{Changes, Operation, REPORT, Steps, Unseen, median};

/// Reads off slots, and what is left of starts and stops, for a machine with so many cores. Many pods keep it busy all the time.
pub(super) fn read(steps: &mut Steps, changes: &Changes<'_>, cores: f64) -> Result<(), Unseen> {
    // Which of many pods gets more of the machine is chance: what one of a few takes varies less.
    let works: Vec<f64> = changes.many_grown.iter().flat_map(|it| works(it, cores)).collect();
    steps.read("start_slot", mean(&works).into_iter())?;
    let slot = steps.median("start_slot");
    let starts = changes.few_grown.iter().flat_map(|it| {
        let wait = slot * slowdown(it, cores);
        it.pods.iter().filter_map(move |pod| Some(pod.get(2)? - pod.get(1)? - wait))
    });
    steps.read_rest("start", starts, &["start_slot", REPORT])?;

    let pods = changes.few_shrunk.iter().flat_map(|it| &it.pods);
    let ends: Vec<f64> = pods.filter_map(|pod| Some(pod.get(1)? - pod.first()?)).collect();
    let end = median(&ends).ok_or(Unseen("stop_slot"))?;
    let waits: Vec<f64> = changes.many_shrunk.iter().filter_map(|it| Some(busy(it, end)? * cores)).collect();
    steps.read("stop_slot", median(&waits).into_iter())?;
    let slot = steps.median("stop_slot");
    let stops = changes.few_shrunk.iter().map(|it| it.last(1) - it.online - slot * slowdown(it, cores));
    steps.read_rest("stop", stops, &["stop_slot", REPORT])
}

fn mean(samples: &[f64]) -> Option<f64> {
    let count = u32::try_from(samples.len()).ok().filter(|count| *count > 0)?;
    Some(samples.iter().sum::<f64>() / f64::from(count))
}

/// How many slots longer than alone a slot takes where all pods of a change are worked for at once.
fn slowdown(operation: &Operation, cores: f64) -> f64 {
    operation.count().map_or(0.0, |pods| pods / cores - 1.0).max(0.0)
}

/// How much work each of many pods was that start beside each other: each gets its share of the cores from its binding to its running.
fn works(operation: &Operation, cores: f64) -> Vec<f64> {
    let pods: Vec<(f64, f64)> =
        operation.pods.iter().filter_map(|pod| Some((*pod.get(1)?, *pod.get(2)?))).collect();
    let mut turns: Vec<(f64, f64)> =
        pods.iter().flat_map(|(bound, runs)| [(*bound, 1.0), (*runs, -1.0)]).collect();
    turns.sort_by(|one, other| one.0.total_cmp(&other.0));
    // What a pod has been given, at each turn, that was there from the start.
    let (mut given, mut last, mut present) = (0.0, 0.0, 0.0);
    let mut all = Vec::new();
    for (at, change) in turns {
        given += (at - last) * (cores / f64::max(present, 1.0)).min(1.0);
        (last, present) = (at, present + change);
        all.push((at, given));
    }
    let by = |time: f64| all.iter().find(|(at, _)| *at >= time).map_or(given, |(_, given)| *given);
    pods.iter().map(|(bound, runs)| by(*runs) - by(*bound)).collect()
}

/// How long some pod had been told to go, `end` ago at least, and had not ended; for each pod.
fn busy(operation: &Operation, end: f64) -> Option<f64> {
    let waits = operation.pods.iter().filter_map(|pod| Some((pod.first()? + end, *pod.get(1)?)));
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
