//! `v1` Pod: the fields that decide anything.

use std::sync::Arc;

use super::meta::{ConditionStatus, Labels, ObjectKey, ResourceVersion, Uid};
use crate::time::Time;

/// A pod as stored by the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// Namespace and name.
    pub key: ObjectKey,
    /// Identity.
    pub uid: Uid,
    /// Version of the stored content.
    pub resource_version: ResourceVersion,
    /// Labels without the completion index, which [`Pod::index`] carries: shared by all pods of one Job until a user
    /// edits one.
    pub labels: Arc<Labels>,
    /// The controlling owner reference.
    pub owner: Option<OwnerReference>,
    /// Annotation `batch.kubernetes.io/job-completion-index`.
    pub index: PodIndex,
    /// Annotation `batch.kubernetes.io/job-index-failure-count`.
    pub index_failure_count: Option<i32>,
    /// Annotation `batch.kubernetes.io/job-index-ignored-failure-count`.
    pub index_ignored_failure_count: Option<i32>,
    /// The finalizer `batch.kubernetes.io/job-tracking` is present.
    pub tracked: bool,
    /// Any other finalizers.
    pub foreign_finalizers: Arc<[Arc<str>]>,
    /// When it was created; whole seconds.
    pub creation_time: Time,
    /// Set once deletion was asked for.
    pub deletion: Option<Deletion>,
    /// What is wanted: shared by all pods of one template.
    pub spec: Arc<PodSpec>,
    /// The node it is bound to.
    pub node: Option<NodeId>,
    /// What the kubelet reported.
    pub status: PodStatus,
}

/// A node, by its position in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// Controlling owner of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerReference {
    /// Whether the owner is a `batch/v1` Job; other owners are left alone.
    pub is_job: bool,
    /// Name of the owner, in the pod's namespace.
    pub name: Arc<str>,
    /// Identity of the owner.
    pub uid: Uid,
}

/// A pod's completion index as its annotation tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodIndex {
    /// No annotation: NonIndexed Jobs and pods of users.
    #[default]
    Absent,
    /// An annotation that is no number, or negative.
    Invalid,
    /// The index.
    At(u32),
}

impl PodIndex {
    /// The index, when there is a usable one.
    pub const fn get(self) -> Option<u32> {
        match self {
            Self::At(index) => Some(index),
            Self::Absent | Self::Invalid => None,
        }
    }
}

/// A deletion in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// `deletionTimestamp`: when the grace period ends; whole seconds.
    pub timestamp: Time,
    /// `deletionGracePeriodSeconds`.
    pub grace_period_s: u32,
}

/// `status.phase`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodPhase {
    /// Accepted, not all containers started.
    #[default]
    Pending,
    /// The node is out of reach.
    Unknown,
    /// At least one container has started.
    Running,
    /// Ended, all containers with exit code 0.
    Succeeded,
    /// Ended otherwise.
    Failed,
}

impl PodPhase {
    /// Succeeded or Failed.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }

    /// The API's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Unknown => "Unknown",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// One entry of `status.conditions`.
#[derive(Clone, Debug, PartialEq)]
pub struct PodCondition {
    /// `Ready`, `PodScheduled`, `DisruptionTarget`, or any other name.
    pub kind: Arc<str>,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Machine-readable cause; may be empty.
    pub reason: Arc<str>,
    /// When `status` last changed; whole seconds.
    pub last_transition_time: Time,
}

/// The end of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Termination {
    /// Exit code, 128 + signal number for a killed process.
    pub exit_code: i32,
    /// When it ended; whole seconds. Absent when it was lost.
    pub finished_at: Option<Time>,
}

/// State of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ContainerState {
    /// Not started, with the reason that kubectl shows (`ContainerCreating`, `PodInitializing`, `CrashLoopBackOff`).
    Waiting(Arc<str>),
    /// Started.
    #[default]
    Running,
    /// Ended.
    Terminated(Termination),
}

/// One entry of `status.containerStatuses` or `status.initContainerStatuses`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Name of the container.
    pub name: Arc<str>,
    /// Restarts so far.
    pub restart_count: i32,
    /// Ready for traffic (normal containers), or done (init containers).
    pub ready: bool,
    /// What it is doing.
    pub state: ContainerState,
}

/// `status` of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodStatus {
    /// Where in its life it is.
    pub phase: PodPhase,
    /// Cause of a failure that is not a container's own (`Evicted`, `NodeLost`, …); may be empty.
    pub reason: Arc<str>,
    /// In the order in which they were appended.
    pub conditions: Vec<PodCondition>,
    /// Normal containers, once the kubelet has reported.
    pub containers: Vec<ContainerStatus>,
    /// Init containers, once the kubelet has reported.
    pub init_containers: Vec<ContainerStatus>,
    /// When the kubelet accepted it; whole seconds.
    pub start_time: Option<Time>,
}

/// Condition type of a pod that serves or works.
pub const READY: &str = "Ready";
/// Condition type of a pod that is bound to a node.
pub const POD_SCHEDULED: &str = "PodScheduled";
/// Condition type of a pod about to be ended by the cluster (KEP-3329).
pub const DISRUPTION_TARGET: &str = "DisruptionTarget";

impl Pod {
    /// The condition of this type, whatever its status.
    pub fn condition(&self, kind: &str) -> Option<&PodCondition> {
        self.status.conditions.iter().find(|condition| &*condition.kind == kind)
    }

    /// The Ready condition is True.
    pub fn is_ready(&self) -> bool {
        self.condition(READY).is_some_and(|condition| condition.status == ConditionStatus::True)
    }

    /// Deletion was asked for.
    pub const fn is_deleting(&self) -> bool {
        self.deletion.is_some()
    }

    /// Neither ended nor being deleted (upstream `IsPodActive`). Pending, Running and Unknown all count.
    pub const fn is_active(&self) -> bool {
        !self.status.phase.is_terminal() && self.deletion.is_none()
    }

    /// Being deleted and not ended (upstream `IsPodTerminating`).
    pub const fn is_terminating(&self) -> bool {
        !self.status.phase.is_terminal() && self.deletion.is_some()
    }

    /// Any finalizer keeps the object.
    pub fn has_finalizers(&self) -> bool {
        self.tracked || !self.foreign_finalizers.is_empty()
    }

    /// Whether the controlling owner is the Job with this uid.
    pub fn is_owned_by_job(&self, job: Uid) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.is_job && owner.uid == job)
    }
}

/// `spec.restartPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartPolicy {
    /// What the API server fills in; not allowed in Jobs.
    #[default]
    Always,
    /// A container that ends with another code than 0 is started again in place.
    OnFailure,
    /// A container that ends stays ended.
    Never,
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name, unique in the pod.
    pub name: Arc<str>,
    /// CPU request in thousandths of a core.
    pub cpu_request_milli: u32,
    /// `restartPolicy: Always` on an init container makes it a sidecar.
    pub is_sidecar: bool,
}

/// `spec` of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSpec {
    /// What happens when a container ends.
    pub restart_policy: RestartPolicy,
    /// Normal containers, at least one.
    pub containers: Vec<Container>,
    /// Init containers, run in order before the normal ones.
    pub init_containers: Vec<Container>,
    /// Time between SIGTERM and SIGKILL.
    pub termination_grace_period_s: u32,
    /// Labels that the node must have.
    pub node_selector: Labels,
    /// Taints that are borne.
    pub tolerations: Vec<Toleration>,
    /// Names of gates that keep the scheduler away.
    pub scheduling_gates: Vec<Arc<str>>,
}

/// `spec.terminationGracePeriodSeconds` when nothing is given (`v1` defaults).
pub const TERMINATION_GRACE_PERIOD_S: u32 = 30;

impl Default for PodSpec {
    /// A spec in which nothing was given, with what the API server fills in.
    fn default() -> Self {
        Self {
            restart_policy: RestartPolicy::default(),
            containers: Vec::new(),
            init_containers: Vec::new(),
            termination_grace_period_s: TERMINATION_GRACE_PERIOD_S,
            node_selector: Labels::new(),
            tolerations: Vec::new(),
            scheduling_gates: Vec::new(),
        }
    }
}

/// One entry of `spec.tolerations`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toleration {
    /// Key of the taint; all keys when absent (with the operator Exists).
    pub key: Option<Arc<str>>,
    /// Value of the taint for the operator Equal; absent for Exists.
    pub value: Option<Arc<str>>,
    /// Only taints with this effect, or all.
    pub effect: Option<TaintEffect>,
    /// For NoExecute: how long the pod stays, for ever when absent.
    pub toleration_seconds: Option<i64>,
}

/// Effect of a node's taint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaintEffect {
    /// No new pods.
    NoSchedule,
    /// Rather no new pods.
    PreferNoSchedule,
    /// No new pods, and running ones go.
    NoExecute,
}

/// `spec.template` of a Job: everything a new pod starts with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodTemplate {
    /// Labels, with those that the API server adds for the Job.
    pub labels: Arc<Labels>,
    /// Annotations.
    pub annotations: Arc<Labels>,
    /// Finalizers of the user.
    pub finalizers: Arc<[Arc<str>]>,
    /// The pod's spec.
    pub spec: Arc<PodSpec>,
}
