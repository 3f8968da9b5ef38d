//! Containers of a MiniCluster, and what is mounted in them (A.1).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::is_default;

/// An amount of a resource: `4` or `"500m"`.
pub type Quantity = IntOrString;

/// An entry of `spec.containers` or `spec.services`.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "as the resource has them")]
pub struct Container {
    /// The image. The one that runs Flux needs what the view's Flux needs (a shell, bash), or Flux itself when the view is disabled.
    #[serde(default = "image")]
    pub image: String,
    /// Its name; `NAME-POSITION` when absent. One without Flux needs a name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub name: String,
    /// What the lead submits to Flux; in a container without Flux, what is run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// Where the command is run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Ports that others reach: a container without Flux gets a Service of its name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub ports: Vec<i32>,
    /// Variables of the environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Variables of the environment from Secrets, by name of the variable.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Secret>,
    /// It is the one that runs Flux.
    #[serde(default, skip_serializing_if = "is_default")]
    pub run_flux: bool,
    /// The command submits its own jobs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub launcher: bool,
    /// The command is a batch script: each line is submitted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub batch: bool,
    /// The batch script is run as it is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub batch_raw: bool,
    /// Directory for the output of a batch's jobs; `/tmp/fluxout` when absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub logs: String,
    /// A container without Flux runs its command at once, without waiting for Flux.
    #[serde(default, skip_serializing_if = "is_default")]
    pub no_wrap_entrypoint: bool,
    /// The image is pulled at every start.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pull_always: bool,
    /// `imagePullPolicy` of the container, before `pullAlways`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image_pull_policy: String,
    /// A Secret for pulling the image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image_pull_secret: String,
    /// What is mounted, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub volumes: BTreeMap<String, Volume>,
    /// Commands of the kubelet.
    #[serde(default, skip_serializing_if = "is_default")]
    pub life_cycle: LifeCycle,
    /// Limits and requests.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resources: Resources,
    /// Security of the container.
    #[serde(default, skip_serializing_if = "is_default")]
    pub security_context: SecurityContext,
    /// Commands beside the command.
    #[serde(default, skip_serializing_if = "is_default")]
    pub commands: Commands,
}

/// Where a variable of the environment comes from.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Secret {
    /// Name of the Secret.
    pub name: String,
    /// Its key.
    pub key: String,
}

/// What is mounted; the first source that is given counts.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Where in the container.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// A directory of the node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host_path: String,
    /// A ConfigMap.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub config_map_name: String,
    /// Keys of the ConfigMap, each with its path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<String, String>,
    /// A PersistentVolumeClaim.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub claim_name: String,
    /// A Secret.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub secret_name: String,
    /// Nothing can be written there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// An empty directory, at `/dev/shm` when there is no path.
    #[serde(default, skip_serializing_if = "is_default")]
    pub empty_dir: bool,
    /// Its medium: `Memory`, or the node's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub empty_dir_medium: String,
    /// Its limit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub empty_dir_size_limit: String,
    /// A CSI driver.
    #[serde(default, skip_serializing_if = "String::is_empty", rename = "csiDriver")]
    pub csi_driver: String,
    /// What it is told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", rename = "csiDriverAttributes")]
    pub csi_driver_attributes: BTreeMap<String, String>,
}

/// Commands of the kubelet.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LifeCycle {
    /// After the start of the container.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub post_start_exec: String,
    /// Before its end.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pre_stop_exec: String,
}

/// Limits and requests.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// No more than this.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Quantity>,
    /// At least this.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, Quantity>,
}

/// Security of a container.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityContext {
    /// It may do on the node what root may.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// Capabilities that it has beside the runtime's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_capabilities: Vec<String>,
}

/// Commands beside the command.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Commands {
    /// Stands before `flux start` and `flux broker`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// In the place of `command`: a script of its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub script: String,
    /// Before everything else.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub init: String,
    /// Before the broker.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pre: String,
    /// After the broker.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub post: String,
    /// Before the broker of a worker.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub worker_pre: String,
    /// Before the broker of the lead.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub broker_pre: String,
    /// Before the command of a service.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service_pre: String,
}

fn image() -> String {
    "ghcr.io/rse-ops/accounting:app-latest".to_owned()
}
