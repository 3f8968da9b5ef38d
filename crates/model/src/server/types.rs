//! What the API server takes and answers: actors, drafts, manifests, changes and errors.

use std::borrow::Cow;
use std::sync::Arc;

use crate::admission::FieldError;
use crate::objects::{
    CompletionMode, Job, Labels, Node, ObjectKey, OwnerReference, Pod, PodFailurePolicy,
    PodReplacementPolicy, PodSpec, PodTemplate, SuccessPolicy, Uid,
};
use crate::time::Time;

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// The person or program whose steps the scenario tells.
    User,
    /// The Job controller.
    JobController,
    /// The controller that deletes finished Jobs after their time to live.
    TtlController,
    /// The scheduler.
    Scheduler,
    /// A kubelet.
    Kubelet,
    /// The node lifecycle controller: taints, and eviction of pods that do not bear them.
    NodeLifecycle,
    /// The pod garbage collector.
    PodGc,
    /// The garbage collector of owned objects.
    GarbageCollector,
    /// An operator above the Job controller.
    Operator,
}

/// One object's step from a version to the next, as watches see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Versions<T> {
    /// Before; absent when the object was created.
    pub old: Option<Arc<T>>,
    /// After; absent when the object is gone.
    pub new: Option<Arc<T>>,
}

/// A change of stored state.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A pod.
    Pod(Versions<Pod>),
    /// A Job.
    Job(Versions<Job>),
    /// A node.
    Node(Versions<Node>),
}

/// A write that was refused, or whose answer was lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 404.
    #[error("{kind} {key} not found")]
    NotFound {
        /// Kind of the object, in lower case plural (`pods`).
        kind: &'static str,
        /// The object.
        key: ObjectKey,
    },
    /// 409, reason AlreadyExists.
    #[error("{kind} {key} already exists")]
    AlreadyExists {
        /// Kind of the object.
        kind: &'static str,
        /// The object.
        key: ObjectKey,
    },
    /// 409, reason Conflict: the object has changed since the version that the write was based on, or it is another
    /// object of the same name.
    #[error(
        "Operation cannot be fulfilled on {} \"{}\": the object has been modified; please apply your changes to the latest version and try again",
        if *kind == "jobs" { "jobs.batch" } else { kind },
        key.name
    )]
    Conflict {
        /// Kind of the object, in lower case plural (`pods`).
        kind: &'static str,
        /// The object.
        key: ObjectKey,
    },
    /// 422.
    #[error("{key} is invalid: {}", crate::admission::join(errors))]
    Invalid {
        /// The object.
        key: ObjectKey,
        /// Every rule that is broken.
        errors: Vec<FieldError>,
    },
    /// 403, for instance a quota.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// 403 with cause NamespaceTerminating.
    #[error("namespace {0} is being terminated")]
    NamespaceTerminating(Arc<str>),
    /// The call failed on the way there: it had no effect.
    #[error("the server could not be reached")]
    Unreachable,
    /// The call had its effect but the answer was lost.
    #[error("the answer was lost")]
    AnswerLost,
}

/// How dependents of a deleted Job are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// The Job goes first, its pods are collected later (kubectl's default).
    Background,
    /// The pods go first; the Job waits with a deletion timestamp.
    Foreground,
    /// The pods stay (the API's default for `batch/v1` Jobs).
    Orphan,
}

/// What a controller asks for when it creates a pod of a Job; the rest comes from the Job's template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodDraft {
    /// Completion index, in Indexed Jobs.
    pub index: Option<u32>,
    /// Annotation `job-index-failure-count`.
    pub index_failure_count: Option<i32>,
    /// Annotation `job-index-ignored-failure-count`.
    pub index_ignored_failure_count: Option<i32>,
}

/// A `v1` Event about an object, as recorded by a component. Equal events of one object are counted, not repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDraft {
    /// The Job it is about.
    pub job: Uid,
    /// `Warning` rather than `Normal`.
    pub is_warning: bool,
    /// Machine-readable cause, such as `SuccessfulCreate`.
    pub reason: Cow<'static, str>,
    /// Human-readable text.
    pub message: String,
}

/// A user's manifest of a Job: what it says and no more. Fields that it leaves out are defaulted by admission on
/// create, and left as they are on update.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobManifest {
    /// `metadata.labels`.
    pub labels: Labels,
    /// `metadata.finalizers`.
    pub finalizers: Vec<Arc<str>>,
    /// `spec.parallelism`.
    pub parallelism: Option<i32>,
    /// `spec.completions`.
    pub completions: Option<i32>,
    /// `spec.completionMode`.
    pub completion_mode: Option<CompletionMode>,
    /// `spec.backoffLimit`.
    pub backoff_limit: Option<i32>,
    /// `spec.backoffLimitPerIndex`.
    pub backoff_limit_per_index: Option<i32>,
    /// `spec.maxFailedIndexes`.
    pub max_failed_indexes: Option<i32>,
    /// `spec.activeDeadlineSeconds`.
    pub active_deadline_seconds: Option<i64>,
    /// `spec.ttlSecondsAfterFinished`.
    pub ttl_seconds_after_finished: Option<i32>,
    /// `spec.suspend`.
    pub suspend: Option<bool>,
    /// `spec.podReplacementPolicy`, as written: admission judges the value.
    pub pod_replacement_policy: Option<PodReplacementPolicy>,
    /// `spec.podFailurePolicy`.
    pub pod_failure_policy: Option<Arc<PodFailurePolicy>>,
    /// `spec.successPolicy`.
    pub success_policy: Option<Arc<SuccessPolicy>>,
    /// `spec.managedBy`.
    pub managed_by: Option<Arc<str>>,
    /// `spec.manualSelector`.
    pub manual_selector: Option<bool>,
    /// `spec.selector.matchLabels`.
    pub selector: Option<Labels>,
    /// `spec.template`; may only be absent in an update.
    pub template: Option<Arc<PodTemplate>>,
    /// Fields set to null: an update empties them before it defaults what has a default.
    pub cleared: Vec<ClearedField>,
    /// What a reader found in values that have no place in these types (an unknown action, say): admission refuses
    /// the manifest with these errors among its own.
    pub unreadable: Vec<FieldError>,
}

/// A field of a Job's spec that a manifest can set to null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClearedField {
    /// `spec.parallelism`.
    Parallelism,
    /// `spec.completions`.
    Completions,
    /// `spec.completionMode`.
    CompletionMode,
    /// `spec.backoffLimit`.
    BackoffLimit,
    /// `spec.backoffLimitPerIndex`.
    BackoffLimitPerIndex,
    /// `spec.maxFailedIndexes`.
    MaxFailedIndexes,
    /// `spec.activeDeadlineSeconds`.
    ActiveDeadlineSeconds,
    /// `spec.ttlSecondsAfterFinished`.
    TtlSecondsAfterFinished,
    /// `spec.suspend`.
    Suspend,
    /// `spec.podReplacementPolicy`.
    PodReplacementPolicy,
    /// `spec.podFailurePolicy`.
    PodFailurePolicy,
    /// `spec.successPolicy`.
    SuccessPolicy,
    /// `spec.managedBy`.
    ManagedBy,
}

/// A user's manifest of a bare pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodManifest {
    /// `metadata.labels`, with the completion index if the user set one.
    pub labels: Labels,
    /// `metadata.annotations`.
    pub annotations: Labels,
    /// `metadata.finalizers`.
    pub finalizers: Vec<Arc<str>>,
    /// `spec`.
    pub spec: Arc<PodSpec>,
}

/// A change of a pod's metadata or binding that is no status update. Fields that are `None` stay as they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodPatch {
    /// Take the tracking finalizer off.
    pub remove_tracking_finalizer: bool,
    /// Take this foreign finalizer off.
    pub remove_finalizer: Option<Arc<str>>,
    /// Put the tracking finalizer on and make this Job the controlling owner (adoption), only if the pod still has
    /// this uid and no controller.
    pub adopt: Option<OwnerReference>,
    /// Drop the controlling owner reference (release) and, with it, the tracking finalizer.
    pub release: bool,
    /// Drop the controlling owner reference alone, as the garbage collector does for dependents that become orphans.
    pub orphan: bool,
    /// Labels to set, or to remove with `None`.
    pub labels: Vec<(Arc<str>, Option<Arc<str>>)>,
}

/// A `v1` Event as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// What was recorded.
    pub draft: EventDraft,
    /// Who recorded it.
    pub actor: Actor,
    /// How often.
    pub count: u32,
    /// When first.
    pub first_time: Time,
    /// When last.
    pub last_time: Time,
}

/// One line of the trace: a write with what it changed, a write that was refused, or a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceEntry {
    /// When.
    pub at: Time,
    /// Who.
    pub actor: Actor,
    /// What.
    pub fact: Fact,
}

/// What a [`TraceEntry`] tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A write took effect.
    Changed(Verb, Change),
    /// A write was refused.
    Refused(Verb, ObjectKey, ApiError),
    /// An Event was recorded.
    Recorded(EventDraft),
    /// The Job controller decided something, by this rule.
    Decided(Uid, crate::job::sync::Finding),
}

/// Kinds of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Create.
    Create,
    /// Update or patch of spec or metadata.
    Update,
    /// Update of the status subresource.
    UpdateStatus,
    /// Delete (the object may stay until its grace period and finalizers are over).
    Delete,
    /// The eviction subresource.
    Evict,
    /// The binding subresource.
    Bind,
}
