//! Upstream `TestControllerSyncJob`, `TestSyncJobPastDeadline`, `TestJobBackoffOnRestartPolicyNever`: every case in every
//! version with its default gates. Where versions differ the table holds what 1.36 does, and [`Case::expected`] tells
//! how the others differ.

use std::sync::Arc;
use std::time::Duration;

use super::build::{NOW, condition, job, pods, snapshot};
use super::drive::{Api, Outcome, run};
use super::*;
use crate::objects::*;

/// The end that a case expects.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum End {
    /// The Job goes on.
    #[default]
    None,
    Complete,
    Fails(&'static str),
}

#[derive(Clone, Debug, Default)]
struct Case {
    name: &'static str,
    // The Job: completions below 0 stand for none.
    p: i32,
    c: i32,
    limit: i32,
    indexed: bool,
    deleting: bool,
    suspend: bool,
    was_suspended: bool,
    unsatisfied: bool,
    policy_failed: bool,
    failure_policy: bool,
    /// Failures in the back-off record; the latest is now.
    recent_failures: u32,
    /// `activeDeadlineSeconds`, and for how many seconds the Job has run.
    deadline: Option<(i64, u64)>,
    stored: JobStatus,
    pods: &'static str,
    api_fails: bool,
    pod_limit: Option<usize>,
    // What happens.
    creates: usize,
    indexes: Option<Vec<u32>>,
    deletes: usize,
    patches: usize,
    active: i32,
    ready: i32,
    succeeded: i32,
    failed: i32,
    terminating: i32,
    ci: &'static str,
    end: End,
    suspended: Option<bool>,
    blocked: bool,
}

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
    fn expected(
        &self,
        minor: u16,
    ) -> ((i32, Option<i32>, Option<i32>), Vec<(JobConditionType, ConditionStatus)>) {
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

/// Cases of NonIndexed Jobs.
fn plain_cases() -> Vec<Case> {
    let job = || Case { p: 2, c: 5, limit: 6, ..Case::default() };
    let work_queue = || Case { c: -1, ..job() };
    let one = |c| Case { p: 1, c, limit: 6, ..Case::default() };
    vec![
        Case { name: "job start", creates: 2, active: 2, ..job() },
        Case { name: "WQ job start", creates: 2, active: 2, ..work_queue() },
        Case { name: "pending pods", pods: "P P", active: 2, ..job() },
        Case { name: "correct # of pods", p: 3, pods: "r r R", active: 3, ready: 2, ..job() },
        Case { name: "WQ job: correct # of pods", pods: "R R", active: 2, ..work_queue() },
        Case {
            name: "too few active pods",
            pods: "R S",
            creates: 1,
            active: 2,
            succeeded: 1,
            patches: 1,
            ..job()
        },
        Case {
            name: "WQ job: recreate pods when terminating or failed",
            pods: "R F T",
            terminating: 1,
            active: 1,
            patches: 2,
            failed: 2,
            ..one(-1)
        },
        Case {
            name: "WQ job: turn on PodReplacementPolicy but not set PodReplacementPolicy",
            pods: "R F T",
            terminating: 1,
            active: 1,
            patches: 2,
            failed: 2,
            ..one(1)
        },
        Case {
            name: "more terminating pods than parallelism; PodFailurePolicy used",
            pods: "R R T T T T",
            failure_policy: true,
            terminating: 5,
            active: 1,
            deletes: 1,
            patches: 1,
            ..one(1)
        },
        Case { name: "too few active pods and active back-off", recent_failures: 1, blocked: true, ..one(1) },
        Case {
            name: "too few active pods and active back-off with running pods",
            p: 2,
            c: 2,
            recent_failures: 1,
            pods: "r",
            active: 1,
            ready: 1,
            blocked: true,
            ..one(1)
        },
        Case { name: "too few active pods and no back-offs", creates: 1, active: 1, ..one(1) },
        Case {
            name: "too few active pods with a dynamic job",
            pods: "R",
            creates: 1,
            active: 2,
            ..work_queue()
        },
        Case {
            name: "too few active pods, with controller error",
            pods: "R S",
            api_fails: true,
            active: 1,
            patches: 1,
            ..job()
        },
        Case {
            name: "too many active pods",
            pods: "R R R",
            deletes: 1,
            active: 2,
            patches: 1,
            terminating: 1,
            ..job()
        },
        Case {
            name: "too many active pods, with controller error",
            pods: "R R R",
            api_fails: true,
            active: 3,
            patches: 1,
            ..job()
        },
        Case {
            name: "count ready pods when too many active pods",
            pods: "r r r",
            deletes: 1,
            active: 2,
            ready: 2,
            patches: 1,
            terminating: 1,
            ..job()
        },
        Case {
            name: "failed + succeed pods: reset backoff delay",
            pods: "R S F",
            creates: 1,
            active: 2,
            succeeded: 1,
            failed: 1,
            patches: 2,
            ..job()
        },
        Case { name: "new failed pod", pods: "R F", creates: 1, active: 2, failed: 1, patches: 1, ..job() },
        Case {
            name: "no new pod; possible finalizer update of failed pod",
            stored: JobStatus { active: 1, failed: 1, ..JobStatus::default() },
            pods: "R",
            active: 1,
            failed: 1,
            ..one(1)
        },
        Case {
            name: "only new failed pod with controller error",
            pods: "R F",
            api_fails: true,
            active: 1,
            patches: 1,
            ..job()
        },
        Case { name: "job finish", pods: "S*5", succeeded: 5, patches: 5, end: End::Complete, ..job() },
        Case { name: "WQ job finishing", pods: "R S", active: 1, succeeded: 1, patches: 1, ..work_queue() },
        Case {
            name: "WQ job all finished",
            pods: "S S",
            succeeded: 2,
            patches: 2,
            end: End::Complete,
            ..work_queue()
        },
        Case {
            name: "WQ job all finished despite one failure",
            pods: "S F",
            succeeded: 1,
            failed: 1,
            patches: 2,
            end: End::Complete,
            ..work_queue()
        },
        Case {
            name: "more active pods than parallelism",
            pods: "R*10",
            deletes: 8,
            active: 2,
            patches: 8,
            terminating: 8,
            ..job()
        },
        Case {
            name: "more active pods than remaining completions",
            p: 3,
            c: 4,
            pods: "R R R S S",
            deletes: 1,
            active: 2,
            succeeded: 2,
            patches: 3,
            terminating: 1,
            ..job()
        },
        Case { name: "status change", pods: "R R S S", active: 2, succeeded: 2, patches: 2, ..job() },
        Case {
            name: "deleting job",
            deleting: true,
            pods: "P R S",
            active: 2,
            succeeded: 1,
            patches: 3,
            ..job()
        },
        Case { name: "limited pods", p: 100, c: 200, pod_limit: Some(10), creates: 10, active: 10, ..job() },
        Case {
            name: "too many job failures",
            limit: 0,
            deleting: true,
            pods: "F",
            failed: 1,
            patches: 1,
            end: End::Fails("BackoffLimitExceeded"),
            ..job()
        },
        Case {
            name: "job failures, unsatisfied expectations",
            limit: 0,
            deleting: true,
            unsatisfied: true,
            pods: "F",
            failed: 1,
            patches: 1,
            ..job()
        },
        Case {
            name: "count ready pods when job fails",
            c: 3,
            limit: 0,
            pods: "r r F",
            failed: 3,
            patches: 3,
            deletes: 2,
            terminating: 2,
            end: End::Fails("BackoffLimitExceeded"),
            ..job()
        },
    ]
}

/// Cases about suspension.
fn suspension_cases() -> Vec<Case> {
    let job = || Case { p: 2, c: 4, limit: 6, ..Case::default() };
    vec![
        Case {
            name: "suspending a job with satisfied expectations",
            suspend: true,
            pods: "R R",
            deletes: 2,
            patches: 2,
            terminating: 2,
            suspended: Some(true),
            ..job()
        },
        Case {
            name: "count ready pods when suspending a job with satisfied expectations",
            suspend: true,
            pods: "r r",
            deletes: 2,
            patches: 2,
            terminating: 2,
            suspended: Some(true),
            ..job()
        },
        Case {
            name: "suspending a job with unsatisfied expectations",
            suspend: true,
            pods: "R R R",
            unsatisfied: true,
            active: 3,
            ..job()
        },
        Case {
            name: "count ready pods when suspending a job with unsatisfied expectations",
            suspend: true,
            pods: "r r r",
            unsatisfied: true,
            active: 3,
            ready: 3,
            ..job()
        },
        Case {
            name: "resuming a suspended job",
            was_suspended: true,
            creates: 2,
            active: 2,
            suspended: Some(false),
            ..job()
        },
        Case {
            name: "suspending a deleted job",
            suspend: true,
            deleting: true,
            pods: "R R",
            active: 2,
            patches: 2,
            ..job()
        },
        Case {
            name: "a suspended job completes (spec section 4.2, item 9)",
            suspend: true,
            pods: "S S S S",
            succeeded: 4,
            patches: 4,
            end: End::Complete,
            ..job()
        },
    ]
}

/// Cases of Indexed Jobs.
fn indexed_cases() -> Vec<Case> {
    let job = |p, c| Case { p, c, limit: 6, indexed: true, ..Case::default() };
    vec![
        Case { name: "indexed job start", creates: 2, active: 2, indexes: Some(vec![0, 1]), ..job(2, 5) },
        Case {
            name: "indexed job with some pods deleted, podReplacementPolicy TerminatingOrFailed",
            pods: "T",
            creates: 2,
            active: 2,
            indexes: Some(vec![0, 1]),
            terminating: 1,
            patches: 1,
            ..job(2, 5)
        },
        Case {
            name: "indexed job completed",
            pods: "S0 F1 S1 S2",
            succeeded: 3,
            failed: 1,
            ci: "0-2",
            patches: 4,
            end: End::Complete,
            ..job(2, 3)
        },
        Case {
            name: "indexed job failed; count terminating pods when indexed job fails",
            limit: 0,
            pods: "S0 F1 R2",
            succeeded: 1,
            failed: 2,
            ci: "0",
            patches: 3,
            deletes: 1,
            terminating: 1,
            end: End::Fails("BackoffLimitExceeded"),
            ..job(2, 3)
        },
        Case {
            name: "indexed job repeated completed index",
            pods: "S0 S1 S1",
            creates: 1,
            active: 1,
            succeeded: 2,
            ci: "0,1",
            indexes: Some(vec![2]),
            patches: 3,
            ..job(2, 3)
        },
        Case {
            name: "indexed job some running and completed pods",
            pods: "R0 S2 P3 S4 S5 S7 S8 S9",
            creates: 6,
            active: 8,
            succeeded: 6,
            ci: "2,4,5,7-9",
            indexes: Some(vec![1, 6, 10, 11, 12, 13]),
            patches: 6,
            ..job(8, 20)
        },
        Case {
            name: "indexed job some failed pods",
            pods: "F0 P1 F2",
            creates: 2,
            active: 3,
            failed: 2,
            indexes: Some(vec![0, 2]),
            patches: 2,
            ..job(3, 4)
        },
        Case {
            name: "indexed job some pods without index",
            pods: "R S F R? S? F? P? S0 R1 R2",
            deletes: 3,
            active: 2,
            succeeded: 1,
            ci: "0",
            patches: 8,
            terminating: 3,
            ..job(2, 5)
        },
        Case {
            name: "indexed job repeated indexes",
            pods: "S F R? S0 R1 R2 P2",
            deletes: 2,
            active: 2,
            succeeded: 1,
            ci: "0",
            patches: 5,
            terminating: 2,
            ..job(5, 5)
        },
        Case {
            name: "indexed job with indexes outside of range",
            pods: "S0 R5 S6 P7 F8",
            deletes: 2,
            succeeded: 1,
            ci: "0",
            patches: 5,
            terminating: 2,
            ..job(2, 5)
        },
    ]
}

/// Upstream `TestSyncJobPastDeadline` and `TestJobBackoffOnRestartPolicyNever`.
fn limit_cases() -> Vec<Case> {
    let job = |c| Case { p: 1, c, limit: 6, ..Case::default() };
    let late = End::Fails("DeadlineExceeded");
    let often = End::Fails("BackoffLimitExceeded");
    vec![
        Case {
            name: "activeDeadlineSeconds less than single pod execution",
            deadline: Some((10, 15)),
            pods: "R",
            deletes: 1,
            failed: 1,
            patches: 1,
            terminating: 1,
            end: late,
            ..job(1)
        },
        Case {
            name: "activeDeadlineSeconds bigger than single pod execution",
            deadline: Some((10, 15)),
            pods: "R S",
            deletes: 1,
            succeeded: 1,
            failed: 1,
            patches: 2,
            terminating: 1,
            end: late,
            ..job(2)
        },
        Case {
            name: "activeDeadlineSeconds times-out before any pod starts",
            deadline: Some((10, 10)),
            end: late,
            ..job(1)
        },
        Case {
            name: "activeDeadlineSeconds with backofflimit reach",
            limit: 0,
            deadline: Some((1, 10)),
            pods: "F",
            failed: 1,
            patches: 1,
            end: often,
            ..job(1)
        },
        Case {
            name: "not enough failures with backoffLimit 0 - single pod",
            limit: 0,
            pods: "R",
            active: 1,
            ..job(1)
        },
        Case {
            name: "not enough failures with backoffLimit 1 - single pod",
            limit: 1,
            pods: "F",
            creates: 1,
            active: 1,
            failed: 1,
            patches: 1,
            ..job(1)
        },
        Case {
            name: "too many failures with backoffLimit 1 - single pod",
            limit: 1,
            pods: "F F",
            failed: 2,
            patches: 2,
            end: often,
            ..job(1)
        },
        Case {
            name: "not enough failures with backoffLimit 6 - multiple pods",
            p: 2,
            pods: "R F*6",
            creates: 1,
            active: 2,
            failed: 6,
            patches: 6,
            ..job(2)
        },
        Case {
            name: "too many failures with backoffLimit 6 - multiple pods",
            p: 2,
            pods: "F*7",
            failed: 7,
            patches: 7,
            end: often,
            ..job(2)
        },
    ]
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
