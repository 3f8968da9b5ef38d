//! Upstream `TestControllerSyncJob`, `TestSyncJobPastDeadline`, `TestJobBackoffOnRestartPolicyNever`: every case in every
//! version with its default gates. Where versions differ the table holds what 1.36 does, and [`Case::expected`] tells
//! how the others differ.

use std::sync::Arc;
use std::time::Duration;

use super::build::{NOW, condition, job, pods, snapshot};
use super::controller_cases::{Case, End, indexed_cases, limit_cases, plain_cases, suspension_cases};
use super::drive::{Api, Outcome, run};
use super::*;
use crate::objects::*;

/// `(active, ready, terminating)`.
type Numbers = (i32, Option<i32>, Option<i32>);

impl Case {
    fn snapshot(&self, minor: u16) -> Snapshot {
        let mut job = job(self.p, (self.c >= 0).then_some(self.c), self.indexed);
        job.spec.backoff_limit = self.limit;
        job.spec.suspend = self.suspend;
        job.deletion_time = self.deleting.then_some(NOW);
        job.status = self.stored.clone();
        if self.was_suspended {
            let mut suspended = condition(JobConditionType::Suspended, ConditionStatus::True);
            (suspended.reason, suspended.message) = ("JobSuspended".into(), "Job suspended".into());
            job.status.conditions.push(suspended);
        }
        if let Some((allowed, ran)) = self.deadline {
            job.spec.active_deadline_seconds = Some(allowed);
            job.status.start_time = Some(NOW.saturating_sub(Duration::from_secs(ran)));
        }
        job.spec.pod_replacement_policy = Some(if self.policy_failed {
            PodReplacementPolicy::Failed
        } else {
            PodReplacementPolicy::TerminatingOrFailed
        });
        if self.failure_policy {
            job.spec.pod_failure_policy = Some(Arc::new(PodFailurePolicy { rules: Vec::new() }));
            job.spec.pod_replacement_policy = Some(PodReplacementPolicy::Failed);
        }
        let mut snapshot = snapshot(minor, job, pods(self.pods));
        snapshot.expectations_satisfied = !self.unsatisfied;
        if self.recent_failures > 0 {
            let last_failure_time = Some(NOW);
            snapshot.backoff =
                BackoffRecord { failures_after_last_success: self.recent_failures, last_failure_time };
        }
        snapshot
    }

    /// `(active, ready, terminating)` and the conditions, in this version.
    fn expected(&self, minor: u16) -> (Numbers, Vec<(JobConditionType, ConditionStatus)>) {
        let at_begin =
            i32::try_from(self.pods.split_whitespace().filter(|word| word.starts_with('T')).count());
        let at_begin = at_begin.unwrap_or_default();
        let adjusts = minor >= 31;
        let terminating = if adjusts { self.terminating } else { at_begin };
        let terminating = (minor >= 29).then_some(terminating);
        let ready_at_begin = pods(self.pods).iter().filter(|pod| pod.is_ready()).count();
        let ready = if adjusts { self.ready } else { i32::try_from(ready_at_begin).unwrap_or_default() };
        let active = if self.blocked && minor <= 35 { 0 } else { self.active };
        let is = ConditionStatus::True;
        let mut conditions = Vec::new();
        if self.was_suspended || self.suspended.is_some() {
            let status = if self.suspended == Some(true) { is } else { ConditionStatus::False };
            conditions.push((JobConditionType::Suspended, status));
        }
        let (interim, last) = match self.end {
            End::None => return ((active, Some(ready), terminating), conditions),
            End::Complete => (JobConditionType::SuccessCriteriaMet, JobConditionType::Complete),
            End::Fails(_) => (JobConditionType::FailureTarget, JobConditionType::Failed),
        };
        if minor >= 31 {
            conditions.push((interim, is));
        }
        if minor <= 30 || self.terminating == 0 {
            conditions.push((last, is));
        }
        ((active, Some(ready), terminating), conditions)
    }

    fn check(&self, minor: u16) {
        let name = format!("{} in 1.{minor}", self.name);
        let snapshot = self.snapshot(minor);
        let before = snapshot.job.status.clone();
        let api = Api { pods_fail: self.api_fails, create_limit: self.pod_limit, ..Api::default() };
        let outcome = run(snapshot, &api);
        assert_eq!(outcome.error.is_some(), self.api_fails || self.pod_limit.is_some(), "error of {name}");
        assert_eq!(outcome.created.len(), self.creates, "creations of {name}");
        if let Some(indexes) = &self.indexes {
            assert_eq!(&outcome.created_indexes(), indexes, "created indexes of {name}");
        }
        assert_eq!(outcome.deleted.len(), self.deletes, "deletions of {name}");
        assert_eq!(outcome.patched.len(), self.patches, "patches of {name}");
        let status = outcome.status(&before);
        let (numbers, conditions) = self.expected(minor);
        assert_eq!((status.active, status.ready, status.terminating), numbers, "pods of {name}");
        assert_eq!((status.succeeded, status.failed), (self.succeeded, self.failed), "counters of {name}");
        assert_eq!(&*status.completed_indexes, self.ci, "completedIndexes of {name}");
        let old = before.conditions.len() - usize::from(self.was_suspended);
        let found: Vec<_> = status.conditions.iter().skip(old).map(|c| (c.kind, c.status)).collect();
        assert_eq!(found, conditions, "conditions of {name}");
        if let End::Fails(reason) = self.end {
            assert!(status.conditions.iter().all(|condition| &*condition.reason == reason), "{name}");
        }
        self.check_times(status, &name);
        check_events(&outcome, status, &name);
    }

    fn check_times(&self, status: &JobStatus, name: &str) {
        let completed = status.true_condition(JobConditionType::Complete).map(|_| NOW);
        assert_eq!(status.completion_time, completed, "completionTime of {name}");
        if self.suspend {
            assert_eq!(
                status.start_time.is_some(),
                self.deadline.is_some() && self.end == End::None,
                "{name}"
            );
        } else {
            assert!(status.start_time.is_some(), "startTime of {name}");
        }
    }
}

fn check_events(outcome: &Outcome, status: &JobStatus, name: &str) {
    let events = outcome.events();
    let completed = events.iter().filter(|event| *event == "Completed: Job completed").count();
    assert_eq!(completed, usize::from(status.completion_time.is_some()), "events of {name}: {events:?}");
    let created =
        events.iter().filter(|event| event.starts_with("SuccessfulCreate: Created pod: new-")).count();
    assert_eq!(created, outcome.created.len(), "events of {name}");
    let deleted =
        events.iter().filter(|event| event.starts_with("SuccessfulDelete: Deleted pod: pod-")).count();
    assert_eq!(deleted, outcome.deleted.len(), "events of {name}");
}

#[test]
fn every_upstream_case_in_every_version() {
    let cases = [plain_cases(), suspension_cases(), indexed_cases(), limit_cases()].concat();
    assert_eq!(cases.len(), 33 + 7 + 10 + 9, "no case is lost");
    for case in cases {
        for version in KubernetesVersion::all() {
            case.check(version.minor());
        }
    }
}

/// `podReplacementPolicy: Failed` exists by default from 1.29.
#[test]
fn only_ended_pods_are_replaced_from_1_29() {
    let cases = [
        Case {
            name: "WQ job: recreate pods when failed",
            p: 1,
            c: -1,
            limit: 6,
            policy_failed: true,
            pods: "R F T",
            terminating: 1,
            active: 1,
            patches: 1,
            failed: 1,
            ..Case::default()
        },
        Case {
            name: "more terminating pods than parallelism",
            p: 1,
            c: 1,
            limit: 6,
            policy_failed: true,
            pods: "R R T T T T",
            terminating: 5,
            active: 1,
            deletes: 1,
            patches: 1,
            ..Case::default()
        },
        Case {
            name: "indexed job with some pods deleted, podReplacementPolicy Failed",
            p: 2,
            c: 5,
            limit: 6,
            indexed: true,
            policy_failed: true,
            pods: "T",
            creates: 1,
            active: 1,
            indexes: Some(vec![0]),
            terminating: 1,
            ..Case::default()
        },
    ];
    for case in cases {
        (29..=37).for_each(|minor| case.check(minor));
    }
}

/// Cases "FailureTarget=False condition added manually is ignored" and "SuccessCriteriaMet=False …".
#[test]
fn interim_conditions_that_are_false_are_ignored() {
    for kind in [JobConditionType::FailureTarget, JobConditionType::SuccessCriteriaMet] {
        for version in KubernetesVersion::all() {
            let mut job = job(1, Some(1), false);
            job.status.active = 1;
            job.status.conditions = vec![condition(kind, ConditionStatus::False)];
            let before = job.status.clone();
            let outcome = run(snapshot(version.minor(), job, pods("r")), &Api::default());
            let status = outcome.status(&before);
            // Up to 1.30 the type of the condition FailureTarget is enough.
            let decided = kind == JobConditionType::FailureTarget && version.minor() <= 30;
            assert_eq!(status.active, i32::from(!decided), "{kind:?} in {version}");
            assert_eq!(status.is_finished(), decided, "{kind:?} in {version}");
        }
    }
}

/// `activeDeadlineSeconds is not triggered when Job is suspended`.
#[test]
fn the_deadline_does_not_run_while_suspended() {
    let case = Case {
        name: "activeDeadlineSeconds is not triggered when Job is suspended",
        p: 1,
        c: 2,
        limit: 6,
        deadline: Some((10, 15)),
        suspend: true,
        suspended: Some(true),
        ..Case::default()
    };
    for version in KubernetesVersion::all() {
        let snapshot = case.snapshot(version.minor());
        let before = snapshot.job.status.clone();
        let outcome = run(snapshot, &Api::default());
        let status = outcome.status(&before);
        assert!(status.true_condition(JobConditionType::Suspended).is_some() && !status.is_finished());
        assert_eq!(status.start_time.is_none(), version.minor() >= 36, "startTime in {version}");
        assert_eq!(outcome.requeues_ms(), []);
    }
}
