//! `status` of a MiniCluster: what is, never what was merely asked for.

use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `status` of a MiniCluster.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MiniClusterStatus {
    /// Pods that the Job was told to have: the size that was accepted.
    pub size: i32,
    /// Selects the pods, for a HorizontalPodAutoscaler.
    pub selector: String,
    /// Nothing sets it, as in the original.
    pub jobid: String,
    /// Ranks that every broker was told of: no size can be larger.
    pub maximum_size: i32,
    /// Pods that are ready (a field of this project).
    #[serde(default)]
    pub ready: i32,
    /// Brokers that are online (a field of this project).
    #[serde(default)]
    pub online: i32,
    /// Indexes whose pods have succeeded, `0-1,3` (a field of this project).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub completed_indexes: String,
    /// The generation of the MiniCluster that the rest of the status is about (a field of this project).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Progressing`, `Degraded` and `ScalingLimited`, with reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A condition, in the standard form of the API conventions.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What is said.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in one word.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// Why, for people.
    #[schemars(length(max = 32768))]
    pub message: String,
    /// Since when the status is what it is.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last_transition_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time,
    /// The generation of the MiniCluster that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

impl Condition {
    /// It is true.
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }

    /// Since when.
    pub fn since(&self) -> Timestamp {
        self.last_transition_time.0
    }
}

/// Types and reasons of conditions.
pub mod condition {
    /// Every broker that is wanted is online.
    pub const READY: &str = "Ready";
    /// The cluster is on its way to what is wanted.
    pub const PROGRESSING: &str = "Progressing";
    /// Something is wrong and does not mend by itself.
    pub const DEGRADED: &str = "Degraded";
    /// The size that is wanted cannot be had, and nothing was changed.
    pub const SCALING_LIMITED: &str = "ScalingLimited";
}

impl MiniClusterStatus {
    /// The condition of this type.
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == type_)
    }
}
