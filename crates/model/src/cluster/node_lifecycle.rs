//! The node lifecycle and taint eviction controllers: nodes whose kubelet is silent, and pods that must leave them.
//!
//! A node is lost when its kubelet has been silent for the grace period ([`node_monitor_grace`]): it is marked not
//! Ready, its pods are marked not Ready, and it is tainted with `unreachable`, NoSchedule at once and NoExecute at a
//! limited rate. Pods that do not bear a NoExecute taint are deleted with the condition DisruptionTarget
//! (DeletionByTaintManager), those that bear it for a time when that time is over (Job spec section 7.4).
//!
//! Eviction is limited as in the original with its defaults: one node per 10 s; when more than half of the nodes (55 %
//! and at least three) are lost, none in clusters of up to 50 nodes and one per 100 s in larger ones; when all are
//! lost, none, and the NoExecute taints are taken off again. All nodes count as one zone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::ClusterEvent;
use super::conditions::Words;
use super::placement::Placement;
use super::taints::{Patience, patience};
use super::timing::{TimingProfile, node_monitor_grace};
use crate::engine::{Purpose, Stamp, Timer};
use crate::objects::{
    ConditionStatus, NOT_READY_TAINT, Node, NodeId, Pod, READY, Taint, TaintEffect, UNREACHABLE_TAINT, Uid,
};
use crate::server::{Actor, Change, Versions};
use crate::simulation::{Context, Event};
use crate::time::Time;

/// Time between two nodes' NoExecute taints (`--node-eviction-rate=0.1`).
const EVICTION_INTERVAL: Duration = Duration::from_secs(10);
/// The same in a large cluster most of which is lost (`--secondary-node-eviction-rate=0.01`).
const SLOW_EVICTION_INTERVAL: Duration = Duration::from_secs(100);
/// Up to so many nodes, nobody is evicted while most nodes are lost (`--large-cluster-size-threshold`).
const SMALL_CLUSTER_NODES_MAX: usize = 50;
/// Percentage of lost nodes from which a cluster counts as mostly lost (`--unhealthy-zone-threshold`).
const UNHEALTHY_PERCENT: usize = 55;

/// How willing the controller is to evict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disruption {
    /// One node per interval.
    Normal,
    /// Most nodes are lost.
    Partial,
    /// All nodes are lost.
    Full,
}

/// What the controller knows of a node.
#[derive(Clone, Copy, Debug, Default)]
struct Health {
    is_silent: bool,
    /// Pending detection of a loss, or return to Ready.
    timer: Timer,
}

/// A pod that will be deleted unless its node's taints go.
#[derive(Clone, Copy, Debug)]
struct Eviction {
    /// When the pod's patience began.
    since: Time,
    due: Time,
}

/// Both controllers.
#[derive(Clone, Debug)]
pub struct NodeLifecycle {
    timing: &'static TimingProfile,
    words: Words,
    /// Nodes that never hold pods and are always Ready; they count in the share of lost nodes.
    control_plane_nodes: usize,
    health: BTreeMap<NodeId, Health>,
    /// Nodes to be tainted NoExecute, in the order in which they were lost.
    to_taint: Vec<NodeId>,
    /// No taint before this instant.
    next_taint_at: Time,
    taint_timer: Timer,
    evictions: BTreeMap<Uid, Eviction>,
    /// Nodes with NoExecute taints: pods that come to them are looked at.
    tainted: BTreeSet<NodeId>,
}

impl NodeLifecycle {
    pub(super) fn new(timing: &'static TimingProfile, control_plane_nodes: u32, words: Words) -> Self {
        Self {
            timing,
            words,
            control_plane_nodes: control_plane_nodes as usize,
            health: BTreeMap::new(),
            to_taint: Vec::new(),
            next_taint_at: Time::ZERO,
            taint_timer: Timer::default(),
            evictions: BTreeMap::new(),
            tainted: BTreeSet::new(),
        }
    }

    // ---- heartbeats ----

    /// The heartbeats of a node stop.
    pub(super) fn lost_contact(&mut self, node: NodeId, ctx: &mut Context<'_>) {
        let health = self.health.entry(node).or_default();
        if health.is_silent {
            return;
        }
        health.is_silent = true;
        let age = self.timing.heartbeat_age.draw(ctx.random, Purpose::Node);
        let late = self.timing.detection.draw(ctx.random, Purpose::Node);
        let grace = node_monitor_grace(ctx.server.features().version);
        let stamp = health.timer.arm();
        let at = ctx.now + grace.saturating_sub(age) + late;
        ctx.events.schedule(at, Event::Cluster(ClusterEvent::NodeHealth { node, stamp }));
    }

    /// The heartbeats of a node are back.
    pub(super) fn regained_contact(&mut self, node: NodeId, ctx: &mut Context<'_>) {
        let health = self.health.entry(node).or_default();
        health.is_silent = false;
        if ctx.server.node(node).is_none_or(|node| node.is_ready) {
            health.timer.cancel();
            return;
        }
        let stamp = health.timer.arm();
        let at = ctx.now + self.timing.recovery.draw(ctx.random, Purpose::Node);
        ctx.events.schedule(at, Event::Cluster(ClusterEvent::NodeHealth { node, stamp }));
    }

    /// A node's silence has lasted too long, or a node that was lost has come back.
    pub(super) fn judge(&mut self, node: NodeId, stamp: Stamp, placement: &Placement, ctx: &mut Context<'_>) {
        let Some(health) = self.health.get_mut(&node) else { return };
        if !health.timer.expire(stamp) {
            return;
        }
        if health.is_silent {
            self.mark_lost(node, UNREACHABLE_TAINT, placement, ctx);
        } else {
            set_readiness(node, true, ctx);
            self.to_taint.retain(|&waiting| waiting != node);
        }
        self.pace_taints(ctx);
    }

    /// The node's own kubelet says that it is not ready: it is shutting down.
    pub(super) fn shut_down(&mut self, node: NodeId, placement: &Placement, ctx: &mut Context<'_>) {
        self.mark_lost(node, NOT_READY_TAINT, placement, ctx);
        self.lost_contact(node, ctx);
        self.pace_taints(ctx);
    }

    fn mark_lost(&mut self, node: NodeId, taint: &str, placement: &Placement, ctx: &mut Context<'_>) {
        if ctx.server.node(node).is_none() {
            return;
        }
        set_readiness(node, false, ctx);
        add_taint(node, taint, TaintEffect::NoSchedule, ctx);
        if taint == UNREACHABLE_TAINT {
            mark_pods_not_ready(placement.pods_on(node), ctx);
        }
        if !self.to_taint.contains(&node) {
            self.to_taint.push(node);
        }
    }

    // ---- NoExecute taints at a limited rate ----

    fn disruption(&self, ctx: &Context<'_>) -> Disruption {
        let lost = ctx.server.nodes().filter(|node| !node.is_ready).count();
        let all = ctx.server.nodes().count() + self.control_plane_nodes;
        if lost == 0 {
            Disruption::Normal
        } else if lost == all {
            Disruption::Full
        } else if lost > 2 && lost * 100 >= all * UNHEALTHY_PERCENT {
            Disruption::Partial
        } else {
            Disruption::Normal
        }
    }

    fn interval(&self, ctx: &Context<'_>) -> Option<Duration> {
        match self.disruption(ctx) {
            Disruption::Normal => Some(EVICTION_INTERVAL),
            Disruption::Full => None,
            Disruption::Partial => {
                let nodes = ctx.server.nodes().count() + self.control_plane_nodes;
                (nodes > SMALL_CLUSTER_NODES_MAX).then_some(SLOW_EVICTION_INTERVAL)
            }
        }
    }

    /// The number of lost nodes has changed: plans the next NoExecute taint.
    fn pace_taints(&mut self, ctx: &mut Context<'_>) {
        if self.disruption(ctx) == Disruption::Full {
            self.lift_taints(ctx);
        }
        if self.to_taint.is_empty() || self.interval(ctx).is_none() {
            return self.taint_timer.cancel();
        }
        if !self.taint_timer.is_armed() {
            let at = self.next_taint_at.max(ctx.now);
            let stamp = self.taint_timer.arm();
            ctx.events.schedule(at, Event::Cluster(ClusterEvent::TaintNode { stamp }));
        }
    }

    /// With no node left, nobody is evicted: the fault is more likely the control plane's.
    fn lift_taints(&mut self, ctx: &mut Context<'_>) {
        let nodes: Vec<NodeId> = ctx.server.nodes().map(|node| node.id).collect();
        for node in nodes {
            change_node(node, ctx, |node| {
                node.taints.retain(|taint| !is_health_taint(taint) || taint.effect != TaintEffect::NoExecute);
            });
            if !self.to_taint.contains(&node) {
                self.to_taint.push(node);
            }
        }
    }

    /// The next lost node gets its NoExecute taint.
    pub(super) fn taint_next(&mut self, stamp: Stamp, ctx: &mut Context<'_>) {
        if !self.taint_timer.expire(stamp) {
            return;
        }
        let Some(interval) = self.interval(ctx) else { return };
        self.to_taint.retain(|&node| ctx.server.node(node).is_some_and(|node| !node.is_ready));
        if !self.to_taint.is_empty() {
            let node = self.to_taint.remove(0);
            let has_not_ready = |node: &Node| node.taints.iter().any(|taint| *taint.key == *NOT_READY_TAINT);
            let is_silent_for_long =
                self.health.get(&node).is_some_and(|health| health.is_silent && !health.timer.is_armed());
            let key = match ctx.server.node(node) {
                Some(stored) if has_not_ready(stored) && !is_silent_for_long => NOT_READY_TAINT,
                _ => UNREACHABLE_TAINT,
            };
            add_taint(node, key, TaintEffect::NoExecute, ctx);
            self.next_taint_at = ctx.now + interval;
        }
        self.pace_taints(ctx);
    }

    // ---- eviction ----

    /// Follows pods and the taints of nodes.
    pub(super) fn observe(&mut self, change: &Change, placement: &Placement, ctx: &mut Context<'_>) {
        match change {
            Change::Node(Versions { old, new: Some(node) }) => {
                let before = old.as_ref().map(|node| node.taints.as_slice()).unwrap_or_default();
                if before != node.taints.as_slice() {
                    self.taints_changed(node, placement, ctx);
                }
            }
            Change::Node(Versions { old: Some(node), new: None }) => self.node_left(node.id, placement, ctx),
            Change::Pod(Versions { new: Some(pod), .. }) => {
                if let Some(node) = pod.node.filter(|node| self.tainted.contains(node))
                    && let Some(node) = ctx.server.node(node).cloned()
                {
                    self.consider(pod, &node, ctx);
                }
            }
            Change::Pod(Versions { old: Some(pod), new: None }) => {
                self.evictions.remove(&pod.uid);
            }
            _ => {}
        }
    }

    fn node_left(&mut self, node: NodeId, placement: &Placement, ctx: &mut Context<'_>) {
        self.health.remove(&node);
        self.to_taint.retain(|&waiting| waiting != node);
        self.tainted.remove(&node);
        for pod in placement.pods_on(node) {
            self.evictions.remove(&pod);
        }
        self.pace_taints(ctx);
    }

    fn taints_changed(&mut self, node: &Node, placement: &Placement, ctx: &mut Context<'_>) {
        if node.taints.iter().any(|taint| taint.effect == TaintEffect::NoExecute) {
            self.tainted.insert(node.id);
        } else if !self.tainted.remove(&node.id) {
            return;
        }
        for uid in placement.pods_on(node.id) {
            if let Some(pod) = ctx.server.pod(uid).cloned() {
                self.consider(&pod, node, ctx);
            }
        }
    }

    /// Plans the pod's eviction, or calls it off. Pods that have ended are deleted like the others, and pods that are
    /// being deleted get the condition.
    fn consider(&mut self, pod: &Pod, node: &Node, ctx: &mut Context<'_>) {
        let (since, due) = match (patience(&pod.spec, &node.taints), self.evictions.get(&pod.uid)) {
            (Patience::Endless, _) => {
                self.evictions.remove(&pod.uid);
                return;
            }
            (Patience::None, Some(planned)) => (planned.since, planned.due.min(ctx.now)),
            (Patience::None, None) => (ctx.now, ctx.now),
            // What was planned at an earlier instant stays as it was, whatever patience is asked for since (upstream
            // `processPodOnNode`).
            (Patience::For(_), Some(planned)) if planned.since < ctx.now => return,
            (Patience::For(time), Some(planned)) => (planned.since, ctx.now + time),
            (Patience::For(time), None) => (ctx.now, ctx.now + time),
        };
        if self.evictions.get(&pod.uid).is_some_and(|planned| planned.due == due) {
            return;
        }
        self.evictions.insert(pod.uid, Eviction { since, due });
        ctx.events.schedule(due, Event::Cluster(ClusterEvent::EvictPod { pod: pod.uid }));
    }

    /// A pod's patience is over, unless the plan has changed meanwhile.
    pub(super) fn evict(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        if self.evictions.get(&uid).is_none_or(|planned| planned.due > ctx.now) {
            return;
        }
        self.evictions.remove(&uid);
        let now = ctx.now;
        let (features, words) = (*ctx.server.features(), &self.words);
        let marked = ctx.server.update_pod_status(now, Actor::NodeLifecycle, uid, |status| {
            let reason = &words.deletion_by_taint_manager;
            words.set_disruption_target(&mut status.conditions, &features, reason, now);
        });
        if marked.is_ok() {
            // Refused only when the pod is gone by now.
            let _ = ctx.server.delete_pod(now, Actor::NodeLifecycle, uid, None);
        }
    }
}

fn is_health_taint(taint: &Taint) -> bool {
    matches!(&*taint.key, NOT_READY_TAINT | UNREACHABLE_TAINT)
}

/// Changes a node; one that is gone needs no change.
fn change_node(node: NodeId, ctx: &mut Context<'_>, change: impl FnOnce(&mut Node)) {
    let _ = ctx.server.update_node(ctx.now, Actor::NodeLifecycle, node, change);
}

/// A node that becomes Ready loses the taints that its loss brought it.
fn set_readiness(node: NodeId, is_ready: bool, ctx: &mut Context<'_>) {
    change_node(node, ctx, |node| {
        node.is_ready = is_ready;
        if is_ready {
            node.taints.retain(|taint| !is_health_taint(taint));
        }
    });
}

/// Adds one of the taints of lost nodes; it takes the place of the other one of the same effect.
fn add_taint(node: NodeId, key: &str, effect: TaintEffect, ctx: &mut Context<'_>) {
    let now = ctx.now;
    change_node(node, ctx, |node| {
        if node.taints.iter().any(|taint| *taint.key == *key && taint.effect == effect) {
            return;
        }
        node.taints.retain(|taint| !is_health_taint(taint) || taint.effect != effect);
        let time_added = now.truncated_to_second();
        node.taints.push(Taint { key: key.into(), value: "".into(), effect, time_added });
    });
}

fn mark_pods_not_ready(pods: Vec<Uid>, ctx: &mut Context<'_>) {
    let now = ctx.now;
    for uid in pods {
        if !ctx.server.pod(uid).is_some_and(|pod| pod.is_ready()) {
            continue;
        }
        // A pod that is gone by now is not ready either.
        let _ = ctx.server.update_pod_status(now, Actor::NodeLifecycle, uid, |status| {
            if let Some(ready) = status.conditions.iter_mut().find(|condition| &*condition.kind == READY) {
                ready.status = ConditionStatus::False;
                ready.last_transition_time = now.truncated_to_second();
            }
        });
    }
}
