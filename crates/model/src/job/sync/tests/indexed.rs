//! Upstream `indexed_job_utils_test.go`.

use std::sync::Arc;
use std::time::Duration;

use super::build::{Change, NOW, job, pod, pods, snapshot};
use super::drive::{Api, run};
use super::*;
use crate::index_set::IndexSet;
use crate::job::sync::census::Census;
use crate::job::sync::findings::Notes;
use crate::job::sync::indexed::{Indexes, split_misfits};
use crate::job::sync::uncounted::Recorded;
use crate::objects::*;

fn indexes(snapshot: &Snapshot) -> (Indexes, Census) {
    let notes = &mut Notes::new(false);
    let census = Census::take(snapshot, &Recorded::default(), notes);
    (Indexes::of(snapshot, &census, notes).expect("an Indexed Job"), census)
}

#[test]
fn calculate_succeeded_indexes() {
    let rows = [
        ("one index", "", "S1", 2, "", "1"),
        ("two separate", "", "F2 S5 S5 F10 S10", 11, "", "5,10"),
        ("two intervals", "", "R0 P1 S2 S3 S5 S6 S7", 8, "", "2,3,5-7"),
        ("one index and one interval", "", "S0 F1 S2 S3 S4 S5 S S?", 6, "", "0,2-5"),
        ("out of range", "", "S0 S1 S2 F3 S4 S5 S S?", 5, "", "0-2,4"),
        ("prev interval out of range", "0-5,8-10", "", 8, "0-5", "0-5"),
        ("prev interval partially out of range", "0-5,8-10", "", 10, "0-5,8,9", "0-5,8,9"),
        ("prev and new separate", "0,4,5,10-12", "S2 S7 S8", 13, "0,4,5,10-12", "0,2,4,5,7,8,10-12"),
        ("prev between new", "3,4,6", "S2 S7 S8", 9, "3,4,6", "2-4,6-8"),
        ("new between prev", "2,7,8", "S3 S4 S6", 9, "2,7,8", "2-4,6-8"),
        ("new within prev", "2-7", "S0 S3 S5 S9", 10, "2-7", "0,2-7,9"),
        ("corrupted interval", "0,1-foo,bar", "S3", 4, "0", "0,3"),
    ];
    for (name, stored, words, completions, previous, succeeded) in rows {
        let mut job = job(1, Some(completions), true);
        job.status.completed_indexes = stored.into();
        let (found, _) = indexes(&snapshot(36, job, pods(words)));
        assert_eq!(found.previous.to_string(), previous, "previous: {name}");
        assert_eq!(found.succeeded.to_string(), succeeded, "{name}");
        assert!(
            found.succeeded.is_text(succeeded) && !found.succeeded.is_text(&format!("{succeeded},")),
            "{name}"
        );
    }
}

/// The cache still shows the finalizer that a sync before has patched away: the index counts all the same
/// (spec section 3.3, item 8).
#[test]
fn a_finalizer_expected_gone_still_completes_its_index() {
    let mut snapshot = snapshot(35, job(1, Some(3), true), vec![pod(1, PodPhase::Succeeded).index(2)]);
    snapshot.finalizers_expected_gone = [Uid(1)].into();
    assert_eq!(indexes(&snapshot).0.succeeded.to_string(), "2");
    snapshot.pods = vec![Arc::new(pod(1, PodPhase::Succeeded).index(2).untracked())];
    assert_eq!(indexes(&snapshot).0.succeeded.to_string(), "");
}

fn per_index(limit: i32, completions: i32) -> Job {
    let mut job = job(completions, Some(completions), true);
    job.spec.backoff_limit = i32::MAX;
    job.spec.backoff_limit_per_index = Some(limit);
    job
}

fn failed(uid: u32, index: u32, failures: i32) -> Pod {
    pod(uid, PodPhase::Failed).index(index).failures(failures)
}

#[test]
fn is_index_failed() {
    let mut fail_index = per_index(1, 2);
    fail_index.spec.pod_failure_policy = Some(Arc::new(super::policies::exit_codes(&[("FailIndex", &[3])])));
    let mut ignore = per_index(1, 2);
    ignore.spec.pod_failure_policy = Some(Arc::new(super::policies::exit_codes(&[("Ignore", &[3])])));
    let rows = [
        (
            "failed pod not exceeding backoffLimitPerIndex, when backoffLimitPerIndex=1",
            per_index(1, 2),
            failed(1, 0, 0),
            false,
        ),
        (
            "failed pod exceeding backoffLimitPerIndex, when backoffLimitPerIndex=0",
            per_index(0, 2),
            failed(1, 0, 0),
            true,
        ),
        (
            "failed pod exceeding backoffLimitPerIndex, when backoffLimitPerIndex=1",
            per_index(1, 2),
            failed(1, 1, 1),
            true,
        ),
        ("matching FailIndex pod failure policy", fail_index, failed(1, 0, 0).exited(3, NOW), true),
        ("an ignored failure does not fail its index", ignore, failed(1, 0, 1).exited(3, NOW), false),
    ];
    for (name, job, pod, expected) in rows {
        for minor in 29..=37 {
            assert_eq!(
                snapshot(minor, job.clone(), vec![]).is_index_failed_by(&pod),
                expected,
                "{name} in 1.{minor}"
            );
        }
        assert!(!snapshot(28, job, vec![]).is_index_failed_by(&pod), "1.28 has no limit per index");
    }
}

#[test]
fn calculate_failed_indexes() {
    let rows = [
        ("one new index failed", None, 1, vec![failed(1, 0, 0), failed(2, 1, 1)], "1"),
        ("pod without finalizer is ignored", None, 0, vec![failed(1, 0, 0).untracked()], ""),
        ("pod outside completions is ignored", None, 0, vec![failed(1, 3, 0)], ""),
        ("extend the failed indexes", Some("0"), 0, vec![failed(1, 1, 0)], "0,1"),
        ("prev failed indexes empty", Some(""), 0, vec![failed(1, 1, 0)], "1"),
        ("prev failed indexes outside the completions", Some("9"), 0, vec![failed(1, 1, 0)], "1"),
    ];
    for (name, stored, limit, pods, expected) in rows {
        let mut job = per_index(limit, 2);
        job.status.failed_indexes = stored.map(Into::into);
        let (found, _) = indexes(&snapshot(36, job, pods));
        assert_eq!(found.failed.map(|failed| failed.to_string()).as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn pods_with_delayed_deletion_per_index() {
    let ago = |secs| NOW.saturating_sub(Duration::from_secs(secs));
    let deleted = |uid, secs| failed(uid, 0, 1).deleting_since(ago(secs));
    let rows = [
        (
            "failed pods are kept corresponding to non-failed indexes are kept",
            per_index(1, 3),
            vec![failed(1, 0, 0), failed(2, 1, 1), failed(3, 2, 0)],
            vec![1, 3],
        ),
        ("failed pod without finalizer", per_index(1, 2), vec![failed(1, 0, 0).untracked()], vec![]),
        ("failed pod with expected finalizer removal", per_index(1, 2), vec![failed(99, 0, 0)], vec![]),
        ("failed pod with index outside of completions", per_index(1, 2), vec![failed(1, 4, 0)], vec![]),
        (
            "failed pod for active index",
            per_index(1, 2),
            vec![failed(1, 0, 0), pod(2, PodPhase::Running).index(0)],
            vec![],
        ),
        (
            "failed pod for succeeded index",
            per_index(1, 2),
            vec![failed(1, 0, 0), pod(2, PodPhase::Succeeded).index(0)],
            vec![],
        ),
        (
            "multiple failed pods for index with different failure count",
            per_index(4, 2),
            vec![failed(1, 0, 0), failed(3, 0, 2), failed(2, 0, 1)],
            vec![3],
        ),
        (
            "multiple failed pods for index with different finish times",
            per_index(4, 2),
            vec![deleted(1, 1), deleted(3, 0), deleted(2, 2)],
            vec![3],
        ),
    ];
    for (name, job, pods, expected) in rows {
        let mut snapshot = snapshot(36, job, pods);
        snapshot.finalizers_expected_gone = [Uid(99)].into();
        let (found, _) = indexes(&snapshot);
        let held: Vec<u32> = found.held.values().map(|&position| snapshot.pods[position].uid.0).collect();
        assert_eq!(held, expected, "{name}");
    }
}

#[test]
fn first_pending_indexes() {
    let rows = [
        ("cnt greater than completions", 5, 3, "", "", None, vec![0, 1, 2]),
        ("cnt less than completions", 2, 5, "", "", None, vec![0, 1]),
        ("first pods active", 3, 10, "R0 P1", "", None, vec![2, 3, 4]),
        ("last pods active or succeeded", 6, 6, "P6", "4,5", None, vec![0, 1, 2, 3]),
        ("mixed", 5, 20, "P3 R5 P8 R R?", "2-4,9", None, vec![0, 1, 6, 7, 10]),
        ("with failed indexes", 5, 20, "P3 P9", "1,5,9", Some("2,6,7"), vec![0, 4, 8, 10, 11]),
    ];
    for (name, count, completions, words, succeeded, failed, expected) in rows {
        let snapshot = snapshot(36, job(1, Some(completions), true), pods(words));
        let (found, census) = indexes(&snapshot);
        let indexes = Indexes {
            succeeded: IndexSet::parse_below(succeeded, 100),
            failed: failed.map(|text| IndexSet::parse_below(text, 100)),
            ..found
        };
        assert_eq!(indexes.first_pending(&snapshot, &census, count), expected, "{name}");
    }
}

#[test]
fn append_duplicated_index_pods_for_removal() {
    let rows = [
        ("all unique", "P P2 R5 R6", "P R6", "P2 R5"),
        ("all with index", "P5 R0 P3 R0 R3 P0 R6 P6", "P0 R0 P3 R6 P6", "R0 R3 P5"),
        ("mixed", "P R? R? P0 P1 P1 R1", "P R? R? P1 P1", "P0 R1"),
        ("the last group comes after the pods out of range", "R7 R1 P1", "R7 P1", "R1"),
        ("pods without index alone come after the pods out of range", "R7 R?", "R7 R?", ""),
    ];
    for (name, words, removed, left) in rows {
        let snapshot = snapshot(36, job(1, Some(6), true), pods(words));
        let (_, census) = indexes(&snapshot);
        let (misfits, rest) = split_misfits(&snapshot, &census);
        let word = |&position: &usize| {
            let pod = &snapshot.pods[position];
            let letter = if pod.status.phase == PodPhase::Pending { "P" } else { "R" };
            match pod.index {
                PodIndex::Absent => letter.to_owned(),
                PodIndex::Invalid => format!("{letter}?"),
                PodIndex::At(index) => format!("{letter}{index}"),
            }
        };
        let removed_words: Vec<String> = misfits.iter().map(|(position, _)| word(position)).collect();
        assert_eq!(removed_words.join(" "), removed, "{name}");
        assert_eq!(rest.iter().map(word).collect::<Vec<_>>().join(" "), left, "{name}");
    }
}

/// Upstream `TestGetPodCreationInfoForIndependentIndexes`, through a whole sync: indexes 1, 2 and 3 of four.
#[test]
fn pod_creation_info_for_independent_indexes() {
    let failed_ago = |index: u32, failures, secs| {
        failed(index, index, failures).deleting_since(NOW.saturating_sub(Duration::from_secs(secs)))
    };
    let rows = [
        ("simple index creation", vec![], vec![1, 2, 3], vec![]),
        ("subset of indexes can be recreated now", vec![failed_ago(1, 0, 0)], vec![2, 3], vec![]),
        (
            "subset of indexes can be recreated now as the pods failed long time ago",
            vec![failed_ago(1, 0, 0), failed_ago(2, 0, 0), failed_ago(3, 0, 10)],
            vec![3],
            vec![],
        ),
        (
            "no indexes can be recreated now, need to wait default pod failure backoff",
            vec![failed_ago(1, 1, 0), failed_ago(2, 0, 0), failed_ago(3, 2, 0)],
            vec![],
            vec![10_000],
        ),
        (
            "no indexes can be recreated now, need to wait but 1s already passed",
            vec![failed_ago(1, 1, 1), failed_ago(2, 0, 1), failed_ago(3, 2, 1)],
            vec![],
            vec![9_000],
        ),
    ];
    for (name, mut pods, created, requeues) in rows {
        let mut job = per_index(9, 4);
        job.status.completed_indexes = "0".into();
        job.status.failed_indexes = Some("".into());
        let held = pods.len();
        pods.push(pod(9, PodPhase::Succeeded).index(0).untracked());
        let outcome = run(snapshot(36, job, pods), &Api::default());
        assert_eq!(outcome.created_indexes(), created, "{name}");
        assert_eq!(outcome.requeues_ms(), requeues, "{name}");
        assert_eq!(outcome.patched, [], "{held} pods are held: {name}");
        assert_eq!(outcome.statuses.last().map(|status| status.failed), Some(0), "{name}");
    }
}

/// Upstream `TestGetNewIndexFailureCountValue`.
#[test]
fn the_replacement_carries_the_failure_count_on() {
    let ignore = super::policies::exit_codes(&[("Ignore", &[3])]);
    let rows = [
        ("first pod created", None, false, (Some(0), None)),
        ("subsequent pod created", Some((failed(1, 0, 1), 5)), false, (Some(2), None)),
        (
            "subsequent pod created; no annotation",
            Some((pod(1, PodPhase::Failed).index(0), 5)),
            false,
            (Some(1), None),
        ),
        (
            "subsequent pod created after ignored failure",
            Some((failed(1, 0, 1), 3)),
            true,
            (Some(1), Some(1)),
        ),
        (
            "subsequent pod created after a failure that no rule matches",
            Some((failed(1, 0, 1), 4)),
            true,
            (Some(2), None),
        ),
    ];
    for (name, replaced, with_policy, expected) in rows {
        let mut job = per_index(9, 1);
        job.spec.pod_failure_policy = with_policy.then(|| Arc::new(ignore.clone()));
        let pods = replaced.map(|(pod, code)| pod.exited(code, Time::ZERO)).into_iter().collect();
        let outcome = run(snapshot(36, job, pods), &Api::default());
        let counts: Vec<_> =
            outcome.created.iter().map(|d| (d.index_failure_count, d.index_ignored_failure_count)).collect();
        assert_eq!(counts, [expected], "{name}");
    }
}

/// Spec section 5.5, item 5: low indexes that wait block higher ones that never ran.
#[test]
fn candidates_are_chosen_before_the_delay() {
    let mut job = per_index(9, 5);
    job.spec.parallelism = 1;
    let outcome = run(snapshot(36, job, vec![failed(1, 0, 0).exited(1, NOW)]), &Api::default());
    assert_eq!(outcome.created, []);
    assert_eq!(outcome.requeues_ms(), [10_000]);
}

/// Spec section 3.5: never by index, and full ties from the lowest index up.
#[test]
fn surplus_pods_go_by_rank() {
    let since = |secs| Time::from_secs(secs);
    let bound = |mut pod: Pod| {
        pod.node = Some(NodeId(0));
        pod
    };
    let running = |uid: u32| bound(pod(uid, PodPhase::Running).index(uid));
    let mut restarted = running(4).ready(since(10));
    restarted.status.containers = vec![ContainerStatus {
        restart_count: 3,
        ..super::build::container("main", ContainerState::Running)
    }];
    let mut young = running(5).ready(since(10));
    young.creation_time = since(5);
    let ranked = vec![
        pod(0, PodPhase::Running).index(0),
        bound(pod(1, PodPhase::Pending).index(1)),
        running(2),
        running(3).ready(since(20)),
        restarted,
        young,
        running(6).ready(since(10)),
        running(7).ready(since(10)),
    ];
    // The indexes run against the ranks, so that only ranks can bring about the order; the last two are full ties.
    let indexes = [20, 19, 18, 17, 16, 15, 1, 2];
    for keep in 0..=8_u32 {
        let mut all = ranked.clone();
        for (pod, index) in all.iter_mut().zip(indexes) {
            pod.index = PodIndex::At(index);
        }
        all.reverse();
        all.swap(0, 1);
        let mut job = job(i32::try_from(keep).unwrap_or_default(), Some(100), true);
        job.spec.backoff_limit = 0;
        let outcome = run(snapshot(36, job, all), &Api::default());
        assert_eq!(outcome.deleted, (0..8 - keep).map(Uid).collect::<Vec<_>>(), "{keep} kept");
        assert_eq!(outcome.created, []);
    }
}
