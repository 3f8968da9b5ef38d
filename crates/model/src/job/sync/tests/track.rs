//! Upstream `TestTrackJobStatusAndRemoveFinalizers` and `TestGetNewFinshedPods`: the status writes of one sync, in order.
//!
//! Upstream tests the function alone; here the whole sync runs, so the cases carry as many active pods and as high
//! limits as keep the other rules still. Uids a, b, c, … are 1, 2, 3, ….

use std::sync::Arc;

use super::build::{Change, NOW, condition, job, pod, snapshot};
use super::drive::{Api, run};
use super::*;
use crate::job::sync::census::Census;
use crate::job::sync::findings::Notes;
use crate::job::sync::uncounted::Recorded;
use crate::objects::PodPhase::{Failed, Pending, Running, Succeeded};
use crate::objects::*;

fn uncounted(succeeded: &[u32], failed: &[u32]) -> Option<UncountedPods> {
    let uids = |uids: &[u32]| uids.iter().copied().map(Uid).collect();
    Some(UncountedPods { succeeded: uids(succeeded), failed: uids(failed) })
}

/// A Job that wants as many pods as the test has.
fn still(active: i32) -> Job {
    let mut job = job(active, Some(1_000), false);
    job.status.active = active;
    job.status.ready = Some(0);
    job.status.terminating = Some(0);
    job
}

/// `succeeded|failed +s -f completedIndexes conditions` of a status.
fn text(status: &JobStatus) -> String {
    let uncounted = status.uncounted.clone().unwrap_or_default();
    let uids = |uids: &[Uid]| uids.iter().map(|uid| uid.0.to_string()).collect::<Vec<_>>().join(",");
    let kinds: String =
        status.conditions.iter().map(|condition| format!(" {}", condition.kind.as_str())).collect();
    format!(
        "{}|{} +{} -{} [{}]{kinds}",
        uids(&uncounted.succeeded),
        uids(&uncounted.failed),
        status.succeeded,
        status.failed,
        status.completed_indexes,
    )
}

struct Row {
    name: &'static str,
    job: Job,
    pods: Vec<Pod>,
    expected_gone: &'static [u32],
    api: Api,
    patches: usize,
    writes: &'static [&'static str],
}

impl Row {
    fn new(
        name: &'static str,
        job: Job,
        pods: Vec<Pod>,
        patches: usize,
        writes: &'static [&'static str],
    ) -> Self {
        Self { name, job, pods, expected_gone: &[], api: Api::default(), patches, writes }
    }

    fn check(self, minor: u16) {
        let mut snapshot = snapshot(minor, self.job, self.pods);
        snapshot.finalizers_expected_gone = self.expected_gone.iter().copied().map(Uid).collect();
        let is_error = self.api.pods_fail || self.api.status_error.is_some();
        let outcome = run(snapshot, &self.api);
        let name = format!("{} in 1.{minor}", self.name);
        assert_eq!(outcome.statuses.iter().map(text).collect::<Vec<_>>(), self.writes, "{name}");
        assert_eq!(outcome.patched.len(), self.patches, "{name}");
        assert_eq!(outcome.error.is_some(), is_error, "{name}");
        assert_eq!(outcome.created, [], "{name}");
    }
}

fn plain_rows() -> Vec<Row> {
    let counted = |mut job: Job, succeeded, failed, list| {
        (job.status.succeeded, job.status.failed, job.status.uncounted) = (succeeded, failed, list);
        job
    };
    let mut deleted = still(1);
    deleted.deletion_time = Some(NOW);
    let all = |uids: &[u32]| {
        uids.iter().map(|&uid| pod(uid, if uid % 2 == 1 { Succeeded } else { Failed })).collect::<Vec<_>>()
    };
    let with_running = |mut pods: Vec<Pod>, count: u32| {
        pods.extend((0..count).map(|more| pod(50 + more, Running)));
        pods
    };
    let two = || vec![pod(1, Succeeded), pod(2, Failed)];
    vec![
        Row::new("no updates", still(0), vec![], 0, &[]),
        Row {
            expected_gone: &[3, 4, 7, 8],
            ..Row::new(
                "expecting removed finalizers",
                counted(still(0), 2, 3, uncounted(&[1, 7], &[2, 8])),
                all(&[1, 2, 3, 4, 5, 6, 7, 8]),
                4,
                &["1,5|2,6 +3 -4 []", "| +5 -6 []"],
            )
        },
        Row::new(
            "past and new finished pods",
            counted(still(1), 2, 3, uncounted(&[1, 5], &[2, 6])),
            vec![
                pod(5, Succeeded).untracked(),
                pod(20, Failed).untracked(),
                pod(21, Pending).untracked(),
                pod(1, Succeeded),
                pod(2, Failed),
                pod(3, Succeeded),
                pod(4, Failed),
            ],
            4,
            &["1,3|2,4 +3 -4 []", "| +5 -6 []"],
        ),
        Row::new("deleted job", deleted, with_running(two(), 1), 3, &["1|2 +0 -0 []", "| +1 -1 []"]),
        Row {
            api: Api { status_error: Some(ApiError::Unreachable), ..Api::default() },
            ..Row::new("status update error", still(0), two(), 0, &["1|2 +0 -0 []"])
        },
        Row {
            api: Api { pods_fail: true, ..Api::default() },
            ..Row::new("pod patch errors", still(0), two(), 2, &["1|2 +0 -0 []"])
        },
        Row {
            api: Api { pods_fail: true, ..Api::default() },
            ..Row::new(
                "pod patch errors with partial success",
                counted(still(0), 0, 0, uncounted(&[1], &[2])),
                vec![pod(1, Succeeded).untracked(), pod(3, Succeeded), pod(4, Failed)],
                2,
                &["3|4 +1 -1 []"],
            )
        },
    ]
}

fn indexed_rows() -> Vec<Row> {
    let indexed = |completions, active, stored: &str| {
        let mut job = still(active);
        job.spec.completion_mode = CompletionMode::Indexed;
        (job.spec.parallelism, job.spec.completions) = (active, Some(completions));
        job.status.completed_indexes = stored.into();
        job
    };
    let at = |uid, phase, index| pod(uid, phase).index(index);
    let mut past = indexed(7, 0, "0-2,4,6,7");
    (past.status.failed, past.status.succeeded) = (2, 5);
    vec![
        Row::new(
            "indexed job new successful pods",
            indexed(6, 1, ""),
            vec![
                at(1, Succeeded, 1),
                at(2, Succeeded, 3),
                at(3, Succeeded, 3),
                at(4, Running, 5),
                pod(5, Succeeded),
            ],
            4,
            &["| +2 -0 [1,3]"],
        ),
        Row::new(
            "indexed job prev successful pods outside current completions index range with no new succeeded pods",
            indexed(2, 2, "3"),
            vec![at(1, Running, 0), at(2, Running, 1)],
            0,
            &["| +0 -0 []"],
        ),
        Row::new(
            "indexed job prev successful pods outside current completions index range with new succeeded pods in range",
            indexed(2, 1, "3"),
            vec![at(1, Running, 0), at(2, Succeeded, 1)],
            1,
            &["| +1 -0 [1]"],
        ),
        Row::new(
            "indexed job new failed pods",
            indexed(6, 1, ""),
            vec![at(1, Failed, 1), at(2, Failed, 3), at(3, Failed, 3), at(4, Running, 5), pod(5, Failed)],
            4,
            &["|1,2,3 +0 -0 []", "| +0 -3 []"],
        ),
        Row::new(
            "indexed job past and new pods",
            past,
            vec![
                at(20, Succeeded, 0).untracked(),
                at(21, Failed, 1).untracked(),
                at(22, Succeeded, 1),
                at(23, Succeeded, 3),
                at(1, Failed, 2),
                at(2, Failed, 5),
            ],
            4,
            &["|1,2 +6 -2 [0-4,6]", "| +6 -4 [0-4,6]"],
        ),
    ]
}

#[test]
fn the_writes_of_every_version() {
    for version in KubernetesVersion::all().filter(|version| version.minor() >= 29) {
        let rows = plain_rows().into_iter().chain(indexed_rows());
        rows.for_each(|row| row.check(version.minor()));
    }
}

/// "track finished pods": a pod that is being deleted counts as failed, at once.
#[test]
fn track_finished_pods() {
    let deleting = |uid, phase| pod(uid, phase).deleting_since(Time::ZERO);
    let pods = vec![
        pod(1, Succeeded),
        pod(2, Failed),
        deleting(3, Succeeded),
        deleting(4, Failed),
        deleting(5, Pending),
        pod(6, Pending),
        pod(7, Running),
    ];
    let outcome = run(snapshot(36, still(2), pods), &Api::default());
    let writes: Vec<String> = outcome.statuses.iter().map(text).collect();
    assert_eq!(writes, ["1,3|2,4,5 +0 -0 []", "| +2 -3 []"]);
    assert_eq!(outcome.patched.len(), 5);
}

/// "too many finished" and "too many indexed finished": 500 pods a sync, and no end before all are counted.
#[test]
fn at_most_500_pods_are_accounted_for_in_one_sync() {
    let mut job = still(0);
    job.status.uncounted = uncounted(&[], &[901, 902]);
    let mut pods: Vec<Pod> = (0..500).map(|uid| pod(uid, Succeeded)).collect();
    pods.push(pod(902, Failed));
    let outcome = run(snapshot(36, job, pods), &Api::default());
    assert_eq!(outcome.patched.len(), 499);
    let [first, second] = &outcome.statuses[..] else { panic!("two writes") };
    let sizes = |status: &JobStatus| {
        let uncounted = status.uncounted.clone().unwrap_or_default();
        (uncounted.succeeded.len(), uncounted.failed.len(), status.succeeded, status.failed)
    };
    assert_eq!((sizes(first), sizes(second)), ((499, 1, 0, 1), (0, 1, 499, 1)));

    let pods = (0..501).map(|index| pod(index, Succeeded).index(index)).collect();
    let outcome = run(snapshot(36, super::build::job(501, Some(501), true), pods), &Api::default());
    assert_eq!(outcome.patched.len(), 500);
    let status = outcome.statuses.last().expect("a status");
    // The set holds all of them: only the removal of finalizers is capped (from 1.28 on).
    assert_eq!((&*status.completed_indexes, status.succeeded), ("0-500", 501));
    assert!(!status.is_finished() && status.true_condition(JobConditionType::SuccessCriteriaMet).is_some());
}

/// "pod flips from failed to succeeded": recorded once as failed, it stays so.
#[test]
fn a_recorded_failure_stays_one() {
    let mut job = still(0);
    job.spec.backoff_limit = 1;
    job.status.uncounted = uncounted(&[], &[1, 2]);
    let outcome = run(snapshot(36, job, vec![pod(1, Failed), pod(2, Succeeded)]), &Api::default());
    let writes: Vec<String> = outcome.statuses.iter().map(text).collect();
    assert_eq!(writes, ["|1,2 +0 -0 [] FailureTarget", "| +0 -2 [] FailureTarget Failed"]);
}

/// "pod is terminating; counted as failed, but the JobFailed condition is delayed …", and the same for Complete.
#[test]
fn the_end_waits_for_terminating_pods_from_1_31() {
    let cases = [
        (JobConditionType::FailureTarget, JobConditionType::Failed),
        (JobConditionType::SuccessCriteriaMet, JobConditionType::Complete),
    ];
    for (interim, last) in cases {
        for delays in [true, false] {
            let mut job = still(0);
            job.status.uncounted = uncounted(&[], &[1]);
            job.status.conditions = vec![condition(interim, ConditionStatus::True)];
            let pods = vec![pod(1, Running).deleting_since(Time::ZERO).untracked()];
            let mut snapshot = snapshot(32, job, pods);
            for gate in ["JobManagedBy", "JobPodReplacementPolicy"] {
                snapshot.features.set_gate(gate, delays).expect("beta gates");
            }
            let outcome = run(snapshot, &Api::default());
            let status = outcome.statuses.last().expect("a status");
            assert_eq!(status.failed, 1);
            assert_eq!(status.condition(last).is_none(), delays, "{last:?}");
            assert_eq!(status.completion_time.is_some(), !delays && last == JobConditionType::Complete);
        }
    }
}

/// Up to 1.30 plain completion counts pods that have not ended as failed, where only ended pods are replaced.
#[test]
fn survivors_of_a_success_are_failures_until_1_30() {
    for version in KubernetesVersion::all().filter(|version| version.minor() >= 29) {
        let mut job = still(0);
        job.spec.completions = Some(1);
        job.spec.pod_replacement_policy = Some(PodReplacementPolicy::Failed);
        let pods = vec![pod(1, Succeeded), pod(2, Running).deleting_since(Time::ZERO)];
        let outcome = run(snapshot(version.minor(), job, pods), &Api::default());
        let status = outcome.statuses.last().expect("a status");
        assert_eq!(status.failed, i32::from(version.minor() <= 30), "{version}");
        assert_eq!(outcome.patched.len(), 2, "{version}");
    }
}

#[test]
fn new_finished_pods() {
    let rows = [
        (
            "some counted",
            (uncounted(&[], &[]), &[][..]),
            vec![
                pod(1, Succeeded).untracked(),
                pod(2, Succeeded),
                pod(3, Succeeded),
                pod(4, Failed).untracked(),
                pod(5, Failed),
                pod(6, Running).untracked(),
            ],
            (vec![2, 3], vec![5]),
        ),
        (
            "some uncounted",
            (uncounted(&[1, 3], &[5, 6]), &[]),
            vec![
                pod(1, Succeeded).untracked(),
                pod(2, Succeeded).untracked(),
                pod(3, Succeeded),
                pod(4, Succeeded),
                pod(5, Failed).untracked(),
                pod(6, Failed),
                pod(7, Failed),
            ],
            (vec![4], vec![7]),
        ),
        (
            "with expected removed finalizers",
            (uncounted(&[1], &[4]), &[2, 6]),
            vec![pod(2, Succeeded), pod(3, Succeeded), pod(5, Failed), pod(6, Failed), pod(7, Failed)],
            (vec![3], vec![5, 7]),
        ),
        (
            "deleted pods",
            (uncounted(&[], &[]), &[]),
            [Succeeded, Failed, Running, Pending, Running, Pending]
                .into_iter()
                .zip(1..)
                .map(|(phase, uid)| {
                    let pod = pod(uid, phase).deleting_since(Time::ZERO);
                    if uid > 4 { pod.untracked() } else { pod }
                })
                .collect(),
            (vec![1], vec![2, 3, 4]),
        ),
    ];
    for (name, (list, expected_gone), pods, expected) in rows {
        let mut job = still(0);
        job.status.uncounted = list;
        let mut snapshot = snapshot(36, job, pods);
        snapshot.finalizers_expected_gone = expected_gone.iter().copied().map(Uid).collect();
        let recorded = Recorded::of(&snapshot.job.status);
        let census = Census::take(&snapshot, &recorded, &mut Notes::new(false));
        let uids =
            |positions: &[usize]| positions.iter().map(|&at| snapshot.pods[at].uid.0).collect::<Vec<_>>();
        assert_eq!((uids(&census.new_succeeded), uids(&census.new_failed)), expected, "{name}");
    }
}

/// Upstream `TestEnsureJobConditions`.
#[test]
fn ensure_job_conditions() {
    use ConditionStatus::{False, True};
    let suspended = |status, reason: &str| JobCondition {
        reason: Arc::from(reason),
        ..condition(JobConditionType::Suspended, status)
    };
    let rows = [
        ("append true condition", None, (True, "foo"), true),
        ("append false condition", None, (False, "foo"), false),
        ("update true condition reason", Some((True, "foo")), (True, "bar"), true),
        ("update true condition status", Some((True, "foo")), (False, "foo"), true),
        ("update false condition status", Some((False, "foo")), (True, "foo"), true),
        ("condition already exists", Some((True, "foo")), (True, "foo"), false),
    ];
    for (name, present, (status, reason), updates) in rows {
        let mut conditions: Vec<_> =
            present.map(|(status, reason)| suspended(status, reason)).into_iter().collect();
        let wanted = suspended(status, reason);
        let updated = crate::job::sync::finish::ensure_condition(&mut conditions, wanted.clone());
        assert_eq!(updated, updates, "{name}");
        let expected = if updates || present.is_some() { vec![wanted] } else { vec![] };
        assert_eq!(conditions, expected, "{name}");
    }
}
