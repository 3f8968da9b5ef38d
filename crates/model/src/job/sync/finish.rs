//! The end of a Job (steps 20 and 21 of a sync; upstream `enactJobFinished` and `recordJobFinished`), and conditions in
//! general.

use std::sync::Arc;

use super::contract::{Effect, Snapshot};
use super::decide::Verdict;
use super::findings::{Notes, Rule, Subject};
use crate::objects::{ConditionStatus, JobCondition, JobConditionType, JobStatus};
use crate::server::EventDraft;
use crate::time::Time;

/// Sets a condition (upstream `TestEnsureJobConditions`): one that is there is replaced when anything differs, one that
/// is not there is added unless it would be False. Returns whether anything changed.
pub(super) fn ensure_condition(conditions: &mut Vec<JobCondition>, wanted: JobCondition) -> bool {
    match conditions.iter_mut().find(|condition| condition.kind == wanted.kind) {
        Some(present) => {
            let differs = present.status != wanted.status
                || present.reason != wanted.reason
                || present.message != wanted.message;
            if differs {
                *present = wanted;
            }
            differs
        }
        None if wanted.status == ConditionStatus::False => false,
        None => {
            conditions.push(wanted);
            true
        }
    }
}

/// Sets or clears the condition Suspended as the spec says. Returns the Event to record if it changed.
pub(super) fn follow_suspension(
    snapshot: &Snapshot,
    status: &mut JobStatus,
    now: Time,
    notes: &mut Notes,
) -> Option<Effect> {
    let suspended = snapshot.job.spec.suspend;
    let (condition, reason, message) = if suspended {
        (ConditionStatus::True, "JobSuspended", "Job suspended")
    } else {
        (ConditionStatus::False, "JobResumed", "Job resumed")
    };
    let present = status.condition(JobConditionType::Suspended);
    let is_void = match present {
        None => !suspended,
        Some(present) => {
            present.status == condition && &*present.reason == reason && &*present.message == message
        }
    };
    if is_void {
        return None;
    }
    let wanted = JobCondition {
        kind: JobConditionType::Suspended,
        status: condition,
        reason: reason.into(),
        message: message.into(),
        last_transition_time: now.truncated_to_second(),
    };
    ensure_condition(&mut status.conditions, wanted);
    if !suspended {
        status.start_time = Some(now);
    } else if mutant!(49, snapshot.features.clears_start_time_on_suspend => false) {
        status.start_time = None;
    }
    let (rule, event) = if suspended { (Rule::Suspended, "Suspended") } else { (Rule::Resumed, "Resumed") };
    notes.add(|| (Subject::Job, rule, String::new()));
    Some(event_about(snapshot, false, event, message.to_owned()))
}

/// Whether a decided Job is finished: every ended pod is counted and, from 1.31, no pod is terminating.
pub(super) fn may_finish(
    snapshot: &Snapshot,
    status: &JobStatus,
    terminating: usize,
    notes: &mut Notes,
) -> bool {
    if let Some(uncounted) = status.uncounted.as_ref().filter(|uncounted| !uncounted.is_empty()) {
        let left = uncounted.succeeded.len() + uncounted.failed.len();
        notes.add(|| (Subject::Job, Rule::FinalWaitsForUncounted, format!("{left} uncounted")));
        return false;
    }
    if snapshot.features.delays_terminal_condition && mutant!(46, terminating > 0 => false) {
        notes.add(|| (Subject::Job, Rule::FinalWaitsForTerminating, format!("{terminating} terminating")));
        return false;
    }
    true
}

/// Writes the final condition.
pub(super) fn enact(verdict: &Verdict, status: &mut JobStatus, now: Time, notes: &mut Notes) {
    let condition = JobCondition { last_transition_time: now.truncated_to_second(), ..verdict.condition() };
    ensure_condition(&mut status.conditions, condition);
    if mutant!(50, verdict.kind == JobConditionType::Complete => true) {
        status.completion_time = Some(verdict.at.truncated_to_second());
    }
    notes.add(|| (Subject::Job, Rule::Finished, format!("{} {}", verdict.kind.as_str(), verdict.reason)));
}

/// The Events about the end.
pub(super) fn events(snapshot: &Snapshot, verdict: &Verdict, status: &JobStatus, effects: &mut Vec<Effect>) {
    if verdict.kind != JobConditionType::Complete {
        let message = verdict.message.to_string();
        effects.push(event_about(snapshot, true, known_reason(&verdict.reason), message));
        return;
    }
    if snapshot.job.spec.completions.is_some_and(|completions| status.succeeded > completions) {
        let message = "Too many succeeded pods running after completion count reached".to_owned();
        effects.push(event_about(snapshot, true, "TooManySucceededPods", message));
    }
    effects.push(event_about(snapshot, false, "Completed", "Job completed".to_owned()));
}

/// An Event about the Job.
pub(super) fn about(
    snapshot: &Snapshot,
    is_warning: bool,
    reason: &'static str,
    message: String,
) -> EventDraft {
    EventDraft { job: snapshot.job.uid, is_warning, reason: reason.into(), message }
}

fn event_about(snapshot: &Snapshot, is_warning: bool, reason: &'static str, message: String) -> Effect {
    Effect::Record(about(snapshot, is_warning, reason, message))
}

/// The reason of a failure as an Event's reason. Only a user who writes the status can bring in another one.
fn known_reason(reason: &Arc<str>) -> &'static str {
    const REASONS: [&str; 5] = [
        "PodFailurePolicy",
        "BackoffLimitExceeded",
        "DeadlineExceeded",
        "MaxFailedIndexesExceeded",
        "FailedIndexes",
    ];
    REASONS.into_iter().find(|known| *known == &**reason).unwrap_or("Failed")
}
