//! How Flux runs in a MiniCluster (A.1).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::container::{Resources, SecurityContext};
use crate::is_default;

/// Policies of Fluxion's queue.
pub const QUEUE_POLICIES: [&str; 4] = ["fcfs", "easy", "hybrid", "conservative"];

/// How Flux runs.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "as the resource has them")]
pub struct Flux {
    /// The init container that brings Flux into the pod.
    #[serde(default, skip_serializing_if = "is_default")]
    pub container: View,
    /// How long a broker tries to reach its parent before it tries again; empty leaves it to Flux.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: String,
    /// The tree of brokers, `kary:2` for example; all below the lead when absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub topology: String,
    /// The service leads to the lead alone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub minimal_service: bool,
    /// A worker whose broker has ended never starts it again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub complete_workers: bool,
    /// In the place of `flux submit`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub submit_command: String,
    /// Options for `flux submit`, such as `-ompi=openmpi@5`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub option_flags: String,
    /// For `flux start --wrap=`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub wrap: String,
    /// What brokers print: 0 (emergencies) to 7 (debugging).
    #[serde(default = "log_level")]
    pub log_level: i32,
    /// Brokers have no socket of a known name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub disable_socket: bool,
    /// Containers without Flux do not wait for the broker's socket.
    #[serde(default, skip_serializing_if = "is_default")]
    pub no_wait_socket: bool,
    /// The scheduler.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scheduler: Scheduler,
    /// A CURVE certificate in ZPL format, in the place of one that is made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub curve_cert: String,
    /// The brokers' configuration, in the place of the one that is made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub broker_config: String,
    /// Ranks that other clusters run.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bursting: Bursting,
    /// Nothing reads it, as in the original.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub munge_secret: String,
    /// Nothing reads it, as in the original.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub arch: String,
    /// Variables of the environment of brokers and sidecars.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
}

/// The init container that brings Flux into the pod.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// Its image.
    #[serde(default = "view_image")]
    pub image: String,
    /// Its name, and that of the volume it fills.
    #[serde(default = "view_name")]
    pub name: String,
    /// Where Flux is mounted.
    #[serde(default = "mount_path")]
    pub mount_path: String,
    /// Flux is in the image of the application already.
    #[serde(default, skip_serializing_if = "is_default")]
    pub disable: bool,
    /// The image is pulled at every start.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pull_always: bool,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// A path of Python modules, before Flux's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub python_path: String,
    /// Limits and requests.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resources: Resources,
    /// Security of the container.
    #[serde(default, skip_serializing_if = "is_default")]
    pub security_context: SecurityContext,
    /// A Secret for pulling the image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image_pull_secret: String,
}

/// The scheduler.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scheduler {
    /// Flux's own simple scheduler in the place of Fluxion.
    #[serde(default, skip_serializing_if = "is_default")]
    pub simple: bool,
    /// Fluxion's policy: `fcfs` (when absent), `easy`, `hybrid` or `conservative`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub queue_policy: String,
}

/// Ranks that other clusters run.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bursting {
    /// This cluster's brokers belong to the instance of this lead.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lead_broker: LeadBroker,
    /// All hosts, in the place of the list that is made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostlist: String,
    /// Clusters whose hosts come behind this cluster's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub clusters: Vec<BurstedCluster>,
}

/// The lead of another cluster.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeadBroker {
    /// Where it is reached; there is none when this is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// The name of its cluster.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The ranks of its cluster (its `maxSize`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub size: i32,
    /// Its port; 8050 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

/// A cluster to burst to.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BurstedCluster {
    /// Its name; `burst-N` for the Nth, from 0, when absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub name: String,
    /// Its size; that of this MiniCluster when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub size: Option<i32>,
}

impl Default for Flux {
    fn default() -> Self {
        Self {
            container: View::default(),
            connect_timeout: connect_timeout(),
            topology: String::new(),
            minimal_service: false,
            complete_workers: false,
            submit_command: String::new(),
            option_flags: String::new(),
            wrap: String::new(),
            log_level: log_level(),
            disable_socket: false,
            no_wait_socket: false,
            scheduler: Scheduler::default(),
            curve_cert: String::new(),
            broker_config: String::new(),
            bursting: Bursting::default(),
            munge_secret: String::new(),
            arch: String::new(),
            environment: BTreeMap::new(),
        }
    }
}

impl Default for View {
    fn default() -> Self {
        Self {
            image: view_image(),
            name: view_name(),
            mount_path: mount_path(),
            disable: false,
            pull_always: false,
            working_dir: String::new(),
            python_path: String::new(),
            resources: Resources::default(),
            security_context: SecurityContext::default(),
            image_pull_secret: String::new(),
        }
    }
}

fn connect_timeout() -> String {
    "5s".to_owned()
}

fn log_level() -> i32 {
    6
}

fn view_image() -> String {
    "ghcr.io/converged-computing/flux-view-ubuntu:tag-noble".to_owned()
}

fn view_name() -> String {
    "flux-view".to_owned()
}

fn mount_path() -> String {
    "/mnt/flux".to_owned()
}
