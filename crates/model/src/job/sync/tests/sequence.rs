//! The order of calls and effects within a sync, and what errors do to it.

use super::build::{Change, NOW, job, pod, pods, snapshot};
use super::drive::{Api, run, run_at};
use super::*;
use crate::objects::*;

#[test]
fn slow_start_doubles_its_batches() {
    let outcome = run(snapshot(36, job(100, Some(100), true), vec![]), &Api::default());
    assert_eq!(outcome.batches, [1, 2, 4, 8, 16, 32, 37]);
    assert_eq!(outcome.created_indexes(), (0..100).collect::<Vec<_>>());
    assert_eq!(outcome.effects[0], Effect::ExpectCreations(100));
    assert!(!outcome.effects.contains(&Effect::CreationObserved));
}

#[test]
fn one_sync_creates_at_most_500_pods() {
    let outcome = run(snapshot(36, job(700, Some(700), false), vec![]), &Api::default());
    assert_eq!(outcome.created.len(), 500);
    assert_eq!(outcome.statuses.last().map(|status| status.active), Some(500));
    let outcome = run(snapshot(36, job(0, Some(700), false), pods("R*600")), &Api::default());
    assert_eq!(outcome.deleted.len(), 500);
    let mut suspended = job(600, Some(700), false);
    suspended.spec.suspend = true;
    let outcome = run(snapshot(36, suspended, pods("R*600")), &Api::default());
    assert_eq!(outcome.deleted.len(), 600, "suspending knows no cap");
}

/// After a batch with an error the rest is skipped, and no creation that did not happen is expected.
#[test]
fn an_error_stops_the_slow_start_and_is_told_at_the_end() {
    let api = Api { create_limit: Some(10), ..Api::default() };
    let outcome = run(snapshot(36, job(100, Some(200), false), vec![]), &api);
    assert_eq!(outcome.batches, [1, 2, 4, 8], "5 of the last batch fail, 85 are not tried");
    assert_eq!(outcome.effects.iter().filter(|&effect| *effect == Effect::CreationObserved).count(), 90);
    assert_eq!(
        outcome.statuses.last().map(|status| status.active),
        Some(10),
        "the status is written all the same"
    );
    assert_eq!(outcome.error, Some(ApiError::Forbidden("quota".into())));
    let failures = outcome
        .events()
        .into_iter()
        .filter(|event| event == "FailedCreate: Error creating: forbidden: quota");
    assert_eq!(failures.count(), 5);
}

/// Spec section 1.6, item 5.
#[test]
fn a_terminating_namespace_is_no_error() {
    let mut pass = SyncPass::new(snapshot(36, job(1, Some(1), false), vec![]), true);
    let Step::Call { effects, .. } = pass.next(NOW, vec![]) else { panic!("a creation") };
    assert_eq!(effects, [Effect::ExpectCreations(1)]);
    let refused = Err(ApiError::NamespaceTerminating("default".into()));
    let Step::Call { effects, writes } = pass.next(NOW, vec![refused]) else { panic!("a status write") };
    assert_eq!(effects, [], "neither an Event nor a lower expectation");
    let [Write::UpdateStatus { status, .. }] = &writes[..] else { panic!("a status write") };
    assert_eq!(status.active, 1);
    let done = pass.next(NOW, vec![Ok(Written::from(2))]);
    let stored = Effect::StoreBackoff(BackoffRecord::default());
    assert_eq!(done, Step::Done { effects: vec![stored], error: None });
    assert_eq!(
        pass.next(NOW, vec![]),
        Step::Done { effects: vec![], error: None },
        "and nothing after the end"
    );
}

/// Every effect of a sync that counts, finishes and reports, in order.
#[test]
fn the_effects_of_a_last_sync() {
    let outcome = run(snapshot(36, job(1, Some(1), true), pods("S0")), &Api::default());
    let record = |reason: &'static str, message: &str| {
        Effect::Record(crate::server::EventDraft {
            job: Uid(0),
            is_warning: false,
            reason: reason.into(),
            message: message.into(),
        })
    };
    assert_eq!(
        outcome.effects,
        [
            Effect::StoreBackoff(BackoffRecord::default()),
            Effect::ExpectFinalizersGone(vec![Uid(1)]),
            record("Completed", "Job completed"),
            Effect::Finished,
        ]
    );
    let before_1_34 = run(snapshot(33, job(1, Some(1), true), pods("S0")), &Api::default());
    assert!(!before_1_34.effects.contains(&Effect::Finished));
}

/// A refused first write ends the sync: no finalizer is removed, no back-off record is stored; what was done to pods
/// stands (spec section 2, step 17).
#[test]
fn a_refused_first_write_ends_the_sync() {
    let conflict = ApiError::Conflict { kind: "jobs", key: ObjectKey::new("default", "job") };
    let api = Api { status_error: Some(conflict.clone()), ..Api::default() };
    let outcome = run(snapshot(36, job(3, Some(5), true), pods("F0 R1")), &api);
    assert_eq!((outcome.statuses.len(), outcome.patched.len(), outcome.created.len()), (1, 0, 2));
    assert!(!outcome.effects.iter().any(|effect| matches!(effect, Effect::StoreBackoff(_))));
    assert_eq!(outcome.error, Some(conflict));
}

#[test]
fn a_failed_deletion_is_expected_no_more() {
    let api = Api { missing: [Uid(1)].into(), ..Api::default() };
    let outcome = run(snapshot(36, job(0, Some(5), false), pods("R R")), &api);
    assert_eq!(outcome.effects[0], Effect::ExpectDeletions(2));
    assert_eq!(outcome.effects.iter().filter(|&effect| *effect == Effect::DeletionObserved).count(), 1);
    assert_eq!(outcome.error, None, "what is not there needs no deletion");
    let status = outcome.statuses.last().expect("a status");
    assert_eq!((status.active, status.terminating), (0, Some(2)));
    assert_eq!(outcome.events(), ["SuccessfulDelete: Deleted pod: pod-2"]);
    let outcome =
        run(snapshot(36, job(0, Some(5), false), pods("R R")), &Api { pods_fail: true, ..Api::default() });
    let status = outcome.statuses.last().expect("a status");
    assert_eq!((status.active, status.terminating), (2, Some(0)));
    assert_eq!(outcome.error, Some(ApiError::Unreachable));
    assert!(outcome.events().iter().all(|event| event.starts_with("FailedDelete: Error deleting: ")));
}

/// A suspended Job without active pods still replaces what was expected (spec section 1.6).
#[test]
fn suspending_expects_even_no_deletion() {
    let mut suspended = job(2, Some(5), false);
    suspended.spec.suspend = true;
    let outcome = run(snapshot(36, suspended, vec![]), &Api::default());
    assert_eq!(outcome.effects[0], Effect::ExpectDeletions(0));
    assert_eq!(outcome.events(), ["Suspended: Job suspended"]);
}

#[test]
fn a_removal_that_finds_nothing_counts_but_is_expected_no_more() {
    let api = Api { missing: [Uid(1)].into(), ..Api::default() };
    let outcome = run(snapshot(36, job(0, Some(5), false), pods("F F")), &api);
    assert!(outcome.effects.contains(&Effect::FinalizerStays(Uid(1))));
    assert!(!outcome.effects.contains(&Effect::FinalizerStays(Uid(2))));
    assert_eq!(outcome.statuses.last().map(|status| status.failed), Some(2));
    assert_eq!(outcome.error, None);
}

/// A decided Job whose pods cannot all be deleted is not declared so.
#[test]
fn a_decision_waits_for_every_deletion() {
    let mut job = job(2, Some(5), false);
    job.spec.backoff_limit = 0;
    let outcome = run(snapshot(36, job, pods("R F")), &Api { pods_fail: true, ..Api::default() });
    let status = outcome.statuses.last().expect("a status");
    assert_eq!((status.active, status.conditions.len()), (1, 0));
    assert_eq!(outcome.error, Some(ApiError::Unreachable));
}

/// An answer that does not come is an error, not a panic.
#[test]
fn a_missing_answer_is_a_lost_one() {
    let mut pass = SyncPass::new(snapshot(36, job(1, Some(1), false), vec![]), false);
    pass.next(NOW, vec![]);
    let Step::Call { effects, .. } = pass.next(NOW, vec![]) else { panic!("a status write") };
    assert!(effects.contains(&Effect::CreationObserved));
    assert_eq!(pass.next(NOW, vec![]), Step::Done { effects: vec![], error: Some(ApiError::AnswerLost) });
}

/// Times are stored in whole seconds, but the deadline of the first sync is reckoned from the exact start.
#[test]
fn the_first_deadline_is_exact() {
    let mut job = job(1, Some(1), false);
    job.spec.active_deadline_seconds = Some(30);
    let now = Time::from_millis(5_700);
    let outcome = run_at(snapshot(36, job, vec![]), &Api::default(), now);
    assert_eq!(outcome.requeues_ms(), [30_000]);
    assert_eq!(outcome.statuses[0].start_time, Some(Time::from_secs(5)));
}

/// Resuming begins anew: start time and deadline.
#[test]
fn resuming_restarts_the_clock() {
    let mut job = job(1, Some(1), false);
    let suspended = super::build::condition(JobConditionType::Suspended, ConditionStatus::True);
    job.status =
        JobStatus { start_time: Some(Time::ZERO), conditions: vec![suspended], ..JobStatus::default() };
    let outcome = run(snapshot(33, job, vec![]), &Api::default());
    let status = outcome.statuses.last().expect("a status");
    assert_eq!(status.start_time, Some(NOW));
    assert_eq!(&*status.conditions[0].reason, "JobResumed");
    assert!(outcome.events().contains(&"Resumed: Job resumed".to_owned()));
}

/// KEP-3715, the four `TestElasticIndexedJob` situations as single syncs.
#[test]
fn elastic_shrink_and_growth() {
    let elastic = |size: i32, completed: &str| {
        let mut job = job(size, Some(size), true);
        job.status.completed_indexes = completed.into();
        job.status.succeeded = 1;
        job
    };
    let shrunk = run(snapshot(36, elastic(1, "1"), pods("R0 R2")), &Api::default());
    assert_eq!(shrunk.deleted, [Uid(2)], "exactly the pods out of range");
    let status = shrunk.statuses.last().expect("a status");
    assert_eq!(
        (&*status.completed_indexes, status.succeeded, status.active),
        ("", 0, 1),
        "index 1 is forgotten"
    );
    let grown = run(snapshot(36, elastic(4, "1"), pods("R0 R2")), &Api::default());
    assert_eq!(grown.created_indexes(), [3], "the completed index gets no pod");
    let to_zero = run(snapshot(36, elastic(0, "1"), pods("R0 R2")), &Api::default());
    assert_eq!(to_zero.deleted.len(), 2);
    let status = to_zero.statuses.last().expect("a status");
    assert!(status.true_condition(JobConditionType::SuccessCriteriaMet).is_some() && !status.is_finished());
    let before_1_31 = run(snapshot(30, elastic(0, "1"), pods("R0 R2")), &Api::default());
    assert!(before_1_31.statuses.last().expect("a status").is_finished(), "pods still terminate");
}

/// Truncation happens whether or not pods may be managed.
#[test]
fn unmet_expectations_do_not_stop_the_forgetting() {
    let mut job = job(2, Some(2), true);
    job.status.completed_indexes = "3".into();
    let mut snapshot = snapshot(36, job, vec![pod(1, PodPhase::Running).index(5)]);
    snapshot.expectations_satisfied = false;
    let outcome = run(snapshot, &Api::default());
    assert_eq!(outcome.deleted, []);
    assert_eq!(outcome.statuses.last().map(|status| &*status.completed_indexes), Some(""));
}
