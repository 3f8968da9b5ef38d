//! A scenario file as written: the fields that exist and the types of their values, nothing more.
//!
//! This is the single source of the format: the parser reads into these types and [`crate::schema`] is derived from
//! them, descriptions included. What the values mean, and which of them go together, is decided in `lower`.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::ast::Spanned;
use crate::yaml::de::{Nullable, Verbatim};

/// A story about elastic Jobs on Kubernetes: a cluster, steps, and what must be seen after each step.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Scenario {
    /// Always `towtank.dev/v1alpha1`.
    pub(crate) api_version: Spanned<String>,
    /// Always `Scenario`.
    pub(crate) kind: Spanned<String>,
    /// The scenario's name.
    pub(crate) metadata: Metadata,
    /// The story.
    pub(crate) spec: Spec,
}

/// `metadata`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Metadata {
    /// Name of the scenario: lower-case letters, digits and dashes.
    pub(crate) name: Spanned<String>,
}

/// `spec`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Spec {
    /// One sentence that says what is true.
    #[serde(default)]
    pub(crate) about: Option<String>,
    /// Where the story comes from: a document, an upstream test, an issue.
    #[serde(default)]
    pub(crate) source: Option<String>,
    /// Kubernetes versions that the story is true of: `>=1.31`, `<1.31`, `>=1.29 <1.33`, `1.28..1.30` (both included) or
    /// `1.36`; all that are known when absent.
    #[serde(default)]
    pub(crate) kubernetes: Option<Spanned<Verbatim>>,
    /// Nodes, timing and feature gates.
    #[serde(default)]
    pub(crate) cluster: Option<Cluster>,
    /// What the containers of pods do. The first entry that matches a new pod counts; a pod that none matches runs until
    /// it is told to stop, and then ends at once with code 143.
    #[serde(default)]
    pub(crate) workloads: Option<Vec<Workload>>,
    /// What happens, in order.
    pub(crate) steps: Spanned<Vec<Spanned<Step>>>,
}

/// `spec.cluster`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Cluster {
    /// Number of nodes, called `node-0`, `node-1`, …; 10 when absent.
    #[serde(default)]
    pub(crate) nodes: Option<Spanned<u32>>,
    /// Cores that pods may request on each node; 10 when absent.
    #[serde(default)]
    pub(crate) cores_per_node: Option<Spanned<u32>>,
    /// Pods that each node may hold; 110 when absent.
    #[serde(default)]
    pub(crate) pods_per_node: Option<Spanned<u32>>,
    /// How long things take: `instant` (the default), `kind` or `gke`.
    #[serde(default)]
    pub(crate) timing: Option<Spanned<String>>,
    /// `automatic` (the default), or `manual`: without scheduler and kubelets, so that pods change only by the steps
    /// `phase`, `succeed` and `fail`.
    #[serde(default)]
    pub(crate) pods: Option<Spanned<PodMode>>,
    /// Feature gates of the control plane: `{JobManagedBy: true}`.
    #[serde(default)]
    pub(crate) feature_gates: Option<BTreeMap<String, Spanned<bool>>>,
    /// Requests per second of the Job controller's client (`--kube-api-qps`); no limit when absent.
    #[serde(default)]
    pub(crate) controller_qps: Option<Spanned<u32>>,
    /// Burst of the same (`--kube-api-burst`); 30 when absent.
    #[serde(default)]
    pub(crate) controller_burst: Option<Spanned<u32>>,
}

/// Who moves pods through their phases.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum PodMode {
    /// Scheduler and kubelets.
    Automatic,
    /// The steps of the scenario.
    Manual,
}

/// What the containers of some pods do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Workload {
    /// Only pods of this Job.
    #[serde(default)]
    pub(crate) job: Option<Spanned<String>>,
    /// Only pods of these indexes: `0,2-5`.
    #[serde(default)]
    pub(crate) indexes: Option<Spanned<Verbatim>>,
    /// Only the nth pod of its index, from 1.
    #[serde(default)]
    pub(crate) incarnation: Option<Spanned<u32>>,
    /// How long the process runs by itself (`90s`); for ever when absent.
    #[serde(default)]
    pub(crate) runs_for: Option<Spanned<Verbatim>>,
    /// The code with which it then ends; 0 when absent.
    #[serde(default)]
    pub(crate) exit_code: Option<Spanned<i32>>,
    /// What it does at SIGTERM: `ignore`, or how it ends. Without it, it ends at once with code 143.
    #[serde(default)]
    pub(crate) on_term: Option<Spanned<OnTerm>>,
}

/// What a process does at SIGTERM.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum OnTerm {
    /// `ignore`: it goes on until SIGKILL.
    Word(String),
    /// It ends.
    Exit(OnTermExit),
}

/// How a process ends at SIGTERM.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct OnTermExit {
    /// The code; 143 when absent.
    #[serde(default)]
    pub(crate) exit_code: Option<Spanned<i32>>,
    /// The time that it needs (`5s`); none when absent.
    #[serde(default)]
    pub(crate) after: Option<Spanned<Verbatim>>,
}

/// One step: at most one action, and what must be seen after it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Step {
    /// What the step is called, unique in the scenario.
    pub(crate) name: Spanned<Verbatim>,
    /// Creates or updates objects: a file with manifests (relative to this file), a manifest, or a list of manifests.
    #[serde(default)]
    pub(crate) apply: Option<Spanned<Anything>>,
    /// Changes the spec of a Job: `{job: NAME, spec: {…}}`, a merge patch.
    #[serde(default)]
    pub(crate) patch: Option<Spanned<Patch>>,
    /// Changes the size of a Job.
    #[serde(default)]
    pub(crate) scale: Option<Spanned<Scale>>,
    /// Deletes a Job or pods.
    #[serde(default)]
    pub(crate) delete: Option<Spanned<Delete>>,
    /// Sends a signal to the main process of the first container.
    #[serde(default)]
    pub(crate) signal: Option<Spanned<Signal>>,
    /// Lets the containers of pods end with code 0.
    #[serde(default)]
    pub(crate) succeed: Option<Spanned<Targets<PodFields>>>,
    /// Lets a container of pods end with another code.
    #[serde(default)]
    pub(crate) fail: Option<Spanned<Targets<Fail>>>,
    /// Sets the phase of pods; needs `pods: manual` in the cluster.
    #[serde(default)]
    pub(crate) phase: Option<Spanned<SetPhase>>,
    /// Evicts pods through the eviction API.
    #[serde(default)]
    pub(crate) evict: Option<Spanned<Targets<PodFields>>>,
    /// Changes labels or finalizers of a pod.
    #[serde(default)]
    pub(crate) edit_pod: Option<Spanned<EditPod>>,
    /// Does something to a node: `{down: node-3}`.
    #[serde(default)]
    pub(crate) node: Option<Spanned<NodeAction>>,
    /// The Job controller's process: `restart`, `stop` or `start`.
    #[serde(default)]
    pub(crate) controller: Option<Spanned<ControllerWord>>,
    /// Holds back what the Job controller's cache of `pods` or `jobs` is told, or lets it catch up.
    #[serde(default)]
    pub(crate) cache: Option<Spanned<CacheAction>>,
    /// Terminates a namespace.
    #[serde(default)]
    pub(crate) namespace: Option<Spanned<NamespaceAction>>,
    /// Lets time pass: `10s`.
    #[serde(default)]
    pub(crate) wait: Option<Spanned<Verbatim>>,
    /// What must be seen, in order.
    #[serde(default)]
    pub(crate) expect: Option<Spanned<Vec<Spanned<Expectation>>>>,
}

/// Any value; looked at later.
#[derive(Debug, JsonSchema)]
#[schemars(with = "serde_json::Value")]
pub(crate) struct Anything;

/// `patch`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Patch {
    /// The Job.
    pub(crate) job: Spanned<String>,
    /// The fields of its spec that change; null removes one.
    pub(crate) spec: Spanned<Anything>,
}

/// `scale`: `to` or `parallelism`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Scale {
    /// The Job.
    pub(crate) job: Spanned<String>,
    /// New completions and parallelism.
    #[serde(default)]
    pub(crate) to: Option<Spanned<i32>>,
    /// New parallelism alone.
    #[serde(default)]
    pub(crate) parallelism: Option<Spanned<i32>>,
}

/// `delete`: a Job, a pod, or several pods.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Delete {
    /// The Job.
    #[serde(default)]
    pub(crate) job: Option<Spanned<String>>,
    /// How the Job's pods are treated: `background` (the default, as with kubectl), `foreground` or `orphan`.
    #[serde(default)]
    pub(crate) propagation: Option<Spanned<Propagation>>,
    /// The pod.
    #[serde(default)]
    pub(crate) pod: Option<Spanned<Pod>>,
    /// The pods.
    #[serde(default)]
    pub(crate) pods: Option<Vec<Spanned<Pod>>>,
    /// Time between SIGTERM and SIGKILL, in whole seconds (`5s`); the pod's own when absent.
    #[serde(default)]
    pub(crate) grace_period: Option<Spanned<Verbatim>>,
    /// Delete the object at once, without waiting for the kubelet.
    #[serde(default)]
    pub(crate) force: Option<Spanned<bool>>,
}

/// How the pods of a deleted Job are treated.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Propagation {
    /// The Job goes first, its pods are collected later.
    Background,
    /// The pods go first.
    Foreground,
    /// The pods stay.
    Orphan,
}

/// `signal`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Signal {
    /// The pod.
    #[serde(default)]
    pub(crate) pod: Option<Spanned<Pod>>,
    /// The pods.
    #[serde(default)]
    pub(crate) pods: Option<Vec<Spanned<Pod>>>,
    /// The signal; TERM when absent.
    #[serde(default)]
    pub(crate) signal: Option<SignalName>,
}

/// A signal.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(crate) enum SignalName {
    /// The process may do something before it ends, or go on.
    #[serde(rename = "TERM", alias = "SIGTERM")]
    Term,
    /// The process ends at once.
    #[serde(rename = "KILL", alias = "SIGKILL")]
    Kill,
}

/// Pods: one by its short name, a list, or a mapping with more to say.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Targets<T> {
    /// `JOB-INDEX`.
    One(String),
    /// Several pods.
    Many(Vec<Spanned<Pod>>),
    /// A mapping.
    Fields(T),
}

/// A pod: `JOB-INDEX` for the newest pod of that index, or a mapping.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Pod {
    /// `JOB-INDEX`, or the name of a pod that a step made.
    Short(String),
    /// A mapping.
    Fields(PodFields),
}

/// A pod: `{job, index}`, `{job, index, incarnation}`, `{job, number}` or `{name}`; or, in a step, `{pod}` and `{pods}`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct PodFields {
    /// The pod, in a step.
    #[serde(default)]
    pub(crate) pod: Option<Spanned<Box<Pod>>>,
    /// The pods, in a step.
    #[serde(default)]
    pub(crate) pods: Option<Vec<Spanned<Pod>>>,
    /// The Job that made it.
    #[serde(default)]
    pub(crate) job: Option<Spanned<String>>,
    /// Its completion index.
    #[serde(default)]
    pub(crate) index: Option<Spanned<u32>>,
    /// Which pod of that index, from 1; the newest when absent.
    #[serde(default)]
    pub(crate) incarnation: Option<Spanned<u32>>,
    /// Which pod of a NonIndexed Job in order of creation, from 1.
    #[serde(default)]
    pub(crate) number: Option<Spanned<u32>>,
    /// Its name, when a step made it.
    #[serde(default)]
    pub(crate) name: Option<Spanned<String>>,
}

/// `fail`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Fail {
    /// The pod.
    #[serde(default)]
    pub(crate) pod: Option<Spanned<Pod>>,
    /// The pods.
    #[serde(default)]
    pub(crate) pods: Option<Vec<Spanned<Pod>>>,
    /// The code, not 0; 1 when absent.
    #[serde(default)]
    pub(crate) exit_code: Option<Spanned<i32>>,
    /// Which container; the first when absent.
    #[serde(default)]
    pub(crate) container: Option<Spanned<String>>,
    /// A condition that the pod gets with it: `DisruptionTarget`, or `{type, status}`.
    #[serde(default)]
    pub(crate) condition: Option<Spanned<Condition>>,
}

/// A condition of a pod.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Condition {
    /// Its type; the status is True.
    Type(String),
    /// Type and status.
    Fields(ConditionFields),
}

/// Type and status of a condition.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ConditionFields {
    /// The type.
    #[serde(rename = "type")]
    pub(crate) kind: Spanned<String>,
    /// `"True"`, `"False"` or `"Unknown"`; True when absent.
    #[serde(default)]
    pub(crate) status: Option<Spanned<Verbatim>>,
}

/// `phase`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct SetPhase {
    /// The pod.
    #[serde(default)]
    pub(crate) pod: Option<Spanned<Pod>>,
    /// The pods.
    #[serde(default)]
    pub(crate) pods: Option<Vec<Spanned<Pod>>>,
    /// The new phase.
    pub(crate) phase: Phase,
    /// Whether it is ready; true for Running when absent.
    #[serde(default)]
    pub(crate) ready: Option<bool>,
}

/// Phase of a pod.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(crate) enum Phase {
    /// Not all containers have started.
    Pending,
    /// At least one container has started.
    Running,
    /// All containers have ended with code 0.
    Succeeded,
    /// All containers have ended, not all with code 0.
    Failed,
    /// The node is out of reach.
    Unknown,
}

/// `editPod`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct EditPod {
    /// The pod.
    pub(crate) pod: Spanned<Pod>,
    /// Labels to set; null removes one.
    #[serde(default)]
    pub(crate) labels: Option<BTreeMap<String, Nullable<String>>>,
    /// A finalizer to take off.
    #[serde(default)]
    pub(crate) remove_finalizer: Option<String>,
}

/// `node`: exactly one of these, with the node's name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum NodeAction {
    /// Its kubelet falls silent.
    Down(Spanned<String>),
    /// Its kubelet is back.
    Up(Spanned<String>),
    /// The Node object is deleted.
    Delete(Spanned<String>),
    /// A node of this name joins.
    Add(Spanned<String>),
    /// No new pods (`kubectl cordon`).
    Cordon(Spanned<String>),
    /// New pods again (`kubectl uncordon`).
    Uncordon(Spanned<String>),
    /// An administrator says that it is gone: the taint `node.kubernetes.io/out-of-service:NoExecute`.
    OutOfService(Spanned<String>),
    /// Its kubelet ends all its pods (graceful node shutdown).
    ShutDown(Spanned<String>),
}

/// `controller`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ControllerWord {
    /// Stop and start at once.
    Restart,
    /// Stop.
    Stop,
    /// Start.
    Start,
}

/// `cache`: exactly one of these.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum CacheAction {
    /// The cache of this kind stands still.
    Hold(CacheKind),
    /// It catches up.
    Release(CacheKind),
}

/// A cache of the Job controller.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum CacheKind {
    /// Of pods.
    Pods,
    /// Of Jobs.
    Jobs,
}

/// `namespace`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum NamespaceAction {
    /// From now on nothing can be created in it.
    Terminate(Spanned<String>),
}

/// One expectation: when, and what. All its claims must hold at the same instant; without a word on time, right after
/// the step's action or the expectation before.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Expectation {
    /// Versions that it speaks of, within those of the scenario.
    #[serde(default)]
    pub(crate) kubernetes: Option<Spanned<Verbatim>>,
    /// At some instant up to this time after the step's action (`60s`).
    #[serde(default)]
    pub(crate) within: Option<Spanned<Verbatim>>,
    /// Exactly this time after the step's action; virtual worlds only.
    #[serde(default)]
    pub(crate) at: Option<Spanned<Verbatim>>,
    /// At every instant of a length of time.
    #[serde(default)]
    pub(crate) holds: Option<Spanned<Holds>>,
    /// A CEL condition that is true at no instant from the step's action until the scenario ends.
    #[serde(default)]
    pub(crate) never: Option<Spanned<Verbatim>>,
    /// Two CEL conditions: the first becomes true strictly before the second.
    #[serde(default)]
    pub(crate) before: Option<Spanned<Before>>,
    /// What `kubectl get pods` prints: NAME READY STATUS RESTARTS AGE, optionally INDEX and NODE.
    #[serde(default, rename = "kubectl get pods")]
    pub(crate) pods: Option<Spanned<String>>,
    /// What `kubectl get jobs` prints: NAME STATUS COMPLETIONS DURATION AGE.
    #[serde(default, rename = "kubectl get jobs")]
    pub(crate) jobs: Option<Spanned<String>>,
    /// What `kubectl get nodes` prints: NAME STATUS ROLES AGE VERSION.
    #[serde(default, rename = "kubectl get nodes")]
    pub(crate) nodes: Option<Spanned<String>>,
    /// Events: REASON TYPE OBJECT MESSAGE COUNT.
    #[serde(default, rename = "kubectl get events")]
    pub(crate) events: Option<Spanned<String>>,
    /// Fields of a Job's status.
    #[serde(default)]
    pub(crate) job: Option<Spanned<JobFields>>,
    /// A condition in CEL over `pods`, `jobs`, `job`, `nodes`, `events` and `now`.
    #[serde(default)]
    pub(crate) that: Option<Spanned<Verbatim>>,
    /// The step's action was refused by the API server.
    #[serde(default)]
    pub(crate) refused: Option<Spanned<Refused>>,
}

/// `holds`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Holds {
    /// How long (`5m`).
    #[serde(rename = "for")]
    pub(crate) length: Spanned<Verbatim>,
    /// A condition in CEL; may be absent when the expectation claims something else.
    #[serde(default)]
    pub(crate) that: Option<Spanned<Verbatim>>,
}

/// `before`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Before {
    /// What becomes true first, in CEL.
    pub(crate) first: Spanned<Verbatim>,
    /// What becomes true later, in CEL.
    pub(crate) then: Spanned<Verbatim>,
}

/// `job`: fields of a Job's status; those that are absent may have any value.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct JobFields {
    /// The Job; may be absent when the scenario has only one.
    #[serde(default)]
    pub(crate) name: Option<Spanned<String>>,
    /// Pods that have neither ended nor are being deleted.
    #[serde(default)]
    pub(crate) active: Option<Spanned<i32>>,
    /// Active pods that are ready.
    #[serde(default)]
    pub(crate) ready: Option<Spanned<i32>>,
    /// Pods that have succeeded.
    #[serde(default)]
    pub(crate) succeeded: Option<Spanned<i32>>,
    /// Pods that have failed.
    #[serde(default)]
    pub(crate) failed: Option<Spanned<i32>>,
    /// Pods that are being deleted and have not ended; null: not reported.
    #[serde(default)]
    pub(crate) terminating: Option<Spanned<Nullable<i32>>>,
    /// Indexes that have succeeded, as the controller writes them: `0,2-4`.
    #[serde(default)]
    pub(crate) completed_indexes: Option<Spanned<Verbatim>>,
    /// Indexes that have failed, as the controller writes them; null: not reported.
    #[serde(default)]
    pub(crate) failed_indexes: Option<Spanned<Nullable<Verbatim>>>,
    /// Exactly these conditions are True, in this order: `Type` or `Type/Reason`.
    #[serde(default)]
    pub(crate) conditions: Option<Spanned<Vec<Spanned<String>>>>,
    /// The Suspended condition; null: there is none.
    #[serde(default)]
    pub(crate) suspended: Option<Spanned<Nullable<bool>>>,
}

/// `refused`; parts that are absent match anything.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Refused {
    /// Path of the field that one of the errors is about: `spec.completions`.
    #[serde(default)]
    pub(crate) field: Option<String>,
    /// Kind of the error: `Invalid`, `Required`, `Forbidden`, …, or a reason such as `NotFound`.
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
    /// Part of its message.
    #[serde(default)]
    pub(crate) message: Option<String>,
}

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IgnoredAny).map(|IgnoredAny| Self)
    }
}

/// Implements [`Deserialize`] for an enum of a text and a mapping, without losing places as `serde(untagged)` does.
macro_rules! text_or_mapping {
    ($type:ty, $text:expr, $fields:expr, $expecting:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct EitherVisitor;

                impl<'de> Visitor<'de> for EitherVisitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }

                    fn visit_str<E>(self, text: &str) -> Result<$type, E> {
                        Ok($text(text.to_owned()))
                    }

                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$type, A::Error> {
                        Deserialize::deserialize(MapAccessDeserializer::new(map)).map($fields)
                    }
                }

                deserializer.deserialize_any(EitherVisitor)
            }
        }
    };
}

text_or_mapping!(OnTerm, OnTerm::Word, OnTerm::Exit, "`ignore` or `{exitCode: …, after: …}`");
text_or_mapping!(Condition, Condition::Type, Condition::Fields, "a condition type or `{type: …, status: …}`");
text_or_mapping!(Pod, Pod::Short, Pod::Fields, "a pod: `JOB-INDEX` or `{job: …, index: …}`");

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Targets<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TargetsVisitor<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for TargetsVisitor<T> {
            type Value = Targets<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pod (`JOB-INDEX`), a list of pods, or `{pod: …}`")
            }

            fn visit_str<E>(self, text: &str) -> Result<Targets<T>, E> {
                Ok(Targets::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Targets<T>, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(seq)).map(Targets::Many)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Targets<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Targets::Fields)
            }
        }

        deserializer.deserialize_any(TargetsVisitor(std::marker::PhantomData))
    }
}
