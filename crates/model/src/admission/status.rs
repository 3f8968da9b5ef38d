//! Rules for updates of a Job's status (upstream `ValidateJobUpdateStatus` and `getStatusValidationOptions`).
//!
//! Few rules are as old as the subresource. Most came with KEP-4368 and are in force from 1.32 on, where they bind the
//! built-in controller too; to leave alone what a change of the spec made wrong, most of them look only at parts of the
//! status that the write changes.

use std::collections::BTreeSet;

use super::{FieldError, non_negative};
use crate::index_set::IndexSet;
use crate::objects::{ConditionStatus, Job, JobConditionType, JobStatus, Uid};
use crate::version::Features;

const ACTIVE: &str = "status.active";
const CONDITIONS: &str = "status.conditions";
const COMPLETED_INDEXES: &str = "status.completedIndexes";
const COMPLETION_TIME: &str = "status.completionTime";
const FAILED_INDEXES: &str = "status.failedIndexes";
const START_TIME: &str = "status.startTime";
const UNCOUNTED: &str = "status.uncountedTerminatedPods";

/// Every rule that the step from the status of `old` to that of `new` breaks. Both have the same spec.
pub fn validate(new: &Job, old: &Job, features: &Features) -> Vec<FieldError> {
    let mut errors = Vec::new();
    validate_counters(&mut errors, &new.status);
    let mut step = Step { new, old, features, errors };
    if features.strict_status_validation {
        step.conditions_and_times();
        step.finished();
        step.indexes();
        step.pods();
    }
    if features.success_criteria_status_rules {
        step.success_criteria();
    }
    if features.strict_status_validation {
        step.monotony();
        step.immutable_times();
    }
    if features.success_criteria_status_rules {
        step.lasting_success_criteria();
    }
    step.errors
}

/// The rules that were always there.
fn validate_counters(errors: &mut Vec<FieldError>, status: &JobStatus) {
    non_negative(errors, ACTIVE, Some(status.active.into()));
    non_negative(errors, "status.succeeded", Some(status.succeeded.into()));
    non_negative(errors, "status.failed", Some(status.failed.into()));
    non_negative(errors, "status.ready", status.ready.map(i64::from));
    non_negative(errors, "status.terminating", status.terminating.map(i64::from));
    let Some(uncounted) = &status.uncounted else { return };
    let mut seen: BTreeSet<Uid> = BTreeSet::new();
    for (list, uids) in [("succeeded", &uncounted.succeeded), ("failed", &uncounted.failed)] {
        for (position, uid) in uids.iter().enumerate() {
            if !seen.insert(*uid) {
                errors.push(FieldError::duplicate(format!("{UNCOUNTED}.{list}[{position}]")));
            }
        }
    }
}

/// A write of a status, judged part by part.
struct Step<'a> {
    new: &'a Job,
    old: &'a Job,
    features: &'a Features,
    errors: Vec<FieldError>,
}

impl Step<'_> {
    fn invalid(&mut self, field: &str, detail: impl Into<String>) {
        self.errors.push(FieldError::invalid(field, detail));
    }

    /// Whether this part of the status changes.
    fn changes<T: PartialEq>(&self, part: impl Fn(&JobStatus) -> T) -> bool {
        part(&self.new.status) != part(&self.old.status)
    }

    /// Whether it changes that this condition is True.
    fn flips(&self, kind: JobConditionType) -> bool {
        self.changes(|status| has(status, kind))
    }

    /// Complete and completionTime go together, and contradict failure.
    fn conditions_and_times(&mut self) {
        use JobConditionType::{Complete, Failed, FailureTarget, SuccessCriteriaMet};
        let (new, old) = (&self.new.status, &self.old.status);
        let is_complete = has(new, Complete);
        if (self.flips(Complete) || self.flips(Failed)) && is_complete && has(new, Failed) {
            self.invalid(CONDITIONS, "cannot set Complete=True and Failed=true conditions");
        }
        if (self.flips(Complete) || self.flips(FailureTarget)) && is_complete && has(new, FailureTarget) {
            self.invalid(CONDITIONS, "cannot set Complete=True and FailureTarget=true conditions");
        }
        let moves_completion = new.completion_time != old.completion_time;
        if self.flips(Complete) || moves_completion {
            if new.completion_time.is_some() && !is_complete {
                let detail = "cannot set completionTime when there is no Complete=True condition";
                self.invalid(COMPLETION_TIME, detail);
            }
            if new.completion_time.is_none() && is_complete {
                let detail = "completionTime is required for Complete jobs";
                self.errors.push(FieldError::required(COMPLETION_TIME, detail));
            }
        }
        if (moves_completion || new.start_time != old.start_time)
            && new.start_time.zip(new.completion_time).is_some_and(|(start, completion)| completion < start)
        {
            let detail = if self.features.status_messages_of_1_34 {
                "must be equal to or after `startTime`"
            } else {
                "completionTime cannot be set before startTime"
            };
            self.invalid(COMPLETION_TIME, detail);
        }
        if !self.features.delays_terminal_condition {
            return;
        }
        let changes_failure = self.flips(Failed) || new.failed_indexes != old.failed_indexes;
        if changes_failure && has(new, Failed) && !has(new, FailureTarget) {
            self.invalid(
                CONDITIONS,
                "cannot set Failed=True condition without the FailureTarget=true condition",
            );
        }
        let changes_success = self.flips(Complete) || self.flips(SuccessCriteriaMet);
        if changes_success && is_complete && !has(new, SuccessCriteriaMet) {
            let detail = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition";
            self.invalid(CONDITIONS, detail);
        }
    }

    /// What a finished Job must not have any more, and must have had.
    fn finished(&mut self) {
        let (new, old) = (&self.new.status, &self.old.status);
        if !new.is_finished() {
            return;
        }
        let finishes = !old.is_finished();
        if (finishes || new.active != old.active) && new.active > 0 {
            self.invalid(ACTIVE, "active>0 is invalid for finished job");
        }
        let moves_start = new.start_time != old.start_time;
        if (finishes || moves_start) && new.start_time.is_none() && !self.is_suspended_without_completions() {
            self.errors.push(FieldError::required(START_TIME, "startTime is required for finished job"));
        }
        if (finishes || new.uncounted != old.uncounted)
            && new.uncounted.as_ref().is_some_and(|uncounted| !uncounted.is_empty())
        {
            let detail = if self.features.status_messages_of_1_34 {
                "must be empty for finished job"
            } else {
                "uncountedTerminatedPods needs to be empty for finished job"
            };
            self.invalid(UNCOUNTED, detail);
        }
    }

    /// Such a Job may finish without ever having started (#132614, in every patch level of 1.32 and later).
    fn is_suspended_without_completions(&self) -> bool {
        self.has_later_exceptions() && self.new.spec.suspend && self.new.spec.completions == Some(0)
    }

    /// Whether the exceptions that were back-ported to 1.32 are there; in 1.30 and 1.31 the rules were alpha.
    fn has_later_exceptions(&self) -> bool {
        self.features.version.minor() >= 32
    }

    /// The lists of indexes.
    fn indexes(&mut self) {
        let (new, old, spec) = (&self.new.status, &self.old.status, &self.new.spec);
        let changes_completed = new.completed_indexes != old.completed_indexes;
        let changes_failed = new.failed_indexes != old.failed_indexes;
        let completions = spec.completions.map(|completions| u32::try_from(completions).unwrap_or(0));
        if let Some(completions) = completions {
            if changes_completed && let Err(error) = IndexSet::validate(&new.completed_indexes, completions) {
                self.invalid(COMPLETED_INDEXES, format!("error parsing completedIndexes: {error}"));
            }
            if changes_failed
                && spec.backoff_limit_per_index.is_some()
                && let Some(failed) = &new.failed_indexes
                && let Err(error) = IndexSet::validate(failed, completions)
            {
                self.invalid(FAILED_INDEXES, format!("error parsing failedIndexes: {error}"));
            }
        }
        if changes_completed && !new.completed_indexes.is_empty() && !spec.is_indexed() {
            let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
            self.invalid(COMPLETED_INDEXES, detail);
        }
        if changes_failed && spec.backoff_limit_per_index.is_none() && new.failed_indexes.is_some() {
            self.invalid(
                FAILED_INDEXES,
                "cannot set non-null failedIndexes when backoffLimitPerIndex is null",
            );
        }
        if (changes_completed || changes_failed)
            && let (Some(completions), Some(failed)) = (completions, &new.failed_indexes)
            && let Some(index) = first_overlap(&new.completed_indexes, failed, completions)
        {
            let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
            self.invalid(FAILED_INDEXES, detail);
        }
    }

    /// The counters of pods that are there.
    fn pods(&mut self) {
        if !self.features.delays_terminal_condition {
            return;
        }
        let (new, old) = (&self.new.status, &self.old.status);
        let changes_terminating =
            new.is_finished() != old.is_finished() || new.terminating != old.terminating;
        if changes_terminating && new.is_finished() && new.terminating.is_some_and(|count| count > 0) {
            self.invalid("status.terminating", "terminating>0 is invalid for finished job");
        }
        let changes_ready = new.ready != old.ready || new.active != old.active;
        if changes_ready && new.ready.is_some_and(|ready| ready > new.active) {
            self.invalid("status.ready", "cannot set more ready pods than active");
        }
    }

    /// SuccessCriteriaMet contradicts failure; it was for success policies only at first.
    fn success_criteria(&mut self) {
        use JobConditionType::{Complete, Failed, FailureTarget, SuccessCriteriaMet};
        let (new, spec) = (&self.new.status, &self.new.spec);
        let is_met = has(new, SuccessCriteriaMet);
        let is_for_all = !self.features.success_criteria_needs_policy
            && (self.features.strict_status_validation
                || self.features.pod_replacement_policy
                || has(&self.old.status, SuccessCriteriaMet));
        if is_met && !is_for_all && !spec.is_indexed() {
            self.invalid(CONDITIONS, "cannot set SuccessCriteriaMet to NonIndexed Job");
        }
        if is_met && has(new, Failed) {
            self.invalid(CONDITIONS, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
        }
        if is_met && has(new, FailureTarget) {
            self.invalid(CONDITIONS, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
        }
        if is_met && !is_for_all && spec.success_policy.is_none() {
            self.invalid(CONDITIONS, "cannot set SuccessCriteriaMet=True for Job without SuccessPolicy");
        }
        if !is_met && spec.success_policy.is_some() && has(new, Complete) {
            let detail = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
            self.invalid(CONDITIONS, detail);
        }
    }

    /// What may only go one way. Successes may be forgotten by a Job that was scaled down.
    fn monotony(&mut self) {
        use JobConditionType::{Complete, Failed, FailureTarget};
        let (new, old, spec) = (&self.new.status, &self.old.status, &self.new.spec);
        for kind in [Failed, Complete, FailureTarget] {
            if has(old, kind) && !has(new, kind) {
                let detail = format!("cannot disable the terminal {}=True condition", kind.as_str());
                self.invalid(CONDITIONS, detail);
            }
        }
        if new.failed < old.failed {
            self.invalid("status.failed", "cannot decrease the failed counter");
        }
        let may_forget = spec.is_indexed() && spec.completions == Some(spec.parallelism);
        if new.succeeded < old.succeeded && !may_forget {
            self.invalid("status.succeeded", "cannot decrease the succeeded counter");
        }
    }

    /// Times that stay once they are set.
    fn immutable_times(&mut self) {
        let (new, old) = (&self.new.status, &self.old.status);
        if new.completion_time.is_some()
            && old.completion_time.is_some()
            && new.completion_time != old.completion_time
        {
            let detail = if self.features.status_messages_of_1_34 {
                "field is immutable"
            } else {
                "completionTime cannot be mutated"
            };
            self.invalid(COMPLETION_TIME, detail);
        }
        let moves_start = old.start_time.is_some() && new.start_time != old.start_time;
        if moves_start && !self.new.spec.suspend && !self.resumes() {
            self.errors.push(if self.features.start_time_error_is_invalid {
                FieldError::invalid(START_TIME, "field is immutable for unsuspended job once set")
            } else {
                FieldError::required(START_TIME, "startTime cannot be removed for unsuspended job")
            });
        }
    }

    /// This write takes the Job out of suspension, which starts it anew (#134769, in every patch level of 1.32 and
    /// later).
    fn resumes(&self) -> bool {
        let is_not_suspended = |status: &JobStatus| {
            let mut conditions = status.conditions.iter();
            conditions
                .any(|one| one.kind == JobConditionType::Suspended && one.status == ConditionStatus::False)
        };
        self.has_later_exceptions()
            && has(&self.old.status, JobConditionType::Suspended)
            && is_not_suspended(&self.new.status)
    }

    /// SuccessCriteriaMet comes before Complete and stays.
    fn lasting_success_criteria(&mut self) {
        use JobConditionType::{Complete, SuccessCriteriaMet};
        let (was_met, is_met) =
            (has(&self.old.status, SuccessCriteriaMet), has(&self.new.status, SuccessCriteriaMet));
        if was_met && !is_met {
            self.invalid(CONDITIONS, "cannot disable the SuccessCriteriaMet=True condition");
        }
        if has(&self.old.status, Complete) && !was_met && is_met {
            let detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
            self.invalid(CONDITIONS, detail);
        }
    }
}

fn has(status: &JobStatus, kind: JobConditionType) -> bool {
    status.true_condition(kind).is_some()
}

/// The lowest common index of the first two intervals that overlap (`validateFailedIndexesNotOverlapCompleted`).
pub(super) fn first_overlap(completed: &str, failed: &str, completions: u32) -> Option<u32> {
    let mut completed = intervals(completed, completions).peekable();
    let mut failed = intervals(failed, completions).peekable();
    loop {
        let (&left, &right) = (completed.peek()?, failed.peek()?);
        if left.0 <= right.1 && right.0 <= left.1 {
            return Some(left.0.max(right.0));
        }
        if left.0 <= right.0 {
            completed.next();
        } else {
            failed.next();
        }
    }
}

/// The intervals of a list of indexes. What makes no sense is passed over: rules of its own judge it.
fn intervals(text: &str, completions: u32) -> impl Iterator<Item = (u32, u32)> {
    text.split(',').filter_map(move |token| {
        let (first, last) = match token.split_once('-') {
            None => (token.parse().ok()?, None),
            Some((first, last)) => (first.parse::<u32>().ok()?, Some(last.parse::<u32>().ok()?)),
        };
        let is_ascending = last.is_none_or(|last| first < last);
        let last = last.unwrap_or(first);
        (is_ascending && last < completions).then_some((first, last))
    })
}
