//! Writes to Jobs.

use super::*;
use crate::objects::{ConditionStatus, JobCondition, JobConditionType};

fn suspended_condition(last_transition_time: Time) -> JobCondition {
    JobCondition {
        kind: JobConditionType::Suspended,
        status: ConditionStatus::True,
        reason: "JobSuspended".into(),
        message: "Job suspended".into(),
        last_transition_time,
    }
}

#[test]
fn a_created_job_is_truncated_defaulted_and_without_status() {
    let mut server = server(36);
    let job = server.create_job(Time::from_millis(1_900), Actor::User, key("a"), &elastic(&[])).unwrap();
    assert_eq!(job.creation_time, Time::from_secs(1));
    assert_eq!((job.generation, &job.status), (1, &JobStatus::default()));
    assert_eq!(job.spec.backoff_limit, 6);
    assert_eq!(changes(&mut server), ["+job"]);
}

#[test]
fn updates_raise_the_generation_only_with_the_spec() {
    let mut server = server(36);
    let job = created(&mut server, "a");
    let scaled = JobManifest { completions: Some(5), parallelism: Some(5), ..JobManifest::default() };
    let larger = server.update_job(Time::ZERO, Actor::User, &key("a"), &scaled).unwrap();
    assert_eq!((larger.generation, larger.resource_version), (2, 2));
    let same = server.update_job(Time::ZERO, Actor::User, &key("a"), &scaled).unwrap();
    assert!(Arc::ptr_eq(&same, &larger), "a write that changes nothing leaves nothing");
    let mut applied = elastic(&[]);
    (applied.completions, applied.parallelism) = (Some(5), Some(5));
    let same = server.update_job(Time::ZERO, Actor::User, &key("a"), &applied).unwrap();
    assert!(Arc::ptr_eq(&same, &larger), "the same manifest again");
    let labels: Labels = [("team".into(), "a".into())].into();
    let labelled = JobManifest { labels, ..JobManifest::default() };
    let labelled = server.update_job(Time::ZERO, Actor::User, &key("a"), &labelled).unwrap();
    assert_eq!((labelled.generation, labelled.resource_version), (2, 3));
    assert_eq!(changes(&mut server), ["+job", "~job", "~job"]);

    let lopsided = JobManifest { completions: Some(6), ..JobManifest::default() };
    let refused = server.update_job(Time::ZERO, Actor::User, &key("a"), &lopsided);
    assert!(
        matches!(refused, Err(ApiError::Invalid { errors, .. }) if errors[0].field == "spec.completions")
    );
    let missing = server.update_job(Time::ZERO, Actor::User, &key("b"), &scaled);
    assert_eq!(missing, Err(ApiError::NotFound { kind: "jobs", key: key("b") }));
    assert_eq!((job.generation, changes(&mut server).len()), (1, 0));
}

#[test]
fn status_writes_conflict_on_any_version_but_the_last() {
    let mut server = server(36);
    let job = created(&mut server, "a");
    let status = JobStatus {
        start_time: Some(Time::from_millis(2_700)),
        conditions: vec![suspended_condition(Time::from_millis(2_700))],
        ..JobStatus::default()
    };
    let write = |server: &mut Server, version, status: &JobStatus| {
        server.update_job_status(Time::from_secs(3), Actor::JobController, job.uid, version, status.clone())
    };
    let written = write(&mut server, 1, &status).unwrap();
    assert_eq!(written.status.start_time, Some(Time::from_secs(2)));
    assert_eq!(written.status.conditions, [suspended_condition(Time::from_secs(2))]);
    assert_eq!(write(&mut server, 1, &status), Err(ApiError::Conflict { kind: "jobs", key: key("a") }));
    let same = write(&mut server, 2, &status).unwrap();
    assert!(Arc::ptr_eq(&same, &written), "equal after truncation");
    let scaled = JobManifest { completions: Some(1), parallelism: Some(1), ..JobManifest::default() };
    server.update_job(Time::from_secs(3), Actor::User, &key("a"), &scaled).unwrap();
    assert_eq!(
        write(&mut server, 2, &JobStatus::default()),
        Err(ApiError::Conflict { kind: "jobs", key: key("a") })
    );
    let invalid = JobStatus { ready: Some(1), ..written.status.clone() };
    assert!(matches!(write(&mut server, 3, &invalid), Err(ApiError::Invalid { .. })));
    assert_eq!(changes(&mut server), ["+job", "~job", "~job"]);
}

#[test]
fn writes_to_a_job_that_was_replaced_conflict() {
    let mut server = server(36);
    let job = created(&mut server, "a");
    server.delete_job(Time::ZERO, Actor::User, &key("a"), Propagation::Background).unwrap();
    let write = |server: &mut Server, uid| {
        server.update_job_status(Time::ZERO, Actor::JobController, uid, 1, JobStatus::default()).unwrap_err()
    };
    assert_eq!(write(&mut server, job.uid), ApiError::NotFound { kind: "jobs", key: key("a") });
    created(&mut server, "a");
    assert_eq!(write(&mut server, job.uid), ApiError::Conflict { kind: "jobs", key: key("a") });
    assert!(matches!(write(&mut server, Uid(77)), ApiError::NotFound { .. }));
}

/// What is there after a deletion, by propagation and finalizers.
#[test]
fn deletion_by_propagation() {
    let hold = "example.com/hold";
    for (propagation, own, finalizers) in [
        (Propagation::Background, None, vec![]),
        (Propagation::Background, Some(hold), vec![hold]),
        (Propagation::Foreground, None, vec![FOREGROUND_DELETION]),
        (Propagation::Foreground, Some(hold), vec![hold, FOREGROUND_DELETION]),
        (Propagation::Orphan, None, vec![ORPHAN_DEPENDENTS]),
    ] {
        let case = format!("{propagation:?} {own:?}");
        let mut server = server(36);
        let manifest = JobManifest { finalizers: own.into_iter().map(Into::into).collect(), ..elastic(&[]) };
        server.create_job(Time::ZERO, Actor::User, key("a"), &manifest).unwrap();
        let now = Time::from_millis(5_500);
        server.delete_job(now, Actor::User, &key("a"), propagation).unwrap();
        let Some(job) = server.job_by_key(&key("a")).cloned() else {
            assert_eq!(
                (finalizers.len(), changes(&mut server)),
                (0, vec!["+job".to_owned(), "-job".to_owned()]),
                "{case}"
            );
            continue;
        };
        assert_eq!(job.finalizers.iter().map(|one| &**one).collect::<Vec<_>>(), finalizers, "{case}");
        assert_eq!((job.deletion_time, job.generation), (Some(Time::from_secs(5)), 2), "{case}");
        server.remove_job_finalizer(now, Actor::User, job.uid, "no such").unwrap();
        assert_eq!(changes(&mut server), ["+job", "~job"], "{case}");
        for finalizer in finalizers {
            assert!(server.job(job.uid).is_some(), "{case}");
            server.remove_job_finalizer(now, Actor::GarbageCollector, job.uid, finalizer).unwrap();
        }
        assert_eq!(server.job(job.uid), None, "{case}");
    }
}

#[test]
fn deleting_again_replaces_the_propagation() {
    let mut server = server(36);
    created(&mut server, "a");
    let delete = |server: &mut Server, secs, propagation| {
        server.delete_job(Time::from_secs(secs), Actor::User, &key("a"), propagation).unwrap();
        server.job_by_key(&key("a")).map(|job| (job.deletion_time, job.finalizers.concat()))
    };
    let at_one = Some(Time::from_secs(1));
    assert_eq!(delete(&mut server, 1, Propagation::Orphan), Some((at_one, "orphan".to_owned())));
    assert_eq!(
        delete(&mut server, 2, Propagation::Foreground),
        Some((at_one, "foregroundDeletion".to_owned()))
    );
    assert_eq!(delete(&mut server, 3, Propagation::Background), None);
}

#[test]
fn a_finalizer_of_a_living_job_lets_nothing_go() {
    let mut server = server(36);
    let manifest = JobManifest { finalizers: vec!["example.com/hold".into()], ..elastic(&[]) };
    let job = server.create_job(Time::ZERO, Actor::User, key("a"), &manifest).unwrap();
    server.remove_job_finalizer(Time::ZERO, Actor::User, job.uid, "example.com/hold").unwrap();
    assert_eq!(changes(&mut server), ["+job", "~job"]);
    let gone = server.remove_job_finalizer(Time::ZERO, Actor::User, Uid(9), "example.com/hold");
    assert!(matches!(gone, Err(ApiError::NotFound { .. })));
}

#[test]
fn what_a_reader_could_not_read_is_refused() {
    let mut server = server(36);
    let action = crate::admission::FieldError::not_supported(
        "spec.podFailurePolicy.rules[0].action",
        &["Count", "FailIndex", "FailJob", "Ignore"],
    );
    let manifest = JobManifest { unreadable: vec![action.clone()], ..elastic(&[]) };
    let refused = server.create_job(Time::ZERO, Actor::User, key("a"), &manifest);
    assert_eq!(refused, Err(ApiError::Invalid { key: key("a"), errors: vec![action.clone()] }));
    created(&mut server, "a");
    let update = JobManifest { unreadable: vec![action.clone()], ..JobManifest::default() };
    let refused = server.update_job(Time::ZERO, Actor::User, &key("a"), &update);
    assert_eq!(refused, Err(ApiError::Invalid { key: key("a"), errors: vec![action] }));
}

/// `deletionFinalizersForGarbageCollection` compares sets: what says the right thing already keeps its place.
#[test]
fn a_propagation_that_is_there_already_keeps_its_place() {
    let mut server = server(36);
    let finalizers = vec![ORPHAN_DEPENDENTS.into(), "example.com/hold".into()];
    let manifest = JobManifest { finalizers, ..elastic(&[]) };
    server.create_job(Time::ZERO, Actor::User, key("a"), &manifest).unwrap();
    let finalizers = |server: &Server| server.job_by_key(&key("a")).unwrap().finalizers.join(" ");
    server.delete_job(Time::ZERO, Actor::User, &key("a"), Propagation::Orphan).unwrap();
    assert_eq!(finalizers(&server), "orphan example.com/hold");
    server.delete_job(Time::ZERO, Actor::User, &key("a"), Propagation::Foreground).unwrap();
    assert_eq!(finalizers(&server), "example.com/hold foregroundDeletion");
}
