//! `batch/v1` Job: the fields that decide anything.

use std::sync::Arc;

use super::meta::{ConditionStatus, Labels, ObjectKey, ResourceVersion, Uid};
use super::pod::PodTemplate;
use crate::time::Time;

/// A Job as stored by the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Namespace and name.
    pub key: ObjectKey,
    /// Identity.
    pub uid: Uid,
    /// Version of the stored content.
    pub resource_version: ResourceVersion,
    /// Raised by every change of the spec, starts at 1.
    pub generation: u64,
    /// The Job's own labels.
    pub labels: Arc<Labels>,
    /// When it was created.
    pub creation_time: Time,
    /// Set while the object waits for its finalizers.
    pub deletion_time: Option<Time>,
    /// Finalizers on the Job itself (`foregroundDeletion`, `orphan`, or a user's).
    pub finalizers: Vec<Arc<str>>,
    /// What is wanted.
    pub spec: JobSpec,
    /// What the controller reported.
    pub status: JobStatus,
}

impl Job {
    /// The first condition of this type whose status is True.
    pub fn true_condition(&self, kind: JobConditionType) -> Option<&JobCondition> {
        self.status.true_condition(kind)
    }

    /// Complete or Failed is True (upstream `IsJobFinished`).
    pub fn is_finished(&self) -> bool {
        self.status.is_finished()
    }

    /// It has finished, or what it finishes with is decided: SuccessCriteriaMet or FailureTarget is True.
    pub fn is_decided(&self) -> bool {
        self.is_finished()
            || self.true_condition(JobConditionType::SuccessCriteriaMet).is_some()
            || self.true_condition(JobConditionType::FailureTarget).is_some()
    }
}

/// `spec.completionMode`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompletionMode {
    /// Pods are interchangeable.
    NonIndexed,
    /// Each completion has an index of its own.
    Indexed,
    /// A mode that this controller does not know: it leaves the Job alone.
    Other(Arc<str>),
}

/// `spec.podReplacementPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodReplacementPolicy {
    /// A pod is replaced as soon as it is being deleted.
    TerminatingOrFailed,
    /// A pod is replaced when it has reached the phase Failed.
    Failed,
}

/// `spec` of a Job, after defaulting.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSpec {
    /// Pods wanted at the same time.
    pub parallelism: i32,
    /// Successes wanted; absent only in work-queue Jobs (NonIndexed).
    pub completions: Option<i32>,
    /// Whether completions have indexes.
    pub completion_mode: CompletionMode,
    /// Failures tolerated before the Job fails.
    pub backoff_limit: i32,
    /// Failures tolerated per index.
    pub backoff_limit_per_index: Option<i32>,
    /// Failed indexes tolerated.
    pub max_failed_indexes: Option<i32>,
    /// Seconds from `startTime` after which the Job fails.
    pub active_deadline_seconds: Option<i64>,
    /// Seconds from the end after which the Job is deleted.
    pub ttl_seconds_after_finished: Option<i32>,
    /// No pods are wanted for now.
    pub suspend: bool,
    /// When a pod is replaced. Absent before the feature exists.
    pub pod_replacement_policy: Option<PodReplacementPolicy>,
    /// What each kind of pod failure means.
    pub pod_failure_policy: Option<Arc<PodFailurePolicy>>,
    /// When the Job counts as successful before all completions are there.
    pub success_policy: Option<Arc<SuccessPolicy>>,
    /// The controller in charge, when it is not the built-in one.
    pub managed_by: Option<Arc<str>>,
    /// Whether the user wrote the selector. Absent in 1.28 when nothing was given.
    pub manual_selector: Option<bool>,
    /// Selects the Job's pods.
    pub selector: Arc<Labels>,
    /// What a pod looks like.
    pub template: Arc<PodTemplate>,
}

impl JobSpec {
    /// The user wrote the selector.
    pub fn is_selector_manual(&self) -> bool {
        self.manual_selector == Some(true)
    }

    /// The Job has completion indexes.
    pub fn is_indexed(&self) -> bool {
        self.completion_mode == CompletionMode::Indexed
    }
}

/// `spec.podFailurePolicy`: rules in order, the first that matches wins (KEP-3329).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFailurePolicy {
    /// The rules, at most 20.
    pub rules: Vec<PodFailureRule>,
}

/// One rule of a pod failure policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFailureRule {
    /// What a match means.
    pub action: PodFailureAction,
    /// What is matched.
    pub matches: PodFailureMatch,
}

/// Action of a pod failure rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodFailureAction {
    /// The Job fails at once.
    FailJob,
    /// The pod's index fails at once (needs `backoffLimitPerIndex`).
    FailIndex,
    /// The failure is not counted.
    Ignore,
    /// The failure is counted as usual.
    Count,
}

/// Requirement of a pod failure rule: exactly one of the two, as the API demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodFailureMatch {
    /// `onExitCodes`.
    ExitCodes {
        /// Only this container, or all when absent.
        container_name: Option<Arc<str>>,
        /// `In` when true, `NotIn` when false.
        is_in: bool,
        /// Exit codes, at most 255 values; 0 is not allowed with `In`.
        values: Vec<i32>,
    },
    /// `onPodConditions`, at most 20 patterns of type and status.
    PodConditions(Vec<(Arc<str>, ConditionStatus)>),
}

/// `spec.successPolicy` (KEP-3998): rules in order, any of them suffices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuccessPolicy {
    /// The rules, at most 20.
    pub rules: Vec<SuccessRule>,
}

/// One rule of a success policy: at least one of the two is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuccessRule {
    /// Index set in the text format of [`crate::index_set`].
    pub succeeded_indexes: Option<Arc<str>>,
    /// How many of them, or of all indexes, must have succeeded.
    pub succeeded_count: Option<i32>,
}

/// Types of Job conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobConditionType {
    /// `Suspended`.
    Suspended,
    /// Final: the Job has succeeded.
    Complete,
    /// Final: the Job has failed.
    Failed,
    /// Interim: the Job will fail.
    FailureTarget,
    /// Interim: the Job will complete.
    SuccessCriteriaMet,
}

impl JobConditionType {
    /// The API's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suspended => "Suspended",
            Self::Complete => "Complete",
            Self::Failed => "Failed",
            Self::FailureTarget => "FailureTarget",
            Self::SuccessCriteriaMet => "SuccessCriteriaMet",
        }
    }
}

/// One entry of `status.conditions`.
#[derive(Clone, Debug, PartialEq)]
pub struct JobCondition {
    /// The type.
    pub kind: JobConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Machine-readable cause; may be empty.
    pub reason: Arc<str>,
    /// Human-readable cause; may be empty.
    pub message: Arc<str>,
    /// When `status` last changed; whole seconds.
    pub last_transition_time: Time,
}

/// Pods that have ended and still carry the finalizer, or whose end is not yet in the counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UncountedPods {
    /// Pods that succeeded.
    pub succeeded: Vec<Uid>,
    /// Pods that failed.
    pub failed: Vec<Uid>,
}

impl UncountedPods {
    /// Nothing is waiting to be counted.
    pub fn is_empty(&self) -> bool {
        self.succeeded.is_empty() && self.failed.is_empty()
    }
}

/// `status` of a Job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobStatus {
    /// In the order in which they were appended.
    pub conditions: Vec<JobCondition>,
    /// When the controller first saw it, or resumed it; whole seconds.
    pub start_time: Option<Time>,
    /// When it completed; whole seconds.
    pub completion_time: Option<Time>,
    /// Pods neither ended nor being deleted.
    pub active: i32,
    /// Active pods that are Ready.
    pub ready: Option<i32>,
    /// Pods being deleted that have not ended.
    pub terminating: Option<i32>,
    /// Successes; may fall in Indexed Jobs.
    pub succeeded: i32,
    /// Failures; never falls.
    pub failed: i32,
    /// Index set in text form; empty in NonIndexed Jobs.
    pub completed_indexes: Arc<str>,
    /// Index set in text form; absent when `backoffLimitPerIndex` is not used.
    pub failed_indexes: Option<Arc<str>>,
    /// Ends in between being seen and being counted.
    pub uncounted: Option<UncountedPods>,
}

impl JobStatus {
    /// The condition of this type, whatever its status.
    pub fn condition(&self, kind: JobConditionType) -> Option<&JobCondition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// The first condition of this type whose status is True.
    pub fn true_condition(&self, kind: JobConditionType) -> Option<&JobCondition> {
        self.conditions
            .iter()
            .find(|condition| condition.kind == kind && condition.status == ConditionStatus::True)
    }

    /// Complete or Failed is True.
    pub fn is_finished(&self) -> bool {
        self.true_condition(JobConditionType::Complete).is_some()
            || self.true_condition(JobConditionType::Failed).is_some()
    }
}
