//! What is free on the nodes, ordered so that the best node for a pod is found without looking at all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::taints;
use crate::objects::{NOT_READY_TAINT, Node, NodeId, PodSpec, Taint, TaintEffect, UNREACHABLE_TAINT};

/// CPU that a pod without a request counts for in scores (`DefaultMilliCPURequest`), in thousandths of a core.
const SCORED_CPU_MILLI: u64 = 100;
/// Scores run from 0 to this, whole numbers (`MaxNodeScore`).
const SCORE_MAX: u64 = 100;

/// CPU that a pod asks for, in thousandths of a core: its containers together, or its largest init container, with the
/// sidecars counted beside both.
pub(super) fn cpu_request_milli(spec: &PodSpec) -> u64 {
    let sum = |containers: &mut dyn Iterator<Item = u32>| containers.map(u64::from).sum::<u64>();
    let main = sum(&mut spec.containers.iter().map(|container| container.cpu_request_milli));
    let sidecars = spec.init_containers.iter().filter(|container| container.is_sidecar);
    let sidecars = sum(&mut sidecars.map(|container| container.cpu_request_milli));
    let init = spec.init_containers.iter().filter(|container| !container.is_sidecar);
    let init = init.map(|container| u64::from(container.cpu_request_milli)).max().unwrap_or(0);
    main.max(init) + sidecars
}

/// A node's place in the order of preference: least allocated first, equals by lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// [`SCORE_MAX`] less the node's score.
    allocation: u64,
    /// Drawn anew whenever the node's load changes; 0 when equals go in order of nodes.
    lot: u32,
    node: NodeId,
}

/// One node.
#[derive(Clone, Debug)]
struct Slot {
    node: Arc<Node>,
    /// Nobody is kept away: not cordoned, Ready, without taints.
    is_open: bool,
    cpu_used: u64,
    /// CPU used as scores see it.
    cpu_scored: u64,
    pods: u32,
    /// Where the node stands, while a further pod fits by number.
    rank: Option<Rank>,
}

/// Load and order of all nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Capacity {
    slots: Vec<Option<Slot>>,
    /// Nodes with room that take every pod, best first.
    open: BTreeSet<Rank>,
    /// Nodes with room that some pods cannot or would rather not use.
    guarded: BTreeSet<Rank>,
}

impl Capacity {
    /// A node appeared or changed. Returns whether a pod that fitted nowhere might fit now.
    pub(super) fn set_node(&mut self, node: &Arc<Node>, lot: u32) -> bool {
        let index = node.id.0 as usize;
        if self.slots.len() <= index {
            self.slots.resize(index + 1, None);
        }
        let is_open = !node.unschedulable && node.is_ready && node.taints.is_empty();
        self.unrank(node.id);
        match &mut self.slots[index] {
            Some(slot) => {
                slot.node = Arc::clone(node);
                slot.is_open = is_open;
            }
            empty => {
                let node = Arc::clone(node);
                *empty = Some(Slot { node, is_open, cpu_used: 0, cpu_scored: 0, pods: 0, rank: None });
            }
        }
        self.rank(node.id, lot);
        self.slots[index].as_ref().is_some_and(|slot| slot.rank.is_some())
    }

    /// A node is gone.
    pub(super) fn remove_node(&mut self, node: NodeId) {
        self.unrank(node);
        if let Some(slot) = self.slots.get_mut(node.0 as usize) {
            *slot = None;
        }
    }

    /// Counts a pod on a node. Pods on nodes that are gone count nowhere.
    pub(super) fn add(&mut self, node: NodeId, cpu_milli: u64, lot: u32) {
        self.change(node, lot, |slot| {
            slot.cpu_used += cpu_milli;
            slot.cpu_scored += scored(cpu_milli);
            slot.pods += 1;
        });
    }

    /// Takes a pod off a node.
    pub(super) fn remove(&mut self, node: NodeId, cpu_milli: u64, lot: u32) {
        self.change(node, lot, |slot| {
            slot.cpu_used = slot.cpu_used.saturating_sub(cpu_milli);
            slot.cpu_scored = slot.cpu_scored.saturating_sub(scored(cpu_milli));
            slot.pods = slot.pods.saturating_sub(1);
        });
    }

    /// The best node for a pod: one that takes it without reservation if there is any, the least allocated of those.
    pub(super) fn best(&self, spec: &PodSpec, cpu_milli: u64) -> Option<NodeId> {
        let fits = |rank: &&Rank| self.slot(rank.node).is_some_and(|slot| slot.fits(spec, cpu_milli));
        let open = self.open.iter().find(fits);
        // Of the guarded nodes only those that the pod likes as much as an open one compete with it.
        let liked = |rank: &&Rank| self.slot(rank.node).is_some_and(|slot| slot.is_liked(spec));
        let guarded = if open.is_none() || !spec.tolerations.is_empty() {
            self.guarded.iter().find(|rank| fits(rank) && liked(rank))
        } else {
            None
        };
        let best = open.into_iter().chain(guarded).min();
        best.or_else(|| self.guarded.iter().find(fits)).map(|rank| rank.node)
    }

    fn slot(&self, node: NodeId) -> Option<&Slot> {
        self.slots.get(node.0 as usize)?.as_ref()
    }

    fn change(&mut self, node: NodeId, lot: u32, change: impl FnOnce(&mut Slot)) {
        self.unrank(node);
        if let Some(Some(slot)) = self.slots.get_mut(node.0 as usize) {
            change(slot);
        }
        self.rank(node, lot);
    }

    fn unrank(&mut self, node: NodeId) {
        if let Some(Some(slot)) = self.slots.get_mut(node.0 as usize)
            && let Some(rank) = slot.rank.take()
        {
            if slot.is_open {
                self.open.remove(&rank)
            } else {
                self.guarded.remove(&rank)
            };
        }
    }

    fn rank(&mut self, node: NodeId, lot: u32) {
        if let Some(Some(slot)) = self.slots.get_mut(node.0 as usize)
            && slot.pods < slot.node.pods_max
        {
            let rank = Rank { allocation: SCORE_MAX - slot.score(), lot, node };
            slot.rank = Some(rank);
            if slot.is_open {
                self.open.insert(rank)
            } else {
                self.guarded.insert(rank)
            };
        }
    }
}

impl Slot {
    /// Share of the CPU that is free, as a whole number (`LeastAllocated`).
    fn score(&self) -> u64 {
        let cpu = u64::from(self.node.cpu_milli);
        (cpu.saturating_sub(self.cpu_scored) * SCORE_MAX).checked_div(cpu).unwrap_or(0)
    }

    fn fits(&self, spec: &PodSpec, cpu_milli: u64) -> bool {
        self.pods < self.node.pods_max
            // A pod that asks for nothing fits on a node without a free millicore.
            && (cpu_milli == 0 || self.cpu_used + cpu_milli <= u64::from(self.node.cpu_milli))
            && !self.node.unschedulable
            && (self.is_open || (taints::admits(spec, &self.node.taints) && self.takes_while_unready(spec)))
            && spec.node_selector.iter().all(|(key, value)| self.node.labels.get(key) == Some(value))
    }

    fn is_liked(&self, spec: &PodSpec) -> bool {
        !taints::prefers_elsewhere(spec, &self.node.taints)
    }

    /// The scheduler does not look at readiness itself: unready nodes carry a NoSchedule taint, which comes a moment
    /// after the condition. Here it counts from the condition on.
    fn takes_while_unready(&self, spec: &PodSpec) -> bool {
        let taint = |key: &str| Taint {
            key: key.into(),
            value: "".into(),
            effect: TaintEffect::NoSchedule,
            time_added: crate::time::Time::ZERO,
        };
        self.node.is_ready
            || taints::admits(spec, &[taint(NOT_READY_TAINT)])
            || taints::admits(spec, &[taint(UNREACHABLE_TAINT)])
    }
}

fn scored(cpu_milli: u64) -> u64 {
    if cpu_milli == 0 { SCORED_CPU_MILLI } else { cpu_milli }
}
