//! Upstream `TestSyncJobWithJobSuccessPolicy` and `TestSyncJobWithJobBackoffLimitPerIndex`.

use std::sync::Arc;

use super::build::{Change, NOW, condition, job, pod, snapshot};
use super::drive::{Api, run};
use super::policies::{INTERIM_AND_FAILED, kinds, last, on_condition};
use super::*;
use crate::objects::PodFailureAction::FailJob;
use crate::objects::*;

/// One row of the sync tests of success policies and limits per index: all with `completions` = `parallelism`.
struct Sync {
    name: &'static str,
    c: i32,
    limit: i32,
    per_index: Option<i32>,
    max_failed: Option<i32>,
    /// A success policy that indexes 0 or 1 fulfil.
    success_policy: bool,
    fail_on_disruption: bool,
    met_before: bool,
    pods: Vec<Pod>,
    /// Active, succeeded, failed, terminating.
    counts: (i32, i32, i32, i32),
    completed: &'static str,
    failed_indexes: Option<&'static str>,
    reason: &'static str,
    conditions: &'static [JobConditionType],
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            name: "",
            c: 2,
            limit: i32::MAX,
            per_index: None,
            max_failed: None,
            success_policy: false,
            fail_on_disruption: false,
            met_before: false,
            pods: Vec::new(),
            counts: (0, 0, 0, 0),
            completed: "",
            failed_indexes: None,
            reason: "",
            conditions: &[],
        }
    }
}

impl Sync {
    fn check(&self, minor: u16) {
        let mut job = job(self.c, Some(self.c), true);
        job.spec.backoff_limit = self.limit;
        job.spec.backoff_limit_per_index = self.per_index;
        job.spec.max_failed_indexes = self.max_failed;
        if self.success_policy {
            let rule = SuccessRule { succeeded_indexes: Some("0,1".into()), succeeded_count: Some(1) };
            job.spec.success_policy = Some(Arc::new(SuccessPolicy { rules: vec![rule] }));
        }
        if self.fail_on_disruption {
            let rules = vec![on_condition(FailJob, DISRUPTION_TARGET)];
            job.spec.pod_failure_policy = Some(Arc::new(PodFailurePolicy { rules }));
        }
        if self.met_before {
            let met = condition(JobConditionType::SuccessCriteriaMet, ConditionStatus::True);
            job.status.conditions = vec![JobCondition { reason: "SuccessPolicy".into(), ..met }];
        }
        let name = format!("{} in 1.{minor}", self.name);
        let outcome = run(snapshot(minor, job, self.pods.clone()), &Api::default());
        let status = last(&outcome);
        let terminating = status.terminating.unwrap_or(-1);
        assert_eq!((status.active, status.succeeded, status.failed, terminating), self.counts, "{name}");
        assert_eq!(&*status.completed_indexes, self.completed, "{name}");
        assert_eq!(status.failed_indexes.as_deref(), self.failed_indexes, "{name}");
        assert_eq!(kinds(status), self.conditions, "{name}");
        assert!(status.conditions.iter().all(|condition| &*condition.reason == self.reason), "{name}");
        assert_eq!(status.uncounted, Some(UncountedPods::default()), "{name}");
    }
}

const MET: &[JobConditionType] = &[JobConditionType::SuccessCriteriaMet];
const COMPLETE: &[JobConditionType] = &[JobConditionType::SuccessCriteriaMet, JobConditionType::Complete];

fn at(phase: PodPhase, uid: u32, index: u32, failures: i32) -> Pod {
    pod(uid, phase).index(index).failures(failures)
}

#[test]
fn sync_with_success_policy() {
    use PodPhase::{Failed, Running, Succeeded};
    let base = || Sync { success_policy: true, completed: "1", reason: "SuccessPolicy", ..Sync::default() };
    let two = || vec![at(Failed, 1, 0, 0), at(Running, 2, 0, 0), at(Succeeded, 3, 1, 0)];
    let three = || [two(), vec![at(Running, 4, 2, 0)]].concat();
    let disrupted = || at(Failed, 1, 0, 0).condition(DISRUPTION_TARGET);
    let ended = || vec![disrupted(), at(Succeeded, 3, 1, 0)];
    let fails = |reason| Sync { reason, conditions: INTERIM_AND_FAILED, ..base() };
    let rows = [
        Sync {
            name: "meets successPolicy and some indexes fail",
            c: 3,
            pods: three(),
            counts: (0, 1, 1, 2),
            conditions: MET,
            ..base()
        },
        Sync {
            name: "doesn't meet podFailurePolicy",
            fail_on_disruption: true,
            pods: two(),
            counts: (0, 1, 1, 1),
            conditions: MET,
            ..base()
        },
        Sync {
            name: "doesn't meet backoffLimitPerIndex",
            per_index: Some(2),
            failed_indexes: Some(""),
            pods: two(),
            counts: (0, 1, 1, 1),
            conditions: MET,
            ..base()
        },
        Sync {
            name: "met before, all pods have been already removed",
            met_before: true,
            pods: vec![at(Failed, 1, 0, 0), at(Succeeded, 2, 1, 0)],
            counts: (0, 1, 1, 0),
            conditions: COMPLETE,
            ..base()
        },
        Sync {
            name: "met before, some pods still are running",
            met_before: true,
            c: 3,
            pods: three(),
            counts: (0, 1, 1, 2),
            conditions: MET,
            ..base()
        },
        Sync {
            name: "meets both successPolicy and podFailurePolicy",
            fail_on_disruption: true,
            pods: ended(),
            counts: (0, 1, 1, 0),
            ..fails("PodFailurePolicy")
        },
        Sync {
            name: "meets both successPolicy and backoffLimitPerIndex",
            per_index: Some(1),
            failed_indexes: Some("0"),
            pods: vec![at(Failed, 1, 0, 1), at(Succeeded, 2, 1, 0)],
            counts: (0, 1, 1, 0),
            ..fails("FailedIndexes")
        },
        Sync {
            name: "meets both successPolicy and backoffLimit",
            limit: 1,
            pods: vec![at(Failed, 1, 0, 0), at(Failed, 2, 0, 0), at(Succeeded, 3, 1, 0)],
            counts: (0, 1, 2, 0),
            ..fails("BackoffLimitExceeded")
        },
        Sync {
            name: "SuccessCriteriaMet stays even if job meets podFailurePolicy",
            met_before: true,
            fail_on_disruption: true,
            pods: ended(),
            counts: (0, 1, 1, 0),
            conditions: COMPLETE,
            ..base()
        },
        Sync {
            name: "SuccessCriteriaMet stays even if job meets backoffLimitPerIndex",
            met_before: true,
            per_index: Some(1),
            failed_indexes: Some("0"),
            pods: vec![at(Failed, 1, 0, 1), at(Succeeded, 2, 1, 0)],
            counts: (0, 1, 1, 0),
            conditions: COMPLETE,
            ..base()
        },
        Sync {
            name: "SuccessCriteriaMet stays even if job meets backoffLimit",
            met_before: true,
            limit: 0,
            pods: vec![at(Failed, 1, 0, 0), at(Succeeded, 2, 1, 0)],
            counts: (0, 1, 1, 0),
            conditions: COMPLETE,
            ..base()
        },
    ];
    for row in rows {
        (31..=37).for_each(|minor| row.check(minor));
    }
}

#[test]
fn sync_with_backoff_limit_per_index() {
    use PodPhase::{Failed, Pending, Running, Succeeded};
    let base = || Sync { per_index: Some(1), failed_indexes: Some(""), ..Sync::default() };
    let fails = |reason| Sync { reason, conditions: INTERIM_AND_FAILED, ..base() };
    let exceeding =
        vec![at(Failed, 1, 0, 1), at(Succeeded, 2, 1, 0), at(Failed, 3, 2, 1), at(Running, 4, 3, 0)];
    let rows = [
        Sync {
            name: "successful job after a single failure within index",
            pods: vec![at(Failed, 1, 0, 0), at(Succeeded, 2, 0, 1), at(Succeeded, 3, 1, 0)],
            counts: (0, 2, 1, 0),
            completed: "0,1",
            reason: "CompletionsReached",
            conditions: COMPLETE,
            ..base()
        },
        Sync {
            name: "single failed pod, not counted as the replacement pod creation is delayed",
            pods: vec![at(Failed, 1, 0, 0)],
            counts: (2, 0, 0, 0),
            ..base()
        },
        Sync {
            name: "single failed pod replaced already",
            pods: vec![at(Failed, 1, 0, 0), at(Pending, 2, 0, 1)],
            counts: (2, 0, 1, 0),
            ..base()
        },
        Sync {
            name: "single failed index due to exceeding the backoff limit per index, the job continues",
            pods: vec![at(Failed, 1, 0, 1)],
            counts: (1, 0, 1, 0),
            failed_indexes: Some("0"),
            ..base()
        },
        Sync {
            name: "job failed due to exceeding backoffLimit before backoffLimitPerIndex",
            limit: 1,
            pods: vec![at(Failed, 1, 0, 0), at(Failed, 2, 1, 0)],
            counts: (0, 0, 2, 0),
            ..fails("BackoffLimitExceeded")
        },
        Sync {
            name: "job failed due to failed indexes",
            pods: vec![at(Failed, 1, 0, 1), at(Succeeded, 2, 1, 0)],
            counts: (0, 1, 1, 0),
            completed: "1",
            failed_indexes: Some("0"),
            ..fails("FailedIndexes")
        },
        Sync {
            name: "job failed due to exceeding max failed indexes",
            c: 4,
            max_failed: Some(1),
            pods: exceeding,
            counts: (0, 1, 3, 1),
            completed: "1",
            failed_indexes: Some("0,2"),
            conditions: &[JobConditionType::FailureTarget],
            ..fails("MaxFailedIndexesExceeded")
        },
    ];
    for row in rows {
        (31..=37).for_each(|minor| row.check(minor));
    }
}

/// "replacement pod creation delayed by per-index backoff while another index runs" (#139428).
#[test]
fn active_reads_zero_in_the_delay_until_1_35() {
    for version in KubernetesVersion::all().filter(|version| version.minor() >= 29) {
        let mut job = job(2, Some(2), true);
        job.spec.backoff_limit_per_index = Some(1);
        let pods = vec![at(PodPhase::Running, 1, 0, 0), at(PodPhase::Failed, 2, 1, 0).exited(1, NOW)];
        let outcome = run(snapshot(version.minor(), job, pods), &Api::default());
        assert_eq!(last(&outcome).active, i32::from(version.minor() >= 36), "{version}");
        assert_eq!(outcome.created, []);
    }
}

/// "job with finished indexes; failedIndexes are cleaned when JobBackoffLimitPerIndex disabled".
#[test]
fn failed_indexes_are_cleaned_without_the_feature() {
    let mut job = job(3, Some(3), true);
    job.spec.backoff_limit_per_index = Some(1);
    job.status.failed_indexes = Some("0".into());
    job.status.completed_indexes = "1".into();
    let mut snapshot = snapshot(32, job, vec![at(PodPhase::Pending, 1, 2, 1)]);
    snapshot.features.set_gate("JobBackoffLimitPerIndex", false).expect("a beta gate");
    let outcome = run(snapshot, &Api::default());
    let status = last(&outcome);
    assert_eq!((status.active, status.succeeded, &status.failed_indexes), (2, 1, &None));
}
