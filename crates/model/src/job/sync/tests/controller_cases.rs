//! The cases of upstream `TestControllerSyncJob`, `TestSyncJobPastDeadline` and `TestJobBackoffOnRestartPolicyNever`,
//! with what 1.36 does.

use crate::objects::JobStatus;

/// The end that a case expects.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum End {
    /// The Job goes on.
    #[default]
    None,
    Complete,
    Fails(&'static str),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    pub(super) name: &'static str,
    // The Job: completions below 0 stand for none.
    pub(super) p: i32,
    pub(super) c: i32,
    pub(super) limit: i32,
    pub(super) indexed: bool,
    pub(super) deleting: bool,
    pub(super) suspend: bool,
    pub(super) was_suspended: bool,
    pub(super) unsatisfied: bool,
    pub(super) policy_failed: bool,
    pub(super) failure_policy: bool,
    /// Failures in the back-off record; the latest is now.
    pub(super) recent_failures: u32,
    /// `activeDeadlineSeconds`, and for how many seconds the Job has run.
    pub(super) deadline: Option<(i64, u64)>,
    pub(super) stored: JobStatus,
    pub(super) pods: &'static str,
    pub(super) api_fails: bool,
    pub(super) pod_limit: Option<usize>,
    // What happens.
    pub(super) creates: usize,
    pub(super) indexes: Option<Vec<u32>>,
    pub(super) deletes: usize,
    pub(super) patches: usize,
    pub(super) active: i32,
    pub(super) ready: i32,
    pub(super) succeeded: i32,
    pub(super) failed: i32,
    pub(super) terminating: i32,
    pub(super) ci: &'static str,
    pub(super) end: End,
    pub(super) suspended: Option<bool>,
    pub(super) blocked: bool,
}

/// Cases of NonIndexed Jobs.
pub(super) fn plain_cases() -> Vec<Case> {
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
pub(super) fn suspension_cases() -> Vec<Case> {
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
pub(super) fn indexed_cases() -> Vec<Case> {
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
pub(super) fn limit_cases() -> Vec<Case> {
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
