//! The pod garbage collector: pods that nobody else will ever end (Job spec section 7.5).
//!
//! It looks every 20 s, at whole multiples of that from the start of the run, but only while there is something that
//! it might find: a quiet simulation stays quiet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::ClusterEvent;
use super::conditions::Words;
use super::placement::Placement;
use crate::engine::{Stamp, Timer};
use crate::objects::{NodeId, OUT_OF_SERVICE_TAINT, Pod, PodPhase, Uid};
use crate::server::{Actor, Change, Versions};
use crate::simulation::{Context, Event};
use crate::time::Time;

/// Time between two looks (`gcCheckPeriod`).
const PERIOD: Duration = Duration::from_secs(20);
/// How long a node must have been missing before its pods are collected (`quarantineTime`).
const QUARANTINE: Duration = Duration::from_secs(40);
/// Ended pods that may stay (`--terminated-pod-gc-threshold`).
pub const TERMINATED_PODS_MAX: usize = 12_500;
/// `status.reason` of pods that a kubelet evicted for want of resources.
const EVICTED: &str = "Evicted";

/// The pod garbage collector.
#[derive(Clone, Debug)]
pub struct PodGc {
    terminated_pods_max: usize,
    words: Words,
    /// Stored pods whose phase is terminal.
    terminated: usize,
    /// Pods bound to nodes that do not exist.
    orphans: BTreeSet<Uid>,
    /// Since when such a node is known to be missing.
    missing: BTreeMap<NodeId, Time>,
    /// Pods without a node that are being deleted.
    unbound: BTreeSet<Uid>,
    /// Pods that are being deleted, on nodes that are out of service.
    stranded: BTreeSet<Uid>,
    timer: Timer,
}

impl PodGc {
    pub(super) fn new(terminated_pods_max: usize, words: Words) -> Self {
        Self {
            terminated_pods_max,
            words,
            terminated: 0,
            orphans: BTreeSet::new(),
            missing: BTreeMap::new(),
            unbound: BTreeSet::new(),
            stranded: BTreeSet::new(),
            timer: Timer::default(),
        }
    }

    /// Follows what happens to pods and nodes.
    pub(super) fn observe(&mut self, change: &Change, placement: &Placement, ctx: &mut Context<'_>) {
        match change {
            Change::Pod(Versions { old, new }) => {
                let is_terminal =
                    |pod: &Option<Arc<Pod>>| pod.as_ref().is_some_and(|pod| pod.status.phase.is_terminal());
                let (before, after) = (is_terminal(old), is_terminal(new));
                if after && !before {
                    self.terminated += 1;
                    if self.terminated > self.terminated_pods_max {
                        self.look_soon(ctx);
                    }
                } else if before && !after {
                    self.terminated = self.terminated.saturating_sub(1);
                }
                match (new, old) {
                    (Some(pod), _) => self.classify(pod, ctx),
                    (None, Some(pod)) => self.forget(pod.uid),
                    (None, None) => {}
                }
            }
            Change::Node(Versions { old, new }) => {
                let Some(node) = new.as_ref().or(old.as_ref()) else { return };
                for uid in placement.pods_on(node.id) {
                    if let Some(pod) = ctx.server.pod(uid).cloned() {
                        self.classify(&pod, ctx);
                    }
                }
            }
            Change::Job(_) => {}
        }
    }

    fn forget(&mut self, pod: Uid) {
        self.orphans.remove(&pod);
        self.unbound.remove(&pod);
        self.stranded.remove(&pod);
    }

    /// Finds out whether the pod is one to be collected, and looks soon if it has become one.
    fn classify(&mut self, pod: &Pod, ctx: &mut Context<'_>) {
        let node = pod.node.map(|node| ctx.server.node(node));
        let is_orphan = matches!(node, Some(None));
        let is_out_of_service = matches!(node, Some(Some(node)) if !node.is_ready
            && node.taints.iter().any(|taint| *taint.key == *OUT_OF_SERVICE_TAINT));
        // A pod that has been dealt with and is held by its finalizers needs no second look.
        let is_dealt_with = pod.status.phase.is_terminal()
            && pod.deletion.is_some_and(|deletion| deletion.grace_period_s == 0);
        let uid = pod.uid;
        let mut is_new = false;
        for (set, belongs) in [
            (&mut self.orphans, is_orphan),
            (&mut self.unbound, node.is_none() && pod.is_deleting()),
            (&mut self.stranded, is_out_of_service && pod.is_deleting()),
        ] {
            if belongs && !is_dealt_with {
                is_new |= set.insert(uid);
            } else {
                set.remove(&uid);
            }
        }
        if is_new {
            self.look_soon(ctx);
        }
    }

    fn look_soon(&mut self, ctx: &mut Context<'_>) {
        if self.timer.is_armed() {
            return;
        }
        let period = u64::try_from(PERIOD.as_micros()).unwrap_or(u64::MAX);
        let at = Time::from_micros((ctx.now.as_micros() / period + 1).saturating_mul(period));
        let stamp = self.timer.arm();
        ctx.events.schedule(at, Event::Cluster(ClusterEvent::PodGc { stamp }));
    }

    /// Looks, collects, and looks again while something is in quarantine.
    pub(super) fn look(&mut self, stamp: Stamp, ctx: &mut Context<'_>) {
        if !self.timer.expire(stamp) {
            return;
        }
        self.collect_terminated(ctx);
        for uid in std::mem::take(&mut self.stranded) {
            collect(uid, None, ctx);
        }
        self.collect_orphans(ctx);
        for uid in std::mem::take(&mut self.unbound) {
            collect(uid, None, ctx);
        }
        if !self.orphans.is_empty() {
            self.look_soon(ctx);
        }
    }

    fn collect_orphans(&mut self, ctx: &mut Context<'_>) {
        let now = ctx.now;
        let mut missing = BTreeMap::new();
        for uid in std::mem::take(&mut self.orphans) {
            let Some(node) = ctx.server.pod(uid).and_then(|pod| pod.node) else { continue };
            let since = self.missing.get(&node).copied().unwrap_or(now);
            if now.since(since) >= QUARANTINE {
                collect(uid, Some(&self.words), ctx);
            } else {
                missing.insert(node, since);
                self.orphans.insert(uid);
            }
        }
        self.missing = missing;
    }

    /// Too many ended pods: the surplus goes, evicted ones first, then the oldest.
    fn collect_terminated(&mut self, ctx: &mut Context<'_>) {
        let surplus = self.terminated.saturating_sub(self.terminated_pods_max);
        if surplus == 0 {
            return;
        }
        let ended = ctx.server.pods().filter(|pod| pod.status.phase.is_terminal());
        let mut ended: Vec<(bool, Time, Arc<str>, Uid)> = ended
            .map(|pod| {
                (&*pod.status.reason != EVICTED, pod.creation_time, Arc::clone(&pod.key.name), pod.uid)
            })
            .collect();
        ended.sort_unstable();
        for (.., uid) in ended.into_iter().take(surplus) {
            collect(uid, None, ctx);
        }
    }
}

/// Gives a pod the phase Failed unless it has ended, as a disruption if so asked, then deletes it without grace.
/// Finalizers may still hold it.
fn collect(uid: Uid, disruption: Option<&Words>, ctx: &mut Context<'_>) {
    let now = ctx.now;
    let features = *ctx.server.features();
    let Some(pod) = ctx.server.pod(uid) else { return };
    if !pod.status.phase.is_terminal() {
        let failed = ctx.server.update_pod_status(now, Actor::PodGc, uid, |status| {
            status.phase = PodPhase::Failed;
            if let Some(words) = disruption {
                let reason = &words.deletion_by_pod_gc;
                words.set_disruption_target(&mut status.conditions, &features, reason, now);
            }
        });
        if failed.is_err() {
            return;
        }
    }
    // Refused only when the pod is gone by now.
    let _ = ctx.server.delete_pod(now, Actor::PodGc, uid, Some(0));
}
