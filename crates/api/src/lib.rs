//! The MiniCluster of Flux, `flux-framework.org/v1alpha2`: its types, and the CustomResourceDefinition made of them.
//!
//! Wire compatible with the original Flux Operator: every field has the original's name, type and default (specification of
//! the Flux part, A.1), and what the original printed to its own log is refused by the API server here (rules in CEL, A.2, each
//! with a message that says what would be right). Fields that the original does not have say so in their documentation.
//!
//! ```
//! use towtank_api::MiniCluster;
//!
//! let manifest = serde_json::json!({
//!     "apiVersion": "flux-framework.org/v1alpha2", "kind": "MiniCluster", "metadata": {"name": "flux-sample"},
//!     "spec": {"size": 4, "containers": [{"image": "rockylinux:9", "command": "flux resource list"}]},
//! });
//! let cluster: MiniCluster = serde_json::from_value(manifest).unwrap();
//! assert_eq!((cluster.spec.size, cluster.spec.tasks, cluster.spec.flux.connect_timeout.as_str()), (4, 1, "5s"));
//! ```

mod container;
mod crd;
mod flux;
mod rules;
mod status;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use container::{Commands, Container, LifeCycle, Quantity, Resources, Secret, SecurityContext, Volume};
pub use crd::{crd, manifest};
pub use flux::{BurstedCluster, Bursting, Flux, LeadBroker, QUEUE_POLICIES, Scheduler, View};
pub use rules::{RULES, Rule};
pub use status::{Condition, MiniClusterStatus, condition};

/// Group of the resource.
pub const GROUP: &str = "flux-framework.org";
/// Version of the resource.
pub const VERSION: &str = "v1alpha2";
/// The annotation of ConfigMap and Job that keeps the size when the MiniCluster was created: its command and its quorum are made of it.
pub const CREATED_SIZE: &str = "towtank.dev/created-size";
/// The annotation of ConfigMap and Job that keeps the number of ranks that every broker was told of.
pub const MAXIMUM_SIZE: &str = "towtank.dev/maximum-size";

/// A MiniCluster: one Flux instance in the pods of an Indexed Job.
#[derive(CustomResource, JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "flux-framework.org",
    version = "v1alpha2",
    kind = "MiniCluster",
    plural = "miniclusters",
    namespaced,
    status = "MiniClusterStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "A MiniCluster: one Flux instance in the pods of an Indexed Job.",
    scale(
        spec_replicas_path = ".spec.size",
        status_replicas_path = ".status.size",
        label_selector_path = ".status.selector"
    ),
    printcolumn = r#"{"name": "Size", "type": "integer", "jsonPath": ".spec.size", "description": "Pods that are wanted"}"#,
    printcolumn = r#"{"name": "Max", "type": "integer", "jsonPath": ".status.maximumSize", "description": "Ranks that Flux knows"}"#,
    printcolumn = r#"{"name": "Ready", "type": "integer", "jsonPath": ".status.ready", "description": "Pods that are ready"}"#,
    printcolumn = r#"{"name": "Online", "type": "integer", "jsonPath": ".status.online", "description": "Brokers that are online"}"#,
    printcolumn = r#"{"name": "Status", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].reason", "description": "How it stands"}"#,
    printcolumn = r#"{"name": "Completed", "type": "string", "jsonPath": ".status.completedIndexes", "description": "Indexes that have succeeded", "priority": 1}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct MiniClusterSpec {
    /// Containers of every pod; exactly one runs Flux. A sole container always does.
    #[schemars(length(min = 1, max = 32))]
    pub containers: Vec<Container>,
    /// Side services, all in one pod beside the cluster, `NAME-services`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub services: Vec<Container>,
    /// Pods that are wanted now.
    #[serde(default = "one")]
    pub size: i32,
    /// Ranks that Flux is told about; `size` when absent. It cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_size: Option<i32>,
    /// The least size; and the quorum of brokers that the lead waits for before it runs anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min_size: Option<i32>,
    /// Tasks that the command is submitted with; 0 is one for each node.
    #[serde(default = "one")]
    #[schemars(range(min = 0))]
    pub tasks: i32,
    /// The lead runs no command and waits for its users.
    #[serde(default)]
    pub interactive: bool,
    /// The MiniCluster is deleted when its lead has ended.
    #[serde(default)]
    pub cleanup: bool,
    /// `backoffLimit` of the Job; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub backoff_limit: Option<i32>,
    /// `activeDeadlineSeconds` of the Job.
    #[serde(default = "deadline_seconds")]
    #[schemars(range(min = 1))]
    pub deadline_seconds: i64,
    /// Labels of the Job.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub job_labels: BTreeMap<String, String>,
    /// All containers of a pod see each other's processes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub share_process_namespace: bool,
    /// State of an earlier instance.
    #[serde(default, skip_serializing_if = "is_default")]
    pub archive: Archive,
    /// Names and neighbours.
    #[serde(default, skip_serializing_if = "is_default")]
    pub network: Network,
    /// What the script in the pods prints.
    #[serde(default, skip_serializing_if = "is_default")]
    pub logging: Logging,
    /// How Flux runs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub flux: Flux,
    /// The pods.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pod: PodOptions,
}

/// State of an earlier instance.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Archive {
    /// A file that `flux dump` has made: every start of the lead's broker begins with what is in it, while it is there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
}

/// Names and neighbours.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// The headless service, and the subdomain of the pods; the name of the MiniCluster when absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub headless_name: String,
    /// Pods ask for no nodes of their own in one zone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub disable_affinity: bool,
}

/// What the script in the pods prints.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "as the resource has them")]
pub struct Logging {
    /// Nothing but what the command prints.
    #[serde(default, skip_serializing_if = "is_default")]
    pub quiet: bool,
    /// The first command of the script that fails ends it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strict: bool,
    /// `flux submit` says what it does.
    #[serde(default, skip_serializing_if = "is_default")]
    pub debug: bool,
    /// Brokers say what their connections do.
    #[serde(default, skip_serializing_if = "is_default")]
    pub zeromq: bool,
    /// The command is run by `/usr/bin/time`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub timed: bool,
}

/// The pods.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodOptions {
    /// Annotations of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels of the pods, beside the operator's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `OnFailure` or `Never`; `OnFailure` when absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub restart_policy: String,
    /// The service account that the pods run as.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service_account_name: String,
    /// A token of the service account is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automount_service_account_token: Option<bool>,
    /// The class of the container runtime.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub runtime_class_name: String,
    /// The scheduler that places the pods.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scheduler_name: String,
    /// Labels of nodes that the pods may run on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Labels of nodes, each with the values of which a node must have one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_affinity: BTreeMap<String, Vec<String>>,
    /// Taints that the pods tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// How the pods resolve names.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dns_policy: String,
    /// The pods see the node's IPC.
    #[serde(default, rename = "hostIPC", skip_serializing_if = "is_default")]
    pub host_ipc: bool,
    /// The pods see the node's processes.
    #[serde(default, rename = "hostPID", skip_serializing_if = "is_default")]
    pub host_pid: bool,
    /// What a pod needs beside its containers (`overhead` of the pod).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, Quantity>,
    /// Security of the pods; `fsGroup` alone is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<k8s_openapi::api::core::v1::PodSecurityContext>,
}

fn one() -> i32 {
    1
}

fn deadline_seconds() -> i64 {
    31_500_000
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
