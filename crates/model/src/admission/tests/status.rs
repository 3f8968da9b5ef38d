//! `TestValidateJobUpdateStatus` and `TestStatusStrategy_ValidateUpdate`.

use JobConditionType::{Complete, Failed, FailureTarget, SuccessCriteriaMet, Suspended};

use super::*;
use crate::objects::{SuccessPolicy, SuccessRule, UncountedPods};

const CONDITIONS: &str = "status.conditions|Invalid|";

fn secs(seconds: u64) -> Option<Time> {
    Some(Time::from_secs(seconds))
}

fn running() -> JobStatus {
    JobStatus { active: 1, start_time: secs(1), ..JobStatus::default() }
}

fn complete() -> JobStatus {
    JobStatus {
        conditions: true_conditions(&[SuccessCriteriaMet, Complete]),
        start_time: secs(1),
        completion_time: secs(5),
        ..JobStatus::default()
    }
}

fn failed() -> JobStatus {
    JobStatus {
        conditions: true_conditions(&[FailureTarget, Failed]),
        start_time: secs(1),
        ..JobStatus::default()
    }
}

fn status_errors(manifest: &JobManifest, old: JobStatus, new: JobStatus, minor: u16) -> Vec<FieldError> {
    let features = features(minor);
    let job = admitted(manifest, &features);
    super::super::status::validate(&with_status(job.clone(), new), &with_status(job, old), &features)
}

/// A case for 1.36; an empty expectation is an accepted write.
type Case<'a> = (&'a str, JobStatus, JobStatus, &'a [&'a str]);

fn judge(manifest: &JobManifest, cases: &[Case<'_>]) {
    for (case, old, new, expected) in cases {
        assert_errors(case, &status_errors(manifest, old.clone(), new.clone(), 36), expected);
    }
}

/// In force in every version.
#[test]
fn counters_and_uncounted_pods() {
    let negative = JobStatus {
        active: -1,
        succeeded: -1,
        failed: -1,
        ready: Some(-1),
        terminating: Some(-1),
        ..JobStatus::default()
    };
    let uncounted = |succeeded: &[u32], failed: &[u32]| JobStatus {
        uncounted: Some(UncountedPods {
            succeeded: succeeded.iter().copied().map(Uid).collect(),
            failed: failed.iter().copied().map(Uid).collect(),
        }),
        ..JobStatus::default()
    };
    for minor in [28, 31, 37] {
        let errors = |status| status_errors(&plain(), JobStatus::default(), status, minor);
        let fields: Vec<String> = errors(negative.clone()).into_iter().map(|error| error.field).collect();
        let always =
            ["status.active", "status.succeeded", "status.failed", "status.ready", "status.terminating"];
        assert_eq!(fields[..5], always, "negative counts");
        assert_errors("different uids", &errors(uncounted(&[1], &[2])), &[]);
        assert_errors(
            "duplicated uncounted pods",
            &errors(uncounted(&[1, 1], &[2, 1])),
            &[
                "status.uncountedTerminatedPods.succeeded[1]|Duplicate",
                "status.uncountedTerminatedPods.failed[1]|Duplicate",
            ],
        );
    }
}

#[test]
fn conditions_and_completion_time() {
    let conditions = |kinds: &[JobConditionType], status: JobStatus| JobStatus {
        conditions: true_conditions(kinds),
        ..status
    };
    judge(
        &plain(),
        &[
            ("completes", running(), complete(), &[]),
            ("fails", running(), failed(), &[]),
            (
                "invalid addition of both Failed=True and Complete=True",
                running(),
                conditions(&[SuccessCriteriaMet, Complete, Failed, FailureTarget], complete()),
                &[
                    "status.conditions|Invalid|cannot set Complete=True and Failed=true",
                    "status.conditions|Invalid|cannot set Complete=True and FailureTarget=true",
                    "status.conditions|Invalid|cannot set SuccessCriteriaMet=True and Failed=true",
                    "status.conditions|Invalid|cannot set SuccessCriteriaMet=True and FailureTarget=true",
                ],
            ),
            (
                "completionTime without Complete",
                running(),
                JobStatus { completion_time: secs(5), ..running() },
                &["status.completionTime|Invalid|cannot set completionTime when there is no"],
            ),
            (
                "Complete without completionTime",
                running(),
                JobStatus { completion_time: None, ..complete() },
                &["status.completionTime|Required|completionTime is required for Complete jobs"],
            ),
            (
                "completionTime before startTime",
                running(),
                JobStatus { completion_time: secs(0), ..complete() },
                &["status.completionTime|Invalid|must be equal to or after `startTime`"],
            ),
            (
                "completionTime at startTime",
                running(),
                JobStatus { completion_time: secs(1), ..complete() },
                &[],
            ),
            (
                "completionTime moves",
                complete(),
                JobStatus { completion_time: secs(6), ..complete() },
                &["status.completionTime|Invalid|field is immutable"],
            ),
            (
                "Failed without FailureTarget",
                running(),
                conditions(&[Failed], failed()),
                &["status.conditions|Invalid|cannot set Failed=True condition without"],
            ),
            (
                "Complete without SuccessCriteriaMet",
                running(),
                conditions(&[Complete], complete()),
                &["status.conditions|Invalid|cannot set Complete=True condition without"],
            ),
            ("FailureTarget alone", running(), conditions(&[FailureTarget], running()), &[]),
            (
                "Failed goes",
                failed(),
                conditions(&[FailureTarget], failed()),
                &["status.conditions|Invalid|cannot disable the terminal Failed=True condition"],
            ),
            (
                "FailureTarget goes",
                conditions(&[FailureTarget], running()),
                running(),
                &["status.conditions|Invalid|cannot disable the terminal FailureTarget=True condition"],
            ),
            (
                "SuccessCriteriaMet goes",
                conditions(&[SuccessCriteriaMet], running()),
                running(),
                &["status.conditions|Invalid|cannot disable the SuccessCriteriaMet=True condition"],
            ),
            (
                "SuccessCriteriaMet after Complete",
                conditions(&[Complete], complete()),
                complete(),
                &[
                    "status.conditions|Invalid|cannot set SuccessCriteriaMet=True for Job already has Complete",
                ],
            ),
        ],
    );
}

#[test]
fn finished_jobs() {
    let uncounted = Some(UncountedPods { succeeded: vec![Uid(1)], failed: vec![] });
    judge(
        &plain(),
        &[
            (
                "active",
                running(),
                JobStatus { active: 1, ..complete() },
                &["status.active|Invalid|active>0 is invalid"],
            ),
            (
                "no startTime",
                JobStatus::default(),
                JobStatus { start_time: None, ..complete() },
                &["status.startTime|Required|startTime is required for finished job"],
            ),
            (
                "uncounted",
                running(),
                JobStatus { uncounted, ..complete() },
                &["status.uncountedTerminatedPods|Invalid|must be empty for finished job"],
            ),
            (
                "terminating",
                running(),
                JobStatus { terminating: Some(1), ..complete() },
                &["status.terminating|Invalid|terminating>0 is invalid for finished job"],
            ),
            ("none terminating", running(), JobStatus { terminating: Some(0), ..complete() }, &[]),
            ("terminating before the end", running(), JobStatus { terminating: Some(1), ..running() }, &[]),
        ],
    );
    // #132614: nothing was ever to run.
    let empty = JobManifest { suspend: Some(true), parallelism: Some(0), ..indexed(0) };
    let ended = JobStatus { start_time: None, ..complete() };
    judge(&empty, &[("suspended with zero completions", JobStatus::default(), ended.clone(), &[])]);
    let resumed = JobManifest { suspend: Some(false), ..empty };
    judge(&resumed, &[("not suspended", JobStatus::default(), ended, &["status.startTime|Required"])]);
}

#[test]
fn indexes() {
    let per_index = JobManifest { backoff_limit_per_index: Some(1), ..indexed(5) };
    let with = |completed: &str, failed: Option<&str>| JobStatus {
        completed_indexes: completed.into(),
        failed_indexes: failed.map(Into::into),
        ..running()
    };
    let beyond = "status.completedIndexes|Invalid|error parsing completedIndexes: too large index: \"5\"";
    judge(
        &per_index,
        &[
            ("valid", running(), with("0,2-4", Some("1")), &[]),
            ("too large", running(), with("5", None), &[beyond]),
            ("left as a scale-down found it", with("5", Some("")), with("5", Some("")), &[]),
            (
                "format",
                running(),
                with("0-x", Some("")),
                &[
                    "status.completedIndexes|Invalid|error parsing completedIndexes: cannot convert string to integer for index: \"x\"",
                ],
            ),
            (
                "failed format",
                running(),
                with("", Some("3,1")),
                &[
                    "status.failedIndexes|Invalid|error parsing failedIndexes: non-increasing order, previous: 3, current: 1",
                ],
            ),
            (
                "overlap",
                running(),
                with("0,2-4", Some("1,3")),
                &["status.failedIndexes|Invalid|failedIndexes and completedIndexes overlap at index: 3"],
            ),
        ],
    );
    judge(
        &indexed(5),
        &[(
            "failedIndexes without backoffLimitPerIndex",
            running(),
            with("", Some("")),
            &[
                "status.failedIndexes|Invalid|cannot set non-null failedIndexes when backoffLimitPerIndex is null",
            ],
        )],
    );
    judge(
        &JobManifest { completions: Some(5), ..plain() },
        &[(
            "NonIndexed",
            running(),
            with("0", None),
            &[
                "status.completedIndexes|Invalid|cannot set non-empty completedIndexes when non-indexed completion mode",
            ],
        )],
    );
}

/// `TestValidateFailedIndexesNotOverlapCompleted`.
#[test]
fn overlap_of_indexes() {
    for (case, completed, failed, expected) in [
        ("empty intervals", "", "", None),
        ("empty completed intervals", "", "1-3", None),
        ("empty failed intervals", "1-2", "", None),
        ("non-overlapping intervals", "0,2-4,6-8,10,12-19", "1,9,11", None),
        ("overlapping intervals", "0,2-4,6-8,10,12-19", "1,8,10", Some(8)),
        ("corrupted completed interval skipped", "0,2-4,x,6-8,10,12-19", "1,8,10", Some(8)),
        ("corrupted failed interval skipped", "0,2-4,6-8,10,12-19", "1,y,8,10", Some(8)),
        ("first corrupted intervals skipped", "x,0,2-4,6-8,10,12-19", "y,1,8,10", Some(8)),
        ("last intervals corrupted", "0,2-4,6-8,10,12-19,x", "1,9,11,y", None),
    ] {
        assert_eq!(super::super::status::first_overlap(completed, failed, 20), expected, "{case}");
    }
}

#[test]
fn counters_that_go_one_way() {
    let count = |succeeded, failed| JobStatus { succeeded, failed, ..running() };
    let falls: &[&str] = &["status.succeeded|Invalid|cannot decrease the succeeded counter"];
    let elastic = JobManifest { parallelism: Some(5), ..indexed(5) };
    judge(
        &elastic,
        &[
            ("an elastic Job forgets successes", count(3, 0), count(1, 0), &[]),
            (
                "failures are not forgotten",
                count(0, 3),
                count(0, 2),
                &["status.failed|Invalid|cannot decrease the failed"],
            ),
            ("failures grow", count(0, 3), count(0, 4), &[]),
        ],
    );
    judge(&indexed(5), &[("parallelism differs", count(3, 0), count(1, 0), falls)]);
    judge(
        &JobManifest { completions: Some(2), parallelism: Some(2), ..plain() },
        &[("NonIndexed", count(3, 0), count(1, 0), falls)],
    );
}

#[test]
fn ready_pods() {
    let ready = |active, ready| JobStatus { active, ready, ..running() };
    let more: &[&str] = &["status.ready|Invalid|cannot set more ready pods than active"];
    judge(
        &plain(),
        &[
            ("as many", running(), ready(2, Some(2)), &[]),
            ("more", running(), ready(1, Some(2)), more),
            ("active falls below", ready(2, Some(2)), ready(0, Some(2)), more),
            ("untouched", ready(0, Some(2)), JobStatus { failed: 1, ..ready(0, Some(2)) }, &[]),
            ("not reported", running(), ready(0, None), &[]),
        ],
    );
}

#[test]
fn start_time() {
    let at = |start_time, suspended: Option<ConditionStatus>| JobStatus {
        start_time,
        conditions: suspended.map(|status| condition(Suspended, status)).into_iter().collect(),
        ..JobStatus::default()
    };
    let (was, is_not) = (Some(ConditionStatus::True), Some(ConditionStatus::False));
    let immutable: &[&str] = &["status.startTime|Invalid|field is immutable for unsuspended job once set"];
    judge(
        &plain(),
        &[
            ("set for the first time", at(None, None), at(secs(1), None), &[]),
            ("moved", at(secs(1), None), at(secs(2), None), immutable),
            ("removed", at(secs(1), None), at(None, None), immutable),
            ("moved while it resumes", at(secs(1), was), at(secs(2), is_not), &[]),
            ("moved after it resumed", at(secs(1), is_not), at(secs(2), is_not), immutable),
        ],
    );
    let suspended = JobManifest { suspend: Some(true), ..plain() };
    judge(&suspended, &[("removed while suspended", at(secs(1), None), at(None, was), &[])]);
}

#[test]
fn success_criteria_met() {
    let met = JobStatus { conditions: true_conditions(&[SuccessCriteriaMet]), ..running() };
    let both = JobStatus { conditions: true_conditions(&[SuccessCriteriaMet, FailureTarget]), ..running() };
    let policy =
        SuccessPolicy { rules: vec![SuccessRule { succeeded_indexes: None, succeeded_count: Some(1) }] };
    let judged = JobManifest { success_policy: Some(Arc::new(policy)), ..indexed(5) };
    let contradiction = "status.conditions|Invalid|cannot set SuccessCriteriaMet=True and FailureTarget=true";
    for (minor, expected) in
        [(29, vec![]), (30, vec![CONDITIONS, CONDITIONS, contradiction]), (31, vec![contradiction])]
    {
        let errors = status_errors(&plain(), running(), both.clone(), minor);
        assert_eq!(errors.len(), expected.len(), "1.{minor}: {errors:?}");
    }
    assert_errors(
        "1.30 without policy",
        &status_errors(&indexed(5), running(), met.clone(), 30),
        &["status.conditions|Invalid|cannot set SuccessCriteriaMet=True for Job without SuccessPolicy"],
    );
    let only_complete = JobStatus { conditions: true_conditions(&[Complete]), ..complete() };
    assert_errors(
        "with a policy",
        &status_errors(&judged, running(), only_complete, 31),
        &["status.conditions|Invalid|cannot set Complete=True for Job with SuccessPolicy unless"],
    );
    assert_errors("with a policy and the condition", &status_errors(&judged, running(), complete(), 31), &[]);
}

/// 1.31 has the strict rules behind an alpha gate, 1.32 has them on, and wordings changed later.
#[test]
fn strictness_and_wording_by_version() {
    let fewer = JobStatus { failed: 0, ..running() };
    let more = JobStatus { failed: 1, ..running() };
    let late = JobStatus { completion_time: secs(9), ..complete() };
    let moved = JobStatus { start_time: secs(2), ..running() };
    for minor in 28..=31 {
        assert_errors("lenient", &status_errors(&plain(), more.clone(), fewer.clone(), minor), &[]);
        assert_errors("lenient", &status_errors(&plain(), running(), moved.clone(), minor), &[]);
    }
    for minor in 32..=37 {
        assert_errors(
            "strict",
            &status_errors(&plain(), more.clone(), fewer.clone(), minor),
            &["status.failed"],
        );
        let completion = if minor < 34 { "completionTime cannot be mutated" } else { "field is immutable" };
        let completion = format!("status.completionTime|Invalid|{completion}");
        assert_errors("wording", &status_errors(&plain(), complete(), late.clone(), minor), &[&completion]);
        let start = if minor < 36 {
            "Required|startTime cannot be removed"
        } else {
            "Invalid|field is immutable for"
        };
        let start = format!("status.startTime|{start}");
        assert_errors("wording", &status_errors(&plain(), running(), moved.clone(), minor), &[&start]);
    }
}
