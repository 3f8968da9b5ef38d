//! Upstream `backoff_utils_test.go`. Its delays of 5 s to 700 s are the real ones of 10 s to 600 s here.

use std::time::Duration;

use super::build::{Change, container, job, pod, pods, snapshot, version};
use super::drive::{Api, run};
use super::*;
use crate::job::sync::backoff::{finish_time, remaining, remaining_for_index};
use crate::objects::*;

const T: Time = Time::from_secs(1_000);

fn before(millis: u64) -> Time {
    T.saturating_sub(Duration::from_millis(millis))
}

#[test]
fn new_backoff_record() {
    type Row = (&'static str, u32, &'static [u64], &'static [u64], u32, Option<Time>);
    let rows: [Row; 8] = [
        ("Empty backoff store and one new failure", 0, &[], &[0], 1, Some(T)),
        ("Empty backoff store and two new failures", 0, &[], &[0, 1], 2, Some(T)),
        ("Empty backoff store, two failures followed by success", 0, &[0], &[2, 1], 0, None),
        (
            "Empty backoff store, two failures, one success and two more failures",
            0,
            &[2],
            &[0, 4, 3, 1],
            2,
            Some(T),
        ),
        ("Backoff store having failure count 2 and one new failure", 2, &[], &[0], 3, Some(T)),
        ("Empty backoff store with success and failure at same timestamp", 0, &[0], &[0], 0, None),
        ("Empty backoff store with no success/failure", 0, &[], &[], 0, None),
        ("Empty backoff store with one success", 0, &[0], &[], 0, None),
    ];
    for (name, stored, successes, failures, failures_after_last_success, last_failure_time) in rows {
        let record = BackoffRecord { failures_after_last_success: stored, last_failure_time: None };
        let times = |millis: &'static [u64]| millis.iter().map(|&millis| before(millis));
        assert_eq!(
            record.after(times(successes), times(failures)),
            BackoffRecord { failures_after_last_success, last_failure_time },
            "{name}"
        );
    }
}

#[test]
fn without_success_the_latest_new_failure_replaces_even_a_later_one() {
    let record = BackoffRecord { failures_after_last_success: 1, last_failure_time: Some(T) };
    let after = record.after(std::iter::empty(), std::iter::once(before(5_000)));
    assert_eq!(
        after,
        BackoffRecord { failures_after_last_success: 2, last_failure_time: Some(before(5_000)) }
    );
}

#[test]
fn remaining_backoff_time() {
    let rows = [
        ("no failures", 0, 0, 0),
        ("one failure; current time and failure time are same", 1, 0, 10),
        ("one failure; current time == 1 second + failure time", 1, 1, 9),
        ("one failure; current time == expected backoff time", 1, 10, 0),
        ("one failure; current time == expected backoff time + 1 Second", 1, 11, 0),
        ("three failures; current time and failure time are same", 3, 0, 40),
        ("six failures", 6, 0, 320),
        ("seven failures: backoff exceeding maxBackoff", 7, 0, 600),
        ("many failures", u32::MAX, 599, 1),
    ];
    for (name, failures, elapsed, left) in rows {
        let now = T + Duration::from_secs(elapsed);
        assert_eq!(remaining(failures, T, now), Duration::from_secs(left), "{name}");
    }
    assert_eq!(remaining(1, T, before(3_000)), Duration::from_secs(13), "an end in the future");
}

#[test]
fn remaining_backoff_time_per_index() {
    let features = Features::of(version(36));
    let failed = pod(1, PodPhase::Failed).deleting_since(T);
    let two = remaining_for_index(&failed.clone().failures(2), &features, T);
    assert_eq!(two, Duration::from_secs(40), "two prev failures");
    let mut mixed = failed.failures(1);
    mixed.index_ignored_failure_count = Some(1);
    let mixed = remaining_for_index(&mixed, &features, T);
    assert_eq!(mixed, Duration::from_secs(40), "one prev failure counted and one ignored");
}

fn ended(at: Option<Time>) -> ContainerStatus {
    container("main", ContainerState::Terminated(Termination { exit_code: 1, finished_at: at }))
}

fn not_ready_at(at: Time, status: ConditionStatus) -> PodCondition {
    PodCondition { kind: READY.into(), status, reason: "PodFailed".into(), last_transition_time: at }
}

#[test]
fn finished_time() {
    let running = || container("main", ContainerState::Running);
    let failed = || pod(1, PodPhase::Failed);
    let with = |containers: Vec<ContainerStatus>, mut pod: Pod| {
        pod.status.containers = containers;
        pod
    };
    let mut graceful = failed().deleting_since(T);
    graceful.deletion = Some(Deletion { timestamp: T, grace_period_s: 30 });
    let mut not_ready = with(vec![ended(None)], failed());
    not_ready.status.conditions = vec![not_ready_at(T, ConditionStatus::False)];
    let mut ready = with(vec![ended(None)], failed().deleting_since(T));
    ready.status.conditions = vec![not_ready_at(before(30_000), ConditionStatus::True)];
    let mut created = with(vec![ended(None)], failed());
    created.creation_time = T;
    let three =
        |middle: ContainerStatus| vec![ended(Some(before(1_000))), middle, ended(Some(before(2_000)))];
    let rows = [
        ("all containers terminated", with(three(ended(Some(T))), failed()), T),
        (
            "one in running state; fallback to deletionTimestamp",
            with(three(running()), failed().deleting_since(T)),
            T,
        ),
        ("fallback to deletionTimestamp", with(vec![running()], failed().deleting_since(T)), T),
        (
            "fallback to deletionTimestamp, decremented by grace period",
            with(vec![running()], graceful),
            before(30_000),
        ),
        ("fallback to PodReady.LastTransitionTime when status of the condition is False", not_ready, T),
        ("skip fallback to PodReady.LastTransitionTime when status of the condition is True", ready, T),
        ("fallback to creationTimestamp", created, T),
    ];
    for (name, pod, expected) in rows {
        for version in KubernetesVersion::all() {
            assert_eq!(finish_time(&pod, &Features::of(version)), expected, "{name} in {version}");
        }
    }
}

#[test]
fn a_sidecar_has_the_last_word_from_1_31() {
    let mut pod = pod(1, PodPhase::Failed);
    let mut spec = (*pod.spec).clone();
    spec.init_containers = vec![Container { name: "sidecar".into(), cpu_request_milli: 0, is_sidecar: true }];
    pod.spec = spec.into();
    pod.status.containers = vec![ended(Some(before(1_000)))];
    pod.status.init_containers = vec![ContainerStatus { name: "sidecar".into(), ..ended(Some(T)) }];
    for version in KubernetesVersion::all() {
        let expected = if version.minor() >= 31 { T } else { before(1_000) };
        assert_eq!(finish_time(&pod, &Features::of(version)), expected, "in {version}");
    }
    pod.status.init_containers[0].state = ContainerState::Running;
    assert_eq!(finish_time(&pod, &Features::of(version(36))), pod.creation_time, "it still runs");
    pod.status.init_containers[0] = ContainerStatus { name: "sidecar".into(), ..ended(Some(T)) };
    pod.status.containers = vec![container("main", ContainerState::Running)];
    assert_eq!(
        finish_time(&pod, &Features::of(version(36))),
        T,
        "the quirk: the main container is forgotten"
    );
}

/// Several failures at once multiply the delay, one success forgives them, and the whole Job waits.
#[test]
fn creation_waits_for_the_delay_of_the_whole_job() {
    let now = super::build::NOW;
    let failed =
        |uid| pod(uid, PodPhase::Failed).index(uid).exited(1, now.saturating_sub(Duration::from_secs(4)));
    let mut all = pods("R0");
    all.extend((2..5).map(failed));
    let outcome = run(snapshot(36, job(8, Some(8), true), all.clone()), &Api::default());
    assert_eq!(outcome.created, []);
    assert_eq!(outcome.requeues_ms(), [36_000], "40 s after three failures, 4 s of them over");
    let record = BackoffRecord {
        failures_after_last_success: 3,
        last_failure_time: Some(now.saturating_sub(Duration::from_secs(4))),
    };
    assert!(outcome.effects.contains(&Effect::StoreBackoff(record)));
    all.push(pod(9, PodPhase::Succeeded).index(6).exited(0, now));
    let outcome = run(snapshot(36, job(8, Some(8), true), all), &Api::default());
    assert_eq!(outcome.created_indexes(), [1, 2, 3, 4, 5, 7], "forgiven, and three new indexes besides");
}

#[test]
fn a_sync_is_asked_for_after_a_second_at_least() {
    let now = super::build::NOW;
    let end = now.saturating_sub(Duration::from_millis(9_500));
    let outcome = run(
        snapshot(36, job(1, Some(1), false), vec![pod(1, PodPhase::Failed).exited(1, end)]),
        &Api::default(),
    );
    assert_eq!(outcome.requeues_ms(), [1_000]);
}
