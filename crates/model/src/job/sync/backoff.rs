//! Delays after pod failures, for the whole Job and per index (upstream `backoff_utils.go`, KEP-3850).

use std::time::Duration;

use super::contract::BackoffRecord;
use crate::objects::{ConditionStatus, ContainerState, ContainerStatus, Pod, READY};
use crate::time::Time;
use crate::version::Features;

/// Delay after the first failure.
const DELAY_MIN: Duration = Duration::from_secs(10);
/// Delay that is not exceeded.
const DELAY_MAX: Duration = Duration::from_secs(600);
/// No sync is scheduled sooner than this after a blocked creation (the batch period of the queue).
const REQUEUE_MIN: Duration = Duration::from_secs(1);

impl BackoffRecord {
    /// The record after a sync that found these ends of pods not seen before: a success forgives every failure that
    /// ended no later (upstream `TestNewBackoffRecord`).
    #[must_use]
    pub fn after(
        self,
        successes: impl Iterator<Item = Time>,
        failures: impl Iterator<Item = Time> + Clone,
    ) -> Self {
        let count = |failures: usize| u32::try_from(failures).unwrap_or(u32::MAX);
        match mutant!(2, successes.max() => None) {
            None => match failures.clone().max() {
                None => self,
                latest => Self {
                    failures_after_last_success: self
                        .failures_after_last_success
                        .saturating_add(count(failures.count())),
                    last_failure_time: latest,
                },
            },
            Some(latest_success) => {
                let later = failures.filter(|&end| end > latest_success);
                Self {
                    failures_after_last_success: count(later.clone().count()),
                    last_failure_time: later.max(),
                }
            }
        }
    }

    /// How long creation is still blocked at `now`; zero when it is not (upstream `TestGetRemainingBackoffTime`).
    pub fn remaining(self, now: Time) -> Duration {
        self.last_failure_time
            .map_or(Duration::ZERO, |last| remaining(self.failures_after_last_success, last, now))
    }
}

/// What is left at `now` of the delay after `failures` failures, the latest at `last_failure`: 10 s, doubled with each
/// further failure up to 10 min. An end in the future prolongs the delay.
pub(super) fn remaining(failures: u32, last_failure: Time, now: Time) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let doublings = mutant!(1, failures.saturating_sub(1) => failures).min(6);
    let delay = (DELAY_MIN * 2_u32.pow(doublings)).min(DELAY_MAX);
    (delay + last_failure.since(now)).saturating_sub(now.since(last_failure))
}

/// What is left of the delay of one index, whose last failed pod is `held` (upstream
/// `TestGetRemainingBackoffTimePerIndex`).
pub(super) fn remaining_for_index(held: &Pod, features: &Features, now: Time) -> Duration {
    let failures = mutant!(4, failure_count(held).saturating_add(1) => failure_count(held));
    remaining(u32::try_from(failures).unwrap_or(u32::MAX), finish_time(held, features), now)
}

/// Failures of the pod's index before this pod, counted and ignored ones.
pub(super) fn failure_count(pod: &Pod) -> i32 {
    counted_failures(pod).saturating_add(ignored_failures(pod))
}

/// Annotation `job-index-failure-count`; 0 when absent or out of bounds.
pub(super) fn counted_failures(pod: &Pod) -> i32 {
    pod.index_failure_count.unwrap_or(0).max(0)
}

/// Annotation `job-index-ignored-failure-count`; 0 when absent or out of bounds.
pub(super) fn ignored_failures(pod: &Pod) -> i32 {
    pod.index_ignored_failure_count.unwrap_or(0).max(0)
}

/// The delay until the sync after a blocked creation.
pub(super) fn requeue_delay(remaining: Duration) -> Duration {
    remaining.max(REQUEUE_MIN)
}

/// When a pod ended, as far as its object tells: the end of its last container, else the moment it ceased to be
/// ready, else the request to delete it, else its creation (upstream `TestGetFinishedTime`).
pub(super) fn finish_time(pod: &Pod, features: &Features) -> Time {
    mutant!(3, containers_finish_time(pod, features) => None)
        .or_else(|| {
            pod.condition(READY)
                .filter(|condition| condition.status == ConditionStatus::False)
                .map(|condition| condition.last_transition_time)
        })
        .or_else(|| {
            pod.deletion.map(|deletion| {
                deletion.timestamp.saturating_sub(Duration::from_secs(u64::from(deletion.grace_period_s)))
            })
        })
        .unwrap_or(pod.creation_time)
}

/// The end of the last container, when all have ended. Sidecars end later than the others, so from 1.31 they have the
/// last word: one that still runs makes the end unknown, and if all have ended their time counts even when a normal
/// container's is missing.
fn containers_finish_time(pod: &Pod, features: &Features) -> Option<Time> {
    let normal = latest_end(None, pod.status.containers.iter());
    if !features.sidecar_finish_time || !pod.spec.init_containers.iter().any(|container| container.is_sidecar)
    {
        return normal;
    }
    let is_sidecar = |status: &&ContainerStatus| {
        pod.spec.init_containers.iter().any(|container| container.is_sidecar && container.name == status.name)
    };
    latest_end(normal, pod.status.init_containers.iter().filter(is_sidecar))
}

fn latest_end<'a>(
    earlier: Option<Time>,
    mut statuses: impl Iterator<Item = &'a ContainerStatus>,
) -> Option<Time> {
    statuses.try_fold(earlier, |latest, status| match &status.state {
        ContainerState::Terminated(end) => end.finished_at.map(|end| latest.max(Some(end))),
        ContainerState::Waiting(_) | ContainerState::Running => None,
    })?
}
