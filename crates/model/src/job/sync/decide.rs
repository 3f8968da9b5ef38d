//! Whether the Job is decided (steps 5 to 11 of a sync): what was decided before stands, then come the failures, then
//! the success policy. Plain completion is decided after the pods were managed.

use std::sync::Arc;
use std::time::Duration;

use super::contract::{Effect, Snapshot};
use super::findings::{Notes, Rule, Subject};
use super::indexed::Indexes;
use crate::objects::{ConditionStatus, JobCondition, JobConditionType, JobStatus, PodPhase, RestartPolicy};
use crate::time::Time;

/// A decision about the Job as a whole: the condition that it gets.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    /// Interim or final condition.
    pub(super) kind: JobConditionType,
    /// Its reason.
    pub(super) reason: Arc<str>,
    /// Its message.
    pub(super) message: Arc<str>,
    /// When it was taken.
    pub(super) at: Time,
}

impl Verdict {
    /// The condition that says so.
    pub(super) fn condition(&self) -> JobCondition {
        JobCondition {
            kind: self.kind,
            status: ConditionStatus::True,
            reason: self.reason.clone(),
            message: self.message.clone(),
            last_transition_time: self.at.truncated_to_second(),
        }
    }

    /// The Job succeeds, though it may not be finished yet.
    pub(super) fn is_interim_success(&self) -> bool {
        self.kind == JobConditionType::SuccessCriteriaMet
    }

    fn of(condition: &JobCondition) -> Self {
        Self {
            kind: condition.kind,
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            at: condition.last_transition_time,
        }
    }
}

/// What decisions are taken from.
pub(super) struct Case<'a> {
    /// What the controller knows.
    pub(super) snapshot: &'a Snapshot,
    /// The indexes of an Indexed Job.
    pub(super) indexes: Option<&'a Indexes>,
    /// The status, with the start time that this sync may have set.
    pub(super) status: &'a JobStatus,
    /// Failures that count, those of this sync included.
    pub(super) failed: i32,
    /// The present instant.
    pub(super) now: Time,
}

impl Case<'_> {
    /// The decision, if there is one before the pods are managed.
    pub(super) fn verdict(&self, effects: &mut Vec<Effect>, notes: &mut Notes) -> Option<Verdict> {
        self.standing(notes)
            .or_else(|| mutant!(10, None => self.by_limits(effects, notes)))
            .or_else(|| self.by_pod_failure_policy(notes))
            .or_else(|| self.by_limits(effects, notes))
            .or_else(|| self.by_indexes(notes))
            .or_else(|| self.by_success_policy(notes))
    }

    /// What an earlier sync decided.
    fn standing(&self, notes: &mut Notes) -> Option<Verdict> {
        let features = &self.snapshot.features;
        let met = self.status.condition(JobConditionType::SuccessCriteriaMet);
        if let Some(met) =
            met.filter(|met| features.honours_success_criteria && met.status == ConditionStatus::True)
        {
            notes.add(|| (Subject::Job, Rule::DecisionStands, "SuccessCriteriaMet".to_owned()));
            return Some(Verdict::of(met));
        }
        let target = self.status.condition(JobConditionType::FailureTarget)?;
        let counts = target.status == ConditionStatus::True || !features.checks_failure_target_status;
        if mutant!(11, !counts => true) || !features.pod_failure_policy {
            return None;
        }
        notes.add(|| (Subject::Job, Rule::DecisionStands, format!("FailureTarget, {}", target.reason)));
        Some(Verdict { kind: JobConditionType::Failed, at: self.now, ..Verdict::of(target) })
    }

    fn by_pod_failure_policy(&self, notes: &mut Notes) -> Option<Verdict> {
        use crate::objects::PodFailureAction::FailJob;
        if !self.snapshot.features.pod_failure_policy || self.snapshot.job.spec.pod_failure_policy.is_none() {
            return None;
        }
        let removed_count = self.snapshot.features.removed_pods_fail_job;
        let end = self.snapshot.indexed_completions().filter(|_| !removed_count);
        let (pod, rule) = self.snapshot.pods.iter().find_map(|pod| {
            let is_removed = end.zip(pod.index.get()).is_some_and(|(end, index)| index >= end);
            let failed = self.snapshot.is_failed(pod) && !is_removed;
            let rule = if failed { self.snapshot.policy_match(pod) } else { None };
            rule.filter(|rule| rule.action == FailJob).map(|rule| (pod, rule))
        })?;
        let message = rule.message(pod);
        notes.add(|| (Subject::Job, Rule::PodFailurePolicyFails, message.clone()));
        Some(Verdict {
            kind: JobConditionType::FailureTarget,
            reason: "PodFailurePolicy".into(),
            message: message.into(),
            at: self.now,
        })
    }

    fn by_limits(&self, effects: &mut Vec<Effect>, notes: &mut Notes) -> Option<Verdict> {
        let limit = self.snapshot.job.spec.backoff_limit;
        let reached = "Job has reached the specified backoff limit";
        if mutant!(12, self.failed > limit => self.failed >= limit) {
            let failed = self.failed;
            notes.add(|| {
                (Subject::Job, Rule::BackoffLimitExceeded, format!("{failed} failures, limit {limit}"))
            });
            return Some(self.failure("BackoffLimitExceeded", reached));
        }
        let restarts = self.restarts_in_place();
        if restarts.is_some_and(
            |restarts| mutant!(13, restarts >= i64::from(limit).max(1) => restarts > i64::from(limit)),
        ) {
            let restarts = restarts.unwrap_or_default();
            notes.add(|| {
                (Subject::Job, Rule::RestartLimitExceeded, format!("{restarts} restarts, limit {limit}"))
            });
            return Some(self.failure("BackoffLimitExceeded", reached));
        }
        let remaining = self.deadline_remaining()?;
        if remaining.is_zero() {
            notes.add(|| (Subject::Job, Rule::DeadlineExceeded, String::new()));
            let reason = mutant!(16, "DeadlineExceeded" => "ActiveDeadlineExceeded");
            return Some(self.failure(reason, "Job was active longer than specified deadline"));
        }
        notes.add(|| (Subject::Job, Rule::DeadlinePending, format!("in {} s", remaining.as_secs_f64())));
        effects.push(Effect::RequeueAfter(mutant!(55, remaining => remaining * 2)));
        None
    }

    /// Restarts of the containers of all unfinished pods; `None` unless `restartPolicy` is OnFailure.
    fn restarts_in_place(&self) -> Option<i64> {
        if self.snapshot.job.spec.template.spec.restart_policy != RestartPolicy::OnFailure {
            return None;
        }
        let counting = self
            .snapshot
            .pods
            .iter()
            .filter(|pod| matches!(pod.status.phase, PodPhase::Running | PodPhase::Pending));
        let containers =
            counting.flat_map(|pod| pod.status.init_containers.iter().chain(&pod.status.containers));
        Some(containers.map(|container| i64::from(container.restart_count)).sum())
    }

    /// What is left until the deadline; `None` when there is none or the Job is suspended.
    fn deadline_remaining(&self) -> Option<Duration> {
        let spec = &self.snapshot.job.spec;
        let allowed = spec.active_deadline_seconds.filter(|_| mutant!(14, !spec.suspend => true))?;
        let allowed = Duration::from_secs(u64::try_from(mutant!(15, allowed => allowed + 1)).unwrap_or(0));
        let start = self.status.start_time?;
        // A start time in the future, as a clock that was set back would leave it, prolongs the wait.
        Some((allowed + start.since(self.now)).saturating_sub(self.now.since(start)))
    }

    fn by_indexes(&self, notes: &mut Notes) -> Option<Verdict> {
        let indexes = self.indexes?;
        self.snapshot.backoff_limit_per_index()?;
        let (failed, succeeded) = (indexes.failed_len(), indexes.succeeded.len());
        let most = self.snapshot.job.spec.max_failed_indexes;
        if let Some(most) = most.filter(|&most| {
            usize::try_from(most).map_or(true, |most| mutant!(17, failed > most => failed >= most))
        }) {
            notes.add(|| {
                (Subject::Job, Rule::MaxFailedIndexesExceeded, format!("{failed} failed, at most {most}"))
            });
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return Some(self.failure("MaxFailedIndexesExceeded", message));
        }
        let completions = self.snapshot.indexed_completions()? as usize;
        if failed == 0 || mutant!(18, failed + succeeded < completions => succeeded < completions) {
            return None;
        }
        notes.add(|| {
            let detail = format!("{failed} failed and {succeeded} completed of {completions}");
            (Subject::Job, Rule::FailedIndexes, detail)
        });
        Some(self.failure("FailedIndexes", "Job has failed indexes"))
    }

    fn by_success_policy(&self, notes: &mut Notes) -> Option<Verdict> {
        let (policy, indexes) = (self.snapshot.success_policy()?, self.indexes?);
        let completions = self.snapshot.indexed_completions()?;
        let rule = super::success_policy::first_match(policy, completions, &indexes.succeeded)?;
        notes.add(|| (Subject::Job, Rule::SuccessPolicyMet, format!("rule {rule}")));
        Some(Verdict {
            kind: JobConditionType::SuccessCriteriaMet,
            reason: "SuccessPolicy".into(),
            message: format!("Matched rules at index {rule}").into(),
            at: self.now,
        })
    }

    fn failure(&self, reason: &str, message: &str) -> Verdict {
        let delays = mutant!(19, self.snapshot.features.delays_terminal_condition => false);
        let kind = if delays { JobConditionType::FailureTarget } else { JobConditionType::Failed };
        Verdict { kind, reason: reason.into(), message: message.into(), at: self.now }
    }
}

/// The decision that enough pods have succeeded.
pub(super) fn success(snapshot: &Snapshot, now: Time) -> Verdict {
    let features = &snapshot.features;
    let (reason, message) = if mutant!(20, features.completions_reached_reason => false) {
        ("CompletionsReached", "Reached expected number of succeeded pods")
    } else {
        ("", "")
    };
    let kind = if features.delays_terminal_condition {
        JobConditionType::SuccessCriteriaMet
    } else {
        JobConditionType::Complete
    };
    Verdict { kind, reason: reason.into(), message: message.into(), at: now }
}
