//! The API server as a typed store: the rules that it applies to writes, and the changes that watches see.
//!
//! It knows nothing of controllers. Every write names its [`Actor`], is validated as the real server would, and either
//! leaves one [`Change`] or is refused with an [`ApiError`]; both go into the trace when one is kept.

use std::sync::Arc;

use crate::objects::{Job, Node, ObjectKey, Pod, Uid};

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
