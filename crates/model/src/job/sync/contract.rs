//! What goes into a sync and what comes out of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::objects::{Job, JobStatus, Pod, ResourceVersion, Uid};
use crate::server::{ApiError, EventDraft, PodDraft};
use crate::time::Time;
use crate::version::Features;

/// What the controller knows when a sync starts.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What this version does.
    pub features: Features,
    /// Caps of one sync.
    pub limits: Limits,
    /// The Job as the cache shows it.
    pub job: Arc<Job>,
    /// The pods that the Job owns after adoption and release, as the cache shows them, in the order in which the
    /// original would list them.
    pub pods: Vec<Arc<Pod>>,
    /// Creations and deletions asked for earlier have all been observed (spec section 1.6).
    pub expectations_satisfied: bool,
    /// Pods whose finalizer was patched away though the cache still shows it (the spec's ERM).
    pub finalizers_expected_gone: BTreeSet<Uid>,
    /// Failures since the last success (spec section 5.2).
    pub backoff: BackoffRecord,
}

/// Caps of one sync; the tests of the original lower them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pods accounted for in one sync (`MaxUncountedPods`).
    pub uncounted_pods_max: usize,
    /// Pods created, and pods deleted, in one sync (`MaxPodCreateDeletePerSync`).
    pub create_delete_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { uncounted_pods_max: 500, create_delete_max: 500 }
    }
}

/// The controller's memory of recent pod failures of one Job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackoffRecord {
    /// Failures since the last success.
    pub failures_after_last_success: u32,
    /// When the latest of them ended.
    pub last_failure_time: Option<Time>,
}

/// A call to the API server.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Create a pod of the Job.
    CreatePod(PodDraft),
    /// Delete a pod with its own grace period.
    DeletePod(Uid),
    /// Patch the tracking finalizer away, then delete: two calls, the second only when the first succeeded. The answer
    /// is that to the first; [`Written::deletion_error`] tells of the second.
    ReleaseAndDeletePod(Uid),
    /// Patch the tracking finalizer away.
    RemoveFinalizer(Uid),
    /// Write the Job's status, based on this version of the Job.
    UpdateStatus {
        /// Version that must still be the stored one.
        resource_version: ResourceVersion,
        /// The new status.
        status: Box<JobStatus>,
    },
}

/// What a successful [`Write`] wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The new version of the object; 0 where there is none.
    pub resource_version: ResourceVersion,
    /// The name that the API server gave to a created pod.
    pub name: Option<Arc<str>>,
    /// Why the pod could not be deleted once its finalizer was off.
    pub deletion_error: Option<ApiError>,
}

impl From<ResourceVersion> for Written {
    fn from(resource_version: ResourceVersion) -> Self {
        Self { resource_version, ..Self::default() }
    }
}

/// The answer to one [`Write`].
pub type Answer = Result<Written, ApiError>;

/// A change of the controller's memory, or something that it does besides API writes.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Expect this many creations to be observed (replaces what was expected).
    ExpectCreations(u32),
    /// Expect this many deletions to be observed (replaces what was expected).
    ExpectDeletions(u32),
    /// A creation that was expected will not come.
    CreationObserved,
    /// A deletion that was expected will not come.
    DeletionObserved,
    /// These pods' finalizers are about to be patched away.
    ExpectFinalizersGone(Vec<Uid>),
    /// The patch failed: this pod's finalizer is still there.
    FinalizerStays(Uid),
    /// Remember these failures.
    StoreBackoff(BackoffRecord),
    /// Sync again after this time.
    RequeueAfter(Duration),
    /// Record an Event.
    Record(EventDraft),
    /// The Job was declared finished; until the cache shows it, it is not synced again (#130333).
    Finished,
}

/// What a sync does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Apply the effects in order, then send the writes concurrently and come back with all answers, in the same order.
    Call {
        /// First.
        effects: Vec<Effect>,
        /// Then.
        writes: Vec<Write>,
    },
    /// The sync has ended.
    Done {
        /// Last effects.
        effects: Vec<Effect>,
        /// The error that makes the queue retry with back-off, if any.
        error: Option<ApiError>,
    },
}
