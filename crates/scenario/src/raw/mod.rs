//! A scenario file as written: the fields that exist and the types of their values, nothing more.
//!
//! This is the single source of the format: the parser reads into these types and [`crate::schema`] is derived from
//! them, descriptions included. What the values mean, and which of them go together, is decided in `lower`.

mod expect;
mod operator;
mod steps;

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

pub(crate) use expect::*;
pub(crate) use operator::*;
pub(crate) use steps::*;

use crate::ast::Spanned;
use crate::yaml::de::Verbatim;

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

use text_or_mapping;

/// A story about elastic Jobs on Kubernetes: a cluster, steps, and what must be seen after each step.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Scenario {
    /// Always `towtank.dev/v1alpha1`.
    #[expect(dead_code, reason = "must be there; the value is looked at before the rest, in the tree")]
    pub(crate) api_version: Spanned<String>,
    /// Always `Scenario`.
    #[expect(dead_code, reason = "must be there; the value is looked at before the rest, in the tree")]
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
    /// How long things take: `instant` (the default), `virtual`, `kind` or `gke`; or a file, by its path from this one: what `towtank calibrate`
    /// wrote (`.json`), or Stages of KWOK (`.yaml`).
    #[serde(default)]
    pub(crate) timing: Option<Spanned<String>>,
    /// Whether the nodes are containers of one machine, as kind's are: pods that start on different nodes wait for each other too.
    #[serde(default)]
    pub(crate) one_machine: Option<bool>,
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
    /// What is in the images of MiniClusters.
    #[serde(default)]
    pub(crate) flux: Option<Flux>,
    /// Whose operator looks after MiniClusters: one that keeps the contract, when absent, or `upstream`: flux-operator as it is.
    #[serde(default)]
    pub(crate) compat: Option<Spanned<Compat>>,
    /// Replicas of the operator, of which one leads; 1 when absent: it works without a Lease.
    #[serde(default)]
    pub(crate) operator_replicas: Option<Spanned<u32>>,
    /// Calls of the Job controller that go wrong: `[{call: update job status, nth: 2, fault: conflict}]`.
    #[serde(default)]
    pub(crate) faults: Option<Vec<Spanned<Fault>>>,
}

/// An operator that is not the contract's.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Compat {
    /// flux-operator, with its defects.
    Upstream,
}

/// `spec.cluster.flux`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Flux {
    /// Versions of flux-core that it is true of: `0.50.0`, `0.61.2` (the default), `0.88.0`, `0.61.2..0.88.0` or `all`.
    #[serde(default)]
    pub(crate) version: Option<Spanned<Verbatim>>,
    /// What gets SIGTERM in the pods: `entrypoint` (the default), the contract's script; `shell` (the default with `compat: upstream`),
    /// which keeps it to itself; or `broker`, which leaves Flux in order and ends with 0.
    #[serde(default)]
    pub(crate) pid1: Option<Spanned<Pid1>>,
    /// Whether an init container copies Flux into the pods (the default), or their image has it.
    #[serde(default)]
    pub(crate) view: Option<bool>,
}

/// The first process of the container with Flux.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Pid1 {
    /// The contract's script: the broker leaves in order, and the container ends with 143.
    Entrypoint,
    /// A shell that forwards nothing: the broker runs on until SIGKILL.
    Shell,
    /// The broker.
    Broker,
}

/// One call that goes wrong.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Fault {
    /// The kind of call.
    pub(crate) call: CallKind,
    /// Which call of this kind, from 1, over the whole run: those after a restart of the controller count on.
    pub(crate) nth: Spanned<u32>,
    /// What becomes of it: `conflict`, `unreachable`, `answer lost`, or `{delay: 2500ms}`.
    pub(crate) fault: Spanned<FaultKind>,
}

/// A kind of API call that the Job controller makes.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(crate) enum CallKind {
    /// Read a Job from the server, before it adopts a pod.
    #[serde(rename = "get job")]
    GetJob,
    /// Create a pod.
    #[serde(rename = "create pod")]
    CreatePod,
    /// Patch a pod: take the finalizer off, adopt it, release it.
    #[serde(rename = "patch pod")]
    PatchPod,
    /// Delete a pod.
    #[serde(rename = "delete pod")]
    DeletePod,
    /// Write the status of a Job.
    #[serde(rename = "update job status")]
    UpdateJobStatus,
    /// Delete a Job whose time to live is over.
    #[serde(rename = "delete job")]
    DeleteJob,
}

/// What becomes of a call: `conflict` and `unreachable` keep it from having an effect, with `answer lost` it has its
/// effect but the controller does not learn of it.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum FaultKind {
    /// `conflict`, `unreachable` or `answer lost`.
    Word(String),
    /// It reaches the server later.
    Delay(Delay),
}

/// `{delay: 2500ms}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Delay {
    /// By how much.
    pub(crate) delay: Spanned<Verbatim>,
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

text_or_mapping!(
    FaultKind,
    FaultKind::Word,
    FaultKind::Delay,
    "`conflict`, `unreachable`, `answer lost` or `{delay: …}`"
);
text_or_mapping!(OnTerm, OnTerm::Word, OnTerm::Exit, "`ignore` or `{exitCode: …, after: …}`");
