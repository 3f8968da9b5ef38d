//! `v1` Node: the fields that decide anything.

use std::sync::Arc;

use super::meta::Labels;
use super::pod::{NodeId, TaintEffect};
use crate::time::Time;

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its position in the order of creation.
    pub id: NodeId,
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Arc<Labels>,
    /// CPU that pods may request, in thousandths of a core.
    pub cpu_milli: u32,
    /// Pods that it may hold.
    pub pods_max: u32,
    /// `kubectl cordon`.
    pub unschedulable: bool,
    /// Taints, in the order in which they were added.
    pub taints: Vec<Taint>,
    /// The Ready condition as the node controller sees it.
    pub is_ready: bool,
}

/// A taint on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: Arc<str>,
    /// Its value; may be empty.
    pub value: Arc<str>,
    /// What it does to pods.
    pub effect: TaintEffect,
    /// When it was added.
    pub time_added: Time,
}

/// Label that a kubelet puts on its node: the node's name.
pub const HOSTNAME_LABEL: &str = "kubernetes.io/hostname";
/// Taint of a node whose kubelet reports that it is not ready.
pub const NOT_READY_TAINT: &str = "node.kubernetes.io/not-ready";
/// Taint of a node whose kubelet is out of reach.
pub const UNREACHABLE_TAINT: &str = "node.kubernetes.io/unreachable";
/// Taint by which an administrator says that the node is gone for good.
pub const OUT_OF_SERVICE_TAINT: &str = "node.kubernetes.io/out-of-service";
