//! A step and its actions.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Expectation, OperatorStep, text_or_mapping};
use crate::ast::Spanned;
use crate::yaml::de::{Nullable, Verbatim};

/// One step: at most one action, and what must be seen after it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Step {
    /// What the step is called, unique in the scenario.
    pub(crate) name: Spanned<Verbatim>,
    /// Creates or updates objects: a file with manifests (relative to this file), a manifest, or a list of manifests.
    #[serde(default)]
    pub(crate) apply: Option<Spanned<Anything>>,
    /// Changes the spec of a Job or a MiniCluster: `{job: NAME, spec: {…}}`, a merge patch.
    #[serde(default)]
    pub(crate) patch: Option<Spanned<Patch>>,
    /// Changes the size of a Job.
    #[serde(default)]
    pub(crate) scale: Option<Spanned<Scale>>,
    /// A command typed at the lead of the only MiniCluster: `resource drain 2 Goodbye rank 2`.
    #[serde(default)]
    pub(crate) flux: Option<Spanned<FluxCommand>>,
    /// Sends a signal to the broker of a rank, as `flux exec -r 2 pkill -15 flux-broker` does.
    #[serde(default, rename = "flux exec")]
    pub(crate) flux_exec: Option<Spanned<FluxExec>>,
    /// Deletes a MiniCluster, a Job or pods.
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
    /// The processes of the operator of MiniClusters, and what goes wrong for them: `restart`, `stop`, `start`, `hold`, `release`, or
    /// `{faults: […]}`.
    #[serde(default)]
    pub(crate) operator: Option<Spanned<OperatorStep>>,
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
#[derive(Debug)]
pub(crate) struct Anything;

impl JsonSchema for Anything {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Anything".into()
    }

    fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "object", "array"] })
    }
}

/// `patch`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Patch {
    /// The Job.
    #[serde(default)]
    pub(crate) job: Option<Spanned<String>>,
    /// The MiniCluster.
    #[serde(default)]
    pub(crate) minicluster: Option<Spanned<String>>,
    /// The fields of its spec that change; null removes one.
    #[expect(dead_code, reason = "must be there; the value is read as Kubernetes types, from the tree")]
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

/// A command: its text, or `{minicluster, command}`.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum FluxCommand {
    /// What is typed behind `flux`. A command that waits for something goes on by itself, as with `&` behind it.
    Line(String),
    /// The same, and where.
    Fields(FluxCommandFields),
}

/// `flux`, where there are several MiniClusters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct FluxCommandFields {
    /// The MiniCluster.
    pub(crate) minicluster: Spanned<String>,
    /// What is typed behind `flux`.
    pub(crate) command: String,
}

/// `flux exec`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct FluxExec {
    /// The MiniCluster; may be absent when the scenario has only one.
    #[serde(default)]
    pub(crate) minicluster: Option<Spanned<String>>,
    /// The rank.
    pub(crate) rank: Spanned<u32>,
    /// The signal; TERM when absent.
    #[serde(default)]
    pub(crate) signal: Option<SignalName>,
}

/// `delete`: a MiniCluster, a Job, a pod, or several pods.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Delete {
    /// The MiniCluster.
    #[serde(default)]
    pub(crate) minicluster: Option<Spanned<String>>,
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
    #[serde(rename = "TERM")]
    Term,
    /// The process ends at once.
    #[serde(rename = "KILL")]
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

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IgnoredAny).map(|IgnoredAny| Self)
    }
}

text_or_mapping!(
    FluxCommand,
    FluxCommand::Line,
    FluxCommand::Fields,
    "what is typed behind `flux`, or `{minicluster: …, command: …}`"
);
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
