//! Random updates of a Job's status: steps that the controller takes, and steps that nobody should.

use towtank_model::objects::{
    ConditionStatus, Job, JobCondition, JobConditionType, JobStatus, Uid, UncountedPods,
};
use towtank_model::time::Time;

use crate::draw::Draw;

const TYPES: [JobConditionType; 5] = [
    JobConditionType::Suspended,
    JobConditionType::Complete,
    JobConditionType::Failed,
    JobConditionType::FailureTarget,
    JobConditionType::SuccessCriteriaMet,
];

/// A random next status.
pub(super) fn change(draw: &mut Draw, job: &Job) -> JobStatus {
    let mut status = job.status.clone();
    if draw.one_in(2) {
        proper_step(draw, job, &mut status);
    }
    for _ in 0..draw.below(4) {
        improper_step(draw, &mut status);
    }
    status
}

/// Something that a controller does.
fn proper_step(draw: &mut Draw, job: &Job, status: &mut JobStatus) {
    use JobConditionType::{Complete, Failed, FailureTarget, SuccessCriteriaMet, Suspended};
    match draw.below(7) {
        0 => status.start_time = status.start_time.or_else(|| Some(time(draw))),
        1 => {
            status.active = draw.count();
            status.ready = Some(status.active);
            status.terminating = Some(0);
        }
        2 => {
            status.succeeded = status.succeeded.saturating_add(1);
            if job.spec.is_indexed() {
                status.completed_indexes = draw.indexes().into();
            }
        }
        3 => {
            status.failed = status.failed.saturating_add(1);
            if job.spec.backoff_limit_per_index.is_some() {
                status.failed_indexes = Some(draw.indexes().into());
            }
        }
        4 => {
            let status_now = draw.one_of(&[ConditionStatus::True, ConditionStatus::False]);
            set(status, Suspended, status_now);
            status.start_time = draw.maybe(2, time);
        }
        5 => set(status, draw.one_of(&[FailureTarget, SuccessCriteriaMet]), ConditionStatus::True),
        _ => {
            status.active = 0;
            status.ready = Some(0);
            status.terminating = Some(0);
            status.uncounted = None;
            status.start_time = status.start_time.or(Some(Time::ZERO));
            if draw.one_in(2) {
                set(status, FailureTarget, ConditionStatus::True);
                set(status, Failed, ConditionStatus::True);
            } else {
                set(status, SuccessCriteriaMet, ConditionStatus::True);
                set(status, Complete, ConditionStatus::True);
                status.completion_time = Some(Time::from_secs(9));
            }
        }
    }
}

/// Sets a condition, or appends it.
fn set(status: &mut JobStatus, kind: JobConditionType, to: ConditionStatus) {
    match status.conditions.iter_mut().find(|condition| condition.kind == kind) {
        Some(condition) => condition.status = to,
        None => status.conditions.push(condition(kind, to)),
    }
}

fn condition(kind: JobConditionType, status: ConditionStatus) -> JobCondition {
    JobCondition {
        kind,
        status,
        reason: "Reason".into(),
        message: "a message".into(),
        last_transition_time: Time::from_secs(3),
    }
}

/// Changes one thing, sensibly or not.
fn improper_step(draw: &mut Draw, status: &mut JobStatus) {
    let some = |draw: &mut Draw| draw.one_of(&[None, Some(0), Some(1), Some(2), Some(5), Some(-1)]);
    match draw.below(14) {
        0 => status.active = draw.count(),
        1 => status.ready = some(draw),
        2 => status.terminating = some(draw),
        3 => status.succeeded = draw.count(),
        4 => status.failed = draw.count(),
        5 => status.completed_indexes = draw.indexes().into(),
        6 => status.failed_indexes = draw.maybe(2, |draw| draw.indexes().into()),
        7 => status.start_time = draw.maybe(2, time),
        8 => status.completion_time = draw.maybe(2, time),
        9 | 10 => {
            let statuses = [
                ConditionStatus::True,
                ConditionStatus::True,
                ConditionStatus::False,
                ConditionStatus::Unknown,
            ];
            let to = draw.one_of(&statuses);
            set(status, draw.one_of(&TYPES), to);
        }
        11 => {
            if !status.conditions.is_empty() {
                let position = draw.below(status.conditions.len());
                status.conditions.remove(position);
            }
        }
        12 => {
            let statuses = [ConditionStatus::True, ConditionStatus::False];
            status.conditions.push(condition(draw.one_of(&TYPES), draw.one_of(&statuses)));
        }
        _ => {
            let uids = |draw: &mut Draw| draw.list(3, |draw| Uid(u32::try_from(draw.below(4)).unwrap_or(0)));
            status.uncounted =
                draw.maybe(2, |draw| UncountedPods { succeeded: uids(draw), failed: uids(draw) });
        }
    }
}

fn time(draw: &mut Draw) -> Time {
    Time::from_micros(draw.one_of(&[0, 1_000_000, 1_500_000, 5_000_000, 9_000_000]))
}
