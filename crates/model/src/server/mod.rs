//! The API server as a typed store: the rules that it applies to writes, and the changes that watches see.
//!
//! It knows nothing of controllers. Every write names its [`Actor`], is validated as the real server would, and either
//! leaves one [`Change`] or is refused with an [`ApiError`]; both go into the trace when one is kept.

use std::sync::Arc;

use crate::engine::RandomStreams;
use crate::objects::{
    CompletionMode, Job, JobStatus, Labels, Node, NodeId, ObjectKey, OwnerReference, Pod, PodFailurePolicy,
    PodReplacementPolicy, PodSpec, PodStatus, PodTemplate, ResourceVersion, SuccessPolicy, Uid,
};
use crate::time::Time;
use crate::version::Features;

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
    #[error("the object {key} has been modified")]
    Conflict {
        /// The object.
        key: ObjectKey,
    },
    /// 422.
    #[error("{key} is invalid: {}", crate::admission::join(errors))]
    Invalid {
        /// The object.
        key: ObjectKey,
        /// Every rule that is broken.
        errors: Vec<crate::admission::FieldError>,
    },
    /// 403, for instance a quota.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// 403 with cause NamespaceTerminating.
    #[error("namespace {0} is being terminated")]
    NamespaceTerminating(Arc<str>),
    /// 429 of the eviction subresource: a disruption budget stands against it.
    #[error("cannot evict pod as it would violate the pod's disruption budget")]
    DisruptionBudget,
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
    pub reason: &'static str,
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

/// The stored state.
pub struct Server {
    features: Features,
}

/// The interface; bodies to follow.
impl Server {
    /// An empty store that behaves as `features` say. With `keep_trace`, every write and decision is kept.
    pub fn new(features: Features, _keep_trace: bool) -> Self {
        Self { features }
    }

    /// What this version does.
    pub fn features(&self) -> &Features {
        &self.features
    }

    // ---- reads: all O(1) or borrowed iterators in order of creation ----

    /// The pod with this uid, while it is stored.
    pub fn pod(&self, _uid: Uid) -> Option<&Arc<Pod>> {
        None
    }

    /// The pod of this name.
    pub fn pod_by_key(&self, _key: &ObjectKey) -> Option<&Arc<Pod>> {
        None
    }

    /// All pods, in order of creation.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        std::iter::empty()
    }

    /// The Job with this uid, while it is stored.
    pub fn job(&self, _uid: Uid) -> Option<&Arc<Job>> {
        None
    }

    /// The Job of this name.
    pub fn job_by_key(&self, _key: &ObjectKey) -> Option<&Arc<Job>> {
        None
    }

    /// All Jobs, in order of creation.
    pub fn jobs(&self) -> impl Iterator<Item = &Arc<Job>> {
        std::iter::empty()
    }

    /// The node with this id, while it is stored.
    pub fn node(&self, _id: NodeId) -> Option<&Arc<Node>> {
        None
    }

    /// All nodes, in order of creation.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        std::iter::empty()
    }

    /// All Events, in order of their first occurrence.
    pub fn events(&self) -> &[EventRecord] {
        &[]
    }

    /// Takes the changes since the last call, in order: what the watches have to deliver.
    pub fn take_changes(&mut self) -> Vec<Change> {
        Vec::new()
    }

    /// Takes the trace so far.
    pub fn take_trace(&mut self) -> Vec<TraceEntry> {
        Vec::new()
    }

    /// Adds a decision of the Job controller to the trace.
    pub fn note(&mut self, _now: Time, _job: Uid, _finding: crate::job::sync::Finding) {}

    /// Whether a trace is kept.
    pub fn keeps_trace(&self) -> bool {
        false
    }

    // ---- Jobs ----

    /// Creates a Job: defaulting, generated selector and labels, validation (spec sections 3.6, 4.1, 5).
    pub fn create_job(
        &mut self,
        _now: Time,
        _actor: Actor,
        key: ObjectKey,
        _manifest: &JobManifest,
    ) -> Result<Arc<Job>, ApiError> {
        Err(ApiError::NotFound { kind: "jobs", key })
    }

    /// Changes the fields of a Job's spec that `manifest` gives; a changed spec raises `generation`; validation of
    /// updates (section 4.1). A write that changes nothing leaves no change and the same resource version.
    pub fn update_job(
        &mut self,
        _now: Time,
        _actor: Actor,
        key: &ObjectKey,
        _manifest: &JobManifest,
    ) -> Result<Arc<Job>, ApiError> {
        Err(ApiError::NotFound { kind: "jobs", key: key.clone() })
    }

    /// Writes a Job's status if the stored version is still `resource_version` and the uid is the same; validation of
    /// status updates where the version has it (section 2.2). Times in the status are truncated to seconds.
    pub fn update_job_status(
        &mut self,
        _now: Time,
        _actor: Actor,
        _uid: Uid,
        _resource_version: ResourceVersion,
        _status: JobStatus,
    ) -> Result<Arc<Job>, ApiError> {
        Err(ApiError::Unreachable)
    }

    /// Deletes a Job; with finalizers (those of the propagation included) it stays with a deletion time.
    pub fn delete_job(
        &mut self,
        _now: Time,
        _actor: Actor,
        key: &ObjectKey,
        _propagation: Propagation,
    ) -> Result<(), ApiError> {
        Err(ApiError::NotFound { kind: "jobs", key: key.clone() })
    }

    /// Takes a finalizer off a Job; the last one lets go of an object that is being deleted.
    pub fn remove_job_finalizer(
        &mut self,
        _now: Time,
        _actor: Actor,
        _uid: Uid,
        _finalizer: &str,
    ) -> Result<(), ApiError> {
        Err(ApiError::Unreachable)
    }

    // ---- pods ----

    /// Creates a pod from the template of `job` as the controller holds it (section 3.6): generated name, tracking
    /// finalizer, owner, index. Refused while the namespace terminates.
    pub fn create_job_pod(
        &mut self,
        _now: Time,
        _actor: Actor,
        job: &Job,
        _draft: PodDraft,
        _random: &mut RandomStreams,
    ) -> Result<Arc<Pod>, ApiError> {
        Err(ApiError::NotFound { kind: "jobs", key: job.key.clone() })
    }

    /// Creates a bare pod.
    pub fn create_pod(
        &mut self,
        _now: Time,
        _actor: Actor,
        key: ObjectKey,
        _manifest: &PodManifest,
    ) -> Result<Arc<Pod>, ApiError> {
        Err(ApiError::NotFound { kind: "pods", key })
    }

    /// Deletes a pod (section 7.1). Grace period: as asked, else the pod's own; 0 when it is not bound or has ended.
    /// With a grace period above 0 the pod stays with a deletion timestamp until the kubelet deletes it with 0; with
    /// finalizers it stays until they are gone. Asking again can only shorten the grace period.
    pub fn delete_pod(
        &mut self,
        _now: Time,
        _actor: Actor,
        _uid: Uid,
        _grace_period_s: Option<u32>,
    ) -> Result<(), ApiError> {
        Err(ApiError::Unreachable)
    }

    /// The eviction subresource: sets DisruptionTarget (EvictionByEvictionAPI), then deletes.
    pub fn evict_pod(&mut self, _now: Time, _actor: Actor, _uid: Uid) -> Result<(), ApiError> {
        Err(ApiError::Unreachable)
    }

    /// Changes a pod's metadata.
    pub fn patch_pod(
        &mut self,
        _now: Time,
        _actor: Actor,
        _uid: Uid,
        _patch: &PodPatch,
    ) -> Result<Arc<Pod>, ApiError> {
        Err(ApiError::Unreachable)
    }

    /// Changes a pod's status; times are truncated to seconds; a change of nothing leaves no trace. A terminal phase is
    /// never left.
    pub fn update_pod_status(
        &mut self,
        _now: Time,
        _actor: Actor,
        _uid: Uid,
        _change: impl FnOnce(&mut PodStatus),
    ) -> Result<Arc<Pod>, ApiError> {
        Err(ApiError::Unreachable)
    }

    /// Binds a pod to a node and sets PodScheduled.
    pub fn bind_pod(&mut self, _now: Time, _actor: Actor, _uid: Uid, _node: NodeId) -> Result<(), ApiError> {
        Err(ApiError::Unreachable)
    }

    // ---- nodes, namespaces, Events ----

    /// Adds a node.
    pub fn create_node(
        &mut self,
        _now: Time,
        _actor: Actor,
        name: &str,
        _labels: Labels,
        _cpu_milli: u32,
        _pods_max: u32,
    ) -> Result<NodeId, ApiError> {
        Err(ApiError::NotFound { kind: "nodes", key: ObjectKey::new("", name) })
    }

    /// Changes a node.
    pub fn update_node(
        &mut self,
        _now: Time,
        _actor: Actor,
        _id: NodeId,
        _change: impl FnOnce(&mut Node),
    ) -> Result<(), ApiError> {
        Err(ApiError::Unreachable)
    }

    /// Deletes a node; its pods are the pod garbage collector's business.
    pub fn delete_node(&mut self, _now: Time, _actor: Actor, _id: NodeId) -> Result<(), ApiError> {
        Err(ApiError::Unreachable)
    }

    /// From now on nothing can be created in this namespace.
    pub fn terminate_namespace(&mut self, _namespace: &str) {}

    /// Records an Event.
    pub fn record(&mut self, _now: Time, _actor: Actor, _draft: EventDraft) {}
}
