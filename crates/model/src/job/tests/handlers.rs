//! Section 1.3 of the specification, with upstream's own cases.

use super::*;

const BATCHED: Duration = Duration::from_secs(1);
const DELETION: Deletion = Deletion { timestamp: Time::ZERO, grace_period_s: 0 };

fn batched(names: &[&str]) -> Vec<(String, Duration)> {
    names.iter().map(|name| ((*name).to_owned(), BATCHED)).collect()
}

fn two_jobs(minor: u16) -> (Rig, Arc<Job>, Arc<Job>) {
    let mut rig = Rig::new(minor);
    let (first, second) = (rig.add_job("job1", |_| ()), rig.add_job("job2", |_| ()));
    (rig, first, second)
}

/// Upstream `TestAddPod`.
#[test]
fn a_new_pod_wakes_its_owner_and_meets_an_expectation() {
    let (mut rig, first, second) = two_jobs(36);
    rig.controller.memory(KeyId(0)).expect_creations(Time::ZERO, 1);
    rig.add_pod(&first, |_| ());
    assert_eq!(rig.take_waiting(), batched(&["job1"]));
    assert!(rig.controller.memory(KeyId(0)).expectations_satisfied(Time::ZERO));
    rig.add_pod(&second, |_| ());
    assert_eq!(rig.take_waiting(), batched(&["job2"]));
    assert!(rig.take_ready().is_empty() && rig.take_orphans() == 0);
}

/// Upstream `TestAddPodOrphan`: no creation is observed.
#[test]
fn a_new_pod_without_owner_wakes_every_job_that_selects_it() {
    let (mut rig, first, _) = two_jobs(36);
    rig.add_job("job3", |job| job.spec.selector = labels("other", "labels"));
    rig.controller.memory(KeyId(0)).expect_creations(Time::ZERO, 1);
    rig.add_pod(&first, |pod| pod.owner = None);
    assert_eq!(rig.take_waiting(), batched(&["job1", "job2"]));
    assert_eq!(rig.take_orphans(), 1, "it has the finalizer");
    assert!(!rig.controller.memory(KeyId(0)).expectations_satisfied(Time::ZERO));
    rig.add_pod(&first, |pod| (pod.owner, pod.tracked) = (None, false));
    assert_eq!(rig.take_orphans(), 0);
}

#[test]
fn a_new_pod_that_is_being_deleted_is_no_creation() {
    let (mut rig, first, _) = two_jobs(36);
    rig.controller.memory(KeyId(0)).expect_creations(Time::ZERO, 1);
    rig.add_pod(&first, |pod| pod.deletion = Some(DELETION));
    assert_eq!(rig.take_waiting(), batched(&["job1"]));
    assert!(!rig.controller.memory(KeyId(0)).expectations_satisfied(Time::ZERO));
}

#[test]
fn a_pod_of_an_unknown_job_wakes_nobody() {
    let (mut rig, first, _) = two_jobs(36);
    rig.add_pod(&first, |pod| pod.owner = Some(OwnerReference { uid: Uid(7), ..owner_reference(&first) }));
    rig.add_pod(&first, |pod| pod.owner = Some(OwnerReference { is_job: false, ..owner_reference(&first) }));
    assert_eq!(rig.take_waiting(), []);
}

/// Upstream `TestUpdatePod`; a change of nothing is a resync and means nothing.
#[test]
fn a_changed_pod_wakes_its_owner() {
    let (mut rig, first, _) = two_jobs(36);
    let pod = rig.add_pod(&first, |_| ());
    rig.take_waiting();
    rig.update_pod(&pod, |pod| pod.status.phase = PodPhase::Running);
    assert_eq!(rig.take_waiting(), batched(&["job1"]));
    rig.deliver_pod(Some(&pod), Some(&pod));
    assert_eq!(rig.take_waiting(), []);
}

/// Upstream `TestUpdatePodOrphanWithNewLabels`.
#[test]
fn an_orphan_with_new_labels_wakes_the_jobs_that_select_it() {
    let (mut rig, first, _) = two_jobs(36);
    let stray = |pod: &mut Pod| (pod.owner, pod.tracked, pod.labels) = (None, false, labels("foo2", "bar2"));
    let pod = rig.add_pod(&first, stray);
    assert_eq!(rig.take_waiting(), []);
    let pod = rig.update_pod(&pod, |pod| pod.labels = labels("foo", "bar"));
    assert_eq!(rig.take_waiting(), batched(&["job1", "job2"]));
    rig.update_pod(&pod, |pod| pod.status.phase = PodPhase::Running);
    assert_eq!(rig.take_waiting(), [], "neither labels nor owner changed");
}

/// Upstream `TestUpdatePodChangeControllerRef` and `TestUpdatePodRelease`.
#[test]
fn a_pod_that_changes_hands_wakes_both_owners() {
    let (mut rig, first, second) = two_jobs(36);
    let pod = rig.add_pod(&second, |_| ());
    rig.take_waiting();
    rig.controller.memory(KeyId(1)).finalizers_gone.insert(pod.uid);
    let pod = rig.update_pod(&pod, |pod| (pod.owner, pod.tracked) = (Some(owner_reference(&first)), false));
    assert_eq!(rig.take_waiting(), batched(&["job1", "job2"]));
    assert!(rig.controller.memory(KeyId(1)).finalizers_gone.is_empty(), "the old owner sees it too");
    rig.update_pod(&pod, |pod| pod.owner = None);
    assert_eq!(rig.take_waiting(), batched(&["job1", "job2"]), "released: all that match may adopt it");
}

/// Upstream `TestDeletePod`: a deletion is observed when the pod gets its timestamp and again when it goes.
#[test]
fn a_deleted_pod_wakes_its_owner_and_meets_expectations_each_time() {
    let (mut rig, first, second) = two_jobs(36);
    let (pod, other) = (rig.add_pod(&first, |_| ()), rig.add_pod(&second, |_| ()));
    rig.take_waiting();
    rig.controller.memory(KeyId(0)).expect_deletions(Time::ZERO, 2);
    let dying = rig.update_pod(&pod, |pod| pod.deletion = Some(DELETION));
    assert_eq!(rig.take_waiting(), batched(&["job1"]));
    assert!(!rig.controller.memory(KeyId(0)).expectations_satisfied(Time::ZERO));
    rig.deliver_pod(Some(&dying), None);
    assert_eq!(rig.take_waiting(), batched(&["job1"]));
    assert!(rig.controller.memory(KeyId(0)).expectations_satisfied(Time::ZERO));
    rig.deliver_pod(Some(&other), None);
    assert_eq!(rig.take_waiting(), batched(&["job2"]));
}

/// Upstream `TestDeletePodOrphan`, and owners that are gone or finished.
#[test]
fn a_deleted_orphan_wakes_nobody_but_the_orphan_worker() {
    let (mut rig, first, _) = two_jobs(36);
    let pod = rig.add_pod(&first, |pod| pod.owner = None);
    rig.take_waiting();
    rig.take_orphans();
    rig.deliver_pod(Some(&pod), None);
    assert_eq!((rig.take_waiting(), rig.take_orphans()), (vec![], 1));

    let pod = rig.add_pod(&first, |_| ());
    rig.update_job(&first, complete);
    rig.take_waiting();
    rig.take_orphans();
    rig.update_pod(&pod, |pod| pod.deletion = Some(DELETION));
    assert_eq!((rig.take_waiting(), rig.take_orphans()), (vec![], 1), "its owner is finished");
}

/// Upstream `TestFinalizersRemovedExpectations`, second half: how pods prove that their finalizer is gone.
#[test]
fn only_proof_lifts_the_expectation_that_a_finalizer_goes() {
    let (mut rig, first, _) = two_jobs(36);
    let pods: Vec<_> = (0..4).map(|_| rig.add_pod(&first, |_| ())).collect();
    rig.controller.memory(KeyId(0)).finalizers_gone.extend(pods.iter().map(|pod| pod.uid));
    rig.update_pod(&pods[0], |pod| pod.tracked = false);
    rig.update_pod(&pods[1], |pod| (pod.tracked, pod.deletion) = (false, Some(DELETION)));
    rig.update_pod(&pods[2], |pod| pod.deletion = Some(DELETION));
    rig.deliver_pod(Some(&pods[3]), None);
    let left: Vec<_> = rig.controller.memory(KeyId(0)).finalizers_gone.iter().copied().collect();
    assert_eq!(left, [pods[2].uid], "it still has the finalizer");
}

/// Upstream `TestUpdateJobRequeue`.
#[test]
fn a_new_generation_is_synced_at_once_and_a_new_status_a_second_later() {
    let (mut rig, first, _) = two_jobs(36);
    let first = rig.update_job(&first, |job| job.generation += 1);
    assert_eq!((rig.take_ready(), rig.take_waiting()), (vec!["job1".to_owned()], vec![]));
    rig.update_job(&first, |job| job.status.active = 1);
    assert_eq!((rig.take_ready(), rig.take_waiting()), (vec![], batched(&["job1"])));
}

#[test]
fn a_new_deadline_is_watched_from_the_start_time() {
    let (mut rig, first, _) = two_jobs(36);
    let first = rig.update_job(&first, |job| job.status.start_time = Some(Time::ZERO));
    rig.take_waiting();
    rig.wait(Duration::from_secs(4));
    let deadline = |seconds: i64| {
        move |job: &mut Job| {
            job.spec.active_deadline_seconds = Some(seconds);
            job.generation += 1;
        }
    };
    let first = rig.update_job(&first, deadline(10));
    assert_eq!(rig.take_ready(), ["job1"]);
    assert_eq!(rig.take_waiting(), [("job1".to_owned(), Duration::from_secs(6))]);
    rig.update_job(&first, deadline(3));
    assert_eq!((rig.take_ready(), rig.take_waiting()), (vec!["job1".to_owned()], vec![]), "it is over");
}

/// What an update of a finished Job does, in the three regimes (1.28; 1.29 to 1.31; from 1.32).
#[test]
fn an_update_of_a_finished_job_differs_by_version() {
    for (minor, waiting, orphans) in
        [(28, true, 0), (29, true, 2), (31, true, 2), (32, false, 1), (37, false, 1)]
    {
        let (mut rig, first, _) = two_jobs(minor);
        for _ in 0..2 {
            rig.add_pod(&first, |_| ());
        }
        rig.add_pod(&first, |pod| pod.tracked = false);
        rig.take_waiting();
        rig.update_job(&first, complete);
        let expected = if waiting { batched(&["job1"]) } else { vec![] };
        assert_eq!((rig.take_waiting(), rig.take_orphans()), (expected, orphans), "1.{minor}");
    }
}

#[test]
fn a_deleted_job_is_synced_at_once_and_its_pods_are_orphans() {
    for (minor, orphans, drops_backoff) in [(28, 2, false), (31, 2, true), (32, 1, true)] {
        let (mut rig, first, _) = two_jobs(minor);
        for _ in 0..2 {
            rig.add_pod(&first, |_| ());
        }
        rig.take_waiting();
        rig.controller.memory(KeyId(0)).backoff.failures_after_last_success = 2;
        rig.deliver_job(Some(&first), None);
        assert_eq!(rig.take_ready(), ["gone"], "1.{minor}");
        assert_eq!(rig.take_orphans(), orphans, "1.{minor}");
        let failures = rig.controller.memory(KeyId(0)).backoff.failures_after_last_success;
        assert_eq!(failures == 0, drops_backoff, "1.{minor}");
    }
}
