//! `v1` Node.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use serde::Deserialize as _;
use serde_json::{Value, json};
use towtank_model::objects::{Labels, Node, Taint, TaintEffect};
use towtank_model::time::Time;

use super::template::{effect_text, milli};
use super::{Fields, WireError, labels_row, optional_time, time_text};

/// Pods that a node holds when nothing is said (`--max-pods` of a kubelet).
const PODS_MAX: u32 = 110;
/// CPU of a node that says nothing of it.
const CPU_MILLI: u32 = 1_000;

/// What a node's object says of the fields that the model holds.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeContent {
    /// `metadata.labels`.
    pub labels: Labels,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// `spec.taints`.
    pub taints: Vec<Taint>,
    /// `status.allocatable.cpu`, or of the capacity.
    pub cpu_milli: u32,
    /// `status.allocatable.pods`, or of the capacity.
    pub pods_max: u32,
    /// The condition Ready is True, or is not there.
    pub is_ready: bool,
}

/// `spec` of a node.
pub fn node_spec(node: &Node) -> Value {
    let mut fields = Fields::default();
    if node.unschedulable {
        fields.set("unschedulable", true);
    }
    fields.set_list(
        "taints",
        node.taints.iter().map(|taint| {
            let mut fields = Fields::default();
            fields.set("key", &*taint.key);
            fields.set_text("value", &taint.value);
            fields.set("effect", effect_text(taint.effect));
            if taint.effect == TaintEffect::NoExecute {
                fields.set("timeAdded", time_text(taint.time_added));
            }
            fields.into()
        }),
    );
    fields.into()
}

/// `status.capacity` of a node, which is also what can be allocated.
pub fn node_capacity(node: &Node) -> Value {
    let cpu = match node.cpu_milli % 1_000 {
        0 => (node.cpu_milli / 1_000).to_string(),
        _ => format!("{}m", node.cpu_milli),
    };
    json!({"cpu": cpu, "pods": node.pods_max.to_string()})
}

/// A node as a client sends it. A taint without a time was added `now`.
pub fn node_content(object: &Value, now: Time) -> Result<NodeContent, WireError> {
    let node = core::Node::deserialize(object).map_err(|error| WireError::new("Node", error.to_string()))?;
    let spec = node.spec.unwrap_or_default();
    let status = node.status.unwrap_or_default();
    let resources = status.allocatable.or(status.capacity).unwrap_or_default();
    let cpu = resources
        .get("cpu")
        .map(|cpu| milli(&cpu.0).ok_or_else(|| WireError::unknown("status.allocatable.cpu", &cpu.0)));
    let pods = resources
        .get("pods")
        .map(|pods| pods.0.parse().map_err(|_| WireError::unknown("status.allocatable.pods", &pods.0)));
    let ready = status.conditions.into_iter().flatten().find(|condition| condition.type_ == "Ready");
    let taints = spec.taints.into_iter().flatten().map(|taint| taint_row(taint, now));
    Ok(NodeContent {
        labels: labels_row(node.metadata.labels.as_ref()),
        unschedulable: spec.unschedulable.unwrap_or(false),
        taints: taints.collect::<Result<_, _>>()?,
        cpu_milli: cpu.transpose()?.unwrap_or(CPU_MILLI),
        pods_max: pods.transpose()?.unwrap_or(PODS_MAX),
        is_ready: ready.is_none_or(|condition| condition.status == "True"),
    })
}

fn taint_row(taint: core::Taint, now: Time) -> Result<Taint, WireError> {
    let effect = match taint.effect.as_str() {
        "NoSchedule" => TaintEffect::NoSchedule,
        "PreferNoSchedule" => TaintEffect::PreferNoSchedule,
        "NoExecute" => TaintEffect::NoExecute,
        other => return Err(WireError::unknown("spec.taints.effect", other)),
    };
    Ok(Taint {
        key: taint.key.into(),
        value: Arc::from(taint.value.unwrap_or_default()),
        effect,
        time_added: optional_time("spec.taints.timeAdded", taint.time_added.as_ref())?.unwrap_or(now),
    })
}
